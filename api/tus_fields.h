/* api/tus_fields.h - the header fields of tus 1.0 that have a grammar of their own. Pure functions; any bytes may come
 * in. */
#ifndef API_TUS_FIELDS_H
#define API_TUS_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* One pair of an Upload-Metadata, its value decoded and, behind len bytes of anything, terminated. false: it is enough.
 */
typedef bool tus_pair_fn(void *user, const char *key, const char *value, size_t len, struct error *err);

/* "key base64,key base64": keys are printable ASCII without spaces and commas, and each is there once; a value may be
 * empty, and then its space may be, too. ERR_PARAMETER_INVALID; or what pair() said. */
enum { TUS_METADATA = 8192, TUS_KEY = 128 };
bool tus_metadata_read(const char *line, tus_pair_fn *pair, void *user, struct error *err);

/* The algorithms of Upload-Checksum, as OPTIONS tells them: "sha1,sha256,sha512". */
#define TUS_CHECKSUMS "sha1,sha256,sha512"

struct tus_checksum {
    const char *algorithm; /* as OpenSSL calls it; NULL: none */
    unsigned char value[64];
    size_t size;
};

/* "sha1 base64". ERR_DIGEST_UNSUPPORTED: no algorithm of ours; ERR_REQUEST_MALFORMED. */
bool tus_checksum_read(const char *value, struct tus_checksum *out, struct error *err);

#endif
