#include "base/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"

bool notify_open(struct notify *n, const char *path)
{
    size_t len = path ? strlen(path) : 0;

    *n = (struct notify){.fd = -1, .to.sun_family = AF_UNIX};
    if (len == 0)
        return true;
    if ((path[0] != '/' && path[0] != '@') || len < 2 || len >= sizeof n->to.sun_path)
        return false;
    memcpy(n->to.sun_path, path, len);
    n->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (path[0] == '@')
        n->to.sun_path[0] = '\0'; /* an abstract name is as long as it is told, and needs no end */
    else
        n->to_len++;
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return n->fd >= 0;
}

void notify_close(struct notify *n)
{
    fd_close(&n->fd);
}

void notify_send(const struct notify *n, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    ssize_t sent;

    if (n->fd < 0)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    do {
        sent =
            sendto(n->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&n->to, n->to_len);
    } while (sent < 0 && errno == EINTR);
}

void notify_reloading(const struct notify *n)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    notify_send(n, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

/* Digits alone; 0: no such number. */
static unsigned long long number(const char *text)
{
    char *end = NULL;
    unsigned long long value;

    if (!text || *text < '0' || *text > '9')
        return 0;
    errno = 0;
    value = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' ? value : 0;
}

int64_t notify_watchdog_ms(const char *usec, const char *pid)
{
    unsigned long long patience = number(usec);

    if (patience == 0 || patience > INT64_MAX || (pid && *pid && number(pid) != (unsigned long long)getpid()))
        return 0;
    return patience < 2000 ? 1 : (int64_t)(patience / 2000);
}
