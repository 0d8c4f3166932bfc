/* gateway/upload_early.c - a transfer that begins before its upload is over, and how the two come to one end. */
#include <stdlib.h>
#include <string.h>

#include "gateway/upload_parts.h"

/* How long the end of a transfer in MODE_STREAM is waited for: its own time to live is over before. */
#define STREAM_WAIT_MS (INT64_MAX / 4)

/* ---- the beginning */

static void tell_opened(struct intake *in, const struct record *r, const struct error *err)
{
    gateway_record_fn *opened = in->opened;

    in->opened = NULL;
    if (opened)
        opened(in->user, r ? record_copy(r) : NULL, err);
}

/* What is known of a transfer that began early. */
static struct record *told(struct upload *u, const struct record *r)
{
    struct record *answer = r ? record_copy(r) : NULL;

    if (!answer && u->error.code == ERR_NONE)
        error_set(&u->error, ERR_INTERNAL, "out of memory");
    return answer;
}

/* It ended before its upload did. */
static void answer_with(struct upload *u, const struct record *r)
{
    upload_answer_kept(u, told(u, r));
}

static void end_early(struct upload *u);

/* Core's thread: it is final, and committed, and its upload not over. */
static void on_ended(void *user, const struct record *r)
{
    struct intake *in = user;

    in->record = record_copy(r);
    tell_opened(in, in->record, NULL);
    if (in->end)
        answer_with(in->end, in->record);
}

static void on_open(void *user, const struct record *r)
{
    tell_opened(user, r, NULL);
}

static void settle(struct intake *in)
{
    const struct growth growth = {.feed = in->feed, .open = on_open, .ended = on_ended, .user = in};
    struct record *r = in->record;
    struct upload *end = in->end;

    in->record = NULL;
    in->end = NULL;
    in->settled = true;
    if (in->error.code != ERR_NONE)
        record_free(&r);
    else if (!core_adopt(in->gw, r, &growth, TRANSFER_RECEIVING))
        error_set(&in->error, ERR_INTERNAL, "out of memory");
    if (in->error.code != ERR_NONE)
        tell_opened(in, NULL, &in->error);
    if (end)
        end_early(end);
}

static void look_at(uv_work_t *work)
{
    struct intake *in = work->data;
    struct spool_file *file = spool_follow(in->gw->spool, in->id, &in->error);

    if (file && !upload_describe(in->record, file))
        error_set(&in->error, ERR_INTERNAL, "out of memory");
    spool_release(&file);
}

static void looked_at(uv_work_t *work, int status)
{
    struct intake *in = work->data;

    (void)status;
    in->gw->pending--;
    settle(in);
}

static void handle_begin(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct intake *in = (struct intake *)m;

    if (in->record->mode == MODE_STREAM || in->record->type) { /* nothing to look at, or no need */
        if (in->record->mode == MODE_STREAM && atomic_load(&gw->draining))
            error_set(&in->error, ERR_DRAINING, "the gateway is stopping");
        else if (in->record->mode == MODE_STREAM && !gw->online)
            error_set(&in->error, ERR_XMPP_DISCONNECTED, "the gateway has no XMPP session at the moment");
        else if (!upload_describe(in->record, NULL))
            error_set(&in->error, ERR_INTERNAL, "out of memory");
        settle(in);
        return;
    }
    gw->pending++;
    in->work.data = in;
    uv_queue_work(&gw->loop, &in->work, look_at, looked_at);
}

/* Its upload comes with its end, and with the same fate. */
static void leave_intake(struct message *m)
{
    struct intake *in = (struct intake *)m;

    error_set(&in->error, ERR_DRAINING, "the gateway is stopping");
    tell_opened(in, NULL, &in->error);
}

bool upload_begin_early(struct upload *u, gateway_record_fn *opened, void *user)
{
    struct intake *in = calloc(1, sizeof *in);

    if (!in)
        return false;
    *in = (struct intake){.message = {.handle = handle_begin, .discard = leave_intake},
                          .gw = u->gw,
                          .feed = feed_hold(u->feed),
                          .record = u->record,
                          .opened = opened,
                          .user = user};
    memcpy(in->id, u->id, ID_SIZE);
    u->intake = in;
    u->record = NULL;
    if (mailbox_post(u->gw->mailbox, &in->message))
        return true;
    u->record = in->record;
    u->intake = NULL;
    feed_release(&in->feed);
    free(in);
    return false;
}

void gateway_upload_open(struct upload *u, gateway_record_fn *done, void *user)
{
    struct error error;

    if (upload_begin_early(u, done, user))
        return;
    error_set(&error, ERR_DRAINING, "the gateway is stopping, or out of memory");
    done(user, NULL, &error);
}

/* ---- the end of the body, for good or ill */

static void end_early(struct upload *u)
{
    struct intake *in = u->intake;
    struct live *live = core_live(u->gw, u->id);
    bool refused = feed_refused(in->feed);

    if (u->error.code == ERR_NONE)
        u->error = in->error;
    if (live && u->error.code != ERR_NONE)
        transfer_upload_failed(core_transfer(live), &u->error);
    else if (live && !refused && !u->digest && !u->held) /* else once it is known */
        transfer_uploaded(core_transfer(live));
    if (u->dropped) {
        tell_opened(in, NULL, &u->error);
        if (live)
            core_upload_over(live, false);
        upload_free(u);
        return;
    }
    u->unkept = refused || u->mode == MODE_STREAM || u->error.code != ERR_NONE;
    upload_seal(u);
}

void upload_handle_end(void *owner, struct message *m)
{
    struct upload *u = (struct upload *)m;

    (void)owner;
    if (u->intake->settled)
        end_early(u);
    else
        u->intake->end = u;
}

/* ---- the file is sealed, and its row committed */

static void on_stream_over(void *user, struct record *r, const struct error *err)
{
    struct upload *u = user;

    if (err)
        u->error = *err;
    if (r && (r->state == TRANSFER_DELIVERED || r->state == TRANSFER_LINK_SENT))
        upload_answer_kept(u, r);
    else
        upload_answer(u, r);
}

static void fail_live(struct upload *u)
{
    struct live *live = core_live(u->gw, u->id);

    if (live)
        transfer_upload_failed(core_transfer(live), &u->error);
}

void upload_committed_early(struct upload *u)
{
    struct live *live = core_live(u->gw, u->id);

    if (live)
        core_upload_over(live, u->error.code == ERR_NONE); /* whose end is written now, if that row failed */
    if (u->error.code == ERR_NONE) {
        struct record *answer = told(u, live ? core_record(live) : u->record);

        if (live && transfer_state_final(u->record->state))
            core_over(live); /* before the answer: who has that finds it told and counted */
        upload_answer(u, answer);
        return;
    }
    fail_live(u);
    upload_answer(u, NULL);
}

/* Its row tells how it is by then; what happened since is written as for any other. */
static void commit_early(struct upload *u, struct live *live)
{
    struct record *row;

    if (u->sha256[0])
        transfer_hashed(core_transfer(live), u->sha256);
    transfer_uploaded(core_transfer(live));
    row = core_first_row(live);
    u->record = record_copy(core_record(live));
    if (!row || !u->record) {
        record_free(&row);
        core_upload_over(live, false);
        error_set(&u->error, ERR_INTERNAL, "out of memory");
        fail_live(u);
        u->gw->pending--;
        upload_answer(u, NULL);
        return;
    }
    upload_put_row(u, row); /* comes back as upload_committed_early() */
}

/* It never became a whole file. What was delivered all the same is not told so. */
static bool failed_early(struct upload *u, struct live *live)
{
    if (u->error.code == ERR_NONE)
        return false;
    if (live && !feed_refused(u->feed) && transfer_state_final(core_record(live)->state)) {
        u->error = (struct error){0};
        return false;
    }
    fail_live(u);
    if (live)
        core_upload_over(live, false);
    return true;
}

static void drop_file(uv_work_t *work)
{
    struct upload *u = work->data;

    spool_abandon(&u->file);
}

static void file_dropped(uv_work_t *work, int status)
{
    struct upload *u = work->data;

    (void)status;
    u->gw->pending--;
    upload_answer(u, NULL);
}

static void refuse_early(struct upload *u)
{
    u->gw->pending++;
    uv_queue_work(&u->gw->loop, &u->work, drop_file, file_dropped);
}

void upload_sealed_early(struct upload *u)
{
    struct intake *in = u->intake;
    struct live *live = core_live(u->gw, u->id);
    bool failed = failed_early(u, live);

    u->gw->pending--;
    if (u->held)
        feed_end(u->feed, failed ? FEED_ABORTED : FEED_COMPLETE);
    if (failed) {
        refuse_early(u);
        return;
    }
    spool_abandon(&u->file); /* where there is one, its transfer ended well without it */
    if (feed_refused(u->feed) && live) {
        in->end = u; /* on_ended() */
    } else if (!live) {
        answer_with(u, in->record);
    } else if (u->mode == MODE_STREAM) {
        core_upload_over(live, false);
        core_wait(u->gw, live, STREAM_WAIT_MS, NULL, on_stream_over, u);
    } else {
        u->gw->pending++;
        commit_early(u, live);
    }
}
