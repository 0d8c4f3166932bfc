/* xmpp/jingle_s5b.c: a file offered by Jingle (XEP-0234), and the bytestream both sides agree on (XEP-0260). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "tests/fake/carrier.h"
#include "tests/fake/method_host.h"
#include "tests/fake/xmpp/peer.h"
#include "xmpp/candidates.h"
#include "xmpp/jingle.h"
#include "xmpp/ns.h"
#include "xmpp/proxies.h"
#include "xmpp/s5b_name.h"
#include "xmpp/stanza.h"

#define SIZE 90210

/* What the peer says, what acknowledges it, and what of ours it is answered with. */
#define SAY(action, inside)                                                                                            \
    "<iq type='set' id='in' from='" TARGET "' to='" INITIATOR "'><jingle xmlns='" NS_JINGLE "' action='" action        \
    "' sid='$sid'>" inside "</jingle></iq>"
#define CONTENT(inside)   "<content creator='initiator' name='file'>" inside "</content>"
#define TRANSPORT(inside) "<transport xmlns='" NS_JINGLE_S5B "' sid='x'>" inside "</transport>"
#define INFO(inside)      SAY("transport-info", CONTENT(TRANSPORT(inside)))
#define ACCEPT(candidates)                                                                                             \
    SAY("session-accept", CONTENT("<description xmlns='" NS_JINGLE_FILE                                                \
                                  "'><file><name>plan.png</name></file></description>" TRANSPORT(candidates)))
#define END(reason) SAY("session-terminate", "<reason><" reason "/></reason>")
#define ACK         "<iq type='result' id='in' to='" TARGET "'/>"
#define REFUSED(type, condition)                                                                                       \
    "<iq type='error' id='in' to='" TARGET "'><error type='" type "'><" condition " xmlns='" NS_STANZAS                \
    "'/></error></iq>"
#define OUR_INFO(inside)                                                                                               \
    "<iq type='set' id='*id' to='" TARGET "'><jingle xmlns='" NS_JINGLE "' action='transport-info' sid='$sid'>"        \
    "<content creator='initiator' name='file'><transport xmlns='" NS_JINGLE_S5B "' sid='*'>" inside                    \
    "</transport></content></jingle></iq>"
#define OUR_END(reason)                                                                                                \
    "<iq type='set' id='*id' to='" TARGET "'><jingle xmlns='" NS_JINGLE "' action='session-terminate' sid='$sid'>"     \
    "<reason><" reason "/></reason></jingle></iq>"
#define HEARD "<iq type='result' id='$id' from='" TARGET "' to='" INITIATOR "'/>"

#define DIRECT "<candidate cid='d1' type='direct' host='192.0.2.1' port='1001' jid='" TARGET "' priority='8257600'/>"
#define PROXY                                                                                                          \
    "<candidate cid='p1' type='proxy' host='192.0.2.9' port='7777' jid='proxy.example.org' priority='655360'/>"
#define STREAMHOST "<streamhost jid='streamer.example.com' host='203.0.113.9' port='7625'/>"

struct bench {
    struct peer peer;
    struct fake_carrier carrier;
    struct fake_host host;
    struct jid to;
    struct offer offer;
    struct method *method;
    struct candidate_list ours; /* as offered */
    char transport[S5B_SID];    /* its sid */
};

static int start(struct bench *b, char *const *proxies)
{
    memset(b, 0, sizeof *b);
    peer_start(&b->peer, proxies);
    fake_carrier_init(&b->carrier);
    fake_host_init(&b->host, &b->carrier.carrier, &b->peer.loop);
    assert_true(jid_parse(&b->to, TARGET, strlen(TARGET), NULL));
    b->offer =
        (struct offer){.to = &b->to, .name = "plan.png", .type = "image/png", .size = SIZE, .answer_ms = 300 * 1000};
    return 0;
}

static int setup(void **state)
{
    static struct bench b;

    *state = &b;
    return start(&b, NULL);
}

static int setup_with_proxy(void **state)
{
    setup(state);
    peer_stop(&((struct bench *)*state)->peer);
    start(*state, peer_proxy);
    peer_gives_proxy(&((struct bench *)*state)->peer, STREAMHOST);
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;

    if (b->method)
        method_jingle_s5b.end(&b->method, NULL);
    assert_int_equal(fake_carrier_count(&b->carrier), 0);
    peer_stop(&b->peer);
    return 0;
}

static void again(void **state)
{
    teardown(state);
    setup(state);
}

static void begin(struct bench *b)
{
    struct error err;

    b->method = method_jingle_s5b.offer(&b->host.host, &b->peer.network, &b->offer, &err);
    assert_non_null(b->method);
    peer_turn(&b->peer);
}

/* Reads the offer, for what in it is random. */
static void look(struct bench *b)
{
    const char *text = peer_next(&b->peer);
    xmpp_stanza_t *iq = xmpp_stanza_new_from_string(b->peer.client->ctx, text ? text : "<iq/>"), *transport;
    xmpp_stanza_t *jingle = stanza_child(iq, "jingle", NS_JINGLE);

    assert_non_null(jingle);
    assert_string_equal(stanza_attr(jingle, "action"), "session-initiate");
    snprintf(b->peer.sid, sizeof b->peer.sid, "%s", stanza_attr(jingle, "sid"));
    transport = stanza_child(stanza_child(jingle, "content", NULL), "transport", NS_JINGLE_S5B);
    snprintf(b->transport, sizeof b->transport, "%s", stanza_attr(transport, "sid"));
    candidates_read(&b->ours, transport);
    xmpp_stanza_release(iq);
}

static void says(struct bench *b, const char *xml)
{
    peer_says(&b->peer, xml);
    peer_expects(&b->peer, ACK);
}

static void accepted(struct bench *b, const char *xml)
{
    begin(b);
    look(b);
    peer_says(&b->peer, HEARD);
    says(b, xml);
    peer_turn(&b->peer);
}

/* Ours, by its place in the offer. */
static void uses(struct bench *b, size_t index)
{
    struct buf xml = {0};

    buf_printf(&xml, INFO("<candidate-used cid='%s'/>"), b->ours.all[index].cid);
    says(b, xml.data);
    buf_free(&xml);
}

static void reports(struct bench *b, const char *element)
{
    struct buf xml = {0};

    buf_printf(&xml, OUR_INFO("%s"), element);
    peer_expects(&b->peer, xml.data);
    buf_free(&xml);
    peer_says(&b->peer, HEARD);
}

static size_t opened(const struct bench *b)
{
    return fake_host_count(&b->host, METHOD_STREAM_OPEN);
}

static struct carrier_stream *to_host(struct bench *b, const char *host)
{
    struct carrier_stream *s = fake_carrier_find(&b->carrier, host);

    assert_non_null(s);
    return s;
}

/* The peer came to our listener, and nobody reached it. */
static void opened_directly(struct bench *b)
{
    accepted(b, ACCEPT(""));
    fake_stream_says(to_host(b, NULL), CARRIER_CLAIMED, 0);
    uses(b, 0);
    reports(b, "<candidate-error/>");
    assert_int_equal(opened(b), 1);
}

static void streaming(struct bench *b)
{
    opened_directly(b);
    method_jingle_s5b.stream(b->method, 5, 0, b->offer.size);
}

/* ---- the offer */

static void file_is_offered_with_all_that_is_known(void **state)
{
    struct bench *b = *state;

    b->offer.caption = "floor <plan>";
    b->offer.modified = 1773050400123;
    b->offer.sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"; /* of "test" */
    begin(b);
    peer_expects(&b->peer,
                 "<iq type='set' id='*id' to='" TARGET "'><jingle xmlns='" NS_JINGLE
                 "' action='session-initiate' sid='*sid' initiator='" INITIATOR
                 "'><content creator='initiator' name='file' senders='initiator'><description xmlns='" NS_JINGLE_FILE
                 "'><file><name>plan.png</name><size>90210</size><media-type>image/png</media-type>"
                 "<date>2026-03-09T10:00:00Z</date><desc>floor &lt;plan></desc><hash xmlns='" NS_HASHES
                 "' algo='sha-256'>n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=</hash></file></description>"
                 "<transport xmlns='" NS_JINGLE_S5B
                 "' sid='*' mode='tcp' dstaddr='*'><candidate cid='*' jid='" INITIATOR
                 "' host='198.51.100.7' port='5086' priority='*' type='direct'/></transport></content></jingle></iq>");
}

static void unknown_parts_and_ranges_are_not_offered(void **state)
{
    struct bench *b = *state;

    b->offer.type = NULL;
    b->offer.size = 0;
    begin(b);
    assert_non_null(strstr(peer_next(&b->peer), "<file><name>plan.png</name><size>0</size></file>"));
}

static void name_with_a_path_is_never_offered(void **state)
{
    struct bench *b = *state;
    struct error err;

    b->offer.name = "../plan.png";
    b->method = method_jingle_s5b.offer(&b->host.host, &b->peer.network, &b->offer, &err);
    assert_null(b->method);
    assert_int_equal(err.code, ERR_NAME_INVALID);
}

static void listener_knows_both_orders_before_the_peer_says_yes(void **state)
{
    struct bench *b = *state;
    struct carrier_stream *s;
    char name[S5B_NAME];

    begin(b);
    look(b);
    s = to_host(b, NULL);
    assert_int_equal(s->name_count, 2);
    s5b_name(b->transport, INITIATOR, TARGET, name);
    assert_string_equal(s->names[0], name);
    s5b_name(b->transport, TARGET, INITIATOR, name);
    assert_string_equal(s->names[1], name);
    assert_true(s->wait_ms > b->offer.answer_ms);
}

static void nobody_is_asked_while_there_is_no_candidate(void **state)
{
    struct bench *b = *state;

    b->carrier.advertises = false;
    begin(b);
    peer_expects_nothing(&b->peer);
    assert_int_equal(fake_host_error(&b->host), ERR_STREAMHOSTS_UNREACHABLE);
}

static void silence_lasts_as_long_as_a_person_may_take(void **state)
{
    struct bench *b = *state;

    begin(b);
    look(b);
    peer_says(&b->peer, HEARD);
    assert_in_range(peer_skip(&b->peer), 299000, 300000);
    assert_int_equal(fake_host_error(&b->host), ERR_RECIPIENT_TIMEOUT);
    method_jingle_s5b.end(&b->method, &fake_host_last(&b->host, METHOD_FAILED)->error);
    peer_expects(&b->peer, OUR_END("timeout"));
}

static void decline_ends_it(void **state)
{
    struct bench *b = *state;

    begin(b);
    look(b);
    peer_says(&b->peer, HEARD);
    says(b, END("decline"));
    assert_int_equal(fake_host_error(&b->host), ERR_RECIPIENT_DECLINED);
    method_jingle_s5b.end(&b->method, &fake_host_last(&b->host, METHOD_FAILED)->error);
    peer_expects_nothing(&b->peer);
}

static void refusal_of_the_offer_is_for_the_next_method(void **state)
{
    struct bench *b = *state;

    begin(b);
    look(b);
    peer_refuses(&b->peer, TARGET, "cancel", "service-unavailable", "");
    assert_int_equal(fake_host_error(&b->host), ERR_METHOD_UNSUPPORTED);
}

static void acceptance_that_does_not_fit_is_a_protocol_error(void **state)
{
    static const char *const rows[] = {
        SAY("session-accept", CONTENT("<transport xmlns='urn:xmpp:jingle:transports:ibb:1' sid='x'/>")),
        SAY("session-accept", ""),
        SAY("session-accept", CONTENT("<description xmlns='" NS_JINGLE_FILE
                                      "'><file><range offset='10'/></file></description>" TRANSPORT(""))),
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;

        begin(b);
        look(b);
        says(b, rows[i]);
        assert_int_equal(fake_host_error(&b->host), ERR_PEER_PROTOCOL_ERROR);
        method_jingle_s5b.end(&b->method, &fake_host_last(&b->host, METHOD_FAILED)->error);
        peer_expects(&b->peer, OUR_END("failed-application"));
        again(state);
    }
}

/* ---- agreement */

static void peer_that_comes_to_us_gets_the_file(void **state)
{
    struct bench *b = *state;
    char timeline[1024];

    streaming(b);
    assert_string_equal(b->host.path, "direct");
    assert_string_equal(b->host.streamhost, INITIATOR);
    fake_stream_says(to_host(b, NULL), CARRIER_PROGRESS, 1000);
    fake_stream_says(to_host(b, NULL), CARRIER_DONE, SIZE);
    assert_int_equal(fake_host_count(&b->host, METHOD_COMPLETE), 0); /* its word is awaited */
    says(b, END("success"));
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->proof, PROOF_PEER_CONFIRMED);
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->moved, SIZE);
    assert_string_equal(fake_host_timeline(&b->host, timeline),
                        "offer jingle-s5b; session accepted ok; candidate-used ok; candidate-error; session ended ok");
    method_jingle_s5b.end(&b->method, NULL);
    peer_expects_nothing(&b->peer);
}

static void we_go_to_the_peer_where_it_may_not_send_us_everywhere(void **state)
{
    struct bench *b = *state;
    struct carrier_stream *s;
    char name[S5B_NAME];

    accepted(b, ACCEPT(DIRECT));
    s = to_host(b, "192.0.2.1");
    assert_int_equal(s->to.port, 1001);
    assert_false(s->trusted); /* the egress filter looks at it */
    s5b_name(b->transport, TARGET, INITIATOR, name);
    assert_string_equal(s->names[0], name); /* its owner first */
    fake_stream_says(s, CARRIER_DIALED, 0);
    reports(b, "<candidate-used cid='d1'/>");
    assert_int_equal(opened(b), 0);
    says(b, INFO("<candidate-error/>"));
    assert_int_equal(opened(b), 1);
    assert_string_equal(b->host.path, "direct");
    assert_string_equal(b->host.streamhost, TARGET);
    method_jingle_s5b.stream(b->method, 5, 0, SIZE);
    assert_int_equal(s->job, FAKE_SENDING);
}

static void direct_candidate_is_asked_by_either_order(void **state)
{
    struct bench *b = *state;
    char name[S5B_NAME];

    accepted(b, ACCEPT(DIRECT));
    fake_stream_fails(to_host(b, "192.0.2.1"), ERR_STREAMHOSTS_UNREACHABLE, "unknown name", 0);
    s5b_name(b->transport, INITIATOR, TARGET, name);
    assert_string_equal(to_host(b, "192.0.2.1")->names[0], name);
    fake_stream_says(to_host(b, "192.0.2.1"), CARRIER_DIALED, 0);
    reports(b, "<candidate-used cid='d1'/>");
}

static void blocked_or_proxied_candidate_is_asked_once(void **state)
{
    struct bench *b = *state;

    accepted(b, ACCEPT(DIRECT));
    fake_stream_fails(to_host(b, "192.0.2.1"), ERR_EGRESS_BLOCKED, "not there", 0);
    peer_turn(&b->peer);
    reports(b, "<candidate-error/>");
    again(state);
    accepted(b, ACCEPT(PROXY));
    fake_stream_fails(to_host(b, "192.0.2.9"), ERR_STREAMHOSTS_UNREACHABLE, "refused", 0);
    peer_turn(&b->peer);
    reports(b, "<candidate-error/>");
}

static void next_candidate_is_tried_beside_the_first(void **state)
{
    struct bench *b = *state;

    accepted(b, ACCEPT(PROXY DIRECT));
    to_host(b, "192.0.2.1"); /* the higher priority */
    assert_null(fake_carrier_find(&b->carrier, "192.0.2.9"));
    assert_in_range(peer_skip(&b->peer), 100, 200);
    fake_stream_says(to_host(b, "192.0.2.9"), CARRIER_DIALED, 0);
    assert_null(fake_carrier_find(&b->carrier, "192.0.2.1")); /* who comes first wins */
    reports(b, "<candidate-used cid='p1'/>");
}

static void late_candidates_are_tried(void **state)
{
    struct bench *b = *state;

    accepted(b, ACCEPT(""));
    says(b, INFO(DIRECT));
    peer_turn(&b->peer);
    fake_stream_says(to_host(b, "192.0.2.1"), CARRIER_DIALED, 0);
    reports(b, "<candidate-used cid='d1'/>");
}

static void useless_candidates_do_not_spoil_the_rest(void **state)
{
    struct bench *b = *state;

    accepted(b, ACCEPT("<candidate cid='a' type='foo' host='192.0.2.2' port='1' jid='x@y/z' priority='9000000'/>"
                       "<candidate cid='b' host='192.0.2.3' port='1' jid='x@y/z' priority='0'/>"
                       "<candidate cid='c' host='192.0.2.4' port='99999' jid='x@y/z' priority='9000000'/>" DIRECT
                       "<candidate cid='d1' host='192.0.2.5' port='1' jid='x@y/z' priority='9000000'/>"));
    assert_int_equal(fake_carrier_count(&b->carrier), 2); /* and our listener */
    to_host(b, "192.0.2.1");
}

static void silence_about_candidates_is_a_candidate_error(void **state)
{
    struct bench *b = *state;

    accepted(b, ACCEPT(""));
    assert_in_range(peer_skip(&b->peer), 14000, 15000);
    reports(b, "<candidate-error/>");
}

static void both_in_error_is_a_failed_transport(void **state)
{
    struct bench *b = *state;

    accepted(b, ACCEPT(""));
    peer_skip(&b->peer);
    reports(b, "<candidate-error/>");
    says(b, INFO("<candidate-error/>"));
    assert_int_equal(fake_host_error(&b->host), ERR_TRANSPORT_FAILED);
    assert_int_equal(error_retry(ERR_TRANSPORT_FAILED), RETRY_METHOD);
    method_jingle_s5b.end(&b->method, &fake_host_last(&b->host, METHOD_FAILED)->error);
    peer_expects(&b->peer, OUR_END("connectivity-error"));
}

static void higher_priority_wins_when_both_reached_the_other(void **state)
{
    struct bench *b = *state;

    accepted(b, ACCEPT(DIRECT)); /* ours is higher: 126 and some thousands */
    fake_stream_says(to_host(b, "192.0.2.1"), CARRIER_DIALED, 0);
    reports(b, "<candidate-used cid='d1'/>");
    fake_stream_says(to_host(b, NULL), CARRIER_CLAIMED, 0);
    uses(b, 0);
    assert_string_equal(b->host.streamhost, INITIATOR);
    again(state);
    accepted(b, ACCEPT("<candidate cid='d1' host='192.0.2.1' port='1' jid='" TARGET "' priority='9000001'/>"));
    fake_stream_says(to_host(b, "192.0.2.1"), CARRIER_DIALED, 0);
    reports(b, "<candidate-used cid='d1'/>");
    uses(b, 0);
    assert_string_equal(b->host.streamhost, TARGET);
}

/* Candidates below what the peer already reached cannot win. */
static void what_cannot_win_is_not_tried_further(void **state)
{
    struct bench *b = *state;

    accepted(b, ACCEPT(PROXY));
    to_host(b, "192.0.2.9");
    fake_stream_says(to_host(b, NULL), CARRIER_CLAIMED, 0);
    uses(b, 0);
    assert_null(fake_carrier_find(&b->carrier, "192.0.2.9"));
    reports(b, "<candidate-error/>");
    assert_int_equal(opened(b), 1);
}

static void nothing_is_agreed_before_the_peer_heard_our_report(void **state)
{
    struct bench *b = *state;

    accepted(b, ACCEPT(""));
    fake_stream_says(to_host(b, NULL), CARRIER_CLAIMED, 0);
    uses(b, 0);
    peer_expects(&b->peer, OUR_INFO("<candidate-error/>"));
    assert_int_equal(opened(b), 0);
    peer_says(&b->peer, HEARD);
    assert_int_equal(opened(b), 1);
}

static void report_may_overtake_its_connection(void **state)
{
    struct bench *b = *state;

    accepted(b, ACCEPT(""));
    uses(b, 0);
    reports(b, "<candidate-error/>");
    assert_int_equal(opened(b), 0);
    fake_stream_says(to_host(b, NULL), CARRIER_CLAIMED, 0);
    assert_int_equal(opened(b), 1);
}

static void report_without_a_connection_counts_as_an_error(void **state)
{
    struct bench *b = *state;

    accepted(b, ACCEPT(""));
    uses(b, 0);
    reports(b, "<candidate-error/>");
    assert_in_range(peer_skip(&b->peer), 2900, 3000);
    assert_int_equal(fake_host_error(&b->host), ERR_TRANSPORT_FAILED);
}

static void reports_of_what_was_not_offered_and_second_ones_are_refused(void **state)
{
    struct bench *b = *state;

    accepted(b, ACCEPT(DIRECT));
    peer_says(&b->peer, INFO("<candidate-used cid='d1'/>")); /* its own */
    peer_expects(&b->peer, REFUSED("modify", "bad-request"));
    says(b, INFO("<candidate-error/>"));
    peer_says(&b->peer, INFO("<candidate-error/>"));
    peer_expects(&b->peer, REFUSED("wait", "unexpected-request"));
    peer_says(&b->peer, SAY("transport-info", ""));
    peer_expects(&b->peer, REFUSED("modify", "bad-request"));
}

static void direct_connection_that_stands_is_meant_when_the_peer_never_reports(void **state)
{
    struct bench *b = *state;

    accepted(b, ACCEPT(DIRECT));
    fake_stream_says(to_host(b, "192.0.2.1"), CARRIER_DIALED, 0);
    reports(b, "<candidate-used cid='d1'/>");
    assert_in_range(peer_skip(&b->peer), 14000, 15000);
    assert_int_equal(opened(b), 1);
    assert_string_equal(b->host.streamhost, TARGET);
}

static void peer_that_never_reports_fails_the_transport_in_the_end(void **state)
{
    struct bench *b = *state;
    uint64_t waited;

    accepted(b, ACCEPT(PROXY));
    fake_stream_says(to_host(b, "192.0.2.9"), CARRIER_DIALED, 0);
    reports(b, "<candidate-used cid='p1'/>");
    waited = peer_skip(&b->peer);
    waited += peer_skip(&b->peer);
    assert_in_range(waited, 59000, 60000);
    assert_int_equal(fake_host_error(&b->host), ERR_TRANSPORT_FAILED);
}

static void lost_connection_is_not_agreed_on(void **state)
{
    struct bench *b = *state;

    accepted(b, ACCEPT(DIRECT));
    fake_stream_says(to_host(b, "192.0.2.1"), CARRIER_DIALED, 0);
    reports(b, "<candidate-used cid='d1'/>");
    fake_stream_fails(to_host(b, "192.0.2.1"), ERR_STREAM_BROKEN, "closed", 0);
    says(b, INFO("<candidate-error/>"));
    assert_int_equal(fake_host_error(&b->host), ERR_TRANSPORT_FAILED);
}

/* ---- the peer's proxy */

static void on_its_proxy(struct bench *b)
{
    accepted(b, ACCEPT(PROXY));
    fake_stream_says(to_host(b, "192.0.2.9"), CARRIER_DIALED, 0);
    reports(b, "<candidate-used cid='p1'/>");
}

static void peers_proxy_is_used_once_the_peer_had_it_activated(void **state)
{
    struct bench *b = *state;

    on_its_proxy(b);
    says(b, INFO("<candidate-error/>"));
    assert_int_equal(opened(b), 0);
    says(b, INFO("<activated cid='p1'/>"));
    assert_int_equal(opened(b), 1);
    assert_string_equal(b->host.path, "proxy");
    assert_string_equal(b->host.streamhost, "proxy.example.org");
}

/* Conversations, told to use relays alone, neither tries our candidates nor reports. */
static void activation_without_a_report_is_agreement(void **state)
{
    struct bench *b = *state;

    on_its_proxy(b);
    says(b, INFO("<activated cid='p1'/>"));
    assert_int_equal(opened(b), 1);
}

static void activation_before_our_report_was_heard_waits_for_that(void **state)
{
    struct bench *b = *state;
    char id[64];

    accepted(b, ACCEPT(PROXY));
    fake_stream_says(to_host(b, "192.0.2.9"), CARRIER_DIALED, 0);
    peer_expects(&b->peer, OUR_INFO("<candidate-used cid='p1'/>"));
    strcpy(id, b->peer.id);
    says(b, INFO("<activated cid='p1'/>"));
    assert_int_equal(opened(b), 0);
    strcpy(b->peer.id, id);
    peer_says(&b->peer, HEARD);
    assert_int_equal(opened(b), 1);
}

static void peers_proxy_that_is_never_activated_fails(void **state)
{
    struct bench *b = *state;

    on_its_proxy(b);
    says(b, INFO("<candidate-error/>"));
    assert_in_range(peer_skip(&b->peer), 19000, 20000);
    assert_int_equal(fake_host_error(&b->host), ERR_ACTIVATION_TIMEOUT);
    again(state);
    on_its_proxy(b);
    says(b, INFO("<candidate-error/>"));
    says(b, INFO("<proxy-error/>"));
    assert_int_equal(fake_host_error(&b->host), ERR_TRANSPORT_FAILED);
}

static void activation_of_an_unknown_candidate_is_refused(void **state)
{
    struct bench *b = *state;

    on_its_proxy(b);
    peer_says(&b->peer, INFO("<activated cid='p7'/>"));
    peer_expects(&b->peer, REFUSED("modify", "bad-request"));
    assert_int_equal(opened(b), 0);
}

/* ---- our proxy */

static void on_our_proxy(struct bench *b)
{
    accepted(b, ACCEPT(""));
    assert_int_equal(b->ours.count, 2);
    uses(b, 1);
    reports(b, "<candidate-error/>");
}

static void expects_activation(struct bench *b)
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
    struct bench *b = *state;
    struct carrier_stream *s;
    struct buf told = {0};
    char name[S5B_NAME];

    on_our_proxy(b);
    s = to_host(b, "203.0.113.9");
    assert_true(s->trusted);
    s5b_name(b->transport, INITIATOR, TARGET, name);
    assert_string_equal(s->names[0], name);
    fake_stream_says(s, CARRIER_DIALED, 0);
    expects_activation(b); /* by the transport's id, not the session's */
    assert_int_equal(opened(b), 0);
    peer_says(&b->peer, "<iq type='result' id='$id' from='streamer.example.com'/>");
    buf_printf(&told, OUR_INFO("<activated cid='%s'/>"), b->ours.all[1].cid);
    peer_expects(&b->peer, told.data);
    buf_free(&told);
    assert_int_equal(opened(b), 1);
    assert_string_equal(b->host.path, "proxy");
    method_jingle_s5b.stream(b->method, 5, 0, SIZE);
    fake_stream_says(s, CARRIER_DONE, SIZE);
    peer_skip(&b->peer); /* it never says a word */
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->proof, PROOF_PROXY_ACCEPTED);
}

static void failed_activation_is_told_as_proxy_error(void **state)
{
    struct bench *b = *state;

    on_our_proxy(b);
    fake_stream_says(to_host(b, "203.0.113.9"), CARRIER_DIALED, 0);
    expects_activation(b);
    peer_refuses(&b->peer, "streamer.example.com", "cancel", "item-not-found", "");
    peer_expects(&b->peer, OUR_INFO("<proxy-error/>"));
    assert_int_equal(fake_host_error(&b->host), ERR_PROXY_HASH_MISMATCH);
    method_jingle_s5b.end(&b->method, &fake_host_last(&b->host, METHOD_FAILED)->error);
    peer_expects(&b->peer, OUR_END("connectivity-error"));
}

static void proxy_out_of_our_reach_is_told_and_kept_out_of_offers(void **state)
{
    struct bench *b = *state;
    struct streamhost host;

    on_our_proxy(b);
    fake_stream_fails(to_host(b, "203.0.113.9"), ERR_STREAMHOSTS_UNREACHABLE, "refused", 0);
    peer_expects(&b->peer, OUR_INFO("<proxy-error/>"));
    assert_int_equal(fake_host_error(&b->host), ERR_PROXY_UNAVAILABLE);
    assert_int_equal(proxies_list(b->peer.client->proxies, &host, 1), 0);
}

/* It is a candidate of the peer's all the same, under another name; and an address that we trust. */
static void proxy_that_both_know_is_tried_as_the_peers(void **state)
{
    struct bench *b = *state;
    struct carrier_stream *s;
    char name[S5B_NAME];

    accepted(b, ACCEPT("<candidate cid='p1' type='proxy' host='203.0.113.9' port='7625' jid='streamer.example.com' "
                       "priority='655360'/>"));
    s = to_host(b, "203.0.113.9");
    assert_true(s->trusted);
    s5b_name(b->transport, TARGET, INITIATOR, name);
    assert_string_equal(s->names[0], name);
}

static void empty_file_needs_no_meeting_at_the_proxy(void **state)
{
    struct bench *b = *state;

    b->offer.size = 0;
    on_our_proxy(b);
    fake_stream_says(to_host(b, "203.0.113.9"), CARRIER_DIALED, 0);
    expects_activation(b);
    peer_refuses(&b->peer, "streamer.example.com", "cancel", "item-not-found", "");
    method_jingle_s5b.stream(b->method, 5, 0, 0);
    assert_int_equal(fake_host_count(&b->host, METHOD_COMPLETE), 1);
}

/* ---- the end */

static void checksum_follows_the_bytes_when_the_digest_is_known(void **state)
{
    struct bench *b = *state;

    b->offer.sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    streaming(b);
    fake_stream_says(to_host(b, NULL), CARRIER_PROGRESS, 1000);
    peer_expects_nothing(&b->peer);
    fake_stream_says(to_host(b, NULL), CARRIER_PROGRESS, SIZE);
    peer_expects(&b->peer, "<iq type='set' id='*id' to='" TARGET "'><jingle xmlns='" NS_JINGLE
                           "' action='session-info' sid='$sid'><checksum xmlns='" NS_JINGLE_FILE
                           "' creator='initiator' name='file'><file><hash xmlns='" NS_HASHES
                           "' algo='sha-256'>n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=</hash></file></checksum>"
                           "</jingle></iq>");
    peer_refuses(&b->peer, TARGET, "modify", "feature-not-implemented", ""); /* which is nobody's loss */
    fake_stream_says(to_host(b, NULL), CARRIER_DONE, SIZE);
    peer_expects_nothing(&b->peer); /* once */
    assert_int_equal(fake_host_count(&b->host, METHOD_FAILED), 0);
}

static void received_is_the_peers_word_and_leaves_it_time_to_end(void **state)
{
    struct bench *b = *state;

    streaming(b);
    says(b, SAY("session-info", "<received xmlns='" NS_JINGLE_FILE "' creator='initiator' name='file'/>"));
    assert_int_equal(fake_host_count(&b->host, METHOD_COMPLETE), 0);
    fake_stream_fails(to_host(b, NULL), ERR_STREAM_BROKEN, "reset", SIZE); /* it has what it wanted */
    assert_in_range(peer_skip(&b->peer), 1900, 2000);
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->proof, PROOF_PEER_CONFIRMED);
    method_jingle_s5b.end(&b->method, NULL);
    peer_expects(&b->peer, OUR_END("success"));
}

static void peer_that_only_closes_proves_less(void **state)
{
    struct bench *b = *state;

    streaming(b);
    fake_stream_says(to_host(b, NULL), CARRIER_DONE, SIZE);
    assert_in_range(peer_skip(&b->peer), 29000, 30000);
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->proof, PROOF_PEER_CLOSED);
    method_jingle_s5b.end(&b->method, NULL);
    peer_expects(&b->peer, OUR_END("success"));
}

static void success_before_the_connection_is_over_is_success(void **state)
{
    struct bench *b = *state;

    streaming(b);
    says(b, END("success"));
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->proof, PROOF_PEER_CONFIRMED);
}

static void success_before_the_first_byte_is_none(void **state)
{
    struct bench *b = *state;

    accepted(b, ACCEPT(""));
    says(b, END("success"));
    assert_int_equal(fake_host_error(&b->host), ERR_PEER_PROTOCOL_ERROR);
}

static void empty_file_may_be_received_without_a_connection(void **state)
{
    struct bench *b = *state;

    b->offer.size = 0;
    accepted(b, ACCEPT(""));
    says(b, END("success"));
    assert_int_equal(opened(b), 1);
    method_jingle_s5b.stream(b->method, 5, 0, 0);
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->proof, PROOF_PEER_CONFIRMED);
}

static void broken_stream_fails_unless_the_peer_has_it_all(void **state)
{
    struct bench *b = *state;

    streaming(b);
    fake_stream_fails(to_host(b, NULL), ERR_STREAM_BROKEN, "reset", 500);
    assert_int_equal(fake_host_error(&b->host), ERR_STREAM_BROKEN);
    again(state);
    streaming(b);
    fake_stream_fails(to_host(b, NULL), ERR_STREAM_BROKEN, "reset", SIZE);
    assert_int_equal(fake_host_count(&b->host, METHOD_FAILED), 0);
    says(b, END("success"));
    assert_int_equal(fake_host_count(&b->host, METHOD_COMPLETE), 1);
    again(state);
    streaming(b);
    fake_stream_fails(to_host(b, NULL), ERR_STREAM_BROKEN, "reset", SIZE);
    peer_skip(&b->peer);
    assert_int_equal(fake_host_error(&b->host), ERR_STREAM_BROKEN);
}

static void peer_that_cancels_while_bytes_flow_ends_it(void **state)
{
    struct bench *b = *state;

    streaming(b);
    says(b, END("cancel"));
    assert_int_equal(fake_host_error(&b->host), ERR_RECIPIENT_CANCELLED);
    assert_int_equal(fake_carrier_count(&b->carrier), 0);
}

static void we_cancel_with_that_reason(void **state)
{
    struct bench *b = *state;

    streaming(b);
    method_jingle_s5b.end(&b->method, &(struct error){.code = ERR_CANCELLED});
    peer_expects(&b->peer, OUR_END("cancel"));
    assert_int_equal(fake_carrier_count(&b->carrier), 0);
}

static void infos_are_answered_by_what_they_say(void **state)
{
    struct bench *b = *state;

    streaming(b);
    says(b, SAY("session-info", "<checksum xmlns='" NS_JINGLE_FILE "'/>"));
    peer_says(&b->peer, SAY("session-info", "<ringing xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>"));
    peer_expects(&b->peer, "<iq type='error' id='in' to='" TARGET "'><error type='modify'><feature-not-implemented "
                           "xmlns='" NS_STANZAS "'/><unsupported-info xmlns='" NS_JINGLE_ERRORS "'/></error></iq>");
}

static void other_transport_is_rejected_and_the_first_goes_on(void **state)
{
    struct bench *b = *state;

    accepted(b, ACCEPT(DIRECT));
    says(b, SAY("transport-replace", CONTENT("<transport xmlns='urn:xmpp:jingle:transports:ibb:1' sid='i1'/>")));
    peer_expects(&b->peer, "<iq type='set' id='*id' to='" TARGET "'><jingle xmlns='" NS_JINGLE
                           "' action='transport-reject' sid='$sid'><content creator='initiator' name='file'>"
                           "<transport xmlns='urn:xmpp:jingle:transports:ibb:1' sid='i1'/></content></jingle></iq>");
    fake_stream_says(to_host(b, "192.0.2.1"), CARRIER_DIALED, 0);
    reports(b, "<candidate-used cid='d1'/>");
}

static void stream_outlives_the_session_with_the_server_and_an_agreement_does_not(void **state)
{
    struct bench *b = *state;

    accepted(b, ACCEPT(DIRECT));
    jingle_offline(b->peer.client->jingle);
    assert_int_equal(fake_host_error(&b->host), ERR_XMPP_DISCONNECTED);
    again(state);
    streaming(b);
    jingle_offline(b->peer.client->jingle);
    assert_int_equal(fake_host_count(&b->host, METHOD_FAILED), 0);
    fake_stream_says(to_host(b, NULL), CARRIER_DONE, SIZE);
    peer_skip(&b->peer);
    assert_int_equal(fake_host_count(&b->host, METHOD_COMPLETE), 1);
}

static void recipient_must_announce_jingle_files_and_bytestreams(void **state)
{
    const char *const *needs = method_jingle_s5b.needs;

    (void)state;
    assert_string_equal(method_jingle_s5b.name, "jingle-s5b");
    assert_string_equal(needs[0], NS_JINGLE);
    assert_string_equal(needs[1], NS_JINGLE_FILE);
    assert_string_equal(needs[2], NS_JINGLE_S5B);
    assert_null(needs[3]);
}

#define TEST(name)       cmocka_unit_test_setup_teardown(name, setup, teardown)
#define PROXY_TEST(name) cmocka_unit_test_setup_teardown(name, setup_with_proxy, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(file_is_offered_with_all_that_is_known),
        TEST(unknown_parts_and_ranges_are_not_offered),
        TEST(name_with_a_path_is_never_offered),
        TEST(listener_knows_both_orders_before_the_peer_says_yes),
        TEST(nobody_is_asked_while_there_is_no_candidate),
        TEST(silence_lasts_as_long_as_a_person_may_take),
        TEST(decline_ends_it),
        TEST(refusal_of_the_offer_is_for_the_next_method),
        TEST(acceptance_that_does_not_fit_is_a_protocol_error),
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
        TEST(checksum_follows_the_bytes_when_the_digest_is_known),
        TEST(received_is_the_peers_word_and_leaves_it_time_to_end),
        TEST(peer_that_only_closes_proves_less),
        TEST(success_before_the_connection_is_over_is_success),
        TEST(success_before_the_first_byte_is_none),
        TEST(empty_file_may_be_received_without_a_connection),
        TEST(broken_stream_fails_unless_the_peer_has_it_all),
        TEST(peer_that_cancels_while_bytes_flow_ends_it),
        TEST(we_cancel_with_that_reason),
        TEST(infos_are_answered_by_what_they_say),
        TEST(other_transport_is_rejected_and_the_first_goes_on),
        TEST(stream_outlives_the_session_with_the_server_and_an_agreement_does_not),
        cmocka_unit_test(recipient_must_announce_jingle_files_and_bytestreams),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
