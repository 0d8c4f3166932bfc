#include "xmpp/responder.h"

#include <stdio.h>
#include <string.h>

#include "xmpp/caps.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

#define CAPS_NODE "https://jidpost.example/"

/* Only what is served here. Jingle's transports are for the sessions that we begin too: Dino goes on in-band only with
 * somebody who announces that. */
static const char *const features[] = {NS_CAPS, NS_DISCO_INFO, NS_DISCO_ITEMS, NS_VERSION,
                                       NS_PING, NS_JINGLE,     NS_JINGLE_S5B,  NS_JINGLE_IBB};

/* Of an address that files may be sent to; nobody else is invited to an offer. */
static const char *const receiving[] = {NS_SI,
                                        NS_SI_FILE,
                                        NS_BYTESTREAMS,
                                        NS_IBB,
                                        NS_JINGLE_FILE,
                                        NS_JINGLE_FILE_4,
                                        NS_HASHES,
                                        NS_HASH_NAMES "sha-1",
                                        NS_HASH_NAMES "sha-256",
                                        NS_HASH_NAMES "sha-512",
                                        NS_HASH_NAMES "sha3-256",
                                        NS_HASH_NAMES "sha3-512",
                                        NS_HASH_NAMES "blake2b-512"};

/* Of a component's domain itself, where it is a proxy. */
static const char *const relaying[] = {NS_DISCO_INFO, NS_DISCO_ITEMS, NS_BYTESTREAMS, NS_VERSION, NS_PING};

static xmpp_stanza_t *add_features(xmpp_ctx_t *ctx, xmpp_stanza_t *query, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        query = stanza_add(query, stanza_set(stanza_new(ctx, "feature", NULL), "var", list[i]));
    return query;
}

static xmpp_stanza_t *info(struct client *c, const struct jid *local, const char *node)
{
    xmpp_ctx_t *ctx = c->ctx;
    xmpp_stanza_t *query = stanza_set(stanza_new(ctx, "query", NS_DISCO_INFO), "node", node);
    xmpp_stanza_t *identity = stanza_set(stanza_new(ctx, "identity", NULL), "name", "jidpost");
    bool proxy = c->relay && local->local == 0 && !local->full;

    identity = stanza_set(identity, "category", proxy ? "proxy" : "client");
    query = stanza_add(query, stanza_set(identity, "type", proxy ? "bytestreams" : "bot"));
    if (proxy)
        return add_features(ctx, query, relaying, sizeof(relaying) / sizeof(*relaying));
    query = add_features(ctx, query, features, sizeof(features) / sizeof(*features));
    if (c->receiver && c->receiver->ops->receives(c->receiver, local))
        query = add_features(ctx, query, receiving, sizeof(receiving) / sizeof(*receiving));
    return query;
}

static bool own_ver(struct client *c, const struct jid *local, char ver[static CAPS_VER])
{
    xmpp_stanza_t *query = info(c, local, NULL);
    bool ok = query && caps_hash(query, "sha-1", ver);

    if (query)
        xmpp_stanza_release(query);
    return ok;
}

xmpp_stanza_t *responder_caps(struct client *c, const struct jid *local)
{
    char ver[CAPS_VER];
    xmpp_stanza_t *caps;

    if (!own_ver(c, local, ver))
        return NULL;
    caps = stanza_set(stanza_new(c->ctx, "c", NS_CAPS), "hash", "sha-1");
    return stanza_set(stanza_set(caps, "node", CAPS_NODE), "ver", ver);
}

/* Whether the question is about all of us: no node, or the one our presence announces (XEP-0115 section 6.2). */
static bool about_us(struct client *c, const struct jid *local, const char *node)
{
    char ver[CAPS_VER], own[sizeof(CAPS_NODE) + 1 + CAPS_VER];

    if (!node)
        return true;
    if (!own_ver(c, local, ver))
        return false;
    snprintf(own, sizeof(own), CAPS_NODE "#%s", ver);
    return strcmp(node, own) == 0;
}

static void reply_with(struct client *c, xmpp_stanza_t *iq, xmpp_stanza_t *payload)
{
    if (!payload)
        return; /* out of memory: the asker's deadline tells him */
    iq_reply_result(c->iq, iq, payload);
    xmpp_stanza_release(payload);
}

static bool answer_info(void *user, xmpp_stanza_t *iq, const struct jid *from, xmpp_stanza_t *payload)
{
    struct client *c = user;
    const char *node = stanza_attr(payload, "node");
    struct jid local;

    (void)from;
    if (stanza_to(iq, &c->self, &local) && about_us(c, &local, node))
        reply_with(c, iq, info(c, &local, node));
    else
        iq_reply_error(c->iq, iq, "cancel", "item-not-found");
    return true;
}

static bool answer_items(void *user, xmpp_stanza_t *iq, const struct jid *from, xmpp_stanza_t *payload)
{
    struct client *c = user;

    (void)from;
    if (stanza_attr(payload, "node"))
        iq_reply_error(c->iq, iq, "cancel", "item-not-found");
    else
        reply_with(c, iq, stanza_new(c->ctx, "query", NS_DISCO_ITEMS));
    return true;
}

static bool answer_version(void *user, xmpp_stanza_t *iq, const struct jid *from, xmpp_stanza_t *payload)
{
    struct client *c = user;
    xmpp_stanza_t *query = stanza_new(c->ctx, "query", NS_VERSION);

    (void)from;
    (void)payload;
    query = stanza_add(query, stanza_add_text(c->ctx, stanza_new(c->ctx, "name", NULL), "jidpost"));
    query = stanza_add(query, stanza_add_text(c->ctx, stanza_new(c->ctx, "version", NULL), JIDPOST_VERSION));
    reply_with(c, iq, query);
    return true;
}

static bool answer_ping(void *user, xmpp_stanza_t *iq, const struct jid *from, xmpp_stanza_t *payload)
{
    struct client *c = user;

    (void)from;
    (void)payload;
    iq_reply_result(c->iq, iq, NULL);
    return true;
}

void responder_serve(struct client *c)
{
    iq_serve(c->iq, "get", NS_DISCO_INFO, answer_info, c);
    iq_serve(c->iq, "get", NS_DISCO_ITEMS, answer_items, c);
    iq_serve(c->iq, "get", NS_VERSION, answer_version, c);
    iq_serve(c->iq, "get", NS_PING, answer_ping, c);
}
