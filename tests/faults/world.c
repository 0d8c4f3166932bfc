/* tests/faults/world.c - preloaded into the gateway: its wall clock is set, its disk is read-only, its DNS is dead.
 *
 * The test and this library share a file, named by WORLD_CONTROL, as memory (world.py has its twin). */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <resolv.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { DNS_SECONDS = 3 }; /* as long as a name is asked for before nobody answers */

struct control {
    _Atomic int64_t wall_s; /* the wall clock is so far ahead */
    _Atomic int32_t read_only, no_dns;
    _Atomic int64_t refused; /* writes */
    char disk[PATH_MAX];     /* what is below it is read-only */
};

static struct control *control;

__attribute__((constructor)) static void set_up(void)
{
    const char *path = getenv("WORLD_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *map;

    if (fd < 0)
        return;
    map = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED)
        control = map;
    close(fd);
}

/* The function behind ours. */
#define REAL(name)                                                                                                     \
    static __typeof__(&name) real;                                                                                     \
    if (!real)                                                                                                         \
    real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* ---- the wall clock */

static int64_t ahead(void)
{
    return control ? atomic_load(&control->wall_s) : 0;
}

int clock_gettime(clockid_t id, struct timespec *out)
{
    REAL(clock_gettime);
    int rc = real(id, out);

    if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        out->tv_sec += ahead();
    return rc;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec t;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    *out = (struct timeval){t.tv_sec, t.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    if (out)
        *out = t.tv_sec;
    return t.tv_sec;
}

int timespec_get(struct timespec *out, int base)
{
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, out) == 0 ? base : 0;
}

/* ---- the disk */

static bool refuse(void)
{
    atomic_fetch_add(&control->refused, 1);
    errno = EROFS;
    return true;
}

static bool is_read_only(void)
{
    return control && atomic_load(&control->read_only);
}

static bool below(const char *path)
{
    return strncmp(path, control->disk, strlen(control->disk)) == 0;
}

static bool refused_fd(int fd)
{
    char link[40], path[PATH_MAX];
    ssize_t len;

    if (!is_read_only())
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    len = readlink(link, path, sizeof path - 1);
    if (len < 0)
        return false;
    path[len] = '\0';
    return below(path) && refuse();
}

static bool refused_at(int dir, const char *path)
{
    if (!is_read_only())
        return false;
    return path[0] != '/' && dir != AT_FDCWD ? refused_fd(dir) : below(path) && refuse();
}

#define WRAP(result, name, refused, parameters, arguments)                                                             \
    result name parameters                                                                                             \
    {                                                                                                                  \
        REAL(name);                                                                                                    \
        return refused ? -1 : real arguments;                                                                          \
    }

#define MODE_OF(flags, mode)                                                                                           \
    va_list args;                                                                                                      \
    va_start(args, flags);                                                                                             \
    if ((flags) & (O_CREAT | O_TMPFILE))                                                                               \
        mode = va_arg(args, mode_t);                                                                                   \
    va_end(args)

/* A file that is there is opened, for reading at least: O_CREAT alone changes nothing. */
static bool refused_open(int dir, const char *path, int flags)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE;

    return writes && refused_at(dir, path);
}

#define WRAP_OPEN(name)                                                                                                \
    int name(const char *path, int flags, ...)                                                                         \
    {                                                                                                                  \
        mode_t mode = 0;                                                                                               \
        MODE_OF(flags, mode);                                                                                          \
        REAL(name);                                                                                                    \
        return refused_open(AT_FDCWD, path, flags) ? -1 : real(path, flags, mode);                                     \
    }

#define WRAP_OPENAT(name)                                                                                              \
    int name(int dir, const char *path, int flags, ...)                                                                \
    {                                                                                                                  \
        mode_t mode = 0;                                                                                               \
        MODE_OF(flags, mode);                                                                                          \
        REAL(name);                                                                                                    \
        return refused_open(dir, path, flags) ? -1 : real(dir, path, flags, mode);                                     \
    }

WRAP_OPEN(open)
WRAP_OPEN(open64)
WRAP_OPENAT(openat)
WRAP_OPENAT(openat64)
WRAP(ssize_t, write, refused_fd(fd), (int fd, const void *from, size_t size), (fd, from, size))
WRAP(ssize_t, writev, refused_fd(fd), (int fd, const struct iovec *parts, int count), (fd, parts, count))
WRAP(ssize_t, pwrite, refused_fd(fd), (int fd, const void *from, size_t size, off_t at), (fd, from, size, at))
WRAP(ssize_t, pwrite64, refused_fd(fd), (int fd, const void *from, size_t size, off64_t at), (fd, from, size, at))
WRAP(int, ftruncate, refused_fd(fd), (int fd, off_t size), (fd, size))
WRAP(int, ftruncate64, refused_fd(fd), (int fd, off64_t size), (fd, size))
WRAP(int, fallocate, refused_fd(fd), (int fd, int mode, off_t at, off_t size), (fd, mode, at, size))
WRAP(int, fallocate64, refused_fd(fd), (int fd, int mode, off64_t at, off64_t size), (fd, mode, at, size))
WRAP(int, unlink, refused_at(AT_FDCWD, path), (const char *path), (path))
WRAP(int, unlinkat, refused_at(dir, path), (int dir, const char *path, int flags), (dir, path, flags))
WRAP(int, rename, refused_at(AT_FDCWD, to), (const char *from, const char *to), (from, to))
WRAP(int, renameat, refused_at(there, to), (int here, const char *from, int there, const char *to),
     (here, from, there, to))
WRAP(int, linkat, refused_at(there, to), (int here, const char *from, int there, const char *to, int flags),
     (here, from, there, to, flags))
WRAP(int, mkdir, refused_at(AT_FDCWD, path), (const char *path, mode_t mode), (path, mode))
WRAP(int, mkdirat, refused_at(dir, path), (int dir, const char *path, mode_t mode), (dir, path, mode))

/* ---- DNS */

static bool nobody_answers(void)
{
    struct timespec left = {DNS_SECONDS, 0};

    if (!control || !atomic_load(&control->no_dns))
        return false;
    nanosleep(&left, NULL);
    return true;
}

int getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict out)
{
    REAL(getaddrinfo);
    if (!(hints && hints->ai_flags & AI_NUMERICHOST) && nobody_answers())
        return EAI_AGAIN;
    return real(node, service, hints, out);
}

#undef res_nquery
int res_nquery(res_state state, const char *name, int class, int type, unsigned char *answer, int size)
{
    REAL(res_nquery);
    if (nobody_answers()) {
        errno = ETIMEDOUT;
        return -1;
    }
    return real(state, name, class, type, answer, size);
}
