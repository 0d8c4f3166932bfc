/* gateway/spool.h - uploads on disk: one name per transfer, inside a budget.
 *
 * A file is "<id>.part" while it grows and "<id>" once complete; beside one that comes in pieces lies "<id>.note".
 * Nothing else may lie in the folder. The budget counts what was reserved (the declared size) or, without a declared
 * size, what has arrived.
 * Threads: each spool_file belongs to one thread at a time; the spool itself may be used from any.
 * Blocking: create, write and remove touch the page cache; spool_seal() waits for the disk and belongs in the pool. */
#ifndef GATEWAY_SPOOL_H
#define GATEWAY_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/id.h"

struct spool;
struct spool_file;

struct spool_limits {
    uint64_t max_bytes; /* of all files together */
    uint64_t max_file;
    uint64_t max_files; /* each also costs memory while its transfer lives; 0: no limit */
};

/* Makes dir (0700) if needed and counts what lies there. */
struct spool *spool_open(const char *dir, const struct spool_limits *limits, struct error *err);
void spool_close(struct spool **spool);

/* From here on; what is there already stays. */
void spool_limit(struct spool *spool, const struct spool_limits *limits);

/* size: the declared length, or -1 when unknown. Reserves it first: ERR_BODY_TOO_LARGE above max_file, ERR_SPOOL_FULL
 * when it does not fit the budget or the disk. */
struct spool_file *spool_create(struct spool *spool, const char *id, int64_t size, struct error *err);

/* The same for a file whose bytes are read once, behind the writer: no more than a window of it is reserved and
 * counted, and as little is on the disk as long as the writer keeps no more than that ahead of spool_punch(). Such a
 * file is never sealed. */
struct spool_file *spool_create_window(struct spool *spool, const char *id, uint64_t size, uint64_t window,
                                       struct error *err);

/* Everything before `until` has been read: gives its room back, in pieces worth the call. */
void spool_punch(struct spool_file *file, uint64_t until);

/* Appends all of it. ERR_LENGTH_CONFLICT beyond the declared size, ERR_BODY_TOO_LARGE, ERR_SPOOL_FULL. */
bool spool_append(struct spool_file *file, const void *data, size_t len, struct error *err);

/* The same for a piece that the next one follows at once: some of a large file is kept in memory until it is worth a
 * write that matches pages (those in small pieces cost twice, here and whenever they are read again). spool_size()
 * counts what is in the file; the next append writes it, or spool_seal(). */
bool spool_gather(struct spool_file *file, const void *data, size_t len, struct error *err);

/* The same for all of a regular file of that size, from its beginning; the file system shares the blocks if it can.
 * ERR_SOURCE_FAILED: it is shorter, or cannot be read. Pool. */
bool spool_take(struct spool_file *file, int from, uint64_t size, struct error *err);

/* Whether as much has come as was declared. ERR_LENGTH_CONFLICT. */
bool spool_is_whole(const struct spool_file *file, struct error *err);

/* The upload is whole: its length is checked against the declared one (ERR_LENGTH_CONFLICT), data is synced when
 * durable, the file renamed, the folder synced. On failure the file is as before and still to be abandoned. */
bool spool_seal(struct spool_file *file, bool durable, struct error *err);

/* Gives a complete file other names too, the ids of transfers that have the same bytes: hard links, each of which is
 * removed, spared and reopened by itself. The budget counts the bytes once, until the last name is gone, and each name
 * as a file. On failure none of them is there. Pool. */
bool spool_link(struct spool *spool, const char *id, const char *const *names, size_t count, bool durable,
                struct error *err);

/* A complete file again, for sending. ERR_NOT_FOUND: it is gone. */
struct spool_file *spool_reopen(struct spool *spool, const char *id, struct error *err);

/* The same, also while it still grows: for who reads behind its writer. */
struct spool_file *spool_follow(struct spool *spool, const char *id, struct error *err);

/* Likewise, of which nothing is wanted but its bytes. */
struct shared_fd *spool_share(struct spool *spool, const char *id, struct error *err);

uint64_t spool_size(const struct spool_file *file); /* bytes present */
int spool_fd(const struct spool_file *file);        /* borrowed */

/* Digests of a file, those that it has. */
enum { SHA256_BYTES = 32, SHA512_BYTES = 64 };
struct digests {
    bool has_sha256, has_sha512;
    unsigned char sha256[SHA256_BYTES], sha512[SHA512_BYTES];
};

/* Fills in those that d is said to have, of the whole file; reads it once, so pool only. */
bool spool_digest(const struct spool_file *file, struct digests *d, struct error *err);

/* The first bytes, for the media type; returns how many. */
size_t spool_peek(const struct spool_file *file, void *out, size_t max);

/* Closes and keeps the file; *file becomes NULL. Of an unsealed file only the .part stays. */
void spool_release(struct spool_file **file);
/* Closes and deletes. */
void spool_abandon(struct spool_file **file);
/* Deletes a complete file by id; gone already is fine. */
void spool_remove(struct spool *spool, const char *id);

/* A complete file that its transfer is done with, kept in case it is tried again: until that wall-clock time, or until
 * an upload needs its room; then the one whose time ends first goes first. */
void spool_spare(struct spool *spool, const char *id, int64_t until);
/* It is needed again, or to be removed. false: it was not spared, or is gone. */
bool spool_claim(struct spool *spool, const char *id);
/* Claims one whose time is over. false: there is none. */
bool spool_over(struct spool *spool, int64_t now, char id[static ID_SIZE]);

/* Start-up: deletes every file whose id keep() does not claim, and .part files of which nothing is noted. Returns how
 * many. */
size_t spool_sweep(struct spool *spool, bool (*keep)(void *user, const char *id), void *user);

/* ---- files that come in pieces (gateway/partial.c): one at a time goes on where the last one stopped, also after a
 * restart, by what is noted beside the file. */

/* Closes the file; all that was declared stays counted. Returns the bytes that are in it. */
uint64_t spool_pause(struct spool_file **file);

/* Goes on: what is behind `size` is cut off. ERR_NOT_FOUND: it is gone, or shorter. */
struct spool_file *spool_resume(struct spool *spool, const char *id, int64_t declared, uint64_t size,
                                struct error *err);

/* The size of one that had none; as spool_create(). ERR_LENGTH_CONFLICT: more than that has come. */
bool spool_declare(struct spool_file *file, uint64_t size, struct error *err);

/* Forgets what came behind `size`. */
bool spool_rewind(struct spool_file *file, uint64_t size, struct error *err);

/* What has come survives a loss of power; pool. */
bool spool_sync(struct spool_file *file, struct error *err);

/* Start-up: takes one up that an earlier run left, and counts it as it was; of its bytes at most `most`, which *size
 * then is fewer than. false: it is gone. */
bool spool_adopt(struct spool *spool, const char *id, int64_t declared, uint64_t most, uint64_t *size);

/* A complete file is one of those again. false: there is none. */
bool spool_unseal(struct spool *spool, const char *id);

/* Deletes one, and its note. */
void spool_remove_part(struct spool *spool, const char *id, int64_t declared);

/* text takes the place of what was noted before, which has the same length: a write that is cut short by a loss of
 * power leaves either. durable: it survives that; pool. */
bool spool_note(struct spool *spool, const char *id, const char *text, bool durable, struct error *err);
char *spool_noted(struct spool *spool, const char *id); /* to be freed; NULL: nothing, or it cannot be read */
void spool_forget_note(struct spool *spool, const char *id);
bool spool_each_note(struct spool *spool, void (*each)(void *user, const char *id), void *user, struct error *err);

/* The same for all that was written while the system runs; empty: not known. */
const char *spool_boot(const struct spool *spool);

/* ---- files that others write into (gateway/receiving.c): made without a size, and counted by what comes and what is
 * expected soon */

/* Counts it as having `bytes` at least, before they come. ERR_BODY_TOO_LARGE, ERR_SPOOL_FULL. */
bool spool_expect(struct spool_file *file, uint64_t bytes, struct error *err);

/* So many are in it by now. */
void spool_grown(struct spool_file *file, uint64_t size);

/* Appends what was expected. */
bool spool_put(struct spool_file *file, const void *data, size_t len, struct error *err);

struct spool_usage {
    uint64_t bytes, max_bytes, max_file;
    uint64_t files;
    uint64_t spare; /* of those bytes: of files that would go for an upload */
};
void spool_usage(struct spool *spool, struct spool_usage *out);

#endif
