/* socks5/peer.c - addresses to compare and to count by, see peer.h. */
#include "socks5/peer.h"

#include <arpa/inet.h>
#include <string.h>

struct peer peer_of(const struct sockaddr *from)
{
    struct peer p = {.address = IN6ADDR_ANY_INIT};
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (from->sa_family == AF_INET) {
        memcpy(&v4, from, sizeof(v4));
        p.address.s6_addr[10] = p.address.s6_addr[11] = 0xff;
        memcpy(p.address.s6_addr + 12, &v4.sin_addr, 4);
    } else if (from->sa_family == AF_INET6) {
        memcpy(&v6, from, sizeof(v6));
        p.address = v6.sin6_addr;
    }
    return p;
}

bool peer_same(const struct peer *a, const struct peer *b)
{
    return memcmp(&a->address, &b->address, sizeof(a->address)) == 0;
}

struct peer peer_customer(const struct peer *p)
{
    struct peer customer = *p;

    if (!IN6_IS_ADDR_V4MAPPED(&p->address))
        memset(customer.address.s6_addr + 8, 0, 8);
    return customer;
}

const char *peer_text(const struct peer *p, char out[static PEER_TEXT])
{
    if (IN6_IS_ADDR_V4MAPPED(&p->address))
        inet_ntop(AF_INET, p->address.s6_addr + 12, out, PEER_TEXT);
    else
        inet_ntop(AF_INET6, &p->address, out, PEER_TEXT);
    return out;
}
