/* base/fd: closing once, and the reserve below 1024 that keeps select() in libstrophe from aborting. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void a_closed_descriptor_becomes_minus_one(void **state)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int number = fd;

    (void)state;
    errno = ENOSPC;
    fd_close(&fd);
    assert_int_equal(fd, -1);
    assert_false(is_open(number));
    errno = ENOSPC;
    fd_close(&fd); /* once more is fine */
    assert_int_equal(errno, ENOSPC);
}

static void closing_keeps_errno(void **state)
{
    int fd = 1 << 20; /* not open: close() itself would say EBADF */

    (void)state;
    errno = ENOSPC;
    fd_close(&fd);
    assert_int_equal(errno, ENOSPC);
}

static void a_high_descriptor_moves_onto_a_low_number(void **state)
{
    int ends[2];
    int high, old;
    char byte = 0;

    (void)state;
    assert_true(fd_raise_limit() > 1100);
    assert_true(fd_reserve_low(2));
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    high = old = fcntl(ends[1], F_DUPFD_CLOEXEC, 1050);
    assert_true(high >= 1050);
    fd_close(&ends[1]);

    assert_true(fd_move_low(&high));
    assert_in_range(high, 0, 1023);
    assert_false(is_open(old));
    assert_true(fcntl(high, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(high, "x", 1), 1); /* still the same pipe */
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(byte, 'x');

    fd_close(&high);
    fd_close(&ends[0]);
    fd_release_reserve();
}

static void an_empty_reserve_leaves_the_descriptor_alone(void **state)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int before = fd;

    (void)state;
    assert_false(fd_move_low(&fd));
    assert_int_equal(fd, before);
    assert_true(is_open(fd));
    fd_close(&fd);
}

static void a_descriptor_that_cannot_move_costs_no_reserve(void **state)
{
    int closed = 1 << 20;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_true(fd_reserve_low(1));
    assert_false(fd_move_low(&closed));
    assert_int_equal(closed, 1 << 20);
    assert_true(fd_move_low(&fd));
    fd_close(&fd);
    fd_release_reserve();
}

/* Takes every free number below 1024; returns how many. */
static size_t take_all_low(int *taken)
{
    size_t count = 0;
    int fd;

    while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0 && fd < 1024)
        taken[count++] = fd;
    fd_close(&fd);
    return count;
}

static void the_reserve_outlives_any_number_of_sockets(void **state)
{
    static int taken[1024];
    int fd;
    size_t count;

    (void)state;
    fd_raise_limit();
    assert_true(fd_reserve_low(1));
    count = take_all_low(taken);
    for (int round = 0; round < 3; round++) { /* connect, disconnect, connect again */
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 1024);
        assert_true(fd_move_low(&fd));
        assert_in_range(fd, 0, 1023);
        close(fd); /* as libstrophe does */
        fd_refill_low();
    }
    fd_release_reserve();
    while (count > 0)
        fd_close(&taken[--count]);
}

static void a_full_reserve_takes_no_more(void **state)
{
    int before, after;

    (void)state;
    assert_true(fd_reserve_low(1));
    before = open("/dev/null", O_RDONLY | O_CLOEXEC);
    fd_close(&(int){before});
    fd_refill_low();
    after = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(after, before);
    fd_close(&after);
    fd_release_reserve();
}

static void too_few_low_numbers_are_told_at_start_up(void **state)
{
    static int taken[1024];
    size_t count;
    int freed;

    (void)state;
    fd_raise_limit();
    count = take_all_low(taken);
    assert_false(fd_reserve_low(1));
    freed = taken[count - 1];
    fd_close(&taken[--count]);
    assert_false(fd_reserve_low(2));
    assert_false(is_open(freed)); /* what it took before it failed is given back */
    assert_true(fd_reserve_low(1));
    fd_release_reserve();
    while (count > 0)
        fd_close(&taken[--count]);
}

static void the_limit_is_raised_to_the_hard_one(void **state)
{
    struct rlimit limit;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 256;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(fd_raise_limit(), limit.rlim_max);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(limit.rlim_cur, limit.rlim_max);
}

static void a_shared_descriptor_is_closed_by_the_last_who_holds_it(void **state)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct shared_fd *one = shared_fd_create(fd), *other = shared_fd_hold(one);

    (void)state;
    assert_ptr_equal(one, other);
    shared_fd_release(&one);
    assert_null(one);
    assert_true(is_open(fd));
    shared_fd_release(&other);
    assert_null(other);
    assert_false(is_open(fd));
    shared_fd_release(&other); /* nothing is fine */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_closed_descriptor_becomes_minus_one),
        cmocka_unit_test(closing_keeps_errno),
        cmocka_unit_test(a_high_descriptor_moves_onto_a_low_number),
        cmocka_unit_test(an_empty_reserve_leaves_the_descriptor_alone),
        cmocka_unit_test(a_descriptor_that_cannot_move_costs_no_reserve),
        cmocka_unit_test(the_reserve_outlives_any_number_of_sockets),
        cmocka_unit_test(a_full_reserve_takes_no_more),
        cmocka_unit_test(too_few_low_numbers_are_told_at_start_up),
        cmocka_unit_test(a_shared_descriptor_is_closed_by_the_last_who_holds_it),
        cmocka_unit_test(the_limit_is_raised_to_the_hard_one),
    };
    return cmocka_run_group_tests_name("base/fd", tests, NULL, NULL);
}
