/* xmpp/jingle_target.c - see jingle_target.h. The order of this file is the order of events. */
#include "xmpp/jingle_target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "gateway/reception.h"
#include "xmpp/ibb_in.h"
#include "xmpp/jingle.h"
#include "xmpp/jingle_description.h"
#include "xmpp/jingle_offered.h"
#include "xmpp/jingle_s5b.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

enum {
    PER_PEER = 16,             /* files of one bare JID, at whatever stage */
    FILES = 256,               /* of all */
    FALL_BACK_MS = 30 * 1000,  /* for the sender to go on in-band: that is his to ask for (protocol, and Dino) */
    CHECKSUM_MS = 2 * 1000,    /* for a digest that the offer did not have */
    LAST_BYTES_MS = 30 * 1000, /* to come behind the sender's word that he is through */
    IDLE_MS = 120 * 1000,      /* between blocks in-band; the carrier has its own */
    BLOCK = 4096               /* in-band, where the sender does not say */
};

enum state {
    PREPARING,  /* our candidates are found out */
    CONNECTING, /* accepted; the transport is being agreed on */
    GIVEN_UP,   /* the bytestream came to nothing; the sender may go on in-band */
    STREAMING,
    SETTLING, /* all is here, but for the digest */
    CHECKING  /* the receiver looks at it */
};

/* One on its way. */
struct file {
    struct method_host host; /* first: the transport's view of us is a carrier, a loop and a timeline */
    LIST_ENTRY(file) all;
    struct jingle_target *home;
    struct jingle_session *session;
    struct jingle_offered offer;
    struct reception *reception;
    struct jingle_s5b *s5b; /* the transport in use is one of the two */
    struct ibb_in *inband;
    uv_timer_t timer;
    enum state state;
    uint64_t offset;           /* where the sender begins */
    uint64_t most, moved;      /* from there */
    struct file_digest digest; /* told since the offer */
    struct error lost;         /* GIVEN_UP: why */
    bool extra;                /* more came than was announced */
    bool ended;                /* the sender ended the session, and need not be told anything */
};

struct jingle_target {
    struct client *client;
    LIST_HEAD(, file) files;
};

static const struct receiver_ops *ops_of(const struct file *f)
{
    return f->home->client->receiver->ops;
}

static const char *peer_of(const struct file *f)
{
    return jingle_peer(f->session)->text;
}

static void step(struct file *f, enum step_direction direction, const char *name, const char *outcome,
                 const char *detail)
{
    ops_of(f)->step(f->reception, direction, name, outcome, detail);
}

/* ---- the end */

/* What the sender is told, XEP-0166 section 7.4. */
static struct jingle_reason reason_for(const struct error *why)
{
    static const struct {
        enum error_code code;
        struct jingle_reason reason;
    } reasons[] = {
        {ERR_SENDER_NOT_ALLOWED, {"decline", NULL, NULL}},
        {ERR_METHOD_UNSUPPORTED, {"decline", NULL, NULL}},
        {ERR_BODY_TOO_LARGE, {"media-error", NULL, "file-too-large"}},
        {ERR_QUOTA_EXCEEDED, {"busy", NULL, NULL}},
        {ERR_RATE_LIMITED, {"busy", NULL, NULL}},
        {ERR_SPOOL_FULL, {"busy", NULL, NULL}},
        {ERR_STORE_UNAVAILABLE, {"busy", NULL, NULL}},
        {ERR_DRAINING, {"gone", NULL, NULL}},
        {ERR_XMPP_DISCONNECTED, {"gone", NULL, NULL}},
        {ERR_CANCELLED, {"cancel", NULL, NULL}},
        {ERR_HASH_MISMATCH, {"media-error", "the file is not the one whose digest was told", NULL}},
        {ERR_SIZE_EXCEEDED, {"media-error", "more came than was announced", NULL}},
        {ERR_TRUNCATED, {"failed-transport", "less came than was announced", NULL}},
        {ERR_RECIPIENT_TIMEOUT, {"timeout", NULL, NULL}},
        {ERR_STALLED, {"timeout", NULL, NULL}},
        {ERR_PEER_PROTOCOL_ERROR, {"failed-application", NULL, NULL}},
        {ERR_INTERNAL, {"general-error", NULL, NULL}},
        {ERR_SYSTEM, {"general-error", NULL, NULL}},
    };

    for (size_t i = 0; why && i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].code == why->code)
            return reasons[i].reason;
    return (struct jingle_reason){.name = why ? "connectivity-error" : "success"}; /* the transport is to blame */
}

static void free_file(uv_handle_t *timer)
{
    free(timer->data);
}

/* Tells the sender, and nobody else. */
static void drop(struct file *f, const struct jingle_reason *reason)
{
    jingle_s5b_destroy(&f->s5b);
    ibb_in_destroy(&f->inband);
    jingle_session_end_for(&f->session, reason);
    LIST_REMOVE(f, all);
    uv_close((uv_handle_t *)&f->timer, free_file);
}

static void finish(struct file *f, const struct error *why)
{
    const struct receiver_ops *ops = ops_of(f);
    const struct jingle_reason reason = reason_for(why);
    struct reception *re = f->reception;

    drop(f, &reason);
    ops->end(&re, why);
}

static void tell_received(struct file *f)
{
    xmpp_stanza_t *received =
        stanza_set(stanza_new(f->home->client->ctx, "received", f->offer.ns), "creator", "initiator");

    received = stanza_set(received, "name", jingle_content_name(f->session));
    if (jingle_send(f->session, "session-info", received, NULL, NULL, NULL))
        step(f, STEP_SENT, "received", "", "");
}

static void on_checked(void *user, const struct error *err)
{
    struct file *f = user;

    if (!err && !f->ended)
        tell_received(f);
    finish(f, err);
}

static void check(struct file *f)
{
    uv_timer_stop(&f->timer);
    f->state = CHECKING;
    ops_of(f)->complete(f->reception, f->moved, f->digest.algo, f->digest.algo ? f->digest.hex : NULL, f->extra,
                        on_checked, f);
}

static void on_timer(uv_timer_t *timer);

static void enter(struct file *f, enum state state, unsigned deadline_ms)
{
    f->state = state;
    uv_timer_start(&f->timer, on_timer, deadline_ms, 0);
}

static bool all_moved(const struct file *f)
{
    return f->offer.size >= 0 && f->moved == f->most;
}

/* The stream is over. Some tell the digest behind the last byte, with or without having said so before. */
static void settle(struct file *f)
{
    bool whole = f->offer.size < 0 || all_moved(f);

    if (whole && !f->offer.digest.algo && !f->digest.algo && !f->ended)
        enter(f, SETTLING, CHECKSUM_MS);
    else
        check(f);
}

/* ---- bytes by the bytestream */

static bool begin(struct file *f, struct shared_fd **file, struct error *err)
{
    uv_timer_stop(&f->timer);
    *file = ops_of(f)->begin(f->reception, f->offset, &f->most, err);
    if (*file)
        f->state = STREAMING;
    return *file != NULL;
}

static void on_open(void *user)
{
    struct file *f = user;
    struct shared_fd *file;
    struct error err;

    if (!begin(f, &file, &err))
        finish(f, &err);
    else if (f->most == 0 && f->offer.size >= 0)
        settle(f);
    else
        jingle_s5b_receive(f->s5b, file, f->offset, f->most);
}

/* Nothing was to come, so it does not matter that there is no way; one that is found later would begin it again. */
static void settle_empty(struct file *f)
{
    struct shared_fd *file;
    struct error err;

    jingle_s5b_destroy(&f->s5b);
    ibb_in_destroy(&f->inband);
    if (begin(f, &file, &err))
        settle(f);
    else
        finish(f, &err);
}

static void on_failed(void *user, const struct error *why)
{
    struct file *f = user;

    step(f, STEP_RECEIVED, "bytestream", "error", why->text);
    jingle_s5b_destroy(&f->s5b);
    if (f->state == SETTLING || f->state == CHECKING)
        return; /* nothing more was to come by it */
    if (why->code == ERR_XMPP_DISCONNECTED) {
        finish(f, why);
    } else if (f->offer.size == 0) {
        settle_empty(f);
    } else {
        f->lost = *why;
        enter(f, GIVEN_UP, FALL_BACK_MS);
    }
}

static void on_moved(void *user, uint64_t moved)
{
    struct file *f = user;

    f->moved = moved;
    ops_of(f)->moved(f->reception, moved);
}

static void on_over(void *user, const struct error *broken)
{
    struct file *f = user;

    if (broken && !all_moved(f)) {
        finish(f, broken);
        return;
    }
    f->extra = jingle_s5b_had_more(f->s5b);
    settle(f);
}

static void on_waiting(void *user)
{
    (void)user; /* of the side that sends */
}

static const struct jingle_transport_events s5b_events = {on_waiting, on_open, on_failed, on_moved, on_over};

/* ---- bytes in-band */

static bool on_inband_opened(void *user, uint64_t *most, struct error *err)
{
    struct file *f = user;
    struct shared_fd *file;

    if (!begin(f, &file, err)) {
        finish(f, err);
        return false;
    }
    *most = f->most;
    ops_of(f)->chose(f->reception, "inband", NULL);
    step(f, STEP_RECEIVED, "ibb open", "ok", peer_of(f));
    return true;
}

static bool on_inband_bytes(void *user, const void *data, size_t len, struct error *err)
{
    struct file *f = user;

    return ops_of(f)->write(f->reception, data, len, err);
}

static void on_inband_closed(void *user, uint64_t moved, bool extra)
{
    struct file *f = user;

    step(f, STEP_RECEIVED, "ibb close", "ok", "");
    f->moved = moved;
    f->extra = extra;
    settle(f);
}

static void on_inband_failed(void *user, const struct error *why, uint64_t moved)
{
    (void)moved; /* write() knows */
    finish(user, why);
}

/* What a <transport/> says: false when it is no stream that we take. A block may be smaller than asked for. */
static bool read_inband(xmpp_stanza_t *transport, const char **sid, unsigned *block)
{
    const char *size = stanza_attr(transport, "block-size");
    unsigned long number = BLOCK;

    *sid = stanza_attr(transport, "sid");
    if (size && (!*size || strspn(size, "0123456789") != strlen(size) || strlen(size) > 9))
        return false;
    if (size)
        number = strtoul(size, NULL, 10);
    *block = number < IBB_IN_BLOCK ? (unsigned)number : IBB_IN_BLOCK;
    return *sid && **sid && number > 0;
}

/* Returns what to answer to that transport, whose stream is expected from now on; NULL with *err set. */
static xmpp_stanza_t *expect_inband(struct file *f, xmpp_stanza_t *transport, struct error *err)
{
    static const struct ibb_in_events events = {on_inband_opened, on_inband_bytes, on_inband_closed, on_inband_failed};
    struct ibb_in_terms terms = {.local = jingle_local(f->session),
                                 .peer = jingle_peer(f->session),
                                 .open_ms = IBB_IN_OPEN_MS,
                                 .idle_ms = IDLE_MS};
    xmpp_stanza_t *answer = stanza_new(f->home->client->ctx, "transport", NS_JINGLE_IBB);
    char block[12];

    error_set(err, ERR_PEER_PROTOCOL_ERROR, "%s offers an in-band stream that cannot be opened", peer_of(f));
    if (read_inband(transport, &terms.sid, &terms.block_max))
        f->inband = ibb_in_expect(f->home->client, &terms, &events, f, err);
    snprintf(block, sizeof block, "%u", terms.block_max);
    answer = stanza_set(stanza_set(answer, "sid", terms.sid), "block-size", block);
    if (!answer && f->inband)
        error_set(err, ERR_INTERNAL, "out of memory");
    if (answer && !f->inband) {
        xmpp_stanza_release(answer);
        answer = NULL;
    }
    return answer;
}

/* ---- what the sender says of it */

/* XEP-0166 section 6.10. He sees as well as we do that nobody reached anybody, and may see it first. */
static void take_replace(struct file *f, struct jingle_request *r)
{
    xmpp_stanza_t *inband = stanza_child(r->content, "transport", NS_JINGLE_IBB), *answer;
    bool may = (f->state == CONNECTING && f->s5b) || f->state == GIVEN_UP;
    struct error err;

    answer = may && inband ? expect_inband(f, inband, &err) : NULL;
    if (!answer) {
        if (may)
            ibb_in_destroy(&f->inband);
        step(f, STEP_RECEIVED, "transport-replace", "error", "the session stays with its transport");
        jingle_reject_transport(f->session, r);
        return;
    }
    jingle_ack(r);
    step(f, STEP_RECEIVED, "transport-replace", "ok", "in-band");
    jingle_s5b_destroy(&f->s5b);
    uv_timer_stop(&f->timer);
    f->state = CONNECTING;
    if (jingle_send(f->session, "transport-accept", jingle_content(f->session, answer), NULL, NULL, &err))
        step(f, STEP_SENT, "transport-accept", "", "in-band");
    else
        finish(f, &err);
}

static void take_checksum(struct file *f, struct jingle_request *r)
{
    jingle_ack(r);
    if (f->state == CHECKING || !jingle_offered_checksum(r->jingle, &f->digest))
        return;
    step(f, STEP_RECEIVED, "checksum", "ok", f->digest.algo);
    if (f->state == SETTLING)
        check(f);
}

static void take_info(struct file *f, struct jingle_request *r)
{
    if (jingle_file_says(r->jingle, "checksum"))
        take_checksum(f, r);
    else if (jingle_file_says(r->jingle, "received"))
        jingle_ack(r);
    else
        jingle_refuse_info(r);
}

static void on_request(void *user, struct jingle_request *r)
{
    struct file *f = user;

    switch (r->action) {
    case JINGLE_SESSION_INFO:
        take_info(f, r);
        break;
    case JINGLE_TRANSPORT_INFO:
        if (f->s5b)
            jingle_s5b_info(f->s5b, r);
        else
            jingle_ack(r); /* late news */
        break;
    case JINGLE_TRANSPORT_REPLACE:
        take_replace(f, r);
        break;
    case JINGLE_SESSION_ACCEPT:
    case JINGLE_SESSION_ACCEPT_AGAIN:
    case JINGLE_TRANSPORT_ACCEPT:
    case JINGLE_TRANSPORT_REJECT:
        jingle_refuse_order(r); /* we ask for nothing of that kind */
        break;
    }
}

static void on_refused(void *user, const struct error *why)
{
    finish(user, why);
}

/* His word that he is through may overtake the last bytes. */
static void ended_well(struct file *f)
{
    struct error err;

    if (f->state == CHECKING)
        return;
    if (f->state == SETTLING) {
        check(f);
    } else if (f->state == STREAMING) {
        enter(f, STREAMING, LAST_BYTES_MS);
    } else if (f->offer.size == 0) {
        settle_empty(f);
    } else {
        error_set(&err, ERR_PEER_PROTOCOL_ERROR, "%s says it is through before a byte came", peer_of(f));
        finish(f, &err);
    }
}

static void on_terminated(void *user, const struct error *why)
{
    struct file *f = user;

    f->ended = true;
    step(f, STEP_RECEIVED, "session ended", why ? "error" : "ok", why ? why->text : "success");
    if (!why || f->state == SETTLING || f->state == CHECKING)
        ended_well(f);
    else
        finish(f, why);
}

/* Bytestreams outlive the session with the server, agreements and what goes in-band do not. */
static void on_offline(void *user)
{
    struct file *f = user;
    struct error err;

    if (f->state == SETTLING || f->state == CHECKING || (f->state == STREAMING && f->s5b))
        return;
    error_set(&err, ERR_XMPP_DISCONNECTED, "the XMPP connection ended while the file was on its way");
    finish(f, &err);
}

static const struct jingle_events session_events = {on_refused, on_request, on_terminated, on_offline};

static void on_timer(uv_timer_t *timer)
{
    struct file *f = timer->data;
    struct error err;

    switch (f->state) {
    case GIVEN_UP:
        err = f->lost;
        finish(f, &err);
        break;
    case STREAMING:
        error_set(&err, ERR_STALLED, "%s says it is through, and not all of the file came", peer_of(f));
        finish(f, &err);
        break;
    case SETTLING:
        check(f);
        break;
    case PREPARING:
    case CONNECTING:
    case CHECKING:
        break;
    }
}

/* ---- the offer */

/* Takes the transport. */
static bool say_yes(struct file *f, xmpp_stanza_t *transport, const char *candidates, struct error *err)
{
    xmpp_stanza_t *description = jingle_offered_answer(f->home->client->ctx, &f->offer, f->offset);
    xmpp_stanza_t *content = stanza_set(jingle_content(f->session, description), "senders", "initiator");

    if (!jingle_accept(f->session, stanza_add(content, transport), err))
        return false;
    f->state = CONNECTING;
    step(f, STEP_SENT, "session accepted", "", candidates);
    return true;
}

static void on_ready(void *user)
{
    struct file *f = user;
    struct error err;
    xmpp_stanza_t *transport = jingle_s5b_answer(f->s5b, &err);

    if (transport && say_yes(f, transport, jingle_s5b_offered(f->s5b) + strspn(jingle_s5b_offered(f->s5b), ": "), &err))
        jingle_s5b_answered(f->s5b);
    else
        finish(f, &err);
}

static void on_revoked(void *user, const struct error *why)
{
    finish(user, why);
}

static const char *said(const char *text)
{
    return *text ? text : NULL;
}

/* Whether the receiver takes it, and from where on. */
static bool ask_receiver(struct file *f, const char *method, struct error *err)
{
    static const struct reception_events events = {on_revoked};
    struct receiver *r = f->home->client->receiver;
    const struct jingle_offered *o = &f->offer;
    const struct incoming incoming = {.from = jingle_peer(f->session),
                                      .to = jingle_local(f->session),
                                      .method = method,
                                      .name = said(o->name),
                                      .type = said(o->type),
                                      .caption = said(o->caption),
                                      .size = o->size,
                                      .modified = o->modified,
                                      .hash_algo = o->digest.algo,
                                      .hash = o->digest.algo ? o->digest.hex : NULL,
                                      .ranges = o->ranges};

    f->reception = r->ops->offered(r, &incoming, &events, f, err);
    if (!f->reception)
        return false;
    f->offset = o->ranges ? r->ops->offset(f->reception) : 0;
    step(f, STEP_RECEIVED, "offer", "ok", method);
    if (o->offset == 0 || o->offset == f->offset)
        return true;
    return error_set(err, ERR_METHOD_UNSUPPORTED, "%s would begin in the middle of a file that is not here",
                     peer_of(f));
}

static void timeline(struct method_host *host, enum step_direction direction, const char *name, const char *outcome,
                     const char *detail)
{
    step((struct file *)host, direction, name, outcome, detail);
}

static void chose(struct method_host *host, const char *path, const char *streamhost)
{
    struct file *f = (struct file *)host;

    ops_of(f)->chose(f->reception, path, streamhost);
}

static const struct method_host_ops host_ops = {.step = timeline, .chose = chose};

static struct file *make(struct jingle_target *t)
{
    struct file *f = calloc(1, sizeof *f);

    if (!f)
        return NULL;
    f->home = t;
    f->host = (struct method_host){.ops = &host_ops, .carrier = t->client->receiver->carrier, .loop = t->client->loop};
    uv_timer_init(t->client->loop, &f->timer);
    f->timer.data = f;
    LIST_INSERT_HEAD(&t->files, f, all);
    return f;
}

/* The receiver is asked only about what could come. */
static void take_s5b(struct file *f, xmpp_stanza_t *transport)
{
    struct jingle_s5b_terms terms = {.size = f->offer.size >= 0 ? (uint64_t)f->offer.size : UINT64_MAX};
    struct jingle_reason reason = {.name = "unsupported-transports"};
    struct error err;

    f->s5b = jingle_s5b_create(&f->host, f->home->client, f->session, &terms, &s5b_events, on_ready, f, &err);
    if (!f->s5b || !jingle_s5b_offered_to_us(f->s5b, transport)) {
        drop(f, &reason);
    } else if (!ask_receiver(f, "jingle-s5b", &err)) {
        finish(f, &err);
    }
}

static void take_inband(struct file *f, xmpp_stanza_t *transport)
{
    xmpp_stanza_t *answer = NULL;
    struct error err;

    if (ask_receiver(f, "jingle-ibb", &err))
        answer = expect_inband(f, transport, &err);
    if (!answer || !say_yes(f, answer, "in-band", &err))
        finish(f, &err);
}

static bool has_too_much(const struct jingle_target *t, const struct jid *peer)
{
    const struct file *f;
    unsigned all = 0, its = 0;

    LIST_FOREACH(f, &t->files, all)
    {
        all++;
        its += jid_same_bare(jingle_peer(f->session), peer);
    }
    return all >= FILES || its >= PER_PEER;
}

static void take(struct file *f, struct jingle_request *r)
{
    xmpp_stanza_t *s5b = stanza_child(r->content, "transport", NS_JINGLE_S5B);
    xmpp_stanza_t *inband = stanza_child(r->content, "transport", NS_JINGLE_IBB);
    struct jingle_reason reason = {.name = "unsupported-transports"};

    if (!jingle_offered_read(r->jingle, &f->offer, &reason) || (!s5b && !inband))
        drop(f, &reason);
    else if (s5b)
        take_s5b(f, s5b);
    else
        take_inband(f, inband);
}

static bool on_offer(void *user, struct jingle_request *r, const struct jid *local, const struct jid *peer)
{
    struct jingle_target *t = user;
    struct receiver *receiver = t->client->receiver;
    struct file *f;

    if (!receiver || !receiver->ops->receives(receiver, local))
        return false;
    if (!jingle_is_whole(r)) {
        jingle_refuse(r, "modify", "bad-request");
        return true;
    }
    f = peer->full && !has_too_much(t, peer) ? make(t) : NULL;
    if (!f) {
        jingle_refuse(r, "wait", "resource-constraint");
        return true;
    }
    f->session = jingle_session_take(r, local, peer, &session_events, f);
    if (!f->session) {
        jingle_refuse(r, "wait", "resource-constraint");
        drop(f, NULL);
        return true;
    }
    jingle_ack(r);
    take(f, r);
    return true;
}

/* ---- life */

struct jingle_target *jingle_target_create(struct client *c)
{
    struct jingle_target *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->client = c;
    LIST_INIT(&t->files);
    jingle_on_offer(c->jingle, on_offer, t);
    return t;
}

void jingle_target_destroy(struct jingle_target **t)
{
    struct error err;

    if (!*t)
        return;
    error_set(&err, ERR_DRAINING, "the gateway stops");
    while (!LIST_EMPTY(&(*t)->files))
        finish(LIST_FIRST(&(*t)->files), &err);
    jingle_on_offer((*t)->client->jingle, NULL, NULL);
    free(*t);
    *t = NULL;
}
