/* tests/fake/carrier.h - a carrier that opens no socket: it notes what it was told and says what the test wants. */
#ifndef FAKE_CARRIER_H
#define FAKE_CARRIER_H

#include "gateway/carrier.h"

enum fake_job { FAKE_IDLE, FAKE_EXPECTING, FAKE_DIALING, FAKE_SENDING, FAKE_RECEIVING };

struct carrier_stream {
    struct fake_carrier *owner;
    carrier_event_fn *on_event;
    void *user;
    bool open;
    enum fake_job job;
    char names[CARRIER_NAMES][48]; /* FAKE_EXPECTING: all; FAKE_DIALING: the first */
    size_t name_count;
    unsigned wait_ms;
    struct carrier_address to;
    bool trusted;
    int fd;
    struct feed *feed;
    uint64_t offset, length;
};

struct fake_carrier {
    struct carrier carrier; /* first */
    bool advertises;
    struct carrier_address address;
    bool refuses; /* every command fails, as when descriptors are out */
    struct carrier_stream streams[40];
    size_t opened;
};

/* Advertises 198.51.100.7:5086. */
void fake_carrier_init(struct fake_carrier *c);

/* The one open stream, NULL when there is none. More than one at a time is an error of the method's, or the test's. */
struct carrier_stream *fake_carrier_stream(struct fake_carrier *c);

void fake_carrier_says(struct fake_carrier *c, enum carrier_event_kind kind, uint64_t moved);
void fake_carrier_fails(struct fake_carrier *c, enum error_code code, const char *text, uint64_t moved);

/* For methods that hold several: the open one that goes to that host (NULL: that expects somebody); NULL: none. */
struct carrier_stream *fake_carrier_find(struct fake_carrier *c, const char *host);
size_t fake_carrier_count(const struct fake_carrier *c); /* of open ones */
void fake_stream_says(struct carrier_stream *s, enum carrier_event_kind kind, uint64_t moved);
void fake_stream_fails(struct carrier_stream *s, enum error_code code, const char *text, uint64_t moved);

#endif
