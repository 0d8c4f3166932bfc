/* xmpp/session.h - a connection to the XMPP server: connecting, staying connected, sending.
 *
 * Every work-around that libstrophe 0.12 needs lives here:
 *   - it waits with select(), which aborts for a descriptor of 1024 or more: its socket is moved onto a low one;
 *   - it looks names up on the calling thread: it is given numeric addresses, one after the other;
 *   - its TLS handshake has no deadline: session_shake() ends one from another thread;
 *   - it takes a server without STARTTLS by default, and its stream management loses stanzas: flags;
 *   - it builds a tree of any stanza, in quadratic time: a stanza over the limits of xmpp/stanza_limit.h is ignored;
 *   - it may stop in the middle of sending or reading with nothing left to wake it: the pump repeats its turn;
 *   - it never gives up a login that the server does not answer, or a stream it cannot parse: deadlines here.
 *
 * Thread: the loop's, but session_handshaking() and session_shake(). There may be more than one session, all on one
 * loop: each has its own context of the library. That of the one created first holds the XML parser's memory for all
 * of them: it is destroyed last. */
#ifndef XMPP_SESSION_H
#define XMPP_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <strophe.h>
#include <uv.h>

#include "gateway/network.h"
#include "xmpp/xmpp.h"

struct session;

struct session_events {
    void (*online)(void *user, const struct jid *bound); /* stanzas may be sent now */
    void (*offline)(void *user);                         /* after online() only */
    void (*stanza)(void *user, xmpp_stanza_t *stanza);   /* each whole stanza; lives for the call */
    void (*changed)(void *user);                         /* session_view() differs */
    void *user;
};

/* jid: the full JID to bind. settings are borrowed for the session's life. ERR_SYSTEM when memory or descriptors are
 * out. */
struct session *session_create(const struct xmpp_settings *settings, const struct jid *jid,
                               const struct session_events *events, struct error *err);

/* Before session_start(), or after session_stop() has answered. NULL is fine; leaves *s NULL. */
void session_destroy(struct session **s);

xmpp_ctx_t *session_ctx(struct session *s);

/* Connects from the loop's next turn on, and ever again with a growing pause; see session_view() for how it goes. */
bool session_start(struct session *s, uv_loop_t *loop, struct error *err);

/* Ends the stream in good order, in at most two seconds, and closes every handle. stopped() is called once, never
 * from inside the call. */
void session_stop(struct session *s, void (*stopped)(void *user), void *user);

/* Queues a stanza for the server; false when offline, stopping, or when too much waits
 * already. Also an iq_send_fn. */
bool session_send(void *session, xmpp_stanza_t *stanza);

/* Cuts the connection, for a server that is silent: offline() follows, then a new try. */
void session_cut(struct session *s, const char *why);

/* Fills state, since, advice, next_connect and reconnects of a view. */
void session_view(const struct session *s, struct network_view *out);

/* Whether a connection is being made; and what the watchdog does when that takes the loop's whole time: shuts the
 * socket down. Any thread. */
bool session_handshaking(struct session *s);
void session_shake(struct session *s);

#endif
