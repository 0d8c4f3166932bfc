/* socks5/pump.c - sendfile, and its other way, in fair shares; see pump.h. */
#include "socks5/pump.h"

#include <errno.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

/* sendfile(2) does not say which of its two descriptors failed; these are what only a socket reports. */
static bool is_output_error(int error)
{
    switch (error) {
    case EPIPE:
    case ECONNRESET:
    case ECONNABORTED:
    case ENOTCONN:
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETUNREACH:
    case ENETDOWN:
    case ENETRESET:
    case EPROTO:
        return true;
    default:
        return false;
    }
}

static enum pump_outcome failed(int error, struct error *err)
{
    if (is_output_error(error)) {
        error_set(err, error == ETIMEDOUT ? ERR_STALLED : ERR_STREAM_BROKEN, "the stream broke: %s", strerror(error));
        return PUMP_OUTPUT_FAILED;
    }
    error_set(err, ERR_SYSTEM, "cannot read the file: %s", strerror(error));
    return PUMP_INPUT_FAILED;
}

/* How much may go out now. */
static uint64_t ready(struct pump *p)
{
    uint64_t there;

    if (!p->feed)
        return p->left;
    p->seen = feed_look(p->feed);
    there = p->seen.available > p->offset ? p->seen.available - p->offset : 0;
    if (p->seen.state == FEED_COMPLETE)
        return p->left;
    return there < p->left ? there : p->left - (p->left > 0);
}

enum pump_outcome pump_turn(struct pump *p, int socket, size_t quantum, struct error *err)
{
    uint64_t most = ready(p);
    size_t share = most < quantum ? (size_t)most : quantum;
    off_t offset = (off_t)p->offset;
    ssize_t n;

    if (p->feed && p->seen.state == FEED_ABORTED) {
        error_set(err, ERR_STREAM_BROKEN, "the upload broke off");
        return PUMP_INPUT_FAILED;
    }
    if (p->feed && p->seen.state == FEED_GROWING && most == 0)
        return PUMP_WAIT_INPUT;
    if (p->left == 0)
        return PUMP_FINISHED;
    do
        n = sendfile(socket, p->file->fd, &offset, share);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? PUMP_WAIT_OUTPUT : failed(errno, err);
    if (n == 0)
        return PUMP_WAIT_INPUT;
    p->offset += (uint64_t)n;
    p->left -= (uint64_t)n;
    p->moved += (uint64_t)n;
    if (p->feed)
        feed_take(p->feed, p->offset);
    return p->left == 0 ? PUMP_FINISHED : PUMP_WAIT_OUTPUT;
}

/* On the stack of a stream's thread. A pipe and splice(2) would not spare the copy: page caches take no pages. */
enum { PIECE = 128 * 1024 };

static bool put(int file, const char *data, size_t len, uint64_t offset, struct error *err)
{
    while (len > 0) {
        ssize_t n = pwrite(file, data, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == ENOSPC || errno == EDQUOT))
            return error_set(err, ERR_SPOOL_FULL, "the disk is full");
        if (n <= 0)
            return error_set(err, ERR_SYSTEM, "cannot write the file: %s",
                             n < 0 ? strerror(errno) : "it takes nothing");
        data += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return true;
}

enum pump_outcome pump_take(struct pump *p, int socket, size_t quantum, struct error *err)
{
    char piece[PIECE];

    while (quantum > 0 && p->left > 0) {
        size_t most = quantum < sizeof(piece) ? quantum : sizeof(piece);
        ssize_t n = recv(socket, piece, p->left < most ? (size_t)p->left : most, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return PUMP_WAIT_INPUT;
        if (n < 0) {
            error_set(err, errno == ETIMEDOUT ? ERR_STALLED : ERR_STREAM_BROKEN, "the stream broke: %s",
                      strerror(errno));
            return PUMP_INPUT_FAILED;
        }
        if (n == 0)
            return PUMP_ENDED;
        if (!put(p->file->fd, piece, (size_t)n, p->offset, err))
            return PUMP_OUTPUT_FAILED;
        p->offset += (uint64_t)n;
        p->left -= (uint64_t)n;
        p->moved += (uint64_t)n;
        quantum -= (size_t)n;
    }
    return p->left == 0 ? PUMP_FINISHED : PUMP_WAIT_INPUT;
}
