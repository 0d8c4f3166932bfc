/* base/log: a line is a line whatever a peer put into it, in text and in JSON. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"

static struct {
    int count;
    enum log_level level;
    char line[8192];
} seen;

static void keep(void *user, enum log_level level, const char *line)
{
    (void)user;
    seen.count++;
    seen.level = level;
    snprintf(seen.line, sizeof(seen.line), "%s", line);
}

static int set_up(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof(seen));
    clock_fake(0, 1795374000123);
    log_capture(keep, NULL);
    log_setup(LOG_DEBUG, LOG_TEXT);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    log_capture(NULL, NULL);
    log_setup(LOG_INFO, LOG_TEXT);
    clock_real();
    return 0;
}

static void tell_nothing(void *user, struct metrics_page *page, enum metric m)
{
    (void)user;
    (void)page;
    (void)m;
}

/* There is nobody left to tell but who looks at the numbers. */
static void a_line_that_cannot_be_written_is_counted(void **state)
{
    int kept = dup(STDERR_FILENO);
    struct buf page = {0};

    (void)state;
    metrics_reset();
    log_capture(NULL, NULL);
    close(STDERR_FILENO);
    log_info("lost", log_int("n", 1));
    dup2(kept, STDERR_FILENO);
    close(kept);
    metrics_render(&page, METRICS_TEXT, tell_nothing, NULL);
    assert_non_null(strstr(page.data, "\njidpost_log_dropped_total 1\n"));
    buf_free(&page);
}

static void a_field_that_is_optional_is_left_out(void **state)
{
    (void)state;
    log_info("a", log_opt("trace_id", NULL), log_int("n", 1), log_opt("request_id", "rq"));
    assert_string_equal(seen.line, "ts=2026-11-22T19:00:00.123Z level=info event=a n=1 request_id=rq");
    log_setup(LOG_DEBUG, LOG_JSON);
    log_info("a", log_opt("trace_id", NULL), log_str("to", NULL));
    assert_string_equal(seen.line,
                        "{\"ts\":\"2026-11-22T19:00:00.123Z\",\"level\":\"info\",\"event\":\"a\",\"to\":\"-\"}");
}

static void a_text_line_has_ts_level_event_and_then_the_fields(void **state)
{
    (void)state;
    log_warn("transfer.state", log_str("transfer", "tr_1"), log_int("bytes", -5), log_str("state", "offering"));
    assert_string_equal(seen.line, "ts=2026-11-22T19:00:00.123Z level=warn event=transfer.state transfer=tr_1 "
                                   "bytes=-5 state=offering");
    assert_int_equal(seen.level, LOG_WARN);
}

static void a_json_line_is_one_object(void **state)
{
    (void)state;
    log_setup(LOG_DEBUG, LOG_JSON);
    log_error("store.failed", log_str("detail", "disk \"full\""), log_int("bytes", INT64_MAX));
    assert_string_equal(seen.line, "{\"ts\":\"2026-11-22T19:00:00.123Z\",\"level\":\"error\",\"event\":\"store."
                                   "failed\",\"detail\":\"disk \\\"full\\\"\",\"bytes\":9223372036854775807}");
}

static void an_event_needs_no_fields(void **state)
{
    (void)state;
    log_write(LOG_INFO, "ready", &(struct log_field){0});
    assert_string_equal(seen.line, "ts=2026-11-22T19:00:00.123Z level=info event=ready");
    log_setup(LOG_DEBUG, LOG_JSON);
    log_write(LOG_INFO, "ready", &(struct log_field){0});
    assert_string_equal(seen.line, "{\"ts\":\"2026-11-22T19:00:00.123Z\",\"level\":\"info\",\"event\":\"ready\"}");
}

static const struct {
    const char *says, *value, *text, *json;
} values[] = {
    {"a word", "abc", "abc", "\"abc\""},
    {"an address", "romeo@example.net/phone", "romeo@example.net/phone", "\"romeo@example.net/phone\""},
    {"letters of the world", "\xc3\xa9\xe2\x82\xac", "\xc3\xa9\xe2\x82\xac", "\"\xc3\xa9\xe2\x82\xac\""},
    {"an emoji", "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""},
    {"nothing", "", "\"\"", "\"\""},
    {"NULL", NULL, "-", "\"-\""},
    {"a space", "a b", "\"a b\"", "\"a b\""},
    {"an equals sign", "level=error", "\"level=error\"", "\"level=error\""},
    {"a quote", "a\"b", "\"a\\\"b\"", "\"a\\\"b\""},
    {"a backslash", "a\\b", "\"a\\\\b\"", "\"a\\\\b\""},
    {"line ends", "a\r\nts=x", "\"a\\r\\nts=x\"", "\"a\\r\\nts=x\""},
    {"a tab", "\t", "\"\\t\"", "\"\\t\""},
    {"an escape sequence", "\x1b[2J", "\"\\u001b[2J\"", "\"\\u001b[2J\""},
    {"DEL", "\x7f", "\"\\u007f\"", "\"\\u007f\""},
    {"an 8-bit escape sequence", "\xc2\x9b", "\"\\u009b\"", "\"\\u009b\""},
    {"a line separator", "\xe2\x80\xa8", "\"\\u2028\"", "\"\\u2028\""},
    {"a bidi override", "\xe2\x80\xae", "\"\\u202e\"", "\"\\u202e\""},
    {"broken UTF-8", "a\xff", "\"a\xef\xbf\xbd\"", "\"a\xef\xbf\xbd\""},
    {"half a character", "\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\"", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
};

static void a_value_cannot_forge_a_line(void **state)
{
    static const char text_head[] = "ts=2026-11-22T19:00:00.123Z level=info event=e k=";
    static const char json_head[] = "{\"ts\":\"2026-11-22T19:00:00.123Z\",\"level\":\"info\",\"event\":\"e\",\"k\":";

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char want[512];

        log_setup(LOG_DEBUG, LOG_TEXT);
        log_info("e", log_str("k", values[i].value));
        snprintf(want, sizeof(want), "%s%s", text_head, values[i].text);
        if (strcmp(seen.line, want) != 0)
            fail_msg("%s: %s", values[i].says, seen.line);
        log_setup(LOG_DEBUG, LOG_JSON);
        log_info("e", log_str("k", values[i].value));
        snprintf(want, sizeof(want), "%s%s}", json_head, values[i].json);
        if (strcmp(seen.line, want) != 0)
            fail_msg("%s: %s", values[i].says, seen.line);
    }
}

static void a_long_value_is_cut_and_ends_in_an_ellipsis(void **state)
{
    char value[6000];

    (void)state;
    memset(value, 'x', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    log_info("e", log_str("k", value), log_int("after", 7));
    assert_non_null(strstr(seen.line, "xxx\xe2\x80\xa6\" after=7"));
    assert_in_range(strlen(seen.line), 1024, 1200);
}

static void a_value_that_fits_is_not_cut(void **state)
{
    char value[1025];

    (void)state;
    memset(value, 'x', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    log_info("e", log_str("k", value));
    assert_non_null(strstr(seen.line, value));
    assert_null(strstr(seen.line, "\xe2\x80\xa6"));
}

static void fields_that_find_no_room_are_left_out_and_the_line_says_so(void **state)
{
    char value[1500];

    (void)state;
    for (int format = LOG_TEXT; format <= LOG_JSON; format++) {
        memset(value, '\n', sizeof(value) - 1); /* each takes two bytes */
        value[sizeof(value) - 1] = '\0';
        log_setup(LOG_DEBUG, (enum log_format)format);
        log_info("e", log_str("a", value), log_str("b", value), log_str("c", value), log_str("d", value),
                 log_str("e", value), log_int("last", 1));
        assert_true(strlen(seen.line) < 4096);
        assert_non_null(strstr(seen.line, format == LOG_JSON ? "\"c\":\"" : " c=\""));
        assert_null(strstr(seen.line, format == LOG_JSON ? "\"e\":\"" : " e=\""));
        assert_non_null(strstr(seen.line, format == LOG_JSON ? "\"last\":1,\"cut\":true}" : " last=1 cut=true"));
    }
}

static void lines_below_the_level_are_not_written(void **state)
{
    (void)state;
    log_setup(LOG_WARN, LOG_TEXT);
    log_debug("e", log_int("n", 1));
    log_info("e", log_int("n", 2));
    assert_int_equal(seen.count, 0);
    log_warn("e", log_int("n", 3));
    log_error("e", log_int("n", 4));
    assert_int_equal(seen.count, 2);
}

enum { WRITERS = 4, LINES = 50 };

static void *write_lines(void *arg)
{
    for (int i = 0; i < LINES; i++)
        log_info("e", log_str("writer", arg), log_int("line", i));
    return NULL;
}

/* On a SEQPACKET socket every write(2) is a packet of its own. */
static void each_line_is_one_write_to_stderr_from_any_thread(void **state)
{
    int ends[2];
    int saved = dup(STDERR_FILENO);
    pthread_t threads[WRITERS];
    char *const names[WRITERS] = {"a", "b", "c", "d"};
    int broken = 0;

    (void)state;
    log_capture(NULL, NULL);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    for (int i = 0; i < WRITERS; i++)
        pthread_create(&threads[i], NULL, write_lines, names[i]);
    for (int i = 0; i < WRITERS * LINES; i++) {
        char line[512];
        ssize_t n = read(ends[0], line, sizeof(line) - 1);

        line[n > 0 ? n : 0] = '\0';
        broken += n < 10 || strncmp(line, "ts=", 3) != 0 || strchr(line, '\n') != line + n - 1;
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(broken, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_field_that_is_optional_is_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_line_that_cannot_be_written_is_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_text_line_has_ts_level_event_and_then_the_fields, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_json_line_is_one_object, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_event_needs_no_fields, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_value_cannot_forge_a_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_long_value_is_cut_and_ends_in_an_ellipsis, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_value_that_fits_is_not_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fields_that_find_no_room_are_left_out_and_the_line_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lines_below_the_level_are_not_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_line_is_one_write_to_stderr_from_any_thread, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("base/log", tests, NULL, NULL);
}
