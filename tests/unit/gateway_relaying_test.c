#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/relaying.h"
#include "gateway/requesters.h"
#include "tests/fake/pairing.h"

#define OWN   "relay.example.org"
#define ROMEO "romeo@example.org/orchard"
#define ANA   "ana@elsewhere.example/desk"
#define NAME  "972b7bf47291ca609517f67f86b5081086052dad"
#define OTHER "e963b5f3e47ca5ec2ac4f7bc9b9a3eb3da2b4a93"
#define GIB   (UINT64_C(1) << 30)

static char *allowed[] = {(char[]){"*@example.org"}, (char[]){"!mallory@*"}, NULL};

struct fixture {
    struct fake_pairing pairing;
    struct carrier carrier;
    struct relaying_limits limits;
    struct relay *relay;
    unsigned answers;
    struct error error; /* of the last */
};

static bool silent;

static bool advertised(struct carrier *c, struct carrier_address *out)
{
    (void)c;
    *out = (struct carrier_address){.host = "gw.example.org", .port = 5086};
    return !silent;
}

static int set_up(void **state)
{
    static const struct carrier_ops ops = {.advertised = advertised};
    struct fixture *f = calloc(1, sizeof *f);

    log_setup(LOG_ERROR, LOG_TEXT);
    clock_fake(1000, 1000);
    silent = false;
    f->carrier.ops = &ops;
    fake_pairing_init(&f->pairing);
    f->limits = (struct relaying_limits){
        .allow = allowed, .max_streams = 8, .max_streams_per_requester = 5, .hourly_bytes = 2 * GIB, .rate = 4096};
    f->relay = relaying_create(&f->carrier, &f->pairing.pairing, OWN, &f->limits, NULL);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    relaying_destroy(&f->relay);
    clock_real();
    free(f);
    return 0;
}

static struct jid jid(const char *text)
{
    struct jid j;

    assert_true(jid_parse(&j, text, strlen(text), NULL));
    return j;
}

static enum error_code asks(struct fixture *f, const char *who)
{
    struct jid from = jid(who);
    struct carrier_address at = {0};
    struct error err = {0};

    if (!f->relay->ops->address(f->relay, &from, &at, &err))
        return err.code;
    assert_string_equal(at.host, "gw.example.org");
    assert_int_equal(at.port, 5086);
    return ERR_NONE;
}

static void on_activated(void *user, const struct error *err)
{
    struct fixture *f = user;

    f->answers++;
    f->error = err ? *err : (struct error){0};
}

static void activates(struct fixture *f, const char *who, const char *name)
{
    struct jid from = jid(who), to = jid(ANA);

    f->answers = 0;
    f->relay->ops->activate(f->relay, &from, &to, &name, 1, on_activated, f);
}

/* Returns the id of the pair, which is joined. */
static uint64_t joined(struct fixture *f, const char *who, const char *name)
{
    activates(f, who, name);
    assert_int_equal(f->answers, 0);
    fake_pairing_joins(&f->pairing, f->pairing.last);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->error.code, ERR_NONE);
    return f->pairing.last;
}

static void is_refused(struct fixture *f, enum error_code why)
{
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->error.code, why);
}

/* Row 63, and the same for activations: who has the address from elsewhere need not ask for it. */
static void who_may_use_it_is_asked_of_both_stanzas(void **state)
{
    static const struct {
        const char *says, *who;
        enum error_code answer;
    } rows[] = {
        {"one that fits", ROMEO, ERR_NONE},
        {"an address of our own", "reports@" OWN "/gw1", ERR_NONE},
        {"a stranger", ANA, ERR_PROXY_REFUSED},
        {"a banned one", "mallory@example.org/x", ERR_PROXY_REFUSED},
        {"a banned one of our own", "mallory@" OWN, ERR_PROXY_REFUSED},
        {"a server, which no person is", "example.org", ERR_PROXY_REFUSED},
        {"a resource that looks like one who may", "x@elsewhere.example/romeo@example.org", ERR_PROXY_REFUSED},
        {"a domain that ends like one who may", "romeo@notexample.org", ERR_PROXY_REFUSED},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned joins = f->pairing.joins;

        if (asks(f, rows[i].who) != rows[i].answer)
            fail_msg("address: %s", rows[i].says);
        activates(f, rows[i].who, NAME);
        if ((f->pairing.joins > joins) != (rows[i].answer == ERR_NONE))
            fail_msg("activation: %s", rows[i].says);
        if (rows[i].answer == ERR_NONE)
            fake_pairing_refuses(&f->pairing, f->pairing.last, ERR_PROXY_HASH_MISMATCH, 0);
        else
            is_refused(f, rows[i].answer);
    }
    assert_int_equal(f->pairing.dismissed, 0);
}

static void it_may_be_out_of_service(void **state)
{
    struct fixture *f = *state;

    silent = true;
    assert_int_equal(asks(f, ROMEO), ERR_PROXY_UNAVAILABLE);
    silent = false;
    relaying_drain(f->relay);
    assert_int_equal(asks(f, ROMEO), ERR_DRAINING);
    activates(f, ROMEO, NAME);
    is_refused(f, ERR_DRAINING);
    assert_int_equal(asks(f, ANA), ERR_PROXY_REFUSED); /* which a stranger is not told */
}

/* Row 64 and row 119. */
static void ten_thousand_queries_keep_nobody_out(void **state)
{
    struct fixture *f = *state;
    unsigned answered = 0;

    for (int i = 0; i < 10000; i++) {
        answered += asks(f, ROMEO) == ERR_NONE;
        if (i % 500 == 0)
            assert_int_equal(asks(f, "ben@example.org/x"), ERR_NONE);
        assert_int_equal(asks(f, "reports@" OWN), ERR_NONE);
    }
    assert_int_equal(answered, REQUESTER_BURST);
    activates(f, ROMEO, NAME);
    is_refused(f, ERR_RATE_LIMITED);
}

static void an_activation_is_answered_when_they_are_joined(void **state)
{
    struct fixture *f = *state;

    joined(f, ROMEO, NAME);
    assert_int_equal(f->pairing.count, 1);
    assert_string_equal(f->pairing.names[0], NAME);
    assert_int_equal(f->pairing.rate, 4096);
}

/* Rows 69 and 70. */
static void what_the_pairing_refuses_is_refused(void **state)
{
    static const enum error_code codes[] = {ERR_PROXY_HASH_MISMATCH, ERR_PROXY_PAIR_INCOMPLETE, ERR_PROXY_BUSY,
                                            ERR_SYSTEM};
    struct fixture *f = *state;
    struct relay_counts counts;

    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        activates(f, ROMEO, NAME);
        fake_pairing_refuses(&f->pairing, f->pairing.last, codes[i], 0);
        is_refused(f, codes[i]);
    }
    f->pairing.fails = true;
    activates(f, ROMEO, NAME);
    is_refused(f, ERR_SYSTEM);
    relaying_counts(f->relay, &counts);
    assert_int_equal(counts.streams, 0);
}

/* Row 72: also while the first is under way, and when all its requester's streams are taken. */
static void an_activation_may_be_asked_for_twice(void **state)
{
    struct fixture *f = *state;
    uint64_t id;

    activates(f, ROMEO, NAME);
    activates(f, ROMEO, NAME);
    assert_int_equal(f->pairing.joins, 1);
    id = f->pairing.last;
    fake_pairing_joins(&f->pairing, id);
    assert_int_equal(f->answers, 2);
    for (int i = 0; i < 4; i++) {
        char name[48];

        snprintf(name, sizeof name, "%040x", (unsigned)i);
        joined(f, ROMEO, name);
    }
    activates(f, ROMEO, NAME);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->error.code, ERR_NONE);
    assert_int_equal(f->pairing.joins, 5);
    assert_int_equal(f->pairing.dismissed, 0);
}

/* The pairing knows of names what we do not: that they are those of one stream. */
static void a_name_that_is_taken_is_good_for_whoever_has_it(void **state)
{
    struct fixture *f = *state;
    uint64_t id = joined(f, ROMEO, NAME);

    activates(f, ROMEO, OTHER);
    fake_pairing_refuses(&f->pairing, f->pairing.last, ERR_PROXY_ALREADY_ACTIVE, id);
    is_refused(f, ERR_NONE);
}

/* Row 74. The name binds the requester; should two ever have the same, one is no better off for it. */
static void nobody_activates_the_stream_of_another(void **state)
{
    struct fixture *f = *state;
    uint64_t id = joined(f, ROMEO, NAME);

    activates(f, "eve@example.org/x", NAME);
    assert_int_equal(f->pairing.joins, 2);
    fake_pairing_refuses(&f->pairing, f->pairing.last, ERR_PROXY_ALREADY_ACTIVE, id);
    is_refused(f, ERR_PROXY_HASH_MISMATCH);
    activates(f, "romeo@example.org/balcony", NAME); /* another device is another requester */
    fake_pairing_refuses(&f->pairing, f->pairing.last, ERR_PROXY_ALREADY_ACTIVE, id);
    is_refused(f, ERR_PROXY_HASH_MISMATCH);
    assert_int_equal(f->pairing.cancelled, 0);
}

/* Row 78. */
static void a_requester_has_five_streams_and_the_sixth_is_closed(void **state)
{
    struct fixture *f = *state;
    char name[48];

    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "%040x", (unsigned)i);
        joined(f, ROMEO, name);
    }
    activates(f, ROMEO, NAME);
    is_refused(f, ERR_PROXY_BUSY);
    assert_int_equal(f->pairing.dismissed, 1);
    fake_pairing_ends(&f->pairing, 1, 10, 20, ERR_NONE);
    joined(f, ROMEO, NAME);
}

static void all_together_have_so_many(void **state)
{
    struct fixture *f = *state;
    struct relaying_limits more;
    char name[48], who[48];

    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "%040x", (unsigned)i);
        snprintf(who, sizeof who, "u%d@example.org/x", i);
        joined(f, who, name);
    }
    activates(f, ROMEO, NAME);
    is_refused(f, ERR_PROXY_BUSY);
    assert_int_equal(asks(f, ROMEO), ERR_PROXY_BUSY);
    assert_true(relaying_limits_copy(&more, &f->limits));
    more.max_streams = 9;
    relaying_limit(f->relay, &more);
    joined(f, ROMEO, NAME);
}

static void a_stream_is_cut_when_the_hours_bytes_are_used_up(void **state)
{
    struct fixture *f = *state;
    uint64_t id = joined(f, ROMEO, NAME);
    struct relay_view view;

    fake_pairing_moves(&f->pairing, id, GIB, GIB / 2);
    assert_int_equal(f->pairing.cancelled, 0);
    fake_pairing_moves(&f->pairing, id, 2 * GIB, GIB / 2);
    assert_int_equal(f->pairing.cancelled, id);
    fake_pairing_ends(&f->pairing, id, 2 * GIB, GIB / 2, ERR_CANCELLED);
    activates(f, ROMEO, OTHER);
    is_refused(f, ERR_PROXY_BUSY);
    assert_true(relaying_view(f->relay, &view));
    assert_int_equal(view.bytes, 2 * GIB + GIB / 2);
    assert_int_equal(view.streams, 1);
    assert_int_equal(view.refused[ERR_PROXY_BUSY], 1);
    relay_view_free(&view);
    clock_advance(REQUESTER_HOUR_MS);
    joined(f, ROMEO, OTHER);
}

static void what_runs_can_be_looked_at(void **state)
{
    struct fixture *f = *state;
    uint64_t id = joined(f, ROMEO, NAME);
    struct relay_view view;

    activates(f, ROMEO, OTHER); /* not there yet */
    f->pairing.waiting = 3;
    fake_pairing_moves(&f->pairing, id, 7, 8);
    assert_true(relaying_view(f->relay, &view));
    assert_int_equal(view.count, 1);
    assert_int_equal(view.sessions[0].id, id);
    assert_string_equal(view.sessions[0].requester, ROMEO);
    assert_string_equal(view.sessions[0].target, ANA);
    assert_int_equal(view.sessions[0].forth, 7);
    assert_int_equal(view.sessions[0].back, 8);
    assert_int_equal(view.sessions[0].since, 1000);
    assert_int_equal(view.parked, 3);
    relay_view_free(&view);
}

static void what_runs_may_end_while_draining(void **state)
{
    struct fixture *f = *state;
    uint64_t id = joined(f, ROMEO, NAME);
    struct relay_counts counts;

    relaying_drain(f->relay);
    fake_pairing_moves(&f->pairing, id, 7, 8);
    assert_int_equal(f->pairing.cancelled, 0);
    fake_pairing_ends(&f->pairing, id, 9, 8, ERR_NONE);
    relaying_counts(f->relay, &counts);
    assert_int_equal(counts.streams, 0);
}

static void whoever_waits_at_the_end_is_answered(void **state)
{
    struct fixture *f = *state;

    activates(f, ROMEO, NAME);
    relaying_destroy(&f->relay);
    is_refused(f, ERR_DRAINING);
    fake_pairing_joins(&f->pairing, f->pairing.last); /* nobody listens any more */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_may_use_it_is_asked_of_both_stanzas, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_may_be_out_of_service, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ten_thousand_queries_keep_nobody_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_activation_is_answered_when_they_are_joined, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_the_pairing_refuses_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_activation_may_be_asked_for_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_that_is_taken_is_good_for_whoever_has_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_activates_the_stream_of_another, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_requester_has_five_streams_and_the_sixth_is_closed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_together_have_so_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stream_is_cut_when_the_hours_bytes_are_used_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_runs_can_be_looked_at, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_runs_may_end_while_draining, set_up, tear_down),
        cmocka_unit_test_setup_teardown(whoever_waits_at_the_end_is_answered, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
