#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/process.h"

static void what_was_not_opened_is_not_known(void **state)
{
    struct process_usage usage;

    (void)state;
    process_usage(&usage);
    assert_int_equal(usage.started_ms, 0);
    assert_int_equal(usage.resident, -1);
    assert_int_equal(usage.open_fds, -1);
}

static void a_descriptor_more_is_seen(void **state)
{
    struct process_usage before, after;
    int fd;

    (void)state;
    process_open();
    process_usage(&before);
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    process_usage(&after);
    assert_int_equal(after.open_fds, before.open_fds + 1);
    close(fd);
    process_usage(&after);
    assert_int_equal(after.open_fds, before.open_fds);
    assert_true(after.max_fds >= after.open_fds);
    process_close();
}

static void memory_and_time_are_told(void **state)
{
    struct process_usage usage;

    (void)state;
    process_open();
    process_usage(&usage);
    assert_true(usage.resident > 100 * 1024 && usage.virtual > usage.resident);
    assert_true(usage.cpu_us > 0);
    assert_true(usage.started_ms > 0 && usage.started_ms <= clock_wall_ms());
    process_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_not_opened_is_not_known),
        cmocka_unit_test(a_descriptor_more_is_seen),
        cmocka_unit_test(memory_and_time_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
