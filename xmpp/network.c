/* xmpp/network.c - makes the parts of this folder, wires them, and is the network the gateway sees. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/id.h"
#include "base/log.h"
#include "xmpp/contacts.h"
#include "xmpp/disco.h"
#include "xmpp/dns.h"
#include "xmpp/finder.h"
#include "xmpp/ibb.h"
#include "xmpp/ibb_in.h"
#include "xmpp/jingle.h"
#include "xmpp/jingle_target.h"
#include "xmpp/keepalive.h"
#include "xmpp/messages.h"
#include "xmpp/methods.h"
#include "xmpp/own_presence.h"
#include "xmpp/proxies.h"
#include "xmpp/proxy65.h"
#include "xmpp/responder.h"
#include "xmpp/rooms.h"
#include "xmpp/services.h"
#include "xmpp/session.h"
#include "xmpp/stanza.h"
#include "xmpp/target.h"
#include "xmpp/upload_service.h"
#include "xmpp/xmpp.h"

enum { PUBLISH_MS = 1000 };

static unsigned networks; /* for which the library is set up */

struct xmpp_network {
    struct methods_network base; /* first: this is what methods get */
    struct xmpp_settings settings;
    struct jid jid; /* full, to be bound */
    struct session *session;
    struct finder *finder;
    struct keepalive *keepalive;
    struct network_events events;
    uv_timer_t publishing;
    uint64_t published_iqs;
    uv_idle_t closing[2];
    void (*stopped)(void *user);
    void *stopped_user;
};

/* ---- settings */

static char *copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

static char **copy_list(char *const *list)
{
    size_t count = 0;
    char **out;

    while (list && list[count])
        count++;
    out = calloc(count + 1, sizeof(*out));
    for (size_t i = 0; out && i < count; i++)
        out[i] = copy(list[i]);
    return out;
}

static void free_list(char *const *list)
{
    for (char *const *item = list; item && *item; item++)
        free(*item);
    free((void *)list);
}

static void copy_settings(struct xmpp_settings *out, const struct xmpp_settings *in)
{
    *out = *in;
    out->password = copy(in->password);
    out->secret = copy(in->secret);
    out->roster = copy(in->roster);
    out->server = copy(in->server);
    out->ca = copy(in->ca);
    out->allow_nets = copy_list(in->allow_nets);
    out->proxies = copy_list(in->proxies);
    out->accept_subscriptions = copy_list(in->accept_subscriptions);
    out->nick = copy(in->nick);
    out->link = copy_list(in->link);
}

static void free_secret(const char *text)
{
    if (text)
        explicit_bzero((char *)text, strlen(text));
    free((char *)text);
}

static void free_settings(struct xmpp_settings *s)
{
    free_secret(s->password);
    free_secret(s->secret);
    free((char *)s->roster);
    free((char *)s->server);
    free((char *)s->ca);
    free_list(s->allow_nets);
    free_list(s->proxies);
    free_list(s->accept_subscriptions);
    free((char *)s->nick);
    free_list(s->link);
}

static bool check_settings(const struct xmpp_settings *s, struct error *err)
{
    size_t len;

    jid_domain(&s->jid, &len);
    if (s->jid.local == 0)
        return error_set(err, ERR_CONFIG, "[xmpp] jid is '%s': write an account, such as gateway@example.org",
                         s->jid.text);
    if (!s->secret && (!s->password || !*s->password))
        return error_set(err, ERR_CONFIG, "[xmpp] password is missing");
    if (len >= DNS_HOST || (s->server && strlen(s->server) >= DNS_HOST))
        return error_set(err, ERR_CONFIG, "[xmpp] server, or the domain of jid, is longer than a host name can be");
    if (s->ca && access(s->ca, R_OK) != 0)
        return error_set(err, ERR_CONFIG, "[xmpp] ca: the file %s cannot be read", s->ca);
    return true;
}

/* A resource of our own choice stays the same for the process: a bytestream is bound to the full JID, and so outlives
 * a reconnect. */
static bool choose_jid(struct xmpp_network *n, struct error *err)
{
    char resource[32] = "jidpost-";

    n->jid = n->settings.jid;
    if (n->jid.full)
        return true;
    id_random_hex(resource + strlen(resource), 4);
    return jid_with_resource(&n->jid, &n->settings.jid, resource, err);
}

/* ---- what the gateway is told */

static void publish(struct xmpp_network *n)
{
    struct client *c = &n->base.client;
    struct network_view view = {0};
    struct iq_stats stats = {0};

    session_view(n->session, &view);
    snprintf(view.jid, sizeof(view.jid), "%s", c->self.text);
    iq_stats(c->iq, &stats);
    view.pending_iqs = n->published_iqs = stats.pending;
    view.proxy_count = proxies_view(c->proxies, view.proxies, sizeof(view.proxies) / sizeof(*view.proxies));
    n->events.changed(n->events.user, &view);
}

static void on_publishing(uv_timer_t *timer)
{
    struct xmpp_network *n = timer->data;
    struct iq_stats stats;

    iq_stats(n->base.client.iq, &stats);
    if (stats.pending != n->published_iqs)
        publish(n);
}

static void proxies_changed(void *user)
{
    publish(user);
}

/* ---- what the session tells */

static void on_online(void *user, const struct jid *bound)
{
    struct xmpp_network *n = user;
    struct client *c = &n->base.client;

    jid_copy(&c->self, bound);
    c->online = true;
    iq_set_self(c->iq, bound);
    finder_online(n->finder);
    keepalive_online(n->keepalive);
    contacts_online(c->contacts);
    services_doubt(c->services, false);
    proxies_online(c->proxies);
}

static void on_offline(void *user)
{
    struct xmpp_network *n = user;
    struct client *c = &n->base.client;

    c->online = false;
    keepalive_offline(n->keepalive);
    iq_disconnected(c->iq);
    jingle_offline(c->jingle);
    target_offline(c->target);
    contacts_offline(c->contacts);
    disco_offline(c->disco);
    upload_service_offline(c->uploads);
    rooms_offline(c->rooms);
    proxies_offline(c->proxies);
    finder_offline(n->finder);
    c->self = n->jid;
}

/* ejabberd hands a component what is for any domain of its listener, also those of others. */
static bool is_for_us(const struct client *c, xmpp_stanza_t *stanza)
{
    size_t len, own_len;
    const char *domain, *own;
    struct jid to;

    if (!c->component)
        return true;
    if (!stanza_to(stanza, &c->self, &to))
        return false;
    domain = jid_domain(&to, &len);
    own = jid_domain(&c->self, &own_len);
    return len == own_len && memcmp(domain, own, len) == 0;
}

static void on_stanza(void *user, xmpp_stanza_t *stanza)
{
    struct xmpp_network *n = user;
    struct client *c = &n->base.client;

    if (!is_for_us(c, stanza)) {
        log_debug("xmpp.not_for_us", log_str("to", stanza_attr(stanza, "to")));
        iq_turn_away(c->iq, stanza);
    } else if (strcmp(xmpp_stanza_get_name(stanza), "iq") == 0) {
        iq_incoming(c->iq, stanza);
    } else if (strcmp(xmpp_stanza_get_name(stanza), "message") == 0) {
        messages_incoming(c->messages, stanza);
        rooms_message(c->rooms, stanza);
    } else if (!rooms_presence(c->rooms, stanza) && !(c->component && own_presence_incoming(c->own_presence, stanza))) {
        contacts_presence(c->contacts, stanza);
    }
}

static void on_changed(void *user)
{
    publish(user);
}

static void on_silent(void *user)
{
    struct xmpp_network *n = user;

    session_cut(n->session, "the server did not answer a ping");
}

/* ---- what the contacts tell */

static bool send_stanza(void *user, xmpp_stanza_t *stanza)
{
    struct xmpp_network *n = user;

    return session_send(n->session, stanza);
}

static void show(struct xmpp_network *n, xmpp_stanza_t *presence)
{
    if (!presence)
        return;
    if (!n->settings.hidden)
        session_send(n->session, presence);
    xmpp_stanza_release(presence);
}

/* Only after the roster: presence makes the server send that of our contacts, who have to be known by then. */
static void on_roster(void *user)
{
    struct xmpp_network *n = user;
    struct client *c = &n->base.client;

    if (c->component)
        own_presence_online(c->own_presence);
    else
        show(n, stanza_add(stanza_new(c->ctx, "presence", NULL), responder_caps(c, &c->self)));
    finder_roster(n->finder);
    upload_service_online(c->uploads);
    n->events.roster(n->events.user);
}

static void on_presence(void *user, const struct jid *who, bool available)
{
    struct xmpp_network *n = user;

    if (available)
        finder_presence(n->finder, who);
    n->events.presence(n->events.user, who, available);
}

static void on_subscription(void *user, const struct jid *who, bool granted)
{
    struct xmpp_network *n = user;

    n->events.subscription(n->events.user, who, granted);
}

static void on_caps(void *user, const struct jid *who)
{
    struct xmpp_network *n = user;

    disco_drop(n->base.client.disco, who);
}

/* ---- network_ops */

static bool make_parts(struct xmpp_network *n)
{
    struct client *c = &n->base.client;
    struct contacts_events events = {on_roster, on_presence, on_caps, send_stanza, on_subscription, n};

    if (!(c->iq = iq_create(c->ctx, c->loop, session_send, n->session)) ||
        !(c->contacts = contacts_create(c, &events)) || !(c->disco = disco_create(c)) ||
        !(c->services = services_create(c)) || !(c->proxies = proxies_create(c, proxies_changed, n)) ||
        !(c->ibb = ibb_streams_create(c)) || !(c->ibb_in = ibb_in_streams_create(c)) ||
        !(c->target = target_create(c)) || !(c->jingle = jingle_create(c)) ||
        !(c->jingle_target = jingle_target_create(c)) || !(c->uploads = upload_service_create(c)) ||
        !(c->messages = messages_create(c, session_send, n->session)) ||
        !(c->rooms = rooms_create(c, session_send, n->session)) ||
        !(c->http = http_create(c->loop, n->settings.ca, n->settings.allow_nets, NULL)) ||
        !(n->finder = finder_create(c, methods)) || !(n->keepalive = keepalive_create(c, on_silent, n)))
        return false;
    contacts_serve(c->contacts);
    responder_serve(c);
    return !c->relay || (c->proxy65 = proxy65_create(c));
}

static bool be_component(struct xmpp_network *n, struct error *err)
{
    struct client *c = &n->base.client;
    struct roster_file *roster = roster_file_open(c->loop, n->settings.roster, err);

    if (!roster)
        return false;
    iq_be_component(c->iq);
    c->own_presence = own_presence_create(c, roster, session_send, n->session);
    return c->own_presence || error_set(err, ERR_SYSTEM, "the XMPP side: out of memory");
}

static void destroy_parts(struct xmpp_network *n)
{
    struct client *c = &n->base.client;

    proxy65_destroy(&c->proxy65);
    finder_destroy(&n->finder);
    keepalive_destroy(&n->keepalive);
    http_destroy(&c->http);
    messages_destroy(&c->messages);
    rooms_destroy(&c->rooms);
    upload_service_destroy(&c->uploads);
    jingle_target_destroy(&c->jingle_target);
    jingle_destroy(&c->jingle);
    target_destroy(&c->target);
    ibb_streams_destroy(&c->ibb);
    ibb_in_streams_destroy(&c->ibb_in);
    proxies_destroy(&c->proxies);
    services_destroy(&c->services);
    disco_destroy(&c->disco);
    own_presence_destroy(&c->own_presence);
    contacts_destroy(&c->contacts);
    iq_destroy(&c->iq);
}

static bool start(struct network *network, uv_loop_t *loop, const struct network_events *events, struct error *err)
{
    struct xmpp_network *n = (struct xmpp_network *)network;

    n->base.client.loop = loop;
    n->events = *events;
    n->base.client.receiver = events->receiver;
    n->base.client.relay = events->relay;
    if (!make_parts(n)) {
        destroy_parts(n);
        return error_set(err, ERR_SYSTEM, "the XMPP side: out of memory");
    }
    if (n->base.client.component && !be_component(n, err)) {
        destroy_parts(n);
        return false;
    }
    if (!session_start(n->session, loop, err)) {
        destroy_parts(n);
        return false;
    }
    uv_timer_init(loop, &n->publishing);
    uv_idle_init(loop, &n->closing[0]);
    uv_idle_init(loop, &n->closing[1]);
    n->publishing.data = n->closing[0].data = n->closing[1].data = n;
    uv_timer_start(&n->publishing, on_publishing, PUBLISH_MS, PUBLISH_MS);
    publish(n);
    return true;
}

static uint64_t find(struct network *network, const struct jid *from, const struct jid *to, network_recipient_fn *done,
                     void *user)
{
    return finder_find(((struct xmpp_network *)network)->finder, from, to, done, user);
}

static void forget(struct network *network, uint64_t ticket)
{
    finder_forget(((struct xmpp_network *)network)->finder, ticket);
}

static enum sight sight(struct network *network, const struct jid *to)
{
    return contacts_sight(((struct xmpp_network *)network)->base.client.contacts, to);
}

static bool subscribe(struct network *network, const struct jid *who, bool *sent, struct error *err)
{
    return contacts_ask(((struct xmpp_network *)network)->base.client.contacts, who, sent, err);
}

static void succeeded(struct network *network, const struct jid *who)
{
    finder_succeeded(((struct xmpp_network *)network)->finder, who);
}

static bool say(struct network *network, const struct jid *from, const struct jid *to, const char *text,
                struct error *err)
{
    return message_say(&((struct xmpp_network *)network)->base.client, from, to, text, err);
}

static const struct method_ops *const *list_methods(struct network *network)
{
    (void)network;
    return methods;
}

static void all_closed(uv_handle_t *handle)
{
    struct xmpp_network *n = handle->data;

    n->stopped(n->stopped_user);
}

/* uv runs the callbacks of what was closed together in no useful order, so a second round tells that the first one,
 * and with it every handle of the parts, is through. */
static void first_round_closed(uv_handle_t *handle)
{
    struct xmpp_network *n = handle->data;

    uv_close((uv_handle_t *)&n->closing[1], all_closed);
}

static void session_stopped(void *user)
{
    struct xmpp_network *n = user;

    destroy_parts(n);
    uv_close((uv_handle_t *)&n->publishing, NULL);
    uv_close((uv_handle_t *)&n->closing[0], first_round_closed);
}

static void stop(struct network *network, void (*stopped)(void *user), void *user)
{
    struct xmpp_network *n = (struct xmpp_network *)network;
    xmpp_ctx_t *ctx = n->base.client.ctx;

    n->stopped = stopped;
    n->stopped_user = user;
    if (n->base.client.component)
        own_presence_leave(n->base.client.own_presence);
    else
        show(n, stanza_set(stanza_new(ctx, "presence", NULL), "type", "unavailable"));
    session_stop(n->session, session_stopped, n);
}

static const struct network_ops ops = {.start = start,
                                       .find = find,
                                       .forget = forget,
                                       .succeeded = succeeded,
                                       .say = say,
                                       .sight = sight,
                                       .subscribe = subscribe,
                                       .methods = list_methods,
                                       .stop = stop};

/* ---- xmpp.h */

struct network *xmpp_create(const struct xmpp_settings *settings, struct error *err)
{
    struct xmpp_network *n;
    struct session_events events = {on_online, on_offline, on_stanza, on_changed, NULL};

    if (!check_settings(settings, err))
        return NULL;
    n = calloc(1, sizeof(*n));
    if (!n) {
        error_set(err, ERR_SYSTEM, "the XMPP side: out of memory");
        return NULL;
    }
    signal(SIGPIPE, SIG_IGN); /* the library sends without MSG_NOSIGNAL */
    if (networks++ == 0)
        xmpp_initialize();
    copy_settings(&n->settings, settings);
    events.user = n;
    if (choose_jid(n, err))
        n->session = session_create(&n->settings, &n->jid, &events, err);
    if (!n->session) {
        struct network *made = &n->base.network;

        xmpp_destroy(&made);
        return NULL;
    }
    n->base.network.ops = &ops;
    n->base.client = (struct client){.settings = &n->settings,
                                     .ctx = session_ctx(n->session),
                                     .component = settings->secret != NULL,
                                     .self = n->jid};
    return &n->base.network;
}

void xmpp_destroy(struct network **network)
{
    struct xmpp_network *n = (struct xmpp_network *)*network;

    if (!n)
        return;
    session_destroy(&n->session);
    free_settings(&n->settings);
    free(n);
    if (--networks == 0)
        xmpp_shutdown();
    *network = NULL;
}

bool xmpp_handshaking(struct network *n)
{
    return session_handshaking(((struct xmpp_network *)n)->session);
}

void xmpp_shake(struct network *n)
{
    session_shake(((struct xmpp_network *)n)->session);
}
