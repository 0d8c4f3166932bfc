/* gateway/http_put.c: a file by HTTP PUT, against a server that a script of the test plays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/http_put.h"

enum { BIG = 8 << 20, ROOM = 4096 };

/* What the server does with the one connection it takes. */
struct script {
    const char *answer; /* sent after the body; NULL: it hangs up */
    bool rude;          /* it answers after the head and hangs up on the body */
    bool early;         /* it answers after the head, and reads no body */
    bool silent;        /* it neither reads the body nor answers, until the client goes */
};

struct fixture {
    uv_loop_t loop;
    struct http *http;
    char url[64];
    int listener, fd;
    int over[2]; /* a pipe: the test needs the server no more */
    pthread_t thread;
    bool serving;
    struct script script;
    char head[ROOM];   /* what came before the body */
    uint64_t received; /* of the body */
    uint64_t told;     /* by progress */
    unsigned dones;
    struct error error; /* ERR_NONE: it went well */
};

/* ---- the server's thread */

static bool read_head(struct fixture *f, int fd, uint64_t *body)
{
    size_t len = 0;
    char *end;

    while (len < ROOM - 1) {
        ssize_t n = recv(fd, f->head + len, ROOM - 1 - len, 0);

        if (n <= 0)
            return false;
        len += (size_t)n;
        f->head[len] = '\0';
        end = strstr(f->head, "\r\n\r\n");
        if (end) {
            *body = len - (size_t)(end + 4 - f->head);
            end[2] = '\0';
            return true;
        }
    }
    return false;
}

static uint64_t announced(const struct fixture *f)
{
    const char *field = strstr(f->head, "Content-Length: ");

    return field ? strtoull(field + 16, NULL, 10) : 0;
}

/* Reads on, so that an answer is not lost by a reset, until the client goes or the test needs us no more. */
static void until_gone(const struct fixture *f, int fd)
{
    struct pollfd either[] = {{.fd = fd, .events = POLLIN}, {.fd = f->over[0], .events = POLLIN}};
    char block[65536];

    while (poll(either, 2, -1) > 0 && !either[1].revents && recv(fd, block, sizeof block, 0) > 0)
        continue;
}

static void *serve(void *user)
{
    struct fixture *f = user;
    int fd = accept(f->listener, NULL, NULL);
    char block[65536];
    ssize_t n = 1;

    if (fd >= 0 && read_head(f, fd, &f->received)) {
        if (f->script.silent) {
            struct pollfd over = {.fd = f->over[0], .events = POLLIN};

            poll(&over, 1, -1);
        } else {
            while (!f->script.early && !f->script.rude && f->received < announced(f) &&
                   (n = recv(fd, block, sizeof block, 0)) > 0)
                f->received += (uint64_t)n;
            if (f->script.answer && f->script.rude) {
                send(fd, f->script.answer, strlen(f->script.answer), MSG_NOSIGNAL);
            } else if (f->script.answer) {
                send(fd, f->script.answer, strlen(f->script.answer), MSG_NOSIGNAL);
                shutdown(fd, SHUT_WR);
                until_gone(f, fd);
            }
        }
    }
    if (fd >= 0)
        close(fd);
    return NULL;
}

/* ---- the test's side */

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    char name[] = "/tmp/jidpost-put-XXXXXX";
    struct error err;

    uv_loop_init(&f->loop);
    assert_int_equal(pipe(f->over), 0);
    f->http = http_create(&f->loop, NULL, NULL, &err);
    assert_non_null(f->http);
    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(f->listener, 4), 0);
    assert_int_equal(getsockname(f->listener, (struct sockaddr *)&address, &len), 0);
    snprintf(f->url, sizeof f->url, "http://127.0.0.1:%u/slot/a", ntohs(address.sin_port));
    f->fd = mkstemp(name);
    assert_true(f->fd >= 0);
    unlink(name);
    assert_int_equal(ftruncate(f->fd, BIG), 0);
    *state = f;
    return 0;
}

static void stop_serving(struct fixture *f)
{
    shutdown(f->listener, SHUT_RDWR);
    assert_int_equal(write(f->over[1], "", 1), 1);
    if (f->serving)
        pthread_join(f->thread, NULL);
    f->serving = false;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    http_destroy(&f->http);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    stop_serving(f);
    close(f->listener);
    close(f->fd);
    close(f->over[0]);
    close(f->over[1]);
    free(f);
    return 0;
}

static void on_progress(void *user, uint64_t sent)
{
    struct fixture *f = user;

    assert_true(sent >= f->told);
    f->told = sent;
}

static void on_done(void *user, const struct error *err)
{
    struct fixture *f = user;

    f->dones++;
    f->error = err ? *err : (struct error){0};
}

static struct http_put a_put(struct fixture *f, uint64_t length)
{
    return (struct http_put){.url = f->url,
                             .type = "text/plain",
                             .fd = f->fd,
                             .length = length,
                             .stall_ms = 1000,
                             .progress = on_progress,
                             .done = on_done,
                             .user = f};
}

static void serve_with(struct fixture *f, struct script script)
{
    f->script = script;
    f->serving = pthread_create(&f->thread, NULL, serve, f) == 0;
    assert_true(f->serving);
}

static uint64_t begin(struct fixture *f, const struct http_put *put)
{
    struct error err;
    uint64_t ticket = f->http->ops->put(f->http, put, &err);

    assert_true(ticket > 0);
    assert_int_equal(f->dones, 0); /* never from inside the call */
    return ticket;
}

static void run(struct fixture *f)
{
    while (f->dones == 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(f->dones, 1);
}

#define CREATED "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"

static void every_byte_goes_under_the_slot_s_headers(void **state)
{
    struct fixture *f = *state;
    const struct http_header headers[] = {{"Authorization", "Bearer secret"}, {"Cookie", "a=b"}};
    struct http_put put = a_put(f, BIG);

    put.headers = headers;
    put.header_count = 2;
    serve_with(f, (struct script){.answer = CREATED});
    begin(f, &put);
    run(f);
    assert_int_equal(f->error.code, ERR_NONE);
    stop_serving(f);
    assert_int_equal(f->received, BIG);
    assert_int_equal(f->told, BIG);
    assert_ptr_equal(strstr(f->head, "PUT /slot/a HTTP/1.1\r\n"), f->head);
    assert_non_null(strstr(f->head, "Content-Length: 8388608\r\n"));
    assert_non_null(strstr(f->head, "Content-Type: text/plain\r\n"));
    assert_non_null(strstr(f->head, "Authorization: Bearer secret\r\n"));
    assert_non_null(strstr(f->head, "Cookie: a=b\r\n"));
    assert_null(strstr(f->head, "Expect:"));
}

static void an_empty_file_is_a_file(void **state)
{
    struct fixture *f = *state;
    struct http_put put = a_put(f, 0);

    serve_with(f, (struct script){.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"});
    begin(f, &put);
    run(f);
    assert_int_equal(f->error.code, ERR_NONE);
    stop_serving(f);
    assert_non_null(strstr(f->head, "Content-Length: 0\r\n"));
}

static void an_answer_means_what_its_status_says(void **state)
{
    static const struct {
        const char *says;
        struct script script;
        enum error_code want;
    } rows[] = {
        {"too large", {.answer = "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"}, ERR_UPLOAD_SERVICE_REFUSED},
        {"too large, before the body",
         {.answer = "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", .early = true},
         ERR_UPLOAD_SERVICE_REFUSED},
        {"not with that slot", {.answer = "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"}, ERR_UPLOAD_SERVICE_REFUSED},
        {"no room", {.answer = "HTTP/1.1 507 Full\r\nContent-Length: 0\r\n\r\n"}, ERR_UPLOAD_SERVICE_QUOTA},
        {"too often", {.answer = "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n"}, ERR_UPLOAD_SERVICE_QUOTA},
        {"broken", {.answer = "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"}, ERR_UPLOAD_SERVICE_FAILED},
        {"a redirect is not followed",
         {.answer = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"},
         ERR_UPLOAD_SERVICE_FAILED},
        {"taken, but not the whole of it", {.answer = CREATED, .rude = true}, ERR_UPLOAD_SERVICE_FAILED},
        {"no content", {.answer = "HTTP/1.1 204 No Content\r\n\r\n"}, ERR_UPLOAD_SERVICE_FAILED},
        {"not HTTP", {.answer = "hello\r\n\r\n"}, ERR_UPLOAD_SERVICE_FAILED},
        {"the server hangs up", {0}, ERR_UPLOAD_SERVICE_FAILED},
        {"the server stops reading", {.silent = true}, ERR_UPLOAD_SERVICE_FAILED},
    };

    teardown(state);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture *f;
        struct http_put put;

        setup(state);
        f = *state;
        put = a_put(f, BIG);
        serve_with(f, rows[i].script);
        begin(f, &put);
        run(f);
        if (f->error.code != rows[i].want)
            fail_msg("%s: %s (%s)", rows[i].says, error_name(f->error.code), f->error.text);
        assert_true(f->error.text[0]);
        teardown(state);
    }
    setup(state);
}

static void a_server_that_is_not_there_is_a_failure(void **state)
{
    struct fixture *f = *state;
    struct http_put put = a_put(f, 5);

    close(f->listener);
    f->listener = -1;
    begin(f, &put);
    run(f);
    assert_int_equal(f->error.code, ERR_UPLOAD_SERVICE_FAILED);
}

static void a_proxy_of_the_environment_is_not_asked(void **state)
{
    struct fixture *f = *state;
    struct http_put put = a_put(f, 5);

    setenv("http_proxy", "http://127.0.0.1:1", 1);
    serve_with(f, (struct script){.answer = CREATED});
    begin(f, &put);
    run(f);
    unsetenv("http_proxy");
    assert_int_equal(f->error.code, ERR_NONE);
}

static void other_schemes_are_not_spoken(void **state)
{
    struct fixture *f = *state;
    struct http_put put = a_put(f, 5);

    put.url = "ftp://127.0.0.1/a";
    begin(f, &put);
    run(f);
    assert_int_equal(f->error.code, ERR_UPLOAD_SERVICE_FAILED);
}

static void a_header_with_a_line_break_is_refused(void **state)
{
    struct fixture *f = *state;
    const struct http_header header = {"Cookie", "a=b\r\nX-Evil: 1"};
    struct http_put put = a_put(f, 5);
    struct error err;

    put.headers = &header;
    put.header_count = 1;
    assert_int_equal(f->http->ops->put(f->http, &put, &err), 0);
    assert_int_equal(err.code, ERR_UPLOAD_SERVICE_FAILED);
}

static void a_payload_that_is_shorter_than_announced_is_our_own_failure(void **state)
{
    struct fixture *f = *state;
    struct http_put put = a_put(f, BIG + 1);

    serve_with(f, (struct script){.answer = CREATED});
    begin(f, &put);
    run(f);
    assert_int_equal(f->error.code, ERR_INTERNAL);
}

static void a_part_of_the_file_may_be_sent(void **state)
{
    struct fixture *f = *state;
    struct http_put put = a_put(f, 1000);

    put.offset = BIG - 1000;
    serve_with(f, (struct script){.answer = CREATED});
    begin(f, &put);
    run(f);
    assert_int_equal(f->error.code, ERR_NONE);
    stop_serving(f);
    assert_int_equal(f->received, 1000);
}

static void one_that_is_forgotten_is_not_heard_of_again(void **state)
{
    struct fixture *f = *state;
    struct http_put put = a_put(f, BIG);
    uint64_t ticket;

    serve_with(f, (struct script){.silent = true});
    ticket = begin(f, &put);
    while (f->told == 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(f->dones, 0);
    f->http->ops->forget(f->http, ticket);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->dones, 0);
    f->http->ops->forget(f->http, ticket); /* over already: fine */
}

/* Looked at as they are connected to, after the name was looked up. */
static void a_slot_at_an_address_of_no_server_is_not_gone_to(void **state)
{
    static const char *const urls[] = {
        "https://169.254.169.254/latest/",
        "https://[fe80::1]/a",
        "https://[fd00:ec2::254]/a",
        "https://0.0.0.0/a",
        "https://[::]/a",
        "https://[::ffff:169.254.169.254]/a",
        "https://224.0.0.1/a",
        "https://2852039166/a", /* the first again */
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct http_put put = a_put(f, 5);

        put.url = urls[i];
        f->dones = 0;
        begin(f, &put);
        run(f);
        if (f->error.code != ERR_UPLOAD_SERVICE_FAILED || !strstr(f->error.text, "not one that this gateway connects"))
            fail_msg("%s: %s", urls[i], f->error.text);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_byte_goes_under_the_slot_s_headers),
        TEST(an_empty_file_is_a_file),
        TEST(an_answer_means_what_its_status_says),
        TEST(a_server_that_is_not_there_is_a_failure),
        TEST(a_proxy_of_the_environment_is_not_asked),
        TEST(other_schemes_are_not_spoken),
        TEST(a_slot_at_an_address_of_no_server_is_not_gone_to),
        TEST(a_header_with_a_line_break_is_refused),
        TEST(a_payload_that_is_shorter_than_announced_is_our_own_failure),
        TEST(a_part_of_the_file_may_be_sent),
        TEST(one_that_is_forgotten_is_not_heard_of_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
