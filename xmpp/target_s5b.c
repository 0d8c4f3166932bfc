/* xmpp/target_s5b.c - a bytestream offered to us (XEP-0065 section 5.3): its streamhosts are asked in the order they
 * are listed, and the first that knows the stream is the answer.
 *
 * The sender says where we connect to. So each address passes the carrier's egress filter, eight of them are tried, and
 * when none was reached the answer comes at times that tell nothing of why: a second after the question, or at a
 * multiple of five. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "xmpp/ns.h"
#include "xmpp/proxies.h"
#include "xmpp/rooms.h"
#include "xmpp/s5b_hosts.h"
#include "xmpp/stanza.h"
#include "xmpp/target_parts.h"

enum {
    TRIED_MAX = 8,        /* of which so many are connected to; those that are blocked cost nobody anything */
    HOSTS_MAX = 20,       /* in one offer */
    DIALLING = 32,        /* connections being made at once, for everybody */
    HOST_MS = 6 * 1000,   /* for one streamhost with all its addresses; some senders wait ten seconds for the answer */
    LAST_MS = 15 * 1000,  /* for the last of them */
    ALL_MS = 90 * 1000,   /* for all of them, with the wait for a turn */
    FIRST_MS = 1000,      /* the soonest failure is told */
    ROUND_MS = 5 * 1000,  /* and later ones at multiples of that */
    EMPTY_MS = 10 * 1000, /* for the end of an empty file, which libpurple never comes to */
    PORT_DEFAULT = 1080   /* XEP-0065 before 1.8 allowed to leave it out */
};

static const struct iq_refusal bad_request = {.type = "modify", .condition = "bad-request", .code = 400};
static const struct iq_refusal not_acceptable = {.type = "modify", .condition = "not-acceptable", .code = 406};
static const struct iq_refusal in_use = {.type = "modify",
                                         .condition = "not-acceptable",
                                         .code = 406,
                                         .text = "There is a bytestream under that id already"};
static const struct iq_refusal not_reached = {.type = "cancel", .condition = "item-not-found", .code = 404};
static const struct iq_refusal busy = {.type = "wait", .condition = "resource-constraint", .code = 500};

/* ---- reading */

static bool read_port(const char *text, uint16_t *port)
{
    size_t len = text ? strlen(text) : 0;
    unsigned long n = PORT_DEFAULT;

    if (text)
        n = len > 0 && len <= 5 && strspn(text, "0123456789") == len ? strtoul(text, NULL, 10) : 0;
    *port = (uint16_t)n;
    return n > 0 && n <= UINT16_MAX;
}

static bool has_jid(xmpp_stanza_t *element)
{
    const char *name = stanza_attr(element, "jid");
    struct jid jid;

    return name && jid_parse(&jid, name, strlen(name), NULL);
}

/* XEP-0065 section 5.3.2, errors of section 5.3.1. NULL: well-formed, and a stream of ours to be. */
static const struct iq_refusal *check_query(xmpp_stanza_t *query)
{
    const char *sid = stanza_attr(query, "sid"), *mode = stanza_attr(query, "mode");
    size_t listed = 0;

    if (strcmp(xmpp_stanza_get_name(query), "query") != 0 || !sid || !*sid || strlen(sid) > TARGET_SID)
        return &bad_request;
    for (xmpp_stanza_t *h = stanza_child(query, "streamhost", NULL); h; h = stanza_next(h, "streamhost", NULL))
        if (++listed > HOSTS_MAX || !has_jid(h))
            return &bad_request;
    if (listed == 0)
        return &bad_request;
    return mode && strcmp(mode, "tcp") != 0 ? &not_acceptable : NULL;
}

/* What cannot be connected to is passed over. */
static bool read_host(xmpp_stanza_t *element, struct offered_host *out)
{
    *out = (struct offered_host){.jid = stanza_attr(element, "jid"), .host = stanza_attr(element, "host")};
    return out->host && *out->host && strlen(out->host) < sizeof(((struct carrier_address *)NULL)->host) &&
           read_port(stanza_attr(element, "port"), &out->port);
}

/* The JIDs stay as they are written, since the answer repeats one. */
static bool keep_hosts(struct target_file *f, xmpp_stanza_t *query)
{
    struct offered_host hosts[HOSTS_MAX];
    size_t count = 0, size;
    char *texts;

    for (xmpp_stanza_t *h = stanza_child(query, "streamhost", NULL); h; h = stanza_next(h, "streamhost", NULL))
        count += read_host(h, &hosts[count]);
    size = (count + 1) * sizeof *hosts;
    for (size_t i = 0; i < count; i++)
        size += strlen(hosts[i].jid) + strlen(hosts[i].host) + 2;
    f->hosts = malloc(size);
    if (!f->hosts)
        return false;
    f->host_count = count;
    texts = (char *)(f->hosts + count);
    for (size_t i = 0; i < count; i++) {
        f->hosts[i] = (struct offered_host){.jid = texts, .port = hosts[i].port};
        f->hosts[i].host = texts = stpcpy(texts, hosts[i].jid) + 1;
        texts = stpcpy(texts, hosts[i].host) + 1;
    }
    return true;
}

/* `dstaddr` would have us ask for any name, and so for the other half of a stranger's stream at a proxy. It counts only
 * where it is a name that the stream may have, or cannot be told from our side, because the sender is in a room and
 * hides his address. */
static bool may_be_named(const struct target_file *f, const char *told, char (*names)[S5B_NAME], size_t count)
{
    if (!told || strlen(told) != S5B_NAME - 1 || strspn(told, "0123456789abcdef") != S5B_NAME - 1)
        return false;
    for (size_t i = 0; i < count; i++)
        if (strcmp(told, names[i]) == 0)
            return true;
    return rooms_occupant(f->home->client->rooms, f->peer);
}

static bool name_stream(struct target_file *f, xmpp_stanza_t *query)
{
    char names[CARRIER_NAMES][S5B_NAME];
    size_t count = s5b_names(f->sid, f->peer->text, f->local->text, names);
    const char *told = stanza_attr(query, "dstaddr");

    if (count == 0)
        return false;
    snprintf(f->names[f->name_count++], S5B_NAME, "%s", may_be_named(f, told, names, count) ? told : names[0]);
    if (count > 2 && strcmp(f->names[0], names[0]) == 0) /* QXmpp's way, where something is not ASCII */
        snprintf(f->names[f->name_count++], S5B_NAME, "%s", names[2]);
    return true;
}

/* ---- answering */

/* What of the question an answer needs. */
static xmpp_stanza_t *keep_question(xmpp_ctx_t *ctx, xmpp_stanza_t *iq)
{
    xmpp_stanza_t *kept = stanza_set(stanza_new(ctx, "iq", NULL), "type", "set");

    kept = stanza_set(stanza_set(kept, "from", stanza_attr(iq, "from")), "to", stanza_attr(iq, "to"));
    return stanza_set(kept, "id", stanza_attr(iq, "id"));
}

static void forget_question(struct target_file *f)
{
    if (f->question)
        xmpp_stanza_release(f->question);
    f->question = NULL;
}

static void refuse(struct target_file *f, const struct iq_refusal *refusal)
{
    if (f->question)
        iq_refuse(f->home->client->iq, f->question, refusal);
    forget_question(f);
}

static bool say_used(struct target_file *f)
{
    struct client *c = f->home->client;
    xmpp_stanza_t *used = stanza_set(stanza_new(c->ctx, "streamhost-used", NULL), "jid", f->hosts[f->host].jid);
    xmpp_stanza_t *query = stanza_add(stanza_set(stanza_new(c->ctx, "query", NS_BYTESTREAMS), "sid", f->sid), used);

    if (!query)
        return false;
    iq_reply_result(c->iq, f->question, query);
    xmpp_stanza_release(query);
    forget_question(f);
    return true;
}

/* ---- none was reached */

static void close_stream(struct target_file *f)
{
    struct carrier *carrier = f->home->client->receiver->carrier;

    if (!f->stream)
        return;
    carrier->ops->close(&f->stream);
    if (f->state == TARGET_DIALLING)
        f->home->dialling--;
}

static void lost(struct target_file *f)
{
    int64_t passed = clock_ms() - f->asked;
    int64_t left = passed < FIRST_MS ? FIRST_MS - passed : ROUND_MS - passed % ROUND_MS;

    f->state = TARGET_LOST;
    target_in(f, (unsigned)left);
}

static void tell_lost(struct target_file *f)
{
    struct error err;

    refuse(f, &not_reached);
    target_step(f, STEP_SENT, "streamhost-used", "item-not-found", "none of the streamhosts was reached");
    if (f->inband) { /* XEP-0096: the sender may go on under the same id */
        f->takes_s5b = false;
        f->state = TARGET_ANNOUNCED;
        target_in(f, TARGET_IBB_MS);
        return;
    }
    error_set(&err, ERR_STREAMHOSTS_UNREACHABLE, "none of the streamhosts that %s named was reached", f->peer->text);
    target_end(f, &err);
}

/* ---- one was reached */

static bool is_senders_own(const struct target_file *f)
{
    const char *name = f->hosts[f->host].jid;
    struct jid jid;

    return jid_parse(&jid, name, strlen(name), NULL) && jid_equal(&jid, f->peer);
}

static void reached(struct target_file *f)
{
    const struct receiver *r = f->home->client->receiver;
    struct shared_fd *file;
    struct error err;

    f->state = TARGET_FLOWING;
    f->home->dialling--;
    uv_timer_stop(&f->timer);
    r->ops->chose(f->reception, is_senders_own(f) ? "direct" : "proxy", f->hosts[f->host].jid);
    file = r->ops->begin(f->reception, f->offset, &f->most, &err);
    if (!file) {
        refuse(f, &busy);
        target_end(f, &err);
        return;
    }
    if (!say_used(f)) {
        error_set(&err, ERR_INTERNAL, "out of memory");
        target_end(f, &err);
        return;
    }
    target_step(f, STEP_SENT, "streamhost-used", "ok", f->hosts[f->host].jid);
    ibb_in_destroy(&f->inband); /* it goes this way now */
    free(f->hosts);
    f->hosts = NULL;
    /* Of an empty file the end is all there is, and a sender still on his way to a proxy must find us there. */
    if (f->most == 0)
        target_in(f, EMPTY_MS);
    if (!r->carrier->ops->receive(f->stream, file, f->offset, f->most > 0 ? f->most : 1, &err))
        target_end(f, &err);
    else
        target_s5b_turn(f->home);
}

/* ---- one after the other */

static void dial(struct target_file *f);

static void next_host(struct target_file *f)
{
    f->host++;
    f->name = 0;
    dial(f);
}

/* Who listens under QXmpp's name for the stream does so at the same address. */
static void not_reached_there(struct target_file *f, const struct error *why)
{
    char detail[256];

    log_info("target.streamhost_failed", log_str("peer", f->peer->text), log_str("host", f->hosts[f->host].host),
             log_int("port", f->hosts[f->host].port), log_str("error", why->text));
    snprintf(detail, sizeof detail, "%.200s: %s", f->hosts[f->host].jid, error_name(why->code));
    target_step(f, STEP_LOCAL, "streamhost", "error", detail);
    close_stream(f);
    if (why->code != ERR_EGRESS_BLOCKED && f->name + 1 < f->name_count) {
        f->name++;
        dial(f);
    } else {
        f->tried += why->code != ERR_EGRESS_BLOCKED;
        next_host(f);
    }
}

static void on_flow(struct target_file *f, const struct carrier_event *event)
{
    uint64_t moved = event->moved < f->most ? event->moved : f->most;

    if (event->kind == CARRIER_DONE) {
        target_complete(f, moved, event->extra || event->moved > f->most);
    } else if (event->kind == CARRIER_FAILED && f->most == 0) {
        target_complete(f, 0, false);
    } else {
        f->home->client->receiver->ops->moved(f->reception, moved);
        if (event->kind == CARRIER_FAILED)
            target_end(f, &event->error);
    }
}

static void on_carrier(void *user, const struct carrier_event *event)
{
    struct target_file *f = user;

    if (f->state == TARGET_FLOWING) {
        on_flow(f, event);
    } else if (f->state == TARGET_DIALLING && event->kind == CARRIER_DIALED) {
        reached(f);
    } else if (f->state == TARGET_DIALLING && event->kind == CARRIER_FAILED) {
        not_reached_there(f, &event->error);
        target_s5b_turn(f->home);
    }
}

/* Asks the present streamhost, or the next one that can be asked. */
static void dial(struct target_file *f)
{
    struct client *c = f->home->client;
    struct carrier *carrier = c->receiver->carrier;
    const struct offered_host *h = &f->hosts[f->host];
    struct carrier_address to;
    struct error err;

    if (f->host >= f->host_count || f->tried >= TRIED_MAX || clock_ms() - f->asked >= ALL_MS) {
        lost(f);
        return;
    }
    f->waits = f->home->dialling >= DIALLING;
    if (f->waits)
        return;
    to.port = h->port;
    snprintf(to.host, sizeof to.host, "%s", h->host);
    f->stream = carrier->ops->open(carrier, on_carrier, f, &err);
    if (f->stream) {
        f->home->dialling++;
        if (carrier->ops->dial(f->stream, &to, proxies_know(c->proxies, to.host, to.port), f->names[f->name], &err)) {
            target_in(f, f->host + 1 < f->host_count ? HOST_MS : LAST_MS);
            return;
        }
    }
    not_reached_there(f, &err); /* twenty at most, so no deep recursion */
}

void target_s5b_turn(struct target *t)
{
    struct target_file *f;

    DL_FOREACH(t->files, f)
    if (f->state == TARGET_DIALLING && f->waits && t->dialling < DIALLING)
        dial(f); /* which ends no file */
}

void target_s5b_timeout(struct target_file *f)
{
    struct error err;

    if (f->state == TARGET_LOST) {
        tell_lost(f);
        return;
    }
    if (f->waits) {
        f->waits = false;
        lost(f);
        return;
    }
    error_set(&err, ERR_STREAMHOSTS_UNREACHABLE, "the streamhost did not answer in time");
    not_reached_there(f, &err);
    target_s5b_turn(f->home);
}

void target_s5b_end(struct target_file *f)
{
    refuse(f, &not_acceptable);
    close_stream(f);
    free(f->hosts);
    f->hosts = NULL;
}

/* ---- the offer */

static bool start(struct target_file *f, xmpp_stanza_t *iq, xmpp_stanza_t *query)
{
    char detail[64];

    f->question = keep_question(f->home->client->ctx, iq);
    if (!f->question || !keep_hosts(f, query) || !name_stream(f, query)) {
        forget_question(f);
        return false;
    }
    f->asked = clock_ms();
    f->takes_s5b = false;
    f->state = TARGET_DIALLING;
    snprintf(detail, sizeof detail, "%zu streamhosts", f->host_count);
    target_step(f, STEP_RECEIVED, "streamhosts", "ok", detail);
    target_in(f, ALL_MS);
    dial(f);
    return true;
}

/* A bytestream that nothing announced: neither a name nor a size is known, its end is the file's. */
static struct target_file *take_bare(struct target *t, const struct jid *local, const struct jid *from, const char *sid,
                                     const struct iq_refusal **refusal)
{
    struct incoming offer = {.from = from, .to = local, .method = "s5b", .size = -1};
    struct error err;
    struct target_file *f = target_receives(t, local) ? target_take(t, &offer, sid, &err) : NULL;

    if (f)
        f->takes_s5b = true;
    *refusal = f ? NULL : &not_acceptable;
    return f;
}

static const struct iq_refusal *serve(struct target *t, xmpp_stanza_t *iq, const struct jid *from, xmpp_stanza_t *query)
{
    const struct iq_refusal *refusal = check_query(query);
    const char *sid = stanza_attr(query, "sid");
    struct target_file *f;
    struct error err;
    struct jid local;

    if (refusal)
        return refusal;
    if (!stanza_to(iq, &t->client->self, &local))
        return &bad_request;
    f = target_find(t, &local, from, sid);
    if (!f)
        f = take_bare(t, &local, from, sid, &refusal);
    else if (!f->takes_s5b || f->state != TARGET_ANNOUNCED)
        return f->state == TARGET_ANNOUNCED ? &not_acceptable : &in_use;
    if (!f || start(f, iq, query))
        return refusal;
    error_set(&err, ERR_INTERNAL, "out of memory");
    target_end(f, &err);
    return &busy;
}

bool target_serve_s5b(void *target, xmpp_stanza_t *iq, const struct jid *from, xmpp_stanza_t *payload)
{
    struct target *t = target;
    const struct iq_refusal *refusal = serve(t, iq, from, payload);

    if (refusal)
        iq_refuse(t->client->iq, iq, refusal);
    return true;
}
