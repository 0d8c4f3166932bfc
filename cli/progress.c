#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum { WINDOW_MS = 5000 };

const char *progress_size(uint64_t bytes, char *out, size_t max)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double n = (double)bytes;
    size_t unit = 0;

    while (n >= 1024 && unit + 1 < sizeof units / sizeof *units)
        n /= 1024, unit++;
    if (unit == 0)
        snprintf(out, max, "%" PRIu64 " B", bytes);
    else
        snprintf(out, max, n < 10 ? "%.1f %s" : "%.0f %s", n, units[unit]);
    return out;
}

uint64_t progress_rate(struct progress_rate *r, int64_t now_ms, uint64_t done)
{
    unsigned room = sizeof r->points / sizeof *r->points, old = 0;
    const struct meter_point *last = r->count ? &r->points[r->count - 1] : NULL;

    if (last && done < last->done) /* another attempt, from its beginning */
        r->count = 0;
    while (old + 1 < r->count && (r->points[old].at < now_ms - WINDOW_MS || r->count - old >= room))
        old++;
    memmove(r->points, r->points + old, (r->count - old) * sizeof *r->points);
    r->count -= old;
    r->points[r->count++] = (struct meter_point){now_ms, done};
    if (now_ms <= r->points[0].at)
        return 0;
    return (done - r->points[0].done) * 1000 / (uint64_t)(now_ms - r->points[0].at);
}

/* Bytes of text that fill at most so many columns, one a character. */
static size_t fitting(const char *text, unsigned columns)
{
    size_t len = strlen(text), at = 0;

    while (columns-- > 0 && at < len) {
        uint32_t code;
        size_t n = text_char(text + at, len - at, &code);

        at += n ? n : 1;
    }
    return at;
}

static size_t add_time(char *out, size_t max, int64_t seconds)
{
    if (seconds >= 3600)
        return (size_t)snprintf(out, max, "%" PRId64 ":%02d:%02d", seconds / 3600, (int)(seconds / 60 % 60),
                                (int)(seconds % 60));
    return (size_t)snprintf(out, max, "%d:%02d", (int)(seconds / 60), (int)(seconds % 60));
}

/* snprintf() with an end that stays the end. */
#define ADD(...) (len += len < max ? (size_t)snprintf(out + len, max - len, __VA_ARGS__) : 0)

static size_t add_numbers(const struct progress *p, char *out, size_t len, size_t max)
{
    char size[24];

    if (p->counts && p->sized && p->total > 0)
        ADD(" %d%%", (int)(p->done >= p->total ? 100 : (double)p->done * 100 / (double)p->total));
    else if (p->counts)
        ADD(" %s", progress_size(p->done, size, sizeof size));
    if (p->rate > 0)
        ADD(", %s/s", progress_size(p->rate, size, sizeof size));
    if (p->method)
        ADD(", %s%s%s", p->method, p->path ? " " : "", p->path ? p->path : "");
    if (p->counts && p->sized && p->rate > 0 && p->done < p->total) {
        ADD(", ");
        if (len < max)
            len += add_time(out + len, max - len, (int64_t)((p->total - p->done + p->rate - 1) / p->rate));
        ADD(" left");
    }
    return len;
}

const char *progress_line(const struct progress *p, unsigned columns, char *out, size_t max)
{
    size_t len = 0;

    ADD("%.*s to %s: %s", (int)fitting(p->name, 40), p->name, p->to, p->doing);
    len = add_numbers(p, out, len, max);
    if (p->took_ms > 0) {
        ADD(", in ");
        if (len < max)
            len += add_time(out + len, max - len, (p->took_ms + 999) / 1000);
    }
    if (p->added)
        ADD(", %s", p->added);
    if (len >= max)
        out[text_whole(out, max - 1)] = '\0';
    if (columns > 0)
        out[fitting(out, columns)] = '\0';
    return out;
}
