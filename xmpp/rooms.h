/* xmpp/rooms.h - saying something in a room (XEP-0045), which takes being in it.
 *
 * Who has something to say is taken into the room under a nickname, without its history; once the room has shown the
 * message to us as to everybody, it is said, and when nothing is left to say the room is left. Several who send to one
 * room share the stay. A room is never made: who asks for one that is not there hears so.
 * Thread: core's. */
#ifndef XMPP_ROOMS_H
#define XMPP_ROOMS_H

#include <stdbool.h>
#include <stdint.h>
#include <strophe.h>

#include "xmpp/client.h"
#include "xmpp/messages.h"

struct rooms *rooms_create(struct client *c, iq_send_fn *send, void *user); /* NULL: out of memory */
void rooms_destroy(struct rooms **r); /* what was to be said is dropped without an answer; the loop must still turn */
void rooms_offline(struct rooms *r);  /* whoever waits is told ERR_XMPP_DISCONNECTED */

/* Whether a bare JID is a room (section 6.4): its identity is of category conference and its features have the
 * protocol. What answers with an error is none. err: ERR_LINK_FAILED, there could be a room of that name and there
 * is none; else nobody answered, and why. */
typedef void room_asked_fn(void *user, bool is_room, const struct error *err);

/* done is called once, never from inside the call. A ticket, not 0; 0 with *err set when it cannot be asked. */
uint64_t room_ask(struct rooms *r, const struct jid *bare, room_asked_fn *done, void *user, struct error *err);
void room_ask_forget(struct rooms *r, uint64_t ticket);

/* As message_send(), but done means that the room has shown it; the message becomes one of type groupchat. Of the
 * reasons against it: ERR_RECIPIENT_FORBIDS (members only, banned, a password, no voice), ERR_RECIPIENT_BUSY (full),
 * ERR_LINK_FAILED (no such room, no nickname left), ERR_REMOTE_SERVER_… */
uint64_t room_send(struct rooms *r, xmpp_stanza_t *message, const struct jid *room, message_done_fn *done, void *user,
                   struct error *err);
void room_send_forget(struct rooms *r, uint64_t ticket);

/* Whether that is somebody in a room that we are in now. */
bool rooms_occupant(struct rooms *r, const struct jid *who);

/* Every incoming <presence/>. true: it was about a room we are in, or enter, and concerns no contact. */
bool rooms_presence(struct rooms *r, xmpp_stanza_t *presence);

/* Every incoming <message/>. */
void rooms_message(struct rooms *r, xmpp_stanza_t *message);

#endif
