/* xmpp/roster_file.h - the roster of a component (RFC 6121 section 3), which no server keeps: which of our addresses is
 * shown whose presence, and to whom it shows its own.
 *
 * All of it is in memory, and in one text file, a line each, which is written anew in the thread pool after a change;
 * what a crash in between loses is asked for again. Thread: core's. */
#ifndef XMPP_ROSTER_FILE_H
#define XMPP_ROSTER_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "base/error.h"
#include "base/jid.h"

/* The second is of one contact: any local part is an address of ours, so he has as many to subscribe to as he likes. */
enum { ROSTER_FILE_MAX = 20000, ROSTER_FILE_PER_CONTACT = 64 };

/* One of our addresses and a contact of it. */
struct roster_entry {
    char *ours, *theirs; /* bare */
    bool to;             /* we see them */
    bool from;           /* they see us */
    bool asked;          /* by us, and no answer came yet */
};

struct roster_file;

/* Reads it; blocks, so it belongs to start-up. path NULL: nothing is kept. No such file: an empty roster. Lines that
 * are none are left out, with a warning. NULL with *err set: it cannot be read, or no memory. */
struct roster_file *roster_file_open(uv_loop_t *loop, const char *path, struct error *err);

/* Writes what is not written yet, also blocking; the loop has to turn once more. NULL is fine; leaves *r NULL. */
void roster_file_close(struct roster_file **r);

/* NULL: there is none of these two. Good until the next change. */
const struct roster_entry *roster_file_find(const struct roster_file *r, const struct jid *ours,
                                            const struct jid *theirs);

/* Puts it in place of what was; with nothing set it goes. false: no memory, or as many are there as may be. */
bool roster_file_put(struct roster_file *r, const struct jid *ours, const struct jid *theirs, bool to, bool from,
                     bool asked);

/* All of them, those of a contact one after the other, or those of that contact (NULL: all); fn changes nothing. */
void roster_file_each(const struct roster_file *r, const struct jid *theirs,
                      void (*fn)(void *user, const struct roster_entry *entry), void *user);

#endif
