/* xmpp/jingle.c - see jingle.h. */
#include "xmpp/jingle.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

enum {
    ACK_MS = 30 * 1000,
    ENDED_MS = 60 * 1000, /* how long the repetition of an end is answered as if it were the first */
    ENDED = 256,
    QUESTIONS = 16, /* of one session on their way at once */
    SID_MAX = 256,  /* bytes of a peer's session id, or of the name of its content */
};

enum state { CREATED, PENDING, ACTIVE, ENDED_BY_PEER };

struct jingle_session {
    LIST_ENTRY(jingle_session) all;
    struct jingle *table;
    struct jid *local, *peer;
    char *sid, *content;
    bool responder; /* the peer began it */
    enum state state;
    const struct jingle_events *events;
    void *user;
    uint64_t questions[QUESTIONS];
    size_t question_count;
};

/* Who a session that is over was with, and its id. */
struct ended {
    char *key;
    int64_t until;
};

struct jingle {
    struct client *client;
    LIST_HEAD(, jingle_session) all;
    struct ended ended[ENDED]; /* a ring */
    size_t next_ended;
    jingle_offered_fn *offered;
    void *offered_user;
};

/* ---- sessions that are over */

static char *key_of(const char *sid, const struct jid *local, const struct jid *peer)
{
    struct buf key = {0};

    buf_printf(&key, "%s\n%s\n%s", local->text, peer->text, sid); /* no JID has a line break in it */
    return buf_steal(&key);
}

static void remember_end(const struct jingle_session *s)
{
    struct ended *e = &s->table->ended[s->table->next_ended++ % ENDED];

    free(e->key);
    e->key = key_of(s->sid, s->local, s->peer); /* out of memory: the repetition gets an error, and that is all */
    e->until = clock_ms() + ENDED_MS;
}

static bool ended_lately(const struct jingle *j, const char *sid, const struct jid *local, const struct jid *peer)
{
    char *key = key_of(sid, local, peer);
    bool found = false;

    for (size_t i = 0; key && i < ENDED && !found; i++)
        found = j->ended[i].key && strcmp(j->ended[i].key, key) == 0 && clock_ms() < j->ended[i].until;
    free(key);
    return found;
}

/* ---- what is said */

static xmpp_stanza_t *build(const struct jingle_session *s, const char *action, xmpp_stanza_t *child)
{
    xmpp_ctx_t *ctx = s->table->client->ctx;
    xmpp_stanza_t *jingle = stanza_new(ctx, "jingle", NS_JINGLE);

    jingle = stanza_set(stanza_set(jingle, "action", action), "sid", s->sid);
    if (s->state == CREATED)
        jingle = stanza_set(jingle, "initiator", s->local->text);
    else if (strcmp(action, "session-accept") == 0)
        jingle = stanza_set(jingle, "responder", s->local->text);
    return stanza_set(stanza_iq(ctx, "set", stanza_add(jingle, child)), "from", s->local->text);
}

xmpp_stanza_t *jingle_content(const struct jingle_session *s, xmpp_stanza_t *transport)
{
    xmpp_stanza_t *content = stanza_set(stanza_new(s->table->client->ctx, "content", NULL), "creator", "initiator");

    return stanza_add(stanza_set(content, "name", s->content), transport);
}

const struct jid *jingle_local(const struct jingle_session *s)
{
    return s->local;
}

const struct jid *jingle_peer(const struct jingle_session *s)
{
    return s->peer;
}

bool jingle_responds(const struct jingle_session *s)
{
    return s->responder;
}

const char *jingle_content_name(const struct jingle_session *s)
{
    return s->content;
}

static void ignore(void *user, const struct iq_reply *reply)
{
    (void)user;
    (void)reply;
}

static uint64_t ask(struct jingle_session *s, const char *action, xmpp_stanza_t *child, iq_done_fn *done, void *user,
                    struct error *err)
{
    struct client *c = s->table->client;
    xmpp_stanza_t *iq = build(s, action, child);
    uint64_t ticket = iq_ask(c->iq, iq, s->peer, ACK_MS, done ? done : ignore, user, err);

    if (iq)
        xmpp_stanza_release(iq);
    return ticket;
}

uint64_t jingle_send(struct jingle_session *s, const char *action, xmpp_stanza_t *child, iq_done_fn *done, void *user,
                     struct error *err)
{
    uint64_t ticket = ask(s, action, child, done, user, err);

    if (ticket)
        s->questions[s->question_count++ % QUESTIONS] = ticket;
    return ticket;
}

/* What an error in answer to an offer means; what is not listed means what it means everywhere. */
static void read_refusal(const struct jingle_session *s, const struct iq_reply *reply, struct error *err)
{
    static const struct {
        const char *condition;
        enum error_code code;
        const char *says;
    } meanings[] = {
        {"service-unavailable", ERR_METHOD_UNSUPPORTED, "takes no Jingle offers from us"},
        {"feature-not-implemented", ERR_METHOD_UNSUPPORTED, "takes no Jingle offers"},
        {"resource-constraint", ERR_RECIPIENT_BUSY, "is busy"},
        {"redirect", ERR_RECIPIENT_REDIRECTS, "wants the file elsewhere"},
        {"bad-request", ERR_OFFER_REJECTED, "did not understand the offer"},
        {"not-acceptable", ERR_OFFER_REJECTED, "does not accept the offer"},
    };

    for (size_t i = 0; reply->outcome == IQ_ERROR && i < sizeof meanings / sizeof *meanings; i++) {
        if (strcmp(reply->condition, meanings[i].condition) == 0) {
            error_set(err, meanings[i].code, "%s %s (%s%s%s)", s->peer->text, meanings[i].says, reply->condition,
                      reply->text[0] ? ": " : "", reply->text);
            return;
        }
    }
    iq_error(reply, s->peer->text, err);
}

static void on_initiated(void *user, const struct iq_reply *reply)
{
    struct jingle_session *s = user;
    struct error err;

    if (reply->outcome == IQ_RESULT || s->state == ENDED_BY_PEER)
        return;
    if (s->responder)
        iq_error(reply, s->peer->text, &err);
    else
        read_refusal(s, reply, &err);
    if (reply->outcome == IQ_ERROR)
        s->state = CREATED; /* there is no session at the peer's side to be ended */
    s->events->refused(s->user, &err);
}

bool jingle_initiate(struct jingle_session *s, xmpp_stanza_t *content, struct error *err)
{
    assert(s->state == CREATED);
    if (!jingle_send(s, "session-initiate", content, on_initiated, s, err))
        return false;
    s->state = PENDING;
    return true;
}

bool jingle_accept(struct jingle_session *s, xmpp_stanza_t *content, struct error *err)
{
    assert(s->state == PENDING && s->responder);
    if (!jingle_send(s, "session-accept", content, on_initiated, s, err))
        return false;
    s->state = ACTIVE;
    return true;
}

/* ---- from birth to death */

static void free_session(struct jingle_session *s)
{
    free(s->local);
    free(s->peer);
    free(s->sid);
    free(s->content);
    free(s);
}

static struct jingle_session *create(struct jingle *j, const struct jid *local, const struct jid *peer, const char *sid,
                                     const char *content)
{
    struct jingle_session *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->table = j;
    s->local = jid_dup(local);
    s->peer = jid_dup(peer);
    s->sid = strdup(sid);
    s->content = strdup(content);
    if (s->local && s->peer && s->sid && s->content) {
        LIST_INSERT_HEAD(&j->all, s, all);
        return s;
    }
    free_session(s);
    return NULL;
}

struct jingle_session *jingle_session_create(struct jingle *j, const struct jid *local, const struct jid *peer,
                                             const struct jingle_events *events, void *user)
{
    char random[17], sid[20];
    struct jingle_session *s;

    id_random_hex(random, 8);
    snprintf(sid, sizeof sid, "jp%s", random); /* an NMTOKEN */
    s = create(j, local, peer, sid, JINGLE_CONTENT);
    if (!s)
        return NULL;
    s->events = events;
    s->user = user;
    return s;
}

struct jingle_session *jingle_session_take(const struct jingle_request *r, const struct jid *local,
                                           const struct jid *peer, const struct jingle_events *events, void *user)
{
    struct jingle_session *s =
        create(r->table, local, peer, stanza_attr(r->jingle, "sid"), stanza_attr(r->content, "name"));

    if (!s)
        return NULL;
    s->responder = true;
    s->state = PENDING;
    s->events = events;
    s->user = user;
    return s;
}

static xmpp_stanza_t *build_reason(const struct jingle_session *s, const struct jingle_reason *why)
{
    xmpp_ctx_t *ctx = s->table->client->ctx;
    xmpp_stanza_t *reason = stanza_add(stanza_new(ctx, "reason", NULL), stanza_new(ctx, why->name, NULL));

    if (why->text)
        reason = stanza_add(reason, stanza_add_text(ctx, stanza_new(ctx, "text", NULL), why->text));
    if (why->special)
        reason = stanza_add(reason, stanza_new(ctx, why->special, NS_JINGLE_FILE_ERRORS));
    return reason;
}

void jingle_session_end_for(struct jingle_session **session, const struct jingle_reason *why)
{
    struct jingle_session *s = *session;

    if (!s)
        return;
    for (size_t i = 0; i < QUESTIONS; i++)
        iq_forget(s->table->client->iq, s->questions[i]);
    if (s->state == PENDING || s->state == ACTIVE) {
        ask(s, "session-terminate", build_reason(s, why), NULL, NULL, NULL);
        remember_end(s);
    }
    LIST_REMOVE(s, all);
    free_session(s);
    *session = NULL;
}

void jingle_session_end(struct jingle_session **s, const char *reason)
{
    jingle_session_end_for(s, &(struct jingle_reason){.name = reason});
}

/* ---- what is heard */

static struct jingle_session *find(struct jingle *j, const char *sid, const struct jid *local, const struct jid *peer)
{
    struct jingle_session *s;

    LIST_FOREACH(s, &j->all, all)
    {
        if (s->state != CREATED && s->state != ENDED_BY_PEER && strcmp(s->sid, sid) == 0 && jid_equal(s->peer, peer) &&
            jid_equal(s->local, local))
            return s;
    }
    return NULL;
}

void jingle_ack(struct jingle_request *r)
{
    assert(!r->answered);
    r->answered = true;
    iq_reply_result(r->table->client->iq, r->iq, NULL);
}

void jingle_refuse(struct jingle_request *r, const char *type, const char *condition)
{
    assert(!r->answered);
    r->answered = true;
    iq_reply_error(r->table->client->iq, r->iq, type, condition);
}

static void refuse_with(struct jingle_request *r, const char *type, const char *condition, const char *special)
{
    assert(!r->answered);
    r->answered = true;
    iq_reply_error_with(r->table->client->iq, r->iq, type, condition, special, NS_JINGLE_ERRORS);
}

void jingle_refuse_order(struct jingle_request *r)
{
    refuse_with(r, "wait", "unexpected-request", "out-of-order");
}

void jingle_refuse_info(struct jingle_request *r)
{
    refuse_with(r, "modify", "feature-not-implemented", "unsupported-info");
}

void jingle_reject_transport(struct jingle_session *s, struct jingle_request *r)
{
    xmpp_stanza_t *told = stanza_child(r->content, "transport", NULL), *transport;

    jingle_ack(r);
    transport = stanza_new(s->table->client->ctx, "transport", told ? xmpp_stanza_get_ns(told) : NULL);
    transport = stanza_set(transport, "sid", stanza_attr(told, "sid"));
    jingle_send(s, "transport-reject", jingle_content(s, transport), NULL, NULL, NULL);
}

static const char *with_hyphens(const char *name, char *out, size_t max)
{
    snprintf(out, max, "%s", name);
    for (char *at = out; *at; at++)
        if (*at == '_')
            *at = '-';
    return out;
}

/* Section 7.4: why the peer ended it. True: because all went well. */
static bool read_reason(const struct jingle_session *s, xmpp_stanza_t *reason, struct error *err)
{
    static const struct {
        const char *name;
        enum error_code code;
        const char *says;
    } meanings[] = {
        {"decline", ERR_RECIPIENT_DECLINED, "declined the file"},
        {"cancel", ERR_RECIPIENT_CANCELLED, "cancelled the transfer"},
        {"busy", ERR_RECIPIENT_BUSY, "is busy"},
        {"connectivity-error", ERR_TRANSPORT_FAILED, "found no way to connect"},
        {"failed-transport", ERR_TRANSPORT_FAILED, "could not use the bytestream"},
        {"unsupported-transports", ERR_TRANSPORT_FAILED, "takes no such bytestreams"},
        {"failed-application", ERR_OFFER_REJECTED, "could not take the file"},
        {"incompatible-parameters", ERR_OFFER_REJECTED, "does not accept the offer"},
        {"unsupported-applications", ERR_OFFER_REJECTED, "takes no such files"},
        {"media-error", ERR_HASH_MISMATCH, "did not find the file to be what was announced"},
        {"security-error", ERR_SECURITY_REFUSED, "refused for security reasons"},
        {"timeout", ERR_RECIPIENT_TIMEOUT, "let the time pass"},
        {"expired", ERR_RECIPIENT_TIMEOUT, "let the time pass"},
        {"gone", ERR_RECIPIENT_OFFLINE, "is going away"},
    };
    const char *name = NULL;
    char text[128], spelled[40];

    for (xmpp_stanza_t *child = stanza_child(reason, NULL, NULL); child && !name;
         child = stanza_next(child, NULL, NULL))
        if (strcmp(xmpp_stanza_get_name(child), "text") != 0)
            name = xmpp_stanza_get_name(child);
    if (name && strcmp(name, "success") == 0)
        return true;
    if (name) /* Dino writes "failed_transport" */
        name = with_hyphens(name, spelled, sizeof spelled);
    if (name && s->responder && (strcmp(name, "cancel") == 0 || strcmp(name, "decline") == 0))
        return error_set(err, ERR_CANCELLED, "%s cancelled the transfer", s->peer->text);
    if (name && strcmp(name, "cancel") == 0 && s->state == PENDING)
        name = "decline"; /* Gajim's word for it */
    stanza_text(stanza_child(reason, "text", NULL), text, sizeof text);
    if (stanza_child(reason, "file-too-large", NS_JINGLE_FILE_ERRORS))
        return error_set(err, ERR_RECIPIENT_TOO_SMALL, "the file is larger than %s takes", s->peer->text);
    if (name && strcmp(name, "media-error") == 0 && s->state == PENDING)
        name = "media-error, before there was anything";
    for (size_t i = 0; name && i < sizeof meanings / sizeof *meanings; i++)
        if (strcmp(name, meanings[i].name) == 0)
            return error_set(err, meanings[i].code, "%s %s (%s%s%s)", s->peer->text, meanings[i].says, name,
                             text[0] ? ": " : "", text);
    return error_set(err, ERR_PEER_ERROR, "%s ended the transfer (%.40s%s%s)", s->peer->text,
                     name ? name : "no reason given", text[0] ? ": " : "", text);
}

static void take_termination(struct jingle_session *s, struct jingle_request *r)
{
    struct error err;
    bool success = read_reason(s, stanza_child(r->jingle, "reason", NULL), &err);

    jingle_ack(r);
    remember_end(s);
    s->state = ENDED_BY_PEER;
    s->events->terminated(s->user, success ? NULL : &err);
}

/* Section 7.2.2: nothing can be added to a file. */
static void reject_content(struct jingle_session *s, struct jingle_request *r)
{
    xmpp_ctx_t *ctx = s->table->client->ctx;
    xmpp_stanza_t *content = stanza_new(ctx, "content", NULL);

    content = stanza_set(content, "creator", stanza_attr(r->content, "creator"));
    content = stanza_set(content, "name", stanza_attr(r->content, "name"));
    jingle_ack(r);
    jingle_send(s, "content-reject", content, NULL, NULL, NULL);
}

static const struct known {
    const char *name;
    enum { TO_OWNER, TERMINATE, NOTED, ADD, NEVER_IN_ORDER } what;
    enum jingle_action action; /* TO_OWNER */
} known_actions[] = {
    {"session-accept", TO_OWNER, JINGLE_SESSION_ACCEPT},
    {"session-info", TO_OWNER, JINGLE_SESSION_INFO},
    {"session-initiate", NEVER_IN_ORDER, 0},
    {"session-terminate", TERMINATE, 0},
    {"transport-info", TO_OWNER, JINGLE_TRANSPORT_INFO},
    {"transport-replace", TO_OWNER, JINGLE_TRANSPORT_REPLACE},
    {"transport-accept", TO_OWNER, JINGLE_TRANSPORT_ACCEPT},
    {"transport-reject", TO_OWNER, JINGLE_TRANSPORT_REJECT},
    {"description-info", NOTED, 0},
    {"security-info", NOTED, 0},
    {"content-add", ADD, 0},
    {"content-accept", NEVER_IN_ORDER, 0},
    {"content-modify", NEVER_IN_ORDER, 0},
    {"content-reject", NEVER_IN_ORDER, 0},
    {"content-remove", NEVER_IN_ORDER, 0},
};

static const struct known *find_action(const char *name)
{
    for (size_t i = 0; name && i < sizeof known_actions / sizeof *known_actions; i++)
        if (strcmp(known_actions[i].name, name) == 0)
            return &known_actions[i];
    return NULL;
}

static void hand_to_owner(struct jingle_session *s, struct jingle_request *r)
{
    if (r->action == JINGLE_SESSION_ACCEPT && s->responder) {
        jingle_refuse_order(r); /* that is ours to say */
        return;
    }
    if (r->action == JINGLE_SESSION_INFO && !stanza_child(r->jingle, NULL, NULL)) {
        jingle_ack(r); /* section 6.8: a ping */
        return;
    }
    if (r->action == JINGLE_SESSION_ACCEPT && s->state == ACTIVE)
        r->action = JINGLE_SESSION_ACCEPT_AGAIN;
    if (r->action == JINGLE_SESSION_ACCEPT)
        s->state = ACTIVE;
    s->events->request(s->user, r);
    assert(r->answered);
}

static void take_action(struct jingle_session *s, struct jingle_request *r, const struct known *known)
{
    switch (known->what) {
    case TO_OWNER:
        r->action = known->action;
        hand_to_owner(s, r);
        break;
    case TERMINATE:
        take_termination(s, r);
        break;
    case NOTED:
        jingle_ack(r);
        break;
    case ADD:
        reject_content(s, r);
        break;
    case NEVER_IN_ORDER:
        jingle_refuse_order(r);
        break;
    }
}

static bool fits(const char *text)
{
    return text && *text && strlen(text) <= SID_MAX;
}

bool jingle_is_whole(const struct jingle_request *r)
{
    return fits(stanza_attr(r->jingle, "sid")) && fits(stanza_attr(r->content, "name"));
}

static bool serve(void *user, xmpp_stanza_t *iq, const struct jid *from, xmpp_stanza_t *payload)
{
    struct jingle *j = user;
    const char *sid = stanza_attr(payload, "sid"), *action = stanza_attr(payload, "action");
    const struct known *known = find_action(action);
    struct jingle_request r = {
        .jingle = payload, .content = stanza_child(payload, "content", NULL), .table = j, .iq = iq};
    struct jingle_session *s = NULL;
    struct jid to;
    bool for_us = stanza_to(iq, &j->client->self, &to);

    if (for_us && sid)
        s = find(j, sid, &to, from);
    if (!for_us || strcmp(xmpp_stanza_get_name(payload), "jingle") != 0 || !sid || !action)
        jingle_refuse(&r, "modify", "bad-request");
    else if (!s && strcmp(action, "session-initiate") == 0)
        return j->offered && j->offered(j->offered_user, &r, &to, from);
    else if (!s && strcmp(action, "session-terminate") == 0 && ended_lately(j, sid, &to, from))
        jingle_ack(&r);
    else if (!s)
        refuse_with(&r, "cancel", "item-not-found", "unknown-session");
    else if (!known)
        jingle_refuse(&r, "modify", "bad-request");
    else
        take_action(s, &r, known);
    return true;
}

void jingle_on_offer(struct jingle *j, jingle_offered_fn *offered, void *user)
{
    j->offered = offered;
    j->offered_user = user;
}

void jingle_offline(struct jingle *j)
{
    struct jingle_session *s, *next;

    for (s = LIST_FIRST(&j->all); s; s = next) {
        next = LIST_NEXT(s, all);
        s->events->offline(s->user);
    }
}

struct jingle *jingle_create(struct client *c)
{
    struct jingle *j = calloc(1, sizeof *j);

    if (!j)
        return NULL;
    j->client = c;
    LIST_INIT(&j->all);
    iq_serve(c->iq, "set", NS_JINGLE, serve, j);
    return j;
}

void jingle_destroy(struct jingle **j)
{
    if (!*j)
        return;
    for (size_t i = 0; i < ENDED; i++)
        free((*j)->ended[i].key);
    free(*j);
    *j = NULL;
}
