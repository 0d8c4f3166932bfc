/* socks5/pair: what two joined sockets do with each other's bytes, ends and failures. */
#include "socks5_pairing.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

static void both_ways_carry_every_byte(void **state)
{
    enum { SIZE = 20 * MIB + 17 };
    struct socks5_event over;
    int a, b;

    (void)state;
    start_engine(&roomy);
    a = park(NAME);
    b = park(NAME);
    join(1, NAME);
    pour(a, b, 0, SIZE);
    pour(b, a, 0, SIZE / 2);
    shutdown(a, SHUT_WR);
    hear_end(b);
    fd_close(&b);
    hear_end(a);
    fd_close(&a);
    over = await_over(1, ERR_NONE);
    assert_int_equal(over.moved, SIZE);
    assert_int_equal(over.back, SIZE / 2);
    assert_int_equal(stats().sessions, 0);
    assert_int_equal(stats().pairs, 0);
    assert_int_equal(stats().relayed, SIZE + SIZE / 2);
    assert_int_equal(stats().spilled, 0);
}

/* Row 67: whichever side it is. */
static void what_was_sent_before_the_word_comes_after_it(void **state)
{
    int a, b;

    (void)state;
    start_engine(&roomy);
    a = park(NAME);
    say(a, "early", 5);
    b = park(NAME);
    say(b, "too", 3);
    join(1, NAME);
    hear(b, "early", 5);
    hear(a, "too", 3);
    fd_close(&a);
    fd_close(&b);
    await_over(1, ERR_NONE);
}

/* As Pidgin sends a small file: it does not wait for the proxy's answer. */
static void who_has_left_before_the_word_is_heard_all_the_same(void **state)
{
    int a, b;

    (void)state;
    start_engine(&roomy);
    a = park(NAME);
    say(a, "all of it", 9);
    fd_close(&a);
    b = park(NAME); /* behind his end */
    join(1, NAME);
    hear(b, "all of it", 9);
    hear_end(b);
    fd_close(&b);
    await_over(1, ERR_NONE);
}

/* What comes in one segment with the request belongs to the stream. */
static void what_came_with_the_request_comes_first(void **state)
{
    static const char all[] = "\x05\x01\x00\x05\x01\x00\x03\x28" NAME "\0\0first";
    char reply[2 + REPLY];
    int a, b;

    (void)state;
    start_engine(&roomy);
    a = client_from("127.0.0.1", 0);
    say(a, all, sizeof(all) - 1);
    assert_int_equal(recv(a, reply, sizeof(reply), MSG_WAITALL), sizeof(reply));
    say(a, "second", 6);
    b = park(NAME);
    join(1, NAME);
    hear(b, "firstsecond", 11);
    fd_close(&a);
    fd_close(&b);
}

/* Row 68: the kernel says stop long before, and the process holds none of it. */
static void ten_megabytes_pushed_early_are_held_back(void **state)
{
    enum { SIZE = 10 * MIB };
    size_t before, sent = 0, more;
    struct pollfd full;
    int a, b;

    (void)state;
    start_engine(&roomy);
    a = park(NAME);
    b = park(NAME);
    full = (struct pollfd){.fd = a, .events = POLLOUT};
    before = heap();
    do {
        more = push(a, sent, SIZE - sent);
        sent += more;
    } while (more > 0 || poll(&full, 1, 300) > 0);
    print_message("%zu bytes went before the word\n", sent);
    assert_true(sent < SIZE);
    assert_in_range(heap(), 0, before + 64 * KIB);
    join(1, NAME);
    pour(a, b, sent, SIZE);
    fd_close(&a);
    fd_close(&b);
    assert_int_equal(await_over(1, ERR_NONE).moved, SIZE);
}

static void one_side_that_ends_still_hears_the_other(void **state)
{
    int a, b;

    (void)state;
    start_engine(&roomy);
    a = park(NAME);
    b = park(NAME);
    join(1, NAME);
    say(a, "question", 8);
    shutdown(a, SHUT_WR);
    hear(b, "question", 8);
    hear_end(b);
    pour(b, a, 0, 5 * MIB);
    fd_close(&b);
    hear_end(a);
    fd_close(&a);
    await_over(1, ERR_NONE);
}

/* Row 76: also when the receiver has a last word that its sender is no longer there to hear. A sender that is gone with
 * bytes still in its own kernel would lose those by it, whatever lies between. */
static void who_closes_after_the_last_byte_cuts_nothing_off(void **state)
{
    static const struct {
        const char *says, *last_word;
        size_t size;
    } rows[] = {
        {"a silent receiver", "", MIB},
        {"one with a last word, all passed on", "thanks", 100000},
        {"one with a last word, some not passed on", "thanks", 330000},
    };

    (void)state;
    start_engine(&roomy);
    for (uint64_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int a = park(NAME), b = park_from("127.0.0.1", NAME, 4096), left = 1;
        size_t sent = 0, got = 0;

        print_message("%s\n", rows[i].says);
        join(i + 1, NAME);
        while (sent < rows[i].size)
            sent += push(a, sent, rows[i].size - sent);
        while (left > 0 && *rows[i].last_word) {
            ioctl(a, SIOCOUTQ, &left);
            poll(NULL, 0, 1);
        }
        fd_close(&a);
        say(b, rows[i].last_word, strlen(rows[i].last_word));
        while (got < rows[i].size) {
            struct pollfd p = {.fd = b, .events = POLLIN};

            assert_int_equal(poll(&p, 1, PATIENCE_S * 1000), 1);
            got += pull(b, got, rows[i].size - got);
        }
        hear_end(b);
        fd_close(&b);
        await_over(i + 1, ERR_NONE);
    }
}

/* Nobody takes half a file for a whole one. */
static void a_reset_of_one_side_resets_the_other(void **state)
{
    static const struct {
        const char *says;
        bool first;
    } rows[] = {{"the sender", true}, {"the receiver", false}};

    (void)state;
    start_engine(&roomy);
    for (uint64_t i = 0; i < 2; i++) {
        int fds[2] = {park(NAME), park(NAME)};
        int *gone = &fds[!rows[i].first], *stays = &fds[rows[i].first];

        print_message("%s\n", rows[i].says);
        join(i + 1, NAME);
        say(fds[0], "half", 4);
        hear(fds[1], "half", 4);
        close_with_reset(gone);
        hear_reset(*stays);
        fd_close(stays);
        await_over(i + 1, ERR_STREAM_BROKEN);
    }
}

static void a_receiver_that_closes_early_stops_its_sender(void **state)
{
    uint64_t sent = 0;
    int a, b;

    (void)state;
    start_engine(&roomy);
    a = park(NAME);
    b = park(NAME);
    join(1, NAME);
    say(a, "x", 1);
    hear(b, "x", 1);
    fd_close(&b);
    for (;;) { /* until the reset is there */
        struct pollfd p = {.fd = a, .events = POLLOUT};
        size_t went;

        assert_int_equal(poll(&p, 1, PATIENCE_S * 1000), 1);
        went = push(a, sent, 64 * KIB);
        if (went == 0 && errno != EAGAIN)
            break;
        sent += went;
    }
    fd_close(&a);
    await_over(1, ERR_STREAM_BROKEN);
}

static void a_pair_that_is_silent_for_too_long_is_ended(void **state)
{
    int a, b;

    (void)state;
    clock_fake(1000, 0);
    start_engine(&roomy);
    a = park(NAME);
    b = park(NAME);
    join(1, NAME);
    clock_advance(599 * 1000);
    say(a, "not yet", 7);
    hear(b, "not yet", 7);
    clock_advance(599 * 1000);
    say(a, "nor yet", 7);
    hear(b, "nor yet", 7);
    await_stats(relayed, 14);
    clock_advance(601 * 1000);
    hear_reset(a);
    hear_reset(b);
    fd_close(&a);
    fd_close(&b);
    await_over(1, ERR_STALLED);
}

/* The file is over, and its receiver keeps the line. */
static void who_does_not_follow_the_others_end_is_closed(void **state)
{
    int a, b;

    (void)state;
    clock_fake(1000, 0);
    start_engine(&roomy);
    a = park(NAME);
    b = park(NAME);
    join(1, NAME);
    say(a, "all", 3);
    fd_close(&a);
    hear(b, "all", 3);
    hear_end(b);
    for (int64_t i = 0; i < 40 && count_events(1, SOCKS5_PAIR_OVER) == 0; i++) {
        poll(NULL, 0, 200);
        if (i < 4)
            assert_int_equal(count_events(1, SOCKS5_PAIR_OVER), 0);
        clock_advance(i < 4 ? 5000 : 15000);
    }
    await_over(1, ERR_NONE);
    fd_close(&b);
}

static void too_many_bytes_end_it(void **state)
{
    const struct socks5_pair_options options = {.max_bytes = 100000};
    int fds[4];

    (void)state;
    start_engine(&roomy);
    for (int i = 0; i < 4; i++)
        fds[i] = park(i < 2 ? NAME : OTHER);
    activate_with(1, NAME, NULL, &options);
    await(1, SOCKS5_PAIRED);
    pour(fds[0], fds[1], 0, 60000);
    pour(fds[1], fds[0], 0, 40000);
    fd_close(&fds[0]);
    hear_end(fds[1]);
    fd_close(&fds[1]);
    await_over(1, ERR_NONE);

    activate_with(2, OTHER, NULL, &options);
    await(2, SOCKS5_PAIRED);
    pour(fds[2], fds[3], 0, 100000);
    say(fds[3], "!", 1);
    assert_int_equal(await_over(2, ERR_SIZE_EXCEEDED).moved, 100000);
    hear_reset(fds[3]);
    fd_close(&fds[2]);
    fd_close(&fds[3]);
}

static void a_rate_is_kept(void **state)
{
    enum { RATE = 4 * MIB, SIZE = 3 * RATE };
    const struct socks5_pair_options options = {.rate = RATE};
    int64_t began;
    int a, b;

    (void)state;
    start_engine(&roomy);
    a = park(NAME);
    b = park(NAME);
    activate_with(1, NAME, NULL, &options);
    began = clock_ms();
    pour(a, b, 0, SIZE); /* the first second's are there at once */
    assert_in_range(clock_ms() - began, 1800, PATIENCE_S * 1000);
    fd_close(&a);
    fd_close(&b);
    await_over(1, ERR_NONE);
    assert_in_range(count_events(1, SOCKS5_PAIR_PROGRESS), 1, (size_t)(clock_ms() - began) / 1000);
}

static void a_cancelled_pair_is_reset_and_says_what_it_moved(void **state)
{
    int a, b;

    (void)state;
    start_engine(&roomy);
    a = park(NAME);
    b = park(NAME);
    join(1, NAME);
    say(a, "12345", 5);
    hear(b, "12345", 5);
    socks5_pair_cancel(lab.engine, 1);
    socks5_pair_cancel(lab.engine, 1);
    socks5_pair_cancel(lab.engine, 99);
    assert_int_equal(await_over(1, ERR_CANCELLED).moved, 5);
    hear_reset(a);
    hear_reset(b);
    fd_close(&a);
    fd_close(&b);
}

static void cancelled_at_once_it_ends_too(void **state)
{
    int a, b;

    (void)state;
    start_engine(&roomy);
    a = park(NAME);
    b = park(NAME);
    activate_with(1, NAME, NULL, NULL);
    socks5_pair_cancel(lab.engine, 1);
    await_over(1, ERR_CANCELLED);
    fd_close(&a);
    fd_close(&b);
}

static void where_no_pipe_is_to_be_had_it_goes_without(void **state)
{
    struct rlimit before, now;
    int a, b, next;

    (void)state;
    start_engine(&roomy);
    a = park(NAME);
    b = park(NAME);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    next = dup(a);
    now = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    fd_close(&next);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    join(1, NAME);
    pour(a, b, 0, 8 * MIB);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(stats().pipes, 0);
    fd_close(&a);
    fd_close(&b);
    await_over(1, ERR_NONE);
}

/* What the program's own pipes can take: its socketpairs and the test's descriptors are none. */
static size_t bytes_of_pipes(void)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *e;
    size_t all = 0;

    assert_non_null(dir);
    while ((e = readdir(dir))) {
        int size = fcntl((int)strtol(e->d_name, NULL, 10), F_GETPIPE_SZ);

        all += size > 0 ? (size_t)size : 0;
    }
    closedir(dir);
    return all / 2; /* both ends */
}

static int (*park_many(int count, int room))[2]
{
    int(*fds)[2] = calloc((size_t)count, sizeof(*fds));

    assert_non_null(fds);
    for (int i = 0; i < count; i++) {
        char name[41];

        snprintf(name, sizeof(name), "%08x%032x", (unsigned)i * 0x9e3779b9u, (unsigned)i);
        fds[i][0] = park(name);
        fds[i][1] = park_from("127.0.0.1", name, room);
        join((uint64_t)i + 1, name);
    }
    return fds;
}

static void close_many(int (*fds)[2], int count)
{
    for (int i = 0; i < count; i++) {
        fd_close(&fds[i][0]);
        fd_close(&fds[i][1]);
    }
    free(fds);
    await_stats(sessions, 0);
}

/* Receivers that stop reading hold no pipe, little memory, and nobody else up. */
static void a_thousand_stalled_receivers_stop_nobody_else(void **state)
{
    enum { STALLED = 1000, EACH_MAX = 8 * KIB };
    struct socks5_stats full;
    size_t before, pipes;
    int(*fds)[2], a, b;

    (void)state;
    start_engine(&roomy);
    pipes = bytes_of_pipes();
    fds = park_many(STALLED, 4096);
    a = park(NAME);
    b = park(NAME);
    join(5000, NAME);
    before = heap();
    for (int turn = 0; turn < 3; turn++) {
        for (int i = 0; i < STALLED; i++)
            push(fds[i][0], 0, 256 * KIB);
    }
    pour(a, b, 0, 32 * MIB);
    full = stats();
    print_message("%llu bytes relayed, %llu of them in memory; %zu bytes of memory more; %llu pipes of %llu bytes\n",
                  (unsigned long long)full.relayed, (unsigned long long)full.spilled, heap() - before,
                  (unsigned long long)full.pipes, (unsigned long long)full.pipe_bytes);
    assert_in_range(heap(), 0, before + (size_t)STALLED * EACH_MAX);
    assert_in_range(full.pipes, 1, roomy.threads);
    assert_in_range(bytes_of_pipes() - pipes, 1, roomy.threads * MIB);
    for (int i = 0; i < STALLED; i++)
        close_with_reset(&fds[i][1]);
    fd_close(&a);
    fd_close(&b);
    close_many(fds, STALLED);
    assert_int_equal(stats().spilled, 0);
}

static void an_idle_pair_costs_less_than_a_kibibyte(void **state)
{
    enum { IDLE = 1000 };
    size_t before;
    int(*fds)[2];

    (void)state;
    start_engine(&roomy);
    before = heap();
    fds = park_many(IDLE, 0);
    print_message("%zu bytes of memory each\n", (heap() - before) / IDLE);
    assert_in_range(heap(), before, before + (size_t)IDLE * 1024);
    close_many(fds, IDLE);
    await_stats(pipes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(both_ways_carry_every_byte),
        test(what_was_sent_before_the_word_comes_after_it),
        test(what_came_with_the_request_comes_first),
        test(who_has_left_before_the_word_is_heard_all_the_same),
        test(ten_megabytes_pushed_early_are_held_back),
        test(one_side_that_ends_still_hears_the_other),
        test(who_closes_after_the_last_byte_cuts_nothing_off),
        test(a_reset_of_one_side_resets_the_other),
        test(a_receiver_that_closes_early_stops_its_sender),
        test(a_pair_that_is_silent_for_too_long_is_ended),
        test(who_does_not_follow_the_others_end_is_closed),
        test(too_many_bytes_end_it),
        test(a_rate_is_kept),
        test(a_cancelled_pair_is_reset_and_says_what_it_moved),
        test(cancelled_at_once_it_ends_too),
        test(where_no_pipe_is_to_be_had_it_goes_without),
        test(a_thousand_stalled_receivers_stop_nobody_else),
        test(an_idle_pair_costs_less_than_a_kibibyte),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
