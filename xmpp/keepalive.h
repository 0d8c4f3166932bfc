/* xmpp/keepalive.h - finds out that the server is gone although TCP does not say so (XEP-0199 section 4.1).
 *
 * That is also the only way out of a stream libstrophe could not parse: it complains to the server and then waits for
 * ever. Any answer counts, an error too. Thread: core's. */
#ifndef XMPP_KEEPALIVE_H
#define XMPP_KEEPALIVE_H

#include "xmpp/client.h"

struct keepalive;

/* silent: the server did not answer in time. NULL: out of memory. */
struct keepalive *keepalive_create(struct client *c, void (*silent)(void *user), void *user);
void keepalive_destroy(struct keepalive **k); /* the loop must still turn once */

void keepalive_online(struct keepalive *k);
void keepalive_offline(struct keepalive *k);

#endif
