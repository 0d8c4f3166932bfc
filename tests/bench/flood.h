/* tests/bench/flood.h - as many bytes as asked through each of many ways that are open already, all at once. */
#ifndef BENCH_FLOOD_H
#define BENCH_FLOOD_H

#include <stddef.h>
#include <stdint.h>

struct way {
    int in, out; /* written to, read from */
};

/* From the first byte written until the last of all ways is read, in nanoseconds. Two threads, one at either end; what
 * is read is dropped in the kernel. When nothing comes for a few seconds, *lost tells what did not: a relay may lose
 * bytes. */
int64_t flood(const struct way *ways, size_t count, uint64_t bytes_each, uint64_t *lost);

#endif
