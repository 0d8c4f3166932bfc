/* gateway/confine: which files a gateway reads and writes once it runs. Each look is a process of its own. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/confine.h"

enum { DOES_NOT = 200, ROOM = 128 };

static char root[] = "/tmp/confine.XXXXXX";

static const char *at(char out[static ROOM], const char *name)
{
    snprintf(out, ROOM, name[0] == '/' ? "%.0s%s" : "%s/%s", root, name);
    return out;
}

static const char *const folders[] = {"state", "state/spool", "store", "etc",  "ca",
                                      "real",  "secrets",     "cred",  "home", "certs"};
static const char *const files[] = {"state/lock",  "state/spool/a", "store/db",    "etc/jidpost.ini",
                                    "real/ca.pem", "secrets/token", "secrets/new", "cred/http.token",
                                    "home/diary",  "certs/a.pem"};
enum { FOLDERS = sizeof folders / sizeof *folders, FILES = sizeof files / sizeof *files };

static int make_tree(void **state)
{
    char path[ROOM], target[ROOM];
    int fd;

    (void)state;
    assert_non_null(mkdtemp(root));
    for (size_t i = 0; i < FOLDERS; i++)
        assert_int_equal(mkdir(at(path, folders[i]), 0700), 0);
    for (size_t i = 0; i < FILES; i++) {
        fd = open(at(path, files[i]), O_WRONLY | O_CREAT, 0600);
        assert_true(fd >= 0);
        close(fd);
    }
    return symlink(at(target, "real/ca.pem"), at(path, "ca/ca.pem"));
}

static int remove_tree(void **state)
{
    char path[ROOM];

    (void)state;
    unlink(at(path, "ca/ca.pem"));
    unlink(at(path, "state/new"));
    for (size_t i = FILES; i > 0; i--)
        unlink(at(path, files[i - 1]));
    for (size_t i = FOLDERS; i > 0; i--)
        rmdir(at(path, folders[i - 1]));
    return rmdir(root);
}

/* errno of opening it as a gateway of that tree, or 0. */
static int open_inside(const char *name, int flags, enum sandbox_mode mode)
{
    char state_dir[ROOM], spool[ROOM], url[ROOM + 16], db[ROOM], ca[ROOM], file[ROOM], path[ROOM];
    char secret[ROOM + 32], credentials[ROOM + 32], certs[ROOM + 32];
    char *const environment[] = {"HOME=/root", "JIDPOST_XMPP_JID=a@example.org", secret, credentials, certs, NULL};
    struct config c = {.server = {.state_dir = state_dir, .sandbox = mode}, .spool.dir = spool};
    struct sandbox got;
    struct error err = {0};

    at(state_dir, "state");
    at(spool, "state/spool");
    at(ca, "ca/ca.pem");
    snprintf(url, sizeof url, "sqlite://%s", at(db, "store/db"));
    c.store.url = url;
    c.xmpp.ca = ca;
    snprintf(secret, sizeof secret, "JIDPOST_HTTP_TOKEN_FILE=%s", at(path, "secrets/token"));
    snprintf(credentials, sizeof credentials, "CREDENTIALS_DIRECTORY=%s", at(path, "cred"));
    snprintf(certs, sizeof certs, "SSL_CERT_DIR=%s", at(path, "certs"));
    if (!confine(&c, at(file, "etc/jidpost.ini"), environment, &got, &err))
        return DOES_NOT;
    if (mode != SANDBOX_OFF && got.files == 0)
        return DOES_NOT;
    return open(at(path, name), flags, 0600) >= 0 ? 0 : errno;
}

static int look(const char *name, int flags, enum sandbox_mode mode)
{
    pid_t child = fork();
    int status = 0;

    assert_true(child >= 0);
    if (child == 0)
        _exit(open_inside(name, flags, mode));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_running_gateway_opens_its_own_files_alone(void **state)
{
    static const struct {
        const char *name;
        int flags;
        int want;
    } rows[] = {
        {"state/lock", O_RDWR, 0},
        {"state/new", O_RDWR | O_CREAT, 0},
        {"state/spool/a", O_RDWR, 0},
        {"store/db", O_RDWR, 0},
        {"etc/jidpost.ini", O_RDONLY, 0},
        {"etc/jidpost.ini", O_RDWR, EACCES},
        {"ca/ca.pem", O_RDONLY, 0}, /* a link */
        {"real/ca.pem", O_WRONLY, EACCES},
        {"secrets/token", O_RDONLY, 0},
        {"secrets/new", O_RDONLY, 0}, /* it may be renamed onto the other */
        {"cred/http.token", O_RDONLY, 0},
        {"certs/a.pem", O_RDONLY, 0},
        {"home/diary", O_RDONLY, EACCES},
        {"home/new", O_RDWR | O_CREAT, EACCES},
        {"/etc/resolv.conf", O_RDONLY, 0},
        {"/etc/hosts", O_RDWR, EACCES},
        {"/dev/null", O_RDWR, 0},
        {"/proc/1/environ", O_RDONLY, EACCES},
        {"/var/tmp/new", O_RDWR | O_CREAT, EACCES},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int got = look(rows[i].name, rows[i].flags, SANDBOX_AUTO);

        if (got == DOES_NOT) {
            print_message("this kernel has no Landlock\n");
            return;
        }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        if (strncmp(rows[i].name, "/proc", strlen("/proc")) == 0)
            continue; /* theirs to read */
#endif
        if (got != rows[i].want && !(got == ENOENT && rows[i].want == 0))
            fail_msg("%s: %s, expected %s", rows[i].name, got ? strerror(got) : "opened",
                     rows[i].want ? strerror(rows[i].want) : "opened");
    }
}

static int read_all_from_the_root(const char *file)
{
    char *const environment[] = {NULL};
    char state_dir[ROOM], url[] = "sqlite:///jidpost.db", path[ROOM];
    struct config c = {.server = {.state_dir = state_dir}, .spool.dir = state_dir, .store.url = url};
    struct sandbox got;
    struct error err = {0};

    at(state_dir, "state");
    if (chdir("/") != 0 || !confine(&c, file, environment, &got, &err) || got.files == 0)
        return DOES_NOT;
    return open(at(path, "home/diary"), O_RDONLY) >= 0 ? 0 : errno;
}

/* Started there, or with a file there: that opens the file and not all that lies below. */
static void the_root_is_no_folder_of_anybody(void **state)
{
    static const char *const rows[] = {NULL, "jidpost.ini", "/jidpost.ini"};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pid_t child = fork();
        int status = 0;

        assert_true(child >= 0);
        if (child == 0)
            _exit(read_all_from_the_root(rows[i]));
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFEXITED(status) || (WEXITSTATUS(status) != EACCES && WEXITSTATUS(status) != DOES_NOT))
            fail_msg("%s: everything can be read", rows[i] ? rows[i] : "none");
    }
}

static void whoever_wants_none_of_it_gets_none(void **state)
{
    (void)state;
    assert_int_equal(look("home/diary", O_RDWR, SANDBOX_OFF), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_running_gateway_opens_its_own_files_alone),
        cmocka_unit_test(the_root_is_no_folder_of_anybody),
        cmocka_unit_test(whoever_wants_none_of_it_gets_none),
    };

    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
