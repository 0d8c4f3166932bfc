/* socks5/peer.h - the address at the other end of a socket, in the one form in which addresses are compared.
 *
 * IPv4 is kept IPv4-mapped (RFC 4291 section 2.5.5.2), so that a client is the same on a dual-stack listener and on an
 * IPv4 one. Pure functions. */
#ifndef SOCKS5_PEER_H
#define SOCKS5_PEER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

struct peer {
    struct in6_addr address;
};

struct peer peer_of(const struct sockaddr *from); /* any other family: "::" */
bool peer_same(const struct peer *a, const struct peer *b);

/* Whom a limit counts: an IPv4 address, or the /64 that one IPv6 customer has at least. */
struct peer peer_customer(const struct peer *p);

enum { PEER_TEXT = INET6_ADDRSTRLEN };
const char *peer_text(const struct peer *p, char out[static PEER_TEXT]);

#endif
