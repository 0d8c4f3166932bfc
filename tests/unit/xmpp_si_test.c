/* xmpp/si.c: a file offered by stream initiation (XEP-0095 with XEP-0096); xmpp/si_s5b.c, xmpp/si_ibb.c: then sent by
 * the stream of its id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "tests/fake/carrier.h"
#include "tests/fake/method_host.h"
#include "tests/fake/xmpp/peer.h"
#include "xmpp/ns.h"

#define CHOICE(stream)                                                                                                 \
    "<feature xmlns='" NS_FEATURE_NEG "'><x xmlns='" NS_DATA_FORM                                                      \
    "' type='form'><field var='stream-method' type='list-single'><option><value>" stream                               \
    "</value></option></field></x></feature>"
#define OFFER_OF(stream, si_attributes, file)                                                                          \
    "<iq type='set' id='*id' to='" TARGET "'><si xmlns='" NS_SI "' id='*sid' profile='" NS_SI_FILE "' " si_attributes  \
    ">" file                                                                                                           \
    CHOICE(stream) "</si></iq>"
#define OFFER(si_attributes, file) OFFER_OF(NS_BYTESTREAMS, si_attributes, file)
#define FILE_(attributes, content) "<file xmlns='" NS_SI_FILE "' " attributes ">" content "</file>"
#define ACCEPT(file, value)                                                                                            \
    "<iq type='result' id='$id' from='" TARGET "' to='" INITIATOR "'><si xmlns='" NS_SI "'>" file                      \
    "<feature xmlns='" NS_FEATURE_NEG "'><x xmlns='" NS_DATA_FORM                                                      \
    "' type='submit'><field var='stream-method'><value>" value "</value></field></x></feature></si></iq>"
#define STREAMHOSTS                                                                                                    \
    "<iq type='set' id='*id' to='" TARGET "'><query xmlns='" NS_BYTESTREAMS                                            \
    "' sid='$sid' mode='tcp'><streamhost jid='" INITIATOR "' host='198.51.100.7' port='5086'/></query></iq>"

#define INBAND_OFFER OFFER_OF(NS_IBB, "mime-type='image/png'", FILE_("name='plan.png' size='90210'", "<range/>"))
#define INBAND_OPEN                                                                                                    \
    "<iq type='set' id='*id' to='" TARGET "'><open xmlns='" NS_IBB "' sid='$sid' block-size='4096' stanza='iq'/></iq>"
#define YES "<iq type='result' id='$id' from='" TARGET "'/>"

struct bench {
    struct peer peer;
    struct fake_carrier carrier;
    struct fake_host host;
    struct jid to;
    struct offer offer;
    const struct method_ops *ops; /* of method */
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
    b.offer =
        (struct offer){.to = &b.to, .name = "plan.png", .type = "image/png", .size = 90210, .answer_ms = 300 * 1000};
    b.ops = &method_si_s5b;
    *state = &b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;

    if (b->method)
        b->ops->end(&b->method, NULL);
    assert_null(fake_carrier_stream(&b->carrier));
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

    b->method = b->ops->offer(&b->host.host, &b->peer.network, &b->offer, &err);
    assert_non_null(b->method);
    peer_turn(&b->peer);
}

static void begin_and_look(struct bench *b)
{
    begin(b);
    peer_expects(&b->peer, OFFER("mime-type='image/png'", FILE_("name='plan.png' size='90210'", "<range/>")));
}

/* ---- the offer, XEP-0095 section 3.1 */

static void bytestreams_are_offered_alone(void **state)
{
    begin_and_look(*state); /* as CHOICE has it: one option, because slixmpp takes in-band bytes whenever it may */
}

static void optional_parts_are_told_when_they_are_known(void **state)
{
    struct bench *b = *state;

    b->offer.caption = "floor <plan> & \"more\"";
    b->offer.modified = 1773050400123; /* 2026-03-09 */
    begin(b);
    peer_expects(&b->peer,
                 OFFER("mime-type='image/png'", FILE_("name='plan.png' size='90210' date='2026-03-09T10:00:00Z'",
                                                      "<desc>floor &lt;plan&gt; &amp; \"more\"</desc><range/>")));
    again(state);
    b->offer.type = NULL;
    begin(b);
    peer_expects(&b->peer, OFFER("", FILE_("name='plan.png' size='90210'", "<range/>")));
}

static void sizes_are_offered_whole(void **state)
{
    static const struct {
        uint64_t size;
        const char *xml;
    } rows[] = {
        {0, OFFER("mime-type='image/png'", FILE_("name='plan.png' size='0'", "<range/>"))},
        {4294967297, OFFER("mime-type='image/png'", FILE_("name='plan.png' size='4294967297'", "<range/>"))},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;

        b->offer.size = rows[i].size;
        begin(b);
        peer_expects(&b->peer, rows[i].xml);
        again(state);
    }
}

static void name_with_a_path_or_a_control_character_is_never_offered(void **state)
{
    static const char *const names[] = {"über/..\\x.txt", "../../etc/passwd", "a\x01.txt", "a\xff.txt", "", ".."};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct bench *b = *state;
        struct error err = {0};

        b->offer.name = names[i];
        b->method = method_si_s5b.offer(&b->host.host, &b->peer.network, &b->offer, &err);
        assert_null(b->method);
        assert_int_equal(err.code, ERR_NAME_INVALID);
    }
}

static void name_beyond_ascii_is_offered_as_it_is(void **state)
{
    struct bench *b = *state;

    b->offer.name = "über 'den' <Plan>.txt";
    begin(b);
    peer_expects(&b->peer, OFFER("mime-type='image/png'",
                                 FILE_("name='über &apos;den&apos; &lt;Plan&gt;.txt' size='90210'", "<range/>")));
}

static void nobody_is_asked_while_there_is_no_streamhost(void **state)
{
    struct bench *b = *state;

    b->carrier.advertises = false;
    begin(b);
    peer_expects_nothing(&b->peer);
    assert_int_equal(fake_host_error(&b->host), ERR_STREAMHOSTS_UNREACHABLE);
}

static void offer_without_a_session_says_disconnected(void **state)
{
    struct bench *b = *state;

    b->peer.deaf = true;
    begin(b);
    assert_int_equal(fake_host_error(&b->host), ERR_XMPP_DISCONNECTED);
}

/* ---- yes, section 3.3 */

static void accepted_offer_goes_on_with_streamhosts_under_its_id(void **state)
{
    struct bench *b = *state;
    char timeline[1024];

    begin_and_look(b);
    assert_null(fake_carrier_stream(&b->carrier)); /* nobody is awaited before the yes */
    peer_says(&b->peer, ACCEPT("", NS_BYTESTREAMS));
    assert_int_equal(fake_host_count(&b->host, METHOD_ACCEPTED), 1);
    peer_expects(&b->peer, STREAMHOSTS);
    fake_carrier_says(&b->carrier, CARRIER_CLAIMED, 0);
    peer_says(&b->peer, "<iq type='result' id='$id' from='" TARGET "'><query xmlns='" NS_BYTESTREAMS
                        "'><streamhost-used jid='" INITIATOR "'/></query></iq>");
    assert_int_equal(fake_host_count(&b->host, METHOD_ACCEPTED), 1);
    assert_int_equal(fake_host_count(&b->host, METHOD_STREAM_OPEN), 1);
    method_si_s5b.stream(b->method, &(struct shared_fd){.fd = 5});
    fake_carrier_says(&b->carrier, CARRIER_DONE, 90210);
    assert_int_equal(fake_host_count(&b->host, METHOD_COMPLETE), 1);
    assert_string_equal(fake_host_timeline(&b->host, timeline),
                        "offer si-s5b; si accepted ok; streamhosts; streamhost-used ok");
}

static void answers_are_read_as_clients_write_them(void **state)
{
    static const char *const answers[] = {
        ACCEPT("", "\n  " NS_BYTESTREAMS "\n  "),
        ACCEPT("<file xmlns='" NS_SI_FILE "'><range/></file>", NS_BYTESTREAMS),
        ACCEPT("<file xmlns='" NS_SI_FILE "'><range offset='0' length='90210'/></file>", NS_BYTESTREAMS),
        /* QXmpp repeats the profile; others put the FORM_TYPE first */
        "<iq type='result' id='$id' from='" TARGET "'><si xmlns='" NS_SI "' profile='" NS_SI_FILE
        "'><feature xmlns='" NS_FEATURE_NEG "'><x xmlns='" NS_DATA_FORM
        "' type='submit'><field var='FORM_TYPE' type='hidden'><value>x</value></field>"
        "<field var='stream-method' type='text-single'><value>" NS_BYTESTREAMS
        "</value></field></x></feature></si></iq>",
    };

    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct bench *b = *state;

        begin_and_look(b);
        peer_says(&b->peer, answers[i]);
        peer_expects(&b->peer, STREAMHOSTS);
        again(state);
    }
}

/* XEP-0096: who has the beginning already asks for the rest. */
static void part_that_is_asked_for_is_all_that_is_sent(void **state)
{
    static const struct {
        const char *range;
        uint64_t offset, length;
    } rows[] = {
        {"offset='1000' length='500'", 1000, 500},
        {"offset='90000'", 90000, 210},
        {"length='500'", 0, 500},
        {"offset='90210'", 90210, 0},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;
        struct buf answer = {0};

        begin_and_look(b);
        buf_printf(&answer, ACCEPT("<file xmlns='" NS_SI_FILE "'><range %s/></file>", NS_BYTESTREAMS), rows[i].range);
        peer_says(&b->peer, answer.data);
        buf_free(&answer);
        peer_expects(&b->peer, STREAMHOSTS);
        fake_carrier_says(&b->carrier, CARRIER_CLAIMED, 0);
        peer_says(&b->peer, "<iq type='result' id='$id' from='" TARGET "'><query xmlns='" NS_BYTESTREAMS
                            "'><streamhost-used jid='" INITIATOR "'/></query></iq>");
        method_si_s5b.stream(b->method, &(struct shared_fd){.fd = 5});
        assert_int_equal(fake_carrier_stream(&b->carrier)->offset, rows[i].offset);
        assert_int_equal(fake_carrier_stream(&b->carrier)->length, rows[i].length);
        fake_carrier_says(&b->carrier, CARRIER_DONE, rows[i].length);
        assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->moved, rows[i].offset + rows[i].length);
        again(state);
    }
}

static void choice_that_was_not_offered_is_a_protocol_error(void **state)
{
    static const char *const answers[] = {
        ACCEPT("", NS_IBB),
        ACCEPT("", "jabber:iq:oob"),
        ACCEPT("", ""),
        "<iq type='result' id='$id' from='" TARGET "'/>",
        "<iq type='result' id='$id' from='" TARGET "'><si xmlns='" NS_SI "'/></iq>",
        /* parts that there are not */
        ACCEPT("<file xmlns='" NS_SI_FILE "'><range offset='90211'/></file>", NS_BYTESTREAMS),
        ACCEPT("<file xmlns='" NS_SI_FILE "'><range offset='90000' length='211'/></file>", NS_BYTESTREAMS),
        ACCEPT("<file xmlns='" NS_SI_FILE "'><range length='90211'/></file>", NS_BYTESTREAMS),
        ACCEPT("<file xmlns='" NS_SI_FILE "'><range offset='-1'/></file>", NS_BYTESTREAMS),
        ACCEPT("<file xmlns='" NS_SI_FILE "'><range offset='18446744073709551617'/></file>", NS_BYTESTREAMS),
    };

    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct bench *b = *state;

        begin_and_look(b);
        peer_says(&b->peer, answers[i]);
        if (fake_host_error(&b->host) != ERR_PEER_PROTOCOL_ERROR)
            fail_msg("%s", answers[i]);
        assert_int_equal(fake_host_count(&b->host, METHOD_ACCEPTED), 0);
        peer_expects_nothing(&b->peer); /* XEP-0095 has no way to say so */
        again(state);
    }
}

static void refused_streamhosts_after_a_yes_are_no_decline(void **state)
{
    struct bench *b = *state;

    begin_and_look(b);
    peer_says(&b->peer, ACCEPT("", NS_BYTESTREAMS));
    peer_expects(&b->peer, STREAMHOSTS);
    peer_refuses(&b->peer, TARGET, "modify", "not-acceptable", "");
    assert_int_equal(fake_host_error(&b->host), ERR_STREAMHOSTS_REFUSED);
}

/* ---- no, section 3.2 */

static void decline_ends_it_at_once(void **state)
{
    struct bench *b = *state;

    begin_and_look(b);
    peer_refuses(&b->peer, TARGET, "cancel", "forbidden", "<text xmlns='" NS_STANZAS "'>Offer Declined</text>");
    assert_int_equal(fake_host_error(&b->host), ERR_RECIPIENT_DECLINED);
    assert_int_equal(error_retry(ERR_RECIPIENT_DECLINED), RETRY_NEVER);
    assert_non_null(strstr(fake_host_last(&b->host, METHOD_FAILED)->error.text, "Offer Declined"));
    peer_expects_nothing(&b->peer);
}

static void refusals_have_their_codes(void **state)
{
    static const struct {
        const char *type, *condition, *more;
        enum error_code want;
    } rows[] = {
        {"cancel", "bad-request", "<no-valid-streams xmlns='" NS_SI "'/>", ERR_NO_COMMON_METHOD},
        {"modify", "bad-request", "<bad-profile xmlns='" NS_SI "'/>", ERR_PROFILE_UNSUPPORTED},
        {"cancel", "not-acceptable", "", ERR_NO_COMMON_METHOD},
        {"cancel", "service-unavailable", "", ERR_METHOD_UNSUPPORTED},
        {"cancel", "feature-not-implemented", "", ERR_METHOD_UNSUPPORTED},
        {"wait", "recipient-unavailable", "", ERR_RECIPIENT_OFFLINE},
        {"auth", "subscription-required", "", ERR_RECIPIENT_FORBIDS},
        {"cancel", "remote-server-not-found", "", ERR_REMOTE_SERVER_UNREACHABLE},
        {"cancel", "undefined-condition", "", ERR_PEER_ERROR},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;

        begin_and_look(b);
        peer_refuses(&b->peer, TARGET, rows[i].type, rows[i].condition, rows[i].more);
        if (fake_host_error(&b->host) != rows[i].want)
            fail_msg("%s: %s", rows[i].condition, error_name(fake_host_error(&b->host)));
        peer_expects_nothing(&b->peer);
        again(state);
    }
}

/* QXmpp, Smack and Psi say no more than that, and what they stumble over may be an optional part. */
static void bare_bad_request_is_answered_by_one_plain_offer(void **state)
{
    struct bench *b = *state;
    char first[128];

    b->offer.caption = "floor plan";
    b->offer.modified = 1773050400123;
    begin(b);
    peer_expects(&b->peer,
                 OFFER("mime-type='image/png'", FILE_("name='plan.png' size='90210' date='2026-03-09T10:00:00Z'",
                                                      "<desc>floor plan</desc><range/>")));
    strcpy(first, b->peer.sid);
    peer_refuses(&b->peer, TARGET, "cancel", "bad-request", "");
    peer_expects(&b->peer, OFFER("", FILE_("name='plan.png' size='90210'", "")));
    assert_string_not_equal(b->peer.sid, first); /* Pidgin ignores an id it has seen */
    assert_int_equal(fake_host_count(&b->host, METHOD_FAILED), 0);
    peer_refuses(&b->peer, TARGET, "cancel", "bad-request", "");
    peer_expects_nothing(&b->peer);
    assert_int_equal(fake_host_error(&b->host), ERR_OFFER_REJECTED);
}

static void plain_offer_that_is_accepted_streams_under_its_own_id(void **state)
{
    struct bench *b = *state;

    begin_and_look(b);
    peer_refuses(&b->peer, TARGET, "cancel", "bad-request", "");
    peer_expects(&b->peer, OFFER("", FILE_("name='plan.png' size='90210'", "")));
    peer_says(&b->peer, ACCEPT("", NS_BYTESTREAMS));
    peer_expects(&b->peer, STREAMHOSTS);
}

static void silence_lasts_as_long_as_a_person_may_take(void **state)
{
    struct bench *b = *state;

    begin_and_look(b);
    assert_in_range(peer_skip(&b->peer), 300 * 1000 - 100, 300 * 1000);
    assert_int_equal(fake_host_error(&b->host), ERR_RECIPIENT_TIMEOUT);
    peer_says(&b->peer, ACCEPT("", NS_BYTESTREAMS)); /* too late */
    assert_int_equal(fake_host_count(&b->host, METHOD_ACCEPTED), 0);
    peer_expects_nothing(&b->peer);
}

static void ended_offer_hears_no_answer(void **state)
{
    struct bench *b = *state;

    begin_and_look(b);
    method_si_s5b.end(&b->method, &(struct error){.code = ERR_CANCELLED});
    assert_null(b->method);
    peer_says(&b->peer, ACCEPT("", NS_BYTESTREAMS));
    assert_int_equal(b->host.report_count, 0);
    peer_expects_nothing(&b->peer);
}

static void recipient_must_announce_si_files_and_the_stream(void **state)
{
    const char *const *needs = method_si_s5b.needs;

    (void)state;
    assert_string_equal(method_si_s5b.name, "si-s5b");
    assert_string_equal(needs[0], NS_SI);
    assert_string_equal(needs[1], NS_SI_FILE);
    assert_string_equal(needs[2], NS_BYTESTREAMS);
    assert_null(needs[3]);
    needs = method_si_ibb.needs;
    assert_string_equal(method_si_ibb.name, "si-ibb");
    assert_string_equal(needs[0], NS_SI);
    assert_string_equal(needs[1], NS_SI_FILE);
    assert_string_equal(needs[2], NS_IBB);
    assert_null(needs[3]);
}

/* ---- in-band after it: XEP-0096 section 2 with XEP-0047 */

static void begin_inband(struct bench *b)
{
    b->ops = &method_si_ibb;
    begin(b);
    peer_expects(&b->peer, INBAND_OFFER);
}

static void inband_stream_is_offered_alone_and_opened_under_the_offers_id(void **state)
{
    struct bench *b = *state;
    char timeline[1024];
    FILE *file = tmpfile();

    assert_int_equal(fwrite("abc", 1, 3, file), 3);
    assert_int_equal(fflush(file), 0);
    begin_inband(b);
    peer_says(&b->peer, ACCEPT("<file xmlns='" NS_SI_FILE "'><range length='3'/></file>", NS_IBB));
    assert_int_equal(fake_host_count(&b->host, METHOD_ACCEPTED), 1);
    peer_turn(&b->peer);
    peer_expects(&b->peer, INBAND_OPEN);
    peer_says(&b->peer, YES);
    assert_int_equal(fake_host_count(&b->host, METHOD_ACCEPTED), 1);
    assert_int_equal(fake_host_count(&b->host, METHOD_STREAM_OPEN), 1);
    assert_string_equal(b->host.path, "inband");
    assert_string_equal(b->host.streamhost, "");
    b->ops->stream(b->method, &(struct shared_fd){.fd = fileno(file)});
    peer_turn(&b->peer);
    peer_expects(&b->peer, "<iq type='set' id='*id' to='" TARGET "'><data xmlns='" NS_IBB
                           "' sid='$sid' seq='0'>YWJj</data></iq>");
    peer_says(&b->peer, YES);
    assert_int_equal(fake_host_last(&b->host, METHOD_PROGRESS)->moved, 3);
    peer_expects(&b->peer, "<iq type='set' id='*id' to='" TARGET "'><close xmlns='" NS_IBB "' sid='$sid'/></iq>");
    peer_says(&b->peer, YES);
    assert_int_equal(fake_host_count(&b->host, METHOD_COMPLETE), 1);
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->proof, PROOF_PEER_CONFIRMED);
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->moved, 3);
    assert_string_equal(fake_host_timeline(&b->host, timeline),
                        "offer si-ibb; si accepted ok; range ok; ibb open; ibb open ok; ibb close ok");
    fclose(file);
}

static void empty_file_goes_inband_as_an_open_and_a_close(void **state)
{
    struct bench *b = *state;

    b->offer.size = 0;
    b->ops = &method_si_ibb;
    begin(b);
    peer_expects(&b->peer, OFFER_OF(NS_IBB, "mime-type='image/png'", FILE_("name='plan.png' size='0'", "<range/>")));
    peer_says(&b->peer, ACCEPT("", NS_IBB));
    peer_turn(&b->peer);
    peer_expects(&b->peer, INBAND_OPEN);
    peer_says(&b->peer, YES);
    b->ops->stream(b->method, &(struct shared_fd){.fd = -1});
    peer_turn(&b->peer);
    peer_expects(&b->peer, "<iq type='set' id='*id' to='" TARGET "'><close xmlns='" NS_IBB "' sid='$sid'/></iq>");
    peer_says(&b->peer, YES);
    assert_int_equal(fake_host_count(&b->host, METHOD_COMPLETE), 1);
}

/* Two offers, one way in each: the failure of the first is what the ladder's next rung follows. */
static void unreachable_streamhosts_leave_inband_to_an_offer_of_its_own(void **state)
{
    static const char *const refusals[] = {"item-not-found", "remote-server-not-found"};

    for (size_t i = 0; i < 2; i++) {
        struct bench *b = *state;
        char first[128];

        begin_and_look(b);
        strcpy(first, b->peer.sid);
        peer_says(&b->peer, ACCEPT("", NS_BYTESTREAMS));
        peer_expects(&b->peer, STREAMHOSTS);
        peer_refuses(&b->peer, TARGET, "cancel", refusals[i], "");
        assert_int_equal(fake_host_error(&b->host), ERR_STREAMHOSTS_UNREACHABLE);
        assert_int_equal(error_retry(ERR_STREAMHOSTS_UNREACHABLE), RETRY_METHOD);
        peer_expects_nothing(&b->peer); /* no <open/> under that id: it was not on offer */
        b->ops->end(&b->method, NULL);

        begin_inband(b);
        assert_string_not_equal(b->peer.sid, first);
        peer_says(&b->peer, ACCEPT("", NS_IBB));
        peer_turn(&b->peer);
        peer_expects(&b->peer, INBAND_OPEN);
        again(state);
    }
}

static void inband_offer_is_refused_and_made_again_as_one_of_bytestreams(void **state)
{
    struct bench *b = *state;
    char first[128];

    begin_inband(b);
    peer_says(&b->peer, ACCEPT("", NS_BYTESTREAMS));
    assert_int_equal(fake_host_error(&b->host), ERR_PEER_PROTOCOL_ERROR);
    again(state);
    begin_inband(b);
    peer_refuses(&b->peer, TARGET, "cancel", "bad-request", "<no-valid-streams xmlns='" NS_SI "'/>");
    assert_int_equal(fake_host_error(&b->host), ERR_NO_COMMON_METHOD);
    again(state);
    begin_inband(b);
    strcpy(first, b->peer.sid);
    peer_refuses(&b->peer, TARGET, "cancel", "bad-request", "");
    peer_expects(&b->peer, OFFER_OF(NS_IBB, "", FILE_("name='plan.png' size='90210'", "")));
    assert_string_not_equal(b->peer.sid, first);
    peer_says(&b->peer, ACCEPT("", NS_IBB));
    peer_turn(&b->peer);
    peer_expects(&b->peer, INBAND_OPEN);
}

static void file_over_the_limit_is_not_offered_inband(void **state)
{
    struct bench *b = *state;
    struct error err = {0};

    b->offer.size = (2 << 20) + 1;
    assert_null(method_si_ibb.offer(&b->host.host, &b->peer.network, &b->offer, &err));
    assert_int_equal(err.code, ERR_METHOD_UNSUPPORTED);
    assert_non_null(strstr(err.text, "2097152"));
    peer_expects_nothing(&b->peer);
    b->offer.size--;
    b->ops = &method_si_ibb;
    begin(b);
    assert_non_null(peer_next(&b->peer));
}

static void ended_inband_stream_is_closed(void **state)
{
    struct bench *b = *state;

    begin_inband(b);
    peer_says(&b->peer, ACCEPT("", NS_IBB));
    peer_turn(&b->peer);
    peer_expects(&b->peer, INBAND_OPEN);
    peer_says(&b->peer, YES);
    b->ops->end(&b->method, &(struct error){.code = ERR_CANCELLED});
    peer_expects(&b->peer, "<iq type='set' id='*id' to='" TARGET "'><close xmlns='" NS_IBB "' sid='$sid'/></iq>");
    assert_int_equal(fake_host_count(&b->host, METHOD_FAILED), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytestreams_are_offered_alone),
        TEST(optional_parts_are_told_when_they_are_known),
        TEST(sizes_are_offered_whole),
        TEST(name_with_a_path_or_a_control_character_is_never_offered),
        TEST(name_beyond_ascii_is_offered_as_it_is),
        TEST(nobody_is_asked_while_there_is_no_streamhost),
        TEST(offer_without_a_session_says_disconnected),
        TEST(accepted_offer_goes_on_with_streamhosts_under_its_id),
        TEST(answers_are_read_as_clients_write_them),
        TEST(part_that_is_asked_for_is_all_that_is_sent),
        TEST(choice_that_was_not_offered_is_a_protocol_error),
        TEST(refused_streamhosts_after_a_yes_are_no_decline),
        TEST(decline_ends_it_at_once),
        TEST(refusals_have_their_codes),
        TEST(bare_bad_request_is_answered_by_one_plain_offer),
        TEST(plain_offer_that_is_accepted_streams_under_its_own_id),
        TEST(silence_lasts_as_long_as_a_person_may_take),
        TEST(ended_offer_hears_no_answer),
        cmocka_unit_test(recipient_must_announce_si_files_and_the_stream),
        TEST(inband_stream_is_offered_alone_and_opened_under_the_offers_id),
        TEST(empty_file_goes_inband_as_an_open_and_a_close),
        TEST(unreachable_streamhosts_leave_inband_to_an_offer_of_its_own),
        TEST(inband_offer_is_refused_and_made_again_as_one_of_bytestreams),
        TEST(file_over_the_limit_is_not_offered_inband),
        TEST(ended_inband_stream_is_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
