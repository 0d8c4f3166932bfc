/* base/text: what may be stored, shown and sent (RFC 3629, XML 1.0 section 2.2), file names, percent-encoding. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* An exact-size copy, so that the address sanitizer sees one byte too many. */
static char *exact(const char *text, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);

    assert_non_null(copy);
    memcpy(copy, text, len);
    return copy;
}

static size_t encode(uint32_t c, char out[static 4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 63));
        out[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63));
    out[3] = (char)(0x80 | (c & 63));
    return 4;
}

static void every_character_is_read_and_no_surrogate(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x110000; c++) {
        char text[4];
        size_t len = encode(c, text);
        uint32_t got = 0;
        size_t n = text_char(text, len, &got);

        if ((c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff) {
            assert_int_equal(n, 0);
        } else {
            assert_int_equal(n, len);
            assert_int_equal(got, c);
            assert_int_equal(text_char(text, len - 1, &got), 0);
        }
    }
}

static void every_sequence_that_is_not_shortest_form_is_refused(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x10000; c++) {
        char four[4] = {(char)0xf0, (char)(0x80 | c >> 12), (char)(0x80 | (c >> 6 & 63)), (char)(0x80 | (c & 63))};
        char three[3] = {(char)0xe0, (char)(0x80 | (c >> 6 & 63)), (char)(0x80 | (c & 63))};
        char two[2] = {(char)(0xc0 | c >> 6), (char)(0x80 | (c & 63))};
        uint32_t got;

        assert_int_equal(text_char(four, 4, &got), 0);
        if (c < 0x800)
            assert_int_equal(text_char(three, 3, &got), 0);
        if (c < 0x80)
            assert_int_equal(text_char(two, 2, &got), 0);
    }
}

static void text_for_xml_is_valid_utf8_of_xml_characters(void **state)
{
    static const struct {
        const char *says, *text;
        size_t len;
        bool want;
    } rows[] = {
        {"nothing", "", 0, true},
        {"letters", "report.pdf", 10, true},
        {"tab, LF and CR", "a\t\n\rb", 5, true},
        {"DEL and C1 are Char", "\x7f\xc2\x80", 3, true},
        {"up to U+10FFFF", "\xf4\x8f\xbf\xbf", 4, true},
        {"a private character", "\xee\x80\x80", 3, true},
        {"U+FFFD itself", "\xef\xbf\xbd", 3, true},
        {"NUL", "a\0b", 3, false},
        {"U+0001", "a\x01", 2, false},
        {"U+001F", "\x1f", 1, false},
        {"U+FFFE", "\xef\xbf\xbe", 3, false},
        {"U+FFFF", "\xef\xbf\xbf", 3, false},
        {"a surrogate", "\xed\xa0\x80", 3, false},
        {"beyond Unicode", "\xf4\x90\x80\x80", 4, false},
        {"the byte FF", "\xff", 1, false},
        {"Latin-1", "caf\xe9", 4, false},
        {"a lone continuation", "\x80", 1, false},
        {"an overlong slash", "\xc0\xaf", 2, false},
        {"cut in a character", "\xe2\x82\xac\xe2\x82", 5, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *text = exact(rows[i].text, rows[i].len);

        if (text_is_xml(text, rows[i].len) != rows[i].want)
            fail_msg("%s", rows[i].says);
        free(text);
    }
}

static void a_cut_falls_between_characters(void **state)
{
    static const struct {
        const char *says, *text;
        size_t len, want;
    } rows[] = {
        {"nothing", "", 0, 0},
        {"whole letters", "abc", 3, 3},
        {"a whole pair", "a\xc3\xa9", 3, 3},
        {"half a pair", "a\xc3", 2, 1},
        {"two thirds", "a\xe2\x82", 3, 1},
        {"three quarters", "\xf0\x9f\x98", 3, 0},
        {"four quarters", "\xf0\x9f\x98\x80", 4, 4},
        {"stray continuations are not ours to mend", "\x80\x80", 2, 2},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *text = exact(rows[i].text, rows[i].len);

        if (text_whole(text, rows[i].len) != rows[i].want)
            fail_msg("%s: %zu", rows[i].says, text_whole(text, rows[i].len));
        free(text);
    }
}

static void a_file_name_is_one_that_any_recipient_can_keep(void **state)
{
    static const struct {
        const char *says, *name;
        size_t len;
        const char *fault; /* what the sentence holds; NULL: fine */
    } rows[] = {
        {"plain", "report.pdf", 10, NULL},
        {"with spaces", "my report (1).pdf", 17, NULL},
        {"of another language", "\xd1\x84\xd0\xb0\xd0\xb9\xd0\xbb", 8, NULL},
        {"an emoji", "\xf0\x9f\x98\x80", 4, NULL},
        {"hidden", ".profile", 8, NULL},
        {"three dots", "...", 3, NULL},
        {"empty", "", 0, "empty"},
        {"this folder", ".", 1, "folder"},
        {"the folder above", "..", 2, "folder"},
        {"a path", "../etc/passwd", 13, "separator (U+002F) at byte 3"},
        {"a Windows path", "a\\b", 3, "separator (U+005C) at byte 2"},
        {"NUL", "a\0.pdf", 6, "control character (U+0000) at byte 2"},
        {"U+0001", "\x01", 1, "control character (U+0001) at byte 1"},
        {"a line end", "a\n", 2, "control character (U+000A)"},
        {"a tab", "\t", 1, "control character"},
        {"DEL", "\x7f", 1, "control character"},
        {"C1", "\xc2\x85", 2, "control character (U+0085)"},
        {"a line separator", "a\xe2\x80\xa8", 4, "line separator (U+2028) at byte 2"},
        {"a paragraph separator", "\xe2\x80\xa9", 3, "line separator (U+2029)"},
        {"a bidi override",
         "invoice\xe2\x80\xae"
         "fdp.exe",
         17, "reading direction (U+202E) at byte 8"},
        {"a bidi embedding", "\xe2\x80\xaa", 3, "reading direction"},
        {"a bidi isolate", "\xe2\x81\xa6", 3, "reading direction"},
        {"the end of an isolate", "\xe2\x81\xa9", 3, "reading direction"},
        {"no character", "\xef\xbf\xbf", 3, "XML does not allow (U+FFFF)"},
        {"broken UTF-8", "caf\xe9", 4, "not valid UTF-8 at byte 4"},
        {"a surrogate", "\xed\xa0\x80", 3, "not valid UTF-8"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *name = exact(rows[i].name, rows[i].len);
        struct error err = {0};
        bool ok = text_name_check(name, rows[i].len, &err);

        if (ok != !rows[i].fault)
            fail_msg("%s: %s", rows[i].says, ok ? "passed" : err.text);
        if (!ok && (err.code != ERR_NAME_INVALID || !strstr(err.text, rows[i].fault)))
            fail_msg("%s: %s", rows[i].says, err.text);
        assert_true(text_is_xml(err.text, strlen(err.text)));
        free(name);
    }
}

static void a_file_name_has_at_most_255_bytes(void **state)
{
    char name[300];
    struct error err;

    (void)state;
    memset(name, 'x', sizeof(name));
    assert_true(text_name_check(name, 255, &err));
    assert_false(text_name_check(name, 256, &err));
    assert_non_null(strstr(err.text, "256 bytes"));
    assert_false(text_name_check(name, 300, &err));
}

static void cleaning_keeps_what_can_be_shown(void **state)
{
    static const struct {
        const char *says, *in;
        size_t max;
        const char *want;
    } rows[] = {
        {"good text", "caf\xc3\xa9\n", 32, "caf\xc3\xa9\n"},
        {"nothing", "", 32, ""},
        {"controls", "a\x01\x1b", 32, "a\xef\xbf\xbd\xef\xbf\xbd"},
        {"each broken byte", "\xff\xfe", 32, "\xef\xbf\xbd\xef\xbf\xbd"},
        {"a broken character before a good one", "\xe2\x82x", 32, "\xef\xbf\xbd\xef\xbf\xbdx"},
        {"U+FFFF", "\xef\xbf\xbf!", 32, "\xef\xbf\xbd!"},
        {"cut", "abcdef", 4, "abc"},
        {"just fits", "abc", 4, "abc"},
        {"cut before a character that has no room", "ab\xe2\x82\xac", 5, "ab"},
        {"no room for a replacement", "ab\x01", 5, "ab"},
        {"one byte of room", "abc", 1, ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *out = malloc(rows[i].max);

        text_clean(rows[i].in, out, rows[i].max);
        if (strcmp(out, rows[i].want) != 0)
            fail_msg("%s: '%s'", rows[i].says, out);
        free(out);
    }
}

static void cleaning_into_no_room_writes_nothing(void **state)
{
    char out = 'x';

    (void)state;
    text_clean("abc", &out, 0);
    assert_int_equal(out, 'x');
}

static void percent_encoding_is_undone_once(void **state)
{
    static const struct {
        const char *says, *in;
        bool plus;
        size_t max;
        const char *want; /* NULL: refused */
    } rows[] = {
        {"nothing", "", false, 16, ""},
        {"plain", "ana@example.org", false, 16, "ana@example.org"},
        {"a slash", "a%2Fb", false, 16, "a/b"},
        {"both cases", "%c3%A9", false, 16, "\xc3\xa9"},
        {"once only", "%252F", false, 16, "%2F"},
        {"any byte: the gate is text_is_xml", "%01%ff", false, 16, "\x01\xff"},
        {"plus in a path", "a+b", false, 16, "a+b"},
        {"plus in a query", "a+b%2B", true, 16, "a b+"},
        {"just fits", "%61bc", false, 4, "abc"},
        {"too long", "abcd", false, 4, NULL},
        {"too long by its last escape", "abc%64", false, 4, NULL},
        {"NUL", "a%00b", false, 16, NULL},
        {"a lone percent", "100%", false, 16, NULL},
        {"one digit", "%4", false, 16, NULL},
        {"no digits", "%zz", false, 16, NULL},
        {"one bad digit", "%4g", false, 16, NULL},
        {"no room at all", "", false, 0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t len = strlen(rows[i].in);
        char *in = exact(rows[i].in, len);
        char *out = malloc(rows[i].max > 0 ? rows[i].max : 1);
        struct error err = {0};
        bool ok = text_percent_decode(in, len, rows[i].plus, out, rows[i].max, &err);

        if (ok != (rows[i].want != NULL) || (ok && strcmp(out, rows[i].want) != 0))
            fail_msg("%s: %s", rows[i].says, ok ? out : err.text);
        if (!ok)
            assert_int_equal(err.code, ERR_REQUEST_MALFORMED);
        free(in);
        free(out);
    }
}

static void a_raw_nul_is_refused_like_an_encoded_one(void **state)
{
    char out[8];

    (void)state;
    assert_false(text_percent_decode("a\0b", 3, false, out, sizeof(out), NULL));
}

static void the_nearest_word_is_suggested_when_it_is_near(void **state)
{
    static const char *const words[] = {"http.listen", "http.token", "xmpp.jid", "s5b", "socks5.listen"};
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"http.listen", "http.listen"},
        {"http.lisen", "http.listen"},
        {"http.listne", "http.listen"},
        {"htpp.tokens", "http.token"},
        {"xmpp.jidd", "xmpp.jid"},
        {"s5", "s5b"},
        {"colour", NULL},
        {"", NULL},
        {"socks.listen", "socks5.listen"},
        {"xyz", NULL},
        {"xmpp.xyz", NULL},
        {"xmpp.jxy", "xmpp.jid"},
        {"listen.http", NULL},
    };
    char huge[300];

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *got = text_nearest(rows[i].text, words, COUNT(words));

        if (got != rows[i].want && (!got || !rows[i].want || strcmp(got, rows[i].want) != 0))
            fail_msg("'%s': %s", rows[i].text, got ? got : "none");
    }
    memset(huge, 'x', sizeof(huge) - 1);
    huge[sizeof(huge) - 1] = '\0';
    assert_null(text_nearest(huge, words, COUNT(words)));
    assert_null(text_nearest("abc", NULL, 0));
}

static void a_star_matches_any_run(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool want;
    } rows[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "ana@example.org", true},
        {"*@example.org", "ana@example.org", true},
        {"*@example.org", "ana@example.org.evil.net", false},
        {"*@example.org", "ana@sub.example.org", false},
        {"ana@*", "ana@example.org", true},
        {"ana@*", "hanna@example.org", false},
        {"a*b*c", "a-b-b-c", true},
        {"a*b*c", "a-b-c-d", false},
        {"**x", "x", true},
        {"ana@example.org", "ana@example.org", true},
        {"ana@example.org", "Ana@example.org", false},
        {"a?c", "abc", false},
        {"[ab]", "a", false},
        {"\\*", "*", false},
        {"*aab", "aaaaaaab", true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (text_glob(rows[i].pattern, rows[i].text) != rows[i].want)
            fail_msg("'%s' on '%s'", rows[i].pattern, rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_is_read_and_no_surrogate),
        cmocka_unit_test(every_sequence_that_is_not_shortest_form_is_refused),
        cmocka_unit_test(text_for_xml_is_valid_utf8_of_xml_characters),
        cmocka_unit_test(a_cut_falls_between_characters),
        cmocka_unit_test(a_file_name_is_one_that_any_recipient_can_keep),
        cmocka_unit_test(a_file_name_has_at_most_255_bytes),
        cmocka_unit_test(cleaning_keeps_what_can_be_shown),
        cmocka_unit_test(cleaning_into_no_room_writes_nothing),
        cmocka_unit_test(percent_encoding_is_undone_once),
        cmocka_unit_test(a_raw_nul_is_refused_like_an_encoded_one),
        cmocka_unit_test(the_nearest_word_is_suggested_when_it_is_near),
        cmocka_unit_test(a_star_matches_any_run),
    };
    return cmocka_run_group_tests_name("base/text", tests, NULL, NULL);
}
