/* xmpp/jingle_description.h - a file as Jingle describes it (XEP-0234), whatever it then travels on.
 *
 * The two versions in use differ in their namespace and in that of their hashes (XEP-0300). Thread: core's. */
#ifndef XMPP_JINGLE_DESCRIPTION_H
#define XMPP_JINGLE_DESCRIPTION_H

#include <stdbool.h>
#include <stdint.h>
#include <strophe.h>

#include "gateway/method.h"

struct jingle_file {
    char *name;
    char *type;    /* NULL: none */
    char *caption; /* NULL: none */
    char *sha256;  /* lower-case hex; NULL: not known yet */
    uint64_t size;
    int64_t modified;
    bool no_digest; /* sha256 NULL: and none will come */
    const char *ns, *hashes_ns;
};

/* Its name is fit to be offered; ERR_NAME_INVALID, or ERR_INTERNAL when memory is out. */
bool jingle_file_copy(struct jingle_file *f, const struct offer *o, struct error *err);
void jingle_file_clear(struct jingle_file *f); /* a zeroed one is fine too */

/* sha256: lower-case hex. false: out of memory. */
bool jingle_file_set_digest(struct jingle_file *f, const char *sha256);

/* The <description/> of an offer. Without a digest it promises one, if one may come. NULL: out of memory, or a text
 * that is no XML. */
xmpp_stanza_t *jingle_file_description(xmpp_ctx_t *ctx, const struct jingle_file *f);

/* The <checksum/> of a session-info, for the content of that name. NULL: out of memory. The digest is known. */
xmpp_stanza_t *jingle_file_checksum(xmpp_ctx_t *ctx, const struct jingle_file *f, const char *content);

/* The <range/> of a session-accept's content; NULL: none. */
xmpp_stanza_t *jingle_file_range(xmpp_stanza_t *content);

/* Whether a session-info holds that element of file transfer: "received", "checksum". */
bool jingle_file_says(xmpp_stanza_t *jingle, const char *what);

#endif
