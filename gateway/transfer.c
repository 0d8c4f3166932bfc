#include "gateway/transfer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/trace.h"
#include "gateway/transfer_parts.h"

static const char *const event_names[] = {"start",       "resolved", "method-failed", "accepted",  "switched",
                                          "stream-open", "uploaded", "upload-failed", "complete",  "link-sent",
                                          "pause",       "hold",     "came",          "hold-over", "unseen",
                                          "fatal",       "cancel",   "expire"};

/* ---- what happened, and what is told of it */

void transfer_post(struct transfer *t, enum event event, const struct error *error, enum proof proof)
{
    char trace[TRACE_ID];

    if (t->event_count == EVENTS) { /* more than a method can cause; the oldest news counts */
        log_warn("transfer.events_dropped", log_str("transfer", t->record->id), log_str("event", event_names[event]),
                 log_opt("trace_id", trace_id(t->record->traceparent, trace)));
        return;
    }
    t->events[t->event_count++] = (struct news){.event = (uint8_t)event,
                                                .proof = (uint8_t)proof,
                                                .code = (uint16_t)(error ? error->code : ERR_NONE),
                                                .text = error && *error->text ? strdup(error->text) : NULL};
    if (!t->woken) {
        t->woken = true;
        t->env->wake(t->env->user, t);
    }
}

static struct pending next_event(struct transfer *t)
{
    struct news n = t->events[0];
    struct pending p = {.event = (enum event)n.event, .proof = (enum proof)n.proof};

    memmove(t->events, t->events + 1, --t->event_count * sizeof *t->events);
    p.error.code = (enum error_code)n.code;
    if (n.text)
        snprintf(p.error.text, sizeof p.error.text, "%s", n.text);
    else if (p.error.code != ERR_NONE)
        snprintf(p.error.text, sizeof p.error.text, "no memory was left to say more");
    free(n.text);
    return p;
}

static void drop_events(struct transfer *t)
{
    while (t->event_count > 0)
        next_event(t);
}

void transfer_forget_method_events(struct transfer *t)
{
    size_t kept = 0;

    for (size_t i = 0; i < t->event_count; i++)
        if (t->events[i].event == EV_CANCEL || t->events[i].event == EV_EXPIRE || t->events[i].event == EV_UPLOADED ||
            t->events[i].event == EV_UPLOAD_FAILED)
            t->events[kept++] = t->events[i];
        else
            free(t->events[i].text);
    t->event_count = kept;
}

enum stage transfer_stage(const struct transfer *t)
{
    if (t->record->state == TRANSFER_QUEUED || t->record->state == TRANSFER_HELD)
        return t->record->upload == UPLOAD_ABORTED ? STAGE_UPLOAD : STAGE_QUEUE;
    if (t->record->state == TRANSFER_CONNECTING)
        return STAGE_CONNECT;
    if (t->record->state == TRANSFER_TRANSFERRING)
        return STAGE_TRANSFER;
    return t->method ? STAGE_OFFER : STAGE_RESOLVE;
}

void transfer_step(struct transfer *t, enum step_direction direction, const char *name, const char *outcome,
                   const char *detail)
{
    record_step(t->record, direction, name, outcome, detail);
    t->record->updated = clock_wall_ms();
    t->env->changed(t->env->user, t, SAVE_NEVER);
}

/* ---- leaving work */

static void be_idle(struct transfer *t)
{
    if (!t->at_work)
        return;
    t->at_work = false;
    t->env->idle(t->env->user, t);
}

const struct jid *transfer_sender(const struct transfer *t, struct jid *out)
{
    const char *from = t->record->from;

    return from && jid_parse(out, from, strlen(from), NULL) ? out : NULL;
}

/* Beside the file, where the chat with that device shows it; a link comes with its own. Once: a file that did not
 * arrive is offered again without it. */
static void say_caption(struct transfer *t)
{
    struct jid from;
    struct network *network = t->env->network;
    struct record *r = t->record;
    struct error error;

    if (!r->caption || !*r->caption || t->env->config->delivery.caption == CAPTION_OFFER)
        return;
    if (network->ops->say(network, transfer_sender(t, &from), t->device, r->caption, &error))
        record_step(r, STEP_SENT, "caption", "", "");
    else
        record_step(r, STEP_LOCAL, "caption", error_name(error.code), error.text);
}

static void finish(struct transfer *t, const struct pending *p)
{
    struct record *r = t->record;
    bool well = p->event == EV_COMPLETE || p->event == EV_LINK_SENT;
    struct network *network = t->env->network;

    transfer_end_attempt(t, well ? NULL : &p->error);
    if (t->feed) {
        feed_refuse(t->feed, &p->error);
        feed_release(&t->feed);
        r->upload = UPLOAD_ABORTED;
    }
    if (p->event == EV_COMPLETE) {
        network->ops->succeeded(network, t->device);
        say_caption(t);
    }
    transfer_drop_work(t, well ? NULL : &p->error);
    transfer_end_round(t);
    r->finished = clock_wall_ms();
    r->next_attempt_at = r->hold_until = 0;
    if (p->event == EV_COMPLETE) {
        r->proof = p->proof;
        record_step(r, STEP_LOCAL, "delivered", "ok", proof_name(p->proof));
        return;
    }
    if (p->event == EV_LINK_SENT) {
        record_step(r, STEP_LOCAL, "link sent", "ok", "");
        return;
    }
    record_fail(r, &p->error);
    record_step(r, STEP_LOCAL, "given up", error_name(p->error.code), p->error.text);
}

/* ---- the table */

typedef void act_fn(struct transfer *t, const struct pending *p);

/* A pair not listed is ignored and logged: late news from a method we gave up on is normal.
 * EV_CANCEL, EV_UPLOAD_FAILED, EV_FATAL and EV_PAUSE leave every state in which they can happen; see rule_for(). */
static const struct rule {
    enum transfer_state from;
    enum event on;
    enum transfer_state to;
    act_fn *then;
} rules[] = {
    {TRANSFER_QUEUED, EV_START, TRANSFER_OFFERING, transfer_begin_round},
    {TRANSFER_QUEUED, EV_EXPIRE, TRANSFER_EXPIRED, finish},
    {TRANSFER_HELD, EV_CAME, TRANSFER_QUEUED, transfer_end_hold},
    {TRANSFER_HELD, EV_HOLD_OVER, TRANSFER_QUEUED, transfer_end_hold},
    {TRANSFER_HELD, EV_UNSEEN, TRANSFER_QUEUED, transfer_end_hold},
    {TRANSFER_HELD, EV_EXPIRE, TRANSFER_EXPIRED, finish},
    {TRANSFER_OFFERING, EV_RESOLVED, TRANSFER_OFFERING, transfer_begin_ladder},
    {TRANSFER_OFFERING, EV_METHOD_FAILED, TRANSFER_OFFERING, transfer_step_down},
    {TRANSFER_OFFERING, EV_HOLD, TRANSFER_HELD, transfer_begin_hold},
    {TRANSFER_OFFERING, EV_ACCEPTED, TRANSFER_CONNECTING, NULL},
    {TRANSFER_OFFERING, EV_EXPIRE, TRANSFER_EXPIRED, finish},
    {TRANSFER_CONNECTING, EV_METHOD_FAILED, TRANSFER_OFFERING, transfer_step_down},
    {TRANSFER_CONNECTING, EV_SWITCHED, TRANSFER_CONNECTING, transfer_switch_method},
    {TRANSFER_CONNECTING, EV_STREAM_OPEN, TRANSFER_TRANSFERRING, transfer_start_stream},
    {TRANSFER_CONNECTING, EV_EXPIRE, TRANSFER_EXPIRED, finish},
    {TRANSFER_TRANSFERRING, EV_UPLOADED, TRANSFER_TRANSFERRING, transfer_go_on_whole},
    {TRANSFER_TRANSFERRING, EV_METHOD_FAILED, TRANSFER_OFFERING, transfer_step_down},
    {TRANSFER_TRANSFERRING, EV_COMPLETE, TRANSFER_DELIVERED, finish},
    {TRANSFER_TRANSFERRING, EV_LINK_SENT, TRANSFER_LINK_SENT, finish},
};

static const struct rule *rule_for(enum transfer_state state, enum event event)
{
    static const struct rule cancel = {0, EV_CANCEL, TRANSFER_CANCELLED, finish};
    static const struct rule upload = {0, EV_UPLOAD_FAILED, TRANSFER_FAILED, finish};
    static const struct rule fatal = {0, EV_FATAL, TRANSFER_FAILED, finish};
    static const struct rule pause = {0, EV_PAUSE, TRANSFER_QUEUED, transfer_pause_round};

    if (transfer_state_final(state))
        return NULL;
    if (event == EV_CANCEL)
        return &cancel;
    if (event == EV_UPLOAD_FAILED)
        return &upload;
    if (event == EV_FATAL)
        return &fatal;
    if (event == EV_PAUSE && state != TRANSFER_QUEUED && state != TRANSFER_HELD)
        return &pause;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].from == state && rules[i].on == event)
            return &rules[i];
    return NULL;
}

/* How long a state may last before its method is taken for stuck. Methods keep finer deadlines of their own; this is
 * the net below them. 0: no limit (a queued one waits for its turn, a stream has the carrier's stall deadline). */
static int64_t state_deadline(const struct transfer *t, int64_t now)
{
    const struct config *c = t->env->config;

    if (t->record->state == TRANSFER_HELD)
        return t->record->hold_until > now ? t->record->hold_until - now : 1;
    if (t->record->state == TRANSFER_OFFERING)
        return c->delivery.offer_timeout + c->delivery.connect_timeout + 60 * 1000;
    if (t->record->state == TRANSFER_CONNECTING)
        return 300 * 1000 + c->delivery.connect_timeout;
    return 0;
}

static void on_timer(void *user)
{
    struct transfer *t = user;
    struct error error;

    if (t->timer_expires) {
        error_set(&error, ERR_TTL_EXPIRED, "not delivered within its time to live");
        transfer_post(t, EV_EXPIRE, &error, PROOF_NONE);
    } else if (t->record->state == TRANSFER_QUEUED) {
        transfer_hurry(t);
    } else if (t->record->state == TRANSFER_HELD) {
        transfer_post_end_of_hold(t, EV_HOLD_OVER, "the recipient was not online in time");
    } else {
        error_set(&error, ERR_RECIPIENT_TIMEOUT, "no end of state %s in sight", transfer_state_name(t->record->state));
        transfer_post(t, EV_METHOD_FAILED, &error, PROOF_NONE);
    }
}

void transfer_arm_timer(struct transfer *t)
{
    int64_t now = clock_wall_ms(), left = t->record->expires - now, due = state_deadline(t, now);
    struct error error;

    if (transfer_state_final(t->record->state) || t->record->state == TRANSFER_TRANSFERRING) {
        alarm_stop(&t->timer);
        return;
    }
    if (t->record->next_attempt_at > 0)
        due = t->pause_until > clock_ms() ? t->pause_until - clock_ms() : 1;
    t->timer_expires = due == 0 || left <= due;
    if (t->timer_expires)
        due = left;
    uv_update_time(t->env->loop);
    if (alarm_set(&t->timer, t->env->loop, due > 0 ? (uint64_t)due : 0, on_timer, t))
        return;
    error_set(&error, ERR_INTERNAL, "out of memory");
    transfer_post(t, EV_FATAL, &error, PROOF_NONE);
}

/* How long people and networks took. A link has nobody to ask and nothing to connect to. */
static void measure(struct transfer *t, enum transfer_state was)
{
    int64_t now = clock_ms(), took = now - t->since;

    t->since = now;
    if (!t->ops || t->ops->offline)
        return;
    if (was == TRANSFER_OFFERING && t->record->state == TRANSFER_CONNECTING)
        metric_observe(METRIC_OFFER_WAIT, took);
    if (was == TRANSFER_CONNECTING && t->record->state == TRANSFER_TRANSFERRING)
        metric_observe(METRIC_CONNECT_DURATION, took, t->record->path);
}

/* The only place that changes the state. */
static void transfer_enter(struct transfer *t, enum transfer_state to)
{
    struct record *r = t->record;
    enum transfer_state was = r->state;
    char trace[TRACE_ID];

    r->state = to;
    r->updated = clock_wall_ms();
    measure(t, was);
    log_info("transfer.state", log_str("transfer", r->id), log_str("state", transfer_state_name(to)),
             log_str("was", transfer_state_name(was)), log_str("to", r->to), log_str("method", r->method),
             log_str("code", r->error_code == ERR_NONE ? "-" : error_name(r->error_code)),
             log_int("sent", (int64_t)r->sent), log_opt("request_id", r->request_id),
             log_opt("trace_id", trace_id(r->traceparent, trace)));
    transfer_arm_timer(t);
    t->env->changed(t->env->user, t, to == TRANSFER_CONNECTING || to == TRANSFER_TRANSFERRING ? SAVE_SOON : SAVE_NOW);
    if (to == TRANSFER_QUEUED || to == TRANSFER_HELD || transfer_state_final(to))
        be_idle(t);
    if (to == TRANSFER_QUEUED && r->next_attempt_at == 0)
        t->env->waiting(t->env->user, t);
}

static void transfer_handle(struct transfer *t, const struct pending *p)
{
    const struct rule *rule = rule_for(t->record->state, p->event);
    char trace[TRACE_ID];

    if (!rule) {
        log_debug("transfer.ignored", log_str("transfer", t->record->id), log_str("event", event_names[p->event]),
                  log_str("state", transfer_state_name(t->record->state)),
                  log_opt("trace_id", trace_id(t->record->traceparent, trace)));
        return;
    }
    if (p->event == EV_FATAL)
        t->record->error_stage = t->why_stage;
    else if (p->event == EV_UPLOAD_FAILED)
        t->record->error_stage = STAGE_UPLOAD;
    else if (p->event == EV_CANCEL || p->event == EV_EXPIRE)
        t->record->error_stage = transfer_stage(t);
    if (rule->then)
        rule->then(t, p);
    if (rule->to != t->record->state)
        transfer_enter(t, rule->to);
}

void transfer_run(struct transfer *t)
{
    t->woken = false;
    while (t->event_count > 0) {
        struct pending p = next_event(t);

        transfer_handle(t, &p);
    }
}

/* ---- life */

/* A pause of an earlier run has as much left as there was when the row was written, less the time since; a wall clock
 * that was set back meanwhile adds nothing. */
static void resume_pause(struct transfer *t)
{
    struct record *r = t->record;
    int64_t now = clock_wall_ms(), left = r->next_attempt_at - (now > r->updated ? now : r->updated);

    if (r->state == TRANSFER_QUEUED && left > 0)
        transfer_pause_for(t, left);
    else
        r->next_attempt_at = 0;
}

struct transfer *transfer_create(const struct transfer_env *env, struct record *r, struct feed *feed, void *owner)
{
    struct transfer *t = calloc(1, sizeof *t);
    struct jid to, bare = {0};
    struct error error;
    bool known = jid_parse(&to, r->to, strlen(r->to), &error) && jid_parse(&bare, to.text, to.bare, &error);

    assert(r->state == TRANSFER_QUEUED || r->state == TRANSFER_HELD);
    if (!t || !(t->to = jid_dup(&to)) || !(t->bare = jid_dup(&bare))) {
        if (t)
            free(t->to);
        free(t);
        record_free(&r);
        return NULL;
    }
    t->host = (struct method_host){.ops = &transfer_host_ops, .carrier = env->carrier, .loop = env->loop};
    t->env = env;
    t->owner = owner;
    t->record = r;
    t->feed = feed ? feed_hold(feed) : NULL;
    t->made = clock_ms();
    resume_pause(t);
    t->asked = r->state == TRANSFER_HELD && r->subscribe;
    if (!known) /* it was prepared once already, so this is a store gone bad */
        transfer_post(t, EV_FATAL, &error, PROOF_NONE);
    return t;
}

void transfer_queue(struct transfer *t)
{
    transfer_arm_timer(t);
    if (t->record->state == TRANSFER_QUEUED && t->record->next_attempt_at == 0)
        t->env->waiting(t->env->user, t);
}

void transfer_destroy(struct transfer **transfer)
{
    struct transfer *t = *transfer;
    struct error stopped;

    *transfer = NULL;
    if (!t)
        return;
    transfer_drop_work(t, NULL);
    transfer_end_round(t);
    if (t->feed) {
        error_set(&stopped, ERR_DRAINING, "the gateway is stopping");
        feed_refuse(t->feed, &stopped);
    }
    feed_release(&t->feed);
    alarm_stop(&t->timer);
    record_free(&t->record);
    free(t->to);
    free(t->bare);
    drop_events(t);
    error_keep(&t->why, NULL);
    error_keep(&t->refusal, NULL);
    free(t);
}

void transfer_clock_moved(struct transfer *t)
{
    struct record *r = t->record;

    if (transfer_state_final(r->state) || r->state == TRANSFER_TRANSFERRING)
        return;
    if (r->next_attempt_at > 0)
        r->next_attempt_at = clock_wall_ms() + t->pause_until - clock_ms();
    r->updated = clock_wall_ms();
    transfer_arm_timer(t);
    t->env->changed(t->env->user, t, SAVE_NEVER);
}

void *transfer_owner(const struct transfer *t)
{
    return t->owner;
}

const struct record *transfer_record(const struct transfer *t)
{
    return t->record;
}

struct record *transfer_snapshot(struct transfer *t)
{
    return record_snapshot(t->record);
}

void transfer_start(struct transfer *t)
{
    t->at_work = true;
    transfer_post(t, EV_START, NULL, PROOF_NONE);
}

void transfer_cancel(struct transfer *t)
{
    struct error error;

    error_set(&error, ERR_CANCELLED, "cancelled by request");
    transfer_post(t, EV_CANCEL, &error, PROOF_NONE);
}

void transfer_fail(struct transfer *t, const struct error *why)
{
    t->why_stage = transfer_stage(t);
    transfer_post(t, EV_FATAL, why, PROOF_NONE);
}

void transfer_received(struct transfer *t, uint64_t received)
{
    if (!t->feed || t->record->received == received)
        return;
    t->record->received = received;
    t->record->updated = clock_wall_ms();
    t->env->changed(t->env->user, t, SAVE_NEVER);
}

void transfer_uploaded(struct transfer *t)
{
    if (!t->feed)
        return;
    feed_release(&t->feed);
    t->host.feed = NULL;
    t->record->upload = UPLOAD_COMPLETE;
    t->record->received = t->record->size;
    transfer_step(t, STEP_LOCAL, "upload complete", "ok", t->record->type);
    transfer_post(t, EV_UPLOADED, NULL, PROOF_NONE);
}

void transfer_hashed(struct transfer *t, const char *sha256)
{
    record_text(&t->record->sha256, sha256);
    t->host.sha256 = t->record->sha256;
    t->env->changed(t->env->user, t, SAVE_NEVER);
}

void transfer_upload_failed(struct transfer *t, const struct error *why)
{
    if (transfer_state_final(t->record->state))
        return;
    t->record->upload = UPLOAD_ABORTED;
    transfer_step(t, STEP_LOCAL, "upload aborted", error_name(why->code), why->text);
    transfer_post(t, EV_UPLOAD_FAILED, why, PROOF_NONE);
}

void transfer_park(struct transfer *t)
{
    struct error error;

    if (transfer_state_final(t->record->state) ||
        (t->record->mode != MODE_STREAM && (t->record->state == TRANSFER_QUEUED || t->record->state == TRANSFER_HELD)))
        return;
    error_set(&error, ERR_DRAINING, "the gateway was stopped; the transfer goes on when it is back");
    if (t->record->mode == MODE_STREAM) { /* with what? */
        error_set(&error, ERR_DRAINING, "the gateway was stopped, and of a file in mode stream nothing is kept");
        transfer_fail(t, &error);
        transfer_run(t);
        return;
    }
    transfer_end_attempt(t, &error);
    transfer_drop_work(t, &error);
    t->record->round--;
    transfer_post(t, EV_PAUSE, &error, PROOF_NONE);
    transfer_run(t);
}
