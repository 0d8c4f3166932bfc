/* gateway/store_sqlite_parts.h - struct store_handle, and what the parts of the engine share: for
 * gateway/store_sqlite*.c alone.
 *
 *     store_sqlite.c          opening, migrating, the log; struct store_ops
 *     store_sqlite_tables.c   which member of our structs each column holds: values in and out, and texts of statements
 *     store_sqlite_write.c    records and keys in
 *     store_sqlite_read.c     records and keys out
 *     store_sqlite_delivery.c deliveries in and out
 *     store_sqlite_inbox.c    files that were sent to us, in and out
 *
 * Thread: whoever has the handle. What fails says so in err, as store_ops does. */
#ifndef GATEWAY_STORE_SQLITE_PARTS_H
#define GATEWAY_STORE_SQLITE_PARTS_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "gateway/store.h"

/* Rows below a transfer, numbered from 0. */
enum child { STEPS, ATTEMPTS, CHILDREN };

struct store_handle {
    sqlite3 *db;
    /* the writer's */
    int log_most; /* pages of the log at which it is emptied next */
    sqlite3_stmt *find, *insert, *update, *put_child[CHILDREN], *trim_child[CHILDREN], *forget;
    sqlite3_stmt *put_key, *forget_keys;
    sqlite3_stmt *put_delivery, *hold_deliveries, *forget_deliveries, *forget_orphans;
    sqlite3_stmt *put_item, *drop_item;
    /* everybody's */
    sqlite3_stmt *get_child[CHILDREN], *get_key;
    sqlite3_stmt *due_deliveries, *next_delivery, *count_deliveries;
};

/* ---- store_sqlite.c */

/* With what SQLite says of it; always false. */
bool sqlite_fail(struct store_handle *h, const char *doing, struct error *err);

/* *stmt is the caller's to finalize; sql is freed and empty afterwards, also on failure. */
bool sqlite_prepare(struct store_handle *h, sqlite3_stmt **stmt, struct buf *sql, struct error *err);

/* ---- store_sqlite_tables.c */

struct column;

struct table {
    const char *name;
    const struct column *columns;
    size_t count;
    size_t element; /* bytes of one row's struct */
};

extern const struct table sqlite_transfer_table, sqlite_child_tables[CHILDREN];

/* Binds the members of row to the parameters from the given one on; row has to outlive the statement's run. */
bool sqlite_bind_row(sqlite3_stmt *stmt, int from, const struct table *t, const void *row);

/* NULL is NULL; and a JID up to its '/'. Both have to outlive the run, too; they return what SQLite does. */
int sqlite_bind_text(sqlite3_stmt *stmt, int at, const char *text);
int sqlite_bind_bare(sqlite3_stmt *stmt, int at, const char *jid);

/* The other way round. What was read before a failure is row's to free. */
bool sqlite_read_row(sqlite3_stmt *stmt, int from, const struct table *t, void *row, struct error *err);

/* "prefix.a, prefix.b, …" */
void sqlite_list_columns(struct buf *sql, const struct table *t, const char *prefix);

/* "INSERT INTO t (keys, columns) VALUES (?, …)" */
void sqlite_make_insert(struct buf *sql, const struct table *t, const char *keys, size_t key_count);

/* Numbered as the columns are, the key behind them. */
void sqlite_make_update(struct buf *sql, const struct table *t);

/* Of a child's row. One that is as it was is not written again. */
void sqlite_make_upsert(struct buf *sql, const struct table *t);

/* ---- store_sqlite_write.c: the statements, when a writer is opened; the rest as in struct store_ops */

bool sqlite_prepare_writing(struct store_handle *h, struct error *err);
bool sqlite_put(struct store_handle *h, const struct record *r, struct error *err);
bool sqlite_put_key(struct store_handle *h, const struct record_key *key, struct error *err);
bool sqlite_forget(struct store_handle *h, int64_t finished_before, int64_t used_before, struct error *err);

/* ---- store_sqlite_read.c: likewise, for every handle */

bool sqlite_prepare_reading(struct store_handle *h, struct error *err);
bool sqlite_get_key(struct store_handle *h, struct record_key *key, int64_t since, struct error *err);
bool sqlite_list(struct store_handle *h, const struct record_filter *filter, struct record_list *out,
                 struct error *err);

/* ---- store_sqlite_delivery.c: likewise */

bool sqlite_prepare_deliveries(struct store_handle *h, bool writer, struct error *err);
bool sqlite_put_delivery(struct store_handle *h, const struct delivery *d, struct error *err);
bool sqlite_forget_deliveries(struct store_handle *h, int64_t finished_before, struct error *err);
bool sqlite_list_deliveries(struct store_handle *h, const struct delivery_filter *filter, struct delivery_list *out,
                            struct error *err);
bool sqlite_due(struct store_handle *h, const char *endpoint, int64_t now, unsigned limit, struct delivery_due *out,
                struct error *err);
bool sqlite_backlog(struct store_handle *h, const char *endpoint, uint64_t *out, struct error *err);

/* ---- store_sqlite_inbox.c: likewise; the statements are a writer's alone */

bool sqlite_prepare_inbox(struct store_handle *h, struct error *err);
bool sqlite_put_item(struct store_handle *h, const struct inbox_item *item, struct error *err);
bool sqlite_drop_item(struct store_handle *h, const char *id, struct error *err);
bool sqlite_list_items(struct store_handle *h, const struct inbox_filter *filter, struct inbox_list *out,
                       struct error *err);

#endif
