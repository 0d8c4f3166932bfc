/* xmpp/proxies.c - see proxies.h.
 *
 * Discovery is three questions in a row: the server's items, each item's disco#info, and its address. What was learnt
 * ages; whatever is due is asked again when somebody waits for it, so an idle gateway asks nothing. */
#include "xmpp/proxies.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

enum {
    ITEMS_MAX = 64, /* public servers list up to 200 */
    PARALLEL = 8,   /* questions at a time */
    CONFIGURED_MAX = 16,
    HOSTS_MAX = 8, /* of one proxy: Openfire tells every interface */
    FRESH_MS = 60 * 60 * 1000,
    REFUSED_MS = 10 * 60 * 1000,
    PATIENCE_MS = 2000,
    PORT_DEFAULT = 1080 /* XEP-0065 before 1.8 allowed to leave it out */
};

/* One we were told about: a configured proxy, or an item of our server that may turn out to be one. */
struct proxy {
    struct proxies *owner;
    char *jid; /* prepared */
    bool configured;
    bool known;  /* by configuration, identity or feature: it is asked for its address at once */
    bool listed; /* in the newest list of items */
    struct streamhost *hosts;
    size_t host_count;
    struct error error; /* of its last answer */
    bool waiting;       /* for its turn to be asked */
    uint64_t question;
    int64_t asked; /* wall clock; 0: never */
    int64_t due;   /* monotonic: when it is asked again; 0: at once */
};

struct waiter {
    struct waiter *next;
    uint64_t ticket;
    int64_t until; /* monotonic: patience with the silent, once another is known */
    void (*ready)(void *user);
    void *user;
};

struct proxies {
    struct client *client;
    void (*changed)(void *user);
    void *user;
    bool online;
    uint64_t items_question;
    int64_t items_due;
    bool items_failed;
    struct proxy *list[CONFIGURED_MAX + ITEMS_MAX]; /* configured ones first */
    size_t count;
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

static struct proxy *find(const struct proxies *p, const char *jid)
{
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->list[i]->jid, jid) == 0)
            return p->list[i];
    return NULL;
}

static struct proxy *add(struct proxies *p, const struct jid *jid)
{
    struct proxy *x = calloc(1, sizeof *x);

    if (x && p->count < sizeof p->list / sizeof *p->list)
        x->jid = strdup(jid->text);
    if (!x || !x->jid) {
        free(x);
        return NULL;
    }
    x->owner = p;
    p->list[p->count++] = x;
    return x;
}

static void forget_hosts(struct proxy *x)
{
    free(x->hosts);
    x->hosts = NULL;
    x->host_count = 0;
}

/* The question under way, if any, is dropped with it. */
static void stop_asking(struct proxy *x)
{
    x->waiting = false;
    if (x->question == 0)
        return;
    iq_forget(x->owner->client->iq, x->question);
    x->question = 0;
    x->owner->asking--;
}

static void remove_at(struct proxies *p, size_t i)
{
    stop_asking(p->list[i]);
    forget_hosts(p->list[i]);
    free(p->list[i]->jid);
    free(p->list[i]);
    p->count--;
    memmove(&p->list[i], &p->list[i + 1], (p->count - i) * sizeof *p->list);
}

static void add_configured(struct proxies *p)
{
    char *const *jids = p->client->settings->proxies;

    for (size_t i = 0; jids && jids[i]; i++) {
        struct jid jid;
        struct error err;
        struct proxy *x;

        if (!jid_parse(&jid, jids[i], strlen(jids[i]), &err) || p->count == CONFIGURED_MAX) {
            log_warn("proxy.ignored", log_str("proxy", jids[i]),
                     log_str("why", p->count == CONFIGURED_MAX ? "too many are configured" : err.text));
            continue;
        }
        x = find(p, jid.text) ? NULL : add(p, &jid);
        if (x)
            x->configured = x->known = true;
    }
}

static void on_turn(uv_timer_t *turn);

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
    iq_forget(old->client->iq, old->items_question);
    while (old->count > 0)
        remove_at(old, old->count - 1);
    while (old->waiters)
        proxies_forget(old, old->waiters->ticket);
    uv_close((uv_handle_t *)&old->turn, free_proxies);
    *p = NULL;
}

/* ---- one step done */

static bool busy(const struct proxies *p)
{
    if (p->items_question != 0 || p->asking > 0)
        return true;
    for (size_t i = 0; i < p->count; i++)
        if (p->list[i]->waiting)
            return true;
    return false;
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
        log_warn("proxy.unusable", log_str("proxy", x->jid), log_str("code", error_name(why->code)),
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

/* ---- questions to one of them */

static bool ask_address(struct proxy *x);

/* Takes the question off the books; false when the session ended under it, which says nothing about the asked. */
static bool answered(struct proxy *x, const struct iq_reply *reply)
{
    x->question = 0;
    x->owner->asking--;
    x->asked = clock_wall_ms();
    return reply->outcome != IQ_DISCONNECTED;
}

static bool says_proxy(xmpp_stanza_t *query)
{
    for (xmpp_stanza_t *s = stanza_child(query, "identity", NULL); s; s = stanza_next(s, "identity", NULL)) {
        const char *category = stanza_attr(s, "category"), *type = stanza_attr(s, "type");

        if (category && type && strcmp(category, "proxy") == 0 && strcmp(type, "bytestreams") == 0)
            return true;
    }
    for (xmpp_stanza_t *s = stanza_child(query, "feature", NULL); s; s = stanza_next(s, "feature", NULL)) {
        const char *var = stanza_attr(s, "var");

        if (var && strcmp(var, NS_BYTESTREAMS) == 0)
            return true; /* then it is the address reply that decides */
    }
    return false;
}

static void on_info(void *user, const struct iq_reply *reply)
{
    struct proxy *x = user;
    struct proxies *p = x->owner;

    if (answered(x, reply)) {
        if (reply->outcome != IQ_RESULT) {
            x->due = after(REFUSED_MS);
        } else if (!says_proxy(stanza_child(reply->stanza, "query", NS_DISCO_INFO))) {
            x->due = after(FRESH_MS);
        } else {
            x->known = true;
            ask_address(x);
        }
    }
    advance(p);
}

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
        error_set(err, ERR_PROXY_UNAVAILABLE, "%s did not tell its address in time", x->jid);
        return;
    }
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
        if (strcmp(reply->condition, meanings[i].condition) == 0) {
            error_set(err, meanings[i].code, "%s %s (%s%s%s)", x->jid, meanings[i].says, reply->condition,
                      reply->text[0] ? ": " : "", reply->text);
            return;
        }
    }
    error_set(err, ERR_PROXY_UNAVAILABLE, "%s did not tell its address: %s", x->jid,
              reply->condition[0] ? reply->condition : "an error without a reason");
}

static void on_address(void *user, const struct iq_reply *reply)
{
    struct proxy *x = user;
    struct proxies *p = x->owner;
    struct error err;

    if (!answered(x, reply)) {
        advance(p);
        return;
    }
    if (reply->outcome != IQ_RESULT) {
        read_refusal(x, reply, &err);
        settle(x, &err, REFUSED_MS);
    } else if (!read_address(x, stanza_child(reply->stanza, "query", NS_BYTESTREAMS))) {
        error_set(&err, ERR_PROXY_UNAVAILABLE, "%s tells no address that can be used", x->jid);
        settle(x, &err, REFUSED_MS);
    } else {
        log_info("proxy.usable", log_str("proxy", x->jid), log_str("host", x->hosts[0].host),
                 log_int("port", x->hosts[0].port));
        settle(x, NULL, FRESH_MS);
    }
    advance(p);
}

static bool ask(struct proxy *x, const char *ns, iq_done_fn *done)
{
    struct client *c = x->owner->client;
    xmpp_stanza_t *iq = stanza_iq(c->ctx, "get", stanza_new(c->ctx, "query", ns));
    struct jid to;

    /* What cannot be sent now is due as before, and asked when somebody waits for it. */
    if (jid_parse(&to, x->jid, strlen(x->jid), NULL))
        x->question = iq_ask(c->iq, iq, &to, c->settings->iq_timeout_ms, done, x, NULL);
    if (iq)
        xmpp_stanza_release(iq);
    x->owner->asking += x->question != 0;
    return x->question != 0;
}

static bool ask_address(struct proxy *x)
{
    return ask(x, NS_BYTESTREAMS, on_address);
}

static void ask_next(struct proxies *p)
{
    for (size_t i = 0; i < p->count && p->asking < PARALLEL; i++) {
        struct proxy *x = p->list[i];

        if (!x->waiting)
            continue;
        x->waiting = false;
        if (x->known)
            ask_address(x);
        else
            ask(x, NS_DISCO_INFO, on_info);
    }
}

static void line_up_due(struct proxies *p)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->list[i]->question == 0 && p->list[i]->due <= clock_ms())
            p->list[i]->waiting = true;
}

/* ---- the server's items */

static void take_items(struct proxies *p, xmpp_stanza_t *query)
{
    xmpp_stanza_t *item = stanza_child(query, "item", NULL);
    size_t taken = 0;

    for (size_t i = 0; i < p->count; i++)
        p->list[i]->listed = false;
    for (; item && taken < ITEMS_MAX; item = stanza_next(item, "item", NULL), taken++) {
        const char *text = stanza_attr(item, "jid");
        struct jid jid;
        struct proxy *x = NULL;

        if (text && jid_parse(&jid, text, strlen(text), NULL))
            x = find(p, jid.text) ? find(p, jid.text) : add(p, &jid);
        if (x)
            x->listed = true;
    }
    for (size_t i = p->count; i-- > 0;)
        if (!p->list[i]->listed && !p->list[i]->configured)
            remove_at(p, i);
}

static void on_items(void *user, const struct iq_reply *reply)
{
    struct proxies *p = user;
    struct error err;

    p->items_question = 0;
    p->items_failed = reply->outcome != IQ_RESULT;
    if (reply->outcome == IQ_RESULT) {
        take_items(p, stanza_child(reply->stanza, "query", NS_DISCO_ITEMS));
        p->items_due = after(FRESH_MS);
        line_up_due(p);
        p->changed(p->user);
    } else if (reply->outcome != IQ_DISCONNECTED) {
        iq_error(reply, "our server", &err);
        log_warn("proxy.no_items", log_str("why", err.text));
        p->items_due = after(REFUSED_MS);
    }
    advance(p);
}

static void ask_items(struct proxies *p)
{
    struct client *c = p->client;
    xmpp_stanza_t *iq = stanza_iq(c->ctx, "get", stanza_new(c->ctx, "query", NS_DISCO_ITEMS));
    size_t len;
    const char *text = jid_domain(&c->self, &len);
    struct jid domain;

    if (jid_parse(&domain, text, len, NULL))
        p->items_question = iq_ask(c->iq, iq, &domain, c->settings->iq_timeout_ms, on_items, p, NULL);
    if (iq)
        xmpp_stanza_release(iq);
}

static void refresh(struct proxies *p)
{
    if (!p->online)
        return;
    if (p->items_question == 0 && p->items_due <= clock_ms())
        ask_items(p);
    line_up_due(p);
    ask_next(p);
}

/* What went wrong before may have been the session's fault: a new one asks anew. */
void proxies_online(struct proxies *p)
{
    p->online = true;
    for (size_t i = 0; i < p->count; i++)
        if (p->list[i]->error.code != ERR_NONE && p->list[i]->error.code != ERR_NOT_A_PROXY)
            p->list[i]->due = 0;
    if (p->items_failed)
        p->items_due = 0;
    refresh(p);
}

void proxies_offline(struct proxies *p)
{
    p->online = false;
    iq_forget(p->client->iq, p->items_question);
    p->items_question = 0;
    for (size_t i = 0; i < p->count; i++)
        stop_asking(p->list[i]);
    advance(p);
}

/* ---- for those who offer */

static bool any_host(const struct proxies *p)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->list[i]->host_count > 0)
            return true;
    return false;
}

/* One silent item must not hold up everybody while there is a proxy to offer. */
static bool waited_enough(const struct proxies *p, const struct waiter *w)
{
    return !busy(p) || (any_host(p) && clock_ms() >= w->until);
}

static void on_turn(uv_timer_t *turn)
{
    struct proxies *p = turn->data;

    /* Whoever is told may wait again or forget others; each turn of this loop looks anew. */
    while (p->waiters && waited_enough(p, p->waiters)) {
        struct waiter *w = p->waiters;

        p->waiters = w->next;
        w->ready(w->user);
        free(w);
    }
    if (p->waiters && any_host(p))
        uv_timer_start(turn, on_turn, (uint64_t)(p->waiters->until - clock_ms()), 0);
}

uint64_t proxies_wait(struct proxies *p, void (*ready)(void *user), void *user)
{
    struct waiter *w = calloc(1, sizeof *w), **end = &p->waiters;

    if (!w)
        return 0;
    *w = (struct waiter){.ticket = ++p->last_ticket, .until = after(PATIENCE_MS), .ready = ready, .user = user};
    while (*end)
        end = &(*end)->next;
    *end = w;
    refresh(p);
    advance(p);
    return w->ticket;
}

void proxies_forget(struct proxies *p, uint64_t ticket)
{
    struct waiter **at = &p->waiters, *gone;

    while (*at && (*at)->ticket != ticket)
        at = &(*at)->next;
    gone = *at;
    if (!gone)
        return;
    *at = gone->next;
    free(gone);
}

size_t proxies_list(const struct proxies *p, struct streamhost *out, size_t max)
{
    size_t n = 0;

    for (size_t i = 0; i < p->count; i++)
        for (size_t k = 0; k < p->list[i]->host_count && n < max; k++)
            out[n++] = p->list[i]->hosts[k];
    return n;
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
    for (size_t i = 0; i < p->count; i++)
        if (has_host(p->list[i], jid))
            settle(p->list[i], why, REFUSED_MS);
}

static void view_of(const struct proxy *x, struct proxy_view *out)
{
    *out = (struct proxy_view){.configured = x->configured, .asked = x->asked};
    text_clean(x->jid, out->jid, sizeof out->jid);
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
    size_t n = 0;

    for (size_t i = 0; i < p->count && n < max; i++)
        if (p->list[i]->known)
            view_of(p->list[i], &out[n++]);
    return n;
}
