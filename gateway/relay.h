/* gateway/relay.h - seam: bytestreams that are relayed for others (the StreamHost proxy, XEP-0065 section 6).
 *
 * xmpp/proxy65.c hears who asks for what and answers in stanzas; the relay says who may (the [proxy] keys), counts, and
 * has socks5/ join the two sides. Nobody is ever dialled.
 * Thread: core's. */
#ifndef GATEWAY_RELAY_H
#define GATEWAY_RELAY_H

#include <stdbool.h>

#include "base/error.h"
#include "base/jid.h"
#include "gateway/carrier.h"

struct relay {
    const struct relay_ops *ops;
};

/* err NULL: both sides are joined; answer first, they are read from the next turn on at the earliest. */
typedef void relay_activated_fn(void *user, const struct error *err);

struct relay_ops {
    /* Where it is, for our own transfers; false: it cannot be reached. */
    bool (*where)(struct relay *r, struct carrier_address *out);

    /* Where both sides are to connect to, if that address may use us: ERR_PROXY_REFUSED (not one of ours),
     * ERR_DRAINING, ERR_PROXY_UNAVAILABLE (nothing is listened on, or advertised), ERR_PROXY_BUSY, ERR_RATE_LIMITED.
     * Keeps nothing of who asked but the rate. */
    bool (*address)(struct relay *r, const struct jid *from, struct carrier_address *out, struct error *err);

    /* Joins the two that asked our listener for one of these names (1 to 2: with the target as sent and as prepared).
     * Answers once, perhaps from inside: ERR_PROXY_REFUSED, ERR_PROXY_HASH_MISMATCH (nobody asked for it),
     * ERR_PROXY_PAIR_INCOMPLETE (one side is missing), ERR_PROXY_BUSY (a quota; both are closed), ERR_DRAINING,
     * ERR_RATE_LIMITED. Once more for a stream that is joined already, by the same requester: no error. */
    void (*activate)(struct relay *r, const struct jid *requester, const struct jid *target, const char *const *names,
                     size_t count, relay_activated_fn *done, void *user);
};

#endif
