/* base/clock: both clocks, their text, and the one that tests move. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <time.h>

#include "base/clock.h"

static void time_reads_as_rfc_3339(void **state)
{
    static const struct {
        int64_t ms;
        const char *want;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {951827696789, "2000-02-29T12:34:56.789Z"},
        {1795374000123, "2026-11-22T19:00:00.123Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        {253402300800000, "9999-12-31T23:59:59.999Z"}, /* no fifth digit */
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
        {-1, "1970-01-01T00:00:00.000Z"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[CLOCK_TEXT];

        assert_ptr_equal(clock_text(rows[i].ms, text), text);
        assert_string_equal(text, rows[i].want);
    }
}

static int64_t system_ms(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void the_real_clocks_are_the_systems_in_milliseconds(void **state)
{
    int64_t wall_before = system_ms(CLOCK_REALTIME), wall = clock_wall_ms(), wall_after = system_ms(CLOCK_REALTIME);
    int64_t before = system_ms(CLOCK_MONOTONIC), now = clock_ms(), after = system_ms(CLOCK_MONOTONIC);

    (void)state;
    assert_true(wall_before <= wall && wall <= wall_after);
    assert_true(before <= now && now <= after);
}

static void a_fake_clock_moves_only_when_told(void **state)
{
    (void)state;
    clock_fake(1000, 2000000);
    assert_int_equal(clock_ms(), 1000);
    assert_int_equal(clock_wall_ms(), 2000000);
    clock_advance(250);
    assert_int_equal(clock_ms(), 1250);
    assert_int_equal(clock_wall_ms(), 2000250);
    clock_real();
    assert_true(clock_wall_ms() > 1600000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_reads_as_rfc_3339),
        cmocka_unit_test(the_real_clocks_are_the_systems_in_milliseconds),
        cmocka_unit_test(a_fake_clock_moves_only_when_told),
    };
    return cmocka_run_group_tests_name("base/clock", tests, NULL, NULL);
}
