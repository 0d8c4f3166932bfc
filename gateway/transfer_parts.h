/* gateway/transfer_parts.h - struct transfer, and what the parts of it share: for gateway/transfer*.c alone.
 *
 *     transfer.c          queued events, the rule table, the state and its timer, life
 *     transfer_round.c    one round: who is offered to, by which methods, and what follows a failure
 *     transfer_method.c   the method at work: what it reports, the file it gets, its end
 *     transfer_hold.c     waiting for the recipient to come online
 *
 * An action does one step, and what comes of it is posted. The state is changed in transfer.c alone, by the table.
 * Thread: core's. */
#ifndef GATEWAY_TRANSFER_PARTS_H
#define GATEWAY_TRANSFER_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alarm.h"
#include "base/error.h"
#include "base/jid.h"
#include "gateway/digest.h"
#include "gateway/ladder.h"
#include "gateway/method.h"
#include "gateway/network.h"
#include "gateway/record.h"
#include "gateway/transfer.h"

/* event_names in transfer.c are in this order. */
enum event {
    EV_START,         /* the owner gives the turn */
    EV_RESOLVED,      /* the recipient's resources are known */
    EV_METHOD_FAILED, /* also: the recipient could not be resolved */
    EV_ACCEPTED,
    EV_SWITCHED, /* the session goes on by the next method of its kind */
    EV_STREAM_OPEN,
    EV_UPLOADED,      /* the file is whole now */
    EV_UPLOAD_FAILED, /* it never will be */
    EV_COMPLETE,
    EV_LINK_SENT,
    EV_PAUSE,     /* this round is over, another may follow */
    EV_HOLD,      /* likewise, once the recipient is online */
    EV_CAME,      /* he is */
    EV_HOLD_OVER, /* he was waited for long enough */
    EV_UNSEEN,    /* we would not see him come */
    EV_FATAL,     /* no round will help */
    EV_CANCEL,
    EV_EXPIRE
};

enum { EVENTS = 12 };

struct pending {
    enum event event;
    struct error error;
    enum proof proof;
};

/* The same while it waits: small, since thousands of transfers have room for some and few have any; and that room is
 * there when memory is not, which at worst loses the sentence. */
struct news {
    uint8_t event, proof;
    uint16_t code;
    char *text; /* NULL: none, or lost */
};

struct transfer {
    struct method_host host; /* first: methods see only this */
    const struct transfer_env *env;
    void *owner;
    struct record *record;
    struct jid *to, *bare;

    struct news events[EVENTS];
    size_t event_count;
    bool woken;
    bool at_work; /* started, and the owner not yet told otherwise */

    struct feed *feed; /* of an upload that is still coming in; NULL: the file is whole */

    uint64_t finding;                     /* the network's ticket; 0: not asking */
    struct candidate_resource *resources; /* of this round; NULL: not known, or not needed any more */
    size_t resource_count;
    size_t resource;      /* the one in use */
    struct jid *device;   /* its address; NULL: none was offered to */
    struct ladder ladder; /* for that resource */
    size_t rung;
    const struct method_ops *ops; /* of method */
    struct method *method;
    struct shared_fd *file;
    struct digest *digest; /* being computed; NULL: not wanted, or known */

    struct error *why; /* kept: the most telling failure of this round */
    enum stage why_stage;
    bool later;       /* a failure of this round may pass by itself */
    bool hopped;      /* the first resource vanished and another was tried */
    bool linked;      /* an offline method was tried */
    int64_t retry_at; /* wall clock; the next round is not worth beginning before; 0: whenever */
    bool came;        /* the recipient was seen to come online since this round began */

    bool asked;            /* his subscription, for this transfer */
    struct error *refusal; /* kept: what became of that; NULL: not refused */

    bool streaming;   /* the method has the file */
    bool hashing;     /* its digest was seen to */
    bool told_hash;   /* in the offer */
    bool once;        /* bytes of it are gone: there is no second try */
    bool ahead;       /* the method said complete before we heard that the upload is */
    enum proof proof; /* ahead: what it said */

    int64_t since;       /* monotonic: it was offered, or in this state */
    int64_t made;        /* monotonic, as the next; here, or by the process that took it up */
    int64_t pause_until; /* what record->next_attempt_at tells people; 0 there: it does not pause */
    bool timer_expires;
    struct alarm *timer; /* the pause while queued, else the state's deadline, and never later than the expiry */
};

/* ---- transfer.c */

/* Queues an event and asks the owner for a turn. error is copied; NULL: none. */
void transfer_post(struct transfer *t, enum event event, const struct error *error, enum proof proof);

/* What a method that is being ended has still to say is nobody's business any more. */
void transfer_forget_method_events(struct transfer *t);

/* Which part of its way a failure at this moment belongs to. */
enum stage transfer_stage(const struct transfer *t);

/* A line of the timeline. */
void transfer_step(struct transfer *t, enum step_direction direction, const char *name, const char *outcome,
                   const char *detail);

/* Anew, by the state, the pause and the expiry as they are now. */
void transfer_arm_timer(struct transfer *t);

/* ---- transfer_round.c: actions of the table, then what else is asked of a round */

void transfer_begin_round(struct transfer *t, const struct pending *p);
void transfer_begin_ladder(struct transfer *t, const struct pending *p);
void transfer_step_down(struct transfer *t, const struct pending *p);
void transfer_switch_method(struct transfer *t, const struct pending *p);
void transfer_pause_round(struct transfer *t, const struct pending *p);

/* The attempt under way, if there is one, gets its end; NULL: it went well. */
void transfer_end_attempt(struct transfer *t, const struct error *error);

/* What ends the matter counts; else the first news that says more than "not this way". */
void transfer_remember_why(struct transfer *t, const struct error *error, bool ends_it);

bool transfer_on_offline_rung(const struct transfer *t);

/* The digest may be computed: what is not kept cannot be read a second time. */
bool transfer_may_digest(const struct transfer *t);

/* The address of ours that it comes from, read into out; NULL: the default sender's. */
const struct jid *transfer_sender(const struct transfer *t, struct jid *out);

/* The devices of the recipient are not needed any more; nor is the ladder. */
void transfer_forget_recipient(struct transfer *t);
void transfer_end_round(struct transfer *t);

/* The next round begins in so many milliseconds; or now, if it pauses. */
void transfer_pause_for(struct transfer *t, int64_t ms);
void transfer_hurry(struct transfer *t);

/* ---- transfer_method.c: actions, then the rest */

void transfer_start_stream(struct transfer *t, const struct pending *p);
void transfer_go_on_whole(struct transfer *t, const struct pending *p);

extern const struct method_host_ops transfer_host_ops;

/* Ends the method, its file, its digest and the search for the recipient, whichever there is. why is for the peer;
 * NULL: it went well, or nothing is said. */
void transfer_drop_work(struct transfer *t, const struct error *why);

/* ---- transfer_hold.c: actions, then the rest */

void transfer_begin_hold(struct transfer *t, const struct pending *p);
void transfer_end_hold(struct transfer *t, const struct pending *p);

/* Whether the recipient, whom a round did not find, may be waited for. */
bool transfer_may_hold(const struct transfer *t, const struct error *error);

/* true: he is, by an EV_HOLD that was posted. false: he is not; if that had been asked for, the timeline says why. */
bool transfer_hold(struct transfer *t, const struct error *error);

/* why is for the timeline; nothing failed. */
void transfer_post_end_of_hold(struct transfer *t, enum event event, const char *why);

#endif
