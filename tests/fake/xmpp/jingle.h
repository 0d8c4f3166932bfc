/* tests/fake/xmpp/jingle.h - a Jingle file method between a scripted peer, a fake carrier and a fake transfer.
 *
 * What the peer says and what it hears are macros, so that a test reads like the protocol. */
#ifndef FAKE_XMPP_JINGLE_H
#define FAKE_XMPP_JINGLE_H

#include "tests/fake/carrier.h"
#include "tests/fake/method_host.h"
#include "tests/fake/xmpp/peer.h"
#include "xmpp/candidates.h"
#include "xmpp/ns.h"
#include "xmpp/s5b_name.h"

#define JINGLE_SIZE 90210

/* What the peer says, what acknowledges it, and what of ours it is answered with. */
#define SAY(action, inside)                                                                                            \
    "<iq type='set' id='in' from='" TARGET "' to='" INITIATOR "'><jingle xmlns='" NS_JINGLE "' action='" action        \
    "' sid='$sid'>" inside "</jingle></iq>"
#define CONTENT(inside)   "<content creator='initiator' name='file'>" inside "</content>"
#define TRANSPORT(inside) "<transport xmlns='" NS_JINGLE_S5B "' sid='x'>" inside "</transport>"
#define INFO(inside)      SAY("transport-info", CONTENT(TRANSPORT(inside)))
#define ACCEPT_PART(range, candidates)                                                                                 \
    SAY("session-accept", CONTENT("<description xmlns='" NS_JINGLE_FILE "'><file><name>plan.png</name>" range          \
                                  "</file></description>" TRANSPORT(candidates)))
#define ACCEPT(candidates) ACCEPT_PART("", candidates)
#define END(reason)        SAY("session-terminate", "<reason><" reason "/></reason>")
#define ACK                "<iq type='result' id='in' to='" TARGET "'/>"
#define REFUSED(type, condition)                                                                                       \
    "<iq type='error' id='in' to='" TARGET "'><error type='" type "'><" condition " xmlns='" NS_STANZAS                \
    "'/></error></iq>"
#define OUT_OF_ORDER                                                                                                   \
    "<iq type='error' id='in' to='" TARGET "'><error type='wait'><unexpected-request xmlns='" NS_STANZAS               \
    "'/><out-of-order xmlns='" NS_JINGLE_ERRORS "'/></error></iq>"
#define OURS(action, inside)                                                                                           \
    "<iq type='set' id='*id' to='" TARGET "'><jingle xmlns='" NS_JINGLE "' action='" action "' sid='$sid'>" inside     \
    "</jingle></iq>"
#define OUR_INFO(inside)                                                                                               \
    OURS("transport-info", CONTENT("<transport xmlns='" NS_JINGLE_S5B "' sid='*'>" inside "</transport>"))
#define OUR_END(reason) OURS("session-terminate", "<reason><" reason "/></reason>")
#define HEARD           "<iq type='result' id='$id' from='" TARGET "' to='" INITIATOR "'/>"

#define DIRECT "<candidate cid='d1' type='direct' host='192.0.2.1' port='1001' jid='" TARGET "' priority='8257600'/>"

struct jingle_bench {
    struct peer peer;
    struct fake_carrier carrier;
    struct fake_host host;
    struct jid to;
    struct offer offer;
    const struct method_ops *ops; /* method_jingle_s5b, unless the test says otherwise */
    struct method *method;
    struct candidate_list ours; /* as offered */
    char transport[64];         /* the offered one's sid */
};

/* For cmocka; with a proxy, that is known as a streamhost of streamer.example.com. */
int jingle_setup(void **state);
int jingle_setup_with_proxy(void **state);
int jingle_teardown(void **state);
void jingle_again(void **state); /* tears down and sets up */

void jingle_begin(struct jingle_bench *b);                      /* offers */
void jingle_look(struct jingle_bench *b);                       /* at the offer, for what in it is random */
void jingle_says(struct jingle_bench *b, const char *xml);      /* and is acknowledged */
void jingle_accepted(struct jingle_bench *b, const char *xml);  /* from the beginning to that acceptance */
void jingle_uses(struct jingle_bench *b, size_t index);         /* candidate-used, of ours by its place in the offer */
void jingle_hears(struct jingle_bench *b, const char *element); /* our report, and acknowledges it */
struct carrier_stream *jingle_to(struct jingle_bench *b, const char *host);
size_t jingle_opened(const struct jingle_bench *b);

/* The peer came to our listener, and nobody reached it: bytes may flow; with jingle_streaming() they do. */
void jingle_open_directly(struct jingle_bench *b);
void jingle_streaming(struct jingle_bench *b);

/* The transfer gives it the file, of which no digest can be computed unless the offer told one. */
void jingle_stream(struct jingle_bench *b);

/* How the method failed is what it is ended with. */
void jingle_give_up(struct jingle_bench *b);

#endif
