/* socks5/poller.h - the sockets of one thread: an epoll set of their own that a uv loop watches as one descriptor.
 *
 * One uv_poll_t per socket starves the loop's timers for over a second once thousands of sockets are writable at the
 * same time, because libuv takes everything that is ready before it looks at anything else. So a turn takes at most
 * POLLER_BATCH events or POLLER_TURN_MS of work and then lets the loop go on; the rest of the batch comes first in the
 * next turn, so that nobody is passed over.
 *
 * Events carry a slot and its generation, never a pointer: what is ready for a watch that was removed meanwhile, even
 * if descriptor and slot are in use again, is dropped. A watch may be removed and freed from any callback, its own
 * included. Thread: the loop's. */
#ifndef SOCKS5_POLLER_H
#define SOCKS5_POLLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <uv.h>

#include "base/error.h"

enum { POLLER_BATCH = 128, POLLER_TURN_MS = 2 };

/* Embed it; fd, ready and owner are the embedder's, the rest is the poller's. */
struct watch {
    int fd;
    void (*ready)(struct watch *w, uint32_t events); /* EPOLLIN … as of epoll(7), level-triggered */
    void *owner;
    struct poller *poller; /* NULL: not watched */
    uint32_t slot;
    uint32_t events;
};

struct poller_slot {
    struct watch *watch; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
};

struct poller {
    uv_poll_t handle;
    int epoll;
    struct poller_slot *slots;
    uint32_t slot_count, free_slot;
    struct epoll_event batch[POLLER_BATCH];
    int batch_at, batch_end;
};

/* ERR_SYSTEM: out of descriptors or memory. */
bool poller_open(struct poller *p, uv_loop_t *loop, struct error *err);

/* No watch may be left. p stays until the loop has run once more. */
void poller_close(struct poller *p);

bool poller_add(struct poller *p, struct watch *w, uint32_t events, struct error *err);
void poller_change(struct watch *w, uint32_t events);
bool poller_crowded(const struct watch *w); /* others are ready in the turn at hand, or were in the last one */
void poller_remove(struct watch *w);        /* before its descriptor is closed; not watched is fine */

#endif
