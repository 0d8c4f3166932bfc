/* gateway/webhook_sign.h - the signature under a webhook, by Standard Webhooks (standardwebhooks.com, "Signature
 * scheme"): HMAC-SHA256 over "id.timestamp.body", so that a receiver knows whose it is and that it is not an old one.
 *
 * Pure functions. */
#ifndef GATEWAY_WEBHOOK_SIGN_H
#define GATEWAY_WEBHOOK_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SECRET_LEAST = 24, SECRET_MOST = 64, SIGNATURE_TEXT = 3 + 44 + 1 };

struct webhook_secret {
    unsigned char bytes[SECRET_MOST];
    size_t length; /* 0: none */
};

/* "whsec_" and base64 of 24 to 64 bytes, as the specification wants them. false: it is none. */
bool webhook_secret_parse(const char *text, struct webhook_secret *out);

/* "v1,<base64>". timestamp: seconds since 1970. false: the library has no such digest. */
bool webhook_sign(const struct webhook_secret *secret, const char *id, int64_t timestamp, const char *body,
                  size_t length, char out[static SIGNATURE_TEXT]);

#endif
