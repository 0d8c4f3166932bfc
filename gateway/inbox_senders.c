#include "gateway/inbox_senders.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

struct sender {
    UT_hash_handle hh;             /* in the order of their last use */
    int64_t offers[SENDER_OFFERS]; /* when the last ones came; 0: none */
    int64_t day;                   /* when it began */
    uint64_t files, bytes;         /* in it */
    char bare[];
};

struct inbox_senders {
    struct sender *all;
};

struct inbox_senders *inbox_senders_create(void)
{
    return calloc(1, sizeof(struct inbox_senders));
}

void inbox_senders_destroy(struct inbox_senders **set)
{
    struct sender *s, *next;

    if (!*set)
        return;
    s = (*set)->all;
    HASH_CLEAR(hh, (*set)->all); /* the table alone; the list of them stays */
    for (; s; s = next) {
        next = s->hh.next;
        free(s);
    }
    free(*set);
    *set = NULL;
}

static struct sender *add(struct inbox_senders *set, const char *bare, size_t len, int64_t now)
{
    struct sender *s = calloc(1, sizeof *s + len + 1);

    if (!s)
        return NULL;
    memcpy(s->bare, bare, len);
    s->day = now;
    for (size_t i = 0; i < SENDER_OFFERS; i++)
        s->offers[i] = INT64_MIN / 2;
    HASH_ADD_KEYPTR(hh, set->all, s->bare, len, s);
    return s;
}

static void drop(struct inbox_senders *set, struct sender *s)
{
    HASH_DEL(set->all, s);
    free(s);
}

/* NULL: out of memory. */
static struct sender *meet(struct inbox_senders *set, const char *bare, int64_t now)
{
    struct sender *s, *oldest = HASH_COUNT(set->all) >= SENDERS_MAX ? set->all : NULL;
    size_t len = strlen(bare);

    HASH_FIND(hh, set->all, bare, len, s);
    if (!s) {
        if (oldest)
            drop(set, oldest);
        return add(set, bare, len, now);
    }
    HASH_DEL(set->all, s); /* and behind all others */
    HASH_ADD_KEYPTR(hh, set->all, s->bare, len, s);
    if (now - s->day >= SENDER_DAY_MS) {
        s->day = now;
        s->files = s->bytes = 0;
    }
    return s;
}

static bool quota(struct error *err)
{
    return error_set(err, ERR_QUOTA_EXCEEDED, "you have sent as much as you may in a day; try again tomorrow");
}

bool inbox_senders_offer(struct inbox_senders *set, const char *bare, int64_t size, const struct inbox_limits *limits,
                         int64_t now, struct error *err)
{
    struct sender *s = meet(set, bare, now);

    if (!s)
        return error_set(err, ERR_INTERNAL, "out of memory");
    if (now - s->offers[0] < SENDER_MINUTE_MS)
        return error_set(err, ERR_RATE_LIMITED, "more than %d files offered in a minute; wait a little", SENDER_OFFERS);
    memmove(s->offers, s->offers + 1, sizeof s->offers - sizeof *s->offers);
    s->offers[SENDER_OFFERS - 1] = now;
    if (s->files >= limits->max_files || s->bytes >= limits->daily_bytes ||
        (size > 0 && (uint64_t)size > limits->daily_bytes - s->bytes))
        return quota(err);
    s->files++;
    return true;
}

bool inbox_senders_take(struct inbox_senders *set, const char *bare, uint64_t bytes, const struct inbox_limits *limits,
                        int64_t now, struct error *err)
{
    struct sender *s = meet(set, bare, now);

    if (!s)
        return true;
    s->bytes += bytes;
    return s->bytes <= limits->daily_bytes || quota(err);
}

size_t inbox_senders_known(const struct inbox_senders *set)
{
    return HASH_COUNT(set->all);
}
