/* xmpp/jingle_ibb.c - see jingle_ibb.h. The order of this file is the order of events. */
#include "xmpp/jingle_ibb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xmpp/ibb.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

enum {
    YIELD_MS = 1500,          /* for the peer to ask first, and again when it turned our question down */
    REPLY_MS = 30 * 1000,     /* for its answer: no person is asked again */
    THEIR_OPEN_MS = 3 * 1000, /* who asked opens, with Dino; by the XEP it is us */
    /* The peer was told the size, and says when it has it all; Gajim, only once we have closed. Were we to close at
     * once, Dino would drop what it has acknowledged and not read yet. */
    LINGER_MS = 1000
};

enum state {
    OFFERED,  /* with the session */
    YIELDING, /* the peer may ask for the change of transport */
    ASKED,    /* we did */
    REJECTED, /* which it turned down */
    AGREED    /* the stream is ibb.c's */
};

struct terms {
    char sid[IBB_SID_MAX]; /* empty: none */
    unsigned block;
};

struct jingle_ibb {
    struct method_host *host;
    struct client *client;
    struct jingle_session *session;
    const struct jingle_transport_events *events;
    void *user;
    struct jid to;
    uv_timer_t timer;
    uint64_t question; /* our transport-replace, or our transport-accept */

    enum state state;
    struct terms ours, theirs; /* theirs: asked for while ours was on its way */
    struct ibb *ibb;
    bool streaming;
};

static void step(struct jingle_ibb *t, enum step_direction direction, const char *name, const char *outcome,
                 const char *detail)
{
    t->host->ops->step(t->host, direction, name, outcome, detail);
}

static void stop(struct jingle_ibb *t)
{
    uv_timer_stop(&t->timer);
    iq_forget(t->client->iq, t->question);
    t->question = 0;
    ibb_destroy(&t->ibb);
}

static void fail(struct jingle_ibb *t, const struct error *why)
{
    stop(t);
    t->events->failed(t->user, why);
}

static void on_timer(uv_timer_t *timer);

static void enter(struct jingle_ibb *t, enum state state, unsigned deadline_ms)
{
    t->state = state;
    uv_timer_start(&t->timer, on_timer, deadline_ms, 0);
}

/* ---- <transport/> elements */

static xmpp_stanza_t *build_transport(const struct jingle_ibb *t, const struct terms *terms)
{
    xmpp_stanza_t *transport = stanza_new(t->client->ctx, "transport", NS_JINGLE_IBB);
    char block[12];

    snprintf(block, sizeof block, "%u", terms->block);
    return stanza_set(stanza_set(transport, "sid", terms->sid), "block-size", block);
}

/* What the peer leaves out is as we would have it; a larger block than ours is ours. */
static bool read_transport(xmpp_stanza_t *transport, const struct terms *ours, struct terms *out)
{
    const char *sid = stanza_attr(transport, "sid"), *block = stanza_attr(transport, "block-size");
    unsigned long size = ours->block;

    if (!transport || (sid && (!*sid || strlen(sid) >= sizeof out->sid)))
        return false;
    if (block && (strspn(block, "0123456789") != strlen(block) || strlen(block) > 9))
        return false;
    if (block)
        size = strtoul(block, NULL, 10);
    snprintf(out->sid, sizeof out->sid, "%s", sid ? sid : ours->sid);
    out->block = size < ours->block ? (unsigned)size : ours->block;
    return out->block >= IBB_BLOCK_MIN;
}

/* ---- the stream */

static void on_stream(void *user, const struct ibb_event *event)
{
    struct jingle_ibb *t = user;

    switch (event->kind) {
    case IBB_WAITING:
        t->events->waiting(t->user);
        break;
    case IBB_OPEN:
        step(t, STEP_RECEIVED, "ibb open", "ok", t->to.text);
        t->host->ops->chose(t->host, "inband", NULL);
        t->events->open(t->user);
        break;
    case IBB_PROGRESS:
        t->events->moved(t->user, event->moved);
        break;
    case IBB_DONE:
        step(t, STEP_RECEIVED, "ibb close", "ok", t->to.text);
        t->events->moved(t->user, event->moved);
        t->events->over(t->user, NULL);
        break;
    case IBB_FAILED:
        step(t, STEP_RECEIVED, "ibb", "error", event->error.text);
        if (!t->streaming) {
            fail(t, &event->error);
            break;
        }
        t->events->moved(t->user, event->moved);
        t->events->over(t->user, &event->error);
        break;
    }
}

static void start(struct jingle_ibb *t, const struct terms *agreed, unsigned yield_ms)
{
    struct ibb_terms terms = {.to = &t->to,
                              .from = jingle_local(t->session),
                              .sid = agreed->sid,
                              .block = agreed->block,
                              .answer_ms = IBB_OPEN_MS,
                              .either = true,
                              .yield_ms = yield_ms,
                              .linger_ms = LINGER_MS};
    struct error err;

    uv_timer_stop(&t->timer);
    t->state = AGREED;
    t->ibb = ibb_open(t->client, &terms, on_stream, t, &err);
    if (!t->ibb)
        fail(t, &err);
}

void jingle_ibb_stream(struct jingle_ibb *t, int fd, uint64_t offset, uint64_t length)
{
    t->streaming = true;
    ibb_send(t->ibb, fd, offset, length);
}

/* ---- offered with the session */

xmpp_stanza_t *jingle_ibb_offer(struct jingle_ibb *t)
{
    t->state = OFFERED;
    return build_transport(t, &t->ours);
}

static void does_not_fit(struct jingle_ibb *t)
{
    struct error err;

    error_set(&err, ERR_PEER_PROTOCOL_ERROR, "%s agreed to an in-band stream that cannot be opened", t->to.text);
    fail(t, &err);
}

void jingle_ibb_accepted(struct jingle_ibb *t, xmpp_stanza_t *transport)
{
    struct terms agreed;

    if (read_transport(transport, &t->ours, &agreed)) {
        memcpy(agreed.sid, t->ours.sid, sizeof agreed.sid);
        start(t, &agreed, 0);
    } else {
        does_not_fit(t);
    }
}

/* ---- instead of another transport, XEP-0166 section 6.10 */

void jingle_ibb_fall_back(struct jingle_ibb *t)
{
    enter(t, YIELDING, YIELD_MS);
}

static void refused(struct jingle_ibb *t, const char *how)
{
    struct error err;

    error_set(&err, ERR_IBB_REFUSED, "%s does not go on in-band (%.80s)", t->to.text, how);
    fail(t, &err);
}

/* Dino 0.4 asks for what it then does not take, and says so. */
static void on_accepted(void *user, const struct iq_reply *reply)
{
    struct jingle_ibb *t = user;

    t->question = 0;
    if (reply->outcome == IQ_ERROR && !t->streaming)
        refused(t, reply->text[0] ? reply->text : reply->condition);
}

static void accept_theirs(struct jingle_ibb *t)
{
    struct error err;

    iq_forget(t->client->iq, t->question);
    t->question = jingle_send(t->session, "transport-accept",
                              jingle_content(t->session, build_transport(t, &t->theirs)), on_accepted, t, &err);
    if (!t->question) {
        fail(t, &err);
        return;
    }
    step(t, STEP_SENT, "transport-accept", "", "in-band");
    start(t, &t->theirs, THEIR_OPEN_MS);
}

/* Ours came to nothing. Its own may be here already, or be on its way. */
static void take_theirs(struct jingle_ibb *t)
{
    if (t->theirs.sid[0])
        accept_theirs(t);
    else
        enter(t, REJECTED, YIELD_MS);
}

static void on_asked(void *user, const struct iq_reply *reply)
{
    struct jingle_ibb *t = user;
    struct error err;

    t->question = 0;
    if (reply->outcome == IQ_RESULT || reply->outcome == IQ_DISCONNECTED || t->state != ASKED)
        return;
    if (reply->outcome == IQ_ERROR) { /* a tie, say: it asked before it heard us */
        take_theirs(t);
        return;
    }
    iq_error(reply, t->to.text, &err);
    fail(t, &err);
}

static void ask(struct jingle_ibb *t)
{
    struct error err;

    t->question = jingle_send(t->session, "transport-replace", jingle_content(t->session, build_transport(t, &t->ours)),
                              on_asked, t, &err);
    if (!t->question) {
        fail(t, &err);
        return;
    }
    step(t, STEP_SENT, "transport-replace", "", "in-band");
    enter(t, ASKED, REPLY_MS);
}

static void on_timer(uv_timer_t *timer)
{
    struct jingle_ibb *t = timer->data;

    switch (t->state) {
    case YIELDING:
        ask(t);
        break;
    case ASKED:
        if (t->theirs.sid[0])
            accept_theirs(t);
        else
            refused(t, "no answer");
        break;
    case REJECTED:
        refused(t, "transport-reject");
        break;
    case OFFERED:
    case AGREED:
        break;
    }
}

/* ---- what the peer says of it */

static xmpp_stanza_t *inband_of(const struct jingle_request *r)
{
    return stanza_child(r->content, "transport", NS_JINGLE_IBB);
}

bool jingle_ibb_is_asked_for(const struct jingle_request *r)
{
    return r->action == JINGLE_TRANSPORT_REPLACE && inband_of(r);
}

static void take_replace(struct jingle_ibb *t, struct jingle_request *r)
{
    bool awaited = t->state == YIELDING || t->state == ASKED || t->state == REJECTED;
    struct terms theirs;

    if (!awaited || t->theirs.sid[0] || !read_transport(inband_of(r), &t->ours, &theirs)) {
        jingle_reject_transport(t->session, r);
        return;
    }
    jingle_ack(r);
    step(t, STEP_RECEIVED, "transport-replace", "ok", "in-band");
    t->theirs = theirs;
    if (t->state != ASKED)
        accept_theirs(t);
}

/* It took ours after all. */
static void reject_theirs(struct jingle_ibb *t)
{
    xmpp_stanza_t *transport;

    if (!t->theirs.sid[0])
        return;
    transport = stanza_set(stanza_new(t->client->ctx, "transport", NS_JINGLE_IBB), "sid", t->theirs.sid);
    jingle_send(t->session, "transport-reject", jingle_content(t->session, transport), NULL, NULL, NULL);
}

static void take_accept(struct jingle_ibb *t, struct jingle_request *r)
{
    struct terms agreed;

    if (t->state != ASKED) {
        jingle_refuse_order(r);
        return;
    }
    jingle_ack(r);
    step(t, STEP_RECEIVED, "transport-accept", "ok", "in-band");
    reject_theirs(t);
    if (read_transport(inband_of(r), &t->ours, &agreed)) {
        memcpy(agreed.sid, t->ours.sid, sizeof agreed.sid); /* whatever it says: it was asked about ours */
        start(t, &agreed, 0);
    } else {
        does_not_fit(t);
    }
}

static void take_reject(struct jingle_ibb *t, struct jingle_request *r)
{
    if (t->state != ASKED) {
        jingle_refuse_order(r);
        return;
    }
    jingle_ack(r);
    step(t, STEP_RECEIVED, "transport-reject", "error", "in-band");
    take_theirs(t);
}

void jingle_ibb_request(struct jingle_ibb *t, struct jingle_request *r)
{
    switch (r->action) {
    case JINGLE_TRANSPORT_REPLACE:
        take_replace(t, r);
        break;
    case JINGLE_TRANSPORT_ACCEPT:
    case JINGLE_SESSION_ACCEPT_AGAIN:
        take_accept(t, r);
        break;
    case JINGLE_TRANSPORT_REJECT:
        take_reject(t, r);
        break;
    case JINGLE_TRANSPORT_INFO: /* late news of the first transport: this one has none to tell */
        jingle_ack(r);
        break;
    case JINGLE_SESSION_ACCEPT:
    case JINGLE_SESSION_INFO:
        break; /* the session's */
    }
}

/* ---- life */

struct jingle_ibb *jingle_ibb_create(struct method_host *host, struct client *client, struct jingle_session *session,
                                     const struct jid *to, const char *sid,
                                     const struct jingle_transport_events *events, void *user, struct error *err)
{
    struct jingle_ibb *t = calloc(1, sizeof *t);

    if (!t) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    t->host = host;
    t->client = client;
    t->session = session;
    t->events = events;
    t->user = user;
    jid_copy(&t->to, to);
    t->ours.block = IBB_BLOCK;
    snprintf(t->ours.sid, sizeof t->ours.sid, "%s", sid);
    uv_timer_init(host->loop, &t->timer);
    t->timer.data = t;
    return t;
}

static void free_transport(uv_handle_t *timer)
{
    free(timer->data);
}

void jingle_ibb_destroy(struct jingle_ibb **t)
{
    if (!*t)
        return;
    stop(*t);
    uv_close((uv_handle_t *)&(*t)->timer, free_transport);
    *t = NULL;
}
