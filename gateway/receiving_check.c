/* gateway/receiving_check.c - all of a file is there: hashes, the seal, the row, the answer. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "gateway/media.h"
#include "gateway/receiving_parts.h"
#include "gateway/webhooks.h"

/* Of a large file a piece at a time: the pool is everybody's. */
enum { PIECE = 64 * 1024 * 1024 };

static void check_piece(uv_work_t *work);
static void piece_checked(uv_work_t *work, int status);

/* Comes back on core's thread, and never from inside. */
static void handle_answer(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct reception *re = (struct reception *)m;
    bool ok = re->error.code == ERR_NONE;

    gw->pending--;
    re->busy = false;
    if (re->stored && gw->webhooks)
        webhooks_made(gw->webhooks);
    if (re->stored && !ok) { /* not in the store, after all */
        re->stored = false;
        spool_remove(gw->spool, re->item->id);
    }
    if (re->stored) {
        events_publish(gw->events, &(struct event){.type = EVENT_INBOX_RECEIVED, .item = re->item});
        metric_add(METRIC_INBOX_RECEIVED, 1, re->item->method, re->item->path);
        log_info("inbox.received", log_str("item", re->item->id), log_str("from", re->item->from),
                 log_int("size", re->item->size), log_str("method", re->item->method));
    }
    if (re->ended)
        reception_finish(re, re->why.code ? &re->why : ok ? NULL : &re->error);
    else
        re->done(re->done_user, ok ? NULL : &re->error); /* may end it */
}

static void answer_soon(struct reception *re)
{
    re->message.handle = handle_answer;
    mailbox_post(re->home->gw->mailbox, &re->message); /* open: gateway_stop() waits for all that is pending */
}

/* Writer's thread. */
static void on_row(void *user, const struct error *err)
{
    struct reception *re = user;

    if (err)
        re->error = *err;
    answer_soon(re);
}

static bool describe(struct reception *re)
{
    struct inbox_item *item = re->item;

    item->state = INBOX_RECEIVED;
    item->size = (int64_t)item->received;
    item->hash_confirmed = *re->hash && strcmp(re->promised, re->hash) == 0;
    item->updated = item->finished = clock_wall_ms();
    item->expires = reception_keep_until(re);
    return record_text(&item->sha256, re->sha256) && (item->type[0] || record_text(&item->type, re->type));
}

/* The row, and what tells of it, in one transaction. */
static void commit(struct reception *re)
{
    struct gateway *gw = re->home->gw;
    struct event e = {.type = EVENT_INBOX_RECEIVED, .at = clock_wall_ms(), .item = re->item};
    struct delivery *list = NULL;
    struct inbox_item *row = describe(re) ? inbox_item_copy(re->item) : NULL;

    if (!row || !webhooks_make(gw->webhooks, &e, &list)) {
        inbox_item_free(&row);
        error_set(&re->error, ERR_INTERNAL, "out of memory");
        spool_remove(gw->spool, re->item->id);
        answer_soon(re);
        return;
    }
    re->stored = true;
    store_put_item(gw->store, row, list, on_row, re);
}

/* Pool. */
static bool verify(struct reception *re)
{
    bool durable = re->home->gw->config->spool.durability == DURABLE_POWER;

    if (!inbox_hash_finish(&re->hashes, re->sha256, re->promised))
        return error_set(&re->error, ERR_INTERNAL, "the file cannot be hashed");
    if (*re->hash && strcmp(re->promised, re->hash) != 0)
        return error_set(&re->error, re->extra ? ERR_SIZE_EXCEEDED : ERR_HASH_MISMATCH,
                         re->extra ? "more came than was said" : "the %s of what came is another than was promised",
                         re->algo);
    if (!re->item->type[0])
        media_sniff(re->file, re->type);
    return spool_seal(re->file, durable, &re->error);
}

static void check_piece(uv_work_t *work)
{
    struct reception *re = work->data;
    uint64_t size = spool_size(re->file);

    if (!inbox_hash_read(&re->hashes, spool_fd(re->file), size, PIECE))
        error_set(&re->error, ERR_INTERNAL, "the file cannot be read");
    else if (re->hashes.at == size)
        verify(re);
}

static void piece_checked(uv_work_t *work, int status)
{
    struct reception *re = work->data;
    bool ok = re->error.code == ERR_NONE, unwanted = re->deleted || (re->ended && re->why.code);

    (void)status;
    if (ok && re->hashes.at < spool_size(re->file) && !unwanted) {
        uv_queue_work(&re->home->gw->loop, &re->work, check_piece, piece_checked);
        return;
    }
    if (ok && unwanted) {
        if (re->deleted)
            error_set(&re->error, ERR_CANCELLED, RECEPTION_DELETED);
        else
            re->error = re->why;
        ok = false;
    }
    if (ok)
        spool_release(&re->file);
    else
        spool_abandon(&re->file);
    if (ok)
        commit(re);
    else
        answer_soon(re);
}

/* What the sizes say, before anything is read. */
static bool size_holds(struct reception *re)
{
    uint64_t come = re->offset + re->moved;

    if (!re->file)
        return error_set(&re->error, ERR_INTERNAL, "nothing has begun");
    if (re->claimed >= 0 && come < (uint64_t)re->claimed)
        return error_set(&re->error, ERR_TRUNCATED, "only %llu of %lld bytes came", (unsigned long long)come,
                         (long long)re->claimed);
    if (re->extra && (re->claimed < 0 || !*re->hash)) /* else the promised digest decides of the first bytes */
        return error_set(&re->error, ERR_SIZE_EXCEEDED, "more came than was said, or is allowed");
    return true;
}

void reception_complete(struct reception *re, uint64_t moved, const char *algo, const char *hash, bool extra,
                        reception_done_fn *done, void *user)
{
    struct gateway *gw = re->home->gw;
    const struct inbox_limits limits = {.max_files = UINT64_MAX, .daily_bytes = UINT64_MAX};
    struct error ignored;

    if (moved > re->most)
        moved = re->most;
    if (moved > re->moved) {
        if (!re->demo)
            inbox_senders_take(re->home->senders, re->bare, moved - re->moved, &limits, clock_ms(), &ignored);
        metric_add(METRIC_INBOX_BYTES, (int64_t)(moved - re->moved));
        re->moved = moved;
    }
    if (re->file)
        spool_grown(re->file, re->offset + re->moved);
    re->item->received = re->offset + re->moved;
    re->extra = extra;
    re->done = done;
    re->done_user = user;
    re->error = (struct error){0};
    re->busy = true;
    if (algo && hash && inbox_hash_known(algo)) {
        snprintf(re->algo, sizeof re->algo, "%s", algo);
        snprintf(re->hash, sizeof re->hash, "%s", hash);
    }
    gw->pending++;
    if (!size_holds(re) || (!inbox_hash_open(&re->hashes, *re->hash ? re->algo : NULL) &&
                            !error_set(&re->error, ERR_INTERNAL, "out of memory"))) {
        answer_soon(re);
        return;
    }
    re->work.data = re;
    uv_queue_work(&gw->loop, &re->work, check_piece, piece_checked);
}
