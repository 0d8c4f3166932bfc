/* gateway/core_rows.c - the rows of live transfers, and the end of one: its last row is committed, who waits for it is
 * answered, then the payload goes. */
#include "gateway/core_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/trace.h"
#include "gateway/outcome.h"

enum { STORE_RETRY_MS = 5000 };

/* ---- who waits for the end */

/* Somebody who waits for a transfer to become final, or to change. */
struct waiter {
    struct waiter *prev, *next;
    struct live *live;
    uv_timer_t timer;
    bool for_change;
    struct record_stamp was;
    gateway_record_fn *done;
    void *user;
};

static void free_waiter(uv_handle_t *timer)
{
    free(timer->data);
}

static void waiter_answer(struct waiter *w)
{
    struct record *r = record_copy(core_record(w->live));
    struct error error;

    if (!r)
        error_set(&error, ERR_INTERNAL, "out of memory");
    w->done(w->user, r, r ? NULL : &error);
    DL_DELETE(w->live->waiters, w);
    uv_close((uv_handle_t *)&w->timer, free_waiter);
}

static void on_wait_over(uv_timer_t *timer)
{
    waiter_answer(timer->data);
}

/* An end counts when it is committed: all who wait are answered then. */
static bool sees_change(const struct waiter *w, const struct record *r)
{
    return w->for_change && !transfer_state_final(r->state) &&
           (r->updated != w->was.updated || r->state != w->was.state || r->sent != w->was.sent);
}

void core_wait(struct gateway *gw, struct live *live, int64_t wait_ms, const struct record_stamp *was,
               gateway_record_fn *done, void *user)
{
    struct waiter *w = calloc(1, sizeof *w);
    struct error error;

    if (!w) {
        error_set(&error, ERR_INTERNAL, "out of memory");
        done(user, NULL, &error);
        return;
    }
    *w = (struct waiter){.live = live, .for_change = was != NULL, .done = done, .user = user};
    if (was)
        w->was = *was;
    uv_timer_init(&gw->loop, &w->timer);
    w->timer.data = w;
    uv_timer_start(&w->timer, on_wait_over, wait_ms > 0 ? (uint64_t)wait_ms : 0, 0);
    DL_APPEND(live->waiters, w);
    if ((atomic_load(&gw->draining) && core_stands_still(live)) || sees_change(w, core_record(live)))
        waiter_answer(w);
}

void core_answer_change(struct live *live)
{
    struct waiter *w, *next;

    DL_FOREACH_SAFE(live->waiters, w, next)
    if (sees_change(w, core_record(live)))
        waiter_answer(w);
}

void core_answer_waiters(struct live *live)
{
    while (live->waiters)
        waiter_answer(live->waiters);
}

/* ---- the payload */

struct removal {
    uv_work_t work;
    struct gateway *gw;
    char id[ID_SIZE];
};

static void remove_work(uv_work_t *work)
{
    struct removal *removal = work->data;

    spool_remove(removal->gw->spool, removal->id);
}

static void remove_done(uv_work_t *work, int status)
{
    struct removal *removal = work->data;

    (void)status;
    removal->gw->pending--;
    free(removal);
}

void core_remove_payload(struct gateway *gw, const char *id)
{
    struct removal *removal = calloc(1, sizeof *removal);

    if (!removal) { /* out of memory: rather here, though the disk may keep us waiting, than never */
        spool_remove(gw->spool, id);
        return;
    }
    removal->work.data = removal;
    removal->gw = gw;
    memcpy(removal->id, id, ID_SIZE);
    gw->pending++;
    uv_queue_work(&gw->loop, &removal->work, remove_work, remove_done);
}

bool core_may_be_retried(const struct gateway *gw, const struct record *r)
{
    return r->state == TRANSFER_FAILED && r->upload == UPLOAD_COMPLETE && r->mode != MODE_STREAM &&
           r->finished + gw->config->spool.retention > clock_wall_ms();
}

static void part_with_payload(struct gateway *gw, const struct record *r)
{
    if (core_may_be_retried(gw, r))
        spool_spare(gw->spool, r->id, r->finished + gw->config->spool.retention);
    else
        core_remove_payload(gw, r->id);
}

/* ---- rows */

void core_over(struct live *live)
{
    struct gateway *gw = live->gw;

    core_tell_end(gw, transfer_snapshot(live->transfer));
    outcome_count(core_record(live));
    core_leave_batch(gw, core_record(live));
    if (!live->fileless && !downloads_keep(gw, core_record(live)))
        part_with_payload(gw, core_record(live));
    core_answer_waiters(live);
    core_forget(live);
    if (atomic_load(&gw->draining))
        core_count_flowing(gw);
}

struct committed {
    struct message message;
    struct gateway *gw;
    char id[ID_SIZE];
    char trace[TRACE_ID]; /* empty: none */
    bool failed;
};

static void handle_committed(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct committed *c = (struct committed *)m;
    struct live *live = core_live(gw, c->id);

    gw->pending--;
    if (live && c->failed) { /* who waits for a committed end goes on waiting, within his own time */
        core_write_after(live, STORE_RETRY_MS);
    } else if (live) {
        core_over(live);
    }
    free(c);
}

/* Writer's thread. */
static void on_final_row(void *user, const struct error *err)
{
    struct committed *c = user;

    c->failed = err != NULL;
    if (err)
        log_error("store.write_failed", log_str("transfer", c->id), log_str("error", err->text),
                  log_opt("trace_id", *c->trace ? c->trace : NULL));
    mailbox_post(c->gw->mailbox, &c->message); /* open: gateway_stop() waits for all that is pending */
}

void core_write_row(struct live *live)
{
    const struct record *r = core_record(live);
    struct record *row = record_copy(r);
    struct committed *c = NULL;
    char trace[TRACE_ID];

    live->row_at = 0;
    if (row && transfer_state_final(r->state)) {
        c = calloc(1, sizeof *c);
        if (c) {
            c->message.handle = handle_committed;
            c->gw = live->gw;
            memcpy(c->id, live->id, ID_SIZE);
            trace_id(r->traceparent, c->trace);
        }
    }
    if (!row || (transfer_state_final(r->state) && !c)) {
        record_free(&row);
        log_error("store.write_failed", log_str("transfer", live->id), log_str("error", "out of memory"),
                  log_opt("trace_id", trace_id(r->traceparent, trace)));
        core_write_after(live, STORE_RETRY_MS);
        return;
    }
    if (c)
        live->gw->pending++;
    core_put_row(live->gw, row, NULL, c ? on_final_row : NULL, c);
}
