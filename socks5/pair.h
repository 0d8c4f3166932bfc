/* socks5/pair.h - two joined sockets, and the pairs of one thread.
 *
 * Each side's bytes go to the other through the thread's conduit, a fair share per turn, as soon as the one has some
 * and the other has room; there is no buffer per pair. One side's end is passed on once its last byte was, and the
 * other may go on; the pair is over when both have ended, or when the second does not follow. A side that is reset
 * takes the other along, so that nobody takes half a file for a whole one.
 *
 * The lobby (first thread) makes a pair and posts it to the thread of its id, which posts it back when it is over. So a
 * pair needs no memory at its end, and has one owner at any time. Thread: the worker's; times: monotonic milliseconds.
 */
#ifndef SOCKS5_PAIR_H
#define SOCKS5_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mailbox.h"
#include "socks5/conduit.h"
#include "socks5/poller.h"
#include "socks5/socks5.h"

enum { PAIR_KEY = 20, PAIR_BUCKETS = 1024 };

struct worker;

struct side {
    struct watch watch;
    uint64_t moved;    /* bytes read of it */
    struct rest *rest; /* of them: the other side has no room */
    int unacknowledged;
    bool blocked; /* not read: the other side has no room */
    bool ended;   /* it sends no more */
    bool passed;  /* and the other side was told */
    bool gone;    /* closed or reset: nothing more comes than lies in its socket, and that is not waited for */
    bool deaf;    /* writing to it failed */
};

struct pair {
    struct message message; /* on its way; first */
    uint64_t id;
    uint8_t key[PAIR_KEY]; /* the lobby's */
    struct socks5_engine *engine;
    struct pair *next;    /* in its bucket */
    struct side sides[2]; /* in the order in which they came */
    struct socks5_pair_options options;
    uint64_t allowance; /* bytes until the next sweep, when there is a rate */
    uint64_t told;      /* of both sides' moved */
    uint32_t unsent_max;
    uint32_t lost; /* bytes that could not be passed on */
    int64_t joined, deadline, swept, next_progress;
    struct error why; /* when it is over */
};

struct pairs {
    struct worker *worker;
    struct conduit conduit;             /* closed while there is no pair */
    size_t counted;                     /* of its pipe, in the engine's statistics */
    struct pair *buckets[PAIR_BUCKETS]; /* by id */
    size_t count;
};

/* Takes both descriptors over, also on failure; NULL: out of memory. They are counted as open until the pair ends. */
struct pair *pair_new(struct socks5_engine *engine, uint64_t id, int first, int second);
void pair_free(struct pair **pair); /* resets what is still open; NULL is fine */

void pairs_open(struct pairs *set, struct worker *worker);
void pairs_close(struct pairs *set); /* ends all without events */

void pairs_join(struct pairs *set, struct pair *pair);
void pairs_cancel(struct pairs *set, uint64_t id);

/* Deadlines, rates and progress; false: nothing is left that could have any. */
bool pairs_sweep(struct pairs *set, int64_t now);

#endif
