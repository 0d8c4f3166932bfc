#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tests/fake/carrier.h"
#include "tests/fake/inbox.h"
#include "tests/fake/xmpp/peer.h"
#include "xmpp/caps.h"
#include "xmpp/contacts.h"
#include "xmpp/disco.h"
#include "xmpp/ns.h"
#include "xmpp/responder.h"

#define DESK  "ana@example.org/desk"
#define PHONE "bob@example.net/phone"

struct fixture {
    struct peer peer;
    struct contacts *contacts;
    struct disco *disco;
    unsigned answers;
    char features[256]; /* of the last answer, each followed by a blank; "" when it failed */
    struct error error;
    uint64_t forget; /* by whoever answers first */
};

static struct jid jid(const char *text)
{
    struct jid j;

    assert_true(jid_parse(&j, text, strlen(text), NULL));
    return j;
}

static void no_news(void *user)
{
    (void)user;
}

static void no_presence(void *user, const struct jid *who, bool available)
{
    (void)user;
    (void)who;
    (void)available;
}

static void drop(void *user, const struct jid *who)
{
    disco_drop(((struct fixture *)user)->disco, who);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct contacts_events events = {no_news, no_presence, drop, NULL, NULL, f};

    clock_fake(1000, 1000);
    peer_start(&f->peer, NULL);
    f->contacts = f->peer.client->contacts = contacts_create(f->peer.client, &events);
    f->disco = f->peer.client->disco = disco_create(f->peer.client);
    responder_serve(f->peer.client);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    disco_destroy(&f->disco);
    contacts_destroy(&f->contacts);
    peer_stop(&f->peer);
    clock_real();
    free(f);
    return 0;
}

static void list(char *out, size_t max, const char *const *features)
{
    out[0] = '\0';
    for (; features && *features; features++) {
        size_t len = strlen(out);

        snprintf(out + len, max - len, "%s ", *features);
    }
}

static void on_answer(void *user, const char *const *features, const struct error *err)
{
    struct fixture *f = user;

    f->answers++;
    list(f->features, sizeof(f->features), features);
    f->error = err ? *err : (struct error){0};
    if (f->forget)
        disco_forget(f->disco, f->forget);
}

static uint64_t ask(struct fixture *f, const char *who)
{
    struct jid j = jid(who);

    return disco_ask(f->disco, &f->peer.client->self, &j, on_answer, f, NULL);
}

static const char *known(struct fixture *f, const char *who)
{
    static char out[256];
    struct jid j = jid(who);
    const char *const *features = disco_known(f->disco, &j);

    list(out, sizeof(out), features);
    return features ? out : NULL;
}

static void says(struct fixture *f, const char *from, const char *content)
{
    char xml[2048];

    snprintf(xml, sizeof(xml), "<iq type='result' id='$id' from='%s'><query xmlns='" NS_DISCO_INFO "'>%s</query></iq>",
             from, content);
    peer_says(&f->peer, xml);
}

static void presence(struct fixture *f, const char *from, const char *type, const char *ver)
{
    char xml[512];
    xmpp_stanza_t *s;

    snprintf(xml, sizeof(xml),
             "<presence from='%s' %s><c xmlns='" NS_CAPS "' hash='sha-1' node='http://n' ver='%s'/>"
             "</presence>",
             from, type, ver);
    s = xmpp_stanza_new_from_string(f->peer.client->ctx, xml);
    contacts_presence(f->contacts, s);
    xmpp_stanza_release(s);
}

static void asks_plainly(struct fixture *f, const char *who)
{
    char xml[256];

    snprintf(xml, sizeof(xml), "<iq type='get' id='*id' to='%s'><query xmlns='" NS_DISCO_INFO "'/></iq>", who);
    peer_expects(&f->peer, xml);
}

static void asks_for_caps(struct fixture *f, const char *who, const char *ver)
{
    char xml[512];

    snprintf(xml, sizeof(xml),
             "<iq type='get' id='*id' to='%s'><query xmlns='" NS_DISCO_INFO "' node='http://n#%s'/></iq>", who, ver);
    peer_expects(&f->peer, xml);
}

static void an_answer_is_kept_for_ten_minutes(void **state)
{
    struct fixture *f = *state;

    assert_null(known(f, DESK));
    ask(f, DESK);
    asks_plainly(f, DESK);
    says(f, DESK, "<identity category='client' type='pc'/><feature var='a'/><feature/><feature var='b'/>");
    assert_string_equal(f->features, "a b ");
    assert_string_equal(known(f, DESK), "a b ");
    assert_null(known(f, PHONE));
    clock_advance(10 * 60 * 1000 - 1);
    assert_non_null(known(f, DESK));
    clock_advance(1);
    assert_null(known(f, DESK));
}

static void askers_share_a_question(void **state)
{
    struct fixture *f = *state;

    ask(f, DESK);
    ask(f, DESK);
    asks_plainly(f, DESK);
    peer_expects_nothing(&f->peer);
    says(f, DESK, "");
    assert_int_equal(f->answers, 2);
}

static void who_forgets_gets_no_answer_but_it_is_kept(void **state)
{
    struct fixture *f = *state;

    disco_forget(f->disco, ask(f, DESK));
    asks_plainly(f, DESK);
    says(f, DESK, "<feature var='a'/>");
    assert_int_equal(f->answers, 0);
    assert_string_equal(known(f, DESK), "a ");
    disco_forget(f->disco, 12345);
}

static void an_answer_may_forget_another(void **state)
{
    struct fixture *f = *state;
    uint64_t first = ask(f, DESK);

    ask(f, DESK); /* is answered first */
    f->forget = first;
    asks_plainly(f, DESK);
    says(f, DESK, "");
    assert_int_equal(f->answers, 1);
}

static void failures_have_a_reason_and_are_not_kept(void **state)
{
    struct fixture *f = *state;

    ask(f, DESK);
    asks_plainly(f, DESK);
    peer_refuses(&f->peer, DESK, "cancel", "service-unavailable", "");
    assert_int_equal(f->error.code, ERR_RECIPIENT_OFFLINE);
    ask(f, DESK);
    asks_plainly(f, DESK);
    peer_says(&f->peer, "<iq type='result' id='$id' from='" DESK "'/>");
    assert_int_equal(f->error.code, ERR_PEER_PROTOCOL_ERROR);
    ask(f, DESK);
    asks_plainly(f, DESK);
    peer_skip(&f->peer);
    assert_int_equal(f->error.code, ERR_RECIPIENT_TIMEOUT);
    assert_null(known(f, DESK));
    assert_int_equal(f->answers, 3);
}

static void without_a_session_nothing_can_be_asked(void **state)
{
    struct fixture *f = *state;

    f->peer.deaf = true;
    assert_int_equal(ask(f, DESK), 0);
    f->peer.deaf = false;
    assert_int_not_equal(ask(f, DESK), 0);
    asks_plainly(f, DESK); /* the one that failed is not taken for one on its way */
}

/* XEP-0115 section 5.2, the simple example. */
#define EXODUS                                                                                                         \
    "<identity category='client' name='Exodus 0.9.1' type='pc'/><feature var='http://jabber.org/protocol/caps'/>"      \
    "<feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/disco#items'/>"    \
    "<feature var='http://jabber.org/protocol/muc'/>"
#define EXODUS_VER "QgayPKawpkPSDYmwT/WM94uAlu0="

static void a_proven_hash_serves_everybody_and_does_not_age(void **state)
{
    struct fixture *f = *state;

    presence(f, DESK, "", EXODUS_VER);
    presence(f, PHONE, "", EXODUS_VER);
    ask(f, DESK);
    asks_for_caps(f, DESK, EXODUS_VER);
    says(f, DESK, EXODUS);
    assert_non_null(known(f, PHONE));
    presence(f, DESK, "type='unavailable'", EXODUS_VER);
    clock_advance(7 * 24 * 3600 * (int64_t)1000);
    assert_non_null(known(f, PHONE));
    assert_null(known(f, DESK)); /* he announces nothing any more */
}

static void a_hash_that_is_not_that_of_the_answer_serves_nobody_else(void **state)
{
    struct fixture *f = *state;

    presence(f, DESK, "", EXODUS_VER);
    presence(f, PHONE, "", EXODUS_VER);
    ask(f, DESK);
    asks_for_caps(f, DESK, EXODUS_VER);
    says(f, DESK, "<feature var='evil'/>");
    assert_string_equal(known(f, DESK), "evil ");
    assert_null(known(f, PHONE));
}

static void what_a_peer_said_holds_until_he_goes_or_changes(void **state)
{
    struct fixture *f = *state;

    presence(f, DESK, "", "1");
    ask(f, DESK);
    asks_for_caps(f, DESK, "1");
    says(f, DESK, "<feature var='a'/>");
    presence(f, DESK, "", "1");
    assert_non_null(known(f, DESK));
    presence(f, DESK, "", "2");
    assert_null(known(f, DESK));
    ask(f, DESK);
    asks_for_caps(f, DESK, "2");
    says(f, DESK, "<feature var='a'/>");
    presence(f, DESK, "type='unavailable'", "2");
    assert_null(known(f, DESK));
}

/* Else who went meanwhile would be offered what only his client could answer. */
static void what_a_peer_said_holds_for_one_session(void **state)
{
    struct fixture *f = *state;

    presence(f, PHONE, "", EXODUS_VER);
    ask(f, PHONE);
    asks_for_caps(f, PHONE, EXODUS_VER);
    says(f, PHONE, EXODUS);
    ask(f, DESK);
    asks_plainly(f, DESK);
    says(f, DESK, "<feature var='a'/>");
    contacts_offline(f->contacts);
    disco_offline(f->disco);
    assert_null(known(f, DESK));
    presence(f, PHONE, "", EXODUS_VER);
    assert_non_null(known(f, PHONE)); /* whoever has that client has it in any session */
}

static void the_oldest_of_2000_is_given_up(void **state)
{
    struct fixture *f = *state;
    char who[64];

    for (int i = 0; i <= 2000; i++) {
        snprintf(who, sizeof(who), "u%d@example.org/x", i);
        ask(f, who);
        asks_plainly(f, who);
        says(f, who, "");
        if (i == 1000)
            assert_non_null(known(f, "u0@example.org/x")); /* and with that it is the newest */
    }
    assert_non_null(known(f, "u0@example.org/x"));
    assert_null(known(f, "u1@example.org/x"));
    assert_non_null(known(f, "u2@example.org/x"));
}

/* ---- what we answer */

static void we_announce_only_what_we_do(void **state)
{
    static const char info[] = "<identity category='client' type='bot' name='jidpost'/>"
                               "<feature var='" NS_CAPS "'/><feature var='" NS_DISCO_INFO "'/>"
                               "<feature var='" NS_DISCO_ITEMS "'/><feature var='" NS_VERSION "'/>"
                               "<feature var='" NS_PING "'/><feature var='" NS_JINGLE "'/>"
                               "<feature var='" NS_JINGLE_S5B "'/><feature var='" NS_JINGLE_IBB "'/>";
    struct fixture *f = *state;
    xmpp_stanza_t *caps = responder_caps(f->peer.client, &f->peer.client->self), *query;
    char xml[1024], node[256], ver[CAPS_VER];

    peer_says(&f->peer, "<iq type='get' id='q' from='" DESK "'><query xmlns='" NS_DISCO_INFO "'/></iq>");
    snprintf(xml, sizeof(xml),
             "<iq type='result' id='q' to='" DESK "'><query xmlns='" NS_DISCO_INFO "'>%s</query></iq>", info);
    peer_expects(&f->peer, xml);
    snprintf(xml, sizeof(xml), "<query>%s</query>", info);
    query = xmpp_stanza_new_from_string(f->peer.client->ctx, xml);
    assert_true(caps_hash(query, "sha-1", ver));
    assert_string_equal(xmpp_stanza_get_attribute(caps, "ver"), ver);
    assert_string_equal(xmpp_stanza_get_attribute(caps, "hash"), "sha-1");

    snprintf(node, sizeof(node), "%s#%s", xmpp_stanza_get_attribute(caps, "node"), ver);
    snprintf(xml, sizeof(xml),
             "<iq type='get' id='q' from='" DESK "'><query xmlns='" NS_DISCO_INFO "' node='%s'/></iq>", node);
    peer_says(&f->peer, xml);
    snprintf(xml, sizeof(xml),
             "<iq type='result' id='q' to='" DESK "'><query xmlns='" NS_DISCO_INFO "' node='%s'>%s</query></iq>", node,
             info);
    peer_expects(&f->peer, xml);
    xmpp_stanza_release(query);
    xmpp_stanza_release(caps);
}

/* Section 6.1 of what clients look for: Pidgin offers by stream initiation only to whom has all of these. */
static void who_receives_files_announces_how(void **state)
{
    static const char *const ways[] = {NS_SI, NS_SI_FILE, NS_BYTESTREAMS, NS_IBB};
    struct fixture *f = *state;
    struct fake_carrier carrier;
    struct fake_inbox inbox;
    xmpp_stanza_t *before = responder_caps(f->peer.client, &f->peer.client->self), *now;

    fake_carrier_init(&carrier);
    fake_inbox_init(&inbox, &carrier.carrier);
    f->peer.client->receiver = &inbox.receiver;
    for (unsigned closed = 0; closed < 2; closed++) {
        const char *text;

        inbox.closed = closed;
        now = responder_caps(f->peer.client, &f->peer.client->self);
        assert_int_equal(strcmp(xmpp_stanza_get_attribute(before, "ver"), xmpp_stanza_get_attribute(now, "ver")) == 0,
                         closed);
        xmpp_stanza_release(now);
        peer_says(&f->peer, "<iq type='get' id='q' from='" DESK "'><query xmlns='" NS_DISCO_INFO "'/></iq>");
        text = peer_next(&f->peer);
        for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
            char var[128];

            snprintf(var, sizeof(var), "var=\"%s\"", ways[i]);
            assert_int_equal(strstr(text, var) == NULL, closed);
        }
    }
    xmpp_stanza_release(before);
}

static void questions_are_answered(void **state)
{
    static const struct {
        const char *question, *answer;
    } rows[] = {
        {"<query xmlns='" NS_DISCO_INFO "' node='other'/>", "item-not-found"},
        {"<query xmlns='" NS_DISCO_ITEMS "'/>", "<query xmlns='" NS_DISCO_ITEMS "'/>"},
        {"<query xmlns='" NS_DISCO_ITEMS "' node='other'/>", "item-not-found"},
        {"<ping xmlns='" NS_PING "'/>", ""},
        {"<query xmlns='" NS_VERSION "'/>",
         "<query xmlns='" NS_VERSION "'><name>jidpost</name><version>" JIDPOST_VERSION "</version></query>"},
        {"<si xmlns='" NS_SI "'/>", "service-unavailable"}, /* we send files and take none */
        {"<open xmlns='" NS_IBB "'/>", "service-unavailable"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        bool refused = rows[i].answer[0] && rows[i].answer[0] != '<';
        char xml[512];

        snprintf(xml, sizeof(xml), "<iq type='get' id='q' from='" DESK "'>%s</iq>", rows[i].question);
        peer_says(&f->peer, xml);
        if (refused)
            snprintf(xml, sizeof(xml),
                     "<iq type='error' id='q' to='" DESK "'><error type='cancel'><%s xmlns='" NS_STANZAS
                     "'/></error></iq>",
                     rows[i].answer);
        else
            snprintf(xml, sizeof(xml), "<iq type='result' id='q' to='" DESK "'>%s</iq>", rows[i].answer);
        peer_expects(&f->peer, xml);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_answer_is_kept_for_ten_minutes),
        TEST(askers_share_a_question),
        TEST(who_forgets_gets_no_answer_but_it_is_kept),
        TEST(an_answer_may_forget_another),
        TEST(failures_have_a_reason_and_are_not_kept),
        TEST(without_a_session_nothing_can_be_asked),
        TEST(a_proven_hash_serves_everybody_and_does_not_age),
        TEST(a_hash_that_is_not_that_of_the_answer_serves_nobody_else),
        TEST(what_a_peer_said_holds_until_he_goes_or_changes),
        TEST(what_a_peer_said_holds_for_one_session),
        TEST(the_oldest_of_2000_is_given_up),
        TEST(we_announce_only_what_we_do),
        TEST(who_receives_files_announces_how),
        TEST(questions_are_answered),
        TEST(questions_are_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
