/* socks5/lobby.h - who asked for a name that no stream waits for, until the two of that name may talk (XEP-0065
 * section 6), and which names belong to a pair.
 *
 * The sockets of a name are parked side by side, whichever came first, and not read; only their end is watched for.
 * The word that joins them makes a pair of them, which lives on its own thread; meanwhile the name stays taken here, so
 * that a third is told no and a second word finds what the first one did.
 *
 * Thread: the first worker's, as the front's. Times: monotonic milliseconds. */
#ifndef SOCKS5_LOBBY_H
#define SOCKS5_LOBBY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mailbox.h"
#include "socks5/crowd.h"
#include "socks5/pair.h"

enum { LOBBY_BUCKETS = 4096, LOBBY_NAMES = 2 };

struct worker;
struct party;

struct lobby {
    struct worker *worker;
    struct party *buckets[LOBBY_BUCKETS]; /* by key */
    struct crowd parked;
    size_t pairs;
};

/* A name's key: false unless it is 40 hex digits. */
bool lobby_key(const void *name, size_t len, uint8_t key[static PAIR_KEY]);

void lobby_open(struct lobby *l, struct worker *worker);
void lobby_close(struct lobby *l); /* closes all that are parked; pairs that come home find nothing */

/* ASKED: whether the name is one, and there is a place for it. */
bool lobby_takes(struct lobby *l, const struct session *s);

/* ASKED, taken, and in no crowd: answers it. */
void lobby_park(struct lobby *l, struct session *session, int64_t now);

/* Answers by event. */
void lobby_activate(struct lobby *l, const uint8_t (*keys)[PAIR_KEY], size_t count, uint64_t id,
                    const struct socks5_pair_options *options);

void lobby_unpark(struct lobby *l, const uint8_t *key);

/* Deadlines; false: nothing is left that could have one. */
bool lobby_sweep(struct lobby *l, int64_t now);

/* A pair as a message. */
void lobby_on_over(void *first_worker, struct message *pair);
void lobby_discard(struct message *pair);

#endif
