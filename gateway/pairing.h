/* gateway/pairing.h - seam: two who ask our listener for the same name get each other's bytes.
 *
 * socks5_carrier.c implements it over socks5/; tests put a fake in its place. Whoever asks for a name of 40 hex digits
 * that no stream of ours waits for is parked, not read, until the name is joined. Thread: core's, events included. */
#ifndef GATEWAY_PAIRING_H
#define GATEWAY_PAIRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum pair_event_kind {
    PAIR_JOINED,   /* both sides are there, and are read */
    PAIR_REFUSED,  /* error; the last event of this id: ERR_PROXY_HASH_MISMATCH (nobody asked for the name),
                      ERR_PROXY_PAIR_INCOMPLETE, ERR_PROXY_ALREADY_ACTIVE (other has it), ERR_PROXY_BUSY, ERR_SYSTEM */
    PAIR_PROGRESS, /* at most one a second while bytes move */
    PAIR_OVER      /* the last event of this id: error none (both sides ended, all was passed on), ERR_STALLED,
                      ERR_STREAM_BROKEN, ERR_CANCELLED */
};

struct pair_event {
    enum pair_event_kind kind;
    uint64_t id;
    uint64_t forth, back; /* bytes passed on: from the side that came first to the other, and the other way */
    uint64_t other;
    struct error error;
};
typedef void pair_event_fn(void *user, const struct pair_event *event);

/* What the listener takes beyond the names of our own streams. Times in milliseconds. */
struct pairing_limits {
    bool on;              /* else every such name is refused */
    unsigned pair_ms;     /* the first of a name waits for the second */
    unsigned activate_ms; /* both wait to be joined */
    unsigned idle_ms;     /* joined: no byte moved */
};

struct pairing {
    const struct pairing_ops *ops;
};

struct pairing_ops {
    /* Who is told, from here on. */
    void (*watch)(struct pairing *p, pair_event_fn *on_event, void *user);
    /* Joins the two who asked for one of the names (1 to 2), with so many bytes a second for both ways together (0: any
     * number). Returns the id of the pair, which then has events; 0 with *err set. */
    uint64_t (*join)(struct pairing *p, const char *const *names, size_t count, uint64_t rate, struct error *err);
    /* Closes whoever is parked under the names. Pairs are left alone. */
    void (*dismiss)(struct pairing *p, const char *const *names, size_t count);
    /* Resets both sides; PAIR_OVER tells. One that is gone is fine. */
    void (*cancel)(struct pairing *p, uint64_t id);
    /* Sockets that are parked. Any thread. */
    uint64_t (*parked)(struct pairing *p);
};

#endif
