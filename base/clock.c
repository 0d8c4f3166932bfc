/* base/clock.c - time in milliseconds, see clock.h. */
#include "base/clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

/* Tests move the clock while other threads read it. */
static atomic_bool faked;
static _Atomic int64_t fake_monotonic, fake_wall;

static int64_t read_clock(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t); /* cannot fail for these clocks */
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_ms(void)
{
    return faked ? fake_monotonic : read_clock(CLOCK_MONOTONIC);
}

int64_t clock_us(void)
{
    struct timespec t;

    if (faked)
        return fake_monotonic * 1000;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_wall_ms(void)
{
    return faked ? fake_wall : read_clock(CLOCK_REALTIME);
}

/* The last count digits of n, and what follows them. */
static char *put(char *to, unsigned n, size_t count, char then)
{
    for (size_t i = count; i-- > 0; n /= 10)
        to[i] = (char)('0' + n % 10);
    to[count] = then;
    return to + count + 1;
}

/* By hand: an answer has dozens of times, and snprintf() takes 1 µs for each. */
const char *clock_text(int64_t wall_ms, char out[static CLOCK_TEXT])
{
    const int64_t last = 253402300799999; /* the end of year 9999: RFC 3339 has four digits */
    struct tm t = {0};
    char *to = out;
    time_t seconds;

    if (wall_ms < 0)
        wall_ms = 0;
    if (wall_ms > last)
        wall_ms = last;
    seconds = (time_t)(wall_ms / 1000);
    gmtime_r(&seconds, &t);
    to = put(to, (unsigned)t.tm_year + 1900, 4, '-');
    to = put(to, (unsigned)t.tm_mon + 1, 2, '-');
    to = put(to, (unsigned)t.tm_mday, 2, 'T');
    to = put(to, (unsigned)t.tm_hour, 2, ':');
    to = put(to, (unsigned)t.tm_min, 2, ':');
    to = put(to, (unsigned)t.tm_sec, 2, '.');
    to = put(to, (unsigned)(wall_ms % 1000), 3, 'Z');
    *to = '\0';
    return out;
}

void clock_fake(int64_t monotonic_ms, int64_t wall_ms)
{
    fake_monotonic = monotonic_ms;
    fake_wall = wall_ms;
    faked = true;
}

void clock_advance(int64_t ms)
{
    fake_monotonic += ms;
    fake_wall += ms;
}

void clock_real(void)
{
    faked = false;
}
