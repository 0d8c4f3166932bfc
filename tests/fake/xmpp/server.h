/* tests/fake/xmpp/server.h - one end of an XMPP stream, played by a script of the test, on a thread of its own.
 *
 * The script is a function that is called for every connection, one at a time, and reads like the protocol:
 *
 *     talk_expect(t, "<stream:stream");
 *     talk_send(t, "<stream:stream …>");
 *
 * Waiting has a deadline, after which the script's connection is as good as closed, so that nothing hangs. */
#ifndef FAKE_XMPP_SERVER_H
#define FAKE_XMPP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

struct xmpp_server;

struct talk {
    int fd;
    unsigned nth; /* of the connections, from 0 */
    void *user;
    char *last; /* what the latest talk_expect() has consumed */
    char *ahead;
};

typedef void talk_script_fn(struct talk *t);

/* Takes a free port of 127.0.0.1. Until xmpp_server_listen() connections to it are refused. */
struct xmpp_server *xmpp_server_create(talk_script_fn *script, void *user);
uint16_t xmpp_server_port(const struct xmpp_server *s);
void xmpp_server_listen(struct xmpp_server *s);
unsigned xmpp_server_connections(struct xmpp_server *s); /* that were accepted so far */

/* Ends the current connection and the thread. */
void xmpp_server_destroy(struct xmpp_server **s);

/* Reads on until needle came, and consumes the stream up to its end. false: the stream ended or was silent for 10 s. */
bool talk_expect(struct talk *t, const char *needle);

/* Consumes the next <iq/>; false when the client ended its stream instead. */
bool talk_iq(struct talk *t);

/* Reads and forgets until the client ends its stream; returning from the script then closes it. */
void talk_drain(struct talk *t);

void talk_send(struct talk *t, const char *text);
void talk_printf(struct talk *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The id="…" of what was consumed last; valid until the next talk_expect(). */
const char *talk_id(struct talk *t);

/* A login by SASL PLAIN, up to and with the answer to <bind/>: false when the client did something else. */
bool talk_login(struct talk *t, const char *bound);

/* The handshake of a component (XEP-0114) for that domain, whatever its secret: false when the client did something
 * else. */
bool talk_component(struct talk *t, const char *domain);

/* The same, ended by the server with that stream error instead of being accepted. */
void talk_component_refused(struct talk *t, const char *domain, const char *condition);

/* After a login: the roster question, the first of all, answered with those <item/>s. */
bool talk_roster(struct talk *t, const char *items);

#endif
