/* xmpp/upload_service.h - where our own server takes files for others to fetch (XEP-0363).
 *
 * One of the server's services (xmpp/services.h), or the server itself, with the limit its form tells (XEP-0128); kept
 * an hour, its absence ten minutes or to the end of the session. Thread: core's. */
#ifndef XMPP_UPLOAD_SERVICE_H
#define XMPP_UPLOAD_SERVICE_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/http_put.h"
#include "gateway/method.h"
#include "xmpp/client.h"

struct upload_service *upload_service_create(struct client *c); /* NULL: out of memory */
void upload_service_destroy(struct upload_service **u);         /* who waits is dropped without an answer */
void upload_service_offline(struct upload_service *u);          /* what is under way ends, and is told so */

void upload_service_online(struct upload_service *u); /* it is looked for, so that it is known */

/* Whether, as far as is known without a question, it takes a file of that size; as method_ops.can. */
enum method_can upload_service_takes(struct upload_service *u, uint64_t size, struct error *why);

enum { UPLOAD_URL = 2048, UPLOAD_HEADERS = 8, UPLOAD_VALUE = 4096 };

/* Where to put the file, with which headers, and where it can be fetched then. Both URLs are https, or http to a
 * loopback host; of the headers only Authorization, Cookie and Expires are here, on one line each. */
struct upload_slot {
    char put[UPLOAD_URL], get[UPLOAD_URL];
    struct http_header headers[UPLOAD_HEADERS];
    size_t header_count;
    char values[UPLOAD_HEADERS][UPLOAD_VALUE]; /* what headers point to */
};

struct upload_file {
    const char *name;
    const char *type; /* NULL: not told */
    uint64_t size;
};

/* slot: the callee's to free(); NULL: err says why, and retry_at (wall clock, 0: not told) when to ask again. */
typedef void upload_slot_fn(void *user, struct upload_slot *slot, const struct error *err, int64_t retry_at);

/* Asks for a slot; file is borrowed for the call, and done called once, never from inside it. A ticket, not 0; 0 with
 * *err set when it is known at once. ERR_METHOD_UNSUPPORTED: the server has no upload service; _REFUSED: not this file,
 * not us; _QUOTA: not now; _FAILED: a slot that cannot be used, or none. */
uint64_t upload_slot_ask(struct upload_service *u, const struct upload_file *file, upload_slot_fn *done, void *user,
                         struct error *err);
void upload_slot_forget(struct upload_service *u, uint64_t ticket);

#endif
