#include "api/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"

static struct addrinfo *resolve(const char *key, const char *listen, struct error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    const char *colon = strrchr(listen, ':');
    struct addrinfo *found = NULL;
    char host[256];
    size_t len;
    int rc;

    len = colon ? (size_t)(colon - listen) : sizeof host;
    if (len >= sizeof host) {
        error_set(err, ERR_CONFIG, "%s: '%s' is not like 127.0.0.1:8080 or [::1]:8080", key, listen);
        return NULL;
    }
    if (len >= 2 && listen[0] == '[' && listen[len - 1] == ']')
        snprintf(host, sizeof host, "%.*s", (int)len - 2, listen + 1);
    else
        snprintf(host, sizeof host, "%.*s", (int)len, listen);
    rc = getaddrinfo(*host ? host : NULL, colon + 1, &hints, &found);
    if (rc != 0)
        error_set(err, ERR_CONFIG, "%s: '%s': %s", key, listen, gai_strerror(rc));
    return rc == 0 ? found : NULL;
}

static bool is_loopback(const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)addr)->sin_addr.s_addr) >> 24 == 127;
    return addr->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr);
}

/* SO_REUSEADDR takes over addresses in TIME_WAIT only; SO_REUSEPORT would let two gateways share one port unseen. */
static int open_at(const struct addrinfo *at)
{
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1, off = 0;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0)
        fd_close(&fd);
    return fd;
}

int listener_open(const char *key, const char *listen, bool loopback_alone, bool *beyond, struct error *err)
{
    struct addrinfo *found = resolve(key, listen, err);
    int fd = -1;

    if (!found)
        return -1;
    *beyond = !is_loopback(found->ai_addr);
    if (*beyond && loopback_alone) {
        error_set(err, ERR_CONFIG,
                  "%s: beyond loopback a token is needed: jidpost token create --write, or set "
                  "JIDPOST_HTTP_TOKEN, say to the output of: openssl rand -hex 32",
                  key);
    } else {
        fd = open_at(found);
        if (fd < 0)
            error_set(err, ERR_SYSTEM, "%s: '%s': %s", key, listen, strerror(errno));
    }
    freeaddrinfo(found);
    return fd;
}

bool listener_where(int fd, char host[static NI_MAXHOST], uint16_t *port)
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    char text[NI_MAXSERV];

    if (getsockname(fd, (struct sockaddr *)&addr, &len) != 0 ||
        getnameinfo((struct sockaddr *)&addr, len, host, NI_MAXHOST, text, sizeof text,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return false;
    *port = (uint16_t)strtoul(text, NULL, 10);
    return true;
}
