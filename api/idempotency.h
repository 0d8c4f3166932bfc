/* api/idempotency.h - Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07): which requests are the same.
 *
 * HTTP thread. */
#ifndef API_IDEMPOTENCY_H
#define API_IDEMPOTENCY_H

#include "api/request.h"

/* A string in quotes, as the draft has it, or the bare word that most callers write: 1 to 255 bytes, printable ASCII,
 * a bare one without spaces, quotes, commas and semicolons. Both forms of one text are one key. Pure. */
bool idempotency_key_read(char out[static KEY_TEXT], const char *value);

/* Reads the header into rq->key_used, with the print of the request: method, target, length and promised digests; its
 * text stays empty when there is none. ERR_REQUEST_MALFORMED. */
bool idempotency_begin(struct request *rq, struct error *err);

#endif
