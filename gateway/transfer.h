/* gateway/transfer.h - one transfer under way: its record, its rule table, and the method at work for it.
 *
 * Nothing here recurses: whatever happens becomes a queued event, the owner is asked to call transfer_run() on the
 * next turn, and there the table in transfer.c decides. So a method may report from anywhere, and is ended only from
 * transfer_run().
 * Thread: core's. The owner (core_lives.c) outlives its transfers and decides when a queued one may start. */
#ifndef GATEWAY_TRANSFER_H
#define GATEWAY_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/jid.h"
#include "gateway/carrier.h"
#include "gateway/config.h"
#include "gateway/network.h"
#include "gateway/record.h"
#include "gateway/spool.h"

struct transfer;

/* When a change goes to the store. Soon: how far an attempt has come, which is worth a row only if it stays like that
 * for a moment; a crash within it is told of the stage before. */
enum saving { SAVE_NEVER, SAVE_SOON, SAVE_NOW };

/* What the owner lends, and how it hears of things. */
struct transfer_env {
    uv_loop_t *loop;
    struct network *network;
    struct carrier *carrier;
    struct spool *spool;
    const struct config *config;
    void (*wake)(void *user, struct transfer *t);                      /* has events: call transfer_run() soon, once */
    void (*changed)(void *user, struct transfer *t, enum saving save); /* publish; and write it, if it says so */
    int64_t (*online_since)(void *user);             /* monotonic; the network's last change to online */
    void (*waiting)(void *user, struct transfer *t); /* queued, and ready to be started */
    void (*idle)(void *user, struct transfer *t);    /* no longer at work: was started, now queued, held or final */
    void *user;
};

/* Takes r, whose state is QUEUED or HELD: a new one, or one of an earlier run. NULL, with r freed: out of memory.
 * feed: of an upload that is still coming in (r->upload says so, too), else NULL; it is held. owner is the owner's own
 * pointer. */
struct transfer *transfer_create(const struct transfer_env *env, struct record *r, struct feed *feed, void *owner);

/* Once, after create: from here on waiting() is called whenever it may be started. */
void transfer_queue(struct transfer *t);

/* Ends what is under way without a word and frees; never from inside a call of ours to the env. */
void transfer_destroy(struct transfer **t);

void *transfer_owner(const struct transfer *t);
const struct record *transfer_record(const struct transfer *t);
struct record *transfer_snapshot(struct transfer *t); /* record_snapshot() of it */

void transfer_start(struct transfer *t);  /* after waiting() */
void transfer_cancel(struct transfer *t); /* final ones ignore it */
void transfer_fail(struct transfer *t, const struct error *why);

/* News of the upload: how far it is; it is over, and all there; or it broke off, and with it the transfer. */
void transfer_received(struct transfer *t, uint64_t received);
void transfer_uploaded(struct transfer *t);
void transfer_hashed(struct transfer *t, const char *sha256); /* by who took it in */
void transfer_upload_failed(struct transfer *t, const struct error *why);

/* News of the recipient: a device of his came online (an end to any pause or waiting for him) or went (no answer to an
 * offer will come from it); he lets us see that, or does not; and in a new session it is known again who does. */
void transfer_presence(struct transfer *t, const struct jid *who, bool available);
void transfer_subscription(struct transfer *t, bool granted);
void transfer_roster(struct transfer *t);

/* The gateway stops: the peer is told, the attempt noted, and the record left QUEUED (or HELD) for the next start. */
void transfer_park(struct transfer *t);

/* The wall clock was set. By it go what callers are told as an instant: the expiry, and how long is waited for the
 * recipient. What began as a length of time, the pause between two rounds and the deadline of a state, does not. */
void transfer_clock_moved(struct transfer *t);

/* Works through the queued events. */
void transfer_run(struct transfer *t);

#endif
