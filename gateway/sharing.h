/* gateway/sharing.h - which files of the spool have several names, and which of those are spared.
 *
 * A file for several recipients lies there once, with a hard link for each transfer, and the budget counts its bytes
 * once: until its last name is gone. Bytes can be had by dropping spares only when all names of theirs are. A file that
 * never had a second name is not known here, and answers as one does that has a single one.
 * Thread: whoever has the spool's lock. */
#ifndef GATEWAY_SHARING_H
#define GATEWAY_SHARING_H

#include <stdbool.h>
#include <sys/types.h>

struct sharing; /* NULL is the empty one */

void sharing_free(struct sharing **all);

/* A file that had a name got another one. false: out of memory. */
bool sharing_link(struct sharing **all, ino_t file);

/* Start-up: a file with several links is met under one of its names; *first: it was not before. false: as above. */
bool sharing_meet(struct sharing **all, ino_t file, bool *first);

/* A name is gone, and was not spared any more. true: it was the last. *spared: all that are left are spares, and were
 * not all of them before. */
bool sharing_unlink(struct sharing **all, ino_t file, bool *spared);

/* A name is spared. true: now all of them are. */
bool sharing_spare(struct sharing *all, ino_t file);

/* And no more. true: all of them were. */
bool sharing_claim(struct sharing *all, ino_t file);

#endif
