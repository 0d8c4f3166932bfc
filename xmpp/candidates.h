/* xmpp/candidates.h - the addresses two sides of a Jingle session tell each other (XEP-0260 section 2.2), and which of
 * them both agree on (section 2.4).
 *
 * Pure; thread: core's, as all that touches stanzas. */
#ifndef XMPP_CANDIDATES_H
#define XMPP_CANDIDATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <strophe.h>

#include "xmpp/s5b_hosts.h"

enum { CANDIDATES = 16, CANDIDATE_ID = 80 }; /* of one side; of an id, with its terminator */

struct candidate {
    char cid[CANDIDATE_ID];
    char jid[256]; /* of ours: whole; of a peer's: to be shown, cut */
    char host[256];
    uint16_t port;
    uint32_t priority;
    bool proxy; /* else direct */
};

struct candidate_list {
    struct candidate all[CANDIDATES];
    size_t count;
};

/* Gives the streamhosts ids and priorities: falling in their order, and unlike any of theirs, or that a client computes
 * from the XEP's formula alone, since clients resolve equal ones in two ways. Left out is who the peer offers already
 * (theirs; NULL: nothing is known), by JID if it is a proxy or by address, and a JID too long for its field. */
void candidates_make(struct candidate_list *out, const struct s5b_hosts *hosts, const struct candidate_list *theirs);

/* Puts <candidate/> elements into the transport; NULL gives NULL. */
xmpp_stanza_t *candidates_write(xmpp_ctx_t *ctx, xmpp_stanza_t *transport, const struct candidate_list *list);

/* Adds those of a peer's transport; what is of no use is passed over: unknown types, ids known already, impossible
 * ports and priorities. Returns how many came. */
size_t candidates_read(struct candidate_list *list, xmpp_stanza_t *transport);

/* The index of the one with that id; false: none. */
bool candidates_find(const struct candidate_list *list, const char *cid, size_t *index);

enum candidate_report { REPORT_NONE, REPORT_USED, REPORT_ERROR };
enum nominee {
    NOMINEE_NONE,   /* nobody reached anybody */
    NOMINEE_THEIRS, /* the peer's candidate that we use */
    NOMINEE_OURS    /* our candidate that the peer uses */
};

/* Section 2.4, with both reports there: the higher priority wins, and of equal ones that which the initiator chose,
 * who is the peer if we are the responder. theirs: the peer's candidate we use; ours: ours that it uses; NULL where
 * the report is an error. */
enum nominee candidates_nominate(const struct candidate *theirs, const struct candidate *ours, bool responder);

#endif
