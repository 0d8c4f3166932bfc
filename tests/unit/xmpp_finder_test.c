#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tests/fake/xmpp/peer.h"
#include "xmpp/contacts.h"
#include "xmpp/disco.h"
#include "xmpp/finder.h"
#include "xmpp/ns.h"

#define ANA   "ana@example.org"
#define DESK  ANA "/desk"
#define PHONE ANA "/phone"

/* Two ways to send, the first being the better one. */
static const char *const needs_both[] = {"x", "y", NULL};
static const char *const needs_one[] = {"y|z", NULL};
static const struct method_ops better = {.name = "better", .needs = needs_both};
static const struct method_ops worse = {.name = "worse", .needs = needs_one};
static const struct method_ops *const ladder[] = {&better, &worse, NULL};

struct fixture {
    struct peer peer;
    struct contacts *contacts;
    struct disco *disco;
    struct finder *finder;
    unsigned answers;
    char found[512]; /* of the last answer: "resource:method,method " for each device, best first */
    bool subscribed;
    struct error error;
};

static struct jid jid(const char *text)
{
    struct jid j;

    assert_true(jid_parse(&j, text, strlen(text), NULL));
    return j;
}

static void on_ready(void *user)
{
    finder_roster(((struct fixture *)user)->finder);
}

static void on_presence(void *user, const struct jid *who, bool available)
{
    if (available)
        finder_presence(((struct fixture *)user)->finder, who);
}

static void on_caps(void *user, const struct jid *who)
{
    disco_drop(((struct fixture *)user)->disco, who);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct contacts_events events = {on_ready, on_presence, on_caps, NULL, NULL, f};

    clock_fake(1000, 1000);
    peer_start(&f->peer, NULL);
    f->contacts = f->peer.client->contacts = contacts_create(f->peer.client, &events);
    f->disco = f->peer.client->disco = disco_create(f->peer.client);
    f->finder = finder_create(f->peer.client, ladder);
    finder_online(f->finder);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    finder_destroy(&f->finder);
    disco_destroy(&f->disco);
    contacts_destroy(&f->contacts);
    peer_stop(&f->peer);
    clock_real();
    free(f);
    return 0;
}

static void on_answer(void *user, struct recipient *r, const struct error *err)
{
    struct fixture *f = user;

    f->answers++;
    f->found[0] = '\0';
    f->error = err ? *err : (struct error){0};
    assert_true((r == NULL) == (err != NULL));
    f->subscribed = r && r->subscribed;
    for (size_t i = 0; r && i < r->count; i++) {
        const struct candidate_resource *c = &r->resources[i];
        size_t len = strlen(f->found);

        snprintf(f->found + len, sizeof(f->found) - len, "%s:%s%s%s ",
                 jid_resource(&c->jid) ? jid_resource(&c->jid) : "", c->answered ? "" : "?",
                 c->methods[0] ? c->methods[0] : "", c->methods[0] && c->methods[1] ? "+" : "");
    }
}

/* Searches, and lets the loop turn once: nothing is done inside the call. */
static uint64_t find(struct fixture *f, const char *to)
{
    struct jid j = jid(to);
    uint64_t ticket = finder_find(f->finder, NULL, &j, on_answer, f);

    assert_int_not_equal(ticket, 0);
    peer_expects_nothing(&f->peer);
    peer_turn(&f->peer);
    return ticket;
}

static void roster(struct fixture *f, const char *items)
{
    char xml[512];

    contacts_online(f->contacts);
    peer_expects(&f->peer, "<iq type='get' id='*id'><query xmlns='" NS_ROSTER "'/></iq>");
    snprintf(xml, sizeof(xml), "<iq type='result' id='$id'><query xmlns='" NS_ROSTER "'>%s</query></iq>", items);
    peer_says(&f->peer, xml);
}

#define ANA_IS_A_CONTACT "<item jid='" ANA "' subscription='both'/>"

static void presence(struct fixture *f, const char *from, const char *content)
{
    char xml[512];
    xmpp_stanza_t *s;

    snprintf(xml, sizeof(xml), "<presence from='%s'>%s</presence>", from, content);
    s = xmpp_stanza_new_from_string(f->peer.client->ctx, xml);
    contacts_presence(f->contacts, s);
    xmpp_stanza_release(s);
}

/* That device is asked, and answers with features of one letter each: "xy" is x and y. */
static void is_asked(struct fixture *f, const char *who, const char *features)
{
    char xml[512], list[256] = "";

    snprintf(xml, sizeof(xml), "<iq type='get' id='*id' to='%s'><query xmlns='" NS_DISCO_INFO "'/></iq>", who);
    peer_expects(&f->peer, xml);
    for (size_t len = 0; *features; features++, len = strlen(list))
        snprintf(list + len, sizeof(list) - len, "<feature var='%c'/>", *features);
    snprintf(xml, sizeof(xml), "<iq type='result' id='$id' from='%s'><query xmlns='" NS_DISCO_INFO "'>%s</query></iq>",
             who, list);
    peer_says(&f->peer, xml);
}

static void a_full_address_is_asked_itself(void **state)
{
    static const char *const addresses[] = {DESK, "bot.example.org", "bot.example.org/x"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(addresses) / sizeof(*addresses); i++) {
        find(f, addresses[i]);
        is_asked(f, addresses[i], "xy");
        assert_int_equal(f->answers, i + 1);
        assert_non_null(strstr(f->found, ":better+ "));
    }
}

static void a_full_address_that_refuses_is_offline(void **state)
{
    struct fixture *f = *state;

    find(f, DESK);
    peer_next(&f->peer);
    peer_refuses(&f->peer, DESK, "cancel", "service-unavailable", "");
    assert_int_equal(f->error.code, ERR_RECIPIENT_OFFLINE);
    find(f, DESK);
    peer_next(&f->peer);
    peer_skip(&f->peer);
    assert_int_equal(f->error.code, ERR_RECIPIENT_TIMEOUT);
}

static void methods_are_those_whose_needs_are_met(void **state)
{
    static const struct {
        const char *features, *found;
    } rows[] = {{"xy", "desk:better+ "}, {"y", "desk:worse "}, {"z", "desk:worse "}, {"x", "desk: "}, {"", "desk: "}};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct jid desk = jid(DESK);

        disco_drop(f->disco, &desk);
        find(f, DESK);
        is_asked(f, DESK, rows[i].features);
        assert_string_equal(f->found, rows[i].found);
    }
}

static void what_is_known_is_not_asked_again(void **state)
{
    struct fixture *f = *state;

    find(f, DESK);
    is_asked(f, DESK, "y");
    find(f, DESK);
    assert_int_equal(f->answers, 2);
    assert_string_equal(f->found, "desk:worse ");
}

static void a_contact_is_all_his_devices(void **state)
{
    struct fixture *f = *state;

    roster(f, ANA_IS_A_CONTACT);
    presence(f, DESK, "");
    presence(f, PHONE, "");
    presence(f, ANA "/hidden", "<priority>-1</priority>");
    find(f, ANA);
    is_asked(f, DESK, "y");
    assert_int_equal(f->answers, 0);
    is_asked(f, PHONE, "xy");
    assert_string_equal(f->found, "phone:better+ desk:worse ");
    assert_true(f->subscribed);
}

static void the_best_device_is_first(void **state)
{
    static const struct {
        const char *says, *desk, *desk_can, *phone, *phone_can;
        const char *found;
    } rows[] = {
        {"the better method", "<priority>9</priority>", "y", "<show>dnd</show>", "xy", "phone:better+ desk:worse "},
        {"some method", "<priority>9</priority>", "", "<show>dnd</show>", "y", "phone:worse desk: "},
        {"then priority", "", "xy", "<priority>1</priority><show>dnd</show>", "xy", "phone:better+ desk:better+ "},
        {"then who is there", "<show>away</show>", "y", "", "y", "phone:worse desk:worse "},
        {"even more so", "", "y", "<show>chat</show>", "y", "phone:worse desk:worse "},
        {"less so", "<show>dnd</show>", "y", "<show>xa</show>", "y", "phone:worse desk:worse "},
        {"then the newest", "", "y", "", "y", "phone:worse desk:worse "},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct jid desk = jid(DESK), phone = jid(PHONE);

        disco_drop(f->disco, &desk);
        disco_drop(f->disco, &phone);
        contacts_offline(f->contacts);
        roster(f, ANA_IS_A_CONTACT);
        presence(f, DESK, rows[i].desk);
        clock_advance(1);
        presence(f, PHONE, rows[i].phone);
        find(f, ANA);
        is_asked(f, DESK, rows[i].desk_can);
        is_asked(f, PHONE, rows[i].phone_can);
        if (strcmp(f->found, rows[i].found) != 0)
            fail_msg("%s: %s", rows[i].says, f->found);
    }
}

/* What worked before counts more than what a client says of itself, and less than a better method. */
static void a_device_that_got_a_file_before_is_preferred(void **state)
{
    struct fixture *f = *state;
    struct jid desk = jid(DESK), other;
    char who[64];

    finder_succeeded(f->finder, &desk);
    finder_succeeded(f->finder, &desk); /* once is enough to know */
    roster(f, ANA_IS_A_CONTACT);
    presence(f, DESK, "<priority>1</priority><show>xa</show>");
    presence(f, PHONE, "<priority>9</priority>");
    find(f, ANA);
    is_asked(f, DESK, "y");
    is_asked(f, PHONE, "y");
    assert_string_equal(f->found, "desk:worse phone:worse ");
    for (int i = 0; i < 256; i++) { /* so many are remembered */
        snprintf(who, sizeof(who), "u%d@example.org/x", i);
        other = jid(who);
        finder_succeeded(f->finder, &other);
    }
    find(f, ANA);
    assert_string_equal(f->found, "phone:worse desk:worse ");
}

static void a_silent_device_does_not_spoil_the_others(void **state)
{
    struct fixture *f = *state;

    roster(f, ANA_IS_A_CONTACT);
    presence(f, DESK, "");
    presence(f, PHONE, "");
    find(f, ANA);
    is_asked(f, DESK, "y");
    peer_next(&f->peer);
    peer_skip(&f->peer);
    assert_string_equal(f->found, "desk:worse phone:? ");
}

static void a_contact_out_of_sight_is_offline(void **state)
{
    struct fixture *f = *state;

    roster(f, ANA_IS_A_CONTACT);
    clock_advance(5000);
    find(f, ANA);
    assert_int_equal(f->error.code, ERR_RECIPIENT_OFFLINE);
    assert_string_equal(f->error.text, "no device of " ANA " is online");
}

static void a_young_session_waits_for_a_contact_to_appear(void **state)
{
    struct fixture *f = *state;

    roster(f, ANA_IS_A_CONTACT);
    clock_advance(1000);
    find(f, ANA);
    assert_int_equal(peer_skip(&f->peer), 4000);
    assert_int_equal(f->error.code, ERR_RECIPIENT_OFFLINE);
    find(f, ANA);
    presence(f, "bob@example.org/x", ""); /* somebody else */
    presence(f, DESK, "");
    presence(f, PHONE, ""); /* comes right behind, and is waited for */
    peer_expects_nothing(&f->peer);
    assert_in_range(peer_skip(&f->peer), 1, 1000);
    is_asked(f, DESK, "y");
    is_asked(f, PHONE, "y");
    assert_int_equal(f->answers, 2);
}

/* Whether it is a room. */
static void is_asked_what_he_is(struct fixture *f, const char *who)
{
    char xml[256];

    snprintf(xml, sizeof(xml), "<iq type='get' id='*id' to='%s'><query xmlns='" NS_DISCO_INFO "'/></iq>", who);
    peer_expects(&f->peer, xml);
}

static void is_no_room(struct fixture *f)
{
    is_asked_what_he_is(f, ANA);
    peer_says(&f->peer, "<iq type='result' id='$id' from='" ANA "'><query xmlns='" NS_DISCO_INFO
                        "'><identity category='account' type='registered'/><feature var='" NS_MUC "'/></query></iq>");
}

/* Until the roster is here a contact looks like a stranger. */
static void a_young_session_waits_for_the_roster(void **state)
{
    struct fixture *f = *state;

    find(f, ANA);
    find(f, "stranger@example.net");
    peer_expects_nothing(&f->peer);
    roster(f, ANA_IS_A_CONTACT);
    peer_turn(&f->peer);
    is_asked_what_he_is(f, "stranger@example.net");
    peer_expects_nothing(&f->peer);
    presence(f, DESK, "");
    peer_skip(&f->peer);
    is_asked(f, DESK, "y");
    assert_string_equal(f->found, "desk:worse ");
}

/* XEP-0030 section 8: a server tells the devices of its user to whom he lets see them. */
static void the_server_of_a_stranger_may_name_his_devices(void **state)
{
    struct fixture *f = *state;

    roster(f, "");
    find(f, ANA);
    is_no_room(f);
    peer_expects(&f->peer, "<iq type='get' id='*id' to='" ANA "'><query xmlns='" NS_DISCO_ITEMS "'/></iq>");
    peer_says(&f->peer, "<iq type='result' id='$id' from='" ANA "'><query xmlns='" NS_DISCO_ITEMS "'>"
                        "<item jid='" DESK "'/><item jid='" ANA "'/><item jid='eve@example.org/x'/><item/>"
                        "</query></iq>");
    is_asked(f, DESK, "y");
    assert_string_equal(f->found, "desk:worse ");
    assert_false(f->subscribed);
}

static void a_stranger_nobody_names_is_offline_and_we_say_what_would_help(void **state)
{
    static const struct {
        const char *condition; /* "": an empty list */
        enum error_code want;
    } rows[] = {
        {"", ERR_RECIPIENT_OFFLINE},
        {"service-unavailable", ERR_RECIPIENT_OFFLINE},
        {"forbidden", ERR_RECIPIENT_OFFLINE},
        {"item-not-found", ERR_RECIPIENT_OFFLINE},
        {"remote-server-not-found", ERR_REMOTE_SERVER_UNREACHABLE},
        {"remote-server-timeout", ERR_REMOTE_SERVER_TIMEOUT},
    };
    struct fixture *f = *state;

    roster(f, "");
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        find(f, ANA);
        is_no_room(f);
        peer_next(&f->peer);
        if (rows[i].condition[0])
            peer_refuses(&f->peer, ANA, "cancel", rows[i].condition, "");
        else
            peer_says(&f->peer, "<iq type='result' id='$id' from='" ANA "'><query xmlns='" NS_DISCO_ITEMS "'/></iq>");
        if (f->error.code != rows[i].want)
            fail_msg("%s: %s", rows[i].condition, error_name(f->error.code));
        if (rows[i].want == ERR_RECIPIENT_OFFLINE)
            assert_non_null(strstr(f->error.text, "add initiator@example.com as a contact"));
    }
}

/* Its occupants are not asked, nor is it asked for them. */
static void a_room_is_no_device_and_has_none(void **state)
{
    struct fixture *f = *state;

    roster(f, "");
    find(f, ANA);
    is_asked_what_he_is(f, ANA);
    peer_says(&f->peer, "<iq type='result' id='$id' from='" ANA "'><query xmlns='" NS_DISCO_INFO
                        "'><identity category='conference' type='text'/><feature var='" NS_MUC "'/></query></iq>");
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->error.code, ERR_NO_COMMON_METHOD);
    assert_non_null(strstr(f->error.text, "is a room"));
    peer_expects_nothing(&f->peer);
}

static void what_cannot_be_asked_whether_it_is_a_room_is_not_asked_again(void **state)
{
    static const struct {
        const char *condition; /* NULL: silence */
        enum error_code want;
    } rows[] = {
        {"remote-server-not-found", ERR_REMOTE_SERVER_UNREACHABLE},
        {"remote-server-timeout", ERR_REMOTE_SERVER_TIMEOUT},
        {NULL, ERR_RECIPIENT_OFFLINE},
    };
    struct fixture *f = *state;

    roster(f, "");
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        find(f, ANA);
        is_asked_what_he_is(f, ANA);
        if (rows[i].condition)
            peer_refuses(&f->peer, ANA, "cancel", rows[i].condition, "");
        else
            peer_skip(&f->peer);
        assert_int_equal(f->error.code, rows[i].want);
        peer_expects_nothing(&f->peer);
    }
}

static void without_a_session_nobody_is_found(void **state)
{
    struct fixture *f = *state;

    f->peer.client->online = false;
    find(f, ANA);
    assert_int_equal(f->error.code, ERR_XMPP_DISCONNECTED);
}

static void the_end_of_the_session_ends_every_search(void **state)
{
    struct fixture *f = *state;

    roster(f, ANA_IS_A_CONTACT);
    find(f, ANA); /* waits for presence */
    find(f, DESK);
    assert_non_null(peer_next(&f->peer)); /* asks a device */
    find(f, "stranger@example.net");
    assert_non_null(peer_next(&f->peer)); /* asks a server */
    f->peer.client->online = false;
    iq_disconnected(f->peer.client->iq);
    finder_offline(f->finder);
    peer_turn(&f->peer);
    assert_int_equal(f->answers, 3);
    assert_int_equal(f->error.code, ERR_XMPP_DISCONNECTED);
}

static void a_forgotten_search_gets_no_answer(void **state)
{
    struct fixture *f = *state;
    struct jid desk = jid(DESK);

    roster(f, ANA_IS_A_CONTACT);
    finder_forget(f->finder, finder_find(f->finder, NULL, &desk, on_answer, f));
    finder_forget(f->finder, find(f, ANA));
    finder_forget(f->finder, find(f, "stranger@example.net"));
    assert_non_null(peer_next(&f->peer));
    finder_forget(f->finder, find(f, DESK));
    peer_turn(&f->peer);
    is_asked(f, DESK, "y");
    assert_int_equal(f->answers, 0);
    finder_forget(f->finder, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_full_address_is_asked_itself),
        TEST(a_full_address_that_refuses_is_offline),
        TEST(methods_are_those_whose_needs_are_met),
        TEST(what_is_known_is_not_asked_again),
        TEST(a_contact_is_all_his_devices),
        TEST(the_best_device_is_first),
        TEST(a_device_that_got_a_file_before_is_preferred),
        TEST(a_silent_device_does_not_spoil_the_others),
        TEST(a_contact_out_of_sight_is_offline),
        TEST(a_young_session_waits_for_a_contact_to_appear),
        TEST(a_young_session_waits_for_the_roster),
        TEST(the_server_of_a_stranger_may_name_his_devices),
        TEST(a_stranger_nobody_names_is_offline_and_we_say_what_would_help),
        TEST(a_room_is_no_device_and_has_none),
        TEST(what_cannot_be_asked_whether_it_is_a_room_is_not_asked_again),
        TEST(without_a_session_nobody_is_found),
        TEST(the_end_of_the_session_ends_every_search),
        TEST(a_forgotten_search_gets_no_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
