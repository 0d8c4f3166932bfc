/* cli/progress.h - how far a transfer is, as one line for people. Pure functions. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
    const char *name, *to;
    const char *doing;    /* "uploading", "offering", "transferring", "delivered" … */
    uint64_t done, total; /* bytes */
    bool counts;          /* done is worth telling */
    bool sized;           /* total is known */
    uint64_t rate;        /* bytes a second; 0: not known */
    const char *method;   /* NULL: none yet */
    const char *path;     /* NULL: none yet */
    int64_t took_ms;      /* with a final state: how long it took; 0: not known */
    const char *added;    /* said last: an id, a reason; NULL: nothing */
};

/* "report.pdf to ana@example.org: transferring 62%, 1.2 MiB/s, si-s5b direct, 0:12 left"; cut to columns (0: not cut),
 * on a character's boundary. Returns out. */
const char *progress_line(const struct progress *p, unsigned columns, char *out, size_t max);

/* "1.4 MiB", "512 B". */
const char *progress_size(uint64_t bytes, char *out, size_t max);

/* The rate, from what was there at several times: the mean of the last few seconds. */
struct meter_point {
    int64_t at;
    uint64_t done;
};
struct progress_rate {
    struct meter_point points[16];
    unsigned count;
};
uint64_t progress_rate(struct progress_rate *r, int64_t now_ms, uint64_t done);

#endif
