/* xmpp/raw_s5b.c: XEP-0065 with no offer before it; xmpp/methods.c: the list it stands in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/fake/carrier.h"
#include "tests/fake/method_host.h"
#include "tests/fake/xmpp/peer.h"
#include "xmpp/ns.h"

#define OFFER                                                                                                          \
    "<iq type='set' id='*id' to='" TARGET "'><query xmlns='" NS_BYTESTREAMS                                            \
    "' sid='*sid' mode='tcp'><streamhost jid='" INITIATOR "' host='198.51.100.7' port='5086'/></query></iq>"

struct bench {
    struct peer peer;
    struct fake_carrier carrier;
    struct fake_host host;
    struct jid to;
    struct method *method;
};

static int setup(void **state)
{
    static struct bench b;

    memset(&b, 0, sizeof b);
    peer_start(&b.peer, NULL);
    fake_carrier_init(&b.carrier);
    fake_host_init(&b.host, &b.carrier.carrier, &b.peer.loop);
    assert_true(jid_parse(&b.to, TARGET, strlen(TARGET), NULL));
    *state = &b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;

    if (b->method)
        method_s5b.end(&b->method, NULL);
    assert_null(fake_carrier_stream(&b->carrier));
    peer_stop(&b->peer);
    return 0;
}

static void begin(struct bench *b, bool only_method, unsigned answer_ms)
{
    struct offer o = {.to = &b->to, .name = "a.txt", .size = 3, .answer_ms = answer_ms, .only_method = only_method};
    struct error err;

    b->method = method_s5b.offer(&b->host.host, &b->peer.network, &o, &err);
    assert_non_null(b->method);
    peer_turn(&b->peer);
    peer_expects(&b->peer, OFFER);
}

static void streamhosts_are_the_whole_offer_and_the_answer_is_the_yes(void **state)
{
    struct bench *b = *state;
    char timeline[1024];

    begin(b, false, 300 * 1000);
    fake_carrier_says(&b->carrier, CARRIER_CLAIMED, 0);
    assert_int_equal(fake_host_count(&b->host, METHOD_ACCEPTED), 0);
    peer_says(&b->peer, "<iq type='result' id='$id' from='" TARGET "'><query xmlns='" NS_BYTESTREAMS
                        "' sid='$sid'><streamhost-used jid='" INITIATOR "'/></query></iq>");
    assert_int_equal(b->host.reports[0].event, METHOD_ACCEPTED);
    assert_int_equal(b->host.reports[1].event, METHOD_STREAM_OPEN);
    method_s5b.stream(b->method, &(struct shared_fd){.fd = 5});
    fake_carrier_says(&b->carrier, CARRIER_DONE, 3);
    assert_int_equal(fake_host_count(&b->host, METHOD_COMPLETE), 1);
    assert_string_equal(fake_host_timeline(&b->host, timeline), "offer s5b; streamhost-used ok");
}

/* QXmpp and others turn down whatever no SI announced; a caller who wanted nothing else takes it for a no. */
static void not_acceptable_is_a_decline_only_where_nothing_else_was_asked_for(void **state)
{
    static const struct {
        bool only_method;
        enum error_code want;
    } rows[] = {{false, ERR_METHOD_UNSUPPORTED}, {true, ERR_RECIPIENT_DECLINED}};

    for (size_t i = 0; i < 2; i++) {
        struct bench *b = *state;

        begin(b, rows[i].only_method, 300 * 1000);
        peer_refuses(&b->peer, TARGET, "modify", "not-acceptable", "");
        assert_int_equal(fake_host_error(&b->host), rows[i].want);
        teardown(state);
        setup(state);
    }
}

static void silence_costs_ten_seconds_where_other_methods_are_left(void **state)
{
    static const struct {
        bool only_method;
        unsigned answer_ms;
        uint64_t want;
    } rows[] = {{false, 300 * 1000, 10 * 1000}, {false, 4000, 4000}, {true, 300 * 1000, 300 * 1000}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;

        begin(b, rows[i].only_method, rows[i].answer_ms);
        assert_in_range(peer_skip(&b->peer), rows[i].want - 100, rows[i].want);
        assert_int_equal(fake_host_error(&b->host), ERR_RECIPIENT_TIMEOUT);
        teardown(state);
        setup(state);
    }
}

static void ended_offer_hears_no_answer(void **state)
{
    struct bench *b = *state;

    begin(b, false, 1000);
    method_s5b.end(&b->method, &(struct error){.code = ERR_CANCELLED});
    assert_null(b->method);
    peer_refuses(&b->peer, TARGET, "modify", "not-acceptable", "");
    assert_int_equal(b->host.report_count, 0);
}

static void methods_stand_in_order_of_preference(void **state)
{
    (void)state;
    assert_ptr_equal(methods[0], &method_jingle_s5b);
    assert_ptr_equal(methods[1], &method_si_s5b);
    assert_ptr_equal(methods[2], &method_s5b);
    assert_ptr_equal(methods[3], &method_jingle_ibb);
    assert_ptr_equal(methods[4], &method_si_ibb);
    assert_ptr_equal(methods[5], &method_ibb);
    assert_ptr_equal(methods[6], &method_link);
    assert_null(methods[7]);
    assert_string_equal(method_s5b.needs[0], NS_BYTESTREAMS);
    assert_null(method_s5b.needs[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(streamhosts_are_the_whole_offer_and_the_answer_is_the_yes),
        TEST(not_acceptable_is_a_decline_only_where_nothing_else_was_asked_for),
        TEST(silence_costs_ten_seconds_where_other_methods_are_left),
        TEST(ended_offer_hears_no_answer),
        cmocka_unit_test(methods_stand_in_order_of_preference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
