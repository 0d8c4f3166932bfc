#include "xmpp/proxy65.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "gateway/relay.h"
#include "xmpp/ns.h"
#include "xmpp/s5b_name.h"
#include "xmpp/stanza.h"

enum { ACTIVATIONS_MAX = 1024 }; /* that the relay has not answered yet; it answers within a turn or two */

/* One that the relay is asked for. It outlives its proxy65, since the relay cannot be called back. */
struct activation {
    struct activation *prev, *next;
    struct proxy65 *owner; /* NULL: nobody waits for the answer any more */
    xmpp_stanza_t *iq;
};

struct proxy65 {
    struct client *client;
    struct activation *activations;
    size_t count;
};

/* ---- refusals */

struct refusal {
    enum error_code code;
    const char *type, *condition;
};

/* XEP-0065 sections 6.3.2 (examples 9 and 10) and 6.3.5. */
static const struct refusal of_address[] = {
    {ERR_PROXY_REFUSED, "auth", "forbidden"},          {ERR_DRAINING, "cancel", "not-allowed"},
    {ERR_PROXY_UNAVAILABLE, "cancel", "not-allowed"},  {ERR_PROXY_BUSY, "wait", "resource-constraint"},
    {ERR_RATE_LIMITED, "wait", "resource-constraint"}, {ERR_NONE, "wait", "internal-server-error"},
};
/* "not-allowed" would have the requester ask once more, since it says that one side is missing. */
static const struct refusal of_activation[] = {
    {ERR_PROXY_REFUSED, "auth", "forbidden"},
    {ERR_PROXY_HASH_MISMATCH, "cancel", "item-not-found"},
    {ERR_PROXY_PAIR_INCOMPLETE, "cancel", "not-allowed"},
    {ERR_PROXY_BUSY, "wait", "resource-constraint"},
    {ERR_RATE_LIMITED, "wait", "resource-constraint"},
    {ERR_DRAINING, "wait", "resource-constraint"},
    {ERR_NONE, "wait", "internal-server-error"},
};

static void refuse(struct client *c, xmpp_stanza_t *iq, const struct refusal *list, const struct error *why)
{
    while (list->code != why->code && list->code != ERR_NONE)
        list++;
    iq_reply_error_text(c->iq, iq, list->type, list->condition, why->text);
}

static void malformed(struct client *c, xmpp_stanza_t *iq, const char *condition, const char *text)
{
    iq_reply_error_text(c->iq, iq, "modify", condition, text);
}

/* Whether it is asked of the domain itself, and not of an address behind it; *out: the domain. */
static bool is_for_us(xmpp_stanza_t *iq, struct jid *out)
{
    const char *to = stanza_attr(iq, "to");

    return to && jid_parse(out, to, strlen(to), NULL) && out->local == 0 && !out->full;
}

/* ---- where we are */

static xmpp_stanza_t *build_address(struct client *c, const struct jid *self, const struct carrier_address *at)
{
    xmpp_stanza_t *host = stanza_set(stanza_new(c->ctx, "streamhost", NULL), "jid", self->text);
    char port[8];

    snprintf(port, sizeof port, "%u", at->port);
    host = stanza_set(stanza_set(host, "host", at->host), "port", port);
    return stanza_add(stanza_new(c->ctx, "query", NS_BYTESTREAMS), host);
}

static bool answer_address(void *user, xmpp_stanza_t *iq, const struct jid *from, xmpp_stanza_t *payload)
{
    struct client *c = ((struct proxy65 *)user)->client;
    struct carrier_address address;
    xmpp_stanza_t *query;
    struct error err;
    struct jid self;

    (void)payload; /* a sid in it, as before XEP-0065 1.8, is nothing to us */
    if (!is_for_us(iq, &self))
        return false;
    if (!c->relay->ops->address(c->relay, from, &address, &err)) {
        refuse(c, iq, of_address, &err);
        return true;
    }
    query = build_address(c, &self, &address);
    if (!query)
        return true; /* out of memory: the asker's deadline tells him */
    iq_reply_result(c->iq, iq, query);
    xmpp_stanza_release(query);
    return true;
}

/* ---- activation */

static void drop(struct activation *a)
{
    if (a->owner) {
        DL_DELETE(a->owner->activations, a);
        a->owner->count--;
        xmpp_stanza_release(a->iq);
        a->owner = NULL;
    }
}

static void on_activated(void *user, const struct error *err)
{
    struct activation *a = user;
    struct client *c = a->owner ? a->owner->client : NULL;

    if (c && err)
        refuse(c, a->iq, of_activation, err);
    else if (c)
        iq_reply_result(c->iq, a->iq, NULL);
    drop(a);
    free(a);
}

/* The names that both sides may have asked for: with the target as the requester wrote it, which is what such clients
 * hash, and as it is prepared. */
static void activate(struct proxy65 *p, xmpp_stanza_t *iq, const struct jid *from, const char *sid, const char *sent,
                     const struct jid *target)
{
    struct relay *relay = p->client->relay;
    char names[2][S5B_NAME];
    const char *list[] = {names[0], names[1]};
    size_t count = strcmp(sent, target->text) == 0 ? 1 : 2;
    struct activation *a = calloc(1, sizeof *a);

    if (!a || p->count == ACTIVATIONS_MAX || !s5b_name(sid, from->text, target->text, names[0]) ||
        !s5b_name(sid, from->text, sent, names[1])) {
        free(a);
        iq_reply_error(p->client->iq, iq, "wait", "resource-constraint");
        return;
    }
    a->owner = p;
    a->iq = xmpp_stanza_clone(iq);
    DL_APPEND(p->activations, a);
    p->count++;
    relay->ops->activate(relay, from, target, list, count, on_activated, a);
}

static void read_activation(struct proxy65 *p, xmpp_stanza_t *iq, const struct jid *from, xmpp_stanza_t *query,
                            xmpp_stanza_t *element)
{
    struct client *c = p->client;
    const char *sid = stanza_attr(query, "sid");
    char *sent = xmpp_stanza_get_text(element);
    struct jid target;

    if (!sid || !*sid)
        malformed(c, iq, "bad-request", "which bytestream is meant, its sid, is not said");
    else if (!sent || !*sent)
        malformed(c, iq, "bad-request", "whom it is to be activated for is not said");
    else if (!jid_parse(&target, sent, strlen(sent), NULL))
        malformed(c, iq, "jid-malformed", "what it is to be activated for is no address");
    else
        activate(p, iq, from, sid, sent, &target);
    if (sent)
        xmpp_free(c->ctx, sent);
}

static bool answer_set(void *user, xmpp_stanza_t *iq, const struct jid *from, xmpp_stanza_t *payload)
{
    struct proxy65 *p = user;
    xmpp_stanza_t *element = stanza_child(payload, "activate", NULL);
    struct jid self;

    if (!is_for_us(iq, &self))
        return false;
    if (element)
        read_activation(p, iq, from, payload, element);
    else if (stanza_child(payload, "streamhost", NULL))
        malformed(p->client, iq, "not-acceptable", "this is a proxy; offer the file to an address behind it");
    else
        malformed(p->client, iq, "bad-request", "whom it is to be activated for is not said");
    return true;
}

/* ---- */

struct proxy65 *proxy65_create(struct client *c)
{
    struct proxy65 *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->client = c;
    iq_serve(c->iq, "get", NS_BYTESTREAMS, answer_address, p);
    iq_serve(c->iq, "set", NS_BYTESTREAMS, answer_set, p);
    return p;
}

void proxy65_destroy(struct proxy65 **p)
{
    struct proxy65 *old = *p;

    *p = NULL;
    if (!old)
        return;
    while (old->activations)
        drop(old->activations);
    free(old);
}
