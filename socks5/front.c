/* socks5/front.c - accepting, and handshakes up to the name, see front.h. */
#include "socks5/front.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "socks5/worker.h"

enum { WARN_MS = 10 * 1000 };

/* A client on its way to the thread of its stream. */
struct claim_message {
    struct message message;
    uint64_t stream;
    struct session *session;
};

static int spare_open(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* ---- who is here */

static void drop(struct front *f, struct session *s)
{
    atomic_fetch_add(&f->worker->engine->refused, 1);
    crowd_remove(&f->pending, s);
    session_close(&s, false);
}

/* ---- what they ask */

static void on_claim(void *owner, struct message *m)
{
    struct claim_message *claim = (struct claim_message *)m;
    struct worker *home = owner;

    streams_claim(&home->streams, claim->stream, claim->session);
    free(claim);
}

static void discard_claim(struct message *m)
{
    struct claim_message *claim = (struct claim_message *)m;

    session_close(&claim->session, false);
    free(claim);
}

static void hand_over(struct front *f, struct session *s, uint64_t stream)
{
    struct claim_message *claim = calloc(1, sizeof(*claim));

    if (!claim) {
        drop(f, s);
        return;
    }
    crowd_remove(&f->pending, s);
    poller_remove(&s->watch);
    claim->message.handle = on_claim;
    claim->message.discard = discard_claim;
    claim->stream = stream;
    claim->session = s;
    if (!mailbox_post(engine_home(f->worker->engine, stream)->mailbox, &claim->message))
        discard_claim(&claim->message);
}

static void log_refused(const struct peer *peer, const char *why)
{
    char from[PEER_TEXT];

    log_debug("socks5.refused", log_str("peer", peer_text(peer, from)), log_str("reason", why));
}

/* Acts on a verdict; s may be gone afterwards. */
static void act(struct front *f, struct session *s, enum session_verdict verdict, const struct error *err)
{
    const struct error *refusal = &s->shake->error;

    switch (verdict) {
    case SESSION_GOES_ON:
    case SESSION_HAS_ASKED: /* these two do not come here: lookup() takes the one, the other is a stream's */
    case SESSION_IS_OPEN:
        break;
    case SESSION_FINISHED:
    case SESSION_BROKEN:
        log_refused(&s->peer, refusal->code ? refusal->text : err->text);
        drop(f, s);
        break;
    }
}

/* The success reply leaves only from the stream's own thread, once the stream has taken the client: one that saw it
 * must not find the stream gone, because it would not try its next streamhost. */
static void lookup(struct front *f, struct session *s, int64_t now)
{
    struct tickets *tickets = f->worker->engine->tickets;
    const struct socks5_request *request = &s->shake->request;
    struct error err = {0};
    struct job job;

    if (tickets_find(tickets, request->host, request->host_len, &job)) {
        assert(job.kind == JOB_SEND);
        hand_over(f, s, job.stream);
        return;
    }
    if (lobby_takes(&f->worker->lobby, s)) {
        crowd_remove(&f->pending, s);
        lobby_park(&f->worker->lobby, s, now);
        return;
    }
    act(f, s, session_answer(s, SOCKS5_REP_NOT_ALLOWED, now, &err), &err);
}

static void on_client(struct watch *w, uint32_t events)
{
    struct session *s = (struct session *)w; /* its first member */
    struct front *f = w->owner;
    int64_t now = clock_ms();
    struct error err = {0};
    enum session_verdict verdict = session_step(s, events, now, &err);

    if (verdict == SESSION_HAS_ASKED)
        lookup(f, s, now);
    else
        act(f, s, verdict, &err);
}

/* ---- who comes */

static void turn_away(struct front *f, int fd, const struct peer *peer, const char *why)
{
    log_refused(peer, why);
    atomic_fetch_add(&f->worker->engine->refused, 1);
    fd_close(&fd);
}

static void welcome(struct front *f, int fd, const struct sockaddr *from)
{
    struct socks5_engine *engine = f->worker->engine;
    const struct peer peer = peer_of(from);
    struct session *s;
    struct error err;

    atomic_fetch_add(&engine->accepted, 1);
    if (atomic_load(&engine->open_sockets) >= engine->limits.max_sessions) {
        turn_away(f, fd, &peer, "as many sockets are open as are allowed");
        return;
    }
    if (crowd_of(&f->pending, &peer) >= engine->limits.pending_per_peer) {
        turn_away(f, fd, &peer, "too many handshakes from one address");
        return;
    }
    s = session_accepted(fd, &peer, &engine->limits, &engine->open_sockets, clock_ms());
    if (!s)
        return;
    s->watch.owner = f;
    s->watch.ready = on_client;
    if (!poller_add(&f->worker->poller, &s->watch, session_events(s), &err)) {
        session_close(&s, false);
        return;
    }
    crowd_add(&f->pending, s);
    worker_sweep_soon(f->worker);
}

/* A client that cannot be accepted stays in the queue and the listener readable, which would spin. So one is let in
 * with the spare descriptor and sent away; without a spare the listeners rest until the next sweep. */
static void out_of_descriptors(struct front *f, int listener)
{
    int64_t now = clock_ms();
    int fd;

    if (now >= f->warned) {
        log_warn("socks5.out_of_descriptors", log_str("error", strerror(errno)));
        f->warned = now + WARN_MS;
    }
    fd_close(&f->spare);
    fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) {
        atomic_fetch_add(&f->worker->engine->accepted, 1);
        atomic_fetch_add(&f->worker->engine->refused, 1);
        fd_close(&fd);
    }
    f->spare = spare_open();
    if (f->spare >= 0)
        return;
    for (size_t i = 0; i < f->listener_count; i++)
        poller_change(&f->listeners[i], 0);
    worker_sweep_soon(f->worker);
}

static void on_listener(struct watch *w, uint32_t events)
{
    struct front *f = w->owner;

    (void)events;
    for (int i = 0; i < FRONT_ACCEPTS; i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof(from);
        int fd = accept4(w->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            welcome(f, fd, (struct sockaddr *)&from);
            continue;
        }
        if (errno == EAGAIN)
            return;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            out_of_descriptors(f, w->fd);
            return;
        }
        /* ECONNABORTED and its like: that client is gone, the next one is not */
    }
}

bool front_open(struct front *f, struct worker *worker, const int *listen, size_t listens, struct error *err)
{
    assert(listens <= FRONT_LISTENERS);
    memset(f, 0, sizeof(*f));
    f->worker = worker;
    f->spare = -1;
    if (listens == 0)
        return true;
    f->spare = spare_open();
    for (size_t i = 0; i < listens; i++) {
        struct watch *w = &f->listeners[i];

        *w = (struct watch){.fd = listen[i], .ready = on_listener, .owner = f};
        if (!poller_add(&worker->poller, w, EPOLLIN, err)) {
            front_release(f);
            fd_close(&f->spare);
            return false;
        }
        f->listener_count++;
    }
    return true;
}

void front_release(struct front *f)
{
    while (f->listener_count > 0)
        poller_remove(&f->listeners[--f->listener_count]);
}

void front_close(struct front *f)
{
    for (size_t i = 0; i < f->listener_count; i++) {
        poller_remove(&f->listeners[i]);
        fd_close(&f->listeners[i].fd);
    }
    f->listener_count = 0;
    for (size_t i = 0; i < CROWD_BUCKETS; i++) {
        while (f->pending.buckets[i])
            drop(f, f->pending.buckets[i]);
    }
    fd_close(&f->spare);
}

static void listen_again(struct front *f)
{
    f->spare = spare_open();
    for (size_t i = 0; f->spare >= 0 && i < f->listener_count; i++)
        poller_change(&f->listeners[i], EPOLLIN);
}

bool front_sweep(struct front *f, int64_t now)
{
    bool resting;

    for (size_t i = 0; i < CROWD_BUCKETS; i++) {
        struct session *next;

        for (struct session *s = f->pending.buckets[i]; s; s = next) {
            struct error err = {0};

            next = s->next;
            act(f, s, session_tick(s, now, &err), &err);
        }
    }
    if (f->listener_count > 0 && f->spare < 0)
        listen_again(f);
    resting = f->listener_count > 0 && f->spare < 0;
    return f->pending.count > 0 || resting;
}
