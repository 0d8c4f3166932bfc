#include "xmpp/contacts.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "xmpp/ns.h"
#include "xmpp/own_presence.h"
#include "xmpp/stanza.h"

/* Directed presence lets anybody put himself here, so all of it is bounded. */
enum { ROSTER_MAX = 20000, STRANGERS_MAX = 1000, RESOURCES_MAX = 32, REQUESTS_MAX = 1000 };

enum { ASK_AGAIN_MS = 24 * 60 * 60 * 1000 };

enum subscription { SUBSCRIPTION_NONE = 0, SUBSCRIPTION_TO = 1, SUBSCRIPTION_FROM = 2, SUBSCRIPTION_BOTH = 3 };

struct contact {
    char *bare; /* first: the key of the tree */
    bool in_roster;
    enum subscription subscription;
    bool asked; /* by us, and no answer came yet */
    struct resource *resources;
    size_t count;
};

/* A subscription that we asked for, so that not every transfer asks again. */
struct request {
    char *bare;
    int64_t at_ms; /* monotonic: when it was sent, or first seen, or refused */
    bool refused;
};

struct contacts {
    struct client *client;
    struct contacts_events events;
    void *tree; /* of struct contact, for tsearch(3) */
    size_t roster, strangers;
    uint64_t asking; /* ticket of the roster question */
    bool ready;
    struct request requests[REQUESTS_MAX]; /* the first request_count are in use */
    size_t request_count;
};

struct contacts *contacts_create(struct client *c, const struct contacts_events *events)
{
    struct contacts *k = calloc(1, sizeof(*k));

    if (!k)
        return NULL;
    k->client = c;
    k->events = *events;
    return k;
}

/* ---- the tree */

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct contact *)a)->bare, ((const struct contact *)b)->bare);
}

static struct contact *find(const struct contacts *k, const struct jid *who)
{
    char bare[JID_MAX + 1];
    void *node;

    jid_bare(who, bare);
    node = tfind(&(struct contact){.bare = bare}, &k->tree, compare);
    return node ? *(struct contact **)node : NULL;
}

static void clear_resource(struct resource *r)
{
    free(r->jid);
    free(r->caps_node);
    free(r->caps_ver);
    free(r->caps_hash);
    *r = (struct resource){0};
}

static void free_contact(void *node)
{
    struct contact *c = node;

    for (size_t i = 0; i < c->count; i++)
        clear_resource(&c->resources[i]);
    free(c->resources);
    free(c->bare);
    free(c);
}

static void forget_all(struct contacts *k)
{
    tdestroy(k->tree, free_contact);
    k->tree = NULL;
    k->roster = k->strangers = 0;
}

void contacts_destroy(struct contacts **k)
{
    if (!*k)
        return;
    forget_all(*k);
    while ((*k)->request_count > 0)
        free((*k)->requests[--(*k)->request_count].bare);
    free(*k);
    *k = NULL;
}

/* The contact, new ones as strangers. NULL: there are too many, or memory is out. */
static struct contact *obtain(struct contacts *k, const struct jid *who)
{
    struct contact *c = find(k, who);
    char bare[JID_MAX + 1];

    if (c || k->strangers >= STRANGERS_MAX)
        return c;
    c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    jid_bare(who, bare);
    c->bare = strdup(bare);
    if (!c->bare || !tsearch(c, &k->tree, compare)) {
        free_contact(c);
        return NULL;
    }
    k->strangers++;
    return c;
}

/* A stranger without a device is nobody. */
static void drop_if_nobody(struct contacts *k, struct contact *c)
{
    if (c->in_roster || c->count > 0)
        return;
    tdelete(c, &k->tree, compare);
    free_contact(c);
    k->strangers--;
}

/* ---- whom we asked */

static struct request *find_request(struct contacts *k, const char *bare)
{
    for (size_t i = 0; i < k->request_count; i++)
        if (strcmp(k->requests[i].bare, bare) == 0)
            return &k->requests[i];
    return NULL;
}

static void drop_request(struct contacts *k, struct request *q)
{
    free(q->bare);
    *q = k->requests[--k->request_count];
}

static struct request *oldest_request(struct contacts *k)
{
    struct request *oldest = k->requests;

    for (size_t i = 1; i < k->request_count; i++)
        if (k->requests[i].at_ms < oldest->at_ms)
            oldest = &k->requests[i];
    return oldest;
}

/* Without memory it is forgotten, and asked again. */
static void note_request(struct contacts *k, const char *bare, bool refused)
{
    struct request *q = find_request(k, bare);
    char *name;

    if (!q) {
        name = strdup(bare);
        if (!name)
            return;
        if (k->request_count == REQUESTS_MAX)
            drop_request(k, oldest_request(k));
        q = &k->requests[k->request_count++];
        q->bare = name;
    }
    q->at_ms = clock_ms();
    q->refused = refused;
}

static void tell_subscription(struct contacts *k, const struct jid *who, bool granted)
{
    struct jid bare;
    struct request *q;

    if (!jid_parse(&bare, who->text, who->bare, NULL))
        return;
    log_info("xmpp.subscription", log_str("to", bare.text), log_str("granted", granted ? "yes" : "no"));
    q = find_request(k, bare.text);
    if (q && granted)
        drop_request(k, q);
    else if (q)
        note_request(k, bare.text, true);
    k->events.subscription(k->events.user, &bare, granted);
}

/* What was answered while we were away: the roster knows. */
static void settle_requests(struct contacts *k)
{
    for (size_t i = k->request_count; i-- > 0;) {
        struct request *q = &k->requests[i];
        struct contact **c = tfind(&(struct contact){.bare = q->bare}, &k->tree, compare);

        if (c && (*c)->subscription & SUBSCRIPTION_TO)
            drop_request(k, q);
        else if (!q->refused && !(c && (*c)->asked))
            note_request(k, q->bare, true);
    }
}

/* ---- the roster */

static enum subscription read_subscription(const char *text)
{
    static const char *const names[] = {"none", "to", "from", "both"};

    for (size_t i = 0; text && i < sizeof(names) / sizeof(*names); i++)
        if (strcmp(text, names[i]) == 0)
            return (enum subscription)i;
    return SUBSCRIPTION_NONE;
}

static void leave_roster(struct contacts *k, struct contact *c)
{
    if (!c->in_roster)
        return;
    c->in_roster = c->asked = false;
    c->subscription = SUBSCRIPTION_NONE;
    k->roster--;
    k->strangers++;
    drop_if_nobody(k, c);
}

static void take_item(struct contacts *k, xmpp_stanza_t *item)
{
    const char *text = stanza_attr(item, "jid"), *subscription = stanza_attr(item, "subscription");
    const char *ask = stanza_attr(item, "ask");
    struct contact *c;
    struct jid who;

    if (!text || !jid_parse(&who, text, strlen(text), NULL) || who.full)
        return;
    if (subscription && strcmp(subscription, "remove") == 0) {
        c = find(k, &who);
        if (c)
            leave_roster(k, c);
        return;
    }
    c = k->roster < ROSTER_MAX ? obtain(k, &who) : find(k, &who);
    if (!c)
        return;
    if (!c->in_roster) {
        c->in_roster = true;
        k->strangers--;
        k->roster++;
    }
    c->subscription = read_subscription(subscription);
    c->asked = ask && strcmp(ask, "subscribe") == 0;
}

static void take_items(struct contacts *k, xmpp_stanza_t *query)
{
    for (xmpp_stanza_t *i = stanza_child(query, "item", NULL); i; i = stanza_next(i, "item", NULL))
        take_item(k, i);
}

/* RFC 6121 section 3: what a push changes in what we see, its item tells better than the presence beside it, which may
 * come before or after it. */
static void take_push(struct contacts *k, xmpp_stanza_t *item)
{
    const char *text = stanza_attr(item, "jid");
    struct contact *c;
    struct jid who;
    bool saw, asked, sees;

    if (!text || !jid_parse(&who, text, strlen(text), NULL))
        return;
    c = find(k, &who);
    saw = c && c->subscription & SUBSCRIPTION_TO;
    asked = c && c->asked;
    take_item(k, item);
    c = find(k, &who);
    sees = c && c->subscription & SUBSCRIPTION_TO;
    if (sees != saw)
        tell_subscription(k, &who, sees);
    else if (asked && !sees && !(c && c->asked))
        tell_subscription(k, &who, false);
}

/* RFC 6121 section 2.1.6: a push counts only from our own account. */
static bool roster_push(void *user, xmpp_stanza_t *iq, const struct jid *from, xmpp_stanza_t *payload)
{
    struct contacts *k = user;

    if (from->full || !jid_same_bare(from, &k->client->self))
        return false;
    for (xmpp_stanza_t *i = stanza_child(payload, "item", NULL); i; i = stanza_next(i, "item", NULL))
        take_push(k, i);
    iq_reply_result(k->client->iq, iq, NULL);
    return true;
}

static void roster_came(void *user, const struct iq_reply *reply)
{
    struct contacts *k = user;

    k->asking = 0;
    if (reply->outcome == IQ_RESULT)
        take_items(k, stanza_child(reply->stanza, "query", NS_ROSTER));
    else if (reply->outcome == IQ_DISCONNECTED)
        return;
    else
        log_warn("xmpp.roster_missing", log_str("condition", reply->condition));
    if (reply->outcome == IQ_RESULT)
        settle_requests(k);
    k->ready = true;
    k->events.ready(k->events.user);
}

void contacts_learn(struct contacts *k, const struct jid *who, bool to, bool from, bool asked)
{
    struct contact *c = to || from || asked ? obtain(k, who) : find(k, who);
    bool saw = c && c->subscription & SUBSCRIPTION_TO, waited = c && c->asked;

    if (!c)
        return;
    if (!c->in_roster && (to || from || asked)) {
        c->in_roster = true;
        k->strangers--;
        k->roster++;
    }
    c->subscription = (enum subscription)((to ? SUBSCRIPTION_TO : 0) | (from ? SUBSCRIPTION_FROM : 0));
    c->asked = asked;
    if (k->ready && (to != saw || (waited && !asked && !to)))
        tell_subscription(k, who, to);
    if (!to && !from && !asked)
        leave_roster(k, c);
}

void contacts_serve(struct contacts *k)
{
    iq_serve(k->client->iq, "set", NS_ROSTER, roster_push, k);
}

void contacts_online(struct contacts *k)
{
    struct client *c = k->client;

    if (c->component) { /* nobody keeps a roster for us */
        own_presence_load(c->own_presence);
        k->ready = true;
        k->events.ready(k->events.user);
        return;
    }
    k->asking = iq_ask_query(c->iq, NS_ROSTER, NULL, c->settings->iq_timeout_ms, roster_came, k, NULL);
}

void contacts_offline(struct contacts *k)
{
    iq_forget(k->client->iq, k->asking);
    k->asking = 0;
    k->ready = false;
    forget_all(k);
}

/* ---- presence */

static struct resource *find_resource(struct contact *c, const char *full)
{
    for (size_t i = 0; c && i < c->count; i++)
        if (strcmp(c->resources[i].jid, full) == 0)
            return &c->resources[i];
    return NULL;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static char *copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

/* True when the announcement changed. */
static bool take_caps(struct resource *r, xmpp_stanza_t *presence)
{
    xmpp_stanza_t *caps = stanza_child(presence, "c", NS_CAPS);
    const char *node = stanza_attr(caps, "node"), *ver = stanza_attr(caps, "ver"), *hash = stanza_attr(caps, "hash");

    if (!node || !ver || !hash) /* without a hash it is the form before XEP-0115 1.4, which cannot be verified */
        node = ver = hash = NULL;
    if (same_text(node, r->caps_node) && same_text(ver, r->caps_ver) && same_text(hash, r->caps_hash))
        return false;
    free(r->caps_node);
    free(r->caps_ver);
    free(r->caps_hash);
    r->caps_node = copy(node);
    r->caps_ver = copy(ver);
    r->caps_hash = copy(hash);
    return true;
}

static void take_presence(struct resource *r, xmpp_stanza_t *presence)
{
    static const char *const shows[] = {"chat", "away", "xa", "dnd"};
    char text[16];
    long priority = strtol(stanza_text(stanza_child(presence, "priority", NULL), text, sizeof(text)), NULL, 10);

    r->priority = priority < -128 || priority > 127 ? 0 : (int)priority;
    r->show[0] = '\0';
    stanza_text(stanza_child(presence, "show", NULL), text, sizeof(text));
    for (size_t i = 0; i < sizeof(shows) / sizeof(*shows); i++)
        if (strcmp(text, shows[i]) == 0)
            snprintf(r->show, sizeof(r->show), "%s", shows[i]);
    r->since_ms = clock_ms();
}

static struct resource *add_resource(struct contact *c, const char *full)
{
    struct resource *grown;
    char *jid;

    if (c->count == RESOURCES_MAX)
        return NULL;
    grown = realloc(c->resources, (c->count + 1) * sizeof(*grown));
    if (!grown)
        return NULL;
    c->resources = grown;
    jid = strdup(full);
    if (!jid)
        return NULL;
    grown[c->count] = (struct resource){.jid = jid};
    return &grown[c->count++];
}

static void came(struct contacts *k, const struct jid *who, xmpp_stanza_t *presence)
{
    struct contact *c = obtain(k, who);
    struct resource *r = find_resource(c, who->text);
    bool fresh = !r;

    if (!c)
        return;
    if (!r)
        r = add_resource(c, who->text);
    if (!r) {
        drop_if_nobody(k, c);
        return;
    }
    take_presence(r, presence);
    if (take_caps(r, presence) && !fresh)
        k->events.caps(k->events.user, who);
    k->events.presence(k->events.user, who, true);
}

static void went(struct contacts *k, const struct jid *who)
{
    struct contact *c = find(k, who);
    struct resource *r = find_resource(c, who->text);

    if (!r)
        return;
    clear_resource(r);
    *r = c->resources[--c->count];
    drop_if_nobody(k, c);
    k->events.caps(k->events.user, who);
    k->events.presence(k->events.user, who, false);
}

/* An unavailable presence of the bare JID: none of its devices is left. */
static void all_went(struct contacts *k, const struct jid *bare)
{
    struct contact *c = find(k, bare);
    size_t count = c ? c->count : 0; /* the contact itself may go with its last device */

    while (count-- > 0) {
        struct jid who;

        if (jid_parse(&who, c->resources[count].jid, strlen(c->resources[count].jid), NULL))
            went(k, &who);
    }
}

/* ---- subscriptions */

/* status: what the person sees beside the request; NULL: nothing. */
static bool send_type(struct contacts *k, const char *bare, const char *type, const char *status)
{
    xmpp_ctx_t *ctx = k->client->ctx;
    xmpp_stanza_t *presence = stanza_new(ctx, "presence", NULL);
    bool sent;

    presence = stanza_set(stanza_set(presence, "to", bare), "type", type);
    if (k->client->component) { /* an account's server makes it the bare one */
        char own[JID_MAX + 1];

        jid_bare(&k->client->self, own);
        presence = stanza_set(presence, "from", own);
    }
    if (status)
        presence = stanza_add(presence, stanza_add_text(ctx, stanza_new(ctx, "status", NULL), status));
    if (!presence)
        return false;
    sent = k->events.send(k->events.user, presence);
    xmpp_stanza_release(presence);
    return sent;
}

bool contacts_accepts(const struct client *c, const char *bare)
{
    for (char *const *glob = c->settings->accept_subscriptions; glob && *glob; glob++)
        if (text_glob(*glob, bare))
            return true;
    return false;
}

static void asked_to_subscribe(struct contacts *k, const struct jid *who)
{
    char bare[JID_MAX + 1];

    jid_bare(who, bare);
    if (!contacts_accepts(k->client, bare)) {
        log_info("xmpp.subscription_ignored", log_str("from", bare));
        return;
    }
    log_info("xmpp.subscription_accepted", log_str("from", bare));
    send_type(k, bare, "subscribed", NULL);
    if (!contacts_subscribed(k, who))
        send_type(k, bare, "subscribe", NULL); /* so that we see when they are there */
}

static void asked_to_unsubscribe(struct contacts *k, const struct jid *who)
{
    char bare[JID_MAX + 1];

    jid_bare(who, bare);
    log_info("xmpp.unsubscribed", log_str("by", bare));
    send_type(k, bare, "unsubscribed", NULL);
}

/* The push that says the same comes before or after; what we do not wait for is no news. */
static void refused(struct contacts *k, const struct jid *who)
{
    struct contact *c = find(k, who);
    char bare[JID_MAX + 1];
    struct request *q;
    bool news = c && (c->asked || c->subscription & SUBSCRIPTION_TO);

    jid_bare(who, bare);
    q = find_request(k, bare);
    if (c) {
        c->asked = false;
        c->subscription &= (enum subscription) ~SUBSCRIPTION_TO;
    }
    if (news || (q && !q->refused))
        tell_subscription(k, who, false);
}

bool contacts_ask(struct contacts *k, const struct jid *who, bool *sent, struct error *err)
{
    const struct contact *c = find(k, who);
    char bare[JID_MAX + 1];
    struct request *q;
    bool lately;

    jid_bare(who, bare);
    q = find_request(k, bare);
    lately = q && clock_ms() - q->at_ms < ASK_AGAIN_MS;
    *sent = false;
    if (lately && q->refused)
        return error_set(err, ERR_RECIPIENT_FORBIDS, "%s does not let us see when somebody is there", bare);
    if (lately)
        return true;
    if (!q && c && c->asked) { /* by an earlier run, nobody knows when: from now on it counts */
        note_request(k, bare, false);
        return true;
    }
    if (!send_type(k, bare, "subscribe", "There is a file for you. It comes when this gateway can see you online."))
        return error_set(err, ERR_XMPP_DISCONNECTED, "the subscription request to %s cannot be sent now", bare);
    log_info("xmpp.subscription_asked", log_str("of", bare));
    if (k->client->component)
        own_presence_asks(k->client->own_presence, &k->client->self, who);
    note_request(k, bare, false);
    *sent = true;
    return true;
}

void contacts_presence(struct contacts *k, xmpp_stanza_t *presence)
{
    const char *type = xmpp_stanza_get_type(presence);
    struct jid from;

    if (!stanza_from(presence, &from) || jid_equal(&from, &k->client->self))
        return;
    if (!type && from.full)
        came(k, &from, presence);
    else if (!type)
        return; /* a bare JID has no device to send to */
    else if (strcmp(type, "unavailable") == 0)
        from.full ? went(k, &from) : all_went(k, &from);
    else if (strcmp(type, "subscribe") == 0)
        asked_to_subscribe(k, &from);
    else if (strcmp(type, "unsubscribe") == 0)
        asked_to_unsubscribe(k, &from);
    else if (strcmp(type, "unsubscribed") == 0)
        refused(k, &from);
}

/* ---- looking */

bool contacts_ready(const struct contacts *k)
{
    return k->ready;
}

bool contacts_known(const struct contacts *k, const struct jid *who)
{
    const struct contact *c = find(k, who);

    return c && c->subscription != SUBSCRIPTION_NONE;
}

bool contacts_subscribed(const struct contacts *k, const struct jid *who)
{
    const struct contact *c = find(k, who);

    return jid_same_bare(who, &k->client->self) || (c && c->subscription & SUBSCRIPTION_TO);
}

size_t contacts_resources(const struct contacts *k, const struct jid *who, const struct resource **out, size_t max)
{
    const struct contact *c = find(k, who);
    size_t count = 0;

    for (; c && count < c->count && count < max; count++)
        out[count] = &c->resources[count];
    return count;
}

const struct resource *contacts_resource(const struct contacts *k, const struct jid *full)
{
    return find_resource(find(k, full), full->text);
}

/* A bare JID stands for the devices that the finder would name. */
static bool is_there(const struct contacts *k, const struct jid *who)
{
    const struct contact *c = find(k, who);
    bool there = false;

    if (who->full)
        return contacts_resource(k, who) != NULL;
    for (size_t i = 0; c && i < c->count; i++)
        there = there || c->resources[i].priority >= 0;
    return there;
}

static bool is_asked(const struct contacts *k, const struct jid *who)
{
    const struct contact *c = find(k, who);
    char bare[JID_MAX + 1];
    const struct request *q;

    jid_bare(who, bare);
    q = find_request((struct contacts *)k, bare);
    return q ? !q->refused : c && c->asked;
}

enum sight contacts_sight(const struct contacts *k, const struct jid *who)
{
    if (!k->ready)
        return SIGHT_UNKNOWN;
    if (is_there(k, who))
        return SIGHT_THERE;
    if (contacts_subscribed(k, who))
        return SIGHT_AWAY;
    return is_asked(k, who) ? SIGHT_ASKED : SIGHT_HIDDEN;
}

bool client_may_tell_address(const struct client *c, const struct jid *peer)
{
    size_t len, own_len;
    const char *domain = jid_domain(peer, &len);
    const char *own = c->component ? jid_parent_domain(&c->self, &own_len) : jid_domain(&c->self, &own_len);

    switch (c->settings->direct) {
    case XMPP_DIRECT_ALWAYS:
        return true;
    case XMPP_DIRECT_NEVER:
        return false;
    case XMPP_DIRECT_AUTO:
        break;
    }
    return contacts_known(c->contacts, peer) || (len == own_len && memcmp(domain, own, len) == 0);
}
