/* base/meter.h - how long the turns of a loop take and how late its timers are: what one busy stream costs all others.
 *
 * A turn is from one wait for events to the next. It is measured in processor time of the thread, so that neither
 * waiting nor a neighbour on the same processor counts. One clock_gettime(2) a turn. Thread: the loop's; the numbers
 * may be read once its thread has ended. */
#ifndef BASE_METER_H
#define BASE_METER_H

#include <stdint.h>
#include <uv.h>

struct meter {
    uv_prepare_t prepare;
    int64_t last_ns; /* the thread's processor time when the last turn ended; -1: there was none */
    uint64_t turns;
    int64_t longest_ns;
    int64_t latest_ms;
};

/* Does not keep the loop alive. */
void meter_open(struct meter *m, uv_loop_t *loop);
void meter_close(struct meter *m); /* m stays until the loop has run once more */

/* From a timer's callback that was due at due_ms of uv_now(). */
void meter_timer(struct meter *m, uint64_t due_ms);

/* One line, event=loop.turns: which loop, how many, longest_cpu_us, latest_timer_ms. */
void meter_log(const struct meter *m, const char *loop);

#endif
