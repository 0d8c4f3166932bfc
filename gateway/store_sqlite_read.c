/* gateway/store_sqlite_read.c - records and keys out of the store. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/labels.h"
#include "gateway/store_sqlite_parts.h"

bool sqlite_prepare_reading(struct store_handle *h, struct error *err)
{
    struct buf sql = {0};

    buf_puts(&sql, "SELECT print, transfer, used FROM idempotency WHERE caller = ? AND key = ? AND used >= ?");
    if (!sqlite_prepare(h, &h->get_key, &sql, err))
        return false;
    for (size_t i = 0; i < CHILDREN; i++) {
        buf_puts(&sql, "SELECT ");
        sqlite_list_columns(&sql, &sqlite_child_tables[i], "");
        buf_printf(&sql, " FROM %s WHERE transfer = ? ORDER BY seq", sqlite_child_tables[i].name);
        if (!sqlite_prepare(h, &h->get_child[i], &sql, err))
            return false;
    }
    return true;
}

/* All rows of one kind below key, in order; *rows is the caller's to free also on failure. */
static bool get_children(struct store_handle *h, enum child child, int64_t key, void **rows, size_t *count,
                         struct error *err)
{
    sqlite3_stmt *stmt = h->get_child[child];
    size_t element = sqlite_child_tables[child].element, room = 0;
    bool ok = false;
    int rc;

    *count = 0;
    sqlite3_bind_int64(stmt, 1, key);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        if (*count == room) {
            void *grown = realloc(*rows, (room += 16) * element);

            if (!grown) {
                error_set(err, ERR_STORE_UNAVAILABLE, "store: out of memory");
                goto out;
            }
            *rows = grown;
        }
        memset((char *)*rows + *count * element, 0, element);
        if (!sqlite_read_row(stmt, 0, &sqlite_child_tables[child], (char *)*rows + *count * element, err))
            goto out;
        ++*count;
    }
    ok = rc == SQLITE_DONE || sqlite_fail(h, "reading", err);
out:
    sqlite3_reset(stmt);
    return ok;
}

/* The record of the row that stmt stands on: its key, then the columns. */
static struct record *get_record(struct store_handle *h, sqlite3_stmt *stmt, struct error *err)
{
    int64_t key = sqlite3_column_int64(stmt, 0);
    struct record *r = record_new();
    void *steps = NULL, *attempts = NULL;
    bool ok;

    if (!r) {
        error_set(err, ERR_STORE_UNAVAILABLE, "store: out of memory");
        return NULL;
    }
    ok = sqlite_read_row(stmt, 1, &sqlite_transfer_table, r, err) &&
         get_children(h, STEPS, key, &steps, &r->step_count, err) &&
         get_children(h, ATTEMPTS, key, &attempts, &r->attempt_count, err);
    r->steps = steps;
    r->attempts = attempts;
    if (!ok)
        record_free(&r);
    return r;
}

static bool read_key(sqlite3_stmt *stmt, struct record_key *key, struct error *err)
{
    const void *print = sqlite3_column_blob(stmt, 0);
    const char *id = (const char *)sqlite3_column_text(stmt, 1);

    if (!print || sqlite3_column_bytes(stmt, 0) != KEY_PRINT || !id || strlen(id) >= sizeof key->id)
        return error_set(err, ERR_STORE_UNAVAILABLE, "store: idempotency: not readable");
    snprintf(key->id, sizeof key->id, "%s", id);
    memcpy(key->print, print, KEY_PRINT);
    key->used = sqlite3_column_int64(stmt, 2);
    return true;
}

bool sqlite_get_key(struct store_handle *h, struct record_key *key, int64_t since, struct error *err)
{
    sqlite3_stmt *get = h->get_key;
    bool ok = false;
    int rc = SQLITE_MISUSE;

    if (sqlite3_bind_text(get, 1, key->caller, -1, SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_bind_text(get, 2, key->text, -1, SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_bind_int64(get, 3, since) == SQLITE_OK)
        rc = sqlite3_step(get);
    if (rc == SQLITE_ROW)
        ok = read_key(get, key, err);
    else if (rc == SQLITE_DONE)
        error_set(err, ERR_NOT_FOUND, "that key was not used");
    else
        sqlite_fail(h, "reading", err);
    sqlite3_reset(get);
    sqlite3_clear_bindings(get);
    return ok;
}

/* Each stands in the text between its line feeds. */
static void add_labels(struct buf *sql, const char *labels)
{
    struct label l;

    for (size_t i = 0; labels_next(&labels, &l); i++)
        buf_printf(sql, " AND instr(labels, char(10) || :label%zu || char(10)) > 0", i);
}

static bool bind_labels(sqlite3_stmt *stmt, const char *labels)
{
    struct label l;

    for (size_t i = 0; labels_next(&labels, &l); i++) {
        int len = (int)(l.value + l.value_len - l.name), at;
        char name[16];

        snprintf(name, sizeof name, ":label%zu", i);
        at = sqlite3_bind_parameter_index(stmt, name);
        if (sqlite3_bind_text(stmt, at, l.name, len, SQLITE_STATIC) != SQLITE_OK)
            return false;
    }
    return true;
}

static void make_list(struct buf *sql, const struct record_filter *f)
{
    buf_puts(sql, "SELECT key, ");
    sqlite_list_columns(sql, &sqlite_transfer_table, "");
    buf_puts(sql, " FROM transfer WHERE TRUE");
    if (f->id)
        buf_puts(sql, " AND id = :id");
    if (f->to)
        buf_puts(sql, " AND recipient_bare = :bare");
    if (f->to && strchr(f->to, '/'))
        buf_puts(sql, " AND recipient = :to");
    if (f->token)
        buf_puts(sql, " AND token = :token");
    if (f->batch)
        buf_puts(sql, " AND batch = :batch");
    if (f->labels)
        add_labels(sql, f->labels);
    if (f->by_state)
        buf_puts(sql, " AND state = :state");
    if (f->since)
        buf_puts(sql, " AND created >= :since");
    if (f->before)
        buf_puts(sql, f->unfinished ? " AND id > :before" : " AND id < :before");
    if (f->link)
        buf_puts(sql, " AND link_digest = :link");
    if (f->linked)
        buf_printf(sql, " AND link_expires > :linked AND state IN ('%s', '%s')",
                   transfer_state_name(TRANSFER_LINK_SENT), transfer_state_name(TRANSFER_LINK_FETCHED));
    if (f->unfinished) {
        buf_puts(sql, " AND state IN (''");
        for (size_t i = 0; i < TRANSFER_STATE_COUNT; i++) {
            if (!transfer_state_final((enum transfer_state)i))
                buf_printf(sql, ", '%s'", transfer_state_name((enum transfer_state)i));
        }
        buf_puts(sql, ")");
    }
    buf_puts(sql, f->unfinished ? " ORDER BY id" : " ORDER BY id DESC");
    if (f->limit)
        buf_printf(sql, " LIMIT %u", f->limit + 1); /* one more tells that there is more */
}

/* Binds those of the filter's values that the statement asks for. */
static bool bind_filter(sqlite3_stmt *stmt, const struct record_filter *f)
{
    const struct {
        const char *name, *text;
    } texts[] = {{":id", f->id},         {":to", f->to},     {":state", transfer_state_name(f->state)},
                 {":before", f->before}, {":link", f->link}, {":token", f->token},
                 {":batch", f->batch}};
    int at;

    if (!bind_labels(stmt, f->labels))
        return false;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        at = sqlite3_bind_parameter_index(stmt, texts[i].name);
        if (at && sqlite_bind_text(stmt, at, texts[i].text) != SQLITE_OK)
            return false;
    }
    at = sqlite3_bind_parameter_index(stmt, ":bare");
    if (at && sqlite_bind_bare(stmt, at, f->to) != SQLITE_OK)
        return false;
    at = sqlite3_bind_parameter_index(stmt, ":since");
    if (at && sqlite3_bind_int64(stmt, at, f->since) != SQLITE_OK)
        return false;
    at = sqlite3_bind_parameter_index(stmt, ":linked");
    return !at || sqlite3_bind_int64(stmt, at, f->linked) == SQLITE_OK;
}

static bool append(struct record_list *list, struct record *r)
{
    struct record **grown = list->items;

    if ((list->count & (list->count - 1)) == 0) /* 0, 1, 2, 4, 8 … items: the room is used up */
        grown = realloc(list->items, (list->count ? 2 * list->count : 1) * sizeof *grown);
    if (!grown)
        return false;
    list->items = grown;
    list->items[list->count++] = r;
    return true;
}

/* Steps and attempts are read while the list's own statement is open, and so in its snapshot. */
bool sqlite_list(struct store_handle *h, const struct record_filter *filter, struct record_list *out, struct error *err)
{
    struct record_list list = {0};
    sqlite3_stmt *stmt = NULL;
    struct buf sql = {0};
    bool ok = false;
    int rc;

    assert(filter->limit <= 1000 && (filter->limit > 0 || filter->unfinished));
    make_list(&sql, filter);
    if (!sqlite_prepare(h, &stmt, &sql, err))
        goto out;
    if (!bind_filter(stmt, filter)) {
        sqlite_fail(h, "reading", err);
        goto out;
    }
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct record *r;

        if (filter->limit && list.count == filter->limit) {
            list.more = true;
            rc = SQLITE_DONE;
            break;
        }
        r = get_record(h, stmt, err);
        if (!r)
            goto out;
        if (!append(&list, r)) {
            record_free(&r);
            error_set(err, ERR_STORE_UNAVAILABLE, "store: out of memory");
            goto out;
        }
    }
    ok = rc == SQLITE_DONE || sqlite_fail(h, "reading", err);
out:
    sqlite3_finalize(stmt); /* an open one would keep the log from being emptied */
    if (ok)
        *out = list;
    else
        record_list_free(&list);
    return ok;
}
