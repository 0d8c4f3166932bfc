/* xmpp/target_s5b.c: XEP-0065 as the side that connects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "tests/fake/carrier.h"
#include "tests/fake/inbox.h"
#include "tests/fake/xmpp/peer.h"
#include "xmpp/ns.h"
#include "xmpp/rooms.h"
#include "xmpp/s5b_name.h"
#include "xmpp/stanza.h"
#include "xmpp/target.h"

#define SID         "vxf9n471bn46"
#define NAME        "18f26cae66d4afa56faea7a0d0b051026c15ae7f" /* of the seed's id, the other way round */
#define SET(from)   "<iq type='set' id='q1' from='" from "' to='" INITIATOR "'>"
#define QUERY(sid)  "<query xmlns='" NS_BYTESTREAMS "' sid='" sid "'>"
#define END         "</query></iq>"
#define OWN         "<streamhost jid='" TARGET "' host='203.0.113.7' port='5086'/>"
#define PROXY       "<streamhost jid='Proxy.example.org/n1' host='proxy.example.org' port='7777'/>"
#define SETS(hosts) SET(TARGET) QUERY(SID) hosts END
#define USED(jid)                                                                                                      \
    "<iq type='result' id='q1' to='" TARGET "'>" QUERY(SID) "<streamhost-used jid='" jid "'/></query></iq>"
#define ERROR(attributes, condition, more)                                                                             \
    "<iq type='error' id='q1' to='" TARGET "'><error " attributes "><" condition " xmlns='" NS_STANZAS "'/>" more      \
    "</error></iq>"
#define BAD            ERROR("type='modify' code='400'", "bad-request", "")
#define NOT_ACCEPTABLE ERROR("type='modify' code='406'", "not-acceptable", "")
#define IN_USE                                                                                                         \
    ERROR("type='modify' code='406'", "not-acceptable",                                                                \
          "<text xmlns='" NS_STANZAS "'>There is a bytestream under that id already</text>")
#define NOT_FOUND ERROR("type='cancel' code='404'", "item-not-found", "")

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

/* An SI of the peer's under that id, with in-band beside the bytestream or not, was said yes to. */
static void announce_size(struct bench *b, const char *from, const char *sid, bool ibb, unsigned size)
{
    struct buf xml = {0};

    buf_printf(&xml, "<iq type='set' id='q0' from='%s' to='" INITIATOR "'><si xmlns='" NS_SI "' id='%s' profile='%s'>",
               from, sid, NS_SI_FILE);
    buf_printf(&xml, "<file xmlns='%s' name='a.txt' size='%u'/><feature xmlns='%s'><x xmlns='%s' type='form'>",
               NS_SI_FILE, size, NS_FEATURE_NEG, NS_DATA_FORM);
    buf_printf(&xml, "<field var='stream-method'><option><value>%s</value></option>", NS_BYTESTREAMS);
    if (ibb)
        buf_printf(&xml, "<option><value>%s</value></option>", NS_IBB);
    buf_puts(&xml, "</field></x></feature></si></iq>");
    peer_says(&b->peer, xml.data);
    buf_free(&xml);
    assert_non_null(strstr(peer_next(&b->peer), "type=\"result\""));
}

static void announce(struct bench *b, const char *from, const char *sid, bool ibb)
{
    announce_size(b, from, sid, ibb, 6);
}

static struct carrier_stream *dialled(struct bench *b, const char *host, unsigned port)
{
    struct carrier_stream *s = fake_carrier_stream(&b->carrier);

    assert_non_null(s);
    assert_int_equal(s->job, FAKE_DIALING);
    assert_string_equal(s->to.host, host);
    assert_int_equal(s->to.port, port);
    return s;
}

/* ---- what a bytestream must be */

/* Checklist rows 47 and 48. */
static void offer_that_is_none_is_refused_without_a_connection(void **state)
{
    static const struct {
        const char *says, *set, *answer;
    } rows[] = {
        {"no id", SET(TARGET) "<query xmlns='" NS_BYTESTREAMS "'>" OWN END, BAD},
        {"an empty id", SET(TARGET) QUERY("") OWN END, BAD},
        {"no streamhost", SETS(""), BAD},
        {"a streamhost without a JID", SETS("<streamhost host='203.0.113.7' port='5086'/>"), BAD},
        {"a streamhost with a bad JID", SETS("<streamhost jid='@@' host='203.0.113.7' port='5086'/>"), BAD},
        {"another element", SET(TARGET) "<activate xmlns='" NS_BYTESTREAMS "' sid='" SID "'/></iq>", BAD},
        {"by UDP", SET(TARGET) "<query xmlns='" NS_BYTESTREAMS "' sid='" SID "' mode='udp'>" OWN END, NOT_ACCEPTABLE},
    };
    struct bench *b = *state;

    announce(b, TARGET, SID, false);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        print_message("%s\n", rows[i].says);
        peer_says(&b->peer, rows[i].set);
        peer_expects(&b->peer, rows[i].answer);
        assert_int_equal(b->carrier.opened, 0);
    }
    peer_says(&b->peer, SETS(OWN)); /* the announced one is as good as before */
    dialled(b, "203.0.113.7", 5086);
}

static void offer_has_twenty_streamhosts_at_most(void **state)
{
    static const struct {
        unsigned hosts;
        const char *answer; /* NULL: none yet */
    } rows[] = {{20, NULL}, {21, BAD}, {100, BAD}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;
        struct buf xml = {0};

        announce(b, TARGET, SID, false);
        buf_puts(&xml, SET(TARGET) QUERY(SID));
        for (unsigned k = 0; k < rows[i].hosts; k++)
            buf_puts(&xml, OWN);
        buf_puts(&xml, END);
        peer_says(&b->peer, xml.data);
        buf_free(&xml);
        if (rows[i].answer)
            peer_expects(&b->peer, rows[i].answer);
        else
            dialled(b, "203.0.113.7", 5086);
        teardown(state);
        setup(state);
    }
}

static void id_has_1024_bytes_at_most(void **state)
{
    struct bench *b = *state;
    char sid[1026], xml[2048];

    memset(sid, 'a', sizeof sid);
    sid[1025] = '\0';
    snprintf(xml, sizeof xml, SET(TARGET) "<query xmlns='" NS_BYTESTREAMS "' sid='%s'>" OWN END, sid);
    peer_says(&b->peer, xml);
    peer_expects(&b->peer, BAD);
    snprintf(xml, sizeof xml, SET(TARGET) "<query xmlns='" NS_BYTESTREAMS "' sid='%s'>" OWN END, sid + 1);
    peer_says(&b->peer, xml);
    dialled(b, "203.0.113.7", 5086); /* by a rule for bare ones */
}

/* Checklist row 49. */
static void bytestream_that_nothing_announced_is_for_the_rules(void **state)
{
    struct bench *b = *state;

    b->inbox.refuses = ERR_METHOD_UNSUPPORTED;
    peer_says(&b->peer, SETS(OWN));
    peer_expects(&b->peer, NOT_ACCEPTABLE);
    b->inbox.closed = true;
    peer_says(&b->peer, SETS(OWN));
    peer_expects(&b->peer, NOT_ACCEPTABLE);
    b->peer.client->receiver = NULL;
    peer_says(&b->peer, SETS(OWN));
    peer_expects(&b->peer, NOT_ACCEPTABLE);
    assert_int_equal(b->carrier.opened, 0);
    b->peer.client->receiver = &b->inbox.receiver;
    b->inbox.closed = false;
    b->inbox.refuses = ERR_NONE;
    b->inbox.most = 1000;
    peer_says(&b->peer, SETS(OWN));
    assert_string_equal(b->inbox.method, "s5b");
    assert_string_equal(b->inbox.name, "");
    assert_int_equal(b->inbox.size, -1);
    fake_carrier_says(&b->carrier, CARRIER_DIALED, 0);
    peer_expects(&b->peer, USED(TARGET));
    assert_int_equal(fake_carrier_stream(&b->carrier)->length, 1000);
    fake_carrier_says(&b->carrier, CARRIER_DONE, 700); /* its end is the file's */
    assert_int_equal(b->inbox.moved, 700);
    fake_inbox_answer(&b->inbox);
    assert_int_equal(b->inbox.why, ERR_NONE);
}

/* Checklist row 50. */
static void running_stream_is_not_touched_by_another_of_its_id(void **state)
{
    struct bench *b = *state;

    announce(b, TARGET, SID, false);
    peer_says(&b->peer, SETS(OWN));
    peer_says(&b->peer, SETS(OWN)); /* while it is being reached */
    peer_expects(&b->peer, IN_USE);
    fake_carrier_says(&b->carrier, CARRIER_DIALED, 0);
    peer_expects(&b->peer, USED(TARGET));
    peer_says(&b->peer, SETS(PROXY)); /* while it flows */
    peer_expects(&b->peer, IN_USE);
    b->inbox.refuses = ERR_METHOD_UNSUPPORTED;
    peer_says(&b->peer, SET(TARGET "2") QUERY(SID) OWN END); /* from another device */
    assert_non_null(strstr(peer_next(&b->peer), "not-acceptable"));
    assert_int_equal(b->carrier.opened, 1);
    assert_int_equal(fake_carrier_stream(&b->carrier)->job, FAKE_RECEIVING);
}

/* Checklist row 124. */
static void two_peers_may_use_the_same_id(void **state)
{
    struct bench *b = *state;

    b->inbox.crowd = true;
    announce(b, TARGET, SID, false);
    announce(b, "other@example.net/x", SID, false);
    peer_says(&b->peer, SETS(OWN));
    peer_says(&b->peer, SET("other@example.net/x")
                            QUERY(SID) "<streamhost jid='other@example.net/x' host='203.0.113.8' port='5086'/>" END);
    fake_stream_says(fake_carrier_find(&b->carrier, "203.0.113.8"), CARRIER_DIALED, 0);
    assert_non_null(strstr(peer_next(&b->peer), "other@example.net/x"));
    fake_stream_says(fake_carrier_find(&b->carrier, "203.0.113.7"), CARRIER_DIALED, 0);
    peer_expects(&b->peer, USED(TARGET));
    assert_string_not_equal(b->carrier.streams[0].names[0], b->carrier.streams[1].names[0]);
}

/* ---- reaching one */

static void first_streamhost_that_answers_is_used(void **state)
{
    struct bench *b = *state;

    announce(b, TARGET, SID, false);
    peer_says(&b->peer, SETS(OWN PROXY));
    assert_string_equal(dialled(b, "203.0.113.7", 5086)->names[0], NAME);
    assert_false(fake_carrier_stream(&b->carrier)->trusted);
    assert_int_equal(b->inbox.begun, 0);
    fake_carrier_says(&b->carrier, CARRIER_DIALED, 0);
    peer_expects(&b->peer, USED(TARGET));
    assert_string_equal(b->inbox.path, "direct");
    assert_int_equal(fake_carrier_stream(&b->carrier)->job, FAKE_RECEIVING);
    assert_int_equal(fake_carrier_stream(&b->carrier)->length, 6);
    fake_carrier_says(&b->carrier, CARRIER_PROGRESS, 3);
    assert_int_equal(b->inbox.moved, 3);
    fake_carrier_says(&b->carrier, CARRIER_DONE, 6);
    assert_int_equal(b->inbox.completed, 1);
    assert_non_null(fake_carrier_stream(&b->carrier)); /* the sender sees the end only when it is good */
    fake_inbox_answer(&b->inbox);
    assert_int_equal(b->inbox.ended, 1);
    assert_int_equal(b->inbox.why, ERR_NONE);
}

/* A component has many addresses; each is a party of its own, in the answer and in the stream's name. */
static void address_that_was_offered_to_answers(void **state)
{
    static const char local[] = "reports@files.example.net/in";
    struct bench *b = *state;
    char name[S5B_NAME];

    b->peer.client->component = true;
    iq_be_component(b->peer.client->iq);
    b->inbox.crowd = true;
    assert_true(s5b_name(SID, TARGET, local, name));
    peer_says(&b->peer,
              "<iq type='set' id='q1' from='" TARGET "' to='reports@files.example.net/in'>" QUERY(SID) OWN END);
    assert_string_equal(b->inbox.to, local);
    assert_string_equal(dialled(b, "203.0.113.7", 5086)->names[0], name);
    peer_says(&b->peer, "<iq type='set' id='q1' from='" TARGET "' to='other@files.example.net/in'><open xmlns='" NS_IBB
                        "' sid='" SID "' block-size='4096'/></iq>"); /* another stream, by any rule */
    assert_non_null(strstr(peer_next(&b->peer), "from=\"other@files.example.net/in\""));
    fake_carrier_says(&b->carrier, CARRIER_DIALED, 0);
    assert_non_null(strstr(peer_next(&b->peer), "from=\"reports@files.example.net/in\""));
}

/* Checklist row 52. */
static void streamhosts_are_asked_in_their_order(void **state)
{
    struct bench *b = *state;

    announce(b, TARGET, SID, false);
    peer_says(&b->peer, SETS(OWN "<streamhost jid='refusing.example.org' host='203.0.113.9' port='1080'/>" PROXY));
    dialled(b, "203.0.113.7", 5086);
    assert_in_range(peer_skip(&b->peer), 5900, 6000); /* nobody answers there */
    dialled(b, "203.0.113.9", 1080);
    fake_carrier_fails(&b->carrier, ERR_STREAMHOSTS_UNREACHABLE, "refused", 0);
    assert_string_equal(dialled(b, "proxy.example.org", 7777)->names[0], NAME);
    fake_carrier_says(&b->carrier, CARRIER_DIALED, 0);
    peer_expects(&b->peer, USED("Proxy.example.org/n1")); /* as it was written */
    assert_string_equal(b->inbox.path, "proxy");
    assert_string_equal(b->inbox.streamhost, "Proxy.example.org/n1");
}

/* A machine with many private addresses names them all before its proxy. */
static void eight_streamhosts_are_connected_to_and_no_more(void **state)
{
    static const struct {
        enum error_code code;
        unsigned hosts, asked;
    } rows[] = {{ERR_STREAMHOSTS_UNREACHABLE, 12, 8}, {ERR_EGRESS_BLOCKED, 12, 12}};

    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        struct bench *b = *state;
        struct buf xml = {0};

        announce(b, TARGET, SID, false);
        buf_puts(&xml, SET(TARGET) QUERY(SID));
        for (unsigned i = 0; i < rows[k].hosts; i++)
            buf_printf(&xml, "<streamhost jid='" TARGET "' host='203.0.113.%u' port='5086'/>", i);
        buf_puts(&xml, END);
        peer_says(&b->peer, xml.data);
        buf_free(&xml);
        for (unsigned i = 0; i < rows[k].asked; i++)
            fake_carrier_fails(&b->carrier, rows[k].code, "no", 0);
        assert_int_equal(b->carrier.opened, rows[k].asked);
        assert_null(fake_carrier_stream(&b->carrier));
        teardown(state);
        setup(state);
    }
}

static void what_no_streamhost_can_be_is_passed_over(void **state)
{
    static const char *const hosts[] = {
        "<streamhost jid='" TARGET "' port='5086'/>",
        "<streamhost jid='" TARGET "' host='' port='5086'/>",
        "<streamhost jid='" TARGET "' host='203.0.113.1' port='0'/>",
        "<streamhost jid='" TARGET "' host='203.0.113.1' port='99999'/>",
        "<streamhost jid='" TARGET "' host='203.0.113.1' port='-1'/>",
        "<streamhost jid='" TARGET "' host='203.0.113.1' port=''/>",
        "<fast xmlns='http://affinix.com/jabber/stream'/>", /* checklist row 51 */
    };

    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        struct bench *b = *state;
        struct buf xml = {0};

        print_message("%s\n", hosts[i]);
        announce(b, TARGET, SID, false);
        buf_printf(&xml, SET(TARGET) QUERY(SID) "%s" OWN END, hosts[i]);
        peer_says(&b->peer, xml.data);
        buf_free(&xml);
        dialled(b, "203.0.113.7", 5086);
        teardown(state);
        setup(state);
    }
}

static void port_that_is_not_told_is_1080(void **state)
{
    struct bench *b = *state;

    announce(b, TARGET, SID, false);
    peer_says(&b->peer, SETS("<streamhost jid='" TARGET "' host='203.0.113.7'/>"));
    dialled(b, "203.0.113.7", 1080);
}

static void proxy_of_our_own_server_is_trusted(void **state)
{
    struct bench *b = *state;

    teardown(state);
    memset(b, 0, sizeof *b);
    peer_start(&b->peer, peer_proxy);
    fake_carrier_init(&b->carrier);
    fake_inbox_init(&b->inbox, &b->carrier.carrier);
    b->peer.client->receiver = &b->inbox.receiver;
    peer_gives_proxy(&b->peer, "<streamhost jid='streamer.example.com' host='10.0.0.7' port='7625'/>");
    announce(b, TARGET, SID, false);
    peer_says(&b->peer, SETS("<streamhost jid='x.example' host='10.0.0.7' port='7626'/>"
                             "<streamhost jid='streamer.example.com' host='10.0.0.7' port='7625'/>"));
    assert_false(dialled(b, "10.0.0.7", 7626)->trusted);
    fake_carrier_fails(&b->carrier, ERR_EGRESS_BLOCKED, "no", 0);
    assert_true(dialled(b, "10.0.0.7", 7625)->trusted);
}

/* Checklist rows 61 and 62. */
static void name_is_computed_whatever_the_sender_says(void **state)
{
    static const struct {
        const char *says, *dstaddr, *name;
    } rows[] = {
        {"no name at all", "x", NAME},
        {"of a foreign stream", "3457684be69fb9990232e6a8b1f55e80c3262c1c", NAME},
        {"in capitals", "18F26CAE66D4AFA56FAEA7A0D0B051026C15AE7F", NAME},
        {"the right one", NAME, NAME},
        {"the other order of the two", "3457684be69fb9990232e6a8b1f55e80c3262c1b",
         "3457684be69fb9990232e6a8b1f55e80c3262c1b"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;
        struct buf xml = {0};

        print_message("%s\n", rows[i].says);
        announce(b, TARGET, SID, false);
        buf_printf(&xml, SET(TARGET) "<query xmlns='" NS_BYTESTREAMS "' sid='" SID "' dstaddr='%s'>" OWN END,
                   rows[i].dstaddr);
        peer_says(&b->peer, xml.data);
        buf_free(&xml);
        assert_string_equal(dialled(b, "203.0.113.7", 5086)->names[0], rows[i].name);
        teardown(state);
        setup(state);
    }
}

#define ROOM "coven@chat.example.org"

static void said(void *user, const struct error *err)
{
    (void)user;
    (void)err;
}

/* Checklist row 61: the sender is known to us only as he is called in a room we are in, and so are we to him; the name
 * of the stream has what he knows of both. */
static void name_that_somebody_in_our_room_says_is_used(void **state)
{
    static const char name[] = "416781edf1ae50bad01cb8509ba35b43952bc345";
    struct bench *b = *state;
    xmpp_ctx_t *ctx = b->peer.client->ctx;
    xmpp_stanza_t *hello = stanza_new(ctx, "message", NULL);
    struct jid room;

    assert_true(jid_parse(&room, ROOM, strlen(ROOM), NULL));
    assert_int_not_equal(room_send(b->peer.client->rooms, hello, &room, said, NULL, NULL), 0);
    xmpp_stanza_release(hello);
    for (unsigned inside = 0; inside < 2; inside++) {
        if (inside)
            peer_says(&b->peer, "<presence from='" ROOM "/initiator' to='" INITIATOR "'><x xmlns='" NS_MUC_USER
                                "'><item affiliation='none' role='participant'/><status code='110'/></x></presence>");
        while (peer_next(&b->peer))
            continue;
        announce(b, ROOM "/witch", SID, false);
        peer_says(&b->peer, SET(ROOM "/witch") "<query xmlns='" NS_BYTESTREAMS "' sid='" SID
                                               "' dstaddr='416781edf1ae50bad01cb8509ba35b43952bc345'>" OWN END);
        assert_int_equal(strcmp(dialled(b, "203.0.113.7", 5086)->names[0], name) == 0, inside);
        fake_inbox_revoke(&b->inbox, ERR_CANCELLED);
        assert_non_null(peer_next(&b->peer));
    }
}

/* QXmpp hashes Latin-1. */
static void host_is_asked_by_both_names_where_something_is_not_ascii(void **state)
{
    static const char jid[] = "j\xc3\xbcrgen@example.org/x";
    struct bench *b = *state;
    char names[CARRIER_NAMES][S5B_NAME];
    struct buf xml = {0};

    assert_int_equal(s5b_names("s1", jid, INITIATOR, names), 4);
    announce(b, jid, "s1", false);
    buf_printf(&xml, "<iq type='set' id='q1' from='%s' to='" INITIATOR "'>" QUERY("s1") OWN PROXY END, jid);
    peer_says(&b->peer, xml.data);
    buf_free(&xml);
    assert_string_equal(dialled(b, "203.0.113.7", 5086)->names[0], names[0]);
    fake_carrier_fails(&b->carrier, ERR_STREAMHOSTS_UNREACHABLE, "refused", 0);
    assert_string_equal(dialled(b, "203.0.113.7", 5086)->names[0], names[2]);
    fake_carrier_fails(&b->carrier, ERR_STREAMHOSTS_UNREACHABLE, "refused", 0);
    assert_string_equal(dialled(b, "proxy.example.org", 7777)->names[0], names[0]);
    fake_carrier_fails(&b->carrier, ERR_EGRESS_BLOCKED, "no", 0); /* nothing was asked there, nor is again */
    assert_null(fake_carrier_stream(&b->carrier));
}

/* ---- reaching none */

/* Checklist rows 53 to 56: why it was not reached shows nowhere, and not in the time it took. */
static void failure_is_told_at_a_fixed_time_without_a_reason(void **state)
{
    static const struct {
        const char *says;
        enum error_code code;
        bool at_once; /* by dial() itself, as for a host that is written oddly */
    } rows[] = {
        {"blocked", ERR_EGRESS_BLOCKED, false},
        {"refused", ERR_STREAMHOSTS_UNREACHABLE, false},
        {"odd", ERR_SYSTEM, true},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;

        print_message("%s\n", rows[i].says);
        announce(b, TARGET, SID, false);
        b->carrier.refuses = rows[i].at_once;
        peer_says(&b->peer, SETS(OWN));
        if (!rows[i].at_once)
            fake_carrier_fails(&b->carrier, rows[i].code, "no", 0);
        peer_turn(&b->peer);
        peer_expects_nothing(&b->peer);
        assert_in_range(peer_skip(&b->peer), 900, 1000);
        peer_expects(&b->peer, NOT_FOUND);
        assert_int_equal(b->inbox.ended, 1);
        assert_int_equal(b->inbox.why, ERR_STREAMHOSTS_UNREACHABLE);
        teardown(state);
        setup(state);
    }
}

static void sender_may_go_on_in_band_where_he_offered_that(void **state)
{
    struct bench *b = *state;

    announce(b, TARGET, SID, true);
    peer_says(&b->peer, SETS(OWN));
    peer_says(&b->peer, SET(TARGET) "<open xmlns='" NS_IBB "' sid='" SID "' block-size='4096'/></iq>"); /* too soon */
    peer_expects(&b->peer, ERROR("type='cancel'", "not-acceptable", ""));
    fake_carrier_fails(&b->carrier, ERR_STREAMHOSTS_UNREACHABLE, "refused", 0);
    peer_skip(&b->peer);
    peer_expects(&b->peer, NOT_FOUND);
    peer_says(&b->peer, SETS(PROXY)); /* there was one try */
    peer_expects(&b->peer, NOT_ACCEPTABLE);
    peer_says(&b->peer, SET(TARGET) "<open xmlns='" NS_IBB "' sid='" SID "' block-size='4096'/></iq>");
    assert_non_null(strstr(peer_next(&b->peer), "result"));
    peer_says(&b->peer, SET(TARGET) "<data xmlns='" NS_IBB "' sid='" SID "' seq='0'>YWJjZGVm</data></iq>");
    assert_non_null(strstr(peer_next(&b->peer), "result"));
    peer_says(&b->peer, SET(TARGET) "<close xmlns='" NS_IBB "' sid='" SID "'/></iq>");
    assert_non_null(strstr(peer_next(&b->peer), "result"));
    assert_int_equal(b->inbox.moved, 6);
    assert_string_equal(b->inbox.path, "inband");
    fake_inbox_answer(&b->inbox);
    assert_int_equal(b->inbox.why, ERR_NONE);
}

static void sender_has_thirty_seconds_to_go_on_in_band(void **state)
{
    struct bench *b = *state;

    announce(b, TARGET, SID, true);
    peer_says(&b->peer, SETS(OWN));
    fake_carrier_fails(&b->carrier, ERR_STREAMHOSTS_UNREACHABLE, "refused", 0);
    peer_skip(&b->peer);
    peer_expects(&b->peer, NOT_FOUND);
    assert_in_range(peer_skip(&b->peer), 29 * 1000, 30 * 1000);
    assert_int_equal(b->inbox.ended, 1);
}

static void so_many_connections_are_made_at_once(void **state)
{
    struct bench *b = *state;
    char sid[16];

    b->inbox.crowd = true;
    for (unsigned i = 0; i < 33; i++) {
        char from[64], xml[512];

        snprintf(sid, sizeof sid, "s%u", i);
        snprintf(from, sizeof from, "u%u@example.org/x", i);
        announce(b, from, sid, false);
        snprintf(xml, sizeof xml,
                 "<iq type='set' id='q1' from='%s' to='" INITIATOR "'><query xmlns='" NS_BYTESTREAMS
                 "' sid='%s'><streamhost jid='%s' host='203.0.113.%u' port='5086'/>" END,
                 from, sid, from, i);
        peer_says(&b->peer, xml);
    }
    assert_int_equal(b->carrier.opened, 32);
    assert_null(fake_carrier_find(&b->carrier, "203.0.113.32"));
    fake_stream_fails(fake_carrier_find(&b->carrier, "203.0.113.5"), ERR_STREAMHOSTS_UNREACHABLE, "refused", 0);
    assert_non_null(fake_carrier_find(&b->carrier, "203.0.113.32"));
}

/* ---- the stream */

/* Checklist rows 57 and 58. */
static void what_came_is_for_the_receiver_to_judge(void **state)
{
    static const struct {
        const char *says;
        uint64_t moved;
        bool extra;
    } rows[] = {{"less", 4, false}, {"more", 6, true}, {"nothing", 0, false}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;
        struct carrier_stream *s;

        print_message("%s\n", rows[i].says);
        announce(b, TARGET, SID, false);
        peer_says(&b->peer, SETS(OWN));
        fake_carrier_says(&b->carrier, CARRIER_DIALED, 0);
        peer_expects(&b->peer, USED(TARGET));
        s = fake_carrier_stream(&b->carrier);
        s->on_event(s->user,
                    &(struct carrier_event){.kind = CARRIER_DONE, .moved = rows[i].moved, .extra = rows[i].extra});
        assert_int_equal(b->inbox.moved, rows[i].moved);
        assert_int_equal(b->inbox.extra, rows[i].extra);
        b->inbox.verdict = ERR_TRUNCATED;
        fake_inbox_answer(&b->inbox);
        assert_int_equal(b->inbox.why, ERR_TRUNCATED);
        teardown(state);
        setup(state);
    }
}

/* Checklist row 44. Who is done at once would be gone before the sender has come to the proxy; and libpurple never ends
 * a stream without bytes. */
static void end_of_an_empty_file_is_waited_for(void **state)
{
    static const enum { ENDS, GOES_ON, BREAKS, HANGS } rows[] = {ENDS, GOES_ON, BREAKS, HANGS};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;

        announce_size(b, TARGET, SID, false, 0);
        peer_says(&b->peer, SETS(PROXY));
        fake_carrier_says(&b->carrier, CARRIER_DIALED, 0);
        peer_expects(&b->peer, USED("Proxy.example.org/n1"));
        assert_int_equal(fake_carrier_stream(&b->carrier)->length, 1);
        assert_int_equal(b->inbox.completed, 0);
        if (rows[i] == HANGS)
            assert_in_range(peer_skip(&b->peer), 9900, 10000);
        else if (rows[i] == BREAKS)
            fake_carrier_fails(&b->carrier, ERR_STREAM_BROKEN, "reset", 0);
        else
            fake_carrier_says(&b->carrier, CARRIER_DONE, rows[i] == GOES_ON);
        assert_int_equal(b->inbox.completed, 1);
        assert_int_equal(b->inbox.moved, 0);
        assert_int_equal(b->inbox.extra, rows[i] == GOES_ON);
        fake_inbox_answer(&b->inbox);
        teardown(state);
        setup(state);
    }
}

static void stream_that_breaks_keeps_what_came(void **state)
{
    struct bench *b = *state;

    announce(b, TARGET, SID, false);
    peer_says(&b->peer, SETS(OWN));
    fake_carrier_says(&b->carrier, CARRIER_DIALED, 0);
    peer_expects(&b->peer, USED(TARGET));
    fake_carrier_fails(&b->carrier, ERR_STREAM_BROKEN, "reset", 5);
    assert_int_equal(b->inbox.completed, 0);
    assert_int_equal(b->inbox.moved, 5);
    assert_int_equal(b->inbox.why, ERR_STREAM_BROKEN);
}

/* Checklist row 122. */
static void stream_outlives_the_session_and_negotiation_does_not(void **state)
{
    struct bench *b = *state;

    announce(b, TARGET, SID, false);
    peer_says(&b->peer, SETS(OWN));
    fake_carrier_says(&b->carrier, CARRIER_DIALED, 0);
    peer_expects(&b->peer, USED(TARGET));
    target_offline(b->peer.client->target);
    assert_int_equal(b->inbox.ended, 0);
    fake_carrier_says(&b->carrier, CARRIER_DONE, 6);
    target_offline(b->peer.client->target);
    fake_inbox_answer(&b->inbox);
    assert_int_equal(b->inbox.why, ERR_NONE);
    announce(b, TARGET, SID, false);
    peer_says(&b->peer, SETS(OWN));
    b->peer.deaf = true;
    target_offline(b->peer.client->target);
    assert_int_equal(b->inbox.why, ERR_XMPP_DISCONNECTED);
    assert_null(fake_carrier_stream(&b->carrier));
}

static void file_that_is_taken_away_is_refused_or_cut(void **state)
{
    struct bench *b = *state;

    announce(b, TARGET, SID, false);
    peer_says(&b->peer, SETS(OWN));
    fake_inbox_revoke(&b->inbox, ERR_CANCELLED);
    peer_expects(&b->peer, NOT_ACCEPTABLE);
    assert_null(fake_carrier_stream(&b->carrier));
    announce(b, TARGET, SID, false);
    peer_says(&b->peer, SETS(OWN));
    fake_carrier_says(&b->carrier, CARRIER_DIALED, 0);
    peer_expects(&b->peer, USED(TARGET));
    fake_inbox_revoke(&b->inbox, ERR_CANCELLED);
    assert_null(fake_carrier_stream(&b->carrier));
    assert_int_equal(b->inbox.why, ERR_CANCELLED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(offer_that_is_none_is_refused_without_a_connection),
        TEST(offer_has_twenty_streamhosts_at_most),
        TEST(id_has_1024_bytes_at_most),
        TEST(bytestream_that_nothing_announced_is_for_the_rules),
        TEST(running_stream_is_not_touched_by_another_of_its_id),
        TEST(two_peers_may_use_the_same_id),
        TEST(first_streamhost_that_answers_is_used),
        TEST(address_that_was_offered_to_answers),
        TEST(streamhosts_are_asked_in_their_order),
        TEST(eight_streamhosts_are_connected_to_and_no_more),
        TEST(what_no_streamhost_can_be_is_passed_over),
        TEST(port_that_is_not_told_is_1080),
        TEST(proxy_of_our_own_server_is_trusted),
        TEST(name_is_computed_whatever_the_sender_says),
        TEST(name_that_somebody_in_our_room_says_is_used),
        TEST(host_is_asked_by_both_names_where_something_is_not_ascii),
        TEST(failure_is_told_at_a_fixed_time_without_a_reason),
        TEST(sender_may_go_on_in_band_where_he_offered_that),
        TEST(sender_has_thirty_seconds_to_go_on_in_band),
        TEST(so_many_connections_are_made_at_once),
        TEST(what_came_is_for_the_receiver_to_judge),
        TEST(end_of_an_empty_file_is_waited_for),
        TEST(stream_that_breaks_keeps_what_came),
        TEST(stream_outlives_the_session_and_negotiation_does_not),
        TEST(file_that_is_taken_away_is_refused_or_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
