/* xmpp/jingle.h - Jingle sessions (XEP-0166), ours and those that peers begin, known by our address, the peer's full
 * JID and the session id.
 *
 * The table answers what has but one answer: unknown sessions, actions in the wrong order, pings, termination, and for
 * a minute its repetition. What is about a session's content goes to who began it, or took it.
 * Thread: core's. */
#ifndef XMPP_JINGLE_H
#define XMPP_JINGLE_H

#include <stdbool.h>
#include <strophe.h>

#include "xmpp/client.h"

struct jingle; /* the table; one per client */
struct jingle_session;

/* Once, when the client's IQ table is there; it serves from then on. NULL: out of memory. */
struct jingle *jingle_create(struct client *c);
void jingle_destroy(struct jingle **j); /* every session has ended */

/* The session with the server is gone: everybody is told. */
void jingle_offline(struct jingle *j);

enum jingle_action {
    JINGLE_SESSION_ACCEPT,
    JINGLE_SESSION_ACCEPT_AGAIN, /* out of order, but for a client that means a transport-accept by it */
    JINGLE_SESSION_INFO,         /* with something in it */
    JINGLE_TRANSPORT_INFO,
    JINGLE_TRANSPORT_REPLACE,
    JINGLE_TRANSPORT_ACCEPT,
    JINGLE_TRANSPORT_REJECT,
};

/* What the peer asks of a session. Who gets it answers it once, before acting on it: clients count on that order. */
struct jingle_request {
    enum jingle_action action;
    xmpp_stanza_t *jingle;  /* the element */
    xmpp_stanza_t *content; /* its first, NULL: none */
    struct jingle *table;
    xmpp_stanza_t *iq;
    bool answered;
};
void jingle_ack(struct jingle_request *r);
void jingle_refuse(struct jingle_request *r, const char *type, const char *condition);
void jingle_refuse_order(struct jingle_request *r); /* section 6.3.2: not now, or never */
void jingle_refuse_info(struct jingle_request *r);  /* a session-info that means nothing to us */

struct jingle_events {
    void (*refused)(void *user, const struct error *why);    /* our offer, or our yes, did not arrive, or not well */
    void (*request)(void *user, struct jingle_request *r);   /* never before the offer was sent */
    void (*terminated)(void *user, const struct error *why); /* by the peer, and acknowledged; why NULL: success */
    void (*offline)(void *user);                             /* see jingle_offline() */
};

/* A session with a new id, of which the peer knows nothing yet. local: the address of ours that it is from. NULL: out
 * of memory. */
struct jingle_session *jingle_session_create(struct jingle *j, const struct jid *local, const struct jid *peer,
                                             const struct jingle_events *events, void *user);

/* A peer begins one with local, an address of ours; r's action means nothing. true: r is answered, and the session may
 * have been taken. false: nobody takes sessions there. */
typedef bool jingle_offered_fn(void *user, struct jingle_request *r, const struct jid *local, const struct jid *peer);
void jingle_on_offer(struct jingle *j, jingle_offered_fn *offered, void *user);

/* Whether it has what a session needs: an id, and a content with a name. Without, it is a bad request. */
bool jingle_is_whole(const struct jingle_request *r);

/* From inside the above, of one that is whole: the session that the peer began. Its end tells the peer, also before
 * it was accepted. NULL: out of memory. */
struct jingle_session *jingle_session_take(const struct jingle_request *r, const struct jid *local,
                                           const struct jid *peer, const struct jingle_events *events, void *user);

/* Says yes to it, with that content (taken, also on failure). */
bool jingle_accept(struct jingle_session *s, xmpp_stanza_t *content, struct error *err);

const struct jid *jingle_local(const struct jingle_session *s);
const struct jid *jingle_peer(const struct jingle_session *s);
bool jingle_responds(const struct jingle_session *s); /* the peer began it */
const char *jingle_content_name(const struct jingle_session *s);

/* Offers that content (taken, also on failure). */
bool jingle_initiate(struct jingle_session *s, xmpp_stanza_t *content, struct error *err);

/* Sends an action with that child (taken, also on failure). done may be NULL; it is not called after the session's
 * end, nor after iq_forget() of the ticket that this returns; 0 with *err set when it cannot be sent. */
uint64_t jingle_send(struct jingle_session *s, const char *action, xmpp_stanza_t *child, iq_done_fn *done, void *user,
                     struct error *err);

/* Section 7.2.15: acknowledges a transport-replace and turns it down. */
void jingle_reject_transport(struct jingle_session *s, struct jingle_request *r);

/* The one content of a session, holding that transport (taken); NULL gives NULL. */
xmpp_stanza_t *jingle_content(const struct jingle_session *s, xmpp_stanza_t *transport);
#define JINGLE_CONTENT "file" /* its name in ours */

/* Ends it: tells the peer the reason (an element's name of section 7.4) if it knows of the session and did not end it
 * itself. NULL is fine; leaves *s NULL. */
void jingle_session_end(struct jingle_session **s, const char *reason);

struct jingle_reason {
    const char *name;    /* as above */
    const char *text;    /* NULL: none */
    const char *special; /* an element of NS_JINGLE_FILE_ERRORS; NULL: none */
};
void jingle_session_end_for(struct jingle_session **s, const struct jingle_reason *why);

#endif
