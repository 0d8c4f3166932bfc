#include "api/local.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

static bool no_socket(const char *path, struct error *err)
{
    return error_set(err, ERR_SYSTEM, "[http] unix: '%s': %s", path, strerror(errno));
}

/* Who is killed leaves his socket behind, and nobody can bind there. Whether somebody still listens only connecting
 * tells. */
static bool make_room(const struct sockaddr_un *at, struct error *err)
{
    const char *path = at->sun_path;
    struct stat there;
    int fd, rc, why;

    if (lstat(path, &there) != 0)
        return errno == ENOENT || no_socket(path, err);
    if (!S_ISSOCK(there.st_mode))
        return error_set(err, ERR_CONFIG,
                         "[http] unix: '%s' is there and no socket; name another path, or move it away", path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return no_socket(path, err);
    rc = connect(fd, (const struct sockaddr *)at, sizeof *at);
    why = errno;
    fd_close(&fd);
    if (rc != 0 && why == ECONNREFUSED)
        return unlink(path) == 0 || no_socket(path, err);
    if (rc == 0 || why == EAGAIN)
        return error_set(err, ERR_CONFIG,
                         "[http] unix: somebody listens at '%s' already, perhaps another gateway; stop it, or name "
                         "another path",
                         path);
    errno = why;
    return no_socket(path, err);
}

/* Nobody can connect before listen(), and then the mode is already what it is to be. */
int local_listen(struct local *l, const char *path, mode_t mode, struct error *err)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct stat made;
    int fd;

    if (strlen(path) >= sizeof at.sun_path) {
        error_set(err, ERR_CONFIG, "[http] unix: too long for the path of a socket: '%s'", path);
        return -1;
    }
    memcpy(at.sun_path, path, strlen(path) + 1);
    if (!make_room(&at, err))
        return -1;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof at) != 0)
        goto fail;
    if (chmod(path, mode) != 0 || lstat(path, &made) != 0 || listen(fd, SOMAXCONN) != 0) {
        int why = errno;

        unlink(path);
        errno = why;
        goto fail;
    }
    *l = (struct local){.path = path, .device = made.st_dev, .file = made.st_ino};
    return fd;
fail:
    no_socket(path, err);
    fd_close(&fd);
    return -1;
}

void local_remove(struct local *l)
{
    struct stat there;

    if (l->path && lstat(l->path, &there) == 0 && there.st_dev == l->device && there.st_ino == l->file)
        unlink(l->path);
    l->path = NULL;
}
