/* gateway/upload_commit.c - a file that is all there: sealed in the pool, committed by the store's writer, and adopted
 * by core; then the caller is answered. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/trace.h"
#include "gateway/media.h"
#include "gateway/partial.h"
#include "gateway/upload_parts.h"

/* ---- the answer */

void upload_answer(struct upload *u, struct record *answer)
{
    gateway_release(&u->key);
    if (u->partial && answer)
        partial_became_transfer(&u->partial);
    else if (u->partial)
        partial_take_back(&u->partial, &u->file, &u->error);
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
    char trace[TRACE_ID];

    if (err)
        log_warn("store.key_lost", log_str("transfer", u->id), log_str("error", err->text),
                 log_opt("trace_id", trace_id(u->record->traceparent, trace)));
    u->message.handle = handle_kept;
    mailbox_post(u->gw->mailbox, &u->message); /* open: gateway_stop() waits for all that is pending */
}

/* While we stop nobody might wait for that. */
void upload_answer_kept(struct upload *u, struct record *answer)
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

/* ---- the row */

/* It is sealed, and no transfer after all. */
static void drop_payload(struct upload *u)
{
    if (!u->partial)
        core_remove_payload(u->gw, u->id);
}

static void handle_committed(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct upload *u = (struct upload *)m;
    struct record *answer = u->answer;

    gw->pending--;
    if (u->intake) {
        upload_committed_early(u);
        return;
    }
    if (u->error.code == ERR_NONE) {
        core_begin(u->live);
        u->answer = NULL;
        upload_answer(u, answer);
    } else {
        core_forget(u->live);
        drop_payload(u);
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
    mailbox_post(u->gw->mailbox, &u->message); /* open: gateway_stop() waits for all that is pending */
}

void upload_put_row(struct upload *u, struct record *row)
{
    core_put_row(u->gw, row, reservation_key(u->key), on_row, u);
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
        upload_put_row(u, row); /* comes back as handle_committed() */
    else
        record_free(&row);
    return u->live != NULL;
}

/* ---- sealing: pool */

bool upload_describe(struct record *r, const struct spool_file *file)
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

bool upload_seal_file(struct upload *u)
{
    bool durable = u->gw->config->spool.durability == DURABLE_POWER;

    if (!spool_seal(u->file, durable, &u->error))
        return false;
    if (!check_digests(u))
        return false;
    if (!u->record)
        return true;
    u->record->size = u->record->received = spool_size(u->file);
    if (!record_text(&u->record->sha256, u->sha256[0] ? u->sha256 : NULL) || !upload_describe(u->record, u->file))
        return error_set(&u->error, ERR_INTERNAL, "out of memory");
    return true;
}

static void seal_work(uv_work_t *work)
{
    struct upload *u = work->data;

    if (u->unkept)
        spool_abandon(&u->file);
    else if (upload_seal_file(u))
        spool_release(&u->file);
    else if (!u->intake) /* while the transfer does not know, it is there */
        upload_drop_file(u);
}

static void sealed(uv_work_t *work, int status)
{
    struct upload *u = work->data;

    (void)status;
    if (u->intake) {
        upload_sealed_early(u);
        return;
    }
    if (u->error.code == ERR_NONE) {
        record_step(u->record, STEP_LOCAL, "upload complete", "ok", u->record->type);
        if (commit(u))
            return;
        error_set(&u->error, ERR_INTERNAL, "out of memory");
        drop_payload(u);
    }
    u->gw->pending--;
    upload_answer(u, NULL);
}

void upload_seal(struct upload *u)
{
    u->gw->pending++;
    u->work.data = u;
    uv_queue_work(&u->gw->loop, &u->work, seal_work, sealed);
}
