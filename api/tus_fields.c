#include "api/tus_fields.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Whole groups of four, padding only at their end (RFC 4648 section 4); out holds len/4*3+1. -1: it is none. */
static int decode(const char *text, size_t len, unsigned char *out)
{
    size_t digits = strspn(text, alphabet), padding;

    if (digits > len)
        digits = len;
    padding = len - digits;
    if (len % 4 != 0 || padding > 2 || strncmp(text + digits, "==", padding) != 0)
        return -1;
    if (len > 0 && EVP_DecodeBlock(out, (const unsigned char *)text, (int)len) < 0)
        return -1;
    len = len / 4 * 3 - padding;
    out[len] = '\0';
    return (int)len;
}

/* ---- Upload-Metadata */

static bool bad_metadata(struct error *err, const char *what)
{
    return error_set(err, ERR_PARAMETER_INVALID, "Upload-Metadata: %s", what);
}

static size_t key_length(const char *at)
{
    size_t len = 0;

    while (at[len] > ' ' && at[len] < 0x7f && at[len] != ',')
        len++;
    return len;
}

/* Whether the pairs before `end` have that key. */
static bool has_key(const char *line, const char *end, const char *key, size_t key_len)
{
    for (const char *at = line; at < end; at++) {
        at += strspn(at, " ");
        if (at < end && key_length(at) == key_len && memcmp(at, key, key_len) == 0)
            return true;
        at += strcspn(at, ",");
    }
    return false;
}

/* One of them; *at moves to what follows. out holds the value. */
static bool take_pair(const char *line, const char **at, unsigned char *out, tus_pair_fn *pair, void *user,
                      struct error *err)
{
    const char *begin = *at, *text;
    size_t key_len = key_length(begin), len;
    char key[TUS_KEY + 1];
    int size;

    if (key_len == 0 || key_len > TUS_KEY)
        return bad_metadata(err, "a key is missing, or longer than 128 characters, or has others than printable ASCII");
    if (has_key(line, begin, begin, key_len))
        return bad_metadata(err, "a key is there twice");
    memcpy(key, begin, key_len);
    key[key_len] = '\0';
    text = begin + key_len;
    text += strspn(text, " ");
    len = strcspn(text, ", ");
    size = decode(text, len, out);
    if (size < 0)
        return bad_metadata(err, "a value is not Base64");
    *at = text + len;
    *at += strspn(*at, " ");
    return pair(user, key, (const char *)out, (size_t)size, err);
}

bool tus_metadata_read(const char *line, tus_pair_fn *pair, void *user, struct error *err)
{
    const char *at = line + strspn(line, " ");
    unsigned char *value;
    bool ok;

    if (!*at)
        return true;
    if (strlen(line) > TUS_METADATA)
        return bad_metadata(err, "longer than 8192 bytes");
    value = malloc(strlen(line) + 1);
    if (!value)
        return error_set(err, ERR_INTERNAL, "out of memory");
    while ((ok = take_pair(line, &at, value, pair, user, err)) && *at == ',') {
        at++;
        at += strspn(at, " ");
    }
    free(value);
    if (ok && *at)
        return bad_metadata(err, "something follows a value; pairs are parted by commas");
    return ok;
}

/* ---- Upload-Checksum */

static const struct {
    const char *name, *algorithm;
    size_t size;
} checksums[] = {{"sha1", "SHA1", 20}, {"sha256", "SHA256", 32}, {"sha512", "SHA512", 64}};

bool tus_checksum_read(const char *value, struct tus_checksum *out, struct error *err)
{
    unsigned char raw[sizeof out->value / 3 * 3 + 8];
    size_t name_len = strcspn(value, " "), i = 0, len;
    const char *text = value + name_len + strspn(value + name_len, " ");

    while (i < sizeof checksums / sizeof *checksums &&
           (strlen(checksums[i].name) != name_len || memcmp(checksums[i].name, value, name_len) != 0))
        i++;
    if (i == sizeof checksums / sizeof *checksums)
        return error_set(err, ERR_DIGEST_UNSUPPORTED, "Upload-Checksum: one of " TUS_CHECKSUMS);
    len = strlen(text);
    if (len != (checksums[i].size + 2) / 3 * 4 || decode(text, len, raw) != (int)checksums[i].size)
        return error_set(err, ERR_REQUEST_MALFORMED, "Upload-Checksum: '%s' and the Base64 of its %zu bytes",
                         checksums[i].name, checksums[i].size);
    out->algorithm = checksums[i].algorithm;
    out->size = checksums[i].size;
    memcpy(out->value, raw, out->size);
    return true;
}
