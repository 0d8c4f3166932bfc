#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "xmpp/ns.h"
#include "xmpp/stanza.h"

static xmpp_ctx_t *ctx;

static void assert_text(xmpp_stanza_t *s, const char *want)
{
    char *text;
    size_t len;

    assert_non_null(s);
    assert_int_equal(xmpp_stanza_to_text(s, &text, &len), XMPP_EOK);
    assert_string_equal(text, want);
    xmpp_free(ctx, text);
    xmpp_stanza_release(s);
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void a_child_is_found_by_name_and_namespace(void **state)
{
    xmpp_stanza_t *s = xmpp_stanza_new_from_string(
        ctx, "<iq>text<a xmlns='urn:1' n='1'/><b xmlns='urn:1' n='2'/>more<a xmlns='urn:2' n='3'/></iq>");
    static const struct {
        const char *says, *name, *ns, *first, *second;
    } rows[] = {
        {"any", NULL, NULL, "1", "2"},        {"by name", "a", NULL, "1", "3"}, {"by ns", NULL, "urn:1", "1", "2"},
        {"by both", "a", "urn:2", "3", NULL}, {"none", "c", NULL, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        xmpp_stanza_t *first = stanza_child(s, rows[i].name, rows[i].ns);
        xmpp_stanza_t *second = stanza_next(first, rows[i].name, rows[i].ns);

        if (!same(stanza_attr(first, "n"), rows[i].first) || !same(stanza_attr(second, "n"), rows[i].second))
            fail_msg("%s: found another child", rows[i].says);
    }
    xmpp_stanza_release(s);
}

static void a_child_is_found_by_an_attribute(void **state)
{
    xmpp_stanza_t *s = xmpp_stanza_new_from_string(ctx, "<x><a/><b v='1' n='b'/>text<a v='2' n='a'/><a v='2'/></x>");

    (void)state;
    assert_string_equal(stanza_attr(stanza_with(s, "a", "v", "2"), "n"), "a");
    assert_null(stanza_with(s, "a", "v", "1"));
    assert_null(stanza_with(s, "a", "w", "2"));
    xmpp_stanza_release(s);
}

static void nothing_is_found_in_nothing(void **state)
{
    char text[8] = "before";

    (void)state;
    assert_null(stanza_child(NULL, "a", NULL));
    assert_null(stanza_next(NULL, "a", NULL));
    assert_null(stanza_with(NULL, "a", "v", "1"));
    assert_null(stanza_attr(NULL, "a"));
    assert_string_equal(stanza_text(NULL, text, sizeof(text)), "");
}

static void an_attribute_over_4_kib_is_absent(void **state)
{
    char value[4098];
    xmpp_stanza_t *s = stanza_new(ctx, "a", NULL);

    (void)state;
    memset(value, 'x', sizeof(value));
    value[4096] = '\0';
    s = stanza_set(s, "v", value);
    assert_non_null(stanza_attr(s, "v"));
    value[4096] = 'x';
    value[4097] = '\0';
    s = stanza_set(s, "v", value);
    assert_null(stanza_attr(s, "v"));
    assert_null(stanza_attr(s, "other"));
    xmpp_stanza_release(s);
}

static void text_is_joined_and_cut_between_characters(void **state)
{
    xmpp_stanza_t *s = xmpp_stanza_new_from_string(ctx, "<a>a&lt;b<i>skipped</i>\xc3\xa4\xc3\xb6</a>");
    char all[32], cut[7];

    (void)state;
    assert_string_equal(stanza_text(s, all, sizeof(all)), "a<b\xc3\xa4\xc3\xb6");
    assert_string_equal(stanza_text(s, cut, sizeof(cut)), "a<b\xc3\xa4"); /* 7 bytes and the end do not fit */
    xmpp_stanza_release(s);
}

static void from_is_prepared(void **state)
{
    static const struct {
        const char *xml, *want;
    } rows[] = {
        {"<iq from='Ana@EXAMPLE.org/Desk'/>", "ana@example.org/Desk"},
        {"<iq from='example.org'/>", "example.org"},
        {"<iq from='@example.org'/>", NULL},
        {"<iq/>", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        xmpp_stanza_t *s = xmpp_stanza_new_from_string(ctx, rows[i].xml);
        struct jid from;

        assert_int_equal(stanza_from(s, &from), rows[i].want != NULL);
        if (rows[i].want)
            assert_string_equal(from.text, rows[i].want);
        xmpp_stanza_release(s);
    }
}

static void a_chain_builds_a_stanza(void **state)
{
    xmpp_stanza_t *query = stanza_set(stanza_new(ctx, "query", NS_BYTESTREAMS), "sid", "a&b");

    (void)state;
    query = stanza_set(query, "mode", NULL); /* left out */
    query = stanza_add(query, stanza_add_text(ctx, stanza_new(ctx, "activate", NULL), "x<y"));
    assert_text(stanza_iq(ctx, "set", query), "<iq type=\"set\"><query sid=\"a&amp;b\" "
                                              "xmlns=\"http://jabber.org/protocol/bytestreams\"><activate>x&lt;y"
                                              "</activate></query></iq>");
}

/* One control character would make the server end the whole stream; leaks are ASan's to find. */
static void text_that_is_not_xml_spoils_the_whole_chain(void **state)
{
    static const char *const bad[] = {"a\x01z", "\xff\xfe", "\xed\xa0\x80"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        xmpp_stanza_t *child = stanza_set(stanza_new(ctx, "query", NULL), "sid", bad[i]);

        assert_null(child);
        assert_null(stanza_iq(ctx, "set", child));
        assert_null(stanza_add_text(ctx, stanza_new(ctx, "a", NULL), bad[i]));
    }
    assert_null(stanza_add(NULL, stanza_new(ctx, "a", NULL)));
    assert_null(stanza_add_text(ctx, stanza_new(ctx, "a", NULL), NULL));
    assert_null(stanza_set(NULL, "a", "b"));
}

/* What we build is found again by what we look with. */
static void the_parser_drops_prefixes_of_attributes(void **state)
{
    xmpp_stanza_t *s = xmpp_stanza_new_from_string(ctx, "<identity xml:lang='en'/>");

    (void)state;
    assert_string_equal(stanza_attr(s, "lang"), "en"); /* caps.c relies on it */
    xmpp_stanza_release(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_is_found_by_name_and_namespace),
        cmocka_unit_test(a_child_is_found_by_an_attribute),
        cmocka_unit_test(nothing_is_found_in_nothing),
        cmocka_unit_test(an_attribute_over_4_kib_is_absent),
        cmocka_unit_test(text_is_joined_and_cut_between_characters),
        cmocka_unit_test(from_is_prepared),
        cmocka_unit_test(a_chain_builds_a_stanza),
        cmocka_unit_test(text_that_is_not_xml_spoils_the_whole_chain),
        cmocka_unit_test(the_parser_drops_prefixes_of_attributes),
    };
    int rc;

    xmpp_initialize();
    ctx = xmpp_ctx_new(NULL, NULL);
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    xmpp_ctx_free(ctx);
    xmpp_shutdown();
    return rc;
}
