/* gateway/events.h - what happened, in order: the journal that event streams and webhooks are fed from.
 *
 * Core publishes, with a snapshot that the board shares; nothing is rendered before somebody reads. The newest are
 * kept in memory, so many as [events] retention says, and nothing over a restart. Each has a number one above the one
 * before; the numbers of one run begin at 1, and events_run() tells the runs apart.
 *
 * Of each transfer only the newest progress is kept, and none once anything else was published of it: what is under way
 * in great numbers pushes out nothing but itself.
 *
 * Order: the events of one transfer come as its states did. That of a final state comes when its row is committed, so
 * whoever hears of it finds the same by asking.
 *
 * Threads: core's publishes and has the listeners; reading and waiting on any. */
#ifndef GATEWAY_EVENTS_H
#define GATEWAY_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/inbox_item.h"
#include "gateway/snapshot.h"

/* clang-format off */
#define EVENT_TYPES(X)                                       /* for every token: about no transfer, and nobody's own */ \
    X(EVENT_CREATED,            "transfer.created",      false)                                                         \
    X(EVENT_QUEUED,             "transfer.queued",       false) /* again: its hold is over, or it is tried once more */ \
    X(EVENT_HELD,               "transfer.held",         false)                                                         \
    X(EVENT_OFFERED,            "transfer.offered",      false)                                                         \
    X(EVENT_ACCEPTED,           "transfer.accepted",     false)                                                         \
    X(EVENT_PROGRESS,           "transfer.progress",     false) /* the first: bytes may flow; then twice a second */    \
    X(EVENT_RETRYING,           "transfer.retrying",     false) /* it pauses before another round */                    \
    X(EVENT_DELIVERED,          "transfer.delivered",    false)                                                         \
    X(EVENT_LINK_SENT,          "transfer.link_sent",    false)                                                         \
    X(EVENT_LINK_FETCHED,       "transfer.link_fetched", false)                                                         \
    X(EVENT_FAILED,             "transfer.failed",       false)                                                         \
    X(EVENT_CANCELLED,          "transfer.cancelled",    false)                                                         \
    X(EVENT_EXPIRED,            "transfer.expired",      false)                                                         \
    X(EVENT_BATCH_COMPLETED,    "batch.completed",       false)                                                         \
    X(EVENT_XMPP_CONNECTED,     "xmpp.connected",        true)                                                          \
    X(EVENT_XMPP_DISCONNECTED,  "xmpp.disconnected",     true)                                                          \
    X(EVENT_WEBHOOK_DISABLED,   "webhook.disabled",      false)                                                         \
    X(EVENT_INBOX_RECEIVED,     "inbox.received",        false) /* a file that was sent to us is there */

enum event_type {
#define X(type, name, everyones) type,
    EVENT_TYPES(X)
#undef X
    EVENT_TYPE_COUNT
};
/* clang-format on */

#define EVENT_BIT(type) (UINT32_C(1) << (type))

const char *event_name(enum event_type type);
bool event_parse(const char *name, enum event_type *type);

/* What such an event is of: the state that a record is in, as a look at it tells it. */
enum event_type event_of(const struct record *r);

struct event {
    uint64_t seq;
    int64_t at; /* wall clock, ms */
    enum event_type type;
    struct snapshot *transfer; /* NULL: it is about none */
    struct inbox_item *item;   /* likewise, a file that was sent to us */
    char *subject;             /* what else it is about: our JID, a batch, a webhook; NULL: a transfer */
    char *detail;              /* a sentence; NULL: none */
    char *token;               /* of whom a batch is; NULL: nobody's own */
};

struct event *event_hold(const struct event *e);
void event_release(struct event **e); /* NULL is fine; leaves *e NULL */

struct events;

struct events *events_create(size_t most); /* kept, at least one; NULL: out of memory */
void events_destroy(struct events **ev);   /* nobody waits any more; NULL is fine; leaves *ev NULL */

const char *events_run(const struct events *ev); /* eight hex digits */
uint64_t events_newest(struct events *ev);       /* its number; 0: none was published */

/* ---- core's thread */

/* news: seq and at are given by the journal; the snapshot is held, item and texts are copied. Without memory the event
 * is lost, to the listeners too, and readers are told of a gap. */
void events_publish(struct events *ev, const struct event *news);

/* One could not even be made, for want of memory. */
void events_lose(struct events *ev);

/* fn is called for each event, in order, before events_publish() returns; without a lock, and it may hold e. A few
 * listeners only, which stay as long as the journal. */
void events_listen(struct events *ev, void (*fn)(void *user, const struct event *e), void *user);

/* ---- any thread */

/* Strings are borrowed as long as the filter is in use. */
struct event_filter {
    uint32_t types;     /* EVENT_BIT() each; 0: all */
    char id[ID_SIZE];   /* of this transfer; empty: whatever it is about */
    const char *token;  /* of what this one made, and what is everyone's; NULL: all */
    const char *to;     /* of files for this address; a bare one: with any resource; NULL: all */
    const char *labels; /* of transfers with all of these (base/labels.h); NULL: all */
    /* Of files that were sent to us, to addresses that these globs allow (gateway/token.h; NULL: all), or of none. */
    char *const *inbox_of;
    bool no_inbox;
};

bool event_fits(const struct event *e, const struct event_filter *f);

/* FOUND: *e is the first after *after that fits, held for the caller, and *after its number. NONE: *after is the
 * newest. GAP: some after *after are not kept any more (or *after is of the future); *after is the newest. */
enum events_next { EVENTS_FOUND, EVENTS_NONE, EVENTS_GAP };
enum events_next events_next(struct events *ev, const struct event_filter *f, uint64_t *after, struct event **e);

/* Somebody to be woken. The owner keeps it, and its filter, until it was woken or is withdrawn. */
struct event_waiter {
    const struct event_filter *filter;
    void (*wake)(void *user); /* on core's thread, without a lock: may only wake its owner */
    void *user;
    /* what follows is the journal's */
    struct event_waiter *next, **link;
};

/* Leaves w until something after `after` fits; then it is taken off and woken, once. false: there is news already, and
 * w is not left. */
bool events_wait(struct events *ev, struct event_waiter *w, uint64_t after);

/* true: it is taken off, and not woken. false: it was woken, or is just about to be, on another thread; before it
 * was, it must not go, nor be left again. */
bool events_withdraw(struct events *ev, struct event_waiter *w);

#endif
