#include "xmpp/disco.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "xmpp/caps.h"
#include "xmpp/contacts.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

enum { KEPT_MAX = 2000, FEATURES_MAX = 512, KEEP_MS = 10 * 60 * 1000 };

/* What is known under one key: "jid <full JID>" or "caps <hash> <ver>". */
struct kept {
    char *key; /* first: the key of the tree */
    char **features;
    int64_t expires; /* INT64_MAX: a verified hash stays true */
    TAILQ_ENTRY(kept) used;
};

struct asker {
    uint64_t ticket;
    disco_done_fn *done;
    void *user;
    LIST_ENTRY(asker) next;
};

/* A question on its way. */
struct question {
    struct disco *disco;
    struct jid who;
    char *node, *ver, *hash; /* the caps it is to prove; NULL: none */
    uint64_t iq;
    LIST_HEAD(, asker) askers;
    LIST_ENTRY(question) next;
};

struct disco {
    struct client *client;
    void *tree;                       /* of struct kept, for tsearch(3) */
    TAILQ_HEAD(kept_list, kept) kept; /* most recently used first */
    size_t count;
    LIST_HEAD(, question) questions;
    uint64_t last_ticket;
};

struct disco *disco_create(struct client *c)
{
    struct disco *d = calloc(1, sizeof(*d));

    if (!d)
        return NULL;
    d->client = c;
    TAILQ_INIT(&d->kept);
    LIST_INIT(&d->questions);
    return d;
}

/* ---- what is kept */

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct kept *)a)->key, ((const struct kept *)b)->key);
}

static void free_features(char **features)
{
    for (char **f = features; f && *f; f++)
        free(*f);
    free(features);
}

static void drop_kept(struct disco *d, struct kept *e)
{
    tdelete(e, &d->tree, compare);
    TAILQ_REMOVE(&d->kept, e, used);
    d->count--;
    free_features(e->features);
    free(e->key);
    free(e);
}

static struct kept *find(struct disco *d, char *key)
{
    void *node = key ? tfind(&(struct kept){.key = key}, &d->tree, compare) : NULL;
    struct kept *e = node ? *(struct kept **)node : NULL;

    free(key);
    if (!e)
        return NULL;
    if (clock_ms() >= e->expires) {
        drop_kept(d, e);
        return NULL;
    }
    TAILQ_REMOVE(&d->kept, e, used);
    TAILQ_INSERT_HEAD(&d->kept, e, used);
    return e;
}

static char *jid_key(const struct jid *who)
{
    char *key;

    return asprintf(&key, "jid %s", who->text) < 0 ? NULL : key;
}

static char *caps_key(const char *hash, const char *ver)
{
    char *key;

    return hash && asprintf(&key, "caps %s %s", hash, ver) >= 0 ? key : NULL;
}

/* Takes key and features; when memory is out they are not kept. */
static void keep(struct disco *d, char *key, char **features, int64_t expires)
{
    struct kept *e = key ? calloc(1, sizeof(*e)) : NULL, *old;

    if (!e) {
        free(key);
        free_features(features);
        return;
    }
    old = find(d, strdup(key));
    if (old)
        drop_kept(d, old);
    *e = (struct kept){.key = key, .features = features, .expires = expires};
    TAILQ_INSERT_HEAD(&d->kept, e, used);
    d->count++;
    if (!tsearch(e, &d->tree, compare))
        drop_kept(d, e);
    else if (d->count > KEPT_MAX)
        drop_kept(d, TAILQ_LAST(&d->kept, kept_list));
}

const char *const *disco_known(struct disco *d, const struct jid *who)
{
    const struct resource *r = contacts_resource(d->client->contacts, who);
    struct kept *e = r ? find(d, caps_key(r->caps_hash, r->caps_ver)) : NULL;

    if (!e)
        e = find(d, jid_key(who));
    return e ? (const char *const *)e->features : NULL;
}

void disco_drop(struct disco *d, const struct jid *who)
{
    struct kept *e = find(d, jid_key(who));

    if (e)
        drop_kept(d, e);
}

void disco_offline(struct disco *d)
{
    struct kept *e = TAILQ_FIRST(&d->kept), *next;

    for (; e; e = next) {
        next = TAILQ_NEXT(e, used);
        if (e->expires != INT64_MAX)
            drop_kept(d, e);
    }
}

/* ---- asking */

static void free_question(struct question *q)
{
    LIST_REMOVE(q, next);
    while (!LIST_EMPTY(&q->askers)) {
        struct asker *a = LIST_FIRST(&q->askers);

        LIST_REMOVE(a, next);
        free(a);
    }
    free(q->node);
    free(q->ver);
    free(q->hash);
    free(q);
}

void disco_destroy(struct disco **disco)
{
    struct disco *d = *disco;

    if (!d)
        return;
    while (!LIST_EMPTY(&d->questions)) {
        struct question *q = LIST_FIRST(&d->questions);

        iq_forget(d->client->iq, q->iq);
        free_question(q);
    }
    while (!TAILQ_EMPTY(&d->kept))
        drop_kept(d, TAILQ_FIRST(&d->kept));
    free(d);
    *disco = NULL;
}

static char **read_features(xmpp_stanza_t *query)
{
    char **features = calloc(FEATURES_MAX + 1, sizeof(*features));
    size_t count = 0;

    if (!features)
        return NULL;
    for (xmpp_stanza_t *f = stanza_child(query, "feature", NULL); f && count < FEATURES_MAX;
         f = stanza_next(f, "feature", NULL)) {
        const char *var = stanza_attr(f, "var");

        features[count] = var ? strdup(var) : NULL;
        count += features[count] != NULL;
    }
    return features;
}

static void answer(struct question *q, const char *const *features, const struct error *err)
{
    /* One at a time, because an answer may forget another asker. */
    while (!LIST_EMPTY(&q->askers)) {
        struct asker *a = LIST_FIRST(&q->askers),
                     asker = *a; /* NOLINT(clang-analyzer-unix.Malloc): LIST_REMOVE took it */

        LIST_REMOVE(a, next);
        free(a);
        asker.done(asker.user, features, err);
    }
}

static void take(struct question *q, xmpp_stanza_t *query)
{
    struct disco *d = q->disco;
    char ver[CAPS_VER];
    bool proven = q->hash && caps_hash(query, q->hash, ver) && strcmp(ver, q->ver) == 0;
    char **features = read_features(query);
    struct error err = {0};

    if (!features) {
        error_set(&err, ERR_INTERNAL, "out of memory");
        answer(q, NULL, &err);
        return;
    }
    answer(q, (const char *const *)features, NULL);
    if (proven)
        keep(d, caps_key(q->hash, q->ver), features, INT64_MAX);
    else
        keep(d, jid_key(&q->who), features, clock_ms() + KEEP_MS);
}

static void replied(void *user, const struct iq_reply *reply)
{
    struct question *q = user;
    xmpp_stanza_t *query = stanza_child(reply->stanza, "query", NS_DISCO_INFO);
    struct error err;

    q->iq = 0;
    if (reply->outcome == IQ_RESULT && query) {
        take(q, query);
    } else if (reply->outcome == IQ_RESULT) {
        error_set(&err, ERR_PEER_PROTOCOL_ERROR, "%s answered nothing to the question what it supports", q->who.text);
        answer(q, NULL, &err);
    } else {
        iq_error(reply, q->who.text, &err);
        answer(q, NULL, &err);
    }
    free_question(q);
}

static char *copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

/* Remembers which caps the answer is to prove, and returns the node to ask for; NULL: none. */
static char *note_caps(struct question *q)
{
    const struct resource *r = contacts_resource(q->disco->client->contacts, &q->who);
    char *node;

    if (!r || !r->caps_hash)
        return NULL;
    q->node = copy(r->caps_node);
    q->ver = copy(r->caps_ver);
    q->hash = copy(r->caps_hash);
    if (!q->node || !q->ver || !q->hash || asprintf(&node, "%s#%s", q->node, q->ver) < 0)
        return NULL;
    return node;
}

static struct question *ask(struct disco *d, const struct jid *from, const struct jid *who, struct error *err)
{
    struct client *c = d->client;
    struct question *q = calloc(1, sizeof(*q));
    xmpp_stanza_t *query, *iq;
    char *node;

    if (!q) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    q->disco = d;
    jid_copy(&q->who, who);
    LIST_INIT(&q->askers);
    LIST_INSERT_HEAD(&d->questions, q, next);
    node = note_caps(q);
    query = stanza_set(stanza_new(c->ctx, "query", NS_DISCO_INFO), "node", node);
    iq = stanza_iq(c->ctx, "get", query);
    q->iq = iq_ask_as(c->iq, iq, from, who, c->settings->iq_timeout_ms, replied, q, err);
    if (iq)
        xmpp_stanza_release(iq);
    free(node);
    if (q->iq == 0) {
        free_question(q);
        return NULL;
    }
    return q;
}

/* One whose answer is still to come. */
static struct question *find_question(struct disco *d, const struct jid *who)
{
    struct question *q = LIST_FIRST(&d->questions);

    while (q && !(q->iq != 0 && jid_equal(&q->who, who)))
        q = LIST_NEXT(q, next);
    return q;
}

uint64_t disco_ask(struct disco *d, const struct jid *from, const struct jid *who, disco_done_fn *done, void *user,
                   struct error *err)
{
    struct asker *a = calloc(1, sizeof(*a));
    struct question *q = find_question(d, who);

    if (!a) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return 0;
    }
    if (!q)
        q = ask(d, from, who, err);
    if (!q) {
        free(a);
        return 0;
    }
    *a = (struct asker){.ticket = ++d->last_ticket, .done = done, .user = user};
    LIST_INSERT_HEAD(&q->askers, a, next);
    return a->ticket;
}

void disco_forget(struct disco *d, uint64_t ticket)
{
    for (struct question *q = LIST_FIRST(&d->questions); q; q = LIST_NEXT(q, next))
        for (struct asker *a = LIST_FIRST(&q->askers); a; a = LIST_NEXT(a, next))
            if (a->ticket == ticket) {
                LIST_REMOVE(a, next);
                free(a);
                return;
            }
}
