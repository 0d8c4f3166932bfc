/* gateway/spool_parts.h - struct spool and its files, as the parts of the spool share them: for gateway/spool*.c alone.
 *
 *     spool.c           the budget, the folder, files that come whole
 *     spool_resume.c    files that come in pieces, and what is noted beside them
 *     spool_receive.c   files that others write into
 *
 * What others may call is in spool.h. */
#ifndef GATEWAY_SPOOL_PARTS_H
#define GATEWAY_SPOOL_PARTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "gateway/spool.h"

#define PART ".part" /* ends the name of a file that still grows */
#define NOTE ".note" /* and of what is noted of it, where it goes on after a restart */

enum { PART_SIZE = ID_SIZE + sizeof PART - 1 };
_Static_assert(sizeof NOTE == sizeof PART, "names of both fit the same room");

struct spool {
    int dir;
    _Atomic uint64_t max_bytes, max_file, max_files; /* struct spool_limits */
    pthread_mutex_t lock;                            /* over the next three */
    struct spool_usage used;
    struct sharing *shared;
    struct spare *spares;     /* whose time is over first, first */
    _Atomic(uint8_t *) block; /* for the next file that gathers; NULL: none was given back */
    char boot[40];            /* of this run of the system; empty: not known */
};

struct spool_file {
    struct spool *spool;
    char id[ID_SIZE];
    int fd;
    int64_t declared; /* -1: unknown */
    uint64_t size;    /* present */
    uint8_t *block;   /* what comes behind that, and is not written yet; NULL: nothing */
    size_t gathered;  /* bytes of it */
    uint64_t counted; /* in the budget: what is declared, or present */
    uint64_t window;  /* of a file that is read once; 0: it is kept whole */
    uint64_t punched; /* its bytes before are gone */
    bool sealed;
};

enum spool_entry { ENTRY_FOREIGN, ENTRY_PART, ENTRY_WHOLE, ENTRY_NOTE };

/* name: of an entry that stands for that; id is empty for a foreign one. */
typedef void spool_visit_fn(struct spool *spool, const char *name, enum spool_entry entry, const char *id,
                            const struct stat *st, void *user);
bool spool_walk(struct spool *spool, spool_visit_fn *visit, void *user, struct error *err);

/* Of a transfer, or of a file that was sent to us. */
bool spool_id_valid(const char *id);

void spool_part_name(const char *id, char out[static PART_SIZE]);
void spool_note_name(const char *id, char out[static PART_SIZE]);

/* Room in the budget, spared files making way; and its return. */
bool spool_make_room(struct spool *spool, uint64_t bytes, unsigned files);
void spool_count_out(struct spool *spool, uint64_t bytes, unsigned files);

/* Each sets *err and returns false. */
bool spool_disk_error(struct error *err, const char *what, int number);
bool spool_budget_error(struct spool *spool, struct error *err);
bool spool_too_large(struct spool *spool, struct error *err);

bool spool_reserve_disk(int fd, uint64_t size, struct error *err);

/* Writes what was gathered; or forgets it. Both give the block back. */
bool spool_flush(struct spool_file *file, struct error *err);
void spool_give_block(struct spool_file *file);

#endif
