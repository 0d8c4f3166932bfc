/* xmpp/jingle_target.c and jingle_offered.c: files that peers send by Jingle. We are INITIATOR (an address of ours),
 * the sender is TARGET, since that is who the scripted peer is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "tests/fake/inbox.h"
#include "tests/fake/xmpp/jingle.h"
#include "xmpp/jingle.h"
#include "xmpp/stanza.h"

#define NS_IBB_TRANSPORT NS_JINGLE_IBB
#define SHA256_BASE64    "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define SHA256_HEX       "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

#define FILE_OF(ns, inside) "<description xmlns='" ns "'><file>" inside "</file></description>"
#define PLAN                FILE_OF(NS_JINGLE_FILE, "<name>plan.png</name><size>1000</size>")
#define HASHED                                                                                                         \
    FILE_OF(NS_JINGLE_FILE, "<name>plan.png</name><size>1000</size><hash xmlns='" NS_HASHES                            \
                            "' algo='sha-256'>" SHA256_BASE64 "</hash>")
#define S5B(candidates) "<transport xmlns='" NS_JINGLE_S5B "' sid='their-sid'>" candidates "</transport>"
#define IBB_T(block)    "<transport xmlns='" NS_JINGLE_IBB "' sid='their-ibb' block-size='" block "'/>"
#define INITIATE(content)                                                                                              \
    SAY("session-initiate", "<content creator='initiator' name='file' senders='initiator'>" content "</content>")
#define OFFER      INITIATE(PLAN S5B(DIRECT))
#define DIRECT_126 "<candidate cid='d1' host='192.0.2.1' port='1001' jid='" TARGET "' priority='8257600'/>"
#define PROXY                                                                                                          \
    "<candidate cid='p1' type='proxy' host='192.0.2.9' port='7777' jid='proxy.example.org' priority='655360'/>"
#define OUR_REASON(inside) OURS("session-terminate", "<reason>" inside "</reason>")
#define OUR_RECEIVED       OURS("session-info", "<received xmlns='" NS_JINGLE_FILE "' creator='initiator' name='file'/>")
#define UNKNOWN_SESSION                                                                                                \
    "<iq type='error' id='in' to='" TARGET "'><error type='cancel'><item-not-found xmlns='" NS_STANZAS                 \
    "'/><unknown-session xmlns='" NS_JINGLE_ERRORS "'/></error></iq>"
#define CHECKSUM(digest)                                                                                               \
    SAY("session-info", "<checksum xmlns='" NS_JINGLE_FILE "'><file><hash xmlns='" NS_HASHES                           \
                        "' algo='sha-256'>" digest "</hash></file></checksum>")
#define FALL_BACK SAY("transport-replace", CONTENT(IBB_T("8192")))

struct bench {
    struct peer peer;
    struct fake_carrier carrier;
    struct fake_inbox inbox;
    struct candidate_list ours;
    char accept[4096]; /* our yes */
};

static void start(struct bench *b, char *const *proxies)
{
    memset(b, 0, sizeof *b);
    clock_fake(1000, 1000);
    peer_start(&b->peer, proxies);
    fake_carrier_init(&b->carrier);
    fake_inbox_init(&b->inbox, &b->carrier.carrier);
    b->peer.client->receiver = &b->inbox.receiver;
    snprintf(b->peer.sid, sizeof b->peer.sid, "s1");
}

static int setup(void **state)
{
    static struct bench b;

    *state = &b;
    start(&b, NULL);
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;

    peer_stop(&b->peer);
    assert_int_equal(fake_carrier_count(&b->carrier), 0);
    fake_inbox_clear(&b->inbox);
    clock_real();
    return 0;
}

static int setup_with_proxy(void **state)
{
    struct bench *b;

    setup(state);
    b = *state;
    peer_stop(&b->peer);
    start(b, peer_proxy);
    peer_gives_proxy(&b->peer, "<streamhost jid='streamer.example.com' host='203.0.113.9' port='7625'/>");
    return 0;
}

static void again(void **state)
{
    teardown(state);
    setup(state);
}

static void says(struct bench *b, const char *xml)
{
    peer_says(&b->peer, xml);
    peer_expects(&b->peer, ACK);
}

/* Our yes, looked at for what in it is random, and heard by the peer. */
static void accepted(struct bench *b)
{
    const char *text = peer_next(&b->peer);
    xmpp_stanza_t *iq = xmpp_stanza_new_from_string(b->peer.client->ctx, text ? text : "<iq/>"), *content;
    xmpp_stanza_t *jingle = stanza_child(iq, "jingle", NS_JINGLE);

    assert_non_null(jingle);
    snprintf(b->accept, sizeof b->accept, "%s", text);
    assert_string_equal(stanza_attr(jingle, "action"), "session-accept");
    assert_string_equal(stanza_attr(jingle, "responder"), INITIATOR);
    assert_string_equal(stanza_attr(iq, "from"), INITIATOR);
    content = stanza_child(jingle, "content", NULL);
    assert_string_equal(stanza_attr(content, "creator"), "initiator");
    assert_string_equal(stanza_attr(content, "name"), "file");
    candidates_read(&b->ours, stanza_child(content, "transport", NS_JINGLE_S5B));
    xmpp_stanza_release(iq);
    peer_says(&b->peer, HEARD);
}

static void offer(struct bench *b, const char *xml)
{
    says(b, xml);
    peer_turn(&b->peer);
    accepted(b);
    peer_turn(&b->peer);
}

static void hears(struct bench *b, const char *element)
{
    struct buf xml = {0};

    buf_printf(&xml, OUR_INFO("%s"), element);
    peer_expects(&b->peer, xml.data);
    buf_free(&xml);
    peer_says(&b->peer, HEARD);
}

static struct carrier_stream *to(struct bench *b, const char *host)
{
    struct carrier_stream *s = fake_carrier_find(&b->carrier, host);

    assert_non_null(s);
    return s;
}

/* The peer reached our candidate of that index. */
static void uses(struct bench *b, size_t index)
{
    struct buf xml = {0};

    buf_printf(&xml, INFO("<candidate-used cid='%s'/>"), b->ours.all[index].cid);
    says(b, xml.data);
    buf_free(&xml);
}

/* We reached the peer's direct candidate, it reached none of ours: bytes flow. */
static void flowing(struct bench *b, const char *xml)
{
    offer(b, xml);
    fake_stream_says(to(b, "192.0.2.1"), CARRIER_DIALED, 0);
    hears(b, "<candidate-used cid='d1'/>");
    says(b, INFO("<candidate-error/>"));
    assert_int_equal(to(b, "192.0.2.1")->job, FAKE_RECEIVING);
}

static void both_fail(struct bench *b, const char *xml)
{
    offer(b, xml);
    fake_stream_fails(to(b, "192.0.2.1"), ERR_EGRESS_BLOCKED, "blocked", 0);
    peer_turn(&b->peer);
    hears(b, "<candidate-error/>");
    says(b, INFO("<candidate-error/>"));
}

/* ---- the offer */

static void file_comes_and_the_sender_hears_that_it_is_here(void **state)
{
    struct bench *b = *state;

    flowing(b, INITIATE(HASHED S5B(DIRECT)));
    assert_string_equal(b->inbox.from, TARGET);
    assert_string_equal(b->inbox.to, INITIATOR);
    assert_string_equal(b->inbox.method, "jingle-s5b");
    assert_string_equal(b->inbox.name, "plan.png");
    assert_int_equal(b->inbox.size, 1000);
    assert_string_equal(b->inbox.hash_algo, "sha-256");
    assert_string_equal(b->inbox.hash, SHA256_HEX);
    assert_int_equal(to(b, "192.0.2.1")->length, 1000);
    fake_stream_says(to(b, "192.0.2.1"), CARRIER_DONE, 1000);
    assert_int_equal(b->inbox.completed, 1); /* nothing more is awaited: not the stream's end, not a digest */
    assert_int_equal(b->inbox.moved, 1000);
    assert_string_equal(b->inbox.path, "direct");
    peer_expects_nothing(&b->peer);
    fake_inbox_answer(&b->inbox);
    peer_expects(&b->peer, OUR_RECEIVED);
    peer_expects(&b->peer, OUR_END("success"));
    assert_int_equal(b->inbox.ended, 1);
    assert_int_equal(b->inbox.why, ERR_NONE);
}

/* Rows 102, 103 and 107, and what else no receiver is asked about: acknowledged, then ended with its reason. */
static void what_is_no_offer_for_us_is_ended_with_its_reason(void **state)
{
#define CONTENT_OF(attrs, inside) SAY("session-initiate", "<content name='file' " attrs ">" inside "</content>")
    static const struct {
        const char *says, *xml, *want;
    } rows[] = {
        {"version 3",
         INITIATE("<description xmlns='urn:xmpp:jingle:apps:file-transfer:3'><offer/></description>" S5B("")),
         "<unsupported-applications/>"},
        {"a call", INITIATE("<description xmlns='urn:xmpp:jingle:apps:rtp:1'/>" S5B("")),
         "<unsupported-applications/>"},
        {"two contents",
         SAY("session-initiate", "<content creator='initiator' name='a'>" PLAN S5B(
                                     "") "</content>"
                                         "<content creator='initiator' name='b'>" PLAN S5B("") "</content>"),
         "<incompatible-parameters/>"},
        {"senders both", CONTENT_OF("creator='initiator' senders='both'", PLAN S5B("")), "<incompatible-parameters/>"},
        {"senders none", CONTENT_OF("creator='initiator' senders='none'", PLAN S5B("")), "<incompatible-parameters/>"},
        {"a file is asked for", CONTENT_OF("creator='initiator' senders='responder'", PLAN S5B("")),
         "<failed-application/><file-not-available xmlns='" NS_JINGLE_FILE_ERRORS "'/>"},
        {"asked for by who creates it", CONTENT_OF("creator='responder'", PLAN S5B("")),
         "<failed-application/><file-not-available xmlns='" NS_JINGLE_FILE_ERRORS "'/>"},
        {"encrypted", INITIATE(PLAN S5B("") "<security xmlns='urn:xmpp:jingle:jet:0'/>"), "<security-error/>"},
        {"unknown transport", INITIATE(PLAN "<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'/>"),
         "<unsupported-transports/>"},
        {"no transport", INITIATE(PLAN), "<unsupported-transports/>"},
        {"udp", INITIATE(PLAN "<transport xmlns='" NS_JINGLE_S5B "' sid='x' mode='udp'/>"),
         "<unsupported-transports/>"},
        {"bytestream without an id", INITIATE(PLAN "<transport xmlns='" NS_JINGLE_S5B "'/>"),
         "<unsupported-transports/>"},
        {"size -1", INITIATE(FILE_OF(NS_JINGLE_FILE, "<name>a</name><size>-1</size>") S5B("")),
         "<incompatible-parameters/>"},
        {"size 1e9", INITIATE(FILE_OF(NS_JINGLE_FILE, "<name>a</name><size>1e9</size>") S5B("")),
         "<incompatible-parameters/>"},
        {"range behind the end",
         INITIATE(FILE_OF(NS_JINGLE_FILE, "<name>a</name><size>10</size><range offset='11'/>") S5B("")),
         "<incompatible-parameters/>"},
        {"range that leaves the end out",
         INITIATE(FILE_OF(NS_JINGLE_FILE, "<name>a</name><size>10</size><range offset='2' length='3'/>") S5B("")),
         "<incompatible-parameters/>"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;
        struct buf xml = {0};

        print_message("%s\n", rows[i].says);
        says(b, rows[i].xml);
        buf_printf(&xml, OUR_REASON("%s"), rows[i].want);
        peer_expects(&b->peer, xml.data);
        buf_free(&xml);
        assert_int_equal(b->inbox.offers, 0);
        again(state);
    }
}

static void what_is_no_jingle_is_a_bad_request(void **state)
{
    static const char *const rows[] = {
        SAY("session-initiate", ""),
        SAY("session-initiate", "<content creator='initiator'>" PLAN S5B("") "</content>"),
        "<iq type='set' id='in' from='" TARGET "' to='" INITIATOR "'><jingle xmlns='" NS_JINGLE
        "' action='session-initiate' sid=''><content name='file'>" PLAN S5B("") "</content></jingle></iq>",
    };
    struct bench *b = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        peer_says(&b->peer, rows[i]);
        peer_expects(&b->peer, REFUSED("modify", "bad-request"));
    }
    assert_int_equal(b->inbox.offers, 0);
}

static void address_that_takes_no_files_has_no_such_service(void **state)
{
    struct bench *b = *state;

    b->inbox.closed = true;
    peer_says(&b->peer, OFFER);
    peer_expects(&b->peer, REFUSED("cancel", "service-unavailable"));
}

static void refusal_of_the_receiver_is_told(void **state)
{
    static const struct {
        enum error_code refuses;
        const char *want;
    } rows[] = {
        {ERR_SENDER_NOT_ALLOWED, "<decline/>"},
        {ERR_METHOD_UNSUPPORTED, "<decline/>"},
        {ERR_BODY_TOO_LARGE, "<media-error/><file-too-large xmlns='" NS_JINGLE_FILE_ERRORS "'/>"},
        {ERR_QUOTA_EXCEEDED, "<busy/>"},
        {ERR_RATE_LIMITED, "<busy/>"},
        {ERR_SPOOL_FULL, "<busy/>"},
        {ERR_STORE_UNAVAILABLE, "<busy/>"},
        {ERR_DRAINING, "<gone/>"},
    };
    static const char *const transports[] = {OFFER, INITIATE(PLAN IBB_T("4096"))};

    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;
        struct buf xml = {0};

        b->inbox.refuses = rows[i / 2].refuses;
        says(b, transports[i % 2]);
        buf_printf(&xml, OUR_REASON("%s"), rows[i / 2].want);
        peer_expects(&b->peer, xml.data);
        buf_free(&xml);
        assert_int_equal(b->inbox.offers, 1);
        again(state);
    }
}

/* Row 89. Swift's hashes say only that a digest follows. */
static void offer_of_version_4_is_answered_in_it(void **state)
{
    struct bench *b = *state;

    flowing(b, INITIATE(FILE_OF(NS_JINGLE_FILE_4, "<name>a</name><size>1000</size><hash xmlns='" NS_HASHES_1
                                                  "' algo='sha-1'/><hash xmlns='" NS_HASHES_1 "' algo='md5'/>")
                            S5B(DIRECT)));
    assert_non_null(strstr(b->accept, NS_JINGLE_FILE_4));
    assert_null(strstr(b->accept, NS_JINGLE_FILE "\""));
    assert_string_equal(b->inbox.hash_algo, "");
    fake_stream_says(to(b, "192.0.2.1"), CARRIER_DONE, 1000);
    assert_int_equal(b->inbox.completed, 0);
    says(b, SAY("session-info", "<checksum xmlns='" NS_JINGLE_FILE_4 "'><file><hash xmlns='" NS_HASHES_1
                                "' algo='sha-256'>" SHA256_HEX "</hash></file></checksum>"));
    assert_int_equal(b->inbox.completed, 1);
    assert_string_equal(b->inbox.late_hash, SHA256_HEX);
    fake_inbox_answer(&b->inbox);
    peer_expects(&b->peer,
                 OURS("session-info", "<received xmlns='" NS_JINGLE_FILE_4 "' creator='initiator' name='file'/>"));
    peer_expects(&b->peer, OUR_END("success"));
}

static void strongest_digest_that_is_known_counts(void **state)
{
#define H(algo, text) "<hash xmlns='" NS_HASHES "' algo='" algo "'>" text "</hash>"
    static const struct {
        const char *hashes, *algo;
    } rows[] = {
        {H("md5", "1B2M2Y8AsgTpgAmY7PhCfg=="), ""},
        {H("sha-1", "2jmj7l5rSw0yVb/vlWAYkK/YBwk="), "sha-1"},
        {H("sha-1", "da39a3ee5e6b4b0d3255bfef95601890afd80709"), "sha-1"},
        {H("sha-1", "2jmj7l5rSw0yVb/vlWAYkK/YBwk=") H("sha-256", SHA256_BASE64), "sha-256"},
        {H("sha-256", "\n  " SHA256_BASE64 "\n"), "sha-256"},
        {H("sha-256", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF=="), ""},
        {H("sha-256", "short"), ""},
        {H("sha-256", "!7DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="), ""},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;
        struct buf xml = {0};

        buf_printf(&xml, INITIATE(FILE_OF(NS_JINGLE_FILE, "<name>a</name><size>1</size>%s") S5B("")), rows[i].hashes);
        offer(b, xml.data);
        buf_free(&xml);
        if (strcmp(b->inbox.hash_algo, rows[i].algo) != 0)
            fail_msg("%s: %s", rows[i].hashes, b->inbox.hash_algo);
        again(state);
    }
}

/* ---- what we answer */

static void answer_has_our_candidates_and_knows_both_names(void **state)
{
    struct bench *b = *state;
    char name[S5B_NAME];

    offer(b, OFFER);
    assert_int_equal(b->ours.count, 1);
    assert_string_equal(b->ours.all[0].host, "198.51.100.7");
    assert_int_equal(b->ours.all[0].priority % 2, 1);
    assert_non_null(strstr(b->accept, "sid=\"their-sid\""));
    s5b_name("their-sid", INITIATOR, TARGET, name);
    assert_string_equal(to(b, NULL)->names[0], name);
    assert_non_null(strstr(b->accept, name)); /* dstaddr */
    s5b_name("their-sid", TARGET, INITIATOR, name);
    assert_string_equal(to(b, NULL)->names[1], name);
    assert_string_equal(to(b, "192.0.2.1")->names[0], name); /* its owner first */
    assert_false(to(b, "192.0.2.1")->trusted);
    fake_stream_fails(to(b, "192.0.2.1"), ERR_STREAMHOSTS_UNREACHABLE, "refused", 0); /* row 97 */
    s5b_name("their-sid", INITIATOR, TARGET, name);
    assert_string_equal(to(b, "192.0.2.1")->names[0], name);
}

/* Row 108. */
static void proxy_that_the_sender_offers_is_not_offered_again(void **state)
{
    struct bench *b = *state;

    offer(b, INITIATE(PLAN S5B("<candidate cid='p1' type='proxy' host='203.0.113.9' port='7625' jid='other' "
                               "priority='655360'/>")));
    assert_int_equal(b->ours.count, 1);
    assert_false(b->ours.all[0].proxy);
}

static void without_a_candidate_of_ours_the_senders_are_tried(void **state)
{
    struct bench *b = *state;

    b->carrier.advertises = false;
    offer(b, OFFER);
    assert_int_equal(b->ours.count, 0);
    to(b, "192.0.2.1");
}

static void sender_is_told_where_to_go_on(void **state)
{
    static const struct {
        const char *says, *range;
        uint64_t here, from;
        const char *answer; /* NULL: none */
    } rows[] = {
        {"he cannot", "", 400, 0, NULL},
        {"nothing is here", "<range/>", 0, 0, NULL},
        {"a part is here", "<range/>", 400, 400, "offset=\"400\""},
        {"he begins where it ends", "<range offset='400'/>", 400, 400, "offset=\"400\""},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;
        struct buf xml = {0};

        b->inbox.here = rows[i].here;
        buf_printf(&xml, INITIATE(FILE_OF(NS_JINGLE_FILE, "<name>a</name><size>1000</size>%s") S5B(DIRECT)),
                   rows[i].range);
        flowing(b, xml.data);
        buf_free(&xml);
        assert_int_equal(b->inbox.offset, rows[i].from);
        assert_int_equal(to(b, "192.0.2.1")->offset, rows[i].from);
        assert_int_equal(to(b, "192.0.2.1")->length, 1000 - rows[i].from);
        if (!rows[i].answer ? strstr(b->accept, "<range") != NULL : !strstr(b->accept, rows[i].answer))
            fail_msg("%s: %s", rows[i].says, b->accept);
        again(state);
    }
}

static void sender_who_begins_elsewhere_is_declined(void **state)
{
    struct bench *b = *state;

    b->inbox.here = 300;
    says(b, INITIATE(FILE_OF(NS_JINGLE_FILE, "<name>a</name><size>1000</size><range offset='400'/>") S5B(DIRECT)));
    peer_expects(&b->peer, OUR_END("decline"));
    assert_int_equal(b->inbox.ended, 1);
}

/* ---- agreement */

static void sender_who_comes_to_us_is_received_from(void **state)
{
    struct bench *b = *state;

    offer(b, INITIATE(PLAN S5B("")));
    fake_stream_says(to(b, NULL), CARRIER_CLAIMED, 0);
    uses(b, 0);
    peer_skip(&b->peer); /* there is nothing of his to try */
    hears(b, "<candidate-error/>");
    assert_int_equal(to(b, NULL)->job, FAKE_RECEIVING);
    assert_string_equal(b->inbox.path, "direct");
    assert_string_equal(b->inbox.streamhost, INITIATOR);
}

/* Row 90: the initiator, and so the peer, chose ours. */
static void higher_priority_wins_from_this_side_too(void **state)
{
    struct bench *b = *state;

    offer(b, INITIATE(PLAN S5B("<candidate cid='d1' host='192.0.2.1' port='1' jid='x' priority='9000001'/>")));
    fake_stream_says(to(b, "192.0.2.1"), CARRIER_DIALED, 0);
    hears(b, "<candidate-used cid='d1'/>");
    fake_stream_says(to(b, NULL), CARRIER_CLAIMED, 0);
    uses(b, 0);
    assert_int_equal(to(b, "192.0.2.1")->job, FAKE_RECEIVING);
    again(state);
    offer(b, OFFER);
    fake_stream_says(to(b, "192.0.2.1"), CARRIER_DIALED, 0);
    hears(b, "<candidate-used cid='d1'/>");
    fake_stream_says(to(b, NULL), CARRIER_CLAIMED, 0);
    uses(b, 0);
    assert_int_equal(to(b, NULL)->job, FAKE_RECEIVING);
}

/* Rows 91 and 92: Conversations, as the initiator, tells nothing but this; and it may be early. */
static void activation_of_what_we_chose_is_its_nomination(void **state)
{
    struct bench *b = *state;
    char report[64];

    offer(b, INITIATE(PLAN S5B(PROXY)));
    fake_stream_says(to(b, "192.0.2.9"), CARRIER_DIALED, 0);
    hears(b, "<candidate-used cid='p1'/>");
    assert_int_equal(to(b, "192.0.2.9")->job, FAKE_DIALING);
    says(b, INFO("<activated cid='p1'/>"));
    assert_int_equal(to(b, "192.0.2.9")->job, FAKE_RECEIVING);
    assert_string_equal(b->inbox.path, "proxy");
    again(state);
    offer(b, INITIATE(PLAN S5B(PROXY)));
    fake_stream_says(to(b, "192.0.2.9"), CARRIER_DIALED, 0);
    peer_expects(&b->peer, OUR_INFO("<candidate-used cid='p1'/>"));
    snprintf(report, sizeof report, "%s", b->peer.id);
    says(b, INFO("<activated cid='p1'/>")); /* before our report is acknowledged */
    snprintf(b->peer.id, sizeof b->peer.id, "%s", report);
    assert_int_equal(to(b, "192.0.2.9")->job, FAKE_DIALING);
    peer_says(&b->peer, HEARD);
    assert_int_equal(to(b, "192.0.2.9")->job, FAKE_RECEIVING);
}

static void proxy_of_ours_is_activated_by_us(void **state)
{
    struct bench *b = *state;
    struct buf xml = {0};

    offer(b, INITIATE(PLAN S5B("")));
    assert_int_equal(b->ours.count, 2);
    uses(b, 1);
    peer_skip(&b->peer);
    hears(b, "<candidate-error/>");
    fake_stream_says(to(b, "203.0.113.9"), CARRIER_DIALED, 0);
    peer_expects(&b->peer,
                 "<iq type='set' id='*id' from='" INITIATOR "' to='streamer.example.com'><query xmlns='" NS_BYTESTREAMS
                 "' sid='their-sid'><activate>" TARGET "</activate></query></iq>");
    peer_says(&b->peer, "<iq type='result' id='$id' from='streamer.example.com' to='" INITIATOR "'/>");
    buf_printf(&xml, OUR_INFO("<activated cid='%s'/>"), b->ours.all[1].cid);
    peer_expects(&b->peer, xml.data);
    buf_free(&xml);
    assert_int_equal(to(b, "203.0.113.9")->job, FAKE_RECEIVING);
}

/* Row 99, both ways. */
static void proxy_that_fails_leads_to_in_band(void **state)
{
    struct bench *b = *state;

    offer(b, INITIATE(PLAN S5B("")));
    uses(b, 1);
    peer_skip(&b->peer);
    hears(b, "<candidate-error/>");
    fake_stream_fails(to(b, "203.0.113.9"), ERR_STREAMHOSTS_UNREACHABLE, "refused", 0);
    peer_expects(&b->peer, OUR_INFO("<proxy-error/>"));
    says(b, FALL_BACK);
    peer_expects(&b->peer, OURS("transport-accept", CONTENT(IBB_T("8192"))));
    again(state);
    offer(b, INITIATE(PLAN S5B(PROXY)));
    fake_stream_says(to(b, "192.0.2.9"), CARRIER_DIALED, 0);
    hears(b, "<candidate-used cid='p1'/>");
    says(b, INFO("<candidate-error/>"));
    says(b, INFO("<proxy-error/>"));
    says(b, FALL_BACK);
    peer_expects(&b->peer, OURS("transport-accept", CONTENT(IBB_T("8192"))));
}

/* Row 101. */
static void late_candidates_are_tried(void **state)
{
    struct bench *b = *state;

    offer(b, INITIATE(PLAN S5B("")));
    says(b, INFO(DIRECT));
    peer_turn(&b->peer);
    fake_stream_says(to(b, "192.0.2.1"), CARRIER_DIALED, 0);
    hears(b, "<candidate-used cid='d1'/>");
}

/* Row 100. */
static void useless_candidates_do_not_spoil_the_rest(void **state)
{
    struct bench *b = *state;

    offer(b, INITIATE(
                 PLAN S5B("<candidate cid='a' type='foo' host='192.0.2.2' port='1' jid='x@y/z' priority='9000000'/>"
                          "<candidate cid='b' host='192.0.2.3' port='1' jid='x@y/z' priority='0'/>"
                          "<candidate cid='c' host='192.0.2.4' port='99999' jid='x@y/z' priority='9000000'/>" DIRECT_126
                          "<candidate cid='d1' host='192.0.2.5' port='1' jid='x@y/z' priority='9000000'/>")));
    assert_int_equal(fake_carrier_count(&b->carrier), 2); /* and our listener */
    to(b, "192.0.2.1");
}

/* ---- in-band */

#define OPEN(block)                                                                                                    \
    "<iq type='set' id='in' from='" TARGET "' to='" INITIATOR "'><open xmlns='" NS_IBB                                 \
    "' sid='their-ibb' block-size='" block "'/></iq>"
#define DATA                                                                                                           \
    "<iq type='set' id='in' from='" TARGET "' to='" INITIATOR "'><data xmlns='" NS_IBB                                 \
    "' sid='their-ibb' seq='0'>aGVsbG8=</data></iq>"
#define CLOSE                                                                                                          \
    "<iq type='set' id='in' from='" TARGET "' to='" INITIATOR "'><close xmlns='" NS_IBB "' sid='their-ibb'/></iq>"
#define FIVE FILE_OF(NS_JINGLE_FILE, "<name>a</name><size>5</size>")

static void comes_in_band(struct bench *b)
{
    says(b, OPEN("4096"));
    says(b, DATA);
    says(b, CLOSE);
    assert_string_equal(b->inbox.path, "inband");
    assert_int_equal(b->inbox.written, 5);
    assert_int_equal(b->inbox.completed, 0); /* a digest may follow */
    peer_skip(&b->peer);
    assert_int_equal(b->inbox.completed, 1);
    assert_int_equal(b->inbox.moved, 5);
    fake_inbox_answer(&b->inbox);
    peer_expects(&b->peer, OUR_RECEIVED);
    peer_expects(&b->peer, OUR_END("success"));
}

static void file_offered_in_band_comes_in_band(void **state)
{
    struct bench *b = *state;

    offer(b, INITIATE(FIVE IBB_T("4096")));
    assert_string_equal(b->inbox.method, "jingle-ibb");
    assert_non_null(strstr(b->accept, "block-size=\"4096\""));
    comes_in_band(b);
}

static void where_nobody_reaches_anybody_the_sender_may_go_on_in_band(void **state)
{
    struct bench *b = *state;

    both_fail(b, INITIATE(FIVE S5B(DIRECT)));
    peer_expects_nothing(&b->peer); /* it is not ours to ask */
    says(b, FALL_BACK);
    peer_expects(&b->peer, OURS("transport-accept", CONTENT(IBB_T("8192"))));
    comes_in_band(b);
}

static void sender_may_be_the_first_to_see_it(void **state)
{
    struct bench *b = *state;

    offer(b, INITIATE(FIVE S5B(DIRECT)));
    says(b, FALL_BACK);
    peer_expects(&b->peer, OURS("transport-accept", CONTENT(IBB_T("8192"))));
    comes_in_band(b);
}

static void sender_who_does_not_go_on_is_left(void **state)
{
    struct bench *b = *state;

    both_fail(b, OFFER);
    assert_in_range(peer_skip(&b->peer), 29000, 30000);
    peer_expects(&b->peer, OUR_END("connectivity-error"));
    assert_int_equal(b->inbox.why, ERR_TRANSPORT_FAILED);
}

static void replacement_that_is_none_is_rejected(void **state)
{
    static const char *const rows[] = {
        SAY("transport-replace", CONTENT("<transport xmlns='" NS_JINGLE_IBB "' sid='x' block-size='0'/>")),
        SAY("transport-replace", CONTENT("<transport xmlns='" NS_JINGLE_S5B "' sid='x'/>")),
    };
    struct bench *b = *state;

    offer(b, OFFER);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        says(b, rows[i]);
        assert_non_null(strstr(peer_next(&b->peer), "transport-reject"));
    }
    fake_stream_says(to(b, "192.0.2.1"), CARRIER_DIALED, 0); /* and the first goes on */
    hears(b, "<candidate-used cid='d1'/>");
}

/* ---- the end */

/* Rows 109, 57, 58 and others. */
static void what_is_wrong_with_the_file_is_told(void **state)
{
    static const struct {
        enum error_code verdict;
        const char *want;
    } rows[] = {
        {ERR_HASH_MISMATCH, "<media-error/><text>the file is not the one whose digest was told</text>"},
        {ERR_SIZE_EXCEEDED, "<media-error/><text>more came than was announced</text>"},
        {ERR_TRUNCATED, "<failed-transport/><text>less came than was announced</text>"},
        {ERR_SPOOL_FULL, "<busy/>"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;
        struct buf xml = {0};

        b->inbox.verdict = rows[i].verdict;
        flowing(b, INITIATE(HASHED S5B(DIRECT)));
        fake_stream_says(to(b, "192.0.2.1"), CARRIER_DONE, 1000);
        fake_inbox_answer(&b->inbox);
        buf_printf(&xml, OUR_REASON("%s"), rows[i].want);
        peer_expects(&b->peer, xml.data);
        buf_free(&xml);
        assert_int_equal(b->inbox.why, rows[i].verdict);
        again(state);
    }
}

static void digest_is_awaited_two_seconds(void **state)
{
    struct bench *b = *state;

    flowing(b, OFFER);
    fake_stream_says(to(b, "192.0.2.1"), CARRIER_DONE, 1000);
    assert_int_equal(b->inbox.completed, 0);
    assert_in_range(peer_skip(&b->peer), 1900, 2000);
    assert_int_equal(b->inbox.completed, 1);
    assert_string_equal(b->inbox.late_algo, "");
    again(state);
    flowing(b, OFFER);
    fake_stream_says(to(b, "192.0.2.1"), CARRIER_DONE, 1000);
    says(b, CHECKSUM(SHA256_BASE64));
    assert_int_equal(b->inbox.completed, 1);
    assert_string_equal(b->inbox.late_algo, "sha-256");
    assert_string_equal(b->inbox.late_hash, SHA256_HEX);
    again(state);
    flowing(b, OFFER);
    says(b, CHECKSUM(SHA256_BASE64)); /* before the last byte */
    fake_stream_says(to(b, "192.0.2.1"), CARRIER_DONE, 1000);
    assert_int_equal(b->inbox.completed, 1);
}

static void stream_that_ends_early_is_looked_at_at_once(void **state)
{
    struct bench *b = *state;

    b->inbox.verdict = ERR_TRUNCATED;
    flowing(b, OFFER);
    fake_stream_says(to(b, "192.0.2.1"), CARRIER_DONE, 400);
    assert_int_equal(b->inbox.moved, 400);
    fake_inbox_answer(&b->inbox);
    assert_int_equal(b->inbox.why, ERR_TRUNCATED);
}

static void stream_that_breaks_ends_it_but_behind_the_last_byte(void **state)
{
    struct bench *b = *state;

    flowing(b, OFFER);
    fake_stream_fails(to(b, "192.0.2.1"), ERR_STREAM_BROKEN, "reset", 400);
    peer_expects(&b->peer, OUR_END("connectivity-error"));
    assert_int_equal(b->inbox.moved, 400);
    assert_int_equal(b->inbox.why, ERR_STREAM_BROKEN);
    again(state);
    flowing(b, INITIATE(HASHED S5B(DIRECT)));
    fake_stream_fails(to(b, "192.0.2.1"), ERR_STREAM_BROKEN, "reset", 1000);
    assert_int_equal(b->inbox.completed, 1);
}

/* Row 107: the stream's end is the file's; Dino says no size of an empty one. */
static void file_without_a_size_ends_with_its_stream(void **state)
{
    static const uint64_t rows[] = {0, 700};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;

        flowing(b, INITIATE(FILE_OF(NS_JINGLE_FILE, "<name>a</name>") S5B(DIRECT)));
        assert_int_equal(b->inbox.size, -1);
        assert_int_equal(to(b, "192.0.2.1")->length, 1 << 20); /* what the rules allow */
        fake_stream_says(to(b, "192.0.2.1"), CARRIER_DONE, rows[i]);
        peer_skip(&b->peer);
        assert_int_equal(b->inbox.completed, 1);
        assert_int_equal(b->inbox.moved, rows[i]);
        again(state);
    }
}

/* Row 44: nothing has to come, and so no way be found. */
static void empty_file_is_complete_by_any_way(void **state)
{
    struct bench *b = *state;

    offer(b, INITIATE(FILE_OF(NS_JINGLE_FILE, "<name>a</name><size>0</size>") S5B(DIRECT)));
    fake_stream_says(to(b, "192.0.2.1"), CARRIER_DIALED, 0);
    hears(b, "<candidate-used cid='d1'/>");
    says(b, INFO("<candidate-error/>"));
    peer_skip(&b->peer);
    assert_int_equal(b->inbox.completed, 1);
    again(state);
    both_fail(b, INITIATE(FILE_OF(NS_JINGLE_FILE, "<name>a</name><size>0</size>") S5B(DIRECT)));
    peer_skip(&b->peer);
    assert_int_equal(b->inbox.completed, 1);
    assert_int_equal(b->inbox.moved, 0);
}

#define EMPTY FILE_OF(NS_JINGLE_FILE, "<name>a</name><size>0</size>")

/* The sender says so before any way was agreed on: what he does on the way afterwards is late news. */
static void empty_file_that_is_said_to_be_complete_begins_once(void **state)
{
    struct bench *b = *state;

    says(b, INITIATE(EMPTY S5B(DIRECT))); /* our candidates are not known yet */
    says(b, END("success"));
    assert_int_equal(b->inbox.completed, 1);
    peer_turn(&b->peer);
    peer_expects_nothing(&b->peer);
    fake_inbox_answer(&b->inbox);
    again(state);
    offer(b, INITIATE(EMPTY S5B(DIRECT)));
    says(b, INFO("<candidate-error/>"));
    fake_stream_says(to(b, "192.0.2.1"), CARRIER_DIALED, 0);
    peer_expects(&b->peer, OUR_INFO("<candidate-used cid='d1'/>"));
    says(b, END("success"));
    peer_says(&b->peer, HEARD); /* of the candidate */
    assert_int_equal(b->inbox.begun, 1);
    assert_int_equal(b->inbox.completed, 1);
    fake_inbox_answer(&b->inbox);
    again(state);
    offer(b, INITIATE(EMPTY IBB_T("4096")));
    says(b, END("success"));
    b->inbox.refuses = ERR_METHOD_UNSUPPORTED; /* it is a stream without an offer now */
    peer_says(&b->peer, OPEN("4096"));
    peer_expects(&b->peer, REFUSED("cancel", "not-acceptable"));
    assert_int_equal(b->inbox.begun, 1);
    assert_int_equal(b->inbox.completed, 1);
    fake_inbox_answer(&b->inbox);
    assert_int_equal(b->inbox.why, ERR_NONE);
}

/* An earlier try broke off behind the last byte: nothing is to come, and the sender hangs up. */
static void file_that_is_all_here_is_complete_whatever_the_stream_does(void **state)
{
    struct bench *b = *state;

    b->inbox.here = 1000;
    offer(b, INITIATE(FILE_OF(NS_JINGLE_FILE, "<name>a</name><size>1000</size><range/>") S5B(DIRECT)));
    fake_stream_says(to(b, "192.0.2.1"), CARRIER_DIALED, 0);
    hears(b, "<candidate-used cid='d1'/>");
    says(b, INFO("<candidate-error/>"));
    fake_stream_fails(to(b, "192.0.2.1"), ERR_STREAM_BROKEN, "reset", 0);
    peer_skip(&b->peer);
    assert_int_equal(b->inbox.completed, 1);
    assert_int_equal(b->inbox.ended, 0);
    fake_inbox_answer(&b->inbox);
    assert_int_equal(b->inbox.why, ERR_NONE);
}

static void senders_goodbye_does_not_lose_the_last_bytes(void **state)
{
    struct bench *b = *state;

    flowing(b, OFFER);
    says(b, END("success"));
    assert_int_equal(b->inbox.completed, 0);
    fake_stream_says(to(b, "192.0.2.1"), CARRIER_DONE, 1000);
    assert_int_equal(b->inbox.completed, 1); /* no digest can follow */
    fake_inbox_answer(&b->inbox);
    peer_expects_nothing(&b->peer); /* there is no session to say it in */
    assert_int_equal(b->inbox.why, ERR_NONE);
    again(state);
    flowing(b, OFFER);
    says(b, END("success"));
    peer_skip(&b->peer);
    assert_int_equal(b->inbox.why, ERR_STALLED);
}

static void sender_may_cancel(void **state)
{
    struct bench *b = *state;

    offer(b, OFFER);
    says(b, END("cancel"));
    assert_int_equal(b->inbox.why, ERR_CANCELLED);
    again(state);
    flowing(b, OFFER);
    says(b, END("cancel"));
    assert_int_equal(b->inbox.why, ERR_CANCELLED);
    peer_expects_nothing(&b->peer);
    again(state);
    says(b, OFFER); /* our candidates are not known yet */
    says(b, END("cancel"));
    peer_turn(&b->peer);
    peer_expects_nothing(&b->peer);
}

static void what_the_gateway_takes_back_is_cancelled(void **state)
{
    struct bench *b = *state;

    flowing(b, OFFER);
    fake_inbox_revoke(&b->inbox, ERR_CANCELLED);
    peer_expects(&b->peer, OUR_END("cancel"));
    assert_int_equal(b->inbox.why, ERR_CANCELLED);
}

/* Row 104. */
static void infos_have_their_answers(void **state)
{
    struct bench *b = *state;

    flowing(b, OFFER);
    says(b, SAY("session-info", ""));
    says(b, SAY("session-info", "<received xmlns='" NS_JINGLE_FILE "'/>"));
    says(b, CHECKSUM(SHA256_BASE64));
    peer_says(&b->peer, SAY("session-info", "<mystery xmlns='urn:example:x'/>"));
    peer_expects(&b->peer, "<iq type='error' id='in' to='" TARGET
                           "'><error type='modify'><feature-not-implemented xmlns='" NS_STANZAS
                           "'/><unsupported-info xmlns='" NS_JINGLE_ERRORS "'/></error></iq>");
}

/* Rows 105 and 106. */
static void sessions_out_of_order_are_told_so(void **state)
{
    struct bench *b = *state;

    peer_says(&b->peer, END("success"));
    peer_expects(&b->peer, UNKNOWN_SESSION);
    offer(b, OFFER);
    peer_says(&b->peer, OFFER);
    peer_expects(&b->peer, OUT_OF_ORDER);
    peer_says(&b->peer, SAY("session-accept", CONTENT("")));
    peer_expects(&b->peer, OUT_OF_ORDER);
    peer_says(&b->peer, SAY("transport-accept", CONTENT("")));
    peer_expects(&b->peer, OUT_OF_ORDER);
    peer_says(&b->peer, SAY("session-dance", ""));
    peer_expects(&b->peer, REFUSED("modify", "bad-request"));
    says(b, END("cancel"));
    says(b, END("cancel"));
    clock_advance(61000);
    peer_says(&b->peer, END("cancel"));
    peer_expects(&b->peer, UNKNOWN_SESSION);
}

/* Row 122. */
static void agreement_ends_with_the_session_and_the_stream_does_not(void **state)
{
    struct bench *b = *state;

    offer(b, OFFER);
    jingle_offline(b->peer.client->jingle);
    assert_int_equal(b->inbox.why, ERR_XMPP_DISCONNECTED);
    while (peer_next(&b->peer)) {
    }
    again(state);
    flowing(b, INITIATE(HASHED S5B(DIRECT)));
    jingle_offline(b->peer.client->jingle);
    assert_int_equal(b->inbox.ended, 0);
    fake_stream_says(to(b, "192.0.2.1"), CARRIER_DONE, 1000);
    fake_inbox_answer(&b->inbox);
    assert_int_equal(b->inbox.why, ERR_NONE);
}

/* Row 124: and of two addresses of ours. */
static void one_id_of_two_peers_is_two_sessions(void **state)
{
    static const char *const rows[] = {
        "<iq type='set' id='in' from='other@example.org/x' to='" INITIATOR "'><jingle xmlns='" NS_JINGLE
        "' action='session-initiate' sid='s1'><content creator='initiator' name='file'>" PLAN S5B(
            "") "</content></jingle></iq>",
        "<iq type='set' id='in' from='" TARGET "' to='second@example.com/foo'><jingle xmlns='" NS_JINGLE
        "' action='session-initiate' sid='s1'><content creator='initiator' name='file'>" PLAN S5B(
            "") "</content></jingle></iq>",
    };
    struct bench *b = *state;

    b->inbox.crowd = true;
    says(b, OFFER);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        peer_says(&b->peer, rows[i]);
        assert_non_null(strstr(peer_next(&b->peer), "type=\"result\""));
        assert_int_equal(b->inbox.offers, i + 2);
    }
    says(b, END("cancel"));
    assert_int_equal(b->inbox.ended, 1);
    b->inbox.now = NULL;
}

static void one_peer_has_no_more_sessions_than_that(void **state)
{
    struct bench *b = *state;

    b->inbox.crowd = true;
    for (int i = 0; i < 16; i++) {
        snprintf(b->peer.sid, sizeof b->peer.sid, "s%d", i);
        says(b, OFFER);
    }
    snprintf(b->peer.sid, sizeof b->peer.sid, "one-more");
    peer_says(&b->peer, OFFER);
    peer_expects(&b->peer, REFUSED("wait", "resource-constraint"));
    b->inbox.now = NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(file_comes_and_the_sender_hears_that_it_is_here),
        TEST(what_is_no_offer_for_us_is_ended_with_its_reason),
        TEST(what_is_no_jingle_is_a_bad_request),
        TEST(address_that_takes_no_files_has_no_such_service),
        TEST(refusal_of_the_receiver_is_told),
        TEST(offer_of_version_4_is_answered_in_it),
        TEST(strongest_digest_that_is_known_counts),
        TEST(answer_has_our_candidates_and_knows_both_names),
        cmocka_unit_test_setup_teardown(proxy_that_the_sender_offers_is_not_offered_again, setup_with_proxy, teardown),
        TEST(without_a_candidate_of_ours_the_senders_are_tried),
        TEST(sender_is_told_where_to_go_on),
        TEST(sender_who_begins_elsewhere_is_declined),
        TEST(sender_who_comes_to_us_is_received_from),
        TEST(higher_priority_wins_from_this_side_too),
        TEST(activation_of_what_we_chose_is_its_nomination),
        cmocka_unit_test_setup_teardown(proxy_of_ours_is_activated_by_us, setup_with_proxy, teardown),
        cmocka_unit_test_setup_teardown(proxy_that_fails_leads_to_in_band, setup_with_proxy, teardown),
        TEST(late_candidates_are_tried),
        TEST(useless_candidates_do_not_spoil_the_rest),
        TEST(file_offered_in_band_comes_in_band),
        TEST(where_nobody_reaches_anybody_the_sender_may_go_on_in_band),
        TEST(sender_may_be_the_first_to_see_it),
        TEST(sender_who_does_not_go_on_is_left),
        TEST(replacement_that_is_none_is_rejected),
        TEST(what_is_wrong_with_the_file_is_told),
        TEST(digest_is_awaited_two_seconds),
        TEST(stream_that_ends_early_is_looked_at_at_once),
        TEST(stream_that_breaks_ends_it_but_behind_the_last_byte),
        TEST(file_without_a_size_ends_with_its_stream),
        TEST(empty_file_is_complete_by_any_way),
        TEST(empty_file_that_is_said_to_be_complete_begins_once),
        TEST(file_that_is_all_here_is_complete_whatever_the_stream_does),
        TEST(senders_goodbye_does_not_lose_the_last_bytes),
        TEST(sender_may_cancel),
        TEST(what_the_gateway_takes_back_is_cancelled),
        TEST(infos_have_their_answers),
        TEST(sessions_out_of_order_are_told_so),
        TEST(agreement_ends_with_the_session_and_the_stream_does_not),
        TEST(one_id_of_two_peers_is_two_sessions),
        TEST(one_peer_has_no_more_sessions_than_that),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
