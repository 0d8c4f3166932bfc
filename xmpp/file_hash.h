/* xmpp/file_hash.h - a file's SHA-256 as XEP-0300 writes it. Pure; thread: core's. */
#ifndef XMPP_FILE_HASH_H
#define XMPP_FILE_HASH_H

#include <strophe.h>

/* <hash xmlns=ns algo='sha-256'/> with the digest in base64. sha256: 64 lower-case hex digits. NULL: out of memory. */
xmpp_stanza_t *file_hash(xmpp_ctx_t *ctx, const char *ns, const char *sha256);

/* An element of that name without one: "hash-used" announces that a checksum follows, and before the second version of
 * the XEP an empty "hash" did. */
xmpp_stanza_t *file_hash_to_come(xmpp_ctx_t *ctx, const char *name, const char *ns);

#endif
