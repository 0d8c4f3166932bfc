/* gateway/transfer_method.c - the method at work for a transfer: what it reports, the file it gets, its end. */
#include "gateway/transfer_parts.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "gateway/links.h"

/* ---- the host, as methods see it */

static void note_link(struct record *r, const struct method_report *report)
{
    record_text(&r->link_at, report->link_at);
    if (report->own_link)
        return;
    record_text(&r->link_digest, NULL);
    r->link_expires = 0;
}

/* From the first byte on, no other device and no other method of this round will do. */
static void begin_bytes(struct transfer *t)
{
    record_step(t->record, STEP_SENT, "first byte", "", "");
    if (t->ops && !t->ops->offline)
        transfer_forget_recipient(t);
}

static void host_report(struct method_host *host, const struct method_report *report)
{
    struct transfer *t = (struct transfer *)host;

    switch (report->event) {
    case METHOD_WAITING:
        transfer_arm_timer(t);
        break;
    case METHOD_ACCEPTED:
        transfer_post(t, EV_ACCEPTED, NULL, PROOF_NONE);
        break;
    case METHOD_SWITCHED:
        transfer_post(t, EV_SWITCHED, &report->error, PROOF_NONE);
        break;
    case METHOD_STREAM_OPEN:
        transfer_post(t, EV_STREAM_OPEN, NULL, PROOF_NONE);
        break;
    case METHOD_PROGRESS:
        if (t->record->sent == 0 && report->moved > 0)
            begin_bytes(t);
        t->record->sent = report->moved;
        t->record->updated = clock_wall_ms();
        t->env->changed(t->env->user, t, SAVE_NEVER);
        break;
    case METHOD_COMPLETE:
        t->record->sent = report->moved;
        t->ahead = t->feed != NULL;
        t->proof = report->proof;
        if (!t->ahead)
            transfer_post(t, EV_COMPLETE, NULL, report->proof);
        break;
    case METHOD_LINK_SENT:
        t->record->sent = report->moved;
        note_link(t->record, report);
        transfer_post(t, EV_LINK_SENT, NULL, PROOF_NONE);
        break;
    case METHOD_FAILED:
        if (report->retry_at > t->retry_at)
            t->retry_at = report->retry_at;
        transfer_post(t, EV_METHOD_FAILED, &report->error, PROOF_NONE);
        break;
    }
}

static void host_step(struct method_host *host, enum step_direction direction, const char *name, const char *outcome,
                      const char *detail)
{
    transfer_step((struct transfer *)host, direction, name, outcome, detail);
}

static void host_chose(struct method_host *host, const char *path, const char *streamhost)
{
    struct transfer *t = (struct transfer *)host;

    snprintf(t->record->path, sizeof t->record->path, "%s", path);
    record_text(&t->record->streamhost, streamhost);
    t->env->changed(t->env->user, t, SAVE_NEVER);
}

static bool host_publish(struct method_host *host, char url[static METHOD_URL], struct error *err)
{
    struct transfer *t = (struct transfer *)host;
    const struct config *c = t->env->config;
    char digest[LINK_DIGEST];

    if (!c->server.public_url)
        return error_set(err, ERR_METHOD_UNSUPPORTED, "there is no [server] public_url to make a link of");
    if (!link_make(c->server.public_url, t->record->name, url, METHOD_URL, digest) ||
        !record_text(&t->record->link_digest, digest))
        return error_set(err, ERR_INTERNAL, "no link could be made");
    t->record->link_expires = clock_wall_ms() + c->delivery.link_ttl;
    t->env->changed(t->env->user, t, SAVE_NOW);
    return true;
}

const struct method_host_ops transfer_host_ops = {
    .report = host_report, .step = host_step, .chose = host_chose, .publish = host_publish};

/* ---- the file, once a stream is open */

static void on_digest(void *user, const char *sha256)
{
    struct transfer *t = user;

    t->digest = NULL;
    if (sha256) {
        record_text(&t->record->sha256, sha256);
        t->host.sha256 = t->record->sha256;
        t->env->changed(t->env->user, t, SAVE_NOW);
    }
    t->ops->digest(t->method, sha256);
}

/* Of a whole file, so that it is read once. */
static void start_digest(struct transfer *t)
{
    if (!t->ops->digest || t->hashing || t->told_hash)
        return;
    t->hashing = true;
    if (t->record->sha256) {
        t->ops->digest(t->method, t->record->sha256);
        return;
    }
    if (transfer_may_digest(t))
        t->digest = digest_start(t->env->loop, t->file, t->record->size, on_digest, t);
    if (!t->digest)
        t->ops->digest(t->method, NULL);
}

/* A method that cannot follow has its stream open and waits: for EV_UPLOADED. */
void transfer_start_stream(struct transfer *t, const struct pending *p)
{
    struct error error;

    (void)p;
    if (t->feed && !t->ops->follows) {
        transfer_step(t, STEP_LOCAL, "waiting", "", "for the end of the upload");
        return;
    }
    t->file = spool_share(t->env->spool, t->record->id, &error);
    if (!t->file) {
        transfer_post(t, EV_METHOD_FAILED, &error, PROOF_NONE);
        return;
    }
    t->host.feed = t->feed;
    t->streaming = true;
    t->once = t->record->mode == MODE_STREAM;
    t->ops->stream(t->method, t->file);
    if (!t->feed)
        start_digest(t);
}

void transfer_go_on_whole(struct transfer *t, const struct pending *p)
{
    if (!t->streaming)
        transfer_start_stream(t, p);
    else if (t->ahead)
        transfer_post(t, EV_COMPLETE, NULL, t->proof);
    else
        start_digest(t);
}

/* ---- its end */

void transfer_drop_work(struct transfer *t, const struct error *why)
{
    transfer_forget_method_events(t);
    if (t->finding)
        t->env->network->ops->forget(t->env->network, t->finding);
    t->finding = 0;
    digest_cancel(&t->digest);
    t->streaming = t->hashing = t->ahead = false;
    if (t->method)
        t->ops->end(&t->method, why);
    t->ops = NULL;
    t->host.feed = NULL;
    shared_fd_release(&t->file);
}
