/* gateway/reception.h - seam: a file that somebody on XMPP offers to us, from the offer to its last byte (the Target of
 * XEP-0065). The other way round from method.h.
 *
 * xmpp/ hears the offer, asks the receiver whether it is taken, moves the bytes, and says how it went; gateway/ decides
 * by its rules, keeps the bytes and checks them (receiving.c). Tests put a fake in its place.
 * Nothing in an offer is trusted: texts have passed the gate (base/text.h), numbers are claims that are held against
 * what comes. A reception lives from offered() to end(), which is called exactly once, by xmpp/. Thread: core's. No
 * function calls back from inside. */
#ifndef GATEWAY_RECEPTION_H
#define GATEWAY_RECEPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/jid.h"
#include "gateway/carrier.h"
#include "gateway/record.h"

/* What a sender says of a file. Borrowed for the call. */
struct incoming {
    const struct jid *from; /* full, as the server stamped it */
    const struct jid *to;   /* the address of ours that it was sent to, as in the stanza */
    const char *method;     /* "jingle-s5b", "jingle-ibb", "si-s5b", "si-ibb", "s5b", "ibb": as in method_ops */
    const char *name;       /* NULL: none, as of a bytestream without an offer */
    const char *type;       /* NULL: not said */
    const char *caption;    /* NULL: none */
    int64_t size;           /* -1: not said; then the stream's end is the file's */
    int64_t modified;       /* wall clock ms, 0: not said */
    const char *hash_algo;  /* as in XEP-0300, or "md5" of XEP-0096; NULL: none was promised (yet) */
    const char *hash;       /* lower-case hex; NULL with hash_algo NULL */
    bool ranges;            /* the sender can begin somewhere else than at the start */
};

struct reception; /* the gateway's own */

struct reception_events {
    /* It is taken away: by a caller of the API, or because we stop. Tell the sender, then end() it with that error. */
    void (*revoked)(void *user, const struct error *why);
};

struct receiver {
    const struct receiver_ops *ops;
    struct carrier *carrier;
};

typedef void reception_done_fn(void *user, const struct error *err);

struct receiver_ops {
    /* Whether that offer is taken. NULL with *err set: ERR_SENDER_NOT_ALLOWED (to a stranger it is a refusal like any
     * other), ERR_METHOD_UNSUPPORTED (without an offer, and no rule takes such), ERR_BODY_TOO_LARGE,
     * ERR_QUOTA_EXCEEDED, ERR_RATE_LIMITED, ERR_SPOOL_FULL, ERR_STORE_UNAVAILABLE, ERR_DRAINING. */
    struct reception *(*offered)(struct receiver *r, const struct incoming *offer,
                                 const struct reception_events *events, void *user, struct error *err);

    /* Whether anybody at all may send to that address of ours: decides what is announced (XEP-0030). */
    bool (*receives)(const struct receiver *r, const struct jid *to);

    /* How many of its first bytes are here already, from an earlier try; 0 unless the offer had `ranges`. The sender is
     * to begin there. Where he does not, begin() says so. */
    uint64_t (*offset)(const struct reception *re);

    /* A line of its timeline; by which path it comes, as method_host_ops.chose(). */
    void (*step)(struct reception *re, enum step_direction direction, const char *name, const char *outcome,
                 const char *detail);
    void (*chose)(struct reception *re, const char *path, const char *streamhost);

    /* Bytes are about to come, and the first of them is the file's `offset`: 0, or what offset() told. Once. A file for
     * carrier_ops.receive(), which writes from that offset on and takes at most *most bytes: the size that was claimed
     * less the offset, or what the rules allow. The file is held by whoever reads into it. NULL with *err set. */
    struct shared_fd *(*begin)(struct reception *re, uint64_t offset, uint64_t *most, struct error *err);

    /* The carrier's way: so many came since begin(). A tick for progress; what counts is told to complete(). */
    void (*moved)(struct reception *re, uint64_t moved);

    /* The in-band way, after begin(): these came next. ERR_SIZE_EXCEEDED: more than was claimed or allowed. */
    bool (*write)(struct reception *re, const void *data, size_t len, struct error *err);

    /* The stream is over: `moved` bytes since begin() are in the file. hash: what the sender has claimed since the
     * offer (algo NULL: nothing). extra: he sent something behind the claimed size. Answers once, never from inside,
     * not after end(): err NULL when all of it is here, as promised, and as durable as configured; ERR_TRUNCATED,
     * ERR_SIZE_EXCEEDED, ERR_HASH_MISMATCH, ERR_SPOOL_FULL, ERR_STORE_UNAVAILABLE. */
    void (*complete)(struct reception *re, uint64_t moved, const char *hash_algo, const char *hash, bool extra,
                     reception_done_fn *done, void *user);

    /* It is over. why NULL: after a good complete(). Else what has come by `moved` or write() may be kept for another
     * try. NULL is fine; leaves *re NULL. */
    void (*end)(struct reception **re, const struct error *why);
};

#endif
