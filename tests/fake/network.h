/* tests/fake/network.h - a network whose answers and methods the test decides.
 *
 * Two methods, "one", which may go on as "two", and "two", which wants a digest; "kin", whose offer is of the same kind
 * as that of "one"; and an offline one, "post". What they are asked to do is kept in calls, and what they report is
 * called by the test. Everything runs on the test's own thread and loop. */
#ifndef FAKE_NETWORK_H
#define FAKE_NETWORK_H

#include <stdbool.h>
#include <uv.h>

#include "gateway/carrier.h"
#include "gateway/network.h"

enum { FAKE_CALLS = 64 };

struct method {
    struct fake_network *network;
    struct method_host *host;
    const char *name;
};

struct fake_network {
    struct network network;     /* first */
    char calls[FAKE_CALLS][96]; /* "find ana@…", "offer one ana@…/desk", "stream one 5", "end one" … */
    size_t call_count;

    network_recipient_fn *finding; /* pending question; NULL: none */
    void *finding_user;
    struct method *method; /* the one at work; NULL: none */
    bool refuse_offers;    /* offer() itself fails, with method_unsupported */
    int64_t retry_at;      /* of the failures reported */
    enum sight sight;
    char succeeded[JID_MAX + 1];     /* the last device that a file got to */
    bool mute;                       /* nothing can be said */
    bool asked_before;               /* subscribe() has nothing to send */
    enum error_code subscribe_fails; /* with this; ERR_NONE: it does not */
    const char *link_at;             /* of the links reported */
    bool own_link;
    struct offer offered; /* the last offer's values; to is not kept */
    struct network_events events;
};

void fake_network_init(struct fake_network *f);

/* Answers the pending question with one resource that can do those methods ("one", "two", NULL ends). */
void fake_network_found(struct fake_network *f, const char *full_jid, const char *first, const char *second);
/* With two resources, each capable of "one". */
void fake_network_found_two(struct fake_network *f, const char *best, const char *next);
void fake_network_not_found(struct fake_network *f, enum error_code code);

void fake_method_report(struct fake_network *f, enum method_event event, enum error_code code);
const char *fake_last_call(const struct fake_network *f);

#endif
