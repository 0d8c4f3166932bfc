/* socks5/ticket: a name leads to the one stream that waits for it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "socks5/socks5.h"
#include "socks5/ticket.h"

static int setup(void **state)
{
    *state = tickets_create();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    tickets_destroy((struct tickets **)state);
    assert_null(*state);
    return 0;
}

static bool add(struct tickets *set, uint64_t stream, const char *a, const char *b, struct error *err)
{
    const char *const names[] = {a, b};
    const struct job job = {.kind = JOB_SEND, .stream = stream};

    return tickets_add(set, &job, names, b ? 2 : 1, err);
}

static uint64_t found(struct tickets *set, const char *name)
{
    struct job job;

    return tickets_find(set, name, strlen(name), &job) ? job.stream : 0;
}

static void every_name_of_a_stream_leads_to_it(void **state)
{
    struct error err = {0};

    assert_true(
        add(*state, 7, "18f26cae66d4afa56faea7a0d0b051026c15ae7f", "3457684be69fb9990232e6a8b1f55e80c3262c1b", &err));
    assert_int_equal(found(*state, "18f26cae66d4afa56faea7a0d0b051026c15ae7f"), 7);
    assert_int_equal(found(*state, "3457684be69fb9990232e6a8b1f55e80c3262c1b"), 7);
    assert_int_equal(found(*state, "3457684be69fb9990232e6a8b1f55e80c3262c1c"), 0);
}

static void capitals_do_not_matter(void **state)
{
    struct error err = {0};

    assert_true(add(*state, 7, "abcDEF", NULL, &err));
    assert_int_equal(found(*state, "ABCdef"), 7);
    assert_int_equal(found(*state, "abcdef"), 7);
}

static void length_matters_and_nul_is_a_byte(void **state)
{
    struct error err = {0};
    struct job job;

    assert_true(add(*state, 7, "abc", NULL, &err));
    assert_false(tickets_find(*state, "abcd", 4, &job));
    assert_false(tickets_find(*state, "ab", 2, &job));
    assert_false(tickets_find(*state, "abc\0", 4, &job));
    assert_false(tickets_find(*state, "", 0, &job));
}

static void a_name_is_found_as_often_as_it_is_asked_for(void **state)
{
    struct error err = {0};

    assert_true(add(*state, 7, "abc", NULL, &err));
    for (int i = 0; i < 3; i++)
        assert_int_equal(found(*state, "abc"), 7);
}

static void a_name_taken_refuses_the_whole_ticket(void **state)
{
    struct error err = {0};

    assert_true(add(*state, 7, "abc", NULL, &err));
    assert_false(add(*state, 8, "free", "ABC", &err));
    assert_int_equal(err.code, ERR_STATE_CONFLICT);
    assert_int_equal(found(*state, "abc"), 7);
    assert_int_equal(found(*state, "free"), 0);
}

static void the_same_name_twice_in_a_ticket_is_one(void **state)
{
    struct error err = {0};

    assert_true(add(*state, 7, "abc", "ABC", &err));
    assert_int_equal(found(*state, "abc"), 7);
    tickets_remove(*state, 7);
    assert_int_equal(found(*state, "abc"), 0);
}

static void removed_names_are_free_again(void **state)
{
    struct error err = {0};

    assert_true(add(*state, 7, "abc", "def", &err));
    tickets_remove(*state, 8);
    assert_int_equal(found(*state, "abc"), 7);
    tickets_remove(*state, 7);
    tickets_remove(*state, 7);
    assert_int_equal(found(*state, "abc"), 0);
    assert_int_equal(found(*state, "def"), 0);
    assert_true(add(*state, 9, "abc", NULL, &err));
    assert_int_equal(found(*state, "abc"), 9);
}

/* More tickets than buckets, so that chains are walked and cut in their middle. */
static void thousands_of_tickets_stay_apart(void **state)
{
    enum { MANY = 20000 };
    struct error err = {0};
    char name[16];

    for (unsigned i = 1; i <= MANY; i++) {
        snprintf(name, sizeof(name), "name-%u", i);
        assert_true(add(*state, i, name, NULL, &err));
    }
    for (unsigned i = 1; i <= MANY; i += 2)
        tickets_remove(*state, i);
    for (unsigned i = 1; i <= MANY; i++) {
        snprintf(name, sizeof(name), "name-%u", i);
        assert_int_equal(found(*state, name), i % 2 ? 0 : i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_name_of_a_stream_leads_to_it, setup, teardown),
        cmocka_unit_test_setup_teardown(capitals_do_not_matter, setup, teardown),
        cmocka_unit_test_setup_teardown(length_matters_and_nul_is_a_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_is_found_as_often_as_it_is_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_taken_refuses_the_whole_ticket, setup, teardown),
        cmocka_unit_test_setup_teardown(the_same_name_twice_in_a_ticket_is_one, setup, teardown),
        cmocka_unit_test_setup_teardown(removed_names_are_free_again, setup, teardown),
        cmocka_unit_test_setup_teardown(thousands_of_tickets_stay_apart, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
