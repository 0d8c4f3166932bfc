/* What a browser may be made to do, and what it may not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/guard.h"

static void hosts_and_origins(void **state)
{
    static char listed[] = "gw.example";
    static char *const hosts[] = {listed, NULL};
    static const struct guard loopback_only = {0}, with_hosts = {.hosts = hosts}, with_token = {.any_host = true};
    static const struct {
        const struct guard *guard;
        const char *host, *origin, *site;
        enum error_code want;
    } rows[] = {
        {&loopback_only, "localhost", NULL, NULL, ERR_NONE},
        {&loopback_only, "LocalHost:8080", NULL, NULL, ERR_NONE},
        {&loopback_only, "127.0.0.1:1", NULL, NULL, ERR_NONE},
        {&loopback_only, "127.3.2.1", NULL, NULL, ERR_NONE},
        {&loopback_only, "[::1]:8080", NULL, NULL, ERR_NONE},
        {&loopback_only, NULL, NULL, NULL, ERR_NONE},
        {&loopback_only, "evil.example", NULL, NULL, ERR_HOST_NOT_ALLOWED},
        {&loopback_only, "127.0.0.1.evil.example", NULL, NULL, ERR_HOST_NOT_ALLOWED},
        {&loopback_only, "localhost.evil.example:8080", NULL, NULL, ERR_HOST_NOT_ALLOWED},
        {&loopback_only, "10.0.0.1", NULL, NULL, ERR_HOST_NOT_ALLOWED},
        {&loopback_only, "gw.example", NULL, NULL, ERR_HOST_NOT_ALLOWED},
        {&with_hosts, "GW.example:8080", NULL, NULL, ERR_NONE},
        {&with_hosts, "other.example", NULL, NULL, ERR_HOST_NOT_ALLOWED},
        {&with_token, "any.example", NULL, NULL, ERR_NONE},
        {&loopback_only, "", NULL, NULL, ERR_REQUEST_MALFORMED},
        {&loopback_only, "[::1", NULL, NULL, ERR_REQUEST_MALFORMED},
        {&loopback_only, "localhost:http", NULL, NULL, ERR_REQUEST_MALFORMED},
        {&loopback_only, "localhost:99999", NULL, NULL, ERR_REQUEST_MALFORMED},
        {&loopback_only, "evil@localhost", NULL, NULL, ERR_REQUEST_MALFORMED},
        {&loopback_only, "::1", NULL, NULL, ERR_REQUEST_MALFORMED},
        /* pages */
        {&loopback_only, "localhost:8080", "http://localhost:8080", NULL, ERR_NONE},
        {&loopback_only, "localhost:8080", "http://localhost:3000", NULL, ERR_HOST_NOT_ALLOWED},
        {&loopback_only, "localhost:8080", "http://127.0.0.1:8080", NULL, ERR_HOST_NOT_ALLOWED},
        {&loopback_only, "localhost:8080", "https://evil.example", NULL, ERR_HOST_NOT_ALLOWED},
        {&loopback_only, "localhost:8080", "null", NULL, ERR_HOST_NOT_ALLOWED},
        {&loopback_only, "localhost:8080", "", NULL, ERR_HOST_NOT_ALLOWED},
        {&loopback_only, NULL, "http://evil.example", NULL, ERR_HOST_NOT_ALLOWED},
        {&with_token, "gw.example", "https://gw.example", NULL, ERR_NONE}, /* TLS ends at a front proxy */
        {&with_token, "gw.example:443", "https://gw.example", NULL, ERR_NONE},
        {&with_token, "gw.example", "http://gw.example:80", NULL, ERR_NONE},
        {&with_token, "gw.example", "https://evil.example", NULL, ERR_HOST_NOT_ALLOWED},
        {&loopback_only, "localhost", NULL, "cross-site", ERR_HOST_NOT_ALLOWED},
        {&loopback_only, "localhost", NULL, "same-origin", ERR_NONE},
        {&loopback_only, "localhost", NULL, "none", ERR_NONE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error err = {0};

        guard_check(rows[i].guard, rows[i].host, rows[i].origin, rows[i].site, &err);
        if (err.code != rows[i].want)
            fail_msg("row %zu, host %s, origin %s: %s", i, rows[i].host ? rows[i].host : "-",
                     rows[i].origin ? rows[i].origin : "-", error_name(err.code));
    }
}

/* The name recipients use opens what is public, and not the rest. */
static void the_public_host(void **state)
{
    static const struct {
        const char *url, *host;
        enum error_code want;
    } rows[] = {
        {"https://files.example.org", "files.example.org", ERR_NONE},
        {"https://files.example.org:8443/x", "FILES.example.org:8443", ERR_NONE},
        {"https://files.example.org", "files.example.org:80", ERR_NONE}, /* the front proxy's own port */
        {"https://[2001:db8::1]/x", "[2001:db8::1]", ERR_NONE},
        {"https://files.example.org", "localhost", ERR_NONE},
        {"https://files.example.org", NULL, ERR_NONE},
        {"https://files.example.org", "evil.example", ERR_HOST_NOT_ALLOWED},
        {"https://files.example.org", "org", ERR_HOST_NOT_ALLOWED},
        {"https://files.example.org", "a@files.example.org", ERR_REQUEST_MALFORMED},
        {"", "", ERR_REQUEST_MALFORMED},
        {"", "files.example.org", ERR_HOST_NOT_ALLOWED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct guard guard = {0};
        struct error err = {0};

        guard_public_host(&guard, rows[i].url);
        guard_check_public(&guard, rows[i].host, &err);
        if (err.code != rows[i].want)
            fail_msg("row %zu, host %s: %s", i, rows[i].host ? rows[i].host : "-", error_name(err.code));
        if (rows[i].host && strstr(rows[i].host, "iles.example.org"))
            assert_false(guard_check(&guard, rows[i].host, NULL, NULL, &err));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hosts_and_origins), cmocka_unit_test(the_public_host)};

    return cmocka_run_group_tests_name("api/guard", tests, NULL, NULL);
}
