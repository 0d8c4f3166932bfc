/* socks5/ticket.c - names and the jobs behind them, see ticket.h.
 *
 * Two hash tables of chains over the same tickets: by name for clients, by stream for their owner. */
#include "socks5/ticket.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "socks5/socks5.h"

enum { BUCKETS = 4096 };

struct ticket;

struct entry {
    struct entry *next; /* in its bucket */
    struct ticket *ticket;
    size_t len;
    char name[]; /* lower case */
};

struct ticket {
    struct ticket *next; /* in its bucket */
    struct job job;
    struct entry *entries[SOCKS5_NAMES];
    size_t count;
};

struct tickets {
    pthread_mutex_t lock; /* guards the rest */
    struct entry *by_name[BUCKETS];
    struct ticket *by_stream[BUCKETS];
};

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* FNV-1a over the lower-case form. */
static size_t name_bucket(const char *name, size_t len)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)lower(name[i])) * 0x100000001b3u;
    return (size_t)(hash ^ hash >> 32) % BUCKETS;
}

static bool same_name(const struct entry *e, const char *name, size_t len)
{
    if (e->len != len)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (e->name[i] != lower(name[i]))
            return false;
    }
    return true;
}

static struct entry *find_entry(struct tickets *set, const char *name, size_t len)
{
    struct entry *e = set->by_name[name_bucket(name, len)];

    while (e && !same_name(e, name, len))
        e = e->next;
    return e;
}

static struct entry *entry_new(struct ticket *t, const char *name)
{
    size_t len = strlen(name);
    struct entry *e = malloc(sizeof(*e) + len);

    assert(len > 0 && len <= SOCKS5_NAME);
    if (!e)
        return NULL;
    *e = (struct entry){.ticket = t, .len = len};
    for (size_t i = 0; i < len; i++)
        e->name[i] = lower(name[i]);
    return e;
}

static void ticket_free(struct ticket *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->entries[i]);
    free(t);
}

static bool has_name(const struct ticket *t, const char *name)
{
    for (size_t i = 0; i < t->count; i++) {
        if (same_name(t->entries[i], name, strlen(name)))
            return true;
    }
    return false;
}

static struct ticket *ticket_new(const struct job *job, const char *const *names, size_t count)
{
    struct ticket *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->job = *job;
    for (size_t i = 0; i < count; i++) {
        if (has_name(t, names[i]))
            continue;
        t->entries[t->count] = entry_new(t, names[i]);
        if (!t->entries[t->count]) {
            ticket_free(t);
            return NULL;
        }
        t->count++;
    }
    return t;
}

struct tickets *tickets_create(void)
{
    struct tickets *set = calloc(1, sizeof(*set));

    if (set && pthread_mutex_init(&set->lock, NULL) != 0) {
        free(set);
        set = NULL;
    }
    return set;
}

void tickets_destroy(struct tickets **set)
{
    struct tickets *s = *set;

    *set = NULL;
    if (!s)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (s->by_stream[i]) {
            struct ticket *t = s->by_stream[i];

            s->by_stream[i] = t->next;
            ticket_free(t);
        }
    }
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static bool insert(struct tickets *set, struct ticket *t)
{
    struct ticket **bucket = &set->by_stream[t->job.stream % BUCKETS];

    for (size_t i = 0; i < t->count; i++) {
        if (find_entry(set, t->entries[i]->name, t->entries[i]->len))
            return false;
    }
    for (size_t i = 0; i < t->count; i++) {
        struct entry **chain = &set->by_name[name_bucket(t->entries[i]->name, t->entries[i]->len)];

        t->entries[i]->next = *chain;
        *chain = t->entries[i];
    }
    t->next = *bucket;
    *bucket = t;
    return true;
}

bool tickets_add(struct tickets *set, const struct job *job, const char *const *names, size_t count, struct error *err)
{
    struct ticket *t;
    bool ok;

    assert(count > 0 && count <= SOCKS5_NAMES);
    t = ticket_new(job, names, count);
    if (!t)
        return error_set(err, ERR_SYSTEM, "out of memory");
    pthread_mutex_lock(&set->lock);
    ok = insert(set, t);
    pthread_mutex_unlock(&set->lock);
    if (ok)
        return true;
    ticket_free(t);
    return error_set(err, ERR_STATE_CONFLICT, "another stream already waits under that name");
}

bool tickets_find(struct tickets *set, const void *name, size_t len, struct job *out)
{
    struct entry *e;

    pthread_mutex_lock(&set->lock);
    e = find_entry(set, name, len);
    if (e)
        *out = e->ticket->job;
    pthread_mutex_unlock(&set->lock);
    return e != NULL;
}

static void unlink_entry(struct tickets *set, struct entry *e)
{
    struct entry **at = &set->by_name[name_bucket(e->name, e->len)];

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
}

void tickets_remove(struct tickets *set, uint64_t stream)
{
    struct ticket **at = &set->by_stream[stream % BUCKETS];
    struct ticket *t;

    pthread_mutex_lock(&set->lock);
    while (*at && (*at)->job.stream != stream)
        at = &(*at)->next;
    t = *at;
    if (t) {
        *at = t->next;
        for (size_t i = 0; i < t->count; i++)
            unlink_entry(set, t->entries[i]);
    }
    pthread_mutex_unlock(&set->lock);
    if (t)
        ticket_free(t);
}
