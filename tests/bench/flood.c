/* tests/bench/flood.c - see flood.h. */
#include "tests/bench/flood.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/net.h"

enum { PIECE = 256 * 1024, BATCH = 128, SILENCE_MS = 5000 };

struct end {
    const struct way *ways;
    size_t count, open;
    uint64_t *left; /* of each way */
    int64_t last;   /* when something moved */
    bool writes;
};

static unsigned char piece[PIECE];

static void step(struct end *e, size_t at)
{
    const size_t most = e->left[at] < PIECE ? (size_t)e->left[at] : PIECE;
    static unsigned char scratch[PIECE];
    ssize_t n =
        e->writes ? send(e->ways[at].in, piece, most, MSG_NOSIGNAL) : recv(e->ways[at].out, scratch, most, MSG_TRUNC);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        quit("a stream ended with %llu bytes to come", (unsigned long long)e->left[at]);
    if (n > 0)
        e->left[at] -= (uint64_t)n;
}

static void *run(void *arg)
{
    struct end *e = arg;
    struct epoll_event events[BATCH], event = {.events = e->writes ? EPOLLOUT : EPOLLIN};
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    for (size_t i = 0; i < e->count; i++) {
        int fd = e->writes ? e->ways[i].in : e->ways[i].out;

        event.data.u64 = i;
        nonblock(fd);
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
            die("epoll");
    }
    while (e->open > 0) {
        int n = epoll_wait(epoll, events, BATCH, SILENCE_MS);

        if (n == 0)
            break;
        for (int i = 0; i < n; i++) {
            size_t at = (size_t)events[i].data.u64;

            step(e, at);
            if (e->left[at] > 0)
                continue;
            epoll_ctl(epoll, EPOLL_CTL_DEL, e->writes ? e->ways[at].in : e->ways[at].out, NULL);
            e->open--;
        }
        e->last = now_ns();
    }
    close(epoll);
    return NULL;
}

static struct end end_of(const struct way *ways, size_t count, uint64_t bytes_each, bool writes)
{
    struct end e = {.ways = ways, .count = count, .open = count, .writes = writes};

    e.left = malloc(count * sizeof *e.left);
    if (!e.left)
        die("malloc");
    for (size_t i = 0; i < count; i++)
        e.left[i] = bytes_each;
    return e;
}

int64_t flood(const struct way *ways, size_t count, uint64_t bytes_each, uint64_t *lost)
{
    struct end writer = end_of(ways, count, bytes_each, true), reader = end_of(ways, count, bytes_each, false);
    int64_t began = now_ns();
    pthread_t thread;

    if (pthread_create(&thread, NULL, run, &writer) != 0)
        die("thread");
    run(&reader);
    pthread_join(thread, NULL);
    *lost = 0;
    for (size_t i = 0; i < count; i++)
        *lost += reader.left[i];
    free(writer.left);
    free(reader.left);
    return reader.last - began;
}
