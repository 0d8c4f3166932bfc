/* gateway/board: what readers on other threads see of live transfers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "gateway/board.h"
#include "gateway/gateway.h"

static int set_up(void **state)
{
    *state = board_create();
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    struct board *board = *state;

    board_destroy(&board);
    assert_null(board);
    board_destroy(&board);
    return 0;
}

static struct record *numbered(unsigned n, enum transfer_state in, uint64_t sent)
{
    struct record *r = record_new();

    snprintf(r->id, sizeof r->id, "tr_%026u", n);
    r->state = in;
    r->sent = sent;
    assert_true(record_text(&r->name, "report.pdf"));
    return r;
}

static bool put(struct board *board, struct record *r)
{
    struct snapshot *s = snapshot_take(r);
    bool there = board_put(board, s);

    snapshot_release(&s);
    return there;
}

static void a_reader_gets_a_copy_of_its_own(void **state)
{
    struct board *board = *state;
    struct record *r = numbered(1, TRANSFER_QUEUED, 0), *first, *second;
    char id[ID_SIZE];

    memcpy(id, r->id, sizeof id);
    assert_true(put(board, r));
    first = board_get(board, id);
    second = board_get(board, id);
    assert_true(first != second && first != r);
    assert_string_equal(first->name, "report.pdf");
    record_free(&first);
    board_remove(board, id);
    assert_string_equal(second->name, "report.pdf"); /* outlives the board's */
    record_free(&second);
}

static void the_newest_snapshot_stands(void **state)
{
    struct board *board = *state;
    struct record *seen;

    for (uint64_t sent = 0; sent < 5; sent++)
        assert_true(put(board, numbered(1, TRANSFER_TRANSFERRING, sent)));
    seen = board_get(board, "tr_00000000000000000000000001");
    assert_int_equal(seen->sent, 4);
    record_free(&seen);
}

static void what_is_not_there_is_null_and_may_be_removed(void **state)
{
    struct board *board = *state;

    assert_null(board_get(board, "tr_00000000000000000000000001"));
    assert_null(board_get(board, ""));
    board_remove(board, "tr_00000000000000000000000001");
    assert_true(put(board, numbered(1, TRANSFER_QUEUED, 0)));
    board_remove(board, "tr_00000000000000000000000001");
    assert_null(board_get(board, "tr_00000000000000000000000001"));
}

/* ---- one writer, many readers */

struct crowd {
    struct board *board;
    atomic_bool over;
    atomic_uint torn; /* snapshots whose parts disagree */
};

static void *read_on(void *user)
{
    struct crowd *crowd = user;

    while (!atomic_load(&crowd->over)) {
        struct record *r = board_get(crowd->board, "tr_00000000000000000000000007");

        if (r && (r->step_count != r->sent || r->received != r->sent))
            atomic_fetch_add(&crowd->torn, 1);
        record_free(&r);
    }
    return NULL;
}

static void readers_never_see_a_half_changed_record(void **state)
{
    struct crowd crowd = {.board = *state};
    pthread_t readers[3];

    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, &crowd), 0);
    for (unsigned round = 0; round < 2000; round++) {
        struct record *r = numbered(7, TRANSFER_TRANSFERRING, round % 20);

        r->received = r->sent;
        for (uint64_t i = 0; i < r->sent; i++)
            record_step(r, STEP_LOCAL, "moved", "", "");
        assert_true(put(crowd.board, r));
        if (round % 50 == 0)
            board_remove(crowd.board, "tr_00000000000000000000000007");
    }
    atomic_store(&crowd.over, true);
    for (size_t i = 0; i < 3; i++)
        pthread_join(readers[i], NULL);
    assert_int_equal(atomic_load(&crowd.torn), 0);
}

static void under_way_is_what_is_there_and_not_final(void **state)
{
    struct board *board = *state;

    assert_true(put(board, numbered(1, TRANSFER_HELD, 0)) && put(board, numbered(2, TRANSFER_FAILED, 0)));
    assert_true(board_under_way(board, "tr_00000000000000000000000001"));
    assert_false(board_under_way(board, "tr_00000000000000000000000002"));
    assert_false(board_under_way(board, "tr_00000000000000000000000003"));
    board_remove(board, "tr_00000000000000000000000001");
    assert_false(board_under_way(board, "tr_00000000000000000000000001"));
}

/* Who pauses between attempts does not wait for his turn. */
static void a_census_counts_states_and_finds_the_oldest_in_line(void **state)
{
    static const struct {
        enum transfer_state state;
        int64_t since, pause;
    } rows[] = {
        {TRANSFER_QUEUED, 7000, 0}, {TRANSFER_QUEUED, 4000, 0},   {TRANSFER_QUEUED, 1000, 99000},
        {TRANSFER_HELD, 500, 0},    {TRANSFER_DELIVERED, 100, 0},
    };
    struct board *board = *state;
    struct gateway_census census;

    clock_fake(0, 10000);
    board_census(board, &census);
    assert_int_equal(census.oldest_ms, 0);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct record *r = numbered(i, rows[i].state, 0);

        r->updated = rows[i].since;
        r->next_attempt_at = rows[i].pause;
        assert_true(put(board, r));
    }
    board_census(board, &census);
    clock_real();
    assert_int_equal(census.transfers[TRANSFER_QUEUED], 3);
    assert_int_equal(census.transfers[TRANSFER_HELD], 1);
    assert_int_equal(census.transfers[TRANSFER_OFFERING], 0);
    assert_int_equal(census.oldest_ms, 6000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_reader_gets_a_copy_of_its_own),
        TEST(the_newest_snapshot_stands),
        TEST(what_is_not_there_is_null_and_may_be_removed),
        TEST(readers_never_see_a_half_changed_record),
        TEST(under_way_is_what_is_there_and_not_final),
        TEST(a_census_counts_states_and_finds_the_oldest_in_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
