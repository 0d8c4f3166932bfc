#include "cli/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"

enum { BODY_MAX = 64 * 1024 * 1024, LINE_MAX_LENGTH = 4 * 1024 * 1024, CONNECT_MS = 10 * 1000, UPLOAD_MS = 200 };

struct client {
    CURL *easy;
    char *base;   /* scheme and authority, and the path before each target */
    char *socket; /* NULL: TCP */
    char *authorization;
    struct client_config config;

    const struct client_request *request; /* the one under way, with what follows */
    curl_mime *form;                      /* NULL: none */
    struct buf body, line;
    int64_t told_at;
    bool enough;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

bool client_interrupted(void)
{
    return interrupted != 0;
}

bool client_pause(int64_t ms)
{
    const struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    return !interrupted && (nanosleep(&wait, NULL) == 0 || !interrupted);
}

/* Once, so that a second Ctrl-C ends the program whatever it hangs in. */
static void catch_interrupt(void)
{
    struct sigaction act = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};

    sigemptyset(&act.sa_mask);
    sigaction(SIGINT, &act, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* ---- where the gateway is */

const char *client_shown_url(const char *url)
{
    const char *at = strrchr(url, '@'); /* the last: a password may have others, and a '/' that it should not have */

    return at ? at + 1 : url;
}

static bool read_url(struct client *c, const char *url, struct error *err)
{
    size_t len;

    if (strncmp(url, "unix:/", 6) == 0) {
        c->socket = strdup(url + 5);
        c->base = strdup("http://localhost");
    } else if (strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0) {
        c->base = strdup(url);
    } else {
        return error_set(err, ERR_CONFIG,
                         "'%.80s' leads to no gateway: write http://host:port, https://... or unix:/path",
                         client_shown_url(url));
    }
    if (!c->base)
        return error_set(err, ERR_SYSTEM, "out of memory");
    len = strlen(c->base);
    while (len > 0 && c->base[len - 1] == '/')
        c->base[--len] = '\0';
    return true;
}

struct client *client_create(const struct client_config *config, struct error *err)
{
    struct client *c = calloc(1, sizeof *c);

    catch_interrupt();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (!c) {
        error_set(err, ERR_SYSTEM, "out of memory");
        return NULL;
    }
    c->config = *config;
    c->easy = curl_easy_init();
    if (!c->easy)
        error_set(err, ERR_SYSTEM, "libcurl does not start");
    if (!c->easy || !read_url(c, config->url, err)) {
        client_destroy(&c);
        return NULL;
    }
    if (config->token && asprintf(&c->authorization, "Authorization: Bearer %s", config->token) < 0)
        c->authorization = NULL;
    return c;
}

void client_destroy(struct client **client)
{
    struct client *c = *client;

    if (!c)
        return;
    curl_easy_cleanup(c->easy);
    curl_global_cleanup();
    if (c->authorization)
        explicit_bzero(c->authorization, strlen(c->authorization));
    free(c->authorization);
    free(c->base);
    free(c->socket);
    buf_free(&c->body);
    buf_free(&c->line);
    free(c);
    *client = NULL;
}

char *client_escape(const char *text)
{
    char *escaped = curl_easy_escape(NULL, text, 0), *out = escaped ? strdup(escaped) : NULL;

    curl_free(escaped);
    return out;
}

/* ---- one request */

static void take_lines(struct client *c, const char *data, size_t len)
{
    while (len > 0 && !c->enough) {
        const char *end = memchr(data, '\n', len);
        size_t part = end ? (size_t)(end - data) : len;

        buf_add(&c->line, data, part);
        if (!end)
            return;
        if (c->line.len > 0 && c->line.data[c->line.len - 1] == '\r')
            c->line.data[--c->line.len] = '\0';
        c->enough = c->line.failed || !c->request->on_line(c->request->user, c->line.data ? c->line.data : "");
        buf_free(&c->line);
        c->line.ceiling = LINE_MAX_LENGTH;
        data += part + 1;
        len -= part + 1;
    }
}

static size_t on_data(char *data, size_t size, size_t count, void *user)
{
    struct client *c = user;
    long status = 0;

    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    if (c->request->on_data && (status == 200 || status == 206)) {
        c->enough = !c->request->on_data(c->request->user, status, data, size * count);
        return c->enough ? 0 : size * count;
    }
    if (!c->request->on_line || status != 200)
        return buf_add(&c->body, data, size * count) ? size * count : 0;
    take_lines(c, data, size * count);
    return c->enough ? 0 : size * count;
}

static size_t on_read(char *out, size_t size, size_t count, void *user)
{
    struct client *c = user;
    size_t n = fread(out, size, count, c->request->body);

    return n == 0 && ferror(c->request->body) ? CURL_READFUNC_ABORT : n;
}

static int on_progress(void *user, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
    struct client *c = user;
    int64_t now = clock_ms();

    (void)down_total;
    (void)down;
    (void)up_total;
    if (c->request->on_upload && c->request->body && now - c->told_at >= UPLOAD_MS) {
        c->told_at = now;
        c->request->on_upload(c->request->user, (uint64_t)up);
    }
    return interrupted || (c->request->deadline && now >= c->request->deadline);
}

static struct curl_slist *headers_of(const struct client *c, const struct client_request *r)
{
    char accept[120];
    struct curl_slist *list = NULL;

    snprintf(accept, sizeof accept, "Accept: %s", r->accept ? r->accept : "application/json");
    list = curl_slist_append(list, accept);
    if (c->authorization)
        list = curl_slist_append(list, c->authorization);
    if (r->header)
        list = curl_slist_append(list, r->header);
    if (r->body && !r->file)
        list = curl_slist_append(list, "Content-Type:"); /* the gateway looks itself */
    return list;
}

static void set_where(struct client *c, const char *url)
{
    curl_easy_setopt(c->easy, CURLOPT_URL, url);
    curl_easy_setopt(c->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    if (c->socket)
        curl_easy_setopt(c->easy, CURLOPT_UNIX_SOCKET_PATH, c->socket);
    if (c->socket || c->config.local)
        curl_easy_setopt(c->easy, CURLOPT_PROXY, "");
    if (c->config.ca)
        curl_easy_setopt(c->easy, CURLOPT_CAINFO, c->config.ca);
}

/* What fails here for want of memory leaves a form that the gateway refuses. */
static void set_form(struct client *c, const struct client_request *r)
{
    curl_mimepart *part;

    c->form = curl_mime_init(c->easy);
    part = curl_mime_addpart(c->form);
    curl_mime_name(part, "file");
    curl_mime_filename(part, r->file);
    curl_mime_type(part, "application/octet-stream"); /* the gateway looks itself */
    curl_mime_data_cb(part, (curl_off_t)r->size, on_read, NULL, NULL, c);
    curl_easy_setopt(c->easy, CURLOPT_MIMEPOST, c->form);
}

static void set_request(struct client *c, const struct client_request *r)
{
    if (r->file) {
        set_form(c, r);
    } else if (r->body) {
        curl_easy_setopt(c->easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(c->easy, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(c->easy, CURLOPT_READDATA, c);
        curl_easy_setopt(c->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->size);
    } else if (strcmp(r->method, "POST") == 0) {
        curl_easy_setopt(c->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE, 0L);
    } else if (strcmp(r->method, "GET") != 0) {
        curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, r->method);
    }
    curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(c->easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c->easy, CURLOPT_XFERINFODATA, c);
    curl_easy_setopt(c->easy, CURLOPT_NOPROGRESS, 0L);
}

static enum client_outcome outcome_of(const struct client *c, CURLcode rc, long status)
{
    if (interrupted)
        return CLIENT_INTERRUPTED;
    if (c->enough)
        return CLIENT_STOPPED;
    if (c->request->deadline && clock_ms() >= c->request->deadline && rc != CURLE_OK)
        return CLIENT_TIMED_OUT;
    /* A refusal may come in the middle of an upload. */
    return rc == CURLE_OK || (status >= 400 && rc == CURLE_SEND_ERROR) ? CLIENT_ANSWERED : CLIENT_UNREACHABLE;
}

static void fill(struct client *c, CURLcode rc, const char *words, struct client_answer *answer)
{
    const char *type = NULL;

    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &answer->status);
    curl_easy_getinfo(c->easy, CURLINFO_CONTENT_TYPE, &type);
    if (type)
        snprintf(answer->type, sizeof answer->type, "%.*s", (int)strcspn(type, "; "), type);
    answer->outcome = outcome_of(c, rc, answer->status);
    answer->body = buf_steal(&c->body);
    snprintf(answer->why, sizeof answer->why, "%s", *words ? words : curl_easy_strerror(rc));
}

void client_ask(struct client *c, const struct client_request *request, struct client_answer *answer)
{
    struct curl_slist *headers = headers_of(c, request);
    char words[CURL_ERROR_SIZE] = "";
    struct buf url = {0};
    CURLcode rc;

    *answer = (struct client_answer){.outcome = CLIENT_UNREACHABLE};
    c->request = request;
    c->enough = false;
    c->told_at = 0;
    buf_free(&c->body);
    buf_free(&c->line);
    c->body.ceiling = BODY_MAX;
    c->line.ceiling = LINE_MAX_LENGTH;
    buf_printf(&url, "%s%s", c->base, request->target);
    curl_easy_reset(c->easy); /* keeps the connection */
    set_where(c, url.data);
    set_request(c, request);
    curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, words);
    rc = url.failed ? CURLE_OUT_OF_MEMORY : curl_easy_perform(c->easy);
    fill(c, rc, words, answer);
    curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, NULL);
    curl_mime_free(c->form);
    c->form = NULL;
    curl_slist_free_all(headers);
    buf_free(&url);
}

void client_answer_free(struct client_answer *answer)
{
    free(answer->body);
    answer->body = NULL;
}
