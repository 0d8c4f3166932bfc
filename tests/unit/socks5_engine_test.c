/* socks5/engine: over real sockets on the loopback, from a name asked for to the last byte acknowledged.
 *
 * The engine's threads are the only ones beside the test's own, which plays every peer step by step. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "socks5/socks5.h"

#define NAME  "3457684be69fb9990232e6a8b1f55e80c3262c1b"
#define UPPER "3457684BE69FB9990232E6A8B1F55E80C3262C1B"
#define OTHER "18f26cae66d4afa56faea7a0d0b051026c15ae7f"
#define HELLO "\x05\x01\x00"
#define ASK   "\x05\x01\x00\x03\x28"

enum { MIB = 1024 * 1024, FILE_SIZE = 8 * MIB, EVENTS = 4096, PATIENCE_S = 30, LONG_MS = 60000 };
enum { REPLY = 47 };

static struct bench {
    struct socks5_engine *engine;
    struct sockaddr_in at;
    struct shared_fd *file;
    uint8_t *bytes;

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t news;
    struct socks5_event events[EVENTS];
    size_t event_count;
    unsigned warnings;
} bench = {.lock = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER};

/* ---- events */

static void on_event(void *user, const struct socks5_event *event)
{
    struct bench *b = user;

    pthread_mutex_lock(&b->lock);
    assert_true(b->event_count < EVENTS);
    b->events[b->event_count++] = *event;
    pthread_cond_broadcast(&b->news);
    pthread_mutex_unlock(&b->lock);
}

static void on_log(void *user, enum log_level level, const char *line)
{
    struct bench *b = user;

    if (level < LOG_WARN)
        return;
    pthread_mutex_lock(&b->lock);
    b->warnings++;
    pthread_mutex_unlock(&b->lock);
    if (!strstr(line, "event=socks5.possible_hijack") && !strstr(line, "event=socks5.out_of_descriptors"))
        fprintf(stderr, "unexpected: %s\n", line), abort();
}

static bool is_final(enum socks5_event_kind kind)
{
    return kind == SOCKS5_DONE || kind == SOCKS5_FAILED;
}

/* Waits for the stream's first event of a kind. Another end than the one awaited fails the test. */
static struct socks5_event await(uint64_t stream, enum socks5_event_kind kind)
{
    struct socks5_event got = {0};
    struct timespec until;
    bool found = false;
    int late = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&bench.lock);
    while (!found && late == 0) {
        for (size_t i = 0; i < bench.event_count && !found; i++) {
            got = bench.events[i];
            found = got.stream == stream && (got.kind == kind || is_final(got.kind));
        }
        if (!found)
            late = pthread_cond_timedwait(&bench.news, &bench.lock, &until);
    }
    pthread_mutex_unlock(&bench.lock);
    if (!found)
        fail_msg("no event %d of stream %llu", kind, (unsigned long long)stream);
    if (got.kind != kind)
        fail_msg("event %d (%s) instead of %d", got.kind, got.error.text, kind);
    return got;
}

static struct socks5_event await_failure(uint64_t stream, enum error_code code)
{
    struct socks5_event got = await(stream, SOCKS5_FAILED);

    if (got.error.code != code)
        fail_msg("%s (%s) instead of %s", error_name(got.error.code), got.error.text, error_name(code));
    assert_int_not_equal(got.error.text[0], 0);
    return got;
}

static unsigned count_events(uint64_t stream, enum socks5_event_kind kind)
{
    unsigned n = 0;

    pthread_mutex_lock(&bench.lock);
    for (size_t i = 0; i < bench.event_count; i++)
        n += bench.events[i].stream == stream && bench.events[i].kind == kind;
    pthread_mutex_unlock(&bench.lock);
    return n;
}

static struct socks5_stats stats(void)
{
    struct socks5_stats s;

    socks5_stats(bench.engine, &s);
    return s;
}

/* Waits until the engine holds n sockets. */
static void await_sessions(uint64_t n)
{
    int64_t until = clock_ms() + PATIENCE_S * 1000;

    while (stats().sessions != n) {
        if (clock_ms() > until)
            fail_msg("%llu sockets, not %llu", (unsigned long long)stats().sessions, (unsigned long long)n);
        sched_yield();
    }
}

/* ---- the engine */

static const struct socks5_limits relaxed = {
    .threads = 2,
    .max_sessions = 200,
    .pending_per_peer = 8,
    .handshake_ms = LONG_MS,
    .step_ms = LONG_MS,
    .idle_ms = LONG_MS,
    .linger_ms = LONG_MS,
};

static void start_engine(const struct socks5_limits *limits)
{
    struct error err = {0};
    uint16_t port = 0;
    int fd = socks5_listen("127.0.0.1:0", &port, &err);

    assert_in_range(fd, 0, INT32_MAX);
    bench.at =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bench.event_count = 0;
    bench.warnings = 0;
    bench.engine = socks5_engine_create(limits, &fd, 1, on_event, &bench, &err);
    if (!bench.engine)
        fail_msg("%s", err.text);
}

static int teardown(void **state)
{
    (void)state;
    socks5_engine_destroy(&bench.engine);
    return 0;
}

static void expect_names(uint64_t stream, unsigned wait_ms, const char *a, const char *b)
{
    const char *const names[] = {a, b};
    struct error err = {0};

    assert_true(socks5_expect(bench.engine, stream, names, b ? 2 : 1, wait_ms, &err));
}

static void send_file(uint64_t stream, uint64_t offset, uint64_t length)
{
    struct error err = {0};

    assert_true(socks5_send(bench.engine, stream, bench.file, NULL, offset, length, &err));
}

/* ---- peers */

static int client_socket(void)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    const int yes = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_in_range(fd, 0, INT32_MAX);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    return fd;
}

static int client_from(const char *address, int room)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    int fd = client_socket();

    assert_int_equal(inet_pton(AF_INET, address, &from.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
    if (room)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    assert_int_equal(connect(fd, (struct sockaddr *)&bench.at, sizeof(bench.at)), 0);
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

/* An end, but the kernel may have had reason to make it a reset. */
static void hear_cut(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);

    assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
}

static void ask(int fd, const char *name)
{
    char request[REPLY];

    snprintf(request, sizeof(request), "%s", "");
    memcpy(request, ASK, 5);
    memcpy(request + 5, name, 40);
    memset(request + 45, 0, 2);
    say(fd, HELLO, 3);
    hear(fd, "\x05\x00", 2);
    say(fd, request, REPLY);
}

static void hear_reply(int fd, uint8_t rep, const char *name)
{
    char reply[REPLY] = {5, (char)rep, 0, 3, 40};

    memcpy(reply + 5, name, 40);
    hear(fd, reply, REPLY);
}

static int claim_from(const char *address, const char *name, int room)
{
    int fd = client_from(address, room);

    ask(fd, name);
    hear_reply(fd, 0, name);
    return fd;
}

static int claim(const char *name)
{
    return claim_from("127.0.0.1", name, 0);
}

/* Reads len bytes and holds them against the file. */
static void hear_file(int fd, uint64_t offset, uint64_t len)
{
    uint8_t *got = malloc(len + 1);

    assert_non_null(got);
    assert_int_equal(recv(fd, got, len, MSG_WAITALL), len);
    assert_memory_equal(got, bench.bytes + offset, len);
    free(got);
}

static void take_whole_file(int fd, uint64_t offset, uint64_t len)
{
    if (len > 0)
        hear_file(fd, offset, len);
    hear_end(fd);
    fd_close(&fd);
}

static void close_with_reset(int fd)
{
    const struct linger cut = {.l_onoff = 1};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &cut, sizeof(cut));
    fd_close(&fd);
}

/* ---- the listener's side */

static void a_claimed_stream_gets_the_file(void **state)
{
    static const uint64_t sizes[] = {0, 1, 65537, FILE_SIZE};

    (void)state;
    start_engine(&relaxed);
    for (uint64_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        int fd;

        expect_names(i + 1, LONG_MS, NAME, NULL);
        fd = claim(NAME);
        await(i + 1, SOCKS5_CLAIMED);
        send_file(i + 1, 0, sizes[i]);
        take_whole_file(fd, 0, sizes[i]);
        assert_int_equal(await(i + 1, SOCKS5_DONE).moved, sizes[i]);
    }
    assert_int_equal(stats().sessions, 0);
    assert_int_equal(stats().accepted, 4);
    assert_int_equal(stats().refused, 0);
}

static void a_range_of_the_file_is_that_range(void **state)
{
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    fd = claim(NAME);
    send_file(1, 1000, 500);
    take_whole_file(fd, 1000, 500);
    assert_int_equal(await(1, SOCKS5_DONE).moved, 500);
}

static void any_of_the_names_will_do(void **state)
{
    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, OTHER, NAME);
    take_whole_file((send_file(1, 0, 10), claim(NAME)), 0, 10);
    await(1, SOCKS5_DONE);
}

static void nothing_flows_before_it_is_sent(void **state)
{
    char byte;
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    fd = claim(NAME);
    await(1, SOCKS5_CLAIMED);
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    fd_close(&fd);
}

static void a_job_given_before_the_claim_waits_for_it(void **state)
{
    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    send_file(1, 0, 65537);
    take_whole_file(claim(NAME), 0, 65537);
    await(1, SOCKS5_CLAIMED);
    await(1, SOCKS5_DONE);
}

static void one_byte_a_segment_is_heard(void **state)
{
    static const char talk[] = HELLO ASK NAME "\x00\x00";
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    fd = client_from("127.0.0.1", 0);
    for (size_t i = 0; i < sizeof(talk) - 1; i++)
        say(fd, talk + i, 1);
    hear(fd, "\x05\x00", 2);
    hear_reply(fd, 0, NAME);
    fd_close(&fd);
}

static void everything_in_one_segment_is_answered_in_order(void **state)
{
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    fd = client_from("127.0.0.1", 0);
    say(fd,
        HELLO ASK NAME "\x00\x00"
                       "early bytes of a talkative receiver",
        50 + 35);
    hear(fd, "\x05\x00", 2);
    hear_reply(fd, 0, NAME);
    send_file(1, 0, 65537);
    take_whole_file(fd, 0, 65537);
    await(1, SOCKS5_DONE);
}

static void capitals_and_port_come_back_as_they_came(void **state)
{
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    fd = client_from("127.0.0.1", 0);
    say(fd, HELLO, 3);
    hear(fd, "\x05\x00", 2);
    say(fd, ASK UPPER "\x12\x34", REPLY);
    hear(fd, "\x05\x00\x00\x03\x28" UPPER "\x12\x34", REPLY);
    await(1, SOCKS5_CLAIMED);
    fd_close(&fd);
}

static void a_name_nobody_waits_for_is_refused_with_an_echo(void **state)
{
    int fd;

    (void)state;
    start_engine(&relaxed);
    fd = client_from("127.0.0.1", 0);
    ask(fd, NAME);
    hear_reply(fd, 2, NAME);
    hear_end(fd);
    fd_close(&fd);
    await_sessions(0);
    assert_int_equal(stats().refused, 1);
}

static void a_refused_client_that_stays_is_closed(void **state)
{
    int fd;

    (void)state;
    start_engine(&relaxed);
    fd = client_from("127.0.0.1", 0);
    say(fd, "\x05\x01\x02", 3);
    hear(fd, "\x05\xff", 2);
    hear_end(fd);
    await_sessions(0);
    fd_close(&fd);
}

static void other_protocols_are_closed_without_a_word(void **state)
{
    static const char *const openings[] = {"GET / HTTP/1.0\r\n\r\n", "\x04\x01", "\x16\x03\x01"};

    (void)state;
    start_engine(&relaxed);
    for (size_t i = 0; i < sizeof(openings) / sizeof(openings[0]); i++) {
        int fd = client_from("127.0.0.1", 0);

        say(fd, openings[i], strlen(openings[i]));
        hear_cut(fd);
        fd_close(&fd);
    }
    assert_int_equal(stats().refused, 3);
    assert_int_equal(stats().sessions, 0);
}

static void half_a_greeting_and_an_end_is_closed(void **state)
{
    int fd;

    (void)state;
    start_engine(&relaxed);
    fd = client_from("127.0.0.1", 0);
    say(fd, "\x05", 1);
    shutdown(fd, SHUT_WR);
    hear_end(fd);
    assert_int_equal(stats().sessions, 0);
    fd_close(&fd);
}

static void a_handshake_has_a_deadline(void **state)
{
    struct socks5_limits limits = relaxed;
    int silent, slow;

    (void)state;
    limits.handshake_ms = 150;
    start_engine(&limits);
    silent = client_from("127.0.0.1", 0);
    slow = client_from("127.0.0.1", 0);
    say(slow, HELLO, 3);
    hear(slow, "\x05\x00", 2);
    hear_cut(silent);
    hear_cut(slow);
    assert_int_equal(stats().sessions, 0);
    fd_close(&silent);
    fd_close(&slow);
}

static void one_address_has_a_few_handshakes_at_once(void **state)
{
    struct socks5_limits limits = relaxed;
    int pending[2], refused, other;

    (void)state;
    limits.pending_per_peer = 2;
    start_engine(&limits);
    for (int i = 0; i < 2; i++) {
        pending[i] = client_from("127.0.0.1", 0);
        say(pending[i], HELLO, 3);
        hear(pending[i], "\x05\x00", 2);
    }
    refused = client_from("127.0.0.1", 0);
    hear_cut(refused);
    fd_close(&refused);
    other = client_from("127.0.0.2", 0);
    say(other, HELLO, 3);
    hear(other, "\x05\x00", 2);
    fd_close(&other);
    fd_close(&pending[0]);
    await_sessions(1);
    pending[0] = client_from("127.0.0.1", 0);
    say(pending[0], HELLO, 3);
    hear(pending[0], "\x05\x00", 2);
    fd_close(&pending[0]);
    fd_close(&pending[1]);
}

static void a_parked_peer_is_no_pending_handshake(void **state)
{
    struct socks5_limits limits = relaxed;
    int parked, next;

    (void)state;
    limits.pending_per_peer = 1;
    start_engine(&limits);
    expect_names(1, LONG_MS, NAME, NULL);
    parked = claim(NAME);
    next = client_from("127.0.0.1", 0);
    say(next, HELLO, 3);
    hear(next, "\x05\x00", 2);
    fd_close(&parked);
    fd_close(&next);
}

static void sockets_in_all_are_limited(void **state)
{
    struct socks5_limits limits = relaxed;
    struct sockaddr_in nowhere = bench.at;
    struct error err = {0};
    int parked, refused;

    (void)state;
    limits.max_sessions = 1;
    start_engine(&limits);
    expect_names(1, LONG_MS, NAME, NULL);
    parked = claim(NAME);
    await(1, SOCKS5_CLAIMED);
    refused = client_from("127.0.0.1", 0);
    hear_cut(refused);
    nowhere = bench.at;
    assert_true(socks5_dial(bench.engine, 2, (struct sockaddr *)&nowhere, sizeof(nowhere), OTHER, LONG_MS, &err));
    await_failure(2, ERR_STREAMHOSTS_UNREACHABLE);
    fd_close(&refused);
    fd_close(&parked);
}

static void a_name_is_waited_for_once(void **state)
{
    static const char *const names[] = {OTHER, UPPER};
    struct error err = {0};

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    assert_false(socks5_expect(bench.engine, 2, names, 2, LONG_MS, &err));
    assert_int_equal(err.code, ERR_STATE_CONFLICT);
}

static void waiting_ends_and_the_name_with_it(void **state)
{
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, 100, NAME, NULL);
    await_failure(1, ERR_STREAMHOSTS_UNREACHABLE);
    fd = client_from("127.0.0.1", 0);
    ask(fd, NAME);
    hear_reply(fd, 2, NAME);
    fd_close(&fd);
}

static void a_used_name_is_as_unknown_as_any_other(void **state)
{
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    send_file(1, 0, 10);
    take_whole_file(claim(NAME), 0, 10);
    await(1, SOCKS5_DONE);
    fd = client_from("127.0.0.1", 0);
    ask(fd, NAME);
    hear_reply(fd, 2, NAME);
    hear_end(fd);
    fd_close(&fd);
}

/* ---- more than one socket for a name */

static void of_several_sockets_the_first_gets_the_file_and_the_rest_an_end(void **state)
{
    int fds[3];

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    for (int i = 0; i < 3; i++)
        fds[i] = claim(NAME);
    send_file(1, 0, 65537);
    hear_end(fds[1]);
    hear_end(fds[2]);
    take_whole_file(fds[0], 0, 65537);
    await(1, SOCKS5_DONE);
    assert_int_equal(count_events(1, SOCKS5_CLAIMED), 1);
    fd_close(&fds[1]);
    fd_close(&fds[2]);
}

static void the_first_that_is_still_there_gets_the_file(void **state)
{
    int gone, reset, there;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    gone = claim(NAME);
    reset = claim(NAME);
    there = claim(NAME);
    fd_close(&gone);
    close_with_reset(reset);
    send_file(1, 0, 65537);
    take_whole_file(there, 0, 65537);
    await(1, SOCKS5_DONE);
}

static void a_fifth_socket_for_a_name_is_refused(void **state)
{
    int fds[5];

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    for (int i = 0; i < 4; i++)
        fds[i] = claim(NAME);
    fds[4] = client_from("127.0.0.1", 0);
    ask(fds[4], NAME);
    hear_reply(fds[4], 2, NAME);
    hear_end(fds[4]);
    send_file(1, 0, 10);
    take_whole_file(fds[0], 0, 10);
    await(1, SOCKS5_DONE);
    for (int i = 1; i < 5; i++)
        fd_close(&fds[i]);
}

static void all_hung_up_before_the_first_byte_is_a_broken_stream(void **state)
{
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    fd = claim(NAME);
    await(1, SOCKS5_CLAIMED);
    fd_close(&fd);
    send_file(1, 0, 10);
    assert_int_equal(await_failure(1, ERR_STREAM_BROKEN).moved, 0);
}

static void a_claim_after_one_that_hung_up_still_counts(void **state)
{
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    fd = claim(NAME);
    fd_close(&fd);
    await_sessions(0);
    fd = claim(NAME);
    send_file(1, 0, 10);
    take_whole_file(fd, 0, 10);
    await(1, SOCKS5_DONE);
}

static void two_addresses_for_one_name_are_a_hijack(void **state)
{
    int recipient, stranger;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    recipient = claim_from("127.0.0.1", NAME, 0);
    await(1, SOCKS5_CLAIMED);
    stranger = client_from("127.0.0.2", 0);
    ask(stranger, NAME);
    hear_reply(stranger, 2, NAME);
    hear_end(stranger);
    await_failure(1, ERR_SECURITY_REFUSED);
    hear_cut(recipient);
    assert_int_equal(bench.warnings, 1);
    fd_close(&recipient);
    fd_close(&stranger);
}

static void a_recipient_that_moved_is_no_hijack(void **state)
{
    int before, after;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    before = claim_from("127.0.0.1", NAME, 0);
    fd_close(&before);
    after = claim_from("127.0.0.2", NAME, 0);
    send_file(1, 0, 10);
    take_whole_file(after, 0, 10);
    await(1, SOCKS5_DONE);
}

/* ---- while bytes flow */

static void a_slow_reader_gets_everything(void **state)
{
    enum { SIP = 1000, SIZE = 2 * MIB };
    uint64_t at = 0;
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    fd = claim_from("127.0.0.1", NAME, 4096);
    send_file(1, 0, SIZE);
    while (at < SIZE) {
        uint8_t got[SIP];
        ssize_t n = recv(fd, got, sizeof(got), 0);

        assert_in_range(n, 1, SIP);
        assert_memory_equal(got, bench.bytes + at, (size_t)n);
        at += (uint64_t)n;
    }
    take_whole_file(fd, 0, 0);
    assert_int_equal(await(1, SOCKS5_DONE).moved, SIZE);
}

static void progress_grows_and_is_not_too_often(void **state)
{
    uint64_t last = 0;
    int64_t from;
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    fd = claim(NAME);
    from = clock_ms();
    send_file(1, 0, FILE_SIZE);
    take_whole_file(fd, 0, FILE_SIZE);
    await(1, SOCKS5_DONE);
    assert_in_range(count_events(1, SOCKS5_PROGRESS), 1, 2 + (clock_ms() - from) / 250);
    for (size_t i = 0; i < bench.event_count; i++) {
        if (bench.events[i].kind != SOCKS5_PROGRESS)
            continue;
        assert_true(bench.events[i].moved > last && bench.events[i].moved <= FILE_SIZE);
        last = bench.events[i].moved;
    }
}

static void hanging_up_at_half_is_a_broken_stream(void **state)
{
    struct socks5_event end;
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    fd = claim_from("127.0.0.1", NAME, 65536);
    send_file(1, 0, FILE_SIZE);
    hear_file(fd, 0, FILE_SIZE / 2);
    fd_close(&fd);
    end = await_failure(1, ERR_STREAM_BROKEN);
    assert_in_range(end.moved, FILE_SIZE / 2, FILE_SIZE - 1);
}

/* All of it lies in the receiver's kernel, acknowledged; the receiver read half of it. */
static void hanging_up_on_acknowledged_bytes_is_a_broken_stream(void **state)
{
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    fd = claim(NAME);
    send_file(1, 0, 20000);
    hear_file(fd, 0, 10000);
    while (recv(fd, (char[10000]){0}, 10000, MSG_PEEK | MSG_WAITALL) < 10000)
        ;
    fd_close(&fd);
    await_failure(1, ERR_STREAM_BROKEN);
}

static void a_reset_is_no_clean_end(void **state)
{
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    fd = claim(NAME);
    send_file(1, 0, 1000);
    hear_file(fd, 0, 1000);
    hear_end(fd);
    close_with_reset(fd);
    assert_int_equal(await_failure(1, ERR_STREAM_BROKEN).moved, 1000);
}

static void a_receiver_that_shuts_its_own_side_gets_everything(void **state)
{
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    fd = claim_from("127.0.0.1", NAME, 65536);
    send_file(1, 0, FILE_SIZE);
    hear_file(fd, 0, 1000);
    shutdown(fd, SHUT_WR);
    take_whole_file(fd, 1000, FILE_SIZE - 1000);
    assert_int_equal(await(1, SOCKS5_DONE).moved, FILE_SIZE);
}

/* Its kernel acknowledges in its name; that it read anything shows in nothing but its close. */
static void a_receiver_that_does_not_close_has_stalled(void **state)
{
    struct socks5_limits limits = relaxed;
    int fd;

    (void)state;
    limits.linger_ms = 150;
    start_engine(&limits);
    expect_names(1, LONG_MS, NAME, NULL);
    fd = claim(NAME);
    send_file(1, 0, 1000);
    hear_file(fd, 0, 1000);
    hear_end(fd);
    assert_int_equal(await(1, SOCKS5_FAILED).error.code, ERR_STALLED);
    fd_close(&fd);
}

static void a_receiver_that_does_not_read_has_stalled(void **state)
{
    struct socks5_limits limits = relaxed;
    struct socks5_event end;
    int fd;

    (void)state;
    limits.idle_ms = 200;
    limits.linger_ms = 100;
    start_engine(&limits);
    expect_names(1, LONG_MS, NAME, NULL);
    fd = claim_from("127.0.0.1", NAME, 4096);
    send_file(1, 0, FILE_SIZE);
    end = await_failure(1, ERR_STALLED);
    assert_in_range(end.moved, 1, FILE_SIZE - 1);
    fd_close(&fd);
}

/* The kernel took all of it, but the receiver's did not: lingering is no success. */
static void an_unread_tail_has_stalled_too(void **state)
{
    struct socks5_limits limits = relaxed;
    int fd;

    (void)state;
    limits.idle_ms = 200;
    limits.linger_ms = 100;
    start_engine(&limits);
    expect_names(1, LONG_MS, NAME, NULL);
    fd = claim_from("127.0.0.1", NAME, 4096);
    send_file(1, 0, 100000);
    assert_int_equal(await_failure(1, ERR_STALLED).moved, 100000);
    fd_close(&fd);
}

static void a_little_chatter_is_thrown_away(void **state)
{
    char chatter[4096] = {0};
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    fd = claim(NAME);
    send_file(1, 0, FILE_SIZE);
    hear_file(fd, 0, 1);
    say(fd, chatter, sizeof(chatter));
    take_whole_file(fd, 1, FILE_SIZE - 1);
    await(1, SOCKS5_DONE);
}

static void a_receiver_that_sends_a_file_itself_is_cut_off(void **state)
{
    char chatter[4097] = {0};
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    fd = claim(NAME);
    send_file(1, 0, FILE_SIZE);
    say(fd, chatter, sizeof(chatter));
    await_failure(1, ERR_PEER_PROTOCOL_ERROR);
    fd_close(&fd);
}

static void a_file_that_shrank_fails_and_the_peer_sees_no_clean_end(void **state)
{
    struct error err = {0};
    struct shared_fd *file = shared_fd_create(memfd_create("short", MFD_CLOEXEC));
    char got[200];
    int fd;

    (void)state;
    start_engine(&relaxed);
    assert_int_equal(write(file->fd, bench.bytes, 100), 100);
    expect_names(1, LONG_MS, NAME, NULL);
    fd = claim(NAME);
    assert_true(socks5_send(bench.engine, 1, file, NULL, 0, 200, &err));
    assert_int_equal(await_failure(1, ERR_SYSTEM).moved, 100);
    while (recv(fd, got, sizeof(got), 0) > 0)
        ;
    assert_int_equal(errno, ECONNRESET);
    fd_close(&fd);
    shared_fd_release(&file);
}

/* ---- a file that still grows */

static void follow_file(uint64_t stream, struct feed *feed, uint64_t offset, uint64_t length)
{
    struct error err = {0};

    assert_true(socks5_send(bench.engine, stream, bench.file, feed, offset, length, &err));
}

/* The test holds the reader to what was said to be there, though the whole file is. */
static void a_growing_file_is_followed_to_its_end(void **state)
{
    struct feed *feed = feed_create();
    uint64_t at = 0;
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    follow_file(1, feed, 0, FILE_SIZE);
    fd = claim(NAME);
    await(1, SOCKS5_CLAIMED);
    for (uint64_t step = 1; step <= 8; step++) {
        feed_grow(feed, step * MIB - 1);
        hear_file(fd, at, step * MIB - 1 - at);
        at = step * MIB - 1;
    }
    assert_int_equal(count_events(1, SOCKS5_DONE) + count_events(1, SOCKS5_FAILED), 0);
    feed_grow(feed, FILE_SIZE);
    feed_end(feed, FEED_COMPLETE);
    take_whole_file(fd, at, 1);
    assert_int_equal(await(1, SOCKS5_DONE).moved, FILE_SIZE);
    assert_int_equal(feed_taken(feed), FILE_SIZE);
    feed_release(&feed);
}

/* Who has as many bytes as were promised may take them for the file. */
static void the_last_byte_waits_for_the_word_that_the_file_is_whole(void **state)
{
    struct feed *feed = feed_create();
    char byte;
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    follow_file(1, feed, 0, MIB);
    fd = claim(NAME);
    feed_grow(feed, MIB);
    hear_file(fd, 0, MIB - 1);
    feed_end(feed, FEED_ABORTED);
    assert_int_equal(recv(fd, &byte, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    assert_int_equal(await_failure(1, ERR_STREAM_BROKEN).moved, MIB - 1);
    fd_close(&fd);
    feed_release(&feed);
}

static void an_upload_that_is_slow_is_no_stall_of_the_recipient(void **state)
{
    struct socks5_limits impatient = relaxed;
    struct feed *feed = feed_create();
    int64_t start;
    int fd;

    (void)state;
    impatient.idle_ms = 300;
    start_engine(&impatient);
    expect_names(1, LONG_MS, NAME, NULL);
    follow_file(1, feed, 0, 2 * MIB);
    fd = claim(NAME);
    feed_grow(feed, MIB);
    hear_file(fd, 0, MIB);
    start = clock_ms();
    while (clock_ms() < start + 900) /* thrice the deadline is what this is about */
        sched_yield();
    assert_int_equal(count_events(1, SOCKS5_FAILED), 0);
    feed_grow(feed, 2 * MIB);
    feed_end(feed, FEED_COMPLETE);
    take_whole_file(fd, MIB, MIB);
    await(1, SOCKS5_DONE);
    feed_release(&feed);
}

static void a_recipient_that_leaves_is_noticed_while_the_upload_pauses(void **state)
{
    struct feed *feed = feed_create();
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    follow_file(1, feed, 0, MIB);
    fd = claim(NAME);
    feed_grow(feed, 1000);
    hear_file(fd, 0, 1000);
    close_with_reset(fd);
    await_failure(1, ERR_STREAM_BROKEN);
    feed_grow(feed, 2000); /* nobody is there to be woken */
    feed_release(&feed);
}

static void a_cancelled_stream_leaves_nothing_with_the_feed(void **state)
{
    struct feed *feed = feed_create();
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    follow_file(1, feed, 0, MIB);
    fd = claim(NAME);
    feed_grow(feed, 1000);
    hear_file(fd, 0, 1000);
    socks5_cancel(bench.engine, 1);
    hear_cut(fd);
    await_sessions(0);
    feed_grow(feed, MIB);
    feed_end(feed, FEED_COMPLETE);
    fd_close(&fd);
    feed_release(&feed);
}

/* The next attempt follows where the upload is by then. */
static void a_second_stream_follows_the_same_feed(void **state)
{
    struct feed *feed = feed_create();
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    follow_file(1, feed, 0, MIB);
    fd = claim(NAME);
    feed_grow(feed, MIB / 2);
    hear_file(fd, 0, MIB / 2);
    close_with_reset(fd);
    await_failure(1, ERR_STREAM_BROKEN);
    expect_names(2, LONG_MS, NAME, NULL);
    follow_file(2, feed, 100, MIB - 100);
    fd = claim(NAME);
    hear_file(fd, 100, MIB / 2 - 100);
    feed_grow(feed, MIB);
    feed_end(feed, FEED_COMPLETE);
    take_whole_file(fd, MIB / 2, MIB / 2);
    assert_int_equal(await(2, SOCKS5_DONE).moved, MIB - 100);
    feed_release(&feed);
}

static void cancelling_cuts_the_stream_and_says_no_more(void **state)
{
    int cut, fence;
    ssize_t n;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    cut = claim_from("127.0.0.1", NAME, 4096);
    send_file(1, 0, FILE_SIZE);
    hear_file(cut, 0, 1);
    socks5_cancel(bench.engine, 1);
    do
        n = recv(cut, (char[4096]){0}, 4096, 0);
    while (n > 0);
    assert_int_equal(n, -1);
    assert_int_equal(errno, ECONNRESET);
    /* A stream of the same thread, from begin to end: whatever the first one had to say would have come before. */
    expect_names(3, LONG_MS, NAME, NULL);
    fence = claim(NAME);
    send_file(3, 0, 1);
    take_whole_file(fence, 0, 1);
    await(3, SOCKS5_DONE);
    assert_int_equal(count_events(1, SOCKS5_FAILED) + count_events(1, SOCKS5_DONE), 0);
    fd_close(&cut);
}

/* Also at once, while the engine has not heard of the end yet. */
static void a_cancelled_stream_s_names_are_free_again(void **state)
{
    (void)state;
    start_engine(&relaxed);
    for (uint64_t i = 1; i < 100; i++) {
        expect_names(i, LONG_MS, NAME, OTHER);
        socks5_cancel(bench.engine, i);
    }
    expect_names(100, LONG_MS, NAME, NULL);
    send_file(100, 0, 10);
    take_whole_file(claim(NAME), 0, 10);
    await(100, SOCKS5_DONE);
}

static void commands_for_a_stream_that_is_gone_are_dropped(void **state)
{
    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    socks5_cancel(bench.engine, 1);
    socks5_cancel(bench.engine, 1);
    send_file(1, 0, 10);
    expect_names(3, 1, NAME, NULL);
    await_failure(3, ERR_STREAMHOSTS_UNREACHABLE);
    assert_int_equal(bench.event_count, 1);
}

static void destroying_ends_everything_without_a_word(void **state)
{
    size_t events;
    int parked, flowing, shaking;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    expect_names(2, LONG_MS, OTHER, NULL);
    parked = claim(NAME);
    flowing = claim_from("127.0.0.1", OTHER, 4096);
    send_file(2, 0, FILE_SIZE);
    hear_file(flowing, 0, 1);
    shaking = client_from("127.0.0.1", 0);
    say(shaking, HELLO, 3);
    hear(shaking, "\x05\x00", 2);
    await(1, SOCKS5_CLAIMED);
    await(2, SOCKS5_PROGRESS);
    socks5_engine_destroy(&bench.engine);
    events = count_events(1, SOCKS5_FAILED) + count_events(2, SOCKS5_FAILED);
    assert_int_equal(events, 0);
    hear_cut(parked);
    hear_cut(shaking);
    fd_close(&parked);
    fd_close(&flowing);
    fd_close(&shaking);
}

static void many_streams_share_threads_and_stay_apart(void **state)
{
    enum { MANY = 60, SIZE = 100000 };
    struct socks5_limits limits = relaxed;
    int fds[MANY];

    (void)state;
    limits.threads = 3;
    start_engine(&limits);
    for (unsigned i = 0; i < MANY; i++) {
        char name[41];

        snprintf(name, sizeof(name), "%040x", i);
        expect_names(i + 1, LONG_MS, name, NULL);
        fds[i] = claim(name);
    }
    for (unsigned i = 0; i < MANY; i++)
        send_file(i + 1, i * 1000, SIZE);
    for (unsigned i = 0; i < MANY; i++)
        take_whole_file(fds[i], i * 1000, SIZE);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(await(i + 1, SOCKS5_DONE).moved, SIZE);
    assert_int_equal(stats().sessions, 0);
}

/* Sockets made beforehand connect while the process may open nothing more. */
static void out_of_descriptors_sends_clients_away_and_recovers(void **state)
{
    enum { CLIENTS = 3 };
    struct rlimit before, now;
    int fds[CLIENTS], next;

    (void)state;
    start_engine(&relaxed);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = client_socket();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    next = dup(fds[0]);
    now = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    fd_close(&next);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(connect(fds[i], (struct sockaddr *)&bench.at, sizeof(bench.at)), 0);
        hear_cut(fds[i]);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(stats().refused, CLIENTS);
    assert_int_equal(bench.warnings, 1);
    for (int i = 0; i < CLIENTS; i++)
        fd_close(&fds[i]);
    expect_names(1, LONG_MS, NAME, NULL);
    send_file(1, 0, 10);
    take_whole_file(claim(NAME), 0, 10);
    await(1, SOCKS5_DONE);
}

/* ---- going to another server; the test is that server */

static int server_open(struct sockaddr_in *at, int backlog)
{
    socklen_t len = sizeof(*at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof(*at)), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)at, &len), 0);
    return fd;
}

static void dial(uint64_t stream, const struct sockaddr_in *to, unsigned connect_ms)
{
    struct error err = {0};

    assert_true(socks5_dial(bench.engine, stream, (const struct sockaddr *)to, sizeof(*to), NAME, connect_ms, &err));
}

static int server_accept(int listener)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    assert_in_range(fd, 0, INT32_MAX);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return fd;
}

/* One recv takes exactly the message: it came alone. */
static void hear_alone(int fd, const void *want, size_t len)
{
    char got[128];

    assert_int_equal(recv(fd, got, sizeof(got), 0), len);
    assert_memory_equal(got, want, len);
}

static int server_agrees(int listener, const void *reply, size_t len)
{
    int fd = server_accept(listener);

    hear_alone(fd, HELLO, 3);
    say(fd, "\x05\x00", 2);
    hear_alone(fd, ASK NAME "\x00\x00", REPLY);
    say(fd, reply, len);
    return fd;
}

static void a_dialled_server_that_agrees_gets_the_file(void **state)
{
    static const struct {
        const char *says;
        const char *reply;
        size_t len;
    } rows[] = {
        {"an echo", "\x05\x00\x00\x03\x28" NAME "\x00\x00", 47},
        {"its own address as text",
         "\x05\x00\x00\x03\x08"
         "10.0.0.5"
         "\x00\x00",
         15},
        {"an IPv4 address", "\x05\x00\x00\x01\x0a\x00\x00\x05\x1f\x90", 10},
        {"an IPv6 address",
         "\x05\x00\x00\x04"
         "0123456789abcdef"
         "\x1f\x90",
         22},
        {"an address, then bytes",
         "\x05\x00\x00\x01\x0a\x00\x00\x05\x1f\x90"
         "bytes",
         15},
    };
    struct sockaddr_in at;
    int listener, fd;

    (void)state;
    start_engine(&relaxed);
    listener = server_open(&at, 8);
    for (uint64_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        dial(i + 1, &at, LONG_MS);
        fd = server_agrees(listener, rows[i].reply, rows[i].len);
        await(i + 1, SOCKS5_DIALED);
        send_file(i + 1, 0, 65537);
        take_whole_file(fd, 0, 65537);
        assert_int_equal(await(i + 1, SOCKS5_DONE).moved, 65537);
    }
    fd_close(&listener);
}

static void a_dialled_server_that_will_not_is_unreachable(void **state)
{
    static const struct {
        const char *says;
        const char *choice;
        const char *reply; /* NULL: it closes after its choice */
        size_t len;
    } rows[] = {
        {"wants a password", "\x05\x02", NULL, 0},
        {"takes no method", "\x05\xff", NULL, 0},
        {"speaks SOCKS 4", "\x04\x00", NULL, 0},
        {"refuses in two bytes", "\x05\x00", "\x05\x01", 2},
        {"refuses", "\x05\x00", "\x05\x02\x00\x03\x28" NAME "\x00\x00", 47},
        {"closes instead of a reply", "\x05\x00", "", 0},
        {"closes in its reply", "\x05\x00", "\x05\x00\x00\x03\x28", 5},
    };
    struct sockaddr_in at;
    int listener, fd;

    (void)state;
    start_engine(&relaxed);
    listener = server_open(&at, 8);
    for (uint64_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        dial(i + 1, &at, LONG_MS);
        fd = server_accept(listener);
        hear_alone(fd, HELLO, 3);
        say(fd, rows[i].choice, 2);
        if (rows[i].reply) {
            hear_alone(fd, ASK NAME "\x00\x00", REPLY);
            say(fd, rows[i].reply, rows[i].len);
        }
        fd_close(&fd);
        await_failure(i + 1, ERR_STREAMHOSTS_UNREACHABLE);
    }
    fd_close(&listener);
}

static void a_port_where_nobody_listens_is_unreachable(void **state)
{
    struct sockaddr_in at;
    int listener = server_open(&at, 1);

    (void)state;
    start_engine(&relaxed);
    fd_close(&listener);
    dial(1, &at, LONG_MS);
    await_failure(1, ERR_STREAMHOSTS_UNREACHABLE);
}

/* A listener whose queue is full leaves a connect(2) without an answer. */
static void connecting_has_a_deadline(void **state)
{
    enum { FILL = 4 };
    struct sockaddr_in at;
    int listener = server_open(&at, 0), fill[FILL];

    (void)state;
    start_engine(&relaxed);
    for (int i = 0; i < FILL; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        connect(fill[i], (struct sockaddr *)&at, sizeof(at));
    }
    dial(1, &at, 150);
    await_failure(1, ERR_STREAMHOSTS_UNREACHABLE);
    for (int i = 0; i < FILL; i++)
        fd_close(&fill[i]);
    fd_close(&listener);
}

static void each_answer_of_a_server_has_a_deadline(void **state)
{
    struct socks5_limits limits = relaxed;
    struct sockaddr_in at;
    int listener, fd;

    (void)state;
    limits.step_ms = 150;
    start_engine(&limits);
    listener = server_open(&at, 8);
    dial(1, &at, LONG_MS);
    fd = server_accept(listener);
    await_failure(1, ERR_STREAMHOSTS_UNREACHABLE);
    fd_close(&fd);
    dial(2, &at, LONG_MS);
    fd = server_accept(listener);
    hear_alone(fd, HELLO, 3);
    say(fd, "\x05\x00", 2);
    await_failure(2, ERR_STREAMHOSTS_UNREACHABLE);
    fd_close(&fd);
    fd_close(&listener);
}

static void a_server_that_hangs_up_before_the_first_byte_is_a_broken_stream(void **state)
{
    struct sockaddr_in at;
    int listener, fd;

    (void)state;
    start_engine(&relaxed);
    listener = server_open(&at, 8);
    dial(1, &at, LONG_MS);
    fd = server_agrees(listener, "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00", 10);
    await(1, SOCKS5_DIALED);
    fd_close(&fd);
    await_failure(1, ERR_STREAM_BROKEN);
    fd_close(&listener);
}

/* ---- the other way: a file is taken */

static struct shared_fd *receive_into(uint64_t stream, uint64_t offset, uint64_t length)
{
    struct shared_fd *into = shared_fd_create(memfd_create("into", MFD_CLOEXEC));
    struct error err = {0};

    assert_non_null(into);
    assert_true(socks5_receive(bench.engine, stream, into, offset, length, &err));
    return into;
}

static void hold_against_file(struct shared_fd **into, uint64_t offset, uint64_t len)
{
    uint8_t *got = malloc(len + 1);

    assert_non_null(got);
    assert_int_equal(pread((*into)->fd, got, len + 1, (off_t)offset), len);
    assert_memory_equal(got, bench.bytes, len);
    free(got);
    shared_fd_release(into);
}

static void say_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

        assert_in_range(n, 1, len);
        bytes += n;
        len -= (size_t)n;
    }
}

static void cancel_hears_a_good_end(uint64_t stream, int fd)
{
    socks5_cancel(bench.engine, stream);
    hear_end(fd);
    fd_close(&fd);
    await_sessions(0);
}

static void what_a_peer_sends_is_in_the_file(void **state)
{
    static const uint64_t sizes[] = {0, 1, 65537, FILE_SIZE};

    (void)state;
    start_engine(&relaxed);
    for (uint64_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (uint64_t first = 0; first < 2; first++) { /* asked for before the claim, or behind it */
            uint64_t id = 2 * i + first + 1;
            struct shared_fd *into = NULL;
            struct socks5_event done;
            int fd;

            expect_names(id, LONG_MS, NAME, NULL);
            if (first)
                into = receive_into(id, 10, sizes[i]);
            fd = claim(NAME);
            await(id, SOCKS5_CLAIMED);
            if (!first)
                into = receive_into(id, 10, sizes[i]);
            say_all(fd, bench.bytes, sizes[i]);
            done = await(id, SOCKS5_DONE);
            assert_int_equal(done.moved, sizes[i]);
            assert_false(done.extra);
            assert_int_equal(stats().sessions, 1); /* it stays, until it is cancelled */
            cancel_hears_a_good_end(id, fd);
            hold_against_file(&into, 10, sizes[i]);
            assert_int_equal(count_events(id, SOCKS5_DONE) + count_events(id, SOCKS5_FAILED), 1);
        }
    }
}

/* The bytes behind the request may come in its own segment, wherever that is cut. */
static void no_split_of_handshake_and_file_loses_a_byte(void **state)
{
    enum { TALK = 3 + REPLY, TAIL = 9 };
    uint8_t talk[TALK + TAIL] = HELLO ASK NAME;

    (void)state;
    memcpy(talk + TALK, bench.bytes, TAIL);
    start_engine(&relaxed);
    for (uint64_t cut = 1; cut < TALK + TAIL; cut++) {
        struct shared_fd *into;
        int fd;

        expect_names(cut, LONG_MS, NAME, NULL);
        fd = client_from("127.0.0.1", 0);
        say(fd, talk, cut);
        if (cut >= 3)
            hear(fd, "\x05\x00", 2); /* so that the first piece is one, not both together */
        if (cut >= TALK)
            hear_reply(fd, 0, NAME);
        say(fd, talk + cut, TALK + TAIL - cut);
        await(cut, SOCKS5_CLAIMED);
        into = receive_into(cut, 0, TAIL);
        assert_int_equal(await(cut, SOCKS5_DONE).moved, TAIL);
        socks5_cancel(bench.engine, cut);
        fd_close(&fd);
        await_sessions(0);
        hold_against_file(&into, 0, TAIL);
    }
}

static void an_end_before_all_is_told_with_what_came(void **state)
{
    struct shared_fd *into;
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    into = receive_into(1, 0, FILE_SIZE);
    fd = claim(NAME);
    say_all(fd, bench.bytes, 100000);
    fd_close(&fd);
    assert_int_equal(await(1, SOCKS5_DONE).moved, 100000);
    socks5_cancel(bench.engine, 1);
    await_sessions(0);
    hold_against_file(&into, 0, 100000);
}

static void who_says_all_and_closes_before_it_is_asked_for_is_heard(void **state)
{
    struct shared_fd *into;
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    fd = claim(NAME);
    say_all(fd, bench.bytes, 5000);
    fd_close(&fd);
    await(1, SOCKS5_CLAIMED);
    into = receive_into(1, 0, 5000);
    assert_int_equal(await(1, SOCKS5_DONE).moved, 5000);
    hold_against_file(&into, 0, 5000);
}

static void more_than_was_wanted_is_told_and_costs_no_byte_of_it(void **state)
{
    struct shared_fd *into;
    struct socks5_event done;
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    fd = claim(NAME);
    await(1, SOCKS5_CLAIMED);
    say_all(fd, bench.bytes, 5001);
    into = receive_into(1, 0, 5000);
    done = await(1, SOCKS5_DONE);
    assert_int_equal(done.moved, 5000);
    assert_true(done.extra);
    cancel_hears_a_good_end(1, fd); /* in spite of the unread byte: no reset */
    hold_against_file(&into, 0, 5000);
}

static void a_sender_that_breaks_off_is_no_end(void **state)
{
    struct shared_fd *into;
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    into = receive_into(1, 0, FILE_SIZE);
    fd = claim(NAME);
    say_all(fd, bench.bytes, 1000);
    await(1, SOCKS5_PROGRESS);
    close_with_reset(fd);
    assert_int_equal(await_failure(1, ERR_STREAM_BROKEN).moved, 1000);
    await_sessions(0);
    hold_against_file(&into, 0, 1000);
}

static void a_sender_that_says_nothing_for_long_has_stalled(void **state)
{
    struct socks5_limits limits = relaxed;
    struct shared_fd *into;
    int fd;

    (void)state;
    limits.idle_ms = 300;
    start_engine(&limits);
    expect_names(1, LONG_MS, NAME, NULL);
    into = receive_into(1, 0, FILE_SIZE);
    fd = claim(NAME);
    say_all(fd, bench.bytes, 1000);
    assert_int_equal(await_failure(1, ERR_STALLED).moved, 1000);
    hear_cut(fd);
    fd_close(&fd);
    shared_fd_release(&into);
}

static void a_disk_that_is_full_fails_and_the_sender_is_cut_off(void **state)
{
    struct shared_fd *full = shared_fd_create(open("/dev/full", O_RDWR | O_CLOEXEC));
    struct error err = {0};
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    fd = claim(NAME);
    assert_true(socks5_receive(bench.engine, 1, full, 0, FILE_SIZE, &err));
    say_all(fd, bench.bytes, 1000);
    await_failure(1, ERR_SPOOL_FULL);
    hear_cut(fd);
    fd_close(&fd);
    shared_fd_release(&full);
}

static void of_several_sockets_the_one_that_speaks_is_heard(void **state)
{
    struct shared_fd *into;
    int fds[3];

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    for (size_t i = 0; i < 3; i++)
        fds[i] = claim(NAME);
    into = receive_into(1, 0, 5000);
    fd_close(&fds[0]); /* an end of one that said nothing is none of the file */
    await_sessions(2);
    say_all(fds[2], bench.bytes, 5000);
    assert_int_equal(await(1, SOCKS5_DONE).moved, 5000);
    hear_end(fds[1]);
    fd_close(&fds[1]);
    cancel_hears_a_good_end(1, fds[2]);
    hold_against_file(&into, 0, 5000);
}

static void cancelling_in_the_middle_cuts_the_sender_off(void **state)
{
    struct shared_fd *into;
    int fd;

    (void)state;
    start_engine(&relaxed);
    expect_names(1, LONG_MS, NAME, NULL);
    into = receive_into(1, 0, FILE_SIZE);
    fd = claim(NAME);
    say_all(fd, bench.bytes, 1000);
    await(1, SOCKS5_PROGRESS);
    socks5_cancel(bench.engine, 1);
    hear_cut(fd);
    fd_close(&fd);
    await_sessions(0);
    assert_int_equal(count_events(1, SOCKS5_DONE) + count_events(1, SOCKS5_FAILED), 0);
    shared_fd_release(&into);
}

static void what_a_dialled_server_sends_is_in_the_file(void **state)
{
    struct sockaddr_in at;
    struct shared_fd *into;
    int listener, fd;

    (void)state;
    start_engine(&relaxed);
    listener = server_open(&at, 8);
    dial(1, &at, LONG_MS);
    fd = server_agrees(listener, "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00", 10);
    say_all(fd, bench.bytes, 70000); /* behind its reply, before anybody asks for it, and then an end */
    fd_close(&fd);
    await(1, SOCKS5_DIALED);
    into = receive_into(1, 0, FILE_SIZE);
    assert_int_equal(await(1, SOCKS5_DONE).moved, 70000);
    socks5_cancel(bench.engine, 1);
    await_sessions(0);
    hold_against_file(&into, 0, 70000);
    fd_close(&listener);
}

/* ---- addresses to listen on */

static void listening_takes_the_usual_spellings(void **state)
{
    static const struct {
        const char *where;
        enum error_code code;
    } rows[] = {
        {"127.0.0.1:0", ERR_NONE},       {"localhost:0", ERR_NONE},         {":0", ERR_NONE},
        {"127.0.0.1", ERR_CONFIG},       {"127.0.0.1:", ERR_CONFIG},        {"127.0.0.1:x", ERR_CONFIG},
        {"127.0.0.1:65536", ERR_CONFIG}, {"127.0.0.1:-1", ERR_CONFIG},      {"::1:0", ERR_CONFIG},
        {"[::1:0", ERR_CONFIG},          {"no.such.invalid:0", ERR_CONFIG}, {"192.0.2.1:0", ERR_SYSTEM},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct error err = {0};
        uint16_t port = 0;
        int fd = socks5_listen(rows[i].where, &port, &err);

        if (err.code != rows[i].code || (fd >= 0) != (err.code == ERR_NONE) || (fd >= 0) != (port != 0))
            fail_msg("%s: %s (%s)", rows[i].where, error_name(err.code), err.text);
        fd_close(&fd);
    }
}

static void a_port_that_is_taken_is_said(void **state)
{
    char where[32];
    struct error err = {0};
    uint16_t port = 0, same;
    int first = socks5_listen("127.0.0.1:0", &port, &err);

    (void)state;
    snprintf(where, sizeof(where), "127.0.0.1:%u", port);
    assert_int_equal(socks5_listen(where, &same, &err), -1);
    assert_int_equal(err.code, ERR_SYSTEM);
    assert_non_null(strstr(err.text, where));
    fd_close(&first);
}

static int make_file(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    log_setup(LOG_DEBUG, LOG_TEXT);
    log_capture(on_log, &bench);
    bench.bytes = malloc(FILE_SIZE);
    if (!bench.bytes)
        return -1;
    for (size_t i = 0; i < FILE_SIZE; i++)
        bench.bytes[i] = (uint8_t)(i * 131 + (i >> 8) * 17 + (i >> 16));
    bench.file = shared_fd_create(memfd_create("file", MFD_CLOEXEC));
    return write(bench.file->fd, bench.bytes, FILE_SIZE) == FILE_SIZE ? 0 : -1;
}

static int drop_file(void **state)
{
    (void)state;
    free(bench.bytes);
    shared_fd_release(&bench.file);
    return 0;
}

#define test(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(a_claimed_stream_gets_the_file),
        test(a_range_of_the_file_is_that_range),
        test(any_of_the_names_will_do),
        test(nothing_flows_before_it_is_sent),
        test(a_job_given_before_the_claim_waits_for_it),
        test(one_byte_a_segment_is_heard),
        test(everything_in_one_segment_is_answered_in_order),
        test(capitals_and_port_come_back_as_they_came),
        test(a_name_nobody_waits_for_is_refused_with_an_echo),
        test(a_refused_client_that_stays_is_closed),
        test(other_protocols_are_closed_without_a_word),
        test(half_a_greeting_and_an_end_is_closed),
        test(a_handshake_has_a_deadline),
        test(one_address_has_a_few_handshakes_at_once),
        test(a_parked_peer_is_no_pending_handshake),
        test(sockets_in_all_are_limited),
        test(a_name_is_waited_for_once),
        test(waiting_ends_and_the_name_with_it),
        test(a_used_name_is_as_unknown_as_any_other),
        test(of_several_sockets_the_first_gets_the_file_and_the_rest_an_end),
        test(the_first_that_is_still_there_gets_the_file),
        test(a_fifth_socket_for_a_name_is_refused),
        test(all_hung_up_before_the_first_byte_is_a_broken_stream),
        test(a_claim_after_one_that_hung_up_still_counts),
        test(two_addresses_for_one_name_are_a_hijack),
        test(a_recipient_that_moved_is_no_hijack),
        test(a_slow_reader_gets_everything),
        test(progress_grows_and_is_not_too_often),
        test(hanging_up_at_half_is_a_broken_stream),
        test(hanging_up_on_acknowledged_bytes_is_a_broken_stream),
        test(a_reset_is_no_clean_end),
        test(a_receiver_that_shuts_its_own_side_gets_everything),
        test(a_receiver_that_does_not_close_has_stalled),
        test(a_receiver_that_does_not_read_has_stalled),
        test(an_unread_tail_has_stalled_too),
        test(a_little_chatter_is_thrown_away),
        test(a_receiver_that_sends_a_file_itself_is_cut_off),
        test(a_file_that_shrank_fails_and_the_peer_sees_no_clean_end),
        test(a_growing_file_is_followed_to_its_end),
        test(the_last_byte_waits_for_the_word_that_the_file_is_whole),
        test(an_upload_that_is_slow_is_no_stall_of_the_recipient),
        test(a_recipient_that_leaves_is_noticed_while_the_upload_pauses),
        test(a_cancelled_stream_leaves_nothing_with_the_feed),
        test(a_second_stream_follows_the_same_feed),
        test(cancelling_cuts_the_stream_and_says_no_more),
        test(a_cancelled_stream_s_names_are_free_again),
        test(commands_for_a_stream_that_is_gone_are_dropped),
        test(destroying_ends_everything_without_a_word),
        test(many_streams_share_threads_and_stay_apart),
        test(out_of_descriptors_sends_clients_away_and_recovers),
        test(a_dialled_server_that_agrees_gets_the_file),
        test(a_dialled_server_that_will_not_is_unreachable),
        test(a_port_where_nobody_listens_is_unreachable),
        test(connecting_has_a_deadline),
        test(each_answer_of_a_server_has_a_deadline),
        test(a_server_that_hangs_up_before_the_first_byte_is_a_broken_stream),
        test(what_a_peer_sends_is_in_the_file),
        test(no_split_of_handshake_and_file_loses_a_byte),
        test(an_end_before_all_is_told_with_what_came),
        test(who_says_all_and_closes_before_it_is_asked_for_is_heard),
        test(more_than_was_wanted_is_told_and_costs_no_byte_of_it),
        test(a_sender_that_breaks_off_is_no_end),
        test(a_sender_that_says_nothing_for_long_has_stalled),
        test(a_disk_that_is_full_fails_and_the_sender_is_cut_off),
        test(of_several_sockets_the_one_that_speaks_is_heard),
        test(cancelling_in_the_middle_cuts_the_sender_off),
        test(what_a_dialled_server_sends_is_in_the_file),
        test(listening_takes_the_usual_spellings),
        test(a_port_that_is_taken_is_said),
    };

    return cmocka_run_group_tests(tests, make_file, drop_file);
}
