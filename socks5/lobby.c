/* socks5/lobby.c - parked sockets and the word that joins them, see lobby.h. */
#include "socks5/lobby.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/log.h"
#include "socks5/worker.h"

/* All that is known of one name. */
struct party {
    struct party *next; /* in its bucket */
    struct lobby *lobby;
    uint8_t key[PAIR_KEY];
    struct session *sides[2]; /* in the order in which they came; [1] alone is never there */
    int64_t came[2];
    uint64_t pair; /* 0: not joined */
};

static int digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool lobby_key(const void *name, size_t len, uint8_t key[static PAIR_KEY])
{
    const uint8_t *at = name;

    if (len != 2 * PAIR_KEY)
        return false;
    for (size_t i = 0; i < PAIR_KEY; i++) {
        int high = digit(at[2 * i]), low = digit(at[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        key[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* ---- the names */

/* The key is a digest, or was chosen by somebody who may park a few sockets with it. */
static struct party **bucket_of(struct lobby *l, const uint8_t *key)
{
    return &l->buckets[(size_t)(key[0] << 8 | key[1]) % LOBBY_BUCKETS];
}

static struct party *find(struct lobby *l, const uint8_t *key)
{
    struct party *p = *bucket_of(l, key);

    while (p && memcmp(p->key, key, PAIR_KEY) != 0)
        p = p->next;
    return p;
}

static struct party *party_new(struct lobby *l, const uint8_t *key)
{
    struct party *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->lobby = l;
    memcpy(p->key, key, PAIR_KEY);
    p->next = *bucket_of(l, key);
    *bucket_of(l, key) = p;
    return p;
}

static void party_free(struct party *p)
{
    struct party **at = bucket_of(p->lobby, p->key);

    assert(!p->sides[0] && !p->sides[1]);
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    free(p);
}

static void count_parked(struct lobby *l)
{
    atomic_store(&l->worker->engine->parked, l->parked.count);
}

static void close_side(struct party *p, int at)
{
    crowd_remove(&p->lobby->parked, p->sides[at]);
    count_parked(p->lobby);
    session_close(&p->sides[at], false);
}

static void close_both(struct party *p)
{
    for (int i = 0; i < 2; i++) {
        if (p->sides[i])
            close_side(p, i);
    }
    party_free(p);
}

/* One side goes, and the other moves up. With nobody left, the name is free. */
static void leave(struct party *p, const struct session *s)
{
    close_side(p, s == p->sides[1]);
    if (!p->sides[0]) {
        p->sides[0] = p->sides[1];
        p->came[0] = p->came[1];
        p->sides[1] = NULL;
    }
    if (!p->sides[0])
        party_free(p);
}

/* ---- parking */

/* Who sends a small file before the word, as Pidgin does, has shut his side by then; his bytes are here all the same.
 */
static bool has_said_all(const struct watch *w, uint32_t events)
{
    int unread = 0;

    return !(events & (EPOLLHUP | EPOLLERR)) && ioctl(w->fd, FIONREAD, &unread) == 0 && unread > 0;
}

/* Only its end is waited for. */
static void on_parked(struct watch *w, uint32_t events)
{
    if (has_said_all(w, events))
        poller_change(w, 0); /* a reset is told even so */
    else
        leave(w->owner, (struct session *)w);
}

bool lobby_takes(struct lobby *l, const struct session *s)
{
    const struct socks5_pairing *limits = &l->worker->engine->limits.pairing;
    const struct socks5_request *request = &s->shake->request;
    const struct party *p;
    uint8_t key[PAIR_KEY] = {0};

    if (limits->max_pairs == 0 || !lobby_key(request->host, request->host_len, key))
        return false;
    if (l->parked.count >= limits->max_parked || crowd_of(&l->parked, &s->peer) >= limits->parked_per_peer)
        return false;
    p = find(l, key);
    return !p || (p->pair == 0 && !p->sides[1]);
}

void lobby_park(struct lobby *l, struct session *session, int64_t now)
{
    uint8_t key[PAIR_KEY] = {0};
    struct party *p;
    struct error err;
    int at;

    lobby_key(session->shake->request.host, session->shake->request.host_len, key);
    p = find(l, key);
    if (!p)
        p = party_new(l, key);
    if (!p) {
        session_close(&session, false);
        return;
    }
    at = p->sides[0] != NULL;
    p->sides[at] = session;
    p->came[at] = now;
    session->watch.owner = p;
    session->watch.ready = on_parked;
    crowd_add(&l->parked, session);
    count_parked(l);
    worker_sweep_soon(l->worker);
    if (session_answer(session, SOCKS5_REP_OK, now, &err) != SESSION_IS_OPEN)
        leave(p, session);
}

void lobby_unpark(struct lobby *l, const uint8_t *key)
{
    struct party *p = find(l, key);

    if (p && p->pair == 0)
        close_both(p);
}

/* ---- joining */

static void tell(struct lobby *l, const struct socks5_event *event)
{
    struct socks5_engine *engine = l->worker->engine;

    engine->on_event(engine->user, event);
}

static void on_join(void *owner, struct message *m)
{
    struct worker *home = owner;

    pairs_join(&home->pairs, (struct pair *)m);
}

void lobby_discard(struct message *m)
{
    struct pair *p = (struct pair *)m;

    pair_free(&p);
}

/* The word comes before the first byte: who reads of the one has heard of the other. */
static void join(struct party *p, uint64_t id, const struct socks5_pair_options *options)
{
    struct lobby *l = p->lobby;
    struct socks5_engine *engine = l->worker->engine;
    struct socks5_event event = {.kind = SOCKS5_UNPAIRED, .stream = id};
    struct pair *pair;
    int fds[2];

    if (l->pairs >= engine->limits.pairing.max_pairs) {
        close_both(p);
        error_set(&event.error, ERR_PROXY_BUSY, "the proxy relays as many streams as it may: try again later");
        tell(l, &event);
        return;
    }
    for (int i = 0; i < 2; i++) {
        crowd_remove(&l->parked, p->sides[i]);
        fds[i] = session_give(&p->sides[i]);
    }
    count_parked(l);
    pair = pair_new(engine, id, fds[0], fds[1]);
    if (!pair) {
        party_free(p);
        error_set(&event.error, ERR_SYSTEM, "out of memory");
        tell(l, &event);
        return;
    }
    p->pair = id;
    memcpy(pair->key, p->key, PAIR_KEY);
    pair->options = *options;
    pair->message.handle = on_join;
    pair->message.discard = lobby_discard;
    atomic_store(&engine->pairs, ++l->pairs);
    event.kind = SOCKS5_PAIRED;
    tell(l, &event);
    if (!mailbox_post(engine_home(engine, id)->mailbox, &pair->message))
        lobby_discard(&pair->message);
}

void lobby_activate(struct lobby *l, const uint8_t (*keys)[PAIR_KEY], size_t count, uint64_t id,
                    const struct socks5_pair_options *options)
{
    struct socks5_event event = {.kind = SOCKS5_UNPAIRED, .stream = id};
    bool incomplete = false;

    for (size_t i = 0; i < count; i++) {
        struct party *p = find(l, keys[i]);

        if (p && p->sides[1]) {
            join(p, id, options);
            return;
        }
        if (p && p->pair != 0)
            event.other = p->pair;
        incomplete = incomplete || p;
    }
    if (event.other != 0)
        error_set(&event.error, ERR_PROXY_ALREADY_ACTIVE, "this bytestream is active already");
    else if (incomplete)
        error_set(&event.error, ERR_PROXY_PAIR_INCOMPLETE,
                  "only one side is connected to the proxy: activate when both have got its reply");
    else
        error_set(&event.error, ERR_PROXY_HASH_MISMATCH,
                  "nobody is connected to the proxy for this sid, requester and target: connect before activating");
    tell(l, &event);
}

void lobby_on_over(void *first_worker, struct message *m)
{
    struct worker *w = first_worker;
    struct lobby *l = &w->lobby;
    struct pair *pair = (struct pair *)m;
    struct party *p = find(l, pair->key);
    struct socks5_event event = {.kind = SOCKS5_PAIR_OVER,
                                 .stream = pair->id,
                                 .moved = pair->sides[0].moved,
                                 .back = pair->sides[1].moved,
                                 .lasted_ms = (uint64_t)(clock_ms() - pair->joined),
                                 .error = pair->why};

    pair_free(&pair);
    if (!p) /* the lobby closed */
        return;
    assert(p->pair == event.stream);
    party_free(p);
    atomic_store(&w->engine->pairs, --l->pairs);
    tell(l, &event);
}

/* ---- time */

static void sweep(struct party *p, int64_t now)
{
    const struct socks5_pairing *limits = &p->lobby->worker->engine->limits.pairing;
    bool late = p->sides[1] ? now >= p->came[1] + limits->activate_ms : now >= p->came[0] + limits->pair_ms;

    if (p->pair == 0 && late)
        close_both(p);
}

bool lobby_sweep(struct lobby *l, int64_t now)
{
    if (l->parked.count == 0)
        return false;
    for (size_t i = 0; i < LOBBY_BUCKETS; i++) {
        struct party *next;

        for (struct party *p = l->buckets[i]; p; p = next) {
            next = p->next;
            sweep(p, now);
        }
    }
    return l->parked.count > 0;
}

void lobby_open(struct lobby *l, struct worker *worker)
{
    memset(l, 0, sizeof(*l));
    l->worker = worker;
}

void lobby_close(struct lobby *l)
{
    for (size_t i = 0; i < LOBBY_BUCKETS; i++) {
        struct party *next;

        for (struct party *p = l->buckets[i]; p; p = next) {
            next = p->next;
            if (p->pair == 0)
                close_both(p);
            else
                party_free(p);
        }
    }
}
