/* socks5/front.h - the listeners, and everybody who came and has not yet asked for a name that is waited for.
 *
 * The one part that strangers can reach. A client has a deadline and a place among those of its address; what it asks
 * for is looked up and nothing else: a client that knows a name moves on to that stream's thread, or waits in the lobby
 * for its other side; any other is told no, in the same way and time whether the name never existed or is used up.
 *
 * Thread: the first worker's. */
#ifndef SOCKS5_FRONT_H
#define SOCKS5_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "socks5/crowd.h"

enum { FRONT_LISTENERS = 4, FRONT_ACCEPTS = 64 };

struct worker;

struct front {
    struct worker *worker;
    struct watch listeners[FRONT_LISTENERS];
    size_t listener_count;
    int spare; /* a descriptor to give up when there are no more: -1: it is given up */
    int64_t warned;
    struct crowd pending;
};

/* Takes the listeners over on success. */
bool front_open(struct front *f, struct worker *worker, const int *listen, size_t listens, struct error *err);
void front_close(struct front *f);

/* Gives the listeners back, as they were. Before the thread runs. */
void front_release(struct front *f);

/* Deadlines; false: nothing is left that could have one. */
bool front_sweep(struct front *f, int64_t now);

#endif
