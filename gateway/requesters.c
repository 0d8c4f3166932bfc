#include "gateway/requesters.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/clock.h"

struct requester {
    UT_hash_handle hh; /* in the order in which they were last looked up */
    size_t streams;
    int64_t hour; /* since when `bytes` counts; 0: there are none */
    uint64_t bytes;
    bool matters;    /* they are a good part of what he may have in it */
    int64_t free_at; /* when he may ask as often as he likes again: each stanza puts it REQUESTER_STANZA_MS off */
    char bare[];
};

struct requesters {
    struct requester *all;
    int64_t rest_free_at; /* of all whom there is no room for */
};

static bool hour_runs(const struct requester *r)
{
    return r->hour != 0 && clock_ms() - r->hour < REQUESTER_HOUR_MS;
}

/* Who was looked up longest ago of those who have nothing that counts; NULL: all have. */
static struct requester *idle(const struct requesters *set)
{
    struct requester *r = set->all;

    while (r && (r->streams > 0 || (r->matters && hour_runs(r))))
        r = r->hh.next;
    return r;
}

static void forget(struct requesters *set, struct requester *r)
{
    HASH_DEL(set->all, r);
    free(r);
}

static int minutes_left(const struct requester *r)
{
    return (int)((REQUESTER_HOUR_MS - (clock_ms() - r->hour)) / 60000) + 1;
}

static struct requester *add(struct requesters *set, const char *bare, size_t len)
{
    struct requester *r = calloc(1, sizeof *r + len + 1);

    if (!r)
        return NULL;
    memcpy(r->bare, bare, len + 1);
    HASH_ADD_KEYPTR(hh, set->all, r->bare, len, r);
    return r;
}

/* NULL: there is no room, or no memory. */
static struct requester *look_up(struct requesters *set, const struct jid *who)
{
    bool full = HASH_COUNT(set->all) >= REQUESTERS_MAX;
    struct requester *r, *oldest;
    char bare[JID_MAX + 1];
    size_t len;

    jid_bare(who, bare);
    len = strlen(bare);
    HASH_FIND(hh, set->all, bare, len, r);
    if (r) {
        HASH_DEL(set->all, r); /* and behind all others */
        HASH_ADD_KEYPTR(hh, set->all, r->bare, len, r);
        return r;
    }
    oldest = full ? idle(set) : NULL;
    if (oldest)
        forget(set, oldest);
    return oldest || !full ? add(set, bare, len) : NULL;
}

struct requesters *requesters_create(void)
{
    return calloc(1, sizeof(struct requesters));
}

void requesters_destroy(struct requesters **set)
{
    struct requester *r = *set ? (*set)->all : NULL, *next;

    if (*set)
        HASH_CLEAR(hh, (*set)->all);
    for (; r; r = next) {
        next = r->hh.next;
        free(r);
    }
    free(*set);
    *set = NULL;
}

bool requesters_ask(struct requesters *set, const struct jid *who, struct error *err)
{
    struct requester *r = look_up(set, who);
    int64_t now = clock_ms(), *free_at = r ? &r->free_at : &set->rest_free_at;

    if (*free_at < now)
        *free_at = now;
    if (*free_at - now >= (int64_t)REQUESTER_BURST * REQUESTER_STANZA_MS)
        return error_set(err, ERR_RATE_LIMITED, "that was asked too often; try again in a few seconds");
    *free_at += REQUESTER_STANZA_MS;
    return true;
}

struct requester *requesters_begin(struct requesters *set, const struct jid *who, size_t max_streams,
                                   uint64_t hourly_bytes, struct error *err)
{
    struct requester *r = look_up(set, who);

    if (!r) {
        error_set(err, ERR_PROXY_BUSY, "this proxy relays for too many others; try again later");
        return NULL;
    }
    if (r->streams >= max_streams) {
        error_set(err, ERR_PROXY_BUSY, "%zu streams of yours are relayed already; try again when one is over",
                  r->streams);
        return NULL;
    }
    if (hour_runs(r) && r->bytes >= hourly_bytes) {
        error_set(err, ERR_PROXY_BUSY, "this hour's bytes are used up; try again in %d minutes", minutes_left(r));
        return NULL;
    }
    r->streams++;
    return r;
}

bool requester_moved(struct requester *r, uint64_t bytes, uint64_t hourly_bytes)
{
    if (!hour_runs(r) && bytes > 0) {
        r->hour = clock_ms();
        r->bytes = 0;
    }
    r->bytes += bytes;
    r->matters = r->bytes >= hourly_bytes / REQUESTER_PART;
    return r->bytes < hourly_bytes;
}

void requester_end(struct requester *r)
{
    r->streams--;
}

size_t requesters_known(const struct requesters *set)
{
    return HASH_COUNT(set->all);
}
