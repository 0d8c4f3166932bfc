/* xmpp/proxy65.h - the StreamHost proxy's side of XEP-0065 section 6: where it is, and joining two who met there.
 *
 * The proxy is our component's domain itself, without a local part (protocol: component identity); what is asked of
 * addresses behind it goes to whoever serves them. Who may, and how much, the relay says (gateway/relay.h). An address
 * query leaves nothing behind here, whatever it carries. Thread: core's. */
#ifndef XMPP_PROXY65_H
#define XMPP_PROXY65_H

#include "xmpp/client.h"

struct proxy65;

/* Registers the answers with the client's IQ table, after whoever serves the same for addresses: what is not for the
 * domain is left to them. NULL: out of memory. c is borrowed, and c->relay is there. */
struct proxy65 *proxy65_create(struct client *c);

/* What the relay answers from here on is told to nobody. NULL is fine; leaves *p NULL. */
void proxy65_destroy(struct proxy65 **p);

#endif
