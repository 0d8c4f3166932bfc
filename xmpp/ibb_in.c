/* xmpp/ibb_in.c - see ibb_in.h. The order of this file is the order of events. */
#include "xmpp/ibb_in.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "xmpp/ns.h"
#include "xmpp/stanza.h"

enum { CLOSE_MS = 10 * 1000 }; /* for the close, once everything is here; libpurple has none to send */

enum state { EXPECTED, OPEN, OVER };

struct ibb_in {
    TAILQ_ENTRY(ibb_in) all;
    struct ibb_in_streams *home;
    const struct ibb_in_events *events;
    void *user;
    struct jid *local, *peer;
    char *sid;

    enum state state;
    unsigned block_max, block, idle_ms;
    uint16_t seq; /* of the next block */
    uint64_t moved, most;
    uv_timer_t timer; /* what the state waits for */
};
TAILQ_HEAD(list, ibb_in);

struct ibb_in_streams {
    struct client *client;
    struct list all;
    ibb_in_stranger_fn *stranger;
    void *stranger_user;
};

/* ---- ends */

static void nobody(void *user, const struct iq_reply *reply)
{
    (void)user;
    (void)reply;
}

/* Tells the peer that nothing more is taken; what he says to that is of no interest. */
static void say_close(const struct ibb_in *s)
{
    struct client *c = s->home->client;
    xmpp_stanza_t *close = stanza_set(stanza_new(c->ctx, "close", NS_IBB), "sid", s->sid);
    xmpp_stanza_t *iq = stanza_set(stanza_iq(c->ctx, "set", close), "from", s->local->text);

    iq_forget(c->iq, iq_ask(c->iq, iq, s->peer, CLOSE_MS, nobody, NULL, NULL));
    if (iq)
        xmpp_stanza_release(iq);
}

static void stop(struct ibb_in *s)
{
    uv_timer_stop(&s->timer);
    s->state = OVER;
}

static void fail(struct ibb_in *s, const struct error *why)
{
    bool open = s->state == OPEN;

    stop(s);
    if (open)
        say_close(s);
    s->events->failed(s->user, why, s->moved);
}

static void is_closed(struct ibb_in *s, bool extra)
{
    stop(s);
    s->events->closed(s->user, s->moved, extra);
}

static void on_timer(uv_timer_t *timer)
{
    struct ibb_in *s = timer->data;
    struct error err;

    if (s->state == OPEN && s->moved == s->most) {
        say_close(s);
        is_closed(s, false);
        return;
    }
    if (s->state == EXPECTED)
        error_set(&err, ERR_RECIPIENT_TIMEOUT, "%s did not open the in-band stream in time", s->peer->text);
    else
        error_set(&err, ERR_STALLED, "nothing more came from %s after %llu bytes", s->peer->text,
                  (unsigned long long)s->moved);
    fail(s, &err);
}

static void wait_for_more(struct ibb_in *s)
{
    unsigned ms = s->moved == s->most ? CLOSE_MS : s->idle_ms;

    if (ms > 0)
        uv_timer_start(&s->timer, on_timer, ms, 0);
    else
        uv_timer_stop(&s->timer);
}

/* ---- open, XEP-0047 section 2.1 */

static bool is_number(const char *text, size_t most_digits)
{
    size_t len = text ? strlen(text) : 0;

    return len > 0 && len <= most_digits && strspn(text, "0123456789") == len;
}

static void serve_open(struct ibb_in *s, xmpp_stanza_t *iq, xmpp_stanza_t *open)
{
    struct iq_table *table = s->home->client->iq;
    const char *size = stanza_attr(open, "block-size"), *stanza = stanza_attr(open, "stanza");
    unsigned long block = is_number(size, 9) ? strtoul(size, NULL, 10) : 0;
    struct error err;

    if (s->state != EXPECTED || (stanza && strcmp(stanza, "iq") != 0)) {
        iq_reply_error(table, iq, "cancel", "not-acceptable");
    } else if (block == 0 || block > IBB_IN_BLOCK) {
        iq_reply_error(table, iq, "modify", "bad-request");
    } else if (block > s->block_max) {
        iq_reply_error(table, iq, "modify", "resource-constraint"); /* he may come again with less */
    } else if (!s->events->opened(s->user, &s->most, &err)) {
        iq_reply_error(table, iq, "cancel", "not-acceptable");
    } else {
        s->state = OPEN;
        s->block = (unsigned)block;
        iq_reply_result(table, iq, NULL);
        wait_for_more(s);
    }
}

/* ---- data, section 2.2 */

static int digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

static size_t without_space(char *text)
{
    size_t len = 0;

    for (const char *at = text; *at; at++)
        if (!strchr(" \t\r\n", *at))
            text[len++] = *at;
    text[len] = '\0';
    return len;
}

/* In place. Strictly: no foreign characters, padding only at the end and in full (RFC 4648 section 4). */
static bool decode(char *text, size_t *out_len)
{
    size_t len = without_space(text), padding = 0, out = 0;

    if (len % 4 != 0)
        return false;
    while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < len; i += 4) {
        uint32_t bits = 0;

        for (size_t k = i; k < i + 4; k++) {
            int digit = k >= len - padding ? 0 : digit_of(text[k]);

            if (digit < 0)
                return false;
            bits = bits << 6 | (uint32_t)digit;
        }
        text[out++] = (char)(bits >> 16);
        text[out++] = (char)(bits >> 8);
        text[out++] = (char)bits;
    }
    *out_len = out - padding;
    return true;
}

/* XEP-0047 example 7 and the one behind it: the error, and then the close. */
static void refuse_data(struct ibb_in *s, xmpp_stanza_t *iq, const char *condition, enum error_code code,
                        const char *what)
{
    struct error err;

    iq_reply_error(s->home->client->iq, iq, "cancel", condition);
    error_set(&err, code, "%s sent %s after %llu bytes", s->peer->text, what, (unsigned long long)s->moved);
    fail(s, &err);
}

static void take_bytes(struct ibb_in *s, xmpp_stanza_t *iq, const char *data, size_t len)
{
    struct iq_table *table = s->home->client->iq;
    size_t fits = len <= s->most - s->moved ? len : (size_t)(s->most - s->moved);
    struct error err;

    s->seq++;
    if (fits > 0 && !s->events->bytes(s->user, data, fits, &err)) {
        iq_reply_error(table, iq, "wait", "resource-constraint");
        if (s->state == OPEN)
            fail(s, &err);
        return;
    }
    s->moved += fits;
    if (fits < len) {
        iq_reply_error(table, iq, "cancel", "not-acceptable");
        if (s->state == OPEN) {
            say_close(s);
            is_closed(s, true);
        }
        return;
    }
    iq_reply_result(table, iq, NULL);
    if (s->state == OPEN)
        wait_for_more(s);
}

static void serve_data(struct ibb_in *s, xmpp_stanza_t *iq, xmpp_stanza_t *data)
{
    const char *seq = stanza_attr(data, "seq");
    char none[] = "", *text = xmpp_stanza_get_text(data);
    size_t len;

    if (!is_number(seq, 19))
        refuse_data(s, iq, "bad-request", ERR_PEER_PROTOCOL_ERROR, "a block without a number");
    else if ((uint16_t)strtoull(seq, NULL, 10) != s->seq)
        refuse_data(s, iq, "unexpected-request", ERR_IBB_SEQUENCE_ERROR, "a block out of order");
    else if (!decode(text ? text : none, &len))
        refuse_data(s, iq, "bad-request", ERR_PEER_PROTOCOL_ERROR, "a block that is not base64");
    else if (len > s->block)
        refuse_data(s, iq, "bad-request", ERR_PEER_PROTOCOL_ERROR, "a larger block than was agreed on");
    else
        take_bytes(s, iq, text ? text : none, len);
    if (text)
        xmpp_free(s->home->client->ctx, text);
}

/* ---- who is meant */

static struct ibb_in *find(struct ibb_in_streams *streams, const struct jid *local, const struct jid *peer,
                           const char *sid)
{
    struct ibb_in *s;

    TAILQ_FOREACH(s, &streams->all, all)
    if (s->state != OVER && strcmp(s->sid, sid) == 0 && jid_equal(s->peer, peer) && jid_equal(s->local, local))
        return s;
    return NULL;
}

void ibb_in_serve(struct ibb_in_streams *streams, xmpp_stanza_t *iq, const struct jid *from, xmpp_stanza_t *payload)
{
    struct iq_table *table = streams->client->iq;
    const char *name = xmpp_stanza_get_name(payload), *sid = stanza_attr(payload, "sid");
    struct ibb_in *s = NULL;
    struct jid local;
    bool known = sid && stanza_to(iq, &streams->client->self, &local);

    if (known)
        s = find(streams, &local, from, sid);
    if (strcmp(name, "open") == 0) {
        if (known && !s && streams->stranger && streams->stranger(streams->stranger_user, &local, from, sid))
            s = find(streams, &local, from, sid);
        if (s)
            serve_open(s, iq, payload);
        else
            iq_reply_error(table, iq, "cancel", "not-acceptable");
    } else if (!s || s->state != OPEN) {
        iq_reply_error(table, iq, "cancel", "item-not-found");
    } else if (strcmp(name, "data") == 0) {
        serve_data(s, iq, payload);
    } else if (strcmp(name, "close") == 0) { /* section 2.3 */
        iq_reply_result(table, iq, NULL);
        is_closed(s, false);
    } else {
        iq_reply_error(table, iq, "modify", "bad-request");
    }
}

/* ---- life */

static void free_stream(uv_handle_t *timer)
{
    struct ibb_in *s = timer->data;

    free(s->local);
    free(s->peer);
    free(s->sid);
    free(s);
}

struct ibb_in *ibb_in_expect(struct client *c, const struct ibb_in_terms *terms, const struct ibb_in_events *events,
                             void *user, struct error *err)
{
    struct ibb_in *s;

    if (terms->sid[0] == '\0' || strlen(terms->sid) > IBB_IN_SID ||
        find(c->ibb_in, terms->local, terms->peer, terms->sid)) {
        error_set(err, ERR_PEER_PROTOCOL_ERROR, "%s chose a stream id that is in use, or none", terms->peer->text);
        return NULL;
    }
    s = calloc(1, sizeof *s);
    if (!s) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    s->home = c->ibb_in;
    s->events = events;
    s->user = user;
    s->local = jid_dup(terms->local);
    s->peer = jid_dup(terms->peer);
    s->sid = strdup(terms->sid);
    s->block_max = terms->block_max > 0 ? terms->block_max : IBB_IN_BLOCK;
    s->idle_ms = terms->idle_ms;
    uv_timer_init(c->loop, &s->timer);
    s->timer.data = s;
    TAILQ_INSERT_TAIL(&c->ibb_in->all, s, all);
    if (!s->local || !s->peer || !s->sid) {
        s->state = OVER;
        ibb_in_destroy(&s);
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    if (terms->open_ms > 0)
        uv_timer_start(&s->timer, on_timer, terms->open_ms, 0);
    return s;
}

void ibb_in_destroy(struct ibb_in **s)
{
    if (!*s)
        return;
    if ((*s)->state == OPEN)
        say_close(*s);
    stop(*s);
    TAILQ_REMOVE(&(*s)->home->all, *s, all);
    uv_close((uv_handle_t *)&(*s)->timer, free_stream);
    *s = NULL;
}

struct ibb_in_streams *ibb_in_streams_create(struct client *c)
{
    struct ibb_in_streams *streams = calloc(1, sizeof *streams);

    if (!streams)
        return NULL;
    streams->client = c;
    TAILQ_INIT(&streams->all);
    return streams;
}

void ibb_in_streams_destroy(struct ibb_in_streams **streams)
{
    assert(!*streams || TAILQ_EMPTY(&(*streams)->all));
    free(*streams);
    *streams = NULL;
}

void ibb_in_on_stranger(struct ibb_in_streams *streams, ibb_in_stranger_fn *ask, void *user)
{
    streams->stranger = ask;
    streams->stranger_user = user;
}
