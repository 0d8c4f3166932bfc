/* socks5/worker.h - one stream thread: a uv loop as the shell, an epoll set of its own inside, and its streams. */
#ifndef SOCKS5_WORKER_H
#define SOCKS5_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "base/mailbox.h"
#include "base/meter.h"
#include "socks5/engine.h"
#include "socks5/front.h"
#include "socks5/lobby.h"
#include "socks5/pair.h"
#include "socks5/poller.h"
#include "socks5/stream.h"

struct worker {
    struct socks5_engine *engine;
    struct mailbox *mailbox; /* messages' handlers get the worker */
    uv_loop_t loop;
    uv_timer_t sweep; /* runs while there is anything with a deadline */
    uint64_t sweep_due;
    struct meter meter; /* told when the thread ends */
    uv_thread_t thread;
    bool running;
    struct poller poller;
    struct streams streams;
    struct pairs pairs;
    struct front front; /* without listeners on all threads but the first */
    struct lobby lobby; /* empty on all threads but the first */
};

/* Makes a worker without its thread. listen, listens: taken over on success. */
bool worker_open(struct worker *w, struct socks5_engine *engine, const int *listen, size_t listens, struct error *err);
bool worker_start(struct worker *w, struct error *err);

/* Waits until nobody is accepted or handed over any more. A worker that was not started, or never opened, is fine. */
void worker_close_front(struct worker *w);

/* Ends its streams and pairs without events, joins the thread, closes the loop. A worker that was not started is fine.
 */
void worker_close(struct worker *w);

/* Worker's thread: something has a deadline now. */
void worker_sweep_soon(struct worker *w);

#endif
