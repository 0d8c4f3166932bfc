/* socks5/worker.c - one stream thread, see worker.h. */
#include "socks5/worker.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { SWEEP_MS = 100 }; /* how late a deadline may be */

struct stop_message {
    struct message message;
};

static void on_sweep(uv_timer_t *timer)
{
    struct worker *w = timer->data;
    int64_t now = clock_ms();
    bool busy;

    meter_timer(&w->meter, w->sweep_due);
    w->sweep_due = uv_now(&w->loop) + SWEEP_MS;
    busy = streams_sweep(&w->streams, now);
    busy |= pairs_sweep(&w->pairs, now);
    busy |= lobby_sweep(&w->lobby, now);
    if (!front_sweep(&w->front, now) && !busy)
        uv_timer_stop(timer);
}

void worker_sweep_soon(struct worker *w)
{
    if (uv_is_active((uv_handle_t *)&w->sweep))
        return;
    w->sweep_due = uv_now(&w->loop) + SWEEP_MS;
    uv_timer_start(&w->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
}

/* Everything goes; with no handle left, the loop ends. */
static void shut(struct worker *w)
{
    front_close(&w->front);
    lobby_close(&w->lobby);
    streams_close(&w->streams);
    pairs_close(&w->pairs);
    poller_close(&w->poller);
    uv_close((uv_handle_t *)&w->sweep, NULL);
    meter_close(&w->meter);
    mailbox_destroy(&w->mailbox);
}

struct front_message {
    struct message message;
    uv_sem_t done;
};

static void on_close_front(void *owner, struct message *m)
{
    struct front_message *closing = (struct front_message *)m;
    struct worker *w = owner;

    front_close(&w->front);
    lobby_close(&w->lobby);
    uv_sem_post(&closing->done);
}

void worker_close_front(struct worker *w)
{
    struct front_message closing = {.message.handle = on_close_front};
    bool posted;
    int failed;

    if (!w->running)
        return;
    failed = uv_sem_init(&closing.done, 0);
    posted = mailbox_post(w->mailbox, &closing.message);
    assert(!failed && posted);
    (void)failed;
    (void)posted;
    uv_sem_wait(&closing.done);
    uv_sem_destroy(&closing.done);
}

static void on_stop(void *owner, struct message *m)
{
    free(m);
    shut(owner);
}

static void run(void *arg)
{
    struct worker *w = arg;

    uv_run(&w->loop, UV_RUN_DEFAULT);
}

bool worker_open(struct worker *w, struct socks5_engine *engine, const int *listen, size_t listens, struct error *err)
{
    int failed;

    memset(w, 0, sizeof(*w));
    w->engine = engine;
    failed = uv_loop_init(&w->loop);
    if (failed)
        return error_set(err, ERR_SYSTEM, "event loop: %s", uv_strerror(failed));
    w->mailbox = mailbox_create(&w->loop, w);
    if (!w->mailbox) {
        error_set(err, ERR_SYSTEM, "event loop: out of memory or descriptors");
        goto no_mailbox;
    }
    if (!poller_open(&w->poller, &w->loop, err))
        goto no_poller;
    uv_timer_init(&w->loop, &w->sweep); /* cannot fail */
    w->sweep.data = w;
    meter_open(&w->meter, &w->loop);
    streams_open(&w->streams, w);
    pairs_open(&w->pairs, w);
    lobby_open(&w->lobby, w);
    if (front_open(&w->front, w, listen, listens, err))
        return true;
    streams_close(&w->streams);
    uv_close((uv_handle_t *)&w->sweep, NULL);
    meter_close(&w->meter);
    poller_close(&w->poller);
no_poller:
    mailbox_destroy(&w->mailbox);
no_mailbox:
    uv_run(&w->loop, UV_RUN_DEFAULT);
    uv_loop_close(&w->loop);
    w->engine = NULL;
    return false;
}

bool worker_start(struct worker *w, struct error *err)
{
    int failed = uv_thread_create(&w->thread, run, w);

    if (failed)
        return error_set(err, ERR_SYSTEM, "thread: %s", uv_strerror(failed));
    w->running = true;
    return true;
}

static void log_turns(const struct worker *w)
{
    char loop[32];

    snprintf(loop, sizeof(loop), "stream.%td", w - w->engine->workers);
    meter_log(&w->meter, loop);
}

void worker_close(struct worker *w)
{
    int busy;

    if (!w->engine)
        return; /* it never opened */
    if (w->running) {
        struct stop_message *m = calloc(1, sizeof(*m));
        bool posted;

        assert(m); /* a thread that cannot be told to stop cannot be left behind either */
        m->message.handle = on_stop;
        posted = mailbox_post(w->mailbox, &m->message);
        assert(posted);
        (void)posted;
        uv_thread_join(&w->thread);
        w->running = false;
        log_turns(w);
    } else {
        shut(w);
        uv_run(&w->loop, UV_RUN_DEFAULT);
    }
    busy = uv_loop_close(&w->loop);
    assert(busy == 0);
    (void)busy;
    w->engine = NULL;
}
