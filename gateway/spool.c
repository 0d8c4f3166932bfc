/* gateway/spool.c - uploads on disk, see spool.h. */
#include "gateway/spool_parts.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <utlist.h>

#include "base/fd.h"
#include "base/id.h"
#include "base/log.h"
#include "base/metrics.h"
#include "gateway/sharing.h"

enum { READ_SIZE = 256 * 1024 };
/* Of a file that has come this far, pieces that follow each other at once are gathered, and written as blocks. */
enum { GATHER_FROM = 64 * 1024, BLOCK = 256 * 1024 };
enum { PUNCH_ALIGN = BLOCK, PUNCH_MOST = 4 * 1024 * 1024, PUNCHES = 8 /* a window */ };

struct spare {
    struct spare *prev, *next;
    char id[ID_SIZE];
    ino_t file;
    uint64_t size;
    int64_t until;
};

/* ---- the budget */

static bool count_in(struct spool *spool, uint64_t bytes, unsigned files)
{
    uint64_t max_bytes = spool->max_bytes, max_files = spool->max_files;
    bool fits;

    pthread_mutex_lock(&spool->lock);
    fits = spool->used.bytes <= max_bytes && bytes <= max_bytes - spool->used.bytes &&
           (files == 0 || max_files == 0 || spool->used.files < max_files);
    if (fits) {
        spool->used.bytes += bytes;
        spool->used.files += files;
    }
    pthread_mutex_unlock(&spool->lock);
    return fits;
}

/* No lower than none: somebody else may have changed a file under our hands. Under the lock. */
static void take_out(struct spool *spool, uint64_t bytes, unsigned files)
{
    spool->used.bytes -= bytes < spool->used.bytes ? bytes : spool->used.bytes;
    spool->used.files -= files < spool->used.files ? files : spool->used.files;
}

void spool_count_out(struct spool *spool, uint64_t bytes, unsigned files)
{
    pthread_mutex_lock(&spool->lock);
    take_out(spool, bytes, files);
    pthread_mutex_unlock(&spool->lock);
}

/* A name of a whole file is gone; its bytes go with its last one. */
static void count_out_name(struct spool *spool, const struct stat *st)
{
    uint64_t size = (uint64_t)st->st_size;
    bool last, spared;

    pthread_mutex_lock(&spool->lock);
    last = sharing_unlink(&spool->shared, st->st_ino, &spared);
    take_out(spool, last ? size : 0, 1);
    if (spared)
        spool->used.spare += size;
    pthread_mutex_unlock(&spool->lock);
}

void spool_limit(struct spool *spool, const struct spool_limits *limits)
{
    spool->max_bytes = limits->max_bytes;
    spool->max_file = limits->max_file;
    spool->max_files = limits->max_files;
}

void spool_usage(struct spool *spool, struct spool_usage *out)
{
    pthread_mutex_lock(&spool->lock);
    *out = spool->used;
    pthread_mutex_unlock(&spool->lock);
    out->max_bytes = spool->max_bytes;
    out->max_file = spool->max_file;
}

/* Out of the list, but for its file; NULL: there is none. Under the lock. */
static struct spare *unlist(struct spool *spool, struct spare *s)
{
    if (!s)
        return NULL;
    DL_DELETE(spool->spares, s);
    if (sharing_claim(spool->shared, s->file))
        spool->used.spare -= s->size;
    return s;
}

/* Whoever took it out of the list has it to himself. */
static bool drop_oldest(struct spool *spool)
{
    struct spare *s;

    pthread_mutex_lock(&spool->lock);
    s = unlist(spool, spool->spares);
    pthread_mutex_unlock(&spool->lock);
    if (!s)
        return false;
    log_info("spool.room_made", log_str("transfer", s->id));
    metric_add(METRIC_SPOOL_EVICTIONS, 1, "room");
    spool_remove(spool, s->id);
    free(s);
    return true;
}

bool spool_make_room(struct spool *spool, uint64_t bytes, unsigned files)
{
    while (!count_in(spool, bytes, files))
        if (bytes > spool->max_bytes || !drop_oldest(spool))
            return false;
    return true;
}

static int by_until(const struct spare *a, const struct spare *b)
{
    return a->until < b->until ? -1 : a->until > b->until;
}

void spool_spare(struct spool *spool, const char *id, int64_t until)
{
    struct spare *s = calloc(1, sizeof *s);
    struct stat st;

    if (!s || !spool_id_valid(id) || fstatat(spool->dir, id, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        free(s);
        spool_remove(spool, id);
        return;
    }
    memcpy(s->id, id, ID_SIZE);
    s->file = st.st_ino;
    s->size = (uint64_t)st.st_size;
    s->until = until;
    pthread_mutex_lock(&spool->lock);
    DL_INSERT_INORDER(spool->spares, s, by_until);
    if (sharing_spare(spool->shared, s->file))
        spool->used.spare += s->size;
    pthread_mutex_unlock(&spool->lock);
}

bool spool_claim(struct spool *spool, const char *id)
{
    struct spare *s;
    bool found;

    pthread_mutex_lock(&spool->lock);
    DL_FOREACH(spool->spares, s)
    {
        if (strcmp(s->id, id) == 0)
            break;
    }
    s = unlist(spool, s);
    pthread_mutex_unlock(&spool->lock);
    found = s != NULL;
    free(s);
    return found;
}

bool spool_over(struct spool *spool, int64_t now, char id[static ID_SIZE])
{
    struct spare *s;
    bool found;

    pthread_mutex_lock(&spool->lock);
    s = unlist(spool, spool->spares && spool->spares->until <= now ? spool->spares : NULL);
    pthread_mutex_unlock(&spool->lock);
    found = s != NULL;
    if (found) {
        memcpy(id, s->id, ID_SIZE);
        metric_add(METRIC_SPOOL_EVICTIONS, 1, "age");
    }
    free(s);
    return found;
}

/* ---- failures */

/* What the disk said, in the caller's terms. */
bool spool_disk_error(struct error *err, const char *what, int number)
{
    switch (number) {
    case ENOSPC:
        return error_set(err, ERR_SPOOL_FULL, "the disk of the spool is full (%s)", what);
    case EDQUOT:
        return error_set(err, ERR_SPOOL_FULL, "the disk quota of the spool is used up (%s)", what);
    case EROFS: /* what a disk with errors becomes */
        return error_set(err, ERR_STORE_UNAVAILABLE, "the disk of the spool is read-only (%s)", what);
    case EFBIG: /* the file system's own limit, or RLIMIT_FSIZE (ulimit -f) */
        return error_set(err, ERR_BODY_TOO_LARGE, "the file is larger than the spool's disk or ulimit -f allows");
    default:
        return error_set(err, ERR_INTERNAL, "spool: %s: %s", what, strerror(number));
    }
}

bool spool_budget_error(struct spool *spool, struct error *err)
{
    return error_set(err, ERR_SPOOL_FULL, "the spool is full: it holds %" PRIu64 " bytes in all, and %" PRIu64 " files",
                     spool->max_bytes, spool->max_files);
}

bool spool_too_large(struct spool *spool, struct error *err)
{
    return error_set(err, ERR_BODY_TOO_LARGE, "a file may have at most %" PRIu64 " bytes", spool->max_file);
}

/* ---- names */

bool spool_id_valid(const char *id)
{
    return id_valid(id, "tr") || id_valid(id, "in");
}

void spool_part_name(const char *id, char out[static PART_SIZE])
{
    snprintf(out, PART_SIZE, "%s" PART, id);
}

void spool_note_name(const char *id, char out[static PART_SIZE])
{
    snprintf(out, PART_SIZE, "%s" NOTE, id);
}

/* What a name in the folder stands for; *id is set unless it is foreign. */
static enum spool_entry entry_of(const char *name, char id[static ID_SIZE])
{
    if (strnlen(name, ID_LEN) < ID_LEN)
        return ENTRY_FOREIGN;
    memcpy(id, name, ID_LEN);
    id[ID_LEN] = '\0';
    if (!spool_id_valid(id))
        return ENTRY_FOREIGN;
    if (name[ID_LEN] == '\0')
        return ENTRY_WHOLE;
    if (strcmp(name + ID_LEN, PART) == 0)
        return ENTRY_PART;
    return strcmp(name + ID_LEN, NOTE) == 0 ? ENTRY_NOTE : ENTRY_FOREIGN;
}

/* ---- the folder */

bool spool_walk(struct spool *spool, spool_visit_fn *visit, void *user, struct error *err)
{
    int fd = openat(spool->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *d;

    if (!dir) {
        error_set(err, ERR_SYSTEM, "spool: reading the folder: %s", strerror(errno));
        fd_close(&fd);
        return false;
    }
    while ((d = readdir(dir))) {
        char id[ID_SIZE] = "";
        enum spool_entry entry = entry_of(d->d_name, id);
        struct stat st;

        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        if (fstatat(spool->dir, d->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue; /* just deleted */
        if (!S_ISREG(st.st_mode))
            entry = ENTRY_FOREIGN;
        visit(spool, d->d_name, entry, id, &st, user);
    }
    closedir(dir);
    return true;
}

/* Without memory to remember it, a file counts under each of its names. */
static void count_entry(struct spool *spool, const char *name, enum spool_entry entry, const char *id,
                        const struct stat *st, void *user)
{
    bool first = true;

    (void)id;
    (void)user;
    if (entry == ENTRY_FOREIGN) { /* lost+found, or somebody's notes: not ours to count or delete */
        log_warn("spool.foreign", log_str("name", name));
        return;
    }
    if (entry == ENTRY_NOTE)
        return;
    if (entry == ENTRY_WHOLE && st->st_nlink > 1 && !sharing_meet(&spool->shared, st->st_ino, &first))
        log_warn("spool.count", log_str("name", name), log_str("error", "out of memory"));
    spool->used.bytes += first ? (uint64_t)st->st_size : 0;
    spool->used.files++;
}

/* While the system runs, what was written is there, synced or not. */
static void read_boot(struct spool *spool)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, spool->boot, sizeof spool->boot - 1) : 0;

    spool->boot[n > 0 ? n : 0] = '\0';
    spool->boot[strcspn(spool->boot, "\n")] = '\0';
    fd_close(&fd);
}

struct spool *spool_open(const char *dir, const struct spool_limits *limits, struct error *err)
{
    struct spool *spool = calloc(1, sizeof *spool);

    if (!spool) {
        error_set(err, ERR_SYSTEM, "spool: out of memory");
        return NULL;
    }
    spool_limit(spool, limits);
    pthread_mutex_init(&spool->lock, NULL);
    /* A write beyond RLIMIT_FSIZE ends the process by default; ignored, it fails with EFBIG. */
    signal(SIGXFSZ, SIG_IGN);
    spool->dir = -1;
    if ((mkdir(dir, 0700) != 0 && errno != EEXIST) ||
        (spool->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
        error_set(err, ERR_SYSTEM, "spool folder %s: %s", dir, strerror(errno));
        goto fail;
    }
    if (faccessat(spool->dir, ".", W_OK | X_OK, AT_EACCESS) != 0) {
        error_set(err, ERR_SYSTEM, "spool folder %s: not writable: %s", dir, strerror(errno));
        goto fail;
    }
    if (!spool_walk(spool, count_entry, NULL, err))
        goto fail;
    read_boot(spool);
    return spool;
fail:
    spool_close(&spool);
    return NULL;
}

void spool_close(struct spool **spool)
{
    if (!*spool)
        return;
    while ((*spool)->spares)
        free(unlist(*spool, (*spool)->spares));
    sharing_free(&(*spool)->shared);
    fd_close(&(*spool)->dir);
    pthread_mutex_destroy(&(*spool)->lock);
    free((*spool)->block);
    free(*spool);
    *spool = NULL;
}

struct sweep {
    bool (*keep)(void *user, const char *id);
    void *user;
    size_t deleted;
};

/* Of a file and what is noted of it, neither is of use alone. */
static bool is_paired(const struct spool *spool, enum spool_entry entry, const char *id)
{
    char other[PART_SIZE];

    if (entry == ENTRY_PART)
        spool_note_name(id, other);
    else
        spool_part_name(id, other);
    return faccessat(spool->dir, other, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void sweep_entry(struct spool *spool, const char *name, enum spool_entry entry, const char *id,
                        const struct stat *st, void *user)
{
    struct sweep *sweep = user;

    if (entry == ENTRY_FOREIGN || (entry == ENTRY_WHOLE ? sweep->keep(sweep->user, id) : is_paired(spool, entry, id)))
        return;
    if (unlinkat(spool->dir, name, 0) != 0 || entry == ENTRY_NOTE)
        return;
    count_out_name(spool, st);
    sweep->deleted++;
}

size_t spool_sweep(struct spool *spool, bool (*keep)(void *user, const char *id), void *user)
{
    struct sweep sweep = {.keep = keep, .user = user};
    struct error err;

    if (!spool_walk(spool, sweep_entry, &sweep, &err))
        log_error("spool.sweep", log_str("error", err.text));
    return sweep.deleted;
}

/* ---- a file that grows */

/* Takes the room now, so that a full disk is told before the body and not in its middle. The size stays what is
 * present: a reader that follows the file sees no zeros ahead of the writer. */
bool spool_reserve_disk(int fd, uint64_t size, struct error *err)
{
    int rc;

    if (size == 0)
        return true;
    do {
        rc = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size);
    } while (rc != 0 && errno == EINTR);
    /* Where the file system cannot, appending will tell. posix_fallocate() would write zeros instead. */
    if (rc != 0 && errno != EOPNOTSUPP && errno != ENOSYS)
        return spool_disk_error(err, "reserving room", errno);
    return true;
}

static struct spool_file *create(struct spool *spool, const char *id, int64_t size, uint64_t reserved,
                                 struct error *err)
{
    struct spool_file *file = NULL;
    char name[PART_SIZE];

    assert(size >= -1 && spool_id_valid(id));
    if (size > 0 && (uint64_t)size > spool->max_file) {
        spool_too_large(spool, err);
        return NULL;
    }
    if (!spool_make_room(spool, reserved, 1)) {
        spool_budget_error(spool, err);
        return NULL;
    }
    file = calloc(1, sizeof *file);
    if (!file) {
        error_set(err, ERR_INTERNAL, "spool: out of memory");
        spool_count_out(spool, reserved, 1);
        return NULL;
    }
    *file = (struct spool_file){.spool = spool, .fd = -1, .declared = size, .counted = reserved};
    memcpy(file->id, id, sizeof file->id);
    spool_part_name(id, name);
    file->fd = openat(spool->dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file->fd < 0) {
        spool_disk_error(err, "making a file", errno);
        spool_count_out(spool, reserved, 1);
        free(file);
        return NULL;
    }
    if (!spool_reserve_disk(file->fd, reserved, err))
        spool_abandon(&file);
    return file;
}

struct spool_file *spool_create(struct spool *spool, const char *id, int64_t size, struct error *err)
{
    return create(spool, id, size, size > 0 ? (uint64_t)size : 0, err);
}

struct spool_file *spool_create_window(struct spool *spool, const char *id, uint64_t size, uint64_t window,
                                       struct error *err)
{
    struct spool_file *file = create(spool, id, (int64_t)size, size < window ? size : window, err);

    if (file)
        file->window = window;
    return file;
}

/* Whole folios leave the cache as they are, also while the network still sends from them; a part of one would be
 * overwritten with zeros there, and in the stream. None is larger than one write, nor crosses a multiple of its size:
 * so the hole ends where any write, folio and block of the disk does. */
void spool_punch(struct spool_file *file, uint64_t until)
{
    uint64_t end = until - until % PUNCH_ALIGN;

    if (end <= file->punched || (end < file->punched + file->window / PUNCHES && end < file->punched + PUNCH_MOST))
        return;
    if (fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)file->punched,
                  (off_t)(end - file->punched)) != 0 &&
        errno != EOPNOTSUPP) /* there the file grows to its whole size */
        log_warn("spool.punch", log_str("transfer", file->id), log_str("error", strerror(errno)));
    file->punched = end;
}

static bool write_all(struct spool_file *file, const uint8_t *data, size_t len, struct error *err)
{
    while (len > 0) {
        ssize_t n = pwrite(file->fd, data, len, (off_t)file->size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return spool_disk_error(err, "writing", n < 0 ? errno : ENOSPC);
        file->size += (uint64_t)n;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* Whether so many bytes more may come. */
static bool admit(struct spool_file *file, size_t len, struct error *err)
{
    uint64_t come = file->size + file->gathered;
    struct spool *spool = file->spool;
    uint64_t max_file = spool->max_file;

    assert(!file->sealed);
    if (file->declared >= 0)
        return len <= (uint64_t)file->declared - come ||
               error_set(err, ERR_LENGTH_CONFLICT, "more than the declared %" PRId64 " bytes came", file->declared);
    if (come > max_file || len > max_file - come)
        return spool_too_large(spool, err);
    if (!spool_make_room(spool, len, 0))
        return spool_budget_error(spool, err);
    file->counted += len;
    return true;
}

/* One is kept, so that an upload alone needs no new memory, whose pages cost more than the copying, each time. */
static bool take_block(struct spool_file *file)
{
    file->block = atomic_exchange(&file->spool->block, NULL);
    if (!file->block)
        file->block = malloc(BLOCK);
    return file->block != NULL;
}

void spool_give_block(struct spool_file *file)
{
    if (file->block)
        free(atomic_exchange(&file->spool->block, file->block));
    file->block = NULL;
    file->gathered = 0;
}

static bool write_block(struct spool_file *file, struct error *err)
{
    size_t len = file->gathered;

    file->gathered = 0;
    return write_all(file, file->block, len, err);
}

bool spool_flush(struct spool_file *file, struct error *err)
{
    bool ok = !file->block || write_block(file, err);

    spool_give_block(file);
    return ok;
}

bool spool_append(struct spool_file *file, const void *data, size_t len, struct error *err)
{
    return admit(file, len, err) && spool_flush(file, err) && write_all(file, data, len, err);
}

/* Each block ends at a multiple of its size, wherever the first one begins. */
bool spool_gather(struct spool_file *file, const void *data, size_t len, struct error *err)
{
    const uint8_t *at = data;

    if (!admit(file, len, err))
        return false;
    if (!file->block && (file->size < GATHER_FROM || !take_block(file)))
        return write_all(file, data, len, err);
    while (len > 0) {
        size_t room = BLOCK - (size_t)(file->size % BLOCK) - file->gathered, n = len < room ? len : room;

        memcpy(file->block + file->gathered, at, n);
        file->gathered += n;
        at += n;
        len -= n;
        if (n == room && !write_block(file, err))
            return false;
    }
    return true;
}

/* Reads up to max bytes from offset; fewer only at the end, -1 with errno. */
static ssize_t read_at(int fd, void *out, size_t max, uint64_t offset)
{
    size_t got = 0;

    while (got < max) {
        ssize_t n = pread(fd, (char *)out + got, max - got, (off_t)(offset + got));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

/* Where the kernel does not copy between the two. */
static bool copy_by_hand(struct spool_file *file, int from, uint64_t size, struct error *err)
{
    uint8_t *chunk = malloc(READ_SIZE);
    bool ok = chunk || error_set(err, ERR_INTERNAL, "spool: out of memory");

    while (ok && file->size < size) {
        uint64_t left = size - file->size;
        ssize_t n = read_at(from, chunk, left < READ_SIZE ? (size_t)left : READ_SIZE, file->size);

        if (n <= 0)
            ok = error_set(err, ERR_SOURCE_FAILED, "the file cannot be read to its end: %s",
                           n < 0 ? strerror(errno) : "it became shorter");
        else
            ok = write_all(file, chunk, (size_t)n, err);
    }
    free(chunk);
    return ok;
}

bool spool_take(struct spool_file *file, int from, uint64_t size, struct error *err)
{
    assert(file->size == 0 && !file->block);
    if (size > SSIZE_MAX || !admit(file, (size_t)size, err) || !spool_reserve_disk(file->fd, size, err))
        return false;
    while (file->size < size) {
        off_t in = (off_t)file->size, out = (off_t)file->size;
        ssize_t n = copy_file_range(from, &in, file->fd, &out, (size_t)(size - file->size), 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
            return spool_disk_error(err, "copying", errno);
        if (n <= 0) /* two file systems, or one that does not know how; by hand it is told what is wrong */
            return copy_by_hand(file, from, size, err);
        file->size += (uint64_t)n;
    }
    return true;
}

bool spool_is_whole(const struct spool_file *file, struct error *err)
{
    return file->declared < 0 || file->size == (uint64_t)file->declared ||
           error_set(err, ERR_LENGTH_CONFLICT, "%" PRIu64 " of the declared %" PRId64 " bytes came", file->size,
                     file->declared);
}

bool spool_seal(struct spool_file *file, bool durable, struct error *err)
{
    int dir = file->spool->dir;
    char part[PART_SIZE];

    assert(!file->sealed);
    if (!spool_flush(file, err) || !spool_is_whole(file, err))
        return false;
    if (durable && fsync(file->fd) != 0)
        return spool_disk_error(err, "syncing", errno);
    spool_part_name(file->id, part);
    if (renameat(dir, part, dir, file->id) != 0)
        return spool_disk_error(err, "completing", errno);
    file->sealed = true;
    if (durable && fsync(dir) != 0) {
        spool_disk_error(err, "syncing the folder", errno);
        file->sealed = renameat(dir, file->id, dir, part) != 0;
        return false;
    }
    return true;
}

/* ---- a file with several names */

static bool link_error(struct error *err, int number)
{
    if (number == EPERM || number == EOPNOTSUPP)
        return error_set(err, ERR_INTERNAL,
                         "the spool's file system has no hard links: send the file to one recipient at a time");
    return spool_disk_error(err, "linking", number);
}

static bool note_link(struct spool *spool, ino_t file)
{
    bool noted;

    pthread_mutex_lock(&spool->lock);
    noted = sharing_link(&spool->shared, file);
    pthread_mutex_unlock(&spool->lock);
    return noted;
}

/* Counted before it is there, and for as long: so the file's bytes cannot be counted out meanwhile. */
static bool link_one(struct spool *spool, const char *id, const struct stat *st, const char *name, struct error *err)
{
    if (!spool_make_room(spool, 0, 1))
        return spool_budget_error(spool, err);
    if (!note_link(spool, st->st_ino)) {
        spool_count_out(spool, 0, 1);
        return error_set(err, ERR_INTERNAL, "spool: out of memory");
    }
    if (linkat(spool->dir, id, spool->dir, name, 0) == 0)
        return true;
    link_error(err, errno);
    count_out_name(spool, st);
    return false;
}

bool spool_link(struct spool *spool, const char *id, const char *const *names, size_t count, bool durable,
                struct error *err)
{
    struct stat st;
    size_t made = 0;
    bool ok;

    assert(spool_id_valid(id));
    if (fstatat(spool->dir, id, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return spool_disk_error(err, "linking", errno);
    while (made < count && link_one(spool, id, &st, names[made], err))
        made++;
    ok = made == count && (!durable || fsync(spool->dir) == 0 || spool_disk_error(err, "syncing the folder", errno));
    while (!ok && made > 0)
        spool_remove(spool, names[--made]);
    return ok;
}

/* ---- a file that is there */

static int open_entry(const struct spool *spool, const char *name)
{
    return openat(spool->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

static int open_whole(const struct spool *spool, const char *id)
{
    return open_entry(spool, id);
}

/* It may be completed, and so change its name, at any moment; the other way is never. */
static int open_growing(const struct spool *spool, const char *id)
{
    char part[PART_SIZE];
    int fd;

    spool_part_name(id, part);
    fd = open_entry(spool, part);
    return fd < 0 && errno == ENOENT ? open_entry(spool, id) : fd;
}

static struct spool_file *reopen(struct spool *spool, const char *id,
                                 int (*open_it)(const struct spool *, const char *), struct error *err)
{
    struct spool_file *file = NULL;
    struct stat st;
    int fd;

    if (!spool_id_valid(id)) {
        error_set(err, ERR_NOT_FOUND, "no such file in the spool");
        return NULL;
    }
    fd = open_it(spool, id);
    if (fd < 0 && errno == ENOENT) {
        error_set(err, ERR_NOT_FOUND, "the file of %s is no longer in the spool", id);
        return NULL;
    }
    if (fd < 0 || fstat(fd, &st) != 0) {
        spool_disk_error(err, "opening", errno);
        goto fail;
    }
    file = calloc(1, sizeof *file);
    if (!file) {
        error_set(err, ERR_INTERNAL, "spool: out of memory");
        goto fail;
    }
    *file = (struct spool_file){.spool = spool, .fd = fd, .sealed = true};
    memcpy(file->id, id, sizeof file->id);
    file->size = file->counted = (uint64_t)st.st_size;
    file->declared = st.st_size;
    return file;
fail:
    fd_close(&fd);
    return NULL;
}

struct spool_file *spool_reopen(struct spool *spool, const char *id, struct error *err)
{
    return reopen(spool, id, open_whole, err);
}

struct spool_file *spool_follow(struct spool *spool, const char *id, struct error *err)
{
    return reopen(spool, id, open_growing, err);
}

struct shared_fd *spool_share(struct spool *spool, const char *id, struct error *err)
{
    struct spool_file *file = spool_follow(spool, id, err);
    struct shared_fd *shared = NULL;

    if (!file)
        return NULL;
    shared = shared_fd_create(file->fd);
    file->fd = -1;
    spool_release(&file);
    if (!shared)
        error_set(err, ERR_INTERNAL, "spool: out of memory");
    return shared;
}

uint64_t spool_size(const struct spool_file *file)
{
    return file->size;
}

int spool_fd(const struct spool_file *file)
{
    return file->fd;
}

size_t spool_peek(const struct spool_file *file, void *out, size_t max)
{
    ssize_t n = read_at(file->fd, out, max, 0);

    return n > 0 ? (size_t)n : 0;
}

static bool hash(const struct spool_file *file, EVP_MD_CTX *sha256, EVP_MD_CTX *sha512, struct error *err)
{
    uint8_t *chunk = malloc(READ_SIZE);
    uint64_t offset = 0;
    ssize_t n;

    if (!chunk)
        return error_set(err, ERR_INTERNAL, "spool: out of memory");
    while ((n = read_at(file->fd, chunk, READ_SIZE, offset)) > 0) {
        if (sha256)
            EVP_DigestUpdate(sha256, chunk, (size_t)n);
        if (sha512)
            EVP_DigestUpdate(sha512, chunk, (size_t)n);
        offset += (uint64_t)n;
    }
    free(chunk);
    if (n < 0)
        return spool_disk_error(err, "reading", errno);
    return offset == file->size ||
           error_set(err, ERR_INTERNAL, "spool: %s has %" PRIu64 " bytes, not %" PRIu64, file->id, offset, file->size);
}

/* NULL: not wanted, or out of memory. */
static EVP_MD_CTX *hasher(bool wanted, const EVP_MD *kind)
{
    EVP_MD_CTX *md = wanted ? EVP_MD_CTX_new() : NULL;

    if (md && EVP_DigestInit_ex(md, kind, NULL) == 1)
        return md;
    EVP_MD_CTX_free(md);
    return NULL;
}

bool spool_digest(const struct spool_file *file, struct digests *d, struct error *err)
{
    EVP_MD_CTX *sha256 = hasher(d->has_sha256, EVP_sha256()), *sha512 = hasher(d->has_sha512, EVP_sha512());
    bool ok = false;

    if ((d->has_sha256 && !sha256) || (d->has_sha512 && !sha512)) {
        error_set(err, ERR_INTERNAL, "spool: out of memory");
        goto out;
    }
    if (!hash(file, sha256, sha512, err))
        goto out;
    if (sha256)
        EVP_DigestFinal_ex(sha256, d->sha256, NULL);
    if (sha512)
        EVP_DigestFinal_ex(sha512, d->sha512, NULL);
    ok = true;
out:
    EVP_MD_CTX_free(sha256);
    EVP_MD_CTX_free(sha512);
    return ok;
}

/* ---- letting go */

void spool_release(struct spool_file **file)
{
    struct spool_file *f = *file;

    if (!f)
        return;
    if (f->counted > f->size) /* a .part that stays counts as the sweep will find it */
        spool_count_out(f->spool, f->counted - f->size, 0);
    fd_close(&f->fd);
    spool_give_block(f);
    free(f);
    *file = NULL;
}

void spool_abandon(struct spool_file **file)
{
    struct spool_file *f = *file;
    char part[PART_SIZE];

    if (!f)
        return;
    if (f->sealed) {
        spool_remove(f->spool, f->id);
    } else {
        spool_part_name(f->id, part);
        if (unlinkat(f->spool->dir, part, 0) == 0)
            spool_count_out(f->spool, f->counted, 1);
        else
            log_error("spool.abandon", log_str("name", part), log_str("error", strerror(errno)));
    }
    fd_close(&f->fd);
    spool_give_block(f);
    free(f);
    *file = NULL;
}

void spool_remove(struct spool *spool, const char *id)
{
    struct stat st;

    if (!spool_id_valid(id) || fstatat(spool->dir, id, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    if (unlinkat(spool->dir, id, 0) == 0) /* of two at once only one gets here */
        count_out_name(spool, &st);
    else if (errno != ENOENT)
        log_error("spool.remove", log_str("transfer", id), log_str("error", strerror(errno)));
}
