/* xmpp/services.h - the services of our own server: its items, and what each says it is (XEP-0030, XEP-0128).
 *
 * Found once for everybody who looks for one: the items (at most 64) and disco#info of each, 8 questions at a time.
 * What was learnt holds an hour, across sessions; who failed to answer is asked again after ten minutes, or in a new
 * session. Thread: core's. */
#ifndef XMPP_SERVICES_H
#define XMPP_SERVICES_H

#include <stdbool.h>

#include "xmpp/client.h"

/* Who looks for one; filled in and kept by its owner. Both functions are called for answers only, never from inside
 * services_find(). */
struct services_watcher {
    bool server; /* the server itself may be what is looked for, beside its items */
    /* One told what it is: the query of its disco#info, for the call. NULL: it left the list, or does not tell. */
    void (*told)(void *user, const struct jid *jid, xmpp_stanza_t *info);
    void (*settled)(void *user); /* nobody is asked any more */
    void *user;
    struct services_watcher *next;
};

struct services *services_create(struct client *c); /* NULL: out of memory */
void services_destroy(struct services **s);
void services_watch(struct services *s, struct services_watcher *w); /* until the end of both */

/* Asks for what is not known or too old, and the server itself only once somebody looks for that. True: questions are
 * on their way, and w is told; false: there is nothing to ask, or it cannot be sent. An end of the session ends the
 * questions untold. */
bool services_find(struct services *s, const struct services_watcher *w);
bool services_busy(const struct services *s); /* questions are on their way */

/* The next services_find() asks everybody again, since what is known proved wrong or lacks something; or, in a new
 * session, those who failed to answer, which may have been the old one's fault. */
void services_doubt(struct services *s, bool all);

#endif
