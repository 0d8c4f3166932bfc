/* xmpp/jingle_s5b.h - the SOCKS5 bytestream of a Jingle session (XEP-0260), whoever began it.
 *
 * Both sides tell each other candidates, both try the other's, and each reports once which it reached, if any. From
 * the two reports both know the one stream that is meant. If it goes through a proxy, who offered that one has it
 * activated and says so. Then the bytes may flow.
 * Thread: core's. */
#ifndef XMPP_JINGLE_S5B_H
#define XMPP_JINGLE_S5B_H

#include <stdbool.h>
#include <strophe.h>

#include "gateway/method.h"
#include "xmpp/client.h"
#include "xmpp/jingle.h"
#include "xmpp/jingle_transport.h"

struct jingle_s5b;

struct jingle_s5b_terms {
    uint64_t size;       /* UINT64_MAX: not known */
    unsigned answer_ms;  /* how long a person may think before the peer comes to our listener */
    unsigned connect_ms; /* how long it may take to reach a candidate, at the least */
};

/* Finds out what can be offered and calls ready, never from inside the call. The session, the host and the client are
 * borrowed. NULL with *err set: out of memory. Of the host are used the carrier, the loop, the feed and the timeline,
 * and by the side that responds no more than that. */
struct jingle_s5b *jingle_s5b_create(struct method_host *host, struct client *client, struct jingle_session *session,
                                     const struct jingle_s5b_terms *terms, const struct jingle_transport_events *events,
                                     void (*ready)(void *user), void *user, struct error *err);

/* Once ready: the <transport/> of the offer, with our candidates. From now on our listener lets the peer in. NULL with
 * *err set: ERR_STREAMHOSTS_UNREACHABLE when there is no candidate. */
xmpp_stanza_t *jingle_s5b_offer(struct jingle_s5b *t, struct error *err);

/* ": direct, proxy.example.org", for a line of the timeline. */
const char *jingle_s5b_offered(const struct jingle_s5b *t);

/* The transport's id, not the session's. */
const char *jingle_s5b_sid(const struct jingle_s5b *t);

/* The peer accepted, and that is its <transport/>. */
void jingle_s5b_accepted(struct jingle_s5b *t, xmpp_stanza_t *transport);

/* As the side that responds, instead of offer and accepted: the peer's <transport/>, right after create. false: it is
 * none that we could use, or out of memory. */
bool jingle_s5b_offered_to_us(struct jingle_s5b *t, xmpp_stanza_t *transport);

/* Likewise, once ready: the <transport/> of our yes, with what candidates we have, which may be none. NULL with *err
 * set: out of memory. */
xmpp_stanza_t *jingle_s5b_answer(struct jingle_s5b *t, struct error *err);

/* Likewise, once that was sent: tries the peer's candidates. */
void jingle_s5b_answered(struct jingle_s5b *t);

/* A transport-info, which is answered here. */
void jingle_s5b_info(struct jingle_s5b *t, struct jingle_request *r);

/* Once open: sends length bytes of fd from offset. fd is borrowed until over or destroy. */
void jingle_s5b_stream(struct jingle_s5b *t, struct shared_fd *file, uint64_t offset, uint64_t length);

/* Once open, of the side that receives: takes at most length bytes into file, from offset on. moved and over tell what
 * came; the connection stays until destroy. */
void jingle_s5b_receive(struct jingle_s5b *t, struct shared_fd *file, uint64_t offset, uint64_t length);

/* When that is over: the peer sent more than length. */
bool jingle_s5b_had_more(const struct jingle_s5b *t);

/* Once open: whether the bytes go through a proxy, and so prove less when it closes. */
bool jingle_s5b_proxied(const struct jingle_s5b *t);

/* Ends what is under way without a word. NULL is fine; leaves *t NULL. */
void jingle_s5b_destroy(struct jingle_s5b **t);

#endif
