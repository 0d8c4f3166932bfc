/* xmpp/jingle_target.h - files that others send to us by Jingle (XEP-0166 with XEP-0234), over a bytestream that both
 * sides agree on (XEP-0260) or in-band (XEP-0261), and from the one to the other where nobody reaches anybody.
 *
 * Whether a file is taken, the receiver says (gateway/reception.h), at once: no person is asked. The sender learns that
 * we have the file when the receiver has found it to be what was promised. Other offers are in target.h.
 * Thread: core's. */
#ifndef XMPP_JINGLE_TARGET_H
#define XMPP_JINGLE_TARGET_H

#include "xmpp/client.h"

struct jingle_target;

/* Takes what peers begin by client.jingle, which outlives it. NULL: out of memory. */
struct jingle_target *jingle_target_create(struct client *c);

void jingle_target_destroy(struct jingle_target **t); /* what is under way ends; the loop must still turn */

#endif
