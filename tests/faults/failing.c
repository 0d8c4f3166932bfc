/* tests/faults/failing.c - preloaded into the gateway: the n-th allocation, or the n-th system call, fails.
 *
 * The test and this library share a file, named by FAILING_CONTROL, as memory (failing.py has its twin). A call counts
 * while `kind` is its own and its caller is one of those that `whose` means; the one that makes `seen` equal to `at`
 * fails, once, and is described in `call`, `module` and `frames`. */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { KIND_NONE, KIND_ALLOCATION, KIND_CALL };
enum whose { WHOSE_ANY, WHOSE_PROGRAM, WHOSE_LIBRARIES };
enum { FRAMES = 24 };

struct control {
    _Atomic int32_t kind, whose;
    _Atomic int64_t at, seen, fired;
    char call[32];
    char module[96];         /* of the caller */
    uint64_t frames[FRAMES]; /* of the program, as offsets for addr2line; 0 elsewhere */
};

static struct control *control;
static uintptr_t program_begin, program_end;

static int note_program(struct dl_phdr_info *info, size_t size, void *user)
{
    (void)size;
    (void)user;
    program_begin = info->dlpi_addr;
    for (size_t i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD)
            program_end = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
    return 1; /* the program is the first */
}

static bool of_program(const void *address)
{
    return (uintptr_t)address >= program_begin && (uintptr_t)address < program_end;
}

__attribute__((constructor)) static void set_up(void)
{
    const char *path = getenv("FAILING_CONTROL");
    void *first[1], *map;
    int fd;

    dl_iterate_phdr(note_program, NULL);
    backtrace(first, 1); /* it allocates, the first time */
    fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    map = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED)
        control = map;
    close(fd);
}

static void describe(const char *call, const void *caller)
{
    void *frames[FRAMES];
    Dl_info info;
    int count = backtrace(frames, FRAMES);

    snprintf(control->call, sizeof control->call, "%s", call);
    snprintf(control->module, sizeof control->module, "%s",
             dladdr(caller, &info) && info.dli_fname ? info.dli_fname : "?");
    for (int i = 0; i < FRAMES; i++)
        control->frames[i] = i < count && of_program(frames[i]) ? (uintptr_t)frames[i] - program_begin : 0;
}

static bool fails(enum kind kind, const char *call, const void *caller)
{
    int32_t whose;

    if (!control || atomic_load(&control->kind) != (int32_t)kind)
        return false;
    whose = atomic_load(&control->whose);
    if (whose != WHOSE_ANY && of_program(caller) != (whose == WHOSE_PROGRAM))
        return false;
    if (atomic_fetch_add(&control->seen, 1) + 1 != atomic_load(&control->at))
        return false;
    atomic_store(&control->kind, KIND_NONE); /* also for what the next line allocates */
    describe(call, caller);
    atomic_store(&control->fired, 1);
    return true;
}

#define CALLER __builtin_return_address(0)

/* The function behind ours; looked up without an allocation that would come back here. */
#define REAL(name)                                                                                                     \
    static __typeof__(&name) real;                                                                                     \
    if (!real)                                                                                                         \
    real = (__typeof__(&name))real_function(#name)

static char early[64 * 1024]; /* for what is allocated while the real functions are looked up */
static _Atomic size_t early_used;
/* initial-exec: the sanitizers stand before what another model would call */
static _Thread_local bool looking __attribute__((tls_model("initial-exec")));

static void *real_function(const char *name)
{
    void *found;

    looking = true;
    found = dlsym(RTLD_NEXT, name);
    looking = false;
    return found;
}

static void *early_take(size_t size)
{
    size_t at = atomic_fetch_add(&early_used, (size + 15) & ~(size_t)15);

    return at + size <= sizeof early ? early + at : NULL;
}

static bool is_early(const void *p)
{
    return (uintptr_t)p >= (uintptr_t)early && (uintptr_t)p < (uintptr_t)early + sizeof early;
}

/* ---- allocations */

void *malloc(size_t size)
{
    if (looking)
        return early_take(size);
    REAL(malloc);
    if (!real) /* from within a look-up of the sanitizer's */
        return early_take(size);
    if (fails(KIND_ALLOCATION, "malloc", CALLER)) {
        errno = ENOMEM;
        return NULL;
    }
    return real(size);
}

void *calloc(size_t count, size_t size)
{
    if (looking)
        return early_take(count * size);
    REAL(calloc);
    if (!real)
        return early_take(count * size);
    if (fails(KIND_ALLOCATION, "calloc", CALLER)) {
        errno = ENOMEM;
        return NULL;
    }
    return real(count, size);
}

void *realloc(void *p, size_t size)
{
    void *copy;

    if (is_early(p)) {
        copy = malloc(size);
        if (copy) /* as much as there may be behind it */
            memcpy(copy, p,
                   size < (size_t)(early + sizeof early - (char *)p) ? size
                                                                     : (size_t)(early + sizeof early - (char *)p));
        return copy;
    }
    REAL(realloc);
    if (fails(KIND_ALLOCATION, "realloc", CALLER)) {
        errno = ENOMEM;
        return NULL;
    }
    return real(p, size);
}

void free(void *p)
{
    if (looking || is_early(p)) /* a look-up may free the text of an earlier error */
        return;
    REAL(free);
    real(p);
}

char *strdup(const char *text)
{
    REAL(strdup);
    if (fails(KIND_ALLOCATION, "strdup", CALLER)) {
        errno = ENOMEM;
        return NULL;
    }
    return real(text);
}

char *strndup(const char *text, size_t size)
{
    REAL(strndup);
    if (fails(KIND_ALLOCATION, "strndup", CALLER)) {
        errno = ENOMEM;
        return NULL;
    }
    return real(text, size);
}

/* ---- system calls: each with the error that is likeliest to be met */

#define WRAP(result, name, error, parameters, arguments)                                                               \
    result name parameters;                                                                                            \
    result name parameters                                                                                             \
    {                                                                                                                  \
        REAL(name);                                                                                                    \
        if (fails(KIND_CALL, #name, CALLER)) {                                                                         \
            errno = error;                                                                                             \
            return -1;                                                                                                 \
        }                                                                                                              \
        return real arguments;                                                                                         \
    }

#define WRAP_OPEN(name)                                                                                                \
    int name(const char *path, int flags, ...)                                                                         \
    {                                                                                                                  \
        mode_t mode = 0;                                                                                               \
        va_list args;                                                                                                  \
        REAL(name);                                                                                                    \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                                           \
            va_start(args, flags);                                                                                     \
            mode = va_arg(args, mode_t);                                                                               \
            va_end(args);                                                                                              \
        }                                                                                                              \
        if (fails(KIND_CALL, #name, CALLER)) {                                                                         \
            errno = EMFILE;                                                                                            \
            return -1;                                                                                                 \
        }                                                                                                              \
        return real(path, flags, mode);                                                                                \
    }

/* An open eventfd has no error, only "not yet"; those of the gateway are open until its end. */
static atomic_bool is_eventfd[65536];

static bool can_fail(int fd)
{
    return fd < 0 || (size_t)fd >= sizeof is_eventfd / sizeof *is_eventfd || !is_eventfd[fd];
}

int eventfd(unsigned int value, int flags)
{
    int fd;

    REAL(eventfd);
    if (fails(KIND_CALL, "eventfd", CALLER)) {
        errno = EMFILE;
        return -1;
    }
    fd = real(value, flags);
    if (fd >= 0 && (size_t)fd < sizeof is_eventfd / sizeof *is_eventfd)
        is_eventfd[fd] = true;
    return fd;
}

ssize_t read(int fd, void *to, size_t size)
{
    REAL(read);
    if (can_fail(fd) && fails(KIND_CALL, "read", CALLER)) {
        errno = EIO;
        return -1;
    }
    return real(fd, to, size);
}

ssize_t write(int fd, const void *from, size_t size)
{
    REAL(write);
    if (can_fail(fd) && fails(KIND_CALL, "write", CALLER)) {
        errno = ENOSPC;
        return -1;
    }
    return real(fd, from, size);
}

WRAP_OPEN(open)
WRAP_OPEN(open64)
WRAP(ssize_t, pread, EIO, (int fd, void *to, size_t size, off_t at), (fd, to, size, at))
WRAP(ssize_t, pread64, EIO, (int fd, void *to, size_t size, off64_t at), (fd, to, size, at))
WRAP(ssize_t, pwrite, ENOSPC, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at))
WRAP(ssize_t, pwrite64, ENOSPC, (int fd, const void *from, size_t size, off64_t at), (fd, from, size, at))
WRAP(ssize_t, writev, ENOSPC, (int fd, const struct iovec *parts, int count), (fd, parts, count))
WRAP(int, fsync, EIO, (int fd), (fd))
WRAP(int, fdatasync, EIO, (int fd), (fd))
WRAP(int, fallocate, ENOSPC, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size))
WRAP(int, fallocate64, ENOSPC, (int fd, int mode, off64_t at, off64_t size), (fd, mode, at, size))
WRAP(int, ftruncate, EIO, (int fd, off_t size), (fd, size))
WRAP(int, ftruncate64, EIO, (int fd, off64_t size), (fd, size))
WRAP(int, rename, EIO, (const char *from, const char *to), (from, to))
WRAP(int, unlink, EIO, (const char *path), (path))
WRAP(int, socket, EMFILE, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(int, accept4, EMFILE, (int fd, struct sockaddr *from, socklen_t *size, int flags), (fd, from, size, flags))
WRAP(int, connect, ENETUNREACH, (int fd, const struct sockaddr *to, socklen_t size), (fd, to, size))
WRAP(int, setsockopt, ENOBUFS, (int fd, int level, int name, const void *value, socklen_t size),
     (fd, level, name, value, size))
WRAP(int, getsockopt, ENOBUFS, (int fd, int level, int name, void *value, socklen_t *size),
     (fd, level, name, value, size))
WRAP(int, shutdown, ENOTCONN, (int fd, int how), (fd, how))
WRAP(ssize_t, send, ECONNRESET, (int fd, const void *from, size_t size, int flags), (fd, from, size, flags))
WRAP(ssize_t, sendmsg, ECONNRESET, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
WRAP(ssize_t, recv, ECONNRESET, (int fd, void *to, size_t size, int flags), (fd, to, size, flags))
WRAP(ssize_t, recvmsg, ECONNRESET, (int fd, struct msghdr *message, int flags), (fd, message, flags))
WRAP(ssize_t, sendfile, EIO, (int to, int from, off_t *at, size_t size), (to, from, at, size))
WRAP(ssize_t, sendfile64, EIO, (int to, int from, off64_t *at, size_t size), (to, from, at, size))
WRAP(int, epoll_create1, EMFILE, (int flags), (flags))

/* To change or take out what is in the set needs no memory: the kernel has no error for that. */
int epoll_ctl(int epoll, int what, int fd, struct epoll_event *event)
{
    REAL(epoll_ctl);
    if (what == EPOLL_CTL_ADD && fails(KIND_CALL, "epoll_ctl", CALLER)) {
        errno = ENOSPC;
        return -1;
    }
    return real(epoll, what, fd, event);
}
