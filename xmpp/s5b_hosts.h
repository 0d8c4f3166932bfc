/* xmpp/s5b_hosts.h - the streamhosts that a recipient is offered: our own listener first, then the proxies known.
 *
 * Thread: core's. */
#ifndef XMPP_S5B_HOSTS_H
#define XMPP_S5B_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/carrier.h"
#include "xmpp/client.h"
#include "xmpp/proxies.h"

enum { S5B_HOSTS = 8 }; /* at once; recipients try them one by one */

struct s5b_hosts {
    struct streamhost hosts[S5B_HOSTS];
    size_t count;
    bool direct; /* hosts[0] is our own listener */
};

/* What may be offered to that JID now; proxies_wait() first. from: whose listener ours is called. avoid: the JID of a
 * proxy to leave out, or "". ERR_STREAMHOSTS_UNREACHABLE, with advice, when there is nothing. */
bool s5b_gather(const struct client *client, struct carrier *carrier, const struct jid *from, const struct jid *to,
                const char *avoid, struct s5b_hosts *out, struct error *err);

/* Of those offered, what is needed until bytes flow, as long as its texts: thousands may open at once. One piece of
 * memory, the caller's to free(); NULL: out of memory. */
struct offered_host {
    const char *jid, *host;
    uint16_t port;
};
struct offered_host *s5b_hosts_keep(const struct s5b_hosts *hosts);

#endif
