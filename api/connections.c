#include "api/connections.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "api/reply.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/metrics.h"

/* HEADERS_MOST, BODIES_MOST: cut in one sweep. A body that is cut costs the HTTP thread the end of an upload, and
 * others wait meanwhile. */
enum { BUCKETS = 256, PER_ADDRESS = 64, TELL_MS = 60 * 1000, HEADERS_MOST = 256, BODIES_MOST = 64 };

enum stage_of { AWAITS_HEADER, AWAITS_BODY, IS_OURS, IS_CUT };

struct connection {
    struct connections *set;
    struct connection *next, **link;               /* of all; under the lock, as what follows */
    struct connection *next_of_kin, **link_of_kin; /* of a bucket; link NULL: it counts for nobody */
    struct in6_addr network;                       /* it counts for */
    struct caller peer;
    struct request *request;
    int fd;
    enum stage_of at;
    bool silent;
    bool ops;      /* it came to the ops listener */
    bool used;     /* a request was answered */
    bool begun;    /* another has its first line */
    int64_t since; /* it is at this */

    const char *id;   /* of the request whose body is awaited */
    int64_t awaited;  /* ms of the window, without those since `since` */
    uint64_t counted; /* bytes received when the window began */
    uint64_t received;
};

struct connections {
    const struct trust *trust;
    uint64_t per_address, per_loopback;
    int64_t header_ms, window_ms;
    uint64_t rate;
    size_t open;                        /* the HTTP thread's */
    pthread_mutex_t lock;               /* guards the list, and what of each the sweep looks at */
    struct connection *all, **last;     /* the oldest first, for it is the first to be cut */
    struct connection *bucket[BUCKETS]; /* the HTTP thread's */
    int64_t told;                       /* when a refusal was logged last; 0: never */
};

struct connections *connections_create(const struct config *config, const struct trust *trust)
{
    struct connections *set = calloc(1, sizeof *set);
    uint64_t given = config->http.max_connections_per_address;

    if (!set)
        return NULL;
    set->trust = trust;
    set->per_address = given ? given : PER_ADDRESS;
    set->per_loopback = given ? given : config->http.max_connections / 2 + 1; /* no single client takes all */
    set->header_ms = config->http.header_timeout;
    set->window_ms = config->http.min_rate_window;
    set->rate = config->http.min_rate;
    set->last = &set->all;
    pthread_mutex_init(&set->lock, NULL);
    return set;
}

void connections_destroy(struct connections **set)
{
    struct connections *s = *set;

    *set = NULL;
    if (!s)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* ---- how many */

static struct connection **bucket_of(struct connections *set, const struct in6_addr *network)
{
    uint32_t mixed = 2166136261u; /* FNV-1a */

    for (size_t i = 0; i < sizeof network->s6_addr; i++)
        mixed = (mixed ^ network->s6_addr[i]) * 16777619u;
    return &set->bucket[(mixed ^ mixed >> 16) % BUCKETS];
}

static bool has_room(struct connections *set, const struct caller *caller)
{
    struct in6_addr network = caller_network(caller);
    uint64_t most = caller_is_loopback(caller) ? set->per_loopback : set->per_address, n = 0;

    for (const struct connection *c = *bucket_of(set, &network); c && n < most; c = c->next_of_kin)
        n += IN6_ARE_ADDR_EQUAL(&c->network, &network) ? 1 : 0;
    return n < most;
}

static void count(struct connection *c, const struct caller *caller)
{
    struct connection **bucket;

    c->network = caller_network(caller);
    bucket = bucket_of(c->set, &c->network);
    c->next_of_kin = *bucket;
    c->link_of_kin = bucket;
    if (c->next_of_kin)
        c->next_of_kin->link_of_kin = &c->next_of_kin;
    *bucket = c;
}

static void uncount(struct connection *c)
{
    if (!c->link_of_kin)
        return;
    *c->link_of_kin = c->next_of_kin;
    if (c->next_of_kin)
        c->next_of_kin->link_of_kin = c->link_of_kin;
    c->link_of_kin = NULL;
}

/* Once a minute, lest a flood fills the log too. */
static void tell_crowd(struct connections *set, const struct caller *caller)
{
    int64_t now = clock_ms();
    char addr[CALLER_TEXT];

    metric_add(METRIC_RATE_LIMITED, 1, "connections");
    if (set->told && now - set->told < TELL_MS)
        return;
    set->told = now;
    log_warn("http.crowded", log_str("addr", caller_text(caller, addr)),
             log_int("limit", (int64_t)(caller_is_loopback(caller) ? set->per_loopback : set->per_address)));
}

static bool counts(const struct connections *set, const struct caller *peer)
{
    return !peer->local && !trust_has(set->trust, peer);
}

bool connections_admit(struct connections *set, const struct sockaddr *from)
{
    struct caller peer = caller_of(from);

    if (!counts(set, &peer) || has_room(set, &peer))
        return true;
    tell_crowd(set, &peer);
    return false;
}

bool connection_count(struct connection *c, const struct caller *caller, struct error *err)
{
    if (c->link_of_kin || caller->local || trust_has(c->set->trust, caller))
        return true; /* counts for its peer, or is of no one caller */
    if (!has_room(c->set, caller)) {
        tell_crowd(c->set, caller);
        return error_set(err, ERR_RATE_LIMITED, "too many requests at once come from this address or its network");
    }
    count(c, caller);
    return true;
}

/* ---- one of them */

struct connection *connection_open(struct connections *set, int fd, const struct sockaddr *from, bool silent)
{
    struct connection *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->set = set;
    c->fd = fd;
    c->silent = silent;
    c->peer = caller_of(from);
    c->since = clock_ms();
    if (counts(set, &c->peer))
        count(c, &c->peer);
    set->open++;
    pthread_mutex_lock(&set->lock);
    c->link = set->last;
    *set->last = c;
    set->last = &c->next;
    pthread_mutex_unlock(&set->lock);
    return c;
}

void connection_close(struct connection *c)
{
    if (!c)
        return;
    uncount(c);
    c->set->open--;
    pthread_mutex_lock(&c->set->lock);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    else
        c->set->last = c->link;
    pthread_mutex_unlock(&c->set->lock);
    free(c);
}

size_t connections_count(const struct connections *set)
{
    return set->open;
}

void connection_for_ops(struct connection *c)
{
    c->ops = true;
}

bool connection_is_for_ops(const struct connection *c)
{
    return c->ops;
}

const struct caller *connection_peer(const struct connection *c)
{
    return &c->peer;
}

struct request *connection_request(const struct connection *c)
{
    return c->request;
}

void connection_hold(struct connection *c, struct request *rq)
{
    c->request = rq;
}

void connection_begin(struct connection *c)
{
    pthread_mutex_lock(&c->set->lock);
    c->begun = true;
    pthread_mutex_unlock(&c->set->lock);
}

bool connection_take(struct connection *c)
{
    bool there;

    pthread_mutex_lock(&c->set->lock);
    there = c->at != IS_CUT;
    if (c->at == AWAITS_BODY)
        c->awaited += clock_ms() - c->since;
    if (there)
        c->at = IS_OURS;
    pthread_mutex_unlock(&c->set->lock);
    return there;
}

void connection_await_body(struct connection *c, uint64_t received, const char *id)
{
    pthread_mutex_lock(&c->set->lock);
    c->at = AWAITS_BODY;
    c->since = clock_ms();
    c->received = received;
    c->id = id;
    pthread_mutex_unlock(&c->set->lock);
}

bool connection_end(struct connection *c)
{
    bool cut;

    if (!counts(c->set, &c->peer))
        uncount(c);
    pthread_mutex_lock(&c->set->lock);
    cut = c->at == IS_CUT;
    if (!cut)
        c->at = AWAITS_HEADER;
    c->since = clock_ms();
    c->used = true;
    c->begun = false;
    c->id = NULL;
    c->awaited = 0;
    c->counted = c->received = 0;
    pthread_mutex_unlock(&c->set->lock);
    return cut;
}

/* ---- those who take too long; on the thread of the ticks, under the lock */

static bool header_is_late(const struct connections *set, const struct connection *c, int64_t now)
{
    return set->header_ms > 0 && now - c->since >= set->header_ms;
}

/* A window that was fast enough is followed by the next. */
static bool body_is_slow(const struct connections *set, struct connection *c, int64_t now)
{
    int64_t awaited = c->awaited + (now - c->since);

    if (set->rate == 0 || awaited < set->window_ms)
        return false;
    if ((double)(c->received - c->counted) * 1000 < (double)set->rate * (double)awaited)
        return true;
    c->awaited = 0;
    c->since = now;
    c->counted = c->received;
    return false;
}

/* What is on the socket already waits for us: then it is the HTTP thread that is late. */
static bool waits_for_us(const struct connection *c)
{
    int unread = 0;

    return ioctl(c->fd, FIONREAD, &unread) == 0 && unread > 0;
}

/* A kept connection on which nothing was asked yet is closed without a word: one would be taken for the answer to a
 * request that is just on its way (RFC 9110 section 15.5.9 knows that trouble). */
static void cut(const struct connections *set, struct connection *c)
{
    struct error err = {0};
    char id[ID_SIZE];

    if (c->at == AWAITS_BODY)
        error_set(&err, ERR_REQUEST_TIMEOUT, "less than %llu bytes a second came of the body, over %lld seconds",
                  (unsigned long long)set->rate, (long long)set->window_ms / 1000);
    else
        error_set(&err, ERR_REQUEST_TIMEOUT, "the header was not complete after %lld seconds",
                  (long long)set->header_ms / 1000);
    if (!c->id)
        id_make(id, "rq", clock_wall_ms());
    if (!c->silent && (!c->used || c->begun))
        reply_unasked(c->fd, &err, c->at == AWAITS_BODY ? STAGE_UPLOAD : STAGE_REQUEST, c->id ? c->id : id);
    c->at = IS_CUT;
    shutdown(c->fd, SHUT_RDWR);
}

void connections_sweep(struct connections *set)
{
    int64_t now = clock_ms(), headers = 0, bodies = 0;
    char addr[CALLER_TEXT];

    pthread_mutex_lock(&set->lock);
    for (struct connection *c = set->all; c && headers < HEADERS_MOST && bodies < BODIES_MOST; c = c->next) {
        bool header = c->at == AWAITS_HEADER && header_is_late(set, c, now);
        bool body = c->at == AWAITS_BODY && body_is_slow(set, c, now);

        if ((!header && !body) || waits_for_us(c))
            continue;
        if (headers + bodies == 0)
            caller_text(&c->peer, addr);
        headers += header;
        bodies += body;
        cut(set, c);
    }
    pthread_mutex_unlock(&set->lock);
    if (headers + bodies > 0)
        log_info("http.too_slow", log_int("headers", headers), log_int("bodies", bodies), log_str("addr", addr));
}
