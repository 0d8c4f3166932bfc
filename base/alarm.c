/* base/alarm.c - a uv timer that is in memory only while it runs, see alarm.h. */
#include "base/alarm.h"

#include <stdlib.h>

struct alarm {
    uv_timer_t timer; /* first */
    struct alarm **owner;
    void (*ring)(void *user);
    void *user;
};

static void free_alarm(uv_handle_t *timer)
{
    free(timer);
}

static void on_timer(uv_timer_t *timer)
{
    struct alarm *a = (struct alarm *)timer;

    alarm_stop(a->owner);
    a->ring(a->user); /* a goes once the loop has turned */
}

bool alarm_set(struct alarm **alarm, uv_loop_t *loop, uint64_t ms, void (*ring)(void *user), void *user)
{
    struct alarm *a = *alarm;

    if (!a) {
        a = malloc(sizeof *a);
        if (!a)
            return false;
        uv_timer_init(loop, &a->timer);
    }
    a->owner = alarm;
    a->ring = ring;
    a->user = user;
    *alarm = a;
    uv_timer_start(&a->timer, on_timer, ms, 0);
    return true;
}

void alarm_stop(struct alarm **alarm)
{
    struct alarm *a = *alarm;

    *alarm = NULL;
    if (a)
        uv_close((uv_handle_t *)&a->timer, free_alarm);
}
