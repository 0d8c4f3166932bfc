/* api/events.c - GET /v1/transfers/{id}/events and GET /v1/events: what happens, as it happens.
 *
 * Server-sent events (HTML standard, section 9.2). The library asks for bytes when the socket takes some; while there
 * are none the connection is suspended, and woken by the journal, or by the beat for a comment that keeps it open.
 * Beside the one event being sent nothing is kept for a reader: who falls behind the journal is told so and goes on
 * with how things are. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/handlers.h"
#include "api/json.h"
#include "api/reply.h"
#include "api/streams.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/text.h"

enum { AGAIN_MS = 3000, BEAT_MS = 15 * 1000, LOOKS = 8, FEW = 256 };

struct stream {
    struct events *journal;
    struct event_filter filter; /* its strings are the request's */
    uint64_t after;             /* what was sent, or needs not be */
    bool greeted;
    bool one;   /* of one transfer: it ends with that */
    bool gap;   /* to be told of */
    bool look;  /* how the transfer is has to be asked for */
    bool ended; /* nothing follows what is in `out` */
    unsigned looks;
    struct record *present; /* the answer to that */

    bool filled;    /* more than a comment was written to the memory of the connection */
    struct buf out; /* one event, of which `done` bytes are sent */
    size_t done;

    struct event_waiter waiter;
    atomic_bool armed;            /* the journal has the waiter, or is about to wake it */
    atomic_int_least64_t written; /* monotonic ms */
    atomic_bool beat;             /* a comment is due */
    atomic_bool over;             /* nothing more is told */
};

void stream_free(struct stream **stream)
{
    struct stream *s = *stream;

    *stream = NULL;
    if (!s)
        return;
    record_free(&s->present);
    buf_free(&s->out);
    free(s);
}

/* ---- what is asked for */

/* "1f2e3d4c-17"; false: it is of no event of this run. */
static bool read_last(const char *text, struct events *journal, uint64_t *after)
{
    const char *run = events_run(journal);
    size_t len = strlen(run);

    return strncmp(text, run, len) == 0 && text[len] == '-' && number_parse(text + len + 1, 0, UINT64_MAX, after);
}

static bool read_type(const char *name, size_t len, uint32_t *types, struct error *err)
{
    const char *names[EVENT_TYPE_COUNT], *nearest;
    enum event_type type;
    char word[48];

    snprintf(word, sizeof word, "%.*s", (int)len, name);
    if (event_parse(word, &type)) {
        *types |= EVENT_BIT(type);
        return true;
    }
    for (size_t i = 0; i < EVENT_TYPE_COUNT; i++)
        names[i] = event_name((enum event_type)i);
    nearest = text_nearest(word, names, EVENT_TYPE_COUNT);
    return error_set(err, ERR_PARAMETER_INVALID, "type: there is no '%s'; %s%s", word,
                     nearest ? "did you mean " : "say something like ", nearest ? nearest : "transfer.delivered");
}

static bool read_types(const char *list, uint32_t *types, struct error *err)
{
    while (list) {
        size_t len = strcspn(list, ",");

        if (!read_type(list, len, types, err))
            return false;
        list = list[len] ? list + len + 1 : NULL;
    }
    return true;
}

static struct stream *stream_new(struct request *rq)
{
    const char *last = request_header(rq, "Last-Event-ID");
    struct stream *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    if (!last)
        last = rq->params.value[PARAM_LAST_EVENT_ID];
    s->journal = gateway_events(rq->gw);
    s->after = events_newest(s->journal);
    s->gap = last && !read_last(last, s->journal, &s->after);
    if (!token_sees_all(rq->token))
        s->filter.token = rq->token->id;
    if (rq->token) {
        s->filter.no_inbox = !(rq->token->scopes & SCOPE_INBOX);
        s->filter.inbox_of = rq->token->inbox_of;
    }
    s->look = !last;
    s->waiter.filter = &s->filter;
    atomic_init(&s->written, clock_ms());
    rq->stream = s;
    return s;
}

bool api_events_begin(struct request *rq, struct error *err)
{
    const char *to = rq->params.value[PARAM_TO];
    struct stream *s;

    if (to && !jid_parse(&rq->to, to, strlen(to), err))
        return false;
    s = stream_new(rq);
    if (!s)
        return error_set(err, ERR_INTERNAL, "out of memory");
    s->look = false;
    s->filter.to = to ? rq->to.text : NULL;
    s->filter.labels = rq->params.value[PARAM_LABEL];
    return read_types(rq->params.value[PARAM_TYPE], &s->filter.types, err);
}

bool api_transfer_events_begin(struct request *rq, struct error *err)
{
    struct stream *s;

    if (!api_transfer_begin(rq, err))
        return false;
    rq->wait_ms = 0; /* whatever it prefers: this never is over before the transfer */
    s = stream_new(rq);
    if (!s)
        return error_set(err, ERR_INTERNAL, "out of memory");
    s->one = true;
    snprintf(s->filter.id, sizeof s->filter.id, "%s", rq->target.segment[2]);
    return true;
}

/* ---- one event as text */

static void add_event(struct stream *s, uint64_t seq, const char *type, json_t *body)
{
    char *line = json_line(body);

    buf_printf(&s->out, "id: %s-%" PRIu64 "\nevent: %s\ndata: ", events_run(s->journal), seq, type);
    if (line)
        buf_printf(&s->out, "%s\n", line);
    else
        s->out.failed = true;
    free(line);
}

static void add_gap(struct stream *s)
{
    s->gap = false;
    s->look = s->one;
    s->looks = 0;
    add_event(s, s->after, "reset", json_of_event("reset", clock_wall_ms(), NULL, NULL));
}

static void add_present(struct stream *s)
{
    const struct record *r = s->present;
    const char *type = event_name(event_of(r));

    add_event(s, s->after, type, json_of_event(type, r->updated, r, NULL));
    s->ended = transfer_state_final(r->state);
    record_free(&s->present);
}

static void add_found(struct stream *s, const struct event *e)
{
    const char *type = event_name(e->type);
    struct record *r = e->transfer ? record_copy(snapshot_record(e->transfer)) : NULL;

    if (e->transfer && !r) {
        s->out.failed = true;
        return;
    }
    add_event(s, e->seq, type, json_of_event(type, e->at, r, e));
    s->ended = s->one && r && transfer_state_final(r->state);
    record_free(&r);
}

/* Nothing: `out` stays empty. */
static void next_event(struct stream *s)
{
    enum events_next next;
    struct event *e;

    if (s->gap) {
        add_gap(s);
        return;
    }
    if (s->present) {
        add_present(s);
        return;
    }
    if (s->look)
        return;
    next = events_next(s->journal, &s->filter, &s->after, &e);
    if (next == EVENTS_GAP)
        add_gap(s);
    else if (next == EVENTS_FOUND)
        add_found(s, e);
    event_release(&e);
}

static void next_text(struct stream *s)
{
    bool beat = atomic_exchange(&s->beat, false);

    buf_free(&s->out);
    s->done = 0;
    if (!s->greeted) {
        s->greeted = true;
        buf_printf(&s->out, "retry: %d\n\n", AGAIN_MS);
        return;
    }
    if (!s->ended)
        next_event(s);
    if (s->out.len == 0 && !s->ended && beat)
        buf_puts(&s->out, ": ping\n\n");
}

/* ---- waiting for more; as request_wait(), but in the middle of an answer */

/* Core's thread. */
static void on_news(void *user)
{
    struct request *rq = user;

    atomic_store(&rq->stream->armed, false);
    if (request_claim(rq, true))
        request_resume(rq);
    request_release(rq);
}

static void disarm(struct request *rq)
{
    struct stream *s = rq->stream;

    if (!atomic_load(&s->armed) || !events_withdraw(s->journal, &s->waiter))
        return; /* else it is about to be woken, and lets go itself */
    atomic_store(&s->armed, false);
    request_release(rq);
}

/* The connection is suspended, and the request waits. What woke it last may still be on its way: then that comes. */
static void arm(struct request *rq)
{
    struct stream *s = rq->stream;

    if (atomic_load(&s->armed))
        return;
    atomic_fetch_add(&rq->refs, 1);
    atomic_store(&s->armed, true);
    s->waiter.wake = on_news;
    s->waiter.user = rq;
    if (!events_wait(s->journal, &s->waiter, s->after))
        on_news(rq);
}

/* What there is to tell about how it is must not be older than what is told before: so it is asked for again when
 * something happened meanwhile. */
static void take_present(struct request *rq)
{
    struct stream *s = rq->stream;
    struct event *e = NULL;

    record_free(&s->present);
    s->present = rq->got.record;
    rq->got.record = NULL;
    if (!s->present)
        return;
    s->look = ++s->looks < LOOKS && events_next(s->journal, &s->filter, &s->after, &e) != EVENTS_NONE;
    event_release(&e);
    if (s->look) {
        s->after = events_newest(s->journal);
        record_free(&s->present);
    }
}

/* What the library lends to be filled is 64 KiB of each connection's memory, all of which it has written to by then;
 * while there is nothing to fill it with, the kernel can have its whole pages. */
static void give_back(char *lent, size_t size)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ((uintptr_t)lent + page - 1) / page * page;
    uintptr_t to = ((uintptr_t)lent + size) / page * page;

    if (from < to)
        madvise((void *)from, to - from, MADV_DONTNEED);
}

static ssize_t await(struct request *rq)
{
    struct stream *s = rq->stream;
    bool closed;

    atomic_fetch_add(&rq->gate->stepping, 1);
    closed = atomic_load(&rq->gate->closed);
    if (!closed) {
        MHD_suspend_connection(rq->connection);
        rq->got.error = (struct error){0};
        if (s->look)
            atomic_fetch_add(&rq->refs, 1);
        atomic_store(&rq->waiting, WAIT_ANSWER);
        if (s->look)
            gateway_get(rq->gw, s->filter.id, request_got_record, rq);
        else
            arm(rq);
    }
    atomic_fetch_sub(&rq->gate->stepping, 1);
    return closed ? MHD_CONTENT_READER_END_WITH_ERROR : 0;
}

/* ---- the library asks for bytes */

static ssize_t read_stream(void *user, uint64_t pos, char *out, size_t most)
{
    struct request *rq = user;
    struct stream *s = rq->stream;
    size_t n;

    disarm(rq);
    if (rq->got.record)
        take_present(rq);
    if (rq->hung_up || (s->look && rq->got.error.code != ERR_NONE))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (s->done == s->out.len && (atomic_load(&rq->gate->closing) || atomic_load(&s->over)))
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (s->done == s->out.len)
        next_text(s);
    if (s->out.failed)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    n = s->out.len - s->done;
    if (n == 0 && s->ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (n == 0) {
        if (s->filled)
            give_back(out, most);
        s->filled = false;
        return await(rq);
    }
    n = n < most ? n : most;
    memcpy(out, s->out.data + s->done, n);
    s->done += n;
    s->filled = s->filled || n > FEW || pos == 0;
    if (s->done == s->out.len) {
        buf_free(&s->out);
        s->done = 0;
    }
    atomic_store(&s->written, clock_ms());
    return (ssize_t)n;
}

static void end_stream(void *user)
{
    struct request *rq = user;

    disarm(rq);
    atomic_fetch_sub(&rq->gate->streams, 1);
    request_release(rq);
}

/* A stream lasts as long as its reader likes, so one connection in sixteen is left to those who send something. */
static bool may_follow(const struct request *rq)
{
    uint64_t most = gateway_config(rq->gw)->http.max_connections, left = most / 16 + (most > 1);

    return atomic_fetch_add(&rq->gate->streams, 1) < most - left;
}

static enum MHD_Result begin_stream(struct request *rq)
{
    if (!may_follow(rq)) {
        atomic_fetch_sub(&rq->gate->streams, 1);
        metric_add(METRIC_RATE_LIMITED, 1, "connections");
        error_set(&rq->error, ERR_RATE_LIMITED, "so many follow events already that hardly a connection is left");
        return reply_problem(rq, &rq->error, STAGE_REQUEST, NULL);
    }
    atomic_fetch_add(&rq->refs, 1); /* the answer's, which may outlive the rest */
    reply_header(rq, "X-Accel-Buffering", "no");
    return reply_stream(rq, "text/event-stream", read_stream, end_stream);
}

enum MHD_Result api_events_get(struct request *rq)
{
    return begin_stream(rq);
}

/* A reader that comes back for a transfer of which it has had all would wait for ever, and come back again when the
 * connection ends; 204 makes it stop. */
static bool has_had_all(struct request *rq, const struct record *r)
{
    struct stream *s = rq->stream;
    struct event *e = NULL;
    uint64_t after = s->after;
    enum events_next next;

    if (s->look || s->gap || !transfer_state_final(r->state) || gateway_live(rq->gw, r->id))
        return false;
    next = events_next(s->journal, &s->filter, &after, &e);
    event_release(&e);
    return next == EVENTS_NONE;
}

static enum MHD_Result looked(struct request *rq)
{
    struct stream *s = rq->stream;
    struct record *r = rq->got.record;

    if (!r && rq->got.error.code != ERR_NONE)
        return reply_problem(rq, &rq->got.error, STAGE_REQUEST, NULL);
    if (r && !token_sees(rq->token, r))
        return reply_hidden(rq);
    if (r && has_had_all(rq, r))
        return reply_text(rq, 204, NULL, NULL);
    if (!s->look || s->gap)
        record_free(&rq->got.record); /* as it is after the gap, if at all */
    return begin_stream(rq);
}

enum MHD_Result api_transfer_events_get(struct request *rq)
{
    request_wait(rq, WAIT_ANSWER, looked);
    gateway_get(rq->gw, rq->target.segment[2], request_got_record, rq);
    return MHD_YES;
}

/* ---- once a second, while the server's list of requests is locked */

bool stream_waits(const struct request *rq)
{
    return rq->stream && rq->phase == PHASE_ANSWERED;
}

bool stream_is_due(const struct request *rq, int64_t now)
{
    return now - atomic_load(&rq->stream->written) >= BEAT_MS;
}

void stream_beat(struct request *rq)
{
    atomic_store(&rq->stream->beat, true);
}

void stream_end(struct request *rq)
{
    atomic_store(&rq->stream->over, true);
}
