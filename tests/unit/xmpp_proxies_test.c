/* xmpp/proxies.c: which bytestream proxies there are, and how long what they said holds (XEP-0065 section 4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "tests/fake/relay.h"
#include "tests/fake/xmpp/peer.h"
#include "xmpp/ns.h"
#include "xmpp/proxies.h"

#define ASKS_ITEMS        "<iq type='get' id='*id' to='example.com'><query xmlns='" NS_DISCO_ITEMS "'/></iq>"
#define ASKS_INFO(jid)    "<iq type='get' id='*id' to='" jid "'><query xmlns='" NS_DISCO_INFO "'/></iq>"
#define ASKS_ADDRESS(jid) "<iq type='get' id='*id' to='" jid "'><query xmlns='" NS_BYTESTREAMS "'/></iq>"
#define RESULT(from, ns, content)                                                                                      \
    "<iq type='result' id='$id' from='" from "' to='" INITIATOR "'><query xmlns='" ns "'>" content "</query></iq>"
#define ITEMS(content)         RESULT("example.com", NS_DISCO_ITEMS, content)
#define IS_PROXY               "<identity category='proxy' type='bytestreams' name='relay'/>"
#define ADDRESS(from, content) RESULT(from, NS_BYTESTREAMS, content)
#define HOST                   "<streamhost jid='streamer.example.com' host='203.0.113.9' port='7625'/>"

#define HOUR   (60 * 60 * 1000)
#define MINUTE (60 * 1000)

struct bench {
    struct peer peer;
    struct proxies *proxies;
    unsigned ready;
    struct streamhost hosts[8];
};

static int start(void **state, char *const *configured)
{
    static struct bench b;

    memset(&b, 0, sizeof b);
    clock_fake(1000, 1700000000000);
    peer_start(&b.peer, configured);
    b.proxies = b.peer.client->proxies;
    *state = &b;
    return 0;
}

static int setup(void **state)
{
    return start(state, NULL);
}

static int setup_configured(void **state)
{
    return start(state, peer_proxy);
}

static int teardown(void **state)
{
    struct bench *b = *state;

    peer_stop(&b->peer);
    clock_real();
    return 0;
}

static void on_ready(void *user)
{
    ((struct bench *)user)->ready++;
}

static size_t list(struct bench *b)
{
    return proxies_list(b->proxies, b->hosts, 8);
}

static enum error_code result_of(struct bench *b, size_t index)
{
    struct proxy_view view[16];
    enum error_code code = ERR_NONE;

    assert_true(index < proxies_view(b->proxies, view, 16));
    assert_true(strcmp(view[index].result, "ok") == 0 || error_code_parse(view[index].result, &code));
    return code;
}

/* Online with that one configured proxy, asked for its address and not answered. */
static void asked_for_address(struct bench *b)
{
    proxies_online(b->proxies);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS(""));
    peer_expects(&b->peer, ASKS_ADDRESS("streamer.example.com"));
}

/* ---- discovery */

static void server_items_are_asked_what_they_are_and_proxies_where(void **state)
{
    struct bench *b = *state;

    proxies_online(b->proxies);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS("<item jid='rooms.example.com'/><item jid='streamer.example.com' name='Relay'/>"));
    peer_expects(&b->peer, ASKS_INFO("rooms.example.com"));
    peer_says(&b->peer, RESULT("rooms.example.com", NS_DISCO_INFO, "<identity category='conference' type='text'/>"));
    peer_expects(&b->peer, ASKS_INFO("streamer.example.com"));
    peer_says(&b->peer, RESULT("streamer.example.com", NS_DISCO_INFO, IS_PROXY));
    peer_expects(&b->peer, ASKS_ADDRESS("streamer.example.com"));
    peer_says(&b->peer, ADDRESS("streamer.example.com", HOST));
    peer_expects_nothing(&b->peer);
    assert_int_equal(list(b), 1);
    assert_string_equal(b->hosts[0].jid, "streamer.example.com");
    assert_string_equal(b->hosts[0].host, "203.0.113.9");
    assert_int_equal(b->hosts[0].port, 7625);
    assert_true(b->peer.proxies_changed > 0);
}

static void feature_without_identity_counts_once_an_address_is_told(void **state)
{
    struct bench *b = *state;

    proxies_online(b->proxies);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS("<item jid='streamer.example.com'/>"));
    peer_expects(&b->peer, ASKS_INFO("streamer.example.com"));
    peer_says(&b->peer, RESULT("streamer.example.com", NS_DISCO_INFO,
                               "<identity category='component' type='generic'/><feature var='" NS_BYTESTREAMS "'/>"));
    peer_expects(&b->peer, ASKS_ADDRESS("streamer.example.com"));
    assert_int_equal(list(b), 0);
    peer_says(&b->peer, ADDRESS("streamer.example.com", HOST));
    assert_int_equal(list(b), 1);
}

static void configured_proxies_are_asked_at_once_and_stand_first(void **state)
{
    struct bench *b = *state;

    proxies_online(b->proxies);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS("<item jid='a.example.com'/><item jid='streamer.example.com'/>")); /* one of them again */
    peer_expects(&b->peer, ASKS_ADDRESS("streamer.example.com"));
    peer_says(&b->peer, ADDRESS("streamer.example.com", HOST));
    peer_expects(&b->peer, ASKS_INFO("a.example.com"));
    peer_says(&b->peer, RESULT("a.example.com", NS_DISCO_INFO, IS_PROXY));
    peer_expects(&b->peer, ASKS_INFO("streamer.example.com")); /* it may be more than a proxy */
    peer_says(&b->peer, RESULT("streamer.example.com", NS_DISCO_INFO, ""));
    peer_expects(&b->peer, ASKS_ADDRESS("a.example.com"));
    peer_says(&b->peer, ADDRESS("a.example.com", "<streamhost jid='a.example.com' host='203.0.113.1' port='1'/>"));
    peer_expects_nothing(&b->peer);
    assert_int_equal(list(b), 2);
    assert_string_equal(b->hosts[0].jid, "streamer.example.com");
    assert_string_equal(b->hosts[1].jid, "a.example.com");
}

/* Public servers list hundreds of items. */
static void at_most_64_items_are_asked_and_8_at_a_time(void **state)
{
    struct bench *b = *state;
    struct buf xml = {0};
    char ids[80][64];
    size_t sent = 0, answered = 0;

    buf_puts(&xml, "<iq type='result' id='$id' from='example.com'><query xmlns='" NS_DISCO_ITEMS "'>");
    for (int i = 0; i < 500; i++)
        buf_printf(&xml, "<item jid='i%d.example.com'/>", i);
    buf_puts(&xml, "</query></iq>");
    proxies_online(b->proxies);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, xml.data);
    buf_free(&xml);
    do {
        while (peer_next(&b->peer))
            snprintf(ids[sent++], sizeof ids[0], "%s", b->peer.id);
        assert_true(sent - answered <= 8);
        snprintf(b->peer.id, sizeof b->peer.id, "%s", ids[answered]);
        buf_printf(&xml, "<iq type='result' id='$id' from='i%zu.example.com'><query xmlns='" NS_DISCO_INFO "'/></iq>",
                   answered++);
        peer_says(&b->peer, xml.data);
        buf_free(&xml);
    } while (answered < sent || b->peer.sent);
    assert_int_equal(answered, 64);
}

static void item_that_left_the_list_is_forgotten(void **state)
{
    struct bench *b = *state;

    proxies_online(b->proxies);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS("<item jid='streamer.example.com'/>"));
    peer_expects(&b->peer, ASKS_INFO("streamer.example.com"));
    peer_says(&b->peer, RESULT("streamer.example.com", NS_DISCO_INFO, IS_PROXY));
    peer_expects(&b->peer, ASKS_ADDRESS("streamer.example.com"));
    peer_says(&b->peer, ADDRESS("streamer.example.com", HOST));
    assert_int_equal(list(b), 1);
    proxies_offline(b->proxies);
    clock_advance(2 * HOUR);
    proxies_online(b->proxies);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS(""));
    assert_int_equal(list(b), 0);
}

static void items_that_cannot_be_had_leave_the_configured_proxies(void **state)
{
    struct bench *b = *state;

    proxies_online(b->proxies);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_refuses(&b->peer, "example.com", "cancel", "service-unavailable", "");
    peer_expects(&b->peer, ASKS_ADDRESS("streamer.example.com"));
    peer_says(&b->peer, ADDRESS("streamer.example.com", HOST));
    assert_int_equal(list(b), 1);
}

/* ---- the address reply, section 4.3 */

static void streamhosts_are_read_as_servers_write_them(void **state)
{
    static const struct {
        const char *says, *reply, *want;
    } rows[] = {
        {"one", HOST, "streamer.example.com 203.0.113.9:7625; "},
        {"zeroconf and no port", "<streamhost jid='s.example' host='203.0.113.9' zeroconf='_jabber.bytestreams'/>",
         "s.example 203.0.113.9:1080; "},
        {"the seed's example 8, mended: the query closed early and the rest of its tag left as text",
         " sid='vxf9n471bn46'> <streamhost jid='s.example' host='24.24.24.1' zeroconf='_jabber.bytestreams' "
         "port='7625'/> text ",
         "s.example 24.24.24.1:7625; "},
        {"ejabberd's node behind the JID", "<streamhost jid='proxy.h/node@1' host='203.0.113.9' port='7777'/>",
         "proxy.h/node@1 203.0.113.9:7777; "},
        {"Openfire's interfaces",
         "<streamhost jid='p.example' host='203.0.113.9' port='7777'/>"
         "<streamhost jid='p.example' host='fe80::1%eth0' port='7777'/>"
         "<streamhost jid='p.example' host='127.0.0.1' port='7777'/>"
         "<streamhost jid='p.example' host='2001:db8::9' port='7777'/>"
         "<streamhost jid='p.example' host='::1' port='7777'/>",
         "p.example 203.0.113.9:7777; p.example 2001:db8::9:7777; "},
        {"loopback alone: all on one machine", "<streamhost jid='p.example' host='127.0.0.2' port='5000'/>",
         "p.example 127.0.0.2:5000; "},
        {"a host name", "<streamhost jid='p.example' host='relay-1.p.example' port='7777'/>",
         "p.example relay-1.p.example:7777; "},
        {"nothing", "", ""},
        {"no host", "<streamhost jid='p.example' port='7777'/>", ""},
        {"an empty host", "<streamhost jid='p.example' host='' port='7777'/>", ""},
        {"no JID", "<streamhost host='203.0.113.9' port='7777'/>", ""},
        {"a JID that is none", "<streamhost jid='@@' host='203.0.113.9' port='7777'/>", ""},
        {"port 0", "<streamhost jid='p.example' host='203.0.113.9' port='0'/>", ""},
        {"port 65536", "<streamhost jid='p.example' host='203.0.113.9' port='65536'/>", ""},
        {"port by name", "<streamhost jid='p.example' host='203.0.113.9' port='http'/>", ""},
        {"port -1", "<streamhost jid='p.example' host='203.0.113.9' port='-1'/>", ""},
        {"an empty port", "<streamhost jid='p.example' host='203.0.113.9' port=''/>", ""},
        {"link-local", "<streamhost jid='p.example' host='fe80::1' port='7777'/>", ""},
        {"anywhere", "<streamhost jid='p.example' host='0.0.0.0' port='7777'/>", ""},
        {"brackets", "<streamhost jid='p.example' host='[2001:db8::9]' port='7777'/>", ""},
        {"an octal spelling", "<streamhost jid='p.example' host='0177.0.0.1' port='7777'/>", ""},
        {"a short spelling", "<streamhost jid='p.example' host='127.1' port='7777'/>", ""},
        {"a spelling as one number", "<streamhost jid='p.example' host='2130706433' port='7777'/>", ""},
        {"a hexadecimal spelling", "<streamhost jid='p.example' host='0x7f.1' port='7777'/>", ""},
        {"not a name", "<streamhost jid='p.example' host='a b' port='7777'/>", ""},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;
        struct buf got = {0}, reply = {0};

        asked_for_address(b);
        buf_printf(&reply, ADDRESS("streamer.example.com", "%s"), rows[i].reply);
        peer_says(&b->peer, reply.data);
        buf_puts(&got, "");
        for (size_t k = 0, n = list(b); k < n; k++)
            buf_printf(&got, "%s %s:%u; ", b->hosts[k].jid, b->hosts[k].host, b->hosts[k].port);
        if (strcmp(got.data, rows[i].want) != 0)
            fail_msg("%s: %s", rows[i].says, got.data);
        assert_int_equal(result_of(b, 0), rows[i].want[0] ? ERR_NONE : ERR_PROXY_UNAVAILABLE);
        buf_free(&got);
        buf_free(&reply);
        teardown(state);
        setup_configured(state);
    }
}

static void address_from_somebody_else_is_ignored(void **state)
{
    struct bench *b = *state;

    asked_for_address(b);
    peer_says(&b->peer, ADDRESS("evil.example", HOST));
    assert_int_equal(list(b), 0);
    peer_says(&b->peer, ADDRESS("streamer.example.com", HOST));
    assert_int_equal(list(b), 1);
}

static void refusals_have_their_codes_and_the_others_go_on(void **state)
{
    static const struct {
        const char *type, *condition;
        enum error_code want;
    } rows[] = {
        {"auth", "forbidden", ERR_PROXY_REFUSED},
        {"cancel", "not-allowed", ERR_PROXY_UNAVAILABLE},
        {"cancel", "item-not-found", ERR_PROXY_UNAVAILABLE},
        {"cancel", "feature-not-implemented", ERR_NOT_A_PROXY},
        {"cancel", "remote-server-not-found", ERR_PROXY_UNAVAILABLE},
        {NULL, "silence", ERR_PROXY_UNAVAILABLE},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static char first[] = "streamer.example.com", second[] = "other.example.com";
        static char *const two[] = {first, second, NULL};
        struct bench *b;
        char id[64];

        teardown(state);
        start(state, two);
        b = *state;
        asked_for_address(b);
        strcpy(id, b->peer.id);
        peer_expects(&b->peer, ASKS_ADDRESS("other.example.com"));
        peer_says(&b->peer, ADDRESS("other.example.com", "<streamhost jid='o.example' host='203.0.113.1' port='1'/>"));
        strcpy(b->peer.id, id);
        if (rows[i].type)
            peer_refuses(&b->peer, "streamer.example.com", rows[i].type, rows[i].condition, "");
        else
            assert_in_range(peer_skip(&b->peer), 9900, 10000);
        if (result_of(b, 0) != rows[i].want)
            fail_msg("%s: %s", rows[i].condition, error_name(result_of(b, 0)));
        assert_int_equal(list(b), 1);
        assert_string_equal(b->hosts[0].jid, "o.example");
    }
}

/* ---- how long it holds */

static void known_address_costs_nothing_for_an_hour(void **state)
{
    struct bench *b = *state;

    asked_for_address(b);
    peer_says(&b->peer, ADDRESS("streamer.example.com", HOST));
    clock_advance(HOUR - MINUTE);
    proxies_wait(b->proxies, on_ready, b);
    peer_expects_nothing(&b->peer);
    clock_advance(2 * MINUTE);
    proxies_wait(b->proxies, on_ready, b);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_expects(&b->peer, ASKS_ADDRESS("streamer.example.com"));
    assert_int_equal(list(b), 1); /* the old one until there is a new one */
}

static void refusal_is_remembered_ten_minutes(void **state)
{
    struct bench *b = *state;

    asked_for_address(b);
    peer_refuses(&b->peer, "streamer.example.com", "auth", "forbidden", "");
    clock_advance(9 * MINUTE);
    proxies_wait(b->proxies, on_ready, b);
    peer_expects_nothing(&b->peer);
    clock_advance(2 * MINUTE);
    proxies_wait(b->proxies, on_ready, b);
    peer_expects(&b->peer, ASKS_ADDRESS("streamer.example.com"));
}

static void proxy_a_transfer_found_wanting_is_kept_out_ten_minutes(void **state)
{
    struct bench *b = *state;
    struct error why;

    error_set(&why, ERR_PROXY_FAILED, "no route");
    asked_for_address(b);
    peer_says(&b->peer, ADDRESS("streamer.example.com", HOST));
    proxies_failed(b->proxies, "unknown.example.com", &why);
    assert_int_equal(list(b), 1);
    proxies_failed(b->proxies, "streamer.example.com", &why);
    assert_int_equal(list(b), 0);
    assert_int_equal(result_of(b, 0), ERR_PROXY_FAILED);
    clock_advance(9 * MINUTE);
    proxies_wait(b->proxies, on_ready, b);
    peer_expects_nothing(&b->peer);
    clock_advance(2 * MINUTE);
    proxies_wait(b->proxies, on_ready, b);
    peer_expects(&b->peer, ASKS_ADDRESS("streamer.example.com"));
    peer_says(&b->peer, ADDRESS("streamer.example.com", HOST));
    assert_int_equal(list(b), 1);
}

/* The old session's end may be all that was wrong with it. */
static void new_session_asks_a_failed_proxy_again(void **state)
{
    struct bench *b = *state;
    struct error why;

    error_set(&why, ERR_PROXY_FAILED, "no route");
    asked_for_address(b);
    peer_says(&b->peer, ADDRESS("streamer.example.com", HOST));
    proxies_failed(b->proxies, "streamer.example.com", &why);
    proxies_offline(b->proxies);
    proxies_online(b->proxies);
    peer_expects(&b->peer, ASKS_ADDRESS("streamer.example.com"));
    peer_says(&b->peer, ADDRESS("streamer.example.com", HOST));
    assert_int_equal(list(b), 1);
}

static void item_that_is_no_proxy_is_not_asked_again_within_the_hour(void **state)
{
    struct bench *b = *state;
    struct proxy_view view;

    proxies_online(b->proxies);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS("<item jid='rooms.example.com'/>"));
    peer_expects(&b->peer, ASKS_INFO("rooms.example.com"));
    peer_says(&b->peer, RESULT("rooms.example.com", NS_DISCO_INFO, "<identity category='conference' type='text'/>"));
    clock_advance(HOUR - MINUTE);
    proxies_offline(b->proxies);
    proxies_online(b->proxies);
    peer_expects_nothing(&b->peer);
    assert_int_equal(proxies_view(b->proxies, &view, 1), 0);
}

/* ---- waiting */

static void waiting_ends_when_all_have_answered_and_never_inside_the_call(void **state)
{
    struct bench *b = *state;

    asked_for_address(b);
    assert_int_not_equal(proxies_wait(b->proxies, on_ready, b), 0);
    peer_turn(&b->peer);
    assert_int_equal(b->ready, 0);
    peer_says(&b->peer, ADDRESS("streamer.example.com", HOST));
    assert_int_equal(b->ready, 0);
    peer_turn(&b->peer);
    assert_int_equal(b->ready, 1);
    assert_int_not_equal(proxies_wait(b->proxies, on_ready, b), 0); /* all is known now */
    assert_int_equal(b->ready, 1);
    peer_turn(&b->peer);
    assert_int_equal(b->ready, 2);
}

static void waiting_lasts_while_the_services_are_asked_what_they_are(void **state)
{
    struct bench *b = *state;

    proxies_online(b->proxies);
    proxies_wait(b->proxies, on_ready, b);
    peer_turn(&b->peer);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS("<item jid='rooms.example.com'/>"));
    peer_turn(&b->peer);
    assert_int_equal(b->ready, 0);
    peer_expects(&b->peer, ASKS_INFO("rooms.example.com"));
    peer_says(&b->peer, RESULT("rooms.example.com", NS_DISCO_INFO, "<identity category='conference' type='text'/>"));
    peer_turn(&b->peer);
    assert_int_equal(b->ready, 1);
}

static void waiting_ends_when_the_session_does(void **state)
{
    struct bench *b = *state;

    asked_for_address(b);
    proxies_wait(b->proxies, on_ready, b);
    iq_disconnected(b->peer.client->iq);
    proxies_offline(b->proxies);
    peer_turn(&b->peer);
    assert_int_equal(b->ready, 1);
    proxies_wait(b->proxies, on_ready, b); /* and offline nobody is asked */
    peer_turn(&b->peer);
    assert_int_equal(b->ready, 2);
    peer_expects_nothing(&b->peer);
}

static void forgotten_waiter_is_not_called(void **state)
{
    struct bench *b = *state;
    uint64_t first = proxies_wait(b->proxies, on_ready, b), second = proxies_wait(b->proxies, on_ready, b);

    proxies_forget(b->proxies, first);
    proxies_forget(b->proxies, 0);
    peer_turn(&b->peer);
    assert_int_equal(b->ready, 1);
    proxies_forget(b->proxies, second);
}

static void session_that_ends_under_a_question_says_nothing_about_the_proxy(void **state)
{
    struct bench *b = *state;
    struct proxy_view view;

    asked_for_address(b);
    iq_disconnected(b->peer.client->iq);
    proxies_offline(b->proxies);
    assert_int_equal(proxies_view(b->proxies, &view, 1), 1);
    assert_string_equal(view.result, "");
    proxies_online(b->proxies);
    peer_expects(&b->peer, ASKS_ADDRESS("streamer.example.com"));
}

static void view_shows_proxies_and_how_each_last_answered(void **state)
{
    struct bench *b = *state;
    struct proxy_view view[4];

    assert_int_equal(proxies_view(b->proxies, view, 4), 1);
    assert_string_equal(view[0].result, "");
    assert_int_equal(view[0].asked, 0);
    asked_for_address(b);
    peer_says(&b->peer, ADDRESS("streamer.example.com", HOST));
    assert_int_equal(proxies_view(b->proxies, view, 4), 1);
    assert_string_equal(view[0].jid, "streamer.example.com");
    assert_true(view[0].configured);
    assert_string_equal(view[0].host, "203.0.113.9");
    assert_int_equal(view[0].port, 7625);
    assert_string_equal(view[0].result, "ok");
    assert_true(view[0].asked == 1700000000000);
}

/* Our server lists it among its services, or our operator among the proxies. */
#define OURS "files@relay.example.com/x"
static void our_own_relay_stands_first_and_is_asked_for_nothing(void **state)
{
    struct bench *b = *state;
    struct fake_relay relay;
    struct proxy_view view[4];

    fake_relay_init(&relay);
    b->peer.client->relay = &relay.relay;
    assert_true(jid_parse(&b->peer.client->self, OURS, strlen(OURS), NULL));
    proxies_online(b->proxies);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS("<item jid='relay.example.com'/><item jid='streamer.example.com'/>"));
    peer_expects(&b->peer, ASKS_INFO("relay.example.com")); /* as all services are, for others who look */
    peer_says(&b->peer, RESULT("relay.example.com", NS_DISCO_INFO, IS_PROXY));
    peer_expects(&b->peer, ASKS_INFO("streamer.example.com"));
    peer_says(&b->peer, RESULT("streamer.example.com", NS_DISCO_INFO, IS_PROXY));
    peer_expects(&b->peer, ASKS_ADDRESS("streamer.example.com"));
    peer_says(&b->peer, ADDRESS("streamer.example.com", HOST));
    peer_expects_nothing(&b->peer);
    assert_int_equal(list(b), 2);
    assert_string_equal(b->hosts[0].jid, "relay.example.com");
    assert_string_equal(b->hosts[0].host, "relay.example.com");
    assert_int_equal(b->hosts[0].port, 7777);
    assert_string_equal(b->hosts[1].jid, "streamer.example.com");
    assert_int_equal(relay.queries, 0);
    assert_int_equal(proxies_view(b->proxies, view, 4), 1);
}

#define TEST(name)       cmocka_unit_test_setup_teardown(name, setup, teardown)
#define CONFIGURED(name) cmocka_unit_test_setup_teardown(name, setup_configured, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(server_items_are_asked_what_they_are_and_proxies_where),
        TEST(our_own_relay_stands_first_and_is_asked_for_nothing),
        TEST(feature_without_identity_counts_once_an_address_is_told),
        CONFIGURED(configured_proxies_are_asked_at_once_and_stand_first),
        TEST(at_most_64_items_are_asked_and_8_at_a_time),
        TEST(item_that_left_the_list_is_forgotten),
        CONFIGURED(items_that_cannot_be_had_leave_the_configured_proxies),
        CONFIGURED(streamhosts_are_read_as_servers_write_them),
        CONFIGURED(address_from_somebody_else_is_ignored),
        CONFIGURED(refusals_have_their_codes_and_the_others_go_on),
        CONFIGURED(known_address_costs_nothing_for_an_hour),
        CONFIGURED(refusal_is_remembered_ten_minutes),
        CONFIGURED(proxy_a_transfer_found_wanting_is_kept_out_ten_minutes),
        CONFIGURED(new_session_asks_a_failed_proxy_again),
        TEST(item_that_is_no_proxy_is_not_asked_again_within_the_hour),
        CONFIGURED(waiting_ends_when_all_have_answered_and_never_inside_the_call),
        TEST(waiting_lasts_while_the_services_are_asked_what_they_are),
        CONFIGURED(waiting_ends_when_the_session_does),
        TEST(forgotten_waiter_is_not_called),
        CONFIGURED(session_that_ends_under_a_question_says_nothing_about_the_proxy),
        CONFIGURED(view_shows_proxies_and_how_each_last_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
