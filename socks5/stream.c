/* socks5/stream.c - from a name to a file's last byte, see stream.h. */
#include "socks5/stream.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/feed.h"
#include "base/log.h"
#include "socks5/dial.h"
#include "socks5/worker.h"

/* Each tells how far it is so often, but all of a thread no more than one a millisecond between them. */
enum { PROGRESS_MS = 250 };

/* Left with a feed, and sent to the worker when there is news: its own, so that the stream may end meanwhile. */
struct hunger {
    struct feed_waiter waiter; /* first */
    struct message message;
    struct mailbox *mailbox;
    uint64_t stream;
};

struct stream {
    uint64_t id;
    struct streams *home;
    struct stream *next;                       /* in its bucket */
    struct session *sessions[STREAM_SESSIONS]; /* oldest first; while sending, [0] has the job; flowing: [0] alone */
    size_t session_count;
    bool claimed;          /* a peer came, and the owner was told */
    bool dialled;          /* we went to the peer; sessions has that one alone */
    bool pumping;          /* sessions[0] has the job; of one that takes, all of them */
    bool flowing;          /* a byte moved, or there was none to move: there is no way back */
    bool received;         /* told so; until streams_cancel() */
    bool leaving;          /* after it: of its session's end nobody is told */
    struct pump job;       /* without a file: none yet */
    struct hunger *hunger; /* left with the job's feed; NULL: none, or its news was taken */
    int64_t wait_until;
    int64_t next_progress;
    uint64_t told; /* of moved */
};

static void on_ready(struct watch *w, uint32_t events);

/* ---- the set */

static struct stream **bucket_of(struct streams *set, uint64_t id)
{
    return &set->buckets[id % STREAM_BUCKETS];
}

static struct stream *find(struct streams *set, uint64_t id)
{
    struct stream *st = *bucket_of(set, id);

    while (st && st->id != id)
        st = st->next;
    return st;
}

static struct stream *stream_new(struct streams *set, uint64_t id)
{
    struct stream *st = calloc(1, sizeof(*st));

    assert(!find(set, id));
    if (!st)
        return NULL;
    st->id = id;
    st->home = set;
    st->wait_until = INT64_MAX;
    st->next = *bucket_of(set, id);
    *bucket_of(set, id) = st;
    set->count++;
    worker_sweep_soon(set->worker);
    return st;
}

static void drop_sessions(struct stream *st, size_t from, bool reset)
{
    for (size_t i = from; i < st->session_count; i++)
        session_close(&st->sessions[i], reset);
    if (st->session_count > from)
        st->session_count = from;
}

static void stream_free(struct stream *st, bool reset)
{
    struct stream **at = bucket_of(st->home, st->id);

    while (*at != st)
        at = &(*at)->next;
    *at = st->next;
    st->home->count--;
    if (!st->flowing)
        tickets_remove(st->home->worker->engine->tickets, st->id);
    drop_sessions(st, 0, reset);
    if (st->hunger && feed_withdraw_reader(st->job.feed, &st->hunger->waiter))
        free(st->hunger);
    feed_release(&st->job.feed);
    shared_fd_release(&st->job.file);
    free(st);
}

void streams_open(struct streams *set, struct worker *worker)
{
    memset(set, 0, sizeof(*set));
    set->worker = worker;
}

void streams_close(struct streams *set)
{
    for (size_t i = 0; i < STREAM_BUCKETS; i++) {
        while (set->buckets[i])
            stream_free(set->buckets[i], true);
    }
}

/* ---- events */

static void tell(struct streams *set, const struct socks5_event *event)
{
    struct socks5_engine *engine = set->worker->engine;

    engine->on_event(engine->user, event);
}

static void emit(struct stream *st, enum socks5_event_kind kind, uint64_t moved)
{
    tell(st->home, &(struct socks5_event){.kind = kind, .stream = st->id, .moved = moved});
}

/* The last event tells of a stream whose sockets are closed. */
static void finish(struct stream *st, uint64_t moved)
{
    struct socks5_event event = {.kind = SOCKS5_DONE, .stream = st->id, .moved = moved};
    struct streams *home = st->home;

    stream_free(st, false);
    tell(home, &event);
}

static void fail(struct stream *st, uint64_t moved, const struct error *err)
{
    struct socks5_event event = {.kind = SOCKS5_FAILED, .stream = st->id, .moved = moved, .error = *err};
    struct streams *home = st->home;

    stream_free(st, true);
    tell(home, &event);
}

/* Without a stream there is nothing to free, and its owner waits all the same. */
static void fail_unborn(struct streams *set, uint64_t id)
{
    struct socks5_event event = {.kind = SOCKS5_FAILED, .stream = id};

    error_set(&event.error, ERR_SYSTEM, "out of memory");
    tell(set, &event);
}

static void progress(struct stream *st, uint64_t moved)
{
    int64_t now;

    if (moved == st->told)
        return;
    now = clock_ms();
    if (now < st->next_progress)
        return;
    st->next_progress = now + (st->home->count > PROGRESS_MS ? (int64_t)st->home->count : PROGRESS_MS);
    st->told = moved;
    emit(st, SOCKS5_PROGRESS, moved);
}

/* ---- sending and taking */

/* From the first byte on, there is one peer, and whoever else asks for the name is a stranger. */
static void keep_the_one(struct stream *st)
{
    const struct session *s = st->sessions[0];

    if (st->flowing || (s->pump.moved == 0 && (s->state == SESSION_SENDING || s->state == SESSION_RECEIVING)))
        return;
    st->flowing = true;
    tickets_remove(st->home->worker->engine->tickets, st->id);
    drop_sessions(st, 1, false);
}

static void start(struct stream *st);
static void feed(struct stream *st);

/* What a step of one of the stream's sessions means; st may be gone afterwards. */
static void act(struct stream *st, struct session *s, enum session_verdict verdict, const struct error *err);

static void remove_session(struct stream *st, struct session *s, bool reset)
{
    size_t i = 0;

    while (st->sessions[i] != s)
        i++;
    session_close(&s, reset);
    st->session_count--;
    memmove(&st->sessions[i], &st->sessions[i + 1], (st->session_count - i) * sizeof(st->sessions[0]));
}

static void lost(struct stream *st, struct session *s, const struct error *err)
{
    uint64_t moved = s->pump.moved;
    bool was_sending = st->pumping && (st->job.takes ? st->session_count == 1 : s == st->sessions[0]);
    bool was_open = s->state != SESSION_CONNECTING && s->state != SESSION_SHAKING;
    struct error why = *err;

    remove_session(st, s, was_sending);
    if (was_sending && !st->flowing && st->session_count > 0) {
        st->pumping = false;
        start(st);
    } else if (was_sending || st->dialled) {
        if (!was_open) /* however it went wrong, this host will not do */
            why.code = ERR_STREAMHOSTS_UNREACHABLE;
        fail(st, moved, &why);
    }
}

/* Writer's thread. */
static void on_news(struct feed_waiter *w)
{
    struct hunger *h = (struct hunger *)w;

    if (!mailbox_post(h->mailbox, &h->message))
        free(h);
}

static struct hunger *hunger_of(struct message *m)
{
    return (struct hunger *)((char *)m - offsetof(struct hunger, message));
}

static void discard_hunger(struct message *m)
{
    free(hunger_of(m));
}

static void on_fed(void *owner, struct message *m)
{
    struct hunger *h = hunger_of(m);
    struct stream *st = find(&((struct worker *)owner)->streams, h->stream);

    if (st && st->hunger == h) {
        st->hunger = NULL;
        feed(st);
    }
    free(h);
}

/* The file has not grown far enough: whoever writes it will say when it has. */
static void starve(struct stream *st, struct session *s)
{
    struct hunger *h = st->hunger ? NULL : calloc(1, sizeof(*h));
    struct error err;

    if (st->hunger)
        return;
    if (!h) {
        error_set(&err, ERR_SYSTEM, "out of memory");
        fail(st, s->pump.moved, &err);
        return;
    }
    *h = (struct hunger){.waiter.wake = on_news,
                         .message = {.handle = on_fed, .discard = discard_hunger},
                         .mailbox = st->home->worker->mailbox,
                         .stream = st->id};
    st->hunger = h;
    if (!feed_await_news(st->job.feed, s->pump.seen, &h->waiter))
        on_news(&h->waiter); /* there is some already: it waits for its turn like any other */
}

/* Of several sockets to take from, the one that has said something. */
static void move_first(struct stream *st, struct session *s)
{
    for (size_t i = 1; i < st->session_count; i++) {
        if (st->sessions[i] != s)
            continue;
        st->sessions[i] = st->sessions[0];
        st->sessions[0] = s;
    }
}

/* As much as was wanted, or until the other side's end; which of a socket that said nothing is that of this one alone,
 * as long as there are others. */
static void received(struct stream *st, struct session *s)
{
    if (s->pump.moved == 0 && s->pump.left > 0 && st->session_count > 1) {
        remove_session(st, s, false);
        return;
    }
    move_first(st, s);
    keep_the_one(st);
    poller_remove(&s->watch);
    st->received = true;
    tell(st->home,
         &(struct socks5_event){.kind = SOCKS5_DONE, .stream = st->id, .moved = s->pump.moved, .extra = s->extra});
}

static void act(struct stream *st, struct session *s, enum session_verdict verdict, const struct error *err)
{
    if (st->leaving) {
        if (verdict != SESSION_GOES_ON)
            stream_free(st, false);
        return;
    }
    switch (verdict) {
    case SESSION_GOES_ON:
        if (st->pumping && st->job.takes && s->pump.moved > 0)
            move_first(st, s);
        if (!st->pumping || s != st->sessions[0])
            break;
        keep_the_one(st);
        progress(st, s->pump.moved);
        if (s->starved)
            starve(st, s);
        break;
    case SESSION_IS_OPEN:
        emit(st, SOCKS5_DIALED, 0);
        if (st->job.file)
            start(st);
        break;
    case SESSION_FINISHED:
        if (st->job.takes)
            received(st, s);
        else
            finish(st, s->pump.moved);
        break;
    case SESSION_BROKEN:
        lost(st, s, err);
        break;
    case SESSION_HAS_ASKED: /* not reached: a stream's sessions have been answered */
        break;
    }
}

static void feed(struct stream *st)
{
    struct error err = {0};
    struct session *s = st->session_count > 0 ? st->sessions[0] : NULL;

    if (st->pumping && s && s->starved) /* else another peer took over, and looks for itself */
        act(st, s, session_fed(s, clock_ms(), &err), &err);
}

/* Whoever has closed since may have said all of it before. */
static void start_taking(struct stream *st)
{
    struct error err = {0};

    if (st->session_count == 0) {
        error_set(&err, ERR_STREAM_BROKEN, "the sender hung up before the first byte");
        fail(st, 0, &err);
        return;
    }
    st->pumping = true;
    for (size_t i = 0; i < st->session_count; i++) {
        if (st->sessions[i]->state == SESSION_OPEN)
            session_pump(st->sessions[i], &st->job, clock_ms());
    }
}

/* Gives the job to the first peer that is still there. */
static void start(struct stream *st)
{
    struct error err = {0};
    struct session *s;

    if (st->job.takes) {
        start_taking(st);
        return;
    }
    while (st->session_count > 0 && !session_alive(st->sessions[0]))
        remove_session(st, st->sessions[0], false);
    if (st->session_count == 0) {
        error_set(&err, ERR_STREAM_BROKEN, "the recipient hung up before the first byte");
        fail(st, 0, &err);
        return;
    }
    s = st->sessions[0];
    st->pumping = true;
    session_pump(s, &st->job, clock_ms());
}

void streams_pump(struct streams *set, uint64_t id, const struct pump *job)
{
    struct stream *st = find(set, id);
    struct shared_fd *unsent = job->file;
    struct feed *unread = job->feed;

    if (!st) {
        shared_fd_release(&unsent);
        feed_release(&unread);
        return;
    }
    assert(!st->job.file);
    st->job = *job;
    if (st->claimed || (st->dialled && st->sessions[0]->state == SESSION_OPEN))
        start(st);
}

static void on_ready(struct watch *w, uint32_t events)
{
    struct session *s = (struct session *)w; /* its first member */
    struct error err = {0};

    act(w->owner, s, session_step(s, events, clock_ms(), &err), &err);
}

static bool adopt(struct stream *st, struct session *s, struct error *err)
{
    s->watch.owner = st;
    s->watch.ready = on_ready;
    if (!poller_add(&st->home->worker->poller, &s->watch, session_events(s), err))
        return false;
    st->sessions[st->session_count++] = s;
    return true;
}

/* ---- waiting for a peer */

void streams_expect(struct streams *set, uint64_t id, unsigned wait_ms)
{
    struct stream *st = stream_new(set, id);

    if (st)
        st->wait_until = clock_ms() + wait_ms;
    else
        fail_unborn(set, id);
}

/* Too late, or one too many. There is nobody to wait for its close: a client that was refused has nothing to lose. */
static void refuse(struct streams *set, struct session *s)
{
    struct error err;

    atomic_fetch_add(&set->worker->engine->refused, 1);
    session_answer(s, SOCKS5_REP_NOT_ALLOWED, clock_ms(), &err);
    session_close(&s, false);
}

static bool is_hijack(const struct stream *st, const struct session *s)
{
    for (size_t i = 0; i < st->session_count; i++) {
        if (!peer_same(&st->sessions[i]->peer, &s->peer) && session_alive(st->sessions[i]))
            return true;
    }
    return false;
}

static void fail_hijacked(struct stream *st, struct session *s)
{
    char first[PEER_TEXT], second[PEER_TEXT];
    struct error err;

    log_warn("socks5.possible_hijack", log_str("first", peer_text(&st->sessions[0]->peer, first)),
             log_str("second", peer_text(&s->peer, second)));
    error_set(&err, ERR_SECURITY_REFUSED, "two different addresses claimed this bytestream");
    refuse(st->home, s);
    fail(st, 0, &err);
}

void streams_claim(struct streams *set, uint64_t id, struct session *s)
{
    struct stream *st = find(set, id);
    struct error err = {0};

    if (!st || st->flowing) {
        refuse(set, s);
        return;
    }
    if (is_hijack(st, s)) {
        fail_hijacked(st, s);
        return;
    }
    if (st->session_count == STREAM_SESSIONS) {
        refuse(set, s);
        return;
    }
    if (session_answer(s, SOCKS5_REP_OK, clock_ms(), &err) != SESSION_IS_OPEN || !adopt(st, s, &err)) {
        session_close(&s, false);
        return;
    }
    if (!st->claimed) {
        st->claimed = true;
        st->wait_until = INT64_MAX;
        emit(st, SOCKS5_CLAIMED, 0);
    }
    if (st->job.file && (!st->pumping || st->job.takes))
        start(st);
}

/* ---- going to a peer */

static struct session *dial(struct stream *st, const struct sockaddr *to, socklen_t to_len, const char *name,
                            unsigned connect_ms, struct error *err)
{
    struct socks5_engine *engine = st->home->worker->engine;
    struct session *s;
    int fd;

    if (atomic_load(&engine->open_sockets) >= engine->limits.max_sessions) {
        error_set(err, ERR_SYSTEM, "as many sockets are open as are allowed");
        return NULL;
    }
    fd = dial_start(to, to_len, err);
    if (fd < 0)
        return NULL;
    s = session_dialled(fd, name, connect_ms, &engine->limits, &engine->open_sockets, clock_ms());
    if (!s)
        error_set(err, ERR_SYSTEM, "out of memory");
    return s;
}

void streams_dial(struct streams *set, uint64_t id, const struct sockaddr *to, socklen_t to_len, const char *name,
                  unsigned connect_ms)
{
    struct stream *st = stream_new(set, id);
    struct error err = {0};
    struct session *s;

    if (!st) {
        fail_unborn(set, id);
        return;
    }
    st->dialled = true;
    s = dial(st, to, to_len, name, connect_ms, &err);
    if (!s || !adopt(st, s, &err)) {
        session_close(&s, false);
        err.code = ERR_STREAMHOSTS_UNREACHABLE;
        fail(st, 0, &err);
    }
}

/* ---- ends */

void streams_cancel(struct streams *set, uint64_t id)
{
    struct stream *st = find(set, id);
    struct error err;

    if (!st || st->leaving)
        return;
    if (!st->received || st->sessions[0]->peer_closed) {
        stream_free(st, !st->received);
        return;
    }
    st->leaving = true;
    session_leave(st->sessions[0], clock_ms());
    if (!poller_add(&set->worker->poller, &st->sessions[0]->watch, session_events(st->sessions[0]), &err))
        stream_free(st, false);
}

static void sweep(struct stream *st, int64_t now)
{
    struct error err = {0};

    if (now >= st->wait_until) {
        error_set(&err, ERR_STREAMHOSTS_UNREACHABLE, "nobody came to the gateway's own address");
        fail(st, 0, &err);
        return;
    }
    for (size_t i = 0; i < st->session_count; i++) {
        struct session *s = st->sessions[i];
        enum session_verdict verdict = session_tick(s, now, &err);

        if (verdict != SESSION_GOES_ON) {
            act(st, s, verdict, &err);
            return; /* st may be gone; its other sessions have the next sweep */
        }
    }
    if (st->pumping && !st->received &&
        st->session_count > 0) /* what came too soon behind the last, and nothing after it */
        progress(st, st->sessions[0]->pump.moved);
}

bool streams_sweep(struct streams *set, int64_t now)
{
    for (size_t i = 0; i < STREAM_BUCKETS; i++) {
        struct stream *next;

        for (struct stream *st = set->buckets[i]; st; st = next) {
            next = st->next;
            sweep(st, now);
        }
    }
    return set->count > 0;
}
