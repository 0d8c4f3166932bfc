#include "gateway/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/id.h"
#include "base/log.h"

enum { CHUNK = 256 * 1024, PIECE = 64 * CHUNK, SHA256_BYTES = 32 };

struct digest {
    uv_work_t work;
    uv_loop_t *loop;
    digest_done_fn *done; /* NULL: cancelled */
    void *user;
    struct shared_fd *file;
    uint64_t size, at;
    EVP_MD_CTX *md;
    bool failed;
    unsigned char *chunk;
};

static void release(struct digest *d)
{
    shared_fd_release(&d->file);
    EVP_MD_CTX_free(d->md);
    free(d->chunk);
    free(d);
}

/* In the pool. */
static bool take_chunk(struct digest *d)
{
    size_t wanted = d->size - d->at < CHUNK ? (size_t)(d->size - d->at) : CHUNK;
    ssize_t n;

    do
        n = pread(d->file->fd, d->chunk, wanted, (off_t)d->at);
    while (n < 0 && errno == EINTR);
    if (n <= 0 || EVP_DigestUpdate(d->md, d->chunk, (size_t)n) != 1)
        return false;
    d->at += (uint64_t)n;
    return true;
}

static void take_piece(uv_work_t *work)
{
    struct digest *d = work->data;
    uint64_t until = d->size - d->at < PIECE ? d->size : d->at + PIECE;

    while (!d->failed && d->at < until)
        d->failed = !take_chunk(d);
}

static void finish(struct digest *d)
{
    unsigned char raw[EVP_MAX_MD_SIZE];
    char hex[2 * SHA256_BYTES + 1];

    if (d->failed || EVP_DigestFinal_ex(d->md, raw, NULL) != 1) {
        log_error("digest.failed", log_str("error", "the file cannot be read"));
        d->done(d->user, NULL);
        return;
    }
    id_hex(raw, SHA256_BYTES, hex);
    d->done(d->user, hex);
}

static void piece_taken(uv_work_t *work, int status)
{
    struct digest *d = work->data;

    if (status == 0 && d->done && !d->failed && d->at < d->size &&
        uv_queue_work(d->loop, &d->work, take_piece, piece_taken) == 0)
        return;
    d->failed = d->failed || d->at < d->size;
    if (d->done)
        finish(d);
    release(d);
}

struct digest *digest_start(uv_loop_t *loop, struct shared_fd *file, uint64_t size, digest_done_fn *done, void *user)
{
    struct digest *d = calloc(1, sizeof *d);

    if (!d)
        return NULL;
    *d = (struct digest){.loop = loop, .done = done, .user = user, .size = size};
    d->work.data = d;
    d->file = shared_fd_hold(file);
    d->md = EVP_MD_CTX_new();
    d->chunk = malloc(CHUNK);
    if (!d->chunk || !d->md || EVP_DigestInit_ex(d->md, EVP_sha256(), NULL) != 1 ||
        uv_queue_work(loop, &d->work, take_piece, piece_taken) != 0) {
        release(d);
        return NULL;
    }
    return d;
}

void digest_cancel(struct digest **d)
{
    if (*d)
        (*d)->done = NULL;
    *d = NULL;
}
