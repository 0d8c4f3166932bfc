/* api/drain.h - sockets whose answer is out while their request is still coming in.
 *
 * Closing a socket with unread input resets the connection, and the reset can destroy the answer before the other side
 * has read it. So such a socket is half-closed and read for a while: until its end, 4 MiB or 2 seconds.
 * One thread with a loop of its own, which also calls the server once a second; drainer_take() from any. */
#ifndef API_DRAIN_H
#define API_DRAIN_H

#include "base/error.h"

struct drainer;

/* every_second: called on the drainer's thread, until drainer_stop() returns. NULL: ERR_SYSTEM. */
struct drainer *drainer_start(void (*every_second)(void *user), void *user, struct error *err);
void drainer_stop(struct drainer **drainer); /* closes what is left; NULL is fine */

/* fd: a connected socket, given away. */
void drainer_take(struct drainer *drainer, int fd);

#endif
