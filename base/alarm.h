/* base/alarm.h - a uv timer that is in memory only while it runs: thousands have one, and few of them need it now.
 *
 * The owner holds a pointer, NULL while nothing is to ring; it stays where it is as long as something is.
 * Thread: the loop's. */
#ifndef BASE_ALARM_H
#define BASE_ALARM_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct alarm;

/* Rings once, ms from uv_now(), in place of what *alarm was to ring; *alarm is NULL by then. false: out of memory, and
 * nothing will ring. */
bool alarm_set(struct alarm **alarm, uv_loop_t *loop, uint64_t ms, void (*ring)(void *user), void *user);

/* NULL is fine; leaves *alarm NULL. */
void alarm_stop(struct alarm **alarm);

#endif
