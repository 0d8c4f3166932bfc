#include "gateway/source_url.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "base/text.h"

/* As the library that fetches understands it; NULL: it does not, or out of memory. */
static CURLU *parse(const char *url)
{
    CURLU *u = curl_url();

    if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK)
        return u;
    curl_url_cleanup(u);
    return NULL;
}

/* Empty: there is none, or it is longer than any that is taken. */
static void part(CURLU *u, CURLUPart which, char *out, size_t max)
{
    char *text = NULL;

    *out = '\0';
    if (curl_url_get(u, which, &text, 0) == CURLUE_OK && strlen(text) < max)
        snprintf(out, max, "%s", text);
    curl_free(text);
}

/* The library takes "http:/host" and "http:///host" too, which whoever else looks for the host does not find. */
static bool is_of_web(const char *url)
{
    size_t scheme = strncasecmp(url, "https://", 8) == 0 ? 8 : strncasecmp(url, "http://", 7) == 0 ? 7 : 0;

    return scheme > 0 && url[scheme] != '/';
}

static bool is_plain(const char *url)
{
    for (; *url; url++)
        if (*url <= ' ' || *url >= 0x7f)
            return false;
    return true;
}

static bool host_fits(char *const *globs, char *host)
{
    for (char *at = host; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    for (; *globs; globs++)
        if (text_glob(*globs, host))
            return true;
    return false;
}

bool source_url_check(char *const *allow_hosts, const char *url, struct error *err)
{
    char host[256], user[8], password[8];
    CURLU *u = strlen(url) < SOURCE_URL && is_plain(url) ? parse(url) : NULL;
    char *at = NULL;
    bool secret;

    if (!u)
        return error_set(err, ERR_SOURCE_REFUSED, "source.url: not a URL of at most %d ASCII characters",
                         SOURCE_URL - 1);
    part(u, CURLUPART_HOST, host, sizeof host);
    part(u, CURLUPART_USER, user, sizeof user);
    part(u, CURLUPART_PASSWORD, password, sizeof password);
    secret = curl_url_get(u, CURLUPART_USER, &at, 0) != CURLUE_NO_USER;
    curl_free(at);
    curl_url_cleanup(u);
    if (!is_of_web(url))
        return error_set(err, ERR_SOURCE_REFUSED, "source.url: files are fetched by http and https alone");
    if (secret || *user || *password)
        return error_set(err, ERR_SOURCE_REFUSED, "source.url: no user and no password in it");
    if (!*host || !host_fits(allow_hosts, host))
        return error_set(err, ERR_SOURCE_REFUSED, "source.url: '%.60s' is no host that files are fetched from", host);
    return true;
}

bool source_url_name(const char *url, char out[static SOURCE_NAME])
{
    CURLU *u = parse(url);
    char path[SOURCE_URL];
    const char *name;

    if (!u)
        return false;
    part(u, CURLUPART_PATH, path, sizeof path);
    curl_url_cleanup(u);
    name = strrchr(path, '/');
    return name && text_percent_decode(name + 1, strlen(name + 1), false, out, SOURCE_NAME, NULL) &&
           text_name_check(out, strlen(out), NULL);
}
