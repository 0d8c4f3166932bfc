/* xmpp/messages.h - a message to a person, and whether it came straight back.
 *
 * Nobody acknowledges a message (RFC 6121 section 8.5.2 keeps it for who is offline), but a server that knows no such
 * person returns it as an error. Our own server works through what a session sends in order, so once it has answered a
 * ping sent behind the message, it has said what it had to say. What another server says comes later, and is not waited
 * for. Thread: core's. */
#ifndef XMPP_MESSAGES_H
#define XMPP_MESSAGES_H

#include <stdint.h>
#include <strophe.h>

#include "xmpp/client.h"

/* err NULL: the server has taken it. ERR_LINK_FAILED: it came back. ERR_XMPP_DISCONNECTED: nobody knows. */
typedef void message_done_fn(void *user, const struct error *err);

struct messages *messages_create(struct client *c, iq_send_fn *send, void *user); /* NULL: out of memory */
void messages_destroy(struct messages **m); /* those on their way are dropped without an answer */

/* Sends message (which the caller keeps; NULL counts as out of memory) to that address under an id of its own, from as
 * client_sender() takes it, and
 * calls done once, never from inside the call. A ticket, not 0; 0 with *err set when it could not be sent. */
uint64_t message_send(struct messages *m, xmpp_stanza_t *message, const struct jid *from, const struct jid *to,
                      message_done_fn *done, void *user, struct error *err);
/* The same with that text, of which nobody hears any more; a message that comes back is logged. */
bool message_say(struct client *c, const struct jid *from, const struct jid *to, const char *text, struct error *err);
void message_forget(struct messages *m, uint64_t ticket);

/* Every incoming <message/>. */
void messages_incoming(struct messages *m, xmpp_stanza_t *message);

#endif
