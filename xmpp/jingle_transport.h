/* xmpp/jingle_transport.h - what a session hears of the transport it uses: jingle_s5b.h or jingle_ibb.h.
 *
 * A transport writes its own lines of the timeline, and says by which path it goes. Its events may come from inside its
 * functions, so a call of one is the last thing its caller does; and it may be destroyed from inside its events.
 * Thread: core's. */
#ifndef XMPP_JINGLE_TRANSPORT_H
#define XMPP_JINGLE_TRANSPORT_H

#include <stdint.h>

#include "base/error.h"

struct jingle_transport_events {
    void (*waiting)(void *user);                          /* for a turn of ours: no time that the peer takes */
    void (*open)(void *user);                             /* both agreed: bytes may be sent */
    void (*failed)(void *user, const struct error *why);  /* and not one was sent */
    void (*moved)(void *user, uint64_t moved);            /* so many were */
    void (*over)(void *user, const struct error *broken); /* NULL: all of them, and the stream closed well */
};

#endif
