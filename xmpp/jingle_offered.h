/* xmpp/jingle_offered.h - what a peer says of a file that it offers by Jingle (XEP-0234), before anything is believed.
 *
 * Both versions in use are read and answered in kind (their namespaces differ). Texts have passed the gate; numbers are
 * in range. Thread: core's. */
#ifndef XMPP_JINGLE_OFFERED_H
#define XMPP_JINGLE_OFFERED_H

#include <stdbool.h>
#include <stdint.h>
#include <strophe.h>

#include "xmpp/file_hash.h"
#include "xmpp/jingle.h"

enum { JINGLE_OFFERED_TEXT = 1024 };

struct jingle_offered {
    const char *ns;
    char name[JINGLE_OFFERED_TEXT], type[256], caption[JINGLE_OFFERED_TEXT]; /* "": not said */
    int64_t size;                                                            /* -1: not said */
    int64_t modified;                                                        /* wall clock ms, 0: not said */
    struct file_digest digest;
    bool ranges;     /* the sender can begin somewhere else than at the start */
    uint64_t offset; /* and begins here, unless asked for something else; 0: at the start */
};

/* false with *why set when that session-initiate is no offer that can be taken, whoever it comes from. */
bool jingle_offered_read(xmpp_stanza_t *jingle, struct jingle_offered *out, struct jingle_reason *why);

/* The <description/> of our yes; offset: where the sender is to begin. NULL: out of memory. */
xmpp_stanza_t *jingle_offered_answer(xmpp_ctx_t *ctx, const struct jingle_offered *o, uint64_t offset);

/* The digest in a session-info's <checksum/>: false when there is none that we know. */
bool jingle_offered_checksum(xmpp_stanza_t *jingle, struct file_digest *out);

#endif
