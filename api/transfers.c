/* api/transfers.c - GET and DELETE /v1/transfers/{id}, POST /v1/transfers/{id}/retry, GET /v1/transfers. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/handlers.h"
#include "api/json.h"
#include "api/list.h"
#include "api/reply.h"
#include "api/routes.h"
#include "base/buf.h"
#include "base/id.h"

enum { ETAG = 80 };

static enum MHD_Result add_preference(void *user, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    if (strcasecmp(name, "Prefer") == 0 && value)
        prefer_read(user, value);
    return MHD_YES;
}

bool api_wait_begin(struct request *rq, struct error *err)
{
    const char *asked = rq->params.value[PARAM_WAIT];
    int64_t most = gateway_config(rq->gw)->http.max_wait;

    MHD_get_connection_values(rq->connection, MHD_HEADER_KIND, add_preference, &rq->prefer);
    if (asked) {
        rq->prefer.wait = false; /* the parameter was applied, not the preference */
        if (!duration_parse(asked, &rq->wait_ms))
            return error_set(err, ERR_PARAMETER_INVALID, "wait: seconds, or a time like 30s or 5m");
    } else if (rq->prefer.wait) {
        rq->wait_ms = rq->prefer.wait_ms;
    }
    if (rq->wait_ms > most)
        rq->wait_ms = most;
    return true;
}

char *words_of_transfers(struct record *const *records, size_t count)
{
    struct buf lines = {0};

    for (size_t i = 0; i < count; i++)
        buf_printf(&lines, "%s %s /v1/transfers/%s\n", records[i]->id, transfer_state_name(records[i]->state),
                   records[i]->id);
    return buf_steal(&lines);
}

static enum MHD_Result reply_words(struct request *rq, unsigned status, const struct record *r)
{
    char *words = words_of_transfers((struct record *const *)&r, 1);

    return words ? reply_text(rq, status, "text/plain; charset=utf-8", words) : reply_no_memory(rq);
}

enum MHD_Result reply_transfer(struct request *rq, unsigned status, const struct record *r)
{
    const char *accept = request_header(rq, "Accept");

    if (status == 202)
        reply_header(rq, "Location", "/v1/transfers/%s", r->id);
    if (accept && accept_wants_text(accept))
        return reply_words(rq, status, r);
    return reply_json(rq, status, json_of_transfer(r));
}

bool api_transfer_begin(struct request *rq, struct error *err)
{
    if (!id_valid(rq->target.segment[2], "tr"))
        return error_set(err, ERR_NOT_FOUND, "no transfer has such an id");
    return api_wait_begin(rq, err);
}

enum MHD_Result reply_hidden(struct request *rq)
{
    struct error err;

    error_set(&err, ERR_NOT_FOUND, "there is no transfer %s", rq->target.segment[2]);
    return reply_problem(rq, &err, STAGE_REQUEST, NULL);
}

/* Progress changes nothing but `sent`, and a reader wants to see it. */
static void etag_of(const struct record *r, char etag[static ETAG])
{
    snprintf(etag, ETAG, "\"%" PRIx64 "-%s-%" PRIx64 "\"", (uint64_t)r->updated, transfer_state_name(r->state),
             r->sent);
}

static bool is_known(struct request *rq, const struct record *r)
{
    const char *known = request_header(rq, "If-None-Match");
    char etag[ETAG];

    etag_of(r, etag);
    return known && etag_listed(known, etag);
}

static enum MHD_Result got_transfer(struct request *rq)
{
    const struct record *r = rq->got.record;
    char etag[ETAG];

    if (!r && rq->got.error.code == ERR_NONE)
        return api_transfer_get(rq); /* whoever hung up gets what is known now */
    if (!r)
        return reply_problem(rq, &rq->got.error, STAGE_REQUEST, NULL);
    if (!token_sees(rq->token, r))
        return reply_hidden(rq);
    etag_of(r, etag);
    reply_header(rq, "ETag", "%s", etag);
    if (rq->prefer.wait)
        reply_header(rq, "Preference-Applied", "wait=%" PRId64, rq->wait_ms / 1000);
    if (is_known(rq, r))
        return reply_text(rq, 304, NULL, NULL);
    return reply_transfer(rq, 200, r);
}

/* Who knows it as it is waits for it to change. One that is over does not. */
static enum MHD_Result got_known(struct request *rq)
{
    const struct record *r = rq->got.record;
    struct record_stamp was;

    if (!r || rq->hung_up || transfer_state_final(r->state) || !token_sees(rq->token, r) || !is_known(rq, r))
        return got_transfer(rq);
    was = record_stamp(r);
    request_wait(rq, WAIT_ANSWER, got_transfer);
    gateway_wait_change(rq->gw, rq->target.segment[2], &was, rq->wait_ms, request_got_record, rq);
    return MHD_YES;
}

/* Of a transfer that is not the caller's even the time that an answer takes tells nothing: it is looked for before it
 * is waited for, or cancelled. */
static enum MHD_Result looked(struct request *rq)
{
    const struct record *r = rq->got.record;
    bool cut_short = !r && rq->got.error.code == ERR_NONE;

    if (!r && !cut_short)
        return reply_problem(rq, &rq->got.error, STAGE_REQUEST, NULL);
    if (r && !token_sees(rq->token, r))
        return reply_hidden(rq);
    rq->seen = r != NULL;
    return rq->route->end(rq);
}

static enum MHD_Result look(struct request *rq)
{
    request_wait(rq, WAIT_ANSWER, looked);
    gateway_get(rq->gw, rq->target.segment[2], request_got_record, rq);
    return MHD_YES;
}

static bool must_look(const struct request *rq)
{
    return !rq->seen && !token_sees_all(rq->token);
}

enum MHD_Result api_transfer_get(struct request *rq)
{
    const char *id = rq->target.segment[2];
    bool wait = rq->wait_ms > 0 && !rq->hung_up; /* who claims the request may write to it */

    if (wait && must_look(rq))
        return look(rq);
    if (wait && request_header(rq, "If-None-Match")) {
        request_wait(rq, WAIT_ANSWER, got_known);
        gateway_get(rq->gw, id, request_got_record, rq);
        return MHD_YES;
    }
    request_wait(rq, WAIT_ANSWER, got_transfer);
    if (wait)
        gateway_wait(rq->gw, id, rq->wait_ms, request_got_record, rq);
    else
        gateway_get(rq->gw, id, request_got_record, rq);
    return MHD_YES;
}

static enum MHD_Result cancelled(struct request *rq)
{
    if (!rq->got.record)
        return reply_problem(rq, &rq->got.error, STAGE_REQUEST, NULL);
    return reply_transfer(rq, 200, rq->got.record);
}

enum MHD_Result api_transfer_cancel(struct request *rq)
{
    if (must_look(rq))
        return look(rq);
    request_wait(rq, WAIT_ANSWER, cancelled);
    gateway_cancel(rq->gw, rq->target.segment[2], request_got_record, rq);
    return MHD_YES;
}

static enum MHD_Result retried(struct request *rq)
{
    if (!rq->got.record)
        return reply_problem(rq, &rq->got.error, STAGE_REQUEST, NULL);
    return reply_transfer(rq, 202, rq->got.record);
}

/* An address that is none of ours any more gives way to the default sender's. */
static bool may_send_again(struct request *rq, const struct record *r, struct error *err)
{
    char name[JID_PART + 1];
    struct jid from;
    bool usual;

    if (!r->from || !jid_parse(&from, r->from, strlen(r->from), NULL))
        return true;
    snprintf(name, sizeof name, "%.*s", (int)from.local, from.text);
    return !gateway_sender(rq->gw, name, &from, &usual, NULL) ||
           token_may_send_as(rq->token, &from, usual, rq->refusal.rule, err);
}

/* What a token may reach may have changed since, or be less than another one's that sent it. */
static bool may_reach_again(struct request *rq, struct error *err)
{
    const struct record *r = rq->got.record;
    struct jid to;

    return !r || (jid_parse(&to, r->to, strlen(r->to), err) && token_may_reach(rq->token, &to, rq->refusal.rule, err) &&
                  may_send_again(rq, r, err));
}

enum MHD_Result api_transfer_retry(struct request *rq)
{
    struct error err;

    if (!rq->seen)
        return look(rq);
    if (!may_reach_again(rq, &err))
        return reply_problem(rq, &err, STAGE_REQUEST, NULL);
    request_wait(rq, WAIT_COMMIT, retried);
    gateway_retry(rq->gw, rq->target.segment[2], request_got_record, rq);
    return MHD_YES;
}

/* ---- the list */

static bool read_filter(const struct request *rq, struct record_filter *f, struct jid *to, struct error *err)
{
    char *const *value = rq->params.value;
    struct list_window window;

    if (!list_window_read(rq, "tr", &window, err))
        return false;
    *f = (struct record_filter){
        .before = window.before, .since = window.since, .limit = window.limit, .labels = value[PARAM_LABEL]};
    if (!token_sees_all(rq->token))
        f->token = rq->token->id;
    if (value[PARAM_TO] && strchr(value[PARAM_TO], '\n'))
        return error_set(err, ERR_PARAMETER_INVALID, "'to' is given twice");
    if (value[PARAM_TO] && !jid_parse(to, value[PARAM_TO], strlen(value[PARAM_TO]), err))
        return false;
    if (value[PARAM_TO])
        f->to = to->text;
    f->by_state = value[PARAM_STATE] != NULL;
    if (f->by_state && !transfer_state_parse(value[PARAM_STATE], &f->state))
        return error_set(err, ERR_PARAMETER_INVALID, "state: there is no '%s'", value[PARAM_STATE]);
    return true;
}

static enum MHD_Result listed(struct request *rq)
{
    struct record_list *list = &rq->got.list;
    struct list_page page = {0};
    char last[ID_SIZE] = "";

    if (rq->got.error.code != ERR_NONE)
        return reply_problem(rq, &rq->got.error, STAGE_REQUEST, NULL);
    for (size_t i = 0; i < list->count; i++) {
        list_add(&page, json_of_transfer(list->items[i]));
        memcpy(last, list->items[i]->id, sizeof last);
        record_free(&list->items[i]);
    }
    return list_reply(rq, &page, "/v1/transfers", list->more && *last ? last : NULL);
}

enum MHD_Result api_transfers_list(struct request *rq)
{
    struct record_filter filter;
    struct error err = {0};
    struct jid to;

    if (!read_filter(rq, &filter, &to, &err))
        return reply_problem(rq, &err, STAGE_REQUEST, NULL);
    request_wait(rq, WAIT_ANSWER, listed);
    gateway_list(rq->gw, &filter, request_got_list, rq);
    return MHD_YES;
}
