/* gateway/record.h - everything that is kept and told about one transfer.
 *
 * The store keeps it, the API shows it, core's live transfer contains it. Plain values: a record has one owner and
 * travels by copy (folded ones share what is folded, which nobody changes any more). Times: wall-clock milliseconds, 0
 * for "not yet". Text has passed the gate of base/text.h. */
#ifndef GATEWAY_RECORD_H
#define GATEWAY_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/id.h"

/* clang-format off */
#define TRANSFER_STATES(X)                              \
    X(TRANSFER_RECEIVING,    "receiving",    false)     \
    X(TRANSFER_QUEUED,       "queued",       false)     \
    X(TRANSFER_HELD,         "held",         false)     \
    X(TRANSFER_OFFERING,     "offering",     false)     \
    X(TRANSFER_CONNECTING,   "connecting",   false)     \
    X(TRANSFER_TRANSFERRING, "transferring", false)     \
    X(TRANSFER_DELIVERED,    "delivered",    true)      \
    X(TRANSFER_LINK_SENT,    "link_sent",    true)      \
    X(TRANSFER_LINK_FETCHED, "link_fetched", true)      \
    X(TRANSFER_FAILED,       "failed",       true)      \
    X(TRANSFER_CANCELLED,    "cancelled",    true)      \
    X(TRANSFER_EXPIRED,      "expired",      true)

enum transfer_state {
#define X(state, name, final) state,
    TRANSFER_STATES(X)
#undef X
    TRANSFER_STATE_COUNT
};
/* clang-format on */

const char *transfer_state_name(enum transfer_state state);
bool transfer_state_final(enum transfer_state state);
bool transfer_state_parse(const char *name, enum transfer_state *state);

/* Where a transfer was when something went wrong: request upload queue resolve offer connect transfer finish. */
enum stage {
    STAGE_REQUEST,
    STAGE_UPLOAD,
    STAGE_QUEUE,
    STAGE_RESOLVE,
    STAGE_OFFER,
    STAGE_CONNECT,
    STAGE_TRANSFER,
    STAGE_FINISH,
    STAGE_COUNT
};
const char *stage_name(enum stage stage);
bool stage_parse(const char *name, enum stage *stage);

/* What becomes of the bytes : all on disk before the offer goes out; or the offer goes out early and the
 * stream follows the upload; or nothing is taken before the recipient accepts, and little is kept. */
enum mode { MODE_SPOOL, MODE_AUTO, MODE_STREAM };
const char *mode_name(enum mode mode);
bool mode_parse(const char *name, enum mode *mode);

enum upload_state { UPLOAD_COMPLETE, UPLOAD_RECEIVING, UPLOAD_ABORTED };
const char *upload_state_name(enum upload_state state);
bool upload_state_parse(const char *name, enum upload_state *state);

/* How strong the evidence for "delivered" is, weakest first. */
enum proof { PROOF_NONE, PROOF_PROXY_ACCEPTED, PROOF_PEER_CLOSED, PROOF_PEER_CONFIRMED, PROOF_HASH_CONFIRMED };
const char *proof_name(enum proof proof); /* NULL for PROOF_NONE */
bool proof_parse(const char *name, enum proof *proof);

/* One protocol step, as a person would tell it: "disco sent", "streamhost-used received proxy.example.org". */
enum step_direction { STEP_SENT, STEP_RECEIVED, STEP_LOCAL };
const char *step_direction_name(enum step_direction direction);
bool step_direction_parse(const char *name, enum step_direction *direction);

struct step {
    int64_t at;
    enum step_direction direction;
    char name[40];    /* "disco", "offer si-s5b", "streamhost-used", "activate", "first byte" … */
    char outcome[40]; /* "ok", "error", "timeout", or a condition's name; may be empty */
    char detail[256]; /* may be empty */
};

/* One method tried in one round. */
struct attempt {
    unsigned round; /* counts from 1; a round walks the ladder once */
    int64_t started, ended;
    char method[24];    /* empty: failed before a method was chosen */
    char to[256];       /* the resource's full JID, cut; may be empty */
    enum stage stage;   /* where it ended */
    struct error error; /* ERR_NONE: it worked, or still runs */
};

enum { RECORD_STEPS = 200, RECORD_ATTEMPTS = 64 }; /* beyond these the middle is dropped, and a step says so */

struct record {
    char id[ID_SIZE];
    enum transfer_state state;
    char *to;       /* bare or full JID as asked, prepared */
    char *resource; /* the resource delivered to or tried last; NULL: none yet */
    char *from;     /* our JID at the time, before that the bare one asked for; NULL: neither yet */

    char *name; /* file name, never NULL */
    char *type; /* media type */
    uint64_t size;
    uint64_t received; /* of the upload */
    enum mode mode;
    enum upload_state upload;
    char *sha256; /* lower-case hex; NULL: nobody asked */

    char *caption;        /* NULL: none */
    char *labels;         /* as base/labels.h has them; NULL: none */
    char *batch;          /* the id of the call that made it with others; NULL: it was the only one */
    unsigned batch_place; /* among those, from 0: files in their order, and each one's recipients in theirs */
    char *methods;        /* the caller's narrowing, "si-s5b,s5b"; NULL: the configured ladder */
    char *request_id;
    char *traceparent; /* of that request, see base/trace.h; NULL: it had none */
    char *token;       /* the id of the one it was made with; NULL: none was asked for */

    uint64_t sent;
    char method[24];  /* the method in use or delivered by; empty: none */
    char path[8];     /* "direct", "proxy", "inband" or empty */
    char *streamhost; /* its JID; NULL: none */
    enum proof proof;

    /* With a link sent or fetched. Its URL is the key to the file and kept nowhere. */
    char *link_at;        /* scheme and host it leads to; NULL: there is none */
    char *link_digest;    /* of our own: SHA-256 of its secret, lower-case hex; NULL: an upload service's, or none */
    int64_t link_expires; /* of our own: until then the payload stays in the spool */
    int64_t link_fetched; /* of our own: when all of it was */

    unsigned round; /* of the ladder, counts from 1 once started */
    unsigned max_rounds;
    int64_t next_attempt_at;

    int64_t hold_until; /* how long it may wait for the recipient to come online; 0: not at all, or no more */

    int64_t created, updated, finished, expires;

    struct folded *story; /* what was before steps; NULL: nothing */
    struct step *steps;
    size_t step_count;
    struct folded *tries; /* instead of attempts; NULL: they are not folded */
    struct attempt *attempts;
    size_t attempt_count;

    unsigned steps_dropped; /* so far; steps[10] then says so */
    bool subscribe;         /* a recipient who is no contact may be asked to let us see when that is */

    bool compact; /* its texts lie behind it, in the same piece of memory, and it is never changed */

    /* Of the whole transfer: see record_fail(). */
    enum stage error_stage;
    enum error_code error_code;
    char *error_text; /* NULL: none */
};

/* An Idempotency-Key and the transfer of the request that used it. Keys are their caller's own. */
enum { KEY_CALLER = 64, KEY_TEXT = 256, KEY_PRINT = 32 };
struct record_key {
    char caller[KEY_CALLER];        /* whose key it is; its token; empty: none was asked for */
    char text[KEY_TEXT];            /* as the caller chose it, at most 255 bytes; empty: none */
    unsigned char print[KEY_PRINT]; /* SHA-256 of what the request was */
    char id[ID_SIZE];               /* the transfer's */
    int64_t used;
};

struct record *record_new(void);                    /* to, name and type are empty strings; NULL: out of memory */
struct record *record_copy(const struct record *r); /* with all of it, also of a folded one */
void record_free(struct record **r);

/* What lies and waits is folded: its steps and its attempts so far become packed texts, a sixth of their size, which
 * snapshots share and nobody can look into; record_copy() shows them again. Either may be added to. record_snapshot()
 * folds r and copies it as it is into one piece of memory, for record_copy() and record_free() alone. Without memory it
 * stays as it was, or NULL. */
void record_fold(struct record *r);
struct record *record_snapshot(struct record *r);

/* Append; when memory or room is short the oldest but the first ten are dropped, a quarter of the room at a time.
 * A step is stamped with the wall clock, and its texts (NULL: empty) are made showable and cut to their fields. It
 * stays as it is, and where it is, until steps_dropped grows: the store writes only those that are new. */
void record_step(struct record *r, enum step_direction direction, const char *name, const char *outcome,
                 const char *detail);
struct attempt *record_attempt(struct record *r); /* the new one, zeroed; NULL: out of memory */
struct attempt *record_last_attempt(
    struct record *r); /* to be changed, also of a folded one; NULL: none, or likewise */

/* Sets and gives the error of the whole transfer, ERR_NONE included. Without memory its code stands alone. */
void record_fail(struct record *r, const struct error *err);
struct error record_error(const struct record *r);

/* Replaces an owned string of the record; value may be NULL. false: out of memory, the old value stays. */
bool record_text(char **field, const char *value);

#endif
