/* socks5/peer: when two addresses are the same one, and when they belong to one customer. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "socks5/peer.h"

static struct peer peer(const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(1)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(2)};

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return peer_of((struct sockaddr *)&v4);
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return peer_of((struct sockaddr *)&v6);
}

static void addresses_are_compared_in_one_form(void **state)
{
    static const struct {
        const char *a, *b;
        bool same, same_customer;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1", true, true},           {"192.0.2.1", "::ffff:192.0.2.1", true, true},
        {"192.0.2.1", "192.0.2.2", false, false},         {"2001:db8::1", "2001:db8::1", true, true},
        {"2001:db8::1", "2001:db8::ffff:1", false, true}, {"2001:db8:0:1::1", "2001:db8:0:2::1", false, false},
        {"192.0.2.1", "2001:db8::1", false, false},       {"::1", "127.0.0.1", false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct peer a = peer(rows[i].a), b = peer(rows[i].b);
        struct peer customer_a = peer_customer(&a), customer_b = peer_customer(&b);

        if (peer_same(&a, &b) != rows[i].same || peer_same(&customer_a, &customer_b) != rows[i].same_customer)
            fail_msg("%s and %s", rows[i].a, rows[i].b);
    }
}

static void addresses_read_as_people_write_them(void **state)
{
    static const char *const rows[] = {"192.0.2.1", "2001:db8::1", "::1"};
    char text[PEER_TEXT];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct peer p = peer(rows[i]);

        assert_string_equal(peer_text(&p, text), rows[i]);
    }
    assert_string_equal(peer_text(&(struct peer){peer("::ffff:192.0.2.1").address}, text), "192.0.2.1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_compared_in_one_form),
        cmocka_unit_test(addresses_read_as_people_write_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
