/* gateway/snapshot.h - a record that nobody changes any more, shared by all who look at it.
 *
 * Core makes one of a live transfer, hangs it on the board and tells of it in an event; each of them, and each reader,
 * holds it as long as it needs it. Threads: any; the last to let go frees it. */
#ifndef GATEWAY_SNAPSHOT_H
#define GATEWAY_SNAPSHOT_H

#include "gateway/record.h"

struct snapshot;

/* r is the snapshot's from here on, and held once, by the caller. NULL, r freed: r is NULL, or out of memory. */
struct snapshot *snapshot_take(struct record *r);

struct snapshot *snapshot_hold(struct snapshot *s);
void snapshot_release(struct snapshot **s); /* NULL is fine; leaves *s NULL */

/* Its facts; steps and attempts may be folded, so record_copy() is what shows all. Good as long as it is held. */
const struct record *snapshot_record(const struct snapshot *s);

#endif
