/* gateway/config_values: how numbers, sizes, times, addresses, networks and lists are written. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "gateway/config_values.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static void counts_are_decimal_digits(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t want;
    } rows[] = {
        {"0", true, 0},
        {"42", true, 42},
        {"007", true, 7},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"99999999999999999999", false, 0},
        {"", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"0x10", false, 0},
        {"1e3", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t got = 0;

        if (value_count(rows[i].text, &got) != rows[i].ok || (rows[i].ok && got != rows[i].want))
            fail_msg("'%s': %llu", rows[i].text, (unsigned long long)got);
    }
}

static void sizes_grow_by_powers_of_1024(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t want;
    } rows[] = {
        {"0", true, 0},
        {"512", true, 512},
        {"1K", true, 1024},
        {"64M", true, 64ULL << 20},
        {"10G", true, 10ULL << 30},
        {"2T", true, 2ULL << 40},
        {"16777215T", true, 16777215ULL << 40},
        {"16777216T", false, 0}, /* 2^64 */
        {"64m", false, 0},
        {"64MB", false, 0},
        {"M", false, 0},
        {"1.5G", false, 0},
        {"64 M", false, 0},
        {"", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t got = 0;

        if (value_size(rows[i].text, &got) != rows[i].ok || (rows[i].ok && got != rows[i].want))
            fail_msg("'%s': %llu", rows[i].text, (unsigned long long)got);
    }
}

static void times_have_a_unit(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t want;
    } rows[] = {
        {"500ms", true, 500},
        {"30s", true, 30000},
        {"5m", true, 300000},
        {"1h", true, 3600000},
        {"7d", true, 604800000},
        {"0s", true, 0},
        {"30", false, 0}, /* seconds or milliseconds? */
        {"s", false, 0},
        {"1h30m", false, 0},
        {"30S", false, 0},
        {"-5s", false, 0},
        {"1w", false, 0},
        {"9223372036854775807ms", true, INT64_MAX},
        {"9223372036854775808ms", false, 0},
        {"106751991168d", false, 0},
        {"", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t got = 0;

        if (value_time(rows[i].text, &got) != rows[i].ok || (rows[i].ok && got != rows[i].want))
            fail_msg("'%s': %lld", rows[i].text, (long long)got);
    }
}

static void addresses_have_a_host_a_port_or_both(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        const char *host;
        int port;
    } rows[] = {
        {"127.0.0.1:8080", true, "127.0.0.1", 8080},
        {"localhost:0", true, "localhost", 0},
        {"gw.example.org", true, "gw.example.org", -1},
        {":5086", true, "", 5086},
        {"[::]:5086", true, "::", 5086},
        {"[2001:DB8:0::1]:80", true, "2001:db8::1", 80},
        {"[::1]", true, "::1", -1},
        {"2001:db8::0:1", true, "2001:db8::1", -1},
        {"x:65535", true, "x", 65535},
        {"x:65536", false, NULL, 0},
        {"x:", false, NULL, 0},
        {"x:80a", false, NULL, 0},
        {"x:-1", false, NULL, 0},
        {"", false, NULL, 0},
        {"[::1", false, NULL, 0},
        {"[::1]80", false, NULL, 0},
        {"[]:80", false, NULL, 0},
        {"[example.org]:80", false, NULL, 0},
        {"[127.0.0.1]:80", false, NULL, 0},
        {"::1:99999", false, NULL, 0},
        {"a:b:80", false, NULL, 0},
        {"http://x:80", false, NULL, 0},
        {"a_b:80", false, NULL, 0},
        {"a b", false, NULL, 0},
        {"[fe80::1%eth0]:80", false, NULL, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct value_address a;

        if (value_address(rows[i].text, &a) != rows[i].ok)
            fail_msg("'%s'", rows[i].text);
        if (rows[i].ok && (strcmp(a.host, rows[i].host) != 0 || a.port != rows[i].port))
            fail_msg("'%s': '%s' %d", rows[i].text, a.host, a.port);
    }
}

static void a_host_has_at_most_255_bytes(void **state)
{
    char text[300];
    struct value_address a;

    (void)state;
    memset(text, 'x', sizeof(text));
    text[255] = '\0';
    assert_true(value_address(text, &a));
    text[255] = 'x';
    text[256] = '\0';
    assert_false(value_address(text, &a));
}

static void loopback_is_what_only_this_machine_reaches(void **state)
{
    static const struct {
        const char *host;
        bool want;
    } rows[] = {
        {"127.0.0.1", true},
        {"127.255.0.9", true},
        {"::1", true},
        {"localhost", true},
        {"0.0.0.0", false},
        {"128.0.0.1", false},
        {"::", false},
        {"", false},
        {"::2", false},
        {"10.0.0.1", false},
        {"localhost.example.org", false},
        {"127.0.0.1.example.org", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (value_is_loopback(rows[i].host) != rows[i].want)
            fail_msg("'%s'", rows[i].host);
    }
}

static void networks_are_written_as_cidr(void **state)
{
    static const struct {
        const char *text;
        bool want;
    } rows[] = {
        {"10.0.0.0/8", true},
        {"192.0.2.1", true},
        {"0.0.0.0/0", true},
        {"10.0.0.1/32", true},
        {"2001:db8::/32", true},
        {"::1", true},
        {"::1/128", true},
        {"10.0.0.0/33", false},
        {"::1/129", false},
        {"10.0.0.0/", false},
        {"10.0.0.0/a", false},
        {"10.0.0/8", false},
        {"example.org/8", false},
        {"", false},
        {"/8", false},
        {"[::1]/64", false},
        {"10.0.0.0/-1", false},
        {"10.0.0.0/8/8", false},
        {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc/64", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (value_is_net(rows[i].text) != rows[i].want)
            fail_msg("'%s'", rows[i].text);
    }
}

static void lists_are_words_between_commas_and_spaces(void **state)
{
    static const struct {
        const char *text;
        const char *words[4];
    } rows[] = {
        {"", {NULL}},
        {" , ,", {NULL}},
        {"one", {"one"}},
        {"one,two", {"one", "two"}},
        {"one two", {"one", "two"}},
        {" one , two\tthree,", {"one", "two", "three"}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char **list = value_list(rows[i].text);
        size_t n = 0;

        assert_non_null(list);
        for (; rows[i].words[n]; n++) {
            assert_non_null(list[n]);
            assert_string_equal(list[n], rows[i].words[n]);
        }
        assert_null(list[n]);
        value_list_free(list);
    }
    value_list_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_decimal_digits),
        cmocka_unit_test(sizes_grow_by_powers_of_1024),
        cmocka_unit_test(times_have_a_unit),
        cmocka_unit_test(addresses_have_a_host_a_port_or_both),
        cmocka_unit_test(a_host_has_at_most_255_bytes),
        cmocka_unit_test(loopback_is_what_only_this_machine_reaches),
        cmocka_unit_test(networks_are_written_as_cidr),
        cmocka_unit_test(lists_are_words_between_commas_and_spaces),
    };
    return cmocka_run_group_tests_name("gateway/config_values", tests, NULL, NULL);
}
