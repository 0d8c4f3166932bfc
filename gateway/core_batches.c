/* gateway/core_batches.c - when a batch is complete: how many of it are not over, by its id. Nothing of it is kept:
 * what an earlier run left of a batch is counted as it is taken up. */
#include "gateway/core_parts.h"

#include <stdlib.h>
#include <string.h>

struct tally {
    UT_hash_handle hh;
    char id[ID_SIZE];
    size_t open;
};

static struct tally *find(struct gateway *gw, const char *id)
{
    struct tally *t = NULL;

    HASH_FIND_STR(gw->tallies, id, t);
    return t;
}

static struct tally *make(struct gateway *gw, const char *id)
{
    struct tally *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    snprintf(t->id, sizeof t->id, "%s", id);
    HASH_ADD_STR(gw->tallies, id, t);
    if (t->hh.tbl)
        return t;
    free(t);
    return NULL;
}

void core_join_batch(struct gateway *gw, const struct record *r)
{
    struct tally *t = r->batch ? find(gw, r->batch) : NULL;

    if (r->batch && !t)
        t = make(gw, r->batch);
    if (t)
        t->open++;
    else if (r->batch)
        events_lose(gw->events);
}

void core_leave_batch(struct gateway *gw, const struct record *r)
{
    struct tally *t = r->batch ? find(gw, r->batch) : NULL;

    if (!t || --t->open > 0)
        return;
    events_publish(gw->events, &(struct event){.type = EVENT_BATCH_COMPLETED, .subject = r->batch, .token = r->token});
    HASH_DEL(gw->tallies, t);
    free(t);
}

void core_forget_batches(struct gateway *gw)
{
    struct tally *t = gw->tallies, *next;

    HASH_CLEAR(hh, gw->tallies); /* which leaves them linked to each other */
    for (; t; t = next) {
        next = t->hh.next;
        free(t);
    }
}
