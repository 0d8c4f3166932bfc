/* xmpp/s5b.h - a bytestream as its requester: XEP-0065, which si.c and raw_s5b.c share.
 *
 * Streamhosts are gathered, offered under a stream id, and the recipient says which one it reached. Our own listener
 * (direct) has its socket by then; a proxy we go to ourselves and have it activated. After that bytes may flow.
 * A stream speaks to the transfer by the method's host: it reports METHOD_STREAM_OPEN and everything behind it, every
 * failure, and a line of the timeline for each step. Its maker only starts the steps.
 * Thread: core's. */
#ifndef XMPP_S5B_H
#define XMPP_S5B_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/method.h"
#include "xmpp/client.h"
#include "xmpp/file_range.h"
#include "xmpp/s5b_name.h"

/* What is offered, and what an answer means for the method it is offered by. */
struct s5b_terms {
    const struct jid *to;   /* copied */
    const struct jid *from; /* as of an offer; copied */
    uint64_t size;
    bool bare;                      /* no SI came before: a yes is METHOD_ACCEPTED, and another offer is nothing new */
    unsigned answer_ms;             /* 0: what so many streamhosts may take */
    unsigned connect_ms;            /* the least of that */
    enum error_code not_acceptable; /* what a refusal of the bytestream as such means */
};

struct s5b;
typedef void s5b_ready_fn(void *user);

/* Gathers streamhosts and calls ready, never from inside the call, once there is something to offer; having none is
 * reported as ERR_STREAMHOSTS_UNREACHABLE. NULL with *err set: out of memory. */
struct s5b *s5b_create(struct method_host *host, struct client *client, const struct s5b_terms *terms,
                       s5b_ready_fn *ready, void *user, struct error *err);

/* The stream id: random, and an NMTOKEN (XEP-0047 wants that of ids shared with it). Valid until s5b_renew(). */
const char *s5b_sid(const struct s5b *s);
/* Another id, for another try; before s5b_offer() only. Some clients never answer one they know. */
void s5b_renew(struct s5b *s);

/* What of the file the recipient wants; else it is all. */
void s5b_take(struct s5b *s, const struct file_range *range);

/* Once ready. */
void s5b_offer(struct s5b *s);

/* After METHOD_STREAM_OPEN; see method_ops.stream. */
void s5b_stream(struct s5b *s, struct shared_fd *file);

/* Ends whatever is under way, without a report. NULL is fine; leaves *s NULL. */
void s5b_destroy(struct s5b **s);

#endif
