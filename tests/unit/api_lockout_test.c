/* Ten wrong tokens within a minute shut the door for a network, and for no other. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>

#include <cmocka.h>

#include "api/lockout.h"
#include "base/clock.h"

static int set_up(void **state)
{
    clock_fake(0, 0);
    *state = lockout_create();
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    struct lockout *l = *state;

    lockout_destroy(&l);
    assert_null(l);
    clock_real();
    return 0;
}

static const struct sockaddr *address(const char *text)
{
    static union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } a;

    memset(&a, 0, sizeof a);
    a.any.sa_family = strchr(text, ':') ? AF_INET6 : AF_INET;
    assert_int_equal(inet_pton(a.any.sa_family, text,
                               a.any.sa_family == AF_INET6 ? (void *)&a.v6.sin6_addr : (void *)&a.v4.sin_addr),
                     1);
    return &a.any;
}

static void fail_ten_times(struct lockout *l, const char *from)
{
    for (int i = 0; i < 10; i++) {
        assert_int_equal(lockout_left(l, address(from), true), 0);
        lockout_failed(l, address(from));
    }
}

static void the_tenth_shuts_for_the_rest_of_the_minute(void **state)
{
    struct lockout *l = *state;

    fail_ten_times(l, "192.0.2.1");
    assert_int_equal(lockout_left(l, address("192.0.2.1"), true), 61);
    assert_int_equal(lockout_left(l, address("192.0.2.1"), false), 61); /* right tokens too */
    clock_advance(59999);
    assert_int_equal(lockout_left(l, address("192.0.2.1"), false), 1);
    clock_advance(1);
    assert_int_equal(lockout_left(l, address("192.0.2.1"), true), 0);
    fail_ten_times(l, "192.0.2.1"); /* and from the front */
    assert_true(lockout_left(l, address("192.0.2.1"), true) > 0);
}

static void nine_a_minute_are_nobody(void **state)
{
    struct lockout *l = *state;

    for (int i = 0; i < 100; i++) {
        lockout_failed(l, address("192.0.2.1"));
        assert_int_equal(lockout_left(l, address("192.0.2.1"), true), 0);
        if (i % 9 == 8)
            clock_advance(60000);
    }
}

static void a_network_is_an_ipv4_address_or_an_ipv6_slash_64(void **state)
{
    static const struct {
        const char *guesser, *other;
        bool same;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"192.0.2.1", "::ffff:192.0.2.1", true},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
        {"2001:db8:0:1::1", "2001:db8:0:1:ffff::7", true},
        {"2001:db8:0:1::1", "2001:db8:0:2::1", false},
        {"2001:db8:0:1::1", "192.0.2.1", false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lockout *l = *state;

        fail_ten_times(l, rows[i].guesser);
        if ((lockout_left(l, address(rows[i].other), false) > 0) != rows[i].same)
            fail_msg("%s, %s", rows[i].guesser, rows[i].other);
        clock_advance(60000);
    }
}

static void loopback_may_be_everybody(void **state)
{
    static const char *const rows[] = {"127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"};
    struct lockout *l = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fail_ten_times(l, rows[i]);
        assert_true(lockout_left(l, address(rows[i]), true) > 0);
        assert_int_equal(lockout_left(l, address(rows[i]), false), 0);
        clock_advance(60000);
    }
    assert_int_equal(lockout_left(l, NULL, true), 0);
    lockout_failed(l, NULL);
}

static void very_many_networks_push_out_the_oldest_alone(void **state)
{
    struct lockout *l = *state;
    char text[32];

    for (unsigned i = 0; i < 20000; i++) {
        snprintf(text, sizeof text, "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
        lockout_failed(l, address(text));
        clock_advance(1);
    }
    fail_ten_times(l, "192.0.2.1");
    assert_true(lockout_left(l, address("192.0.2.1"), true) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_tenth_shuts_for_the_rest_of_the_minute, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nine_a_minute_are_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_network_is_an_ipv4_address_or_an_ipv6_slash_64, set_up, tear_down),
        cmocka_unit_test_setup_teardown(loopback_may_be_everybody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(very_many_networks_push_out_the_oldest_alone, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("api/lockout", tests, NULL, NULL);
}
