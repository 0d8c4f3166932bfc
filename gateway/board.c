/* gateway/board.c - where core hangs out snapshots of live transfers, see board.h. */
#include "gateway/board.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

/* A record that nobody changes any more; freed by whoever lets go of it last, so that readers copy without the lock. */
struct snapshot {
    struct record *record;
    size_t holders; /* the board and readers; under the board's lock */
};

struct entry {
    char id[ID_SIZE];
    struct snapshot *snapshot;
    UT_hash_handle hh;
};

struct board {
    pthread_mutex_t lock; /* over everything below */
    struct entry *entries;
};

static void snapshot_free(struct snapshot *s)
{
    if (!s)
        return;
    record_free(&s->record);
    free(s);
}

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
        assert(e->snapshot->holders == 1);
        snapshot_free(e->snapshot);
        free(e);
    }
    pthread_mutex_destroy(&(*board)->lock);
    free(*board);
    *board = NULL;
}

/* Under the lock. What the caller has to free once it is unlocked, or NULL. */
static struct snapshot *let_go(struct snapshot *s)
{
    assert(s->holders > 0);
    return --s->holders == 0 ? s : NULL;
}

/* Under the lock. */
static struct entry *entry_of(struct board *board, const char *id)
{
    struct entry *e;

    HASH_FIND_STR(board->entries, id, e);
    return e;
}

bool board_put(struct board *board, struct record *r)
{
    struct snapshot *s = malloc(sizeof *s), *old = NULL;
    struct entry *spare = calloc(1, sizeof *spare), *e = NULL;

    if (!s || !spare) {
        record_free(&r);
        free(s);
        free(spare);
        return false;
    }
    *s = (struct snapshot){.record = r, .holders = 1};
    memcpy(spare->id, r->id, sizeof spare->id);
    pthread_mutex_lock(&board->lock);
    e = entry_of(board, r->id);
    if (e) {
        old = let_go(e->snapshot);
    } else {
        HASH_ADD_STR(board->entries, id, spare);
        if (spare->hh.tbl) { /* NULL: no memory for the table */
            e = spare;
            spare = NULL;
        }
    }
    if (e)
        e->snapshot = s;
    pthread_mutex_unlock(&board->lock);
    snapshot_free(old);
    free(spare);
    if (!e)
        snapshot_free(s);
    return e != NULL;
}

struct record *board_get(struct board *board, const char *id)
{
    struct snapshot *s = NULL;
    struct record *copy;
    struct entry *e;

    pthread_mutex_lock(&board->lock);
    e = entry_of(board, id);
    if (e) {
        s = e->snapshot;
        s->holders++;
    }
    pthread_mutex_unlock(&board->lock);
    if (!s)
        return NULL;

    copy = record_copy(s->record);

    pthread_mutex_lock(&board->lock);
    s = let_go(s);
    pthread_mutex_unlock(&board->lock);
    snapshot_free(s);
    return copy;
}

bool board_under_way(struct board *board, const char *id)
{
    struct entry *e;
    bool live;

    pthread_mutex_lock(&board->lock);
    e = entry_of(board, id);
    live = e && !transfer_state_final(e->snapshot->record->state);
    pthread_mutex_unlock(&board->lock);
    return live;
}

void board_remove(struct board *board, const char *id)
{
    struct snapshot *old = NULL;
    struct entry *e;

    pthread_mutex_lock(&board->lock);
    e = entry_of(board, id);
    if (e) {
        HASH_DEL(board->entries, e);
        old = let_go(e->snapshot);
    }
    pthread_mutex_unlock(&board->lock);
    snapshot_free(old);
    free(e);
}
