#include "gateway/outcome.h"

#include "base/metrics.h"

/* Before somebody says yes, the record's path is that of another attempt, or none. */
static const char *path_of(const struct record *r, const struct attempt *a)
{
    return a->stage == STAGE_CONNECT || a->stage == STAGE_TRANSFER ? r->path : NULL;
}

void outcome_count_attempt(const struct record *r, const struct attempt *a)
{
    metric_add(METRIC_ATTEMPTS, 1, a->method, path_of(r, a),
               a->error.code == ERR_NONE ? "ok" : error_name(a->error.code));
}

void outcome_count(const struct record *r)
{
    metric_add(METRIC_TRANSFERS, 1, transfer_state_name(r->state), error_name(r->error_code));
    metric_observe(METRIC_TRANSFER_SIZE, (int64_t)r->size);
    if (r->sent > 0)
        metric_add(METRIC_TRANSFER_BYTES, (int64_t)r->sent, r->method, r->path);
    if (r->state == TRANSFER_DELIVERED || r->state == TRANSFER_LINK_SENT)
        metric_observe(METRIC_TRANSFER_DURATION, r->finished - r->created, r->method);
}
