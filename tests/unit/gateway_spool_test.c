/* gateway/spool: files appear whole or not at all, inside a budget, and the disk's failures have names.
 *
 * pwrite, fallocate, fsync and renameat below stand in front of libc's, so that a test can let the disk fail. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/id.h"
#include "base/log.h"
#include "gateway/spool.h"

/* ---- a disk that fails when told */

static struct {
    int pwrite, fallocate, fsync, renameat; /* errno to fail with; 0: works */
    int fsync_of_folder;
    size_t piece; /* at most so many bytes a write; 0: all */
    int fsyncs;
    bool watched; /* by one thread: then the next two are kept */
    unsigned writes;
    uint64_t ends[8]; /* where the first writes ended */
} disk;

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    if (disk.pwrite) {
        errno = disk.pwrite;
        return -1;
    }
    if (disk.watched && disk.writes++ < sizeof disk.ends / sizeof *disk.ends)
        disk.ends[disk.writes - 1] = (uint64_t)offset + len;
    return syscall(SYS_pwrite64, fd, data, disk.piece && disk.piece < len ? disk.piece : len, offset);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
    if (disk.fallocate) {
        errno = disk.fallocate;
        return -1;
    }
    return (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

int fsync(int fd)
{
    struct stat st;
    int fails = disk.fsync;

    disk.fsyncs++;
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && disk.fsync_of_folder)
        fails = disk.fsync_of_folder;
    if (fails) {
        errno = fails;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    if (disk.renameat) {
        errno = disk.renameat;
        return -1;
    }
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

/* ---- the room every test gets */

struct room {
    char dir[64];
    struct spool *spool;
    char id[ID_SIZE];
};

static void reopen_with(struct room *room, uint64_t max_bytes, uint64_t max_file)
{
    const struct spool_limits limits = {.max_bytes = max_bytes, .max_file = max_file};
    struct error err = {0};

    spool_close(&room->spool);
    room->spool = spool_open(room->dir, &limits, &err);
    assert_string_equal(err.text, "");
    assert_non_null(room->spool);
}

static int set_up(void **state)
{
    static struct room room;

    memset(&disk, 0, sizeof disk);
    memset(&room, 0, sizeof room);
    strcpy(room.dir, "/tmp/jidpost-spool-XXXXXX");
    assert_non_null(mkdtemp(room.dir));
    strcat(room.dir, "/spool");
    id_make(room.id, "tr", 1700000000000);
    reopen_with(&room, 1000, 600);
    *state = &room;
    return 0;
}

static int tear_down(void **state)
{
    struct room *room = *state;
    DIR *dir = opendir(room->dir);
    struct dirent *d;

    spool_close(&room->spool);
    while ((d = readdir(dir)))
        unlinkat(dirfd(dir), d->d_name, 0);
    closedir(dir);
    rmdir(room->dir);
    *strrchr(room->dir, '/') = '\0';
    return rmdir(room->dir);
}

static bool exists(const struct room *room, const char *id, const char *ending)
{
    char path[160];

    snprintf(path, sizeof path, "%s/%s%s", room->dir, id, ending);
    return access(path, F_OK) == 0;
}

static void put_file(const struct room *room, const char *name, const char *text)
{
    char path[160];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", room->dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void assert_used(const struct room *room, uint64_t bytes, uint64_t files)
{
    struct spool_usage usage;

    spool_usage(room->spool, &usage);
    assert_int_equal(usage.bytes, bytes);
    assert_int_equal(usage.files, files);
}

static struct spool_file *create(struct room *room, int64_t size)
{
    struct error err = {0};
    struct spool_file *file = spool_create(room->spool, room->id, size, &err);

    assert_string_equal(err.text, "");
    assert_non_null(file);
    return file;
}

static void append(struct spool_file *file, const char *text)
{
    struct error err = {0};

    assert_true(spool_append(file, text, strlen(text), &err));
}

static bool sha256(const struct spool_file *file, char hex[static 65], struct error *err)
{
    struct digests d = {.has_sha256 = true};
    bool ok = spool_digest(file, &d, err);

    id_hex(d.sha256, SHA256_BYTES, hex);
    return ok;
}

/* ---- whole or not at all */

static void a_folder_is_made_for_the_owner_alone(void **state)
{
    struct room *room = *state;
    struct stat st;

    assert_int_equal(stat(room->dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void a_folder_that_cannot_be_made_is_named(void **state)
{
    const struct spool_limits limits = {.max_bytes = 1, .max_file = 1};
    struct error err = {0};

    (void)state;
    assert_null(spool_open("/proc/jidpost/spool", &limits, &err));
    assert_int_equal(err.code, ERR_SYSTEM);
    assert_non_null(strstr(err.text, "/proc/jidpost/spool"));
}

static void an_upload_is_a_part_until_it_is_sealed(void **state)
{
    struct room *room = *state;
    struct error err = {0};
    char hex[65], head[16];
    struct spool_file *file = create(room, 11);

    append(file, "hello ");
    append(file, "world");
    assert_true(exists(room, room->id, ".part"));
    assert_false(exists(room, room->id, ""));
    assert_true(spool_seal(file, true, &err));
    assert_false(exists(room, room->id, ".part"));
    spool_release(&file);
    assert_null(file);

    file = spool_reopen(room->spool, room->id, &err);
    assert_non_null(file);
    assert_int_equal(spool_size(file), 11);
    assert_int_equal(spool_peek(file, head, 5), 5);
    assert_memory_equal(head, "hello", 5);
    assert_int_equal(spool_peek(file, head, sizeof head), 11);
    assert_true(sha256(file, hex, &err));
    assert_string_equal(hex, "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9");
    spool_release(&file);
}

static void an_empty_file_is_a_file(void **state)
{
    static const int64_t sizes[] = {0, -1};
    struct room *room = *state;

    for (size_t i = 0; i < 2; i++) {
        struct error err = {0};
        struct spool_file *file = create(room, sizes[i]);
        char hex[65], head[4];

        assert_true(spool_seal(file, true, &err));
        assert_int_equal(spool_size(file), 0);
        assert_int_equal(spool_peek(file, head, sizeof head), 0);
        assert_true(sha256(file, hex, &err));
        assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        spool_abandon(&file);
    }
}

/* A reader that follows the file must not see zeros ahead of the writer. */
static void the_size_on_disk_is_what_arrived_and_not_what_was_reserved(void **state)
{
    struct spool_file *file = create(*state, 500);
    struct stat st;

    append(file, "abc");
    assert_int_equal(fstat(spool_fd(file), &st), 0);
    assert_int_equal(st.st_size, 3);
    assert_int_equal(spool_size(file), 3);
    spool_abandon(&file);
}

static void a_digest_spans_many_reads(void **state)
{
    struct room *room = *state;
    struct error err = {0};
    struct spool_file *file;
    char *zeros = calloc(1, 1000000), hex[65];

    reopen_with(room, 2000000, 2000000);
    file = create(room, -1);
    assert_true(spool_append(file, zeros, 1000000, &err));
    assert_true(sha256(file, hex, &err));
    assert_string_equal(hex, "d29751f2649b32ff572b5e0a9f541ea660a50f94ff0beedfb0b692b924cc8025");
    spool_abandon(&file);
    free(zeros);
}

static struct spool_file *create_new(struct room *room, int64_t size)
{
    id_make(room->id, "tr", 1);
    return create(room, size);
}

static bool claims_one(void *user, const char *id)
{
    return strcmp(user, id) == 0;
}

/* Three files of 100 bytes in a spool of 350: spared, they go for what is uploaded, whose time ends first goes first.
 */
static void spared_files_go_when_their_room_is_needed(void **state)
{
    struct room *room = *state;
    char ids[3][ID_SIZE], id[ID_SIZE];
    struct spool_usage usage;
    struct spool_file *file;
    struct error err = {0};
    char bytes[100] = {0};

    reopen_with(room, 350, 400);
    for (size_t i = 0; i < 3; i++) {
        file = create_new(room, 100);
        memcpy(ids[i], room->id, ID_SIZE);
        assert_true(spool_append(file, bytes, 100, &err) && spool_seal(file, false, &err));
        spool_release(&file);
    }
    assert_null(spool_create(room->spool, room->id, 100, &err));
    assert_int_equal(err.code, ERR_SPOOL_FULL);
    spool_spare(room->spool, ids[0], 2000);
    spool_spare(room->spool, ids[1], 1000);
    spool_usage(room->spool, &usage);
    assert_int_equal(usage.bytes, 300);
    assert_int_equal(usage.spare, 200);
    file = create_new(room, 100);
    assert_false(spool_claim(room->spool, ids[1]));
    spool_abandon(&file);
    file = create_new(room, -1); /* one whose length is not known needs it only when it has grown */
    assert_true(spool_append(file, bytes, 100, &err));
    assert_true(spool_claim(room->spool, ids[0]));
    assert_false(spool_claim(room->spool, ids[0]));
    spool_spare(room->spool, ids[0], 2000);
    assert_true(spool_append(file, bytes, 100, &err));
    assert_false(spool_claim(room->spool, ids[0]));
    spool_abandon(&file);
    spool_spare(room->spool, ids[2], 3000);
    assert_null(spool_create(room->spool, room->id, 351, &err)); /* would not fit if it went, too */
    assert_false(spool_over(room->spool, 2999, id));
    assert_true(spool_over(room->spool, 3000, id));
    assert_string_equal(id, ids[2]);
    assert_false(spool_over(room->spool, 9999, id));
    spool_usage(room->spool, &usage);
    assert_int_equal(usage.bytes, 100);
    assert_int_equal(usage.spare, 0);
}

/* One file of 100 bytes for three transfers. */
static void share(struct room *room, char ids[3][ID_SIZE])
{
    const char *names[] = {ids[1], ids[2]};
    struct spool_file *file = create_new(room, 100);
    struct error err = {0};
    char bytes[100] = {0};

    memcpy(ids[0], room->id, ID_SIZE);
    id_make(ids[1], "tr", 2);
    id_make(ids[2], "tr", 3);
    assert_true(spool_append(file, bytes, 100, &err) && spool_seal(file, false, &err));
    spool_release(&file);
    assert_true(spool_link(room->spool, ids[0], names, 2, false, &err));
}

static void assert_spare(const struct room *room, uint64_t bytes)
{
    struct spool_usage usage;

    spool_usage(room->spool, &usage);
    assert_int_equal(usage.spare, bytes);
}

static void a_shared_file_counts_once_until_its_last_name_is_gone(void **state)
{
    struct room *room = *state;
    char ids[3][ID_SIZE];
    struct spool_file *file;
    struct error err = {0};

    share(room, ids);
    assert_used(room, 100, 3);
    reopen_with(room, 1000, 600); /* as after a restart */
    assert_used(room, 100, 3);
    spool_remove(room->spool, ids[0]);
    assert_used(room, 100, 2);
    file = spool_reopen(room->spool, ids[2], &err);
    assert_non_null(file);
    assert_int_equal(spool_size(file), 100);
    spool_release(&file);
    spool_remove(room->spool, ids[2]);
    spool_remove(room->spool, ids[2]);
    assert_used(room, 100, 1);
    spool_remove(room->spool, ids[1]);
    assert_used(room, 0, 0);
}

static void a_shared_file_is_spare_when_all_its_names_are(void **state)
{
    struct room *room = *state;
    char ids[3][ID_SIZE];
    struct spool_file *file;

    reopen_with(room, 150, 150);
    share(room, ids);
    spool_spare(room->spool, ids[0], 1000);
    spool_spare(room->spool, ids[1], 1000);
    assert_spare(room, 0);
    spool_spare(room->spool, ids[2], 1000);
    assert_spare(room, 100);
    assert_true(spool_claim(room->spool, ids[0]));
    assert_spare(room, 0);
    spool_remove(room->spool, ids[0]);
    assert_spare(room, 100);
    file = create_new(room, 100); /* which takes all of them to make room */
    assert_used(room, 100, 1);
    assert_spare(room, 0);
    assert_false(exists(room, ids[1], "") || exists(room, ids[2], ""));
    spool_abandon(&file);
}

static void names_that_cannot_all_be_given_are_not_given_at_all(void **state)
{
    struct room *room = *state;
    char ids[3][ID_SIZE];
    const char *names[] = {NULL, ids[1]};
    char new_id[ID_SIZE];
    struct error err = {0};

    share(room, ids);
    id_make(new_id, "tr", 4);
    names[0] = new_id;
    assert_false(spool_link(room->spool, ids[0], names, 2, false, &err)); /* the second is there already */
    assert_false(exists(room, new_id, ""));
    assert_used(room, 100, 3);
    disk.fsync = EIO;
    disk.fsync_of_folder = EIO;
    assert_false(spool_link(room->spool, ids[0], names, 1, true, &err));
    assert_false(exists(room, new_id, ""));
    assert_used(room, 100, 3);
}

static void a_sweep_takes_names_and_not_the_file_of_others(void **state)
{
    struct room *room = *state;
    char ids[3][ID_SIZE];

    share(room, ids);
    assert_int_equal(spool_sweep(room->spool, claims_one, ids[1]), 2);
    assert_used(room, 100, 1);
    assert_true(exists(room, ids[1], ""));
}

static void a_file_of_the_disk_is_taken_whole(void **state)
{
    struct room *room = *state;
    char path[160], bytes[101];
    struct spool_file *file;
    struct error err = {0};
    int fd;

    memset(bytes, 'x', sizeof bytes);
    bytes[100] = '\0';
    put_file(room, "source", bytes);
    snprintf(path, sizeof path, "%s/source", room->dir);
    fd = open(path, O_RDONLY);
    file = create_new(room, -1);
    assert_true(spool_take(file, fd, 100, &err) && spool_seal(file, false, &err));
    assert_int_equal(spool_size(file), 100);
    spool_release(&file);
    assert_used(room, 100, 1);
    file = create_new(room, -1);
    assert_false(spool_take(file, fd, 150, &err)); /* it was as long when it was looked at */
    assert_int_equal(err.code, ERR_SOURCE_FAILED);
    spool_abandon(&file);
    file = create_new(room, -1);
    assert_false(spool_take(file, fd, 601, &err));
    assert_int_equal(err.code, ERR_BODY_TOO_LARGE);
    spool_abandon(&file);
    assert_used(room, 100, 1);
    close(fd);
}

static void what_digests_are_wanted_is_what_is_computed(void **state)
{
    static const struct {
        bool sha256, sha512;
    } rows[] = {{false, false}, {true, false}, {false, true}, {true, true}};
    const unsigned char none[2] = {0}, abc256[] = {0xba, 0x78}, abc512[] = {0xdd, 0xaf};
    struct spool_file *file = create(*state, 3);
    struct error err = {0};

    append(file, "abc");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct digests d = {.has_sha256 = rows[i].sha256, .has_sha512 = rows[i].sha512};

        assert_true(spool_digest(file, &d, &err));
        assert_memory_equal(d.sha256, rows[i].sha256 ? abc256 : none, 2);
        assert_memory_equal(d.sha512, rows[i].sha512 ? abc512 : none, 2);
    }
    spool_abandon(&file);
}

static void short_writes_are_continued(void **state)
{
    struct spool_file *file = create(*state, -1);
    char back[16];

    disk.piece = 3;
    append(file, "0123456789");
    assert_int_equal(spool_size(file), 10);
    assert_int_equal(spool_peek(file, back, sizeof back), 10);
    assert_memory_equal(back, "0123456789", 10);
    spool_abandon(&file);
}

enum { KIB = 1024, RECEIVED = 30000 };

/* Bytes that differ from place to place, as a whole file would have them from that offset on. */
static void gather(struct spool_file *file, size_t from, size_t len)
{
    struct error err = {0};
    uint8_t *bytes = malloc(len);

    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)((from + i) * 2654435761U >> 13);
    assert_true(spool_gather(file, bytes, len, &err));
    free(bytes);
}

static void assert_gathered(const struct spool_file *file, size_t len)
{
    uint8_t *bytes = malloc(len + 1);

    assert_int_equal(spool_peek(file, bytes, len + 1), len);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(bytes[i], (uint8_t)(i * 2654435761U >> 13));
    free(bytes);
}

static void gathered_pieces_are_written_as_blocks(void **state)
{
    struct room *room = *state;
    struct error err = {0};
    struct spool_file *file;
    size_t len = 0;

    disk.watched = true;
    reopen_with(room, 2000 * KIB, 2000 * KIB);
    file = create(room, -1);
    for (; len < 600 * KIB; len += RECEIVED)
        gather(file, len, RECEIVED);
    assert_int_equal(disk.writes, 5);
    for (unsigned i = 0; i < 3; i++) /* the beginning of a file does not wait */
        assert_int_equal(disk.ends[i], (i + 1) * RECEIVED);
    assert_int_equal(disk.ends[3], 256 * KIB);
    assert_int_equal(disk.ends[4], 512 * KIB);
    assert_int_equal(spool_size(file), 512 * KIB);
    assert_used(room, len, 1);
    assert_true(spool_append(file, "", 0, &err));
    assert_int_equal(spool_size(file), len);
    gather(file, len, 700 * KIB); /* more than a block at once */
    assert_true(spool_seal(file, false, &err));
    assert_int_equal(spool_size(file), len + 700 * KIB);
    assert_gathered(file, len + 700 * KIB);
    spool_abandon(&file);
    assert_used(room, 0, 0);
}

static void what_was_gathered_counts_against_the_length(void **state)
{
    struct room *room = *state;
    struct error err = {0};
    struct spool_file *file;

    reopen_with(room, 400 * KIB, 400 * KIB);
    file = create(room, 100 * KIB);
    gather(file, 0, 70 * KIB);
    gather(file, 70 * KIB, 29 * KIB);
    assert_int_equal(spool_size(file), 70 * KIB);
    assert_false(spool_gather(file, disk.ends, 1025, &err));
    assert_int_equal(err.code, ERR_LENGTH_CONFLICT);
    gather(file, 99 * KIB, KIB);
    assert_true(spool_seal(file, false, &err));
    assert_gathered(file, 100 * KIB);
    spool_abandon(&file);
}

static void a_block_that_cannot_be_written_fails_the_upload(void **state)
{
    struct room *room = *state;
    struct error err = {0};
    struct spool_file *file;

    reopen_with(room, 400 * KIB, 400 * KIB);
    file = create(room, -1);
    gather(file, 0, 70 * KIB);
    gather(file, 70 * KIB, 10 * KIB);
    disk.pwrite = ENOSPC;
    assert_false(spool_seal(file, false, &err));
    assert_int_equal(err.code, ERR_SPOOL_FULL);
    spool_abandon(&file);
    assert_used(room, 0, 0);
}

static void only_a_durable_seal_waits_for_the_disk(void **state)
{
    struct room *room = *state;
    struct error err = {0};
    struct spool_file *file = create(room, 0);

    assert_true(spool_seal(file, false, &err));
    assert_int_equal(disk.fsyncs, 0);
    spool_abandon(&file);
    file = create(room, 0);
    assert_true(spool_seal(file, true, &err));
    assert_int_equal(disk.fsyncs, 2); /* the file, then its name */
    spool_abandon(&file);
}

/* ---- lengths */

static void a_length_that_lies_is_a_conflict(void **state)
{
    struct room *room = *state;
    struct error err = {0};
    struct spool_file *file = create(room, 5);

    append(file, "123");
    assert_false(spool_append(file, "456", 3, &err));
    assert_int_equal(err.code, ERR_LENGTH_CONFLICT);
    assert_int_equal(spool_size(file), 3);
    assert_false(spool_seal(file, true, &err));
    assert_int_equal(err.code, ERR_LENGTH_CONFLICT);
    assert_true(exists(room, room->id, ".part"));
    append(file, "45");
    assert_true(spool_seal(file, true, &err));
    spool_abandon(&file);
}

static void a_file_above_the_limit_is_too_large(void **state)
{
    struct room *room = *state;
    struct error err = {0};
    struct spool_file *file;
    char block[601] = "";

    assert_null(spool_create(room->spool, room->id, 601, &err));
    assert_int_equal(err.code, ERR_BODY_TOO_LARGE);
    assert_used(room, 0, 0);
    file = create(room, -1);
    assert_true(spool_append(file, block, 600, &err));
    assert_false(spool_append(file, block, 1, &err));
    assert_int_equal(err.code, ERR_BODY_TOO_LARGE);
    spool_abandon(&file);
}

/* ---- the budget */

static void the_budget_counts_what_was_declared_or_has_arrived(void **state)
{
    struct room *room = *state;
    struct error err = {0};
    struct spool_file *declared = create(room, 400), *unknown;

    assert_used(room, 400, 1);
    id_make(room->id, "tr", 1700000000001);
    unknown = create(room, -1);
    assert_used(room, 400, 2);
    append(unknown, "1234567890");
    assert_used(room, 410, 2);
    assert_true(spool_seal(unknown, false, &err));
    assert_used(room, 410, 2);
    spool_release(&unknown);
    assert_used(room, 410, 2);
    spool_abandon(&declared);
    assert_used(room, 10, 1);
    spool_remove(room->spool, room->id);
    assert_used(room, 0, 0);
    spool_remove(room->spool, room->id); /* gone already is fine */
    assert_used(room, 0, 0);
}

static void what_does_not_fit_the_budget_is_refused_before_its_body(void **state)
{
    struct room *room = *state;
    struct error err = {0};
    struct spool_file *first = create(room, 600), *second;
    char block[401] = "";

    id_make(room->id, "tr", 1700000000001);
    assert_null(spool_create(room->spool, room->id, 401, &err));
    assert_int_equal(err.code, ERR_SPOOL_FULL);
    assert_false(exists(room, room->id, ".part"));
    assert_used(room, 600, 1);

    second = create(room, -1);
    assert_false(spool_append(second, block, 401, &err));
    assert_int_equal(err.code, ERR_SPOOL_FULL);
    assert_true(spool_append(second, block, 400, &err));
    spool_abandon(&first);
    spool_abandon(&second);
    assert_used(room, 0, 0);
}

static void no_more_files_than_the_limit_however_small(void **state)
{
    struct room *room = *state;
    const struct spool_limits limits = {.max_bytes = 1000, .max_file = 1000, .max_files = 1};
    struct error err = {0};
    struct spool_file *first;

    spool_close(&room->spool);
    room->spool = spool_open(room->dir, &limits, &err);
    first = create(room, 0);
    id_make(room->id, "tr", 1700000000001);
    assert_null(spool_create(room->spool, room->id, 0, &err));
    assert_int_equal(err.code, ERR_SPOOL_FULL);
    spool_abandon(&first);
    first = create(room, 0);
    spool_abandon(&first);
}

static void a_new_limit_counts_what_is_there_and_lets_it_be(void **state)
{
    struct room *room = *state;
    const struct spool_limits less = {.max_bytes = 500, .max_file = 100, .max_files = 1},
                              more = {.max_bytes = 2000, .max_file = 1500};
    struct spool_usage usage;
    struct error err = {0};
    struct spool_file *file, *unknown;

    file = create(room, 600);
    id_make(room->id, "tr", 1700000000001);
    unknown = create(room, -1);
    spool_limit(room->spool, &less);
    append(file, "there is room for it");
    assert_false(spool_append(unknown, "more", 4, &err));
    assert_int_equal(err.code, ERR_SPOOL_FULL);
    spool_usage(room->spool, &usage);
    assert_int_equal(usage.max_bytes, 500);
    assert_int_equal(usage.max_file, 100);
    spool_limit(room->spool, &more);
    assert_true(spool_append(unknown, "more", 4, &err));
    spool_abandon(&file);
    spool_abandon(&unknown);
    file = create(room, 1400);
    spool_abandon(&file);
}

static void a_restart_counts_what_lies_there(void **state)
{
    struct room *room = *state;
    struct error err = {0};
    struct spool_file *file = create(room, 7);

    append(file, "1234567");
    assert_true(spool_seal(file, true, &err));
    spool_release(&file);
    reopen_with(room, 1000, 600);
    assert_used(room, 7, 1);
}

/* The limit may have been lowered below what lies there; nothing new fits, and nothing overflows. */
static void a_budget_already_exceeded_takes_nothing_more(void **state)
{
    struct room *room = *state;
    struct error err = {0};

    put_file(room, room->id, "1234567890");
    reopen_with(room, 5, 600);
    id_make(room->id, "tr", 1700000000001);
    assert_null(spool_create(room->spool, room->id, 1, &err));
    assert_int_equal(err.code, ERR_SPOOL_FULL);
}

static void *create_and_abandon(void *user)
{
    struct spool *spool = user;

    for (int i = 0; i < 200; i++) {
        struct error err = {0};
        char id[ID_SIZE];
        struct spool_file *file;

        id_make(id, "tr", 1700000000000 + i);
        file = spool_create(spool, id, i % 2 ? 50 : -1, &err);
        if (file) {
            spool_append(file, "some bytes", 10, &err);
            spool_abandon(&file);
        }
    }
    return NULL;
}

static void the_budget_is_exact_under_many_threads(void **state)
{
    struct room *room = *state;
    pthread_t threads[4];

    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, create_and_abandon, room->spool), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_used(room, 0, 0);
}

/* ---- the disk's failures */

static void the_disks_failures_have_names(void **state)
{
    static const struct {
        int number;
        enum error_code code;
    } rows[] = {{ENOSPC, ERR_SPOOL_FULL}, {EDQUOT, ERR_SPOOL_FULL}, {EFBIG, ERR_BODY_TOO_LARGE}, {EIO, ERR_INTERNAL}};
    struct room *room = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error err = {0};
        struct spool_file *file;

        disk.fallocate = rows[i].number;
        assert_null(spool_create(room->spool, room->id, 10, &err));
        assert_int_equal(err.code, rows[i].code);
        disk.fallocate = 0;
        assert_used(room, 0, 0);
        assert_false(exists(room, room->id, ".part"));

        file = create(room, -1);
        disk.pwrite = rows[i].number;
        assert_false(spool_append(file, "abc", 3, &err));
        assert_int_equal(err.code, rows[i].code);
        disk.pwrite = 0;

        disk.fsync = rows[i].number;
        assert_false(spool_seal(file, true, &err));
        assert_int_equal(err.code, rows[i].code);
        disk.fsync = 0;

        disk.renameat = rows[i].number;
        assert_false(spool_seal(file, true, &err));
        assert_int_equal(err.code, rows[i].code);
        disk.renameat = 0;
        assert_true(exists(room, room->id, ".part"));
        spool_abandon(&file);
        assert_used(room, 0, 0);
    }
}

static void a_file_system_that_cannot_reserve_is_used_without(void **state)
{
    struct room *room = *state;
    struct error err = {0};
    struct spool_file *file;

    disk.fallocate = EOPNOTSUPP;
    file = create(room, 3);
    append(file, "abc");
    assert_true(spool_seal(file, true, &err));
    spool_abandon(&file);
}

static void a_name_that_is_not_durable_is_taken_back(void **state)
{
    struct room *room = *state;
    struct error err = {0};
    struct spool_file *file = create(room, 0);

    disk.fsync_of_folder = EIO;
    assert_false(spool_seal(file, true, &err));
    assert_true(exists(room, room->id, ".part"));
    assert_false(exists(room, room->id, ""));
    disk.fsync_of_folder = 0;
    assert_true(spool_seal(file, true, &err));
    spool_abandon(&file);
}

/* Without care the kernel would end the process here. */
static void a_file_size_limit_of_the_process_is_an_error_and_not_a_signal(void **state)
{
    struct room *room = *state;
    struct rlimit before, small;
    struct error err = {0};
    struct spool_file *file = create(room, -1);
    char block[200] = "";
    bool ok;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 100;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    ok = spool_append(file, block, sizeof block, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_false(ok);
    assert_int_equal(err.code, ERR_BODY_TOO_LARGE);
    spool_abandon(&file);
}

/* ---- names */

static void a_name_that_is_no_id_opens_and_removes_nothing(void **state)
{
    static const char *const names[] = {"", "..", "../outside", "tr_", "notes.txt", "tr_01KAXQ00000000000000000000/.."};
    struct room *room = *state;

    put_file(room, "notes.txt", "mine");
    put_file(room, "../outside", "mine");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct error err = {0};

        assert_null(spool_reopen(room->spool, names[i], &err));
        assert_int_equal(err.code, ERR_NOT_FOUND);
        spool_remove(room->spool, names[i]);
    }
    assert_true(exists(room, "notes.txt", ""));
    assert_true(exists(room, "../outside", ""));
    spool_remove(room->spool, "notes.txt");
    char path[160];
    snprintf(path, sizeof path, "%s/../outside", room->dir);
    assert_int_equal(unlink(path), 0);
}

static void an_unfinished_file_cannot_be_reopened(void **state)
{
    struct room *room = *state;
    struct error err = {0};
    struct spool_file *file = create(room, 3);

    append(file, "abc");
    spool_release(&file);
    assert_true(exists(room, room->id, ".part"));
    assert_null(spool_reopen(room->spool, room->id, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void one_id_is_one_file(void **state)
{
    struct room *room = *state;
    struct error err = {0};
    struct spool_file *file = create(room, 3);

    assert_null(spool_create(room->spool, room->id, 3, &err));
    assert_used(room, 3, 1);
    spool_abandon(&file);
}

/* ---- the sweep */

static bool keep_one(void *user, const char *id)
{
    return strcmp(id, user) == 0;
}

static void ignore_line(void *user, enum log_level level, const char *line)
{
    size_t *lines = user;

    (void)level;
    *lines += strstr(line, "notes.txt") != NULL;
}

static void a_sweep_leaves_what_is_claimed_and_what_is_not_ours(void **state)
{
    struct room *room = *state;
    char orphan[ID_SIZE], part[ID_SIZE + 5];
    size_t told = 0;

    id_make(orphan, "tr", 1700000000001);
    snprintf(part, sizeof part, "%s.part", room->id);
    put_file(room, room->id, "kept");
    put_file(room, orphan, "orphan");
    put_file(room, part, "cut off");
    put_file(room, "notes.txt", "somebody's");
    log_capture(ignore_line, &told);
    reopen_with(room, 1000, 600);
    log_capture(NULL, NULL);
    assert_int_equal(told, 1);
    assert_used(room, 4 + 6 + 7, 3);
    assert_int_equal(spool_sweep(room->spool, keep_one, room->id), 2);
    assert_used(room, 4, 1);
    assert_true(exists(room, room->id, ""));
    assert_true(exists(room, "notes.txt", ""));
    assert_false(exists(room, orphan, ""));
    assert_false(exists(room, part, ""));
}

/* What a released upload leaves behind is counted as the sweep will find it. */
static void a_released_part_is_swept_to_zero(void **state)
{
    struct room *room = *state;
    struct spool_file *file = create(room, 100);
    char nobody[] = "";

    append(file, "abc");
    spool_release(&file);
    assert_used(room, 3, 1);
    assert_int_equal(spool_sweep(room->spool, keep_one, nobody), 1);
    assert_used(room, 0, 0);
}

/* ---- a file that comes in pieces */

static void a_file_goes_on_where_it_stopped_and_keeps_its_room(void **state)
{
    struct room *room = *state;
    struct spool_file *file = create(room, 10);
    struct error err = {0};

    append(file, "hello");
    assert_int_equal(spool_pause(&file), 5);
    assert_null(file);
    assert_used(room, 10, 1);
    file = spool_resume(room->spool, room->id, 10, 5, &err);
    assert_non_null(file);
    append(file, " worl");
    assert_used(room, 10, 1);
    assert_false(spool_append(file, "d", 1, &err));
    assert_int_equal(err.code, ERR_LENGTH_CONFLICT);
    assert_true(spool_seal(file, true, &err));
    spool_release(&file);
    assert_used(room, 10, 1);
    assert_true(spool_unseal(room->spool, room->id));
    assert_false(spool_unseal(room->spool, room->id));
    assert_true(exists(room, room->id, ".part"));
    spool_remove_part(room->spool, room->id, 10);
    assert_used(room, 0, 0);
}

static void what_does_not_count_is_cut_off(void **state)
{
    struct room *room = *state;
    struct spool_file *file = create(room, -1);
    struct error err = {0};
    char got[16] = "";

    append(file, "hello world");
    assert_used(room, 11, 1);
    assert_true(spool_rewind(file, 5, &err));
    assert_used(room, 5, 1);
    append(file, "!");
    assert_int_equal(spool_pause(&file), 6);
    file = spool_resume(room->spool, room->id, -1, 3, &err);
    assert_int_equal(spool_size(file), 3);
    assert_int_equal(spool_peek(file, got, sizeof got), 3);
    assert_string_equal(got, "hel");
    spool_pause(&file);
    assert_null(spool_resume(room->spool, room->id, -1, 4, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    spool_remove_part(room->spool, room->id, -1);
    assert_null(spool_resume(room->spool, room->id, -1, 0, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void a_size_that_is_told_later_takes_its_room_then(void **state)
{
    static const struct {
        uint64_t size;
        enum error_code code;
    } rows[] = {{4, ERR_LENGTH_CONFLICT}, {601, ERR_BODY_TOO_LARGE}, {500, ERR_SPOOL_FULL}, {400, ERR_NONE}};
    struct room *room = *state;
    struct spool_file *file = create(room, -1), *other;
    struct error err = {0};
    char id[ID_SIZE];

    id_make(id, "tr", 1700000000001);
    other = spool_create(room->spool, id, 600, &err);
    append(file, "hello");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        err.code = ERR_NONE;
        assert_int_equal(spool_declare(file, rows[i].size, &err), rows[i].code == ERR_NONE);
        assert_int_equal(err.code, rows[i].code);
        assert_used(room, rows[i].code == ERR_NONE ? 1000 : 605, 2);
    }
    assert_int_equal(spool_pause(&file), 5);
    assert_used(room, 1000, 2);
    spool_abandon(&other);
}

/* As of one that a crash left. */
static void what_was_noted_survives_with_its_file(void **state)
{
    struct room *room = *state;
    struct spool_file *file = create(room, 100);
    struct error err = {0};
    char nobody[] = "", *text;
    uint64_t size;

    append(file, "hello world");
    assert_true(spool_note(room->spool, room->id, "one\n", false, &err));
    assert_true(spool_note(room->spool, room->id, "two\n", true, &err));
    spool_pause(&file);
    reopen_with(room, 1000, 600);
    assert_used(room, 11, 1);
    text = spool_noted(room->spool, room->id);
    assert_string_equal(text, "two\n");
    free(text);
    assert_true(spool_adopt(room->spool, room->id, 100, 5, &size));
    assert_int_equal(size, 5);
    assert_used(room, 100, 1);
    assert_int_equal(spool_sweep(room->spool, keep_one, nobody), 0);
    spool_forget_note(room->spool, room->id);
    assert_int_equal(spool_sweep(room->spool, keep_one, nobody), 1);
    assert_false(spool_adopt(room->spool, room->id, 100, 5, &size));
    assert_true(spool_note(room->spool, room->id, "alone\n", false, &err));
    assert_int_equal(spool_sweep(room->spool, keep_one, nobody), 0);
    assert_false(exists(room, room->id, ".note"));
}

static void a_disk_that_fails_is_told_of_pieces_too(void **state)
{
    struct room *room = *state;
    struct spool_file *file = create(room, 100);
    struct error err = {0};

    append(file, "hello");
    disk.fsync = EIO;
    assert_false(spool_sync(file, &err));
    assert_false(spool_note(room->spool, room->id, "text", true, &err));
    assert_true(spool_note(room->spool, room->id, "text", false, &err));
    disk.pwrite = ENOSPC;
    assert_false(spool_note(room->spool, room->id, "text", false, &err));
    assert_int_equal(err.code, ERR_SPOOL_FULL);
    spool_abandon(&file);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* ---- a file that is read while it is written */

static void a_growing_file_can_be_followed_through_its_completion(void **state)
{
    struct room *room = *state;
    struct spool_file *file = create(room, 10), *reader, *late;
    struct error err = {0};
    char got[16] = "";

    append(file, "hello");
    assert_null(spool_reopen(room->spool, room->id, &err));
    reader = spool_follow(room->spool, room->id, &err);
    assert_non_null(reader);
    append(file, "world");
    assert_true(spool_is_whole(file, &err));
    assert_true(spool_seal(file, false, &err));
    assert_int_equal(pread(spool_fd(reader), got, sizeof got, 0), 10);
    assert_string_equal(got, "helloworld");
    late = spool_follow(room->spool, room->id, &err);
    assert_non_null(late);
    assert_int_equal(spool_size(late), 10);
    spool_release(&late);
    spool_release(&reader);
    spool_release(&file);
    assert_used(room, 10, 1);
    spool_remove(room->spool, room->id);
    assert_null(spool_follow(room->spool, room->id, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void a_short_file_is_not_whole(void **state)
{
    struct room *room = *state;
    struct spool_file *file = create(room, 10);
    struct error err = {0};

    append(file, "hello");
    assert_false(spool_is_whole(file, &err));
    assert_int_equal(err.code, ERR_LENGTH_CONFLICT);
    spool_abandon(&file);
}

/* A window counts in the budget, and holes keep the file to about that on the disk. */
static void a_windowed_file_takes_no_more_than_its_window(void **state)
{
    enum { PIECE = 256 * 1024, WINDOW = 2 * 1024 * 1024, SIZE = 24 * 1024 * 1024, STEP = WINDOW / 8 + 64 * 1024 };
    struct room *room = *state;
    struct spool_file *file;
    struct error err = {0};
    char *piece = malloc(PIECE);
    uint64_t written = 0, read = 0, most = 0;
    struct stat st;

    reopen_with(room, 4 * 1024 * 1024, SIZE);
    file = spool_create_window(room->spool, room->id, SIZE, WINDOW, &err);
    assert_non_null(file);
    assert_used(room, WINDOW, 1);
    memset(piece, 'x', PIECE);
    while (written < SIZE) {
        for (; written < SIZE && written + PIECE <= read + WINDOW; written += PIECE)
            assert_true(spool_append(file, piece, PIECE, &err));
        assert_int_equal(fstat(spool_fd(file), &st), 0);
        most = (uint64_t)st.st_blocks * 512 > most ? (uint64_t)st.st_blocks * 512 : most;
        read += PIECE + 1; /* off the pages' edges */
        spool_punch(file, read);
    }
    assert_in_range(most, WINDOW / 2, WINDOW + STEP + 1024 * 1024);
    /* What was not read is all there, and what was is gone. */
    for (uint64_t at = read; at < SIZE; at += PIECE) {
        size_t len = SIZE - at < PIECE ? (size_t)(SIZE - at) : PIECE;

        memset(piece, 0, PIECE);
        assert_int_equal(pread(spool_fd(file), piece, len, (off_t)at), len);
        for (size_t i = 0; i < len; i++)
            assert_int_equal(piece[i], 'x');
    }
    assert_int_equal(pread(spool_fd(file), piece, 1, 0), 1);
    assert_int_equal(piece[0], 0);
    assert_false(spool_append(file, "x", 1, &err));
    assert_int_equal(err.code, ERR_LENGTH_CONFLICT);
    spool_abandon(&file);
    assert_used(room, 0, 0);
    free(piece);
}

static void a_window_larger_than_the_file_counts_the_file(void **state)
{
    struct room *room = *state;
    struct error err = {0};
    struct spool_file *file = spool_create_window(room->spool, room->id, 10, 1000000, &err);

    assert_non_null(file);
    assert_used(room, 10, 1);
    spool_abandon(&file);
    assert_null(spool_create_window(room->spool, room->id, 601, 100, &err)); /* the file is what may be too large */
    assert_int_equal(err.code, ERR_BODY_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_folder_is_made_for_the_owner_alone),
        TEST(a_folder_that_cannot_be_made_is_named),
        TEST(an_upload_is_a_part_until_it_is_sealed),
        TEST(an_empty_file_is_a_file),
        TEST(the_size_on_disk_is_what_arrived_and_not_what_was_reserved),
        TEST(a_digest_spans_many_reads),
        TEST(what_digests_are_wanted_is_what_is_computed),
        TEST(spared_files_go_when_their_room_is_needed),
        TEST(a_shared_file_counts_once_until_its_last_name_is_gone),
        TEST(a_shared_file_is_spare_when_all_its_names_are),
        TEST(names_that_cannot_all_be_given_are_not_given_at_all),
        TEST(a_sweep_takes_names_and_not_the_file_of_others),
        TEST(a_file_of_the_disk_is_taken_whole),
        TEST(short_writes_are_continued),
        TEST(gathered_pieces_are_written_as_blocks),
        TEST(what_was_gathered_counts_against_the_length),
        TEST(a_block_that_cannot_be_written_fails_the_upload),
        TEST(only_a_durable_seal_waits_for_the_disk),
        TEST(a_length_that_lies_is_a_conflict),
        TEST(a_file_above_the_limit_is_too_large),
        TEST(the_budget_counts_what_was_declared_or_has_arrived),
        TEST(what_does_not_fit_the_budget_is_refused_before_its_body),
        TEST(no_more_files_than_the_limit_however_small),
        TEST(a_restart_counts_what_lies_there),
        TEST(a_budget_already_exceeded_takes_nothing_more),
        TEST(the_budget_is_exact_under_many_threads),
        TEST(the_disks_failures_have_names),
        TEST(a_file_system_that_cannot_reserve_is_used_without),
        TEST(a_name_that_is_not_durable_is_taken_back),
        TEST(a_file_size_limit_of_the_process_is_an_error_and_not_a_signal),
        TEST(a_name_that_is_no_id_opens_and_removes_nothing),
        TEST(an_unfinished_file_cannot_be_reopened),
        TEST(one_id_is_one_file),
        TEST(a_sweep_leaves_what_is_claimed_and_what_is_not_ours),
        TEST(a_released_part_is_swept_to_zero),
        TEST(a_file_goes_on_where_it_stopped_and_keeps_its_room),
        TEST(what_does_not_count_is_cut_off),
        TEST(a_size_that_is_told_later_takes_its_room_then),
        TEST(what_was_noted_survives_with_its_file),
        TEST(a_disk_that_fails_is_told_of_pieces_too),
        TEST(a_growing_file_can_be_followed_through_its_completion),
        TEST(a_short_file_is_not_whole),
        TEST(a_new_limit_counts_what_is_there_and_lets_it_be),
        TEST(a_windowed_file_takes_no_more_than_its_window),
        TEST(a_window_larger_than_the_file_counts_the_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
