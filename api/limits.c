#include "api/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "base/clock.h"
#include "base/metrics.h"

enum { MINUTE = 60 * 1000, DAY = 24 * 60 * MINUTE };
enum { ACTIVE_AGAIN_S = 10 };

struct counted {
    char id[ID_SIZE];
    bool in_hand; /* its upload is not over */
};

/* One token's. */
struct use {
    char id[TOKEN_ID];
    int64_t level;  /* of the bucket: a request costs MINUTE, and each millisecond brings `rate` */
    int64_t filled; /* when that was so */
    bool begun;     /* the bucket was full at first */
    struct counted *transfers;
    size_t count, room;
    int64_t day;
    uint64_t bytes; /* of that day */
    UT_hash_handle hh;
};

struct limits {
    struct use *uses;
    limits_under_way_fn *under_way;
    void *user;
};

struct limits *limits_create(limits_under_way_fn *under_way, void *user)
{
    struct limits *l = calloc(1, sizeof *l);

    if (l)
        *l = (struct limits){.under_way = under_way, .user = user};
    return l;
}

void limits_destroy(struct limits **limits)
{
    struct use *u, *next;

    if (!*limits)
        return;
    u = (*limits)->uses;
    HASH_CLEAR(hh, (*limits)->uses);
    for (; u; u = next) {
        next = u->hh.next;
        free(u->transfers);
        free(u);
    }
    free(*limits);
    *limits = NULL;
}

/* NULL: out of memory; then there is no limit, rather than no service. */
static struct use *use_of(struct limits *l, const struct token *t)
{
    struct use *u;

    HASH_FIND_STR(l->uses, t->id, u);
    if (u)
        return u;
    u = calloc(1, sizeof *u);
    if (!u)
        return NULL;
    memcpy(u->id, t->id, sizeof u->id);
    HASH_ADD_STR(l->uses, id, u);
    if (!u->hh.tbl) {
        free(u);
        return NULL;
    }
    return u;
}

/* ---- requests a minute */

static void fill(struct use *u, const struct token *t)
{
    int64_t full = (int64_t)t->burst * MINUTE, now = clock_ms(), gone = now - u->filled;

    if (!u->begun || gone > full / (int64_t)t->rate)
        u->level = full;
    else
        u->level += gone * (int64_t)t->rate;
    if (u->level > full)
        u->level = full;
    u->filled = now;
    u->begun = true;
}

bool limits_request(struct limits *l, const struct token *t, struct refusal *why, struct error *err)
{
    struct use *u = t && t->rate > 0 ? use_of(l, t) : NULL;
    int64_t missing_ms;

    if (!u)
        return true;
    fill(u, t);
    if (u->level >= MINUTE) {
        u->level -= MINUTE;
        return true;
    }
    missing_ms = (MINUTE - u->level) / (int64_t)t->rate;
    why->again_s = (unsigned)(missing_ms / 1000) + 1;
    if (t->burst == t->rate)
        snprintf(why->rule, sizeof why->rule, "token %s: rate=%llu", t->id, (unsigned long long)t->rate);
    else
        snprintf(why->rule, sizeof why->rule, "token %s: rate=%llu/%llu", t->id, (unsigned long long)t->rate,
                 (unsigned long long)t->burst);
    metric_add(METRIC_RATE_LIMITED, 1, "rate");
    return error_set(err, ERR_RATE_LIMITED, "the token %s may make %llu requests a minute", t->id,
                     (unsigned long long)t->rate);
}

/* ---- transfers under way */

/* Those that have ended leave when somebody needs their place. */
static void leave_out_ended(struct limits *l, struct use *u)
{
    size_t kept = 0;

    for (size_t i = 0; i < u->count; i++)
        if (u->transfers[i].in_hand || l->under_way(l->user, u->transfers[i].id))
            u->transfers[kept++] = u->transfers[i];
    u->count = kept;
}

static bool check_active(struct limits *l, struct use *u, const struct token *t, struct refusal *why, struct error *err)
{
    if (t->active == 0 || u->count < t->active)
        return true;
    leave_out_ended(l, u);
    if (u->count < t->active)
        return true;
    why->again_s = ACTIVE_AGAIN_S;
    snprintf(why->rule, sizeof why->rule, "token %s: active=%llu", t->id, (unsigned long long)t->active);
    metric_add(METRIC_RATE_LIMITED, 1, "active");
    return error_set(err, ERR_QUOTA_EXCEEDED, "the token %s has %zu transfers under way", t->id, u->count);
}

void limits_begin(struct limits *l, const struct token *t, const char *id)
{
    struct use *u = t && t->active > 0 ? use_of(l, t) : NULL;
    struct counted *grown;

    if (!u)
        return;
    if (u->count == u->room) {
        grown = realloc(u->transfers, (u->room ? 2 * u->room : 4) * sizeof *grown);
        if (!grown)
            return;
        u->transfers = grown;
        u->room = u->room ? 2 * u->room : 4;
    }
    u->transfers[u->count].in_hand = true;
    snprintf(u->transfers[u->count++].id, ID_SIZE, "%s", id);
}

void limits_end(struct limits *l, const struct token *t, const char *id)
{
    struct use *u = t && t->active > 0 ? use_of(l, t) : NULL;

    for (size_t i = 0; u && i < u->count; i++)
        if (strcmp(u->transfers[i].id, id) == 0)
            u->transfers[i].in_hand = false;
}

/* ---- bytes a day */

static void turn_day(struct use *u)
{
    int64_t day = clock_wall_ms() / DAY;

    if (u->day != day)
        u->bytes = 0;
    u->day = day;
}

static bool check_bytes(struct use *u, const struct token *t, uint64_t more, struct refusal *why, struct error *err)
{
    if (t->daily_bytes == 0)
        return true;
    turn_day(u);
    if (u->bytes <= t->daily_bytes && more <= t->daily_bytes - u->bytes)
        return true;
    why->again_s = (unsigned)((DAY - clock_wall_ms() % DAY) / 1000) + 1;
    snprintf(why->rule, sizeof why->rule, "token %s: daily_bytes=%llu", t->id, (unsigned long long)t->daily_bytes);
    metric_add(METRIC_RATE_LIMITED, 1, "daily_bytes");
    return error_set(err, ERR_QUOTA_EXCEEDED, "the token %s has used %llu of its bytes of today (UTC)", t->id,
                     (unsigned long long)u->bytes);
}

bool limits_check(struct limits *l, const struct token *t, uint64_t size, struct refusal *why, struct error *err)
{
    struct use *u = t && (t->active > 0 || t->daily_bytes > 0) ? use_of(l, t) : NULL;

    return !u || (check_active(l, u, t, why, err) && check_bytes(u, t, size, why, err));
}

bool limits_spend(struct limits *l, const struct token *t, uint64_t bytes, struct refusal *why, struct error *err)
{
    struct use *u = t && t->daily_bytes > 0 ? use_of(l, t) : NULL;

    if (!u)
        return true;
    if (!check_bytes(u, t, bytes, why, err))
        return false;
    u->bytes += bytes;
    return true;
}

void limits_charge(struct limits *l, const struct token *t, uint64_t bytes)
{
    struct use *u = t && t->daily_bytes > 0 ? use_of(l, t) : NULL;

    if (!u)
        return;
    turn_day(u);
    u->bytes = bytes <= UINT64_MAX - u->bytes ? u->bytes + bytes : UINT64_MAX;
}

void limits_refund(struct limits *l, const struct token *t, uint64_t bytes)
{
    struct use *u = t && t->daily_bytes > 0 ? use_of(l, t) : NULL;

    if (!u)
        return;
    turn_day(u);
    u->bytes -= bytes < u->bytes ? bytes : u->bytes; /* the day may have turned meanwhile */
}
