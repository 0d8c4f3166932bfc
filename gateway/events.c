#include "gateway/events.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/labels.h"
#include "gateway/token.h"

enum { LISTENERS = 4, BUCKETS = 256, RUN_BYTES = 4 };

/* An event as it lies in the journal, and with whoever holds it. */
struct kept {
    struct event event; /* must be first */
    atomic_uint holders;
    struct kept *prev, *next; /* under the lock, as what follows */
    UT_hash_handle hh;        /* of a progress, by its transfer */
};

struct events {
    char run[2 * RUN_BYTES + 1];
    size_t most;
    struct {
        void (*fn)(void *user, const struct event *e);
        void *user;
    } listeners[LISTENERS];
    size_t listening;

    pthread_mutex_t lock; /* over everything below */
    struct kept *journal; /* the oldest first */
    struct kept *progress;
    size_t count;
    uint64_t newest, lost;                     /* numbers: the last given, and the last of those not kept */
    struct event_waiter *waiters[BUCKETS + 1]; /* by the transfer they ask for; the last: for any */
};

static const struct {
    const char *name;
    bool everyones;
} types[] = {
#define X(type, name, everyones) {name, everyones},
    EVENT_TYPES(X)
#undef X
};

const char *event_name(enum event_type type)
{
    return types[type].name;
}

bool event_parse(const char *name, enum event_type *type)
{
    for (size_t i = 0; i < EVENT_TYPE_COUNT; i++) {
        if (strcmp(types[i].name, name) != 0)
            continue;
        *type = (enum event_type)i;
        return true;
    }
    return false;
}

enum event_type event_of(const struct record *r)
{
    static const enum event_type of[TRANSFER_STATE_COUNT] = {
        [TRANSFER_RECEIVING] = EVENT_CREATED,
        [TRANSFER_QUEUED] = EVENT_QUEUED,
        [TRANSFER_HELD] = EVENT_HELD,
        [TRANSFER_OFFERING] = EVENT_OFFERED,
        [TRANSFER_CONNECTING] = EVENT_ACCEPTED,
        [TRANSFER_TRANSFERRING] = EVENT_PROGRESS,
        [TRANSFER_DELIVERED] = EVENT_DELIVERED,
        [TRANSFER_LINK_SENT] = EVENT_LINK_SENT,
        [TRANSFER_LINK_FETCHED] = EVENT_LINK_FETCHED,
        [TRANSFER_FAILED] = EVENT_FAILED,
        [TRANSFER_CANCELLED] = EVENT_CANCELLED,
        [TRANSFER_EXPIRED] = EVENT_EXPIRED,
    };

    return r->state == TRANSFER_QUEUED && r->next_attempt_at > 0 ? EVENT_RETRYING : of[r->state];
}

/* ---- one event */

struct event *event_hold(const struct event *e)
{
    struct kept *k = (struct kept *)e;

    atomic_fetch_add(&k->holders, 1);
    return &k->event;
}

void event_release(struct event **e)
{
    struct kept *k = (struct kept *)*e;

    *e = NULL;
    if (!k || atomic_fetch_sub(&k->holders, 1) > 1)
        return;
    snapshot_release(&k->event.transfer);
    inbox_item_free(&k->event.item);
    free(k->event.subject);
    free(k->event.detail);
    free(k->event.token);
    free(k);
}

static bool copy_text(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return *to || !from;
}

static struct kept *make(const struct event *news)
{
    struct kept *k = calloc(1, sizeof *k);
    struct event *e = k ? &k->event : NULL;

    if (!k)
        return NULL;
    atomic_init(&k->holders, 1);
    e->type = news->type;
    e->at = clock_wall_ms();
    e->transfer = news->transfer ? snapshot_hold(news->transfer) : NULL;
    e->item = news->item ? inbox_item_copy(news->item) : NULL;
    if (!e->item != !news->item || !copy_text(&e->subject, news->subject) || !copy_text(&e->detail, news->detail) ||
        !copy_text(&e->token, news->token))
        event_release(&e);
    return (struct kept *)e;
}

static const struct record *record_of(const struct event *e)
{
    return e->transfer ? snapshot_record(e->transfer) : NULL;
}

static bool goes_to(const struct record *r, const char *to)
{
    size_t len = strlen(to);

    return strncmp(r->to, to, len) == 0 && (!r->to[len] || (r->to[len] == '/' && !strchr(to, '/')));
}

/* A file that was sent to us is no token's own: the address decides who hears of it. */
static bool item_fits(const struct inbox_item *item, const struct event_filter *f)
{
    if (f->no_inbox || *f->id || f->labels || !token_globs_allow(f->inbox_of, item->to))
        return false;
    return !f->to || strcmp(item->to, f->to) == 0;
}

bool event_fits(const struct event *e, const struct event_filter *f)
{
    const struct record *r = record_of(e);
    const char *owner = r ? r->token : e->token;

    if (f->types && !(f->types & EVENT_BIT(e->type)))
        return false;
    if (e->item)
        return item_fits(e->item, f);
    if (*f->id && (!r || strcmp(r->id, f->id) != 0))
        return false;
    if (f->token && !types[e->type].everyones && (!owner || strcmp(owner, f->token) != 0))
        return false;
    if (f->labels && (!r || !labels_have(r->labels, f->labels)))
        return false;
    return !f->to || (r && goes_to(r, f->to));
}

/* ---- life */

struct events *events_create(size_t most)
{
    struct events *ev = calloc(1, sizeof *ev);

    if (!ev)
        return NULL;
    id_random_hex(ev->run, RUN_BYTES);
    ev->most = most > 0 ? most : 1;
    pthread_mutex_init(&ev->lock, NULL);
    return ev;
}

/* Under the lock. What the caller has to release once it is unlocked: the journal's hold. */
static struct kept *take_off(struct events *ev, struct kept *k)
{
    if (k->hh.tbl)
        HASH_DEL(ev->progress, k);
    k->hh.tbl = NULL;
    DL_DELETE(ev->journal, k);
    ev->count--;
    return k;
}

void events_destroy(struct events **ev)
{
    struct events *mine = *ev;

    *ev = NULL;
    if (!mine)
        return;
    for (size_t i = 0; i <= BUCKETS; i++)
        assert(!mine->waiters[i]);
    while (mine->journal) {
        struct event *e = &take_off(mine, mine->journal)->event;

        event_release(&e);
    }
    pthread_mutex_destroy(&mine->lock);
    free(mine);
}

const char *events_run(const struct events *ev)
{
    return ev->run;
}

uint64_t events_newest(struct events *ev)
{
    uint64_t newest;

    pthread_mutex_lock(&ev->lock);
    newest = ev->newest;
    pthread_mutex_unlock(&ev->lock);
    return newest;
}

/* ---- who waits */

static struct event_waiter **bucket_of(struct events *ev, const char *id)
{
    uint32_t mixed = 2166136261u; /* FNV-1a */

    if (!*id)
        return &ev->waiters[BUCKETS];
    for (; *id; id++)
        mixed = (mixed ^ (unsigned char)*id) * 16777619u;
    return &ev->waiters[(mixed ^ mixed >> 16) % BUCKETS];
}

/* Under the lock, as all about lists; `link` tells whether it is in one. */
static void join(struct event_waiter **bucket, struct event_waiter *w)
{
    w->next = *bucket;
    w->link = bucket;
    if (w->next)
        w->next->link = &w->next;
    *bucket = w;
}

static void leave(struct event_waiter *w)
{
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    w->link = NULL;
}

/* Those of one bucket, chained to be woken. e NULL: all of them. */
static void call_up(struct event_waiter **bucket, const struct event *e, struct event_waiter **woken)
{
    struct event_waiter *next;

    for (struct event_waiter *w = *bucket; w; w = next) {
        next = w->next;
        if (e && !event_fits(e, w->filter))
            continue;
        leave(w);
        w->next = *woken;
        *woken = w;
    }
}

static struct event_waiter *call_up_for(struct events *ev, const struct event *e)
{
    const struct record *r = record_of(e);
    struct event_waiter *woken = NULL;

    call_up(bucket_of(ev, ""), e, &woken);
    if (r)
        call_up(bucket_of(ev, r->id), e, &woken);
    return woken;
}

static void wake_all(struct event_waiter *woken)
{
    while (woken) {
        struct event_waiter *w = woken;

        woken = w->next; /* read before: it may be gone after */
        w->wake(w->user);
    }
}

/* ---- publishing */

/* Under the lock. The progress that this one puts an end to; NULL: none. */
static struct kept *outdated_by(struct events *ev, const struct kept *k)
{
    const struct record *r = record_of(&k->event);
    struct kept *old = NULL;

    if (r)
        HASH_FIND_STR(ev->progress, r->id, old);
    return old ? take_off(ev, old) : NULL;
}

static void append(struct events *ev, struct kept *k)
{
    const struct record *r = record_of(&k->event);

    k->event.seq = ++ev->newest;
    DL_APPEND(ev->journal, k);
    ev->count++;
    if (r && k->event.type == EVENT_PROGRESS)
        HASH_ADD_KEYPTR(hh, ev->progress, r->id, strlen(r->id), k); /* without memory it stays until its turn comes */
}

static void release_both(struct kept *one, struct kept *other)
{
    struct event *e = one ? &one->event : NULL, *f = other ? &other->event : NULL;

    event_release(&e);
    event_release(&f);
}

void events_publish(struct events *ev, const struct event *news)
{
    struct kept *k = make(news), *old, *oldest = NULL;
    struct event_waiter *woken;
    struct event *mine;

    if (!k) {
        events_lose(ev);
        return;
    }
    mine = event_hold(&k->event);
    pthread_mutex_lock(&ev->lock);
    old = outdated_by(ev, k);
    append(ev, k);
    if (ev->count > ev->most) {
        oldest = take_off(ev, ev->journal);
        ev->lost = oldest->event.seq > ev->lost ? oldest->event.seq : ev->lost;
    }
    woken = call_up_for(ev, mine);
    pthread_mutex_unlock(&ev->lock);
    release_both(old, oldest);
    wake_all(woken);
    for (size_t i = 0; i < ev->listening; i++)
        ev->listeners[i].fn(ev->listeners[i].user, mine);
    event_release(&mine);
}

void events_lose(struct events *ev)
{
    struct event_waiter *woken = NULL;

    pthread_mutex_lock(&ev->lock);
    ev->lost = ++ev->newest;
    for (size_t i = 0; i <= BUCKETS; i++)
        call_up(&ev->waiters[i], NULL, &woken);
    pthread_mutex_unlock(&ev->lock);
    wake_all(woken);
}

void events_listen(struct events *ev, void (*fn)(void *user, const struct event *e), void *user)
{
    assert(ev->listening < LISTENERS);
    ev->listeners[ev->listening].fn = fn;
    ev->listeners[ev->listening++].user = user;
}

/* ---- reading */

/* Under the lock. From the newest back, since most readers are close behind; NULL: none. */
static struct kept *first_after(struct events *ev, uint64_t after)
{
    struct kept *first = NULL, *k = ev->journal ? ev->journal->prev : NULL;

    for (; k && k->event.seq > after; k = k->prev) {
        first = k;
        if (k == ev->journal)
            break;
    }
    return first;
}

static struct kept *find(struct events *ev, const struct event_filter *f, uint64_t after)
{
    for (struct kept *k = first_after(ev, after); k; k = k->next)
        if (event_fits(&k->event, f))
            return k;
    return NULL;
}

static bool has_gap(const struct events *ev, uint64_t after)
{
    return after < ev->lost || after > ev->newest;
}

enum events_next events_next(struct events *ev, const struct event_filter *f, uint64_t *after, struct event **e)
{
    enum events_next result = EVENTS_NONE;
    const struct kept *k = NULL;

    *e = NULL;
    pthread_mutex_lock(&ev->lock);
    if (has_gap(ev, *after))
        result = EVENTS_GAP;
    else
        k = find(ev, f, *after);
    *after = k ? k->event.seq : ev->newest;
    if (k) {
        *e = event_hold(&k->event);
        result = EVENTS_FOUND;
    }
    pthread_mutex_unlock(&ev->lock);
    return result;
}

bool events_wait(struct events *ev, struct event_waiter *w, uint64_t after)
{
    struct event_waiter **bucket = bucket_of(ev, w->filter->id);
    bool idle;

    pthread_mutex_lock(&ev->lock);
    idle = !has_gap(ev, after) && !find(ev, w->filter, after);
    w->link = NULL;
    if (idle)
        join(bucket, w);
    pthread_mutex_unlock(&ev->lock);
    return idle;
}

bool events_withdraw(struct events *ev, struct event_waiter *w)
{
    bool there;

    pthread_mutex_lock(&ev->lock);
    there = w->link != NULL;
    if (there)
        leave(w);
    pthread_mutex_unlock(&ev->lock);
    return there;
}
