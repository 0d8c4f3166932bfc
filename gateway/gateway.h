/* gateway/gateway.h - the front door: what the HTTP side may ask of the gateway, from any thread.
 *
 * Nothing here blocks for longer than a page-cache write. What takes time answers through a callback, exactly once,
 * possibly before the call returns and possibly on another thread: the callback may only keep the result and wake
 * its owner. Records handed to a callback are the callee's to free. */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/jid.h"
#include "gateway/config.h"
#include "gateway/events.h"
#include "gateway/inbox_item.h"
#include "gateway/method.h"
#include "gateway/network.h"
#include "gateway/record.h"
#include "gateway/relaying.h"
#include "gateway/spool.h"
#include "gateway/store.h"
#include "gateway/token.h"

struct gateway;

const struct config *gateway_config(const struct gateway *gw);
struct events *gateway_events(struct gateway *gw); /* the gateway's own: what happened, and what happens */

/* ---- uploads: begin, append as it arrives, then finish or abort. One thread at a time per upload. */
struct upload;

typedef void gateway_record_fn(void *user, struct record *r, const struct error *err); /* r NULL: err says why */

/* ---- requests that are repeated (Idempotency-Key): one of them makes the transfer, the others are told of it */

/* A key that nobody else may use until it is released, or a transfer was made by it. Any thread. */
struct reservation;
void gateway_release(struct reservation **r); /* NULL is fine; leaves *r NULL */

/* mine: nobody used the key; it goes into the submission. made: a request with it was answered with that transfer,
 * which is told as it is now. Else err: ERR_IDEMPOTENCY_IN_PROGRESS (busy: the id of the transfer whose upload is under
 * way), ERR_IDEMPOTENCY_KEY_REUSE, ERR_STORE_UNAVAILABLE, ERR_DRAINING. mine and made are the callee's. */
typedef void gateway_reserve_fn(void *user, struct reservation *mine, struct record *made, const char *busy,
                                const struct error *err);

/* key: its caller, text and print. A key is known for a day, as long as the record of its transfer is. */
void gateway_reserve(struct gateway *gw, const struct record_key *key, gateway_reserve_fn *done, void *user);

/* What the upload is for. Strings are borrowed for the call. */
struct submission {
    const struct jid *to;           /* empty in a check: not known yet */
    const char *from;               /* whose address it comes from, see gateway_sender(); NULL: the default sender's */
    const char *name;               /* NULL: "upload-<id>" with an ending that fits the type */
    const char *type;               /* NULL: sniffed from the first 64 KiB */
    const char *caption;            /* NULL: none */
    const char *labels;             /* as base/labels.h has them; NULL: none */
    const char *methods;            /* "si-s5b,s5b"; NULL: as configured. Unknown or empty: ERR_PARAMETER_INVALID */
    const char *request_id;         /* NULL: none */
    const char *traceparent;        /* of the request; NULL: it had none */
    const char *token;              /* the id of the one it is made with; NULL: none was asked for */
    struct reservation *key;        /* for gateway_upload_begin() alone, which takes it when it succeeds; NULL: none */
    bool digest;                    /* compute file.sha256, even if configuration does not ask for it */
    const struct digests *promised; /* what the file must come to; NULL: nobody said */
    int64_t ttl_ms;                 /* 0: as configured */
    int64_t hold_ms; /* how long to wait for who is offline, from now; 0: not at all; below 0: as configured */
    enum mode mode;
    bool subscribe; /* ask who is no contact; then a hold is needed: below 0 may also mean the whole ttl */
};

/* The bare address a file comes from: asked is a local part or an address of the component's domain, NULL the default
 * sender; an account has none but its own. *usual: it is the default sender's. ERR_PARAMETER_INVALID. */
bool gateway_sender(const struct gateway *gw, const char *asked, struct jid *out, bool *usual, struct error *err);

/* Checks what can be checked before any byte is read: for an early refusal. */
bool gateway_submission_check(struct gateway *gw, const struct submission *s, struct error *err);

/* size: the declared length, or -1. s: what it is for, once that was checked; NULL: not known before its end, so it is
 * MODE_SPOOL, as without a length. Refused before the body: ERR_BODY_TOO_LARGE, ERR_SPOOL_FULL, ERR_DRAINING,
 * ERR_STORE_UNAVAILABLE.
 * With a key the answer of gateway_upload_finish() and the key are committed as one; any other end frees the key. In
 * MODE_STREAM it is kept only for what was delivered, since nobody else could try again.
 * MODE_AUTO: the transfer begins, and is there for all who look, as soon as 64 KiB or all of it have come. */
struct upload *gateway_upload_begin(struct gateway *gw, int64_t size, const struct submission *s, struct error *err);
const char *gateway_upload_id(const struct upload *u); /* the transfer's id */

/* What comes for a transfer that has ended is dropped (MODE_AUTO: the end of the upload tells) or refused with its
 * reason (MODE_STREAM). more: the next piece is there already, so this one may wait for it to be written. */
bool gateway_upload_append(struct upload *u, const void *data, size_t len, bool more, struct error *err);

/* MODE_STREAM, before its first byte: begins the transfer and answers with its record when the recipient has accepted
 * and bytes may flow, or when it ended before. */
void gateway_upload_open(struct upload *u, gateway_record_fn *done, void *user);

/* MODE_STREAM: whether so many bytes may be appended now. If not: wake is called once when they may, on any thread,
 * perhaps before await_room() returns; at the latest when the upload is over. */
bool gateway_upload_room(const struct upload *u, size_t len);
void gateway_upload_await_room(struct upload *u, size_t len, void (*wake)(void *user), void *user);

/* Seals the file, commits the record, queues the transfer; the answer comes after both are as durable as configured.
 * Of a transfer that began before, the answer tells its state by then; in MODE_STREAM nothing is sealed, and the answer
 * comes with its end (while we stop: without).
 * A file that is not what was promised of it is refused with ERR_DIGEST_MISMATCH; a transfer that began before has its
 * last byte held back until that is known.
 * Consumes *u in any case; on failure nothing is left behind, but a transfer that had begun: it failed. */
void gateway_upload_finish(struct upload **u, const struct submission *s, gateway_record_fn *done, void *user);
void gateway_upload_abort(struct upload **u, const struct error *why); /* NULL: its caller is gone */

/* ---- uploads in parts (tus): begun once, then gone on with as often as it takes, also after a restart, until they are
 * whole, ended, or expire. Each is held by one request at a time. HTTP's thread, but for what says otherwise. */
struct partial;

struct partial_info {
    char id[ID_SIZE];     /* "up_…"; "tr_…" with the same digits is the transfer that it becomes */
    char token[TOKEN_ID]; /* whose it is; empty: none was asked for */
    const char *meta;     /* what its caller said of it, one line; empty: nothing */
    int64_t length;       /* -1: not known yet */
    uint64_t offset;      /* what has come */
    int64_t expires;      /* wall clock */
};

/* A new one, held; token, meta and length say which. Refused as gateway_upload_begin(). */
struct partial *gateway_partial_begin(struct gateway *gw, const struct partial_info *what, struct error *err);

/* Takes hold of one. ERR_NOT_FOUND: there is none for that token (NULL: for everybody), or it has become a transfer;
 * ERR_UPLOAD_EXPIRED: it is over; ERR_UPLOAD_LOCKED: somebody has it. Who has it and gets nothing for some seconds, say
 * since his caller's network is gone, loses it: his next piece is refused. */
struct partial *gateway_partial_hold(struct gateway *gw, const char *id, const char *token, struct error *err);

/* Good while it is held; offset: before the bytes of this hold. */
const struct partial_info *gateway_partial_info(const struct partial *p);

/* The length that was not known: as of gateway_partial_begin(). */
bool gateway_partial_declare(struct partial *p, uint64_t length, struct error *err);

/* Bytes are to come. checked: they count only if gateway_partial_settle() or _upload() is reached, else as they come.
 */
bool gateway_partial_open(struct partial *p, bool checked, struct error *err);
bool gateway_partial_append(struct partial *p, const void *data, size_t len, bool more, struct error *err);

/* Lets go. What came since it was opened counts, unless it was to be checked. Consumes *p. */
void gateway_partial_release(struct partial **p);

/* Lets go when all that came is as durable as configured, and tells how much that is, and until when it stays.
 * Consumes *p. */
typedef void gateway_partial_fn(void *user, uint64_t offset, int64_t expires, const struct error *err);
void gateway_partial_settle(struct partial **p, gateway_partial_fn *done, void *user);

/* All of it, as an upload that has only to be finished, and is not copied: MODE_SPOOL, without a key. When that fails,
 * or it is aborted, the parts are as they were, to be tried again, but for ERR_DIGEST_MISMATCH, which ends them. NULL,
 * and let go: ERR_STATE_CONFLICT, it is not whole. Consumes *p. */
struct upload *gateway_partial_upload(struct partial **p, struct error *err);

/* Ends it, and drops its bytes. Consumes *p. */
void gateway_partial_end(struct partial **p);

/* The ids of those that are whole, and not held; to be freed, NULL: there is none, or no memory. */
char (*gateway_partials_whole(struct gateway *gw, size_t *count))[ID_SIZE];

/* The transfer that an upload becomes, or has become. false: the id is none of an upload. */
bool gateway_partial_transfer(const char *id, char transfer[static ID_SIZE]);
/* ---- several files, several recipients, one call: a batch of transfers, that is all there or not there at all */

enum { BATCH_MOST = 100 }; /* transfers of one */

struct parcel {
    struct upload **uploads; /* files that are all there, of no mode but MODE_SPOOL; each is consumed in any case */
    size_t files;
    const struct submission *what; /* of each file; whom it is `to` is not looked at */
    const struct jid *const *to;
    size_t recipients;
    const char *url;  /* of the one file, which is still to be fetched, checked; NULL: it is here, or at path */
    const char *path; /* where the one file lies, from [source] path_roots; NULL: all files have been uploaded */
    uint64_t most;    /* bytes that a file from there may have; 0: no limit but the spool's */
    /* Of the transfers, file by file and in each the recipients, the first of which has that of the upload. */
    const char (*ids)[ID_SIZE];
};

typedef void gateway_list_fn(void *user, struct record_list *list,
                             const struct error *err); /* list: take its fields or leave them */

/* ERR_SOURCE_REFUSED: no root leads there, by its text. What is wrong with the file itself the parcel tells. */
bool gateway_path_check(const struct gateway *gw, const char *path, struct error *err);

/* ERR_SOURCE_REFUSED: it is off, or the URL is not one that is fetched from. */
bool gateway_url_check(const struct gateway *gw, const char *url, struct error *err);

/* What Content-Disposition (RFC 6266) names a file; false: nothing. Before gateway_start(). */
typedef bool gateway_name_fn(const char *disposition, char *out, size_t max);
void gateway_name_by(struct gateway *gw, gateway_name_fn *name_of);

/* With a URL the answer comes at once, when the records are kept, in TRANSFER_RECEIVING; what becomes of the file is
 * theirs to tell. A restart meanwhile fails them. Else: copies a file from its path; seals each file once, whoever it
 * is for, and gives it a name for each recipient; commits all records as one; queues the transfers. One alone is of no
 * batch. The answer is they, in the order of ids, when all of that is as durable as configured; or what was wrong, and
 * then there is none of them. */
void gateway_parcel_finish(struct gateway *gw, const struct parcel *p, gateway_list_fn *done, void *user);

/* ---- transfers */
void gateway_get(struct gateway *gw, const char *id, gateway_record_fn *done, void *user);

/* Whether it is a transfer that is not final; one that was answered for by an upload counts from that answer on. Or an
 * upload in parts that is not over, or has become one of these. */
bool gateway_under_way(struct gateway *gw, const char *id);

/* Whether it is one whose end is not committed yet: more events of it will come. */
bool gateway_live(struct gateway *gw, const char *id);

/* As gateway_get, but answers when the transfer is final (and its record committed) or wait_ms have passed. */
void gateway_wait(struct gateway *gw, const char *id, int64_t wait_ms, gateway_record_fn *done, void *user);

/* Likewise, but answers as soon as it is not as it was: also when it moved, or went another step. */
struct record_stamp {
    int64_t updated;
    enum transfer_state state;
    uint64_t sent;
};
struct record_stamp record_stamp(const struct record *r);
void gateway_wait_change(struct gateway *gw, const char *id, const struct record_stamp *was, int64_t wait_ms,
                         gateway_record_fn *done, void *user);

/* Ends it as cancelled and drops its payload. A final one stays as it is, but a link of our own ends with its payload.
 */
void gateway_cancel(struct gateway *gw, const char *id, gateway_record_fn *done, void *user);

/* A failed one once more, from the file that was kept: answers when that is committed. ERR_STATE_CONFLICT: it has not
 * failed, or its file is not kept any more ([spool] retention, or its room was needed). */
void gateway_retry(struct gateway *gw, const char *id, gateway_record_fn *done, void *user);

void gateway_list(struct gateway *gw, const struct record_filter *filter, gateway_list_fn *done, void *user);

/* ---- links of our own: what their recipients fetch */
struct download {
    char id[ID_SIZE]; /* the transfer's */
    int fd;           /* of the file, at its beginning; -1: none */
    uint64_t size;
    char *type;
    char tag[33];     /* the same for the same bytes, and as good as no other's; tells nothing of the link */
    int64_t modified; /* wall clock */
};
void download_free(struct download *d); /* its parts, not d itself */

/* ERR_NOT_FOUND: there is no such link, or not under that name; ERR_GONE: there was. d: take its parts or leave them.
 */
typedef void gateway_download_fn(void *user, struct download *d, const struct error *err);
void gateway_download(struct gateway *gw, const char *secret, const char *name, gateway_download_fn *done, void *user);

/* A response with the bytes from `from` up to `to` has left us whole. When such pieces, each beginning where those
 * before it end or earlier, have covered the file since we started, the transfer is link_fetched. So a download that
 * broke off and was resumed does not count: what of its first piece arrived is not known. */
void gateway_downloaded(struct gateway *gw, const char *id, uint64_t from, uint64_t to);

/* ---- the inbox: files that were sent to us. Items handed to a callback are the callee's to free. */
typedef void gateway_inbox_fn(void *user, struct inbox_item *item, const struct error *err);
typedef void gateway_inbox_list_fn(void *user, struct inbox_list *list, const struct error *err); /* take its fields */

void gateway_inbox_list(struct gateway *gw, const struct inbox_filter *filter, gateway_inbox_list_fn *done, void *user);
void gateway_inbox_get(struct gateway *gw, const char *id, gateway_inbox_fn *done, void *user); /* ERR_NOT_FOUND */

/* One that is INBOX_RECEIVED, and its file as for a download. ERR_NOT_FOUND; ERR_STATE_CONFLICT: it is not all here. */
typedef void gateway_inbox_open_fn(void *user, struct inbox_item *item, struct download *d, const struct error *err);
void gateway_inbox_open(struct gateway *gw, const char *id, gateway_inbox_open_fn *done, void *user);

/* Forgets it with its file; one that is still being received is broken off. The answer is it, as it was. */
void gateway_inbox_delete(struct gateway *gw, const char *id, gateway_inbox_fn *done, void *user);

/* ---- recipients and the network */

/* The ladder as a transfer would walk it now. */
struct gateway_ladder {
    struct gateway_rung {
        const char *method;
        struct jid to; /* empty: nobody is there to offer to */
        enum method_can possible;
        char why[200]; /* not, or not known; empty: it is */
    } rungs[8];
    size_t count;
};

/* As network_recipient_fn; the ladder is the callee's to free(), and NULL when nobody was even looked for. */
typedef void gateway_recipient_fn(void *user, struct recipient *r, struct gateway_ladder *ladder,
                                  const struct error *err);

/* methods: as in a submission, checked; size: the file's, 0: not known. Both matter to the ladder alone. */
void gateway_find(struct gateway *gw, const struct jid *to, const char *methods, uint64_t size,
                  gateway_recipient_fn *done, void *user);

/* ERR_PARAMETER_INVALID names the first that is no method of ours. */
bool gateway_methods_check(struct gateway *gw, const char *methods, struct error *err);

/* ---- webhooks */

struct gateway_hook {
    char name[DELIVERY_ENDPOINT];
    char *url;        /* without user, password and query */
    char *events;     /* as configured */
    bool on;          /* else: it answered 410 */
    uint64_t backlog; /* pending deliveries */
    size_t in_flight; /* of them, on their way now */
    struct {
        int64_t at; /* 0: none yet */
        unsigned status;
        char why[DELIVERY_REASON]; /* empty: it was taken */
    } last;
};

struct gateway_hooks {
    struct gateway_hook *items;
    size_t count;
};
void gateway_hooks_free(struct gateway_hooks *hooks);

struct gateway_hook_test {
    char id[ID_SIZE]; /* its webhook-id */
    bool taken;
    unsigned status; /* 0: no answer came */
    int64_t took_ms;
    char why[DELIVERY_REASON];
};

/* What is handed over is the callee's to take; what it leaves is freed. err NULL: it went well. */
typedef void gateway_hooks_fn(void *user, struct gateway_hooks *hooks, const struct error *err);
typedef void gateway_deliveries_fn(void *user, struct delivery_list *list, const struct error *err);
typedef void gateway_hook_test_fn(void *user, const struct gateway_hook_test *test, const struct error *err);

void gateway_hooks(struct gateway *gw, gateway_hooks_fn *done, void *user);

/* ERR_NOT_FOUND: there is no webhook of that name. */
void gateway_hook_test(struct gateway *gw, const char *name, gateway_hook_test_fn *done, void *user);

/* filter: its id is not used, and its endpoint has to be one; strings are copied. */
void gateway_deliveries(struct gateway *gw, const struct delivery_filter *filter, gateway_deliveries_fn *done,
                        void *user);

/* Sends one again, as if it were new. Answers with it alone. ERR_STATE_CONFLICT: its webhook is off. */
void gateway_redeliver(struct gateway *gw, const char *name, const char *id, gateway_deliveries_fn *done, void *user);

struct gateway_view {
    struct network_view network;
    struct spool_usage spool;
    bool store_writable;
    bool draining;
    bool ready;                    /* all of: network online, store writable, not draining */
    size_t active, queued;         /* transfers */
    struct carrier_address direct; /* host empty: nothing is advertised */
    uint64_t streams;              /* open SOCKS5 sockets */
    bool relays;                   /* others' bytestreams too, as a StreamHost proxy */
    struct relay_counts relayed;
    char demo[JID_MAX + 1]; /* the recipient of our own, while it is online; empty: there is none */
};
void gateway_view(struct gateway *gw, struct gateway_view *out);

/* The bytestreams that are relayed for others, to relay_view_free(); empty where none are. false: out of memory. */
bool gateway_relay_view(struct gateway *gw, struct relay_view *out);

/* The transfers that are not over, or whose end is not committed yet. Looks at each of them. */
struct gateway_census {
    size_t transfers[TRANSFER_STATE_COUNT];
    int64_t oldest_ms; /* how long that one has waited which waits longest for its turn; 0: none does */
};
void gateway_census(struct gateway *gw, struct gateway_census *out);

/* Milliseconds since core last turned; /livez and the watchdog ask. */
int64_t gateway_heartbeat_age(struct gateway *gw);

/* The names a ladder may be made of, NULL at the end. */
const char *const *gateway_method_names(struct gateway *gw);

#endif
