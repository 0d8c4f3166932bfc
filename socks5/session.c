/* socks5/session.c - one connection, see session.h. */
#include "socks5/session.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "socks5/dial.h"

enum {
    CHATTER_MAX = 4096,     /* what a receiver may say before it counts as one that misunderstands its role */
    LEAVING_MS = 1000,      /* for a refused client to read the refusal and close, or a sender to close */
    KEEPALIVE_S = 30,       /* idle until the first probe */
    KEEPALIVE_PROBE_S = 10, /* between probes */
    KEEPALIVE_PROBES = 3,
    UNSENT_MAX = 128 * 1024 /* bytes the kernel may hold unsent: bounds its memory, and makes "moved" mean something */
};
static const int64_t never = INT64_MAX;

/* A socket option that is refused costs comfort, not the stream. */
static void tune(int fd, const struct socks5_limits *limits)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_PROBE_S},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES},
        {IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_MAX},
    };
    unsigned silence = limits->idle_ms;

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(options[i].value));
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence, sizeof(silence));
}

static struct session *session_new(int fd, const struct socks5_limits *limits, _Atomic uint64_t *open_sockets)
{
    struct session *s = calloc(1, sizeof(*s));
    struct handshake *shake = calloc(1, sizeof(*shake));

    if (!s || !shake) {
        free(s);
        free(shake);
        fd_close(&fd);
        return NULL;
    }
    s->watch.fd = fd;
    s->limits = limits;
    s->open_sockets = open_sockets;
    s->shake = shake;
    atomic_fetch_add(open_sockets, 1);
    tune(fd, limits);
    return s;
}

struct session *session_accepted(int fd, const struct peer *peer, const struct socks5_limits *limits,
                                 _Atomic uint64_t *open_sockets, int64_t now)
{
    struct session *s = session_new(fd, limits, open_sockets);

    if (!s)
        return NULL;
    s->state = SESSION_SHAKING;
    s->peer = *peer;
    s->deadline = now + limits->handshake_ms;
    handshake_server(s->shake);
    return s;
}

struct session *session_dialled(int fd, const char *name, unsigned connect_ms, const struct socks5_limits *limits,
                                _Atomic uint64_t *open_sockets, int64_t now)
{
    struct session *s = session_new(fd, limits, open_sockets);

    if (!s)
        return NULL;
    s->state = SESSION_CONNECTING;
    s->deadline = now + connect_ms;
    handshake_client(s->shake, name);
    return s;
}

void session_close(struct session **session, bool reset)
{
    const struct linger cut = {.l_onoff = 1, .l_linger = 0};
    struct session *s = *session;

    *session = NULL;
    if (!s)
        return;
    poller_remove(&s->watch);
    if (reset)
        setsockopt(s->watch.fd, SOL_SOCKET, SO_LINGER, &cut, sizeof(cut));
    atomic_fetch_sub(s->open_sockets, 1); /* first: who sees the close finds it counted */
    fd_close(&s->watch.fd);
    free(s->shake);
    free(s);
}

int session_give(struct session **session)
{
    struct session *s = *session;
    int fd = s->watch.fd;

    assert(s->state == SESSION_OPEN);
    *session = NULL;
    poller_remove(&s->watch);
    free(s);
    return fd;
}

uint32_t session_events(const struct session *s)
{
    const uint32_t input = s->peer_closed ? 0 : EPOLLIN; /* an end of input stays readable for ever */

    switch (s->state) {
    case SESSION_CONNECTING:
        return EPOLLOUT;
    case SESSION_SHAKING:
        return EPOLLIN;
    case SESSION_ASKED:
        return 0;
    case SESSION_OPEN:
        return s->peer_closed ? 0 : EPOLLRDHUP;
    case SESSION_SENDING:
        return s->starved ? input : EPOLLOUT | input;
    case SESSION_LINGERING:
    case SESSION_LEAVING:
        return input;
    case SESSION_RECEIVING:
        return s->pump.left > 0 ? EPOLLIN : EPOLLOUT; /* nothing is wanted: done in its turn, all the same */
    case SESSION_RECEIVED:
        return 0;
    }
    return 0;
}

static bool broken(struct error *err, int error)
{
    return error_set(err, error == ETIMEDOUT ? ERR_STALLED : ERR_STREAM_BROKEN, "the connection broke: %s",
                     strerror(error));
}

/* ---- handshakes */

/* On a fresh connection the kernel has room for the few bytes of a handshake; a short write is a broken peer. */
static bool write_out(struct session *s, struct error *err)
{
    struct handshake *h = s->shake;
    size_t len = h->out_len;
    ssize_t n;

    h->out_len = 0;
    if (len == 0)
        return true;
    do
        n = send(s->watch.fd, h->out, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)len)
        return true;
    return error_set(err, ERR_STREAM_BROKEN, "the connection broke during the handshake");
}

static enum session_verdict leave(struct session *s, int64_t now)
{
    s->state = SESSION_LEAVING;
    s->deadline = now + LEAVING_MS;
    shutdown(s->watch.fd, SHUT_WR);
    return SESSION_GOES_ON;
}

static void opened(struct session *s)
{
    s->state = SESSION_OPEN;
    s->deadline = never;
    free(s->shake);
    s->shake = NULL;
}

/* Acts on one verdict of the handshake. */
static enum session_verdict shaken(struct session *s, enum handshake_verdict verdict, int64_t now, struct error *err)
{
    if (s->shake->out_len > 0 && s->shake->state == CLIENT_REPLY)
        s->deadline = now + s->limits->step_ms;
    if (!write_out(s, err))
        return SESSION_BROKEN;
    switch (verdict) {
    case HANDSHAKE_MORE:
        return SESSION_GOES_ON;
    case HANDSHAKE_ASKED:
        s->state = SESSION_ASKED;
        return SESSION_HAS_ASKED;
    case HANDSHAKE_OPEN:
        opened(s);
        return SESSION_IS_OPEN;
    case HANDSHAKE_REFUSED:
        return leave(s, now);
    case HANDSHAKE_FAILED:
        break;
    }
    *err = s->shake->error;
    return SESSION_BROKEN;
}

static enum session_verdict shake(struct session *s, int64_t now, struct error *err)
{
    uint8_t read[SOCKS5_MESSAGE];
    enum session_verdict verdict = SESSION_GOES_ON;

    while (verdict == SESSION_GOES_ON && s->state == SESSION_SHAKING) {
        ssize_t n = recv(s->watch.fd, read, handshake_wants(s->shake), 0);
        struct bytes in = {.at = read, .left = n > 0 ? (size_t)n : 0};

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return SESSION_GOES_ON;
        if (n <= 0) {
            broken(err, n < 0 ? errno : EPIPE);
            return SESSION_BROKEN;
        }
        verdict = shaken(s, handshake_feed(s->shake, &in), now, err);
    }
    return verdict;
}

static enum session_verdict connected(struct session *s, int64_t now, struct error *err)
{
    if (!dial_finish(s->watch.fd, err) || !write_out(s, err))
        return SESSION_BROKEN;
    s->state = SESSION_SHAKING;
    s->deadline = now + s->limits->step_ms;
    return SESSION_GOES_ON;
}

/* ---- sending */

/* Reads away what the peer says and notices its end. A reset after its end is reported by SO_ERROR alone. */
static bool discard_input(struct session *s, struct error *err)
{
    char thrown_away[1024];
    ssize_t n;
    int error = 0;
    socklen_t len = sizeof(error);

    while (!s->peer_closed) {
        n = recv(s->watch.fd, thrown_away, sizeof(thrown_away), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return broken(err, errno);
        s->peer_closed = n == 0;
        s->chatter += (size_t)n;
        if (s->chatter > CHATTER_MAX)
            return error_set(err, ERR_PEER_PROTOCOL_ERROR, "the receiver keeps sending bytes itself");
    }
    getsockopt(s->watch.fd, SOL_SOCKET, SO_ERROR, &error, &len);
    return error == 0 || broken(err, error);
}

/* Bytes, and after SHUT_WR the FIN, that the peer's kernel has not acknowledged yet. */
static int unacknowledged(const struct session *s)
{
    int bytes = 0;

    ioctl(s->watch.fd, SIOCOUTQ, &bytes); /* cannot fail on a TCP socket */
    return bytes;
}

/* Finished is: everything acknowledged, and the peer closed after it. Acknowledging is the kernel's doing: an
 * application that never reads looks the same until it closes. An end of the peer's stream with bytes outstanding is no
 * verdict yet: they will be acknowledged or answered with a reset. */
static enum session_verdict linger(struct session *s, int64_t now, struct error *err)
{
    int before = s->unacknowledged;

    s->unacknowledged = unacknowledged(s);
    if (s->unacknowledged == 0 && s->peer_closed)
        return SESSION_FINISHED;
    if (s->unacknowledged < before) {
        s->deadline = now + (s->unacknowledged == 0 ? s->limits->linger_ms : s->limits->idle_ms);
        return SESSION_GOES_ON;
    }
    if (now < s->deadline)
        return SESSION_GOES_ON;
    if (s->unacknowledged == 0)
        error_set(err, ERR_STALLED, "the receiver did not close within %u s of the last byte",
                  s->limits->linger_ms / 1000);
    else
        error_set(err, ERR_STALLED, "the receiver acknowledged nothing for %u s", s->limits->idle_ms / 1000);
    return SESSION_BROKEN;
}

static enum session_verdict all_sent(struct session *s, int64_t now, struct error *err)
{
    shutdown(s->watch.fd, SHUT_WR);
    s->state = SESSION_LINGERING;
    s->unacknowledged = INT32_MAX; /* so that the first look counts as progress */
    return linger(s, now, err);
}

static enum session_verdict pump(struct session *s, int64_t now, struct error *err)
{
    uint64_t before = s->pump.moved;
    size_t quantum = poller_crowded(&s->watch) ? PUMP_QUANTUM : PUMP_QUANTUM_ALONE;
    enum pump_outcome outcome = pump_turn(&s->pump, s->watch.fd, quantum, err);

    if (s->pump.moved > before)
        s->deadline = now + s->limits->idle_ms;
    switch (outcome) {
    case PUMP_FINISHED:
        return all_sent(s, now, err);
    case PUMP_ENDED: /* of the other direction */
    case PUMP_WAIT_OUTPUT:
        return SESSION_GOES_ON;
    case PUMP_WAIT_INPUT:
        if (s->pump.feed) {
            s->starved = true;
            s->deadline = never;
            return SESSION_GOES_ON;
        }
        error_set(err, ERR_SYSTEM, "the file is %llu bytes short", (unsigned long long)s->pump.left);
        return SESSION_BROKEN;
    case PUMP_INPUT_FAILED:
    case PUMP_OUTPUT_FAILED:
        return SESSION_BROKEN;
    }
    return SESSION_BROKEN;
}

static enum session_verdict sending(struct session *s, uint32_t events, int64_t now, struct error *err)
{
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP) && !discard_input(s, err))
        return SESSION_BROKEN;
    return events & EPOLLOUT ? pump(s, now, err) : SESSION_GOES_ON;
}

/* ---- receiving */

/* Whether more came behind the last byte that was wanted, as far as it is here by now. */
static bool has_extra(struct session *s)
{
    char byte;
    ssize_t n = recv(s->watch.fd, &byte, 1, MSG_PEEK);

    s->peer_closed = n == 0;
    return n > 0;
}

static enum session_verdict take(struct session *s, int64_t now, struct error *err)
{
    uint64_t before = s->pump.moved;
    size_t quantum = poller_crowded(&s->watch) ? PUMP_QUANTUM : PUMP_QUANTUM_ALONE;
    enum pump_outcome outcome = pump_take(&s->pump, s->watch.fd, quantum, err);

    if (s->pump.moved > before)
        s->deadline = now + s->limits->idle_ms;
    switch (outcome) {
    case PUMP_WAIT_INPUT:
    case PUMP_WAIT_OUTPUT: /* of the other direction */
        return SESSION_GOES_ON;
    case PUMP_FINISHED:
        s->extra = has_extra(s);
        break;
    case PUMP_ENDED:
        s->peer_closed = true;
        break;
    case PUMP_INPUT_FAILED:
    case PUMP_OUTPUT_FAILED:
        return SESSION_BROKEN;
    }
    s->state = SESSION_RECEIVED;
    s->deadline = never;
    return SESSION_FINISHED;
}

/* An end with bytes before it is none yet for whoever reads them. */
static bool has_unread(const struct session *s)
{
    int bytes = 0;

    ioctl(s->watch.fd, FIONREAD, &bytes); /* cannot fail on a TCP socket */
    return bytes > 0;
}

/* ---- what the owner calls */

static enum session_verdict closed_early(struct error *err)
{
    error_set(err, ERR_STREAM_BROKEN, "the connection was closed before the first byte");
    return SESSION_BROKEN;
}

static enum session_verdict step(struct session *s, uint32_t events, int64_t now, struct error *err)
{
    switch (s->state) {
    case SESSION_CONNECTING:
        return connected(s, now, err);
    case SESSION_SHAKING:
        return shake(s, now, err);
    case SESSION_OPEN:
        s->peer_closed = !(events & (EPOLLERR | EPOLLHUP)) && has_unread(s);
        return s->peer_closed ? SESSION_GOES_ON : closed_early(err);
    case SESSION_ASKED: /* only an error is reported here */
    case SESSION_RECEIVED:
        return closed_early(err);
    case SESSION_SENDING:
        return sending(s, events, now, err);
    case SESSION_LINGERING:
        return discard_input(s, err) ? linger(s, now, err) : SESSION_BROKEN;
    case SESSION_RECEIVING:
        return take(s, now, err);
    case SESSION_LEAVING:
        if (!discard_input(s, err))
            return SESSION_BROKEN;
        return s->peer_closed ? SESSION_FINISHED : SESSION_GOES_ON;
    }
    return SESSION_BROKEN;
}

/* The watch follows the state. */
static enum session_verdict settle(struct session *s, enum session_verdict verdict)
{
    if (s->watch.poller && (verdict == SESSION_GOES_ON || verdict == SESSION_IS_OPEN))
        poller_change(&s->watch, session_events(s));
    return verdict;
}

enum session_verdict session_step(struct session *s, uint32_t events, int64_t now, struct error *err)
{
    return settle(s, step(s, events, now, err));
}

enum session_verdict session_tick(struct session *s, int64_t now, struct error *err)
{
    if (s->state == SESSION_LINGERING)
        return linger(s, now, err);
    if (now < s->deadline)
        return SESSION_GOES_ON;
    switch (s->state) {
    case SESSION_LEAVING:
        return SESSION_FINISHED;
    case SESSION_CONNECTING:
        error_set(err, ERR_STREAMHOSTS_UNREACHABLE, "the streamhost did not answer in time");
        return SESSION_BROKEN;
    case SESSION_SENDING:
    case SESSION_RECEIVING:
        error_set(err, ERR_STALLED, "no byte moved for %u s", s->limits->idle_ms / 1000);
        return SESSION_BROKEN;
    case SESSION_SHAKING:
    case SESSION_ASKED:
    case SESSION_OPEN:
    case SESSION_LINGERING:
    case SESSION_RECEIVED:
        break;
    }
    error_set(err, ERR_STALLED, "the handshake took too long");
    return SESSION_BROKEN;
}

enum session_verdict session_answer(struct session *s, enum socks5_rep rep, int64_t now, struct error *err)
{
    enum session_verdict verdict;

    assert(s->state == SESSION_ASKED);
    verdict = shaken(s, handshake_answer(s->shake, rep), now, err);
    return settle(s, verdict);
}

bool session_alive(const struct session *s)
{
    struct pollfd p = {.fd = s->watch.fd, .events = POLLRDHUP};

    return poll(&p, 1, 0) == 0;
}

void session_pump(struct session *s, const struct pump *job, int64_t now)
{
    assert(s->state == SESSION_OPEN);
    s->pump = *job;
    s->state = job->takes ? SESSION_RECEIVING : SESSION_SENDING;
    s->peer_closed = false;
    s->deadline = now + s->limits->idle_ms;
    settle(s, SESSION_GOES_ON);
}

void session_leave(struct session *s, int64_t now)
{
    assert(s->state == SESSION_RECEIVED && !s->watch.poller);
    leave(s, now);
}

enum session_verdict session_fed(struct session *s, int64_t now, struct error *err)
{
    assert(s->state == SESSION_SENDING && s->starved);
    s->starved = false;
    s->deadline = now + s->limits->idle_ms;
    return settle(s, pump(s, now, err));
}
