/* gateway/config: layers, secrets, refusals that say what to write instead, and the defaults. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/config.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define ACCOUNT     "JIDPOST_XMPP_JID=gw@example.org", "JIDPOST_XMPP_PASSWORD=secret"
#define TOKEN       "0123456789abcdef"

static char folder[] = "/tmp/jidpost-config-XXXXXX";
static char ini_path[64];

static int set_up(void **state)
{
    (void)state;
    memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0); /* no jidpost.ini of somebody else */
    snprintf(ini_path, sizeof(ini_path), "%s/some.ini", folder);
    return 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"some.ini",     "jidpost.ini",       "secret",
                                        "http.token",   "xmpp.password",     "http.tls_cert",
                                        "http.tls_key", "webhook.ci.secret", "webhook.ci.secret_old"};

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++)
        unlink(names[i]);
    unlink(TOKENS_FOLDER "/b.ini");
    rmdir(TOKENS_FOLDER);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(rmdir(folder), 0);
    return 0;
}

static void write_file(const char *name, const char *text, size_t len)
{
    FILE *file = fopen(name, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

/* ini NULL: no file. */
static bool load(struct config *c, const char *ini, const char *const *environment, const char *const *overrides,
                 struct error *err)
{
    char *copy[16] = {NULL};
    bool ok;

    for (size_t i = 0; environment && environment[i]; i++) {
        assert_true(i + 1 < COUNT(copy));
        copy[i] = strdup(environment[i]);
    }
    if (ini)
        write_file(ini_path, ini, strlen(ini));
    ok = config_load(c, ini ? ini_path : NULL, copy, overrides, err);
    for (size_t i = 0; copy[i]; i++)
        free(copy[i]);
    return ok;
}

static void must_load(struct config *c, const char *ini, const char *const *environment, const char *const *overrides)
{
    struct error err = {0};

    if (!load(c, ini, environment, overrides, &err))
        fail_msg("%s", err.text);
}

static void assert_list(char *const *list, const char *want)
{
    char text[256] = "";

    for (; *list; list++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s|", *list);
    assert_string_equal(text, want);
}

static void account_and_password_are_enough(void **state)
{
    static const char *const environment[] = {ACCOUNT, NULL};
    struct config c;

    (void)state;
    must_load(&c, NULL, environment, NULL);
    assert_string_equal(c.server.state_dir, "/var/lib/jidpost");
    assert_string_equal(c.http.listen, "127.0.0.1:8080");
    assert_null(c.http.token);
    assert_list(c.http.hosts, "");
    assert_null(c.http.unix_path);
    assert_int_equal(c.http.unix_mode, 0660);
    assert_list(c.http.trusted_proxies, "");
    assert_int_equal(c.http.max_connections_per_address, 0);
    assert_int_equal(c.http.header_timeout, 15000);
    assert_int_equal(c.http.min_rate, 1024);
    assert_int_equal(c.http.min_rate_window, 30000);
    assert_int_equal(c.http.max_connections, 4096);
    assert_int_equal(c.http.idle_timeout, 60000);
    assert_int_equal(c.http.max_wait, 600000);
    assert_null(c.http.tls_cert);
    assert_null(c.http.page);
    assert_null(c.http.tls_key);
    assert_string_equal(c.xmpp.jid.text, "gw@example.org");
    assert_false(c.xmpp.jid.full);
    assert_string_equal(c.xmpp.password, "secret");
    assert_null(c.xmpp.server);
    assert_int_equal(c.xmpp.port, 0);
    assert_int_equal(c.xmpp.tls, TLS_REQUIRED);
    assert_null(c.xmpp.ca);
    assert_list(c.xmpp.proxies, "");
    assert_list(c.xmpp.accept_subscriptions, "*@example.org|");
    assert_int_equal(c.xmpp.ping_interval, 30000);
    assert_int_equal(c.xmpp.ping_timeout, 10000);
    assert_int_equal(c.xmpp.reconnect_min, 1000);
    assert_int_equal(c.xmpp.reconnect_max, 60000);
    assert_int_equal(c.xmpp.iq_timeout, 10000);
    assert_string_equal(c.socks5.listen, "[::]:5086");
    assert_null(c.socks5.advertise_host);
    assert_int_equal(c.socks5.advertise_port, 0);
    assert_int_equal(c.socks5.direct, DIRECT_AUTO);
    assert_int_equal(c.socks5.threads, 0);
    assert_int_equal(c.socks5.max_streams, 8192);
    assert_int_equal(c.socks5.pending_per_peer, 64);
    assert_list(c.proxy.allow, "*@example.org|");
    assert_int_equal(c.proxy.max_streams, 1000);
    assert_int_equal(c.proxy.max_streams_per_requester, 5);
    assert_int_equal(c.proxy.hourly_bytes, 2ULL << 30);
    assert_int_equal(c.proxy.rate, 0);
    assert_int_equal(c.proxy.pair_timeout, 300000);
    assert_int_equal(c.proxy.activate_timeout, 120000);
    assert_int_equal(c.proxy.idle_timeout, 600000);
    assert_list(c.delivery.methods, "jingle-s5b|si-s5b|s5b|jingle-ibb|si-ibb|ibb|link|");
    assert_int_equal(c.delivery.offer_timeout, 300000);
    assert_int_equal(c.delivery.connect_timeout, 60000);
    assert_int_equal(c.delivery.activate_timeout, 20000);
    assert_int_equal(c.delivery.stall_timeout, 120000);
    assert_int_equal(c.delivery.linger_timeout, 30000);
    assert_int_equal(c.delivery.max_attempts, 3);
    assert_int_equal(c.delivery.backoff, 2000);
    assert_int_equal(c.delivery.ttl, 604800000);
    assert_int_equal(c.delivery.hold, 0);
    assert_int_equal(c.delivery.retention, 604800000);
    assert_int_equal(c.delivery.parallel, 256);
    assert_int_equal(c.delivery.per_recipient_parallel, 4);
    assert_int_equal(c.delivery.ibb_max_size, 2 << 20);
    assert_int_equal(c.delivery.ibb_window, 1);
    assert_list(c.delivery.link, "upload|own|");
    assert_int_equal(c.delivery.link_ttl, 604800000);
    assert_null(c.server.public_url);
    assert_null(c.xmpp.nick);
    assert_string_equal(c.spool.dir, "/var/lib/jidpost/spool");
    assert_int_equal(c.spool.max_bytes, 10ULL << 30);
    assert_int_equal(c.spool.max_file, 5ULL << 30);
    assert_int_equal(c.spool.durability, DURABLE_POWER);
    assert_int_equal(c.spool.upload_expiry, 24 * 3600 * 1000);
    assert_string_equal(c.store.url, "sqlite:///var/lib/jidpost/jidpost.db");
    assert_list(c.egress.allow_nets, "");
    assert_int_equal(c.log.level, LOG_INFO);
    assert_int_equal(c.log.format, LOG_TEXT);
    config_free(&c);
}

static void every_key_of_a_file_arrives(void **state)
{
    static const char ini[] =
        "[server]\nstate_dir = /srv/jp\ndrain_timeout = 3m\npublic_url = https://gw.example.org/x//\n"
        "[http]\nlisten = [::]:80\ntoken = " TOKEN "\nhosts = gw.example.org, gw\n"
        "max_connections = 10\nidle_timeout = 5s\nmax_wait = 1m\nunix = /run/jp.sock\nunix_mode = 600\n"
        "trusted_proxies = unix, 10.0.0.0/8\nmax_connections_per_address = 7\nheader_timeout = 0\nmin_rate = 0\n"
        "min_rate_window = 8s\ntls_cert = c.pem\ntls_key = k.pem\n"
        "[xmpp]\njid = Gw@Example.ORG/one\npassword = a ; b = c # d\nserver = xmpp.example.org\n"
        "port = 5223\ntls = direct\nca = some.ini\nproxies = proxy.example.org\n"
        "accept_subscriptions = *@a.org *@b.org\nping_interval = 1m\nping_timeout = 2s\n"
        "reconnect_min = 2s\nreconnect_max = 3s\niq_timeout = 4s\nnick = The Gateway\n"
        "[socks5]\nlisten = :1080\nadvertise = gw.example.org:7777\ndirect = always\n"
        "threads = 2\nmax_streams = 100\npending_per_peer = 9\n"
        "[proxy]\nallow = *@A.org, !eve@a.org\nmax_streams = 11\nmax_streams_per_requester = 12\n"
        "hourly_bytes = 13M\nrate = 14K\npair_timeout = 15s\nactivate_timeout = 16s\nidle_timeout = 17s\n"
        "[delivery]\nmethods = s5b\noffer_timeout = 1s\nconnect_timeout = 2s\n"
        "activate_timeout = 3s\nstall_timeout = 4s\nlinger_timeout = 5s\nmax_attempts = 6\n"
        "backoff = 7s\nttl = 8d\nhold = 90m\nretention = 9d\nparallel = 10\nper_recipient_parallel = 11\n"
        "ibb_max_size = 12K\nibb_window = 2\nlink = own\nlink_ttl = 14d\ndigest = never\n"
        "[spool]\ndir = /spool\nmax_bytes = 2G\nmax_file = 1G\ndurability = process\n"
        "[store]\nurl = sqlite:///db\n"
        "[egress]\nallow_nets = 10.0.0.0/8, fd00::/8\n"
        "[log]\nlevel = debug\nformat = json\n";
    struct config c;

    (void)state;
    must_load(&c, ini, NULL, NULL);
    assert_string_equal(c.server.state_dir, "/srv/jp");
    assert_string_equal(c.http.listen, "[::]:80");
    assert_string_equal(c.http.token, TOKEN);
    assert_list(c.http.hosts, "gw.example.org|gw|");
    assert_string_equal(c.http.unix_path, "/run/jp.sock");
    assert_int_equal(c.http.unix_mode, 0600);
    assert_list(c.http.trusted_proxies, "unix|10.0.0.0/8|");
    assert_int_equal(c.http.max_connections_per_address, 7);
    assert_int_equal(c.http.header_timeout, 0);
    assert_int_equal(c.http.min_rate, 0);
    assert_int_equal(c.http.min_rate_window, 8000);
    assert_int_equal(c.http.max_connections, 10);
    assert_int_equal(c.http.idle_timeout, 5000);
    assert_int_equal(c.http.max_wait, 60000);
    assert_string_equal(c.http.tls_cert, "c.pem");
    assert_string_equal(c.http.tls_key, "k.pem");
    assert_string_equal(c.xmpp.jid.text, "gw@example.org/one");
    assert_string_equal(c.xmpp.password, "a ; b = c # d"); /* no comment begins within a value */
    assert_string_equal(c.xmpp.server, "xmpp.example.org");
    assert_int_equal(c.xmpp.port, 5223);
    assert_int_equal(c.xmpp.tls, TLS_DIRECT);
    assert_string_equal(c.xmpp.ca, "some.ini");
    assert_list(c.xmpp.proxies, "proxy.example.org|");
    assert_list(c.xmpp.accept_subscriptions, "*@a.org|*@b.org|");
    assert_int_equal(c.xmpp.ping_interval, 60000);
    assert_int_equal(c.xmpp.ping_timeout, 2000);
    assert_int_equal(c.xmpp.reconnect_min, 2000);
    assert_int_equal(c.xmpp.reconnect_max, 3000);
    assert_int_equal(c.xmpp.iq_timeout, 4000);
    assert_string_equal(c.socks5.listen, ":1080");
    assert_string_equal(c.socks5.advertise_host, "gw.example.org");
    assert_int_equal(c.socks5.advertise_port, 7777);
    assert_int_equal(c.socks5.direct, DIRECT_ALWAYS);
    assert_int_equal(c.socks5.threads, 2);
    assert_int_equal(c.socks5.max_streams, 100);
    assert_int_equal(c.socks5.pending_per_peer, 9);
    assert_list(c.proxy.allow, "*@a.org|!eve@a.org|");
    assert_int_equal(c.proxy.max_streams, 11);
    assert_int_equal(c.proxy.max_streams_per_requester, 12);
    assert_int_equal(c.proxy.hourly_bytes, 13 << 20);
    assert_int_equal(c.proxy.rate, 14 << 10);
    assert_int_equal(c.proxy.pair_timeout, 15000);
    assert_int_equal(c.proxy.activate_timeout, 16000);
    assert_int_equal(c.proxy.idle_timeout, 17000);
    assert_list(c.delivery.methods, "s5b|");
    assert_int_equal(c.delivery.offer_timeout, 1000);
    assert_int_equal(c.delivery.connect_timeout, 2000);
    assert_int_equal(c.delivery.activate_timeout, 3000);
    assert_int_equal(c.delivery.stall_timeout, 4000);
    assert_int_equal(c.delivery.linger_timeout, 5000);
    assert_int_equal(c.delivery.max_attempts, 6);
    assert_int_equal(c.delivery.backoff, 7000);
    assert_int_equal(c.delivery.ttl, 691200000);
    assert_int_equal(c.delivery.hold, 5400000);
    assert_int_equal(c.delivery.retention, 777600000);
    assert_int_equal(c.delivery.parallel, 10);
    assert_int_equal(c.delivery.per_recipient_parallel, 11);
    assert_int_equal(c.delivery.ibb_max_size, 12 << 10);
    assert_int_equal(c.delivery.ibb_window, 2);
    assert_list(c.delivery.link, "own|");
    assert_int_equal(c.delivery.digest, DIGEST_NEVER);
    assert_int_equal(c.delivery.link_ttl, 14 * 86400000);
    assert_string_equal(c.server.public_url, "https://gw.example.org/x");
    assert_int_equal(c.server.drain_timeout, 180000);
    assert_string_equal(c.xmpp.nick, "The Gateway");
    assert_string_equal(c.spool.dir, "/spool");
    assert_int_equal(c.spool.max_bytes, 2ULL << 30);
    assert_int_equal(c.spool.max_file, 1ULL << 30);
    assert_int_equal(c.spool.durability, DURABLE_PROCESS);
    assert_string_equal(c.store.url, "sqlite:///db");
    assert_list(c.egress.allow_nets, "10.0.0.0/8|fd00::/8|");
    assert_int_equal(c.log.level, LOG_DEBUG);
    assert_int_equal(c.log.format, LOG_JSON);
    config_free(&c);
}

static void the_command_line_wins_over_the_environment_and_that_over_the_file(void **state)
{
    static const char ini[] = "[http]\nlisten = 127.0.0.1:1\nmax_wait = 1s\nidle_timeout = 1s\n";
    static const char *const environment[] = {ACCOUNT, "JIDPOST_HTTP_LISTEN=127.0.0.1:2", "JIDPOST_HTTP_MAX_WAIT=2s",
                                              "PATH=/bin", NULL};
    static const char *const overrides[] = {"http.listen=127.0.0.1:3", NULL};
    struct config c;

    (void)state;
    must_load(&c, ini, environment, overrides);
    assert_string_equal(c.http.listen, "127.0.0.1:3");
    assert_int_equal(c.http.max_wait, 2000);
    assert_int_equal(c.http.idle_timeout, 1000);
    config_free(&c);
}

static void a_component_sends_from_an_address_behind_its_domain(void **state)
{
    static const struct {
        const char *says, *jid, *from, *sender;
    } rows[] = {
        {"by itself", "files.example.org", "", "jidpost@files.example.org"},
        {"by its key", "files.example.org", "JIDPOST_XMPP_FROM=Reports", "reports@files.example.org"},
        {"by its JID", "reports@files.example.org", "", "reports@files.example.org"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char jid[80];
        const char *environment[] = {jid, "JIDPOST_XMPP_COMPONENT_SECRET=s3cret", *rows[i].from ? rows[i].from : NULL,
                                     NULL};
        struct config c;

        snprintf(jid, sizeof jid, "JIDPOST_XMPP_JID=%s", rows[i].jid);
        must_load(&c, "", environment, NULL);
        assert_string_equal(c.xmpp.jid.text, rows[i].sender);
        assert_string_equal(c.xmpp.accept_subscriptions[0], "*@example.org");
        config_free(&c);
    }
}

static void an_empty_variable_is_an_unset_one(void **state)
{
    static const char *const environment[] = {ACCOUNT,
                                              "JIDPOST_HTTP_LISTEN=",
                                              "JIDPOST_HTTP_TOKEN=",
                                              "JIDPOST_HTTP_TOKEN_FILE=",
                                              "JIDPOST_XMPP_COMPONENT_SECRET=",
                                              "JIDPOST_SOCKS5_ADVERTISE=",
                                              NULL};
    struct config c;

    (void)state;
    must_load(&c, "[http]\nlisten = 127.0.0.1:1\n", environment, NULL);
    assert_string_equal(c.http.listen, "127.0.0.1:1");
    assert_null(c.http.token);
    config_free(&c);
}

static void a_file_in_the_current_folder_is_found(void **state)
{
    static const char *const environment[] = {ACCOUNT, NULL};
    static const char ini[] = "[delivery]\nmax_attempts = 42\n";
    struct config c;

    (void)state;
    write_file("jidpost.ini", ini, strlen(ini));
    must_load(&c, NULL, environment, NULL);
    assert_int_equal(c.delivery.max_attempts, 42);
    config_free(&c);
}

static void an_indented_key_is_a_key_of_its_own(void **state)
{
    struct config c;

    (void)state;
    must_load(&c, "[xmpp]\n  jid = a@b\n  password = pw\n\n# a comment\n; another\n[log]\n\tlevel = warn\n", NULL,
              NULL);
    assert_string_equal(c.xmpp.jid.text, "a@b");
    assert_string_equal(c.xmpp.password, "pw");
    assert_int_equal(c.log.level, LOG_WARN);
    config_free(&c);
}

static void a_long_line_is_read_whole(void **state)
{
    static const char *const environment[] = {ACCOUNT, NULL};
    char ini[3000] = "[http]\nhosts = ";
    struct config c;
    size_t count = 0;

    (void)state;
    for (int i = 0; i < 100; i++)
        snprintf(ini + strlen(ini), sizeof(ini) - strlen(ini), "host%d.example.org,", i);
    must_load(&c, ini, environment, NULL);
    while (c.http.hosts[count])
        count++;
    assert_int_equal(count, 100);
    config_free(&c);
}

static void folders_follow_the_state_dir_and_are_absolute(void **state)
{
    static const char *const environment[] = {ACCOUNT, "JIDPOST_SERVER_STATE_DIR=state", NULL};
    char want[128];
    struct config c;

    (void)state;
    must_load(&c, NULL, environment, NULL);
    snprintf(want, sizeof(want), "%s/state", folder);
    assert_string_equal(c.server.state_dir, want);
    snprintf(want, sizeof(want), "%s/state/spool", folder);
    assert_string_equal(c.spool.dir, want);
    snprintf(want, sizeof(want), "sqlite://%s/state/jidpost.db", folder);
    assert_string_equal(c.store.url, want);
    config_free(&c);
}

static void what_is_advertised_is_a_host_and_maybe_a_port(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
    } rows[] = {
        {"gw.example.org", "gw.example.org", 0},     {"gw.example.org:5086", "gw.example.org", 5086},
        {"192.0.2.7:1080", "192.0.2.7", 1080},       {"[2001:DB8::0:7]", "2001:db8::7", 0},
        {"[2001:db8::7]:1080", "2001:db8::7", 1080}, {"127.0.0.1", "127.0.0.1", 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char variable[128];
        const char *const environment[] = {ACCOUNT, variable, NULL};
        struct config c;

        snprintf(variable, sizeof(variable), "JIDPOST_SOCKS5_ADVERTISE=%s", rows[i].text);
        must_load(&c, NULL, environment, NULL);
        assert_string_equal(c.socks5.advertise_host, rows[i].host);
        assert_int_equal(c.socks5.advertise_port, rows[i].port);
        config_free(&c);
    }
}

static void a_secret_may_be_the_content_of_a_file_without_its_line_end(void **state)
{
    static const struct {
        const char *content, *want;
    } rows[] = {
        {"pass word", "pass word"},
        {"password\n", "password"},
        {"password\r\n", "password"},
        {"p", "p"},
        {" p ", " p "},
    };
    static const char *const environment[] = {"JIDPOST_XMPP_JID=a@b", "JIDPOST_XMPP_PASSWORD_FILE=secret", NULL};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct config c;

        write_file("secret", rows[i].content, strlen(rows[i].content));
        must_load(&c, "[xmpp]\npassword = of the file below\n", environment, NULL);
        assert_string_equal(c.xmpp.password, rows[i].want);
        config_free(&c);
    }
}

static void a_file_that_holds_no_secret_is_refused(void **state)
{
    static char big[5000];
    static const struct {
        const char *says, *content;
        size_t len;
        const char *why;
    } rows[] = {
        {"empty", "", 0, "JIDPOST_HTTP_TOKEN_FILE: the file is empty"},
        {"a line end", "\n", 1, "the file is empty"},
        {"two lines", "0123456789abcdef\n0123456789abcdef\n", 34, "control characters"},
        {"a NUL", "0123456789\0abcdef", 17, "not a text"},
        {"a program", big, sizeof(big), "longer than any secret"},
        {"broken UTF-8", "0123456789abcdef\xff", 17, "UTF-8"},
        {"too short", "0123456789abcde\n", 16, "at least 16 characters"},
    };
    static const char *const environment[] = {ACCOUNT, "JIDPOST_HTTP_TOKEN_FILE=secret", NULL};

    (void)state;
    memset(big, 'x', sizeof(big));
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = {0};
        struct config c;

        write_file("secret", rows[i].content, rows[i].len);
        if (load(&c, NULL, environment, NULL, &err) || !strstr(err.text, rows[i].why))
            fail_msg("%s: %s", rows[i].says, err.text);
        assert_int_equal(err.code, ERR_CONFIG);
        assert_null(strstr(err.text, "0123456789"));
    }
}

static void a_credential_of_systemd_is_picked_up(void **state)
{
    char credentials[64];
    const char *const environment[] = {credentials, "JIDPOST_XMPP_JID=a@b", NULL};
    const char *const both[] = {"JIDPOST_XMPP_PASSWORD=other", "JIDPOST_XMPP_JID=a@b", credentials, NULL};
    struct error err = {0};
    struct config c;

    (void)state;
    snprintf(credentials, sizeof(credentials), "CREDENTIALS_DIRECTORY=%s", folder);
    write_file("xmpp.password", "from systemd\n", 13);
    must_load(&c, NULL, environment, NULL);
    assert_string_equal(c.xmpp.password, "from systemd");
    assert_null(c.http.token);
    config_free(&c);
    assert_false(load(&c, NULL, both, NULL, &err));
    assert_non_null(strstr(err.text, "xmpp.password is given twice, by JIDPOST_XMPP_PASSWORD and by credential"));
    write_file("xmpp.password", "", 0);
    assert_false(load(&c, NULL, environment, NULL, &err));
    assert_non_null(strstr(err.text, "credential xmpp.password: the file is empty"));
}

static void a_credential_may_be_the_file_a_key_names(void **state)
{
    char credentials[64], path[96];
    const char *const environment[] = {credentials, ACCOUNT, NULL};
    const char *const both[] = {"JIDPOST_HTTP_TLS_KEY=/k", ACCOUNT, credentials, NULL};
    struct error err = {0};
    struct config c;

    (void)state;
    snprintf(credentials, sizeof(credentials), "CREDENTIALS_DIRECTORY=%s", folder);
    write_file("http.tls_cert", "a certificate\n", 14);
    assert_false(load(&c, NULL, environment, NULL, &err));
    assert_non_null(strstr(err.text, "http.tls_cert is given and http.tls_key is not"));
    write_file("http.tls_key", "a key\n", 6);
    must_load(&c, NULL, environment, NULL);
    snprintf(path, sizeof(path), "%s/http.tls_key", folder);
    assert_string_equal(c.http.tls_key, path);
    config_free(&c);
    assert_false(load(&c, NULL, both, NULL, &err));
    assert_non_null(strstr(err.text, "http.tls_key is given twice, by JIDPOST_HTTP_TLS_KEY and by credential"));
}

static void https_takes_a_certificate_and_its_key(void **state)
{
    static const char *const rows[][3] = {
        {"http.tls_cert=/c", NULL, "http.tls_cert is given and http.tls_key is not"},
        {"http.tls_key=/k", NULL, "http.tls_key is given and http.tls_cert is not"},
        {"http.tls_key=/k", "http.tls_cert=/c", NULL},
    };
    static const char *const environment[] = {ACCOUNT, NULL};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *const overrides[] = {rows[i][0], rows[i][1], NULL};
        struct error err = {0};
        struct config c;

        assert_int_equal(load(&c, NULL, environment, overrides, &err), !rows[i][2]);
        if (rows[i][2])
            assert_non_null(strstr(err.text, rows[i][2]));
        else
            config_free(&c);
    }
}

static void listening_beyond_loopback_needs_a_token(void **state)
{
    static const char *const open[] = {"0.0.0.0:80", "[::]:80", ":80", "192.0.2.1:80", "gw.example.org:80"};
    static const char *const closed[] = {"127.0.0.1:80", "127.9.9.9:0", "[::1]:80", "localhost:80"};

    (void)state;
    for (size_t i = 0; i < COUNT(open); i++) {
        char variable[64];
        const char *const without[] = {ACCOUNT, variable, NULL};
        const char *const with[] = {ACCOUNT, variable, "JIDPOST_HTTP_TOKEN=" TOKEN, NULL};
        struct error err = {0};
        struct config c;

        snprintf(variable, sizeof(variable), "JIDPOST_HTTP_LISTEN=%s", open[i]);
        assert_false(load(&c, NULL, without, NULL, &err));
        assert_non_null(strstr(err.text, "JIDPOST_HTTP_TOKEN=$(openssl rand -base64 32)"));
        must_load(&c, NULL, with, NULL);
        config_free(&c);
    }
    for (size_t i = 0; i < COUNT(closed); i++) {
        char variable[64];
        const char *const without[] = {ACCOUNT, variable, NULL};
        struct config c;

        snprintf(variable, sizeof(variable), "JIDPOST_HTTP_LISTEN=%s", closed[i]);
        must_load(&c, NULL, without, NULL);
        config_free(&c);
    }
}

#define HASH "hash = sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n"

static void tokens_stand_in_the_file_and_beside_the_state(void **state)
{
    static const char *const environment[] = {ACCOUNT, "JIDPOST_SERVER_STATE_DIR=.", "JIDPOST_HTTP_LISTEN=:80", NULL};
    static const char kept[] = "[token b]\n" HASH "note = x ; y\n", strange[] = "[http]\nlisten = :80\n";
    struct token_list tokens = {0};
    struct error err = {0};
    struct config c;

    (void)state;
    must_load(&c, "[token a]\n" HASH "scopes = read\n", environment, NULL);
    assert_int_equal(c.tokens.count, 1);
    assert_string_equal(c.tokens.items[0].id, "a");
    assert_int_equal(c.tokens.items[0].scopes, SCOPE_READ);
    config_free(&c);
    assert_int_equal(mkdir(TOKENS_FOLDER, 0700), 0);
    write_file(TOKENS_FOLDER "/b.ini", kept, strlen(kept));
    must_load(&c, "[token a]\n" HASH, environment, NULL);
    assert_int_equal(c.tokens.count, 2);
    assert_string_equal(c.tokens.items[1].id, "b");
    assert_string_equal(c.tokens.items[1].note, "x ; y");
    config_free(&c);
    assert_false(load(&c, "[token b]\n" HASH, environment, NULL, &err));
    assert_non_null(strstr(err.text, "b.ini:2: [token b] hash is given twice"));
    must_load(&c, "", environment, NULL); /* it lets callers in from afar */
    config_free(&c);
    assert_true(config_kept_tokens(".", &tokens, NULL));
    assert_int_equal(tokens.count, 1);
    token_list_free(&tokens);
    write_file(TOKENS_FOLDER "/b.ini", strange, strlen(strange));
    assert_false(load(&c, "", environment, NULL, &err));
    assert_non_null(strstr(err.text, "b.ini:2: only sections [token ID] belong here"));
}

#define WHSEC     "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define WHSEC_OLD "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define HOOK      "[webhook ci]\nurl = https://ci.example.org\n"

static void count_file(void *user, const char *path)
{
    *(unsigned *)user += strstr(path, "/secret") != NULL;
}

/* Each as a row: the section, the credentials, and what comes of it. */
static void a_webhook_s_secret_comes_by_the_file_another_or_a_credential(void **state)
{
    char secret_file[128], credentials[64];
    const struct {
        const char *says, *more, *credential, *old_credential;
        const char *wanted; /* the refusal; NULL: none */
        bool old;
    } rows[] = {
        {"in the section", "secret = " WHSEC "\n", NULL, NULL, NULL, false},
        {"in a file", secret_file, NULL, NULL, NULL, false},
        {"by a credential", "", WHSEC "\n", NULL, NULL, false},
        {"both by credentials", "", WHSEC, WHSEC_OLD, NULL, true},
        {"an old one in the section", "secret_old = " WHSEC_OLD "\n", WHSEC, NULL, NULL, true},
        {"nowhere", "", NULL, NULL, "[webhook ci] has no secret", false},
        {"twice", "secret = " WHSEC "\n", WHSEC, NULL, "[webhook ci] its secret is given twice", false},
        {"a file that is not there", "secret_file = /nonexistent\n", NULL, NULL,
         "[webhook ci] secret_file: /nonexistent cannot be read", false},
        {"no secret", "", "hunter2", NULL, "[webhook ci] its secret is none", false},
        {"a key that is none", "secrets = x\n", NULL, NULL, "some.ini:3: [webhook ci] has no key 'secrets'", false},
    };
    const char *const environment[] = {credentials, ACCOUNT, NULL};
    struct config c;
    struct error err;

    (void)state;
    snprintf(credentials, sizeof credentials, "CREDENTIALS_DIRECTORY=%s", folder);
    snprintf(secret_file, sizeof secret_file, "secret_file = %s/secret\n", folder);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char ini[512];
        unsigned files = 0;
        bool ok;

        unlink("webhook.ci.secret");
        unlink("webhook.ci.secret_old");
        write_file("secret", WHSEC "\n", strlen(WHSEC) + 1);
        if (rows[i].credential)
            write_file("webhook.ci.secret", rows[i].credential, strlen(rows[i].credential));
        if (rows[i].old_credential)
            write_file("webhook.ci.secret_old", rows[i].old_credential, strlen(rows[i].old_credential));
        snprintf(ini, sizeof ini, HOOK "%s", rows[i].more);
        ok = load(&c, ini, environment, NULL, &err);
        if (ok != !rows[i].wanted || (!ok && !strstr(err.text, rows[i].wanted)))
            fail_msg("%s: %s", rows[i].says, ok ? "it loads" : err.text);
        if (!ok) {
            assert_null(strstr(err.text, "hunter2"));
            continue;
        }
        assert_int_equal(c.webhooks.count, 1);
        assert_int_equal(c.webhooks.items[0].secret.length, 24);
        assert_int_equal(c.webhooks.items[0].old.length > 0, rows[i].old);
        config_each_file(&c, count_file, &files); /* for the sandbox */
        assert_int_equal(files, rows[i].more == secret_file);
        config_free(&c);
    }
}

static void rules_of_the_inbox_are_sections_before_its_keys(void **state)
{
    static const struct {
        const char *ini, *wanted; /* the refusal; NULL: none */
    } rows[] = {
        {"[inbox]\naccept = *@example.org\nmax_files = 7\n[inbox team]\nfrom = a@example.net\n", NULL},
        {"[inbox team]\nfrom = a@example.net\n[inbox]\naccept = *@example.org\nmax_files = 7\n", NULL},
        {"[inbox team]\nfrm = a@example.net\n", "some.ini:2: [inbox team] has no key 'frm'; did you mean 'from'?"},
        {"[inbox team]\nto = a\n", "[inbox team] has no from"},
        {"[inbox te am]\nfrom = *\n", "some.ini:2: a rule's name has letters"},
    };
    const char *const environment[] = {ACCOUNT, NULL};
    struct error err = {0};
    struct config c;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool ok = load(&c, rows[i].ini, environment, NULL, &err);

        if (ok != !rows[i].wanted || (!ok && !strstr(err.text, rows[i].wanted)))
            fail_msg("%zu: %s", i, ok ? "it loads" : err.text);
        if (!ok)
            continue;
        assert_int_equal(c.inbox.rules.count, 2);
        assert_string_equal(c.inbox.rules.items[0].name, "team");
        assert_int_equal(c.inbox.rules.items[0].max_files, 7);
        assert_string_equal(c.inbox.rules.items[1].from[0], "*@example.org");
        config_free(&c);
    }
}

static void the_state_folder_is_known_before_the_rest_holds(void **state)
{
    static const char *const overrides[] = {"server.state_dir=/srv/jp", NULL};
    char *found = config_state_dir(NULL, NULL, overrides, NULL);

    (void)state;
    assert_string_equal(found, "/srv/jp");
    free(found);
}

static void some_keys_are_known_before_the_rest_holds(void **state)
{
    static const char *const keys[] = {"http.listen", "http.token", NULL};
    static const char *const overrides[] = {"http.listen=:1", NULL}, *const bad[] = {"http.listen=nowhere", NULL};
    static const char *const environment[] = {"JIDPOST_HTTP_TOKEN=0123456789abcdef", "JIDPOST_XMPP_PORT=none", NULL};
    struct error err = {0};
    struct config c;

    (void)state;
    assert_true(config_load_keys(&c, keys, NULL, (char *const *)environment, overrides, &err));
    assert_string_equal(c.http.listen, ":1");
    assert_string_equal(c.http.token, "0123456789abcdef");
    assert_null(c.server.state_dir);
    config_free(&c);
    assert_false(config_load_keys(&c, keys, NULL, (char *const *)environment, bad, &err));
    assert_non_null(strstr(err.text, "http.listen"));
}

static void what_our_clients_are_told_is_no_key_and_no_mistake(void **state)
{
    static const char *const environment[] = {ACCOUNT, "JIDPOST_URL=http://gw", "JIDPOST_TOKEN=x",
                                              "JIDPOST_TOKEN_FILE=/nowhere", NULL};
    struct error err = {0};
    struct config c;

    (void)state;
    if (!load(&c, NULL, environment, NULL, &err))
        fail_msg("%s", err.text);
    config_free(&c);
}

static void tls_is_off_only_towards_this_machine(void **state)
{
    static const struct {
        const char *server;
        bool want;
    } rows[] = {
        {"127.0.0.1", true}, {"localhost", true}, {"::1", true},          {"[::1]", true},
        {"", false},         {"10.0.0.1", false}, {"example.org", false}, {"127.0.0.1.example.org", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char variable[64];
        const char *const environment[] = {ACCOUNT, "JIDPOST_XMPP_TLS=off", variable, NULL};
        struct error err = {0};
        struct config c;
        bool ok;

        snprintf(variable, sizeof(variable), "JIDPOST_XMPP_SERVER=%s", rows[i].server);
        ok = load(&c, NULL, environment, NULL, &err);
        if (ok != rows[i].want)
            fail_msg("'%s': %s", rows[i].server, err.text);
        if (!ok)
            assert_non_null(strstr(err.text, "loopback"));
        config_free(&c);
    }
}

static void a_bad_file_is_refused_with_its_line(void **state)
{
    static const struct {
        const char *says, *ini, *why;
    } rows[] = {
        {"an unknown key", "[http]\nlisen = x:1\n",
         "some.ini:2: there is no key 'http.lisen'; did you mean 'http.listen'?"},
        {"an unknown section", "[htpp]\n\nlisten = x:1\n", "some.ini:3: there is no key 'htpp.listen'; did you mean"},
        {"nothing near", "[colours]\nfavourite = blue\n", "'jidpost config keys' lists them all"},
        {"an unknown key before a good one", "[log]\nlewel = info\nlevel = info\n", "no key 'log.lewel'"},
        {"no section", "jid = a@b\n", "there is no key '.jid'"},
        {"no value", "[http]\nlisten\n", "some.ini:2: neither '[section]' nor 'key = value'"},
        {"an open section", "[http\nlisten = x:1\n", "some.ini:1: neither"},
        {"twice", "[log]\nlevel = info\nlevel = warn\n", "some.ini:3: log.level is given twice, first at"},
        {"a bad value", "[http]\nmax_wait = soon\n", "http.max_wait = 'soon' ("},
        {"a page without a page", "[http]\npage = /tmp\n", "http.page = '/tmp' ("},
        {"a control character", "[xmpp]\npassword = a\x01\n", "xmpp.password ("},
        {"broken UTF-8", "[xmpp]\nserver = \xff\n", "UTF-8"},
        {"an unknown key of a token", "[token a]\n" HASH "scope = read\n",
         "some.ini:3: [token a] has no key 'scope'; did you mean 'scopes'?"},
        {"a token without an id", "[token]\n" HASH, "some.ini:2: a token's id has letters, digits and '-'"},
        {"a token whose id is a path", "[token ../a]\n" HASH, "some.ini:2: a token's id has"},
        {"a token without a hash", "[token a]\nscopes = read\n", "[token a] has no hash"},
    };
    static const char *const environment[] = {ACCOUNT, NULL};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = {0};
        struct config c;

        if (load(&c, rows[i].ini, environment, NULL, &err))
            fail_msg("%s: loaded", rows[i].says);
        if (!strstr(err.text, rows[i].why) || err.code != ERR_CONFIG)
            fail_msg("%s: %s", rows[i].says, err.text);
    }
}

static void a_line_beyond_reason_is_refused(void **state)
{
    static char ini[10000] = "[http]\nhosts = ";
    struct error err = {0};
    struct config c;

    (void)state;
    memset(ini + strlen(ini), 'x', sizeof(ini) - strlen(ini) - 1);
    assert_false(load(&c, ini, NULL, NULL, &err));
    assert_non_null(strstr(err.text, "some.ini:2: the line is too long"));
}

static void a_named_file_must_be_there(void **state)
{
    struct error err = {0};
    struct config c;
    char *none[] = {NULL};

    (void)state;
    assert_false(config_load(&c, "/nonexistent/jidpost.ini", none, NULL, &err));
    assert_non_null(strstr(err.text, "/nonexistent/jidpost.ini cannot be read"));
    assert_false(config_load(&c, folder, none, NULL, &err));
    assert_non_null(strstr(err.text, "cannot be read: Is a directory"));
}

static void the_unix_socket_needs_no_token_and_its_path_is_absolute(void **state)
{
    static const char *const environment[] = {ACCOUNT, "JIDPOST_HTTP_LISTEN=off", "JIDPOST_HTTP_UNIX=http.sock", NULL};
    char want[128];
    struct config c;

    (void)state;
    must_load(&c, NULL, environment, NULL);
    assert_string_equal(c.http.listen, LISTEN_OFF);
    snprintf(want, sizeof want, "%s/http.sock", folder);
    assert_string_equal(c.http.unix_path, want);
    config_free(&c);
}

static void a_bad_environment_is_refused_by_name(void **state)
{
    static const struct {
        const char *says;
        const char *environment[5];
        const char *why;
    } rows[] = {
        {"no account", {"JIDPOST_XMPP_PASSWORD=x"}, "xmpp.jid must be given: set JIDPOST_XMPP_JID, or jid in [xmpp]"},
        {"no password",
         {"JIDPOST_XMPP_JID=a@b"},
         "xmpp.password must be given: set JIDPOST_XMPP_PASSWORD, JIDPOST_XMPP_PASSWORD_FILE (a path)"},
        {"an unknown key",
         {ACCOUNT, "JIDPOST_HTTP_LISEN=x:1"},
         "JIDPOST_HTTP_LISEN, which is no key; did you mean JIDPOST_HTTP_LISTEN?"},
        {"an unknown key without a value", {ACCOUNT, "JIDPOST_HTTP_LISEN="}, "did you mean JIDPOST_HTTP_LISTEN?"},
        {"nothing near", {ACCOUNT, "JIDPOST_COLOUR_OF_THE_SKY=blue"}, "'jidpost config keys' lists them all"},
        {"a prefix of a key", {ACCOUNT, "JIDPOST_HTTP_TOKE=x"}, "did you mean JIDPOST_HTTP_TOKEN?"},
        {"a file for what is no secret",
         {ACCOUNT, "JIDPOST_HTTP_LISTEN_FILE=x"},
         "no key; did you mean JIDPOST_HTTP_LISTEN?"},
        {"an account and a component", {ACCOUNT, "JIDPOST_XMPP_COMPONENT_SECRET=x"}, "are both given"},
        {"a component elsewhere",
         {"JIDPOST_XMPP_JID=files.example.org", "JIDPOST_XMPP_COMPONENT_SECRET=x", "JIDPOST_XMPP_SERVER=192.0.2.1"},
         "goes in the clear"},
        {"a component with TLS",
         {"JIDPOST_XMPP_JID=files.example.org", "JIDPOST_XMPP_COMPONENT_SECRET=x", "JIDPOST_XMPP_TLS=direct"},
         "a component"},
        {"a domain without the secret",
         {"JIDPOST_XMPP_JID=files.example.org", "JIDPOST_XMPP_PASSWORD=x"},
         "has an xmpp.component_secret"},
        {"value and file",
         {ACCOUNT, "JIDPOST_XMPP_PASSWORD_FILE=secret"},
         "xmpp.password is given twice, by JIDPOST_XMPP_PASSWORD and by JIDPOST_XMPP_PASSWORD_FILE"},
        {"no such file",
         {ACCOUNT, "JIDPOST_HTTP_TOKEN_FILE=/nonexistent"},
         "JIDPOST_HTTP_TOKEN_FILE: /nonexistent cannot be read: No such file"},
        {"a short token",
         {ACCOUNT, "JIDPOST_HTTP_TOKEN=0123456789abcde"},
         "http.token (JIDPOST_HTTP_TOKEN): a token has at least 16"},
        {"a token with a space", {ACCOUNT, "JIDPOST_HTTP_TOKEN=0123456789 abcdef"}, "visible ASCII"},
        {"a token beyond ASCII", {ACCOUNT, "JIDPOST_HTTP_TOKEN=0123456789abcde\xc3\xa9"}, "visible ASCII"},
        {"no address", {"JIDPOST_XMPP_JID=@@"}, "xmpp.jid = '@@' (JIDPOST_XMPP_JID): the local part"},
        {"a server as the account", {"JIDPOST_XMPP_JID=example.org"}, "expected an account, as gateway@example.org"},
        {"a proxy that is no address", {ACCOUNT, "JIDPOST_XMPP_PROXIES=a.org @b"}, "xmpp.proxies = 'a.org @b'"},
        {"a listener without a port", {ACCOUNT, "JIDPOST_HTTP_LISTEN=127.0.0.1"}, "expected host:port"},
        {"no listener", {ACCOUNT, "JIDPOST_SOCKS5_LISTEN=5086"}, "socks5.listen = '5086'"},
        {"off, where there is nothing else", {ACCOUNT, "JIDPOST_SOCKS5_LISTEN=off"}, "expected host:port"},
        {"nothing to listen on", {ACCOUNT, "JIDPOST_HTTP_LISTEN=off"}, "set http.unix to a path"},
        {"a path too long for a socket",
         {ACCOUNT, "JIDPOST_HTTP_UNIX=/0123456789012345678901234567890123456789012345678901234567890123456789012345678"
                   "9012345678901234567890123456"},
         "at most 107 bytes; this one has 108"},
        {"a mode that is none", {ACCOUNT, "JIDPOST_HTTP_UNIX_MODE=rw"}, "as 0660"},
        {"a mode with more", {ACCOUNT, "JIDPOST_HTTP_UNIX_MODE=4660"}, "as 0660"},
        {"a mode that keeps us out", {ACCOUNT, "JIDPOST_HTTP_UNIX_MODE=0066"}, "as 0660"},
        {"a proxy by name", {ACCOUNT, "JIDPOST_HTTP_TRUSTED_PROXIES=unix nginx"}, "'nginx' is no address"},
        {"a proxy without a token", {ACCOUNT, "JIDPOST_HTTP_TRUSTED_PROXIES=unix"}, "who need a token"},
        {"a port beside the server", {ACCOUNT, "JIDPOST_XMPP_SERVER=a.org:5222"}, "the port goes to xmpp.port"},
        {"no port", {ACCOUNT, "JIDPOST_XMPP_PORT=65536"}, "a port number up to 65535"},
        {"no such mode", {ACCOUNT, "JIDPOST_XMPP_TLS=on"}, "expected one of required, direct, off"},
        {"no such authorities", {ACCOUNT, "JIDPOST_XMPP_CA=/nonexistent"}, "cannot be read: No such file"},
        {"an address nobody can reach",
         {ACCOUNT, "JIDPOST_SOCKS5_ADVERTISE=0.0.0.0:1"},
         "nobody can connect to 0.0.0.0"},
        {"the same in IPv6", {ACCOUNT, "JIDPOST_SOCKS5_ADVERTISE=[::]:1"}, "nobody can connect to ::"},
        {"only a port to advertise", {ACCOUNT, "JIDPOST_SOCKS5_ADVERTISE=:5086"}, "expected host[:port]"},
        {"port 0 to advertise", {ACCOUNT, "JIDPOST_SOCKS5_ADVERTISE=a.org:0"}, "expected host[:port]"},
        {"too few", {ACCOUNT, "JIDPOST_HTTP_MAX_CONNECTIONS=0"}, "a number from 1 to 65536"},
        {"too many", {ACCOUNT, "JIDPOST_SOCKS5_THREADS=257"}, "a number from 0 to 256"},
        {"no unit", {ACCOUNT, "JIDPOST_XMPP_PING_INTERVAL=30"}, "expected a time up to 1d, as 500ms"},
        {"no unit", {ACCOUNT, "JIDPOST_DELIVERY_HOLD=60"}, "expected a time"},
        {"no time at all", {ACCOUNT, "JIDPOST_XMPP_PING_INTERVAL=0s"}, "expected a time"},
        {"too long", {ACCOUNT, "JIDPOST_DELIVERY_OFFER_TIMEOUT=25h"}, "expected a time up to 1d"},
        {"ages", {ACCOUNT, "JIDPOST_DELIVERY_TTL=3651d"}, "expected a time up to 3650d"},
        {"no size", {ACCOUNT, "JIDPOST_SPOOL_MAX_BYTES=10GB"}, "expected a size"},
        {"nothing", {ACCOUNT, "JIDPOST_SPOOL_MAX_FILE=0"}, "expected a size"},
        {"a window", {ACCOUNT, "JIDPOST_SPOOL_STREAM_WINDOW=512K"}, "expected a size of at least 1M"},
        {"no such method",
         {ACCOUNT, "JIDPOST_DELIVERY_METHODS=s5b,smtp"},
         "'smtp' is no method; there are jingle-s5b, si-s5b, s5b, jingle-ibb, si-ibb, ibb, link"},
        {"a method twice", {ACCOUNT, "JIDPOST_DELIVERY_METHODS=s5b si-s5b s5b"}, "'s5b' stands there twice"},
        {"no method", {ACCOUNT, "JIDPOST_DELIVERY_METHODS=,"}, "at least one of"},
        {"no such way",
         {ACCOUNT, "JIDPOST_DELIVERY_LINK=own,mail"},
         "'mail' is no way to a link; there are upload, own"},
        {"one way twice", {ACCOUNT, "JIDPOST_DELIVERY_LINK=own,own"}, "'own' stands there twice"},
        {"a bare host", {ACCOUNT, "JIDPOST_SERVER_PUBLIC_URL=files.example.org"}, "expected https://"},
        {"no host", {ACCOUNT, "JIDPOST_SERVER_PUBLIC_URL=https:///x"}, "expected https://"},
        {"a query", {ACCOUNT, "JIDPOST_SERVER_PUBLIC_URL=https://a.example/?x"}, "expected https://"},
        {"a user", {ACCOUNT, "JIDPOST_SERVER_PUBLIC_URL=https://me@a.example/"}, "expected https://"},
        {"another scheme", {ACCOUNT, "JIDPOST_SERVER_PUBLIC_URL=ftp://a.example/"}, "expected https://"},
        {"a bad port", {ACCOUNT, "JIDPOST_SERVER_PUBLIC_URL=https://a.example:x/"}, "no host with an optional port"},
        {"links without TLS", {ACCOUNT, "JIDPOST_SERVER_PUBLIC_URL=http://a.example"}, "http is for loopback hosts"},
        {"a nick that is none", {ACCOUNT, "JIDPOST_XMPP_NICK=a\x01z"}, "xmpp.nick"},
        {"no network", {ACCOUNT, "JIDPOST_EGRESS_ALLOW_NETS=10.0.0.0/8 x"}, "'x' is no network"},
        {"another engine", {ACCOUNT, "JIDPOST_STORE_URL=postgres://db"}, "expected sqlite:///absolute/path.db"},
        {"a relative store", {ACCOUNT, "JIDPOST_STORE_URL=sqlite://x.db"}, "expected sqlite:///absolute/path.db"},
        {"no such level", {ACCOUNT, "JIDPOST_LOG_LEVEL=loud"}, "expected one of debug, info, warn, error"},
        {"a backoff that shrinks", {ACCOUNT, "JIDPOST_XMPP_RECONNECT_MIN=2m"}, "xmpp.reconnect_min is longer than"},
        {"a line end", {ACCOUNT, "JIDPOST_XMPP_SERVER=a\nb"}, "control characters"},
    };

    (void)state;
    write_file("secret", "another", 7);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = {0};
        struct config c;

        if (load(&c, NULL, rows[i].environment, NULL, &err))
            fail_msg("%s: loaded", rows[i].says);
        if (!strstr(err.text, rows[i].why) || err.code != ERR_CONFIG)
            fail_msg("%s: %s", rows[i].says, err.text);
        assert_null(c.server.state_dir); /* nothing is left behind */
    }
}

static void a_bad_command_line_is_refused(void **state)
{
    static const struct {
        const char *override, *why;
    } rows[] = {
        {"http.listen", "--http.listen: expected --section.key=value"},
        {"http.lisen=x:1", "no key 'http.lisen'; did you mean 'http.listen'?"},
        {"http.listen=x", "http.listen = 'x' (--http.listen): expected host:port"},
        {"xmpp.jid=", "xmpp.jid must be given"},
    };
    static const char *const environment[] = {ACCOUNT, NULL};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *const overrides[] = {rows[i].override, NULL};
        struct error err = {0};
        struct config c;

        if (load(&c, NULL, environment, overrides, &err) || !strstr(err.text, rows[i].why))
            fail_msg("%s: %s", rows[i].override, err.text);
    }
}

/* What a function writes to a stream, yours to free(). */
static char *captured(bool (*print)(FILE *out))
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    assert_true(print(out));
    assert_int_equal(fclose(out), 0);
    return text;
}

static bool show(FILE *out)
{
    static char jid[] = "JIDPOST_XMPP_JID=gw@example.org";
    static char password[] = "JIDPOST_XMPP_PASSWORD=geheim";
    static char *const environment[] = {jid, password, NULL};
    static const char *const overrides[] = {"http.max_wait=5s", NULL};
    struct error err;

    return config_show(ini_path, environment, overrides, out, &err);
}

static void showing_tells_each_value_and_where_it_is_from_but_no_secret(void **state)
{
    static const char ini[] = "[log]\nlevel = warn\n";
    char from_file[128];
    char *text;

    (void)state;
    write_file(ini_path, ini, strlen(ini));
    text = captured(show);
    snprintf(from_file, sizeof(from_file), "\nlog.level = warn  (%s:2)\n", ini_path);
    assert_non_null(strstr(text, from_file));
    assert_non_null(strstr(text, "\nhttp.listen = 127.0.0.1:8080  (default)\n"));
    assert_non_null(strstr(text, "\nhttp.max_wait = 5s  (--http.max_wait)\n"));
    assert_non_null(strstr(text, "\nhttp.token = (none)  (default)\n"));
    assert_non_null(strstr(text, "\nxmpp.jid = gw@example.org  (JIDPOST_XMPP_JID)\n"));
    assert_non_null(strstr(text, "\nxmpp.password = (set)  (JIDPOST_XMPP_PASSWORD)\n"));
    assert_non_null(strstr(text, "\nspool.dir = /var/lib/jidpost/spool  (default)\n"));
    assert_null(strstr(text, "geheim"));
    free(text);
}

static struct settings *must_read(const char *ini)
{
    struct config c;
    struct error err = {0};
    struct settings *s;

    write_file(ini_path, ini, strlen(ini));
    s = config_read(&c, ini_path, NULL, NULL, &err);
    if (!s)
        fail_msg("%s", err.text);
    config_free(&c);
    return s;
}

static void note_change(void *user, const struct config_change *change)
{
    snprintf((char *)user + strlen(user), 1000 - strlen(user), "%s: %s > %s%s\n", change->key, change->from, change->to,
             change->live ? " live" : "");
}

static void another_reading_tells_what_changed_and_the_live_ones_count_from_then_on(void **state)
{
    static const char before[] = "[xmpp]\njid = gw@example.org\npassword = old\n[log]\nlevel = warn\n";
    static const char after[] = "[server]\nstate_dir = /srv/jp\n[http]\ntoken = " TOKEN
                                "\n[xmpp]\njid = gw@example.org\npassword = new\n[delivery]\nparallel = 9\n";
    struct settings *running = must_read(before), *same = must_read(before), *found = must_read(after);
    char told[1000] = "";

    (void)state;
    config_compare(running, same, note_change, told);
    assert_string_equal(told, "");
    config_compare(running, found, note_change, told);
    assert_string_equal(told, "server.state_dir: /var/lib/jidpost > /srv/jp\n"
                              "http.token: (none) > (set) live\n"
                              "xmpp.password: (set) > (set)\n"
                              "delivery.parallel: 256 > 9 live\n"
                              "spool.dir: /var/lib/jidpost/spool > /srv/jp/spool\n"
                              "store.url: sqlite:///var/lib/jidpost/jidpost.db > sqlite:///srv/jp/jidpost.db\n"
                              "log.level: warn > info live\n");
    told[0] = '\0';
    config_compare(running, same, note_change, told);
    assert_string_equal(told, "http.token: (set) > (none) live\n"
                              "delivery.parallel: 9 > 256 live\n"
                              "log.level: info > warn live\n");
    settings_free(&running);
    settings_free(&same);
    settings_free(&found);
}

static void what_is_there_may_change_but_not_come_or_go_while_it_runs(void **state)
{
#define PAIR(cert, key) "[http]\ntls_cert = " cert "\ntls_key = " key "\n[xmpp]\njid = a@b\npassword = x\n"
#define PROXY(allow)    "[proxy]\nallow = " allow "\n[xmpp]\njid = a@b\npassword = x\n"
    static const struct {
        const char *before, *after, *told;
    } rows[] = {
        {PAIR("/a", "/k"), PAIR("/a", "/k"), ""},
        {PAIR("/a", "/k"), PAIR("/b", "/k"), "http.tls_cert: /a > /b live\n"},
        {PAIR("/a", "/k"), PAIR("", ""), "http.tls_cert: /a > (none)\nhttp.tls_key: /k > (none)\n"},
        {PAIR("", ""), PAIR("/a", "/k"), "http.tls_cert: (none) > /a\nhttp.tls_key: (none) > /k\n"},
        {PROXY("*@b"), PROXY("*@c"), "proxy.allow: *@b > *@c live\n"},
        {PROXY("*@b"), PROXY("off"), "proxy.allow: *@b > off\n"},
        {PROXY("off"), PROXY("*@b"), "proxy.allow: off > *@b\n"},
    };
#undef PAIR
#undef PROXY

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct settings *running = must_read(rows[i].before), *found = must_read(rows[i].after);
        char told[1000] = "";

        config_compare(running, found, note_change, told);
        assert_string_equal(told, rows[i].told);
        settings_free(&running);
        settings_free(&found);
    }
}

static bool keys(FILE *out)
{
    config_keys(out);
    return true;
}

static void the_printed_keys_are_a_file_of_the_defaults(void **state)
{
    static const char *const overrides[] = {"xmpp.jid=gw@example.org", "xmpp.password=x", NULL};
    char *text = captured(keys);
    struct config c;

    (void)state;
    assert_non_null(strstr(text, "\n[socks5]\n"));
    assert_non_null(strstr(text, "(JIDPOST_HTTP_TOKEN, also _FILE; SIGHUP applies it)\n;token =\n"));
    assert_non_null(strstr(text, "; must be given: "));
    assert_non_null(strstr(text, "(JIDPOST_LOG_LEVEL; SIGHUP applies it)\n;level = info\n"));
    must_load(&c, text, NULL, overrides); /* as printed, all lines being comments */
    config_free(&c);
    for (char *at = text; (at = strstr(at, "\n;")); at++) {
        if (at[2] != ' ')
            at[1] = ' '; /* a reader takes the key into use */
    }
    must_load(&c, text, NULL, overrides);
    assert_string_equal(c.spool.dir, "/var/lib/jidpost/spool");
    assert_list(c.xmpp.accept_subscriptions, "*@example.org|");
    assert_int_equal(c.delivery.stall_timeout, 120000);
    config_free(&c);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(another_reading_tells_what_changed_and_the_live_ones_count_from_then_on, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(account_and_password_are_enough, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_key_of_a_file_arrives, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_command_line_wins_over_the_environment_and_that_over_the_file, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_component_sends_from_an_address_behind_its_domain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_variable_is_an_unset_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_in_the_current_folder_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_indented_key_is_a_key_of_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_long_line_is_read_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(folders_follow_the_state_dir_and_are_absolute, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_advertised_is_a_host_and_maybe_a_port, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_secret_may_be_the_content_of_a_file_without_its_line_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_holds_no_secret_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_credential_of_systemd_is_picked_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rules_of_the_inbox_are_sections_before_its_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_webhook_s_secret_comes_by_the_file_another_or_a_credential, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_credential_may_be_the_file_a_key_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(https_takes_a_certificate_and_its_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_there_may_change_but_not_come_or_go_while_it_runs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(listening_beyond_loopback_needs_a_token, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tokens_stand_in_the_file_and_beside_the_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_state_folder_is_known_before_the_rest_holds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(some_keys_are_known_before_the_rest_holds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_our_clients_are_told_is_no_key_and_no_mistake, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tls_is_off_only_towards_this_machine, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bad_file_is_refused_with_its_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_line_beyond_reason_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_named_file_must_be_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_unix_socket_needs_no_token_and_its_path_is_absolute, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bad_environment_is_refused_by_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bad_command_line_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(showing_tells_each_value_and_where_it_is_from_but_no_secret, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_printed_keys_are_a_file_of_the_defaults, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("gateway/config", tests, NULL, NULL);
}
