/* gateway/http_put.c - see http_put.h. A transfer is only ever removed outside of the library's callbacks. */
#include "gateway/http_put.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/clock.h"
#include "gateway/egress.h"
#include "gateway/http_loop.h"

enum {
    CONNECT_MS = 10 * 1000,
    SLOWEST = 1024,        /* bytes a second; below it counts as standing still */
    ANSWER_MAX = 64 << 10, /* nobody reads it */
    TELL_MS = 250
};

struct put {
    LIST_ENTRY(put) next;
    struct client *client;
    uint64_t ticket;
    CURL *easy;
    struct curl_slist *headers;
    struct http_put is; /* url, type and headers are the library's copies by now */
    uint64_t sent;
    uint64_t answered; /* bytes of the answer's body */
    int64_t told;      /* when progress was */
    bool short_file;
    bool blocked; /* the host's address is not one that we go to */
    char why[CURL_ERROR_SIZE];
};

struct client {
    struct http http; /* first */
    struct http_loop *loop;
    char *ca;
    struct egress *egress;
    uint64_t last_ticket;
    LIST_HEAD(, put) puts;
};

/* ---- the end of a transfer */

static void put_free(struct put *p)
{
    if (!p)
        return;
    if (p->easy)
        curl_easy_cleanup(p->easy);
    curl_slist_free_all(p->headers);
    free(p);
}

static void put_remove(struct put *p)
{
    http_loop_remove(p->client->loop, p->easy);
    LIST_REMOVE(p, next);
    put_free(p);
}

static bool judge_status(const struct put *p, long status, struct error *err)
{
    if (status == 200 || status == 201)
        return p->sent == p->is.length ||
               error_set(err, ERR_UPLOAD_SERVICE_FAILED, "the upload service answered %ld before it had the whole file",
                         status);
    if (status == 413)
        return error_set(err, ERR_UPLOAD_SERVICE_REFUSED, "the upload service finds the file too large (413)");
    if (status == 429 || status == 507)
        return error_set(err, ERR_UPLOAD_SERVICE_QUOTA, "the upload service has no room for now (%ld)", status);
    if (status >= 400 && status < 500)
        return error_set(err, ERR_UPLOAD_SERVICE_REFUSED, "the upload service refused the file (%ld)", status);
    if (status >= 300 && status < 400)
        return error_set(err, ERR_UPLOAD_SERVICE_FAILED, "the upload service redirects (%ld), which a slot must not",
                         status);
    return error_set(err, ERR_UPLOAD_SERVICE_FAILED, "the upload service answered %ld", status);
}

/* An answer counts more than how the connection ended: a server that refuses early may reset it. */
static bool judge(const struct put *p, CURLcode code, struct error *err)
{
    long status = 0;

    curl_easy_getinfo(p->easy, CURLINFO_RESPONSE_CODE, &status);
    if (p->short_file)
        return error_set(err, ERR_INTERNAL, "the payload in the spool is shorter than its record says");
    if (status >= 300 || (status >= 200 && code == CURLE_OK))
        return judge_status(p, status, err);
    if (p->blocked)
        return error_set(err, ERR_UPLOAD_SERVICE_FAILED,
                         "the upload service's address is not one that this gateway connects to");
    if (code == CURLE_OPERATION_TIMEDOUT && p->sent > 0)
        return error_set(err, ERR_UPLOAD_SERVICE_FAILED, "the upload to the service stood still");
    return error_set(err, ERR_UPLOAD_SERVICE_FAILED, "the upload service cannot be reached: %s",
                     p->why[0] ? p->why : curl_easy_strerror(code));
}

static void on_end(void *mine, CURLcode code)
{
    struct put *p = mine;
    http_done_fn *done = p->is.done;
    void *user = p->is.user;
    struct error err;
    bool ok = judge(p, code, &err);

    LIST_REMOVE(p, next);
    put_free(p);
    done(user, ok ? NULL : &err);
}

/* ---- the bytes */

/* Every address that the host's name led to comes by here, after the lookup and before connect(2). */
static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct put *p = user;
    struct error err;

    (void)purpose;
    p->blocked = !egress_allows_own(p->client->egress, &to->addr, &err);
    return p->blocked ? CURL_SOCKET_BAD : socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static size_t give(char *buffer, size_t size, size_t count, void *user)
{
    struct put *p = user;
    uint64_t left = p->is.length - p->sent;
    size_t room = size * count;
    ssize_t n;

    if (left == 0)
        return 0;
    n = pread(p->is.fd, buffer, room < left ? room : (size_t)left, (off_t)(p->is.offset + p->sent));
    if (n <= 0) {
        p->short_file = true;
        return CURL_READFUNC_ABORT;
    }
    p->sent += (uint64_t)n;
    if (p->sent == p->is.length || clock_ms() - p->told >= TELL_MS) {
        p->told = clock_ms();
        p->is.progress(p->is.user, p->sent);
    }
    return (size_t)n;
}

static size_t drop_answer(char *data, size_t size, size_t count, void *user)
{
    struct put *p = user;

    (void)data;
    p->answered += size * count;
    return p->answered <= ANSWER_MAX ? size * count : 0;
}

/* ---- beginning one */

static bool set_headers(struct put *p, struct error *err)
{
    const struct http_put *is = &p->is;
    bool ok = curl_easy_setopt(p->easy, CURLOPT_UPLOAD, 1L) == CURLE_OK;

    for (size_t i = 0; i < is->header_count; i++) {
        if (!http_loop_one_line(is->headers[i].value))
            return error_set(err, ERR_UPLOAD_SERVICE_FAILED, "the header %s has a line break", is->headers[i].name);
        ok = ok && http_loop_header(&p->headers, is->headers[i].name, is->headers[i].value);
    }
    if (is->type && http_loop_one_line(is->type))
        ok = ok && http_loop_header(&p->headers, "Content-Type", is->type);
    ok = ok && http_loop_header(&p->headers, "Expect", ""); /* a server that does not know it costs a second */
    ok = ok && curl_easy_setopt(p->easy, CURLOPT_HTTPHEADER, p->headers) == CURLE_OK;
    return ok || error_set(err, ERR_INTERNAL, "out of memory");
}

static bool set_limits(const struct put *p)
{
    long stall_s = (long)(p->is.stall_ms + 999) / 1000;

    return http_loop_limits(p->easy, p->client->ca) &&
           curl_easy_setopt(p->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS) == CURLE_OK &&
           curl_easy_setopt(p->easy, CURLOPT_LOW_SPEED_LIMIT, (long)SLOWEST) == CURLE_OK &&
           curl_easy_setopt(p->easy, CURLOPT_LOW_SPEED_TIME, stall_s) == CURLE_OK;
}

static bool set_bytes(CURL *e, struct put *p)
{
    return curl_easy_setopt(e, CURLOPT_URL, p->is.url) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, p) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)p->is.length) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_READFUNCTION, give) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_READDATA, p) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, drop_answer) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEDATA, p) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PRIVATE, p) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_ERRORBUFFER, p->why) == CURLE_OK;
}

static bool set_up(struct put *p, struct error *err)
{
    p->easy = curl_easy_init();
    if (!p->easy || !set_limits(p) || !set_bytes(p->easy, p))
        return error_set(err, ERR_INTERNAL, "out of memory");
    return set_headers(p, err);
}

static uint64_t put(struct http *h, const struct http_put *is, struct error *err)
{
    struct client *c = (struct client *)h;
    struct put *p = calloc(1, sizeof *p);

    if (!p) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return 0;
    }
    p->client = c;
    p->is = *is;
    if (!set_up(p, err)) {
        put_free(p);
        return 0;
    }
    if (!http_loop_add(c->loop, p->easy)) {
        error_set(err, ERR_INTERNAL, "out of memory");
        put_free(p);
        return 0;
    }
    p->ticket = ++c->last_ticket;
    LIST_INSERT_HEAD(&c->puts, p, next);
    return p->ticket;
}

static void forget(struct http *h, uint64_t ticket)
{
    struct client *c = (struct client *)h;

    for (struct put *p = LIST_FIRST(&c->puts); p; p = LIST_NEXT(p, next))
        if (p->ticket == ticket) {
            put_remove(p);
            return;
        }
}

/* ---- life */

static const struct http_ops ops = {.put = put, .forget = forget};

struct http *http_create(uv_loop_t *loop, const char *ca, char *const *allow_nets, struct error *err)
{
    struct client *c = calloc(1, sizeof *c);
    struct http *h;

    if (!c) {
        error_set(err, ERR_SYSTEM, "the HTTP client: out of memory");
        return NULL;
    }
    h = &c->http;
    c->http.ops = &ops;
    LIST_INIT(&c->puts);
    c->loop = http_loop_create(loop, on_end);
    c->ca = ca ? strdup(ca) : NULL;
    c->egress = egress_create(allow_nets, err);
    if (!c->loop || !c->egress || (ca && !c->ca)) {
        http_destroy(&h);
        error_set(err, ERR_SYSTEM, "the HTTP client: out of memory");
    }
    return h;
}

void http_destroy(struct http **h)
{
    struct client *c = (struct client *)*h;
    struct put *next;

    if (!c)
        return;
    for (struct put *p = LIST_FIRST(&c->puts); p; p = next) {
        next = LIST_NEXT(p, next);
        put_remove(p);
    }
    http_loop_destroy(&c->loop);
    egress_destroy(&c->egress);
    free(c->ca);
    free(c);
    *h = NULL;
}
