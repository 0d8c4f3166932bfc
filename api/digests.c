#include "api/digests.h"

#include <string.h>

#include <openssl/evp.h>

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Exactly size bytes. Padding may be left out (RFC 8941 section 4.2.7). */
static bool decode(const char *text, size_t len, unsigned char *out, size_t size)
{
    char padded[92];
    unsigned char raw[sizeof padded / 4 * 3];
    size_t digits = (size * 8 + 5) / 6, whole = (digits + 3) / 4 * 4;

    while (len > 0 && text[len - 1] == '=')
        len--;
    if (len != digits || whole >= sizeof padded)
        return false;
    memset(padded, '=', whole);
    memcpy(padded, text, len);
    padded[whole] = '\0';
    if (EVP_DecodeBlock(raw, (const unsigned char *)padded, (int)whole) < (int)size)
        return false;
    memcpy(out, raw, size);
    return true;
}

static bool is_key(const char *key, size_t len, const char *name)
{
    return strlen(name) == len && memcmp(key, name, len) == 0;
}

static bool take_value(struct digests *d, const char *key, size_t key_len, const char *text, size_t len)
{
    if (is_key(key, key_len, "sha-256"))
        return d->has_sha256 = decode(text, len, d->sha256, SHA256_BYTES);
    if (is_key(key, key_len, "sha-512"))
        return d->has_sha512 = decode(text, len, d->sha512, SHA512_BYTES);
    return true;
}

/* `key=:base64:`, and parameters, which mean nothing here. */
static bool take_member(struct digests *d, const char **p)
{
    const char *key = *p, *text;
    size_t key_len = strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_-.*"), len;

    if (key_len == 0 || strchr("0123456789_-.", *key) || strncmp(key + key_len, "=:", 2) != 0)
        return false;
    text = key + key_len + 2;
    len = strspn(text, base64);
    len += strspn(text + len, "=");
    if (text[len] != ':' || !take_value(d, key, key_len, text, len))
        return false;
    *p = text + len + 1;
    *p += strspn(*p, " \t");
    if (**p == ';')
        *p += strcspn(*p, ",");
    return true;
}

bool digests_read(struct digests *d, const char *line, struct error *err)
{
    const char *p = line + strspn(line, " \t");

    if (!*p)
        return true;
    while (take_member(d, &p)) {
        if (!*p)
            return true;
        if (*p != ',')
            break;
        p++;
        p += strspn(p, " \t");
    }
    return error_set(err, ERR_REQUEST_MALFORMED,
                     "a digest is written sha-256=:BASE64: or sha-512=:BASE64:, with all of its bytes (RFC 9530)");
}

bool digests_merge(struct digests *d, const struct digests *other, struct error *err)
{
    if ((d->has_sha256 && other->has_sha256 && memcmp(d->sha256, other->sha256, SHA256_BYTES) != 0) ||
        (d->has_sha512 && other->has_sha512 && memcmp(d->sha512, other->sha512, SHA512_BYTES) != 0))
        return error_set(err, ERR_DIGEST_MISMATCH, "Content-Digest and Repr-Digest promise different things");
    if (other->has_sha256)
        memcpy(d->sha256, other->sha256, SHA256_BYTES);
    if (other->has_sha512)
        memcpy(d->sha512, other->sha512, SHA512_BYTES);
    d->has_sha256 |= other->has_sha256;
    d->has_sha512 |= other->has_sha512;
    return true;
}
