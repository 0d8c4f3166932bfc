/* gateway/core_lives.c - live transfers: those that are not over, or whose end is not committed yet. Whatever happens
 * to one is noted, and handled on a later turn of the loop. */
#include "gateway/core_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { SAVE_SOON_MS = 250 };

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

bool core_stands_still(const struct live *live)
{
    enum transfer_state state = core_record(live)->state;

    return state != TRANSFER_CONNECTING && state != TRANSFER_TRANSFERRING && !transfer_state_final(state);
}

void core_count_work(struct gateway *gw)
{
    pthread_mutex_lock(&gw->view_lock);
    gw->active = turns_active(gw->turns);
    gw->queued = HASH_COUNT(gw->lives) - gw->active;
    pthread_mutex_unlock(&gw->view_lock);
}

void core_count_flowing(struct gateway *gw)
{
    struct live *live, *next;
    size_t flowing = 0;

    HASH_ITER(hh, gw->lives, live, next)
    flowing += !core_stands_still(live);
    pthread_mutex_lock(&gw->view_lock);
    gw->flowing = flowing;
    gw->counted = true;
    pthread_mutex_unlock(&gw->view_lock);
}

/* ---- its upload, while that is not over */

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

void core_note_growth(struct live *live)
{
    if (live->growth.feed)
        transfer_received(live->transfer, feed_look(live->growth.feed).available);
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
    core_touch(live);
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

/* ---- running transfers: whatever happened to them is handled here, as many of them a turn of the loop as fit in */

/* What is left final has waiters still: for its row. */
void core_park_still(struct live *live)
{
    if (!core_stands_still(live))
        return;
    transfer_park(live->transfer);
    if (!transfer_state_final(core_record(live)->state))
        core_answer_waiters(live);
}

static void publish(struct live *live)
{
    struct snapshot *s = snapshot_take(transfer_snapshot(live->transfer));

    live->publish = false;
    if (!s)
        return;
    board_put(live->gw->board, s);
    core_tell(live, s);
    core_answer_change(live);
    snapshot_release(&s);
}

void core_flush(struct live *live)
{
    core_note_growth(live); /* never less than what was sent of it */
    if (live->has_events) {
        live->has_events = false;
        transfer_run(live->transfer);
        if (atomic_load(&live->gw->draining) && core_stands_still(live)) {
            core_park_still(live);
            core_count_flowing(live->gw);
        }
    }
    if (live->publish)
        publish(live);
    if (live->write && (!live->growth.feed || feed_refused(live->growth.feed))) {
        live->write = false;
        core_write_row(live);
    }
}

static void on_run(uv_idle_t *idle)
{
    struct gateway *gw = idle->data;
    struct share share = share_begin();
    struct live *live;

    while ((live = gw->runs)) {
        DL_DELETE(gw->runs, live);
        live->in_runs = false;
        core_flush(live);
        if (!share_left(&share))
            break;
    }
    if (!gw->runs)
        uv_idle_stop(idle);
    core_count_work(gw);
}

void core_touch(struct live *live)
{
    if (!live->in_runs) {
        live->in_runs = true;
        DL_APPEND(live->gw->runs, live);
    }
    uv_idle_start(&live->gw->run, on_run);
}

/* ---- its place in line, and what is tried a little later */

static void try_again(uv_timer_t *timer);

void core_schedule(struct gateway *gw)
{
    struct live *live;

    if (!gw->online || atomic_load(&gw->draining))
        return;
    while ((live = turns_next(gw->turns))) {
        live->in_line = false;
        transfer_start(live->transfer);
    }
}

/* One timer for all, which needs no memory: that may be what was missing. */
static void try_again_soon(struct gateway *gw)
{
    if (!uv_is_active((uv_handle_t *)&gw->again))
        uv_timer_start(&gw->again, try_again, SAVE_SOON_MS, 0);
}

void core_write_after(struct live *live, int64_t ms)
{
    live->row_at = clock_ms() + ms;
    try_again_soon(live->gw);
}

static void get_in_line(struct live *live)
{
    if (!live->in_line)
        live->in_line = turns_wait(live->gw->turns, live->key, live);
    live->unplaced = !live->in_line;
    if (live->unplaced)
        try_again_soon(live->gw);
    core_schedule(live->gw);
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
            core_touch(live);
        }
    }
}

/* ---- what a transfer tells its owner */

static void env_wake(void *user, struct transfer *t)
{
    struct live *live = transfer_owner(t);

    (void)user;
    live->has_events = true;
    core_touch(live);
}

static void env_changed(void *user, struct transfer *t, enum saving save)
{
    struct live *live = transfer_owner(t);

    (void)user;
    live->publish = true;
    if (core_has_news(live)) /* the next change may come before the next turn */
        publish(live);
    live->write = live->write || save == SAVE_NOW;
    if (save == SAVE_SOON && live->row_at == 0)
        core_write_after(live, SAVE_SOON_MS);
    downloads_follow(live->gw, core_record(live));
    tell_open(live);
    if (transfer_state_final(core_record(live)->state) && live->in_line) {
        live->in_line = false;
        turns_leave(live->gw->turns, live->key, live);
    }
    core_touch(live);
}

static int64_t env_online_since(void *user)
{
    return ((struct gateway *)user)->online_since;
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
    core_schedule(gw);
}

struct transfer_env core_env(struct gateway *gw)
{
    return (struct transfer_env){
        .loop = &gw->loop,
        .network = gw->network,
        .carrier = gw->carrier,
        .spool = gw->spool,
        .config = gw->config,
        .wake = env_wake,
        .changed = env_changed,
        .online_since = env_online_since,
        .waiting = env_waiting,
        .idle = env_idle,
        .user = gw,
    };
}

/* ---- coming and going */

void core_forget(struct live *live)
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
    core_count_work(gw);
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
    live->told.state = TRANSFER_RECEIVING;
    if (growth) {
        live->growth = *growth;
        feed_hold(growth->feed);
        live->rowless = true;
        DL_APPEND2(gw->rowless, live, rowless_prev, rowless_next);
    }
    live->transfer = transfer_create(&gw->env, r, growth ? growth->feed : NULL, live);
    if (live->transfer)
        return live;
    core_forget(live);
    return NULL;
}

void core_begin(struct live *live)
{
    live->resting = false;
    if (!live->counted)
        core_join_batch(live->gw, core_record(live));
    live->counted = true;
    publish(live); /* at once: whoever is told of it now may ask for it now */
    transfer_queue(live->transfer);
}

void core_was_told(struct live *live)
{
    live->counted = live->told.created = true;
}

/* At once: whoever asks now finds it ended. */
void core_end_fileless(struct live *live, const struct error *why)
{
    live->resting = false;
    live->fileless = true;
    live->told.state = core_record(live)->state;
    if (why->code == ERR_CANCELLED)
        transfer_cancel(live->transfer);
    else
        transfer_upload_failed(live->transfer, why);
    core_flush(live);
}

bool core_adopt(struct gateway *gw, struct record *r, const struct growth *growth, enum transfer_state was)
{
    struct live *live = core_prepare(gw, r, growth);

    if (!live)
        return false;
    live->told.created = was != TRANSFER_RECEIVING;
    live->told.state = was;
    core_begin(live);
    return true;
}
