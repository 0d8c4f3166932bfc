#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "gateway/core.h"
#include "gateway/media.h"

/* An upload, and then the job that makes a transfer of it: sealed in the pool, committed by the store's writer,
 * adopted by core. It passes from thread to thread whole. */
struct upload {
    struct message message;
    uv_work_t work;
    struct gateway *gw;
    struct spool_file *file;
    char id[ID_SIZE];
    struct record *record; /* what the transfer will be */
    bool digest;
    gateway_record_fn *done;
    void *user;
    struct error error;
};

struct upload *gateway_upload_begin(struct gateway *gw, int64_t size, struct error *err)
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
    id_make(u->id, "tr", clock_wall_ms());
    u->file = spool_create(gw->spool, u->id, size, err);
    if (!u->file) {
        free(u);
        return NULL;
    }
    return u;
}

bool gateway_upload_append(struct upload *u, const void *data, size_t len, struct error *err)
{
    return spool_append(u->file, data, len, err);
}

const char *gateway_upload_id(const struct upload *u)
{
    return u->id;
}

void gateway_upload_abort(struct upload **u)
{
    if (!*u)
        return;
    spool_abandon(&(*u)->file);
    free(*u);
    *u = NULL;
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
    if (s->subscribe && s->hold_ms == 0)
        return error_set(err, ERR_PARAMETER_INVALID, "subscribe=ask without waiting for the answer: leave hold=0 out");
    return !s->methods || gateway_methods_check(gw, s->methods, err);
}

/* Who is asked for a subscription is waited for, if nobody says how long, as long as the transfer lives. */
static int64_t hold_until(const struct record *r, const struct submission *s, const struct config *config)
{
    int64_t hold = s->hold_ms < 0 ? config->delivery.hold : s->hold_ms;

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
    r->max_rounds = (unsigned)config->delivery.max_attempts;
    r->created = r->updated = clock_wall_ms();
    r->expires = r->created + (s->ttl_ms > 0 ? s->ttl_ms : config->delivery.ttl);
    r->hold_until = hold_until(r, s, config);
    r->subscribe = s->subscribe;
    if (!record_text(&r->to, s->to->text) || !record_text(&r->name, s->name) || !record_text(&r->type, s->type) ||
        !record_text(&r->caption, s->caption) || !record_text(&r->methods, s->methods) ||
        !record_text(&r->request_id, s->request_id))
        record_free(&r);
    return r;
}

/* ---- sealing: pool */

static bool describe(struct upload *u)
{
    struct record *r = u->record;
    char type[MEDIA_TYPE], name[ID_SIZE + 32];

    r->size = r->received = spool_size(u->file);
    if (!r->type) {
        media_sniff(u->file, type);
        if (!record_text(&r->type, type))
            return false;
    }
    if (!r->name) {
        snprintf(name, sizeof name, "upload-%s%s", u->id, media_ending(r->type));
        if (!record_text(&r->name, name))
            return false;
    }
    return true;
}

static void seal(uv_work_t *work)
{
    struct upload *u = work->data;
    bool durable = u->gw->config->spool.durability == DURABLE_POWER;

    if (!spool_seal(u->file, durable, &u->error) || (u->digest && !spool_sha256(u->file, u->record->sha256, &u->error)))
        spool_abandon(&u->file);
    else if (!describe(u)) {
        error_set(&u->error, ERR_INTERNAL, "out of memory");
        spool_abandon(&u->file);
    } else
        spool_release(&u->file);
}

/* ---- the answer */

static void upload_answer(struct upload *u, struct record *answer)
{
    u->done(u->user, answer, answer ? NULL : &u->error);
    record_free(&u->record);
    free(u);
}

static void handle_committed(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct upload *u = (struct upload *)m;
    struct record *answer = NULL;

    gw->pending--;
    if (u->error.code == ERR_NONE) {
        answer = record_copy(u->record);
        if (!answer || !core_adopt(gw, u->record))
            error_set(&u->error, ERR_INTERNAL, "out of memory; the transfer goes on after a restart");
        u->record = NULL;
        if (u->error.code != ERR_NONE)
            record_free(&answer);
    } else {
        core_remove_payload(gw, u->id);
    }
    upload_answer(u, answer);
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

static void sealed(uv_work_t *work, int status)
{
    struct upload *u = work->data;
    struct record *row;

    (void)status;
    if (u->error.code == ERR_NONE) {
        record_step(u->record, STEP_LOCAL, "upload complete", "ok", u->record->type);
        row = record_copy(u->record);
        if (row) {
            store_put(u->gw->store, row, on_row, u);
            return;
        }
        error_set(&u->error, ERR_INTERNAL, "out of memory");
        core_remove_payload(u->gw, u->id);
    }
    u->gw->pending--;
    upload_answer(u, NULL);
}

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
    upload_answer(u, NULL);
}

void gateway_upload_finish(struct upload **up, const struct submission *s, gateway_record_fn *done, void *user)
{
    struct upload *u = *up;

    *up = NULL;
    u->done = done;
    u->user = user;
    u->digest = s->digest;
    if (!gateway_submission_check(u->gw, s, &u->error)) {
        spool_abandon(&u->file);
        upload_answer(u, NULL);
        return;
    }
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
