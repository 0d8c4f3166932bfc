/* xmpp/si_ibb.c - an SI offer, and after the yes the file in-band (XEP-0096 with XEP-0047).
 *
 * This is where a recipient ends that said yes to a bytestream and then reached no streamhost: see si.h about why that
 * takes an offer of its own. */
#include <stdlib.h>

#include "xmpp/ibb.h"
#include "xmpp/inband.h"
#include "xmpp/methods.h"
#include "xmpp/ns.h"
#include "xmpp/si.h"

struct method {
    struct si *si;
    struct inband *stream;
};

static const char *renew(void *user)
{
    struct method *m = user;

    inband_renew(m->stream);
    return inband_sid(m->stream);
}

static void accepted(void *user, const struct file_range *range)
{
    struct method *m = user;

    inband_take(m->stream, range);
    inband_open(m->stream, false, IBB_OPEN_MS);
}

static const struct si_terms terms = {"offer si-ibb", NS_IBB, "takes no in-band streams for files", renew, accepted};

static void si_ibb_end(struct method **m, const struct error *why)
{
    (void)why; /* the stream is closed; that it was not whole, the size told in the offer says */
    si_destroy(&(*m)->si);
    inband_destroy(&(*m)->stream);
    free(*m);
    *m = NULL;
}

static struct method *si_ibb_offer(struct method_host *host, void *network, const struct offer *o, struct error *err)
{
    struct methods_network *net = network;
    struct method *m = calloc(1, sizeof *m);

    if (!m) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    m->stream = inband_create(host, &net->client, o, err);
    if (m->stream)
        m->si = si_create(host, &net->client, o, &terms, m, err);
    if (!m->si) {
        si_ibb_end(&m, NULL);
        return NULL;
    }
    si_offer(m->si, inband_sid(m->stream));
    return m;
}

static void si_ibb_stream(struct method *m, struct shared_fd *file)
{
    inband_stream(m->stream, file->fd);
}

static const char *const needs[] = {NS_SI, NS_SI_FILE, NS_IBB, NULL};
const struct method_ops method_si_ibb = {.name = "si-ibb",
                                         .needs = needs,
                                         .asks = "si",
                                         .offer = si_ibb_offer,
                                         .stream = si_ibb_stream,
                                         .end = si_ibb_end,
                                         .can = inband_can};
