#include "api/request.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "api/handlers.h"
#include "api/head.h"
#include "api/inbox_wait.h"
#include "api/reply.h"
#include "api/routes.h"
#include "api/streams.h"
#include "api/tls.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/metrics.h"

struct request *request_create(struct gateway *gw, struct gate *gate, const char *raw,
                               struct MHD_Connection *connection, struct connection *conn)
{
    struct request *rq = calloc(1, sizeof *rq);

    if (!rq)
        return NULL;
    atomic_init(&rq->refs, 1);
    atomic_init(&rq->waiting, WAIT_NONE);
    rq->gw = gw;
    rq->gate = gate;
    rq->connection = connection;
    rq->conn = conn;
    rq->caller = *connection_peer(conn);
    rq->started = clock_ms();
    rq->got.download.fd = -1;
    rq->raw = raw;
    rq->raw_len = strlen(raw);
    target_parse(&rq->target, raw, &rq->error);
    return rq;
}

void request_release(struct request *rq)
{
    if (atomic_fetch_sub(&rq->refs, 1) > 1)
        return;
    api_upload_drop(rq);
    api_tus_free(rq);
    several_free(&rq->several);
    order_free(&rq->order);
    gateway_release(&rq->key);
    target_free(&rq->target);
    tokens_release(&rq->tokens);
    params_free(&rq->params);
    record_free(&rq->got.record);
    record_list_free(&rq->got.list);
    recipient_free(&rq->got.recipient);
    api_webhooks_drop(rq);
    free(rq->got.ladder);
    download_free(&rq->got.download);
    inbox_item_free(&rq->got.item);
    inbox_list_free(&rq->got.items);
    inbox_wait_free(&rq->inbox);
    record_free(&rq->kept);
    stream_free(&rq->stream);
    for (size_t i = 0; i < rq->headers; i++)
        free(rq->header[i].value);
    for (size_t i = 0; i < rq->trimmed_count; i++)
        free(rq->trimmed[i]);
    free(rq);
}

const char *request_header(struct request *rq, const char *name)
{
    const char *value = MHD_lookup_connection_value(rq->connection, MHD_HEADER_KIND, name);
    size_t len = value ? strlen(value) : 0;
    char *trimmed;

    while (len > 0 && strchr(" \t", value[len - 1]))
        len--;
    if (!value || !value[len])
        return value;
    assert(rq->trimmed_count < REQUEST_TRIMMED);
    trimmed = strndup(value, len);
    if (!trimmed)
        return value; /* no check is passed by that which the value itself would fail */
    return rq->trimmed[rq->trimmed_count++] = trimmed;
}

/* ---- the headers */

/* Those that say where a request ends and who may send it. */
enum single { HOST, LENGTH, ENCODING, ORIGIN, FETCH_SITE, AUTHORIZATION, SINGLES };

static const char *const single_name[SINGLES] = {"Host",   "Content-Length", "Transfer-Encoding",
                                                 "Origin", "Sec-Fetch-Site", "Authorization"};

struct framing {
    unsigned count[SINGLES];
    const char *folded; /* whose line seems folded */
    bool bad_name;
};

/* The library joins a folded line to the name of its header, not to the value: "Content-Length:\r\n 5" becomes a header
 * "Content-Length5", which nobody heeds, while a proxy in front may read a length (RFC 9112 section 5.2). */
static enum MHD_Result count_header(void *user, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct framing *f = user;

    (void)kind;
    (void)value;
    for (size_t i = 0; i < SINGLES; i++) {
        size_t len = strlen(single_name[i]);

        if (strncasecmp(name, single_name[i], len) != 0)
            continue;
        if (name[len])
            f->folded = single_name[i];
        else
            f->count[i]++;
    }
    f->bad_name |= !header_is_token(name);
    return MHD_YES;
}

static bool check_names(const struct framing *f, const char *version, struct error *err)
{
    if (f->count[HOST] == 0 && strcmp(version, "HTTP/1.1") == 0)
        return error_set(err, ERR_REQUEST_MALFORMED, "0 Host headers");
    for (size_t i = 0; i < SINGLES; i++)
        if (f->count[i] > 1)
            return error_set(err, ERR_REQUEST_MALFORMED, "%u %s headers", f->count[i], single_name[i]);
    if (f->bad_name)
        return error_set(err, ERR_REQUEST_MALFORMED, "a header's name has characters that no name has");
    if (f->folded)
        return error_set(err, ERR_REQUEST_MALFORMED, "a header's name only begins with '%s', as a folded line's does",
                         f->folded);
    return true;
}

/* Where two readers could disagree about where this request ends, a front proxy and we could be made to see different
 * requests (RFC 9112 section 6.3 and 11.2). The library takes all of these, so they are counted here. The two values
 * are looked at as the library sees them, with any space behind them. */
static bool check_framing(struct request *rq, const char *method, const char *version, struct error *err)
{
    const char *encoding = MHD_lookup_connection_value(rq->connection, MHD_HEADER_KIND, "Transfer-Encoding");
    const char *length = MHD_lookup_connection_value(rq->connection, MHD_HEADER_KIND, "Content-Length");
    struct framing f = {0};
    uint64_t announced = 0;

    MHD_get_connection_values(rq->connection, MHD_HEADER_KIND, count_header, &f);
    /* Until it is sure, something may follow. */
    rq->announced = -1;
    rq->close = true;
    if (f.count[LENGTH] > 1)
        return error_set(err, ERR_LENGTH_CONFLICT, "%u Content-Length headers", f.count[LENGTH]);
    if (f.count[LENGTH] && f.count[ENCODING])
        return error_set(err, ERR_LENGTH_CONFLICT, "Content-Length beside Transfer-Encoding");
    if (length && !number_parse(length, 0, INT64_MAX, &announced))
        return error_set(err, ERR_LENGTH_CONFLICT, "the Content-Length is no length");
    if (encoding && strcasecmp(encoding, "chunked") != 0)
        return error_set(err, ERR_REQUEST_MALFORMED, "the only Transfer-Encoding taken is 'chunked'");
    if (encoding && strcmp(version, "HTTP/1.1") != 0)
        return error_set(err, ERR_REQUEST_MALFORMED, "Transfer-Encoding needs HTTP/1.1");
    if (!check_names(&f, version, err) || !head_check(rq->connection, method, rq->raw, rq->raw_len, version, err))
        return false;
    rq->close = false;
    rq->announced = encoding ? -1 : (int64_t)announced;
    return true;
}

/* The caller's id when it is fit for a log line, else one of ours. */
static void take_id(struct request *rq)
{
    static const char fit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    const char *given = request_header(rq, "X-Request-Id");
    size_t len = given ? strlen(given) : 0;

    if (len > 0 && len <= REQUEST_ID_MAX && strspn(given, fit) == len)
        memcpy(rq->id, given, len + 1);
    else
        id_make(rq->id, "rq", clock_wall_ms());
}

/* A link to one of our pages, followed in a window of its own: no other page can look into that. */
static bool is_led_to(struct request *rq)
{
    const char *mode = request_header(rq, "Sec-Fetch-Mode"), *what = request_header(rq, "Sec-Fetch-Dest");

    return route_has(&rq->target, ROUTE_PAGE) && mode && strcasecmp(mode, "navigate") == 0 && what &&
           strcasecmp(what, "document") == 0;
}

struct traces {
    const char *value;
    unsigned count;
};

static enum MHD_Result find_trace(void *user, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct traces *t = user;

    (void)kind;
    if (strcasecmp(name, "traceparent") == 0 && t->count++ == 0)
        t->value = value ? value : "";
    return MHD_YES;
}

/* One that cannot be read, and one of several, is as good as none (W3C Trace Context section 3.2). */
static void take_trace(struct request *rq)
{
    struct traces t = {0};
    size_t len;

    MHD_get_connection_values(rq->connection, MHD_HEADER_KIND, find_trace, &t);
    if (t.count != 1)
        return;
    for (len = strlen(t.value); len > 0 && strchr(" \t", t.value[len - 1]);)
        len--;
    trace_parse(t.value, len, rq->traceparent);
}

/* The authority of an absolute target overrides the Host header, which has to be the same (RFC 9112 section 3.2); where
 * it is not, a cache in front may file the answer under either. */
static bool check_guard(struct request *rq, struct error *err)
{
    const struct guard *guard = connection_is_for_ops(rq->conn) ? &rq->gate->ops_guard : &rq->gate->guard;
    const char *host = request_header(rq, "Host");
    char authority[300];

    if (rq->target.authority.len >= sizeof authority)
        return error_set(err, ERR_REQUEST_MALFORMED, "the target's authority is too long");
    if (rq->target.authority.len > 0) {
        memcpy(authority, rq->target.authority.at, rq->target.authority.len);
        authority[rq->target.authority.len] = '\0';
        if (host && strcasecmp(host, authority) != 0)
            return error_set(err, ERR_REQUEST_MALFORMED, "the target and the Host header name different hosts");
        host = authority;
    }
    if (route_has(&rq->target, ROUTE_PUBLIC))
        return guard_check_public(guard, host, err);
    return guard_check(guard, host, request_header(rq, "Origin"),
                       is_led_to(rq) ? NULL : request_header(rq, "Sec-Fetch-Site"), err);
}

static enum MHD_Result options_get(struct request *rq)
{
    return reply_text(rq, 204, NULL, NULL);
}

static bool not_found(const struct request *rq, struct error *err)
{
    const struct target *t = &rq->target;

    if (t->segments >= 2 && strcmp(t->segment[1], "to") == 0)
        return error_set(err, ERR_NOT_FOUND, "files go to /v1/to/{jid}/{name}; a '/' inside either is written %%2F");
    return error_set(err, ERR_NOT_FOUND, "there is nothing at this path");
}

static enum MHD_Result keep_forwarded(void *user, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct forwarded *said = user;

    (void)kind;
    if (strcasecmp(name, "X-Forwarded-For") == 0 && said->x_fors++ < FORWARDED_LINES)
        said->x_for[said->x_fors - 1] = value ? value : "";
    if (strcasecmp(name, "Forwarded") == 0 && said->standards++ < FORWARDED_LINES)
        said->standard[said->standards - 1] = value ? value : "";
    return MHD_YES;
}

/* Whom a trusted proxy names as its caller; from then on he is who counts. */
static bool check_caller(struct request *rq, struct error *err)
{
    struct forwarded said = {0};

    if (!trust_has(rq->gate->trust, &rq->caller))
        return true;
    MHD_get_connection_values(rq->connection, MHD_HEADER_KIND, keep_forwarded, &said);
    return forwarded_caller(rq->gate->trust, &said, &rq->caller, err) && connection_count(rq->conn, &rq->caller, err);
}

/* Too many wrong tokens from where this one comes from, wrong or not? */
static bool check_lockout(struct request *rq, bool wrong, struct error *err)
{
    const struct sockaddr *from = (const struct sockaddr *)&rq->caller.at;

    rq->refusal.again_s = lockout_left(rq->gate->lockout, from, wrong);
    if (rq->refusal.again_s > 0) {
        metric_add(METRIC_RATE_LIMITED, 1, "wrong_tokens");
        return error_set(err, ERR_RATE_LIMITED, "too many wrong tokens came from this address or its network");
    }
    if (wrong)
        lockout_failed(rq->gate->lockout, from);
    return true;
}

/* Who calls, and whether that is what the token is for. */
static bool check_rights(struct request *rq, struct error *err)
{
    bool known;

    rq->tokens = tokens_hold(rq->gate->tokens);
    known = auth_check(rq->tokens, request_header(rq, "Authorization"), &rq->token, err);
    if (tokens_any(rq->tokens) && !check_lockout(rq, !known && err->code == ERR_AUTH_INVALID, err))
        return false;
    if (!known)
        return false;
    if (!limits_request(rq->gate->limits, rq->token, &rq->refusal, err))
        return false;
    return !rq->route || token_may(rq->token, rq->route->scope, rq->refusal.rule, err);
}

static bool check_token(struct request *rq, struct error *err)
{
    if (check_rights(rq, err))
        return true;
    if (err->code != ERR_RATE_LIMITED)
        metric_add(METRIC_AUTH_FAILURES, 1, error_name(err->code));
    return false;
}

/* Of the two listeners each has its own. */
static bool is_elsewhere(const struct request *rq)
{
    bool ops = rq->route && rq->route->flags & ROUTE_OPS, open = rq->route && rq->route->flags & ROUTE_OPEN;

    return connection_is_for_ops(rq->conn) ? !ops : rq->gate->ops && ops && !open;
}

static bool needs_token(const struct request *rq)
{
    return !connection_is_for_ops(rq->conn) && !(rq->route && rq->route->flags & ROUTE_OPEN);
}

/* For clients that can say no more than GET and POST. */
static const char *method_meant(struct request *rq, const char *method)
{
    const char *meant = strcmp(method, "POST") == 0 ? request_header(rq, "X-HTTP-Method-Override") : NULL;

    return meant && (strcmp(meant, "PATCH") == 0 || strcmp(meant, "DELETE") == 0) ? meant : method;
}

static bool check_route(struct request *rq, const char *method, struct error *err)
{
    char allow[ROUTE_ALLOW];

    if (route_has(&rq->target, ROUTE_TUS)) {
        method = method_meant(rq, method);
        reply_header(rq, "Tus-Resumable", "1.0.0");
    }
    rq->route = route_find(&rq->target, method, allow);
    if (needs_token(rq) && !check_token(rq, err))
        return false;
    if (is_elsewhere(rq)) {
        rq->route = NULL;
        return not_found(rq, err);
    }
    if (rq->route) {
        rq->step = rq->route->end;
        return true;
    }
    if (!*allow)
        return not_found(rq, err);
    reply_header(rq, "Allow", "%s", allow);
    if (strcmp(method, "OPTIONS") != 0)
        return error_set(err, ERR_METHOD_NOT_ALLOWED, "this path takes %s", allow);
    rq->step = options_get;
    return true;
}

static bool check_body(const struct request *rq, struct error *err)
{
    if (!(rq->route && rq->route->body) && rq->announced > REQUEST_SWALLOW)
        return error_set(err, ERR_BODY_TOO_LARGE, "no body belongs here");
    return true;
}

static bool check_closing(const struct request *rq, struct error *err)
{
    if (atomic_load(&rq->gate->closing) && !(rq->route && rq->route->flags & ROUTE_OPEN))
        return error_set(err, ERR_DRAINING, "the gateway is shutting down");
    return true;
}

static bool check_headers(struct request *rq, const char *method, const char *version, struct error *err)
{
    const struct error target = rq->error;

    if (!check_framing(rq, method, version, err))
        return false;
    if (target.code != ERR_NONE) {
        rq->close = true;
        return error_set(err, target.code, "%s", target.text);
    }
    if (!check_caller(rq, err) || !check_guard(rq, err) || !check_route(rq, method, err) || !check_closing(rq, err) ||
        !check_body(rq, err))
        return false;
    if (!rq->route)
        return true;
    if (!params_read(&rq->params, &rq->target, rq->route->params, err))
        return false;
    return !rq->route->begin || rq->route->begin(rq, err);
}

/* With a token to show callers may use any name; see guard.h. */
static void renew_tokens(struct gate *gate)
{
    struct tokens *fresh = atomic_exchange(&gate->fresh, NULL);

    if (!fresh)
        return;
    tokens_release(&gate->tokens);
    gate->tokens = fresh;
    gate->guard.any_host = tokens_any(fresh);
}

static enum MHD_Result take_step(struct request *rq);

/* In its first call: "100 Continue" goes out only behind it. */
static enum MHD_Result take_before(struct request *rq)
{
    rq->phase = PHASE_BEFORE;
    rq->step = rq->before;
    return take_step(rq);
}

enum MHD_Result request_take_body(struct request *rq)
{
    assert(rq->phase == PHASE_BEFORE);
    rq->phase = PHASE_BODY;
    rq->step = rq->route->end;
    return MHD_YES;
}

/* A refusal is answered at once when a body is to come: a client that asked with "Expect: 100-continue" then keeps it.
 * Without a body the answer waits for the next call, because an early one costs the connection. */
static enum MHD_Result take_headers(struct request *rq, const char *method, const char *version)
{
    struct error err = {0};

    rq->phase = PHASE_BODY;
    rq->stage = STAGE_REQUEST;
    rq->head = strcmp(method, "HEAD") == 0;
    take_id(rq);
    take_trace(rq);
    renew_tokens(rq->gate);
    if (check_headers(rq, method, version, &err)) {
        rq->stage = STAGE_UPLOAD;
        return rq->before ? take_before(rq) : MHD_YES;
    }
    rq->error = err;
    if (rq->announced == 0)
        return MHD_YES;
    rq->unread = true;
    return reply_problem(rq, &rq->error, rq->stage, NULL);
}

/* ---- the body */

static bool drop_body(struct request *rq, struct error *err)
{
    return rq->received <= REQUEST_SWALLOW || error_set(err, ERR_BODY_TOO_LARGE, "no body belongs here");
}

/* The next byte, if it is there: 1; 0: the caller will send no more; -1: none yet. */
static ssize_t peek(const struct request *rq)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(rq->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    char byte;

    return info ? recv(info->connect_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) : -1;
}

static bool has_more(const struct request *rq)
{
    int more = tls_has_more(rq->connection);

    return more < 0 ? peek(rq) > 0 : more > 0;
}

static bool all_is_there(const struct request *rq)
{
    return rq->announced >= 0 && rq->received >= (uint64_t)rq->announced;
}

/* The library reads edge-triggered and takes a short read for the end of what is there. When a caller hung up right
 * behind it, that news is lost until the idle timeout; suspending and resuming makes it look again. Under TLS it reads
 * until there is nothing. true: it does so now, and calls for the same once more. */
static bool notice_end(struct request *rq)
{
    if (rq->more || all_is_there(rq) || tls_has_more(rq->connection) >= 0 || peek(rq) != 0)
        return false;
    MHD_suspend_connection(rq->connection);
    MHD_resume_connection(rq->connection);
    return true;
}

static enum MHD_Result take_body(struct request *rq, const char *data, size_t len)
{
    bool wanted = rq->route && rq->route->body;

    rq->received += len;
    metric_add(METRIC_HTTP_BODY_BYTES, (int64_t)len);
    rq->more = !all_is_there(rq) && has_more(rq);
    if (wanted ? rq->route->body(rq, data, len, &rq->error) : drop_body(rq, &rq->error)) {
        notice_end(rq);
        return MHD_YES;
    }
    assert(rq->error.code != ERR_NONE);
    api_upload_drop(rq);
    rq->unread = true;
    return reply_mid_body(rq, &rq->error, rq->stage);
}

/* `stepping` is up before `closed` is read, and the server reads them the other way round: either the step sees that it
 * is too late, or the server sees the step and waits for what it began. */
static enum MHD_Result take_step(struct request *rq)
{
    enum MHD_Result result = MHD_NO;

    atomic_fetch_add(&rq->gate->stepping, 1);
    if (!atomic_load(&rq->gate->closed))
        result = rq->step(rq);
    atomic_fetch_sub(&rq->gate->stepping, 1);
    return result;
}

/* ---- in the middle of a body: until the recipient has taken more of it */

static bool has_room(const struct request *rq, size_t len)
{
    return !rq->upload || gateway_upload_room(rq->upload, len);
}

/* Any thread. */
static void got_room(void *user)
{
    struct request *rq = user;

    if (request_claim(rq, true))
        request_resume(rq);
    request_release(rq);
}

/* As take_step(): no waiting begins once the server has counted those who wait. */
static enum MHD_Result await_room(struct request *rq, size_t len)
{
    bool closed;

    atomic_fetch_add(&rq->gate->stepping, 1);
    closed = atomic_load(&rq->gate->closed);
    if (!closed) {
        atomic_fetch_add(&rq->refs, 1);
        MHD_suspend_connection(rq->connection);
        atomic_store(&rq->waiting, WAIT_ROOM);
        gateway_upload_await_room(rq->upload, len, got_room, rq);
    }
    atomic_fetch_sub(&rq->gate->stepping, 1);
    return closed ? MHD_NO : MHD_YES;
}

enum MHD_Result request_handle(struct request *rq, const char *method, const char *version, const char *data,
                               size_t *len)
{
    enum MHD_Result result;

    if (rq->phase == PHASE_HEADERS) {
        result = take_headers(rq, method, version);
        if (result == MHD_YES && rq->phase == PHASE_BODY && notice_end(rq))
            rq->phase = PHASE_AGAIN;
        return result;
    }
    if (rq->phase == PHASE_AGAIN) {
        rq->phase = PHASE_BODY;
        return MHD_YES;
    }
    if (rq->phase == PHASE_BEFORE)
        return take_step(rq);
    if (rq->phase == PHASE_BODY && *len > 0 && !has_room(rq, *len))
        return await_room(rq, *len); /* what is not taken comes again */
    if (rq->phase == PHASE_BODY && *len > 0) {
        result = take_body(rq, data, *len);
        *len = 0; /* what is not taken would stall the connection */
        return result;
    }
    assert(rq->phase != PHASE_ANSWERED);
    rq->phase = PHASE_STEP;
    if (rq->error.code != ERR_NONE)
        return reply_problem(rq, &rq->error, rq->stage, NULL);
    return take_step(rq);
}

/* ---- waiting */

void request_wait(struct request *rq, enum waiting why, step_fn *then)
{
    assert((rq->phase == PHASE_STEP || rq->phase == PHASE_BEFORE) && atomic_load(&rq->waiting) == WAIT_NONE);
    record_free(&rq->got.record);
    memset(&rq->got.error, 0, sizeof rq->got.error);
    rq->step = then;
    atomic_fetch_add(&rq->refs, 1);
    MHD_suspend_connection(rq->connection);
    atomic_store(&rq->waiting, why);
}

bool request_claim(struct request *rq, bool force)
{
    int answer = WAIT_ANSWER;

    return atomic_compare_exchange_strong(&rq->waiting, &answer, WAIT_NONE) ||
           (force && atomic_exchange(&rq->waiting, WAIT_NONE) != WAIT_NONE);
}

void request_resume(struct request *rq)
{
    MHD_resume_connection(rq->connection);
}

static void keep_error(struct request *rq, const struct error *err)
{
    if (err)
        rq->got.error = *err;
}

void request_got_record(void *user, struct record *r, const struct error *err)
{
    struct request *rq = user;

    if (request_claim(rq, true)) {
        rq->got.record = r;
        keep_error(rq, r ? NULL : err);
        request_resume(rq);
    } else {
        record_free(&r);
    }
    request_release(rq);
}

void request_got_offset(void *user, uint64_t offset, int64_t expires, const struct error *err)
{
    struct request *rq = user;

    if (request_claim(rq, true)) {
        rq->got.offset = offset;
        rq->got.expires = expires;
        keep_error(rq, err);
        request_resume(rq);
    }
    request_release(rq);
}

void request_got_key(void *user, struct reservation *mine, struct record *made, const char *busy,
                     const struct error *err)
{
    struct request *rq = user;

    if (request_claim(rq, true)) {
        rq->key = mine;
        rq->got.record = made;
        snprintf(rq->got.busy, sizeof rq->got.busy, "%s", busy ? busy : "");
        keep_error(rq, err);
        request_resume(rq);
    } else {
        gateway_release(&mine);
        record_free(&made);
    }
    request_release(rq);
}

void request_got_list(void *user, struct record_list *list, const struct error *err)
{
    struct request *rq = user;

    if (request_claim(rq, true)) {
        keep_error(rq, err);
        if (!err) {
            rq->got.list = *list;
            memset(list, 0, sizeof *list);
        }
        request_resume(rq);
    }
    request_release(rq);
}

void request_got_download(void *user, struct download *d, const struct error *err)
{
    struct request *rq = user;

    if (request_claim(rq, true)) {
        keep_error(rq, err);
        if (!err) {
            rq->got.download = *d;
            *d = (struct download){.fd = -1};
        }
        request_resume(rq);
    }
    request_release(rq);
}

void request_got_item(void *user, struct inbox_item *item, const struct error *err)
{
    struct request *rq = user;

    if (request_claim(rq, true)) {
        rq->got.item = item;
        keep_error(rq, item ? NULL : err);
        request_resume(rq);
    } else {
        inbox_item_free(&item);
    }
    request_release(rq);
}

void request_got_items(void *user, struct inbox_list *list, const struct error *err)
{
    struct request *rq = user;

    if (request_claim(rq, true)) {
        keep_error(rq, err);
        if (!err) {
            rq->got.items = *list;
            memset(list, 0, sizeof *list);
        }
        request_resume(rq);
    }
    request_release(rq);
}

void request_got_content(void *user, struct inbox_item *item, struct download *d, const struct error *err)
{
    struct request *rq = user;

    if (request_claim(rq, true)) {
        rq->got.item = item;
        keep_error(rq, item ? NULL : err);
        if (item) {
            rq->got.download = *d;
            *d = (struct download){.fd = -1};
        }
        request_resume(rq);
    } else {
        inbox_item_free(&item);
    }
    request_release(rq);
}

void request_got_recipient(void *user, struct recipient *r, struct gateway_ladder *ladder, const struct error *err)
{
    struct request *rq = user;

    if (request_claim(rq, true)) {
        keep_error(rq, err);
        rq->got.ladder = ladder;
        ladder = NULL;
        if (!err) {
            rq->got.recipient = *r;
            memset(r, 0, sizeof *r);
        }
        request_resume(rq);
    }
    free(ladder);
    request_release(rq);
}
