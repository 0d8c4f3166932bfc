/* gateway/core_webhooks.c - what core tells its webhooks, and what the front door asks of them. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/core.h"
#include "gateway/webhooks.h"

/* Told of with their rows, by core_put_row(); a file in the inbox by receiving_check.c. */
#define ENDS                                                                                                           \
    (EVENT_BIT(EVENT_DELIVERED) | EVENT_BIT(EVENT_LINK_SENT) | EVENT_BIT(EVENT_LINK_FETCHED) |                         \
     EVENT_BIT(EVENT_FAILED) | EVENT_BIT(EVENT_CANCELLED) | EVENT_BIT(EVENT_EXPIRED) |                                 \
     EVENT_BIT(EVENT_INBOX_RECEIVED))

/* ---- rows, and the deliveries with them */

struct told {
    struct message message;
    struct gateway *gw;
    store_done_fn *done; /* of the row; may be NULL */
    void *user;
};

static void handle_told(void *owner, struct message *m)
{
    struct gateway *gw = owner;

    gw->pending--;
    webhooks_made(gw->webhooks);
    free(m);
}

/* Writer's thread. */
static void on_told(void *user, const struct error *err)
{
    struct told *t = user;

    if (t->done)
        t->done(t->user, err);
    mailbox_post(t->gw->mailbox, &t->message); /* open: gateway_stop() waits for all that is pending */
}

/* The deliveries that tell of this row. */
static bool make(struct gateway *gw, const struct record *row, struct delivery **list)
{
    struct snapshot *s = snapshot_take(record_copy(row));
    struct event e = {.type = event_of(row), .at = clock_wall_ms(), .transfer = s};
    bool ok = s && webhooks_make(gw->webhooks, &e, list);

    snapshot_release(&s);
    return ok;
}

void core_put_row(struct gateway *gw, struct record *row, const struct record_key *key, store_done_fn *done, void *user)
{
    struct delivery *list = NULL;
    struct told *t;
    struct error err;

    if (!webhooks_want(gw->webhooks, EVENT_BIT(event_of(row)) & ENDS, row)) {
        store_put_keyed(gw->store, row, key, done, user);
        return;
    }
    t = calloc(1, sizeof *t);
    if (!t || !make(gw, row, &list)) {
        free(t);
        error_set(&err, ERR_STORE_UNAVAILABLE, "store: out of memory");
        if (done)
            done(user, &err);
        record_free(&row);
        return;
    }
    *t = (struct told){.message.handle = handle_told, .gw = gw, .done = done, .user = user};
    gw->pending++;
    store_put_told(gw->store, row, key, list, on_told, t);
}

/* ---- everything else that happens */

static void on_event(void *user, const struct event *e)
{
    struct gateway *gw = user;

    if (!(EVENT_BIT(e->type) & ENDS))
        webhooks_tell(gw->webhooks, e);
}

static void on_disabled(void *user, const char *name, const char *why)
{
    struct gateway *gw = user;

    events_publish(gw->events,
                   &(struct event){.type = EVENT_WEBHOOK_DISABLED, .subject = (char *)name, .detail = (char *)why});
}

void gateway_render_events(struct gateway *gw, char *(*render)(const struct event *e))
{
    gw->render = render;
}

bool core_start_webhooks(struct gateway *gw, struct error *err)
{
    const struct webhooks_env env = {.loop = &gw->loop,
                                     .mailbox = gw->mailbox,
                                     .store = gw->store,
                                     .pending = &gw->pending,
                                     .render = gw->render,
                                     .disabled = on_disabled,
                                     .user = gw};

    gw->webhooks = webhooks_create(&env, &gw->config->webhooks, err);
    if (gw->webhooks)
        events_listen(gw->events, on_event, gw);
    return gw->webhooks != NULL;
}

/* ---- another configuration */

struct new_hooks {
    struct message message;
    struct webhook_list list;
};

static void drop_hooks(struct message *m)
{
    webhook_list_free(&((struct new_hooks *)m)->list);
    free(m);
}

static void handle_hooks(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct error err;

    if (!webhooks_replace(gw->webhooks, &((struct new_hooks *)m)->list, &err))
        log_error("config.not_applied", log_str("keys", "webhook"), log_str("why", err.text));
    drop_hooks(m);
}

void gateway_take_webhooks(struct gateway *gw, const struct webhook_list *list)
{
    struct new_hooks *n = calloc(1, sizeof *n);

    if (!n || !webhook_list_copy(&n->list, list)) {
        log_error("config.not_applied", log_str("keys", "webhook"), log_str("why", "out of memory"));
        free(n);
        return;
    }
    n->message.handle = handle_hooks;
    n->message.discard = drop_hooks;
    if (!mailbox_post(gw->mailbox, &n->message))
        drop_hooks(&n->message);
}

/* ---- the front door: asked on any thread; core looks at its webhooks, the pool at the store */

enum ask { ASK_HOOKS, ASK_TEST, ASK_DELIVERIES, ASK_AGAIN };

struct question {
    struct message message;
    uv_work_t work;
    struct gateway *gw;
    enum ask ask;
    char name[WEBHOOK_NAME], id[ID_SIZE], before[ID_SIZE];
    struct delivery_filter filter;
    struct gateway_hooks hooks;
    struct delivery_list list;
    struct error error;
    union {
        gateway_hooks_fn *hooks;
        gateway_hook_test_fn *test;
        gateway_deliveries_fn *deliveries;
    } done;
    void *user;
};

static void answer(struct question *q)
{
    const struct error *err = q->error.code == ERR_NONE ? NULL : &q->error;

    if (q->ask == ASK_HOOKS)
        q->done.hooks(q->user, &q->hooks, err);
    else if (q->ask == ASK_TEST)
        q->done.test(q->user, NULL, err);
    else
        q->done.deliveries(q->user, &q->list, err);
    gateway_hooks_free(&q->hooks);
    delivery_free_all(&q->list.first);
    free(q);
}

static void look_up(uv_work_t *work)
{
    struct question *q = work->data;
    bool ok = true;

    if (q->ask == ASK_HOOKS) {
        for (size_t i = 0; ok && i < q->hooks.count; i++)
            ok = store_backlog(q->gw->store, q->hooks.items[i].name, &q->hooks.items[i].backlog, &q->error);
    } else {
        ok = store_deliveries(q->gw->store, &q->filter, &q->list, &q->error);
        if (ok && q->ask == ASK_AGAIN && q->list.count == 0)
            error_set(&q->error, ERR_NOT_FOUND, "the webhook %s has no delivery %s", q->name, q->id);
    }
}

static void looked_up(uv_work_t *work, int status)
{
    struct question *q = work->data;
    struct delivery *d = q->list.first;

    (void)status;
    q->gw->pending--;
    if (q->ask != ASK_AGAIN || q->error.code != ERR_NONE) {
        answer(q);
        return;
    }
    q->list.first = NULL;
    webhooks_again(q->gw->webhooks, d, q->done.deliveries, q->user);
    free(q);
}

static void handle_question(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct question *q = (struct question *)m;

    if (q->ask == ASK_TEST) {
        webhooks_test(gw->webhooks, q->name, q->done.test, q->user);
        free(q);
        return;
    }
    if (q->ask == ASK_HOOKS ? !webhooks_view(gw->webhooks, &q->hooks)
                            : !webhooks_has(gw->webhooks, q->name, &q->error)) {
        if (q->error.code == ERR_NONE)
            error_set(&q->error, ERR_INTERNAL, "out of memory");
        answer(q);
        return;
    }
    q->work.data = q;
    gw->pending++;
    uv_queue_work(&gw->loop, &q->work, look_up, looked_up);
}

static void refuse(struct message *m)
{
    struct question *q = (struct question *)m;

    error_set(&q->error, ERR_DRAINING, "the gateway is stopping");
    answer(q);
}

/* NULL, *err set: out of memory. */
static struct question *question(struct gateway *gw, enum ask what, const char *name, void *user, struct error *err)
{
    struct question *q = calloc(1, sizeof *q);

    if (!q) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    q->message.handle = handle_question;
    q->message.discard = refuse;
    q->gw = gw;
    q->ask = what;
    q->user = user;
    snprintf(q->name, sizeof q->name, "%s", name);
    return q;
}

static void post(struct question *q)
{
    if (!mailbox_post(q->gw->mailbox, &q->message))
        refuse(&q->message);
}

void gateway_hooks(struct gateway *gw, gateway_hooks_fn *done, void *user)
{
    struct gateway_hooks none = {0};
    struct error err;
    struct question *q = question(gw, ASK_HOOKS, "", user, &err);

    if (!q) {
        done(user, &none, &err);
        return;
    }
    q->done.hooks = done;
    post(q);
}

void gateway_hook_test(struct gateway *gw, const char *name, gateway_hook_test_fn *done, void *user)
{
    struct error err;
    struct question *q = question(gw, ASK_TEST, name, user, &err);

    if (!q) {
        done(user, NULL, &err);
        return;
    }
    q->done.test = done;
    post(q);
}

void gateway_deliveries(struct gateway *gw, const struct delivery_filter *filter, gateway_deliveries_fn *done,
                        void *user)
{
    struct delivery_list none = {0};
    struct error err;
    struct question *q = question(gw, ASK_DELIVERIES, filter->endpoint, user, &err);

    if (!q) {
        done(user, &none, &err);
        return;
    }
    q->done.deliveries = done;
    q->filter = *filter;
    q->filter.id = NULL;
    q->filter.endpoint = q->name;
    snprintf(q->before, sizeof q->before, "%s", filter->before ? filter->before : "");
    q->filter.before = filter->before ? q->before : NULL;
    post(q);
}

void gateway_redeliver(struct gateway *gw, const char *name, const char *id, gateway_deliveries_fn *done, void *user)
{
    struct delivery_list none = {0};
    struct error err;
    struct question *q = question(gw, ASK_AGAIN, name, user, &err);

    if (!q) {
        done(user, &none, &err);
        return;
    }
    q->done.deliveries = done;
    snprintf(q->id, sizeof q->id, "%s", id);
    q->filter = (struct delivery_filter){.id = q->id, .endpoint = q->name, .limit = 1};
    post(q);
}
