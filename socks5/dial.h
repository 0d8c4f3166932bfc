/* socks5/dial.h - going to another SOCKS5 server: a socket whose connect(2) is under way. */
#ifndef SOCKS5_DIAL_H
#define SOCKS5_DIAL_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/error.h"

/* A non-blocking socket on its way, or -1: ERR_STREAMHOSTS_UNREACHABLE when the system already knows that there is no
 * way, ERR_SYSTEM when it is out of descriptors. */
int dial_start(const struct sockaddr *to, socklen_t len, struct error *err);

/* Once it is writable: whether it arrived. */
bool dial_finish(int fd, struct error *err);

#endif
