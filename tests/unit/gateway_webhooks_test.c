/* gateway/webhooks.c: with a real store, real HTTP and receivers of the test's, in a time that moves when told. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "gateway/webhooks.h"
#include "tests/fake/receiver.h"
#include "tests/fake/store.h"

#define SECRET     "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define OLD_SECRET "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define TAKEN      "HTTP/1.1 204 No Content\r\n\r\n"
#define BROKEN     "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"
#define GONE       "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
#define BUSY       "HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n"

static const int64_t second = 1000, minute = 60 * 1000, hour = 60 * 60 * 1000;

struct fixture {
    uv_loop_t loop;
    uv_timer_t nudge; /* so that no wait is for ever */
    struct mailbox *mailbox;
    char dir[64], url[96];
    struct store *store;
    size_t pending;
    struct fake_receiver *receiver, *other;
    struct webhook_list list;
    struct webhooks *w;
    unsigned disabled;
    struct gateway_hook_test test;
    unsigned tested;
    struct delivery_list answered;
    struct error error;
};

/* ---- the scene */

static char *render(const struct event *e)
{
    const struct record *r = e->transfer ? snapshot_record(e->transfer) : NULL;
    char *out;

    return asprintf(&out, "{\"type\":\"%s\",\"data\":\"%s\"}", event_name(e->type), r ? r->id : "") < 0 ? NULL : out;
}

static void on_disabled(void *user, const char *name, const char *why)
{
    struct fixture *f = user;

    assert_string_equal(name, "ci");
    assert_non_null(strstr(why, "410"));
    f->disabled++;
}

static void on_nudge(uv_timer_t *timer)
{
    (void)timer;
}

static void add_hook(struct fixture *f, const char *name, const char *url)
{
    struct webhook *w = webhook_list_at(&f->list, name, NULL);

    assert_true(webhook_set(w, "url", url, NULL));
    assert_true(webhook_set(w, "secret", SECRET, NULL));
    assert_true(webhook_set(w, "events", "*", NULL));
    assert_true(webhook_set(w, "allow_nets", "127.0.0.1", NULL));
    assert_true(webhook_complete(w, NULL));
}

static void begin(struct fixture *f)
{
    const struct webhooks_env env = {.loop = &f->loop,
                                     .mailbox = f->mailbox,
                                     .store = f->store,
                                     .pending = &f->pending,
                                     .render = render,
                                     .disabled = on_disabled,
                                     .user = f};
    struct error err;

    f->w = webhooks_create(&env, &f->list, &err);
    if (!f->w)
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct error err;

    clock_fake(1000, INT64_C(1770000000000));
    strcpy(f->dir, "/tmp/jidpost-webhooks-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->url, sizeof f->url, "sqlite://%s/jidpost.db", f->dir);
    fake_store_reset();
    f->store = store_open_with(&store_fake, f->url, &err);
    assert_non_null(f->store);
    uv_loop_init(&f->loop);
    uv_timer_init(&f->loop, &f->nudge);
    uv_timer_start(&f->nudge, on_nudge, 5, 5);
    f->mailbox = mailbox_create(&f->loop, f);
    f->receiver = fake_receiver_create(&f->loop);
    f->other = fake_receiver_create(&f->loop);
    add_hook(f, "ci", fake_receiver_url(f->receiver));
    begin(f);
    *state = f;
    return 0;
}

static void end(struct fixture *f)
{
    webhooks_stop(f->w);
    while (f->pending > 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    webhooks_destroy(&f->w);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct dirent *e;
    DIR *d;

    end(f);
    delivery_free_all(&f->answered.first);
    fake_receiver_destroy(&f->receiver);
    fake_receiver_destroy(&f->other);
    uv_close((uv_handle_t *)&f->nudge, NULL);
    mailbox_destroy(&f->mailbox);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    store_close(&f->store);
    webhook_list_free(&f->list);
    d = opendir(f->dir);
    while ((e = readdir(d)))
        unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(f->dir);
    free(f);
    clock_real();
    return 0;
}

static size_t in_flight(const struct fixture *f)
{
    struct gateway_hooks hooks;
    size_t n = 0;

    assert_true(webhooks_view(f->w, &hooks));
    for (size_t i = 0; i < hooks.count; i++)
        n += hooks.items[i].in_flight;
    gateway_hooks_free(&hooks);
    return n;
}

/* Until all that is due was answered, in no time. */
static void settle(struct fixture *f)
{
    webhooks_tick(f->w);
    while (f->pending > 0 || in_flight(f) > 0)
        uv_run(&f->loop, UV_RUN_ONCE);
}

static void pass(struct fixture *f, int64_t ms)
{
    clock_advance(ms);
    settle(f);
}

static void wait_for(struct fixture *f, const struct fake_receiver *r, size_t count)
{
    for (int turns = 0; fake_receiver_count(r) < count; turns++) {
        if (turns > 4000)
            fail_msg("%zu came, not %zu", fake_receiver_count(r), count);
        uv_run(&f->loop, UV_RUN_ONCE);
    }
}

static void name_id(char out[static ID_SIZE], unsigned n)
{
    snprintf(out, ID_SIZE, "tr_%026u", n);
}

static struct snapshot *transfer(unsigned n)
{
    struct record *r = record_new();

    name_id(r->id, n);
    record_text(&r->to, "ana@example.org/desk");
    record_text(&r->request_id, "rq_7");
    return snapshot_take(r);
}

static void tell(struct fixture *f, unsigned n, enum event_type type)
{
    struct snapshot *s = transfer(n);

    webhooks_tell(f->w, &(struct event){.type = type, .at = clock_wall_ms(), .transfer = s});
    snapshot_release(&s);
}

static uint64_t backlog(struct fixture *f, const char *name)
{
    uint64_t n;

    assert_true(store_backlog(f->store, name, &n, NULL));
    return n;
}

static struct delivery_list deliveries(struct fixture *f)
{
    const struct delivery_filter filter = {.endpoint = "ci", .limit = 1000};
    struct delivery_list list;

    assert_true(store_deliveries(f->store, &filter, &list, NULL));
    return list;
}

static bool says(const struct fake_request *q, enum event_type type, unsigned n)
{
    char id[ID_SIZE], body[120];

    name_id(id, n);
    snprintf(body, sizeof body, "{\"type\":\"%s\",\"data\":\"%s\"}", event_name(type), id);
    return strcmp(q->body, body) == 0;
}

/* ---- the rules */

static void assert_signed(const struct fake_request *q, const char *secret_text, const char *signature)
{
    char *id = fake_request_header(q, "webhook-id"), *stamp = fake_request_header(q, "webhook-timestamp");
    struct webhook_secret secret;
    char wanted[SIGNATURE_TEXT];

    assert_true(webhook_secret_parse(secret_text, &secret));
    assert_true(webhook_sign(&secret, id, strtoll(stamp, NULL, 10), q->body, strlen(q->body), wanted));
    assert_memory_equal(signature, wanted, strlen(wanted));
    assert_int_equal(strtoll(stamp, NULL, 10), clock_wall_ms() / 1000);
    free(id);
    free(stamp);
}

static void an_event_arrives_signed_by_both_secrets_while_they_change(void **state)
{
    struct fixture *f = *state;
    const struct fake_request *q;
    char *signatures, *request_id;

    assert_true(webhook_set_secret(&f->list.items[0], true, OLD_SECRET, NULL));
    assert_true(webhooks_replace(f->w, &f->list, NULL));
    tell(f, 1, EVENT_DELIVERED);
    settle(f);
    assert_int_equal(fake_receiver_count(f->receiver), 1);
    q = fake_receiver_request(f->receiver, 0);
    assert_true(says(q, EVENT_DELIVERED, 1));
    signatures = fake_request_header(q, "webhook-signature");
    assert_signed(q, SECRET, signatures);
    assert_signed(q, OLD_SECRET, strchr(signatures, ' ') + 1);
    free(signatures);
    request_id = fake_request_header(q, "X-Request-Id");
    assert_string_equal(request_id, "rq_7");
    free(request_id);
    assert_int_equal(backlog(f, "ci"), 0);
}

/* What was sent again has the id that it had; nothing is left out, and of each transfer the order holds. */
static void after_ten_minutes_without_its_receiver_everything_arrives_in_order(void **state)
{
    enum { TRANSFERS = 12 };
    static const enum event_type story[] = {EVENT_CREATED, EVENT_ACCEPTED, EVENT_DELIVERED};
    unsigned told[TRANSFERS] = {0};
    struct fixture *f = *state;

    fake_receiver_down(f->receiver, true);
    for (unsigned i = 0; i < TRANSFERS; i++) {
        for (unsigned k = 0; k < 3; k++)
            tell(f, i, story[k]);
        for (unsigned k = 0; k < 5; k++)
            pass(f, 10 * second); /* in all: ten minutes */
    }
    assert_int_equal(fake_receiver_count(f->receiver), 0);
    assert_int_equal(backlog(f, "ci"), 3 * TRANSFERS);
    fake_receiver_down(f->receiver, false);
    for (int64_t waited = 0; backlog(f, "ci") > 0 && waited < hour; waited += 10 * second)
        pass(f, 10 * second);
    assert_int_equal(fake_receiver_count(f->receiver), 3 * TRANSFERS);
    for (size_t n = 0; n < 3 * TRANSFERS; n++) {
        const struct fake_request *q = fake_receiver_request(f->receiver, n);
        unsigned i = 0;

        while (i < TRANSFERS && (told[i] == 3 || !says(q, story[told[i]], i)))
            i++;
        if (i == TRANSFERS)
            fail_msg("request %zu is out of order: %s", n, q->body);
        told[i]++;
    }
}

static void a_repeated_one_has_its_id_and_body_and_a_new_signature(void **state)
{
    struct fixture *f = *state;
    char *first, *second_id, *signature;

    fake_receiver_answers(f->receiver, BROKEN);
    tell(f, 1, EVENT_FAILED);
    settle(f);
    fake_receiver_answers(f->receiver, TAKEN);
    pass(f, 4 * second);
    assert_int_equal(fake_receiver_count(f->receiver), 1);
    pass(f, 2 * second);
    assert_int_equal(fake_receiver_count(f->receiver), 2);
    first = fake_request_header(fake_receiver_request(f->receiver, 0), "webhook-id");
    second_id = fake_request_header(fake_receiver_request(f->receiver, 1), "webhook-id");
    signature = fake_request_header(fake_receiver_request(f->receiver, 1), "webhook-signature");
    assert_string_equal(first, second_id);
    assert_string_equal(fake_receiver_request(f->receiver, 0)->body, fake_receiver_request(f->receiver, 1)->body);
    assert_signed(fake_receiver_request(f->receiver, 1), SECRET, signature);
    free(first);
    free(second_id);
    free(signature);
}

static void what_failed_holds_back_its_own_transfer_alone(void **state)
{
    struct fixture *f = *state;

    fake_receiver_answers(f->receiver, BROKEN);
    tell(f, 1, EVENT_ACCEPTED);
    settle(f);
    fake_receiver_answers(f->receiver, TAKEN);
    tell(f, 1, EVENT_DELIVERED);
    tell(f, 2, EVENT_DELIVERED);
    settle(f);
    assert_int_equal(fake_receiver_count(f->receiver), 2);
    assert_true(says(fake_receiver_request(f->receiver, 1), EVENT_DELIVERED, 2));
    pass(f, 6 * second);
    assert_int_equal(fake_receiver_count(f->receiver), 4);
    assert_true(says(fake_receiver_request(f->receiver, 2), EVENT_ACCEPTED, 1));
    assert_true(says(fake_receiver_request(f->receiver, 3), EVENT_DELIVERED, 1));
}

static void on_again(void *user, struct delivery_list *list, const struct error *err)
{
    struct fixture *f = user;

    f->answered = *list;
    *list = (struct delivery_list){0};
    f->error = err ? *err : (struct error){0};
}

static struct delivery *read_one(struct fixture *f, const char *id)
{
    const struct delivery_filter filter = {.id = id, .limit = 1};
    struct delivery_list list;

    assert_true(store_deliveries(f->store, &filter, &list, NULL));
    assert_int_equal(list.count, 1);
    return list.first;
}

/* The first and seven more, within the pauses of the schedule. */
static void after_eight_times_it_is_dead_and_sent_again_when_asked_for(void **state)
{
    const int64_t pauses[] = {5 * second, 5 * minute, 30 * minute, 2 * hour, 5 * hour, 10 * hour, 14 * hour};
    struct fixture *f = *state;
    struct delivery_list list;
    char id[ID_SIZE];

    fake_receiver_answers(f->receiver, BROKEN);
    tell(f, 1, EVENT_FAILED);
    settle(f);
    for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++) {
        pass(f, pauses[i] - 1);
        assert_int_equal(fake_receiver_count(f->receiver), 1 + i);
        pass(f, pauses[i] / 10 + 2);
        assert_int_equal(fake_receiver_count(f->receiver), 2 + i);
    }
    pass(f, 24 * hour);
    assert_int_equal(fake_receiver_count(f->receiver), 8);
    list = deliveries(f);
    assert_int_equal(list.count, 1);
    assert_int_equal(list.first->state, DELIVERY_DEAD);
    assert_int_equal(list.first->tried, 8);
    assert_int_equal(list.first->status, 500);
    assert_string_equal(list.first->reason, "answered 500");
    assert_true(list.first->finished > 0);
    memcpy(id, list.first->id, sizeof id);
    delivery_free_all(&list.first);

    fake_receiver_answers(f->receiver, TAKEN);
    webhooks_again(f->w, read_one(f, id), on_again, f);
    settle(f);
    assert_int_equal(f->error.code, ERR_NONE);
    assert_string_equal(f->answered.first->id, id);
    assert_int_equal(f->answered.first->state, DELIVERY_PENDING);
    assert_int_equal(fake_receiver_count(f->receiver), 9);
    list = deliveries(f);
    assert_int_equal(list.first->state, DELIVERY_DELIVERED);
    assert_int_equal(list.first->tried, 1);
    delivery_free_all(&list.first);
}

static void a_receiver_that_asks_for_time_gets_it(void **state)
{
    struct fixture *f = *state;

    fake_receiver_answers(f->receiver, BUSY);
    tell(f, 1, EVENT_FAILED);
    settle(f);
    pass(f, hour - 1);
    assert_int_equal(fake_receiver_count(f->receiver), 1);
    pass(f, hour / 10 + 2);
    assert_int_equal(fake_receiver_count(f->receiver), 2);
}

static void a_receiver_that_is_gone_is_told_nothing_more_until_the_configuration_is_read_again(void **state)
{
    struct fixture *f = *state;
    struct delivery_list list;

    fake_receiver_answers(f->receiver, GONE);
    tell(f, 1, EVENT_ACCEPTED);
    tell(f, 1, EVENT_DELIVERED);
    settle(f);
    assert_int_equal(f->disabled, 1);
    assert_int_equal(fake_receiver_count(f->receiver), 1);
    fake_receiver_answers(f->receiver, TAKEN);
    tell(f, 2, EVENT_DELIVERED);
    pass(f, hour);
    assert_int_equal(fake_receiver_count(f->receiver), 1);
    list = deliveries(f);
    assert_int_equal(list.count, 2); /* of the second transfer there is none */
    assert_int_equal(list.first->next->state, DELIVERY_DEAD);
    webhooks_again(f->w, read_one(f, list.first->next->id), on_again, f);
    assert_int_equal(f->error.code, ERR_STATE_CONFLICT);
    delivery_free_all(&list.first);

    assert_true(webhooks_replace(f->w, &f->list, NULL));
    settle(f);
    assert_int_equal(fake_receiver_count(f->receiver), 2);
    assert_true(says(fake_receiver_request(f->receiver, 1), EVENT_DELIVERED, 1));
}

/* One in the middle of its way counts as not sent. */
static void what_was_due_before_a_crash_is_due_after_it(void **state)
{
    struct fixture *f = *state;

    fake_receiver_answers(f->receiver, NULL);
    tell(f, 1, EVENT_DELIVERED);
    wait_for(f, f->receiver, 1);
    end(f);
    assert_int_equal(backlog(f, "ci"), 1);
    fake_receiver_answers(f->receiver, TAKEN);
    begin(f);
    settle(f);
    assert_int_equal(fake_receiver_count(f->receiver), 2);
    assert_string_equal(fake_receiver_request(f->receiver, 0)->body, fake_receiver_request(f->receiver, 1)->body);
    assert_int_equal(backlog(f, "ci"), 0);
}

static void a_receiver_that_never_answers_has_eight_requests_and_keeps_up_nobody_else(void **state)
{
    enum { EVENTS = 40 };
    struct fixture *f = *state;

    add_hook(f, "mail", fake_receiver_url(f->other));
    assert_true(webhooks_replace(f->w, &f->list, NULL));
    fake_receiver_answers(f->receiver, NULL);
    for (unsigned i = 0; i < EVENTS; i++)
        tell(f, i, EVENT_DELIVERED);
    wait_for(f, f->other, EVENTS);
    wait_for(f, f->receiver, 8);
    for (int turns = 0; turns < 20; turns++)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(fake_receiver_count(f->receiver), 8);
    assert_int_equal(backlog(f, "ci"), EVENTS);
}

/* It is sent once more: the outcome could not be noted. */
static void a_store_that_cannot_be_written_costs_a_repetition(void **state)
{
    struct fixture *f = *state;

    fake_receiver_answers(f->receiver, NULL);
    tell(f, 1, EVENT_DELIVERED);
    wait_for(f, f->receiver, 1);
    fake_store_fail_commit(true);
    fake_receiver_down(f->receiver, true); /* the answer that there is */
    settle(f);
    fake_receiver_down(f->receiver, false);
    fake_receiver_answers(f->receiver, TAKEN);
    pass(f, 4 * second);
    assert_int_equal(fake_receiver_count(f->receiver), 1); /* it rests, and asks nobody in a circle */
    fake_store_fail_commit(false);
    pass(f, 2 * second);
    assert_int_equal(fake_receiver_count(f->receiver), 2);
    assert_int_equal(backlog(f, "ci"), 0);
}

/* The outcome is committed while somebody looks at what was due before. */
static void what_is_settled_while_the_store_is_asked_is_not_sent_again(void **state)
{
    struct fixture *f = *state;

    fake_receiver_answers(f->receiver, NULL);
    tell(f, 1, EVENT_DELIVERED);
    wait_for(f, f->receiver, 1);
    while (f->pending > 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    fake_store_hold_due(true);
    tell(f, 2, EVENT_DELIVERED);
    while (!fake_store_due_is_held())
        uv_run(&f->loop, UV_RUN_ONCE);
    fake_receiver_down(f->receiver, true);
    while (in_flight(f) > 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    fake_receiver_down(f->receiver, false);
    fake_receiver_answers(f->receiver, TAKEN);
    fake_store_hold_due(false);
    settle(f);
    assert_int_equal(fake_receiver_count(f->receiver), 2);
    assert_true(says(fake_receiver_request(f->receiver, 1), EVENT_DELIVERED, 2));
    pass(f, 6 * second);
    assert_int_equal(fake_receiver_count(f->receiver), 3);
}

static void on_tested(void *user, const struct gateway_hook_test *test, const struct error *err)
{
    struct fixture *f = user;

    f->tested++;
    f->error = err ? *err : (struct error){0};
    if (test)
        f->test = *test;
}

static void a_test_is_sent_at_once_and_kept_nowhere(void **state)
{
    struct fixture *f = *state;
    const struct fake_request *q;
    char *signature;

    webhooks_test(f->w, "ci", on_tested, f);
    while (f->tested == 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_true(f->test.taken);
    assert_int_equal(f->test.status, 204);
    q = fake_receiver_request(f->receiver, 0);
    assert_non_null(strstr(q->body, "{\"type\":\"webhook.test\",\"timestamp\":\"2026-"));
    assert_non_null(strstr(q->body, "\"data\":{\"webhook\":\"ci\"}}"));
    signature = fake_request_header(q, "webhook-signature");
    assert_signed(q, SECRET, signature);
    free(signature);
    assert_int_equal(deliveries(f).count, 0);
    fake_receiver_answers(f->receiver, BROKEN);
    webhooks_test(f->w, "ci", on_tested, f);
    while (f->tested == 1)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_false(f->test.taken);
    assert_string_equal(f->test.why, "answered 500");
    webhooks_test(f->w, "no", on_tested, f);
    assert_int_equal(f->tested, 3);
    assert_int_equal(f->error.code, ERR_NOT_FOUND);
}

static void what_waits_for_one_that_changed_goes_to_where_it_is_now(void **state)
{
    struct fixture *f = *state;

    fake_receiver_answers(f->receiver, NULL);
    tell(f, 1, EVENT_DELIVERED);
    wait_for(f, f->receiver, 1);
    webhook_list_free(&f->list);
    add_hook(f, "ci", fake_receiver_url(f->other));
    assert_true(webhooks_replace(f->w, &f->list, NULL));
    settle(f);
    assert_int_equal(fake_receiver_count(f->other), 1);
    webhook_list_free(&f->list);
    assert_true(webhooks_replace(f->w, &f->list, NULL));
    tell(f, 2, EVENT_DELIVERED);
    settle(f);
    assert_int_equal(fake_receiver_count(f->other), 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(an_event_arrives_signed_by_both_secrets_while_they_change),
        T(after_ten_minutes_without_its_receiver_everything_arrives_in_order),
        T(a_repeated_one_has_its_id_and_body_and_a_new_signature),
        T(what_failed_holds_back_its_own_transfer_alone),
        T(after_eight_times_it_is_dead_and_sent_again_when_asked_for),
        T(a_receiver_that_asks_for_time_gets_it),
        T(a_receiver_that_is_gone_is_told_nothing_more_until_the_configuration_is_read_again),
        T(what_was_due_before_a_crash_is_due_after_it),
        T(a_receiver_that_never_answers_has_eight_requests_and_keeps_up_nobody_else),
        T(a_store_that_cannot_be_written_costs_a_repetition),
        T(what_is_settled_while_the_store_is_asked_is_not_sent_again),
        T(a_test_is_sent_at_once_and_kept_nowhere),
        T(what_waits_for_one_that_changed_goes_to_where_it_is_now),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
