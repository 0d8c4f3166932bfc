/* gateway/partial.h - uploads that come in parts (tus), as core and gateway/upload*.c see them; see gateway.h.
 *
 * The bytes are a .part file of the spool under the id of the transfer to be; the note beside it has whose it is, how
 * long it will be, what its caller said, until when it stays, and which bytes of it can be trusted:
 *   - after the end of the process alone, all that was written (the system has it, synced or not), but for what was to
 *     be checked and was not;
 *   - after the system's, what was synced; with [spool] durability = process that is nothing.
 * Once a transfer's row is committed the note goes, and the store knows the rest: both have the same digits.
 * A table in memory has all of them; it is locked, and whoever holds an entry has that to himself. */
#ifndef GATEWAY_PARTIAL_H
#define GATEWAY_PARTIAL_H

#include "gateway/gateway.h"

struct partials;

struct partials *partials_create(struct gateway *gw); /* NULL: out of memory */
void partials_destroy(struct partials **partials);

/* Start-up, before the sweep and after the transfers: takes up what an earlier run left. */
bool partials_recover(struct partials *partials, struct error *err);

/* Those whose time is over go. Core's thread, with each heartbeat; costs nothing before one is due. */
void partials_expire(struct partials *partials);

/* Whether there is one of that id. Any thread. */
bool partials_has(struct partials *partials, const char *id);

/* Its transfer's row is committed. Consumes *p; any thread, as the next. */
void partial_became_transfer(struct partial **p);

/* It did not become one. file: as far as that came, or NULL once it was sealed and let go; taken. */
void partial_take_back(struct partial **p, struct spool_file **file, const struct error *why);

#endif
