/* base/sandbox_calls.c - the system calls that the gateway and its libraries may make, see sandbox.h.
 *
 * Whole families rather than single calls: what glibc, libuv, SQLite, OpenSSL, libcurl and libmicrohttpd take of one
 * family changes with their versions. The kernel keeps a bitmap of the calls that are allowed whatever their arguments,
 * so those that move bytes cost a bit test; the others go through a binary tree. */
#include "base/sandbox.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif

/* Words; those that an architecture lacks are passed over: arm64 has no open(2). */
static const char allowed[] =
    /* memory */
    "brk munmap mremap madvise membarrier msync mincore "
    /* bytes */
    "read write pread64 pwrite64 readv writev preadv pwritev preadv2 pwritev2 lseek _llseek sendfile sendfile64 "
    "splice tee copy_file_range "
    /* files; where they lie is Landlock's business */
    "open openat openat2 close close_range stat stat64 fstat fstat64 lstat lstat64 newfstatat fstatat64 statx "
    "statfs statfs64 fstatfs fstatfs64 access faccessat faccessat2 readlink readlinkat getdents getdents64 getcwd "
    "fcntl fcntl64 flock dup dup2 dup3 pipe pipe2 rename renameat renameat2 link linkat unlink unlinkat mkdir mkdirat "
    "rmdir "
    "truncate truncate64 ftruncate ftruncate64 fallocate fadvise64 fadvise64_64 fsync fdatasync sync_file_range "
    "fchmod fchmodat chmod fchown fchown32 utimensat umask "
    /* waiting and time */
    "poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 epoll_create epoll_create1 epoll_ctl "
    "epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2 timerfd_create timerfd_settime timerfd_gettime signalfd "
    "signalfd4 clock_gettime clock_gettime64 clock_getres clock_nanosleep clock_nanosleep_time64 nanosleep "
    "gettimeofday time times restart_syscall "
    /* the process and its threads */
    "exit exit_group futex futex_time64 futex_waitv set_robust_list get_robust_list set_tid_address rseq "
    "arch_prctl getpid gettid getppid getuid geteuid getgid getegid getrusage getrlimit ugetrlimit sched_yield "
    "sched_getaffinity sched_getparam sched_getscheduler getcpu sysinfo uname getrandom "
    /* signals */
    "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigtimedwait rt_sigtimedwait_time64 rt_sigpending rt_sigsuspend "
    "sigaltstack "
    /* sockets, once made */
    "connect bind listen accept accept4 getsockname getpeername getsockopt setsockopt shutdown sendto recvfrom "
    "sendmsg recvmsg sendmmsg recvmmsg "
    /* more of the same: sandbox_end_listening() */
    "seccomp "
#ifdef SANITIZED
    /* LeakSanitizer looks through the memory from a process of its own that stops all the threads, and asks the other
     * things about itself. Never in a release. */
    "clone ptrace wait4 prctl process_vm_readv sched_setaffinity personality mlock mmap mprotect "
#endif
    "";

/* Allowed with these arguments alone. Rules of one call are alternatives. */
struct condition {
    const char *call;
    unsigned count;
    struct scmp_arg_cmp args[2];
};

#define IF(n, how, ...)                                                                                                \
    {                                                                                                                  \
        .arg = (n), .op = SCMP_CMP_##how, __VA_ARGS__                                                                  \
    }
#define IS(n, value)         IF(n, EQ, .datum_a = (scmp_datum_t)(value))
#define BITS(n, mask, value) IF(n, MASKED_EQ, .datum_a = (scmp_datum_t)(mask), .datum_b = (scmp_datum_t)(value))
#define TYPE(type)           BITS(1, 0xf, type) /* SOCK_CLOEXEC and SOCK_NONBLOCK beside it */
#define ONLY(name, first)                                                                                              \
    {                                                                                                                  \
        .call = (name), .count = 1, .args = { first }                                                                  \
    }
#define BOTH(name, first, other)                                                                                       \
    {                                                                                                                  \
        .call = (name), .count = 2, .args = { first, other }                                                           \
    }

static const struct condition conditions[] = {
    ONLY("socket", IS(0, AF_UNIX)),
    BOTH("socket", IS(0, AF_INET), TYPE(SOCK_STREAM)),
    BOTH("socket", IS(0, AF_INET), TYPE(SOCK_DGRAM)),
    BOTH("socket", IS(0, AF_INET6), TYPE(SOCK_STREAM)),
    BOTH("socket", IS(0, AF_INET6), TYPE(SOCK_DGRAM)),
    BOTH("socket", IS(0, AF_NETLINK), IS(2, 0)), /* NETLINK_ROUTE: getaddrinfo(3) asks which addresses we have */
    ONLY("socketpair", IS(0, AF_UNIX)),
#ifndef SANITIZED
    ONLY("clone", BITS(0, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM)),
    ONLY("mmap", BITS(2, PROT_EXEC, 0)), /* or not to be written: a resolver's module is loaded so */
    ONLY("mmap", BITS(2, PROT_EXEC | PROT_WRITE, PROT_EXEC)),
    ONLY("mmap2", BITS(2, PROT_EXEC, 0)),
    ONLY("mmap2", BITS(2, PROT_EXEC | PROT_WRITE, PROT_EXEC)),
    ONLY("mprotect", BITS(2, PROT_EXEC, 0)),
    ONLY("prctl", IS(0, PR_SET_NAME)),
    ONLY("prctl", IS(0, PR_GET_NAME)),
    ONLY("prctl", IS(0, PR_SET_NO_NEW_PRIVS)),
#endif
    ONLY("ioctl", IS(1, FIONBIO)),
    ONLY("ioctl", IS(1, FIONREAD)),
    ONLY("ioctl", IS(1, SIOCOUTQ)),    /* has the peer acknowledged it all? */
    ONLY("ioctl", IS(1, SIOCOUTQNSD)), /* and is it sent? */
    ONLY("ioctl", IS(1, FIOCLEX)),
    ONLY("ioctl", IS(1, FIONCLEX)),
    ONLY("ioctl", IS(1, TCGETS)), /* isatty(3) */
    ONLY("ioctl", IS(1, SIOCGIFINDEX)),
    ONLY("prlimit64", IS(0, 0)), /* its own */
};

static bool add_allowed(scmp_filter_ctx filter)
{
    char name[32];

    for (const char *at = allowed; *at; at += strcspn(at, " ") + 1) {
        int call;

        snprintf(name, sizeof name, "%.*s", (int)strcspn(at, " "), at);
        call = seccomp_syscall_resolve_name(name);
        if (call >= 0 && seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0) != 0)
            return false;
    }
    return true;
}

static bool add_conditions(scmp_filter_ctx filter)
{
    for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++) {
        const struct condition *c = &conditions[i];
        int call = seccomp_syscall_resolve_name(c->call);

        if (call >= 0 && seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, c->count, c->args) != 0)
            return false;
    }
    return true;
}

/* abort(3) and pthread_kill(3) signal a thread of ours, and nobody else is signalled. */
static bool add_own_signals(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp own = IS(0, getpid());

    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &own) == 0 &&
           seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(kill), 1, &own) == 0;
}

/* What a C library knows to do without. clone3(2) has its flags in memory, where no filter sees them; clone(2) is what
 * is taken instead. Numbers are the same on every architecture since 424, and 450 is the youngest of this list's time.
 */
static bool add_unknown(scmp_filter_ctx filter)
{
    enum { YOUNGEST = 450, FAR = 512 };

    if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) != 0)
        return false;
    for (int call = YOUNGEST + 1; call < FAR; call++) {
        if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), call, 0) != 0)
            return false;
    }
    return true;
}

/* For every thread: else one that a library has begun already would go on as before. */
static bool load(scmp_filter_ctx filter, struct error *err)
{
    int failed;

    if (seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) != 0 ||
        seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) != 0 ||
        seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1) != 0)
        return error_set(err, ERR_SYSTEM, "seccomp(2) is not to be had: by this kernel, or by leave of who started us");
    failed = seccomp_load(filter);
    return failed == 0 || error_set(err, ERR_SYSTEM, "seccomp: the kernel refuses the filter: %s", strerror(-failed));
}

bool sandbox_enter_calls(struct error *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    bool ok = filter && add_allowed(filter) && add_conditions(filter) && add_own_signals(filter) && add_unknown(filter);

    if (!ok)
        error_set(err, ERR_SYSTEM, "seccomp: no filter could be made");
    ok = ok && load(filter, err);
    if (filter)
        seccomp_release(filter);
    return ok;
}

bool sandbox_end_listening(struct error *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    bool ok = filter && seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(listen), 0) == 0;

    if (!ok)
        error_set(err, ERR_SYSTEM, "seccomp: no filter could be made");
    ok = ok && load(filter, err);
    if (filter)
        seccomp_release(filter);
    return ok;
}
