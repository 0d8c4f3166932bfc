/* xmpp/proxies.h - the bytestream proxies a file could go through (XEP-0065 section 6, the seed's examples 3 to 10).
 *
 * The address query goes to the configured ones, and to those of the own server's services (xmpp/services.h) that say
 * they are proxies; 8 questions at a time. Addresses are kept an hour, refusals ten minutes. Thread: core's. */
#ifndef XMPP_PROXIES_H
#define XMPP_PROXIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/network.h"
#include "xmpp/client.h"

struct streamhost {
    char jid[JID_MAX + 1]; /* verbatim from the answer: it may differ from whom we asked, and is what is activated */
    char host[256];
    uint16_t port;
};

struct proxies *proxies_create(struct client *c, void (*changed)(void *user), void *user); /* NULL: out of memory */
void proxies_destroy(struct proxies **p);
void proxies_online(struct proxies *p);  /* the session is up: discover what is not known or too old */
void proxies_offline(struct proxies *p); /* pending questions end */

/* Calls ready once, never from inside the call, when every proxy has answered or failed to in time, or after two
 * seconds if at least one is known. Returns a
 * ticket for proxies_forget(), 0: out of memory. Costs nothing when all is known. */
uint64_t proxies_wait(struct proxies *p, void (*ready)(void *user), void *user);
void proxies_forget(struct proxies *p, uint64_t ticket);

/* The usable streamhosts, our own relay before all others and then configured ones, at most max; returns how many. Our
 * own is asked for nothing, and found on no server. */
size_t proxies_list(const struct proxies *p, struct streamhost *out, size_t max);

/* Whether it is the address of one of them: where we would go to on our own. */
bool proxies_know(const struct proxies *p, const char *host, uint16_t port);

/* A transfer found this one wanting: kept out of offers for ten minutes, then asked again. */
void proxies_failed(struct proxies *p, const char *jid, const struct error *why);

size_t proxies_view(const struct proxies *p, struct proxy_view *out, size_t max);

#endif
