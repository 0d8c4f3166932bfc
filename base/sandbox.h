/* base/sandbox.h - what a running gateway never needs, given up before it reads a foreign byte.
 *
 * Somebody who takes the process over by a bug in a parser has what the process has. After this that is no more than
 * its work takes:
 *   calls   seccomp(2): an allowlist. No program is started (execve, fork), no process touched (ptrace, kill), nothing
 *           mounted, loaded or traced; sockets are IP, Unix or the routing socket that getaddrinfo(3) asks; no memory
 *           is made executable that can be written. Everything else fails with EPERM. Calls younger than the list fail
 *           with ENOSYS, as on an older kernel, so that a newer C library falls back instead of giving up.
 *   files   landlock(7): only what is listed is opened, and only that is written. Rules hold for folders and whatever
 *           comes into them later, so files may be replaced by renaming, as editors and resolvers do.
 * Both are for good, also for root, and need no privilege (no_new_privs is set). */
#ifndef BASE_SANDBOX_H
#define BASE_SANDBOX_H

#include <stddef.h>

#include "base/error.h"

/* May be read, a folder with all that is in it; may also be written: files made, changed and removed; a folder in which
 * a Unix socket may be made and removed, and nothing else. */
enum sandbox_access { SANDBOX_READ, SANDBOX_WRITE, SANDBOX_SOCKET };

struct sandbox_path {
    const char *path; /* one that does not exist is passed over */
    enum sandbox_access access;
};

struct sandbox {
    bool calls;
    int files; /* the kernel's version of Landlock; 0: it has none, every file is as open as it was */
};

/* To be called while the process has one thread: Landlock holds for the caller and the threads that it begins.
 * *got tells what is in force, also after a failure: ERR_SYSTEM, and the sentence says which part and why. The part
 * that is missing does not keep the other from being entered. */
bool sandbox_enter(const struct sandbox_path *paths, size_t count, struct sandbox *got, struct error *err);

/* From now on no thread makes a socket a listener; to be called once all are. Needs sandbox_enter() before it. */
bool sandbox_end_listening(struct error *err);

/* The two parts, of which sandbox_enter() is made. */
bool sandbox_enter_files(const struct sandbox_path *paths, size_t count, int *version, struct error *err);
bool sandbox_enter_calls(struct error *err);

#endif
