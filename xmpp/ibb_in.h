/* xmpp/ibb_in.h - a file in-band as the side that receives (XEP-0047): what SI, Jingle and bare streams share.
 *
 * Whoever agreed on a stream id expects a stream under it, from that peer to that address of ours; nobody else can open
 * it or write to it. Blocks are numbered modulo 2^16, by senders that count on as well. A block out of order, one that
 * is no base64, or is larger than was said, ends the stream with an error and our close. Every block is acknowledged in
 * the order it came, after its bytes were taken.
 * What is sent in-band is in ibb.h, which owns the namespace and hands here what is none of its own.
 * Thread: core's. A stream may be destroyed from inside its events. */
#ifndef XMPP_IBB_IN_H
#define XMPP_IBB_IN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <strophe.h>

#include "base/error.h"
#include "base/jid.h"
#include "xmpp/client.h"

enum {
    IBB_IN_SID = 1024,         /* the longest stream id, without its terminator */
    IBB_IN_BLOCK = 65535,      /* the largest block, XEP-0047 section 2.1 */
    IBB_IN_OPEN_MS = 30 * 1000 /* for the peer to open what was agreed on */
};

struct ibb_in_events {
    /* The peer opens it; its answer follows. At most *most bytes are taken. false with *err set: it is refused, and
     * that is all; still expected, unless it was destroyed. */
    bool (*opened)(void *user, uint64_t *most, struct error *err);

    /* The next ones, never more than *most in all. false with *err set: the stream is ended, and failed() told so. */
    bool (*bytes)(void *user, const void *data, size_t len, struct error *err);

    /* The last event: the peer closed it, whether or not all was there; or all was, and he sent something behind it
     * (extra), or did not close for ten seconds. */
    void (*closed)(void *user, uint64_t moved, bool extra);

    /* The last event: ERR_RECIPIENT_TIMEOUT (not opened in time), ERR_STALLED, ERR_IBB_SEQUENCE_ERROR,
     * ERR_PEER_PROTOCOL_ERROR, or what bytes() said. */
    void (*failed)(void *user, const struct error *why, uint64_t moved);
};

struct ibb_in_terms {
    const struct jid *local; /* the address of ours that it was agreed for; copied */
    const struct jid *peer;  /* full; copied */
    const char *sid;         /* copied */
    unsigned block_max;      /* a peer that opens with larger blocks is asked for smaller ones; 0: IBB_IN_BLOCK */
    unsigned open_ms;        /* until it must be open; 0: no deadline, its maker has one */
    unsigned idle_ms;        /* between blocks; 0: none */
};

struct ibb_in;

/* Expects it from now on. events outlive it. NULL with *err set: such a stream is expected or open already
 * (ERR_PEER_PROTOCOL_ERROR), the id is empty or too long (likewise), out of memory. */
struct ibb_in *ibb_in_expect(struct client *c, const struct ibb_in_terms *terms, const struct ibb_in_events *events,
                             void *user, struct error *err);

/* Without an event; where the peer holds it for open, it is told by a close. NULL is fine; leaves *s NULL. */
void ibb_in_destroy(struct ibb_in **s);

/* ---- the streams of one client */

struct ibb_in_streams *ibb_in_streams_create(struct client *c); /* NULL: out of memory */
void ibb_in_streams_destroy(struct ibb_in_streams **streams);   /* when no stream is left */

/* Somebody opens what nobody expects: true when it is expected now, by what was called (a bare stream). */
typedef bool ibb_in_stranger_fn(void *user, const struct jid *local, const struct jid *peer, const char *sid);
void ibb_in_on_stranger(struct ibb_in_streams *streams, ibb_in_stranger_fn *ask, void *user);

/* Answers a set of NS_IBB: every one that is about no stream we send. */
void ibb_in_serve(struct ibb_in_streams *streams, xmpp_stanza_t *iq, const struct jid *from, xmpp_stanza_t *payload);

#endif
