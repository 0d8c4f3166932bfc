/* gateway/egress: what others may make the gateway connect to. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "gateway/egress.h"

typedef bool judge_fn(const struct egress *egress, const struct sockaddr *to, struct error *err);

static bool asks(judge_fn *judge, const struct egress *e, const char *host, uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct error err = {0};
    bool ok;

    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        ok = judge(e, (struct sockaddr *)&v4, &err);
    } else {
        assert_int_equal(inet_pton(AF_INET6, host, &v6.sin6_addr), 1);
        ok = judge(e, (struct sockaddr *)&v6, &err);
    }
    assert_int_equal(err.code, ok ? ERR_NONE : ERR_EGRESS_BLOCKED);
    assert_null(strstr(err.text, host));
    return ok;
}

static bool allows(const struct egress *e, const char *host, uint16_t port)
{
    return asks(egress_allows, e, host, port);
}

static struct egress *create(char *const *nets)
{
    struct error err = {0};
    struct egress *e = egress_create(nets, &err);

    if (!e)
        fail_msg("%s", err.text);
    return e;
}

static void what_leads_inside_is_blocked(void **state)
{
    static const char *const rows[] = {
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "2001:0:1::1",
        "64:ff9b:1::808:808",
        /* IPv4 inside IPv6 */
        "::ffff:127.0.0.1",
        "::ffff:10.1.2.3",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "::10.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::192.168.0.1",
        "2002:7f00:1::1",
        "2002:c0a8:101::",
        "2002:a9fe:a9fe::1",
    };
    struct egress *e = create(NULL);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (allows(e, rows[i], 7777))
            fail_msg("%s passed", rows[i]);
    }
    egress_destroy(&e);
    assert_null(e);
}

static void what_leads_outside_passes(void **state)
{
    static const char *const rows[] = {
        "1.1.1.1",        "9.255.255.255",   "11.0.0.0",         "100.63.255.255",
        "100.128.0.0",    "126.255.255.255", "128.0.0.0",        "169.253.255.255",
        "172.15.255.255", "172.32.0.0",      "192.0.1.0",        "192.167.255.255",
        "198.17.255.255", "198.20.0.0",      "223.255.255.255",  "2001:4860:4860::8888",
        "2a00:1450::1",   "::ffff:8.8.8.8",  "64:ff9b::8.8.8.8", "2002:808:808::1",
        "fbff::1",        "2001:1::1",
    };
    struct egress *e = create(NULL);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (!allows(e, rows[i], 7777))
            fail_msg("%s was blocked", rows[i]);
    }
    egress_destroy(&e);
}

/* Our own server may be in the same private network, and choose any port. */
static void what_our_own_server_names_may_lie_inside_but_not_at_an_address_of_no_server(void **state)
{
    static const struct {
        const char *host;
        bool allowed;
    } rows[] = {
        {"127.0.0.1", true},
        {"::1", true},
        {"10.0.0.1", true},
        {"192.168.1.1", true},
        {"100.64.0.1", true},
        {"fd00::1", true},
        {"::ffff:10.0.0.1", true},
        {"64:ff9b::10.0.0.1", true},
        {"8.8.8.8", true},
        {"2a00:1450::1", true},
        {"0.0.0.0", false},
        {"0.0.0.1", false},
        {"100.100.100.200", false},
        {"168.63.129.16", false},
        {"169.254.169.254", false},
        {"169.254.0.1", false},
        {"192.0.0.192", false},
        {"224.0.0.1", false},
        {"255.255.255.255", false},
        {"::", false},
        {"fd00:ec2::254", false},
        {"fd20:ce::254", false},
        {"fe80::1", false},
        {"ff02::1", false},
        {"::ffff:169.254.169.254", false},
        {"::169.254.169.254", false},
        {"::ffff:0:169.254.169.254", false},
        {"64:ff9b::169.254.169.254", false},
        {"2002:a9fe:a9fe::1", false},
    };
    char *const nets[] = {"169.254.7.0/24", NULL};
    struct egress *e = create(NULL), *more = create(nets);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (asks(egress_allows_own, e, rows[i].host, 443) != rows[i].allowed)
            fail_msg("%s %s", rows[i].host, rows[i].allowed ? "was blocked" : "passed");
    }
    assert_true(asks(egress_allows_own, more, "169.254.7.1", 443));
    assert_false(asks(egress_allows_own, more, "169.254.8.1", 443));
    egress_destroy(&e);
    egress_destroy(&more);
}

static void ports_of_services_are_blocked_and_those_of_streamhosts_are_not(void **state)
{
    static const uint16_t blocked[] = {0, 22, 25, 80, 443, 1023, 2049, 2375, 3306, 5432, 6379, 9200, 11211};
    static const uint16_t open[] = {1024, 1080, 5000, 5086, 7777, 8010, 8080, 28011, 65535};
    struct egress *e = create(NULL);

    (void)state;
    for (size_t i = 0; i < sizeof(blocked) / sizeof(blocked[0]); i++) {
        if (allows(e, "8.8.8.8", blocked[i]))
            fail_msg("port %u passed", blocked[i]);
    }
    for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
        if (!allows(e, "8.8.8.8", open[i]))
            fail_msg("port %u was blocked", open[i]);
    }
    egress_destroy(&e);
}

static void the_ports_of_the_web_are_free_for_urls_and_no_network_of_ours(void **state)
{
    static char *nets[] = {"10.1.0.0/16", NULL};
    static const struct {
        const char *host;
        uint16_t port;
        bool allowed;
    } rows[] = {
        {"8.8.8.8", 80, true},
        {"8.8.8.8", 443, true},
        {"2001:4860:4860::8888", 443, true},
        {"8.8.8.8", 8443, true},
        {"8.8.8.8", 22, false},
        {"8.8.8.8", 6379, false},
        {"127.0.0.1", 80, false},
        {"::1", 443, false},
        {"::ffff:127.0.0.1", 80, false},
        {"192.168.1.1", 80, false},
        {"169.254.169.254", 80, false},
        {"fd00::1", 443, false},
        {"64:ff9b::10.0.0.1", 80, false},
        {"10.1.2.3", 80, true},
        {"10.1.2.3", 22, true},
    };
    struct egress *e = egress_create(nets, NULL);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (asks(egress_allows_url, e, rows[i].host, rows[i].port) != rows[i].allowed)
            fail_msg("%s port %d", rows[i].host, rows[i].port);
    egress_destroy(&e);
}

static void allowed_nets_pass_with_every_port(void **state)
{
    char *const nets[] = {"10.1.0.0/16", "127.0.0.1", "fd12::/16", NULL};
    struct egress *e = create(nets);

    (void)state;
    assert_true(allows(e, "10.1.2.3", 80));
    assert_true(allows(e, "::ffff:10.1.2.3", 7777));
    assert_true(allows(e, "64:ff9b::10.1.2.3", 7777));
    assert_true(allows(e, "127.0.0.1", 7777));
    assert_true(allows(e, "fd12:1::1", 22));
    assert_false(allows(e, "10.2.0.1", 7777));
    assert_false(allows(e, "127.0.0.2", 7777));
    assert_false(allows(e, "fd13::1", 7777));
    egress_destroy(&e);
}

static void every_prefix_length_counts_its_bits(void **state)
{
    char net[32];
    char *const nets[] = {net, NULL};

    (void)state;
    for (unsigned bits = 1; bits <= 32; bits++) {
        uint32_t inside = 0x0a000000u, outside = inside ^ (1u << (32 - bits));
        char text[INET_ADDRSTRLEN];
        struct in_addr a;
        struct egress *e;

        snprintf(net, sizeof(net), "10.0.0.0/%u", bits);
        e = create(nets);
        assert_true(allows(e, "10.0.0.0", 22));
        a.s_addr = htonl(outside);
        assert_non_null(inet_ntop(AF_INET, &a, text, sizeof(text)));
        if (allows(e, text, 22))
            fail_msg("%s lies in %s", text, net);
        egress_destroy(&e);
    }
}

static void a_net_that_cannot_be_read_is_named(void **state)
{
    static char *const rows[] = {"10.0.0.0/33", "10.0.0", "fd00::/129", "lan", "10.0.0.0/", "10.0.0.0/8x", "/8", ""};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *const nets[] = {"10.0.0.0/8", rows[i], NULL};
        struct error err = {0};

        if (egress_create(nets, &err) || err.code != ERR_CONFIG || !strstr(err.text, rows[i]))
            fail_msg("%s: %s", rows[i], err.text);
    }
}

static void other_families_are_blocked(void **state)
{
    const struct sockaddr local = {.sa_family = AF_UNIX};
    struct egress *e = create(NULL);
    struct error err = {0};

    (void)state;
    assert_false(egress_allows(e, &local, &err));
    assert_int_equal(err.code, ERR_EGRESS_BLOCKED);
    egress_destroy(&e);
}

static void hosts_are_names_or_addresses_in_their_usual_spelling(void **state)
{
    static const struct {
        const char *host;
        bool valid;
    } rows[] = {
        {"proxy.example.org", true},
        {"proxy.example.org.", true},
        {"xn--bcher-kva.example", true},
        {"3com.example", true},
        {"localhost", true},
        {"192.0.2.1", true},
        {"2001:db8::1", true},
        {"::ffff:192.0.2.1", true},
        {"", false},
        {".", false},
        {"a..b", false},
        {"-a.example", false},
        {"a-.example", false},
        {"a_b.example", false},
        {"a b.example", false},
        {"user@host.example", false},
        {"host.example/path", false},
        {"host.example:80", false},
        {"[2001:db8::1]", false},
        {"fe80::1%eth0", false},
        {"0x7f.1", false},
        {"0x7f000001", false},
        {"2130706433", false},
        {"127.1", false},
        {"0177.0.0.1", false},
        {"127.0.0.1.", false},
        {"b\xc3\xbc"
         "cher.example",
         false},
        {"1234567890123456789012345678901234567890123456789012345678901234.example", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (egress_host_valid(rows[i].host) != rows[i].valid)
            fail_msg("'%s'", rows[i].host);
    }
}

static void a_name_may_have_253_bytes(void **state)
{
    char host[255 + 1];

    (void)state;
    for (size_t i = 0; i < 254; i++)
        host[i] = i % 50 == 49 ? '.' : 'a';
    host[253] = '\0';
    assert_true(egress_host_valid(host));
    host[253] = 'a';
    host[254] = '\0';
    assert_false(egress_host_valid(host));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_leads_inside_is_blocked),
        cmocka_unit_test(what_leads_outside_passes),
        cmocka_unit_test(what_our_own_server_names_may_lie_inside_but_not_at_an_address_of_no_server),
        cmocka_unit_test(ports_of_services_are_blocked_and_those_of_streamhosts_are_not),
        cmocka_unit_test(the_ports_of_the_web_are_free_for_urls_and_no_network_of_ours),
        cmocka_unit_test(allowed_nets_pass_with_every_port),
        cmocka_unit_test(every_prefix_length_counts_its_bits),
        cmocka_unit_test(a_net_that_cannot_be_read_is_named),
        cmocka_unit_test(other_families_are_blocked),
        cmocka_unit_test(hosts_are_names_or_addresses_in_their_usual_spelling),
        cmocka_unit_test(a_name_may_have_253_bytes),
    };

    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
