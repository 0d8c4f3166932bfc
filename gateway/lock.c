/* gateway/lock.c - one gateway per state folder, see lock.h. */
#include "gateway/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fd.h"

struct lock {
    int fd;
};

/* Whose it is, as far as the file tells: its owner may not have written its number yet. */
static bool taken(int fd, const char *state_dir, struct error *err)
{
    char text[24];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    long pid = 0;

    text[n > 0 ? n : 0] = '\0';
    pid = strtol(text, NULL, 10);
    if (pid > 0)
        return error_set(
            err, ERR_CONFIG,
            "server.state_dir %s is in use by another jidpost (pid %ld): stop it, or set another state_dir", state_dir,
            pid);
    return error_set(err, ERR_CONFIG,
                     "server.state_dir %s is in use by another jidpost: stop it, or set another state_dir", state_dir);
}

static bool write_pid(int fd)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());

    return ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)len, 0) == len;
}

struct lock *lock_take(const char *state_dir, struct error *err)
{
    struct lock *lock = NULL;
    char *path = NULL;
    int fd = -1;

    if (asprintf(&path, "%s/lock", state_dir) < 0 || !(lock = malloc(sizeof *lock))) {
        error_set(err, ERR_SYSTEM, "out of memory");
        goto fail;
    }
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        error_set(err, ERR_CONFIG, "server.state_dir: %s: %s", path, strerror(errno));
        goto fail;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            taken(fd, state_dir, err);
        else
            error_set(err, ERR_CONFIG, "server.state_dir: %s cannot be locked: %s", path, strerror(errno));
        goto fail;
    }
    if (!write_pid(fd)) {
        error_set(err, ERR_CONFIG, "server.state_dir: writing %s: %s", path, strerror(errno));
        goto fail;
    }
    free(path);
    lock->fd = fd;
    return lock;
fail:
    fd_close(&fd);
    free(path);
    free(lock);
    return NULL;
}

void lock_release(struct lock **lock)
{
    if (!*lock)
        return;
    fd_close(&(*lock)->fd); /* no other descriptor shares it: close-on-exec, and we fork no copies */
    free(*lock);
    *lock = NULL;
}
