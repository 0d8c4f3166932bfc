/* gateway/fetch.c - files that come from a URL: their transfers are there at once, in TRANSFER_RECEIVING, and go on
 * when the file is here, or fail with the reason. One file, which may be for several recipients (batch.c).
 *
 * Meanwhile the records are the batch's, the board shows them, and who waits for one, or cancels it, comes here. In the
 * pool, while the file is sealed, they are nobody else's to look at: then the board's snapshot is what is known. One
 * that ends meanwhile does so as any transfer: core takes a copy, and has its row written and its end told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/alarm.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/batch_parts.h"
#include "gateway/http_get.h"
#include "gateway/source_url.h"

enum { TELL_MS = 250, CANCEL_MS = 10 * 1000, TYPE_MOST = 128 };

struct fetch_waiter {
    struct fetch_waiter *prev, *next;
    struct batch *batch;
    char id[ID_SIZE];
    int64_t due; /* monotonic */
    struct alarm *alarm;
    bool cancels; /* as soon as it can be */
    bool for_change;
    struct record_stamp was;
    gateway_record_fn *done;
    void *user;
};

/* ---- who looks on */

static void waiter_free(struct fetch_waiter *w)
{
    alarm_stop(&w->alarm);
    DL_DELETE(w->batch->waiters, w);
    free(w);
}

static void waiter_answer(struct fetch_waiter *w)
{
    struct record *r = board_get(w->batch->gw->board, w->id);
    struct error error;

    if (!r)
        error_set(&error, ERR_INTERNAL, "out of memory");
    w->done(w->user, r, r ? NULL : &error);
    waiter_free(w);
}

static void on_due(void *user)
{
    waiter_answer(user);
}

static void answer_all(struct batch *b)
{
    struct fetch_waiter *w, *next;

    DL_FOREACH_SAFE(b->waiters, w, next)
    waiter_answer(w);
}

/* It is a transfer as any other now. */
static void pass_on(struct fetch_waiter *w, struct live *live)
{
    int64_t left = w->due - clock_ms();

    if (w->cancels)
        core_cancel(live);
    core_wait(w->batch->gw, live, left > 0 ? left : 0, w->for_change ? &w->was : NULL, w->done, w->user);
    waiter_free(w);
}

static void pass_on_all(struct batch *b, const char *id, struct live *live)
{
    struct fetch_waiter *w, *next;

    DL_FOREACH_SAFE(b->waiters, w, next)
    if (strcmp(w->id, id) == 0)
        pass_on(w, live);
}

static bool sees_change(const struct fetch_waiter *w, const struct record *r)
{
    return w->for_change && (r->updated != w->was.updated || r->state != w->was.state);
}

static void answer_change(struct batch *b, const struct record *r)
{
    struct fetch_waiter *w, *next;

    DL_FOREACH_SAFE(b->waiters, w, next)
    if (strcmp(w->id, r->id) == 0 && sees_change(w, r))
        waiter_answer(w);
}

/* NULL: it is over, or memory is short. */
static struct snapshot *show(struct batch *b, size_t i)
{
    struct record *r = b->records[i];
    struct snapshot *s = transfer_state_final(r->state) ? NULL : snapshot_take(record_snapshot(r));

    if (s)
        board_put(b->gw->board, s);
    return s;
}

static void publish_all(struct batch *b)
{
    for (size_t i = 0; i < batch_count(b); i++) {
        struct snapshot *s = show(b, i);

        if (s)
            answer_change(b, b->records[i]);
        snapshot_release(&s);
    }
}

static void announce_all(struct batch *b)
{
    for (size_t i = 0; i < batch_count(b); i++) {
        struct snapshot *s = show(b, i);

        core_join_batch(b->gw, b->records[i]);
        if (s)
            core_tell_created(b->gw, s);
        else
            events_lose(b->gw->events);
        snapshot_release(&s);
    }
}

static struct fetch_waiter *add_waiter(struct batch *b, const char *id, int64_t wait_ms, gateway_record_fn *done,
                                       void *user)
{
    struct fetch_waiter *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    *w = (struct fetch_waiter){.batch = b, .due = clock_ms() + wait_ms, .done = done, .user = user};
    memcpy(w->id, id, ID_SIZE);
    DL_APPEND(b->waiters, w);
    uv_update_time(&b->gw->loop);
    if (alarm_set(&w->alarm, &b->gw->loop, wait_ms > 0 ? (uint64_t)wait_ms : 0, on_due, w))
        return w;
    waiter_free(w);
    return NULL;
}

/* ---- it does not come */

static void leave(struct batch *b)
{
    DL_DELETE(b->gw->fetches, b);
    batch_free(b);
}

/* What can be done without memory: its row stays as it is, and the next start fails it. */
static void lose(struct batch *b, const char *id)
{
    struct fetch_waiter *w, *next;

    log_error("store.write_failed", log_str("transfer", id), log_str("error", "out of memory"));
    DL_FOREACH_SAFE(b->waiters, w, next)
    if (strcmp(w->id, id) == 0)
        waiter_answer(w);
    board_remove(b->gw->board, id);
}

/* The batch keeps a record that is over. */
static void end_one(struct batch *b, size_t i, const struct error *why)
{
    struct record *r = b->records[i], *copy = record_copy(r);
    struct live *live;

    r->state = why->code == ERR_CANCELLED ? TRANSFER_CANCELLED : TRANSFER_FAILED;
    if (copy) {
        copy->state = TRANSFER_QUEUED; /* as what core begins with */
        copy->upload = UPLOAD_ABORTED;
    }
    live = copy ? core_prepare(b->gw, copy, NULL) : NULL;
    if (!live) {
        lose(b, r->id);
        return;
    }
    core_was_told(live);
    core_end_fileless(live, why);
    pass_on_all(b, r->id, live);
}

static void fail(struct batch *b, const struct error *why)
{
    spool_abandon(&b->uploads[0]->file);
    for (size_t i = 0; i < batch_count(b); i++)
        if (!transfer_state_final(b->records[i]->state))
            end_one(b, i, why);
    leave(b);
}

/* ---- the file is here */

static void go_on(struct record *r)
{
    if (transfer_state_final(r->state))
        return;
    r->state = TRANSFER_QUEUED;
    r->upload = UPLOAD_COMPLETE;
    r->updated = clock_wall_ms();
    record_step(r, STEP_RECEIVED, "fetch", "ok", r->type);
}

/* One that was cancelled meanwhile got its name in the spool nonetheless. */
static void settle_one(struct batch *b, size_t i)
{
    struct live *live = b->lives[i];
    const char *id = live ? core_record(live)->id : b->records[i]->id;
    bool failed = b->error.code != ERR_NONE;

    if (!live || failed)
        core_remove_payload(b->gw, id);
    if (live && failed)
        core_end_fileless(live, &b->error);
    else if (live)
        core_begin(live);
    if (live)
        pass_on_all(b, id, live);
}

static void handle_here(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct batch *b = (struct batch *)m;

    gw->pending--;
    for (size_t i = 0; i < batch_count(b); i++)
        settle_one(b, i);
    leave(b);
}

/* Writer's thread. */
static void on_last_rows(void *user, const struct error *err)
{
    struct batch *b = user;

    b->error = err ? *err : (struct error){0};
    b->message.handle = handle_here;
    mailbox_post(b->gw->mailbox, &b->message); /* open: gateway_stop() waits for all that is pending */
}

/* Of those that go on; *count of them, at least one. NULL: out of memory. */
static struct record **last_rows(const struct batch *b, size_t *count)
{
    struct record **rows = calloc(batch_count(b), sizeof(struct record *));
    bool ok = rows != NULL;

    *count = 0;
    for (size_t i = 0; ok && i < batch_count(b); i++) {
        if (transfer_state_final(b->records[i]->state))
            continue;
        rows[*count] = record_copy(b->records[i]);
        ok = rows[*count] != NULL;
        *count += ok;
    }
    if (ok)
        return rows;
    while (rows && *count > 0)
        record_free(&rows[--*count]);
    free(rows);
    return NULL;
}

static void lose_all(struct batch *b, struct record **rows, size_t count)
{
    for (size_t i = 0; i < batch_count(b); i++) {
        const char *id = b->lives[i] ? core_record(b->lives[i])->id : b->records[i] ? b->records[i]->id : NULL;

        if (id)
            core_remove_payload(b->gw, id);
        if (b->lives[i])
            core_forget(b->lives[i]);
        b->lives[i] = NULL;
    }
    for (size_t i = 0; rows && i < count; i++) {
        lose(b, rows[i]->id);
        record_free(&rows[i]);
    }
    free(rows);
    answer_all(b);
    leave(b);
}

static void sealed(uv_work_t *work, int status)
{
    struct batch *b = work->data;
    const struct error error = b->error;
    struct record **rows;
    size_t count;

    (void)status;
    b->gw->pending--;
    if (error.code != ERR_NONE) {
        fail(b, &error);
        return;
    }
    for (size_t i = 0; i < batch_count(b); i++)
        go_on(b->records[i]);
    rows = last_rows(b, &count);
    if (!rows || !batch_prepare(b)) {
        lose_all(b, rows, rows ? count : 0);
        return;
    }
    for (size_t i = 0; i < batch_count(b); i++)
        if (b->lives[i])
            core_was_told(b->lives[i]);
    b->gw->pending++;
    store_put_group(b->gw->store, rows, count, NULL, on_last_rows, b);
    free(rows);
}

static void on_done(void *user, const struct error *err)
{
    struct batch *b = user;

    b->fetching = false;
    b->ticket = 0;
    if (err) {
        fail(b, err);
        return;
    }
    b->gw->pending++;
    b->work.data = b;
    uv_queue_work(&b->gw->loop, &b->work, batch_seal, sealed);
}

/* ---- as it comes */

/* octet-stream is what servers say when they do not know. */
static bool is_type(const char *type)
{
    size_t len = strlen(type);

    return len < TYPE_MOST && strchr(type, '/') && strncmp(type, "application/octet-stream", 24) != 0 &&
           text_is_xml(type, len) && !strpbrk(type, "\t\r\n");
}

static bool note_head(struct batch *b, const struct http_head *h, struct record *r)
{
    char name[SOURCE_NAME];

    if (!r->type && h->type && is_type(h->type) && !record_text(&r->type, h->type))
        return false;
    if (!b->named && h->disposition && b->gw->name_of && b->gw->name_of(h->disposition, name, sizeof name) &&
        text_name_check(name, strlen(name), NULL) && !record_text(&r->name, name))
        return false;
    r->size = h->length > 0 ? (uint64_t)h->length : 0;
    r->updated = clock_wall_ms();
    return true;
}

static bool fits(const struct batch *b, uint64_t size, struct error *err)
{
    uint64_t most = b->gw->config->spool.max_file;

    if (b->most > 0 && b->most < most)
        most = b->most;
    return size <= most || error_set(err, ERR_BODY_TOO_LARGE, "at most %llu bytes are taken", (unsigned long long)most);
}

static bool on_head(void *user, const struct http_head *h, struct error *err)
{
    struct batch *b = user;

    if (h->length > 0 && !fits(b, (uint64_t)h->length, err))
        return false;
    for (size_t i = 0; i < batch_count(b); i++)
        if (!note_head(b, h, b->records[i]))
            return error_set(err, ERR_INTERNAL, "out of memory");
    publish_all(b);
    return true;
}

static bool on_data(void *user, const void *data, size_t len, struct error *err)
{
    struct batch *b = user;
    struct spool_file *file = b->uploads[0]->file;

    if (!fits(b, spool_size(file) + len, err) || !spool_append(file, data, len, err))
        return false;
    if (clock_ms() - b->told < TELL_MS)
        return true;
    b->told = clock_ms();
    for (size_t i = 0; i < batch_count(b); i++) {
        b->records[i]->received = spool_size(file);
        if (!transfer_state_final(b->records[i]->state))
            b->records[i]->updated = clock_wall_ms();
    }
    publish_all(b);
    return true;
}

/* ---- the beginning */

static void begin(struct batch *b)
{
    const struct config *c = b->gw->config;
    const struct http_get get = {.url = b->url,
                                 .allow_hosts = c->source.allow_hosts,
                                 .stall_ms = (unsigned)c->delivery.stall_timeout,
                                 .timeout_ms = (unsigned)c->source.url_timeout,
                                 .head = on_head,
                                 .data = on_data,
                                 .done = on_done,
                                 .user = b};
    struct error error;

    if (!b->gw->getter) { /* we stop */
        answer_all(b);
        leave(b);
        return;
    }
    b->ticket = http_get(b->gw->getter, &get, &error);
    b->fetching = b->ticket != 0;
    if (!b->fetching)
        fail(b, &error);
}

static void handle_kept(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct batch *b = (struct batch *)m;

    gw->pending--;
    if (b->error.code != ERR_NONE) {
        record_list_free(&b->answer);
        batch_answer(b);
        batch_free(b);
        return;
    }
    DL_APPEND(gw->fetches, b);
    announce_all(b); /* first: whoever is told of it now may ask for it now */
    batch_answer(b);
    record_list_free(&b->answer);
    begin(b);
}

/* Writer's thread. */
static void on_first_rows(void *user, const struct error *err)
{
    struct batch *b = user;

    if (err)
        b->error = *err;
    b->message.handle = handle_kept;
    mailbox_post(b->gw->mailbox, &b->message); /* open: gateway_stop() waits for all that is pending */
}

/* Whose file it is may be a secret of the URL; where from is none. */
static void note_source(struct batch *b)
{
    const char *host = strstr(b->url, "://");
    char origin[300];

    snprintf(origin, sizeof origin, "%.*s", (int)(host + 3 - b->url + (ptrdiff_t)strcspn(host + 3, "/?#")), b->url);
    for (size_t i = 0; i < batch_count(b); i++)
        record_step(b->records[i], STEP_SENT, "fetch", "", origin);
}

static struct record **copies(const struct batch *b)
{
    struct record **rows = calloc(batch_count(b), sizeof(struct record *));

    if (rows && batch_copy(b, rows))
        return rows;
    for (size_t i = 0; rows && i < batch_count(b); i++)
        record_free(&rows[i]);
    free(rows);
    return NULL;
}

void batch_fetch(void *owner, struct message *m)
{
    struct batch *b = (struct batch *)m;
    struct record **rows;

    (void)owner;
    note_source(b);
    rows = copies(b);
    b->answer.items = copies(b);
    b->answer.count = b->answer.items ? batch_count(b) : 0;
    if (rows && b->answer.items) {
        b->gw->pending++;
        store_put_group(b->gw->store, rows, batch_count(b), reservation_key(b->key), on_first_rows, b);
        free(rows);
        return;
    }
    for (size_t i = 0; rows && i < batch_count(b); i++)
        record_free(&rows[i]);
    free(rows);
    record_list_free(&b->answer);
    error_set(&b->error, ERR_INTERNAL, "out of memory");
    batch_answer(b);
    batch_free(b);
}

/* ---- core.h */

/* Among those that are fetched, or sealed; not one that is core's already. */
static struct batch *find(struct gateway *gw, const char *id, size_t *at)
{
    struct batch *b;

    DL_FOREACH(gw->fetches, b)
    {
        for (*at = 0; *at < batch_count(b); ++*at) {
            const struct record *r = b->records[*at];

            if (r && !transfer_state_final(r->state) && strcmp(r->id, id) == 0)
                return b;
        }
    }
    return NULL;
}

bool fetches_wait(struct gateway *gw, const char *id, int64_t wait_ms, const struct record_stamp *was,
                  gateway_record_fn *done, void *user)
{
    size_t at;
    struct batch *b = find(gw, id, &at);
    struct fetch_waiter *w = b ? add_waiter(b, id, wait_ms, done, user) : NULL;
    struct record *shown;

    if (!w)
        return false;
    if (!was)
        return true;
    w->for_change = true;
    w->was = *was;
    shown = board_get(gw->board, id);
    if (shown && sees_change(w, shown))
        waiter_answer(w);
    record_free(&shown);
    return true;
}

static bool is_over(const struct batch *b)
{
    for (size_t i = 0; i < batch_count(b); i++)
        if (!transfer_state_final(b->records[i]->state))
            return false;
    return true;
}

bool fetches_cancel(struct gateway *gw, const char *id, gateway_record_fn *done, void *user)
{
    struct error error;
    size_t at;
    struct batch *b = find(gw, id, &at);
    struct fetch_waiter *w = b ? add_waiter(b, id, CANCEL_MS, done, user) : NULL;

    if (!w)
        return false;
    w->cancels = !b->fetching; /* as soon as it is core's */
    if (!b->fetching)
        return true;
    error_set(&error, ERR_CANCELLED, "cancelled by request");
    end_one(b, at, &error);
    if (!is_over(b))
        return true;
    http_get_forget(gw->getter, b->ticket);
    b->fetching = false;
    spool_abandon(&b->uploads[0]->file);
    leave(b);
    return true;
}

void fetches_stop(struct gateway *gw)
{
    struct batch *b, *next;

    DL_FOREACH_SAFE(gw->fetches, b, next)
    {
        answer_all(b);
        if (!b->fetching)
            continue; /* comes back from the pool or the writer */
        http_get_forget(gw->getter, b->ticket);
        leave(b);
    }
    http_getter_destroy(&gw->getter);
}
