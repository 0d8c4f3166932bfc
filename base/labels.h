/* base/labels.h - what a caller marks a thing with to find it again: names with a value each, kept as one text.
 *
 *     "\nbuild:1234\njob:backup\n"      sorted by name, so that the same labels are the same text; NULL: none
 *
 * Pure functions. */
#ifndef BASE_LABELS_H
#define BASE_LABELS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { LABELS_MOST = 16, LABEL_NAME_MOST = 64, LABEL_VALUE_MOST = 256 };

/* Adds one to *labels, which is malloc()ed anew. A name is made of letters, digits and "._/-"; a value of XML
 * characters that are no controls, and may be empty. ERR_PARAMETER_INVALID: they are not, or too long; the name is
 * there already; there are LABELS_MOST. On failure *labels is as before. */
bool labels_add(char **labels, const char *name, size_t name_len, const char *value, struct error *err);

/* The same from "name:value". */
bool labels_read(char **labels, const char *text, struct error *err);

/* The next of them, from *at on, which begins as the labels; nothing in it is copied. false: there is none. */
struct label {
    const char *name, *value;
    size_t name_len, value_len;
};
bool labels_next(const char **at, struct label *out);

/* Whether all of those that are wanted are there, with those values. */
bool labels_have(const char *labels, const char *wanted);

#endif
