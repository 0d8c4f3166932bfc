/* gateway/receiving_parts.h - struct reception, as its parts share it: for gateway/receiving*.c alone.
 *
 *     receiving.c         offers, bytes, ends
 *     receiving_check.c   all is there: hashes, the seal, the row, the answer
 *     receiving_kept.c    what broke off, for another try
 *     receiving_life.c    start, expiry, stop
 */
#ifndef GATEWAY_RECEIVING_PARTS_H
#define GATEWAY_RECEIVING_PARTS_H

#include <stdatomic.h>

#include "gateway/inbox_hash.h"
#include "gateway/inbox_senders.h"
#include "gateway/receiving.h"

enum { PROMISED = 140, KEPT_MAX = 256 /* of all senders */ };
#define RECEPTION_DELETED "the file was deleted before it was here"

/* What broke off; its .part file lies in the spool. */
struct kept {
    struct kept *prev, *next; /* oldest first */
    struct inbox_item *item;
    char algo[24], hash[PROMISED];
    int64_t modified;
};

struct receiving {
    struct receiver receiver; /* first */
    struct gateway *gw;
    struct reception *all;
    struct kept *kept;
    size_t kept_count;
    struct inbox_rule_list rules;
    int64_t retention;
    bool closed; /* nothing was taken at the start, and nothing announced */
    atomic_size_t count;
    struct inbox_senders *senders;
    bool expiring;
    int64_t expired_at;
};

struct reception {
    struct message message; /* first: on its way while busy */
    struct reception *prev, *next;
    struct receiving *home;
    struct inbox_item *item;
    struct reception_events events;
    void *user;
    char *bare; /* the sender's */
    uint64_t max_file;
    struct inbox_limits limits; /* of the rule that took it */
    char algo[24], hash[PROMISED];
    int64_t modified, claimed;
    bool ranges;
    bool demo;     /* from ourselves to ourselves */
    uint64_t here; /* of an earlier try */

    struct spool_file *file; /* NULL: not begun, or over */
    struct shared_fd *shared;
    uint64_t offset, most, moved;
    int64_t began, paced_at; /* monotonic; receiving_pace() */
    uint64_t paced;          /* of moved, at that time */
    bool revoked;

    bool busy; /* between complete() and its answer */
    bool extra, ended, deleted, stored, closed;
    struct error why; /* of end() while busy */
    reception_done_fn *done;
    void *done_user;
    uv_work_t work;
    struct inbox_hash hashes;
    char sha256[INBOX_DIGEST], promised[INBOX_DIGEST], type[128];
    struct error error; /* of the check */
};

/* receiving.c */
int64_t reception_keep_until(const struct reception *re); /* when it goes, once it is over */
void reception_finish(struct reception *re, const struct error *why);
void reception_take_away(struct reception *re, const struct error *why); /* may end it, and frees it then */

/* receiving_check.c: as receiver_ops has it */
void reception_complete(struct reception *re, uint64_t moved, const char *algo, const char *hash, bool extra,
                        reception_done_fn *done, void *user);

/* receiving_kept.c: takes one up again, its item is re's then; false: there is none. Keeps what broke off: false, it is
 * not worth it, or cannot be. */
bool kept_take(struct reception *re);
bool kept_keep(struct reception *re);
void kept_forget(struct receiving *r, struct kept *k, bool with_row);

#endif
