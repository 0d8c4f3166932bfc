/* gateway/store_sqlite_delivery.c - deliveries into the store and out of it. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/record.h"
#include "gateway/store_sqlite_parts.h"

/* What still waits so long after all that is kept of its time went belongs to an endpoint that is no more, or off. */
#define ORPHANED_MS (7LL * 24 * 3600 * 1000)

/* In the order of read_delivery(). */
#define COLUMNS                                                                                                        \
    "id, endpoint, type, transfer, state, tried, status, reason, created, due, finished, request_id, traceparent"

static bool prepare(struct store_handle *h, sqlite3_stmt **stmt, const char *text, struct error *err)
{
    struct buf sql = {0};

    buf_puts(&sql, text);
    return sqlite_prepare(h, stmt, &sql, err);
}

/* Left to itself, SQLite would go through all that waits for the endpoint (INDEXED BY). */
bool sqlite_prepare_deliveries(struct store_handle *h, bool writer, struct error *err)
{
    if (writer)
        return prepare(h, &h->put_delivery,
                       "INSERT INTO delivery (" COLUMNS ", body)"
                       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,"
                       " max(?10, coalesce((SELECT max(due) FROM delivery INDEXED BY delivery_by_transfer"
                       " WHERE state = 'pending' AND endpoint = ?2 AND transfer = ?4 AND ?4 != ''), 0)),"
                       " ?11, ?12, ?13, ?14)"
                       " ON CONFLICT (id) DO UPDATE SET state = ?5, tried = ?6, status = ?7, reason = ?8, due = ?10,"
                       " finished = ?11",
                       err) &&
               prepare(h, &h->hold_deliveries,
                       "UPDATE delivery INDEXED BY delivery_by_transfer SET due = ?3"
                       " WHERE state = 'pending' AND endpoint = ?1 AND transfer = ?2"
                       " AND due < ?3 AND key > (SELECT key FROM delivery WHERE id = ?4)",
                       err) &&
               prepare(h, &h->forget_deliveries, "DELETE FROM delivery WHERE finished > 0 AND finished < ?", err) &&
               prepare(h, &h->forget_orphans, "DELETE FROM delivery WHERE state = 'pending' AND created < ?", err);
    return prepare(h, &h->due_deliveries,
                   "SELECT " COLUMNS ", body FROM delivery d WHERE state = 'pending' AND endpoint = ?1 AND due <= ?2"
                   " AND (transfer = '' OR NOT EXISTS (SELECT 1 FROM delivery e WHERE e.state = 'pending'"
                   " AND e.endpoint = ?1 AND e.transfer = d.transfer AND e.key < d.key))"
                   " ORDER BY due, key LIMIT ?3",
                   err) &&
           prepare(h, &h->next_delivery,
                   "SELECT min(due) FROM delivery WHERE state = 'pending' AND endpoint = ?1 AND due > ?2", err) &&
           prepare(h, &h->count_deliveries, "SELECT count(*) FROM delivery WHERE state = 'pending' AND endpoint = ?1",
                   err);
}

/* ---- in */

static bool run(struct store_handle *h, sqlite3_stmt *stmt, bool bound, struct error *err)
{
    bool ok = bound && sqlite3_step(stmt) == SQLITE_DONE;

    if (!ok)
        sqlite_fail(h, "writing", err);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return ok;
}

static bool bind_delivery(sqlite3_stmt *put, const struct delivery *d)
{
    return sqlite_bind_text(put, 1, d->id) == SQLITE_OK && sqlite_bind_text(put, 2, d->endpoint) == SQLITE_OK &&
           sqlite_bind_text(put, 3, d->type) == SQLITE_OK && sqlite_bind_text(put, 4, d->transfer) == SQLITE_OK &&
           sqlite_bind_text(put, 5, delivery_state_name(d->state)) == SQLITE_OK &&
           sqlite3_bind_int64(put, 6, d->tried) == SQLITE_OK && sqlite3_bind_int64(put, 7, d->status) == SQLITE_OK &&
           sqlite_bind_text(put, 8, d->reason) == SQLITE_OK && sqlite3_bind_int64(put, 9, d->created) == SQLITE_OK &&
           sqlite3_bind_int64(put, 10, d->due) == SQLITE_OK && sqlite3_bind_int64(put, 11, d->finished) == SQLITE_OK &&
           sqlite_bind_text(put, 12, d->request_id) == SQLITE_OK &&
           sqlite_bind_text(put, 13, d->traceparent) == SQLITE_OK &&
           sqlite_bind_text(put, 14, d->body ? d->body : "") == SQLITE_OK; /* of an update it is not used */
}

bool sqlite_put_delivery(struct store_handle *h, const struct delivery *d, struct error *err)
{
    sqlite3_stmt *hold = h->hold_deliveries;

    if (!run(h, h->put_delivery, bind_delivery(h->put_delivery, d), err))
        return false;
    if (d->state != DELIVERY_PENDING || !d->transfer[0])
        return true;
    return run(h, hold,
               sqlite_bind_text(hold, 1, d->endpoint) == SQLITE_OK &&
                   sqlite_bind_text(hold, 2, d->transfer) == SQLITE_OK &&
                   sqlite3_bind_int64(hold, 3, d->due) == SQLITE_OK && sqlite_bind_text(hold, 4, d->id) == SQLITE_OK,
               err);
}

bool sqlite_forget_deliveries(struct store_handle *h, int64_t finished_before, struct error *err)
{
    return run(h, h->forget_deliveries, sqlite3_bind_int64(h->forget_deliveries, 1, finished_before) == SQLITE_OK,
               err) &&
           run(h, h->forget_orphans,
               sqlite3_bind_int64(h->forget_orphans, 1, finished_before - ORPHANED_MS) == SQLITE_OK, err);
}

/* ---- out */

static bool read_fixed(sqlite3_stmt *stmt, int at, char *out, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(stmt, at);

    return text && (size_t)snprintf(out, size, "%s", text) < size;
}

static bool read_owned(sqlite3_stmt *stmt, int at, char **out)
{
    const char *text = (const char *)sqlite3_column_text(stmt, at);

    return !text || (*out = strdup(text)) != NULL;
}

/* Of the row that stmt stands on; behind the columns there may be the body. */
static struct delivery *read_delivery(sqlite3_stmt *stmt, struct error *err)
{
    struct delivery *d = calloc(1, sizeof *d);
    const char *state = (const char *)sqlite3_column_text(stmt, 4);

    if (d && read_fixed(stmt, 0, d->id, sizeof d->id) && read_fixed(stmt, 1, d->endpoint, sizeof d->endpoint) &&
        read_fixed(stmt, 2, d->type, sizeof d->type) && read_fixed(stmt, 3, d->transfer, sizeof d->transfer) && state &&
        delivery_state_parse(state, &d->state) && read_fixed(stmt, 7, d->reason, sizeof d->reason) &&
        read_owned(stmt, 11, &d->request_id) && read_owned(stmt, 12, &d->traceparent) &&
        (sqlite3_column_count(stmt) == 13 || read_owned(stmt, 13, &d->body))) {
        d->tried = (unsigned)sqlite3_column_int64(stmt, 5);
        d->status = (unsigned)sqlite3_column_int64(stmt, 6);
        d->created = sqlite3_column_int64(stmt, 8);
        d->due = sqlite3_column_int64(stmt, 9);
        d->finished = sqlite3_column_int64(stmt, 10);
        return d;
    }
    delivery_free(&d);
    error_set(err, ERR_STORE_UNAVAILABLE, "store: delivery: not readable");
    return NULL;
}

/* All rows to the end of *first; *count of them. */
static bool read_rows(struct store_handle *h, sqlite3_stmt *stmt, struct delivery **first, size_t *count,
                      struct error *err)
{
    struct delivery **end = first;
    int rc;

    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        *end = read_delivery(stmt, err);
        if (!*end)
            return false;
        end = &(*end)->next;
        ++*count;
    }
    return rc == SQLITE_DONE || sqlite_fail(h, "reading", err);
}

static void make_list(struct buf *sql, const struct delivery_filter *f)
{
    buf_printf(sql, "SELECT " COLUMNS "%s FROM delivery WHERE TRUE", f->id ? ", body" : "");
    if (f->id)
        buf_puts(sql, " AND id = :id");
    if (f->endpoint)
        buf_puts(sql, " AND endpoint = :endpoint");
    if (f->by_state)
        buf_printf(sql, " AND state = '%s'", delivery_state_name(f->state));
    if (f->before)
        buf_puts(sql, " AND key < (SELECT key FROM delivery WHERE id = :before)");
    buf_printf(sql, " ORDER BY key DESC LIMIT %u", f->limit + 1); /* one more tells that there is more */
}

static bool bind_named(sqlite3_stmt *stmt, const char *name, const char *value)
{
    int at = sqlite3_bind_parameter_index(stmt, name);

    return !at || sqlite_bind_text(stmt, at, value) == SQLITE_OK;
}

static void drop_last(struct delivery_list *list)
{
    struct delivery **at = &list->first;

    while ((*at)->next)
        at = &(*at)->next;
    delivery_free(at);
    list->count--;
    list->more = true;
}

bool sqlite_list_deliveries(struct store_handle *h, const struct delivery_filter *filter, struct delivery_list *out,
                            struct error *err)
{
    struct delivery_list list = {0};
    sqlite3_stmt *stmt = NULL;
    struct buf sql = {0};
    bool ok;

    assert(filter->limit > 0 && filter->limit <= 1000);
    make_list(&sql, filter);
    ok = sqlite_prepare(h, &stmt, &sql, err);
    if (ok && !(bind_named(stmt, ":id", filter->id) && bind_named(stmt, ":endpoint", filter->endpoint) &&
                bind_named(stmt, ":before", filter->before)))
        ok = sqlite_fail(h, "reading", err);
    ok = ok && read_rows(h, stmt, &list.first, &list.count, err);
    sqlite3_finalize(stmt);
    if (ok && list.count > filter->limit)
        drop_last(&list);
    if (ok)
        *out = list;
    else
        delivery_free_all(&list.first);
    return ok;
}

/* The one number that stmt gives; NULL is 0. */
static bool read_number(struct store_handle *h, sqlite3_stmt *stmt, bool bound, int64_t *out, struct error *err)
{
    bool ok = bound && sqlite3_step(stmt) == SQLITE_ROW;

    if (ok)
        *out = sqlite3_column_int64(stmt, 0);
    else
        sqlite_fail(h, "reading", err);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return ok;
}

bool sqlite_due(struct store_handle *h, const char *endpoint, int64_t now, unsigned limit, struct delivery_due *out,
                struct error *err)
{
    sqlite3_stmt *due = h->due_deliveries, *next = h->next_delivery;
    struct delivery_due found = {0};
    size_t count = 0;
    bool ok;

    if (sqlite_bind_text(due, 1, endpoint) == SQLITE_OK && sqlite3_bind_int64(due, 2, now) == SQLITE_OK &&
        sqlite3_bind_int64(due, 3, limit) == SQLITE_OK)
        ok = read_rows(h, due, &found.first, &count, err);
    else
        ok = sqlite_fail(h, "reading", err);
    sqlite3_reset(due);
    sqlite3_clear_bindings(due);
    ok = ok &&
         read_number(h, next,
                     sqlite_bind_text(next, 1, endpoint) == SQLITE_OK && sqlite3_bind_int64(next, 2, now) == SQLITE_OK,
                     &found.next, err);
    if (ok)
        *out = found;
    else
        delivery_free_all(&found.first);
    return ok;
}

bool sqlite_backlog(struct store_handle *h, const char *endpoint, uint64_t *out, struct error *err)
{
    sqlite3_stmt *count = h->count_deliveries;
    int64_t n = 0;
    bool ok = read_number(h, count, sqlite_bind_text(count, 1, endpoint) == SQLITE_OK, &n, err);

    *out = (uint64_t)n;
    return ok;
}
