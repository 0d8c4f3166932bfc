/* gateway/config_values.h - how values are written in jidpost.ini and the environment.
 *
 * Pure readers; each returns false for what is no such value and leaves the sentence to its caller. */
#ifndef GATEWAY_CONFIG_VALUES_H
#define GATEWAY_CONFIG_VALUES_H

#include <stdbool.h>
#include <stdint.h>

/* Decimal digits alone. */
bool value_count(const char *text, uint64_t *out);

/* A count with K, M, G or T behind it (powers of 1024), or bytes. */
bool value_size(const char *text, uint64_t *out);

/* A count with ms, s, m, h or d behind it, in milliseconds. The unit is not optional: "30" could be either. */
bool value_time(const char *text, int64_t *out_ms);

struct value_address {
    char host[256]; /* a name, or a literal in its one spelling without brackets; "" when left out */
    int port;       /* -1: left out */
};

/* "host", "host:port", ":port", "[v6]", "[v6]:port", and a bare IPv6 address. */
bool value_address(const char *text, struct value_address *out);

/* Whether only this machine reaches it: 127/8, ::1, localhost. */
bool value_is_loopback(const char *host);

/* "192.0.2.0/24", "2001:db8::/32", or one address. */
bool value_is_net(const char *text);

/* The words between commas and spaces, NULL at the end; an empty list for "". NULL: out of memory. */
char **value_list(const char *text);
void value_list_free(char **list);

#endif
