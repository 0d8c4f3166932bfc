#include "xmpp/methods.h"

#include <stddef.h>

#include "xmpp/ns.h"

enum { BARE_ANSWER_MS = 10 * 1000 };

const struct method_ops *const methods[] = {&method_jingle_s5b, &method_si_s5b, &method_s5b,  &method_jingle_ibb,
                                            &method_si_ibb,     &method_ibb,    &method_link, NULL};

unsigned methods_bare_answer_ms(const struct offer *o)
{
    return o->only_method || o->answer_ms < BARE_ANSWER_MS ? o->answer_ms : BARE_ANSWER_MS;
}

/* XEP-0065 section 5.3.1: somebody who does not want a bytestream says so. We never receive one; and a set that comes
 * back under the id of our own offer (Psi's "fast mode") is turned down the same way while the offer goes on. */
static bool refuse_bytestream(void *user, xmpp_stanza_t *iq, const struct jid *from, xmpp_stanza_t *payload)
{
    struct client *c = user;

    (void)from;
    (void)payload;
    iq_reply_error(c->iq, iq, "modify", "not-acceptable");
    return true;
}

void methods_serve(struct client *c)
{
    iq_serve(c->iq, "set", NS_BYTESTREAMS, refuse_bytestream, c);
}
