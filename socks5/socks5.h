/* socks5/socks5.h - an engine that pairs a SOCKS5 name with a job on the bytes behind it.
 *
 * A name is what a SOCKS5 client (RFC 1928 section 4) puts into DST.ADDR as a domain name. Whoever comes to the
 * listener asking for a name some stream waits for becomes that stream's peer; and the engine can go to another
 * SOCKS5 server itself and ask there. It never connects anywhere on a client's behalf, and it has never heard of JIDs.
 *
 * Commands are posted, events come back; both name a stream by the id its owner chose (never 0, never reused).
 * Threads: commands from any one thread at a time per stream; events on an engine thread, where the callback may
 * only copy and post. After SOCKS5_DONE, SOCKS5_FAILED or socks5_cancel() a stream is gone; late commands for it are
 * dropped, and at most one event may still be on its way after a cancel.
 * Units: milliseconds, bytes.
 * The process ignores SIGPIPE: sendfile(2) cannot be told not to raise it. */
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

struct socks5_limits {
    unsigned threads;          /* 0: one per processor */
    unsigned max_sessions;     /* sockets in all, pending ones included */
    unsigned pending_per_peer; /* handshakes at once from one address (IPv6: its /64) */
    unsigned handshake_ms;     /* accept to claimed name (protocol: 10 s) */
    unsigned step_ms;          /* as a client: one reply of the other server (5 s) */
    unsigned idle_ms;          /* pumping: no byte moved (120 s) */
    unsigned linger_ms;        /* all sent and acknowledged: for the peer's close, without which it stalled (30 s) */
};

enum socks5_event_kind {
    SOCKS5_CLAIMED,  /* a peer came to the listener, asked for one of the names and got REP 00 */
    SOCKS5_DIALED,   /* the other server answered REP 00 */
    SOCKS5_PROGRESS, /* at most four a second while bytes move */
    SOCKS5_DONE,     /* everything was sent, acknowledged, and the peer closed after it */
    SOCKS5_FAILED    /* error says why, moved how far */
};

struct socks5_event {
    enum socks5_event_kind kind;
    uint64_t stream;
    uint64_t moved;     /* payload bytes the kernel took, from the start of this send */
    struct error error; /* SOCKS5_FAILED: streamhosts_unreachable, stream_broken, stalled, peer_protocol_error,
                           security_refused, system */
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

/* Ends the stream without an event of its own: bytes under way are cut with a reset. */
void socks5_cancel(struct socks5_engine *engine, uint64_t stream);

struct socks5_stats {
    uint64_t sessions;          /* open sockets now */
    uint64_t accepted, refused; /* since the start */
};
void socks5_stats(struct socks5_engine *engine, struct socks5_stats *out);

#endif
