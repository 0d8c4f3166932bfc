/* gateway/demo.h - a recipient of the gateway's own (jidpost serve --demo), so that a first try needs nobody else.
 *
 * Of a component it is an address of its domain, and the one session sends and receives. An account has a second
 * session for it, whose full JID it is. What comes lands in the inbox, and is taken from our own addresses alone: a
 * component's domain, or the account. Thread: core's, but demo_arrange(), which comes before gateway_start(). */
#ifndef GATEWAY_DEMO_H
#define GATEWAY_DEMO_H

#include <stdbool.h>

#include "base/jid.h"
#include "gateway/network.h"

struct gateway;

/* The rule for what is sent to it. How many files that may be in a day is for the sending side to say. */
enum { DEMO_MAX_FILE = 100 * 1024 * 1024, DEMO_RETENTION_MS = 60 * 60 * 1000 };

struct demo {
    bool on;
    struct jid jid;          /* bare of a component, full of an account; changes under gw->view_lock */
    struct network *network; /* the second session; NULL: none is needed. Borrowed */
    bool ready;              /* under gw->view_lock */
};

/* The address of the recipient. of: the gateway's own as configured. */
bool demo_address(const struct jid *of, bool component, struct jid *out, struct error *err);

void demo_arrange(struct gateway *gw, const struct jid *jid, struct network *network);

/* NULL-safe on to: false. */
bool demo_is(const struct demo *d, const struct jid *to);
bool demo_accepts(const struct demo *d, const struct jid *from);

/* The gateway's session changed: of a component, that is the recipient's too. */
void demo_online(struct gateway *gw, bool online);

/* The second session, if there is one. stopped: when the loop holds nothing of it any more; at once without one. */
void demo_start(struct gateway *gw);
void demo_stop(struct gateway *gw, void (*stopped)(void *user), void *user);

#endif
