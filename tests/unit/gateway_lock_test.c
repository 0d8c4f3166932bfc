/* gateway/lock: a second gateway on the same folder is told whom it met; a dead one is in nobody's way. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/lock.h"

static char dir[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/jidpost-lock-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    char path[80];

    (void)state;
    snprintf(path, sizeof path, "%s/lock", dir);
    unlink(path);
    return rmdir(dir);
}

/* A process that holds the lock; returns once it does. */
static pid_t start_owner(void)
{
    int ready[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct error err;

        if (!lock_take(dir, &err) || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void kill_owner(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_second_gateway_is_refused_and_told_the_first_ones_pid(void **state)
{
    struct error err = {0};
    pid_t owner = start_owner();
    char pid[32];

    (void)state;
    assert_null(lock_take(dir, &err));
    kill_owner(owner);
    assert_int_equal(err.code, ERR_CONFIG);
    snprintf(pid, sizeof pid, "pid %ld)", (long)owner);
    assert_non_null(strstr(err.text, pid));
    assert_non_null(strstr(err.text, dir));
}

static void a_killed_gateway_leaves_no_lock(void **state)
{
    struct error err = {0};
    struct lock *lock;

    (void)state;
    kill_owner(start_owner());
    lock = lock_take(dir, &err);
    assert_non_null(lock);
    lock_release(&lock);
    assert_null(lock);
    lock_release(&lock);
}

/* A shorter pid over a longer one must not leave its tail. */
static void the_file_holds_the_owners_pid_and_nothing_else(void **state)
{
    struct error err = {0};
    struct lock *lock;
    char path[80], text[64] = "", mine[32];
    FILE *f;

    (void)state;
    snprintf(path, sizeof path, "%s/lock", dir);
    f = fopen(path, "w");
    fputs("99999999999999999999\n", f);
    fclose(f);
    lock = lock_take(dir, &err);
    assert_non_null(lock);
    f = fopen(path, "r");
    assert_int_equal(fread(text, 1, sizeof text - 1, f), snprintf(mine, sizeof mine, "%ld\n", (long)getpid()));
    fclose(f);
    assert_string_equal(text, mine);
    lock_release(&lock);
}

static void a_released_lock_can_be_taken_again(void **state)
{
    struct error err = {0};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct lock *lock = lock_take(dir, &err);

        assert_non_null(lock);
        assert_null(lock_take(dir, &err));
        lock_release(&lock);
    }
}

static void a_folder_that_is_not_there_is_named(void **state)
{
    struct error err = {0};

    (void)state;
    assert_null(lock_take("/nonexistent/jidpost", &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_non_null(strstr(err.text, "/nonexistent/jidpost"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_second_gateway_is_refused_and_told_the_first_ones_pid),
        TEST(a_killed_gateway_leaves_no_lock),
        TEST(the_file_holds_the_owners_pid_and_nothing_else),
        TEST(a_released_lock_can_be_taken_again),
        TEST(a_folder_that_is_not_there_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
