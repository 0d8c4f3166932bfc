/* xmpp/jingle_file.h - a file as Jingle describes it (XEP-0234), whatever it then travels on. Thread: core's. */
#ifndef XMPP_JINGLE_FILE_H
#define XMPP_JINGLE_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <strophe.h>

#include "gateway/method.h"

struct jingle_file {
    char *name;
    char *type;    /* NULL: none */
    char *caption; /* NULL: none */
    char *sha256;  /* base64; NULL: not known */
    uint64_t size;
    int64_t modified;
};

/* Its name is fit to be offered; ERR_NAME_INVALID, or ERR_INTERNAL when memory is out. */
bool jingle_file_copy(struct jingle_file *f, const struct offer *o, struct error *err);
void jingle_file_clear(struct jingle_file *f); /* a zeroed one is fine too */

/* The <description/> of an offer. NULL: out of memory, or a text that is no XML. */
xmpp_stanza_t *jingle_file_description(xmpp_ctx_t *ctx, const struct jingle_file *f);

/* The <checksum/> of a session-info, for the content of that name; NULL also when no digest is known. */
xmpp_stanza_t *jingle_file_checksum(xmpp_ctx_t *ctx, const struct jingle_file *f, const char *content);

/* Whether the content of a session-accept asks for a part of the file. */
bool jingle_file_wants_part(const struct jingle_file *f, xmpp_stanza_t *content);

#endif
