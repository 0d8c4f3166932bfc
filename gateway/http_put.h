/* gateway/http_put.h - seam: a file goes where a URL says, by HTTP PUT (RFC 9110 section 9.3.4).
 *
 * http_put.c implements it with libcurl, the one file that knows the library; tests put a fake in its place. For the
 * upload slots of XEP-0363: the URL comes from our own server, so the egress filter lets it lead into a private
 * network, but no further (egress_allows_own()); a redirect is a failure, since the slot was for that place alone.
 * Thread: core's. */
#ifndef GATEWAY_HTTP_PUT_H
#define GATEWAY_HTTP_PUT_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"

struct http {
    const struct http_ops *ops;
};

struct http_header {
    const char *name;
    const char *value; /* one with a control character is refused */
};

typedef void http_progress_fn(void *user, uint64_t sent);

/* err NULL: everything was sent and the answer is 200 or 201. ERR_UPLOAD_SERVICE_REFUSED: this file or this slot (4xx);
 * ERR_UPLOAD_SERVICE_QUOTA: not now (429, 507); ERR_UPLOAD_SERVICE_FAILED: everything else. */
typedef void http_done_fn(void *user, const struct error *err);

struct http_put {
    const char *url;
    const char *type; /* media type; NULL: none */
    const struct http_header *headers;
    size_t header_count;
    int fd; /* borrowed until done or forget */
    uint64_t offset, length;
    unsigned stall_ms;          /* with next to nothing moving for so long, it has failed */
    http_progress_fn *progress; /* now and then, also from inside the library: only takes note */
    http_done_fn *done;         /* once, never from inside put() */
    void *user;
};

struct http_ops {
    /* Begins; p is borrowed for the call. A ticket, not 0; 0 with *err set when it cannot begin. */
    uint64_t (*put)(struct http *h, const struct http_put *p, struct error *err);
    /* Breaks it off, without a word; one that is over already is fine. Not from inside progress(). */
    void (*forget)(struct http *h, uint64_t ticket);
};

/* ca: a PEM file beside the system's, NULL: none; allow_nets: as for egress_create(). NULL with *err set: memory or
 * descriptors are out. */
struct http *http_create(uv_loop_t *loop, const char *ca, char *const *allow_nets, struct error *err);

/* Whatever is under way ends without a word; the loop must still turn until its handles are closed. */
void http_destroy(struct http **h);

#endif
