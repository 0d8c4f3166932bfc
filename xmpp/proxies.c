/* xmpp/proxies.c - see proxies.h.
 *
 * Which of the server's services is a proxy, xmpp/services.c finds out; here each is asked for its address. What was
 * learnt ages; whatever is due is asked again when somebody waits for it, so an idle gateway asks nothing. */
#include "xmpp/proxies.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/relay.h"
#include "xmpp/ns.h"
#include "xmpp/services.h"
#include "xmpp/stanza.h"

enum {
    CONFIGURED_MAX = 16,
    PARALLEL = 8,  /* questions at a time */
    HOSTS_MAX = 8, /* of one proxy: Openfire tells every interface */
    FRESH_MS = 60 * 60 * 1000,
    REFUSED_MS = 10 * 60 * 1000,
    PATIENCE_MS = 2000,
    PORT_DEFAULT = 1080 /* XEP-0065 before 1.8 allowed to leave it out */
};

/* A configured one, or a service of our server that says it is one. */
struct proxy {
    struct proxy *prev, *next;
    struct proxies *owner;
    struct jid jid;
    bool configured;
    struct streamhost *hosts;
    size_t host_count;
    struct error error; /* of its last answer */
    uint64_t question;
    int64_t asked; /* wall clock; 0: never */
    int64_t due;   /* monotonic: when it is asked again; 0: at once */
};

struct waiter {
    struct waiter *prev, *next;
    uint64_t ticket;
    int64_t until; /* monotonic: patience with the silent, once another is known */
    void (*ready)(void *user);
    void *user;
};

struct proxies {
    struct client *client;
    struct services_watcher watcher;
    void (*changed)(void *user);
    void *user;
    bool online;
    struct proxy *list; /* configured ones first */
    size_t asking;
    struct waiter *waiters; /* oldest first */
    uint64_t last_ticket;
    uv_timer_t turn; /* answers waiters from the loop */
};

static int64_t after(int64_t ms)
{
    return clock_ms() + ms;
}

/* ---- the list */

static struct proxy *find(const struct proxies *p, const struct jid *jid)
{
    struct proxy *x;

    DL_FOREACH(p->list, x)
    if (jid_equal(&x->jid, jid))
        break;
    return x;
}

/* Our own relay is where we say. */
static bool is_our_own(const struct proxies *p, const struct jid *jid)
{
    size_t len, own_len;
    const char *domain = jid_domain(jid, &len), *own = jid_domain(&p->client->self, &own_len);

    return p->client->relay && jid->local == 0 && !jid->full && len == own_len && memcmp(domain, own, len) == 0;
}

static void add(struct proxies *p, const struct jid *jid, bool configured)
{
    struct proxy *x = is_our_own(p, jid) ? NULL : calloc(1, sizeof *x);

    if (!x)
        return;
    x->owner = p;
    jid_copy(&x->jid, jid);
    x->configured = configured;
    DL_APPEND(p->list, x);
}

static void forget_hosts(struct proxy *x)
{
    free(x->hosts);
    x->hosts = NULL;
    x->host_count = 0;
}

static void stop_asking(struct proxy *x)
{
    iq_forget(x->owner->client->iq, x->question);
    x->owner->asking -= x->question != 0;
    x->question = 0;
}

static void drop(struct proxies *p, struct proxy *x)
{
    stop_asking(x);
    forget_hosts(x);
    DL_DELETE(p->list, x);
    free(x);
}

static void add_configured(struct proxies *p)
{
    char *const *jids = p->client->settings->proxies;

    for (size_t i = 0, count = 0; jids && jids[i]; i++) {
        struct jid jid;
        struct error err;

        if (!jid_parse(&jid, jids[i], strlen(jids[i]), &err) || count == CONFIGURED_MAX) {
            log_warn("proxy.ignored", log_str("proxy", jids[i]),
                     log_str("why", count == CONFIGURED_MAX ? "too many are configured" : err.text));
        } else if (!find(p, &jid)) {
            add(p, &jid, true);
            count++;
        }
    }
}

static void on_turn(uv_timer_t *turn);
static void on_told(void *user, const struct jid *jid, xmpp_stanza_t *info);
static void on_settled(void *user);

struct proxies *proxies_create(struct client *c, void (*changed)(void *user), void *user)
{
    struct proxies *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->client = c;
    p->changed = changed;
    p->user = user;
    uv_timer_init(c->loop, &p->turn);
    p->turn.data = p;
    add_configured(p);
    p->watcher = (struct services_watcher){.told = on_told, .settled = on_settled, .user = p};
    services_watch(c->services, &p->watcher);
    return p;
}

static void free_proxies(uv_handle_t *turn)
{
    free(turn->data);
}

void proxies_destroy(struct proxies **p)
{
    struct proxies *old = *p;

    if (!old)
        return;
    while (old->list)
        drop(old, old->list);
    while (old->waiters)
        proxies_forget(old, old->waiters->ticket);
    uv_close((uv_handle_t *)&old->turn, free_proxies);
    *p = NULL;
}

/* ---- one step done */

static bool busy(const struct proxies *p)
{
    return services_busy(p->client->services) || p->asking > 0;
}

static void ask_next(struct proxies *p);

/* After every answer: the next questions go out; on_turn() sees whether there are none left. */
static void advance(struct proxies *p)
{
    ask_next(p);
    if (p->waiters)
        uv_timer_start(&p->turn, on_turn, 0, 0);
}

/* It answered, or a transfer found it wanting (why); in so many milliseconds it is asked again. */
static void settle(struct proxy *x, const struct error *why, int64_t ms)
{
    x->error = why ? *why : (struct error){0};
    x->due = after(ms);
    if (why) {
        forget_hosts(x);
        log_warn("proxy.unusable", log_str("proxy", x->jid.text), log_str("code", error_name(why->code)),
                 log_str("why", why->text));
    }
    x->owner->changed(x->owner->user);
}

/* ---- streamhosts */

/* A name of letters, digits and hyphens whose last label is no number: "127.1" and "0x7f.1" are spellings of an address
 * that resolvers take and filters overlook. */
static bool is_host_name(const char *host)
{
    const char *last = strrchr(host, '.');

    last = last ? last + 1 : host;
    if (strlen(host) > 253 || host[0] == '.' || host[0] == '-' || strstr(host, ".."))
        return false;
    if (host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")] != '\0')
        return false;
    return last[0] != '\0' && (last[0] < '0' || last[0] > '9');
}

enum reach { REACH_NONE, REACH_LOOPBACK, REACH_NETWORK };

static enum reach reach_of(const char *host)
{
    struct in6_addr v6;
    struct in_addr v4;
    uint32_t address;

    if (inet_pton(AF_INET, host, &v4) == 1) {
        address = ntohl(v4.s_addr);
        if (address >> 24 == 127)
            return REACH_LOOPBACK;
        return address == INADDR_ANY || IN_MULTICAST(address) || address >> 16 == 0xa9fe ? REACH_NONE : REACH_NETWORK;
    }
    if (inet_pton(AF_INET6, host, &v6) == 1) {
        if (IN6_IS_ADDR_LOOPBACK(&v6))
            return REACH_LOOPBACK;
        /* Link-local addresses mean nothing without the scope, and the scope means nothing to others. */
        return IN6_IS_ADDR_UNSPECIFIED(&v6) || IN6_IS_ADDR_LINKLOCAL(&v6) || IN6_IS_ADDR_MULTICAST(&v6) ? REACH_NONE
                                                                                                        : REACH_NETWORK;
    }
    if (!is_host_name(host))
        return REACH_NONE;
    return strcmp(host, "localhost") == 0 ? REACH_LOOPBACK : REACH_NETWORK;
}

static bool read_port(const char *text, uint16_t *port)
{
    unsigned long value;

    *port = PORT_DEFAULT;
    if (!text)
        return true;
    if (text[0] == '\0' || strlen(text) > 5 || text[strspn(text, "0123456789")] != '\0')
        return false;
    value = strtoul(text, NULL, 10);
    *port = (uint16_t)value;
    return value > 0 && value <= UINT16_MAX;
}

static bool read_streamhost(xmpp_stanza_t *s, struct streamhost *out)
{
    const char *jid = stanza_attr(s, "jid"), *host = stanza_attr(s, "host");
    struct jid parsed;

    if (!jid || strlen(jid) >= sizeof out->jid || !jid_parse(&parsed, jid, strlen(jid), NULL))
        return false;
    if (!host || strlen(host) >= sizeof out->host || reach_of(host) == REACH_NONE)
        return false;
    snprintf(out->jid, sizeof out->jid, "%s", jid);
    snprintf(out->host, sizeof out->host, "%s", host);
    return read_port(stanza_attr(s, "port"), &out->port);
}

/* A loopback address helps only where everything runs on one machine, and there it is all a proxy tells. Beside others
 * (Openfire lists every interface) it leads each recipient to itself. */
static size_t drop_loopback(struct streamhost *hosts, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++)
        if (reach_of(hosts[i].host) == REACH_NETWORK)
            hosts[kept++] = hosts[i];
    return kept > 0 ? kept : count;
}

/* false: none is usable. The text libstrophe may find between the elements, the seed's example 8 has some, is none of
 * ours, and neither is 'zeroconf'. */
static bool read_address(struct proxy *x, xmpp_stanza_t *query)
{
    struct streamhost *hosts = calloc(HOSTS_MAX, sizeof *hosts), *fewer;
    xmpp_stanza_t *s = stanza_child(query, "streamhost", NULL);
    size_t count = 0;

    for (; hosts && s && count < HOSTS_MAX; s = stanza_next(s, "streamhost", NULL))
        if (read_streamhost(s, &hosts[count]))
            count++;
    count = drop_loopback(hosts, count);
    if (count == 0) {
        free(hosts);
        return false;
    }
    fewer = realloc(hosts, count * sizeof *hosts);
    forget_hosts(x);
    x->hosts = fewer ? fewer : hosts;
    x->host_count = count;
    return true;
}

/* ---- asking for the address */

static void read_refusal(const struct proxy *x, const struct iq_reply *reply, struct error *err)
{
    static const struct {
        const char *condition;
        enum error_code code;
        const char *says;
    } meanings[] = {
        {"forbidden", ERR_PROXY_REFUSED, "is not for us"},
        {"not-authorized", ERR_PROXY_REFUSED, "is not for us"},
        {"not-allowed", ERR_PROXY_UNAVAILABLE, "is not in service"},
        {"item-not-found", ERR_PROXY_UNAVAILABLE, "is not in service"},
        {"feature-not-implemented", ERR_NOT_A_PROXY, "is no bytestream proxy"},
    };

    if (reply->outcome == IQ_TIMEOUT) {
        error_set(err, ERR_PROXY_UNAVAILABLE, "%s did not tell its address in time", x->jid.text);
        return;
    }
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
        if (strcmp(reply->condition, meanings[i].condition) == 0) {
            error_set(err, meanings[i].code, "%s %s (%s%s%s)", x->jid.text, meanings[i].says, reply->condition,
                      reply->text[0] ? ": " : "", reply->text);
            return;
        }
    }
    error_set(err, ERR_PROXY_UNAVAILABLE, "%s did not tell its address: %s", x->jid.text,
              reply->condition[0] ? reply->condition : "an error without a reason");
}

static void on_address(void *user, const struct iq_reply *reply)
{
    struct proxy *x = user;
    struct proxies *p = x->owner;
    struct error err;

    x->question = 0;
    p->asking--;
    if (reply->outcome == IQ_DISCONNECTED)
        return; /* which says nothing about the asked; proxies_offline() follows */
    x->asked = clock_wall_ms();
    if (reply->outcome != IQ_RESULT) {
        read_refusal(x, reply, &err);
        settle(x, &err, REFUSED_MS);
    } else if (!read_address(x, stanza_child(reply->stanza, "query", NS_BYTESTREAMS))) {
        error_set(&err, ERR_PROXY_UNAVAILABLE, "%s tells no address that can be used", x->jid.text);
        settle(x, &err, REFUSED_MS);
    } else {
        log_info("proxy.usable", log_str("proxy", x->jid.text), log_str("host", x->hosts[0].host),
                 log_int("port", x->hosts[0].port));
        settle(x, NULL, FRESH_MS);
    }
    advance(p);
}

/* What cannot be sent now is due as before, and asked when somebody waits for it. */
static void ask_next(struct proxies *p)
{
    struct client *c = p->client;
    struct proxy *x;

    DL_FOREACH(p->list, x)
    {
        if (!p->online || p->asking == PARALLEL)
            return;
        if (x->question != 0 || x->due > clock_ms())
            continue;
        x->question = iq_ask_query(c->iq, NS_BYTESTREAMS, &x->jid, c->settings->iq_timeout_ms, on_address, x, NULL);
        p->asking += x->question != 0;
    }
}

/* ---- which they are */

static bool says_proxy(xmpp_stanza_t *info)
{
    for (xmpp_stanza_t *s = stanza_child(info, "identity", NULL); s; s = stanza_next(s, "identity", NULL)) {
        const char *category = stanza_attr(s, "category"), *type = stanza_attr(s, "type");

        if (category && type && strcmp(category, "proxy") == 0 && strcmp(type, "bytestreams") == 0)
            return true;
    }
    return stanza_with(info, "feature", "var", NS_BYTESTREAMS); /* then it is the address reply that decides */
}

static void on_told(void *user, const struct jid *jid, xmpp_stanza_t *info)
{
    struct proxies *p = user;
    struct proxy *x = find(p, jid);

    if (says_proxy(info) == (x != NULL) || (x && x->configured) || is_our_own(p, jid))
        return;
    if (x)
        drop(p, x);
    else
        add(p, jid, false);
    p->changed(p->user);
    advance(p);
}

static void on_settled(void *user)
{
    advance(user);
}

static void refresh(struct proxies *p)
{
    if (!p->online)
        return;
    services_find(p->client->services, &p->watcher);
    ask_next(p);
}

/* What went wrong before may have been the session's fault: a new one asks anew. */
void proxies_online(struct proxies *p)
{
    struct proxy *x;

    p->online = true;
    DL_FOREACH(p->list, x)
    if (x->error.code != ERR_NONE && x->error.code != ERR_NOT_A_PROXY)
        x->due = 0;
    refresh(p);
}

void proxies_offline(struct proxies *p)
{
    struct proxy *x;

    p->online = false;
    DL_FOREACH(p->list, x)
    stop_asking(x);
    advance(p);
}

/* ---- for those who offer */

static bool any_host(const struct proxies *p)
{
    struct streamhost host;

    return proxies_list(p, &host, 1) > 0;
}

/* One silent item must not hold up everybody while there is a proxy to offer. */
static bool waited_enough(const struct proxies *p, const struct waiter *w)
{
    return !busy(p) || (any_host(p) && clock_ms() >= w->until);
}

static void on_turn(uv_timer_t *turn)
{
    struct proxies *p = turn->data;
    struct waiter *w;

    /* Whoever is told may wait again or forget others; each turn of this loop looks anew. */
    while ((w = p->waiters) && waited_enough(p, w)) {
        DL_DELETE(p->waiters, w);
        w->ready(w->user);
        free(w);
    }
    if (w && any_host(p))
        uv_timer_start(turn, on_turn, (uint64_t)(w->until - clock_ms()), 0);
}

uint64_t proxies_wait(struct proxies *p, void (*ready)(void *user), void *user)
{
    struct waiter *w = calloc(1, sizeof *w);

    if (!w)
        return 0;
    *w = (struct waiter){.ticket = ++p->last_ticket, .until = after(PATIENCE_MS), .ready = ready, .user = user};
    DL_APPEND(p->waiters, w);
    refresh(p);
    advance(p);
    return w->ticket;
}

void proxies_forget(struct proxies *p, uint64_t ticket)
{
    struct waiter *w;

    DL_FOREACH(p->waiters, w)
    if (w->ticket == ticket) {
        DL_DELETE(p->waiters, w);
        free(w);
        return;
    }
}

static bool own_relay(const struct client *c, struct streamhost *out)
{
    struct carrier_address at;
    size_t len;
    const char *domain = jid_domain(&c->self, &len);

    if (!c->relay || !c->relay->ops->where(c->relay, &at))
        return false;
    snprintf(out->jid, sizeof out->jid, "%.*s", (int)len, domain);
    snprintf(out->host, sizeof out->host, "%s", at.host);
    out->port = at.port;
    return true;
}

size_t proxies_list(const struct proxies *p, struct streamhost *out, size_t max)
{
    struct proxy *x;
    size_t n = max > 0 && own_relay(p->client, out);

    DL_FOREACH(p->list, x)
    for (size_t k = 0; k < x->host_count && n < max; k++)
        out[n++] = x->hosts[k];
    return n;
}

bool proxies_know(const struct proxies *p, const char *host, uint16_t port)
{
    struct proxy *x;

    DL_FOREACH(p->list, x)
    for (size_t k = 0; k < x->host_count; k++)
        if (x->hosts[k].port == port && strcmp(x->hosts[k].host, host) == 0)
            return true;
    return false;
}

static bool has_host(const struct proxy *x, const char *jid)
{
    for (size_t i = 0; i < x->host_count; i++)
        if (strcmp(x->hosts[i].jid, jid) == 0)
            return true;
    return false;
}

void proxies_failed(struct proxies *p, const char *jid, const struct error *why)
{
    struct proxy *x;

    DL_FOREACH(p->list, x)
    if (has_host(x, jid))
        settle(x, why, REFUSED_MS);
}

static void view_of(const struct proxy *x, struct proxy_view *out)
{
    *out = (struct proxy_view){.configured = x->configured, .asked = x->asked};
    text_clean(x->jid.text, out->jid, sizeof out->jid);
    if (x->host_count > 0) {
        snprintf(out->host, sizeof out->host, "%s", x->hosts[0].host);
        out->port = x->hosts[0].port;
        snprintf(out->result, sizeof out->result, "ok");
    } else if (x->error.code != ERR_NONE) {
        snprintf(out->result, sizeof out->result, "%s", error_name(x->error.code));
    }
}

size_t proxies_view(const struct proxies *p, struct proxy_view *out, size_t max)
{
    struct proxy *x;
    size_t n = 0;

    DL_FOREACH(p->list, x)
    if (n < max)
        view_of(x, &out[n++]);
    return n;
}
