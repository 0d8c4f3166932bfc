/* gateway/webhooks.h - events go to the endpoints of the configuration, by Standard Webhooks (standardwebhooks.com).
 *
 * An event becomes a delivery for each endpoint that wants it: a row of the store, which is written in one transaction
 * with the row of the transfer that it tells of (webhooks_make(), store_put_told()). So a crash may repeat one, under
 * the same webhook-id, and never lose one; and how much waits is a matter of the disk. In memory is only what is on
 * its way.
 *
 * Each endpoint has its own HTTP client, so many requests at once, and its own times: one that is dead slows no other.
 * Of one transfer an endpoint gets one delivery after the other, and none before those before it are taken or given up.
 * A delivery is sent up to eight times (webhook_schedule.h), then it is dead, and sent again when somebody asks. An
 * answer of 410 switches the endpoint off, until the configuration is read again: nothing is made for it, and what
 * waits goes on waiting.
 *
 * Thread: core's. Times are wall-clock, for they outlive us; nothing is armed for them, webhooks_tick() looks. */
#ifndef GATEWAY_WEBHOOKS_H
#define GATEWAY_WEBHOOKS_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "base/mailbox.h"
#include "gateway/events.h"
#include "gateway/gateway.h"
#include "gateway/store.h"
#include "gateway/webhook.h"

struct webhooks;

/* What they are lent; all of it outlives them. */
struct webhooks_env {
    uv_loop_t *loop;
    struct mailbox *mailbox; /* of that loop */
    struct store *store;
    size_t *pending;                                                 /* counts what will come back to the loop */
    char *(*render)(const struct event *e);                          /* the body, to be freed; NULL: out of memory */
    void (*disabled)(void *user, const char *name, const char *why); /* an endpoint is off now; may be NULL */
    void *user;
};

/* NULL with *err set. */
struct webhooks *webhooks_create(const struct webhooks_env *env, const struct webhook_list *list, struct error *err);

/* Nothing new is begun, and what is on its way is broken off: it will be sent again. What is in the store's hands still
 * comes back (pending). NULL is fine. */
void webhooks_stop(struct webhooks *w);

/* After webhooks_stop(), and when nothing is pending; the loop has to turn until its handles are closed. NULL is fine.
 */
void webhooks_destroy(struct webhooks **w);

/* Those of another configuration. One that is the same goes on undisturbed; all are on again. false with *err set: all
 * stays as it was. */
bool webhooks_replace(struct webhooks *w, const struct webhook_list *list, struct error *err);

/* Whether any is to be told of such an event (EVENT_BIT()), about that transfer (NULL: about none). */
bool webhooks_want(const struct webhooks *w, uint32_t type, const struct record *about);

/* The deliveries that tell of e; *out is NULL when nobody wants to know. They go into the store together with what they
 * tell, and once that is done, or has failed, webhooks_made() is due. false: out of memory. */
bool webhooks_make(struct webhooks *w, const struct event *e, struct delivery **out);
void webhooks_made(struct webhooks *w);

/* Both, for an event that no row goes with. */
void webhooks_tell(struct webhooks *w, const struct event *e);

/* Twice a second: what is due by now. */
void webhooks_tick(struct webhooks *w);

/* ---- for the API; each answers once, on this thread, maybe before it returns */

/* Of all; hooks->items[].backlog is for the caller to fill in. false: out of memory. */
bool webhooks_view(const struct webhooks *w, struct gateway_hooks *out);

/* ERR_NOT_FOUND: it has none of that name. */
bool webhooks_has(const struct webhooks *w, const char *name, struct error *err);

/* Sends a webhook.test now; it is not kept. */
void webhooks_test(struct webhooks *w, const char *name, gateway_hook_test_fn *done, void *user);

/* d, as the store has it, is sent again as if it were new. Takes it. */
void webhooks_again(struct webhooks *w, struct delivery *d, gateway_deliveries_fn *done, void *user);

#endif
