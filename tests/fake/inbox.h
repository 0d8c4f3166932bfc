/* tests/fake/inbox.h - a receiver that keeps what it is told, and answers as the test wants.
 *
 * One reception at a time, but for crowd. Its file is an unlinked one in TMPDIR, so that in-band bytes and fake
 * carriers' alike can be looked at by pread(). */
#ifndef FAKE_INBOX_H
#define FAKE_INBOX_H

#include "gateway/reception.h"

struct fake_inbox {
    struct receiver receiver; /* first */
    bool closed;              /* receives() says no */
    enum error_code refuses;  /* what offered() fails with; ERR_NONE: the offer is taken */
    bool crowd;               /* several at once; `now` is the last of them */
    uint64_t here;            /* what offset() says */
    uint64_t most;            /* what begin() allows when no size was claimed; 0: a mebibyte */
    enum error_code verdict;  /* of complete() */

    /* What came of it. */
    unsigned offers, begun, completed, ended;
    struct reception *now; /* NULL: none */
    char from[256], to[256], method[24], name[300], type[80], caption[80], hash_algo[24], hash[140];
    int64_t size;
    bool ranges, extra;
    uint64_t offset, moved, written; /* begin()'s; complete()'s or moved()'s; in-band */
    char path[8], streamhost[256];
    char late_algo[24], late_hash[140]; /* of complete() */
    enum error_code why;                /* of end(); ERR_NONE: it was good */
};

/* carrier: the one that methods get; borrowed. */
void fake_inbox_init(struct fake_inbox *f, struct carrier *carrier);
void fake_inbox_clear(struct fake_inbox *f); /* nothing is under way any more */

/* complete() is answered: by `verdict`, on the caller's stack. */
void fake_inbox_answer(struct fake_inbox *f);
void fake_inbox_revoke(struct fake_inbox *f, enum error_code why);
int fake_inbox_fd(const struct fake_inbox *f); /* -1: none has begun */

#endif
