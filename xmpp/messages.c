#include "xmpp/messages.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/id.h"
#include "base/log.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

enum { ID_BYTES = 16 };

/* A message that the server may still return. */
struct sent {
    LIST_ENTRY(sent) next;
    struct messages *owner;
    uint64_t ticket;
    char id[2 * ID_BYTES + 1];
    uint64_t ping; /* behind it */
    message_done_fn *done;
    void *user;
};

struct messages {
    struct client *client;
    iq_send_fn *send;
    void *user;
    uint64_t last_ticket;
    LIST_HEAD(, sent) list;
};

struct messages *messages_create(struct client *c, iq_send_fn *send, void *user)
{
    struct messages *m = calloc(1, sizeof *m);

    if (!m)
        return NULL;
    m->client = c;
    m->send = send;
    m->user = user;
    LIST_INIT(&m->list);
    return m;
}

static void drop(struct sent *s)
{
    if (s->ping)
        iq_forget(s->owner->client->iq, s->ping);
    LIST_REMOVE(s, next);
    free(s);
}

void messages_destroy(struct messages **m)
{
    struct sent *next;

    if (!*m)
        return;
    for (struct sent *s = LIST_FIRST(&(*m)->list); s; s = next) {
        next = LIST_NEXT(s, next);
        drop(s);
    }
    free(*m);
    *m = NULL;
}

static void finish(struct sent *s, const struct error *err)
{
    message_done_fn *done = s->done;
    void *user = s->user;

    drop(s);
    done(user, err);
}

/* An error is as good as a result: the server has come that far. */
static void on_ping(void *user, const struct iq_reply *reply)
{
    struct sent *s = user;
    struct error err;

    s->ping = 0;
    if (reply->outcome == IQ_RESULT || reply->outcome == IQ_ERROR) {
        finish(s, NULL);
        return;
    }
    error_set(&err, ERR_XMPP_DISCONNECTED, "the connection was lost before the server had taken the message");
    finish(s, &err);
}

static bool ping_behind(struct sent *s, struct error *err)
{
    struct client *c = s->owner->client;
    xmpp_stanza_t *iq = stanza_iq(c->ctx, "get", stanza_new(c->ctx, "ping", NS_PING));
    struct jid server;
    size_t len;
    const char *domain = jid_domain(&c->self, &len);

    if (jid_parse(&server, domain, len, err))
        s->ping = iq_ask(c->iq, iq, &server, c->settings->iq_timeout_ms, on_ping, s, err);
    if (iq)
        xmpp_stanza_release(iq);
    return s->ping != 0;
}

uint64_t message_send(struct messages *m, xmpp_stanza_t *message, const struct jid *from, const struct jid *to,
                      message_done_fn *done, void *user, struct error *err)
{
    struct sent *s = calloc(1, sizeof *s);

    if (!s || !message) {
        free(s);
        error_set(err, ERR_INTERNAL, "out of memory");
        return 0;
    }
    id_random_hex(s->id, ID_BYTES);
    if (m->client->component)
        stanza_set(message, "from", client_sender(m->client, from)->text);
    if (xmpp_stanza_set_id(message, s->id) != XMPP_EOK || xmpp_stanza_set_to(message, to->text) != XMPP_EOK ||
        !m->send(m->user, message)) {
        free(s);
        error_set(err, ERR_XMPP_DISCONNECTED, "the message cannot be sent now");
        return 0;
    }
    s->owner = m;
    s->done = done;
    s->user = user;
    s->ticket = ++m->last_ticket;
    LIST_INSERT_HEAD(&m->list, s, next);
    if (ping_behind(s, err))
        return s->ticket;
    drop(s);
    return 0;
}

static void on_said(void *user, const struct error *err)
{
    (void)user;
    if (err)
        log_info("message.came_back", log_str("code", error_name(err->code)), log_str("error", err->text));
}

bool message_say(struct client *c, const struct jid *from, const struct jid *to, const char *text, struct error *err)
{
    xmpp_stanza_t *s = stanza_set(stanza_new(c->ctx, "message", NULL), "type", "chat");
    bool ok;

    s = stanza_add(s, stanza_add_text(c->ctx, stanza_new(c->ctx, "body", NULL), text));
    ok = message_send(c->messages, s, from, to, on_said, NULL, err) != 0;
    if (s)
        xmpp_stanza_release(s);
    return ok;
}

static struct sent *find(struct messages *m, uint64_t ticket, const char *id)
{
    struct sent *s;

    LIST_FOREACH(s, &m->list, next)
    if (id ? strcmp(s->id, id) == 0 : s->ticket == ticket)
        return s;
    return NULL;
}

void message_forget(struct messages *m, uint64_t ticket)
{
    struct sent *s = find(m, ticket, NULL);

    if (s)
        drop(s);
}

/* The id is 128 random bits, known to those who saw the message: who it is from need not be looked at. */
void messages_incoming(struct messages *m, xmpp_stanza_t *message)
{
    const char *type = stanza_attr(message, "type"), *id = stanza_attr(message, "id");
    struct sent *s = type && strcmp(type, "error") == 0 && id ? find(m, 0, id) : NULL;
    xmpp_stanza_t *condition;
    struct error err;

    if (!s)
        return;
    condition = stanza_child(stanza_child(message, "error", NULL), NULL, NS_STANZAS);
    error_set(&err, ERR_LINK_FAILED, "the message with the link came back: %.40s",
              condition ? xmpp_stanza_get_name(condition) : "no reason given");
    finish(s, &err);
}
