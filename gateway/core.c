#include "gateway/core.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/trace.h"
#include "gateway/core_parts.h"
#include "gateway/http_get.h"
#include "gateway/links.h"
#include "gateway/partial.h"
#include "gateway/receiving.h"
#include "gateway/webhooks.h"

enum {
    HEARTBEAT_MS = 500,
    JUMP_MS = 1000, /* less than that time servers do all the time */
    FORGET_EVERY_MS = 3600 * 1000,
    CORE_STACK = 8 << 20,
    NUDGE_SECONDS = 1
};

/* ---- news from the network */

static void on_network(void *user, const struct network_view *view)
{
    struct gateway *gw = user;

    pthread_mutex_lock(&gw->view_lock);
    gw->view = *view;
    pthread_mutex_unlock(&gw->view_lock);
    if (gw->online != (view->state == NETWORK_ONLINE)) {
        gw->online = !gw->online;
        gw->online_since = gw->online ? clock_ms() : 0;
        core_tell_network(gw, view);
        demo_online(gw, gw->online);
    }
    core_schedule(gw);
}

/* What pauses or is held for who came online need not be; an offer to who went is in vain. */
static void on_presence(void *user, const struct jid *who, bool available)
{
    struct gateway *gw = user;
    struct live *live, *next;
    char bare[JID_MAX + 1];

    jid_bare(who, bare);
    HASH_ITER(hh, gw->lives, live, next)
    if (strcmp(live->key, bare) == 0)
        transfer_presence(live->transfer, who, available);
}

static void on_roster(void *user)
{
    struct gateway *gw = user;
    struct live *live, *next;

    HASH_ITER(hh, gw->lives, live, next)
    transfer_roster(live->transfer);
}

static void on_subscription(void *user, const struct jid *who, bool granted)
{
    struct gateway *gw = user;
    struct live *live, *next;

    HASH_ITER(hh, gw->lives, live, next)
    if (strcmp(live->key, who->text) == 0)
        transfer_subscription(live->transfer, granted);
}

/* ---- heartbeat */

/* Deadlines are of the monotonic clock, so what is due by the wall clock is looked at anew when that one was set, or
 * went on while the machine slept. */
static void notice_jump(struct gateway *gw)
{
    int64_t ahead = clock_wall_ms() - clock_ms(), by = ahead - gw->wall_ahead;
    struct live *live, *next;

    gw->wall_ahead = ahead;
    if (by > -JUMP_MS && by < JUMP_MS)
        return;
    log_warn("clock.jumped", log_int("ms", by));
    HASH_ITER(hh, gw->lives, live, next)
    transfer_clock_moved(live->transfer);
}

static void on_heartbeat(uv_timer_t *timer)
{
    struct gateway *gw = timer->data;
    int64_t now = clock_ms();
    struct live *live;
    char over[ID_SIZE];

    if (gw->heartbeat_due)
        meter_timer(&gw->meter, gw->heartbeat_due);
    gw->heartbeat_due = uv_now(&gw->loop) + HEARTBEAT_MS;
    atomic_store(&gw->beat, now);
    notice_jump(gw);
    DL_FOREACH2(gw->rowless, live, rowless_next)
    core_note_growth(live);
    downloads_expire(gw);
    webhooks_tick(gw->webhooks);
    partials_expire(gw->partials);
    receiving_expire(gw->receiving);
    receiving_pace(gw->receiving);
    while (spool_over(gw->spool, clock_wall_ms(), over))
        core_remove_payload(gw, over);
    if (gw->forgotten_at == 0 || now - gw->forgotten_at >= FORGET_EVERY_MS) {
        gw->forgotten_at = now;
        store_forget(gw->store, clock_wall_ms() - gw->config->delivery.retention, clock_wall_ms() - KEY_KEPT_MS);
    }
}

/* ---- what an earlier run left */

static void note_interruption(struct record *r)
{
    struct attempt *a = record_last_attempt(r);

    if (a && a->ended == 0) {
        a->ended = clock_wall_ms();
        a->stage = r->state == TRANSFER_TRANSFERRING ? STAGE_TRANSFER
                   : r->state == TRANSFER_CONNECTING ? STAGE_CONNECT
                                                     : STAGE_OFFER;
        error_set(&a->error, ERR_STREAM_BROKEN, "the gateway stopped in the middle");
    }
    record_step(r, STEP_LOCAL, "gateway restarted", "", transfer_state_name(r->state));
    r->state = TRANSFER_QUEUED;
    r->updated = clock_wall_ms();
}

/* Of mode stream nothing is kept, and nobody was promised anything; else somebody took it away. */
static void end_lost(struct gateway *gw, const char *id)
{
    struct live *live = core_live(gw, id);
    char trace[TRACE_ID];
    struct error error;

    if (core_record(live)->mode == MODE_STREAM) {
        error_set(&error, ERR_STREAM_BROKEN,
                  "the gateway stopped in the middle, and mode stream keeps no file to go on with; send it again");
    } else {
        log_error("transfer.payload_lost", log_str("transfer", id),
                  log_opt("trace_id", trace_id(core_record(live)->traceparent, trace)));
        error_set(&error, ERR_INTERNAL, "the payload is no longer in the spool");
    }
    transfer_fail(live->transfer, &error);
}

/* What was fetched for it is not here, and where from was not kept. */
static void end_unfetched(struct gateway *gw, const char *id)
{
    struct live *live = core_live(gw, id);
    struct error error;

    error_set(&error, ERR_SOURCE_FAILED, "the gateway stopped before it had the file; send the request again");
    transfer_upload_failed(live->transfer, &error);
}

/* A record of an earlier run: continues, or ends with the reason when its payload is gone. */
static bool take_up(struct gateway *gw, struct record *r)
{
    struct error error;
    struct spool_file *file = spool_reopen(gw->spool, r->id, &error);
    bool unfetched = r->state == TRANSFER_RECEIVING, whole = file && spool_size(file) == r->size && !unfetched;
    char id[ID_SIZE];
    enum transfer_state state;

    spool_release(&file);
    if (r->state != TRANSFER_QUEUED && r->state != TRANSFER_HELD)
        note_interruption(r);
    memcpy(id, r->id, ID_SIZE);
    state = r->state;
    if (!core_adopt(gw, r, NULL, state))
        return false;
    if (unfetched)
        end_unfetched(gw, id);
    else if (!whole)
        end_lost(gw, id);
    return true;
}

static bool recover(struct gateway *gw, struct error *err)
{
    const struct record_filter filter = {.unfinished = true};
    struct record_list list = {0};
    size_t count;
    bool ok = true;

    if (!store_list(gw->store, &filter, &list, err))
        return false;
    count = list.count;
    for (size_t i = 0; i < count && ok; i++) {
        ok = take_up(gw, list.items[i]) || error_set(err, ERR_SYSTEM, "out of memory");
        list.items[i] = NULL;
    }
    record_list_free(&list);
    if (count > 0)
        log_info("transfers.taken_up", log_int("count", (int64_t)count));
    return ok;
}

static bool spares_payload(struct gateway *gw, const char *id)
{
    struct error error;
    struct record *r = gw->config->spool.retention > 0 ? store_get(gw->store, id, &error) : NULL;
    bool spared = r && core_may_be_retried(gw, r);

    if (spared)
        spool_spare(gw->spool, id, r->finished + gw->config->spool.retention);
    record_free(&r);
    return spared;
}

static bool claims_payload(void *user, const char *id)
{
    struct gateway *gw = user;

    return core_live(user, id) || downloads_claim(user, id) || receiving_claims(gw->receiving, id) ||
           spares_payload(user, id);
}

/* ---- life */

uv_loop_t *gateway_loop(struct gateway *gw)
{
    return &gw->loop;
}

struct gateway *gateway_create(const struct config *config, struct store *store, struct spool *spool, struct error *err)
{
    struct gateway *gw = calloc(1, sizeof *gw);

    if (!gw || uv_loop_init(&gw->loop) != 0) {
        free(gw);
        error_set(err, ERR_SYSTEM, "cannot make the core loop");
        return NULL;
    }
    gw->config = config;
    gw->store = store;
    gw->spool = spool;
    pthread_mutex_init(&gw->view_lock, NULL);
    uv_cond_init(&gw->over);
    gw->wall_ahead = clock_wall_ms() - clock_ms();
    atomic_store(&gw->beat, clock_ms());
    uv_idle_init(&gw->loop, &gw->run);
    gw->run.data = gw;
    uv_timer_init(&gw->loop, &gw->heartbeat);
    uv_timer_init(&gw->loop, &gw->again);
    gw->heartbeat.data = gw->again.data = gw;
    meter_open(&gw->meter, &gw->loop);
    gw->board = board_create();
    gw->events = events_create((size_t)config->events.retention);
    gw->turns = turns_create(config->delivery.parallel, config->delivery.per_recipient_parallel);
    gw->links = links_create();
    gw->keys = keys_create();
    gw->partials = partials_create(gw);
    gw->receiving = receiving_create(gw);
    gw->mailbox = mailbox_create(&gw->loop, gw);
    if (!gw->board || !gw->events || !gw->turns || !gw->links || !gw->keys || !gw->partials || !gw->receiving ||
        !gw->mailbox) {
        error_set(err, ERR_SYSTEM, "out of memory");
        gateway_destroy(&gw);
    }
    return gw;
}

static void core_thread(void *user)
{
    struct gateway *gw = user;
    struct network_events events = {.changed = on_network,
                                    .presence = on_presence,
                                    .roster = on_roster,
                                    .subscription = on_subscription,
                                    .user = gw,
                                    .receiver = receiving_receiver(gw->receiving),
                                    .relay = gw->relay};
    struct error error;

    if (!gw->network->ops->start(gw->network, &gw->loop, &events, &error))
        log_error("xmpp.start_failed", log_str("error", error.text));
    demo_start(gw);
    uv_timer_start(&gw->heartbeat, on_heartbeat, 0, HEARTBEAT_MS);
    uv_run(&gw->loop, UV_RUN_DEFAULT);
    pthread_mutex_lock(&gw->view_lock);
    gw->ended = true;
    uv_cond_signal(&gw->over);
    pthread_mutex_unlock(&gw->view_lock);
}

static void name_methods(struct gateway *gw)
{
    const struct method_ops *const *methods = gw->network->ops->methods(gw->network);
    size_t room = sizeof gw->method_names / sizeof *gw->method_names - 1;

    for (size_t i = 0; methods[i] && i < room; i++)
        gw->method_names[i] = methods[i]->name;
}

void gateway_name_by(struct gateway *gw, gateway_name_fn *name_of)
{
    gw->name_of = name_of;
}

void gateway_relay_by(struct gateway *gw, struct relay *relay)
{
    gw->relay = relay;
}

static bool start_fetching(struct gateway *gw, struct error *err)
{
    const struct config *c = gw->config;

    if (c->source.url_enabled == SOURCE_OFF)
        return true;
    gw->getter = http_getter_create(&gw->loop, c->xmpp.ca, c->egress.allow_nets, err);
    return gw->getter != NULL;
}

bool gateway_start(struct gateway *gw, struct network *network, struct carrier *carrier,
                   uint64_t (*streams)(struct carrier *c), struct error *err)
{
    const uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = CORE_STACK};
    size_t orphans;

    gw->network = network;
    gw->carrier = carrier;
    gw->streams = streams;
    gw->env = core_env(gw);
    name_methods(gw);
    if (!core_start_webhooks(gw, err) || !start_fetching(gw, err) || !recover(gw, err) || !downloads_recover(gw, err) ||
        !partials_recover(gw->partials, err) || !receiving_recover(gw->receiving, err))
        return false;
    orphans = spool_sweep(gw->spool, claims_payload, gw);
    if (orphans > 0)
        log_info("spool.orphans_removed", log_int("count", (int64_t)orphans));
    if (uv_thread_create_ex(&gw->thread, &options, core_thread, gw) != 0)
        return error_set(err, ERR_SYSTEM, "cannot start the core thread");
    gw->started = true;
    return true;
}

struct new_limits {
    struct message message;
    size_t parallel, per_recipient;
};

static void handle_limits(void *owner, struct message *m)
{
    const struct new_limits *limits = (const struct new_limits *)m;
    struct gateway *gw = owner;

    turns_limit(gw->turns, limits->parallel, limits->per_recipient);
    free(m);
    core_schedule(gw);
}

void gateway_limit(struct gateway *gw, size_t parallel, size_t per_recipient)
{
    struct new_limits *limits = malloc(sizeof *limits);

    if (!limits) {
        log_error("config.not_applied", log_str("keys", "delivery.parallel"), log_str("why", "out of memory"));
        return;
    }
    *limits =
        (struct new_limits){.message.handle = handle_limits, .parallel = parallel, .per_recipient = per_recipient};
    if (!mailbox_post(gw->mailbox, &limits->message))
        free(limits);
}

struct new_relay_limits {
    struct message message;
    struct relaying_limits limits;
};

static void drop_relay_limits(struct message *m)
{
    struct new_relay_limits *n = (struct new_relay_limits *)m;

    relaying_limits_free(&n->limits);
    free(n);
}

static void handle_relay_limits(void *owner, struct message *m)
{
    struct gateway *gw = owner;

    relaying_limit(gw->relay, &((struct new_relay_limits *)m)->limits);
    drop_relay_limits(m);
}

void gateway_limit_relay(struct gateway *gw, const struct relaying_limits *limits)
{
    struct new_relay_limits *n = gw->relay ? calloc(1, sizeof *n) : NULL;

    if (!gw->relay)
        return;
    if (!n || !relaying_limits_copy(&n->limits, limits)) {
        free(n);
        log_error("config.not_applied", log_str("keys", "proxy.allow"), log_str("why", "out of memory"));
        return;
    }
    n->message = (struct message){.handle = handle_relay_limits, .discard = drop_relay_limits};
    if (!mailbox_post(gw->mailbox, &n->message))
        drop_relay_limits(&n->message);
}

static void handle_drain(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct live *live, *next;

    free(m);
    if (gw->relay)
        relaying_drain(gw->relay);
    HASH_ITER(hh, gw->lives, live, next)
    core_park_still(live);
    core_count_flowing(gw);
    core_count_work(gw);
}

static void post_new(struct gateway *gw, void (*handle)(void *owner, struct message *m))
{
    struct message *m = calloc(1, sizeof *m);

    if (!m)
        abort(); /* at shutdown, with nothing to lose: everything promised is in the store */
    m->handle = handle;
    if (!mailbox_post(gw->mailbox, m))
        free(m);
}

void gateway_drain(struct gateway *gw)
{
    atomic_store(&gw->draining, true);
    if (gw->started)
        post_new(gw, handle_drain);
}

bool gateway_draining(struct gateway *gw, struct gateway_left *left)
{
    struct relay_counts relayed = {0};

    if (gw->relay)
        relaying_counts(gw->relay, &relayed);
    pthread_mutex_lock(&gw->view_lock);
    left->streams = gw->flowing + relayed.streams + receiving_count(gw->receiving);
    left->counted = gw->counted;
    pthread_mutex_unlock(&gw->view_lock);
    left->uploads = atomic_load(&gw->uploads);
    return !left->counted || left->streams > 0 || left->uploads > 0;
}

static void on_network_stopped(void *user)
{
    struct gateway *gw = user;

    meter_close(&gw->meter); /* what is left of the loop runs on another thread */
    uv_stop(&gw->loop);
}

static void on_demo_stopped(void *user)
{
    struct gateway *gw = user;

    gw->network->ops->stop(gw->network, on_network_stopped, gw);
}

static void handle_stop(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct live *live, *next;

    free(m);
    meter_log(&gw->meter, "core"); /* parting with all of them at once keeps nobody waiting */
    HASH_ITER(hh, gw->lives, live, next)
    {
        if (live->resting) /* its row is on its way; it begins at the next start */
            continue;
        core_flush(live); /* what happened in this very turn counts first */
        transfer_park(live->transfer);
        core_flush(live);
        core_answer_waiters(live);
    }
    fetches_stop(gw);
    receiving_stop(gw->receiving);
    webhooks_stop(gw->webhooks);
    uv_timer_stop(&gw->heartbeat);
    uv_timer_stop(&gw->again);
    demo_stop(gw, on_demo_stopped, gw);
}

/* As long as NUDGE_SECONDS; a join with a deadline would go by the wall clock. */
static bool await_end(struct gateway *gw)
{
    bool ended;

    pthread_mutex_lock(&gw->view_lock);
    if (!gw->ended)
        uv_cond_timedwait(&gw->over, &gw->view_lock, NUDGE_SECONDS * UINT64_C(1000000000));
    ended = gw->ended;
    pthread_mutex_unlock(&gw->view_lock);
    return ended;
}

void gateway_stop(struct gateway *gw, void (*nudge)(void *user), void *user)
{
    if (!gw->started)
        return;
    gateway_drain(gw);
    post_new(gw, handle_stop);
    while (!await_end(gw))
        nudge(user);
    uv_thread_join(&gw->thread);
    gw->started = false;
    while (gw->pending > 0) /* rows and jobs under way still come back; the loop is this thread's now */
        uv_run(&gw->loop, UV_RUN_ONCE);
}

void gateway_destroy(struct gateway **gw)
{
    struct gateway *g = *gw;
    struct live *live, *next;

    if (!g)
        return;
    HASH_ITER(hh, g->lives, live, next)
    {
        core_answer_waiters(live);
        core_forget(live);
    }
    fetches_stop(g);
    receiving_destroy(&g->receiving);
    core_forget_batches(g);
    http_getter_destroy(&g->getter);
    webhooks_destroy(&g->webhooks);
    uv_close((uv_handle_t *)&g->run, NULL);
    uv_close((uv_handle_t *)&g->heartbeat, NULL);
    uv_close((uv_handle_t *)&g->again, NULL);
    if (!uv_is_closing((uv_handle_t *)&g->meter.prepare))
        meter_close(&g->meter);
    if (g->mailbox)
        mailbox_destroy(&g->mailbox);
    uv_run(&g->loop, UV_RUN_DEFAULT); /* the close callbacks */
    if (uv_loop_close(&g->loop) != 0)
        log_error("core.loop_busy", log_str("advice", "a handle was left open; this is a bug"));
    turns_destroy(&g->turns);
    board_destroy(&g->board);
    events_destroy(&g->events);
    links_destroy(&g->links);
    keys_destroy(&g->keys);
    partials_destroy(&g->partials);
    pthread_mutex_destroy(&g->view_lock);
    uv_cond_destroy(&g->over);
    free(g);
    *gw = NULL;
}
