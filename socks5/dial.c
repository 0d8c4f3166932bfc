/* socks5/dial.c - non-blocking connect, see dial.h. */
#include "socks5/dial.h"

#include <errno.h>
#include <string.h>

#include "base/fd.h"

static bool unreachable(struct error *err, int error)
{
    return error_set(err, ERR_STREAMHOSTS_UNREACHABLE, "cannot connect to the streamhost: %s", strerror(error));
}

int dial_start(const struct sockaddr *to, socklen_t len, struct error *err)
{
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        error_set(err, ERR_SYSTEM, "socket: %s", strerror(errno));
        return -1;
    }
    if (connect(fd, to, len) != 0 && errno != EINPROGRESS) {
        unreachable(err, errno);
        fd_close(&fd);
    }
    return fd;
}

bool dial_finish(int fd, struct error *err)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    return error == 0 || unreachable(err, error);
}
