#include "gateway/transfer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/alarm.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/digest.h"
#include "gateway/ladder.h"
#include "gateway/links.h"

enum event {
    EV_START,         /* the owner gives the turn */
    EV_RESOLVED,      /* the recipient's resources are known */
    EV_METHOD_FAILED, /* also: the recipient could not be resolved */
    EV_ACCEPTED,
    EV_SWITCHED, /* the session goes on by the next method of its kind */
    EV_STREAM_OPEN,
    EV_UPLOADED,      /* the file is whole now */
    EV_UPLOAD_FAILED, /* it never will be */
    EV_COMPLETE,
    EV_LINK_SENT,
    EV_PAUSE,     /* this round is over, another may follow */
    EV_HOLD,      /* likewise, once the recipient is online */
    EV_CAME,      /* he is */
    EV_HOLD_OVER, /* he was waited for long enough */
    EV_UNSEEN,    /* we would not see him come */
    EV_FATAL,     /* no round will help */
    EV_CANCEL,
    EV_EXPIRE
};

static const char *const event_names[] = {"start",       "resolved", "method-failed", "accepted",  "switched",
                                          "stream-open", "uploaded", "upload-failed", "complete",  "link-sent",
                                          "pause",       "hold",     "came",          "hold-over", "unseen",
                                          "fatal",       "cancel",   "expire"};

enum { EVENTS = 12, RETURN_MS = 60 * 1000 };

struct pending {
    enum event event;
    struct error error;
    enum proof proof;
};

/* The same while it waits: small, since thousands of transfers have room for some and few have any; and that room is
 * there when memory is not, which at worst loses the sentence. */
struct news {
    uint8_t event, proof;
    uint16_t code;
    char *text; /* NULL: none, or lost */
};

struct transfer {
    struct method_host host; /* first: methods see only this */
    const struct transfer_env *env;
    void *owner;
    struct record *record;
    struct jid *to, *bare;

    struct news events[EVENTS];
    size_t event_count;
    bool woken;
    bool at_work; /* started, and the owner not yet told otherwise */

    struct feed *feed; /* of an upload that is still coming in; NULL: the file is whole */

    uint64_t finding;                     /* the network's ticket; 0: not asking */
    struct candidate_resource *resources; /* of this round; NULL: not known, or not needed any more */
    size_t resource_count;
    size_t resource;      /* the one in use */
    struct jid *device;   /* its address; NULL: none was offered to */
    struct ladder ladder; /* for that resource */
    size_t rung;
    const struct method_ops *ops; /* of method */
    struct method *method;
    struct shared_fd *file;
    struct digest *digest; /* being computed; NULL: not wanted, or known */

    struct error *why; /* kept: the most telling failure of this round */
    enum stage why_stage;
    bool later;       /* a failure of this round may pass by itself */
    bool hopped;      /* the first resource vanished and another was tried */
    bool linked;      /* an offline method was tried */
    int64_t retry_at; /* wall clock; the next round is not worth beginning before; 0: whenever */
    bool came;        /* the recipient was seen to come online since this round began */

    bool asked;            /* his subscription, for this transfer */
    struct error *refusal; /* kept: what became of that; NULL: not refused */

    bool streaming;   /* the method has the file */
    bool hashing;     /* its digest was seen to */
    bool told_hash;   /* in the offer */
    bool once;        /* bytes of it are gone: there is no second try */
    bool ahead;       /* the method said complete before we heard that the upload is */
    enum proof proof; /* ahead: what it said */

    int64_t made;        /* monotonic, as the next; here, or by the process that took it up */
    int64_t pause_until; /* what record->next_attempt_at tells people; 0 there: it does not pause */
    bool timer_expires;
    struct alarm *timer; /* the pause while queued, else the state's deadline, and never later than the expiry */
};

static void transfer_post(struct transfer *t, enum event event, const struct error *error, enum proof proof)
{
    if (t->event_count == EVENTS) { /* more than a method can cause; the oldest news counts */
        log_warn("transfer.events_dropped", log_str("transfer", t->record->id), log_str("event", event_names[event]));
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

static enum stage stage_of(const struct transfer *t)
{
    if (t->record->state == TRANSFER_QUEUED || t->record->state == TRANSFER_HELD)
        return STAGE_QUEUE;
    if (t->record->state == TRANSFER_CONNECTING)
        return STAGE_CONNECT;
    if (t->record->state == TRANSFER_TRANSFERRING)
        return STAGE_TRANSFER;
    return t->method ? STAGE_OFFER : STAGE_RESOLVE;
}

static void step(struct transfer *t, enum step_direction direction, const char *name, const char *outcome,
                 const char *detail)
{
    record_step(t->record, direction, name, outcome, detail);
    t->record->updated = clock_wall_ms();
    t->env->changed(t->env->user, t, SAVE_NEVER);
}

/* ---- the host, as methods see it */

static void arm_timer(struct transfer *t);

static void note_link(struct record *r, const struct method_report *report)
{
    record_text(&r->link_at, report->link_at);
    if (report->own_link)
        return;
    record_text(&r->link_digest, NULL);
    r->link_expires = 0;
}

static void forget_recipient(struct transfer *t);

/* From the first byte on, no other device and no other method of this round will do. */
static void begin_bytes(struct transfer *t)
{
    record_step(t->record, STEP_SENT, "first byte", "", "");
    if (t->ops && !t->ops->offline)
        forget_recipient(t);
}

static void host_report(struct method_host *host, const struct method_report *report)
{
    struct transfer *t = (struct transfer *)host;

    switch (report->event) {
    case METHOD_WAITING:
        arm_timer(t);
        break;
    case METHOD_ACCEPTED:
        transfer_post(t, EV_ACCEPTED, NULL, PROOF_NONE);
        break;
    case METHOD_SWITCHED:
        transfer_post(t, EV_SWITCHED, &report->error, PROOF_NONE);
        break;
    case METHOD_STREAM_OPEN:
        transfer_post(t, EV_STREAM_OPEN, NULL, PROOF_NONE);
        break;
    case METHOD_PROGRESS:
        if (t->record->sent == 0 && report->moved > 0)
            begin_bytes(t);
        t->record->sent = report->moved;
        t->record->updated = clock_wall_ms();
        t->env->changed(t->env->user, t, SAVE_NEVER);
        break;
    case METHOD_COMPLETE:
        t->record->sent = report->moved;
        t->ahead = t->feed != NULL;
        t->proof = report->proof;
        if (!t->ahead)
            transfer_post(t, EV_COMPLETE, NULL, report->proof);
        break;
    case METHOD_LINK_SENT:
        t->record->sent = report->moved;
        note_link(t->record, report);
        transfer_post(t, EV_LINK_SENT, NULL, PROOF_NONE);
        break;
    case METHOD_FAILED:
        if (report->retry_at > t->retry_at)
            t->retry_at = report->retry_at;
        transfer_post(t, EV_METHOD_FAILED, &report->error, PROOF_NONE);
        break;
    }
}

static void host_step(struct method_host *host, enum step_direction direction, const char *name, const char *outcome,
                      const char *detail)
{
    step((struct transfer *)host, direction, name, outcome, detail);
}

static void host_chose(struct method_host *host, const char *path, const char *streamhost)
{
    struct transfer *t = (struct transfer *)host;

    snprintf(t->record->path, sizeof t->record->path, "%s", path);
    record_text(&t->record->streamhost, streamhost);
    t->env->changed(t->env->user, t, SAVE_NEVER);
}

static bool host_publish(struct method_host *host, char url[static METHOD_URL], struct error *err)
{
    struct transfer *t = (struct transfer *)host;
    const struct config *c = t->env->config;
    char digest[LINK_DIGEST];

    if (!c->server.public_url)
        return error_set(err, ERR_METHOD_UNSUPPORTED, "there is no [server] public_url to make a link of");
    if (!link_make(c->server.public_url, t->record->name, url, METHOD_URL, digest) ||
        !record_text(&t->record->link_digest, digest))
        return error_set(err, ERR_INTERNAL, "no link could be made");
    t->record->link_expires = clock_wall_ms() + c->delivery.link_ttl;
    t->env->changed(t->env->user, t, SAVE_NOW);
    return true;
}

static const struct method_host_ops host_ops = {
    .report = host_report, .step = host_step, .chose = host_chose, .publish = host_publish};

/* ---- attempts: one entry for each method tried, or for a round that found nobody */

static struct attempt *attempt_now(struct transfer *t)
{
    struct attempt *last = record_last_attempt(t->record);

    return last && last->ended == 0 ? last : NULL;
}

static void attempt_begin(struct transfer *t, const char *method, const char *to)
{
    struct attempt *a = attempt_now(t);

    if (!a) {
        a = record_attempt(t->record);
        if (!a)
            return; /* out of memory: the transfer goes on, its story has a gap */
        a->round = t->record->round;
        a->started = clock_wall_ms();
    }
    snprintf(a->method, sizeof a->method, "%s", method);
    snprintf(a->to, sizeof a->to, "%s", to);
}

static void attempt_end(struct transfer *t, const struct error *error)
{
    struct attempt *a = attempt_now(t);

    if (!a)
        return;
    a->ended = clock_wall_ms();
    a->stage = stage_of(t);
    if (error)
        a->error = *error;
}

/* ---- what is under way */

/* What a method that is being ended has still to say is nobody's business any more. */
static void forget_method_events(struct transfer *t)
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

static void drop_work(struct transfer *t, const struct error *why)
{
    forget_method_events(t);
    if (t->finding)
        t->env->network->ops->forget(t->env->network, t->finding);
    t->finding = 0;
    digest_cancel(&t->digest);
    t->streaming = t->hashing = t->ahead = false;
    if (t->method)
        t->ops->end(&t->method, why);
    t->ops = NULL;
    t->host.feed = NULL;
    shared_fd_release(&t->file);
}

static void forget_recipient(struct transfer *t)
{
    candidate_resources_free(&t->resources, t->resource_count);
    t->resource_count = 0;
}

static void end_round(struct transfer *t)
{
    forget_recipient(t);
    free(t->device);
    t->device = NULL;
    t->ladder.count = t->rung = t->resource = 0;
}

static void be_idle(struct transfer *t)
{
    if (!t->at_work)
        return;
    t->at_work = false;
    t->env->idle(t->env->user, t);
}

static bool on_offline_rung(const struct transfer *t)
{
    return t->rung < t->ladder.count && t->ladder.rungs[t->rung]->offline;
}

/* What ends the matter counts; else the first news that says more than "not this way". With no device to offer to, the
 * transfer hangs on an offline method, and its failure is the news; but where it was never possible, it is none. */
static void remember_why(struct transfer *t, const struct error *error, bool ends_it)
{
    enum error_code so_far = error_kept(t->why);
    bool offline = on_offline_rung(t);
    bool dull = ends_it || (offline && !ladder_streams(&t->ladder)) || so_far == ERR_NONE ||
                so_far == ERR_METHOD_UNSUPPORTED || so_far == ERR_PROFILE_UNSUPPORTED || so_far == ERR_NO_COMMON_METHOD;

    t->later = t->later || error_retry(error->code) == RETRY_LATER;
    if (offline && error->code == ERR_METHOD_UNSUPPORTED && so_far != ERR_NONE)
        return;
    if (dull) {
        error_keep(&t->why, error);
        t->why_stage = stage_of(t);
    }
}

/* ---- actions: each does one step, and news comes as events */

static void no_memory(struct transfer *t)
{
    struct error error;

    error_set(&error, ERR_INTERNAL, "out of memory");
    transfer_post(t, EV_METHOD_FAILED, &error, PROOF_NONE);
}

static const struct candidate_resource *best_of(const struct transfer *t)
{
    return t->resource_count > 0 ? &t->resources[0] : NULL;
}

static void on_found(void *user, struct recipient *found, const struct error *error)
{
    struct transfer *t = user;

    t->finding = 0;
    if (error) {
        step(t, STEP_RECEIVED, "disco", error_name(error->code), error->text);
        transfer_post(t, EV_METHOD_FAILED, error, PROOF_NONE);
        return;
    }
    forget_recipient(t);
    t->resources = found->resources;
    t->resource_count = found->count;
    found->resources = NULL;
    found->count = 0;
    record_text(&t->record->from, found->from.text);
    step(t, STEP_RECEIVED, "disco", "ok", best_of(t) ? best_of(t)->jid.text : "");
    transfer_post(t, EV_RESOLVED, NULL, PROOF_NONE);
}

static void look_for_recipient(struct transfer *t)
{
    attempt_begin(t, "", "");
    step(t, STEP_SENT, "disco", "", t->to->text);
    t->finding = t->env->network->ops->find(t->env->network, t->to, on_found, t);
    if (t->finding == 0)
        no_memory(t);
}

/* Those that may be used at all. What is gone behind the stream cannot be sent by a method that needs it whole. */
static const struct method_ops *const *methods_of(const struct transfer *t,
                                                  const struct method_ops *room[static LADDER_RUNGS + 1])
{
    const struct method_ops *const *all = t->env->network->ops->methods(t->env->network);
    size_t count = 0;

    if (t->record->mode != MODE_STREAM)
        return all;
    for (; *all && count < LADDER_RUNGS; all++)
        if ((*all)->follows)
            room[count++] = *all;
    room[count] = NULL;
    return room;
}

static bool offer_offline(struct transfer *t);

static void begin_round(struct transfer *t, const struct pending *p)
{
    const struct method_ops *room[LADDER_RUNGS + 1];

    (void)p;
    t->record->round++;
    t->record->next_attempt_at = 0;
    t->record->sent = 0;
    t->record->method[0] = t->record->path[0] = '\0';
    record_text(&t->record->streamhost, NULL);
    error_keep(&t->why, NULL);
    t->later = t->hopped = t->linked = t->came = false;
    t->retry_at = 0;
    if (!ladder_is_offline(t->record->methods, t->env->config->delivery.methods, methods_of(t, room)) ||
        !offer_offline(t))
        look_for_recipient(t);
}

static void nothing_in_common(struct transfer *t)
{
    struct error error;

    error_set(&error, ERR_NO_COMMON_METHOD, "%s announces no way of receiving files that may be used here (%s)%s",
              best_of(t) ? best_of(t)->jid.text : t->to->text,
              t->record->methods ? t->record->methods : "all configured methods",
              t->record->mode == MODE_STREAM ? "; mode=auto has more than mode=stream" : "");
    transfer_post(t, EV_METHOD_FAILED, &error, PROOF_NONE);
}

/* Where the successor of the method in use stands further down the ladder; 0: nowhere. */
static size_t successor_rung(const struct transfer *t)
{
    for (size_t i = t->rung + 1; i < t->ladder.count; i++)
        if (t->ladder.rungs[i] == t->ladder.rungs[t->rung]->successor)
            return i;
    return 0;
}

/* What is not kept cannot be read a second time. */
static bool may_digest(const struct transfer *t)
{
    return t->record->mode != MODE_STREAM && t->env->config->delivery.digest != DIGEST_NEVER;
}

static void offer(struct transfer *t)
{
    const struct method_ops *ops = t->ladder.rungs[t->rung];
    const struct jid *to = ops->offline ? t->bare : t->device;
    struct record *r = t->record;
    struct offer o = {
        .to = to,
        .to_one = t->to->full,
        .name = r->name,
        .type = r->type,
        .size = r->size,
        .sha256 = r->sha256,
        .no_digest = !may_digest(t),
        .caption = r->caption,
        .features = ops->offline ? NULL : t->resources[t->resource].features,
        .answer_ms = (unsigned)t->env->config->delivery.offer_timeout,
        .connect_ms = (unsigned)t->env->config->delivery.connect_timeout,
        .only_method = r->methods && t->ladder.count == 1,
        .may_switch = successor_rung(t) > 0,
    };
    struct error error = {0};

    attempt_begin(t, ops->name, to->text);
    snprintf(r->method, sizeof r->method, "%s", ops->name);
    record_text(&r->resource, jid_resource(to));
    t->told_hash = o.sha256 != NULL;
    t->host.sha256 = o.sha256;
    t->linked = t->linked || ops->offline;
    t->env->changed(t->env->user, t, SAVE_NOW); /* so that a crash is told with its method */
    t->ops = ops;
    t->method = ops->offer(&t->host, t->env->network, &o, &error);
    if (!t->method) {
        t->ops = NULL;
        transfer_post(t, EV_METHOD_FAILED, &error, PROOF_NONE);
    }
    arm_timer(t); /* each offer has the whole time */
}

/* Offers to the first resource from that one on that has a usable method of its own. */
static bool offer_from(struct transfer *t, size_t resource)
{
    const struct method_ops *room[LADDER_RUNGS + 1];
    struct jid *device;

    resource = ladder_choose(&t->ladder, t->resources, t->resource_count, resource, t->record->methods,
                             t->env->config->delivery.methods, methods_of(t, room));
    device = resource < t->resource_count ? jid_dup(&t->resources[resource].jid) : NULL;
    if (!device)
        return false;
    free(t->device);
    t->device = device;
    t->resource = resource;
    t->rung = 0;
    offer(t);
    return true;
}

static void begin_ladder(struct transfer *t, const struct pending *p)
{
    (void)p;
    if (!offer_from(t, 0))
        nothing_in_common(t);
}

/* The offline methods alone, whoever is there. */
static bool offer_offline(struct transfer *t)
{
    const struct method_ops *room[LADDER_RUNGS + 1];

    ladder_build(&t->ladder, t->record->methods, t->env->config->delivery.methods, NULL, methods_of(t, room));
    t->rung = 0;
    if (t->ladder.count == 0)
        return false;
    offer(t);
    return true;
}

/* No device can be offered to, and nobody said no: a method that needs none is left. */
static bool fall_back(struct transfer *t, const struct error *error)
{
    if (error->code != ERR_RECIPIENT_OFFLINE && error->code != ERR_NO_COMMON_METHOD &&
        error->code != ERR_RECIPIENT_FORBIDS)
        return false;
    return !t->linked && t->record->sent == 0 && offer_offline(t);
}

/* The resource that was asked is gone: the next best is tried, once. */
static bool hop(struct transfer *t, const struct error *error)
{
    if (error->code != ERR_RECIPIENT_OFFLINE || t->hopped || t->record->sent > 0)
        return false;
    if (!offer_from(t, t->resource + 1))
        return false;
    t->hopped = true;
    error_keep(&t->why, NULL); /* what the other one says counts */
    return true;
}

/* What was queued while the session was down starts the moment it is up, and recipients may be slower to return. */
static bool may_return(const struct transfer *t, const struct error *error)
{
    int64_t online = t->env->online_since(t->env->user);

    return error->code == ERR_RECIPIENT_OFFLINE && stage_of(t) == STAGE_RESOLVE && t->made < online &&
           clock_ms() < online + RETURN_MS;
}

/* The pause between two rounds ends now. */
static void hurry(struct transfer *t)
{
    if (t->record->state != TRANSFER_QUEUED || t->record->next_attempt_at == 0)
        return;
    t->record->next_attempt_at = 0;
    arm_timer(t);
    t->env->waiting(t->env->user, t);
}

/* ---- holding: who is offline, and will be seen to come online, is waited for before the ladder goes on without him */

static enum sight sight(const struct transfer *t)
{
    struct network *network = t->env->network;

    return network->ops->sight(network, t->to);
}

static bool may_hold(const struct transfer *t, const struct error *error)
{
    const struct record *r = t->record;

    if (error->code != ERR_RECIPIENT_OFFLINE || on_offline_rung(t) || r->hold_until <= clock_wall_ms())
        return false;
    return (r->sent == 0 || r->round < r->max_rounds) && (r->subscribe || sight(t) != SIGHT_HIDDEN);
}

/* false: he said no already. What cannot be sent now is sent when the session is back. */
static bool ask_to_see(struct transfer *t)
{
    struct network *network = t->env->network;
    struct error error;
    bool sent;

    t->asked = network->ops->subscribe(network, t->bare, &sent, &error);
    if (t->asked) {
        step(t, sent ? STEP_SENT : STEP_LOCAL, "subscription", sent ? "asked" : "asked before", t->bare->text);
        return true;
    }
    step(t, STEP_LOCAL, "subscription", error_name(error.code), error.text);
    if (error.code != ERR_RECIPIENT_FORBIDS)
        return true;
    error_keep(&t->refusal, &error);
    return false;
}

static void forgo_hold(struct transfer *t, const char *outcome, const char *detail)
{
    t->record->hold_until = 0;
    step(t, STEP_LOCAL, "not held", outcome, detail);
}

static const char *why_not_held(const struct transfer *t)
{
    if (t->record->hold_until <= clock_wall_ms())
        return "the time to wait for the recipient is over";
    if (sight(t) == SIGHT_HIDDEN)
        return "hold needs the recipient as a contact; ?subscribe=ask asks for it";
    return "no attempt is left";
}

/* What a round that found nobody comes to, if he may be waited for. The round costs nothing: nobody was there to fail.
 */
static bool hold(struct transfer *t, const struct error *error)
{
    bool hidden = sight(t) == SIGHT_HIDDEN;

    if (error->code == ERR_RECIPIENT_OFFLINE && t->refusal)
        remember_why(t, t->refusal, true);
    if (!may_hold(t, error)) {
        if (error->code == ERR_RECIPIENT_OFFLINE && t->record->hold_until > 0)
            forgo_hold(t, "", why_not_held(t));
        return false;
    }
    if ((hidden || (t->record->subscribe && sight(t) == SIGHT_ASKED)) && !ask_to_see(t)) {
        remember_why(t, t->refusal, true);
        forgo_hold(t, error_name(error_kept(t->refusal)), "the recipient would not be seen to come online");
        return false;
    }
    if (t->record->sent == 0)
        t->record->round--;
    transfer_post(t, EV_HOLD, error, PROOF_NONE);
    return true;
}

static void begin_hold(struct transfer *t, const struct pending *p)
{
    char until[CLOCK_TEXT], detail[120];

    end_round(t);
    snprintf(detail, sizeof detail, "until the recipient is online, or %s", clock_text(t->record->hold_until, until));
    step(t, STEP_LOCAL, "held", error_name(p->error.code), detail);
    if (t->came) /* while the round that found nobody was still on its way */
        transfer_post(t, EV_CAME, NULL, PROOF_NONE);
}

static void end_hold(struct transfer *t, const struct pending *p)
{
    struct error unseen;

    if (p->event == EV_CAME) {
        step(t, STEP_RECEIVED, "presence", "available", p->error.text);
        return;
    }
    if (p->event == EV_UNSEEN && t->asked) {
        error_set(&unseen, ERR_RECIPIENT_FORBIDS, "%s does not let us see when somebody is there", t->bare->text);
        error_keep(&t->refusal, &unseen);
    }
    t->record->hold_until = 0;
    step(t, STEP_LOCAL, "hold over", "", p->error.text);
}

static void post_end_of_hold(struct transfer *t, enum event event, const char *why)
{
    struct error text = {0}; /* for the timeline; nothing failed */

    text_clean(why, text.text, sizeof text.text);
    transfer_post(t, event, &text, PROOF_NONE);
}

/* Servers drop a question whose addressee goes: without this it would be waited for to the last. */
static void device_went(struct transfer *t, const struct jid *who)
{
    struct error error;

    if (t->record->state != TRANSFER_OFFERING || !t->method || t->ops->offline || !jid_equal(t->device, who))
        return;
    error_set(&error, ERR_RECIPIENT_OFFLINE, "%s went offline before it answered", who->text);
    step(t, STEP_RECEIVED, "presence", "unavailable", who->text);
    transfer_post(t, EV_METHOD_FAILED, &error, PROOF_NONE);
}

void transfer_presence(struct transfer *t, const struct jid *who, bool available)
{
    if (!available) {
        device_went(t, who);
        return;
    }
    hurry(t);
    if ((t->to->full && !jid_equal(t->to, who)) || sight(t) != SIGHT_THERE)
        return;
    t->came = true;
    if (t->record->state == TRANSFER_HELD)
        post_end_of_hold(t, EV_CAME, who->text);
}

void transfer_subscription(struct transfer *t, bool granted)
{
    if (t->record->state != TRANSFER_HELD)
        return;
    step(t, STEP_RECEIVED, "subscription", granted ? "granted" : "refused", t->bare->text);
    if (granted)
        t->asked = false; /* and answered: what comes later is no refusal */
    else
        post_end_of_hold(t, EV_UNSEEN, "the recipient would not be seen to come online");
}

void transfer_roster(struct transfer *t)
{
    if (t->record->state != TRANSFER_HELD || sight(t) != SIGHT_HIDDEN)
        return;
    if (!t->record->subscribe || t->asked || !ask_to_see(t))
        post_end_of_hold(t, EV_UNSEEN, "the recipient would not be seen to come online");
}

/* Who left an offer unanswered, or takes none of that kind, is not asked by another of it. */
static void skip_kin(struct transfer *t, const struct error *error)
{
    const char *asks = t->method ? t->ops->asks : NULL;
    size_t kept = t->rung + 1;

    if (!asks || stage_of(t) != STAGE_OFFER ||
        (error->code != ERR_RECIPIENT_TIMEOUT && error->code != ERR_METHOD_UNSUPPORTED &&
         error->code != ERR_PROFILE_UNSUPPORTED && error->code != ERR_OFFER_REJECTED))
        return;
    for (size_t i = kept; i < t->ladder.count; i++)
        if (!t->ladder.rungs[i]->asks || strcmp(t->ladder.rungs[i]->asks, asks) != 0)
            t->ladder.rungs[kept++] = t->ladder.rungs[i];
    t->ladder.count = kept;
}

/* A method failed, or nobody was found: the next rung, another round, or the end. */
static void step_down(struct transfer *t, const struct pending *p)
{
    enum error_retry retry = error_retry(p->error.code);
    bool again,
        free_round = p->error.code == ERR_XMPP_DISCONNECTED || (may_return(t, &p->error) && !may_hold(t, &p->error));

    /* A question that nobody answered may have been lost; a person who does not answer has been asked. */
    if (p->error.code == ERR_RECIPIENT_TIMEOUT && stage_of(t) == STAGE_RESOLVE)
        t->later = true;
    attempt_end(t, &p->error);
    remember_why(t, &p->error, retry == RETRY_NEVER);
    skip_kin(t, &p->error);
    if (t->ops && t->ops->offline)
        t->record->sent = 0; /* to a service, which drops it: the recipient has none of it */
    drop_work(t, &p->error);
    if (t->once) {
        transfer_post(t, EV_FATAL, t->why, PROOF_NONE);
        return;
    }
    if (free_round) {
        t->record->round--; /* nobody's fault: the round is played again */
        transfer_post(t, EV_PAUSE, &p->error, PROOF_NONE);
        return;
    }
    if (retry != RETRY_NEVER && t->rung + 1 < t->ladder.count && t->record->sent == 0) {
        t->rung++;
        offer(t);
        return;
    }
    if (hop(t, &p->error) || hold(t, &p->error) || fall_back(t, &p->error))
        return;
    again = retry != RETRY_NEVER && t->later && t->record->round < t->record->max_rounds;
    transfer_post(t, again ? EV_PAUSE : EV_FATAL, t->why, PROOF_NONE);
}

/* The method goes on as its successor, whose rung is thereby climbed: it comes right behind this one. */
static void switch_method(struct transfer *t, const struct pending *p)
{
    size_t rung = successor_rung(t);
    const struct method_ops *next = t->ladder.rungs[rung];

    assert(rung > 0);
    attempt_end(t, &p->error);
    remember_why(t, &p->error, false);
    memmove(&t->ladder.rungs[t->rung + 2], &t->ladder.rungs[t->rung + 1],
            (rung - t->rung - 1) * sizeof *t->ladder.rungs);
    t->ladder.rungs[++t->rung] = next;
    t->ops = next;
    attempt_begin(t, next->name, t->device->text);
    snprintf(t->record->method, sizeof t->record->method, "%s", next->name);
    t->record->path[0] = '\0';
    record_text(&t->record->streamhost, NULL);
    arm_timer(t);
    t->env->changed(t->env->user, t, SAVE_NOW);
}

static void on_digest(void *user, const char *sha256)
{
    struct transfer *t = user;

    t->digest = NULL;
    if (sha256) {
        record_text(&t->record->sha256, sha256);
        t->host.sha256 = t->record->sha256;
        t->env->changed(t->env->user, t, SAVE_NOW);
    }
    t->ops->digest(t->method, sha256);
}

/* Of a whole file, so that it is read once. */
static void start_digest(struct transfer *t)
{
    if (!t->ops->digest || t->hashing || t->told_hash)
        return;
    t->hashing = true;
    if (t->record->sha256) {
        t->ops->digest(t->method, t->record->sha256);
        return;
    }
    if (may_digest(t))
        t->digest = digest_start(t->env->loop, t->file, t->record->size, on_digest, t);
    if (!t->digest)
        t->ops->digest(t->method, NULL);
}

/* A method that cannot follow has its stream open and waits: for EV_UPLOADED. */
static void start_stream(struct transfer *t, const struct pending *p)
{
    struct error error;

    (void)p;
    if (t->feed && !t->ops->follows) {
        step(t, STEP_LOCAL, "waiting", "", "for the end of the upload");
        return;
    }
    t->file = spool_share(t->env->spool, t->record->id, &error);
    if (!t->file) {
        transfer_post(t, EV_METHOD_FAILED, &error, PROOF_NONE);
        return;
    }
    t->host.feed = t->feed;
    t->streaming = true;
    t->once = t->record->mode == MODE_STREAM;
    t->ops->stream(t->method, t->file);
    if (!t->feed)
        start_digest(t);
}

static void go_on_whole(struct transfer *t, const struct pending *p)
{
    if (!t->streaming)
        start_stream(t, p);
    else if (t->ahead)
        transfer_post(t, EV_COMPLETE, NULL, t->proof);
    else
        start_digest(t);
}

/* The pause doubles with each round and is spread by up to a quarter, so that many do not return as one. */
static int64_t pause_ms(const struct transfer *t)
{
    int64_t pause = t->env->config->delivery.backoff;
    unsigned char spread = 0;

    for (unsigned n = 1; n < t->record->round && pause < 3600 * 1000; n++)
        pause *= 2;
    if (RAND_bytes(&spread, 1) != 1)
        spread = 128;
    return pause + pause * spread / 1024;
}

static void pause_for(struct transfer *t, int64_t ms)
{
    t->pause_until = clock_ms() + ms;
    t->record->next_attempt_at = clock_wall_ms() + ms;
}

static void pause_round(struct transfer *t, const struct pending *p)
{
    int64_t pause = pause_ms(t), told = t->retry_at - clock_wall_ms();

    end_round(t);
    if (p->error.code != ERR_XMPP_DISCONNECTED && p->error.code != ERR_DRAINING)
        pause_for(t, told > pause ? told : pause);
    step(t, STEP_LOCAL, "queued again", error_name(p->error.code), p->error.text);
}

static void finish(struct transfer *t, const struct pending *p)
{
    struct record *r = t->record;
    bool well = p->event == EV_COMPLETE || p->event == EV_LINK_SENT;
    struct network *network = t->env->network;

    attempt_end(t, well ? NULL : &p->error);
    if (t->feed) {
        feed_refuse(t->feed, &p->error);
        feed_release(&t->feed);
        r->upload = UPLOAD_ABORTED;
    }
    if (p->event == EV_COMPLETE)
        network->ops->succeeded(network, t->device);
    drop_work(t, well ? NULL : &p->error);
    end_round(t);
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
    {TRANSFER_QUEUED, EV_START, TRANSFER_OFFERING, begin_round},
    {TRANSFER_QUEUED, EV_EXPIRE, TRANSFER_EXPIRED, finish},
    {TRANSFER_HELD, EV_CAME, TRANSFER_QUEUED, end_hold},
    {TRANSFER_HELD, EV_HOLD_OVER, TRANSFER_QUEUED, end_hold},
    {TRANSFER_HELD, EV_UNSEEN, TRANSFER_QUEUED, end_hold},
    {TRANSFER_HELD, EV_EXPIRE, TRANSFER_EXPIRED, finish},
    {TRANSFER_OFFERING, EV_RESOLVED, TRANSFER_OFFERING, begin_ladder},
    {TRANSFER_OFFERING, EV_METHOD_FAILED, TRANSFER_OFFERING, step_down},
    {TRANSFER_OFFERING, EV_HOLD, TRANSFER_HELD, begin_hold},
    {TRANSFER_OFFERING, EV_ACCEPTED, TRANSFER_CONNECTING, NULL},
    {TRANSFER_OFFERING, EV_EXPIRE, TRANSFER_EXPIRED, finish},
    {TRANSFER_CONNECTING, EV_METHOD_FAILED, TRANSFER_OFFERING, step_down},
    {TRANSFER_CONNECTING, EV_SWITCHED, TRANSFER_CONNECTING, switch_method},
    {TRANSFER_CONNECTING, EV_STREAM_OPEN, TRANSFER_TRANSFERRING, start_stream},
    {TRANSFER_CONNECTING, EV_EXPIRE, TRANSFER_EXPIRED, finish},
    {TRANSFER_TRANSFERRING, EV_UPLOADED, TRANSFER_TRANSFERRING, go_on_whole},
    {TRANSFER_TRANSFERRING, EV_METHOD_FAILED, TRANSFER_OFFERING, step_down},
    {TRANSFER_TRANSFERRING, EV_COMPLETE, TRANSFER_DELIVERED, finish},
    {TRANSFER_TRANSFERRING, EV_LINK_SENT, TRANSFER_LINK_SENT, finish},
};

static const struct rule *rule_for(enum transfer_state state, enum event event)
{
    static const struct rule cancel = {0, EV_CANCEL, TRANSFER_CANCELLED, finish};
    static const struct rule upload = {0, EV_UPLOAD_FAILED, TRANSFER_FAILED, finish};
    static const struct rule fatal = {0, EV_FATAL, TRANSFER_FAILED, finish};
    static const struct rule pause = {0, EV_PAUSE, TRANSFER_QUEUED, pause_round};

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
        hurry(t);
    } else if (t->record->state == TRANSFER_HELD) {
        post_end_of_hold(t, EV_HOLD_OVER, "the recipient was not online in time");
    } else {
        error_set(&error, ERR_RECIPIENT_TIMEOUT, "no end of state %s in sight", transfer_state_name(t->record->state));
        transfer_post(t, EV_METHOD_FAILED, &error, PROOF_NONE);
    }
}

static void arm_timer(struct transfer *t)
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

/* The only place that changes the state. */
static void transfer_enter(struct transfer *t, enum transfer_state to)
{
    struct record *r = t->record;
    enum transfer_state was = r->state;

    r->state = to;
    r->updated = clock_wall_ms();
    log_info("transfer.state", log_str("transfer", r->id), log_str("state", transfer_state_name(to)),
             log_str("was", transfer_state_name(was)), log_str("to", r->to), log_str("method", r->method),
             log_str("code", r->error_code == ERR_NONE ? "-" : error_name(r->error_code)),
             log_int("sent", (int64_t)r->sent));
    arm_timer(t);
    t->env->changed(t->env->user, t, to == TRANSFER_CONNECTING || to == TRANSFER_TRANSFERRING ? SAVE_SOON : SAVE_NOW);
    if (to == TRANSFER_QUEUED || to == TRANSFER_HELD || transfer_state_final(to))
        be_idle(t);
    if (to == TRANSFER_QUEUED && r->next_attempt_at == 0)
        t->env->waiting(t->env->user, t);
}

static void transfer_handle(struct transfer *t, const struct pending *p)
{
    const struct rule *rule = rule_for(t->record->state, p->event);

    if (!rule) {
        log_debug("transfer.ignored", log_str("transfer", t->record->id), log_str("event", event_names[p->event]),
                  log_str("state", transfer_state_name(t->record->state)));
        return;
    }
    if (p->event == EV_FATAL)
        t->record->error_stage = t->why_stage;
    else if (p->event == EV_UPLOAD_FAILED)
        t->record->error_stage = STAGE_UPLOAD;
    else if (p->event == EV_CANCEL || p->event == EV_EXPIRE)
        t->record->error_stage = stage_of(t);
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
        pause_for(t, left);
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
    t->host = (struct method_host){.ops = &host_ops, .carrier = env->carrier, .loop = env->loop};
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
    arm_timer(t);
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
    drop_work(t, NULL);
    end_round(t);
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
    arm_timer(t);
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
    t->why_stage = stage_of(t);
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
    step(t, STEP_LOCAL, "upload complete", "ok", t->record->type);
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
    step(t, STEP_LOCAL, "upload aborted", error_name(why->code), why->text);
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
    attempt_end(t, &error);
    drop_work(t, &error);
    t->record->round--;
    transfer_post(t, EV_PAUSE, &error, PROOF_NONE);
    transfer_run(t);
}
