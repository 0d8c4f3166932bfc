/* gateway/egress.h - which addresses may be dialled when somebody else chose them.
 *
 * A peer that names an address makes the gateway open a connection to it, and learns from the timing what is there. So
 * an untrusted host passes here twice: as text before it is looked up, and as the address that is really dialled, since
 * a name may lead anywhere. Blocked are the special-purpose blocks of RFC 6890 that lead inside, in every IPv6 form
 * that carries an IPv4 address too, ports below 1024 and a few services that obey whoever reaches them. What our own
 * server names is trusted with more, egress_allows_own(). Constant after its creation; any thread. */
#ifndef GATEWAY_EGRESS_H
#define GATEWAY_EGRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/error.h"

struct egress;

/* allow_nets: "10.0.0.0/8", "fd00::/8" or single addresses, NULL at the end, or NULL; what they hold is allowed with
 * every port. ERR_CONFIG names the one that cannot be read. */
struct egress *egress_create(char *const *allow_nets, struct error *err);
void egress_destroy(struct egress **egress);

/* An address in its usual spelling or a DNS name (RFC 1123), and none of the other spellings of an IPv4 address that
 * resolvers understand ("0x7f.1", "2130706433"). */
bool egress_host_valid(const char *host);

/* ERR_EGRESS_BLOCKED says no more than that; the address is logged here and told to nobody. */
bool egress_allows(const struct egress *egress, const struct sockaddr *to, struct error *err);

/* The same for what our own server named: its proxies, its upload service. It may lie in a private network, as the
 * gateway does then, and on any port; but not at a cloud's metadata service or another link-local address, at none at
 * all, or at many. */
bool egress_allows_own(const struct egress *egress, const struct sockaddr *to, struct error *err);

/* The same for a host that the configuration names, on whichever port: it leads into no network of ours unless that is
 * listed, wherever the name is made to lead. in_the_clear: what goes there anybody on the way can read, so it goes to
 * listed networks alone. */
bool egress_allows_web(const struct egress *egress, const struct sockaddr *to, bool in_the_clear, struct error *err);

/* The same for a host that a caller named in a URL: the ports of the web are free as well. */
bool egress_allows_url(const struct egress *egress, const struct sockaddr *to, struct error *err);

#endif
