/* tests/bench/scram.c - see scram.h. */
#include "tests/bench/scram.h"

#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "tests/bench/net.h"

enum { KEY = 32 };

static void encode(const void *data, size_t len, char out[static SCRAM_SIZE])
{
    if (len > SCRAM_SIZE / 4 * 3 - 3)
        quit("SCRAM: too long");
    EVP_EncodeBlock((unsigned char *)out, data, (int)len);
}

/* Returns the length; what comes out is terminated. */
static size_t decode(const char *text, size_t len, unsigned char out[static SCRAM_SIZE])
{
    int n = len < SCRAM_SIZE ? EVP_DecodeBlock(out, (const unsigned char *)text, (int)len) : -1;

    if (n < 0)
        quit("SCRAM: no Base64: %s", text);
    for (size_t i = len; i > 0 && text[i - 1] == '='; i--)
        n--;
    out[n] = '\0';
    return (size_t)n;
}

static void hmac(const unsigned char key[static KEY], const char *text, unsigned char out[static KEY])
{
    HMAC(EVP_sha256(), key, KEY, (const unsigned char *)text, strlen(text), out, NULL);
}

void scram_begin(struct scram *s, const char *user, int user_len, char out[static SCRAM_SIZE])
{
    unsigned char random[18];
    char nonce[SCRAM_SIZE], whole[SCRAM_SIZE + 3];

    if (RAND_bytes(random, sizeof random) != 1)
        quit("no random bytes");
    encode(random, sizeof random, nonce);
    snprintf(s->first, sizeof s->first, "n=%.*s,r=%.24s", user_len, user, nonce);
    snprintf(whole, sizeof whole, "n,,%s", s->first);
    encode(whole, strlen(whole), out);
}

/* The value of r, s or i in "r=...,s=...,i=...". */
static const char *field(const char *text, char name, size_t *len)
{
    const char *at = text;

    while (at && (at[0] != name || at[1] != '=')) {
        at = strchr(at, ',');
        at = at ? at + 1 : NULL;
    }
    if (!at)
        quit("SCRAM: no %c in '%s'", name, text);
    *len = strcspn(at + 2, ",");
    return at + 2;
}

void scram_answer(const struct scram *s, const char *challenge, const char *password, char out[static SCRAM_SIZE])
{
    unsigned char told[SCRAM_SIZE], salt[SCRAM_SIZE], salted[KEY], client[KEY], stored[KEY], signature[KEY];
    char last[SCRAM_SIZE], all[3 * SCRAM_SIZE], proof[SCRAM_SIZE], rounds[16];
    size_t nonce_len, salt_len, rounds_len;
    const char *nonce, *salt_text, *rounds_text;

    decode(challenge, strlen(challenge), told);
    nonce = field((char *)told, 'r', &nonce_len);
    salt_text = field((char *)told, 's', &salt_len);
    rounds_text = field((char *)told, 'i', &rounds_len);
    snprintf(rounds, sizeof rounds, "%.*s", (int)rounds_len, rounds_text);
    salt_len = decode(salt_text, salt_len, salt);
    PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, (int)salt_len, (int)number(rounds, 1, 10000000),
                      EVP_sha256(), KEY, salted);
    hmac(salted, "Client Key", client);
    EVP_Digest(client, KEY, stored, NULL, EVP_sha256(), NULL);
    snprintf(last, sizeof last, "c=biws,r=%.*s", (int)(nonce_len < 500 ? nonce_len : 500), nonce);
    snprintf(all, sizeof all, "%s,%s,%s", s->first, (char *)told, last);
    hmac(stored, all, signature);
    for (size_t i = 0; i < KEY; i++)
        client[i] ^= signature[i];
    encode(client, KEY, proof);
    snprintf(all, sizeof all, "%s,p=%.44s", last, proof);
    encode(all, strlen(all), out);
}
