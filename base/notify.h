/* base/notify.h - tells the service manager how we are: sd_notify(3), which is one datagram to $NOTIFY_SOCKET.
 *
 * Not being heard is no failure: without a manager, or with one that is gone or busy, every call does nothing.
 * Threads: sending from any; the rest its owner's. */
#ifndef BASE_NOTIFY_H
#define BASE_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct notify {
    int fd; /* -1: nobody listens */
    struct sockaddr_un to;
    socklen_t to_len;
};

/* path: the value of $NOTIFY_SOCKET, an absolute path or "@name" in the abstract namespace (unix(7)); NULL: none.
 * false: it is neither; *n is silent then. */
bool notify_open(struct notify *n, const char *path);
void notify_close(struct notify *n);

/* "READY=1\nSTATUS=online"; up to 1 KiB, more is cut. */
void notify_send(const struct notify *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* RELOADING=1 with the time it began, as sd_notify(3) wants it; READY=1 ends it. */
void notify_reloading(const struct notify *n);

/* From $WATCHDOG_USEC and $WATCHDOG_PID (NULL: not set): how often WATCHDOG=1 is to be sent, in milliseconds, which is
 * half of what the manager waits for. 0: it does not, or it waits for another process. */
int64_t notify_watchdog_ms(const char *usec, const char *pid);

#endif
