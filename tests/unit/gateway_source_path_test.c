/* Files by their path: below a root, whatever stands there, and nothing else. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "gateway/source_path.h"

struct tree {
    char at[64], out[80], in[80];
    char *roots[3];
};

static void make(const struct tree *t, const char *name, const char *text)
{
    char path[160];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", t->at, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int set_up(void **state)
{
    static struct tree t;
    char path[160];

    t = (struct tree){.at = "/tmp/jidpost-source-XXXXXX"};
    assert_non_null(mkdtemp(t.at));
    snprintf(t.out, sizeof t.out, "%s/out", t.at);
    snprintf(t.in, sizeof t.in, "%s/out/in", t.at);
    assert_true(mkdir(t.out, 0700) == 0 && mkdir(t.in, 0700) == 0);
    make(&t, "secret", "secret");
    make(&t, "out/a.txt", "abc");
    make(&t, "out/in/b.txt", "defg");
    make(&t, "out2", "no folder");
    snprintf(path, sizeof path, "%s/fifo", t.out);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof path, "%s/link", t.out);
    assert_int_equal(symlink("../secret", path), 0);
    snprintf(path, sizeof path, "%s/near", t.out);
    assert_int_equal(symlink("a.txt", path), 0);
    snprintf(path, sizeof path, "%s/up", t.out);
    assert_int_equal(symlink("..", path), 0);
    t.roots[0] = t.out;
    *state = &t;
    return 0;
}

static int tear_down(void **state)
{
    const struct tree *t = *state;
    char command[120];

    snprintf(command, sizeof command, "rm -r %s", t->at);
    return system(command);
}

static void only_regular_files_below_a_root_are_opened(void **state)
{
    static const struct {
        const char *says, *path; /* behind the tree's own */
        int64_t size;            /* -1: not opened */
        enum error_code code;
    } rows[] = {
        {"a file", "out/a.txt", 3, ERR_NONE},
        {"one further down", "out/in/b.txt", 4, ERR_NONE},
        {"down and up again, and never out", "out/in/../a.txt", 3, ERR_NONE},
        {"beside the root", "secret", -1, ERR_SOURCE_REFUSED},
        {"beside it, by name", "out2", -1, ERR_SOURCE_REFUSED},
        {"out of it", "out/../secret", -1, ERR_SOURCE_REFUSED},
        {"out of it, from below", "out/in/../../secret", -1, ERR_SOURCE_REFUSED},
        {"out and back in", "out/../out/a.txt", -1, ERR_SOURCE_REFUSED},
        {"an absolute path behind it", "out//etc/passwd", -1, ERR_SOURCE_REFUSED},
        {"a link that leads out", "out/link", -1, ERR_SOURCE_REFUSED},
        {"a link that stays inside", "out/near", -1, ERR_SOURCE_REFUSED},
        {"through a link", "out/up/secret", -1, ERR_SOURCE_REFUSED},
        {"a FIFO, which is not waited for", "out/fifo", -1, ERR_SOURCE_REFUSED},
        {"a folder", "out/in", -1, ERR_SOURCE_REFUSED},
        {"the root itself", "out", -1, ERR_SOURCE_REFUSED},
        {"the root with a slash", "out/", -1, ERR_SOURCE_REFUSED},
        {"nothing", "out/none", -1, ERR_SOURCE_FAILED},
        {"a file for a folder", "out/a.txt/b", -1, ERR_SOURCE_FAILED},
    };
    struct tree *t = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error err = {0};
        uint64_t size = 0;
        char path[160];
        int fd;

        snprintf(path, sizeof path, "%s/%s", t->at, rows[i].path);
        fd = source_open(t->roots, path, &size, &err);
        if ((fd >= 0) != (rows[i].size >= 0) || (fd >= 0 && (int64_t)size != rows[i].size) ||
            (fd < 0 && err.code != rows[i].code))
            fail_msg("%s: %d, %llu bytes, %s: %s", rows[i].says, fd, (unsigned long long)size, error_name(err.code),
                     err.text);
        if (fd < 0 && strstr(err.text, t->at))
            fail_msg("%s: %s", rows[i].says, err.text);
        fd_close(&fd);
    }
}

static void what_is_not_a_path_below_a_root_is_told_by_its_text(void **state)
{
    static const char *const paths[] = {"", "a.txt", "out/a.txt", "/", "/etc/passwd"};
    struct tree *t = *state;
    struct error err;

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_null(source_root(t->roots, paths[i], &err));
        assert_int_equal(err.code, ERR_SOURCE_REFUSED);
    }
}

static void of_two_roots_the_inner_one_counts(void **state)
{
    struct tree *t = *state;
    struct error err = {0};
    uint64_t size;
    char path[160];
    int fd;

    t->roots[1] = t->in;
    snprintf(path, sizeof path, "%s/b.txt", t->in);
    assert_ptr_equal(source_root(t->roots, path, &err), t->in);
    fd = source_open(t->roots, path, &size, &err);
    assert_true(fd >= 0);
    fd_close(&fd);
    snprintf(path, sizeof path, "%s/../a.txt", t->in); /* out of that one */
    assert_int_equal(source_open(t->roots, path, &size, &err), -1);
}

static void without_roots_there_is_nothing(void **state)
{
    char *none[] = {NULL};
    struct tree *t = *state;
    struct error err;
    uint64_t size;
    char path[160];

    snprintf(path, sizeof path, "%s/a.txt", t->out);
    assert_int_equal(source_open(none, path, &size, &err), -1);
    assert_int_equal(err.code, ERR_SOURCE_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_regular_files_below_a_root_are_opened, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_a_path_below_a_root_is_told_by_its_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(of_two_roots_the_inner_one_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_roots_there_is_nothing, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
