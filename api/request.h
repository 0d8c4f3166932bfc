/* api/request.h - one HTTP request from its first line to its answer.
 *
 * The HTTP thread owns it and calls request_handle() again and again: once with the headers, for each piece of the
 * body, once when the body is over, and once after each wait. What a request does next is its `step`.
 *
 * A step answers (reply.h), or asks the gateway and waits:
 *
 *     request_wait(rq, WAIT_COMMIT, committed);          first: from here on the connection is suspended
 *     gateway_upload_finish(…, request_got_record, rq);  then: whoever answers wakes it, perhaps at once
 *     return MHD_YES;
 *
 * The answer may come on any thread and after the server has given up waiting; so the request is counted, and of
 * those who want to wake it exactly one does. */
#ifndef API_REQUEST_H
#define API_REQUEST_H

#include <microhttpd.h>
#include <stdatomic.h>

#include "api/auth.h"
#include "api/connections.h"
#include "api/guard.h"
#include "api/header.h"
#include "api/limits.h"
#include "api/lockout.h"
#include "api/params.h"
#include "api/target.h"
#include "base/trace.h"
#include "gateway/gateway.h"

struct inbox_wait;
struct multipart;
struct tus;
struct several;
struct order;
struct request;
struct route;
struct stream;

/* What every request has to pass; the server's, and the HTTP thread's eyes only but for the atomics. */
struct gate {
    struct guard guard;
    bool ops;               /* there is an ops listener */
    struct guard ops_guard; /* its own */
    struct tokens *tokens;
    _Atomic(struct tokens *)
        fresh; /* left by whoever reloads, for the next request to put in their place; NULL: none */
    struct limits *limits;
    struct lockout *lockout;
    struct trust *trust;
    struct connections *connections;
    atomic_bool closing;   /* the server stops: nothing new is begun */
    atomic_bool closed;    /* its time is up: no step is taken any more */
    atomic_uint stepping;  /* so many calls are inside a step, which may begin to wait */
    atomic_size_t streams; /* of events, open */
};

typedef enum MHD_Result step_fn(struct request *rq);

/* WAIT_COMMIT: what is waited for will be done in any case, so the caller should hear of it even while we stop.
 * WAIT_ROOM: in the middle of a body, which may go on even while we stop. */
enum waiting { WAIT_NONE, WAIT_ANSWER, WAIT_COMMIT, WAIT_ROOM };

/* PHASE_AGAIN: the headers are told once more, since nothing but the end of the connection is behind them. */
enum phase { PHASE_HEADERS, PHASE_BEFORE, PHASE_AGAIN, PHASE_BODY, PHASE_STEP, PHASE_ANSWERED };

enum {
    REQUEST_ID_MAX = 64,
    REQUEST_HEADERS = 10,             /* of the answer, beside those every answer has */
    REQUEST_TRIMMED = 24,             /* looks at headers in the life of a request, at most */
    REQUEST_SWALLOW = 4 * 1024 * 1024 /* bytes of a body nobody asked for that are read and dropped */
};

struct request {
    struct gateway *gw;
    struct gate *gate; /* gone when the server is: the HTTP thread's eyes only */
    struct MHD_Connection *connection;
    struct request *next, **link; /* the server's list of those in progress; link NULL: not in it */
    struct request *claimed;      /* the server's list of those it wakes */
    int fd;                       /* the connection's */
    struct connection *conn;      /* good until the request is over */
    struct caller caller;         /* who it is from; not sure before the headers are checked */
    atomic_uint refs;             /* the server's, and one per question asked */
    atomic_int waiting;           /* enum waiting; whoever sets it to WAIT_NONE resumes */

    enum phase phase;
    const struct route *route;
    step_fn *step;
    step_fn *before; /* what must go well before the body is asked for; NULL: nothing. Then: request_take_body() */
    int64_t started;
    char id[REQUEST_ID_MAX + 1];
    char traceparent[TRACE_PARENT]; /* the caller's; empty: none */
    struct error error;             /* refused; ERR_NONE: not */
    enum stage stage;               /* where an error belongs */
    bool hung_up;                   /* the caller sends no more: the wait was cut short, got is empty */
    bool head;                      /* HEAD: the answer goes without its body */
    bool close;                     /* the connection must not be used again */
    bool unread;                    /* answered before its body was read */
    bool seen;                      /* the transfer asked for is there for this caller */
    bool more;                      /* than the piece of body at hand: it is on the socket already */
    bool form;                      /* the body is one, or JSON: the file is not the body */
    bool streams;                   /* mode stream: the answer is the end of the transfer */
    unsigned status;                /* of the answer */
    const char *cache;              /* how its Cache-Control reads; static; NULL: no-store */

    struct tokens *tokens;     /* held for the next one; NULL: not asked yet */
    const struct token *token; /* the caller's; NULL: none was asked for */
    struct refusal refusal;    /* more of the error, for the problem */
    uint64_t taken;            /* bytes of files so far */
    uint64_t file_taken;       /* and of the one at hand */
    uint64_t spent;            /* those that the token has paid for */
    char counted[ID_SIZE];     /* the transfer that counts as one of the token's; empty: none */

    const char *raw; /* the target, in the library's memory; its bytes are good in the first call alone */
    size_t raw_len;
    struct target target;
    struct params params;
    struct prefer prefer;
    int64_t wait_ms;   /* 0: answer at once */
    int64_t announced; /* bytes of body; 0: none; -1: chunked */
    uint64_t received; /* of the body */

    struct jid to;
    char name[1024];            /* file name, not checked before it is complete; empty: none */
    char type[128];             /* empty: to be sniffed */
    struct digests promised;    /* of the body */
    struct record_key key_used; /* the Idempotency-Key; its text empty: none */
    struct reservation *key;    /* of it, until the upload has it */
    struct upload *upload;
    struct multipart *multipart;
    struct tus *tus;         /* of an upload in parts; NULL: it is about none */
    struct several *several; /* of a call with several files or recipients, or about such a one; NULL: it is none */
    char batch[ID_SIZE];     /* the batch that is answered */
    struct order *order;     /* a body that is JSON; NULL: it is none */

    struct {
        struct record *record;
        struct record_list list;
        struct recipient recipient;
        struct gateway_ladder *ladder;
        struct download download;
        struct inbox_item *item;
        struct inbox_list items;
        struct gateway_hooks hooks;
        struct gateway_hook_test test;
        struct delivery_list deliveries;
        uint64_t offset; /* of an upload in parts, and until when it stays */
        int64_t expires;
        char busy[ID_SIZE]; /* the transfer whose upload is under way */
        struct error error; /* ERR_NONE: the answer is there */
    } got;
    struct inbox_wait *inbox; /* a list of what was received is asked for; NULL: it is not */
    struct stream *stream;    /* the answer is one of events; NULL: it is not */
    struct record *kept;      /* an upload that is committed and now waited for */

    struct {
        uint64_t from, to;
        bool counts;
    } sending; /* these bytes of got.download are the answer's body */

    struct {
        const char *name;
        char *value;
    } header[REQUEST_HEADERS];
    size_t headers;
    char *trimmed[REQUEST_TRIMMED]; /* what request_header() had to copy */
    size_t trimmed_count;
};

/* raw: the target as sent. NULL: out of memory. */
struct request *request_create(struct gateway *gw, struct gate *gate, const char *raw,
                               struct MHD_Connection *connection, struct connection *conn);
void request_release(struct request *rq);

enum MHD_Result request_handle(struct request *rq, const char *method, const char *version, const char *data,
                               size_t *len);

/* Suspends the connection; when the question is answered, `then` runs with rq->got. Takes a reference, which the
 * callback below gives back. */
void request_wait(struct request *rq, enum waiting why, step_fn *then);

/* PHASE_BEFORE: the body may come. */
enum MHD_Result request_take_body(struct request *rq);

/* The callbacks for the gateway; user is the request. */
void request_got_record(void *user, struct record *r, const struct error *err);
void request_got_offset(void *user, uint64_t offset, int64_t expires, const struct error *err);
void request_got_list(void *user, struct record_list *list, const struct error *err);
void request_got_download(void *user, struct download *d, const struct error *err);
void request_got_item(void *user, struct inbox_item *item, const struct error *err);
void request_got_items(void *user, struct inbox_list *list, const struct error *err);
void request_got_content(void *user, struct inbox_item *item, struct download *d, const struct error *err);
void request_got_key(void *user, struct reservation *mine, struct record *made, const char *busy,
                     const struct error *err);
void request_got_recipient(void *user, struct recipient *r, struct gateway_ladder *ladder, const struct error *err);

/* The server stops or the caller hung up: takes the waiting request from whoever would have answered it, so that
 * exactly one wakes it; a commit only when forced. true: the caller fills rq->got and calls request_resume() once. */
bool request_claim(struct request *rq, bool force);
void request_resume(struct request *rq);

/* A request header without the white space around it (RFC 9110 section 5.5), or NULL; valid as long as the request. */
const char *request_header(struct request *rq, const char *name);

#endif
