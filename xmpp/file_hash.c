#include "xmpp/file_hash.h"

#include <assert.h>
#include <openssl/evp.h>
#include <string.h>

#include "xmpp/stanza.h"

enum { BYTES = 32, BASE64 = 4 * ((BYTES + 2) / 3) + 1 };

static unsigned char nibble(char digit)
{
    return (unsigned char)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

xmpp_stanza_t *file_hash(xmpp_ctx_t *ctx, const char *ns, const char *sha256)
{
    unsigned char digest[BYTES];
    char text[BASE64];

    assert(strlen(sha256) == 2 * (size_t)BYTES);
    for (size_t i = 0; i < BYTES; i++)
        digest[i] = (unsigned char)(nibble(sha256[2 * i]) << 4 | nibble(sha256[2 * i + 1]));
    EVP_EncodeBlock((unsigned char *)text, digest, BYTES);
    return stanza_add_text(ctx, file_hash_to_come(ctx, "hash", ns), text);
}

xmpp_stanza_t *file_hash_to_come(xmpp_ctx_t *ctx, const char *name, const char *ns)
{
    return stanza_set(stanza_new(ctx, name, ns), "algo", "sha-256");
}
