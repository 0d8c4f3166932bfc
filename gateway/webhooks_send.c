/* gateway/webhooks_send.c - a delivery on its way to an endpoint, and what comes of it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/trace.h"
#include "gateway/webhook_schedule.h"
#include "gateway/webhooks_parts.h"

enum { TIMEOUT_MS = 15 * 1000 };

static void flight_free(struct flight *f)
{
    delivery_free(&f->d);
    free(f);
}

/* ---- the outcome */

static void handle_settled(void *owner, struct message *m)
{
    struct flight *f = (struct flight *)m;
    struct hook *h = f->hook;

    (void)owner;
    LIST_REMOVE(f, link);
    h->flight_count--;
    if (f->failed) {
        log_error("webhook.not_noted", log_str("delivery", f->id), log_str("advice", "it will be sent again"));
        hook_rest(h);
    }
    if (h->looking)
        LIST_INSERT_HEAD(&h->landed, f, link);
    else
        flight_free(f);
    if (hook_came_back(h))
        hook_look(h);
}

/* Writer's thread. */
static void on_settled(void *user, const struct error *err)
{
    struct flight *f = user;
    struct mailbox *mailbox = f->hook->all->env.mailbox;

    f->failed = err != NULL;
    f->message.handle = handle_settled;
    mailbox_post(mailbox, &f->message); /* open: who stops waits for all that is pending */
}

static void switch_off(struct hook *h)
{
    static const char why[] = "answered 410: switched off until the configuration is read again (SIGHUP)";
    const struct webhooks_env *env = &h->all->env;

    if (h->off)
        return;
    h->off = true;
    log_warn("webhook.disabled", log_str("webhook", h->name), log_str("why", why));
    if (env->disabled)
        env->disabled(env->user, h->name, why);
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
    char trace[TRACE_ID];
    const struct log_field fields[] = {log_str("webhook", h->name),
                                       log_str("delivery", d->id),
                                       log_str("type", d->type),
                                       log_str("transfer", d->transfer[0] ? d->transfer : NULL),
                                       log_str("state", delivery_state_name(d->state)),
                                       log_int("tried", d->tried),
                                       log_int("status", a->status),
                                       log_int("ms", a->took_ms),
                                       log_str("why", a->why[0] ? a->why : NULL),
                                       log_opt("request_id", d->request_id),
                                       log_opt("trace_id", trace_id(d->traceparent, trace)),
                                       {0}};

    metric_add(METRIC_WEBHOOK_DELIVERIES, 1, d->state == DELIVERY_PENDING ? "failed" : delivery_state_name(d->state));
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
    hook_expect(h);
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
    LIST_REMOVE(f, link);
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

/* With d, which stays the caller's without memory. */
static struct flight *flight_create(struct hook *h, struct delivery *d)
{
    struct flight *f = calloc(1, sizeof *f);

    if (!f)
        return NULL;
    d->next = NULL;
    f->hook = h;
    f->d = d;
    memcpy(f->id, d->id, sizeof f->id);
    LIST_INSERT_HEAD(&h->flights, f, link);
    return f;
}

void flight_launch(struct hook *h, struct delivery *d)
{
    struct flight *f = flight_create(h, d);
    struct http_answer none = {0};
    struct error err;

    if (!f) { /* out of memory; it is there still */
        delivery_free(&d);
        hook_rest(h);
        return;
    }
    h->flight_count++;
    if (dispatch(f, &err))
        return;
    snprintf(none.why, sizeof none.why, "%.90s", err.text);
    settle(f, &none);
}

bool flight_was_under_way(const struct hook *h, const char *id)
{
    const struct flight *f;

    LIST_FOREACH(f, &h->landed, link)
    {
        if (strcmp(f->id, id) == 0)
            return true;
    }
    return flight_is_under_way(h, id);
}

void flights_forget_landed(struct hook *h)
{
    struct flight *f;

    while ((f = LIST_FIRST(&h->landed))) {
        LIST_REMOVE(f, link);
        flight_free(f);
    }
}

bool flight_is_under_way(const struct hook *h, const char *id)
{
    const struct flight *f;

    LIST_FOREACH(f, &h->flights, link)
    {
        if (strcmp(f->id, id) == 0)
            return true;
    }
    return false;
}

bool flight_test(struct hook *h, struct delivery *d, gateway_hook_test_fn *done, void *user, struct error *err)
{
    struct flight *f = flight_create(h, d);
    struct error why;

    if (!f) {
        delivery_free(&d);
        return error_set(err, ERR_INTERNAL, "out of memory");
    }
    f->tested = done;
    f->user = user;
    if (dispatch(f, &why))
        return true;
    LIST_REMOVE(f, link);
    flight_free(f);
    return error_set(err, why.code, "%s", why.text);
}

void flights_end(struct hook *h)
{
    struct flight *next;

    http_poster_destroy(&h->poster);
    for (struct flight *f = LIST_FIRST(&h->flights); f; f = next) {
        struct error err;

        next = LIST_NEXT(f, link);
        if (!f->d)
            continue;
        LIST_REMOVE(f, link);
        error_set(&err, ERR_DRAINING, "the gateway is stopping, or its webhooks have changed");
        if (f->tested)
            f->tested(f->user, NULL, &err);
        else
            h->flight_count--;
        flight_free(f);
    }
}
