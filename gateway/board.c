/* gateway/board.c - where core hangs out snapshots of live transfers, see board.h. */
#include "gateway/board.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "base/clock.h"
#include "gateway/gateway.h"

struct entry {
    char id[ID_SIZE];
    struct snapshot *snapshot;
    UT_hash_handle hh;
};

struct board {
    pthread_mutex_t lock; /* over everything below */
    struct entry *entries;
};

struct board *board_create(void)
{
    struct board *board = calloc(1, sizeof *board);

    if (board)
        pthread_mutex_init(&board->lock, NULL);
    return board;
}

void board_destroy(struct board **board)
{
    struct entry *e, *next;

    if (!*board)
        return;
    e = (*board)->entries;
    HASH_CLEAR(hh, (*board)->entries); /* the table goes, the entries' own chain stays */
    for (; e; e = next) {
        next = e->hh.next;
        snapshot_release(&e->snapshot);
        free(e);
    }
    pthread_mutex_destroy(&(*board)->lock);
    free(*board);
    *board = NULL;
}

/* Under the lock. */
static struct entry *entry_of(struct board *board, const char *id)
{
    struct entry *e;

    HASH_FIND_STR(board->entries, id, e);
    return e;
}

bool board_put(struct board *board, struct snapshot *s)
{
    struct entry *spare = calloc(1, sizeof *spare), *e = NULL;
    struct snapshot *old = NULL;
    const char *id = snapshot_record(s)->id;

    if (!spare)
        return false;
    memcpy(spare->id, id, sizeof spare->id);
    pthread_mutex_lock(&board->lock);
    e = entry_of(board, id);
    if (e) {
        old = e->snapshot;
    } else {
        HASH_ADD_STR(board->entries, id, spare);
        if (spare->hh.tbl) { /* NULL: no memory for the table */
            e = spare;
            spare = NULL;
        }
    }
    if (e)
        e->snapshot = snapshot_hold(s);
    pthread_mutex_unlock(&board->lock);
    snapshot_release(&old);
    free(spare);
    return e != NULL;
}

struct record *board_get(struct board *board, const char *id)
{
    struct snapshot *s = NULL;
    struct record *copy;
    struct entry *e;

    pthread_mutex_lock(&board->lock);
    e = entry_of(board, id);
    if (e)
        s = snapshot_hold(e->snapshot);
    pthread_mutex_unlock(&board->lock);
    copy = s ? record_copy(snapshot_record(s)) : NULL;
    snapshot_release(&s);
    return copy;
}

bool board_has(struct board *board, const char *id)
{
    bool there;

    pthread_mutex_lock(&board->lock);
    there = entry_of(board, id) != NULL;
    pthread_mutex_unlock(&board->lock);
    return there;
}

bool board_under_way(struct board *board, const char *id)
{
    struct entry *e;
    bool live;

    pthread_mutex_lock(&board->lock);
    e = entry_of(board, id);
    live = e && !transfer_state_final(snapshot_record(e->snapshot)->state);
    pthread_mutex_unlock(&board->lock);
    return live;
}

void board_census(struct board *board, struct gateway_census *out)
{
    int64_t now = clock_wall_ms(), since = now;
    struct entry *e, *next;

    *out = (struct gateway_census){0};
    pthread_mutex_lock(&board->lock);
    HASH_ITER(hh, board->entries, e, next)
    {
        const struct record *r = snapshot_record(e->snapshot);

        out->transfers[r->state]++;
        if (r->state == TRANSFER_QUEUED && r->next_attempt_at == 0 && r->updated < since)
            since = r->updated;
    }
    pthread_mutex_unlock(&board->lock);
    out->oldest_ms = now - since;
}

void board_remove(struct board *board, const char *id)
{
    struct snapshot *old = NULL;
    struct entry *e;

    pthread_mutex_lock(&board->lock);
    e = entry_of(board, id);
    if (e) {
        HASH_DEL(board->entries, e);
        old = e->snapshot;
    }
    pthread_mutex_unlock(&board->lock);
    snapshot_release(&old);
    free(e);
}
