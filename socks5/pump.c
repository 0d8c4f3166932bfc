/* socks5/pump.c - sendfile in fair shares, see pump.h. */
#include "socks5/pump.h"

#include <errno.h>
#include <string.h>
#include <sys/sendfile.h>

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
