/* gateway/store_sqlite.c - records in one SQLite file, "sqlite:///var/lib/jidpost/jidpost.db".
 *
 * WAL with synchronous=FULL: a commit is one append and one sync, and readers never wait for the writer. One
 * connection a handle, so a connection stays with one thread at a time and needs no mutex of its own. */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "gateway/store_sqlite_parts.h"

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
    embedded_schema_005[], embedded_schema_006[], embedded_schema_007[], embedded_schema_008[], embedded_schema_009[],
    embedded_schema_010[];
static const char *const schema[] = {embedded_schema_001, embedded_schema_002, embedded_schema_003, embedded_schema_004,
                                     embedded_schema_005, embedded_schema_006, embedded_schema_007, embedded_schema_008,
                                     embedded_schema_009, embedded_schema_010};

enum { SCHEMA_VERSION = sizeof schema / sizeof *schema };

/* ---- statements */

bool sqlite_fail(struct store_handle *h, const char *doing, struct error *err)
{
    return error_set(err, ERR_STORE_UNAVAILABLE, "store: %s: %s", doing, sqlite3_errmsg(h->db));
}

bool sqlite_prepare(struct store_handle *h, sqlite3_stmt **stmt, struct buf *sql, struct error *err)
{
    bool ok = false;

    if (sql->failed)
        error_set(err, ERR_STORE_UNAVAILABLE, "store: out of memory");
    else if (sqlite3_prepare_v3(h->db, sql->data, -1, SQLITE_PREPARE_PERSISTENT, stmt, NULL) != SQLITE_OK)
        sqlite_fail(h, "preparing", err);
    else
        ok = true;
    buf_free(sql);
    return ok;
}

static bool run(struct store_handle *h, const char *sql, const char *doing, struct error *err)
{
    return sqlite3_exec(h->db, sql, NULL, NULL, NULL) == SQLITE_OK || sqlite_fail(h, doing, err);
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
        sqlite_fail(h, sql, err);
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
           check(h, path, err) && migrate(h, path, err) && sqlite_prepare_writing(h, err) &&
           sqlite_prepare_deliveries(h, true, err) && sqlite_prepare_inbox(h, err);
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
    sqlite3_finalize(h->put_delivery);
    sqlite3_finalize(h->hold_deliveries);
    sqlite3_finalize(h->forget_deliveries);
    sqlite3_finalize(h->forget_orphans);
    sqlite3_finalize(h->due_deliveries);
    sqlite3_finalize(h->next_delivery);
    sqlite3_finalize(h->count_deliveries);
    sqlite3_finalize(h->put_item);
    sqlite3_finalize(h->drop_item);
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
        sqlite_fail(h, path, err);
        goto fail;
    }
    sqlite3_busy_timeout(h->db, BUSY_MS);
    /* Half a MiB of pages: what is read again lies in the system's cache as well, and SQLite's own takes two. What it
     * sorts stays in memory, since the sandbox has no folder for it. */
    if (!run(h,
             "PRAGMA trusted_schema = OFF; PRAGMA foreign_keys = ON; PRAGMA cache_size = -512;"
             " PRAGMA temp_store = MEMORY",
             "setting up", err) ||
        (writer && !set_up_writer(h, path, err)) || !sqlite_prepare_reading(h, err) ||
        !sqlite_prepare_deliveries(h, false, err))
        goto fail;
    return h;
fail:
    sqlite_close(&h);
    return NULL;
}

/* ---- transactions, and the log behind them */

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

const struct store_ops store_sqlite = {
    .scheme = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .begin = sqlite_begin,
    .put = sqlite_put,
    .put_key = sqlite_put_key,
    .get_key = sqlite_get_key,
    .put_delivery = sqlite_put_delivery,
    .list_deliveries = sqlite_list_deliveries,
    .due = sqlite_due,
    .backlog = sqlite_backlog,
    .put_item = sqlite_put_item,
    .drop_item = sqlite_drop_item,
    .list_items = sqlite_list_items,
    .forget = sqlite_forget,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .list = sqlite_list,
    .probe = sqlite_probe,
    .idle = sqlite_idle,
};
