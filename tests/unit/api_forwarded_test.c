/* The caller behind front proxies: who is believed, how far, and what is refused rather than believed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "api/forwarded.h"

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

static struct caller peer(const char *address)
{
    struct caller c = caller_of(NULL);

    if (strcmp(address, "unix") != 0)
        assert_true(caller_parse(&c, address));
    return c;
}

static struct trust *trust_of(const char *const *words)
{
    char *list[8] = {NULL};
    struct trust *t;
    size_t n = 0;

    for (; words[n]; n++)
        list[n] = strdup(words[n]);
    t = trust_create(list);
    assert_non_null(t);
    while (n > 0)
        free(list[--n]);
    return t;
}

static void a_listed_address_or_network_is_trusted_and_no_other(void **state)
{
    static const struct {
        const char *word, *address;
        bool trusted;
    } rows[] = {
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.7", "192.0.2.8", false},
        {"192.0.2.7", "::ffff:192.0.2.7", true},
        {"192.0.2.0/24", "192.0.2.255", true},
        {"192.0.2.0/24", "192.0.3.0", false},
        {"192.0.2.128/25", "192.0.2.127", false},
        {"192.0.2.128/25", "192.0.2.128", true},
        {"0.0.0.0/0", "203.0.113.1", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"2001:db8::/32", "2001:db8:ffff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"2001:db8::/32", "2001:db9::1", false},
        {"::/0", "192.0.2.1", true},
        {"::1", "::1", true},
        {"::1", "unix", false},
        {"127.0.0.0/8", "unix", false},
        {"unix", "unix", true},
        {"unix", "::1", false},
        {"unix", "127.0.0.1", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct trust *t = trust_of((const char *const[]){"198.51.100.1", rows[i].word, NULL});
        struct caller c = peer(rows[i].address);

        if (trust_has(t, &c) != rows[i].trusted)
            fail_msg("%s in %s", rows[i].address, rows[i].word);
        trust_destroy(&t);
    }
}

static void nobody_is_trusted_by_default(void **state)
{
    struct trust *t = trust_create(NULL);
    struct forwarded said = {.x_for = {"192.0.2.1"}, .x_fors = 1};
    struct caller c = peer("127.0.0.1");
    char text[CALLER_TEXT];

    (void)state;
    assert_true(forwarded_caller(t, &said, &c, NULL));
    assert_string_equal(caller_text(&c, text), "127.0.0.1");
    trust_destroy(&t);
}

#define LONG8 "9.9.9.9,9.9.9.9,9.9.9.9,9.9.9.9,9.9.9.9,9.9.9.9,9.9.9.9,9.9.9.9,"

/* Proxies: 10.0.0.0/8, 2001:db8:1::/48 and the unix socket. want NULL: refused. */
static const struct row {
    const char *says, *from, *x_for, *standard, *want;
} rows[] = {
    {"nothing said", "10.0.0.1", NULL, NULL, "10.0.0.1"},
    {"one caller", "10.0.0.1", "203.0.113.5", NULL, "203.0.113.5"},
    {"over the unix socket", "unix", "203.0.113.5", NULL, "203.0.113.5"},
    {"the unix socket, nothing said", "unix", NULL, NULL, "unix"},
    {"from somebody else", "203.0.113.9", "198.51.100.1", "for=198.51.100.2", "203.0.113.9"},
    {"nonsense from somebody else", "203.0.113.9", "nonsense", "for=\"", "203.0.113.9"},
    {"what the caller invented stands left", "10.0.0.1", "127.0.0.1, 203.0.113.5", NULL, "203.0.113.5"},
    {"even when it is nonsense", "10.0.0.1", "<script>, 203.0.113.5", NULL, "203.0.113.5"},
    {"two proxies", "10.0.0.1", "6.6.6.6, 203.0.113.5, 10.0.0.2", NULL, "203.0.113.5"},
    {"proxies alone", "10.0.0.1", "10.0.0.3, 10.0.0.2", NULL, "10.0.0.3"},
    {"a caller who says he is a proxy", "10.0.0.1", "10.0.0.3, 203.0.113.5, 10.0.0.2", NULL, "203.0.113.5"},
    {"without spaces", "10.0.0.1", "203.0.113.5,10.0.0.2", NULL, "203.0.113.5"},
    {"with many", "10.0.0.1", " \t203.0.113.5 \t, \t10.0.0.2 ", NULL, "203.0.113.5"},
    {"empty elements", "10.0.0.1", ",, 203.0.113.5,,", NULL, "203.0.113.5"},
    {"nothing in it", "10.0.0.1", "", NULL, "10.0.0.1"},
    {"IPv6", "10.0.0.1", "2001:db8::5", NULL, "2001:db8::5"},
    {"IPv6 in brackets", "10.0.0.1", "[2001:db8::5]", NULL, "2001:db8::5"},
    {"IPv6 and a port", "10.0.0.1", "[2001:db8::5]:4711", NULL, "2001:db8::5"},
    {"IPv4 and a port", "10.0.0.1", "203.0.113.5:4711", NULL, "203.0.113.5"},
    {"IPv4 in IPv6", "10.0.0.1", "::ffff:203.0.113.5", NULL, "203.0.113.5"},
    {"an IPv6 proxy", "2001:db8:1::1", "203.0.113.5, 2001:db8:1::2", NULL, "203.0.113.5"},
    {"unknown", "10.0.0.1", "203.0.113.5, unknown", NULL, "10.0.0.1"},
    {"unknown to the proxy before", "10.0.0.1", "203.0.113.5, unknown, 10.0.0.2", NULL, "10.0.0.2"},
    {"nonsense where it is believed", "10.0.0.1", "203.0.113.5, nonsense", NULL, NULL},
    {"a name", "10.0.0.1", "evil.example", NULL, NULL},
    {"half an address", "10.0.0.1", "203.0.113", NULL, NULL},
    {"a short form", "10.0.0.1", "127.1", NULL, NULL},
    {"octal", "10.0.0.1", "0177.0.0.1", NULL, NULL},
    {"an open bracket", "10.0.0.1", "[2001:db8::5", NULL, NULL},
    {"IPv4 in brackets", "10.0.0.1", "[203.0.113.5]", NULL, NULL},
    {"behind the bracket", "10.0.0.1", "[2001:db8::5]x", NULL, NULL},
    {"a port that is none", "10.0.0.1", "203.0.113.5:x", NULL, NULL},
    {"no port behind the colon", "10.0.0.1", "203.0.113.5:", NULL, NULL},
    {"an interface", "10.0.0.1", "fe80::1%eth0", NULL, NULL},
    {"quotes", "10.0.0.1", "\"203.0.113.5\"", NULL, NULL},
    {"two words", "10.0.0.1", "203.0.113.5 203.0.113.6", NULL, NULL},
    {"thirty-two", "10.0.0.1", LONG8 LONG8 LONG8 LONG8, NULL, "9.9.9.9"},
    {"thirty-three", "10.0.0.1", LONG8 LONG8 LONG8 LONG8 "9.9.9.9", NULL, NULL},

    {"RFC 7239", "10.0.0.1", NULL, "for=203.0.113.5", "203.0.113.5"},
    {"in any case", "10.0.0.1", NULL, "For=\"203.0.113.5\"", "203.0.113.5"},
    {"among others", "10.0.0.1", NULL, "proto=https;for=203.0.113.5;by=10.0.0.1;host=\"a,b;c=d\"", "203.0.113.5"},
    {"IPv6, quoted", "10.0.0.1", NULL, "for=\"[2001:db8::5]:4711\"", "2001:db8::5"},
    {"IPv6 that should be quoted", "10.0.0.1", NULL, "for=[2001:db8::5]:4711", "2001:db8::5"},
    {"several", "10.0.0.1", NULL, "for=6.6.6.6, for=203.0.113.5;proto=http , for=10.0.0.2", "203.0.113.5"},
    {"an unknown one", "10.0.0.1", NULL, "for=203.0.113.5, for=unknown", "10.0.0.1"},
    {"a hidden one", "10.0.0.1", NULL, "for=203.0.113.5, for=\"_secret\"", "10.0.0.1"},
    {"a hidden port", "10.0.0.1", NULL, "for=\"203.0.113.5:_p\"", "203.0.113.5"},
    {"none named", "10.0.0.1", NULL, "for=203.0.113.5, proto=https", "10.0.0.1"},
    {"a quote left open by the caller", "10.0.0.1", NULL, "for=\"6.6.6.6, for=203.0.113.5", NULL},
    {"and closed by the proxy's own", "10.0.0.1", NULL, "for=\"6.6.6.6, for=\"[2001:db8::5]\"", NULL},
    {"an escape before the proxy's comma", "10.0.0.1", NULL, "for=\"6.6.6.6\\, for=203.0.113.5", NULL},
    {"an escape in an address", "10.0.0.1", NULL, "for=\"203.0.113\\.5\"", NULL},
    {"no value", "10.0.0.1", NULL, "for=", NULL},
    {"no name", "10.0.0.1", NULL, "=203.0.113.5", NULL},
    {"no pair", "10.0.0.1", NULL, "203.0.113.5", NULL},
    {"two in one", "10.0.0.1", NULL, "for=203.0.113.5;for=6.6.6.6", NULL},
    {"a semicolon at the end", "10.0.0.1", NULL, "for=203.0.113.5;", NULL},
    {"two values", "10.0.0.1", NULL, "for=203.0.113.5 for=6.6.6.6", NULL},
    {"a name for an address", "10.0.0.1", NULL, "for=evil.example", NULL},
    {"nonsense to the left is nonsense", "10.0.0.1", NULL, "\"\", for=203.0.113.5", NULL},

    {"both, and the same", "10.0.0.1", "203.0.113.5", "for=203.0.113.5", "203.0.113.5"},
    {"both, at different length", "10.0.0.1", "6.6.6.6, 203.0.113.5", "for=203.0.113.5", "203.0.113.5"},
    {"one written by the proxy, one passed on", "10.0.0.1", "203.0.113.5", "for=6.6.6.6", NULL},
    {"the other way round", "10.0.0.1", "6.6.6.6", "for=203.0.113.5", NULL},
    {"one of them empty", "10.0.0.1", "203.0.113.5", "", NULL},
};

static void the_first_that_is_not_trusted_is_the_caller(void **state)
{
    struct trust *t = trust_of((const char *const[]){"10.0.0.0/8", "2001:db8:1::/48", "unix", NULL});

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct row *r = &rows[i];
        char *x_for = r->x_for ? strdup(r->x_for) : NULL, *standard = r->standard ? strdup(r->standard) : NULL;
        struct forwarded said = {.x_for = {x_for},
                                 .x_fors = x_for != NULL, /* exact size, so that ASan sees */
                                 .standard = {standard},
                                 .standards = standard != NULL};
        struct caller c = peer(r->from);
        char text[CALLER_TEXT];
        struct error err = {0};
        bool ok = forwarded_caller(t, &said, &c, &err);

        if (ok != (r->want != NULL) || (ok && strcmp(caller_text(&c, text), r->want) != 0))
            fail_msg("%s: %s", r->says, ok ? text : err.text);
        if (!ok)
            assert_int_equal(err.code, ERR_REQUEST_MALFORMED);
        free(x_for);
        free(standard);
    }
    trust_destroy(&t);
}

static void lines_are_one_list(void **state)
{
    struct trust *t = trust_of((const char *const[]){"10.0.0.0/8", NULL});
    struct forwarded said = {.x_for = {"6.6.6.6", "203.0.113.5, 10.0.0.3", "10.0.0.2"}, .x_fors = 3};
    struct caller c = peer("10.0.0.1");
    struct error err = {0};
    char text[CALLER_TEXT];

    (void)state;
    assert_true(forwarded_caller(t, &said, &c, &err));
    assert_string_equal(caller_text(&c, text), "203.0.113.5");
    c = peer("10.0.0.1");
    said.x_fors = FORWARDED_LINES + 1; /* of which only so many were kept */
    assert_false(forwarded_caller(t, &said, &c, &err));
    said = (struct forwarded){.standard = {"for=\"6.6.6.6", "for=203.0.113.5\""}, .standards = 2};
    assert_false(forwarded_caller(t, &said, &c, &err)); /* no quote goes on over a line's end */
    trust_destroy(&t);
}

static void a_sentence_shows_no_more_than_it_should(void **state)
{
    struct trust *t = trust_of((const char *const[]){"10.0.0.0/8", NULL});
    char word[3000];
    struct forwarded said = {.x_for = {word}, .x_fors = 1};
    struct caller c = peer("10.0.0.1");
    struct error err = {0};

    (void)state;
    memset(word, '\xff', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    assert_false(forwarded_caller(t, &said, &c, &err));
    assert_null(strchr(err.text, '\xff'));
    assert_non_null(strstr(err.text, "X-Forwarded-For is no address"));
    trust_destroy(&t);
}

static void one_caller_has_one_network(void **state)
{
    static const struct {
        const char *one, *other;
        bool same;
    } pairs[] = {
        {"192.0.2.1", "192.0.2.1", true},          {"192.0.2.1", "::ffff:192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},         {"2001:db8::1", "2001:db8::ffff:0:1", true},
        {"2001:db8::1", "2001:db8:0:1::1", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(pairs); i++) {
        struct caller one = peer(pairs[i].one), other = peer(pairs[i].other);
        struct in6_addr a = caller_network(&one), b = caller_network(&other);

        if ((memcmp(&a, &b, sizeof a) == 0) != pairs[i].same)
            fail_msg("%s and %s", pairs[i].one, pairs[i].other);
    }
}

static void the_unix_socket_counts_as_loopback(void **state)
{
    const struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct caller c = caller_of((const struct sockaddr *)&local);
    char text[CALLER_TEXT];

    (void)state;
    assert_true(c.local && caller_is_loopback(&c));
    assert_string_equal(caller_text(&c, text), "unix");
    c = peer("127.9.9.9");
    assert_true(!c.local && caller_is_loopback(&c));
    c = peer("203.0.113.5");
    assert_false(caller_is_loopback(&c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listed_address_or_network_is_trusted_and_no_other),
        cmocka_unit_test(nobody_is_trusted_by_default),
        cmocka_unit_test(the_first_that_is_not_trusted_is_the_caller),
        cmocka_unit_test(lines_are_one_list),
        cmocka_unit_test(a_sentence_shows_no_more_than_it_should),
        cmocka_unit_test(one_caller_has_one_network),
        cmocka_unit_test(the_unix_socket_counts_as_loopback),
    };

    return cmocka_run_group_tests_name("api/forwarded", tests, NULL, NULL);
}
