/* socks5/stream.h - the streams of one thread: each waits for a peer or goes to one, then sends it a file or takes one.
 *
 * A peer may come more than once for the same name: some clients open a socket to every address of a streamhost and
 * keep the first that works. So up to STREAM_SESSIONS sockets are parked, none of them read; the first that is still
 * alive gets the bytes, and the others are closed once a byte has flowed. Two peers from different addresses for one
 * name before any byte has flowed mean that somebody knows what only the recipient should: the stream fails.
 *
 * A sender is free to use any of its sockets; so when a file is taken, all of them are read, until one has said
 * something that counts.
 *
 * Thread: the worker's. A command for a stream that is gone is dropped. */
#ifndef SOCKS5_STREAM_H
#define SOCKS5_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "socks5/session.h"
#include "socks5/socks5.h"

enum { STREAM_SESSIONS = 4, STREAM_BUCKETS = 1024 };

struct worker;
struct stream;

struct streams {
    struct worker *worker;
    struct stream *buckets[STREAM_BUCKETS]; /* by id */
    size_t count;
};

void streams_open(struct streams *set, struct worker *worker);
void streams_close(struct streams *set); /* ends all without events */

void streams_expect(struct streams *set, uint64_t id, unsigned wait_ms);

/* A client that asked for a stream's name: takes session, answers it. */
void streams_claim(struct streams *set, uint64_t id, struct session *session);

void streams_dial(struct streams *set, uint64_t id, const struct sockaddr *to, socklen_t to_len, const char *name,
                  unsigned connect_ms);

/* Takes the job's file and feed. Before a peer is there the job waits for it. */
void streams_pump(struct streams *set, uint64_t id, const struct pump *job);

void streams_cancel(struct streams *set, uint64_t id);

/* Deadlines; false: nothing is left that could have one. */
bool streams_sweep(struct streams *set, int64_t now);

#endif
