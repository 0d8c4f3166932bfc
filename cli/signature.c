#include "cli/signature.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "gateway/config_values.h"

enum { MAC = 32, MAC_BASE64 = 44, KEY_MAX = 512, TOLERANCE_S = 300 };

static bool read_key(const char *secret, unsigned char key[static KEY_MAX], size_t *len, struct error *err)
{
    size_t text;
    int n;

    if (strncmp(secret, "whsec_", 6) == 0)
        secret += 6;
    text = strlen(secret);
    n = text > 0 && text % 4 == 0 && text <= KEY_MAX ? EVP_DecodeBlock(key, (const unsigned char *)secret, (int)text)
                                                     : -1;
    if (n <= 0)
        return error_set(err, ERR_CONFIG, "the secret is none: whsec_ and base64");
    *len = (size_t)n - (secret[text - 1] == '=') - (secret[text - 2] == '=');
    return true;
}

static bool check_time(const char *timestamp, int64_t now_s, struct error *err)
{
    uint64_t sent;

    if (!value_count(timestamp, &sent) || sent > INT64_MAX)
        return error_set(err, ERR_CONFIG, "the timestamp '%.40s' is no number of seconds", timestamp);
    if ((int64_t)sent < now_s - TOLERANCE_S || (int64_t)sent > now_s + TOLERANCE_S)
        return error_set(
            err, ERR_AUTH_EXPIRED,
            "the timestamp lies more than five minutes from now: an old message sent again, or a clock that "
            "is wrong");
    return true;
}

/* Whether one of the signatures is the one. */
static bool has_signature(const char *list, const char *want)
{
    bool found = false;

    while (*list) {
        size_t len = strcspn(list, " ");

        if (len == 3 + MAC_BASE64 && strncmp(list, "v1,", 3) == 0)
            found |= CRYPTO_memcmp(list + 3, want, MAC_BASE64) == 0;
        list += len;
        list += strspn(list, " ");
    }
    return found;
}

bool signature_check(const struct signed_message *m, const char *secret, const void *body, size_t len, int64_t now_s,
                     struct error *err)
{
    unsigned char key[KEY_MAX], mac[MAC], base64[MAC_BASE64 + 1];
    struct buf text = {0};
    size_t key_len = 0;
    bool made = false;

    if (!read_key(secret, key, &key_len, err) || !check_time(m->timestamp, now_s, err))
        return false;
    buf_printf(&text, "%s.%s.", m->id, m->timestamp);
    buf_add(&text, body, len);
    if (!text.failed)
        made = HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text.data, text.len, mac, NULL) != NULL;
    buf_free(&text);
    OPENSSL_cleanse(key, sizeof key);
    if (!made)
        return error_set(err, ERR_SYSTEM, "out of memory, or no SHA-256");
    EVP_EncodeBlock(base64, mac, MAC);
    return has_signature(m->signatures, (const char *)base64) ||
           error_set(err, ERR_AUTH_INVALID,
                     "the signature is wrong: another secret, or the body is not as it was sent");
}
