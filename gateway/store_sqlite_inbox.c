/* gateway/store_sqlite_inbox.c - files that were sent to us, into the store and out of it. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/store_sqlite_parts.h"
#include "gateway/token.h"

/* In the order of bind_item() and read_item(). */
#define COLUMNS                                                                                                        \
    "id, state, sender, sender_bare, recipient, name, type, caption, size, received, sha256, hash_confirmed, method,"  \
    " path, streamhost, created, updated, finished, expires, kept, error_code, error_text"

static bool prepare(struct store_handle *h, sqlite3_stmt **stmt, const char *text, struct error *err)
{
    struct buf sql = {0};

    buf_puts(&sql, text);
    return sqlite_prepare(h, stmt, &sql, err);
}

bool sqlite_prepare_inbox(struct store_handle *h, struct error *err)
{
    return prepare(h, &h->put_item,
                   "INSERT OR REPLACE INTO inbox (" COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11,"
                   " ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)",
                   err) &&
           prepare(h, &h->drop_item, "DELETE FROM inbox WHERE id = ?1", err);
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

static bool bind_texts(sqlite3_stmt *put, const struct inbox_item *i)
{
    const struct {
        int at;
        const char *text;
    } texts[] = {{1, i->id},          {2, inbox_state_name(i->state)},
                 {3, i->from},        {5, i->to},
                 {6, i->name},        {7, i->type},
                 {8, i->caption},     {11, i->sha256},
                 {13, i->method},     {14, i->path},
                 {15, i->streamhost}, {21, error_name(i->error_code)},
                 {22, i->error_text}};

    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
        if (sqlite_bind_text(put, texts[k].at, texts[k].text) != SQLITE_OK)
            return false;
    return sqlite_bind_bare(put, 4, i->from) == SQLITE_OK;
}

static bool bind_numbers(sqlite3_stmt *put, const struct inbox_item *i)
{
    const struct {
        int at;
        int64_t number;
    } numbers[] = {{9, i->size},     {10, (int64_t)i->received}, {12, i->hash_confirmed}, {16, i->created},
                   {17, i->updated}, {18, i->finished},          {19, i->expires},        {20, i->kept}};

    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
        if (sqlite3_bind_int64(put, numbers[k].at, numbers[k].number) != SQLITE_OK)
            return false;
    return true;
}

bool sqlite_put_item(struct store_handle *h, const struct inbox_item *item, struct error *err)
{
    return run(h, h->put_item, bind_texts(h->put_item, item) && bind_numbers(h->put_item, item), err);
}

bool sqlite_drop_item(struct store_handle *h, const char *id, struct error *err)
{
    return run(h, h->drop_item, sqlite_bind_text(h->drop_item, 1, id) == SQLITE_OK, err);
}

/* ---- out */

static bool read_fixed(sqlite3_stmt *stmt, int at, char *out, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(stmt, at);

    return text && (size_t)snprintf(out, size, "%s", text) < size;
}

/* needed: NULL is not readable. */
static bool read_owned(sqlite3_stmt *stmt, int at, bool needed, char **out)
{
    const char *text = (const char *)sqlite3_column_text(stmt, at);

    if (!text)
        return !needed;
    *out = strdup(text);
    return *out != NULL;
}

static bool read_texts(sqlite3_stmt *stmt, struct inbox_item *i)
{
    const char *state = (const char *)sqlite3_column_text(stmt, 1);
    const char *code = (const char *)sqlite3_column_text(stmt, 20);

    return read_fixed(stmt, 0, i->id, sizeof i->id) && state && inbox_state_parse(state, &i->state) && code &&
           error_code_parse(code, &i->error_code) && read_owned(stmt, 2, true, &i->from) &&
           read_owned(stmt, 4, true, &i->to) && read_owned(stmt, 5, true, &i->name) &&
           read_owned(stmt, 6, true, &i->type) && read_owned(stmt, 7, false, &i->caption) &&
           read_owned(stmt, 10, false, &i->sha256) && read_fixed(stmt, 12, i->method, sizeof i->method) &&
           read_fixed(stmt, 13, i->path, sizeof i->path) && read_owned(stmt, 14, false, &i->streamhost) &&
           read_owned(stmt, 21, false, &i->error_text);
}

static struct inbox_item *read_item(sqlite3_stmt *stmt, struct error *err)
{
    struct inbox_item *i = inbox_item_new();

    if (!i || !read_texts(stmt, i)) {
        inbox_item_free(&i);
        error_set(err, ERR_STORE_UNAVAILABLE, "store: inbox: not readable");
        return NULL;
    }
    i->size = sqlite3_column_int64(stmt, 8);
    i->received = (uint64_t)sqlite3_column_int64(stmt, 9);
    i->hash_confirmed = sqlite3_column_int64(stmt, 11) != 0;
    i->created = sqlite3_column_int64(stmt, 15);
    i->updated = sqlite3_column_int64(stmt, 16);
    i->finished = sqlite3_column_int64(stmt, 17);
    i->expires = sqlite3_column_int64(stmt, 18);
    i->kept = sqlite3_column_int64(stmt, 19) != 0;
    return i;
}

static void make_list(struct buf *sql, const struct inbox_filter *f)
{
    buf_puts(sql, "SELECT " COLUMNS " FROM inbox WHERE TRUE");
    if (f->id)
        buf_puts(sql, " AND id = :id");
    if (f->from)
        buf_puts(sql, " AND sender_bare = :from");
    if (f->to)
        buf_puts(sql, " AND recipient = :to");
    if (f->before)
        buf_puts(sql, " AND id < :before");
    if (f->after)
        buf_printf(sql,
                   " AND id <> :after AND finished >="
                   " coalesce((SELECT finished FROM inbox WHERE id = :after AND finished > 0), %lld)",
                   id_time(f->after));
    if (f->since)
        buf_puts(sql, " AND created >= :since");
    if (f->over)
        buf_puts(sql, " AND expires > 0 AND expires <= :over");
    if (f->states) {
        buf_puts(sql, " AND state IN (''");
        for (unsigned s = 0; s <= INBOX_FAILED; s++)
            if (f->states & 1u << s)
                buf_printf(sql, ", '%s'", inbox_state_name((enum inbox_state)s));
        buf_puts(sql, ")");
    }
    buf_puts(sql, " ORDER BY id DESC");
}

static bool bind_filter(sqlite3_stmt *stmt, const struct inbox_filter *f)
{
    const struct {
        const char *name, *text;
    } texts[] = {{":id", f->id}, {":from", f->from}, {":to", f->to}, {":before", f->before}, {":after", f->after}};
    int at;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        at = sqlite3_bind_parameter_index(stmt, texts[i].name);
        if (at && sqlite_bind_text(stmt, at, texts[i].text) != SQLITE_OK)
            return false;
    }
    at = sqlite3_bind_parameter_index(stmt, ":since");
    if (at && sqlite3_bind_int64(stmt, at, f->since) != SQLITE_OK)
        return false;
    at = sqlite3_bind_parameter_index(stmt, ":over");
    return !at || sqlite3_bind_int64(stmt, at, f->over) == SQLITE_OK;
}

static bool append(struct inbox_list *list, struct inbox_item *item)
{
    struct inbox_item **grown = list->items;

    if ((list->count & (list->count - 1)) == 0) /* 0, 1, 2, 4, 8 … items: the room is used up */
        grown = realloc(list->items, (list->count ? 2 * list->count : 1) * sizeof *grown);
    if (!grown)
        return false;
    list->items = grown;
    list->items[list->count++] = item;
    return true;
}

/* What the caller may not see is left out here: SQL's globs are others than a token's. */
static bool read_list(struct store_handle *h, sqlite3_stmt *stmt, const struct inbox_filter *f, struct inbox_list *list,
                      struct error *err)
{
    int rc;

    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *to = (const char *)sqlite3_column_text(stmt, 4);
        struct inbox_item *item;

        if (!to || !token_globs_allow(f->allow_to, to))
            continue;
        if (f->limit && list->count == f->limit) {
            list->more = true;
            return true;
        }
        item = read_item(stmt, err);
        if (!item)
            return false;
        if (!append(list, item)) {
            inbox_item_free(&item);
            return error_set(err, ERR_STORE_UNAVAILABLE, "store: out of memory");
        }
    }
    return rc == SQLITE_DONE || sqlite_fail(h, "reading", err);
}

bool sqlite_list_items(struct store_handle *h, const struct inbox_filter *filter, struct inbox_list *out,
                       struct error *err)
{
    struct inbox_list list = {0};
    sqlite3_stmt *stmt = NULL;
    struct buf sql = {0};
    bool ok;

    make_list(&sql, filter);
    ok = sqlite_prepare(h, &stmt, &sql, err) && (bind_filter(stmt, filter) || sqlite_fail(h, "reading", err)) &&
         read_list(h, stmt, filter, &list, err);
    sqlite3_finalize(stmt);
    if (ok)
        *out = list;
    else
        inbox_list_free(&list);
    return ok;
}
