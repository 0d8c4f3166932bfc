/* api/forwarded.h - the caller behind front proxies, by X-Forwarded-For and Forwarded (RFC 7239).
 *
 * Anybody can write these headers, so they are read only on connections of proxies that [http] trusted_proxies lists,
 * and from the right: each proxy adds, behind what it got, the address it got it from. As long as that address is a
 * trusted proxy's too, the one to its left is believed; the first that is not is the caller, and what stands left of it
 * is the caller's own invention.
 *
 * Where both headers are there, both have to lead to the same caller: a proxy that writes one and passes the other on
 * would else let everybody choose an address. What cannot be read in the part that is believed is refused rather than
 * replaced by the proxy's own address, which would be trusted more than its caller is. A proxy that says "unknown", or
 * hides its caller behind a name (section 6.3), stands for the caller.
 *
 * Pure functions; any bytes may come in. */
#ifndef API_FORWARDED_H
#define API_FORWARDED_H

#include <stdbool.h>
#include <stddef.h>

#include "api/caller.h"
#include "base/error.h"

struct trust; /* whose word is taken; constant once made */

/* words: addresses, CIDR and "unix", as the configuration has checked them; NULL at the end, or NULL. NULL: out of
 * memory. */
struct trust *trust_create(char *const *words);
void trust_destroy(struct trust **trust); /* NULL is fine; leaves *trust NULL */
bool trust_has(const struct trust *trust, const struct caller *c);

enum { FORWARDED_LINES = 8, FORWARDED_HOPS = 32 }; /* of each header */

/* The lines of both headers as they came, in their order; borrowed. */
struct forwarded {
    const char *x_for[FORWARDED_LINES]; /* X-Forwarded-For */
    const char *standard[FORWARDED_LINES];
    size_t x_fors, standards; /* may be more than were kept: then they are refused */
};

/* *c: whose connection it is; becomes the caller, and stays who it is when that one is not trusted. Fails with
 * ERR_REQUEST_MALFORMED, *c then being as far as it was believed. */
bool forwarded_caller(const struct trust *trust, const struct forwarded *said, struct caller *c, struct error *err);

#endif
