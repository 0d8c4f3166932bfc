/* gateway/webhooks.c - endpoints come and go, what happens becomes deliveries, and what is due is asked of the store.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "gateway/webhooks_parts.h"

enum { COUNT_MS = 5000 };

static bool out_of_memory(struct error *err)
{
    return error_set(err, ERR_SYSTEM, "webhooks: out of memory");
}

/* ---- the life of a hook */

static void hook_free(struct hook *h)
{
    flights_end(h);
    flights_forget_landed(h);
    free(h);
}

static void free_hooks(struct hooks *hooks)
{
    struct hook *h;

    while ((h = TAILQ_FIRST(hooks))) {
        TAILQ_REMOVE(hooks, h, link);
        hook_free(h);
    }
}

static struct hook *hook_create(struct webhooks *w, const struct webhook *is, struct error *err)
{
    struct hook *h = calloc(1, sizeof *h);

    if (!h) {
        out_of_memory(err);
        return NULL;
    }
    h->all = w;
    h->is = is;
    memcpy(h->name, is->name, sizeof h->name);
    h->next_due = 1; /* an earlier run may have left something */
    h->poster = http_poster_create(w->env.loop, is->ca, is->allow_nets, err);
    if (!h->poster) {
        hook_free(h);
        return NULL;
    }
    return h;
}

static void part_with(struct hook *h)
{
    flights_end(h);
    h->gone = true;
    h->is = NULL;
    if (h->outstanding == 0)
        hook_free(h);
    else
        TAILQ_INSERT_TAIL(&h->all->gone, h, link);
}

bool hook_came_back(struct hook *h)
{
    --*h->all->env.pending;
    h->outstanding--;
    if (!h->gone || h->outstanding > 0)
        return !h->gone;
    TAILQ_REMOVE(&h->all->gone, h, link);
    hook_free(h);
    return false;
}

void hook_expect(struct hook *h)
{
    ++*h->all->env.pending;
    h->outstanding++;
}

void hook_rest(struct hook *h)
{
    h->rests_until = clock_ms() + WEBHOOK_PAUSE_MS;
    h->next_due = 1;
}

struct hook *hook_find(const struct webhooks *w, const char *name, struct error *err)
{
    struct hook *h;

    TAILQ_FOREACH(h, &w->hooks, link)
    {
        if (strcmp(h->name, name) == 0)
            return h;
    }
    error_set(err, ERR_NOT_FOUND, "there is no webhook '%.32s'; GET /v1/webhooks lists them", name);
    return NULL;
}

/* ---- what is due: from the store, in the pool */

struct search {
    uv_work_t work;
    struct hook *hook;
    char name[WEBHOOK_NAME];
    struct store *store;
    int64_t now;
    struct delivery_due due;
    struct error error;
    bool ok;
};

static void search_work(uv_work_t *work)
{
    struct search *s = work->data;

    /* Those on their way are among them, until their outcome is committed. */
    s->ok = store_due(s->store, s->name, s->now, 2 * WEBHOOK_PARALLEL, &s->due, &s->error);
}

static void take_found(struct hook *h, struct search *s)
{
    if (!s->ok) {
        log_warn("webhook.store_unreadable", log_str("webhook", h->name), log_str("error", s->error.text));
        hook_rest(h);
        return;
    }
    h->next_due = s->due.next;
    while (s->due.first) {
        struct delivery *d = s->due.first;

        s->due.first = d->next;
        if (flight_was_under_way(h, d->id) || h->off || h->all->stopped || h->flight_count >= WEBHOOK_PARALLEL)
            delivery_free(&d);
        else
            flight_launch(h, d);
    }
}

static void searched(uv_work_t *work, int status)
{
    struct search *s = work->data;
    struct hook *h = s->hook;

    (void)status;
    h->looking = false;
    if (hook_came_back(h)) {
        bool again = h->again || !LIST_EMPTY(&h->landed); /* which may have made room for others */

        h->again = false;
        take_found(h, s);
        flights_forget_landed(h);
        if (again)
            hook_look(h);
    }
    delivery_free_all(&s->due.first);
    free(s);
}

void hook_look(struct hook *h)
{
    struct search *s;

    h->all->moved = true;
    if (h->gone || h->off || h->all->stopped || h->flight_count >= WEBHOOK_PARALLEL)
        return; /* who comes back, or switches it on, looks */
    if (h->looking || clock_ms() < h->rests_until) {
        h->again = h->looking;
        h->next_due = 1;
        return;
    }
    s = calloc(1, sizeof *s);
    if (!s) {
        hook_rest(h);
        return;
    }
    *s = (struct search){.hook = h, .store = h->all->env.store, .now = clock_wall_ms(), .work.data = s};
    memcpy(s->name, h->name, sizeof s->name);
    h->looking = true;
    h->next_due = 0;
    hook_expect(h);
    uv_queue_work(h->all->env.loop, &s->work, search_work, searched);
}

/* ---- how much waits, for who watches it */

struct count {
    uv_work_t work;
    struct webhooks *w;
    struct store *store;
    uint64_t sum;
    bool ok;
    size_t names;
    char name[][WEBHOOK_NAME];
};

static void count_work(uv_work_t *work)
{
    struct count *c = work->data;
    struct error err;

    c->ok = true;
    for (size_t i = 0; c->ok && i < c->names; i++) {
        uint64_t n = 0;

        c->ok = store_backlog(c->store, c->name[i], &n, &err);
        c->sum += n;
    }
}

static void counted(uv_work_t *work, int status)
{
    struct count *c = work->data;

    (void)status;
    --*c->w->env.pending;
    if (c->ok)
        metric_set(METRIC_WEBHOOK_BACKLOG, (int64_t)c->sum);
    free(c);
}

/* Now and then, if anything was sent or made since. */
static void count(struct webhooks *w)
{
    struct count *c;
    struct hook *h;

    if (!w->moved || w->stopped || clock_ms() < w->count_at)
        return;
    c = calloc(1, sizeof *c + w->list.count * sizeof *c->name);
    if (!c)
        return;
    c->work.data = c;
    c->w = w;
    c->store = w->env.store;
    TAILQ_FOREACH(h, &w->hooks, link)
    memcpy(c->name[c->names++], h->name, WEBHOOK_NAME);
    w->moved = false;
    w->count_at = clock_ms() + COUNT_MS;
    ++*w->env.pending;
    uv_queue_work(w->env.loop, &c->work, count_work, counted);
}

void webhooks_tick(struct webhooks *w)
{
    int64_t now = clock_wall_ms();
    struct hook *h;

    TAILQ_FOREACH(h, &w->hooks, link)
    {
        if (h->next_due > 0 && now >= h->next_due)
            hook_look(h);
    }
    count(w);
}

/* ---- what happens becomes deliveries */

static bool copy_text(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return *to || !from;
}

static struct delivery *delivery_of(const struct hook *h, const struct event *e, const char *body)
{
    const struct record *r = e->transfer ? snapshot_record(e->transfer) : NULL;
    struct delivery *d = calloc(1, sizeof *d);

    if (!d)
        return NULL;
    d->created = d->due = e->at;
    id_make(d->id, "wd", d->created);
    memcpy(d->endpoint, h->name, sizeof d->endpoint);
    snprintf(d->type, sizeof d->type, "%s", event_name(e->type));
    if (r)
        memcpy(d->transfer, r->id, sizeof d->transfer);
    if (!copy_text(&d->body, body) || !copy_text(&d->request_id, r ? r->request_id : NULL) ||
        !copy_text(&d->traceparent, r ? r->traceparent : NULL))
        delivery_free(&d);
    return d;
}

static bool wants(const struct hook *h, uint32_t type, const struct record *about, const struct inbox_item *item)
{
    const char *to = about ? about->to : item ? item->to : NULL;

    return !h->off && webhook_wants(h->is, type, to, about ? about->labels : NULL);
}

bool webhooks_want(const struct webhooks *w, uint32_t type, const struct record *about)
{
    const struct hook *h;

    TAILQ_FOREACH(h, &w->hooks, link)
    {
        if (wants(h, type, about, NULL))
            return true;
    }
    return false;
}

bool webhooks_make(struct webhooks *w, const struct event *e, struct delivery **out)
{
    const struct record *about = e->transfer ? snapshot_record(e->transfer) : NULL;
    struct delivery **end = out;
    char *body = NULL;
    struct hook *h;

    *out = NULL;
    TAILQ_FOREACH(h, &w->hooks, link)
    {
        if (!wants(h, EVENT_BIT(e->type), about, e->item))
            continue;
        if (!body)
            body = w->env.render(e);
        *end = body ? delivery_of(h, e, body) : NULL;
        if (!*end) {
            delivery_free_all(out);
            free(body);
            return false;
        }
        end = &(*end)->next;
    }
    free(body);
    w->made += *out != NULL;
    return true;
}

void webhooks_made(struct webhooks *w)
{
    struct hook *h;

    if (w->made == 0)
        return;
    w->made--;
    TAILQ_FOREACH(h, &w->hooks, link)
    hook_look(h);
}

struct telling {
    struct message message;
    struct webhooks *w;
    bool failed;
};

static void handle_told(void *owner, struct message *m)
{
    struct telling *t = (struct telling *)m;

    (void)owner;
    --*t->w->env.pending;
    if (t->failed)
        log_error("webhook.event_lost", log_str("why", "the store cannot be written"));
    webhooks_made(t->w);
    free(t);
}

/* Writer's thread. */
static void on_told(void *user, const struct error *err)
{
    struct telling *t = user;

    t->failed = err != NULL;
    t->message.handle = handle_told;
    mailbox_post(t->w->env.mailbox, &t->message);
}

void webhooks_tell(struct webhooks *w, const struct event *e)
{
    struct telling *t = calloc(1, sizeof *t);
    struct delivery *list;

    if (!t || !webhooks_make(w, e, &list)) {
        log_error("webhook.event_lost", log_str("type", event_name(e->type)), log_str("why", "out of memory"));
        free(t);
        return;
    }
    if (!list) {
        free(t);
        return;
    }
    t->w = w;
    ++*w->env.pending;
    store_put_told(w->env.store, NULL, NULL, list, on_told, t);
}

/* ---- life */

static const struct webhook *of_name(const struct webhook_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].name, name) == 0)
            return &list->items[i];
    return NULL;
}

/* Hooks for those of the list that are new or have changed. */
static bool create_new(struct webhooks *w, const struct webhook_list *list, struct hooks *out, struct error *err)
{
    struct hook *h;

    TAILQ_INIT(out);
    for (size_t i = 0; i < list->count; i++) {
        const struct webhook *is = &list->items[i], *was = of_name(&w->list, is->name);

        if (was && webhook_equal(was, is))
            continue;
        h = hook_create(w, is, err);
        if (!h) {
            free_hooks(out);
            return false;
        }
        TAILQ_INSERT_TAIL(out, h, link);
    }
    return true;
}

bool webhooks_replace(struct webhooks *w, const struct webhook_list *list, struct error *err)
{
    struct hook *h, *next;
    struct hooks fresh;
    struct webhook_list copy;

    if (!webhook_list_copy(&copy, list))
        return out_of_memory(err);
    if (!create_new(w, &copy, &fresh, err)) {
        webhook_list_free(&copy);
        return false;
    }
    TAILQ_FOREACH(h, &fresh, link)
    log_info(of_name(&w->list, h->name) ? "webhook.changed" : "webhook.added", log_str("webhook", h->name));
    for (h = TAILQ_FIRST(&w->hooks); h; h = next) {
        const struct webhook *is = of_name(&copy, h->name);

        next = TAILQ_NEXT(h, link);
        h->off = false;
        if (is && webhook_equal(is, h->is)) {
            h->is = is;
            h->next_due = 1;
            continue;
        }
        if (!is)
            log_info("webhook.removed", log_str("webhook", h->name));
        TAILQ_REMOVE(&w->hooks, h, link);
        part_with(h);
    }
    TAILQ_CONCAT(&w->hooks, &fresh, link);
    webhook_list_free(&w->list);
    w->list = copy;
    w->moved = true;
    return true;
}

struct webhooks *webhooks_create(const struct webhooks_env *env, const struct webhook_list *list, struct error *err)
{
    struct webhooks *w = calloc(1, sizeof *w);

    if (!w) {
        out_of_memory(err);
        return NULL;
    }
    w->env = *env;
    TAILQ_INIT(&w->hooks);
    TAILQ_INIT(&w->gone);
    if (!webhook_list_copy(&w->list, list)) {
        out_of_memory(err);
        free(w);
        return NULL;
    }
    for (size_t i = 0; i < w->list.count; i++) {
        struct hook *h = hook_create(w, &w->list.items[i], err);

        if (!h) {
            webhooks_destroy(&w);
            return NULL;
        }
        TAILQ_INSERT_TAIL(&w->hooks, h, link);
    }
    return w;
}

void webhooks_stop(struct webhooks *w)
{
    struct hook *h;

    if (!w)
        return;
    w->stopped = true;
    TAILQ_FOREACH(h, &w->hooks, link)
    flights_end(h);
}

void webhooks_destroy(struct webhooks **w)
{
    if (!*w)
        return;
    free_hooks(&(*w)->hooks);
    webhook_list_free(&(*w)->list);
    free(*w);
    *w = NULL;
}
