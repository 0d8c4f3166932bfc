/* xmpp/target.c - see target.h and target_parts.h. */
#include "xmpp/target.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "xmpp/ns.h"
#include "xmpp/stanza.h"
#include "xmpp/target_parts.h"

static const struct receiver_ops *ops_of(const struct target_file *f)
{
    return f->home->client->receiver->ops;
}

bool target_receives(const struct target *t, const struct jid *local)
{
    const struct receiver *r = t->client->receiver;

    return r && r->ops->receives(r, local);
}

struct target_file *target_find(struct target *t, const struct jid *local, const struct jid *peer, const char *sid)
{
    struct target_file *f;

    DL_FOREACH(t->files, f)
    if (strcmp(f->sid, sid) == 0 && jid_equal(f->peer, peer) && jid_equal(f->local, local))
        return f;
    return NULL;
}

void target_step(struct target_file *f, enum step_direction direction, const char *name, const char *outcome,
                 const char *detail)
{
    ops_of(f)->step(f->reception, direction, name, outcome, detail);
}

/* ---- the end */

static void free_file(uv_handle_t *timer)
{
    struct target_file *f = timer->data;

    free(f->local);
    free(f->peer);
    free(f->sid);
    free(f);
}

static void drop(struct target_file *f)
{
    struct target *t = f->home;

    target_s5b_end(f);
    ibb_in_destroy(&f->inband);
    DL_DELETE(t->files, f);
    t->count--;
    uv_close((uv_handle_t *)&f->timer, free_file);
    target_s5b_turn(t);
}

void target_end(struct target_file *f, const struct error *why)
{
    const struct receiver_ops *ops = ops_of(f);
    struct reception *re = f->reception;

    drop(f);
    ops->end(&re, why);
}

static void on_checked(void *user, const struct error *err)
{
    struct target_file *f = user;

    target_end(f, err);
}

void target_complete(struct target_file *f, uint64_t moved, bool extra)
{
    f->state = TARGET_CHECKING;
    uv_timer_stop(&f->timer);
    ops_of(f)->complete(f->reception, moved, NULL, NULL, extra, on_checked, f);
}

static void on_timer(uv_timer_t *timer)
{
    struct target_file *f = timer->data;
    struct error err;

    if (f->state == TARGET_DIALLING || f->state == TARGET_LOST) {
        target_s5b_timeout(f);
        return;
    }
    if (f->state == TARGET_FLOWING) { /* an empty file, see target_s5b.c */
        target_complete(f, 0, false);
        return;
    }
    error_set(&err, ERR_STALLED, "%s did not begin the stream that was agreed on", f->peer->text);
    target_end(f, &err);
}

void target_in(struct target_file *f, unsigned ms)
{
    uv_timer_start(&f->timer, on_timer, ms, 0);
}

/* ---- in-band */

static bool on_opened(void *user, uint64_t *most, struct error *err)
{
    struct target_file *f = user;

    if (f->state != TARGET_ANNOUNCED)
        return error_set(err, ERR_PEER_PROTOCOL_ERROR, "%s opened a stream in-band beside another", f->peer->text);
    if (!ops_of(f)->begin(f->reception, f->offset, most, err)) {
        target_end(f, err);
        return false;
    }
    uv_timer_stop(&f->timer);
    f->state = TARGET_INBAND;
    f->takes_s5b = false;
    ops_of(f)->chose(f->reception, "inband", NULL);
    target_step(f, STEP_RECEIVED, "ibb open", "ok", f->peer->text);
    return true;
}

static bool on_bytes(void *user, const void *data, size_t len, struct error *err)
{
    struct target_file *f = user;

    return ops_of(f)->write(f->reception, data, len, err);
}

static void on_closed(void *user, uint64_t moved, bool extra)
{
    struct target_file *f = user;

    target_step(f, STEP_RECEIVED, "ibb close", "ok", "");
    target_complete(f, moved, extra);
}

static void on_failed(void *user, const struct error *why, uint64_t moved)
{
    (void)moved; /* write() knows */
    target_end(user, why);
}

bool target_expect_inband(struct target_file *f)
{
    static const struct ibb_in_events events = {on_opened, on_bytes, on_closed, on_failed};
    struct client *c = f->home->client;
    struct ibb_in_terms terms = {.local = f->local, .peer = f->peer, .sid = f->sid, .idle_ms = TARGET_IDLE_MS};

    f->inband = ibb_in_expect(c, &terms, &events, f, NULL);
    return f->inband != NULL;
}

/* XEP-0047 with nothing before it. */
static bool take_stranger(void *user, const struct jid *local, const struct jid *peer, const char *sid)
{
    struct target *t = user;
    struct incoming offer = {.from = peer, .to = local, .method = "ibb", .size = -1};
    struct target_file *f;
    struct error err;

    if (!target_receives(t, local) || sid[0] == '\0' || strlen(sid) > TARGET_SID || target_find(t, local, peer, sid))
        return false;
    f = target_take(t, &offer, sid, &err);
    if (!f)
        return false;
    if (target_expect_inband(f))
        return true;
    error_set(&err, ERR_INTERNAL, "out of memory");
    target_end(f, &err);
    return false;
}

/* ---- the beginning */

static void on_revoked(void *user, const struct error *why)
{
    target_end(user, why);
}

static bool has_too_much(const struct target *t, const struct jid *peer)
{
    struct target_file *f;
    unsigned count = 0;

    DL_FOREACH(t->files, f)
    count += f->state <= TARGET_LOST && jid_same_bare(f->peer, peer);
    return t->count >= TARGET_FILES || count >= TARGET_PER_PEER;
}

static struct target_file *make(struct target *t, const struct incoming *offer, const char *sid)
{
    struct target_file *f = calloc(1, sizeof *f);

    if (!f)
        return NULL;
    f->home = t;
    f->local = jid_dup(offer->to);
    f->peer = jid_dup(offer->from);
    f->sid = strdup(sid);
    uv_timer_init(t->client->loop, &f->timer);
    f->timer.data = f;
    DL_APPEND(t->files, f);
    t->count++;
    if (f->local && f->peer && f->sid)
        return f;
    drop(f);
    return NULL;
}

struct target_file *target_take(struct target *t, const struct incoming *offer, const char *sid, struct error *err)
{
    static const struct reception_events events = {on_revoked};
    struct receiver *r = t->client->receiver;
    struct target_file *f;

    if (has_too_much(t, offer->from)) {
        error_set(err, ERR_RATE_LIMITED, "too many files of %s are under way", offer->from->text);
        return NULL;
    }
    f = make(t, offer, sid);
    if (!f) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    f->reception = r->ops->offered(r, offer, &events, f, err);
    if (!f->reception) {
        drop(f);
        return NULL;
    }
    f->offset = r->ops->offset(f->reception);
    target_in(f, TARGET_BEGIN_MS);
    return f;
}

/* ---- all of them */

void target_offline(struct target *t)
{
    struct target_file *f, *next;
    struct error err;

    error_set(&err, ERR_XMPP_DISCONNECTED, "the XMPP connection ended while the file was being sent to us");
    DL_FOREACH_SAFE(t->files, f, next)
    if (f->state != TARGET_FLOWING && f->state != TARGET_CHECKING)
        target_end(f, &err);
}

struct target *target_create(struct client *c)
{
    struct target *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->client = c;
    iq_serve(c->iq, "set", NS_SI, target_serve_si, t);
    iq_serve(c->iq, "set", NS_BYTESTREAMS, target_serve_s5b, t);
    ibb_in_on_stranger(c->ibb_in, take_stranger, t);
    return t;
}

void target_destroy(struct target **t)
{
    struct error err;

    if (!*t)
        return;
    error_set(&err, ERR_DRAINING, "the gateway is stopping");
    while ((*t)->files)
        target_end((*t)->files, &err);
    ibb_in_on_stranger((*t)->client->ibb_in, NULL, NULL);
    free(*t);
    *t = NULL;
}
