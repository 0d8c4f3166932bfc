#include "gateway/gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/labels.h"
#include "gateway/core.h"
#include "gateway/ladder.h"
#include "gateway/partial.h"

const struct config *gateway_config(const struct gateway *gw)
{
    return gw->config;
}

struct events *gateway_events(struct gateway *gw)
{
    return gw->events;
}

/* ---- one transfer: asked on any thread, answered by core, from its own or from the store through the pool */

enum ask { ASK_GET, ASK_WAIT, ASK_CHANGE, ASK_CANCEL, ASK_RETRY };

struct question {
    struct message message;
    uv_work_t work;
    struct gateway *gw;
    enum ask ask;
    char id[ID_SIZE];
    int64_t wait_ms;
    struct record_stamp was; /* of ASK_CHANGE */
    gateway_record_fn *done;
    void *user;
    struct record *found;
    struct error error;
};

static void question_answer(struct question *q, struct record *r, const struct error *err)
{
    q->done(q->user, r, err);
    free(q);
}

static void look_up(uv_work_t *work)
{
    struct question *q = work->data;

    q->found = store_get(q->gw->store, q->id, &q->error);
    if (q->ask == ASK_CANCEL && spool_claim(q->gw->spool, q->id))
        spool_remove(q->gw->spool, q->id);
}

static void looked_up(uv_work_t *work, int status)
{
    struct question *q = work->data;

    (void)status;
    q->gw->pending--;
    if (q->ask == ASK_RETRY && q->found) {
        core_retry(q->gw, q->found, q->done, q->user);
        free(q);
        return;
    }
    question_answer(q, q->found, q->found ? NULL : &q->error);
}

/* How long a cancelled transfer may take to tell its peer and commit its end before the caller is answered. */
enum { CANCEL_MS = 10 * 1000 };

static void refuse_question(struct message *m);

/* It has failed, and that is committed by now; or it is not, and we stop. */
static void on_failed(void *user, struct record *r, const struct error *err)
{
    struct question *q = user;

    (void)err;
    record_free(&r);
    if (atomic_load(&q->gw->draining) || !mailbox_post(q->gw->mailbox, &q->message))
        refuse_question(&q->message);
}

static void retry_live(struct gateway *gw, struct live *live, struct question *q)
{
    if (core_record(live)->state == TRANSFER_FAILED) {
        core_wait(gw, live, CANCEL_MS, NULL, on_failed, q);
        return;
    }
    error_set(&q->error, ERR_STATE_CONFLICT, "only a failed transfer is tried again, and this one is %s",
              transfer_state_name(core_record(live)->state));
    question_answer(q, NULL, &q->error);
}

static void handle_question(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct question *q = (struct question *)m;
    struct live *live = core_live(gw, q->id);
    const struct record_stamp *stamp = q->ask == ASK_CHANGE ? &q->was : NULL;

    if (q->ask == ASK_CANCEL && downloads_revoke(gw, q->id, q->done, q->user)) {
        free(q);
        return;
    }
    if (!live && ((q->ask == ASK_CANCEL && fetches_cancel(gw, q->id, q->done, q->user)) ||
                  ((q->ask == ASK_WAIT || q->ask == ASK_CHANGE) &&
                   fetches_wait(gw, q->id, q->wait_ms, stamp, q->done, q->user)))) {
        free(q);
        return;
    }
    if (!live) {
        q->work.data = q;
        gw->pending++;
        uv_queue_work(&gw->loop, &q->work, look_up, looked_up);
        return;
    }
    if (q->ask == ASK_RETRY) {
        retry_live(gw, live, q);
        return;
    }
    if (q->ask == ASK_CANCEL)
        core_cancel(live);
    core_wait(gw, live, q->ask == ASK_CANCEL ? CANCEL_MS : q->wait_ms, stamp, q->done, q->user);
    free(q);
}

static void refuse_question(struct message *m)
{
    struct question *q = (struct question *)m;

    error_set(&q->error, ERR_DRAINING, "the gateway is stopping");
    question_answer(q, NULL, &q->error);
}

static void ask(struct gateway *gw, enum ask what, const char *id, int64_t wait_ms, const struct record_stamp *was,
                gateway_record_fn *done, void *user)
{
    struct question *q = NULL;
    struct error error;

    if (!id_valid(id, "tr")) {
        error_set(&error, ERR_NOT_FOUND, "there is no transfer of that id");
        done(user, NULL, &error);
        return;
    }
    q = calloc(1, sizeof *q);
    if (!q) {
        error_set(&error, ERR_INTERNAL, "out of memory");
        done(user, NULL, &error);
        return;
    }
    q->message.handle = handle_question;
    q->message.discard = refuse_question;
    q->gw = gw;
    q->ask = what;
    memcpy(q->id, id, ID_SIZE);
    q->wait_ms = wait_ms;
    if (was)
        q->was = *was;
    q->done = done;
    q->user = user;
    if (!mailbox_post(gw->mailbox, &q->message))
        refuse_question(&q->message);
}

void gateway_get(struct gateway *gw, const char *id, gateway_record_fn *done, void *user)
{
    struct record *live = id_valid(id, "tr") ? board_get(gw->board, id) : NULL;

    if (live)
        done(user, live, NULL);
    else
        ask(gw, ASK_GET, id, 0, NULL, done, user);
}

void gateway_wait(struct gateway *gw, const char *id, int64_t wait_ms, gateway_record_fn *done, void *user)
{
    ask(gw, ASK_WAIT, id, wait_ms, NULL, done, user);
}

struct record_stamp record_stamp(const struct record *r)
{
    return (struct record_stamp){.updated = r->updated, .state = r->state, .sent = r->sent};
}

void gateway_wait_change(struct gateway *gw, const char *id, const struct record_stamp *was, int64_t wait_ms,
                         gateway_record_fn *done, void *user)
{
    ask(gw, ASK_CHANGE, id, wait_ms, was, done, user);
}

void gateway_cancel(struct gateway *gw, const char *id, gateway_record_fn *done, void *user)
{
    ask(gw, ASK_CANCEL, id, 0, NULL, done, user);
}

void gateway_retry(struct gateway *gw, const char *id, gateway_record_fn *done, void *user)
{
    struct error error;

    if (!atomic_load(&gw->draining)) {
        ask(gw, ASK_RETRY, id, 0, NULL, done, user);
        return;
    }
    error_set(&error, ERR_DRAINING, "the gateway is stopping");
    done(user, NULL, &error);
}

/* ---- lists: from the store, with what core knows better laid over it, and what has no row yet put between */

struct listing {
    struct message message;
    uv_work_t work;
    struct gateway *gw;
    struct record_filter filter; /* its strings are ours */
    gateway_list_fn *done;
    void *user;
    struct record_list list;
    struct record_list rowless; /* that belong to it */
    struct error error;
    bool ok;
};

static void listing_answer(struct listing *l)
{
    l->done(l->user, &l->list, l->ok ? NULL : &l->error);
    record_list_free(&l->list);
    record_list_free(&l->rowless);
    free((char *)l->filter.to);
    free((char *)l->filter.before);
    free((char *)l->filter.token);
    free((char *)l->filter.labels);
    free((char *)l->filter.batch);
    free(l);
}

bool gateway_under_way(struct gateway *gw, const char *id)
{
    char transfer[ID_SIZE];

    if (!gateway_partial_transfer(id, transfer))
        return board_under_way(gw->board, id);
    return partials_has(gw->partials, id) || board_under_way(gw->board, transfer);
}

bool gateway_live(struct gateway *gw, const char *id)
{
    return board_has(gw->board, id);
}

/* What the store would say. */
static bool belongs(const struct record *r, const struct record_filter *f)
{
    size_t len = f->to ? strlen(f->to) : 0;

    if (f->link || f->linked || (f->by_state && r->state != f->state) || r->created < f->since)
        return false;
    if (f->to && (strncmp(r->to, f->to, len) != 0 || (r->to[len] && (r->to[len] != '/' || strchr(f->to, '/')))))
        return false;
    if (f->token && (!r->token || strcmp(r->token, f->token) != 0))
        return false;
    if (!labels_have(r->labels, f->labels) || (f->batch && (!r->batch || strcmp(r->batch, f->batch) != 0)))
        return false;
    return !f->before || strcmp(r->id, f->before) < 0;
}

static bool add(struct record_list *list, size_t at, struct record *r)
{
    struct record **items = r ? realloc(list->items, (list->count + 1) * sizeof(struct record *)) : NULL;

    if (!items) {
        record_free(&r);
        return false;
    }
    memmove(&items[at + 1], &items[at], (list->count - at) * sizeof *items);
    items[at] = r;
    list->items = items;
    list->count++;
    return true;
}

static void note_rowless(void *user, const struct record *r)
{
    struct listing *l = user;

    if (belongs(r, &l->filter))
        add(&l->rowless, l->rowless.count, record_copy(r)); /* without memory the list lacks one that is to come */
}

/* Each to its place by age, unless it is there by now. */
static void merge(struct listing *l)
{
    struct record_list *list = &l->list;

    for (size_t i = 0; i < l->rowless.count; i++) {
        struct record *r = l->rowless.items[i];
        size_t at = 0;

        while (at < list->count && strcmp(list->items[at]->id, r->id) > 0)
            at++;
        if (at < list->count && strcmp(list->items[at]->id, r->id) == 0)
            continue;
        l->rowless.items[i] = NULL;
        add(list, at, r);
    }
    while (l->filter.limit > 0 && list->count > l->filter.limit) {
        record_free(&list->items[--list->count]);
        list->more = true;
    }
}

static void list_work(uv_work_t *work)
{
    struct listing *l = work->data;

    l->ok = store_list(l->gw->store, &l->filter, &l->list, &l->error);
    if (l->ok)
        merge(l);
    for (size_t i = 0; l->ok && i < l->list.count; i++) {
        struct record *live = board_get(l->gw->board, l->list.items[i]->id);

        if (!live)
            continue;
        record_free(&l->list.items[i]);
        l->list.items[i] = live;
    }
}

static void list_done(uv_work_t *work, int status)
{
    struct listing *l = work->data;

    (void)status;
    l->gw->pending--;
    listing_answer(l);
}

static void handle_listing(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct listing *l = (struct listing *)m;

    core_each_rowless(gw, note_rowless, l);
    l->work.data = l;
    gw->pending++;
    uv_queue_work(&gw->loop, &l->work, list_work, list_done);
}

static void refuse_listing(struct message *m)
{
    struct listing *l = (struct listing *)m;

    error_set(&l->error, ERR_DRAINING, "the gateway is stopping");
    listing_answer(l);
}

static bool keep(const char **copy, const char *text)
{
    *copy = text ? strdup(text) : NULL;
    return *copy || !text;
}

void gateway_list(struct gateway *gw, const struct record_filter *filter, gateway_list_fn *done, void *user)
{
    struct listing *l = calloc(1, sizeof *l);
    struct record_list none = {0};
    struct error error;

    if (!l) {
        error_set(&error, ERR_INTERNAL, "out of memory");
        done(user, &none, &error);
        return;
    }
    l->message.handle = handle_listing;
    l->message.discard = refuse_listing;
    l->gw = gw;
    l->filter = *filter;
    l->filter.id = l->filter.to = l->filter.before = l->filter.token = l->filter.labels = l->filter.batch = NULL;
    l->done = done;
    l->user = user;
    if (!keep(&l->filter.to, filter->to) || !keep(&l->filter.before, filter->before) ||
        !keep(&l->filter.token, filter->token) || !keep(&l->filter.labels, filter->labels) ||
        !keep(&l->filter.batch, filter->batch)) {
        error_set(&l->error, ERR_INTERNAL, "out of memory");
        listing_answer(l);
        return;
    }
    if (!mailbox_post(gw->mailbox, &l->message))
        refuse_listing(&l->message);
}

/* ---- recipients */

struct search {
    struct message message;
    struct gateway *gw;
    struct jid to;
    char *methods; /* NULL: as configured */
    uint64_t size;
    gateway_recipient_fn *done;
    void *user;
};

static void answer_search(struct search *s, struct recipient *r, struct gateway_ladder *ladder, const struct error *err)
{
    s->done(s->user, r, ladder, err);
    free(s->methods);
    free(s);
}

static void say_why(struct gateway_rung *rung, enum ladder_verdict verdict)
{
    static const char *const texts[] = {
        [LADDER_RUNG] = "",
        [LADDER_NOBODY] = "nobody is online to be offered it",
        [LADDER_UNANNOUNCED] = "the client does not announce what it needs",
        [LADDER_BARE] = "left out beside other streams; asked for by name, it is tried",
    };

    rung->possible = verdict == LADDER_RUNG ? METHOD_CAN : METHOD_CANNOT;
    snprintf(rung->why, sizeof rung->why, "%s", texts[verdict]);
}

/* As transfer_round.c walks it: the first resource that can be offered to, else what needs none. */
static void describe_ladder(struct search *s, const struct recipient *r, struct gateway_ladder *out)
{
    struct network *network = s->gw->network;
    const struct method_ops *const *all = network->ops->methods(network);
    char *const *configured = s->gw->config->delivery.methods;
    struct ladder_choice choices[LADDER_RUNGS];
    const struct candidate_resource *to = NULL;
    struct ladder ladder;
    struct error why;
    size_t at;

    if (r && r->count > 0) {
        at = ladder_choose(&ladder, r->resources, r->count, 0, s->methods, configured, all);
        to = &r->resources[at < r->count ? at : 0];
    }
    out->count = ladder_explain(choices, s->methods, configured, to ? to->methods : NULL, all);
    for (size_t i = 0; i < out->count; i++) {
        const struct method_ops *method = choices[i].method;
        struct gateway_rung *rung = &out->rungs[i];

        rung->method = method->name;
        if (method->offline)
            jid_parse(&rung->to, s->to.text, s->to.bare, NULL);
        else if (to)
            rung->to = to->jid;
        say_why(rung, choices[i].verdict);
        if (rung->possible != METHOD_CAN || !method->can)
            continue;
        rung->possible = method->can(network, s->size, &why);
        if (rung->possible != METHOD_CAN)
            snprintf(rung->why, sizeof rung->why, "%s", why.text);
    }
}

static void on_found(void *user, struct recipient *r, const struct error *err)
{
    struct search *s = user;
    struct gateway_ladder *ladder = calloc(1, sizeof *ladder);
    struct error error;

    if (ladder) {
        describe_ladder(s, r, ladder);
        answer_search(s, r, ladder, err);
    } else {
        error_set(&error, ERR_INTERNAL, "out of memory");
        answer_search(s, NULL, NULL, &error);
    }
}

static void handle_search(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct search *s = (struct search *)m;
    struct error error;

    if (gw->network->ops->find(gw->network, NULL, &s->to, on_found, s) == 0) {
        error_set(&error, ERR_INTERNAL, "out of memory");
        answer_search(s, NULL, NULL, &error);
    }
}

static void refuse_search(struct message *m)
{
    struct error error;

    error_set(&error, ERR_DRAINING, "the gateway is stopping");
    answer_search((struct search *)m, NULL, NULL, &error);
}

void gateway_find(struct gateway *gw, const struct jid *to, const char *methods, uint64_t size,
                  gateway_recipient_fn *done, void *user)
{
    struct search *s = calloc(1, sizeof *s);
    char *copy = methods ? strdup(methods) : NULL;
    struct error error;

    if (!s || (methods && !copy)) {
        free(s);
        free(copy);
        error_set(&error, ERR_INTERNAL, "out of memory");
        done(user, NULL, NULL, &error);
        return;
    }
    *s = (struct search){.message = {.handle = handle_search, .discard = refuse_search},
                         .gw = gw,
                         .methods = copy,
                         .size = size,
                         .done = done,
                         .user = user};
    jid_copy(&s->to, to);
    if (!mailbox_post(gw->mailbox, &s->message))
        refuse_search(&s->message);
}

/* ---- the whole at a glance */

void gateway_view(struct gateway *gw, struct gateway_view *out)
{
    *out = (struct gateway_view){0};
    pthread_mutex_lock(&gw->view_lock);
    out->network = gw->view;
    if (gw->demo.ready)
        memcpy(out->demo, gw->demo.jid.text, strlen(gw->demo.jid.text) + 1);
    out->active = gw->active;
    out->queued = gw->queued;
    pthread_mutex_unlock(&gw->view_lock);
    spool_usage(gw->spool, &out->spool);
    out->store_writable = store_writable(gw->store);
    out->draining = atomic_load(&gw->draining);
    out->ready = out->network.state == NETWORK_ONLINE && out->store_writable && !out->draining;
    if (!gw->carrier->ops->advertised(gw->carrier, &out->direct))
        out->direct = (struct carrier_address){0};
    out->streams = gw->streams(gw->carrier);
    out->relays = gw->relay != NULL;
    if (gw->relay)
        relaying_counts(gw->relay, &out->relayed);
}

bool gateway_relay_view(struct gateway *gw, struct relay_view *out)
{
    *out = (struct relay_view){0};
    return !gw->relay || relaying_view(gw->relay, out);
}

void gateway_census(struct gateway *gw, struct gateway_census *out)
{
    board_census(gw->board, out);
}

int64_t gateway_heartbeat_age(struct gateway *gw)
{
    return clock_ms() - atomic_load(&gw->beat);
}

const char *const *gateway_method_names(struct gateway *gw)
{
    return gw->method_names;
}
