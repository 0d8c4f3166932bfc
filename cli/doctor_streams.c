/* cli/doctor_streams.c - the ways a bytestream can take: our own listener, and each proxy. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "cli/compose.h"
#include "cli/dial.h"
#include "cli/doctor.h"
#include "gateway/config_values.h"
#include "gateway/egress.h"
#include "gateway/socks5_carrier.h"
#include "xmpp/xmpp.h"

enum {
    DIAL_MS = 3000,
    KNOWN_MS = 8000,
    ACTIVATE_MS = 8000,
    PROXIES = 6,
    PAYLOAD = 65536,
    PROXIES_UNTIL_MS = 30 * 1000,
    NOBODYS_NAME = 33 /* no digest: the two sides of one may be waited for, where we relay for others */
};

/* ---- our own listener */

/* Whether only this machine, or only its network, can reach it. */
static const char *how_far(const char *at)
{
    struct in_addr v4;
    struct in6_addr v6;

    if (inet_pton(AF_INET, at, &v4) == 1) {
        uint32_t a = ntohl(v4.s_addr);

        if (a >> 24 == 127)
            return "of this machine alone";
        if (a >> 24 == 10 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 || a >> 22 == 0x191)
            return "of a private network";
    } else if (inet_pton(AF_INET6, at, &v6) == 1) {
        if (IN6_IS_ADDR_LOOPBACK(&v6))
            return "of this machine alone";
        if ((v6.s6_addr[0] & 0xfe) == 0xfc || IN6_IS_ADDR_LINKLOCAL(&v6))
            return "of a private network";
    }
    return NULL;
}

/* Whoever answers there is our kind of server: it takes no name that nobody waits for. */
static bool is_ours(int fd, struct error *err)
{
    char name[NOBODYS_NAME];

    id_random_hex(name, (NOBODYS_NAME - 1) / 2);
    if (dial_socks5(fd, name, err))
        return error_set(err, ERR_STREAMHOSTS_UNREACHABLE, "something else answers there and takes any name");
    return err->code == ERR_STREAMHOSTS_UNREACHABLE;
}

static void try_address(struct doctor *d, const struct carrier_address *address)
{
    static const char check[] = "own address";
    struct error error = {0};
    const char *near;
    char at[64];
    int fd = dial(address->host, address->port, DIAL_MS, NULL, &error);

    if (fd < 0) {
        doctor_say(
            d, DOCTOR_FAIL, check, ERR_STREAMHOSTS_UNREACHABLE,
            "Open and forward that port to this machine, or correct [socks5] advertise; without it proxies are left.",
            "%s", error.text);
        return;
    }
    dialled(fd, at, sizeof at);
    near = how_far(at);
    if (!is_ours(fd, &error)) {
        doctor_say(d, DOCTOR_FAIL, check, ERR_STREAMHOSTS_UNREACHABLE,
                   "Forward the port that is advertised to the one of [socks5] listen.", "%s port %u: %s",
                   address->host, address->port, error.text);
    } else {
        d->advertises = true;
        if (near)
            doctor_say(d, DOCTOR_WARN, check, ERR_NONE,
                       "Advertise a name or address that recipients elsewhere can reach, if there are any.",
                       "%s port %u answers, but is %s", address->host, address->port, near);
        else
            doctor_say(d, DOCTOR_OK, check, ERR_NONE, NULL,
                       "%s port %u answers from here; whether it does from outside, only somebody there can tell",
                       address->host, address->port);
    }
    fd_close(&fd);
}

/* The listener of a gateway that runs has a port; one that is made for the moment takes what is free. */
void doctor_tries_address(struct doctor *d)
{
    const struct config *c = &d->config;
    struct carrier_address address = {.port = c->socks5.advertise_port};
    struct carrier *carrier = NULL;
    struct error error = {0};
    struct value_address listens;

    if (!c->socks5.advertise_host) {
        doctor_say(d, DOCTOR_OK, "own address", ERR_NONE, NULL, "none is advertised: bytestreams take proxies alone");
        return;
    }
    snprintf(address.host, sizeof address.host, "%s", c->socks5.advertise_host);
    if (!d->running) {
        carrier = compose_carrier(c, &d->loop, &error);
        if (!carrier) {
            doctor_say(d, DOCTOR_FAIL, "own address", ERR_CONFIG,
                       "Free that port, or set another one in [socks5] listen.", "%s", error.text);
            return;
        }
        carrier->ops->advertised(carrier, &address);
    } else if (address.port == 0 && value_address(c->socks5.listen, &listens) && listens.port > 0) {
        address.port = (uint16_t)listens.port;
    }
    if (address.port == 0)
        doctor_say(d, DOCTOR_OK, "own address", ERR_NONE, NULL, "%s, on a port that the gateway took itself",
                   address.host);
    else
        try_address(d, &address);
    socks5_carrier_destroy(&carrier);
    uv_run(&d->loop, UV_RUN_NOWAIT);
}

/* ---- proxies */

static void on_done(void *user)
{
    *(bool *)user = true;
}

struct activation {
    bool done;
    struct error why;
};

static void on_activated(void *user, const struct error *why)
{
    struct activation *a = user;

    a->done = true;
    a->why = why ? *why : (struct error){0};
}

static bool activate(struct doctor *d, const struct xmpp_self_stream *stream, const char *proxy, struct error *err)
{
    static struct activation a; /* an answer that is late finds it still there */

    a = (struct activation){0};
    if (!xmpp_activate_self_stream(d->network, stream, proxy, on_activated, &a, err))
        return false;
    if (!doctor_await(d, &a.done, ACTIVATE_MS))
        return error_set(err, ERR_ACTIVATION_TIMEOUT, "it did not answer the activation in time");
    *err = a.why;
    return a.why.code == ERR_NONE;
}

/* Bytes in at one side and out at the other. */
static bool relay(int from, int to, struct error *err)
{
    static unsigned char sent[PAYLOAD], got[PAYLOAD];
    size_t count = 0;

    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (unsigned char)(i * 7 + (i >> 8));
    if (send(from, sent, sizeof sent, MSG_NOSIGNAL) != (ssize_t)sizeof sent)
        return error_set(err, ERR_PROXY_FAILED, "it does not take the bytes");
    shutdown(from, SHUT_WR);
    while (count < sizeof got) {
        ssize_t n = recv(to, got + count, sizeof got - count, 0);

        if (n <= 0)
            return error_set(err, ERR_PROXY_FAILED, "it passed on %zu of %zu bytes", count, sizeof sent);
        count += (size_t)n;
    }
    return memcmp(sent, got, sizeof sent) == 0 || error_set(err, ERR_PROXY_FAILED, "it passed on other bytes");
}

/* The target comes first, as everywhere else: proxies tell the sides apart by that. */
static bool try_proxy(struct doctor *d, const struct egress *judge, const struct xmpp_streamhost *host,
                      struct error *err)
{
    const struct carrier_address *at = &host->address;
    struct xmpp_self_stream stream;
    int target = -1, requester = -1;
    bool ok = false;

    if (!xmpp_name_self_stream(d->network, &stream))
        return error_set(err, ERR_XMPP_DISCONNECTED, "the session ended meanwhile");
    target = dial(at->host, at->port, DIAL_MS, judge, err);
    if (target < 0 || !dial_socks5(target, stream.name, err))
        goto out;
    requester = dial(at->host, at->port, DIAL_MS, judge, err);
    if (requester < 0 || !dial_socks5(requester, stream.name, err))
        goto out;
    ok = activate(d, &stream, host->jid, err) && relay(requester, target, err);
out:
    fd_close(&target);
    fd_close(&requester);
    return ok;
}

static const char *fix_of(enum error_code code)
{
    switch ((int)code) {
    case ERR_REMOTE_SERVER_UNREACHABLE:
    case ERR_STREAMHOSTS_UNREACHABLE:
        return "Start the proxy, open its port, or have it tell another address (Prosody: proxy65_address).";
    case ERR_PROXY_REFUSED:
        return "Let this account use it (Prosody: proxy65_acl or proxy65_open_access), or take it out of [xmpp] "
               "proxies.";
    case ERR_EGRESS_BLOCKED:
        return "If that network is yours, list it in [egress] allow_nets.";
    case ERR_NOT_A_PROXY:
        return "Take it out of [xmpp] proxies: it is no bytestream proxy.";
    default:
        return "Look into the proxy's log, or name others in [xmpp] proxies.";
    }
}

/* Those that did not even tell their address. */
static size_t say_refusals(struct doctor *d)
{
    size_t count = 0;

    for (size_t i = 0; i < d->view.proxy_count; i++) {
        const struct proxy_view *p = &d->view.proxies[i];
        enum error_code code = ERR_PROXY_UNAVAILABLE;

        if (strcmp(p->result, "ok") == 0)
            continue;
        count++;
        if (*p->result)
            error_code_parse(p->result, &code);
        doctor_say(d, DOCTOR_FAIL, "proxy", code, fix_of(code), "%s told no address: %s", p->jid,
                   *p->result ? p->result : "no answer in time");
    }
    return count;
}

void doctor_tries_proxies(struct doctor *d)
{
    static struct xmpp_streamhost hosts[PROXIES];
    static bool known;
    struct egress *judge = egress_create(d->config.egress.allow_nets, NULL);
    size_t count;

    if (xmpp_await_proxies(d->network, on_done, &known))
        doctor_await(d, &known, KNOWN_MS);
    count = xmpp_streamhosts(d->network, hosts, PROXIES);
    for (size_t i = 0; i < count; i++) {
        const struct carrier_address *at = &hosts[i].address;
        struct error error = {0};

        if (clock_ms() - d->began > PROXIES_UNTIL_MS) {
            doctor_say(d, DOCTOR_WARN, "proxy", ERR_NONE, "Mend the slow ones first.",
                       "%s was not tried: no time is left", hosts[i].jid);
            continue;
        }
        if (try_proxy(d, judge, &hosts[i], &error)) {
            d->relays = true;
            doctor_say(d, DOCTOR_OK, "proxy", ERR_NONE, NULL, "%s at %s port %u relays", hosts[i].jid, at->host,
                       at->port);
        } else {
            doctor_say(d, DOCTOR_FAIL, "proxy",
                       error.code == ERR_REMOTE_SERVER_UNREACHABLE ? ERR_PROXY_UNAVAILABLE : error.code,
                       fix_of(error.code), "%s at %s port %u: %s", hosts[i].jid, at->host, at->port, error.text);
        }
    }
    egress_destroy(&judge);
    count += say_refusals(d);
    if (count == 0 && !d->advertises)
        doctor_say(d, DOCTOR_WARN, "proxy", ERR_STREAMHOSTS_UNREACHABLE,
                   "Set [socks5] advertise, or name a proxy in [xmpp] proxies.",
                   "none is known, and no address of our own works: in-band and links alone are left");
    else if (count == 0)
        doctor_say(d, DOCTOR_OK, "proxy", ERR_NONE, NULL, "none is known; the own address is the only way");
}
