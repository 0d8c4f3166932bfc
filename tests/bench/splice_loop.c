/* tests/bench/splice_loop.c - what the kernel gives a relay: every two connections are joined, and their bytes go to
 * each other by nothing but splice(2) through a pipe of 1 MiB for each side.
 *
 *   splice_loop   prints {"port"}, relays until it is killed */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/net.h"

enum { PIPE = 1 << 20, BATCH = 128 };

struct side {
    int fd, into, from; /* the ends of its pipe */
    size_t held;
    bool ended;
    struct side *other;
};

static int epoll;

static void watch(struct side *s, int how)
{
    struct epoll_event event = {.data.ptr = s};

    event.events =
        (s->held > 0 || s->ended ? 0u : (unsigned)EPOLLIN) | (s->other && s->other->held > 0 ? (unsigned)EPOLLOUT : 0u);
    if (epoll_ctl(epoll, how, s->fd, &event) != 0)
        die("epoll");
}

static struct side *side_new(int fd)
{
    struct side *s = calloc(1, sizeof *s);
    int ends[2];

    if (!s || pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        die("pipe");
    fcntl(ends[1], F_SETPIPE_SZ, PIPE);
    nonblock(fd);
    *s = (struct side){.fd = fd, .from = ends[0], .into = ends[1]};
    return s;
}

static void pour(struct side *s)
{
    while (s->held > 0) {
        ssize_t n = splice(s->from, NULL, s->other->fd, NULL, s->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

        if (n <= 0)
            break;
        s->held -= (size_t)n;
    }
    watch(s, EPOLL_CTL_MOD);
    watch(s->other, EPOLL_CTL_MOD);
}

static void side_free(struct side *s)
{
    close(s->fd);
    close(s->from);
    close(s->into);
    free(s);
}

/* Returns whether both are gone. */
static bool take(struct side *s)
{
    ssize_t n = splice(s->fd, NULL, s->into, NULL, PIPE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

    if (n < 0 && errno == EAGAIN)
        return false;
    if (n > 0) {
        s->held = (size_t)n;
        n = splice(s->from, NULL, s->other->fd, NULL, s->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n > 0)
            s->held -= (size_t)n;
        if (s->held > 0)
            pour(s);
        return false;
    }
    side_free(s->other); /* a benchmark's ends go together */
    side_free(s);
    return true;
}

int main(void)
{
    struct side *first = NULL;
    uint16_t port = 0;
    int listener = tcp_listen(&port);
    struct epoll_event events[BATCH], event = {.events = EPOLLIN, .data.ptr = NULL};

    prepare_for_many();
    listen(listener, 1024); /* again, for more */
    epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    printf("{\"port\":%u}\n", port);
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(epoll, events, BATCH, -1);

        for (int i = 0; i < n; i++) {
            struct side *s = events[i].data.ptr;

            if (s && events[i].events & EPOLLOUT)
                pour(s->other);
            if (s && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && take(s))
                break; /* what else the batch says may be of those */
            if (s)
                continue;
            s = side_new(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
            s->other = first;
            if (!first) {
                first = s;
                continue;
            }
            first->other = s;
            watch(first, EPOLL_CTL_ADD);
            watch(s, EPOLL_CTL_ADD);
            first = NULL;
        }
    }
}
