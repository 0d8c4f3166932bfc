/* socks5/ticket.h - what to do with a client that asks for a given name.
 *
 * XEP-0065 section 5.3.2 makes DST.ADDR a one-time name that both sides can compute; here it is only an opaque key.
 * It is usually hex digits, which some clients write in capitals, so ASCII letters match in either case.
 * Threads: any. A ticket is there when tickets_add() returns, so that whoever learns of a name afterwards finds it. */
#ifndef SOCKS5_TICKET_H
#define SOCKS5_TICKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum job_kind {
    JOB_SEND,    /* the client gets a file's bytes */
    JOB_RECEIVE, /* the client brings them */
    JOB_PAIR     /* two clients of the same name get each other's bytes */
};

struct job {
    enum job_kind kind;
    uint64_t stream; /* whose job it is */
};

struct tickets;                       /* opaque; one per engine */
struct tickets *tickets_create(void); /* NULL: out of memory */
void tickets_destroy(struct tickets **set);

/* Waits for any of the names (1 to SOCKS5_NAMES of 1 to SOCKS5_NAME bytes, copied; the same one twice is one) until
 * tickets_remove(). One ticket a stream. ERR_STATE_CONFLICT: another stream waits for one of them; ERR_SYSTEM: out of
 * memory. */
bool tickets_add(struct tickets *set, const struct job *job, const char *const *names, size_t count, struct error *err);

/* The job behind a name of len bytes, which need not be text. The ticket stays: a client may come more than once. */
bool tickets_find(struct tickets *set, const void *name, size_t len, struct job *out);

/* Forgets all names of a stream; none is fine. */
void tickets_remove(struct tickets *set, uint64_t stream);

#endif
