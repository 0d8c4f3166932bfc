/* api/drain.h - sockets whose answer is out while their request is still coming in.
 *
 * Closing a socket with unread input resets the connection, and the reset can destroy the answer before the other side
 * has read it. So such a socket is half-closed and read for a while: until its end, 4 MiB or 2 seconds.
 * One thread with a loop of its own; drainer_take() from any. */
#ifndef API_DRAIN_H
#define API_DRAIN_H

#include "base/error.h"

struct drainer;

struct drainer *drainer_start(struct error *err); /* ERR_SYSTEM */
void drainer_stop(struct drainer **drainer);      /* closes what is left; NULL is fine */

/* fd: a connected socket, given away. */
void drainer_take(struct drainer *drainer, int fd);

#endif
