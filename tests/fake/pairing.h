/* tests/fake/pairing.h - a pairing that keeps what it is told; the test says what becomes of each pair. */
#ifndef FAKE_PAIRING_H
#define FAKE_PAIRING_H

#include "gateway/pairing.h"

struct fake_pairing {
    struct pairing pairing; /* first */
    bool fails;             /* join() does, with ERR_SYSTEM */
    uint64_t waiting;       /* what parked() says */

    /* What came of it. */
    unsigned joins, dismissed;
    uint64_t last, cancelled; /* ids; 0: none */
    uint64_t rate;            /* of the last join, as its names */
    char names[2][48];
    size_t count;
    pair_event_fn *on_event; /* NULL: nobody watches */
    void *user;
};

void fake_pairing_init(struct fake_pairing *f);

void fake_pairing_joins(struct fake_pairing *f, uint64_t id);
/* other: the pair that has the name, with ERR_PROXY_ALREADY_ACTIVE. */
void fake_pairing_refuses(struct fake_pairing *f, uint64_t id, enum error_code why, uint64_t other);
void fake_pairing_moves(struct fake_pairing *f, uint64_t id, uint64_t forth, uint64_t back);
void fake_pairing_ends(struct fake_pairing *f, uint64_t id, uint64_t forth, uint64_t back, enum error_code why);

#endif
