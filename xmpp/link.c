/* xmpp/link.c - the last rung: the file is put where it can be fetched, and the recipient's bare JID is told where. The
 * server keeps that message for who is offline, so nobody need be there.
 *
 * There are two ways to a link, and [delivery] link says in which order they are tried: "upload", the server's own
 * service (XEP-0363), and "own", the gateway's HTTP side, where nothing has to be moved. A way that fails leaves the
 * next one to be tried; once a message is on its way there is no other. */
#include <stdlib.h>
#include <string.h>

#include "gateway/http_put.h"
#include "xmpp/announcement.h"
#include "xmpp/methods.h"
#include "xmpp/upload_service.h"

enum { STALL_MS = 60 * 1000 };

struct method {
    struct method_host *host;
    struct client *client;
    struct jid *to, *from;
    bool to_one;
    char *name, *type, *caption, *sha256;
    uint64_t size;

    char *const *way; /* the one being tried, then those left; NULL at the end */
    struct error why; /* of those that failed, the most telling */
    int64_t retry_at;

    bool streaming; /* the host has given the file: */
    int fd;

    uint64_t asking, putting; /* tickets */
    struct upload_slot *slot; /* NULL: the link is our own */
    char url[METHOD_URL];     /* of our own link */
    struct announcement announcement;
    struct announcing *announcing;
};

static void report(struct method *m, enum method_event event, uint64_t moved)
{
    const struct method_report r = {.event = event, .moved = moved};

    m->host->ops->report(m->host, &r);
}

static void fail(struct method *m, const struct error *err)
{
    const struct method_report r = {.event = METHOD_FAILED, .error = *err, .retry_at = m->retry_at};

    m->host->ops->report(m->host, &r);
}

/* ---- the message */

static void on_announced(void *user, const struct error *err)
{
    struct method *m = user;
    char at[LINK_ORIGIN];
    /* of a link of our own nothing has moved yet */
    const struct method_report r = {
        .event = METHOD_LINK_SENT, .moved = m->slot ? m->size : 0, .link_at = at, .own_link = !m->slot};

    m->announcing = NULL;
    link_origin(m->announcement.url, at);
    if (err)
        fail(m, err);
    else
        m->host->ops->report(m->host, &r);
}

static void announce_link(struct method *m)
{
    struct error err;

    m->retry_at = 0;
    m->announcement = (struct announcement){.to = m->to,
                                            .from = m->from,
                                            .to_one = m->to_one,
                                            .url = m->slot ? m->slot->get : m->url,
                                            .name = m->name,
                                            .type = m->type,
                                            .size = m->size,
                                            .sha256 = m->sha256 ? m->sha256 : m->host->sha256,
                                            .caption = m->caption};
    m->announcing = announce(m->client, m->host, &m->announcement, on_announced, m, &err);
    if (!m->announcing)
        fail(m, &err);
}

/* ---- one way after the other */

static bool ask_for_slot(struct method *m, struct error *err);
static void put(struct method *m);

/* The way is open: the bytes are asked for, unless an earlier way had them already. */
static void proceed(struct method *m)
{
    if (!m->streaming) {
        report(m, METHOD_ACCEPTED, 0);
        report(m, METHOD_STREAM_OPEN, 0);
    } else if (m->slot) {
        put(m);
    } else {
        announce_link(m);
    }
}

static bool publish(struct method *m, struct error *err)
{
    if (!m->host->ops->publish(m->host, m->url, err))
        return false;
    proceed(m);
    return true;
}

/* That a way is not there says nothing when another one failed. */
static void note(struct method *m, const struct error *err)
{
    if (m->why.code == ERR_NONE || err->code != ERR_METHOD_UNSUPPORTED)
        m->why = *err;
}

/* false: none is left, and m->why says why. */
static bool begin_way(struct method *m)
{
    struct error err;

    for (; *m->way; m->way++) {
        bool own = strcmp(*m->way, "own") == 0;

        if (own ? publish(m, &err) : ask_for_slot(m, &err))
            return true;
        m->host->ops->step(m->host, STEP_LOCAL, own ? "own link" : "upload slot", error_name(err.code), err.text);
        note(m, &err);
    }
    return false;
}

/* Without a session no other way leads anywhere either. */
static void next_way(struct method *m, const char *step, const struct error *err, int64_t retry_at)
{
    m->host->ops->step(m->host, STEP_RECEIVED, step, error_name(err->code), err->text);
    note(m, err);
    m->retry_at = retry_at;
    free(m->slot);
    m->slot = NULL;
    m->way++;
    if (err->code == ERR_XMPP_DISCONNECTED || !begin_way(m))
        fail(m, &m->why);
}

/* ---- the server's service */

static void on_progress(void *user, uint64_t sent)
{
    report(user, METHOD_PROGRESS, sent);
}

static void on_put(void *user, const struct error *err)
{
    struct method *m = user;

    m->putting = 0;
    if (err) {
        next_way(m, "upload", err, 0);
        return;
    }
    m->host->ops->step(m->host, STEP_RECEIVED, "upload", "ok", "");
    announce_link(m);
}

static void put(struct method *m)
{
    struct http *http = m->client->http;
    const struct http_put p = {
        .url = m->slot->put,
        .type = m->type,
        .headers = m->slot->headers,
        .header_count = m->slot->header_count,
        .fd = m->fd,
        .length = m->size,
        .stall_ms = STALL_MS,
        .progress = on_progress,
        .done = on_put,
        .user = m,
    };
    struct error err;

    m->host->ops->step(m->host, STEP_SENT, "upload", "", "");
    m->putting = http->ops->put(http, &p, &err);
    if (m->putting == 0)
        next_way(m, "upload", &err, 0);
}

static void on_slot(void *user, struct upload_slot *slot, const struct error *err, int64_t retry_at)
{
    struct method *m = user;

    m->asking = 0;
    m->slot = slot;
    if (!slot) {
        next_way(m, "upload slot", err, retry_at);
        return;
    }
    m->host->ops->step(m->host, STEP_RECEIVED, "upload slot", "ok", "");
    proceed(m);
}

static bool ask_for_slot(struct method *m, struct error *err)
{
    const struct upload_file file = {.name = m->name, .type = m->type, .size = m->size};

    m->asking = upload_slot_ask(m->client->uploads, &file, on_slot, m, err);
    if (m->asking)
        m->host->ops->step(m->host, STEP_SENT, "upload slot", "", "");
    return m->asking != 0;
}

/* ---- the method */

static void link_stream(struct method *m, struct shared_fd *file)
{
    m->streaming = true;
    m->fd = file->fd;
    proceed(m);
}

static void link_end(struct method **m, const struct error *why)
{
    struct method *x = *m;

    (void)why; /* an unfinished upload is dropped by the service, and nobody was told of it */
    if (x->asking)
        upload_slot_forget(x->client->uploads, x->asking);
    if (x->putting)
        x->client->http->ops->forget(x->client->http, x->putting);
    announcing_forget(&x->announcing);
    free(x->slot);
    free(x->name);
    free(x->type);
    free(x->caption);
    free(x->sha256);
    free(x->to);
    free(x->from);
    free(x);
    *m = NULL;
}

/* Copies an owned text; NULL and "" are none. false: out of memory. */
static bool keep(char **field, const char *text)
{
    *field = text && *text ? strdup(text) : NULL;
    return *field || !text || !*text;
}

static struct method *link_offer(struct method_host *host, void *network, const struct offer *o, struct error *err)
{
    struct methods_network *net = network;
    struct method *m = calloc(1, sizeof *m);

    if (!m || !keep(&m->name, o->name) || !keep(&m->type, o->type) || !keep(&m->caption, o->caption) ||
        !keep(&m->sha256, o->sha256) || !(m->to = jid_dup(o->to)) || (o->from && !(m->from = jid_dup(o->from)))) {
        if (m)
            link_end(&m, NULL);
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    m->host = host;
    m->client = &net->client;
    m->to_one = o->to_one;
    m->size = o->size;
    m->way = m->client->settings->link;
    if (!begin_way(m)) {
        *err = m->why;
        link_end(&m, NULL);
    }
    return m;
}

/* By the best of the ways there are. */
static enum method_can link_can(void *network, uint64_t size, struct error *why)
{
    const struct client *c = &((struct methods_network *)network)->client;
    enum method_can best = METHOD_CANNOT;

    error_set(why, ERR_METHOD_UNSUPPORTED, "there is no way to a link ([delivery] link, [server] public_url)");
    for (char *const *way = c->settings->link; *way && best != METHOD_CAN; way++) {
        enum method_can can = METHOD_CANNOT;

        if (strcmp(*way, "upload") == 0)
            can = upload_service_takes(c->uploads, size, why);
        else if (c->settings->own_links)
            can = METHOD_CAN;
        best = can > best ? can : best;
    }
    return best;
}

static const char *const needs[] = {NULL};
const struct method_ops method_link = {.name = "link",
                                       .needs = needs,
                                       .offer = link_offer,
                                       .stream = link_stream,
                                       .end = link_end,
                                       .can = link_can,
                                       .offline = true};
