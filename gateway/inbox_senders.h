/* gateway/inbox_senders.h - what each who may send to us has sent of late: offers, files and bytes.
 *
 * Counted by bare JID, in memory: a restart forgets. Only who is allowed gets in, and of these the last few thousand,
 * so memory stays however many come. Thread: core's. Times: monotonic milliseconds. */
#ifndef GATEWAY_INBOX_SENDERS_H
#define GATEWAY_INBOX_SENDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* An album goes in one minute; what an offer makes us connect to is bounded by xmpp/target.c. */
enum { SENDERS_MAX = 4096, SENDER_OFFERS = 30, SENDER_MINUTE_MS = 60 * 1000, SENDER_DAY_MS = 24 * 3600 * 1000 };

struct inbox_senders;
struct inbox_limits {
    uint64_t max_files, daily_bytes; /* in a day, which begins with the first file in it */
};

struct inbox_senders *inbox_senders_create(void); /* NULL: out of memory */
void inbox_senders_destroy(struct inbox_senders **set);

/* Somebody offers a file of that size (-1: not said). ERR_RATE_LIMITED: more than SENDER_OFFERS in a minute.
 * ERR_QUOTA_EXCEEDED. */
bool inbox_senders_offer(struct inbox_senders *set, const char *bare, int64_t size, const struct inbox_limits *limits,
                         int64_t now, struct error *err);

/* So many bytes of his came. ERR_QUOTA_EXCEEDED: that was too much. */
bool inbox_senders_take(struct inbox_senders *set, const char *bare, uint64_t bytes, const struct inbox_limits *limits,
                        int64_t now, struct error *err);

size_t inbox_senders_known(const struct inbox_senders *set);

#endif
