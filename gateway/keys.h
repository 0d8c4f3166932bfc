/* gateway/keys.h - Idempotency-Key: a request that is sent again makes no second transfer.
 *
 * A key goes through two lives. While its upload comes in it is reserved, here and nowhere else, so that a crash frees
 * it with the upload; once the transfer's row is committed the store knows it, for KEY_KEPT_MS. Between the two no
 * other request with that key may look: so each is looked up by one at a time, and the rest of them wait for that.
 * What of it others may call is in gateway.h. Thread: core's. */
#ifndef GATEWAY_KEYS_H
#define GATEWAY_KEYS_H

#include "gateway/gateway.h"

enum { KEY_KEPT_MS = 24 * 3600 * 1000 };

struct keys;

struct keys *keys_create(void); /* NULL: out of memory */
void keys_destroy(struct keys **keys);

/* What is to be committed with the transfer; its id is the upload's. NULL for NULL. Any thread. */
const struct record_key *reservation_key(const struct reservation *r);

#endif
