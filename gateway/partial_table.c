/* gateway/partial_table.c - all uploads in parts: found by their ids, ended when their time is over, taken up at the
 * start. */
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/core.h"
#include "gateway/partial_parts.h"

enum {
    BUSY_MS = 1000,  /* until one is looked at again that is due, but held */
    GONE_MOST = 1000 /* of so many it is known that they were */
};

/* ---- ids */

void partial_rename(const char *id, const char prefix[static 3], char out[static ID_SIZE])
{
    memcpy(out, id, ID_SIZE);
    memcpy(out, prefix, 2);
}

bool gateway_partial_transfer(const char *id, char transfer[static ID_SIZE])
{
    if (!id_valid(id, "up"))
        return false;
    partial_rename(id, "tr", transfer);
    return true;
}

/* ---- the table */

struct partials *partials_create(struct gateway *gw)
{
    struct partials *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->gw = gw;
    t->due = INT64_MAX;
    pthread_mutex_init(&t->lock, NULL);
    return t;
}

void partial_entry_free(struct entry *e)
{
    if (!e)
        return;
    free(e->meta);
    free(e);
}

void partials_destroy(struct partials **partials)
{
    struct entry *e, *next;

    if (!*partials)
        return;
    e = (*partials)->all;
    HASH_CLEAR(hh, (*partials)->all); /* which leaves them linked to each other */
    for (; e; e = next) {
        next = e->hh.next;
        partial_entry_free(e);
    }
    pthread_mutex_destroy(&(*partials)->lock);
    free(*partials);
    *partials = NULL;
}

struct entry *partials_find(struct partials *t, const char *id)
{
    struct entry *e;

    HASH_FIND_STR(t->all, id, e);
    return e;
}

bool partials_add(struct partials *t, struct entry *e)
{
    pthread_mutex_lock(&t->lock);
    HASH_ADD_STR(t->all, info.id, e);
    if (e->hh.tbl && t->due > e->info.expires)
        t->due = e->info.expires;
    pthread_mutex_unlock(&t->lock);
    return e->hh.tbl != NULL;
}

void partials_drop(struct partials *t, struct entry *e)
{
    if (e->gone)
        t->gone--;
    HASH_DEL(t->all, e);
    partial_entry_free(e);
}

void partials_bury(struct partials *t, struct entry *e)
{
    if (t->gone >= GONE_MOST) {
        partials_drop(t, e);
        return;
    }
    t->gone++;
    e->gone = true;
    e->held = NULL;
    free(e->meta);
    e->meta = NULL;
    e->info.meta = "";
    e->info.expires = clock_wall_ms() + t->gw->config->spool.upload_expiry;
    if (t->due > e->info.expires)
        t->due = e->info.expires;
}

bool partials_has(struct partials *t, const char *id)
{
    struct entry *e;
    bool has;

    pthread_mutex_lock(&t->lock);
    e = partials_find(t, id);
    has = e && !e->gone;
    pthread_mutex_unlock(&t->lock);
    return has;
}

static bool is_whole(const struct entry *e)
{
    return !e->gone && !e->held && e->info.length >= 0 && e->info.offset == (uint64_t)e->info.length;
}

char (*gateway_partials_whole(struct gateway *gw, size_t *count))[ID_SIZE]
{
    struct partials *t = gw->partials;
    struct entry *e, *next;
    char(*ids)[ID_SIZE];

    *count = 0;
    pthread_mutex_lock(&t->lock);
    ids = t->all ? malloc(HASH_COUNT(t->all) * sizeof *ids) : NULL;
    HASH_ITER(hh, t->all, e, next)
    if (ids && is_whole(e))
        memcpy(ids[(*count)++], e->info.id, ID_SIZE);
    pthread_mutex_unlock(&t->lock);
    return ids;
}

struct entry *partial_entry(const struct partial_info *info)
{
    struct entry *e = calloc(1, sizeof *e);

    if (!e)
        return NULL;
    e->info = *info;
    e->info.meta = e->meta = strdup(info->meta);
    if (e->meta)
        return e;
    free(e);
    return NULL;
}

/* ---- expiry */

struct removal {
    uv_work_t work;
    struct removal *next;
    struct gateway *gw;
    char transfer[ID_SIZE];
    int64_t length;
};

static void remove_work(uv_work_t *work)
{
    struct removal *r = work->data;

    spool_remove_part(r->gw->spool, r->transfer, r->length);
}

static void removed(uv_work_t *work, int status)
{
    struct removal *r = work->data;

    (void)status;
    r->gw->pending--;
    free(r);
}

/* Under the lock. NULL: it was only remembered, or there is no memory; then it goes the next time. */
static struct removal *expire(struct partials *t, struct entry *e)
{
    struct removal *r;

    if (e->gone) {
        partials_drop(t, e);
        return NULL;
    }
    r = calloc(1, sizeof *r);
    if (!r) {
        t->due = e->info.expires;
        return NULL;
    }
    r->gw = t->gw;
    r->length = e->info.length;
    r->work.data = r;
    partial_rename(e->info.id, "tr", r->transfer);
    log_info("upload.expired", log_str("upload", e->info.id));
    partials_bury(t, e);
    return r;
}

/* Under the lock. Notes when the next are. */
static struct entry *gather_due(struct partials *t, int64_t now)
{
    struct entry *due = NULL, *e, *next;

    t->due = INT64_MAX;
    HASH_ITER(hh, t->all, e, next)
    {
        int64_t at = e->info.expires;

        if (at <= now && !e->held) {
            e->next_due = due;
            due = e;
            continue;
        }
        if (at <= now)
            at = now + BUSY_MS;
        if (t->due > at)
            t->due = at;
    }
    return due;
}

void partials_expire(struct partials *t)
{
    struct removal *all = NULL, *r;
    struct entry *due = NULL, *e;
    int64_t now = clock_wall_ms();

    pthread_mutex_lock(&t->lock);
    if (now >= t->due)
        due = gather_due(t, now);
    while ((e = due)) {
        due = e->next_due;
        r = expire(t, e);
        if (r) {
            r->next = all;
            all = r;
        }
    }
    pthread_mutex_unlock(&t->lock);
    while ((r = all)) {
        all = r->next;
        t->gw->pending++;
        uv_queue_work(&t->gw->loop, &r->work, remove_work, removed);
    }
}

/* ---- start-up */

struct recovery {
    struct partials *t;
    size_t count;
    struct error error;
};

/* Of the bytes that are there, so many can be trusted. */
static uint64_t trusted(const struct note *noted, const char *boot)
{
    uint64_t most = noted->limit >= 0 ? (uint64_t)noted->limit : UINT64_MAX;

    if (*boot && strcmp(noted->boot, boot) == 0)
        return most;
    return noted->synced < most ? noted->synced : most;
}

/* false: it is of no use, and goes. */
static bool take_up(struct partials *t, const char *transfer, const char *text)
{
    struct spool *spool = t->gw->spool;
    struct partial_info info = {0};
    struct note noted;
    char meta[NOTE_META + 1];
    struct entry *e;

    if (!note_read(text, &noted, info.token, meta) || noted.expires <= clock_wall_ms())
        return false;
    spool_unseal(spool, transfer); /* a crash came between its last byte and its row */
    if (!spool_adopt(spool, transfer, noted.length, trusted(&noted, spool_boot(spool)), &info.offset))
        return false;
    partial_rename(transfer, "up", info.id);
    info.length = noted.length;
    info.expires = noted.expires;
    info.meta = meta;
    e = partial_entry(&info);
    if (!e || !partials_add(t, e)) {
        partial_entry_free(e);
        return false;
    }
    e->noted = noted;
    e->synced = noted.synced < info.offset ? noted.synced : info.offset;
    return true;
}

static void recover(void *user, const char *transfer)
{
    struct recovery *r = user;
    struct gateway *gw = r->t->gw;
    struct error error;
    struct record *made = store_get(gw->store, transfer, &error);
    char *text = NULL;

    if (!made && error.code != ERR_NOT_FOUND) {
        r->error = error;
        return;
    }
    text = made ? NULL : spool_noted(gw->spool, transfer);
    if (text && take_up(r->t, transfer, text))
        r->count++;
    else
        spool_forget_note(gw->spool, transfer); /* and the sweep takes what it was noted of */
    free(text);
    record_free(&made);
}

bool partials_recover(struct partials *t, struct error *err)
{
    struct recovery r = {.t = t};

    if (!spool_each_note(t->gw->spool, recover, &r, err))
        return false;
    if (r.error.code != ERR_NONE)
        return error_set(err, r.error.code, "%s", r.error.text);
    if (r.count > 0)
        log_info("uploads.taken_up", log_int("count", (int64_t)r.count));
    return true;
}
