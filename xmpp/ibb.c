/* xmpp/ibb.c - see ibb.h. The order of this file is the order of events. */
#include "xmpp/ibb.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/id.h"
#include "xmpp/ibb_in.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

enum {
    WAITING_MS = 60 * 1000,
    ANSWER_MS = 30 * 1000, /* for a block: a program answers, but behind all that servers hold back */
    CLOSE_MS = 10 * 1000,  /* for the close: libpurple never answers one */
    PAUSE_MS = 5 * 1000,   /* before a block that did not get through is sent again */
    PAUSES = 6,            /* in a row, so half a minute */
    HELD_MS = 1000,        /* likewise, when too much waits to be sent on our own connection */
    HELD = 120
};

enum state {
    WAITING, /* for a turn */
    OPENING,
    OPEN,
    SENDING,
    CLOSING,
    OVER
};

struct block {
    struct ibb *stream;
    uint64_t question; /* iq_ask(); 0: none is on its way here */
    uint64_t at;       /* from the start of what is sent */
};

struct ibb {
    TAILQ_ENTRY(ibb) all;
    struct client *client;
    ibb_event_fn *on_event;
    void *user;

    struct jid to, from;
    char sid[IBB_SID_MAX];
    unsigned size; /* of a block */
    unsigned answer_ms, yield_ms, linger_ms;

    enum state state;
    bool known;        /* the peer may hold it for open */
    bool either;       /* it may open it */
    bool opened;       /* it did */
    uint64_t question; /* the open or the close */
    uv_timer_t timer;  /* the next try of what the state is about */
    unsigned pauses, held;

    int fd;
    uint64_t start, length; /* in the file */
    uint64_t next;          /* of length: where the next block begins */
    struct block blocks[IBB_WINDOW];
};
TAILQ_HEAD(list, ibb);

struct ibb_streams {
    struct client *client;
    struct list all; /* in the order they came */
};

/* ---- turns, events */

static bool has_turn(const struct ibb *b)
{
    return b->state != WAITING && b->state != OVER;
}

static void on_timer(uv_timer_t *timer);

static void later(struct ibb *b, uint64_t ms)
{
    uv_timer_start(&b->timer, on_timer, ms, 0);
}

static void give_turns(struct ibb_streams *streams)
{
    unsigned taken = 0;
    struct ibb *b;

    TAILQ_FOREACH(b, &streams->all, all)
    taken += has_turn(b);
    TAILQ_FOREACH(b, &streams->all, all)
    {
        if (b->state != WAITING || taken >= IBB_STREAMS)
            continue;
        taken++;
        b->state = OPENING;
        later(b, b->opened ? 0 : b->yield_ms);
    }
}

/* What was sent and acknowledged, without a gap. */
static uint64_t moved(const struct ibb *b)
{
    uint64_t least = b->next;

    for (size_t i = 0; i < IBB_WINDOW; i++)
        if (b->blocks[i].question && b->blocks[i].at < least)
            least = b->blocks[i].at;
    return least;
}

static void emit(struct ibb *b, enum ibb_event_kind kind, const struct error *error)
{
    struct ibb_event event = {.kind = kind, .moved = moved(b), .error = error ? *error : (struct error){0}};

    b->on_event(b->user, &event);
}

static xmpp_stanza_t *build(const struct ibb *b, const char *name)
{
    return stanza_set(stanza_new(b->client->ctx, name, NS_IBB), "sid", b->sid);
}

static void nobody(void *user, const struct iq_reply *reply)
{
    (void)user;
    (void)reply;
}

/* Tells the peer that nothing more comes, without waiting for what it says to that. */
static void abandon(struct ibb *b)
{
    xmpp_stanza_t *iq;

    if (!b->known)
        return;
    b->known = false;
    iq = stanza_iq(b->client->ctx, "set", build(b, "close"));
    iq_forget(b->client->iq, iq_ask_as(b->client->iq, iq, &b->from, &b->to, ANSWER_MS, nobody, NULL, NULL));
    if (iq)
        xmpp_stanza_release(iq);
}

/* Ends whatever could still call us, and lets the next one begin. */
static void stop(struct ibb *b)
{
    uv_timer_stop(&b->timer);
    iq_forget(b->client->iq, b->question);
    b->question = 0;
    for (size_t i = 0; i < IBB_WINDOW; i++)
        iq_forget(b->client->iq, b->blocks[i].question);
    b->state = OVER;
    give_turns(b->client->ibb);
}

static void fail(struct ibb *b, const struct error *why)
{
    stop(b);
    abandon(b);
    emit(b, IBB_FAILED, why);
}

static void done(struct ibb *b)
{
    stop(b);
    emit(b, IBB_DONE, NULL);
}

/* Asks the peer; 0: not now, or never, and then the stream is over. */
static uint64_t ask(struct ibb *b, xmpp_stanza_t *payload, unsigned answer_ms, iq_done_fn *on_answer, void *user)
{
    xmpp_stanza_t *iq = stanza_iq(b->client->ctx, "set", payload);
    uint64_t question;
    struct error err;
    bool built = iq != NULL;

    question = iq_ask_as(b->client->iq, iq, &b->from, &b->to, answer_ms, on_answer, user, &err);
    if (iq)
        xmpp_stanza_release(iq);
    if (question)
        b->held = 0;
    else if (built && b->client->online && b->held++ < HELD)
        later(b, HELD_MS);
    else
        fail(b, &err);
    return question;
}

/* What an error answer means; those not listed mean what they mean everywhere. */
struct meaning {
    const char *condition;
    enum error_code code;
    const char *says;
};

static void read_refusal(const struct ibb *b, const struct iq_reply *reply, const struct meaning *meanings,
                         struct error *err)
{
    for (; reply->outcome == IQ_ERROR && meanings->condition; meanings++) {
        if (strcmp(reply->condition, meanings->condition) == 0) {
            error_set(err, meanings->code, "%s %s (%s%s%s)", b->to.text, meanings->says, reply->condition,
                      reply->text[0] ? ": " : "", reply->text);
            return;
        }
    }
    iq_error(reply, b->to.text, err);
    if (reply->outcome == IQ_TIMEOUT && b->state != OPENING)
        error_set(err, ERR_STALLED, "%s did not acknowledge what came after %llu bytes", b->to.text,
                  (unsigned long long)moved(b));
}

/* ---- open, XEP-0047 section 2.1 */

static void on_opened(void *user, const struct iq_reply *reply);

static void is_open(struct ibb *b)
{
    b->state = OPEN;
    emit(b, IBB_OPEN, NULL);
}

static void send_open(struct ibb *b)
{
    xmpp_stanza_t *open = build(b, "open");
    char size[12];

    snprintf(size, sizeof size, "%u", b->size);
    open = stanza_set(stanza_set(open, "block-size", size), "stanza", "iq");
    b->question = ask(b, open, b->answer_ms, on_opened, b);
    b->known = b->known || b->question;
}

static void on_opened(void *user, const struct iq_reply *reply)
{
    static const struct meaning meanings[] = {
        {"not-acceptable", ERR_IBB_REFUSED, "does not want the in-band stream"},
        {"resource-constraint", ERR_IBB_REFUSED, "finds even the smallest blocks too large"},
        {"service-unavailable", ERR_IBB_REFUSED, "takes no in-band streams"},
        {"feature-not-implemented", ERR_IBB_REFUSED, "takes no in-band streams"},
        {NULL, ERR_NONE, NULL},
    };
    struct ibb *b = user;
    struct error err;

    b->question = 0;
    if (reply->outcome == IQ_RESULT) {
        is_open(b);
        return;
    }
    b->known = reply->outcome == IQ_TIMEOUT;
    if (strcmp(reply->condition, "resource-constraint") == 0 && b->size / 2 >= IBB_BLOCK_MIN) {
        b->size /= 2;
        send_open(b);
        return;
    }
    read_refusal(b, reply, meanings, &err);
    fail(b, &err);
}

/* ---- data, section 2.2 */

static bool read_block(const struct ibb *b, unsigned char *out, size_t len, struct error *err)
{
    size_t have = 0;

    while (have < len) {
        ssize_t n = pread(b->fd, out + have, len - have, (off_t)(b->start + b->next + have));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_set(err, ERR_SYSTEM, "cannot read the file: %s", n < 0 ? strerror(errno) : "it is too short");
        have += (size_t)n;
    }
    return true;
}

/* Blocks are numbered modulo 2^16. All but the last have the same size, so where one begins is its number. */
static xmpp_stanza_t *build_block(const struct ibb *b, const unsigned char *data, size_t len)
{
    char text[4 * ((IBB_BLOCK + 2) / 3) + 1], seq[8];

    EVP_EncodeBlock((unsigned char *)text, data, (int)len);
    snprintf(seq, sizeof seq, "%u", (unsigned)(uint16_t)(b->next / b->size));
    return stanza_add_text(b->client->ctx, stanza_set(build(b, "data"), "seq", seq), text);
}

static void on_acknowledged(void *user, const struct iq_reply *reply);

static bool send_block(struct ibb *b, struct block *k)
{
    uint64_t left = b->length - b->next;
    size_t len = left < b->size ? (size_t)left : b->size;
    unsigned char data[IBB_BLOCK];
    struct error err;

    if (!read_block(b, data, len, &err)) {
        fail(b, &err);
        return false;
    }
    k->question = ask(b, build_block(b, data, len), ANSWER_MS, on_acknowledged, k);
    if (!k->question)
        return false;
    k->at = b->next;
    b->next += len;
    return true;
}

static struct block *free_block(struct ibb *b)
{
    for (unsigned i = 0; i < b->client->settings->ibb_window; i++)
        if (!b->blocks[i].question)
            return &b->blocks[i];
    return NULL;
}

static void send_close(struct ibb *b);

static void send_blocks(struct ibb *b)
{
    struct block *k;

    while (b->next < b->length && (k = free_block(b)))
        if (!send_block(b, k))
            return;
    if (moved(b) == b->length) {
        b->state = CLOSING;
        if (b->linger_ms > 0)
            later(b, b->linger_ms);
        else
            send_close(b);
    }
}

/* A block that did not get through, though it may later: it is sent again, and with it all that followed it, since
 * the peer takes blocks in order only. */
static void go_back(struct ibb *b, uint64_t at)
{
    for (size_t i = 0; i < IBB_WINDOW; i++) {
        struct block *k = &b->blocks[i];

        if (k->question && k->at > at) {
            iq_forget(b->client->iq, k->question);
            k->question = 0;
        }
    }
    if (b->next > at)
        b->next = at;
    later(b, PAUSE_MS);
}

static bool may_pass(const struct iq_reply *reply)
{
    return strcmp(reply->condition, "recipient-unavailable") == 0 ||
           strcmp(reply->condition, "remote-server-timeout") == 0;
}

static void on_acknowledged(void *user, const struct iq_reply *reply)
{
    static const struct meaning meanings[] = {
        {"recipient-unavailable", ERR_RECIPIENT_OFFLINE, "went away in the middle of the stream"},
        {"remote-server-timeout", ERR_RECIPIENT_OFFLINE, "went out of reach in the middle of the stream"},
        {"item-not-found", ERR_STREAM_BROKEN, "does not know the stream any more"},
        {"service-unavailable", ERR_STREAM_BROKEN, "is gone, or does not know the stream any more"},
        {"unexpected-request", ERR_IBB_SEQUENCE_ERROR, "expected another block"},
        {"bad-request", ERR_PEER_PROTOCOL_ERROR, "did not understand a block"},
        {NULL, ERR_NONE, NULL},
    };
    struct block *k = user;
    struct ibb *b = k->stream;
    struct error err;

    k->question = 0;
    if (reply->outcome == IQ_RESULT) {
        b->pauses = 0;
        emit(b, IBB_PROGRESS, NULL);
        if (b->state == SENDING && !uv_is_active((uv_handle_t *)&b->timer))
            send_blocks(b);
        return;
    }
    if (may_pass(reply) && b->pauses++ < PAUSES) {
        go_back(b, k->at);
        return;
    }
    if (b->next > k->at)
        b->next = k->at; /* so much for moved() */
    read_refusal(b, reply, meanings, &err);
    b->known = b->known && err.code != ERR_STREAM_BROKEN;
    fail(b, &err);
}

/* ---- close, section 2.3 */

static void on_closed(void *user, const struct iq_reply *reply)
{
    static const struct meaning none = {NULL, ERR_NONE, NULL};
    struct ibb *b = user;
    struct error err;

    b->question = 0;
    /* Who knows how much was to come may have closed already, and libpurple closes without a word: every byte was
     * acknowledged before. Of an empty file nothing was. */
    if (reply->outcome == IQ_RESULT || strcmp(reply->condition, "item-not-found") == 0 ||
        (reply->outcome == IQ_TIMEOUT && b->length > 0)) {
        done(b);
        return;
    }
    read_refusal(b, reply, &none, &err);
    fail(b, &err);
}

static void send_close(struct ibb *b)
{
    b->question = ask(b, build(b, "close"), CLOSE_MS, on_closed, b);
    if (b->question)
        b->known = false;
}

static void on_timer(uv_timer_t *timer)
{
    struct ibb *b = timer->data;

    switch (b->state) {
    case WAITING:
        later(b, WAITING_MS);
        emit(b, IBB_WAITING, NULL);
        break;
    case OPENING:
        if (b->opened)
            is_open(b);
        else
            send_open(b);
        break;
    case SENDING:
        send_blocks(b);
        break;
    case CLOSING:
        send_close(b);
        break;
    case OPEN:
    case OVER:
        break;
    }
}

/* ---- what peers ask */

static struct ibb *find(struct ibb_streams *streams, const struct jid *local, const struct jid *from, const char *sid)
{
    struct ibb *b;

    TAILQ_FOREACH(b, &streams->all, all)
    if (b->state != OVER && sid && strcmp(b->sid, sid) == 0 && jid_equal(&b->to, from) && jid_equal(&b->from, local))
        return b;
    return NULL;
}

/* The peer opens what both had agreed on. Should our own open be on its way, its answer does not matter any more. */
static void peer_opened(struct ibb *b)
{
    iq_forget(b->client->iq, b->question);
    b->question = 0;
    b->known = b->opened = true;
    if (b->state == OPENING)
        later(b, 0);
}

static bool wants_block(xmpp_stanza_t *open, const struct ibb *b, unsigned *size)
{
    const char *told = stanza_attr(open, "block-size");
    unsigned long n = told && strspn(told, "0123456789") == strlen(told) ? strtoul(told, NULL, 10) : 0;

    *size = n < b->size ? (unsigned)n : b->size;
    return n >= IBB_BLOCK_MIN && n <= UINT16_MAX;
}

/* Section 2.1, the other way round. Only streams that were agreed on may be opened, and with IQ stanzas. */
static void serve_open(struct iq_table *table, xmpp_stanza_t *iq, struct ibb *b, xmpp_stanza_t *open)
{
    const char *stanza = stanza_attr(open, "stanza");
    unsigned size = 0;

    if (!b || !b->either || (b->state != WAITING && b->state != OPENING) || b->opened ||
        (stanza && strcmp(stanza, "iq") != 0)) {
        iq_reply_error(table, iq, "cancel", "not-acceptable");
    } else if (!wants_block(open, b, &size)) {
        iq_reply_error(table, iq, "modify", "bad-request");
    } else {
        b->size = size;
        iq_reply_result(table, iq, NULL);
        peer_opened(b);
    }
}

static void peer_closed(struct ibb *b)
{
    struct error err;

    b->known = false;
    if (b->state == CLOSING || (b->state == SENDING && moved(b) == b->length)) {
        done(b);
        return;
    }
    error_set(&err, ERR_STREAM_BROKEN, "%s closed the stream after %llu bytes", b->to.text,
              (unsigned long long)moved(b));
    fail(b, &err);
}

/* What is about none of the streams that we send is about one that we receive, or about none at all. */
static bool serve(void *user, xmpp_stanza_t *iq, const struct jid *from, xmpp_stanza_t *payload)
{
    struct ibb_streams *streams = user;
    struct iq_table *table = streams->client->iq;
    const char *name = xmpp_stanza_get_name(payload);
    struct jid local;
    struct ibb *b =
        stanza_to(iq, &streams->client->self, &local) ? find(streams, &local, from, stanza_attr(payload, "sid")) : NULL;

    if (!b && streams->client->ibb_in) {
        ibb_in_serve(streams->client->ibb_in, iq, from, payload);
    } else if (strcmp(name, "open") == 0) {
        serve_open(table, iq, b, payload);
    } else if (strcmp(name, "close") != 0 || !b || !(has_turn(b) || b->opened)) {
        iq_reply_error(table, iq, "cancel", "item-not-found");
    } else {
        iq_reply_result(table, iq, NULL);
        peer_closed(b);
    }
    return true;
}

/* ---- life */

struct ibb_streams *ibb_streams_create(struct client *c)
{
    struct ibb_streams *streams = calloc(1, sizeof *streams);

    if (!streams)
        return NULL;
    streams->client = c;
    TAILQ_INIT(&streams->all);
    iq_serve(c->iq, "set", NS_IBB, serve, streams);
    return streams;
}

void ibb_streams_destroy(struct ibb_streams **streams)
{
    assert(!*streams || TAILQ_EMPTY(&(*streams)->all));
    free(*streams);
    *streams = NULL;
}

bool ibb_allows(const struct client *c, uint64_t size, struct error *err)
{
    uint64_t most = c->settings->ibb_max_size;

    if (size <= most)
        return true;
    return error_set(err, ERR_METHOD_UNSUPPORTED,
                     "the file has %llu bytes, and in-band at most %llu are sent ([delivery] ibb_max_size)",
                     (unsigned long long)size, (unsigned long long)most);
}

struct ibb *ibb_open(struct client *c, const struct ibb_terms *terms, ibb_event_fn *on_event, void *user,
                     struct error *err)
{
    struct ibb *b;

    assert(terms->block > 0 && terms->block <= IBB_BLOCK);
    if (strlen(terms->sid) >= IBB_SID_MAX) {
        error_set(err, ERR_PEER_PROTOCOL_ERROR, "the stream id is longer than %d bytes", IBB_SID_MAX - 1);
        return NULL;
    }
    b = calloc(1, sizeof *b);
    if (!b) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    b->client = c;
    b->on_event = on_event;
    b->user = user;
    jid_copy(&b->to, terms->to);
    jid_copy(&b->from, client_sender(c, terms->from));
    snprintf(b->sid, sizeof b->sid, "%s", terms->sid);
    b->size = terms->block;
    b->answer_ms = terms->answer_ms;
    b->either = terms->either;
    b->yield_ms = terms->yield_ms;
    b->linger_ms = terms->linger_ms;
    for (size_t i = 0; i < IBB_WINDOW; i++)
        b->blocks[i].stream = b;
    uv_timer_init(c->loop, &b->timer);
    b->timer.data = b;
    later(b, WAITING_MS);
    TAILQ_INSERT_TAIL(&c->ibb->all, b, all);
    give_turns(c->ibb);
    return b;
}

void ibb_send(struct ibb *b, int fd, uint64_t offset, uint64_t length)
{
    if (b->state != OPEN) /* it failed while the caller was on his way here, and said so */
        return;
    b->state = SENDING;
    b->fd = fd;
    b->start = offset;
    b->length = length;
    later(b, 0);
}

static void free_stream(uv_handle_t *timer)
{
    free(timer->data);
}

void ibb_destroy(struct ibb **b)
{
    if (!*b)
        return;
    TAILQ_REMOVE(&(*b)->client->ibb->all, *b, all);
    abandon(*b);
    stop(*b);
    uv_close((uv_handle_t *)&(*b)->timer, free_stream);
    *b = NULL;
}

void ibb_sid(char out[static IBB_SID])
{
    snprintf(out, IBB_SID, "jp");
    id_random_hex(out + 2, 16);
}
