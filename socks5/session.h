/* socks5/session.h - one connection from its handshake to its close, and its deadlines.
 *
 *     accepted   SHAKING → ASKED → session_answer() → OPEN → session_pump() → SENDING → LINGERING → finished
 *                                                   → LEAVING → finished
 *                                             OPEN → session_pump() → RECEIVING → RECEIVED → session_leave() → LEAVING
 *     dialled    CONNECTING → SHAKING → OPEN → …
 *
 * The owner adds the session's watch to a poller, calls session_step() when it is ready and session_tick() now and
 * then, and acts on the verdict. A session never reads what a client sends behind its request: until bytes are asked
 * for, they stay in the socket.
 *
 * Closing so that the receiver gets everything: the write side is shut, what still comes is read and thrown away, and
 * the descriptor is closed after the peer did; closing with unread input would reset the connection and cut the tail
 * off. Thread: one at a time; a session may change hands while it is in no poller. Times: monotonic milliseconds. */
#ifndef SOCKS5_SESSION_H
#define SOCKS5_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"
#include "socks5/handshake.h"
#include "socks5/peer.h"
#include "socks5/poller.h"
#include "socks5/pump.h"
#include "socks5/socks5.h"

enum session_state {
    SESSION_CONNECTING,
    SESSION_SHAKING,
    SESSION_ASKED, /* a client asked for a name: session_answer() is next */
    SESSION_OPEN,  /* parked: not read, only watched for its end; what came before that is still there to be read */
    SESSION_SENDING,
    SESSION_LINGERING, /* all handed to the kernel, write side shut: until it is acknowledged and the peer closes */
    SESSION_RECEIVING,
    SESSION_RECEIVED, /* all that was wanted, or the other side's end: stays, unwatched */
    SESSION_LEAVING   /* refused, or received: write side shut, until the other side closes */
};

enum session_verdict {
    SESSION_GOES_ON,
    SESSION_HAS_ASKED, /* session->shake->request says for what */
    SESSION_IS_OPEN,   /* dialled: the other server said yes */
    SESSION_FINISHED,  /* sent, acknowledged and closed; or received; or left and closed */
    SESSION_BROKEN     /* *err says why */
};

struct session {
    struct watch watch; /* its fd is the session's */
    enum session_state state;
    const struct socks5_limits *limits;
    _Atomic uint64_t *open_sockets; /* counts this one */
    struct peer peer;
    int64_t deadline;
    struct handshake *shake; /* NULL once it is over */
    struct pump pump;        /* its file and feed are borrowed */
    bool starved;            /* SENDING: for the file to grow; session_fed() is next */
    size_t chatter;          /* bytes that came where none belong */
    int unacknowledged;      /* LINGERING: bytes, when last looked at */
    bool peer_closed;        /* its write side */
    bool extra;              /* RECEIVED: more came than was wanted */
    struct session *next;    /* the owner's */
};

/* Take fd over, also on failure. NULL: out of memory. */
struct session *session_accepted(int fd, const struct peer *peer, const struct socks5_limits *limits,
                                 _Atomic uint64_t *open_sockets, int64_t now);
struct session *session_dialled(int fd, const char *name, unsigned connect_ms, const struct socks5_limits *limits,
                                _Atomic uint64_t *open_sockets, int64_t now);

/* Out of its poller, closed and freed; *session becomes NULL, and may be so before; reset: bytes under way are cut, so
 * that no peer takes a short file for a whole one. */
void session_close(struct session **session, bool reset);

/* OPEN: the descriptor, out of its poller and still counted as open; the rest of the session is freed. */
int session_give(struct session **session);

/* What its watch waits for in its present state; the session itself changes it as it goes on. */
uint32_t session_events(const struct session *s);

enum session_verdict session_step(struct session *s, uint32_t events, int64_t now, struct error *err);
enum session_verdict session_tick(struct session *s, int64_t now, struct error *err);

/* ASKED: sends the reply. SOCKS5_REP_OK leaves it OPEN, any other LEAVING. */
enum session_verdict session_answer(struct session *s, enum socks5_rep rep, int64_t now, struct error *err);

/* OPEN: whether the other side is still there, as far as the kernel knows. */
bool session_alive(const struct session *s);

/* OPEN: starts once the socket is writable, or readable, in its turn. The pump's file stays the caller's, and held
 * until the session is closed. */
void session_pump(struct session *s, const struct pump *pump, int64_t now);

/* RECEIVED, and in no poller: shuts the write side. What still comes is thrown away, within limits and for a little
 * while: a close with unread input would reset the connection, and the sender take that for a failure. */
void session_leave(struct session *s, int64_t now);

/* SENDING and starved: its feed has news. Meanwhile the peer was not the one who let us wait. */
enum session_verdict session_fed(struct session *s, int64_t now, struct error *err);

#endif
