#include "api/reply.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "api/json.h"
#include "api/problem.h"
#include "api/tls.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"

#define PROBLEM_TYPE "application/problem+json"

enum { STREAM_BLOCK = 1024 }; /* of HTTP/1.0 only: chunks are made in the connection's own memory */

void reply_header(struct request *rq, const char *name, const char *fmt, ...)
{
    char *value = NULL;
    va_list args;

    assert(rq->headers < REQUEST_HEADERS);
    va_start(args, fmt);
    if (vasprintf(&value, fmt, args) < 0)
        value = NULL;
    va_end(args);
    if (!value)
        return; /* out of memory: the answer is still true without it */
    rq->header[rq->headers].name = name;
    rq->header[rq->headers++].value = value;
}

typedef void header_fn(void *out, const char *name, const char *value);

/* Every header of the answer but those of its framing. */
static void each_header(const struct request *rq, const char *type, header_fn *add, void *out)
{
    if (type)
        add(out, "Content-Type", type);
    add(out, "Cache-Control", rq->cache ? rq->cache : "no-store");
    add(out, "X-Content-Type-Options", "nosniff");
    add(out, "X-Request-Id", rq->id);
    if (*rq->traceparent)
        add(out, "traceparent", rq->traceparent);
    if (rq->close)
        add(out, "Connection", "close");
    for (size_t i = 0; i < rq->headers; i++)
        add(out, rq->header[i].name, rq->header[i].value);
}

static void add_to_response(void *out, const char *name, const char *value)
{
    MHD_add_response_header(out, name, value);
}

static void answered(struct request *rq, unsigned status)
{
    assert(rq->phase != PHASE_ANSWERED);
    rq->phase = PHASE_ANSWERED;
    rq->status = status;
}

static enum MHD_Result send_response(struct request *rq, unsigned status, const char *type,
                                     struct MHD_Response *response)
{
    enum MHD_Result result;

    each_header(rq, type, add_to_response, response);
    result = MHD_queue_response(rq->connection, status, response);
    MHD_destroy_response(response);
    return result;
}

enum MHD_Result reply_text(struct request *rq, unsigned status, const char *type, char *body)
{
    enum MHD_ResponseMemoryMode mode = body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT;
    struct MHD_Response *response = MHD_create_response_from_buffer(body ? strlen(body) : 0, body, mode);

    answered(rq, status);
    if (!response) {
        free(body);
        return MHD_NO;
    }
    return send_response(rq, status, type, response);
}

enum MHD_Result reply_static(struct request *rq, unsigned status, const char *type, const void *data, size_t len)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, (void *)(uintptr_t)data, MHD_RESPMEM_PERSISTENT);

    answered(rq, status);
    return response ? send_response(rq, status, type, response) : MHD_NO;
}

enum MHD_Result reply_file(struct request *rq, unsigned status, const char *type, int fd, uint64_t from, uint64_t to)
{
    struct MHD_Response *response = MHD_create_response_from_fd_at_offset64(to - from, fd, from);

    answered(rq, status);
    if (!response) {
        fd_close(&fd);
        return MHD_NO;
    }
    return send_response(rq, status, type, response);
}

enum MHD_Result reply_stream(struct request *rq, const char *type, MHD_ContentReaderCallback read,
                             MHD_ContentReaderFreeCallback done)
{
    struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read, rq, done);

    answered(rq, 200);
    if (!response) {
        done(rq);
        return MHD_NO;
    }
    if (rq->head) /* else the library ends chunks that it never began, in front of the next answer */
        MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
    return send_response(rq, 200, type, response);
}

enum MHD_Result reply_no_memory(struct request *rq)
{
    struct problem p = problem_of(ERR_INTERNAL);
    struct MHD_Response *response;
    char line[512]; /* the names below need no escapes */
    int len;

    error_set(&rq->error, ERR_INTERNAL, "out of memory for the answer");
    len = snprintf(line, sizeof line,
                   "{\"type\":\"/problems/internal\",\"title\":\"%s\",\"status\":500,\"code\":\"internal\","
                   "\"detail\":\"there was no memory for the answer; what was asked for may have been done\","
                   "\"stage\":\"request\",\"retryable\":true,\"hint\":\"%s\",\"request_id\":\"%s\"}\n",
                   p.title, p.hint, rq->id);
    answered(rq, 500);
    response = MHD_create_response_from_buffer((size_t)len, line, MHD_RESPMEM_MUST_COPY);
    return response ? send_response(rq, 500, PROBLEM_TYPE, response) : MHD_NO;
}

enum MHD_Result reply_json(struct request *rq, unsigned status, json_t *body)
{
    char *line = json_line(body);

    if (!line)
        return reply_no_memory(rq);
    return reply_text(rq, status, status < 400 ? "application/json" : PROBLEM_TYPE, line);
}

/* Basic makes a browser ask for a password in a window of its own, also where a page of ours that fetched something
 * has asked for the token already. */
static bool is_of_a_page(struct request *rq)
{
    const char *mode = request_header(rq, "Sec-Fetch-Mode");

    return mode && strcasecmp(mode, "navigate") != 0;
}

static void add_problem_headers(struct request *rq, unsigned status)
{
    if (status == 401) {
        reply_header(rq, "WWW-Authenticate", "Bearer realm=\"jidpost\"");
        if (!is_of_a_page(rq))
            reply_header(rq, "WWW-Authenticate", "Basic realm=\"jidpost\", charset=\"UTF-8\"");
    }
    if (status == 429 || status == 503 || status == 507)
        reply_header(rq, "Retry-After", "%u", rq->refusal.again_s > 0 ? rq->refusal.again_s : 10);
}

/* What failed here, for the line about the request; a delivery that failed is told by its own lines. */
static void note_problem(struct request *rq, unsigned status, const struct error *err)
{
    char trace[TRACE_ID];

    if (err != &rq->error)
        rq->error = *err;
    if (status >= 500)
        log_warn("http.problem", log_str("request_id", rq->id), log_str("code", error_name(err->code)),
                 log_str("detail", err->text), log_opt("trace_id", trace_id(rq->traceparent, trace)));
}

/* With the rule of the caller's token, when that is why. */
static json_t *problem_for(const struct request *rq, const struct error *err, enum stage stage,
                           const struct record *transfer)
{
    json_t *out = problem_json(err, stage, rq->id, transfer);

    if (out && *rq->refusal.rule)
        json_object_set_new(out, "rule", json_of_text(rq->refusal.rule));
    return out;
}

enum MHD_Result reply_problem(struct request *rq, const struct error *err, enum stage stage,
                              const struct record *transfer)
{
    unsigned status = problem_of(err->code).status;

    if (!transfer)
        note_problem(rq, status, err);
    add_problem_headers(rq, status);
    return reply_json(rq, status, problem_for(rq, err, stage, transfer));
}

static void add_to_text(void *out, const char *name, const char *value)
{
    buf_printf(out, "%s: %s\r\n", name, value);
}

/* Nothing was sent before, so a kilobyte fits the socket's buffer; if not, the caller is gone or hostile. */
static void send_past(int fd, struct buf *text)
{
    if (!text->failed)
        (void)!send(fd, text->data, text->len, MSG_DONTWAIT | MSG_NOSIGNAL);
    buf_free(text);
}

enum MHD_Result reply_mid_body(struct request *rq, const struct error *err, enum stage stage)
{
    unsigned status = problem_of(err->code).status;
    char *body = json_line(problem_for(rq, err, stage, NULL));
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(rq->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct buf text = {0};

    rq->close = true;
    answered(rq, status);
    note_problem(rq, status, err);
    add_problem_headers(rq, status);
    buf_printf(&text, "HTTP/1.1 %u %s\r\n", status, MHD_get_reason_phrase_for(status));
    each_header(rq, body ? PROBLEM_TYPE : NULL, add_to_text, &text);
    buf_printf(&text, "Content-Length: %zu\r\n\r\n%s", body ? strlen(body) : 0, body ? body : "");
    if (!text.failed && tls_send(rq->connection, text.data, text.len))
        buf_free(&text);
    else if (info)
        send_past(info->connect_fd, &text);
    free(body);
    return MHD_NO;
}

void reply_unasked(int fd, const struct error *err, enum stage stage, const char *id)
{
    unsigned status = problem_of(err->code).status;
    char *body = json_line(problem_json(err, stage, id, NULL));
    struct buf text = {0};

    buf_printf(&text, "HTTP/1.1 %u %s\r\n", status, MHD_get_reason_phrase_for(status));
    buf_printf(&text,
               "Content-Type: " PROBLEM_TYPE "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
    buf_printf(&text, "X-Request-Id: %s\r\nConnection: close\r\n", id);
    buf_printf(&text, "Content-Length: %zu\r\n\r\n%s", body ? strlen(body) : 0, body ? body : "");
    send_past(fd, &text);
    free(body);
}
