/* gateway/store_sqlite_write.c - records and keys into the store, inside the transaction that the writer has begun. */
#include "gateway/store_sqlite_parts.h"

static bool prepare_transfer(struct store_handle *h, struct error *err)
{
    struct buf sql = {0};

    buf_puts(&sql, "SELECT key, steps_dropped");
    for (size_t i = 0; i < CHILDREN; i++)
        buf_printf(&sql, ", (SELECT max(seq) + 1 FROM %s WHERE transfer = key)", sqlite_child_tables[i].name);
    buf_puts(&sql, " FROM transfer WHERE id = ?");
    if (!sqlite_prepare(h, &h->find, &sql, err))
        return false;
    sqlite_make_insert(&sql, &sqlite_transfer_table, "", 0);
    if (!sqlite_prepare(h, &h->insert, &sql, err))
        return false;
    sqlite_make_update(&sql, &sqlite_transfer_table);
    if (!sqlite_prepare(h, &h->update, &sql, err))
        return false;
    /* A batch goes as one: a part of it would tell wrong totals. */
    buf_puts(&sql, "DELETE FROM transfer AS t WHERE finished > 0 AND finished < ?1 AND link_expires < ?1 AND"
                   " (batch IS NULL OR NOT EXISTS (SELECT 1 FROM transfer AS o WHERE o.batch = t.batch AND"
                   " (o.finished = 0 OR o.finished >= ?1 OR o.link_expires >= ?1)))");
    return sqlite_prepare(h, &h->forget, &sql, err);
}

bool sqlite_prepare_writing(struct store_handle *h, struct error *err)
{
    struct buf sql = {0};

    if (!prepare_transfer(h, err))
        return false;
    buf_puts(&sql, "INSERT OR REPLACE INTO idempotency (caller, key, print, transfer, used) VALUES (?, ?, ?, ?, ?)");
    if (!sqlite_prepare(h, &h->put_key, &sql, err))
        return false;
    buf_puts(&sql, "DELETE FROM idempotency WHERE used < ?");
    if (!sqlite_prepare(h, &h->forget_keys, &sql, err))
        return false;
    for (size_t i = 0; i < CHILDREN; i++) {
        sqlite_make_upsert(&sql, &sqlite_child_tables[i]);
        if (!sqlite_prepare(h, &h->put_child[i], &sql, err))
            return false;
        buf_printf(&sql, "DELETE FROM %s WHERE transfer = ? AND seq >= ?", sqlite_child_tables[i].name);
        if (!sqlite_prepare(h, &h->trim_child[i], &sql, err))
            return false;
    }
    return true;
}

/* What is there of a transfer; key 0: nothing. */
struct stored {
    int64_t key;
    int64_t steps_dropped;
    int64_t rows[CHILDREN];
};

static bool find_stored(struct store_handle *h, const char *id, struct stored *out, struct error *err)
{
    int rc = sqlite_bind_text(h->find, 1, id) == SQLITE_OK ? sqlite3_step(h->find) : SQLITE_MISUSE;

    *out = (struct stored){0};
    if (rc == SQLITE_ROW) {
        out->key = sqlite3_column_int64(h->find, 0);
        out->steps_dropped = sqlite3_column_int64(h->find, 1);
        for (int i = 0; i < CHILDREN; i++)
            out->rows[i] = sqlite3_column_int64(h->find, 2 + i); /* NULL, without any, is 0 */
    } else if (rc != SQLITE_DONE) {
        sqlite_fail(h, "writing", err);
    }
    sqlite3_reset(h->find);
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

static bool put_transfer(struct store_handle *h, const struct record *r, struct stored *stored, struct error *err)
{
    sqlite3_stmt *put = stored->key ? h->update : h->insert;
    bool ok =
        sqlite_bind_row(put, 1, &sqlite_transfer_table, r) &&
        (!stored->key || sqlite3_bind_int64(put, (int)sqlite_transfer_table.count + 1, stored->key) == SQLITE_OK) &&
        sqlite3_step(put) == SQLITE_DONE;

    if (!ok)
        sqlite_fail(h, "writing", err);
    else if (!stored->key)
        stored->key = sqlite3_last_insert_rowid(h->db);
    sqlite3_reset(put);
    sqlite3_clear_bindings(put); /* they point into r */
    return ok;
}

/* Those from first on; what is there beyond them goes. */
static bool put_children(struct store_handle *h, enum child child, const struct stored *stored, const void *rows,
                         size_t first, size_t count, struct error *err)
{
    sqlite3_stmt *put = h->put_child[child], *trim = h->trim_child[child];
    bool ok = true;

    for (size_t i = first; ok && i < count; i++) {
        ok = sqlite3_bind_int64(put, 1, stored->key) == SQLITE_OK &&
             sqlite3_bind_int64(put, 2, (int64_t)i) == SQLITE_OK &&
             sqlite_bind_row(put, 3, &sqlite_child_tables[child],
                             (const char *)rows + i * sqlite_child_tables[child].element) &&
             sqlite3_step(put) == SQLITE_DONE;
        if (!ok)
            sqlite_fail(h, "writing", err);
        sqlite3_reset(put);
    }
    if (!ok || stored->rows[child] <= (int64_t)count)
        return ok;
    ok = sqlite3_bind_int64(trim, 1, stored->key) == SQLITE_OK &&
         sqlite3_bind_int64(trim, 2, (int64_t)count) == SQLITE_OK && sqlite3_step(trim) == SQLITE_DONE;
    if (!ok)
        sqlite_fail(h, "writing", err);
    sqlite3_reset(trim);
    return ok;
}

/* Steps stay as they are once added (record.h), so that only what is new of them is written. */
static size_t first_new_step(const struct record *r, const struct stored *stored)
{
    return stored->steps_dropped == (int64_t)r->steps_dropped ? (size_t)stored->rows[STEPS] : 0;
}

bool sqlite_put(struct store_handle *h, const struct record *r, struct error *err)
{
    struct stored stored;

    return find_stored(h, r->id, &stored, err) && put_transfer(h, r, &stored, err) &&
           put_children(h, STEPS, &stored, r->steps, first_new_step(r, &stored), r->step_count, err) &&
           put_children(h, ATTEMPTS, &stored, r->attempts, 0, r->attempt_count, err);
}

static bool forget_before(struct store_handle *h, sqlite3_stmt *stmt, int64_t time, struct error *err)
{
    bool ok = sqlite3_bind_int64(stmt, 1, time) == SQLITE_OK && sqlite3_step(stmt) == SQLITE_DONE;

    if (!ok)
        sqlite_fail(h, "forgetting", err);
    sqlite3_reset(stmt);
    return ok;
}

bool sqlite_forget(struct store_handle *h, int64_t finished_before, int64_t used_before, struct error *err)
{
    return forget_before(h, h->forget, finished_before, err) && forget_before(h, h->forget_keys, used_before, err) &&
           sqlite_forget_deliveries(h, finished_before, err);
}

bool sqlite_put_key(struct store_handle *h, const struct record_key *key, struct error *err)
{
    sqlite3_stmt *put = h->put_key;
    bool ok = sqlite_bind_text(put, 1, key->caller) == SQLITE_OK && sqlite_bind_text(put, 2, key->text) == SQLITE_OK &&
              sqlite3_bind_blob(put, 3, key->print, KEY_PRINT, SQLITE_STATIC) == SQLITE_OK &&
              sqlite_bind_text(put, 4, key->id) == SQLITE_OK && sqlite3_bind_int64(put, 5, key->used) == SQLITE_OK &&
              sqlite3_step(put) == SQLITE_DONE;

    if (!ok)
        sqlite_fail(h, "writing", err);
    sqlite3_reset(put);
    sqlite3_clear_bindings(put); /* they point into key */
    return ok;
}
