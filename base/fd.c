/* base/fd.c - descriptors, see fd.h.
 *
 * The reserve is filled at start-up and then touched by the one thread that owns libstrophe: no lock. */
#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <unistd.h>

enum { RESERVE_MAX = 64 };

static struct {
    int fds[RESERVE_MAX];
    size_t count;
    size_t wanted;
} reserve;

void fd_close(int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        close(*fd); /* on EINTR Linux has closed it all the same; closing again could hit another thread's */
    *fd = -1;
    errno = saved;
}

struct shared_fd *shared_fd_create(int fd)
{
    struct shared_fd *file = malloc(sizeof *file);

    if (!file) {
        fd_close(&fd);
        return NULL;
    }
    file->fd = fd;
    atomic_init(&file->holders, 1);
    return file;
}

struct shared_fd *shared_fd_hold(struct shared_fd *file)
{
    atomic_fetch_add(&file->holders, 1);
    return file;
}

void shared_fd_release(struct shared_fd **file)
{
    struct shared_fd *f = *file;

    *file = NULL;
    if (!f || atomic_fetch_sub(&f->holders, 1) > 1)
        return;
    fd_close(&f->fd);
    free(f);
}

void fd_refill_low(void)
{
    while (reserve.count < reserve.wanted) {
        int fd = open("/dev/null", O_RDWR | O_CLOEXEC); /* the lowest number that is free */

        if (fd < 0)
            return;
        if (fd >= FD_SETSIZE) {
            fd_close(&fd);
            return;
        }
        reserve.fds[reserve.count++] = fd;
    }
}

bool fd_reserve_low(size_t n)
{
    assert(n <= RESERVE_MAX && reserve.count == 0);
    reserve.wanted = n;
    fd_refill_low();
    if (reserve.count == n)
        return true;
    fd_release_reserve();
    return false;
}

void fd_release_reserve(void)
{
    while (reserve.count > 0)
        fd_close(&reserve.fds[--reserve.count]);
    reserve.wanted = 0;
}

bool fd_move_low(int *fd)
{
    int low;

    if (reserve.count == 0)
        return false;
    low = reserve.fds[reserve.count - 1];
    if (dup3(*fd, low, O_CLOEXEC) < 0)
        return false;
    reserve.count--;
    fd_close(fd);
    *fd = low;
    return true;
}

size_t fd_raise_limit(void)
{
    struct rlimit limit = {0};

    getrlimit(RLIMIT_NOFILE, &limit); /* cannot fail for a known resource */
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};

        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            limit = raised;
    }
    return (size_t)limit.rlim_cur;
}
