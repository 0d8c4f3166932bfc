/* socks5/conduit.h - what a thread carries bytes through from one socket to another: one large pipe, by splice(2).
 *
 * The kernel rations pipes: what all those of an unprivileged user can take is 64 MiB (pipe(7), pipe-user-pages-soft),
 * so there is none per stream, nor can a receiver that has stopped reading keep one: a turn leaves the pipe empty. What
 * the receiver did not take after all is read out of the pipe into memory as a rest, and goes before anything else is
 * read. That seldom happens, since no more is read than the receiver's socket has room for.
 *
 * Where the kernel gives no pipe, or a smaller one than is asked for, it is done with that, or by a plain buffer.
 * Both sockets must be non-blocking: no flag of splice(2) makes them so. Thread: one. */
#ifndef SOCKS5_CONDUIT_H
#define SOCKS5_CONDUIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CONDUIT_PIPE = 1024 * 1024, CONDUIT_BUFFER = 64 * 1024 };

struct conduit {
    int in, out;     /* of the pipe; -1: there is none */
    size_t size;     /* of the pipe; 0: there is none */
    uint8_t *buffer; /* instead of a pipe */
};

/* Bytes of one sender that its receiver has not taken. */
struct rest {
    size_t at, len; /* the next one, their end */
    uint8_t bytes[];
};

enum conduit_outcome {
    CONDUIT_MOVED,     /* some bytes, all of them taken */
    CONDUIT_STUCK,     /* some bytes, of which *rest has those that wait for room */
    CONDUIT_EMPTY,     /* there is nothing to read yet */
    CONDUIT_ENDED,     /* nor will there be */
    CONDUIT_NO_INPUT,  /* reading failed: *error */
    CONDUIT_NO_OUTPUT, /* writing failed: *error; the bytes read, *moved of them, are lost */
    CONDUIT_NO_MEMORY  /* for a rest: as CONDUIT_NO_OUTPUT */
};

/* A conduit that is closed has no descriptors, and opens when it is first needed. */
void conduit_init(struct conduit *c);
bool conduit_open(struct conduit *c); /* open already is fine; false: out of memory */
void conduit_close(struct conduit *c);

/* Reads at most so many bytes of the one socket and writes them to the other. moved: how many were read. */
enum conduit_outcome conduit_move(struct conduit *c, int from, int to, size_t most, size_t *moved, struct rest **rest,
                                  int *error);

/* Writes what it can; *rest is freed and NULL when that was all. CONDUIT_MOVED, CONDUIT_STUCK or CONDUIT_NO_OUTPUT. */
enum conduit_outcome conduit_flush(struct rest **rest, int to, int *error);

/* How much a socket takes now, as far as the kernel tells: its buffer's room, and no more than the unsent bytes that it
 * is to hold at most. */
size_t conduit_room(int to, size_t unsent_max);

#endif
