#include "cli/compose.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/socks5_carrier.h"
#include "xmpp/xmpp.h"

enum { DIAL_MS = 12 * 1000 };

static enum xmpp_tls tls_of(enum tls_mode mode)
{
    return mode == TLS_OFF ? XMPP_TLS_OFF : mode == TLS_DIRECT ? XMPP_TLS_DIRECT : XMPP_TLS_REQUIRED;
}

static enum xmpp_direct direct_of(enum direct_mode mode)
{
    return mode == DIRECT_ALWAYS ? XMPP_DIRECT_ALWAYS : mode == DIRECT_NEVER ? XMPP_DIRECT_NEVER : XMPP_DIRECT_AUTO;
}

static struct network *compose(const struct config *c, const struct jid *jid, bool hidden, struct error *err)
{
    struct network *n;
    char *roster = NULL;
    struct xmpp_settings settings = {
        .jid = *jid,
        .password = c->xmpp.password,
        .secret = c->xmpp.component_secret,
        .server = c->xmpp.server,
        .port = c->xmpp.port,
        .tls = tls_of(c->xmpp.tls),
        .ca = c->xmpp.ca,
        .allow_nets = c->egress.allow_nets,
        .proxies = c->xmpp.proxies,
        .accept_subscriptions = hidden ? NULL : c->xmpp.accept_subscriptions,
        .hidden = hidden,
        .link = c->delivery.link,
        .own_links = c->server.public_url != NULL,
        .nick = c->xmpp.nick,
        .direct = direct_of(c->socks5.direct),
        .ping_interval_ms = c->xmpp.ping_interval,
        .ping_timeout_ms = c->xmpp.ping_timeout,
        .reconnect_min_ms = c->xmpp.reconnect_min,
        .reconnect_max_ms = c->xmpp.reconnect_max,
        .iq_timeout_ms = c->xmpp.iq_timeout,
        .activate_timeout_ms = c->delivery.activate_timeout,
        .ibb_max_size = c->delivery.ibb_max_size,
        .ibb_window = (unsigned)c->delivery.ibb_window,
    };

    if (settings.secret && asprintf(&roster, "%s/roster", c->server.state_dir) < 0) {
        error_set(err, ERR_SYSTEM, "out of memory");
        return NULL;
    }
    settings.roster = roster;
    n = xmpp_create(&settings, err);
    free(roster);
    return n;
}

struct network *compose_network(const struct config *c, const struct jid *jid, struct error *err)
{
    return compose(c, jid, false, err);
}

struct network *compose_hidden(const struct config *c, const struct jid *jid, struct error *err)
{
    return compose(c, jid, true, err);
}

bool compose_relays(const struct config *c)
{
    return c->xmpp.component_secret && c->socks5.advertise_host && c->proxy.allow[0];
}

struct relaying_limits compose_relay_limits(const struct config *c)
{
    return (struct relaying_limits){.allow = c->proxy.allow,
                                    .max_streams = c->proxy.max_streams,
                                    .max_streams_per_requester = c->proxy.max_streams_per_requester,
                                    .hourly_bytes = c->proxy.hourly_bytes,
                                    .rate = c->proxy.rate};
}

struct relay *compose_relay(const struct config *c, struct carrier *carrier, struct error *err)
{
    const struct relaying_limits limits = compose_relay_limits(c);
    char own[JID_PART + 1];
    size_t len;
    const char *domain = jid_domain(&c->xmpp.jid, &len);

    snprintf(own, sizeof own, "%.*s", (int)len, domain);
    return relaying_create(carrier, socks5_carrier_pairing(carrier), own, &limits, err);
}

struct carrier *compose_carrier(const struct config *c, uv_loop_t *loop, struct error *err)
{
    const struct socks5_carrier_config config = {
        .listen = c->socks5.listen,
        .advertise_host = c->socks5.advertise_host,
        .advertise_port = c->socks5.advertise_port,
        .allow_nets = c->egress.allow_nets,
        .threads = (unsigned)c->socks5.threads,
        .max_sessions = (unsigned)c->socks5.max_streams,
        .pending_per_peer = (unsigned)c->socks5.pending_per_peer,
        .connect_ms = DIAL_MS,
        .idle_ms = (unsigned)c->delivery.stall_timeout,
        .linger_ms = (unsigned)c->delivery.linger_timeout,
        .pairing = {.on = compose_relays(c),
                    .pair_ms = (unsigned)c->proxy.pair_timeout,
                    .activate_ms = (unsigned)c->proxy.activate_timeout,
                    .idle_ms = (unsigned)c->proxy.idle_timeout},
    };

    return socks5_carrier_create(loop, &config, err);
}
