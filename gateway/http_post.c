#include "gateway/http_post.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/clock.h"
#include "gateway/egress.h"
#include "gateway/http_loop.h"

enum {
    CONNECT_MS = 10 * 1000,
    ANSWER_MAX = 64 << 10 /* nobody reads it; but a connection with an answer left on it cannot be used again */
};

struct post {
    LIST_ENTRY(post) next;
    struct http_poster *poster;
    CURL *easy;
    struct curl_slist *headers;
    http_posted_fn *done;
    void *user;
    int64_t began;
    unsigned timeout_ms;
    uint64_t answered; /* bytes of the answer's body */
    bool in_the_clear;
    bool blocked; /* the host's address is not one that we go to */
};

struct http_poster {
    struct http_loop *loop;
    struct egress *egress;
    char *ca;
    LIST_HEAD(, post) posts;
};

static void post_free(struct post *p)
{
    if (!p)
        return;
    if (p->easy)
        curl_easy_cleanup(p->easy);
    curl_slist_free_all(p->headers);
    free(p);
}

/* ---- the end */

static void explain(const struct post *p, CURLcode code, char *out, size_t size)
{
    const char *text = curl_easy_strerror(code);

    if (p->blocked)
        text = p->in_the_clear ? "http:// goes to networks of its allow_nets alone, and the address is in none"
                               : "the address is in no public network, and in none of its allow_nets";
    else if (code == CURLE_COULDNT_RESOLVE_HOST)
        text = "the host's name leads to no address";
    else if (code == CURLE_COULDNT_CONNECT)
        text = "nobody takes the connection";
    else if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
        text = "the certificate is not trusted";
    else if (code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR)
        text = "the connection broke before an answer came";
    if (code == CURLE_OPERATION_TIMEDOUT && !p->blocked)
        snprintf(out, size, "no answer within %u s", p->timeout_ms / 1000);
    else
        snprintf(out, size, "%s", text);
}

/* An answer counts, however the connection ended behind its header. */
static void on_end(void *mine, CURLcode code)
{
    struct post *p = mine;
    struct http_answer a = {.took_ms = clock_ms() - p->began};
    http_posted_fn *done = p->done;
    void *user = p->user;
    curl_off_t wait = 0;
    long status = 0;

    curl_easy_getinfo(p->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200) {
        a.status = (unsigned)status;
        curl_easy_getinfo(p->easy, CURLINFO_RETRY_AFTER, &wait);
        a.retry_after_s = wait > 0 ? wait : 0;
        if (status >= 300)
            snprintf(a.why, sizeof a.why, status < 400 ? "redirects, which is not followed (%ld)" : "answered %ld",
                     status);
    } else {
        explain(p, code, a.why, sizeof a.why);
    }
    LIST_REMOVE(p, next);
    post_free(p);
    done(user, &a);
}

/* ---- on its way */

/* Every address that the host's name led to comes by here, after the lookup and before connect(2). */
static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct post *p = user;
    struct error err;

    (void)purpose;
    p->blocked = !egress_allows_web(p->poster->egress, &to->addr, p->in_the_clear, &err);
    return p->blocked ? CURL_SOCKET_BAD : socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static size_t drop_answer(char *data, size_t size, size_t count, void *user)
{
    struct post *p = user;

    (void)data;
    p->answered += size * count;
    return p->answered <= ANSWER_MAX ? size * count : 0;
}

/* ---- beginning one */

static bool set_headers(struct post *p, const struct http_post *is)
{
    bool ok = http_loop_header(&p->headers, "Content-Type", is->type) &&
              http_loop_header(&p->headers, "User-Agent", "jidpost/" JIDPOST_VERSION) &&
              http_loop_header(&p->headers, "Expect", ""); /* a server that does not know it costs a second */

    for (size_t i = 0; ok && i < is->header_count; i++) {
        if (http_loop_one_line(is->headers[i].value))
            ok = http_loop_header(&p->headers, is->headers[i].name, is->headers[i].value);
    }
    return ok && curl_easy_setopt(p->easy, CURLOPT_HTTPHEADER, p->headers) == CURLE_OK;
}

static bool set_up(struct post *p, const struct http_post *is)
{
    CURL *e = p->easy = curl_easy_init();

    return e && http_loop_limits(e, p->poster->ca) && curl_easy_setopt(e, CURLOPT_URL, is->url) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)is->timeout_ms) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, p) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)is->length) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_COPYPOSTFIELDS, is->body) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, drop_answer) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEDATA, p) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PRIVATE, p) == CURLE_OK && set_headers(p, is);
}

bool http_post(struct http_poster *poster, const struct http_post *is, struct error *err)
{
    struct post *p = calloc(1, sizeof *p);

    if (p) {
        *p = (struct post){.poster = poster,
                           .done = is->done,
                           .user = is->user,
                           .began = clock_ms(),
                           .timeout_ms = is->timeout_ms,
                           .in_the_clear = strncasecmp(is->url, "https:", strlen("https:")) != 0};
        if (set_up(p, is) && http_loop_add(poster->loop, p->easy)) {
            LIST_INSERT_HEAD(&poster->posts, p, next);
            return true;
        }
    }
    post_free(p);
    return error_set(err, ERR_INTERNAL, "out of memory");
}

/* ---- life */

struct http_poster *http_poster_create(uv_loop_t *loop, const char *ca, char *const *allow_nets, struct error *err)
{
    struct http_poster *p = calloc(1, sizeof *p);

    error_set(err, ERR_SYSTEM, "the HTTP client: out of memory");
    if (!p)
        return NULL;
    LIST_INIT(&p->posts);
    p->loop = http_loop_create(loop, on_end);
    p->ca = ca ? strdup(ca) : NULL;
    p->egress = egress_create(allow_nets, err);
    if (!p->loop || !p->egress || (ca && !p->ca))
        http_poster_destroy(&p);
    return p;
}

void http_poster_destroy(struct http_poster **poster)
{
    struct http_poster *p = *poster;
    struct post *next;

    if (!p)
        return;
    for (struct post *at = LIST_FIRST(&p->posts); at; at = next) {
        next = LIST_NEXT(at, next);
        http_loop_remove(p->loop, at->easy);
        LIST_REMOVE(at, next);
        post_free(at);
    }
    http_loop_destroy(&p->loop);
    egress_destroy(&p->egress);
    free(p->ca);
    free(p);
    *poster = NULL;
}
