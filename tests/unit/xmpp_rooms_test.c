/* xmpp/rooms.c against a scripted room: what is one, how we get in and out, and when something is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/fake/xmpp/peer.h"
#include "xmpp/ns.h"
#include "xmpp/rooms.h"
#include "xmpp/stanza.h"

#define ROOM       "coven@chat.shakespeare.lit"
#define SELF       ROOM "/initiator"
#define ENTER(as)  "<presence to='" as "'><x xmlns='" NS_MUC "'><history maxstanzas='0'/></x></presence>"
#define LEAVE      "<presence type='unavailable' to='" SELF "'/>"
#define SAYS(body) "<message type='groupchat' to='" ROOM "' id='*sid'><body>" body "</body></message>"
#define SHOWN(id, body)                                                                                                \
    "<message type='groupchat' from='" SELF "' to='" INITIATOR "' id='" id "'><body>" body "</body></message>"
#define ENTERED                                                                                                        \
    "<presence from='" SELF "' to='" INITIATOR "'><x xmlns='" NS_MUC_USER                                              \
    "'><item affiliation='none' role='participant'/><status code='110'/></x></presence>"
#define REFUSED(type, condition)                                                                                       \
    "<presence type='error' from='" SELF "' to='" INITIATOR "'><x xmlns='" NS_MUC "'/><error type='" type              \
    "'><" condition " xmlns='" NS_STANZAS "'/></error></presence>"

struct outcome {
    unsigned count;
    struct error error;
    bool is_room;
    /* What is said from inside the callback; NULL: nothing. */
    struct bench *again;
    const char *text;
};

struct bench {
    struct peer peer;
    struct jid room;
    struct outcome first, second;
    uint64_t tickets[2];
};

static int setup(void **state)
{
    static struct bench b;

    memset(&b, 0, sizeof b);
    peer_start(&b.peer, NULL);
    assert_true(jid_parse(&b.room, ROOM, strlen(ROOM), NULL));
    *state = &b;
    return 0;
}

static int teardown(void **state)
{
    peer_stop(&((struct bench *)*state)->peer);
    return 0;
}

static uint64_t say(struct bench *b, const char *text, struct outcome *o);

static void on_said(void *user, const struct error *err)
{
    struct outcome *o = user;

    o->count++;
    o->error = err ? *err : (struct error){0};
    if (o->again)
        say(o->again, o->text, &o->again->second);
}

static uint64_t say(struct bench *b, const char *text, struct outcome *o)
{
    xmpp_ctx_t *ctx = b->peer.client->ctx;
    xmpp_stanza_t *s = stanza_set(stanza_new(ctx, "message", NULL), "type", "chat");
    struct error err = {0};
    uint64_t ticket;

    s = stanza_add(s, stanza_add_text(ctx, stanza_new(ctx, "body", NULL), text));
    ticket = room_send(b->peer.client->rooms, s, &b->room, on_said, o, &err);
    xmpp_stanza_release(s);
    if (!ticket)
        o->error = err;
    return ticket;
}

/* On our way in, with "hello" to say. */
static void begin(struct bench *b)
{
    assert_int_not_equal(say(b, "hello", &b->first), 0);
    peer_expects(&b->peer, ENTER(SELF));
    peer_expects_nothing(&b->peer);
}

static void enter(struct bench *b)
{
    begin(b);
    peer_says(&b->peer, ENTERED);
    peer_expects(&b->peer, SAYS("hello"));
}

static void what_is_shown_to_us_is_said(void **state)
{
    struct bench *b = *state;

    begin(b);
    peer_says(&b->peer, "<presence from='" ROOM "/firstwitch'><x xmlns='" NS_MUC_USER "'/></presence>");
    assert_true(b->peer.ours);
    peer_expects_nothing(&b->peer);
    peer_says(&b->peer, ENTERED);
    assert_true(b->peer.ours);
    peer_expects(&b->peer, SAYS("hello"));
    assert_int_equal(b->first.count, 0);
    peer_says(&b->peer, SHOWN("$sid", "hello"));
    assert_int_equal(b->first.count, 1);
    assert_int_equal(b->first.error.code, ERR_NONE);
    peer_expects(&b->peer, LEAVE);
    peer_says(&b->peer, SHOWN("$sid", "hello"));
    assert_int_equal(b->first.count, 1);
}

static void what_others_say_is_not_what_we_said(void **state)
{
    static const char *const rows[] = {
        "<message type='groupchat' from='" ROOM "/firstwitch' id='$sid'><body>hello</body></message>",
        "<message type='groupchat' from='" ROOM "' id='$sid'><subject>hello</subject></message>",
        "<message type='groupchat' from='other@chat.shakespeare.lit/initiator' id='$sid'><body>hello</body></message>",
        "<message type='chat' from='" SELF "' id='$sid'><body>hello</body></message>",
        "<message from='" SELF "' id='$sid'><body>hello</body></message>",
        "<message type='groupchat' from='" SELF "' id='x'><body>another</body></message>",
        "<message type='groupchat' from='" SELF "'><body>hello</body><delay xmlns='" NS_DELAY "'/></message>",
        "<message type='error' from='" ROOM "' id='x'/>",
    };
    struct bench *b = *state;

    enter(b);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        peer_says(&b->peer, rows[i]);
        if (b->first.count > 0)
            fail_msg("%s", rows[i]);
    }
    peer_says(&b->peer, SHOWN("changed", "hello")); /* a room may give it an id of its own */
    assert_int_equal(b->first.count, 1);
}

static void others_presence_is_nobodys_of_a_room(void **state)
{
    struct bench *b = *state;

    begin(b);
    peer_says(&b->peer, "<presence from='romeo@example.net/orchard'/>");
    assert_false(b->peer.ours);
    peer_says(&b->peer, "<presence/>");
    assert_false(b->peer.ours);
}

static void a_refusal_says_what_would_help(void **state)
{
    static const struct {
        const char *says;
        enum error_code code;
        const char *help;
    } rows[] = {
        {REFUSED("auth", "registration-required"), ERR_RECIPIENT_FORBIDS, "member"},
        {REFUSED("auth", "forbidden"), ERR_RECIPIENT_FORBIDS, "banned"},
        {REFUSED("auth", "not-authorized"), ERR_RECIPIENT_FORBIDS, "password"},
        {REFUSED("cancel", "item-not-found"), ERR_LINK_FAILED, "does not exist"},
        {REFUSED("cancel", "not-allowed"), ERR_LINK_FAILED, "does not exist"},
        {REFUSED("cancel", "not-acceptable"), ERR_LINK_FAILED, "[xmpp] nick"},
        {REFUSED("wait", "service-unavailable"), ERR_RECIPIENT_BUSY, "full"},
        {REFUSED("cancel", "remote-server-not-found"), ERR_REMOTE_SERVER_UNREACHABLE, "cannot be reached"},
        {REFUSED("cancel", "undefined-condition"), ERR_LINK_FAILED, "undefined-condition"},
        {"<presence type='error' from='" SELF "'/>", ERR_LINK_FAILED, "no reason"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;

        begin(b);
        peer_says(&b->peer, rows[i].says);
        assert_int_equal(b->first.count, 1);
        if (b->first.error.code != rows[i].code || !strstr(b->first.error.text, rows[i].help))
            fail_msg("%s: %s, %s", rows[i].says, error_name(b->first.error.code), b->first.error.text);
        peer_expects_nothing(&b->peer); /* nobody who is outside leaves */
        teardown(state);
        setup(state);
    }
}

static void a_taken_nickname_is_changed_and_that_has_an_end(void **state)
{
    struct bench *b = *state;
    const char *text;

    b->peer.settings.nick = "postman";
    say(b, "hello", &b->first);
    peer_expects(&b->peer, ENTER(ROOM "/postman"));
    for (int i = 0; i < 3; i++) {
        peer_says(&b->peer, REFUSED("cancel", "conflict"));
        assert_int_equal(b->first.count, 0);
        text = peer_next(&b->peer);
        assert_non_null(text);
        assert_non_null(strstr(text, ROOM "/postman-"));
    }
    peer_says(&b->peer, REFUSED("cancel", "conflict"));
    assert_int_equal(b->first.error.code, ERR_LINK_FAILED);
    assert_non_null(strstr(b->first.error.text, "[xmpp] nick"));
    peer_expects_nothing(&b->peer);
}

/* Section 7.2.3: the room may decide what we are called. */
static void the_room_may_give_us_another_nickname(void **state)
{
    struct bench *b = *state;

    begin(b);
    peer_says(&b->peer, "<presence from='" ROOM "/guest1'><x xmlns='" NS_MUC_USER
                        "'><status code='210'/><status code='110'/></x></presence>");
    peer_expects(&b->peer, SAYS("hello"));
    peer_says(&b->peer, "<message type='groupchat' from='" ROOM "/guest1' id='$sid'><body>hello</body></message>");
    assert_int_equal(b->first.count, 1);
    peer_expects(&b->peer, "<presence type='unavailable' to='" ROOM "/guest1'/>");
}

static void a_room_that_was_not_there_is_not_made(void **state)
{
    struct bench *b = *state;

    begin(b);
    peer_says(&b->peer, "<presence from='" SELF "'><x xmlns='" NS_MUC_USER
                        "'><status code='201'/><status code='110'/></x></presence>");
    assert_int_equal(b->first.error.code, ERR_LINK_FAILED);
    peer_expects(&b->peer, LEAVE);
    peer_expects_nothing(&b->peer);
}

static void who_has_no_voice_is_told_so(void **state)
{
    struct bench *b = *state;

    enter(b);
    peer_says(&b->peer, "<message type='error' from='" ROOM
                        "' id='$sid'><error type='auth'><forbidden xmlns='" NS_STANZAS "'/></error></message>");
    assert_int_equal(b->first.error.code, ERR_RECIPIENT_FORBIDS);
    assert_non_null(strstr(b->first.error.text, "voice"));
    peer_expects(&b->peer, LEAVE);
}

static void a_message_that_comes_back_was_not_said(void **state)
{
    struct bench *b = *state;

    enter(b);
    peer_says(&b->peer, "<message type='error' from='" ROOM
                        "' id='$sid'><error type='cancel'><not-acceptable xmlns='" NS_STANZAS "'/></error></message>");
    assert_int_equal(b->first.error.code, ERR_LINK_FAILED);
    assert_non_null(strstr(b->first.error.text, "not-acceptable"));
    peer_expects(&b->peer, LEAVE);
}

static void who_is_put_out_hears_it(void **state)
{
    struct bench *b = *state;

    enter(b);
    peer_says(&b->peer, "<presence type='unavailable' from='" ROOM "/firstwitch'/>");
    assert_int_equal(b->first.count, 0);
    peer_says(&b->peer, "<presence type='unavailable' from='" SELF "'><x xmlns='" NS_MUC_USER
                        "'><status code='307'/><status code='110'/></x></presence>");
    assert_int_equal(b->first.error.code, ERR_RECIPIENT_FORBIDS);
    peer_expects_nothing(&b->peer);
}

/* The end of an earlier stay arrives while the next one begins. */
static void an_earlier_goodbye_is_not_the_end_of_the_next_stay(void **state)
{
    struct bench *b = *state;

    enter(b);
    peer_says(&b->peer, SHOWN("$sid", "hello"));
    peer_expects(&b->peer, LEAVE);
    begin(b);
    peer_says(&b->peer, "<presence type='unavailable' from='" SELF "'><x xmlns='" NS_MUC_USER
                        "'><status code='110'/></x></presence>");
    assert_int_equal(b->first.count, 1);
    peer_says(&b->peer, ENTERED);
    peer_expects(&b->peer, SAYS("hello"));
}

static void silence_ends(void **state)
{
    struct bench *b = *state;

    begin(b);
    assert_true(peer_skip(&b->peer) <= 30000);
    assert_int_equal(b->first.error.code, ERR_REMOTE_SERVER_TIMEOUT);
    peer_expects(&b->peer, LEAVE);
    enter(b);
    peer_skip(&b->peer);
    assert_int_equal(b->first.count, 2);
    assert_int_equal(b->first.error.code, ERR_REMOTE_SERVER_TIMEOUT);
    peer_expects(&b->peer, LEAVE);
    peer_expects_nothing(&b->peer);
}

static void several_share_a_stay_and_the_last_one_leaves(void **state)
{
    struct bench *b = *state;

    begin(b);
    assert_int_not_equal(say(b, "again", &b->second), 0);
    peer_expects_nothing(&b->peer);
    peer_says(&b->peer, ENTERED);
    peer_expects(&b->peer, SAYS("hello"));
    peer_expects(&b->peer, SAYS("again"));
    peer_says(&b->peer, SHOWN("$sid", "again"));
    assert_int_equal(b->first.count, 0);
    assert_int_equal(b->second.count, 1);
    peer_expects_nothing(&b->peer);
    peer_says(&b->peer, SHOWN("x", "hello"));
    assert_int_equal(b->first.count, 1);
    peer_expects(&b->peer, LEAVE);
}

static void who_speaks_on_stays(void **state)
{
    struct bench *b = *state;

    b->first.again = b;
    b->first.text = "and a link";
    enter(b);
    peer_says(&b->peer, SHOWN("$sid", "hello"));
    peer_expects(&b->peer, SAYS("and a link"));
    peer_expects_nothing(&b->peer);
    peer_says(&b->peer, SHOWN("$sid", "and a link"));
    assert_int_equal(b->second.count, 1);
    peer_expects(&b->peer, LEAVE);
}

static void who_was_refused_may_try_again_at_once(void **state)
{
    struct bench *b = *state;

    b->first.again = b;
    b->first.text = "hello";
    begin(b);
    peer_says(&b->peer, REFUSED("wait", "service-unavailable"));
    peer_expects(&b->peer, ENTER(SELF));
    peer_says(&b->peer, ENTERED);
    peer_expects(&b->peer, SAYS("hello"));
    assert_int_equal(b->second.count, 0);
}

static void what_is_forgotten_is_not_answered(void **state)
{
    for (int step = 0; step < 2; step++) {
        struct bench *b = *state;
        uint64_t ticket = say(b, "hello", &b->first);

        peer_expects(&b->peer, ENTER(SELF));
        if (step > 0) {
            peer_says(&b->peer, ENTERED);
            peer_expects(&b->peer, SAYS("hello"));
        }
        room_send_forget(b->peer.client->rooms, ticket);
        room_send_forget(b->peer.client->rooms, ticket);
        peer_expects(&b->peer, LEAVE);
        peer_says(&b->peer, SHOWN("$sid", "hello"));
        assert_int_equal(b->first.count, 0);
        teardown(state);
        setup(state);
    }
}

static void without_a_session_nobody_enters(void **state)
{
    struct bench *b = *state;

    b->peer.deaf = true;
    assert_int_equal(say(b, "hello", &b->first), 0);
    assert_int_equal(b->first.error.code, ERR_XMPP_DISCONNECTED);
    b->peer.deaf = false;
    begin(b);
    say(b, "again", &b->second);
    rooms_offline(b->peer.client->rooms);
    assert_int_equal(b->first.error.code, ERR_XMPP_DISCONNECTED);
    assert_int_equal(b->second.error.code, ERR_XMPP_DISCONNECTED);
    peer_expects_nothing(&b->peer);
}

/* ---- is it a room */

static void on_asked(void *user, bool is_room, const struct error *err)
{
    struct outcome *o = user;

    o->count++;
    o->is_room = is_room;
    o->error = err ? *err : (struct error){0};
}

#define ASKED "<iq type='get' id='*id' to='" ROOM "'><query xmlns='" NS_DISCO_INFO "'/></iq>"
#define ANSWER(inside)                                                                                                 \
    "<iq type='result' id='$id' from='" ROOM "'><query xmlns='" NS_DISCO_INFO "'>" inside "</query></iq>"

static uint64_t ask(struct bench *b)
{
    uint64_t ticket = room_ask(b->peer.client->rooms, &b->room, on_asked, &b->first, NULL);

    assert_int_not_equal(ticket, 0);
    peer_expects(&b->peer, ASKED);
    return ticket;
}

static void a_room_says_so_twice(void **state)
{
    static const struct {
        const char *answer;
        bool is_room;
    } rows[] = {
        {ANSWER("<identity category='conference' type='text'/><feature var='x'/><feature var='" NS_MUC "'/>"), true},
        {ANSWER("<identity category='x'/><identity category='conference'/><feature var='" NS_MUC "'/>"), true},
        {ANSWER("<identity category='account' type='registered'/><feature var='" NS_MUC "'/>"), false},
        {ANSWER("<identity category='conference' type='text'/>"), false},
        {ANSWER(""), false},
        {"<iq type='result' id='$id' from='" ROOM "'/>", false},
    };
    struct bench *b = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ask(b);
        peer_says(&b->peer, rows[i].answer);
        assert_int_equal(b->first.count, i + 1);
        assert_int_equal(b->first.error.code, ERR_NONE);
        if (b->first.is_room != rows[i].is_room)
            fail_msg("%s", rows[i].answer);
    }
}

/* Only where rooms are, there could be one. */
static void a_room_that_is_not_there_is_told_from_somebody_hidden(void **state)
{
    static const struct {
        const char *service; /* NULL: an error */
        enum error_code code;
    } rows[] = {
        {"<identity category='conference' type='text'/><feature var='" NS_MUC "'/>", ERR_LINK_FAILED},
        {"<identity category='server' type='im'/>", ERR_NONE},
        {NULL, ERR_NONE},
    };
    struct bench *b = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char xml[512];

        ask(b);
        peer_refuses(&b->peer, ROOM, "cancel", "item-not-found", "");
        assert_int_equal(b->first.count, i);
        peer_expects(&b->peer,
                     "<iq type='get' id='*id' to='chat.shakespeare.lit'><query xmlns='" NS_DISCO_INFO "'/></iq>");
        snprintf(xml, sizeof xml,
                 "<iq type='result' id='$id' from='chat.shakespeare.lit'><query xmlns='" NS_DISCO_INFO
                 "'>%s</query></iq>",
                 rows[i].service ? rows[i].service : "");
        if (rows[i].service)
            peer_says(&b->peer, xml);
        else
            peer_refuses(&b->peer, "chat.shakespeare.lit", "cancel", "item-not-found", "");
        assert_int_equal(b->first.count, i + 1);
        assert_false(b->first.is_room);
        assert_int_equal(b->first.error.code, rows[i].code);
    }
}

static void what_answers_with_an_error_is_none_and_silence_says_nothing(void **state)
{
    static const struct {
        const char *condition;
        enum error_code code;
    } rows[] = {
        {"service-unavailable", ERR_NONE},
        {"forbidden", ERR_NONE},
        {"remote-server-not-found", ERR_REMOTE_SERVER_UNREACHABLE},
        {"remote-server-timeout", ERR_REMOTE_SERVER_TIMEOUT},
    };
    struct bench *b = *state;
    uint64_t ticket;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ask(b);
        peer_refuses(&b->peer, ROOM, "cancel", rows[i].condition, "");
        assert_false(b->first.is_room);
        assert_int_equal(b->first.error.code, rows[i].code);
    }
    ask(b);
    peer_skip(&b->peer);
    assert_int_equal(b->first.error.code, ERR_RECIPIENT_TIMEOUT);
    ask(b);
    iq_disconnected(b->peer.client->iq);
    assert_int_equal(b->first.error.code, ERR_XMPP_DISCONNECTED);
    b->first.count = 0;
    ticket = ask(b);
    room_ask_forget(b->peer.client->rooms, ticket);
    room_ask_forget(b->peer.client->rooms, ticket);
    peer_says(&b->peer, ANSWER(""));
    assert_int_equal(b->first.count, 0);
    ask(b); /* and dropped with the rest */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_shown_to_us_is_said),
        TEST(what_others_say_is_not_what_we_said),
        TEST(others_presence_is_nobodys_of_a_room),
        TEST(a_refusal_says_what_would_help),
        TEST(a_taken_nickname_is_changed_and_that_has_an_end),
        TEST(the_room_may_give_us_another_nickname),
        TEST(a_room_that_was_not_there_is_not_made),
        TEST(who_has_no_voice_is_told_so),
        TEST(a_message_that_comes_back_was_not_said),
        TEST(who_is_put_out_hears_it),
        TEST(an_earlier_goodbye_is_not_the_end_of_the_next_stay),
        TEST(silence_ends),
        TEST(several_share_a_stay_and_the_last_one_leaves),
        TEST(who_speaks_on_stays),
        TEST(who_was_refused_may_try_again_at_once),
        TEST(what_is_forgotten_is_not_answered),
        TEST(without_a_session_nobody_enters),
        TEST(a_room_says_so_twice),
        TEST(a_room_that_is_not_there_is_told_from_somebody_hidden),
        TEST(what_answers_with_an_error_is_none_and_silence_says_nothing),
    };

    return cmocka_run_group_tests_name("xmpp/rooms", tests, NULL, NULL);
}
