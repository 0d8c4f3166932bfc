/* xmpp/target_parts.h - what the files target*.c share: one file on its way to us.
 *
 *     target.c       from birth to death; what is expected in-band
 *     target_si.c    the offer that may come first
 *     target_s5b.c   the bytestream: streamhosts asked in turn, and the answer
 *
 * Thread: core's. */
#ifndef XMPP_TARGET_PARTS_H
#define XMPP_TARGET_PARTS_H

#include <stdbool.h>
#include <stdint.h>
#include <strophe.h>
#include <uv.h>

#include "gateway/reception.h"
#include "xmpp/client.h"
#include "xmpp/ibb_in.h"
#include "xmpp/s5b_name.h"
#include "xmpp/target.h"

enum {
    TARGET_SID = 1024,           /* the longest stream id taken */
    TARGET_PER_PEER = 32,        /* files of one bare JID that are being agreed on */
    TARGET_FILES = 1024,         /* files of all, at whatever stage */
    TARGET_BEGIN_MS = 60 * 1000, /* for the sender to begin the stream after our yes */
    TARGET_IBB_MS = 30 * 1000,   /* for him to go on in-band after a bytestream that failed */
    TARGET_IDLE_MS = 120 * 1000  /* between blocks in-band; the carrier has its own */
};

enum target_state {
    TARGET_ANNOUNCED, /* taken; its stream is to be begun by the sender */
    TARGET_DIALLING,  /* its streamhosts are being asked, or wait for their turn */
    TARGET_LOST,      /* none of them was reached; the answer waits for its time */
    TARGET_FLOWING,   /* bytes come, by the carrier */
    TARGET_INBAND,    /* bytes come, in-band */
    TARGET_CHECKING   /* all are here, and the receiver looks at them */
};

struct target_file {
    struct target_file *prev, *next;
    struct target *home;
    struct jid *local, *peer;
    char *sid;
    enum target_state state;
    bool takes_s5b; /* a bytestream may be begun */
    struct reception *reception;
    uint64_t offset;  /* where the sender begins */
    uv_timer_t timer; /* what the state waits for */

    struct ibb_in *inband; /* NULL: not agreed on */

    /* The bytestream. */
    xmpp_stanza_t *question; /* who asked, and by which id; NULL: answered */
    int64_t asked;           /* monotonic */
    struct offered_host *hosts;
    size_t host_count, host; /* the one being asked */
    unsigned tried;          /* connections that came to nothing */
    bool waits;              /* for a turn: others dial */
    char names[2][S5B_NAME]; /* that they know it by */
    size_t name_count, name;
    struct carrier_stream *stream;
    uint64_t most; /* bytes that are to come by it */
};

struct target {
    struct client *client;
    struct target_file *files; /* oldest first */
    size_t count;
    unsigned dialling; /* connections being made */
};

/* Whether anybody may send to that address of ours. */
bool target_receives(const struct target *t, const struct jid *local);

/* NULL: none. */
struct target_file *target_find(struct target *t, const struct jid *local, const struct jid *peer, const char *sid);

/* Asks the receiver. NULL with *err set: what the receiver said, ERR_RATE_LIMITED when the sender has too much under
 * way, out of memory. */
struct target_file *target_take(struct target *t, const struct incoming *offer, const char *sid, struct error *err);

/* It may come in-band too. false: out of memory, or the id is in use for such a stream; nothing has changed. */
bool target_expect_inband(struct target_file *f);

void target_in(struct target_file *f, unsigned ms); /* on_timer after that */

/* All that came is there: has it looked at, and then ends. */
void target_complete(struct target_file *f, uint64_t moved, bool extra);

/* Ends and frees it; who still waits for an answer about a bytestream is refused. why NULL: all is well. */
void target_end(struct target_file *f, const struct error *why);

/* A line of the file's timeline. */
void target_step(struct target_file *f, enum step_direction direction, const char *name, const char *outcome,
                 const char *detail);

/* target_si.c, target_s5b.c: what the client's IQ table hands over. */
bool target_serve_si(void *target, xmpp_stanza_t *iq, const struct jid *from, xmpp_stanza_t *payload);
bool target_serve_s5b(void *target, xmpp_stanza_t *iq, const struct jid *from, xmpp_stanza_t *payload);

/* target_s5b.c: the file's timer went off in TARGET_DIALLING or TARGET_LOST; a connection less is being made; it is
 * over. */
void target_s5b_timeout(struct target_file *f);
void target_s5b_turn(struct target *t);
void target_s5b_end(struct target_file *f);

#endif
