/* cli/doctor_server.c - the way to the XMPP server: its address, the connection, TLS. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "cli/dial.h"
#include "cli/doctor.h"
#include "cli/doctor_tls.h"

enum { DNS_MS = 12 * 1000, DIAL_MS = 4000, ANSWER_MAX = 8192, SOON_DAYS = 14 };

static void domain_of(const struct doctor *d, char *out, size_t max)
{
    size_t len;
    const char *domain = jid_domain(&d->config.xmpp.jid, &len);

    snprintf(out, max, "%.*s", (int)len, domain);
}

/* ---- its address */

struct question {
    struct doctor *d;
    bool done;
};

static void on_answer(void *user, const struct dns_answer *answer)
{
    struct question *q = user;

    q->d->addresses = *answer;
    q->done = true;
}

/* As xmpp/session.c asks. */
static bool ask(struct doctor *d, struct question *q, char domain[static DNS_HOST])
{
    const struct config *c = &d->config;
    bool direct = c->xmpp.tls == TLS_DIRECT, component = c->xmpp.component_secret;
    struct dns_question question = {.host = c->xmpp.server ? c->xmpp.server
                                            : component    ? "127.0.0.1"
                                                           : domain,
                                    .port = c->xmpp.port ? c->xmpp.port
                                            : component  ? 5347
                                            : direct     ? 5223
                                                         : 5222};

    if (!c->xmpp.server && !c->xmpp.port && !component)
        question.service = direct ? "_xmpps-client._tcp" : "_xmpp-client._tcp";
    return dns_ask(&d->loop, &question, on_answer, q) && doctor_await(d, &q->done, DNS_MS);
}

bool doctor_finds_server(struct doctor *d)
{
    static struct question q; /* an answer that is late finds it still there */
    const struct config *c = &d->config;
    char domain[DNS_HOST], first[80];

    q = (struct question){.d = d};
    domain_of(d, domain, sizeof domain);
    if (!ask(d, &q, domain)) {
        doctor_say(d, DOCTOR_FAIL, "dns", ERR_REMOTE_SERVER_TIMEOUT,
                   "Mend the resolver of this machine (/etc/resolv.conf), or set [xmpp] server to an address.",
                   "no answer about %s in time", c->xmpp.server ? c->xmpp.server : domain);
        return false;
    }
    if (d->addresses.count == 0) {
        doctor_say(d, DOCTOR_FAIL, "dns", ERR_REMOTE_SERVER_UNREACHABLE,
                   "Check the domain of [xmpp] jid, or set [xmpp] server and port.", "%s", d->addresses.error.text);
        return false;
    }
    snprintf(first, sizeof first, "%s port %u", d->addresses.addresses[0].host, d->addresses.addresses[0].port);
    doctor_say(d, DOCTOR_OK, "dns", ERR_NONE, NULL, "%s%s is at %s%s", c->xmpp.server ? "[xmpp] server " : "",
               c->xmpp.server ? c->xmpp.server : domain, first, d->addresses.count > 1 ? ", and others" : "");
    return true;
}

/* ---- the connection */

/* Reads until one of the two texts came. */
static bool read_until(int fd, char *text, size_t max, const char *one, const char *other)
{
    size_t len = 0;

    while (len < max - 1) {
        ssize_t n = recv(fd, text + len, max - 1 - len, 0);

        if (n <= 0)
            return false;
        len += (size_t)n;
        text[len] = '\0';
        if (strstr(text, one) || strstr(text, other))
            return true;
    }
    return false;
}

static bool say(int fd, const char *text)
{
    return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

/* The stream's features; of a server that speaks XMPP. */
static bool open_stream(int fd, const char *domain, char features[static ANSWER_MAX], struct error *err)
{
    char header[ANSWER_MAX];

    snprintf(header, sizeof header,
             "<?xml version='1.0'?><stream:stream to='%s' xmlns='jabber:client' "
             "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
             domain);
    if (say(fd, header) && read_until(fd, features, ANSWER_MAX, "</stream:features>", "<stream:error>") &&
        !strstr(features, "<stream:error>"))
        return true;
    return error_set(err, ERR_XMPP_DISCONNECTED, "it answers, but not as an XMPP server for %.100s does", domain);
}

/* Up to where the TLS handshake begins. */
static bool start_tls(int fd, const char *domain, struct error *err)
{
    char text[ANSWER_MAX] = "";

    if (!open_stream(fd, domain, text, err))
        return false;
    if (!strstr(text, "urn:ietf:params:xml:ns:xmpp-tls"))
        return error_set(err, ERR_XMPP_DISCONNECTED, "it offers no STARTTLS");
    if (!say(fd, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>") ||
        !read_until(fd, text, sizeof text, "<proceed", "<failure") || !strstr(text, "<proceed"))
        return error_set(err, ERR_XMPP_DISCONNECTED, "it does not go on to TLS");
    return true;
}

static bool judge_tls(struct doctor *d, const struct tls_look *look, const char *domain)
{
    char fix[300];

    if (!look->trusted) {
        snprintf(fix, sizeof fix,
                 "Give the server a certificate for %.120s, or set [xmpp] ca to the file of its authority.", domain);
        doctor_say(d, DOCTOR_FAIL, "tls", ERR_XMPP_DISCONNECTED, fix, "the certificate is not trusted: %s%s",
                   look->why_not, look->days < 0 ? "; it is over" : "");
        return false;
    }
    if (look->days < SOON_DAYS)
        doctor_say(d, DOCTOR_WARN, "tls", ERR_XMPP_DISCONNECTED, "Renew the server's certificate.",
                   "%s; the certificate for %s ends in %d days", look->version, domain, look->days);
    else
        doctor_say(d, DOCTOR_OK, "tls", ERR_NONE, NULL, "%s, a trusted certificate for %s, for %d days", look->version,
                   domain, look->days);
    return true;
}

static bool try_tls(struct doctor *d, int fd)
{
    const struct config *c = &d->config;
    char domain[DNS_HOST], features[ANSWER_MAX] = "";
    struct error error = {0};
    struct tls_look look;
    bool ok;

    domain_of(d, domain, sizeof domain);
    if (c->xmpp.component_secret) {
        doctor_say(d, DOCTOR_OK, "tls", ERR_NONE, NULL, "none: a component and its server speak in the clear");
        return true;
    }
    if (c->xmpp.tls == TLS_OFF) {
        ok = open_stream(fd, domain, features, &error);
        if (ok)
            doctor_say(d, DOCTOR_OK, "tls", ERR_NONE, NULL, "off, towards this machine itself");
    } else {
        ok = (c->xmpp.tls == TLS_DIRECT || start_tls(fd, domain, &error)) &&
             tls_look(fd, domain, c->xmpp.ca, &look, &error);
        if (ok)
            return judge_tls(d, &look, domain);
    }
    if (!ok)
        doctor_say(d, DOCTOR_FAIL, "tls", ERR_XMPP_DISCONNECTED,
                   "Check [xmpp] server and port; tls = direct is for a port of TLS alone (5223), required for 5222.",
                   "%s", error.text);
    return ok;
}

bool doctor_reaches_server(struct doctor *d)
{
    struct error error = {0};
    char at[64];
    int fd = -1;
    bool ok;

    for (size_t i = 0; fd < 0 && i < d->addresses.count && i < 3; i++)
        fd = dial(d->addresses.addresses[i].host, d->addresses.addresses[i].port, DIAL_MS, NULL, &error);
    if (fd < 0) {
        doctor_say(d, DOCTOR_FAIL, "connection", ERR_XMPP_DISCONNECTED,
                   "Start the XMPP server, open its port in the firewall, or correct [xmpp] server and port.", "%s",
                   error.text);
        return false;
    }
    dialled(fd, at, sizeof at);
    doctor_say(d, DOCTOR_OK, "connection", ERR_NONE, NULL, "the server answers at %s", at);
    ok = try_tls(d, fd);
    fd_close(&fd);
    return ok;
}
