#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fake/relay.h"
#include "tests/fake/xmpp/peer.h"
#include "xmpp/ns.h"
#include "xmpp/proxy65.h"
#include "xmpp/responder.h"
#include "xmpp/s5b_name.h"

#define PROXY "relay.example.com"
#define ROMEO "romeo@example.com/orchard"
#define ANA   "ana@example.org/desk"

#define GET(to)         "<iq type='get' id='7' from='" ROMEO "' to='" to "'><query xmlns='" NS_BYTESTREAMS "'/></iq>"
#define SET(attr, more) SET_TO(PROXY, attr, more)
#define SET_TO(to, attr, more)                                                                                         \
    "<iq type='set' id='7' from='" ROMEO "' to='" to "'><query xmlns='" NS_BYTESTREAMS "' " attr ">" more              \
    "</query></iq>"
#define ACTIVATE(jid) SET("sid='vxf9n471bn46'", "<activate>" jid "</activate>")
#define INFO(to)      "<iq type='get' id='7' from='" ROMEO "' to='" to "'><query xmlns='" NS_DISCO_INFO "'/></iq>"
#define RESULT        "<iq type='result' id='7' to='" ROMEO "'/>"

struct fixture {
    struct peer peer;
    struct fake_relay relay;
    struct proxy65 *proxy;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    peer_start(&f->peer, NULL);
    fake_relay_init(&f->relay);
    f->peer.client->relay = &f->relay.relay;
    f->proxy = proxy65_create(f->peer.client);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    proxy65_destroy(&f->proxy);
    peer_stop(&f->peer);
    free(f);
    return 0;
}

static void is_refused(struct fixture *f, const char *type, const char *condition, const char *says)
{
    const char *got = peer_next(&f->peer);
    char want[200];

    if (!got)
        fail_msg("%s: no answer", says);
    snprintf(want, sizeof want, "type=\"%s\"><%s xmlns=\"" NS_STANZAS "\"/>", type, condition);
    if (!strstr(got, want) || !strstr(got, "type=\"error\""))
        fail_msg("%s: %s", says, got);
    peer_expects_nothing(&f->peer);
}

/* Examples 5 and 6; an address behind the domain is none (protocol: a scanner would take it for a relay). */
static void the_domain_says_that_it_is_a_proxy(void **state)
{
    struct fixture *f = *state;
    const char *told;

    responder_serve(f->peer.client);
    assert_true(jid_parse(&f->peer.client->self, "jidpost@" PROXY, strlen("jidpost@" PROXY), NULL));
    peer_says(&f->peer, INFO(PROXY));
    told = peer_next(&f->peer);
    assert_non_null(strstr(told, "type=\"bytestreams\""));
    assert_non_null(strstr(told, "category=\"proxy\""));
    assert_non_null(strstr(told, "var=\"" NS_BYTESTREAMS "\""));
    peer_says(&f->peer, INFO("jidpost@" PROXY));
    assert_null(strstr(peer_next(&f->peer), "proxy\""));
}

/* Examples 7 and 8 of XEP-0065: one streamhost, our domain itself. */
static void the_address_is_told(void **state)
{
    struct fixture *f = *state;

    peer_says(&f->peer, GET(PROXY));
    peer_expects(&f->peer, "<iq type='result' id='7' to='" ROMEO "'><query xmlns='" NS_BYTESTREAMS "'>"
                           "<streamhost jid='" PROXY "' host='relay.example.com' port='7777'/></query></iq>");
    assert_string_equal(f->relay.from, ROMEO);
}

/* As it was before XEP-0065 1.8. */
static void a_sid_in_the_query_changes_nothing(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 10000; i++) {
        char xml[400];

        snprintf(xml, sizeof xml,
                 "<iq type='get' id='%d' from='" ROMEO "' to='" PROXY "'><query xmlns='" NS_BYTESTREAMS
                 "' sid='s%d'/></iq>",
                 i, i);
        peer_says(&f->peer, xml);
        assert_non_null(peer_next(&f->peer));
    }
    assert_int_equal(f->relay.queries, 10000);
    assert_int_equal(f->relay.activations, 0);
}

static void the_relay_says_who_is_told(void **state)
{
    static const struct {
        const char *says;
        enum error_code why;
        const char *type, *condition;
    } rows[] = {
        {"not one of ours (example 9)", ERR_PROXY_REFUSED, "auth", "forbidden"},
        {"not in service (example 10)", ERR_PROXY_UNAVAILABLE, "cancel", "not-allowed"},
        {"stopping", ERR_DRAINING, "cancel", "not-allowed"},
        {"full", ERR_PROXY_BUSY, "wait", "resource-constraint"},
        {"asked too often", ERR_RATE_LIMITED, "wait", "resource-constraint"},
        {"anything else", ERR_SYSTEM, "wait", "internal-server-error"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        f->relay.refuses = rows[i].why;
        peer_says(&f->peer, GET(PROXY));
        is_refused(f, rows[i].type, rows[i].condition, rows[i].says);
    }
}

/* The addresses behind the domain send and receive files; they relay nothing, and whoever answers for them does. */
static void only_the_domain_itself_is_the_proxy(void **state)
{
    static const struct {
        const char *says, *xml, *type, *condition;
    } rows[] = {
        {"a local part", GET("jidpost@" PROXY), "cancel", "service-unavailable"},
        {"a resource", GET(PROXY "/gw1"), "cancel", "service-unavailable"},
        {"both", GET("jidpost@" PROXY "/gw1"), "cancel", "service-unavailable"},
        {"an activation", SET_TO("jidpost@" PROXY, "sid='s'", "<activate>" ANA "</activate>"), "modify", "bad-request"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        peer_says(&f->peer, rows[i].xml);
        is_refused(f, rows[i].type, rows[i].condition, rows[i].says);
    }
    assert_int_equal(f->relay.queries + f->relay.activations, 0);
}

/* Examples 19 and 20. The name binds the stream id, the one who asks, as his server says, and the target. */
static void an_activation_names_the_stream_by_who_asks(void **state)
{
    struct fixture *f = *state;
    char name[S5B_NAME];

    peer_says(&f->peer, ACTIVATE(ANA));
    peer_expects(&f->peer, RESULT);
    assert_true(s5b_name("vxf9n471bn46", ROMEO, ANA, name));
    assert_int_equal(f->relay.count, 1);
    assert_string_equal(f->relay.names[0], name);
    assert_string_equal(f->relay.from, ROMEO);
    assert_string_equal(f->relay.target, ANA);
}

/* Clients hash what they write, or what it is prepared. */
static void a_target_is_meant_as_it_is_written_and_as_it_is_prepared(void **state)
{
    struct fixture *f = *state;
    char written[S5B_NAME], prepared[S5B_NAME];

    peer_says(&f->peer, ACTIVATE("Ana@Example.ORG/desk"));
    peer_expects(&f->peer, RESULT);
    assert_true(s5b_name("vxf9n471bn46", ROMEO, "Ana@Example.ORG/desk", written));
    assert_true(s5b_name("vxf9n471bn46", ROMEO, ANA, prepared));
    assert_int_equal(f->relay.count, 2);
    assert_string_equal(f->relay.names[0], prepared);
    assert_string_equal(f->relay.names[1], written);
}

static void a_bare_target_is_one(void **state)
{
    struct fixture *f = *state;

    peer_says(&f->peer, ACTIVATE("ana@example.org"));
    peer_expects(&f->peer, RESULT);
    assert_string_equal(f->relay.target, "ana@example.org");
}

/* Row 71. */
static void a_malformed_activation_is_refused(void **state)
{
    static const struct {
        const char *says, *xml, *condition;
    } rows[] = {
        {"no sid", SET("", "<activate>" ANA "</activate>"), "bad-request"},
        {"an empty sid", SET("sid=''", "<activate>" ANA "</activate>"), "bad-request"},
        {"no activate", SET("sid='s'", ""), "bad-request"},
        {"an empty activate", SET("sid='s'", "<activate/>"), "bad-request"},
        {"no address", ACTIVATE("@@"), "jid-malformed"},
        {"an address without a domain", ACTIVATE("ana@"), "jid-malformed"},
        {"an offer of a stream", SET("sid='s'", "<streamhost jid='a@b' host='192.0.2.1' port='1'/>"), "not-acceptable"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        peer_says(&f->peer, rows[i].xml);
        is_refused(f, "modify", rows[i].condition, rows[i].says);
    }
    assert_int_equal(f->relay.activations, 0);
}

static void the_relay_says_what_is_activated(void **state)
{
    static const struct {
        const char *says;
        enum error_code why;
        const char *type, *condition;
    } rows[] = {
        {"not one of ours", ERR_PROXY_REFUSED, "auth", "forbidden"},
        {"nobody asked for it (row 70)", ERR_PROXY_HASH_MISMATCH, "cancel", "item-not-found"},
        {"one side is missing (row 69)", ERR_PROXY_PAIR_INCOMPLETE, "cancel", "not-allowed"},
        {"a quota (row 78)", ERR_PROXY_BUSY, "wait", "resource-constraint"},
        {"too often", ERR_RATE_LIMITED, "wait", "resource-constraint"},
        {"stopping", ERR_DRAINING, "wait", "resource-constraint"},
        {"anything else", ERR_SYSTEM, "wait", "internal-server-error"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        f->relay.refuses = rows[i].why;
        peer_says(&f->peer, ACTIVATE(ANA));
        is_refused(f, rows[i].type, rows[i].condition, rows[i].says);
    }
}

static void an_answer_may_come_later(void **state)
{
    struct fixture *f = *state;

    f->relay.later = true;
    peer_says(&f->peer, ACTIVATE(ANA));
    peer_expects_nothing(&f->peer);
    fake_relay_answer(&f->relay);
    peer_expects(&f->peer, RESULT);
}

static void an_answer_may_come_too_late(void **state)
{
    struct fixture *f = *state;

    f->relay.later = true;
    peer_says(&f->peer, ACTIVATE(ANA));
    proxy65_destroy(&f->proxy);
    fake_relay_answer(&f->relay);
    peer_expects_nothing(&f->peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_domain_says_that_it_is_a_proxy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_address_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_sid_in_the_query_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_relay_says_who_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_the_domain_itself_is_the_proxy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_activation_names_the_stream_by_who_asks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_target_is_meant_as_it_is_written_and_as_it_is_prepared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bare_target_is_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_malformed_activation_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_relay_says_what_is_activated, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_answer_may_come_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_answer_may_come_too_late, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
