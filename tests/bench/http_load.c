/* tests/bench/http_load.c - uploads and questions to an HTTP server on loopback: some connections, kept alive, each
 * with one request under way all the time.
 *
 *   http_load PORT put PATH COUNT AT_ONCE FILE   FILE as the body
 *   http_load PORT get PATH COUNT AT_ONCE PAUSE  PAUSE milliseconds between an answer and the next request of a
 *                                                connection; COUNT 0: until standard input ends
 * {} in PATH becomes the number of the request. Prints {"requests": [[number, began, ended, status], ...]}, times in
 * nanoseconds of CLOCK_MONOTONIC; the first answer that is none of 2xx goes to standard error. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/bench/net.h"

enum { HEAD = 2048, SMALL = 64 * 1024, ANSWER = 256 * 1024, AT_ONCE = 1 << 20, BATCH = 256 };

struct connection {
    int fd;
    bool busy;
    int64_t due; /* when not busy: the next request, not before */
    long number;
    int64_t began;
    char out[HEAD + SMALL]; /* head, and the body when it is small */
    size_t out_len, out_sent;
    off_t file_sent;
    char in[ANSWER];
    size_t in_len;
};

struct request {
    int64_t began, ended;
    int status;
};

static struct {
    uint16_t port;
    bool put;
    const char *path;
    long count, started, ended; /* count 0: no end */
    int64_t pause;
    int file;
    off_t size;
    char small[SMALL];
    struct request *requests;
    size_t room;
    bool failure_shown;
} load;

static int epoll;

static void keep_request(const struct connection *c, int status)
{
    if ((size_t)c->number >= load.room) {
        load.room = 2 * load.room + 1024;
        load.requests = realloc(load.requests, load.room * sizeof *load.requests);
        if (!load.requests)
            die("memory");
    }
    load.requests[c->number] = (struct request){.began = c->began, .ended = now_ns(), .status = status};
    load.ended++;
    if (status / 100 != 2 && !load.failure_shown) {
        load.failure_shown = true;
        fprintf(stderr, "%.*s\n", (int)c->in_len, c->in);
    }
}

/* ---- asking */

static void write_head(struct connection *c)
{
    const char *gap = strstr(load.path, "{}");
    char path[1024];
    int n;

    if (gap)
        snprintf(path, sizeof path, "%.*s%ld%s", (int)(gap - load.path), load.path, c->number, gap + 2);
    else
        snprintf(path, sizeof path, "%s", load.path);
    if (load.put)
        n = snprintf(c->out, HEAD, "PUT %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %lld\r\n\r\n", path,
                     (long long)load.size);
    else
        n = snprintf(c->out, HEAD, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path);
    c->out_len = (size_t)n;
}

static void connect_it(struct connection *c)
{
    struct epoll_event e = {.data.ptr = c};

    c->fd = tcp_connect("127.0.0.1", load.port);
    nonblock(c->fd);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e) != 0)
        die("epoll");
}

static void want(struct connection *c, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};

    epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e);
}

static bool all_sent(struct connection *c)
{
    while (c->out_sent < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN)
            return false;
        if (n < 0)
            return true; /* the answer, if there is one, says why */
        c->out_sent += (size_t)n;
    }
    while (load.put && load.size > SMALL && c->file_sent < load.size) {
        ssize_t n = sendfile(c->fd, load.file, &c->file_sent, AT_ONCE);

        if (n < 0 && errno == EAGAIN)
            return false;
        if (n <= 0)
            return true;
    }
    return true;
}

static void begin(struct connection *c)
{
    if (c->fd < 0)
        connect_it(c);
    c->busy = true;
    c->number = load.started++;
    c->out_sent = c->in_len = 0;
    c->file_sent = 0;
    write_head(c);
    if (load.put && load.size <= SMALL) {
        memcpy(c->out + c->out_len, load.small, (size_t)load.size);
        c->out_len += (size_t)load.size;
    }
    c->began = now_ns();
    want(c, all_sent(c) ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

/* ---- the answer */

/* 0: not whole yet. */
static int status_of(const struct connection *c, bool *closes)
{
    const char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4), *at;
    char head[8192];
    size_t len, body = 0;
    int status;

    if (!end)
        return 0;
    len = (size_t)(end - c->in) + 2;
    if (len >= sizeof head)
        quit("a head of %zu bytes", len);
    memcpy(head, c->in, len);
    head[len] = '\0';
    if (sscanf(head, "HTTP/1.1 %d", &status) != 1)
        quit("no HTTP: %s", head);
    at = strcasestr(head, "\r\nContent-Length:");
    if (at)
        body = strtoul(at + 17, NULL, 10);
    *closes = strcasestr(head, "\r\nConnection: close") != NULL;
    return c->in_len >= len + 2 + body ? status : 0;
}

static void end(struct connection *c, int status, bool closes)
{
    keep_request(c, status);
    c->busy = false;
    c->due = now_ns() + load.pause;
    want(c, 0);
    if (closes) {
        close(c->fd);
        c->fd = -1;
    }
}

static void read_answer(struct connection *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_len, sizeof c->in - c->in_len, 0);
    bool closes = true;
    int status;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || (c->in_len += (size_t)n) == sizeof c->in) {
        if (c->busy)
            end(c, 0, true);
        return;
    }
    status = status_of(c, &closes);
    if (status)
        end(c, status, closes);
}

/* ---- all of them */

static bool more(void)
{
    return load.count == 0 || load.started < load.count;
}

static bool input_ended(void)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    char c;

    return load.count == 0 && poll(&p, 1, 0) == 1 && read(STDIN_FILENO, &c, 1) <= 0;
}

/* Begins what is due; milliseconds until the next is, -1: an answer comes first. */
static int begin_due(struct connection *all, long n)
{
    int64_t now = now_ns(), next = INT64_MAX;

    for (long i = 0; i < n && more(); i++) {
        if (all[i].busy)
            continue;
        if (all[i].due <= now)
            begin(&all[i]);
        else if (all[i].due < next)
            next = all[i].due;
    }
    return next == INT64_MAX ? -1 : (int)((next - now) / 1000000 + 1);
}

static void run(struct connection *all, long n)
{
    struct epoll_event events[BATCH];

    while ((load.count == 0 || load.ended < load.count) && !input_ended()) {
        int ms = begin_due(all, n);
        int ready = epoll_wait(epoll, events, BATCH, load.count == 0 && (ms < 0 || ms > 50) ? 50 : ms);

        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;

            if (events[i].events & EPOLLOUT && all_sent(c))
                want(c, EPOLLIN);
            if (events[i].events & ~(uint32_t)EPOLLOUT)
                read_answer(c);
        }
    }
}

static void tell(void)
{
    const char *comma = "";

    fputs("{\"requests\":[", stdout);
    for (long i = 0; i < load.ended; i++) {
        const struct request *r = &load.requests[i];

        printf("%s[%ld,%lld,%lld,%d]", comma, i, (long long)r->began, (long long)r->ended, r->status);
        comma = ",";
    }
    puts("]}");
}

static void open_file(const char *name)
{
    struct stat st;

    load.file = open(name, O_RDONLY | O_CLOEXEC);
    if (load.file < 0 || fstat(load.file, &st) != 0)
        die(name);
    load.size = st.st_size;
    if (load.size <= SMALL && read(load.file, load.small, (size_t)load.size) != load.size)
        die(name);
}

int main(int argc, char **argv)
{
    struct connection *all;
    long n;

    if (argc != 7)
        quit("usage: http_load PORT put|get PATH COUNT AT_ONCE FILE|PAUSE");
    load.port = (uint16_t)number(argv[1], 1, UINT16_MAX);
    load.put = strcmp(argv[2], "put") == 0;
    load.path = argv[3];
    load.count = number(argv[4], 0, 10000000);
    n = number(argv[5], 1, 10000);
    if (load.put)
        open_file(argv[6]);
    else
        load.pause = number(argv[6], 0, 60000) * 1000000;
    prepare_for_many();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    all = calloc((size_t)n, sizeof *all);
    if (!all)
        die("memory");
    for (long i = 0; i < n; i++)
        all[i].fd = -1;
    run(all, n);
    tell();
    free(all);
    return 0;
}
