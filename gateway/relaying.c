#include "gateway/relaying.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uthash.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "gateway/requesters.h"

enum { NAMES = 2, NAME = 41 };

struct waiter {
    struct waiter *next;
    relay_activated_fn *done;
    void *user;
};

/* Two who are to be joined, or are. */
struct session {
    UT_hash_handle hh; /* oldest first */
    uint64_t id;
    struct relaying *owner;
    struct requester *account;
    struct jid *requester, *target;
    char names[NAMES][NAME];
    size_t name_count;
    struct waiter *waiters; /* for the first answer; none once it is joined */
    bool joined;
    bool used_up; /* cut for its requester's bytes */
    int64_t since;
    uint64_t forth, back;
};

struct relaying {
    struct relay relay; /* first */
    struct carrier *carrier;
    struct pairing *pairing;
    char *own;
    struct relaying_limits limits; /* a copy */
    struct requesters *requesters;
    bool draining;

    pthread_mutex_t lock; /* over what others look at; core alone changes it */
    struct session *sessions;
    uint64_t streams, bytes;
    uint64_t refused[ERROR_CODE_COUNT];
};

static struct relaying *impl(struct relay *relay)
{
    return (struct relaying *)relay; /* its first member */
}

/* ---- who may */

static bool is_own(const struct relaying *r, const struct jid *who)
{
    size_t len;
    const char *domain = jid_domain(who, &len);

    return strlen(r->own) == len && memcmp(domain, r->own, len) == 0;
}

/* A denial counts, wherever it stands. */
static bool may_use(const struct relaying *r, const struct jid *who)
{
    char bare[JID_MAX + 1];
    bool allowed = is_own(r, who);

    jid_bare(who, bare);
    for (char *const *glob = r->limits.allow; *glob; glob++) {
        if (**glob != '!')
            allowed |= text_glob(*glob, bare);
        else if (text_glob(*glob + 1, bare))
            return false;
    }
    return allowed;
}

static bool where(struct relay *relay, struct carrier_address *out)
{
    struct carrier *carrier = impl(relay)->carrier;

    return carrier->ops->advertised(carrier, out);
}

/* What is asked of either stanza. What our own addresses ask is no stranger's, and comes once for each transfer. */
static bool admit(struct relaying *r, const struct jid *who, struct carrier_address *at, struct error *err)
{
    if (!may_use(r, who))
        return error_set(err, ERR_PROXY_REFUSED, "this proxy is not for %.120s", who->text);
    if (!is_own(r, who) && !requesters_ask(r->requesters, who, err))
        return false;
    if (r->draining)
        return error_set(err, ERR_DRAINING, "this proxy is about to stop; use another");
    return where(&r->relay, at) ||
           error_set(err, ERR_PROXY_UNAVAILABLE, "this proxy has no address that can be reached");
}

static void count_refusal(struct relaying *r, enum metric m, const struct jid *who, const struct error *why)
{
    metric_add(m, 1, error_name(why->code));
    log_debug("proxy.refused", log_str("requester", who->text), log_str("code", error_name(why->code)));
    pthread_mutex_lock(&r->lock);
    r->refused[why->code]++;
    pthread_mutex_unlock(&r->lock);
}

static bool has_room(const struct relaying *r, struct error *err)
{
    return HASH_COUNT(r->sessions) < r->limits.max_streams ||
           error_set(err, ERR_PROXY_BUSY, "this proxy relays as many streams as it may; try again later");
}

static bool address(struct relay *relay, const struct jid *from, struct carrier_address *out, struct error *err)
{
    struct relaying *r = impl(relay);

    if (!admit(r, from, out, err) || !has_room(r, err)) {
        count_refusal(r, METRIC_PROXY_QUERIES, from, err);
        return false;
    }
    metric_add(METRIC_PROXY_QUERIES, 1, "ok");
    return true;
}

/* ---- sessions */

static void free_session(struct session *s)
{
    free(s->requester);
    free(s->target);
    free(s);
}

static void enter(struct relaying *r, struct session *s)
{
    pthread_mutex_lock(&r->lock);
    HASH_ADD(hh, r->sessions, id, sizeof s->id, s);
    pthread_mutex_unlock(&r->lock);
}

static void leave(struct session *s)
{
    struct relaying *r = s->owner;

    pthread_mutex_lock(&r->lock);
    HASH_DEL(r->sessions, s);
    pthread_mutex_unlock(&r->lock);
    requester_end(s->account);
}

static void answer(struct session *s, const struct error *err)
{
    struct waiter *w;

    while ((w = s->waiters)) {
        s->waiters = w->next;
        metric_add(METRIC_PROXY_ACTIVATIONS, 1, err ? error_name(err->code) : "ok");
        w->done(w->user, err);
        free(w);
    }
}

static bool has_name(const struct session *s, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < s->name_count; k++)
            if (strcasecmp(s->names[k], names[i]) == 0)
                return true;
    return false;
}

/* The stream that has one of the names, of the same requester: another's would be none of his. */
static struct session *find(const struct relaying *r, const struct jid *requester, const char *const *names,
                            size_t count)
{
    struct session *s;

    for (s = r->sessions; s; s = s->hh.next)
        if (has_name(s, names, count) && jid_equal(s->requester, requester))
            break;
    return s;
}

static bool add_waiter(struct session *s, relay_activated_fn *done, void *user)
{
    struct waiter *w = calloc(1, sizeof *w);

    if (!w)
        return false;
    w->done = done;
    w->user = user;
    LL_APPEND(s->waiters, w);
    return true;
}

static struct session *new_session(struct relaying *r, const struct jid *requester, const struct jid *target,
                                   const char *const *names, size_t count)
{
    struct session *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->owner = r;
    s->requester = jid_dup(requester);
    s->target = jid_dup(target);
    s->since = clock_wall_ms();
    s->name_count = count < NAMES ? count : NAMES;
    for (size_t i = 0; i < s->name_count; i++)
        snprintf(s->names[i], NAME, "%s", names[i]);
    if (s->requester && s->target)
        return s;
    free_session(s);
    return NULL;
}

/* Has them joined; what comes of it, an event says. */
static bool begin(struct relaying *r, const struct jid *requester, const struct jid *target, const char *const *names,
                  size_t count, relay_activated_fn *done, void *user, struct error *err)
{
    struct session *s = new_session(r, requester, target, names, count);

    if (!s || !add_waiter(s, done, user)) {
        error_set(err, ERR_SYSTEM, "out of memory");
        goto failed;
    }
    s->account =
        requesters_begin(r->requesters, requester, r->limits.max_streams_per_requester, r->limits.hourly_bytes, err);
    if (!s->account)
        goto failed;
    s->id = r->pairing->ops->join(r->pairing, names, count, r->limits.rate, err);
    if (s->id != 0) {
        enter(r, s);
        return true;
    }
    requester_end(s->account);
failed:
    if (s) {
        free(s->waiters); /* the one, who is told by our caller */
        free_session(s);
    }
    return false;
}

static void activate(struct relay *relay, const struct jid *requester, const struct jid *target,
                     const char *const *names, size_t count, relay_activated_fn *done, void *user)
{
    struct relaying *r = impl(relay);
    struct session *s = NULL;
    struct carrier_address at;
    struct error err = {0};
    bool ok = admit(r, requester, &at, &err);

    /* Smack asks twice, and gives up when that is not as good as once. */
    if (ok && (s = find(r, requester, names, count)) && s->joined) {
        metric_add(METRIC_PROXY_ACTIVATIONS, 1, "ok");
        done(user, NULL);
        return;
    }
    if (ok && s)
        ok = add_waiter(s, done, user) || error_set(&err, ERR_SYSTEM, "out of memory");
    else if (ok)
        ok = has_room(r, &err) && begin(r, requester, target, names, count, done, user, &err);
    if (ok)
        return;
    if (err.code == ERR_PROXY_BUSY)
        r->pairing->ops->dismiss(r->pairing, names, count);
    count_refusal(r, METRIC_PROXY_ACTIVATIONS, requester, &err);
    done(user, &err);
}

/* ---- what becomes of them */

static void on_joined(struct session *s)
{
    struct relaying *r = s->owner;

    s->joined = true;
    pthread_mutex_lock(&r->lock);
    r->streams++;
    pthread_mutex_unlock(&r->lock);
    log_info("proxy.joined", log_int("stream", (int64_t)s->id), log_str("requester", s->requester->text),
             log_str("target", s->target->text));
    answer(s, NULL);
}

/* The name is that of a stream of the same requester: then all is well. Else it is none that he has. */
static void on_refused(struct session *s, const struct pair_event *event)
{
    struct relaying *r = s->owner;
    struct error err = event->error;
    struct session *other = NULL;

    if (err.code == ERR_PROXY_ALREADY_ACTIVE) {
        HASH_FIND(hh, r->sessions, &event->other, sizeof event->other, other);
        error_set(&err, ERR_PROXY_HASH_MISMATCH, "nobody asked this proxy for that stream");
    }
    leave(s);
    if (other && other->joined && jid_equal(other->requester, s->requester)) {
        answer(s, NULL);
    } else {
        pthread_mutex_lock(&r->lock);
        r->refused[err.code]++;
        pthread_mutex_unlock(&r->lock);
        answer(s, &err);
    }
    free_session(s);
}

/* Counts what came since the last time. false: this hour's bytes are used up. */
static bool count_bytes(struct session *s, const struct pair_event *event)
{
    struct relaying *r = s->owner;
    uint64_t more = event->forth + event->back - s->forth - s->back;

    pthread_mutex_lock(&r->lock);
    s->forth = event->forth;
    s->back = event->back;
    r->bytes += more;
    pthread_mutex_unlock(&r->lock);
    metric_add(METRIC_PROXY_BYTES, (int64_t)more);
    return requester_moved(s->account, more, r->limits.hourly_bytes);
}

static void on_progress(struct session *s, const struct pair_event *event)
{
    if (count_bytes(s, event) || s->used_up)
        return;
    s->used_up = true;
    s->owner->pairing->ops->cancel(s->owner->pairing, s->id);
}

static void on_over(struct session *s, const struct pair_event *event)
{
    enum error_code code = s->used_up ? ERR_QUOTA_EXCEEDED : event->error.code;
    const char *outcome = code == ERR_NONE ? "ok" : error_name(code);

    count_bytes(s, event);
    metric_add(METRIC_PROXY_ENDED, 1, outcome);
    log_info("proxy.over", log_int("stream", (int64_t)s->id), log_str("requester", s->requester->text),
             log_str("target", s->target->text), log_str("outcome", outcome), log_int("forth", (int64_t)s->forth),
             log_int("back", (int64_t)s->back), log_int("ms", clock_wall_ms() - s->since));
    leave(s);
    free_session(s);
}

static void on_event(void *user, const struct pair_event *event)
{
    struct relaying *r = user;
    struct session *s;

    HASH_FIND(hh, r->sessions, &event->id, sizeof event->id, s);
    if (!s)
        return;
    switch (event->kind) {
    case PAIR_JOINED:
        on_joined(s);
        break;
    case PAIR_REFUSED:
        on_refused(s, event);
        break;
    case PAIR_PROGRESS:
        on_progress(s, event);
        break;
    case PAIR_OVER:
        on_over(s, event);
        break;
    }
}

/* ---- looked at */

static bool copy_session(const struct session *s, struct relay_session *out)
{
    *out = (struct relay_session){.id = s->id,
                                  .requester = strdup(s->requester->text),
                                  .target = strdup(s->target->text),
                                  .since = s->since,
                                  .forth = s->forth,
                                  .back = s->back};
    return out->requester && out->target;
}

bool relaying_view(struct relay *relay, struct relay_view *out)
{
    struct relaying *r = impl(relay);
    bool ok = true;

    *out = (struct relay_view){.parked = r->pairing->ops->parked(r->pairing)};
    pthread_mutex_lock(&r->lock);
    out->draining = r->draining;
    out->streams = r->streams;
    out->bytes = r->bytes;
    memcpy(out->refused, r->refused, sizeof out->refused);
    out->sessions = calloc(HASH_COUNT(r->sessions) + 1, sizeof *out->sessions);
    ok = out->sessions != NULL;
    for (struct session *s = r->sessions; s && ok; s = s->hh.next)
        if (s->joined)
            ok = copy_session(s, &out->sessions[out->count++]);
    pthread_mutex_unlock(&r->lock);
    if (!ok)
        relay_view_free(out);
    return ok;
}

void relay_view_free(struct relay_view *view)
{
    for (size_t i = 0; view->sessions && i < view->count; i++) {
        free(view->sessions[i].requester);
        free(view->sessions[i].target);
    }
    free(view->sessions);
    view->sessions = NULL;
    view->count = 0;
}

void relaying_counts(struct relay *relay, struct relay_counts *out)
{
    struct relaying *r = impl(relay);

    pthread_mutex_lock(&r->lock);
    out->streams = HASH_COUNT(r->sessions);
    pthread_mutex_unlock(&r->lock);
    out->parked = r->pairing->ops->parked(r->pairing);
}

/* ---- from birth to death */

void relaying_limits_free(struct relaying_limits *limits)
{
    for (char **item = limits->allow; item && *item; item++)
        free(*item);
    free(limits->allow);
    limits->allow = NULL;
}

bool relaying_limits_copy(struct relaying_limits *out, const struct relaying_limits *in)
{
    size_t count = 0;

    while (in->allow[count])
        count++;
    *out = *in;
    out->allow = calloc(count + 1, sizeof *out->allow);
    for (size_t i = 0; out->allow && i < count; i++) {
        out->allow[i] = strdup(in->allow[i]);
        if (!out->allow[i])
            relaying_limits_free(out);
    }
    return out->allow != NULL;
}

void relaying_limit(struct relay *relay, struct relaying_limits *copy)
{
    struct relaying *r = impl(relay);

    relaying_limits_free(&r->limits);
    r->limits = *copy;
    copy->allow = NULL;
}

void relaying_drain(struct relay *relay)
{
    struct relaying *r = impl(relay);

    pthread_mutex_lock(&r->lock);
    r->draining = true;
    pthread_mutex_unlock(&r->lock);
}

struct relay *relaying_create(struct carrier *carrier, struct pairing *pairing, const char *own,
                              const struct relaying_limits *limits, struct error *err)
{
    static const struct relay_ops ops = {.where = where, .address = address, .activate = activate};
    struct relaying *r = calloc(1, sizeof *r);
    struct relay *relay = (struct relay *)r;

    if (r) {
        pthread_mutex_init(&r->lock, NULL);
        r->relay.ops = &ops;
        r->carrier = carrier;
        r->pairing = pairing;
        r->own = strdup(own);
        r->requesters = requesters_create();
        if (r->own && r->requesters && relaying_limits_copy(&r->limits, limits)) {
            pairing->ops->watch(pairing, on_event, r);
            return relay;
        }
        relaying_destroy(&relay);
    }
    error_set(err, ERR_SYSTEM, "out of memory");
    return NULL;
}

void relaying_destroy(struct relay **relay)
{
    struct relaying *r = *relay ? impl(*relay) : NULL;
    struct session *s, *next;
    struct error err;

    *relay = NULL;
    if (!r)
        return;
    r->pairing->ops->watch(r->pairing, NULL, NULL);
    error_set(&err, ERR_DRAINING, "this proxy is about to stop; use another");
    HASH_ITER(hh, r->sessions, s, next)
    {
        leave(s);
        answer(s, &err);
        free_session(s);
    }
    requesters_destroy(&r->requesters);
    relaying_limits_free(&r->limits);
    free(r->own);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
