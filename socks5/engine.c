/* socks5/engine.c - commands in, events out: the public face of the stream threads, see socks5.h. */
#include "socks5/engine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/fd.h"
#include "base/log.h"
#include "socks5/worker.h"

/* A command on its way to its stream's thread. */
struct command {
    struct message message;
    uint64_t stream;
    unsigned ms;
    struct pump job; /* its file and feed are the command's */
    struct sockaddr_storage to;
    socklen_t to_len;
    char name[SOCKS5_NAME + 1];
};

struct worker *engine_home(struct socks5_engine *engine, uint64_t stream)
{
    return &engine->workers[stream % engine->worker_count];
}

/* ---- from birth to death */

static bool open_workers(struct socks5_engine *engine, const int *listen, size_t listens, struct error *err)
{
    unsigned count = engine->worker_count;

    /* All are open before the first one runs: they post to each other. */
    for (unsigned i = count; i-- > 0;) {
        if (!worker_open(&engine->workers[i], engine, listen, i == 0 ? listens : 0, err))
            return false;
    }
    for (unsigned i = count; i-- > 0;) {
        if (!worker_start(&engine->workers[i], err)) {
            front_release(&engine->workers[0].front); /* the listeners stay the caller's; it was to run last */
            return false;
        }
    }
    return true;
}

static void engine_free(struct socks5_engine *engine)
{
    /* The first one posts to all others, so it ends before them. */
    for (unsigned i = 0; i < engine->worker_count; i++)
        worker_close(&engine->workers[i]);
    tickets_destroy(&engine->tickets);
    free(engine->workers);
    free(engine);
}

struct socks5_engine *socks5_engine_create(const struct socks5_limits *limits, const int *listen, size_t listens,
                                           socks5_event_fn *on_event, void *user, struct error *err)
{
    struct socks5_engine *engine = calloc(1, sizeof(*engine));
    unsigned count = limits->threads ? limits->threads : uv_available_parallelism();

    if (!engine) {
        error_set(err, ERR_SYSTEM, "out of memory");
        return NULL;
    }
    engine->limits = *limits;
    engine->on_event = on_event;
    engine->user = user;
    engine->tickets = tickets_create();
    engine->workers = calloc(count, sizeof(*engine->workers));
    if (!engine->tickets || !engine->workers) {
        error_set(err, ERR_SYSTEM, "out of memory");
        goto failed;
    }
    engine->worker_count = count;
    if (open_workers(engine, listen, listens, err))
        return engine;
failed:
    engine_free(engine);
    return NULL;
}

void socks5_engine_destroy(struct socks5_engine **engine)
{
    struct socks5_engine *e = *engine;

    *engine = NULL;
    if (e)
        engine_free(e);
}

void socks5_stats(struct socks5_engine *engine, struct socks5_stats *out)
{
    out->sessions = atomic_load(&engine->open_sockets);
    out->accepted = atomic_load(&engine->accepted);
    out->refused = atomic_load(&engine->refused);
}

/* ---- commands */

static void command_free(struct message *m)
{
    struct command *c = (struct command *)m;

    shared_fd_release(&c->job.file);
    feed_release(&c->job.feed);
    free(c);
}

static struct command *command_new(uint64_t stream, void (*handle)(void *owner, struct message *m), struct error *err)
{
    struct command *c = calloc(1, sizeof(*c));

    if (!c) {
        error_set(err, ERR_SYSTEM, "out of memory");
        return NULL;
    }
    c->message.handle = handle;
    c->message.discard = command_free;
    c->stream = stream;
    return c;
}

static void command_post(struct socks5_engine *engine, struct command *c)
{
    bool posted = mailbox_post(engine_home(engine, c->stream)->mailbox, &c->message);

    assert(posted); /* commands end before the engine does */
    (void)posted;
}

static void on_expect(void *owner, struct message *m)
{
    struct command *c = (struct command *)m;
    struct worker *w = owner;

    streams_expect(&w->streams, c->stream, c->ms);
    command_free(m);
}

static void on_dial(void *owner, struct message *m)
{
    struct command *c = (struct command *)m;
    struct worker *w = owner;

    streams_dial(&w->streams, c->stream, (const struct sockaddr *)&c->to, c->to_len, c->name, c->ms);
    command_free(m);
}

static void on_pump(void *owner, struct message *m)
{
    struct command *c = (struct command *)m;
    struct worker *w = owner;

    streams_pump(&w->streams, c->stream, &c->job);
    c->job.file = NULL;
    c->job.feed = NULL;
    command_free(m);
}

static void on_cancel(void *owner, struct message *m)
{
    struct command *c = (struct command *)m;
    struct worker *w = owner;

    streams_cancel(&w->streams, c->stream);
    command_free(m);
}

/* The name leads to the stream before anybody outside can know it, and the stream's thread hears of the stream before
 * it can hear of a client. */
bool socks5_expect(struct socks5_engine *engine, uint64_t stream, const char *const *names, size_t count,
                   unsigned wait_ms, struct error *err)
{
    const struct job job = {.kind = JOB_SEND, .stream = stream};
    struct command *c = command_new(stream, on_expect, err);

    if (!c)
        return false;
    c->ms = wait_ms;
    if (!tickets_add(engine->tickets, &job, names, count, err)) {
        command_free(&c->message);
        return false;
    }
    command_post(engine, c);
    return true;
}

bool socks5_dial(struct socks5_engine *engine, uint64_t stream, const struct sockaddr *to, socklen_t to_len,
                 const char *name, unsigned connect_ms, struct error *err)
{
    struct command *c = command_new(stream, on_dial, err);

    assert(to_len <= sizeof(c->to) && strlen(name) <= SOCKS5_NAME);
    if (!c)
        return false;
    memcpy(&c->to, to, to_len);
    c->to_len = to_len;
    c->ms = connect_ms;
    memcpy(c->name, name, strlen(name) + 1);
    command_post(engine, c);
    return true;
}

bool socks5_send(struct socks5_engine *engine, uint64_t stream, struct shared_fd *file, struct feed *feed,
                 uint64_t offset, uint64_t length, struct error *err)
{
    struct command *c = command_new(stream, on_pump, err);

    if (!c)
        return false;
    c->job = (struct pump){.file = shared_fd_hold(file), .offset = offset, .left = length};
    c->job.feed = feed ? feed_hold(feed) : NULL;
    command_post(engine, c);
    return true;
}

bool socks5_receive(struct socks5_engine *engine, uint64_t stream, struct shared_fd *file, uint64_t offset,
                    uint64_t length, struct error *err)
{
    struct command *c = command_new(stream, on_pump, err);

    if (!c)
        return false;
    c->job = (struct pump){.file = shared_fd_hold(file), .offset = offset, .left = length, .takes = true};
    command_post(engine, c);
    return true;
}

void socks5_cancel(struct socks5_engine *engine, uint64_t stream)
{
    struct error err;
    struct command *c = command_new(stream, on_cancel, &err);

    tickets_remove(engine->tickets, stream); /* at once: its names may be waited for again */
    if (c)
        command_post(engine, c);
    else /* the stream runs on to its own end or deadline */
        log_error("socks5.cancel_failed", log_str("error", err.text));
}
