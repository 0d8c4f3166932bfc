/* xmpp/ibb.c: a file sent in-band, in blocks that the peer acknowledges (XEP-0047). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fake/xmpp/peer.h"
#include "xmpp/ibb.h"
#include "xmpp/ns.h"

#define OPEN(sid, size)                                                                                                \
    "<iq type='set' id='*id' to='" TARGET "'><open xmlns='" NS_IBB "' sid='" sid "' block-size='" size                 \
    "' stanza='iq'/></iq>"
#define DATA(seq, text)                                                                                                \
    "<iq type='set' id='*id' to='" TARGET "'><data xmlns='" NS_IBB "' sid='s1' seq='" seq "'>" text "</data></iq>"
#define CLOSE(sid) "<iq type='set' id='*id' to='" TARGET "'><close xmlns='" NS_IBB "' sid='" sid "'/></iq>"
#define YES        "<iq type='result' id='$id' from='" TARGET "'/>"

/* "0123456789" in blocks of four bytes */
#define FIRST  DATA("0", "MDEyMw==")
#define SECOND DATA("1", "NDU2Nw==")
#define THIRD  DATA("2", "ODk=")

struct bench;

struct stream {
    struct bench *bench;
    struct ibb *ibb;
    struct ibb_event last;
    unsigned told[IBB_FAILED + 1];
    bool ends_itself; /* destroys the stream from inside its next event */
};

struct bench {
    struct peer peer;
    struct jid to;
    int fd;
    struct stream streams[4];
};

static int setup(void **state)
{
    static struct bench b;

    memset(&b, 0, sizeof b);
    peer_start(&b.peer, NULL);
    assert_true(jid_parse(&b.to, TARGET, strlen(TARGET), NULL));
    b.fd = memfd_create("file", MFD_CLOEXEC);
    assert_int_equal(write(b.fd, "xx0123456789yy", 14), 14);
    *state = &b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;

    for (size_t i = 0; i < 4; i++)
        ibb_destroy(&b->streams[i].ibb);
    close(b->fd);
    peer_stop(&b->peer);
    return 0;
}

static void again(void **state)
{
    teardown(state);
    setup(state);
}

static void on_event(void *user, const struct ibb_event *event)
{
    struct stream *s = user;

    s->last = *event;
    s->told[event->kind]++;
    if (s->ends_itself)
        ibb_destroy(&s->ibb);
}

static void begin(struct bench *b, size_t i, const char *sid, unsigned block)
{
    struct ibb_terms terms = {.to = &b->to, .sid = sid, .block = block, .answer_ms = 30 * 1000};
    struct error err;

    b->streams[i].bench = b;
    b->streams[i].ibb = ibb_open(b->peer.client, &terms, on_event, &b->streams[i], &err);
    assert_non_null(b->streams[i].ibb);
    peer_turn(&b->peer);
}

/* Opens s1 with blocks of four bytes, has it accepted, and sends "0123456789". */
static struct stream *begin_sending(struct bench *b)
{
    begin(b, 0, "s1", 4);
    peer_expects(&b->peer, OPEN("s1", "4"));
    peer_says(&b->peer, YES);
    assert_int_equal(b->streams[0].told[IBB_OPEN], 1);
    peer_expects_nothing(&b->peer);
    ibb_send(b->streams[0].ibb, b->fd, 2, 10);
    peer_expects_nothing(&b->peer); /* nothing happens inside the call */
    peer_turn(&b->peer);
    return &b->streams[0];
}

static void expect_and_accept(struct bench *b, const char *xml)
{
    peer_expects(&b->peer, xml);
    peer_says(&b->peer, YES);
}

static void failed_with(const struct stream *s, enum error_code code)
{
    assert_int_equal(s->told[IBB_FAILED], 1);
    assert_int_equal(s->told[IBB_DONE], 0);
    if (s->last.error.code != code)
        fail_msg("%s instead of %s: %s", error_name(s->last.error.code), error_name(code), s->last.error.text);
}

/* ---- the whole way */

static void blocks_follow_each_other_and_the_acknowledged_close_is_the_end(void **state)
{
    struct bench *b = *state;
    struct stream *s = begin_sending(b);

    peer_expects(&b->peer, FIRST);
    peer_expects_nothing(&b->peer); /* one at a time */
    peer_says(&b->peer, YES);
    assert_int_equal(s->last.moved, 4);
    expect_and_accept(b, SECOND);
    assert_int_equal(s->last.moved, 8);
    expect_and_accept(b, THIRD);
    assert_int_equal(s->last.moved, 10);
    peer_expects(&b->peer, CLOSE("s1"));
    assert_int_equal(s->told[IBB_DONE], 0);
    peer_says(&b->peer, YES);
    assert_int_equal(s->told[IBB_DONE], 1);
    assert_int_equal(s->last.moved, 10);
    ibb_destroy(&s->ibb);
    peer_expects_nothing(&b->peer);
}

static void empty_file_is_an_open_and_a_close(void **state)
{
    struct bench *b = *state;

    begin(b, 0, "s1", IBB_BLOCK);
    expect_and_accept(b, OPEN("s1", "4096"));
    ibb_send(b->streams[0].ibb, b->fd, 0, 0);
    peer_turn(&b->peer);
    expect_and_accept(b, CLOSE("s1"));
    assert_int_equal(b->streams[0].told[IBB_DONE], 1);
    assert_int_equal(b->streams[0].last.moved, 0);
}

static void full_last_block_is_followed_by_the_close(void **state)
{
    struct bench *b = *state;

    begin(b, 0, "s1", 4);
    expect_and_accept(b, OPEN("s1", "4"));
    ibb_send(b->streams[0].ibb, b->fd, 2, 8);
    peer_turn(&b->peer);
    expect_and_accept(b, FIRST);
    expect_and_accept(b, SECOND);
    expect_and_accept(b, CLOSE("s1"));
    assert_int_equal(b->streams[0].told[IBB_DONE], 1);
}

static void window_says_how_many_blocks_are_on_their_way(void **state)
{
    struct bench *b = *state;
    struct stream *s;
    char first[64], second[64];

    b->peer.settings.ibb_window = 2;
    s = begin_sending(b);
    peer_expects(&b->peer, FIRST);
    strcpy(first, b->peer.id);
    peer_expects(&b->peer, SECOND);
    strcpy(second, b->peer.id);
    peer_expects_nothing(&b->peer);
    strcpy(b->peer.id, first);
    peer_says(&b->peer, YES);
    assert_int_equal(s->last.moved, 4);
    peer_expects(&b->peer, THIRD);
    peer_says(&b->peer, YES); /* before that of the second: what has a gap is not moved */
    assert_int_equal(s->last.moved, 4);
    peer_expects_nothing(&b->peer);
    strcpy(b->peer.id, second);
    peer_says(&b->peer, YES);
    assert_int_equal(s->last.moved, 10);
    expect_and_accept(b, CLOSE("s1"));
    assert_int_equal(s->told[IBB_DONE], 1);
}

/* Section 2.2: seq is 16 bits wide and begins anew after 65535. */
static void sequence_number_wraps(void **state)
{
    enum { BLOCKS = 65536 + 2 };
    struct bench *b = *state;
    char text[16];

    assert_int_equal(ftruncate(b->fd, BLOCKS), 0);
    begin(b, 0, "s1", 1);
    expect_and_accept(b, OPEN("s1", "1"));
    ibb_send(b->streams[0].ibb, b->fd, 0, BLOCKS);
    peer_turn(&b->peer);
    for (unsigned i = 0; i < BLOCKS; i++) {
        snprintf(text, sizeof text, "seq=\"%u\"", i % 65536);
        assert_non_null(strstr(peer_next(&b->peer), text));
        peer_says(&b->peer, YES);
        if (i % 1024 == 0)
            peer_turn(&b->peer);
    }
    expect_and_accept(b, CLOSE("s1"));
    assert_int_equal(b->streams[0].told[IBB_DONE], 1);
}

/* ---- the open is refused */

static void peer_short_of_resources_gets_half_the_block_down_to_512(void **state)
{
    struct bench *b = *state;

    begin(b, 0, "s1", IBB_BLOCK);
    peer_expects(&b->peer, OPEN("s1", "4096"));
    peer_refuses(&b->peer, TARGET, "modify", "resource-constraint", "");
    peer_expects(&b->peer, OPEN("s1", "2048"));
    peer_refuses(&b->peer, TARGET, "modify", "resource-constraint", "");
    peer_expects(&b->peer, OPEN("s1", "1024"));
    peer_refuses(&b->peer, TARGET, "modify", "resource-constraint", "");
    peer_expects(&b->peer, OPEN("s1", "512"));
    assert_int_equal(b->streams[0].told[IBB_FAILED], 0);
    peer_refuses(&b->peer, TARGET, "modify", "resource-constraint", "");
    failed_with(&b->streams[0], ERR_IBB_REFUSED);
    peer_expects_nothing(&b->peer);
}

static void smaller_blocks_are_what_is_sent_then(void **state)
{
    struct bench *b = *state;

    assert_int_equal(ftruncate(b->fd, 2049), 0);
    begin(b, 0, "s1", IBB_BLOCK);
    peer_expects(&b->peer, OPEN("s1", "4096"));
    peer_refuses(&b->peer, TARGET, "modify", "resource-constraint", "");
    expect_and_accept(b, OPEN("s1", "2048"));
    ibb_send(b->streams[0].ibb, b->fd, 0, 2049);
    peer_turn(&b->peer);
    assert_non_null(strstr(peer_next(&b->peer), "seq=\"0\""));
    peer_says(&b->peer, YES);
    assert_int_equal(b->streams[0].last.moved, 2048);
    assert_non_null(strstr(peer_next(&b->peer), "seq=\"1\""));
    peer_says(&b->peer, YES);
    expect_and_accept(b, CLOSE("s1"));
    assert_int_equal(b->streams[0].told[IBB_DONE], 1);
}

static void refusals_have_their_codes(void **state)
{
    static const struct {
        const char *type, *condition;
        enum error_code want;
    } rows[] = {
        {"cancel", "not-acceptable", ERR_IBB_REFUSED},
        {"modify", "not-acceptable", ERR_IBB_REFUSED},
        {"cancel", "service-unavailable", ERR_IBB_REFUSED},
        {"cancel", "feature-not-implemented", ERR_IBB_REFUSED},
        {"wait", "recipient-unavailable", ERR_RECIPIENT_OFFLINE},
        {"cancel", "remote-server-not-found", ERR_REMOTE_SERVER_UNREACHABLE},
        {"cancel", "undefined-condition", ERR_PEER_ERROR},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;

        begin(b, 0, "s1", IBB_BLOCK);
        peer_expects(&b->peer, OPEN("s1", "4096"));
        peer_refuses(&b->peer, TARGET, rows[i].type, rows[i].condition, "");
        failed_with(&b->streams[0], rows[i].want);
        peer_expects_nothing(&b->peer); /* a stream that was not opened is not closed */
        again(state);
    }
}

static void open_that_nobody_answers_times_out_and_is_taken_back(void **state)
{
    struct bench *b = *state;

    begin(b, 0, "s1", IBB_BLOCK);
    peer_expects(&b->peer, OPEN("s1", "4096"));
    assert_in_range(peer_skip(&b->peer), 30 * 1000 - 100, 30 * 1000);
    failed_with(&b->streams[0], ERR_RECIPIENT_TIMEOUT);
    peer_expects(&b->peer, CLOSE("s1"));
}

/* ---- a block is refused */

static void refused_blocks_have_their_codes(void **state)
{
    static const struct {
        const char *type, *condition;
        enum error_code want;
        bool closes; /* the peer still holds the stream */
    } rows[] = {
        {"cancel", "item-not-found", ERR_STREAM_BROKEN, false},
        {"cancel", "service-unavailable", ERR_STREAM_BROKEN, false},
        {"cancel", "unexpected-request", ERR_IBB_SEQUENCE_ERROR, true},
        {"modify", "bad-request", ERR_PEER_PROTOCOL_ERROR, true},
        {"wait", "policy-violation", ERR_PEER_RATE_LIMITED, true},
        {"cancel", "undefined-condition", ERR_PEER_ERROR, true},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;
        struct stream *s = begin_sending(b);

        expect_and_accept(b, FIRST);
        peer_expects(&b->peer, SECOND);
        peer_refuses(&b->peer, TARGET, rows[i].type, rows[i].condition, "");
        failed_with(s, rows[i].want);
        assert_int_equal(s->last.moved, 4);
        if (rows[i].closes)
            peer_expects(&b->peer, CLOSE("s1"));
        peer_expects_nothing(&b->peer);
        again(state);
    }
}

static void peer_out_of_reach_gets_the_same_block_again_after_a_pause(void **state)
{
    static const char *const conditions[] = {"recipient-unavailable", "remote-server-timeout"};

    for (size_t i = 0; i < 2; i++) {
        struct bench *b = *state;
        struct stream *s = begin_sending(b);

        expect_and_accept(b, FIRST);
        peer_expects(&b->peer, SECOND);
        peer_refuses(&b->peer, TARGET, "wait", conditions[i], "");
        peer_expects_nothing(&b->peer);
        assert_int_equal(s->told[IBB_FAILED], 0);
        assert_in_range(peer_skip(&b->peer), 5 * 1000 - 100, 5 * 1000);
        expect_and_accept(b, SECOND);
        expect_and_accept(b, THIRD);
        expect_and_accept(b, CLOSE("s1"));
        assert_int_equal(s->told[IBB_DONE], 1);
        again(state);
    }
}

static void peer_out_of_reach_for_half_a_minute_is_offline(void **state)
{
    struct bench *b = *state;
    struct stream *s = begin_sending(b);
    uint64_t waited = 0;

    expect_and_accept(b, FIRST);
    while (s->told[IBB_FAILED] == 0) {
        peer_expects(&b->peer, SECOND);
        peer_refuses(&b->peer, TARGET, "wait", "recipient-unavailable", "");
        if (s->told[IBB_FAILED] == 0)
            waited += peer_skip(&b->peer);
    }
    assert_in_range(waited, 30 * 1000 - 1000, 30 * 1000);
    failed_with(s, ERR_RECIPIENT_OFFLINE);
    assert_int_equal(s->last.moved, 4);
}

static void block_sent_again_is_followed_by_all_that_came_after_it(void **state)
{
    struct bench *b = *state;
    struct stream *s;
    char first[64];

    b->peer.settings.ibb_window = 2;
    s = begin_sending(b);
    peer_expects(&b->peer, FIRST);
    strcpy(first, b->peer.id);
    peer_expects(&b->peer, SECOND);
    strcpy(b->peer.id, first);
    peer_refuses(&b->peer, TARGET, "wait", "recipient-unavailable", "");
    assert_in_range(peer_skip(&b->peer), 5 * 1000 - 100, 5 * 1000);
    expect_and_accept(b, FIRST);
    expect_and_accept(b, SECOND);
    expect_and_accept(b, THIRD);
    expect_and_accept(b, CLOSE("s1"));
    assert_int_equal(s->told[IBB_DONE], 1);
    assert_int_equal(s->last.moved, 10);
}

static void block_that_is_not_acknowledged_stalls_the_stream(void **state)
{
    struct bench *b = *state;
    struct stream *s = begin_sending(b);

    peer_expects(&b->peer, FIRST);
    assert_in_range(peer_skip(&b->peer), 30 * 1000 - 100, 30 * 1000);
    failed_with(s, ERR_STALLED);
    peer_expects(&b->peer, CLOSE("s1"));
}

static void file_that_is_shorter_than_said_is_our_own_failure(void **state)
{
    struct bench *b = *state;

    begin(b, 0, "s1", 4);
    expect_and_accept(b, OPEN("s1", "4"));
    ibb_send(b->streams[0].ibb, b->fd, 12, 4);
    peer_turn(&b->peer);
    failed_with(&b->streams[0], ERR_SYSTEM);
    peer_expects(&b->peer, CLOSE("s1"));
}

/* ---- the close, section 2.3 */

static void peer_that_closed_already_does_not_know_the_stream_and_has_everything(void **state)
{
    struct bench *b = *state;
    struct stream *s = begin_sending(b);

    expect_and_accept(b, FIRST);
    expect_and_accept(b, SECOND);
    expect_and_accept(b, THIRD);
    peer_expects(&b->peer, CLOSE("s1"));
    peer_refuses(&b->peer, TARGET, "cancel", "item-not-found", "");
    assert_int_equal(s->told[IBB_DONE], 1);
}

static void close_that_nobody_answers_is_waited_for_a_while(void **state)
{
    struct bench *b = *state;
    struct stream *s = begin_sending(b);

    expect_and_accept(b, FIRST);
    expect_and_accept(b, SECOND);
    expect_and_accept(b, THIRD);
    peer_expects(&b->peer, CLOSE("s1"));
    assert_in_range(peer_skip(&b->peer), 10 * 1000 - 100, 10 * 1000);
    assert_int_equal(s->told[IBB_DONE], 1);
    peer_expects_nothing(&b->peer); /* once is enough */
}

static void close_after_nothing_has_to_be_acknowledged(void **state)
{
    struct bench *b = *state;
    struct stream *s = &b->streams[0];

    begin(b, 0, "s1", 4);
    expect_and_accept(b, OPEN("s1", "4"));
    ibb_send(s->ibb, b->fd, 0, 0);
    peer_turn(&b->peer);
    peer_expects(&b->peer, CLOSE("s1"));
    peer_skip(&b->peer);
    failed_with(s, ERR_STALLED);
}

static void peer_may_close_first(void **state)
{
    static const struct {
        const char *says, *from, *sid;
        bool ours;
    } rows[] = {
        {"the recipient", TARGET, "s1", true},
        {"another device of it", "target@example.org/phone", "s1", false},
        {"the recipient, another stream", TARGET, "s2", false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;
        struct stream *s = begin_sending(b);
        char xml[512], answer[512];

        expect_and_accept(b, FIRST);
        peer_expects(&b->peer, SECOND);
        snprintf(xml, sizeof xml, "<iq type='set' id='c1' from='%s'><close xmlns='" NS_IBB "' sid='%s'/></iq>",
                 rows[i].from, rows[i].sid);
        peer_says(&b->peer, xml);
        snprintf(answer, sizeof answer,
                 rows[i].ours
                     ? "<iq type='result' id='c1' to='%s'/>"
                     : "<iq type='error' id='c1' to='%s'><error type='cancel'><item-not-found xmlns='" NS_STANZAS
                       "'/></error></iq>",
                 rows[i].from);
        peer_expects(&b->peer, answer);
        assert_int_equal(s->told[IBB_FAILED], rows[i].ours);
        if (rows[i].ours) {
            failed_with(s, ERR_STREAM_BROKEN);
            assert_int_equal(s->last.moved, 4);
        }
        peer_expects_nothing(&b->peer);
        again(state);
    }
}

static void close_of_the_peer_after_the_last_block_is_the_end_too(void **state)
{
    struct bench *b = *state;
    struct stream *s = begin_sending(b);

    expect_and_accept(b, FIRST);
    expect_and_accept(b, SECOND);
    expect_and_accept(b, THIRD);
    peer_expects(&b->peer, CLOSE("s1"));
    peer_says(&b->peer, "<iq type='set' id='c1' from='" TARGET "'><close xmlns='" NS_IBB "' sid='s1'/></iq>");
    peer_expects(&b->peer, "<iq type='result' id='c1' to='" TARGET "'/>");
    assert_int_equal(s->told[IBB_DONE], 1);
    peer_refuses(&b->peer, TARGET, "cancel", "item-not-found", ""); /* what it says to ours */
    assert_int_equal(s->told[IBB_DONE], 1);
    assert_int_equal(s->told[IBB_FAILED], 0);
}

static void nothing_is_taken_in_band(void **state)
{
    struct bench *b = *state;

    begin_sending(b);
    peer_expects(&b->peer, FIRST);
    peer_says(&b->peer, "<iq type='set' id='o1' from='" TARGET "'><open xmlns='" NS_IBB
                        "' sid='theirs' block-size='4096'/></iq>");
    peer_expects(&b->peer, "<iq type='error' id='o1' to='" TARGET
                           "'><error type='cancel'><not-acceptable xmlns='" NS_STANZAS "'/></error></iq>");
    peer_says(&b->peer,
              "<iq type='set' id='d1' from='" TARGET "'><data xmlns='" NS_IBB "' sid='s1' seq='0'>YQ==</data></iq>");
    peer_expects(&b->peer, "<iq type='error' id='d1' to='" TARGET
                           "'><error type='cancel'><item-not-found xmlns='" NS_STANZAS "'/></error></iq>");
    assert_int_equal(b->streams[0].told[IBB_FAILED], 0);
}

/* ---- our own connection */

static void only_two_streams_are_on_their_way_at_once(void **state)
{
    struct bench *b = *state;
    struct peer *p = &b->peer;

    begin(b, 0, "s1", IBB_BLOCK);
    begin(b, 1, "s2", IBB_BLOCK);
    begin(b, 2, "s3", IBB_BLOCK);
    begin(b, 3, "s4", IBB_BLOCK);
    peer_expects(p, OPEN("s1", "4096"));
    peer_expects(p, OPEN("s2", "4096"));
    peer_expects_nothing(p);
    peer_refuses(p, TARGET, "cancel", "not-acceptable", "");
    failed_with(&b->streams[1], ERR_IBB_REFUSED);
    peer_turn(p);
    peer_expects(p, OPEN("s3", "4096"));
    peer_expects_nothing(p);
    ibb_destroy(&b->streams[0].ibb);
    peer_expects(p, CLOSE("s1"));
    peer_turn(p);
    peer_expects(p, OPEN("s4", "4096"));
}

static void who_waits_for_a_turn_says_so_every_minute(void **state)
{
    struct bench *b = *state;

    for (size_t i = 0; i < 2; i++) {
        begin(b, i, i ? "s2" : "s1", 4);
        expect_and_accept(b, i ? OPEN("s2", "4") : OPEN("s1", "4"));
    }
    begin(b, 2, "s3", 4);
    assert_in_range(peer_skip(&b->peer), 60 * 1000 - 100, 60 * 1000);
    assert_in_range(peer_skip(&b->peer), 60 * 1000 - 100, 60 * 1000);
    assert_int_equal(b->streams[2].told[IBB_WAITING], 2);
    peer_expects_nothing(&b->peer);
}

static void block_that_our_connection_has_no_room_for_is_held_back(void **state)
{
    struct bench *b = *state;
    struct stream *s = begin_sending(b);

    peer_expects(&b->peer, FIRST);
    b->peer.deaf = true; /* online all the same: too much waits to be sent */
    peer_says(&b->peer, YES);
    assert_in_range(peer_skip(&b->peer), 1000 - 100, 1000);
    assert_in_range(peer_skip(&b->peer), 1000 - 100, 1000);
    assert_int_equal(s->told[IBB_FAILED], 0);
    b->peer.deaf = false;
    assert_in_range(peer_skip(&b->peer), 1000 - 100, 1000);
    expect_and_accept(b, SECOND);
    assert_int_equal(s->last.moved, 8);
}

static void connection_that_never_has_room_again_ends_the_stream(void **state)
{
    struct bench *b = *state;
    struct stream *s = begin_sending(b);
    unsigned tries = 0;

    peer_expects(&b->peer, FIRST);
    b->peer.deaf = true;
    for (peer_says(&b->peer, YES); s->told[IBB_FAILED] == 0; tries++)
        peer_skip(&b->peer);
    assert_int_equal(tries, 120);
    failed_with(s, ERR_XMPP_DISCONNECTED);
}

static void lost_session_ends_streams_in_every_state(void **state)
{
    struct bench *b = *state;

    begin(b, 0, "s1", 4);
    peer_expects(&b->peer, OPEN("s1", "4"));
    b->peer.client->online = false;
    b->peer.deaf = true;
    iq_disconnected(b->peer.client->iq);
    failed_with(&b->streams[0], ERR_XMPP_DISCONNECTED);
    begin(b, 1, "s2", 4); /* finds it out by itself */
    failed_with(&b->streams[1], ERR_XMPP_DISCONNECTED);
    again(state);

    begin_sending(b);
    peer_expects(&b->peer, FIRST);
    b->peer.client->online = false;
    b->peer.deaf = true;
    iq_disconnected(b->peer.client->iq);
    failed_with(&b->streams[0], ERR_XMPP_DISCONNECTED);
}

static void ended_stream_closes_what_it_opened_and_is_silent(void **state)
{
    struct bench *b = *state;
    struct stream *s = begin_sending(b);

    peer_expects(&b->peer, FIRST);
    ibb_destroy(&s->ibb);
    assert_null(s->ibb);
    peer_says(&b->peer, YES);
    peer_expects(&b->peer, CLOSE("s1"));
    peer_says(&b->peer, YES);
    peer_expects_nothing(&b->peer);
    assert_int_equal(s->told[IBB_PROGRESS] + s->told[IBB_DONE] + s->told[IBB_FAILED], 0);
}

static void stream_may_be_ended_from_inside_its_event(void **state)
{
    struct bench *b = *state;
    struct stream *s = begin_sending(b);

    peer_expects(&b->peer, FIRST);
    s->ends_itself = true;
    peer_says(&b->peer, YES);
    assert_int_equal(s->told[IBB_PROGRESS], 1);
    peer_expects(&b->peer, CLOSE("s1"));
    peer_expects_nothing(&b->peer);
}

static void stream_id_of_a_peer_may_have_63_bytes(void **state)
{
    struct bench *b = *state;
    char sid[65];
    struct ibb_terms terms = {.to = &b->to, .sid = sid, .block = IBB_BLOCK, .answer_ms = 1000};
    struct error err;

    memset(sid, 'x', 64);
    sid[64] = '\0';
    assert_null(ibb_open(b->peer.client, &terms, on_event, &b->streams[0], &err));
    assert_int_equal(err.code, ERR_PEER_PROTOCOL_ERROR);
    sid[63] = '\0';
    begin(b, 0, sid, IBB_BLOCK);
    assert_non_null(strstr(peer_next(&b->peer), sid));
}

static void stream_ids_are_random_nmtokens(void **state)
{
    char one[IBB_SID], other[IBB_SID];

    (void)state;
    ibb_sid(one);
    ibb_sid(other);
    assert_int_equal(strlen(one), IBB_SID - 1);
    assert_int_equal(strspn(one, "abcdefghijklmnopqrstuvwxyz0123456789"), IBB_SID - 1);
    assert_string_not_equal(one, other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(blocks_follow_each_other_and_the_acknowledged_close_is_the_end),
        TEST(empty_file_is_an_open_and_a_close),
        TEST(full_last_block_is_followed_by_the_close),
        TEST(window_says_how_many_blocks_are_on_their_way),
        TEST(sequence_number_wraps),
        TEST(peer_short_of_resources_gets_half_the_block_down_to_512),
        TEST(smaller_blocks_are_what_is_sent_then),
        TEST(refusals_have_their_codes),
        TEST(open_that_nobody_answers_times_out_and_is_taken_back),
        TEST(refused_blocks_have_their_codes),
        TEST(peer_out_of_reach_gets_the_same_block_again_after_a_pause),
        TEST(peer_out_of_reach_for_half_a_minute_is_offline),
        TEST(block_sent_again_is_followed_by_all_that_came_after_it),
        TEST(block_that_is_not_acknowledged_stalls_the_stream),
        TEST(file_that_is_shorter_than_said_is_our_own_failure),
        TEST(peer_that_closed_already_does_not_know_the_stream_and_has_everything),
        TEST(close_that_nobody_answers_is_waited_for_a_while),
        TEST(close_after_nothing_has_to_be_acknowledged),
        TEST(peer_may_close_first),
        TEST(close_of_the_peer_after_the_last_block_is_the_end_too),
        TEST(nothing_is_taken_in_band),
        TEST(only_two_streams_are_on_their_way_at_once),
        TEST(who_waits_for_a_turn_says_so_every_minute),
        TEST(block_that_our_connection_has_no_room_for_is_held_back),
        TEST(connection_that_never_has_room_again_ends_the_stream),
        TEST(lost_session_ends_streams_in_every_state),
        TEST(ended_stream_closes_what_it_opened_and_is_silent),
        TEST(stream_may_be_ended_from_inside_its_event),
        TEST(stream_id_of_a_peer_may_have_63_bytes),
        TEST(stream_ids_are_random_nmtokens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
