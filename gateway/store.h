/* gateway/store.h - seam: where records live across restarts.
 *
 * One writer thread takes everything that is queued, writes it in one transaction with one sync, and then answers
 * each (group commit): a 2xx waits for its own answer, so what was promised is on disk. Reads go through leased
 * handles on the threads of the pool. An engine (store_sqlite.c) implements struct store_ops; store.c owns queue,
 * thread and lease.
 * Threads: store_put() any; store_get/list/unfinished block and belong on a pool thread or at start-up. */
#ifndef GATEWAY_STORE_H
#define GATEWAY_STORE_H

#include "base/error.h"
#include "gateway/delivery.h"
#include "gateway/inbox_item.h"
#include "gateway/record.h"

struct record_filter {
    const char *id;    /* exactly this one; NULL: any */
    const char *to;    /* bare JID (matches its full ones too) or full JID, prepared; NULL: any */
    const char *token; /* made with the token of that id; NULL: any */
    bool by_state;
    enum transfer_state state;
    const char *labels; /* with all of these (base/labels.h); NULL: any */
    const char *batch;  /* of that one; NULL: any */
    int64_t since;      /* created at or after; 0: any */
    const char *before; /* cursor: those behind this id in the list's order; NULL: from its front */
    const char *link;   /* whose link has that digest; NULL: any */
    int64_t linked;     /* with a link of our own that was sent and can be fetched at that time; 0: any */
    bool unfinished;    /* only states that are not final, and oldest first; everything else is newest first */
    unsigned limit;     /* 1 to 1000; with unfinished also 0: all of them */
};

struct record_list {
    struct record **items;
    size_t count;
    bool more;
};
void record_list_free(struct record_list *list);

/* An engine's handle belongs to one thread at a time. Every function blocks; false with *err set
 * (ERR_STORE_UNAVAILABLE) on failure. */
struct store_handle;
struct store_ops {
    const char *scheme; /* "sqlite" */
    /* Opens for writing (creating and migrating the schema; a newer schema is refused with ERR_CONFIG) or reading. */
    struct store_handle *(*open)(const char *url, bool writer, struct error *err);
    void (*close)(struct store_handle **handle);
    bool (*begin)(struct store_handle *h, struct error *err);
    bool (*put)(struct store_handle *h, const struct record *r,
                struct error *err); /* insert or replace, with steps and attempts */
    /* Of a transfer that is there; one of that caller and text before is replaced. */
    bool (*put_key)(struct store_handle *h, const struct record_key *key, struct error *err);
    /* Fills in the rest of the one of that caller and text, if it was used at or after; ERR_NOT_FOUND. */
    bool (*get_key)(struct store_handle *h, struct record_key *key, int64_t since, struct error *err);
    /* Inserts d, or what has changed of it. One that has to wait makes those of its transfer and endpoint wait that are
     * younger, and a new one waits as long as those before it. */
    bool (*put_delivery)(struct store_handle *h, const struct delivery *d, struct error *err);
    bool (*list_deliveries)(struct store_handle *h, const struct delivery_filter *filter, struct delivery_list *out,
                            struct error *err);
    bool (*due)(struct store_handle *h, const char *endpoint, int64_t now, unsigned limit, struct delivery_due *out,
                struct error *err);
    /* How many are pending for it. */
    bool (*backlog)(struct store_handle *h, const char *endpoint, uint64_t *out, struct error *err);
    /* Files that were sent to us: insert or replace; one that is not there is dropped already. */
    bool (*put_item)(struct store_handle *h, const struct inbox_item *item, struct error *err);
    bool (*drop_item)(struct store_handle *h, const char *id, struct error *err);
    bool (*list_items)(struct store_handle *h, const struct inbox_filter *filter, struct inbox_list *out,
                       struct error *err);
    /* Those that finished before, and whose links of our own were over before, a batch when all of it was; their
     * keys, and those used before. Deliveries that finished before, and what has waited for an endpoint that is no
     * more. */
    bool (*forget)(struct store_handle *h, int64_t finished_before, int64_t used_before, struct error *err);
    bool (*commit)(struct store_handle *h, struct error *err);
    void (*rollback)(struct store_handle *h);
    bool (*list)(struct store_handle *h, const struct record_filter *filter, struct record_list *out,
                 struct error *err);
    bool (*probe)(struct store_handle *h, struct error *err); /* a write that changes nothing: does the disk take it? */
    void (*idle)(struct store_handle *h);                     /* nothing queued: housekeeping (WAL checkpoint) */
};
extern const struct store_ops store_sqlite;

struct store;

/* url: "sqlite:///absolute/path". Opens, migrates, starts the writer. NULL with *err set. */
struct store *store_open(const char *url, struct error *err);

/* The same with a given engine. */
struct store *store_open_with(const struct store_ops *ops, const char *url, struct error *err);

/* Writes what is queued, joins, closes. Nobody else uses the store any more. */
void store_close(struct store **store);

/* Called on the writer thread after the commit (err NULL) or when it failed (without memory even to queue: by
 * store_put() itself); may only copy and post. A failure that has no done to be told to is logged. */
typedef void store_done_fn(void *user, const struct error *err);

/* Queues r, which is the store's from here on. done may be NULL. A later put of the same id in the same batch
 * replaces an earlier one; both are answered. When a batch fails, each of its records is tried once more by itself,
 * so that one the engine will not take fails alone. */
void store_put(struct store *store, struct record *r, store_done_fn *done, void *user);

/* The same, and the key goes into the same transaction. r NULL: only the key, of a record that is there. key NULL: as
 * store_put(); else it is copied. */
void store_put_keyed(struct store *store, struct record *r, const struct record_key *key, store_done_fn *done,
                     void *user);

/* The same with the deliveries that tell of the record, in one transaction: neither is kept without the other. list is
 * the store's from here on. r NULL: the deliveries alone; done may be NULL. */
void store_put_told(struct store *store, struct record *r, const struct record_key *key, struct delivery *list,
                    store_done_fn *done, void *user);

/* Queues a file that was sent to us, with the deliveries that tell of it (NULL: none), in one transaction; both are the
 * store's from here on. Later ones of the same id come later. done as with store_put(). */
void store_put_item(struct store *store, struct inbox_item *item, struct delivery *list, store_done_fn *done,
                    void *user);
void store_drop_item(struct store *store, const char *id, store_done_fn *done, void *user);

/* out is the caller's to free; the filter's limit is at most 1000. */
bool store_items(struct store *store, const struct inbox_filter *filter, struct inbox_list *out, struct error *err);

/* The one item, or NULL: with err->code ERR_NOT_FOUND or ERR_STORE_UNAVAILABLE. */
struct inbox_item *store_item(struct store *store, const char *id, struct error *err);

/* As struct store_ops says. What is listed is the caller's to free, also the due. */
bool store_deliveries(struct store *store, const struct delivery_filter *filter, struct delivery_list *out,
                      struct error *err);
bool store_due(struct store *store, const char *endpoint, int64_t now, unsigned limit, struct delivery_due *out,
               struct error *err);
bool store_backlog(struct store *store, const char *endpoint, uint64_t *out, struct error *err);

/* All of them, which are the store's from here on, and the key, or none: in one transaction. The array is the
 * caller's. */
void store_put_group(struct store *store, struct record **records, size_t count, const struct record_key *key,
                     store_done_fn *done, void *user);

/* key->caller and key->text say which; the rest is filled in. ERR_NOT_FOUND: not used since, or its transfer is gone.
 */
bool store_key(struct store *store, struct record_key *key, int64_t since, struct error *err);

/* Queues the deletion of records that finished, and whose links ended, before that wall-clock time, and of keys that
 * were used before the other. */
void store_forget(struct store *store, int64_t finished_before, int64_t used_before);

bool store_list(struct store *store, const struct record_filter *filter, struct record_list *out, struct error *err);

/* The one record, or NULL: with err->code ERR_NOT_FOUND or ERR_STORE_UNAVAILABLE. */
struct record *store_get(struct store *store, const char *id, struct error *err);

/* Whether the last write succeeded; /readyz asks. After a failure the writer keeps probing, since nobody brings
 * anything to a store that is not writable. Any thread. */
bool store_writable(struct store *store);

#endif
