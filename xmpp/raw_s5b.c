/* xmpp/raw_s5b.c - XEP-0065 with nothing before it: streamhosts are the whole offer, and neither name nor size is told.
 */
#include <stdlib.h>

#include "xmpp/methods.h"
#include "xmpp/ns.h"
#include "xmpp/s5b.h"

struct method {
    struct s5b *s5b;
};

static void on_ready(void *user)
{
    struct method *m = user;

    s5b_offer(m->s5b);
}

static struct method *raw_offer(struct method_host *host, void *network, const struct offer *o, struct error *err)
{
    struct methods_network *net = network;
    struct method *m = calloc(1, sizeof *m);
    struct s5b_terms terms = {
        .to = o->to,
        .from = o->from,
        .size = o->size,
        .bare = true,
        .answer_ms = methods_bare_answer_ms(o),
        .connect_ms = o->connect_ms,
        /* Many refuse every stream that no SI announced. Only to a caller who wanted nothing else it is a no. */
        .not_acceptable = o->only_method ? ERR_RECIPIENT_DECLINED : ERR_METHOD_UNSUPPORTED,
    };

    if (!m) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    m->s5b = s5b_create(host, &net->client, &terms, on_ready, m, err);
    if (m->s5b)
        return m;
    free(m);
    return NULL;
}

static void raw_stream(struct method *m, struct shared_fd *file)
{
    s5b_stream(m->s5b, file);
}

static void raw_end(struct method **m, const struct error *why)
{
    (void)why; /* the protocol has no word for it: closing the stream is all */
    s5b_destroy(&(*m)->s5b);
    free(*m);
    *m = NULL;
}

static const char *const needs[] = {NS_BYTESTREAMS, NULL};
const struct method_ops method_s5b = {
    .name = "s5b", .needs = needs, .offer = raw_offer, .stream = raw_stream, .follows = true, .end = raw_end};
