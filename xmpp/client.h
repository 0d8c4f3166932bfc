/* xmpp/client.h - what the parts of this folder share about the one account they act for.
 *
 * Owned by network.c; everybody else borrows it. Thread: core's. */
#ifndef XMPP_CLIENT_H
#define XMPP_CLIENT_H

#include <stdbool.h>
#include <strophe.h>
#include <uv.h>

#include "base/jid.h"
#include "xmpp/iq.h"
#include "xmpp/xmpp.h"

struct disco;          /* xmpp/disco.h: what a peer supports, asked once and kept */
struct contacts;       /* xmpp/contacts.h: roster and presence */
struct own_presence;   /* xmpp/own_presence.h: of a component; whom its addresses see, and who sees them */
struct services;       /* xmpp/services.h: what our own server has, and what each of that is */
struct proxies;        /* xmpp/proxies.h: bytestream proxies known, and how each last answered */
struct ibb_streams;    /* xmpp/ibb.h: what is being sent in-band */
struct ibb_in_streams; /* xmpp/ibb_in.h: what comes in-band */
struct target;         /* xmpp/target.h: files on their way to us, but for those by Jingle */
struct jingle;         /* xmpp/jingle.h: the Jingle sessions there are */
struct jingle_target;  /* xmpp/jingle_target.h: files that come by them */
struct upload_service; /* xmpp/upload_service.h: where the own server takes files */
struct rooms;          /* xmpp/rooms.h: rooms we are in for the moment, to say something */
struct proxy65;        /* xmpp/proxy65.h: joins others' bytestreams, in component mode */
struct messages;       /* xmpp/messages.h: texts on their way, and those that came back */

struct client {
    const struct xmpp_settings *settings;
    xmpp_ctx_t *ctx;
    uv_loop_t *loop;
    struct iq_table *iq;
    struct disco *disco;
    struct contacts *contacts;
    struct own_presence *own_presence; /* NULL: we have an account */
    struct services *services;
    struct proxies *proxies;
    struct ibb_streams *ibb;
    struct ibb_in_streams *ibb_in;
    struct target *target;
    struct jingle *jingle;
    struct jingle_target *jingle_target;
    struct upload_service *uploads;
    struct messages *messages;
    struct rooms *rooms;
    struct http *http;         /* gateway/http_put.h */
    struct receiver *receiver; /* gateway/reception.h; NULL: nothing is received */
    struct relay *relay;       /* gateway/relay.h; NULL: we are no proxy */
    struct proxy65 *proxy65;   /* NULL: likewise */
    bool component;            /* every address of our domain is ours, and there is no roster */
    struct jid self;           /* bound full JID while online, else as configured */
    bool online;
};

/* Who sends what is asked to be sent from there (NULL: from nowhere): of a component that address, else ourselves. */
static inline const struct jid *client_sender(const struct client *c, const struct jid *from)
{
    return c->component && from ? from : &c->self;
}

/* Whether the carrier's own address may be told to that peer (protocol: address privacy). In contacts.c. */
bool client_may_tell_address(const struct client *c, const struct jid *peer);

#endif
