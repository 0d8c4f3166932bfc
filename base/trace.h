/* base/trace.h - the header traceparent of W3C Trace Context (https://www.w3.org/TR/trace-context/): which trace of its
 * caller a request belongs to.
 *
 * We make no spans of our own and begin no trace: what a caller sends is kept, logged and handed on, so that what we do
 * is found under its trace; where there is none, the request's id has to do. Pure functions. */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#include <stdbool.h>
#include <stddef.h>

enum { TRACE_PARENT = 56, TRACE_ID = 33 };

/* Reads the one header there is: version, trace id, parent id and flags in lower-case hex, neither id all zeros. Of a
 * version to come, which may have more behind these, these are taken and told as version 00. false: it is none, and as
 * good as not there; out is empty. header ends somewhere with a NUL, at len or later. */
bool trace_parse(const char *header, size_t len, char out[static TRACE_PARENT]);

/* The trace id of what trace_parse() gave. NULL, for an empty one or NULL: there is none. */
const char *trace_id(const char *traceparent, char out[static TRACE_ID]);

#endif
