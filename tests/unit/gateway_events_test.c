/* gateway/events: the journal of what happened, its readers and those who wait for more. */
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

#include "gateway/events.h"

enum { MOST = 4 };

static int set_up(void **state)
{
    *state = events_create(MOST);
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    struct events *ev = *state;

    events_destroy(&ev);
    assert_null(ev);
    events_destroy(&ev);
    return 0;
}

static const char *id_of(unsigned n)
{
    static char id[ID_SIZE];

    snprintf(id, sizeof id, "tr_%026u", n);
    return id;
}

static struct record *numbered(unsigned n, const char *to, const char *token)
{
    struct record *r = record_new();

    memcpy(r->id, id_of(n), ID_SIZE);
    assert_true(record_text(&r->to, to) && record_text(&r->token, token));
    return r;
}

static void publish_of(struct events *ev, enum event_type type, unsigned n, const char *to, const char *token)
{
    struct snapshot *s = snapshot_take(numbered(n, to, token));

    events_publish(ev, &(struct event){.type = type, .transfer = s});
    snapshot_release(&s);
}

static void publish(struct events *ev, enum event_type type, unsigned n)
{
    publish_of(ev, type, n, "ana@example.org", NULL);
}

static void publish_marked(struct events *ev, enum event_type type, unsigned n, const char *labels)
{
    struct record *r = numbered(n, "ana@example.org", NULL);
    struct snapshot *s;

    record_text(&r->labels, labels);
    s = snapshot_take(r);
    events_publish(ev, &(struct event){.type = type, .transfer = s});
    snapshot_release(&s);
}

/* "created1 held2 …": what comes after `after`; the transfer's number behind each. */
static const char *told(struct events *ev, const struct event_filter *f, uint64_t after)
{
    static char text[256];
    enum events_next next;
    struct event *e;

    text[0] = '\0';
    while ((next = events_next(ev, f, &after, &e)) != EVENTS_NONE) {
        size_t len = strlen(text);

        if (next == EVENTS_GAP)
            snprintf(text + len, sizeof text - len, "%sgap", len ? " " : "");
        else
            snprintf(text + len, sizeof text - len, "%s%s%s", len ? " " : "", strchr(event_name(e->type), '.') + 1,
                     e->transfer ? snapshot_record(e->transfer)->id + ID_LEN - 1 : "");
        event_release(&e);
    }
    assert_int_equal(after, events_newest(ev));
    return text;
}

/* ---- the rules */

static void every_type_is_found_by_its_name(void **state)
{
    enum event_type type;

    (void)state;
    for (size_t i = 0; i < EVENT_TYPE_COUNT; i++) {
        assert_true(event_parse(event_name((enum event_type)i), &type));
        assert_int_equal(type, i);
    }
    assert_false(event_parse("transfer.lost", &type));
    assert_false(event_parse("", &type));
}

static void a_state_has_its_event(void **state)
{
    static const struct {
        enum transfer_state in;
        int64_t next;
        const char *want;
    } rows[] = {
        {TRANSFER_QUEUED, 0, "transfer.queued"},
        {TRANSFER_QUEUED, 1, "transfer.retrying"},
        {TRANSFER_HELD, 0, "transfer.held"},
        {TRANSFER_OFFERING, 0, "transfer.offered"},
        {TRANSFER_CONNECTING, 0, "transfer.accepted"},
        {TRANSFER_TRANSFERRING, 0, "transfer.progress"},
        {TRANSFER_DELIVERED, 0, "transfer.delivered"},
        {TRANSFER_LINK_SENT, 0, "transfer.link_sent"},
        {TRANSFER_LINK_FETCHED, 0, "transfer.link_fetched"},
        {TRANSFER_FAILED, 0, "transfer.failed"},
        {TRANSFER_CANCELLED, 0, "transfer.cancelled"},
        {TRANSFER_EXPIRED, 0, "transfer.expired"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(
            event_name(event_of(&(struct record){.state = rows[i].in, .next_attempt_at = rows[i].next})), rows[i].want);
}

static void events_are_numbered_and_come_in_order(void **state)
{
    const struct event_filter all = {0};
    struct events *ev = *state;

    assert_string_equal(told(ev, &all, 0), "");
    publish(ev, EVENT_CREATED, 1);
    publish(ev, EVENT_HELD, 1);
    publish(ev, EVENT_CREATED, 2);
    assert_int_equal(events_newest(ev), 3);
    assert_string_equal(told(ev, &all, 0), "created1 held1 created2");
    assert_string_equal(told(ev, &all, 1), "held1 created2");
    assert_string_equal(told(ev, &all, 3), "");
    assert_int_equal(strlen(events_run(ev)), 8);
}

static void a_reader_gets_what_he_asked_for(void **state)
{
    struct event_filter rows[] = {{.types = EVENT_BIT(EVENT_HELD) | EVENT_BIT(EVENT_XMPP_CONNECTED)},
                                  {.token = "ci-1"},
                                  {.to = "ana@example.org"},
                                  {.to = "ana@example.org/desk"},
                                  {.to = "ana@example.or"},
                                  {.id = ""}};
    static const char *const want[] = {"held1 connected", "held1 connected", "held1 created2", "created2", "",
                                       "created3"};
    struct events *ev = *state;

    publish_of(ev, EVENT_HELD, 1, "ana@example.org", "ci-1");
    publish_of(ev, EVENT_CREATED, 2, "ana@example.org/desk", NULL);
    publish_of(ev, EVENT_CREATED, 3, "bob@example.org", "ci-2");
    events_publish(ev, &(struct event){.type = EVENT_XMPP_CONNECTED, .subject = (char *)"gw@example.org"});
    memcpy(rows[5].id, id_of(3), ID_SIZE);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(told(ev, &rows[i], 0), want[i]);
}

static void who_asks_for_labels_is_told_of_transfers_with_all_of_them(void **state)
{
    static const struct event_filter rows[] = {
        {.labels = "\njob:x\n"}, {.labels = "\nbuild:7\njob:x\n"}, {.labels = "\njob:y\n"}};
    static const char *const want[] = {"held1 created2", "created2", ""};
    static const char *const labels[] = {"\njob:x\n", "\nbuild:7\njob:x\n", NULL};
    struct events *ev = *state;

    for (unsigned i = 0; i < 3; i++)
        publish_marked(ev, i == 0 ? EVENT_HELD : EVENT_CREATED, i + 1, labels[i]);
    events_publish(ev, &(struct event){.type = EVENT_XMPP_CONNECTED, .subject = (char *)"gw@example.org"});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(told(ev, &rows[i], 0), want[i]);
}

/* Who may not see the inbox hears nothing of it; whoever may, of the addresses that are his. */
static void a_received_file_is_told_by_its_address(void **state)
{
    static char *const gw[] = {"gw@*", NULL}, *const not_gw[] = {"!gw@*", NULL};
    static const struct {
        struct event_filter f;
        const char *want;
    } rows[] = {
        {{0}, "held1 received"},
        {{.no_inbox = true}, "held1"},
        {{.token = "ci-1"}, "received"},
        {{.token = "ci-1", .no_inbox = true}, ""},
        {{.inbox_of = gw}, "held1 received"},
        {{.inbox_of = not_gw}, "held1"},
        {{.to = "gw@example.org"}, "received"},
        {{.to = "ana@example.org"}, "held1"},
        {{.labels = "\njob:x\n"}, ""},
        {{.id = "tr_00000000000000000000000001"}, "held1"},
        {{.types = EVENT_BIT(EVENT_INBOX_RECEIVED)}, "received"},
    };
    struct inbox_item item = {.to = (char *)"gw@example.org", .name = (char *)"a.txt", .type = (char *)"text/plain"};
    struct events *ev = *state;

    publish(ev, EVENT_HELD, 1);
    events_publish(ev, &(struct event){.type = EVENT_INBOX_RECEIVED, .item = &item});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(told(ev, &rows[i].f, 0), rows[i].want) != 0)
            fail_msg("row %zu: %s", i, told(ev, &rows[i].f, 0));
}

/* Only its owner, and who sees all, hears of a batch; only the latter of a webhook. */
static void what_is_about_no_transfer_has_an_owner_or_is_for_all(void **state)
{
    struct events *ev = *state;

    events_publish(ev, &(struct event){.type = EVENT_BATCH_COMPLETED, .token = (char *)"ci-1"});
    events_publish(ev, &(struct event){.type = EVENT_WEBHOOK_DISABLED, .subject = (char *)"ops"});
    assert_string_equal(told(ev, &(struct event_filter){.token = "ci-1"}, 0), "completed");
    assert_string_equal(told(ev, &(struct event_filter){.token = "ci-2"}, 0), "");
    assert_string_equal(told(ev, &(struct event_filter){0}, 0), "completed disabled");
}

static void who_is_too_late_is_told_of_the_gap(void **state)
{
    const struct event_filter all = {0};
    struct events *ev = *state;

    for (unsigned n = 1; n <= MOST + 2; n++)
        publish(ev, EVENT_CREATED, n);
    assert_string_equal(told(ev, &all, 0), "gap");
    assert_string_equal(told(ev, &all, 1), "gap");
    assert_string_equal(told(ev, &all, 2), "created3 created4 created5 created6");
    assert_string_equal(told(ev, &all, 7), "gap"); /* of another run, or made up */
    events_lose(ev);
    assert_string_equal(told(ev, &all, 6), "gap");
    publish(ev, EVENT_HELD, 1);
    assert_string_equal(told(ev, &all, 7), "held1");
}

static void of_each_transfer_the_newest_progress_stands(void **state)
{
    const struct event_filter all = {0};
    struct events *ev = *state;

    publish(ev, EVENT_CREATED, 1);
    publish(ev, EVENT_CREATED, 2);
    for (unsigned i = 0; i < 20; i++) {
        publish(ev, EVENT_PROGRESS, 1);
        publish(ev, EVENT_PROGRESS, 2);
    }
    assert_string_equal(told(ev, &all, 0), "created1 created2 progress1 progress2");
    publish(ev, EVENT_DELIVERED, 1);
    assert_string_equal(told(ev, &all, 0), "created1 created2 progress2 delivered1");
}

static void an_event_outlives_its_place_in_the_journal(void **state)
{
    const struct event_filter all = {0};
    struct events *ev = *state;
    uint64_t after = 0;
    struct event *e;

    publish(ev, EVENT_PROGRESS, 1);
    assert_int_equal(events_next(ev, &all, &after, &e), EVENTS_FOUND);
    for (unsigned n = 1; n <= MOST + 1; n++)
        publish(ev, EVENT_CREATED, n);
    assert_string_equal(snapshot_record(e->transfer)->to, "ana@example.org");
    event_release(&e);
}

struct heard {
    unsigned count;
    enum event_type types[8];
};

static void on_event(void *user, const struct event *e)
{
    struct heard *heard = user;

    heard->types[heard->count++] = e->type;
}

static void a_listener_hears_all_even_what_is_not_kept(void **state)
{
    struct events *ev = *state;
    struct heard heard = {0};

    events_listen(ev, on_event, &heard);
    publish(ev, EVENT_CREATED, 1);
    publish(ev, EVENT_PROGRESS, 1);
    publish(ev, EVENT_DELIVERED, 1);
    assert_int_equal(heard.count, 3);
    assert_int_equal(heard.types[0], EVENT_CREATED);
    assert_int_equal(heard.types[1], EVENT_PROGRESS);
    assert_int_equal(heard.types[2], EVENT_DELIVERED);
}

/* ---- who waits */

static void on_wake(void *user)
{
    atomic_fetch_add((atomic_uint *)user, 1);
}

static void only_news_that_fit_wake(void **state)
{
    struct event_filter one = {0}, held = {.types = EVENT_BIT(EVENT_HELD)};
    struct events *ev = *state;
    atomic_uint first = 0, second = 0;
    struct event_waiter a = {.filter = &one, .wake = on_wake, .user = &first};
    struct event_waiter b = {.filter = &held, .wake = on_wake, .user = &second};

    memcpy(one.id, id_of(1), ID_SIZE);
    assert_true(events_wait(ev, &a, 0) && events_wait(ev, &b, 0));
    publish(ev, EVENT_CREATED, 2);
    assert_int_equal(first + second, 0);
    publish(ev, EVENT_CREATED, 1);
    assert_int_equal(first, 1);
    publish(ev, EVENT_PROGRESS, 1);
    assert_int_equal(first, 1); /* woken once */
    assert_false(events_withdraw(ev, &a));
    publish(ev, EVENT_HELD, 3);
    assert_int_equal(second, 1);
    assert_false(events_wait(ev, &a, 0)); /* there is something */
    assert_true(events_wait(ev, &a, events_newest(ev)));
    assert_true(events_withdraw(ev, &a));
    publish(ev, EVENT_DELIVERED, 1);
    assert_int_equal(first, 1);
}

static void a_gap_wakes_everybody(void **state)
{
    struct event_filter one = {0};
    struct events *ev = *state;
    atomic_uint woken = 0;
    struct event_waiter a = {.filter = &one, .wake = on_wake, .user = &woken};

    memcpy(one.id, id_of(1), ID_SIZE);
    assert_true(events_wait(ev, &a, 0));
    events_lose(ev);
    assert_int_equal(woken, 1);
    assert_false(events_wait(ev, &a, 0));
}

/* ---- many threads */

struct reader {
    struct events *ev;
    struct event_filter filter;
    atomic_bool armed;
    atomic_uint wakes;
    uint64_t last;
    unsigned gaps, seen, disorder;
    atomic_bool *over;
};

static void wake_reader(void *user)
{
    struct reader *reader = user;

    atomic_fetch_add(&reader->wakes, 1);
    atomic_store(&reader->armed, false);
}

static void *read_on(void *user)
{
    struct reader *reader = user;
    struct event_waiter w = {.filter = &reader->filter, .wake = wake_reader, .user = reader};
    uint64_t after = 0;

    while (!atomic_load(reader->over)) {
        struct event *e;
        enum events_next next = events_next(reader->ev, &reader->filter, &after, &e);

        reader->gaps += next == EVENTS_GAP;
        if (e && e->seq <= reader->last)
            reader->disorder++;
        if (e)
            reader->last = e->seq;
        reader->seen += e != NULL;
        event_release(&e);
        if (next != EVENTS_NONE || atomic_load(&reader->armed))
            continue;
        atomic_store(&reader->armed, true);
        if (!events_wait(reader->ev, &w, after) || (after % 2 && events_withdraw(reader->ev, &w)))
            atomic_store(&reader->armed, false);
    }
    if (!events_withdraw(reader->ev, &w))
        while (atomic_load(&reader->armed)) /* a wake is on its way */
            ;
    return NULL;
}

static void readers_and_the_publisher_do_not_disturb_each_other(void **state)
{
    struct reader readers[3] = {0};
    atomic_bool over = false;
    pthread_t threads[3];

    for (size_t i = 0; i < 3; i++) {
        readers[i].ev = *state;
        readers[i].over = &over;
        if (i > 0)
            memcpy(readers[i].filter.id, id_of((unsigned)i), ID_SIZE);
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
    }
    for (unsigned i = 0; i < 5000; i++)
        publish(*state, i % 3 ? EVENT_PROGRESS : EVENT_HELD, i % 4);
    atomic_store(&over, true);
    for (size_t i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(readers[i].disorder, 0);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_found_by_its_name),
        cmocka_unit_test(a_state_has_its_event),
        T(events_are_numbered_and_come_in_order),
        T(a_reader_gets_what_he_asked_for),
        T(who_asks_for_labels_is_told_of_transfers_with_all_of_them),
        T(a_received_file_is_told_by_its_address),
        T(what_is_about_no_transfer_has_an_owner_or_is_for_all),
        T(who_is_too_late_is_told_of_the_gap),
        T(of_each_transfer_the_newest_progress_stands),
        T(an_event_outlives_its_place_in_the_journal),
        T(a_listener_hears_all_even_what_is_not_kept),
        T(only_news_that_fit_wake),
        T(a_gap_wakes_everybody),
        T(readers_and_the_publisher_do_not_disturb_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
