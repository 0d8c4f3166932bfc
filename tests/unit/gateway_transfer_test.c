#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "gateway/links.h"
#include "gateway/transfer.h"
#include "tests/fake/network.h"

/* One transfer on the test's own loop, with a fake network, and the owner's part played by hand: started as soon as
 * it is ready, unless hold is set. */
struct fixture {
    uv_loop_t loop;
    struct config config;
    char *methods[4];
    struct fake_network network;
    struct carrier carrier;
    struct spool *spool;
    char dir[64];
    struct transfer_env env;
    uv_timer_t guard; /* see run_timers() */
    struct transfer *t;
    struct spool_file *part; /* of an upload that is still coming in */
    struct feed *feed;
    bool hold;
    bool woken;
    unsigned waits, idles, rows;
    int64_t online_since;
};

static void wake(void *user, struct transfer *t)
{
    (void)t;
    ((struct fixture *)user)->woken = true;
}

static void changed(void *user, struct transfer *t, enum saving save)
{
    (void)t;
    ((struct fixture *)user)->rows += save != SAVE_NEVER;
}

static int64_t online_since(void *user)
{
    return ((struct fixture *)user)->online_since;
}

static void waiting(void *user, struct transfer *t)
{
    struct fixture *f = user;

    f->waits++;
    f->t = t;
    if (!f->hold)
        transfer_start(t);
}

static void idle(void *user, struct transfer *t)
{
    (void)t;
    ((struct fixture *)user)->idles++;
}

static void turn(struct fixture *f)
{
    while (f->woken) {
        f->woken = false;
        transfer_run(f->t);
    }
}

static void put_payload(struct fixture *f, const char *id)
{
    struct error error;
    struct spool_file *file = spool_create(f->spool, id, 5, &error);

    assert_non_null(file);
    assert_true(spool_append(file, "hello", 5, &error));
    assert_true(spool_seal(file, false, &error));
    spool_release(&file);
}

static struct record *new_record(const char *to, const char *methods)
{
    struct record *r = record_new();

    assert_non_null(r);
    id_make(r->id, "tr", clock_wall_ms());
    r->state = TRANSFER_QUEUED;
    assert_true(record_text(&r->to, to) && record_text(&r->name, "a.txt") && record_text(&r->type, "text/plain") &&
                record_text(&r->methods, methods));
    r->size = r->received = 5;
    r->max_rounds = 3;
    r->created = r->updated = clock_wall_ms();
    r->expires = r->created + 3600 * 1000;
    return r;
}

static void begin(struct fixture *f, struct record *r)
{
    put_payload(f, r->id);
    f->t = transfer_create(&f->env, r, NULL, f);
    assert_non_null(f->t);
    transfer_queue(f->t);
    turn(f);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const struct spool_limits limits = {.max_bytes = 1 << 20, .max_file = 1 << 20};
    struct error error;

    clock_fake(1000, 1700000000000);
    uv_loop_init(&f->loop);
    uv_timer_init(&f->loop, &f->guard);
    f->methods[0] = (char *)"one";
    f->methods[1] = (char *)"two";
    f->config.delivery.methods = f->methods;
    f->config.delivery.offer_timeout = 300 * 1000;
    f->config.delivery.connect_timeout = 60 * 1000;
    f->config.delivery.backoff = 1;
    fake_network_init(&f->network);
    snprintf(f->dir, sizeof f->dir, "/tmp/jidpost-transfer-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->spool = spool_open(f->dir, &limits, &error);
    assert_non_null(f->spool);
    f->env = (struct transfer_env){.loop = &f->loop,
                                   .network = &f->network.network,
                                   .carrier = &f->carrier,
                                   .spool = f->spool,
                                   .config = &f->config,
                                   .wake = wake,
                                   .changed = changed,
                                   .online_since = online_since,
                                   .waiting = waiting,
                                   .idle = idle,
                                   .user = f};
    *state = f;
    return 0;
}

static bool keep_none(void *user, const char *id)
{
    (void)user;
    (void)id;
    return false;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    transfer_destroy(&f->t);
    spool_abandon(&f->part);
    feed_release(&f->feed);
    uv_close((uv_handle_t *)&f->guard, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    assert_null(f->network.method);
    spool_sweep(f->spool, keep_none, NULL);
    spool_close(&f->spool);
    rmdir(f->dir);
    clock_real();
    free(f);
    return 0;
}

static const struct record *record(struct fixture *f)
{
    return transfer_record(f->t);
}

static void report(struct fixture *f, enum method_event event, enum error_code code)
{
    fake_method_report(&f->network, event, code);
    turn(f);
}

static void found(struct fixture *f, const char *first, const char *second)
{
    fake_network_found(&f->network, "ana@example.org/desk", first, second);
    turn(f);
}

static void presence(struct fixture *f, const char *who, bool available)
{
    struct jid jid;

    assert_true(jid_parse(&jid, who, strlen(who), NULL));
    transfer_presence(f->t, &jid, available);
    turn(f);
}

static void came(struct fixture *f, const char *who)
{
    presence(f, who, true);
}

static void went(struct fixture *f, const char *who)
{
    presence(f, who, false);
}

static void on_guard(uv_timer_t *timer)
{
    (void)timer;
}

/* Lets the loop run until a timer did something, then what it caused. UV_RUN_ONCE runs those that are due already, and
 * then still waits for the next, which may be an hour away: the guard is nearer. */
static void run_timers(struct fixture *f)
{
    unsigned waits = f->waits;

    uv_timer_start(&f->guard, on_guard, 1000, 0);
    while (!f->woken && f->waits == waits)
        uv_run(&f->loop, UV_RUN_ONCE);
    uv_timer_stop(&f->guard);
    turn(f);
}

/* Nobody is asked a second time what he left unanswered, or does not know. */
static void an_offer_is_not_made_again_in_its_own_kind(void **state)
{
    static const struct {
        enum error_code code;
        bool again;
    } rows[] = {
        {ERR_RECIPIENT_TIMEOUT, false},      {ERR_METHOD_UNSUPPORTED, false}, {ERR_PROFILE_UNSUPPORTED, false},
        {ERR_OFFER_REJECTED, false},         {ERR_NO_COMMON_METHOD, true},    {ERR_TRANSPORT_FAILED, true},
        {ERR_STREAMHOSTS_UNREACHABLE, true},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture *f = *state;

        begin(f, new_record("ana@example.org", "one,kin"));
        found(f, "one", "kin");
        report(f, METHOD_FAILED, rows[i].code);
        if ((record(f)->state == TRANSFER_OFFERING) != rows[i].again)
            fail_msg("%s: %s", error_name(rows[i].code), fake_last_call(&f->network));
        transfer_destroy(&f->t);
    }
}

static void who_said_yes_may_be_asked_again(void **state)
{
    struct fixture *f = *state;

    begin(f, new_record("ana@example.org", "one,kin"));
    found(f, "one", "kin");
    report(f, METHOD_ACCEPTED, ERR_NONE);
    report(f, METHOD_FAILED, ERR_RECIPIENT_TIMEOUT);
    assert_string_equal(fake_last_call(&f->network), "offer kin ana@example.org/desk");
}

/* A session that goes on by another method has climbed that rung: two attempts, and no third. */
static void a_method_that_switches_is_two_attempts(void **state)
{
    struct fixture *f = *state;

    begin(f, new_record("ana@example.org", NULL));
    found(f, "one", "two");
    assert_true(f->network.offered.may_switch);
    report(f, METHOD_ACCEPTED, ERR_NONE);
    report(f, METHOD_SWITCHED, ERR_TRANSPORT_FAILED);
    assert_int_equal(record(f)->state, TRANSFER_CONNECTING);
    assert_string_equal(record(f)->method, "two");
    assert_string_equal(fake_last_call(&f->network), "offer one ana@example.org/desk"); /* the same at work */
    assert_int_equal(record(f)->attempt_count, 2);
    assert_string_equal(record(f)->attempts[0].method, "one");
    assert_int_equal(record(f)->attempts[0].error.code, ERR_TRANSPORT_FAILED);
    assert_int_equal(record(f)->attempts[0].stage, STAGE_CONNECT);
    assert_string_equal(record(f)->attempts[1].method, "two");
    assert_string_equal(record(f)->attempts[1].to, "ana@example.org/desk");
    report(f, METHOD_FAILED, ERR_IBB_REFUSED);
    assert_int_equal(record(f)->state, TRANSFER_FAILED);
    assert_int_equal(record(f)->attempt_count, 2);
    assert_int_equal(record(f)->error_code, ERR_TRANSPORT_FAILED);
}

static void a_method_may_switch_only_to_a_rung_below_it(void **state)
{
    struct fixture *f = *state;

    begin(f, new_record("ana@example.org", "one"));
    found(f, "one", "two");
    assert_false(f->network.offered.may_switch);
    transfer_destroy(&f->t);
    begin(f, new_record("ana@example.org", "two,one"));
    found(f, "one", "two");
    assert_false(f->network.offered.may_switch);
    report(f, METHOD_FAILED, ERR_TRANSPORT_FAILED);
    assert_string_equal(fake_last_call(&f->network), "offer one ana@example.org/desk");
    assert_false(f->network.offered.may_switch);
}

static void a_digest_that_the_method_wants_is_computed_beside_the_stream(void **state)
{
    struct fixture *f = *state;

    begin(f, new_record("ana@example.org", "two"));
    found(f, "one", "two");
    report(f, METHOD_ACCEPTED, ERR_NONE);
    report(f, METHOD_STREAM_OPEN, ERR_NONE);
    assert_string_equal(fake_last_call(&f->network), "stream two");
    while (strcmp(fake_last_call(&f->network), "digest 2cf24dba") != 0) /* of "hello" */
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_string_equal(record(f)->sha256, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
}

static void no_digest_is_computed_where_none_is_wanted(void **state)
{
    struct fixture *f = *state;

    f->config.delivery.digest = DIGEST_NEVER;
    begin(f, new_record("ana@example.org", "two"));
    found(f, "one", "two");
    assert_true(f->network.offered.no_digest);
    report(f, METHOD_ACCEPTED, ERR_NONE);
    report(f, METHOD_STREAM_OPEN, ERR_NONE);
    assert_string_equal(fake_last_call(&f->network), "digest none");
    assert_null(record(f)->sha256);
}

static void a_digest_that_is_known_is_not_computed_again(void **state)
{
    struct fixture *f = *state;
    struct record *r = new_record("ana@example.org", "two");

    record_text(&r->sha256, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    begin(f, r);
    found(f, "one", "two");
    assert_string_equal(f->network.offered.sha256, record(f)->sha256);
    report(f, METHOD_ACCEPTED, ERR_NONE);
    report(f, METHOD_STREAM_OPEN, ERR_NONE);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_string_equal(fake_last_call(&f->network), "stream two");
}

static void a_transfer_goes_through_its_states_to_delivered(void **state)
{
    struct fixture *f = *state;

    begin(f, new_record("ana@example.org", NULL));
    assert_int_equal(record(f)->state, TRANSFER_OFFERING);
    found(f, "one", "two");
    assert_string_equal(fake_last_call(&f->network), "offer one ana@example.org/desk");
    report(f, METHOD_ACCEPTED, ERR_NONE);
    assert_int_equal(record(f)->state, TRANSFER_CONNECTING);
    report(f, METHOD_STREAM_OPEN, ERR_NONE);
    assert_int_equal(record(f)->state, TRANSFER_TRANSFERRING);
    assert_string_equal(fake_last_call(&f->network), "stream one");
    report(f, METHOD_PROGRESS, ERR_NONE);
    report(f, METHOD_COMPLETE, ERR_NONE);
    assert_int_equal(record(f)->state, TRANSFER_DELIVERED);
    assert_int_equal(record(f)->proof, PROOF_PEER_CLOSED);
    assert_int_equal(record(f)->sent, 5);
    assert_string_equal(fake_last_call(&f->network), "end one ok");
    assert_int_equal(record(f)->attempt_count, 1);
    assert_int_equal(record(f)->attempts[0].error.code, ERR_NONE);
    assert_string_equal(record(f)->resource, "desk");
    assert_string_equal(f->network.succeeded, "ana@example.org/desk");
    assert_int_equal(f->idles, 1);
}

static size_t said(const struct fixture *f)
{
    size_t n = 0;

    for (size_t i = 0; i < f->network.call_count; i++)
        n += strcmp(f->network.calls[i], "say ana@example.org/desk for you") == 0;
    return n;
}

static void a_caption_is_told_as_configured(void **state)
{
    static const struct {
        enum caption_mode mode;
        bool offered;
        size_t said;
    } rows[] = {{CAPTION_BOTH, true, 1}, {CAPTION_OFFER, true, 0}, {CAPTION_MESSAGE, false, 1}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture *f = *state;
        struct record *r = new_record("ana@example.org", "one");

        record_text(&r->caption, "for you");
        f->config.delivery.caption = rows[i].mode;
        begin(f, r);
        found(f, "one", NULL);
        assert_int_equal(f->network.offered.caption != NULL, rows[i].offered);
        report(f, METHOD_ACCEPTED, ERR_NONE);
        report(f, METHOD_STREAM_OPEN, ERR_NONE);
        assert_int_equal(said(f), 0); /* not before the file is there */
        report(f, METHOD_COMPLETE, ERR_NONE);
        assert_int_equal(record(f)->state, TRANSFER_DELIVERED);
        assert_int_equal(said(f), rows[i].said);
        teardown(state);
        setup(state);
    }
}

static void a_caption_comes_once_however_often_the_file_is_tried(void **state)
{
    struct fixture *f = *state;
    struct record *r = new_record("ana@example.org", "one,two");

    record_text(&r->caption, "for you");
    begin(f, r);
    found(f, "one", "two");
    report(f, METHOD_ACCEPTED, ERR_NONE);
    report(f, METHOD_FAILED, ERR_STREAMHOSTS_UNREACHABLE);
    report(f, METHOD_ACCEPTED, ERR_NONE);
    report(f, METHOD_STREAM_OPEN, ERR_NONE);
    report(f, METHOD_COMPLETE, ERR_NONE);
    assert_int_equal(record(f)->state, TRANSFER_DELIVERED);
    assert_int_equal(said(f), 1);
}

static void a_caption_that_cannot_be_sent_takes_nothing_from_the_delivery(void **state)
{
    struct fixture *f = *state;
    struct record *r = new_record("ana@example.org", "one");

    record_text(&r->caption, "for you");
    f->network.mute = true;
    begin(f, r);
    found(f, "one", NULL);
    report(f, METHOD_ACCEPTED, ERR_NONE);
    report(f, METHOD_STREAM_OPEN, ERR_NONE);
    report(f, METHOD_COMPLETE, ERR_NONE);
    assert_int_equal(record(f)->state, TRANSFER_DELIVERED);
}

/* What a failure of the first method leads to, with a second one in common. */
static void a_failure_leads_where_its_kind_says(void **state)
{
    static const struct {
        enum error_code code;
        enum transfer_state want;
        const char *call;
    } rows[] = {
        {ERR_STREAMHOSTS_UNREACHABLE, TRANSFER_OFFERING, "offer two ana@example.org/desk"},
        {ERR_METHOD_UNSUPPORTED, TRANSFER_OFFERING, "offer two ana@example.org/desk"},
        {ERR_RECIPIENT_TIMEOUT, TRANSFER_OFFERING, "offer two ana@example.org/desk"},
        {ERR_RECIPIENT_BUSY, TRANSFER_OFFERING, "offer two ana@example.org/desk"},
        {ERR_RECIPIENT_DECLINED, TRANSFER_FAILED, "end one recipient_declined"},
        {ERR_RECIPIENT_FORBIDS, TRANSFER_FAILED, "end one recipient_forbids"},
        {ERR_SECURITY_REFUSED, TRANSFER_FAILED, "end one security_refused"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture *f;

        if (i > 0)
            setup(state);
        f = *state;
        begin(f, new_record("ana@example.org", NULL));
        found(f, "one", "two");
        report(f, METHOD_FAILED, rows[i].code);
        if (record(f)->state != rows[i].want || strcmp(fake_last_call(&f->network), rows[i].call) != 0)
            fail_msg("%s: state %s, last call %s", error_name(rows[i].code), transfer_state_name(record(f)->state),
                     fake_last_call(&f->network));
        assert_int_equal(record(f)->attempts[0].error.code, rows[i].code);
        assert_int_equal(record(f)->attempts[0].stage, STAGE_OFFER);
        if (i + 1 < sizeof rows / sizeof *rows)
            teardown(state);
    }
}

static void the_first_telling_reason_is_the_one_reported(void **state)
{
    struct fixture *f = *state;

    begin(f, new_record("ana@example.org", NULL));
    found(f, "one", "two");
    report(f, METHOD_FAILED, ERR_METHOD_UNSUPPORTED);
    report(f, METHOD_FAILED, ERR_STREAMHOSTS_UNREACHABLE);
    assert_int_equal(record(f)->state, TRANSFER_FAILED);
    assert_int_equal(record(f)->error_code, ERR_STREAMHOSTS_UNREACHABLE);
    assert_int_equal(record(f)->error_stage, STAGE_OFFER);
    assert_int_equal(record(f)->attempt_count, 2);
}

static void a_refused_beginning_is_a_failure_like_any_other(void **state)
{
    struct fixture *f = *state;

    f->network.refuse_offers = true;
    begin(f, new_record("ana@example.org", NULL));
    found(f, "one", "two");
    assert_int_equal(record(f)->state, TRANSFER_FAILED);
    assert_int_equal(record(f)->attempt_count, 2);
    assert_int_equal(record(f)->error_code, ERR_METHOD_UNSUPPORTED);
}

static void nobody_there_is_final_and_says_so(void **state)
{
    struct fixture *f = *state;

    begin(f, new_record("ana@example.org", NULL));
    fake_network_not_found(&f->network, ERR_RECIPIENT_OFFLINE);
    turn(f);
    assert_int_equal(record(f)->state, TRANSFER_FAILED);
    assert_int_equal(record(f)->error_code, ERR_RECIPIENT_OFFLINE);
    assert_int_equal(record(f)->error_stage, STAGE_RESOLVE);
}

static void nothing_in_common_is_said_so(void **state)
{
    struct fixture *f = *state;

    begin(f, new_record("ana@example.org", NULL));
    found(f, NULL, NULL);
    assert_int_equal(record(f)->state, TRANSFER_FAILED);
    assert_int_equal(record(f)->error_code, ERR_NO_COMMON_METHOD);
}

static void the_caller_may_narrow_the_ladder(void **state)
{
    struct fixture *f = *state;

    begin(f, new_record("ana@example.org", "two"));
    found(f, "one", "two");
    assert_string_equal(fake_last_call(&f->network), "offer two ana@example.org/desk");
    assert_true(f->network.offered.only_method);
}

static void a_passing_failure_is_tried_again_a_bounded_number_of_times(void **state)
{
    struct fixture *f = *state;

    begin(f, new_record("ana@example.org", "one"));
    for (unsigned round = 1; round <= 3; round++) {
        found(f, "one", NULL);
        report(f, METHOD_ACCEPTED, ERR_NONE);
        report(f, METHOD_STREAM_OPEN, ERR_NONE);
        report(f, METHOD_PROGRESS, ERR_NONE);
        report(f, METHOD_FAILED, ERR_STREAM_BROKEN);
        assert_int_equal(record(f)->round, round);
        if (round == 3)
            break;
        assert_int_equal(record(f)->state, TRANSFER_QUEUED);
        assert_true(record(f)->next_attempt_at > clock_wall_ms());
        clock_advance(record(f)->next_attempt_at - clock_wall_ms());
        run_timers(f);
        assert_int_equal(record(f)->state, TRANSFER_OFFERING);
    }
    assert_int_equal(record(f)->state, TRANSFER_FAILED);
    assert_int_equal(record(f)->error_code, ERR_STREAM_BROKEN);
    assert_int_equal(record(f)->error_stage, STAGE_TRANSFER);
    assert_int_equal(record(f)->attempt_count, 3);
    assert_int_equal(f->idles, 3);
}

static void after_the_first_byte_no_other_method_is_tried(void **state)
{
    struct fixture *f = *state;

    begin(f, new_record("ana@example.org", NULL));
    found(f, "one", "two");
    report(f, METHOD_ACCEPTED, ERR_NONE);
    report(f, METHOD_STREAM_OPEN, ERR_NONE);
    report(f, METHOD_PROGRESS, ERR_NONE);
    report(f, METHOD_FAILED, ERR_STREAM_BROKEN);
    assert_int_equal(record(f)->state, TRANSFER_QUEUED);
    assert_string_equal(fake_last_call(&f->network), "end one stream_broken");
}

static void a_stream_that_broke_before_its_first_byte_leaves_the_next_method_whole(void **state)
{
    struct fixture *f = *state;

    begin(f, new_record("ana@example.org", NULL));
    found(f, "one", "two");
    report(f, METHOD_ACCEPTED, ERR_NONE);
    report(f, METHOD_STREAM_OPEN, ERR_NONE);
    report(f, METHOD_FAILED, ERR_STREAM_BROKEN);
    assert_int_equal(record(f)->attempts[0].stage, STAGE_TRANSFER);
    assert_string_equal(fake_last_call(&f->network), "offer two ana@example.org/desk");
    assert_int_equal(record(f)->state, TRANSFER_OFFERING);
    report(f, METHOD_ACCEPTED, ERR_NONE);
    report(f, METHOD_STREAM_OPEN, ERR_NONE);
    report(f, METHOD_COMPLETE, ERR_NONE);
    assert_int_equal(record(f)->state, TRANSFER_DELIVERED);
}

/* The gateway is often back before the people who lost the same server. */
static void after_a_reconnect_recipients_have_time_to_return(void **state)
{
    static const struct {
        const char *says;
        int64_t online_ago;
        bool queued_before;
        enum transfer_state want;
    } rows[] = {
        {"queued while offline, just reconnected", 0, true, TRANSFER_QUEUED},
        {"queued while offline, a minute ago", 60 * 1000, true, TRANSFER_FAILED},
        {"sent after the reconnect", 1000, false, TRANSFER_FAILED},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture *f;
        struct record *r;

        if (i > 0)
            setup(state);
        f = *state;
        r = new_record("ana@example.org", NULL);
        begin(f, r);
        f->online_since = clock_ms() + (rows[i].queued_before ? 1 : -1);
        clock_advance(rows[i].online_ago + 1);
        fake_network_not_found(&f->network, ERR_RECIPIENT_OFFLINE);
        turn(f);
        if (record(f)->state != rows[i].want)
            fail_msg("%s: %s", rows[i].says, transfer_state_name(record(f)->state));
        if (rows[i].want == TRANSFER_QUEUED) {
            assert_int_equal(record(f)->round, 0);
            came(f, "ana@example.org/desk");
            assert_int_equal(record(f)->state, TRANSFER_OFFERING);
        }
        if (i + 1 < sizeof rows / sizeof *rows)
            teardown(state);
    }
}

enum { HOUR_MS = 3600 * 1000, DAY_MS = 24 * HOUR_MS };

static void fails_once(struct fixture *f)
{
    found(f, "one", NULL);
    report(f, METHOD_ACCEPTED, ERR_NONE);
    report(f, METHOD_STREAM_OPEN, ERR_NONE);
    report(f, METHOD_PROGRESS, ERR_NONE);
    report(f, METHOD_FAILED, ERR_STREAM_BROKEN);
    assert_int_equal(record(f)->state, TRANSFER_QUEUED);
}

/* The wall clock alone is set. */
static void set_wall_clock(struct fixture *f, int64_t by)
{
    clock_fake(clock_ms(), clock_wall_ms() + by);
    transfer_clock_moved(f->t);
    turn(f);
}

static void a_pause_is_as_long_whatever_the_wall_clock_does(void **state)
{
    static const int64_t jumps[] = {-DAY_MS, -HOUR_MS, HOUR_MS, DAY_MS};

    for (size_t i = 0; i < sizeof jumps / sizeof *jumps; i++) {
        struct fixture *f;
        struct record *r;
        int64_t pause;

        if (i > 0)
            setup(state);
        f = *state;
        r = new_record("ana@example.org", "one");
        r->expires += 2 * DAY_MS;
        begin(f, r);
        fails_once(f);
        pause = record(f)->next_attempt_at - clock_wall_ms();
        set_wall_clock(f, jumps[i]);
        assert_int_equal(record(f)->next_attempt_at - clock_wall_ms(), pause);
        assert_int_equal(record(f)->state, TRANSFER_QUEUED);
        clock_advance(pause);
        run_timers(f);
        assert_int_equal(record(f)->state, TRANSFER_OFFERING);
        if (i + 1 < sizeof jumps / sizeof *jumps)
            teardown(state);
    }
}

static void a_pause_goes_on_after_a_restart(void **state)
{
    static const struct {
        const char *says;
        int64_t written_ago, pause, want; /* want: how long it still is, 0: it is over */
    } rows[] = {
        {"half of it is over", 5000, 10000, 5000},
        {"it ended meanwhile", 20000, 10000, 0},
        {"the clock was set back by a day", -DAY_MS, 10000, 10000},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture *f;
        struct record *r;

        if (i > 0)
            setup(state);
        f = *state;
        r = new_record("ana@example.org", "one");
        r->updated = clock_wall_ms() - rows[i].written_ago;
        r->next_attempt_at = r->updated + rows[i].pause;
        begin(f, r);
        if (f->waits != (rows[i].want == 0))
            fail_msg("%s: started %u times", rows[i].says, f->waits);
        if (rows[i].want > 0)
            assert_int_equal(record(f)->next_attempt_at - clock_wall_ms(), rows[i].want);
        if (i + 1 < sizeof rows / sizeof *rows)
            teardown(state);
    }
}

/* It is told to callers as an instant. */
static void the_expiry_goes_by_the_wall_clock(void **state)
{
    struct fixture *f = *state;

    begin(f, new_record("ana@example.org", "one"));
    fails_once(f);
    set_wall_clock(f, -DAY_MS);
    clock_advance(HOUR_MS);
    set_wall_clock(f, 0);
    assert_false(transfer_state_final(record(f)->state));
    set_wall_clock(f, DAY_MS);
    run_timers(f);
    assert_int_equal(record(f)->state, TRANSFER_EXPIRED);
    assert_int_equal(record(f)->error_code, ERR_TTL_EXPIRED);
}

static void a_lost_session_costs_no_round(void **state)
{
    struct fixture *f = *state;

    begin(f, new_record("ana@example.org", NULL));
    found(f, "one", "two");
    f->hold = true;
    report(f, METHOD_FAILED, ERR_XMPP_DISCONNECTED);
    assert_int_equal(record(f)->state, TRANSFER_QUEUED);
    assert_int_equal(record(f)->round, 0);
    assert_int_equal(record(f)->next_attempt_at, 0);
    assert_int_equal(f->waits, 2);
}

static void a_resource_that_vanished_is_replaced_once(void **state)
{
    struct fixture *f = *state;

    begin(f, new_record("ana@example.org", NULL));
    fake_network_found_two(&f->network, "ana@example.org/desk", "ana@example.org/phone");
    turn(f);
    report(f, METHOD_FAILED, ERR_RECIPIENT_OFFLINE);
    assert_string_equal(fake_last_call(&f->network), "offer one ana@example.org/phone");
    report(f, METHOD_FAILED, ERR_RECIPIENT_OFFLINE);
    assert_int_equal(record(f)->state, TRANSFER_FAILED);
    assert_int_equal(record(f)->error_code, ERR_RECIPIENT_OFFLINE);
}

/* However far it got. */
static void cancel_ends_every_unfinished_state(void **state)
{
    for (int depth = 0; depth < 5; depth++) {
        struct fixture *f;

        if (depth > 0)
            setup(state);
        f = *state;
        f->hold = depth == 0;
        begin(f, new_record("ana@example.org", NULL));
        if (depth >= 2)
            found(f, "one", NULL);
        if (depth >= 3)
            report(f, METHOD_ACCEPTED, ERR_NONE);
        if (depth >= 4)
            report(f, METHOD_STREAM_OPEN, ERR_NONE);
        transfer_cancel(f->t);
        turn(f);
        assert_int_equal(record(f)->state, TRANSFER_CANCELLED);
        assert_int_equal(record(f)->error_code, ERR_CANCELLED);
        assert_null(f->network.finding);
        assert_null(f->network.method);
        assert_int_equal(f->idles, depth > 0);
        if (depth < 4)
            teardown(state);
    }
}

static void a_final_transfer_stays_as_it_is(void **state)
{
    struct fixture *f = *state;

    begin(f, new_record("ana@example.org", NULL));
    fake_network_not_found(&f->network, ERR_RECIPIENT_OFFLINE);
    turn(f);
    transfer_cancel(f->t);
    turn(f);
    assert_int_equal(record(f)->state, TRANSFER_FAILED);
    assert_int_equal(record(f)->error_code, ERR_RECIPIENT_OFFLINE);
}

static void a_transfer_expires_unless_it_streams(void **state)
{
    struct fixture *f = *state;
    struct record *r = new_record("ana@example.org", NULL);

    f->hold = true;
    r->expires = clock_wall_ms() + 1;
    begin(f, r);
    clock_advance(1);
    run_timers(f);
    assert_int_equal(record(f)->state, TRANSFER_EXPIRED);
    assert_int_equal(record(f)->error_code, ERR_TTL_EXPIRED);
}

static void late_news_of_an_ended_method_is_not_the_next_ones(void **state)
{
    struct fixture *f = *state;

    begin(f, new_record("ana@example.org", NULL));
    found(f, "one", "two");
    fake_method_report(&f->network, METHOD_FAILED, ERR_STREAMHOSTS_UNREACHABLE);
    fake_method_report(&f->network, METHOD_ACCEPTED, ERR_NONE);
    turn(f);
    assert_string_equal(fake_last_call(&f->network), "offer two ana@example.org/desk");
    assert_int_equal(record(f)->state, TRANSFER_OFFERING);
}

static void a_missing_payload_ends_the_stream_before_it_begins(void **state)
{
    struct fixture *f = *state;

    begin(f, new_record("ana@example.org", NULL));
    found(f, "one", NULL);
    report(f, METHOD_ACCEPTED, ERR_NONE);
    spool_remove(f->spool, record(f)->id);
    report(f, METHOD_STREAM_OPEN, ERR_NONE);
    assert_int_equal(record(f)->state, TRANSFER_FAILED);
    assert_int_equal(record(f)->error_code, ERR_NOT_FOUND);
}

static void parking_tells_the_peer_and_keeps_the_transfer(void **state)
{
    struct fixture *f = *state;

    begin(f, new_record("ana@example.org", NULL));
    found(f, "one", NULL);
    report(f, METHOD_ACCEPTED, ERR_NONE);
    f->hold = true;
    transfer_park(f->t);
    assert_string_equal(fake_last_call(&f->network), "end one draining");
    assert_int_equal(record(f)->state, TRANSFER_QUEUED);
    assert_int_equal(record(f)->round, 0);
    assert_int_equal(record(f)->attempts[0].error.code, ERR_DRAINING);
}

static void due_in(uv_handle_t *handle, void *arg)
{
    if (handle->type == UV_TIMER && uv_is_active(handle))
        *(uint64_t *)arg = uv_timer_get_due_in((uv_timer_t *)handle);
}

/* A method that waits for a turn of ours is not stuck. */
static void waiting_for_a_turn_starts_the_deadline_anew(void **state)
{
    struct fixture *f = *state;
    uint64_t due = 0;

    begin(f, new_record("ana@example.org", NULL));
    found(f, "one", NULL);
    uv_walk(&f->loop, due_in, &due);
    assert_in_range(due, 419 * 1000, 420 * 1000);
    f->config.delivery.offer_timeout = 900 * 1000; /* which only a deadline started now can know */
    report(f, METHOD_WAITING, ERR_NONE);
    uv_walk(&f->loop, due_in, &due);
    assert_in_range(due, 1019 * 1000, 1020 * 1000);
    assert_int_equal(record(f)->state, TRANSFER_OFFERING);
}

/* Which stream method a client lacks says less than what became of the one it has. */
static void a_stream_method_the_recipient_lacks_is_no_end_of_the_ladder(void **state)
{
    struct fixture *f = *state;

    begin(f, new_record("ana@example.org", NULL));
    found(f, "one", "two");
    report(f, METHOD_FAILED, ERR_NO_COMMON_METHOD);
    assert_string_equal(fake_last_call(&f->network), "offer two ana@example.org/desk");
    report(f, METHOD_FAILED, ERR_IBB_REFUSED);
    assert_int_equal(record(f)->state, TRANSFER_FAILED);
    assert_int_equal(record(f)->error_code, ERR_IBB_REFUSED);
}

/* ---- a method that needs nobody to be there */

static void allow_post(struct fixture *f)
{
    f->methods[2] = (char *)"post";
}

static void when_no_device_can_be_offered_to_a_link_is_sent(void **state)
{
    static const struct {
        const char *says;
        enum error_code find, offer; /* ERR_NONE: somebody is there; the first method is not failed */
        const char *asked;
        enum error_code reason;
        const char *call;
    } rows[] = {
        {"offline", ERR_RECIPIENT_OFFLINE, ERR_NONE, NULL, ERR_RECIPIENT_OFFLINE, "offer post ana@example.org"},
        {"hidden", ERR_RECIPIENT_FORBIDS, ERR_NONE, NULL, ERR_RECIPIENT_FORBIDS, "offer post ana@example.org"},
        {"nothing in common", ERR_NONE, ERR_NONE, NULL, ERR_NO_COMMON_METHOD, "offer post ana@example.org"},
        {"went away", ERR_NONE, ERR_RECIPIENT_OFFLINE, NULL, ERR_RECIPIENT_OFFLINE, "offer post ana@example.org"},
        {"forbids", ERR_NONE, ERR_RECIPIENT_FORBIDS, NULL, ERR_RECIPIENT_FORBIDS, "offer post ana@example.org"},
        {"asked for", ERR_RECIPIENT_OFFLINE, ERR_NONE, "one,post", ERR_RECIPIENT_OFFLINE, "offer post ana@example.org"},
        {"not asked for", ERR_RECIPIENT_OFFLINE, ERR_NONE, "one", ERR_RECIPIENT_OFFLINE, "find ana@example.org"},
        {"declined", ERR_NONE, ERR_RECIPIENT_DECLINED, NULL, ERR_RECIPIENT_DECLINED, "end one recipient_declined"},
        {"refused", ERR_NONE, ERR_SECURITY_REFUSED, NULL, ERR_SECURITY_REFUSED, "end one security_refused"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture *f;

        if (i > 0)
            setup(state);
        f = *state;
        allow_post(f);
        begin(f, new_record("ana@example.org", rows[i].asked));
        if (rows[i].find != ERR_NONE) {
            fake_network_not_found(&f->network, rows[i].find);
            turn(f);
        } else {
            found(f, rows[i].offer != ERR_NONE ? "one" : NULL, NULL);
        }
        if (rows[i].offer != ERR_NONE)
            report(f, METHOD_FAILED, rows[i].offer);
        if (strcmp(fake_last_call(&f->network), rows[i].call) != 0)
            fail_msg("%s: %s", rows[i].says, fake_last_call(&f->network));
        assert_int_equal(record(f)->attempts[0].error.code, rows[i].reason);
        assert_int_equal(record(f)->state, f->network.method ? TRANSFER_OFFERING : TRANSFER_FAILED);
        if (i + 1 < sizeof rows / sizeof *rows)
            teardown(state);
    }
}

static bool publish(struct fixture *f, char url[static METHOD_URL], struct error *err)
{
    struct method_host *host = f->network.method->host;

    return host->ops->publish(host, url, err);
}

static void a_link_of_our_own_is_kept_by_its_digest(void **state)
{
    struct fixture *f = *state;
    char url[METHOD_URL], again[METHOD_URL], digest[LINK_DIGEST], secret[33];
    struct error error;

    allow_post(f);
    begin(f, new_record("ana@example.org", "post"));
    assert_false(publish(f, url, &error));
    assert_int_equal(error.code, ERR_METHOD_UNSUPPORTED);
    f->config.server.public_url = (char[]){"https://files.example.org"};
    f->config.delivery.link_ttl = 1000;
    assert_true(publish(f, url, &error));
    assert_true(publish(f, again, &error));
    assert_string_not_equal(url, again);
    snprintf(secret, sizeof secret, "%s", again + strlen("https://files.example.org/d/"));
    assert_true(link_digest(secret, digest));
    assert_string_equal(record(f)->link_digest, digest);
    assert_true(record(f)->link_expires > clock_wall_ms());
    report(f, METHOD_ACCEPTED, ERR_NONE);
    report(f, METHOD_STREAM_OPEN, ERR_NONE);
    f->network.own_link = true;
    f->network.link_at = "https://files.example.org";
    report(f, METHOD_LINK_SENT, ERR_NONE);
    assert_string_equal(record(f)->link_digest, digest);
    assert_string_equal(record(f)->link_at, "https://files.example.org");
    assert_true(record(f)->link_expires > 0);
    for (size_t i = 0; i < record(f)->step_count; i++)
        assert_null(strstr(record(f)->steps[i].detail, secret));
}

/* One was made, but another way was taken. */
static void a_link_elsewhere_leaves_none_of_our_own(void **state)
{
    struct fixture *f = *state;
    char url[METHOD_URL];

    allow_post(f);
    f->config.server.public_url = (char[]){"https://files.example.org"};
    begin(f, new_record("ana@example.org", "post"));
    assert_true(publish(f, url, NULL));
    report(f, METHOD_ACCEPTED, ERR_NONE);
    report(f, METHOD_STREAM_OPEN, ERR_NONE);
    f->network.link_at = "https://upload.example.org";
    report(f, METHOD_LINK_SENT, ERR_NONE);
    assert_null(record(f)->link_digest);
    assert_int_equal(record(f)->link_expires, 0);
    assert_string_equal(record(f)->link_at, "https://upload.example.org");
}

static void a_link_is_sent_and_not_delivered(void **state)
{
    struct fixture *f = *state;

    allow_post(f);
    begin(f, new_record("ana@example.org/desk", NULL));
    fake_network_not_found(&f->network, ERR_RECIPIENT_OFFLINE);
    turn(f);
    assert_string_equal(fake_last_call(&f->network), "offer post ana@example.org"); /* to him, not to a device */
    report(f, METHOD_ACCEPTED, ERR_NONE);
    report(f, METHOD_STREAM_OPEN, ERR_NONE);
    assert_string_equal(fake_last_call(&f->network), "stream post");
    report(f, METHOD_LINK_SENT, ERR_NONE);
    assert_int_equal(record(f)->state, TRANSFER_LINK_SENT);
    assert_true(transfer_state_final(record(f)->state));
    assert_int_equal(record(f)->proof, PROOF_NONE);
    assert_int_equal(record(f)->error_code, ERR_NONE);
    assert_int_equal(record(f)->sent, 5);
    assert_string_equal(record(f)->method, "post");
    assert_null(record(f)->resource);
    assert_string_equal(fake_last_call(&f->network), "end post ok");
    assert_int_equal(record(f)->attempt_count, 2);
    assert_int_equal(record(f)->attempts[0].error.code, ERR_RECIPIENT_OFFLINE);
    assert_int_equal(record(f)->attempts[1].error.code, ERR_NONE);
    assert_int_equal(f->idles, 1);
}

static void a_link_is_the_last_rung_below_the_streams(void **state)
{
    struct fixture *f = *state;

    allow_post(f);
    begin(f, new_record("ana@example.org", NULL));
    found(f, "one", NULL);
    assert_string_equal(fake_last_call(&f->network), "offer one ana@example.org/desk");
    report(f, METHOD_FAILED, ERR_STREAMHOSTS_UNREACHABLE);
    assert_string_equal(fake_last_call(&f->network), "offer post ana@example.org");
    report(f, METHOD_FAILED, ERR_UPLOAD_SERVICE_REFUSED);
    assert_int_equal(record(f)->state, TRANSFER_FAILED);
    assert_int_equal(record(f)->error_code, ERR_STREAMHOSTS_UNREACHABLE);
}

static void the_next_device_comes_before_a_link(void **state)
{
    struct fixture *f = *state;

    allow_post(f);
    begin(f, new_record("ana@example.org", NULL));
    fake_network_found_two(&f->network, "ana@example.org/desk", "ana@example.org/phone");
    turn(f);
    report(f, METHOD_FAILED, ERR_RECIPIENT_OFFLINE);
    assert_string_equal(fake_last_call(&f->network), "offer one ana@example.org/phone");
    report(f, METHOD_FAILED, ERR_RECIPIENT_OFFLINE);
    assert_string_equal(fake_last_call(&f->network), "offer post ana@example.org");
}

static void where_only_a_link_is_wanted_nobody_is_looked_for(void **state)
{
    struct fixture *f = *state;

    allow_post(f);
    begin(f, new_record("ana@example.org", "post"));
    assert_int_equal(f->network.call_count, 1);
    assert_string_equal(fake_last_call(&f->network), "offer post ana@example.org");
    report(f, METHOD_FAILED, ERR_METHOD_UNSUPPORTED);
    assert_int_equal(record(f)->state, TRANSFER_FAILED);
    assert_int_equal(record(f)->error_code, ERR_METHOD_UNSUPPORTED);
    assert_int_equal(record(f)->attempt_count, 1);
}

/* The failure of a link is the news, unless there never was a way to send one. */
static void the_reason_is_that_of_the_link_where_one_was_possible(void **state)
{
    static const struct {
        enum error_code link, want;
    } rows[] = {
        {ERR_METHOD_UNSUPPORTED, ERR_RECIPIENT_OFFLINE},
        {ERR_UPLOAD_SERVICE_REFUSED, ERR_UPLOAD_SERVICE_REFUSED},
        {ERR_LINK_FAILED, ERR_LINK_FAILED},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture *f;

        if (i > 0)
            setup(state);
        f = *state;
        allow_post(f);
        begin(f, new_record("ana@example.org", NULL));
        fake_network_not_found(&f->network, ERR_RECIPIENT_OFFLINE);
        turn(f);
        report(f, METHOD_FAILED, rows[i].link);
        assert_int_equal(record(f)->state, TRANSFER_FAILED);
        assert_int_equal(record(f)->error_code, rows[i].want);
        assert_int_equal(record(f)->attempts[1].error.code, rows[i].link);
        if (i + 1 < sizeof rows / sizeof *rows)
            teardown(state);
    }
}

static void a_link_that_was_never_possible_leaves_even_a_dull_reason(void **state)
{
    struct fixture *f = *state;

    allow_post(f);
    begin(f, new_record("ana@example.org", NULL));
    found(f, "one", NULL);
    report(f, METHOD_FAILED, ERR_PROFILE_UNSUPPORTED);
    report(f, METHOD_FAILED, ERR_METHOD_UNSUPPORTED);
    assert_int_equal(record(f)->state, TRANSFER_FAILED);
    assert_int_equal(record(f)->error_code, ERR_PROFILE_UNSUPPORTED);
}

static void an_upload_that_broke_is_tried_again_from_the_start(void **state)
{
    struct fixture *f = *state;

    allow_post(f);
    begin(f, new_record("ana@example.org", "post"));
    report(f, METHOD_ACCEPTED, ERR_NONE);
    report(f, METHOD_STREAM_OPEN, ERR_NONE);
    report(f, METHOD_PROGRESS, ERR_NONE);
    report(f, METHOD_FAILED, ERR_UPLOAD_SERVICE_FAILED);
    assert_int_equal(record(f)->state, TRANSFER_QUEUED);
    assert_int_equal(record(f)->sent, 0);
    clock_advance(record(f)->next_attempt_at - clock_wall_ms());
    run_timers(f);
    assert_string_equal(fake_last_call(&f->network), "offer post ana@example.org");
}

static void who_says_when_to_come_back_is_taken_at_his_word(void **state)
{
    struct fixture *f = *state;

    allow_post(f);
    f->network.retry_at = clock_wall_ms() + 600 * 1000;
    begin(f, new_record("ana@example.org", "post"));
    report(f, METHOD_FAILED, ERR_UPLOAD_SERVICE_QUOTA);
    assert_int_equal(record(f)->state, TRANSFER_QUEUED);
    assert_int_equal(record(f)->next_attempt_at, f->network.retry_at);
}

static void an_offer_ends_when_its_device_goes(void **state)
{
    struct fixture *f = *state;

    allow_post(f);
    begin(f, new_record("ana@example.org", NULL));
    went(f, "ana@example.org/desk"); /* none was chosen yet */
    found(f, "one", "two");
    went(f, "ana@example.org/phone");
    assert_string_equal(fake_last_call(&f->network), "offer one ana@example.org/desk");
    went(f, "ana@example.org/desk");
    assert_int_equal(record(f)->attempts[0].error.code, ERR_RECIPIENT_OFFLINE);
    assert_string_equal(fake_last_call(&f->network), "offer post ana@example.org");
    went(f, "ana@example.org/desk"); /* a link is for who is not there */
    assert_int_equal(record(f)->state, TRANSFER_OFFERING);
}

/* The stream needs no server. */
static void an_accepted_offer_goes_on_without_presence(void **state)
{
    struct fixture *f = *state;

    begin(f, new_record("ana@example.org", NULL));
    found(f, "one", NULL);
    report(f, METHOD_ACCEPTED, ERR_NONE);
    went(f, "ana@example.org/desk");
    report(f, METHOD_STREAM_OPEN, ERR_NONE);
    went(f, "ana@example.org/desk");
    report(f, METHOD_COMPLETE, ERR_NONE);
    assert_int_equal(record(f)->state, TRANSFER_DELIVERED);
}

/* ---- waiting for a recipient who is offline */

enum { HOLD_MS = 20 }; /* timers are real */

static struct record *new_held(const char *to)
{
    struct record *r = new_record(to, NULL);

    r->hold_until = clock_wall_ms() + HOLD_MS;
    return r;
}

static void not_found(struct fixture *f)
{
    fake_network_not_found(&f->network, ERR_RECIPIENT_OFFLINE);
    turn(f);
}

/* Until it is held, with the recipient out of sight as given. */
static void begin_held(struct fixture *f, enum sight sight, bool subscribe)
{
    struct record *r = new_held("ana@example.org");

    f->network.sight = sight;
    r->subscribe = subscribe;
    begin(f, r);
    not_found(f);
    assert_int_equal(record(f)->state, TRANSFER_HELD);
}

static const struct step *last_step(struct fixture *f, const char *name)
{
    for (size_t i = record(f)->step_count; i-- > 0;)
        if (strcmp(record(f)->steps[i].name, name) == 0)
            return &record(f)->steps[i];
    fail_msg("no step '%s'", name);
    return NULL;
}

static void time_passes(struct fixture *f, int64_t ms)
{
    clock_advance(ms);
    run_timers(f);
}

static void assert_failed(struct fixture *f, enum error_code code)
{
    assert_int_equal(record(f)->state, TRANSFER_FAILED);
    assert_int_equal(record(f)->error_code, code);
    assert_int_equal(record(f)->hold_until, 0);
}

/* Who is waited for, and what a round that found him offline leads to. */
static void who_is_offline_is_held_where_his_coming_will_be_seen(void **state)
{
    static const struct {
        const char *says;
        int64_t hold_ms;
        enum sight sight;
        bool subscribe;
        enum transfer_state want;
        const char *call;
    } rows[] = {
        {"a contact", HOLD_MS, SIGHT_AWAY, false, TRANSFER_HELD, "find ana@example.org"},
        {"a contact, and asking would be allowed", HOLD_MS, SIGHT_AWAY, true, TRANSFER_HELD, "find ana@example.org"},
        {"contacts not known yet", HOLD_MS, SIGHT_UNKNOWN, false, TRANSFER_HELD, "find ana@example.org"},
        {"asked by somebody", HOLD_MS, SIGHT_ASKED, false, TRANSFER_HELD, "find ana@example.org"},
        {"asked, and may be again", HOLD_MS, SIGHT_ASKED, true, TRANSFER_HELD, "subscribe ana@example.org"},
        {"a stranger who may be asked", HOLD_MS, SIGHT_HIDDEN, true, TRANSFER_HELD, "subscribe ana@example.org"},
        {"a stranger", HOLD_MS, SIGHT_HIDDEN, false, TRANSFER_FAILED, "find ana@example.org"},
        {"no waiting", 0, SIGHT_AWAY, false, TRANSFER_FAILED, "find ana@example.org"},
        {"time is over", -1, SIGHT_AWAY, true, TRANSFER_FAILED, "find ana@example.org"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture *f;
        struct record *r;

        if (i > 0)
            setup(state);
        f = *state;
        f->network.sight = rows[i].sight;
        r = new_record("ana@example.org", NULL);
        r->hold_until = rows[i].hold_ms ? clock_wall_ms() + rows[i].hold_ms : 0;
        r->subscribe = rows[i].subscribe;
        begin(f, r);
        not_found(f);
        if (record(f)->state != rows[i].want || strcmp(fake_last_call(&f->network), rows[i].call) != 0)
            fail_msg("%s: %s, %s", rows[i].says, transfer_state_name(record(f)->state), fake_last_call(&f->network));
        if (rows[i].want == TRANSFER_HELD) {
            assert_int_equal(f->idles, 1); /* others have its turn */
            assert_int_equal(f->waits, 1);
            assert_int_equal(record(f)->round, 0);
            assert_string_equal(last_step(f, "held")->outcome, "recipient_offline");
        } else {
            assert_failed(f, ERR_RECIPIENT_OFFLINE);
        }
        if (i + 1 < sizeof rows / sizeof *rows)
            teardown(state);
    }
}

/* What is no absence is not waited out. */
static void only_absence_is_waited_out(void **state)
{
    static const enum error_code codes[] = {ERR_NO_COMMON_METHOD, ERR_RECIPIENT_DECLINED, ERR_RECIPIENT_FORBIDS};

    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        struct fixture *f;

        if (i > 0)
            setup(state);
        f = *state;
        begin(f, new_held("ana@example.org"));
        if (codes[i] == ERR_NO_COMMON_METHOD) {
            found(f, NULL, NULL);
        } else {
            found(f, "one", NULL);
            report(f, METHOD_FAILED, codes[i]);
        }
        assert_failed(f, codes[i]);
        if (i + 1 < sizeof codes / sizeof *codes)
            teardown(state);
    }
}

static void a_stranger_is_told_how_he_could_be_held(void **state)
{
    struct fixture *f = *state;

    allow_post(f);
    f->network.sight = SIGHT_HIDDEN;
    begin(f, new_held("ana@example.org"));
    not_found(f);
    assert_non_null(strstr(last_step(f, "not held")->detail, "?subscribe=ask"));
    assert_string_equal(fake_last_call(&f->network), "offer post ana@example.org"); /* as without hold */
    assert_int_equal(record(f)->hold_until, 0);
}

static void who_comes_online_is_offered_to_at_once(void **state)
{
    struct fixture *f = *state;

    allow_post(f);
    begin_held(f, SIGHT_AWAY, false);
    f->network.sight = SIGHT_THERE;
    came(f, "ana@example.org/desk");
    assert_int_equal(record(f)->state, TRANSFER_OFFERING);
    assert_string_equal(last_step(f, "presence")->detail, "ana@example.org/desk");
    found(f, "one", NULL);
    assert_string_equal(fake_last_call(&f->network), "offer one ana@example.org/desk");
    report(f, METHOD_ACCEPTED, ERR_NONE);
    report(f, METHOD_STREAM_OPEN, ERR_NONE);
    report(f, METHOD_COMPLETE, ERR_NONE);
    assert_int_equal(record(f)->state, TRANSFER_DELIVERED);
    assert_int_equal(record(f)->round, 1);
    assert_int_equal(record(f)->hold_until, 0);
}

static void a_device_that_files_are_not_for_ends_no_waiting(void **state)
{
    struct fixture *f = *state;

    begin_held(f, SIGHT_AWAY, false);
    came(f, "ana@example.org/desk"); /* with a negative priority, say */
    assert_int_equal(record(f)->state, TRANSFER_HELD);
}

static void a_full_address_waits_for_that_very_device(void **state)
{
    struct fixture *f = *state;

    begin(f, new_held("ana@example.org/desk"));
    not_found(f);
    assert_int_equal(record(f)->state, TRANSFER_HELD);
    f->network.sight = SIGHT_THERE;
    came(f, "ana@example.org/phone");
    assert_int_equal(record(f)->state, TRANSFER_HELD);
    came(f, "ana@example.org/desk");
    assert_int_equal(record(f)->state, TRANSFER_OFFERING);
}

static void who_came_while_he_was_looked_for_is_not_missed(void **state)
{
    struct fixture *f = *state;

    begin(f, new_held("ana@example.org"));
    f->network.sight = SIGHT_THERE;
    came(f, "ana@example.org/desk");
    assert_int_equal(record(f)->state, TRANSFER_OFFERING);
    not_found(f);
    assert_int_equal(record(f)->state, TRANSFER_OFFERING);
    assert_string_equal(fake_last_call(&f->network), "find ana@example.org");
    not_found(f); /* there, but not to be found: the next news decide */
    assert_int_equal(record(f)->state, TRANSFER_HELD);
}

static void who_goes_in_the_middle_of_an_offer_is_held_within_the_same_time(void **state)
{
    struct fixture *f = *state;
    int64_t until;

    begin(f, new_held("ana@example.org"));
    until = record(f)->hold_until;
    for (int i = 0; i < 5; i++) { /* more often than there are rounds */
        fake_network_found_two(&f->network, "ana@example.org/desk", "ana@example.org/phone");
        turn(f);
        report(f, METHOD_FAILED, ERR_RECIPIENT_OFFLINE);
        assert_string_equal(fake_last_call(&f->network), "offer one ana@example.org/phone");
        if (i % 2)
            report(f, METHOD_ACCEPTED, ERR_NONE);
        report(f, METHOD_FAILED, ERR_RECIPIENT_OFFLINE);
        assert_int_equal(record(f)->state, TRANSFER_HELD);
        assert_int_equal(record(f)->hold_until, until);
        assert_int_equal(record(f)->round, 0);
        f->network.sight = SIGHT_THERE;
        came(f, "ana@example.org/desk");
    }
    found(f, "one", NULL);
    clock_advance(HOLD_MS);
    report(f, METHOD_FAILED, ERR_RECIPIENT_OFFLINE);
    assert_non_null(strstr(last_step(f, "not held")->detail, "over"));
    assert_failed(f, ERR_RECIPIENT_OFFLINE);
}

/* Bytes that are lost cost a round, so that they are not sent without end. */
static void who_goes_in_the_middle_of_a_stream_is_held_a_bounded_number_of_times(void **state)
{
    struct fixture *f = *state;

    begin(f, new_held("ana@example.org"));
    f->network.sight = SIGHT_THERE;
    for (unsigned round = 1; round <= 3; round++) {
        assert_int_equal(record(f)->round, round);
        found(f, "one", NULL);
        report(f, METHOD_ACCEPTED, ERR_NONE);
        report(f, METHOD_STREAM_OPEN, ERR_NONE);
        report(f, METHOD_PROGRESS, ERR_NONE);
        report(f, METHOD_FAILED, ERR_RECIPIENT_OFFLINE);
        if (round < 3) {
            assert_int_equal(record(f)->state, TRANSFER_HELD);
            came(f, "ana@example.org/desk");
        }
    }
    assert_failed(f, ERR_RECIPIENT_OFFLINE);
}

static void when_the_time_is_over_the_ladder_goes_on(void **state)
{
    for (int link = 0; link < 2; link++) {
        struct fixture *f;

        if (link)
            setup(state);
        f = *state;
        if (link)
            allow_post(f);
        begin_held(f, SIGHT_AWAY, false);
        time_passes(f, HOLD_MS);
        assert_int_equal(record(f)->state, TRANSFER_OFFERING);
        last_step(f, "hold over");
        assert_string_equal(fake_last_call(&f->network), "find ana@example.org"); /* a last look */
        not_found(f);
        if (link)
            assert_string_equal(fake_last_call(&f->network), "offer post ana@example.org");
        else
            assert_failed(f, ERR_RECIPIENT_OFFLINE);
        if (!link)
            teardown(state);
    }
}

static void a_held_one_expires(void **state)
{
    static const int64_t expires[] = {HOLD_MS / 2, HOLD_MS}; /* at the same time: it need not go on first */

    for (size_t i = 0; i < 2; i++) {
        struct fixture *f;
        struct record *r;

        if (i > 0)
            setup(state);
        f = *state;
        r = new_held("ana@example.org");
        r->expires = clock_wall_ms() + expires[i];
        begin(f, r);
        not_found(f);
        assert_int_equal(record(f)->state, TRANSFER_HELD);
        time_passes(f, expires[i]);
        assert_int_equal(record(f)->state, TRANSFER_EXPIRED);
        assert_int_equal(record(f)->error_code, ERR_TTL_EXPIRED);
        assert_int_equal(record(f)->error_stage, STAGE_QUEUE);
        if (i == 0)
            teardown(state);
    }
}

static void a_held_one_can_be_cancelled(void **state)
{
    struct fixture *f = *state;

    begin_held(f, SIGHT_AWAY, false);
    transfer_cancel(f->t);
    turn(f);
    assert_int_equal(record(f)->state, TRANSFER_CANCELLED);
    assert_int_equal(record(f)->hold_until, 0);
    f->network.sight = SIGHT_THERE;
    came(f, "ana@example.org/desk");
    assert_int_equal(record(f)->state, TRANSFER_CANCELLED);
}

static void a_held_one_stays_held_over_a_restart(void **state)
{
    struct fixture *f = *state;
    struct record *r = new_held("ana@example.org");

    begin_held(f, SIGHT_AWAY, false);
    transfer_park(f->t);
    assert_int_equal(record(f)->state, TRANSFER_HELD);
    transfer_destroy(&f->t);
    uv_run(&f->loop, UV_RUN_NOWAIT); /* its handle closes */
    r->state = TRANSFER_HELD;
    f->waits = 0;
    begin(f, r);
    assert_int_equal(record(f)->state, TRANSFER_HELD);
    assert_int_equal(f->waits, 0);
    time_passes(f, HOLD_MS);
    assert_int_equal(record(f)->state, TRANSFER_OFFERING);
}

static void hold_goes_before_the_time_to_return(void **state)
{
    struct fixture *f = *state;
    struct record *r = new_held("ana@example.org");

    begin(f, r);
    f->online_since = clock_ms() + 1;
    not_found(f);
    assert_int_equal(record(f)->state, TRANSFER_HELD);
}

static void a_subscription_is_asked_for_and_granted(void **state)
{
    struct fixture *f = *state;

    begin_held(f, SIGHT_HIDDEN, true);
    assert_string_equal(last_step(f, "subscription")->outcome, "asked");
    transfer_subscription(f->t, true);
    turn(f);
    assert_string_equal(last_step(f, "subscription")->outcome, "granted");
    assert_int_equal(record(f)->state, TRANSFER_HELD);
    f->network.sight = SIGHT_THERE;
    came(f, "ana@example.org/desk");
    assert_int_equal(record(f)->state, TRANSFER_OFFERING);
}

static void an_open_request_is_not_repeated(void **state)
{
    struct fixture *f = *state;

    f->network.asked_before = true;
    begin_held(f, SIGHT_ASKED, true);
    assert_string_equal(last_step(f, "subscription")->outcome, "asked before");
}

/* Refused now, or not long ago: the ladder goes on, and its end says why. */
static void a_refused_subscription_ends_the_waiting(void **state)
{
    for (int i = 0; i < 4; i++) {
        bool link = i & 1, before = i & 2;
        struct fixture *f;

        if (i > 0)
            setup(state);
        f = *state;
        if (link)
            allow_post(f);
        if (before) {
            struct record *r = new_held("ana@example.org");

            r->subscribe = true;
            f->network.sight = SIGHT_HIDDEN;
            f->network.subscribe_fails = ERR_RECIPIENT_FORBIDS;
            begin(f, r);
        } else {
            begin_held(f, SIGHT_HIDDEN, true);
            transfer_subscription(f->t, false);
            turn(f);
            assert_string_equal(last_step(f, "subscription")->outcome, "refused");
            assert_int_equal(record(f)->state, TRANSFER_OFFERING);
        }
        not_found(f);
        if (link) {
            assert_string_equal(fake_last_call(&f->network), "offer post ana@example.org");
            report(f, METHOD_FAILED, ERR_METHOD_UNSUPPORTED);
        }
        assert_failed(f, ERR_RECIPIENT_FORBIDS);
        assert_int_equal(record(f)->error_stage, STAGE_RESOLVE);
        if (i < 3)
            teardown(state);
    }
}

static void a_contact_who_leaves_us_is_just_offline(void **state)
{
    struct fixture *f = *state;

    begin_held(f, SIGHT_AWAY, false);
    f->network.sight = SIGHT_HIDDEN;
    transfer_subscription(f->t, false);
    turn(f);
    not_found(f);
    assert_failed(f, ERR_RECIPIENT_OFFLINE);
}

/* What a new session's roster says of somebody held. */
static void a_new_session_shows_whether_waiting_still_helps(void **state)
{
    static const struct {
        const char *says;
        enum sight held, then;
        bool subscribe, restarted;
        enum transfer_state want;
        const char *call;
    } rows[] = {
        {"still a contact", SIGHT_AWAY, SIGHT_AWAY, false, false, TRANSFER_HELD, "find ana@example.org"},
        {"still asked", SIGHT_HIDDEN, SIGHT_ASKED, true, false, TRANSFER_HELD, "subscribe ana@example.org"},
        {"a contact no more", SIGHT_AWAY, SIGHT_HIDDEN, false, false, TRANSFER_OFFERING, "find ana@example.org"},
        {"refused meanwhile", SIGHT_HIDDEN, SIGHT_HIDDEN, true, false, TRANSFER_OFFERING, "find ana@example.org"},
        {"a contact no more who may be asked", SIGHT_AWAY, SIGHT_HIDDEN, true, false, TRANSFER_HELD,
         "subscribe ana@example.org"},
        {"held before it could be asked", SIGHT_UNKNOWN, SIGHT_HIDDEN, true, false, TRANSFER_HELD,
         "subscribe ana@example.org"},
        {"refused while we were gone", SIGHT_UNKNOWN, SIGHT_HIDDEN, true, true, TRANSFER_OFFERING,
         "find ana@example.org"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture *f;

        if (i > 0)
            setup(state);
        f = *state;
        if (rows[i].restarted) {
            struct record *r = new_held("ana@example.org");

            r->state = TRANSFER_HELD;
            r->subscribe = rows[i].subscribe;
            begin(f, r);
        } else {
            begin_held(f, rows[i].held, rows[i].subscribe);
        }
        f->network.sight = rows[i].then;
        transfer_roster(f->t);
        turn(f);
        if (record(f)->state != rows[i].want || strcmp(fake_last_call(&f->network), rows[i].call) != 0)
            fail_msg("%s: %s, %s", rows[i].says, transfer_state_name(record(f)->state), fake_last_call(&f->network));
        if (i + 1 < sizeof rows / sizeof *rows)
            teardown(state);
    }
}

/* A session that is going down loses the request, not the transfer. */
static void a_request_that_cannot_be_sent_is_sent_in_the_next_session(void **state)
{
    struct fixture *f = *state;

    f->network.subscribe_fails = ERR_XMPP_DISCONNECTED;
    begin_held(f, SIGHT_HIDDEN, true);
    f->network.subscribe_fails = ERR_NONE;
    transfer_roster(f->t);
    turn(f);
    assert_int_equal(record(f)->state, TRANSFER_HELD);
    assert_string_equal(last_step(f, "subscription")->outcome, "asked");
}

/* The pairs that the rule table leaves out. */
static void news_for_who_is_not_held_change_nothing(void **state)
{
    struct fixture *f = *state;

    f->hold = true;
    f->network.sight = SIGHT_THERE;
    begin(f, new_held("ana@example.org")); /* queued */
    for (int depth = 0; depth < 4; depth++) {
        static const enum transfer_state states[] = {TRANSFER_QUEUED, TRANSFER_OFFERING, TRANSFER_CONNECTING,
                                                     TRANSFER_TRANSFERRING};

        if (depth == 1) {
            transfer_start(f->t);
            turn(f);
            found(f, "one", NULL);
        }
        if (depth == 2)
            report(f, METHOD_ACCEPTED, ERR_NONE);
        if (depth == 3)
            report(f, METHOD_STREAM_OPEN, ERR_NONE);
        came(f, "ana@example.org/desk");
        transfer_subscription(f->t, true);
        transfer_subscription(f->t, false);
        transfer_roster(f->t);
        turn(f);
        assert_int_equal(record(f)->state, states[depth]);
        assert_int_equal(f->waits, 1);
    }
}

/* Of two ends that come in one turn the first counts. */
static void a_hold_ends_once(void **state)
{
    struct fixture *f = *state;
    struct jid who;

    begin_held(f, SIGHT_AWAY, false);
    f->network.sight = SIGHT_THERE;
    f->hold = true;
    assert_true(jid_parse(&who, "ana@example.org/desk", 20, NULL));
    transfer_presence(f->t, &who, true);
    transfer_presence(f->t, &who, true);
    transfer_subscription(f->t, false);
    turn(f);
    assert_int_equal(record(f)->state, TRANSFER_QUEUED);
    assert_int_equal(f->waits, 2);
    assert_true(record(f)->hold_until > 0);
}

/* ---- while the upload is still coming in */

static void begin_growing(struct fixture *f, const char *methods, enum mode mode)
{
    struct record *r = new_record("ana@example.org", methods);
    struct error error;

    r->mode = mode;
    r->upload = UPLOAD_RECEIVING;
    r->received = 0;
    r->max_rounds = mode == MODE_STREAM ? 1 : 3;
    f->part = spool_create(f->spool, r->id, 5, &error);
    f->feed = feed_create();
    assert_non_null(f->part);
    f->t = transfer_create(&f->env, r, f->feed, f);
    assert_non_null(f->t);
    transfer_queue(f->t);
    turn(f);
}

static void the_rest_comes(struct fixture *f)
{
    struct error error;

    assert_true(spool_append(f->part, "hello", 5, &error));
    transfer_uploaded(f->t);
    turn(f);
}

static void it_breaks_off(struct fixture *f)
{
    struct error error;

    error_set(&error, ERR_LENGTH_CONFLICT, "the upload broke off");
    transfer_upload_failed(f->t, &error);
    turn(f);
}

/* 0: queued … 3: transferring */
static void go_to(struct fixture *f, int depth)
{
    if (depth == 0)
        return;
    found(f, "one", "two");
    if (depth > 1)
        report(f, METHOD_ACCEPTED, ERR_NONE);
    if (depth > 2)
        report(f, METHOD_STREAM_OPEN, ERR_NONE);
}

static void a_stream_follows_the_upload(void **state)
{
    struct fixture *f = *state;

    begin_growing(f, "two", MODE_AUTO);
    go_to(f, 3);
    assert_string_equal(fake_last_call(&f->network), "follow two");
    transfer_received(f->t, 3);
    assert_int_equal(record(f)->received, 3);
    assert_int_equal(record(f)->upload, UPLOAD_RECEIVING);
    uv_run(&f->loop, UV_RUN_NOWAIT); /* a digest would be of a part */
    the_rest_comes(f);
    assert_int_equal(record(f)->received, 5);
    while (strcmp(fake_last_call(&f->network), "digest 2cf24dba") != 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    report(f, METHOD_COMPLETE, ERR_NONE);
    assert_int_equal(record(f)->state, TRANSFER_DELIVERED);
    assert_int_equal(record(f)->upload, UPLOAD_COMPLETE);
    assert_null(feed_refused(f->feed));
}

/* The caller asked for it, so it was computed with the upload, after the offer. */
static void a_digest_known_since_the_offer_is_handed_over(void **state)
{
    struct fixture *f = *state;

    begin_growing(f, "two", MODE_AUTO);
    go_to(f, 2);
    transfer_hashed(f->t, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    the_rest_comes(f);
    report(f, METHOD_STREAM_OPEN, ERR_NONE);
    assert_string_equal(fake_last_call(&f->network), "digest 2cf24dba");
    assert_string_equal(f->network.method->host->sha256, record(f)->sha256);
}

/* The stream's thread may know of the end before we do. */
static void what_is_complete_before_its_upload_waits_for_the_news(void **state)
{
    struct fixture *f = *state;

    begin_growing(f, "one", MODE_AUTO);
    go_to(f, 3);
    report(f, METHOD_COMPLETE, ERR_NONE);
    assert_int_equal(record(f)->state, TRANSFER_TRANSFERRING);
    the_rest_comes(f);
    assert_int_equal(record(f)->state, TRANSFER_DELIVERED);
    assert_int_equal(record(f)->proof, PROOF_PEER_CLOSED);
}

static void a_method_that_cannot_follow_waits_for_the_end(void **state)
{
    struct fixture *f = *state;

    begin_growing(f, "post", MODE_AUTO);
    assert_string_equal(fake_last_call(&f->network), "offer post ana@example.org");
    report(f, METHOD_ACCEPTED, ERR_NONE);
    report(f, METHOD_STREAM_OPEN, ERR_NONE);
    assert_int_equal(record(f)->state, TRANSFER_TRANSFERRING);
    assert_string_equal(fake_last_call(&f->network), "offer post ana@example.org");
    the_rest_comes(f);
    assert_string_equal(fake_last_call(&f->network), "stream post");
}

static void an_upload_that_ends_before_the_stream_begins_is_a_whole_file(void **state)
{
    for (int depth = 0; depth < 3; depth++) {
        struct fixture *f;

        if (depth > 0)
            setup(state);
        f = *state;
        begin_growing(f, "one", MODE_AUTO);
        go_to(f, depth);
        the_rest_comes(f);
        if (depth == 0)
            found(f, "one", NULL);
        if (depth < 2)
            report(f, METHOD_ACCEPTED, ERR_NONE);
        report(f, METHOD_STREAM_OPEN, ERR_NONE);
        assert_string_equal(fake_last_call(&f->network), "stream one");
        if (depth < 2)
            teardown(state);
    }
}

static void an_upload_that_breaks_off_ends_every_unfinished_state(void **state)
{
    static const char *const last[] = {"forget", "end one length_conflict", "end one length_conflict",
                                       "end one length_conflict"};

    for (int depth = 0; depth < 4; depth++) {
        struct fixture *f;

        if (depth > 0)
            setup(state);
        f = *state;
        begin_growing(f, "one", MODE_AUTO);
        go_to(f, depth);
        it_breaks_off(f);
        assert_int_equal(record(f)->state, TRANSFER_FAILED);
        assert_int_equal(record(f)->error_code, ERR_LENGTH_CONFLICT);
        assert_int_equal(record(f)->error_stage, STAGE_UPLOAD);
        assert_int_equal(record(f)->upload, UPLOAD_ABORTED);
        assert_int_equal(feed_refused(f->feed)->code, ERR_LENGTH_CONFLICT);
        assert_string_equal(fake_last_call(&f->network), last[depth]);
        it_breaks_off(f); /* final */
        if (depth < 3)
            teardown(state);
    }
}

/* The stream breaks because the upload did, and says so first. */
static void a_broken_upload_is_not_forgotten_behind_its_broken_stream(void **state)
{
    struct fixture *f = *state;

    begin_growing(f, "one", MODE_AUTO);
    go_to(f, 3);
    report(f, METHOD_PROGRESS, ERR_NONE);
    fake_method_report(&f->network, METHOD_FAILED, ERR_STREAM_BROKEN);
    it_breaks_off(f);
    assert_int_equal(record(f)->state, TRANSFER_FAILED);
    assert_int_equal(record(f)->error_code, ERR_LENGTH_CONFLICT);
}

static void a_stream_that_breaks_while_the_upload_comes_is_tried_again(void **state)
{
    struct fixture *f = *state;

    begin_growing(f, "one", MODE_AUTO);
    go_to(f, 3);
    report(f, METHOD_PROGRESS, ERR_NONE);
    report(f, METHOD_FAILED, ERR_STREAM_BROKEN);
    assert_int_equal(record(f)->state, TRANSFER_QUEUED);
    assert_null(feed_refused(f->feed));
    clock_advance(10);
    run_timers(f);
    go_to(f, 3);
    assert_string_equal(fake_last_call(&f->network), "follow one");
}

static void the_end_of_a_transfer_tells_the_uploader_why(void **state)
{
    struct fixture *f = *state;

    begin_growing(f, "one", MODE_AUTO);
    go_to(f, 3);
    transfer_cancel(f->t);
    turn(f);
    assert_int_equal(feed_refused(f->feed)->code, ERR_CANCELLED);
    assert_int_equal(record(f)->upload, UPLOAD_ABORTED);
}

/* ---- mode stream */

static void before_its_first_byte_a_stream_climbs_the_ladder_and_then_no_more(void **state)
{
    struct fixture *f = *state;

    begin_growing(f, NULL, MODE_STREAM);
    found(f, "one", "two");
    report(f, METHOD_FAILED, ERR_STREAMHOSTS_UNREACHABLE);
    assert_string_equal(fake_last_call(&f->network), "offer two ana@example.org/desk");
    report(f, METHOD_ACCEPTED, ERR_NONE);
    report(f, METHOD_STREAM_OPEN, ERR_NONE);
    assert_string_equal(fake_last_call(&f->network), "follow two");
    report(f, METHOD_FAILED, ERR_XMPP_DISCONNECTED); /* which is nobody's fault, and else costs no round */
    assert_int_equal(record(f)->state, TRANSFER_FAILED);
}

static void of_a_stream_no_digest_is_computed(void **state)
{
    struct fixture *f = *state;

    begin_growing(f, "two", MODE_STREAM);
    go_to(f, 3);
    the_rest_comes(f);
    assert_string_equal(fake_last_call(&f->network), "digest none");
}

static void what_needs_the_whole_file_is_no_way_for_a_stream(void **state)
{
    struct fixture *f = *state;

    f->methods[1] = (char *)"post";
    begin_growing(f, NULL, MODE_STREAM);
    fake_network_not_found(&f->network, ERR_RECIPIENT_OFFLINE);
    turn(f);
    assert_int_equal(record(f)->state, TRANSFER_FAILED);
    assert_int_equal(record(f)->error_code, ERR_RECIPIENT_OFFLINE);
    transfer_destroy(&f->t);
    spool_abandon(&f->part);
    feed_release(&f->feed);
    begin_growing(f, "post", MODE_STREAM);
    found(f, "one", NULL);
    assert_int_equal(record(f)->error_code, ERR_NO_COMMON_METHOD);
    assert_non_null(strstr(record(f)->error_text, "mode=auto"));
}

static void parking_keeps_what_is_kept_and_ends_a_stream(void **state)
{
    struct fixture *f = *state;

    begin_growing(f, "one", MODE_AUTO);
    go_to(f, 3);
    f->hold = true;
    transfer_park(f->t);
    turn(f);
    assert_int_equal(record(f)->state, TRANSFER_QUEUED);
    transfer_destroy(&f->t);
    spool_abandon(&f->part);
    feed_release(&f->feed);
    f->hold = false;
    begin_growing(f, "one", MODE_STREAM);
    go_to(f, 3);
    transfer_park(f->t);
    turn(f);
    assert_int_equal(record(f)->state, TRANSFER_FAILED);
    assert_int_equal(record(f)->error_code, ERR_DRAINING);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_transfer_goes_through_its_states_to_delivered),
        T(a_caption_is_told_as_configured),
        T(a_caption_comes_once_however_often_the_file_is_tried),
        T(a_caption_that_cannot_be_sent_takes_nothing_from_the_delivery),
        T(an_offer_is_not_made_again_in_its_own_kind),
        T(who_said_yes_may_be_asked_again),
        T(a_method_that_switches_is_two_attempts),
        T(a_method_may_switch_only_to_a_rung_below_it),
        T(a_digest_that_the_method_wants_is_computed_beside_the_stream),
        T(no_digest_is_computed_where_none_is_wanted),
        T(a_digest_that_is_known_is_not_computed_again),
        T(a_failure_leads_where_its_kind_says),
        T(when_no_device_can_be_offered_to_a_link_is_sent),
        T(a_link_is_sent_and_not_delivered),
        T(a_link_of_our_own_is_kept_by_its_digest),
        T(a_link_elsewhere_leaves_none_of_our_own),
        T(a_link_is_the_last_rung_below_the_streams),
        T(the_next_device_comes_before_a_link),
        T(where_only_a_link_is_wanted_nobody_is_looked_for),
        T(the_reason_is_that_of_the_link_where_one_was_possible),
        T(a_link_that_was_never_possible_leaves_even_a_dull_reason),
        T(an_upload_that_broke_is_tried_again_from_the_start),
        T(who_says_when_to_come_back_is_taken_at_his_word),
        T(the_first_telling_reason_is_the_one_reported),
        T(a_refused_beginning_is_a_failure_like_any_other),
        T(nobody_there_is_final_and_says_so),
        T(nothing_in_common_is_said_so),
        T(the_caller_may_narrow_the_ladder),
        T(a_passing_failure_is_tried_again_a_bounded_number_of_times),
        T(after_the_first_byte_no_other_method_is_tried),
        T(a_stream_that_broke_before_its_first_byte_leaves_the_next_method_whole),
        T(after_a_reconnect_recipients_have_time_to_return),
        T(a_pause_is_as_long_whatever_the_wall_clock_does),
        T(a_pause_goes_on_after_a_restart),
        T(the_expiry_goes_by_the_wall_clock),
        T(a_lost_session_costs_no_round),
        T(a_resource_that_vanished_is_replaced_once),
        T(cancel_ends_every_unfinished_state),
        T(a_final_transfer_stays_as_it_is),
        T(a_transfer_expires_unless_it_streams),
        T(late_news_of_an_ended_method_is_not_the_next_ones),
        T(a_missing_payload_ends_the_stream_before_it_begins),
        T(parking_tells_the_peer_and_keeps_the_transfer),
        T(waiting_for_a_turn_starts_the_deadline_anew),
        T(a_stream_method_the_recipient_lacks_is_no_end_of_the_ladder),
        T(an_offer_ends_when_its_device_goes),
        T(an_accepted_offer_goes_on_without_presence),
        T(who_is_offline_is_held_where_his_coming_will_be_seen),
        T(only_absence_is_waited_out),
        T(a_stranger_is_told_how_he_could_be_held),
        T(who_comes_online_is_offered_to_at_once),
        T(a_device_that_files_are_not_for_ends_no_waiting),
        T(a_full_address_waits_for_that_very_device),
        T(who_came_while_he_was_looked_for_is_not_missed),
        T(who_goes_in_the_middle_of_an_offer_is_held_within_the_same_time),
        T(who_goes_in_the_middle_of_a_stream_is_held_a_bounded_number_of_times),
        T(when_the_time_is_over_the_ladder_goes_on),
        T(a_held_one_expires),
        T(a_held_one_can_be_cancelled),
        T(a_held_one_stays_held_over_a_restart),
        T(hold_goes_before_the_time_to_return),
        T(a_subscription_is_asked_for_and_granted),
        T(an_open_request_is_not_repeated),
        T(a_refused_subscription_ends_the_waiting),
        T(a_contact_who_leaves_us_is_just_offline),
        T(a_new_session_shows_whether_waiting_still_helps),
        T(a_request_that_cannot_be_sent_is_sent_in_the_next_session),
        T(news_for_who_is_not_held_change_nothing),
        T(a_hold_ends_once),
        T(a_stream_follows_the_upload),
        T(a_digest_known_since_the_offer_is_handed_over),
        T(what_is_complete_before_its_upload_waits_for_the_news),
        T(a_method_that_cannot_follow_waits_for_the_end),
        T(an_upload_that_ends_before_the_stream_begins_is_a_whole_file),
        T(an_upload_that_breaks_off_ends_every_unfinished_state),
        T(a_broken_upload_is_not_forgotten_behind_its_broken_stream),
        T(a_stream_that_breaks_while_the_upload_comes_is_tried_again),
        T(the_end_of_a_transfer_tells_the_uploader_why),
        T(before_its_first_byte_a_stream_climbs_the_ladder_and_then_no_more),
        T(of_a_stream_no_digest_is_computed),
        T(what_needs_the_whole_file_is_no_way_for_a_stream),
        T(parking_keeps_what_is_kept_and_ends_a_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
