/* api/connections.h - the open connections: how many each address may have, and how long each may take.
 *
 * A connection is at one of three things. It awaits a header, until [http] header_timeout after it was accepted or
 * after its last answer was out. It awaits more of a body, which has to come with [http] min_rate, averaged over a
 * window. Or it is with us: answering, or held back because the recipient is slower than the caller; that time is ours
 * and not counted. Who takes longer is told so (408) where that can be an answer, and cut.
 *
 * Threads: the library cannot be made to tick, so connections_sweep() runs once a second on the thread that has the
 * server's ticks (drain.h), and all else on the HTTP thread; one lock, held for a few steps, is between them. To cut
 * means to shut the socket down: the library finds its end and closes it, as if the caller had left. Whoever is first,
 * the sweep or a request that has just become complete, decides: connection_take() says whether there is still a
 * caller. So nobody gets two answers.
 *
 * Counting: a connection counts for the network it comes from (caller.h); that of a trusted front proxy for the caller
 * of the request it is at; that of the unix socket for nobody. */
#ifndef API_CONNECTIONS_H
#define API_CONNECTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "api/caller.h"
#include "api/forwarded.h"
#include "base/error.h"
#include "gateway/gateway.h"

struct connection;
struct connections;
struct request;

/* trust outlives it. NULL: out of memory. */
struct connections *connections_create(const struct config *config, const struct trust *trust);
void connections_destroy(struct connections **set); /* when all are closed; NULL is fine; leaves *set NULL */

/* Whether one more may come from there. */
bool connections_admit(struct connections *set, const struct sockaddr *from);

/* How many are open. */
size_t connections_count(const struct connections *set);

/* fd: borrowed, open until connection_close(). silent: it is not ours to write to, as under TLS. NULL: out of memory.
 */
struct connection *connection_open(struct connections *set, int fd, const struct sockaddr *from, bool silent);
void connection_close(struct connection *c); /* NULL is fine */

/* It came to the ops listener. */
void connection_for_ops(struct connection *c);
bool connection_is_for_ops(const struct connection *c);

const struct caller *connection_peer(const struct connection *c);

/* The request it is at, as the server keeps it; NULL at first. */
struct request *connection_request(const struct connection *c);
void connection_hold(struct connection *c, struct request *rq);

/* The first line of a request is there. */
void connection_begin(struct connection *c);

/* On the way to an answer, or to anything else that is not the caller's time. false: he has just been cut. */
bool connection_take(struct connection *c);

/* The request is from that caller, by the word of a front proxy. ERR_RATE_LIMITED: he has too many at once. */
bool connection_count(struct connection *c, const struct caller *caller, struct error *err);

/* More of the body is awaited; so much of it was received. id: the request's, good until another call. */
void connection_await_body(struct connection *c, uint64_t received, const char *id);

/* The request is over. true: because it took too long. */
bool connection_end(struct connection *c);

/* Cuts those who take too long. */
void connections_sweep(struct connections *set);

#endif
