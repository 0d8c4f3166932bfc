/* xmpp/dns.h - where an XMPP server listens: SRV records (RFC 6120 section 3.2, XEP-0368), then addresses.
 *
 * The questions are asked in uv's thread pool, because libstrophe would ask them on the loop and block it. Answers
 * are numeric, which is what libstrophe is given to connect to.
 * Thread: the loop's. */
#ifndef XMPP_DNS_H
#define XMPP_DNS_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"

enum { DNS_ADDRESSES = 8, DNS_HOST = 256 };

struct dns_question {
    const char *service; /* "_xmpp-client._tcp": look there first; NULL: only host itself */
    const char *host;    /* name, in UTF-8, or an address; "[::1]" too; shorter than DNS_HOST */
    uint16_t port;       /* of host itself */
};

struct dns_address {
    char host[64]; /* numeric */
    uint16_t port;
    bool loopback;
};

struct dns_answer {
    struct dns_address addresses[DNS_ADDRESSES]; /* in the order to try them */
    size_t count;
    struct error error; /* count 0: ERR_REMOTE_SERVER_UNREACHABLE, or ERR_CANCELLED */
};

typedef void dns_done_fn(void *user, const struct dns_answer *answer);

struct dns_lookup;

/* done is called exactly once, never from inside the call. NULL: out of memory. */
struct dns_lookup *dns_ask(uv_loop_t *loop, const struct dns_question *question, dns_done_fn *done, void *user);

/* Makes the answer come soon, if the system's resolver lets go; it still comes. */
void dns_hurry(struct dns_lookup *lookup);

/* One SRV record. */
struct dns_service {
    uint16_t priority, weight, port;
    char target[DNS_HOST]; /* "" is the root: the service is declared absent */
};

/* Reads the SRV records of a DNS response (RFC 1035 section 4.1, RFC 2782); returns how many, at most max. Anything
 * malformed ends the reading. Pure. */
size_t dns_read_services(const uint8_t *response, size_t len, struct dns_service *out, size_t max);

/* Puts them into the order to try: by priority, and among equals at random by weight. */
void dns_order_services(struct dns_service *services, size_t count);

#endif
