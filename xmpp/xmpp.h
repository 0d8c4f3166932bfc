/* xmpp/xmpp.h - the one public header of this folder: makes the network that gateway/network.h describes.
 *
 * Thread: core's, but xmpp_create() and xmpp_destroy(), which belong to start-up and shutdown. */
#ifndef XMPP_XMPP_H
#define XMPP_XMPP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/jid.h"
#include "gateway/carrier.h"
#include "gateway/network.h"
#include "xmpp/s5b_name.h"

enum xmpp_tls { XMPP_TLS_REQUIRED, XMPP_TLS_DIRECT, XMPP_TLS_OFF };
enum xmpp_direct { XMPP_DIRECT_AUTO, XMPP_DIRECT_ALWAYS, XMPP_DIRECT_NEVER };

struct xmpp_settings {
    struct jid jid; /* bare or full; with a resource, exactly that one is bound. Of a component, its default sender */
    const char *password; /* of an account */
    const char *secret;   /* of a component (XEP-0114), instead: then the whole domain of jid is ours. NULL: none */
    const char *roster;   /* of a component: the file that keeps whom it sees and who sees it; NULL: nowhere */
    const char *server;   /* NULL: SRV, then the domain itself; of a component, this machine */
    uint16_t port;        /* 0: SRV, then 5222 or, with direct TLS, 5223; of a component, 5347 */
    enum xmpp_tls tls;
    const char *ca;                    /* PEM file beside the system's; NULL: none */
    char *const *allow_nets;           /* networks that an upload service may lie in all the same; as proxies */
    char *const *proxies;              /* JIDs beside the discovered ones; NULL at the end; may be NULL */
    char *const *accept_subscriptions; /* globs on bare JIDs; NULL at the end; may be NULL */
    enum xmpp_direct direct;           /* to whom the carrier's own address is told */
    int64_t ping_interval_ms, ping_timeout_ms;
    int64_t reconnect_min_ms, reconnect_max_ms;
    int64_t iq_timeout_ms; /* disco and other questions to servers and clients */
    int64_t activate_timeout_ms;
    uint64_t ibb_max_size; /* the largest file that goes in-band */
    unsigned ibb_window;   /* blocks of it on their way at once, 1 to 3 */
    bool hidden;           /* of an account: nobody is shown this session's presence */
    const char *nick;      /* in rooms; NULL: the account's name */
    char *const *link;     /* "upload", "own": the ways to a link, in order; NULL at the end */
    bool own_links;        /* "own" is possible: the gateway knows its public address */
};

/* settings are copied. The library's global state is set up here too. A second network of the same process runs on the
 * same loop, and is destroyed before the first. */
struct network *xmpp_create(const struct xmpp_settings *settings, struct error *err);

/* After network_ops.stop() answered, or before start. *n becomes NULL. */
void xmpp_destroy(struct network **n);

/* A TLS handshake inside libstrophe has no deadline. When core's heartbeat is old while this says true, the watchdog
 * calls xmpp_shake(), which shuts the socket down and so ends the handshake. Both: any thread. */
bool xmpp_handshaking(struct network *n);
void xmpp_shake(struct network *n);

/* ---- a bytestream of ours to ourselves, by which 'jidpost doctor' tries a proxy. Core's thread, while online. */

/* Calls ready once, never from inside the call, when the proxies are known, or two seconds after the first one. false:
 * out of memory. */
bool xmpp_await_proxies(struct network *n, void (*ready)(void *user), void *user);

/* Those that told an address; returns how many. */
struct xmpp_streamhost {
    char jid[JID_MAX + 1]; /* who is asked to activate */
    struct carrier_address address;
};
size_t xmpp_streamhosts(struct network *n, struct xmpp_streamhost *out, size_t max);

/* A new one: both its sides ask the proxy's SOCKS5 server for that name. false: there is no session. */
struct xmpp_self_stream {
    char sid[S5B_SID], name[S5B_NAME];
};
bool xmpp_name_self_stream(struct network *n, struct xmpp_self_stream *out);

/* Has the proxy join the two sides; done is called once, never from inside the call. why NULL: bytes may flow. */
typedef void xmpp_activated_fn(void *user, const struct error *why);
bool xmpp_activate_self_stream(struct network *n, const struct xmpp_self_stream *stream, const char *proxy,
                               xmpp_activated_fn *done, void *user, struct error *err);

#endif
