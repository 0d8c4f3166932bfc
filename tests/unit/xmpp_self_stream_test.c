/* xmpp/self_stream: a proxy tried by a bytestream of ours to ourselves (XEP-0065 section 6.3). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/fake/xmpp/peer.h"
#include "xmpp/xmpp.h"

struct told {
    unsigned times;
    struct error why;
};

static void on_activated(void *user, const struct error *why)
{
    struct told *told = user;

    told->times++;
    told->why = why ? *why : (struct error){0};
}

static void on_ready(void *user)
{
    ++*(unsigned *)user;
}

static struct network *start(struct peer *p)
{
    peer_start(p, peer_proxy);
    peer_gives_proxy(p, "<streamhost jid='streamer.example.com' host='10.1.2.3' port='7777'/>");
    return &p->network.network;
}

static void the_proxies_are_told_with_their_addresses(void **state)
{
    struct peer p;
    struct network *n = start(&p);
    struct xmpp_streamhost hosts[4];
    unsigned ready = 0;

    (void)state;
    assert_true(xmpp_await_proxies(n, on_ready, &ready));
    assert_int_equal(ready, 0);
    peer_turn(&p);
    assert_int_equal(ready, 1);
    assert_int_equal(xmpp_streamhosts(n, hosts, 4), 1);
    assert_string_equal(hosts[0].jid, "streamer.example.com");
    assert_string_equal(hosts[0].address.host, "10.1.2.3");
    assert_int_equal(hosts[0].address.port, 7777);
    peer_stop(&p);
}

static void both_sides_of_it_are_ourselves(void **state)
{
    struct peer p;
    struct network *n = start(&p);
    struct xmpp_self_stream stream;
    struct told told = {0};
    struct error err = {0};
    char name[S5B_NAME];

    (void)state;
    assert_true(xmpp_name_self_stream(n, &stream));
    assert_true(s5b_name(stream.sid, INITIATOR, INITIATOR, name));
    assert_string_equal(stream.name, name);
    assert_true(xmpp_activate_self_stream(n, &stream, "streamer.example.com", on_activated, &told, &err));
    peer_expects(&p, "<iq type='set' id='*id' to='streamer.example.com' from='" INITIATOR "'>"
                     "<query xmlns='http://jabber.org/protocol/bytestreams' sid='*sid'>"
                     "<activate>" INITIATOR "</activate></query></iq>");
    assert_string_equal(p.sid, stream.sid);
    peer_says(&p, "<iq type='result' id='$id' from='streamer.example.com'/>");
    assert_int_equal(told.times, 1);
    assert_int_equal(told.why.code, ERR_NONE);
    peer_stop(&p);
}

static void a_refusal_is_told_once(void **state)
{
    struct peer p;
    struct network *n = start(&p);
    struct xmpp_self_stream stream;
    struct told told = {0};
    struct error err = {0};

    (void)state;
    assert_true(xmpp_name_self_stream(n, &stream));
    assert_true(xmpp_activate_self_stream(n, &stream, "streamer.example.com", on_activated, &told, &err));
    assert_non_null(peer_next(&p));
    peer_refuses(&p, "streamer.example.com", "cancel", "internal-server-error", "");
    assert_int_equal(told.times, 1);
    assert_int_equal(told.why.code, ERR_PROXY_FAILED);
    peer_stop(&p);
}

static void without_a_session_there_is_none(void **state)
{
    struct peer p;
    struct network *n = start(&p);
    struct xmpp_self_stream stream = {"sid", "name"};
    struct told told = {0};
    struct error err = {0};

    (void)state;
    p.client->online = false;
    assert_false(xmpp_name_self_stream(n, &stream));
    p.deaf = true;
    assert_false(xmpp_activate_self_stream(n, &stream, "streamer.example.com", on_activated, &told, &err));
    assert_int_equal(told.times, 0);
    assert_int_not_equal(err.code, ERR_NONE);
    peer_stop(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_proxies_are_told_with_their_addresses),
        cmocka_unit_test(both_sides_of_it_are_ourselves),
        cmocka_unit_test(a_refusal_is_told_once),
        cmocka_unit_test(without_a_session_there_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
