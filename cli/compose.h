/* cli/compose.h - the parts that touch the world, made as the configuration says: for the gateway, and for the doctor
 * who tries the same parts by themselves. */
#ifndef CLI_COMPOSE_H
#define CLI_COMPOSE_H

#include <uv.h>

#include "base/error.h"
#include "gateway/carrier.h"
#include "gateway/config.h"
#include "gateway/network.h"

/* jid: whom to log in as, of the account that is configured. */
struct network *compose_network(const struct config *c, const struct jid *jid, struct error *err);

struct carrier *compose_carrier(const struct config *c, uv_loop_t *loop, struct error *err);

#endif
