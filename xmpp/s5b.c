/* xmpp/s5b.c - see s5b.h. The order of this file is the order of events. */
#include "xmpp/s5b.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alarm.h"
#include "base/buf.h"
#include "xmpp/ns.h"
#include "xmpp/proxies.h"
#include "xmpp/s5b_activation.h"
#include "xmpp/s5b_hosts.h"
#include "xmpp/stanza.h"

enum {
    PER_HOST_MS = 30 * 1000,           /* what the slowest clients give one streamhost */
    RESULT_MIN_MS = 60 * 1000,         /* for all of them together */
    RESULT_MAX_MS = 180 * 1000,        /* likewise */
    CLAIM_MS = 3 * 1000,               /* an answer can overtake the connection it speaks of */
    EXPECT_MARGIN_MS = CLAIM_MS + 1000 /* the listener waits a little longer than the question */
};

enum state {
    GATHERING,  /* proxies are being asked for their addresses */
    READY,      /* something can be offered */
    OFFERED,    /* the recipient tries our streamhosts */
    BINDING,    /* it reached our listener; the socket is not here yet */
    DIALING,    /* it reached a proxy; we go there too */
    ACTIVATING, /* both are there */
    OPEN,       /* the transfer may begin */
    STREAMING,
    OVER
};

struct s5b {
    struct method_host *host;
    struct client *client;
    s5b_ready_fn *ready;
    void *user;

    struct s5b_terms terms;
    struct jid *to, *from;
    struct file_range range;
    char sid[S5B_SID];
    struct offered_host *hosts; /* as many; no longer needed once bytes flow */
    size_t count;
    bool direct; /* hosts[0] is our own listener */

    enum state state;
    size_t used;         /* the streamhost in use */
    uint64_t gathering;  /* proxies_wait() */
    uint64_t question;   /* iq_ask() */
    struct alarm *timer; /* BINDING: the socket has to come now */
    struct s5b_activation *activation;
    struct carrier_stream *stream;
    bool claimed;       /* somebody reached our listener */
    struct error *lost; /* kept: how the stream failed while an answer was awaited; NULL: it did not */
    bool second_offer;  /* the one further offer was made */
    char *avoid;        /* the proxy it was made without; NULL: there was none */
};

/* ---- reports */

static void report(struct s5b *s, const struct method_report *r)
{
    s->host->ops->report(s->host, r);
}

static void step(struct s5b *s, enum step_direction direction, const char *name, const char *outcome,
                 const char *detail)
{
    s->host->ops->step(s->host, direction, name, outcome, detail);
}

/* Ends whatever could still call us. */
static void stop(struct s5b *s)
{
    proxies_forget(s->client->proxies, s->gathering);
    iq_forget(s->client->iq, s->question);
    s->gathering = s->question = 0;
    alarm_stop(&s->timer);
    s5b_activation_end(&s->activation);
    s->host->carrier->ops->close(&s->stream);
}

static void fail(struct s5b *s, const struct error *why)
{
    stop(s);
    s->state = OVER;
    report(s, &(struct method_report){.event = METHOD_FAILED, .error = *why});
}

static void open_for_bytes(struct s5b *s)
{
    s->state = OPEN;
    report(s, &(struct method_report){.event = METHOD_STREAM_OPEN});
}

/* An SI told the recipient that the file is empty, or it has all of it already; so it may hang up as soon as it has
 * answered. Everything there was to deliver is delivered. */
static bool nothing_to_send(const struct s5b *s)
{
    return !s->terms.bare && s->range.length == 0;
}

static void open_without_stream(struct s5b *s)
{
    s->host->carrier->ops->close(&s->stream);
    open_for_bytes(s);
}

static bool is_direct(const struct s5b *s)
{
    return s->direct && s->used == 0;
}

/* ---- gathering */

static bool gather(struct s5b *s, struct error *err)
{
    struct s5b_hosts found;
    struct offered_host *hosts;

    if (!s5b_gather(s->client, s->host->carrier, s->from, s->to, s->avoid ? s->avoid : "", &found, err))
        return false;
    hosts = s5b_hosts_keep(&found);
    if (!hosts)
        return error_set(err, ERR_INTERNAL, "out of memory");
    free(s->hosts);
    s->hosts = hosts;
    s->count = found.count;
    s->direct = found.direct;
    return true;
}

static void on_gathered(void *user)
{
    struct s5b *s = user;
    struct error err;

    s->gathering = 0;
    if (!s->client->online)
        error_set(&err, ERR_XMPP_DISCONNECTED, "not connected to the XMPP server");
    if (!s->client->online || !gather(s, &err)) {
        fail(s, &err);
        return;
    }
    s->state = READY;
    s->ready(s->user);
}

void s5b_destroy(struct s5b **stream)
{
    struct s5b *s = *stream;

    *stream = NULL;
    if (!s)
        return;
    stop(s);
    free(s->to);
    free(s->from);
    free(s->hosts);
    free(s->avoid);
    error_keep(&s->lost, NULL);
    free(s);
}

struct s5b *s5b_create(struct method_host *host, struct client *client, const struct s5b_terms *terms,
                       s5b_ready_fn *ready, void *user, struct error *err)
{
    struct s5b *s = calloc(1, sizeof *s);
    struct jid *to = jid_dup(terms->to), *from = jid_dup(client_sender(client, terms->from));

    if (!s || !to || !from) {
        free(s);
        free(to);
        free(from);
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    s->host = host;
    s->client = client;
    s->ready = ready;
    s->user = user;
    s->terms = *terms;
    s->to = to;
    s->terms.to = to;
    s->from = from;
    s->terms.from = from;
    s->range.length = terms->size;
    s5b_renew(s);
    s->gathering = proxies_wait(client->proxies, on_gathered, s);
    if (s->gathering == 0) {
        s5b_destroy(&s);
        error_set(err, ERR_INTERNAL, "out of memory");
    }
    return s;
}

const char *s5b_sid(const struct s5b *s)
{
    return s->sid;
}

void s5b_renew(struct s5b *s)
{
    assert(s->state <= READY);
    s5b_make_sid(s->sid);
}

void s5b_take(struct s5b *s, const struct file_range *range)
{
    s->range = *range;
}

/* ---- the offer */

static unsigned answer_ms(const struct s5b *s)
{
    unsigned ms = (unsigned)s->count * PER_HOST_MS, least = RESULT_MIN_MS;

    if (s->terms.answer_ms > 0)
        return s->terms.answer_ms;
    if (least < s->terms.connect_ms)
        least = s->terms.connect_ms;
    if (ms < least)
        ms = least;
    return ms < RESULT_MAX_MS ? ms : RESULT_MAX_MS;
}

static xmpp_stanza_t *build_offer(const struct s5b *s)
{
    xmpp_ctx_t *ctx = s->client->ctx;
    xmpp_stanza_t *query = stanza_new(ctx, "query", NS_BYTESTREAMS);

    query = stanza_set(stanza_set(query, "sid", s->sid), "mode", "tcp");
    for (size_t i = 0; i < s->count; i++) {
        xmpp_stanza_t *host = stanza_set(stanza_new(ctx, "streamhost", NULL), "jid", s->hosts[i].jid);
        char port[8];

        snprintf(port, sizeof port, "%u", s->hosts[i].port);
        query = stanza_add(query, stanza_set(stanza_set(host, "host", s->hosts[i].host), "port", port));
    }
    return stanza_iq(ctx, "set", query);
}

static void on_carrier(void *user, const struct carrier_event *event);

/* From now on the listener knows the names, so that a peer quicker than its own answer is let in. */
static bool expect_peer(struct s5b *s, struct error *err)
{
    struct carrier *carrier = s->host->carrier;
    char names[CARRIER_NAMES][S5B_NAME];
    const char *list[CARRIER_NAMES];
    size_t count = s5b_names(s->sid, s->from->text, s->to->text, names);

    if (count == 0)
        return error_set(err, ERR_INTERNAL, "no SHA-1 for the bytestream's name");
    for (size_t i = 0; i < count; i++)
        list[i] = names[i];
    s->stream = carrier->ops->open(carrier, on_carrier, s, err);
    return s->stream && carrier->ops->expect(s->stream, list, count, answer_ms(s) + EXPECT_MARGIN_MS, err);
}

static void step_offered(struct s5b *s)
{
    struct buf text = {0};

    for (size_t i = 0; i < s->count; i++)
        buf_printf(&text, "%s%s", i > 0 ? ", " : "", i == 0 && s->direct ? "direct" : s->hosts[i].jid);
    step(s, STEP_SENT, s->terms.bare ? "offer s5b" : "streamhosts", "", text.failed ? "" : text.data);
    buf_free(&text);
}

static void on_answer(void *user, const struct iq_reply *reply);

void s5b_offer(struct s5b *s)
{
    xmpp_stanza_t *iq = NULL;
    struct error err;

    assert(s->state == READY);
    if (s->direct && !expect_peer(s, &err)) {
        fail(s, &err);
        return;
    }
    iq = build_offer(s);
    s->question = iq_ask_as(s->client->iq, iq, s->from, s->to, answer_ms(s), on_answer, s, &err);
    if (iq)
        xmpp_stanza_release(iq);
    if (!s->question) {
        fail(s, &err);
        return;
    }
    s->state = OFFERED;
    step_offered(s);
}

/* ---- the answer */

static void read_refusal(const struct s5b *s, const struct iq_reply *reply, struct error *err)
{
    const struct {
        const char *condition;
        enum error_code code;
        const char *says;
    } meanings[] = {
        {"not-acceptable", s->terms.not_acceptable, "does not want the bytestream"},
        {"item-not-found", ERR_STREAMHOSTS_UNREACHABLE, "reached none of the streamhosts"},
        /* what XEP-0065 before 1.8 said for the same, and Psi still says */
        {"remote-server-not-found", ERR_STREAMHOSTS_UNREACHABLE, "reached none of the streamhosts"},
        {"bad-request", ERR_PEER_PROTOCOL_ERROR, "did not understand the streamhosts"},
        {"service-unavailable", ERR_METHOD_UNSUPPORTED, "takes no bytestreams"},
        {"feature-not-implemented", ERR_METHOD_UNSUPPORTED, "takes no bytestreams"},
    };

    for (size_t i = 0; reply->outcome == IQ_ERROR && i < sizeof meanings / sizeof *meanings; i++) {
        if (strcmp(reply->condition, meanings[i].condition) == 0) {
            error_set(err, meanings[i].code, "%s %s (%s%s%s)", s->to->text, meanings[i].says, reply->condition,
                      reply->text[0] ? ": " : "", reply->text);
            return;
        }
    }
    iq_error(reply, s->to->text, err);
}

/* Addresses compare prepared: some clients spell the domain their own way. */
static bool find_host(const struct s5b *s, const char *jid, size_t *index)
{
    struct jid told, known;

    if (!jid || !jid_parse(&told, jid, strlen(jid), NULL))
        return false;
    for (size_t i = 0; i < s->count; i++) {
        if (jid_parse(&known, s->hosts[i].jid, strlen(s->hosts[i].jid), NULL) && jid_equal(&told, &known)) {
            *index = i;
            return true;
        }
    }
    return false;
}

static void bind_direct(struct s5b *s);
static void dial(struct s5b *s);

static void on_answer(void *user, const struct iq_reply *reply)
{
    struct s5b *s = user;
    xmpp_stanza_t *query = stanza_child(reply->stanza, "query", NS_BYTESTREAMS);
    const char *jid = stanza_attr(stanza_child(query, "streamhost-used", NULL), "jid");
    struct error err;

    s->question = 0;
    if (reply->outcome != IQ_RESULT) {
        read_refusal(s, reply, &err);
        step(s, STEP_RECEIVED, "streamhost-used", reply->outcome == IQ_TIMEOUT ? "timeout" : "error", err.text);
        fail(s, &err);
        return;
    }
    if (!find_host(s, jid, &s->used)) {
        error_set(&err, ERR_PEER_PROTOCOL_ERROR, "%s says it uses the streamhost '%s', which was not offered",
                  s->to->text, jid ? jid : "");
        step(s, STEP_RECEIVED, "streamhost-used", "error", err.text);
        fail(s, &err);
        return;
    }
    step(s, STEP_RECEIVED, "streamhost-used", "ok", s->hosts[s->used].jid);
    s->host->ops->chose(s->host, is_direct(s) ? "direct" : "proxy", s->hosts[s->used].jid);
    if (s->terms.bare && !s->second_offer)
        report(s, &(struct method_report){.event = METHOD_ACCEPTED});
    if (is_direct(s))
        bind_direct(s);
    else
        dial(s);
}

/* ---- direct: the socket at our listener */

static void on_unclaimed(void *user)
{
    struct s5b *s = user;
    struct error err;

    error_set(&err, ERR_STREAMHOSTS_UNREACHABLE, "%s says it reached this gateway directly, but no connection came",
              s->to->text);
    fail(s, &err);
}

static void bind_direct(struct s5b *s)
{
    struct error err;

    if (s->lost && nothing_to_send(s)) {
        open_without_stream(s);
    } else if (s->lost) {
        fail(s, s->lost);
    } else if (s->claimed) {
        open_for_bytes(s);
    } else {
        s->state = BINDING;
        if (!alarm_set(&s->timer, s->host->loop, CLAIM_MS, on_unclaimed, s)) {
            error_set(&err, ERR_INTERNAL, "out of memory");
            fail(s, &err);
        }
    }
}

/* ---- a proxy: going there */

static bool dial_host(struct s5b *s, const struct offered_host *h, struct error *err)
{
    struct carrier *carrier = s->host->carrier;
    struct carrier_address address = {.port = h->port};
    char name[S5B_NAME], detail[sizeof address.host + 8];

    snprintf(address.host, sizeof address.host, "%s", h->host);
    snprintf(detail, sizeof detail, strchr(h->host, ':') ? "[%s]:%u" : "%s:%u", h->host, h->port);
    carrier->ops->close(&s->stream); /* the listener's, or that of an address that failed */
    error_keep(&s->lost, NULL);
    if (!s5b_name(s->sid, s->from->text, s->to->text, name))
        return error_set(err, ERR_INTERNAL, "no SHA-1 for the bytestream's name");
    s->stream = carrier->ops->open(carrier, on_carrier, s, err);
    /* Trusted: the operator named this proxy, or our own server did. */
    if (!s->stream || !carrier->ops->dial(s->stream, &address, true, name, err))
        return false;
    step(s, STEP_SENT, "socks5 connect", "", detail);
    return true;
}

static void dial(struct s5b *s)
{
    struct error err;

    s->state = DIALING;
    if (!dial_host(s, &s->hosts[s->used], &err))
        fail(s, &err);
}

/* Offers once more, without the proxy that let us down. A bare offer costs nobody anything; one that followed an SI is
 * spoken for: its id is used up, and a new SI would ask a person the same question again. */
static bool offer_again(struct s5b *s)
{
    if (!s->terms.bare || s->second_offer)
        return false;
    s->avoid = strdup(s->hosts[s->used].jid);
    if (!s->avoid || !gather(s, NULL))
        return false;
    stop(s);
    s->state = READY;
    s->second_offer = true;
    s->claimed = false;
    error_keep(&s->lost, NULL);
    s5b_renew(s);
    s5b_offer(s);
    return true;
}

/* The chosen proxy is of no use before a byte was sent. faulty: nor will it be to others for a while. */
static void proxy_lost(struct s5b *s, const struct error *why, bool faulty)
{
    struct error gone;

    if (!s->client->online) { /* the proxy went with its server: nobody's fault, and the session's return is awaited */
        error_set(&gone, ERR_XMPP_DISCONNECTED, "the XMPP server went away while the proxy was used");
        fail(s, &gone);
        return;
    }
    if (faulty)
        proxies_failed(s->client->proxies, s->hosts[s->used].jid, why);
    if (!offer_again(s))
        fail(s, why);
}

/* Several addresses under one JID are tried in the order learnt: which of them the recipient took is not said. */
static void dial_failed(struct s5b *s, const struct error *why)
{
    struct error err;

    step(s, STEP_RECEIVED, "socks5 connect", "error", why->text);
    for (size_t i = s->used + 1; i < s->count; i++) {
        if (strcmp(s->hosts[i].jid, s->hosts[s->used].jid) == 0) {
            s->used = i;
            dial(s);
            return;
        }
    }
    if (why->code == ERR_SYSTEM || why->code == ERR_INTERNAL) {
        fail(s, why);
        return;
    }
    error_set(&err, ERR_PROXY_UNAVAILABLE, "the proxy %s, which the recipient reached, is out of our reach: %s",
              s->hosts[s->used].jid, why->text);
    proxy_lost(s, &err, true);
}

/* ---- a proxy: activation */

static void on_activated(void *user, const struct error *why, bool faulty);

static void activate(struct s5b *s)
{
    struct error err;

    s->state = ACTIVATING;
    s->activation =
        s5b_activate(s->host, s->client, s->hosts[s->used].jid, s->sid, s->from, s->to, on_activated, s, &err);
    if (!s->activation)
        fail(s, &err);
}

/* The proxy is left with one side: see nothing_to_send(). */
static bool nothing_was_left(const struct s5b *s, const struct error *why)
{
    return nothing_to_send(s) && (why->code == ERR_PROXY_PAIR_INCOMPLETE || why->code == ERR_PROXY_HASH_MISMATCH);
}

static void on_activated(void *user, const struct error *why, bool faulty)
{
    struct s5b *s = user;
    struct error err;

    if (why && why->code == ERR_XMPP_DISCONNECTED) {
        fail(s, why);
    } else if (why && nothing_was_left(s, why)) {
        open_without_stream(s);
    } else if (why) {
        proxy_lost(s, why, faulty);
    } else if (!s->lost) {
        open_for_bytes(s);
    } else {
        error_set(&err, ERR_PROXY_FAILED, "the proxy %s closed the connection it had activated: %s",
                  s->hosts[s->used].jid, s->lost->text);
        proxy_lost(s, &err, true);
    }
}

/* ---- bytes */

static void complete(struct s5b *s, uint64_t moved)
{
    enum proof proof = is_direct(s) ? PROOF_PEER_CLOSED : PROOF_PROXY_ACCEPTED;

    stop(s);
    s->state = OVER;
    report(s, &(struct method_report){.event = METHOD_COMPLETE, .moved = s->range.offset + moved, .proof = proof});
}

void s5b_stream(struct s5b *s, struct shared_fd *file)
{
    struct error err;

    if (s->state != OPEN) /* it failed while the transfer was on its way here, and said so */
        return;
    if (!s->stream) {
        complete(s, 0); /* nothing_was_left() */
        return;
    }
    s->state = STREAMING;
    s5b_activation_end(&s->activation);
    free(s->hosts);
    s->hosts = NULL;
    if (!s->host->carrier->ops->send(s->stream, file, s->host->feed, s->range.offset, s->range.length, &err))
        fail(s, &err);
}

static void progress(struct s5b *s, uint64_t moved)
{
    if (moved > 0)
        report(s, &(struct method_report){.event = METHOD_PROGRESS, .moved = s->range.offset + moved});
}

/* What it means that the stream failed depends on what is awaited. */
static void stream_failed(struct s5b *s, const struct carrier_event *event)
{
    switch (s->state) {
    case OFFERED:    /* the recipient may have taken another streamhost */
    case ACTIVATING: /* the proxy says why in its answer */
        error_keep(&s->lost, &event->error);
        break;
    case DIALING:
        dial_failed(s, &event->error);
        break;
    case OPEN:
        if (nothing_to_send(s)) {
            s->host->carrier->ops->close(&s->stream);
            break;
        }
        fail(s, &event->error);
        break;
    case STREAMING:
        if (nothing_to_send(s)) {
            complete(s, 0);
            break;
        }
        progress(s, event->moved);
        fail(s, &event->error);
        break;
    case BINDING:
        fail(s, &event->error);
        break;
    case GATHERING:
    case READY:
    case OVER:
        break;
    }
}

static void on_carrier(void *user, const struct carrier_event *event)
{
    struct s5b *s = user;

    switch (event->kind) {
    case CARRIER_CLAIMED:
        s->claimed = true;
        if (s->state == BINDING) {
            alarm_stop(&s->timer);
            open_for_bytes(s);
        }
        break;
    case CARRIER_DIALED:
        step(s, STEP_RECEIVED, "socks5 connect", "ok", s->hosts[s->used].jid);
        activate(s);
        break;
    case CARRIER_PROGRESS:
        progress(s, event->moved);
        break;
    case CARRIER_DONE:
        progress(s, event->moved);
        complete(s, event->moved);
        break;
    case CARRIER_FAILED:
        stream_failed(s, event);
        break;
    }
}
