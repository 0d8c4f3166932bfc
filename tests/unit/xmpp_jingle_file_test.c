/* xmpp/jingle_file.c: a file offered by Jingle, and what the peer says of it (XEP-0166, XEP-0234). */
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
#include "xmpp/jingle.h"

static void file_is_offered_with_all_that_is_known(void **state)
{
    struct jingle_bench *b = *state;

    b->offer.caption = "floor <plan>";
    b->offer.modified = 1773050400123;
    b->offer.sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"; /* of "test" */
    jingle_begin(b);
    peer_expects(&b->peer,
                 "<iq type='set' id='*id' to='" TARGET "'><jingle xmlns='" NS_JINGLE
                 "' action='session-initiate' sid='*sid' initiator='" INITIATOR
                 "'><content creator='initiator' name='file' senders='initiator'><description xmlns='" NS_JINGLE_FILE
                 "'><file><name>plan.png</name><size>90210</size><media-type>image/png</media-type>"
                 "<date>2026-03-09T10:00:00Z</date><desc>floor &lt;plan></desc><range/><hash xmlns='" NS_HASHES
                 "' algo='sha-256'>n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=</hash></file></description>"
                 "<transport xmlns='" NS_JINGLE_S5B
                 "' sid='*' mode='tcp' dstaddr='*'><candidate cid='*' jid='" INITIATOR
                 "' host='198.51.100.7' port='5086' priority='*' type='direct'/></transport></content></jingle></iq>");
}

static void unknown_parts_are_not_offered_and_a_digest_is_promised(void **state)
{
    struct jingle_bench *b = *state;

    b->offer.type = NULL;
    b->offer.size = 0;
    jingle_begin(b);
    assert_non_null(strstr(peer_next(&b->peer), "<file><name>plan.png</name><size>0</size><range/><hash-used "));
}

static void a_digest_that_will_not_come_is_not_promised(void **state)
{
    struct jingle_bench *b = *state;

    b->offer.no_digest = true;
    jingle_begin(b);
    assert_non_null(strstr(peer_next(&b->peer), "<range/></file>"));
}

/* Swift announces version 4 alone, and hashes of their first version. */
static void description_is_of_the_newest_version_that_the_peer_announces(void **state)
{
    static char *const both[] = {NS_JINGLE_FILE_4, NS_JINGLE_FILE, NULL};
    static char *const old[] = {NS_JINGLE, NS_JINGLE_FILE_4, NULL};
    static const struct {
        char *const *features;
        const char *description, *hash;
    } rows[] = {
        {NULL, NS_JINGLE_FILE, "urn:xmpp:hashes:2"},
        {both, NS_JINGLE_FILE, "urn:xmpp:hashes:2"},
        {old, NS_JINGLE_FILE_4, "urn:xmpp:hashes:1"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct jingle_bench *b = *state;
        const char *sent;

        b->offer.features = rows[i].features;
        jingle_begin(b);
        sent = peer_next(&b->peer);
        assert_non_null(strstr(sent, rows[i].description));
        assert_non_null(strstr(sent, rows[i].hash));
        assert_true(rows[i].features == old ? !strstr(sent, "hash-used") : strstr(sent, "hash-used") != NULL);
        jingle_again(state);
    }
}

static void peer_that_speaks_version_4_is_understood(void **state)
{
    struct jingle_bench *b = *state;

    jingle_streaming(b);
    jingle_says(b, SAY("session-info", "<checksum xmlns='" NS_JINGLE_FILE_4 "'/>"));
    jingle_says(b, SAY("session-info", "<received xmlns='" NS_JINGLE_FILE_4 "' creator='initiator' name='file'/>"));
    fake_stream_says(jingle_to(b, NULL), CARRIER_DONE, JINGLE_SIZE);
    peer_skip(&b->peer);
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->proof, PROOF_PEER_CONFIRMED);
}

/* XEP-0234: who has the beginning already asks for the rest. */
static void part_that_is_asked_for_is_all_that_is_sent(void **state)
{
    static const struct {
        const char *xml;
        uint64_t offset, length;
    } rows[] = {
        {ACCEPT_PART("<range/>", ""), 0, JINGLE_SIZE},
        {ACCEPT_PART("<range offset='1000' length='500'/>", ""), 1000, 500},
        {ACCEPT_PART("<range offset='90000'/>", ""), 90000, 210},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct jingle_bench *b = *state;

        jingle_accepted(b, rows[i].xml);
        fake_stream_says(jingle_to(b, NULL), CARRIER_CLAIMED, 0);
        jingle_uses(b, 0);
        jingle_hears(b, "<candidate-error/>");
        jingle_stream(b);
        assert_int_equal(jingle_to(b, NULL)->offset, rows[i].offset);
        assert_int_equal(jingle_to(b, NULL)->length, rows[i].length);
        fake_stream_says(jingle_to(b, NULL), CARRIER_PROGRESS, 100);
        assert_int_equal(fake_host_last(&b->host, METHOD_PROGRESS)->moved, rows[i].offset + 100);
        fake_stream_says(jingle_to(b, NULL), CARRIER_DONE, rows[i].length);
        jingle_says(b, END("success"));
        assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->moved, rows[i].offset + rows[i].length);
        jingle_again(state);
    }
}

static void who_asks_for_nothing_more_may_be_content_at_once(void **state)
{
    struct jingle_bench *b = *state;

    jingle_accepted(b, ACCEPT_PART("<range offset='90210'/>", ""));
    jingle_says(b, END("success"));
    jingle_stream(b);
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->moved, JINGLE_SIZE);
}

static void name_with_a_path_is_never_offered(void **state)
{
    struct jingle_bench *b = *state;
    struct error err;

    b->offer.name = "../plan.png";
    b->method = method_jingle_s5b.offer(&b->host.host, &b->peer.network, &b->offer, &err);
    assert_null(b->method);
    assert_int_equal(err.code, ERR_NAME_INVALID);
}

static void silence_lasts_as_long_as_a_person_may_take(void **state)
{
    struct jingle_bench *b = *state;

    jingle_begin(b);
    jingle_look(b);
    peer_says(&b->peer, HEARD);
    assert_in_range(peer_skip(&b->peer), 299000, 300000);
    assert_int_equal(fake_host_error(&b->host), ERR_RECIPIENT_TIMEOUT);
    jingle_give_up(b);
    peer_expects(&b->peer, OUR_END("timeout"));
}

static void decline_ends_it(void **state)
{
    struct jingle_bench *b = *state;

    jingle_begin(b);
    jingle_look(b);
    peer_says(&b->peer, HEARD);
    jingle_says(b, END("decline"));
    assert_int_equal(fake_host_error(&b->host), ERR_RECIPIENT_DECLINED);
    jingle_give_up(b);
    peer_expects_nothing(&b->peer);
}

static void refusal_of_the_offer_is_for_the_next_method(void **state)
{
    struct jingle_bench *b = *state;

    jingle_begin(b);
    jingle_look(b);
    peer_refuses(&b->peer, TARGET, "cancel", "service-unavailable", "");
    assert_int_equal(fake_host_error(&b->host), ERR_METHOD_UNSUPPORTED);
}

static void acceptance_that_does_not_fit_is_a_protocol_error(void **state)
{
    static const char *const rows[] = {
        SAY("session-accept", CONTENT("<transport xmlns='urn:xmpp:jingle:transports:ibb:1' sid='x'/>")),
        SAY("session-accept", ""),
        ACCEPT_PART("<range offset='90211'/>", ""),
        ACCEPT_PART("<range offset='90000' length='211'/>", ""),
        ACCEPT_PART("<range offset='-1'/>", ""),
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct jingle_bench *b = *state;

        jingle_begin(b);
        jingle_look(b);
        jingle_says(b, rows[i]);
        assert_int_equal(fake_host_error(&b->host), ERR_PEER_PROTOCOL_ERROR);
        jingle_give_up(b);
        peer_expects(&b->peer, OUR_END("failed-application"));
        jingle_again(state);
    }
}

static void checksum_follows_the_bytes_when_the_digest_is_known(void **state)
{
    struct jingle_bench *b = *state;

    b->offer.sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    jingle_streaming(b);
    fake_stream_says(jingle_to(b, NULL), CARRIER_PROGRESS, 1000);
    peer_expects_nothing(&b->peer);
    fake_stream_says(jingle_to(b, NULL), CARRIER_PROGRESS, JINGLE_SIZE);
    peer_expects(&b->peer, "<iq type='set' id='*id' to='" TARGET "'><jingle xmlns='" NS_JINGLE
                           "' action='session-info' sid='$sid'><checksum xmlns='" NS_JINGLE_FILE
                           "' creator='initiator' name='file'><file><hash xmlns='" NS_HASHES
                           "' algo='sha-256'>n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=</hash></file></checksum>"
                           "</jingle></iq>");
    peer_refuses(&b->peer, TARGET, "modify", "feature-not-implemented", ""); /* which is nobody's loss */
    fake_stream_says(jingle_to(b, NULL), CARRIER_DONE, JINGLE_SIZE);
    peer_expects_nothing(&b->peer); /* once */
    assert_int_equal(fake_host_count(&b->host, METHOD_FAILED), 0);
}

static void digest_that_comes_late_is_told_then_and_the_last_word_awaited_after_it(void **state)
{
    struct jingle_bench *b = *state;

    jingle_open_directly(b);
    b->ops->stream(b->method, &(struct shared_fd){.fd = 5});
    fake_stream_says(jingle_to(b, NULL), CARRIER_DONE, JINGLE_SIZE);
    peer_expects_nothing(&b->peer);
    b->ops->digest(b->method, "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08");
    peer_expects(&b->peer, OURS("session-info", "<checksum xmlns='" NS_JINGLE_FILE
                                                "' creator='initiator' name='file'><file><hash xmlns='" NS_HASHES
                                                "' algo='sha-256'>n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=</hash>"
                                                "</file></checksum>"));
    assert_in_range(peer_skip(&b->peer), 29000, 30000);
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->proof, PROOF_PEER_CLOSED);
}

static void received_is_the_peers_word_and_leaves_it_time_to_end(void **state)
{
    struct jingle_bench *b = *state;

    jingle_streaming(b);
    jingle_says(b, SAY("session-info", "<received xmlns='" NS_JINGLE_FILE "' creator='initiator' name='file'/>"));
    assert_int_equal(fake_host_count(&b->host, METHOD_COMPLETE), 0);
    fake_stream_fails(jingle_to(b, NULL), ERR_STREAM_BROKEN, "reset", JINGLE_SIZE); /* it has what it wanted */
    assert_in_range(peer_skip(&b->peer), 1900, 2000);
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->proof, PROOF_PEER_CONFIRMED);
    method_jingle_s5b.end(&b->method, NULL);
    peer_expects(&b->peer, OUR_END("success"));
}

static void peer_that_only_closes_proves_less(void **state)
{
    struct jingle_bench *b = *state;

    jingle_streaming(b);
    fake_stream_says(jingle_to(b, NULL), CARRIER_DONE, JINGLE_SIZE);
    assert_in_range(peer_skip(&b->peer), 29000, 30000);
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->proof, PROOF_PEER_CLOSED);
    method_jingle_s5b.end(&b->method, NULL);
    peer_expects(&b->peer, OUR_END("success"));
}

static void success_before_the_connection_is_over_is_success(void **state)
{
    struct jingle_bench *b = *state;

    jingle_streaming(b);
    jingle_says(b, END("success"));
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->proof, PROOF_PEER_CONFIRMED);
}

static void success_before_the_first_byte_is_none(void **state)
{
    struct jingle_bench *b = *state;

    jingle_accepted(b, ACCEPT(""));
    jingle_says(b, END("success"));
    assert_int_equal(fake_host_error(&b->host), ERR_PEER_PROTOCOL_ERROR);
}

static void empty_file_may_be_received_without_a_connection(void **state)
{
    struct jingle_bench *b = *state;

    b->offer.size = 0;
    jingle_accepted(b, ACCEPT(""));
    jingle_says(b, END("success"));
    assert_int_equal(jingle_opened(b), 1);
    b->ops->stream(b->method, &(struct shared_fd){.fd = 5});
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->proof, PROOF_PEER_CONFIRMED);
}

static void broken_stream_fails_unless_the_peer_has_it_all(void **state)
{
    struct jingle_bench *b = *state;

    jingle_streaming(b);
    fake_stream_fails(jingle_to(b, NULL), ERR_STREAM_BROKEN, "reset", 500);
    assert_int_equal(fake_host_error(&b->host), ERR_STREAM_BROKEN);
    jingle_again(state);
    jingle_streaming(b);
    fake_stream_fails(jingle_to(b, NULL), ERR_STREAM_BROKEN, "reset", JINGLE_SIZE);
    assert_int_equal(fake_host_count(&b->host, METHOD_FAILED), 0);
    jingle_says(b, END("success"));
    assert_int_equal(fake_host_count(&b->host, METHOD_COMPLETE), 1);
    jingle_again(state);
    jingle_streaming(b);
    fake_stream_fails(jingle_to(b, NULL), ERR_STREAM_BROKEN, "reset", JINGLE_SIZE);
    peer_skip(&b->peer);
    assert_int_equal(fake_host_error(&b->host), ERR_STREAM_BROKEN);
}

static void peer_that_cancels_while_bytes_flow_ends_it(void **state)
{
    struct jingle_bench *b = *state;

    jingle_streaming(b);
    jingle_says(b, END("cancel"));
    assert_int_equal(fake_host_error(&b->host), ERR_RECIPIENT_CANCELLED);
    assert_int_equal(fake_carrier_count(&b->carrier), 0);
}

static void transport_that_fails_under_way_is_a_broken_stream(void **state)
{
    struct jingle_bench *b = *state;

    jingle_open_directly(b);
    jingle_says(b, END("connectivity-error"));
    assert_int_equal(fake_host_error(&b->host), ERR_TRANSPORT_FAILED);
    jingle_again(state);
    jingle_streaming(b);
    jingle_says(b, END("connectivity-error"));
    assert_int_equal(fake_host_error(&b->host), ERR_STREAM_BROKEN);
}

static void we_cancel_with_that_reason(void **state)
{
    struct jingle_bench *b = *state;

    jingle_streaming(b);
    method_jingle_s5b.end(&b->method, &(struct error){.code = ERR_CANCELLED});
    peer_expects(&b->peer, OUR_END("cancel"));
    assert_int_equal(fake_carrier_count(&b->carrier), 0);
}

static void infos_are_answered_by_what_they_say(void **state)
{
    struct jingle_bench *b = *state;

    jingle_streaming(b);
    jingle_says(b, SAY("session-info", "<checksum xmlns='" NS_JINGLE_FILE "'/>"));
    peer_says(&b->peer, SAY("session-info", "<ringing xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>"));
    peer_expects(&b->peer, "<iq type='error' id='in' to='" TARGET "'><error type='modify'><feature-not-implemented "
                           "xmlns='" NS_STANZAS "'/><unsupported-info xmlns='" NS_JINGLE_ERRORS "'/></error></iq>");
}

static void stream_outlives_the_session_with_the_server_and_an_agreement_does_not(void **state)
{
    struct jingle_bench *b = *state;

    jingle_accepted(b, ACCEPT(DIRECT));
    jingle_offline(b->peer.client->jingle);
    assert_int_equal(fake_host_error(&b->host), ERR_XMPP_DISCONNECTED);
    jingle_again(state);
    jingle_streaming(b);
    jingle_offline(b->peer.client->jingle);
    assert_int_equal(fake_host_count(&b->host, METHOD_FAILED), 0);
    fake_stream_says(jingle_to(b, NULL), CARRIER_DONE, JINGLE_SIZE);
    peer_skip(&b->peer);
    assert_int_equal(fake_host_count(&b->host, METHOD_COMPLETE), 1);
}

static void recipient_must_announce_jingle_files_and_a_transport(void **state)
{
    (void)state;
    assert_string_equal(method_jingle_s5b.name, "jingle-s5b");
    assert_string_equal(method_jingle_s5b.needs[0], NS_JINGLE);
    assert_string_equal(method_jingle_s5b.needs[1], NS_JINGLE_FILE "|" NS_JINGLE_FILE_4);
    assert_string_equal(method_jingle_s5b.needs[2], NS_JINGLE_S5B);
    assert_null(method_jingle_s5b.needs[3]);
    assert_ptr_equal(method_jingle_s5b.successor, &method_jingle_ibb);
    assert_string_equal(method_jingle_ibb.name, "jingle-ibb");
    assert_string_equal(method_jingle_ibb.needs[2], NS_JINGLE_IBB);
    assert_null(method_jingle_ibb.needs[3]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, jingle_setup, jingle_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(file_is_offered_with_all_that_is_known),
        TEST(unknown_parts_are_not_offered_and_a_digest_is_promised),
        TEST(a_digest_that_will_not_come_is_not_promised),
        TEST(description_is_of_the_newest_version_that_the_peer_announces),
        TEST(peer_that_speaks_version_4_is_understood),
        TEST(part_that_is_asked_for_is_all_that_is_sent),
        TEST(who_asks_for_nothing_more_may_be_content_at_once),
        TEST(name_with_a_path_is_never_offered),
        TEST(silence_lasts_as_long_as_a_person_may_take),
        TEST(decline_ends_it),
        TEST(refusal_of_the_offer_is_for_the_next_method),
        TEST(acceptance_that_does_not_fit_is_a_protocol_error),
        TEST(checksum_follows_the_bytes_when_the_digest_is_known),
        TEST(digest_that_comes_late_is_told_then_and_the_last_word_awaited_after_it),
        TEST(received_is_the_peers_word_and_leaves_it_time_to_end),
        TEST(peer_that_only_closes_proves_less),
        TEST(success_before_the_connection_is_over_is_success),
        TEST(success_before_the_first_byte_is_none),
        TEST(empty_file_may_be_received_without_a_connection),
        TEST(broken_stream_fails_unless_the_peer_has_it_all),
        TEST(peer_that_cancels_while_bytes_flow_ends_it),
        TEST(transport_that_fails_under_way_is_a_broken_stream),
        TEST(we_cancel_with_that_reason),
        TEST(infos_are_answered_by_what_they_say),
        TEST(stream_outlives_the_session_with_the_server_and_an_agreement_does_not),
        cmocka_unit_test(recipient_must_announce_jingle_files_and_a_transport),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
