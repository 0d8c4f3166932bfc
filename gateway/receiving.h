/* gateway/receiving.h - files that are sent to us: the rules, the bytes, the check, the row (reception.h implemented).
 *
 * An offer that is taken becomes an item, with a row; its bytes come into a .part file of the spool, counted by what
 * came. When all is there it is hashed and sealed in the pool, its row committed, and then the sender is told yes and
 * everybody else by inbox.received. What broke off of a sender who can resume is kept, until a restart, for his next
 * offer of the same file. Thread: core's, unless said otherwise. */
#ifndef GATEWAY_RECEIVING_H
#define GATEWAY_RECEIVING_H

#include "gateway/core.h"
#include "gateway/inbox_item.h"
#include "gateway/reception.h"

struct receiving;

struct receiving *receiving_create(struct gateway *gw); /* NULL: out of memory */
void receiving_destroy(struct receiving **r);           /* NULL is fine */

/* NULL: no rule takes anything. */
struct receiver *receiving_receiver(struct receiving *r);

/* For the session of demo.h. */
struct receiver *receiving_for_demo(struct receiving *r);

/* Start-up: what was being received has failed. Whether a whole file of the spool is one of ours. */
bool receiving_recover(struct receiving *r, struct error *err);
bool receiving_claims(struct receiving *r, const char *id);

/* Files whose time is over go. Now and then. */
void receiving_expire(struct receiving *r);

/* A sender has RECEIVING_PER_SENDER files under way at most, at whatever stage, by whatever method. Each of them
 * brings RECEIVING_PACE bytes in RECEIVING_PACE_MS, or all that is missing of it, and all in RECEIVING_MOST_MS; else
 * it is revoked with ERR_STALLED. Less holds a stream and a file, and is no transfer: the slowest servers let ten times
 * as much through in-band. Now and then. */
enum {
    RECEIVING_PER_SENDER = 32,
    RECEIVING_PACE = 16 * 1024,
    RECEIVING_PACE_MS = 5 * 60 * 1000,
    RECEIVING_MOST_MS = 24 * 3600 * 1000
};
void receiving_pace(struct receiving *r);

/* Other rules for what is offered from here on; takes what is in them. What was taken keeps its own. */
void receiving_take(struct receiving *r, struct inbox_rule_list *rules, int64_t retention);

/* How many files are on their way or being checked. Any thread. */
size_t receiving_count(struct receiving *r);

/* We stop: all that is not being checked is revoked, and has failed. */
void receiving_stop(struct receiving *r);

/* Brings an item of the store up to what is known of it now. */
void receiving_overlay(struct receiving *r, struct inbox_item *item);

/* Breaks one off that is being received, and forgets it. false: it is none. */
bool receiving_revoke(struct receiving *r, const char *id);

/* What was kept of a failed one for another try goes. */
void receiving_drop_kept(struct receiving *r, const char *id);

#endif
