/* gateway/transfer_round.c - one round of a transfer: the recipient is looked for, offered to by one method of the
 * ladder after the other, and what no method can do is left to the next round, to waiting for him, or to nobody. */
#include "gateway/transfer_parts.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/clock.h"
#include "gateway/outcome.h"

enum { RETURN_MS = 60 * 1000 };

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

void transfer_end_attempt(struct transfer *t, const struct error *error)
{
    struct attempt *a = attempt_now(t);

    if (!a)
        return;
    a->ended = clock_wall_ms();
    a->stage = transfer_stage(t);
    if (error)
        a->error = *error;
    outcome_count_attempt(t->record, a);
}

/* ---- whom to offer to */

void transfer_forget_recipient(struct transfer *t)
{
    candidate_resources_free(&t->resources, t->resource_count);
    t->resource_count = 0;
}

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
        transfer_step(t, STEP_RECEIVED, "disco", error_name(error->code), error->text);
        transfer_post(t, EV_METHOD_FAILED, error, PROOF_NONE);
        return;
    }
    transfer_forget_recipient(t);
    t->resources = found->resources;
    t->resource_count = found->count;
    found->resources = NULL;
    found->count = 0;
    record_text(&t->record->from, found->from.text);
    transfer_step(t, STEP_RECEIVED, "disco", "ok", best_of(t) ? best_of(t)->jid.text : "");
    transfer_post(t, EV_RESOLVED, NULL, PROOF_NONE);
}

static void look_for_recipient(struct transfer *t)
{
    struct jid from;

    attempt_begin(t, "", "");
    transfer_step(t, STEP_SENT, "disco", "", t->to->text);
    t->finding = t->env->network->ops->find(t->env->network, transfer_sender(t, &from), t->to, on_found, t);
    if (t->finding == 0)
        no_memory(t);
}

/* ---- down the ladder */

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

void transfer_begin_round(struct transfer *t, const struct pending *p)
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

bool transfer_may_digest(const struct transfer *t)
{
    return t->record->mode != MODE_STREAM && t->env->config->delivery.digest != DIGEST_NEVER;
}

static void offer(struct transfer *t)
{
    struct jid from;
    const struct method_ops *ops = t->ladder.rungs[t->rung];
    const struct jid *to = ops->offline ? t->bare : t->device;
    struct record *r = t->record;
    struct offer o = {
        .to = to,
        .from = transfer_sender(t, &from),
        .to_one = t->to->full,
        .name = r->name,
        .type = r->type,
        .size = r->size,
        .sha256 = r->sha256,
        .no_digest = !transfer_may_digest(t),
        .caption = !ops->offline && t->env->config->delivery.caption == CAPTION_MESSAGE ? NULL : r->caption,
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
    t->since = clock_ms();
    t->method = ops->offer(&t->host, t->env->network, &o, &error);
    if (!t->method) {
        t->ops = NULL;
        transfer_post(t, EV_METHOD_FAILED, &error, PROOF_NONE);
    }
    transfer_arm_timer(t); /* each offer has the whole time */
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

void transfer_begin_ladder(struct transfer *t, const struct pending *p)
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

/* The method goes on as its successor, whose rung is thereby climbed: it comes right behind this one. */
void transfer_switch_method(struct transfer *t, const struct pending *p)
{
    size_t rung = successor_rung(t);
    const struct method_ops *next = t->ladder.rungs[rung];

    assert(rung > 0);
    transfer_end_attempt(t, &p->error);
    transfer_remember_why(t, &p->error, false);
    memmove(&t->ladder.rungs[t->rung + 2], &t->ladder.rungs[t->rung + 1],
            (rung - t->rung - 1) * sizeof *t->ladder.rungs);
    t->ladder.rungs[++t->rung] = next;
    t->ops = next;
    attempt_begin(t, next->name, t->device->text);
    snprintf(t->record->method, sizeof t->record->method, "%s", next->name);
    t->record->path[0] = '\0';
    record_text(&t->record->streamhost, NULL);
    transfer_arm_timer(t);
    t->env->changed(t->env->user, t, SAVE_NOW);
}

/* ---- after a failure: the next rung, another device, another round, or the end */

bool transfer_on_offline_rung(const struct transfer *t)
{
    return t->rung < t->ladder.count && t->ladder.rungs[t->rung]->offline;
}

/* With no device to offer to, the transfer hangs on an offline method, and its failure is the news; but where it was
 * never possible, it is none. */
void transfer_remember_why(struct transfer *t, const struct error *error, bool ends_it)
{
    enum error_code so_far = error_kept(t->why);
    bool offline = transfer_on_offline_rung(t);
    bool dull = ends_it || (offline && !ladder_streams(&t->ladder)) || so_far == ERR_NONE ||
                so_far == ERR_METHOD_UNSUPPORTED || so_far == ERR_PROFILE_UNSUPPORTED || so_far == ERR_NO_COMMON_METHOD;

    t->later = t->later || error_retry(error->code) == RETRY_LATER;
    if (offline && error->code == ERR_METHOD_UNSUPPORTED && so_far != ERR_NONE)
        return;
    if (dull) {
        error_keep(&t->why, error);
        t->why_stage = transfer_stage(t);
    }
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

    return error->code == ERR_RECIPIENT_OFFLINE && transfer_stage(t) == STAGE_RESOLVE && t->made < online &&
           clock_ms() < online + RETURN_MS;
}

/* Who left an offer unanswered, or takes none of that kind, is not asked by another of it. */
static void skip_kin(struct transfer *t, const struct error *error)
{
    const char *asks = t->method ? t->ops->asks : NULL;
    size_t kept = t->rung + 1;

    if (!asks || transfer_stage(t) != STAGE_OFFER ||
        (error->code != ERR_RECIPIENT_TIMEOUT && error->code != ERR_METHOD_UNSUPPORTED &&
         error->code != ERR_PROFILE_UNSUPPORTED && error->code != ERR_OFFER_REJECTED))
        return;
    for (size_t i = kept; i < t->ladder.count; i++)
        if (!t->ladder.rungs[i]->asks || strcmp(t->ladder.rungs[i]->asks, asks) != 0)
            t->ladder.rungs[kept++] = t->ladder.rungs[i];
    t->ladder.count = kept;
}

/* A method failed, or nobody was found: the next rung, another round, or the end. */
void transfer_step_down(struct transfer *t, const struct pending *p)
{
    enum error_retry retry = error_retry(p->error.code);
    bool again, free_round = p->error.code == ERR_XMPP_DISCONNECTED ||
                             (may_return(t, &p->error) && !transfer_may_hold(t, &p->error));

    /* A question that nobody answered may have been lost; a person who does not answer has been asked. */
    if (p->error.code == ERR_RECIPIENT_TIMEOUT && transfer_stage(t) == STAGE_RESOLVE)
        t->later = true;
    transfer_end_attempt(t, &p->error);
    transfer_remember_why(t, &p->error, retry == RETRY_NEVER);
    skip_kin(t, &p->error);
    if (t->ops && t->ops->offline)
        t->record->sent = 0; /* to a service, which drops it: the recipient has none of it */
    transfer_drop_work(t, &p->error);
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
    if (hop(t, &p->error) || transfer_hold(t, &p->error) || fall_back(t, &p->error))
        return;
    again = retry != RETRY_NEVER && t->later && t->record->round < t->record->max_rounds;
    transfer_post(t, again ? EV_PAUSE : EV_FATAL, t->why, PROOF_NONE);
}

/* ---- the end of a round, and the pause behind it */

void transfer_end_round(struct transfer *t)
{
    transfer_forget_recipient(t);
    free(t->device);
    t->device = NULL;
    t->ladder.count = t->rung = t->resource = 0;
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

void transfer_pause_for(struct transfer *t, int64_t ms)
{
    t->pause_until = clock_ms() + ms;
    t->record->next_attempt_at = clock_wall_ms() + ms;
}

void transfer_pause_round(struct transfer *t, const struct pending *p)
{
    int64_t pause = pause_ms(t), told = t->retry_at - clock_wall_ms();

    transfer_end_round(t);
    if (p->error.code != ERR_XMPP_DISCONNECTED && p->error.code != ERR_DRAINING)
        transfer_pause_for(t, told > pause ? told : pause);
    transfer_step(t, STEP_LOCAL, "queued again", error_name(p->error.code), p->error.text);
}

void transfer_hurry(struct transfer *t)
{
    if (t->record->state != TRANSFER_QUEUED || t->record->next_attempt_at == 0)
        return;
    t->record->next_attempt_at = 0;
    transfer_arm_timer(t);
    t->env->waiting(t->env->user, t);
}
