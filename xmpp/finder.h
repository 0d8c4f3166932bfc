/* xmpp/finder.h - from the address a file is for to the devices that could take it, best first.
 *
 * A full JID, or one without a local part, is asked for its features. A bare JID stands for the devices whose
 * presence we see; a stranger's server is asked for them (XEP-0030 section 8), and mostly tells nothing. Before, it is
 * asked whether that is a room (xmpp/rooms.h), whose occupants it would name: they are no devices of the room, which
 * takes links alone. Any other IQ to a bare JID would be answered by the server and never reach a device (RFC 6121
 * section 8.5.2). Thread: core's. */
#ifndef XMPP_FINDER_H
#define XMPP_FINDER_H

#include <stdint.h>

#include "gateway/network.h"
#include "xmpp/client.h"

struct finder;

/* methods: in order of preference, NULL at the end; borrowed. NULL: out of memory. */
struct finder *finder_create(struct client *c, const struct method_ops *const *methods);
void finder_destroy(struct finder **f); /* searches end without an answer; the loop must still turn once */

void finder_online(struct finder *f);
void finder_offline(struct finder *f);
void finder_roster(struct finder *f);                          /* the roster is here */
void finder_presence(struct finder *f, const struct jid *who); /* a device came */

/* As network_ops.find and forget. 0: out of memory. */
uint64_t finder_find(struct finder *f, const struct jid *from, const struct jid *to, network_recipient_fn *done,
                     void *user);
void finder_forget(struct finder *f, uint64_t ticket);

/* As network_ops.succeeded; the last 256 are remembered. */
void finder_succeeded(struct finder *f, const struct jid *who);

#endif
