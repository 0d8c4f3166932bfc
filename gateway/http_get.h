/* gateway/http_get.h - a file comes from a URL that a caller named, by HTTP GET (RFC 9110 section 9.3.1).
 *
 * Whoever names it must not learn from us what lies behind the gateway: each address that a name leads to is judged
 * before it is connected to (egress_allows_url()), each redirect is checked as the URL was, at most three of them, and
 * of an answer that is no success nothing but its status is told. Thread: the loop's. */
#ifndef GATEWAY_HTTP_GET_H
#define GATEWAY_HTTP_GET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"

struct http_getter;

/* Of an answer that is one; texts are good for the call, NULL: not said. */
struct http_head {
    const char *type, *disposition;
    int64_t length; /* -1: not said */
};

struct http_get {
    const char *url;               /* checked, copied */
    char *const *allow_hosts;      /* for redirects; borrowed until the end */
    unsigned stall_ms, timeout_ms; /* with next to nothing coming for so long; and for all of it */
    /* From inside the library: neither may forget it. false with *err set: that is its end. */
    bool (*head)(void *user, const struct http_head *h, struct error *err);
    bool (*data)(void *user, const void *data, size_t len, struct error *err);
    void (*done)(void *user, const struct error *err); /* once, never from inside http_get(); err NULL: all came */
    void *user;
};

/* As http_create() in http_put.h. */
struct http_getter *http_getter_create(uv_loop_t *loop, const char *ca, char *const *allow_nets, struct error *err);
void http_getter_destroy(struct http_getter **g);

/* Begins. A ticket, not 0; 0 with *err set when it cannot begin. */
uint64_t http_get(struct http_getter *g, const struct http_get *is, struct error *err);

/* Breaks it off, without a word. */
void http_get_forget(struct http_getter *g, uint64_t ticket);

#endif
