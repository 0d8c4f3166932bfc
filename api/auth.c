#include "api/auth.h"

#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

enum { CREDENTIALS_MAX = 1024 };

/* The password of Basic credentials (RFC 7617) into out; NULL when they are none. */
static const char *basic_password(const char *encoded, char out[static CREDENTIALS_MAX])
{
    size_t len = strlen(encoded);
    const char *colon;
    int n;

    if (len == 0 || len % 4 || len / 4 * 3 >= CREDENTIALS_MAX)
        return NULL;
    n = EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)encoded, (int)len);
    if (n < 0)
        return NULL;
    /* EVP_DecodeBlock() counts the padding as bytes of zero. */
    out[n] = '\0';
    colon = strchr(out, ':');
    return colon ? colon + 1 : NULL;
}

static const char *after_scheme(const char *value, const char *scheme)
{
    size_t len = strlen(scheme);

    if (strncasecmp(value, scheme, len) != 0 || value[len] != ' ')
        return NULL;
    return value + len + strspn(value + len, " ");
}

bool auth_check(const struct tokens *tokens, const char *authorization, const struct token **who, struct error *err)
{
    char credentials[CREDENTIALS_MAX];
    const char *text, *basic;

    *who = NULL;
    if (!tokens_any(tokens))
        return true;
    if (!authorization)
        return error_set(err, ERR_AUTH_MISSING, "no Authorization header");
    text = after_scheme(authorization, "Bearer");
    basic = after_scheme(authorization, "Basic");
    if (basic)
        text = basic_password(basic, credentials);
    *who = tokens_find(tokens, text ? text : "", err);
    OPENSSL_cleanse(credentials, sizeof credentials);
    return *who != NULL;
}
