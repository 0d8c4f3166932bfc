#include "xmpp/finder.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "xmpp/contacts.h"
#include "xmpp/disco.h"
#include "xmpp/ns.h"
#include "xmpp/rooms.h"
#include "xmpp/stanza.h"

enum {
    RESOURCES_MAX = 32,
    METHODS_MAX = sizeof(((struct candidate_resource *)NULL)->methods) / sizeof(char *) - 1,
    PROVEN_MAX = 256,
    YOUNG_MS = 5000, /* the server sends our contacts' presence in the first seconds of a session */
    SETTLE_MS = 250  /* a contact's devices come one right after the other */
};

enum phase {
    PHASE_START,    /* to be looked for */
    PHASE_WAITING,  /* the session is young: for the roster, or for a contact's presence */
    PHASE_SETTLING, /* the first of his devices came */
    PHASE_ASKING    /* devices for features, or a server for devices */
};

/* A question about the features of one device. */
struct asking {
    struct search *search;
    uint64_t ticket; /* 0: none on its way */
};

struct search {
    struct finder *finder;
    uint64_t ticket;
    LIST_ENTRY(search) next;
    network_recipient_fn *done;
    void *user;
    enum phase phase;
    uv_timer_t timer;
    struct recipient found;
    struct asking asking[RESOURCES_MAX];
    int64_t since[RESOURCES_MAX]; /* of the devices' presence */
    size_t pending;
    uint64_t room;      /* question whether a stranger is a room */
    uint64_t items;     /* question for the devices of a stranger */
    struct error error; /* the first of a device */
};

struct finder {
    struct client *client;
    const struct method_ops *const *methods;
    int64_t online_since;
    uint64_t last_ticket;
    LIST_HEAD(, search) searches;
    char *proven[PROVEN_MAX]; /* full JIDs of devices that files got to, a ring; NULL: not used yet */
    size_t next_proven;
};

struct finder *finder_create(struct client *c, const struct method_ops *const *methods)
{
    struct finder *f = calloc(1, sizeof(*f));

    if (!f)
        return NULL;
    f->client = c;
    f->methods = methods;
    LIST_INIT(&f->searches);
    return f;
}

/* ---- the end of a search */

static void free_search(uv_handle_t *timer)
{
    free(timer->data);
}

static void drop(struct search *s)
{
    struct client *c = s->finder->client;

    for (size_t i = 0; i < s->found.count; i++)
        if (s->asking[i].ticket)
            disco_forget(c->disco, s->asking[i].ticket);
    if (s->room)
        room_ask_forget(c->rooms, s->room);
    if (s->items)
        iq_forget(c->iq, s->items);
    recipient_free(&s->found);
    LIST_REMOVE(s, next);
    uv_close((uv_handle_t *)&s->timer, free_search);
}

static void answer(struct search *s, const struct error *err)
{
    network_recipient_fn *done = s->done;
    void *user = s->user;
    struct recipient found = s->found;

    s->found = (struct recipient){0};
    drop(s);
    done(user, err ? NULL : &found, err);
    recipient_free(&found);
}

static void answer_offline(struct search *s)
{
    char own[JID_MAX + 1];
    struct error err;

    jid_bare(&s->found.from, own);
    if (s->found.subscribed)
        error_set(&err, ERR_RECIPIENT_OFFLINE, "no device of %s is online", s->found.asked.text);
    else
        error_set(&err, ERR_RECIPIENT_OFFLINE,
                  "no device of %s is visible to us: add %s as a contact there, or send to a full address",
                  s->found.asked.text, own);
    answer(s, &err);
}

static void answer_disconnected(struct search *s)
{
    struct error err;

    error_set(&err, ERR_XMPP_DISCONNECTED, "not connected to the XMPP server");
    answer(s, &err);
}

void finder_destroy(struct finder **f)
{
    if (!*f)
        return;
    while (!LIST_EMPTY(&(*f)->searches))
        answer_disconnected(LIST_FIRST(&(*f)->searches)); /* everybody who asked is answered */
    for (size_t i = 0; i < PROVEN_MAX; i++)
        free((*f)->proven[i]);
    free(*f);
    *f = NULL;
}

/* ---- which device is best */

static bool has_feature(char *const *features, const char *wanted, size_t len)
{
    for (; features && *features; features++)
        if (strlen(*features) == len && memcmp(*features, wanted, len) == 0)
            return true;
    return false;
}

/* One of "this|that". */
static bool has_one_of(char *const *features, const char *wanted)
{
    size_t len = strcspn(wanted, "|");

    while (wanted[len] == '|' && !has_feature(features, wanted, len)) {
        wanted += len + 1;
        len = strcspn(wanted, "|");
    }
    return has_feature(features, wanted, len);
}

/* What needs no device is no reason to choose one. */
static bool can(const struct candidate_resource *r, const struct method_ops *m)
{
    if (m->offline)
        return false;
    for (const char *const *need = m->needs; *need; need++)
        if (!has_one_of(r->features, *need))
            return false;
    return true;
}

static void note_methods(const struct finder *f, struct candidate_resource *r)
{
    size_t count = 0;

    for (const struct method_ops *const *m = f->methods; *m && count < METHODS_MAX; m++)
        if (can(r, *m))
            r->methods[count++] = (*m)->name;
    r->methods[count] = NULL;
}

static int method_rank(const struct finder *f, const struct candidate_resource *r)
{
    int rank = 0;

    while (f->methods[rank] && !(r->methods[0] && strcmp(f->methods[rank]->name, r->methods[0]) == 0))
        rank++;
    return rank; /* none: behind all */
}

static int show_rank(const char *show)
{
    static const char *const order[] = {"chat", "", "away", "xa", "dnd"};
    int rank = 0;

    while (rank < 5 && strcmp(show, order[rank]) != 0)
        rank++;
    return rank;
}

static bool is_proven(const struct finder *f, const struct jid *who)
{
    for (size_t i = 0; i < PROVEN_MAX && f->proven[i]; i++)
        if (strcmp(f->proven[i], who->text) == 0)
            return true;
    return false;
}

/* The better method first, then what worked before, then the priority its owner gave, then who is most likely there,
 * then the newest. */
static bool is_better(const struct search *s, size_t a, size_t b)
{
    const struct candidate_resource *x = &s->found.resources[a], *y = &s->found.resources[b];
    int by_method = method_rank(s->finder, x) - method_rank(s->finder, y);
    int by_show = show_rank(x->show) - show_rank(y->show);

    if (by_method != 0)
        return by_method < 0;
    if (x->proven != y->proven)
        return x->proven;
    if (x->priority != y->priority)
        return x->priority > y->priority;
    if (by_show != 0)
        return by_show < 0;
    return s->since[a] > s->since[b];
}

static void swap(struct search *s, size_t a, size_t b)
{
    struct candidate_resource r = s->found.resources[a];
    int64_t since = s->since[a];

    s->found.resources[a] = s->found.resources[b];
    s->found.resources[b] = r;
    s->since[a] = s->since[b];
    s->since[b] = since;
}

/* By selection: devices are few, and an entry is large. */
static void sort(struct search *s)
{
    for (size_t i = 0; i < s->found.count; i++) {
        size_t best = i;

        for (size_t k = i + 1; k < s->found.count; k++)
            if (is_better(s, k, best))
                best = k;
        if (best != i)
            swap(s, i, best);
    }
}

/* ---- asking devices */

static void conclude(struct search *s)
{
    bool answered = false;

    for (size_t i = 0; i < s->found.count; i++)
        answered |= s->found.resources[i].answered;
    if (!s->finder->client->online)
        answer_disconnected(s);
    else if (!answered)
        answer(s, &s->error);
    else {
        sort(s);
        answer(s, NULL);
    }
}

static char **copy_features(const char *const *features)
{
    size_t count = 0;
    char **copy;

    while (features[count])
        count++;
    copy = calloc(count + 1, sizeof(*copy));
    for (size_t i = 0; copy && i < count; i++) {
        copy[i] = strdup(features[i]);
        if (!copy[i])
            break; /* the rest counts as not announced */
    }
    return copy;
}

static void note_error(struct search *s, const struct error *err)
{
    if (s->error.code == ERR_NONE)
        s->error = *err;
}

static void take_features(struct search *s, size_t i, const char *const *features)
{
    struct candidate_resource *r = &s->found.resources[i];
    struct error err;

    r->features = copy_features(features);
    r->answered = r->features != NULL;
    if (!r->answered) {
        error_set(&err, ERR_INTERNAL, "out of memory");
        note_error(s, &err);
    }
    note_methods(s->finder, r);
}

static void device_answered(void *user, const char *const *features, const struct error *err)
{
    struct asking *a = user;
    struct search *s = a->search;

    a->ticket = 0;
    if (features)
        take_features(s, (size_t)(a - s->asking), features);
    else
        note_error(s, err);
    if (--s->pending == 0)
        conclude(s);
}

static void ask_devices(struct search *s)
{
    struct client *c = s->finder->client;

    s->phase = PHASE_ASKING;
    for (size_t i = 0; i < s->found.count; i++) {
        const struct jid *who = &s->found.resources[i].jid;
        const char *const *known = disco_known(c->disco, who);
        struct error err;

        if (known) {
            take_features(s, i, known);
            continue;
        }
        s->asking[i] = (struct asking){.search = s};
        s->asking[i].ticket = disco_ask(c->disco, &s->found.from, who, device_answered, &s->asking[i], &err);
        if (s->asking[i].ticket)
            s->pending++;
        else
            note_error(s, &err);
    }
    if (s->pending == 0)
        conclude(s);
}

/* ---- finding devices */

static bool add_device(struct search *s, const struct jid *who, const struct resource *presence)
{
    struct candidate_resource *r;

    if (s->found.count == RESOURCES_MAX)
        return false;
    r = reallocarray(s->found.resources, s->found.count + 1, sizeof(*r)); /* an entry is large, and most have one */
    if (!r)
        return false;
    s->found.resources = r;
    r += s->found.count;
    *r = (struct candidate_resource){.proven = is_proven(s->finder, who)};
    jid_copy(&r->jid, who);
    if (presence) {
        r->priority = presence->priority;
        snprintf(r->show, sizeof(r->show), "%s", presence->show);
        s->since[s->found.count] = presence->since_ms;
    }
    s->found.count++;
    return true;
}

/* A negative priority says "nothing for this device that is not addressed to it" (RFC 6121 section 4.7.2.3). */
static void add_visible(struct search *s)
{
    const struct resource *visible[RESOURCES_MAX];
    size_t count = contacts_resources(s->finder->client->contacts, &s->found.asked, visible, RESOURCES_MAX);

    for (size_t i = 0; i < count; i++) {
        struct jid who;

        if (visible[i]->priority >= 0 && jid_parse(&who, visible[i]->jid, strlen(visible[i]->jid), NULL))
            add_device(s, &who, visible[i]);
    }
}

static void add_items(struct search *s, xmpp_stanza_t *query)
{
    for (xmpp_stanza_t *i = stanza_child(query, "item", NULL); i; i = stanza_next(i, "item", NULL)) {
        const char *text = stanza_attr(i, "jid");
        struct jid who;

        if (text && jid_parse(&who, text, strlen(text), NULL) && who.full && jid_same_bare(&who, &s->found.asked))
            add_device(s, &who, NULL);
    }
}

static void server_answered(void *user, const struct iq_reply *reply)
{
    struct search *s = user;
    struct error err;

    s->items = 0;
    if (reply->outcome == IQ_RESULT) {
        add_items(s, stanza_child(reply->stanza, "query", NS_DISCO_ITEMS));
        if (s->found.count > 0)
            ask_devices(s);
        else
            answer_offline(s);
        return;
    }
    iq_error(reply, s->found.asked.text, &err);
    /* What a server says about its user to a stranger is no more than that he is one. */
    if (err.code == ERR_REMOTE_SERVER_UNREACHABLE || err.code == ERR_REMOTE_SERVER_TIMEOUT ||
        err.code == ERR_XMPP_DISCONNECTED)
        answer(s, &err);
    else
        answer_offline(s);
}

static void ask_server(struct search *s)
{
    struct client *c = s->finder->client;
    xmpp_stanza_t *iq = stanza_iq(c->ctx, "get", stanza_new(c->ctx, "query", NS_DISCO_ITEMS));
    struct error err;

    s->phase = PHASE_ASKING;
    s->items =
        iq_ask_as(c->iq, iq, &s->found.from, &s->found.asked, c->settings->iq_timeout_ms, server_answered, s, &err);
    if (iq)
        xmpp_stanza_release(iq);
    if (s->items == 0)
        answer(s, &err);
}

static void on_room_known(void *user, bool is_room, const struct error *err)
{
    struct search *s = user;
    struct error room;

    s->room = 0;
    if (is_room) {
        error_set(&room, ERR_NO_COMMON_METHOD,
                  "%.100s is a room, and gets files as links alone: let ?methods= or [delivery] methods have 'link'",
                  s->found.asked.text);
        answer(s, &room);
    } else if (err && err->code == ERR_RECIPIENT_TIMEOUT) {
        answer_offline(s); /* who is silent once would be so again */
    } else if (err) {
        answer(s, err);
    } else {
        ask_server(s);
    }
}

static void ask_whether_room(struct search *s)
{
    struct error err;

    s->phase = PHASE_ASKING;
    s->room = room_ask(s->finder->client->rooms, &s->found.asked, on_room_known, s, &err);
    if (s->room == 0)
        answer(s, &err);
}

static void on_timer(uv_timer_t *timer);

static void look_among_contacts(struct search *s)
{
    struct finder *f = s->finder;
    int64_t age = clock_ms() - f->online_since;
    bool may_come;

    s->found.subscribed = contacts_subscribed(f->client->contacts, &s->found.asked);
    may_come = s->found.subscribed || !contacts_ready(f->client->contacts);
    add_visible(s);
    if (s->found.count > 0) {
        ask_devices(s);
    } else if (s->phase == PHASE_START && may_come && age < YOUNG_MS) {
        s->phase = PHASE_WAITING;
        uv_timer_start(&s->timer, on_timer, (uint64_t)(YOUNG_MS - age), 0);
    } else if (s->found.subscribed) {
        answer_offline(s);
    } else {
        ask_whether_room(s);
    }
}

/* A component's own address that takes files is there by the one resource that we have. */
static bool find_ourselves(struct search *s)
{
    struct client *c = s->finder->client;
    const struct jid *to = &s->found.asked;
    struct jid device;
    size_t asked, ours;
    const char *domain = jid_domain(to, &asked), *own = jid_domain(&c->self, &ours);

    if (!c->component || !c->receiver || to->full || asked != ours || memcmp(domain, own, ours) != 0 ||
        !c->receiver->ops->receives(c->receiver, to) || !jid_with_resource(&device, to, jid_resource(&c->self), NULL))
        return false;
    s->found.subscribed = true;
    add_device(s, &device, NULL);
    ask_devices(s);
    return true;
}

static void on_timer(uv_timer_t *timer)
{
    struct search *s = timer->data;
    const struct jid *to = &s->found.asked;

    if (!s->finder->client->online) {
        answer_disconnected(s);
    } else if (find_ourselves(s)) {
        return;
    } else if (to->full || to->local == 0) {
        s->found.subscribed = contacts_subscribed(s->finder->client->contacts, to);
        add_device(s, to, contacts_resource(s->finder->client->contacts, to));
        ask_devices(s);
    } else {
        look_among_contacts(s);
    }
}

/* ---- for the network */

/* Of a component's domain; the resource is the session's. */
static void set_sender(struct recipient *found, const struct client *c, const struct jid *from)
{
    size_t len, own_len;
    const char *own = jid_domain(&c->self, &own_len), *resource = jid_resource(&c->self);
    const char *domain = from ? jid_domain(from, &len) : NULL;

    if (!c->component || !domain || from->local == 0 || len != own_len || memcmp(domain, own, len) != 0 || !resource ||
        !jid_with_resource(&found->from, from, resource, NULL))
        jid_copy(&found->from, &c->self);
}

uint64_t finder_find(struct finder *f, const struct jid *from, const struct jid *to, network_recipient_fn *done,
                     void *user)
{
    struct search *s = calloc(1, sizeof(*s));

    if (!s)
        return 0;
    s->finder = f;
    s->ticket = ++f->last_ticket;
    s->done = done;
    s->user = user;
    jid_copy(&s->found.asked, to);
    set_sender(&s->found, f->client, from);
    s->found.direct = client_may_tell_address(f->client, to);
    LIST_INSERT_HEAD(&f->searches, s, next);
    uv_timer_init(f->client->loop, &s->timer);
    s->timer.data = s;
    uv_timer_start(&s->timer, on_timer, 0, 0);
    return s->ticket;
}

void finder_forget(struct finder *f, uint64_t ticket)
{
    for (struct search *s = LIST_FIRST(&f->searches); s; s = LIST_NEXT(s, next))
        if (s->ticket == ticket) {
            drop(s);
            return;
        }
}

void finder_succeeded(struct finder *f, const struct jid *who)
{
    char **slot = &f->proven[f->next_proven % PROVEN_MAX], *text;

    if (is_proven(f, who) || !(text = strdup(who->text)))
        return;
    free(*slot);
    *slot = text;
    f->next_proven++;
}

void finder_online(struct finder *f)
{
    f->online_since = clock_ms();
}

void finder_offline(struct finder *f)
{
    for (struct search *s = LIST_FIRST(&f->searches); s; s = LIST_NEXT(s, next))
        if (s->phase != PHASE_ASKING)
            uv_timer_start(&s->timer, on_timer, 0, 0); /* those asking hear it from whom they ask */
}

void finder_roster(struct finder *f)
{
    for (struct search *s = LIST_FIRST(&f->searches); s; s = LIST_NEXT(s, next))
        if (s->phase == PHASE_WAITING) {
            s->phase = PHASE_START;
            uv_timer_start(&s->timer, on_timer, 0, 0);
        }
}

void finder_presence(struct finder *f, const struct jid *who)
{
    for (struct search *s = LIST_FIRST(&f->searches); s; s = LIST_NEXT(s, next))
        if (s->phase == PHASE_WAITING && jid_same_bare(&s->found.asked, who)) {
            s->phase = PHASE_SETTLING;
            uv_timer_start(&s->timer, on_timer, SETTLE_MS, 0);
        }
}
