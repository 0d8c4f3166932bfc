#include "tests/fake/pairing.h"

#include <stdio.h>

static void watch(struct pairing *p, pair_event_fn *on_event, void *user)
{
    struct fake_pairing *f = (struct fake_pairing *)p;

    f->on_event = on_event;
    f->user = user;
}

static uint64_t join(struct pairing *p, const char *const *names, size_t count, uint64_t rate, struct error *err)
{
    struct fake_pairing *f = (struct fake_pairing *)p;

    if (f->fails) {
        error_set(err, ERR_SYSTEM, "refused by the test");
        return 0;
    }
    f->joins++;
    f->rate = rate;
    f->count = count;
    for (size_t i = 0; i < count && i < 2; i++)
        snprintf(f->names[i], sizeof f->names[i], "%s", names[i]);
    return ++f->last;
}

static void dismiss(struct pairing *p, const char *const *names, size_t count)
{
    (void)names;
    (void)count;
    ((struct fake_pairing *)p)->dismissed++;
}

static void cancel(struct pairing *p, uint64_t id)
{
    ((struct fake_pairing *)p)->cancelled = id;
}

static uint64_t parked(struct pairing *p)
{
    return ((struct fake_pairing *)p)->waiting;
}

void fake_pairing_init(struct fake_pairing *f)
{
    static const struct pairing_ops ops = {
        .watch = watch, .join = join, .dismiss = dismiss, .cancel = cancel, .parked = parked};

    *f = (struct fake_pairing){.pairing.ops = &ops};
}

static void tell(struct fake_pairing *f, struct pair_event event, enum error_code why)
{
    if (why != ERR_NONE)
        error_set(&event.error, why, "said by the test");
    if (f->on_event)
        f->on_event(f->user, &event);
}

void fake_pairing_joins(struct fake_pairing *f, uint64_t id)
{
    tell(f, (struct pair_event){.kind = PAIR_JOINED, .id = id}, ERR_NONE);
}

void fake_pairing_refuses(struct fake_pairing *f, uint64_t id, enum error_code why, uint64_t other)
{
    tell(f, (struct pair_event){.kind = PAIR_REFUSED, .id = id, .other = other}, why);
}

void fake_pairing_moves(struct fake_pairing *f, uint64_t id, uint64_t forth, uint64_t back)
{
    tell(f, (struct pair_event){.kind = PAIR_PROGRESS, .id = id, .forth = forth, .back = back}, ERR_NONE);
}

void fake_pairing_ends(struct fake_pairing *f, uint64_t id, uint64_t forth, uint64_t back, enum error_code why)
{
    tell(f, (struct pair_event){.kind = PAIR_OVER, .id = id, .forth = forth, .back = back}, why);
}
