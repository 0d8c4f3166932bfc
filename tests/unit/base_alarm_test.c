/* base/alarm: it rings once, unless it is stopped or set anew, and leaves no handle behind. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alarm.h"

struct owner {
    uv_loop_t loop;
    struct alarm *alarm;
    unsigned rang;
    bool again;
};

static void ring(void *user)
{
    struct owner *o = user;

    assert_null(o->alarm);
    o->rang++;
    if (o->again)
        assert_true(alarm_set(&o->alarm, &o->loop, 0, ring, o));
    o->again = false;
}

static void end(struct owner *o)
{
    uv_run(&o->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&o->loop), 0); /* no handle is left */
}

static void it_rings_once_and_is_gone(void **state)
{
    struct owner o = {0};

    (void)state;
    uv_loop_init(&o.loop);
    assert_true(alarm_set(&o.alarm, &o.loop, 1, ring, &o));
    assert_non_null(o.alarm);
    end(&o);
    assert_int_equal(o.rang, 1);
    assert_null(o.alarm);
}

static void it_may_be_set_again_when_it_rings(void **state)
{
    struct owner o = {.again = true};

    (void)state;
    uv_loop_init(&o.loop);
    assert_true(alarm_set(&o.alarm, &o.loop, 0, ring, &o));
    end(&o);
    assert_int_equal(o.rang, 2);
}

static void setting_it_anew_replaces_what_was_to_ring(void **state)
{
    struct owner o = {0};

    (void)state;
    uv_loop_init(&o.loop);
    assert_true(alarm_set(&o.alarm, &o.loop, 3600 * 1000, ring, &o));
    assert_true(alarm_set(&o.alarm, &o.loop, 0, ring, &o));
    end(&o);
    assert_int_equal(o.rang, 1);
}

static void a_stopped_one_does_not_ring(void **state)
{
    struct owner o = {0};

    (void)state;
    uv_loop_init(&o.loop);
    assert_true(alarm_set(&o.alarm, &o.loop, 0, ring, &o));
    alarm_stop(&o.alarm);
    assert_null(o.alarm);
    alarm_stop(&o.alarm);
    end(&o);
    assert_int_equal(o.rang, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_rings_once_and_is_gone),
        cmocka_unit_test(it_may_be_set_again_when_it_rings),
        cmocka_unit_test(setting_it_anew_replaces_what_was_to_ring),
        cmocka_unit_test(a_stopped_one_does_not_ring),
    };
    return cmocka_run_group_tests_name("base/alarm", tests, NULL, NULL);
}
