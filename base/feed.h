/* base/feed.h - a file that is read while it is written: how far it has grown, and how it ended.
 *
 * The bytes are in the file; this tells two threads of each other. One writer says what is there (feed_grow, feed_end),
 * one reader at a time what it has taken (feed_take), and each may sleep until the other has news: it leaves a waiter,
 * which is called once, on the other's thread. Nobody polls, and no lock is held: who publishes news looks for a waiter
 * afterwards, who leaves a waiter looks for news afterwards, so one of them sees the other.
 * Threads: any; counted, so it goes with the last who holds it. */
#ifndef BASE_FEED_H
#define BASE_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct feed;

enum feed_state { FEED_GROWING, FEED_COMPLETE, FEED_ABORTED };

/* Embed it. wake: called once, by whoever has the news; it may only pass it on. The news may be older than the wait
 * (its bearer was overtaken between publishing it and looking for a waiter), so, as with a condition variable, whoever
 * is woken looks again, and waits again if there is still nothing in it for him. */
struct feed_waiter {
    void (*wake)(struct feed_waiter *w);
};

struct feed *feed_create(void); /* growing, and empty; NULL: out of memory */
struct feed *feed_hold(struct feed *f);
void feed_release(struct feed **f); /* NULL is fine; leaves *f NULL */

struct feed_view {
    enum feed_state state;
    uint64_t available; /* bytes in the file; all of them once it is complete */
};
struct feed_view feed_look(struct feed *f);

/* ---- the writer's */
void feed_grow(struct feed *f, uint64_t available); /* nobody is woken for as much as before */
void feed_end(struct feed *f, enum feed_state how); /* once */

/* Until the reader has taken that much, or nobody will read any more. false: so it is, and w stays the caller's. */
bool feed_await_taken(struct feed *f, uint64_t taken, struct feed_waiter *w);
uint64_t feed_taken(struct feed *f);

/* Takes a waiter back. false: it was called, or is being called. */
bool feed_withdraw_writer(struct feed *f, struct feed_waiter *w);

/* ---- the reader's */
void feed_take(struct feed *f, uint64_t taken); /* everything before is not needed any more */

/* Until there is more than what was seen. false: there is, and w stays the caller's. */
bool feed_await_news(struct feed *f, struct feed_view seen, struct feed_waiter *w);
bool feed_withdraw_reader(struct feed *f, struct feed_waiter *w);

/* ---- whoever gives out the work: nobody will read it any more, so what else comes need not be kept. Once; NULL: not
 * refused. */
void feed_refuse(struct feed *f, const struct error *why);
const struct error *feed_refused(struct feed *f);

#endif
