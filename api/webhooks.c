/* api/webhooks.c - GET /v1/webhooks, POST /v1/webhooks/{name}/test, GET /v1/webhooks/{name}/deliveries,
 * POST /v1/webhooks/{name}/deliveries/{id}/redeliver; and the body that webhooks have. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/json.h"
#include "api/reply.h"
#include "api/server.h"
#include "base/buf.h"
#include "base/id.h"

enum { LIST_DEFAULT = 50, LIST_MOST = 1000 };

/* ---- the body of a webhook: what a stream of events says, too */

char *api_render_event(const struct event *e)
{
    struct record *r = e->transfer ? record_copy(snapshot_record(e->transfer)) : NULL;
    char *line = NULL;

    if (r || !e->transfer)
        line = json_line(json_of_event(event_name(e->type), e->at, r, e));
    if (line)
        line[strlen(line) - 1] = '\0'; /* its line feed */
    record_free(&r);
    return line;
}

/* ---- as JSON */

static json_t *of_words(const char *text)
{
    json_t *out = json_array();

    for (size_t len; out && *text; text += len) {
        text += strspn(text, ", ");
        len = strcspn(text, ", ");
        if (len > 0 && json_array_append_new(out, json_stringn_nocheck(text, len)) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static json_t *of_status(unsigned status)
{
    return status ? json_integer(status) : json_null();
}

static json_t *of_last(const struct gateway_hook *h)
{
    if (h->last.at == 0)
        return json_null();
    return json_pack("{s:o, s:o, s:o}", "at", json_of_time(h->last.at), "status", of_status(h->last.status), "detail",
                     json_of_text(h->last.why));
}

static json_t *of_hook(const struct gateway_hook *h)
{
    return json_pack("{s:s, s:o, s:o, s:s, s:I, s:I, s:o}", "name", h->name, "url", json_of_text(h->url), "events",
                     of_words(h->events), "state", h->on ? "on" : "off", "backlog", (json_int_t)h->backlog, "in_flight",
                     (json_int_t)h->in_flight, "last", of_last(h));
}

static json_t *of_delivery(const struct delivery *d)
{
    bool pending = d->state == DELIVERY_PENDING;

    return json_pack("{s:s, s:s, s:s, s:o, s:s, s:I, s:o, s:o, s:o, s:o, s:o}", "id", d->id, "webhook", d->endpoint,
                     "type", d->type, "transfer", json_of_text(d->transfer), "state", delivery_state_name(d->state),
                     "attempts", (json_int_t)d->tried, "status", of_status(d->status), "detail",
                     json_of_text(d->reason), "created", json_of_time(d->created), "next_attempt_at",
                     pending ? json_of_time(d->due) : json_null(), "finished", json_of_time(d->finished));
}

/* ---- what the gateway answers, on its thread */

static void keep_error(struct request *rq, const struct error *err)
{
    if (err)
        rq->got.error = *err;
}

static void got_hooks(void *user, struct gateway_hooks *hooks, const struct error *err)
{
    struct request *rq = user;

    if (request_claim(rq, true)) {
        keep_error(rq, err);
        rq->got.hooks = *hooks;
        *hooks = (struct gateway_hooks){0};
        request_resume(rq);
    }
    request_release(rq);
}

static void got_test(void *user, const struct gateway_hook_test *test, const struct error *err)
{
    struct request *rq = user;

    if (request_claim(rq, true)) {
        keep_error(rq, err);
        if (test)
            rq->got.test = *test;
        request_resume(rq);
    }
    request_release(rq);
}

static void got_deliveries(void *user, struct delivery_list *list, const struct error *err)
{
    struct request *rq = user;

    if (request_claim(rq, true)) {
        keep_error(rq, err);
        rq->got.deliveries = *list;
        *list = (struct delivery_list){0};
        request_resume(rq);
    }
    request_release(rq);
}

void api_webhooks_drop(struct request *rq)
{
    gateway_hooks_free(&rq->got.hooks);
    delivery_free_all(&rq->got.deliveries.first);
}

/* Nobody reads it: the caller hung up before there was an answer. */
static enum MHD_Result reply_nobody(struct request *rq)
{
    struct error err;

    error_set(&err, ERR_INTERNAL, "the caller hung up");
    return reply_problem(rq, &err, STAGE_REQUEST, NULL);
}

/* ---- GET /v1/webhooks */

static enum MHD_Result hooks_listed(struct request *rq)
{
    json_t *items = json_array();

    if (rq->got.error.code != ERR_NONE) {
        json_decref(items);
        return reply_problem(rq, &rq->got.error, STAGE_REQUEST, NULL);
    }
    for (size_t i = 0; items && i < rq->got.hooks.count; i++)
        if (json_array_append_new(items, of_hook(&rq->got.hooks.items[i])) != 0) {
            json_decref(items);
            items = NULL;
        }
    return reply_json(rq, 200, json_pack("{s:o}", "items", items));
}

enum MHD_Result api_webhooks_list(struct request *rq)
{
    request_wait(rq, WAIT_ANSWER, hooks_listed);
    gateway_hooks(rq->gw, got_hooks, rq);
    return MHD_YES;
}

/* ---- POST /v1/webhooks/{name}/test */

static enum MHD_Result tested(struct request *rq)
{
    const struct gateway_hook_test *t = &rq->got.test;

    if (rq->got.error.code != ERR_NONE)
        return reply_problem(rq, &rq->got.error, STAGE_REQUEST, NULL);
    if (!t->id[0])
        return reply_nobody(rq);
    return reply_json(rq, 200,
                      json_pack("{s:s, s:b, s:o, s:o, s:I}", "id", t->id, "delivered", (int)t->taken, "status",
                                of_status(t->status), "detail", json_of_text(t->why), "duration_ms",
                                (json_int_t)t->took_ms));
}

enum MHD_Result api_webhook_test(struct request *rq)
{
    request_wait(rq, WAIT_ANSWER, tested);
    gateway_hook_test(rq->gw, rq->target.segment[2], got_test, rq);
    return MHD_YES;
}

/* ---- GET /v1/webhooks/{name}/deliveries */

static bool read_filter(const struct request *rq, struct delivery_filter *f, struct error *err)
{
    char *const *value = rq->params.value;
    uint64_t limit = LIST_DEFAULT;

    *f = (struct delivery_filter){.endpoint = rq->target.segment[2], .before = value[PARAM_CURSOR]};
    f->by_state = value[PARAM_STATE] != NULL;
    if (f->by_state && !delivery_state_parse(value[PARAM_STATE], &f->state))
        return error_set(err, ERR_PARAMETER_INVALID, "state: pending, delivered or dead");
    if (value[PARAM_LIMIT] && !number_parse(value[PARAM_LIMIT], 1, LIST_MOST, &limit))
        return error_set(err, ERR_PARAMETER_INVALID, "limit: a number from 1 to %d", LIST_MOST);
    if (f->before && !id_valid(f->before, "wd"))
        return error_set(err, ERR_PARAMETER_INVALID, "cursor: take it from 'next' of the page before");
    f->limit = (unsigned)limit;
    return true;
}

/* The same question, from where this page ends. A name and a state need no escapes. */
static char *next_page(const struct request *rq)
{
    const struct delivery *last = rq->got.deliveries.first;
    char *const *value = rq->params.value;
    struct buf url = {0};

    if (!rq->got.deliveries.more || !last)
        return NULL;
    while (last->next)
        last = last->next;
    buf_printf(&url, "/v1/webhooks/%s/deliveries?", last->endpoint);
    if (value[PARAM_STATE])
        buf_printf(&url, "state=%s&", value[PARAM_STATE]);
    if (value[PARAM_LIMIT])
        buf_printf(&url, "limit=%s&", value[PARAM_LIMIT]);
    buf_printf(&url, "cursor=%s", last->id);
    return buf_steal(&url);
}

static enum MHD_Result deliveries_listed(struct request *rq)
{
    json_t *items = json_array();
    enum MHD_Result result;
    char *next;

    if (rq->got.error.code != ERR_NONE) {
        json_decref(items);
        return reply_problem(rq, &rq->got.error, STAGE_REQUEST, NULL);
    }
    for (const struct delivery *d = rq->got.deliveries.first; items && d; d = d->next)
        if (json_array_append_new(items, of_delivery(d)) != 0) {
            json_decref(items);
            items = NULL;
        }
    next = next_page(rq);
    if (next)
        reply_header(rq, "Link", "<%s>; rel=\"next\"", next);
    result = reply_json(rq, 200, json_pack("{s:o, s:o}", "items", items, "next", json_of_text(next)));
    free(next);
    return result;
}

enum MHD_Result api_deliveries_list(struct request *rq)
{
    struct delivery_filter filter;
    struct error err = {0};

    if (!read_filter(rq, &filter, &err))
        return reply_problem(rq, &err, STAGE_REQUEST, NULL);
    request_wait(rq, WAIT_ANSWER, deliveries_listed);
    gateway_deliveries(rq->gw, &filter, got_deliveries, rq);
    return MHD_YES;
}

/* ---- POST /v1/webhooks/{name}/deliveries/{id}/redeliver */

static enum MHD_Result redelivered(struct request *rq)
{
    if (rq->got.error.code != ERR_NONE)
        return reply_problem(rq, &rq->got.error, STAGE_REQUEST, NULL);
    if (!rq->got.deliveries.first)
        return reply_nobody(rq);
    return reply_json(rq, 202, of_delivery(rq->got.deliveries.first));
}

bool api_redeliver_begin(struct request *rq, struct error *err)
{
    return id_valid(rq->target.segment[4], "wd") || error_set(err, ERR_NOT_FOUND, "no delivery has such an id");
}

enum MHD_Result api_redeliver(struct request *rq)
{
    request_wait(rq, WAIT_COMMIT, redelivered);
    gateway_redeliver(rq->gw, rq->target.segment[2], rq->target.segment[4], got_deliveries, rq);
    return MHD_YES;
}
