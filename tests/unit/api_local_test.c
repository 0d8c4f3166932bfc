/* The unix socket: only what is dead is replaced, and only what is ours is removed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/local.h"
#include "base/fd.h"

struct world {
    char folder[64], path[96];
    struct local local;
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    snprintf(w->folder, sizeof w->folder, "/tmp/jidpost-local-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    snprintf(w->path, sizeof w->path, "%s/http.sock", w->folder);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    unlink(w->path);
    assert_int_equal(rmdir(w->folder), 0);
    free(w);
    return 0;
}

static int must_listen(struct world *w, mode_t mode)
{
    struct error err = {0};
    int fd = local_listen(&w->local, w->path, mode, &err);

    if (fd < 0)
        fail_msg("%s", err.text);
    return fd;
}

static bool can_connect(const struct world *w)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    bool ok;

    memcpy(to.sun_path, w->path, strlen(w->path) + 1);
    ok = connect(fd, (struct sockaddr *)&to, sizeof to) == 0;
    close(fd);
    return ok;
}

static void it_has_its_mode_and_goes_with_us(void **state)
{
    static const mode_t modes[] = {0600, 0660, 0666};
    struct world *w = *state;
    struct stat there;

    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        int fd = must_listen(w, modes[i]);

        assert_int_equal(stat(w->path, &there), 0);
        assert_int_equal(there.st_mode & 07777, modes[i]);
        assert_true(can_connect(w));
        local_remove(&w->local);
        local_remove(&w->local);
        assert_int_not_equal(access(w->path, F_OK), 0);
        fd_close(&fd);
    }
}

static void a_dead_one_is_replaced(void **state)
{
    struct world *w = *state;
    int fd = must_listen(w, 0600);

    fd_close(&fd); /* as kill -9 does */
    assert_false(can_connect(w));
    fd = must_listen(w, 0600);
    assert_true(can_connect(w));
    fd_close(&fd);
}

static void expect_refusal(struct world *w, const char *path, enum error_code code, const char *words)
{
    struct local other = {0};
    struct error err = {0};

    assert_int_equal(local_listen(&other, path, 0600, &err), -1);
    assert_int_equal(err.code, code);
    if (!strstr(err.text, words))
        fail_msg("'%s' lacks '%s'", err.text, words);
    (void)w;
}

static void what_is_no_dead_socket_stays(void **state)
{
    struct world *w = *state;
    int fd = must_listen(w, 0600);
    char longer[200];
    FILE *file;

    expect_refusal(w, w->path, ERR_CONFIG, "another gateway");
    assert_true(can_connect(w));
    local_remove(&w->local);
    fd_close(&fd);

    file = fopen(w->path, "we");
    assert_non_null(file);
    fclose(file);
    expect_refusal(w, w->path, ERR_CONFIG, "no socket");
    assert_int_equal(access(w->path, F_OK), 0);
    unlink(w->path);

    assert_int_equal(symlink("/etc/passwd", w->path), 0);
    expect_refusal(w, w->path, ERR_CONFIG, "no socket");
    unlink(w->path);

    snprintf(longer, sizeof longer, "%s/no/folder", w->folder);
    expect_refusal(w, longer, ERR_SYSTEM, "No such file");
    memset(longer, 'a', sizeof longer - 1);
    longer[0] = '/';
    longer[sizeof longer - 1] = '\0';
    expect_refusal(w, longer, ERR_CONFIG, "too long");
}

static void what_took_our_place_is_not_removed(void **state)
{
    struct world *w = *state;
    int fd = must_listen(w, 0600), other;
    struct local first = w->local;

    unlink(w->path);
    other = must_listen(w, 0600);
    local_remove(&first);
    assert_true(can_connect(w));
    fd_close(&fd);
    fd_close(&other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_has_its_mode_and_goes_with_us),
        TEST(a_dead_one_is_replaced),
        TEST(what_is_no_dead_socket_stays),
        TEST(what_took_our_place_is_not_removed),
    };

    return cmocka_run_group_tests_name("api/local", tests, NULL, NULL);
}
