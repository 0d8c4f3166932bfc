/* socks5/conduit.c - socket to pipe to socket, see conduit.h. */
#include "socks5/conduit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

void conduit_init(struct conduit *c)
{
    *c = (struct conduit){.in = -1, .out = -1};
}

static bool open_pipe(struct conduit *c)
{
    int ends[2], size;

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return false;
    fcntl(ends[1], F_SETPIPE_SZ, CONDUIT_PIPE); /* refused: it has what pipes have at first */
    size = fcntl(ends[1], F_GETPIPE_SZ);
    c->out = ends[0];
    c->in = ends[1];
    c->size = size > 0 ? (size_t)size : 0;
    return true;
}

bool conduit_open(struct conduit *c)
{
    if (c->in >= 0 || c->buffer || open_pipe(c))
        return true;
    c->buffer = malloc(CONDUIT_BUFFER);
    return c->buffer != NULL;
}

void conduit_close(struct conduit *c)
{
    fd_close(&c->in);
    fd_close(&c->out);
    free(c->buffer);
    conduit_init(c);
}

size_t conduit_room(int to, size_t unsent_max)
{
    uint32_t memory[SK_MEMINFO_VARS] = {0};
    socklen_t len = sizeof(memory);
    int unsent = 0;
    size_t room = unsent_max;

    if (ioctl(to, SIOCOUTQNSD, &unsent) == 0)
        room = (size_t)unsent < unsent_max ? unsent_max - (size_t)unsent : 0;
    if (getsockopt(to, SOL_SOCKET, SO_MEMINFO, memory, &len) == 0) {
        size_t buffer = memory[SK_MEMINFO_SNDBUF], used = memory[SK_MEMINFO_WMEM_QUEUED];

        if (buffer < room + used)
            room = used < buffer ? buffer - used : 0;
    }
    return room;
}

static struct rest *rest_new(size_t len)
{
    struct rest *r = malloc(sizeof(*r) + len);

    if (r)
        *r = (struct rest){.len = len};
    return r;
}

/* What lies in the pipe is nobody's any more; that of another stream must not come behind it. */
static void start_anew(struct conduit *c)
{
    conduit_close(c);
    conduit_open(c); /* without memory there is none until the next try */
}

/* The pipe's last bytes into memory. */
static enum conduit_outcome take_out(struct conduit *c, size_t left, struct rest **rest)
{
    struct rest *r = rest_new(left);
    ssize_t n;

    for (size_t have = 0; r && have < left; have += (size_t)n) {
        n = read(c->out, r->bytes + have, left - have);
        if (n <= 0) { /* not seen: they are there */
            free(r);
            r = NULL;
            break;
        }
    }
    *rest = r;
    if (r)
        return CONDUIT_STUCK;
    start_anew(c);
    return CONDUIT_NO_MEMORY;
}

static enum conduit_outcome nothing_read(ssize_t n, int *error)
{
    if (n == 0)
        return CONDUIT_ENDED;
    if (errno == EAGAIN || errno == EINTR)
        return CONDUIT_EMPTY;
    *error = errno;
    return CONDUIT_NO_INPUT;
}

static enum conduit_outcome by_pipe(struct conduit *c, int from, int to, size_t most, size_t *moved, struct rest **rest,
                                    int *error)
{
    const unsigned flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
    ssize_t n = splice(from, NULL, c->in, NULL, most < c->size ? most : c->size, flags);
    size_t left;

    if (n <= 0)
        return nothing_read(n, error);
    *moved = (size_t)n;
    left = (size_t)n;
    while (left > 0) {
        n = splice(c->out, NULL, to, NULL, left, flags);
        if (n > 0) {
            left -= (size_t)n;
        } else if (n == 0 || errno == EAGAIN) {
            return take_out(c, left, rest);
        } else if (errno != EINTR) {
            *error = errno;
            start_anew(c);
            return CONDUIT_NO_OUTPUT;
        }
    }
    return CONDUIT_MOVED;
}

/* 1: all of them; 0: there is no room; -1: failed. */
static int write_all(int to, const uint8_t *bytes, size_t len, size_t *written)
{
    while (*written < len) {
        ssize_t n = send(to, bytes + *written, len - *written, MSG_NOSIGNAL);

        if (n > 0)
            *written += (size_t)n;
        else if (n == 0 || errno == EAGAIN)
            return 0;
        else if (errno != EINTR)
            return -1;
    }
    return 1;
}

static enum conduit_outcome by_buffer(struct conduit *c, int from, int to, size_t most, size_t *moved,
                                      struct rest **rest, int *error)
{
    ssize_t n = recv(from, c->buffer, most < CONDUIT_BUFFER ? most : CONDUIT_BUFFER, 0);
    size_t written = 0;
    int went;

    if (n <= 0)
        return nothing_read(n, error);
    *moved = (size_t)n;
    went = write_all(to, c->buffer, (size_t)n, &written);
    if (went > 0)
        return CONDUIT_MOVED;
    if (went < 0) {
        *error = errno;
        return CONDUIT_NO_OUTPUT;
    }
    *rest = rest_new((size_t)n - written);
    if (!*rest)
        return CONDUIT_NO_MEMORY;
    memcpy((*rest)->bytes, c->buffer + written, (size_t)n - written);
    return CONDUIT_STUCK;
}

enum conduit_outcome conduit_move(struct conduit *c, int from, int to, size_t most, size_t *moved, struct rest **rest,
                                  int *error)
{
    *moved = 0;
    if (!conduit_open(c))
        return CONDUIT_NO_MEMORY;
    if (c->buffer)
        return by_buffer(c, from, to, most, moved, rest, error);
    return by_pipe(c, from, to, most, moved, rest, error);
}

enum conduit_outcome conduit_flush(struct rest **rest, int to, int *error)
{
    struct rest *r = *rest;
    int went = write_all(to, r->bytes, r->len, &r->at);

    if (went == 0)
        return CONDUIT_STUCK;
    if (went < 0) {
        *error = errno;
        return CONDUIT_NO_OUTPUT;
    }
    free(r);
    *rest = NULL;
    return CONDUIT_MOVED;
}
