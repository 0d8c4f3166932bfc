#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "gateway/requesters.h"

#define GIB (UINT64_C(1) << 30)

static struct requesters *set;

static int set_up(void **state)
{
    (void)state;
    clock_fake(1000, 1000);
    set = requesters_create();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    requesters_destroy(&set);
    clock_real();
    return 0;
}

static struct jid jid(const char *text)
{
    struct jid j;

    assert_true(jid_parse(&j, text, strlen(text), NULL));
    return j;
}

static bool asks(const char *who)
{
    struct jid j = jid(who);
    struct error err = {0};
    bool ok = requesters_ask(set, &j, &err);

    assert_int_equal(err.code, ok ? ERR_NONE : ERR_RATE_LIMITED);
    return ok;
}

static struct requester *begins(const char *who)
{
    struct jid j = jid(who);
    struct error err = {0};
    struct requester *r = requesters_begin(set, &j, 5, 2 * GIB, &err);

    assert_int_equal(err.code, r ? ERR_NONE : ERR_PROXY_BUSY);
    return r;
}

static void so_many_may_be_asked_at_once_and_then_two_a_second(void **state)
{
    (void)state;
    for (int i = 0; i < REQUESTER_BURST; i++)
        assert_true(asks("ana@example.org/desk"));
    assert_false(asks("ana@example.org/desk"));
    assert_false(asks("ana@example.org/phone")); /* the same person */
    assert_true(asks("bob@example.org/desk"));
    clock_advance(REQUESTER_STANZA_MS);
    assert_true(asks("ana@example.org/desk"));
    assert_false(asks("ana@example.org/desk"));
}

/* Row 119: whoever asks in vain does not put off when he may again. */
static void who_asks_all_the_time_is_answered_now_and_then_and_others_always(void **state)
{
    unsigned answered = 0;

    (void)state;
    for (int i = 0; i < 10000; i++, clock_advance(6)) { /* a minute */
        answered += asks("ana@example.org/desk");
        if (i % 100 == 0)
            assert_true(asks("bob@example.org/desk"));
    }
    assert_in_range(answered, 120, 120 + REQUESTER_BURST);
}

static void however_many_ask_the_table_stays(void **state)
{
    struct requester *held = begins("zoe@example.org/desk");

    (void)state;
    for (int i = 0; i < 20000; i++) {
        char who[64];

        snprintf(who, sizeof who, "u%d@example.org/desk", i);
        assert_true(asks(who));
    }
    assert_int_equal(requesters_known(set), REQUESTERS_MAX);
    requester_end(held); /* it was not forgotten */
}

static void a_requester_has_so_many_streams_at_once(void **state)
{
    struct requester *r = NULL;

    (void)state;
    for (int i = 0; i < 5; i++)
        assert_non_null(r = begins("ana@example.org/desk"));
    assert_null(begins("ana@example.org/desk"));
    assert_null(begins("ana@example.org/phone"));
    assert_non_null(begins("bob@example.org/desk"));
    requester_end(r);
    assert_non_null(begins("ana@example.org/desk"));
}

static void a_requester_has_so_many_bytes_an_hour(void **state)
{
    struct requester *r = begins("ana@example.org/desk");

    (void)state;
    assert_true(requester_moved(r, GIB, 2 * GIB));
    clock_advance(REQUESTER_HOUR_MS / 2);
    assert_false(requester_moved(r, GIB, 2 * GIB));
    requester_end(r);
    assert_null(begins("ana@example.org/desk"));
    clock_advance(REQUESTER_HOUR_MS / 2);
    r = begins("ana@example.org/desk"); /* another hour */
    assert_non_null(r);
    assert_true(requester_moved(r, GIB, 2 * GIB));
}

/* Nobody gets new bytes by having others ask. */
static void who_has_used_the_hour_is_not_forgotten(void **state)
{
    struct requester *r = begins("ana@example.org/desk");

    (void)state;
    requester_moved(r, 2 * GIB, 2 * GIB);
    requester_end(r);
    for (int i = 0; i < 2 * REQUESTERS_MAX; i++) {
        char who[64];

        snprintf(who, sizeof who, "u%d@example.org/desk", i);
        asks(who);
    }
    assert_null(begins("ana@example.org/desk"));
}

static void many_who_move_a_byte_each_keep_nobody_out(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * REQUESTERS_MAX; i++) {
        struct requester *r;
        char who[64];

        snprintf(who, sizeof who, "u%d@example.org/desk", i);
        r = begins(who);
        assert_non_null(r);
        assert_true(requester_moved(r, 1, 2 * GIB));
        requester_end(r);
    }
    assert_non_null(begins("ana@example.org/desk"));
    assert_int_equal(requesters_known(set), REQUESTERS_MAX);
}

static void with_everybody_at_work_nobody_new_begins_and_all_new_ones_ask_as_one(void **state)
{
    (void)state;
    for (int i = 0; i < REQUESTERS_MAX; i++) {
        char who[64];

        snprintf(who, sizeof who, "u%d@example.org/desk", i);
        assert_non_null(begins(who));
    }
    assert_null(begins("ana@example.org/desk"));
    for (int i = 0; i < REQUESTER_BURST; i++) {
        char who[64];

        snprintf(who, sizeof who, "v%d@example.org/desk", i);
        assert_true(asks(who));
    }
    assert_false(asks("ana@example.org/desk"));
    assert_true(asks("u1@example.org/desk")); /* who is known has his own */
    clock_advance(REQUESTER_STANZA_MS);
    assert_true(asks("ana@example.org/desk"));
    assert_int_equal(requesters_known(set), REQUESTERS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(so_many_may_be_asked_at_once_and_then_two_a_second, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_asks_all_the_time_is_answered_now_and_then_and_others_always, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(however_many_ask_the_table_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_requester_has_so_many_streams_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_requester_has_so_many_bytes_an_hour, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_has_used_the_hour_is_not_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_who_move_a_byte_each_keep_nobody_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(with_everybody_at_work_nobody_new_begins_and_all_new_ones_ask_as_one, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
