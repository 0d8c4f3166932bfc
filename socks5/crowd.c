/* socks5/crowd.c - a hash table of chains, see crowd.h. */
#include "socks5/crowd.h"

#include <stdint.h>

static size_t bucket_of(const struct peer *p)
{
    const struct peer customer = peer_customer(p);
    uint32_t hash = 0;

    for (size_t i = 0; i < sizeof(customer.address); i++)
        hash = hash * 31 + customer.address.s6_addr[i];
    return hash % CROWD_BUCKETS;
}

void crowd_add(struct crowd *c, struct session *s)
{
    struct session **bucket = &c->buckets[bucket_of(&s->peer)];

    s->next = *bucket;
    *bucket = s;
    c->count++;
}

void crowd_remove(struct crowd *c, struct session *s)
{
    struct session **at = &c->buckets[bucket_of(&s->peer)];

    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    s->next = NULL;
    c->count--;
}

unsigned crowd_of(const struct crowd *c, const struct peer *p)
{
    const struct peer customer = peer_customer(p);
    unsigned n = 0;

    for (const struct session *s = c->buckets[bucket_of(p)]; s; s = s->next) {
        const struct peer other = peer_customer(&s->peer);

        n += peer_same(&customer, &other);
    }
    return n;
}
