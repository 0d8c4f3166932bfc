/* xmpp/jingle_s5b.c - a file offered by Jingle (XEP-0234) and sent over a SOCKS5 bytestream (XEP-0260).
 *
 * Both sides tell each other candidates, both try the other's, and each reports once which it reached, if any. From
 * the two reports both know the one stream that is meant. If it goes through a proxy, who offered that one has it
 * activated and says so. Then the bytes flow, and the peer has the last word.
 *
 * The order of this file is the order of events. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "xmpp/candidate_dial.h"
#include "xmpp/candidates.h"
#include "xmpp/jingle.h"
#include "xmpp/jingle_file.h"
#include "xmpp/methods.h"
#include "xmpp/ns.h"
#include "xmpp/proxies.h"
#include "xmpp/s5b_activation.h"
#include "xmpp/s5b_hosts.h"
#include "xmpp/s5b_name.h"
#include "xmpp/stanza.h"

#define CONTENT "file"

enum {
    CANDIDATE_MS = 15 * 1000,   /* for us to reach one after the last was told; for the peer to report, if need be */
    PER_HOST_MS = 30 * 1000,    /* what the slowest clients give one of our candidates */
    REPORT_MIN_MS = 60 * 1000,  /* for all of them together */
    REPORT_MAX_MS = 180 * 1000, /* likewise */
    CLAIM_MS = 3 * 1000,        /* a report can overtake the connection it speaks of */
    LAST_WORD_MS = 30 * 1000,   /* all bytes are there: for the peer to say so */
    GOODBYE_MS = 2 * 1000,      /* it said so: for it to end the session itself */
};

enum state {
    GATHERING,  /* proxies are being asked for their addresses */
    OFFERED,    /* a person or a client thinks about it */
    AGREEING,   /* both try candidates and report */
    BINDING,    /* it reached our listener; the socket is not here yet */
    DIALING,    /* it reached our proxy; we go there too */
    ACTIVATING, /* both are there */
    AWAITING,   /* we reached its proxy; it has that activated */
    OPEN,       /* the transfer may begin */
    STREAMING,
    SETTLING, /* the bytes are gone, or it says it has them: the session's end is awaited */
    OVER
};

struct method {
    struct method_host *host;
    struct client *client;
    struct jingle_session *session;
    struct jid to;
    struct jingle_file file;
    uv_timer_t timer;
    uint64_t gathering; /* proxies_wait() */

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
    struct error lost;       /* SETTLING: how the stream ended; ERR_NONE: well */

    char sid[S5B_SID];  /* the transport's, not the session's */
    bool claimed;       /* somebody came to our listener */
    bool reported;      /* our report was acknowledged */
    bool silent;        /* the peer had its time to report, and gets the longer one */
    bool activated;     /* it says that its proxy, which we use, is active */
    bool through_proxy; /* the stream */
    bool checksum_sent;
    bool confirmed; /* the peer says it has everything */
    bool complete;
};

/* ---- reports to the transfer */

static void step(struct method *m, enum step_direction direction, const char *name, const char *outcome,
                 const char *detail)
{
    m->host->ops->step(m->host, direction, name, outcome, detail);
}

/* Ends whatever could still call us, but the session. */
static void stop(struct method *m)
{
    proxies_forget(m->client->proxies, m->gathering);
    m->gathering = 0;
    uv_timer_stop(&m->timer);
    s5b_activation_end(&m->activation);
    candidate_dial_destroy(&m->dial);
    m->host->carrier->ops->close(&m->listening);
    m->host->carrier->ops->close(&m->proxy);
    m->stream = NULL;
    m->state = OVER;
}

static void fail(struct method *m, const struct error *why)
{
    stop(m);
    m->host->ops->report(m->host, &(struct method_report){.event = METHOD_FAILED, .error = *why});
}

static void complete(struct method *m)
{
    enum proof proof = m->through_proxy ? PROOF_PROXY_ACCEPTED : PROOF_PEER_CLOSED;

    stop(m);
    m->complete = true;
    m->host->ops->report(m->host, &(struct method_report){.event = METHOD_COMPLETE,
                                                          .moved = m->file.size,
                                                          .proof = m->confirmed ? PROOF_PEER_CONFIRMED : proof});
}

static void open_for_bytes(struct method *m, struct carrier_stream *stream)
{
    uv_timer_stop(&m->timer);
    m->stream = stream;
    m->state = OPEN;
    m->host->ops->report(m->host, &(struct method_report){.event = METHOD_STREAM_OPEN});
}

static void on_timer(uv_timer_t *timer);

static void enter(struct method *m, enum state state, unsigned deadline_ms)
{
    m->state = state;
    uv_timer_start(&m->timer, on_timer, deadline_ms, 0);
}

/* ---- the offer */

static void on_listener(void *user, const struct carrier_event *event);

static unsigned report_ms(const struct method *m)
{
    unsigned ms = (unsigned)m->ours.count * PER_HOST_MS, least = REPORT_MIN_MS;

    if (least < m->connect_ms)
        least = m->connect_ms;
    if (ms < least)
        ms = least;
    return ms < REPORT_MAX_MS ? ms : REPORT_MAX_MS;
}

/* A client may come the moment it says yes, and by either order of the names. */
static bool expect_peer(struct method *m, struct error *err)
{
    struct carrier *carrier = m->host->carrier;
    char names[CARRIER_NAMES][S5B_NAME];
    const char *list[CARRIER_NAMES];
    size_t count = s5b_names(m->sid, m->client->self.text, m->to.text, names);

    if (count == 0)
        return error_set(err, ERR_INTERNAL, "no SHA-1 for the bytestream's name");
    for (size_t i = 0; i < count; i++)
        list[i] = names[i];
    m->listening = carrier->ops->open(carrier, on_listener, m, err);
    return m->listening && carrier->ops->expect(m->listening, list, count, m->answer_ms + report_ms(m) + CLAIM_MS, err);
}

static xmpp_stanza_t *build_transport(const struct method *m)
{
    return stanza_set(stanza_new(m->client->ctx, "transport", NS_JINGLE_S5B), "sid", m->sid);
}

/* Takes the parts. */
static xmpp_stanza_t *build_content(const struct method *m, xmpp_stanza_t *transport)
{
    xmpp_stanza_t *content = stanza_set(stanza_new(m->client->ctx, "content", NULL), "creator", "initiator");

    return stanza_add(stanza_set(content, "name", CONTENT), transport);
}

static xmpp_stanza_t *build_offer(const struct method *m)
{
    xmpp_ctx_t *ctx = m->client->ctx;
    xmpp_stanza_t *content = stanza_set(stanza_new(ctx, "content", NULL), "creator", "initiator");
    xmpp_stanza_t *transport = stanza_set(build_transport(m), "mode", "tcp");
    char name[S5B_NAME];

    content = stanza_set(stanza_set(content, "name", CONTENT), "senders", "initiator");
    if (s5b_name(m->sid, m->client->self.text, m->to.text, name))
        transport = stanza_set(transport, "dstaddr", name);
    transport = candidates_write(ctx, transport, &m->ours);
    return stanza_add(stanza_add(content, jingle_file_description(ctx, &m->file)), transport);
}

static void step_offered(struct method *m)
{
    struct buf text = {0};

    buf_printf(&text, "%llu bytes to %.100s:", (unsigned long long)m->file.size, m->to.text);
    for (size_t i = 0; i < m->ours.count; i++)
        buf_printf(&text, "%s %s", i > 0 ? "," : "", m->ours.all[i].proxy ? m->ours.all[i].jid : "direct");
    step(m, STEP_SENT, "offer jingle-s5b", "", text.failed ? "" : text.data);
    buf_free(&text);
}

static bool offer(struct method *m, struct error *err)
{
    struct s5b_hosts hosts;

    if (!m->client->online)
        return error_set(err, ERR_XMPP_DISCONNECTED, "not connected to the XMPP server");
    if (!s5b_gather(m->client, m->host->carrier, &m->to, "", &hosts, err))
        return false;
    candidates_make(&m->ours, &hosts);
    if (hosts.direct && !expect_peer(m, err))
        return false;
    return jingle_initiate(m->session, build_offer(m), err);
}

static void on_gathered(void *user)
{
    struct method *m = user;
    struct error err;

    m->gathering = 0;
    if (!offer(m, &err)) {
        fail(m, &err);
        return;
    }
    enter(m, OFFERED, m->answer_ms);
    step_offered(m);
}

static void on_refused(void *user, const struct error *why)
{
    struct method *m = user;

    if (m->state == OVER)
        return;
    step(m, STEP_RECEIVED, "session refused", "error", why->text);
    fail(m, why);
}

/* ---- what we tell about candidates */

/* Sends a transport-info with that one element. */
static bool tell(struct method *m, const char *what, const char *cid, iq_done_fn *done, struct error *err)
{
    xmpp_stanza_t *element = stanza_set(stanza_new(m->client->ctx, what, NULL), "cid", cid);

    return jingle_send(m->session, "transport-info", build_content(m, stanza_add(build_transport(m), element)), done, m,
                       err);
}

static void decide(struct method *m);

/* An error is news too: the peer heard it. What it makes of it shows in its own report, or in none. */
static void on_reported(void *user, const struct iq_reply *reply)
{
    struct method *m = user;
    struct error err;

    if (reply->outcome == IQ_DISCONNECTED || m->state == OVER)
        return;
    if (reply->outcome == IQ_TIMEOUT) {
        iq_error(reply, m->to.text, &err);
        fail(m, &err);
        return;
    }
    m->reported = true;
    decide(m);
}

static void make_report(struct method *m, enum candidate_report report)
{
    const struct candidate *used = report == REPORT_USED ? &m->theirs.all[m->we_use] : NULL;
    struct error err;

    m->our_report = report;
    if (!tell(m, used ? "candidate-used" : "candidate-error", used ? used->cid : NULL, on_reported, &err)) {
        fail(m, &err);
        return;
    }
    step(m, STEP_SENT, used ? "candidate-used" : "candidate-error", "", used ? used->jid : "");
    enter(m, AGREEING, CANDIDATE_MS);
}

static void on_won(void *user, size_t index)
{
    struct method *m = user;

    m->we_use = index;
    if (m->our_report == REPORT_NONE)
        make_report(m, REPORT_USED);
}

static void on_lost(void *user)
{
    struct method *m = user;

    if (m->our_report == REPORT_NONE)
        make_report(m, REPORT_ERROR);
}

static void on_dial(void *user, const struct carrier_event *event);

static bool start_dialing(struct method *m, struct error *err)
{
    const struct candidate_dial_events events = {on_won, on_lost, on_dial, m};

    m->dial = candidate_dial_create(m->host, m->client, m->sid, &m->to, &m->theirs, &events);
    if (!m->dial)
        return error_set(err, ERR_INTERNAL, "out of memory");
    candidate_dial_go(m->dial);
    return true;
}

/* ---- what the peer says: yes */

static void take_acceptance(struct method *m, struct jingle_request *r)
{
    xmpp_stanza_t *transport = stanza_child(r->content, "transport", NS_JINGLE_S5B);
    struct error err = {0};

    jingle_ack(r);
    if (m->state != OFFERED)
        return;
    if (!transport)
        error_set(&err, ERR_PEER_PROTOCOL_ERROR, "%s accepted without the bytestream that was offered", m->to.text);
    else if (jingle_file_wants_part(&m->file, r->content))
        error_set(&err, ERR_PEER_PROTOCOL_ERROR, "%s asked for a part of the file, which was not offered", m->to.text);
    step(m, STEP_RECEIVED, "session accepted", err.code == ERR_NONE ? "ok" : "error",
         err.code == ERR_NONE ? m->to.text : err.text);
    if (err.code != ERR_NONE) {
        fail(m, &err);
        return;
    }
    m->host->ops->report(m->host, &(struct method_report){.event = METHOD_ACCEPTED});
    candidates_read(&m->theirs, transport);
    enter(m, AGREEING, CANDIDATE_MS);
    if (!start_dialing(m, &err))
        fail(m, &err);
}

/* ---- what the peer says about candidates */

/* What is below the peer's choice cannot win any more, so we do not go there. */
static void take_used(struct method *m, size_t index)
{
    m->they_use = index;
    m->their_report = REPORT_USED;
    step(m, STEP_RECEIVED, "candidate-used", "ok", m->ours.all[index].jid);
    if (m->state != AGREEING)
        return;
    candidate_dial_drop_below(m->dial, m->ours.all[index].priority);
    if (m->our_report == REPORT_NONE && !candidate_dial_busy(m->dial))
        make_report(m, REPORT_ERROR);
    else
        decide(m);
}

static void take_report(struct method *m, struct jingle_request *r, xmpp_stanza_t *used)
{
    size_t index = 0;

    if (m->their_report != REPORT_NONE) {
        jingle_refuse(r, "wait", "unexpected-request"); /* each side has one */
    } else if (!used) {
        jingle_ack(r);
        m->their_report = REPORT_ERROR;
        step(m, STEP_RECEIVED, "candidate-error", "ok", "");
        decide(m);
    } else if (!candidates_find(&m->ours, stanza_attr(used, "cid"), &index)) {
        jingle_refuse(r, "modify", "bad-request");
    } else {
        jingle_ack(r);
        take_used(m, index);
    }
}

/* It may come before our own report is acknowledged, and instead of any report of the peer's. */
static void take_activated(struct method *m, struct jingle_request *r, xmpp_stanza_t *activated)
{
    size_t index;

    if (!candidates_find(&m->theirs, stanza_attr(activated, "cid"), &index)) {
        jingle_refuse(r, "modify", "bad-request");
        return;
    }
    jingle_ack(r);
    step(m, STEP_RECEIVED, "activated", "ok", m->theirs.all[index].jid);
    if (m->our_report != REPORT_USED || index != m->we_use)
        return;
    m->activated = true;
    if (m->state == AWAITING)
        open_for_bytes(m, candidate_dial_stream(m->dial));
    else
        decide(m);
}

static void take_proxy_error(struct method *m, struct jingle_request *r)
{
    struct error err;

    jingle_ack(r);
    step(m, STEP_RECEIVED, "proxy-error", "error", "");
    if (m->state != AGREEING && m->state != AWAITING)
        return;
    error_set(&err, ERR_TRANSPORT_FAILED, "%s could not use its proxy", m->to.text);
    fail(m, &err);
}

static void take_more_candidates(struct method *m, struct jingle_request *r, xmpp_stanza_t *transport)
{
    jingle_ack(r);
    if (candidates_read(&m->theirs, transport) == 0 || m->state != AGREEING || m->our_report != REPORT_NONE)
        return;
    enter(m, AGREEING, CANDIDATE_MS);
    candidate_dial_go(m->dial);
}

static void take_transport_info(struct method *m, struct jingle_request *r)
{
    xmpp_stanza_t *transport = stanza_child(r->content, "transport", NS_JINGLE_S5B);
    xmpp_stanza_t *used = stanza_child(transport, "candidate-used", NULL);
    xmpp_stanza_t *activated = stanza_child(transport, "activated", NULL);

    if (!transport)
        jingle_refuse(r, "modify", "bad-request");
    else if (m->state >= OPEN)
        jingle_ack(r); /* nothing of it changes what has begun */
    else if (used || stanza_child(transport, "candidate-error", NULL))
        take_report(m, r, used);
    else if (activated)
        take_activated(m, r, activated);
    else if (stanza_child(transport, "proxy-error", NULL))
        take_proxy_error(m, r);
    else
        take_more_candidates(m, r, transport);
}

/* XEP-0166 section 7.2.15: what else it would have us stream by, we do not. */
static void reject_transport(struct method *m, struct jingle_request *r)
{
    xmpp_stanza_t *told = stanza_child(r->content, "transport", NULL);
    xmpp_stanza_t *transport = stanza_new(m->client->ctx, "transport", told ? xmpp_stanza_get_ns(told) : NS_JINGLE_S5B);

    transport = stanza_set(transport, "sid", stanza_attr(told, "sid"));
    jingle_ack(r);
    step(m, STEP_RECEIVED, "transport-replace", "error", "only bytestreams were offered");
    jingle_send(m->session, "transport-reject", build_content(m, transport), NULL, NULL, NULL);
}

/* ---- agreement, XEP-0260 section 2.4 */

static void dial_proxy(struct method *m);

static void use_ours(struct method *m)
{
    const struct candidate *c = &m->ours.all[m->they_use];

    m->through_proxy = c->proxy;
    m->host->ops->chose(m->host, c->proxy ? "proxy" : "direct", c->jid);
    if (c->proxy)
        dial_proxy(m);
    else if (m->claimed)
        open_for_bytes(m, m->listening);
    else
        enter(m, BINDING, CLAIM_MS);
}

static void use_theirs(struct method *m)
{
    const struct candidate *c = &m->theirs.all[m->we_use];
    struct error err;

    m->through_proxy = c->proxy;
    m->host->ops->chose(m->host, c->proxy ? "proxy" : "direct", c->jid);
    if (m->dial_lost.code != ERR_NONE) {
        error_set(&err, ERR_TRANSPORT_FAILED, "%s closed the connection that was agreed on: %.80s", m->to.text,
                  m->dial_lost.text);
        fail(m, &err);
    } else if (!c->proxy || m->activated) {
        open_for_bytes(m, candidate_dial_stream(m->dial));
    } else {
        enter(m, AWAITING, (unsigned)m->client->settings->activate_timeout_ms);
    }
}

/* With both reports there, and the peer knowing ours: Dino refuses what comes earlier. */
static void decide(struct method *m)
{
    const struct candidate *theirs = m->our_report == REPORT_USED ? &m->theirs.all[m->we_use] : NULL;
    const struct candidate *ours = m->their_report == REPORT_USED ? &m->ours.all[m->they_use] : NULL;
    struct error err;

    if (m->state != AGREEING || !m->reported)
        return;
    if (m->their_report == REPORT_NONE && !m->activated)
        return;
    switch (candidates_nominate(theirs, ours)) {
    case NOMINEE_OURS:
        use_ours(m);
        break;
    case NOMINEE_THEIRS:
        use_theirs(m);
        break;
    case NOMINEE_NONE:
        error_set(&err, ERR_TRANSPORT_FAILED, "neither we nor %s reached any address of the other", m->to.text);
        fail(m, &err);
        break;
    }
}

/* Some clients that answer never report. A direct connection that is still there was meant. */
static void on_silence(struct method *m)
{
    struct error err;

    if (m->our_report == REPORT_NONE) {
        make_report(m, REPORT_ERROR);
    } else if (m->our_report == REPORT_USED && !m->theirs.all[m->we_use].proxy && m->reported) {
        use_theirs(m);
    } else if (!m->silent) {
        m->silent = true;
        enter(m, AGREEING, report_ms(m) - CANDIDATE_MS);
    } else {
        error_set(&err, ERR_TRANSPORT_FAILED, "%s did not say which address it reached", m->to.text);
        fail(m, &err);
    }
}

/* It says it reached us, and nobody came: as good as a candidate-error. */
static void on_unclaimed(struct method *m)
{
    m->their_report = REPORT_ERROR;
    m->state = AGREEING;
    decide(m);
}

/* ---- our proxy, XEP-0260 section 2.4 */

/* The peer must not wait for it. */
static void give_proxy_up(struct method *m, const struct error *why, bool faulty)
{
    if (faulty)
        proxies_failed(m->client->proxies, m->ours.all[m->they_use].jid, why);
    tell(m, "proxy-error", NULL, NULL, NULL);
    step(m, STEP_SENT, "proxy-error", "", "");
    fail(m, why);
}

static void on_proxy(void *user, const struct carrier_event *event);

static void dial_proxy(struct method *m)
{
    const struct candidate *c = &m->ours.all[m->they_use];
    struct carrier *carrier = m->host->carrier;
    struct carrier_address address = {.port = c->port};
    char name[S5B_NAME];
    struct error err;

    m->state = DIALING;
    uv_timer_stop(&m->timer); /* the carrier has deadlines */
    snprintf(address.host, sizeof address.host, "%s", c->host);
    error_set(&err, ERR_INTERNAL, "no SHA-1 for the bytestream's name");
    if (s5b_name(m->sid, m->client->self.text, m->to.text, name))
        m->proxy = carrier->ops->open(carrier, on_proxy, m, &err);
    /* Trusted: the operator named this proxy, or our own server did. */
    if (!m->proxy || !carrier->ops->dial(m->proxy, &address, true, name, &err))
        give_proxy_up(m, &err, false);
    else
        step(m, STEP_SENT, "socks5 connect", "", c->jid);
}

/* An empty file is complete once it was described: the recipient may be gone before both have met at the proxy. */
static bool nothing_was_left(const struct method *m, const struct error *why)
{
    return m->file.size == 0 && (why->code == ERR_PROXY_PAIR_INCOMPLETE || why->code == ERR_PROXY_HASH_MISMATCH);
}

static void on_activated(void *user, const struct error *why, bool faulty)
{
    struct method *m = user;
    const struct candidate *c = &m->ours.all[m->they_use];
    struct error err;

    if (why && why->code == ERR_XMPP_DISCONNECTED) {
        fail(m, why);
    } else if (why && nothing_was_left(m, why)) {
        open_for_bytes(m, NULL);
    } else if (why) {
        give_proxy_up(m, why, faulty);
    } else if (m->proxy_lost.code != ERR_NONE) {
        error_set(&err, ERR_PROXY_FAILED, "the proxy %s closed the connection it had activated: %.80s", c->jid,
                  m->proxy_lost.text);
        give_proxy_up(m, &err, true);
    } else if (!tell(m, "activated", c->cid, NULL, &err)) {
        fail(m, &err);
    } else {
        open_for_bytes(m, m->proxy);
    }
}

static void activate(struct method *m)
{
    const struct candidate *c = &m->ours.all[m->they_use];
    struct error err;

    m->state = ACTIVATING;
    m->activation = s5b_activate(m->host, m->client, c->jid, m->sid, &m->to, on_activated, m, &err);
    if (!m->activation)
        give_proxy_up(m, &err, false);
}

/* ---- bytes */

static void send_checksum(struct method *m)
{
    xmpp_stanza_t *checksum;

    if (m->checksum_sent || !m->file.sha256)
        return;
    m->checksum_sent = true;
    checksum = jingle_file_checksum(m->client->ctx, &m->file, CONTENT);
    if (jingle_send(m->session, "session-info", checksum, NULL, NULL, NULL))
        step(m, STEP_SENT, "checksum", "", "sha-256");
}

static void progress(struct method *m, uint64_t moved)
{
    if (moved > 0)
        m->host->ops->report(m->host, &(struct method_report){.event = METHOD_PROGRESS, .moved = moved});
}

/* All went out and the connection is over; what is missing is the peer's word. */
static void settle(struct method *m, const struct error *lost)
{
    send_checksum(m);
    if (m->state == SETTLING) /* it said so, and is about to say goodbye */
        return;
    if (lost)
        m->lost = *lost;
    enter(m, SETTLING, lost ? CLAIM_MS : LAST_WORD_MS);
}

/* What happens to the stream that was agreed on. */
static void on_stream(struct method *m, const struct carrier_event *event)
{
    switch (event->kind) {
    case CARRIER_PROGRESS:
        progress(m, event->moved);
        if (event->moved == m->file.size)
            send_checksum(m);
        break;
    case CARRIER_DONE:
        progress(m, event->moved);
        settle(m, NULL);
        break;
    case CARRIER_FAILED:
        progress(m, event->moved);
        if (m->state != OPEN && event->moved == m->file.size)
            settle(m, &event->error); /* it may have hung up on having all of it */
        else
            fail(m, &event->error);
        break;
    case CARRIER_CLAIMED:
    case CARRIER_DIALED:
        break;
    }
}

static void on_listener(void *user, const struct carrier_event *event)
{
    struct method *m = user;

    if (m->stream && m->stream == m->listening) {
        on_stream(m, event);
        return;
    }
    m->claimed = event->kind == CARRIER_CLAIMED; /* else nobody came in time, or who came is gone */
    if (m->claimed && m->state == BINDING)
        open_for_bytes(m, m->listening);
}

static void on_dial(void *user, const struct carrier_event *event)
{
    struct method *m = user;

    if (m->stream && m->stream == candidate_dial_stream(m->dial)) {
        on_stream(m, event);
        return;
    }
    if (event->kind != CARRIER_FAILED)
        return;
    m->dial_lost = event->error;
    if (m->state == AWAITING)
        use_theirs(m); /* which is gone */
}

static void on_proxy(void *user, const struct carrier_event *event)
{
    struct method *m = user;
    struct error err;

    if (m->stream && m->stream == m->proxy) {
        on_stream(m, event);
    } else if (event->kind == CARRIER_DIALED) {
        step(m, STEP_RECEIVED, "socks5 connect", "ok", m->ours.all[m->they_use].jid);
        activate(m);
    } else if (event->kind == CARRIER_FAILED && m->state == DIALING) {
        step(m, STEP_RECEIVED, "socks5 connect", "error", event->error.text);
        error_set(&err, ERR_PROXY_UNAVAILABLE, "the proxy %s, which the recipient reached, is out of our reach: %.80s",
                  m->ours.all[m->they_use].jid, event->error.text);
        give_proxy_up(m, &err, true);
    } else if (event->kind == CARRIER_FAILED) {
        m->proxy_lost = event->error; /* the proxy says why in its answer */
    }
}

static void jingle_s5b_stream(struct method *m, int fd, uint64_t offset, uint64_t length)
{
    struct error err;

    if (m->state != OPEN) /* it failed while the transfer was on its way here, and said so */
        return;
    m->state = STREAMING;
    if (!m->stream)
        complete(m);
    else if (!m->host->carrier->ops->send(m->stream, fd, offset, length, &err))
        fail(m, &err);
}

/* ---- the end */

/* XEP-0234 section 8.1: the recipient has the file. Most end the session right after. */
static void take_received(struct method *m)
{
    step(m, STEP_RECEIVED, "received", "ok", "");
    if (m->state != STREAMING && m->state != SETTLING)
        return;
    m->confirmed = true;
    enter(m, SETTLING, GOODBYE_MS);
}

static void take_info(struct method *m, struct jingle_request *r)
{
    if (stanza_child(r->jingle, "received", NS_JINGLE_FILE)) {
        jingle_ack(r);
        take_received(m);
    } else if (stanza_child(r->jingle, "checksum", NS_JINGLE_FILE)) {
        jingle_ack(r);
    } else {
        jingle_refuse_info(r);
    }
}

static void on_request(void *user, struct jingle_request *r)
{
    struct method *m = user;

    switch (r->action) {
    case JINGLE_SESSION_ACCEPT:
        take_acceptance(m, r);
        break;
    case JINGLE_SESSION_INFO:
        take_info(m, r);
        break;
    case JINGLE_TRANSPORT_INFO:
        take_transport_info(m, r);
        break;
    case JINGLE_TRANSPORT_REPLACE:
        reject_transport(m, r);
        break;
    }
}

/* The peer is content. An empty file it may have without waiting for the bytes that are none. */
static void ended_well(struct method *m)
{
    struct error err;

    m->confirmed = true;
    if (m->state == STREAMING || m->state == SETTLING) {
        complete(m);
    } else if (m->file.size == 0 && m->state == OPEN) {
        m->stream = NULL;
    } else if (m->file.size == 0 && m->state != OFFERED) {
        open_for_bytes(m, NULL);
    } else {
        error_set(&err, ERR_PEER_PROTOCOL_ERROR, "%s says it has the file before a byte was sent", m->to.text);
        fail(m, &err);
    }
}

static void on_terminated(void *user, const struct error *why)
{
    struct method *m = user;

    if (m->state == OVER)
        return;
    step(m, STEP_RECEIVED, "session ended", why ? "error" : "ok", why ? why->text : "success");
    if (!why)
        ended_well(m);
    else if (m->confirmed)
        complete(m);
    else
        fail(m, why);
}

/* Streams outlive the session with the server, agreements do not. */
static void on_offline(void *user)
{
    struct method *m = user;
    struct error err;

    if (m->state == GATHERING || m->state >= OPEN)
        return;
    error_set(&err, ERR_XMPP_DISCONNECTED, "the XMPP connection ended while the bytestream was agreed on");
    fail(m, &err);
}

static void on_timer(uv_timer_t *timer)
{
    struct method *m = timer->data;
    struct error err;

    switch (m->state) {
    case OFFERED:
        error_set(&err, ERR_RECIPIENT_TIMEOUT, "%s did not accept the file in time", m->to.text);
        step(m, STEP_RECEIVED, "session accepted", "timeout", err.text);
        fail(m, &err);
        break;
    case AGREEING:
        on_silence(m);
        break;
    case BINDING:
        on_unclaimed(m);
        break;
    case AWAITING:
        error_set(&err, ERR_ACTIVATION_TIMEOUT, "%s did not activate its proxy", m->to.text);
        fail(m, &err);
        break;
    case SETTLING:
        if (m->lost.code != ERR_NONE && !m->confirmed)
            fail(m, &m->lost);
        else
            complete(m);
        break;
    case GATHERING:
    case DIALING:
    case ACTIVATING:
    case OPEN:
    case STREAMING:
    case OVER:
        break;
    }
}

/* What the peer is told, XEP-0166 section 7.4. */
static const char *reason_for(const struct method *m, const struct error *why)
{
    static const struct {
        enum error_code code;
        const char *reason;
    } reasons[] = {
        {ERR_CANCELLED, "cancel"},
        {ERR_TTL_EXPIRED, "expired"},
        {ERR_RECIPIENT_TIMEOUT, "timeout"},
        {ERR_PEER_PROTOCOL_ERROR, "failed-application"},
        {ERR_DRAINING, "gone"},
        {ERR_XMPP_DISCONNECTED, "gone"},
        {ERR_INTERNAL, "general-error"},
        {ERR_SYSTEM, "general-error"},
    };

    if (m->complete)
        return "success";
    for (size_t i = 0; why && i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].code == why->code)
            return reasons[i].reason;
    return why ? "connectivity-error" : "gone"; /* of all the rest the bytestream is to blame */
}

static void free_method(uv_handle_t *timer)
{
    struct method *m = timer->data;

    jingle_file_clear(&m->file);
    free(m);
}

static void jingle_s5b_end(struct method **m, const struct error *why)
{
    stop(*m);
    jingle_session_end(&(*m)->session, reason_for(*m, why));
    uv_close((uv_handle_t *)&(*m)->timer, free_method);
    *m = NULL;
}

static struct method *jingle_s5b_offer(struct method_host *host, void *network, const struct offer *o,
                                       struct error *err)
{
    static const struct jingle_events events = {on_refused, on_request, on_terminated, on_offline};
    struct methods_network *net = network;
    struct method *m = calloc(1, sizeof *m);

    if (!m) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    m->host = host;
    m->client = &net->client;
    m->to = *o->to;
    m->answer_ms = o->answer_ms;
    m->connect_ms = o->connect_ms;
    uv_timer_init(host->loop, &m->timer);
    m->timer.data = m;
    s5b_make_sid(m->sid);
    if (!jingle_file_copy(&m->file, o, err)) {
        jingle_s5b_end(&m, NULL);
        return NULL;
    }
    m->session = jingle_session_create(m->client->jingle, &m->to, &events, m);
    m->gathering = m->session ? proxies_wait(m->client->proxies, on_gathered, m) : 0;
    if (m->gathering == 0) {
        error_set(err, ERR_INTERNAL, "out of memory");
        jingle_s5b_end(&m, NULL);
    }
    return m;
}

static const char *const needs[] = {NS_JINGLE, NS_JINGLE_FILE, NS_JINGLE_S5B, NULL};
const struct method_ops method_jingle_s5b = {.name = "jingle-s5b",
                                             .needs = needs,
                                             .offer = jingle_s5b_offer,
                                             .stream = jingle_s5b_stream,
                                             .end = jingle_s5b_end};
