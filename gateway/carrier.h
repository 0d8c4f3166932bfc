/* gateway/carrier.h - seam: how a method gets its bytestream, without knowing sockets.
 *
 * socks5_carrier.c implements it over socks5/ and the resolver; tests put a fake in its place.
 * Thread: core's, events included. A stream belongs to the method that opened it; after carrier_close() no event of
 * it arrives. */
#ifndef GATEWAY_CARRIER_H
#define GATEWAY_CARRIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/feed.h"

enum { CARRIER_NAMES = 4 };

struct carrier_address {
    char host[256]; /* literal address (RFC 5952, no brackets) or DNS name */
    uint16_t port;
};

enum carrier_event_kind {
    CARRIER_CLAIMED,  /* a peer reached our listener and asked for one of the names */
    CARRIER_DIALED,   /* the proxy took our CONNECT */
    CARRIER_PROGRESS, /* moved so far */
    CARRIER_DONE,     /* all sent and the other side closed cleanly after it; or received as much as was asked for, or
                         until the other side's end, moved tells */
    CARRIER_FAILED    /* error, moved so far; the stream is of no more use, but still to be closed */
};

struct carrier_event {
    enum carrier_event_kind kind;
    uint64_t moved;
    bool extra; /* CARRIER_DONE of a receive: more came than was asked for */
    struct error error;
};

struct carrier_stream; /* opaque; the carrier's */
typedef void carrier_event_fn(void *user, const struct carrier_event *event);

struct carrier {
    const struct carrier_ops *ops;
};

struct carrier_ops {
    /* What recipients are told to connect to; false: nothing is advertised. */
    bool (*advertised)(struct carrier *c, struct carrier_address *out);
    struct carrier_stream *(*open)(struct carrier *c, carrier_event_fn *on_event, void *user, struct error *err);
    /* Await a peer at our listener under any of the names (40 hex digits each). */
    bool (*expect)(struct carrier_stream *s, const char *const *names, size_t count, unsigned wait_ms,
                   struct error *err);
    /* Resolve the host (trusted: our own server named it, so it may be private; both pass the egress filter) and ask it
     * for name. Every address is tried in turn; CARRIER_FAILED when none answered. Replaces an earlier expect. */
    bool (*dial)(struct carrier_stream *s, const struct carrier_address *to, bool trusted, const char *name,
                 struct error *err);
    /* Send length bytes of file (held as long as they are read) from offset. feed: of a file that still grows, else
     * NULL; the stream follows it, is done only behind its end, and is cut, with CARRIER_FAILED, when it is aborted. */
    bool (*send)(struct carrier_stream *s, struct shared_fd *file, struct feed *feed, uint64_t offset, uint64_t length,
                 struct error *err);
    /* Receives at most length bytes into file (held as long as it is written to) from offset on. Once per stream, and
     * not beside send(). The other side's end before that is CARRIER_DONE too; a reset is CARRIER_FAILED. After
     * CARRIER_DONE the connection stays until close(), which then ends it in good order. */
    bool (*receive)(struct carrier_stream *s, struct shared_fd *file, uint64_t offset, uint64_t length,
                    struct error *err);
    void (*close)(struct carrier_stream **s); /* NULL is fine; leaves *s NULL */
};

#endif
