/* api/inbox: the inbox as a caller meets it: real sockets, a gateway that has what the test puts into it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "api/server.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "tests/fake/api/gateway.h"

enum { PATIENCE_S = 10 };

struct world {
    struct config config;
    struct gateway *gw;
    struct api *api;
    struct buf answer; /* of the last request, whole */
    unsigned status;
    const char *body; /* in answer */
    json_t *json;     /* of body, if it is JSON */
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
    if (w->gw)
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
    w->config.events.retention = 64;
    begin(w);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    end(w);
    token_list_free(&w->config.tokens);
    json_decref(w->json);
    buf_free(&w->answer);
    free(w);
    return 0;
}

/* A request on a connection of its own, which ends with its answer. token NULL: without one. */
static int open_request(struct world *w, const char *token, const char *method, const char *target, const char *headers)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(api_port(w->api))};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = socket(AF_INET, SOCK_STREAM, 0), len;
    char request[2048];

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    len = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s%s%s%s\r\n",
                   method, target, token ? "Authorization: Bearer " : "", token ? token : "", token ? "\r\n" : "",
                   headers);
    assert_int_equal(send(fd, request, (size_t)len, MSG_NOSIGNAL), len);
    return fd;
}

static void read_answer(struct world *w, int fd)
{
    char piece[4096];
    const char *head_end;
    ssize_t n;

    buf_free(&w->answer);
    json_decref(w->json);
    while ((n = recv(fd, piece, sizeof piece, 0)) > 0)
        buf_add(&w->answer, piece, (size_t)n);
    if (n < 0)
        fail_msg("no answer: %s", strerror(errno));
    fd_close(&fd);
    head_end = w->answer.data ? strstr(w->answer.data, "\r\n\r\n") : NULL;
    assert_non_null(head_end);
    w->status = (unsigned)strtoul(w->answer.data + 9, NULL, 10);
    w->body = head_end + 4;
    w->json = json_loads(w->body, 0, NULL);
}

static void ask_as(struct world *w, const char *token, const char *method, const char *target, const char *headers)
{
    read_answer(w, open_request(w, token, method, target, headers));
}

static void ask(struct world *w, const char *target)
{
    ask_as(w, NULL, "GET", target, "");
}

static const char *member(const struct world *w, const char *key)
{
    const char *text = json_string_value(json_object_get(w->json, key));

    return text ? text : "(none)";
}

/* A header's value in a static buffer; "(none)" when it is not there. */
static const char *header(const struct world *w, const char *name)
{
    static char value[512];
    char line[64];
    const char *at;

    snprintf(line, sizeof line, "\r\n%s: ", name);
    at = strcasestr(w->answer.data, line);
    if (!at || at >= w->body)
        return "(none)";
    at += strlen(line);
    snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\r"), at);
    return value;
}

static void expect(const struct world *w, const char *says, unsigned status, const char *code)
{
    if (w->status != status || (code && strcmp(member(w, "code"), code) != 0))
        fail_msg("%s: %u '%s', not %u %s", says, w->status, w->answer.data, status, code ? code : "");
}

static struct fake_gateway_seen seen(const struct world *w)
{
    struct fake_gateway_seen s;

    fake_gateway_seen(w->gw, &s);
    return s;
}

#define SHA256 "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882" /* of 0123456789 */

/* A file for that address; its id in a buffer of the caller. */
static void receive(struct world *w, const char *to, enum inbox_state state, char id[static ID_SIZE])
{
    struct inbox_item item = {.state = state,
                              .from = (char *)"romeo@example.net/orchard",
                              .to = (char *)to,
                              .name = (char *)"Liebesbrief für J.txt",
                              .type = (char *)"text/plain; charset=utf-8",
                              .caption = (char *)"But soft",
                              .size = 10,
                              .received = state == INBOX_RECEIVED ? 10 : 4,
                              .sha256 = state == INBOX_RECEIVED ? (char *)SHA256 : NULL,
                              .hash_confirmed = state == INBOX_RECEIVED,
                              .method = "jingle-s5b",
                              .path = "proxy",
                              .streamhost = (char *)"proxy.example.net",
                              .created = 784111777000,
                              .updated = 784111778000,
                              .finished = state == INBOX_RECEIVING ? 0 : 784111778000,
                              .expires = 784198177000};

    if (state == INBOX_FAILED) {
        item.error_code = ERR_TRUNCATED;
        item.error_text = (char *)"4 of 10 bytes came";
    }
    fake_gateway_receive(w->gw, &item, "0123456789");
    memcpy(id, item.id, ID_SIZE);
}

#define GW "gw@example.org"

static void add_token(struct world *w, const char *id, const char *text, const char *scopes, const char *inbox_of)
{
    struct token *t = token_list_at(&w->config.tokens, id, NULL);

    assert_non_null(t);
    assert_true(token_digest(text, t->digest));
    t->given = 1; /* the hash */
    assert_true(token_set(t, "scopes", scopes, NULL) && token_set(t, "inbox_of", inbox_of, NULL) &&
                token_complete(t, NULL));
}

static const char *at(const char *id, const char *behind)
{
    static char target[160];

    snprintf(target, sizeof target, "/v1/inbox/%s%s", id, behind);
    return target;
}

/* ---- one file */

static void a_file_is_shown_with_all_that_is_known(void **state)
{
    struct world *w = *state;
    char id[ID_SIZE], want[2048], etag[128];
    json_t *wanted;

    receive(w, GW, INBOX_RECEIVED, id);
    snprintf(want, sizeof want,
             "{\"id\":\"%s\",\"object\":\"inbox_item\",\"state\":\"received\",\"final\":true,"
             "\"from\":\"romeo@example.net/orchard\",\"to\":\"gw@example.org\","
             "\"file\":{\"name\":\"Liebesbrief für J.txt\",\"size\":10,\"type\":\"text/plain; charset=utf-8\","
             "\"sha256\":\"" SHA256 "\"},\"caption\":\"But soft\","
             "\"method\":{\"name\":\"jingle-s5b\",\"path\":\"proxy\",\"streamhost\":\"proxy.example.net\"},"
             "\"hash_confirmed\":true,\"progress\":{\"received\":10},"
             "\"created\":\"1994-11-06T08:49:37.000Z\",\"updated\":\"1994-11-06T08:49:38.000Z\","
             "\"received\":\"1994-11-06T08:49:38.000Z\",\"expires\":\"1994-11-07T08:49:37.000Z\",\"error\":null,"
             "\"links\":{\"self\":\"/v1/inbox/%s\",\"content\":\"/v1/inbox/%s/content\"}}",
             id, id, id);
    wanted = json_loads(want, 0, NULL);
    assert_non_null(wanted);
    ask(w, at(id, ""));
    expect(w, "a file", 200, NULL);
    if (!json_equal(w->json, wanted))
        fail_msg("%s is not %s", w->body, want);
    json_decref(wanted);
    snprintf(etag, sizeof etag, "If-None-Match: %s\r\n", header(w, "ETag"));
    ask_as(w, NULL, "GET", at(id, ""), etag);
    expect(w, "the same again", 304, NULL);
}

static void one_that_failed_says_why_and_has_no_content(void **state)
{
    struct world *w = *state;
    char id[ID_SIZE];

    receive(w, GW, INBOX_FAILED, id);
    ask(w, at(id, ""));
    expect(w, "a failed one", 200, NULL);
    assert_string_equal(member(w, "state"), "failed");
    assert_true(json_is_null(json_object_get(w->json, "received")));
    assert_true(json_is_null(json_object_get(json_object_get(w->json, "links"), "content")));
    assert_string_equal(json_string_value(json_object_get(json_object_get(w->json, "error"), "code")), "truncated");
    assert_string_equal(json_string_value(json_object_get(json_object_get(w->json, "error"), "detail")),
                        "4 of 10 bytes came");
    assert_string_equal(json_string_value(json_object_get(json_object_get(w->json, "error"), "hint")),
                        "Ask the sender to send it again.");
    ask(w, at(id, "/content"));
    expect(w, "its content", 409, "state_conflict");
}

static void what_is_not_there_is_not_found(void **state)
{
    static const char *const targets[] = {"/v1/inbox/in_00000000000000000000000000",
                                          "/v1/inbox/in_00000000000000000000000000/content", "/v1/inbox/in_1",
                                          "/v1/inbox/tr_00000000000000000000000000", "/v1/inbox/in_1/content"};
    struct world *w = *state;

    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        ask(w, targets[i]);
        expect(w, targets[i], 404, "not_found");
    }
    ask_as(w, NULL, "DELETE", targets[0], "");
    expect(w, "DELETE", 404, "not_found");
    ask_as(w, NULL, "PUT", targets[0], "");
    expect(w, "PUT", 405, "method_not_allowed");
    fake_gateway_script(w->gw, &(struct fake_gateway_script){.inbox = ERR_STORE_UNAVAILABLE});
    ask(w, targets[0]);
    expect(w, "without a store", 503, "store_unavailable");
    ask(w, "/v1/inbox");
    expect(w, "without a store", 503, "store_unavailable");
}

static void a_file_is_deleted_once(void **state)
{
    struct world *w = *state;
    char id[ID_SIZE];

    receive(w, GW, INBOX_RECEIVED, id);
    ask_as(w, NULL, "DELETE", at(id, ""), "");
    expect(w, "the first time", 200, NULL);
    assert_string_equal(member(w, "id"), id);
    ask_as(w, NULL, "DELETE", at(id, ""), "");
    expect(w, "the second time", 404, "not_found");
    ask(w, at(id, "/content"));
    expect(w, "its content", 404, "not_found");
}

/* ---- its content */

static void the_content_is_to_be_saved_and_never_shown(void **state)
{
    struct world *w = *state;
    char id[ID_SIZE];

    receive(w, GW, INBOX_RECEIVED, id);
    ask(w, at(id, "/content"));
    expect(w, "the whole", 200, NULL);
    assert_string_equal(w->body, "0123456789");
    assert_string_equal(header(w, "Content-Type"), "text/plain; charset=utf-8");
    assert_string_equal(
        header(w, "Content-Disposition"),
        "attachment; filename=\"Liebesbrief f_r J.txt\"; filename*=UTF-8''Liebesbrief%20f%C3%BCr%20J.txt");
    assert_string_equal(header(w, "Content-Security-Policy"), "sandbox; default-src 'none'");
    assert_string_equal(header(w, "X-Content-Type-Options"), "nosniff");
    assert_string_equal(header(w, "ETag"), "\"" SHA256 "\"");
    assert_string_equal(header(w, "Last-Modified"), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_string_equal(header(w, "Accept-Ranges"), "bytes");
    assert_string_equal(header(w, "Repr-Digest"), "sha-256=:hNiYd/DUBB77a/kaFvAkjy/Vc+avBcGflr7bn4gveII=:");
    ask_as(w, NULL, "HEAD", at(id, "/content"), "");
    expect(w, "HEAD", 200, NULL);
    assert_string_equal(w->body, "");
    assert_string_equal(header(w, "Content-Length"), "10");
    assert_int_equal(seen(w).fetches, 0); /* it is no link */
}

static void the_content_is_fetched_by_ranges(void **state)
{
    static const struct {
        const char *headers;
        unsigned status;
        const char *range, *body;
    } rows[] = {
        {"Range: bytes=0-3\r\n", 206, "bytes 0-3/10", "0123"},
        {"Range: bytes=4-6\r\n", 206, "bytes 4-6/10", "456"},
        {"Range: bytes=7-\r\n", 206, "bytes 7-9/10", "789"},
        {"Range: bytes=4-\r\nIf-Range: \"" SHA256 "\"\r\n", 206, "bytes 4-9/10", "456789"},
        {"Range: bytes=4-\r\nIf-Range: \"another\"\r\n", 200, "(none)", "0123456789"},
        {"If-None-Match: \"" SHA256 "\"\r\n", 304, "(none)", ""},
        {"If-None-Match: W/\"x\", \"" SHA256 "\"\r\n", 304, "(none)", ""},
        {"If-None-Match: \"another\"\r\n", 200, "(none)", "0123456789"},
    };
    struct world *w = *state;
    char id[ID_SIZE];

    receive(w, GW, INBOX_RECEIVED, id);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ask_as(w, NULL, "GET", at(id, "/content"), rows[i].headers);
        expect(w, rows[i].headers, rows[i].status, NULL);
        assert_string_equal(header(w, "Content-Range"), rows[i].range);
        assert_string_equal(w->body, rows[i].body);
    }
    ask_as(w, NULL, "GET", at(id, "/content"), "Range: bytes=10-\r\n");
    expect(w, "behind the end", 416, "range_unsatisfiable");
    assert_string_equal(header(w, "Content-Range"), "bytes */10");
}

/* ---- the list */

static void ids_are(const struct world *w, const char *says, const char *const *ids, size_t count)
{
    const json_t *items = json_object_get(w->json, "items");

    expect(w, says, 200, NULL);
    if (json_array_size(items) != count)
        fail_msg("%s: %s", says, w->body);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(json_string_value(json_object_get(json_array_get(items, i), "id")), ids[i]);
}

static void the_list_has_what_is_received_newest_first(void **state)
{
    struct world *w = *state;
    char id[5][ID_SIZE], target[256];

    receive(w, GW, INBOX_RECEIVED, id[0]);
    receive(w, "reports@example.org", INBOX_RECEIVED, id[1]);
    receive(w, GW, INBOX_RECEIVING, id[2]);
    receive(w, GW, INBOX_FAILED, id[3]);
    receive(w, GW, INBOX_RECEIVED, id[4]);
    ask(w, "/v1/inbox");
    ids_are(w, "all", (const char *[]){id[4], id[1], id[0]}, 3);
    ask(w, "/v1/inbox?state=failed");
    ids_are(w, "failed", (const char *[]){id[3]}, 1);
    ask(w, "/v1/inbox?state=receiving");
    ids_are(w, "receiving", (const char *[]){id[2]}, 1);
    ask(w, "/v1/inbox?to=Reports@Example.org");
    ids_are(w, "to one", (const char *[]){id[1]}, 1);
    ask(w, "/v1/inbox?from=romeo@example.net/balcony");
    ids_are(w, "from one, whatever the device", (const char *[]){id[4], id[1], id[0]}, 3);
    assert_string_equal(seen(w).inbox_from, "romeo@example.net");
    ask(w, "/v1/inbox?from=paris@example.net");
    ids_are(w, "from another", NULL, 0);
    ask(w, "/v1/inbox?since=1994-11-06T08:49:38Z");
    ids_are(w, "since then", NULL, 0);
    snprintf(target, sizeof target, "/v1/inbox?after=%s", id[1]);
    ask(w, target);
    ids_are(w, "after one", (const char *[]){id[4]}, 1);
    ask(w, "/v1/inbox?limit=2&to=" GW "&state=received");
    ids_are(w, "one page is all", (const char *[]){id[4], id[0]}, 2);
    assert_true(json_is_null(json_object_get(w->json, "next")));
    ask(w, "/v1/inbox?limit=1&to=" GW);
    ids_are(w, "the first page", (const char *[]){id[4]}, 1);
    snprintf(target, sizeof target, "/v1/inbox?to=" GW "&limit=1&cursor=%s", id[4]);
    assert_string_equal(member(w, "next"), target);
    assert_non_null(strstr(header(w, "Link"), target));
    ask(w, target);
    ids_are(w, "the second page", (const char *[]){id[0]}, 1);
}

static void what_a_list_is_asked_for_is_checked(void **state)
{
    static const char *const bad[] = {
        "state=seen", "limit=0", "limit=1001", "since=yesterday", "cursor=tr_00000000000000000000000000",
        "after=1",    "wait=x",  "label=a:b",  "to=a@b&to=c@d",   "state=failed&wait=1",
    };
    struct world *w = *state;
    char target[128];

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(target, sizeof target, "/v1/inbox?%s", bad[i]);
        ask(w, target);
        expect(w, target, 422, "parameter_invalid");
    }
    ask(w, "/v1/inbox?from=@");
    expect(w, "no address", 400, "jid_invalid");
    assert_int_equal(seen(w).inbox_asked, 0);
}

/* ---- waiting */

static void who_waits_gets_what_is_there_at_once(void **state)
{
    struct world *w = *state;
    char id[ID_SIZE];

    receive(w, GW, INBOX_RECEIVED, id);
    ask(w, "/v1/inbox?wait=50");
    ids_are(w, "there", (const char *[]){id}, 1);
    ask_as(w, NULL, "GET", "/v1/inbox", "Prefer: wait=50\r\n");
    ids_are(w, "there", (const char *[]){id}, 1);
    assert_string_equal(header(w, "Preference-Applied"), "wait=50");
    assert_int_equal(seen(w).inbox_asked, 2);
}

static void who_waits_gets_the_next_that_fits(void **state)
{
    struct world *w = *state;
    char first[ID_SIZE], other[ID_SIZE], id[ID_SIZE], target[128];
    int fd;

    receive(w, GW, INBOX_RECEIVED, first);
    snprintf(target, sizeof target, "/v1/inbox?wait=50&after=%s&to=" GW "&from=romeo@example.net", first);
    fd = open_request(w, NULL, "GET", target, "");
    assert_true(fake_gateway_await_inbox_asked(w->gw, 1));
    receive(w, "reports@example.org", INBOX_RECEIVED, other);
    receive(w, GW, INBOX_FAILED, other);
    receive(w, GW, INBOX_RECEIVED, id);
    read_answer(w, fd);
    ids_are(w, "the next", (const char *[]){id}, 1);
}

static void who_has_waited_long_enough_gets_an_empty_list(void **state)
{
    struct world *w = *state;
    int64_t began = clock_ms();

    ask(w, "/v1/inbox?wait=1500ms");
    ids_are(w, "nothing", NULL, 0);
    assert_in_range(clock_ms() - began, 1500, 5000);
    ask(w, "/v1/inbox?wait=0");
    ids_are(w, "nothing", NULL, 0);
}

static void who_waits_is_answered_when_the_server_stops(void **state)
{
    struct world *w = *state;
    int fd = open_request(w, NULL, "GET", "/v1/inbox?wait=50", "");

    assert_true(fake_gateway_await_inbox_asked(w->gw, 1));
    api_stop(&w->api, NULL, NULL);
    read_answer(w, fd);
    expect(w, "who waited", 503, "draining");
}

/* The journal would not let itself be ended while somebody is in it. */
static void who_hangs_up_waits_no_longer(void **state)
{
    struct world *w = *state;
    int fd = open_request(w, NULL, "GET", "/v1/inbox?wait=50", "");

    assert_true(fake_gateway_await_inbox_asked(w->gw, 1));
    fd_close(&fd);
    assert_true(fake_gateway_await_inbox_asked(w->gw, 2)); /* once more, and then it is over */
}

/* ---- tokens */

static void each_token_sees_the_addresses_that_are_its_own(void **state)
{
    struct world *w = *state;
    char id[2][ID_SIZE];
    int fd;

    add_token(w, "all", "one", "inbox", "");
    add_token(w, "reports", "two", "inbox,events", "*@example.org,!gw@*");
    add_token(w, "reader", "three", "read:all", "");
    end(w);
    begin(w);
    receive(w, GW, INBOX_RECEIVED, id[0]);
    ask_as(w, "three", "GET", "/v1/inbox", "");
    expect(w, "another scope", 403, "scope_missing");
    assert_string_equal(member(w, "rule"), "token reader: scopes=read:all");
    ask_as(w, "one", "GET", "/v1/inbox", "");
    ids_are(w, "everyone's", (const char *[]){id[0]}, 1);
    ask_as(w, "two", "GET", at(id[0], ""), "");
    expect(w, "another's", 404, "not_found");
    ask_as(w, "two", "GET", at(id[0], "/content"), "");
    expect(w, "another's content", 404, "not_found");
    ask_as(w, "two", "DELETE", at(id[0], ""), "");
    expect(w, "another's to delete", 404, "not_found");
    fd = open_request(w, "two", "GET", "/v1/inbox?wait=50", "");
    assert_true(fake_gateway_await_inbox_asked(w->gw, 2));
    receive(w, GW, INBOX_RECEIVED, id[0]);
    receive(w, "reports@example.org", INBOX_RECEIVED, id[1]);
    read_answer(w, fd);
    ids_are(w, "its own", (const char *[]){id[1]}, 1);
    ask_as(w, "two", "DELETE", at(id[1], ""), "");
    expect(w, "its own to delete", 200, NULL);
}

static void another_tokens_failure_looks_like_nothing(void **state)
{
    struct world *w = *state;
    char id[ID_SIZE];

    add_token(w, "reports", "two", "inbox", "reports@example.org");
    end(w);
    begin(w);
    receive(w, GW, INBOX_FAILED, id);
    ask_as(w, "two", "GET", at(id, "/content"), "");
    expect(w, "not 409", 404, "not_found");
}

/* ---- events */

static void expect_text(int fd, struct buf *text, const char *want)
{
    char piece[4096];

    while (!text->data || !strstr(text->data, want)) {
        ssize_t n = recv(fd, piece, sizeof piece, 0);

        if (n <= 0)
            fail_msg("no '%s' in '%s'", want, text->data ? text->data : "");
        buf_add(text, piece, (size_t)n);
    }
}

static void events_tell_of_a_file_to_whom_may_see_it(void **state)
{
    static const struct {
        const char *token, *target;
        bool told;
    } rows[] = {
        {"one", "/v1/events", true},
        {"one", "/v1/events?type=inbox.received&to=" GW, true},
        {"one", "/v1/events?to=reports@example.org", false},
        {"one", "/v1/events?type=transfer.created,xmpp.connected", false},
        {"two", "/v1/events", false},
        {"three", "/v1/events", false},
    };
    struct world *w = *state;
    char id[ID_SIZE], want[64];

    add_token(w, "all", "one", "inbox,events", "");
    add_token(w, "reports", "two", "inbox,events", "reports@example.org");
    add_token(w, "reader", "three", "read:all,events", "");
    end(w);
    begin(w);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int fd = open_request(w, rows[i].token, "GET", rows[i].target, "");
        struct buf text = {0};

        expect_text(fd, &text, "retry: 3000");
        receive(w, GW, INBOX_RECEIVED, id);
        events_publish(gateway_events(w->gw), &(struct event){.type = EVENT_XMPP_CONNECTED, .subject = (char *)GW});
        snprintf(want, sizeof want, "\"data\":{\"item\":{\"id\":\"%s\"", id);
        if (rows[i].told) {
            expect_text(fd, &text, "event: inbox.received\ndata: {\"type\":\"inbox.received\"");
            expect_text(fd, &text, want);
        } else if (!strstr(rows[i].target, "to=")) {
            expect_text(fd, &text, "xmpp.connected");
            assert_null(strstr(text.data, "inbox.received"));
        }
        buf_free(&text);
        fd_close(&fd);
    }
}

static void webhooks_have_the_same_body(void **state)
{
    struct inbox_item item = {.id = "in_00000000000000000000000000",
                              .state = INBOX_RECEIVED,
                              .to = (char *)GW,
                              .name = (char *)"a",
                              .type = (char *)"text/plain"};
    char *body = api_render_event(&(struct event){.type = EVENT_INBOX_RECEIVED, .at = 1000, .item = &item});

    (void)state;
    assert_non_null(body);
    assert_non_null(strstr(body, "{\"type\":\"inbox.received\",\"timestamp\":\"1970-01-01T00:00:01.000Z\","
                                 "\"data\":{\"item\":{\"id\":\"in_00000000000000000000000000\""));
    free(body);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(a_file_is_shown_with_all_that_is_known),
        TEST(one_that_failed_says_why_and_has_no_content),
        TEST(what_is_not_there_is_not_found),
        TEST(a_file_is_deleted_once),
        TEST(the_content_is_to_be_saved_and_never_shown),
        TEST(the_content_is_fetched_by_ranges),
        TEST(the_list_has_what_is_received_newest_first),
        TEST(what_a_list_is_asked_for_is_checked),
        TEST(who_waits_gets_what_is_there_at_once),
        TEST(who_waits_gets_the_next_that_fits),
        TEST(who_has_waited_long_enough_gets_an_empty_list),
        TEST(who_waits_is_answered_when_the_server_stops),
        TEST(who_hangs_up_waits_no_longer),
        TEST(each_token_sees_the_addresses_that_are_its_own),
        TEST(another_tokens_failure_looks_like_nothing),
        TEST(events_tell_of_a_file_to_whom_may_see_it),
        cmocka_unit_test(webhooks_have_the_same_body),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
