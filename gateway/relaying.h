/* gateway/relaying.h - the relay that relay.h describes: who may use it and how much, and the sessions there are.
 *
 * It decides; who is joined with whom, and their bytes, are the pairing's. Thread: core's, but for what says otherwise.
 */
#ifndef GATEWAY_RELAYING_H
#define GATEWAY_RELAYING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "gateway/carrier.h"
#include "gateway/pairing.h"
#include "gateway/relay.h"

/* As of [proxy]; what changes in a running gateway. */
struct relaying_limits {
    char **allow; /* globs on bare addresses; "!glob" denies; NULL at the end */
    size_t max_streams, max_streams_per_requester;
    uint64_t hourly_bytes; /* of a requester; more ends the stream */
    uint64_t rate;         /* bytes a second of a stream; 0: any number */
};

/* With an allow of its own. false: out of memory, and *out is empty. */
bool relaying_limits_copy(struct relaying_limits *out, const struct relaying_limits *in);
void relaying_limits_free(struct relaying_limits *limits); /* of a copy */

/* own: the domain of our component, whose addresses may always use it. carrier and pairing are borrowed. NULL: out of
 * memory. */
struct relay *relaying_create(struct carrier *carrier, struct pairing *pairing, const char *own,
                              const struct relaying_limits *limits, struct error *err);

/* Who still waits for an activation is told ERR_DRAINING. The pairing has no events for us any more. */
void relaying_destroy(struct relay **relay);

/* From here on; streams that run stay, but for their requester's bytes. Takes a copy, and leaves *limits empty. */
void relaying_limit(struct relay *relay, struct relaying_limits *copy);

void relaying_drain(struct relay *relay); /* nobody new; what runs may end */

/* ---- for whoever looks; any thread */

/* Which there are now, oldest first. */
struct relay_session {
    uint64_t id; /* of this run */
    char *requester, *target;
    int64_t since;        /* wall clock ms */
    uint64_t forth, back; /* bytes: from the side that connected first, and the other way */
};

struct relay_view {
    bool draining;
    struct relay_session *sessions;
    size_t count;
    uint64_t parked;                    /* sockets that wait */
    uint64_t streams, bytes;            /* since the start; bytes of those that run too */
    uint64_t refused[ERROR_CODE_COUNT]; /* activations and address queries, by why */
};

/* false: out of memory. */
bool relaying_view(struct relay *relay, struct relay_view *out);
void relay_view_free(struct relay_view *view); /* its parts */

struct relay_counts {
    uint64_t streams, parked; /* now */
};
void relaying_counts(struct relay *relay, struct relay_counts *out);

#endif
