/* gateway/batch.c - several files, or several recipients, of one call: gateway_parcel_finish() in gateway.h.
 *
 * Each file is sealed once and gets a name in the spool for each of its transfers; then all rows are committed as one.
 * What fails on the way leaves nothing; a crash before the commit leaves files that the sweep removes, and no rows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "gateway/partial.h"
#include "gateway/source_path.h"
#include "gateway/source_url.h"
#include "gateway/batch_parts.h"

size_t batch_count(const struct batch *b)
{
    return b->files * b->recipients;
}

void batch_free(struct batch *b)
{
    for (size_t i = 0; b->uploads && i < b->files; i++) {
        if (!b->uploads[i])
            continue;
        upload_drop_file(b->uploads[i]);
        upload_free(b->uploads[i]);
    }
    for (size_t i = 0; b->records && i < batch_count(b); i++)
        record_free(&b->records[i]);
    record_list_free(&b->answer);
    free(b->path);
    free(b->url);
    free(b->uploads);
    free(b->records);
    free(b->lives);
    free(b);
}

/* The first name of a file that came in parts stays if nothing comes of it: they take it back. */
static bool is_of_parts(const struct batch *b, size_t i)
{
    return b->uploads && i % b->recipients == 0 && b->uploads[i / b->recipients]->partial;
}

static void settle_parts(struct batch *b)
{
    for (size_t i = 0; b->uploads && i < b->files; i++) {
        struct upload *u = b->uploads[i];

        if (!u || !u->partial)
            continue;
        if (b->error.code == ERR_NONE)
            partial_became_transfer(&u->partial);
        else
            partial_take_back(&u->partial, &u->file, &b->error);
    }
}

/* As of an upload: whoever has the answer may ask again at once. */
void batch_answer(struct batch *b)
{
    gateway_release(&b->key);
    settle_parts(b);
    b->done(b->user, &b->answer, b->error.code == ERR_NONE ? NULL : &b->error);
}

static void end(struct batch *b)
{
    batch_answer(b);
    batch_free(b);
}

/* ---- the rows */

static void handle_committed(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct batch *b = (struct batch *)m;
    bool failed = b->error.code != ERR_NONE;

    gw->pending--;
    for (size_t i = 0; i < batch_count(b); i++) {
        if (!failed) {
            core_begin(b->lives[i]);
            continue;
        }
        if (!is_of_parts(b, i))
            core_remove_payload(gw, core_record(b->lives[i])->id);
        core_forget(b->lives[i]);
    }
    if (failed)
        record_list_free(&b->answer);
    end(b);
}

/* Writer's thread. */
static void on_rows(void *user, const struct error *err)
{
    struct batch *b = user;

    if (err)
        b->error = *err;
    b->message.handle = handle_committed;
    mailbox_post(b->gw->mailbox, &b->message); /* open: gateway_stop() waits for all that is pending */
}

bool batch_copy(const struct batch *b, struct record **to)
{
    for (size_t i = 0; i < batch_count(b); i++)
        if (!(to[i] = record_copy(b->records[i])))
            return false;
    return true;
}

bool batch_prepare(struct batch *b)
{
    for (size_t i = 0; i < batch_count(b); i++) {
        struct record *r = b->records[i];

        if (transfer_state_final(r->state)) /* cancelled while it was fetched */
            continue;
        b->records[i] = NULL;
        if (!(b->lives[i] = core_prepare(b->gw, r, NULL)))
            return false;
    }
    return true;
}

/* Everything that may fail for want of memory is done before the rows are written: afterwards they are promised. */
static bool commit(struct batch *b)
{
    size_t n = batch_count(b);
    struct record **rows = n > 0 ? calloc(n, sizeof(struct record *)) : NULL;

    b->answer.items = rows ? calloc(n, sizeof(struct record *)) : NULL;
    b->answer.count = b->answer.items ? n : 0;
    if (!rows || !b->answer.items || !batch_copy(b, rows) || !batch_copy(b, b->answer.items) || !batch_prepare(b)) {
        for (size_t i = 0; rows && i < n; i++)
            record_free(&rows[i]);
        free(rows);
        return false;
    }
    store_put_group(b->gw->store, rows, n, reservation_key(b->key), on_rows, b);
    free(rows);
    return true;
}

/* ---- the files: pool */

static void remove_names(struct batch *b, size_t until)
{
    for (size_t i = 0; i < until; i++)
        if (!is_of_parts(b, i))
            spool_remove(b->gw->spool, b->records[i]->id);
}

/* What was found out of the file, for its other recipients too. */
static bool describe_rest(struct record *const *records, size_t n)
{
    const struct record *first = records[0];

    for (size_t i = 1; i < n; i++) {
        struct record *r = records[i];

        r->size = first->size;
        r->received = first->received;
        if (!record_text(&r->name, first->name) || !record_text(&r->type, first->type) ||
            !record_text(&r->sha256, first->sha256))
            return false;
    }
    return true;
}

static bool link_rest(struct batch *b, struct record *const *records)
{
    const char *names[BATCH_MOST];

    for (size_t i = 1; i < b->recipients; i++)
        names[i - 1] = records[i]->id;
    return b->recipients == 1 || spool_link(b->gw->spool, records[0]->id, names, b->recipients - 1,
                                            b->gw->config->spool.durability == DURABLE_POWER, &b->error);
}

static bool copy_from_path(struct batch *b, struct upload *u)
{
    uint64_t size = 0;
    int fd = b->path ? source_open(b->gw->config->source.path_roots, b->path, &size, &u->error) : -1;
    bool ok = !b->path || fd >= 0;

    if (fd >= 0 && b->most > 0 && size > b->most)
        ok = error_set(&u->error, ERR_BODY_TOO_LARGE, "at most %llu bytes are taken", (unsigned long long)b->most);
    ok = ok && (!b->path || spool_take(u->file, fd, size, &u->error));
    fd_close(&fd);
    return ok;
}

static bool seal_one(struct batch *b, size_t file)
{
    struct record **records = &b->records[file * b->recipients];
    struct upload *u = b->uploads[file];
    bool ok;

    u->record = records[0];
    ok = copy_from_path(b, u) && upload_seal_file(u);
    u->record = NULL;
    if (!ok) {
        b->error = u->error;
        upload_drop_file(u);
        return false;
    }
    spool_release(&u->file);
    ok = describe_rest(records, b->recipients) || error_set(&b->error, ERR_INTERNAL, "out of memory");
    if (ok && link_rest(b, records))
        return true;
    if (!u->partial)
        spool_remove(b->gw->spool, records[0]->id);
    return false;
}

void batch_seal(uv_work_t *work)
{
    struct batch *b = work->data;

    for (size_t i = 0; i < b->files; i++) {
        if (seal_one(b, i))
            continue;
        remove_names(b, i * b->recipients);
        for (size_t k = i + 1; k < b->files; k++)
            upload_drop_file(b->uploads[k]);
        return;
    }
}

/* What has left records, was copied before. */
static void drop_all(struct batch *b)
{
    for (size_t i = 0; i < batch_count(b); i++) {
        if (!is_of_parts(b, i))
            core_remove_payload(b->gw, b->records[i] ? b->records[i]->id : b->answer.items[i]->id);
        if (b->lives[i])
            core_forget(b->lives[i]);
        b->lives[i] = NULL;
    }
}

static void sealed_all(uv_work_t *work, int status)
{
    struct batch *b = work->data;

    (void)status;
    if (b->error.code == ERR_NONE) {
        for (size_t i = 0; i < batch_count(b); i++)
            record_step(b->records[i], STEP_LOCAL, "upload complete", "ok", b->records[i]->type);
        if (commit(b)) /* comes back as handle_committed() */
            return;
        drop_all(b);
        record_list_free(&b->answer);
        error_set(&b->error, ERR_INTERNAL, "out of memory");
    }
    b->gw->pending--;
    end(b);
}

/* ---- the call */

static void handle_batch(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct batch *b = (struct batch *)m;

    gw->pending++;
    b->work.data = b;
    uv_queue_work(&gw->loop, &b->work, batch_seal, sealed_all);
}

static void refuse_batch(struct message *m)
{
    struct batch *b = (struct batch *)m;

    error_set(&b->error, ERR_DRAINING, "the gateway is stopping");
    end(b);
}

/* It is a row before anybody has seen the file. */
static bool name_for_now(struct batch *b, struct record *r)
{
    char name[SOURCE_NAME];

    r->state = TRANSFER_RECEIVING;
    r->upload = UPLOAD_RECEIVING;
    b->named = r->name != NULL;
    if (b->named)
        return true;
    if (!source_url_name(b->url, name))
        snprintf(name, sizeof name, "upload-%s", r->id);
    return record_text(&r->name, name);
}

static bool make_record(struct batch *b, const struct parcel *p, size_t file, size_t recipient)
{
    size_t at = file * b->recipients + recipient;
    struct submission s = p->what[file];
    struct record *r;

    s.to = p->to[recipient];
    if (!gateway_submission_check(b->gw, &s, &b->error))
        return false;
    r = b->records[at] = upload_record(b->uploads[file], &s);
    if (!r || (batch_count(b) > 1 && !record_text(&r->batch, b->id)))
        return error_set(&b->error, ERR_INTERNAL, "out of memory");
    memcpy(r->id, p->ids[at], ID_SIZE);
    r->batch_place = (unsigned)at;
    return !b->url || name_for_now(b, r) || error_set(&b->error, ERR_INTERNAL, "out of memory");
}

static bool make_records(struct batch *b, const struct parcel *p)
{
    for (size_t i = 0; i < b->files; i++) {
        upload_take_digests(b->uploads[i], &p->what[i]);
        for (size_t k = 0; k < b->recipients; k++)
            if (!make_record(b, p, i, k))
                return false;
    }
    return true;
}

/* The key is of the whole, and leads to its first transfer. */
static void take_uploads(struct batch *b, const struct parcel *p)
{
    for (size_t i = 0; i < b->files; i++) {
        b->uploads[i] = p->uploads[i];
        p->uploads[i] = NULL;
    }
    b->key = b->uploads[0]->key;
    b->uploads[0]->key = NULL;
}

static void refuse(const struct parcel *p, gateway_list_fn *done, void *user)
{
    struct record_list none = {0};
    struct error error;

    error_set(&error, ERR_INTERNAL, "out of memory");
    for (size_t i = 0; i < p->files; i++)
        gateway_upload_abort(&p->uploads[i], &error);
    done(user, &none, &error);
}

bool gateway_path_check(const struct gateway *gw, const char *path, struct error *err)
{
    return source_root(gw->config->source.path_roots, path, err) != NULL;
}

bool gateway_url_check(const struct gateway *gw, const char *url, struct error *err)
{
    if (gw->config->source.url_enabled == SOURCE_OFF)
        return error_set(err, ERR_SOURCE_REFUSED, "source.url: files are not fetched by their URL here");
    return source_url_check(gw->config->source.allow_hosts, url, err);
}

void gateway_parcel_finish(struct gateway *gw, const struct parcel *p, gateway_list_fn *done, void *user)
{
    struct batch *b = calloc(1, sizeof *b);

    if (b) {
        *b = (struct batch){.message = {.handle = handle_batch, .discard = refuse_batch},
                            .gw = gw,
                            .files = p->files,
                            .recipients = p->recipients,
                            .most = p->most,
                            .done = done,
                            .user = user};
        b->uploads = calloc(b->files, sizeof(struct upload *));
        b->records = calloc(batch_count(b), sizeof(struct record *));
        b->lives = calloc(batch_count(b), sizeof(struct live *));
    }
    if (b && p->path)
        b->path = strdup(p->path);
    if (b && p->url)
        b->url = strdup(p->url);
    if (b && b->url)
        b->message.handle = batch_fetch;
    if (!b || !b->uploads || !b->records || !b->lives || (p->path && !b->path) || (p->url && !b->url)) {
        if (b)
            batch_free(b);
        refuse(p, done, user);
        return;
    }
    id_make(b->id, "ba", clock_wall_ms());
    take_uploads(b, p);
    if (!make_records(b, p))
        end(b);
    else if (!mailbox_post(gw->mailbox, &b->message))
        refuse_batch(&b->message);
}
