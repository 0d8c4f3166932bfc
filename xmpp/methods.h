/* xmpp/methods.h - the ways to offer a file, in order of preference.
 *
 * A new way is one file with its method_ops and one line in methods.c. Thread: core's. */
#ifndef XMPP_METHODS_H
#define XMPP_METHODS_H

#include "gateway/method.h"
#include "xmpp/client.h"

extern const struct method_ops method_jingle_s5b; /* XEP-0166, XEP-0234, XEP-0260; jingle_file.c */
extern const struct method_ops method_jingle_ibb; /* XEP-0166, XEP-0234, XEP-0261; jingle_file.c */
extern const struct method_ops method_si_s5b;     /* XEP-0095 and XEP-0096 over bytestreams; si_s5b.c */
extern const struct method_ops method_s5b;        /* XEP-0065 with nothing before it; raw_s5b.c */
extern const struct method_ops method_si_ibb;     /* XEP-0095 and XEP-0096 in-band; si_ibb.c */
extern const struct method_ops method_ibb;        /* XEP-0047 with nothing before it; raw_ibb.c */
extern const struct method_ops method_link;       /* XEP-0363 and a message that says where; link.c */

extern const struct method_ops *const methods[]; /* NULL at the end */

/* What xmpp_create() makes begins with these two: offer() gets the network as a void * and needs its client. */
struct methods_network {
    struct network network;
    struct client client;
};

/* How long a stream without an offer before it may stay unanswered. Some clients announce streams and never answer a
 * bare one; while there are other ways, that must not cost long. */
unsigned methods_bare_answer_ms(const struct offer *o);

#endif
