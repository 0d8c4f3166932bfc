/* gateway/socks5_carrier.c - streams for methods out of streams of the engine, see socks5_carrier.h.
 *
 * The engine knows one address a stream; a host may have several. So each address tried is an engine stream of its own,
 * and the carrier's stream carries the id of the present one: what the others still say finds nobody. */
#include "gateway/socks5_carrier.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mailbox.h"
#include "base/log.h"
#include "gateway/egress.h"
#include "socks5/socks5.h"

enum { HANDSHAKE_MS = 10 * 1000, STEP_MS = 5 * 1000, CONNECT_MS = 8 * 1000 };
enum { BUCKETS = 1024, ADDRESSES_MAX = 8, SPARES = 32 };

/* The pairing that the carrier is, too. */
struct carrier_pairing {
    struct pairing pairing;
    struct socks5_carrier *carrier;
    pair_event_fn *on_event; /* NULL: nobody watches */
    void *user;
};

struct socks5_carrier {
    struct carrier carrier;
    struct carrier_pairing pairs;
    uv_loop_t *loop;
    struct mailbox *mailbox; /* the engine's events */
    struct socks5_engine *engine;
    struct egress *egress;
    struct carrier_address advertised; /* port 0: nothing is */
    unsigned connect_ms;
    uint64_t last_id;
    struct carrier_stream *streams[BUCKETS]; /* by id */

    /* Events that there is room for when memory is short: what happened to a stream is told only once. */
    pthread_mutex_t spares_lock;
    struct message *spares;
    size_t spare_count;
};

/* A name being looked up. It outlives its stream: the pool cannot be called back. */
struct lookup {
    uv_getaddrinfo_t request;
    struct carrier_stream *stream; /* NULL: nobody waits for it any more */
};

struct carrier_stream {
    struct socks5_carrier *carrier;
    carrier_event_fn *on_event;
    void *user;
    uint64_t id;                 /* of the engine's stream; a new one for each address */
    struct carrier_stream *next; /* in its bucket */

    /* dialling */
    bool dialling;
    bool trusted;
    struct lookup *lookup;
    struct addrinfo *addresses;
    const struct addrinfo *untried;
    unsigned tried;
    char *name;
};

struct event_message {
    struct message message;
    struct socks5_event event;
};

static const struct carrier_ops ops;

/* ---- ids */

static struct carrier_stream **bucket_of(struct socks5_carrier *c, uint64_t id)
{
    return &c->streams[id % BUCKETS];
}

static struct carrier_stream *find(struct socks5_carrier *c, uint64_t id)
{
    struct carrier_stream *s = *bucket_of(c, id);

    while (s && s->id != id)
        s = s->next;
    return s;
}

static void leave_bucket(struct carrier_stream *s)
{
    struct carrier_stream **at = bucket_of(s->carrier, s->id);

    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
}

static void take_new_id(struct carrier_stream *s)
{
    s->id = ++s->carrier->last_id;
    s->next = *bucket_of(s->carrier, s->id);
    *bucket_of(s->carrier, s->id) = s;
}

static void change_id(struct carrier_stream *s)
{
    leave_bucket(s);
    take_new_id(s);
}

/* ---- dialling */

static void emit(struct carrier_stream *s, enum carrier_event_kind kind, uint64_t moved, const struct error *err)
{
    struct carrier_event event = {.kind = kind, .moved = moved};

    if (err)
        event.error = *err;
    s->on_event(s->user, &event); /* may close s */
}

static void end_dialling(struct carrier_stream *s)
{
    s->dialling = false;
    if (s->lookup)
        s->lookup->stream = NULL;
    s->lookup = NULL;
    if (s->addresses)
        uv_freeaddrinfo(s->addresses);
    s->addresses = NULL;
    s->untried = NULL;
}

/* Dials the next address that may be dialled; false: there is none, *err says what became of the last. */
static bool dial_next(struct carrier_stream *s, struct error *err)
{
    struct socks5_carrier *c = s->carrier;

    while (s->untried && s->tried < ADDRESSES_MAX) {
        const struct addrinfo *a = s->untried;

        s->untried = a->ai_next;
        s->tried++;
        if (!(s->trusted ? egress_allows_own : egress_allows)(c->egress, a->ai_addr, err))
            continue;
        change_id(s);
        if (socks5_dial(c->engine, s->id, a->ai_addr, a->ai_addrlen, s->name, c->connect_ms, err))
            return true;
    }
    return false;
}

/* err: of the address before. */
static void go_on_dialling(struct carrier_stream *s, const struct error *err)
{
    struct error why = *err;

    if (dial_next(s, &why))
        return;
    end_dialling(s);
    emit(s, CARRIER_FAILED, 0, &why);
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct lookup *lookup = request->data;
    struct carrier_stream *s = lookup->stream;
    struct error err;

    free(lookup);
    if (!s) {
        uv_freeaddrinfo(addresses);
        return;
    }
    s->lookup = NULL;
    s->addresses = addresses;
    s->untried = addresses;
    s->tried = 0;
    error_set(&err, ERR_STREAMHOSTS_UNREACHABLE, "the streamhost's name was not found: %s",
              status ? uv_strerror(status) : "no address");
    go_on_dialling(s, &err);
}

static bool look_up(struct carrier_stream *s, const struct carrier_address *to, struct error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    char port[8];
    int failed;

    if (!lookup)
        return error_set(err, ERR_SYSTEM, "out of memory");
    lookup->request.data = lookup;
    lookup->stream = s;
    snprintf(port, sizeof(port), "%u", to->port);
    failed = uv_getaddrinfo(s->carrier->loop, &lookup->request, on_looked_up, to->host, port, &hints);
    if (failed) {
        free(lookup);
        return error_set(err, ERR_STREAMHOSTS_UNREACHABLE, "the streamhost's name cannot be looked up: %s",
                         uv_strerror(failed));
    }
    s->lookup = lookup;
    s->dialling = true;
    return true;
}

/* ---- what the engine says */

static void on_stream_event(struct carrier_stream *s, const struct socks5_event *event)
{
    switch (event->kind) {
    case SOCKS5_CLAIMED:
        emit(s, CARRIER_CLAIMED, 0, NULL);
        break;
    case SOCKS5_DIALED:
        end_dialling(s);
        emit(s, CARRIER_DIALED, 0, NULL);
        break;
    case SOCKS5_PROGRESS:
        emit(s, CARRIER_PROGRESS, event->moved, NULL);
        break;
    case SOCKS5_DONE:
        s->on_event(s->user,
                    &(struct carrier_event){.kind = CARRIER_DONE, .moved = event->moved, .extra = event->extra});
        break;
    case SOCKS5_FAILED:
        if (s->dialling)
            go_on_dialling(s, &event->error);
        else
            emit(s, CARRIER_FAILED, event->moved, &event->error);
        break;
    case SOCKS5_PAIRED: /* a relay's, never a stream's */
    case SOCKS5_UNPAIRED:
    case SOCKS5_PAIR_PROGRESS:
    case SOCKS5_PAIR_OVER:
        break;
    }
}

static bool is_of_a_pair(enum socks5_event_kind kind)
{
    return kind == SOCKS5_PAIRED || kind == SOCKS5_UNPAIRED || kind == SOCKS5_PAIR_PROGRESS || kind == SOCKS5_PAIR_OVER;
}

static void on_pair_event(const struct carrier_pairing *p, const struct socks5_event *event)
{
    const struct pair_event told = {
        .kind = event->kind == SOCKS5_PAIRED          ? PAIR_JOINED
                : event->kind == SOCKS5_UNPAIRED      ? PAIR_REFUSED
                : event->kind == SOCKS5_PAIR_PROGRESS ? PAIR_PROGRESS
                                                      : PAIR_OVER,
        .id = event->stream,
        .forth = event->moved,
        .back = event->back,
        .other = event->other,
        .error = event->error,
    };

    if (p->on_event)
        p->on_event(p->user, &told);
}

/* ---- the engine's events */

static struct event_message *take_spare(struct socks5_carrier *c)
{
    struct message *m;

    pthread_mutex_lock(&c->spares_lock);
    m = c->spares;
    if (m) {
        c->spares = m->next;
        c->spare_count--;
    }
    pthread_mutex_unlock(&c->spares_lock);
    return (struct event_message *)m; /* its first member */
}

static void keep_spare(struct socks5_carrier *c, struct event_message *e)
{
    bool kept;

    pthread_mutex_lock(&c->spares_lock);
    kept = c->spare_count < SPARES;
    if (kept) {
        e->message.next = c->spares;
        c->spares = &e->message;
        c->spare_count++;
    }
    pthread_mutex_unlock(&c->spares_lock);
    if (!kept)
        free(e);
}

static bool make_spares(struct socks5_carrier *c)
{
    while (c->spare_count < SPARES) {
        struct event_message *e = calloc(1, sizeof(*e));

        if (!e)
            return false;
        keep_spare(c, e);
    }
    return true;
}

static void on_event_message(void *owner, struct message *m)
{
    struct event_message *e = (struct event_message *)m;
    struct socks5_carrier *c = owner;
    struct carrier_stream *s = find(c, e->event.stream);

    if (is_of_a_pair(e->event.kind))
        on_pair_event(&c->pairs, &e->event);
    else if (s)
        on_stream_event(s, &e->event);
    keep_spare(c, e);
}

/* An engine's thread. */
static void on_engine_event(void *user, const struct socks5_event *event)
{
    struct socks5_carrier *c = user;
    struct event_message *e = calloc(1, sizeof(*e));

    if (!e && (event->kind == SOCKS5_PROGRESS || event->kind == SOCKS5_PAIR_PROGRESS))
        return; /* more will come */
    if (!e)
        e = take_spare(c);
    if (!e) {
        log_error("carrier.event_lost", log_str("error", "out of memory"));
        return;
    }
    e->message.handle = on_event_message;
    e->event = *event;
    if (!mailbox_post(c->mailbox, &e->message))
        free(e);
}

/* ---- what methods ask */

static struct socks5_carrier *impl(struct carrier *carrier)
{
    return (struct socks5_carrier *)carrier; /* its first member */
}

static bool carrier_advertised(struct carrier *carrier, struct carrier_address *out)
{
    const struct socks5_carrier *c = impl(carrier);

    if (c->advertised.port == 0)
        return false;
    *out = c->advertised;
    return true;
}

static struct carrier_stream *carrier_open(struct carrier *carrier, carrier_event_fn *on_event, void *user,
                                           struct error *err)
{
    struct carrier_stream *s = calloc(1, sizeof(*s));

    if (!s) {
        error_set(err, ERR_SYSTEM, "out of memory");
        return NULL;
    }
    s->carrier = impl(carrier);
    s->on_event = on_event;
    s->user = user;
    take_new_id(s);
    return s;
}

static bool carrier_expect(struct carrier_stream *s, const char *const *names, size_t count, unsigned wait_ms,
                           struct error *err)
{
    return socks5_expect(s->carrier->engine, s->id, names, count, wait_ms, err);
}

static bool carrier_dial(struct carrier_stream *s, const struct carrier_address *to, bool trusted, const char *name,
                         struct error *err)
{
    assert(!s->dialling && strlen(name) <= SOCKS5_NAME);
    if (!trusted && !egress_host_valid(to->host))
        return error_set(err, ERR_EGRESS_BLOCKED, "the streamhost's name is neither a host name nor an address");
    socks5_cancel(s->carrier->engine, s->id); /* what was expected */
    change_id(s);
    s->trusted = trusted;
    free(s->name);
    s->name = strdup(name);
    if (!s->name)
        return error_set(err, ERR_SYSTEM, "out of memory");
    return look_up(s, to, err);
}

static bool carrier_send(struct carrier_stream *s, struct shared_fd *file, struct feed *feed, uint64_t offset,
                         uint64_t length, struct error *err)
{
    return socks5_send(s->carrier->engine, s->id, file, feed, offset, length, err);
}

static bool carrier_receive(struct carrier_stream *s, struct shared_fd *file, uint64_t offset, uint64_t length,
                            struct error *err)
{
    return socks5_receive(s->carrier->engine, s->id, file, offset, length, err);
}

static void carrier_close(struct carrier_stream **stream)
{
    struct carrier_stream *s = *stream;

    *stream = NULL;
    if (!s)
        return;
    socks5_cancel(s->carrier->engine, s->id);
    end_dialling(s);
    leave_bucket(s);
    free(s->name);
    free(s);
}

static const struct carrier_ops ops = {
    .advertised = carrier_advertised,
    .open = carrier_open,
    .expect = carrier_expect,
    .dial = carrier_dial,
    .send = carrier_send,
    .receive = carrier_receive,
    .close = carrier_close,
};

/* ---- pairs of others */

static struct carrier_pairing *pairing_impl(struct pairing *pairing)
{
    return (struct carrier_pairing *)pairing; /* its first member */
}

static void pairing_watch(struct pairing *pairing, pair_event_fn *on_event, void *user)
{
    struct carrier_pairing *p = pairing_impl(pairing);

    p->on_event = on_event;
    p->user = user;
}

static uint64_t pairing_join(struct pairing *pairing, const char *const *names, size_t count, uint64_t rate,
                             struct error *err)
{
    struct socks5_carrier *c = pairing_impl(pairing)->carrier;
    const struct socks5_pair_options options = {.rate = rate};
    uint64_t id = ++c->last_id;

    return socks5_activate(c->engine, names, count, id, &options, err) ? id : 0;
}

static void pairing_dismiss(struct pairing *pairing, const char *const *names, size_t count)
{
    socks5_unpark(pairing_impl(pairing)->carrier->engine, names, count);
}

static void pairing_cancel(struct pairing *pairing, uint64_t id)
{
    socks5_pair_cancel(pairing_impl(pairing)->carrier->engine, id);
}

static uint64_t pairing_parked(struct pairing *pairing)
{
    struct socks5_stats stats;

    socks5_stats(pairing_impl(pairing)->carrier->engine, &stats);
    return stats.parked;
}

static const struct pairing_ops pairing_ops = {
    .watch = pairing_watch,
    .join = pairing_join,
    .dismiss = pairing_dismiss,
    .cancel = pairing_cancel,
    .parked = pairing_parked,
};

struct pairing *socks5_carrier_pairing(struct carrier *carrier)
{
    return &impl(carrier)->pairs.pairing;
}

/* Half of all sockets may wait, so that streams of our own and handshakes find room beside them. */
static struct socks5_pairing pairing_limits(const struct socks5_carrier_config *config)
{
    if (!config->pairing.on)
        return (struct socks5_pairing){0};
    return (struct socks5_pairing){
        .max_pairs = config->max_sessions / 2,
        .max_parked = config->max_sessions / 2,
        .parked_per_peer = config->pending_per_peer,
        .pair_ms = config->pairing.pair_ms,
        .activate_ms = config->pairing.activate_ms,
        .idle_ms = config->pairing.idle_ms,
        .linger_ms = config->linger_ms,
    };
}

/* ---- from birth to death */

/* *listener: -1 when nothing is advertised. */
static bool open_listener(struct socks5_carrier *c, const struct socks5_carrier_config *config, int *listener,
                          struct error *err)
{
    uint16_t port;

    *listener = -1;
    if (!config->advertise_host || !*config->advertise_host)
        return true;
    if (strlen(config->advertise_host) >= sizeof(c->advertised.host))
        return error_set(err, ERR_CONFIG, "[socks5] advertise: the host is too long");
    *listener = socks5_listen(config->listen, &port, err);
    if (*listener < 0)
        return false;
    snprintf(c->advertised.host, sizeof(c->advertised.host), "%s", config->advertise_host);
    c->advertised.port = config->advertise_port ? config->advertise_port : port;
    log_info("socks5.listening", log_str("listen", config->listen), log_int("port", port),
             log_str("advertise_host", c->advertised.host), log_int("advertise_port", c->advertised.port));
    return true;
}

static bool open_engine(struct socks5_carrier *c, const struct socks5_carrier_config *config, struct error *err)
{
    const struct socks5_limits limits = {
        .threads = config->threads,
        .max_sessions = config->max_sessions,
        .pending_per_peer = config->pending_per_peer,
        .handshake_ms = HANDSHAKE_MS,
        .step_ms = STEP_MS,
        .idle_ms = config->idle_ms,
        .linger_ms = config->linger_ms,
        .pairing = pairing_limits(config),
    };
    int listener;

    if (!open_listener(c, config, &listener, err))
        return false;
    c->engine = socks5_engine_create(&limits, &listener, listener >= 0 ? 1 : 0, on_engine_event, c, err);
    if (!c->engine)
        fd_close(&listener);
    return c->engine != NULL;
}

struct carrier *socks5_carrier_create(uv_loop_t *core_loop, const struct socks5_carrier_config *config,
                                      struct error *err)
{
    struct socks5_carrier *c = calloc(1, sizeof(*c));
    struct carrier *carrier;

    if (!c) {
        error_set(err, ERR_SYSTEM, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&c->spares_lock, NULL);
    c->carrier.ops = &ops;
    c->pairs = (struct carrier_pairing){.pairing.ops = &pairing_ops, .carrier = c};
    c->loop = core_loop;
    c->connect_ms = config->connect_ms ? config->connect_ms : CONNECT_MS;
    c->egress = egress_create(config->allow_nets, err);
    if (!c->egress)
        goto failed;
    c->mailbox = mailbox_create(core_loop, c);
    if (!c->mailbox || !make_spares(c)) {
        error_set(err, ERR_SYSTEM, "event loop: out of memory or descriptors");
        goto failed;
    }
    if (open_engine(c, config, err))
        return &c->carrier;
failed:
    carrier = &c->carrier;
    socks5_carrier_destroy(&carrier);
    return NULL;
}

void socks5_carrier_destroy(struct carrier **carrier)
{
    struct socks5_carrier *c = *carrier ? impl(*carrier) : NULL;

    *carrier = NULL;
    if (!c)
        return;
    socks5_engine_destroy(&c->engine); /* it posts, so it ends before the mailbox */
    mailbox_destroy(&c->mailbox);
    for (size_t i = 0; i < BUCKETS; i++) {
        struct carrier_stream *next;

        for (struct carrier_stream *s = c->streams[i]; s; s = next) {
            next = s->next;
            end_dialling(s); /* a lookup may outlive all of this */
            free(s->name);
            free(s);
        }
    }
    egress_destroy(&c->egress);
    while (c->spare_count > 0)
        free(take_spare(c));
    pthread_mutex_destroy(&c->spares_lock);
    free(c);
}

uint64_t socks5_carrier_streams(struct carrier *carrier)
{
    struct socks5_stats stats;

    socks5_stats(impl(carrier)->engine, &stats);
    return stats.sessions;
}
