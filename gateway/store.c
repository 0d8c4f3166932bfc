/* gateway/store.c - the queue, the one writer with its group commit, and the readers' handles; see store.h. */
#include "gateway/store.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/trace.h"

enum {
    BATCH = 512,    /* entries of one transaction: bounds how long the first of them waits */
    READERS = 4,    /* handles kept open between reads; as many as libuv's pool has threads */
    QUIET_MS = 1000 /* with nothing to write for so long: housekeeping, or a probe */
};

static const struct store_ops *const engines[] = {&store_sqlite};

/* Something to write: a record or a group of them, a key, deliveries, some of these; a file that was sent to us; or
 * times before which to forget. */
struct entry {
    struct entry *next;
    struct record *record;
    struct record **group; /* NULL: none */
    size_t group_count;
    struct record_key *key;
    struct delivery *deliveries;
    struct inbox_item *item;
    char dropped[ID_SIZE]; /* that item; empty: none */
    int64_t finished_before, used_before;
    store_done_fn *done; /* may be NULL */
    void *user;
    /* the writer's */
    size_t place;              /* in its batch */
    struct entry *replaced_by; /* a later put of the same id; its outcome is ours */
    struct error error;        /* ERR_NONE: written */
};

struct batch {
    struct entry *entries[BATCH];
    size_t count;
};

struct store {
    const struct store_ops *ops;
    char *url;
    atomic_bool writable;

    pthread_t thread;
    struct store_handle *writer; /* the writer thread's */
    bool unsettled;              /* the writer thread's: has written since the last housekeeping */

    pthread_mutex_t queue_lock; /* over the next four */
    pthread_cond_t wake;
    struct entry *first, **end;
    bool closing;

    pthread_mutex_t readers_lock; /* over the next two */
    struct store_handle *readers[READERS];
    size_t reader_count;
};

void record_list_free(struct record_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        record_free(&list->items[i]);
    free(list->items);
    *list = (struct record_list){0};
}

/* ---- the queue */

static void enqueue(struct store *store, struct entry *e)
{
    pthread_mutex_lock(&store->queue_lock);
    assert(!store->closing);
    *store->end = e;
    store->end = &e->next;
    pthread_cond_signal(&store->wake);
    pthread_mutex_unlock(&store->queue_lock);
}

/* NULL: out of memory. */
static struct entry *make_entry(const struct record_key *key, store_done_fn *done, void *user)
{
    struct entry *e = calloc(1, sizeof *e);

    if (e && key)
        e->key = malloc(sizeof *key);
    if (!e || (key && !e->key)) {
        free(e);
        return NULL;
    }
    if (key)
        *e->key = *key;
    e->done = done;
    e->user = user;
    return e;
}

/* Who waits is told of an entry that was not even made. */
static void refuse(const char *id, const char *traceparent, store_done_fn *done, void *user)
{
    char trace[TRACE_ID];
    struct error err;

    error_set(&err, ERR_STORE_UNAVAILABLE, "store: out of memory");
    if (done)
        done(user, &err);
    else
        log_error("store.write_failed", log_str("transfer", id), log_str("error", err.text),
                  log_opt("trace_id", trace_id(traceparent, trace)));
}

void store_put_told(struct store *store, struct record *r, const struct record_key *key, struct delivery *list,
                    store_done_fn *done, void *user)
{
    struct entry *e = make_entry(key, done, user);

    if (!e) {
        refuse(r ? r->id : key ? key->id : list->transfer, r ? r->traceparent : NULL, done, user);
        record_free(&r);
        delivery_free_all(&list);
        return;
    }
    e->record = r;
    e->deliveries = list;
    enqueue(store, e);
}

void store_put_keyed(struct store *store, struct record *r, const struct record_key *key, store_done_fn *done,
                     void *user)
{
    store_put_told(store, r, key, NULL, done, user);
}

void store_put_group(struct store *store, struct record **records, size_t count, const struct record_key *key,
                     store_done_fn *done, void *user)
{
    struct record **group = malloc(count * sizeof(struct record *));
    struct entry *e = group ? make_entry(key, done, user) : NULL;

    if (!e) {
        refuse(records[0]->id, records[0]->traceparent, done, user);
        for (size_t i = 0; i < count; i++)
            record_free(&records[i]);
        free(group);
        return;
    }
    memcpy(group, records, count * sizeof(struct record *));
    e->group = group;
    e->group_count = count;
    enqueue(store, e);
}

void store_put(struct store *store, struct record *r, store_done_fn *done, void *user)
{
    store_put_keyed(store, r, NULL, done, user);
}

void store_put_item(struct store *store, struct inbox_item *item, struct delivery *list, store_done_fn *done,
                    void *user)
{
    struct entry *e = make_entry(NULL, done, user);

    if (!e) {
        refuse(item->id, NULL, done, user);
        inbox_item_free(&item);
        delivery_free_all(&list);
        return;
    }
    e->item = item;
    e->deliveries = list;
    enqueue(store, e);
}

void store_drop_item(struct store *store, const char *id, store_done_fn *done, void *user)
{
    struct entry *e = make_entry(NULL, done, user);

    if (!e) {
        refuse(id, NULL, done, user);
        return;
    }
    memcpy(e->dropped, id, ID_SIZE);
    enqueue(store, e);
}

void store_forget(struct store *store, int64_t finished_before, int64_t used_before)
{
    struct entry *e = calloc(1, sizeof *e);

    if (!e)
        return; /* the next call will find the same records, and more */
    e->finished_before = finished_before;
    e->used_before = used_before;
    enqueue(store, e);
}

static struct timespec after_quiet(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += QUIET_MS / 1000;
    t.tv_nsec += QUIET_MS % 1000 * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_nsec -= 1000000000L;
        t.tv_sec++;
    }
    return t;
}

/* Waits for work and takes all of it, up to a batch. An empty batch: it has been quiet. false: closed, and nothing is
 * left. */
static bool take(struct store *store, struct batch *batch)
{
    bool restless = store->unsettled || !atomic_load(&store->writable);
    const struct timespec quiet = after_quiet();
    bool open;
    int rc = 0;

    batch->count = 0;
    pthread_mutex_lock(&store->queue_lock);
    while (!store->first && !store->closing && rc != ETIMEDOUT)
        rc = restless ? pthread_cond_timedwait(&store->wake, &store->queue_lock, &quiet)
                      : pthread_cond_wait(&store->wake, &store->queue_lock);
    while (store->first && batch->count < BATCH) {
        struct entry *e = store->first;

        store->first = e->next;
        e->place = batch->count;
        batch->entries[batch->count++] = e;
    }
    if (!store->first)
        store->end = &store->first;
    open = batch->count > 0 || !store->closing;
    pthread_mutex_unlock(&store->queue_lock);
    return open;
}

/* ---- one batch, one transaction */

static int by_id_and_place(const void *a, const void *b)
{
    const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;
    int order = strcmp(x->record->id, y->record->id);

    return order ? order : x->place < y->place ? -1 : 1;
}

/* A key that comes with a record that is not written itself goes with the one that is. */
static void pass_key(struct entry *from, struct entry *to)
{
    if (!from->key || to->key)
        return;
    to->key = from->key;
    from->key = NULL;
}

/* So do the deliveries, before those it has itself. */
static void pass_deliveries(struct entry *from, struct entry *to)
{
    struct delivery **end = &from->deliveries;

    while (*end)
        end = &(*end)->next;
    *end = to->deliveries;
    to->deliveries = from->deliveries;
    from->deliveries = NULL;
}

/* Of several puts of one id only the last is written. */
static void mark_replaced(struct batch *batch)
{
    struct entry *puts[BATCH];
    size_t n = 0;

    for (size_t i = 0; i < batch->count; i++) {
        if (batch->entries[i]->record)
            puts[n++] = batch->entries[i];
    }
    qsort(puts, n, sizeof *puts, by_id_and_place);
    for (size_t i = n; i-- > 1;) {
        struct entry *last = puts[i]->replaced_by ? puts[i]->replaced_by : puts[i];

        if (strcmp(puts[i - 1]->record->id, last->record->id) != 0)
            continue;
        puts[i - 1]->replaced_by = last;
        pass_key(puts[i - 1], last);
        pass_deliveries(puts[i - 1], last);
    }
}

enum outcome { WRITTEN, REFUSED, NOT_EVEN_BEGUN };

static bool write_entry(struct store *store, const struct entry *e, struct error *err)
{
    if (*e->dropped)
        return store->ops->drop_item(store->writer, e->dropped, err);
    if (!e->record && !e->key && !e->group && !e->deliveries && !e->item)
        return store->ops->forget(store->writer, e->finished_before, e->used_before, err);
    if (e->record && !store->ops->put(store->writer, e->record, err))
        return false;
    if (e->item && !store->ops->put_item(store->writer, e->item, err))
        return false;
    for (size_t i = 0; e->group && i < e->group_count; i++)
        if (!store->ops->put(store->writer, e->group[i], err))
            return false;
    for (const struct delivery *d = e->deliveries; d; d = d->next)
        if (!store->ops->put_delivery(store->writer, d, err))
            return false;
    return !e->key || store->ops->put_key(store->writer, e->key, err);
}

static enum outcome write_transaction(struct store *store, struct entry *const *entries, size_t count,
                                      struct error *err)
{
    int64_t began = clock_us();

    if (!store->ops->begin(store->writer, err))
        return NOT_EVEN_BEGUN;
    for (size_t i = 0; i < count; i++) {
        if (!entries[i]->replaced_by && !write_entry(store, entries[i], err))
            goto failed;
    }
    if (!store->ops->commit(store->writer, err))
        goto failed;
    metric_observe(METRIC_STORE_OP_DURATION, clock_us() - began, "write");
    return WRITTEN;
failed:
    store->ops->rollback(store->writer);
    return REFUSED;
}

/* Each by itself, so that one bad record cannot fail the others. Whether anything was written. */
static bool write_one_by_one(struct store *store, struct batch *batch)
{
    struct error begin = {0};
    bool any = false;

    for (size_t i = 0; i < batch->count; i++) {
        struct entry *e = batch->entries[i];

        if (e->replaced_by)
            continue;
        if (begin.code != ERR_NONE) { /* waiting for the database once is enough */
            e->error = begin;
            continue;
        }
        switch (write_transaction(store, &e, 1, &e->error)) {
        case WRITTEN:
            any = true;
            break;
        case REFUSED:
            break;
        case NOT_EVEN_BEGUN:
            begin = e->error;
            break;
        }
    }
    return any;
}

static void set_writable(struct store *store, bool writable)
{
    if (atomic_exchange(&store->writable, writable) != writable && writable)
        log_info("store.recovered", log_str("engine", store->ops->scheme));
}

static void answer(struct entry *e)
{
    const struct error *error = e->replaced_by ? &e->replaced_by->error : &e->error;
    bool failed = error->code != ERR_NONE;
    char trace[TRACE_ID];

    if (e->done)
        e->done(e->user, failed ? error : NULL);
    else if (failed)
        log_error("store.write_failed", log_str("transfer", e->record ? e->record->id : NULL),
                  log_str("error", error->text),
                  log_opt("trace_id", trace_id(e->record ? e->record->traceparent : NULL, trace)));
}

static void write_batch(struct store *store, struct batch *batch)
{
    bool written;
    struct error err;

    mark_replaced(batch);
    written = write_transaction(store, batch->entries, batch->count, &err) == WRITTEN;
    if (!written) {
        log_warn("store.batch_failed", log_int("entries", (int64_t)batch->count), log_str("error", err.text));
        written = write_one_by_one(store, batch);
    }
    set_writable(store, written);
    store->unsettled = true;
    for (size_t i = 0; i < batch->count; i++)
        answer(batch->entries[i]);
    for (size_t i = 0; i < batch->count; i++) { /* not before: an answer may be another entry's */
        record_free(&batch->entries[i]->record);
        for (size_t k = 0; k < batch->entries[i]->group_count; k++)
            record_free(&batch->entries[i]->group[k]);
        free(batch->entries[i]->group);
        free(batch->entries[i]->key);
        delivery_free_all(&batch->entries[i]->deliveries);
        inbox_item_free(&batch->entries[i]->item);
        free(batch->entries[i]);
    }
}

static void in_quiet(struct store *store)
{
    struct error err;

    if (!atomic_load(&store->writable)) {
        set_writable(store, store->ops->probe(store->writer, &err));
    } else {
        store->ops->idle(store->writer);
        store->unsettled = false;
    }
}

static void *write_on(void *user)
{
    struct store *store = user;
    struct batch batch;

    while (take(store, &batch)) {
        if (batch.count > 0)
            write_batch(store, &batch);
        else
            in_quiet(store);
    }
    return NULL;
}

bool store_writable(struct store *store)
{
    return atomic_load(&store->writable);
}

/* ---- open and close */

struct store *store_open(const char *url, struct error *err)
{
    const char *end = strstr(url, "://");
    size_t len = end ? (size_t)(end - url) : 0;

    for (size_t i = 0; i < sizeof engines / sizeof *engines; i++) {
        if (strlen(engines[i]->scheme) == len && strncmp(engines[i]->scheme, url, len) == 0)
            return store_open_with(engines[i], url, err);
    }
    /* Not the whole of it: a URL may carry a password. */
    error_set(err, ERR_CONFIG, "store.url: '%.*s' is no kind of store; write sqlite:///var/lib/jidpost/jidpost.db",
              (int)len, url);
    return NULL;
}

static void destroy(struct store *store)
{
    for (size_t i = 0; i < store->reader_count; i++)
        store->ops->close(&store->readers[i]);
    store->ops->close(&store->writer);
    pthread_mutex_destroy(&store->queue_lock);
    pthread_mutex_destroy(&store->readers_lock);
    pthread_cond_destroy(&store->wake);
    free(store->url);
    free(store);
}

struct store *store_open_with(const struct store_ops *ops, const char *url, struct error *err)
{
    struct store *store = calloc(1, sizeof *store);
    pthread_condattr_t monotonic;
    int rc;

    if (!store) {
        error_set(err, ERR_SYSTEM, "store: out of memory");
        return NULL;
    }
    store->ops = ops;
    store->end = &store->first;
    atomic_init(&store->writable, true);
    pthread_mutex_init(&store->queue_lock, NULL);
    pthread_mutex_init(&store->readers_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&store->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);

    store->url = strdup(url);
    if (!store->url) {
        error_set(err, ERR_SYSTEM, "store: out of memory");
        goto fail;
    }
    store->writer = ops->open(url, true, err);
    if (!store->writer)
        goto fail;
    rc = pthread_create(&store->thread, NULL, write_on, store);
    if (rc != 0) {
        error_set(err, ERR_SYSTEM, "store: no thread: %s", strerror(rc));
        goto fail;
    }
    return store;
fail:
    destroy(store);
    return NULL;
}

void store_close(struct store **store)
{
    struct store *s = *store;

    if (!s)
        return;
    pthread_mutex_lock(&s->queue_lock);
    s->closing = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->queue_lock);
    pthread_join(s->thread, NULL);
    destroy(s);
    *store = NULL;
}

/* ---- reading: each reader has a handle to itself for as long as it reads */

static struct store_handle *lease(struct store *store, struct error *err)
{
    struct store_handle *h = NULL;

    pthread_mutex_lock(&store->readers_lock);
    if (store->reader_count > 0)
        h = store->readers[--store->reader_count];
    pthread_mutex_unlock(&store->readers_lock);
    if (!h)
        h = store->ops->open(store->url, false, err);
    if (h)
        metric_add(METRIC_LEASES_HELD, 1);
    return h;
}

/* One that failed is not kept: the next reader begins afresh. */
static void give_back(struct store *store, struct store_handle *h, bool healthy)
{
    metric_add(METRIC_LEASES_HELD, -1);
    pthread_mutex_lock(&store->readers_lock);
    if (healthy && store->reader_count < READERS) {
        store->readers[store->reader_count++] = h;
        h = NULL;
    }
    pthread_mutex_unlock(&store->readers_lock);
    if (h)
        store->ops->close(&h);
}

bool store_list(struct store *store, const struct record_filter *filter, struct record_list *out, struct error *err)
{
    int64_t began = clock_us();
    struct store_handle *h = lease(store, err);
    bool ok;

    if (!h)
        return false;
    ok = store->ops->list(h, filter, out, err);
    metric_observe(METRIC_STORE_OP_DURATION, clock_us() - began, "list");
    give_back(store, h, ok);
    return ok;
}

bool store_deliveries(struct store *store, const struct delivery_filter *filter, struct delivery_list *out,
                      struct error *err)
{
    struct store_handle *h = lease(store, err);
    bool ok;

    if (!h)
        return false;
    ok = store->ops->list_deliveries(h, filter, out, err);
    give_back(store, h, ok);
    return ok;
}

bool store_due(struct store *store, const char *endpoint, int64_t now, unsigned limit, struct delivery_due *out,
               struct error *err)
{
    struct store_handle *h = lease(store, err);
    bool ok;

    if (!h)
        return false;
    ok = store->ops->due(h, endpoint, now, limit, out, err);
    give_back(store, h, ok);
    return ok;
}

bool store_backlog(struct store *store, const char *endpoint, uint64_t *out, struct error *err)
{
    struct store_handle *h = lease(store, err);
    bool ok;

    if (!h)
        return false;
    ok = store->ops->backlog(h, endpoint, out, err);
    give_back(store, h, ok);
    return ok;
}

bool store_key(struct store *store, struct record_key *key, int64_t since, struct error *err)
{
    int64_t began = clock_us();
    struct store_handle *h = lease(store, err);
    bool ok;

    if (!h)
        return false;
    ok = store->ops->get_key(h, key, since, err);
    metric_observe(METRIC_STORE_OP_DURATION, clock_us() - began, "key");
    give_back(store, h, ok || err->code == ERR_NOT_FOUND);
    return ok;
}

struct record *store_get(struct store *store, const char *id, struct error *err)
{
    const struct record_filter filter = {.id = id, .limit = 1};
    struct record_list list = {0};
    struct record *r = NULL;

    if (!store_list(store, &filter, &list, err))
        return NULL;
    if (list.count > 0) {
        r = list.items[0];
        list.items[0] = NULL;
    } else {
        error_set(err, ERR_NOT_FOUND, "there is no transfer %s", id);
    }
    record_list_free(&list);
    return r;
}

bool store_items(struct store *store, const struct inbox_filter *filter, struct inbox_list *out, struct error *err)
{
    int64_t began = clock_us();
    struct store_handle *h = lease(store, err);
    bool ok;

    if (!h)
        return false;
    ok = store->ops->list_items(h, filter, out, err);
    metric_observe(METRIC_STORE_OP_DURATION, clock_us() - began, "list");
    give_back(store, h, ok);
    return ok;
}

struct inbox_item *store_item(struct store *store, const char *id, struct error *err)
{
    const struct inbox_filter filter = {.id = id, .limit = 1};
    struct inbox_list list = {0};
    struct inbox_item *item = NULL;

    if (!store_items(store, &filter, &list, err))
        return NULL;
    if (list.count > 0) {
        item = list.items[0];
        list.items[0] = NULL;
    } else {
        error_set(err, ERR_NOT_FOUND, "there is no such file in the inbox");
    }
    inbox_list_free(&list);
    return item;
}
