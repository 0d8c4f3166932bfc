/* api/lockout.h - wrong tokens, counted by the network they come from: an IPv4 address, or an IPv6 /64.
 *
 * After ten within a minute the network's callers are not listened to for the rest of it, whatever they show: if right
 * tokens still got in, guessing would go on as before. Loopback is no network of one caller: behind a front proxy it is
 * everybody. There wrong tokens are refused in the same way, and right ones pass.
 *
 * A table of fixed size; under an attack from very many networks the oldest counts are forgotten. The HTTP thread's. */
#ifndef API_LOCKOUT_H
#define API_LOCKOUT_H

#include <stdbool.h>
#include <sys/socket.h>

struct lockout;

struct lockout *lockout_create(void); /* NULL: out of memory */
void lockout_destroy(struct lockout **lockout);

/* Seconds until that caller is listened to again; 0: now. wrong: the token just shown is. from NULL: nobody's network.
 */
unsigned lockout_left(const struct lockout *lockout, const struct sockaddr *from, bool wrong);

/* One more wrong token; the tenth is logged. */
void lockout_failed(struct lockout *lockout, const struct sockaddr *from);

#endif
