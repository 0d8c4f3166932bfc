/* api/upload.c - PUT and POST /v1/to/{jid}[/{name}]: from the first header to the final state, if that is waited for.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/digests.h"
#include "api/handlers.h"
#include "api/idempotency.h"
#include "api/reply.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"

/* The file's name: the path's, then `name`, then Content-Disposition; a form's part or the gateway names it else. */
bool api_upload_name(struct request *rq, struct error *err)
{
    const char *disposition = request_header(rq, "Content-Disposition");
    const char *name = rq->params.value[PARAM_NAME];

    if (rq->target.segments == 4)
        name = rq->target.segment[3];
    if (!name)
        return !disposition || !disposition_filename(disposition, rq->name, sizeof rq->name) ||
               text_name_check(rq->name, strlen(rq->name), err);
    if (!text_name_check(name, strlen(name), err))
        return false;
    snprintf(rq->name, sizeof rq->name, "%s", name);
    return true;
}

/* curl and HTML forms label raw bytes as a form when nobody says what they are. */
static bool take_type(struct request *rq, struct error *err)
{
    const char *type = request_header(rq, "Content-Type");

    if (!type || !*type || media_type_is(type, "application/x-www-form-urlencoded"))
        return true;
    if (!media_type_valid(type))
        return error_set(err, ERR_MEDIA_REFUSED, "the Content-Type is no media type");
    snprintf(rq->type, sizeof rq->type, "%s", type);
    return true;
}

struct promise {
    struct digests content, repr;
    struct error error; /* ERR_NONE: all could be read */
};

static enum MHD_Result read_promise(void *user, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct promise *p = user;
    struct digests *d = strcasecmp(name, "Content-Digest") == 0 ? &p->content : NULL;

    (void)kind;
    if (strcasecmp(name, "Repr-Digest") == 0)
        d = &p->repr;
    return !d || digests_read(d, value ? value : "", &p->error) ? MHD_YES : MHD_NO;
}

/* A form's digest is that of the form; what a part of it comes to nobody said. */
static bool take_promise(struct request *rq, struct error *err)
{
    struct promise p = {0};

    MHD_get_connection_values(rq->connection, MHD_HEADER_KIND, read_promise, &p);
    if (p.error.code != ERR_NONE)
        return error_set(err, p.error.code, "%s", p.error.text);
    if (!digests_merge(&p.content, &p.repr, err))
        return false;
    rq->promised = p.content;
    if (rq->form && (rq->promised.has_sha256 || rq->promised.has_sha512))
        return error_set(err, ERR_DIGEST_UNSUPPORTED, "the digest of a form or of JSON is that of no file");
    return true;
}

/* Without a length of its own a body is spooled, whatever was asked for: an offer states a size. */
static bool take_mode(const struct request *rq, enum mode *mode, struct error *err)
{
    const char *asked = rq->params.value[PARAM_MODE];

    *mode = gateway_config(rq->gw)->delivery.mode;
    if (asked && !mode_parse(asked, mode))
        return error_set(err, ERR_PARAMETER_INVALID, "mode: one of 'auto', 'stream' and 'spool'");
    if (rq->announced < 0 || rq->form || rq->tus)
        *mode = MODE_SPOOL;
    return true;
}

/* Parameters whose meaning is the gateway's are checked there; those whose form is ours are read here. */
static bool may_send_as(struct request *rq, const char *asked, struct error *err)
{
    struct jid from;
    bool usual;

    return gateway_sender(rq->gw, asked, &from, &usual, err) &&
           token_may_send_as(rq->token, &from, usual, rq->refusal.rule, err);
}

bool api_submission_of(struct request *rq, struct submission *s, struct error *err)
{
    char *const *value = rq->params.value;

    *s = (struct submission){
        .to = &rq->to,
        .name = *rq->name ? rq->name : NULL,
        .type = *rq->type ? rq->type : NULL,
        .from = value[PARAM_FROM],
        .caption = value[PARAM_CAPTION],
        .labels = value[PARAM_LABEL],
        .methods = value[PARAM_METHODS],
        .request_id = rq->id,
        .traceparent = *rq->traceparent ? rq->traceparent : NULL,
        .token = rq->token ? rq->token->id : NULL,
        .digest = value[PARAM_DIGEST] != NULL,
        .promised = rq->promised.has_sha256 || rq->promised.has_sha512 ? &rq->promised : NULL,
        .hold_ms = -1,
        .subscribe = value[PARAM_SUBSCRIBE] != NULL,
    };
    if (!may_send_as(rq, s->from, err) || !take_mode(rq, &s->mode, err))
        return false;
    if (s->digest && strcmp(value[PARAM_DIGEST], "sha-256") != 0)
        return error_set(err, ERR_PARAMETER_INVALID, "digest: the one that can be computed is 'sha-256'");
    if (value[PARAM_TTL] && (!duration_parse(value[PARAM_TTL], &s->ttl_ms) || s->ttl_ms == 0))
        return error_set(err, ERR_PARAMETER_INVALID, "ttl: a time like 30s, 15m, 12h or 7d");
    if (value[PARAM_HOLD] && !duration_parse(value[PARAM_HOLD], &s->hold_ms))
        return error_set(err, ERR_PARAMETER_INVALID, "hold: a time like 30s, 15m, 12h or 7d, or 0");
    if (s->subscribe && strcmp(value[PARAM_SUBSCRIBE], "ask") != 0)
        return error_set(err, ERR_PARAMETER_INVALID, "subscribe: the one thing to do is 'ask'");
    return true;
}

bool api_submission_check(struct request *rq, struct error *err)
{
    struct submission s;

    return api_submission_of(rq, &s, err) && gateway_submission_check(rq->gw, &s, err);
}

static enum MHD_Result open_stream(struct request *rq);
static enum MHD_Result reserve_key(struct request *rq);

/* What has no length is measured as it comes. */
static bool check_size(struct request *rq, struct error *err)
{
    return rq->announced < 0 || token_may_send(rq->token, (uint64_t)rq->announced, rq->refusal.rule, err);
}

/* A length that is announced is paid for at once: two large files at a time cannot each find room for one. */
static uint64_t announced_size(const struct request *rq)
{
    return rq->announced > 0 && !rq->form ? (uint64_t)rq->announced : 0;
}

bool api_upload_check(struct request *rq, struct error *err)
{
    return limits_check(rq->gate->limits, rq->token, announced_size(rq), &rq->refusal, err);
}

bool api_upload_spend(struct request *rq, const char *id, struct error *err)
{
    if (!limits_spend(rq->gate->limits, rq->token, announced_size(rq), &rq->refusal, err))
        return false;
    rq->spent = announced_size(rq);
    snprintf(rq->counted, sizeof rq->counted, "%s", id);
    return true;
}

bool api_upload_count(struct request *rq, struct error *err)
{
    if (!api_upload_spend(rq, gateway_upload_id(rq->upload), err))
        return false;
    limits_begin(rq->gate->limits, rq->token, rq->counted);
    return true;
}

void api_upload_settle(struct request *rq)
{
    if (!*rq->counted)
        return;
    limits_end(rq->gate->limits, rq->token, rq->counted);
    several_settle(rq);
    if (rq->spent > rq->taken)
        limits_refund(rq->gate->limits, rq->token, rq->spent - rq->taken);
}

/* Takes the key, if there is one. */
static bool begin_upload(struct request *rq, struct error *err)
{
    struct submission s;

    if (rq->order)
        return true; /* once it is read */
    if (rq->form)
        return multipart_create(rq, err);
    if (!api_submission_of(rq, &s, err) || !api_upload_check(rq, err))
        return false;
    s.key = rq->key;
    rq->upload = gateway_upload_begin(rq->gw, rq->announced, &s, err);
    if (!rq->upload)
        return false;
    rq->key = NULL;
    rq->streams = s.mode == MODE_STREAM;
    return api_upload_count(rq, err);
}

/* With a key the upload begins only when it is known to be the first by that key. */
static bool begin_or_look(struct request *rq, struct error *err)
{
    if (!idempotency_begin(rq, err))
        return false;
    if (rq->key_used.text[0]) {
        rq->before = reserve_key;
        return true;
    }
    if (!begin_upload(rq, err))
        return false;
    if (rq->streams)
        rq->before = open_stream;
    return true;
}

bool api_upload_begin(struct request *rq, struct error *err)
{
    rq->form = multipart_wanted(rq);
    if (!api_recipient_begin(rq, err) || !api_upload_name(rq, err) || !take_promise(rq, err) ||
        !api_wait_begin(rq, err))
        return false;
    if (!rq->form && !take_type(rq, err))
        return false;
    return api_submission_check(rq, err) && (rq->form || check_size(rq, err)) && begin_or_look(rq, err);
}

/* `to` as a parameter; who they are may be known before the form or only at its end. */
bool api_upload_to(struct request *rq, struct error *err)
{
    return several_recipients(rq, rq->params.value[PARAM_TO], err);
}

bool api_form_begin(struct request *rq, struct error *err)
{
    rq->form = true;
    if (!multipart_wanted(rq) && !order_wanted(rq))
        return error_set(err, ERR_MEDIA_REFUSED, "POST /v1/transfers takes multipart/form-data or application/json");
    if (order_wanted(rq))
        return order_create(rq, err) && take_promise(rq, err) && api_wait_begin(rq, err) && begin_or_look(rq, err);
    if (!api_upload_name(rq, err) || !take_promise(rq, err) || !api_wait_begin(rq, err))
        return false;
    if (rq->params.value[PARAM_TO] && !api_upload_to(rq, err))
        return false;
    return begin_or_look(rq, err);
}

bool api_upload_body(struct request *rq, const char *data, size_t len, struct error *err)
{
    if (rq->order)
        return order_feed(rq, data, len, err);
    if (rq->multipart)
        return multipart_feed(rq, data, len, err);
    return api_upload_take(rq, data, len, err);
}

bool api_upload_pay(struct request *rq, struct error *err)
{
    if (rq->taken <= rq->spent)
        return true;
    if (!limits_spend(rq->gate->limits, rq->token, rq->taken - rq->spent, &rq->refusal, err))
        return false;
    rq->spent = rq->taken;
    return true;
}

bool api_upload_take(struct request *rq, const char *data, size_t len, struct error *err)
{
    rq->taken += len;
    rq->file_taken += len;
    return token_may_send(rq->token, rq->file_taken, rq->refusal.rule, err) && api_upload_pay(rq, err) &&
           gateway_upload_append(rq->upload, data, len, rq->more, err);
}

void api_upload_drop(struct request *rq)
{
    char trace[TRACE_ID];

    multipart_destroy(&rq->multipart);
    api_tus_drop(rq);
    several_drop(rq);
    if (!rq->upload)
        return;
    log_info("http.upload_dropped", log_str("transfer", gateway_upload_id(rq->upload)), log_str("request_id", rq->id),
             log_str("code", error_name(rq->error.code)), log_opt("trace_id", trace_id(rq->traceparent, trace)));
    gateway_upload_abort(&rq->upload, &rq->error);
}

/* ---- the answer */

/* Asked to wait, a caller wants to know from the status alone whether the file arrived. */
static enum MHD_Result reply_final(struct request *rq, const struct record *r)
{
    struct error error = record_error(r);

    if (r->state == TRANSFER_DELIVERED || r->state == TRANSFER_LINK_SENT || r->state == TRANSFER_LINK_FETCHED)
        return reply_transfer(rq, 200, r);
    if (error.code == ERR_NONE && r->state == TRANSFER_CANCELLED)
        error_set(&error, ERR_CANCELLED, "the transfer was cancelled");
    else if (error.code == ERR_NONE && r->state == TRANSFER_EXPIRED)
        error_set(&error, ERR_TTL_EXPIRED, "the transfer expired");
    else if (error.code == ERR_NONE)
        error_set(&error, ERR_INTERNAL, "the transfer failed without a reason");
    reply_header(rq, "Location", "/v1/transfers/%s", r->id);
    return reply_problem(rq, &error, r->error_stage, r);
}

static enum MHD_Result reply_accepted(struct request *rq, const struct record *r)
{
    if (rq->prefer.async)
        reply_header(rq, "Preference-Applied", "respond-async");
    return reply_transfer(rq, 202, r);
}

static enum MHD_Result waited(struct request *rq)
{
    /* Without an answer, say because we stop, the transfer is still accepted: its own record tells. */
    const struct record *r = rq->got.record ? rq->got.record : rq->kept;

    if (rq->prefer.wait)
        reply_header(rq, "Preference-Applied", "wait=%" PRId64, rq->wait_ms / 1000);
    return transfer_state_final(r->state) ? reply_final(rq, r) : reply_accepted(rq, r);
}

enum MHD_Result api_upload_committed(struct request *rq)
{
    if (!rq->got.record)
        return reply_problem(rq, &rq->got.error, STAGE_UPLOAD, NULL);
    if (rq->wait_ms == 0)
        return reply_accepted(rq, rq->got.record);
    if (transfer_state_final(rq->got.record->state))
        return waited(rq);
    rq->kept = rq->got.record;
    rq->got.record = NULL;
    request_wait(rq, WAIT_ANSWER, waited);
    gateway_wait(rq->gw, rq->kept->id, rq->wait_ms, request_got_record, rq);
    return MHD_YES;
}

/* ---- mode stream: nothing is taken before the recipient accepts, and the answer is the end */

static enum MHD_Result opened(struct request *rq)
{
    struct record *r = rq->got.record;
    bool open = r && !transfer_state_final(r->state);
    enum MHD_Result result;

    rq->got.record = NULL;
    if (open) {
        record_free(&r);
        return request_take_body(rq);
    }
    rq->unread = rq->announced > 0;
    rq->error = r ? record_error(r) : rq->got.error;
    api_upload_drop(rq);
    if (r)
        result = reply_final(rq, r);
    else if (rq->hung_up)
        result = MHD_NO;
    else
        result = reply_problem(rq, &rq->error, STAGE_QUEUE, NULL);
    record_free(&r);
    return result;
}

static enum MHD_Result open_stream(struct request *rq)
{
    request_wait(rq, WAIT_ANSWER, opened);
    gateway_upload_open(rq->upload, request_got_record, rq);
    return MHD_YES;
}

static enum MHD_Result streamed(struct request *rq)
{
    const struct record *r = rq->got.record;
    struct error error = rq->got.error;

    if (r && transfer_state_final(r->state))
        return reply_final(rq, r);
    if (error.code == ERR_NONE)
        error_set(&error, ERR_DRAINING, "the gateway is stopping, and the file not delivered yet");
    return reply_problem(rq, &error, STAGE_TRANSFER, r);
}

/* ---- a request with a key: the first by it, or one that is told of that */

static enum MHD_Result refuse_key(struct request *rq, const struct error *err)
{
    gateway_release(&rq->key);
    rq->unread = rq->announced != 0;
    return reply_problem(rq, err, STAGE_REQUEST, NULL);
}

/* Its body is not needed any more. */
static enum MHD_Result replay(struct request *rq)
{
    const struct record *r = rq->got.record;

    rq->unread = rq->announced != 0;
    metric_add(METRIC_IDEMPOTENT_REPLAYS, 1);
    reply_header(rq, "Idempotent-Replayed", "true");
    if (r->batch)
        return several_replay(rq, r->batch);
    if (r->mode == MODE_STREAM && transfer_state_final(r->state))
        return reply_final(rq, r);
    return api_upload_committed(rq);
}

static enum MHD_Result reserved(struct request *rq)
{
    const struct error error = rq->got.error;

    if (rq->got.record)
        return replay(rq);
    if (error.code == ERR_IDEMPOTENCY_IN_PROGRESS) {
        reply_header(rq, "Location", "/v1/transfers/%s", rq->got.busy);
        reply_header(rq, "Retry-After", "5");
    }
    if (error.code != ERR_NONE)
        return refuse_key(rq, &error);
    if (!begin_upload(rq, &rq->error))
        return refuse_key(rq, &rq->error);
    return rq->streams ? open_stream(rq) : request_take_body(rq);
}

/* Short, and nothing that is given up when the caller seems to be gone. */
static enum MHD_Result reserve_key(struct request *rq)
{
    request_wait(rq, WAIT_COMMIT, reserved);
    gateway_reserve(rq->gw, &rq->key_used, request_got_key, rq);
    return MHD_YES;
}

/* Only now are all parts known. */
static bool finish_form(struct request *rq, struct error *err)
{
    if (!multipart_finish(rq, err))
        return false;
    if (rq->params.value[PARAM_NAME] && !api_upload_name(rq, err))
        return false;
    if (rq->to.text[0])
        return api_submission_check(rq, err);
    if (!rq->params.value[PARAM_TO])
        return error_set(err, ERR_PARAMETER_INVALID, "the form has no 'to': whom the file is for");
    return api_upload_to(rq, err);
}

enum MHD_Result api_upload_end(struct request *rq)
{
    struct submission s;

    if (rq->order)
        return order_finish(rq);
    if ((rq->multipart && !finish_form(rq, &rq->error)) || !api_submission_of(rq, &s, &rq->error)) {
        api_upload_drop(rq);
        return reply_problem(rq, &rq->error, STAGE_REQUEST, NULL);
    }
    multipart_destroy(&rq->multipart);
    if (several_is_one(rq))
        return several_finish(rq);
    if (rq->streams)
        request_wait(rq, WAIT_ANSWER, streamed);
    else
        request_wait(rq, WAIT_COMMIT, api_upload_committed);
    gateway_upload_finish(&rq->upload, &s, request_got_record, rq);
    return MHD_YES;
}
