/* The server as a caller meets it: real sockets, raw requests, a gateway that answers as told from another thread. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "api/routes.h"
#include "api/server.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/log.h"
#include "base/metrics.h"
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

static int set_up(void **state)
{
    static char listen[] = "127.0.0.1:0";
    struct world *w = calloc(1, sizeof *w);

    w->config.http.listen = listen;
    w->config.http.max_connections = 64;
    w->config.http.idle_timeout = 30000;
    w->config.http.max_wait = 60000;
    w->config.spool.max_file = 64 << 20;
    w->config.spool.max_bytes = 128 << 20;
    begin(w);
    *state = w;
    return 0;
}

static void end(struct world *w)
{
    api_stop(&w->api, NULL, NULL);
    if (w->gw)
        fake_gateway_destroy(&w->gw);
}

static int tear_down(void **state)
{
    struct world *w = *state;

    end(w);
    json_decref(w->json);
    buf_free(&w->answer);
    free(w);
    return 0;
}

/* The same server with other settings. */
static void restart(struct world *w)
{
    end(w);
    begin(w);
}

static int dial(const struct world *w)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(api_port(w->api))};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* Everything; false when the other side is gone before that. */
static bool send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* Reads one answer, to the end of its body when that has a length, else of the stream. */
static void read_answer(struct world *w, int fd)
{
    const char *head_end = NULL, *length;
    size_t want = SIZE_MAX;
    char piece[4096];
    ssize_t n;

    buf_free(&w->answer);
    json_decref(w->json);
    w->json = NULL;
    w->status = 0;
    w->body = "";
    while (w->answer.len < want && (n = recv(fd, piece, sizeof piece, 0)) != 0) {
        if (n < 0)
            fail_msg("no answer: %s; so far '%s'", strerror(errno), w->answer.data ? w->answer.data : "");
        buf_add(&w->answer, piece, (size_t)n);
        head_end = strstr(w->answer.data, "\r\n\r\n");
        length = head_end ? strcasestr(w->answer.data, "\r\nContent-Length: ") : NULL;
        if (length && length < head_end)
            want = (size_t)(head_end + 4 - w->answer.data) + strtoul(length + 18, NULL, 10);
        else if (head_end &&
                 (strncmp(w->answer.data, "HTTP/1.1 204", 12) == 0 || strncmp(w->answer.data, "HTTP/1.1 304", 12) == 0))
            break;
    }
    if (!head_end)
        return;
    w->status = (unsigned)strtoul(w->answer.data + 9, NULL, 10);
    w->body = head_end + 4;
    w->json = json_loads(w->body, JSON_DECODE_ANY, NULL);
}

static void ask_bytes(struct world *w, const char *request, size_t len)
{
    int fd = dial(w);

    send_all(fd, request, len);
    read_answer(w, fd);
    fd_close(&fd);
}

static void __attribute__((format(printf, 2, 3))) ask(struct world *w, const char *fmt, ...)
{
    char *request = NULL;
    va_list args;

    va_start(args, fmt);
    assert_true(vasprintf(&request, fmt, args) >= 0);
    va_end(args);
    ask_bytes(w, request, strlen(request));
    free(request);
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
    at = w->answer.data ? strcasestr(w->answer.data, line) : NULL;
    if (!at || at >= w->body)
        return "(none)";
    at += strlen(line);
    snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\r"), at);
    return value;
}

static void expect(const struct world *w, const char *says, unsigned status, const char *code)
{
    if (w->status != status || (code && strcmp(member(w, "code"), code) != 0))
        fail_msg("%s: %u '%s', not %u %s", says, w->status, w->answer.data ? w->answer.data : "", status,
                 code ? code : "");
    if (status >= 400 && strcmp(header(w, "Content-Type"), "application/problem+json") != 0)
        fail_msg("%s: %s", says, header(w, "Content-Type"));
}

static struct fake_gateway_seen seen(const struct world *w)
{
    struct fake_gateway_seen s;

    fake_gateway_seen(w->gw, &s);
    return s;
}

#define GET(target) "GET " target " HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define PUT(target) "PUT " target " HTTP/1.1\r\nHost: localhost\r\n"
#define THREE       "Content-Length: 3\r\n\r\nabc"
#define ANA         "/v1/to/ana@example.org"
#define NOBODYS_ID  "tr_00000000000000000000000000"

/* ---- bad input */

static void bad_input_gets_its_status(void **state)
{
    static const struct {
        const char *says, *request;
        unsigned status;
        const char *code;
    } rows[] = {
        {"two lengths", PUT(ANA "/a") "Content-Length: 3\r\n" THREE, 400, "length_conflict"},
        {"two different lengths", PUT(ANA "/a") "Content-Length: 30\r\n" THREE, 400, "length_conflict"},
        {"a length beside chunks", PUT(ANA "/a") "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
         400, "length_conflict"},
        {"an unknown encoding", PUT(ANA "/a") "Transfer-Encoding: gzip\r\n\r\n", 400, "request_malformed"},
        {"two encodings", PUT(ANA "/a") "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400, "request_malformed"},
        {"two hosts", "GET /v1 HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400, "request_malformed"},
        {"two origins", "GET /v1 HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nOrigin: x\r\n\r\n", 400,
         "request_malformed"},
        {"two sites", "GET /v1 HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: none\r\nSec-Fetch-Site: none\r\n\r\n",
         400, "request_malformed"},
        {"two tokens", "GET /v1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a\r\nauthorization: b\r\n\r\n",
         400, "request_malformed"},
        {"a folded origin", "GET /v1 HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n x\r\n\r\n", 400,
         "request_malformed"},
        {"a folded site", "GET /v1 HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site:\r\n cross-site\r\n\r\n", 400,
         "request_malformed"},
        {"a folded token", "GET /v1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer\r\n a\r\n\r\n", 400,
         "request_malformed"},
        {"a folded host", "GET /v1 HTTP/1.1\r\nHost: localhost\r\nhost: evil.example\r\n x\r\n\r\n", 400,
         "request_malformed"},
        {"a space before the colon", PUT(ANA "/a") "Content-Length : 3\r\n\r\n", 400, "request_malformed"},
        {"a NUL in a name", PUT(ANA "/a%00b.txt") THREE, 400, "request_malformed"},
        {"a NUL in the query", GET("/v1?q=x%00y"), 400, "request_malformed"},
        {"a slash in a name", PUT(ANA "/..%2F..%2Fetc%2Fpasswd") THREE, 422, "name_invalid"},
        {"the folder above", PUT(ANA "/..") THREE, 422, "name_invalid"},
        {"a control character", PUT(ANA "/a%01b") THREE, 422, "name_invalid"},
        {"invalid UTF-8", PUT(ANA "/a%ff") THREE, 422, "name_invalid"},
        {"a bidi override", PUT(ANA "/evil%E2%80%AEfdp.exe") THREE, 422, "name_invalid"},
        {"a bad ?name=", PUT(ANA "?name=a%2Fb") THREE, 422, "name_invalid"},
        {"a bad Content-Disposition", PUT(ANA) "Content-Disposition: a; filename=\"a/b\"\r\n" THREE, 422,
         "name_invalid"},
        {"no recipient", PUT("/v1/to//a") THREE, 404, "not_found"},
        {"no recipient at all", PUT("/v1/to/") THREE, 404, "not_found"},
        {"no address", PUT("/v1/to/@@/a") THREE, 400, "jid_invalid"},
        {"a second at sign in the domain", PUT("/v1/to/victim.org%2Fa@evil.org@/a") THREE, 202, NULL},
        {"a control character in the address", PUT("/v1/to/a%01b@example.org/a") THREE, 400, "jid_invalid"},
        {"a resource twice", PUT(ANA "%2Fdesk/a?resource=phone") THREE, 422, "parameter_invalid"},
        {"a slash in the address", PUT(ANA "/desk/a.txt") THREE, 404, "not_found"},
        {"a path upwards", GET("/v1/../etc/passwd"), 404, "not_found"},
        {"a decoded path upwards", GET("/v1/..%2Fetc"), 404, "not_found"},
        {"an unknown path", GET("/nothing"), 404, "not_found"},
        {"an unknown transfer", GET("/v1/transfers/" NOBODYS_ID), 404, "not_found"},
        {"no id at all", GET("/v1/transfers/..%2F..%2Fetc"), 404, "not_found"},
        {"a method of another path", "PATCH /v1/transfers HTTP/1.1\r\nHost: localhost\r\n\r\n", 405,
         "method_not_allowed"},
        {"an unknown method", "BREW /v1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, "method_not_allowed"},
        {"an unknown parameter", PUT(ANA "/a?wiat=3") THREE, 422, "parameter_invalid"},
        {"a word for seconds", PUT(ANA "/a?wait=soon") THREE, 422, "parameter_invalid"},
        {"an unknown digest", PUT(ANA "/a?digest=md5") THREE, 422, "parameter_invalid"},
        {"no lifetime", PUT(ANA "/a?ttl=0") THREE, 422, "parameter_invalid"},
        {"no time to wait", PUT(ANA "/a?hold=long") THREE, 422, "parameter_invalid"},
        {"nothing to do about a subscription", PUT(ANA "/a?subscribe=beg") THREE, 422, "parameter_invalid"},
        {"no media type", PUT(ANA "/a") "Content-Type: whatever\r\n" THREE, 415, "media_refused"},
        {"an unknown state", GET("/v1/transfers?state=lost"), 422, "parameter_invalid"},
        {"a limit of none", GET("/v1/transfers?limit=0"), 422, "parameter_invalid"},
        {"a cursor of nobody", GET("/v1/transfers?cursor=abc"), 422, "parameter_invalid"},
        {"no time", GET("/v1/transfers?since=yesterday"), 422, "parameter_invalid"},
        {"a form that is none", "POST /v1/transfers HTTP/1.1\r\nHost: localhost\r\n" THREE, 415, "media_refused"},
        {"a form without a boundary",
         "POST /v1/transfers HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data\r\n" THREE, 400,
         "request_malformed"},
        {"a form of a foreign page",
         "POST " ANA "/a HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n"
         "Content-Type: application/x-www-form-urlencoded\r\n" THREE,
         403, "host_not_allowed"},
        {"a rebound name", "GET /v1 HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403, "host_not_allowed"},
        {"a rebound name in the target", "GET http://evil.example/v1 HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403,
         "host_not_allowed"},
        {"another host in the target", "GET http://evil.example/v1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400,
         "request_malformed"},
        {"no host in the target", "GET http:///v1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "request_malformed"},
        {"a cross-site fetch", "GET /v1 HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n", 403,
         "host_not_allowed"},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ask_bytes(w, rows[i].request, strlen(rows[i].request));
        expect(w, rows[i].says, rows[i].status, rows[i].code);
    }
    ask(w, GET("/v1"));
    expect(w, "unharmed", 200, NULL);
    assert_int_equal(seen(w).begun, seen(w).aborted + seen(w).finished);
}

static void a_missing_host_is_refused(void **state)
{
    struct world *w = *state;

    ask(w, "GET /v1 HTTP/1.1\r\n\r\n"); /* by the library, in words of its own */
    assert_int_equal(w->status, 400);
    ask(w, "GET /livez HTTP/1.0\r\n\r\n"); /* HTTP/1.0 has none */
    expect(w, "HTTP/1.0", 200, NULL);
}

/* A proxy before us may see one request where we see two. */
static void after_a_doubtful_end_nothing_more_is_read(void **state)
{
    static const struct {
        const char *request, *code;
    } rows[] = {
        {PUT(ANA "/a") "Content-Length: 3\r\nContent-Length: 0\r\n\r\nabc" GET("/v1/xmpp"), "length_conflict"},
        {PUT(ANA "/a") "Content-Length:\r\n 3\r\n\r\nabc" GET("/v1/xmpp"), "request_malformed"},
        {PUT(ANA "/a") "Content-Length:\r\n\t3\r\nX: y\r\n\r\nabc" GET("/v1/xmpp"), "request_malformed"},
        {PUT(ANA "/a") "Transfer-Encoding:\r\n chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" GET("/v1/xmpp"),
         "request_malformed"},
    };
    struct world *w = *state;
    char more[64];

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int fd = dial(w);

        send_all(fd, rows[i].request, strlen(rows[i].request));
        read_answer(w, fd);
        expect(w, rows[i].request, 400, rows[i].code);
        assert_string_equal(header(w, "Connection"), "close");
        assert_int_equal(recv(fd, more, sizeof more, 0), 0);
        fd_close(&fd);
    }
}

static void space_behind_a_value_is_no_part_of_it(void **state)
{
    static char token[] = "s3cret-token";
    struct world *w = *state;

    ask(w, "GET /v1 HTTP/1.1\r\nHost: localhost \t\r\nSec-Fetch-Site: none \r\nX-Request-Id: job-7\t\r\n\r\n");
    expect(w, "host and site", 200, NULL);
    assert_string_equal(header(w, "X-Request-Id"), "job-7");
    ask(w, PUT(ANA "/a") "Content-Type: text/plain \r\n" THREE);
    expect(w, "type", 202, NULL);
    assert_string_equal(seen(w).type, "text/plain");
    w->config.http.token = token;
    restart(w);
    ask(w, "GET /v1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer s3cret-token \r\n\r\n");
    expect(w, "token", 200, NULL);
}

static void what_is_not_allowed_names_what_is(void **state)
{
    struct world *w = *state;

    ask(w, "PATCH " ANA "/a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    expect(w, "PATCH", 405, "method_not_allowed");
    assert_string_equal(header(w, "Allow"), "PUT, POST, OPTIONS");
    ask(w, "OPTIONS /v1/transfers HTTP/1.1\r\nHost: localhost\r\n\r\n");
    expect(w, "OPTIONS", 204, NULL);
    assert_string_equal(header(w, "Allow"), "POST, GET, HEAD, OPTIONS");
}

static void an_early_refusal_costs_a_connection_only_with_a_body(void **state)
{
    struct world *w = *state;
    int fd = dial(w);

    for (int i = 0; i < 3; i++) {
        static const char request[] = GET("/nothing");

        assert_true(send_all(fd, request, strlen(request)));
        read_answer(w, fd);
        expect(w, "on the same connection", 404, "not_found");
    }
    fd_close(&fd);
}

/* ---- before the body */

static void who_expects_100_continue_sends_nothing_in_vain(void **state)
{
    struct world *w = *state;
    struct fake_gateway_script script = {.begin = ERR_SPOOL_FULL};
    static const char big[] = "Content-Length: 200000000\r\nExpect: 100-continue\r\n\r\n";
    static const struct {
        const char *target, *code;
        unsigned status;
    } rows[] = {
        {"/v1/to/@@/a", "jid_invalid", 400},
        {ANA "/..", "name_invalid", 422},
        {ANA "/a", "spool_full", 507},
        {"/v1/xmpp", "method_not_allowed", 405},
    };

    fake_gateway_script(w->gw, &script);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ask(w, "PUT %s HTTP/1.1\r\nHost: localhost\r\n%s", rows[i].target, big);
        expect(w, rows[i].target, rows[i].status, rows[i].code);
    }
    assert_int_equal(seen(w).begun, 0);
}

static void who_may_send_is_told_to_go_on(void **state)
{
    struct world *w = *state;
    static const char head[] = PUT(ANA "/a") "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    char go_on[64] = "";
    int fd = dial(w);

    send_all(fd, head, strlen(head));
    assert_true(recv(fd, go_on, sizeof go_on - 1, 0) > 0);
    assert_string_equal(go_on, "HTTP/1.1 100 Continue\r\n\r\n");
    send_all(fd, "abc", 3);
    read_answer(w, fd);
    expect(w, "accepted", 202, NULL);
    assert_int_equal(seen(w).declared, 3);
    fd_close(&fd);
}

/* A client that writes all it has before it reads: the answer must outlive what is still on its way. */
static void who_sends_all_the_same_still_gets_the_answer(void **state)
{
    struct world *w = *state;
    size_t len = 3 << 20;
    char *body = calloc(1, len);
    static const char head[] = PUT("/v1/to/@@/a") "Content-Length: 3145728\r\n\r\n";
    int fd = dial(w);

    assert_true(send_all(fd, head, strlen(head)));
    assert_true(send_all(fd, body, len));
    read_answer(w, fd);
    expect(w, "after the body", 400, "jid_invalid");
    fd_close(&fd);
    free(body);
}

/* ---- uploads */

static void an_upload_is_accepted_with_its_place(void **state)
{
    struct world *w = *state;
    char place[64];

    ask(w,
        PUT(ANA "%%2Fdesk/a%%20b.txt?caption=Q3+&methods=s5b&ttl=7d&digest=sha-256") "X-Request-Id: job-7\r\n" THREE);
    expect(w, "PUT", 202, NULL);
    assert_string_equal(member(w, "state"), "queued");
    snprintf(place, sizeof place, "/v1/transfers/%s", member(w, "id"));
    assert_string_equal(header(w, "Location"), place);
    assert_string_equal(header(w, "X-Request-Id"), "job-7");
    assert_string_equal(header(w, "Cache-Control"), "no-store");
    assert_string_equal(header(w, "X-Content-Type-Options"), "nosniff");
    assert_string_equal(header(w, "Content-Type"), "application/json");
    assert_int_equal(w->answer.data[w->answer.len - 1], '\n');
    assert_string_equal(seen(w).to, "ana@example.org/desk");
    assert_string_equal(seen(w).name, "a b.txt");
    assert_string_equal(seen(w).caption, "Q3 ");
    assert_string_equal(seen(w).methods, "s5b");
    assert_string_equal(seen(w).request_id, "job-7");
    assert_string_equal(seen(w).type, "");
    assert_string_equal(seen(w).body, "abc");
    assert_int_equal(seen(w).ttl_ms, 604800000);
    assert_int_equal(seen(w).hold_ms, -1); /* as configured */
    assert_true(seen(w).digest);
}

static void who_is_offline_may_be_waited_for_and_asked(void **state)
{
    struct world *w = *state;

    ask(w, PUT(ANA "/a?hold=1h&subscribe=ask") THREE);
    expect(w, "PUT", 202, NULL);
    assert_int_equal(seen(w).hold_ms, 3600000);
    assert_true(seen(w).subscribe);
}

static void a_file_finds_its_name_and_type(void **state)
{
    static const struct {
        const char *target, *headers, *name, *type;
    } rows[] = {
        {ANA, "", "", ""},
        {ANA "/", "", "", ""},
        {ANA "/?name=b.txt", "", "b.txt", ""},
        {ANA, "Content-Disposition: attachment; filename=c.txt\r\n", "c.txt", ""},
        {ANA "/a.txt", "Content-Disposition: attachment; filename=c.txt\r\n", "a.txt", ""},
        {ANA "/a.pdf", "Content-Type: application/pdf\r\n", "a.pdf", "application/pdf"},
        {ANA "/a", "Content-Type: application/x-www-form-urlencoded\r\n", "a", ""}, /* curl --data-binary */
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ask(w, "POST %s HTTP/1.1\r\nHost: localhost\r\n%s" THREE, rows[i].target, rows[i].headers);
        expect(w, rows[i].target, 202, NULL);
        assert_string_equal(seen(w).name, rows[i].name);
        assert_string_equal(seen(w).type, rows[i].type);
        assert_string_equal(seen(w).body, "abc");
    }
}

static void chunks_and_nothing_are_files_too(void **state)
{
    struct world *w = *state;

    ask(w, PUT(ANA "/a") "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    expect(w, "chunks", 202, NULL);
    assert_int_equal(seen(w).declared, -1);
    assert_string_equal(seen(w).body, "abcde");
    ask(w, PUT(ANA "/a") "Content-Length: 0\r\n\r\n");
    expect(w, "empty", 202, NULL);
    assert_int_equal(seen(w).declared, 0);
    ask(w, PUT(ANA "/a") "\r\n");
    expect(w, "no length", 202, NULL);
    assert_int_equal(seen(w).declared, 0);
}

/* The body that the second one announces is never sent. */
static void a_repeated_request_is_told_of_its_transfer_without_its_body(void **state)
{
    struct world *w = *state;
    char id[ID_SIZE];
    int fd;
    const char *head = PUT(ANA "/a") "Idempotency-Key: \"job-7\"\r\nContent-Length: 1000000\r\n\r\n";

    for (int i = 0; i < 2; i++) {
        ask(w, PUT(ANA "/a") "Idempotency-Key: %s\r\n" THREE, i ? "\"job-7\"" : "job-7");
        expect(w, "PUT", 202, NULL);
        assert_string_equal(header(w, "Idempotent-Replayed"), i ? "true" : "(none)");
        if (i)
            assert_string_equal(member(w, "id"), id);
        snprintf(id, sizeof id, "%s", member(w, "id"));
        assert_string_equal(seen(w).key.text, "job-7");
        assert_string_equal(seen(w).body, "abc");
        assert_int_equal(seen(w).begun, 1);
        assert_int_equal(seen(w).finished, 1);
    }
    fd = dial(w);
    assert_true(send_all(fd, head, strlen(head)));
    read_answer(w, fd);
    expect(w, "without a body", 202, NULL);
    assert_string_equal(header(w, "Idempotent-Replayed"), "true");
    assert_string_equal(member(w, "id"), id);
    fd_close(&fd);
    ask(w, PUT(ANA "/a?wait=1") "Idempotency-Key: job-7\r\n" THREE);
    expect(w, "and waits", 200, NULL);
    assert_string_equal(header(w, "Idempotent-Replayed"), "true");
    ask(w, "POST /v1/transfers?to=ana@example.org HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: job-7\r\n"
           "Content-Type: multipart/form-data; boundary=X0\r\n" THREE);
    expect(w, "as a form", 202, NULL);
    assert_string_equal(member(w, "id"), id);
    assert_int_equal(seen(w).begun, 1);
    assert_int_equal(seen(w).released, 1);
}

static void what_a_key_meets_is_told(void **state)
{
    static const struct {
        const char *says, *key;
        enum error_code reserve, begin;
        unsigned status;
        const char *code;
    } rows[] = {
        {"no key", "", ERR_NONE, ERR_NONE, 400, "request_malformed"},
        {"no key that can be read", "a b", ERR_NONE, ERR_NONE, 400, "request_malformed"},
        {"two of them", "a\r\nIdempotency-Key: b", ERR_NONE, ERR_NONE, 400, "request_malformed"},
        {"an upload under way", "a", ERR_IDEMPOTENCY_IN_PROGRESS, ERR_NONE, 409, "idempotency_in_progress"},
        {"another request's", "a", ERR_IDEMPOTENCY_KEY_REUSE, ERR_NONE, 422, "idempotency_key_reuse"},
        {"no store", "a", ERR_STORE_UNAVAILABLE, ERR_NONE, 503, "store_unavailable"},
        {"a full spool", "a", ERR_NONE, ERR_SPOOL_FULL, 507, "spool_full"},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fake_gateway_script(w->gw, &(struct fake_gateway_script){.reserve = rows[i].reserve, .begin = rows[i].begin});
        ask(w, PUT(ANA "/a") "Idempotency-Key: %s\r\n" THREE, rows[i].key);
        expect(w, rows[i].says, rows[i].status, rows[i].code);
        if (rows[i].status == 409) {
            assert_string_equal(header(w, "Location"), "/v1/transfers/" NOBODYS_ID);
            assert_string_equal(header(w, "Retry-After"), "5");
        }
    }
    assert_int_equal(seen(w).begun, 0);
    assert_int_equal(seen(w).released, seen(w).reserved);
}

/* The print of a request: what another one differs in. */
static void requests_that_differ_have_another_print(void **state)
{
#define DIGEST(c) "Content-Digest: sha-256=:" c "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:\r\n"
    static const char *const rows[] = {
        PUT(ANA "/a") "Idempotency-Key: a\r\n" THREE,
        "POST " ANA "/a HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: b\r\n" THREE,
        PUT(ANA "/b") "Idempotency-Key: c\r\n" THREE,
        PUT(ANA "/a?caption=x") "Idempotency-Key: d\r\n" THREE,
        PUT(ANA "/a") "Idempotency-Key: e\r\nContent-Length: 4\r\n\r\nabcd",
        PUT(ANA "/a") "Idempotency-Key: f\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        PUT(ANA "/a") "Idempotency-Key: g\r\n" DIGEST("A") THREE,
        PUT(ANA "/a") "Idempotency-Key: h\r\n" DIGEST("B") THREE,
    };
    enum { ROWS = sizeof rows / sizeof *rows };
    struct world *w = *state;
    unsigned char prints[ROWS + 1][KEY_PRINT];

    for (size_t i = 0; i < ROWS; i++) {
        ask(w, "%s", rows[i]);
        expect(w, rows[i], 202, NULL);
        memcpy(prints[i], seen(w).key.print, KEY_PRINT);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(prints[i], prints[k], KEY_PRINT);
    }
    ask(w, PUT(ANA "/a") "Idempotency-Key: i\r\nContent-Type: text/css\r\nUser-Agent: b\r\n" THREE);
    assert_memory_equal(seen(w).key.print, prints[0], KEY_PRINT);
}

static void an_abandoned_upload_frees_its_key(void **state)
{
    const char *half = PUT(ANA "/a") "Idempotency-Key: a\r\nContent-Length: 10\r\n\r\nabc";
    struct world *w = *state;
    int fd = dial(w);

    assert_true(send_all(fd, half, strlen(half)));
    assert_true(fake_gateway_await_begun(w->gw, 1));
    fd_close(&fd);
    assert_true(fake_gateway_await_aborted(w->gw, 1));
    ask(w, PUT(ANA "/a") "Idempotency-Key: a\r\n" THREE);
    expect(w, "again", 202, NULL);
    assert_string_equal(header(w, "Idempotent-Replayed"), "(none)");
    assert_int_equal(seen(w).begun, 2);
}

static void words_for_scripts(void **state)
{
    struct world *w = *state;
    char id[ID_SIZE], want[128];

    ask(w, PUT(ANA "/a") "Accept: text/plain\r\n" THREE);
    assert_int_equal(w->status, 202);
    snprintf(id, sizeof id, "%s", w->body);
    snprintf(want, sizeof want, "%s queued /v1/transfers/%s\n", id, id);
    assert_string_equal(w->body, want);
}

#define TRACE "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

/* Echoed, and kept with the transfer; one that is none, or one of two, is as good as not there. */
static void the_callers_trace_goes_with_the_transfer(void **state)
{
    static const struct {
        const char *says, *headers;
        bool kept;
    } rows[] = {
        {"one", "traceparent: " TRACE "\r\n", true},
        {"whatever the case of its name", "TraceParent: " TRACE " \t\r\n", true},
        {"none", "", false},
        {"two", "traceparent: " TRACE "\r\ntraceparent: " TRACE "\r\n", false},
        {"nonsense", "traceparent: 00-xyz\r\n", false},
        {"empty", "traceparent:\r\n", false},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ask(w, "PUT " ANA "/a HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: 3\r\n\r\nabc", rows[i].headers);
        expect(w, rows[i].says, 202, NULL);
        assert_string_equal(seen(w).traceparent, rows[i].kept ? TRACE : "");
        if (rows[i].kept) {
            assert_string_equal(header(w, "traceparent"), TRACE);
            assert_string_equal(member(w, "traceparent"), TRACE);
            assert_string_equal(member(w, "trace_id"), "4bf92f3577b34da6a3ce929d0e0e4736");
        } else {
            assert_null(strcasestr(w->answer.data, "\r\ntraceparent:"));
            assert_true(json_is_null(json_object_get(w->json, "trace_id")));
        }
    }
}

static void a_strange_request_id_is_replaced(void **state)
{
    struct world *w = *state;

    ask(w, "GET /v1 HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a b\r\n\r\n");
    assert_int_equal(strncmp(header(w, "X-Request-Id"), "rq_", 3), 0);
}

static void waiting_tells_by_the_status_how_it_ended(void **state)
{
    static const struct {
        const char *says;
        enum transfer_state ends;
        enum error_code error;
        unsigned status;
        const char *code;
    } rows[] = {
        {"delivered", TRANSFER_DELIVERED, ERR_NONE, 200, NULL},
        {"a link sent", TRANSFER_LINK_SENT, ERR_NONE, 200, NULL},
        {"a link fetched already", TRANSFER_LINK_FETCHED, ERR_NONE, 200, NULL},
        {"still on its way", TRANSFER_QUEUED, ERR_NONE, 202, NULL},
        {"declined", TRANSFER_FAILED, ERR_RECIPIENT_DECLINED, 409, "recipient_declined"},
        {"no way", TRANSFER_FAILED, ERR_NO_COMMON_METHOD, 422, "no_common_method"},
        {"broken", TRANSFER_FAILED, ERR_STREAM_BROKEN, 502, "stream_broken"},
        {"silence", TRANSFER_FAILED, ERR_RECIPIENT_TIMEOUT, 504, "recipient_timeout"},
        {"cancelled", TRANSFER_CANCELLED, ERR_NONE, 409, "cancelled"},
        {"too late", TRANSFER_EXPIRED, ERR_NONE, 410, "ttl_expired"},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fake_gateway_script script = {.ends = rows[i].ends, .end_error = rows[i].error};

        fake_gateway_script(w->gw, &script);
        ask(w, PUT(ANA "/a?wait=5") THREE);
        expect(w, rows[i].says, rows[i].status, rows[i].code);
        if (rows[i].status >= 400) {
            assert_non_null(json_object_get(json_object_get(w->json, "transfer"), "id"));
            assert_int_equal(strncmp(member(w, "instance"), "/v1/transfers/tr_", 17), 0);
        }
    }
    assert_int_equal(seen(w).wait_ms, 5000);
}

static void a_preference_is_applied_and_said_so(void **state)
{
    static const struct {
        const char *query, *header, *applied;
        int64_t wait_ms;
        unsigned status;
    } rows[] = {
        {"", "Prefer: wait=7\r\n", "wait=7", 7000, 200},
        {"", "Prefer: wait=100000\r\n", "wait=60", 60000, 200}, /* [http] max_wait */
        {"", "Prefer: respond-async\r\n", "respond-async", 0, 202},
        {"", "Prefer: respond-async\r\nPrefer: wait=3\r\n", "wait=3", 3000, 200},
        {"?wait=2m", "Prefer: wait=7\r\n", "(none)", 60000, 200},
        {"?wait=500ms", "", "(none)", 500, 200},
        {"?wait=0", "", "(none)", 0, 202},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ask(w, "PUT " ANA "/a%s HTTP/1.1\r\nHost: localhost\r\n%s" THREE, rows[i].query, rows[i].header);
        expect(w, rows[i].header, rows[i].status, NULL);
        assert_string_equal(header(w, "Preference-Applied"), rows[i].applied);
        if (rows[i].wait_ms)
            assert_int_equal(seen(w).wait_ms, rows[i].wait_ms);
    }
}

/* Also when the hanging up comes in one piece with the last bytes. */
static void an_abandoned_body_is_an_abandoned_upload(void **state)
{
    static const char *const parts[] = {
        PUT(ANA "/a") "Content-Length: 1000\r\n\r\nabc",
        PUT(ANA "/a") "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        PUT(ANA "/a") "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10\r\nde",
    };
    struct world *w = *state;

    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
        int fd = dial(w);

        assert_true(send_all(fd, parts[i], strlen(parts[i])));
        fd_close(&fd);
        assert_true(fake_gateway_await_aborted(w->gw, i + 1));
    }
    assert_int_equal(seen(w).finished, 0);
}

/* A caller may say that it has said all (shutdown) and still wait for the answer. */
static void a_half_closed_caller_is_answered(void **state)
{
    static const char *const requests[] = {
        PUT(ANA "/a") THREE,
        PUT(ANA "/a") "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        int fd = dial(w);

        assert_true(send_all(fd, requests[i], strlen(requests[i])));
        shutdown(fd, SHUT_WR);
        read_answer(w, fd);
        expect(w, requests[i], 202, NULL);
        fd_close(&fd);
    }
}

static void an_abandoned_head_leaves_nothing(void **state)
{
    struct world *w = *state;
    static const char part[] = PUT(ANA "/a") "Content-Len";
    int fd = dial(w);

    assert_true(send_all(fd, part, strlen(part)));
    fd_close(&fd);
    ask(w, GET("/v1"));
    expect(w, "unharmed", 200, NULL);
}

/* Neither reaches a handler: the library runs out of memory for the cookies and the parameters. What it says then, if
 * anything, is its own; that nothing is lost, the leak checker sees. */
static void a_head_beyond_the_library_leaves_nothing(void **state)
{
    static const struct {
        const char *before, *unit, *after;
    } rows[] = {
        {"GET /livez HTTP/1.1\r\nHost: localhost\r\nCookie: ", "a=b; ", "\r\n\r\n"},
        {"GET /v1?", "&", " HTTP/1.1\r\nHost: localhost\r\n\r\n"},
    };
    struct world *w = *state;
    int fds[sizeof rows / sizeof *rows];

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf request = {0};

        fds[i] = dial(w);
        buf_printf(&request, "%s", rows[i].before);
        for (int n = 0; n < 5000; n++)
            buf_printf(&request, "%s", rows[i].unit);
        buf_printf(&request, "%s", rows[i].after);
        assert_true(send_all(fds[i], request.data, request.len));
        buf_free(&request);
    }
    ask(w, GET("/v1"));
    expect(w, "unharmed", 200, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        fd_close(&fds[i]);
}

static void an_error_in_the_middle_of_a_body_is_answered_there(void **state)
{
    struct world *w = *state;
    struct fake_gateway_script script = {.append = ERR_SPOOL_FULL, .append_after = 3};
    static const char head[] = PUT(ANA "/a") "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n";
    int fd = dial(w);

    fake_gateway_script(w->gw, &script);
    assert_true(send_all(fd, head, strlen(head))); /* and no end of it */
    read_answer(w, fd);
    expect(w, "full", 507, "spool_full");
    assert_string_equal(member(w, "stage"), "upload");
    assert_string_equal(header(w, "Connection"), "close");
    assert_string_equal(header(w, "Retry-After"), "10");
    assert_int_equal(seen(w).aborted, 1);
    fd_close(&fd);
}

static void what_cannot_be_kept_is_not_accepted(void **state)
{
    struct world *w = *state;
    struct fake_gateway_script script = {.commit = ERR_STORE_UNAVAILABLE};

    fake_gateway_script(w->gw, &script);
    ask(w, PUT(ANA "/a") THREE);
    expect(w, "no store", 503, "store_unavailable");
}

/* ---- forms */

#define PART(name, text)          "--X0\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" text "\r\n"
#define FILE_PART(filename, text) FILE_TYPED(filename, "application/octet-stream", text)
#define FILE_TYPED(filename, type, text)                                                                               \
    "--X0\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" filename "\"\r\nContent-Type: " type          \
    "\r\n\r\n" text "\r\n"
#define TO  PART("to", "ana@example.org")
#define END "--X0--\r\n"

static void post_form(struct world *w, const char *target, const char *form)
{
    ask(w,
        "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=X0\r\n"
        "Content-Length: %zu\r\n\r\n%s",
        target, strlen(form), form);
}

static void a_form_is_put_together_in_any_order(void **state)
{
    static const char *const forms[] = {
        TO PART("caption", "Q3 \xe2\x82\xac") PART("ttl", "1h") PART("hold", "0")
            FILE_TYPED("r.pdf", "application/pdf", "abc") END,
        FILE_TYPED("r.pdf", "application/pdf", "abc") PART("ttl", "1h") PART("hold", "0")
            PART("caption", "Q3 \xe2\x82\xac") TO END,
        TO FILE_TYPED("x", "application/pdf", "abc") PART("name", "r.pdf") PART("caption", "Q3 \xe2\x82\xac")
            PART("ttl", "1h") PART("hold", "0") END,
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        post_form(w, "/v1/transfers", forms[i]);
        expect(w, forms[i], 202, NULL);
        assert_string_equal(seen(w).to, "ana@example.org");
        assert_string_equal(seen(w).name, "r.pdf");
        assert_string_equal(seen(w).type, "application/pdf");
        assert_string_equal(seen(w).caption, "Q3 \xe2\x82\xac");
        assert_string_equal(seen(w).body, "abc");
        assert_int_equal(seen(w).ttl_ms, 3600000);
        assert_int_equal(seen(w).hold_ms, 0);
        assert_false(seen(w).subscribe);
    }
}

static void a_form_means_the_same_wherever_tcp_cuts_it(void **state)
{
    static const char form[] = TO FILE_PART("a.txt", "one\r\n--X two") PART("caption", "c") END;
    struct world *w = *state;

    for (size_t cut = 1; cut < sizeof form - 1; cut += 3) {
        char head[256];
        int fd = dial(w), one = 1;

        setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof one);
        snprintf(head, sizeof head,
                 "POST /v1/transfers HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=X0\r\n"
                 "Content-Length: %zu\r\n\r\n",
                 sizeof form - 1);
        assert_true(send_all(fd, head, strlen(head)) && send_all(fd, form, cut));
        assert_true(send_all(fd, form + cut, sizeof form - 1 - cut));
        read_answer(w, fd);
        expect(w, "a form in two pieces", 202, NULL);
        assert_string_equal(seen(w).body, "one\r\n--X two");
        assert_string_equal(seen(w).caption, "c");
        fd_close(&fd);
        if (seen(w).finished >= 60)
            break; /* the fake keeps no more */
    }
}

static void a_boundary_is_found_among_other_parameters(void **state)
{
    static const char *const types[] = {
        "multipart/form-data; boundary=X0; charset=utf-8",
        "Multipart/Form-Data; charset=utf-8; BOUNDARY=\"X0\"; x=y",
        "multipart/form-data; xboundary=Q; boundary=X0",
        "multipart/form-data;boundary=X0 ",
    };
    static const char form[] = TO FILE_PART("a.txt", "abc") END;
    struct world *w = *state;

    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        ask(w, "POST /v1/transfers HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
            types[i], strlen(form), form);
        expect(w, types[i], 202, NULL);
        assert_string_equal(seen(w).body, "abc");
    }
}

static void a_form_may_go_to_an_address(void **state)
{
    struct world *w = *state;

    post_form(w, ANA "?resource=desk", FILE_PART("a.txt", "abc") END);
    expect(w, "POST", 202, NULL);
    assert_string_equal(seen(w).to, "ana@example.org/desk");
    assert_string_equal(seen(w).name, "a.txt");
    assert_string_equal(seen(w).type, "");
    post_form(w, ANA "/b.txt", FILE_PART("a.txt", "") END);
    expect(w, "an empty file", 202, NULL);
    assert_string_equal(seen(w).name, "b.txt");
    assert_int_equal(seen(w).bytes, 0);
}

static void a_bad_form_is_refused_and_leaves_nothing(void **state)
{
    static const struct {
        const char *target, *form, *code;
        unsigned status;
    } rows[] = {
        {"/v1/transfers", FILE_PART("a", "abc") END, "parameter_invalid", 422},
        {"/v1/transfers", TO END, "parameter_invalid", 422},
        {"/v1/transfers", TO PART("name", "c") FILE_PART("a", "abc") FILE_PART("b", "def") END, "parameter_invalid",
         422},
        {"/v1/transfers", TO FILE_PART("a", "abc") FILE_PART("b", "def") PART("name", "c") END, "parameter_invalid",
         422},
        {"/v1/transfers", TO FILE_PART("a", "abc") FILE_PART("b/c", "def") END, "name_invalid", 422},
        {"/v1/transfers", TO PART("to", "@@") FILE_PART("a", "abc") END, "jid_invalid", 400},
        {"/v1/transfers?to=ana@example.org&to=@@", FILE_PART("a", "abc") END, "jid_invalid", 400},
        {"/v1/transfers", TO PART("label", "x") FILE_PART("a", "abc") END, "parameter_invalid", 422},
        {"/v1/transfers", "no boundary", "request_malformed", 400},
        {"/v1/transfers", "", "request_malformed", 400},
        {"/v1/transfers", TO TO FILE_PART("a", "abc") END, "parameter_invalid", 422},
        {"/v1/transfers", TO FILE_PART("a/b", "abc") END, "name_invalid", 422},
        {"/v1/transfers", TO PART("name", "..") FILE_PART("a", "abc") END, "name_invalid", 422},
        {"/v1/transfers", PART("to", "@@") FILE_PART("a", "abc") END, "jid_invalid", 400},
        {"/v1/transfers", TO PART("captoin", "x") FILE_PART("a", "abc") END, "parameter_invalid", 422},
        {"/v1/transfers", TO PART("caption", "\x01") FILE_PART("a", "abc") END, "parameter_invalid", 422},
        {"/v1/transfers", TO FILE_PART("a", "abc"), "request_malformed", 400},
        {"/v1/transfers", TO FILE_TYPED("a", "nonsense", "abc") END, "media_refused", 415},
        {"/v1/transfers?to=@@", TO FILE_PART("a", "abc") END, "jid_invalid", 400},
        {"/v1/transfers?to=bea@example.org", TO FILE_PART("a", "abc") END, "parameter_invalid", 422},
        {ANA, TO FILE_PART("a", "abc") END, "parameter_invalid", 422},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        post_form(w, rows[i].target, rows[i].form);
        expect(w, rows[i].form, rows[i].status, rows[i].code);
    }
    assert_int_equal(seen(w).finished, 0);
    assert_int_equal(seen(w).begun, seen(w).aborted);
}

#define BEA PART("to", "bea@example.org")

static const json_t *child(const struct world *w, size_t i)
{
    return json_array_get(json_object_get(w->json, "transfers"), i);
}

static const char *of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* Two files for two: the transfers in the order of files, and each one's recipients in theirs. */
static void several_files_and_recipients_make_a_batch(void **state)
{
    static const char *const want[][2] = {{"ana@example.org", "a.txt"},
                                          {"bea@example.org", "a.txt"},
                                          {"ana@example.org", "b.txt"},
                                          {"bea@example.org", "b.txt"}};
    static const char *const forms[] = {
        TO BEA FILE_PART("a.txt", "abc") FILE_PART("b.txt", "") END,
        FILE_PART("a.txt", "abc") FILE_PART("b.txt", "") TO BEA END,
        TO FILE_PART("a.txt", "abc") BEA FILE_PART("b.txt", "") PART("label", "a:1") END,
    };
    struct world *w = *state;
    const char *id;

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        post_form(w, "/v1/transfers", forms[i]);
        expect(w, forms[i], 202, NULL);
        assert_string_equal(member(w, "object"), "batch");
        assert_non_null(strstr(header(w, "Location"), "/v1/batches/ba_"));
        assert_int_equal(seen(w).files, 2);
        assert_int_equal(seen(w).recipients, 2);
        for (size_t k = 0; k < 4; k++) {
            assert_string_equal(of(child(w, k), "to"), want[k][0]);
            assert_string_equal(of(json_object_get(child(w, k), "file"), "name"), want[k][1]);
            id = of(child(w, k), "batch");
            assert_string_equal(id, member(w, "id"));
        }
    }
    assert_int_equal(seen(w).begun, 6);
    assert_int_equal(seen(w).aborted, 0);
}

static void one_file_for_one_is_a_transfer(void **state)
{
    struct world *w = *state;

    post_form(w, "/v1/transfers?to=ana@example.org", FILE_PART("a.txt", "abc") END);
    expect(w, "one", 202, NULL);
    assert_string_equal(member(w, "object"), "transfer");
    post_form(w, "/v1/transfers?to=ana@example.org&to=bea@example.org", FILE_PART("a.txt", "abc") END);
    expect(w, "for two", 202, NULL);
    assert_string_equal(member(w, "object"), "batch");
    post_form(w, ANA, FILE_PART("a.txt", "abc") FILE_PART("a.txt", "abc") END);
    expect(w, "two files to an address", 202, NULL);
    assert_string_equal(member(w, "object"), "batch");
}

static void who_waits_for_a_batch_gets_the_worst_status_and_all_of_it(void **state)
{
    static const struct {
        const char *says;
        enum transfer_state ends;
        enum error_code error;
        unsigned status;
        int all_final;
    } rows[] = {
        {"all delivered", TRANSFER_DELIVERED, ERR_NONE, 200, 1},
        {"failed", TRANSFER_FAILED, ERR_STALLED, 504, 1},
        {"not within that time", TRANSFER_QUEUED, ERR_NONE, 202, 0},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fake_gateway_script script = {.ends = rows[i].ends, .end_error = rows[i].error};

        fake_gateway_script(w->gw, &script);
        post_form(w, "/v1/transfers?wait=5", TO BEA FILE_PART("a.txt", "abc") END);
        if (w->status != rows[i].status || strcmp(member(w, "object"), "batch") != 0)
            fail_msg("%s: %u %s", rows[i].says, w->status, w->body);
        assert_int_equal(json_is_true(json_object_get(w->json, "final")), rows[i].all_final);
    }
}

static void a_batch_is_shown_and_waited_for(void **state)
{
    struct world *w = *state;
    char id[ID_SIZE], etag[64];

    post_form(w, "/v1/transfers", TO BEA FILE_PART("a.txt", "abc") END);
    snprintf(id, sizeof id, "%s", member(w, "id"));
    ask(w, GET("/v1/batches/%s"), id);
    expect(w, "GET", 200, NULL);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(w->json, "totals"), "queued")), 2);
    snprintf(etag, sizeof etag, "%s", header(w, "ETag"));
    ask(w, "GET /v1/batches/%s HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: %s\r\n\r\n", id, etag);
    expect(w, "unchanged", 304, NULL);
    ask(w, GET("/v1/batches/%s?wait=5"), id);
    expect(w, "waited for", 200, NULL);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(w->json, "totals"), "delivered")), 2);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(w->json, "totals"), "all")), 2);
    assert_true(json_is_true(json_object_get(w->json, "final")));
    assert_string_not_equal(header(w, "ETag"), etag);
    ask(w, "GET /v1/batches/%s HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\n\r\n", id);
    assert_non_null(strstr(w->body, " delivered /v1/transfers/tr_"));
    ask(w, GET("/v1/batches/ba_00000000000000000000000000"));
    expect(w, "nobody's", 404, "not_found");
    ask(w, GET("/v1/batches/x"));
    expect(w, "no id", 404, "not_found");
}

static void a_batch_that_cannot_be_committed_leaves_nothing(void **state)
{
    struct world *w = *state;

    fake_gateway_script(w->gw, &(struct fake_gateway_script){.commit = ERR_STORE_UNAVAILABLE});
    post_form(w, "/v1/transfers", TO BEA FILE_PART("a.txt", "abc") FILE_PART("b.txt", "d") END);
    expect(w, "commit", 503, "store_unavailable");
}

static void no_more_than_a_hundred_transfers_a_call(void **state)
{
    static char form[64 * 1024];
    struct world *w = *state;
    size_t len = 0;

    for (int i = 0; i < 51; i++)
        len += (size_t)sprintf(form + len, PART("to", "ana%d@example.org"), i);
    sprintf(form + len, FILE_PART("a", "a") FILE_PART("b", "b") END);
    post_form(w, "/v1/transfers", form);
    expect(w, "51 times two", 422, "parameter_invalid");
    assert_non_null(strstr(member(w, "detail"), "at most 100"));
    for (int i = 51; i < 101; i++)
        len += (size_t)sprintf(form + len, PART("to", "ana%d@example.org"), i);
    sprintf(form + len, FILE_PART("a", "a") END);
    post_form(w, "/v1/transfers", form);
    expect(w, "101 recipients", 422, "parameter_invalid");
    assert_int_equal(seen(w).finished, 0);
    assert_int_equal(seen(w).begun, seen(w).aborted);
}

static void a_repeated_batch_is_answered_with_the_first(void **state)
{
    static const char form[] = TO BEA FILE_PART("a.txt", "abc") END;
    struct world *w = *state;
    char first[ID_SIZE];

    for (int i = 0; i < 2; i++) {
        ask(w,
            "POST /v1/transfers HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=X0\r\n"
            "Idempotency-Key: k\r\nContent-Length: %zu\r\n\r\n%s",
            strlen(form), form);
        expect(w, "batch", 202, NULL);
        assert_string_equal(member(w, "object"), "batch");
        if (i == 0)
            snprintf(first, sizeof first, "%s", of(child(w, 0), "id"));
    }
    assert_string_equal(of(child(w, 0), "id"), first);
    assert_string_equal(header(w, "Idempotent-Replayed"), "true");
    assert_int_equal(seen(w).begun, 1);
}

static void a_form_too_large_is_refused_before_it_comes(void **state)
{
    struct world *w = *state;

    ask(w, "POST /v1/transfers HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=X0\r\n"
           "Content-Length: 100000000\r\n\r\n");
    expect(w, "max_file", 413, "body_too_large");
    w->config.spool.max_bytes = 32 << 20;
    ask(w, "POST /v1/transfers HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=X0\r\n"
           "Content-Length: 60000000\r\n\r\n");
    expect(w, "max_bytes", 507, "spool_full");
    assert_int_equal(seen(w).begun, 0);
}

/* ---- JSON */

static void post_json(struct world *w, const char *body)
{
    ask(w,
        "POST /v1/transfers HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json; charset=utf-8\r\n"
        "Content-Length: %zu\r\n\r\n%s",
        strlen(body), body);
}

#define SOURCE "\"source\":{\"path\":\"/srv/out/r.pdf\"}"

static void json_says_what_a_form_says(void **state)
{
    struct world *w = *state;

    post_json(w, "{\"to\":\"ana@example.org\"," SOURCE ",\"type\":\"text/plain\",\"caption\":\"Q3\",\"labels\":"
                 "{\"b\":\"2\",\"a\":\"1\"},\"methods\":[\"si-s5b\",\"s5b\"],\"ttl\":60,\"hold\":\"0\","
                 "\"digest\":\"sha-256\",\"mode\":null}");
    expect(w, "JSON", 202, NULL);
    assert_string_equal(member(w, "object"), "transfer");
    assert_string_equal(seen(w).path, "/srv/out/r.pdf");
    assert_string_equal(seen(w).name, "r.pdf");
    assert_string_equal(seen(w).caption, "Q3");
    assert_string_equal(seen(w).labels, "\na:1\nb:2\n");
    assert_string_equal(seen(w).methods, "si-s5b,s5b");
    assert_int_equal(seen(w).ttl_ms, 60000);
    assert_int_equal(seen(w).mode, MODE_SPOOL);
    post_json(w, "{\"to\":[\"ana@example.org\",\"bea@example.org\"]," SOURCE ",\"name\":\"q.pdf\"}");
    expect(w, "for two", 202, NULL);
    assert_string_equal(member(w, "object"), "batch");
    assert_int_equal(seen(w).recipients, 2);
}

static void json_is_read_strictly(void **state)
{
#define ANA_TO "\"to\":\"ana@example.org\""
    static const struct {
        const char *body, *code, *says;
        unsigned status;
    } rows[] = {
        {"", "request_malformed", "no JSON", 400},
        {"{", "request_malformed", "no JSON", 400},
        {"[]", "request_malformed", "no JSON object", 400},
        {"{" ANA_TO "," ANA_TO "," SOURCE "}", "request_malformed", "no JSON", 400},
        {"{" ANA_TO "," SOURCE "} x", "request_malformed", "no JSON", 400},
        {"{" ANA_TO "," SOURCE ",\"captoin\":\"x\"}", "parameter_invalid", "did you mean 'caption'", 422},
        {"{" ANA_TO ",\"source\":{\"pth\":\"/srv/a\"}}", "parameter_invalid", "did you mean 'path'", 422},
        {"{" ANA_TO ",\"source\":{}}", "parameter_invalid", "source", 422},
        {"{" ANA_TO ",\"source\":{\"path\":\"/srv/a\",\"url\":\"http://a\"}}", "parameter_invalid", "one of", 422},
        {"{" ANA_TO ",\"source\":{\"path\":7}}", "parameter_invalid", "a text", 422},
        {"{" ANA_TO ",\"source\":{\"upload_id\":\"up_1\"}}", "not_found", "no upload", 404},
        {"{" ANA_TO "}", "parameter_invalid", "no 'source'", 422},
        {"{" SOURCE "}", "parameter_invalid", "no 'to'", 422},
        {"{\"to\":[]," SOURCE "}", "parameter_invalid", "to", 422},
        {"{\"to\":[7]," SOURCE "}", "parameter_invalid", "to", 422},
        {"{\"to\":\"@@\"," SOURCE "}", "jid_invalid", "", 400},
        {"{\"to\":[\"ana@example.org\",\"@@\"]," SOURCE "}", "jid_invalid", "@@", 400},
        {"{" ANA_TO "," SOURCE ",\"caption\":7}", "parameter_invalid", "caption", 422},
        {"{" ANA_TO "," SOURCE ",\"caption\":\"\\u0007\"}", "parameter_invalid", "caption", 422},
        {"{" ANA_TO "," SOURCE ",\"caption\":\"\\u0000\"}", "request_malformed", "", 400},
        {"{" ANA_TO "," SOURCE ",\"ttl\":-1}", "parameter_invalid", "ttl", 422},
        {"{" ANA_TO "," SOURCE ",\"labels\":{\"a b\":\"c\"}}", "parameter_invalid", "label", 422},
        {"{" ANA_TO "," SOURCE ",\"labels\":{\"a\":1}}", "parameter_invalid", "labels", 422},
        {"{" ANA_TO "," SOURCE ",\"name\":\"a/b\"}", "name_invalid", "", 422},
        {"{" ANA_TO "," SOURCE ",\"type\":\"nonsense\"}", "media_refused", "", 415},
        {"{" ANA_TO ",\"source\":{\"path\":\"/etc/passwd\"}}", "source_refused", "", 403},
        {"{" ANA_TO ",\"source\":{\"url\":\"ftp://a/b\"}}", "source_refused", "", 403},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        post_json(w, rows[i].body);
        expect(w, rows[i].body, rows[i].status, rows[i].code);
        if (!strstr(member(w, "detail"), rows[i].says))
            fail_msg("%s: %s", rows[i].body, member(w, "detail"));
    }
    assert_int_equal(seen(w).begun, 0);
}

static void json_is_small(void **state)
{
    static char body[70 * 1024];
    struct world *w = *state;

    memset(body, '[', sizeof body - 1);
    post_json(w, body);
    expect(w, "announced", 413, "body_too_large");
    body[60 * 1024] = '\0';
    post_json(w, body);
    expect(w, "deep", 400, "request_malformed");
}

/* ---- transfers and the rest */

static void put_one(struct world *w, char id[static ID_SIZE])
{
    ask(w, PUT(ANA "/a") THREE);
    expect(w, "PUT", 202, NULL);
    snprintf(id, ID_SIZE, "%s", member(w, "id"));
}

static void a_transfer_is_shown_and_shown_again_only_when_changed(void **state)
{
    struct world *w = *state;
    char id[ID_SIZE], etag[128];

    put_one(w, id);
    ask(w, "GET /v1/transfers/%s HTTP/1.1\r\nHost: localhost\r\n\r\n", id);
    expect(w, "GET", 200, NULL);
    assert_string_equal(member(w, "id"), id);
    snprintf(etag, sizeof etag, "%s", header(w, "ETag"));
    ask(w, "GET /v1/transfers/%s HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: %s\r\n\r\n", id, etag);
    expect(w, "the same", 304, NULL);
    ask(w, "GET /v1/transfers/%s?wait=5 HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: %s\r\n\r\n", id, etag);
    expect(w, "another state", 200, NULL);
    assert_string_equal(member(w, "state"), "delivered");
    assert_string_not_equal(header(w, "ETag"), etag);
}

static void the_state_of_a_failed_transfer_is_no_failure_to_read_it(void **state)
{
    struct world *w = *state;
    struct fake_gateway_script script = {.ends = TRANSFER_FAILED, .end_error = ERR_STALLED};
    char id[ID_SIZE];

    put_one(w, id);
    fake_gateway_script(w->gw, &script);
    ask(w, "GET /v1/transfers/%s?wait=5 HTTP/1.1\r\nHost: localhost\r\n\r\n", id);
    expect(w, "GET", 200, NULL);
    assert_string_equal(member(w, "state"), "failed");
}

static void a_transfer_is_cancelled(void **state)
{
    struct world *w = *state;
    char id[ID_SIZE];

    put_one(w, id);
    for (int i = 0; i < 2; i++) {
        ask(w, "DELETE /v1/transfers/%s HTTP/1.1\r\nHost: localhost\r\n\r\n", id);
        expect(w, "DELETE", 200, NULL);
        assert_string_equal(member(w, "state"), "cancelled");
    }
    ask(w, "DELETE /v1/transfers/" NOBODYS_ID " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    expect(w, "nobody's", 404, "not_found");
}

static void a_failed_transfer_is_tried_again(void **state)
{
    struct world *w = *state;
    char id[ID_SIZE];

    fake_gateway_script(w->gw, &(struct fake_gateway_script){.ends = TRANSFER_FAILED, .end_error = ERR_STALLED});
    put_one(w, id);
    ask(w, "POST /v1/transfers/%s/retry HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", id);
    expect(w, "not yet failed", 409, "state_conflict");
    ask(w, GET("/v1/transfers/%s?wait=1"), id);
    assert_string_equal(member(w, "state"), "failed");
    ask(w, "POST /v1/transfers/%s/retry HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", id);
    expect(w, "failed", 202, NULL);
    assert_string_equal(member(w, "state"), "queued");
    assert_non_null(strstr(header(w, "Location"), id));
    ask(w, "POST /v1/transfers/%s/retry HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", NOBODYS_ID);
    expect(w, "nobody's", 404, "not_found");
    ask(w, GET("/v1/transfers/%s/retry"), id);
    expect(w, "GET", 405, "method_not_allowed");
    assert_string_equal(header(w, "Allow"), "POST, OPTIONS");
}

static void a_list_is_walked_by_its_links(void **state)
{
    struct world *w = *state;
    char ids[5][ID_SIZE], target[256];
    size_t n = 0;

    for (size_t i = 0; i < 5; i++)
        put_one(w, ids[i]);
    strcpy(target, "/v1/transfers?limit=2&to=ana@example.org&since=2026-11-22T19:00:00%2B01:00");
    while (*target) {
        const json_t *items;

        ask(w, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", target);
        expect(w, target, 200, NULL);
        items = json_object_get(w->json, "items");
        for (size_t i = 0; i < json_array_size(items); i++, n++)
            assert_non_null(json_object_get(json_array_get(items, i), "id"));
        assert_int_equal(seen(w).filter.since, INT64_C(1795370400000));
        assert_string_equal(seen(w).filter_to, "ana@example.org");
        snprintf(target, sizeof target, "%s", strcmp(member(w, "next"), "(none)") ? member(w, "next") : "");
        if (*target)
            assert_non_null(strstr(header(w, "Link"), target));
    }
    assert_int_equal(n, 5);
    assert_string_equal(header(w, "Link"), "(none)");
}

static void a_recipient_who_is_away_is_an_answer(void **state)
{
    struct world *w = *state;
    struct fake_gateway_script script = {.find = ERR_RECIPIENT_OFFLINE};

    ask(w, GET("/v1/recipients/ana@example.org%%2Fdesk"));
    expect(w, "there", 200, NULL);
    assert_true(json_is_true(json_object_get(w->json, "reachable")));
    assert_int_equal(json_array_size(json_object_get(w->json, "ladder")), 1);
    ask(w, GET("/v1/recipients/ana@example.org?methods=s5b,link&size=5000000000"));
    expect(w, "as an upload would", 200, NULL);
    assert_string_equal(seen(w).find_methods, "s5b,link");
    assert_int_equal(seen(w).find_size, 5000000000);
    ask(w, GET("/v1/recipients/ana@example.org?methods=smoke"));
    expect(w, "no method", 422, "parameter_invalid");
    ask(w, GET("/v1/recipients/ana@example.org?size=big"));
    expect(w, "no size", 422, "parameter_invalid");
    fake_gateway_script(w->gw, &script);
    ask(w, GET("/v1/recipients/ana@example.org"));
    expect(w, "away", 200, NULL);
    assert_true(json_is_false(json_object_get(w->json, "reachable")));
    script.find = ERR_REMOTE_SERVER_TIMEOUT;
    fake_gateway_script(w->gw, &script);
    ask(w, GET("/v1/recipients/ana@example.org"));
    expect(w, "unknown", 504, "remote_server_timeout");
}

static void webhooks_are_shown_tried_and_sent_again(void **state)
{
    struct world *w = *state;
    json_t *hook;

    ask(w, GET("/v1/webhooks"));
    expect(w, "list", 200, NULL);
    hook = json_array_get(json_object_get(w->json, "items"), 0);
    assert_string_equal(json_string_value(json_object_get(hook, "name")), "ci");
    assert_string_equal(json_string_value(json_object_get(hook, "state")), "on");
    assert_int_equal(json_integer_value(json_object_get(hook, "backlog")), 3);
    assert_int_equal(json_array_size(json_object_get(hook, "events")), 2);
    assert_string_equal(json_string_value(json_array_get(json_object_get(hook, "events"), 1)), "xmpp.connected");
    ask(w, "POST /v1/webhooks/ci/test HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    expect(w, "test", 200, NULL);
    assert_string_equal(member(w, "detail"), "answered 500");
    assert_true(json_is_false(json_object_get(w->json, "delivered")));
    ask(w, GET("/v1/webhooks/ci/deliveries?state=dead&limit=3"));
    expect(w, "deliveries", 200, NULL);
    ask(w, GET("/v1/webhooks/no/deliveries"));
    expect(w, "deliveries of nobody", 404, "not_found");
    ask(w, GET("/v1/webhooks/ci/deliveries?state=lost"));
    expect(w, "no state", 422, "parameter_invalid");
    ask(w, GET("/v1/webhooks/ci/deliveries?cursor=tr_00000000000000000000000001"));
    expect(w, "no cursor", 422, "parameter_invalid");
    ask(w, "POST /v1/webhooks/ci/deliveries/wd_00000000000000000000000001/redeliver HTTP/1.1\r\nHost: localhost\r\n"
           "Content-Length: 0\r\n\r\n");
    expect(w, "no such delivery", 404, "not_found");
    ask(w, "POST /v1/webhooks/ci/deliveries/..%%2f/redeliver HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    expect(w, "no id", 404, "not_found");
}

static json_int_t number_at(struct world *w, const char *object, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(w->json, object), key));
}

static void what_is_relayed_for_others_is_told(void **state)
{
    struct world *w = *state;
    struct fake_gateway_script script = {.relays = true};
    const json_t *one;

    ask(w, GET("/v1/proxy/sessions"));
    expect(w, "no proxy", 200, NULL);
    assert_true(json_is_false(json_object_get(w->json, "relays")));
    assert_int_equal(json_array_size(json_object_get(w->json, "items")), 0);
    ask(w, GET("/v1/xmpp"));
    assert_true(json_is_null(json_object_get(w->json, "relay")));
    fake_gateway_script(w->gw, &script);
    ask(w, GET("/v1/proxy/sessions"));
    expect(w, "a proxy", 200, NULL);
    assert_true(json_is_true(json_object_get(w->json, "relays")));
    one = json_array_get(json_object_get(w->json, "items"), 0);
    assert_string_equal(json_string_value(json_object_get(one, "requester")), "romeo@example.org/orchard");
    assert_string_equal(json_string_value(json_object_get(one, "target")), "ana@example.org/desk");
    assert_int_equal(json_integer_value(json_object_get(one, "bytes")), 15);
    assert_int_equal(number_at(w, "totals", "streams"), 3);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(json_object_get(w->json, "totals"), "refused"),
                                                        "proxy_refused")),
                     2);
    ask(w, GET("/v1/xmpp"));
    assert_int_equal(number_at(w, "relay", "streams"), 1);
    assert_int_equal(number_at(w, "relay", "waiting"), 2);
    ask(w, GET("/metrics"));
    assert_non_null(strstr(w->body, "\njidpost_proxy_streams 1\n"));
    assert_non_null(strstr(w->body, "\njidpost_proxy_pending_sockets 2\n"));
}

static void the_gateway_tells_about_itself(void **state)
{
    struct world *w = *state;
    struct fake_gateway_script script = {.not_ready = true};

    ask(w, GET("/v1/xmpp"));
    expect(w, "xmpp", 200, NULL);
    assert_string_equal(member(w, "state"), "online");
    ask(w, GET("/v1/"));
    expect(w, "root", 200, NULL);
    assert_string_equal(member(w, "name"), "jidpost");
    ask(w, GET("/v1/openapi.yaml"));
    expect(w, "description", 200, NULL);
    assert_string_equal(header(w, "Content-Type"), "application/yaml");
    ask(w, GET("/problems/recipient_offline"));
    expect(w, "problem", 200, NULL);
    assert_string_equal(header(w, "Content-Type"), "text/plain; charset=utf-8");
    ask(w, GET("/problems/none"));
    expect(w, "no problem", 404, "not_found");
    ask(w, GET("/problems"));
    expect(w, "problems", 200, NULL);
    ask(w, GET("/livez"));
    expect(w, "alive", 200, NULL);
    ask(w, GET("/readyz?verbose"));
    expect(w, "ready", 200, NULL);
    assert_non_null(json_object_get(w->json, "checks"));
    fake_gateway_script(w->gw, &script);
    ask(w, GET("/readyz"));
    assert_int_equal(w->status, 503);
    assert_null(json_object_get(w->json, "checks"));
}

/* Whether the page has that line, whole. */
static void expect_line(struct world *w, const char *line)
{
    char whole[300];

    snprintf(whole, sizeof whole, "\n%s\n", line);
    if (!strstr(w->body, whole))
        fail_msg("no line %s in\n%s", line, w->body);
}

/* What was asked before is on the page: by templates, and not by what callers wrote. */
static void metrics_count_requests_and_look_at_the_rest(void **state)
{
    struct world *w = *state;

    metrics_reset();
    routes_name(metrics_route);
    ask(w, GET("/v1/recipients/ana@example.org"));
    ask(w, "HEAD /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    ask(w, GET("/ana@example.org"));
    ask(w, GET("/metrics"));
    assert_int_equal(w->status, 200);
    assert_string_equal(header(w, "Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
    expect_line(w, "jidpost_http_requests_total{route=\"/v1/recipients/{}\",method=\"GET\",code=\"200\"} 1");
    expect_line(w, "jidpost_http_requests_total{route=\"/livez\",method=\"HEAD\",code=\"200\"} 1");
    expect_line(w, "jidpost_http_requests_total{route=\"other\",method=\"other\",code=\"404\"} 1");
    expect_line(w, "jidpost_http_request_duration_seconds_count{route=\"/livez\"} 1");
    expect_line(w, "jidpost_transfers{state=\"queued\"} 2");
    expect_line(w, "jidpost_queue_oldest_seconds 1.5");
    expect_line(w, "jidpost_xmpp_up 1");
    assert_null(strchr(w->body, '@'));
    ask(w, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text\r\n\r\n");
    assert_string_equal(header(w, "Content-Type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert_non_null(strstr(w->body, "\n# EOF\n"));
    expect_line(w, "jidpost_sse_clients 0");
}

static void ask_ops(struct world *w, const char *request)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(api_ops_port(w->api))};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_true(send_all(fd, request, strlen(request)));
    read_answer(w, fd);
    fd_close(&fd);
}

/* The ops listener has three things, and asks for no token; the other keeps all else, and what a supervisor asks. */
static void the_ops_listener_is_for_three_questions(void **state)
{
    static const struct {
        const char *path;
        unsigned ops, token, none;
    } rows[] = {
        {"/metrics", 200, 404, 401}, {"/livez", 200, 200, 200},
        {"/readyz", 200, 200, 200},  {"/v1/transfers", 404, 200, 401},
        {"/v1", 404, 200, 401},      {"/d/0123456789abcdef0123456789abcdef/a", 404, 404, 404},
    };
    static char token[] = "a-token-of-16-characters", listen[] = "127.0.0.1:0";
    struct world *w = *state;
    char request[200];

    end(w);
    w->config.http.token = token;
    w->config.ops.listen = listen;
    begin(w);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", rows[i].path);
        ask_ops(w, request);
        if (w->status != rows[i].ops)
            fail_msg("ops %s: %u", rows[i].path, w->status);
        ask(w, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", rows[i].path);
        if (w->status != rows[i].none)
            fail_msg("%s: %u", rows[i].path, w->status);
        ask(w, "GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", rows[i].path, token);
        if (w->status != rows[i].token)
            fail_msg("with a token %s: %u", rows[i].path, w->status);
    }
    ask_ops(w, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n");
    expect(w, "a web page", 403, "host_not_allowed");
    ask_ops(w, "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    expect(w, "a name that leads to loopback", 403, "host_not_allowed");
    ask_ops(w, "PUT " ANA "/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc");
    expect(w, "a file", 404, "not_found");
}

static void head_is_get_without_its_body(void **state)
{
    struct world *w = *state;
    static const char request[] = "HEAD /v1/xmpp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    char text[2048] = "";
    size_t len = 0;
    ssize_t n;
    int fd = dial(w);

    send_all(fd, request, strlen(request));
    while (len < sizeof text - 1 && (n = recv(fd, text + len, sizeof text - 1 - len, 0)) > 0)
        len += (size_t)n;
    assert_int_equal(strncmp(text, "HTTP/1.1 200", 12), 0);
    assert_int_equal(strcmp(text + len - 4, "\r\n\r\n"), 0);
    fd_close(&fd);
}

/* ---- the page */

static void the_page_is_there_for_everybody_and_asked_for_again_cheaply(void **state)
{
    struct world *w = *state;
    char tag[128], *token = NULL;

    ask(w, GET("/"));
    expect(w, "page", 200, NULL);
    assert_string_equal(header(w, "Content-Type"), "text/html; charset=utf-8");
    assert_string_equal(header(w, "Cache-Control"), "no-cache");
    assert_string_equal(header(w, "X-Content-Type-Options"), "nosniff");
    assert_non_null(strstr(header(w, "Content-Security-Policy"), "default-src 'none'; script-src 'self';"));
    assert_non_null(strstr(header(w, "Content-Security-Policy"), "frame-ancestors 'none'"));
    assert_string_equal(header(w, "Referrer-Policy"), "no-referrer");
    assert_non_null(strstr(w->body, "<!doctype html>"));
    snprintf(tag, sizeof tag, "%s", header(w, "ETag"));
    ask(w, "GET / HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: %s\r\n\r\n", tag);
    expect(w, "kept", 304, NULL);
    assert_string_equal(header(w, "ETag"), tag);
    assert_string_equal(header(w, "Cache-Control"), "no-cache");
    assert_string_equal(w->body, "");
    ask(w, "GET / HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: br, gzip\r\nIf-None-Match: %s\r\n\r\n", tag);
    expect(w, "packed is another", 200, NULL);
    assert_string_equal(header(w, "Content-Encoding"), "gzip");
    assert_string_equal(header(w, "Vary"), "Accept-Encoding");
    assert_true((unsigned char)w->body[0] == 0x1f && (unsigned char)w->body[1] == 0x8b);
    assert_string_not_equal(header(w, "ETag"), tag);
    w->config.http.token = token = strdup("a-token-of-the-page");
    restart(w);
    ask(w, GET("/page/index.html"));
    expect(w, "without a token", 200, NULL);
    ask(w, GET("/v1"));
    expect(w, "the API without one", 401, "auth_missing");
    assert_non_null(strstr(w->answer.data, "WWW-Authenticate: Basic"));
    ask(w, "GET /v1 HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Mode: cors\r\n\r\n");
    expect(w, "a page asks for the token by itself", 401, "auth_missing");
    assert_non_null(strstr(w->answer.data, "WWW-Authenticate: Bearer"));
    assert_null(strstr(w->answer.data, "WWW-Authenticate: Basic"));
    w->config.http.token = NULL;
    free(token);
}

static void of_other_sites_only_a_link_leads_to_the_page(void **state)
{
    static const struct {
        const char *says, *target, *headers;
        unsigned status;
    } rows[] = {
        {"typed", "/", "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n", 200},
        {"a link", "/", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n", 200},
        {"a frame", "/", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n", 403},
        {"a script", "/", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: script\r\n", 403},
        {"a file of it", "/page/index.html",
         "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n", 403},
        {"a link to the API", "/v1",
         "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n", 403},
        {"an origin", "/", "Origin: http://evil.example\r\n", 403},
        {"its own", "/page/index.html", "Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n", 200},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ask(w, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", rows[i].target, rows[i].headers);
        expect(w, rows[i].says, rows[i].status, rows[i].status == 403 ? "host_not_allowed" : NULL);
    }
    ask(w, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    expect(w, "a rebound name", 403, "host_not_allowed");
    ask(w, PUT("/") THREE);
    expect(w, "only read", 405, "method_not_allowed");
}

/* The program's own page is out of the way, and nothing beside the folder is in reach. */
static void another_page_is_read_from_its_folder(void **state)
{
    static const struct {
        const char *target;
        unsigned status;
    } rows[] = {
        {"/", 200},
        {"/page/a.js", 200},
        {"/page/empty.css", 200},
        {"/page/b.js", 404},
        {"/page/link.js", 404},
        {"/page/folder.js", 404},
        {"/page/pipe.js", 404},
        {"/page/secret.key", 404},
        {"/page/.hidden.js", 404},
        {"/page/..%2Fa.js", 404},
        {"/page/%2Fetc%2Fa.js", 404},
        {"/page/", 404},
        {"/page/../page/a.js", 404},
    };
    char folder[] = "/tmp/jidpost-page-XXXXXX", path[256];
    struct world *w = *state;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path,
             "cd %s && echo mine >index.html && echo 1 >a.js && : >empty.css && echo x >secret.key && "
             "ln -s a.js link.js && mkdir folder.js && mkfifo pipe.js && echo 1 >.hidden.js",
             folder);
    assert_int_equal(system(path), 0);
    w->config.http.page = folder;
    restart(w);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char request[256];

        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", rows[i].target);
        ask_bytes(w, request, strlen(request));
        expect(w, rows[i].target, rows[i].status, rows[i].status == 404 ? "not_found" : NULL);
    }
    ask(w, GET("/"));
    assert_string_equal(w->body, "mine\n");
    assert_string_equal(header(w, "Cache-Control"), "no-store");
    w->config.http.page = NULL;
    snprintf(path, sizeof path, "rm -r %s", folder);
    assert_int_equal(system(path), 0);
}

/* ---- tokens */

#define SECRET "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LINK   "/d/" SECRET "/a.txt"

static void fetch(struct world *w, const char *method, const char *headers)
{
    ask(w, "%s " LINK " HTTP/1.1\r\nHost: localhost\r\n%s\r\n", method, headers);
}

static void a_link_is_fetched_by_whoever_has_it(void **state)
{
    struct world *w = *state;

    w->config.http.token = (char[]){"0123456789abcdef0123456789abcdef"};
    w->config.server.public_url = (char[]){"https://files.example.org/x"};
    restart(w);
    fake_gateway_script(w->gw, &(struct fake_gateway_script){.file = "0123456789"});
    ask(w, "GET " LINK " HTTP/1.1\r\nHost: files.example.org\r\nOrigin: https://chat.example\r\n"
           "Sec-Fetch-Site: cross-site\r\n\r\n");
    expect(w, "without a token, from another page", 200, NULL);
    assert_string_equal(w->body, "0123456789");
    assert_string_equal(header(w, "Content-Type"), "text/plain; charset=utf-8");
    assert_string_equal(header(w, "Content-Disposition"), "attachment; filename=\"a.txt\"; filename*=UTF-8''a.txt");
    assert_string_equal(header(w, "Content-Security-Policy"), "sandbox; default-src 'none'");
    assert_string_equal(header(w, "X-Content-Type-Options"), "nosniff");
    assert_string_equal(header(w, "Referrer-Policy"), "no-referrer");
    assert_string_equal(header(w, "Cache-Control"), "no-store");
    assert_string_equal(header(w, "Accept-Ranges"), "bytes");
    assert_string_equal(header(w, "Last-Modified"), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_string_equal(header(w, "Content-Range"), "(none)");
    assert_true(fake_gateway_await_fetches(w->gw, 1));
    assert_int_equal(seen(w).fetch_from, 0);
    assert_int_equal(seen(w).fetch_to, 10);
    ask(w, "GET /v1 HTTP/1.1\r\nHost: files.example.org\r\n\r\n");
    expect(w, "the rest", 401, "auth_missing");
    w->config.http.token = NULL;
    restart(w);
    ask(w, "GET /v1 HTTP/1.1\r\nHost: files.example.org\r\n\r\n");
    expect(w, "the rest by the public name", 403, "host_not_allowed");
    ask(w, "GET " LINK " HTTP/1.1\r\nHost: files.example.org\r\n\r\n");
    expect(w, "no link", 404, "not_found");
    ask(w, "GET " LINK " HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    expect(w, "a foreign name", 403, "host_not_allowed");
}

static void a_link_is_fetched_by_ranges(void **state)
{
    static const struct {
        const char *headers;
        unsigned status;
        const char *range, *body;
    } rows[] = {
        {"Range: bytes=0-3\r\n", 206, "bytes 0-3/10", "0123"},
        {"Range: bytes=4-6\r\n", 206, "bytes 4-6/10", "456"},
        {"Range: bytes=-3\r\n", 206, "bytes 7-9/10", "789"},
        {"Range: bytes=0-1,4-5\r\n", 200, "(none)", "0123456789"},
        {"Range: bytes=x\r\n", 200, "(none)", "0123456789"},
        {"Range: bytes=4-\r\nIf-Range: \"00112233445566778899aabbccddeeff\"\r\n", 206, "bytes 4-9/10", "456789"},
        {"Range: bytes=4-\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 206, "bytes 4-9/10", "456789"},
        {"Range: bytes=4-\r\nIf-Range: \"another\"\r\n", 200, "(none)", "0123456789"},
        {"Range: bytes=4-\r\nIf-Range: W/\"00112233445566778899aabbccddeeff\"\r\n", 200, "(none)", "0123456789"},
        {"If-None-Match: \"00112233445566778899aabbccddeeff\"\r\n", 304, "(none)", ""},
        {"If-None-Match: \"another\"\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 200, "(none)",
         "0123456789"},
        {"If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 304, "(none)", ""},
    };
    struct world *w = *state;

    fake_gateway_script(w->gw, &(struct fake_gateway_script){.file = "0123456789"});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fetch(w, "GET", rows[i].headers);
        expect(w, rows[i].headers, rows[i].status, NULL);
        assert_string_equal(header(w, "Content-Range"), rows[i].range);
        assert_string_equal(w->body, rows[i].body);
    }
    assert_true(fake_gateway_await_fetches(w->gw, 10));
    fetch(w, "GET", "Range: bytes=10-\r\n");
    expect(w, "behind the end", 416, "range_unsatisfiable");
    assert_string_equal(header(w, "Content-Range"), "bytes */10");
}

static void only_what_was_sent_counts_as_fetched(void **state)
{
    struct world *w = *state;

    fake_gateway_script(w->gw, &(struct fake_gateway_script){.file = "0123456789"});
    ask(w, "HEAD " LINK " HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-3\r\nConnection: close\r\n\r\n");
    expect(w, "HEAD", 200, NULL);
    assert_string_equal(header(w, "Content-Length"), "10");
    assert_string_equal(w->body, "");
    fetch(w, "GET", "Range: bytes=10-\r\n");
    fetch(w, "GET", "If-None-Match: *\r\n");
    fetch(w, "GET", "Range: bytes=2-4\r\n");
    assert_true(fake_gateway_await_fetches(w->gw, 1));
    api_stop(&w->api, NULL, NULL); /* so everything has ended */
    assert_int_equal(seen(w).fetches, 1);
    assert_int_equal(seen(w).fetch_from, 2);
    assert_int_equal(seen(w).fetch_to, 5);
}

static void nothing_a_browser_would_run_is_served_as_such(void **state)
{
    struct world *w = *state;

    fake_gateway_script(w->gw, &(struct fake_gateway_script){.file = "<html><script>alert(1)</script>"});
    fetch(w, "GET", "");
    expect(w, "a page", 200, NULL);
    assert_string_equal(header(w, "Content-Type"), "application/octet-stream");
}

static void an_empty_file_is_fetched_too(void **state)
{
    struct world *w = *state;

    fake_gateway_script(w->gw, &(struct fake_gateway_script){.file = ""});
    fetch(w, "GET", "");
    expect(w, "nothing", 200, NULL);
    assert_string_equal(header(w, "Content-Length"), "0");
    assert_true(fake_gateway_await_fetches(w->gw, 1));
    assert_int_equal(seen(w).fetch_to, 0);
    fetch(w, "GET", "Range: bytes=0-\r\n");
    expect(w, "a range of nothing", 416, "range_unsatisfiable");
}

static void a_link_that_is_over_is_gone_and_an_unknown_one_not_found(void **state)
{
    struct world *w = *state;

    fake_gateway_script(w->gw, &(struct fake_gateway_script){.file = "x", .fetch = ERR_GONE});
    fetch(w, "GET", "");
    expect(w, "over", 410, "gone");
    ask(w, GET("/d/" SECRET "/b.txt"));
    expect(w, "another name", 404, "not_found");
    ask(w, GET("/d/" SECRET));
    expect(w, "no name", 404, "not_found");
    ask(w, GET("/d/" SECRET "/a.txt/"));
    expect(w, "more than the name", 404, "not_found");
    ask(w, "PUT " LINK " HTTP/1.1\r\nHost: localhost\r\n" THREE);
    expect(w, "another method", 405, "method_not_allowed");
}

static char lines[65536];

static void keep_line(void *user, enum log_level level, const char *line)
{
    size_t len = strlen(lines);

    (void)user;
    (void)level;
    snprintf(lines + len, sizeof lines - len, "%s\n", line);
}

static void a_secret_never_reaches_the_log(void **state)
{
    static const char *const requests[] = {
        GET(LINK),
        GET("/d/" SECRET "/b"),
        GET("/d/" SECRET),
        "PUT " LINK " HTTP/1.1\r\nHost: localhost\r\n" THREE,
        GET(LINK "?x=1"),
        "GET " LINK " HTTP/1.1\r\n\r\n",
        GET("/d/" SECRET "/%zz"),
        "GET " LINK "\r\n\r\n",
    };
    struct world *w = *state;

    lines[0] = '\0';
    log_setup(LOG_DEBUG, LOG_TEXT);
    log_capture(keep_line, NULL);
    fake_gateway_script(w->gw, &(struct fake_gateway_script){.file = "0123456789"});
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        int fd = dial(w);

        send_all(fd, requests[i], strlen(requests[i]));
        shutdown(fd, SHUT_WR);
        read_answer(w, fd);
        fd_close(&fd);
    }
    end(w);
    log_capture(NULL, NULL);
    begin(w);
    assert_non_null(strstr(lines, "/d/{}/{}"));
    assert_null(strstr(lines, SECRET));
}

static void with_a_token_only_its_bearer_gets_in(void **state)
{
    static char token[] = "s3cret-token";
    struct world *w = *state;

    w->config.http.token = token;
    restart(w);
    ask(w, GET("/v1/xmpp"));
    expect(w, "without", 401, "auth_missing");
    assert_string_not_equal(header(w, "WWW-Authenticate"), "(none)");
    ask(w, "GET /nothing HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer nope\r\n\r\n");
    expect(w, "what is there is nobody's business", 401, "auth_invalid");
    ask(w, "GET /v1/xmpp HTTP/1.1\r\nHost: any.example\r\nAuthorization: Basic OnMzY3JldC10b2tlbg==\r\n\r\n");
    expect(w, "with", 200, NULL);
    ask(w, GET("/livez"));
    expect(w, "health", 200, NULL);
    ask(w, PUT(ANA "/a") THREE);
    expect(w, "an upload", 401, "auth_missing");
    assert_int_equal(seen(w).begun, 0);
}

#define BOB             PART("to", "bob@example.net")
#define AS(token, head) head "\r\nHost: localhost\r\nAuthorization: Bearer " token "\r\n"

static void add_token(struct world *w, const char *id, const char *text, const char *scopes, const char *allow_to)
{
    struct token *t = token_list_at(&w->config.tokens, id, NULL);

    assert_non_null(t);
    assert_true(token_digest(text, t->digest));
    t->given = 1; /* the hash */
    assert_true(token_set(t, "scopes", scopes, NULL) && token_set(t, "allow_to", allow_to, NULL) &&
                token_set(t, "max_size", "5", NULL) && token_complete(t, NULL));
}

static void each_token_does_what_it_is_for(void **state)
{
    static const struct {
        const char *says, *request;
        unsigned status;
        const char *code, *rule;
    } rows[] = {
        {"sends", AS("sender", "PUT " ANA "/a HTTP/1.1") THREE, 202, NULL, NULL},
        {"sends, and does not read", AS("sender", "GET /v1/transfers HTTP/1.1") "\r\n", 403, "scope_missing",
         "token s: scopes=send"},
        {"nor cancels", AS("sender", "DELETE /v1/transfers/tr_01KAXQ5V7M3N8Q9R2S4T6W8X0Z HTTP/1.1") "\r\n", 403,
         "scope_missing", "token s: scopes=send"},
        {"nor looks at people", AS("sender", "GET /v1/recipients/ana@example.org HTTP/1.1") "\r\n", 403,
         "scope_missing", "token s: scopes=send"},
        {"any token will do", AS("sender", "GET /v1 HTTP/1.1") "\r\n", 200, NULL, NULL},
        {"nor at streams of others", AS("reader", "GET /v1/proxy/sessions HTTP/1.1") "\r\n", 403, "scope_missing",
         "token r: scopes=read,recipients"},
        {"nor at webhooks", AS("sender", "GET /v1/webhooks HTTP/1.1") "\r\n", 403, "scope_missing",
         "token s: scopes=send"},
        {"reads, and does not send", AS("reader", "PUT " ANA "/a HTTP/1.1") THREE, 403, "scope_missing",
         "token r: scopes=read,recipients"},
        {"sends not to everybody", AS("sender", "PUT /v1/to/bob@example.net/a HTTP/1.1") THREE, 403,
         "recipient_not_allowed", "token s: allow_to=*@example.org"},
        {"looks not at everybody", AS("reader", "GET /v1/recipients/bob@example.net HTTP/1.1") "\r\n", 403,
         "recipient_not_allowed", "token r: allow_to=*@example.org"},
        {"sends nothing large", AS("sender", "PUT " ANA "/a HTTP/1.1") "Content-Length: 6\r\n\r\nabcdef", 413,
         "body_too_large", "token s: max_size=5"},
        {"nor by and by", AS("sender", "PUT " ANA "/a HTTP/1.1") "Transfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n",
         413, "body_too_large", "token s: max_size=5"},
    };
    struct world *w = *state;

    add_token(w, "s", "sender", "send", "*@example.org");
    add_token(w, "r", "reader", "read,recipients", "*@example.org");
    restart(w);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ask_bytes(w, rows[i].request, strlen(rows[i].request));
        expect(w, rows[i].says, rows[i].status, rows[i].code);
        if (strcmp(member(w, "rule"), rows[i].rule ? rows[i].rule : "(none)") != 0)
            fail_msg("%s: %s", rows[i].says, w->body);
    }
    ask(w,
        AS("sender", "POST " ANA " HTTP/1.1") "Content-Type: multipart/form-data; boundary=X0\r\n"
                                              "Content-Length: %zu\r\n\r\n%s",
        strlen(FILE_PART("x", "abcdef") END), FILE_PART("x", "abcdef") END);
    expect(w, "nor in a form", 413, "body_too_large");
    ask(w,
        AS("sender", "POST /v1/transfers HTTP/1.1") "Content-Type: multipart/form-data; boundary=X0\r\n"
                                                    "Content-Length: %zu\r\n\r\n%s",
        strlen(BOB FILE_PART("x", "abc") END), BOB FILE_PART("x", "abc") END);
    expect(w, "nor to everybody by a form", 403, "recipient_not_allowed");
    token_list_free(&w->config.tokens);
}

static void limit(struct world *w, const char *key, const char *value)
{
    struct token *t = token_list_at(&w->config.tokens, "a", NULL);

    assert_non_null(t);
    assert_true(token_digest("one", t->digest));
    t->given = 1;
    assert_true(token_set(t, key, value, NULL) && token_complete(t, NULL));
    restart(w);
    token_list_free(&w->config.tokens);
}

static void expect_rule(const struct world *w, const char *says, const char *code, const char *rule)
{
    expect(w, says, 429, code);
    assert_string_equal(member(w, "rule"), rule);
    assert_in_range(strtoul(header(w, "Retry-After"), NULL, 10), 1, 24 * 60 * 60);
}

static void after_ten_wrong_tokens_no_more_are_looked_at(void **state)
{
    struct world *w = *state;

    limit(w, "note", "x");
    for (int i = 0; i < 10; i++) {
        ask(w, AS("nope", "GET /v1 HTTP/1.1") "\r\n");
        expect(w, "wrong", 401, "auth_invalid");
    }
    ask(w, AS("nope", "GET /v1 HTTP/1.1") "\r\n");
    expect_rule(w, "too often", "rate_limited", "(none)");
    ask(w, GET("/v1"));
    expect(w, "none is no wrong one", 401, "auth_missing");
    ask(w, AS("one", "GET /v1 HTTP/1.1") "\r\n");
    expect(w, "a right one of this machine", 200, NULL);
}

static void a_token_may_ask_only_so_often(void **state)
{
    struct world *w = *state;

    limit(w, "rate", "1/2");
    for (int i = 0; i < 2; i++) {
        ask(w, AS("one", "GET /v1 HTTP/1.1") "\r\n");
        expect(w, "within", 200, NULL);
    }
    ask(w, AS("one", "GET /v1 HTTP/1.1") "\r\n");
    expect_rule(w, "beyond", "rate_limited", "token a: rate=1/2");
    ask(w, GET("/livez"));
    expect(w, "health", 200, NULL);
}

static void a_token_has_only_so_many_under_way(void **state)
{
    struct world *w = *state;
    char id[64];

    limit(w, "active", "1");
    ask(w, AS("one", "PUT " ANA "/a HTTP/1.1") THREE);
    expect(w, "the first", 202, NULL);
    snprintf(id, sizeof id, "%s", member(w, "id"));
    ask(w, AS("one", "PUT " ANA "/a HTTP/1.1") THREE);
    expect_rule(w, "the second", "quota_exceeded", "token a: active=1");
    ask(w, AS("one", "DELETE /v1/transfers/%s HTTP/1.1") "\r\n", id);
    expect(w, "its end", 200, NULL);
    ask(w, AS("one", "PUT " ANA "/a HTTP/1.1") THREE);
    expect(w, "another", 202, NULL);
    assert_int_equal(seen(w).begun, 2);
}

static void a_token_sends_only_so_much_a_day(void **state)
{
    static const char begun[] = AS("one", "PUT " ANA "/a HTTP/1.1") "Content-Length: 5\r\n\r\na";
    struct world *w = *state;
    int fd;

    limit(w, "daily_bytes", "8");
    ask(w, AS("one", "PUT " ANA "/a HTTP/1.1") THREE);
    expect(w, "the first three", 202, NULL);
    fd = dial(w);
    send_all(fd, begun, strlen(begun));
    assert_true(fake_gateway_await_begun(w->gw, 2));
    ask(w, AS("one", "PUT " ANA "/a HTTP/1.1") THREE);
    expect_rule(w, "what was announced counts", "quota_exceeded", "token a: daily_bytes=8");
    fd_close(&fd);
    assert_true(fake_gateway_await_aborted(w->gw, 1));
    ask(w, AS("one", "PUT " ANA "/a HTTP/1.1") "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n");
    expect_rule(w, "what has no length counts as it comes", "quota_exceeded", "token a: daily_bytes=8");
    ask(w, AS("one", "PUT " ANA "/a HTTP/1.1") THREE);
    expect(w, "what never came does not count", 202, NULL);
}

static void a_refusal_comes_before_the_body(void **state)
{
    struct world *w = *state;

    add_token(w, "s", "sender", "send", "*@example.org");
    restart(w);
    ask(w, AS("sender", "PUT /v1/to/bob@example.net/a HTTP/1.1") "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    expect(w, "whom it is for", 403, "recipient_not_allowed");
    ask(w, AS("sender", "PUT " ANA "/a HTTP/1.1") "Content-Length: 6\r\nExpect: 100-continue\r\n\r\n");
    expect(w, "how large it is", 413, "body_too_large");
    assert_int_equal(seen(w).begun, 0);
    token_list_free(&w->config.tokens);
}

static void a_transfer_of_another_token_is_not_there(void **state)
{
    struct world *w = *state;
    char id[64];

    add_token(w, "a", "one", "send,read,cancel", "");
    add_token(w, "b", "two", "send,read,cancel", "");
    add_token(w, "c", "three", "read:all", "");
    restart(w);
    ask(w, AS("one", "PUT " ANA "/a HTTP/1.1") THREE);
    expect(w, "an upload", 202, NULL);
    assert_string_equal(member(w, "token"), "a");
    snprintf(id, sizeof id, "%s", member(w, "id"));
    ask(w, AS("two", "GET /v1/transfers/%s HTTP/1.1") "\r\n", id);
    expect(w, "to another", 404, "not_found");
    ask(w, AS("two", "GET /v1/transfers/%s?wait=30 HTTP/1.1") "\r\n", id);
    expect(w, "to another who waits", 404, "not_found");
    ask(w, AS("two", "DELETE /v1/transfers/%s HTTP/1.1") "\r\n", id);
    expect(w, "to another who cancels", 404, "not_found");
    assert_int_equal(seen(w).waits, 0);
    assert_int_equal(seen(w).cancelled, 0);
    ask(w, AS("two", "GET /v1/transfers HTTP/1.1") "\r\n");
    assert_int_equal(json_array_size(json_object_get(w->json, "items")), 0);
    ask(w, AS("three", "GET /v1/transfers HTTP/1.1") "\r\n");
    assert_int_equal(json_array_size(json_object_get(w->json, "items")), 1);
    assert_string_equal(seen(w).filter_token, "");
    ask(w, AS("three", "GET /v1/transfers/%s HTTP/1.1") "\r\n", id);
    expect(w, "to who sees all", 200, NULL);
    ask(w, AS("one", "GET /v1/transfers/%s?wait=1 HTTP/1.1") "\r\n", id);
    expect(w, "to its maker", 200, NULL);
    ask(w, AS("one", "DELETE /v1/transfers/%s HTTP/1.1") "\r\n", id);
    expect(w, "to its maker", 200, NULL);
    assert_int_equal(seen(w).cancelled, 1);
    token_list_free(&w->config.tokens);
}

static void beyond_loopback_a_token_is_needed(void **state)
{
    static char any[] = "0.0.0.0:0", nonsense[] = "nonsense";
    struct world *w = *state;
    struct error err = {0};

    w->config.http.listen = any;
    assert_null(api_start(w->gw, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_non_null(strstr(err.text, "token"));
    w->config.http.listen = nonsense;
    assert_null(api_start(w->gw, &err));
    assert_int_equal(err.code, ERR_CONFIG);
}

/* From the next request on, also on a connection that is open. */
static void other_tokens_take_the_place_of_those_before(void **state)
{
    static char first[] = "the-first", second[] = "the-second";
    static const struct {
        char *token; /* NULL: none */
        const char *says, *request;
        unsigned status;
    } rows[] = {
        {NULL, "none", GET("/v1"), 200},
        {NULL, "none, by a strange name", "GET /v1 HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403},
        {first, "the first", AS("the-first", "GET /v1 HTTP/1.1") "\r\n", 200},
        {first, "without it", GET("/v1"), 401},
        {second, "the second", AS("the-second", "GET /v1 HTTP/1.1") "\r\n", 200},
        {second, "the first, too late", AS("the-first", "GET /v1 HTTP/1.1") "\r\n", 401},
        {NULL, "none again", GET("/v1"), 200},
        {NULL, "none again, by a strange name", "GET /v1 HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403},
    };
    struct world *w = *state;
    int fd = dial(w);

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct config now = {.http = {.token = rows[i].token}};
        struct error err = {0};

        if (!api_reload(w->api, &now, &err))
            fail_msg("%s: %s", rows[i].says, err.text);
        assert_true(send_all(fd, rows[i].request, strlen(rows[i].request)));
        read_answer(w, fd);
        if (w->status != rows[i].status)
            fail_msg("%s: %u", rows[i].says, w->status);
    }
    assert_true(api_reload(w->api, &w->config, NULL)); /* one that no request sees */
    fd_close(&fd);
}

static void the_last_token_stays_while_strangers_could_come(void **state)
{
    static char any[] = "0.0.0.0:0", token[] = "s3cret-token", loopback[] = "127.0.0.1:0";
    const struct config now = {.http = {.listen = loopback}};
    struct world *w = *state;
    struct error err = {0};

    w->config.http.listen = any;
    w->config.http.token = token;
    restart(w);
    assert_false(api_reload(w->api, &now, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    ask(w, GET("/v1"));
    expect(w, "nobody", 401, "auth_missing");
    ask(w, AS("s3cret-token", "GET /v1 HTTP/1.1") "\r\n");
    expect(w, "its bearer", 200, NULL);
}

static void a_port_in_use_is_a_reason(void **state)
{
    struct world *w = *state;
    struct error err = {0};
    char listen[32];

    snprintf(listen, sizeof listen, "127.0.0.1:%u", api_port(w->api));
    w->config.http.listen = listen;
    assert_null(api_start(w->gw, &err));
    assert_int_equal(err.code, ERR_SYSTEM);
}

/* ---- stopping */

struct stopping {
    struct world *w;
    int fd;
};

static void open_question(struct world *w, struct stopping *s, const char *request)
{
    s->w = w;
    s->fd = dial(w);
    assert_true(send_all(s->fd, request, strlen(request)));
}

static void who_waits_is_answered_when_the_server_stops(void **state)
{
    struct world *w = *state;
    struct fake_gateway_script silent = {.silent = true};
    struct stopping get;
    char id[ID_SIZE], request[128];

    put_one(w, id);
    fake_gateway_script(w->gw, &silent);
    snprintf(request, sizeof request, "GET /v1/transfers/%s?wait=50 HTTP/1.1\r\nHost: localhost\r\n\r\n", id);
    open_question(w, &get, request);
    assert_true(fake_gateway_await_questions(w->gw, 1));
    api_stop(&w->api, NULL, NULL);
    read_answer(w, get.fd);
    expect(w, "the reader", 503, "draining");
    fd_close(&get.fd);
    fake_gateway_destroy(&w->gw); /* its late answer finds nobody, and leaks nothing */
}

static bool now(void *user)
{
    *(bool *)user = true;
    return true;
}

static void who_is_slow_is_cut_when_there_is_no_time(void **state)
{
    struct world *w = *state;
    int64_t began = clock_ms();
    bool asked = false;
    struct stopping put;

    open_question(w, &put, PUT(ANA "/a") "Content-Length: 5\r\n\r\nhel");
    assert_true(fake_gateway_await_begun(w->gw, 1));
    api_stop(&w->api, now, &asked);
    assert_true(asked);
    assert_true(clock_ms() - began < 4000); /* else it would have five seconds */
    assert_int_equal(seen(w).aborted, 1);
    fd_close(&put.fd);
}

/* The library does not look at a connection that waits. TCP does not tell whether its caller closed both ways or may
 * still read, so he is told how things are now. */
static void who_hangs_up_waits_no_longer(void **state)
{
    struct world *w = *state;
    struct fake_gateway_script silent = {.silent = true};
    struct stopping half_closed;
    char id[ID_SIZE], request[128];

    put_one(w, id);
    fake_gateway_script(w->gw, &silent);
    snprintf(request, sizeof request, "GET /v1/transfers/%s?wait=50 HTTP/1.1\r\nHost: localhost\r\n\r\n", id);
    open_question(w, &half_closed, request);
    assert_true(fake_gateway_await_questions(w->gw, 1));
    shutdown(half_closed.fd, SHUT_WR);
    assert_true(fake_gateway_await_questions(w->gw, 2));
    fake_gateway_speak(w->gw);
    read_answer(w, half_closed.fd);
    expect(w, "GET", 200, NULL);
    assert_string_equal(header(w, "Connection"), "close");
    fd_close(&half_closed.fd);
}

static atomic_bool epoll_is_full;

static bool is_socket(int fd)
{
    int type;
    socklen_t len = sizeof type;

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0;
}

/* The library's as well as ours; but libuv's, which gives up the process, waits for none of these sockets. */
int epoll_ctl(int epoll, int what, int fd, struct epoll_event *event)
{
    if (what == EPOLL_CTL_ADD && epoll_is_full && is_socket(fd)) {
        errno = ENOSPC; /* /proc/sys/fs/epoll/max_user_watches */
        return -1;
    }
    return (int)syscall(SYS_epoll_ctl, epoll, what, fd, event);
}

/* Behind a wait the library puts a connection back into its epoll set; if that fails, it closes it and does not say
 * that the request is over. */
static void a_wait_that_ends_in_a_full_epoll_set_is_the_end_of_its_request(void **state)
{
    struct world *w = *state;
    struct fake_gateway_script silent = {.silent = true};
    struct stopping put;
    char byte;

    fake_gateway_script(w->gw, &silent);
    open_question(w, &put, PUT(ANA "/a?mode=stream") "Content-Length: 3\r\n\r\n");
    assert_true(fake_gateway_await_questions(w->gw, 1));
    epoll_is_full = true;
    fake_gateway_speak(w->gw);
    assert_true(recv(put.fd, &byte, 1, 0) <= 0);
    epoll_is_full = false;
    assert_true(fake_gateway_await_aborted(w->gw, 1));
    ask(w, GET("/v1/transfers"));
    expect(w, "the next", 200, NULL);
    fd_close(&put.fd);
}

static void an_accepted_upload_is_told_so_when_the_server_stops(void **state)
{
    struct world *w = *state;
    struct fake_gateway_script script = {.ends = TRANSFER_QUEUED};
    struct stopping put;

    fake_gateway_script(w->gw, &script);
    script.silent = true;
    open_question(w, &put, PUT(ANA "/a?wait=50") "Content-Length: 3\r\n\r\n");
    fake_gateway_script(w->gw, &script);
    assert_true(send_all(put.fd, "abc", 3));
    assert_true(fake_gateway_await_questions(w->gw, 1)); /* the commit */
    fake_gateway_speak(w->gw);
    api_stop(&w->api, NULL, NULL);
    read_answer(w, put.fd);
    expect(w, "the sender", 202, NULL);
    fd_close(&put.fd);
}

/* A body that does not go on and a commit that does not come: after five seconds and one more the server stops all the
 * same, and what was begun is dropped. */
static void what_does_not_end_is_cut(void **state)
{
    struct world *w = *state;
    struct fake_gateway_script silent = {.silent = true};
    struct stopping body, commit;
    char rest[64];

    fake_gateway_script(w->gw, &silent);
    open_question(w, &commit, PUT(ANA "/a") THREE);
    open_question(w, &body, PUT(ANA "/a") "Content-Length: 1000\r\n\r\nabc");
    assert_true(fake_gateway_await_questions(w->gw, 1) && fake_gateway_await_begun(w->gw, 2));
    api_stop(&w->api, NULL, NULL);
    assert_int_equal(recv(commit.fd, rest, sizeof rest, 0), 0);
    assert_true(recv(body.fd, rest, sizeof rest, 0) <= 0);
    assert_int_equal(seen(w).aborted, seen(w).begun - 1);
    fd_close(&commit.fd);
    fd_close(&body.fd);
    fake_gateway_destroy(&w->gw); /* answers now, to nobody */
}

/* ---- mode stream: the body waits for the recipient, and in its middle for room */

#define STREAM(length) PUT(ANA "/a?mode=stream") "Content-Length: " length "\r\n"

static void before_its_body_a_stream_waits_for_the_recipient(void **state)
{
    static const char head[] = STREAM("3") "Expect: 100-continue\r\n\r\n";
    struct world *w = *state;
    struct fake_gateway_script script = {.silent = true, .ends = TRANSFER_DELIVERED};
    char go_on[64] = "";
    int fd = dial(w);

    fake_gateway_script(w->gw, &script);
    send_all(fd, head, strlen(head));
    assert_true(fake_gateway_await_questions(w->gw, 1));
    assert_int_equal(recv(fd, go_on, sizeof go_on - 1, MSG_DONTWAIT), -1);
    fake_gateway_speak(w->gw);
    assert_true(recv(fd, go_on, sizeof go_on - 1, 0) > 0);
    assert_string_equal(go_on, "HTTP/1.1 100 Continue\r\n\r\n");
    send_all(fd, "abc", 3);
    read_answer(w, fd);
    expect(w, "the end", 200, NULL);
    assert_string_equal(member(w, "state"), "delivered");
    assert_string_equal(member(w, "mode"), "stream");
    assert_string_equal(seen(w).body, "abc");
    fd_close(&fd);
}

/* The time that the recipient takes is none of the caller's silence. */
static void a_recipient_may_take_longer_than_a_connection_may_be_idle(void **state)
{
    static const char head[] = STREAM("3") "Expect: 100-continue\r\n\r\n";
    struct world *w = *state;
    struct fake_gateway_script script = {.silent = true, .ends = TRANSFER_DELIVERED};
    char go_on[64] = "";
    int64_t start = clock_ms();
    int fd;

    w->config.http.idle_timeout = 1000;
    restart(w);
    fake_gateway_script(w->gw, &script);
    fd = dial(w);
    send_all(fd, head, strlen(head));
    assert_true(fake_gateway_await_questions(w->gw, 1));
    while (clock_ms() < start + 3000) /* which is what this is about */
        usleep(10000);
    fake_gateway_speak(w->gw);
    assert_true(recv(fd, go_on, sizeof go_on - 1, 0) > 0);
    send_all(fd, "abc", 3);
    read_answer(w, fd);
    expect(w, "the end", 200, NULL);
    fd_close(&fd);
}

static void a_refused_stream_is_answered_before_its_body(void **state)
{
    struct world *w = *state;
    struct fake_gateway_script script = {.open = ERR_RECIPIENT_DECLINED};

    fake_gateway_script(w->gw, &script);
    ask(w, STREAM("200000000") "Expect: 100-continue\r\n\r\n");
    expect(w, "with Expect", 409, "recipient_declined");
    ask(w, STREAM("3") "\r\nabc");
    expect(w, "without", 409, "recipient_declined");
    ask(w, STREAM("0") "\r\n");
    expect(w, "nothing", 409, "recipient_declined");
    assert_int_equal(seen(w).bytes, 0);
    assert_int_equal(seen(w).finished, 0);
    assert_int_equal(seen(w).aborted, 3);
}

static void a_stream_of_nothing_is_one_too(void **state)
{
    struct world *w = *state;

    ask(w, STREAM("0") "\r\n");
    expect(w, "nothing", 200, NULL);
    assert_int_equal(seen(w).finished, 1);
}

static void a_stream_that_ends_badly_is_a_problem(void **state)
{
    struct world *w = *state;
    struct fake_gateway_script script = {.ends = TRANSFER_FAILED, .end_error = ERR_STREAM_BROKEN};

    fake_gateway_script(w->gw, &script);
    ask(w, STREAM("3") "\r\nabc");
    expect(w, "the end", 502, "stream_broken");
}

static void a_body_waits_for_room_and_loses_nothing(void **state)
{
    enum { SIZE = 1000000 };
    struct world *w = *state;
    struct fake_gateway_script script = {.room = 200000, .ends = TRANSFER_DELIVERED};
    char *body = calloc(1, SIZE);
    int fd = dial(w);

    fake_gateway_script(w->gw, &script);
    send_all(fd, STREAM("1000000") "\r\n", strlen(STREAM("1000000") "\r\n"));
    send_all(fd, body, 400000);
    for (unsigned n = 1; n <= 2; n++) {
        assert_true(fake_gateway_await_full(w->gw, n));
        assert_in_range(seen(w).bytes, 1, n * 200000);
        fake_gateway_make_room(w->gw, n == 1 ? 200000 : SIZE);
        if (n == 1)
            send_all(fd, body, SIZE - 400000);
    }
    read_answer(w, fd);
    expect(w, "the end", 200, NULL);
    assert_int_equal(seen(w).bytes, SIZE);
    fd_close(&fd);
    free(body);
}

static void who_leaves_while_the_recipient_is_asked_is_an_abandoned_upload(void **state)
{
    struct world *w = *state;
    struct fake_gateway_script silent = {.silent = true};
    struct stopping put;

    fake_gateway_script(w->gw, &silent);
    open_question(w, &put, STREAM("3") "Expect: 100-continue\r\n\r\n");
    assert_true(fake_gateway_await_questions(w->gw, 1));
    fd_close(&put.fd);
    assert_true(fake_gateway_await_aborted(w->gw, 1));
}

static void who_waits_for_a_stream_is_answered_or_cut_when_the_server_stops(void **state)
{
    struct world *w = *state;
    struct fake_gateway_script script = {.room = 1};
    struct stopping full, asked;
    char rest[64] = "";

    fake_gateway_script(w->gw, &script);
    open_question(w, &full, STREAM("3") "\r\nabc");
    assert_true(fake_gateway_await_full(w->gw, 1));
    script.silent = true;
    fake_gateway_script(w->gw, &script);
    open_question(w, &asked, STREAM("3") "Expect: 100-continue\r\n\r\n");
    assert_true(fake_gateway_await_questions(w->gw, 1));
    api_stop(&w->api, NULL, NULL);
    read_answer(w, asked.fd);
    expect(w, "asked", 503, "draining");
    assert_true(recv(full.fd, rest, sizeof rest, 0) <= 0);
    assert_int_equal(seen(w).aborted, 2);
    fd_close(&asked.fd);
    fd_close(&full.fd);
    fake_gateway_destroy(&w->gw);
}

static void a_mode_is_one_of_three_and_needs_a_length(void **state)
{
    struct world *w = *state;

    ask(w, PUT(ANA "/a?mode=fast") THREE);
    expect(w, "an unknown one", 422, "parameter_invalid");
    ask(w, PUT(ANA "/a?mode=auto") THREE);
    expect(w, "auto", 202, NULL);
    assert_string_equal(member(w, "mode"), "auto");
    ask(w, PUT(ANA "/a?mode=stream") "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    expect(w, "without a length", 202, NULL);
    assert_string_equal(member(w, "mode"), "spool");
    w->config.delivery.mode = MODE_AUTO;
    restart(w);
    ask(w, PUT(ANA "/a") THREE);
    assert_string_equal(member(w, "mode"), "auto");
}

static int keep_pipe(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN); /* as main does */
    log_setup(LOG_ERROR, LOG_TEXT);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bad_input_gets_its_status),
        TEST(a_missing_host_is_refused),
        TEST(after_a_doubtful_end_nothing_more_is_read),
        TEST(space_behind_a_value_is_no_part_of_it),
        TEST(what_is_not_allowed_names_what_is),
        TEST(an_early_refusal_costs_a_connection_only_with_a_body),
        TEST(who_expects_100_continue_sends_nothing_in_vain),
        TEST(who_may_send_is_told_to_go_on),
        TEST(who_sends_all_the_same_still_gets_the_answer),
        TEST(an_upload_is_accepted_with_its_place),
        TEST(who_is_offline_may_be_waited_for_and_asked),
        TEST(a_file_finds_its_name_and_type),
        TEST(chunks_and_nothing_are_files_too),
        TEST(a_repeated_request_is_told_of_its_transfer_without_its_body),
        TEST(what_a_key_meets_is_told),
        TEST(requests_that_differ_have_another_print),
        TEST(an_abandoned_upload_frees_its_key),
        TEST(words_for_scripts),
        TEST(a_strange_request_id_is_replaced),
        TEST(the_callers_trace_goes_with_the_transfer),
        TEST(waiting_tells_by_the_status_how_it_ended),
        TEST(a_preference_is_applied_and_said_so),
        TEST(an_abandoned_body_is_an_abandoned_upload),
        TEST(a_half_closed_caller_is_answered),
        TEST(an_abandoned_head_leaves_nothing),
        TEST(a_head_beyond_the_library_leaves_nothing),
        TEST(an_error_in_the_middle_of_a_body_is_answered_there),
        TEST(what_cannot_be_kept_is_not_accepted),
        TEST(a_form_is_put_together_in_any_order),
        TEST(a_form_means_the_same_wherever_tcp_cuts_it),
        TEST(a_boundary_is_found_among_other_parameters),
        TEST(a_form_may_go_to_an_address),
        TEST(a_bad_form_is_refused_and_leaves_nothing),
        TEST(several_files_and_recipients_make_a_batch),
        TEST(one_file_for_one_is_a_transfer),
        TEST(who_waits_for_a_batch_gets_the_worst_status_and_all_of_it),
        TEST(a_batch_is_shown_and_waited_for),
        TEST(a_batch_that_cannot_be_committed_leaves_nothing),
        TEST(no_more_than_a_hundred_transfers_a_call),
        TEST(a_repeated_batch_is_answered_with_the_first),
        TEST(a_form_too_large_is_refused_before_it_comes),
        TEST(json_says_what_a_form_says),
        TEST(json_is_read_strictly),
        TEST(json_is_small),
        TEST(a_transfer_is_shown_and_shown_again_only_when_changed),
        TEST(the_state_of_a_failed_transfer_is_no_failure_to_read_it),
        TEST(a_transfer_is_cancelled),
        TEST(a_failed_transfer_is_tried_again),
        TEST(a_list_is_walked_by_its_links),
        TEST(a_recipient_who_is_away_is_an_answer),
        TEST(webhooks_are_shown_tried_and_sent_again),
        TEST(what_is_relayed_for_others_is_told),
        TEST(the_gateway_tells_about_itself),
        TEST(metrics_count_requests_and_look_at_the_rest),
        TEST(the_ops_listener_is_for_three_questions),
        TEST(head_is_get_without_its_body),
        TEST(the_page_is_there_for_everybody_and_asked_for_again_cheaply),
        TEST(of_other_sites_only_a_link_leads_to_the_page),
        TEST(another_page_is_read_from_its_folder),
        TEST(a_link_is_fetched_by_whoever_has_it),
        TEST(a_link_is_fetched_by_ranges),
        TEST(only_what_was_sent_counts_as_fetched),
        TEST(nothing_a_browser_would_run_is_served_as_such),
        TEST(an_empty_file_is_fetched_too),
        TEST(a_link_that_is_over_is_gone_and_an_unknown_one_not_found),
        TEST(a_secret_never_reaches_the_log),
        TEST(with_a_token_only_its_bearer_gets_in),
        TEST(each_token_does_what_it_is_for),
        TEST(after_ten_wrong_tokens_no_more_are_looked_at),
        TEST(a_token_may_ask_only_so_often),
        TEST(a_token_has_only_so_many_under_way),
        TEST(a_token_sends_only_so_much_a_day),
        TEST(a_refusal_comes_before_the_body),
        TEST(a_transfer_of_another_token_is_not_there),
        TEST(beyond_loopback_a_token_is_needed),
        TEST(other_tokens_take_the_place_of_those_before),
        TEST(the_last_token_stays_while_strangers_could_come),
        TEST(a_port_in_use_is_a_reason),
        TEST(who_waits_is_answered_when_the_server_stops),
        TEST(who_is_slow_is_cut_when_there_is_no_time),
        TEST(who_hangs_up_waits_no_longer),
        TEST(a_wait_that_ends_in_a_full_epoll_set_is_the_end_of_its_request),
        TEST(an_accepted_upload_is_told_so_when_the_server_stops),
        TEST(what_does_not_end_is_cut),
        TEST(before_its_body_a_stream_waits_for_the_recipient),
        TEST(a_recipient_may_take_longer_than_a_connection_may_be_idle),
        TEST(a_refused_stream_is_answered_before_its_body),
        TEST(a_stream_of_nothing_is_one_too),
        TEST(a_stream_that_ends_badly_is_a_problem),
        TEST(a_body_waits_for_room_and_loses_nothing),
        TEST(who_leaves_while_the_recipient_is_asked_is_an_abandoned_upload),
        TEST(who_waits_for_a_stream_is_answered_or_cut_when_the_server_stops),
        TEST(a_mode_is_one_of_three_and_needs_a_length),
    };

    return cmocka_run_group_tests_name("api/server", tests, keep_pipe, NULL);
}
