/* gateway/http_put.c - see http_put.h: libcurl's multi interface on a uv loop.
 *
 * The library names the sockets and the time it waits for; they become uv_poll_t and uv_timer_t, and whatever happens
 * is handed back by curl_multi_socket_action(). A transfer is only ever removed outside of the library's callbacks. */
#include "gateway/http_put.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/clock.h"
#include "gateway/egress.h"

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
    uv_loop_t *loop;
    uv_timer_t timer;
    CURLM *multi;
    char *ca;
    struct egress *egress;
    uint64_t last_ticket;
    LIST_HEAD(, put) puts;
};

/* A socket that the library waits for. */
struct watch {
    uv_poll_t poll;
    struct client *client;
    curl_socket_t fd;
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
    curl_multi_remove_handle(p->client->multi, p->easy);
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

static void answer_finished(struct client *c)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(c->multi, &left))) {
        CURLcode code = message->data.result; /* the message goes with its handle */
        struct put *p = NULL;
        struct error err;
        http_done_fn *done;
        void *user;
        bool ok;

        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&p);
        ok = judge(p, code, &err);
        done = p->is.done;
        user = p->is.user;
        put_remove(p);
        done(user, ok ? NULL : &err);
    }
}

/* ---- the library's part of the loop */

static void act(struct client *c, curl_socket_t fd, int what)
{
    int running;

    curl_multi_socket_action(c->multi, fd, what, &running);
    answer_finished(c);
}

static void on_timer(uv_timer_t *timer)
{
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int want_time(CURLM *multi, long ms, void *user)
{
    struct client *c = user;

    (void)multi;
    uv_timer_stop(&c->timer);
    if (ms < 0)
        return 0;
    /* One that comes early by a fraction is not asked for again: the library takes its next deadline for armed. */
    uv_update_time(c->loop);
    uv_timer_start(&c->timer, on_timer, ms > 0 ? (uint64_t)ms + 1 : 0, 0);
    return 0;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    int what = (events & UV_READABLE ? CURL_CSELECT_IN : 0) | (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);

    act(w->client, w->fd, status < 0 ? CURL_CSELECT_ERR : what);
}

static void free_watch(uv_handle_t *poll)
{
    free(poll->data);
}

static struct watch *watch_create(struct client *c, curl_socket_t fd)
{
    struct watch *w = calloc(1, sizeof *w);

    if (!w || uv_poll_init_socket(c->loop, &w->poll, fd) != 0) {
        free(w);
        return NULL;
    }
    w->client = c;
    w->fd = fd;
    w->poll.data = w;
    curl_multi_assign(c->multi, fd, w);
    return w;
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *assigned)
{
    struct client *c = user;
    struct watch *w = assigned;
    int events = 0;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w)
            uv_close((uv_handle_t *)&w->poll, free_watch);
        curl_multi_assign(c->multi, fd, NULL);
        return 0;
    }
    if (!w)
        w = watch_create(c, fd);
    if (!w)
        return -1; /* out of memory: every transfer ends with an error */
    if (what != CURL_POLL_OUT)
        events |= UV_READABLE;
    if (what != CURL_POLL_IN)
        events |= UV_WRITABLE;
    uv_poll_start(&w->poll, events, on_ready);
    return 0;
}

/* Every address that the host's name led to comes by here, after the lookup and before connect(2). */
static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct put *p = user;
    struct error err;

    (void)purpose;
    p->blocked = !egress_allows_own(p->client->egress, &to->addr, &err);
    return p->blocked ? CURL_SOCKET_BAD : socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/* ---- the bytes */

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

static bool add_header(struct put *p, const char *name, const char *value)
{
    struct curl_slist *more;
    size_t room = strlen(name) + strlen(value) + 3;
    char *line = malloc(room);

    if (!line)
        return false;
    snprintf(line, room, "%s: %s", name, value);
    more = curl_slist_append(p->headers, line);
    free(line);
    if (more)
        p->headers = more;
    return more != NULL;
}

/* No value may end its line and begin another. */
static bool is_one_line(const char *value)
{
    for (; *value; value++)
        if ((unsigned char)*value < 0x20 || *value == 0x7f)
            return false;
    return true;
}

static bool set_headers(struct put *p, struct error *err)
{
    const struct http_put *is = &p->is;
    bool ok = curl_easy_setopt(p->easy, CURLOPT_UPLOAD, 1L) == CURLE_OK;

    for (size_t i = 0; i < is->header_count; i++) {
        if (!is_one_line(is->headers[i].value))
            return error_set(err, ERR_UPLOAD_SERVICE_FAILED, "the header %s has a line break", is->headers[i].name);
        ok = ok && add_header(p, is->headers[i].name, is->headers[i].value);
    }
    if (is->type && is_one_line(is->type))
        ok = ok && add_header(p, "Content-Type", is->type);
    ok = ok && add_header(p, "Expect", ""); /* a server that does not know it costs a second */
    ok = ok && curl_easy_setopt(p->easy, CURLOPT_HTTPHEADER, p->headers) == CURLE_OK;
    return ok || error_set(err, ERR_INTERNAL, "out of memory");
}

static bool set_limits(CURL *e, const struct http_put *is)
{
    long stall_s = (long)(is->stall_ms + 999) / 1000;

    return curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https,http") == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK && /* else the environment's is taken */
           curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, (long)SLOWEST) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, stall_s) == CURLE_OK;
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
    const char *ca = p->client->ca;

    p->easy = curl_easy_init();
    if (!p->easy || !set_limits(p->easy, &p->is) || !set_bytes(p->easy, p) ||
        (ca && curl_easy_setopt(p->easy, CURLOPT_CAINFO, ca) != CURLE_OK)) /* the system's folder stays as it is */
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
    if (curl_multi_add_handle(c->multi, p->easy) != CURLM_OK) {
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

static void free_client(uv_handle_t *timer)
{
    struct client *c = timer->data;

    free(c->ca);
    egress_destroy(&c->egress);
    free(c);
}

static bool set_multi(struct client *c)
{
    return curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, want_socket) == CURLM_OK &&
           curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c) == CURLM_OK &&
           curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, want_time) == CURLM_OK &&
           curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c) == CURLM_OK;
}

struct http *http_create(uv_loop_t *loop, const char *ca, char *const *allow_nets, struct error *err)
{
    struct client *c = calloc(1, sizeof *c);
    struct http *h;

    if (!c || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(c);
        error_set(err, ERR_SYSTEM, "the HTTP client: out of memory");
        return NULL;
    }
    h = &c->http;
    c->http.ops = &ops;
    c->loop = loop;
    LIST_INIT(&c->puts);
    uv_timer_init(loop, &c->timer);
    c->timer.data = c;
    c->ca = ca ? strdup(ca) : NULL;
    c->multi = curl_multi_init();
    c->egress = egress_create(allow_nets, err);
    if (!c->egress || (ca && !c->ca) || !c->multi || !set_multi(c)) {
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
    if (c->multi)
        curl_multi_cleanup(c->multi);
    uv_close((uv_handle_t *)&c->timer, free_client);
    curl_global_cleanup();
    *h = NULL;
}
