/* gateway/http_post.h - a small body goes to a URL of the configuration by HTTP POST (RFC 9110 section 9.3.3).
 *
 * What the answer says beyond its status is neither kept nor told: whoever names the URL must not read by it what lies
 * behind the gateway. Redirects are not followed; the address is judged after its lookup, as it is connected to
 * (egress_allows_web()), and certificates are verified. Connections are kept for the next one. Thread: the loop's. */
#ifndef GATEWAY_HTTP_POST_H
#define GATEWAY_HTTP_POST_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "gateway/http_put.h"

struct http_poster;

struct http_answer {
    unsigned status;       /* 0: there was none */
    int64_t retry_after_s; /* as the answer asks, 0: it does not */
    int64_t took_ms;
    char why[96]; /* no status of success: what happened, in our words */
};

/* a is good for the call. */
typedef void http_posted_fn(void *user, const struct http_answer *a);

struct http_post {
    const char *url;
    const char *type; /* media type */
    const struct http_header *headers;
    size_t header_count;
    const char *body; /* copied */
    size_t length;
    unsigned timeout_ms;  /* for all of it */
    http_posted_fn *done; /* once, never from inside http_post() */
    void *user;
};

/* ca: a PEM file beside the system's, NULL: none; allow_nets: networks beside the public ones, and the only ones for
 * http:// (egress.h). NULL with *err set: memory or descriptors are out, or no network. */
struct http_poster *http_poster_create(uv_loop_t *loop, const char *ca, char *const *allow_nets, struct error *err);

/* Whatever is under way ends without a word; the loop must still turn until its handles are closed. Not from inside
 * done(). NULL is fine; leaves *p NULL. */
void http_poster_destroy(struct http_poster **p);

/* Begins; is is borrowed for the call. false with *err set: it cannot begin. */
bool http_post(struct http_poster *p, const struct http_post *is, struct error *err);

#endif
