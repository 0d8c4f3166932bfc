#include "gateway/source_path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

const char *source_root(char *const *roots, const char *path, struct error *err)
{
    const char *best = NULL;

    if (!roots[0]) {
        error_set(err, ERR_SOURCE_REFUSED, "source.path: files are not sent by their path here");
        return NULL;
    }
    for (; *roots; roots++) {
        size_t len = strlen(*roots);

        if (strncmp(path, *roots, len) == 0 && path[len] == '/' && path[len + 1] && (!best || len > strlen(best)))
            best = *roots;
    }
    if (!best)
        error_set(err, ERR_SOURCE_REFUSED, "source.path: it lies below none of the folders that files are sent from");
    return best;
}

/* An absolute rest, as of "/root//etc", is refused as one that leads out. */
static int open_beneath(int root, const char *rest, uint64_t flags)
{
    struct open_how how = {.flags = flags | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    long fd;

    do {
        fd = syscall(SYS_openat2, root, rest, &how, sizeof how);
    } while (fd < 0 && (errno == EINTR || errno == EAGAIN)); /* EAGAIN: something was renamed meanwhile */
    return (int)fd;
}

static bool fail(int number, struct error *err)
{
    if (number == ELOOP)
        return error_set(err, ERR_SOURCE_REFUSED, "source.path: a symbolic link, which is not followed");
    if (number == EXDEV)
        return error_set(err, ERR_SOURCE_REFUSED, "source.path: it leads out of its folder");
    return error_set(err, ERR_SOURCE_FAILED, "source.path: %s", strerror(number));
}

static bool check_kind(int fd, uint64_t *size, struct error *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return fail(errno, err);
    *size = (uint64_t)st.st_size;
    return S_ISREG(st.st_mode) || error_set(err, ERR_SOURCE_REFUSED, "source.path: no regular file");
}

/* Looked at before it is opened, since to open a device may already do something; and once more after that. */
int source_open(char *const *roots, const char *path, uint64_t *size, struct error *err)
{
    const char *root = source_root(roots, path, err), *rest;
    int folder = -1, look = -1, fd = -1;
    bool ok = false;

    if (!root)
        return -1;
    rest = path + strlen(root) + 1;
    folder = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || (look = open_beneath(folder, rest, O_PATH)) < 0)
        fail(errno, err);
    else if (!check_kind(look, size, err))
        ok = false;
    else if ((fd = open_beneath(folder, rest, O_RDONLY | O_NONBLOCK | O_NOCTTY)) < 0)
        fail(errno, err);
    else
        ok = check_kind(fd, size, err);
    fd_close(&folder);
    fd_close(&look);
    if (!ok)
        fd_close(&fd);
    return fd;
}
