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
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

/* We are INITIATOR, whose bare address is OWN. */
#define OWN "initiator@example.com"

struct fixture {
    struct peer peer;
    struct contacts *contacts;
    unsigned ready;
    char news[256]; /* "+full " for a device that came, "-full " for one that went, "!full " for new caps; "yes:bare ",
                       "no:bare " */
    char sent[512]; /* "type>to " */
};

static struct jid jid(const char *text)
{
    struct jid j;

    assert_true(jid_parse(&j, text, strlen(text), NULL));
    return j;
}

static void note(char *list, size_t max, const char *prefix, const char *text)
{
    size_t len = strlen(list);

    snprintf(list + len, max - len, "%s%s ", prefix, text);
}

static void on_ready(void *user)
{
    ((struct fixture *)user)->ready++;
}

static void on_presence(void *user, const struct jid *who, bool available)
{
    struct fixture *f = user;

    note(f->news, sizeof(f->news), available ? "+" : "-", who->text);
}

static void on_caps(void *user, const struct jid *who)
{
    struct fixture *f = user;

    note(f->news, sizeof(f->news), "!", who->text);
}

static void on_subscription(void *user, const struct jid *who, bool granted)
{
    struct fixture *f = user;

    note(f->news, sizeof(f->news), granted ? "yes:" : "no:", who->text);
}

static bool on_send(void *user, xmpp_stanza_t *stanza)
{
    struct fixture *f = user;

    assert_string_equal(xmpp_stanza_get_name(stanza), "presence");
    note(f->sent, sizeof(f->sent), stanza_attr(stanza, "type"), "");
    f->sent[strlen(f->sent) - 1] = '>';
    note(f->sent, sizeof(f->sent), stanza_attr(stanza, "to"), "");
    return true;
}

static char *const accepted[] = {(char[]){"*@example.com"}, (char[]){"friend@example.net"}, NULL};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct contacts_events events = {on_ready, on_presence, on_caps, on_send, on_subscription, f};

    peer_start(&f->peer, NULL);
    f->peer.settings.accept_subscriptions = accepted;
    f->contacts = f->peer.client->contacts = contacts_create(f->peer.client, &events);
    contacts_serve(f->contacts);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    contacts_destroy(&f->contacts);
    peer_stop(&f->peer);
    clock_real();
    free(f);
    return 0;
}

static void roster(struct fixture *f, const char *items)
{
    char xml[2048];

    contacts_online(f->contacts);
    peer_expects(&f->peer, "<iq type='get' id='*id'><query xmlns='" NS_ROSTER "'/></iq>");
    snprintf(xml, sizeof(xml), "<iq type='result' id='$id'><query xmlns='" NS_ROSTER "'>%s</query></iq>", items);
    peer_says(&f->peer, xml);
}

/* A presence with that type (NULL: available) and content. */
static void presence(struct fixture *f, const char *from, const char *type, const char *content)
{
    char xml[1024];
    xmpp_stanza_t *s;

    snprintf(xml, sizeof(xml), "<presence from='%s' %s%s%s>%s</presence>", from, type ? "type='" : "", type ? type : "",
             type ? "'" : "", content);
    s = xmpp_stanza_new_from_string(f->peer.client->ctx, xml);
    assert_non_null(s);
    contacts_presence(f->contacts, s);
    xmpp_stanza_release(s);
}

static size_t devices(struct fixture *f, const char *bare, const struct resource **out)
{
    struct jid j = jid(bare);

    return contacts_resources(f->contacts, &j, out, 8);
}

static bool subscribed(struct fixture *f, const char *who)
{
    struct jid j = jid(who);

    return contacts_subscribed(f->contacts, &j);
}

static void the_roster_says_whom_we_see(void **state)
{
    static const struct {
        const char *who;
        bool seen, known;
    } rows[] = {
        {"to@example.org", true, true},
        {"both@example.org", true, true},
        {"from@example.org", false, true},
        {"none@example.org", false, false},
        {"other@example.org", false, false},
        {"both@example.org/desk", true, true},
        {OWN, true, false},
    };
    struct fixture *f = *state;

    assert_false(contacts_ready(f->contacts));
    roster(f, "<item jid='to@example.org' subscription='to'/><item jid='Both@example.org' subscription='both'/>"
              "<item jid='from@example.org' subscription='from'/><item jid='none@example.org' subscription='none'/>"
              "<item jid='@broken' subscription='both'/><item subscription='both'/>");
    assert_int_equal(f->ready, 1);
    assert_true(contacts_ready(f->contacts));
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct jid j = jid(rows[i].who);

        if (contacts_subscribed(f->contacts, &j) != rows[i].seen || contacts_known(f->contacts, &j) != rows[i].known)
            fail_msg("%s", rows[i].who);
    }
}

static void presence_is_sent_without_a_roster_too(void **state)
{
    struct fixture *f = *state;

    contacts_online(f->contacts);
    peer_skip(&f->peer); /* the server never answers */
    assert_int_equal(f->ready, 1);
}

static void a_push_counts_from_our_own_account_only(void **state)
{
    static const struct {
        const char *from, *answer;
        bool counts;
    } rows[] = {
        {"", "result", true},
        {"from='" OWN "'", "result", true},
        {"from='eve@example.net'", "error", false},
        {"from='" OWN "/other'", "error", false},
        {"from='example.com'", "error", false},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char xml[512];

        snprintf(xml, sizeof(xml),
                 "<iq type='set' id='p' %s><query xmlns='" NS_ROSTER "'><item jid='new%zu@example.org' "
                 "subscription='both'/></query></iq>",
                 rows[i].from, i);
        peer_says(&f->peer, xml);
        assert_non_null(strstr(peer_next(&f->peer), rows[i].answer));
        snprintf(xml, sizeof(xml), "new%zu@example.org", i);
        if (subscribed(f, xml) != rows[i].counts)
            fail_msg("a push %s", rows[i].from);
    }
}

static void a_removed_contact_is_a_stranger(void **state)
{
    struct fixture *f = *state;
    const struct resource *r[8];

    roster(f, "<item jid='ana@example.org' subscription='both'/>");
    presence(f, "ana@example.org/desk", NULL, "");
    peer_says(&f->peer, "<iq type='set' id='p'><query xmlns='" NS_ROSTER "'><item jid='ana@example.org' "
                        "subscription='remove'/></query></iq>");
    assert_false(subscribed(f, "ana@example.org"));
    assert_int_equal(devices(f, "ana@example.org", r), 1); /* until she says otherwise */
    presence(f, "ana@example.org/desk", "unavailable", "");
    assert_int_equal(devices(f, "ana@example.org", r), 0);
}

static void presence_is_kept_by_device(void **state)
{
    struct fixture *f = *state;
    const struct resource *r[8];

    presence(f, "ana@example.org/desk", NULL,
             "<show>away</show><priority>5</priority><c xmlns='" NS_CAPS "' hash='sha-1' node='n' ver='v'/>");
    presence(f, "ana@example.org/phone", NULL, "<show>lost</show><priority>-1</priority>");
    presence(f, "ana@example.org", NULL, "");
    assert_int_equal(devices(f, "ana@example.org", r), 2);
    assert_string_equal(r[0]->jid, "ana@example.org/desk");
    assert_string_equal(r[0]->show, "away");
    assert_int_equal(r[0]->priority, 5);
    assert_string_equal(r[0]->caps_node, "n");
    assert_string_equal(r[0]->caps_ver, "v");
    assert_string_equal(r[0]->caps_hash, "sha-1");
    assert_string_equal(r[1]->show, ""); /* not one of RFC 6121's */
    assert_int_equal(r[1]->priority, -1);
    assert_null(r[1]->caps_ver);
    assert_string_equal(f->news, "+ana@example.org/desk +ana@example.org/phone ");
}

static void news_are_told(void **state)
{
    struct fixture *f = *state;

    presence(f, "ana@example.org/desk", NULL, "<c xmlns='" NS_CAPS "' hash='sha-1' node='n' ver='1'/>");
    presence(f, "ana@example.org/desk", NULL, "<c xmlns='" NS_CAPS "' hash='sha-1' node='n' ver='1'/>");
    presence(f, "ana@example.org/desk", NULL, "<c xmlns='" NS_CAPS "' hash='sha-1' node='n' ver='2'/>");
    assert_string_equal(f->news, "+ana@example.org/desk +ana@example.org/desk !ana@example.org/desk "
                                 "+ana@example.org/desk ");
    f->news[0] = '\0';
    presence(f, "ana@example.org/desk", "unavailable", "");
    presence(f, "ana@example.org/desk", "unavailable", ""); /* no news */
    presence(f, "ana@example.org/desk", "error", "");
    presence(f, "ana@example.org/desk", "probe", "");
    assert_string_equal(f->news, "!ana@example.org/desk -ana@example.org/desk ");
}

static void a_bare_farewell_is_that_of_all_devices(void **state)
{
    struct fixture *f = *state;
    const struct resource *r[8];

    presence(f, "ana@example.org/desk", NULL, "");
    presence(f, "ana@example.org/phone", NULL, "");
    presence(f, "ana@example.org", "unavailable", "");
    assert_int_equal(devices(f, "ana@example.org", r), 0);
    assert_non_null(strstr(f->news, "-ana@example.org/desk "));
    assert_non_null(strstr(f->news, "-ana@example.org/phone "));
}

static void our_other_devices_are_seen_and_we_are_not(void **state)
{
    struct fixture *f = *state;
    const struct resource *r[8];

    presence(f, INITIATOR, NULL, "");
    presence(f, OWN "/phone", NULL, "");
    assert_int_equal(devices(f, OWN, r), 1);
    assert_string_equal(r[0]->jid, OWN "/phone");
}

static void requests_are_answered_by_policy(void **state)
{
    static const struct {
        const char *says, *from, *type, *sent;
    } rows[] = {
        {"own domain, not seen yet", "bob@example.com/desk", "subscribe",
         "subscribed>bob@example.com "
         "subscribe>bob@example.com "},
        {"own domain, seen already", "seen@example.com", "subscribe", "subscribed>seen@example.com "},
        {"named in the policy", "friend@example.net", "subscribe",
         "subscribed>friend@example.net "
         "subscribe>friend@example.net "},
        {"a stranger", "eve@example.net", "subscribe", ""},
        {"a stranger who dresses up", "eve@example.net/x@example.com", "subscribe", ""},
        {"goes away", "seen@example.com", "unsubscribe", "unsubscribed>seen@example.com "},
        {"said yes", "seen@example.com", "subscribed", ""},
        {"said no", "seen@example.com", "unsubscribed", ""},
    };
    struct fixture *f = *state;

    roster(f, "<item jid='seen@example.com' subscription='to'/>");
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        f->sent[0] = '\0';
        presence(f, rows[i].from, rows[i].type, "");
        if (strcmp(f->sent, rows[i].sent) != 0)
            fail_msg("%s: sent '%s'", rows[i].says, f->sent);
    }
}

/* Directed presence costs a stranger nothing, so it must not cost us without bound. */
static void strangers_are_bounded(void **state)
{
    struct fixture *f = *state;
    const struct resource *r[8];
    char from[64];

    for (int i = 0; i < 100; i++) {
        snprintf(from, sizeof(from), "ana@example.org/%d", i);
        presence(f, from, NULL, "");
    }
    f->news[0] = '\0';
    presence(f, "ana@example.org/last", NULL, "");
    assert_string_equal(f->news, "");
    for (int i = 0; i < 2000; i++) {
        snprintf(from, sizeof(from), "eve%d@example.net/x", i);
        presence(f, from, NULL, "");
    }
    assert_int_equal(devices(f, "eve0@example.net", r), 1);
    assert_int_equal(devices(f, "eve1999@example.net", r), 0);
    presence(f, "eve0@example.net/x", "unavailable", "");
    presence(f, "eve1999@example.net/x", NULL, "");
    assert_int_equal(devices(f, "eve1999@example.net", r), 1);
}

static void everything_is_forgotten_when_the_session_ends(void **state)
{
    struct fixture *f = *state;
    const struct resource *r[8];

    roster(f, "<item jid='ana@example.org' subscription='both'/>");
    presence(f, "ana@example.org/desk", NULL, "");
    contacts_offline(f->contacts);
    assert_false(contacts_ready(f->contacts));
    assert_false(subscribed(f, "ana@example.org"));
    assert_int_equal(devices(f, "ana@example.org", r), 0);
    roster(f, "<item jid='bob@example.org' subscription='both'/>");
    assert_true(subscribed(f, "bob@example.org"));
}

/* ---- whom we asked */

static enum sight sight(struct fixture *f, const char *who)
{
    struct jid j = jid(who);

    return contacts_sight(f->contacts, &j);
}

static void push(struct fixture *f, const char *item)
{
    char xml[512];

    snprintf(xml, sizeof(xml), "<iq type='set' id='p'><query xmlns='" NS_ROSTER "'>%s</query></iq>", item);
    peer_says(&f->peer, xml);
    peer_next(&f->peer); /* our answer */
}

/* What comes of asking: "sent", "open" or the code of the error. */
static const char *ask(struct fixture *f, const char *who)
{
    struct jid j = jid(who);
    struct error err;
    bool sent;

    if (!contacts_ask(f->contacts, &j, &sent, &err))
        return error_name(err.code);
    return sent ? "sent" : "open";
}

static void what_we_see_of_somebody(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(sight(f, "ana@example.org"), SIGHT_UNKNOWN);
    roster(f, "<item jid='ana@example.org' subscription='to'/><item jid='bob@example.org' subscription='from'/>"
              "<item jid='eve@example.org' subscription='none' ask='subscribe'/>");
    assert_int_equal(sight(f, "ana@example.org"), SIGHT_AWAY);
    assert_int_equal(sight(f, "ana@example.org/desk"), SIGHT_AWAY);
    assert_int_equal(sight(f, "bob@example.org"), SIGHT_HIDDEN);
    assert_int_equal(sight(f, "eve@example.org"), SIGHT_ASKED);
    assert_int_equal(sight(f, "other@example.org"), SIGHT_HIDDEN);
    presence(f, "ana@example.org/bot", NULL, "<priority>-1</priority>");
    assert_int_equal(sight(f, "ana@example.org"), SIGHT_AWAY); /* nothing for it that is not addressed to it */
    assert_int_equal(sight(f, "ana@example.org/bot"), SIGHT_THERE);
    assert_int_equal(sight(f, "ana@example.org/desk"), SIGHT_AWAY);
    presence(f, "ana@example.org/desk", NULL, "");
    assert_int_equal(sight(f, "ana@example.org"), SIGHT_THERE);
    presence(f, "ana@example.org/desk", "unavailable", "");
    assert_int_equal(sight(f, "ana@example.org"), SIGHT_AWAY);
    contacts_offline(f->contacts);
    assert_int_equal(sight(f, "ana@example.org"), SIGHT_UNKNOWN);
}

static void a_request_is_sent_once_a_day(void **state)
{
    static const int64_t day = 24 * 60 * 60 * 1000;
    struct fixture *f = *state;

    clock_fake(1000, 1000);
    roster(f, "<item jid='old@example.org' subscription='none' ask='subscribe'/>");
    assert_string_equal(ask(f, "eve@example.org/desk"), "sent");
    assert_string_equal(f->sent, "subscribe>eve@example.org ");
    assert_int_equal(sight(f, "eve@example.org"), SIGHT_ASKED);
    assert_string_equal(ask(f, "eve@example.org"), "open");
    assert_string_equal(ask(f, "old@example.org"), "open"); /* asked by an earlier run */
    clock_advance(day - 1);
    assert_string_equal(ask(f, "eve@example.org"), "open");
    assert_string_equal(ask(f, "old@example.org"), "open");
    assert_string_equal(f->sent, "subscribe>eve@example.org ");
    clock_advance(1);
    assert_string_equal(ask(f, "eve@example.org"), "sent");
    assert_string_equal(ask(f, "old@example.org"), "sent");
}

static void a_grant_is_told(void **state)
{
    struct fixture *f = *state;

    roster(f, "");
    ask(f, "eve@example.org");
    push(f, "<item jid='eve@example.org' subscription='none' ask='subscribe'/>");
    assert_string_equal(f->news, "");
    presence(f, "eve@example.org", "subscribed", "");
    push(f, "<item jid='eve@example.org' subscription='to'/>");
    assert_string_equal(f->news, "yes:eve@example.org ");
    assert_int_equal(sight(f, "eve@example.org"), SIGHT_AWAY);
    push(f, "<item jid='eve@example.org' subscription='both'/>");
    assert_string_equal(f->news, "yes:eve@example.org ");
}

/* The server tells it twice, in this order or the other. */
static void a_refusal_is_told_once_and_lasts_a_day(void **state)
{
    struct fixture *f = *state;

    clock_fake(1000, 1000);
    roster(f, "");
    for (int order = 0; order < 2; order++) {
        const char *who = order ? "eve@example.org" : "mallory@example.org";
        char item[128], want[64];

        f->news[0] = '\0';
        ask(f, who);
        snprintf(item, sizeof(item), "<item jid='%s' subscription='none' ask='subscribe'/>", who);
        push(f, item);
        snprintf(item, sizeof(item), "<item jid='%s' subscription='none'/>", who);
        if (order)
            presence(f, who, "unsubscribed", "");
        push(f, item);
        if (!order)
            presence(f, who, "unsubscribed", "");
        snprintf(want, sizeof(want), "no:%s ", who);
        assert_string_equal(f->news, want);
        assert_int_equal(sight(f, who), SIGHT_HIDDEN);
        assert_string_equal(ask(f, who), "recipient_forbids");
    }
    clock_advance(24 * 60 * 60 * 1000);
    assert_string_equal(ask(f, "eve@example.org"), "sent");
}

static void who_takes_a_subscription_back_is_told(void **state)
{
    struct fixture *f = *state;

    roster(f, "<item jid='ana@example.org' subscription='to'/><item jid='bob@example.org' subscription='both'/>"
              "<item jid='eve@example.org' subscription='to'/>"
              "<item jid='asked@example.org' subscription='none' ask='subscribe'/>");
    push(f, "<item jid='asked@example.org' subscription='remove'/>");
    assert_string_equal(f->news, "no:asked@example.org ");
    f->news[0] = '\0';
    push(f, "<item jid='ana@example.org' subscription='none'/>");
    push(f, "<item jid='bob@example.org' subscription='remove'/>");
    presence(f, "eve@example.org", "unsubscribed", "");
    assert_string_equal(f->news, "no:ana@example.org no:bob@example.org no:eve@example.org ");
    assert_int_equal(sight(f, "eve@example.org"), SIGHT_HIDDEN);
    presence(f, "stranger@example.org", "unsubscribed", "");
    assert_string_equal(f->news, "no:ana@example.org no:bob@example.org no:eve@example.org ");
}

static void what_was_answered_while_we_were_away_is_in_the_roster(void **state)
{
    struct fixture *f = *state;

    roster(f, "");
    ask(f, "yes@example.org");
    ask(f, "no@example.org");
    ask(f, "open@example.org");
    contacts_offline(f->contacts);
    roster(f, "<item jid='yes@example.org' subscription='to'/>"
              "<item jid='open@example.org' subscription='none' ask='subscribe'/>");
    assert_int_equal(sight(f, "yes@example.org"), SIGHT_AWAY);
    assert_int_equal(sight(f, "open@example.org"), SIGHT_ASKED);
    assert_int_equal(sight(f, "no@example.org"), SIGHT_HIDDEN);
    assert_string_equal(ask(f, "no@example.org"), "recipient_forbids");
    assert_string_equal(ask(f, "open@example.org"), "open");
    push(f, "<item jid='yes@example.org' subscription='none'/>");
    assert_string_equal(ask(f, "yes@example.org"), "sent");
}

static void requests_are_bounded(void **state)
{
    struct fixture *f = *state;
    char who[64];

    clock_fake(1000, 1000);
    roster(f, "");
    for (int i = 0; i <= 1000; i++) {
        snprintf(who, sizeof(who), "eve%d@example.org", i);
        f->sent[0] = '\0';
        assert_string_equal(ask(f, who), "sent");
        clock_advance(1);
    }
    assert_string_equal(ask(f, "eve1000@example.org"), "open");
    assert_string_equal(ask(f, "eve1@example.org"), "open");
    f->sent[0] = '\0';
    assert_string_equal(ask(f, "eve0@example.org"), "sent"); /* the oldest was forgotten */
}

static void our_address_is_told_to_contacts_and_our_own_domain(void **state)
{
    static const struct {
        const char *who;
        enum xmpp_direct direct;
        bool may;
    } rows[] = {
        {"contact@example.org/x", XMPP_DIRECT_AUTO, true},    {"stranger@example.org/x", XMPP_DIRECT_AUTO, false},
        {"stranger@example.com/x", XMPP_DIRECT_AUTO, true},   {"x@sub.example.com/x", XMPP_DIRECT_AUTO, false},
        {"contact@example.org/x", XMPP_DIRECT_NEVER, false},  {"stranger@example.com/x", XMPP_DIRECT_NEVER, false},
        {"stranger@example.org/x", XMPP_DIRECT_ALWAYS, true},
    };
    struct fixture *f = *state;

    roster(f, "<item jid='contact@example.org' subscription='from'/>");
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct jid j = jid(rows[i].who);

        f->peer.settings.direct = rows[i].direct;
        if (client_may_tell_address(f->peer.client, &j) != rows[i].may)
            fail_msg("%s, %d", rows[i].who, (int)rows[i].direct);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_roster_says_whom_we_see),
        TEST(presence_is_sent_without_a_roster_too),
        TEST(a_push_counts_from_our_own_account_only),
        TEST(a_removed_contact_is_a_stranger),
        TEST(presence_is_kept_by_device),
        TEST(news_are_told),
        TEST(a_bare_farewell_is_that_of_all_devices),
        TEST(our_other_devices_are_seen_and_we_are_not),
        TEST(requests_are_answered_by_policy),
        TEST(strangers_are_bounded),
        TEST(everything_is_forgotten_when_the_session_ends),
        TEST(what_we_see_of_somebody),
        TEST(a_request_is_sent_once_a_day),
        TEST(a_grant_is_told),
        TEST(a_refusal_is_told_once_and_lasts_a_day),
        TEST(who_takes_a_subscription_back_is_told),
        TEST(what_was_answered_while_we_were_away_is_in_the_roster),
        TEST(requests_are_bounded),
        TEST(our_address_is_told_to_contacts_and_our_own_domain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
