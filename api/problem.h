/* api/problem.h - what an error code means to an HTTP client: its status, its title and what to do (RFC 9457).
 *
 * The one place that knows both worlds. 409: the recipient's own doing or state. 422: the two have nothing in common.
 * 502: something on the way broke. 504: somebody stayed silent. 503: not now. 410: time was up. */
#ifndef API_PROBLEM_H
#define API_PROBLEM_H

#include <jansson.h>
#include <stdbool.h>

#include "gateway/gateway.h"

struct problem {
    unsigned status;
    bool retryable;    /* the same request, unchanged, may succeed later */
    const char *title; /* the same for every occurrence */
    const char *hint;  /* one sentence that a tired person can act on */
};

struct problem problem_of(enum error_code code);

/* The document; NULL: out of memory. transfer: embedded, and named as the instance; NULL: there is none. */
json_t *problem_json(const struct error *err, enum stage stage, const char *request_id, const struct record *transfer);

#endif
