#include "tests/fake/xmpp/server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/buf.h"

struct xmpp_server {
    int listener;
    uint16_t port;
    pthread_t thread;
    bool running;
    talk_script_fn *script;
    void *user;
    _Atomic int current; /* connection being served, -1: none */
    _Atomic unsigned connections;
    _Atomic bool ending;
};

#define STREAM_END "</stream:stream>"

static const char stream_header[] =
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams' id='s1' from='example.org' version='1.0'>";

struct xmpp_server *xmpp_server_create(talk_script_fn *script, void *user)
{
    struct xmpp_server *s = calloc(1, sizeof(*s));
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);

    assert(s);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(s->listener, (struct sockaddr *)&at, len) != 0 ||
        getsockname(s->listener, (struct sockaddr *)&at, &len) != 0)
        abort();
    s->port = ntohs(at.sin_port);
    s->script = script;
    s->user = user;
    atomic_init(&s->current, -1);
    return s;
}

uint16_t xmpp_server_port(const struct xmpp_server *s)
{
    return s->port;
}

unsigned xmpp_server_connections(struct xmpp_server *s)
{
    return atomic_load(&s->connections);
}

static void serve_one(struct xmpp_server *s, int fd)
{
    struct talk t = {.fd = fd, .nth = atomic_fetch_add(&s->connections, 1), .user = s->user};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 60}, sizeof(struct timeval));
    atomic_store(&s->current, fd);
    if (!atomic_load(&s->ending))
        s->script(&t);
    atomic_store(&s->current, -1);
    close(fd);
    free(t.last);
    free(t.ahead);
}

static void *serve(void *user)
{
    struct xmpp_server *s = user;
    int fd;

    while ((fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        serve_one(s, fd);
    return NULL;
}

void xmpp_server_listen(struct xmpp_server *s)
{
    if (listen(s->listener, 16) != 0 || pthread_create(&s->thread, NULL, serve, s) != 0)
        abort();
    s->running = true;
}

void xmpp_server_destroy(struct xmpp_server **server)
{
    struct xmpp_server *s = *server;
    int fd;

    if (!s)
        return;
    atomic_store(&s->ending, true);
    shutdown(s->listener, SHUT_RDWR); /* ends the accept() */
    fd = atomic_load(&s->current);
    if (fd >= 0)
        shutdown(fd, SHUT_RDWR); /* at worst that of the connection after it */
    if (s->running)
        pthread_join(s->thread, NULL);
    close(s->listener);
    free(s);
    *server = NULL;
}

/* ---- the script's words */

/* The end of whichever needle comes first in the text; b may be NULL. */
static char *find_end(char *text, const char *a, const char *b)
{
    char *at_a = strstr(text, a), *at_b = b ? strstr(text, b) : NULL;

    if (at_a && (!at_b || at_a < at_b))
        return at_a + strlen(a);
    return at_b ? at_b + strlen(b) : NULL;
}

static bool expect(struct talk *t, const char *a, const char *b)
{
    enum { OVERLAP = 64 }; /* longer than any needle */
    struct buf in = {0};
    char part[4096], *end;
    size_t searched = 0;

    buf_puts(&in, t->ahead ? t->ahead : "");
    free(t->ahead);
    t->ahead = NULL;
    while (!(end = in.data ? find_end(in.data + searched, a, b) : NULL)) {
        ssize_t got = recv(t->fd, part, sizeof(part), 0);

        if (got <= 0) {
            buf_free(&in);
            return false;
        }
        searched = in.len > OVERLAP ? in.len - OVERLAP : 0;
        buf_add(&in, part, (size_t)got);
    }
    t->ahead = strdup(end);
    *end = '\0';
    free(t->last);
    t->last = buf_steal(&in);
    return true;
}

bool talk_expect(struct talk *t, const char *needle)
{
    return expect(t, needle, NULL);
}

bool talk_iq(struct talk *t)
{
    return expect(t, "</iq>", STREAM_END) && !strstr(t->last, STREAM_END);
}

void talk_drain(struct talk *t)
{
    talk_expect(t, STREAM_END);
}

void talk_send(struct talk *t, const char *text)
{
    size_t len = strlen(text);

    while (len > 0) {
        ssize_t sent = send(t->fd, text, len, MSG_NOSIGNAL);

        if (sent <= 0)
            return;
        text += sent;
        len -= (size_t)sent;
    }
}

void talk_printf(struct talk *t, const char *format, ...)
{
    char text[8192];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    talk_send(t, text);
}

const char *talk_id(struct talk *t)
{
    char *start = t->last, *next, *end;

    while ((next = strstr(start, " id=\""))) /* the last one: of the stanza itself, not of what came before */
        start = next + 5;
    end = strchr(start, '"');
    if (end)
        *end = '\0';
    return start;
}

bool talk_login(struct talk *t, const char *bound)
{
    if (!talk_expect(t, "<stream:stream") || !talk_expect(t, ">"))
        return false;
    talk_printf(t,
                "%s<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>"
                "</mechanisms></stream:features>",
                stream_header);
    if (!talk_expect(t, "</auth>"))
        return false;
    talk_send(t, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    if (!talk_expect(t, "<stream:stream") || !talk_expect(t, ">"))
        return false;
    talk_printf(t,
                "%s<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><required/></bind>"
                "</stream:features>",
                stream_header);
    if (!talk_expect(t, "</iq>"))
        return false;
    talk_printf(t, "<iq type='result' id='%s'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>%s</jid></bind></iq>",
                talk_id(t), bound);
    return true;
}

/* Up to the client's half of the handshake. */
static bool hear_component(struct talk *t, const char *domain)
{
    char to[300];

    snprintf(to, sizeof to, "to=\"%s\"", domain);
    if (!talk_expect(t, "<stream:stream") || !talk_expect(t, ">") || !strstr(t->last, "jabber:component:accept") ||
        !strstr(t->last, to))
        return false;
    talk_printf(t,
                "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
                "xmlns:stream='http://etherx.jabber.org/streams' id='s1' from='%s'>",
                domain);
    return talk_expect(t, "</handshake>");
}

bool talk_component(struct talk *t, const char *domain)
{
    if (!hear_component(t, domain))
        return false;
    talk_send(t, "<handshake/>");
    return true;
}

void talk_component_refused(struct talk *t, const char *domain, const char *condition)
{
    if (!hear_component(t, domain))
        return;
    talk_printf(t, "<stream:error><%s xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>",
                condition);
    talk_drain(t);
}

bool talk_roster(struct talk *t, const char *items)
{
    if (!talk_iq(t) || !strstr(t->last, "jabber:iq:roster"))
        return false;
    talk_printf(t, "<iq type='result' id='%s'><query xmlns='jabber:iq:roster'>%s</query></iq>", talk_id(t), items);
    return true;
}
