#include "api/caller.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static struct in6_addr mapped(const void *v4)
{
    struct in6_addr out = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

    memcpy(out.s6_addr + 12, v4, 4);
    return out;
}

struct caller caller_of(const struct sockaddr *from)
{
    struct caller c = {.at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}};

    if (from && from->sa_family == AF_INET6)
        c.at.sin6_addr = ((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
    else if (from && from->sa_family == AF_INET)
        c.at.sin6_addr = mapped(&((const struct sockaddr_in *)(const void *)from)->sin_addr);
    else
        c.local = true;
    return c;
}

bool caller_parse(struct caller *c, const char *text)
{
    struct in6_addr address;
    struct in_addr v4;

    if (inet_pton(AF_INET, text, &v4) == 1)
        address = mapped(&v4);
    else if (inet_pton(AF_INET6, text, &address) != 1)
        return false;
    *c = (struct caller){.at = {.sin6_family = AF_INET6, .sin6_addr = address}};
    return true;
}

bool caller_is_loopback(const struct caller *c)
{
    const struct in6_addr *a = &c->at.sin6_addr;

    return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
}

struct in6_addr caller_network(const struct caller *c)
{
    struct in6_addr out = c->at.sin6_addr;

    if (!IN6_IS_ADDR_V4MAPPED(&out))
        memset(out.s6_addr + 8, 0, 8);
    return out;
}

const char *caller_text(const struct caller *c, char out[static CALLER_TEXT])
{
    const struct in6_addr *a = &c->at.sin6_addr;

    if (c->local)
        snprintf(out, CALLER_TEXT, "unix");
    else if (IN6_IS_ADDR_V4MAPPED(a))
        inet_ntop(AF_INET, a->s6_addr + 12, out, CALLER_TEXT);
    else
        inet_ntop(AF_INET6, a, out, CALLER_TEXT);
    return out;
}
