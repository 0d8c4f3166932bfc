/* base/buf: growing, the ceiling, and the terminator that is always there. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

static void what_is_added_stands_in_order_and_ends_in_nul(void **state)
{
    struct buf b = {0};

    (void)state;
    assert_true(buf_add(&b, "ab\0c", 4));
    assert_true(buf_puts(&b, "def"));
    assert_true(buf_printf(&b, "-%d-%s", 42, "x"));
    assert_int_equal(b.len, 12);
    assert_memory_equal(b.data, "ab\0cdef-42-x", 13);
    buf_free(&b);
}

static void it_grows_over_every_size(void **state)
{
    struct buf b = {0};

    (void)state;
    for (size_t i = 0; i < 5000; i++) {
        assert_true(i % 2 ? buf_add(&b, "y", 1) : buf_printf(&b, "%c", 'x'));
        assert_int_equal(b.len, i + 1);
        assert_int_equal(b.data[b.len], 0);
    }
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(b.data[i], i % 2 ? 'y' : 'x');
    buf_free(&b);
}

static void the_ceiling_is_the_last_byte_that_fits(void **state)
{
    struct buf b = {.ceiling = 10};

    (void)state;
    assert_true(buf_puts(&b, "0123456789"));
    assert_false(b.failed);
    assert_false(buf_puts(&b, "a"));
    assert_true(b.failed);
    buf_free(&b);
}

static void a_failure_is_sticky_until_the_buffer_is_freed(void **state)
{
    struct buf b = {.ceiling = 4};

    (void)state;
    assert_false(buf_printf(&b, "%s", "12345"));
    assert_false(buf_puts(&b, "1"));
    assert_null(buf_steal(&b));
    assert_true(buf_puts(&b, "1234"));
    buf_free(&b);
}

static void a_stolen_string_is_the_callers_and_the_buffer_starts_anew(void **state)
{
    struct buf b = {0};
    char *text;

    (void)state;
    buf_puts(&b, "mine");
    text = buf_steal(&b);
    assert_string_equal(text, "mine");
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    free(text);
    assert_true(buf_puts(&b, "next"));
    assert_string_equal(b.data, "next");
    buf_free(&b);
}

static void an_empty_buffer_steals_as_an_empty_string(void **state)
{
    struct buf b = {0};
    char *text = buf_steal(&b);

    (void)state;
    assert_non_null(text);
    assert_string_equal(text, "");
    free(text);
    buf_free(&b); /* and freeing an empty one is fine */
}

static void adding_nothing_is_not_an_error(void **state)
{
    struct buf b = {.ceiling = 1};

    (void)state;
    assert_true(buf_add(&b, NULL, 0));
    assert_true(buf_puts(&b, "x"));
    assert_true(buf_add(&b, NULL, 0));
    assert_string_equal(b.data, "x");
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_stands_in_order_and_ends_in_nul),
        cmocka_unit_test(it_grows_over_every_size),
        cmocka_unit_test(the_ceiling_is_the_last_byte_that_fits),
        cmocka_unit_test(a_failure_is_sticky_until_the_buffer_is_freed),
        cmocka_unit_test(a_stolen_string_is_the_callers_and_the_buffer_starts_anew),
        cmocka_unit_test(an_empty_buffer_steals_as_an_empty_string),
        cmocka_unit_test(adding_nothing_is_not_an_error),
    };
    return cmocka_run_group_tests_name("base/buf", tests, NULL, NULL);
}
