/* base/meter: what a turn costs its thread, and how late a timer is, is told; waiting is not held against anybody. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/meter.h"

enum { MS = 1000000 };

struct owner {
    uv_loop_t loop;
    struct meter meter;
    uv_timer_t timer;
    uint64_t due;
};

static void do_nothing(uv_timer_t *timer)
{
    (void)timer;
}

static int set_up(void **state)
{
    static struct owner o;

    memset(&o, 0, sizeof o);
    uv_loop_init(&o.loop);
    meter_open(&o.meter, &o.loop);
    uv_timer_init(&o.loop, &o.timer);
    o.timer.data = &o;
    uv_timer_start(&o.timer, do_nothing, 0, 0); /* the first turn: what is due before it is not measured */
    uv_run(&o.loop, UV_RUN_DEFAULT);
    *state = &o;
    return 0;
}

static int tear_down(void **state)
{
    struct owner *o = *state;

    meter_close(&o->meter);
    uv_close((uv_handle_t *)&o->timer, NULL);
    uv_run(&o->loop, UV_RUN_DEFAULT);
    return uv_loop_close(&o->loop);
}

static int64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000 * MS + t.tv_nsec;
}

static void work_for_30_ms(uv_timer_t *timer)
{
    int64_t end = cpu_ns() + 30 * MS;

    (void)timer;
    while (cpu_ns() < end) {
    }
}

static void sleep_for_100_ms(uv_timer_t *timer)
{
    (void)timer;
    nanosleep(&(struct timespec){.tv_nsec = 100 * MS}, NULL);
}

static void tell(uv_timer_t *timer)
{
    struct owner *o = timer->data;

    meter_timer(&o->meter, o->due);
}

static void run_timer(struct owner *o, uv_timer_cb callback)
{
    uv_timer_start(&o->timer, callback, 0, 0);
    uv_run(&o->loop, UV_RUN_DEFAULT);
}

static void the_work_of_a_turn_counts(void **state)
{
    struct owner *o = *state;

    run_timer(o, work_for_30_ms);
    assert_true(o->meter.longest_ns >= 30 * MS);
    assert_true(o->meter.turns >= 2);
}

static void a_turn_that_only_waits_is_short(void **state)
{
    struct owner *o = *state;

    run_timer(o, sleep_for_100_ms);
    assert_true(o->meter.longest_ns < 90 * MS);
}

static void the_latest_timer_is_kept(void **state)
{
    struct owner *o = *state;

    uv_update_time(&o->loop);
    o->due = uv_now(&o->loop) - 400;
    run_timer(o, tell);
    o->due = uv_now(&o->loop);
    run_timer(o, tell);
    assert_true(o->meter.latest_ms >= 400);
}

static char last_line[512];

static void keep_line(void *user, enum log_level level, const char *line)
{
    (void)user;
    (void)level;
    strncpy(last_line, line, sizeof last_line - 1);
}

static void it_is_told_as_one_line(void **state)
{
    const struct meter m = {.turns = 7, .longest_ns = 1234567, .latest_ms = 8};

    (void)state;
    log_setup(LOG_INFO, LOG_TEXT);
    log_capture(keep_line, NULL);
    meter_log(&m, "stream.0");
    log_capture(NULL, NULL);
    assert_non_null(strstr(last_line, "event=loop.turns loop=stream.0 turns=7 longest_cpu_us=1234 latest_timer_ms=8"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_work_of_a_turn_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_turn_that_only_waits_is_short, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_latest_timer_is_kept, set_up, tear_down),
        cmocka_unit_test(it_is_told_as_one_line),
    };
    return cmocka_run_group_tests_name("base/meter", tests, NULL, NULL);
}
