/* api/params.h - the parameters a request may carry, in its query or as fields of a form, and what their values mean.
 *
 * Each route names those it knows; any other is refused with the nearest known name, so that a typing error cannot
 * silently change what happens to a file. Pure functions. */
#ifndef API_PARAMS_H
#define API_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "api/target.h"
#include "base/error.h"

/* In `text` parameters of a query '+' means a space, as HTML forms and their libraries write it; in the others a
 * space has no meaning and '+' is common (addresses, time zones), so it stays what it is. */
/* clang-format off */
#define PARAMS(X)                                \
    X(PARAM_TO,       "to",       false)         \
    X(PARAM_RESOURCE, "resource", true)          \
    X(PARAM_NAME,     "name",     true)          \
    X(PARAM_CAPTION,  "caption",  true)          \
    X(PARAM_METHODS,  "methods",  false)         \
    X(PARAM_MODE,     "mode",     false)         \
    X(PARAM_TTL,      "ttl",      false)         \
    X(PARAM_HOLD,     "hold",     false)         \
    X(PARAM_SUBSCRIBE,"subscribe",false)         \
    X(PARAM_DIGEST,   "digest",   false)         \
    X(PARAM_WAIT,     "wait",     false)         \
    X(PARAM_STATE,    "state",    false)         \
    X(PARAM_SINCE,    "since",    false)         \
    X(PARAM_LIMIT,    "limit",    false)         \
    X(PARAM_CURSOR,   "cursor",   false)         \
    X(PARAM_SIZE,     "size",     false)         \
    X(PARAM_TYPE,     "type",     false)         \
    X(PARAM_LAST_EVENT_ID, "last_event_id", false) \
    X(PARAM_VERBOSE,  "verbose",  false)         \
    X(PARAM_LABEL,    "label",    true)          \
    X(PARAM_FROM,     "from",     false)         \
    X(PARAM_AFTER,    "after",    false)

enum param {
#define X(param, name, text) param,
    PARAMS(X)
#undef X
    PARAM_COUNT
};
/* clang-format on */

enum { PARAM_MAX = 8192, PARAM_LINES_MAX = 256 * 1024 }; /* bytes of one value; of several together */

struct params {
    char *value[PARAM_COUNT]; /* decoded, owned, XML characters only; NULL: not given */
};

#define PARAM_BIT(param) (1u << (param))

const char *param_name(enum param which);

/* The parameter of that name among the allowed ones (an OR of PARAM_BITs). ERR_PARAMETER_INVALID names the nearest. */
bool param_find(const char *name, unsigned allowed, enum param *which, struct error *err);

/* Reads the whole query into *p, which was zeroed. ERR_PARAMETER_INVALID, ERR_NAME_INVALID (bad text in "name"). */
bool params_read(struct params *p, const struct target *t, unsigned allowed, struct error *err);

/* Copies one value in; a second one for the same parameter is refused, but for those that may be there several times:
 * PARAM_TO keeps them line by line, PARAM_LABEL as base/labels.h does. */
bool params_set(struct params *p, enum param which, const char *value, struct error *err);
void params_free(struct params *p); /* its parts, not p itself */

/* "30" (seconds), "500ms", "30s", "5m", "1h", "7d". */
bool duration_parse(const char *text, int64_t *ms);

/* RFC 3339 date and time with its offset, as milliseconds since 1970. */
bool time_parse(const char *text, int64_t *wall_ms);

/* A decimal number from least to most, digits only. */
bool number_parse(const char *text, uint64_t least, uint64_t most, uint64_t *out);

#endif
