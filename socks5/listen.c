/* socks5/listen.c - opening a listening socket, see socks5.h. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "socks5/socks5.h"

enum { BACKLOG = 1024, HOST_MAX = 256 };

/* Splits "host:port", "[v6]:port" or ":port", which means every address. Returns the port in where, or NULL. */
static const char *split(const char *where, char host[static HOST_MAX], struct error *err)
{
    const char *colon = strrchr(where, ':');
    const char *from = where, *to = colon;
    unsigned long number;
    char *end;

    if (!colon)
        goto bad;
    if (*from == '[') {
        if (to == from || to[-1] != ']')
            goto bad;
        from++;
        to--;
    } else if (memchr(from, ':', (size_t)(to - from))) {
        goto bad; /* an IPv6 address without brackets: where does it end? */
    }
    number = strtoul(colon + 1, &end, 10);
    if (colon[1] < '0' || colon[1] > '9' || *end || number > 65535 || to - from >= HOST_MAX)
        goto bad;
    snprintf(host, HOST_MAX, "%.*s", (int)(to - from), from);
    return colon + 1;
bad:
    error_set(err, ERR_CONFIG, "'%s' is no address to listen on; write 192.0.2.1:5086, [::]:5086 or :5086", where);
    return NULL;
}

static int open_one(const struct addrinfo *a)
{
    const int yes = 1, no = 0;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (a->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
    if (bind(fd, a->ai_addr, a->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0)
        fd_close(&fd);
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage at = {0};
    socklen_t len = sizeof(at);
    uint16_t port;

    getsockname(fd, (struct sockaddr *)&at, &len);
    /* sin_port and sin6_port lie at the same place */
    memcpy(&port, (const char *)&at + offsetof(struct sockaddr_in, sin_port), sizeof(port));
    return ntohs(port);
}

int socks5_listen(const char *where, uint16_t *port, struct error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char host[HOST_MAX];
    const char *service;
    int fd = -1, failed;

    service = split(where, host, err);
    if (!service)
        return -1;
    failed = getaddrinfo(*host ? host : "::", service, &hints, &found);
    if (failed) {
        error_set(err, ERR_CONFIG, "cannot listen on '%s': %s", where, gai_strerror(failed));
        return -1;
    }
    fd = open_one(found);
    /* A machine without IPv6 still has every IPv4 address. */
    if (fd < 0 && errno == EAFNOSUPPORT && (!*host || strcmp(host, "::") == 0)) {
        freeaddrinfo(found);
        found = NULL;
        if (getaddrinfo("0.0.0.0", service, &hints, &found) == 0)
            fd = open_one(found);
    }
    if (fd < 0)
        error_set(err, ERR_SYSTEM, "cannot listen on '%s': %s", where, strerror(errno));
    else
        *port = port_of(fd);
    if (found)
        freeaddrinfo(found);
    return fd;
}
