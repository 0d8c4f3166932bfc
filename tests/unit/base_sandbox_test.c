/* base/sandbox: what a process can no longer do, and what it still can. Each trial is a process of its own. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sandbox.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

/* Runs the trial in a child; its result is what the trial returned, 0 to 255. */
static int in_child(int (*trial)(const void *arg), const void *arg)
{
    pid_t child = fork();
    int status = 0;

    assert_true(child >= 0);
    if (child == 0)
        _exit(trial(arg));
    while (waitpid(child, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    if (!WIFEXITED(status))
        fail_msg("the trial was ended by signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

static int enter_calls(void)
{
    struct error err = {0};

    if (sandbox_enter_calls(&err))
        return 0;
    fprintf(stderr, "%s\n", err.text);
    return 255;
}

/* ---- calls */

struct call {
    const char *says;
    long number;
    long args[6];
    int refusal;
    bool only_in_release; /* a sanitizer's own needs stand in the way */
};

static int errno_of(const void *arg)
{
    const struct call *c = arg;
    const long *a = c->args;

    if (enter_calls() != 0)
        return 255;
    if (syscall(c->number, a[0], a[1], a[2], a[3], a[4], a[5]) != -1)
        return 0;
    return errno;
}

static void what_an_attacker_wants_is_refused(void **state)
{
    static const char shell[] = "/bin/sh";
    static const char *const argv[] = {"sh", "-c", "exit 0", NULL};
    const struct call rows[] = {
        {"a program", SYS_execve, {(long)shell, (long)argv}, EPERM, false},
        {"a program by descriptor", SYS_execveat, {AT_FDCWD, (long)shell, (long)argv}, EPERM, false},
        {"a process", SYS_clone, {SIGCHLD}, EPERM, true},
        {"a process in new namespaces", SYS_clone, {SIGCHLD | CLONE_NEWUSER | CLONE_NEWNET}, EPERM, true},
        {"a process as of late", SYS_clone3, {0, 0}, ENOSYS, false},
        {"new namespaces", SYS_unshare, {CLONE_NEWUSER}, EPERM, false},
        {"another's namespaces", SYS_setns, {0, 0}, EPERM, false},
        {"another process traced", SYS_ptrace, {16, getppid()}, EPERM, true},
        {"another's memory", SYS_process_vm_writev, {getppid()}, EPERM, false},
        {"another process signalled", SYS_kill, {getppid(), 0}, EPERM, false},
        {"its thread signalled", SYS_tgkill, {getppid(), getppid(), 0}, EPERM, false},
        {"a descriptor of another", SYS_pidfd_open, {getppid(), 0}, EPERM, false},
        {"a file system", SYS_mount, {0}, EPERM, false},
        {"a file system, as of late", SYS_fsopen, {(long)"tmpfs"}, EPERM, false},
        {"another root", SYS_chroot, {(long)"/"}, EPERM, false},
        {"another root, pivoted", SYS_pivot_root, {(long)"/", (long)"/"}, EPERM, false},
        {"a program for the kernel", SYS_bpf, {0}, EPERM, false},
        {"counters", SYS_perf_event_open, {0}, EPERM, false},
        {"page faults handled", SYS_userfaultfd, {0}, EPERM, false},
        {"calls that no filter sees", SYS_io_uring_setup, {1, 0}, EPERM, false},
        {"keys", SYS_keyctl, {0}, EPERM, false},
        {"a key", SYS_add_key, {0}, EPERM, false},
        {"a module", SYS_init_module, {0}, EPERM, false},
        {"a module from a file", SYS_finit_module, {-1}, EPERM, false},
        {"another kernel", SYS_kexec_load, {0}, EPERM, false},
        {"a reboot", SYS_reboot, {0}, EPERM, false},
        {"swap", SYS_swapon, {0}, EPERM, false},
        {"the clock", SYS_clock_settime, {0}, EPERM, false},
        {"the host's name", SYS_sethostname, {(long)"x", 1}, EPERM, false},
        {"the kernel's log", SYS_syslog, {3, 0, 0}, EPERM, false},
        {"another user", SYS_setuid, {0}, EPERM, false},
        {"capabilities", SYS_capset, {0}, EPERM, false},
        {"a file without a name, to be run", SYS_memfd_create, {(long)"x", 0}, EPERM, false},
        {"a device's file", SYS_mknodat, {AT_FDCWD, (long)"x", S_IFCHR, 0}, EPERM, false},
        {"a file by its handle", SYS_open_by_handle_at, {0}, EPERM, false},
        {"another's limits", SYS_prlimit64, {getppid(), 7, 0, 0}, EPERM, false},
        {"a socket of packets", SYS_socket, {AF_PACKET, SOCK_RAW, 0}, EPERM, false},
        {"a raw socket", SYS_socket, {AF_INET, SOCK_RAW, 1}, EPERM, false},
        {"a socket of virtual machines", SYS_socket, {40, SOCK_STREAM, 0}, EPERM, false},
        {"a socket of the kernel's ciphers", SYS_socket, {38, SOCK_SEQPACKET, 0}, EPERM, false},
        {"a firewall's socket", SYS_socket, {AF_NETLINK, SOCK_RAW, 12}, EPERM, false},
        {"keys pressed into a terminal", SYS_ioctl, {0, TIOCSTI, (long)"x"}, EPERM, false},
        {"memory to be written and run",
         SYS_mmap,
         {0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0},
         EPERM,
         true},
        {"memory made to be run", SYS_mprotect, {0, 4096, PROT_READ | PROT_EXEC}, EPERM, true},
        {"a call that is younger than the list", 511, {0}, ENOSYS, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int got;

#ifdef SANITIZED
        if (rows[i].only_in_release)
            continue;
#endif
        got = in_child(errno_of, &rows[i]);
        if (got != rows[i].refusal)
            fail_msg("%s: %s, expected %s", rows[i].says, got ? strerror(got) : "done", strerror(rows[i].refusal));
    }
}

static void *nothing(void *arg)
{
    return arg;
}

static int work(const void *arg)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *found = NULL;
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    pthread_t thread;
    int fd, pair[2], unsent;
    void *memory;

    (void)arg;
    if (enter_calls() != 0)
        return 255;
    if (pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
        return 1;
    if (getaddrinfo("127.0.0.1", "80", &hints, &found) != 0)
        return 2;
    freeaddrinfo(found);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&any, sizeof any) != 0 || listen(fd, 1) != 0 ||
        (ioctl(fd, SIOCOUTQ, &unsent) != 0 && errno == EPERM))
        return 3;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || isatty(pair[0]))
        return 4;
    memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, 4096, PROT_READ) != 0 || munmap(memory, 1 << 20) != 0)
        return 5;
    return raise(0) == 0 ? 0 : 6;
}

static void what_the_gateway_does_goes_on(void **state)
{
    (void)state;
    assert_int_equal(in_child(work, NULL), 0);
}

static void *listen_and_tell(void *arg)
{
    int *fds = arg; /* a socket, and a pipe on which to wait */
    char byte;

    if (read(fds[1], &byte, 1) != 1)
        return "no word";
    return listen(fds[0], 1) == -1 && errno == EPERM ? NULL : "listened";
}

static int stop_listening(const void *arg)
{
    struct error err = {0};
    int fds[2] = {-1, -1}, pipe_ends[2];
    pthread_t thread;
    void *says = NULL;

    (void)arg;
    if (enter_calls() != 0)
        return 255;
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (fds[0] < 0 || pipe(pipe_ends) != 0)
        return 1;
    fds[1] = pipe_ends[0];
    if (pthread_create(&thread, NULL, listen_and_tell, fds) != 0)
        return 2;
    if (listen(fds[0], 1) != 0)
        return 3;
    if (!sandbox_end_listening(&err))
        return 4;
    if (listen(fds[0], 1) == 0 || errno != EPERM)
        return 5;
    if (write(pipe_ends[1], "x", 1) != 1 || pthread_join(thread, &says) != 0)
        return 6;
    return says ? 7 : 0;
}

/* Also a thread that was there before. */
static void no_thread_opens_a_listener_after_the_last(void **state)
{
    (void)state;
    assert_int_equal(in_child(stop_listening, NULL), 0);
}

/* ---- files */

enum { DOES_NOT = 200 };

struct file_case {
    const char *says;
    const char *path; /* below the folder of the test */
    int flags;
    int want; /* errno; 0: it opens */
};

static char folder[] = "/tmp/sandbox.XXXXXX";

static int open_confined(const void *arg)
{
    const struct file_case *c = arg;
    char readable[64], writable[64], path[128];
    const struct sandbox_path paths[] = {
        {readable, SANDBOX_READ}, {writable, SANDBOX_WRITE}, {"/no/such", SANDBOX_READ}};
    struct error err = {0};
    int version, fd;

    snprintf(readable, sizeof readable, "%s/r", folder);
    snprintf(writable, sizeof writable, "%s/w", folder);
    snprintf(path, sizeof path, c->path[0] == '/' ? "%.0s%s" : "%s/%s", folder, c->path);
    if (!sandbox_enter_files(paths, 3, &version, &err))
        return DOES_NOT;
    fd = open(path, c->flags, 0600);
    return fd >= 0 ? 0 : errno;
}

static void make(const char *name, bool is_folder)
{
    char path[128];
    int fd;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (is_folder) {
        assert_int_equal(mkdir(path, 0700), 0);
        return;
    }
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void only_what_is_listed_is_opened(void **state)
{
    static const struct file_case rows[] = {
        {"a file to be read", "r/file", O_RDONLY, 0},
        {"a folder to be read", "r", O_RDONLY | O_DIRECTORY, 0},
        {"written all the same", "r/file", O_WRONLY, EACCES},
        {"another beside it", "r/new", O_WRONLY | O_CREAT, EACCES},
        {"a file to be written", "w/file", O_RDWR, 0},
        {"and cut", "w/file", O_RDWR | O_TRUNC, 0},
        {"a new one", "w/new", O_RDWR | O_CREAT | O_EXCL, 0},
        {"one beside the folders", "file", O_RDONLY, EACCES},
        {"one reached by ..", "r/../file", O_RDONLY, EACCES},
        {"one reached by a link from where writing is allowed", "w/link", O_RDONLY, EACCES},
        {"passwords", "/etc/passwd", O_RDONLY, EACCES},
        {"our own environment", "/proc/self/environ", O_RDONLY, EACCES},
    };
    char link[64], target[64];
    int got;

    (void)state;
    assert_non_null(mkdtemp(folder));
    make("r", true);
    make("w", true);
    make("r/file", false);
    make("w/file", false);
    make("file", false);
    snprintf(target, sizeof target, "%s/file", folder);
    snprintf(link, sizeof link, "%s/w/link", folder);
    assert_int_equal(symlink(target, link), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        got = in_child(open_confined, &rows[i]);
        if (got == DOES_NOT) {
            print_message("this kernel has no Landlock\n");
            break;
        }
        if (got != rows[i].want)
            fail_msg("%s: %s, expected %s", rows[i].says, got ? strerror(got) : "opened", strerror(rows[i].want));
    }
}

/* 0: each did as it should. */
static int make_socket(const void *arg)
{
    const struct sandbox_path path = {folder, SANDBOX_SOCKET};
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), version;
    struct error err = {0};
    char name[128];

    (void)arg;
    if (!sandbox_enter_files(&path, 1, &version, &err))
        return DOES_NOT;
    snprintf(to.sun_path, sizeof to.sun_path, "%s/socket", folder);
    if (bind(fd, (const struct sockaddr *)&to, sizeof to) != 0)
        return 1;
    if (unlink(to.sun_path) != 0)
        return 2;
    snprintf(name, sizeof name, "%s/file", folder);
    if (open(name, O_RDONLY) >= 0 || errno != EACCES)
        return 3;
    snprintf(to.sun_path, sizeof to.sun_path, "/tmp/socket.%d", getpid());
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return bind(fd, (const struct sockaddr *)&to, sizeof to) == -1 && errno == EACCES ? 0 : 4;
}

static void a_folder_for_a_socket_is_for_nothing_else(void **state)
{
    int got;

    (void)state;
    got = in_child(make_socket, NULL);
    assert_true(got == 0 || got == DOES_NOT);
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"w/link", "w/new", "w/file", "r/file", "file", "w", "r", "."};
    char path[128];

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, strcmp(names[i], ".") == 0 ? "" : names[i]);
        remove(path);
    }
    return 0;
}

static int enter_both(const void *arg)
{
    struct sandbox got;
    struct error err = {0};
    bool whole = sandbox_enter(NULL, 0, &got, &err);

    (void)arg;
    if (whole != (got.calls && got.files > 0) || whole != (err.code == ERR_NONE))
        return 1;
    if (!got.calls || syscall(SYS_execve, "/bin/sh", NULL, NULL) != -1 || errno != EPERM)
        return 2;
    return got.files > 0 && open("/etc/passwd", O_RDONLY) >= 0 ? 3 : 0;
}

static void both_parts_hold_together(void **state)
{
    (void)state;
    assert_int_equal(in_child(enter_both, NULL), 0);
}

/* As under a service manager that allows none of both. */
static int enter_where_nothing_is_allowed(const void *arg)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    struct sandbox got = {.calls = true, .files = 1};
    struct error err = {0};

    (void)arg;
    if (!filter || seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(seccomp), 0) != 0 ||
        seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(landlock_create_ruleset), 0) != 0 ||
        seccomp_load(filter) != 0)
        return 1;
    seccomp_release(filter);
    if (sandbox_enter(NULL, 0, &got, &err) || got.calls || got.files != 0)
        return 2;
    return err.code == ERR_SYSTEM && err.text[0] ? 0 : 3;
}

static void what_the_kernel_does_not_grant_is_told(void **state)
{
    (void)state;
    assert_int_equal(in_child(enter_where_nothing_is_allowed, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_an_attacker_wants_is_refused),
        cmocka_unit_test(what_the_gateway_does_goes_on),
        cmocka_unit_test(no_thread_opens_a_listener_after_the_last),
        cmocka_unit_test(only_what_is_listed_is_opened),
        cmocka_unit_test_teardown(a_folder_for_a_socket_is_for_nothing_else, remove_folder),
        cmocka_unit_test(both_parts_hold_together),
        cmocka_unit_test(what_the_kernel_does_not_grant_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
