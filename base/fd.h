/* base/fd.h - descriptors: closing them once, sharing them, and keeping some low numbers back.
 *
 * libstrophe waits with select(), which aborts the process for a descriptor of 1024 or more. A reserve of low
 * numbers is taken at start-up, before sockets fill them; xmpp/session.c moves its socket onto one. */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Closes *fd unless it is -1 and sets it to -1; keeps errno. */
void fd_close(int *fd);

/* One descriptor for all who read a file, each by offsets of its own: thousands of streams would otherwise need a
 * duplicate each. Counted, so it is closed by the last who holds it. Threads: any. */
struct shared_fd {
    int fd;
    _Atomic unsigned holders;
};

struct shared_fd *shared_fd_create(int fd); /* takes fd over, also on failure; NULL: out of memory */
struct shared_fd *shared_fd_hold(struct shared_fd *file);
void shared_fd_release(struct shared_fd **file); /* NULL is fine; leaves *file NULL */

/* Takes n placeholders below 1024; false when that many low numbers are not free. Start-up only. */
bool fd_reserve_low(size_t n);
void fd_release_reserve(void);

/* Moves *fd onto a reserved low number (close-on-exec) and closes the old one; false, with *fd untouched, when the
 * reserve is empty. */
bool fd_move_low(int *fd);

/* Refills the reserve after the low descriptor was closed by its library. */
void fd_refill_low(void);

/* Raises RLIMIT_NOFILE to its hard limit and returns it. */
size_t fd_raise_limit(void);

#endif
