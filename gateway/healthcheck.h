/* gateway/healthcheck.h - asks a running gateway on this machine how it is, for containers and scripts. Blocks. */
#ifndef GATEWAY_HEALTHCHECK_H
#define GATEWAY_HEALTHCHECK_H

#include <stdbool.h>

#include "base/error.h"

/* GET path from the gateway listening at "host:port" (a wildcard address is asked on loopback) or on the socket of an
 * absolute path; true on status 200 within five seconds, else *err says what was answered. tls, of an address: over
 * HTTPS, whatever the certificate: it names no loopback address, nothing secret is sent, and who could stand in for the
 * gateway here could also stop it. */
bool healthcheck(const char *listen, bool tls, const char *path, struct error *err);

#endif
