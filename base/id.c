/* base/id.c - identifiers that sort by time and cannot be guessed, see id.h. */
#include "base/id.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

enum { ULID_DIGITS = 26, ULID_BYTES = 16, TIME_BYTES = 6 };

static const char crockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* An id that could be guessed is worse than no gateway. */
static void random_bytes(unsigned char *out, size_t n)
{
    assert(n <= 1024);
    if (RAND_bytes(out, (int)n) != 1)
        abort();
}

/* 128 bits, most significant first, as 26 digits of five bits; the first digit holds the top three. */
static void encode(const unsigned char ulid[static ULID_BYTES], char out[static ULID_DIGITS])
{
    for (int digit = 0; digit < ULID_DIGITS; digit++) {
        unsigned value = 0;

        for (int k = 0; k < 5; k++) {
            int bit = digit * 5 - 2 + k; /* 26 * 5 is two more than 128 */

            value = value << 1 | (bit < 0 ? 0 : (unsigned)ulid[bit / 8] >> (7 - bit % 8) & 1);
        }
        out[digit] = crockford[value];
    }
}

void id_make(char out[static ID_SIZE], const char prefix[static 3], long long wall_ms)
{
    unsigned char ulid[ULID_BYTES];

    assert(wall_ms >= 0 && wall_ms < 1LL << 48);
    assert(strlen(prefix) == 2);
    for (int i = 0; i < TIME_BYTES; i++)
        ulid[i] = (unsigned char)(wall_ms >> (8 * (TIME_BYTES - 1 - i)));
    random_bytes(ulid + TIME_BYTES, ULID_BYTES - TIME_BYTES);
    memcpy(out, prefix, 2);
    out[2] = '_';
    encode(ulid, out + 3);
    out[ID_LEN] = '\0';
}

/* Ten digits of five bits hold the 48 of the time: two in front are zero. */
long long id_time(const char *id)
{
    long long ms = 0;

    for (int digit = 0; digit < 10; digit++)
        ms = ms << 5 | (strchr(crockford, id[3 + digit]) - crockford);
    return ms;
}

bool id_valid(const char *text, const char prefix[static 3])
{
    if (strnlen(text, ID_SIZE) != ID_LEN || memcmp(text, prefix, 2) != 0 || text[2] != '_')
        return false;
    return text[3] <= '7' && strspn(text + 3, crockford) == ULID_DIGITS;
}

void id_hex(const void *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *raw = bytes;

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[raw[i] >> 4];
        out[2 * i + 1] = digits[raw[i] & 15];
    }
    out[2 * len] = '\0';
}

void id_random_hex(char *out, size_t bytes)
{
    unsigned char raw[1024];

    random_bytes(raw, bytes);
    id_hex(raw, bytes, out);
}
