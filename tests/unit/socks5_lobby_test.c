/* socks5/lobby: who is parked, who is not, for how long, and what the word that joins two of them finds. */
#include "socks5_pairing.h"

static void without_pairing_every_name_is_refused(void **state)
{
    struct socks5_limits limits = roomy;

    (void)state;
    limits.pairing.max_pairs = 0;
    start_engine(&limits);
    refused(NAME);
    assert_int_equal(stats().parked, 0);
}

static void a_name_is_forty_hex_digits_in_either_case(void **state)
{
    static const struct {
        const char *says, *name;
        uint8_t rep;
    } rows[] = {
        {"small", "3457684be69fb9990232e6a8b1f55e80c3262c1b", 0},
        {"capitals", "ABCDEF4BE69FB9990232E6A8B1F55E80C3262C1B", 0},
        {"a letter too far", "g457684be69fb9990232e6a8b1f55e80c3262c1b", 2},
        {"the last one", "3457684be69fb9990232e6a8b1f55e80c3262c1 ", 2},
        {"a host", "intranet.example.org.of.forty.characters", 2},
    };

    (void)state;
    start_engine(&roomy);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int fd = client_from("127.0.0.1", 0);

        print_message("%s\n", rows[i].says);
        ask(fd, rows[i].name, rows[i].rep);
        fd_close(&fd);
    }
}

/* Rows 65 and 66 of the checklist: the lobby does not know who is who. */
static void two_cases_of_a_name_are_one(void **state)
{
    int a, b;

    (void)state;
    start_engine(&roomy);
    a = park(NAME);
    b = park(UPPER);
    join(1, NAME);
    say(a, "ping", 4);
    hear(b, "ping", 4);
    say(b, "pong", 4);
    hear(a, "pong", 4);
    fd_close(&a);
    fd_close(&b);
    await_over(1, ERR_NONE);
}

/* Rows 69, 70 and 74: another requester's word makes another name. */
static void a_word_that_finds_no_pair_changes_nothing(void **state)
{
    int a, b;

    (void)state;
    start_engine(&roomy);
    refuse_to_join(1, NAME, ERR_PROXY_HASH_MISMATCH, 0);
    refuse_to_join(2, "not a name", ERR_PROXY_HASH_MISMATCH, 0);
    a = park(NAME);
    refuse_to_join(3, NAME, ERR_PROXY_PAIR_INCOMPLETE, 0);
    b = park(NAME);
    refuse_to_join(4, OTHER, ERR_PROXY_HASH_MISMATCH, 0);
    join(5, NAME);
    say(a, "x", 1);
    hear(b, "x", 1);
    fd_close(&a);
    fd_close(&b);
}

/* The target's name as it was sent, and as it is prepared. */
static void either_of_two_names_will_do(void **state)
{
    int fds[4];

    (void)state;
    start_engine(&roomy);
    for (int i = 0; i < 4; i++)
        fds[i] = park(i < 2 ? NAME : OTHER);
    activate_with(1, "0000000000000000000000000000000000000000", UPPER, NULL);
    await(1, SOCKS5_PAIRED);
    activate_with(2, OTHER, NAME, NULL);
    await(2, SOCKS5_PAIRED);
    for (int i = 0; i < 4; i++)
        fd_close(&fds[i]);
}

/* Row 72. */
static void a_second_word_finds_the_pair_and_disturbs_nothing(void **state)
{
    int a, b;

    (void)state;
    start_engine(&roomy);
    a = park(NAME);
    b = park(NAME);
    join(1, NAME);
    say(a, "be", 2);
    refuse_to_join(2, NAME, ERR_PROXY_ALREADY_ACTIVE, 1);
    activate_with(3, OTHER, NAME, NULL);
    assert_int_equal(await(3, SOCKS5_UNPAIRED).other, 1);
    say(a, "fore", 4);
    hear(b, "before", 6);
    fd_close(&a);
    fd_close(&b);
    await_over(1, ERR_NONE);
    refuse_to_join(4, NAME, ERR_PROXY_HASH_MISMATCH, 0);
}

/* Row 73: before the word and after it. */
static void a_third_is_refused_and_the_two_are_untouched(void **state)
{
    int a, b;

    (void)state;
    start_engine(&roomy);
    a = park(NAME);
    b = park(NAME);
    refused(NAME);
    join(1, NAME);
    refused(UPPER);
    say(b, "still here", 10);
    hear(a, "still here", 10);
    fd_close(&a);
    fd_close(&b);
    await_over(1, ERR_NONE);
    a = park(NAME); /* free again */
    fd_close(&a);
}

/* Row 75: however it dies, and whichever it is. */
static void one_that_hangs_up_before_the_word_leaves_its_place(void **state)
{
    enum how { CLOSES, RESETS, SHUTS };
    static const struct {
        const char *says;
        enum how how;
        bool second;
    } rows[] = {
        {"the first closes", CLOSES, false}, {"the second closes", CLOSES, true}, {"the first resets", RESETS, false},
        {"the second resets", RESETS, true}, {"the first shuts", SHUTS, false},
    };

    (void)state;
    start_engine(&roomy);
    for (uint64_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int fds[2] = {park(NAME), park(NAME)};
        int *gone = &fds[rows[i].second], stays = fds[!rows[i].second];

        print_message("%s\n", rows[i].says);
        await_stats(parked, 2);
        if (rows[i].how == CLOSES)
            fd_close(gone);
        else if (rows[i].how == RESETS)
            close_with_reset(gone);
        else
            shutdown(*gone, SHUT_WR);
        await_stats(parked, 1);
        if (*gone >= 0)
            fd_close(gone);
        refuse_to_join(10 + i, NAME, ERR_PROXY_PAIR_INCOMPLETE, 0);
        *gone = park(NAME);
        join(i + 1, NAME);
        say(stays, "new", 3);
        hear(*gone, "new", 3);
        fd_close(&fds[0]);
        fd_close(&fds[1]);
        await_over(i + 1, ERR_NONE);
    }
    assert_int_equal(stats().sessions, 0);
}

/* Row 77. */
static void a_single_one_waits_for_its_time_and_no_longer(void **state)
{
    int a, b;

    (void)state;
    clock_fake(1000, 0);
    start_engine(&roomy);
    a = park(NAME);
    clock_advance(299 * 1000);
    b = park(NAME);
    join(1, NAME);
    say(a, "just", 4);
    hear(b, "just", 4);
    fd_close(&a);
    fd_close(&b);
    await_over(1, ERR_NONE);

    a = park(NAME);
    clock_advance(301 * 1000);
    hear_end(a);
    fd_close(&a);
    refuse_to_join(2, NAME, ERR_PROXY_HASH_MISMATCH, 0);
}

static void two_wait_for_the_word_and_no_longer(void **state)
{
    int a, b;

    (void)state;
    clock_fake(1000, 0);
    start_engine(&roomy);
    a = park(NAME);
    b = park(NAME);
    clock_advance(121 * 1000);
    hear_end(a);
    hear_end(b);
    fd_close(&a);
    fd_close(&b);
    await_stats(sessions, 0);
}

static void parked_sockets_are_limited_for_an_address_and_in_all(void **state)
{
    static const char *const names[] = {"0000000000000000000000000000000000000001",
                                        "0000000000000000000000000000000000000002",
                                        "0000000000000000000000000000000000000003"};
    struct socks5_limits limits = roomy;
    int fds[3], more;

    (void)state;
    limits.pairing.parked_per_peer = 2;
    limits.pairing.max_parked = 3;
    start_engine(&limits);
    fds[0] = park(names[0]);
    fds[1] = park(names[1]);
    refused(names[2]);
    fds[2] = park_from("127.0.0.2", names[0], 0);
    more = client_from("127.0.0.3", 0);
    ask(more, names[2], 2);
    fd_close(&more);
    join(1, names[0]); /* who talks is parked no more */
    more = park(names[2]);
    fd_close(&more);
    for (int i = 0; i < 3; i++)
        fd_close(&fds[i]);
}

static void no_more_than_so_many_pairs_are_joined(void **state)
{
    struct socks5_limits limits = roomy;
    int fds[4];

    (void)state;
    limits.pairing.max_pairs = 1;
    start_engine(&limits);
    for (int i = 0; i < 4; i++)
        fds[i] = park(i < 2 ? NAME : OTHER);
    join(1, NAME);
    refuse_to_join(2, OTHER, ERR_PROXY_BUSY, 0);
    hear_end(fds[2]);
    hear_end(fds[3]);
    say(fds[0], "x", 1);
    hear(fds[1], "x", 1);
    for (int i = 0; i < 4; i++)
        fd_close(&fds[i]);
    await_over(1, ERR_NONE);
    fds[0] = park(OTHER);
    fds[1] = park(OTHER);
    join(3, OTHER);
    fd_close(&fds[0]);
    fd_close(&fds[1]);
}

static void a_word_against_them_closes_who_is_parked_and_no_pair(void **state)
{
    static const char *const names[] = {NAME, OTHER};
    int fds[3];

    (void)state;
    start_engine(&roomy);
    fds[0] = park(NAME);
    fds[1] = park(NAME);
    fds[2] = park(OTHER);
    join(1, NAME);
    socks5_unpark(lab.engine, names, 2);
    hear_end(fds[2]);
    say(fds[0], "x", 1);
    hear(fds[1], "x", 1);
    for (int i = 0; i < 3; i++)
        fd_close(&fds[i]);
    await_over(1, ERR_NONE);
}

static void a_stream_that_waits_for_the_name_comes_first(void **state)
{
    static const char *const names[] = {NAME};
    struct error err = {0};
    int fd;

    (void)state;
    start_engine(&roomy);
    assert_true(socks5_expect(lab.engine, 1, names, 1, LONG_MS, &err));
    fd = park(UPPER);
    await(1, SOCKS5_CLAIMED);
    assert_int_equal(stats().parked, 0);
    socks5_cancel(lab.engine, 1);
    fd_close(&fd);
}

/* Two thousand names with one socket each: nobody waits for another, and memory follows their number alone. */
static void many_halves_are_cheap_and_keep_nobody_waiting(void **state)
{
    enum { HALVES = 2000, EACH_MAX = 1024 };
    int *fds = malloc(HALVES * sizeof(int));
    size_t before, after;
    int a, b;

    (void)state;
    assert_non_null(fds);
    start_engine(&roomy);
    before = heap();
    for (unsigned i = 0; i < HALVES; i++) {
        char name[41];

        snprintf(name, sizeof(name), "%08x%032x", i * 0x9e3779b9u, i);
        fds[i] = park(name);
    }
    await_stats(parked, HALVES);
    after = heap();
    print_message("%zu bytes of memory each\n", (after - before) / HALVES);
    assert_true(after < before + (size_t)HALVES * EACH_MAX);
    a = park(NAME);
    b = park(NAME);
    join(1, NAME);
    pour(a, b, 0, 8 * MIB);
    for (int i = 0; i < HALVES; i++)
        fd_close(&fds[i]);
    await_stats(parked, 0);
    fd_close(&a);
    fd_close(&b);
    await_over(1, ERR_NONE);
    free(fds);
}

static void destroying_the_engine_closes_all_without_a_word(void **state)
{
    int fds[5];

    (void)state;
    start_engine(&roomy);
    for (int i = 0; i < 5; i++)
        fds[i] = park(i < 2 ? NAME : i < 4 ? OTHER : "0000000000000000000000000000000000000001");
    join(1, NAME);
    activate_with(2, OTHER, NULL, NULL);
    socks5_engine_destroy(&lab.engine);
    for (int i = 0; i < 5; i++) {
        char byte;

        assert_true(recv(fds[i], &byte, 1, 0) <= 0);
        fd_close(&fds[i]);
    }
    assert_int_equal(count_events(1, SOCKS5_PAIR_OVER), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(without_pairing_every_name_is_refused),
        test(a_name_is_forty_hex_digits_in_either_case),
        test(two_cases_of_a_name_are_one),
        test(a_word_that_finds_no_pair_changes_nothing),
        test(either_of_two_names_will_do),
        test(a_second_word_finds_the_pair_and_disturbs_nothing),
        test(a_third_is_refused_and_the_two_are_untouched),
        test(one_that_hangs_up_before_the_word_leaves_its_place),
        test(a_single_one_waits_for_its_time_and_no_longer),
        test(two_wait_for_the_word_and_no_longer),
        test(parked_sockets_are_limited_for_an_address_and_in_all),
        test(no_more_than_so_many_pairs_are_joined),
        test(a_word_against_them_closes_who_is_parked_and_no_pair),
        test(a_stream_that_waits_for_the_name_comes_first),
        test(many_halves_are_cheap_and_keep_nobody_waiting),
        test(destroying_the_engine_closes_all_without_a_word),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
