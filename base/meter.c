/* base/meter.c - the turns of a loop, see meter.h. */
#include "base/meter.h"

#include <string.h>
#include <time.h>

#include "base/log.h"

static int64_t thread_cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct meter *m = prepare->data;
    int64_t now = thread_cpu_ns();

    if (m->last_ns >= 0 && now - m->last_ns > m->longest_ns)
        m->longest_ns = now - m->last_ns;
    m->last_ns = now;
    m->turns++;
}

void meter_open(struct meter *m, uv_loop_t *loop)
{
    memset(m, 0, sizeof *m);
    m->last_ns = -1;
    uv_prepare_init(loop, &m->prepare);
    m->prepare.data = m;
    uv_prepare_start(&m->prepare, on_prepare);
    uv_unref((uv_handle_t *)&m->prepare);
}

void meter_close(struct meter *m)
{
    uv_close((uv_handle_t *)&m->prepare, NULL);
}

void meter_timer(struct meter *m, uint64_t due_ms)
{
    int64_t late = (int64_t)(uv_hrtime() / 1000000) - (int64_t)due_ms;

    if (late > m->latest_ms)
        m->latest_ms = late;
}

void meter_log(const struct meter *m, const char *loop)
{
    log_info("loop.turns", log_str("loop", loop), log_int("turns", (int64_t)m->turns),
             log_int("longest_cpu_us", m->longest_ns / 1000), log_int("latest_timer_ms", m->latest_ms));
}

struct share share_begin(void)
{
    return (struct share){.end_ns = thread_cpu_ns() + SHARE_NS};
}

bool share_left(struct share *s)
{
    return ++s->items % SHARE_ITEMS != 0 || thread_cpu_ns() < s->end_ns;
}
