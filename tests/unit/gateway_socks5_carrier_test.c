/* gateway/socks5_carrier: streams for methods, over real sockets and a resolver that answers as told. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "gateway/socks5_carrier.h"

#define NAME  "3457684be69fb9990232e6a8b1f55e80c3262c1b"
#define OTHER "18f26cae66d4afa56faea7a0d0b051026c15ae7f"
#define HELLO "\x05\x01\x00"
#define ASK   "\x05\x01\x00\x03\x28"

enum { PATIENCE_MS = 30000, FILE_SIZE = 65537, REPLY = 47 };

static struct bench {
    uv_loop_t loop;
    struct carrier *carrier;
    struct carrier_stream *stream;
    struct carrier_address at; /* our listener */
    struct shared_fd *file;
    uint8_t bytes[FILE_SIZE];
    struct carrier_event events[64];
    size_t event_count;
    bool close_in_callback;

    const char *resolves[8]; /* what every name resolves to, in order; none: it does not */
    unsigned lookups;
} bench;

/* ---- the resolver: takes the place of libuv's, and answers in a later turn as that does */

struct answer {
    uv_timer_t timer;
    uv_getaddrinfo_t *request;
    uv_getaddrinfo_cb done;
    uint16_t port;
};

static struct addrinfo *address_of(const char *text, uint16_t port)
{
    struct addrinfo *a = calloc(1, sizeof(*a));
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    bool is_v4 = inet_pton(AF_INET, text, &v4.sin_addr) == 1;

    assert_non_null(a);
    assert_true(is_v4 || inet_pton(AF_INET6, text, &v6.sin6_addr) == 1);
    a->ai_addrlen = is_v4 ? sizeof(v4) : sizeof(v6);
    a->ai_addr = malloc(a->ai_addrlen);
    assert_non_null(a->ai_addr);
    memcpy(a->ai_addr, is_v4 ? (void *)&v4 : (void *)&v6, a->ai_addrlen);
    return a;
}

void uv_freeaddrinfo(struct addrinfo *list)
{
    while (list) {
        struct addrinfo *next = list->ai_next;

        free(list->ai_addr);
        free(list);
        list = next;
    }
}

static void on_answer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_answer(uv_timer_t *timer)
{
    struct answer *answer = timer->data;
    struct addrinfo *list = NULL, **end = &list;

    for (size_t i = 0; bench.resolves[i]; i++) {
        *end = address_of(bench.resolves[i], answer->port);
        end = &(*end)->ai_next;
    }
    answer->done(answer->request, list ? 0 : UV_EAI_NONAME, list);
    uv_close((uv_handle_t *)timer, on_answer_closed);
}

int uv_getaddrinfo(uv_loop_t *loop, uv_getaddrinfo_t *request, uv_getaddrinfo_cb done, const char *host,
                   const char *service, const struct addrinfo *hints)
{
    struct answer *answer = calloc(1, sizeof(*answer));

    assert_non_null(answer);
    assert_non_null(host);
    assert_int_equal(hints->ai_socktype, SOCK_STREAM);
    bench.lookups++;
    *answer = (struct answer){.request = request, .done = done, .port = (uint16_t)atoi(service)};
    uv_timer_init(loop, &answer->timer);
    answer->timer.data = answer;
    uv_timer_start(&answer->timer, on_answer, 0, 0);
    return 0;
}

static void resolve_to(const char *a, const char *b, const char *c)
{
    bench.resolves[0] = a;
    bench.resolves[1] = b;
    bench.resolves[2] = c;
    bench.resolves[3] = NULL;
}

/* ---- core */

static void on_event(void *user, const struct carrier_event *event)
{
    assert_ptr_equal(user, &bench);
    assert_true(bench.event_count < 64);
    bench.events[bench.event_count++] = *event;
    if (bench.close_in_callback)
        bench.carrier->ops->close(&bench.stream);
}

/* Turns core's loop until an event of that kind is there. */
static struct carrier_event await(enum carrier_event_kind kind)
{
    int64_t until = clock_ms() + PATIENCE_MS;

    for (;;) {
        for (size_t i = 0; i < bench.event_count; i++) {
            if (bench.events[i].kind == kind)
                return bench.events[i];
            if (bench.events[i].kind == CARRIER_FAILED)
                fail_msg("failed: %s", bench.events[i].error.text);
        }
        if (clock_ms() > until)
            fail_msg("no event %d", kind);
        uv_run(&bench.loop, UV_RUN_NOWAIT);
    }
}

static void await_failure(enum error_code code)
{
    struct carrier_event event = await(CARRIER_FAILED);

    if (event.error.code != code)
        fail_msg("%s: %s", error_name(event.error.code), event.error.text);
    assert_int_equal(bench.event_count, 1);
}

static const struct socks5_carrier_config usual = {
    .listen = "127.0.0.1:0",
    .advertise_host = "gw.example.org",
    .threads = 2,
    .max_sessions = 100,
    .pending_per_peer = 8,
    .idle_ms = 60000,
    .linger_ms = 60000,
};

static void start(const struct socks5_carrier_config *config)
{
    struct error err = {0};

    bench.event_count = 0;
    bench.close_in_callback = false;
    bench.lookups = 0;
    resolve_to("127.0.0.1", NULL, NULL);
    assert_int_equal(uv_loop_init(&bench.loop), 0);
    bench.carrier = socks5_carrier_create(&bench.loop, config, &err);
    if (!bench.carrier)
        fail_msg("%s", err.text);
    if (bench.carrier->ops->advertised(bench.carrier, &bench.at) != (config->advertise_host != NULL))
        fail_msg("advertised");
    bench.stream = bench.carrier->ops->open(bench.carrier, on_event, &bench, &err);
    assert_non_null(bench.stream);
}

/* Every handle was closed: else the loop could not be. */
static int teardown(void **state)
{
    (void)state;
    if (!bench.carrier)
        return 0;
    bench.carrier->ops->close(&bench.stream);
    assert_null(bench.stream);
    bench.carrier->ops->close(&bench.stream);
    socks5_carrier_destroy(&bench.carrier);
    assert_null(bench.carrier);
    uv_run(&bench.loop, UV_RUN_DEFAULT);
    return uv_loop_close(&bench.loop);
}

static void expect_name(const char *name)
{
    const char *const names[] = {name};
    struct error err = {0};

    assert_true(bench.carrier->ops->expect(bench.stream, names, 1, PATIENCE_MS, &err));
}

static void dial(const char *host, uint16_t port, bool trusted)
{
    struct carrier_address to = {.port = port};
    struct error err = {0};

    snprintf(to.host, sizeof(to.host), "%s", host);
    assert_true(bench.carrier->ops->dial(bench.stream, &to, trusted, NAME, &err));
}

static void send_file(void)
{
    struct error err = {0};

    assert_true(bench.carrier->ops->send(bench.stream, bench.file, NULL, 0, FILE_SIZE, &err));
}

/* ---- peers */

static void set_patience(int fd)
{
    const struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
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

static void hear_cut(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);

    assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
}

static int claim(void)
{
    const struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(bench.at.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    set_patience(fd);
    assert_int_equal(connect(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
    say(fd, HELLO, 3);
    hear(fd, "\x05\x00", 2);
    say(fd, ASK NAME "\x00\x00", REPLY);
    return fd;
}

static void take_file(int fd)
{
    uint8_t *got = malloc(FILE_SIZE);
    char byte;

    assert_non_null(got);
    assert_int_equal(recv(fd, got, FILE_SIZE, MSG_WAITALL), FILE_SIZE);
    assert_memory_equal(got, bench.bytes, FILE_SIZE);
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    free(got);
    fd_close(&fd);
}

static int server_open(uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static bool is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

/* Turns core's loop until somebody comes. */
static int server_accept(int listener)
{
    int64_t until = clock_ms() + PATIENCE_MS;
    int fd;

    while (!is_readable(listener)) {
        if (clock_ms() > until)
            fail_msg("nobody came");
        uv_run(&bench.loop, UV_RUN_NOWAIT);
    }
    fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_in_range(fd, 0, INT32_MAX);
    set_patience(fd);
    return fd;
}

static int server_agrees(int listener)
{
    int fd = server_accept(listener);

    hear(fd, HELLO, 3);
    say(fd, "\x05\x00", 2);
    hear(fd, ASK NAME "\x00\x00", REPLY);
    say(fd, "\x05\x00\x00\x03\x28" NAME "\x00\x00", REPLY);
    return fd;
}

/* ---- the rules */

static void what_is_advertised_is_listened_on(void **state)
{
    (void)state;
    start(&usual);
    assert_string_equal(bench.at.host, "gw.example.org");
    assert_int_not_equal(bench.at.port, 0);
    expect_name(NAME);
    fd_close(&(int){claim()});
}

static void another_port_may_be_advertised(void **state)
{
    struct socks5_carrier_config config = usual;

    (void)state;
    config.advertise_port = 15086;
    start(&config);
    assert_int_equal(bench.at.port, 15086);
}

static void with_nothing_advertised_nothing_listens(void **state)
{
    struct socks5_carrier_config config = usual;

    (void)state;
    config.advertise_host = NULL;
    config.listen = "not even an address";
    start(&config);
}

static void a_listener_that_cannot_be_had_is_said(void **state)
{
    struct socks5_carrier_config config = usual;
    struct error err = {0};
    uv_loop_t loop;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    config.listen = "192.0.2.1:0";
    assert_null(socks5_carrier_create(&loop, &config, &err));
    assert_int_equal(err.code, ERR_SYSTEM);
    config.allow_nets = (char *[]){"lan", NULL};
    assert_null(socks5_carrier_create(&loop, &config, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void a_claim_is_told_and_the_file_goes_to_it(void **state)
{
    int fd;

    (void)state;
    start(&usual);
    expect_name(NAME);
    fd = claim();
    hear(fd, "\x05\x00\x00\x03\x28" NAME "\x00\x00", REPLY);
    await(CARRIER_CLAIMED);
    assert_int_equal(socks5_carrier_streams(bench.carrier), 1);
    send_file();
    take_file(fd);
    assert_int_equal(await(CARRIER_DONE).moved, FILE_SIZE);
    assert_int_equal(socks5_carrier_streams(bench.carrier), 0);
}

static void a_proxy_is_dialled_and_gets_the_file(void **state)
{
    uint16_t port;
    int listener = server_open(&port), fd;

    (void)state;
    start(&usual);
    dial("proxy.example.org", port, true);
    fd = server_agrees(listener);
    await(CARRIER_DIALED);
    send_file();
    take_file(fd);
    assert_int_equal(await(CARRIER_DONE).moved, FILE_SIZE);
    fd_close(&listener);
}

static void every_address_is_tried_in_turn(void **state)
{
    uint16_t port;
    int listener = server_open(&port), fd;

    (void)state;
    start(&usual);
    /* nobody listens on the first; the second is there twice: it refuses once */
    resolve_to("127.0.0.2", "127.0.0.1", "127.0.0.1");
    dial("proxy.example.org", port, true);
    fd = server_accept(listener);
    say(fd, "\x05\xff", 2);
    fd_close(&fd);
    fd = server_agrees(listener);
    await(CARRIER_DIALED);
    assert_int_equal(bench.event_count, 1);
    send_file();
    take_file(fd);
    await(CARRIER_DONE);
    fd_close(&listener);
}

static void when_no_address_answers_it_failed_once(void **state)
{
    uint16_t port;
    int listener = server_open(&port);

    (void)state;
    start(&usual);
    fd_close(&listener);
    resolve_to("127.0.0.1", "127.0.0.2", NULL);
    dial("proxy.example.org", port, true);
    await_failure(ERR_STREAMHOSTS_UNREACHABLE);
}

static void a_name_that_is_not_found_failed(void **state)
{
    (void)state;
    start(&usual);
    resolve_to(NULL, NULL, NULL);
    dial("no.such.invalid", 7777, true);
    await_failure(ERR_STREAMHOSTS_UNREACHABLE);
}

static void an_untrusted_name_passes_the_filter_where_it_leads(void **state)
{
    uint16_t port;
    int listener = server_open(&port);

    (void)state;
    start(&usual);
    resolve_to("127.0.0.1", "::ffff:127.0.0.1", "::1");
    dial("innocent.example.org", port, false);
    await_failure(ERR_EGRESS_BLOCKED);
    assert_null(strstr(bench.events[0].error.text, "127.0.0.1"));
    assert_false(is_readable(listener));
    fd_close(&listener);
}

static void a_proxy_of_our_own_server_may_lie_inside_but_not_at_an_address_of_no_server(void **state)
{
    (void)state;
    start(&usual);
    resolve_to("169.254.169.254", "::ffff:169.254.169.254", "fe80::1");
    dial("proxy.example.org", 7777, true);
    await_failure(ERR_EGRESS_BLOCKED);
}

static void an_untrusted_spelling_is_not_even_looked_up(void **state)
{
    static const char *const hosts[] = {"0x7f.1", "127.1", "2130706433", "[::1]", "a b", ""};
    struct error err = {0};

    (void)state;
    start(&usual);
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct carrier_address to = {.port = 7777};

        snprintf(to.host, sizeof(to.host), "%s", hosts[i]);
        assert_false(bench.carrier->ops->dial(bench.stream, &to, false, NAME, &err));
        assert_int_equal(err.code, ERR_EGRESS_BLOCKED);
    }
    assert_int_equal(bench.lookups, 0);
}

static void an_allowed_net_lets_an_untrusted_address_pass(void **state)
{
    struct socks5_carrier_config config = usual;
    uint16_t port;
    int listener = server_open(&port), fd;

    (void)state;
    config.allow_nets = (char *[]){"127.0.0.1/32", NULL};
    start(&config);
    resolve_to("10.0.0.1", "127.0.0.1", NULL); /* the first is passed over */
    dial("127.0.0.1", port, false);
    fd = server_agrees(listener);
    await(CARRIER_DIALED);
    assert_int_equal(bench.event_count, 1);
    fd_close(&fd);
    fd_close(&listener);
}

static void dialling_replaces_expecting(void **state)
{
    uint16_t port;
    int listener = server_open(&port), parked, late, fd;

    (void)state;
    start(&usual);
    expect_name(NAME);
    parked = claim();
    hear(parked, "\x05\x00\x00\x03\x28" NAME "\x00\x00", REPLY);
    await(CARRIER_CLAIMED);
    dial("proxy.example.org", port, true);
    hear_cut(parked);
    late = claim();
    hear(late, "\x05\x02\x00\x03\x28" NAME "\x00\x00", REPLY);
    fd = server_agrees(listener);
    await(CARRIER_DIALED);
    fd_close(&parked);
    fd_close(&late);
    fd_close(&fd);
    fd_close(&listener);
}

static void after_close_no_event_comes(void **state)
{
    struct carrier_stream *second;
    struct error err = {0};
    const char *const names[] = {OTHER};
    int fd;

    (void)state;
    start(&usual);
    expect_name(NAME);
    fd = claim();
    hear(fd, "\x05\x00\x00\x03\x28" NAME "\x00\x00", REPLY); /* the event is on its way */
    second = bench.stream;
    bench.carrier->ops->close(&second);
    bench.stream = bench.carrier->ops->open(bench.carrier, on_event, &bench, &err);
    assert_true(bench.carrier->ops->expect(bench.stream, names, 1, 1, &err));
    await(CARRIER_FAILED); /* the next stream's: whatever was on its way has come */
    assert_int_equal(bench.event_count, 1);
    hear_cut(fd);
    fd_close(&fd);
}

static void a_stream_may_be_closed_from_its_event(void **state)
{
    (void)state;
    start(&usual);
    resolve_to(NULL, NULL, NULL);
    dial("no.such.invalid", 7777, true);
    bench.close_in_callback = true;
    await_failure(ERR_STREAMHOSTS_UNREACHABLE);
    assert_null(bench.stream);
}

static void closing_while_a_name_is_looked_up_is_fine(void **state)
{
    (void)state;
    start(&usual);
    dial("proxy.example.org", 7777, true);
    bench.carrier->ops->close(&bench.stream);
    uv_run(&bench.loop, UV_RUN_NOWAIT);
    assert_int_equal(bench.event_count, 0);
}

/* The answer comes after the carrier's end. */
static void ending_while_a_name_is_looked_up_is_fine(void **state)
{
    (void)state;
    start(&usual);
    dial("proxy.example.org", 7777, true);
    bench.stream = NULL; /* left to the carrier */
}

/* ---- pairs of others */

static struct pair_event pair_events[64];
static size_t pair_event_count, pair_events_seen;

static void on_pair_event(void *user, const struct pair_event *event)
{
    assert_ptr_equal(user, &bench);
    if (event->kind == PAIR_PROGRESS)
        return;
    assert_true(pair_event_count < 64);
    pair_events[pair_event_count++] = *event;
}

/* The next event of a pair, in the order in which they come. */
static struct pair_event await_pair(void)
{
    int64_t until = clock_ms() + PATIENCE_MS;

    while (pair_events_seen == pair_event_count) {
        if (clock_ms() > until)
            fail_msg("no event");
        uv_run(&bench.loop, UV_RUN_NOWAIT);
    }
    return pair_events[pair_events_seen++];
}

static struct pairing *start_pairing(void)
{
    struct socks5_carrier_config config = usual;
    struct pairing *pairing;

    config.pairing =
        (struct pairing_limits){.on = true, .pair_ms = PATIENCE_MS, .activate_ms = PATIENCE_MS, .idle_ms = PATIENCE_MS};
    pair_event_count = pair_events_seen = 0;
    start(&config);
    pairing = socks5_carrier_pairing(bench.carrier);
    pairing->ops->watch(pairing, on_pair_event, &bench);
    return pairing;
}

static int park(void)
{
    int fd = claim();

    hear(fd, "\x05\x00\x00\x03\x28" NAME "\x00\x00", REPLY);
    return fd;
}

static uint64_t join(struct pairing *pairing)
{
    static const char *const names[] = {OTHER, NAME};
    uint64_t id = pairing->ops->join(pairing, names, 2, 0, NULL);

    assert_int_not_equal(id, 0);
    return id;
}

static void two_who_ask_for_a_name_are_joined(void **state)
{
    struct pairing *pairing = start_pairing();
    int one = park(), other = park();
    struct pair_event event;
    uint64_t id;

    (void)state;
    assert_int_equal(pairing->ops->parked(pairing), 2);
    say(one, "early", 5);
    id = join(pairing);
    event = await_pair();
    assert_int_equal(event.kind, PAIR_JOINED);
    assert_int_equal(event.id, id);
    hear(other, "early", 5);
    say(other, "back", 4);
    hear(one, "back", 4);
    fd_close(&one);
    fd_close(&other);
    event = await_pair();
    assert_int_equal(event.kind, PAIR_OVER);
    assert_int_equal(event.id, id);
    assert_int_equal(event.forth, 5);
    assert_int_equal(event.back, 4);
    assert_int_equal(event.error.code, ERR_NONE);
}

static void why_two_are_not_joined_is_said(void **state)
{
    struct pairing *pairing = start_pairing();
    struct pair_event event;
    uint64_t first;
    int one, other;

    (void)state;
    join(pairing);
    assert_int_equal(await_pair().error.code, ERR_PROXY_HASH_MISMATCH);
    one = park();
    join(pairing);
    assert_int_equal(await_pair().error.code, ERR_PROXY_PAIR_INCOMPLETE);
    other = park();
    first = join(pairing);
    assert_int_equal(await_pair().kind, PAIR_JOINED);
    join(pairing);
    event = await_pair();
    assert_int_equal(event.kind, PAIR_REFUSED);
    assert_int_equal(event.error.code, ERR_PROXY_ALREADY_ACTIVE);
    assert_int_equal(event.other, first);
    pairing->ops->cancel(pairing, first);
    event = await_pair();
    assert_int_equal(event.kind, PAIR_OVER);
    assert_int_equal(event.error.code, ERR_CANCELLED);
    hear_cut(one);
    hear_cut(other);
    fd_close(&one);
    fd_close(&other);
}

static void who_waits_can_be_sent_away(void **state)
{
    static const char *const names[] = {NAME};
    struct pairing *pairing = start_pairing();
    int one = park(), other = park();

    (void)state;
    pairing->ops->dismiss(pairing, names, 1);
    hear_cut(one);
    hear_cut(other);
    fd_close(&one);
    fd_close(&other);
}

/* A stream of our own that waits for a name comes first. */
static void a_stream_of_ours_is_nobodys_pair(void **state)
{
    struct pairing *pairing = start_pairing();
    int fd;

    (void)state;
    expect_name(NAME);
    fd = park();
    await(CARRIER_CLAIMED);
    join(pairing);
    assert_int_equal(await_pair().error.code, ERR_PROXY_HASH_MISMATCH);
    send_file();
    take_file(fd);
}

static void without_a_relay_nobody_waits_here(void **state)
{
    int fd;

    (void)state;
    start(&usual);
    fd = claim();
    hear(fd, "\x05\x02", 2);
    fd_close(&fd);
}

static int make_file(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    log_setup(LOG_ERROR, LOG_TEXT);
    for (size_t i = 0; i < FILE_SIZE; i++)
        bench.bytes[i] = (uint8_t)(i * 131 + (i >> 8) * 17);
    bench.file = shared_fd_create(memfd_create("file", MFD_CLOEXEC));
    return write(bench.file->fd, bench.bytes, FILE_SIZE) == FILE_SIZE ? 0 : -1;
}

static int drop_file(void **state)
{
    (void)state;
    shared_fd_release(&bench.file);
    return 0;
}

#define test(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(what_is_advertised_is_listened_on),
        test(another_port_may_be_advertised),
        test(with_nothing_advertised_nothing_listens),
        test(a_listener_that_cannot_be_had_is_said),
        test(a_claim_is_told_and_the_file_goes_to_it),
        test(a_proxy_is_dialled_and_gets_the_file),
        test(every_address_is_tried_in_turn),
        test(when_no_address_answers_it_failed_once),
        test(a_name_that_is_not_found_failed),
        test(an_untrusted_name_passes_the_filter_where_it_leads),
        test(a_proxy_of_our_own_server_may_lie_inside_but_not_at_an_address_of_no_server),
        test(an_untrusted_spelling_is_not_even_looked_up),
        test(an_allowed_net_lets_an_untrusted_address_pass),
        test(dialling_replaces_expecting),
        test(after_close_no_event_comes),
        test(a_stream_may_be_closed_from_its_event),
        test(closing_while_a_name_is_looked_up_is_fine),
        test(ending_while_a_name_is_looked_up_is_fine),
        test(two_who_ask_for_a_name_are_joined),
        test(why_two_are_not_joined_is_said),
        test(who_waits_can_be_sent_away),
        test(a_stream_of_ours_is_nobodys_pair),
        test(without_a_relay_nobody_waits_here),
    };

    return cmocka_run_group_tests(tests, make_file, drop_file);
}
