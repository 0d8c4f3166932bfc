/* xmpp/services.c: what our own server has, asked once for all who look for something (XEP-0030). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "tests/fake/xmpp/peer.h"
#include "xmpp/ns.h"
#include "xmpp/services.h"
#include "xmpp/stanza.h"

#define ASKS_ITEMS     "<iq type='get' id='*id' to='example.com'><query xmlns='" NS_DISCO_ITEMS "'/></iq>"
#define ASKS_INFO(jid) "<iq type='get' id='*id' to='" jid "'><query xmlns='" NS_DISCO_INFO "'/></iq>"
#define RESULT(from, ns, content)                                                                                      \
    "<iq type='result' id='$id' from='" from "' to='" INITIATOR "'><query xmlns='" ns "'>" content "</query></iq>"
#define ITEMS(content) RESULT("example.com", NS_DISCO_ITEMS, content)
#define INFO(from)     RESULT(from, NS_DISCO_INFO, "<feature var='urn:x'/>")
#define ITEM(jid)      "<item jid='" jid "'/>"

#define HOUR   (60 * 60 * 1000)
#define MINUTE (60 * 1000)

struct watcher {
    struct services_watcher watcher;
    struct buf told; /* "a.example.com: urn:x; " */
    unsigned settled;
};

struct bench {
    struct peer peer;
    struct services *services;
    struct watcher items, both; /* the second one is interested in the server, too */
};

static void on_told(void *user, const struct jid *jid, xmpp_stanza_t *info)
{
    const char *var = stanza_attr(stanza_child(info, "feature", NULL), "var");

    buf_printf(&((struct watcher *)user)->told, "%s: %s; ", jid->text, info ? (var ? var : "nothing") : "gone");
}

static void on_settled(void *user)
{
    ((struct watcher *)user)->settled++;
}

static void watch(struct bench *b, struct watcher *w, bool server)
{
    w->watcher = (struct services_watcher){.server = server, .told = on_told, .settled = on_settled, .user = w};
    services_watch(b->services, &w->watcher);
}

static int setup(void **state)
{
    static struct bench b;

    memset(&b, 0, sizeof b);
    clock_fake(1000, 1700000000000);
    peer_start(&b.peer, NULL);
    b.services = b.peer.client->services;
    watch(&b, &b.items, false);
    watch(&b, &b.both, true);
    *state = &b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;

    peer_stop(&b->peer);
    buf_free(&b->items.told);
    buf_free(&b->both.told);
    clock_real();
    return 0;
}

static bool find(struct bench *b)
{
    return services_find(b->services, &b->items.watcher);
}

static bool find_both(struct bench *b)
{
    return services_find(b->services, &b->both.watcher);
}

/* What was told since the last look. */
#define assert_told(w, want)                                                                                           \
    do {                                                                                                               \
        assert_string_equal((w).told.data ? (w).told.data : "", want);                                                 \
        buf_free(&(w).told);                                                                                           \
    } while (0)

/* A round in which a.example.com is the one item, and says what it is. */
static void learn_one(struct bench *b)
{
    assert_true(find(b));
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS(ITEM("a.example.com")));
    peer_expects(&b->peer, ASKS_INFO("a.example.com"));
    peer_says(&b->peer, INFO("a.example.com"));
    assert_told(b->items, "a.example.com: urn:x; ");
}

static void every_item_is_asked_once_for_all_who_look(void **state)
{
    struct bench *b = *state;

    assert_true(find(b) && find(b));
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS(ITEM("a.example.com") ITEM("b.example.com") ITEM("a.example.com") ITEM("@@") "<item/>"));
    assert_true(find(b));
    peer_expects(&b->peer, ASKS_INFO("a.example.com"));
    peer_says(&b->peer, INFO("a.example.com"));
    assert_int_equal(b->items.settled, 0);
    peer_expects(&b->peer, ASKS_INFO("b.example.com"));
    peer_says(&b->peer, RESULT("b.example.com", NS_DISCO_INFO, ""));
    peer_expects_nothing(&b->peer);
    assert_told(b->items, "a.example.com: urn:x; b.example.com: nothing; ");
    assert_told(b->both, "a.example.com: urn:x; b.example.com: nothing; ");
    assert_int_equal(b->items.settled, 1);
    assert_int_equal(b->both.settled, 1);
    assert_false(services_busy(b->services));
    assert_false(find(b));
}

static void the_server_itself_is_asked_for_who_looks_there_and_told_to_him(void **state)
{
    struct bench *b = *state;

    learn_one(b);
    assert_told(b->both, "a.example.com: urn:x; ");
    assert_true(find_both(b));
    peer_expects(&b->peer, ASKS_INFO("example.com"));
    peer_says(&b->peer, INFO("example.com"));
    peer_expects_nothing(&b->peer);
    assert_told(b->items, "");
    assert_told(b->both, "example.com: urn:x; ");
    assert_int_equal(b->both.settled, 2);
}

static void the_server_itself_is_asked_last(void **state)
{
    struct bench *b = *state;

    assert_true(find_both(b));
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS(ITEM("a.example.com")));
    peer_expects(&b->peer, ASKS_INFO("a.example.com"));
    peer_expects(&b->peer, ASKS_INFO("example.com"));
    peer_expects_nothing(&b->peer);
}

/* Answers whatever was asked until nothing is; returns how many that were, and never more than 8 at a time. */
static size_t answer_all(struct bench *b, const char *label)
{
    static char ids[80][64];
    size_t sent = 0, answered = 0;

    do {
        struct buf xml = {0};

        for (const char *text; (text = peer_next(&b->peer)); sent++) {
            assert_true(sent < sizeof ids / sizeof *ids);
            assert_non_null(strstr(text, label));
            snprintf(ids[sent], sizeof ids[0], "%s", b->peer.id);
        }
        assert_in_range(sent - answered, 1, 8);
        snprintf(b->peer.id, sizeof b->peer.id, "%s", ids[answered]);
        buf_printf(&xml, "<iq type='result' id='$id' from='%s%zu.example.com'><query xmlns='" NS_DISCO_INFO "'/></iq>",
                   label, answered++);
        peer_says(&b->peer, xml.data);
        buf_free(&xml);
    } while (answered < sent || b->peer.sent);
    return answered;
}

static void of_500_items_64_are_asked_and_8_at_a_time_also_of_the_next_list(void **state)
{
    struct bench *b = *state;
    static const char *const labels[] = {"old", "new"};

    for (size_t k = 0; k < 2; k++) {
        struct buf xml = {0};

        buf_puts(&xml, "<iq type='result' id='$id' from='example.com'><query xmlns='" NS_DISCO_ITEMS "'>");
        for (int i = 0; i < 500; i++)
            buf_printf(&xml, "<item jid='%s%d.example.com'/>", labels[k], i);
        buf_puts(&xml, "</query></iq>");
        clock_advance(HOUR);
        assert_true(find(b));
        peer_expects(&b->peer, ASKS_ITEMS);
        peer_says(&b->peer, xml.data);
        buf_free(&xml);
        assert_int_equal(answer_all(b, labels[k]), 64);
        assert_int_equal(b->items.settled, k + 1);
    }
}

static void what_was_learnt_holds_an_hour_also_in_a_new_session(void **state)
{
    struct bench *b = *state;

    learn_one(b);
    clock_advance(HOUR - MINUTE);
    iq_disconnected(b->peer.client->iq);
    services_doubt(b->services, false);
    assert_false(find(b));
    peer_expects_nothing(&b->peer);
    clock_advance(MINUTE);
    learn_one(b);
}

static void who_left_the_list_is_gone(void **state)
{
    struct bench *b = *state;

    learn_one(b);
    clock_advance(HOUR);
    assert_true(find(b));
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS(""));
    peer_expects_nothing(&b->peer);
    assert_told(b->items, "a.example.com: gone; ");
    assert_int_equal(b->items.settled, 2);
}

static void who_failed_is_asked_again_after_ten_minutes_or_in_a_new_session(void **state)
{
    struct bench *b = *state;

    assert_true(find(b));
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS(ITEM("a.example.com") ITEM("b.example.com")));
    peer_expects(&b->peer, ASKS_INFO("a.example.com"));
    peer_says(&b->peer, INFO("a.example.com"));
    peer_expects(&b->peer, ASKS_INFO("b.example.com"));
    for (int i = 0; i < 2; i++) {
        peer_refuses(&b->peer, "b.example.com", "wait", "remote-server-timeout", "");
        assert_false(find(b));
        clock_advance(i * 9 * MINUTE);
        assert_false(find(b));
        if (i == 0)
            services_doubt(b->services, false);
        else
            clock_advance(MINUTE);
        assert_true(find(b));
        peer_expects(&b->peer, ASKS_INFO("b.example.com"));
        peer_expects_nothing(&b->peer);
    }
    assert_int_equal(peer_skip(&b->peer) > 9900, true); /* silence is a failure as well */
    assert_told(b->items, "a.example.com: urn:x; b.example.com: gone; b.example.com: gone; b.example.com: gone; ");
    assert_int_equal(b->items.settled, 3);
}

static void items_that_cannot_be_had_leave_the_server_itself(void **state)
{
    struct bench *b = *state;

    assert_true(find_both(b));
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_refuses(&b->peer, "example.com", "cancel", "service-unavailable", "");
    peer_expects(&b->peer, ASKS_INFO("example.com"));
    peer_says(&b->peer, INFO("example.com"));
    assert_told(b->both, "example.com: urn:x; ");
    clock_advance(9 * MINUTE);
    assert_false(find(b));
    services_doubt(b->services, false);
    assert_true(find(b));
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_expects_nothing(&b->peer);
}

/* Else it would be asked again with every answer, as often as it answers. */
static void who_answers_after_the_doubt_is_asked_again_when_somebody_looks(void **state)
{
    struct bench *b = *state;

    learn_one(b);
    services_doubt(b->services, true);
    peer_expects_nothing(&b->peer);
    assert_true(find(b));
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS(ITEM("a.example.com")));
    peer_expects(&b->peer, ASKS_INFO("a.example.com"));
    services_doubt(b->services, true);
    peer_says(&b->peer, INFO("a.example.com"));
    peer_expects_nothing(&b->peer);
    assert_int_equal(b->items.settled, 2);
    assert_true(find(b));
    peer_expects(&b->peer, ASKS_ITEMS);
}

static void the_end_of_a_session_tells_nothing_and_leaves_the_rest_to_the_next(void **state)
{
    struct bench *b = *state;

    assert_true(find(b));
    peer_expects(&b->peer, ASKS_ITEMS);
    iq_disconnected(b->peer.client->iq);
    assert_false(services_busy(b->services));
    b->peer.deaf = true;
    assert_false(find(b));
    b->peer.deaf = false;
    assert_true(find(b));
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS(ITEM("a.example.com") ITEM("b.example.com")));
    peer_expects(&b->peer, ASKS_INFO("a.example.com"));
    peer_says(&b->peer, INFO("a.example.com"));
    peer_expects(&b->peer, ASKS_INFO("b.example.com"));
    iq_disconnected(b->peer.client->iq);
    assert_false(services_busy(b->services));
    assert_told(b->items, "a.example.com: urn:x; ");
    assert_int_equal(b->items.settled, 0);
    assert_true(find(b));
    peer_expects(&b->peer, ASKS_INFO("b.example.com"));
    peer_expects_nothing(&b->peer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_item_is_asked_once_for_all_who_look),
        TEST(the_server_itself_is_asked_for_who_looks_there_and_told_to_him),
        TEST(the_server_itself_is_asked_last),
        TEST(of_500_items_64_are_asked_and_8_at_a_time_also_of_the_next_list),
        TEST(what_was_learnt_holds_an_hour_also_in_a_new_session),
        TEST(who_left_the_list_is_gone),
        TEST(who_failed_is_asked_again_after_ten_minutes_or_in_a_new_session),
        TEST(items_that_cannot_be_had_leave_the_server_itself),
        TEST(who_answers_after_the_doubt_is_asked_again_when_somebody_looks),
        TEST(the_end_of_a_session_tells_nothing_and_leaves_the_rest_to_the_next),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
