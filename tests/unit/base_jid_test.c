/* base/jid: addresses as servers prepare them (RFC 6122, RFC 3491, RFC 3920 appendices A and B), and what is none. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/jid.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* Parses an exact-size copy, so that the address sanitizer sees one byte too many. */
static bool parse(struct jid *j, const char *text, size_t len, struct error *err)
{
    char *copy = malloc(len > 0 ? len : 1);
    bool ok;

    assert_non_null(copy);
    memcpy(copy, text, len);
    ok = jid_parse(j, copy, len, err);
    free(copy);
    return ok;
}

/* Characters that need no preparing are not prepared. With a soft hyphen, which every profile drops, all are. */
static void a_plain_part_reads_as_it_would_prepared(void **state)
{
    static const struct {
        const char *before, *after;
    } forms[] = {{"", "y@b"},   {"x", "y@b"},  {"x", "@b"},    {"a@", "y"},  {"a@x", "y.z"},
                 {"a@z.x", ""}, {"a@b/", "y"}, {"a@b/x", "y"}, {"a@b/x", ""}};

    (void)state;
    for (size_t i = 0; i < COUNT(forms); i++) {
        for (int c = 1; c < 0x80; c++) {
            char plain[32], prepared[32];
            struct jid a, b;
            bool ok;

            snprintf(plain, sizeof plain, "%s%c%s", forms[i].before, c, forms[i].after);
            snprintf(prepared, sizeof prepared, "%s\xc2\xad%c%s", forms[i].before, c, forms[i].after);
            ok = jid_parse(&a, plain, strlen(plain), NULL);
            if (ok != jid_parse(&b, prepared, strlen(prepared), NULL) || (ok && !jid_equal(&a, &b)))
                fail_msg("'%s' reads '%s', but '%s' prepared", plain, ok ? a.text : "-", b.text);
        }
    }
}

static void an_address_is_prepared(void **state)
{
    static const struct {
        const char *says, *in, *want;
    } rows[] = {
        {"already prepared", "requester@example.com/foo", "requester@example.com/foo"},
        {"a domain alone", "example.org", "example.org"},
        {"a domain of one label", "localhost", "localhost"},
        {"a service with a resource", "proxy.example.org/node1", "proxy.example.org/node1"},
        {"case of local part and domain", "ROMeo@Example.ORG", "romeo@example.org"},
        {"case of a resource stays", "a@b/Phone", "a@b/Phone"},
        {"sharp s folds",
         "stra\xc3\x9f"
         "e@b",
         "strasse@b"},
        {"full-width letters", "\xef\xbc\xa1na@b", "ana@b"},
        {"a soft hyphen goes",
         "a\xc2\xad"
         "b@c",
         "ab@c"},
        {"a Roman numeral in a resource", "a@b/Balcony \xe2\x85\xa7", "a@b/Balcony VIII"},
        {"combining marks compose", "e\xcc\x81@b", "\xc3\xa9@b"},
        {"an emoji resource", "a@b/\xf0\x9f\x98\x80", "a@b/\xf0\x9f\x98\x80"},
        {"an emoji local part", "\xf0\x9f\x98\x80@b", "\xf0\x9f\x98\x80@b"},
        {"an international domain",
         "a@B\xc3\x9c"
         "CHER.example",
         "a@b\xc3\xbc"
         "cher.example"},
        {"an encoded domain stays encoded", "a@xn--bcher-kva.example", "a@xn--bcher-kva.example"},
        {"ideographic dots",
         "a@b\xe3\x80\x82"
         "c\xef\xbc\x8e"
         "d\xef\xbd\xa1"
         "e",
         "a@b.c.d.e"},
        {"one dot at the end goes", "a@example.org./r", "a@example.org/r"},
        {"one ideographic dot at the end goes", "a@b\xe3\x80\x82", "a@b"},
        {"IPv4", "a@127.0.0.1/r", "a@127.0.0.1/r"},
        {"IPv6, in its one spelling", "a@[2001:DB8:0:0::1]/r", "a@[2001:db8::1]/r"},
        {"IPv6 that grows when spelt right", "[::FFFF:7f00:1]", "[::ffff:127.0.0.1]"},
        {"a resource like an address", "victim.org/a@evil.org", "victim.org/a@evil.org"},
        {"a resource with a slash", "a@b/c/d", "a@b/c/d"},
        {"a resource with spaces", "a@b/my phone", "a@b/my phone"},
        {"XEP-0106 escapes are letters", "a\\20b@c", "a\\20b@c"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = {0};
        struct jid j, again;

        if (!parse(&j, rows[i].in, strlen(rows[i].in), &err))
            fail_msg("%s: %s", rows[i].says, err.text);
        if (strcmp(j.text, rows[i].want) != 0)
            fail_msg("%s: '%s'", rows[i].says, j.text);
        assert_true(parse(&again, j.text, strlen(j.text), &err)); /* preparing twice changes nothing */
        assert_true(jid_equal(&j, &again));
    }
}

static void what_is_no_address_is_refused(void **state)
{
    static const struct {
        const char *says, *in;
        size_t len;
        const char *why;
    } rows[] = {
        {"empty", "", 0, "the address is empty"},
        {"two at signs", "@@", 2, "local part of the address is empty"},
        {"no local part", "@b", 2, "local part of the address is empty"},
        {"no domain", "a@", 2, "domain of the address is empty"},
        {"no domain before a resource", "a@/r", 4, "domain of the address is empty"},
        {"a slash alone", "/", 1, "resource of the address is empty"},
        {"a resource alone", "/r", 2, "domain of the address is empty"},
        {"an empty resource", "a@b/", 4, "resource of the address is empty"},
        {"a second at sign", "a@b@c", 5, "neither a host name"},
        {"a space in the local part", "a b@c", 5, "not allowed"},
        {"a quote in the local part", "a\"b@c", 5, "not allowed"},
        {"a full-width at sign",
         "a\xef\xbc\xa0"
         "b@c",
         7, "not allowed"},
        {"a zero-width local part", "\xe2\x80\x8b@b", 5, "local part of the address is empty once prepared"},
        {"a zero-width resource", "a@b/\xe2\x80\x8b", 7, "resource of the address is empty once prepared"},
        {"a zero-width domain", "a@\xe2\x80\x8b", 5, "domain"},
        {"a zero-width label", "a@b.\xe2\x80\x8b.c", 9, "domain"},
        {"mixed reading directions",
         "\xd8\xa7"
         "1@b",
         5, "not allowed"},
        {"NUL", "a\0b@c", 5, "control characters"},
        {"a control character", "a\x01@b", 4, "control characters"},
        {"a tab in the resource", "a@b/c\td", 7, "not allowed"},
        {"a line end in the resource", "a@b/c\nd", 7, "not allowed"},
        {"a bidi override in the resource", "a@b/\xe2\x80\xae", 7, "not allowed"},
        {"broken UTF-8", "a\xff@b", 4, "UTF-8"},
        {"a surrogate in the resource", "a@b/\xed\xa0\x80", 7, "UTF-8"},
        {"a space in the domain", "ex ample.com", 12, "neither a host name"},
        {"an underscore in the domain", "a_b.com", 7, "neither a host name"},
        {"punctuation in the domain", "a@b!.com", 8, "neither a host name"},
        {"a hyphen in front", "a@-b.com", 8, "neither a host name"},
        {"a hyphen behind", "a@b-.com", 8, "neither a host name"},
        {"an empty label", "a@b..c", 6, "empty label"},
        {"a leading dot", "a@.b", 4, "empty label"},
        {"a dot alone", "a@.", 3, "empty label"},
        {"two dots behind", "a@b..", 5, "empty label"},
        {"two kinds of dots behind", "a@b.\xe3\x80\x82", 7, "empty label"},
        {"a character that hides dots",
         "a@b\xe2\x80\xa5"
         "c",
         7, "neither a host name"},
        {"a slash in disguise",
         "a@b\xef\xbc\x8f"
         "c",
         7, "neither a host name"},
        {"a port", "a@b.com:5222", 12, "neither a host name"},
        {"an open bracket", "a@[::1", 6, "neither a host name"},
        {"a bracket alone", "a@[", 3, "neither a host name"},
        {"empty brackets", "a@[]", 4, "neither a host name"},
        {"IPv6 without brackets", "a@::1", 5, "neither a host name"},
        {"IPv6 with a zone", "a@[fe80::1%eth0]", 16, "neither a host name"},
        {"IPv4 in brackets", "a@[127.0.0.1]", 13, "neither a host name"},
        {"a label of 64 letters", "a@xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 66,
         "neither a host name"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = {0};
        struct jid j;

        if (parse(&j, rows[i].in, rows[i].len, &err))
            fail_msg("%s: taken as '%s'", rows[i].says, j.text);
        assert_int_equal(err.code, ERR_JID_INVALID);
        if (!strstr(err.text, rows[i].why))
            fail_msg("%s: %s", rows[i].says, err.text);
        assert_string_equal(j.text, "");
    }
}

/* The limits of RFC 6122 section 2.1: 1023 bytes a part. */
static void each_part_has_at_most_1023_bytes(void **state)
{
    static char text[JID_MAX + 10];
    struct jid j;
    struct error err;

    (void)state;
    memset(text, 'x', 1023);
    memcpy(text + 1023, "@b", 3);
    assert_true(parse(&j, text, 1025, &err));
    assert_int_equal(j.local, 1023);
    memset(text, 'x', 1024);
    memcpy(text + 1024, "@b", 3);
    assert_false(parse(&j, text, 1026, &err));
    assert_non_null(strstr(err.text, "more than 1023"));

    memcpy(text, "a@b/", 4);
    memset(text + 4, 'x', 1024);
    assert_true(parse(&j, text, 4 + 1023, &err));
    assert_false(parse(&j, text, 4 + 1024, &err));

    for (size_t i = 0; i < 1024; i++)
        text[i] = i % 64 == 63 ? '.' : 'x';
    assert_true(parse(&j, text, 1023, &err));
    assert_false(parse(&j, text, 1025, &err));
}

static void the_longest_address_fits(void **state)
{
    static char text[JID_MAX + 1];
    struct jid j;
    struct error err;

    (void)state;
    memset(text, 'x', sizeof(text));
    for (size_t i = 1024 + 63; i < 1024 + 1023; i += 64)
        text[i] = '.';
    text[1023] = '@';
    text[1024 + 1023] = '/';
    assert_true(parse(&j, text, JID_MAX, &err));
    assert_memory_equal(j.text, text, JID_MAX);
    assert_false(parse(&j, text, JID_MAX + 1, &err));
    assert_non_null(strstr(err.text, "3072 bytes, at most 3071")); /* told before anything is prepared */
}

/* U+FDFA has 3 bytes and becomes 33. */
static void the_limit_holds_after_preparing_too(void **state)
{
    char text[1100] = "a@b/";
    struct jid j;
    struct error err;

    (void)state;
    for (size_t i = 0; i < 340; i++)
        memcpy(text + 4 + 3 * i, "\xef\xb7\xba", 3);
    assert_true(parse(&j, text, 4 + 3 * 31, &err));
    assert_int_equal(strlen(jid_resource(&j)), 31 * 33);
    assert_false(parse(&j, text, 4 + 3 * 32, &err));
    assert_non_null(strstr(err.text, "once prepared"));
    assert_false(parse(&j, text, 4 + 3 * 340, &err));
}

static struct jid made(const char *text)
{
    struct jid j;
    struct error err;

    if (!jid_parse(&j, text, strlen(text), &err))
        fail_msg("%s: %s", text, err.text);
    return j;
}

static void the_parts_are_views_into_the_address(void **state)
{
    static const struct {
        const char *text, *local, *domain, *resource, *bare;
    } rows[] = {
        {"ana@example.org/desk", "ana", "example.org", "desk", "ana@example.org"},
        {"ana@example.org", "ana", "example.org", NULL, "ana@example.org"},
        {"example.org/desk", "", "example.org", "desk", "example.org"},
        {"example.org", "", "example.org", NULL, "example.org"},
        {"victim.org/a@evil.org", "", "victim.org", "a@evil.org", "victim.org"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct jid j = made(rows[i].text);
        char bare[JID_MAX + 1];
        size_t len;
        const char *domain = jid_domain(&j, &len);

        assert_int_equal(j.local, strlen(rows[i].local));
        assert_memory_equal(j.text, rows[i].local, j.local);
        assert_int_equal(len, strlen(rows[i].domain));
        assert_memory_equal(domain, rows[i].domain, len);
        assert_int_equal(j.full, rows[i].resource != NULL);
        if (rows[i].resource)
            assert_string_equal(jid_resource(&j), rows[i].resource);
        else
            assert_null(jid_resource(&j));
        jid_bare(&j, bare);
        assert_string_equal(bare, rows[i].bare);
    }
}

static void addresses_compare_as_prepared_bytes(void **state)
{
    struct jid desk = made("ana@example.org/desk");
    struct jid shout = made("ANA@EXAMPLE.ORG/desk");
    struct jid phone = made("ana@example.org/phone");
    struct jid upper = made("ana@example.org/Desk");
    struct jid bare = made("ana@example.org");
    struct jid longer = made("ana@example.org.uk");

    (void)state;
    assert_true(jid_equal(&desk, &shout));
    assert_false(jid_equal(&desk, &phone));
    assert_false(jid_equal(&desk, &upper)); /* resources know case */
    assert_false(jid_equal(&desk, &bare));
    assert_true(jid_same_bare(&desk, &phone));
    assert_true(jid_same_bare(&desk, &bare));
    assert_false(jid_same_bare(&bare, &longer));
}

static void a_resource_is_prepared_and_put_behind_the_bare_address(void **state)
{
    struct jid bare = made("ana@example.org");
    struct jid full = made("ana@example.org/very-long-resource");
    struct jid out;
    struct error err = {0};

    (void)state;
    assert_true(jid_with_resource(&out, &bare, "Balcony \xe2\x85\xa7", &err));
    assert_string_equal(out.text, "ana@example.org/Balcony VIII");
    assert_true(out.full);
    assert_true(jid_with_resource(&full, &full, "x", &err)); /* replaces, also in place */
    assert_string_equal(full.text, "ana@example.org/x");
    assert_false(jid_with_resource(&out, &bare, "", &err));
    assert_false(jid_with_resource(&out, &bare, "\xe2\x80\x8b", &err));
    assert_false(jid_with_resource(&out, &bare, "a\xff", &err));
    assert_false(jid_with_resource(&out, &bare, "a\x01", &err));
    assert_int_equal(err.code, ERR_JID_INVALID);
}

static void a_lasting_copy_is_no_longer_than_its_text(void **state)
{
    struct jid full = made("ana@example.org/desk"), *lasting = jid_dup(&full), again;

    (void)state;
    assert_non_null(lasting);
    assert_true(malloc_usable_size(lasting) < 100);
    assert_true(jid_equal(lasting, &full));
    assert_true(jid_same_bare(lasting, &full));
    assert_string_equal(jid_resource(lasting), "desk");
    jid_copy(&again, lasting);
    free(lasting);
    assert_true(jid_equal(&again, &full));
    assert_int_equal(again.local, 3);
    assert_true(again.full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lasting_copy_is_no_longer_than_its_text),
        cmocka_unit_test(an_address_is_prepared),
        cmocka_unit_test(a_plain_part_reads_as_it_would_prepared),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(each_part_has_at_most_1023_bytes),
        cmocka_unit_test(the_longest_address_fits),
        cmocka_unit_test(the_limit_holds_after_preparing_too),
        cmocka_unit_test(the_parts_are_views_into_the_address),
        cmocka_unit_test(addresses_compare_as_prepared_bytes),
        cmocka_unit_test(a_resource_is_prepared_and_put_behind_the_bare_address),
    };
    return cmocka_run_group_tests_name("base/jid", tests, NULL, NULL);
}
