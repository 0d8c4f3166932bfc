#include "gateway/snapshot.h"

#include <stdatomic.h>
#include <stdlib.h>

struct snapshot {
    struct record *record;
    atomic_uint holders;
};

struct snapshot *snapshot_take(struct record *r)
{
    struct snapshot *s = r ? malloc(sizeof *s) : NULL;

    if (!s) {
        record_free(&r);
        return NULL;
    }
    s->record = r;
    atomic_init(&s->holders, 1);
    return s;
}

struct snapshot *snapshot_hold(struct snapshot *s)
{
    atomic_fetch_add(&s->holders, 1);
    return s;
}

void snapshot_release(struct snapshot **s)
{
    struct snapshot *mine = *s;

    *s = NULL;
    if (!mine || atomic_fetch_sub(&mine->holders, 1) > 1)
        return;
    record_free(&mine->record);
    free(mine);
}

const struct record *snapshot_record(const struct snapshot *s)
{
    return s->record;
}
