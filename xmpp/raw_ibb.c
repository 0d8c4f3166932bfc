/* xmpp/raw_ibb.c - XEP-0047 with nothing before it: neither name nor size is told, and that the peer takes the stream
 * is its yes. */
#include <stdlib.h>

#include "xmpp/inband.h"
#include "xmpp/methods.h"
#include "xmpp/ns.h"

struct method {
    struct inband *stream;
};

static void raw_end(struct method **m, const struct error *why)
{
    (void)why; /* the protocol has no word for it: closing the stream is all */
    inband_destroy(&(*m)->stream);
    free(*m);
    *m = NULL;
}

static struct method *raw_offer(struct method_host *host, void *network, const struct offer *o, struct error *err)
{
    struct methods_network *net = network;
    struct method *m = calloc(1, sizeof *m);

    if (!m) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    m->stream = inband_create(host, &net->client, o, err);
    if (m->stream)
        inband_open(m->stream, true, methods_bare_answer_ms(o));
    else
        raw_end(&m, NULL);
    return m;
}

static void raw_stream(struct method *m, struct shared_fd *file)
{
    inband_stream(m->stream, file->fd);
}

static const char *const needs[] = {NS_IBB, NULL};
const struct method_ops method_ibb = {
    .name = "ibb", .needs = needs, .offer = raw_offer, .stream = raw_stream, .end = raw_end, .can = inband_can};
