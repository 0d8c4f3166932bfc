#include "tests/fake/api/gateway.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"

enum { RECORDS = 64 };

/* An answer on its way: of these exactly one function is set. */
struct answer {
    struct answer *next;
    gateway_record_fn *record_fn;
    gateway_list_fn *list_fn;
    gateway_recipient_fn *recipient_fn;
    gateway_download_fn *download_fn;
    gateway_reserve_fn *reserve_fn;
    gateway_inbox_fn *inbox_fn;
    gateway_inbox_list_fn *inbox_list_fn;
    gateway_inbox_open_fn *inbox_open_fn;
    struct inbox_item *item;
    struct inbox_list items;
    struct reservation *mine;
    void *user;
    struct record *record;
    struct record_list list;
    struct recipient recipient;
    struct gateway_ladder *ladder; /* who is answered frees it */
    struct download download;
    struct error error;
};

struct gateway {
    const struct config *config;
    struct events *events;
    pthread_t thread;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    struct answer *first, **last;
    unsigned open;
    bool stop;
    struct fake_gateway_script script;
    struct fake_gateway_seen seen;
    void (*wake)(void *user); /* waits for room */
    void *wake_user;
    struct record *records[RECORDS];
    struct record_key keys[RECORDS]; /* of those; text empty: none */
    size_t count;
    struct inbox_item *items[RECORDS]; /* the oldest first */
    char *contents[RECORDS];
    size_t item_count;
};

struct upload {
    struct gateway *gw;
    char id[ID_SIZE];
    size_t bytes;
    enum mode mode;
    struct reservation *key;
};

struct reservation {
    struct gateway *gw;
    struct record_key key;
};

static void deliver(struct answer *a)
{
    const struct error *err = a->error.code != ERR_NONE ? &a->error : NULL;

    if (a->record_fn)
        a->record_fn(a->user, a->record, err);
    if (a->list_fn)
        a->list_fn(a->user, &a->list, err);
    if (a->recipient_fn)
        a->recipient_fn(a->user, &a->recipient, a->ladder, err);
    if (a->download_fn)
        a->download_fn(a->user, &a->download, err);
    if (a->reserve_fn)
        a->reserve_fn(a->user, a->mine, a->record,
                      a->error.code == ERR_IDEMPOTENCY_IN_PROGRESS ? "tr_00000000000000000000000000" : NULL, err);
    if (a->inbox_fn)
        a->inbox_fn(a->user, a->item, err);
    if (a->inbox_list_fn)
        a->inbox_list_fn(a->user, &a->items, err);
    if (a->inbox_open_fn)
        a->inbox_open_fn(a->user, a->item, &a->download, err);
    inbox_list_free(&a->items);
    record_list_free(&a->list);
    download_free(&a->download);
    recipient_free(&a->recipient);
    free(a);
}

static void *answer_all(void *user)
{
    struct gateway *gw = user;

    pthread_mutex_lock(&gw->lock);
    while (!gw->stop || gw->first) {
        struct answer *a = gw->first;

        if (!a || (gw->script.silent && !gw->stop)) {
            pthread_cond_wait(&gw->changed, &gw->lock);
            continue;
        }
        gw->first = a->next;
        if (!gw->first)
            gw->last = &gw->first;
        gw->open--;
        pthread_mutex_unlock(&gw->lock);
        deliver(a);
        pthread_mutex_lock(&gw->lock);
    }
    pthread_mutex_unlock(&gw->lock);
    return NULL;
}

struct gateway *fake_gateway_create(const struct config *config)
{
    struct gateway *gw = calloc(1, sizeof *gw);
    pthread_condattr_t attr;

    assert(gw);
    gw->config = config;
    gw->events = events_create(config->events.retention);
    gw->last = &gw->first;
    pthread_mutex_init(&gw->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&gw->changed, &attr);
    pthread_condattr_destroy(&attr);
    gw->script.ends = TRANSFER_DELIVERED;
    pthread_create(&gw->thread, NULL, answer_all, gw);
    return gw;
}

void fake_gateway_destroy(struct gateway **gw)
{
    struct gateway *g = *gw;

    *gw = NULL;
    pthread_mutex_lock(&g->lock);
    g->stop = true;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
    pthread_join(g->thread, NULL);
    for (size_t i = 0; i < g->count; i++)
        record_free(&g->records[i]);
    for (size_t i = 0; i < g->item_count; i++) {
        inbox_item_free(&g->items[i]);
        free(g->contents[i]);
    }
    events_destroy(&g->events);
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

void fake_gateway_script(struct gateway *gw, const struct fake_gateway_script *script)
{
    pthread_mutex_lock(&gw->lock);
    gw->script = *script;
    pthread_cond_broadcast(&gw->changed);
    pthread_mutex_unlock(&gw->lock);
}

void fake_gateway_seen(struct gateway *gw, struct fake_gateway_seen *out)
{
    pthread_mutex_lock(&gw->lock);
    *out = gw->seen;
    pthread_mutex_unlock(&gw->lock);
}

static bool await(struct gateway *gw, const unsigned *value, unsigned n)
{
    struct timespec until;
    bool there;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 5;
    pthread_mutex_lock(&gw->lock);
    while (*value < n && pthread_cond_timedwait(&gw->changed, &gw->lock, &until) == 0)
        ;
    there = *value >= n;
    pthread_mutex_unlock(&gw->lock);
    return there;
}

bool fake_gateway_await_begun(struct gateway *gw, unsigned n)
{
    return await(gw, &gw->seen.begun, n);
}

bool fake_gateway_await_aborted(struct gateway *gw, unsigned n)
{
    return await(gw, &gw->seen.aborted, n);
}

bool fake_gateway_await_full(struct gateway *gw, unsigned n)
{
    return await(gw, &gw->seen.full, n);
}

static void wake(struct gateway *gw)
{
    void (*call)(void *user);
    void *user;

    pthread_mutex_lock(&gw->lock);
    call = gw->wake;
    user = gw->wake_user;
    gw->wake = NULL;
    pthread_mutex_unlock(&gw->lock);
    if (call)
        call(user);
}

void fake_gateway_make_room(struct gateway *gw, size_t bytes)
{
    pthread_mutex_lock(&gw->lock);
    gw->script.room += bytes;
    pthread_mutex_unlock(&gw->lock);
    wake(gw);
}

static struct record *find(struct gateway *gw, const char *id);

void fake_gateway_becomes(struct gateway *gw, const char *id, enum transfer_state state, unsigned steps)
{
    struct snapshot *s;
    struct record *r;

    pthread_mutex_lock(&gw->lock);
    r = find(gw, id);
    assert(r);
    r->state = state;
    r->updated++;
    for (unsigned i = 0; i < steps; i++)
        record_step(r, STEP_LOCAL, "waited", "ok", "in vain, and for long");
    s = snapshot_take(record_copy(r));
    pthread_mutex_unlock(&gw->lock);
    events_publish(gw->events, &(struct event){.type = event_of(snapshot_record(s)), .transfer = s});
    snapshot_release(&s);
}

bool fake_gateway_await_fetches(struct gateway *gw, unsigned n)
{
    return await(gw, &gw->seen.fetches, n);
}

bool fake_gateway_await_questions(struct gateway *gw, unsigned n)
{
    return await(gw, &gw->open, n);
}

bool fake_gateway_await_inbox_asked(struct gateway *gw, unsigned n)
{
    return await(gw, &gw->seen.inbox_asked, n);
}

void fake_gateway_speak(struct gateway *gw)
{
    pthread_mutex_lock(&gw->lock);
    gw->script.silent = false;
    pthread_cond_broadcast(&gw->changed);
    pthread_mutex_unlock(&gw->lock);
}

/* ---- under the lock */

static struct answer *answer_new(void *user, enum error_code code)
{
    struct answer *a = calloc(1, sizeof *a);

    assert(a);
    a->user = user;
    a->download.fd = -1;
    if (code != ERR_NONE)
        error_set(&a->error, code, "scripted %s", error_name(code));
    return a;
}

static void answer_post(struct gateway *gw, struct answer *a)
{
    *gw->last = a;
    gw->last = &a->next;
    gw->open++;
    pthread_cond_broadcast(&gw->changed);
}

static struct record *find(struct gateway *gw, const char *id)
{
    for (size_t i = 0; i < gw->count; i++)
        if (strcmp(gw->records[i]->id, id) == 0)
            return gw->records[i];
    return NULL;
}

static void copy_text(char *out, size_t max, const char *text)
{
    text_clean(text ? text : "", out, max);
}

static void see_submission(struct fake_gateway_seen *seen, const struct submission *s)
{
    copy_text(seen->to, sizeof seen->to, s->to->text);
    copy_text(seen->name, sizeof seen->name, s->name);
    copy_text(seen->type, sizeof seen->type, s->type);
    copy_text(seen->caption, sizeof seen->caption, s->caption);
    copy_text(seen->methods, sizeof seen->methods, s->methods);
    copy_text(seen->request_id, sizeof seen->request_id, s->request_id);
    copy_text(seen->traceparent, sizeof seen->traceparent, s->traceparent);
    seen->ttl_ms = s->ttl_ms;
    seen->hold_ms = s->hold_ms;
    seen->subscribe = s->subscribe;
    seen->digest = s->digest;
    seen->mode = s->mode;
}

/* ---- gateway/gateway.h */

struct events *gateway_events(struct gateway *gw)
{
    return gw->events;
}

const struct config *gateway_config(const struct gateway *gw)
{
    return gw->config;
}

bool gateway_sender(const struct gateway *gw, const char *asked, struct jid *out, bool *usual, struct error *err)
{
    char text[JID_MAX + 1];

    (void)gw;
    *usual = !asked;
    snprintf(text, sizeof text, "%.500s@files.example.org", asked ? asked : "jidpost");
    return jid_parse(out, text, strlen(text), err);
}

bool gateway_submission_check(struct gateway *gw, const struct submission *s, struct error *err)
{
    enum error_code code;

    pthread_mutex_lock(&gw->lock);
    code = gw->script.check;
    gw->seen.checked++;
    see_submission(&gw->seen, s);
    pthread_mutex_unlock(&gw->lock);
    return code == ERR_NONE || error_set(err, code, "scripted %s", error_name(code));
}

struct upload *gateway_upload_begin(struct gateway *gw, int64_t size, const struct submission *s, struct error *err)
{
    struct upload *u = NULL;
    enum error_code code;

    pthread_mutex_lock(&gw->lock);
    code = gw->script.begin;
    if (code == ERR_NONE) {
        u = calloc(1, sizeof *u);
        assert(u);
        u->gw = gw;
        u->mode = s ? s->mode : MODE_SPOOL;
        u->key = s ? s->key : NULL;
        id_make(u->id, "tr", 1000 + gw->seen.begun); /* so that ids sort by age */
        gw->seen.begun++;
        pthread_cond_broadcast(&gw->changed);
        gw->seen.declared = size;
        gw->seen.bytes = 0;
        memset(gw->seen.body, 0, sizeof gw->seen.body);
    }
    pthread_mutex_unlock(&gw->lock);
    if (!u)
        error_set(err, code, "scripted %s", error_name(code));
    return u;
}

bool gateway_upload_append(struct upload *u, const void *data, size_t len, bool more, struct error *err)
{
    struct gateway *gw = u->gw;
    enum error_code code;
    size_t room;

    (void)more;
    pthread_mutex_lock(&gw->lock);
    code = u->bytes + len > gw->script.append_after ? gw->script.append : ERR_NONE;
    room = u->bytes < sizeof gw->seen.body - 1 ? sizeof gw->seen.body - 1 - u->bytes : 0;
    memcpy(gw->seen.body + (room ? u->bytes : 0), data, len < room ? len : room);
    u->bytes += len;
    gw->seen.bytes = u->bytes;
    pthread_mutex_unlock(&gw->lock);
    return code == ERR_NONE || error_set(err, code, "scripted %s", error_name(code));
}

const char *gateway_upload_id(const struct upload *u)
{
    return u->id;
}

static struct record *record_of(const struct upload *u, const struct submission *s)
{
    struct record *r = record_new();

    assert(r);
    memcpy(r->id, u->id, ID_SIZE);
    r->state = TRANSFER_QUEUED;
    r->mode = u->mode;
    r->size = r->received = u->bytes;
    r->created = r->updated = clock_wall_ms();
    r->expires = r->created + 1000;
    r->max_rounds = 5;
    record_text(&r->to, s->to->text);
    record_text(&r->name, s->name ? s->name : "upload.bin");
    record_text(&r->type, s->type ? s->type : "application/octet-stream");
    record_text(&r->caption, s->caption);
    record_text(&r->request_id, s->request_id);
    record_text(&r->traceparent, s->traceparent);
    record_text(&r->token, s->token);
    return r;
}

static void end_record(struct record *r, enum transfer_state state, enum error_code code);

void gateway_upload_open(struct upload *u, gateway_record_fn *done, void *user)
{
    struct gateway *gw = u->gw;
    struct jid to = {.text = "ana@example.org"};
    struct answer *a;

    pthread_mutex_lock(&gw->lock);
    a = answer_new(user, ERR_NONE);
    a->record_fn = done;
    a->record = record_of(u, &(struct submission){.to = &to});
    a->record->state = TRANSFER_TRANSFERRING;
    if (gw->script.open != ERR_NONE)
        end_record(a->record, TRANSFER_FAILED, gw->script.open);
    answer_post(gw, a);
    pthread_mutex_unlock(&gw->lock);
}

bool gateway_upload_room(const struct upload *u, size_t len)
{
    bool room;

    pthread_mutex_lock(&u->gw->lock);
    room = u->gw->script.room == 0 || u->bytes + len <= u->gw->script.room;
    pthread_mutex_unlock(&u->gw->lock);
    return room;
}

void gateway_upload_await_room(struct upload *u, size_t len, void (*call)(void *user), void *user)
{
    struct gateway *gw = u->gw;

    (void)len;
    pthread_mutex_lock(&gw->lock);
    assert(!gw->wake);
    gw->wake = call;
    gw->wake_user = user;
    gw->seen.full++;
    pthread_cond_broadcast(&gw->changed);
    pthread_mutex_unlock(&gw->lock);
}

void gateway_upload_finish(struct upload **u, const struct submission *s, gateway_record_fn *done, void *user)
{
    struct gateway *gw = (*u)->gw;
    struct answer *a;

    pthread_mutex_lock(&gw->lock);
    gw->seen.finished++;
    see_submission(&gw->seen, s);
    a = answer_new(user, gw->script.commit);
    a->record_fn = done;
    if (gw->script.commit == ERR_NONE) {
        assert(gw->count < RECORDS);
        gw->records[gw->count] = record_of(*u, s);
        if ((*u)->mode == MODE_STREAM)
            end_record(gw->records[gw->count], gw->script.ends, gw->script.end_error);
        if ((*u)->key)
            gw->keys[gw->count] = (*u)->key->key;
        gw->count++;
        a->record = record_copy(gw->records[gw->count - 1]);
    }
    answer_post(gw, a);
    pthread_mutex_unlock(&gw->lock);
    gateway_release(&(*u)->key);
    free(*u);
    *u = NULL;
}

static struct record *record_in_parcel(const struct parcel *p, size_t file, size_t recipient)
{
    struct submission s = p->what[file];
    size_t at = file * p->recipients + recipient;
    char batch[ID_SIZE];
    struct record *r;

    s.to = p->to[recipient];
    r = record_of(p->uploads[file], &s);
    memcpy(r->id, p->ids[at], ID_SIZE);
    snprintf(batch, sizeof batch, "ba%s", p->ids[0] + 2);
    if (p->files * p->recipients > 1)
        record_text(&r->batch, batch);
    r->batch_place = (unsigned)at;
    return r;
}

bool gateway_url_check(const struct gateway *gw, const char *url, struct error *err)
{
    (void)gw;
    return strncmp(url, "https://", 8) == 0 || error_set(err, ERR_SOURCE_REFUSED, "scripted source_refused");
}

bool gateway_path_check(const struct gateway *gw, const char *path, struct error *err)
{
    (void)gw;
    return strncmp(path, "/srv/", 5) == 0 || error_set(err, ERR_SOURCE_REFUSED, "scripted source_refused");
}

void gateway_parcel_finish(struct gateway *gw, const struct parcel *p, gateway_list_fn *done, void *user)
{
    struct answer *a;

    pthread_mutex_lock(&gw->lock);
    gw->seen.finished++;
    gw->seen.files = p->files;
    gw->seen.recipients = p->recipients;
    for (size_t i = 0; i < p->files; i++) {
        struct submission s = p->what[i];

        s.to = p->to[p->recipients - 1];
        see_submission(&gw->seen, &s);
    }
    copy_text(gw->seen.path, sizeof gw->seen.path, p->path);
    copy_text(gw->seen.labels, sizeof gw->seen.labels, p->what[0].labels);
    a = answer_new(user, gw->script.commit);
    a->list_fn = done;
    if (gw->script.commit == ERR_NONE) {
        assert(gw->count + p->files * p->recipients <= RECORDS);
        a->list.items = calloc(p->files * p->recipients, sizeof *a->list.items);
        if (p->uploads[0]->key)
            gw->keys[gw->count] = p->uploads[0]->key->key;
        for (size_t i = 0; i < p->files * p->recipients; i++) {
            gw->records[gw->count] = record_in_parcel(p, i / p->recipients, i % p->recipients);
            a->list.items[a->list.count++] = record_copy(gw->records[gw->count++]);
        }
    }
    answer_post(gw, a);
    pthread_mutex_unlock(&gw->lock);
    for (size_t i = 0; i < p->files; i++) {
        gateway_release(&p->uploads[i]->key);
        free(p->uploads[i]);
        p->uploads[i] = NULL;
    }
}

void gateway_upload_abort(struct upload **u, const struct error *why)
{
    struct gateway *gw = (*u)->gw;

    (void)why;
    wake(gw);
    pthread_mutex_lock(&gw->lock);
    gw->seen.aborted++;
    pthread_cond_broadcast(&gw->changed);
    pthread_mutex_unlock(&gw->lock);
    gateway_release(&(*u)->key);
    free(*u);
    *u = NULL;
}

void gateway_release(struct reservation **r)
{
    if (!*r)
        return;
    pthread_mutex_lock(&(*r)->gw->lock);
    (*r)->gw->seen.released++;
    pthread_mutex_unlock(&(*r)->gw->lock);
    free(*r);
    *r = NULL;
}

static struct record *made_by(struct gateway *gw, const struct record_key *key)
{
    for (size_t i = 0; i < gw->count; i++)
        if (strcmp(gw->keys[i].text, key->text) == 0)
            return record_copy(gw->records[i]);
    return NULL;
}

void gateway_reserve(struct gateway *gw, const struct record_key *key, gateway_reserve_fn *done, void *user)
{
    struct answer *a;

    pthread_mutex_lock(&gw->lock);
    gw->seen.key = *key;
    a = answer_new(user, gw->script.reserve);
    a->reserve_fn = done;
    if (a->error.code == ERR_NONE)
        a->record = made_by(gw, key);
    if (a->error.code == ERR_NONE && !a->record) {
        a->mine = calloc(1, sizeof *a->mine);
        assert(a->mine);
        *a->mine = (struct reservation){.gw = gw, .key = *key};
        gw->seen.reserved++;
    }
    answer_post(gw, a);
    pthread_mutex_unlock(&gw->lock);
}

static void end_record(struct record *r, enum transfer_state state, enum error_code code)
{
    struct error error;

    if (transfer_state_final(r->state))
        return;
    r->state = state;
    r->updated++;
    if (!transfer_state_final(state))
        return;
    r->finished = r->updated;
    if (state == TRANSFER_DELIVERED) {
        r->proof = PROOF_PEER_CLOSED;
        r->sent = r->size;
    } else if (code != ERR_NONE) {
        r->error_stage = STAGE_OFFER;
        error_set(&error, code, "scripted %s", error_name(code));
        record_fail(r, &error);
    }
}

enum act { ACT_GET, ACT_WAIT, ACT_CANCEL, ACT_RETRY };

static void ask(struct gateway *gw, enum act act, const char *id, int64_t wait_ms, gateway_record_fn *done, void *user)
{
    struct answer *a;
    struct record *r;

    pthread_mutex_lock(&gw->lock);
    r = find(gw, id);
    a = answer_new(user, r ? ERR_NONE : ERR_NOT_FOUND);
    a->record_fn = done;
    if (act == ACT_WAIT) {
        gw->seen.waits++;
        gw->seen.wait_ms = wait_ms;
    }
    gw->seen.cancelled += act == ACT_CANCEL;
    if (r && act == ACT_WAIT)
        end_record(r, gw->script.ends, gw->script.end_error);
    if (r && act == ACT_CANCEL)
        end_record(r, TRANSFER_CANCELLED, ERR_CANCELLED);
    if (r && act == ACT_RETRY && r->state != TRANSFER_FAILED)
        error_set(&a->error, ERR_STATE_CONFLICT, "not failed");
    else if (r && act == ACT_RETRY)
        r->state = TRANSFER_QUEUED;
    a->record = r && a->error.code == ERR_NONE ? record_copy(r) : NULL;
    answer_post(gw, a);
    pthread_mutex_unlock(&gw->lock);
}

void gateway_get(struct gateway *gw, const char *id, gateway_record_fn *done, void *user)
{
    ask(gw, ACT_GET, id, 0, done, user);
}

void gateway_wait(struct gateway *gw, const char *id, int64_t wait_ms, gateway_record_fn *done, void *user)
{
    ask(gw, ACT_WAIT, id, wait_ms, done, user);
}

struct record_stamp record_stamp(const struct record *r)
{
    return (struct record_stamp){.updated = r->updated, .state = r->state, .sent = r->sent};
}

void gateway_wait_change(struct gateway *gw, const char *id, const struct record_stamp *was, int64_t wait_ms,
                         gateway_record_fn *done, void *user)
{
    (void)was;
    ask(gw, ACT_WAIT, id, wait_ms, done, user);
}

void gateway_retry(struct gateway *gw, const char *id, gateway_record_fn *done, void *user)
{
    ask(gw, ACT_RETRY, id, 0, done, user);
}

bool gateway_under_way(struct gateway *gw, const char *id)
{
    const struct record *r;
    bool live;

    pthread_mutex_lock(&gw->lock);
    r = find(gw, id);
    live = r && !transfer_state_final(r->state);
    pthread_mutex_unlock(&gw->lock);
    return live;
}

bool gateway_live(struct gateway *gw, const char *id)
{
    return gateway_under_way(gw, id);
}

/* It has one webhook, "ci", and no delivery. */
static bool is_hook(const char *name, struct error *err)
{
    return strcmp(name, "ci") == 0 || error_set(err, ERR_NOT_FOUND, "there is no webhook '%s'", name);
}

void gateway_hooks(struct gateway *gw, gateway_hooks_fn *done, void *user)
{
    struct gateway_hooks hooks = {.items = calloc(1, sizeof *hooks.items), .count = 1};
    struct gateway_hook *h = hooks.items;

    (void)gw;
    assert(h);
    strcpy(h->name, "ci");
    h->url = strdup("https://ci.example.org/hook");
    h->events = strdup("transfer.*, xmpp.connected");
    h->on = true;
    h->backlog = 3;
    done(user, &hooks, NULL);
    gateway_hooks_free(&hooks);
}

void gateway_hook_test(struct gateway *gw, const char *name, gateway_hook_test_fn *done, void *user)
{
    struct gateway_hook_test test = {
        .id = "wd_00000000000000000000000001", .status = 500, .took_ms = 4, .why = "answered 500"};
    struct error err;

    (void)gw;
    if (is_hook(name, &err))
        done(user, &test, NULL);
    else
        done(user, NULL, &err);
}

void gateway_deliveries(struct gateway *gw, const struct delivery_filter *filter, gateway_deliveries_fn *done,
                        void *user)
{
    struct delivery_list none = {0};
    struct error err;

    (void)gw;
    done(user, &none, is_hook(filter->endpoint, &err) ? NULL : &err);
}

void gateway_redeliver(struct gateway *gw, const char *name, const char *id, gateway_deliveries_fn *done, void *user)
{
    struct delivery_list none = {0};
    struct error err;

    (void)gw;
    if (is_hook(name, &err))
        error_set(&err, ERR_NOT_FOUND, "there is no delivery %s", id);
    done(user, &none, &err);
}

void gateway_cancel(struct gateway *gw, const char *id, gateway_record_fn *done, void *user)
{
    ask(gw, ACT_CANCEL, id, 0, done, user);
}

/* Newest first, from before the cursor. */
void gateway_list(struct gateway *gw, const struct record_filter *filter, gateway_list_fn *done, void *user)
{
    struct answer *a = answer_new(user, ERR_NONE);

    a->list_fn = done;
    a->list.items = calloc(RECORDS, sizeof *a->list.items);
    pthread_mutex_lock(&gw->lock);
    gw->seen.filter = *filter;
    copy_text(gw->seen.filter_to, sizeof gw->seen.filter_to, filter->to);
    copy_text(gw->seen.filter_before, sizeof gw->seen.filter_before, filter->before);
    copy_text(gw->seen.filter_token, sizeof gw->seen.filter_token, filter->token);
    for (size_t i = gw->count; i-- > 0;) {
        if (filter->before && strcmp(gw->records[i]->id, filter->before) >= 0)
            continue;
        if (filter->token && (!gw->records[i]->token || strcmp(gw->records[i]->token, filter->token) != 0))
            continue;
        if (filter->batch && (!gw->records[i]->batch || strcmp(gw->records[i]->batch, filter->batch) != 0))
            continue;
        if (a->list.count == filter->limit) {
            a->list.more = true;
            break;
        }
        a->list.items[a->list.count++] = record_copy(gw->records[i]);
    }
    answer_post(gw, a);
    pthread_mutex_unlock(&gw->lock);
}

static char **names(const char *const *from, size_t n)
{
    char **out = calloc(n + 1, sizeof *out);

    for (size_t i = 0; i < n; i++)
        out[i] = strdup(from[i]);
    return out;
}

bool gateway_methods_check(struct gateway *gw, const char *methods, struct error *err)
{
    (void)gw;
    return strcmp(methods, "smoke") != 0 || error_set(err, ERR_PARAMETER_INVALID, "methods: 'smoke' is none");
}

void gateway_find(struct gateway *gw, const struct jid *to, const char *methods, uint64_t size,
                  gateway_recipient_fn *done, void *user)
{
    static const char *const features[] = {"http://jabber.org/protocol/si", "http://jabber.org/protocol/bytestreams"};
    struct candidate_resource *c;
    struct answer *a;

    pthread_mutex_lock(&gw->lock);
    a = answer_new(user, gw->script.find);
    a->recipient_fn = done;
    copy_text(gw->seen.find_methods, sizeof gw->seen.find_methods, methods);
    gw->seen.find_size = size;
    a->ladder = calloc(1, sizeof *a->ladder);
    a->ladder->count = 1;
    a->ladder->rungs[0].method = "si-s5b";
    if (gw->script.find == ERR_NONE) {
        c = calloc(1, sizeof *c);
        jid_copy(&c->jid, to);
        c->priority = 5;
        c->answered = true;
        c->methods[0] = "si-s5b";
        c->features = names(features, 2);
        a->recipient = (struct recipient){.asked = *to, .subscribed = true, .resources = c, .count = 1};
    }
    answer_post(gw, a);
    pthread_mutex_unlock(&gw->lock);
}

void download_free(struct download *d)
{
    fd_close(&d->fd);
    free(d->type);
    d->type = NULL;
}

static void give_file(struct download *d, const char *text)
{
    id_make(d->id, "tr", 1000);
    d->fd = memfd_create("download", MFD_CLOEXEC);
    assert(d->fd >= 0);
    d->size = strlen(text);
    if (write(d->fd, text, d->size) != (ssize_t)d->size)
        abort();
    d->type = strdup(strstr(text, "<html>") ? "text/html" : "text/plain; charset=utf-8");
    snprintf(d->tag, sizeof d->tag, "00112233445566778899aabbccddeeff");
    d->modified = 784111777000;
}

void gateway_download(struct gateway *gw, const char *secret, const char *name, gateway_download_fn *done, void *user)
{
    struct answer *a;
    bool there;

    pthread_mutex_lock(&gw->lock);
    there = gw->script.file && strspn(secret, "a") == 32 && strlen(secret) == 32 && strcmp(name, "a.txt") == 0;
    a = answer_new(user, there ? gw->script.fetch : ERR_NOT_FOUND);
    a->download_fn = done;
    if (a->error.code == ERR_NONE)
        give_file(&a->download, gw->script.file);
    answer_post(gw, a);
    pthread_mutex_unlock(&gw->lock);
}

void gateway_downloaded(struct gateway *gw, const char *id, uint64_t from, uint64_t to)
{
    assert(id_valid(id, "tr"));
    (void)id;
    pthread_mutex_lock(&gw->lock);
    gw->seen.fetches++;
    gw->seen.fetch_from = from;
    gw->seen.fetch_to = to;
    pthread_cond_broadcast(&gw->changed);
    pthread_mutex_unlock(&gw->lock);
}

/* ---- the inbox */

void fake_gateway_receive(struct gateway *gw, struct inbox_item *item, const char *content)
{
    struct inbox_item *kept;

    pthread_mutex_lock(&gw->lock);
    assert(gw->item_count < RECORDS);
    id_make(item->id, "in", 1000 + (long long)gw->item_count);
    kept = inbox_item_copy(item);
    assert(kept);
    gw->items[gw->item_count] = kept;
    gw->contents[gw->item_count++] = strdup(content);
    pthread_mutex_unlock(&gw->lock);
    if (item->state == INBOX_RECEIVED)
        events_publish(gw->events, &(struct event){.type = EVENT_INBOX_RECEIVED, .item = item});
}

static bool is_from(const struct inbox_item *item, const char *bare)
{
    size_t len = strlen(bare);

    return strncmp(item->from, bare, len) == 0 && (!item->from[len] || item->from[len] == '/');
}

static bool is_listed(const struct inbox_item *item, const struct inbox_filter *f)
{
    return (f->states == 0 || f->states & 1u << item->state) && (!f->from || is_from(item, f->from)) &&
           (!f->to || strcmp(item->to, f->to) == 0) && token_globs_allow(f->allow_to, item->to) &&
           (!f->before || strcmp(item->id, f->before) < 0) && (!f->after || strcmp(item->id, f->after) > 0) &&
           item->created >= f->since;
}

void gateway_inbox_list(struct gateway *gw, const struct inbox_filter *filter, gateway_inbox_list_fn *done, void *user)
{
    struct answer *a;

    pthread_mutex_lock(&gw->lock);
    a = answer_new(user, gw->script.inbox);
    a->inbox_list_fn = done;
    a->items.items = calloc(RECORDS, sizeof *a->items.items);
    gw->seen.inbox_asked++;
    gw->seen.inbox = *filter;
    copy_text(gw->seen.inbox_from, sizeof gw->seen.inbox_from, filter->from);
    copy_text(gw->seen.inbox_to, sizeof gw->seen.inbox_to, filter->to);
    for (size_t i = gw->item_count; i-- > 0;) {
        if (!is_listed(gw->items[i], filter))
            continue;
        if (a->items.count == filter->limit) {
            a->items.more = true;
            break;
        }
        a->items.items[a->items.count++] = inbox_item_copy(gw->items[i]);
    }
    answer_post(gw, a);
    pthread_mutex_unlock(&gw->lock);
}

/* Under the lock. */
static struct answer *about_item(struct gateway *gw, const char *id, size_t *i, void *user)
{
    struct answer *a = answer_new(user, gw->script.inbox);

    for (*i = 0; *i < gw->item_count && strcmp(gw->items[*i]->id, id) != 0; ++*i)
        ;
    if (a->error.code == ERR_NONE && *i == gw->item_count)
        error_set(&a->error, ERR_NOT_FOUND, "there is no such file");
    if (a->error.code == ERR_NONE)
        a->item = inbox_item_copy(gw->items[*i]);
    return a;
}

void gateway_inbox_get(struct gateway *gw, const char *id, gateway_inbox_fn *done, void *user)
{
    struct answer *a;
    size_t i;

    pthread_mutex_lock(&gw->lock);
    a = about_item(gw, id, &i, user);
    a->inbox_fn = done;
    answer_post(gw, a);
    pthread_mutex_unlock(&gw->lock);
}

void gateway_inbox_open(struct gateway *gw, const char *id, gateway_inbox_open_fn *done, void *user)
{
    struct answer *a;
    size_t i;

    pthread_mutex_lock(&gw->lock);
    a = about_item(gw, id, &i, user);
    a->inbox_open_fn = done;
    if (a->item && a->item->state != INBOX_RECEIVED) {
        inbox_item_free(&a->item);
        error_set(&a->error, ERR_STATE_CONFLICT, "it is not all here");
    } else if (a->item) {
        give_file(&a->download, gw->contents[i]);
    }
    answer_post(gw, a);
    pthread_mutex_unlock(&gw->lock);
}

void gateway_inbox_delete(struct gateway *gw, const char *id, gateway_inbox_fn *done, void *user)
{
    struct answer *a;
    size_t i;

    pthread_mutex_lock(&gw->lock);
    a = about_item(gw, id, &i, user);
    a->inbox_fn = done;
    if (a->item) {
        inbox_item_free(&gw->items[i]);
        free(gw->contents[i]);
        gw->item_count--;
        memmove(&gw->items[i], &gw->items[i + 1], (gw->item_count - i) * sizeof *gw->items);
        memmove(&gw->contents[i], &gw->contents[i + 1], (gw->item_count - i) * sizeof *gw->contents);
    }
    answer_post(gw, a);
    pthread_mutex_unlock(&gw->lock);
}

/* ---- uploads in parts: there are none here; the real ones are in tests/e2e/test_tus.py */

struct partial *gateway_partial_begin(struct gateway *gw, const struct partial_info *what, struct error *err)
{
    (void)gw;
    (void)what;
    error_set(err, ERR_SPOOL_FULL, "no uploads in parts");
    return NULL;
}

struct partial *gateway_partial_hold(struct gateway *gw, const char *id, const char *token, struct error *err)
{
    (void)gw;
    (void)id;
    (void)token;
    error_set(err, ERR_NOT_FOUND, "there is no upload of that id");
    return NULL;
}

const struct partial_info *gateway_partial_info(const struct partial *p)
{
    (void)p;
    abort();
}

bool gateway_partial_declare(struct partial *p, uint64_t length, struct error *err)
{
    (void)p;
    (void)length;
    (void)err;
    abort();
}

bool gateway_partial_open(struct partial *p, bool checked, struct error *err)
{
    (void)p;
    (void)checked;
    (void)err;
    abort();
}

bool gateway_partial_append(struct partial *p, const void *data, size_t len, bool more, struct error *err)
{
    (void)p;
    (void)data;
    (void)len;
    (void)more;
    (void)err;
    abort();
}

char (*gateway_partials_whole(struct gateway *gw, size_t *count))[ID_SIZE]
{
    (void)gw;
    *count = 0;
    return NULL;
}

void gateway_partial_release(struct partial **p)
{
    (void)p; /* nothing is ever held here, and without assertions nobody would look */
    assert(!*p);
}

void gateway_partial_settle(struct partial **p, gateway_partial_fn *done, void *user)
{
    (void)p;
    (void)done;
    (void)user;
    abort();
}

struct upload *gateway_partial_upload(struct partial **p, struct error *err)
{
    (void)p;
    (void)err;
    abort();
}

void gateway_partial_end(struct partial **p)
{
    (void)p;
    abort();
}

bool gateway_partial_transfer(const char *id, char transfer[static ID_SIZE])
{
    if (!id_valid(id, "up"))
        return false;
    memcpy(transfer, id, ID_SIZE);
    memcpy(transfer, "tr", 2);
    return true;
}

void gateway_view(struct gateway *gw, struct gateway_view *out)
{
    memset(out, 0, sizeof *out);
    pthread_mutex_lock(&gw->lock);
    out->ready = !gw->script.not_ready;
    out->relays = gw->script.relays;
    pthread_mutex_unlock(&gw->lock);
    out->network.state = out->ready ? NETWORK_ONLINE : NETWORK_CONNECTING;
    out->network.since = 1000;
    copy_text(out->network.jid, sizeof out->network.jid, "gateway@example.org/jidpost");
    copy_text(out->network.advice, sizeof out->network.advice, out->ready ? "" : "the server is away");
    out->network.proxy_count = 1;
    copy_text(out->network.proxies[0].jid, sizeof out->network.proxies[0].jid, "proxy.example.org");
    out->spool.max_bytes = gw->config->spool.max_bytes;
    out->spool.max_file = gw->config->spool.max_file;
    out->store_writable = true;
    if (out->relays)
        out->relayed = (struct relay_counts){.streams = 1, .parked = 2};
}

bool gateway_relay_view(struct gateway *gw, struct relay_view *out)
{
    bool relays;

    pthread_mutex_lock(&gw->lock);
    relays = gw->script.relays;
    pthread_mutex_unlock(&gw->lock);
    *out = (struct relay_view){0};
    if (!relays)
        return true;
    out->sessions = calloc(1, sizeof *out->sessions);
    assert(out->sessions);
    out->count = 1;
    out->sessions[0] = (struct relay_session){.id = 17,
                                              .requester = strdup("romeo@example.org/orchard"),
                                              .target = strdup("ana@example.org/desk"),
                                              .since = 1000,
                                              .forth = 8,
                                              .back = 7};
    out->parked = 2;
    out->streams = 3;
    out->bytes = 40;
    out->refused[ERR_PROXY_REFUSED] = 2;
    return true;
}

void gateway_census(struct gateway *gw, struct gateway_census *out)
{
    (void)gw;
    *out = (struct gateway_census){.oldest_ms = 1500};
    out->transfers[TRANSFER_QUEUED] = 2;
}

int64_t gateway_heartbeat_age(struct gateway *gw)
{
    (void)gw;
    return 0;
}

const char *const *gateway_method_names(struct gateway *gw)
{
    static const char *const methods[] = {"si-s5b", "s5b", NULL};

    (void)gw;
    return methods;
}
