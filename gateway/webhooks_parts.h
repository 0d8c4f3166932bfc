/* gateway/webhooks_parts.h - an endpoint, a delivery on its way, and what the parts share: for gateway/webhooks*.c
 * alone.
 *
 *     webhooks.c          endpoints come and go; what happens becomes deliveries; what is due, from the store
 *     webhooks_send.c     a delivery on its way, and what comes of it
 *     webhooks_ask.c      for the API: how they are, a test, one more time
 *
 * Thread: core's. */
#ifndef GATEWAY_WEBHOOKS_PARTS_H
#define GATEWAY_WEBHOOKS_PARTS_H

#include <sys/queue.h>

#include "gateway/http_post.h"
#include "gateway/webhooks.h"

enum {
    WEBHOOK_PARALLEL = 8,       /* requests of one endpoint at once */
    WEBHOOK_PAUSE_MS = 5 * 1000 /* after the store or memory failed */
};

struct flight;

/* One endpoint. */
struct hook {
    TAILQ_ENTRY(hook) link;
    struct webhooks *all;
    char name[WEBHOOK_NAME];
    const struct webhook *is; /* in all->list; NULL: it is gone */
    struct http_poster *poster;
    LIST_HEAD(, flight) flights; /* tests too */
    size_t flight_count;         /* but they are not counted */
    LIST_HEAD(, flight) landed;  /* over since a look began, which may have read them as they were */
    size_t outstanding;          /* looks and outcomes that will come back */
    bool gone;                   /* from the configuration: it goes once nothing is outstanding */
    bool off;
    bool looking, again;      /* a look is under way; and one more is due then */
    int64_t next_due;         /* wall clock; 0: nothing waits */
    int64_t rests_until;      /* monotonic */
    struct gateway_hook view; /* its last result */
};

/* A delivery on its way, until its outcome is committed. */
struct flight {
    struct message message;
    LIST_ENTRY(flight) link;
    struct hook *hook;
    char id[ID_SIZE];
    struct delivery *d;           /* NULL: at the store's writer */
    bool failed;                  /* to be written */
    gateway_hook_test_fn *tested; /* of a test; else NULL */
    void *user;
};

struct webhooks {
    struct webhooks_env env;
    struct webhook_list list;
    TAILQ_HEAD(hooks, hook) hooks, gone;
    size_t made; /* calls of webhooks_make() that had something to say, less those that are committed */
    bool stopped;
    bool moved;       /* something was made or sent, since the backlog was counted */
    int64_t count_at; /* monotonic */
};

/* ---- webhooks.c */

/* What is due for it is sent, as far as there is room. */
void hook_look(struct hook *h);

/* Something will come back to the loop; it has. false: it was the last of one that is gone, and so is h. */
void hook_expect(struct hook *h);
bool hook_came_back(struct hook *h);

/* It asks nothing of store and memory for a while. */
void hook_rest(struct hook *h);

/* NULL with *err set (if it is not NULL): there is none of that name. */
struct hook *hook_find(const struct webhooks *w, const char *name, struct error *err);

/* ---- webhooks_send.c */

/* Takes d, and counts. */
void flight_launch(struct hook *h, struct delivery *d);

/* Takes d, of a test. false with *err set, d freed: it cannot begin. */
bool flight_test(struct hook *h, struct delivery *d, gateway_hook_test_fn *done, void *user, struct error *err);

bool flight_is_under_way(const struct hook *h, const char *id);

/* Or was, when the look that is under way began. */
bool flight_was_under_way(const struct hook *h, const char *id);

/* That look is over. */
void flights_forget_landed(struct hook *h);

/* Breaks off what is on its way; what is at the writer comes back. Nothing more can be sent. */
void flights_end(struct hook *h);

#endif
