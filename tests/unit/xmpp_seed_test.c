/* The walk through XEP-0065's own examples, 1 to 13, 16, 19 and 20, as the one who sends the file: what we send is
 * compared with the example, what others send is said as the example has it.
 *
 * The text these numbers come from is the XEP between its versions 1.7 and 1.8, with some flaws: example 8 is not
 * well-formed and has no port, 9 and 10 run the wrong way, 2 lets a client call itself a proxy, 12 has the wrong error
 * type, and one id and one sid serve everything. The examples here are the mended ones, with ids and sids of our own.
 * Examples 14, 15, 17 and 18 are SOCKS5 frames: tests/unit/socks5_handshake_test.c and its neighbours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/fake/carrier.h"
#include "tests/fake/method_host.h"
#include "tests/fake/xmpp/peer.h"
#include "xmpp/contacts.h"
#include "xmpp/disco.h"
#include "xmpp/ns.h"
#include "xmpp/proxies.h"
#include "xmpp/s5b.h"

#define EXAMPLE_1                                                                                                      \
    "<iq type='get' from='initiator@example.com/foo' to='target@example.org/bar' id='*id'>"                            \
    "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
#define EXAMPLE_2                                                                                                      \
    "<iq type='result' from='target@example.org/bar' to='initiator@example.com/foo' id='$id'>"                         \
    "<query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' type='pc'/>"                     \
    "<feature var='http://jabber.org/protocol/bytestreams'/></query></iq>"
#define EXAMPLE_3                                                                                                      \
    "<iq type='get' from='initiator@example.com/foo' to='example.com' id='*id'>"                                       \
    "<query xmlns='http://jabber.org/protocol/disco#items'/></iq>"
#define EXAMPLE_4                                                                                                      \
    "<iq type='result' from='example.com' to='initiator@example.com/foo' id='$id'>"                                    \
    "<query xmlns='http://jabber.org/protocol/disco#items'>"                                                           \
    "<item jid='streamer.example.com' name='Socks 5 Bytestreams Proxy'/></query></iq>"
#define EXAMPLE_5                                                                                                      \
    "<iq type='get' from='initiator@example.com/foo' to='streamer.example.com' id='*id'>"                              \
    "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
#define EXAMPLE_6                                                                                                      \
    "<iq type='result' from='streamer.example.com' to='initiator@example.com/foo' id='$id'>"                           \
    "<query xmlns='http://jabber.org/protocol/disco#info'>"                                                            \
    "<identity category='proxy' type='bytestreams' name='SOCKS5 Bytestreams Service'/>"                                \
    "<feature var='http://jabber.org/protocol/bytestreams'/></query></iq>"
#define EXAMPLE_7                                                                                                      \
    "<iq type='get' from='initiator@example.com/foo' to='streamer.example.com' id='*id'>"                              \
    "<query xmlns='http://jabber.org/protocol/bytestreams'/></iq>"
#define EXAMPLE_8                                                                                                      \
    "<iq type='result' from='streamer.example.com' to='initiator@example.com/foo' id='$id'>"                           \
    "<query xmlns='http://jabber.org/protocol/bytestreams'>"                                                           \
    "<streamhost jid='streamer.example.com' host='24.24.24.1' port='7625'/></query></iq>"
#define EXAMPLE_9                                                                                                      \
    "<iq type='error' from='streamer.example.com' to='initiator@example.com/foo' id='$id'>"                            \
    "<query xmlns='http://jabber.org/protocol/bytestreams'/>"                                                          \
    "<error code='403' type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
#define EXAMPLE_10                                                                                                     \
    "<iq type='error' from='streamer.example.com' to='initiator@example.com/foo' id='$id'>"                            \
    "<query xmlns='http://jabber.org/protocol/bytestreams'/>"                                                          \
    "<error code='405' type='cancel'><not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
#define EXAMPLE_11                                                                                                     \
    "<iq type='set' from='initiator@example.com/foo' to='target@example.org/bar' id='*id'>"                            \
    "<query xmlns='http://jabber.org/protocol/bytestreams' sid='*sid' mode='tcp'>"                                     \
    "<streamhost jid='initiator@example.com/foo' host='192.168.4.1' port='5086'/>"                                     \
    "<streamhost jid='streamer.example.com' host='24.24.24.1' port='7625'/></query></iq>"
#define EXAMPLE_12                                                                                                     \
    "<iq type='error' from='target@example.org/bar' to='initiator@example.com/foo' id='$id'>"                          \
    "<error code='406' type='modify'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
#define EXAMPLE_13                                                                                                     \
    "<iq type='error' from='target@example.org/bar' to='initiator@example.com/foo' id='$id'>"                          \
    "<error code='404' type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
#define EXAMPLE_16                                                                                                     \
    "<iq type='result' from='target@example.org/bar' to='initiator@example.com/foo' id='$id'>"                         \
    "<query xmlns='http://jabber.org/protocol/bytestreams' sid='$sid'>"                                                \
    "<streamhost-used jid='streamer.example.com'/></query></iq>"
#define EXAMPLE_19                                                                                                     \
    "<iq type='set' from='initiator@example.com/foo' to='streamer.example.com' id='*id'>"                              \
    "<query xmlns='http://jabber.org/protocol/bytestreams' sid='$sid'>"                                                \
    "<activate>target@example.org/bar</activate></query></iq>"
#define EXAMPLE_20 "<iq type='result' from='streamer.example.com' to='initiator@example.com/foo' id='$id'/>"

struct walk {
    struct peer peer;
    struct fake_carrier carrier;
    struct fake_host host;
    struct jid target;
    struct method *method;
    char features[2][64]; /* of the target */
    size_t feature_count;
};

static bool into_peer(void *user, xmpp_stanza_t *stanza)
{
    (void)user;
    (void)stanza;
    return true;
}

static int setup(void **state)
{
    static struct walk w;
    static const struct contacts_events events = {.send = into_peer};

    memset(&w, 0, sizeof w);
    peer_start(&w.peer, NULL);
    w.peer.client->contacts = contacts_create(w.peer.client, &events);
    w.peer.client->disco = disco_create(w.peer.client);
    fake_carrier_init(&w.carrier);
    w.carrier.address = (struct carrier_address){.host = "192.168.4.1", .port = 5086};
    fake_host_init(&w.host, &w.carrier.carrier, &w.peer.loop);
    assert_true(jid_parse(&w.target, TARGET, strlen(TARGET), NULL));
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct walk *w = *state;

    if (w->method)
        method_s5b.end(&w->method, NULL);
    disco_destroy(&w->peer.client->disco);
    contacts_destroy(&w->peer.client->contacts);
    peer_stop(&w->peer);
    return 0;
}

static void take_features(void *user, const char *const *features, const struct error *err)
{
    struct walk *w = user;

    (void)err;
    for (; features && features[w->feature_count]; w->feature_count++)
        snprintf(w->features[w->feature_count], sizeof w->features[0], "%s", features[w->feature_count]);
}

static void ask_target(struct walk *w)
{
    struct error err;

    assert_int_not_equal(disco_ask(w->peer.client->disco, &w->peer.client->self, &w->target, take_features, w, &err),
                         0);
}

static void offer(struct walk *w)
{
    struct offer o = {.to = &w->target, .name = "a.txt", .size = 5, .answer_ms = 60000};

    w->method = method_s5b.offer(&w->host.host, &w->peer.network, &o, &(struct error){0});
    assert_non_null(w->method);
    peer_turn(&w->peer);
}

static enum error_code proxy_result(struct walk *w)
{
    struct proxy_view view;
    enum error_code code = ERR_NONE;

    assert_int_equal(proxies_view(w->peer.client->proxies, &view, 1), 1);
    assert_string_equal(view.jid, "streamer.example.com");
    assert_true(strcmp(view.result, "ok") == 0 || error_code_parse(view.result, &code));
    return code;
}

/* Examples 3 to 7: up to the question for the proxy's address. */
static void walk_to_address_question(struct walk *w)
{
    proxies_online(w->peer.client->proxies);
    peer_expects(&w->peer, EXAMPLE_3);
    peer_says(&w->peer, EXAMPLE_4);
    peer_expects(&w->peer, EXAMPLE_5);
    peer_says(&w->peer, EXAMPLE_6);
    peer_expects(&w->peer, EXAMPLE_7);
}

/* On to example 11. */
static void walk_to_offer(struct walk *w)
{
    walk_to_address_question(w);
    peer_says(&w->peer, EXAMPLE_8);
    offer(w);
    peer_expects(&w->peer, EXAMPLE_11);
}

/* On to example 19. */
static void walk_to_activation(struct walk *w)
{
    walk_to_offer(w);
    peer_says(&w->peer, EXAMPLE_16);
    fake_carrier_says(&w->carrier, CARRIER_DIALED, 0);
    peer_expects(&w->peer, EXAMPLE_19);
}

static void seed_example_01_initiator_asks_target_for_features(void **state)
{
    struct walk *w = *state;

    ask_target(w);
    peer_expects(&w->peer, EXAMPLE_1);
}

static void seed_example_02_target_announces_bytestreams(void **state)
{
    struct walk *w = *state;

    ask_target(w);
    peer_expects(&w->peer, EXAMPLE_1);
    peer_says(&w->peer, EXAMPLE_2);
    assert_int_equal(w->feature_count, 1);
    assert_string_equal(w->features[0], method_s5b.needs[0]);
}

static void seed_example_03_initiator_asks_server_for_items(void **state)
{
    struct walk *w = *state;

    proxies_online(w->peer.client->proxies);
    peer_expects(&w->peer, EXAMPLE_3);
    peer_expects_nothing(&w->peer);
}

static void seed_example_04_server_lists_the_proxy(void **state)
{
    struct walk *w = *state;
    struct proxy_view view;

    proxies_online(w->peer.client->proxies);
    peer_expects(&w->peer, EXAMPLE_3);
    peer_says(&w->peer, EXAMPLE_4);
    assert_non_null(peer_next(&w->peer));                                 /* it is asked about, but an item */
    assert_int_equal(proxies_view(w->peer.client->proxies, &view, 1), 0); /* alone is no proxy yet */
}

static void seed_example_05_initiator_asks_proxy_what_it_is(void **state)
{
    struct walk *w = *state;

    proxies_online(w->peer.client->proxies);
    peer_expects(&w->peer, EXAMPLE_3);
    peer_says(&w->peer, EXAMPLE_4);
    peer_expects(&w->peer, EXAMPLE_5);
    peer_expects_nothing(&w->peer);
}

static void seed_example_06_proxy_says_that_it_is_one(void **state)
{
    struct walk *w = *state;
    struct proxy_view view;

    walk_to_address_question(w);
    assert_int_equal(proxies_view(w->peer.client->proxies, &view, 1), 1);
    assert_string_equal(view.jid, "streamer.example.com");
    assert_string_equal(view.result, "");
}

static void seed_example_07_initiator_asks_proxy_for_its_address(void **state)
{
    struct walk *w = *state;

    walk_to_address_question(w); /* and without a sid: the proxy need not remember us */
    peer_expects_nothing(&w->peer);
}

static void seed_example_08_proxy_tells_its_address(void **state)
{
    struct walk *w = *state;
    struct streamhost host;

    walk_to_address_question(w);
    peer_says(&w->peer, EXAMPLE_8);
    assert_int_equal(proxies_list(w->peer.client->proxies, &host, 1), 1);
    assert_string_equal(host.jid, "streamer.example.com");
    assert_string_equal(host.host, "24.24.24.1");
    assert_int_equal(host.port, 7625);
}

static void seed_example_09_proxy_forbids(void **state)
{
    struct walk *w = *state;
    struct streamhost host;

    walk_to_address_question(w);
    peer_says(&w->peer, EXAMPLE_9);
    assert_int_equal(proxy_result(w), ERR_PROXY_REFUSED);
    assert_int_equal(proxies_list(w->peer.client->proxies, &host, 1), 0);
}

static void seed_example_10_proxy_is_not_able(void **state)
{
    struct walk *w = *state;
    struct streamhost host;

    walk_to_address_question(w);
    peer_says(&w->peer, EXAMPLE_10);
    assert_int_equal(proxy_result(w), ERR_PROXY_UNAVAILABLE);
    assert_int_equal(proxies_list(w->peer.client->proxies, &host, 1), 0);
}

static void seed_example_11_initiator_offers_streamhosts(void **state)
{
    struct walk *w = *state;

    walk_to_offer(w);
    peer_expects_nothing(&w->peer);
}

static void seed_example_12_target_does_not_want_the_bytestream(void **state)
{
    struct walk *w = *state;

    walk_to_offer(w);
    peer_says(&w->peer, EXAMPLE_12);
    assert_int_equal(fake_host_error(&w->host), ERR_METHOD_UNSUPPORTED);
    assert_null(fake_carrier_stream(&w->carrier));
}

static void seed_example_13_target_reaches_no_streamhost(void **state)
{
    struct walk *w = *state;

    walk_to_offer(w);
    peer_says(&w->peer, EXAMPLE_13);
    assert_int_equal(fake_host_error(&w->host), ERR_STREAMHOSTS_UNREACHABLE);
    assert_null(fake_carrier_stream(&w->carrier));
}

static void seed_example_16_target_names_the_streamhost_it_used(void **state)
{
    struct walk *w = *state;
    const struct carrier_stream *s;
    char name[S5B_NAME];

    walk_to_offer(w);
    peer_says(&w->peer, EXAMPLE_16);
    s = fake_carrier_stream(&w->carrier); /* on to example 17, the initiator's own way to the proxy */
    assert_int_equal(s->job, FAKE_DIALING);
    assert_string_equal(s->to.host, "24.24.24.1");
    assert_int_equal(s->to.port, 7625);
    assert_true(s5b_name(w->peer.sid, INITIATOR, TARGET, name));
    assert_string_equal(s->names[0], name);
    peer_expects_nothing(&w->peer);
}

static void seed_example_19_initiator_asks_proxy_to_activate(void **state)
{
    struct walk *w = *state;

    walk_to_activation(w);
    assert_int_equal(fake_host_count(&w->host, METHOD_STREAM_OPEN), 0);
}

static void seed_example_20_proxy_confirms_and_the_file_goes(void **state)
{
    struct walk *w = *state;

    walk_to_activation(w);
    peer_says(&w->peer, EXAMPLE_20);
    assert_int_equal(fake_host_count(&w->host, METHOD_STREAM_OPEN), 1);
    method_s5b.stream(w->method, &(struct shared_fd){.fd = 3});
    fake_carrier_says(&w->carrier, CARRIER_DONE, 5);
    assert_int_equal(fake_host_last(&w->host, METHOD_COMPLETE)->moved, 5);
    assert_string_equal(w->host.path, "proxy");
    assert_string_equal(w->host.streamhost, "streamer.example.com");
}

/* One id and one sid serve the whole text; with us every question and every stream has its own. */
static void seed_ids_and_sids_are_not_reused(void **state)
{
    struct walk *w = *state;
    char sid[128];

    walk_to_offer(w);
    strcpy(sid, w->peer.sid);
    peer_says(&w->peer, EXAMPLE_13);
    method_s5b.end(&w->method, NULL);
    offer(w);
    peer_expects(&w->peer, EXAMPLE_11);
    assert_string_not_equal(w->peer.sid, sid);
    assert_string_not_equal(w->peer.sid, w->peer.id);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(seed_example_01_initiator_asks_target_for_features),
        TEST(seed_example_02_target_announces_bytestreams),
        TEST(seed_example_03_initiator_asks_server_for_items),
        TEST(seed_example_04_server_lists_the_proxy),
        TEST(seed_example_05_initiator_asks_proxy_what_it_is),
        TEST(seed_example_06_proxy_says_that_it_is_one),
        TEST(seed_example_07_initiator_asks_proxy_for_its_address),
        TEST(seed_example_08_proxy_tells_its_address),
        TEST(seed_example_09_proxy_forbids),
        TEST(seed_example_10_proxy_is_not_able),
        TEST(seed_example_11_initiator_offers_streamhosts),
        TEST(seed_example_12_target_does_not_want_the_bytestream),
        TEST(seed_example_13_target_reaches_no_streamhost),
        TEST(seed_example_16_target_names_the_streamhost_it_used),
        TEST(seed_example_19_initiator_asks_proxy_to_activate),
        TEST(seed_example_20_proxy_confirms_and_the_file_goes),
        TEST(seed_ids_and_sids_are_not_reused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
