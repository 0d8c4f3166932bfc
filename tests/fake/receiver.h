/* tests/fake/receiver.h - somebody who takes webhooks: an HTTP server on a loop of the test's, that keeps what came and
 * answers as told. The loop's thread. */
#ifndef FAKE_RECEIVER_H
#define FAKE_RECEIVER_H

#include <stdbool.h>
#include <uv.h>

struct fake_receiver;

struct fake_request {
    char *head, *body;
    char line[128]; /* its first */
};

/* Listens on a free port of 127.0.0.1. */
struct fake_receiver *fake_receiver_create(uv_loop_t *loop);
void fake_receiver_destroy(struct fake_receiver **r); /* the loop has to turn until its handles are closed */

const char *fake_receiver_url(const struct fake_receiver *r);

/* From now on answers this, a whole answer; NULL: nothing, the connection stays. */
void fake_receiver_answers(struct fake_receiver *r, const char *answer);

/* Whoever comes is turned away, as if nobody listened. */
void fake_receiver_down(struct fake_receiver *r, bool down);

size_t fake_receiver_count(const struct fake_receiver *r);
const struct fake_request *fake_receiver_request(const struct fake_receiver *r, size_t n);

/* The value of a header, yours to free(); NULL: there is none. */
char *fake_request_header(const struct fake_request *q, const char *name);

#endif
