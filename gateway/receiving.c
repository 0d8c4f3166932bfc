#include "gateway/receiving_parts.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "gateway/inbox_name.h"

/* Counted ahead of what came, so that the budget is held while bytes are on their way. */
enum { AHEAD = 16 * 1024 * 1024 };

static const struct receiver_ops ops;

static struct receiving *impl(struct receiver *r)
{
    return (struct receiving *)r; /* its first member */
}

/* ---- the offer */

/* Of what goes to our own recipient, where only we may send. */
static const struct inbox_rule demo_rule = {.name = "demo", .max_file = DEMO_MAX_FILE, .raw = true};

static const struct inbox_rule *rule_for(const struct receiving *r, const struct incoming *o, const char *bare)
{
    if (demo_is(&r->gw->demo, o->to))
        return demo_accepts(&r->gw->demo, o->from) ? &demo_rule : NULL;
    return inbox_rules_find(&r->rules, bare, o->to);
}

static struct inbox_limits limits_of(const struct inbox_rule *rule)
{
    return (struct inbox_limits){.max_files = rule->max_files, .daily_bytes = rule->daily_bytes};
}

static uint64_t largest(const struct receiving *r, const struct inbox_rule *rule)
{
    struct spool_usage usage;

    spool_usage(r->gw->spool, &usage);
    return rule->max_file < usage.max_file ? rule->max_file : usage.max_file;
}

static bool fits(struct receiving *r, const struct inbox_rule *rule, int64_t size, struct error *err)
{
    uint64_t most = largest(r, rule), taken;
    struct spool_usage usage;

    if (size > 0 && (uint64_t)size > most)
        return error_set(err, ERR_BODY_TOO_LARGE, "a file may have at most %llu bytes", (unsigned long long)most);
    spool_usage(r->gw->spool, &usage);
    taken = usage.bytes - (usage.spare < usage.bytes ? usage.spare : usage.bytes);
    return taken < usage.max_bytes && (size <= 0 || (uint64_t)size <= usage.max_bytes - taken)
               ? true
               : error_set(err, ERR_SPOOL_FULL, "there is no room for it at the moment; try again later");
}

static bool has_few(const struct receiving *r, const char *bare, struct error *err)
{
    const struct reception *re;
    unsigned his = 0;

    DL_FOREACH(r->all, re)
    his += strcmp(re->bare, bare) == 0;
    return his < RECEIVING_PER_SENDER ||
           error_set(err, ERR_RATE_LIMITED, "%u files of yours are under way already; wait for one of them", his);
}

/* rule NULL: none takes anything of this sender for that address. */
static bool may(struct receiving *r, const struct incoming *o, const struct inbox_rule *rule, const char *bare,
                struct error *err)
{
    struct inbox_limits limits;
    bool raw = strcmp(o->method, "s5b") == 0 || strcmp(o->method, "ibb") == 0;

    if (atomic_load(&r->gw->draining))
        return error_set(err, ERR_DRAINING, "the gateway is stopping");
    if (!rule)
        return error_set(err, ERR_SENDER_NOT_ALLOWED, "this sender may not send files here");
    if (raw && !rule->raw)
        return error_set(err, ERR_METHOD_UNSUPPORTED, "a bytestream without an offer is not taken");
    if (!store_writable(r->gw->store))
        return error_set(err, ERR_STORE_UNAVAILABLE, "the store cannot be written at the moment");
    limits = limits_of(rule);
    return fits(r, rule, o->size, err) &&
           (rule == &demo_rule ||
            (has_few(r, bare, err) && inbox_senders_offer(r->senders, bare, o->size, &limits, clock_ms(), err)));
}

static bool describe(struct inbox_item *item, const struct incoming *o)
{
    char name[INBOX_NAME], to[JID_MAX + 1];

    jid_bare(o->to, to);
    id_make(item->id, "in", clock_wall_ms());
    inbox_name(o->name, item->id, o->type, name);
    item->state = INBOX_RECEIVING;
    item->size = o->size;
    item->created = clock_wall_ms();
    return record_text(&item->to, to) && record_text(&item->name, name) &&
           record_text(&item->type, o->type && *o->type ? o->type : "") && record_text(&item->caption, o->caption);
}

/* How it is now, for the store. */
static void put_row(struct reception *re)
{
    struct inbox_item *row = inbox_item_copy(re->item);

    if (row)
        store_put_item(re->home->gw->store, row, NULL, NULL, NULL);
    else
        log_error("inbox.not_noted", log_str("item", re->item->id), log_str("error", "out of memory"));
}

static void reception_free(struct reception *re)
{
    spool_abandon(&re->file);
    shared_fd_release(&re->shared);
    inbox_hash_close(&re->hashes);
    inbox_item_free(&re->item);
    free(re->bare);
    free(re);
}

static struct reception *reception_new(struct receiving *r, const struct incoming *o, const char *bare)
{
    struct reception *re = calloc(1, sizeof *re);

    if (!re)
        return NULL;
    re->home = r;
    re->claimed = o->size;
    re->modified = o->modified;
    re->ranges = o->ranges;
    re->demo = demo_is(&r->gw->demo, o->to);
    re->bare = strdup(bare);
    re->item = inbox_item_new();
    if (!re->bare || !re->item)
        goto failed;
    if (o->hash_algo && o->hash && inbox_hash_known(o->hash_algo)) {
        snprintf(re->algo, sizeof re->algo, "%s", o->hash_algo);
        snprintf(re->hash, sizeof re->hash, "%s", o->hash);
    }
    if (!describe(re->item, o))
        goto failed;
    if (re->ranges)
        kept_take(re);
    if (!record_text(&re->item->from, o->from->text))
        goto failed;
    snprintf(re->item->method, sizeof re->item->method, "%s", o->method);
    return re;
failed:
    reception_free(re);
    return NULL;
}

static struct reception *offered(struct receiver *receiver, const struct incoming *o,
                                 const struct reception_events *events, void *user, struct error *err)
{
    struct receiving *r = impl(receiver);
    const struct inbox_rule *rule;
    struct reception *re;
    char bare[JID_MAX + 1];

    jid_bare(o->from, bare);
    rule = rule_for(r, o, bare);
    if (!may(r, o, rule, bare, err))
        return NULL;
    re = reception_new(r, o, bare);
    if (!re) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    re->max_file = largest(r, rule);
    re->limits = limits_of(rule);
    re->events = *events;
    re->user = user;
    re->item->updated = clock_wall_ms();
    DL_APPEND(r->all, re);
    atomic_fetch_add(&r->count, 1);
    metric_add(METRIC_INBOX_RECEIVING, 1);
    put_row(re);
    log_info("inbox.offered", log_str("item", re->item->id), log_str("from", re->item->from),
             log_str("method", o->method), log_int("size", o->size));
    return re;
}

static bool receives(const struct receiver *receiver, const struct jid *to)
{
    const struct receiving *r = (const struct receiving *)receiver;

    return demo_is(&r->gw->demo, to) || inbox_rules_receive(&r->rules, to);
}

static uint64_t offset(const struct reception *re)
{
    return re->here;
}

static void step(struct reception *re, enum step_direction direction, const char *name, const char *outcome,
                 const char *detail)
{
    log_debug("inbox.step", log_str("item", re->item->id), log_str("direction", step_direction_name(direction)),
              log_str("step", name), log_opt("outcome", outcome), log_opt("detail", detail));
}

static void chose(struct reception *re, const char *path, const char *streamhost)
{
    snprintf(re->item->path, sizeof re->item->path, "%s", path ? path : "");
    record_text(&re->item->streamhost, streamhost);
}

/* ---- bytes */

static bool expect_more(struct reception *re, struct error *err)
{
    uint64_t come = re->offset + re->moved, end = re->offset + re->most;

    return spool_expect(re->file, end - come < AHEAD ? end : come + AHEAD, err);
}

static bool open_file(struct reception *re, uint64_t from, struct error *err)
{
    struct spool *spool = re->home->gw->spool;

    if (from > 0 && from != re->here)
        return error_set(err, ERR_PEER_PROTOCOL_ERROR, "it begins at byte %llu, which was not asked for",
                         (unsigned long long)from);
    if (from > 0) {
        re->file = spool_resume(spool, re->item->id, -1, from, err);
    } else {
        if (re->here > 0)
            spool_remove_part(spool, re->item->id, -1);
        re->file = spool_create(spool, re->item->id, -1, err);
    }
    re->here = 0;
    return re->file != NULL;
}

static struct shared_fd *begin(struct reception *re, uint64_t from, uint64_t *most, struct error *err)
{
    uint64_t max = re->max_file;
    int fd;

    if (re->claimed >= 0 && from > (uint64_t)re->claimed) {
        error_set(err, ERR_PEER_PROTOCOL_ERROR, "it begins behind its end");
        return NULL;
    }
    if (!open_file(re, from, err))
        return NULL;
    re->offset = from;
    re->most = re->claimed >= 0 ? (uint64_t)re->claimed - from : max > from ? max - from : 0;
    *most = re->most;
    if (!expect_more(re, err))
        return NULL;
    fd = dup(spool_fd(re->file));
    re->shared = fd >= 0 ? shared_fd_create(fd) : NULL;
    if (!re->shared)
        error_set(err, ERR_INTERNAL, "out of descriptors or memory");
    re->item->received = from;
    re->began = re->paced_at = clock_ms();
    return re->shared;
}

struct revocation {
    struct message message;
    char id[ID_SIZE];
    struct error why;
};

static struct reception *find(struct receiving *r, const char *id)
{
    struct reception *re;

    DL_FOREACH(r->all, re)
    {
        if (strcmp(re->item->id, id) == 0 && !re->closed)
            return re;
    }
    return NULL;
}

/* The last that is told of it; its owner ends it, maybe at once. */
void reception_take_away(struct reception *re, const struct error *why)
{
    if (re->revoked || re->busy)
        return;
    re->revoked = true;
    re->events.revoked(re->user, why);
}

static void handle_revocation(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct revocation *v = (struct revocation *)m;
    struct reception *re = find(gw->receiving, v->id);

    if (re)
        reception_take_away(re, &v->why);
    free(v);
}

/* Not from inside. */
static void revoke_soon(struct reception *re, const struct error *why)
{
    struct revocation *v = re->revoked ? NULL : calloc(1, sizeof *v);

    if (!v)
        return;
    v->message.handle = handle_revocation;
    memcpy(v->id, re->item->id, ID_SIZE);
    v->why = *why;
    if (!mailbox_post(re->home->gw->mailbox, &v->message))
        free(v);
}

/* false: too much, for the sender or the spool. */
static bool count(struct reception *re, uint64_t moved, struct error *err)
{
    uint64_t more = moved > re->moved ? moved - re->moved : 0;

    re->moved += more;
    metric_add(METRIC_INBOX_BYTES, (int64_t)more);
    re->item->received = re->offset + re->moved;
    re->item->updated = clock_wall_ms();
    return (re->demo || inbox_senders_take(re->home->senders, re->bare, more, &re->limits, clock_ms(), err)) &&
           expect_more(re, err);
}

static void moved(struct reception *re, uint64_t so_far)
{
    struct error err;

    if (!re->file || re->busy)
        return;
    if (so_far > re->most)
        so_far = re->most;
    spool_grown(re->file, re->offset + so_far);
    if (!count(re, so_far, &err))
        revoke_soon(re, &err);
}

static bool take_bytes(struct reception *re, const void *data, size_t len, struct error *err)
{
    if (!re->file || len > re->most - re->moved)
        return error_set(err, ERR_SIZE_EXCEEDED, "more came than was said");
    return spool_put(re->file, data, len, err) && count(re, re->moved + len, err);
}

/* ---- the end */

static bool resumable(const struct error *why)
{
    switch ((int)why->code) {
    case ERR_HASH_MISMATCH:
    case ERR_SIZE_EXCEEDED:
    case ERR_QUOTA_EXCEEDED:
    case ERR_BODY_TOO_LARGE:
    case ERR_SPOOL_FULL:
        return false;
    default:
        return true;
    }
}

int64_t reception_keep_until(const struct reception *re)
{
    return re->item->finished + (re->demo ? DEMO_RETENTION_MS : re->home->retention);
}

static void fail(struct reception *re, const struct error *why)
{
    struct inbox_item *item = re->item;

    item->state = INBOX_FAILED;
    item->updated = item->finished = clock_wall_ms();
    item->expires = reception_keep_until(re);
    item->error_code = why->code;
    record_text(&item->error_text, why->text);
    if (!item->type[0])
        record_text(&item->type, "application/octet-stream");
    item->kept = !re->deleted && resumable(why) && kept_keep(re);
    if (!item->kept && re->here > 0)
        spool_remove_part(re->home->gw->spool, item->id, -1);
    metric_add(METRIC_INBOX_FAILED, 1, error_name(why->code));
    log_info("inbox.failed", log_str("item", item->id), log_str("code", error_name(why->code)),
             log_str("error", why->text));
    spool_abandon(&re->file);
}

void reception_finish(struct reception *re, const struct error *why)
{
    struct receiving *r = re->home;

    if (!re->stored && !re->closed) {
        struct error none = {0};

        if (!why)
            error_set(&none, ERR_INTERNAL, "it ended without its bytes being looked at");
        fail(re, why ? why : &none);
        if (re->deleted)
            store_drop_item(r->gw->store, re->item->id, NULL, NULL);
        else
            put_row(re);
    }
    DL_DELETE(r->all, re);
    atomic_fetch_sub(&r->count, 1);
    metric_add(METRIC_INBOX_RECEIVING, -1);
    reception_free(re);
}

static void end(struct reception **reception, const struct error *why)
{
    struct reception *re = *reception;

    *reception = NULL;
    if (!re)
        return;
    if (re->busy) { /* its check comes back, and finds that nobody waits for it */
        re->ended = true;
        if (why)
            re->why = *why;
        return;
    }
    reception_finish(re, why);
}

/* ---- what others ask */

bool receiving_revoke(struct receiving *r, const char *id)
{
    struct reception *re = find(r, id);
    struct error why;

    if (!re)
        return false;
    re->deleted = true;
    if (re->busy)
        return !re->stored; /* its check, or what comes of it, finds that */
    error_set(&why, ERR_CANCELLED, RECEPTION_DELETED);
    reception_take_away(re, &why);
    return true;
}

void receiving_overlay(struct receiving *r, struct inbox_item *item)
{
    struct reception *re = item->state == INBOX_RECEIVING ? find(r, item->id) : NULL;

    if (!re)
        return;
    item->received = re->item->received;
    item->updated = re->item->updated;
    memcpy(item->path, re->item->path, sizeof item->path);
    record_text(&item->streamhost, re->item->streamhost);
}

void receiving_stop(struct receiving *r)
{
    struct reception *re, *next;
    struct error why;

    error_set(&why, ERR_DRAINING, "the gateway is stopping");
    DL_FOREACH_SAFE(r->all, re, next)
    reception_take_away(re, &why);
    DL_FOREACH(r->all, re)
    {
        if (re->busy || re->closed)
            continue;
        re->ranges = false; /* nothing is kept over a restart */
        fail(re, &why);
        put_row(re);
        re->closed = true; /* its owner may end it whenever he likes */
    }
}

static const struct receiver_ops ops = {
    .offered = offered,
    .receives = receives,
    .offset = offset,
    .step = step,
    .chose = chose,
    .begin = begin,
    .moved = moved,
    .write = take_bytes,
    .complete = reception_complete,
    .end = end,
};

struct receiving *receiving_create(struct gateway *gw)
{
    struct receiving *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->gw = gw;
    r->receiver.ops = &ops;
    r->retention = gw->config->inbox.retention;
    r->closed = !inbox_rules_receive(&gw->config->inbox.rules, NULL);
    r->senders = inbox_senders_create();
    if (!r->senders || !inbox_rules_copy(&r->rules, &gw->config->inbox.rules))
        receiving_destroy(&r);
    return r;
}

void receiving_destroy(struct receiving **receiving)
{
    struct receiving *r = *receiving;
    struct reception *re, *next;

    *receiving = NULL;
    if (!r)
        return;
    DL_FOREACH_SAFE(r->all, re, next)
    reception_free(re);
    while (r->kept)
        kept_forget(r, r->kept, false);
    inbox_senders_destroy(&r->senders);
    inbox_rules_free(&r->rules);
    free(r);
}

struct receiver *receiving_receiver(struct receiving *r)
{
    r->receiver.carrier = r->gw->carrier;
    return inbox_rules_receive(&r->rules, NULL) || (r->gw->demo.on && !r->gw->demo.network) ? &r->receiver : NULL;
}

struct receiver *receiving_for_demo(struct receiving *r)
{
    r->receiver.carrier = r->gw->carrier;
    return &r->receiver;
}
