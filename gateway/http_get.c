#include "gateway/http_get.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <unistd.h>

#include "gateway/egress.h"
#include "gateway/http_loop.h"
#include "gateway/source_url.h"

enum { CONNECT_MS = 10 * 1000, SLOWEST = 128, REDIRECTS = 3 };

struct get {
    LIST_ENTRY(get) next;
    struct http_getter *getter;
    uint64_t ticket;
    CURL *easy;
    struct curl_slist *headers;
    struct http_get is; /* its url is the library's copy by now */
    bool secure;        /* it began as https */
    bool headed;
    bool blocked; /* the host's address is not one that we go to */
    unsigned redirects;
    struct error error; /* why we ended it */
};

struct http_getter {
    struct http_loop *loop;
    struct egress *egress;
    char *ca;
    uint64_t last_ticket;
    LIST_HEAD(, get) gets;
};

static void get_free(struct get *g)
{
    if (!g)
        return;
    if (g->easy)
        curl_easy_cleanup(g->easy);
    curl_slist_free_all(g->headers);
    free(g);
}

/* ---- on its way */

/* Every address that the host's name led to comes by here, after the lookup and before connect(2). */
static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct get *g = user;
    struct error err;

    (void)purpose;
    g->blocked = !egress_allows_url(g->getter->egress, &to->addr, &err);
    return g->blocked ? CURL_SOCKET_BAD : socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static const char *header(CURL *easy, const char *name)
{
    struct curl_header *h;

    return curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK ? h->value : NULL;
}

static bool read_head(struct get *g)
{
    struct http_head h = {
        .type = header(g->easy, "Content-Type"), .disposition = header(g->easy, "Content-Disposition"), .length = -1};
    curl_off_t length = -1;

    curl_easy_getinfo(g->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    h.length = length;
    g->headed = true;
    return g->is.head(g->is.user, &h, &g->error);
}

static long status_of(const struct get *g)
{
    long status = 0;

    curl_easy_getinfo(g->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* Of an answer that is none, the body is not worth coming: the status says all that is told. */
static size_t take(char *data, size_t size, size_t count, void *user)
{
    struct get *g = user;

    if (status_of(g) != 200)
        return 0;
    if (!g->headed && !read_head(g))
        return 0;
    return g->is.data(g->is.user, data, size * count, &g->error) ? size * count : 0;
}

/* ---- the end */

static bool explain(struct get *g, CURLcode code, struct error *err)
{
    long status = status_of(g);

    if (g->error.code != ERR_NONE) {
        *err = g->error;
        return false;
    }
    if (status == 200 && code == CURLE_OK)
        return true;
    if (g->blocked)
        return error_set(err, ERR_SOURCE_REFUSED, "the source's address is not one that this gateway connects to");
    if (status >= 300 && status < 400)
        return error_set(err, ERR_SOURCE_FAILED, "the source redirects too often, or where is not followed (%ld)",
                         status);
    if (status > 200)
        return error_set(err, ERR_SOURCE_FAILED, "the source answered %ld", status);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return error_set(err, ERR_SOURCE_FAILED, "the source is too slow, or stood still");
    if (code == CURLE_PARTIAL_FILE)
        return error_set(err, ERR_SOURCE_FAILED, "the source broke off before the end of the file");
    return error_set(err, ERR_SOURCE_FAILED, "the source cannot be reached: %s", curl_easy_strerror(code));
}

/* As the URL was, and never from https to where anybody can read it. */
static bool follow(struct get *g)
{
    long status = status_of(g);
    char *to = NULL;

    if (g->error.code != ERR_NONE || g->blocked || status < 301 || status > 308 || status == 304 ||
        g->redirects++ == REDIRECTS || curl_easy_getinfo(g->easy, CURLINFO_REDIRECT_URL, &to) != CURLE_OK || !to)
        return false;
    if (!source_url_check(g->is.allow_hosts, to, &g->error) || (g->secure && strncasecmp(to, "https:", 6) != 0)) {
        error_set(&g->error, ERR_SOURCE_REFUSED, "the source redirects to where this gateway does not go");
        return false;
    }
    return curl_easy_setopt(g->easy, CURLOPT_URL, to) == CURLE_OK && http_loop_add(g->getter->loop, g->easy);
}

static void on_end(void *mine, CURLcode code)
{
    struct get *g = mine;
    void (*done)(void *user, const struct error *err) = g->is.done;
    void *user = g->is.user;
    struct error err;
    bool ok;

    if (follow(g))
        return;
    ok = explain(g, code, &err);
    if (ok && !g->headed && !read_head(g)) { /* an empty file */
        err = g->error;
        ok = false;
    }
    LIST_REMOVE(g, next);
    get_free(g);
    done(user, ok ? NULL : &err);
}

/* ---- beginning one */

static bool set_bounds(struct get *g)
{
    CURL *e = g->easy;
    long stall_s = (long)(g->is.stall_ms + 999) / 1000;

    return curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)g->is.timeout_ms) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, (long)SLOWEST) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, stall_s) == CURLE_OK;
}

static bool set_up(struct get *g)
{
    CURL *e = g->easy = curl_easy_init();

    return e && http_loop_limits(e, g->getter->ca) && set_bounds(g) &&
           http_loop_header(&g->headers, "User-Agent", "jidpost/" JIDPOST_VERSION) &&
           curl_easy_setopt(e, CURLOPT_HTTPHEADER, g->headers) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_URL, g->is.url) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, g) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEDATA, g) == CURLE_OK && curl_easy_setopt(e, CURLOPT_PRIVATE, g) == CURLE_OK;
}

uint64_t http_get(struct http_getter *getter, const struct http_get *is, struct error *err)
{
    struct get *g = calloc(1, sizeof *g);

    if (g) {
        *g = (struct get){.getter = getter, .is = *is, .secure = strncasecmp(is->url, "https:", 6) == 0};
        if (set_up(g) && http_loop_add(getter->loop, g->easy)) {
            g->ticket = ++getter->last_ticket;
            LIST_INSERT_HEAD(&getter->gets, g, next);
            return g->ticket;
        }
    }
    get_free(g);
    error_set(err, ERR_INTERNAL, "out of memory");
    return 0;
}

static void get_remove(struct get *g)
{
    http_loop_remove(g->getter->loop, g->easy);
    LIST_REMOVE(g, next);
    get_free(g);
}

void http_get_forget(struct http_getter *getter, uint64_t ticket)
{
    for (struct get *g = LIST_FIRST(&getter->gets); g; g = LIST_NEXT(g, next))
        if (g->ticket == ticket) {
            get_remove(g);
            return;
        }
}

/* ---- life */

struct http_getter *http_getter_create(uv_loop_t *loop, const char *ca, char *const *allow_nets, struct error *err)
{
    struct http_getter *g = calloc(1, sizeof *g);

    error_set(err, ERR_SYSTEM, "the HTTP client: out of memory");
    if (!g)
        return NULL;
    LIST_INIT(&g->gets);
    g->loop = http_loop_create(loop, on_end);
    g->ca = ca ? strdup(ca) : NULL;
    g->egress = egress_create(allow_nets, err);
    if (!g->loop || !g->egress || (ca && !g->ca))
        http_getter_destroy(&g);
    return g;
}

void http_getter_destroy(struct http_getter **getter)
{
    struct http_getter *g = *getter;
    struct get *next;

    if (!g)
        return;
    for (struct get *at = LIST_FIRST(&g->gets); at; at = next) {
        next = LIST_NEXT(at, next);
        get_remove(at);
    }
    http_loop_destroy(&g->loop);
    egress_destroy(&g->egress);
    free(g->ca);
    free(g);
    *getter = NULL;
}
