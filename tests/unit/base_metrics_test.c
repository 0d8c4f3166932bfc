#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/metrics.h"

static void tell_nothing(void *user, struct metrics_page *page, enum metric m)
{
    (void)user;
    (void)page;
    (void)m;
}

static char *page_of(enum metrics_format format, metrics_look_fn *look)
{
    struct buf out = {0};

    metrics_render(&out, format, look, NULL);
    assert_false(out.failed);
    return buf_steal(&out);
}

/* The lines of one family, from its HELP to the next. */
static char *family_of(enum metrics_format format, metrics_look_fn *look, const char *name)
{
    char *page = page_of(format, look), *at, *end, *family, head[100];

    snprintf(head, sizeof head, "# HELP %s ", name);
    at = strstr(page, head);
    if (!at)
        fail_msg("no family %s", name);
    end = strstr(at, "\n# HELP ");
    family = strndup(at, end ? (size_t)(end + 1 - at) : strlen(at));
    free(page);
    return family;
}

static void assert_family(enum metrics_format format, metrics_look_fn *look, const char *name, const char *golden)
{
    char *family = family_of(format, look, name);

    assert_string_equal(family, golden);
    free(family);
}

static int setup(void **state)
{
    (void)state;
    metrics_reset();
    return 0;
}

/* A counter without labels, in both formats: in OpenMetrics its family has no _total. */
static void a_counter_has_its_ending_at_its_samples(void **state)
{
    (void)state;
    metric_add(METRIC_HTTP_BODY_BYTES, 40);
    metric_add(METRIC_HTTP_BODY_BYTES, 2);
    assert_family(METRICS_TEXT, tell_nothing, "jidpost_http_request_body_bytes_total",
                  "# HELP jidpost_http_request_body_bytes_total Bytes of request bodies that were read.\n"
                  "# TYPE jidpost_http_request_body_bytes_total counter\n"
                  "jidpost_http_request_body_bytes_total 42\n");
    assert_family(METRICS_OPENMETRICS, tell_nothing, "jidpost_http_request_body_bytes",
                  "# HELP jidpost_http_request_body_bytes Bytes of request bodies that were read.\n"
                  "# TYPE jidpost_http_request_body_bytes counter\n"
                  "jidpost_http_request_body_bytes_total 42\n");
}

/* With few series all are there from the start, so that a rate sees the first; with many those that were counted. */
static void few_series_are_shown_from_the_start(void **state)
{
    (void)state;
    metric_add(METRIC_XMPP_STANZAS, 3, "in", "iq");
    assert_family(
        METRICS_TEXT, tell_nothing, "jidpost_xmpp_stanzas_total",
        "# HELP jidpost_xmpp_stanzas_total XMPP stanzas taken from and given to the session, without those of "
        "the login.\n"
        "# TYPE jidpost_xmpp_stanzas_total counter\n"
        "jidpost_xmpp_stanzas_total{direction=\"in\",kind=\"iq\"} 3\n"
        "jidpost_xmpp_stanzas_total{direction=\"in\",kind=\"message\"} 0\n"
        "jidpost_xmpp_stanzas_total{direction=\"in\",kind=\"presence\"} 0\n"
        "jidpost_xmpp_stanzas_total{direction=\"out\",kind=\"iq\"} 0\n"
        "jidpost_xmpp_stanzas_total{direction=\"out\",kind=\"message\"} 0\n"
        "jidpost_xmpp_stanzas_total{direction=\"out\",kind=\"presence\"} 0\n");
    metric_add(METRIC_TRANSFERS, 1, "failed", "stream_broken");
    assert_family(METRICS_TEXT, tell_nothing, "jidpost_transfers_total",
                  "# HELP jidpost_transfers_total Transfers that ended, by their final state and error code; a link is "
                  "counted again when it is fetched.\n"
                  "# TYPE jidpost_transfers_total counter\n"
                  "jidpost_transfers_total{state=\"failed\",code=\"stream_broken\"} 1\n");
}

/* Whatever a caller brings cannot become a value of a label. */
static void an_unknown_value_is_other(void **state)
{
    (void)state;
    metrics_route("/livez");
    metric_add(METRIC_HTTP_REQUESTS, 1, "/livez", "GET", "200");
    metric_add(METRIC_HTTP_REQUESTS, 1, "/ana@example.org", "GET", "200");
    metric_add(METRIC_HTTP_REQUESTS, 1, "/bob@example.org", "BREW", "999");
    metric_add(METRIC_HTTP_REQUESTS, 1, NULL, NULL, NULL);
    assert_family(METRICS_TEXT, tell_nothing, "jidpost_http_requests_total",
                  "# HELP jidpost_http_requests_total HTTP requests that were answered or given up, by the template of "
                  "their path; code 499: the caller left first.\n"
                  "# TYPE jidpost_http_requests_total counter\n"
                  "jidpost_http_requests_total{route=\"/livez\",method=\"GET\",code=\"200\"} 1\n"
                  "jidpost_http_requests_total{route=\"other\",method=\"GET\",code=\"200\"} 1\n"
                  "jidpost_http_requests_total{route=\"other\",method=\"other\",code=\"other\"} 2\n");
}

static void routes_without_room_are_other(void **state)
{
    static char path[80][8];
    char *family;

    (void)state;
    for (size_t i = 0; i < 80; i++) {
        snprintf(path[i], sizeof path[i], "/%zu", i);
        metrics_route(path[i]);
    }
    assert_true(metric_knows(METRIC_HTTP_REQUESTS, 0, "/63"));
    assert_false(metric_knows(METRIC_HTTP_REQUESTS, 0, "/64"));
    metric_add(METRIC_HTTP_REQUESTS, 1, "/79", "GET", "200");
    family = family_of(METRICS_TEXT, tell_nothing, "jidpost_http_requests_total");
    assert_non_null(strstr(family, "{route=\"other\",method=\"GET\",code=\"200\"} 1\n"));
    free(family);
}

/* Buckets add up, the bound belongs to its bucket, and all is in seconds. */
static void a_histogram_is_cumulative(void **state)
{
    static const int64_t observed[] = {10, 11, 25, 400000, -5};

    (void)state;
    for (size_t i = 0; i < sizeof observed / sizeof *observed; i++)
        metric_observe(METRIC_CONNECT_DURATION, observed[i], "proxy");
    assert_family(METRICS_TEXT, tell_nothing, "jidpost_connect_duration_seconds",
                  "# HELP jidpost_connect_duration_seconds From the recipient's yes to an open stream.\n"
                  "# TYPE jidpost_connect_duration_seconds histogram\n"
                  "jidpost_connect_duration_seconds_bucket{path=\"proxy\",le=\"0.01\"} 2\n"
                  "jidpost_connect_duration_seconds_bucket{path=\"proxy\",le=\"0.025\"} 4\n"
                  "jidpost_connect_duration_seconds_bucket{path=\"proxy\",le=\"0.05\"} 4\n"
                  "jidpost_connect_duration_seconds_bucket{path=\"proxy\",le=\"0.1\"} 4\n"
                  "jidpost_connect_duration_seconds_bucket{path=\"proxy\",le=\"0.25\"} 4\n"
                  "jidpost_connect_duration_seconds_bucket{path=\"proxy\",le=\"0.5\"} 4\n"
                  "jidpost_connect_duration_seconds_bucket{path=\"proxy\",le=\"1.0\"} 4\n"
                  "jidpost_connect_duration_seconds_bucket{path=\"proxy\",le=\"2.5\"} 4\n"
                  "jidpost_connect_duration_seconds_bucket{path=\"proxy\",le=\"5.0\"} 4\n"
                  "jidpost_connect_duration_seconds_bucket{path=\"proxy\",le=\"10.0\"} 4\n"
                  "jidpost_connect_duration_seconds_bucket{path=\"proxy\",le=\"30.0\"} 4\n"
                  "jidpost_connect_duration_seconds_bucket{path=\"proxy\",le=\"60.0\"} 4\n"
                  "jidpost_connect_duration_seconds_bucket{path=\"proxy\",le=\"300.0\"} 4\n"
                  "jidpost_connect_duration_seconds_bucket{path=\"proxy\",le=\"+Inf\"} 5\n"
                  "jidpost_connect_duration_seconds_sum{path=\"proxy\"} 400.046\n"
                  "jidpost_connect_duration_seconds_count{path=\"proxy\"} 5\n");
}

static void look(void *user, struct metrics_page *page, enum metric m)
{
    (void)user;
    switch ((int)m) {
    case METRIC_PROXY_UP:
        metrics_say(page, 1, "proxy.example.org");
        metrics_say(page, 0, "a \"quoted\\\nname");
        break;
    case METRIC_QUEUE_OLDEST:
        metrics_say(page, 1050);
        break;
    case METRIC_CPU:
        metrics_say(page, 2000001);
        break;
    default:
        break;
    }
}

static void what_is_looked_at_is_told_then(void **state)
{
    (void)state;
    assert_family(METRICS_TEXT, look, "jidpost_proxy_up",
                  "# HELP jidpost_proxy_up Whether the SOCKS5 proxy gave its address when it was asked last.\n"
                  "# TYPE jidpost_proxy_up gauge\n"
                  "jidpost_proxy_up{proxy=\"proxy.example.org\"} 1\n"
                  "jidpost_proxy_up{proxy=\"a \\\"quoted\\\\\\nname\"} 0\n");
    assert_family(
        METRICS_TEXT, look, "jidpost_queue_oldest_seconds",
        "# HELP jidpost_queue_oldest_seconds How long the transfer has waited for its turn that waits longest; "
        "pauses between attempts do not count.\n"
        "# TYPE jidpost_queue_oldest_seconds gauge\n"
        "jidpost_queue_oldest_seconds 1.05\n");
    assert_family(METRICS_OPENMETRICS, look, "process_cpu_seconds",
                  "# HELP process_cpu_seconds Processor time of the process.\n"
                  "# TYPE process_cpu_seconds counter\n"
                  "process_cpu_seconds_total 2.000001\n");
}

static void gauges_are_set_and_go_down(void **state)
{
    (void)state;
    metric_set(METRIC_WEBHOOK_BACKLOG, 7);
    metric_add(METRIC_LEASES_HELD, 2);
    metric_add(METRIC_LEASES_HELD, -1);
    assert_family(METRICS_TEXT, tell_nothing, "jidpost_webhook_backlog",
                  "# HELP jidpost_webhook_backlog Events that wait for their delivery to a webhook.\n"
                  "# TYPE jidpost_webhook_backlog gauge\n"
                  "jidpost_webhook_backlog 7\n");
    assert_family(METRICS_TEXT, tell_nothing, "jidpost_leases_held",
                  "# HELP jidpost_leases_held Handles of the store that readers hold at the moment.\n"
                  "# TYPE jidpost_leases_held gauge\n"
                  "jidpost_leases_held 1\n");
}

static void openmetrics_has_its_end(void **state)
{
    char *text = page_of(METRICS_TEXT, tell_nothing), *open = page_of(METRICS_OPENMETRICS, tell_nothing);

    (void)state;
    assert_null(strstr(text, "# EOF"));
    assert_string_equal(open + strlen(open) - strlen("\n# EOF\n"), "\n# EOF\n");
    free(text);
    free(open);
}

static void the_format_is_the_heavier_one(void **state)
{
    static const struct {
        const char *accept;
        enum metrics_format want;
    } rows[] = {
        {NULL, METRICS_TEXT},
        {"", METRICS_TEXT},
        {"*/*", METRICS_TEXT},
        {"text/html", METRICS_TEXT},
        {"application/openmetrics-text", METRICS_OPENMETRICS},
        {"Application/OpenMetrics-Text ; Version=1.0.0", METRICS_OPENMETRICS},
        {"application/openmetrics-text;version=0.0.1", METRICS_TEXT},
        {"application/openmetrics-text;q=0", METRICS_TEXT},
        {"application/openmetrics-text;q=0.5,text/plain;q=0.5", METRICS_TEXT},
        {"text/plain;q=0.5, application/openmetrics-text;version=1.0.0;q=0.75", METRICS_OPENMETRICS},
        {"application/openmetrics-text;version=1.0.0;q=0.25,text/plain;version=0.0.4", METRICS_TEXT},
        /* as Prometheus 2.42 asks, and 2.50 */
        {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
         "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         METRICS_OPENMETRICS},
        {"application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
         "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
         METRICS_OPENMETRICS},
        {";;;,,,=", METRICS_TEXT},
        {"application/openmetrics-text;q=", METRICS_TEXT},
        {"application/openmetrics-textual", METRICS_TEXT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (metrics_format_of(rows[i].accept) != rows[i].want)
            fail_msg("%s", rows[i].accept ? rows[i].accept : "(none)");
}

/* Every row of the enum is in the table, each name once, and as promtool wants it. */
static void the_table_is_whole(void **state)
{
    (void)state;
    for (size_t m = 0; m < METRIC_COUNT; m++) {
        const char *name = metric_name((enum metric)m);

        assert_non_null(name);
        assert_true(strncmp(name, "jidpost_", 8) == 0 || strncmp(name, "process_", 8) == 0);
        for (size_t n = 0; n < m; n++)
            assert_string_not_equal(name, metric_name((enum metric)n));
    }
}

enum { THREADS = 4, ROUNDS = 5000 };

static void *count_on(void *user)
{
    (void)user;
    for (int i = 0; i < ROUNDS; i++) {
        metric_add(METRIC_HTTP_BODY_BYTES, 3);
        metric_observe(METRIC_OFFER_WAIT, i);
    }
    return NULL;
}

static void threads_lose_no_count(void **state)
{
    pthread_t thread[THREADS];
    char *family;

    (void)state;
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, count_on, NULL), 0);
    for (size_t i = 0; i < THREADS; i++) {
        free(page_of(METRICS_TEXT, tell_nothing)); /* meanwhile */
        pthread_join(thread[i], NULL);
    }
    family = family_of(METRICS_TEXT, tell_nothing, "jidpost_http_request_body_bytes_total");
    assert_non_null(strstr(family, "_total 60000\n"));
    free(family);
    family = family_of(METRICS_TEXT, tell_nothing, "jidpost_offer_wait_seconds");
    assert_non_null(strstr(family, "_count 20000\n"));
    assert_non_null(strstr(family, "_sum 49990\n"));
    free(family);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_counter_has_its_ending_at_its_samples),
        TEST(few_series_are_shown_from_the_start),
        TEST(an_unknown_value_is_other),
        TEST(routes_without_room_are_other),
        TEST(a_histogram_is_cumulative),
        TEST(what_is_looked_at_is_told_then),
        TEST(gauges_are_set_and_go_down),
        TEST(openmetrics_has_its_end),
        TEST(the_format_is_the_heavier_one),
        TEST(the_table_is_whole),
        TEST(threads_lose_no_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
