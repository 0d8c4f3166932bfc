#include "xmpp/own_presence.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "xmpp/contacts.h"
#include "xmpp/responder.h"
#include "xmpp/stanza.h"

struct own_presence {
    struct client *client;
    struct roster_file *roster;
    iq_send_fn *send;
    void *user;
};

struct own_presence *own_presence_create(struct client *c, struct roster_file *roster, iq_send_fn *send, void *user)
{
    struct own_presence *p = calloc(1, sizeof *p);

    if (!p) {
        roster_file_close(&roster);
        return NULL;
    }
    *p = (struct own_presence){.client = c, .roster = roster, .send = send, .user = user};
    return p;
}

void own_presence_destroy(struct own_presence **p)
{
    if (*p)
        roster_file_close(&(*p)->roster);
    free(*p);
    *p = NULL;
}

/* ---- what is sent */

static void send_off(struct own_presence *p, xmpp_stanza_t *presence)
{
    if (!presence)
        return; /* out of memory: they ask again */
    p->send(p->user, presence);
    xmpp_stanza_release(presence);
}

/* type NULL: available. from: bare for what is about a subscription, full for what is about a device. */
static void tell(struct own_presence *p, const char *from, const char *to, const char *type)
{
    xmpp_stanza_t *presence = stanza_new(p->client->ctx, "presence", NULL);

    send_off(p, stanza_set(stanza_set(stanza_set(presence, "from", from), "to", to), "type", type));
}

/* Each of our addresses is there by the one resource that we have. */
static bool our_device(const struct own_presence *p, const char *ours, struct jid *out)
{
    struct jid bare;
    const char *resource = jid_resource(&p->client->self);

    return resource && jid_parse(&bare, ours, strlen(ours), NULL) && jid_with_resource(out, &bare, resource, NULL);
}

static void tell_there(struct own_presence *p, const char *ours, const char *to)
{
    struct jid device;
    xmpp_stanza_t *presence;

    if (!our_device(p, ours, &device))
        return;
    presence = stanza_add(stanza_new(p->client->ctx, "presence", NULL), responder_caps(p->client, &device));
    send_off(p, stanza_set(stanza_set(presence, "from", device.text), "to", to));
}

static void tell_gone(struct own_presence *p, const char *ours, const char *to)
{
    struct jid device;

    if (our_device(p, ours, &device))
        tell(p, device.text, to, "unavailable");
}

/* ---- what contacts.h knows: whom any address of ours sees */

static void add_up(void *user, const struct roster_entry *e)
{
    struct roster_entry *sum = user;

    sum->to = sum->to || e->to;
    sum->from = sum->from || e->from;
    sum->asked = sum->asked || e->asked;
}

static void teach(struct own_presence *p, const struct jid *theirs)
{
    struct roster_entry sum = {0};

    roster_file_each(p->roster, theirs, add_up, &sum);
    contacts_learn(p->client->contacts, theirs, sum.to, sum.from, sum.asked);
}

/* A contact's entries follow each other. */
struct lesson {
    struct own_presence *p;
    struct roster_entry sum; /* of that contact so far; theirs NULL: none yet */
};

static void end_lesson(struct lesson *l)
{
    const struct roster_entry *sum = &l->sum;
    struct jid theirs;

    if (sum->theirs && jid_parse(&theirs, sum->theirs, strlen(sum->theirs), NULL))
        contacts_learn(l->p->client->contacts, &theirs, sum->to, sum->from, sum->asked);
}

static void go_on(void *user, const struct roster_entry *e)
{
    struct lesson *l = user;

    if (!l->sum.theirs || strcmp(l->sum.theirs, e->theirs) != 0) {
        end_lesson(l);
        l->sum = (struct roster_entry){.theirs = e->theirs};
    }
    add_up(&l->sum, e);
}

void own_presence_load(struct own_presence *p)
{
    struct lesson l = {.p = p};

    roster_file_each(p->roster, NULL, go_on, &l);
    end_lesson(&l);
}

/* ---- coming and going */

static void greet(void *user, const struct roster_entry *e)
{
    if (e->from)
        tell_there(user, e->ours, e->theirs);
    if (e->to)
        tell(user, e->ours, e->theirs, "probe");
}

static void take_leave(void *user, const struct roster_entry *e)
{
    if (e->from)
        tell_gone(user, e->ours, e->theirs);
}

void own_presence_online(struct own_presence *p)
{
    roster_file_each(p->roster, NULL, greet, p);
}

void own_presence_leave(struct own_presence *p)
{
    roster_file_each(p->roster, NULL, take_leave, p);
}

/* ---- what others ask, and answer */

struct pair {
    struct jid ours, theirs;
    char our_bare[JID_MAX + 1], their_bare[JID_MAX + 1];
    bool to, from, asked; /* as it was before */
};

static bool put(struct own_presence *p, const struct pair *x, bool to, bool from, bool asked)
{
    bool ok = roster_file_put(p->roster, &x->ours, &x->theirs, to, from, asked);

    if (ok)
        teach(p, &x->theirs);
    else
        log_warn("xmpp.roster_full", log_str("contact", x->their_bare));
    return ok;
}

/* RFC 6121 section 3.1.3. */
static void on_subscribe(struct own_presence *p, struct pair *x)
{
    bool ask = !x->to && !x->asked;

    if (!contacts_accepts(p->client, x->their_bare)) {
        log_info("xmpp.subscription_ignored", log_str("from", x->their_bare), log_str("to", x->our_bare));
        return;
    }
    if (!put(p, x, x->to, true, x->asked || ask))
        return;
    log_info("xmpp.subscription_accepted", log_str("from", x->their_bare), log_str("to", x->our_bare));
    tell(p, x->our_bare, x->their_bare, "subscribed");
    tell_there(p, x->our_bare, x->their_bare);
    if (ask)
        tell(p, x->our_bare, x->their_bare, "subscribe"); /* so that we see when they are there */
}

static void on_unsubscribe(struct own_presence *p, struct pair *x)
{
    if (!x->from)
        return;
    log_info("xmpp.unsubscribed", log_str("by", x->their_bare), log_str("from", x->our_bare));
    put(p, x, x->to, false, x->asked);
    tell(p, x->our_bare, x->their_bare, "unsubscribed");
    tell_gone(p, x->our_bare, x->their_bare);
}

/* Nobody lets us see him whom we did not ask (section 3.1.5). */
static void on_subscribed(struct own_presence *p, struct pair *x)
{
    if (!x->asked)
        return;
    put(p, x, true, x->from, false);
    tell(p, x->our_bare, x->their_bare, "probe"); /* not every server sends it by itself to a component */
}

static void on_unsubscribed(struct own_presence *p, struct pair *x)
{
    if (x->to || x->asked)
        put(p, x, false, x->from, false);
}

/* Section 4.3.2: who may not see is told so, whether that address has ever been used or not. */
static void on_probe(struct own_presence *p, struct pair *x)
{
    if (x->from || jid_same_bare(&x->ours, &x->theirs))
        tell_there(p, x->our_bare, x->their_bare);
    else
        tell(p, x->our_bare, x->their_bare, "unsubscribed");
}

static bool read_pair(const struct own_presence *p, xmpp_stanza_t *presence, struct pair *x)
{
    const struct roster_entry *known;

    if (!stanza_from(presence, &x->theirs) || !stanza_to(presence, &p->client->self, &x->ours))
        return false;
    jid_bare(&x->ours, x->our_bare);
    jid_bare(&x->theirs, x->their_bare);
    known = roster_file_find(p->roster, &x->ours, &x->theirs);
    if (known) {
        x->to = known->to;
        x->from = known->from;
        x->asked = known->asked;
    }
    return true;
}

bool own_presence_incoming(struct own_presence *p, xmpp_stanza_t *presence)
{
    static const struct {
        const char *type;
        void (*act)(struct own_presence *p, struct pair *x);
    } types[] = {
        {"subscribe", on_subscribe},       {"subscribed", on_subscribed}, {"unsubscribe", on_unsubscribe},
        {"unsubscribed", on_unsubscribed}, {"probe", on_probe},
    };
    const char *type = xmpp_stanza_get_type(presence);
    struct pair x = {0};

    for (size_t i = 0; type && i < sizeof types / sizeof *types; i++) {
        if (strcmp(type, types[i].type) != 0)
            continue;
        if (read_pair(p, presence, &x))
            types[i].act(p, &x);
        return true;
    }
    return false;
}

void own_presence_asks(struct own_presence *p, const struct jid *ours, const struct jid *theirs)
{
    const struct roster_entry *e = roster_file_find(p->roster, ours, theirs);

    if ((!e || !e->to) && roster_file_put(p->roster, ours, theirs, false, e && e->from, true))
        teach(p, theirs);
}
