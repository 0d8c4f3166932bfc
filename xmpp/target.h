/* xmpp/target.h - files that others send to us, but for those by Jingle: announced by an SI (XEP-0095, XEP-0096), or as
 * a bytestream (XEP-0065) or an in-band one (XEP-0047) with nothing before it.
 *
 * Whether a file is taken, the receiver says (gateway/reception.h). One that is, is known by the address of ours it is
 * for, the sender's full JID and the stream id; nobody else's stream under that id is let in. Everybody else is
 * answered as by a side that takes nothing.
 * Thread: core's. */
#ifndef XMPP_TARGET_H
#define XMPP_TARGET_H

#include "xmpp/client.h"

struct target;

/* Answers offers and bytestreams from now on, in-band ones by client.ibb_in, which outlives it. NULL: out of memory. */
struct target *target_create(struct client *c);

/* The session is gone: what is being agreed on fails, what goes by the carrier goes on. */
void target_offline(struct target *t);

void target_destroy(struct target **t); /* what is under way ends; the loop must still turn */

#endif
