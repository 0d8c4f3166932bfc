/* socks5/pair.c - passing bytes on between two sockets, see pair.h. */
#include "socks5/pair.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "socks5/pump.h"
#include "socks5/worker.h"

enum {
    PROGRESS_MS = 1000,
    LOST_MAX = 4096, /* what may be thrown away because nobody is left to hear it; more is a broken stream */
    FEW = 16,        /* pairs of a thread that may have larger turns, and more of the kernel's memory, than all may */
    UNSENT_FEW = 1024 * 1024, /* bytes it may hold unsent for a side, so that a turn moves as much */
    UNSENT_MANY = 256 * 1024,
    CALM_SPILL = 16 * 1024 * 1024, /* more than this waits in memory: no more than little pieces are read */
    CALM_PIECE = 16 * 1024
};

static void on_ready(struct watch *w, uint32_t events);

/* ---- the thread's pipe */

static void count_pipe(struct pairs *set)
{
    struct socks5_engine *engine = set->worker->engine;
    const size_t size = set->conduit.size;

    if (size == set->counted)
        return;
    atomic_fetch_add(&engine->pipes, (uint64_t)(size > 0) - (set->counted > 0));
    atomic_fetch_add(&engine->pipe_bytes, (uint64_t)size - set->counted);
    set->counted = size;
}

/* ---- from birth to death */

struct pair *pair_new(struct socks5_engine *engine, uint64_t id, int first, int second)
{
    struct pair *p = calloc(1, sizeof(*p));

    if (!p) {
        atomic_fetch_sub(&engine->open_sockets, 2);
        fd_close(&first);
        fd_close(&second);
        return NULL;
    }
    p->id = id;
    p->engine = engine;
    for (int i = 0; i < 2; i++)
        p->sides[i].watch = (struct watch){.fd = i == 0 ? first : second, .ready = on_ready, .owner = p};
    return p;
}

static void rest_free(struct pair *p, struct side *s)
{
    if (!s->rest)
        return;
    atomic_fetch_sub(&p->engine->spilled, s->rest->len);
    free(s->rest);
    s->rest = NULL;
}

static void close_side(struct pair *p, struct side *s, bool reset)
{
    const struct linger cut = {.l_onoff = 1, .l_linger = 0};

    rest_free(p, s);
    if (s->watch.fd < 0)
        return;
    poller_remove(&s->watch);
    if (reset)
        setsockopt(s->watch.fd, SOL_SOCKET, SO_LINGER, &cut, sizeof(cut));
    atomic_fetch_sub(&p->engine->open_sockets, 1); /* first: who sees the close finds it counted */
    fd_close(&s->watch.fd);
}

void pair_free(struct pair **pair)
{
    struct pair *p = *pair;

    *pair = NULL;
    if (!p)
        return;
    for (int i = 0; i < 2; i++)
        close_side(p, &p->sides[i], true);
    free(p);
}

static struct pair **bucket_of(struct pairs *set, uint64_t id)
{
    return &set->buckets[id / set->worker->engine->worker_count % PAIR_BUCKETS];
}

static void take_off(struct pairs *set, struct pair *p)
{
    struct pair **at = bucket_of(set, p->id);

    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    set->count--;
}

static struct pairs *home_of(const struct pair *p)
{
    return &engine_home(p->engine, p->id)->pairs;
}

/* Home to the lobby, which gives the name free and tells. */
static void over(struct pair *p, enum error_code code, const char *why)
{
    bool posted, reset = code != ERR_NONE;

    if (reset)
        error_set(&p->why, code, "%s", why);
    take_off(home_of(p), p);
    for (int i = 0; i < 2; i++)
        close_side(p, &p->sides[i], reset);
    p->message.handle = lobby_on_over;
    p->message.discard = lobby_discard;
    posted = mailbox_post(p->engine->workers[0].mailbox, &p->message);
    assert(posted); /* the first thread ends last */
    (void)posted;
}

void pairs_open(struct pairs *set, struct worker *worker)
{
    memset(set, 0, sizeof(*set));
    set->worker = worker;
    conduit_init(&set->conduit);
}

void pairs_close(struct pairs *set)
{
    for (size_t i = 0; i < PAIR_BUCKETS; i++) {
        while (set->buckets[i]) {
            struct pair *p = set->buckets[i];

            take_off(set, p);
            pair_free(&p);
        }
    }
    conduit_close(&set->conduit);
    count_pipe(set);
}

/* ---- what is waited for */

static struct side *other(struct pair *p, const struct side *s)
{
    return &p->sides[s == &p->sides[0]];
}

static bool throttled(const struct pair *p)
{
    return p->options.rate > 0 && p->allowance == 0;
}

static uint32_t events_of(struct pair *p, struct side *s)
{
    const struct side *o = other(p, s);
    uint32_t events = 0;

    if (!s->ended && !s->blocked && !throttled(p))
        events |= EPOLLIN;
    if (o->blocked)
        events |= EPOLLOUT;
    return events;
}

static void watch_both(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        if (p->sides[i].watch.poller)
            poller_change(&p->sides[i].watch, events_of(p, &p->sides[i]));
    }
}

/* ---- passing on
 *
 * These return false when the pair is over and p is gone. */

static bool broken(struct pair *p, int error)
{
    over(p, error == ETIMEDOUT ? ERR_STALLED : ERR_STREAM_BROKEN, strerror(error));
    return false;
}

/* The side that was told of the other's end. */
static struct side *last_one(struct pair *p)
{
    return &p->sides[p->sides[0].passed ? 1 : 0];
}

static void alive(struct pair *p, int64_t now)
{
    const struct socks5_pairing *limits = &p->engine->limits.pairing;
    const bool waits = (p->sides[0].passed || p->sides[1].passed) && last_one(p)->unacknowledged == 0;

    p->deadline = now + (waits ? limits->linger_ms : limits->idle_ms);
}

/* Its last byte is on its way: the other side may know that it was the last. */
static bool pass_end(struct pair *p, struct side *from, int64_t now)
{
    struct side *to = other(p, from);

    if (from->passed)
        return true;
    from->passed = true;
    if (to->passed) {
        over(p, ERR_NONE, NULL);
        return false;
    }
    shutdown(to->watch.fd, SHUT_WR); /* deaf or not */
    to->unacknowledged = INT32_MAX;  /* so that the first look counts as progress */
    alive(p, now);
    return true;
}

/* Nobody is left who could hear these. A few are what a receiver says last to a sender that has closed, and no reason
 * to cut short what that one sent; more are half a file. */
static bool lose(struct pair *p, struct side *from, size_t bytes)
{
    other(p, from)->deaf = true;
    if (bytes > LOST_MAX - p->lost) {
        over(p, ERR_STREAM_BROKEN, "one side closed the connection while the other still sent");
        return false;
    }
    p->lost += (uint32_t)bytes;
    rest_free(p, from);
    from->blocked = false;
    return true;
}

/* A side that is gone calls no more, so it is read to its end. */
static bool throw_away(struct pair *p, struct side *from, int64_t now)
{
    char bytes[LOST_MAX + 1];

    do {
        ssize_t n = recv(from->watch.fd, bytes, sizeof(bytes), 0);

        if (n < 0)
            return errno == EAGAIN || errno == EINTR || broken(p, errno);
        from->ended = n == 0;
        if (!(from->ended ? pass_end(p, from, now) : lose(p, from, (size_t)n)))
            return false;
    } while (from->gone && !from->ended);
    return true;
}

/* How many bytes may be read of a side now. */
static size_t share_of(struct pair *p, struct side *from, struct side *to)
{
    const bool many = home_of(p)->count > FEW && poller_crowded(&from->watch);
    uint64_t most = many ? PUMP_QUANTUM : PUMP_QUANTUM_ALONE;
    uint64_t room = conduit_room(to->watch.fd, p->unsent_max);

    if (most > room)
        most = room;
    if (p->options.rate > 0 && most > p->allowance)
        most = p->allowance;
    if (most > CALM_PIECE && atomic_load_explicit(&p->engine->spilled, memory_order_relaxed) > CALM_SPILL)
        most = CALM_PIECE;
    if (p->options.max_bytes > 0) { /* one byte too many is what tells */
        uint64_t left = p->options.max_bytes + 1 - p->sides[0].moved - p->sides[1].moved;

        most = most < left ? most : left;
    }
    return (size_t)most;
}

static bool count(struct pair *p, struct side *from, size_t moved, int64_t now)
{
    if (moved == 0)
        return true;
    from->moved += moved;
    p->allowance -= p->options.rate > 0 ? moved : 0;
    atomic_fetch_add_explicit(&p->engine->relayed, moved, memory_order_relaxed);
    alive(p, now);
    if (p->options.max_bytes == 0 || p->sides[0].moved + p->sides[1].moved <= p->options.max_bytes)
        return true;
    over(p, ERR_SIZE_EXCEEDED, "more bytes than one stream through this proxy may have");
    return false;
}

static bool move_some(struct pair *p, struct side *from, struct side *to, size_t most, int64_t now)
{
    struct conduit *c = &home_of(p)->conduit;
    size_t moved;
    int error = 0;
    enum conduit_outcome outcome = conduit_move(c, from->watch.fd, to->watch.fd, most, &moved, &from->rest, &error);

    if (from->rest)
        atomic_fetch_add(&p->engine->spilled, from->rest->len);
    if (!count(p, from, moved, now))
        return false;
    switch (outcome) {
    case CONDUIT_MOVED:
        from->blocked = from->gone; /* nothing but room is waited for then */
        return true;
    case CONDUIT_STUCK:
        from->blocked = true;
        return true;
    case CONDUIT_EMPTY:
        return true;
    case CONDUIT_ENDED:
        from->ended = true;
        return pass_end(p, from, now);
    case CONDUIT_NO_INPUT:
        return broken(p, error);
    case CONDUIT_NO_OUTPUT:
        return lose(p, from, moved);
    case CONDUIT_NO_MEMORY:
        over(p, ERR_SYSTEM, "out of memory");
        return false;
    }
    return true;
}

/* true also when some of it is left. */
static bool flush(struct pair *p, struct side *from, struct side *to, int64_t now)
{
    size_t held = from->rest->len, left;
    int error;
    enum conduit_outcome outcome;

    left = held - from->rest->at;
    outcome = conduit_flush(&from->rest, to->watch.fd, &error);
    if (outcome == CONDUIT_NO_OUTPUT)
        return lose(p, from, left);
    if (outcome == CONDUIT_MOVED)
        atomic_fetch_sub(&p->engine->spilled, held);
    alive(p, now);
    return true;
}

static bool read_some(struct pair *p, struct side *from, struct side *to, int64_t now)
{
    size_t most;

    from->blocked = false;
    if (throttled(p))
        return true;
    most = share_of(p, from, to);
    from->blocked = most == 0;
    return from->blocked || move_some(p, from, to, most, now);
}

/* One turn of one direction. */
static bool pass(struct pair *p, struct side *from, int64_t now)
{
    struct side *to = other(p, from);

    if (from->rest && !flush(p, from, to, now))
        return false;
    if (from->rest || from->ended)
        return true;
    if (!to->deaf && !read_some(p, from, to, now))
        return false;
    return !to->deaf || from->ended || throw_away(p, from, now);
}

static void on_ready(struct watch *w, uint32_t events)
{
    struct side *s = (struct side *)w; /* its first member */
    struct pair *p = w->owner;
    struct side *o = other(p, s);
    const bool gone = (events & (EPOLLERR | EPOLLHUP)) != 0;
    int64_t now = clock_ms();

    if (gone) {
        s->gone = true;
        poller_remove(&s->watch); /* it would be reported without an end */
    }
    if (o->blocked && (gone || events & EPOLLOUT) && !pass(p, o, now))
        return;
    if (!s->blocked && (gone || events & EPOLLIN) && !pass(p, s, now))
        return;
    watch_both(p);
}

/* ---- the set */

/* What the handshake's socket was tuned for was one file and a receiver that reads it. */
static void tune(int fd, unsigned unsent, const struct socks5_pairing *limits)
{
    const unsigned silence = limits->idle_ms;

    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence, sizeof(silence));
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
}

void pairs_join(struct pairs *set, struct pair *p)
{
    int64_t now = clock_ms();
    struct error err;

    p->next = *bucket_of(set, p->id);
    *bucket_of(set, p->id) = p;
    set->count++;
    p->joined = p->swept = now;
    p->next_progress = now + PROGRESS_MS;
    p->allowance = p->options.rate;
    p->unsent_max = set->count <= FEW ? UNSENT_FEW : UNSENT_MANY;
    alive(p, now);
    for (int i = 0; i < 2; i++) {
        tune(p->sides[i].watch.fd, p->unsent_max, &p->engine->limits.pairing);
        if (!poller_add(&set->worker->poller, &p->sides[i].watch, EPOLLIN, &err)) {
            over(p, err.code, err.text);
            return;
        }
    }
    worker_sweep_soon(set->worker);
}

void pairs_cancel(struct pairs *set, uint64_t id)
{
    struct pair *p = *bucket_of(set, id);

    while (p && p->id != id)
        p = p->next;
    if (p)
        over(p, ERR_CANCELLED, "the relay was told to end it");
}

/* ---- time */

static void progress(struct pair *p, int64_t now)
{
    const uint64_t moved = p->sides[0].moved + p->sides[1].moved;

    if (moved == p->told || now < p->next_progress)
        return;
    p->told = moved;
    p->next_progress = now + PROGRESS_MS;
    p->engine->on_event(p->engine->user, &(struct socks5_event){.kind = SOCKS5_PAIR_PROGRESS,
                                                                .stream = p->id,
                                                                .moved = p->sides[0].moved,
                                                                .back = p->sides[1].moved});
}

/* With a rate, a sweep's worth of it: what was not used is not saved up for longer than a second. */
static bool refill(struct pair *p, int64_t now)
{
    const uint64_t passed = (uint64_t)(now - p->swept);
    bool was_throttled = throttled(p);

    p->swept = now;
    if (p->options.rate == 0)
        return true;
    p->allowance += p->options.rate * passed / 1000;
    if (p->allowance > p->options.rate)
        p->allowance = p->options.rate;
    if (!was_throttled || p->allowance == 0)
        return true;
    for (int i = 0; i < 2; i++) {
        if (p->sides[i].gone && !p->sides[i].blocked && !pass(p, &p->sides[i], now)) /* nobody else would call */
            return false;
    }
    watch_both(p);
    return true;
}

/* One side has ended: what the kernel still has for the other goes at its own pace; then the other may follow. */
static bool linger(struct pair *p, int64_t now)
{
    struct side *to = last_one(p);
    int before = to->unacknowledged;

    ioctl(to->watch.fd, SIOCOUTQ, &to->unacknowledged); /* cannot fail on a TCP socket */
    if (to->unacknowledged < before)
        alive(p, now);
    if (now < p->deadline)
        return true;
    over(p, to->unacknowledged == 0 ? ERR_NONE : ERR_STALLED, "the receiver acknowledged nothing for too long");
    return false;
}

static void sweep(struct pair *p, int64_t now)
{
    if (!refill(p, now))
        return;
    progress(p, now);
    if ((p->sides[0].passed || p->sides[1].passed) && !linger(p, now))
        return;
    if (now >= p->deadline)
        over(p, ERR_STALLED, "no byte moved for too long");
}

bool pairs_sweep(struct pairs *set, int64_t now)
{
    for (size_t i = 0; i < PAIR_BUCKETS; i++) {
        struct pair *next;

        for (struct pair *p = set->buckets[i]; p; p = next) {
            next = p->next;
            sweep(p, now);
        }
    }
    if (set->count == 0)
        conduit_close(&set->conduit);
    count_pipe(set);
    return set->count > 0;
}
