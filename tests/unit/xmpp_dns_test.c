#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "xmpp/dns.h"

/* A response to the question _x._tcp.a: an alias first, then two services, whose targets point back into the question.
 */
static const uint8_t response[] = {
    0,    1,    0x81, 0x80, 0,   1,   0,   3,   0, 0,   0, 0,               /* header: one question, three answers */
    2,    '_',  'x',  4,    '_', 't', 'c', 'p', 1, 'a', 0, 0,  33,   0,  1, /* at 12; "a" is at 20 */
    0xc0, 12,   0,    5,    0,   1,   0,   0,   0, 9,   0, 2,  0xc0, 12,    /* CNAME, not ours */
    0xc0, 12,   0,    33,   0,   1,   0,   0,   0, 9,   0, 10, 0,    20, 0, 5, 0x14, 0x66, 1,
    's',  0xc0, 20,                                                                           /* 20 5 5222 s.a */
    0xc0, 12,   0,    33,   0,   1,   0,   0,   0, 9,   0, 7,  0,    10, 0, 0, 0x14, 0x67, 0, /* 10 0 5223 . */
};

static void services_are_read(void **state)
{
    struct dns_service s[4];

    (void)state;
    assert_int_equal(dns_read_services(response, sizeof(response), s, 4), 2);
    assert_int_equal(s[0].priority, 20);
    assert_int_equal(s[0].weight, 5);
    assert_int_equal(s[0].port, 5222);
    assert_string_equal(s[0].target, "s.a");
    assert_int_equal(s[1].priority, 10);
    assert_int_equal(s[1].port, 5223);
    assert_string_equal(s[1].target, "");
    assert_int_equal(dns_read_services(response, sizeof(response), s, 1), 1);
}

/* Cut anywhere: exact copies, so that the sanitizer sees one byte too many. */
static void a_cut_response_is_read_as_far_as_it_goes(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof(response); len++) {
        uint8_t *copy = malloc(len ? len : 1);
        struct dns_service s[4];
        size_t count;

        memcpy(copy, response, len);
        count = dns_read_services(copy, len, s, 4);
        if (count != (len >= sizeof(response) - 19 ? 1 : 0))
            fail_msg("%zu bytes: %zu services", len, count);
        free(copy);
    }
}

static void a_name_that_points_at_itself_ends_the_reading(void **state)
{
    uint8_t loop[sizeof(response)];
    struct dns_service s[4];

    (void)state;
    memcpy(loop, response, sizeof(loop));
    loop[59] = 0xc0; /* where the target of the first service begins */
    loop[60] = 59;
    assert_int_equal(dns_read_services(loop, sizeof(loop), s, 4), 0);
}

static void services_are_tried_by_priority(void **state)
{
    struct dns_service s[] = {{.priority = 20, .port = 3}, {.priority = 5, .port = 1}, {.priority = 10, .port = 2}};

    (void)state;
    dns_order_services(s, 3);
    for (uint16_t i = 0; i < 3; i++)
        assert_int_equal(s[i].port, i + 1);
    dns_order_services(s, 0);
}

/* RFC 2782: among equals at random, by weight; weight 0 is not excluded. */
static void equals_are_drawn_by_weight(void **state)
{
    enum { DRAWS = 2000 };
    unsigned first[4] = {0};

    (void)state;
    for (int i = 0; i < DRAWS; i++) {
        struct dns_service s[] = {{.priority = 1, .weight = 30, .port = 1},
                                  {.priority = 1, .weight = 10, .port = 2},
                                  {.priority = 2, .port = 3}};

        dns_order_services(s, 3);
        assert_int_equal(s[2].port, 3);
        first[s[0].port]++;
    }
    assert_in_range(first[1], DRAWS * 65 / 100, DRAWS * 85 / 100); /* 3 to 1; off by 10 standard deviations */
    assert_int_equal(first[1] + first[2], DRAWS);
}

static void on_answer(void *user, const struct dns_answer *answer)
{
    *(struct dns_answer *)user = *answer;
}

static struct dns_answer ask(const char *service, const char *host)
{
    struct dns_question question = {.service = service, .host = host, .port = 7};
    struct dns_answer answer = {0};
    uv_loop_t loop;

    uv_loop_init(&loop);
    assert_non_null(dns_ask(&loop, &question, on_answer, &answer));
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    return answer;
}

static void an_address_is_taken_as_it_is(void **state)
{
    static const struct {
        const char *host, *want;
        bool loopback;
    } rows[] = {
        {"127.0.0.1", "127.0.0.1", true},
        {"127.255.0.1", "127.255.0.1", true},
        {"192.0.2.1", "192.0.2.1", false},
        {"::1", "::1", true},
        {"[::1]", "::1", true},
        {"2001:db8::1", "2001:db8::1", false},
        {"::ffff:127.0.0.1", "::ffff:127.0.0.1", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct dns_answer a = ask("_xmpp-client._tcp", rows[i].host);

        if (a.count != 1 || strcmp(a.addresses[0].host, rows[i].want) != 0)
            fail_msg("%s: %zu, %s", rows[i].host, a.count, a.addresses[0].host);
        assert_int_equal(a.addresses[0].port, 7);
        assert_int_equal(a.addresses[0].loopback, rows[i].loopback);
    }
}

static void this_machine_has_a_name(void **state)
{
    struct dns_answer a = ask(NULL, "localhost");

    (void)state;
    assert_true(a.count >= 1);
    assert_true(a.addresses[0].loopback);
}

static void a_name_nobody_has_is_told(void **state)
{
    struct dns_answer a = ask(NULL, "no-such-host.invalid");

    (void)state;
    assert_int_equal(a.count, 0);
    assert_int_equal(a.error.code, ERR_REMOTE_SERVER_UNREACHABLE);
    assert_non_null(strstr(a.error.text, "no-such-host.invalid"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(services_are_read),
        cmocka_unit_test(a_cut_response_is_read_as_far_as_it_goes),
        cmocka_unit_test(a_name_that_points_at_itself_ends_the_reading),
        cmocka_unit_test(services_are_tried_by_priority),
        cmocka_unit_test(equals_are_drawn_by_weight),
        cmocka_unit_test(an_address_is_taken_as_it_is),
        cmocka_unit_test(this_machine_has_a_name),
        cmocka_unit_test(a_name_nobody_has_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
