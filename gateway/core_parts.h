/* gateway/core_parts.h - struct live, and what the parts of core share: for gateway/core*.c alone.
 *
 *     core.c          the thread: start and recovery, news from the network, heartbeat, drain and stop
 *     core_lives.c    live transfers: their events, their place in line, their upload
 *     core_events.c   what is told of them, as events
 *     core_batches.c  when a batch is complete
 *     core_rows.c     their rows, and what a committed end brings: answers for who waits, and the payload goes
 *
 * What others may call is in core.h. Thread: core's. */
#ifndef GATEWAY_CORE_PARTS_H
#define GATEWAY_CORE_PARTS_H

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>
#include <utlist.h>

#include "gateway/core.h"

struct waiter;

/* A transfer that is not over, or whose end is not committed yet. */
struct live {
    UT_hash_handle hh;
    struct live *prev, *next;                 /* in gw->runs */
    struct live *rowless_prev, *rowless_next; /* in gw->rowless, while it is */
    bool rowless;
    struct growth growth;
    struct gateway *gw;
    struct transfer *transfer;
    struct waiter *waiters;
    char id[ID_SIZE];
    char *key; /* the recipient's bare JID */
    bool in_runs;
    bool has_events;
    bool publish; /* the record changed */
    bool write;   /* so that its row has to */
    bool in_line;
    bool resting;  /* prepared, and waits for the commit of its first row */
    bool counted;  /* in its batch */
    bool fileless; /* there is nothing of it in the spool, or it is another's to remove */
    bool unplaced; /* there was no memory for its place in line */
    struct {
        bool created; /* that it is there */
        enum transfer_state state;
        uint64_t sent, received;
        int64_t at;
    } told;         /* by the last event of it */
    int64_t row_at; /* for a row that may wait a little, and another try at one that was not written; 0: none */
};

/* ---- core_lives.c */

/* What each transfer is lent; once carrier and network are known. */
struct transfer_env core_env(struct gateway *gw);

/* It has something to do: core_flush() is due, on a turn of the loop that has room for it. */
void core_touch(struct live *live);

/* Works through what happened to it, publishes it, and has its row written, as far as each is due. */
void core_flush(struct live *live);

/* Starts who may start. */
void core_schedule(struct gateway *gw);

/* Its row is written in so many milliseconds, or a little later. */
void core_write_after(struct live *live, int64_t ms);

/* How far its upload is, for those who look. */
void core_note_growth(struct live *live);

/* Not over, and not on its way either. */
bool core_stands_still(const struct live *live);

/* While draining: parks it if it stands still. */
void core_park_still(struct live *live);

/* For other threads: how many are under way and queued; while draining, how many still flow. The latter by all that can
 * become one less, and never once for each of many. */
void core_count_work(struct gateway *gw);
void core_count_flowing(struct gateway *gw);

/* ---- core_events.c */

/* Its state is another than the last event said, and an event of its own says so: not its end's. */
bool core_has_news(const struct live *live);

/* Publishes what there is to tell, if anything: s is a snapshot of it, and on the board. */
void core_tell(struct live *live, struct snapshot *s);

void core_tell_network(struct gateway *gw, const struct network_view *view);

/* ---- core_rows.c */

/* The row as the record is now. When that is final, core_over() follows the commit; what fails is tried again. */
void core_write_row(struct live *live);

/* Whoever waits is told how it is now. */
void core_answer_waiters(struct live *live);

/* Likewise who waits for a change, if there is one for him. */
void core_answer_change(struct live *live);

/* What a failed transfer can be tried again with stays a while. */
bool core_may_be_retried(const struct gateway *gw, const struct record *r);

#endif
