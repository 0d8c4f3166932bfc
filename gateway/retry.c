/* gateway/retry.c - a failed transfer once more, from the file that was kept; see core.h.
 *
 * Its row says so before the caller hears of it: a crash before leaves it failed, and its file spared. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "gateway/core.h"

struct retry {
    struct message message;
    struct gateway *gw;
    struct record *record, *was;
    gateway_record_fn *done;
    void *user;
    struct error error;
};

static void answer(struct retry *t, struct record *r)
{
    t->done(t->user, r, r ? NULL : &t->error);
    record_free(&t->record);
    record_free(&t->was);
    free(t);
}

/* As many rounds as it had at first, and as long a time. The recipient is waited for only if every one is. */
static void begin_anew(struct gateway *gw, struct record *r)
{
    int64_t now = clock_wall_ms(), hold = gw->config->delivery.hold;

    record_step(r, STEP_LOCAL, "retry", "", "asked for");
    r->expires = now + (r->expires - r->created);
    r->hold_until = hold > 0 ? now + hold : 0;
    r->state = TRANSFER_QUEUED;
    r->max_rounds = r->round + (unsigned)gw->config->delivery.max_attempts;
    r->updated = now;
    r->finished = r->next_attempt_at = 0;
    record_fail(r, &(struct error){0});
    r->error_stage = STAGE_REQUEST;
    r->sent = 0;
    r->link_expires = 0;
    record_text(&r->link_at, NULL);
    record_text(&r->link_digest, NULL);
}

static void handle_committed(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct retry *t = (struct retry *)m;
    struct record *told = NULL;

    gw->pending--;
    if (t->error.code == ERR_NONE) {
        told = record_copy(t->record);
        if (!core_adopt(gw, t->record, NULL, TRANSFER_FAILED))
            error_set(&t->error, ERR_INTERNAL, "out of memory; the transfer goes on after a restart");
        else if (!told)
            error_set(&t->error, ERR_INTERNAL, "out of memory; look at the transfer");
        t->record = NULL;
    } else {
        spool_spare(gw->spool, t->was->id, t->was->finished + gw->config->spool.retention);
    }
    answer(t, told);
}

/* Writer's thread. */
static void on_row(void *user, const struct error *err)
{
    struct retry *t = user;

    if (err)
        t->error = *err;
    t->message.handle = handle_committed;
    mailbox_post(t->gw->mailbox, &t->message); /* open: gateway_stop() waits for all that is pending */
}

static bool take_payload(struct retry *t)
{
    const struct record *r = t->was;

    if (r->state != TRANSFER_FAILED)
        return error_set(&t->error, ERR_STATE_CONFLICT, "only a failed transfer is tried again, and this one is %s",
                         transfer_state_name(r->state));
    if (!store_writable(t->gw->store))
        return error_set(&t->error, ERR_STORE_UNAVAILABLE, "the store cannot be written at the moment");
    return spool_claim(t->gw->spool, r->id) ||
           error_set(&t->error, ERR_STATE_CONFLICT, "the file is not kept any more: send it again");
}

void core_retry(struct gateway *gw, struct record *r, gateway_record_fn *done, void *user)
{
    struct retry *t = calloc(1, sizeof *t);
    struct record *row = NULL;
    struct error error;

    if (!t) {
        record_free(&r);
        error_set(&error, ERR_INTERNAL, "out of memory");
        done(user, NULL, &error);
        return;
    }
    *t = (struct retry){.gw = gw, .was = r, .done = done, .user = user};
    if (!take_payload(t)) {
        answer(t, NULL);
        return;
    }
    t->record = record_copy(r);
    if (t->record) {
        begin_anew(gw, t->record);
        row = record_copy(t->record);
    }
    if (!row) {
        spool_spare(gw->spool, r->id, r->finished + gw->config->spool.retention);
        error_set(&t->error, ERR_INTERNAL, "out of memory");
        answer(t, NULL);
        return;
    }
    gw->pending++;
    store_put(gw->store, row, on_row, t);
}
