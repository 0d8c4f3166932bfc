/* xmpp/jingle_s5b.c - see jingle_s5b.h. The order of this file is the order of events. */
#include "xmpp/jingle_s5b.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "xmpp/candidate_dial.h"
#include "xmpp/candidates.h"
#include "xmpp/ns.h"
#include "xmpp/proxies.h"
#include "xmpp/s5b_activation.h"
#include "xmpp/s5b_hosts.h"
#include "xmpp/s5b_name.h"
#include "xmpp/stanza.h"

enum {
    CANDIDATE_MS = 15 * 1000,   /* for us to reach one after the last was told; for the peer to report, if need be */
    PER_HOST_MS = 30 * 1000,    /* what the slowest clients give one of our candidates */
    REPORT_MIN_MS = 60 * 1000,  /* for all of them together */
    REPORT_MAX_MS = 180 * 1000, /* likewise */
    CLAIM_MS = 3 * 1000,        /* a report can overtake the connection it speaks of */
    THEIR_SID = 1024            /* bytes of a peer's id, at most */
};

enum state {
    GATHERING,  /* proxies are being asked for their addresses */
    OFFERED,    /* the session waits for a yes */
    AGREEING,   /* both try candidates and report */
    BINDING,    /* it reached our listener; the socket is not here yet */
    DIALING,    /* it reached our proxy; we go there too */
    ACTIVATING, /* both are there */
    AWAITING,   /* we reached its proxy; it has that activated */
    OPEN,       /* bytes may be sent */
    STREAMING,
    OVER
};

struct jingle_s5b {
    struct method_host *host;
    struct client *client;
    struct jingle_session *session;
    const struct jingle_transport_events *events;
    void (*ready)(void *user);
    void *user;
    uint64_t size; /* of what is sent, or comes */
    uv_timer_t timer;
    uint64_t gathering; /* proxies_wait() */
    uint64_t reporting; /* jingle_send() */

    struct candidate_list ours, theirs;
    size_t they_use, we_use;          /* of ours, of theirs, once reported */
    struct carrier_stream *listening; /* for who comes to our listener */
    struct candidate_dial *dial;      /* to theirs */
    struct carrier_stream *proxy;     /* to ours, once it is nominated */
    struct s5b_activation *activation;
    struct carrier_stream *stream; /* the one of the three that was agreed on; NULL in OPEN: there is nothing to send */

    unsigned answer_ms, connect_ms;
    enum state state;
    enum candidate_report our_report, their_report;
    struct error dial_lost;  /* how the one of theirs that we had reached got lost; ERR_NONE: it did not */
    struct error proxy_lost; /* likewise ours, while the activation is awaited */

    char *sid;          /* the transport's, not the session's */
    char offered[256];  /* jingle_s5b_offered() */
    bool claimed;       /* somebody came to our listener */
    bool reported;      /* our report was acknowledged */
    bool silent;        /* the peer had its time to report, and gets the longer one */
    bool activated;     /* it says that its proxy, which we use, is active */
    bool through_proxy; /* the stream */
    bool receiving;     /* and not sending */
    bool extra;         /* more came than was asked for */
};

static const struct jid *local_of(const struct jingle_s5b *t)
{
    return jingle_local(t->session);
}

static const struct jid *peer_of(const struct jingle_s5b *t)
{
    return jingle_peer(t->session);
}

static void step(struct jingle_s5b *t, enum step_direction direction, const char *name, const char *outcome,
                 const char *detail)
{
    t->host->ops->step(t->host, direction, name, outcome, detail);
}

/* Ends whatever could still call us. */
static void stop(struct jingle_s5b *t)
{
    proxies_forget(t->client->proxies, t->gathering);
    iq_forget(t->client->iq, t->reporting);
    t->gathering = t->reporting = 0;
    uv_timer_stop(&t->timer);
    s5b_activation_end(&t->activation);
    candidate_dial_destroy(&t->dial);
    t->host->carrier->ops->close(&t->listening);
    t->host->carrier->ops->close(&t->proxy);
    t->stream = NULL;
    t->state = OVER;
}

static void fail(struct jingle_s5b *t, const struct error *why)
{
    stop(t);
    t->events->failed(t->user, why);
}

/* Who received leaves it to the peer to hang up, and to the end of the session. */
static void over(struct jingle_s5b *t, const struct error *broken)
{
    if (t->receiving)
        t->state = OVER;
    else
        stop(t);
    t->events->over(t->user, broken);
}

static void open_for_bytes(struct jingle_s5b *t, struct carrier_stream *stream)
{
    uv_timer_stop(&t->timer);
    t->stream = stream;
    t->state = OPEN;
    t->events->open(t->user);
}

static void on_timer(uv_timer_t *timer);

static void enter(struct jingle_s5b *t, enum state state, unsigned deadline_ms)
{
    t->state = state;
    uv_timer_start(&t->timer, on_timer, deadline_ms, 0);
}

/* ---- our candidates */

static void on_gathered(void *user)
{
    struct jingle_s5b *t = user;

    t->gathering = 0;
    t->state = OFFERED;
    t->ready(t->user);
}

struct jingle_s5b *jingle_s5b_create(struct method_host *host, struct client *client, struct jingle_session *session,
                                     const struct jingle_s5b_terms *terms, const struct jingle_transport_events *events,
                                     void (*ready)(void *user), void *user, struct error *err)
{
    struct jingle_s5b *t = calloc(1, sizeof *t);

    if (!t) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    t->host = host;
    t->client = client;
    t->session = session;
    t->events = events;
    t->ready = ready;
    t->user = user;
    t->size = terms->size;
    t->answer_ms = terms->answer_ms;
    t->connect_ms = terms->connect_ms;
    uv_timer_init(host->loop, &t->timer);
    t->timer.data = t;
    t->sid = malloc(S5B_SID);
    if (t->sid)
        s5b_make_sid(t->sid);
    t->gathering = t->sid ? proxies_wait(client->proxies, on_gathered, t) : 0;
    if (t->gathering == 0) {
        jingle_s5b_destroy(&t);
        error_set(err, ERR_INTERNAL, "out of memory");
    }
    return t;
}

static void free_transport(uv_handle_t *timer)
{
    struct jingle_s5b *t = timer->data;

    free(t->sid);
    free(t);
}

void jingle_s5b_destroy(struct jingle_s5b **t)
{
    if (!*t)
        return;
    stop(*t);
    uv_close((uv_handle_t *)&(*t)->timer, free_transport);
    *t = NULL;
}

static void on_listener(void *user, const struct carrier_event *event);

static unsigned report_ms(const struct jingle_s5b *t)
{
    unsigned ms = (unsigned)t->ours.count * PER_HOST_MS, least = REPORT_MIN_MS;

    if (least < t->connect_ms)
        least = t->connect_ms;
    if (ms < least)
        ms = least;
    return ms < REPORT_MAX_MS ? ms : REPORT_MAX_MS;
}

/* A client may come the moment it says yes, and by either order of the names. */
static bool expect_peer(struct jingle_s5b *t, struct error *err)
{
    struct carrier *carrier = t->host->carrier;
    char names[CARRIER_NAMES][S5B_NAME];
    const char *list[CARRIER_NAMES];
    size_t count = s5b_names(t->sid, local_of(t)->text, peer_of(t)->text, names);

    if (count == 0)
        return error_set(err, ERR_INTERNAL, "no SHA-1 for the bytestream's name");
    for (size_t i = 0; i < count; i++)
        list[i] = names[i];
    t->listening = carrier->ops->open(carrier, on_listener, t, err);
    return t->listening && carrier->ops->expect(t->listening, list, count, t->answer_ms + report_ms(t) + CLAIM_MS, err);
}

static xmpp_stanza_t *build_transport(const struct jingle_s5b *t)
{
    return stanza_set(stanza_new(t->client->ctx, "transport", NS_JINGLE_S5B), "sid", t->sid);
}

static void note_offered(struct jingle_s5b *t)
{
    struct buf text = {0};

    for (size_t i = 0; i < t->ours.count; i++)
        buf_printf(&text, "%s %s", i > 0 ? "," : ":", t->ours.all[i].proxy ? t->ours.all[i].jid : "direct");
    snprintf(t->offered, sizeof t->offered, "%s", text.failed ? "" : text.data);
    buf_free(&text);
}

const char *jingle_s5b_offered(const struct jingle_s5b *t)
{
    return t->offered;
}

const char *jingle_s5b_sid(const struct jingle_s5b *t)
{
    return t->sid;
}

static xmpp_stanza_t *offer(struct jingle_s5b *t, const struct s5b_hosts *hosts, struct error *err)
{
    xmpp_stanza_t *transport;
    char name[S5B_NAME];

    candidates_make(&t->ours, hosts, &t->theirs);
    if (t->ours.count > 0 && !t->ours.all[0].proxy && !expect_peer(t, err))
        return NULL;
    note_offered(t);
    transport = stanza_set(build_transport(t), "mode", "tcp");
    if (s5b_name(t->sid, local_of(t)->text, peer_of(t)->text, name))
        transport = stanza_set(transport, "dstaddr", name);
    transport = candidates_write(t->client->ctx, transport, &t->ours);
    if (!transport)
        error_set(err, ERR_INTERNAL, "out of memory");
    return transport;
}

xmpp_stanza_t *jingle_s5b_offer(struct jingle_s5b *t, struct error *err)
{
    struct s5b_hosts hosts;

    if (!s5b_gather(t->client, t->host->carrier, local_of(t), peer_of(t), "", &hosts, err))
        return NULL;
    return offer(t, &hosts, err);
}

/* ---- likewise, as the side that responds */

bool jingle_s5b_offered_to_us(struct jingle_s5b *t, xmpp_stanza_t *transport)
{
    const char *sid = stanza_attr(transport, "sid"), *mode = stanza_attr(transport, "mode");

    if (!sid || !*sid || strlen(sid) > THEIR_SID || (mode && strcmp(mode, "tcp") != 0))
        return false;
    free(t->sid);
    t->sid = strdup(sid);
    if (!t->sid)
        return false;
    candidates_read(&t->theirs, transport);
    return true;
}

/* Without any of ours the peer's may do, and some peers tell them late. */
xmpp_stanza_t *jingle_s5b_answer(struct jingle_s5b *t, struct error *err)
{
    struct s5b_hosts hosts;

    if (!s5b_gather(t->client, t->host->carrier, local_of(t), peer_of(t), "", &hosts, err))
        hosts.count = 0;
    return offer(t, &hosts, err);
}

/* ---- what we tell about candidates */

/* Sends a transport-info with that one element. 0: it cannot be sent. */
static uint64_t tell(struct jingle_s5b *t, const char *what, const char *cid, iq_done_fn *done, struct error *err)
{
    xmpp_stanza_t *element = stanza_set(stanza_new(t->client->ctx, what, NULL), "cid", cid);

    return jingle_send(t->session, "transport-info",
                       jingle_content(t->session, stanza_add(build_transport(t), element)), done, t, err);
}

static void decide(struct jingle_s5b *t);

/* An error is news too: the peer heard it. What it makes of it shows in its own report, or in none. */
static void on_reported(void *user, const struct iq_reply *reply)
{
    struct jingle_s5b *t = user;
    struct error err;

    t->reporting = 0;
    if (reply->outcome == IQ_DISCONNECTED)
        return;
    if (reply->outcome == IQ_TIMEOUT) {
        iq_error(reply, peer_of(t)->text, &err);
        fail(t, &err);
        return;
    }
    t->reported = true;
    decide(t);
}

static void make_report(struct jingle_s5b *t, enum candidate_report report)
{
    const struct candidate *used = report == REPORT_USED ? &t->theirs.all[t->we_use] : NULL;
    struct error err;

    t->our_report = report;
    t->reporting = tell(t, used ? "candidate-used" : "candidate-error", used ? used->cid : NULL, on_reported, &err);
    if (!t->reporting) {
        fail(t, &err);
        return;
    }
    step(t, STEP_SENT, used ? "candidate-used" : "candidate-error", "", used ? used->jid : "");
    enter(t, AGREEING, CANDIDATE_MS);
}

static void on_won(void *user, size_t index)
{
    struct jingle_s5b *t = user;

    t->we_use = index;
    if (t->our_report == REPORT_NONE)
        make_report(t, REPORT_USED);
}

static void on_lost(void *user)
{
    struct jingle_s5b *t = user;

    if (t->our_report == REPORT_NONE)
        make_report(t, REPORT_ERROR);
}

static void on_dial(void *user, const struct carrier_event *event);

static bool start_dialing(struct jingle_s5b *t, struct error *err)
{
    const struct candidate_dial_events events = {on_won, on_lost, on_dial, t};

    t->dial = candidate_dial_create(t->host, t->client, t->sid, local_of(t), peer_of(t), &t->theirs, &events);
    if (!t->dial)
        return error_set(err, ERR_INTERNAL, "out of memory");
    candidate_dial_go(t->dial);
    return true;
}

void jingle_s5b_answered(struct jingle_s5b *t)
{
    struct error err;

    enter(t, AGREEING, CANDIDATE_MS);
    if (!start_dialing(t, &err))
        fail(t, &err);
}

void jingle_s5b_accepted(struct jingle_s5b *t, xmpp_stanza_t *transport)
{
    candidates_read(&t->theirs, transport);
    jingle_s5b_answered(t);
}

/* ---- what the peer says about candidates */

/* What is below the peer's choice cannot win any more, so we do not go there. */
static void take_used(struct jingle_s5b *t, size_t index)
{
    t->they_use = index;
    t->their_report = REPORT_USED;
    step(t, STEP_RECEIVED, "candidate-used", "ok", t->ours.all[index].jid);
    if (t->state != AGREEING)
        return;
    candidate_dial_drop_below(t->dial, t->ours.all[index].priority);
    if (t->our_report == REPORT_NONE && !candidate_dial_busy(t->dial))
        make_report(t, REPORT_ERROR);
    else
        decide(t);
}

static void take_report(struct jingle_s5b *t, struct jingle_request *r, xmpp_stanza_t *used)
{
    size_t index = 0;

    if (t->their_report != REPORT_NONE) {
        jingle_refuse(r, "wait", "unexpected-request"); /* each side has one */
    } else if (!used) {
        jingle_ack(r);
        t->their_report = REPORT_ERROR;
        step(t, STEP_RECEIVED, "candidate-error", "ok", "");
        decide(t);
    } else if (!candidates_find(&t->ours, stanza_attr(used, "cid"), &index)) {
        jingle_refuse(r, "modify", "bad-request");
    } else {
        jingle_ack(r);
        take_used(t, index);
    }
}

/* It may come before our own report is acknowledged, and instead of any report of the peer's. */
static void take_activated(struct jingle_s5b *t, struct jingle_request *r, xmpp_stanza_t *activated)
{
    size_t index;

    if (!candidates_find(&t->theirs, stanza_attr(activated, "cid"), &index)) {
        jingle_refuse(r, "modify", "bad-request");
        return;
    }
    jingle_ack(r);
    step(t, STEP_RECEIVED, "activated", "ok", t->theirs.all[index].jid);
    if (t->our_report != REPORT_USED || index != t->we_use)
        return;
    t->activated = true;
    if (t->state == AWAITING)
        open_for_bytes(t, candidate_dial_stream(t->dial));
    else
        decide(t);
}

static void take_proxy_error(struct jingle_s5b *t, struct jingle_request *r)
{
    struct error err;

    jingle_ack(r);
    step(t, STEP_RECEIVED, "proxy-error", "error", "");
    if (t->state != AGREEING && t->state != AWAITING)
        return;
    error_set(&err, ERR_TRANSPORT_FAILED, "%s could not use its proxy", peer_of(t)->text);
    fail(t, &err);
}

static void take_more_candidates(struct jingle_s5b *t, struct jingle_request *r, xmpp_stanza_t *transport)
{
    jingle_ack(r);
    if (candidates_read(&t->theirs, transport) == 0 || t->state != AGREEING || t->our_report != REPORT_NONE)
        return;
    enter(t, AGREEING, CANDIDATE_MS);
    candidate_dial_go(t->dial);
}

void jingle_s5b_info(struct jingle_s5b *t, struct jingle_request *r)
{
    xmpp_stanza_t *transport = stanza_child(r->content, "transport", NS_JINGLE_S5B);
    xmpp_stanza_t *used = stanza_child(transport, "candidate-used", NULL);
    xmpp_stanza_t *activated = stanza_child(transport, "activated", NULL);

    if (!transport)
        jingle_refuse(r, "modify", "bad-request");
    else if (t->state >= OPEN)
        jingle_ack(r); /* nothing of it changes what has begun */
    else if (used || stanza_child(transport, "candidate-error", NULL))
        take_report(t, r, used);
    else if (activated)
        take_activated(t, r, activated);
    else if (stanza_child(transport, "proxy-error", NULL))
        take_proxy_error(t, r);
    else
        take_more_candidates(t, r, transport);
}

/* ---- agreement, XEP-0260 section 2.4 */

static void dial_proxy(struct jingle_s5b *t);

static void use_ours(struct jingle_s5b *t)
{
    const struct candidate *c = &t->ours.all[t->they_use];

    t->through_proxy = c->proxy;
    t->host->ops->chose(t->host, c->proxy ? "proxy" : "direct", c->jid);
    if (c->proxy)
        dial_proxy(t);
    else if (t->claimed)
        open_for_bytes(t, t->listening);
    else
        enter(t, BINDING, CLAIM_MS);
}

static void use_theirs(struct jingle_s5b *t)
{
    const struct candidate *c = &t->theirs.all[t->we_use];
    struct error err;

    t->through_proxy = c->proxy;
    t->host->ops->chose(t->host, c->proxy ? "proxy" : "direct", c->jid);
    if (t->dial_lost.code != ERR_NONE && t->size == 0) {
        open_for_bytes(t, NULL); /* there was nothing to wait for, and it has hung up on having it */
    } else if (t->dial_lost.code != ERR_NONE) {
        error_set(&err, ERR_TRANSPORT_FAILED, "%s closed the connection that was agreed on: %.80s", peer_of(t)->text,
                  t->dial_lost.text);
        fail(t, &err);
    } else if (!c->proxy || t->activated) {
        open_for_bytes(t, candidate_dial_stream(t->dial));
    } else {
        enter(t, AWAITING, (unsigned)t->client->settings->activate_timeout_ms);
    }
}

/* With both reports there, and the peer knowing ours: Dino refuses what comes earlier. */
static void decide(struct jingle_s5b *t)
{
    const struct candidate *theirs = t->our_report == REPORT_USED ? &t->theirs.all[t->we_use] : NULL;
    const struct candidate *ours = t->their_report == REPORT_USED ? &t->ours.all[t->they_use] : NULL;
    struct error err;

    if (t->state != AGREEING || !t->reported)
        return;
    if (t->their_report == REPORT_NONE && !t->activated)
        return;
    switch (candidates_nominate(theirs, ours, jingle_responds(t->session))) {
    case NOMINEE_OURS:
        use_ours(t);
        break;
    case NOMINEE_THEIRS:
        use_theirs(t);
        break;
    case NOMINEE_NONE:
        error_set(&err, ERR_TRANSPORT_FAILED, "neither we nor %s reached any address of the other", peer_of(t)->text);
        fail(t, &err);
        break;
    }
}

/* Some clients that answer never report. A direct connection that is still there was meant. */
static void on_silence(struct jingle_s5b *t)
{
    struct error err;

    if (t->our_report == REPORT_NONE) {
        make_report(t, REPORT_ERROR);
    } else if (t->our_report == REPORT_USED && !t->theirs.all[t->we_use].proxy && t->reported) {
        use_theirs(t);
    } else if (!t->silent) {
        t->silent = true;
        enter(t, AGREEING, report_ms(t) - CANDIDATE_MS);
    } else {
        error_set(&err, ERR_TRANSPORT_FAILED, "%s did not say which address it reached", peer_of(t)->text);
        fail(t, &err);
    }
}

/* It says it reached us, and nobody came: as good as a candidate-error. */
static void on_unclaimed(struct jingle_s5b *t)
{
    t->their_report = REPORT_ERROR;
    t->state = AGREEING;
    decide(t);
}

/* ---- our proxy, XEP-0260 section 2.4 */

/* The peer must not wait for it. */
static void give_proxy_up(struct jingle_s5b *t, const struct error *why, bool faulty)
{
    if (faulty)
        proxies_failed(t->client->proxies, t->ours.all[t->they_use].jid, why);
    tell(t, "proxy-error", NULL, NULL, NULL);
    step(t, STEP_SENT, "proxy-error", "", "");
    fail(t, why);
}

static void on_proxy(void *user, const struct carrier_event *event);

static void dial_proxy(struct jingle_s5b *t)
{
    const struct candidate *c = &t->ours.all[t->they_use];
    struct carrier *carrier = t->host->carrier;
    struct carrier_address address = {.port = c->port};
    char name[S5B_NAME];
    struct error err;

    t->state = DIALING;
    uv_timer_stop(&t->timer); /* the carrier has deadlines */
    snprintf(address.host, sizeof address.host, "%s", c->host);
    error_set(&err, ERR_INTERNAL, "no SHA-1 for the bytestream's name");
    if (s5b_name(t->sid, local_of(t)->text, peer_of(t)->text, name))
        t->proxy = carrier->ops->open(carrier, on_proxy, t, &err);
    /* Trusted: the operator named this proxy, or our own server did. */
    if (!t->proxy || !carrier->ops->dial(t->proxy, &address, true, name, &err))
        give_proxy_up(t, &err, false);
    else
        step(t, STEP_SENT, "socks5 connect", "", c->jid);
}

/* An empty file is complete once it was described: the recipient may be gone before both have met, here or at a proxy.
 */
static bool nothing_was_left(const struct jingle_s5b *t, const struct error *why)
{
    return t->size == 0 && (why->code == ERR_PROXY_PAIR_INCOMPLETE || why->code == ERR_PROXY_HASH_MISMATCH);
}

static void on_activated(void *user, const struct error *why, bool faulty)
{
    struct jingle_s5b *t = user;
    const struct candidate *c = &t->ours.all[t->they_use];
    struct error err;

    if (why && why->code == ERR_XMPP_DISCONNECTED) {
        fail(t, why);
    } else if (why && nothing_was_left(t, why)) {
        open_for_bytes(t, NULL);
    } else if (why) {
        give_proxy_up(t, why, faulty);
    } else if (t->proxy_lost.code != ERR_NONE) {
        error_set(&err, ERR_PROXY_FAILED, "the proxy %s closed the connection it had activated: %.80s", c->jid,
                  t->proxy_lost.text);
        give_proxy_up(t, &err, true);
    } else if (!tell(t, "activated", c->cid, NULL, &err)) {
        fail(t, &err);
    } else {
        open_for_bytes(t, t->proxy);
    }
}

static void activate(struct jingle_s5b *t)
{
    const struct candidate *c = &t->ours.all[t->they_use];
    struct error err;

    t->state = ACTIVATING;
    t->activation = s5b_activate(t->host, t->client, c->jid, t->sid, local_of(t), peer_of(t), on_activated, t, &err);
    if (!t->activation)
        give_proxy_up(t, &err, false);
}

/* ---- bytes */

/* What happens to the stream that was agreed on. */
static void on_stream(struct jingle_s5b *t, const struct carrier_event *event)
{
    if (t->state == OVER)
        return;
    switch (event->kind) {
    case CARRIER_PROGRESS:
        t->events->moved(t->user, event->moved);
        break;
    case CARRIER_DONE:
        t->extra = event->extra;
        t->events->moved(t->user, event->moved);
        over(t, NULL);
        break;
    case CARRIER_FAILED:
        if (t->state == OPEN && t->size == 0) {
            t->stream = NULL; /* it has it all, and hung up */
            break;
        }
        if (t->state == OPEN) {
            fail(t, &event->error);
            break;
        }
        t->events->moved(t->user, event->moved);
        over(t, t->size == 0 ? NULL : &event->error);
        break;
    case CARRIER_CLAIMED:
    case CARRIER_DIALED:
        break;
    }
}

static void on_listener(void *user, const struct carrier_event *event)
{
    struct jingle_s5b *t = user;

    if (t->stream && t->stream == t->listening) {
        on_stream(t, event);
        return;
    }
    t->claimed = event->kind == CARRIER_CLAIMED; /* else nobody came in time, or who came is gone */
    if (t->claimed && t->state == BINDING)
        open_for_bytes(t, t->listening);
}

static void on_dial(void *user, const struct carrier_event *event)
{
    struct jingle_s5b *t = user;

    if (t->stream && t->stream == candidate_dial_stream(t->dial)) {
        on_stream(t, event);
        return;
    }
    if (event->kind != CARRIER_FAILED)
        return;
    t->dial_lost = event->error;
    if (t->state == AWAITING)
        use_theirs(t); /* which is gone */
}

static void on_proxy(void *user, const struct carrier_event *event)
{
    struct jingle_s5b *t = user;
    struct error err;

    if (t->stream && t->stream == t->proxy) {
        on_stream(t, event);
    } else if (event->kind == CARRIER_DIALED) {
        step(t, STEP_RECEIVED, "socks5 connect", "ok", t->ours.all[t->they_use].jid);
        activate(t);
    } else if (event->kind == CARRIER_FAILED && t->state == DIALING) {
        step(t, STEP_RECEIVED, "socks5 connect", "error", event->error.text);
        error_set(&err, ERR_PROXY_UNAVAILABLE, "the proxy %s, which the recipient reached, is out of our reach: %.80s",
                  t->ours.all[t->they_use].jid, event->error.text);
        give_proxy_up(t, &err, true);
    } else if (event->kind == CARRIER_FAILED) {
        t->proxy_lost = event->error; /* the proxy says why in its answer */
    }
}

void jingle_s5b_stream(struct jingle_s5b *t, struct shared_fd *file, uint64_t offset, uint64_t length)
{
    struct error err;

    if (t->state != OPEN) /* it failed while the transfer was on its way here, and said so */
        return;
    t->state = STREAMING;
    if (!t->stream || !t->host->carrier->ops->send(t->stream, file, t->host->feed, offset, length, &err))
        over(t, t->stream ? &err : NULL);
}

void jingle_s5b_receive(struct jingle_s5b *t, struct shared_fd *file, uint64_t offset, uint64_t length)
{
    struct error err;

    assert(t->state == OPEN);
    t->state = STREAMING;
    t->receiving = true;
    if (!t->stream || !t->host->carrier->ops->receive(t->stream, file, offset, length, &err))
        over(t, t->stream ? &err : NULL);
}

bool jingle_s5b_had_more(const struct jingle_s5b *t)
{
    return t->extra;
}

bool jingle_s5b_proxied(const struct jingle_s5b *t)
{
    return t->through_proxy;
}

static void on_timer(uv_timer_t *timer)
{
    struct jingle_s5b *t = timer->data;
    struct error err;

    switch (t->state) {
    case AGREEING:
        on_silence(t);
        break;
    case BINDING:
        on_unclaimed(t);
        break;
    case AWAITING:
        error_set(&err, ERR_ACTIVATION_TIMEOUT, "%s did not activate its proxy", peer_of(t)->text);
        fail(t, &err);
        break;
    case GATHERING:
    case OFFERED:
    case DIALING:
    case ACTIVATING:
    case OPEN:
    case STREAMING:
    case OVER:
        break;
    }
}
