/* gateway/partial_parts.h - uploads in parts, as their own files share them: for gateway/partial*.c alone.
 *
 *     partial.c          one of them: held by a request, its bytes, its end; HTTP's thread, and what it waits for
 *     partial_table.c    all of them: found, expired, taken up at the start
 *     partial_note.c     what is noted beside the file, as text
 *
 * What others may call is in gateway.h and partial.h. */
#ifndef GATEWAY_PARTIAL_PARTS_H
#define GATEWAY_PARTIAL_PARTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "gateway/partial.h"
#include "gateway/partial_note.h"

struct entry {
    UT_hash_handle hh;
    struct entry *next_due; /* while those whose time is over are gathered */
    struct partial_info info;
    char *meta;           /* of info */
    struct partial *held; /* NULL: by nobody; under the lock, as the next */
    bool gone;            /* only its id is known; then info.expires is the end of that */
    uint64_t synced;
    struct note noted; /* as it stands beside the file */
};

struct partials {
    struct gateway *gw;
    pthread_mutex_t lock; /* over all of this, and of each entry what says so */
    struct entry *all;
    size_t gone;
    int64_t due; /* nothing is before */
};

/* up_… as tr_…, or the other way round. */
void partial_rename(const char *id, const char prefix[static 3], char out[static ID_SIZE]);

/* meta is copied. NULL: out of memory. */
struct entry *partial_entry(const struct partial_info *info);
void partial_entry_free(struct entry *e); /* NULL is fine */

/* false: out of memory. */
bool partials_add(struct partials *t, struct entry *e);

/* The next are for who has the lock. */
struct entry *partials_find(struct partials *t, const char *id);
void partials_drop(struct partials *t, struct entry *e);

/* It has no file any more; that it was is known for a while. */
void partials_bury(struct partials *t, struct entry *e);

#endif
