/* Targets are split as they were sent and decoded after. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/target.h"

static void segments_are_split_before_they_are_decoded(void **state)
{
    static const struct {
        const char *raw;
        size_t segments;
        const char *last;
        bool slash;
    } rows[] = {
        {"/", 0, NULL, true},
        {"/v1", 1, "v1", false},
        {"/v1/", 1, "v1", true},
        {"/v1/to/ana@example.org%2Flaptop", 3, "ana@example.org/laptop", false},
        {"/v1/to/ana@example.org%2flaptop/a%20b.txt", 4, "a b.txt", false},
        {"/v1/..%2F..%2Fetc", 2, "../../etc", false},
        {"/v1/../etc", 3, "etc", false},
        {"/v1//x", 3, "x", false},
        {"/v1//", 2, "", true},
        {"/v1/a+b", 2, "a+b", false},
        {"/v1/%E2%82%AC", 2, "\xe2\x82\xac", false},
        {"/v1/\xe2\x82\xac", 2, "\xe2\x82\xac", false},
        {"http://gw.example:8080/v1/xmpp", 2, "xmpp", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error err = {0};
        struct target t;

        if (!target_parse(&t, rows[i].raw, &err))
            fail_msg("%s: %s", rows[i].raw, err.text);
        if (t.segments != rows[i].segments || t.slash != rows[i].slash)
            fail_msg("%s: %zu segments, slash %d", rows[i].raw, t.segments, t.slash);
        if (rows[i].last)
            assert_string_equal(t.segment[t.segments - 1], rows[i].last);
        target_free(&t);
    }
}

static void what_is_no_target_is_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "*",
        "v1",
        "/v1/a b",
        "/v1/\x01",
        "/v1/\x7f",
        "/v1#x",
        "/v1/a%2",
        "/v1/a%zz",
        "/v1/%",
        "/v1/a%00b",
        "/v1?q=a%00b",
        "/v1?q=%g0",
        "https://gw/v1",
        "http://",
        "http://gw?x",
        "/v1?1&2&3&4&5&6&7&8&9&10&11&12&13&14&15&16&17&18&19&20&21&22&23&24&25",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error err = {0};
        struct target t;

        if (target_parse(&t, rows[i], &err))
            fail_msg("'%s' was taken", rows[i]);
        assert_int_equal(err.code, ERR_REQUEST_MALFORMED);
    }
}

static void a_query_is_split_and_left_as_it_is(void **state)
{
    struct target t;

    (void)state;
    assert_true(target_parse(&t, "/v1?a=1&&b&c==x%26y&d=?", NULL));
    assert_int_equal(t.params, 4);
    assert_memory_equal(t.param[0].value.at, "1", 1);
    assert_int_equal(t.param[1].value.len, 0);
    assert_int_equal(t.param[2].value.len, 6);
    assert_memory_equal(t.param[2].value.at, "=x%26y", 6);
    assert_memory_equal(t.param[3].value.at, "?", 1);
    target_free(&t);
}

static void an_absolute_target_names_its_authority(void **state)
{
    struct target t;

    (void)state;
    assert_true(target_parse(&t, "HTTP://gw.example:8080/v1", NULL));
    assert_int_equal(t.authority.len, strlen("gw.example:8080"));
    assert_memory_equal(t.authority.at, "gw.example:8080", t.authority.len);
    target_free(&t);
}

static void segments_beyond_any_route_are_only_counted(void **state)
{
    struct target t;

    (void)state;
    assert_true(target_parse(&t, "/1/2/3/4/5/6/7/8/9", NULL));
    assert_int_equal(t.segments, 9);
    assert_string_equal(t.segment[TARGET_SEGMENTS - 1], "6");
    target_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_are_split_before_they_are_decoded),
        cmocka_unit_test(what_is_no_target_is_refused),
        cmocka_unit_test(a_query_is_split_and_left_as_it_is),
        cmocka_unit_test(an_absolute_target_names_its_authority),
        cmocka_unit_test(segments_beyond_any_route_are_only_counted),
    };

    return cmocka_run_group_tests_name("api/target", tests, NULL, NULL);
}
