/* gateway/record: names, owned strings, and a timeline that stays bounded without losing its beginning. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "gateway/record.h"

static void every_state_has_a_name_that_reads_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < TRANSFER_STATE_COUNT; i++) {
        enum transfer_state s = (enum transfer_state)i, back = TRANSFER_STATE_COUNT;

        assert_true(transfer_state_parse(transfer_state_name(s), &back));
        assert_int_equal(back, s);
    }
}

static void only_the_last_four_states_are_final(void **state)
{
    (void)state;
    for (size_t i = 0; i < TRANSFER_STATE_COUNT; i++)
        assert_int_equal(transfer_state_final((enum transfer_state)i), i >= TRANSFER_DELIVERED);
}

static void stages_proofs_and_directions_read_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < STAGE_COUNT; i++) {
        enum stage back = STAGE_COUNT;

        assert_true(stage_parse(stage_name((enum stage)i), &back));
        assert_int_equal(back, i);
    }
    for (size_t i = PROOF_PROXY_ACCEPTED; i <= PROOF_HASH_CONFIRMED; i++) {
        enum proof back = PROOF_NONE;

        assert_true(proof_parse(proof_name((enum proof)i), &back));
        assert_int_equal(back, i);
    }
    for (size_t i = STEP_SENT; i <= STEP_LOCAL; i++) {
        enum step_direction back = STEP_SENT;

        assert_true(step_direction_parse(step_direction_name((enum step_direction)i), &back));
        assert_int_equal(back, i);
    }
}

static void no_proof_has_no_name(void **state)
{
    (void)state;
    assert_null(proof_name(PROOF_NONE));
}

static void unknown_names_are_refused(void **state)
{
    static const char *const names[] = {"", "Queued", "queued ", "none", "final"};
    enum transfer_state s = TRANSFER_FAILED;
    enum stage stage = STAGE_FINISH;
    enum proof proof = PROOF_PEER_CLOSED;
    enum step_direction direction = STEP_LOCAL;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_false(transfer_state_parse(names[i], &s));
        assert_false(stage_parse(names[i], &stage));
        assert_false(proof_parse(names[i], &proof));
        assert_false(step_direction_parse(names[i], &direction));
    }
    assert_int_equal(s, TRANSFER_FAILED);
    assert_int_equal(stage, STAGE_FINISH);
    assert_int_equal(proof, PROOF_PEER_CLOSED);
    assert_int_equal(direction, STEP_LOCAL);
}

static void a_new_record_has_no_missing_strings(void **state)
{
    struct record *r = record_new();

    (void)state;
    assert_string_equal(r->to, "");
    assert_string_equal(r->name, "");
    assert_string_equal(r->type, "");
    assert_null(r->caption);
    assert_int_equal(r->state, TRANSFER_RECEIVING);
    record_free(&r);
    assert_null(r);
    record_free(&r);
}

static void a_copy_shares_nothing_with_its_original(void **state)
{
    struct record *r = record_new(), *copy;
    char **const texts[] = {&r->to,      &r->resource,   &r->from,       &r->name,  &r->type,       &r->caption,
                            &r->methods, &r->request_id, &r->streamhost, &r->token, &r->traceparent};
    char value[16];

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        snprintf(value, sizeof value, "text %zu", i);
        assert_true(record_text(texts[i], value));
    }
    record_step(r, STEP_SENT, "disco", "ok", "8 features");
    record_attempt(r)->round = 3;
    r->size = 77;

    copy = record_copy(r);
    record_free(&r);
    assert_string_equal(copy->to, "text 0");
    assert_string_equal(copy->resource, "text 1");
    assert_string_equal(copy->from, "text 2");
    assert_string_equal(copy->name, "text 3");
    assert_string_equal(copy->type, "text 4");
    assert_string_equal(copy->caption, "text 5");
    assert_string_equal(copy->methods, "text 6");
    assert_string_equal(copy->request_id, "text 7");
    assert_string_equal(copy->streamhost, "text 8");
    assert_string_equal(copy->token, "text 9");
    assert_string_equal(copy->traceparent, "text 10");
    assert_int_equal(copy->size, 77);
    assert_int_equal(copy->step_count, 1);
    assert_string_equal(copy->steps[0].detail, "8 features");
    assert_int_equal(copy->attempts[0].round, 3);
    record_free(&copy);
}

static void folded_steps_are_back_in_every_copy(void **state)
{
    struct record *r = record_new(), *snapshot, *copy;

    (void)state;
    clock_fake(5, 1000);
    record_step(r, STEP_SENT, "one", "ok", "");
    record_step(r, STEP_RECEIVED, "two", "", "of it");
    snapshot = record_snapshot(r);
    assert_int_equal(r->step_count, 0);
    clock_fake(5, 2000);
    record_step(r, STEP_LOCAL, "three", "error", "text");
    record_fold(r);
    record_step(r, STEP_SENT, "four", "", "");

    copy = record_copy(r);
    record_free(&r);
    assert_int_equal(copy->step_count, 4);
    assert_string_equal(copy->steps[0].name, "one");
    assert_string_equal(copy->steps[0].outcome, "ok");
    assert_int_equal(copy->steps[1].direction, STEP_RECEIVED);
    assert_string_equal(copy->steps[1].detail, "of it");
    assert_int_equal(copy->steps[2].at, 2000);
    assert_string_equal(copy->steps[2].outcome, "error");
    assert_string_equal(copy->steps[3].name, "four");
    record_free(&copy);

    copy = record_copy(snapshot); /* which knows nothing of what came later */
    record_free(&snapshot);
    assert_int_equal(copy->step_count, 2);
    assert_string_equal(copy->steps[1].name, "two");
    record_free(&copy);
    clock_real();
}

static void a_snapshot_has_every_text_and_outlives_its_original(void **state)
{
    struct record *r = record_new(), *snapshot, *copy;

    (void)state;
    assert_true(record_text(&r->to, "ana@example.org"));
    assert_true(record_text(&r->caption, ""));
    assert_true(record_text(&r->link_digest, "0123"));
    r->error_code = ERR_STREAM_BROKEN;
    assert_true(record_text(&r->error_text, "the connection broke"));
    snapshot = record_snapshot(r);
    record_free(&r);

    copy = record_copy(snapshot);
    record_free(&snapshot);
    assert_string_equal(copy->to, "ana@example.org");
    assert_string_equal(copy->name, "");
    assert_string_equal(copy->caption, "");
    assert_string_equal(copy->link_digest, "0123");
    assert_null(copy->resource);
    assert_int_equal(copy->error_code, ERR_STREAM_BROKEN);
    assert_string_equal(copy->error_text, "the connection broke");
    assert_true(record_text(&copy->name, "a copy may be changed"));
    record_free(&copy);
}

/* The last attempt goes on when it is folded: it still ends, and another may follow. */
static void folded_attempts_can_be_changed_and_added_to(void **state)
{
    const struct attempt first = {.round = 3,
                                  .started = 1000,
                                  .ended = 2000,
                                  .method = "si-s5b",
                                  .to = "ana@example.org/desk",
                                  .stage = STAGE_CONNECT,
                                  .error = {ERR_STREAM_BROKEN, "the connection broke"}};
    struct record *r = record_new(), *snapshot, *copy;
    struct attempt *a;

    (void)state;
    assert_null(record_last_attempt(r));
    a = record_attempt(r);
    *a = first;
    a->ended = 0;
    snapshot = record_snapshot(r);
    assert_int_equal(r->attempt_count, 0);
    record_last_attempt(r)->ended = 2000;
    record_fold(r);
    record_attempt(r)->round = 4;
    record_fold(r);
    record_last_attempt(r)->started = 3000;

    copy = record_copy(r);
    record_fold(r);
    record_free(&r);
    assert_int_equal(copy->attempt_count, 2);
    assert_int_equal(copy->attempts[0].round, first.round);
    assert_int_equal(copy->attempts[0].started, first.started);
    assert_int_equal(copy->attempts[0].ended, first.ended);
    assert_string_equal(copy->attempts[0].method, first.method);
    assert_string_equal(copy->attempts[0].to, first.to);
    assert_int_equal(copy->attempts[0].stage, first.stage);
    assert_int_equal(copy->attempts[0].error.code, first.error.code);
    assert_string_equal(copy->attempts[0].error.text, first.error.text);
    assert_int_equal(copy->attempts[1].round, 4);
    assert_int_equal(copy->attempts[1].started, 3000);
    record_free(&copy);

    copy = record_copy(snapshot); /* which knows nothing of what came later */
    record_free(&snapshot);
    assert_int_equal(copy->attempt_count, 1);
    assert_int_equal(copy->attempts[0].ended, 0);
    record_free(&copy);
}

static void a_long_story_is_cut_folded_or_not(void **state)
{
    struct record *plain = record_new(), *folded = record_new(), *copy;
    char name[16];

    (void)state;
    clock_fake(5, 1000);
    for (unsigned i = 0; i < 3 * RECORD_STEPS; i++) {
        snprintf(name, sizeof name, "%u", i);
        record_step(plain, STEP_SENT, name, "", "");
        record_step(folded, STEP_SENT, name, "", "");
        record_fold(folded);
    }
    copy = record_copy(folded);
    assert_int_equal(copy->step_count, plain->step_count);
    assert_memory_equal(copy->steps, plain->steps, plain->step_count * sizeof *plain->steps);
    record_free(&copy);
    record_free(&folded);
    record_free(&plain);
    clock_real();
}

static void a_text_may_be_replaced_and_taken_away(void **state)
{
    char *field = NULL;

    (void)state;
    assert_true(record_text(&field, "one"));
    assert_true(record_text(&field, field)); /* itself: copied before the old one goes */
    assert_string_equal(field, "one");
    assert_true(record_text(&field, NULL));
    assert_null(field);
}

static void a_step_is_stamped_and_made_showable(void **state)
{
    struct record *r = record_new();
    char longer[300];

    (void)state;
    clock_fake(5, 1234567);
    memset(longer, 'x', sizeof longer);
    longer[254] = '\xc3'; /* an e with an accent across the end of the field */
    longer[255] = '\xa9';
    longer[299] = '\0';
    record_step(r, STEP_RECEIVED, "disco", "not\x01well", longer);
    record_step(r, STEP_LOCAL, "started", NULL, NULL);
    assert_int_equal(r->steps[0].at, 1234567);
    assert_int_equal(r->steps[0].direction, STEP_RECEIVED);
    assert_string_equal(r->steps[0].outcome, "not\xef\xbf\xbdwell");
    assert_int_equal(strlen(r->steps[0].detail), 254);
    assert_string_equal(r->steps[1].outcome, "");
    assert_string_equal(r->steps[1].detail, "");
    clock_real();
    record_free(&r);
}

static void add_numbered_steps(struct record *r, unsigned from, unsigned to)
{
    char name[16];

    for (unsigned i = from; i < to; i++) {
        snprintf(name, sizeof name, "%u", i);
        record_step(r, STEP_LOCAL, name, "", "");
    }
}

/* However long the story: its first ten and its last hundred steps stand, and the gap tells its size. */
static void a_long_timeline_loses_its_middle_and_says_so(void **state)
{
    static const unsigned totals[] = {200, 201, 249, 250, 251, 252, 300, 500, 1000, 5000};

    (void)state;
    for (size_t t = 0; t < sizeof totals / sizeof *totals; t++) {
        struct record *r = record_new();
        unsigned total = totals[t], dropped;
        size_t tail;

        add_numbered_steps(r, 0, total);
        assert_true(r->step_count <= RECORD_STEPS);
        for (unsigned i = 0; i < 10; i++)
            assert_int_equal(strtoul(r->steps[i].name, NULL, 10), i);
        dropped = r->steps_dropped;
        assert_int_equal(dropped > 0, total > RECORD_STEPS);
        if (dropped > 0) {
            char says[64];

            snprintf(says, sizeof says, "%u steps left out here", dropped);
            assert_string_equal(r->steps[10].name, "steps dropped");
            assert_string_equal(r->steps[10].detail, says);
            assert_int_equal(r->step_count - 1 + dropped, total); /* none lost uncounted */
        }
        tail = r->step_count > 110 ? 100 : 0;
        assert_int_equal(tail, 100);
        for (size_t i = r->step_count - tail; i < r->step_count; i++)
            assert_int_equal(strtoul(r->steps[i].name, NULL, 10), total - r->step_count + i);
        record_free(&r);
    }
}

static void many_attempts_lose_their_middle_and_a_step_says_so(void **state)
{
    struct record *r = record_new();

    (void)state;
    for (unsigned round = 1; round <= RECORD_ATTEMPTS + 1; round++) {
        struct attempt *a = record_attempt(r);

        assert_int_equal(a->round, 0);
        assert_int_equal(a->started, 0);
        a->round = round;
        a->started = 99;
    }
    assert_int_equal(r->attempt_count, RECORD_ATTEMPTS - 16 + 1);
    assert_int_equal(r->attempts[9].round, 10);
    assert_int_equal(r->attempts[10].round, 27);
    assert_int_equal(r->attempts[r->attempt_count - 1].round, RECORD_ATTEMPTS + 1);
    assert_int_equal(r->step_count, 1);
    assert_string_equal(r->steps[0].detail, "16 attempts of rounds 11 to 26 left out");
    record_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_has_a_name_that_reads_back),
        cmocka_unit_test(only_the_last_four_states_are_final),
        cmocka_unit_test(stages_proofs_and_directions_read_back),
        cmocka_unit_test(no_proof_has_no_name),
        cmocka_unit_test(unknown_names_are_refused),
        cmocka_unit_test(a_new_record_has_no_missing_strings),
        cmocka_unit_test(a_copy_shares_nothing_with_its_original),
        cmocka_unit_test(folded_steps_are_back_in_every_copy),
        cmocka_unit_test(folded_attempts_can_be_changed_and_added_to),
        cmocka_unit_test(a_snapshot_has_every_text_and_outlives_its_original),
        cmocka_unit_test(a_long_story_is_cut_folded_or_not),
        cmocka_unit_test(a_text_may_be_replaced_and_taken_away),
        cmocka_unit_test(a_step_is_stamped_and_made_showable),
        cmocka_unit_test(a_long_timeline_loses_its_middle_and_says_so),
        cmocka_unit_test(many_attempts_lose_their_middle_and_a_step_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
