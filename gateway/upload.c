/* gateway/upload.c - the body of a file as it comes in: room for it, its end, or its breaking off. HTTP's thread. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "gateway/partial.h"
#include "gateway/upload_parts.h"

/* As much as the media type is guessed from. */
enum { EARLY = 64 * 1024 };

/* What a caller waits with for room. Its own, since who calls it may still do so when the upload is gone. */
struct room {
    struct feed_waiter waiter; /* first */
    void (*wake)(void *user);
    void *user;
};

/* Of mode stream nothing is kept to compute it from. */
static bool needs_digest(const struct upload *u, const struct submission *s)
{
    return s->digest || (u->gw->config->delivery.digest == DIGEST_ALWAYS && u->mode != MODE_STREAM);
}

static bool is_promised(const struct upload *u)
{
    return u->promised.has_sha256 || u->promised.has_sha512;
}

void upload_take_digests(struct upload *u, const struct submission *s)
{
    u->digest = needs_digest(u, s);
    if (s->promised)
        u->promised = *s->promised;
}

/* What it takes to begin early. */
static bool prepare(struct upload *u, int64_t size, const struct submission *s)
{
    u->mode = size < 0 || !s ? MODE_SPOOL : s->mode;
    if (u->mode == MODE_SPOOL)
        return true;
    upload_take_digests(u, s);
    u->feed = feed_create();
    u->record = upload_record(u, s);
    if (!u->feed || !u->record)
        return false;
    u->record->size = (uint64_t)size;
    u->record->upload = UPLOAD_RECEIVING;
    return true;
}

void upload_free(struct upload *u)
{
    atomic_fetch_sub(&u->gw->uploads, 1);
    if (u->partial)
        partial_take_back(&u->partial, &u->file, &u->error);
    gateway_release(&u->key);
    feed_release(&u->feed);
    record_free(&u->record);
    record_free(&u->answer);
    if (u->intake) {
        feed_release(&u->intake->feed);
        record_free(&u->intake->record);
        free(u->intake);
    }
    free(u);
}

void upload_drop_file(struct upload *u)
{
    if (!u->partial)
        spool_abandon(&u->file);
}

struct upload *gateway_upload_begin(struct gateway *gw, int64_t size, const struct submission *s, struct error *err)
{
    struct upload *u;

    if (atomic_load(&gw->draining)) {
        error_set(err, ERR_DRAINING, "the gateway is stopping");
        return NULL;
    }
    if (!store_writable(gw->store)) {
        error_set(err, ERR_STORE_UNAVAILABLE, "the store cannot be written at the moment");
        return NULL;
    }
    u = calloc(1, sizeof *u);
    if (!u) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    u->gw = gw;
    atomic_fetch_add(&gw->uploads, 1);
    if (s && s->key)
        memcpy(u->id, reservation_key(s->key)->id, ID_SIZE);
    else
        id_make(u->id, "tr", clock_wall_ms());
    if (!prepare(u, size, s)) {
        error_set(err, ERR_INTERNAL, "out of memory");
        upload_free(u);
        return NULL;
    }
    u->file = u->mode == MODE_STREAM
                  ? spool_create_window(gw->spool, u->id, (uint64_t)size, gw->config->spool.stream_window, err)
                  : spool_create(gw->spool, u->id, size, err);
    if (!u->file) {
        upload_free(u);
        return NULL;
    }
    u->key = s ? s->key : NULL;
    return u;
}

bool gateway_upload_append(struct upload *u, const void *data, size_t len, bool more, struct error *err)
{
    const struct error *refused = u->feed ? feed_refused(u->feed) : NULL;

    if (refused && u->mode == MODE_STREAM)
        return error_set(err, refused->code, "%s", refused->text);
    if (refused)
        return true;
    if (!(more ? spool_gather : spool_append)(u->file, data, len, err))
        return false;
    if (!u->feed)
        return true;
    feed_grow(u->feed, spool_size(u->file)); /* what is only gathered is no news yet */
    if (u->mode == MODE_STREAM)
        spool_punch(u->file, feed_taken(u->feed));
    if (!u->intake && spool_size(u->file) >= EARLY)
        upload_begin_early(u, NULL, NULL); /* without memory it begins at the end, as ever */
    return true;
}

/* ---- room */

bool gateway_upload_room(const struct upload *u, size_t len)
{
    return u->mode != MODE_STREAM || feed_refused(u->feed) ||
           spool_size(u->file) + len <= feed_taken(u->feed) + u->gw->config->spool.stream_window;
}

/* Reader's or core's thread. */
static void on_room(struct feed_waiter *w)
{
    struct room *room = (struct room *)w;

    room->wake(room->user);
    free(room);
}

/* Not at the first byte of room: a quarter of the window is worth waking somebody for. */
void gateway_upload_await_room(struct upload *u, size_t len, void (*wake)(void *user), void *user)
{
    uint64_t window = u->gw->config->spool.stream_window, full = spool_size(u->file) + len - window;
    struct room *room = malloc(sizeof *room);

    u->room = NULL;
    if (!room) { /* busy, but not stuck */
        wake(user);
        return;
    }
    *room = (struct room){.waiter.wake = on_room, .wake = wake, .user = user};
    u->room = room;
    if (feed_await_taken(u->feed, full + window / 4, &room->waiter))
        return;
    u->room = NULL;
    on_room(&room->waiter);
}

static void leave_room(struct upload *u)
{
    if (u->room && feed_withdraw_writer(u->feed, &u->room->waiter))
        on_room(&u->room->waiter);
    u->room = NULL;
}

const char *gateway_upload_id(const struct upload *u)
{
    return u->id;
}

/* Once core has heard of the end, so that what the stream says of it does not come first. FEED_GROWING: not yet. */
static void end_feed(struct upload *u, enum feed_state how);

void gateway_upload_abort(struct upload **up, const struct error *why)
{
    struct spool_file *file;
    struct upload *u = *up;

    if (!u)
        return;
    *up = NULL;
    gateway_release(&u->key); /* whoever hears of it may try again at once */
    if (!u->intake) {
        upload_drop_file(u);
        upload_free(u);
        return;
    }
    leave_room(u);
    if (why && why->code != ERR_NONE)
        u->error = *why;
    else if (atomic_load(&u->gw->draining))
        error_set(&u->error, ERR_DRAINING, "the gateway was stopped while the file was uploaded");
    else
        error_set(&u->error, ERR_LENGTH_CONFLICT, "the upload broke off");
    u->dropped = true;
    file = u->file; /* while the transfer does not know, it is there */
    u->file = NULL;
    end_feed(u, FEED_ABORTED);
    spool_abandon(&file);
}

/* ---- the end of an upload */

static void handle_finish(void *owner, struct message *m)
{
    (void)owner;
    upload_seal((struct upload *)m);
}

static void refuse_finish(struct message *m)
{
    struct upload *u = (struct upload *)m;

    error_set(&u->error, ERR_DRAINING, "the gateway is stopping");
    upload_drop_file(u);
    if (u->held)
        feed_end(u->feed, FEED_ABORTED);
    if (u->dropped)
        upload_free(u);
    else
        upload_answer(u, NULL);
}

static void end_feed(struct upload *u, enum feed_state how)
{
    struct feed *feed = feed_hold(u->feed); /* u is gone once it is posted */

    u->message.handle = upload_handle_end;
    u->message.discard = refuse_finish;
    if (!mailbox_post(u->gw->mailbox, &u->message))
        refuse_finish(&u->message);
    if (how != FEED_GROWING)
        feed_end(feed, how);
    feed_release(&feed);
}

static void finish_early(struct upload *u)
{
    bool whole = !feed_refused(u->feed) && spool_is_whole(u->file, &u->error);

    leave_room(u);
    u->held = whole && is_promised(u);
    end_feed(u, u->held ? FEED_GROWING : whole ? FEED_COMPLETE : FEED_ABORTED);
}

void gateway_upload_finish(struct upload **up, const struct submission *s, gateway_record_fn *done, void *user)
{
    struct upload *u = *up;

    *up = NULL;
    u->done = done;
    u->user = user;
    if (!u->feed)
        upload_take_digests(u, s);
    if (!u->feed && !gateway_submission_check(u->gw, s, &u->error)) {
        upload_drop_file(u);
        upload_answer(u, NULL);
        return;
    }
    if (u->feed && !u->intake && u->record)
        upload_begin_early(u, NULL, NULL);
    if (u->intake) {
        finish_early(u);
        return;
    }
    if (!u->record)
        u->record = upload_record(u, s);
    if (!u->record) {
        error_set(&u->error, ERR_INTERNAL, "out of memory");
        upload_drop_file(u);
        upload_answer(u, NULL);
        return;
    }
    u->message.handle = handle_finish;
    u->message.discard = refuse_finish;
    if (!mailbox_post(u->gw->mailbox, &u->message))
        refuse_finish(&u->message);
}

struct upload *upload_of_parts(struct gateway *gw, struct partial *p, const char *id, struct spool_file *file,
                               struct error *err)
{
    struct upload *u = calloc(1, sizeof *u);

    if (!u) {
        error_set(err, ERR_INTERNAL, "out of memory");
        partial_take_back(&p, &file, err);
        return NULL;
    }
    *u = (struct upload){.gw = gw, .mode = MODE_SPOOL, .file = file, .partial = p};
    atomic_fetch_add(&gw->uploads, 1);
    memcpy(u->id, id, ID_SIZE);
    return u;
}
