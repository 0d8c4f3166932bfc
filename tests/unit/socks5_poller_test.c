/* socks5/poller: a thread's sockets take turns, and nothing stale reaches anybody. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "socks5/poller.h"

enum { MANY = 400 };

struct end {
    struct watch watch; /* first */
    int other;
    unsigned calls;
    uint32_t events;
};

static struct bench {
    uv_loop_t loop;
    struct poller poller;
    struct end ends[MANY];
} bench;

static int setup(void **state)
{
    struct error err = {0};

    (void)state;
    memset(&bench, 0, sizeof(bench));
    assert_int_equal(uv_loop_init(&bench.loop), 0);
    assert_true(poller_open(&bench.poller, &bench.loop, &err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        poller_remove(&bench.ends[i].watch);
        if (bench.ends[i].other > 0) {
            fd_close(&bench.ends[i].watch.fd);
            fd_close(&bench.ends[i].other);
        }
    }
    poller_close(&bench.poller);
    uv_run(&bench.loop, UV_RUN_DEFAULT);
    return uv_loop_close(&bench.loop);
}

static void count_call(struct watch *w, uint32_t events)
{
    struct end *e = (struct end *)w;

    e->calls++;
    e->events = events;
}

static struct end *add(size_t i, void (*ready)(struct watch *w, uint32_t events), uint32_t events)
{
    struct end *e = &bench.ends[i];
    struct error err = {0};
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    *e = (struct end){.watch = {.fd = pair[0], .ready = ready}, .other = pair[1]};
    assert_true(poller_add(&bench.poller, &e->watch, events, &err));
    return e;
}

static void turn(void)
{
    uv_run(&bench.loop, UV_RUN_NOWAIT);
}

static void what_is_ready_is_told_with_what_it_is_ready_for(void **state)
{
    struct end *readable = add(0, count_call, EPOLLIN);
    struct end *writable = add(1, count_call, EPOLLOUT);
    struct end *idle = add(2, count_call, EPOLLIN);

    (void)state;
    assert_int_equal(write(readable->other, "x", 1), 1);
    turn();
    turn(); /* a slow machine may have spent the first one on one of them */
    assert_int_equal(readable->events, EPOLLIN);
    assert_int_equal(writable->events, EPOLLOUT);
    assert_int_equal(idle->calls, 0);
}

static void readiness_is_told_until_it_is_gone(void **state)
{
    struct end *e = add(0, count_call, EPOLLIN);
    char byte;

    (void)state;
    assert_int_equal(write(e->other, "x", 1), 1);
    turn();
    turn();
    assert_int_equal(e->calls, 2);
    assert_int_equal(read(e->watch.fd, &byte, 1), 1);
    turn();
    assert_int_equal(e->calls, 2);
}

static void a_change_counts_from_the_next_turn(void **state)
{
    struct end *e = add(0, count_call, EPOLLIN);

    (void)state;
    turn();
    assert_int_equal(e->calls, 0);
    poller_change(&e->watch, EPOLLOUT);
    turn();
    assert_int_equal(e->calls, 1);
}

/* Removes the other of the first two, which is ready in the same batch. */
static void remove_other(struct watch *w, uint32_t events)
{
    count_call(w, events);
    poller_remove(w == &bench.ends[0].watch ? &bench.ends[1].watch : &bench.ends[0].watch);
}

static void who_was_removed_in_the_same_batch_hears_nothing(void **state)
{
    (void)state;
    add(0, remove_other, EPOLLOUT);
    add(1, remove_other, EPOLLOUT);
    turn();
    assert_int_equal(bench.ends[0].calls + bench.ends[1].calls, 1);
}

/* Puts a new watch, not ready for anything, into the slot of one that is ready in the same batch. */
static void replace_other(struct watch *w, uint32_t events)
{
    size_t other = w == &bench.ends[0].watch ? 1 : 0;
    uint32_t slot = bench.ends[other].watch.slot;

    count_call(w, events);
    poller_change(w, 0);
    poller_remove(&bench.ends[other].watch);
    add(2, count_call, EPOLLIN);
    assert_int_equal(bench.ends[2].watch.slot, slot);
}

static void who_got_a_used_slot_hears_nothing_of_the_one_before(void **state)
{
    (void)state;
    add(0, replace_other, EPOLLOUT);
    add(1, replace_other, EPOLLOUT);
    turn();
    assert_int_equal(bench.ends[0].calls + bench.ends[1].calls, 1);
    assert_int_equal(bench.ends[2].calls, 0);
}

static void who_removes_itself_hears_no_more(void **state)
{
    struct end *e = add(0, count_call, EPOLLOUT);

    (void)state;
    turn();
    poller_remove(&e->watch);
    poller_remove(&e->watch);
    turn();
    assert_int_equal(e->calls, 1);
}

static void a_turn_takes_no_more_than_a_batch(void **state)
{
    unsigned called = 0;

    (void)state;
    for (size_t i = 0; i < MANY; i++)
        add(i, count_call, EPOLLOUT);
    turn();
    for (size_t i = 0; i < MANY; i++)
        called += bench.ends[i].calls;
    assert_in_range(called, 1, POLLER_BATCH);
}

static void note_crowd(struct watch *w, uint32_t events)
{
    (void)events;
    ((struct end *)w)->calls = poller_crowded(w) ? 2 : 1;
}

static void it_is_crowded_where_others_are_ready_too(void **state)
{
    (void)state;
    assert_false(poller_crowded(&bench.ends[0].watch));
    add(0, note_crowd, EPOLLOUT);
    turn();
    assert_int_equal(bench.ends[0].calls, 1);
    add(1, note_crowd, EPOLLOUT);
    turn();
    assert_int_equal(bench.ends[0].calls, 2);
    assert_int_equal(bench.ends[1].calls, 2);
}

/* More than a turn's time each: a turn ends after the first, and the others must not be passed over for it. */
static void dawdle(struct watch *w, uint32_t events)
{
    struct timespec t = {.tv_nsec = (POLLER_TURN_MS + 1) * 1000000L};

    count_call(w, events);
    nanosleep(&t, NULL);
}

static void a_long_turn_ends_early_and_the_rest_come_next(void **state)
{
    enum { FEW = 5 };

    (void)state;
    for (size_t i = 0; i < FEW; i++)
        add(i, dawdle, EPOLLOUT);
    for (unsigned turns = 1; turns <= FEW; turns++) {
        unsigned called = 0;

        turn();
        for (size_t i = 0; i < FEW; i++) {
            assert_in_range(bench.ends[i].calls, 0, 1);
            called += bench.ends[i].calls;
        }
        assert_int_equal(called, turns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_ready_is_told_with_what_it_is_ready_for, setup, teardown),
        cmocka_unit_test_setup_teardown(readiness_is_told_until_it_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_change_counts_from_the_next_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(who_was_removed_in_the_same_batch_hears_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(who_got_a_used_slot_hears_nothing_of_the_one_before, setup, teardown),
        cmocka_unit_test_setup_teardown(who_removes_itself_hears_no_more, setup, teardown),
        cmocka_unit_test_setup_teardown(a_turn_takes_no_more_than_a_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(it_is_crowded_where_others_are_ready_too, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_turn_ends_early_and_the_rest_come_next, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
