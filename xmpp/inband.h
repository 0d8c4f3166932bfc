/* xmpp/inband.h - an in-band stream as a transfer's method has it: what si_ibb.c and raw_ibb.c share.
 *
 * Speaks to the transfer by the method's host, as s5b.h does: METHOD_STREAM_OPEN and everything behind it, every
 * failure, and a line of the timeline for each step.
 * Thread: core's. */
#ifndef XMPP_INBAND_H
#define XMPP_INBAND_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/method.h"
#include "xmpp/client.h"
#include "xmpp/file_range.h"

struct inband;

/* method_ops.can: whether a file of that size goes in-band. */
enum method_can inband_can(void *network, uint64_t size, struct error *why);

/* NULL with *err set: the file is over [delivery] ibb_max_size (ERR_METHOD_UNSUPPORTED), out of memory. */
struct inband *inband_create(struct method_host *host, struct client *client, const struct offer *o, struct error *err);

/* The stream id, and another one, before inband_open() only. */
const char *inband_sid(const struct inband *s);
void inband_renew(struct inband *s);

/* What of the file the recipient wants; else it is all. */
void inband_take(struct inband *s, const struct file_range *range);

/* Opens. bare: nothing came before, so this is the offer, and that it was taken is METHOD_ACCEPTED too. */
void inband_open(struct inband *s, bool bare, unsigned answer_ms);

/* After METHOD_STREAM_OPEN; see method_ops.stream. */
void inband_stream(struct inband *s, int fd);

/* Ends whatever is under way, without a report. NULL is fine; leaves *s NULL. */
void inband_destroy(struct inband **s);

#endif
