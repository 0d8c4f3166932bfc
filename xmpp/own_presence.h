/* xmpp/own_presence.h - a component's presence (XEP-0114): each of its addresses has subscriptions and a presence of
 * its own, which it tells by itself, since no server does (RFC 6121 sections 3 and 4).
 *
 * Who asks to see an address is answered by [xmpp] accept_subscriptions, and asked in return; a probe is answered to
 * who may see. Whom we see goes into contacts.h. Thread: core's. */
#ifndef XMPP_OWN_PRESENCE_H
#define XMPP_OWN_PRESENCE_H

#include <stdbool.h>
#include <strophe.h>

#include "base/jid.h"
#include "xmpp/client.h"
#include "xmpp/roster_file.h"

struct own_presence;

/* roster is taken, also on failure. NULL: out of memory. send: hands a stanza to the session. */
struct own_presence *own_presence_create(struct client *c, struct roster_file *roster, iq_send_fn *send, void *user);
void own_presence_destroy(struct own_presence **p); /* NULL is fine; leaves *p NULL */

/* A session begins: contacts.h is told whom we see. */
void own_presence_load(struct own_presence *p);

/* Then everybody who may see us is told that we are there, and everybody whom we see is asked. */
void own_presence_online(struct own_presence *p);

/* We stop: everybody who may see us is told. */
void own_presence_leave(struct own_presence *p);

/* A presence that is about a subscription, or a probe. false: it is about a device, and contacts.h has to know. */
bool own_presence_incoming(struct own_presence *p, xmpp_stanza_t *presence);

/* We are about to ask that contact. */
void own_presence_asks(struct own_presence *p, const struct jid *ours, const struct jid *theirs);

#endif
