/* socks5/pump.h - moves a file's bytes to a socket with sendfile(2), or a socket's to a file, a fair share per call.
 *
 * A plain value of one thread. The file is read by offset, so one descriptor may serve many pumps.
 * A file that still grows has a feed. Its last byte is held back until the feed is complete: who got as many bytes as
 * were promised may take them for the file, however the connection ends. */
#ifndef SOCKS5_PUMP_H
#define SOCKS5_PUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/feed.h"

/* At most this a call. 8,000 streams take turns with the small one, and none waits for long; who is alone has the large
 * one, since each call costs a turn of the loop besides. */
enum { PUMP_QUANTUM = 256 * 1024, PUMP_QUANTUM_ALONE = 1024 * 1024 };

struct pump {
    struct shared_fd *file; /* held by whoever owns the pump; NULL: none */
    uint64_t offset;        /* of the next byte */
    uint64_t left;          /* until the end */
    uint64_t moved;         /* taken by the kernel so far */
    struct feed *feed;      /* as file: held by whoever owns the pump; NULL: the file is whole */
    struct feed_view seen;  /* PUMP_WAIT_INPUT: of the feed */
    bool takes;             /* the other way: for pump_take(), and without a feed */
};

enum pump_outcome {
    PUMP_FINISHED,     /* everything was handed to the kernel; or taken, and the last of it is in the file */
    PUMP_WAIT_INPUT,   /* the file is shorter than promised; with a feed, as yet; or the socket is empty, as yet */
    PUMP_ENDED,        /* pump_take(): the other side has ended the stream before */
    PUMP_WAIT_OUTPUT,  /* the socket is full, or this turn's share is used up: call again when it is writable */
    PUMP_INPUT_FAILED, /* *err says why */
    PUMP_OUTPUT_FAILED
};

/* socket must be non-blocking; SIGPIPE blocked or ignored. */
enum pump_outcome pump_turn(struct pump *p, int socket, size_t quantum, struct error *err);

/* The other way: from the socket into the file, `left` bytes at most. PUMP_WAIT_INPUT also when this turn's share is
 * used up: call again when it is readable. ERR_SPOOL_FULL: the disk is. */
enum pump_outcome pump_take(struct pump *p, int socket, size_t quantum, struct error *err);

#endif
