/* What a browser may be made to do, and what it may not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hosts_and_origins)};

    return cmocka_run_group_tests_name("api/guard", tests, NULL, NULL);
}
