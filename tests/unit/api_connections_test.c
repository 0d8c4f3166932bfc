/* Who takes too long is told and cut, who waits for us is not; and how many each address may have. No time passes here
 * but the one that is told to. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/connections.h"
#include "base/clock.h"
#include "base/log.h"

enum { SECOND = 1000, PAIRS = 80 };

struct world {
    struct config config;
    struct trust *trust;
    struct connections *set;
    struct connection *c;
    int ours, theirs;
    char said[2048]; /* to the caller, all of it */
};

static union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} from;

static const struct sockaddr *address(const char *text)
{
    memset(&from, 0, sizeof from);
    if (strcmp(text, "unix") == 0) {
        from.any.sa_family = AF_UNIX;
    } else if (inet_pton(AF_INET, text, &from.v4.sin_addr) == 1) {
        from.any.sa_family = AF_INET;
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &from.v6.sin6_addr), 1);
        from.any.sa_family = AF_INET6;
    }
    return &from.any;
}

static int set_up(void **state)
{
    static char front[] = "10.0.0.0/8";
    static char *proxies[] = {front, NULL};
    struct world *w = calloc(1, sizeof *w);
    int pair[2];

    clock_fake(0, 0);
    w->config.http.max_connections = 100;
    w->config.http.header_timeout = 15 * SECOND;
    w->config.http.min_rate = 1024;
    w->config.http.min_rate_window = 30 * SECOND;
    w->config.http.trusted_proxies = proxies;
    w->trust = trust_create(proxies);
    w->set = connections_create(&w->config, w->trust);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    w->ours = pair[0];
    w->theirs = pair[1];
    w->c = connection_open(w->set, w->ours, address("203.0.113.5"), false);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    connection_close(w->c);
    connections_destroy(&w->set);
    assert_null(w->set);
    trust_destroy(&w->trust);
    close(w->ours);
    close(w->theirs);
    free(w);
    clock_real();
    return 0;
}

static void pass(struct world *w, int64_t ms)
{
    for (; ms > 0; ms -= SECOND) {
        clock_advance(ms < SECOND ? ms : SECOND);
        connections_sweep(w->set);
    }
}

/* Whether the caller found the end; what he was told before is in said. */
static bool is_cut(struct world *w)
{
    size_t len = 0;
    ssize_t n;

    while ((n = recv(w->theirs, w->said + len, sizeof w->said - 1 - len, MSG_DONTWAIT)) > 0)
        len += (size_t)n;
    w->said[len] = '\0';
    return n == 0;
}

static void assert_told(struct world *w, const char *stage)
{
    char member[64];

    assert_true(is_cut(w));
    snprintf(member, sizeof member, "\"stage\":\"%s\"", stage);
    if (strncmp(w->said, "HTTP/1.1 408 Request Timeout\r\n", 30) != 0 || !strstr(w->said, "\"request_timeout\"") ||
        !strstr(w->said, "\r\nConnection: close\r\n") || !strstr(w->said, member))
        fail_msg("'%s'", w->said);
}

static void ask(struct world *w)
{
    connection_begin(w->c);
    assert_true(connection_take(w->c));
}

static void a_header_has_fifteen_seconds(void **state)
{
    struct world *w = *state;

    pass(w, 14 * SECOND);
    assert_false(is_cut(w));
    pass(w, SECOND);
    assert_told(w, "request");
    assert_false(connection_take(w->c)); /* also when it is complete at that very moment: nobody gets two answers */
}

static void it_is_the_whole_header_that_has_them(void **state)
{
    struct world *w = *state;

    pass(w, 10 * SECOND);
    connection_begin(w->c);
    pass(w, 5 * SECOND);
    assert_told(w, "request");
}

static void a_kept_connection_counts_from_its_last_answer(void **state)
{
    struct world *w = *state;

    ask(w);
    pass(w, 100 * SECOND); /* ours */
    assert_false(connection_end(w->c));
    pass(w, 14 * SECOND);
    assert_false(is_cut(w));
    ask(w);
    connection_end(w->c);
    pass(w, 14 * SECOND);
    assert_false(is_cut(w));
    connection_begin(w->c);
    pass(w, SECOND);
    assert_told(w, "request");
}

static void one_on_which_nothing_is_asked_is_closed_without_a_word(void **state)
{
    struct world *w = *state;

    ask(w);
    connection_end(w->c);
    pass(w, 15 * SECOND);
    assert_true(is_cut(w));
    assert_string_equal(w->said, "");
}

static void under_tls_no_word_is_said_past_it(void **state)
{
    struct world *w = *state;

    connection_close(w->c);
    w->c = connection_open(w->set, w->ours, address("203.0.113.5"), true);
    pass(w, 15 * SECOND);
    assert_true(is_cut(w));
    assert_string_equal(w->said, "");
}

static void without_a_limit_nobody_is_cut(void **state)
{
    struct world *w = *state;

    connection_close(w->c);
    connections_destroy(&w->set);
    w->config.http.header_timeout = 0;
    w->config.http.min_rate = 0;
    w->set = connections_create(&w->config, w->trust);
    w->c = connection_open(w->set, w->ours, address("203.0.113.5"), false);
    pass(w, 1000 * SECOND);
    ask(w);
    connection_await_body(w->c, 0, "rq_1");
    pass(w, 1000 * SECOND);
    assert_false(is_cut(w));
}

static void a_body_comes_with_a_kibibyte_a_second(void **state)
{
    static const struct {
        const char *says;
        uint64_t per_second;
        int64_t seconds; /* it lives, at least */
        bool ends;
    } rows[] = {
        {"silence", 0, 29, true},          {"a byte a second", 1, 29, true},   {"a little less", 1023, 29, true},
        {"just enough", 1024, 300, false}, {"much more", 1000000, 300, false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct world *w = *state;
        uint64_t received = 0;

        ask(w);
        connection_await_body(w->c, 0, "rq_the_requests_own");
        for (int64_t s = 0; s < rows[i].seconds; s++) {
            clock_advance(SECOND);
            assert_true(connection_take(w->c));
            received += rows[i].per_second;
            connection_await_body(w->c, received, "rq_the_requests_own");
            connections_sweep(w->set);
        }
        pass(w, SECOND);
        if (is_cut(w) != rows[i].ends)
            fail_msg("%s", rows[i].says);
        if (rows[i].ends)
            assert_non_null(strstr(w->said, "X-Request-Id: rq_the_requests_own\r\n"));
        if (connection_end(w->c) != rows[i].ends)
            fail_msg("%s: not told so", rows[i].says);
        tear_down(state);
        set_up(state);
    }
}

/* A gigabyte at once is no credit for an hour: each window is by itself. */
static void what_came_before_is_no_credit(void **state)
{
    struct world *w = *state;

    ask(w);
    connection_await_body(w->c, 0, "rq_1");
    pass(w, SECOND);
    assert_true(connection_take(w->c));
    connection_await_body(w->c, 1 << 30, "rq_1");
    pass(w, 29 * SECOND);
    assert_false(is_cut(w));
    pass(w, 30 * SECOND);
    assert_told(w, "upload");
}

static void the_time_that_is_ours_does_not_count(void **state)
{
    struct world *w = *state;

    ask(w);
    for (int i = 0; i < 10; i++) {
        connection_await_body(w->c, (uint64_t)i, "rq_1");
        pass(w, 2 * SECOND);
        assert_true(connection_take(w->c)); /* and the recipient is slower than the caller */
        pass(w, 60 * SECOND);
    }
    assert_false(is_cut(w));
    connection_await_body(w->c, 10, "rq_1");
    pass(w, 9 * SECOND);
    assert_false(is_cut(w));
    pass(w, SECOND);
    assert_told(w, "upload");
}

static void what_we_have_not_read_yet_is_no_delay_of_the_callers(void **state)
{
    struct world *w = *state;
    char byte;

    assert_int_equal(send(w->theirs, "G", 1, 0), 1);
    pass(w, 60 * SECOND);
    assert_false(is_cut(w));
    assert_int_equal(recv(w->ours, &byte, 1, 0), 1);
    pass(w, SECOND);
    assert_told(w, "request");
}

/* ---- how many */

struct crowd {
    struct connection *c[PAIRS];
    size_t n;
};

/* As many as are let in. */
static size_t crowd(struct world *w, struct crowd *crowd, const char *text)
{
    size_t before = crowd->n;

    while (crowd->n < PAIRS && connections_admit(w->set, address(text)))
        crowd->c[crowd->n++] = connection_open(w->set, w->ours, address(text), true);
    return crowd->n - before;
}

static void disperse(struct crowd *crowd)
{
    while (crowd->n > 0)
        connection_close(crowd->c[--crowd->n]);
}

static void an_address_has_so_many_connections(void **state)
{
    static const struct {
        const char *says, *from;
        uint64_t given;
        size_t most;
    } rows[] = {
        {"an address", "198.51.100.7", 0, 64},
        {"IPv6", "2001:db8::7", 0, 64},
        {"loopback, where a proxy may stand for all", "127.0.0.1", 0, 51},
        {"loopback too, when said so", "127.0.0.1", 3, 3},
        {"an address, when said so", "198.51.100.7", 3, 3},
        {"a trusted proxy", "10.9.9.9", 3, PAIRS},
        {"the unix socket", "unix", 3, PAIRS},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct crowd all = {.n = 0};
        size_t n;

        connection_close(w->c);
        connections_destroy(&w->set);
        w->config.http.max_connections_per_address = rows[i].given;
        w->set = connections_create(&w->config, w->trust);
        w->c = connection_open(w->set, w->ours, address("203.0.113.5"), true);
        n = crowd(w, &all, rows[i].from);
        if (n != rows[i].most)
            fail_msg("%s: %zu", rows[i].says, n);
        if (n < PAIRS) {
            assert_true(connections_admit(w->set, address("198.51.100.8")));
            connection_close(all.c[--all.n]);
            assert_int_equal(crowd(w, &all, rows[i].from), 1);
        }
        disperse(&all);
    }
}

static void a_network_of_ipv6_is_one_address(void **state)
{
    struct world *w = *state;
    struct crowd all = {.n = 0};

    assert_int_equal(crowd(w, &all, "2001:db8::7"), 64);
    assert_false(connections_admit(w->set, address("2001:db8::ffff:8")));
    assert_true(connections_admit(w->set, address("2001:db8:0:1::7")));
    disperse(&all);
}

static void behind_a_proxy_each_caller_has_so_many_requests(void **state)
{
    struct world *w = *state;
    struct crowd all = {.n = 0};
    struct caller caller, other;
    struct error err = {0};

    assert_true(caller_parse(&caller, "198.51.100.7") && caller_parse(&other, "198.51.100.8"));
    assert_int_equal(crowd(w, &all, "10.0.0.1"), PAIRS);
    for (size_t i = 0; i < 64; i++)
        assert_true(connection_count(all.c[i], &caller, &err));
    assert_false(connection_count(all.c[64], &caller, &err));
    assert_int_equal(err.code, ERR_RATE_LIMITED);
    assert_false(connections_admit(w->set, address("198.51.100.7"))); /* past the proxy he is still the same */
    assert_true(connection_count(all.c[64], &other, &err));
    connection_end(all.c[0]);
    assert_true(connection_count(all.c[65], &caller, &err));
    disperse(&all);
    assert_true(connections_admit(w->set, address("198.51.100.7")));
}

static int quiet(void **state)
{
    (void)state;
    log_setup(LOG_ERROR, LOG_TEXT);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_header_has_fifteen_seconds),
        TEST(it_is_the_whole_header_that_has_them),
        TEST(a_kept_connection_counts_from_its_last_answer),
        TEST(one_on_which_nothing_is_asked_is_closed_without_a_word),
        TEST(under_tls_no_word_is_said_past_it),
        TEST(without_a_limit_nobody_is_cut),
        TEST(a_body_comes_with_a_kibibyte_a_second),
        TEST(what_came_before_is_no_credit),
        TEST(the_time_that_is_ours_does_not_count),
        TEST(what_we_have_not_read_yet_is_no_delay_of_the_callers),
        TEST(an_address_has_so_many_connections),
        TEST(a_network_of_ipv6_is_one_address),
        TEST(behind_a_proxy_each_caller_has_so_many_requests),
    };

    return cmocka_run_group_tests_name("api/connections", tests, quiet, NULL);
}
