/* tests/fake/xmpp/peer.h - the other side of the XMPP stream, played by the test.
 *
 * It stands where the session stands: what xmpp/ sends is caught and compared as XML, and what the test says is parsed
 * and handed to the IQ table. Comparing, the order of attributes is free, and
 *     '*'     is any value, '*id' and '*sid' also remember it;
 *     '$sid'  is the remembered one, as '$id' and '$sid' are in what the test says;
 *     'from'  may be missing from what we send, since our server puts it there, and from what is wanted.
 * Time passes only by peer_skip(). */
#ifndef FAKE_PEER_H
#define FAKE_PEER_H

#include <stdint.h>
#include <uv.h>

#include "xmpp/methods.h"

#define INITIATOR "initiator@example.com/foo"
#define TARGET    "target@example.org/bar"

struct peer {
    uv_loop_t loop;
    struct xmpp_settings settings;
    struct methods_network network; /* what methods are given */
    struct client *client;          /* the one in it */
    struct peer_sent *sent;         /* caught and not looked at yet, oldest first */
    char id[64], sid[128];          /* of '*id' and '*sid' */
    bool deaf;                      /* nothing can be sent, as without a session */
    unsigned proxies_changed;
    bool ours; /* the last presence said was about a room of ours */
};

/* We are INITIATOR, bound and online, on direct terms with everybody. proxies: configured ones, NULL at the end, or
 * NULL; nobody has been asked yet. */
void peer_start(struct peer *p, char *const *proxies);
void peer_stop(struct peer *p);

/* The next stanza we sent is that one. */
#define peer_expects(p, xml) peer_expects_(p, xml, __FILE__, __LINE__)
void peer_expects_(struct peer *p, const char *xml, const char *file, int line);

/* We sent nothing more. */
#define peer_expects_nothing(p) peer_expects_nothing_(p, __FILE__, __LINE__)
void peer_expects_nothing_(struct peer *p, const char *file, int line);

/* The next stanza as text, its id in p->id; NULL when there is none. Valid until the next call. */
const char *peer_next(struct peer *p);

void peer_says(struct peer *p, const char *xml);

/* An error answer to the stanza last looked at: the condition, and what else the error element holds ("" for none). */
void peer_refuses(struct peer *p, const char *from, const char *type, const char *condition, const char *more);

/* Lets the loop turn: what is due now happens. */
void peer_turn(struct peer *p);

/* Lets the time to the next deadline pass, and returns how long that was, in milliseconds. */
uint64_t peer_skip(struct peer *p);

/* Goes online with the configured proxy "streamer.example.com", whose answer holds these streamhost elements. */
void peer_gives_proxy(struct peer *p, const char *streamhosts);
extern char *const peer_proxy[]; /* for peer_start() */

#endif
