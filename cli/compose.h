/* cli/compose.h - the parts that touch the world, made as the configuration says: for the gateway, and for the doctor
 * who tries the same parts by themselves. */
#ifndef CLI_COMPOSE_H
#define CLI_COMPOSE_H

#include <uv.h>

#include "base/error.h"
#include "gateway/carrier.h"
#include "gateway/config.h"
#include "gateway/network.h"
#include "gateway/relaying.h"

/* jid: whom to log in as, of the account that is configured. */
struct network *compose_network(const struct config *c, const struct jid *jid, struct error *err);

/* A second session of the account, which nobody sees but who knows its full JID. */
struct network *compose_hidden(const struct config *c, const struct jid *jid, struct error *err);

struct carrier *compose_carrier(const struct config *c, uv_loop_t *loop, struct error *err);

/* Whether others' bytestreams are relayed: as a component, at an address that is told, unless [proxy] allow is off. */
bool compose_relays(const struct config *c);
struct relay *compose_relay(const struct config *c, struct carrier *carrier, struct error *err);
struct relaying_limits compose_relay_limits(const struct config *c); /* its allow is the configuration's */

#endif
