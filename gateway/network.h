/* gateway/network.h - seam: the XMPP network as the gateway sees it: the session, and who is reachable by what.
 *
 * xmpp/ implements it; tests put a fake in its place. Everything runs on core's thread and core's uv loop.
 * A snapshot (struct network_view) is plain values and may be copied to other threads. */
#ifndef GATEWAY_NETWORK_H
#define GATEWAY_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "base/jid.h"
#include "gateway/method.h"
#include "gateway/reception.h"
#include "gateway/relay.h"

/* One resource a file could go to. */
struct candidate_resource {
    struct jid jid;
    int priority;           /* RFC 6121 section 4.7.2.3 */
    char show[8];           /* "", "chat", "away", "xa", "dnd" */
    bool answered;          /* its features are known */
    bool proven;            /* an earlier file got there */
    const char *methods[8]; /* names of usable methods in order of preference; NULL at the end */
    char **features;        /* NULL at the end; owned */
};

struct recipient {
    struct jid asked;
    struct jid from;                      /* our own full JID, as the recipient sees it */
    bool subscribed;                      /* we see the contact's presence */
    bool direct;                          /* may be told our own address */
    struct candidate_resource *resources; /* best first; those without a usable method last */
    size_t count;
};
void recipient_free(struct recipient *r);                                           /* its parts, not r itself */
void candidate_resources_free(struct candidate_resource **resources, size_t count); /* leaves *resources NULL */

/* err NULL: r is filled, and the callee's to take (steal fields) or leave (freed after the call). */
typedef void network_recipient_fn(void *user, struct recipient *r, const struct error *err);

enum network_state { NETWORK_OFFLINE, NETWORK_CONNECTING, NETWORK_ONLINE, NETWORK_STOPPED };
const char *network_state_name(enum network_state state);

struct proxy_view {
    char jid[256];  /* as discovered or configured */
    char host[256]; /* streamhost's; empty until it answered */
    uint16_t port;
    bool configured; /* by [xmpp] proxies, else discovered */
    char result[40]; /* "ok", or the error code of its last answer; empty: not asked yet */
    int64_t asked;   /* wall clock ms */
};

struct network_view {
    enum network_state state;
    char jid[JID_MAX + 1]; /* bound, or the configured one while offline */
    int64_t since;         /* wall clock ms of the last change of state */
    char advice[256];      /* why not online and what to do; empty when all is well */
    int64_t next_connect;  /* wall clock ms, 0: none planned */
    uint64_t reconnects;
    uint64_t pending_iqs;
    struct proxy_view proxies[16];
    size_t proxy_count;
};

/* Whether somebody is there, as far as presence tells. */
enum sight {
    SIGHT_UNKNOWN, /* no session, or a young one: our contacts are not known yet */
    SIGHT_HIDDEN,  /* we are not shown the presence of that address */
    SIGHT_ASKED,   /* nor this, but we asked, and an answer may come */
    SIGHT_AWAY,
    SIGHT_THERE /* a device that a file for that address may be offered to */
};

struct network {
    const struct network_ops *ops;
};

struct network_events {
    void (*changed)(void *user, const struct network_view *view); /* after every change, a copy to keep */
    void (*presence)(void *user, const struct jid *who, bool available);
    void (*roster)(void *user); /* once a session: from here on sight() knows who is a contact */
    /* Whether we are shown the presence of that bare JID changed; or we asked, and were refused. */
    void (*subscription)(void *user, const struct jid *who, bool granted);
    void *user;
    struct receiver *receiver; /* who takes files that are sent to us; NULL: nobody, and that is announced */
    struct relay *relay;       /* joins others' bytestreams, in component mode; NULL: we are no proxy */
};

struct network_ops {
    bool (*start)(struct network *n, uv_loop_t *loop, const struct network_events *events, struct error *err);
    /* Finds where a file for to can go: a full JID is asked for its features; a bare JID is looked up in presence.
     * Answers exactly once, never from inside the call. ERR_RECIPIENT_OFFLINE (its text says what would help),
     * ERR_XMPP_DISCONNECTED, ERR_RECIPIENT_TIMEOUT, ERR_REMOTE_SERVER_UNREACHABLE …
     * from: the address of ours to ask from and to send from, as the recipient's from says in full; NULL, or none of
     * ours any more: the default sender.
     * The returned ticket, not 0, cancels it: after forget() no answer comes. */
    uint64_t (*find)(struct network *n, const struct jid *from, const struct jid *to, network_recipient_fn *done,
                     void *user);
    void (*forget)(struct network *n, uint64_t ticket);
    /* A file got to that device: it is preferred to others that are as good. */
    void (*succeeded)(struct network *n, const struct jid *who);
    /* A chat message to that device, from as of an offer; whether it arrives nobody knows. ERR_XMPP_DISCONNECTED: it
     * could not be sent. */
    bool (*say)(struct network *n, const struct jid *from, const struct jid *to, const char *text, struct error *err);
    enum sight (*sight)(struct network *n, const struct jid *to);
    /* Asks that bare JID to let us see when it is online. *sent false: that was done not long ago, and is still open.
     * ERR_RECIPIENT_FORBIDS: it was refused not long ago; ERR_XMPP_DISCONNECTED. */
    bool (*subscribe)(struct network *n, const struct jid *who, bool *sent, struct error *err);
    /* The methods in order of preference, NULL at the end. */
    const struct method_ops *const *(*methods)(struct network *n);
    /* Closes the stream in good order and every uv handle; stopped() is called when the loop holds none of ours. */
    void (*stop)(struct network *n, void (*stopped)(void *user), void *user);
};

#endif
