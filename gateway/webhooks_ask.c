/* gateway/webhooks_ask.c - what the API asks of webhooks: how they are, a test, one more time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "gateway/webhooks_parts.h"

bool webhooks_has(const struct webhooks *w, const char *name, struct error *err)
{
    return hook_find(w, name, err) != NULL;
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
    TAILQ_FOREACH(h, &w->hooks, link)
    {
        struct gateway_hook *v = &out->items[out->count++];

        *v = h->view;
        memcpy(v->name, h->name, sizeof v->name);
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
                 clock_text(clock_wall_ms(), at), h->name) < 0) {
        free(d);
        return NULL;
    }
    return d;
}

void webhooks_test(struct webhooks *w, const char *name, gateway_hook_test_fn *done, void *user)
{
    struct error err;
    struct hook *h = hook_find(w, name, &err);
    struct delivery *d = h && !w->stopped ? make_test(h) : NULL;

    if (d && flight_test(h, d, done, user, &err))
        return;
    if (h && !d)
        error_set(&err, w->stopped ? ERR_DRAINING : ERR_INTERNAL,
                  w->stopped ? "the gateway is stopping" : "out of memory");
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
    struct hook *h = hook_find(a->w, a->list.first->endpoint, NULL);

    (void)owner;
    --*a->w->env.pending;
    if (h)
        hook_look(h);
    answer_again(a);
}

/* Writer's thread. */
static void on_again(void *user, const struct error *err)
{
    struct again *a = user;

    if (err)
        a->error = *err;
    a->message.handle = handle_again;
    mailbox_post(a->w->env.mailbox, &a->message);
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

static struct again *again_create(struct webhooks *w, struct delivery *d, gateway_deliveries_fn *done, void *user)
{
    struct again *a = calloc(1, sizeof *a);

    if (!a)
        return NULL;
    *a = (struct again){.w = w, .done = done, .user = user};
    d->next = NULL;
    d->state = DELIVERY_PENDING;
    d->due = clock_wall_ms();
    d->finished = d->tried = 0;
    a->list = (struct delivery_list){.first = head_of(d), .count = 1};
    if (a->list.first)
        return a;
    free(a);
    return NULL;
}

static bool may_again(const struct webhooks *w, const struct delivery *d, struct error *err)
{
    const struct hook *h = hook_find(w, d->endpoint, err);

    return h && (!h->off || error_set(err, ERR_STATE_CONFLICT,
                                      "the webhook answered 410 and is off until the configuration is read again"));
}

void webhooks_again(struct webhooks *w, struct delivery *d, gateway_deliveries_fn *done, void *user)
{
    struct delivery_list none = {0};
    struct again *a = NULL;
    struct error err;

    if (may_again(w, d, &err) && !(a = again_create(w, d, done, user)))
        error_set(&err, ERR_INTERNAL, "out of memory");
    if (!a) {
        delivery_free(&d);
        done(user, &none, &err);
    } else if (flight_is_under_way(hook_find(w, d->endpoint, NULL), d->id)) { /* just now */
        delivery_free(&d);
        answer_again(a);
    } else {
        ++*w->env.pending;
        store_put_told(w->env.store, NULL, NULL, d, on_again, a);
    }
}
