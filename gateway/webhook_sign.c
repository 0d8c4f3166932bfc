#include "gateway/webhook_sign.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

enum { DIGEST = 32, PREFIX = 80 };

static const char scheme[] = "whsec_";

/* EVP_DecodeBlock() takes the padding for bytes of zero and white space at the ends for none. */
bool webhook_secret_parse(const char *text, struct webhook_secret *out)
{
    unsigned char room[SECRET_MOST + 3];
    size_t len, padding;
    const char *code = text + strlen(scheme);
    int n;

    *out = (struct webhook_secret){.length = 0};
    if (strncmp(text, scheme, strlen(scheme)) != 0)
        return false;
    len = strlen(code);
    padding = len - strcspn(code, "=");
    if (len == 0 || len % 4 != 0 || len / 4 * 3 > sizeof room || padding > 2 ||
        strspn(code + len - padding, "=") != padding ||
        strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") != len - padding)
        return false;
    n = EVP_DecodeBlock(room, (const unsigned char *)code, (int)len);
    if (n >= (int)padding && (size_t)n - padding >= SECRET_LEAST && (size_t)n - padding <= SECRET_MOST) {
        out->length = (size_t)n - padding;
        memcpy(out->bytes, room, out->length);
    }
    OPENSSL_cleanse(room, sizeof room);
    return out->length > 0;
}

bool webhook_sign(const struct webhook_secret *secret, const char *id, int64_t timestamp, const char *body,
                  size_t length, char out[static SIGNATURE_TEXT])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, secret->bytes, secret->length);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char digest[DIGEST], text[SIGNATURE_TEXT - 3];
    size_t size = sizeof digest;
    char prefix[PREFIX];
    int n = snprintf(prefix, sizeof prefix, "%s.%" PRId64 ".", id, timestamp);
    bool ok = key && ctx && n > 0 && (size_t)n < sizeof prefix &&
              EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestSignUpdate(ctx, prefix, (size_t)n) == 1 && EVP_DigestSignUpdate(ctx, body, length) == 1 &&
              EVP_DigestSignFinal(ctx, digest, &size) == 1 && size == sizeof digest;

    if (ok) {
        EVP_EncodeBlock(text, digest, (int)sizeof digest);
        snprintf(out, SIGNATURE_TEXT, "v1,%s", (const char *)text);
    }
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok;
}
