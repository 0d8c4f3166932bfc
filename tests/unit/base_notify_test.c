/* base/notify: what a service manager hears, at a real socket of either kind. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/notify.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* A manager: bound where $NOTIFY_SOCKET says. */
static int manager(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    memcpy(at.sun_path, path, strlen(path) + 1);
    if (path[0] == '@')
        at.sun_path[0] = '\0';
    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    return fd;
}

static void hear(int fd, const char *want)
{
    char text[2048];
    ssize_t n = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);

    assert_true(n >= 0);
    text[n] = '\0';
    assert_string_equal(text, want);
}

static void a_manager_hears_at_a_path_and_at_an_abstract_name(void **state)
{
    char folder[] = "/tmp/jidpost-notify-XXXXXX", path[64], name[64];
    const char *const rows[] = {path, name};

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/notify", folder);
    snprintf(name, sizeof name, "@%s", folder); /* as unique as the folder */
    for (size_t i = 0; i < COUNT(rows); i++) {
        int fd = manager(rows[i]);
        struct notify n;

        assert_true(notify_open(&n, rows[i]));
        notify_send(&n, "READY=1\nSTATUS=%s, %d transfers", "online", 3);
        hear(fd, "READY=1\nSTATUS=online, 3 transfers");
        notify_send(&n, "STOPPING=1");
        hear(fd, "STOPPING=1");
        notify_close(&n);
        notify_send(&n, "STATUS=nobody hears this");
        fd_close(&fd);
    }
    unlink(path);
    rmdir(folder);
}

static void reloading_tells_since_when(void **state)
{
    char name[64], text[128] = "";
    long long usec = 0;
    struct timespec now;
    struct notify n;
    int fd;

    (void)state;
    snprintf(name, sizeof name, "@jidpost-notify-reload-%d", (int)getpid());
    fd = manager(name);
    assert_true(notify_open(&n, name));
    clock_gettime(CLOCK_MONOTONIC, &now);
    notify_reloading(&n);
    assert_true(recv(fd, text, sizeof text - 1, MSG_DONTWAIT) > 0);
    assert_int_equal(sscanf(text, "RELOADING=1\nMONOTONIC_USEC=%lld", &usec), 1);
    assert_true(usec >= now.tv_sec * 1000000 + now.tv_nsec / 1000);
    notify_close(&n);
    fd_close(&fd);
}

static void a_message_is_cut_not_overrun(void **state)
{
    char name[64], long_text[4096], heard[2048];
    struct notify n;
    int fd;

    (void)state;
    snprintf(name, sizeof name, "@jidpost-notify-test-%d", (int)getpid());
    fd = manager(name);
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    assert_true(notify_open(&n, name));
    notify_send(&n, "%s", long_text);
    assert_int_equal(recv(fd, heard, sizeof heard, MSG_DONTWAIT), 1023);
    notify_close(&n);
    fd_close(&fd);
}

static void without_a_manager_nothing_happens(void **state)
{
    static const struct {
        const char *path;
        bool good;
    } rows[] = {
        {NULL, true},
        {"", true},
        {"/nowhere/at/all", true}, /* it may come to be */
        {"@jidpost-nobody-is-bound-here", true},
        {"relative", false},
        {"@", false},
        {"/", false},
        {"/a-path-that-is-longer-than-the-108-bytes-a-unix-socket-address-has-room-for-"
         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
         false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct notify n;

        if (notify_open(&n, rows[i].path) != rows[i].good)
            fail_msg("%s", rows[i].path);
        notify_send(&n, "READY=1");
        notify_close(&n);
    }
}

static void a_manager_that_is_busy_does_not_hold_us_up(void **state)
{
    char name[64];
    struct notify n;
    int fd;

    (void)state;
    snprintf(name, sizeof name, "@jidpost-notify-busy-%d", (int)getpid());
    fd = manager(name);
    assert_true(notify_open(&n, name));
    for (size_t i = 0; i < 5000; i++) /* more than its queue takes (net.unix.max_dgram_qlen) */
        notify_send(&n, "WATCHDOG=1");
    notify_close(&n);
    fd_close(&fd);
}

static void the_watchdog_is_fed_twice_as_often_as_asked(void **state)
{
    char self[24], other[24];
    const struct {
        const char *says, *usec, *pid;
        int64_t want;
    } rows[] = {
        {"none", NULL, NULL, 0},
        {"a minute", "60000000", NULL, 30000},
        {"for us", "60000000", self, 30000},
        {"for any", "60000000", "", 30000},
        {"for another", "60000000", other, 0},
        {"hardly any time", "1000", NULL, 1},
        {"nothing", "0", NULL, 0},
        {"no number", "soon", NULL, 0},
        {"a number and more", "1000000s", NULL, 0},
        {"negative", "-1000000", NULL, 0},
        {"beyond all numbers", "99999999999999999999999", NULL, 0},
    };

    (void)state;
    snprintf(self, sizeof self, "%d", (int)getpid());
    snprintf(other, sizeof other, "%d", (int)getpid() + 1);
    for (size_t i = 0; i < COUNT(rows); i++)
        if (notify_watchdog_ms(rows[i].usec, rows[i].pid) != rows[i].want)
            fail_msg("%s", rows[i].says);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manager_hears_at_a_path_and_at_an_abstract_name),
        cmocka_unit_test(reloading_tells_since_when),
        cmocka_unit_test(a_message_is_cut_not_overrun),
        cmocka_unit_test(without_a_manager_nothing_happens),
        cmocka_unit_test(a_manager_that_is_busy_does_not_hold_us_up),
        cmocka_unit_test(the_watchdog_is_fed_twice_as_often_as_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
