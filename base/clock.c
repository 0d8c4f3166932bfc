/* base/clock.c - time in milliseconds, see clock.h. */
#include "base/clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
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

int64_t clock_wall_ms(void)
{
    return faked ? fake_wall : read_clock(CLOCK_REALTIME);
}

const char *clock_text(int64_t wall_ms, char out[static CLOCK_TEXT])
{
    const int64_t last = 253402300799999; /* the end of year 9999: RFC 3339 has four digits */
    struct tm t = {0};
    time_t seconds;

    if (wall_ms < 0)
        wall_ms = 0;
    if (wall_ms > last)
        wall_ms = last;
    seconds = (time_t)(wall_ms / 1000);
    gmtime_r(&seconds, &t);
    /* The moduli say to the compiler what the clamp above ensures. */
    snprintf(out, CLOCK_TEXT, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned)(t.tm_year + 1900) % 10000,
             (unsigned)(t.tm_mon + 1) % 100, (unsigned)t.tm_mday % 100, (unsigned)t.tm_hour % 100,
             (unsigned)t.tm_min % 100, (unsigned)t.tm_sec % 100, (unsigned)(wall_ms % 1000));
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
