/* xmpp/candidate_dial.h - going to a Jingle peer's candidates, best first, until one lets us in (XEP-0260 section 2.3).
 *
 * A candidate has 200 ms before the next one is tried beside it; who comes first wins, and the others are let go. Each
 * candidate's name is that of its owner's bytestream to us. A direct one that does not open by that name is asked once
 * more by the other order of the JIDs: the XEP leaves open which it is, and clients differ.
 * The peer says where we connect to, so every address passes the carrier's egress filter, but for the addresses of
 * proxies that our own server or the operator named. Thread: core's. */
#ifndef XMPP_CANDIDATE_DIAL_H
#define XMPP_CANDIDATE_DIAL_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/method.h"
#include "xmpp/candidates.h"
#include "xmpp/client.h"

struct candidate_dial;

struct candidate_dial_events {
    void (*won)(void *user, size_t index); /* that one let us in; once, and nobody else is tried any more */
    void (*lost)(void *user);              /* none of those known so far did */
    carrier_event_fn *carrier;             /* what happens to the winner's stream afterwards */
    void *user;
};

/* local: the address of ours that the session is from. list is borrowed and may grow. Nothing is called back from
 * inside any function here. NULL: out of memory. */
struct candidate_dial *candidate_dial_create(struct method_host *host, struct client *client, const char *sid,
                                             const struct jid *local, const struct jid *peer,
                                             const struct candidate_list *list,
                                             const struct candidate_dial_events *events);

/* Tries those of the list that it has not tried yet; eight in all. */
void candidate_dial_go(struct candidate_dial *d);

/* Those below that priority are of no interest any more. */
void candidate_dial_drop_below(struct candidate_dial *d, uint32_t priority);

/* Whether one is being tried, or will be. */
bool candidate_dial_busy(const struct candidate_dial *d);

/* The winner's stream, the dial's own; NULL: none. */
struct carrier_stream *candidate_dial_stream(const struct candidate_dial *d);

/* Closes everything, the winner's stream too. NULL is fine; leaves *d NULL. */
void candidate_dial_destroy(struct candidate_dial **d);

#endif
