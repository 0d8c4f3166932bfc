/* xmpp/jingle_ibb.h - the in-band bytestream of a Jingle session (XEP-0261), as the side that began the session: the
 * one that was offered, or the one that both fall back to when the first transport reached nobody.
 *
 * Falling back is XEP-0166 section 6.10 (transport-replace), by which the initiator asks. Dino asks as well where it
 * should wait, and turns the initiator's question down; so we give the peer a moment to ask, and where both did, its
 * acceptance of ours counts, then our acceptance of its. Gajim accepts with a session-accept.
 * Thread: core's. */
#ifndef XMPP_JINGLE_IBB_H
#define XMPP_JINGLE_IBB_H

#include <stdbool.h>
#include <stdint.h>
#include <strophe.h>

#include "gateway/method.h"
#include "xmpp/client.h"
#include "xmpp/jingle.h"
#include "xmpp/jingle_transport.h"

struct jingle_ibb;

/* The session, the host and the client are borrowed. sid: the stream's id, copied; that of the transport it comes
 * instead of, since Gajim looks for no other. NULL with *err set: out of memory. */
struct jingle_ibb *jingle_ibb_create(struct method_host *host, struct client *client, struct jingle_session *session,
                                     const struct jid *to, const char *sid,
                                     const struct jingle_transport_events *events, void *user, struct error *err);

/* The <transport/> of an offer; NULL: out of memory. */
xmpp_stanza_t *jingle_ibb_offer(struct jingle_ibb *t);

/* The peer accepted, and that is its <transport/>: opens the stream. */
void jingle_ibb_accepted(struct jingle_ibb *t, xmpp_stanza_t *transport);

/* Instead of offer and accepted: the first transport failed. */
void jingle_ibb_fall_back(struct jingle_ibb *t);

/* Whether that transport-replace asks for an in-band stream. */
bool jingle_ibb_is_asked_for(const struct jingle_request *r);

/* A transport-replace, -accept, -reject, -info or second session-accept, which is answered here. */
void jingle_ibb_request(struct jingle_ibb *t, struct jingle_request *r);

/* Once open: sends length bytes of fd from offset. fd is borrowed until over or destroy. */
void jingle_ibb_stream(struct jingle_ibb *t, int fd, uint64_t offset, uint64_t length);

/* Ends what is under way; the peer is told that the stream is closed. NULL is fine; leaves *t NULL. */
void jingle_ibb_destroy(struct jingle_ibb **t);

#endif
