/* cli/progress: one line that says how far a transfer is. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "cli/progress.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define MIB         ((uint64_t)1024 * 1024)

static void a_line_says_what_is_known_and_no_more(void **state)
{
    static const struct {
        struct progress p;
        unsigned columns;
        const char *want;
    } rows[] = {
        {{"a.pdf", "ana@x", "queued", 0, 0, false, false, 0, NULL, NULL, 0, NULL}, 0, "a.pdf to ana@x: queued"},
        {{"a.pdf", "ana@x", "uploading", 5, 10, true, true, 0, NULL, NULL, 0, NULL},
         0,
         "a.pdf to ana@x: uploading 50%"},
        {{"a.pdf", "ana@x", "uploading", 2 * MIB, 0, true, false, MIB, NULL, NULL, 0, NULL},
         0,
         "a.pdf to ana@x: uploading 2.0 MiB, 1.0 MiB/s"},
        {{"a.pdf", "ana@x", "transferring", 62 * MIB, 100 * MIB, true, true, MIB, "si-s5b", "direct", 0, NULL},
         0,
         "a.pdf to ana@x: transferring 62%, 1.0 MiB/s, si-s5b direct, 0:38 left"},
        {{"a.pdf", "ana@x", "transferring", 0, 8000 * MIB, true, true, MIB, NULL, NULL, 0, NULL},
         0,
         "a.pdf to ana@x: transferring 0%, 1.0 MiB/s, 2:13:20 left"},
        {{"a.pdf", "ana@x", "transferring", 10, 10, true, true, 5, NULL, NULL, 0, NULL},
         0,
         "a.pdf to ana@x: transferring 100%, 5 B/s"},
        {{"empty", "ana@x", "transferring", 0, 0, true, true, 0, NULL, NULL, 0, NULL},
         0,
         "empty to ana@x: transferring 0 B"},
        {{"a.pdf", "ana@x", "delivered", 1536, 1536, true, false, 0, "si-s5b", "proxy", 2500, "tr_1"},
         0,
         "a.pdf to ana@x: delivered 1.5 KiB, si-s5b proxy, in 0:03, tr_1"},
        {{"a.pdf", "ana@x", "queued", 0, 0, false, false, 0, NULL, NULL, 0, NULL}, 9, "a.pdf to "},
        {{"\xc3\xa4\xc3\xb6\xc3\xbc", "ana", "queued", 0, 0, false, false, 0, NULL, NULL, 0, NULL},
         2,
         "\xc3\xa4\xc3\xb6"},
        {{"0123456789012345678901234567890123456789012345", "a", "queued", 0, 0, false, false, 0, NULL, NULL, 0, NULL},
         0,
         "0123456789012345678901234567890123456789 to a: queued"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char line[200];

        assert_string_equal(progress_line(&rows[i].p, rows[i].columns, line, sizeof line), rows[i].want);
    }
}

static void a_line_fits_into_any_room(void **state)
{
    static const struct progress p = {
        "\xc3\xa4.pdf", "ana@example.org", "transferring", 5, 10, true, true, 5, "si-s5b", "direct", 1, "tr_1"};
    char whole[200];

    (void)state;
    progress_line(&p, 0, whole, sizeof whole);
    for (size_t max = 1; max < sizeof whole; max++) {
        char line[sizeof whole];

        progress_line(&p, 0, line, max);
        assert_true(strlen(line) < max);
        assert_memory_equal(line, whole, strlen(line));
    }
}

static void sizes_have_two_digits_that_matter(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *want;
    } rows[] = {{0, "0 B"},
                {1023, "1023 B"},
                {1024, "1.0 KiB"},
                {10 * 1024, "10 KiB"},
                {1536 * 1024, "1.5 MiB"},
                {UINT64_MAX, "16384 PiB"}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char out[24];

        assert_string_equal(progress_size(rows[i].bytes, out, sizeof out), rows[i].want);
    }
}

static void the_rate_is_that_of_the_last_seconds(void **state)
{
    struct progress_rate r = {0};

    (void)state;
    assert_int_equal(progress_rate(&r, 0, 0), 0);
    assert_int_equal(progress_rate(&r, 1000, 500), 500);
    for (int s = 2; s <= 60; s++)
        progress_rate(&r, s * 1000, (uint64_t)(s - 1) * 100 + 500);
    assert_int_equal(progress_rate(&r, 61000, 6500), 100);
    assert_int_equal(progress_rate(&r, 62000, 0), 0); /* anew */
    assert_int_equal(progress_rate(&r, 63000, 50), 50);
    for (int ms = 0; ms < 1000; ms++) /* often: no more than there is room for */
        progress_rate(&r, 64000 + ms, (uint64_t)(100 + ms));
    assert_true(r.count <= COUNT(r.points));
    assert_int_equal(progress_rate(&r, 65000, 1100), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_says_what_is_known_and_no_more),
        cmocka_unit_test(a_line_fits_into_any_room),
        cmocka_unit_test(sizes_have_two_digits_that_matter),
        cmocka_unit_test(the_rate_is_that_of_the_last_seconds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
