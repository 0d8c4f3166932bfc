/* gateway/core.h - the gateway as main.c puts it together, and as its own files share it.
 *
 * One thread, one uv loop: it owns every live transfer, the network and the carrier. gateway.c and upload*.c are the
 * front door and reach it by messages. Start in the order of the declarations, stop in reverse:
 *
 *     create → (carrier and network are made on gateway_loop()) → start … drain → stop → (they are destroyed) → destroy
 */
#ifndef GATEWAY_CORE_H
#define GATEWAY_CORE_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/mailbox.h"
#include "base/meter.h"
#include "gateway/board.h"
#include "gateway/demo.h"
#include "gateway/events.h"
#include "gateway/gateway.h"
#include "gateway/keys.h"
#include "gateway/relaying.h"
#include "gateway/transfer.h"
#include "gateway/turns.h"

struct live;
struct waiter;
struct links;
struct link_change;
struct webhooks;
struct partials;
struct batch;
struct tally;
struct http_getter;
struct receiving;

struct gateway {
    const struct config *config;
    struct store *store;
    struct spool *spool;
    struct board *board;   /* snapshots of live transfers, for any thread */
    struct events *events; /* likewise; core's thread publishes */
    struct network *network;
    struct carrier *carrier;
    uint64_t (*streams)(struct carrier *c);
    struct relay *relay; /* NULL: nothing is relayed for others */
    struct demo demo;
    const char *method_names[9];
    struct partials *partials; /* uploads in parts; any thread */

    /* core's thread alone */
    uv_loop_t loop;
    struct mailbox *mailbox;
    struct transfer_env env;
    struct live *lives;   /* by id */
    struct live *rowless; /* those that have no row yet */
    struct live *runs;    /* those with events or news to publish */
    struct turns *turns;
    struct keys *keys; /* of uploads under way */
    struct webhooks *webhooks;
    char *(*render)(const struct event *e);
    struct links *links;         /* of our own, that can be fetched */
    struct link_change *changes; /* of records by their links; the first is under way */
    struct batch *fetches;       /* whose file is on its way here */
    struct tally *tallies;       /* of batches that are not complete */
    struct receiving *receiving; /* files that are sent to us */
    struct http_getter *getter;  /* NULL: nothing is fetched */
    gateway_name_fn *name_of;    /* may be NULL */
    uv_idle_t run;               /* active while runs is not empty */
    uv_timer_t heartbeat;        /* also the housekeeping's */
    uint64_t heartbeat_due;
    uv_timer_t again;   /* while a transfer has a row to write a little later, or no place in line yet */
    struct meter meter; /* told when the gateway stops */
    int64_t forgotten_at;
    int64_t wall_ahead; /* of the monotonic clock, at the last heartbeat */
    size_t pending;     /* rows at the writer and jobs in the pool that will come back to this thread */
    bool online;
    int64_t online_since; /* monotonic; 0: it is not */
    uv_thread_t thread;
    bool started;

    /* any thread */
    atomic_int_least64_t beat;
    atomic_bool draining;
    atomic_size_t uploads; /* not over yet */
    pthread_mutex_t view_lock;
    struct network_view view; /* under view_lock, with the counts */
    size_t active, queued;
    size_t flowing; /* while draining, once it was counted */
    bool counted;
    bool ended; /* core's thread has; `over` says so */
    uv_cond_t over;
};

/* Takes nothing over: config, store and spool outlive the gateway. */
struct gateway *gateway_create(const struct config *config, struct store *store, struct spool *spool,
                               struct error *err);
uv_loop_t *gateway_loop(struct gateway *gw);

/* Takes up what an earlier run left unfinished, sweeps the spool, starts the thread. streams tells how many sockets
 * the carrier holds; it may be called on any thread. */
bool gateway_start(struct gateway *gw, struct network *network, struct carrier *carrier,
                   uint64_t (*streams)(struct carrier *c), struct error *err);

/* How many transfers may be under way, from here on, and how many of them to one recipient; who is under way stays so.
 * Any thread, after gateway_start(). */
void gateway_limit(struct gateway *gw, size_t parallel, size_t per_recipient);

/* Who relays others' bytestreams, made by relaying.h on gateway_loop(); before gateway_start(). Destroyed by its maker,
 * after gateway_stop(). */
void gateway_relay_by(struct gateway *gw, struct relay *relay);

/* Who may use it and how much, from here on; copied. Any thread, after gateway_start(). */
void gateway_limit_relay(struct gateway *gw, const struct relaying_limits *limits);

/* How an event becomes the body of a webhook, to be freed (NULL: out of memory); before gateway_start(). */
void gateway_render_events(struct gateway *gw, char *(*render)(const struct event *e));

/* The webhooks of another configuration, from here on. Any thread, after gateway_start(). */
void gateway_take_webhooks(struct gateway *gw, const struct webhook_list *list);

/* Likewise who may send us what, for offers to come. Where nobody might at the start, it takes a restart: nothing of it
 * was announced. */
void gateway_take_inbox(struct gateway *gw, const struct inbox_rule_list *rules, int64_t retention);

/* No new uploads, and nothing new begins. What is not flowing yet (connecting counts: somebody has accepted) is parked,
 * and who waits for it answered with what is known now; what flows goes on until gateway_stop(). Any thread. */
void gateway_drain(struct gateway *gw);

/* What draining still waits for: streams, until their end is committed, files that are sent to us, streams of others,
 * and uploads. */
struct gateway_left {
    bool counted; /* core has heard of it; before, the streams are not known */
    size_t streams, uploads;
};

/* false: nothing is left. Any thread, after gateway_drain(). */
bool gateway_draining(struct gateway *gw, struct gateway_left *left);

/* Parks what is under way, stops the network, joins the thread. nudge is called each second that this takes: the
 * watchdog's part, since core may stand in a TLS handshake that has no deadline. */
void gateway_stop(struct gateway *gw, void (*nudge)(void *user), void *user);

/* After carrier and network were destroyed: runs the loop to its end. *gw becomes NULL. */
void gateway_destroy(struct gateway **gw);

/* ---- core_lives.c and core_rows.c, for gateway.c, retry.c and upload*.c; core's thread */

/* Of a transfer that begins before its upload is over. Until core_upload_over() no row of it is written, unless it
 * ends: a crash leaves a .part file, which the sweep removes, and no promise. */
struct growth {
    struct feed *feed;
    void (*open)(void *user, const struct record *r);  /* once, when its first stream is; may be NULL */
    void (*ended)(void *user, const struct record *r); /* once, its end committed, unless the upload was over before */
    void *user;
};

/* Takes r and all the memory that its transfer needs to begin: what has to be there before its row is committed, and
 * something is promised. NULL, r freed: out of memory. */
struct live *core_prepare(struct gateway *gw, struct record *r, const struct growth *growth);

/* It goes, now that the row is committed; or goes away. */
void core_begin(struct live *live);
void core_forget(struct live *live);

/* Both in one, of what has a committed row already, or a growth. was: its state as it was told of last, in an event;
 * RECEIVING: never. false, r freed: out of memory. */
bool core_adopt(struct gateway *gw, struct record *r, const struct growth *growth, enum transfer_state was);

/* One whose file was fetched, between prepare and begin: that it is there was told as it was made, and it counts in its
 * batch since then. */
void core_was_told(struct live *live);

/* Instead of core_begin(): it ends without a file, as why says; ERR_CANCELLED: it is cancelled. Its row follows, and
 * core_over(). */
void core_end_fileless(struct live *live, const struct error *why);

/* A copy for the store: what it has needs no further row. When it is final and committed, core_over() is due. */
struct record *core_first_row(struct live *live);

/* Its end is committed: whoever waits is answered, the payload goes, and so does live. */
void core_over(struct live *live);

/* Nothing more will come: from here on rows are written as they are for any other. written: the first one is. */
void core_upload_over(struct live *live, bool written);

/* Those that have no row yet. */
void core_each_rowless(struct gateway *gw, void (*each)(void *user, const struct record *r), void *user);

const struct record *core_record(const struct live *live);
struct transfer *core_transfer(const struct live *live);

struct live *core_live(struct gateway *gw, const char *id);
void core_cancel(struct live *live);

/* Takes up a failed transfer once more: takes r, as its row is. done: as of an upload. In the pool and to the store. */
void core_retry(struct gateway *gw, struct record *r, gateway_record_fn *done, void *user);

/* Deletes a payload in the pool. */
void core_remove_payload(struct gateway *gw, const char *id);

/* Calls done when the transfer is final and committed, or after wait_ms, with its record; was: also as soon as it is
 * not as it was; NULL: for its end alone. */
void core_wait(struct gateway *gw, struct live *live, int64_t wait_ms, const struct record_stamp *was,
               gateway_record_fn *done, void *user);

/* ---- core_events.c, for core_rows.c and download.c; core's thread */

/* A final state is committed, and that is told; takes the snapshot, which may be NULL for want of memory. */
void core_tell_end(struct gateway *gw, struct record *snapshot);

/* One that is no live transfer yet is there; s is on the board. */
void core_tell_created(struct gateway *gw, struct snapshot *s);

/* ---- core_batches.c, for core*.c and fetch.c; core's thread
 *
 * batch.completed comes when the last of a batch that was not over is, and that is committed. What was complete when
 * we started is not heard of again; one of which something is tried once more (core_retry()) completes once more. */

/* A transfer is there, or taken up; NULL or no batch: nothing. Without memory readers of events are told of a
 * gap. */
void core_join_batch(struct gateway *gw, const struct record *r);
void core_leave_batch(struct gateway *gw, const struct record *r); /* its end is committed */
void core_forget_batches(struct gateway *gw);

/* ---- core_webhooks.c, for core*.c, upload*.c and download.c; core's thread */

/* store_put_keyed(), and with a final record go the deliveries that tell of it. */
void core_put_row(struct gateway *gw, struct record *row, const struct record_key *key, store_done_fn *done,
                  void *user);

/* Takes up the webhooks of the configuration, with what an earlier run left for them. */
bool core_start_webhooks(struct gateway *gw, struct error *err);

/* ---- fetch.c, for core.c and gateway.c; core's thread */

/* true: it is one that is fetched; done is called as by core_wait(), or by a cancellation. */
bool fetches_wait(struct gateway *gw, const char *id, int64_t wait_ms, const struct record_stamp *was,
                  gateway_record_fn *done, void *user);
bool fetches_cancel(struct gateway *gw, const char *id, gateway_record_fn *done, void *user);

/* We stop: nothing more is fetched, and who waits is told how it is. Their rows stay as they are. */
void fetches_stop(struct gateway *gw);

/* ---- download.c, for core*.c and gateway.c; core's thread */

/* Takes up the links of an earlier run. */
bool downloads_recover(struct gateway *gw, struct error *err);

/* Whether the payload is that of a link. */
bool downloads_claim(struct gateway *gw, const char *id);

/* The record of a live transfer has changed: so may have its link. */
void downloads_follow(struct gateway *gw, const struct record *r);

/* Its end is committed. true: its payload stays, for who follows the link. */
bool downloads_keep(struct gateway *gw, const struct record *r);

/* Links whose time is over go, and their payloads. */
void downloads_expire(struct gateway *gw);

/* Ends the link of a final transfer and answers with its record then. false: it has none. */
bool downloads_revoke(struct gateway *gw, const char *id, gateway_record_fn *done, void *user);

#endif
