/* api/digests.h - Content-Digest and Repr-Digest (RFC 9530): what a caller promises of the bytes it sends.
 *
 * A body here is always a whole representation as it is, so the two fields say the same. Algorithms we do not know are
 * ignored, as the RFC asks. Pure functions; any bytes may come in. */
#ifndef API_DIGESTS_H
#define API_DIGESTS_H

#include "gateway/gateway.h"

/* Adds one line of a field, a dictionary (RFC 8941 section 3.2) of byte sequences, to what earlier lines said; of two
 * for one algorithm the last counts. *d starts zeroed. ERR_REQUEST_MALFORMED. */
bool digests_read(struct digests *d, const char *line, struct error *err);

/* What the other field said: ERR_DIGEST_MISMATCH when the two cannot both be true. */
bool digests_merge(struct digests *d, const struct digests *other, struct error *err);

#endif
