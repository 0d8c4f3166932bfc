/* gateway/digest.c: the SHA-256 of a file, a piece at a time in the pool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"
#include "gateway/digest.h"

struct told {
    unsigned count;
    char sha256[65];
};

static void told(void *user, const char *sha256)
{
    struct told *t = user;

    t->count++;
    snprintf(t->sha256, sizeof t->sha256, "%s", sha256 ? sha256 : "none");
}

static void quiet(void *user, enum log_level level, const char *line)
{
    (void)user;
    (void)level;
    (void)line;
}

static void whole_file_is_digested_whatever_its_size(void **state)
{
    static const struct {
        uint64_t size; /* of zeros, so the file may have holes */
        const char *want;
    } rows[] = {
        {0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
        {(16 << 20) + 1, "1003b1b5dc078189799a1216ce0f9fbcebb94e8b6b83c58c4b03345f07f94ced"}, /* more than a piece */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct shared_fd *file = shared_fd_create(memfd_create("file", MFD_CLOEXEC));
        struct told t = {0};
        struct digest *d;
        uv_loop_t loop;

        uv_loop_init(&loop);
        assert_int_equal(ftruncate(file->fd, (off_t)rows[i].size), 0);
        d = digest_start(&loop, file, rows[i].size, told, &t);
        assert_non_null(d);
        shared_fd_release(&file); /* it holds the file itself */
        assert_int_equal(t.count, 0);
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(t.count, 1);
        assert_string_equal(t.sha256, rows[i].want);
        assert_int_equal(uv_loop_close(&loop), 0);
    }
}

static void file_that_is_shorter_than_it_was_has_none(void **state)
{
    struct shared_fd *file = shared_fd_create(memfd_create("file", MFD_CLOEXEC));
    struct told t = {0};
    uv_loop_t loop;

    (void)state;
    uv_loop_init(&loop);
    log_capture(quiet, NULL);
    assert_non_null(digest_start(&loop, file, 1, told, &t));
    uv_run(&loop, UV_RUN_DEFAULT);
    log_capture(NULL, NULL);
    assert_string_equal(t.sha256, "none");
    shared_fd_release(&file);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void cancelled_one_tells_nothing(void **state)
{
    struct shared_fd *file = shared_fd_create(memfd_create("file", MFD_CLOEXEC));
    struct told t = {0};
    struct digest *d;
    uv_loop_t loop;

    (void)state;
    uv_loop_init(&loop);
    d = digest_start(&loop, file, 0, told, &t);
    digest_cancel(&d);
    assert_null(d);
    digest_cancel(&d); /* nothing is fine */
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(t.count, 0);
    shared_fd_release(&file);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_file_is_digested_whatever_its_size),
        cmocka_unit_test(file_that_is_shorter_than_it_was_has_none),
        cmocka_unit_test(cancelled_one_tells_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
