#include "gateway/core.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/links.h"

enum {
    HEARTBEAT_MS = 500,
    JUMP_MS = 1000, /* less than that time servers do all the time */
    FORGET_EVERY_MS = 3600 * 1000,
    STORE_RETRY_MS = 5000,
    SAVE_SOON_MS = 250,
    CORE_STACK = 8 << 20,
    NUDGE_SECONDS = 1
};

/* Somebody who waits for a transfer to become final. */
struct waiter {
    struct waiter *prev, *next;
    struct live *live;
    uv_timer_t timer;
    gateway_record_fn *done;
    void *user;
};

/* A transfer that is not over, or whose end is not committed yet. */
struct live {
    UT_hash_handle hh;
    struct live *prev, *next;                 /* in gw->runs */
    struct live *rowless_prev, *rowless_next; /* in gw->rowless, while it is */
    bool rowless;
    struct growth growth;
    struct gateway *gw;
    struct transfer *transfer;
    struct waiter *waiters;
    char id[ID_SIZE];
    char *key; /* the recipient's bare JID */
    bool in_runs;
    bool has_events;
    bool publish; /* the record changed */
    bool write;   /* so that its row has to */
    bool in_line;
    bool resting;   /* prepared, and waits for the commit of its first row */
    bool unplaced;  /* there was no memory for its place in line */
    int64_t row_at; /* for a row that may wait a little, and another try at one that was not written; 0: none */
};

/* ---- what the files of the gateway share */

struct live *core_live(struct gateway *gw, const char *id)
{
    struct live *live = NULL;

    HASH_FIND_STR(gw->lives, id, live);
    return live;
}

const struct record *core_record(const struct live *live)
{
    return transfer_record(live->transfer);
}

struct transfer *core_transfer(const struct live *live)
{
    return live->transfer;
}

void core_cancel(struct live *live)
{
    transfer_cancel(live->transfer);
}

/* ---- waiting */

static void free_waiter(uv_handle_t *timer)
{
    free(timer->data);
}

static void waiter_answer(struct waiter *w)
{
    struct record *r = record_copy(core_record(w->live));
    struct error error;

    if (!r)
        error_set(&error, ERR_INTERNAL, "out of memory");
    w->done(w->user, r, r ? NULL : &error);
    DL_DELETE(w->live->waiters, w);
    uv_close((uv_handle_t *)&w->timer, free_waiter);
}

/* Not over, and not on its way either. */
static bool stands_still(const struct live *live)
{
    enum transfer_state state = core_record(live)->state;

    return state != TRANSFER_CONNECTING && state != TRANSFER_TRANSFERRING && !transfer_state_final(state);
}

static void on_wait_over(uv_timer_t *timer)
{
    waiter_answer(timer->data);
}

void core_wait(struct gateway *gw, struct live *live, int64_t wait_ms, gateway_record_fn *done, void *user)
{
    struct waiter *w = calloc(1, sizeof *w);
    struct error error;

    if (!w) {
        error_set(&error, ERR_INTERNAL, "out of memory");
        done(user, NULL, &error);
        return;
    }
    *w = (struct waiter){.live = live, .done = done, .user = user};
    uv_timer_init(&gw->loop, &w->timer);
    w->timer.data = w;
    uv_timer_start(&w->timer, on_wait_over, wait_ms > 0 ? (uint64_t)wait_ms : 0, 0);
    DL_APPEND(live->waiters, w);
    if (atomic_load(&gw->draining) && stands_still(live))
        waiter_answer(w);
}

static void answer_waiters(struct live *live)
{
    while (live->waiters)
        waiter_answer(live->waiters);
}

/* ---- the end of a transfer: its last row is committed, then the payload goes */

struct removal {
    uv_work_t work;
    struct gateway *gw;
    char id[ID_SIZE];
};

static void remove_work(uv_work_t *work)
{
    struct removal *removal = work->data;

    spool_remove(removal->gw->spool, removal->id);
}

static void remove_done(uv_work_t *work, int status)
{
    struct removal *removal = work->data;

    (void)status;
    removal->gw->pending--;
    free(removal);
}

void core_remove_payload(struct gateway *gw, const char *id)
{
    struct removal *removal = calloc(1, sizeof *removal);

    if (!removal) { /* out of memory: rather here, though the disk may keep us waiting, than never */
        spool_remove(gw->spool, id);
        return;
    }
    removal->work.data = removal;
    removal->gw = gw;
    memcpy(removal->id, id, ID_SIZE);
    gw->pending++;
    uv_queue_work(&gw->loop, &removal->work, remove_work, remove_done);
}

static void count_work(struct gateway *gw)
{
    pthread_mutex_lock(&gw->view_lock);
    gw->active = turns_active(gw->turns);
    gw->queued = HASH_COUNT(gw->lives) - gw->active;
    pthread_mutex_unlock(&gw->view_lock);
}

/* While draining. By all that can become one less, and never once for each of many. */
static void count_flowing(struct gateway *gw)
{
    struct live *live, *next;
    size_t flowing = 0;

    HASH_ITER(hh, gw->lives, live, next)
    flowing += !stands_still(live);
    pthread_mutex_lock(&gw->view_lock);
    gw->flowing = flowing;
    gw->counted = true;
    pthread_mutex_unlock(&gw->view_lock);
}

static void has_row(struct live *live)
{
    if (live->rowless)
        DL_DELETE2(live->gw->rowless, live, rowless_prev, rowless_next);
    live->rowless = false;
}

static void stop_growing(struct live *live)
{
    feed_release(&live->growth.feed);
    live->growth = (struct growth){0};
}

static void live_destroy(struct live *live)
{
    struct gateway *gw = live->gw;
    struct growth growth = live->growth;

    if (live->in_runs)
        DL_DELETE(gw->runs, live);
    if (live->in_line)
        turns_leave(gw->turns, live->key, live);
    HASH_DEL(gw->lives, live);
    board_remove(gw->board, live->id);
    if (growth.ended && live->transfer)
        growth.ended(growth.user, core_record(live));
    stop_growing(live);
    has_row(live);
    transfer_destroy(&live->transfer);
    free(live->key);
    free(live);
    count_work(gw);
}

struct committed {
    struct message message;
    struct gateway *gw;
    char id[ID_SIZE];
    bool failed;
};

static void touch(struct live *live);

static void try_again(uv_timer_t *timer);

/* What a failed transfer can be tried again with stays a while. */
static bool may_be_retried(const struct gateway *gw, const struct record *r)
{
    return r->state == TRANSFER_FAILED && r->upload == UPLOAD_COMPLETE && r->mode != MODE_STREAM &&
           r->finished + gw->config->spool.retention > clock_wall_ms();
}

static void part_with_payload(struct gateway *gw, const struct record *r)
{
    if (may_be_retried(gw, r))
        spool_spare(gw->spool, r->id, r->finished + gw->config->spool.retention);
    else
        core_remove_payload(gw, r->id);
}

/* One timer for all, which needs no memory: that may be what was missing. */
static void try_again_soon(struct gateway *gw)
{
    if (!uv_is_active((uv_handle_t *)&gw->again))
        uv_timer_start(&gw->again, try_again, SAVE_SOON_MS, 0);
}

static void write_after(struct live *live, int64_t ms)
{
    live->row_at = clock_ms() + ms;
    try_again_soon(live->gw);
}

void core_over(struct live *live)
{
    struct gateway *gw = live->gw;

    if (!downloads_keep(gw, core_record(live)))
        part_with_payload(gw, core_record(live));
    answer_waiters(live);
    live_destroy(live);
    if (atomic_load(&gw->draining))
        count_flowing(gw);
}

static void handle_committed(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct committed *c = (struct committed *)m;
    struct live *live = core_live(gw, c->id);

    gw->pending--;
    if (live && c->failed) { /* who waits for a committed end goes on waiting, within his own time */
        write_after(live, STORE_RETRY_MS);
    } else if (live) {
        core_over(live);
    }
    free(c);
}

/* Writer's thread. */
static void on_final_row(void *user, const struct error *err)
{
    struct committed *c = user;

    c->failed = err != NULL;
    if (err)
        log_error("store.write_failed", log_str("transfer", c->id), log_str("error", err->text));
    inbox_post(c->gw->inbox, &c->message); /* open: gateway_stop() waits for all that is pending */
}

static void write_row(struct live *live)
{
    const struct record *r = core_record(live);
    struct record *row = record_copy(r);
    struct committed *c = NULL;

    live->row_at = 0;
    if (row && transfer_state_final(r->state)) {
        c = calloc(1, sizeof *c);
        if (c) {
            c->message.handle = handle_committed;
            c->gw = live->gw;
            memcpy(c->id, live->id, ID_SIZE);
        }
    }
    if (!row || (transfer_state_final(r->state) && !c)) {
        record_free(&row);
        log_error("store.write_failed", log_str("transfer", live->id), log_str("error", "out of memory"));
        write_after(live, STORE_RETRY_MS);
        return;
    }
    if (c)
        live->gw->pending++;
    store_put(live->gw->store, row, c ? on_final_row : NULL, c);
}

/* ---- running transfers: whatever happened to them is handled here, as many of them a turn of the loop as fit in */

static void schedule(struct gateway *gw)
{
    struct live *live;

    if (!gw->online || atomic_load(&gw->draining))
        return;
    while ((live = turns_next(gw->turns))) {
        live->in_line = false;
        transfer_start(live->transfer);
    }
}

/* How far its upload is, for those who look. */
static void note_growth(struct live *live)
{
    if (live->growth.feed)
        transfer_received(live->transfer, feed_look(live->growth.feed).available);
}

/* While draining. What is left final has waiters still: for its row. */
static void park_still(struct live *live)
{
    if (!stands_still(live))
        return;
    transfer_park(live->transfer);
    if (!transfer_state_final(core_record(live)->state))
        answer_waiters(live);
}

static void publish(struct live *live)
{
    struct record *snapshot = transfer_snapshot(live->transfer);

    if (snapshot)
        board_put(live->gw->board, snapshot);
}

static void flush(struct live *live)
{
    if (live->has_events) {
        live->has_events = false;
        note_growth(live); /* never less than what was sent of it */
        transfer_run(live->transfer);
        if (atomic_load(&live->gw->draining) && stands_still(live)) {
            park_still(live);
            count_flowing(live->gw);
        }
    }
    if (live->publish) {
        live->publish = false;
        publish(live);
    }
    if (live->write && (!live->growth.feed || feed_refused(live->growth.feed))) {
        live->write = false;
        write_row(live);
    }
}

struct record *core_first_row(struct live *live)
{
    live->write = false;
    live->row_at = 0;
    return record_copy(core_record(live));
}

void core_upload_over(struct live *live, bool written)
{
    stop_growing(live);
    if (written)
        has_row(live);
    else
        live->write = true;
    touch(live);
}

void core_each_rowless(struct gateway *gw, void (*each)(void *user, const struct record *r), void *user)
{
    struct live *live;

    DL_FOREACH2(gw->rowless, live, rowless_next)
    each(user, core_record(live));
}

static void tell_open(struct live *live)
{
    struct growth *g = &live->growth;
    void (*open)(void *user, const struct record *r) = g->open;

    if (!open || core_record(live)->state != TRANSFER_TRANSFERRING)
        return;
    g->open = NULL;
    open(g->user, core_record(live));
}

static void on_run(uv_idle_t *idle)
{
    struct gateway *gw = idle->data;
    struct share share = share_begin();
    struct live *live;

    while ((live = gw->runs)) {
        DL_DELETE(gw->runs, live);
        live->in_runs = false;
        flush(live);
        if (!share_left(&share))
            break;
    }
    if (!gw->runs)
        uv_idle_stop(idle);
    count_work(gw);
}

static void touch(struct live *live)
{
    if (!live->in_runs) {
        live->in_runs = true;
        DL_APPEND(live->gw->runs, live);
    }
    uv_idle_start(&live->gw->run, on_run);
}

static void env_wake(void *user, struct transfer *t)
{
    struct live *live = transfer_owner(t);

    (void)user;
    live->has_events = true;
    touch(live);
}

static void env_changed(void *user, struct transfer *t, enum saving save)
{
    struct live *live = transfer_owner(t);

    (void)user;
    live->publish = true;
    live->write = live->write || save == SAVE_NOW;
    if (save == SAVE_SOON && live->row_at == 0)
        write_after(live, SAVE_SOON_MS);
    downloads_follow(live->gw, core_record(live));
    tell_open(live);
    if (transfer_state_final(core_record(live)->state) && live->in_line) {
        live->in_line = false;
        turns_leave(live->gw->turns, live->key, live);
    }
    touch(live);
}

static int64_t env_online_since(void *user)
{
    return ((struct gateway *)user)->online_since;
}

static void get_in_line(struct live *live)
{
    if (!live->in_line)
        live->in_line = turns_wait(live->gw->turns, live->key, live);
    live->unplaced = !live->in_line;
    if (live->unplaced)
        try_again_soon(live->gw);
    schedule(live->gw);
}

static void env_waiting(void *user, struct transfer *t)
{
    (void)user;
    get_in_line(transfer_owner(t));
}

static void env_idle(void *user, struct transfer *t)
{
    struct gateway *gw = user;
    struct live *live = transfer_owner(t);

    turns_done(gw->turns, live->key);
    schedule(gw);
}

struct live *core_prepare(struct gateway *gw, struct record *r, const struct growth *growth)
{
    struct live *live = calloc(1, sizeof *live);
    struct error error;
    struct jid to;

    jid_parse(&to, r->to, strlen(r->to), &error); /* else it is empty, and the transfer says so */
    if (live) {
        live->key = strndup(to.text, to.bare);
        memcpy(live->id, r->id, ID_SIZE);
        HASH_ADD_STR(gw->lives, id, live);
    }
    if (!live || !live->key || !live->hh.tbl) {
        if (live && live->hh.tbl)
            HASH_DEL(gw->lives, live);
        if (live)
            free(live->key);
        free(live);
        record_free(&r);
        return NULL;
    }
    live->gw = gw;
    live->resting = true;
    if (growth) {
        live->growth = *growth;
        feed_hold(growth->feed);
        live->rowless = true;
        DL_APPEND2(gw->rowless, live, rowless_prev, rowless_next);
    }
    live->transfer = transfer_create(&gw->env, r, growth ? growth->feed : NULL, live);
    if (live->transfer)
        return live;
    live_destroy(live);
    return NULL;
}

void core_forget(struct live *live)
{
    live_destroy(live);
}

void core_begin(struct live *live)
{
    live->resting = false;
    publish(live); /* at once: whoever is told of it now may ask for it now */
    transfer_queue(live->transfer);
}

bool core_adopt(struct gateway *gw, struct record *r, const struct growth *growth)
{
    struct live *live = core_prepare(gw, r, growth);

    if (live)
        core_begin(live);
    return live != NULL;
}

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
    }
    schedule(gw);
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

/* What may be due by now, or be possible. */
static void try_again(uv_timer_t *timer)
{
    struct gateway *gw = timer->data;
    int64_t now = clock_ms();
    struct live *live, *next;

    HASH_ITER(hh, gw->lives, live, next)
    {
        if (live->unplaced && core_record(live)->state == TRANSFER_QUEUED)
            get_in_line(live);
        if (live->row_at > now) {
            try_again_soon(gw);
        } else if (live->row_at > 0) {
            live->row_at = 0;
            live->write = true;
            touch(live);
        }
    }
}

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
    note_growth(live);
    downloads_expire(gw);
    while (spool_over(gw->spool, clock_wall_ms(), over))
        core_remove_payload(gw, over);
    if (gw->forgotten_at == 0 || now - gw->forgotten_at >= FORGET_EVERY_MS) {
        gw->forgotten_at = now;
        store_forget(gw->store, clock_wall_ms() - gw->config->delivery.retention, clock_wall_ms() - KEY_KEPT_MS);
    }
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
    gw->turns = turns_create(config->delivery.parallel, config->delivery.per_recipient_parallel);
    gw->links = links_create();
    gw->keys = keys_create();
    gw->inbox = inbox_create(&gw->loop, gw);
    if (!gw->board || !gw->turns || !gw->links || !gw->keys || !gw->inbox) {
        error_set(err, ERR_SYSTEM, "out of memory");
        gateway_destroy(&gw);
    }
    return gw;
}

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
    struct error error;

    if (core_record(live)->mode == MODE_STREAM) {
        error_set(&error, ERR_STREAM_BROKEN,
                  "the gateway stopped in the middle, and mode stream keeps no file to go on with; send it again");
    } else {
        log_error("transfer.payload_lost", log_str("transfer", id));
        error_set(&error, ERR_INTERNAL, "the payload is no longer in the spool");
    }
    transfer_fail(live->transfer, &error);
}

/* A record of an earlier run: continues, or ends with the reason when its payload is gone. */
static bool take_up(struct gateway *gw, struct record *r)
{
    struct error error;
    struct spool_file *file = spool_reopen(gw->spool, r->id, &error);
    bool whole = file && spool_size(file) == r->size;
    char id[ID_SIZE];

    spool_release(&file);
    if (r->state != TRANSFER_QUEUED && r->state != TRANSFER_HELD)
        note_interruption(r);
    memcpy(id, r->id, ID_SIZE);
    if (!core_adopt(gw, r, NULL))
        return false;
    if (!whole)
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
    bool spared = r && may_be_retried(gw, r);

    if (spared)
        spool_spare(gw->spool, id, r->finished + gw->config->spool.retention);
    record_free(&r);
    return spared;
}

static bool claims_payload(void *user, const char *id)
{
    return core_live(user, id) || downloads_claim(user, id) || spares_payload(user, id);
}

static void core_thread(void *user)
{
    struct gateway *gw = user;
    struct network_events events = {.changed = on_network,
                                    .presence = on_presence,
                                    .roster = on_roster,
                                    .subscription = on_subscription,
                                    .user = gw};
    struct error error;

    if (!gw->network->ops->start(gw->network, &gw->loop, &events, &error))
        log_error("xmpp.start_failed", log_str("error", error.text));
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

bool gateway_start(struct gateway *gw, struct network *network, struct carrier *carrier,
                   uint64_t (*streams)(struct carrier *c), struct error *err)
{
    const uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = CORE_STACK};
    size_t orphans;

    gw->network = network;
    gw->carrier = carrier;
    gw->streams = streams;
    gw->env = (struct transfer_env){
        .loop = &gw->loop,
        .network = network,
        .carrier = carrier,
        .spool = gw->spool,
        .config = gw->config,
        .wake = env_wake,
        .changed = env_changed,
        .online_since = env_online_since,
        .waiting = env_waiting,
        .idle = env_idle,
        .user = gw,
    };
    name_methods(gw);
    if (!recover(gw, err) || !downloads_recover(gw, err))
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
    schedule(gw);
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
    if (!inbox_post(gw->inbox, &limits->message))
        free(limits);
}

static void handle_drain(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct live *live, *next;

    free(m);
    HASH_ITER(hh, gw->lives, live, next)
    park_still(live);
    count_flowing(gw);
    count_work(gw);
}

static void post_new(struct gateway *gw, void (*handle)(void *owner, struct message *m))
{
    struct message *m = calloc(1, sizeof *m);

    if (!m)
        abort(); /* at shutdown, with nothing to lose: everything promised is in the store */
    m->handle = handle;
    if (!inbox_post(gw->inbox, m))
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
    pthread_mutex_lock(&gw->view_lock);
    left->streams = gw->flowing;
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
        flush(live); /* what happened in this very turn counts first */
        transfer_park(live->transfer);
        flush(live);
        answer_waiters(live);
    }
    uv_timer_stop(&gw->heartbeat);
    uv_timer_stop(&gw->again);
    gw->network->ops->stop(gw->network, on_network_stopped, gw);
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
        answer_waiters(live);
        live_destroy(live);
    }
    uv_close((uv_handle_t *)&g->run, NULL);
    uv_close((uv_handle_t *)&g->heartbeat, NULL);
    uv_close((uv_handle_t *)&g->again, NULL);
    if (!uv_is_closing((uv_handle_t *)&g->meter.prepare))
        meter_close(&g->meter);
    if (g->inbox)
        inbox_destroy(&g->inbox);
    uv_run(&g->loop, UV_RUN_DEFAULT); /* the close callbacks */
    if (uv_loop_close(&g->loop) != 0)
        log_error("core.loop_busy", log_str("advice", "a handle was left open; this is a bug"));
    turns_destroy(&g->turns);
    board_destroy(&g->board);
    links_destroy(&g->links);
    keys_destroy(&g->keys);
    pthread_mutex_destroy(&g->view_lock);
    uv_cond_destroy(&g->over);
    free(g);
    *gw = NULL;
}
