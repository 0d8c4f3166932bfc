/* base/metrics_parts.h - the table of metrics as its parts share it: for base/metrics*.c alone.
 *
 *     metrics.c         the labels, the bounds, the table; counting
 *     metrics_page.c    the page: formats and numbers */
#ifndef BASE_METRICS_PARTS_H
#define BASE_METRICS_PARTS_H

#include <stdatomic.h>

#include "base/metrics.h"

enum { METRICS_ROUTES = 64, METRICS_FEW = 16 };

enum metrics_kind { COUNTER, GAUGE, HISTOGRAM };

enum label_set {
    LABEL_NONE,
    LABEL_ROUTE,
    LABEL_HTTP_METHOD,
    LABEL_STATUS,
    LABEL_REASON,
    LABEL_LIMIT,
    LABEL_STATE,
    LABEL_CODE,
    LABEL_METHOD,
    LABEL_PATH,
    LABEL_RESULT,
    LABEL_OUTCOME,
    LABEL_DIRECTION,
    LABEL_KIND,
    LABEL_EVICTION,
    LABEL_OPERATION,
    LABEL_DELIVERY,
    LABEL_PROXY,
    LABEL_VERSION,
    LABEL_REVISION
};

struct metrics_label {
    const char *name;
    const char *const *values; /* the last is "other"; NULL: whatever is told */
    size_t count;
};
extern const struct metrics_label metrics_labels[];

typedef atomic_uint_least64_t metrics_cell;

struct metrics_row {
    const char *name, *help;
    enum metrics_kind kind;
    enum label_set labels[METRIC_LABELS];
    int64_t unit;          /* so many of what is counted are one of what is shown */
    const int64_t *bounds; /* of a histogram's buckets, 0 behind the last */
    metrics_cell *cells;   /* NULL: it is looked at */
};
extern const struct metrics_row metrics_table[METRIC_COUNT];

size_t metrics_places(const struct metrics_row *row);  /* how many combinations its labels have */
size_t metrics_buckets(const struct metrics_row *row); /* with the one without a bound */

#endif
