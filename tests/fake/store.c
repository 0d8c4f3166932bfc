/* tests/fake/store.c - an engine that fails and waits when told, see store.h. */
#include "tests/fake/store.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct {
    pthread_mutex_t lock; /* over everything below */
    pthread_cond_t changed;
    bool hold, held;
    bool hold_due, due_held;
    bool begin_fails, commit_fails;
    char refused[ID_SIZE];
    struct fake_store_counts counts;
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void lock(void)
{
    pthread_mutex_lock(&fake.lock);
}

static void unlock(void)
{
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
}

void fake_store_reset(void)
{
    lock();
    fake.hold = fake.held = fake.hold_due = fake.due_held = fake.begin_fails = fake.commit_fails = false;
    fake.refused[0] = '\0';
    fake.counts = (struct fake_store_counts){0};
    unlock();
}

void fake_store_hold(void)
{
    lock();
    fake.hold = true;
    unlock();
}

void fake_store_wait_until_held(void)
{
    lock();
    while (!fake.held)
        pthread_cond_wait(&fake.changed, &fake.lock);
    unlock();
}

void fake_store_let_go(void)
{
    lock();
    fake.hold = false;
    unlock();
}

void fake_store_hold_due(bool held)
{
    lock();
    fake.hold_due = held;
    unlock();
}

bool fake_store_due_is_held(void)
{
    bool held;

    lock();
    held = fake.due_held;
    unlock();
    return held;
}

void fake_store_fail_begin(bool fails)
{
    lock();
    fake.begin_fails = fails;
    unlock();
}

void fake_store_fail_commit(bool fails)
{
    lock();
    fake.commit_fails = fails;
    unlock();
}

void fake_store_refuse(const char *id)
{
    lock();
    snprintf(fake.refused, sizeof fake.refused, "%s", id ? id : "");
    unlock();
}

struct fake_store_counts fake_store_counts(void)
{
    struct fake_store_counts counts;

    lock();
    counts = fake.counts;
    unlock();
    return counts;
}

void fake_store_wait_for_probes(unsigned n)
{
    lock();
    while (fake.counts.probes < n)
        pthread_cond_wait(&fake.changed, &fake.lock);
    unlock();
}

void fake_store_wait_for_idles(unsigned n)
{
    lock();
    while (fake.counts.idles < n)
        pthread_cond_wait(&fake.changed, &fake.lock);
    unlock();
}

/* ---- the engine; its handles are SQLite's */

static struct store_handle *fake_open(const char *url, bool writer, struct error *err)
{
    return store_sqlite.open(url, writer, err);
}

static void fake_close(struct store_handle **handle)
{
    store_sqlite.close(handle);
}

static bool fake_begin(struct store_handle *h, struct error *err)
{
    bool fails;

    lock();
    while (fake.hold) {
        fake.held = true;
        pthread_cond_broadcast(&fake.changed);
        pthread_cond_wait(&fake.changed, &fake.lock);
    }
    fake.held = false;
    fake.counts.begins++;
    fails = fake.begin_fails;
    unlock();
    return fails ? error_set(err, ERR_STORE_UNAVAILABLE, "fake: locked") : store_sqlite.begin(h, err);
}

static bool fake_put(struct store_handle *h, const struct record *r, struct error *err)
{
    bool fails;

    lock();
    fake.counts.puts++;
    fails = strcmp(r->id, fake.refused) == 0;
    unlock();
    return fails ? error_set(err, ERR_STORE_UNAVAILABLE, "fake: refused") : store_sqlite.put(h, r, err);
}

static bool fake_put_key(struct store_handle *h, const struct record_key *key, struct error *err)
{
    return store_sqlite.put_key(h, key, err);
}

static bool fake_get_key(struct store_handle *h, struct record_key *key, int64_t since, struct error *err)
{
    return store_sqlite.get_key(h, key, since, err);
}

static bool fake_put_delivery(struct store_handle *h, const struct delivery *d, struct error *err)
{
    return store_sqlite.put_delivery(h, d, err);
}

static bool fake_list_deliveries(struct store_handle *h, const struct delivery_filter *filter,
                                 struct delivery_list *out, struct error *err)
{
    return store_sqlite.list_deliveries(h, filter, out, err);
}

static bool fake_due(struct store_handle *h, const char *endpoint, int64_t now, unsigned limit,
                     struct delivery_due *out, struct error *err)
{
    bool ok = store_sqlite.due(h, endpoint, now, limit, out, err);

    lock();
    while (fake.hold_due) {
        fake.due_held = true;
        pthread_cond_broadcast(&fake.changed);
        pthread_cond_wait(&fake.changed, &fake.lock);
    }
    fake.due_held = false;
    unlock();
    return ok;
}

static bool fake_backlog(struct store_handle *h, const char *endpoint, uint64_t *out, struct error *err)
{
    return store_sqlite.backlog(h, endpoint, out, err);
}

static bool fake_put_item(struct store_handle *h, const struct inbox_item *item, struct error *err)
{
    return store_sqlite.put_item(h, item, err);
}

static bool fake_drop_item(struct store_handle *h, const char *id, struct error *err)
{
    return store_sqlite.drop_item(h, id, err);
}

static bool fake_list_items(struct store_handle *h, const struct inbox_filter *filter, struct inbox_list *out,
                            struct error *err)
{
    return store_sqlite.list_items(h, filter, out, err);
}

static bool fake_forget(struct store_handle *h, int64_t finished_before, int64_t used_before, struct error *err)
{
    return store_sqlite.forget(h, finished_before, used_before, err);
}

static bool fake_commit(struct store_handle *h, struct error *err)
{
    bool ok;

    lock();
    ok = !fake.commit_fails;
    unlock();
    if (!ok)
        return error_set(err, ERR_STORE_UNAVAILABLE, "fake: full");
    ok = store_sqlite.commit(h, err);
    lock();
    fake.counts.commits += ok;
    unlock();
    return ok;
}

static void fake_rollback(struct store_handle *h)
{
    store_sqlite.rollback(h);
    lock();
    fake.counts.rollbacks++;
    unlock();
}

static bool fake_list(struct store_handle *h, const struct record_filter *filter, struct record_list *out,
                      struct error *err)
{
    return store_sqlite.list(h, filter, out, err);
}

static bool fake_probe(struct store_handle *h, struct error *err)
{
    bool fails;

    lock();
    fake.counts.probes++;
    fails = fake.commit_fails || fake.begin_fails;
    unlock();
    return fails ? error_set(err, ERR_STORE_UNAVAILABLE, "fake: full") : store_sqlite.probe(h, err);
}

static void fake_idle(struct store_handle *h)
{
    store_sqlite.idle(h);
    lock();
    fake.counts.idles++;
    unlock();
}

const struct store_ops store_fake = {
    .scheme = "fake",
    .open = fake_open,
    .close = fake_close,
    .begin = fake_begin,
    .put = fake_put,
    .put_key = fake_put_key,
    .get_key = fake_get_key,
    .put_delivery = fake_put_delivery,
    .list_deliveries = fake_list_deliveries,
    .due = fake_due,
    .backlog = fake_backlog,
    .put_item = fake_put_item,
    .drop_item = fake_drop_item,
    .list_items = fake_list_items,
    .forget = fake_forget,
    .commit = fake_commit,
    .rollback = fake_rollback,
    .list = fake_list,
    .probe = fake_probe,
    .idle = fake_idle,
};
