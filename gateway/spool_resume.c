/* gateway/spool_resume.c - files of the spool that come in pieces, and what is noted beside them; see spool.h. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/sharing.h"
#include "gateway/spool_parts.h"

enum { NOTE_MAX = 64 * 1024 };

/* As it stands in the budget between two pieces. */
static uint64_t count_of(int64_t declared, uint64_t size)
{
    return declared >= 0 ? (uint64_t)declared : size;
}

/* ---- the file */

uint64_t spool_pause(struct spool_file **file)
{
    struct spool_file *f = *file;
    struct error err;
    uint64_t size;

    if (!spool_flush(f, &err))
        log_warn("spool.pause", log_str("transfer", f->id), log_str("error", err.text));
    size = f->size;
    if (f->counted > count_of(f->declared, size)) /* of what could not be written */
        spool_count_out(f->spool, f->counted - count_of(f->declared, size), 0);
    fd_close(&f->fd);
    free(f);
    *file = NULL;
    return size;
}

static int open_part(const struct spool *spool, const char *id)
{
    char part[PART_SIZE];

    spool_part_name(id, part);
    return openat(spool->dir, part, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
}

struct spool_file *spool_resume(struct spool *spool, const char *id, int64_t declared, uint64_t size, struct error *err)
{
    struct spool_file *file = NULL;
    struct stat st;
    int fd = -1;

    assert(spool_id_valid(id));
    fd = open_part(spool, id);
    if (fd < 0 && errno == ENOENT) {
        error_set(err, ERR_NOT_FOUND, "the file of %s is no longer in the spool", id);
        return NULL;
    }
    if (fd < 0 || fstat(fd, &st) != 0) {
        spool_disk_error(err, "opening", errno);
        goto fail;
    }
    if ((uint64_t)st.st_size < size) {
        error_set(err, ERR_NOT_FOUND, "the file of %s has become shorter", id);
        goto fail;
    }
    file = calloc(1, sizeof *file);
    if (!file) {
        error_set(err, ERR_INTERNAL, "spool: out of memory");
        goto fail;
    }
    *file = (struct spool_file){.spool = spool,
                                .fd = fd,
                                .declared = declared,
                                .size = (uint64_t)st.st_size,
                                .counted = count_of(declared, size)};
    memcpy(file->id, id, sizeof file->id);
    if (file->size == size || spool_rewind(file, size, err))
        return file;
    free(file);
fail:
    fd_close(&fd);
    return NULL;
}

bool spool_declare(struct spool_file *file, uint64_t size, struct error *err)
{
    assert(file->declared < 0);
    if (size > file->spool->max_file)
        return spool_too_large(file->spool, err);
    if (size < file->size)
        return error_set(err, ERR_LENGTH_CONFLICT, "%" PRIu64 " bytes have come already", file->size);
    if (!spool_make_room(file->spool, size - file->counted, 0))
        return spool_budget_error(file->spool, err);
    if (!spool_reserve_disk(file->fd, size, err)) {
        spool_count_out(file->spool, size - file->counted, 0);
        return false;
    }
    file->declared = (int64_t)size;
    file->counted = size;
    return true;
}

/* Cutting gives back what was reserved behind the end, too. */
bool spool_rewind(struct spool_file *file, uint64_t size, struct error *err)
{
    struct error less;

    assert(!file->sealed && size <= file->size + file->gathered);
    spool_give_block(file);
    if (ftruncate(file->fd, (off_t)size) != 0)
        return spool_disk_error(err, "cutting", errno);
    file->size = size;
    if (file->counted > count_of(file->declared, size)) {
        spool_count_out(file->spool, file->counted - count_of(file->declared, size), 0);
        file->counted = count_of(file->declared, size);
    }
    if (file->declared > 0) /* where there is no room now, writing will tell */
        spool_reserve_disk(file->fd, (uint64_t)file->declared, &less);
    return true;
}

bool spool_sync(struct spool_file *file, struct error *err)
{
    if (!spool_flush(file, err))
        return false;
    return fsync(file->fd) == 0 || spool_disk_error(err, "syncing", errno);
}

bool spool_adopt(struct spool *spool, const char *id, int64_t declared, uint64_t most, uint64_t *size)
{
    int fd = open_part(spool, id);
    uint64_t found, counted;
    struct error err;
    struct stat st;
    bool ok = false;

    if (fd < 0 || fstat(fd, &st) != 0)
        goto out;
    found = (uint64_t)st.st_size;
    *size = found < most ? found : most;
    if (declared >= 0 && *size > (uint64_t)declared)
        goto out;
    if (*size < found && ftruncate(fd, (off_t)*size) != 0)
        goto out;
    if (declared > 0)
        spool_reserve_disk(fd, (uint64_t)declared, &err);
    counted = count_of(declared, *size);
    pthread_mutex_lock(&spool->lock);
    spool->used.bytes = spool->used.bytes - found + counted; /* it had its room when it began */
    pthread_mutex_unlock(&spool->lock);
    ok = true;
out:
    fd_close(&fd);
    return ok;
}

bool spool_unseal(struct spool *spool, const char *id)
{
    char part[PART_SIZE];

    spool_part_name(id, part);
    return renameat(spool->dir, id, spool->dir, part) == 0;
}

void spool_remove_part(struct spool *spool, const char *id, int64_t declared)
{
    char part[PART_SIZE];
    struct stat st;
    bool last, spared;

    spool_part_name(id, part);
    if (fstatat(spool->dir, part, &st, AT_SYMLINK_NOFOLLOW) == 0 && unlinkat(spool->dir, part, 0) == 0) {
        pthread_mutex_lock(&spool->lock);
        last = sharing_unlink(&spool->shared, st.st_ino, &spared); /* others may just lose the names they had of it */
        pthread_mutex_unlock(&spool->lock);
        spool_count_out(spool, last ? count_of(declared, (uint64_t)st.st_size) : 0, 1);
    }
    spool_forget_note(spool, id);
}

/* ---- what is noted of it */

static bool write_note(int fd, const char *text, size_t len)
{
    size_t written = 0;

    while (written < len) {
        ssize_t n = pwrite(fd, text + written, len - written, (off_t)written);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        written += (size_t)n;
    }
    return true;
}

bool spool_note(struct spool *spool, const char *id, const char *text, bool durable, struct error *err)
{
    char name[PART_SIZE];
    bool ok = false;
    int fd;

    assert(spool_id_valid(id) && strlen(text) < NOTE_MAX);
    spool_note_name(id, name);
    fd = openat(spool->dir, name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return spool_disk_error(err, "noting", errno);
    if (!write_note(fd, text, strlen(text)))
        spool_disk_error(err, "noting", errno);
    else if (durable && (fsync(fd) != 0 || fsync(spool->dir) != 0))
        spool_disk_error(err, "syncing a note", errno);
    else
        ok = true;
    fd_close(&fd);
    return ok;
}

char *spool_noted(struct spool *spool, const char *id)
{
    char *text = malloc(NOTE_MAX), name[PART_SIZE];
    ssize_t n = -1;
    int fd;

    if (!text)
        return NULL;
    spool_note_name(id, name);
    fd = openat(spool->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0)
        n = pread(fd, text, NOTE_MAX - 1, 0);
    fd_close(&fd);
    if (n < 0) {
        free(text);
        return NULL;
    }
    text[n] = '\0';
    return text;
}

void spool_forget_note(struct spool *spool, const char *id)
{
    char name[PART_SIZE];

    spool_note_name(id, name);
    if (unlinkat(spool->dir, name, 0) != 0 && errno != ENOENT)
        log_error("spool.forget_note", log_str("name", name), log_str("error", strerror(errno)));
}

struct noted {
    void (*each)(void *user, const char *id);
    void *user;
};

static void visit_note(struct spool *spool, const char *name, enum spool_entry entry, const char *id,
                       const struct stat *st, void *user)
{
    const struct noted *noted = user;

    (void)spool;
    (void)name;
    (void)st;
    if (entry == ENTRY_NOTE)
        noted->each(noted->user, id);
}

bool spool_each_note(struct spool *spool, void (*each)(void *user, const char *id), void *user, struct error *err)
{
    struct noted noted = {.each = each, .user = user};

    return spool_walk(spool, visit_note, &noted, err);
}

const char *spool_boot(const struct spool *spool)
{
    return spool->boot;
}
