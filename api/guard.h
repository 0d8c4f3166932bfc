/* api/guard.h - keeps web pages out: a browser reaches loopback from any page it shows.
 *
 * Two attacks: a foreign page posts a form to http://127.0.0.1:8080 (its Origin gives it away), and a foreign name is
 * made to resolve to 127.0.0.1 (DNS rebinding: its Host gives it away). A gateway with a token may be called by any
 * name, because the page would not have the token. Pure functions. */
#ifndef API_GUARD_H
#define API_GUARD_H

#include <stdbool.h>

#include "base/error.h"

struct guard {
    char *const *hosts;    /* names allowed beside loopback; NULL at the end; may be NULL */
    bool any_host;         /* a token is asked for */
    char public_host[256]; /* the one recipients call us by; empty: none */
};

/* host: the Host header; NULL: none, as HTTP/1.0 allows. origin, fetch_site: the headers Origin and Sec-Fetch-Site, or
 * NULL. Refuses with ERR_HOST_NOT_ALLOWED; ERR_REQUEST_MALFORMED when host is no authority. */
bool guard_check(const struct guard *guard, const char *host, const char *origin, const char *fetch_site,
                 struct error *err);

/* For what the web may see: a browser follows a link from wherever it stands, so only the host is looked at, and it may
 * also be the public one. That one opens nothing else: a proxy that passes on more than it should finds the door shut.
 */
bool guard_check_public(const struct guard *guard, const char *host, struct error *err);

/* The host of a URL as public_host has it, without its port. */
void guard_public_host(struct guard *guard, const char *url);

#endif
