/* gateway/socks5_carrier.h - the carrier over socks5/ and the resolver.
 *
 * Core's thread, but for what says otherwise: names are looked up on core's loop in the pool, the engine's events come
 * to core by message. */
#ifndef GATEWAY_SOCKS5_CARRIER_H
#define GATEWAY_SOCKS5_CARRIER_H

#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "gateway/carrier.h"
#include "gateway/pairing.h"

/* Borrowed for the call. Times in milliseconds. */
struct socks5_carrier_config {
    const char *listen;         /* "[::]:5086"; opened only when something is advertised */
    const char *advertise_host; /* NULL or empty: nothing is */
    uint16_t advertise_port;    /* 0: the port listened on */
    char *const *allow_nets;    /* CIDR, NULL at the end, or NULL */
    unsigned threads;           /* 0: one per processor */
    unsigned max_sessions;
    unsigned pending_per_peer;
    unsigned connect_ms; /* for each address dialled; 0: 8 s */
    unsigned idle_ms;
    unsigned linger_ms;
    struct pairing_limits pairing; /* sockets that wait count as pending ones of their address */
};

struct carrier *socks5_carrier_create(uv_loop_t *core_loop, const struct socks5_carrier_config *config,
                                      struct error *err);

/* What joins two clients of the listener with each other; it lives as long as the carrier. */
struct pairing *socks5_carrier_pairing(struct carrier *carrier);

/* Ends every stream without events; the loop's handles are gone once it has run. *carrier becomes NULL. */
void socks5_carrier_destroy(struct carrier **carrier);

/* How many sockets are open. Any thread. */
uint64_t socks5_carrier_streams(struct carrier *carrier);

#endif
