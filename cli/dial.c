#include "cli/dial.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fd.h"
#include "gateway/egress.h"
#include "socks5/handshake.h"

static bool connect_within(int fd, const struct addrinfo *a, unsigned ms)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    socklen_t len = sizeof(int);
    int failure = 0;

    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
        return true;
    if (errno != EINPROGRESS)
        return false;
    if (poll(&p, 1, (int)ms) != 1) {
        errno = ETIMEDOUT;
        return false;
    }
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &len);
    errno = failure;
    return failure == 0;
}

static int dial_one(const struct addrinfo *a, unsigned ms)
{
    const struct timeval limit = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    if (!connect_within(fd, a, ms)) {
        fd_close(&fd);
        return -1;
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return fd;
}

int dial(const char *host, uint16_t port, unsigned ms, const struct egress *judge, struct error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    bool blocked = false;
    char service[8];
    int fd = -1, rc;

    snprintf(service, sizeof service, "%u", port);
    rc = getaddrinfo(host, service, &hints, &list);
    if (rc != 0) {
        error_set(err, ERR_REMOTE_SERVER_UNREACHABLE, "no address of %.100s was found: %s", host, gai_strerror(rc));
        return -1;
    }
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        if (!judge || egress_allows_own(judge, a->ai_addr, err))
            fd = dial_one(a, ms);
        else
            blocked = true;
    }
    if (fd < 0 && !blocked)
        error_set(err, ERR_REMOTE_SERVER_UNREACHABLE, "nothing answers at %.100s port %u: %s", host, port,
                  strerror(errno));
    freeaddrinfo(list);
    return fd;
}

void dialled(int fd, char *out, size_t max)
{
    struct sockaddr_storage to;
    socklen_t len = sizeof to;

    if (getpeername(fd, (struct sockaddr *)&to, &len) != 0 ||
        getnameinfo((struct sockaddr *)&to, len, out, (socklen_t)max, NULL, 0, NI_NUMERICHOST) != 0)
        snprintf(out, max, "?");
}

static bool write_out(int fd, struct handshake *h)
{
    bool ok = h->out_len == 0 || send(fd, h->out, h->out_len, MSG_NOSIGNAL) == (ssize_t)h->out_len;

    h->out_len = 0;
    return ok;
}

bool dial_socks5(int fd, const char *name, struct error *err)
{
    enum handshake_verdict verdict = HANDSHAKE_MORE;
    bool asked = false;
    struct handshake h;

    handshake_client(&h, name);
    while (verdict == HANDSHAKE_MORE) {
        uint8_t in[SOCKS5_MESSAGE];
        size_t wants = handshake_wants(&h);
        struct bytes bytes = {.at = in};
        ssize_t n;

        if (!write_out(fd, &h))
            return error_set(err, ERR_STREAMHOSTS_UNREACHABLE, "the SOCKS5 server hung up");
        n = recv(fd, in, wants < sizeof in ? wants : sizeof in, 0);
        if (n <= 0)
            return error_set(err, ERR_STREAMHOSTS_UNREACHABLE, "the SOCKS5 server %s",
                             n == 0 ? "hung up" : "did not answer in time");
        bytes.left = (size_t)n;
        asked = h.state == CLIENT_REPLY;
        verdict = handshake_feed(&h, &bytes);
    }
    if (verdict == HANDSHAKE_OPEN)
        return true;
    if (asked && h.in[0] == 5 && h.have >= 2 && h.in[1] != SOCKS5_REP_OK)
        return error_set(err, ERR_STREAMHOSTS_UNREACHABLE, "the SOCKS5 server refused the stream (REP %02x)",
                         (unsigned)h.in[1]);
    *err = h.error; /* it speaks something else */
    return false;
}
