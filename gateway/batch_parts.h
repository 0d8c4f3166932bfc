/* gateway/batch_parts.h - struct batch, and what the parts of it share: for gateway/batch.c and fetch.c alone.
 *
 *     batch.c     the call: its records, files that are here, one commit
 *     fetch.c     the same of a file that has to be fetched first: its transfers are there before it is
 *
 * What others may call is in gateway.h and core.h. Thread: the one that has the batch just now. */
#ifndef GATEWAY_BATCH_PARTS_H
#define GATEWAY_BATCH_PARTS_H

#include "gateway/upload_parts.h"

struct fetch_waiter;

struct batch {
    struct message message;
    uv_work_t work;
    struct gateway *gw;
    char id[ID_SIZE];
    size_t files, recipients;
    struct upload **uploads;
    struct record **records; /* of the transfers, file by file; NULL once `lives` has them */
    struct live **lives;
    struct record_list answer;
    struct reservation *key; /* NULL: none */
    uint64_t most;           /* bytes that it may have; 0: as the spool says */
    char *path;              /* of the one file, which is still to be copied; NULL: it is here */
    gateway_list_fn *done;
    void *user;
    struct error error;

    /* of one that is fetched */
    char *url;     /* NULL: it is none */
    bool named;    /* by the caller */
    bool fetching; /* its bytes come just now */
    uint64_t ticket;
    int64_t told; /* monotonic; how far it is */
    struct fetch_waiter *waiters;
    struct batch *prev, *next; /* in gw->fetches, from the answer on */
};

/* ---- batch.c */

size_t batch_count(const struct batch *b);
void batch_free(struct batch *b);

/* The caller hears of it: once. */
void batch_answer(struct batch *b);

/* Copies of all records. false: out of memory, with some of them made. */
bool batch_copy(const struct batch *b, struct record **to);

/* A work of the pool: all files sealed, and under all their names; or b->error, and nothing of them is left. */
void batch_seal(uv_work_t *work);

/* Transfers of those records that are not final; their place in records is NULL then. false: out of memory; those made
 * are in lives. */
bool batch_prepare(struct batch *b);

/* ---- fetch.c: a message's handler, in place of the sealing */

void batch_fetch(void *owner, struct message *m);

#endif
