#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/turns.h"

static void recipients_take_turns_however_long_their_lines_are(void **state)
{
    static const struct {
        const char *key, *item;
    } arrivals[] = {{"ana", "a1"}, {"ana", "a2"}, {"ana", "a3"}, {"bob", "b1"}, {"cleo", "c1"}, {"bob", "b2"}};
    static const char *const order[] = {"a1", "b1", "c1", "a2", "b2", "a3"};
    struct turns *turns = turns_create(100, 100);

    (void)state;
    for (size_t i = 0; i < sizeof arrivals / sizeof *arrivals; i++)
        assert_true(turns_wait(turns, arrivals[i].key, (void *)arrivals[i].item));
    assert_int_equal(turns_waiting(turns), 6);
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        assert_string_equal(turns_next(turns), order[i]);
    assert_null(turns_next(turns));
    assert_int_equal(turns_active(turns), 6);
    turns_destroy(&turns);
    assert_null(turns);
}

static void one_recipient_never_has_more_at_work_than_its_share(void **state)
{
    struct turns *turns = turns_create(100, 2);

    (void)state;
    for (const char *item = "12345"; *item; item++)
        assert_true(turns_wait(turns, "ana", (void *)item));
    assert_non_null(turns_next(turns));
    assert_non_null(turns_next(turns));
    assert_null(turns_next(turns));
    turns_done(turns, "ana");
    assert_string_equal(turns_next(turns), "345");
    assert_null(turns_next(turns));
    turns_destroy(&turns);
}

static void no_more_are_at_work_than_the_whole_allows(void **state)
{
    struct turns *turns = turns_create(2, 2);

    (void)state;
    assert_true(turns_wait(turns, "ana", "a"));
    assert_true(turns_wait(turns, "bob", "b"));
    assert_true(turns_wait(turns, "cleo", "c"));
    assert_string_equal(turns_next(turns), "a");
    assert_string_equal(turns_next(turns), "b");
    assert_null(turns_next(turns));
    turns_done(turns, "ana");
    assert_string_equal(turns_next(turns), "c");
    turns_destroy(&turns);
}

static void who_leaves_the_line_is_never_called(void **state)
{
    static char a, b;
    struct turns *turns = turns_create(10, 10);

    (void)state;
    assert_true(turns_wait(turns, "ana", &a));
    assert_true(turns_wait(turns, "ana", &b));
    turns_leave(turns, "ana", &a);
    turns_leave(turns, "ana", &a);
    turns_leave(turns, "nobody", &a);
    assert_ptr_equal(turns_next(turns), &b);
    assert_null(turns_next(turns));
    assert_int_equal(turns_waiting(turns), 0);
    turns_destroy(&turns);
}

static void a_new_limit_counts_who_is_at_work(void **state)
{
    struct turns *turns = turns_create(1, 1);

    (void)state;
    assert_true(turns_wait(turns, "ana", "a"));
    assert_true(turns_wait(turns, "ana", "b"));
    assert_true(turns_wait(turns, "ana", "c"));
    assert_string_equal(turns_next(turns), "a");
    assert_null(turns_next(turns));
    turns_limit(turns, 2, 2);
    assert_string_equal(turns_next(turns), "b");
    assert_null(turns_next(turns));
    turns_limit(turns, 1, 1);
    turns_done(turns, "ana");
    assert_null(turns_next(turns));
    turns_done(turns, "ana");
    assert_string_equal(turns_next(turns), "c");
    turns_destroy(&turns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recipients_take_turns_however_long_their_lines_are),
        cmocka_unit_test(one_recipient_never_has_more_at_work_than_its_share),
        cmocka_unit_test(no_more_are_at_work_than_the_whole_allows),
        cmocka_unit_test(a_new_limit_counts_who_is_at_work),
        cmocka_unit_test(who_leaves_the_line_is_never_called),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
