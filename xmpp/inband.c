/* xmpp/inband.c - see inband.h. */
#include "xmpp/inband.h"

#include <assert.h>
#include <stdlib.h>

#include "xmpp/ibb.h"
#include "xmpp/methods.h"

struct inband {
    struct method_host *host;
    struct client *client;
    struct jid to, from;
    struct file_range range;
    char sid[IBB_SID];
    struct ibb *ibb;
    bool bare;
};

static void report(struct inband *s, const struct method_report *r)
{
    s->host->ops->report(s->host, r);
}

static void step(struct inband *s, enum step_direction direction, const char *name, const char *outcome,
                 const char *detail)
{
    s->host->ops->step(s->host, direction, name, outcome, detail);
}

static void fail(struct inband *s, const struct error *why)
{
    report(s, &(struct method_report){.event = METHOD_FAILED, .error = *why});
}

static void progress(struct inband *s, uint64_t moved)
{
    if (moved > 0)
        report(s, &(struct method_report){.event = METHOD_PROGRESS, .moved = s->range.offset + moved});
}

static void opened(struct inband *s)
{
    step(s, STEP_RECEIVED, "ibb open", "ok", s->to.text);
    s->host->ops->chose(s->host, "inband", NULL);
    if (s->bare)
        report(s, &(struct method_report){.event = METHOD_ACCEPTED});
    report(s, &(struct method_report){.event = METHOD_STREAM_OPEN});
}

static void on_stream(void *user, const struct ibb_event *event)
{
    struct inband *s = user;

    switch (event->kind) {
    case IBB_WAITING:
        report(s, &(struct method_report){.event = METHOD_WAITING});
        break;
    case IBB_OPEN:
        opened(s);
        break;
    case IBB_PROGRESS:
        progress(s, event->moved);
        break;
    case IBB_DONE:
        step(s, STEP_RECEIVED, "ibb close", "ok", s->to.text);
        report(s, &(struct method_report){.event = METHOD_COMPLETE,
                                          .moved = s->range.offset + event->moved,
                                          .proof = PROOF_PEER_CONFIRMED});
        break;
    case IBB_FAILED:
        step(s, STEP_RECEIVED, "ibb", "error", event->error.text);
        progress(s, event->moved);
        fail(s, &event->error);
        break;
    }
}

enum method_can inband_can(void *network, uint64_t size, struct error *why)
{
    return ibb_allows(&((struct methods_network *)network)->client, size, why) ? METHOD_CAN : METHOD_CANNOT;
}

struct inband *inband_create(struct method_host *host, struct client *client, const struct offer *o, struct error *err)
{
    struct inband *s;

    if (!ibb_allows(client, o->size, err))
        return NULL;
    s = calloc(1, sizeof *s);
    if (!s) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    s->host = host;
    s->client = client;
    jid_copy(&s->to, o->to);
    jid_copy(&s->from, client_sender(client, o->from));
    s->range.length = o->size;
    ibb_sid(s->sid);
    return s;
}

const char *inband_sid(const struct inband *s)
{
    return s->sid;
}

void inband_renew(struct inband *s)
{
    assert(!s->ibb);
    ibb_sid(s->sid);
}

void inband_take(struct inband *s, const struct file_range *range)
{
    s->range = *range;
}

void inband_open(struct inband *s, bool bare, unsigned answer_ms)
{
    struct ibb_terms terms = {
        .to = &s->to, .from = &s->from, .sid = s->sid, .block = IBB_BLOCK, .answer_ms = answer_ms};
    struct error err;

    s->bare = bare;
    s->ibb = ibb_open(s->client, &terms, on_stream, s, &err);
    if (s->ibb)
        step(s, STEP_SENT, bare ? "offer ibb" : "ibb open", "", s->to.text);
    else
        fail(s, &err);
}

void inband_stream(struct inband *s, int fd)
{
    ibb_send(s->ibb, fd, s->range.offset, s->range.length);
}

void inband_destroy(struct inband **s)
{
    if (!*s)
        return;
    ibb_destroy(&(*s)->ibb);
    free(*s);
    *s = NULL;
}
