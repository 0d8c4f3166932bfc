/* api/target.h - a request target as it came over the wire: split first, decoded after (RFC 3986 section 2.4).
 *
 * The HTTP library decodes %2F and %00 before its handler sees the path, which would let a file name become two
 * segments and cut strings short. So the raw target is kept, split at its own '/', '?' and '&', and each segment is
 * decoded by itself. Pure functions. */
#ifndef API_TARGET_H
#define API_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct slice {
    const char *at;
    size_t len;
};

enum { TARGET_SEGMENTS = 6, TARGET_PARAMS = 24 };

struct target {
    char *raw;                            /* owned; the slices point into it */
    char *decoded;                        /* owned; the segments point into it */
    struct slice authority;               /* of the absolute form (RFC 9112 section 3.2.2); else empty */
    const char *segment[TARGET_SEGMENTS]; /* decoded; may hold '/' and any byte but NUL */
    size_t segments;                      /* beyond TARGET_SEGMENTS they are only counted: no route is that long */
    bool slash;                           /* the path ends in '/' */
    struct {
        struct slice name, value; /* not decoded */
    } param[TARGET_PARAMS];
    size_t params;
};

/* Refuses (ERR_REQUEST_MALFORMED): no path, control characters, spaces, '#', a stray '%', %00 anywhere, more than
 * TARGET_PARAMS parameters. On failure *t needs no free. */
bool target_parse(struct target *t, const char *raw, struct error *err);
void target_free(struct target *t); /* its parts, not t itself */

#endif
