#include "tests/fake/receiver.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST = 4096 };

struct client {
    uv_tcp_t tcp; /* first */
    struct client *next;
    struct fake_receiver *r;
    char *text;
    size_t len;
};

struct fake_receiver {
    uv_tcp_t listener; /* first */
    char url[64];
    const char *answer;
    bool down;
    struct fake_request requests[MOST];
    size_t count;
    struct client *clients;
    bool closed;
};

static void free_client(uv_handle_t *handle)
{
    struct client *c = (struct client *)handle;
    struct client **at = &c->r->clients;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    if (c->r->closed && !c->r->clients)
        free(c->r);
    free(c->text);
    free(c);
}

static void close_client(struct client *c)
{
    if (!uv_is_closing((uv_handle_t *)&c->tcp))
        uv_close((uv_handle_t *)&c->tcp, free_client);
}

char *fake_request_header(const struct fake_request *q, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = strstr(q->head, "\r\n"); at; at = strstr(at, "\r\n")) {
        at += 2;
        if (strncasecmp(at, name, len) == 0 && at[len] == ':')
            return strndup(at + len + 2, strcspn(at + len + 2, "\r"));
    }
    return NULL;
}

static void on_sent(uv_write_t *write, int status)
{
    (void)status;
    free(write);
}

static void answer(struct client *c)
{
    uv_write_t *write = malloc(sizeof *write);
    uv_buf_t buf = uv_buf_init((char *)c->r->answer, (unsigned)strlen(c->r->answer));

    assert(write);
    uv_write(write, (uv_stream_t *)&c->tcp, &buf, 1, on_sent);
}

/* false: it is not whole yet. */
static bool take_request(struct client *c)
{
    char *end = c->text ? strstr(c->text, "\r\n\r\n") : NULL;
    struct fake_request *q = &c->r->requests[c->r->count];
    char *length;
    size_t head, body;

    if (!end)
        return false;
    head = (size_t)(end + 4 - c->text);
    q->head = strndup(c->text, head);
    length = fake_request_header(q, "Content-Length");
    body = length ? strtoul(length, NULL, 10) : 0;
    free(length);
    if (c->len < head + body) {
        free(q->head);
        return false;
    }
    q->body = strndup(c->text + head, body);
    snprintf(q->line, sizeof q->line, "%.*s", (int)strcspn(q->head, "\r"), q->head);
    c->r->count++;
    assert(c->r->count < MOST);
    memmove(c->text, c->text + head + body, c->len - head - body + 1);
    c->len -= head + body;
    if (c->r->answer)
        answer(c);
    return true;
}

static void give_room(uv_handle_t *handle, size_t wanted, uv_buf_t *buf)
{
    (void)handle;
    *buf = uv_buf_init(malloc(wanted), (unsigned)wanted);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client *c = (struct client *)stream;

    if (n > 0) {
        c->text = realloc(c->text, c->len + (size_t)n + 1);
        assert(c->text);
        memcpy(c->text + c->len, buf->base, (size_t)n);
        c->len += (size_t)n;
        c->text[c->len] = '\0';
        while (take_request(c))
            continue;
    } else if (n < 0) {
        close_client(c);
    }
    free(buf->base);
}

static void on_client(uv_stream_t *listener, int status)
{
    struct fake_receiver *r = (struct fake_receiver *)listener;
    struct client *c = calloc(1, sizeof *c);

    (void)status;
    assert(c);
    c->r = r;
    c->next = r->clients;
    r->clients = c;
    uv_tcp_init(listener->loop, &c->tcp);
    uv_accept(listener, (uv_stream_t *)&c->tcp);
    if (r->down)
        uv_tcp_close_reset(&c->tcp, free_client);
    else
        uv_read_start((uv_stream_t *)&c->tcp, give_room, on_read);
}

struct fake_receiver *fake_receiver_create(uv_loop_t *loop)
{
    struct fake_receiver *r = calloc(1, sizeof *r);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int len = sizeof at;

    assert(r);
    uv_tcp_init(loop, &r->listener);
    uv_tcp_bind(&r->listener, (const struct sockaddr *)&at, 0);
    uv_listen((uv_stream_t *)&r->listener, 64, on_client);
    uv_tcp_getsockname(&r->listener, (struct sockaddr *)&at, &len);
    snprintf(r->url, sizeof r->url, "http://127.0.0.1:%u/hook", ntohs(at.sin_port));
    r->answer = "HTTP/1.1 204 No Content\r\n\r\n";
    return r;
}

const char *fake_receiver_url(const struct fake_receiver *r)
{
    return r->url;
}

void fake_receiver_answers(struct fake_receiver *r, const char *answer)
{
    r->answer = answer;
}

void fake_receiver_down(struct fake_receiver *r, bool down)
{
    r->down = down;
    for (struct client *c = r->clients; down && c; c = c->next)
        close_client(c);
}

size_t fake_receiver_count(const struct fake_receiver *r)
{
    return r->count;
}

const struct fake_request *fake_receiver_request(const struct fake_receiver *r, size_t n)
{
    return &r->requests[n];
}

static void listener_closed(uv_handle_t *handle)
{
    struct fake_receiver *r = (struct fake_receiver *)handle;

    r->closed = true;
    for (size_t i = 0; i < r->count; i++) {
        free(r->requests[i].head);
        free(r->requests[i].body);
    }
    for (struct client *c = r->clients; c; c = c->next)
        close_client(c);
    if (!r->clients)
        free(r);
}

void fake_receiver_destroy(struct fake_receiver **r)
{
    if (*r)
        uv_close((uv_handle_t *)&(*r)->listener, listener_closed);
    *r = NULL;
}
