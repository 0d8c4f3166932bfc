/* socks5/engine.h - what the engine's own files share: constant while threads run, or safe for all of them. */
#ifndef SOCKS5_ENGINE_H
#define SOCKS5_ENGINE_H

#include <stdatomic.h>

#include "socks5/socks5.h"
#include "socks5/ticket.h"

struct worker;

struct socks5_engine {
    struct socks5_limits limits;
    socks5_event_fn *on_event;
    void *user;
    struct tickets *tickets;
    struct worker *workers; /* the first one also accepts */
    unsigned worker_count;
    _Atomic uint64_t open_sockets, accepted, refused;
    _Atomic uint64_t parked, pairs, relayed, pipes, pipe_bytes, spilled; /* as in struct socks5_stats */
};

/* The thread a stream lives on, from its first command to its last event. */
struct worker *engine_home(struct socks5_engine *engine, uint64_t stream);

#endif
