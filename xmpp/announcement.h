/* xmpp/announcement.h - telling somebody where a file can be fetched: the caption, if there is one, and the link.
 *
 * The address is asked whether it is a room: that gets the messages by xmpp/rooms.h, a person's bare JID by
 * xmpp/messages.h. The caption has a message of its own, because the
 * body of the link's has to be the link (XEP-0066); whoever does not get the one does not get the other. The link is
 * told in three ways: as the body, by XEP-0066, and by XEP-0447 with what the file is. Thread: core's. */
#ifndef XMPP_ANNOUNCEMENT_H
#define XMPP_ANNOUNCEMENT_H

#include <stdint.h>

#include "gateway/method.h"
#include "xmpp/client.h"

struct announcement {
    const struct jid *to;   /* bare */
    const struct jid *from; /* as of an offer */
    bool to_one;            /* a resource was named; of a room, that is one occupant, and the room is not told */
    const char *url;
    const char *name, *type; /* of the file; type NULL: not known */
    const char *sha256;      /* lower-case hex; NULL: not computed */
    const char *caption;     /* NULL: none */
    uint64_t size;
};

/* Scheme and host of a URL, all of it that others than the recipient are told. */
enum { LINK_ORIGIN = 300 };
void link_origin(const char *url, char out[static LINK_ORIGIN]);

struct announcing; /* one that is under way */

/* err NULL: the server has taken all of it, or the room has shown it. */
typedef void announced_fn(void *user, const struct error *err);

/* Begins; a and what it points to are borrowed until the end. Steps are told to host, and done is called once, never
 * from inside the call. NULL with *err set when it cannot begin. */
struct announcing *announce(struct client *c, struct method_host *host, const struct announcement *a,
                            announced_fn *done, void *user, struct error *err);

/* Nothing more is sent, and done not called. NULL is fine; *a becomes NULL. */
void announcing_forget(struct announcing **a);

#endif
