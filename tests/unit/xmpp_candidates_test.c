/* xmpp/candidates.c: what we offer, what we read, and which of two both sides mean (XEP-0260 sections 2.2 and 2.4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "xmpp/candidates.h"

static xmpp_ctx_t *ctx;

static int setup(void **state)
{
    (void)state;
    xmpp_initialize();
    ctx = xmpp_ctx_new(NULL, NULL);
    return ctx ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    xmpp_ctx_free(ctx);
    return 0;
}

static struct s5b_hosts four_hosts(void)
{
    return (struct s5b_hosts){.hosts = {{"initiator@example.com/foo", "198.51.100.7", 5086},
                                        {"one.example.com", "203.0.113.1", 7777},
                                        {"one.example.com", "203.0.113.2", 7777},
                                        {"two.example.com", "203.0.113.3", 5000}},
                              .count = 4,
                              .direct = true};
}

/* Clients resolve ties in two ways, so ours must not happen: what a client computes by the formula with the local
 * preferences they use is even, or out of our range. */
static void no_priority_of_ours_is_one_that_clients_use(void **state)
{
    struct s5b_hosts hosts = four_hosts();
    struct candidate_list list;

    (void)state;
    for (int run = 0; run < 1000; run++) {
        candidates_make(&list, &hosts, NULL);
        assert_int_equal(list.count, 4);
        for (size_t i = 0; i < list.count; i++) {
            assert_int_equal(list.all[i].priority >> 16, i == 0 ? 126 : 10);
            assert_in_range(list.all[i].priority & 0xffff, 4001, 5999);
            assert_int_equal(list.all[i].priority % 2, 1);
            if (i > 0)
                assert_true(list.all[i].priority < list.all[i - 1].priority);
        }
    }
}

/* One public proxy, offered by both sides, is one place: by JID or by address. */
static void what_the_peer_offers_is_not_offered_to_it(void **state)
{
    static const struct {
        const char *says;
        struct candidate theirs;
        size_t want;
    } rows[] = {
        {"another", {.jid = "three.example.com", .host = "203.0.113.9", .port = 7777, .proxy = true}, 4},
        {"our address", {.jid = "x.example.com", .host = "203.0.113.3", .port = 5000, .proxy = true}, 3},
        {"another port of it", {.jid = "x.example.com", .host = "203.0.113.3", .port = 5001, .proxy = true}, 4},
        {"our proxy by JID, both its addresses", {.jid = "one.example.com", .host = "x", .port = 1, .proxy = true}, 2},
        {"a direct one of that JID", {.jid = "one.example.com", .host = "x", .port = 1}, 4},
    };
    struct s5b_hosts hosts = four_hosts();

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct candidate_list list, theirs = {.all = {rows[i].theirs}, .count = 1};

        candidates_make(&list, &hosts, &theirs);
        if (list.count != rows[i].want)
            fail_msg("%s: %zu", rows[i].says, list.count);
    }
}

static void no_priority_of_ours_is_one_of_the_peer(void **state)
{
    struct s5b_hosts hosts = four_hosts();
    struct candidate_list list, theirs = {.count = CANDIDATES};

    (void)state;
    for (int run = 0; run < 1000; run++) {
        for (size_t i = 0; i < CANDIDATES; i++) /* where ours may be, at most a random step away */
            theirs.all[i] =
                (struct candidate){.host = "x", .port = 1, .priority = 126 * 65536 + 4903 + 2 * (uint32_t)i};
        candidates_make(&list, &hosts, &theirs);
        for (size_t i = 0; i < CANDIDATES; i++)
            assert_true(list.all[0].priority != theirs.all[i].priority);
    }
}

static void each_candidate_has_an_id_of_its_own(void **state)
{
    struct s5b_hosts hosts = four_hosts();
    struct candidate_list list;
    size_t index;

    (void)state;
    candidates_make(&list, &hosts, NULL);
    for (size_t i = 0; i < list.count; i++) {
        assert_true(candidates_find(&list, list.all[i].cid, &index));
        assert_int_equal(index, i);
    }
    assert_false(candidates_find(&list, "no such", &index));
    assert_false(candidates_find(&list, NULL, &index));
}

static size_t read_them(struct candidate_list *list, const char *xml)
{
    xmpp_stanza_t *s = xmpp_stanza_new_from_string(ctx, xml);
    size_t count;

    assert_non_null(s);
    count = candidates_read(list, s);
    xmpp_stanza_release(s);
    return count;
}

static void what_we_write_is_what_is_read(void **state)
{
    struct s5b_hosts hosts = four_hosts();
    struct candidate_list list, again = {0};
    xmpp_stanza_t *transport;

    (void)state;
    candidates_make(&list, &hosts, NULL);
    transport = xmpp_stanza_new_from_string(ctx, "<transport/>");
    transport = candidates_write(ctx, transport, &list);
    assert_non_null(transport);
    assert_int_equal(candidates_read(&again, transport), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(again.all[i].cid, list.all[i].cid);
        assert_string_equal(again.all[i].jid, list.all[i].jid);
        assert_string_equal(again.all[i].host, list.all[i].host);
        assert_int_equal(again.all[i].port, list.all[i].port);
        assert_int_equal(again.all[i].priority, list.all[i].priority);
        assert_int_equal(again.all[i].proxy, list.all[i].proxy);
    }
    xmpp_stanza_release(transport);
}

#define C(attributes) "<transport><candidate " attributes "/></transport>"

static void useless_candidates_are_passed_over_and_the_rest_is_read(void **state)
{
    static const struct {
        const char *says, *xml;
        size_t want;
    } rows[] = {
        {"whole", C("cid='a' host='192.0.2.1' jid='x@y/z' port='1' priority='1' type='direct'"), 1},
        {"no type is direct, no port is 1080", C("cid='a' host='h.example' jid='x@y/z' priority='7'"), 1},
        {"no jid", C("cid='a' host='192.0.2.1' port='1' priority='1'"), 1},
        {"unknown type", C("cid='a' host='192.0.2.1' port='1' priority='1' type='foo'"), 0},
        {"priority 0", C("cid='a' host='192.0.2.1' port='1' priority='0'"), 0},
        {"no priority", C("cid='a' host='192.0.2.1' port='1'"), 0},
        {"signed priority", C("cid='a' host='192.0.2.1' port='1' priority='-5'"), 0},
        {"priority beyond 31 bits", C("cid='a' host='192.0.2.1' port='1' priority='2147483648'"), 0},
        {"port 99999", C("cid='a' host='192.0.2.1' port='99999' priority='1'"), 0},
        {"port 0", C("cid='a' host='192.0.2.1' port='0' priority='1'"), 0},
        {"port as hex", C("cid='a' host='192.0.2.1' port='0x50' priority='1'"), 0},
        {"no id", C("host='192.0.2.1' port='1' priority='1'"), 0},
        {"no host", C("cid='a' port='1' priority='1'"), 0},
        {"empty host", C("cid='a' host='' port='1' priority='1'"), 0},
        {"none", "<transport/>", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct candidate_list list = {0};

        if (read_them(&list, rows[i].xml) != rows[i].want)
            fail_msg("%s", rows[i].says);
    }
}

static void an_id_told_twice_means_the_first(void **state)
{
    struct candidate_list list = {0};

    (void)state;
    assert_int_equal(read_them(&list, "<transport><candidate cid='a' host='192.0.2.1' priority='9'/>"
                                      "<candidate cid='a' host='192.0.2.2' priority='9'/></transport>"),
                     1);
    assert_string_equal(list.all[0].host, "192.0.2.1");
}

static void a_peer_has_no_more_than_fit(void **state)
{
    struct candidate_list list = {0};
    char xml[128];

    (void)state;
    for (int i = 0; i < 40; i++) {
        snprintf(xml, sizeof xml, C("cid='c%d' host='192.0.2.1' priority='1'"), i);
        read_them(&list, xml);
    }
    assert_int_equal(list.count, CANDIDATES);
}

static void both_reports_name_one_stream(void **state)
{
    static const struct candidate low = {.priority = 10}, high = {.priority = 20}, same = {.priority = 20};
    static const struct {
        const char *says;
        const struct candidate *theirs, *ours;
        enum nominee want;
        bool responder;
    } rows[] = {
        {"nobody reached anybody", NULL, NULL, NOMINEE_NONE, false},
        {"only we did", &low, NULL, NOMINEE_THEIRS, false},
        {"only the peer did", NULL, &low, NOMINEE_OURS, false},
        {"ours is higher", &low, &high, NOMINEE_OURS, false},
        {"theirs is higher", &high, &low, NOMINEE_THEIRS, false},
        {"a tie is the initiator's choice", &high, &same, NOMINEE_THEIRS, false},
        {"who responds: ours is higher", &low, &high, NOMINEE_OURS, true},
        {"who responds: theirs is higher", &high, &low, NOMINEE_THEIRS, true},
        {"who responds: a tie is the initiator's choice", &high, &same, NOMINEE_OURS, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (candidates_nominate(rows[i].theirs, rows[i].ours, rows[i].responder) != rows[i].want)
            fail_msg("%s", rows[i].says);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_priority_of_ours_is_one_that_clients_use),
        cmocka_unit_test(what_the_peer_offers_is_not_offered_to_it),
        cmocka_unit_test(no_priority_of_ours_is_one_of_the_peer),
        cmocka_unit_test(each_candidate_has_an_id_of_its_own),
        cmocka_unit_test(what_we_write_is_what_is_read),
        cmocka_unit_test(useless_candidates_are_passed_over_and_the_rest_is_read),
        cmocka_unit_test(an_id_told_twice_means_the_first),
        cmocka_unit_test(a_peer_has_no_more_than_fit),
        cmocka_unit_test(both_reports_name_one_stream),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
