/* xmpp/jingle_s5b.c: the bytestream that both sides of a Jingle session agree on (XEP-0260). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "tests/fake/xmpp/jingle.h"
#include "xmpp/proxies.h"

#define PROXY                                                                                                          \
    "<candidate cid='p1' type='proxy' host='192.0.2.9' port='7777' jid='proxy.example.org' priority='655360'/>"

static void listener_knows_both_orders_before_the_peer_says_yes(void **state)
{
    struct jingle_bench *b = *state;
    struct carrier_stream *s;
    char name[S5B_NAME];

    jingle_begin(b);
    jingle_look(b);
    s = jingle_to(b, NULL);
    assert_int_equal(s->name_count, 2);
    s5b_name(b->transport, INITIATOR, TARGET, name);
    assert_string_equal(s->names[0], name);
    s5b_name(b->transport, TARGET, INITIATOR, name);
    assert_string_equal(s->names[1], name);
    assert_true(s->wait_ms > b->offer.answer_ms);
}

static void nobody_is_asked_while_there_is_no_candidate(void **state)
{
    struct jingle_bench *b = *state;

    b->carrier.advertises = false;
    jingle_begin(b);
    peer_expects_nothing(&b->peer);
    assert_int_equal(fake_host_error(&b->host), ERR_STREAMHOSTS_UNREACHABLE);
}

/* ---- agreement */

static void peer_that_comes_to_us_gets_the_file(void **state)
{
    struct jingle_bench *b = *state;
    char timeline[1024];

    jingle_streaming(b);
    assert_string_equal(b->host.path, "direct");
    assert_string_equal(b->host.streamhost, INITIATOR);
    fake_stream_says(jingle_to(b, NULL), CARRIER_PROGRESS, 1000);
    fake_stream_says(jingle_to(b, NULL), CARRIER_DONE, JINGLE_SIZE);
    assert_int_equal(fake_host_count(&b->host, METHOD_COMPLETE), 0); /* its word is awaited */
    jingle_says(b, END("success"));
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->proof, PROOF_PEER_CONFIRMED);
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->moved, JINGLE_SIZE);
    assert_string_equal(fake_host_timeline(&b->host, timeline),
                        "offer jingle-s5b; session accepted ok; candidate-used ok; candidate-error; session ended ok");
    method_jingle_s5b.end(&b->method, NULL);
    peer_expects_nothing(&b->peer);
}

static void we_go_to_the_peer_where_it_may_not_send_us_everywhere(void **state)
{
    struct jingle_bench *b = *state;
    struct carrier_stream *s;
    char name[S5B_NAME];

    jingle_accepted(b, ACCEPT(DIRECT));
    s = jingle_to(b, "192.0.2.1");
    assert_int_equal(s->to.port, 1001);
    assert_false(s->trusted); /* the egress filter looks at it */
    s5b_name(b->transport, TARGET, INITIATOR, name);
    assert_string_equal(s->names[0], name); /* its owner first */
    fake_stream_says(s, CARRIER_DIALED, 0);
    jingle_hears(b, "<candidate-used cid='d1'/>");
    assert_int_equal(jingle_opened(b), 0);
    jingle_says(b, INFO("<candidate-error/>"));
    assert_int_equal(jingle_opened(b), 1);
    assert_string_equal(b->host.path, "direct");
    assert_string_equal(b->host.streamhost, TARGET);
    jingle_stream(b);
    assert_int_equal(s->job, FAKE_SENDING);
}

static void direct_candidate_is_asked_by_either_order(void **state)
{
    struct jingle_bench *b = *state;
    char name[S5B_NAME];

    jingle_accepted(b, ACCEPT(DIRECT));
    fake_stream_fails(jingle_to(b, "192.0.2.1"), ERR_STREAMHOSTS_UNREACHABLE, "unknown name", 0);
    s5b_name(b->transport, INITIATOR, TARGET, name);
    assert_string_equal(jingle_to(b, "192.0.2.1")->names[0], name);
    fake_stream_says(jingle_to(b, "192.0.2.1"), CARRIER_DIALED, 0);
    jingle_hears(b, "<candidate-used cid='d1'/>");
}

static void blocked_or_proxied_candidate_is_asked_once(void **state)
{
    struct jingle_bench *b = *state;

    jingle_accepted(b, ACCEPT(DIRECT));
    fake_stream_fails(jingle_to(b, "192.0.2.1"), ERR_EGRESS_BLOCKED, "not there", 0);
    peer_turn(&b->peer);
    jingle_hears(b, "<candidate-error/>");
    jingle_again(state);
    jingle_accepted(b, ACCEPT(PROXY));
    fake_stream_fails(jingle_to(b, "192.0.2.9"), ERR_STREAMHOSTS_UNREACHABLE, "refused", 0);
    peer_turn(&b->peer);
    jingle_hears(b, "<candidate-error/>");
}

static void next_candidate_is_tried_beside_the_first(void **state)
{
    struct jingle_bench *b = *state;

    jingle_accepted(b, ACCEPT(PROXY DIRECT));
    jingle_to(b, "192.0.2.1"); /* the higher priority */
    assert_null(fake_carrier_find(&b->carrier, "192.0.2.9"));
    assert_in_range(peer_skip(&b->peer), 100, 200);
    fake_stream_says(jingle_to(b, "192.0.2.9"), CARRIER_DIALED, 0);
    assert_null(fake_carrier_find(&b->carrier, "192.0.2.1")); /* who comes first wins */
    jingle_hears(b, "<candidate-used cid='p1'/>");
}

static void late_candidates_are_tried(void **state)
{
    struct jingle_bench *b = *state;

    jingle_accepted(b, ACCEPT(""));
    jingle_says(b, INFO(DIRECT));
    peer_turn(&b->peer);
    fake_stream_says(jingle_to(b, "192.0.2.1"), CARRIER_DIALED, 0);
    jingle_hears(b, "<candidate-used cid='d1'/>");
}

static void useless_candidates_do_not_spoil_the_rest(void **state)
{
    struct jingle_bench *b = *state;

    jingle_accepted(b, ACCEPT("<candidate cid='a' type='foo' host='192.0.2.2' port='1' jid='x@y/z' priority='9000000'/>"
                              "<candidate cid='b' host='192.0.2.3' port='1' jid='x@y/z' priority='0'/>"
                              "<candidate cid='c' host='192.0.2.4' port='99999' jid='x@y/z' priority='9000000'/>" DIRECT
                              "<candidate cid='d1' host='192.0.2.5' port='1' jid='x@y/z' priority='9000000'/>"));
    assert_int_equal(fake_carrier_count(&b->carrier), 2); /* and our listener */
    jingle_to(b, "192.0.2.1");
}

static void silence_about_candidates_is_a_candidate_error(void **state)
{
    struct jingle_bench *b = *state;

    jingle_accepted(b, ACCEPT(""));
    assert_in_range(peer_skip(&b->peer), 14000, 15000);
    jingle_hears(b, "<candidate-error/>");
}

static void both_in_error_is_a_failed_transport(void **state)
{
    struct jingle_bench *b = *state;

    jingle_accepted(b, ACCEPT(""));
    peer_skip(&b->peer);
    jingle_hears(b, "<candidate-error/>");
    jingle_says(b, INFO("<candidate-error/>"));
    assert_int_equal(fake_host_error(&b->host), ERR_TRANSPORT_FAILED);
    assert_int_equal(error_retry(ERR_TRANSPORT_FAILED), RETRY_METHOD);
    jingle_give_up(b);
    peer_expects(&b->peer, OUR_END("connectivity-error"));
}

static void higher_priority_wins_when_both_reached_the_other(void **state)
{
    struct jingle_bench *b = *state;

    jingle_accepted(b, ACCEPT(DIRECT)); /* ours is higher: 126 and some thousands */
    fake_stream_says(jingle_to(b, "192.0.2.1"), CARRIER_DIALED, 0);
    jingle_hears(b, "<candidate-used cid='d1'/>");
    fake_stream_says(jingle_to(b, NULL), CARRIER_CLAIMED, 0);
    jingle_uses(b, 0);
    assert_string_equal(b->host.streamhost, INITIATOR);
    jingle_again(state);
    jingle_accepted(b, ACCEPT("<candidate cid='d1' host='192.0.2.1' port='1' jid='" TARGET "' priority='9000001'/>"));
    fake_stream_says(jingle_to(b, "192.0.2.1"), CARRIER_DIALED, 0);
    jingle_hears(b, "<candidate-used cid='d1'/>");
    jingle_uses(b, 0);
    assert_string_equal(b->host.streamhost, TARGET);
}

/* Candidates below what the peer already reached cannot win. */
static void what_cannot_win_is_not_tried_further(void **state)
{
    struct jingle_bench *b = *state;

    jingle_accepted(b, ACCEPT(PROXY));
    jingle_to(b, "192.0.2.9");
    fake_stream_says(jingle_to(b, NULL), CARRIER_CLAIMED, 0);
    jingle_uses(b, 0);
    assert_null(fake_carrier_find(&b->carrier, "192.0.2.9"));
    jingle_hears(b, "<candidate-error/>");
    assert_int_equal(jingle_opened(b), 1);
}

static void nothing_is_agreed_before_the_peer_heard_our_report(void **state)
{
    struct jingle_bench *b = *state;

    jingle_accepted(b, ACCEPT(""));
    fake_stream_says(jingle_to(b, NULL), CARRIER_CLAIMED, 0);
    jingle_uses(b, 0);
    peer_expects(&b->peer, OUR_INFO("<candidate-error/>"));
    assert_int_equal(jingle_opened(b), 0);
    peer_says(&b->peer, HEARD);
    assert_int_equal(jingle_opened(b), 1);
}

static void report_may_overtake_its_connection(void **state)
{
    struct jingle_bench *b = *state;

    jingle_accepted(b, ACCEPT(""));
    jingle_uses(b, 0);
    jingle_hears(b, "<candidate-error/>");
    assert_int_equal(jingle_opened(b), 0);
    fake_stream_says(jingle_to(b, NULL), CARRIER_CLAIMED, 0);
    assert_int_equal(jingle_opened(b), 1);
}

static void report_without_a_connection_counts_as_an_error(void **state)
{
    struct jingle_bench *b = *state;

    jingle_accepted(b, ACCEPT(""));
    jingle_uses(b, 0);
    jingle_hears(b, "<candidate-error/>");
    assert_in_range(peer_skip(&b->peer), 2900, 3000);
    assert_int_equal(fake_host_error(&b->host), ERR_TRANSPORT_FAILED);
}

static void reports_of_what_was_not_offered_and_second_ones_are_refused(void **state)
{
    struct jingle_bench *b = *state;

    jingle_accepted(b, ACCEPT(DIRECT));
    peer_says(&b->peer, INFO("<candidate-used cid='d1'/>")); /* its own */
    peer_expects(&b->peer, REFUSED("modify", "bad-request"));
    jingle_says(b, INFO("<candidate-error/>"));
    peer_says(&b->peer, INFO("<candidate-error/>"));
    peer_expects(&b->peer, REFUSED("wait", "unexpected-request"));
    peer_says(&b->peer, SAY("transport-info", ""));
    peer_expects(&b->peer, REFUSED("modify", "bad-request"));
}

static void direct_connection_that_stands_is_meant_when_the_peer_never_reports(void **state)
{
    struct jingle_bench *b = *state;

    jingle_accepted(b, ACCEPT(DIRECT));
    fake_stream_says(jingle_to(b, "192.0.2.1"), CARRIER_DIALED, 0);
    jingle_hears(b, "<candidate-used cid='d1'/>");
    assert_in_range(peer_skip(&b->peer), 14000, 15000);
    assert_int_equal(jingle_opened(b), 1);
    assert_string_equal(b->host.streamhost, TARGET);
}

static void peer_that_never_reports_fails_the_transport_in_the_end(void **state)
{
    struct jingle_bench *b = *state;
    uint64_t waited;

    jingle_accepted(b, ACCEPT(PROXY));
    fake_stream_says(jingle_to(b, "192.0.2.9"), CARRIER_DIALED, 0);
    jingle_hears(b, "<candidate-used cid='p1'/>");
    waited = peer_skip(&b->peer);
    waited += peer_skip(&b->peer);
    assert_in_range(waited, 59000, 60000);
    assert_int_equal(fake_host_error(&b->host), ERR_TRANSPORT_FAILED);
}

static void lost_connection_is_not_agreed_on(void **state)
{
    struct jingle_bench *b = *state;

    jingle_accepted(b, ACCEPT(DIRECT));
    fake_stream_says(jingle_to(b, "192.0.2.1"), CARRIER_DIALED, 0);
    jingle_hears(b, "<candidate-used cid='d1'/>");
    fake_stream_fails(jingle_to(b, "192.0.2.1"), ERR_STREAM_BROKEN, "closed", 0);
    jingle_says(b, INFO("<candidate-error/>"));
    assert_int_equal(fake_host_error(&b->host), ERR_TRANSPORT_FAILED);
}

/* ---- the peer's proxy */

static void on_its_proxy(struct jingle_bench *b)
{
    jingle_accepted(b, ACCEPT(PROXY));
    fake_stream_says(jingle_to(b, "192.0.2.9"), CARRIER_DIALED, 0);
    jingle_hears(b, "<candidate-used cid='p1'/>");
}

static void peers_proxy_is_used_once_the_peer_had_it_activated(void **state)
{
    struct jingle_bench *b = *state;

    on_its_proxy(b);
    jingle_says(b, INFO("<candidate-error/>"));
    assert_int_equal(jingle_opened(b), 0);
    jingle_says(b, INFO("<activated cid='p1'/>"));
    assert_int_equal(jingle_opened(b), 1);
    assert_string_equal(b->host.path, "proxy");
    assert_string_equal(b->host.streamhost, "proxy.example.org");
}

/* Conversations, told to use relays alone, neither tries our candidates nor reports. */
static void activation_without_a_report_is_agreement(void **state)
{
    struct jingle_bench *b = *state;

    on_its_proxy(b);
    jingle_says(b, INFO("<activated cid='p1'/>"));
    assert_int_equal(jingle_opened(b), 1);
}

static void activation_before_our_report_was_heard_waits_for_that(void **state)
{
    struct jingle_bench *b = *state;
    char id[64];

    jingle_accepted(b, ACCEPT(PROXY));
    fake_stream_says(jingle_to(b, "192.0.2.9"), CARRIER_DIALED, 0);
    peer_expects(&b->peer, OUR_INFO("<candidate-used cid='p1'/>"));
    strcpy(id, b->peer.id);
    jingle_says(b, INFO("<activated cid='p1'/>"));
    assert_int_equal(jingle_opened(b), 0);
    strcpy(b->peer.id, id);
    peer_says(&b->peer, HEARD);
    assert_int_equal(jingle_opened(b), 1);
}

static void peers_proxy_that_is_never_activated_fails(void **state)
{
    struct jingle_bench *b = *state;

    on_its_proxy(b);
    jingle_says(b, INFO("<candidate-error/>"));
    assert_in_range(peer_skip(&b->peer), 19000, 20000);
    assert_int_equal(fake_host_error(&b->host), ERR_ACTIVATION_TIMEOUT);
    jingle_again(state);
    on_its_proxy(b);
    jingle_says(b, INFO("<candidate-error/>"));
    jingle_says(b, INFO("<proxy-error/>"));
    assert_int_equal(fake_host_error(&b->host), ERR_TRANSPORT_FAILED);
}

static void activation_of_an_unknown_candidate_is_refused(void **state)
{
    struct jingle_bench *b = *state;

    on_its_proxy(b);
    peer_says(&b->peer, INFO("<activated cid='p7'/>"));
    peer_expects(&b->peer, REFUSED("modify", "bad-request"));
    assert_int_equal(jingle_opened(b), 0);
}

/* ---- our proxy */

static void on_our_proxy(struct jingle_bench *b)
{
    jingle_accepted(b, ACCEPT(""));
    assert_int_equal(b->ours.count, 2);
    jingle_uses(b, 1);
    jingle_hears(b, "<candidate-error/>");
}

static void expects_activation(struct jingle_bench *b)
{
    struct buf xml = {0};

    buf_printf(&xml,
               "<iq type='set' id='*id' to='streamer.example.com'><query xmlns='" NS_BYTESTREAMS
               "' sid='%s'><activate>" TARGET "</activate></query></iq>",
               b->transport);
    peer_expects(&b->peer, xml.data);
    buf_free(&xml);
}

static void our_proxy_is_joined_activated_and_the_peer_told(void **state)
{
    struct jingle_bench *b = *state;
    struct carrier_stream *s;
    struct buf told = {0};
    char name[S5B_NAME];

    on_our_proxy(b);
    s = jingle_to(b, "203.0.113.9");
    assert_true(s->trusted);
    s5b_name(b->transport, INITIATOR, TARGET, name);
    assert_string_equal(s->names[0], name);
    fake_stream_says(s, CARRIER_DIALED, 0);
    expects_activation(b); /* by the transport's id, not the session's */
    assert_int_equal(jingle_opened(b), 0);
    peer_says(&b->peer, "<iq type='result' id='$id' from='streamer.example.com'/>");
    buf_printf(&told, OUR_INFO("<activated cid='%s'/>"), b->ours.all[1].cid);
    peer_expects(&b->peer, told.data);
    buf_free(&told);
    assert_int_equal(jingle_opened(b), 1);
    assert_string_equal(b->host.path, "proxy");
    jingle_stream(b);
    fake_stream_says(s, CARRIER_DONE, JINGLE_SIZE);
    peer_skip(&b->peer); /* it never says a word */
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->proof, PROOF_PROXY_ACCEPTED);
}

static void failed_activation_is_told_as_proxy_error(void **state)
{
    struct jingle_bench *b = *state;

    on_our_proxy(b);
    fake_stream_says(jingle_to(b, "203.0.113.9"), CARRIER_DIALED, 0);
    expects_activation(b);
    peer_refuses(&b->peer, "streamer.example.com", "cancel", "item-not-found", "");
    peer_expects(&b->peer, OUR_INFO("<proxy-error/>"));
    assert_int_equal(fake_host_error(&b->host), ERR_PROXY_HASH_MISMATCH);
    jingle_give_up(b);
    peer_expects(&b->peer, OUR_END("connectivity-error"));
}

static void proxy_out_of_our_reach_is_told_and_kept_out_of_offers(void **state)
{
    struct jingle_bench *b = *state;
    struct streamhost host;

    on_our_proxy(b);
    fake_stream_fails(jingle_to(b, "203.0.113.9"), ERR_STREAMHOSTS_UNREACHABLE, "refused", 0);
    peer_expects(&b->peer, OUR_INFO("<proxy-error/>"));
    assert_int_equal(fake_host_error(&b->host), ERR_PROXY_UNAVAILABLE);
    assert_int_equal(proxies_list(b->peer.client->proxies, &host, 1), 0);
}

/* It is a candidate of the peer's all the same, under another name; and an address that we trust. */
static void proxy_that_both_know_is_tried_as_the_peers(void **state)
{
    struct jingle_bench *b = *state;
    struct carrier_stream *s;
    char name[S5B_NAME];

    jingle_accepted(b,
                    ACCEPT("<candidate cid='p1' type='proxy' host='203.0.113.9' port='7625' jid='streamer.example.com' "
                           "priority='655360'/>"));
    s = jingle_to(b, "203.0.113.9");
    assert_true(s->trusted);
    s5b_name(b->transport, TARGET, INITIATOR, name);
    assert_string_equal(s->names[0], name);
}

static void empty_file_needs_no_meeting_at_the_proxy(void **state)
{
    struct jingle_bench *b = *state;

    b->offer.size = 0;
    on_our_proxy(b);
    fake_stream_says(jingle_to(b, "203.0.113.9"), CARRIER_DIALED, 0);
    expects_activation(b);
    peer_refuses(&b->peer, "streamer.example.com", "cancel", "item-not-found", "");
    jingle_stream(b);
    jingle_says(b, END("success"));
    assert_int_equal(fake_host_count(&b->host, METHOD_COMPLETE), 1);
}

/* Dino hangs up on having been told all there is, wherever that finds us. */
static void peer_that_hangs_up_on_an_empty_file_has_it(void **state)
{
    for (int when = 0; when < 3; when++) {
        struct jingle_bench *b = *state;
        struct carrier_stream *s;

        b->offer.size = 0;
        jingle_accepted(b, ACCEPT(DIRECT));
        s = jingle_to(b, "192.0.2.1");
        fake_stream_says(s, CARRIER_DIALED, 0);
        jingle_hears(b, "<candidate-used cid='d1'/>");
        if (when == 0)
            fake_stream_fails(s, ERR_STREAM_BROKEN, "closed before the first byte", 0);
        jingle_says(b, INFO("<candidate-error/>"));
        assert_int_equal(jingle_opened(b), 1);
        if (when == 1)
            fake_stream_fails(s, ERR_STREAM_BROKEN, "closed before the first byte", 0);
        jingle_stream(b);
        if (when == 2)
            fake_stream_fails(s, ERR_STREAM_BROKEN, "closed before the first byte", 0);
        assert_int_equal(fake_host_count(&b->host, METHOD_FAILED), 0);
        jingle_says(b, END("success"));
        assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->proof, PROOF_PEER_CONFIRMED);
        jingle_again(state);
    }
}

#define TEST(name)       cmocka_unit_test_setup_teardown(name, jingle_setup, jingle_teardown)
#define PROXY_TEST(name) cmocka_unit_test_setup_teardown(name, jingle_setup_with_proxy, jingle_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(listener_knows_both_orders_before_the_peer_says_yes),
        TEST(nobody_is_asked_while_there_is_no_candidate),
        TEST(peer_that_comes_to_us_gets_the_file),
        TEST(we_go_to_the_peer_where_it_may_not_send_us_everywhere),
        TEST(direct_candidate_is_asked_by_either_order),
        TEST(blocked_or_proxied_candidate_is_asked_once),
        TEST(next_candidate_is_tried_beside_the_first),
        TEST(late_candidates_are_tried),
        TEST(useless_candidates_do_not_spoil_the_rest),
        TEST(silence_about_candidates_is_a_candidate_error),
        TEST(both_in_error_is_a_failed_transport),
        TEST(higher_priority_wins_when_both_reached_the_other),
        TEST(what_cannot_win_is_not_tried_further),
        TEST(nothing_is_agreed_before_the_peer_heard_our_report),
        TEST(report_may_overtake_its_connection),
        TEST(report_without_a_connection_counts_as_an_error),
        TEST(reports_of_what_was_not_offered_and_second_ones_are_refused),
        TEST(direct_connection_that_stands_is_meant_when_the_peer_never_reports),
        TEST(peer_that_never_reports_fails_the_transport_in_the_end),
        TEST(lost_connection_is_not_agreed_on),
        TEST(peer_that_hangs_up_on_an_empty_file_has_it),
        TEST(peers_proxy_is_used_once_the_peer_had_it_activated),
        TEST(activation_without_a_report_is_agreement),
        TEST(activation_before_our_report_was_heard_waits_for_that),
        TEST(peers_proxy_that_is_never_activated_fails),
        TEST(activation_of_an_unknown_candidate_is_refused),
        PROXY_TEST(our_proxy_is_joined_activated_and_the_peer_told),
        PROXY_TEST(failed_activation_is_told_as_proxy_error),
        PROXY_TEST(proxy_out_of_our_reach_is_told_and_kept_out_of_offers),
        PROXY_TEST(proxy_that_both_know_is_tried_as_the_peers),
        PROXY_TEST(empty_file_needs_no_meeting_at_the_proxy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
