/* base/process.h - what the process takes of the system: processor time, memory, descriptors.
 *
 * /proc is out of reach once the sandbox is closed, so what is read of it is opened before. Any thread. */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

struct process_usage {
    int64_t started_ms;        /* wall clock, when process_open() was called; 0: it was not */
    int64_t cpu_us;            /* user and system */
    int64_t resident, virtual; /* bytes; -1: not known */
    int64_t open_fds, max_fds; /* -1: not known, or no limit */
};

void process_open(void); /* once, before the sandbox */
void process_close(void);
void process_usage(struct process_usage *out);

#endif
