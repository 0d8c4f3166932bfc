#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/trace.h"
#include "gateway/core.h"
#include "gateway/links.h"

void download_free(struct download *d)
{
    fd_close(&d->fd);
    free(d->type);
    d->type = NULL;
}

/* ---- from a link to the file: asked on any thread; core knows those that can be fetched, the store those that could
 */

struct fetch {
    struct message message;
    uv_work_t work;
    struct gateway *gw;
    char digest[LINK_DIGEST];
    char *name;
    gateway_download_fn *done;
    void *user;
    struct download download;
    struct error error;
};

static void fetch_answer(struct fetch *f)
{
    bool ok = f->error.code == ERR_NONE;

    f->done(f->user, ok ? &f->download : NULL, ok ? NULL : &f->error);
    download_free(&f->download);
    free(f->name);
    free(f);
}

static bool no_such_link(struct error *err)
{
    return error_set(err, ERR_NOT_FOUND, "there is no such link");
}

static bool link_over(struct error *err)
{
    return error_set(err, ERR_GONE, "the file can no longer be fetched by this link");
}

/* Whether there was such a link: pool. */
static void look_back(uv_work_t *work)
{
    struct fetch *f = work->data;
    const struct record_filter filter = {.link = f->digest, .limit = 1};
    struct record_list list = {0};

    if (!store_list(f->gw->store, &filter, &list, &f->error))
        return;
    if (list.count > 0 && strcmp(list.items[0]->name, f->name) == 0)
        link_over(&f->error);
    else
        no_such_link(&f->error);
    record_list_free(&list);
}

static void looked_back(uv_work_t *work, int status)
{
    struct fetch *f = work->data;

    (void)status;
    f->gw->pending--;
    fetch_answer(f);
}

/* The descriptor is the download's own: the payload may be deleted meanwhile. */
static bool open_link(struct fetch *f, const struct link *link)
{
    struct download *d = &f->download;
    struct spool_file *file;

    if (strcmp(link->name, f->name) != 0)
        return no_such_link(&f->error);
    file = spool_reopen(f->gw->spool, link->id, &f->error);
    if (!file)
        return f->error.code == ERR_NOT_FOUND ? link_over(&f->error) : false;
    d->fd = dup(spool_fd(file));
    spool_release(&file);
    d->type = strdup(link->type);
    if (d->fd < 0 || !d->type)
        return error_set(&f->error, ERR_INTERNAL, "out of descriptors or memory");
    memcpy(d->id, link->id, sizeof d->id);
    d->size = link->size;
    d->modified = link->made;
    memcpy(d->tag, link->digest, sizeof d->tag - 1);
    return true;
}

static void handle_fetch(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct fetch *f = (struct fetch *)m;
    const struct link *link = links_find(gw->links, f->digest);

    if (link && link->expires > clock_wall_ms()) {
        open_link(f, link);
        fetch_answer(f);
        return;
    }
    f->work.data = f;
    gw->pending++;
    uv_queue_work(&gw->loop, &f->work, look_back, looked_back);
}

static void refuse_fetch(struct message *m)
{
    struct fetch *f = (struct fetch *)m;

    error_set(&f->error, ERR_DRAINING, "the gateway is stopping");
    fetch_answer(f);
}

void gateway_download(struct gateway *gw, const char *secret, const char *name, gateway_download_fn *done, void *user)
{
    struct fetch *f = calloc(1, sizeof *f);
    struct error error;

    if (!f || !(f->name = strdup(name))) {
        free(f);
        error_set(&error, ERR_INTERNAL, "out of memory");
        done(user, NULL, &error);
        return;
    }
    f->message.handle = handle_fetch;
    f->message.discard = refuse_fetch;
    f->gw = gw;
    f->done = done;
    f->user = user;
    f->download.fd = -1;
    if (!link_digest(secret, f->digest)) {
        no_such_link(&f->error);
        fetch_answer(f);
    } else if (!mailbox_post(gw->mailbox, &f->message)) {
        refuse_fetch(&f->message);
    }
}

/* ---- what changes in the record of a finished transfer: read, changed and written one after the other, so that none
 * overwrites another */

enum what { FETCHED, REVOKED };

struct link_change {
    struct message message;
    uv_work_t work;
    struct link_change *next;
    struct gateway *gw;
    char id[ID_SIZE];
    enum what what;
    gateway_record_fn *done; /* NULL: nobody waits for it */
    void *user;
    struct record *record;
    struct error error;
};

static void begin_change(struct gateway *gw);

static void end_change(struct link_change *c)
{
    struct gateway *gw = c->gw;
    struct link *link = links_of(gw->links, c->id);
    bool ok = c->error.code == ERR_NONE;

    gw->pending--;
    if (!ok)
        log_error("link.not_noted", log_str("transfer", c->id), log_str("error", c->error.text));
    if (ok && c->what == REVOKED && link) {
        links_drop(gw->links, link);
        core_remove_payload(gw, c->id);
    }
    if (ok && c->what == FETCHED)
        core_tell_end(gw, record_snapshot(c->record));
    if (c->done)
        c->done(c->user, ok ? c->record : NULL, ok ? NULL : &c->error);
    else
        record_free(&c->record);
    LL_DELETE(gw->changes, c);
    free(c);
    if (gw->changes)
        begin_change(gw);
}

static void handle_written(void *owner, struct message *m)
{
    (void)owner;
    end_change((struct link_change *)m);
}

/* Writer's thread. */
static void on_written(void *user, const struct error *err)
{
    struct link_change *c = user;

    if (err)
        c->error = *err;
    c->message.handle = handle_written;
    mailbox_post(c->gw->mailbox, &c->message); /* open: gateway_stop() waits for all that is pending */
}

static void apply(struct record *r, enum what what)
{
    r->updated = clock_wall_ms();
    if (what == REVOKED) {
        r->link_expires = r->updated;
        record_step(r, STEP_LOCAL, "link revoked", "ok", "");
        return;
    }
    r->state = TRANSFER_LINK_FETCHED;
    r->link_fetched = r->updated;
    r->sent = r->size;
    record_step(r, STEP_LOCAL, "link fetched", "ok", "");
}

static void read_record(uv_work_t *work)
{
    struct link_change *c = work->data;

    c->record = store_get(c->gw->store, c->id, &c->error);
}

static void record_read(uv_work_t *work, int status)
{
    struct link_change *c = work->data;
    struct record *row = NULL;
    char trace[TRACE_ID];

    (void)status;
    if (c->record) {
        apply(c->record, c->what);
        row = record_copy(c->record);
        if (!row)
            error_set(&c->error, ERR_INTERNAL, "out of memory");
    }
    if (row) {
        log_info("transfer.link", log_str("transfer", c->id),
                 log_str("link", c->what == FETCHED ? "fetched" : "revoked"),
                 log_opt("trace_id", trace_id(row->traceparent, trace)));
        if (c->what == FETCHED) {
            metric_add(METRIC_TRANSFERS, 1, transfer_state_name(TRANSFER_LINK_FETCHED), error_name(ERR_NONE));
            core_put_row(c->gw, row, NULL, on_written, c);
        } else {
            store_put(c->gw->store, row, on_written, c);
        }
    } else {
        record_free(&c->record);
        end_change(c);
    }
}

static void begin_change(struct gateway *gw)
{
    gw->changes->work.data = gw->changes;
    uv_queue_work(&gw->loop, &gw->changes->work, read_record, record_read);
}

static void change(struct gateway *gw, const char *id, enum what what, gateway_record_fn *done, void *user)
{
    struct link_change *c = calloc(1, sizeof *c);
    struct error error;
    bool idle = !gw->changes;

    if (!c) {
        error_set(&error, ERR_INTERNAL, "out of memory");
        if (done)
            done(user, NULL, &error);
        return;
    }
    c->gw = gw;
    memcpy(c->id, id, ID_SIZE);
    c->what = what;
    c->done = done;
    c->user = user;
    gw->pending++;
    LL_APPEND(gw->changes, c);
    if (idle)
        begin_change(gw);
}

/* ---- what was fetched */

struct fetched {
    struct message message;
    char id[ID_SIZE];
    uint64_t from, to;
};

/* Before the transfer's end is committed it waits for that: downloads_keep(). */
static void handle_fetched(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct fetched *f = (struct fetched *)m;
    struct link *link = links_of(gw->links, f->id);

    if (link && link_covers(link, f->from, f->to) && link->settled)
        change(gw, link->id, FETCHED, NULL, NULL);
    free(f);
}

void gateway_downloaded(struct gateway *gw, const char *id, uint64_t from, uint64_t to)
{
    struct fetched *f = calloc(1, sizeof *f);

    if (!f)
        return; /* less is claimed than happened */
    f->message.handle = handle_fetched;
    memcpy(f->id, id, ID_SIZE);
    f->from = from;
    f->to = to;
    if (!mailbox_post(gw->mailbox, &f->message))
        free(f);
}

/* ---- for core*.c and gateway.c */

bool downloads_recover(struct gateway *gw, struct error *err)
{
    struct record_filter filter = {.linked = clock_wall_ms(), .limit = 100};
    struct record_list list = {0};
    char before[ID_SIZE];
    bool more = true;

    while (more) {
        if (!store_list(gw->store, &filter, &list, err))
            return false;
        for (size_t i = 0; i < list.count; i++) {
            struct link *link = links_put(gw->links, list.items[i]);

            if (!link) {
                record_list_free(&list);
                return error_set(err, ERR_SYSTEM, "out of memory");
            }
            link->settled = true;
            memcpy(before, link->id, sizeof before);
        }
        filter.before = before;
        more = list.more;
        record_list_free(&list);
    }
    return true;
}

bool downloads_claim(struct gateway *gw, const char *id)
{
    return links_of(gw->links, id) != NULL;
}

void downloads_follow(struct gateway *gw, const struct record *r)
{
    const struct link *link = r->link_digest ? links_of(gw->links, r->id) : NULL;

    if (r->link_digest && (!link || strcmp(link->digest, r->link_digest) != 0) && !links_put(gw->links, r))
        log_error("link.lost", log_str("transfer", r->id), log_str("error", "out of memory"));
}

bool downloads_keep(struct gateway *gw, const struct record *r)
{
    struct link *link = links_of(gw->links, r->id);

    if (!link)
        return false;
    if (r->state != TRANSFER_LINK_SENT || !r->link_digest) {
        links_drop(gw->links, link);
        return false;
    }
    link->settled = true;
    if (link->fetched)
        change(gw, link->id, FETCHED, NULL, NULL);
    if (link->revoked)
        change(gw, link->id, REVOKED, NULL, NULL);
    return true;
}

void downloads_expire(struct gateway *gw)
{
    int64_t now = clock_wall_ms();
    struct link *link;

    while ((link = links_expired(gw->links, now))) {
        log_info("transfer.link", log_str("transfer", link->id), log_str("link", "expired"));
        core_remove_payload(gw, link->id);
        links_drop(gw->links, link);
    }
}

bool downloads_revoke(struct gateway *gw, const char *id, gateway_record_fn *done, void *user)
{
    struct link *link = links_of(gw->links, id);

    if (!link)
        return false;
    if (!link->settled) { /* cancelling, or too late for that and not yet committed */
        link->revoked = true;
        return false;
    }
    change(gw, id, REVOKED, done, user);
    return true;
}
