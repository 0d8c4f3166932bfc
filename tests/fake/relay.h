/* tests/fake/relay.h - a relay that keeps what it is asked, and answers as the test wants. */
#ifndef FAKE_RELAY_H
#define FAKE_RELAY_H

#include "gateway/relay.h"

struct fake_relay {
    struct relay relay;      /* first */
    enum error_code refuses; /* what both calls fail with; ERR_NONE: nothing */
    bool later;              /* activations are answered by fake_relay_answer() alone */

    /* What came of it. */
    unsigned queries, activations;
    char from[256];                 /* of either */
    char target[256], names[4][64]; /* of the last activation */
    size_t count;                   /* of the names */
    relay_activated_fn *done;       /* NULL: answered */
    void *user;
};

/* At "relay.example.com", port 7777. */
void fake_relay_init(struct fake_relay *f);

/* The activation that waits, by `refuses`. */
void fake_relay_answer(struct fake_relay *f);

#endif
