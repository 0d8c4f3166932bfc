#include "gateway/demo.h"

#include <string.h>

#include "base/id.h"
#include "base/log.h"
#include "gateway/core.h"
#include "gateway/receiving.h"

#define LOCAL "demo"

static bool same_domain(const struct jid *a, const struct jid *b)
{
    size_t x, y;
    const char *one = jid_domain(a, &x), *other = jid_domain(b, &y);

    return x == y && memcmp(one, other, x) == 0;
}

bool demo_address(const struct jid *of, bool component, struct jid *out, struct error *err)
{
    char text[JID_MAX + 1], resource[16] = LOCAL "-";
    const char *domain;
    size_t len;

    if (!component) {
        id_random_hex(resource + strlen(resource), 4);
        return jid_with_resource(out, of, resource, err);
    }
    domain = jid_domain(of, &len);
    snprintf(text, sizeof text, LOCAL "@%.*s", (int)len, domain);
    if (!jid_parse(out, text, strlen(text), err))
        return false;
    return !jid_same_bare(out, of) ||
           error_set(err, ERR_CONFIG,
                     "[xmpp] from is " LOCAL ", which is the address that --demo takes: choose another");
}

void demo_arrange(struct gateway *gw, const struct jid *jid, struct network *network)
{
    gw->demo = (struct demo){.on = true, .jid = *jid, .network = network};
}

bool demo_is(const struct demo *d, const struct jid *to)
{
    return d->on && to && jid_same_bare(to, &d->jid) && (!d->network || strcmp(to->text, d->jid.text) == 0);
}

bool demo_accepts(const struct demo *d, const struct jid *from)
{
    return d->network ? jid_same_bare(from, &d->jid) : same_domain(from, &d->jid);
}

/* jid NULL: as it was. */
static void set_ready(struct gateway *gw, bool ready, const struct jid *jid)
{
    bool news = ready && !gw->demo.ready;

    pthread_mutex_lock(&gw->view_lock);
    if (jid)
        gw->demo.jid = *jid;
    gw->demo.ready = ready;
    pthread_mutex_unlock(&gw->view_lock);
    if (news)
        log_info("demo.ready", log_str("to", gw->demo.jid.text),
                 log_str("advice", "send a file to this address; it lies in the inbox then, for an hour"));
}

void demo_online(struct gateway *gw, bool online)
{
    if (gw->demo.on && !gw->demo.network)
        set_ready(gw, online, NULL);
}

/* ---- the second session */

static void on_changed(void *user, const struct network_view *view)
{
    struct gateway *gw = user;
    struct jid bound; /* the server has the last word about the resource */
    bool online = view->state == NETWORK_ONLINE && jid_parse(&bound, view->jid, strlen(view->jid), NULL);

    set_ready(gw, online, online ? &bound : NULL);
}

static void on_presence(void *user, const struct jid *who, bool available)
{
    (void)user, (void)who, (void)available;
}

static void on_roster(void *user)
{
    (void)user;
}

void demo_start(struct gateway *gw)
{
    const struct network_events events = {.changed = on_changed,
                                          .presence = on_presence,
                                          .roster = on_roster,
                                          .subscription = on_presence,
                                          .user = gw,
                                          .receiver = receiving_for_demo(gw->receiving)};
    struct network *n = gw->demo.network;
    struct error error;

    if (n && !n->ops->start(n, &gw->loop, &events, &error)) {
        log_error("demo.start_failed", log_str("error", error.text));
        gw->demo = (struct demo){0};
    }
}

void demo_stop(struct gateway *gw, void (*stopped)(void *user), void *user)
{
    struct network *n = gw->demo.network;

    if (n)
        n->ops->stop(n, stopped, user);
    else
        stopped(user);
}
