/* gateway/inbox_hash.h - digests of a file that was sent to us: our own SHA-256, and the one its sender promised.
 *
 * A plain value of one thread; the reading belongs in the pool. */
#ifndef GATEWAY_INBOX_HASH_H
#define GATEWAY_INBOX_HASH_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/evp.h>

enum { INBOX_DIGEST = 2 * EVP_MAX_MD_SIZE + 1 };

struct inbox_hash {
    EVP_MD_CTX *sha256, *promised; /* promised NULL: nothing, or by an algorithm that is not known */
    uint64_t at;
};

/* Whether that algorithm (XEP-0300, or "md5" of XEP-0096) is one we compute. */
bool inbox_hash_known(const char *algo);

/* algo NULL, or unknown: our own alone. false: out of memory. inbox_hash_close() in any case. */
bool inbox_hash_open(struct inbox_hash *h, const char *algo);

/* The next bytes of the file, `most` at the most, up to size. false: it cannot be read. */
bool inbox_hash_read(struct inbox_hash *h, int fd, uint64_t size, uint64_t most);

/* Lower-case hex; promised is empty when there is none. */
bool inbox_hash_finish(struct inbox_hash *h, char sha256[static INBOX_DIGEST], char promised[static INBOX_DIGEST]);
void inbox_hash_close(struct inbox_hash *h);

#endif
