/* gateway/board.h - where core hangs out snapshots of live transfers, for readers on any thread.
 *
 * A reader never sees a transfer half changed: a snapshot is replaced whole. Finished transfers are taken off once
 * their row is committed; from then on the store answers.
 * Threads: any. The lock is held to look up and to swap a pointer, never while a record is copied or freed. */
#ifndef GATEWAY_BOARD_H
#define GATEWAY_BOARD_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/snapshot.h"

struct board;

struct board *board_create(void); /* NULL: out of memory */
void board_destroy(struct board **board);

/* Hangs out s, which the board holds from here on, in place of the snapshot with the same id. false: out of memory, and
 * the older snapshot, if any, stays. */
bool board_put(struct board *board, struct snapshot *s);

/* A copy, the caller's to free; NULL: not there, or out of memory. */
struct record *board_get(struct board *board, const char *id);

bool board_has(struct board *board, const char *id);

/* Whether it is there, and not final. */
bool board_under_way(struct board *board, const char *id);

/* How many are in which state, and how long the oldest one has been queued. Looks at all of them under the lock. */
struct gateway_census;
void board_census(struct board *board, struct gateway_census *out);

/* Not there is fine. */
void board_remove(struct board *board, const char *id);

#endif
