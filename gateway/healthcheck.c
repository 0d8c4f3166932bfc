#include "gateway/healthcheck.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/fd.h"

enum { SECONDS = 5 };

/* "host:port", "[v6]:port" or ":port" into where to ask. */
static bool split(const char *listen, char *host, size_t host_max, char *port, size_t port_max)
{
    const char *colon = strrchr(listen, ':');
    size_t len;

    if (!colon)
        return false;
    len = (size_t)(colon - listen);
    if (len >= 2 && listen[0] == '[' && listen[len - 1] == ']') {
        listen++;
        len -= 2;
    }
    if (len >= host_max || strlen(colon + 1) >= port_max)
        return false;
    memcpy(host, listen, len);
    host[len] = '\0';
    snprintf(port, port_max, "%s", colon + 1);
    if (host[0] == '\0' || strcmp(host, "0.0.0.0") == 0)
        snprintf(host, host_max, "127.0.0.1");
    else if (strcmp(host, "::") == 0)
        snprintf(host, host_max, "::1");
    return true;
}

static void set_limits(int fd)
{
    const struct timeval limit = {.tv_sec = SECONDS};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

static int dial(const char *host, const char *port)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int fd = -1;

    if (getaddrinfo(host, port, &hints, &list) != 0)
        return -1;
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd < 0)
            continue;
        set_limits(fd);
        if (connect(fd, a->ai_addr, a->ai_addrlen) != 0)
            fd_close(&fd);
    }
    freeaddrinfo(list);
    return fd;
}

static int dial_socket(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    if (fd < 0)
        return -1;
    set_limits(fd);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        fd_close(&fd);
    return fd;
}

static int dial_either(const char *listen, struct error *err)
{
    char host[256], port[8];
    int fd;

    if (listen[0] == '/') {
        fd = dial_socket(listen);
        if (fd < 0)
            error_set(err, ERR_SYSTEM, "nobody listens at %s: %s", listen, strerror(errno));
        return fd;
    }
    if (!split(listen, host, sizeof host, port, sizeof port)) {
        error_set(err, ERR_CONFIG, "'%s' is no host:port", listen);
        return -1;
    }
    fd = dial(host, port);
    if (fd < 0)
        error_set(err, ERR_SYSTEM, "nothing listens on %s port %s: %s", host, port, strerror(errno));
    return fd;
}

static bool ask_plainly(const char *listen, const char *path, struct error *err)
{
    char request[512], answer[64] = "";
    size_t got = 0;
    ssize_t n = 1;
    int fd, len;
    bool ok = false;

    fd = dial_either(listen, err);
    if (fd < 0)
        return false;
    len = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    if (len <= 0 || (size_t)len >= sizeof request || send(fd, request, (size_t)len, MSG_NOSIGNAL) != len) {
        error_set(err, ERR_SYSTEM, "the request could not be sent");
        goto out;
    }
    while (got < sizeof answer - 1 && n > 0 && !strchr(answer, '\n')) {
        n = recv(fd, answer + got, sizeof answer - 1 - got, 0);
        got += n > 0 ? (size_t)n : 0;
        answer[got] = '\0';
    }
    answer[strcspn(answer, "\r\n")] = '\0';
    ok = strncmp(answer, "HTTP/1.1 200", 12) == 0;
    if (!ok)
        error_set(err, ERR_SYSTEM, "%s answered: %s", path, answer[0] ? answer : "nothing within five seconds");
out:
    fd_close(&fd);
    return ok;
}

static size_t drop(char *data, size_t size, size_t count, void *user)
{
    (void)data;
    (void)user;
    return size * count;
}

static bool perform(CURL *easy, const char *url, const char *path, struct error *err)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Host: localhost");
    CURLcode rc;
    long status = 0;

    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long)SECONDS);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    rc = curl_easy_perform(easy);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    if (rc != CURLE_OK)
        return error_set(err, ERR_SYSTEM, "%s is not answered over HTTPS: %s", url, curl_easy_strerror(rc));
    return status == 200 || error_set(err, ERR_SYSTEM, "%s answered: %ld", path, status);
}

static bool ask_over_tls(const char *listen, const char *path, struct error *err)
{
    char host[256], port[8], url[512];
    CURL *easy;
    bool v6, ok;

    if (!split(listen, host, sizeof host, port, sizeof port))
        return error_set(err, ERR_CONFIG, "'%s' is no host:port", listen);
    v6 = strchr(host, ':') != NULL;
    snprintf(url, sizeof url, "https://%s%s%s:%s%s", v6 ? "[" : "", host, v6 ? "]" : "", port, path);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    easy = curl_easy_init();
    ok = easy ? perform(easy, url, path, err) : error_set(err, ERR_SYSTEM, "out of memory");
    curl_easy_cleanup(easy);
    curl_global_cleanup();
    return ok;
}

bool healthcheck(const char *listen, bool tls, const char *path, struct error *err)
{
    return tls && listen[0] != '/' ? ask_over_tls(listen, path, err) : ask_plainly(listen, path, err);
}
