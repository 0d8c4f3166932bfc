/* xmpp/disco.h - what a peer supports (XEP-0030), asked once and kept.
 *
 * Kept by full JID for ten minutes of one session, and by caps hash (XEP-0115) for as long as there is room once the
 * hash was found to be that of the answer: then one question serves everybody with the same client. Who asks while a
 * question is on its way shares its answer. Thread: core's. */
#ifndef XMPP_DISCO_H
#define XMPP_DISCO_H

#include <stddef.h>
#include <stdint.h>

#include "xmpp/client.h"

struct disco *disco_create(struct client *c); /* NULL: out of memory */
void disco_destroy(struct disco **d);

/* The features known of that JID, NULL at the end; NULL: to be asked. Live until the next call that is not this. */
const char *const *disco_known(struct disco *d, const struct jid *who);

/* features NULL: err says why (iq_error). features live for the call. */
typedef void disco_done_fn(void *user, const char *const *features, const struct error *err);

/* Asks that JID, from as of iq_ask_as(): what it answers to one of our addresses is true for all; done is called once,
 * never from inside the call. Returns a ticket, not 0; 0 with *err set when the question cannot be sent. */
uint64_t disco_ask(struct disco *d, const struct jid *from, const struct jid *who, disco_done_fn *done, void *user,
                   struct error *err);

/* No answer is wanted any more; the question still goes on, for the next who asks. */
void disco_forget(struct disco *d, uint64_t ticket);

/* The peer went or changed: what was kept by its JID is not true any more. */
void disco_drop(struct disco *d, const struct jid *who);

/* The session is over: who has gone before the next one begins will not be told. */
void disco_offline(struct disco *d);

#endif
