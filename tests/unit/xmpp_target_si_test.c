/* xmpp/target.c and target_si.c: files announced by an SI, and in-band streams with nothing before them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/fake/carrier.h"
#include "tests/fake/inbox.h"
#include "tests/fake/xmpp/peer.h"
#include "xmpp/ns.h"
#include "xmpp/target.h"

#define SET                         "<iq type='set' id='q1' from='" TARGET "' to='" INITIATOR "'>"
#define YES                         "<iq type='result' id='q1' to='" TARGET "'/>"
#define SI(attributes)              SET "<si xmlns='" NS_SI "' " attributes ">"
#define PROFILE                     "profile='" NS_SI_FILE "'"
#define FILE_(attributes, children) "<file xmlns='" NS_SI_FILE "' " attributes ">" children "</file>"
#define OPTION(method)              "<option><value>" method "</value></option>"
#define FORM(options)                                                                                                  \
    "<feature xmlns='" NS_FEATURE_NEG "'><x xmlns='" NS_DATA_FORM                                                      \
    "' type='form'><field var='stream-method' type='list-single'>" options "</field></x></feature>"
#define END            "</si></iq>"
#define BOTH           FORM(OPTION(NS_BYTESTREAMS) OPTION(NS_IBB))
#define OFFER(options) SI("id='s1' " PROFILE) FILE_("name='a.txt' size='6'", "") options END
#define CHOSEN(method)                                                                                                 \
    "<feature xmlns='" NS_FEATURE_NEG "'><x xmlns='" NS_DATA_FORM                                                      \
    "' type='submit'><field var='stream-method'><value>" method "</value></field></x></feature>"
#define ACCEPT(method) "<iq type='result' id='q1' to='" TARGET "'><si xmlns='" NS_SI "'>" CHOSEN(method) "</si></iq>"
#define ERROR(attributes, condition, more)                                                                             \
    "<iq type='error' id='q1' to='" TARGET "'><error " attributes "><" condition " xmlns='" NS_STANZAS "'/>" more      \
    "</error></iq>"
#define TEXT(words)  "<text xmlns='" NS_STANZAS "'>" words "</text>"
#define BAD          ERROR("type='cancel' code='400'", "bad-request", "")
#define DECLINED     ERROR("type='cancel' code='403'", "forbidden", TEXT("Offer Declined"))
#define OPEN         SET "<open xmlns='" NS_IBB "' sid='s1' block-size='4096' stanza='iq'/></iq>"
#define DATA(seq, b) SET "<data xmlns='" NS_IBB "' sid='s1' seq='" seq "'>" b "</data></iq>"
#define CLOSE        SET "<close xmlns='" NS_IBB "' sid='s1'/></iq>"
#define OUR_CLOSE                                                                                                      \
    "<iq type='set' id='*id' to='" TARGET "' from='" INITIATOR "'><close xmlns='" NS_IBB "' sid='s1'/></iq>"

struct bench {
    struct peer peer;
    struct fake_carrier carrier;
    struct fake_inbox inbox;
};

static int setup(void **state)
{
    static struct bench b;

    memset(&b, 0, sizeof b);
    peer_start(&b.peer, NULL);
    fake_carrier_init(&b.carrier);
    fake_inbox_init(&b.inbox, &b.carrier.carrier);
    b.peer.client->receiver = &b.inbox.receiver;
    *state = &b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;

    peer_stop(&b->peer);
    fake_inbox_clear(&b->inbox);
    assert_int_equal(fake_carrier_count(&b->carrier), 0);
    return 0;
}

/* ---- the offer */

static void offer_is_told_to_the_receiver(void **state)
{
    struct bench *b = *state;

    peer_says(&b->peer, SI("id='s1' mime-type='image/png' " PROFILE)
                            FILE_("name='plan.png' size='90210' hash='0123456789ABCDEF0123456789abcdef' "
                                  "date='2026-03-09T10:00:00Z'",
                                  "<desc>floor plan</desc><range/><thumbnail xmlns='urn:x'/>") BOTH END);
    peer_expects(&b->peer, ACCEPT(NS_BYTESTREAMS));
    assert_int_equal(b->inbox.offers, 1);
    assert_string_equal(b->inbox.from, TARGET);
    assert_string_equal(b->inbox.to, INITIATOR);
    assert_string_equal(b->inbox.method, "si-s5b");
    assert_string_equal(b->inbox.name, "plan.png");
    assert_string_equal(b->inbox.type, "image/png");
    assert_string_equal(b->inbox.caption, "floor plan");
    assert_string_equal(b->inbox.hash_algo, "md5");
    assert_string_equal(b->inbox.hash, "0123456789abcdef0123456789abcdef");
    assert_int_equal(b->inbox.size, 90210);
    assert_true(b->inbox.ranges);
}

static void bytestream_is_chosen_where_it_is_offered(void **state)
{
    static const struct {
        const char *says, *offer, *answer, *method;
    } rows[] = {
        {"both", OFFER(BOTH), ACCEPT(NS_BYTESTREAMS), "si-s5b"},
        {"both, the other way round", OFFER(FORM(OPTION(NS_IBB) OPTION(NS_BYTESTREAMS))), ACCEPT(NS_BYTESTREAMS),
         "si-s5b"},
        {"in-band alone", OFFER(FORM(OPTION(NS_IBB))), ACCEPT(NS_IBB), "si-ibb"},
        {"one with a third", OFFER(FORM(OPTION("jabber:iq:oob") OPTION(NS_IBB))), ACCEPT(NS_IBB), "si-ibb"},
        {"with space around it", OFFER(FORM(OPTION("\n  " NS_BYTESTREAMS "\n"))), ACCEPT(NS_BYTESTREAMS), "si-s5b"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;

        print_message("%s\n", rows[i].says);
        peer_says(&b->peer, rows[i].offer);
        peer_expects(&b->peer, rows[i].answer);
        assert_string_equal(b->inbox.method, rows[i].method);
        teardown(state);
        setup(state);
    }
}

/* Checklist row 59. */
static void offer_that_is_none_is_refused_without_asking(void **state)
{
    static const struct {
        const char *says, *offer, *answer;
    } rows[] = {
        {"another profile", SI("id='s1' profile='urn:x'") FILE_("name='a.txt' size='6'", "") BOTH END,
         ERROR("type='cancel' code='400'", "bad-request", "<bad-profile xmlns='" NS_SI "'/>")},
        {"no profile", SI("id='s1'") FILE_("name='a.txt' size='6'", "") BOTH END,
         ERROR("type='cancel' code='400'", "bad-request", "<bad-profile xmlns='" NS_SI "'/>")},
        {"no form", OFFER(""),
         ERROR("type='cancel' code='400'", "bad-request", "<no-valid-streams xmlns='" NS_SI "'/>")},
        {"no stream that we know", OFFER(FORM(OPTION("jabber:iq:oob"))),
         ERROR("type='cancel' code='400'", "bad-request", "<no-valid-streams xmlns='" NS_SI "'/>")},
        {"no streams at all", OFFER(FORM("")),
         ERROR("type='cancel' code='400'", "bad-request", "<no-valid-streams xmlns='" NS_SI "'/>")},
        {"size -1", SI("id='s1' " PROFILE) FILE_("name='a.txt' size='-1'", "") BOTH END, BAD},
        {"size 1e9", SI("id='s1' " PROFILE) FILE_("name='a.txt' size='1e9'", "") BOTH END, BAD},
        {"size above 63 bits", SI("id='s1' " PROFILE) FILE_("name='a.txt' size='9223372036854775808'", "") BOTH END,
         BAD},
        {"size of 20 digits", SI("id='s1' " PROFILE) FILE_("name='a.txt' size='00000000000000000001'", "") BOTH END,
         BAD},
        {"an empty size", SI("id='s1' " PROFILE) FILE_("name='a.txt' size=''", "") BOTH END, BAD},
        {"no size", SI("id='s1' " PROFILE) FILE_("name='a.txt'", "") BOTH END, BAD},
        {"no name", SI("id='s1' " PROFILE) FILE_("size='6'", "") BOTH END, BAD},
        {"no file", SI("id='s1' " PROFILE) BOTH END, BAD},
        {"no id", SI(PROFILE) FILE_("name='a.txt' size='6'", "") BOTH END, BAD},
        {"an empty id", SI("id='' " PROFILE) FILE_("name='a.txt' size='6'", "") BOTH END, BAD},
    };
    struct bench *b = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        print_message("%s\n", rows[i].says);
        peer_says(&b->peer, rows[i].offer);
        peer_expects(&b->peer, rows[i].answer);
        assert_int_equal(b->inbox.offers, 0);
    }
}

/* Checklist row 60. */
static void refusal_tells_a_stranger_no_more_than_that(void **state)
{
    static const struct {
        enum error_code code;
        const char *answer;
    } rows[] = {
        {ERR_SENDER_NOT_ALLOWED, DECLINED},
        {ERR_BODY_TOO_LARGE, ERROR("type='modify' code='406'", "not-acceptable", TEXT("The file is too large"))},
        {ERR_METHOD_UNSUPPORTED, ERROR("type='cancel' code='406'", "not-acceptable", "")},
        {ERR_QUOTA_EXCEEDED,
         ERROR("type='wait' code='500'", "resource-constraint", TEXT("Too much was sent; try later"))},
        {ERR_RATE_LIMITED, ERROR("type='wait' code='500'", "resource-constraint", TEXT("Too many offers; try later"))},
        {ERR_SPOOL_FULL, ERROR("type='wait' code='500'", "resource-constraint", "")},
        {ERR_STORE_UNAVAILABLE, ERROR("type='wait' code='500'", "resource-constraint", "")},
        {ERR_DRAINING, ERROR("type='wait' code='500'", "resource-constraint", "")},
    };
    struct bench *b = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        print_message("%s\n", error_name(rows[i].code));
        b->inbox.refuses = rows[i].code;
        peer_says(&b->peer, OFFER(BOTH));
        peer_expects(&b->peer, rows[i].answer);
        assert_null(b->inbox.now);
    }
}

static void who_receives_nothing_has_no_stream_initiation(void **state)
{
    struct bench *b = *state;

    b->inbox.closed = true;
    peer_says(&b->peer, OFFER(BOTH));
    peer_expects(&b->peer, ERROR("type='cancel'", "service-unavailable", ""));
    b->peer.client->receiver = NULL;
    peer_says(&b->peer, OFFER(BOTH));
    peer_expects(&b->peer, ERROR("type='cancel'", "service-unavailable", ""));
    peer_says(&b->peer, OPEN);
    peer_expects(&b->peer, ERROR("type='cancel'", "not-acceptable", ""));
}

static void id_that_is_in_use_is_refused(void **state)
{
    struct bench *b = *state;

    peer_says(&b->peer, OFFER(BOTH));
    peer_expects(&b->peer, ACCEPT(NS_BYTESTREAMS));
    peer_says(&b->peer, OFFER(BOTH));
    peer_expects(&b->peer, ERROR("type='cancel' code='406'", "not-acceptable", TEXT("This stream id is in use")));
    assert_int_equal(b->inbox.offers, 1);
    assert_non_null(b->inbox.now);
}

static void rest_of_a_file_is_asked_for_where_a_part_is_here(void **state)
{
    struct bench *b = *state;

    b->inbox.here = 4;
    peer_says(&b->peer, SI("id='s1' " PROFILE) FILE_("name='a.txt' size='6'", "<range/>") FORM(OPTION(NS_IBB)) END);
    peer_expects(&b->peer, "<iq type='result' id='q1' to='" TARGET "'><si xmlns='" NS_SI "'><file xmlns='" NS_SI_FILE
                           "'><range offset='4'/></file>" CHOSEN(NS_IBB) "</si></iq>");
    peer_says(&b->peer, OPEN);
    peer_expects(&b->peer, YES);
    peer_says(&b->peer, DATA("0", "ZWY="));
    peer_expects(&b->peer, YES);
    peer_says(&b->peer, CLOSE);
    peer_expects(&b->peer, YES);
    assert_int_equal(b->inbox.offset, 4);
    assert_int_equal(b->inbox.moved, 2);
    fake_inbox_answer(&b->inbox);
    assert_int_equal(b->inbox.why, ERR_NONE);
}

static void stream_that_never_begins_is_given_up(void **state)
{
    struct bench *b = *state;

    peer_says(&b->peer, OFFER(FORM(OPTION(NS_IBB))));
    peer_expects(&b->peer, ACCEPT(NS_IBB));
    assert_in_range(peer_skip(&b->peer), 59 * 1000, 60 * 1000);
    assert_int_equal(b->inbox.ended, 1);
    assert_int_equal(b->inbox.why, ERR_STALLED);
    peer_says(&b->peer, OPEN);
    assert_string_equal(b->inbox.method, "ibb"); /* from now on it is a stream that nothing announced */
    peer_expects(&b->peer, YES);
}

static void one_sender_has_so_many_under_way(void **state)
{
    struct bench *b = *state;

    b->inbox.crowd = true;
    for (unsigned i = 0; i <= 32; i++) {
        char xml[1024];

        snprintf(xml, sizeof xml, SI("id='s%u' " PROFILE) FILE_("name='a.txt' size='6'", "") BOTH END, i);
        peer_says(&b->peer, xml);
        assert_non_null(strstr(peer_next(&b->peer), i < 32 ? "type=\"result\"" : "resource-constraint"));
    }
    assert_int_equal(b->inbox.offers, 32);
    peer_says(&b->peer, "<iq type='set' id='q1' from='other@example.org/x' to='" INITIATOR "'><si xmlns='" NS_SI
                        "' id='s1' " PROFILE ">" FILE_("name='a.txt' size='6'", "") BOTH END);
    assert_non_null(strstr(peer_next(&b->peer), "type=\"result\""));
}

/* ---- in-band */

static void file_comes_in_band(void **state)
{
    struct bench *b = *state;
    char bytes[6];

    peer_says(&b->peer, OFFER(FORM(OPTION(NS_IBB))));
    peer_expects(&b->peer, ACCEPT(NS_IBB));
    peer_says(&b->peer, OPEN);
    peer_expects(&b->peer, YES);
    assert_string_equal(b->inbox.path, "inband");
    peer_says(&b->peer, DATA("0", "YWJj"));
    peer_expects(&b->peer, YES);
    peer_says(&b->peer, DATA("1", "ZGVm"));
    peer_expects(&b->peer, YES);
    assert_int_equal(pread(fake_inbox_fd(&b->inbox), bytes, sizeof bytes, 0), 6);
    assert_memory_equal(bytes, "abcdef", 6);
    peer_says(&b->peer, CLOSE);
    peer_expects(&b->peer, YES);
    assert_int_equal(b->inbox.completed, 1);
    assert_int_equal(b->inbox.moved, 6);
    assert_false(b->inbox.extra);
    fake_inbox_answer(&b->inbox);
    assert_int_equal(b->inbox.ended, 1);
    assert_int_equal(b->inbox.why, ERR_NONE);
    peer_expects_nothing(&b->peer);
}

/* Checklist row 44. */
static void empty_file_comes_in_band(void **state)
{
    struct bench *b = *state;

    peer_says(&b->peer, SI("id='s1' " PROFILE) FILE_("name='a.txt' size='0'", "") FORM(OPTION(NS_IBB)) END);
    peer_expects(&b->peer, ACCEPT(NS_IBB));
    peer_says(&b->peer, OPEN);
    peer_expects(&b->peer, YES);
    peer_says(&b->peer, CLOSE);
    peer_expects(&b->peer, YES);
    assert_int_equal(b->inbox.completed, 1);
    assert_int_equal(b->inbox.moved, 0);
    fake_inbox_answer(&b->inbox);
}

/* Checklist rows 57, 58 and 115: what came is for the receiver to judge. */
static void too_few_or_too_many_bytes_are_told_to_the_receiver(void **state)
{
    static const struct {
        const char *says, *data;
        uint64_t moved;
        bool extra;
    } rows[] = {
        {"closed early", DATA("0", "YWJj"), 3, false},
        {"went on", DATA("0", "YWJjZGVmZw=="), 6, true},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;

        print_message("%s\n", rows[i].says);
        peer_says(&b->peer, OFFER(FORM(OPTION(NS_IBB))));
        peer_expects(&b->peer, ACCEPT(NS_IBB));
        peer_says(&b->peer, OPEN);
        peer_expects(&b->peer, YES);
        peer_says(&b->peer, rows[i].data);
        peer_says(&b->peer, CLOSE);
        assert_int_equal(b->inbox.completed, 1);
        assert_int_equal(b->inbox.moved, rows[i].moved);
        assert_int_equal(b->inbox.extra, rows[i].extra);
        b->inbox.verdict = rows[i].extra ? ERR_SIZE_EXCEEDED : ERR_TRUNCATED;
        fake_inbox_answer(&b->inbox);
        assert_int_equal(b->inbox.why, b->inbox.verdict);
        teardown(state);
        setup(state);
    }
}

static void stream_out_of_order_ends_the_file(void **state)
{
    struct bench *b = *state;

    peer_says(&b->peer, OFFER(FORM(OPTION(NS_IBB))));
    peer_expects(&b->peer, ACCEPT(NS_IBB));
    peer_says(&b->peer, OPEN);
    peer_expects(&b->peer, YES);
    peer_says(&b->peer, DATA("1", "YWJj"));
    peer_expects(&b->peer, ERROR("type='cancel'", "unexpected-request", ""));
    peer_expects(&b->peer, OUR_CLOSE);
    assert_int_equal(b->inbox.why, ERR_IBB_SEQUENCE_ERROR);
}

static void stream_that_nothing_announced_is_taken_where_a_rule_says_so(void **state)
{
    struct bench *b = *state;

    b->inbox.refuses = ERR_METHOD_UNSUPPORTED;
    peer_says(&b->peer, OPEN);
    peer_expects(&b->peer, ERROR("type='cancel'", "not-acceptable", ""));
    b->inbox.refuses = ERR_NONE;
    peer_says(&b->peer, OPEN);
    peer_expects(&b->peer, YES);
    assert_string_equal(b->inbox.method, "ibb");
    assert_string_equal(b->inbox.name, "");
    assert_int_equal(b->inbox.size, -1);
    peer_says(&b->peer, DATA("0", "YWJj"));
    peer_expects(&b->peer, YES);
    peer_says(&b->peer, CLOSE);
    peer_expects(&b->peer, YES);
    assert_int_equal(b->inbox.moved, 3);
    fake_inbox_answer(&b->inbox);
}

/* ---- taken away */

static void file_that_is_taken_away_ends_the_stream(void **state)
{
    struct bench *b = *state;

    peer_says(&b->peer, OFFER(FORM(OPTION(NS_IBB))));
    peer_expects(&b->peer, ACCEPT(NS_IBB));
    peer_says(&b->peer, OPEN);
    peer_expects(&b->peer, YES);
    fake_inbox_revoke(&b->inbox, ERR_CANCELLED);
    peer_expects(&b->peer, OUR_CLOSE);
    assert_int_equal(b->inbox.why, ERR_CANCELLED);
    peer_says(&b->peer, DATA("0", "YWJj"));
    peer_expects(&b->peer, ERROR("type='cancel'", "item-not-found", ""));
}

/* Checklist row 122. */
static void lost_session_ends_what_goes_through_it(void **state)
{
    static const char *const stages[] = {OFFER(BOTH), OPEN};
    struct bench *b = *state;

    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        peer_says(&b->peer, stages[i]);
        assert_non_null(strstr(peer_next(&b->peer), "result"));
        target_offline(b->peer.client->target);
        while (peer_next(&b->peer))
            continue;
        assert_int_equal(b->inbox.ended, i + 1);
        assert_int_equal(b->inbox.why, ERR_XMPP_DISCONNECTED);
    }
    peer_says(&b->peer, OFFER(FORM(OPTION(NS_IBB))));
    peer_expects(&b->peer, ACCEPT(NS_IBB));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(offer_is_told_to_the_receiver),
        TEST(bytestream_is_chosen_where_it_is_offered),
        TEST(offer_that_is_none_is_refused_without_asking),
        TEST(refusal_tells_a_stranger_no_more_than_that),
        TEST(who_receives_nothing_has_no_stream_initiation),
        TEST(id_that_is_in_use_is_refused),
        TEST(rest_of_a_file_is_asked_for_where_a_part_is_here),
        TEST(stream_that_never_begins_is_given_up),
        TEST(one_sender_has_so_many_under_way),
        TEST(file_comes_in_band),
        TEST(empty_file_comes_in_band),
        TEST(too_few_or_too_many_bytes_are_told_to_the_receiver),
        TEST(stream_out_of_order_ends_the_file),
        TEST(stream_that_nothing_announced_is_taken_where_a_rule_says_so),
        TEST(file_that_is_taken_away_ends_the_stream),
        TEST(lost_session_ends_what_goes_through_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
