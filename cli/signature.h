/* cli/signature.h - whether a webhook came from who knows the secret (Standard Webhooks, symmetric signatures). */
#ifndef CLI_SIGNATURE_H
#define CLI_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct signed_message {
    const char *id, *timestamp; /* the headers webhook-id and webhook-timestamp */
    const char *signatures;     /* webhook-signature: "v1,BASE64", several with blanks between */
};

/* secret: "whsec_" and base64, or that base64 alone. now_s: seconds since 1970; older or newer by more than five
 * minutes is refused. ERR_AUTH_INVALID, ERR_AUTH_EXPIRED, or ERR_CONFIG for a secret that is none. */
bool signature_check(const struct signed_message *m, const char *secret, const void *body, size_t len, int64_t now_s,
                     struct error *err);

#endif
