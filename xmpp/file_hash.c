#include "xmpp/file_hash.h"

#include <assert.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/id.h"
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

/* ---- reading */

enum { BYTES_MOST = 64, TEXT_MOST = 160 };

static const struct algo {
    const char *name, *also; /* as some write it */
    size_t bytes;
} algos[] = {
    /* the strongest first */
    {"sha-512", NULL, 64},  {"sha3-512", NULL, 64}, {"blake2b-512", "id-blake2b512", 64},
    {"sha3-256", NULL, 32}, {"sha-256", NULL, 32},  {"sha-1", NULL, 20},
};
enum { ALGOS = sizeof algos / sizeof *algos };

static const struct algo *find_algo(const char *name)
{
    for (size_t i = 0; name && i < ALGOS; i++)
        if (strcmp(algos[i].name, name) == 0 || (algos[i].also && strcmp(algos[i].also, name) == 0))
            return &algos[i];
    return NULL;
}

/* The text without the blanks that pretty printers put around it. */
static char *trimmed(char *text)
{
    size_t len;

    text += strspn(text, " \t\r\n");
    len = strlen(text);
    while (len > 0 && strchr(" \t\r\n", text[len - 1]))
        text[--len] = '\0';
    return text;
}

/* Base64; or, as the first version had it, hex, which is told by its length. */
static bool read_digest(const struct algo *a, xmpp_stanza_t *hash, char hex[static 2 * BYTES_MOST + 1])
{
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char bytes[BYTES_MOST + 2 + 1];
    char raw[TEXT_MOST], *text = trimmed((char *)stanza_text(hash, raw, sizeof raw));
    size_t len = strlen(text), digits = strspn(text, base64);

    if (len == 2 * a->bytes && strspn(text, "0123456789abcdefABCDEF") == len) {
        for (size_t i = 0; i <= len; i++)
            hex[i] = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] - 'A' + 'a') : text[i];
        return true;
    }
    if (len != 4 * ((a->bytes + 2) / 3) || digits != (a->bytes * 8 + 5) / 6 ||
        strspn(text + digits, "=") != len - digits)
        return false;
    if (EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)len) < (int)a->bytes)
        return false;
    id_hex(bytes, a->bytes, hex);
    return true;
}

bool file_hash_read(xmpp_stanza_t *file, struct file_digest *out)
{
    const struct algo *best = NULL;

    *out = (struct file_digest){0};
    for (xmpp_stanza_t *s = stanza_child(file, "hash", NULL); s; s = stanza_next(s, "hash", NULL)) {
        const struct algo *a = find_algo(stanza_attr(s, "algo"));

        if (a && (!best || a < best) && read_digest(a, s, out->hex))
            best = a;
    }
    out->algo = best ? best->name : NULL;
    return best != NULL;
}
