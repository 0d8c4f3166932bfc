/* xmpp/s5b_activation.h - has a proxy join the two sides of a bytestream (XEP-0065 section 6.3.5).
 *
 * Asks again where that helps: once when the proxy misses the recipient, who may come a moment later, and once when it
 * left the question without an answer. Writes the steps into the timeline. Thread: core's. */
#ifndef XMPP_S5B_ACTIVATION_H
#define XMPP_S5B_ACTIVATION_H

#include <stdbool.h>

#include "gateway/method.h"
#include "xmpp/client.h"

struct s5b_activation;

/* Once, never from inside s5b_activate(). why NULL: active, bytes may flow. faulty: the proxy itself is to blame, and
 * not the pair that did not meet there. */
typedef void s5b_activated_fn(void *user, const struct error *why, bool faulty);

/* proxy: exactly the JID that its answer named. local: the address of ours that the bytestream is named by. NULL with
 * *err set when it cannot be asked. */
struct s5b_activation *s5b_activate(struct method_host *host, struct client *client, const char *proxy, const char *sid,
                                    const struct jid *local, const struct jid *target, s5b_activated_fn *done,
                                    void *user, struct error *err);

/* No answer is wanted any more, or it came. NULL is fine; leaves *a NULL. */
void s5b_activation_end(struct s5b_activation **a);

#endif
