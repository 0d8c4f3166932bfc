/* xmpp/raw_ibb.c: XEP-0047 with no offer before it. */
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

#define OPEN                                                                                                           \
    "<iq type='set' id='*id' to='" TARGET "'><open xmlns='" NS_IBB "' sid='*sid' block-size='4096' stanza='iq'/></iq>"
#define CLOSE "<iq type='set' id='*id' to='" TARGET "'><close xmlns='" NS_IBB "' sid='$sid'/></iq>"
#define YES   "<iq type='result' id='$id' from='" TARGET "'/>"

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
        method_ibb.end(&b->method, NULL);
    peer_stop(&b->peer);
    return 0;
}

static void begin(struct bench *b, bool only_method, unsigned answer_ms)
{
    struct offer o = {.to = &b->to, .name = "a.txt", .answer_ms = answer_ms, .only_method = only_method};
    struct error err;

    b->method = method_ibb.offer(&b->host.host, &b->peer.network, &o, &err);
    assert_non_null(b->method);
    peer_turn(&b->peer);
    peer_expects(&b->peer, OPEN);
}

static void open_is_the_offer_and_its_answer_the_yes(void **state)
{
    struct bench *b = *state;
    char timeline[1024];

    begin(b, false, 300 * 1000);
    assert_int_equal(b->host.report_count, 0);
    peer_says(&b->peer, YES);
    assert_int_equal(b->host.reports[0].event, METHOD_ACCEPTED);
    assert_int_equal(b->host.reports[1].event, METHOD_STREAM_OPEN);
    method_ibb.stream(b->method, &(struct shared_fd){.fd = -1});
    peer_turn(&b->peer);
    peer_expects(&b->peer, CLOSE);
    peer_says(&b->peer, YES);
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->proof, PROOF_PEER_CONFIRMED);
    assert_string_equal(fake_host_timeline(&b->host, timeline), "offer ibb; ibb open ok; ibb close ok");
    assert_string_equal(b->host.path, "inband");
}

static void refused_stream_is_told_as_such(void **state)
{
    struct bench *b = *state;
    char timeline[1024];

    begin(b, false, 300 * 1000);
    peer_refuses(&b->peer, TARGET, "cancel", "not-acceptable", "");
    assert_int_equal(fake_host_error(&b->host), ERR_IBB_REFUSED);
    assert_string_equal(fake_host_timeline(&b->host, timeline), "offer ibb; ibb error");
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

static void file_over_the_limit_is_not_sent(void **state)
{
    struct bench *b = *state;
    struct offer o = {.to = &b->to, .name = "a.txt", .size = (2 << 20) + 1, .only_method = true};
    struct error err = {0};

    assert_null(method_ibb.offer(&b->host.host, &b->peer.network, &o, &err));
    assert_int_equal(err.code, ERR_METHOD_UNSUPPORTED);
    assert_non_null(strstr(err.text, "2097152"));
    peer_expects_nothing(&b->peer);
}

static void recipient_must_announce_inband_streams(void **state)
{
    (void)state;
    assert_string_equal(method_ibb.name, "ibb");
    assert_string_equal(method_ibb.needs[0], NS_IBB);
    assert_null(method_ibb.needs[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(open_is_the_offer_and_its_answer_the_yes),
        TEST(refused_stream_is_told_as_such),
        TEST(silence_costs_ten_seconds_where_other_methods_are_left),
        TEST(file_over_the_limit_is_not_sent),
        TEST(recipient_must_announce_inband_streams),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
