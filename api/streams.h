/* api/streams.h - event streams, as the server sees them: answers that go on (api/events.c). */
#ifndef API_STREAMS_H
#define API_STREAMS_H

#include "api/request.h"

struct stream; /* the request's */

void stream_free(struct stream **stream); /* NULL is fine */

/* Of a request that waits (rq->waiting): it is a stream without anything to send. */
bool stream_waits(const struct request *rq);

/* Of such a one: it was silent for fifteen seconds, and whoever claims it sends a comment, so that all between here and
 * the reader see it is in use. One that is gone is found by that at the latest. */
bool stream_is_due(const struct request *rq, int64_t now);
void stream_beat(struct request *rq);

/* Likewise whoever claims it ends it: its token is not what it was, and coming back will tell the reader so. */
void stream_end(struct request *rq);

#endif
