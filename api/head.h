/* api/head.h - that the head of a request is what it seems, byte for byte (RFC 9112 sections 2.2, 3 and 5).
 *
 * The library reads leniently: a bare line feed ends a line, a NUL ends a value, a folded line grows the name of the
 * header before it, spaces are skipped. A proxy in front may read each of these otherwise and see another request. None
 * of it can be seen in what the library hands out; but it parses in place and says how long the head was. So the names
 * and values it found are laid over those bytes again, and have to account for every one: one line after the other,
 * each ended by CR LF, nothing between them. */
#ifndef API_HEAD_H
#define API_HEAD_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* In the first call for a request: method and version as handed out, target as it was told before, of that length.
 * Fails with ERR_REQUEST_MALFORMED. Of a library that is not known to parse so nothing is refused: the later ones are
 * strict by themselves. */
bool head_check(struct MHD_Connection *connection, const char *method, const char *target, size_t target_len,
                const char *version, struct error *err);

#endif
