/* base/meter.h - how long the turns of a loop take and how late its timers are: what one busy stream costs all others;
 * and how long one kind of work may take of a turn.
 *
 * A turn is from one wait for events to the next. It is measured in processor time of the thread, so that neither
 * waiting nor a neighbour on the same processor counts. One clock_gettime(2) a turn. Thread: the loop's; the numbers
 * may be read once its thread has ended. */
#ifndef BASE_METER_H
#define BASE_METER_H

#include <stdbool.h>
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

/* What a turn may spend on one kind of work of which there may be any amount: SHARE_NS of the thread's processor time,
 * looked at every SHARE_ITEMS items. The rest has the next turn, so that timers and sockets have theirs. */
enum { SHARE_NS = 2 * 1000 * 1000, SHARE_ITEMS = 4 };

struct share {
    int64_t end_ns;
    unsigned items;
};

struct share share_begin(void);
bool share_left(struct share *s); /* after each item: whether another one may follow */

#endif
