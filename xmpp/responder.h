/* xmpp/responder.h - what we say about ourselves to whoever asks: disco, caps, version, ping.
 *
 * Features reveal no address, and who asks our full JID has it from us: the resource is random. So everybody is
 * answered. Thread: core's. */
#ifndef XMPP_RESPONDER_H
#define XMPP_RESPONDER_H

#include <strophe.h>

#include "xmpp/client.h"

/* Registers the answers (XEP-0030, XEP-0092, XEP-0199) with the client's IQ table, which answers everything else
 * with service-unavailable. c is borrowed for the table's life. */
void responder_serve(struct client *c);

/* The <c/> of the presence of that address of ours (XEP-0115); NULL: out of memory. */
xmpp_stanza_t *responder_caps(struct client *c, const struct jid *local);

#endif
