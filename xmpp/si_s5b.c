/* xmpp/si_s5b.c - an SI offer, and after the yes a bytestream (XEP-0096 with XEP-0065). */
#include <stdlib.h>

#include "xmpp/methods.h"
#include "xmpp/ns.h"
#include "xmpp/s5b.h"
#include "xmpp/si.h"

struct method {
    struct si *si;
    struct s5b *s5b;
};

/* Somebody is asked only once there is a streamhost to offer. */
static void on_ready(void *user)
{
    struct method *m = user;

    si_offer(m->si, s5b_sid(m->s5b));
}

static const char *renew(void *user)
{
    struct method *m = user;

    s5b_renew(m->s5b);
    return s5b_sid(m->s5b);
}

static void accepted(void *user, const struct file_range *range)
{
    struct method *m = user;

    s5b_take(m->s5b, range);
    s5b_offer(m->s5b);
}

static const struct si_terms si_terms = {"offer si-s5b", NS_BYTESTREAMS, "takes no bytestreams for files", renew,
                                         accepted};

static void si_s5b_end(struct method **m, const struct error *why)
{
    (void)why; /* see si_destroy() */
    si_destroy(&(*m)->si);
    s5b_destroy(&(*m)->s5b);
    free(*m);
    *m = NULL;
}

static struct method *si_s5b_offer(struct method_host *host, void *network, const struct offer *o, struct error *err)
{
    struct methods_network *net = network;
    struct s5b_terms terms = {.to = o->to,
                              .from = o->from,
                              .size = o->size,
                              .connect_ms = o->connect_ms,
                              .not_acceptable = ERR_STREAMHOSTS_REFUSED};
    struct method *m = calloc(1, sizeof *m);

    if (!m) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    m->si = si_create(host, &net->client, o, &si_terms, m, err);
    if (m->si)
        m->s5b = s5b_create(host, &net->client, &terms, on_ready, m, err);
    if (!m->s5b)
        si_s5b_end(&m, NULL);
    return m;
}

static void si_s5b_stream(struct method *m, struct shared_fd *file)
{
    si_destroy(&m->si); /* it has said what it had to */
    s5b_stream(m->s5b, file);
}

static const char *const needs[] = {NS_SI, NS_SI_FILE, NS_BYTESTREAMS, NULL};
const struct method_ops method_si_s5b = {.name = "si-s5b",
                                         .needs = needs,
                                         .asks = "si",
                                         .offer = si_s5b_offer,
                                         .stream = si_s5b_stream,
                                         .follows = true,
                                         .end = si_s5b_end};
