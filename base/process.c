#include "base/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

/* The folder has one position for all who read it. */
static struct {
    pthread_mutex_t lock;
    int64_t started_ms;
    int statm;
    DIR *fds;
} own = {.lock = PTHREAD_MUTEX_INITIALIZER, .statm = -1};

void process_open(void)
{
    own.started_ms = clock_wall_ms();
    own.statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    own.fds = opendir("/proc/self/fd");
}

void process_close(void)
{
    fd_close(&own.statm);
    if (own.fds)
        closedir(own.fds);
    own.fds = NULL;
}

static int64_t microseconds(const struct timeval *t)
{
    return (int64_t)t->tv_sec * 1000000 + t->tv_usec;
}

static void read_memory(struct process_usage *out)
{
    long long page = sysconf(_SC_PAGESIZE);
    char text[128], *rest;
    ssize_t n = own.statm >= 0 ? pread(own.statm, text, sizeof text - 1, 0) : -1;

    out->resident = out->virtual = -1;
    if (n <= 0)
        return;
    text[n] = '\0';
    out->virtual = strtoll(text, &rest, 10) * page;
    out->resident = strtoll(rest, NULL, 10) * page;
}

/* As many as there are entries, less "." and "..". */
static int64_t count_fds(void)
{
    int64_t n = 0;

    if (!own.fds)
        return -1;
    rewinddir(own.fds);
    while (readdir(own.fds))
        n++;
    return n - 2;
}

void process_usage(struct process_usage *out)
{
    struct rlimit limit;
    struct rusage usage;

    *out = (struct process_usage){.started_ms = own.started_ms, .max_fds = -1};
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        out->cpu_us = microseconds(&usage.ru_utime) + microseconds(&usage.ru_stime);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        out->max_fds = (int64_t)limit.rlim_cur;
    read_memory(out);
    pthread_mutex_lock(&own.lock);
    out->open_fds = count_fds();
    pthread_mutex_unlock(&own.lock);
}
