/* gateway/outcome.h - what is counted of a transfer: each attempt at its end, and all else from the record of one that
 * is over. See base/metrics.h. */
#ifndef GATEWAY_OUTCOME_H
#define GATEWAY_OUTCOME_H

#include "gateway/record.h"

/* a: of r, and just ended. */
void outcome_count_attempt(const struct record *r, const struct attempt *a);

/* r is final, and that is committed. */
void outcome_count(const struct record *r);

#endif
