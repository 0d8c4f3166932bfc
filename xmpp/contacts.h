/* xmpp/contacts.h - who let us see them (RFC 6121): the roster, presence, and subscription requests of both sides.
 *
 * When the session ends everything is forgotten but whom we asked: the server tells it all again. Thread: core's. */
#ifndef XMPP_CONTACTS_H
#define XMPP_CONTACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <strophe.h>

#include "gateway/network.h"
#include "xmpp/client.h"

/* One device of a contact that is online. */
struct resource {
    char *jid; /* full, prepared */
    int priority;
    char show[8];                           /* "", "chat", "away", "xa" or "dnd" */
    int64_t since_ms;                       /* monotonic: its last presence */
    char *caps_node, *caps_ver, *caps_hash; /* XEP-0115; NULL: not announced, or announced without a hash */
};

struct contacts_events {
    void (*ready)(void *user); /* the roster is here, or will not come: presence may be sent */
    void (*presence)(void *user, const struct jid *who, bool available);
    void (*caps)(void *user, const struct jid *who); /* what it announced before holds no more */
    bool (*send)(void *user, xmpp_stanza_t *stanza);
    void (*subscription)(void *user, const struct jid *who, bool granted); /* as network_events' */
    void *user;
};

struct contacts *contacts_create(struct client *c, const struct contacts_events *events); /* NULL: out of memory */
void contacts_destroy(struct contacts **k);

/* Answers roster pushes; once, when the client's IQ table is there. */
void contacts_serve(struct contacts *k);

void contacts_online(struct contacts *k); /* asks for the roster */
void contacts_offline(struct contacts *k);

/* Of a component, which has no roster: whether any address of ours sees that contact, is seen, or asked. What changes
 * in a session is news to who waits for it. */
void contacts_learn(struct contacts *k, const struct jid *who, bool to, bool from, bool asked);

/* Whether that bare JID may have us as a contact. */
bool contacts_accepts(const struct client *c, const char *bare);

/* Every incoming <presence/>. */
void contacts_presence(struct contacts *k, xmpp_stanza_t *presence);

/* Whether ready() was called in this session: until then a contact looks like a stranger. */
bool contacts_ready(const struct contacts *k);

/* Whether we are shown the presence of that bare JID; our own account counts. */
bool contacts_subscribed(const struct contacts *k, const struct jid *who);

/* As network_ops.sight and subscribe. A request is repeated after a day at the earliest. */
enum sight contacts_sight(const struct contacts *k, const struct jid *who);
bool contacts_ask(struct contacts *k, const struct jid *who, bool *sent, struct error *err);

/* Whether the roster has a subscription in any direction. */
bool contacts_known(const struct contacts *k, const struct jid *who);

/* The online devices of that bare JID but ourselves; views that live until the next turn. Returns how many. */
size_t contacts_resources(const struct contacts *k, const struct jid *who, const struct resource **out, size_t max);

/* That one device; NULL: not known to be online. */
const struct resource *contacts_resource(const struct contacts *k, const struct jid *full);

#endif
