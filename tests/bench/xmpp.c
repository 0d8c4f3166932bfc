/* tests/bench/xmpp.c - see xmpp.h. */
#include "tests/bench/xmpp.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/net.h"
#include "tests/bench/scram.h"

enum { READ_SIZE = 256 * 1024 };

/* ---- reading */

static void make_room(struct xmpp *x)
{
    if (x->in.at > 0) {
        memmove(x->in.data, x->in.data + x->in.at, x->in.len - x->in.at + 1);
        x->in.len -= x->in.at;
        x->in.at = 0;
    }
    if (x->in.room - x->in.len > READ_SIZE)
        return;
    x->in.room = x->in.len + 2 * (size_t)READ_SIZE;
    x->in.data = realloc(x->in.data, x->in.room);
    if (!x->in.data)
        die("memory");
}

void xmpp_receive(struct xmpp *x)
{
    ssize_t n;

    make_room(x);
    n = read(x->fd, x->in.data + x->in.len, READ_SIZE);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        quit("%s: the server hung up: %s", x->jid, n < 0 ? strerror(errno) : "end of stream");
    x->in.len += (size_t)n;
    x->in.data[x->in.len] = '\0';
}

/* The end of a tag that begins at `at`: behind its '>', which does not count within an attribute's value. */
static char *tag_end(char *at)
{
    char quote = '\0';

    for (; *at; at++) {
        if (quote) {
            if (*at == quote)
                quote = '\0';
        } else if (*at == '\'' || *at == '"') {
            quote = *at;
        } else if (*at == '>') {
            return at + 1;
        }
    }
    return NULL;
}

/* The <stream:stream> of the server and what came before it. */
static bool is_head(const char *tag)
{
    return strncmp(tag, "<?xml", 5) == 0 || strncmp(tag, "<stream:stream", 14) == 0;
}

/* Goes behind the element that has just ended, or that is none of a stanza's; its text is what comes back. */
static char *step_over(struct xmpp *x)
{
    size_t len = x->in.scanned;

    x->in.stanza = realloc(x->in.stanza, len + 1);
    if (!x->in.stanza)
        die("memory");
    memcpy(x->in.stanza, x->in.data + x->in.at, len);
    x->in.stanza[len] = '\0';
    x->in.at += len;
    x->in.scanned = 0;
    return x->in.stanza;
}

char *xmpp_next(struct xmpp *x)
{
    char *at, *end;

    while (x->in.data && (at = strchr(x->in.data + x->in.at + x->in.scanned, '<')) && (end = tag_end(at))) {
        if (x->in.depth == 0)
            x->in.at = (size_t)(at - x->in.data);
        x->in.scanned = (size_t)(end - x->in.data) - x->in.at;
        if (strncmp(at, "</stream:stream", 15) == 0)
            quit("%s: the server ended the stream", x->jid);
        if (is_head(at)) {
            step_over(x);
            continue;
        }
        x->in.depth += at[1] == '/' ? -1 : end[-2] == '/' ? 0 : 1;
        if (x->in.depth == 0)
            return step_over(x);
    }
    return NULL;
}

bool xmpp_attribute(const char *at, const char *name, char out[static ATTRIBUTE_SIZE])
{
    static const struct {
        const char *text;
        char means;
    } entities[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&apos;", '\''}, {"&quot;", '"'}};
    const char *end = tag_end((char *)at), *value;
    size_t len = strlen(name), n = 0;

    for (;; at = value) {
        value = at ? strstr(at, name) : NULL;
        if (!value || !end || value > end)
            return false;
        value += len;
        if (value[-(long)len - 1] == ' ' && value[0] == '=' && (value[1] == '\'' || value[1] == '"'))
            break;
    }
    for (const char *c = value + 2; *c && *c != value[1] && n + 1 < ATTRIBUTE_SIZE; c++, n++) {
        out[n] = *c;
        for (size_t i = 0; *c == '&' && i < sizeof entities / sizeof *entities; i++)
            if (strncmp(c, entities[i].text, strlen(entities[i].text)) == 0) {
                out[n] = entities[i].means;
                c += strlen(entities[i].text) - 1;
            }
    }
    out[n] = '\0';
    return true;
}

bool xmpp_text(const char *stanza, const char *tag, char *out, size_t max)
{
    const char *at = strstr(stanza, tag);
    size_t len;

    if (!at)
        return false;
    at += strlen(tag);
    len = strcspn(at, "<");
    if (len >= max)
        return false;
    memcpy(out, at, len);
    out[len] = '\0';
    return true;
}

const char *xmpp_escape(const char *text, char *out, size_t max)
{
    size_t n = 0;

    for (; *text && n + 7 < max; text++) {
        const char *as = *text == '&' ? "&amp;" : *text == '<' ? "&lt;" : *text == '\'' ? "&apos;" : NULL;

        n += (size_t)(as ? snprintf(out + n, max - n, "%s", as) : snprintf(out + n, max - n, "%c", *text));
    }
    out[n] = '\0';
    return out;
}

/* ---- writing */

void xmpp_say(struct xmpp *x, const char *format, ...)
{
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (x->out.len + (size_t)len + 1 > x->out.room) {
        x->out.room = 2 * (x->out.len + (size_t)len + 1);
        x->out.data = realloc(x->out.data, x->out.room);
        if (!x->out.data)
            die("memory");
    }
    va_start(args, format);
    vsnprintf(x->out.data + x->out.len, (size_t)len + 1, format, args);
    va_end(args);
    x->out.len += (size_t)len;
}

bool xmpp_flush(struct xmpp *x)
{
    while (x->out.sent < x->out.len) {
        ssize_t n = write(x->fd, x->out.data + x->out.sent, x->out.len - x->out.sent);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n < 0)
            die("writing to the server");
        x->out.sent += (size_t)n;
    }
    x->out.sent = x->out.len = 0;
    return true;
}

/* ---- logging in: one step after the other, waiting */

static char *wait_stanza(struct xmpp *x, const char *what)
{
    char *stanza;

    xmpp_flush(x);
    while (!(stanza = xmpp_next(x))) {
        struct pollfd p = {.fd = x->fd, .events = POLLIN};

        if (poll(&p, 1, 30000) == 0)
            quit("%s: no %s within 30 s", x->jid, what);
        xmpp_receive(x);
    }
    return stanza;
}

static void open_stream(struct xmpp *x, const char *domain)
{
    const char *features;

    x->in.len = x->in.at = x->in.scanned = 0;
    x->in.depth = 0;
    if (x->in.data)
        x->in.data[0] = '\0';
    xmpp_say(x,
             "<?xml version='1.0'?><stream:stream to='%s' version='1.0' xmlns='jabber:client' "
             "xmlns:stream='http://etherx.jabber.org/streams'>",
             domain);
    features = wait_stanza(x, "features");
    if (!strstr(features, "features"))
        quit("%s: no features of the server's: %s", x->jid, features);
}

static void authenticate(struct xmpp *x, const char *user, int user_len, const char *password)
{
    static const char sasl[] = "urn:ietf:params:xml:ns:xmpp-sasl";
    char text[SCRAM_SIZE], challenge[SCRAM_SIZE];
    const char *told;
    struct scram s;

    scram_begin(&s, user, user_len, text);
    xmpp_say(x, "<auth xmlns='%s' mechanism='SCRAM-SHA-256'>%s</auth>", sasl, text);
    told = wait_stanza(x, "challenge");
    told = strncmp(told, "<challenge", 10) == 0 ? strchr(told, '>') : NULL;
    if (!told || !xmpp_text(told, ">", challenge, sizeof challenge))
        quit("%s: the server does not go on with SCRAM-SHA-256", x->jid);
    scram_answer(&s, challenge, password, text);
    xmpp_say(x, "<response xmlns='%s'>%s</response>", sasl, text);
    if (strncmp(wait_stanza(x, "success"), "<success", 8) != 0)
        quit("%s: not let in", x->jid);
}

static void bind_resource(struct xmpp *x, const char *resource)
{
    char bound[JID_SIZE];

    xmpp_say(x,
             "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>%s</resource></bind>"
             "</iq>",
             resource);
    if (!xmpp_text(wait_stanza(x, "bind"), "<jid>", bound, sizeof bound) || strcmp(bound, x->jid) != 0)
        quit("%s: the server binds something else", x->jid);
}

/* Ours comes back to us. */
static void show_presence(struct xmpp *x)
{
    char from[ATTRIBUTE_SIZE];
    const char *stanza;

    xmpp_say(x, "<presence/>");
    do
        stanza = wait_stanza(x, "own presence");
    while (strncmp(stanza, "<presence", 9) != 0 || !xmpp_attribute(stanza, "from", from) || strcmp(from, x->jid) != 0);
}

void xmpp_login(struct xmpp *x, const char *host, uint16_t port, const char *jid, const char *password, bool presence)
{
    const char *at = strchr(jid, '@'), *slash = at ? strchr(at, '/') : NULL;
    char domain[JID_SIZE];

    memset(x, 0, sizeof *x);
    if (!slash || strlen(jid) >= JID_SIZE)
        quit("'%s' is not user@domain/resource", jid);
    snprintf(x->jid, sizeof x->jid, "%s", jid);
    snprintf(domain, sizeof domain, "%.*s", (int)(slash - at - 1), at + 1);
    x->fd = tcp_connect(host, port);
    open_stream(x, domain);
    authenticate(x, jid, (int)(at - jid), password);
    open_stream(x, domain);
    bind_resource(x, slash + 1);
    if (presence)
        show_presence(x);
    xmpp_flush(x);
    nonblock(x->fd);
}
