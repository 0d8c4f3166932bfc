/* tests/unit/socks5_pairing.h - an engine that pairs, its events, and clients that the test plays step by step.
 *
 * For socks5_lobby_test.c and socks5_pair_test.c, each a program of its own. */
#ifndef UNIT_SOCKS5_PAIRING_H
#define UNIT_SOCKS5_PAIRING_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "socks5/socks5.h"

#define NAME  "3457684be69fb9990232e6a8b1f55e80c3262c1b"
#define UPPER "3457684BE69FB9990232E6A8B1F55E80C3262C1B"
#define OTHER "18f26cae66d4afa56faea7a0d0b051026c15ae7f"

enum { KIB = 1024, MIB = 1024 * KIB, EVENTS = 8192, PATIENCE_S = 60, LONG_MS = 3600 * 1000, REPLY = 47 };

static struct lab {
    struct socks5_engine *engine;
    struct sockaddr_in at;

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t news;
    struct socks5_event events[EVENTS];
    size_t event_count;
} lab = {.lock = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER};

static const struct socks5_limits roomy = {
    .threads = 2,
    .max_sessions = 10000,
    .pending_per_peer = 50,
    .handshake_ms = LONG_MS,
    .step_ms = LONG_MS,
    .idle_ms = LONG_MS,
    .linger_ms = LONG_MS,
    .pairing = {.max_pairs = 3000,
                .max_parked = 6000,
                .parked_per_peer = 6000,
                .pair_ms = 300 * 1000,
                .activate_ms = 120 * 1000,
                .idle_ms = 600 * 1000,
                .linger_ms = 30 * 1000},
};

/* ---- events */

static void on_event(void *user, const struct socks5_event *event)
{
    struct lab *l = user;

    pthread_mutex_lock(&l->lock);
    assert_true(l->event_count < EVENTS);
    l->events[l->event_count++] = *event;
    pthread_cond_broadcast(&l->news);
    pthread_mutex_unlock(&l->lock);
}

static bool is_last(enum socks5_event_kind kind)
{
    return kind == SOCKS5_UNPAIRED || kind == SOCKS5_PAIR_OVER || kind == SOCKS5_FAILED || kind == SOCKS5_DONE;
}

/* Waits for the first event of a kind. Another end than the one awaited fails the test. */
static struct socks5_event await(uint64_t id, enum socks5_event_kind kind)
{
    struct socks5_event got = {0};
    struct timespec until;
    bool found = false;
    int late = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&lab.lock);
    while (!found && late == 0) {
        for (size_t i = 0; i < lab.event_count && !found; i++) {
            got = lab.events[i];
            found = got.stream == id && (got.kind == kind || is_last(got.kind));
        }
        if (!found)
            late = pthread_cond_timedwait(&lab.news, &lab.lock, &until);
    }
    pthread_mutex_unlock(&lab.lock);
    if (!found)
        fail_msg("no event %d of %llu", kind, (unsigned long long)id);
    if (got.kind != kind)
        fail_msg("event %d (%s) of %llu instead of %d", got.kind, got.error.text, (unsigned long long)id, kind);
    return got;
}

static struct socks5_event await_over(uint64_t id, enum error_code code)
{
    struct socks5_event got = await(id, SOCKS5_PAIR_OVER);

    if (got.error.code != code)
        fail_msg("%s (%s) instead of %s", error_name(got.error.code), got.error.text, error_name(code));
    return got;
}

static inline size_t count_events(uint64_t id, enum socks5_event_kind kind)
{
    size_t n = 0;

    pthread_mutex_lock(&lab.lock);
    for (size_t i = 0; i < lab.event_count; i++)
        n += lab.events[i].stream == id && lab.events[i].kind == kind;
    pthread_mutex_unlock(&lab.lock);
    return n;
}

/* ---- the engine */

static struct socks5_stats stats(void)
{
    struct socks5_stats s;

    socks5_stats(lab.engine, &s);
    return s;
}

/* Waits until a number of the statistics, by its offset, is n. */
static void await_stat(size_t offset, uint64_t n)
{
    int64_t tries = 0;

    for (;;) {
        struct socks5_stats s = stats();
        uint64_t now;

        memcpy(&now, (const char *)&s + offset, sizeof(now));
        if (now == n)
            return;
        if (++tries > PATIENCE_S * 1000)
            fail_msg("%llu at %zu, not %llu", (unsigned long long)now, offset, (unsigned long long)n);
        poll(NULL, 0, 1);
    }
}

#define await_stats(member, n) await_stat(offsetof(struct socks5_stats, member), (n))

static void start_engine(const struct socks5_limits *limits)
{
    struct error err = {0};
    uint16_t port = 0;
    int fd = socks5_listen("127.0.0.1:0", &port, &err);

    assert_in_range(fd, 0, INT32_MAX);
    lab.at =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    lab.event_count = 0;
    lab.engine = socks5_engine_create(limits, &fd, 1, on_event, &lab, &err);
    if (!lab.engine)
        fail_msg("%s", err.text);
}

static int teardown(void **state)
{
    (void)state;
    socks5_engine_destroy(&lab.engine);
    clock_real();
    return 0;
}

static void activate_with(uint64_t id, const char *a, const char *b, const struct socks5_pair_options *options)
{
    const char *const names[] = {a, b};
    struct error err = {0};

    assert_true(socks5_activate(lab.engine, names, b ? 2 : 1, id, options, &err));
}

static void join(uint64_t id, const char *name)
{
    activate_with(id, name, NULL, NULL);
    await(id, SOCKS5_PAIRED);
}

static inline void refuse_to_join(uint64_t id, const char *name, enum error_code code, uint64_t other)
{
    struct socks5_event got;

    activate_with(id, name, NULL, NULL);
    got = await(id, SOCKS5_UNPAIRED);
    if (got.error.code != code)
        fail_msg("%s (%s) instead of %s", error_name(got.error.code), got.error.text, error_name(code));
    assert_int_equal(got.other, other);
    assert_int_not_equal(got.error.text[0], 0);
}

/* ---- clients */

static int client_from(const char *address, int room)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    struct sockaddr_in from = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_in_range(fd, 0, INT32_MAX);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (room)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    assert_int_equal(inet_pton(AF_INET, address, &from.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&lab.at, sizeof(lab.at)), 0);
    return fd;
}

static void say(int fd, const void *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

static void hear(int fd, const void *want, size_t len)
{
    uint8_t got[128];

    assert_true(len <= sizeof(got));
    assert_int_equal(recv(fd, got, len, MSG_WAITALL), len);
    assert_memory_equal(got, want, len);
}

static void hear_end(int fd)
{
    char byte;

    assert_int_equal(recv(fd, &byte, 1, 0), 0);
}

static inline void hear_reset(int fd)
{
    char byte;

    assert_int_equal(recv(fd, &byte, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
}

/* Asks, and gets the answer that echoes what it asked. */
static void ask(int fd, const char *name, uint8_t rep)
{
    char message[REPLY] = "\x05\x01\x00\x03\x28";

    memcpy(message + 5, name, 40);
    say(fd, "\x05\x01\x00", 3);
    hear(fd, "\x05\x00", 2);
    say(fd, message, REPLY);
    message[1] = (char)rep;
    hear(fd, message, REPLY);
}

static int park_from(const char *address, const char *name, int room)
{
    int fd = client_from(address, room);

    ask(fd, name, 0);
    return fd;
}

static int park(const char *name)
{
    return park_from("127.0.0.1", name, 0);
}

static inline void refused(const char *name)
{
    int fd = client_from("127.0.0.1", 0);

    ask(fd, name, 2);
    hear_end(fd);
    fd_close(&fd);
}

static inline void close_with_reset(int *fd)
{
    const struct linger cut = {.l_onoff = 1};

    setsockopt(*fd, SOL_SOCKET, SO_LINGER, &cut, sizeof(cut));
    fd_close(fd);
}

/* ---- bytes: every place in a stream has its own */

static inline uint8_t byte_at(uint64_t place)
{
    return (uint8_t)(place * 131 + (place >> 8) * 17 + (place >> 16) * 7);
}

/* Sends what the kernel takes, up to len; from is where in its stream. */
static inline size_t push(int fd, uint64_t from, size_t len)
{
    uint8_t piece[64 * KIB];
    size_t sent = 0;

    while (sent < len) {
        size_t n = len - sent < sizeof(piece) ? len - sent : sizeof(piece);
        ssize_t went;

        for (size_t i = 0; i < n; i++)
            piece[i] = byte_at(from + sent + i);
        went = send(fd, piece, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (went <= 0)
            break;
        sent += (size_t)went;
    }
    return sent;
}

/* Reads what is there, up to len, and holds it against what was sent. */
static inline size_t pull(int fd, uint64_t from, size_t len)
{
    uint8_t piece[64 * KIB];
    size_t got = 0;

    while (got < len) {
        size_t n = len - got < sizeof(piece) ? len - got : sizeof(piece);
        ssize_t came = recv(fd, piece, n, MSG_DONTWAIT);

        if (came <= 0)
            break;
        for (ssize_t i = 0; i < came; i++) {
            if (piece[i] != byte_at(from + got + (uint64_t)i))
                fail_msg("a wrong byte at %llu", (unsigned long long)(from + got + (uint64_t)i));
        }
        got += (size_t)came;
    }
    return got;
}

/* From the one to the other: places sent to len, of which the first were sent before. */
static inline void pour(int from, int to, uint64_t sent, uint64_t len)
{
    uint64_t got = 0;

    while (got < len) {
        struct pollfd fds[] = {{.fd = to, .events = POLLIN}, {.fd = sent < len ? from : -1, .events = POLLOUT}};

        if (poll(fds, 2, PATIENCE_S * 1000) <= 0)
            fail_msg("nothing moves at %llu of %llu", (unsigned long long)got, (unsigned long long)len);
        sent += push(from, sent, len - sent);
        got += pull(to, got, len - got);
    }
}

/* ---- memory that the program has allocated */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
size_t __sanitizer_get_current_allocated_bytes(void);
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define __SANITIZE_ADDRESS__ 1
size_t __sanitizer_get_current_allocated_bytes(void);
#endif
#endif

static inline size_t heap(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return __sanitizer_get_current_allocated_bytes();
#else
    return mallinfo2().uordblks;
#endif
}

static void on_log(void *user, enum log_level level, const char *line)
{
    (void)user;
    if (level >= LOG_WARN)
        fprintf(stderr, "unexpected: %s\n", line), abort();
}

static int set_up(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    log_setup(LOG_DEBUG, LOG_TEXT);
    log_capture(on_log, NULL);
    return 0;
}

#define test(name) cmocka_unit_test_teardown(name, teardown)

#endif
