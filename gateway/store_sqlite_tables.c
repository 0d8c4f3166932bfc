/* gateway/store_sqlite_tables.c - what a table's columns hold, and where it stands in our structs: the one list that
 * writing and reading both go by. */
#include <stdio.h>
#include <string.h>

#include "gateway/store_sqlite_parts.h"

enum kind {
    KIND_OWNED, /* char *, NULL is NULL */
    KIND_TEXT,  /* char *, NULL is '' */
    KIND_FIXED, /* char[] */
    KIND_INT64, /* int64_t, or uint64_t below 2^63 */
    KIND_COUNT, /* unsigned */
    KIND_FLAG,  /* bool; 0 or 1 */
    KIND_BARE,  /* written from char *, up to its '/'; never read back */
    KIND_STATE, /* the enums by their names */
    KIND_STAGE,
    KIND_PROOF,
    KIND_DIRECTION,
    KIND_MODE,
    KIND_UPLOAD,
    KIND_ERROR
};

struct column {
    const char *name;
    enum kind kind;
    bool constant; /* no update sets it, so that its indexes stay as they are */
    size_t offset;
    size_t size; /* of the member */
};

#define COLUMN_AS(name, kind, owner, member, constant)                                                                 \
    {                                                                                                                  \
        name, kind, constant, offsetof(struct owner, member), sizeof(((struct owner *)NULL)->member)                   \
    }
#define COLUMN(name, kind, owner, member)   COLUMN_AS(name, kind, owner, member, false)
#define CONSTANT(name, kind, owner, member) COLUMN_AS(name, kind, owner, member, true)

/* clang-format off */
static const struct column transfer_columns[] = {
    CONSTANT("id",              KIND_FIXED, record, id),
    COLUMN("state",           KIND_STATE, record, state),
    CONSTANT("recipient",       KIND_OWNED, record, to),
    CONSTANT("recipient_bare",  KIND_BARE,  record, to),
    COLUMN("resource",        KIND_OWNED, record, resource),
    COLUMN("sender",          KIND_OWNED, record, from),
    COLUMN("name",            KIND_OWNED, record, name),
    COLUMN("type",            KIND_OWNED, record, type),
    COLUMN("size",            KIND_INT64, record, size),
    COLUMN("received",        KIND_INT64, record, received),
    COLUMN("sha256",          KIND_TEXT,  record, sha256),
    COLUMN("mode",            KIND_MODE,  record, mode),
    COLUMN("upload",          KIND_UPLOAD, record, upload),
    COLUMN("caption",         KIND_OWNED, record, caption),
    COLUMN("methods",         KIND_OWNED, record, methods),
    CONSTANT("labels",          KIND_OWNED, record, labels),
    CONSTANT("batch",           KIND_OWNED, record, batch),
    CONSTANT("batch_place",     KIND_COUNT, record, batch_place),
    COLUMN("request_id",      KIND_OWNED, record, request_id),
    COLUMN("traceparent",     KIND_OWNED, record, traceparent),
    COLUMN("token",           KIND_OWNED, record, token),
    COLUMN("sent",            KIND_INT64, record, sent),
    COLUMN("method",          KIND_FIXED, record, method),
    COLUMN("path",            KIND_FIXED, record, path),
    COLUMN("streamhost",      KIND_OWNED, record, streamhost),
    COLUMN("proof",           KIND_PROOF, record, proof),
    COLUMN("link_at",         KIND_OWNED, record, link_at),
    COLUMN("link_digest",     KIND_OWNED, record, link_digest),
    COLUMN("link_expires",    KIND_INT64, record, link_expires),
    COLUMN("link_fetched",    KIND_INT64, record, link_fetched),
    COLUMN("round",           KIND_COUNT, record, round),
    COLUMN("max_rounds",      KIND_COUNT, record, max_rounds),
    COLUMN("next_attempt_at", KIND_INT64, record, next_attempt_at),
    COLUMN("error_stage",     KIND_STAGE, record, error_stage),
    COLUMN("error_code",      KIND_ERROR, record, error_code),
    COLUMN("error_text",      KIND_TEXT,  record, error_text),
    CONSTANT("created",         KIND_INT64, record, created),
    COLUMN("updated",         KIND_INT64, record, updated),
    COLUMN("finished",        KIND_INT64, record, finished),
    COLUMN("expires",         KIND_INT64, record, expires),
    COLUMN("steps_dropped",   KIND_COUNT, record, steps_dropped),
    COLUMN("hold_until",      KIND_INT64, record, hold_until),
    COLUMN("subscribe",       KIND_FLAG,  record, subscribe),
};

static const struct column step_columns[] = {
    COLUMN("at",        KIND_INT64,     step, at),
    COLUMN("direction", KIND_DIRECTION, step, direction),
    COLUMN("name",      KIND_FIXED,     step, name),
    COLUMN("outcome",   KIND_FIXED,     step, outcome),
    COLUMN("detail",    KIND_FIXED,     step, detail),
};

static const struct column attempt_columns[] = {
    COLUMN("round",      KIND_COUNT, attempt, round),
    COLUMN("started",    KIND_INT64, attempt, started),
    COLUMN("ended",      KIND_INT64, attempt, ended),
    COLUMN("method",     KIND_FIXED, attempt, method),
    COLUMN("recipient",  KIND_FIXED, attempt, to),
    COLUMN("stage",      KIND_STAGE, attempt, stage),
    COLUMN("error_code", KIND_ERROR, attempt, error.code),
    COLUMN("error_text", KIND_FIXED, attempt, error.text),
};
/* clang-format on */

#define TABLE(name, columns, owner)                                                                                    \
    {                                                                                                                  \
        name, columns, sizeof(columns) / sizeof *(columns), sizeof(struct owner)                                       \
    }

const struct table sqlite_transfer_table = TABLE("transfer", transfer_columns, record);

const struct table sqlite_child_tables[CHILDREN] = {
    [STEPS] = TABLE("step", step_columns, step),
    [ATTEMPTS] = TABLE("attempt", attempt_columns, attempt),
};

/* ---- values in */

int sqlite_bind_text(sqlite3_stmt *stmt, int at, const char *text)
{
    return text ? sqlite3_bind_text(stmt, at, text, -1, SQLITE_STATIC) : sqlite3_bind_null(stmt, at);
}

int sqlite_bind_bare(sqlite3_stmt *stmt, int at, const char *jid)
{
    return sqlite3_bind_text(stmt, at, jid, (int)strcspn(jid, "/"), SQLITE_STATIC);
}

/* Binds the column's member of row; row has to outlive the statement's run. */
static int bind(sqlite3_stmt *stmt, int at, const struct column *c, const void *row)
{
    const void *member = (const char *)row + c->offset;

    switch (c->kind) {
    case KIND_OWNED:
        return sqlite_bind_text(stmt, at, *(char *const *)member);
    case KIND_TEXT:
        return sqlite_bind_text(stmt, at, *(char *const *)member ? *(char *const *)member : "");
    case KIND_FIXED:
        return sqlite_bind_text(stmt, at, member);
    case KIND_INT64:
        return sqlite3_bind_int64(stmt, at, *(const int64_t *)member);
    case KIND_COUNT:
        return sqlite3_bind_int64(stmt, at, *(const unsigned *)member);
    case KIND_FLAG:
        return sqlite3_bind_int64(stmt, at, *(const bool *)member);
    case KIND_BARE:
        return sqlite_bind_bare(stmt, at, *(char *const *)member);
    case KIND_STATE:
        return sqlite_bind_text(stmt, at, transfer_state_name(*(const enum transfer_state *)member));
    case KIND_STAGE:
        return sqlite_bind_text(stmt, at, stage_name(*(const enum stage *)member));
    case KIND_PROOF:
        return sqlite_bind_text(stmt, at, proof_name(*(const enum proof *)member));
    case KIND_DIRECTION:
        return sqlite_bind_text(stmt, at, step_direction_name(*(const enum step_direction *)member));
    case KIND_MODE:
        return sqlite_bind_text(stmt, at, mode_name(*(const enum mode *)member));
    case KIND_UPLOAD:
        return sqlite_bind_text(stmt, at, upload_state_name(*(const enum upload_state *)member));
    case KIND_ERROR:
        return sqlite_bind_text(stmt, at, error_name(*(const enum error_code *)member));
    }
    return SQLITE_MISUSE;
}

bool sqlite_bind_row(sqlite3_stmt *stmt, int from, const struct table *t, const void *row)
{
    for (size_t i = 0; i < t->count; i++) {
        if (bind(stmt, from + (int)i, &t->columns[i], row) != SQLITE_OK)
            return false;
    }
    return true;
}

/* ---- values out */

static bool read_fixed(char *out, size_t size, const char *text)
{
    size_t len = strlen(text);

    if (len >= size)
        return false;
    memcpy(out, text, len + 1);
    return true;
}

/* Reads one column into its member; false: out of memory, or no value of ours. */
static bool read_column(sqlite3_stmt *stmt, int at, const struct column *c, void *row)
{
    void *member = (char *)row + c->offset;
    const char *text;

    if (c->kind == KIND_INT64) {
        *(int64_t *)member = sqlite3_column_int64(stmt, at);
        return true;
    }
    if (c->kind == KIND_COUNT) {
        *(unsigned *)member = (unsigned)sqlite3_column_int64(stmt, at);
        return true;
    }
    if (c->kind == KIND_FLAG) {
        *(bool *)member = sqlite3_column_int64(stmt, at) != 0;
        return true;
    }
    text = (const char *)sqlite3_column_text(stmt, at);
    if (!text)
        return c->kind == KIND_OWNED ? record_text(member, NULL) : c->kind == KIND_PROOF;
    switch (c->kind) {
    case KIND_OWNED:
        return record_text(member, text);
    case KIND_TEXT:
        return record_text(member, *text ? text : NULL);
    case KIND_FIXED:
        return read_fixed(member, c->size, text);
    case KIND_STATE:
        return transfer_state_parse(text, member);
    case KIND_STAGE:
        return stage_parse(text, member);
    case KIND_PROOF:
        return proof_parse(text, member);
    case KIND_DIRECTION:
        return step_direction_parse(text, member);
    case KIND_MODE:
        return mode_parse(text, member);
    case KIND_UPLOAD:
        return upload_state_parse(text, member);
    case KIND_ERROR:
        return error_code_parse(text, member);
    case KIND_BARE:
    case KIND_INT64:
    case KIND_COUNT:
    case KIND_FLAG:
        break;
    }
    return true;
}

bool sqlite_read_row(sqlite3_stmt *stmt, int from, const struct table *t, void *row, struct error *err)
{
    for (size_t i = 0; i < t->count; i++) {
        if (!read_column(stmt, from + (int)i, &t->columns[i], row))
            return error_set(err, ERR_STORE_UNAVAILABLE, "store: %s.%s: not readable", t->name, t->columns[i].name);
    }
    return true;
}

/* ---- texts of statements */

void sqlite_list_columns(struct buf *sql, const struct table *t, const char *prefix)
{
    for (size_t i = 0; i < t->count; i++)
        buf_printf(sql, "%s%s%s", i ? ", " : "", prefix, t->columns[i].name);
}

void sqlite_make_insert(struct buf *sql, const struct table *t, const char *keys, size_t key_count)
{
    buf_printf(sql, "INSERT INTO %s (%s", t->name, keys);
    sqlite_list_columns(sql, t, "");
    buf_puts(sql, ") VALUES (?");
    for (size_t i = 1; i < key_count + t->count; i++)
        buf_puts(sql, ", ?");
    buf_puts(sql, ")");
}

void sqlite_make_update(struct buf *sql, const struct table *t)
{
    const char *comma = "";

    buf_printf(sql, "UPDATE %s SET ", t->name);
    for (size_t i = 0; i < t->count; i++) {
        if (t->columns[i].constant)
            continue;
        buf_printf(sql, "%s%s = ?%zu", comma, t->columns[i].name, i + 1);
        comma = ", ";
    }
    buf_printf(sql, " WHERE key = ?%zu", t->count + 1);
}

void sqlite_make_upsert(struct buf *sql, const struct table *t)
{
    char prefix[16];

    sqlite_make_insert(sql, t, "transfer, seq, ", 2);
    buf_puts(sql, " ON CONFLICT (transfer, seq) DO UPDATE SET ");
    for (size_t i = 0; i < t->count; i++)
        buf_printf(sql, "%s%s = excluded.%s", i ? ", " : "", t->columns[i].name, t->columns[i].name);
    snprintf(prefix, sizeof prefix, "%s.", t->name);
    buf_puts(sql, " WHERE (");
    sqlite_list_columns(sql, t, prefix);
    buf_puts(sql, ") IS NOT (");
    sqlite_list_columns(sql, t, "excluded.");
    buf_puts(sql, ")");
}
