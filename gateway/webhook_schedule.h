/* gateway/webhook_schedule.h - when a webhook that was not taken is sent again, by Standard Webhooks' usual times.
 *
 * Pure functions; times in milliseconds. */
#ifndef GATEWAY_WEBHOOK_SCHEDULE_H
#define GATEWAY_WEBHOOK_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

/* The first one, and one after each pause: 5 s, 5 m, 30 m, 2 h, 5 h, 10 h, 14 h. */
enum { WEBHOOK_TRIES = 8 };

/* A pause is up to a tenth longer, so that not all that failed together comes again together; and as long as the
 * receiver asks at least, within a day. tried: times so far, from 1. chance: any number. false: that was the last. */
bool webhook_pause(unsigned tried, int64_t retry_after_ms, uint32_t chance, int64_t *pause_ms);

#endif
