#include "api/auth.h"

#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

enum { CREDENTIALS_MAX = 1024 };

static bool digest_of(const char *token, unsigned char out[static 32])
{
    return EVP_Digest(token, strlen(token), out, NULL, EVP_sha256(), NULL) == 1;
}

bool auth_init(struct auth *auth, const char *token, struct error *err)
{
    memset(auth, 0, sizeof *auth);
    auth->required = token != NULL;
    if (token && !digest_of(token, auth->digest))
        return error_set(err, ERR_SYSTEM, "no SHA-256 to keep the token by");
    return true;
}

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

bool auth_check(const struct auth *auth, const char *authorization, struct error *err)
{
    char credentials[CREDENTIALS_MAX];
    unsigned char digest[32];
    const char *token, *basic;
    bool ok;

    if (!auth->required)
        return true;
    if (!authorization)
        return error_set(err, ERR_AUTH_MISSING, "no Authorization header");
    token = after_scheme(authorization, "Bearer");
    basic = after_scheme(authorization, "Basic");
    if (basic)
        token = basic_password(basic, credentials);
    ok = token && digest_of(token, digest) && CRYPTO_memcmp(digest, auth->digest, sizeof digest) == 0;
    OPENSSL_cleanse(credentials, sizeof credentials);
    OPENSSL_cleanse(digest, sizeof digest);
    if (!ok)
        return error_set(err, ERR_AUTH_INVALID, "the token is not the one configured");
    return true;
}
