#include "base/feed.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef _Atomic(struct feed_waiter *) waiter_slot;

struct feed {
    atomic_uint refs;
    atomic_int state;
    atomic_uint_least64_t available, taken;
    atomic_uint_least64_t wanted; /* what the writer waits to see taken */
    atomic_bool refused;
    struct error why; /* constant once refused */
    waiter_slot reader, writer;
};

struct feed *feed_create(void)
{
    struct feed *f = calloc(1, sizeof *f);

    if (f)
        atomic_init(&f->refs, 1);
    return f;
}

struct feed *feed_hold(struct feed *f)
{
    atomic_fetch_add(&f->refs, 1);
    return f;
}

void feed_release(struct feed **feed)
{
    struct feed *f = *feed;

    *feed = NULL;
    if (!f || atomic_fetch_sub(&f->refs, 1) > 1)
        return;
    assert(!atomic_load(&f->reader) && !atomic_load(&f->writer));
    free(f);
}

/* The state first: once it is an end, the count does not change any more. */
struct feed_view feed_look(struct feed *f)
{
    struct feed_view view = {.state = (enum feed_state)atomic_load(&f->state)};

    view.available = atomic_load(&f->available);
    return view;
}

/* ---- waking: of those who take a waiter out of its slot exactly one gets it */

static void wake(waiter_slot *slot)
{
    struct feed_waiter *w = atomic_load(slot) ? atomic_exchange(slot, NULL) : NULL;

    if (w)
        w->wake(w);
}

static bool withdraw(waiter_slot *slot, struct feed_waiter *w)
{
    return atomic_compare_exchange_strong(slot, &w, NULL);
}

static void leave(waiter_slot *slot, struct feed_waiter *w)
{
    struct feed_waiter *before = atomic_exchange(slot, w);

    assert(!before);
    (void)before;
}

/* ---- the writer's */

void feed_grow(struct feed *f, uint64_t available)
{
    if (atomic_exchange(&f->available, available) != available)
        wake(&f->reader);
}

void feed_end(struct feed *f, enum feed_state how)
{
    assert(how != FEED_GROWING);
    atomic_store(&f->state, how);
    wake(&f->reader);
}

uint64_t feed_taken(struct feed *f)
{
    return atomic_load(&f->taken);
}

bool feed_await_taken(struct feed *f, uint64_t taken, struct feed_waiter *w)
{
    atomic_store(&f->wanted, taken);
    leave(&f->writer, w);
    return (feed_taken(f) < taken && !feed_refused(f)) || !withdraw(&f->writer, w);
}

bool feed_withdraw_writer(struct feed *f, struct feed_waiter *w)
{
    return withdraw(&f->writer, w);
}

/* ---- the reader's */

void feed_take(struct feed *f, uint64_t taken)
{
    atomic_store(&f->taken, taken);
    if (taken >= atomic_load(&f->wanted))
        wake(&f->writer);
}

bool feed_await_news(struct feed *f, struct feed_view seen, struct feed_waiter *w)
{
    struct feed_view now;

    leave(&f->reader, w);
    now = feed_look(f);
    return (now.state == seen.state && now.available == seen.available) || !withdraw(&f->reader, w);
}

bool feed_withdraw_reader(struct feed *f, struct feed_waiter *w)
{
    return withdraw(&f->reader, w);
}

/* ---- */

void feed_refuse(struct feed *f, const struct error *why)
{
    assert(!atomic_load(&f->refused));
    f->why = *why;
    atomic_store(&f->refused, true);
    wake(&f->writer);
}

const struct error *feed_refused(struct feed *f)
{
    return atomic_load(&f->refused) ? &f->why : NULL;
}
