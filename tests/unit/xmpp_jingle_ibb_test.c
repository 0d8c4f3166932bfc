/* xmpp/jingle_ibb.c: the in-band stream of a Jingle session, offered or fallen back to (XEP-0166, XEP-0261). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "tests/fake/xmpp/jingle.h"
#include "xmpp/jingle.h"

#define INBAND(attributes) "<transport xmlns='" NS_JINGLE_IBB "' " attributes "/>"
#define THEIRS             INBAND("sid='None' block-size='2048'")
#define REPLACE(transport) SAY("transport-replace", CONTENT(transport))
#define OUR_ACCEPT         OURS("transport-accept", CONTENT(INBAND("sid='None' block-size='2048'")))
#define OUR_REJECT         OURS("transport-reject", CONTENT(INBAND("sid='None'")))
#define OPEN(sid, block)                                                                                               \
    "<iq type='set' id='*id' to='" TARGET "'><open xmlns='" NS_IBB "' sid='" sid "' block-size='" block                \
    "' stanza='iq'/></iq>"
#define THEIR_OPEN(block)                                                                                              \
    "<iq type='set' id='in' from='" TARGET "' to='" INITIATOR "'><open xmlns='" NS_IBB                                 \
    "' sid='None' block-size='" block "' stanza='iq'/></iq>"
#define ABC   "<iq type='set' id='*id' to='" TARGET "'><data xmlns='" NS_IBB "' sid='*' seq='0'>YWJj</data></iq>"
#define CLOSE "<iq type='set' id='*id' to='" TARGET "'><close xmlns='" NS_IBB "' sid='*'/></iq>"

static FILE *file_abc(void)
{
    FILE *file = tmpfile();

    assert_int_equal(fwrite("abc", 1, 3, file), 3);
    assert_int_equal(fflush(file), 0);
    return file;
}

/* Nobody reached anybody: both have said so. */
static void failed(struct jingle_bench *b)
{
    b->offer.size = 3;
    b->offer.may_switch = true;
    jingle_accepted(b, ACCEPT(""));
    peer_skip(&b->peer); /* for their candidates, which never come */
    jingle_hears(b, "<candidate-error/>");
    jingle_says(b, INFO("<candidate-error/>"));
    assert_int_equal(fake_host_count(&b->host, METHOD_FAILED), 0);
    assert_int_equal(fake_host_last(&b->host, METHOD_SWITCHED)->error.code, ERR_TRANSPORT_FAILED);
    assert_int_equal(fake_carrier_count(&b->carrier), 0);
}

/* From the answer to our open to the peer's last word. */
static void delivers(struct jingle_bench *b)
{
    FILE *file = file_abc();

    peer_says(&b->peer, HEARD);
    peer_turn(&b->peer);
    assert_int_equal(jingle_opened(b), 1);
    assert_string_equal(b->host.path, "inband");
    b->ops->stream(b->method, &(struct shared_fd){.fd = fileno(file)});
    b->ops->digest(b->method, NULL);
    peer_turn(&b->peer);
    peer_expects(&b->peer, ABC);
    peer_says(&b->peer, HEARD);
    peer_expects_nothing(&b->peer); /* it may have something to say */
    assert_in_range(peer_skip(&b->peer), 900, 1000);
    peer_expects(&b->peer, CLOSE);
    peer_says(&b->peer, HEARD);
    assert_int_equal(fake_host_count(&b->host, METHOD_COMPLETE), 0);
    jingle_says(b, END("success"));
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->proof, PROOF_PEER_CONFIRMED);
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->moved, 3);
    fclose(file);
}

/* ---- offered with the session */

static void begin_inband(struct jingle_bench *b)
{
    b->ops = &method_jingle_ibb;
    b->offer.size = 3;
    jingle_begin(b);
}

static void inband_session_is_offered_accepted_and_opened_by_us(void **state)
{
    struct jingle_bench *b = *state;

    begin_inband(b);
    jingle_look(b);
    peer_says(&b->peer, HEARD);
    jingle_says(b, SAY("session-accept", CONTENT(INBAND("sid='whatever' block-size='1024'"))));
    assert_int_equal(fake_host_count(&b->host, METHOD_ACCEPTED), 1);
    peer_turn(&b->peer);
    peer_expects(&b->peer, OPEN("*", "1024"));
    delivers(b);
}

static void offer_tells_id_and_size_of_blocks(void **state)
{
    struct jingle_bench *b = *state;

    begin_inband(b);
    assert_non_null(strstr(peer_next(&b->peer), "block-size=\"4096\""));
}

static void acceptance_without_that_transport_is_a_protocol_error(void **state)
{
    static const char *const rows[] = {
        SAY("session-accept", CONTENT(TRANSPORT(""))), /* what Conversations once answered */
        SAY("session-accept", CONTENT("")),
        SAY("session-accept", CONTENT(INBAND("sid='' block-size='1024'"))),
        SAY("session-accept", CONTENT(INBAND("sid='x' block-size='1'"))),
        SAY("session-accept", CONTENT(INBAND("sid='x' block-size='many'"))),
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct jingle_bench *b = *state;

        begin_inband(b);
        jingle_look(b);
        jingle_says(b, rows[i]);
        if (fake_host_error(&b->host) != ERR_PEER_PROTOCOL_ERROR)
            fail_msg("%s", rows[i]);
        jingle_again(state);
    }
}

static void file_over_the_limit_is_not_offered(void **state)
{
    struct jingle_bench *b = *state;
    struct error err;

    b->offer.size = b->peer.settings.ibb_max_size + 1;
    b->method = method_jingle_ibb.offer(&b->host.host, &b->peer.network, &b->offer, &err);
    assert_null(b->method);
    assert_int_equal(err.code, ERR_METHOD_UNSUPPORTED);
}

/* ---- fallen back to */

static void we_ask_when_the_peer_did_not_within_its_time(void **state)
{
    struct jingle_bench *b = *state;
    char timeline[1024];

    failed(b);
    peer_expects_nothing(&b->peer);
    assert_in_range(peer_skip(&b->peer), 1400, 1500);
    peer_expects(&b->peer, OURS("transport-replace", CONTENT(INBAND("sid='*' block-size='4096'"))));
    peer_says(&b->peer, HEARD);
    jingle_says(b, SAY("transport-accept", CONTENT(INBAND("sid='x' block-size='1024'"))));
    peer_turn(&b->peer);
    peer_expects(&b->peer, OPEN("*", "1024"));
    delivers(b);
    assert_non_null(strstr(fake_host_timeline(&b->host, timeline),
                           "candidate-error ok; transport-replace; transport-accept ok; ibb open ok"));
}

static void acceptance_may_lack_what_we_told_or_want_too_much(void **state)
{
    static const char *const rows[] = {
        SAY("transport-accept", CONTENT(INBAND(""))), SAY("transport-accept", CONTENT(INBAND("block-size='65535'"))),
        SAY("session-accept", CONTENT(INBAND("sid='x' block-size='4096'"))), /* Gajim 1.0 */
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct jingle_bench *b = *state;

        failed(b);
        peer_skip(&b->peer);
        peer_expects(&b->peer, OURS("transport-replace", CONTENT(INBAND("sid='*' block-size='4096'"))));
        peer_says(&b->peer, HEARD);
        jingle_says(b, rows[i]);
        peer_turn(&b->peer);
        peer_expects(&b->peer, OPEN("*", "4096"));
        delivers(b);
        jingle_again(state);
    }
}

static void peer_that_asks_first_is_accepted_and_may_open(void **state)
{
    struct jingle_bench *b = *state;

    failed(b);
    jingle_says(b, REPLACE(THEIRS));
    peer_expects(&b->peer, OUR_ACCEPT);
    peer_turn(&b->peer);
    peer_expects_nothing(&b->peer);
    jingle_says(b, THEIR_OPEN("4096"));
    delivers(b);
}

static void peer_that_asked_and_does_not_open_is_opened_to(void **state)
{
    struct jingle_bench *b = *state;

    failed(b);
    jingle_says(b, REPLACE(THEIRS));
    peer_expects(&b->peer, OUR_ACCEPT);
    peer_says(&b->peer, HEARD);
    assert_in_range(peer_skip(&b->peer), 2900, 3000);
    peer_expects(&b->peer, OPEN("None", "2048"));
    delivers(b);
}

/* Dino 0.4. */
static void peer_that_does_not_take_what_it_asked_for_ends_the_method(void **state)
{
    struct jingle_bench *b = *state;

    failed(b);
    jingle_says(b, REPLACE(THEIRS));
    peer_expects(&b->peer, OUR_ACCEPT);
    peer_refuses(&b->peer, TARGET, "modify", "bad-request", "");
    assert_int_equal(fake_host_error(&b->host), ERR_IBB_REFUSED);
}

static void open_by_both_is_one_open(void **state)
{
    struct jingle_bench *b = *state;

    failed(b);
    jingle_says(b, REPLACE(THEIRS));
    peer_expects(&b->peer, OUR_ACCEPT);
    peer_skip(&b->peer);
    peer_expects(&b->peer, OPEN("None", "2048"));
    jingle_says(b, THEIR_OPEN("1024"));
    delivers(b); /* beginning with an answer to our own that means nothing any more */
}

static void peer_that_gives_up_before_us_is_followed(void **state)
{
    struct jingle_bench *b = *state;

    b->offer.size = 3;
    b->offer.may_switch = true;
    jingle_accepted(b, ACCEPT(DIRECT));
    jingle_says(b, REPLACE(THEIRS));
    assert_int_equal(fake_host_last(&b->host, METHOD_SWITCHED)->error.code, ERR_TRANSPORT_FAILED);
    peer_expects(&b->peer, OUR_ACCEPT);
    jingle_says(b, THEIR_OPEN("4096"));
    delivers(b);
}

/* Dino turns the initiator's question down and asks itself. */
static void peer_that_turns_ours_down_and_asks_itself_is_accepted(void **state)
{
    static const bool before[] = {true, false};

    for (size_t i = 0; i < 2; i++) {
        struct jingle_bench *b = *state;

        failed(b);
        peer_skip(&b->peer);
        peer_expects(&b->peer, OURS("transport-replace", CONTENT(INBAND("sid='*' block-size='4096'"))));
        peer_says(&b->peer, HEARD);
        if (before[i])
            jingle_says(b, REPLACE(THEIRS));
        jingle_says(b, SAY("transport-reject", CONTENT(INBAND("sid='x'"))));
        if (!before[i])
            jingle_says(b, REPLACE(THEIRS));
        peer_expects(&b->peer, OUR_ACCEPT);
        jingle_says(b, THEIR_OPEN("4096"));
        delivers(b);
        jingle_again(state);
    }
}

static void tie_is_broken_by_accepting_theirs(void **state)
{
    struct jingle_bench *b = *state;

    failed(b);
    peer_skip(&b->peer);
    peer_expects(&b->peer, OURS("transport-replace", CONTENT(INBAND("sid='*' block-size='4096'"))));
    peer_refuses(&b->peer, TARGET, "cancel", "conflict", "<tie-break xmlns='" NS_JINGLE_ERRORS "'/>");
    jingle_says(b, REPLACE(THEIRS));
    peer_expects(&b->peer, OUR_ACCEPT);
}

static void peer_that_accepts_ours_having_asked_itself_uses_ours(void **state)
{
    struct jingle_bench *b = *state;

    failed(b);
    peer_skip(&b->peer);
    peer_expects(&b->peer, OURS("transport-replace", CONTENT(INBAND("sid='*' block-size='4096'"))));
    peer_says(&b->peer, HEARD);
    jingle_says(b, REPLACE(THEIRS));
    jingle_says(b, SAY("transport-accept", CONTENT(INBAND("sid='x'"))));
    peer_expects(&b->peer, OUR_REJECT);
    peer_turn(&b->peer);
    peer_expects(&b->peer, OPEN("*", "4096"));
    delivers(b);
}

static void peer_that_only_turns_it_down_ends_the_method(void **state)
{
    struct jingle_bench *b = *state;

    failed(b);
    peer_skip(&b->peer);
    peer_expects(&b->peer, OURS("transport-replace", CONTENT(INBAND("sid='*' block-size='4096'"))));
    peer_says(&b->peer, HEARD);
    jingle_says(b, SAY("transport-reject", CONTENT(INBAND("sid='x'"))));
    assert_in_range(peer_skip(&b->peer), 1400, 1500);
    assert_int_equal(fake_host_error(&b->host), ERR_IBB_REFUSED);
    jingle_give_up(b);
    peer_expects(&b->peer, OUR_END("connectivity-error"));
}

static void peer_that_never_answers_has_half_a_minute(void **state)
{
    struct jingle_bench *b = *state;

    failed(b);
    peer_skip(&b->peer);
    peer_expects(&b->peer, OURS("transport-replace", CONTENT(INBAND("sid='*' block-size='4096'"))));
    peer_says(&b->peer, HEARD);
    assert_in_range(peer_skip(&b->peer), 29000, 30000);
    assert_int_equal(fake_host_error(&b->host), ERR_IBB_REFUSED);
}

static void activation_that_fails_falls_back_too(void **state)
{
    struct jingle_bench *b = *state;

    b->offer.size = 3;
    b->offer.may_switch = true;
    jingle_accepted(b, ACCEPT(""));
    jingle_uses(b, 1);
    jingle_hears(b, "<candidate-error/>");
    fake_stream_fails(jingle_to(b, "203.0.113.9"), ERR_STREAMHOSTS_UNREACHABLE, "refused", 0);
    peer_expects(&b->peer, OUR_INFO("<proxy-error/>"));
    assert_int_equal(fake_host_last(&b->host, METHOD_SWITCHED)->error.code, ERR_PROXY_UNAVAILABLE);
    jingle_says(b, REPLACE(THEIRS));
    peer_expects(&b->peer, OUR_ACCEPT);
}

static void ladder_without_that_rung_or_a_large_file_ends_the_session(void **state)
{
    static const struct {
        bool may_switch;
        uint64_t size;
    } rows[] = {{false, 3}, {true, 3 << 20}};

    for (size_t i = 0; i < 2; i++) {
        struct jingle_bench *b = *state;

        b->offer.may_switch = rows[i].may_switch;
        b->offer.size = rows[i].size;
        jingle_accepted(b, ACCEPT(DIRECT));
        jingle_says(b, REPLACE(THEIRS));
        peer_expects(&b->peer, OUR_REJECT);
        fake_stream_says(jingle_to(b, "192.0.2.1"), CARRIER_DIALED, 0);
        jingle_hears(b, "<candidate-used cid='d1'/>"); /* the first goes on */
        fake_stream_fails(jingle_to(b, "192.0.2.1"), ERR_STREAM_BROKEN, "closed", 0);
        jingle_says(b, INFO("<candidate-error/>"));
        assert_int_equal(fake_host_error(&b->host), ERR_TRANSPORT_FAILED);
        assert_int_equal(fake_host_count(&b->host, METHOD_SWITCHED), 0);
        jingle_again(state);
    }
}

static void other_transports_and_late_questions_are_turned_down(void **state)
{
    struct jingle_bench *b = *state;

    b->offer.may_switch = true;
    jingle_accepted(b, ACCEPT(DIRECT));
    jingle_says(b, REPLACE("<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' sid='None'/>"));
    peer_expects(&b->peer, OURS("transport-reject", CONTENT("<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' "
                                                            "sid='None'/>")));
    jingle_again(state);
    b->offer.may_switch = true;
    jingle_streaming(b);
    jingle_says(b, REPLACE(THEIRS));
    peer_expects(&b->peer, OUR_REJECT);
    peer_says(&b->peer, SAY("transport-accept", CONTENT(THEIRS)));
    peer_expects(&b->peer, OUT_OF_ORDER);
    peer_says(&b->peer, SAY("transport-reject", CONTENT(THEIRS)));
    peer_expects(&b->peer, OUT_OF_ORDER);
    peer_says(&b->peer, SAY("session-accept", CONTENT(THEIRS)));
    peer_expects(&b->peer, OUT_OF_ORDER);
    assert_int_equal(fake_host_count(&b->host, METHOD_SWITCHED), 0);
}

static void late_news_of_the_first_transport_is_acknowledged(void **state)
{
    struct jingle_bench *b = *state;

    failed(b);
    jingle_says(b, INFO("<candidate-error/>"));
    peer_expects_nothing(&b->peer);
}

static void peer_that_ends_it_meanwhile_ends_it(void **state)
{
    struct jingle_bench *b = *state;

    failed(b);
    jingle_says(b, END("connectivity-error"));
    assert_int_equal(fake_host_error(&b->host), ERR_TRANSPORT_FAILED);
    peer_expects_nothing(&b->peer);
}

/* What Dino does; a close before that would cost it the file. */
static void peer_that_has_it_all_need_not_wait_for_our_close(void **state)
{
    struct jingle_bench *b = *state;
    FILE *file = file_abc();

    failed(b);
    jingle_says(b, REPLACE(THEIRS));
    peer_expects(&b->peer, OUR_ACCEPT);
    jingle_says(b, THEIR_OPEN("4096"));
    peer_turn(&b->peer);
    b->ops->stream(b->method, &(struct shared_fd){.fd = fileno(file)});
    peer_turn(&b->peer);
    peer_expects(&b->peer, ABC);
    peer_says(&b->peer, HEARD);
    jingle_says(b, END("success"));
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->proof, PROOF_PEER_CONFIRMED);
    fclose(file);
}

static void peer_that_closes_and_never_says_a_word_proves_nothing(void **state)
{
    struct jingle_bench *b = *state;
    FILE *file = file_abc();

    failed(b);
    jingle_says(b, REPLACE(THEIRS));
    peer_expects(&b->peer, OUR_ACCEPT);
    peer_says(&b->peer, HEARD);
    jingle_says(b, THEIR_OPEN("4096"));
    peer_turn(&b->peer);
    b->ops->stream(b->method, &(struct shared_fd){.fd = fileno(file)});
    b->ops->digest(b->method, NULL);
    peer_turn(&b->peer);
    peer_expects(&b->peer, ABC);
    peer_says(&b->peer, HEARD);
    jingle_says(b, "<iq type='set' id='in' from='" TARGET "'><close xmlns='" NS_IBB "' sid='None'/></iq>");
    assert_in_range(peer_skip(&b->peer), 29000, 30000);
    assert_int_equal(fake_host_error(&b->host), ERR_STALLED);
    fclose(file);
}

static void stream_that_breaks_is_told(void **state)
{
    struct jingle_bench *b = *state;
    FILE *file = file_abc();

    failed(b);
    jingle_says(b, REPLACE(THEIRS));
    peer_expects(&b->peer, OUR_ACCEPT);
    jingle_says(b, THEIR_OPEN("4096"));
    peer_turn(&b->peer);
    b->ops->stream(b->method, &(struct shared_fd){.fd = fileno(file)});
    peer_turn(&b->peer);
    peer_expects(&b->peer, ABC);
    peer_refuses(&b->peer, TARGET, "cancel", "item-not-found", "");
    assert_int_equal(fake_host_error(&b->host), ERR_STREAM_BROKEN);
    fclose(file);
}

#define TEST(name)       cmocka_unit_test_setup_teardown(name, jingle_setup, jingle_teardown)
#define PROXY_TEST(name) cmocka_unit_test_setup_teardown(name, jingle_setup_with_proxy, jingle_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(inband_session_is_offered_accepted_and_opened_by_us),
        TEST(offer_tells_id_and_size_of_blocks),
        TEST(acceptance_without_that_transport_is_a_protocol_error),
        TEST(file_over_the_limit_is_not_offered),
        TEST(we_ask_when_the_peer_did_not_within_its_time),
        TEST(acceptance_may_lack_what_we_told_or_want_too_much),
        TEST(peer_that_asks_first_is_accepted_and_may_open),
        TEST(peer_that_asked_and_does_not_open_is_opened_to),
        TEST(peer_that_does_not_take_what_it_asked_for_ends_the_method),
        TEST(open_by_both_is_one_open),
        TEST(peer_that_gives_up_before_us_is_followed),
        TEST(peer_that_turns_ours_down_and_asks_itself_is_accepted),
        TEST(tie_is_broken_by_accepting_theirs),
        TEST(peer_that_accepts_ours_having_asked_itself_uses_ours),
        TEST(peer_that_only_turns_it_down_ends_the_method),
        TEST(peer_that_never_answers_has_half_a_minute),
        PROXY_TEST(activation_that_fails_falls_back_too),
        TEST(ladder_without_that_rung_or_a_large_file_ends_the_session),
        TEST(other_transports_and_late_questions_are_turned_down),
        TEST(late_news_of_the_first_transport_is_acknowledged),
        TEST(peer_that_ends_it_meanwhile_ends_it),
        TEST(peer_that_has_it_all_need_not_wait_for_our_close),
        TEST(peer_that_closes_and_never_says_a_word_proves_nothing),
        TEST(stream_that_breaks_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
