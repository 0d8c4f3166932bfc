/* xmpp/jingle_file.c - a file offered by Jingle (XEP-0166, XEP-0234): the methods jingle-s5b and jingle-ibb.
 *
 * A session begins with the one or the other transport. Where the bytestream reaches nobody it goes on in-band, if the
 * ladder has that rung as well: nobody has to be asked again. When the bytes are gone, the peer has the last word.
 *
 * The order of this file is the order of events. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xmpp/file_range.h"
#include "xmpp/ibb.h"
#include "xmpp/inband.h"
#include "xmpp/jingle.h"
#include "xmpp/jingle_description.h"
#include "xmpp/jingle_ibb.h"
#include "xmpp/jingle_s5b.h"
#include "xmpp/methods.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

enum {
    HANG_UP_MS = 3 * 1000,    /* the connection broke with the last byte: for the peer to say that it has them all */
    LAST_WORD_MS = 30 * 1000, /* all bytes are there: likewise */
    GOODBYE_MS = 2 * 1000,    /* it said so: for it to end the session itself */
};

enum state {
    PREPARING,  /* the transport finds out what it can offer */
    OFFERED,    /* a person or a client thinks about it */
    CONNECTING, /* the transport is agreed on */
    OPEN,       /* the transfer may begin */
    STREAMING,
    SETTLING, /* the bytes are gone, or it says it has them: the session's end is awaited */
    OVER
};

struct method {
    struct method_host *host;
    struct client *client;
    struct jingle_session *session;
    struct jingle_s5b *s5b; /* the transport in use is one of the two */
    struct jingle_ibb *ibb;
    struct jid to;
    struct jingle_file file;
    struct file_range range; /* what of it the peer asked for */
    uint64_t moved;          /* of that */
    uv_timer_t timer;
    unsigned answer_ms;
    enum state state;
    enum proof proof;    /* of what the transport itself shows */
    struct error broken; /* SETTLING: how the stream ended; ERR_NONE: well */
    bool may_switch;     /* to in-band */
    bool nothing_left;   /* to be sent: the peer has it all */
    bool hashing;        /* the digest is being computed */
    bool checksum_sent;
    bool confirmed; /* the peer says it has everything */
    bool complete;
};

/* ---- reports to the transfer */

static void report(struct method *m, enum method_event event)
{
    m->host->ops->report(m->host, &(struct method_report){.event = event});
}

static void step(struct method *m, enum step_direction direction, const char *name, const char *outcome,
                 const char *detail)
{
    m->host->ops->step(m->host, direction, name, outcome, detail);
}

static void drop_transports(struct method *m)
{
    jingle_s5b_destroy(&m->s5b);
    jingle_ibb_destroy(&m->ibb);
}

/* Ends whatever could still call us, but the session. */
static void stop(struct method *m)
{
    uv_timer_stop(&m->timer);
    drop_transports(m);
    m->state = OVER;
}

static void fail(struct method *m, const struct error *why)
{
    stop(m);
    m->host->ops->report(m->host, &(struct method_report){.event = METHOD_FAILED, .error = *why});
}

static void complete(struct method *m)
{
    const struct method_report r = {.event = METHOD_COMPLETE,
                                    .moved = m->range.offset + m->range.length,
                                    .proof = m->confirmed ? PROOF_PEER_CONFIRMED : m->proof};

    stop(m);
    m->complete = true;
    m->host->ops->report(m->host, &r);
}

static void on_timer(uv_timer_t *timer);

static void enter(struct method *m, enum state state, unsigned deadline_ms)
{
    m->state = state;
    uv_timer_start(&m->timer, on_timer, deadline_ms, 0);
}

/* ---- the offer */

/* Takes the transport. */
static bool initiate(struct method *m, const char *name, const char *candidates, xmpp_stanza_t *transport,
                     struct error *err)
{
    xmpp_ctx_t *ctx = m->client->ctx;
    xmpp_stanza_t *content = stanza_set(stanza_new(ctx, "content", NULL), "creator", "initiator");
    char detail[256];

    content = stanza_set(stanza_set(content, "name", JINGLE_CONTENT), "senders", "initiator");
    content = stanza_add(stanza_add(content, jingle_file_description(ctx, &m->file)), transport);
    if (!jingle_initiate(m->session, content, err))
        return false;
    enter(m, OFFERED, m->answer_ms);
    snprintf(detail, sizeof detail, "%" PRIu64 " bytes to %.100s%.120s", m->file.size, m->to.text, candidates);
    step(m, STEP_SENT, name, "", detail);
    return true;
}

static void on_ready(void *user)
{
    struct method *m = user;
    xmpp_stanza_t *transport = NULL;
    struct error err;

    if (!m->client->online)
        error_set(&err, ERR_XMPP_DISCONNECTED, "not connected to the XMPP server");
    else
        transport = jingle_s5b_offer(m->s5b, &err);
    if (!transport || !initiate(m, "offer jingle-s5b", jingle_s5b_offered(m->s5b), transport, &err))
        fail(m, &err);
}

static void on_refused(void *user, const struct error *why)
{
    struct method *m = user;

    if (m->state == OVER)
        return;
    step(m, STEP_RECEIVED, "session refused", "error", why->text);
    fail(m, why);
}

/* ---- the answer */

static void take_acceptance(struct method *m, struct jingle_request *r)
{
    xmpp_stanza_t *transport = stanza_child(r->content, "transport", m->s5b ? NS_JINGLE_S5B : NS_JINGLE_IBB);
    struct error err;
    bool fits = true;

    jingle_ack(r);
    if (m->state != OFFERED)
        return;
    if (!transport)
        fits =
            error_set(&err, ERR_PEER_PROTOCOL_ERROR, "%s accepted without the transport that was offered", m->to.text);
    else
        fits = file_range_read(jingle_file_range(r->content), m->file.size, m->to.text, &m->range, &err);
    step(m, STEP_RECEIVED, "session accepted", fits ? "ok" : "error", fits ? m->to.text : err.text);
    if (!fits) {
        fail(m, &err);
        return;
    }
    file_range_step(&m->range, m->file.size, m->host);
    report(m, METHOD_ACCEPTED);
    uv_timer_stop(&m->timer);
    m->state = CONNECTING;
    if (m->s5b)
        jingle_s5b_accepted(m->s5b, transport);
    else
        jingle_ibb_accepted(m->ibb, transport);
}

/* ---- what the transport tells */

static void on_waiting(void *user)
{
    report(user, METHOD_WAITING);
}

static void on_open(void *user)
{
    struct method *m = user;

    m->proof = m->s5b && jingle_s5b_proxied(m->s5b) ? PROOF_PROXY_ACCEPTED : PROOF_PEER_CLOSED;
    m->state = OPEN;
    report(m, METHOD_STREAM_OPEN);
}

static void on_failed(void *user, const struct error *why);
static void on_moved(void *user, uint64_t moved);
static void on_over(void *user, const struct error *broken);
static const struct jingle_transport_events events = {on_waiting, on_open, on_failed, on_moved, on_over};

/* The transport's failure, not the session's: what went wrong on the way to each other, or with a proxy. */
static bool can_switch(const struct method *m, const struct error *why)
{
    return m->s5b && m->may_switch && m->state >= CONNECTING && m->state <= OPEN && m->client->online &&
           (error_retry(why->code) == RETRY_METHOD || why->code == ERR_ACTIVATION_TIMEOUT ||
            why->code == ERR_STREAM_BROKEN) &&
           ibb_allows(m->client, m->range.length, NULL);
}

/* From the bytestream to in-band, XEP-0260 section 3: true when that is under way. */
static bool switch_to_inband(struct method *m, const struct error *why)
{
    struct jingle_ibb *ibb;

    if (!can_switch(m, why))
        return false;
    ibb = jingle_ibb_create(m->host, m->client, m->session, &m->to, jingle_s5b_sid(m->s5b), &events, m, NULL);
    if (!ibb)
        return false;
    drop_transports(m);
    m->ibb = ibb;
    m->state = CONNECTING;
    m->host->ops->report(m->host, &(struct method_report){.event = METHOD_SWITCHED, .error = *why});
    jingle_ibb_fall_back(ibb);
    return true;
}

static void on_failed(void *user, const struct error *why)
{
    struct method *m = user;

    if (!switch_to_inband(m, why))
        fail(m, why);
}

/* The peer was quicker to see that nobody reaches anybody. */
static void take_replace(struct method *m, struct jingle_request *r)
{
    struct error why;

    error_set(&why, ERR_TRANSPORT_FAILED, "%s gave the bytestream up", m->to.text);
    if (m->state == CONNECTING && jingle_ibb_is_asked_for(r) && switch_to_inband(m, &why)) {
        jingle_ibb_request(m->ibb, r);
        return;
    }
    step(m, STEP_RECEIVED, "transport-replace", "error", "the session stays with its transport");
    jingle_reject_transport(m->session, r);
}

static void take_transport_request(struct method *m, struct jingle_request *r)
{
    if (m->ibb)
        jingle_ibb_request(m->ibb, r);
    else if (r->action == JINGLE_TRANSPORT_REPLACE)
        take_replace(m, r);
    else if (r->action == JINGLE_TRANSPORT_INFO && m->s5b)
        jingle_s5b_info(m->s5b, r);
    else if (r->action == JINGLE_TRANSPORT_INFO)
        jingle_ack(r); /* late news */
    else
        jingle_refuse_order(r);
}

/* ---- bytes */

static void jingle_stream(struct method *m, struct shared_fd *file)
{
    if (m->state != OPEN) /* it failed while the transfer was on its way here, and said so */
        return;
    m->state = STREAMING;
    m->hashing = !m->file.sha256;
    if (m->nothing_left)
        complete(m);
    else if (m->s5b)
        jingle_s5b_stream(m->s5b, file, m->range.offset, m->range.length);
    else
        jingle_ibb_stream(m->ibb, file->fd, m->range.offset, m->range.length);
}

static bool all_moved(const struct method *m)
{
    return m->moved == m->range.length;
}

/* Behind the last byte, as soon as the digest is known. */
static void send_checksum(struct method *m)
{
    xmpp_stanza_t *checksum;

    if (m->checksum_sent || !m->file.sha256 || !all_moved(m))
        return;
    m->checksum_sent = true;
    checksum = jingle_file_checksum(m->client->ctx, &m->file, JINGLE_CONTENT);
    if (jingle_send(m->session, "session-info", checksum, NULL, NULL, NULL))
        step(m, STEP_SENT, "checksum", "", "sha-256");
}

static void on_moved(void *user, uint64_t moved)
{
    struct method *m = user;

    m->moved = moved;
    if (moved > 0)
        m->host->ops->report(m->host,
                             &(struct method_report){.event = METHOD_PROGRESS, .moved = m->range.offset + moved});
    send_checksum(m);
}

/* The peer's word is awaited; but it may itself wait for our checksum. */
static void await_last_word(struct method *m)
{
    if (m->broken.code != ERR_NONE)
        enter(m, SETTLING, HANG_UP_MS);
    else if (m->hashing)
        m->state = SETTLING;
    else
        enter(m, SETTLING, LAST_WORD_MS);
}

static void on_over(void *user, const struct error *broken)
{
    struct method *m = user;

    if (broken && !all_moved(m)) {
        fail(m, broken);
        return;
    }
    if (m->state == SETTLING) /* it said that it has everything, and is about to say goodbye */
        return;
    if (broken)
        m->broken = *broken; /* it may have hung up on having all of it */
    await_last_word(m);
}

static void jingle_digest(struct method *m, const char *sha256)
{
    if (m->state == OVER)
        return;
    m->hashing = false;
    if (sha256 && jingle_file_set_digest(&m->file, sha256) && m->state >= STREAMING)
        send_checksum(m);
    if (m->state == SETTLING && !uv_is_active((uv_handle_t *)&m->timer))
        await_last_word(m);
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
    if (jingle_file_says(r->jingle, "received")) {
        jingle_ack(r);
        take_received(m);
    } else if (jingle_file_says(r->jingle, "checksum")) {
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
    case JINGLE_SESSION_ACCEPT_AGAIN:
    case JINGLE_TRANSPORT_INFO:
    case JINGLE_TRANSPORT_REPLACE:
    case JINGLE_TRANSPORT_ACCEPT:
    case JINGLE_TRANSPORT_REJECT:
        take_transport_request(m, r);
        break;
    }
}

/* The peer is content. Where there is nothing to send it may be so without waiting for the bytes that are none. */
static void ended_well(struct method *m)
{
    struct error err;

    m->confirmed = true;
    if (m->state == STREAMING || m->state == SETTLING) {
        complete(m);
    } else if (m->state == OFFERED || m->range.length > 0) {
        error_set(&err, ERR_PEER_PROTOCOL_ERROR, "%s says it has the file before a byte was sent", m->to.text);
        fail(m, &err);
    } else {
        drop_transports(m);
        m->nothing_left = true;
        if (m->state == CONNECTING)
            report(m, METHOD_STREAM_OPEN);
        m->state = OPEN;
    }
}

static void ended_badly(struct method *m, const struct error *why)
{
    struct error broken = *why;

    if (m->confirmed) {
        complete(m);
        return;
    }
    if (m->state >= STREAMING && why->code == ERR_TRANSPORT_FAILED)
        broken.code = ERR_STREAM_BROKEN; /* it had worked, so another try is worth it */
    fail(m, &broken);
}

static void on_terminated(void *user, const struct error *why)
{
    struct method *m = user;

    if (m->state == OVER)
        return;
    step(m, STEP_RECEIVED, "session ended", why ? "error" : "ok", why ? why->text : "success");
    if (why)
        ended_badly(m, why);
    else
        ended_well(m);
}

/* Bytestreams outlive the session with the server, agreements do not; in-band ones find out by themselves. */
static void on_offline(void *user)
{
    struct method *m = user;
    struct error err;

    if (m->state != OFFERED && m->state != CONNECTING)
        return;
    error_set(&err, ERR_XMPP_DISCONNECTED, "the XMPP connection ended while the bytestream was agreed on");
    fail(m, &err);
}

/* Nothing more was said. A bytestream that closed after the last byte was read to its end. In-band the blocks were
 * acknowledged by who may never have handed them on: Dino 0.4 does, and throws them away. */
static void settled(struct method *m)
{
    if (m->confirmed) {
        complete(m);
        return;
    }
    if (m->ibb && m->broken.code == ERR_NONE)
        error_set(&m->broken, ERR_STALLED, "%s took every block and never said that it has the file", m->to.text);
    if (m->broken.code != ERR_NONE)
        fail(m, &m->broken);
    else
        complete(m);
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
    case SETTLING:
        settled(m);
        break;
    case PREPARING:
    case CONNECTING:
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
    return why ? "connectivity-error" : "gone"; /* of all the rest the transport is to blame */
}

static void free_method(uv_handle_t *timer)
{
    struct method *m = timer->data;

    jingle_file_clear(&m->file);
    free(m);
}

static void jingle_end(struct method **m, const struct error *why)
{
    stop(*m);
    jingle_session_end(&(*m)->session, reason_for(*m, why));
    uv_close((uv_handle_t *)&(*m)->timer, free_method);
    *m = NULL;
}

/* ---- the beginning */

/* The session, with everything but its transport. */
static struct method *create(struct method_host *host, struct client *client, const struct offer *o, struct error *err)
{
    static const struct jingle_events session_events = {on_refused, on_request, on_terminated, on_offline};
    struct method *m = calloc(1, sizeof *m);

    if (!m) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    m->host = host;
    m->client = client;
    jid_copy(&m->to, o->to);
    m->range.length = o->size;
    m->answer_ms = o->answer_ms;
    m->may_switch = o->may_switch;
    uv_timer_init(host->loop, &m->timer);
    m->timer.data = m;
    if (!jingle_file_copy(&m->file, o, err)) {
        jingle_end(&m, NULL);
        return NULL;
    }
    m->session = jingle_session_create(client->jingle, client_sender(client, o->from), &m->to, &session_events, m);
    if (!m->session) {
        error_set(err, ERR_INTERNAL, "out of memory");
        jingle_end(&m, NULL);
    }
    return m;
}

static struct method *jingle_s5b_method(struct method_host *host, void *network, const struct offer *o,
                                        struct error *err)
{
    struct client *client = &((struct methods_network *)network)->client;
    struct jingle_s5b_terms terms = {.size = o->size, .answer_ms = o->answer_ms, .connect_ms = o->connect_ms};
    struct method *m = create(host, client, o, err);

    if (!m)
        return NULL;
    m->s5b = jingle_s5b_create(host, client, m->session, &terms, &events, on_ready, m, err);
    if (!m->s5b)
        jingle_end(&m, NULL);
    return m;
}

static struct method *jingle_ibb_method(struct method_host *host, void *network, const struct offer *o,
                                        struct error *err)
{
    struct client *client = &((struct methods_network *)network)->client;
    struct method *m = ibb_allows(client, o->size, err) ? create(host, client, o, err) : NULL;
    char sid[IBB_SID];

    if (!m)
        return NULL;
    ibb_sid(sid);
    m->ibb = jingle_ibb_create(host, client, m->session, &m->to, sid, &events, m, err);
    if (!m->ibb || !initiate(m, "offer jingle-ibb", "", jingle_ibb_offer(m->ibb), err))
        jingle_end(&m, NULL);
    return m;
}

#define JINGLE_FILES NS_JINGLE_FILE "|" NS_JINGLE_FILE_4
static const char *const s5b_needs[] = {NS_JINGLE, JINGLE_FILES, NS_JINGLE_S5B, NULL};
static const char *const ibb_needs[] = {NS_JINGLE, JINGLE_FILES, NS_JINGLE_IBB, NULL};

const struct method_ops method_jingle_ibb = {.name = "jingle-ibb",
                                             .needs = ibb_needs,
                                             .asks = "jingle",
                                             .can = inband_can,
                                             .offer = jingle_ibb_method,
                                             .stream = jingle_stream,
                                             .digest = jingle_digest,
                                             .end = jingle_end};
const struct method_ops method_jingle_s5b = {.name = "jingle-s5b",
                                             .needs = s5b_needs,
                                             .asks = "jingle",
                                             .offer = jingle_s5b_method,
                                             .stream = jingle_stream,
                                             .digest = jingle_digest,
                                             .follows = true,
                                             .end = jingle_end,
                                             .successor = &method_jingle_ibb};
