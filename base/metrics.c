/* base/metrics.c - the table of metrics, and counting; see metrics.h. */
#include "base/metrics_parts.h"

#include <assert.h>
#include <string.h>

#include "base/error.h"

/* ---- labels: closed sets. The last value of each is that of everything else. */

#define CODE_NAME(code, name, retry) name,
#define OTHER                        "other"

static const char *routes[METRICS_ROUTES + 1] = {[METRICS_ROUTES] = OTHER}; /* NULL: not taken yet */

static const char *const http_methods[] = {"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", OTHER};
static const char *const statuses[] = {"200", "201", "202", "204", "206", "301", "302", "304", "400", "401",
                                       "403", "404", "405", "406", "408", "409", "410", "411", "412", "413",
                                       "414", "415", "416", "421", "422", "423", "424", "429", "431", "451",
                                       "460", "499", "500", "501", "502", "503", "504", "507", OTHER};
static const char *const reasons[] = {"auth_missing",          "auth_invalid",     "auth_expired", "scope_missing",
                                      "recipient_not_allowed", "from_not_allowed", OTHER};
static const char *const limits[] = {"rate", "active", "daily_bytes", "connections", "wrong_tokens", OTHER};
static const char *const states[] = {"receiving",    "queued",    "held",      "offering",     "connecting",
                                     "transferring", "delivered", "link_sent", "link_fetched", "failed",
                                     "cancelled",    "expired",   OTHER};
static const char *const codes[] = {ERROR_CODES(CODE_NAME) OTHER};
static const char *const results[] = {"ok", ERROR_CODES(CODE_NAME) OTHER};
static const char *const methods[] = {"jingle-s5b", "si-s5b", "s5b",  "jingle-ibb", "si-ibb",
                                      "ibb",        "link",   "none", OTHER};
static const char *const paths[] = {"direct", "proxy", "inband", "none", OTHER};
static const char *const directions[] = {"in", "out", OTHER};
static const char *const kinds[] = {"iq", "message", "presence", OTHER};
static const char *const evictions[] = {"room", "age", OTHER};
static const char *const operations[] = {"write", "list", "key", OTHER};
static const char *const deliveries[] = {"delivered", "failed", "dead", OTHER};

#define SET(name, values)                                                                                              \
    {                                                                                                                  \
        name, values, sizeof(values) / sizeof *(values)                                                                \
    }

const struct metrics_label metrics_labels[] = {
    [LABEL_NONE] = {NULL, NULL, 1},
    [LABEL_ROUTE] = {"route", routes, METRICS_ROUTES + 1},
    [LABEL_HTTP_METHOD] = SET("method", http_methods),
    [LABEL_STATUS] = SET("code", statuses),
    [LABEL_REASON] = SET("reason", reasons),
    [LABEL_LIMIT] = SET("limit", limits),
    [LABEL_STATE] = SET("state", states),
    [LABEL_CODE] = SET("code", codes),
    [LABEL_METHOD] = SET("method", methods),
    [LABEL_PATH] = SET("path", paths),
    [LABEL_RESULT] = SET("result", results),
    [LABEL_OUTCOME] = SET("outcome", results),
    [LABEL_DIRECTION] = SET("direction", directions),
    [LABEL_KIND] = SET("kind", kinds),
    [LABEL_EVICTION] = SET("reason", evictions),
    [LABEL_OPERATION] = SET("op", operations),
    [LABEL_DELIVERY] = SET("result", deliveries),
    [LABEL_PROXY] = {"proxy", NULL, 0}, /* these are told, and not counted */
    [LABEL_VERSION] = {"version", NULL, 0},
    [LABEL_REVISION] = {"revision", NULL, 0},
};

enum {
    SIZE_NONE = 1,
    SIZE_ROUTE = METRICS_ROUTES + 1,
#define SIZE_OF(set) (sizeof(set) / sizeof *(set))
    SIZE_HTTP_METHOD = SIZE_OF(http_methods),
    SIZE_STATUS = SIZE_OF(statuses),
    SIZE_REASON = SIZE_OF(reasons),
    SIZE_LIMIT = SIZE_OF(limits),
    SIZE_STATE = SIZE_OF(states),
    SIZE_CODE = SIZE_OF(codes),
    SIZE_METHOD = SIZE_OF(methods),
    SIZE_PATH = SIZE_OF(paths),
    SIZE_RESULT = SIZE_OF(results),
    SIZE_OUTCOME = SIZE_OF(results),
    SIZE_DIRECTION = SIZE_OF(directions),
    SIZE_KIND = SIZE_OF(kinds),
    SIZE_EVICTION = SIZE_OF(evictions),
    SIZE_OPERATION = SIZE_OF(operations),
    SIZE_DELIVERY = SIZE_OF(deliveries)
};

/* ---- bounds of histograms, in the metric's unit; 0 ends them, and what is more is in one bucket more */

/* A request that waits for its transfer takes as long as that: up to max_wait. */
static const int64_t request_ms[] = {1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 0};
static const int64_t transfer_ms[] = {100,    250,    500,    1000,    2500,    5000,     10000,    30000, 60000,
                                      120000, 300000, 600000, 1800000, 3600000, 14400000, 86400000, 0};
/* A person is asked, and offer_timeout is five minutes. */
static const int64_t offer_ms[] = {100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 120000, 300000, 600000, 0};
static const int64_t connect_ms[] = {10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 0};
static const int64_t size_bytes[] = {1 << 10,          16 << 10,          64 << 10, 256 << 10, 1 << 20,
                                     4 << 20,          16 << 20,          64 << 20, 256 << 20, INT64_C(1) << 30,
                                     INT64_C(4) << 30, INT64_C(16) << 30, 0};
/* From a read out of memory to a disk that hangs. */
static const int64_t store_us[] = {50,    100,   250,    500,    1000,    2500,    5000,
                                   10000, 25000, 100000, 250000, 1000000, 5000000, 0};

/* ---- the table */

#define CELLS(n)                                                                                                       \
    (metrics_cell[n])                                                                                                  \
    {                                                                                                                  \
        0                                                                                                              \
    }
#define PLACES(a, b, c) (SIZE_##a * SIZE_##b * SIZE_##c)
#define LABELS(a, b, c)                                                                                                \
    {                                                                                                                  \
        LABEL_##a, LABEL_##b, LABEL_##c                                                                                \
    }
#define COUNTED(kind, name, a, b, c, help)                                                                             \
    {                                                                                                                  \
        name, help, kind, LABELS(a, b, c), 1, NULL, CELLS(PLACES(a, b, c))                                             \
    }
#define MEASURED(name, bounds, unit, a, help)                                                                          \
    {                                                                                                                  \
        name, help, HISTOGRAM, LABELS(a, NONE, NONE), unit, bounds,                                                    \
            CELLS(SIZE_##a *(sizeof(bounds) / sizeof *(bounds) + 1))                                                   \
    }
#define LOOKED_AT(kind, name, unit, a, b, help)                                                                        \
    {                                                                                                                  \
        name, help, kind, LABELS(a, b, NONE), unit, NULL, NULL                                                         \
    }

/* clang-format off */
const struct metrics_row metrics_table[METRIC_COUNT] = {
    /* counted                                                                labels */
    [METRIC_HTTP_REQUESTS] = COUNTED(COUNTER, "jidpost_http_requests_total", ROUTE, HTTP_METHOD, STATUS,
        "HTTP requests that were answered or given up, by the template of their path; code 499: the caller left first"),
    [METRIC_HTTP_BODY_BYTES] = COUNTED(COUNTER, "jidpost_http_request_body_bytes_total", NONE, NONE, NONE,
        "Bytes of request bodies that were read"),
    [METRIC_HTTP_DURATION] = MEASURED("jidpost_http_request_duration_seconds", request_ms, 1000, ROUTE,
        "From the first line of a request to the end of its answer, waiting for a transfer included"),
    [METRIC_AUTH_FAILURES] = COUNTED(COUNTER, "jidpost_auth_failures_total", REASON, NONE, NONE,
        "Requests refused for their token, or for want of one"),
    [METRIC_RATE_LIMITED] = COUNTED(COUNTER, "jidpost_rate_limited_total", LIMIT, NONE, NONE,
        "Requests and connections refused by a limit"),
    [METRIC_IDEMPOTENT_REPLAYS] = COUNTED(COUNTER, "jidpost_idempotent_replays_total", NONE, NONE, NONE,
        "Requests answered with the transfer that an earlier one with the same Idempotency-Key had made"),
    [METRIC_TRANSFERS] = COUNTED(COUNTER, "jidpost_transfers_total", STATE, CODE, NONE,
        "Transfers that ended, by their final state and error code; a link is counted again when it is fetched"),
    [METRIC_TRANSFER_BYTES] = COUNTED(COUNTER, "jidpost_transfer_bytes_total", METHOD, PATH, NONE,
        "Bytes sent by transfers that ended, by the method and path of their last attempt"),
    [METRIC_TRANSFER_DURATION] = MEASURED("jidpost_transfer_duration_seconds", transfer_ms, 1000, METHOD,
        "From the upload to the end of a transfer that arrived, as a file or as a link"),
    [METRIC_TRANSFER_SIZE] = MEASURED("jidpost_transfer_size_bytes", size_bytes, 1, NONE,
        "Size of the files of transfers that ended"),
    [METRIC_ATTEMPTS] = COUNTED(COUNTER, "jidpost_attempts_total", METHOD, PATH, RESULT,
        "Attempts that ended: ok, or the code of their error; method none: nobody was found to offer to"),
    [METRIC_OFFER_WAIT] = MEASURED("jidpost_offer_wait_seconds", offer_ms, 1000, NONE,
        "From an offer to the recipient's yes"),
    [METRIC_CONNECT_DURATION] = MEASURED("jidpost_connect_duration_seconds", connect_ms, 1000, PATH,
        "From the recipient's yes to an open stream"),
    [METRIC_XMPP_STANZAS] = COUNTED(COUNTER, "jidpost_xmpp_stanzas_total", DIRECTION, KIND, NONE,
        "XMPP stanzas taken from and given to the session, without those of the login"),
    [METRIC_SPOOL_EVICTIONS] = COUNTED(COUNTER, "jidpost_spool_evictions_total", EVICTION, NONE, NONE,
        "Kept files of failed transfers that were removed: for the room of an upload, or for their age"),
    [METRIC_STORE_OP_DURATION] = MEASURED("jidpost_store_op_duration_seconds", store_us, 1000000, OPERATION,
        "Time of one transaction of the writer, or of one read"),
    [METRIC_LEASES_HELD] = COUNTED(GAUGE, "jidpost_leases_held", NONE, NONE, NONE,
        "Handles of the store that readers hold at the moment"),
    [METRIC_LOG_DROPPED] = COUNTED(COUNTER, "jidpost_log_dropped_total", NONE, NONE, NONE,
        "Log lines that could not be written"),
    [METRIC_WEBHOOK_DELIVERIES] = COUNTED(COUNTER, "jidpost_webhook_deliveries_total", DELIVERY, NONE, NONE,
        "Tries to deliver an event to a webhook; failed: another follows; dead: none does"),
    [METRIC_WEBHOOK_BACKLOG] = COUNTED(GAUGE, "jidpost_webhook_backlog", NONE, NONE, NONE,
        "Events that wait for their delivery to a webhook"),
    [METRIC_PROXY_ACTIVATIONS] = COUNTED(COUNTER, "jidpost_proxy_activations_total", OUTCOME, NONE, NONE,
        "Activations that others asked our StreamHost proxy for: ok, or the code of the refusal"),
    [METRIC_PROXY_QUERIES] = COUNTED(COUNTER, "jidpost_proxy_address_queries_total", OUTCOME, NONE, NONE,
        "Questions for the address of our StreamHost proxy: ok, or the code of the refusal"),
    [METRIC_PROXY_ENDED] = COUNTED(COUNTER, "jidpost_proxy_streams_ended_total", OUTCOME, NONE, NONE,
        "Streams that were relayed for others and are over: ok, or why they were cut"),
    [METRIC_PROXY_BYTES] = COUNTED(COUNTER, "jidpost_proxy_bytes_total", NONE, NONE, NONE,
        "Bytes relayed for others, both ways"),
    [METRIC_INBOX_RECEIVED] = COUNTED(COUNTER, "jidpost_inbox_received_total", METHOD, PATH, NONE,
        "Files that were sent to us and are in the inbox"),
    [METRIC_INBOX_FAILED] = COUNTED(COUNTER, "jidpost_inbox_failed_total", CODE, NONE, NONE,
        "Files that were sent to us, were taken and came to nothing, by the code of their error"),
    [METRIC_INBOX_BYTES] = COUNTED(COUNTER, "jidpost_inbox_bytes_total", NONE, NONE, NONE,
        "Bytes of files that were sent to us, whether all of a file came or not"),
    [METRIC_INBOX_RECEIVING] = COUNTED(GAUGE, "jidpost_inbox_receiving", NONE, NONE, NONE,
        "Files that are on their way to us, or being checked"),
    /* looked at */
    [METRIC_TRANSFERS_NOW] = LOOKED_AT(GAUGE, "jidpost_transfers", 1, STATE, NONE,
        "Transfers that are not over, by state"),
    [METRIC_QUEUE_OLDEST] = LOOKED_AT(GAUGE, "jidpost_queue_oldest_seconds", 1000, NONE, NONE,
        "How long the transfer has waited for its turn that waits longest; pauses between attempts do not count"),
    [METRIC_SPOOL_BYTES] = LOOKED_AT(GAUGE, "jidpost_spool_bytes", 1, NONE, NONE,
        "Bytes of the spool that are taken or reserved"),
    [METRIC_SPOOL_LIMIT] = LOOKED_AT(GAUGE, "jidpost_spool_limit_bytes", 1, NONE, NONE,
        "Bytes that the spool may have"),
    [METRIC_XMPP_UP] = LOOKED_AT(GAUGE, "jidpost_xmpp_up", 1, NONE, NONE,
        "Whether the XMPP session is online"),
    [METRIC_XMPP_RECONNECTS] = LOOKED_AT(COUNTER, "jidpost_xmpp_reconnects_total", 1, NONE, NONE,
        "Connections to the XMPP server that were made anew"),
    [METRIC_PROXY_UP] = LOOKED_AT(GAUGE, "jidpost_proxy_up", 1, PROXY, NONE,
        "Whether the SOCKS5 proxy gave its address when it was asked last"),
    [METRIC_STREAMS] = LOOKED_AT(GAUGE, "jidpost_socks5_connections", 1, NONE, NONE,
        "Open SOCKS5 connections"),
    [METRIC_PROXY_STREAMS] = LOOKED_AT(GAUGE, "jidpost_proxy_streams", 1, NONE, NONE,
        "Streams that are relayed for others; absent where the gateway is no StreamHost proxy"),
    [METRIC_PROXY_PENDING] = LOOKED_AT(GAUGE, "jidpost_proxy_pending_sockets", 1, NONE, NONE,
        "SOCKS5 connections that wait for their other side, or to be joined with it"),
    [METRIC_HTTP_CONNECTIONS] = LOOKED_AT(GAUGE, "jidpost_http_connections", 1, NONE, NONE,
        "Open HTTP connections"),
    [METRIC_SSE_CLIENTS] = LOOKED_AT(GAUGE, "jidpost_sse_clients", 1, NONE, NONE,
        "Callers that follow events"),
    [METRIC_STORE_WRITABLE] = LOOKED_AT(GAUGE, "jidpost_store_writable", 1, NONE, NONE,
        "Whether the last write of the store succeeded"),
    [METRIC_DRAINING] = LOOKED_AT(GAUGE, "jidpost_draining", 1, NONE, NONE,
        "Whether the gateway is stopping"),
    [METRIC_BUILD_INFO] = LOOKED_AT(GAUGE, "jidpost_build_info", 1, VERSION, REVISION,
        "Always 1; its labels say which program runs"),
    [METRIC_CPU] = LOOKED_AT(COUNTER, "process_cpu_seconds_total", 1000000, NONE, NONE,
        "Processor time of the process"),
    [METRIC_RESIDENT] = LOOKED_AT(GAUGE, "process_resident_memory_bytes", 1, NONE, NONE,
        "Resident memory of the process"),
    [METRIC_VIRTUAL] = LOOKED_AT(GAUGE, "process_virtual_memory_bytes", 1, NONE, NONE,
        "Address space of the process"),
    [METRIC_OPEN_FDS] = LOOKED_AT(GAUGE, "process_open_fds", 1, NONE, NONE,
        "Open descriptors of the process"),
    [METRIC_MAX_FDS] = LOOKED_AT(GAUGE, "process_max_fds", 1, NONE, NONE,
        "Descriptors that the process may open"),
    [METRIC_START_TIME] = LOOKED_AT(GAUGE, "process_start_time_seconds", 1000, NONE, NONE,
        "When the process started, in seconds since 1970"),
};
/* clang-format on */

/* ---- counting */

static bool same(const char *a, const char *b)
{
    return a == b || (a && strcmp(a, b) == 0);
}

/* The last is for whatever it is else; an empty text reads as "none". */
static size_t place_of(const struct metrics_label *label, const char *value)
{
    if (!value || !*value)
        value = "none";
    for (size_t i = 0; i + 1 < label->count; i++)
        if (same(label->values[i], value))
            return i;
    return label->count - 1;
}

size_t metrics_places(const struct metrics_row *row)
{
    size_t n = 1;

    for (size_t i = 0; i < METRIC_LABELS; i++)
        n *= metrics_labels[row->labels[i]].count;
    return n;
}

static size_t index_of(const struct metrics_row *row, const char *const *values)
{
    size_t at = 0;

    for (size_t i = 0; i < METRIC_LABELS && row->labels[i] != LABEL_NONE; i++)
        at = at * metrics_labels[row->labels[i]].count + place_of(&metrics_labels[row->labels[i]], values[i]);
    return at;
}

size_t metrics_buckets(const struct metrics_row *row)
{
    size_t n = 0;

    while (row->bounds[n] > 0)
        n++;
    return n + 1;
}

void metric_count(enum metric m, int64_t n, const char *const values[static METRIC_LABELS + 1])
{
    const struct metrics_row *row = &metrics_table[m];

    assert(row->cells && row->kind != HISTOGRAM);
    atomic_fetch_add_explicit(&row->cells[index_of(row, values)], (uint64_t)n, memory_order_relaxed);
}

void metric_put(enum metric m, int64_t value, const char *const values[static METRIC_LABELS + 1])
{
    const struct metrics_row *row = &metrics_table[m];

    assert(row->cells && row->kind == GAUGE);
    atomic_store_explicit(&row->cells[index_of(row, values)], (uint64_t)value, memory_order_relaxed);
}

/* The buckets are apart here, and are added up on the page; the sum is behind them. */
void metric_measure(enum metric m, int64_t value, const char *const values[static METRIC_LABELS + 1])
{
    const struct metrics_row *row = &metrics_table[m];
    size_t buckets = metrics_buckets(row), at = 0;
    metrics_cell *cells = row->cells + index_of(row, values) * (buckets + 1);

    assert(row->kind == HISTOGRAM);
    if (value < 0)
        value = 0; /* the wall clock was set back */
    while (at + 1 < buckets && value > row->bounds[at])
        at++;
    atomic_fetch_add_explicit(&cells[at], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&cells[buckets], (uint64_t)value, memory_order_relaxed);
}

void metrics_route(const char *path)
{
    size_t i = 0;

    while (i < METRICS_ROUTES && routes[i] && strcmp(routes[i], path) != 0)
        i++;
    if (i < METRICS_ROUTES && !routes[i])
        routes[i] = path;
}

/* ---- the table, for others */

const char *metric_name(enum metric m)
{
    return metrics_table[m].name;
}

bool metric_knows(enum metric m, unsigned label, const char *value)
{
    const struct metrics_label *set = &metrics_labels[metrics_table[m].labels[label]];

    return set->values && place_of(set, value) + 1 < set->count;
}

void metrics_reset(void)
{
    for (size_t m = 0; m < METRIC_COUNT; m++) {
        const struct metrics_row *row = &metrics_table[m];
        size_t n = row->cells ? metrics_places(row) * (row->kind == HISTOGRAM ? metrics_buckets(row) + 1 : 1) : 0;

        for (size_t i = 0; i < n; i++)
            atomic_store_explicit(&row->cells[i], 0, memory_order_relaxed);
    }
    memset(routes, 0, sizeof routes);
    routes[METRICS_ROUTES] = OTHER;
}
