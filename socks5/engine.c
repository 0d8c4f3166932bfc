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
    /* The first one posts clients to all others, so it stops that before they end; they post pairs that are over to
     * the first one, so it ends last. */
    if (engine->worker_count > 0)
        worker_close_front(&engine->workers[0]);
    for (unsigned i = engine->worker_count; i-- > 0;)
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
    out->parked = atomic_load(&engine->parked);
    out->pairs = atomic_load(&engine->pairs);
    out->relayed = atomic_load(&engine->relayed);
    out->pipes = atomic_load(&engine->pipes);
    out->pipe_bytes = atomic_load(&engine->pipe_bytes);
    out->spilled = atomic_load(&engine->spilled);
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

/* ---- commands for pairs: all to the first thread, where their names are */

struct pair_command {
    struct message message;
    struct socks5_engine *engine;
    uint64_t pair;
    struct socks5_pair_options options;
    uint8_t keys[LOBBY_NAMES][PAIR_KEY];
    size_t count;
};

/* A name that is no key is one that nobody could be parked under. */
static struct pair_command *pair_command_new(struct socks5_engine *engine, const char *const *names, size_t count,
                                             void (*handle)(void *owner, struct message *m))
{
    struct pair_command *c = calloc(1, sizeof(*c));

    assert(count <= LOBBY_NAMES);
    if (!c)
        return NULL;
    c->message.handle = handle;
    c->engine = engine;
    for (size_t i = 0; i < count; i++)
        c->count += lobby_key(names[i], strlen(names[i]), c->keys[c->count]);
    return c;
}

static void pair_command_post(struct worker *w, struct pair_command *c)
{
    if (!mailbox_post(w->mailbox, &c->message))
        free(c);
}

static void on_activate(void *owner, struct message *m)
{
    struct pair_command *c = (struct pair_command *)m;
    struct worker *w = owner;

    lobby_activate(&w->lobby, (const uint8_t(*)[PAIR_KEY])c->keys, c->count, c->pair, &c->options);
    free(c);
}

static void on_unpark(void *owner, struct message *m)
{
    struct pair_command *c = (struct pair_command *)m;
    struct worker *w = owner;

    for (size_t i = 0; i < c->count; i++)
        lobby_unpark(&w->lobby, c->keys[i]);
    free(c);
}

static void on_pair_cancel(void *owner, struct message *m)
{
    struct pair_command *c = (struct pair_command *)m;
    struct worker *w = owner;

    pairs_cancel(&w->pairs, c->pair);
    free(c);
}

/* First to where the pair is made: it may be on its way itself. */
static void on_pair_cancel_first(void *owner, struct message *m)
{
    struct pair_command *c = (struct pair_command *)m;

    (void)owner;
    c->message.handle = on_pair_cancel;
    pair_command_post(engine_home(c->engine, c->pair), c);
}

bool socks5_activate(struct socks5_engine *engine, const char *const *names, size_t count, uint64_t pair,
                     const struct socks5_pair_options *options, struct error *err)
{
    struct pair_command *c = pair_command_new(engine, names, count, on_activate);

    if (!c)
        return error_set(err, ERR_SYSTEM, "out of memory");
    c->pair = pair;
    if (options)
        c->options = *options;
    pair_command_post(&engine->workers[0], c);
    return true;
}

/* Without memory for the command, what it was to end runs on to its own end or deadline. */
static void post_or_log(struct socks5_engine *engine, struct pair_command *c)
{
    if (c)
        pair_command_post(&engine->workers[0], c);
    else
        log_error("socks5.cancel_failed", log_str("error", "out of memory"));
}

void socks5_unpark(struct socks5_engine *engine, const char *const *names, size_t count)
{
    post_or_log(engine, pair_command_new(engine, names, count, on_unpark));
}

void socks5_pair_cancel(struct socks5_engine *engine, uint64_t pair)
{
    struct pair_command *c = pair_command_new(engine, NULL, 0, on_pair_cancel_first);

    if (c)
        c->pair = pair;
    post_or_log(engine, c);
}
