/* xmpp/services.c - see services.h. A round is the question for the items, and then those to each of them. */
#include "xmpp/services.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

enum {
    ITEMS_MAX = 64, /* public servers list up to 200 */
    PARALLEL = 8,   /* questions at a time */
    FRESH_MS = 60 * 60 * 1000,
    FAILED_MS = 10 * 60 * 1000
};

struct service {
    struct service *prev, *next;
    struct services *owner;
    struct jid jid;
    bool listed; /* in the newest list of items */
    bool failed; /* to say what it is */
    uint64_t question;
    int64_t due; /* monotonic: when it is asked again; 0: at once */
};

struct services {
    struct client *client;
    struct jid server; /* which stands in the list, too */
    struct services_watcher *watchers;
    bool ask_server; /* somebody is interested in it */
    uint64_t items_question;
    int64_t items_due;
    bool items_failed;
    struct service *list;
    size_t asking;
};

static int64_t after(int64_t ms)
{
    return clock_ms() + ms;
}

/* ---- the list */

static void list(struct services *s, const char *text)
{
    struct service *x;
    struct jid jid;

    if (!text || !jid_parse(&jid, text, strlen(text), NULL))
        return;
    DL_FOREACH(s->list, x)
    if (jid_equal(&x->jid, &jid))
        break;
    if (!x) {
        if (!(x = calloc(1, sizeof *x)))
            return;
        x->owner = s;
        x->jid = jid;
        DL_APPEND(s->list, x);
    }
    x->listed = true;
}

static void drop(struct services *s, struct service *x)
{
    iq_forget(s->client->iq, x->question);
    s->asking -= x->question != 0;
    DL_DELETE(s->list, x); /* NOLINT(clang-analyzer-core.NullDereference): it is in the list */
    free(x);
}

struct services *services_create(struct client *c)
{
    struct services *s = calloc(1, sizeof *s);
    size_t len;
    const char *domain = c->component ? jid_parent_domain(&c->self, &len) : jid_domain(&c->self, &len);

    if (!s || !jid_parse(&s->server, domain, len, NULL)) {
        free(s);
        return NULL;
    }
    s->client = c;
    return s;
}

void services_destroy(struct services **s)
{
    struct services *old = *s;

    if (!old)
        return;
    iq_forget(old->client->iq, old->items_question);
    while (old->list)
        drop(old, old->list);
    free(old);
    *s = NULL;
}

/* ---- telling */

static bool is_server(const struct service *x)
{
    return jid_equal(&x->jid, &x->owner->server);
}

static void tell(const struct service *x, xmpp_stanza_t *info)
{
    struct services_watcher *w;

    LL_FOREACH(x->owner->watchers, w)
    if (w->server || !is_server(x))
        w->told(w->user, &x->jid, info);
}

bool services_busy(const struct services *s)
{
    return s->items_question != 0 || s->asking > 0;
}

static void ask_next(struct services *s);

/* After every answer. */
static void advance(struct services *s)
{
    struct services_watcher *w;

    ask_next(s);
    LL_FOREACH(s->watchers, w)
    if (!services_busy(s))
        w->settled(w->user);
}

/* ---- what each of them is */

static void on_info(void *user, const struct iq_reply *reply)
{
    struct service *x = user;
    struct services *s = x->owner;
    int64_t soon = after(FAILED_MS);

    x->question = 0;
    s->asking--;
    if (reply->outcome == IQ_DISCONNECTED)
        return; /* which says nothing about the asked */
    x->failed = reply->outcome != IQ_RESULT;
    x->due = x->failed || s->items_due < soon ? soon : s->items_due; /* with the next round, but not at once */
    tell(x, x->failed ? NULL : stanza_child(reply->stanza, "query", NS_DISCO_INFO));
    advance(s);
}

/* What cannot be sent now is due as before, and asked when somebody looks again. */
static void ask_next(struct services *s)
{
    struct client *c = s->client;
    struct service *x;

    DL_FOREACH(s->list, x)
    {
        if (s->items_question != 0 || s->asking == PARALLEL)
            return;
        if (x->question != 0 || x->due > clock_ms() || (is_server(x) && !s->ask_server))
            continue;
        x->question = iq_ask_query(c->iq, NS_DISCO_INFO, &x->jid, c->settings->iq_timeout_ms, on_info, x, NULL);
        s->asking += x->question != 0;
    }
}

/* ---- the items */

static void list_items(struct services *s, xmpp_stanza_t *query)
{
    xmpp_stanza_t *item = stanza_child(query, "item", NULL);
    struct service *x;

    DL_FOREACH(s->list, x)
    x->listed = false;
    for (size_t taken = 0; item && taken < ITEMS_MAX; item = stanza_next(item, "item", NULL), taken++)
        list(s, stanza_attr(item, "jid"));
}

static void forget_unlisted(struct services *s)
{
    struct service *x, *next;

    DL_FOREACH_SAFE(s->list, x, next)
    if (!x->listed) {
        tell(x, NULL);
        drop(s, x);
    }
}

static void on_items(void *user, const struct iq_reply *reply)
{
    struct services *s = user;
    struct error err;

    s->items_question = 0;
    if (reply->outcome == IQ_DISCONNECTED)
        return;
    s->items_failed = reply->outcome != IQ_RESULT;
    s->items_due = after(s->items_failed ? FAILED_MS : FRESH_MS);
    if (s->items_failed) {
        iq_error(reply, "our server", &err);
        log_warn("services.no_items", log_str("why", err.text));
    } else {
        list_items(s, stanza_child(reply->stanza, "query", NS_DISCO_ITEMS));
    }
    list(s, s->server.text);
    forget_unlisted(s);
    advance(s);
}

static void ask_items(struct services *s)
{
    struct client *c = s->client;

    s->items_question = iq_ask_query(c->iq, NS_DISCO_ITEMS, &s->server, c->settings->iq_timeout_ms, on_items, s, NULL);
}

/* ---- for those who look for one */

void services_watch(struct services *s, struct services_watcher *w)
{
    LL_PREPEND(s->watchers, w);
}

bool services_find(struct services *s, const struct services_watcher *w)
{
    s->ask_server |= w->server;
    if (s->items_question == 0 && s->items_due <= clock_ms())
        ask_items(s);
    ask_next(s);
    return services_busy(s);
}

void services_doubt(struct services *s, bool all)
{
    struct service *x;

    if (all || s->items_failed)
        s->items_due = 0;
    DL_FOREACH(s->list, x)
    if (all || x->failed)
        x->due = 0;
}
