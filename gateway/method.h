/* gateway/method.h - seam: one way to offer a file to a resource and get it there.
 *
 * The host is a transfer (transfer_method.c); the methods live in xmpp/, one file each, listed in xmpp/methods.c.
 * A method lives from offer() to end(). It reports back only by the host's functions; end() is called exactly once,
 * by the host, never from inside one of the method's own functions: reports are queued.
 * Thread: core's. */
#ifndef GATEWAY_METHOD_H
#define GATEWAY_METHOD_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/jid.h"
#include "gateway/carrier.h"
#include "gateway/record.h"

enum method_event {
    METHOD_WAITING,     /* for a turn of ours: that is no time the recipient takes, so the deadline starts anew */
    METHOD_ACCEPTED,    /* the recipient said yes; now connecting */
    METHOD_STREAM_OPEN, /* bytes may flow: the host answers with stream() */
    METHOD_SWITCHED,    /* error: the session goes on by the method's successor, since this way it came to nothing */
    METHOD_PROGRESS,    /* moved: from the file's start, also where the recipient had the first of it already */
    METHOD_COMPLETE,    /* everything arrived, as far as this method can know (proof) */
    METHOD_LINK_SENT,   /* the recipient was told where to fetch it; whether he does, nobody knows */
    METHOD_FAILED       /* error */
};

struct method_report {
    enum method_event event;
    uint64_t moved;
    enum proof proof;    /* METHOD_COMPLETE */
    struct error error;  /* METHOD_FAILED, METHOD_SWITCHED */
    const char *link_at; /* METHOD_LINK_SENT: scheme and host the link leads to; borrowed */
    bool own_link;       /* METHOD_LINK_SENT: it is the one that publish() made */
    int64_t retry_at;    /* METHOD_FAILED: not worth another round before that wall-clock time; 0: as configured */
};

struct offer {
    const struct jid *to;   /* a full JID; for an offline method a bare one */
    const struct jid *from; /* the full JID of ours it comes from; NULL: the session's own */
    bool to_one;            /* the caller named a resource of it: of a room, nobody else is meant */
    const char *name;
    const char *type;
    uint64_t size;
    const char *sha256;    /* lower-case hex; NULL: not computed */
    bool no_digest;        /* and never will be: digest() will bring none, so none is to be promised */
    int64_t modified;      /* wall clock ms, 0: unknown */
    const char *caption;   /* NULL: none */
    char *const *features; /* what the resource announces, NULL at the end; NULL: nothing is known */
    unsigned answer_ms;    /* how long the recipient may take to say yes or no */
    unsigned connect_ms;   /* how long it may take to reach a streamhost, at the least */
    bool only_method;      /* the caller narrowed the ladder to this method */
    bool may_switch;       /* the method's successor is a rung below */
};

/* MAYBE: it is being looked into, and soon known. */
enum method_can { METHOD_CANNOT, METHOD_MAYBE, METHOD_CAN };

struct method; /* each method's own */

enum { METHOD_URL = 2048 };

/* The transfer, as a method sees it. */
struct method_host {
    const struct method_host_ops *ops;
    struct carrier *carrier;
    uv_loop_t *loop;
    const char *sha256; /* as in the offer, or known since; NULL: not yet */
    struct feed *feed;  /* the file still grows; NULL: it is whole. Set before stream(), if the method can follow */
};

struct method_host_ops {
    void (*report)(struct method_host *host, const struct method_report *report); /* queued, never recursive */
    void (*step)(struct method_host *host, enum step_direction direction, const char *name, const char *outcome,
                 const char *detail); /* a line of the timeline */
    /* "direct" or "proxy", and whose; or "inband", and NULL */
    void (*chose)(struct method_host *host, const char *path, const char *streamhost);
    /* Makes a link of our own to the file, in place of an earlier one; once METHOD_LINK_SENT is reported, the file
     * stays until the link is over. url is for the recipient alone. ERR_METHOD_UNSUPPORTED: we have no public address.
     */
    bool (*publish)(struct method_host *host, char url[static METHOD_URL], struct error *err);
};

struct method_ops {
    const char *name; /* "si-s5b": in configuration, rows, JSON and logs */
    /* Features the peer must announce (XEP-0030), NULL at the end; with "|" between them any one will do. */
    const char *const *needs;
    /* Offers. NULL with *err set when it cannot even begin. o is borrowed for the call. */
    struct method *(*offer)(struct method_host *host, void *network, const struct offer *o, struct error *err);
    /* Moves the file, or what of it the recipient asked for; after METHOD_STREAM_OPEN. The host holds file until end().
     */
    void (*stream)(struct method *m, struct shared_fd *file);
    /* What the offer did not say yet, some time after stream(): lower-case hex, NULL: it will never be known. A method
     * that has no use for a digest has no such function, and none is computed. */
    void (*digest)(struct method *m, const char *sha256);
    /* Tells the peer if it has to know, and frees. why: NULL after success. *m becomes NULL. */
    void (*end)(struct method **m, const struct error *why);
    /* Whether it could be begun at all now with a file of that size, whoever it is for; *why set if not. NULL: yes. */
    enum method_can (*can)(void *network, uint64_t size, struct error *why);
    bool follows;     /* stream() may come while the file still grows; else it comes once the file is whole */
    bool offline;     /* addressed to the bare JID, with nobody there: the last rung when no device can be offered to */
    const char *asks; /* the kind of its offer: who leaves one unanswered is not asked by another. NULL: none is made */
    const struct method_ops *successor; /* see METHOD_SWITCHED; works with the same struct method. NULL: none */
};

#endif
