/* gateway/upload_parts.h - struct upload, and what the parts of it share: for gateway/upload*.c alone.
 *
 *     upload.c                its body, until that is over: HTTP's thread
 *     upload_submission.c     what it is for: checked, and made a record of
 *     upload_commit.c         the whole file: sealed in the pool, its row committed, the caller answered
 *     batch.c                 the same for several files and recipients
 *     upload_early.c          the same where the transfer begins before the body is over
 *
 * What others may call is in gateway.h. Thread: the one that has the upload just now; it passes from one to the next
 * whole. */
#ifndef GATEWAY_UPLOAD_PARTS_H
#define GATEWAY_UPLOAD_PARTS_H

#include <stdbool.h>
#include <uv.h>

#include "base/feed.h"
#include "base/mailbox.h"
#include "gateway/core.h"

struct room;

/* An upload, and then the job that makes a transfer of it: sealed in the pool, committed by the store's writer,
 * adopted by core. It passes from thread to thread whole. */
struct upload {
    struct message message;
    uv_work_t work;
    struct gateway *gw;
    struct spool_file *file;
    char id[ID_SIZE];
    enum mode mode;
    struct record *record; /* what the transfer will be */
    struct record *answer; /* what the caller will be told once it is committed */
    struct live *live;     /* the transfer, ready to begin then */
    bool digest;           /* its SHA-256 is wanted */
    char sha256[65];
    struct digests promised;
    struct reservation *key; /* NULL: none */
    struct partial *partial; /* it came in parts, which stay if this fails; NULL: it did not */
    gateway_record_fn *done;
    void *user;
    struct error error;

    /* of one whose transfer begins before its end */
    struct feed *feed;     /* NULL: it is none of these */
    struct intake *intake; /* core's; NULL: the transfer has not begun */
    struct room *room;     /* left with the feed, unless it was called */
    bool held;             /* the feed ends only when what was promised is known to be true */
    bool dropped;          /* the caller took it back; done is not called */
    bool unkept;           /* the file is of no more use */
};

/* A transfer that begins before its upload is over: core's, until the upload itself comes with the end. */
struct intake {
    struct message message;
    uv_work_t work;
    struct gateway *gw;
    char id[ID_SIZE];
    struct feed *feed;
    struct record *record;     /* what it will be; NULL while it lives; what it was, when it ended before its upload */
    bool settled;              /* it lives, or could not begin */
    struct error error;        /* why not */
    gateway_record_fn *opened; /* MODE_STREAM: waits for the recipient */
    void *user;
    struct upload *end; /* came before it was settled, or waits for the end of the transfer */
};

/* ---- upload.c */

/* With its reservation, and an intake that was never given to core or has come back. Not the file: that is gone. */
void upload_free(struct upload *u);

/* The file goes, unless it came in parts: then upload_answer() gives it back, or upload_free(). */
void upload_drop_file(struct upload *u);

/* All parts of one are there: gateway_partial_upload(), for partial.c. Takes both. */
struct upload *upload_of_parts(struct gateway *gw, struct partial *p, const char *id, struct spool_file *file,
                               struct error *err);
/* The end of its body: which digests are wanted of it, and promised. */
void upload_take_digests(struct upload *u, const struct submission *s);

/* ---- upload_submission.c */

/* What the transfer will be. NULL: out of memory. */
struct record *upload_record(const struct upload *u, const struct submission *s);

/* ---- upload_commit.c */

/* Seals the file in the pool, or drops it if it is unkept, then commits: the caller is answered in the end. */
void upload_seal(struct upload *u);

/* Seals the file, checks its digests, and fills in what u->record, if there is one, does not know of it. false:
 * u->error; the file is still to be abandoned. Pool. */
bool upload_seal_file(struct upload *u);

/* Gives row, with the key, to the store. Comes back as the commit's end does; `pending` counts it already. */
void upload_put_row(struct upload *u, struct record *row);

/* Answers the caller, NULL: with u->error, and frees u. The key is released first: whoever has the answer may ask again
 * at once. */
void upload_answer(struct upload *u, struct record *answer);

/* Likewise, of a transfer whose row was committed without its key: which is committed first. */
void upload_answer_kept(struct upload *u, struct record *answer);

/* What nobody said of it. file NULL: there is nothing to look at. false: out of memory. */
bool upload_describe(struct record *r, const struct spool_file *file);

/* ---- upload_early.c */

/* Has core begin the transfer now; opened as in gateway_upload_open(), or NULL. false: no memory, or we stop; nothing
 * has changed. HTTP's thread. */
bool upload_begin_early(struct upload *u, gateway_record_fn *opened, void *user);

/* An upload whose transfer has begun comes to core with its end; a message's handler. */
void upload_handle_end(void *owner, struct message *m);

/* Its file was sealed, or could not be. */
void upload_sealed_early(struct upload *u);

/* Its row was committed, or could not be. */
void upload_committed_early(struct upload *u);

#endif
