/* tests/bench/sendfile_loop.c - what the kernel gives: one file through one TCP connection on loopback, by nothing
 * but sendfile(2), to a receiver that forgets the bytes as recipient.c does.
 *
 *   sendfile_loop FILE   prints {"bytes", "wall_ns", "cpu_ns"}: first to last byte at the receiver; the sender's
 *                        processor time */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/net.h"

enum { AT_ONCE = 1 << 20, TAKE = 1 << 20 };

/* As recipient.c does it: through epoll, with a receive that drops. Returns the time from first to last byte. */
static int64_t receive(int fd)
{
    static unsigned char scratch[TAKE];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    int64_t first = 0, last = 0;
    ssize_t n;

    nonblock(fd);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll");
    for (;;) {
        if (epoll_wait(epoll, &event, 1, -1) < 1)
            continue;
        n = recv(fd, scratch, sizeof scratch, MSG_TRUNC);
        if (n == 0)
            return last - first;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            die("recv");
        if (n < 0)
            continue;
        last = now_ns();
        if (first == 0)
            first = last;
    }
}

static int64_t send_all(int fd, int file, off_t size)
{
    int64_t began = process_cpu_ns();
    off_t offset = 0;

    while (offset < size)
        if (sendfile(fd, file, &offset, AT_ONCE) < 0 && errno != EINTR)
            die("sendfile");
    shutdown(fd, SHUT_WR);
    return process_cpu_ns() - began;
}

int main(int argc, char **argv)
{
    uint16_t port = 0;
    int file, listener = tcp_listen(&port), pipes[2];
    int64_t cpu, wall = 0;
    struct stat st;
    pid_t child;

    if (argc != 2)
        quit("usage: sendfile_loop FILE");
    file = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &st) != 0 || pipe(pipes) != 0)
        die(argv[1]);
    child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        wall = receive(tcp_connect("127.0.0.1", port));
        write_all(pipes[1], &wall, sizeof wall);
        _exit(0);
    }
    close(pipes[1]);
    cpu = send_all(accept(listener, NULL, NULL), file, st.st_size);
    if (read(pipes[0], &wall, sizeof wall) != sizeof wall)
        quit("the receiver failed");
    waitpid(child, NULL, 0);
    printf("{\"bytes\":%lld,\"wall_ns\":%lld,\"cpu_ns\":%lld}\n", (long long)st.st_size, (long long)wall,
           (long long)cpu);
    return 0;
}
