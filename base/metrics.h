/* base/metrics.h - what the process counts: one table of metrics, and the page that a scraper reads.
 *
 *     metric_add(METRIC_TRANSFERS, 1, "failed", "stream_broken");      the label values, in the table's order
 *     metric_observe(METRIC_STORE_OP_DURATION, us, "list");
 *
 * A metric is counted where that is known, by one line, from any thread: a relaxed addition, no lock, no allocation.
 * What can be looked up when somebody asks is not counted here but told then (metrics_look_fn).
 *
 * Every label has a closed set of values (metrics.c lists them); what is none of them counts as "other". So neither an
 * address nor an id can become one, and the page has a ceiling.
 *
 * Formats: Prometheus text 0.0.4, and OpenMetrics 1.0, which has "# EOF" at its end and leaves "_total" out of a
 * family's name. Numbers and bounds are written alike in both, so that a series is the same whichever is scraped. */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum metric {
    /* counted */
    METRIC_HTTP_REQUESTS,
    METRIC_HTTP_BODY_BYTES,
    METRIC_HTTP_DURATION, /* ms */
    METRIC_AUTH_FAILURES,
    METRIC_RATE_LIMITED,
    METRIC_IDEMPOTENT_REPLAYS,
    METRIC_TRANSFERS,
    METRIC_TRANSFER_BYTES,
    METRIC_TRANSFER_DURATION, /* ms */
    METRIC_TRANSFER_SIZE,
    METRIC_ATTEMPTS,
    METRIC_OFFER_WAIT,       /* ms */
    METRIC_CONNECT_DURATION, /* ms */
    METRIC_XMPP_STANZAS,
    METRIC_SPOOL_EVICTIONS,
    METRIC_STORE_OP_DURATION, /* us */
    METRIC_LEASES_HELD,
    METRIC_LOG_DROPPED,
    METRIC_WEBHOOK_DELIVERIES,
    METRIC_WEBHOOK_BACKLOG,
    METRIC_PROXY_ACTIVATIONS,
    METRIC_PROXY_QUERIES,
    METRIC_PROXY_ENDED,
    METRIC_PROXY_BYTES,
    METRIC_INBOX_RECEIVED,
    METRIC_INBOX_FAILED,
    METRIC_INBOX_BYTES,
    METRIC_INBOX_RECEIVING,
    /* looked at */
    METRIC_TRANSFERS_NOW,
    METRIC_QUEUE_OLDEST, /* ms */
    METRIC_SPOOL_BYTES,
    METRIC_SPOOL_LIMIT,
    METRIC_XMPP_UP,
    METRIC_XMPP_RECONNECTS,
    METRIC_PROXY_UP,
    METRIC_STREAMS,
    METRIC_PROXY_STREAMS,
    METRIC_PROXY_PENDING,
    METRIC_HTTP_CONNECTIONS,
    METRIC_SSE_CLIENTS,
    METRIC_STORE_WRITABLE,
    METRIC_DRAINING,
    METRIC_BUILD_INFO,
    METRIC_CPU, /* us */
    METRIC_RESIDENT,
    METRIC_VIRTUAL,
    METRIC_OPEN_FDS,
    METRIC_MAX_FDS,
    METRIC_START_TIME, /* ms */
    METRIC_COUNT
};

enum { METRIC_LABELS = 3 };

/* values: one for each label, NULL at the end. n is negative for gauges alone. */
void metric_count(enum metric m, int64_t n, const char *const values[static METRIC_LABELS + 1]);
void metric_measure(enum metric m, int64_t value, const char *const values[static METRIC_LABELS + 1]);
void metric_put(enum metric m, int64_t value, const char *const values[static METRIC_LABELS + 1]);

#define METRIC_VALUES(...) ((const char *const[METRIC_LABELS + 2]){"", __VA_ARGS__} + 1)

/* Counters and gauges; histograms, in the unit of the list above; gauges. */
#define metric_add(m, ...)         METRIC_ADD_(m, __VA_ARGS__, NULL)
#define METRIC_ADD_(m, n, ...)     metric_count(m, n, METRIC_VALUES(__VA_ARGS__))
#define metric_observe(m, ...)     METRIC_OBSERVE_(m, __VA_ARGS__, NULL)
#define METRIC_OBSERVE_(m, v, ...) metric_measure(m, v, METRIC_VALUES(__VA_ARGS__))
#define metric_set(m, ...)         METRIC_SET_(m, __VA_ARGS__, NULL)
#define METRIC_SET_(m, v, ...)     metric_put(m, v, METRIC_VALUES(__VA_ARGS__))

/* One more value of the label "route": static text. Once each, before the first request; without room it is "other". */
void metrics_route(const char *path);

/* ---- the page */

enum metrics_format { METRICS_TEXT, METRICS_OPENMETRICS };

/* By the weights of an Accept header; NULL: there is none. Equal weights: the text. */
enum metrics_format metrics_format_of(const char *accept);
const char *metrics_content_type(enum metrics_format format);

struct metrics_page;

/* Called for each metric that is looked at, in the table's order: tells it by metrics_tell(), as often as it has
 * values of its labels, or not at all. */
typedef void metrics_look_fn(void *user, struct metrics_page *page, enum metric m);
void metrics_tell(struct metrics_page *page, int64_t value, const char *const values[static METRIC_LABELS + 1]);
#define metrics_say(page, ...)         METRICS_SAY_(page, __VA_ARGS__, NULL)
#define METRICS_SAY_(page, value, ...) metrics_tell(page, value, METRIC_VALUES(__VA_ARGS__))

/* Appends the page. out->failed: out of memory. */
void metrics_render(struct buf *out, enum metrics_format format, metrics_look_fn *look, void *user);

const char *metric_name(enum metric m);

/* Tests: everything is 0 again, and no route is known. */
void metrics_reset(void);

/* Whether it is a value of that label of that metric, and not "other". */
bool metric_knows(enum metric m, unsigned label, const char *value);

#endif
