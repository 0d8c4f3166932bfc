/* base/clock.h - time in milliseconds. Deadlines use the monotonic clock; what people read uses the wall clock. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

int64_t clock_ms(void);      /* monotonic */
int64_t clock_us(void);      /* the same in microseconds, for what takes less */
int64_t clock_wall_ms(void); /* since 1970, UTC */

/* RFC 3339 in UTC with milliseconds, "2026-11-22T19:00:00.123Z"; out holds CLOCK_TEXT bytes. */
enum { CLOCK_TEXT = 25 };
const char *clock_text(int64_t wall_ms, char out[static CLOCK_TEXT]);

/* Tests: a clock that moves only when told; both clocks start from these values. clock_real() restores. */
void clock_fake(int64_t monotonic_ms, int64_t wall_ms);
void clock_advance(int64_t ms);
void clock_real(void);

#endif
