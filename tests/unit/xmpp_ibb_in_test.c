/* xmpp/ibb_in.c: XEP-0047 as the side that receives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "tests/fake/xmpp/peer.h"
#include "xmpp/ibb_in.h"
#include "xmpp/ns.h"

#define SET(from)      "<iq type='set' id='q1' from='" from "' to='" INITIATOR "'>"
#define OPEN(size)     "<open xmlns='" NS_IBB "' sid='s1' block-size='" size "'/></iq>"
#define DATA(seq, b64) "<data xmlns='" NS_IBB "' sid='s1' seq='" seq "'>" b64 "</data></iq>"
#define CLOSE          "<close xmlns='" NS_IBB "' sid='s1'/></iq>"
#define YES            "<iq type='result' id='q1' to='" TARGET "'/>"
#define OUR_CLOSE                                                                                                      \
    "<iq type='set' id='*id' to='" TARGET "' from='" INITIATOR "'><close xmlns='" NS_IBB "' sid='s1'/></iq>"
#define NO(type, condition)                                                                                            \
    "<iq type='error' id='q1' to='" TARGET "'><error type='" type "'><" condition " xmlns='" NS_STANZAS                \
    "'/></error></iq>"

struct bench {
    struct peer peer;
    struct ibb_in *stream;
    uint64_t most;
    struct buf bytes;
    unsigned opened, closed, failed;
    uint64_t moved;
    bool extra, refuses_open, refuses_bytes;
    struct error why;
};

static bool opened(void *user, uint64_t *most, struct error *err)
{
    struct bench *b = user;

    b->opened++;
    *most = b->most;
    return !b->refuses_open || error_set(err, ERR_SPOOL_FULL, "full");
}

static bool bytes(void *user, const void *data, size_t len, struct error *err)
{
    struct bench *b = user;

    if (b->refuses_bytes)
        return error_set(err, ERR_SPOOL_FULL, "full");
    buf_add(&b->bytes, data, len);
    return true;
}

static void closed(void *user, uint64_t moved, bool extra)
{
    struct bench *b = user;

    b->closed++;
    b->moved = moved;
    b->extra = extra;
}

static void failed(void *user, const struct error *why, uint64_t moved)
{
    struct bench *b = user;

    b->failed++;
    b->moved = moved;
    b->why = *why;
}

static const struct ibb_in_events events = {opened, bytes, closed, failed};

static struct ibb_in *expect_from(struct bench *b, const char *from, unsigned block_max, struct error *err)
{
    struct jid peer;
    struct ibb_in_terms terms = {.local = &b->peer.client->self,
                                 .peer = &peer,
                                 .sid = "s1",
                                 .block_max = block_max,
                                 .open_ms = IBB_IN_OPEN_MS,
                                 .idle_ms = 120 * 1000};

    assert_true(jid_parse(&peer, from, strlen(from), NULL));
    return ibb_in_expect(b->peer.client, &terms, &events, b, err);
}

static int setup(void **state)
{
    static struct bench b;

    memset(&b, 0, sizeof b);
    peer_start(&b.peer, NULL);
    b.most = 6;
    b.stream = expect_from(&b, TARGET, 0, NULL);
    assert_non_null(b.stream);
    *state = &b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;

    ibb_in_destroy(&b->stream);
    buf_free(&b->bytes);
    peer_stop(&b->peer);
    return 0;
}

static void open_it(struct bench *b)
{
    peer_says(&b->peer, SET(TARGET) OPEN("4096"));
    peer_expects(&b->peer, YES);
    assert_int_equal(b->opened, 1);
}

static void bytes_are_taken_in_order_and_acknowledged(void **state)
{
    struct bench *b = *state;

    open_it(b);
    peer_says(&b->peer, SET(TARGET) DATA("0", "YWJj"));
    peer_expects(&b->peer, YES);
    peer_says(&b->peer, SET(TARGET) DATA("1", "\n ZGU=\t"));
    peer_expects(&b->peer, YES);
    peer_says(&b->peer, SET(TARGET) DATA("2", ""));
    peer_expects(&b->peer, YES);
    peer_says(&b->peer, SET(TARGET) CLOSE);
    peer_expects(&b->peer, YES);
    assert_int_equal(b->closed, 1);
    assert_int_equal(b->moved, 5); /* of 6: whoever owns it sees that it is short */
    assert_false(b->extra);
    assert_memory_equal(b->bytes.data, "abcde", 5);
    ibb_in_destroy(&b->stream);
    peer_expects_nothing(&b->peer);
}

static void open_is_held_against_what_was_agreed(void **state)
{
    static const struct {
        const char *says, *open, *answer;
        unsigned block_max;
        bool refuses;
    } rows[] = {
        {"by message stanzas",
         SET(TARGET) "<open xmlns='" NS_IBB "' sid='s1' block-size='4096' stanza='message'/></iq>",
         NO("cancel", "not-acceptable"), 0, false},
        {"by iq stanzas", SET(TARGET) "<open xmlns='" NS_IBB "' sid='s1' block-size='4096' stanza='iq'/></iq>", YES, 0,
         false},
        {"the largest blocks", SET(TARGET) OPEN("65535"), YES, 0, false},
        {"larger blocks", SET(TARGET) OPEN("65536"), NO("modify", "bad-request"), 0, false},
        {"no blocks", SET(TARGET) OPEN("0"), NO("modify", "bad-request"), 0, false},
        {"blocks of -1", SET(TARGET) OPEN("-1"), NO("modify", "bad-request"), 0, false},
        {"blocks without a size", SET(TARGET) "<open xmlns='" NS_IBB "' sid='s1'/></iq>", NO("modify", "bad-request"),
         0, false},
        {"blocks above ours", SET(TARGET) OPEN("8192"), NO("modify", "resource-constraint"), 4096, false},
        {"another id", SET(TARGET) "<open xmlns='" NS_IBB "' sid='s2' block-size='4096'/></iq>",
         NO("cancel", "not-acceptable"), 0, false},
        {"no id", SET(TARGET) "<open xmlns='" NS_IBB "' block-size='4096'/></iq>", NO("cancel", "not-acceptable"), 0,
         false},
        {"no room for it", SET(TARGET) OPEN("4096"), NO("cancel", "not-acceptable"), 0, true},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;

        print_message("%s\n", rows[i].says);
        ibb_in_destroy(&b->stream);
        b->refuses_open = rows[i].refuses;
        b->stream = expect_from(b, TARGET, rows[i].block_max, NULL);
        peer_says(&b->peer, rows[i].open);
        peer_expects(&b->peer, rows[i].answer);
        teardown(state);
        setup(state);
    }
}

static void stream_may_be_opened_again_with_smaller_blocks(void **state)
{
    struct bench *b = *state;

    ibb_in_destroy(&b->stream);
    b->stream = expect_from(b, TARGET, 4096, NULL);
    peer_says(&b->peer, SET(TARGET) OPEN("8192"));
    peer_expects(&b->peer, NO("modify", "resource-constraint"));
    open_it(b);
}

/* Checklist row 110. */
static void bad_block_ends_the_stream(void **state)
{
    static const struct {
        const char *says, *data, *answer;
        enum error_code code;
    } rows[] = {
        {"one left out", SET(TARGET) DATA("2", "ZA=="), NO("cancel", "unexpected-request"), ERR_IBB_SEQUENCE_ERROR},
        {"one twice", SET(TARGET) DATA("0", "YWJj"), NO("cancel", "unexpected-request"), ERR_IBB_SEQUENCE_ERROR},
        {"no number", SET(TARGET) "<data xmlns='" NS_IBB "' sid='s1'>ZA==</data></iq>", NO("cancel", "bad-request"),
         ERR_PEER_PROTOCOL_ERROR},
        {"a number below zero", SET(TARGET) DATA("-1", "ZA=="), NO("cancel", "bad-request"), ERR_PEER_PROTOCOL_ERROR},
        {"foreign characters", SET(TARGET) DATA("1", "ZA=?"), NO("cancel", "bad-request"), ERR_PEER_PROTOCOL_ERROR},
        {"characters of the other alphabet", SET(TARGET) DATA("1", "Z-_A"), NO("cancel", "bad-request"),
         ERR_PEER_PROTOCOL_ERROR},
        {"padding in front", SET(TARGET) DATA("1", "=AAA"), NO("cancel", "bad-request"), ERR_PEER_PROTOCOL_ERROR},
        {"padding in between", SET(TARGET) DATA("1", "ZA==ZA=="), NO("cancel", "bad-request"), ERR_PEER_PROTOCOL_ERROR},
        {"only padding", SET(TARGET) DATA("1", "===="), NO("cancel", "bad-request"), ERR_PEER_PROTOCOL_ERROR},
        {"padding left out", SET(TARGET) DATA("1", "ZA"), NO("cancel", "bad-request"), ERR_PEER_PROTOCOL_ERROR},
        {"more than a block", SET(TARGET) DATA("1", "YWJjZGU="), NO("cancel", "bad-request"), ERR_PEER_PROTOCOL_ERROR},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;

        print_message("%s\n", rows[i].says);
        peer_says(&b->peer, SET(TARGET) OPEN("4"));
        peer_expects(&b->peer, YES);
        peer_says(&b->peer, SET(TARGET) DATA("0", "YWJj"));
        peer_expects(&b->peer, YES);
        peer_says(&b->peer, rows[i].data);
        peer_expects(&b->peer, rows[i].answer);
        peer_expects(&b->peer, OUR_CLOSE);
        assert_int_equal(b->failed, 1);
        assert_int_equal(b->why.code, rows[i].code);
        assert_int_equal(b->moved, 3);
        teardown(state);
        setup(state);
    }
}

/* Checklist row 112. */
static void others_reach_no_stream_by_its_id(void **state)
{
    static const char *const sets[] = {
        SET(TARGET "2") DATA("0", "YWJj"), SET(TARGET "2") CLOSE, SET("target@example.org") DATA("0", "YWJj"),
        SET(TARGET) "<data xmlns='" NS_IBB "' seq='0'>YWJj</data></iq>",
        "<iq type='set' id='q1' from='" TARGET "' to='initiator@example.com/other'>" CLOSE};
    struct bench *b = *state;

    open_it(b);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        peer_says(&b->peer, sets[i]);
        assert_non_null(strstr(peer_next(&b->peer), "item-not-found"));
    }
    peer_says(&b->peer, SET(TARGET) DATA("0", "YWJj"));
    peer_expects(&b->peer, YES);
    assert_int_equal(b->bytes.len, 3);
}

static void nothing_is_taken_before_the_open(void **state)
{
    struct bench *b = *state;

    peer_says(&b->peer, SET(TARGET) DATA("0", "YWJj"));
    peer_expects(&b->peer, NO("cancel", "item-not-found"));
    open_it(b);
}

/* Checklist row 111: Conversations counts on behind 65535, where the XEP begins again with 0. */
static void numbers_begin_again_or_go_on(void **state)
{
    static const bool wraps[] = {true, false};

    for (size_t k = 0; k < 2; k++) {
        struct bench *b = *state;

        b->most = 70000;
        open_it(b);
        for (unsigned i = 0; i < 70000; i++) {
            char xml[256];

            snprintf(xml, sizeof xml, SET(TARGET) "<data xmlns='" NS_IBB "' sid='s1' seq='%u'>eA==</data></iq>",
                     wraps[k] ? i & 0xffff : i);
            peer_says(&b->peer, xml);
            assert_non_null(strstr(peer_next(&b->peer), "result"));
        }
        assert_int_equal(b->bytes.len, 70000);
        peer_says(&b->peer, SET(TARGET) CLOSE);
        assert_int_equal(b->closed, 1);
        teardown(state);
        setup(state);
    }
}

static void what_comes_behind_the_end_is_extra(void **state)
{
    struct bench *b = *state;

    open_it(b);
    peer_says(&b->peer, SET(TARGET) DATA("0", "YWJjZGVmZw=="));
    peer_expects(&b->peer, NO("cancel", "not-acceptable"));
    peer_expects(&b->peer, OUR_CLOSE);
    assert_int_equal(b->closed, 1);
    assert_int_equal(b->moved, 6);
    assert_true(b->extra);
    assert_memory_equal(b->bytes.data, "abcdef", 6);
}

static void bytes_that_cannot_be_kept_end_the_stream(void **state)
{
    struct bench *b = *state;

    open_it(b);
    b->refuses_bytes = true;
    peer_says(&b->peer, SET(TARGET) DATA("0", "YWJj"));
    peer_expects(&b->peer, NO("wait", "resource-constraint"));
    peer_expects(&b->peer, OUR_CLOSE);
    assert_int_equal(b->failed, 1);
    assert_int_equal(b->why.code, ERR_SPOOL_FULL);
}

static void peer_that_falls_silent_is_not_waited_for(void **state)
{
    static const struct {
        const char *says;
        unsigned blocks;
        bool opens;
        uint64_t ms;
        enum error_code code; /* ERR_NONE: it is closed */
    } rows[] = {
        {"before the open", 0, false, 30 * 1000, ERR_RECIPIENT_TIMEOUT},
        {"in the middle", 1, true, 120 * 1000, ERR_STALLED},
        {"instead of closing", 2, true, 10 * 1000, ERR_NONE},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;

        print_message("%s\n", rows[i].says);
        if (rows[i].opens)
            open_it(b);
        for (unsigned k = 0; k < rows[i].blocks; k++) {
            peer_says(&b->peer, k == 0 ? SET(TARGET) DATA("0", "YWJj") : SET(TARGET) DATA("1", "YWJj"));
            peer_expects(&b->peer, YES);
        }
        assert_in_range(peer_skip(&b->peer), rows[i].ms - 200, rows[i].ms);
        if (rows[i].opens)
            peer_expects(&b->peer, OUR_CLOSE);
        assert_int_equal(b->failed, rows[i].code != ERR_NONE);
        assert_int_equal(b->why.code, rows[i].code);
        assert_int_equal(b->closed, rows[i].code == ERR_NONE);
        teardown(state);
        setup(state);
    }
}

/* Checklist row 124. */
static void two_peers_may_use_the_same_id(void **state)
{
    struct bench *b = *state;
    struct ibb_in *other = expect_from(b, TARGET "2", 0, NULL);
    struct error err;

    assert_non_null(other);
    assert_null(expect_from(b, TARGET, 0, &err));
    assert_int_equal(err.code, ERR_PEER_PROTOCOL_ERROR);
    open_it(b);
    peer_says(&b->peer, SET(TARGET "2") OPEN("4096"));
    assert_non_null(strstr(peer_next(&b->peer), "result"));
    ibb_in_destroy(&other);
    peer_expects(&b->peer, "<iq type='set' id='*id' to='" TARGET "2' from='" INITIATOR "'><close xmlns='" NS_IBB
                           "' sid='s1'/></iq>");
    peer_says(&b->peer, SET(TARGET) DATA("0", "YWJj"));
    peer_expects(&b->peer, YES);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_are_taken_in_order_and_acknowledged),
        TEST(open_is_held_against_what_was_agreed),
        TEST(stream_may_be_opened_again_with_smaller_blocks),
        TEST(bad_block_ends_the_stream),
        TEST(others_reach_no_stream_by_its_id),
        TEST(nothing_is_taken_before_the_open),
        TEST(numbers_begin_again_or_go_on),
        TEST(what_comes_behind_the_end_is_extra),
        TEST(bytes_that_cannot_be_kept_end_the_stream),
        TEST(peer_that_falls_silent_is_not_waited_for),
        TEST(two_peers_may_use_the_same_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
