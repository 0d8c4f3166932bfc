/* gateway/fetch.c - files that come from a URL: their transfers are there at once, in TRANSFER_RECEIVING, and go on
 * when the file is here, or fail with the reason. One file, which may be for several recipients (batch.c).
 *
 * Meanwhile the records are the batch's, the board shows them, and who waits for one, or cancels it, comes here. In the
 * pool, while the file is sealed, they are nobody else's to look at: then the board's snapshot is what is known. */
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
#include "gateway/outcome.h"
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

static void answer_change(struct batch *b, const struct record *r);

static void publish(struct batch *b, size_t i)
{
    struct snapshot *s = b->records[i] ? snapshot_take(record_snapshot(b->records[i])) : NULL;

    if (s)
        board_put(b->gw->board, s);
    snapshot_release(&s);
    if (b->records[i])
        answer_change(b, b->records[i]);
}

static void publish_all(struct batch *b)
{
    for (size_t i = 0; i < batch_count(b); i++)
        publish(b, i);
}

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

/* An end counts when it is committed: all who wait are answered then. */
static bool sees_change(const struct fetch_waiter *w, const struct record *r)
{
    return w->for_change && !transfer_state_final(r->state) &&
           (r->updated != w->was.updated || r->state != w->was.state || r->sent != w->was.sent);
}

static void answer_change(struct batch *b, const struct record *r)
{
    struct fetch_waiter *w, *next;

    DL_FOREACH_SAFE(b->waiters, w, next)
    if (strcmp(w->id, r->id) == 0 && sees_change(w, r))
        waiter_answer(w);
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

/* It goes on as any other does. */
static void pass_on(struct fetch_waiter *w, struct live *live)
{
    int64_t left = w->due - clock_ms();

    if (w->cancels)
        core_cancel(live);
    core_wait(w->batch->gw, live, left > 0 ? left : 0, w->for_change ? &w->was : NULL, w->done, w->user);
    waiter_free(w);
}

static bool add_waiter(struct batch *b, const char *id, int64_t wait_ms, bool cancels, const struct record_stamp *was,
                       gateway_record_fn *done, void *user)
{
    struct fetch_waiter *w = calloc(1, sizeof *w);

    if (!w)
        return false;
    *w = (struct fetch_waiter){
        .batch = b, .due = clock_ms() + wait_ms, .cancels = cancels, .for_change = was, .done = done, .user = user};
    if (was)
        w->was = *was;
    memcpy(w->id, id, ID_SIZE);
    DL_APPEND(b->waiters, w);
    uv_update_time(&b->gw->loop);
    if (alarm_set(&w->alarm, &b->gw->loop, wait_ms > 0 ? (uint64_t)wait_ms : 0, on_due, w))
        return true;
    waiter_free(w);
    return false;
}

/* ---- the end: the last rows, of what goes on and of what does not */

static void leave(struct batch *b)
{
    DL_DELETE(b->gw->fetches, b);
    batch_free(b);
}

static void tell_end(struct batch *b, size_t i)
{
    b->ended[i] = true;
    core_tell_end(b->gw, record_snapshot(b->records[i]));
    outcome_count(b->records[i]);
}

/* Of a batch some may have been cancelled meanwhile, and have their name in the spool nonetheless. */
static void settle_one(struct batch *b, size_t i)
{
    struct gateway *gw = b->gw;
    struct live *live = b->lives[i];
    struct fetch_waiter *w, *next;
    char id[ID_SIZE];

    memcpy(id, live ? core_record(live)->id : b->records[i]->id, ID_SIZE);
    if (!live)
        core_remove_payload(gw, id);
    else if (b->error.code == ERR_NONE)
        core_begin(live);
    if (!live && !b->ended[i])
        tell_end(b, i);
    DL_FOREACH_SAFE(b->waiters, w, next)
    {
        if (strcmp(w->id, id) != 0)
            continue;
        if (live && b->error.code == ERR_NONE)
            pass_on(w, live);
        else
            waiter_answer(w);
    }
    if (live && b->error.code != ERR_NONE) { /* its row still says that it is received: so a restart fails it */
        core_remove_payload(gw, id);
        core_forget(live);
    }
    if (!live)
        board_remove(gw->board, id);
}

static void handle_over(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct batch *b = (struct batch *)m;

    gw->pending--;
    if (b->error.code != ERR_NONE)
        log_error("store.write_failed", log_str("batch", b->id), log_str("error", b->error.text));
    for (size_t i = 0; i < batch_count(b); i++)
        settle_one(b, i);
    leave(b);
}

/* Writer's thread. */
static void on_last_rows(void *user, const struct error *err)
{
    struct batch *b = user;

    b->error = err ? *err : (struct error){0};
    b->message.handle = handle_over;
    inbox_post(b->gw->inbox, &b->message); /* open: gateway_stop() waits for all that is pending */
}

static void write_last(struct batch *b, struct record **rows)
{
    b->gw->pending++;
    store_put_group(b->gw->store, rows, batch_count(b), NULL, on_last_rows, b);
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

/* Writer's thread; without memory even to queue, core's. */
static void on_end_row(void *user, const struct error *err)
{
    struct batch *b = user;

    if (err)
        b->error = *err;
    if (atomic_fetch_sub(&b->open, 1) > 1)
        return;
    b->message.handle = handle_over;
    inbox_post(b->gw->inbox, &b->message);
}

/* Each with what tells of it, unless that was done. Without memory they stay as they are, and the next start fails
 * them.
 */
static void write_end(struct batch *b)
{
    struct record **rows = copies(b);

    b->error = (struct error){0};
    if (rows) {
        b->gw->pending++;
        atomic_store(&b->open, 1);
        for (size_t i = 0; i < batch_count(b); i++) {
            if (b->ended[i]) {
                record_free(&rows[i]);
                continue;
            }
            atomic_fetch_add(&b->open, 1);
            core_put_row(b->gw, rows[i], NULL, on_end_row, b);
        }
        on_end_row(b, NULL);
        free(rows);
        return;
    }
    log_error("store.write_failed", log_str("batch", b->id), log_str("error", "out of memory"));
    answer_all(b);
    for (size_t i = 0; i < batch_count(b); i++)
        if (b->records[i])
            board_remove(b->gw->board, b->records[i]->id);
    leave(b);
}

static void end_one(struct batch *b, size_t i, enum transfer_state state, const struct error *why)
{
    struct record *r = b->records[i];

    r->state = state;
    r->upload = UPLOAD_ABORTED;
    r->error_stage = STAGE_UPLOAD;
    r->updated = r->finished = clock_wall_ms();
    r->hold_until = 0;
    record_fail(r, why);
    record_step(r, STEP_LOCAL, "given up", error_name(why->code), why->text);
    log_info("transfer.state", log_str("transfer", r->id), log_str("state", transfer_state_name(state)),
             log_str("was", transfer_state_name(TRANSFER_RECEIVING)), log_str("code", error_name(why->code)),
             log_str("error", why->text));
    publish(b, i);
}

static void fail(struct batch *b, const struct error *why)
{
    spool_abandon(&b->uploads[0]->file);
    for (size_t i = 0; i < batch_count(b); i++)
        if (!transfer_state_final(b->records[i]->state))
            end_one(b, i, TRANSFER_FAILED, why);
    write_end(b);
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

static void sealed(uv_work_t *work, int status)
{
    struct batch *b = work->data;
    const struct error error = b->error;
    struct record **rows;

    (void)status;
    b->gw->pending--;
    if (error.code != ERR_NONE) {
        fail(b, &error);
        return;
    }
    for (size_t i = 0; i < batch_count(b); i++)
        go_on(b->records[i]);
    rows = copies(b);
    if (rows && batch_prepare(b)) {
        write_last(b, rows);
        free(rows);
        return;
    }
    for (size_t i = 0; rows && i < batch_count(b); i++) {
        core_remove_payload(b->gw, rows[i]->id);
        if (b->lives[i])
            core_forget(b->lives[i]);
        b->lives[i] = NULL;
        board_remove(b->gw->board, rows[i]->id);
        record_free(&rows[i]);
    }
    free(rows);
    log_error("store.write_failed", log_str("batch", b->id), log_str("error", "out of memory"));
    answer_all(b);
    leave(b);
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
    publish_all(b); /* first: whoever is told of it now may ask for it now */
    for (size_t i = 0; i < batch_count(b); i++)
        core_tell_created(gw, record_snapshot(b->records[i]));
    DL_APPEND(gw->fetches, b);
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
    inbox_post(b->gw->inbox, &b->message); /* open: gateway_stop() waits for all that is pending */
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

/* Among those that are fetched, or sealed; not one that is a transfer already. */
static struct batch *find(struct gateway *gw, const char *id, size_t *at)
{
    struct batch *b;

    DL_FOREACH(gw->fetches, b)
    {
        for (*at = 0; *at < batch_count(b); ++*at)
            if (b->records[*at] && strcmp(b->records[*at]->id, id) == 0)
                return b;
    }
    return NULL;
}

bool fetches_wait(struct gateway *gw, const char *id, int64_t wait_ms, const struct record_stamp *was,
                  gateway_record_fn *done, void *user)
{
    size_t at;
    struct batch *b = find(gw, id, &at);

    if (!b || (b->fetching && transfer_state_final(b->records[at]->state)) ||
        !add_waiter(b, id, wait_ms, false, was, done, user))
        return false;
    if (b->fetching)
        answer_change(b, b->records[at]);
    return true;
}

bool fetches_have(struct gateway *gw, const char *batch)
{
    struct batch *b;

    DL_FOREACH(gw->fetches, b)
    {
        for (size_t i = 0; strcmp(b->id, batch) == 0 && i < batch_count(b); i++)
            if (b->records[i] && !b->ended[i])
                return true;
    }
    return false;
}

static bool is_over(const struct batch *b)
{
    for (size_t i = 0; i < batch_count(b); i++)
        if (!transfer_state_final(b->records[i]->state))
            return false;
    return true;
}

static void answer_those_of(struct batch *b, const char *id)
{
    struct fetch_waiter *w, *next;

    DL_FOREACH_SAFE(b->waiters, w, next)
    if (strcmp(w->id, id) == 0)
        waiter_answer(w);
}

bool fetches_cancel(struct gateway *gw, const char *id, gateway_record_fn *done, void *user)
{
    struct error error;
    struct record *row;
    size_t at;
    struct batch *b = find(gw, id, &at);

    if (!b || !add_waiter(b, id, CANCEL_MS, true, NULL, done, user))
        return false;
    if (!b->fetching)
        return true; /* once it is a transfer, or over */
    if (!transfer_state_final(b->records[at]->state)) {
        error_set(&error, ERR_CANCELLED, "cancelled by request");
        end_one(b, at, TRANSFER_CANCELLED, &error);
    }
    if (is_over(b)) {
        http_get_forget(gw->getter, b->ticket);
        b->fetching = false;
        spool_abandon(&b->uploads[0]->file);
        write_end(b);
        return true;
    }
    row = record_copy(b->records[at]);
    if (row)
        core_put_row(gw, row, NULL, NULL, NULL);
    tell_end(b, at);
    answer_those_of(b, id);
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
