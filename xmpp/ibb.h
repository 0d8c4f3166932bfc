/* xmpp/ibb.h - a file in-band: base64 in stanzas (XEP-0047), as the side that sends.
 *
 * Slow, because every byte goes through the servers, which throttle; but nothing else has to be reachable. Whoever
 * negotiated the stream id starts one and hears what becomes of it by events. At most IBB_STREAMS are on their way at
 * once on our one connection, so that other stanzas still get through; the others wait for their turn.
 * A block counts as moved when the peer has acknowledged it.
 * Events never come from inside a call, and a stream may be destroyed from inside its events. Thread: core's. */
#ifndef XMPP_IBB_H
#define XMPP_IBB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/jid.h"
#include "xmpp/client.h"

enum {
    IBB_SID = 35,        /* with its terminator */
    IBB_SID_MAX = 64,    /* that of a stream id made elsewhere; likewise */
    IBB_BLOCK = 4096,    /* what every client takes, in a stanza that every server passes (RFC 6120 section 13.12) */
    IBB_BLOCK_MIN = 512, /* smaller is not tried for a peer that is short of resources */
    IBB_WINDOW = 3,      /* blocks on their way at once, at most */
    IBB_STREAMS = 2,
    IBB_OPEN_MS = 30 * 1000 /* for the answer to an open that was agreed on before */
};

/* The streams of one client. */
struct ibb_streams *ibb_streams_create(struct client *c); /* answers peers' stanzas too; NULL: out of memory */
void ibb_streams_destroy(struct ibb_streams **streams);   /* when no stream is left */

enum ibb_event_kind {
    IBB_WAITING,  /* still, for a turn; told every minute */
    IBB_OPEN,     /* the peer took it: ibb_send() may be called, once */
    IBB_PROGRESS, /* moved */
    IBB_DONE,     /* everything was acknowledged, and so was our close; that only if the file was empty */
    IBB_FAILED    /* error: ibb_refused, ibb_sequence_error, stream_broken, stalled, recipient_offline … */
};

struct ibb_event {
    enum ibb_event_kind kind;
    uint64_t moved;
    struct error error; /* IBB_FAILED */
};

typedef void ibb_event_fn(void *user, const struct ibb_event *event);

struct ibb_terms {
    const struct jid *to;   /* copied */
    const struct jid *from; /* as of an offer; copied */
    const char *sid;        /* copied */
    unsigned block;         /* bytes a stanza; IBB_BLOCK, or fewer where the peer wants that */
    unsigned answer_ms;     /* how long the peer may take to answer the open */
    bool either;            /* the peer may open it instead (XEP-0261) */
    unsigned yield_ms;      /* and has so long until we do */
    unsigned linger_ms;     /* between the last block and our close: who knows how much was to come closes before */
};

/* Whether a file of that size may go in-band; ERR_METHOD_UNSUPPORTED tells the limit. */
bool ibb_allows(const struct client *c, uint64_t size, struct error *err);

struct ibb;

/* Opens, when it has its turn. A stream is for both directions, whoever opened it. NULL with *err set: the stream id is
 * too long (ERR_PEER_PROTOCOL_ERROR), out of memory.
 */
struct ibb *ibb_open(struct client *c, const struct ibb_terms *terms, ibb_event_fn *on_event, void *user,
                     struct error *err);

/* After IBB_OPEN: sends length bytes of fd from offset, then closes. fd stays open until IBB_DONE, IBB_FAILED or
 * ibb_destroy(). */
void ibb_send(struct ibb *b, int fd, uint64_t offset, uint64_t length);

/* Ends it without an event; the peer is told when it knows of the stream. NULL is fine; leaves *b NULL. */
void ibb_destroy(struct ibb **b);

/* A new stream id: random, and an NMTOKEN. */
void ibb_sid(char out[static IBB_SID]);

#endif
