/* api/caller.h - who a request came from: the address its connection has, or what a trusted front proxy said.
 *
 * IPv4 is kept in its mapped form, so that one caller has one address on any listener. Who comes over the unix socket
 * is on this machine, and counts as loopback. Pure functions. */
#ifndef API_CALLER_H
#define API_CALLER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

struct caller {
    struct sockaddr_in6 at; /* ::1 over the unix socket; without a port */
    bool local;             /* over the unix socket */
};

/* from: what accept() told; NULL or no address of the internet: the unix socket. */
struct caller caller_of(const struct sockaddr *from);

/* "192.0.2.7" or "2001:db8::7"; false: no such address, *c as before. */
bool caller_parse(struct caller *c, const char *text);

bool caller_is_loopback(const struct caller *c);

/* One caller has many addresses: an IPv6 address is cut to its /64, an IPv4 one stays whole. */
struct in6_addr caller_network(const struct caller *c);

enum { CALLER_TEXT = INET6_ADDRSTRLEN };
const char *caller_text(const struct caller *c, char out[static CALLER_TEXT]); /* "unix" over the socket; returns out */

#endif
