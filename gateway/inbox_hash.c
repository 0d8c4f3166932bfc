#include "gateway/inbox_hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/id.h"

enum { CHUNK = 256 * 1024 };

static const struct {
    const char *algo, *ours; /* as OpenSSL names it */
    unsigned bytes;
} known[] = {
    {"md5", "MD5", 16},
    {"sha-1", "SHA1", 20},
    {"sha-256", "SHA256", 32},
    {"sha-512", "SHA512", 64},
    {"sha3-256", "SHA3-256", 32},
    {"sha3-512", "SHA3-512", 64},
    {"blake2b-512", "BLAKE2B512", 64},
};

static const EVP_MD *find(const char *algo)
{
    for (size_t i = 0; algo && i < sizeof known / sizeof *known; i++)
        if (strcasecmp(known[i].algo, algo) == 0)
            return EVP_get_digestbyname(known[i].ours);
    return NULL;
}

bool inbox_hash_known(const char *algo)
{
    return find(algo) != NULL;
}

static EVP_MD_CTX *begin(const EVP_MD *md)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (ctx && EVP_DigestInit_ex(ctx, md, NULL) == 1)
        return ctx;
    EVP_MD_CTX_free(ctx);
    return NULL;
}

bool inbox_hash_open(struct inbox_hash *h, const char *algo)
{
    const EVP_MD *md = find(algo);

    *h = (struct inbox_hash){.sha256 = begin(EVP_sha256())};
    if (md)
        h->promised = begin(md);
    return h->sha256 && (!md || h->promised);
}

bool inbox_hash_read(struct inbox_hash *h, int fd, uint64_t size, uint64_t most)
{
    unsigned char *chunk = malloc(CHUNK);
    uint64_t end = size - h->at < most ? size : h->at + most;
    bool ok = chunk != NULL;

    while (ok && h->at < end) {
        size_t wanted = end - h->at < CHUNK ? (size_t)(end - h->at) : CHUNK;
        ssize_t n = pread(fd, chunk, wanted, (off_t)h->at);

        if (n < 0 && errno == EINTR)
            continue;
        ok = n > 0 && EVP_DigestUpdate(h->sha256, chunk, (size_t)n) == 1 &&
             (!h->promised || EVP_DigestUpdate(h->promised, chunk, (size_t)n) == 1);
        h->at += ok ? (uint64_t)n : 0;
    }
    free(chunk);
    return ok;
}

static bool finish(EVP_MD_CTX *ctx, char out[static INBOX_DIGEST])
{
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    *out = '\0';
    if (!ctx)
        return true;
    if (EVP_DigestFinal_ex(ctx, raw, &len) != 1)
        return false;
    id_hex(raw, len, out);
    return true;
}

bool inbox_hash_finish(struct inbox_hash *h, char sha256[static INBOX_DIGEST], char promised[static INBOX_DIGEST])
{
    return finish(h->sha256, sha256) && finish(h->promised, promised);
}

void inbox_hash_close(struct inbox_hash *h)
{
    EVP_MD_CTX_free(h->sha256);
    EVP_MD_CTX_free(h->promised);
    *h = (struct inbox_hash){0};
}
