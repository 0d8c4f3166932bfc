#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/feed.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/core.h"
#include "gateway/media.h"

/* As much as the media type is guessed from. */
enum { EARLY = 64 * 1024 };

/* How long the end of a transfer in MODE_STREAM is waited for: its own time to live is over before. */
#define STREAM_WAIT_MS (INT64_MAX / 4)

/* What a caller waits with for room. Its own, since who calls it may still do so when the upload is gone. */
struct room {
    struct feed_waiter waiter; /* first */
    void (*wake)(void *user);
    void *user;
};

/* An upload, and then the job that makes a transfer of it: sealed in the pool, committed by the store's writer,
 * adopted by core. It passes from thread to thread whole. */
struct upload {
    struct message message;
    uv_work_t work;
    struct gateway *gw;
    struct spool_file *file;
    char id[ID_SIZE];
    enum mode mode;
    struct record *record; /* what the transfer will be */
    struct record *answer; /* what the caller will be told once it is committed */
    struct live *live;     /* the transfer, ready to begin then */
    bool digest;           /* its SHA-256 is wanted */
    char sha256[65];
    struct digests promised;
    struct reservation *key; /* NULL: none */
    gateway_record_fn *done;
    void *user;
    struct error error;

    /* of one whose transfer begins before its end */
    struct feed *feed;     /* NULL: it is none of these */
    struct intake *intake; /* core's; NULL: the transfer has not begun */
    struct room *room;     /* left with the feed, unless it was called */
    bool held;             /* the feed ends only when what was promised is known to be true */
    bool dropped;          /* the caller took it back; done is not called */
    bool unkept;           /* the file is of no more use */
};

/* A transfer that begins before its upload is over: core's, until the upload itself comes with the end. */
struct intake {
    struct message message;
    uv_work_t work;
    struct gateway *gw;
    char id[ID_SIZE];
    struct feed *feed;
    struct record *record;     /* what it will be; NULL while it lives; what it was, when it ended before its upload */
    bool settled;              /* it lives, or could not begin */
    struct error error;        /* why not */
    gateway_record_fn *opened; /* MODE_STREAM: waits for the recipient */
    void *user;
    struct upload *end; /* came before it was settled, or waits for the end of the transfer */
};

static struct record *record_of(const struct upload *u, const struct submission *s);

/* Of mode stream nothing is kept to compute it from. */
static bool needs_digest(const struct upload *u, const struct submission *s)
{
    return s->digest || (u->gw->config->delivery.digest == DIGEST_ALWAYS && u->mode != MODE_STREAM);
}

static bool is_promised(const struct upload *u)
{
    return u->promised.has_sha256 || u->promised.has_sha512;
}

static void take_digests(struct upload *u, const struct submission *s)
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
    take_digests(u, s);
    u->feed = feed_create();
    u->record = record_of(u, s);
    if (!u->feed || !u->record)
        return false;
    u->record->size = (uint64_t)size;
    u->record->upload = UPLOAD_RECEIVING;
    return true;
}

static void upload_free(struct upload *u)
{
    atomic_fetch_sub(&u->gw->uploads, 1);
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

static bool begin_early(struct upload *u, gateway_record_fn *opened, void *user);

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
        begin_early(u, NULL, NULL); /* without memory it begins at the end, as ever */
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
        spool_abandon(&u->file);
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

/* ---- what it is for */

static bool method_known(struct gateway *gw, const char *name, size_t len)
{
    for (const char *const *m = gw->method_names; *m; m++)
        if (strlen(*m) == len && memcmp(*m, name, len) == 0)
            return true;
    return false;
}

bool gateway_methods_check(struct gateway *gw, const char *list, struct error *err)
{
    const char *at = list;

    do {
        size_t len = strcspn(at, ",");

        if (!method_known(gw, at, len))
            return error_set(err, ERR_PARAMETER_INVALID, "methods: '%.*s' is none of this gateway's methods",
                             (int)(len < 40 ? len : 40), at);
        at += len;
    } while (*at++ == ',');
    return true;
}

bool gateway_submission_check(struct gateway *gw, const struct submission *s, struct error *err)
{
    if (s->to->text[0] && s->to->local == 0)
        return error_set(err, ERR_JID_INVALID, "'%s' is a server, not a person: write somebody@%s", s->to->text,
                         s->to->text);
    if (s->name && !text_name_check(s->name, strlen(s->name), err))
        return false;
    if (s->caption && !text_is_xml(s->caption, strlen(s->caption)))
        return error_set(err, ERR_PARAMETER_INVALID, "caption: not plain UTF-8 text");
    if (s->caption && strlen(s->caption) > 4096)
        return error_set(err, ERR_PARAMETER_INVALID, "caption: longer than 4096 bytes");
    if (s->type && (strlen(s->type) > 200 || !text_is_xml(s->type, strlen(s->type))))
        return error_set(err, ERR_PARAMETER_INVALID, "the media type is no media type");
    if (s->mode == MODE_STREAM && s->digest)
        return error_set(err, ERR_PARAMETER_INVALID, "digest: nothing is kept to compute it from; use mode=auto");
    if (s->mode == MODE_STREAM && s->promised)
        return error_set(err, ERR_DIGEST_UNSUPPORTED,
                         "mode=stream keeps nothing that a promised digest could be checked on; use mode=auto");
    if (s->mode == MODE_STREAM && (s->hold_ms > 0 || s->subscribe))
        return error_set(err, ERR_PARAMETER_INVALID,
                         "mode=stream waits for nobody who is offline: use mode=auto, or leave hold and subscribe out");
    if (s->subscribe && s->hold_ms == 0)
        return error_set(err, ERR_PARAMETER_INVALID, "subscribe=ask without waiting for the answer: leave hold=0 out");
    return !s->methods || gateway_methods_check(gw, s->methods, err);
}

/* Who is asked for a subscription is waited for, if nobody says how long, as long as the transfer lives. */
static int64_t hold_until(const struct record *r, const struct submission *s, const struct config *config)
{
    int64_t hold = s->hold_ms < 0 ? config->delivery.hold : s->hold_ms;

    if (r->mode == MODE_STREAM)
        return 0;
    if (hold == 0)
        return s->subscribe ? r->expires : 0;
    return r->created + hold;
}

static struct record *record_of(const struct upload *u, const struct submission *s)
{
    struct record *r = record_new();
    const struct config *config = u->gw->config;

    if (!r)
        return NULL;
    memcpy(r->id, u->id, ID_SIZE);
    r->state = TRANSFER_QUEUED;
    r->mode = u->mode;
    r->max_rounds = u->mode == MODE_STREAM ? 1 : (unsigned)config->delivery.max_attempts;
    r->created = r->updated = clock_wall_ms();
    r->expires = r->created + (s->ttl_ms > 0 ? s->ttl_ms : config->delivery.ttl);
    r->hold_until = hold_until(r, s, config);
    r->subscribe = s->subscribe;
    if (!record_text(&r->to, s->to->text) || !record_text(&r->name, s->name) || !record_text(&r->type, s->type) ||
        !record_text(&r->caption, s->caption) || !record_text(&r->methods, s->methods) ||
        !record_text(&r->request_id, s->request_id) || !record_text(&r->token, s->token))
        record_free(&r);
    return r;
}

/* ---- sealing: pool */

/* What nobody said of it. file NULL: there is nothing to look at. */
static bool describe(struct record *r, const struct spool_file *file)
{
    char seen[MEDIA_TYPE] = "application/octet-stream", name[ID_SIZE + 32];
    const char *type = r->name ? media_of_name(r->name) : NULL;

    if (!r->type) {
        if (!type && file)
            media_sniff(file, seen);
        if (!record_text(&r->type, type ? type : seen))
            return false;
    }
    if (!r->name) {
        snprintf(name, sizeof name, "upload-%s%s", r->id, media_ending(r->type));
        if (!record_text(&r->name, name))
            return false;
    }
    return true;
}

static bool mismatch(struct error *err, const char *algorithm, const unsigned char *digest, size_t len)
{
    char hex[2 * SHA512_BYTES + 1];

    id_hex(digest, len, hex);
    return error_set(err, ERR_DIGEST_MISMATCH, "the %s of what came is %s", algorithm, hex);
}

/* Reads the file once for all that is wanted of it. */
static bool check_digests(struct upload *u)
{
    struct digests found = {.has_sha256 = u->digest || u->promised.has_sha256, .has_sha512 = u->promised.has_sha512};

    if (!found.has_sha256 && !found.has_sha512)
        return true;
    if (!spool_digest(u->file, &found, &u->error))
        return false;
    if (u->promised.has_sha256 && memcmp(found.sha256, u->promised.sha256, SHA256_BYTES) != 0)
        return mismatch(&u->error, "SHA-256", found.sha256, SHA256_BYTES);
    if (u->promised.has_sha512 && memcmp(found.sha512, u->promised.sha512, SHA512_BYTES) != 0)
        return mismatch(&u->error, "SHA-512", found.sha512, SHA512_BYTES);
    if (found.has_sha256)
        id_hex(found.sha256, SHA256_BYTES, u->sha256);
    return true;
}

static bool seal_file(struct upload *u)
{
    bool durable = u->gw->config->spool.durability == DURABLE_POWER;

    if (!spool_seal(u->file, durable, &u->error))
        return false;
    if (!check_digests(u))
        return false;
    if (!u->record)
        return true;
    u->record->size = u->record->received = spool_size(u->file);
    if (!record_text(&u->record->sha256, u->sha256[0] ? u->sha256 : NULL) || !describe(u->record, u->file))
        return error_set(&u->error, ERR_INTERNAL, "out of memory");
    return true;
}

static void seal(uv_work_t *work)
{
    struct upload *u = work->data;

    if (u->unkept)
        spool_abandon(&u->file);
    else if (seal_file(u))
        spool_release(&u->file);
    else if (!u->intake) /* while the transfer does not know, it is there */
        spool_abandon(&u->file);
}

/* ---- the answer */

/* The key is released first: whoever has the answer may ask again at once. */
static void upload_answer(struct upload *u, struct record *answer)
{
    gateway_release(&u->key);
    u->done(u->user, answer, answer ? NULL : &u->error);
    upload_free(u);
}

static void handle_kept(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct upload *u = (struct upload *)m;
    struct record *answer = u->record;

    gw->pending--;
    u->record = NULL;
    upload_answer(u, answer);
}

/* Writer's thread. Without the key the answer is still true. */
static void on_kept(void *user, const struct error *err)
{
    struct upload *u = user;

    if (err)
        log_warn("store.key_lost", log_str("transfer", u->id), log_str("error", err->text));
    u->message.handle = handle_kept;
    inbox_post(u->gw->inbox, &u->message); /* open: gateway_stop() waits for all that is pending */
}

/* As upload_answer(), of a transfer whose row was committed without its key. While we stop nobody might wait for that.
 */
static void answer_kept(struct upload *u, struct record *answer)
{
    if (!u->key || !answer || atomic_load(&u->gw->draining)) {
        upload_answer(u, answer);
        return;
    }
    record_free(&u->record);
    u->record = answer;
    u->gw->pending++;
    store_put_keyed(u->gw->store, NULL, reservation_key(u->key), on_kept, u);
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
    answer_kept(u, told(u, r));
}

static void fail_live(struct upload *u)
{
    struct live *live = core_live(u->gw, u->id);

    if (live)
        transfer_upload_failed(core_transfer(live), &u->error);
}

static void committed_early(struct upload *u)
{
    struct live *live = core_live(u->gw, u->id);

    if (live)
        core_upload_over(live, u->error.code == ERR_NONE); /* whose end is written now, if that row failed */
    if (u->error.code == ERR_NONE) {
        bool over = live && transfer_state_final(u->record->state);

        upload_answer(u, told(u, live ? core_record(live) : u->record));
        if (over)
            core_over(live);
        return;
    }
    fail_live(u);
    upload_answer(u, NULL);
}

static void handle_committed(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct upload *u = (struct upload *)m;
    struct record *answer = u->answer;

    gw->pending--;
    if (u->intake) {
        committed_early(u);
        return;
    }
    if (u->error.code == ERR_NONE) {
        core_begin(u->live);
        u->answer = NULL;
        upload_answer(u, answer);
    } else {
        core_forget(u->live);
        core_remove_payload(gw, u->id);
        upload_answer(u, NULL);
    }
}

/* Writer's thread. */
static void on_row(void *user, const struct error *err)
{
    struct upload *u = user;

    if (err)
        u->error = *err;
    u->message.handle = handle_committed;
    inbox_post(u->gw->inbox, &u->message); /* open: gateway_stop() waits for all that is pending */
}

/* Everything that may fail for want of memory is done before the row is written: afterwards it is promised. */
static bool commit(struct upload *u)
{
    struct record *row = record_copy(u->record);

    u->answer = record_copy(u->record);
    if (row && u->answer) {
        u->live = core_prepare(u->gw, u->record, NULL);
        u->record = NULL;
    }
    if (u->live)
        store_put_keyed(u->gw->store, row, reservation_key(u->key), on_row, u); /* comes back as handle_committed() */
    else
        record_free(&row);
    return u->live != NULL;
}

static void sealed_early(struct upload *u);

static void sealed(uv_work_t *work, int status)
{
    struct upload *u = work->data;

    (void)status;
    if (u->intake) {
        sealed_early(u);
        return;
    }
    if (u->error.code == ERR_NONE) {
        record_step(u->record, STEP_LOCAL, "upload complete", "ok", u->record->type);
        if (commit(u))
            return;
        error_set(&u->error, ERR_INTERNAL, "out of memory");
        core_remove_payload(u->gw, u->id);
    }
    u->gw->pending--;
    upload_answer(u, NULL);
}

/* ---- a transfer that began before the end of its upload */

static void tell_opened(struct intake *in, const struct record *r, const struct error *err)
{
    gateway_record_fn *opened = in->opened;

    in->opened = NULL;
    if (opened)
        opened(in->user, r ? record_copy(r) : NULL, err);
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
    else if (!core_adopt(in->gw, r, &growth))
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

    if (file && !describe(in->record, file))
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
        else if (!describe(in->record, NULL))
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

/* false: no memory, or we stop. */
static bool begin_early(struct upload *u, gateway_record_fn *opened, void *user)
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
    if (inbox_post(u->gw->inbox, &in->message))
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

    if (begin_early(u, done, user))
        return;
    error_set(&error, ERR_DRAINING, "the gateway is stopping, or out of memory");
    done(user, NULL, &error);
}

/* The body is over, for good or ill. */
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
    u->work.data = u;
    u->gw->pending++;
    uv_queue_work(&u->gw->loop, &u->work, seal, sealed);
}

static void handle_end(void *owner, struct message *m)
{
    struct upload *u = (struct upload *)m;

    (void)owner;
    if (u->intake->settled)
        end_early(u);
    else
        u->intake->end = u;
}

static void on_stream_over(void *user, struct record *r, const struct error *err)
{
    struct upload *u = user;

    if (err)
        u->error = *err;
    if (r && (r->state == TRANSFER_DELIVERED || r->state == TRANSFER_LINK_SENT))
        answer_kept(u, r);
    else
        upload_answer(u, r);
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
    /* comes back as handle_committed() */
    store_put_keyed(u->gw->store, row, reservation_key(u->key), on_row, u);
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

static void sealed_early(struct upload *u)
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
        core_wait(u->gw, live, STREAM_WAIT_MS, on_stream_over, u);
    } else {
        u->gw->pending++;
        commit_early(u, live);
    }
}

/* ---- the end of an upload */

static void handle_finish(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct upload *u = (struct upload *)m;

    gw->pending++;
    u->work.data = u;
    uv_queue_work(&gw->loop, &u->work, seal, sealed);
}

static void refuse_finish(struct message *m)
{
    struct upload *u = (struct upload *)m;

    error_set(&u->error, ERR_DRAINING, "the gateway is stopping");
    spool_abandon(&u->file);
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

    u->message.handle = handle_end;
    u->message.discard = refuse_finish;
    if (!inbox_post(u->gw->inbox, &u->message))
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
        take_digests(u, s);
    if (!u->feed && !gateway_submission_check(u->gw, s, &u->error)) {
        spool_abandon(&u->file);
        upload_answer(u, NULL);
        return;
    }
    if (u->feed && !u->intake && u->record)
        begin_early(u, NULL, NULL);
    if (u->intake) {
        finish_early(u);
        return;
    }
    if (!u->record)
        u->record = record_of(u, s);
    if (!u->record) {
        error_set(&u->error, ERR_INTERNAL, "out of memory");
        spool_abandon(&u->file);
        upload_answer(u, NULL);
        return;
    }
    u->message.handle = handle_finish;
    u->message.discard = refuse_finish;
    if (!inbox_post(u->gw->inbox, &u->message))
        refuse_finish(&u->message);
}
