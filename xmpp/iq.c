#include "xmpp/iq.h"

#include <assert.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/id.h"
#include "base/log.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

enum { ID_BYTES = 16, SERVERS_MAX = 32 };

/* A question on its way. The ticket is the first half of the id, so one tree finds an entry by either. */
struct question {
    uint64_t ticket; /* first: the key of the tree */
    char id[2 * ID_BYTES + 1];
    LIST_ENTRY(question) all;
    struct iq_table *table;
    struct jid *to; /* NULL: our server */
    bool home;      /* our own server or account is asked */
    uv_timer_t deadline;
    iq_done_fn *done;
    void *user;
};
LIST_HEAD(questions, question);

struct server {
    const char *type, *ns;
    iq_serve_fn *serve;
    void *user;
};

struct iq_table {
    xmpp_ctx_t *ctx;
    uv_loop_t *loop;
    iq_send_fn *send;
    void *user;
    struct jid self; /* empty until bound */
    bool component;
    struct questions all;
    void *tree; /* of struct question, for tsearch(3) */
    struct server servers[SERVERS_MAX];
    size_t server_count;
    struct iq_stats stats;
};

struct iq_table *iq_create(xmpp_ctx_t *ctx, uv_loop_t *loop, iq_send_fn *send, void *user)
{
    struct iq_table *table = calloc(1, sizeof(*table));

    if (!table)
        return NULL;
    table->ctx = ctx;
    table->loop = loop;
    table->send = send;
    table->user = user;
    LIST_INIT(&table->all);
    return table;
}

/* ---- questions */

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static struct question *find(struct iq_table *table, uint64_t ticket)
{
    void *node = tfind(&ticket, &table->tree, compare);

    return node ? *(struct question **)node : NULL;
}

static void free_question(uv_handle_t *deadline)
{
    struct question *q = deadline->data;

    free(q->to);
    free(q);
}

/* Takes it out of the table; the memory goes when the loop has let go of the timer. */
static void drop(struct question *q)
{
    tdelete(q, &q->table->tree, compare);
    LIST_REMOVE(q, all);
    q->table->stats.pending--;
    uv_close((uv_handle_t *)&q->deadline, free_question);
}

static void finish(struct question *q, const struct iq_reply *reply)
{
    drop(q);
    q->done(q->user, reply);
}

void iq_destroy(struct iq_table **table)
{
    struct iq_table *t = *table;

    if (!t)
        return;
    while (!LIST_EMPTY(&t->all))
        drop(LIST_FIRST(&t->all));
    free(t);
    *table = NULL;
}

void iq_set_self(struct iq_table *table, const struct jid *bound)
{
    jid_copy(&table->self, bound);
}

void iq_be_component(struct iq_table *table)
{
    table->component = true;
}

static bool is_domain_of(const struct jid *j, const struct jid *of)
{
    size_t len, of_len;
    const char *domain = jid_domain(j, &len), *of_domain = jid_domain(of, &of_len);

    return !j->full && j->local == 0 && len == of_len && memcmp(domain, of_domain, len) == 0;
}

/* Whether j is our account (bare) or its server: those two answer for each other, RFC 6120 section 8.1.2.1. */
static bool is_home(const struct iq_table *table, const struct jid *j)
{
    if (table->self.bare == 0)
        return false;
    return is_domain_of(j, &table->self) || (!j->full && jid_same_bare(j, &table->self));
}

static void on_deadline(uv_timer_t *timer)
{
    struct question *q = timer->data;

    q->table->stats.timed_out++;
    finish(q, &(struct iq_reply){.outcome = IQ_TIMEOUT});
}

/* A ticket is the first half of an id; what is not hexadecimal is none of ours. */
static uint64_t ticket_of(const char *id)
{
    char half[17] = "";

    memcpy(half, id, strnlen(id, sizeof half - 1));
    return strtoull(half, NULL, 16);
}

static void make_id(struct iq_table *table, struct question *q)
{
    do {
        id_random_hex(q->id, ID_BYTES);
        q->ticket = ticket_of(q->id);
    } while (q->ticket == 0 || find(table, q->ticket));
}

static bool address_and_send(struct question *q, xmpp_stanza_t *iq, const struct jid *to)
{
    if (xmpp_stanza_set_id(iq, q->id) != XMPP_EOK)
        return false;
    if (to && xmpp_stanza_set_to(iq, to->text) != XMPP_EOK)
        return false;
    return q->table->send(q->table->user, iq);
}

uint64_t iq_ask(struct iq_table *table, xmpp_stanza_t *iq, const struct jid *to, int64_t timeout_ms, iq_done_fn *done,
                void *user, struct error *err)
{
    struct question *q = iq ? calloc(1, sizeof(*q)) : NULL;

    if (q && to)
        q->to = jid_dup(to);
    if (!q || (to && !q->to)) {
        free(q);
        error_set(err, ERR_INTERNAL, "a question to %s could not be built", to ? to->text : "our server");
        return 0;
    }
    q->table = table;
    q->home = !to || is_home(table, to);
    q->done = done;
    q->user = user;
    make_id(table, q);
    if (!address_and_send(q, iq, to) || !tsearch(q, &table->tree, compare)) {
        free(q->to);
        free(q);
        error_set(err, ERR_XMPP_DISCONNECTED, "not connected to the XMPP server, or too much waits to be sent to it");
        return 0;
    }
    LIST_INSERT_HEAD(&table->all, q, all);
    uv_timer_init(table->loop, &q->deadline);
    q->deadline.data = q;
    uv_timer_start(&q->deadline, on_deadline, (uint64_t)timeout_ms, 0);
    table->stats.pending++;
    table->stats.asked++;
    return q->ticket;
}

uint64_t iq_ask_as(struct iq_table *table, xmpp_stanza_t *iq, const struct jid *from, const struct jid *to,
                   int64_t timeout_ms, iq_done_fn *done, void *user, struct error *err)
{
    if (table->component && iq && xmpp_stanza_set_from(iq, from->text) != XMPP_EOK) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return 0;
    }
    return iq_ask(table, iq, to, timeout_ms, done, user, err);
}

uint64_t iq_ask_query(struct iq_table *table, const char *ns, const struct jid *to, int64_t timeout_ms,
                      iq_done_fn *done, void *user, struct error *err)
{
    xmpp_stanza_t *iq = stanza_iq(table->ctx, "get", stanza_new(table->ctx, "query", ns));
    uint64_t ticket = iq_ask(table, iq, to, timeout_ms, done, user, err);

    if (iq)
        xmpp_stanza_release(iq);
    return ticket;
}

void iq_forget(struct iq_table *table, uint64_t ticket)
{
    struct question *q = find(table, ticket);

    if (q)
        drop(q);
}

void iq_disconnected(struct iq_table *table)
{
    /* Those asked from inside the answers are not part of this: they belong to the next session. */
    struct questions gone = table->all;

    LIST_INIT(&table->all);
    if (!LIST_EMPTY(&gone))
        LIST_FIRST(&gone)->all.le_prev = &gone.lh_first;
    while (!LIST_EMPTY(&gone))
        finish(LIST_FIRST(&gone), &(struct iq_reply){.outcome = IQ_DISCONNECTED});
}

/* ---- replies */

static bool from_whom_we_asked(const struct question *q, xmpp_stanza_t *iq)
{
    struct jid from;

    if (!xmpp_stanza_get_from(iq))
        return q->home && !q->table->component;
    if (!stanza_from(iq, &from))
        return false;
    return q->home && !q->table->component ? is_home(q->table, &from) : jid_equal(&from, q->to);
}

static void copy_word(char *out, size_t max, const char *word)
{
    if (word && strlen(word) < max)
        memcpy(out, word, strlen(word) + 1);
}

static void read_error(xmpp_stanza_t *iq, struct iq_reply *reply)
{
    xmpp_stanza_t *error = stanza_child(iq, "error", NULL), *child;

    reply->outcome = IQ_ERROR;
    copy_word(reply->type, sizeof(reply->type), stanza_attr(error, "type"));
    for (child = stanza_child(error, NULL, NS_STANZAS); child; child = stanza_next(child, NULL, NS_STANZAS)) {
        const char *name = xmpp_stanza_get_name(child);

        if (strcmp(name, "text") == 0)
            stanza_text(child, reply->text, sizeof(reply->text));
        else if (!reply->condition[0])
            copy_word(reply->condition, sizeof(reply->condition), name);
    }
}

static void take_reply(struct iq_table *table, xmpp_stanza_t *iq, bool is_error)
{
    const char *id = stanza_attr(iq, "id");
    struct iq_reply reply = {.outcome = IQ_RESULT, .stanza = iq};
    struct question *q = id ? find(table, ticket_of(id)) : NULL;

    if (!q || strcmp(q->id, id) != 0 || !from_whom_we_asked(q, iq)) {
        table->stats.mismatched++;
        log_debug("xmpp.reply_dropped", log_str("from", stanza_attr(iq, "from")), log_str("id", id));
        return;
    }
    if (is_error)
        read_error(iq, &reply);
    finish(q, &reply);
}

/* ---- other people's questions */

void iq_serve(struct iq_table *table, const char *type, const char *ns, iq_serve_fn *serve, void *user)
{
    assert(table->server_count < SERVERS_MAX);
    table->servers[table->server_count++] = (struct server){type, ns, serve, user};
}

static bool serve(struct iq_table *table, xmpp_stanza_t *iq, const char *type, const struct jid *from,
                  xmpp_stanza_t *payload)
{
    const char *ns = xmpp_stanza_get_ns(payload);

    for (size_t i = table->server_count; ns && i-- > 0;) {
        const struct server *s = &table->servers[i];

        if (strcmp(s->type, type) == 0 && strcmp(s->ns, ns) == 0 && s->serve(s->user, iq, from, payload))
            return true;
    }
    return false;
}

static void take_request(struct iq_table *table, xmpp_stanza_t *iq, const char *type)
{
    xmpp_stanza_t *payload = stanza_child(iq, NULL, NULL);
    struct jid from;

    if (!xmpp_stanza_get_from(iq) && table->component) { /* a server must say it, XEP-0114 section 3 */
        table->stats.mismatched++;
        return;
    }
    if (!xmpp_stanza_get_from(iq)) { /* from our own account, RFC 6120 section 8.1.2.1 */
        char bare[JID_MAX + 1];

        jid_bare(&table->self, bare);
        if (!jid_parse(&from, bare, strlen(bare), NULL))
            return;
    } else if (!stanza_from(iq, &from)) {
        return; /* nobody an answer could be sent to */
    }
    if (!payload)
        iq_reply_error(table, iq, "modify", "bad-request");
    else if (!serve(table, iq, type, &from, payload))
        iq_reply_error(table, iq, "cancel", "service-unavailable");
}

static bool is_request(const char *type)
{
    return type && (strcmp(type, "get") == 0 || strcmp(type, "set") == 0);
}

void iq_turn_away(struct iq_table *table, xmpp_stanza_t *stanza)
{
    if (strcmp(xmpp_stanza_get_name(stanza), "iq") == 0 && is_request(stanza_attr(stanza, "type")))
        iq_reply_error(table, stanza, "cancel", "service-unavailable");
}

void iq_incoming(struct iq_table *table, xmpp_stanza_t *iq)
{
    const char *type = stanza_attr(iq, "type");

    if (!type)
        return;
    if (is_request(type))
        take_request(table, iq, type);
    else if (strcmp(type, "result") == 0 || strcmp(type, "error") == 0)
        take_reply(table, iq, strcmp(type, "error") == 0);
}

static void send_reply(struct iq_table *table, xmpp_stanza_t *iq, xmpp_stanza_t *reply)
{
    const char *id = stanza_attr(iq, "id");

    reply = stanza_set(stanza_set(reply, "to", stanza_attr(iq, "from")), "id", id);
    if (table->component)
        reply = stanza_set(reply, "from", stanza_attr(iq, "to"));
    if (!reply)
        return;
    if (id)
        table->send(table->user, reply); /* refused: the asker's deadline tells him */
    xmpp_stanza_release(reply);
}

void iq_reply_result(struct iq_table *table, xmpp_stanza_t *iq, xmpp_stanza_t *payload)
{
    xmpp_stanza_t *reply = stanza_set(stanza_new(table->ctx, "iq", NULL), "type", "result");

    if (payload)
        reply = stanza_add(reply, xmpp_stanza_clone(payload));
    send_reply(table, iq, reply);
}

static xmpp_stanza_t *build_error(struct iq_table *table, const char *type, const char *condition)
{
    xmpp_stanza_t *error = stanza_set(stanza_new(table->ctx, "error", NULL), "type", type);

    return stanza_add(error, stanza_new(table->ctx, condition, NS_STANZAS));
}

void iq_reply_error(struct iq_table *table, xmpp_stanza_t *iq, const char *type, const char *condition)
{
    send_reply(table, iq, stanza_iq(table->ctx, "error", build_error(table, type, condition)));
}

void iq_reply_error_text(struct iq_table *table, xmpp_stanza_t *iq, const char *type, const char *condition,
                         const char *text)
{
    xmpp_stanza_t *words = stanza_add_text(table->ctx, stanza_new(table->ctx, "text", NS_STANZAS), text);

    send_reply(table, iq, stanza_iq(table->ctx, "error", stanza_add(build_error(table, type, condition), words)));
}

void iq_reply_error_with(struct iq_table *table, xmpp_stanza_t *iq, const char *type, const char *condition,
                         const char *special, const char *ns)
{
    xmpp_stanza_t *error = stanza_add(build_error(table, type, condition), stanza_new(table->ctx, special, ns));

    send_reply(table, iq, stanza_iq(table->ctx, "error", error));
}

void iq_refuse(struct iq_table *table, xmpp_stanza_t *iq, const struct iq_refusal *refusal)
{
    xmpp_stanza_t *error = build_error(table, refusal->type, refusal->condition);
    char code[12];

    if (refusal->code > 0) {
        snprintf(code, sizeof code, "%u", refusal->code);
        error = stanza_set(error, "code", code);
    }
    if (refusal->text)
        error =
            stanza_add(error, stanza_add_text(table->ctx, stanza_new(table->ctx, "text", NS_STANZAS), refusal->text));
    if (refusal->special)
        error = stanza_add(error, stanza_new(table->ctx, refusal->special, refusal->ns));
    send_reply(table, iq, stanza_iq(table->ctx, "error", error));
}

/* ---- what an error means */

static const struct meaning {
    const char *condition;
    enum error_code code;
    const char *says;
} meanings[] = {
    {"service-unavailable", ERR_RECIPIENT_OFFLINE, "is not there, or hides from us"},
    {"recipient-unavailable", ERR_RECIPIENT_OFFLINE, "is not available now"},
    {"item-not-found", ERR_RECIPIENT_OFFLINE, "is not known there"},
    {"remote-server-not-found", ERR_REMOTE_SERVER_UNREACHABLE, "is on a server that ours cannot reach"},
    {"remote-server-timeout", ERR_REMOTE_SERVER_TIMEOUT, "is on a server that does not answer ours"},
    {"feature-not-implemented", ERR_METHOD_UNSUPPORTED, "does not support this"},
    {"subscription-required", ERR_RECIPIENT_FORBIDS, "takes nothing from who is no contact"},
    {"registration-required", ERR_RECIPIENT_FORBIDS, "takes nothing from who is not registered"},
    {"policy-violation", ERR_PEER_RATE_LIMITED, "is over a limit that a server on the way sets"},
};

bool iq_error(const struct iq_reply *reply, const char *who, struct error *err)
{
    assert(reply->outcome != IQ_RESULT);
    if (reply->outcome == IQ_TIMEOUT)
        return error_set(err, ERR_RECIPIENT_TIMEOUT, "%s did not answer in time", who);
    if (reply->outcome == IQ_DISCONNECTED)
        return error_set(err, ERR_XMPP_DISCONNECTED, "the XMPP connection ended before %s answered", who);
    for (size_t i = 0; i < sizeof(meanings) / sizeof(*meanings); i++)
        if (strcmp(reply->condition, meanings[i].condition) == 0)
            return error_set(err, meanings[i].code, "%s %s (%s)", who, meanings[i].says, reply->condition);
    return error_set(err, ERR_PEER_ERROR, "%s answered %s%s%s", who,
                     reply->condition[0] ? reply->condition : "with an error", reply->text[0] ? ": " : "", reply->text);
}

void iq_stats(const struct iq_table *table, struct iq_stats *out)
{
    *out = table->stats;
}
