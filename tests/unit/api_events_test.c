/* api/events: event streams as a reader meets them: real sockets, a journal that the test writes as core would. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "api/json.h"
#include "api/server.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/log.h"
#include "tests/fake/api/gateway.h"

enum { PATIENCE_S = 10, KEPT = 8 };

struct world {
    struct config config;
    struct gateway *gw;
    struct api *api;
};

/* One connection, and all that came on it and was not looked for yet. */
struct reader {
    int fd;
    struct buf text;
    size_t seen;
};

static void begin(struct world *w)
{
    struct error err = {0};

    w->gw = fake_gateway_create(&w->config);
    w->api = api_start(w->gw, &err);
    if (!w->api)
        fail_msg("api_start: %s", err.text);
}

static void end(struct world *w)
{
    api_stop(&w->api, NULL, NULL);
    fake_gateway_destroy(&w->gw);
}

static int set_up(void **state)
{
    static char listen[] = "127.0.0.1:0";
    struct world *w = calloc(1, sizeof *w);

    w->config.http.listen = listen;
    w->config.http.max_connections = 64;
    w->config.http.idle_timeout = 30000;
    w->config.http.max_wait = 60000;
    w->config.events.retention = KEPT;
    w->config.spool.max_file = 64 << 20;
    w->config.spool.max_bytes = 128 << 20;
    begin(w);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    end(w);
    clock_real();
    free(w);
    return 0;
}

static struct reader __attribute__((format(printf, 2, 3))) open_stream(const struct world *w, const char *fmt, ...)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(api_port(w->api))};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    struct reader r = {.fd = socket(AF_INET, SOCK_STREAM, 0)};
    char request[1024];
    va_list args;
    int len;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(r.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(r.fd, (struct sockaddr *)&to, sizeof to), 0);
    va_start(args, fmt);
    len = vsnprintf(request, sizeof request, fmt, args);
    va_end(args);
    assert_int_equal(send(r.fd, request, (size_t)len, MSG_NOSIGNAL), len);
    return r;
}

static void close_stream(struct reader *r)
{
    fd_close(&r->fd);
    buf_free(&r->text);
}

/* Reads on; false: there is no more. */
static bool read_more(struct reader *r)
{
    char piece[65536];
    ssize_t n = recv(r->fd, piece, sizeof piece, 0);

    if (n < 0)
        fail_msg("%s; so far '%s'", strerror(errno), r->text.data ? r->text.data : "");
    return n > 0 && buf_add(&r->text, piece, (size_t)n);
}

/* What comes has that text in it, behind what was looked for before. */
static void expect(struct reader *r, const char *text)
{
    const char *at;

    while (!r->text.data || !(at = strstr(r->text.data + r->seen, text)))
        if (!read_more(r))
            fail_msg("no '%s' in '%s'", text, r->text.data ? r->text.data + r->seen : "");
    r->seen = (size_t)(at - r->text.data) + strlen(text);
}

static void expect_end(struct reader *r)
{
    expect(r, "\r\n0\r\n\r\n");
    assert_int_equal(r->seen, r->text.len);
    close_stream(r);
}

static void lacks(const struct reader *r, const char *text)
{
    if (strstr(r->text.data, text))
        fail_msg("'%s' in '%s'", text, r->text.data);
}

#define GET(target)  "GET " target " HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define FROM(target) "GET " target " HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: %s-%d\r\n\r\n"
#define ONE          "/v1/transfers/%s/events"
#define ALL          "/v1/events"

/* An upload, and its id. */
static const char *put_as(const struct world *w, const char *token)
{
    static char id[ID_SIZE];
    struct reader r = open_stream(w,
                                  "PUT /v1/to/ana@example.org/a HTTP/1.1\r\nHost: localhost\r\n"
                                  "Authorization: Bearer %s\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
                                  token);

    expect(&r, "HTTP/1.1 202");
    expect(&r, "\"id\":\"");
    while (r.text.len < r.seen + ID_LEN)
        read_more(&r);
    snprintf(id, sizeof id, "%.*s", ID_LEN, r.text.data + r.seen);
    close_stream(&r);
    return id;
}

static const char *put(const struct world *w)
{
    return put_as(w, "none");
}

static const char *run_of(const struct world *w)
{
    return events_run(gateway_events(w->gw));
}

static void await_streams(const struct world *w, size_t n)
{
    const struct timespec moment = {.tv_nsec = 1000000};

    for (int i = 0; api_streams(w->api) != n; i++) {
        assert_true(i < PATIENCE_S * 1000);
        nanosleep(&moment, NULL);
    }
}

/* ---- the rules */

static void a_transfer_is_followed_to_its_end(void **state)
{
    struct world *w = *state;
    const char *id = put(w);
    struct reader r = open_stream(w, GET(ONE), id);

    expect(&r, "HTTP/1.1 200");
    expect(&r, "retry: 3000\n\n");
    assert_non_null(strstr(r.text.data, "Content-Type: text/event-stream\r\n"));
    assert_non_null(strstr(r.text.data, "Cache-Control: no-store\r\n"));
    assert_non_null(strstr(r.text.data, "X-Accel-Buffering: no\r\n"));
    expect(&r, "event: transfer.queued\ndata: {\"type\":\"transfer.queued\",\"timestamp\":\"");
    expect(&r, "\"data\":{\"transfer\":{\"id\":\"tr_");
    expect(&r, "}}}\n\n");
    assert_int_equal(api_streams(w->api), 1);
    fake_gateway_becomes(w->gw, id, TRANSFER_OFFERING, 0);
    expect(&r, "-1\nevent: transfer.offered\n");
    fake_gateway_becomes(w->gw, id, TRANSFER_CONNECTING, 0);
    expect(&r, "-2\nevent: transfer.accepted\n");
    fake_gateway_becomes(w->gw, id, TRANSFER_DELIVERED, 0);
    expect(&r, "-3\nevent: transfer.delivered\n");
    expect_end(&r);
    await_streams(w, 0);
}

static void one_that_is_over_is_told_in_one_event(void **state)
{
    struct world *w = *state;
    const char *id = put(w);
    struct reader r;

    fake_gateway_becomes(w->gw, id, TRANSFER_FAILED, 0);
    r = open_stream(w, GET(ONE), id);
    expect(&r, "event: transfer.failed\n");
    expect_end(&r);
}

static void who_comes_back_gets_what_was_missed(void **state)
{
    struct world *w = *state;
    const char *id = put(w);
    struct reader r;

    for (enum transfer_state s = TRANSFER_HELD; s <= TRANSFER_DELIVERED; s++)
        fake_gateway_becomes(w->gw, id, s, 0);
    r = open_stream(w, FROM(ONE), id, run_of(w), 2);
    expect(&r, "-3\nevent: transfer.accepted\n");
    expect(&r, "-5\nevent: transfer.delivered\n"); /* and no progress that is long over */
    lacks(&r, "transfer.offered");
    expect_end(&r);
    r = open_stream(w, GET(ONE "?last_event_id=%s-1"), id, run_of(w));
    expect(&r, "-2\nevent: transfer.offered\n");
    expect(&r, "-5\nevent: transfer.delivered\n");
    expect_end(&r);
}

static void who_has_had_all_is_told_to_stop(void **state)
{
    struct world *w = *state;
    const char *id = put(w);
    struct reader r;

    fake_gateway_becomes(w->gw, id, TRANSFER_DELIVERED, 0);
    r = open_stream(w, FROM(ONE), id, run_of(w), 1);
    expect(&r, "HTTP/1.1 204");
    close_stream(&r);
}

static void a_gap_is_told_and_followed_by_how_things_are(void **state)
{
    struct world *w = *state;
    const char *id = put(w);
    struct reader r;

    for (int i = 0; i < KEPT + 2; i++)
        fake_gateway_becomes(w->gw, id, TRANSFER_HELD, 0);
    r = open_stream(w, FROM(ONE), id, run_of(w), 1);
    expect(&r, "-10\nevent: reset\ndata: {\"type\":\"reset\",");
    expect(&r, "-10\nevent: transfer.held\n");
    close_stream(&r);
    r = open_stream(w, FROM(ONE), id, "0badcafe", 1); /* another run's */
    expect(&r, "-10\nevent: reset\n");
    expect(&r, "-10\nevent: transfer.held\n");
    close_stream(&r);
    r = open_stream(w, FROM(ALL), "nonsense", 1);
    expect(&r, "-10\nevent: reset\n");
    fake_gateway_becomes(w->gw, id, TRANSFER_QUEUED, 0);
    expect(&r, "-11\nevent: transfer.queued\n");
    lacks(&r, "transfer.held");
    close_stream(&r);
}

static void all_are_followed_by_type_and_recipient(void **state)
{
    static const struct {
        const char *query, *want, *never;
    } rows[] = {
        {"?type=transfer.offered,xmpp.connected", "event: transfer.offered\n", "transfer.held"},
        {"?to=ana@example.org", "event: transfer.held\n", "xmpp."},
        {"?to=bob@example.org&type=transfer.held", NULL, "transfer."},
        {"?type=xmpp.connected",
         "\"data\":{\"xmpp\":{\"jid\":\"gw@example.org\",\"online\":true,\"advice\":null}}}\n\n", "transfer."},
    };
    struct world *w = *state;
    const char *id = put(w);

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct reader r = open_stream(w, GET(ALL "%s"), rows[i].query);

        expect(&r, "retry: 3000\n\n");
        events_publish(gateway_events(w->gw),
                       &(struct event){.type = EVENT_XMPP_CONNECTED, .subject = (char *)"gw@example.org"});
        fake_gateway_becomes(w->gw, id, TRANSFER_HELD, 0);
        fake_gateway_becomes(w->gw, id, TRANSFER_OFFERING, 0);
        if (rows[i].want)
            expect(&r, rows[i].want);
        lacks(&r, rows[i].never);
        close_stream(&r);
    }
}

static void what_is_asked_wrongly_is_refused(void **state)
{
    static const struct {
        const char *target, *status;
    } rows[] = {
        {ALL "?type=transfer.lost", "HTTP/1.1 422"},
        {ALL "?type=", "HTTP/1.1 422"},
        {ALL "?to=@@", "HTTP/1.1 400"},
        {ALL "?wait=3", "HTTP/1.1 422"},
        {"/v1/transfers/tr_00000000000000000000000000/events", "HTTP/1.1 404"},
        {"/v1/transfers/..%2Fetc/events", "HTTP/1.1 404"},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct reader r = open_stream(w, GET("%s"), rows[i].target);

        expect(&r, rows[i].status);
        expect(&r, "application/problem+json");
        close_stream(&r);
    }
    assert_int_equal(api_streams(w->api), 0);
}

static void the_head_comes_without_the_stream(void **state)
{
    struct world *w = *state;
    struct reader r = open_stream(w, "HEAD " ALL " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");

    expect(&r, "Content-Type: text/event-stream\r\n");
    while (read_more(&r))
        ;
    lacks(&r, "retry:");
    close_stream(&r);
    await_streams(w, 0);
}

static void add_token(struct world *w, const char *id, const char *token, const char *scopes)
{
    struct error err = {0};
    struct token *t = token_list_at(&w->config.tokens, id, &err);
    char hash[7 + 2 * TOKEN_DIGEST + 1] = "sha256:";
    unsigned char digest[TOKEN_DIGEST];

    assert_true(token_digest(token, digest));
    id_hex(digest, sizeof digest, hash + 7);
    assert_true(token_set(t, "hash", hash, &err) && token_set(t, "scopes", scopes, &err) && token_complete(t, &err));
}

#define AS(token, target) "GET " target " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " token "\r\n\r\n"

static void a_token_follows_its_own_transfers_alone(void **state)
{
    struct world *w = *state;
    char own[ID_SIZE], other[ID_SIZE];
    struct reader r, all;

    end(w);
    add_token(w, "a", "one", "send,events");
    add_token(w, "b", "two", "send,events");
    add_token(w, "c", "three", "read:all,events");
    add_token(w, "d", "four", "send,read");
    begin(w);
    snprintf(own, sizeof own, "%s", put_as(w, "one"));
    snprintf(other, sizeof other, "%s", put_as(w, "two"));
    r = open_stream(w, AS("one", ALL));
    all = open_stream(w, AS("three", ALL));
    expect(&r, "retry: ");
    expect(&all, "retry: ");
    fake_gateway_becomes(w->gw, other, TRANSFER_HELD, 0);
    fake_gateway_becomes(w->gw, own, TRANSFER_OFFERING, 0);
    expect(&r, "event: transfer.offered\n");
    lacks(&r, other);
    expect(&all, "event: transfer.held\n");
    expect(&all, "event: transfer.offered\n");
    close_stream(&r);
    close_stream(&all);
    r = open_stream(w, AS("one", ONE), other);
    expect(&r, "HTTP/1.1 404");
    close_stream(&r);
    r = open_stream(w, AS("three", ONE), other);
    expect(&r, "event: transfer.held\n");
    close_stream(&r);
    r = open_stream(w, AS("four", ALL));
    expect(&r, "HTTP/1.1 403");
    close_stream(&r);
    token_list_free(&w->config.tokens);
}

/* The reader who comes back is told what is wrong. */
static void a_stream_ends_with_its_token(void **state)
{
    struct world *w = *state;
    struct config fewer;
    struct error err = {0};
    struct reader gone, stays, expires;

    end(w);
    add_token(w, "a", "one", "send,events");
    add_token(w, "b", "two", "send,events");
    add_token(w, "c", "three", "send,events");
    clock_fake(1000, 1700000000000);
    w->config.tokens.items[2].expires = 1700000000000 + 5000;
    begin(w);
    gone = open_stream(w, AS("one", ALL));
    stays = open_stream(w, AS("two", ALL));
    expires = open_stream(w, AS("three", ALL));
    expect(&gone, "retry: 3000\n\n");
    expect(&stays, "retry: 3000\n\n");
    expect(&expires, "retry: 3000\n\n");
    fewer = w->config;
    fewer.tokens.items++;
    fewer.tokens.count--;
    assert_true(api_reload(w->api, &fewer, &err));
    expect_end(&gone);
    await_streams(w, 2);
    clock_advance(5000);
    expect_end(&expires);
    clock_advance(10 * 1000);
    expect(&stays, ": ping\n\n");
    close_stream(&stays);
    token_list_free(&w->config.tokens);
}

static void silence_is_broken_by_a_comment(void **state)
{
    struct world *w = *state;
    struct reader r;

    clock_fake(1000, 1700000000000);
    r = open_stream(w, GET(ALL));
    expect(&r, "retry: 3000\n\n");
    for (int i = 0; i < 2; i++) {
        clock_advance(15 * 1000);
        expect(&r, ": ping\n\n");
    }
    close_stream(&r);
}

static void who_goes_away_is_noticed(void **state)
{
    struct world *w = *state;
    struct reader r = open_stream(w, GET(ALL));

    expect(&r, "retry: 3000\n\n");
    assert_int_equal(api_streams(w->api), 1);
    close_stream(&r);
    await_streams(w, 0);
}

/* Beyond what the sockets hold nothing is kept for him. */
static void who_reads_too_slowly_is_told_and_goes_on(void **state)
{
    struct world *w = *state;
    const char *id = put(w);
    struct reader r = open_stream(w, GET(ALL));
    unsigned resets = 0;

    expect(&r, "retry: 3000\n\n");
    fake_gateway_becomes(w->gw, id, TRANSFER_HELD, RECORD_STEPS);
    for (int i = 0; i < 600; i++)
        fake_gateway_becomes(w->gw, id, TRANSFER_HELD, 0);
    expect(&r, "-601\n"); /* the last of them, or the gap up to it */
    fake_gateway_becomes(w->gw, id, TRANSFER_DELIVERED, 0);
    expect(&r, "-602\nevent: transfer.delivered\n");
    for (const char *at = r.text.data; (at = strstr(at, "event: reset\n")); at++)
        resets++;
    assert_true(resets > 0);
    close_stream(&r);
}

static void a_stop_ends_all_streams_at_once(void **state)
{
    struct world *w = *state;
    struct reader r[8];
    int64_t began;

    for (size_t i = 0; i < 8; i++) {
        r[i] = open_stream(w, GET(ALL));
        expect(&r[i], "retry: 3000\n\n");
    }
    began = clock_ms();
    api_stop(&w->api, NULL, NULL);
    assert_true(clock_ms() - began < 3000); /* else they would have five seconds */
    for (size_t i = 0; i < 8; i++)
        expect_end(&r[i]);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_transfer_is_followed_to_its_end),
        T(one_that_is_over_is_told_in_one_event),
        T(who_comes_back_gets_what_was_missed),
        T(who_has_had_all_is_told_to_stop),
        T(a_gap_is_told_and_followed_by_how_things_are),
        T(all_are_followed_by_type_and_recipient),
        T(what_is_asked_wrongly_is_refused),
        T(the_head_comes_without_the_stream),
        T(a_token_follows_its_own_transfers_alone),
        T(a_stream_ends_with_its_token),
        T(silence_is_broken_by_a_comment),
        T(who_goes_away_is_noticed),
        T(who_reads_too_slowly_is_told_and_goes_on),
        T(a_stop_ends_all_streams_at_once),
    };

    signal(SIGPIPE, SIG_IGN);
    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
