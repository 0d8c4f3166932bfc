#include "gateway/webhooks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include <openssl/rand.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/http_post.h"
#include "gateway/webhook_schedule.h"

enum {
    PARALLEL = 8, /* requests of one endpoint at once */
    TIMEOUT_MS = 15 * 1000,
    PAUSE_MS = 5 * 1000 /* after the store failed */
};

/* One endpoint. */
struct hook {
    struct hook *prev, *next;
    struct webhooks *all;
    const struct webhook *is; /* in all->list */
    struct http_poster *poster;
    struct flight *flights;
    size_t flight_count;
    size_t outstanding; /* looks and outcomes that will come back */
    bool gone;          /* from the configuration: it goes once nothing is outstanding */
    bool off;
    bool looking, again;      /* a look is under way; and one more is due then */
    int64_t next_due;         /* wall clock; 0: nothing waits */
    int64_t rests_until;      /* monotonic */
    struct gateway_hook view; /* its last result */
};

/* A delivery on its way, until its outcome is committed. */
struct flight {
    struct message message;
    struct flight *prev, *next;
    struct hook *hook;
    char id[ID_SIZE];
    struct delivery *d;           /* NULL: at the store's writer */
    bool failed;                  /* to be written */
    gateway_hook_test_fn *tested; /* of a test; else NULL */
    void *user;
};

struct webhooks {
    struct webhooks_env env;
    struct webhook_list list;
    struct hook *hooks, *gone;
    size_t made; /* calls of webhooks_make() that had something to say, less those that are committed */
    bool stopped;
};

static void look(struct hook *h);

static bool out_of_memory(struct error *err)
{
    return error_set(err, ERR_SYSTEM, "webhooks: out of memory");
}

/* ---- the life of a hook */

static void flight_free(struct flight *f)
{
    delivery_free(&f->d);
    free(f);
}

static void hook_free(struct hook *h)
{
    http_poster_destroy(&h->poster);
    free(h);
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
    h->next_due = 1; /* an earlier run may have left something */
    h->poster = http_poster_create(w->env.loop, is->ca, is->allow_nets, err);
    if (!h->poster) {
        hook_free(h);
        return NULL;
    }
    return h;
}

/* Breaks off what is on its way; what is at the writer comes back. */
static void ground(struct hook *h)
{
    struct flight *f, *next;

    http_poster_destroy(&h->poster);
    DL_FOREACH_SAFE(h->flights, f, next)
    {
        struct error err;

        if (!f->d)
            continue;
        DL_DELETE(h->flights, f);
        error_set(&err, ERR_DRAINING, "the gateway is stopping, or its webhooks have changed");
        if (f->tested)
            f->tested(f->user, NULL, &err);
        else
            h->flight_count--;
        flight_free(f);
    }
}

static void part_with(struct hook *h)
{
    ground(h);
    h->gone = true;
    h->is = NULL;
    if (h->outstanding == 0)
        hook_free(h);
    else
        DL_APPEND(h->all->gone, h);
}

/* Something of it came back. false: that was the last of one that is gone. */
static bool came_back(struct hook *h)
{
    --*h->all->env.pending;
    h->outstanding--;
    if (!h->gone || h->outstanding > 0)
        return !h->gone;
    DL_DELETE(h->all->gone, h);
    hook_free(h);
    return false;
}

static void expect(struct hook *h)
{
    ++*h->all->env.pending;
    h->outstanding++;
}

/* ---- the outcome */

static void handle_settled(void *owner, struct message *m)
{
    struct flight *f = (struct flight *)m;
    struct hook *h = f->hook;

    (void)owner;
    DL_DELETE(h->flights, f);
    h->flight_count--;
    if (f->failed) {
        log_error("webhook.not_noted", log_str("delivery", f->id), log_str("advice", "it will be sent again"));
        h->rests_until = clock_ms() + PAUSE_MS;
    }
    flight_free(f);
    if (came_back(h))
        look(h);
}

/* Writer's thread. */
static void on_settled(void *user, const struct error *err)
{
    struct flight *f = user;
    struct inbox *inbox = f->hook->all->env.inbox;

    f->failed = err != NULL;
    f->message.handle = handle_settled;
    inbox_post(inbox, &f->message); /* open: who stops waits for all that is pending */
}

static void switch_off(struct hook *h)
{
    static const char why[] = "answered 410: switched off until the configuration is read again (SIGHUP)";
    const struct webhooks_env *env = &h->all->env;

    if (h->off)
        return;
    h->off = true;
    log_warn("webhook.disabled", log_str("webhook", h->is->name), log_str("why", why));
    if (env->disabled)
        env->disabled(env->user, h->is->name, why);
}

static void judge(struct delivery *d, const struct http_answer *a)
{
    int64_t now = clock_wall_ms(), pause;
    uint32_t chance = 0;

    d->tried++;
    d->status = a->status;
    snprintf(d->reason, sizeof d->reason, "%s", a->why);
    RAND_bytes((unsigned char *)&chance, sizeof chance); /* without any, all come at the same time */
    if (a->status >= 200 && a->status < 300) {
        d->state = DELIVERY_DELIVERED;
        d->finished = now;
    } else if (a->status != 410 &&
               webhook_pause(d->tried, a->retry_after_s < INT32_MAX ? a->retry_after_s * 1000 : INT64_MAX, chance,
                             &pause)) {
        d->due = now + pause;
    } else {
        d->state = DELIVERY_DEAD;
        d->finished = now;
    }
}

static void tell_outcome(const struct hook *h, const struct delivery *d, const struct http_answer *a)
{
    const struct log_field fields[] = {log_str("webhook", h->is->name),
                                       log_str("delivery", d->id),
                                       log_str("type", d->type),
                                       log_str("transfer", d->transfer[0] ? d->transfer : NULL),
                                       log_str("state", delivery_state_name(d->state)),
                                       log_int("tried", d->tried),
                                       log_int("status", a->status),
                                       log_int("ms", a->took_ms),
                                       log_str("why", a->why[0] ? a->why : NULL),
                                       {0}};

    log_write(d->state == DELIVERY_DELIVERED ? LOG_INFO : LOG_WARN, "webhook.sent", fields);
}

static void note_last(struct hook *h, const struct http_answer *a)
{
    h->view.last.at = clock_wall_ms();
    h->view.last.status = a->status;
    snprintf(h->view.last.why, sizeof h->view.last.why, "%s", a->why);
}

static void settle(struct flight *f, const struct http_answer *a)
{
    struct hook *h = f->hook;
    struct delivery *d = f->d;

    judge(d, a);
    note_last(h, a);
    tell_outcome(h, d, a);
    f->d = NULL;
    expect(h);
    store_put_told(h->all->env.store, NULL, NULL, d, on_settled, f);
    if (a->status == 410)
        switch_off(h);
}

static void tell_test(struct flight *f, const struct http_answer *a)
{
    struct gateway_hook_test test = {
        .taken = a->status >= 200 && a->status < 300, .status = a->status, .took_ms = a->took_ms};

    memcpy(test.id, f->id, sizeof test.id);
    snprintf(test.why, sizeof test.why, "%s", a->why);
    note_last(f->hook, a);
    DL_DELETE(f->hook->flights, f);
    f->tested(f->user, &test, NULL);
    flight_free(f);
}

static void on_posted(void *user, const struct http_answer *a)
{
    struct flight *f = user;

    if (f->tested)
        tell_test(f, a);
    else
        settle(f, a);
}

/* ---- on the way */

/* Two signatures while the secret changes: the receiver knows one of them. */
static bool sign(const struct webhook *is, const struct delivery *d, int64_t timestamp, char *out, size_t size)
{
    char new[SIGNATURE_TEXT], old[SIGNATURE_TEXT] = "";
    size_t length = strlen(d->body);
    bool ok = webhook_sign(&is->secret, d->id, timestamp, d->body, length, new) &&
              (is->old.length == 0 || webhook_sign(&is->old, d->id, timestamp, d->body, length, old));

    snprintf(out, size, "%s%s%s", new, *old ? " " : "", old);
    return ok;
}

static bool dispatch(struct flight *f, struct error *err)
{
    const struct delivery *d = f->d;
    const struct webhook *is = f->hook->is;
    int64_t timestamp = clock_wall_ms() / 1000;
    char stamp[24], signature[2 * SIGNATURE_TEXT + 1];
    struct http_header headers[5] = {
        {"webhook-id", d->id}, {"webhook-timestamp", stamp}, {"webhook-signature", signature}};
    size_t count = 3;
    const struct http_post post = {.url = is->url,
                                   .type = "application/json",
                                   .headers = headers,
                                   .body = d->body,
                                   .length = strlen(d->body),
                                   .timeout_ms = TIMEOUT_MS,
                                   .done = on_posted,
                                   .user = f};
    struct http_post whole = post;

    snprintf(stamp, sizeof stamp, "%" PRId64, timestamp);
    if (!sign(is, d, timestamp, signature, sizeof signature))
        return error_set(err, ERR_INTERNAL, "it cannot be signed");
    if (d->request_id)
        headers[count++] = (struct http_header){"X-Request-Id", d->request_id};
    if (d->traceparent)
        headers[count++] = (struct http_header){"traceparent", d->traceparent};
    whole.header_count = count;
    return http_post(f->hook->poster, &whole, err);
}

/* Takes d. */
static void launch(struct hook *h, struct delivery *d)
{
    struct flight *f = calloc(1, sizeof *f);
    struct http_answer none = {0};
    struct error err;

    d->next = NULL;
    if (!f) { /* out of memory; it is there still */
        delivery_free(&d);
        h->rests_until = clock_ms() + PAUSE_MS;
        h->next_due = 1;
        return;
    }
    f->hook = h;
    f->d = d;
    memcpy(f->id, d->id, sizeof f->id);
    DL_APPEND(h->flights, f);
    h->flight_count++;
    if (dispatch(f, &err))
        return;
    snprintf(none.why, sizeof none.why, "%.90s", err.text);
    settle(f, &none);
}

static bool is_flying(const struct hook *h, const char *id)
{
    const struct flight *f;

    DL_FOREACH(h->flights, f)
    {
        if (strcmp(f->id, id) == 0)
            return true;
    }
    return false;
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
    s->ok = store_due(s->store, s->name, s->now, 2 * PARALLEL, &s->due, &s->error);
}

static void take_found(struct hook *h, struct search *s)
{
    if (!s->ok) {
        log_warn("webhook.store_unreadable", log_str("webhook", h->is->name), log_str("error", s->error.text));
        h->rests_until = clock_ms() + PAUSE_MS;
        h->next_due = 1;
        return;
    }
    h->next_due = s->due.next;
    while (s->due.first) {
        struct delivery *d = s->due.first;

        s->due.first = d->next;
        if (is_flying(h, d->id) || h->off || h->all->stopped || h->flight_count >= PARALLEL)
            delivery_free(&d);
        else
            launch(h, d);
    }
}

static void searched(uv_work_t *work, int status)
{
    struct search *s = work->data;
    struct hook *h = s->hook;

    (void)status;
    h->looking = false;
    if (came_back(h)) {
        bool again = h->again;

        h->again = false;
        take_found(h, s);
        if (again)
            look(h);
    }
    delivery_free_all(&s->due.first);
    free(s);
}

static void look(struct hook *h)
{
    struct search *s;

    if (h->gone || h->off || h->all->stopped || h->flight_count >= PARALLEL)
        return; /* who comes back, or switches it on, looks */
    if (h->looking || clock_ms() < h->rests_until) {
        h->again = h->looking;
        h->next_due = 1;
        return;
    }
    s = calloc(1, sizeof *s);
    if (!s) {
        h->next_due = 1;
        h->rests_until = clock_ms() + PAUSE_MS;
        return;
    }
    *s = (struct search){.hook = h, .store = h->all->env.store, .now = clock_wall_ms(), .work.data = s};
    memcpy(s->name, h->is->name, sizeof s->name);
    h->looking = true;
    h->next_due = 0;
    expect(h);
    uv_queue_work(h->all->env.loop, &s->work, search_work, searched);
}

void webhooks_tick(struct webhooks *w)
{
    int64_t now = clock_wall_ms();
    struct hook *h;

    DL_FOREACH(w->hooks, h)
    {
        if (h->next_due > 0 && now >= h->next_due)
            look(h);
    }
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
    memcpy(d->endpoint, h->is->name, sizeof d->endpoint);
    snprintf(d->type, sizeof d->type, "%s", event_name(e->type));
    if (r)
        memcpy(d->transfer, r->id, sizeof d->transfer);
    if (!copy_text(&d->body, body) || !copy_text(&d->request_id, r ? r->request_id : NULL))
        delivery_free(&d);
    return d;
}

static bool wants(const struct hook *h, uint32_t type, const char *to)
{
    return !h->off && webhook_wants(h->is, type, to);
}

bool webhooks_want(const struct webhooks *w, uint32_t type, const char *to)
{
    const struct hook *h;

    DL_FOREACH(w->hooks, h)
    {
        if (wants(h, type, to))
            return true;
    }
    return false;
}

bool webhooks_make(struct webhooks *w, const struct event *e, struct delivery **out)
{
    const char *to = e->transfer ? snapshot_record(e->transfer)->to : NULL;
    struct delivery **end = out;
    char *body = NULL;
    struct hook *h;

    *out = NULL;
    DL_FOREACH(w->hooks, h)
    {
        if (!wants(h, EVENT_BIT(e->type), to))
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
    DL_FOREACH(w->hooks, h)
    look(h);
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
    inbox_post(t->w->env.inbox, &t->message);
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

/* ---- the API */

static struct hook *find(const struct webhooks *w, const char *name)
{
    struct hook *h;

    DL_FOREACH(w->hooks, h)
    {
        if (strcmp(h->is->name, name) == 0)
            return h;
    }
    return NULL;
}

static bool unknown(const char *name, struct error *err)
{
    return error_set(err, ERR_NOT_FOUND, "there is no webhook '%.32s'; GET /v1/webhooks lists them", name);
}

bool webhooks_has(const struct webhooks *w, const char *name, struct error *err)
{
    return find(w, name) || unknown(name, err);
}

void gateway_hooks_free(struct gateway_hooks *hooks)
{
    for (size_t i = 0; i < hooks->count; i++) {
        free(hooks->items[i].url);
        free(hooks->items[i].events);
    }
    free(hooks->items);
    *hooks = (struct gateway_hooks){0};
}

bool webhooks_view(const struct webhooks *w, struct gateway_hooks *out)
{
    struct hook *h;

    *out = (struct gateway_hooks){.items = calloc(w->list.count + 1, sizeof *out->items)};
    if (!out->items)
        return false;
    DL_FOREACH(w->hooks, h)
    {
        struct gateway_hook *v = &out->items[out->count++];

        *v = h->view;
        memcpy(v->name, h->is->name, sizeof v->name);
        v->url = webhook_shown_url(h->is);
        v->events = strdup(h->is->events_text);
        v->on = !h->off;
        v->in_flight = h->flight_count;
        if (v->url && v->events)
            continue;
        gateway_hooks_free(out);
        return false;
    }
    return true;
}

static struct delivery *make_test(const struct hook *h)
{
    struct delivery *d = calloc(1, sizeof *d);
    char at[CLOCK_TEXT];

    if (!d)
        return NULL;
    id_make(d->id, "wd", clock_wall_ms());
    /* A name has letters, digits and '-' alone. */
    if (asprintf(&d->body, "{\"type\":\"webhook.test\",\"timestamp\":\"%s\",\"data\":{\"webhook\":\"%s\"}}",
                 clock_text(clock_wall_ms(), at), h->is->name) < 0) {
        free(d);
        return NULL;
    }
    return d;
}

void webhooks_test(struct webhooks *w, const char *name, gateway_hook_test_fn *done, void *user)
{
    struct hook *h = find(w, name);
    struct flight *f = calloc(1, sizeof *f);
    struct error err;

    if (!h || w->stopped)
        h ? error_set(&err, ERR_DRAINING, "the gateway is stopping") : unknown(name, &err);
    else if (!f || !(f->d = make_test(h)))
        error_set(&err, ERR_INTERNAL, "out of memory");
    else {
        f->hook = h;
        f->tested = done;
        f->user = user;
        memcpy(f->id, f->d->id, sizeof f->id);
        if (dispatch(f, &err)) {
            DL_APPEND(h->flights, f);
            return;
        }
    }
    if (f)
        flight_free(f);
    done(user, NULL, &err);
}

/* ---- one more time, for whoever asks */

struct again {
    struct message message;
    struct webhooks *w;
    struct delivery_list list; /* what is answered */
    struct error error;
    gateway_deliveries_fn *done;
    void *user;
};

static void answer_again(struct again *a)
{
    a->done(a->user, &a->list, a->error.code == ERR_NONE ? NULL : &a->error);
    delivery_free_all(&a->list.first);
    free(a);
}

static void handle_again(void *owner, struct message *m)
{
    struct again *a = (struct again *)m;
    struct hook *h = find(a->w, a->list.first->endpoint);

    (void)owner;
    --*a->w->env.pending;
    if (h)
        look(h);
    answer_again(a);
}

/* Writer's thread. */
static void on_again(void *user, const struct error *err)
{
    struct again *a = user;

    if (err)
        a->error = *err;
    a->message.handle = handle_again;
    inbox_post(a->w->env.inbox, &a->message);
}

static struct delivery *head_of(const struct delivery *d)
{
    struct delivery *copy = malloc(sizeof *copy);

    if (copy) {
        *copy = *d;
        copy->next = NULL;
        copy->body = copy->request_id = copy->traceparent = NULL;
    }
    return copy;
}

void webhooks_again(struct webhooks *w, struct delivery *d, gateway_deliveries_fn *done, void *user)
{
    struct hook *h = find(w, d->endpoint);
    struct again *a = calloc(1, sizeof *a);
    struct delivery_list none = {0};
    struct error err;

    d->next = NULL;
    if (a) {
        *a = (struct again){.w = w, .done = done, .user = user};
        d->state = DELIVERY_PENDING;
        d->due = clock_wall_ms();
        d->finished = d->tried = 0;
        a->list = (struct delivery_list){.first = head_of(d), .count = 1};
    }
    if (!a || !a->list.first)
        error_set(&err, ERR_INTERNAL, "out of memory");
    else if (!h)
        unknown(d->endpoint, &err);
    else if (h->off)
        error_set(&err, ERR_STATE_CONFLICT,
                  "the webhook answered 410 and is off until the configuration is read again");
    else if (is_flying(h, d->id)) { /* just now */
        delivery_free(&d);
        answer_again(a);
        return;
    } else {
        ++*w->env.pending;
        store_put_told(w->env.store, NULL, NULL, d, on_again, a);
        return;
    }
    delivery_free(&d);
    if (a)
        delivery_free_all(&a->list.first);
    free(a);
    done(user, &none, &err);
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
static bool create_new(struct webhooks *w, const struct webhook_list *list, struct hook **out, struct error *err)
{
    struct hook *h, *next;

    for (size_t i = 0; i < list->count; i++) {
        const struct webhook *is = &list->items[i], *was = of_name(&w->list, is->name);

        if (was && webhook_equal(was, is))
            continue;
        h = hook_create(w, is, err);
        if (!h) {
            DL_FOREACH_SAFE(*out, h, next)
            hook_free(h);
            return false;
        }
        DL_APPEND(*out, h);
    }
    return true;
}

bool webhooks_replace(struct webhooks *w, const struct webhook_list *list, struct error *err)
{
    struct hook *fresh = NULL, *h, *next;
    struct webhook_list copy;

    if (!webhook_list_copy(&copy, list))
        return out_of_memory(err);
    if (!create_new(w, &copy, &fresh, err)) {
        webhook_list_free(&copy);
        return false;
    }
    DL_FOREACH(fresh, h)
    log_info(of_name(&w->list, h->is->name) ? "webhook.changed" : "webhook.added", log_str("webhook", h->is->name));
    DL_FOREACH_SAFE(w->hooks, h, next)
    {
        const struct webhook *is = of_name(&copy, h->is->name);

        h->off = false;
        if (is && webhook_equal(is, h->is)) {
            h->is = is;
            h->next_due = 1;
            continue;
        }
        if (!is)
            log_info("webhook.removed", log_str("webhook", h->is->name));
        DL_DELETE(w->hooks, h);
        part_with(h);
    }
    DL_CONCAT(w->hooks, fresh);
    webhook_list_free(&w->list);
    w->list = copy;
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
        DL_APPEND(w->hooks, h);
    }
    return w;
}

void webhooks_stop(struct webhooks *w)
{
    struct hook *h;

    if (!w)
        return;
    w->stopped = true;
    DL_FOREACH(w->hooks, h)
    ground(h);
}

void webhooks_destroy(struct webhooks **w)
{
    struct hook *h, *next;

    if (!*w)
        return;
    DL_FOREACH_SAFE((*w)->hooks, h, next)
    {
        ground(h);
        hook_free(h);
    }
    webhook_list_free(&(*w)->list);
    free(*w);
    *w = NULL;
}
