/* gateway/lock.h - one gateway per state folder.
 *
 * Two gateways on one folder would each deliver the same transfers. The lock is flock(2) on <state_dir>/lock: the
 * kernel lets go of it whichever way the process ends, so a crash leaves nothing to clean up. The file holds the
 * owner's process id, for people; it stays, because deleting it would let two processes lock two files. */
#ifndef GATEWAY_LOCK_H
#define GATEWAY_LOCK_H

#include "base/error.h"

struct lock;

/* NULL with ERR_CONFIG when another process has it (the sentence names its pid), or when state_dir is no folder we
 * can write to. */
struct lock *lock_take(const char *state_dir, struct error *err);
void lock_release(struct lock **lock);

#endif
