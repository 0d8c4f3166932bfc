/* socks5/crowd.h - sessions by the address that they come from, so that those of one customer can be counted.
 *
 * They are chained by session->next. Thread: the owner's. */
#ifndef SOCKS5_CROWD_H
#define SOCKS5_CROWD_H

#include <stddef.h>

#include "socks5/peer.h"
#include "socks5/session.h"

enum { CROWD_BUCKETS = 256 };

struct crowd {
    struct session *buckets[CROWD_BUCKETS]; /* by customer */
    size_t count;
};

void crowd_add(struct crowd *c, struct session *s);
void crowd_remove(struct crowd *c, struct session *s);

/* Those of the same customer: an IPv4 address, or the /64 of an IPv6 one. */
unsigned crowd_of(const struct crowd *c, const struct peer *p);

#endif
