/* gateway/delivery.h - one event on its way to one webhook, as the store keeps it.
 *
 * Plain values with one owner. Its id is the webhook-id, so that a receiver that gets it twice can tell. The body is
 * made once, when it happens: what is sent again is the same, byte for byte. Times: wall-clock milliseconds, 0 for "not
 * yet". */
#ifndef GATEWAY_DELIVERY_H
#define GATEWAY_DELIVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"

/* Pending: to be sent at `due`. Dead: given up, until somebody asks for it. */
enum delivery_state { DELIVERY_PENDING, DELIVERY_DELIVERED, DELIVERY_DEAD };
const char *delivery_state_name(enum delivery_state state);
bool delivery_state_parse(const char *name, enum delivery_state *state);

enum { DELIVERY_ENDPOINT = 33, DELIVERY_TYPE = 40, DELIVERY_REASON = 96 };

struct delivery {
    struct delivery *next; /* of a list that goes to the store together */
    char id[ID_SIZE];
    char endpoint[DELIVERY_ENDPOINT]; /* the name of its webhook */
    char type[DELIVERY_TYPE];         /* of the event */
    char transfer[ID_SIZE];           /* whose; empty: of none */
    enum delivery_state state;
    unsigned tried;               /* times, since it was queued or asked for again */
    unsigned status;              /* of the last answer; 0: there was none */
    char reason[DELIVERY_REASON]; /* why the last time failed; empty: it did not, or was not yet */
    int64_t created, due, finished;
    char *body;                     /* JSON; NULL in lists */
    char *request_id, *traceparent; /* of the transfer; NULL: none */
};

void delivery_free(struct delivery **d); /* that one; NULL is fine */
void delivery_free_all(struct delivery **list);

struct delivery_filter {
    const char *id;       /* exactly this one, with its body; NULL: any */
    const char *endpoint; /* NULL: any */
    bool by_state;
    enum delivery_state state;
    const char *before; /* cursor: those older than this one; NULL: from the newest */
    unsigned limit;     /* 1 to 1000 */
};

struct delivery_list {
    struct delivery *first; /* newest first */
    size_t count;
    bool more;
};

/* What there is to do for one endpoint. */
struct delivery_due {
    struct delivery *first; /* due by now, longest waiting first, with bodies; of a transfer only its oldest pending */
    int64_t next;           /* when the next will be; 0: there is none */
};

#endif
