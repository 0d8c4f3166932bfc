/* Header values with a grammar of their own. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/header.h"

static void preferences_are_read_and_others_ignored(void **state)
{
    static const struct {
        const char *value;
        bool async;
        int64_t wait_ms; /* -1: not given */
    } rows[] = {
        {"respond-async", true, -1},
        {"Respond-Async", true, -1},
        {"wait=10", false, 10000},
        {"wait=\"10\"", false, 10000},
        {"wait = 10 ; foo", false, 10000},
        {"respond-async, wait=10", true, 10000},
        {"foo=\"a,wait=3\", wait=5", false, 5000},
        {"wait=1, wait=2", false, 1000},
        {"wait=0", false, 0},
        {"wait", false, -1},
        {"wait=soon", false, -1},
        {"wait=-1", false, -1},
        {"wait=99999999999999999999", false, -1},
        {"wait=\"10", false, -1},
        {"", false, -1},
        {",,;=\"", false, -1},
        {"return=minimal", false, -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct prefer p = {0};

        prefer_read(&p, rows[i].value);
        if (p.async != rows[i].async || p.wait != (rows[i].wait_ms >= 0) || (p.wait && p.wait_ms != rows[i].wait_ms))
            fail_msg("'%s': async %d, wait %d, %lld ms", rows[i].value, p.async, p.wait, (long long)p.wait_ms);
    }
}

static void preferences_add_up_over_header_lines(void **state)
{
    struct prefer p = {0};

    (void)state;
    prefer_read(&p, "respond-async");
    prefer_read(&p, "wait=3");
    prefer_read(&p, "wait=4");
    assert_true(p.async);
    assert_int_equal(p.wait_ms, 3000);
}

static void the_extended_file_name_is_preferred(void **state)
{
    static const struct {
        const char *value, *name; /* NULL: none */
    } rows[] = {
        {"attachment; filename=report.pdf", "report.pdf"},
        {"attachment; filename=\"a \\\"b\\\".pdf\"", "a \"b\".pdf"},
        {"attachment;filename=\"a.txt\";filename*=UTF-8''%E2%82%AC.txt", "\xe2\x82\xac.txt"},
        {"attachment; filename*=utf-8'de'%c3%a4.txt; filename=a.txt", "\xc3\xa4.txt"},
        {"attachment; filename*=ISO-8859-1''%e4.txt; filename=a.txt", "a.txt"},
        {"attachment; filename*=UTF-8''%zz; filename=a.txt", "a.txt"},
        {"attachment; FileName = x.txt", "x.txt"},
        {"attachment; filename=\"a;b.txt\"; size=3", "a;b.txt"},
        {"attachment; x=\"filename=evil\"; filename=good", "good"},
        {"attachment; filename=one; filename=two", "one"},
        {"attachment; filename=\"../x\"", "../x"}, /* the gate for names comes after */
        {"attachment; filename=\"open", NULL},
        {"attachment", NULL},
        {"filename=x", NULL},
        {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[64] = "";
        bool found = disposition_filename(rows[i].value, name, sizeof name);

        if (found != (rows[i].name != NULL) || (found && strcmp(name, rows[i].name) != 0))
            fail_msg("'%s': %d '%s'", rows[i].value, found, name);
    }
}

static void a_file_name_that_does_not_fit_is_none(void **state)
{
    char name[4];

    (void)state;
    assert_false(disposition_filename("a; filename=abcd", name, sizeof name));
    assert_true(disposition_filename("a; filename=abc", name, sizeof name));
}

static void media_types_are_compared_without_their_parameters(void **state)
{
    (void)state;
    assert_true(media_type_is("multipart/form-data; boundary=x", "multipart/form-data"));
    assert_true(media_type_is("Text/Plain", "text/plain"));
    assert_false(media_type_is("text/plainer", "text/plain"));
    assert_true(media_type_valid("application/vnd.x+json; charset=\"utf-8\""));
    assert_false(media_type_valid("text"));
    assert_false(media_type_valid("text/"));
    assert_false(media_type_valid("/plain"));
    assert_false(media_type_valid("text/plain x"));
    assert_false(media_type_valid("text/plain; x=\xff"));
    assert_false(media_type_valid(""));
}

static void a_boundary_is_a_parameter_among_others(void **state)
{
    static const struct {
        const char *value, *boundary; /* NULL: none */
    } rows[] = {
        {"multipart/form-data; boundary=BB", "BB"},
        {"multipart/form-data;BOUNDARY=BB; charset=utf-8", "BB"},
        {"multipart/form-data; charset=utf-8; boundary=\"B B\" ; x=y", "B B"},
        {"multipart/form-data; xboundary=Q; boundary=BB", "BB"},
        {"multipart/form-data; x=\"; boundary=Q\"; boundary=BB", "BB"},
        {"multipart/form-data; boundary=----=_Part:1", "----=_Part:1"},
        {"multipart/form-data", NULL},
        {"multipart/form-data; boundary", NULL},
        {"multipart/form-data; boundary=", NULL},
        {"multipart/form-data; boundary=B", NULL},
        {"multipart/form-data; boundary=\"BB", NULL},
        {"multipart/form-data; boundary=\"BB\"x", NULL},
        {"multipart/form-data; boundary=B\"B", NULL},
        {"multipart/form-data; boundary=\"BB \"", NULL},
        {"multipart/form-data; boundary=0123456789012345678901234567890123456789012345678901234567890123456789",
         "0123456789012345678901234567890123456789012345678901234567890123456789"},
        {"multipart/form-data; boundary=01234567890123456789012345678901234567890123456789012345678901234567890", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char boundary[BOUNDARY_SIZE] = "";
        bool found = media_type_boundary(rows[i].value, boundary);

        if (found != (rows[i].boundary != NULL) || (found && strcmp(boundary, rows[i].boundary) != 0))
            fail_msg("'%s': %d '%s'", rows[i].value, found, boundary);
    }
}

static void words_are_for_those_who_ask_for_nothing_else(void **state)
{
    (void)state;
    assert_true(accept_wants_text("text/plain"));
    assert_true(accept_wants_text("text/plain, */*;q=0.1"));
    assert_true(accept_wants_text("TEXT/Plain ; charset=utf-8 ;q=0.001,"));
    assert_true(accept_wants_text("application/json;q=0, text/plain"));
    assert_true(accept_wants_text("application/jsonx, text/plain"));
    assert_false(accept_wants_text("text/plain;q=0"));
    assert_false(accept_wants_text("text/plain; Q=0.000"));
    assert_false(accept_wants_text("text/plainx"));
    assert_false(accept_wants_text("xtext/plain"));
    assert_false(accept_wants_text("text/html;x=text/plain"));
    assert_false(accept_wants_text(""));
    assert_false(accept_wants_text("*/*"));
    assert_false(accept_wants_text("application/json, text/plain, */*"));
}

static void a_coding_is_taken_that_has_some_weight(void **state)
{
    (void)state;
    assert_true(accept_encoding_has("gzip, deflate, br, zstd", "gzip"));
    assert_true(accept_encoding_has("br;q=1.0, GZIP;q=0.2", "gzip"));
    assert_false(accept_encoding_has("br, gzip;q=0", "gzip"));
    assert_false(accept_encoding_has("xgzip, gzipx", "gzip"));
    assert_false(accept_encoding_has("*", "gzip"));
    assert_false(accept_encoding_has("", "gzip"));
    assert_false(accept_encoding_has(NULL, "gzip"));
}

static void entity_tags_are_compared_weakly(void **state)
{
    static const char etag[] = "\"1a-queued-0\"";

    (void)state;
    assert_true(etag_listed("*", etag));
    assert_true(etag_listed("\"1a-queued-0\"", etag));
    assert_true(etag_listed("\"x\", W/\"1a-queued-0\" , \"y\"", etag));
    assert_false(etag_listed("\"1a-queued-1\"", etag));
    assert_false(etag_listed("1a-queued-0", etag));
    assert_false(etag_listed("\"x\"1a-queued-0\"\"", etag));
    assert_false(etag_listed("", etag));
}

static void header_names_are_tokens(void **state)
{
    (void)state;
    assert_true(header_is_token("X-Request-Id"));
    assert_false(header_is_token("Content-Length "));
    assert_false(header_is_token(""));
    assert_false(header_is_token("a\x0b"));
}

static void one_range_is_served_and_everything_else_is_the_whole(void **state)
{
    static const struct {
        const char *value;
        uint64_t size;
        enum range want;
        uint64_t from, to;
    } rows[] = {
        {"bytes=0-0", 10, RANGE_PART, 0, 1},
        {"bytes=0-", 10, RANGE_PART, 0, 10},
        {"bytes=3-5", 10, RANGE_PART, 3, 6},
        {"Bytes= 3-5 ", 10, RANGE_PART, 3, 6},
        {"bytes=9-9", 10, RANGE_PART, 9, 10},
        {"bytes=3-10", 10, RANGE_PART, 3, 10},
        {"bytes=3-99999999999999999999999", 10, RANGE_PART, 3, 10},
        {"bytes=-4", 10, RANGE_PART, 6, 10},
        {"bytes=-10", 10, RANGE_PART, 0, 10},
        {"bytes=-99999999999999999999999", 10, RANGE_PART, 0, 10},
        {"bytes=10-", 10, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=10-20", 10, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=99999999999999999999999-", 10, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=-0", 10, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=0-", 0, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=-5", 0, RANGE_WHOLE, 0, 0},
        {"bytes=5-3", 10, RANGE_WHOLE, 0, 0},
        {"bytes=0-1,3-4", 10, RANGE_WHOLE, 0, 0},
        {"bytes=-", 10, RANGE_WHOLE, 0, 0},
        {"bytes=", 10, RANGE_WHOLE, 0, 0},
        {"bytes=a-b", 10, RANGE_WHOLE, 0, 0},
        {"bytes=0x1-2", 10, RANGE_WHOLE, 0, 0},
        {"bytes=+1-2", 10, RANGE_WHOLE, 0, 0},
        {"bytes=1 - 2", 10, RANGE_WHOLE, 0, 0},
        {"bytes 1-2", 10, RANGE_WHOLE, 0, 0},
        {"lines=1-2", 10, RANGE_WHOLE, 0, 0},
        {"", 10, RANGE_WHOLE, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t from = 0, to = 0;
        enum range got = range_read(rows[i].value, rows[i].size, &from, &to);

        if (got != rows[i].want || from != rows[i].from || to != rows[i].to)
            fail_msg("'%s' of %u: %d, %u to %u", rows[i].value, (unsigned)rows[i].size, got, (unsigned)from,
                     (unsigned)to);
    }
}

static void a_file_is_saved_under_its_name(void **state)
{
    static const struct {
        const char *name, *want;
    } rows[] = {
        {"a.txt", "attachment; filename=\"a.txt\"; filename*=UTF-8''a.txt"},
        {"a b\"\\c%41.txt", "attachment; filename=\"a b__c_41.txt\"; filename*=UTF-8''a%20b%22%5Cc%2541.txt"},
        {"\xc3\xa4\xe2\x82\xac.md", "attachment; filename=\"__.md\"; filename*=UTF-8''%C3%A4%E2%82%AC.md"},
        {"a\r\nX: y", "attachment; filename=\"a__X: y\"; filename*=UTF-8''a%0D%0AX%3A%20y"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *got = disposition_attachment(rows[i].name);
        char name[64];

        assert_string_equal(got, rows[i].want);
        assert_true(disposition_filename(got, name, sizeof name));
        assert_string_equal(name, rows[i].name);
        free(got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(preferences_are_read_and_others_ignored),
        cmocka_unit_test(preferences_add_up_over_header_lines),
        cmocka_unit_test(the_extended_file_name_is_preferred),
        cmocka_unit_test(a_file_name_that_does_not_fit_is_none),
        cmocka_unit_test(media_types_are_compared_without_their_parameters),
        cmocka_unit_test(a_boundary_is_a_parameter_among_others),
        cmocka_unit_test(words_are_for_those_who_ask_for_nothing_else),
        cmocka_unit_test(a_coding_is_taken_that_has_some_weight),
        cmocka_unit_test(entity_tags_are_compared_weakly),
        cmocka_unit_test(header_names_are_tokens),
        cmocka_unit_test(one_range_is_served_and_everything_else_is_the_whole),
        cmocka_unit_test(a_file_is_saved_under_its_name),
    };

    return cmocka_run_group_tests_name("api/header", tests, NULL, NULL);
}
