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
    int64_t free_at; /* when he may ask as often as he likes again: each stanza puts it REQUESTER_STANZA_MS off */
    char bare[];
};

struct requesters {
    struct requester *all;
};

static bool hour_runs(const struct requester *r)
{
    return r->hour != 0 && clock_ms() - r->hour < REQUESTER_HOUR_MS;
}

/* Forgets the one who was looked up longest ago of those who have nothing that counts. */
static bool make_room(struct requesters *set)
{
    struct requester *r, *next;

    HASH_ITER(hh, set->all, r, next)
    if (r->streams == 0 && !hour_runs(r)) {
        HASH_DEL(set->all, r);
        free(r);
        return true;
    }
    return false;
}

/* NULL: there is no room, or no memory. */
static struct requester *look_up(struct requesters *set, const struct jid *who)
{
    struct requester *r;
    char bare[JID_MAX + 1];
    size_t len;

    jid_bare(who, bare);
    len = strlen(bare);
    HASH_FIND(hh, set->all, bare, len, r);
    if (r) {
        HASH_DEL(set->all, r);
    } else {
        if (HASH_COUNT(set->all) >= REQUESTERS_MAX && !make_room(set))
            return NULL;
        r = calloc(1, sizeof *r + len + 1);
        if (!r)
            return NULL;
        memcpy(r->bare, bare, len + 1);
    }
    HASH_ADD_KEYPTR(hh, set->all, r->bare, len, r);
    return r;
}

struct requesters *requesters_create(void)
{
    return calloc(1, sizeof(struct requesters));
}

void requesters_destroy(struct requesters **set)
{
    struct requester *r, *next;

    if (!*set)
        return;
    HASH_ITER(hh, (*set)->all, r, next)
    {
        HASH_DEL((*set)->all, r);
        free(r);
    }
    free(*set);
    *set = NULL;
}

/* Whom there is no room for is not counted: then there are thousands who have streams. */
bool requesters_ask(struct requesters *set, const struct jid *who, struct error *err)
{
    struct requester *r = look_up(set, who);
    int64_t now = clock_ms();

    if (!r)
        return true;
    if (r->free_at < now)
        r->free_at = now;
    if (r->free_at - now >= (int64_t)REQUESTER_BURST * REQUESTER_STANZA_MS)
        return error_set(err, ERR_RATE_LIMITED, "that was asked too often; try again in a few seconds");
    r->free_at += REQUESTER_STANZA_MS;
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
        error_set(err, ERR_PROXY_BUSY, "this hour's bytes are used up; try again in %lld minutes",
                  (long long)((REQUESTER_HOUR_MS - (clock_ms() - r->hour)) / 60000 + 1));
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
