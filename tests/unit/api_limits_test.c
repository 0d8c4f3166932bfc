/* What a token has used of its limits, by the clock; a refusal names the rule and when to come again. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/limits.h"
#include "base/clock.h"

enum { MINUTE = 60000, HOUR = 60 * MINUTE };

struct world {
    struct limits *limits;
    struct refusal why;
    struct error err;
    const char *live; /* ids of transfers under way, separated by spaces */
};

static bool under_way(void *user, const char *id)
{
    const struct world *w = user;

    return strstr(w->live, id) != NULL;
}

static int set_up(void **state)
{
    static struct world w;

    w = (struct world){.live = ""};
    w.limits = limits_create(under_way, &w);
    clock_fake(0, 0);
    *state = &w;
    return w.limits ? 0 : -1;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    limits_destroy(&w->limits);
    clock_real();
    return 0;
}

static bool ask(struct world *w, const struct token *t)
{
    w->why = (struct refusal){0};
    return limits_request(w->limits, t, &w->why, &w->err);
}

static bool check(struct world *w, const struct token *t, uint64_t size)
{
    w->why = (struct refusal){0};
    return limits_check(w->limits, t, size, &w->why, &w->err);
}

static bool spend(struct world *w, const struct token *t, uint64_t bytes)
{
    w->why = (struct refusal){0};
    return limits_spend(w->limits, t, bytes, &w->why, &w->err);
}

static void so_many_at_once_and_so_many_a_minute(void **state)
{
    static const struct token t = {.id = "ci-1", .rate = 60, .burst = 3}, other = {.id = "ci-2", .rate = 1, .burst = 1};
    struct world *w = *state;

    for (int i = 0; i < 3; i++)
        assert_true(ask(w, &t));
    assert_false(ask(w, &t));
    assert_int_equal(w->err.code, ERR_RATE_LIMITED);
    assert_string_equal(w->why.rule, "token ci-1: rate=60/3");
    assert_int_equal(w->why.again_s, 2);
    assert_true(ask(w, &other)); /* each for itself */
    assert_false(ask(w, &other));
    assert_int_equal(w->why.again_s, 61);
    assert_string_equal(w->why.rule, "token ci-2: rate=1");
    clock_advance(999);
    assert_false(ask(w, &t));
    assert_int_equal(w->why.again_s, 1);
    clock_advance(1);
    assert_true(ask(w, &t)); /* one a second */
    assert_false(ask(w, &t));
    clock_advance(10 * MINUTE);
    for (int i = 0; i < 3; i++)
        assert_true(ask(w, &t)); /* and never more than the burst */
    assert_false(ask(w, &t));
}

static void coming_again_when_told_is_enough(void **state)
{
    static const struct token t = {.id = "ci-1", .rate = 7, .burst = 1};
    struct world *w = *state;

    assert_true(ask(w, &t));
    for (int i = 0; i < 20; i++) {
        assert_false(ask(w, &t));
        clock_advance(w->why.again_s * 1000);
        assert_true(ask(w, &t));
    }
}

static void without_limits_nothing_is_counted(void **state)
{
    static const struct token free = {.id = "free"};
    struct world *w = *state;

    for (int i = 0; i < 1000; i++) {
        assert_true(ask(w, &free) && ask(w, NULL));
        assert_true(check(w, &free, UINT64_MAX) && check(w, NULL, UINT64_MAX));
        assert_true(spend(w, &free, UINT64_MAX) && spend(w, NULL, UINT64_MAX));
        limits_begin(w->limits, &free, "tr_1");
        limits_end(w->limits, NULL, "tr_1");
    }
}

static void a_transfer_counts_while_its_upload_comes_and_then_while_it_is_under_way(void **state)
{
    static const struct token t = {.id = "ci-1", .active = 2};
    struct world *w = *state;

    assert_true(check(w, &t, 0));
    limits_begin(w->limits, &t, "tr_1");
    assert_true(check(w, &t, 0));
    limits_begin(w->limits, &t, "tr_2");
    assert_false(check(w, &t, 0)); /* both come */
    assert_int_equal(w->err.code, ERR_QUOTA_EXCEEDED);
    assert_string_equal(w->why.rule, "token ci-1: active=2");
    assert_true(w->why.again_s > 0);
    w->live = "tr_1 tr_2";
    limits_end(w->limits, &t, "tr_1");
    limits_end(w->limits, &t, "tr_2");
    assert_false(check(w, &t, 0)); /* both are under way */
    w->live = "tr_2";
    assert_true(check(w, &t, 0)); /* one has ended */
    limits_begin(w->limits, &t, "tr_3");
    assert_false(check(w, &t, 0));
    limits_end(w->limits, &t, "tr_3"); /* it broke off */
    assert_true(check(w, &t, 0));
}

static void bytes_are_counted_by_the_day_of_utc(void **state)
{
    static const struct token t = {.id = "ci-1", .daily_bytes = 100};
    struct world *w = *state;

    clock_advance(23 * HOUR);
    assert_true(check(w, &t, 100));
    assert_false(check(w, &t, 101));
    assert_int_equal(w->err.code, ERR_QUOTA_EXCEEDED);
    assert_string_equal(w->why.rule, "token ci-1: daily_bytes=100");
    assert_int_equal(w->why.again_s, 3601);
    assert_true(spend(w, &t, 60));
    assert_false(spend(w, &t, 41));
    assert_true(spend(w, &t, 40));
    assert_true(check(w, &t, 0)); /* nothing is always there */
    assert_false(check(w, &t, 1));
    assert_false(spend(w, &t, UINT64_MAX));
    limits_refund(w->limits, &t, 10);
    assert_true(spend(w, &t, 10));
    assert_false(spend(w, &t, 1));
    clock_advance(w->why.again_s * 1000);
    assert_true(spend(w, &t, 100)); /* another day */
    clock_advance(24 * HOUR);
    limits_refund(w->limits, &t, 50); /* of the day before */
    assert_true(spend(w, &t, 100));
    assert_false(spend(w, &t, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(so_many_at_once_and_so_many_a_minute, set_up, tear_down),
        cmocka_unit_test_setup_teardown(coming_again_when_told_is_enough, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_limits_nothing_is_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_transfer_counts_while_its_upload_comes_and_then_while_it_is_under_way, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(bytes_are_counted_by_the_day_of_utc, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("api/limits", tests, NULL, NULL);
}
