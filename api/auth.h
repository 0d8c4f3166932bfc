/* api/auth.h - the token that callers show, as "Bearer <token>" or as the password of Basic (curl -u :TOKEN). */
#ifndef API_AUTH_H
#define API_AUTH_H

#include <stdbool.h>

#include "api/tokens.h"
#include "base/error.h"

/* authorization: the header, or NULL. *who: whose token it is, or NULL when none is asked for; good as long as the
 * table. ERR_AUTH_MISSING, ERR_AUTH_INVALID, ERR_AUTH_EXPIRED. Any thread. */
bool auth_check(const struct tokens *tokens, const char *authorization, const struct token **who, struct error *err);

#endif
