/* socks5/socks5.h - an engine that pairs a SOCKS5 name with a job on the bytes behind it.
 *
 * A name is what a SOCKS5 client (RFC 1928 section 4) puts into DST.ADDR as a domain name. Whoever comes to the
 * listener asking for a name some stream waits for becomes that stream's peer; and the engine can go to another
 * SOCKS5 server itself and ask there. It never connects anywhere on a client's behalf, and it has never heard of JIDs.
 *
 * Commands are posted, events come back; both name a stream by the id its owner chose (never 0, never reused).
 * Threads: commands from any one thread at a time per stream; events on an engine thread, where the callback may
 * only copy and post. After SOCKS5_DONE, SOCKS5_FAILED or socks5_cancel() a stream is gone, but for one that has
 * received, which goes by socks5_cancel() alone; late commands for it are dropped, and at most one event may still be
 * on its way after a cancel. Units: milliseconds, bytes. The process ignores SIGPIPE: sendfile(2) cannot be told not to
 * raise it. */
#ifndef SOCKS5_SOCKS5_H
#define SOCKS5_SOCKS5_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/feed.h"

enum { SOCKS5_NAME = 255, SOCKS5_NAMES = 4 };

/* For socks5_activate(): what the listener takes beyond the names of streams. */
struct socks5_pairing {
    unsigned max_pairs;       /* joined at once; 0: nobody is parked, and every other name is refused */
    unsigned max_parked;      /* sockets that wait for their other side or for the word */
    unsigned parked_per_peer; /* of them, from one address (IPv6: its /64) */
    unsigned pair_ms;         /* the first of a name waits for the second (300 s) */
    unsigned activate_ms;     /* both wait for the word (120 s) */
    unsigned idle_ms;         /* joined: no byte moved (600 s) */
    unsigned linger_ms;       /* one side has ended: no byte moved towards it, or acknowledged by the other (30 s) */
};

struct socks5_limits {
    unsigned threads;          /* 0: one per processor */
    unsigned max_sessions;     /* sockets in all, pending ones included */
    unsigned pending_per_peer; /* handshakes at once from one address (IPv6: its /64) */
    unsigned handshake_ms;     /* accept to claimed name (protocol: 10 s) */
    unsigned step_ms;          /* as a client: one reply of the other server (5 s) */
    unsigned idle_ms;          /* pumping: no byte moved (120 s) */
    unsigned linger_ms;        /* all sent and acknowledged: for the peer's close, without which it stalled (30 s) */
    struct socks5_pairing pairing;
};

enum socks5_event_kind {
    SOCKS5_CLAIMED,  /* a peer came to the listener, asked for one of the names and got REP 00 */
    SOCKS5_DIALED,   /* the other server answered REP 00 */
    SOCKS5_PROGRESS, /* at most four a second while bytes move */
    SOCKS5_DONE,     /* everything was sent, acknowledged, and the peer closed after it; or received, see below */
    SOCKS5_FAILED,   /* error says why, moved how far */
    /* of a pair */
    SOCKS5_PAIRED,        /* both sides are joined, and being read */
    SOCKS5_UNPAIRED,      /* they are not: error says why; the last of this id */
    SOCKS5_PAIR_PROGRESS, /* at most one a second while bytes move */
    SOCKS5_PAIR_OVER      /* both sockets are closed, the name is free again; the last of this id */
};

struct socks5_event {
    enum socks5_event_kind kind;
    uint64_t stream;
    uint64_t moved;     /* payload bytes the kernel took, from the start of this send; or that are in the file; of a
                           pair: from the side that came first to the other */
    bool extra;         /* SOCKS5_DONE of a receive: more came than was asked for */
    uint64_t back;      /* of a pair: the other way */
    uint64_t lasted_ms; /* SOCKS5_PAIR_OVER: since it was joined */
    uint64_t other;     /* SOCKS5_UNPAIRED with proxy_already_active: the pair that has the name */
    struct error error; /* SOCKS5_FAILED: streamhosts_unreachable, stream_broken, stalled, peer_protocol_error,
                           security_refused, spool_full, system
                           SOCKS5_UNPAIRED: proxy_hash_mismatch (nobody asked for the name), proxy_pair_incomplete (one
                           side did), proxy_already_active, proxy_busy (max_pairs; both are closed), system
                           SOCKS5_PAIR_OVER: none (both sides ended, and all they sent was passed on), stalled (idle, or
                           no close after the other's), stream_broken (one side was reset; so was the other),
                           size_exceeded (max_bytes), cancelled */
};

typedef void socks5_event_fn(void *user, const struct socks5_event *event);

struct socks5_engine;

/* listen: the listening sockets to serve, already bound and listening, taken over on success; none: dial only. */
struct socks5_engine *socks5_engine_create(const struct socks5_limits *limits, const int *listen, size_t listens,
                                           socks5_event_fn *on_event, void *user, struct error *err);

/* Ends every stream without events, joins the threads. *engine becomes NULL. */
void socks5_engine_destroy(struct socks5_engine **engine);

/* Opens a listening socket for "host:port", "[v6]:port" or ":port" ("[::]" is dual stack); port 0 takes any.
 * Returns the descriptor and the port taken, or -1. */
int socks5_listen(const char *where, uint16_t *port, struct error *err);

/* Waits up to wait_ms for a peer that asks for one of the names (1 to SOCKS5_NAMES, copied). More than one socket
 * may claim them; SOCKS5_CLAIMED comes once, for the first. Until socks5_send() nothing is read or written.
 * Fails with ERR_STATE_CONFLICT when a name is already waited for, ERR_SYSTEM when out of memory. When the time
 * passes unclaimed: SOCKS5_FAILED with ERR_STREAMHOSTS_UNREACHABLE. */
bool socks5_expect(struct socks5_engine *engine, uint64_t stream, const char *const *names, size_t count,
                   unsigned wait_ms, struct error *err);

/* Connects to a SOCKS5 server and asks it for name, one write per message, nothing pipelined. Whether the address
 * may be dialled at all is the caller's business. A stream either expects or dials, and dials once: the next address
 * is another stream. However it fails, SOCKS5_FAILED carries ERR_STREAMHOSTS_UNREACHABLE. */
bool socks5_dial(struct socks5_engine *engine, uint64_t stream, const struct sockaddr *to, socklen_t to_len,
                 const char *name, unsigned connect_ms, struct error *err);

/* Sends length bytes of file (held until the stream ends) from offset to the claimed or dialled socket by sendfile(2),
 * shuts the write side, drains, and waits for the peer's close. Length 0 is a stream too. Once per stream; before a
 * peer is there, the job waits for it. SOCKS5_FAILED with ERR_STREAM_BROKEN when the peer hung up meanwhile. feed: of a
 * file that still grows (held until the stream ends), else NULL. The stream then follows it, however long that takes;
 * it ends well only behind the feed's end, and with a reset when the feed is aborted. */
bool socks5_send(struct socks5_engine *engine, uint64_t stream, struct shared_fd *file, struct feed *feed,
                 uint64_t offset, uint64_t length, struct error *err);

/* Receives at most length bytes from the claimed or dialled socket into file (held until the stream ends), from offset
 * on. Once per stream, and not beside socks5_send(); before a peer is there, the job waits for it. SOCKS5_DONE when
 * that many are there, or when the other side ended the stream before, moved tells; the socket stays. Failures as with
 * socks5_send(), and ERR_SPOOL_FULL; what was moved until then is in the file. */
bool socks5_receive(struct socks5_engine *engine, uint64_t stream, struct shared_fd *file, uint64_t offset,
                    uint64_t length, struct error *err);

/* Ends the stream without an event of its own: bytes under way are cut with a reset; what has received is closed in
 * good order. */
void socks5_cancel(struct socks5_engine *engine, uint64_t stream);

/* ---- pairs: two clients of the listener, who get each other's bytes (XEP-0065 section 6)
 *
 * With limits.pairing, a client that asks for a name of 40 hex digits, in either case, that no stream waits for gets
 * REP 00 and is parked until somebody says that it may go on: as the first of that name, then the second, whichever
 * that is. A third is refused with REP 02 and changes nothing. A parked socket is not read: what it sends early stays
 * in the kernel and holds it back there, and is passed on later. One that hangs up, or waits too long, leaves its place
 * to the next. Names of streams come first: who wants to be sure has the stream expect them before anybody can know
 * them. Nobody is ever connected to, and nothing is counted, or told, of parked sockets but in socks5_stats(). */

struct socks5_pair_options {
    uint64_t rate;      /* bytes a second, both ways together; 0: as fast as they can */
    uint64_t max_bytes; /* both ways together, then both sides are reset; 0: any number */
};

/* Joins the two who are parked under one of the names (1 to 2, 40 hex digits each in either case; the first that has
 * both), as the pair of that id, chosen as the ids of streams are. Answers with SOCKS5_PAIRED or SOCKS5_UNPAIRED. They
 * are read from then on without another word: a side may get bytes of the other before it hears from its owner that it
 * was activated, which is no different from a network that is slower one way. options NULL: none. */
bool socks5_activate(struct socks5_engine *engine, const char *const *names, size_t count, uint64_t pair,
                     const struct socks5_pair_options *options, struct error *err);

/* Closes whoever is parked under the names: an activation that its owner refuses for good. Pairs are left alone. */
void socks5_unpark(struct socks5_engine *engine, const char *const *names, size_t count);

/* Resets both sides. Unlike socks5_cancel() with a last event: SOCKS5_PAIR_OVER with cancelled, and the counts. A pair
 * that is gone is fine. */
void socks5_pair_cancel(struct socks5_engine *engine, uint64_t pair);

struct socks5_stats {
    uint64_t sessions;          /* open sockets now */
    uint64_t accepted, refused; /* since the start */
    uint64_t parked;            /* of sessions: wait for their other side, or for the word */
    uint64_t pairs;             /* joined now */
    uint64_t relayed;           /* bytes passed on by pairs, both ways, since the start */
    uint64_t pipes, pipe_bytes; /* held by the threads for pairs, and how much they could take in all */
    uint64_t spilled;           /* bytes of pairs that wait in memory, because their receiver does not take them */
};
void socks5_stats(struct socks5_engine *engine, struct socks5_stats *out);

#endif
