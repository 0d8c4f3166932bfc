/* xmpp/jingle.c: sessions as XEP-0166 has them, whatever they are about. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "tests/fake/xmpp/peer.h"
#include "xmpp/jingle.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

#define OTHER "other@example.net/baz"
#define FROM(who, action, content)                                                                                     \
    "<iq type='set' id='in' from='" who "' to='" INITIATOR "'><jingle xmlns='" NS_JINGLE "' action='" action           \
    "' sid='$sid'>" content "</jingle></iq>"
#define SET(action, content) FROM(TARGET, action, content)
#define ACK                  "<iq type='result' id='in' to='" TARGET "'/>"
#define ERROR_TO(who, type, condition, special)                                                                        \
    "<iq type='error' id='in' to='" who "'><error type='" type "'><" condition " xmlns='" NS_STANZAS "'/>" special     \
    "</error></iq>"
#define SPECIAL(name)   "<" name " xmlns='" NS_JINGLE_ERRORS "'/>"
#define OUT_OF_ORDER    ERROR_TO(TARGET, "wait", "unexpected-request", SPECIAL("out-of-order"))
#define UNKNOWN_TO(who) ERROR_TO(who, "cancel", "item-not-found", SPECIAL("unknown-session"))
#define END(reason)     SET("session-terminate", "<reason><" reason "/></reason>")

/* The owner of a session: it says yes to everything and remembers. */
struct bench {
    struct peer peer;
    struct jid to;
    struct jingle_session *session;
    unsigned requests, refusals, ends, offline;
    enum jingle_action last;
    bool refuse;      /* requests */
    struct error why; /* of the last refusal or end */
};

static void on_refused(void *user, const struct error *why)
{
    struct bench *b = user;

    b->refusals++;
    b->why = *why;
}

static void on_request(void *user, struct jingle_request *r)
{
    struct bench *b = user;

    b->requests++;
    b->last = r->action;
    b->refuse ? jingle_refuse_order(r) : jingle_ack(r);
}

static void on_terminated(void *user, const struct error *why)
{
    struct bench *b = user;

    b->ends++;
    b->why = why ? *why : (struct error){0};
}

static void on_offline(void *user)
{
    ((struct bench *)user)->offline++;
}

static const struct jingle_events events = {on_refused, on_request, on_terminated, on_offline};

static int setup(void **state)
{
    static struct bench b;

    memset(&b, 0, sizeof b);
    clock_fake(1000, 1000);
    peer_start(&b.peer, NULL);
    assert_true(jid_parse(&b.to, TARGET, strlen(TARGET), NULL));
    *state = &b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;

    jingle_session_end(&b->session, "gone");
    peer_stop(&b->peer);
    clock_real();
    return 0;
}

static void again(void **state)
{
    teardown(state);
    setup(state);
}

static struct jingle_session *offer_to(struct bench *b, const char *jid, const char *wanted)
{
    struct jid to;
    struct jingle_session *s;
    struct error err;

    assert_true(jid_parse(&to, jid, strlen(jid), NULL));
    s = jingle_session_create(b->peer.client->jingle, &b->peer.client->self, &to, &events, b);
    assert_non_null(s);
    assert_true(jingle_initiate(s, stanza_new(b->peer.client->ctx, "content", NULL), &err));
    peer_expects(&b->peer, wanted);
    return s;
}

static void begin(struct bench *b)
{
    b->session = offer_to(b, TARGET,
                          "<iq type='set' id='*id' to='" TARGET "'><jingle xmlns='" NS_JINGLE
                          "' action='session-initiate' sid='*sid' initiator='" INITIATOR "'><content/></jingle></iq>");
}

static void acked(struct bench *b)
{
    begin(b);
    peer_says(&b->peer, "<iq type='result' id='$id' from='" TARGET "'/>");
}

static void active(struct bench *b)
{
    acked(b);
    peer_says(&b->peer, SET("session-accept", "<content/>"));
    peer_expects(&b->peer, ACK);
}

static void what_is_about_the_content_goes_to_who_began_the_session(void **state)
{
    static const struct {
        const char *xml;
        enum jingle_action action;
    } rows[] = {
        {SET("transport-info", "<content/>"), JINGLE_TRANSPORT_INFO},
        {SET("transport-replace", "<content/>"), JINGLE_TRANSPORT_REPLACE},
        {SET("session-info", "<received/>"), JINGLE_SESSION_INFO},
    };
    struct bench *b = *state;

    active(b);
    assert_int_equal(b->last, JINGLE_SESSION_ACCEPT);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        peer_says(&b->peer, rows[i].xml);
        peer_expects(&b->peer, ACK);
        assert_int_equal(b->requests, i + 2);
        assert_int_equal(b->last, rows[i].action);
    }
}

static void refused_offer_has_its_code(void **state)
{
    static const struct {
        const char *type, *condition;
        enum error_code want;
    } rows[] = {
        {"cancel", "service-unavailable", ERR_METHOD_UNSUPPORTED},
        {"cancel", "feature-not-implemented", ERR_METHOD_UNSUPPORTED},
        {"wait", "resource-constraint", ERR_RECIPIENT_BUSY},
        {"modify", "redirect", ERR_RECIPIENT_REDIRECTS},
        {"cancel", "bad-request", ERR_OFFER_REJECTED},
        {"modify", "not-acceptable", ERR_OFFER_REJECTED},
        {"wait", "recipient-unavailable", ERR_RECIPIENT_OFFLINE},
        {"cancel", "remote-server-not-found", ERR_REMOTE_SERVER_UNREACHABLE},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;

        begin(b);
        peer_refuses(&b->peer, TARGET, rows[i].type, rows[i].condition, "");
        assert_int_equal(b->refusals, 1);
        if (b->why.code != rows[i].want)
            fail_msg("%s: %s", rows[i].condition, error_name(b->why.code));
        jingle_session_end(&b->session, "gone");
        peer_expects_nothing(&b->peer); /* there is no session to be ended */
        again(state);
    }
}

static void unanswered_offer_is_taken_back(void **state)
{
    struct bench *b = *state;

    begin(b);
    assert_in_range(peer_skip(&b->peer), 29000, 30000);
    assert_int_equal(b->why.code, ERR_RECIPIENT_TIMEOUT);
    jingle_session_end(&b->session, "timeout");
    peer_expects(&b->peer, "<iq type='set' id='*id' to='" TARGET "'><jingle xmlns='" NS_JINGLE
                           "' action='session-terminate' sid='$sid'><reason><timeout/></reason></jingle></iq>");
}

static void reasons_have_their_codes(void **state)
{
    static const struct {
        const char *xml;
        enum error_code want;
    } rows[] = {
        {END("success"), ERR_NONE},
        {END("decline"), ERR_RECIPIENT_DECLINED},
        {END("cancel"), ERR_RECIPIENT_DECLINED},
        {END("busy"), ERR_RECIPIENT_BUSY},
        {END("connectivity-error"), ERR_TRANSPORT_FAILED},
        {END("failed-transport"), ERR_TRANSPORT_FAILED},
        {END("failed_transport"), ERR_TRANSPORT_FAILED}, /* Dino */
        {END("unsupported-transports"), ERR_TRANSPORT_FAILED},
        {END("failed-application"), ERR_OFFER_REJECTED},
        {END("incompatible-parameters"), ERR_OFFER_REJECTED},
        {END("unsupported-applications"), ERR_OFFER_REJECTED},
        {END("security-error"), ERR_SECURITY_REFUSED},
        {END("timeout"), ERR_RECIPIENT_TIMEOUT},
        {END("expired"), ERR_RECIPIENT_TIMEOUT},
        {END("gone"), ERR_RECIPIENT_OFFLINE},
        {END("general-error"), ERR_PEER_ERROR},
        {END("media-error"), ERR_PEER_ERROR},
        {SET("session-terminate", "<reason><media-error/><file-too-large xmlns='" NS_JINGLE_FILE_ERRORS "'/></reason>"),
         ERR_RECIPIENT_TOO_SMALL},
        {SET("session-terminate", "<reason><text>no</text><decline/></reason>"), ERR_RECIPIENT_DECLINED},
        {SET("session-terminate", "<reason/>"), ERR_PEER_ERROR},
        {SET("session-terminate", ""), ERR_PEER_ERROR},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;

        acked(b);
        peer_says(&b->peer, rows[i].xml);
        peer_expects(&b->peer, ACK);
        assert_int_equal(b->ends, 1);
        if (b->why.code != rows[i].want)
            fail_msg("%s: %s", rows[i].xml, error_name(b->why.code));
        again(state);
    }
}

static void some_reasons_mean_more_after_acceptance(void **state)
{
    struct bench *b = *state;

    active(b);
    peer_says(&b->peer, END("cancel"));
    assert_int_equal(b->why.code, ERR_RECIPIENT_CANCELLED);
    again(state);
    active(b);
    peer_says(&b->peer, END("media-error"));
    assert_int_equal(b->why.code, ERR_HASH_MISMATCH);
}

static void peers_own_words_are_in_the_error(void **state)
{
    struct bench *b = *state;

    acked(b);
    peer_says(&b->peer, SET("session-terminate", "<reason><decline/><text>not today</text></reason>"));
    assert_non_null(strstr(b->why.text, "not today"));
}

static void end_that_is_repeated_within_a_minute_is_acknowledged(void **state)
{
    struct bench *b = *state;

    acked(b);
    peer_says(&b->peer, END("success"));
    peer_expects(&b->peer, ACK);
    peer_says(&b->peer, END("success"));
    peer_expects(&b->peer, ACK);
    jingle_session_end(&b->session, "success");
    peer_expects_nothing(&b->peer); /* it ended it itself */
    clock_advance(59 * 1000);
    peer_says(&b->peer, END("success"));
    peer_expects(&b->peer, ACK);
    clock_advance(2 * 1000);
    peer_says(&b->peer, END("success"));
    peer_expects(&b->peer, UNKNOWN_TO(TARGET));
    assert_int_equal(b->ends, 1);
}

static void after_our_end_only_the_peers_is_acknowledged(void **state)
{
    struct bench *b = *state;

    active(b);
    jingle_session_end(&b->session, "cancel");
    peer_expects(&b->peer, "<iq type='set' id='*id' to='" TARGET "'><jingle xmlns='" NS_JINGLE
                           "' action='session-terminate' sid='$sid'><reason><cancel/></reason></jingle></iq>");
    peer_says(&b->peer, SET("transport-info", "<content/>"));
    peer_expects(&b->peer, UNKNOWN_TO(TARGET));
    peer_says(&b->peer, END("success"));
    peer_expects(&b->peer, ACK);
    assert_int_equal(b->ends, 0);
}

static void session_is_known_by_its_peer_and_its_id(void **state)
{
    struct bench *b = *state;

    active(b);
    peer_says(&b->peer, FROM(OTHER, "session-terminate", "<reason><cancel/></reason>"));
    peer_expects(&b->peer, UNKNOWN_TO(OTHER)); /* the same id, and somebody else's */
    snprintf(b->peer.sid, sizeof b->peer.sid, "guessed");
    peer_says(&b->peer, END("cancel"));
    peer_expects(&b->peer, UNKNOWN_TO(TARGET));
    assert_int_equal(b->ends, 0);
}

static void sessions_with_two_peers_do_not_meet(void **state)
{
    struct bench *b = *state;
    struct jingle_session *other;

    other = offer_to(b, OTHER,
                     "<iq type='set' id='*id' to='" OTHER "'><jingle xmlns='" NS_JINGLE
                     "' action='session-initiate' sid='*sid' initiator='" INITIATOR "'><content/></jingle></iq>");
    begin(b);
    peer_says(&b->peer, END("cancel"));
    peer_expects(&b->peer, ACK);
    assert_int_equal(b->ends, 1);
    jingle_session_end(&other, "cancel"); /* which is still there to be ended */
    peer_expects(&b->peer, "<iq type='set' id='*id' to='" OTHER "'><jingle xmlns='" NS_JINGLE
                           "' action='session-terminate' sid='*'><reason><cancel/></reason></jingle></iq>");
}

/* To its owner another acceptance may mean something; else he refuses it. */
static void second_acceptance_is_told_as_such(void **state)
{
    struct bench *b = *state;

    active(b);
    assert_int_equal(b->last, JINGLE_SESSION_ACCEPT);
    b->refuse = true;
    peer_says(&b->peer, SET("session-accept", "<content/>"));
    peer_expects(&b->peer, OUT_OF_ORDER);
    assert_int_equal(b->last, JINGLE_SESSION_ACCEPT_AGAIN);
    assert_int_equal(b->requests, 2);
}

static void transports_are_the_owners_business(void **state)
{
    static const struct {
        const char *xml;
        enum jingle_action want;
    } rows[] = {
        {SET("transport-info", "<content/>"), JINGLE_TRANSPORT_INFO},
        {SET("transport-replace", "<content/>"), JINGLE_TRANSPORT_REPLACE},
        {SET("transport-accept", "<content/>"), JINGLE_TRANSPORT_ACCEPT},
        {SET("transport-reject", "<content/>"), JINGLE_TRANSPORT_REJECT},
    };
    struct bench *b = *state;

    active(b);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        peer_says(&b->peer, rows[i].xml);
        peer_expects(&b->peer, ACK);
        assert_int_equal(b->last, rows[i].want);
    }
}

static void what_cannot_be_said_now_is_out_of_order(void **state)
{
    static const char *const rows[] = {
        SET("session-initiate", "<content/>"),
        SET("content-accept", "<content/>"),
        SET("content-modify", "<content/>"),
        SET("content-remove", "<content/>"),
    };
    struct bench *b = *state;

    active(b);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        peer_says(&b->peer, rows[i]);
        peer_expects(&b->peer, OUT_OF_ORDER);
    }
    assert_int_equal(b->requests, 1);
}

static void what_is_no_action_is_a_bad_request(void **state)
{
    struct bench *b = *state;

    active(b);
    peer_says(&b->peer, SET("session-dance", ""));
    peer_expects(&b->peer, ERROR_TO(TARGET, "modify", "bad-request", ""));
    peer_says(&b->peer, "<iq type='set' id='in' from='" TARGET "'><jingle xmlns='" NS_JINGLE "' sid='$sid'/></iq>");
    peer_expects(&b->peer, ERROR_TO(TARGET, "modify", "bad-request", ""));
    peer_says(&b->peer,
              "<iq type='set' id='in' from='" TARGET "'><jingle xmlns='" NS_JINGLE "' action='session-info'/></iq>");
    peer_expects(&b->peer, ERROR_TO(TARGET, "modify", "bad-request", ""));
}

static void empty_info_is_a_ping(void **state)
{
    struct bench *b = *state;

    active(b);
    peer_says(&b->peer, SET("session-info", ""));
    peer_expects(&b->peer, ACK);
    assert_int_equal(b->requests, 1);
}

static void content_that_is_added_is_rejected(void **state)
{
    struct bench *b = *state;

    active(b);
    peer_says(&b->peer, SET("content-add", "<content creator='responder' name='more'/>"));
    peer_expects(&b->peer, ACK);
    peer_expects(&b->peer, "<iq type='set' id='*id' to='" TARGET "'><jingle xmlns='" NS_JINGLE
                           "' action='content-reject' sid='$sid'><content creator='responder' name='more'/>"
                           "</jingle></iq>");
}

static void nobody_begins_a_session_with_us(void **state)
{
    struct bench *b = *state;

    snprintf(b->peer.sid, sizeof b->peer.sid, "theirs");
    peer_says(&b->peer, SET("session-initiate", "<content/>"));
    peer_expects(&b->peer, ERROR_TO(TARGET, "cancel", "service-unavailable", ""));
}

static void everybody_hears_that_the_server_is_gone(void **state)
{
    struct bench *b = *state;

    active(b);
    jingle_offline(b->peer.client->jingle);
    assert_int_equal(b->offline, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_about_the_content_goes_to_who_began_the_session),
        TEST(refused_offer_has_its_code),
        TEST(unanswered_offer_is_taken_back),
        TEST(reasons_have_their_codes),
        TEST(some_reasons_mean_more_after_acceptance),
        TEST(peers_own_words_are_in_the_error),
        TEST(end_that_is_repeated_within_a_minute_is_acknowledged),
        TEST(after_our_end_only_the_peers_is_acknowledged),
        TEST(session_is_known_by_its_peer_and_its_id),
        TEST(sessions_with_two_peers_do_not_meet),
        TEST(second_acceptance_is_told_as_such),
        TEST(transports_are_the_owners_business),
        TEST(what_cannot_be_said_now_is_out_of_order),
        TEST(what_is_no_action_is_a_bad_request),
        TEST(empty_info_is_a_ping),
        TEST(content_that_is_added_is_rejected),
        TEST(nobody_begins_a_session_with_us),
        TEST(everybody_hears_that_the_server_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
