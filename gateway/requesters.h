/* gateway/requesters.h - what each who uses the relay has used of it: stanzas, streams, bytes (protocol: not an open
 * relay).
 *
 * Counted by bare JID, in memory: a restart forgets. A requester who has streams, or a good part of his bytes in the
 * hour that runs, is known; of others only the last few thousand are. So however many ask, memory stays, and it takes
 * thousands of such parts to leave no room for anybody new. Thread: core's. */
#ifndef GATEWAY_REQUESTERS_H
#define GATEWAY_REQUESTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/jid.h"

/* An hour begins with the first byte in it. */
enum {
    REQUESTERS_MAX = 4096,
    REQUESTER_BURST = 60,
    REQUESTER_STANZA_MS = 500,
    REQUESTER_HOUR_MS = 3600 * 1000,
    REQUESTER_PART = 16 /* who has used this part of his hour is not forgotten in it */
};

struct requester;
struct requesters;

struct requesters *requesters_create(void); /* NULL: out of memory */
void requesters_destroy(struct requesters **set);

/* He asks for something: REQUESTER_BURST at once, and one more every REQUESTER_STANZA_MS; all for whom there is no room
 * together, as if they were one. ERR_RATE_LIMITED. */
bool requesters_ask(struct requesters *set, const struct jid *who, struct error *err);

/* One more stream of his, beside less than max_streams others, and with less than hourly_bytes in this hour. NULL:
 * ERR_PROXY_BUSY. What it returns is good until requester_end(). */
struct requester *requesters_begin(struct requesters *set, const struct jid *who, size_t max_streams,
                                   uint64_t hourly_bytes, struct error *err);

/* One of his streams moved so many bytes. false: this hour has had hourly_bytes. */
bool requester_moved(struct requester *r, uint64_t bytes, uint64_t hourly_bytes);
void requester_end(struct requester *r); /* one of his streams is over */

size_t requesters_known(const struct requesters *set);

#endif
