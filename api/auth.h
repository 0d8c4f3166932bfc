/* api/auth.h - the token that callers show, as "Bearer <token>" or as the password of Basic (curl -u :TOKEN).
 *
 * Only its SHA-256 is kept, and compared in constant time: lengths and prefixes of a guess tell nothing. */
#ifndef API_AUTH_H
#define API_AUTH_H

#include <stdbool.h>

#include "base/error.h"

struct auth {
    bool required;
    unsigned char digest[32];
};

/* token NULL: none is asked for. ERR_SYSTEM when the digest cannot be computed. */
bool auth_init(struct auth *auth, const char *token, struct error *err);

/* authorization: the header, or NULL. ERR_AUTH_MISSING, ERR_AUTH_INVALID. Any thread. */
bool auth_check(const struct auth *auth, const char *authorization, struct error *err);

#endif
