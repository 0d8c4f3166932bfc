/* api/listener.h - a listening TCP socket at an address as the configuration writes it. */
#ifndef API_LISTENER_H
#define API_LISTENER_H

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* "127.0.0.1:8080", "[::1]:0", "localhost:8080"; ":8080" is every address. key: of the configuration, for what goes
 * wrong. *beyond: others than loopback reach it; with loopback_alone that is refused before it is opened. Yours to
 * close; -1: ERR_CONFIG, ERR_SYSTEM. */
int listener_open(const char *key, const char *listen, bool loopback_alone, bool *beyond, struct error *err);

/* Where it listens, also when port 0 was asked for; false: it cannot be told. */
bool listener_where(int fd, char host[static NI_MAXHOST], uint16_t *port);

#endif
