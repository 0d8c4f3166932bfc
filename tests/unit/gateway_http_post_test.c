/* gateway/http_post.c: a small body by HTTP POST, against a receiver of the test's. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/http_post.h"
#include "tests/fake/receiver.h"

static char *loopback[] = {"127.0.0.0/8", NULL};

struct fixture {
    uv_loop_t loop;
    struct fake_receiver *receiver;
    struct http_poster *poster;
    unsigned dones;
    struct http_answer answer;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    uv_loop_init(&f->loop);
    f->receiver = fake_receiver_create(&f->loop);
    f->poster = http_poster_create(&f->loop, NULL, loopback, NULL);
    assert_non_null(f->poster);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    http_poster_destroy(&f->poster);
    fake_receiver_destroy(&f->receiver);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
    return 0;
}

static void on_done(void *user, const struct http_answer *a)
{
    struct fixture *f = user;

    f->dones++;
    f->answer = *a;
}

static void post_to(struct fixture *f, const char *url)
{
    const struct http_header headers[] = {{"webhook-id", "wd_1"}, {"X-Bad", "a\r\nX-Forged: b"}};
    const struct http_post post = {.url = url,
                                   .type = "application/json",
                                   .headers = headers,
                                   .header_count = 2,
                                   .body = "{\"a\":1}",
                                   .length = 7,
                                   .timeout_ms = 300,
                                   .done = on_done,
                                   .user = f};
    struct error err;

    f->dones = 0;
    assert_true(http_post(f->poster, &post, &err));
    assert_int_equal(f->dones, 0); /* never from inside the call */
    while (f->dones == 0)
        uv_run(&f->loop, UV_RUN_ONCE);
}

static void the_body_arrives_with_its_headers(void **state)
{
    struct fixture *f = *state;
    const struct fake_request *q;

    post_to(f, fake_receiver_url(f->receiver));
    assert_int_equal(f->answer.status, 204);
    assert_string_equal(f->answer.why, "");
    q = fake_receiver_request(f->receiver, 0);
    assert_string_equal(q->line, "POST /hook HTTP/1.1");
    assert_string_equal(q->body, "{\"a\":1}");
    assert_non_null(strstr(q->head, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(q->head, "\r\nwebhook-id: wd_1\r\n"));
    assert_non_null(strstr(q->head, "\r\nUser-Agent: jidpost/"));
    assert_null(strstr(q->head, "Expect:"));
    assert_null(strstr(q->head, "Forged"));
}

#define BIG_BODY 100000

static void an_answer_is_its_status_and_nothing_else(void **state)
{
    static char big[BIG_BODY + 100];
    static const struct {
        const char *says, *answer;
        unsigned status;
        int64_t retry_after_s;
        const char *why;
    } rows[] = {
        {"taken", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, 0, ""},
        {"taken, and it tells a story", big, 200, 0, ""},
        {"later", "HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 6\r\n\r\nsecret", 503, 120, "answered 503"},
        {"a redirect is not followed", "HTTP/1.1 302 Found\r\nLocation: /hook\r\nContent-Length: 0\r\n\r\n", 302, 0,
         "redirects, which is not followed (302)"},
        {"gone", "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", 410, 0, "answered 410"},
        {"no HTTP", "hello\r\n\r\n", 0, 0, NULL},
        {"silence", NULL, 0, 0, "no answer within 0 s"},
    };
    struct fixture *f = *state;

    snprintf(big, sizeof big, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%0*d", BIG_BODY, BIG_BODY, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fake_receiver_answers(f->receiver, rows[i].answer);
        post_to(f, fake_receiver_url(f->receiver));
        if (f->answer.status != rows[i].status || f->answer.retry_after_s != rows[i].retry_after_s ||
            (rows[i].why && strcmp(f->answer.why, rows[i].why) != 0))
            fail_msg("%s: %u, %s", rows[i].says, f->answer.status, f->answer.why);
        assert_null(strstr(f->answer.why, "secret"));
    }
}

/* Where a name leads is judged behind its lookup; nothing is connected to. */
static void it_goes_to_no_network_that_is_not_listed(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *says, *allowed, *url;
    } rows[] = {
        {"loopback", "10.0.0.0/8", "https://127.0.0.1:1/"},
        {"a name that leads there", "10.0.0.0/8", "https://localhost:1/"},
        {"a metadata service", "10.0.0.0/8", "https://169.254.169.254/latest"},
        {"a private network", "10.0.0.0/8", "https://192.168.1.1/"},
        {"in the clear, out into the world", "10.0.0.0/8", "http://192.0.2.1/"},
        {"in the clear, to loopback", "10.0.0.0/8", NULL},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *nets[] = {(char *)rows[i].allowed, NULL};

        http_poster_destroy(&f->poster);
        f->poster = http_poster_create(&f->loop, NULL, nets, NULL);
        post_to(f, rows[i].url ? rows[i].url : fake_receiver_url(f->receiver));
        if (f->answer.status != 0 || !strstr(f->answer.why, "allow_nets"))
            fail_msg("%s: %u, %s", rows[i].says, f->answer.status, f->answer.why);
    }
    assert_int_equal(fake_receiver_count(f->receiver), 0);
}

static void who_is_not_there_is_told_of(void **state)
{
    struct fixture *f = *state;

    post_to(f, "http://127.0.0.1:1/");
    assert_int_equal(f->answer.status, 0);
    assert_string_equal(f->answer.why, "nobody takes the connection");
}

/* Instead of the system's, for the library too: one name is looked up for long. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    void *found = dlsym(RTLD_NEXT, "getaddrinfo");

    memcpy(&next, &found, sizeof next);
    if (name && strcmp(name, "slow.example") == 0) {
        sleep(3);
        return EAI_AGAIN;
    }
    return next(name, service, hints, out);
}

static void on_turn(uv_timer_t *timer)
{
    uint64_t *latest = timer->data, now = uv_hrtime() / 1000000;

    if (now - latest[0] > latest[1])
        latest[1] = now - latest[0];
    latest[0] = now;
}

static void a_name_that_is_looked_up_for_long_keeps_up_nobody(void **state)
{
    struct fixture *f = *state;
    uint64_t latest[2] = {uv_hrtime() / 1000000, 0}; /* turn, longest time between two */
    uv_timer_t timer;

    uv_timer_init(&f->loop, &timer);
    timer.data = latest;
    uv_timer_start(&timer, on_turn, 10, 10);
    post_to(f, "https://slow.example/");
    assert_int_equal(f->answer.status, 0);
    http_poster_destroy(&f->poster);
    on_turn(&timer);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    if (latest[1] > 1500)
        fail_msg("the loop stood still for %u ms", (unsigned)latest[1]);
}

static void what_is_under_way_ends_without_a_word(void **state)
{
    struct fixture *f = *state;
    const struct http_post post = {.url = fake_receiver_url(f->receiver),
                                   .type = "text/plain",
                                   .body = "",
                                   .timeout_ms = 10000,
                                   .done = on_done,
                                   .user = f};

    fake_receiver_answers(f->receiver, NULL);
    assert_true(http_post(f->poster, &post, NULL));
    while (fake_receiver_count(f->receiver) == 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    http_poster_destroy(&f->poster);
    assert_int_equal(f->dones, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_body_arrives_with_its_headers, setup, teardown),
        cmocka_unit_test_setup_teardown(an_answer_is_its_status_and_nothing_else, setup, teardown),
        cmocka_unit_test_setup_teardown(it_goes_to_no_network_that_is_not_listed, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_not_there_is_told_of, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_that_is_looked_up_for_long_keeps_up_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_under_way_ends_without_a_word, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
