/* api/server.h - the HTTP server: one thread that serves the whole API of a gateway.
 *
 * HTTP/1.1, plain or, at the address and with [http] tls_cert and tls_key, over TLS alone (tls.h). The process ignores
 * SIGPIPE (main's business).
 *
 * The library listens on one socket a daemon, and runs each on a thread of its own. With [http] unix there are two, the
 * address's and the unix socket's; with [ops] listen there is one more. "The HTTP thread" of all these headers is then
 * whichever of them has the turn: a lock that each call of the library takes first and holds until it returns. No
 * handler blocks, so none waits long, and what is the HTTP thread's needs no other lock. Those who resume a request, on
 * any thread, do not take it.
 *
 * On the ops listener, plain HTTP always, nothing is answered but /metrics, /livez and /readyz, and no token is asked
 * for; /metrics is then nowhere else.
 *
 * A unix socket is like loopback: its mode and its folder say who gets in, and no token is asked for where there is
 * none. */
#ifndef API_SERVER_H
#define API_SERVER_H

#include <stdint.h>

#include "base/error.h"
#include "gateway/gateway.h"

struct api;

/* Listens where [http] listen and unix say and logs http.listening for each, the address first; and ops.listening. gw
 * outlives the server. NULL: ERR_CONFIG (no such address; beyond loopback without a token; a path that is taken; a
 * certificate or key that is of no use), ERR_SYSTEM (in use, no memory, no threads). */
struct api *api_start(struct gateway *gw, struct error *err);

size_t api_streams(const struct api *api); /* of events, open; any thread */

uint16_t api_ops_port(const struct api *api); /* likewise, of [ops] listen */
uint16_t api_port(const struct api *api);     /* the one listened on, also when port 0 was asked for; 0: none */

/* Tokens, certificate and key as they are now; not those of the gateway's own configuration. Requests and handshakes
 * that begin from now on see them, the others end under what they began with; but streams of events whose token is not
 * what it was end within a second or so. false, and all stays as it was: a pair that is of no use, or no token is left
 * and the server listens beyond loopback (ERR_CONFIG); ERR_SYSTEM. One thread at a time, and not while api_stop() runs.
 */
bool api_reload(struct api *api, const struct config *config, struct error *err);

/* An event as the body of a webhook, to be freed: the JSON that a stream of events has in its `data`. NULL: out of
 * memory. Any thread. */
char *api_render_event(const struct event *e);

/* Stops accepting, answers everybody who waits (503 `draining`, or 202 for an upload that is accepted), gives the
 * others five seconds and cuts the rest. hurry is asked twenty times a second whether they have a moment only; NULL:
 * they have the five seconds. NULL is fine; leaves *api NULL. Stop it before the gateway. */
void api_stop(struct api **api, bool (*hurry)(void *user), void *user);

#endif
