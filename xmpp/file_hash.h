/* xmpp/file_hash.h - a file's digest as XEP-0300 writes it: ours a SHA-256, a peer's what it likes. Pure; thread:
 * core's.
 */
#ifndef XMPP_FILE_HASH_H
#define XMPP_FILE_HASH_H

#include <stdbool.h>
#include <strophe.h>

/* <hash xmlns=ns algo='sha-256'/> with the digest in base64. sha256: 64 lower-case hex digits. NULL: out of memory. */
xmpp_stanza_t *file_hash(xmpp_ctx_t *ctx, const char *ns, const char *sha256);

/* An element of that name without one: "hash-used" announces that a checksum follows, and before the second version of
 * the XEP an empty "hash" did. */
xmpp_stanza_t *file_hash_to_come(xmpp_ctx_t *ctx, const char *name, const char *ns);

/* What a peer says. */
struct file_digest {
    const char *algo; /* as in XEP-0300; NULL: none was said */
    char hex[129];    /* lower-case */
};

/* The strongest of the <hash/> elements there (either version of the XEP), of those that can be told: SHA-512, SHA-3,
 * BLAKE2b, SHA-256, SHA-1. false: none, and *out is empty. */
bool file_hash_read(xmpp_stanza_t *file, struct file_digest *out);

#endif
