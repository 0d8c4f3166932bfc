/* xmpp/s5b.c: the bytestream's requester, from the offer to the last byte (XEP-0065 sections 4 to 6). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/fake/carrier.h"
#include "tests/fake/method_host.h"
#include "tests/fake/relay.h"
#include "tests/fake/xmpp/peer.h"
#include "xmpp/ns.h"
#include "xmpp/proxies.h"
#include "xmpp/s5b.h"

#define STREAMHOST "<streamhost jid='streamer.example.com' host='203.0.113.9' port='7625'/>"
#define DIRECT     "<streamhost jid='" INITIATOR "' host='198.51.100.7' port='5086'/>"

struct bench {
    struct peer peer;
    struct fake_carrier carrier;
    struct fake_host host;
    struct jid to;
    struct s5b *s5b;
};

static int setup(void **state)
{
    static struct bench b;

    memset(&b, 0, sizeof b);
    peer_start(&b.peer, peer_proxy);
    fake_carrier_init(&b.carrier);
    fake_host_init(&b.host, &b.carrier.carrier, &b.peer.loop);
    assert_true(jid_parse(&b.to, TARGET, strlen(TARGET), NULL));
    *state = &b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;

    s5b_destroy(&b->s5b);
    assert_null(fake_carrier_stream(&b->carrier));
    peer_stop(&b->peer);
    return 0;
}

static void ready(void *user)
{
    struct bench *b = user;

    s5b_offer(b->s5b);
}

static void begin_with(struct bench *b, struct s5b_terms terms)
{
    struct error err;

    terms.to = &b->to;
    terms.not_acceptable = ERR_STREAMHOSTS_REFUSED;
    b->s5b = s5b_create(&b->host.host, b->peer.client, &terms, ready, b, &err);
    assert_non_null(b->s5b);
    peer_turn(&b->peer);
}

static void begin(struct bench *b)
{
    begin_with(b, (struct s5b_terms){.size = 1000});
}

static void begin_bare(struct bench *b)
{
    begin_with(b, (struct s5b_terms){.size = 1000, .bare = true});
}

static void expects_offer(struct bench *b, const char *streamhosts)
{
    char xml[1024];

    snprintf(xml, sizeof xml,
             "<iq type='set' id='*id' to='" TARGET "'><query xmlns='" NS_BYTESTREAMS
             "' sid='*sid' mode='tcp'>%s</query></iq>",
             streamhosts);
    peer_expects(&b->peer, xml);
}

static void uses(struct bench *b, const char *jid)
{
    char xml[1024];

    snprintf(xml, sizeof xml,
             "<iq type='result' id='$id' from='" TARGET "' to='" INITIATOR "'><query xmlns='" NS_BYTESTREAMS
             "' sid='$sid'><streamhost-used jid='%s'/></query></iq>",
             jid);
    peer_says(&b->peer, xml);
}

static void expects_activation(struct bench *b, const char *proxy)
{
    char xml[1024];

    snprintf(xml, sizeof xml,
             "<iq type='set' id='*id' to='%s'><query xmlns='" NS_BYTESTREAMS "' sid='$sid'><activate>" TARGET
             "</activate></query></iq>",
             proxy);
    peer_expects(&b->peer, xml);
}

static void activates(struct bench *b, const char *proxy)
{
    char xml[512];

    snprintf(xml, sizeof xml, "<iq type='result' id='$id' from='%s' to='" INITIATOR "'/>", proxy);
    peer_says(&b->peer, xml);
}

static void activation_fails(struct bench *b, const char *condition)
{
    peer_refuses(&b->peer, "streamer.example.com", "cancel", condition, "");
}

/* Through the recipient's choice of the proxy, to the activation we ask for. */
static void up_to_activation(struct bench *b)
{
    b->carrier.advertises = false;
    peer_gives_proxy(&b->peer, STREAMHOST);
    begin(b);
    expects_offer(b, STREAMHOST);
    uses(b, "streamer.example.com");
    fake_carrier_says(&b->carrier, CARRIER_DIALED, 0);
    expects_activation(b, "streamer.example.com");
}

static bool at_our_listener(struct relay *r, struct carrier_address *out)
{
    (void)r;
    *out = (struct carrier_address){.host = "198.51.100.7", .port = 5086};
    return true;
}

static size_t opened(const struct bench *b)
{
    return fake_host_count(&b->host, METHOD_STREAM_OPEN);
}

/* ---- the name, section 5.3.2 */

static void name_is_sha1_of_sid_and_prepared_jids(void **state)
{
    static const struct {
        const char *says, *sid, *requester, *target, *want;
    } rows[] = {
        {"A, the seed's", "vxf9n471bn46", INITIATOR, TARGET, "3457684be69fb9990232e6a8b1f55e80c3262c1b"},
        {"A', swapped", "vxf9n471bn46", TARGET, INITIATOR, "18f26cae66d4afa56faea7a0d0b051026c15ae7f"},
        {"M, a room's occupant", "yia72g3v49j7", "requester@example.com/foo", "room@conference.example.net/Tget",
         "416781edf1ae50bad01cb8509ba35b43952bc345"},
        {"J, XEP-0260's", "vj3hs98y", "romeo@montague.lit/orchard", "juliet@capulet.lit/balcony",
         "972b7bf47291ca609517f67f86b5081086052dad"},
        {"J', its responder's proxy", "vj3hs98y", "juliet@capulet.lit/balcony", "romeo@montague.lit/orchard",
         "1a12fb7bc625e55f3ed5b29a53dbe0e4aa7d80ba"},
        {"B, as typed", "s1", "Alice@EXAMPLE.com/Home", "bob@example.org/PC",
         "1828c01f38fafbada10ae76f8a08680c7e0eb6e6"},
        {"C, Latin letters", "s2", "jürgen@example.com/gw", "zoë@example.org/büro",
         "3d90cb58aa7548a870531f76204d795c9d85bd8f"},
        {"D, Cyrillic", "s3", "иван@example.com/gw", "bob@example.org/PC", "02809c36d7758a82c67d4f91b681aba832194cca"},
        {"E, a bare component", "s4", "jidpost.example", "bob@example.org/PC",
         "451ab43da2e33141c30bb622faf704d6fca6f915"},
        {"F, no local part", "s4", "jidpost.example/gw", "bob@example.org/PC",
         "6e3e9ade878fc64e48232df6be1b3c2e5add2b4a"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct jid requester, target;
        char name[S5B_NAME];

        assert_true(jid_parse(&requester, rows[i].requester, strlen(rows[i].requester), NULL));
        assert_true(jid_parse(&target, rows[i].target, strlen(rows[i].target), NULL));
        assert_true(s5b_name(rows[i].sid, requester.text, target.text, name));
        if (strcmp(name, rows[i].want) != 0)
            fail_msg("%s: %s", rows[i].says, name);
    }
}

static void listener_knows_both_orders(void **state)
{
    char names[CARRIER_NAMES][S5B_NAME];

    (void)state;
    assert_int_equal(s5b_names("vxf9n471bn46", INITIATOR, TARGET, names), 2);
    assert_string_equal(names[0], "3457684be69fb9990232e6a8b1f55e80c3262c1b");
    assert_string_equal(names[1], "18f26cae66d4afa56faea7a0d0b051026c15ae7f");
}

static void listener_knows_what_qxmpp_hashes_beyond_ascii(void **state)
{
    static const struct {
        const char *sid, *self, *peer, *want;
    } rows[] = {
        {"s2", "jürgen@example.com/gw", "zoë@example.org/büro", "ccb41a31103a1fdb1dd745033bad28fc2286526e"},
        {"s3", "иван@example.com/gw", "bob@example.org/PC", "3394359275441ce4f96b71847f3ca4d29a6c6cb4"},
        /* SHA-1 of "s5??@a.example/xb@b.example/y": two UTF-16 units, two marks */
        {"s5", "😀@a.example/x", "b@b.example/y", "03863817513737e9643588babd16d8e18e2d5fbf"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char names[CARRIER_NAMES][S5B_NAME], swapped[CARRIER_NAMES][S5B_NAME];

        assert_int_equal(s5b_names(rows[i].sid, rows[i].self, rows[i].peer, names), 4);
        assert_string_equal(names[2], rows[i].want);
        assert_int_equal(s5b_names(rows[i].sid, rows[i].peer, rows[i].self, swapped), 4);
        assert_string_equal(names[3], swapped[2]);
    }
}

/* ---- the offer */

static void sid_is_random_and_an_nmtoken_all_servers_take(void **state)
{
    struct bench *b = *state;
    char first[S5B_SID];

    begin(b);
    strcpy(first, s5b_sid(b->s5b));
    assert_in_range(strlen(first), 8, 64);
    assert_int_equal(strspn(first, "abcdefghijklmnopqrstuvwxyz0123456789"), strlen(first));
    s5b_destroy(&b->s5b);
    begin(b);
    assert_string_not_equal(s5b_sid(b->s5b), first);
}

static void own_listener_is_offered_before_the_proxies(void **state)
{
    struct bench *b = *state;

    peer_gives_proxy(&b->peer, STREAMHOST);
    begin(b);
    expects_offer(b, DIRECT STREAMHOST);
}

static void offer_waits_until_the_proxies_have_answered(void **state)
{
    struct bench *b = *state;

    proxies_online(b->peer.client->proxies);
    peer_expects(&b->peer, "<iq type='get' id='*' to='example.com'><query xmlns='" NS_DISCO_ITEMS "'/></iq>");
    peer_expects(&b->peer, "<iq type='get' id='*' to='streamer.example.com'><query xmlns='" NS_BYTESTREAMS "'/></iq>");
    begin(b);
    peer_expects_nothing(&b->peer);
    peer_skip(&b->peer);
    peer_skip(&b->peer);
    expects_offer(b, DIRECT);
}

static void address_is_told_only_to_whom_it_may_be_told(void **state)
{
    struct bench *b = *state;

    b->peer.settings.direct = XMPP_DIRECT_NEVER;
    peer_gives_proxy(&b->peer, STREAMHOST);
    begin(b);
    expects_offer(b, STREAMHOST);
    assert_null(fake_carrier_stream(&b->carrier));
}

static void nothing_to_offer_says_what_to_configure(void **state)
{
    struct bench *b = *state;

    b->carrier.advertises = false;
    begin(b);
    peer_expects_nothing(&b->peer);
    assert_int_equal(fake_host_error(&b->host), ERR_STREAMHOSTS_UNREACHABLE);
    assert_non_null(strstr(fake_host_last(&b->host, METHOD_FAILED)->error.text, "[socks5] advertise"));
    assert_non_null(strstr(fake_host_last(&b->host, METHOD_FAILED)->error.text, "[xmpp] proxies"));
}

static void listener_awaits_the_name_when_the_offer_leaves(void **state)
{
    struct bench *b = *state;
    struct carrier_stream *s;
    char name[S5B_NAME];

    begin(b);
    expects_offer(b, DIRECT);
    s = fake_carrier_stream(&b->carrier);
    assert_int_equal(s->job, FAKE_EXPECTING);
    assert_int_equal(s->name_count, 2);
    assert_true(s5b_name(b->peer.sid, INITIATOR, TARGET, name));
    assert_string_equal(s->names[0], name);
    assert_true(s->wait_ms >= 60000 + 3000);
}

static void listener_that_fails_ends_the_offer(void **state)
{
    struct bench *b = *state;

    b->carrier.refuses = true;
    begin(b);
    peer_expects_nothing(&b->peer);
    assert_int_equal(fake_host_error(&b->host), ERR_SYSTEM);
}

static void offer_that_cannot_be_sent_says_disconnected(void **state)
{
    struct bench *b = *state;

    b->peer.deaf = true;
    begin(b);
    assert_int_equal(fake_host_error(&b->host), ERR_XMPP_DISCONNECTED);
}

/* Clients give each streamhost up to half a minute; all of them together get between one minute and three. */
static void recipient_gets_time_by_the_number_of_streamhosts(void **state)
{
    static const struct {
        size_t hosts;
        unsigned connect_ms;
        uint64_t want;
    } rows[] = {{1, 0, 60000}, {3, 0, 90000}, {6, 0, 180000}, {8, 0, 180000}, {1, 100000, 100000}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;
        char xml[1024] = "";

        b->carrier.advertises = false;
        for (size_t k = 0; k < rows[i].hosts; k++)
            strcat(xml, STREAMHOST);
        peer_gives_proxy(&b->peer, xml);
        begin_with(b, (struct s5b_terms){.size = 1, .connect_ms = rows[i].connect_ms});
        assert_in_range(peer_skip(&b->peer), rows[i].want - 100, rows[i].want);
        assert_int_equal(fake_host_error(&b->host), ERR_RECIPIENT_TIMEOUT);
        teardown(state);
        setup(state);
    }
}

/* ---- the answer */

static void refusals_have_their_codes(void **state)
{
    static const struct {
        const char *type, *condition;
        enum error_code want;
    } rows[] = {
        {"modify", "not-acceptable", ERR_STREAMHOSTS_REFUSED},
        {"auth", "not-acceptable", ERR_STREAMHOSTS_REFUSED}, /* as before XEP-0065 1.8, and still by QXmpp */
        {"cancel", "item-not-found", ERR_STREAMHOSTS_UNREACHABLE},
        {"cancel", "remote-server-not-found", ERR_STREAMHOSTS_UNREACHABLE},
        {"modify", "bad-request", ERR_PEER_PROTOCOL_ERROR},
        {"cancel", "service-unavailable", ERR_METHOD_UNSUPPORTED},
        {"cancel", "feature-not-implemented", ERR_METHOD_UNSUPPORTED},
        {"wait", "recipient-unavailable", ERR_RECIPIENT_OFFLINE},
        {"wait", "remote-server-timeout", ERR_REMOTE_SERVER_TIMEOUT},
        {"cancel", "undefined-condition", ERR_PEER_ERROR},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;

        begin(b);
        expects_offer(b, DIRECT);
        peer_refuses(&b->peer, TARGET, rows[i].type, rows[i].condition, "");
        if (fake_host_error(&b->host) != rows[i].want)
            fail_msg("%s: %s", rows[i].condition, error_name(fake_host_error(&b->host)));
        assert_null(fake_carrier_stream(&b->carrier));
        teardown(state);
        setup(state);
    }
}

static void unknown_streamhost_is_a_protocol_error_and_nobody_is_dialed(void **state)
{
    static const char *const jids[] = {"streamer.evil.example", "initiator@example.com/other", "@@", ""};

    for (size_t i = 0; i < sizeof jids / sizeof *jids; i++) {
        struct bench *b = *state;

        begin(b);
        expects_offer(b, DIRECT);
        uses(b, jids[i]);
        assert_int_equal(fake_host_error(&b->host), ERR_PEER_PROTOCOL_ERROR);
        assert_null(fake_carrier_stream(&b->carrier));
        teardown(state);
        setup(state);
    }
}

static void answer_without_streamhost_used_is_a_protocol_error(void **state)
{
    struct bench *b = *state;

    begin(b);
    expects_offer(b, DIRECT);
    peer_says(&b->peer, "<iq type='result' id='$id' from='" TARGET "'/>");
    assert_int_equal(fake_host_error(&b->host), ERR_PEER_PROTOCOL_ERROR);
}

static void answer_needs_no_sid_and_may_spell_the_domain_its_way(void **state)
{
    struct bench *b = *state;

    begin(b);
    expects_offer(b, DIRECT);
    fake_carrier_says(&b->carrier, CARRIER_CLAIMED, 0);
    peer_says(&b->peer, "<iq type='result' id='$id' from='" TARGET "'><query xmlns='" NS_BYTESTREAMS
                        "'><streamhost-used jid='initiator@EXAMPLE.com/foo'/></query></iq>");
    assert_int_equal(opened(b), 1);
}

static void second_and_late_answers_are_ignored(void **state)
{
    struct bench *b = *state;

    begin(b);
    expects_offer(b, DIRECT);
    fake_carrier_says(&b->carrier, CARRIER_CLAIMED, 0);
    uses(b, INITIATOR);
    uses(b, INITIATOR);
    peer_refuses(&b->peer, TARGET, "cancel", "item-not-found", "");
    assert_int_equal(b->host.report_count, 1);
    assert_int_equal(opened(b), 1);
}

/* Psi's "fast mode" offers streamhosts of its own under our id. */
static void offer_that_comes_back_is_refused_while_ours_goes_on(void **state)
{
    struct bench *b = *state;
    char id[64];

    begin(b);
    expects_offer(b, DIRECT);
    strcpy(id, b->peer.id);
    peer_says(&b->peer, "<iq type='set' id='fast1' from='" TARGET "' to='" INITIATOR "'><query xmlns='" NS_BYTESTREAMS
                        "' sid='$sid'><streamhost jid='" TARGET "' host='203.0.113.50' port='8010'/></query></iq>");
    peer_expects(&b->peer, "<iq type='error' id='fast1' to='" TARGET
                           "'><error type='modify' code='406'><not-acceptable xmlns='" NS_STANZAS "'/></error></iq>");
    strcpy(b->peer.id, id);
    fake_carrier_says(&b->carrier, CARRIER_CLAIMED, 0);
    uses(b, INITIATOR);
    assert_int_equal(opened(b), 1);
}

/* ---- direct */

static void direct_stream_is_open_once_claimed_and_chosen(void **state)
{
    struct bench *b = *state;

    begin(b);
    expects_offer(b, DIRECT);
    fake_carrier_says(&b->carrier, CARRIER_CLAIMED, 0);
    assert_int_equal(opened(b), 0); /* the recipient may still take another streamhost */
    uses(b, INITIATOR);
    assert_int_equal(opened(b), 1);
    assert_string_equal(b->host.path, "direct");
    assert_string_equal(b->host.streamhost, INITIATOR);
}

static void answer_that_overtakes_its_socket_waits_for_it(void **state)
{
    struct bench *b = *state;

    begin(b);
    expects_offer(b, DIRECT);
    uses(b, INITIATOR);
    assert_int_equal(b->host.report_count, 0);
    fake_carrier_says(&b->carrier, CARRIER_CLAIMED, 0);
    assert_int_equal(opened(b), 1);
}

/* Who may not be told our address may be told our proxy's, which everybody has; and still connects to us. */
static void our_own_proxy_is_the_direct_way_by_another_name(void **state)
{
    struct bench *b = *state;
    struct fake_relay relay;

    fake_relay_init(&relay);
    relay.relay.ops = &(const struct relay_ops){.where = at_our_listener};
    b->peer.client->relay = &relay.relay;
    b->peer.settings.direct = XMPP_DIRECT_NEVER;
    peer_gives_proxy(&b->peer, STREAMHOST);
    begin(b);
    expects_offer(b, "<streamhost jid='example.com' host='198.51.100.7' port='5086'/>" STREAMHOST);
    fake_carrier_says(&b->carrier, CARRIER_CLAIMED, 0);
    uses(b, "example.com");
    peer_expects_nothing(&b->peer); /* nobody is asked to activate anything */
    assert_int_equal(opened(b), 1);
}

static void our_own_proxy_is_not_offered_beside_the_same_address(void **state)
{
    struct bench *b = *state;
    struct fake_relay relay;

    fake_relay_init(&relay);
    relay.relay.ops = &(const struct relay_ops){.where = at_our_listener};
    b->peer.client->relay = &relay.relay;
    peer_gives_proxy(&b->peer, STREAMHOST);
    begin(b);
    expects_offer(b, DIRECT STREAMHOST);
}

static void socket_that_never_comes_is_awaited_three_seconds(void **state)
{
    struct bench *b = *state;

    begin(b);
    expects_offer(b, DIRECT);
    uses(b, INITIATOR);
    assert_in_range(peer_skip(&b->peer), 2900, 3000);
    assert_int_equal(fake_host_error(&b->host), ERR_STREAMHOSTS_UNREACHABLE);
}

static void many_sockets_of_one_recipient_open_one_stream(void **state)
{
    struct bench *b = *state;

    begin(b);
    expects_offer(b, DIRECT);
    uses(b, INITIATOR);
    for (int i = 0; i < 3; i++)
        fake_carrier_says(&b->carrier, CARRIER_CLAIMED, 0);
    assert_int_equal(opened(b), 1);
}

static void direct_socket_lost_before_the_answer_fails_only_if_it_was_chosen(void **state)
{
    struct bench *b = *state;

    peer_gives_proxy(&b->peer, STREAMHOST);
    begin(b);
    expects_offer(b, DIRECT STREAMHOST);
    fake_carrier_says(&b->carrier, CARRIER_CLAIMED, 0);
    fake_carrier_fails(&b->carrier, ERR_STREAM_BROKEN, "reset", 0);
    assert_int_equal(b->host.report_count, 0);
    uses(b, "streamer.example.com");
    assert_int_equal(fake_carrier_stream(&b->carrier)->job, FAKE_DIALING);

    teardown(state);
    setup(state);
    begin(b);
    expects_offer(b, DIRECT);
    fake_carrier_fails(&b->carrier, ERR_STREAM_BROKEN, "reset", 0);
    uses(b, INITIATOR);
    assert_int_equal(fake_host_error(&b->host), ERR_STREAM_BROKEN);
}

/* ---- a proxy */

static void proxy_is_asked_for_the_same_name_then_activated(void **state)
{
    struct bench *b = *state;
    struct carrier_stream *s;
    char name[S5B_NAME], timeline[1024];

    peer_gives_proxy(&b->peer, STREAMHOST);
    begin(b);
    expects_offer(b, DIRECT STREAMHOST);
    uses(b, "streamer.example.com");
    s = fake_carrier_stream(&b->carrier);
    assert_int_equal(s->job, FAKE_DIALING);
    assert_true(s5b_name(b->peer.sid, INITIATOR, TARGET, name));
    assert_string_equal(s->names[0], name);
    assert_string_equal(s->to.host, "203.0.113.9");
    assert_int_equal(s->to.port, 7625);
    assert_true(s->trusted);
    peer_expects_nothing(&b->peer); /* not before we are connected */
    fake_carrier_says(&b->carrier, CARRIER_DIALED, 0);
    expects_activation(b, "streamer.example.com");
    assert_int_equal(opened(b), 0);
    activates(b, "streamer.example.com");
    assert_int_equal(opened(b), 1);
    assert_string_equal(b->host.path, "proxy");
    assert_string_equal(b->host.streamhost, "streamer.example.com");
    assert_string_equal(fake_host_timeline(&b->host, timeline),
                        "streamhosts; streamhost-used ok; socks5 connect; socks5 connect ok; activate; activated ok");
}

static void proxy_is_offered_and_activated_at_exactly_the_jid_it_told(void **state)
{
    struct bench *b = *state;

    b->carrier.advertises = false;
    peer_gives_proxy(&b->peer, "<streamhost jid='proxy.h.example/node@1' host='203.0.113.9' port='7777'/>");
    begin(b);
    expects_offer(b, "<streamhost jid='proxy.h.example/node@1' host='203.0.113.9' port='7777'/>");
    uses(b, "proxy.h.example/node@1");
    fake_carrier_says(&b->carrier, CARRIER_DIALED, 0);
    expects_activation(b, "proxy.h.example/node@1");
    activates(b, "proxy.h.example/node@1");
    assert_int_equal(opened(b), 1);
}

static void addresses_of_one_proxy_are_tried_in_the_order_learnt(void **state)
{
    struct bench *b = *state;
    const char *hosts = "<streamhost jid='streamer.example.com' host='203.0.113.1' port='7777'/>"
                        "<streamhost jid='streamer.example.com' host='203.0.113.2' port='7777'/>";

    b->carrier.advertises = false;
    peer_gives_proxy(&b->peer, hosts);
    begin(b);
    expects_offer(b, hosts);
    uses(b, "streamer.example.com");
    assert_string_equal(fake_carrier_stream(&b->carrier)->to.host, "203.0.113.1");
    fake_carrier_fails(&b->carrier, ERR_STREAMHOSTS_UNREACHABLE, "refused", 0);
    assert_string_equal(fake_carrier_stream(&b->carrier)->to.host, "203.0.113.2");
    assert_int_equal(b->host.report_count, 0);
    fake_carrier_fails(&b->carrier, ERR_STREAMHOSTS_UNREACHABLE, "refused", 0);
    assert_int_equal(fake_host_error(&b->host), ERR_PROXY_UNAVAILABLE);
}

static void proxy_out_of_reach_is_kept_out_of_the_next_offer(void **state)
{
    struct bench *b = *state;
    struct streamhost host;

    b->carrier.advertises = false;
    peer_gives_proxy(&b->peer, STREAMHOST);
    begin(b);
    expects_offer(b, STREAMHOST);
    uses(b, "streamer.example.com");
    fake_carrier_fails(&b->carrier, ERR_STREAMHOSTS_UNREACHABLE, "refused", 0);
    assert_int_equal(fake_host_error(&b->host), ERR_PROXY_UNAVAILABLE);
    assert_int_equal(proxies_list(b->peer.client->proxies, &host, 1), 0);
}

static void proxy_dial_that_our_system_refuses_is_no_fault_of_the_proxy(void **state)
{
    for (int at_once = 0; at_once < 2; at_once++) {
        struct bench *b = *state;
        struct streamhost host;

        b->carrier.advertises = false;
        peer_gives_proxy(&b->peer, STREAMHOST);
        begin(b);
        expects_offer(b, STREAMHOST);
        b->carrier.refuses = at_once;
        uses(b, "streamer.example.com");
        if (!at_once)
            fake_carrier_fails(&b->carrier, ERR_SYSTEM, "out of descriptors", 0);
        assert_int_equal(fake_host_error(&b->host), ERR_SYSTEM);
        assert_int_equal(proxies_list(b->peer.client->proxies, &host, 1), 1);
        teardown(state);
        setup(state);
    }
}

/* ---- activation */

static void activation_not_allowed_is_asked_once_more_after_a_second(void **state)
{
    struct bench *b = *state;

    up_to_activation(b);
    activation_fails(b, "not-allowed");
    assert_int_equal(b->host.report_count, 0);
    assert_in_range(peer_skip(&b->peer), 900, 1000);
    expects_activation(b, "streamer.example.com");
    activates(b, "streamer.example.com");
    assert_int_equal(opened(b), 1);
}

static void activation_not_allowed_twice_is_an_incomplete_pair(void **state)
{
    struct bench *b = *state;

    up_to_activation(b);
    activation_fails(b, "not-allowed");
    peer_skip(&b->peer);
    expects_activation(b, "streamer.example.com");
    activation_fails(b, "not-allowed");
    assert_int_equal(fake_host_error(&b->host), ERR_PROXY_PAIR_INCOMPLETE);
}

static void activation_errors_have_their_codes_and_blame_the_proxy_or_not(void **state)
{
    static const struct {
        const char *condition;
        enum error_code want;
        bool kept; /* other transfers may go on using it */
    } rows[] = {
        {"item-not-found", ERR_PROXY_HASH_MISMATCH, true},
        {"not-authorized", ERR_PROXY_HASH_MISMATCH, true},
        {"resource-constraint", ERR_PROXY_BUSY, true},
        {"conflict", ERR_PROXY_ALREADY_ACTIVE, true},
        {"internal-server-error", ERR_PROXY_FAILED, false},
        {"forbidden", ERR_PROXY_REFUSED, false},
        {"service-unavailable", ERR_PROXY_UNAVAILABLE, false},
        {"remote-server-not-found", ERR_PROXY_UNAVAILABLE, false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;
        struct streamhost host;

        up_to_activation(b);
        activation_fails(b, rows[i].condition);
        if (fake_host_error(&b->host) != rows[i].want)
            fail_msg("%s: %s", rows[i].condition, error_name(fake_host_error(&b->host)));
        if (proxies_list(b->peer.client->proxies, &host, 1) != rows[i].kept)
            fail_msg("%s: the proxy is %s", rows[i].condition, rows[i].kept ? "dropped" : "kept");
        assert_null(fake_carrier_stream(&b->carrier));
        teardown(state);
        setup(state);
    }
}

static void activation_without_an_answer_is_asked_again_and_then_given_up(void **state)
{
    struct bench *b = *state;
    uint64_t waited;

    up_to_activation(b);
    waited = peer_skip(&b->peer);
    expects_activation(b, "streamer.example.com");
    assert_int_equal(b->host.report_count, 0);
    waited += peer_skip(&b->peer);
    assert_in_range(waited, 19900, 20000);
    assert_int_equal(fake_host_error(&b->host), ERR_ACTIVATION_TIMEOUT);
}

static void conflict_after_a_lost_answer_means_it_is_active(void **state)
{
    struct bench *b = *state;

    up_to_activation(b);
    peer_skip(&b->peer);
    expects_activation(b, "streamer.example.com");
    activation_fails(b, "conflict");
    assert_int_equal(opened(b), 1);
}

/* ejabberd at its limit closes both sockets before it answers; the answer says why. */
static void proxy_that_hangs_up_before_it_answers_is_judged_by_the_answer(void **state)
{
    struct bench *b = *state;

    up_to_activation(b);
    fake_carrier_fails(&b->carrier, ERR_STREAM_BROKEN, "closed", 0);
    assert_int_equal(b->host.report_count, 0);
    activation_fails(b, "resource-constraint");
    assert_int_equal(fake_host_error(&b->host), ERR_PROXY_BUSY);

    teardown(state);
    setup(state);
    up_to_activation(b);
    fake_carrier_fails(&b->carrier, ERR_STREAM_BROKEN, "closed", 0);
    activates(b, "streamer.example.com");
    assert_int_equal(fake_host_error(&b->host), ERR_PROXY_FAILED);
}

static void end_of_the_session_fails_a_negotiation_cleanly(void **state)
{
    struct bench *b = *state;

    begin(b);
    iq_disconnected(b->peer.client->iq);
    assert_int_equal(fake_host_error(&b->host), ERR_XMPP_DISCONNECTED);

    teardown(state);
    setup(state);
    up_to_activation(b);
    iq_disconnected(b->peer.client->iq);
    assert_int_equal(fake_host_error(&b->host), ERR_XMPP_DISCONNECTED);
    assert_int_equal(fake_host_count(&b->host, METHOD_FAILED), 1);
}

/* ---- another proxy */

static void bare_offer_is_made_once_more_without_the_proxy_that_failed(void **state)
{
    struct bench *b = *state;
    char first[128];

    peer_gives_proxy(&b->peer, STREAMHOST);
    begin_bare(b);
    expects_offer(b, DIRECT STREAMHOST);
    strcpy(first, b->peer.sid);
    uses(b, "streamer.example.com");
    fake_carrier_says(&b->carrier, CARRIER_DIALED, 0);
    expects_activation(b, "streamer.example.com");
    activation_fails(b, "resource-constraint");
    expects_offer(b, DIRECT);
    assert_string_not_equal(b->peer.sid, first); /* the recipient holds the first for taken */
    fake_carrier_says(&b->carrier, CARRIER_CLAIMED, 0);
    uses(b, INITIATOR);
    assert_int_equal(fake_host_count(&b->host, METHOD_ACCEPTED), 1);
    assert_int_equal(opened(b), 1);
    assert_int_equal(fake_host_count(&b->host, METHOD_FAILED), 0);
}

static void further_offer_is_the_last(void **state)
{
    struct bench *b = *state;
    const char *hosts = "<streamhost jid='one.example.com' host='203.0.113.1' port='7777'/>"
                        "<streamhost jid='two.example.com' host='203.0.113.2' port='7777'/>";

    b->carrier.advertises = false;
    peer_gives_proxy(&b->peer, hosts);
    begin_bare(b);
    expects_offer(b, hosts);
    uses(b, "one.example.com");
    fake_carrier_says(&b->carrier, CARRIER_DIALED, 0);
    expects_activation(b, "one.example.com");
    peer_refuses(&b->peer, "one.example.com", "wait", "resource-constraint", "");
    expects_offer(b, "<streamhost jid='two.example.com' host='203.0.113.2' port='7777'/>");
    uses(b, "two.example.com");
    fake_carrier_says(&b->carrier, CARRIER_DIALED, 0);
    expects_activation(b, "two.example.com");
    peer_refuses(&b->peer, "two.example.com", "wait", "resource-constraint", "");
    peer_expects_nothing(&b->peer);
    assert_int_equal(fake_host_error(&b->host), ERR_PROXY_BUSY);
}

static void bare_offer_without_another_streamhost_fails_by_what_happened(void **state)
{
    struct bench *b = *state;

    b->carrier.advertises = false;
    peer_gives_proxy(&b->peer, STREAMHOST);
    begin_bare(b);
    expects_offer(b, STREAMHOST);
    uses(b, "streamer.example.com");
    fake_carrier_fails(&b->carrier, ERR_STREAMHOSTS_UNREACHABLE, "refused", 0);
    peer_expects_nothing(&b->peer);
    assert_int_equal(fake_host_error(&b->host), ERR_PROXY_UNAVAILABLE);
}

static void offer_behind_an_si_is_not_repeated(void **state)
{
    struct bench *b = *state;

    peer_gives_proxy(&b->peer, STREAMHOST);
    begin(b);
    expects_offer(b, DIRECT STREAMHOST);
    uses(b, "streamer.example.com");
    fake_carrier_fails(&b->carrier, ERR_STREAMHOSTS_UNREACHABLE, "refused", 0);
    peer_expects_nothing(&b->peer);
    assert_int_equal(fake_host_error(&b->host), ERR_PROXY_UNAVAILABLE);
}

/* ---- bytes */

static void open_direct(struct bench *b, uint64_t size)
{
    begin_with(b, (struct s5b_terms){.size = size});
    expects_offer(b, DIRECT);
    fake_carrier_says(&b->carrier, CARRIER_CLAIMED, 0);
    uses(b, INITIATOR);
    s5b_stream(b->s5b, &(struct shared_fd){.fd = 7});
}

static void bytes_go_by_the_carrier_and_progress_comes_back(void **state)
{
    struct bench *b = *state;
    const struct carrier_stream *s;

    open_direct(b, 5000000000); /* more than 32 bits */
    s = fake_carrier_stream(&b->carrier);
    assert_int_equal(s->job, FAKE_SENDING);
    assert_int_equal(s->fd, 7);
    assert_true(s->offset == 0 && s->length == 5000000000);
    fake_carrier_says(&b->carrier, CARRIER_PROGRESS, 4300000000);
    assert_true(fake_host_last(&b->host, METHOD_PROGRESS)->moved == 4300000000);
}

static void direct_stream_the_peer_closed_is_proof_of_that(void **state)
{
    struct bench *b = *state;

    open_direct(b, 1000);
    fake_carrier_says(&b->carrier, CARRIER_DONE, 1000);
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->proof, PROOF_PEER_CLOSED);
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->moved, 1000);
}

static void proxied_stream_is_only_proof_that_the_proxy_took_it(void **state)
{
    struct bench *b = *state;

    up_to_activation(b);
    activates(b, "streamer.example.com");
    s5b_stream(b->s5b, &(struct shared_fd){.fd = 7});
    fake_carrier_says(&b->carrier, CARRIER_DONE, 1000);
    assert_int_equal(fake_host_last(&b->host, METHOD_COMPLETE)->proof, PROOF_PROXY_ACCEPTED);
}

static void peer_that_hangs_up_at_half_breaks_the_stream_and_the_count_is_told(void **state)
{
    struct bench *b = *state;

    open_direct(b, 1000);
    fake_carrier_fails(&b->carrier, ERR_STREAM_BROKEN, "closed by the other side after 500 bytes", 500);
    assert_int_equal(fake_host_error(&b->host), ERR_STREAM_BROKEN);
    assert_int_equal(fake_host_last(&b->host, METHOD_PROGRESS)->moved, 500);
    assert_int_equal(fake_host_count(&b->host, METHOD_COMPLETE), 0);
}

static void stream_lost_before_the_transfer_begins_is_reported_once(void **state)
{
    struct bench *b = *state;

    begin(b);
    expects_offer(b, DIRECT);
    fake_carrier_says(&b->carrier, CARRIER_CLAIMED, 0);
    uses(b, INITIATOR);
    fake_carrier_fails(&b->carrier, ERR_STREAM_BROKEN, "reset", 0);
    s5b_stream(b->s5b, &(struct shared_fd){.fd = 7});
    assert_int_equal(fake_host_count(&b->host, METHOD_FAILED), 1);
    assert_int_equal(fake_host_error(&b->host), ERR_STREAM_BROKEN);
}

static void empty_file_is_a_stream_of_no_bytes(void **state)
{
    struct bench *b = *state;

    open_direct(b, 0);
    assert_true(fake_carrier_stream(&b->carrier)->length == 0);
    fake_carrier_says(&b->carrier, CARRIER_DONE, 0);
    assert_int_equal(fake_host_count(&b->host, METHOD_COMPLETE), 1);
}

/* A recipient that knows the size has all of an empty file as soon as it answers, and may leave the proxy then. */
static void empty_file_is_delivered_though_the_recipient_left_the_proxy(void **state)
{
    static const struct {
        uint64_t size;
        bool bare, delivered;
    } rows[] = {{0, false, true}, {0, true, false}, {1, false, false}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;

        b->carrier.advertises = false;
        peer_gives_proxy(&b->peer, STREAMHOST);
        begin_with(b, (struct s5b_terms){.size = rows[i].size, .bare = rows[i].bare});
        expects_offer(b, STREAMHOST);
        uses(b, "streamer.example.com");
        fake_carrier_says(&b->carrier, CARRIER_DIALED, 0);
        expects_activation(b, "streamer.example.com");
        activation_fails(b, "item-not-found");
        s5b_stream(b->s5b, &(struct shared_fd){.fd = 7});
        assert_int_equal(fake_host_count(&b->host, METHOD_COMPLETE), rows[i].delivered);
        assert_int_equal(fake_host_error(&b->host), rows[i].delivered ? ERR_NONE : ERR_PROXY_HASH_MISMATCH);
        teardown(state);
        setup(state);
    }
}

/* Psi hangs up on an empty file as soon as it was described; who was not told the size, or has more to come, is lost.
 */
static void empty_file_is_delivered_though_the_recipient_hung_up(void **state)
{
    static const struct {
        uint64_t size;
        bool bare, delivered;
    } rows[] = {{0, false, true}, {0, true, false}, {1, false, false}};

    for (size_t i = 0; i < 3 * sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;
        size_t when = i / (sizeof rows / sizeof *rows), row = i % (sizeof rows / sizeof *rows);

        begin_with(b, (struct s5b_terms){.size = rows[row].size, .bare = rows[row].bare});
        expects_offer(b, DIRECT);
        fake_carrier_says(&b->carrier, CARRIER_CLAIMED, 0);
        if (when == 0) /* before its answer is here */
            fake_carrier_fails(&b->carrier, ERR_STREAM_BROKEN, "closed before the first byte", 0);
        uses(b, INITIATOR);
        if (when == 1) /* before the bytes, of which there are none */
            fake_carrier_fails(&b->carrier, ERR_STREAM_BROKEN, "closed before the first byte", 0);
        s5b_stream(b->s5b, &(struct shared_fd){.fd = 7});
        if (when == 2)
            fake_carrier_fails(&b->carrier, ERR_STREAM_BROKEN, "closed before the first byte", 0);
        assert_int_equal(fake_host_count(&b->host, METHOD_COMPLETE), rows[row].delivered);
        assert_int_equal(fake_host_error(&b->host), rows[row].delivered ? ERR_NONE : ERR_STREAM_BROKEN);
        teardown(state);
        setup(state);
    }
}

/* ---- the end */

static void stream_can_be_ended_at_any_moment_without_a_report(void **state)
{
    for (int moment = 0; moment < 5; moment++) {
        struct bench *b = *state;
        size_t reports;

        peer_gives_proxy(&b->peer, STREAMHOST);
        if (moment > 0)
            begin(b);
        if (moment > 1) {
            expects_offer(b, DIRECT STREAMHOST);
            uses(b, moment == 2 ? INITIATOR : "streamer.example.com");
        }
        if (moment > 3)
            fake_carrier_says(&b->carrier, CARRIER_DIALED, 0);
        if (moment == 0) { /* while streamhosts are gathered */
            struct s5b_terms terms = {.to = &b->to};

            b->s5b = s5b_create(&b->host.host, b->peer.client, &terms, ready, b, NULL);
        }
        reports = b->host.report_count;
        s5b_destroy(&b->s5b);
        assert_null(b->s5b);
        peer_turn(&b->peer);
        assert_int_equal(b->host.report_count, reports);
        teardown(state);
        setup(state);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_is_sha1_of_sid_and_prepared_jids),
        cmocka_unit_test(listener_knows_both_orders),
        cmocka_unit_test(listener_knows_what_qxmpp_hashes_beyond_ascii),
        TEST(sid_is_random_and_an_nmtoken_all_servers_take),
        TEST(own_listener_is_offered_before_the_proxies),
        TEST(offer_waits_until_the_proxies_have_answered),
        TEST(address_is_told_only_to_whom_it_may_be_told),
        TEST(nothing_to_offer_says_what_to_configure),
        TEST(listener_awaits_the_name_when_the_offer_leaves),
        TEST(listener_that_fails_ends_the_offer),
        TEST(offer_that_cannot_be_sent_says_disconnected),
        TEST(recipient_gets_time_by_the_number_of_streamhosts),
        TEST(refusals_have_their_codes),
        TEST(unknown_streamhost_is_a_protocol_error_and_nobody_is_dialed),
        TEST(answer_without_streamhost_used_is_a_protocol_error),
        TEST(answer_needs_no_sid_and_may_spell_the_domain_its_way),
        TEST(second_and_late_answers_are_ignored),
        TEST(offer_that_comes_back_is_refused_while_ours_goes_on),
        TEST(direct_stream_is_open_once_claimed_and_chosen),
        TEST(answer_that_overtakes_its_socket_waits_for_it),
        TEST(our_own_proxy_is_the_direct_way_by_another_name),
        TEST(our_own_proxy_is_not_offered_beside_the_same_address),
        TEST(socket_that_never_comes_is_awaited_three_seconds),
        TEST(many_sockets_of_one_recipient_open_one_stream),
        TEST(direct_socket_lost_before_the_answer_fails_only_if_it_was_chosen),
        TEST(proxy_is_asked_for_the_same_name_then_activated),
        TEST(proxy_is_offered_and_activated_at_exactly_the_jid_it_told),
        TEST(addresses_of_one_proxy_are_tried_in_the_order_learnt),
        TEST(proxy_out_of_reach_is_kept_out_of_the_next_offer),
        TEST(proxy_dial_that_our_system_refuses_is_no_fault_of_the_proxy),
        TEST(activation_not_allowed_is_asked_once_more_after_a_second),
        TEST(activation_not_allowed_twice_is_an_incomplete_pair),
        TEST(activation_errors_have_their_codes_and_blame_the_proxy_or_not),
        TEST(activation_without_an_answer_is_asked_again_and_then_given_up),
        TEST(conflict_after_a_lost_answer_means_it_is_active),
        TEST(proxy_that_hangs_up_before_it_answers_is_judged_by_the_answer),
        TEST(end_of_the_session_fails_a_negotiation_cleanly),
        TEST(bare_offer_is_made_once_more_without_the_proxy_that_failed),
        TEST(further_offer_is_the_last),
        TEST(bare_offer_without_another_streamhost_fails_by_what_happened),
        TEST(offer_behind_an_si_is_not_repeated),
        TEST(bytes_go_by_the_carrier_and_progress_comes_back),
        TEST(direct_stream_the_peer_closed_is_proof_of_that),
        TEST(proxied_stream_is_only_proof_that_the_proxy_took_it),
        TEST(peer_that_hangs_up_at_half_breaks_the_stream_and_the_count_is_told),
        TEST(stream_lost_before_the_transfer_begins_is_reported_once),
        TEST(empty_file_is_a_stream_of_no_bytes),
        TEST(empty_file_is_delivered_though_the_recipient_left_the_proxy),
        TEST(empty_file_is_delivered_though_the_recipient_hung_up),
        TEST(stream_can_be_ended_at_any_moment_without_a_report),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
