#include "api/guard.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

struct authority {
    char name[256];     /* without the brackets of an IPv6 literal */
    unsigned long port; /* 0: none given */
};

static bool read_port(const char *text, struct authority *out)
{
    char *end;

    if (!*text)
        return true;
    if (*text++ != ':')
        return false;
    if (!*text)
        return true;
    out->port = strtoul(text, &end, 10);
    return !*end && strspn(text, "0123456789") == strlen(text) && out->port > 0 && out->port <= 65535;
}

/* host [ ":" port ], RFC 9110 section 7.2; user information has no place here. */
static bool read_authority(const char *text, struct authority *out)
{
    bool bracket = *text == '[';
    size_t len;

    memset(out, 0, sizeof *out);
    text += bracket;
    len = strcspn(text, bracket ? "]" : ":");
    if (len == 0 || len >= sizeof out->name || (bracket && text[len] != ']') || strcspn(text, "@/?#, \t\"<>\\") < len)
        return false;
    memcpy(out->name, text, len);
    return read_port(text + len + bracket, out);
}

static bool is_loopback(const char *name)
{
    struct in6_addr v6;
    struct in_addr v4;

    if (inet_pton(AF_INET, name, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, name, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcasecmp(name, "localhost") == 0;
}

static bool is_listed(char *const *hosts, const char *name)
{
    for (; hosts && *hosts; hosts++)
        if (strcasecmp(*hosts, name) == 0)
            return true;
    return false;
}

/* The page was served by ourselves: http when called directly, https when a front proxy speaks TLS for us. */
static bool same_origin(const char *origin, const struct authority *host)
{
    struct authority from;
    unsigned long usual;

    if (strncasecmp(origin, "http://", 7) == 0) {
        usual = 80;
        origin += 7;
    } else if (strncasecmp(origin, "https://", 8) == 0) {
        usual = 443;
        origin += 8;
    } else {
        return false;
    }
    if (!read_authority(origin, &from) || strcasecmp(from.name, host->name) != 0)
        return false;
    return (from.port ? from.port : usual) == (host->port ? host->port : usual);
}

static bool check_host(const struct guard *guard, const char *host, bool public, struct authority *at,
                       struct error *err)
{
    char shown[128];

    if (!host)
        return true;
    if (!read_authority(host, at))
        return error_set(err, ERR_REQUEST_MALFORMED, "the Host header is not a host name with an optional port");
    if (guard->any_host || is_loopback(at->name) || is_listed(guard->hosts, at->name) ||
        (public && *guard->public_host && strcasecmp(guard->public_host, at->name) == 0))
        return true;
    text_clean(at->name, shown, sizeof shown);
    return error_set(err, ERR_HOST_NOT_ALLOWED, "Host '%s' is neither loopback nor listed in [http] hosts", shown);
}

bool guard_check_public(const struct guard *guard, const char *host, struct error *err)
{
    struct authority at = {0};

    return check_host(guard, host, true, &at, err);
}

void guard_public_host(struct guard *guard, const char *url)
{
    const char *host = strstr(url, "://");
    char authority[300];
    struct authority at;

    guard->public_host[0] = '\0';
    if (!host)
        return;
    snprintf(authority, sizeof authority, "%.*s", (int)strcspn(host + 3, "/"), host + 3);
    if (read_authority(authority, &at))
        memcpy(guard->public_host, at.name, sizeof at.name);
}

bool guard_check(const struct guard *guard, const char *host, const char *origin, const char *fetch_site,
                 struct error *err)
{
    struct authority at = {0};
    char shown[128];

    if (!check_host(guard, host, false, &at, err))
        return false;
    if (origin && !same_origin(origin, &at)) {
        text_clean(origin, shown, sizeof shown);
        return error_set(err, ERR_HOST_NOT_ALLOWED, "requests by pages of another origin ('%s') are refused", shown);
    }
    if (fetch_site && strcasecmp(fetch_site, "cross-site") == 0)
        return error_set(err, ERR_HOST_NOT_ALLOWED, "requests by pages of another site are refused");
    return true;
}
