#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/partial_note.h"

#define BOOT "0f2c4b1a-7d3e-4c55-9a66-1b2c3d4e5f60"

static const struct note rows[] = {
    {.limit = -1, .synced = 0, .length = -1, .expires = 1, .boot = BOOT},
    {.limit = 0, .synced = INT64_MAX, .length = INT64_MAX, .expires = INT64_MAX, .boot = ""},
    {.limit = 4096, .synced = 4000, .length = 1 << 20, .expires = 1800000000000, .boot = BOOT},
};

/* A new note is written over an old one. */
static void what_is_noted_is_read_and_has_the_same_length(void **state)
{
    size_t len = 0;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *text = note_text(&rows[i], "ci-1", "to YW5h,filename");
        char token[TOKEN_ID], meta[NOTE_META + 1];
        struct note n;

        assert_non_null(text);
        assert_true(note_read(text, &n, token, meta));
        assert_int_equal(n.limit, rows[i].limit);
        assert_int_equal(n.synced, rows[i].synced);
        assert_int_equal(n.length, rows[i].length);
        assert_int_equal(n.expires, rows[i].expires);
        assert_string_equal(n.boot, rows[i].boot);
        assert_string_equal(token, "ci-1");
        assert_string_equal(meta, "to YW5h,filename");
        assert_true(len == 0 || len == strlen(text));
        len = strlen(text);
        free(text);
    }
}

static void a_note_that_was_cut_short_is_none(void **state)
{
    char *text = note_text(&rows[2], "", ""), token[TOKEN_ID], meta[NOTE_META + 1];
    struct note n;

    (void)state;
    assert_true(note_read(text, &n, token, meta));
    for (size_t len = 0; len < strlen(text); len++) {
        char *cut = strndup(text, len);

        if (note_read(cut, &n, token, meta))
            fail_msg("taken: %s", cut);
        free(cut);
    }
    text[strlen("jidpost-upload 1\nlimit=")] = 'x';
    assert_false(note_read(text, &n, token, meta));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_noted_is_read_and_has_the_same_length),
        cmocka_unit_test(a_note_that_was_cut_short_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
