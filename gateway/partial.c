/* gateway/partial.c - one upload in parts: held by a request, its bytes, its end; see gateway.h and partial.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/partial_parts.h"
#include "gateway/upload_parts.h"

/* Who got nothing for so long has lost his caller, as far as another one may tell. */
enum { LOST_MS = 5000 };

struct partial {
    struct message message;
    uv_work_t work;
    struct gateway *gw;
    struct entry *entry;     /* NULL: somebody took it */
    struct spool_file *file; /* NULL: not open */
    char transfer[ID_SIZE];
    bool checked;
    bool busy;       /* no longer its request's; under the lock */
    int64_t touched; /* monotonic */
    gateway_partial_fn *done;
    void *user;
    struct error error;
};

/* ---- what is noted of one */

/* limit: bytes from there on are yet to be checked; -1: there are none such. */
static bool note(struct gateway *gw, struct entry *e, const char *transfer, int64_t limit, bool durable,
                 struct error *err)
{
    struct note now = {.limit = limit, .synced = e->synced, .length = e->info.length, .expires = e->info.expires};
    char *text;
    bool ok;

    snprintf(now.boot, sizeof now.boot, "%s", spool_boot(gw->spool));
    text = note_text(&now, e->info.token, e->info.meta);
    if (!text)
        return error_set(err, ERR_INTERNAL, "out of memory");
    ok = spool_note(gw->spool, transfer, text, durable, err);
    free(text);
    if (ok)
        e->noted = now;
    return ok;
}

static bool note_is_true(const struct gateway *gw, const struct entry *e)
{
    return e->noted.limit < 0 && e->noted.synced == e->synced && e->noted.length == e->info.length &&
           e->noted.expires == e->info.expires && strcmp(e->noted.boot, spool_boot(gw->spool)) == 0;
}

static bool is_durable(const struct gateway *gw)
{
    return gw->config->spool.durability == DURABLE_POWER;
}

/* ---- holding one */

static struct partial *make_hold(struct gateway *gw, struct entry *e)
{
    struct partial *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->gw = gw;
    p->entry = e;
    p->touched = clock_ms();
    partial_rename(e->info.id, "tr", p->transfer);
    return p;
}

static bool resume(struct partial *p, struct error *err)
{
    const struct partial_info *info = &p->entry->info;

    if (!p->file)
        p->file = spool_resume(p->gw->spool, p->transfer, info->length, info->offset, err);
    return p->file != NULL;
}

/* What came since it was opened counts, or never came. */
static void close_file(struct partial *p, struct entry *e, bool counts)
{
    struct error err;
    uint64_t size;

    if (!p->file)
        return;
    if (!counts && !spool_rewind(p->file, e->info.offset, &err)) /* it is cut when it is opened again */
        log_warn("upload.cut", log_str("upload", e->info.id), log_str("error", err.text));
    size = spool_pause(&p->file);
    if (counts)
        e->info.offset = size;
    e->info.expires = clock_wall_ms() + p->gw->config->spool.upload_expiry;
}

static void let_go(struct partial *p)
{
    struct partials *t = p->gw->partials;

    if (p->entry) {
        pthread_mutex_lock(&t->lock);
        p->entry->held = NULL;
        pthread_mutex_unlock(&t->lock);
    }
    free(p);
}

/* The one who held it learns with his next piece. */
static void take_from(struct partial *lost, struct entry *e)
{
    log_info("upload.taken_over", log_str("upload", e->info.id));
    close_file(lost, e, !lost->checked);
}

static bool is_lost(const struct partial *p)
{
    return !p->busy && clock_ms() - p->touched >= LOST_MS;
}

struct partial *gateway_partial_hold(struct gateway *gw, const char *id, const char *token, struct error *err)
{
    struct partials *t = gw->partials;
    struct partial *p = NULL, *lost = NULL;
    struct entry *e;

    pthread_mutex_lock(&t->lock);
    e = partials_find(t, id);
    if (!e || (token && strcmp(token, e->info.token) != 0))
        error_set(err, ERR_NOT_FOUND, "there is no upload of that id");
    else if (e->gone)
        error_set(err, ERR_UPLOAD_EXPIRED, "the upload has expired, or was ended");
    else if (e->held && !is_lost(e->held))
        error_set(err, ERR_UPLOAD_LOCKED, "another request is at the upload");
    else if (!(p = make_hold(gw, e)))
        error_set(err, ERR_INTERNAL, "out of memory");
    if (p && e->held) {
        lost = e->held;
        lost->entry = NULL;
    }
    if (p)
        e->held = p;
    pthread_mutex_unlock(&t->lock);
    if (lost)
        take_from(lost, e);
    return p;
}

const struct partial_info *gateway_partial_info(const struct partial *p)
{
    return &p->entry->info;
}

void gateway_partial_release(struct partial **held)
{
    struct partial *p = *held;

    *held = NULL;
    if (!p)
        return;
    if (p->entry)
        close_file(p, p->entry, !p->checked);
    let_go(p);
}

void gateway_partial_end(struct partial **held)
{
    struct partial *p = *held;
    struct partials *t = p->gw->partials;
    struct entry *e = p->entry;

    *held = NULL;
    if (e && p->file)
        spool_pause(&p->file);
    if (e) {
        spool_remove_part(p->gw->spool, p->transfer, e->info.length);
        pthread_mutex_lock(&t->lock);
        partials_bury(t, e);
        pthread_mutex_unlock(&t->lock);
    }
    free(p);
}

/* ---- its beginning */

static bool is_refused(const struct gateway *gw, struct error *err)
{
    if (atomic_load(&gw->draining))
        return !error_set(err, ERR_DRAINING, "the gateway is stopping");
    if (!store_writable(gw->store))
        return !error_set(err, ERR_STORE_UNAVAILABLE, "the store cannot be written at the moment");
    return false;
}

/* Of a new one, which nobody else can see yet. */
static bool begin(struct partial *p, struct error *err)
{
    struct entry *e = p->entry;

    p->file = spool_create(p->gw->spool, p->transfer, e->info.length, err);
    if (!p->file)
        return false;
    if (note(p->gw, e, p->transfer, -1, false, err) &&
        (partials_add(p->gw->partials, e) || error_set(err, ERR_INTERNAL, "out of memory")))
        return true;
    spool_abandon(&p->file);
    spool_forget_note(p->gw->spool, p->transfer);
    return false;
}

struct partial *gateway_partial_begin(struct gateway *gw, const struct partial_info *what, struct error *err)
{
    struct partial_info info = *what;
    struct entry *e = NULL;
    struct partial *p = NULL;

    if (is_refused(gw, err))
        return NULL;
    id_make(info.id, "up", clock_wall_ms());
    info.offset = 0;
    info.expires = clock_wall_ms() + gw->config->spool.upload_expiry;
    e = partial_entry(&info);
    p = e ? make_hold(gw, e) : NULL;
    if (!p) {
        partial_entry_free(e);
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    e->held = p;
    if (begin(p, err))
        return p;
    partial_entry_free(e);
    free(p);
    return NULL;
}

bool gateway_partial_declare(struct partial *p, uint64_t length, struct error *err)
{
    if (!resume(p, err) || !spool_declare(p->file, length, err))
        return false;
    p->entry->info.length = (int64_t)length;
    return true;
}

/* ---- its bytes */

bool gateway_partial_open(struct partial *p, bool checked, struct error *err)
{
    struct entry *e = p->entry;
    int64_t limit = checked ? (int64_t)e->info.offset : -1;

    if (e->noted.limit != limit || strcmp(e->noted.boot, spool_boot(p->gw->spool)) != 0)
        if (!note(p->gw, e, p->transfer, limit, false, err))
            return false;
    p->checked = checked;
    p->touched = clock_ms();
    return resume(p, err);
}

static bool is_taken(const struct partial *p, struct error *err)
{
    return !p->entry && !error_set(err, ERR_UPLOAD_LOCKED, "another request has gone on with the upload");
}

bool gateway_partial_append(struct partial *p, const void *data, size_t len, bool more, struct error *err)
{
    if (is_taken(p, err))
        return false;
    p->touched = clock_ms();
    return (more ? spool_gather : spool_append)(p->file, data, len, err);
}

/* ---- the end of a piece: as durable as configured */

static bool make_durable(struct partial *p, struct entry *e)
{
    if (!resume(p, &p->error))
        return false;
    if (spool_sync(p->file, &p->error))
        return true;
    p->checked = true; /* the disk may have lost any of it */
    if (e->synced < e->info.offset)
        e->info.offset = e->synced;
    return false;
}

/* In the pool, when it waits for the disk. */
static void settle(struct partial *p)
{
    bool durable = is_durable(p->gw), ok = true;
    struct entry *e = p->entry;

    if (durable && (p->file || e->synced < e->info.offset))
        ok = make_durable(p, e);
    else if (p->file)
        ok = spool_append(p->file, "", 0, &p->error); /* what was gathered */
    close_file(p, e, !p->checked);
    if (durable && ok)
        e->synced = e->info.offset;
    if (ok && !note_is_true(p->gw, e))
        note(p->gw, e, p->transfer, -1, durable, &p->error);
}

static void answer_settled(struct partial *p)
{
    struct error error = p->error;
    gateway_partial_fn *done = p->done;
    uint64_t offset = p->entry ? p->entry->info.offset : 0;
    int64_t expires = p->entry ? p->entry->info.expires : 0;
    void *user = p->user;

    let_go(p); /* whoever has the answer may go on at once */
    done(user, offset, expires, error.code == ERR_NONE ? NULL : &error);
}

static void settle_work(uv_work_t *work)
{
    settle(work->data);
}

static void settled(uv_work_t *work, int status)
{
    struct partial *p = work->data;

    (void)status;
    p->gw->pending--;
    answer_settled(p);
}

static void handle_settle(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct partial *p = (struct partial *)m;

    gw->pending++;
    p->work.data = p;
    uv_queue_work(&gw->loop, &p->work, settle_work, settled);
}

static void discard_settle(struct message *m)
{
    struct partial *p = (struct partial *)m;

    error_set(&p->error, ERR_DRAINING, "the gateway is stopping");
    close_file(p, p->entry, !p->checked);
    answer_settled(p);
}

/* From here on it is not its request's any more, so that nobody can take it. */
static void make_busy(struct partial *p)
{
    pthread_mutex_lock(&p->gw->partials->lock);
    p->busy = true;
    pthread_mutex_unlock(&p->gw->partials->lock);
}

void gateway_partial_settle(struct partial **held, gateway_partial_fn *done, void *user)
{
    struct partial *p = *held;

    *held = NULL;
    p->done = done;
    p->user = user;
    if (is_taken(p, &p->error)) {
        answer_settled(p);
        return;
    }
    make_busy(p);
    p->checked = false;
    if (!is_durable(p->gw) || (!p->file && p->entry->synced == p->entry->info.offset)) {
        settle(p);
        answer_settled(p);
        return;
    }
    p->message = (struct message){.handle = handle_settle, .discard = discard_settle};
    if (!mailbox_post(p->gw->mailbox, &p->message))
        discard_settle(&p->message);
}

/* ---- the end of all of it */

static bool is_whole(struct partial *p, struct error *err)
{
    const struct entry *e = p->entry;

    if (!resume(p, err) || !spool_append(p->file, "", 0, err)) /* what was gathered */
        return false;
    if (e->info.length < 0)
        return error_set(err, ERR_STATE_CONFLICT, "how long the upload will be is not known yet");
    return spool_size(p->file) == (uint64_t)e->info.length ||
           error_set(err, ERR_STATE_CONFLICT, "%" PRIu64 " of the upload's %" PRId64 " bytes have come",
                     spool_size(p->file), e->info.length);
}

struct upload *gateway_partial_upload(struct partial **held, struct error *err)
{
    struct partial *p = *held;
    struct spool_file *file;

    *held = NULL;
    if (is_taken(p, err) || !is_whole(p, err)) {
        p->checked = false;
        gateway_partial_release(&p);
        return NULL;
    }
    make_busy(p);
    file = p->file;
    p->file = NULL;
    p->entry->info.offset = spool_size(file);
    return upload_of_parts(p->gw, p, p->transfer, file, err);
}

void partial_became_transfer(struct partial **held)
{
    struct partial *p = *held;
    struct partials *t = p->gw->partials;

    *held = NULL;
    spool_forget_note(p->gw->spool, p->transfer);
    pthread_mutex_lock(&t->lock);
    partials_drop(t, p->entry);
    pthread_mutex_unlock(&t->lock);
    free(p);
}

void partial_take_back(struct partial **held, struct spool_file **file, const struct error *why)
{
    struct partial *p = *held;
    struct spool *spool = p->gw->spool;

    p->file = *file;
    *file = NULL;
    if (p->file)
        spool_pause(&p->file);
    spool_unseal(spool, p->transfer); /* if it came so far */
    if (why->code == ERR_DIGEST_MISMATCH) {
        gateway_partial_end(held);
        return;
    }
    *held = NULL;
    let_go(p);
}
