/* gateway/store_sqlite.c - records in one SQLite file, "sqlite:///var/lib/jidpost/jidpost.db".
 *
 * WAL with synchronous=FULL: a commit is one append and one sync, and readers never wait for the writer. One
 * connection a handle, so a connection stays with one thread at a time and needs no mutex of its own. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/fd.h"
#include "gateway/store.h"

#define SCHEME "sqlite://"

enum { BUSY_MS = 5000 };

/* The log is copied into the database once it has so many pages (of 4 KiB), as far as readers allow, and then written
 * anew from its beginning, if none of them reads it just then. Under steady load somebody always may: so one that has
 * grown all the same is emptied by waiting for those who read it. Who comes meanwhile finds all of it in the database.
 */
enum { LOG_COPY = 1000, LOG_MOST = 8192, LOG_WAIT_MS = 1000 };

/* The check reads every page: 64 MiB take well under a second, but a store of gigabytes would hold up the start for
 * minutes, and what is damaged there is still told when it is read. */
enum { CHECK_MAX = 64 * 1024 * 1024 };

/* Applied in order, each once; PRAGMA user_version counts them. A released one never changes. */
extern const char embedded_schema_001[], embedded_schema_002[], embedded_schema_003[], embedded_schema_004[],
    embedded_schema_005[], embedded_schema_006[];
static const char *const schema[] = {embedded_schema_001, embedded_schema_002, embedded_schema_003,
                                     embedded_schema_004, embedded_schema_005, embedded_schema_006};

enum { SCHEMA_VERSION = sizeof schema / sizeof *schema };

/* ---- what a table's columns hold, and where it stands in our structs */

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
    COLUMN("request_id",      KIND_OWNED, record, request_id),
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

struct table {
    const char *name;
    const struct column *columns;
    size_t count;
    size_t element; /* bytes of one row's struct */
};

#define TABLE(name, columns, owner)                                                                                    \
    {                                                                                                                  \
        name, columns, sizeof(columns) / sizeof *(columns), sizeof(struct owner)                                       \
    }

static const struct table transfers = TABLE("transfer", transfer_columns, record);

/* Rows below a transfer, numbered from 0. */
enum child { STEPS, ATTEMPTS, CHILDREN };
static const struct table children[CHILDREN] = {
    [STEPS] = TABLE("step", step_columns, step),
    [ATTEMPTS] = TABLE("attempt", attempt_columns, attempt),
};

struct store_handle {
    sqlite3 *db;
    /* the writer's */
    int log_most; /* pages of the log at which it is emptied next */
    sqlite3_stmt *find, *insert, *update, *put_child[CHILDREN], *trim_child[CHILDREN], *forget;
    sqlite3_stmt *put_key, *forget_keys;
    /* everybody's */
    sqlite3_stmt *get_child[CHILDREN], *get_key;
};

static bool fail(struct store_handle *h, const char *doing, struct error *err)
{
    return error_set(err, ERR_STORE_UNAVAILABLE, "store: %s: %s", doing, sqlite3_errmsg(h->db));
}

/* ---- values in */

static int bind_text(sqlite3_stmt *stmt, int at, const char *text)
{
    return text ? sqlite3_bind_text(stmt, at, text, -1, SQLITE_STATIC) : sqlite3_bind_null(stmt, at);
}

static int bind_bare(sqlite3_stmt *stmt, int at, const char *jid)
{
    return sqlite3_bind_text(stmt, at, jid, (int)strcspn(jid, "/"), SQLITE_STATIC);
}

/* Binds the column's member of row; row has to outlive the statement's run. */
static int bind(sqlite3_stmt *stmt, int at, const struct column *c, const void *row)
{
    const void *member = (const char *)row + c->offset;

    switch (c->kind) {
    case KIND_OWNED:
        return bind_text(stmt, at, *(char *const *)member);
    case KIND_TEXT:
        return bind_text(stmt, at, *(char *const *)member ? *(char *const *)member : "");
    case KIND_FIXED:
        return bind_text(stmt, at, member);
    case KIND_INT64:
        return sqlite3_bind_int64(stmt, at, *(const int64_t *)member);
    case KIND_COUNT:
        return sqlite3_bind_int64(stmt, at, *(const unsigned *)member);
    case KIND_FLAG:
        return sqlite3_bind_int64(stmt, at, *(const bool *)member);
    case KIND_BARE:
        return bind_bare(stmt, at, *(char *const *)member);
    case KIND_STATE:
        return bind_text(stmt, at, transfer_state_name(*(const enum transfer_state *)member));
    case KIND_STAGE:
        return bind_text(stmt, at, stage_name(*(const enum stage *)member));
    case KIND_PROOF:
        return bind_text(stmt, at, proof_name(*(const enum proof *)member));
    case KIND_DIRECTION:
        return bind_text(stmt, at, step_direction_name(*(const enum step_direction *)member));
    case KIND_MODE:
        return bind_text(stmt, at, mode_name(*(const enum mode *)member));
    case KIND_UPLOAD:
        return bind_text(stmt, at, upload_state_name(*(const enum upload_state *)member));
    case KIND_ERROR:
        return bind_text(stmt, at, error_name(*(const enum error_code *)member));
    }
    return SQLITE_MISUSE;
}

static bool bind_row(sqlite3_stmt *stmt, int from, const struct table *t, const void *row)
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

static bool read_row(sqlite3_stmt *stmt, int from, const struct table *t, void *row, struct error *err)
{
    for (size_t i = 0; i < t->count; i++) {
        if (!read_column(stmt, from + (int)i, &t->columns[i], row))
            return error_set(err, ERR_STORE_UNAVAILABLE, "store: %s.%s: not readable", t->name, t->columns[i].name);
    }
    return true;
}

/* ---- statements */

static bool prepare(struct store_handle *h, sqlite3_stmt **stmt, struct buf *sql, struct error *err)
{
    bool ok = false;

    if (sql->failed)
        error_set(err, ERR_STORE_UNAVAILABLE, "store: out of memory");
    else if (sqlite3_prepare_v3(h->db, sql->data, -1, SQLITE_PREPARE_PERSISTENT, stmt, NULL) != SQLITE_OK)
        fail(h, "preparing", err);
    else
        ok = true;
    buf_free(sql);
    return ok;
}

/* "prefix.a, prefix.b, …" */
static void list_columns(struct buf *sql, const struct table *t, const char *prefix)
{
    for (size_t i = 0; i < t->count; i++)
        buf_printf(sql, "%s%s%s", i ? ", " : "", prefix, t->columns[i].name);
}

/* "INSERT INTO t (keys, columns) VALUES (?, …)" */
static void make_insert(struct buf *sql, const struct table *t, const char *keys, size_t key_count)
{
    buf_printf(sql, "INSERT INTO %s (%s", t->name, keys);
    list_columns(sql, t, "");
    buf_puts(sql, ") VALUES (?");
    for (size_t i = 1; i < key_count + t->count; i++)
        buf_puts(sql, ", ?");
    buf_puts(sql, ")");
}

/* Numbered as the columns are, the key behind them. */
static void make_update(struct buf *sql, const struct table *t)
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

/* A row that is as it was is not written again. */
static void make_upsert(struct buf *sql, const struct table *t)
{
    char prefix[16];

    make_insert(sql, t, "transfer, seq, ", 2);
    buf_puts(sql, " ON CONFLICT (transfer, seq) DO UPDATE SET ");
    for (size_t i = 0; i < t->count; i++)
        buf_printf(sql, "%s%s = excluded.%s", i ? ", " : "", t->columns[i].name, t->columns[i].name);
    snprintf(prefix, sizeof prefix, "%s.", t->name);
    buf_puts(sql, " WHERE (");
    list_columns(sql, t, prefix);
    buf_puts(sql, ") IS NOT (");
    list_columns(sql, t, "excluded.");
    buf_puts(sql, ")");
}

static bool prepare_transfer(struct store_handle *h, struct error *err)
{
    struct buf sql = {0};

    buf_puts(&sql, "SELECT key, steps_dropped");
    for (size_t i = 0; i < CHILDREN; i++)
        buf_printf(&sql, ", (SELECT max(seq) + 1 FROM %s WHERE transfer = key)", children[i].name);
    buf_puts(&sql, " FROM transfer WHERE id = ?");
    if (!prepare(h, &h->find, &sql, err))
        return false;
    make_insert(&sql, &transfers, "", 0);
    if (!prepare(h, &h->insert, &sql, err))
        return false;
    make_update(&sql, &transfers);
    if (!prepare(h, &h->update, &sql, err))
        return false;
    buf_puts(&sql, "DELETE FROM transfer WHERE finished > 0 AND finished < ?1 AND link_expires < ?1");
    return prepare(h, &h->forget, &sql, err);
}

static bool prepare_writing(struct store_handle *h, struct error *err)
{
    struct buf sql = {0};

    if (!prepare_transfer(h, err))
        return false;
    buf_puts(&sql, "INSERT OR REPLACE INTO idempotency (caller, key, print, transfer, used) VALUES (?, ?, ?, ?, ?)");
    if (!prepare(h, &h->put_key, &sql, err))
        return false;
    buf_puts(&sql, "DELETE FROM idempotency WHERE used < ?");
    if (!prepare(h, &h->forget_keys, &sql, err))
        return false;
    for (size_t i = 0; i < CHILDREN; i++) {
        make_upsert(&sql, &children[i]);
        if (!prepare(h, &h->put_child[i], &sql, err))
            return false;
        buf_printf(&sql, "DELETE FROM %s WHERE transfer = ? AND seq >= ?", children[i].name);
        if (!prepare(h, &h->trim_child[i], &sql, err))
            return false;
    }
    return true;
}

static bool prepare_reading(struct store_handle *h, struct error *err)
{
    struct buf sql = {0};

    buf_puts(&sql, "SELECT print, transfer, used FROM idempotency WHERE caller = ? AND key = ? AND used >= ?");
    if (!prepare(h, &h->get_key, &sql, err))
        return false;
    for (size_t i = 0; i < CHILDREN; i++) {
        buf_puts(&sql, "SELECT ");
        list_columns(&sql, &children[i], "");
        buf_printf(&sql, " FROM %s WHERE transfer = ? ORDER BY seq", children[i].name);
        if (!prepare(h, &h->get_child[i], &sql, err))
            return false;
    }
    return true;
}

static bool run(struct store_handle *h, const char *sql, const char *doing, struct error *err)
{
    return sqlite3_exec(h->db, sql, NULL, NULL, NULL) == SQLITE_OK || fail(h, doing, err);
}

/* The first column of the first row, as text; false when there is none. */
static bool ask(struct store_handle *h, const char *sql, char *out, size_t size, struct error *err)
{
    sqlite3_stmt *stmt = NULL;
    const char *text = NULL;
    bool ok = false;

    if (sqlite3_prepare_v2(h->db, sql, -1, &stmt, NULL) == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
        text = (const char *)sqlite3_column_text(stmt, 0);
    if (text) {
        snprintf(out, size, "%s", text);
        ok = true;
    } else {
        fail(h, sql, err);
    }
    sqlite3_finalize(stmt);
    return ok;
}

/* ---- opening */

/* A new file is for its owner alone, whatever the umask; SQLite gives -wal and -shm the mode of the file. Only a new
 * one is touched: closing any descriptor of a database would drop this process's locks on it. */
static void make_private(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    fd_close(&fd);
}

static bool check(struct store_handle *h, const char *path, struct error *err)
{
    char verdict[120];
    struct stat st;

    if (stat(path, &st) == 0 && st.st_size > CHECK_MAX)
        return true;
    if (!ask(h, "PRAGMA quick_check(1)", verdict, sizeof verdict, err))
        return false;
    if (strcmp(verdict, "ok") != 0)
        return error_set(err, ERR_STORE_UNAVAILABLE, "store: %s is damaged: %s", path, verdict);
    return true;
}

static bool migrate(struct store_handle *h, const char *path, struct error *err)
{
    char text[24], set[48];
    long version;
    bool ok = false;

    if (!run(h, "BEGIN IMMEDIATE", "migrating", err))
        return false;
    if (!ask(h, "PRAGMA user_version", text, sizeof text, err))
        goto out;
    version = strtol(text, NULL, 10);
    if (version < 0 || version > SCHEMA_VERSION) {
        error_set(err, ERR_CONFIG,
                  "the store %s has version %ld, this jidpost knows up to version %d: run the newer jidpost", path,
                  version, SCHEMA_VERSION);
        goto out;
    }
    for (long v = version; v < SCHEMA_VERSION; v++) {
        if (!run(h, schema[v], "migrating", err))
            goto out;
    }
    snprintf(set, sizeof set, "PRAGMA user_version = %d", SCHEMA_VERSION);
    ok = (version == SCHEMA_VERSION || run(h, set, "migrating", err)) && run(h, "COMMIT", "migrating", err);
out:
    if (!ok && !sqlite3_get_autocommit(h->db))
        sqlite3_exec(h->db, "ROLLBACK", NULL, NULL, NULL);
    return ok;
}

/* After each commit. Who waited in vain waits again only when there is as much more. */
static int on_log(void *user, sqlite3 *db, const char *name, int pages)
{
    struct store_handle *h = user;
    int rc;

    if (pages < LOG_COPY)
        return SQLITE_OK;
    sqlite3_busy_timeout(db, pages < h->log_most ? 0 : LOG_WAIT_MS);
    rc = sqlite3_wal_checkpoint_v2(
        db, name, pages < h->log_most ? SQLITE_CHECKPOINT_PASSIVE : SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    sqlite3_busy_timeout(db, BUSY_MS);
    if (pages >= h->log_most)
        h->log_most = rc == SQLITE_OK ? LOG_MOST : pages + LOG_MOST;
    return SQLITE_OK; /* the commit is one, whatever became of this */
}

static bool set_up_writer(struct store_handle *h, const char *path, struct error *err)
{
    char mode[16];

    if (!ask(h, "PRAGMA journal_mode = WAL", mode, sizeof mode, err))
        return false;
    if (strcmp(mode, "wal") != 0)
        return error_set(err, ERR_CONFIG, "store: %s: write-ahead logging is needed, and needs a local file system",
                         path);
    h->log_most = LOG_MOST;
    sqlite3_wal_hook(h->db, on_log, h);
    return run(h, "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 4194304", "setting up", err) &&
           check(h, path, err) && migrate(h, path, err) && prepare_writing(h, err);
}

static void sqlite_close(struct store_handle **handle)
{
    struct store_handle *h = *handle;

    if (!h)
        return;
    sqlite3_finalize(h->find);
    sqlite3_finalize(h->insert);
    sqlite3_finalize(h->update);
    sqlite3_finalize(h->forget);
    sqlite3_finalize(h->put_key);
    sqlite3_finalize(h->forget_keys);
    sqlite3_finalize(h->get_key);
    for (size_t i = 0; i < CHILDREN; i++) {
        sqlite3_finalize(h->put_child[i]);
        sqlite3_finalize(h->trim_child[i]);
        sqlite3_finalize(h->get_child[i]);
    }
    sqlite3_close(h->db);
    free(h);
    *handle = NULL;
}

static struct store_handle *sqlite_open(const char *url, bool writer, struct error *err)
{
    const char *path = url + strlen(SCHEME);
    int flags = SQLITE_OPEN_NOMUTEX | (writer ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY);
    struct store_handle *h = calloc(1, sizeof *h);

    assert(strncmp(url, SCHEME, strlen(SCHEME)) == 0);
    if (!h) {
        error_set(err, ERR_STORE_UNAVAILABLE, "store: out of memory");
        return NULL;
    }
    if (*path == '\0') {
        error_set(err, ERR_CONFIG, "store.url: a path is missing: " SCHEME "/var/lib/jidpost/jidpost.db");
        goto fail;
    }
    if (writer)
        make_private(path);
    if (sqlite3_open_v2(path, &h->db, flags, NULL) != SQLITE_OK) {
        fail(h, path, err);
        goto fail;
    }
    sqlite3_busy_timeout(h->db, BUSY_MS);
    /* Half a MiB of pages: what is read again lies in the system's cache as well, and SQLite's own takes two. */
    if (!run(h, "PRAGMA trusted_schema = OFF; PRAGMA foreign_keys = ON; PRAGMA cache_size = -512", "setting up", err) ||
        (writer && !set_up_writer(h, path, err)) || !prepare_reading(h, err))
        goto fail;
    return h;
fail:
    sqlite_close(&h);
    return NULL;
}

/* ---- writing */

static bool sqlite_begin(struct store_handle *h, struct error *err)
{
    /* A deferred one that turns to writing is refused at once when it should wait, whatever the busy timeout. */
    return run(h, "BEGIN IMMEDIATE", "beginning", err);
}

static bool sqlite_commit(struct store_handle *h, struct error *err)
{
    return run(h, "COMMIT", "committing", err);
}

static void sqlite_rollback(struct store_handle *h)
{
    if (!sqlite3_get_autocommit(h->db)) /* some failures have rolled back already */
        sqlite3_exec(h->db, "ROLLBACK", NULL, NULL, NULL);
}

/* What is there of a transfer; key 0: nothing. */
struct stored {
    int64_t key;
    int64_t steps_dropped;
    int64_t rows[CHILDREN];
};

static bool find_stored(struct store_handle *h, const char *id, struct stored *out, struct error *err)
{
    int rc = bind_text(h->find, 1, id) == SQLITE_OK ? sqlite3_step(h->find) : SQLITE_MISUSE;

    *out = (struct stored){0};
    if (rc == SQLITE_ROW) {
        out->key = sqlite3_column_int64(h->find, 0);
        out->steps_dropped = sqlite3_column_int64(h->find, 1);
        for (int i = 0; i < CHILDREN; i++)
            out->rows[i] = sqlite3_column_int64(h->find, 2 + i); /* NULL, without any, is 0 */
    } else if (rc != SQLITE_DONE) {
        fail(h, "writing", err);
    }
    sqlite3_reset(h->find);
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

static bool put_transfer(struct store_handle *h, const struct record *r, struct stored *stored, struct error *err)
{
    sqlite3_stmt *put = stored->key ? h->update : h->insert;
    bool ok = bind_row(put, 1, &transfers, r) &&
              (!stored->key || sqlite3_bind_int64(put, (int)transfers.count + 1, stored->key) == SQLITE_OK) &&
              sqlite3_step(put) == SQLITE_DONE;

    if (!ok)
        fail(h, "writing", err);
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
             bind_row(put, 3, &children[child], (const char *)rows + i * children[child].element) &&
             sqlite3_step(put) == SQLITE_DONE;
        if (!ok)
            fail(h, "writing", err);
        sqlite3_reset(put);
    }
    if (!ok || stored->rows[child] <= (int64_t)count)
        return ok;
    ok = sqlite3_bind_int64(trim, 1, stored->key) == SQLITE_OK &&
         sqlite3_bind_int64(trim, 2, (int64_t)count) == SQLITE_OK && sqlite3_step(trim) == SQLITE_DONE;
    if (!ok)
        fail(h, "writing", err);
    sqlite3_reset(trim);
    return ok;
}

/* Steps stay as they are once added (record.h), so that only what is new of them is written. */
static size_t first_new_step(const struct record *r, const struct stored *stored)
{
    return stored->steps_dropped == (int64_t)r->steps_dropped ? (size_t)stored->rows[STEPS] : 0;
}

static bool sqlite_put(struct store_handle *h, const struct record *r, struct error *err)
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
        fail(h, "forgetting", err);
    sqlite3_reset(stmt);
    return ok;
}

static bool sqlite_forget(struct store_handle *h, int64_t finished_before, int64_t used_before, struct error *err)
{
    return forget_before(h, h->forget, finished_before, err) && forget_before(h, h->forget_keys, used_before, err);
}

static bool sqlite_put_key(struct store_handle *h, const struct record_key *key, struct error *err)
{
    sqlite3_stmt *put = h->put_key;
    bool ok = bind_text(put, 1, key->caller) == SQLITE_OK && bind_text(put, 2, key->text) == SQLITE_OK &&
              sqlite3_bind_blob(put, 3, key->print, KEY_PRINT, SQLITE_STATIC) == SQLITE_OK &&
              bind_text(put, 4, key->id) == SQLITE_OK && sqlite3_bind_int64(put, 5, key->used) == SQLITE_OK &&
              sqlite3_step(put) == SQLITE_DONE;

    if (!ok)
        fail(h, "writing", err);
    sqlite3_reset(put);
    sqlite3_clear_bindings(put); /* they point into key */
    return ok;
}

/* The version again: the first page goes through the log and the disk, and nothing has changed. */
static bool sqlite_probe(struct store_handle *h, struct error *err)
{
    char set[48];

    snprintf(set, sizeof set, "PRAGMA user_version = %d", SCHEMA_VERSION);
    return run(h, set, "probing", err);
}

/* Empties the log into the database file. Readers may be in the way; then the next quiet moment will do, and nobody
 * waits. */
static void sqlite_idle(struct store_handle *h)
{
    sqlite3_busy_timeout(h->db, 0);
    sqlite3_exec(h->db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
    sqlite3_busy_timeout(h->db, BUSY_MS);
}

/* ---- reading */

/* All rows of one kind below key, in order; *rows is the caller's to free also on failure. */
static bool get_children(struct store_handle *h, enum child child, int64_t key, void **rows, size_t *count,
                         struct error *err)
{
    sqlite3_stmt *stmt = h->get_child[child];
    size_t element = children[child].element, room = 0;
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
        if (!read_row(stmt, 0, &children[child], (char *)*rows + *count * element, err))
            goto out;
        ++*count;
    }
    ok = rc == SQLITE_DONE || fail(h, "reading", err);
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
    ok = read_row(stmt, 1, &transfers, r, err) && get_children(h, STEPS, key, &steps, &r->step_count, err) &&
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

static bool sqlite_get_key(struct store_handle *h, struct record_key *key, int64_t since, struct error *err)
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
        fail(h, "reading", err);
    sqlite3_reset(get);
    sqlite3_clear_bindings(get);
    return ok;
}

static void make_list(struct buf *sql, const struct record_filter *f)
{
    buf_puts(sql, "SELECT key, ");
    list_columns(sql, &transfers, "");
    buf_puts(sql, " FROM transfer WHERE TRUE");
    if (f->id)
        buf_puts(sql, " AND id = :id");
    if (f->to)
        buf_puts(sql, " AND recipient_bare = :bare");
    if (f->to && strchr(f->to, '/'))
        buf_puts(sql, " AND recipient = :to");
    if (f->token)
        buf_puts(sql, " AND token = :token");
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
                 {":before", f->before}, {":link", f->link}, {":token", f->token}};
    int at;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        at = sqlite3_bind_parameter_index(stmt, texts[i].name);
        if (at && bind_text(stmt, at, texts[i].text) != SQLITE_OK)
            return false;
    }
    at = sqlite3_bind_parameter_index(stmt, ":bare");
    if (at && bind_bare(stmt, at, f->to) != SQLITE_OK)
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
static bool sqlite_list(struct store_handle *h, const struct record_filter *filter, struct record_list *out,
                        struct error *err)
{
    struct record_list list = {0};
    sqlite3_stmt *stmt = NULL;
    struct buf sql = {0};
    bool ok = false;
    int rc;

    assert(filter->limit <= 1000 && (filter->limit > 0 || filter->unfinished));
    make_list(&sql, filter);
    if (!prepare(h, &stmt, &sql, err))
        goto out;
    if (!bind_filter(stmt, filter)) {
        fail(h, "reading", err);
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
    ok = rc == SQLITE_DONE || fail(h, "reading", err);
out:
    sqlite3_finalize(stmt); /* an open one would keep the log from being emptied */
    if (ok)
        *out = list;
    else
        record_list_free(&list);
    return ok;
}

const struct store_ops store_sqlite = {
    .scheme = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .begin = sqlite_begin,
    .put = sqlite_put,
    .put_key = sqlite_put_key,
    .get_key = sqlite_get_key,
    .forget = sqlite_forget,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .list = sqlite_list,
    .probe = sqlite_probe,
    .idle = sqlite_idle,
};
