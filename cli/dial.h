/* cli/dial.h - blocking sockets with deadlines, for the doctor. */
#ifndef CLI_DIAL_H
#define CLI_DIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct egress; /* gateway/egress.h */

/* Connects to the first address of host that answers; each read and write on it then takes at most ms too. judge: what
 * our own server named passes it as it would in the gateway; NULL: who named it is trusted. -1 with a sentence in *err.
 */
int dial(const char *host, uint16_t port, unsigned ms, const struct egress *judge, struct error *err);

/* The address that fd is connected to, numeric. */
void dialled(int fd, char *out, size_t max);

/* Asks the SOCKS5 server at fd for that name. ERR_STREAMHOSTS_UNREACHABLE: it refused, hung up or stayed silent;
 * ERR_PEER_PROTOCOL_ERROR: it is none. */
bool dial_socks5(int fd, const char *name, struct error *err);

#endif
