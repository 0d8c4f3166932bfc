#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "gateway/outcome.h"

static void tell_nothing(void *user, struct metrics_page *page, enum metric m)
{
    (void)user;
    (void)page;
    (void)m;
}

/* Whether the page has that line, whole. */
static void assert_line(const char *line)
{
    struct buf page = {0};
    char whole[300];

    metrics_render(&page, METRICS_TEXT, tell_nothing, NULL);
    snprintf(whole, sizeof whole, "\n%s\n", line);
    if (!strstr(page.data, whole))
        fail_msg("no line %s in\n%s", line, page.data);
    buf_free(&page);
}

static int setup(void **state)
{
    struct record *r = record_new();

    metrics_reset();
    assert_non_null(r);
    r->size = 2000;
    r->created = 1000;
    r->finished = 1700;
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    record_free((struct record **)state);
    return 0;
}

static void one_that_arrived_has_its_bytes_and_its_time(void **state)
{
    struct record *r = *state;

    r->state = TRANSFER_DELIVERED;
    r->sent = 2000;
    snprintf(r->method, sizeof r->method, "si-s5b");
    snprintf(r->path, sizeof r->path, "proxy");
    outcome_count(r);
    assert_line("jidpost_transfers_total{state=\"delivered\",code=\"none\"} 1");
    assert_line("jidpost_transfer_bytes_total{method=\"si-s5b\",path=\"proxy\"} 2000");
    assert_line("jidpost_transfer_duration_seconds_sum{method=\"si-s5b\"} 0.7");
    assert_line("jidpost_transfer_size_bytes_sum 2000");
}

/* How long it took to give up is no news of how quick the gateway is. */
static void one_that_failed_has_its_code_and_no_time(void **state)
{
    struct record *r = *state;
    struct error error;
    struct buf page = {0};

    r->state = TRANSFER_FAILED;
    error_set(&error, ERR_STREAM_BROKEN, "in the middle");
    record_fail(r, &error);
    outcome_count(r);
    assert_line("jidpost_transfers_total{state=\"failed\",code=\"stream_broken\"} 1");
    metrics_render(&page, METRICS_TEXT, tell_nothing, NULL);
    assert_null(strstr(page.data, "\njidpost_transfer_duration_seconds_"));
    assert_null(strstr(page.data, "\njidpost_transfer_bytes_total{"));
    buf_free(&page);
}

/* The path of an offer that nobody took is not the one of the attempt before. */
static void an_attempt_has_the_path_that_it_got_to(void **state)
{
    static const struct {
        const char *method;
        enum stage stage;
        enum error_code code;
        const char *line;
    } rows[] = {
        {"si-s5b", STAGE_TRANSFER, ERR_NONE, "method=\"si-s5b\",path=\"direct\",result=\"ok\"} 1"},
        {"si-s5b", STAGE_CONNECT, ERR_STREAM_BROKEN, "method=\"si-s5b\",path=\"direct\",result=\"stream_broken\"} 1"},
        {"jingle-s5b", STAGE_OFFER, ERR_RECIPIENT_DECLINED,
         "method=\"jingle-s5b\",path=\"none\",result=\"recipient_declined\"} 1"},
        {"", STAGE_RESOLVE, ERR_RECIPIENT_OFFLINE, "method=\"none\",path=\"none\",result=\"recipient_offline\"} 1"},
    };
    struct record *r = *state;

    snprintf(r->path, sizeof r->path, "direct");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct attempt a = {.stage = rows[i].stage, .error.code = rows[i].code};
        char line[200];

        snprintf(a.method, sizeof a.method, "%s", rows[i].method);
        outcome_count_attempt(r, &a);
        snprintf(line, sizeof line, "jidpost_attempts_total{%s", rows[i].line);
        assert_line(line);
    }
}

/* What we write into records is a value of the labels, not "other". */
static void every_name_of_ours_is_known(void **state)
{
    static const char *const paths[] = {"direct", "proxy", "inband"};

    (void)state;
    for (unsigned s = 0; s < TRANSFER_STATE_COUNT; s++)
        assert_true(metric_knows(METRIC_TRANSFERS, 0, transfer_state_name((enum transfer_state)s)));
    for (unsigned c = 0; c < ERROR_CODE_COUNT; c++) {
        assert_true(metric_knows(METRIC_TRANSFERS, 1, error_name((enum error_code)c)));
        assert_true(metric_knows(METRIC_ATTEMPTS, 2, error_name((enum error_code)c)));
    }
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        assert_true(metric_knows(METRIC_ATTEMPTS, 1, paths[i]));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_that_arrived_has_its_bytes_and_its_time),
        TEST(one_that_failed_has_its_code_and_no_time),
        TEST(an_attempt_has_the_path_that_it_got_to),
        TEST(every_name_of_ours_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
