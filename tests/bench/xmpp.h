/* tests/bench/xmpp.h - the least XMPP client that can be thousands of times as fast as what is measured: it logs in
 * (RFC 6120, without TLS, by SASL's SCRAM-SHA-256) to a server on loopback and hands over stanzas as text, uncut and
 * unparsed.
 *
 * It reads what servers write, not all that XML allows: no comments, no CDATA, no processing instructions. */
#ifndef BENCH_XMPP_H
#define BENCH_XMPP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JID_SIZE = 256, ATTRIBUTE_SIZE = 512 };

struct xmpp {
    int fd; /* nonblocking once logged in */
    char jid[JID_SIZE];
    struct {
        char *data;
        size_t len, room, at; /* at: where the next stanza begins */
        size_t scanned;       /* from at on: read without finding its end */
        int depth;
        char *stanza; /* the last one handed over */
    } in;
    struct {
        char *data;
        size_t len, room, sent;
    } out;
};

/* jid: user@domain/resource, which the server must bind as asked. presence: available presence was sent and has come
 * back. Ends the program when that fails. */
void xmpp_login(struct xmpp *x, const char *host, uint16_t port, const char *jid, const char *password, bool presence);

/* Reads once; the program ends when the server hangs up. */
void xmpp_receive(struct xmpp *x);

/* The next whole stanza, NUL-terminated, or NULL; valid until the next call. */
char *xmpp_next(struct xmpp *x);

/* Puts into the queue; xmpp_flush() sends what the socket takes and tells whether all is gone. */
void xmpp_say(struct xmpp *x, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool xmpp_flush(struct xmpp *x);

/* The attribute of the first tag at or behind `at`, with its entities replaced. */
bool xmpp_attribute(const char *at, const char *name, char out[static ATTRIBUTE_SIZE]);

/* The text of the first `tag` (as "<jid>") within stanza; false: there is none. */
bool xmpp_text(const char *stanza, const char *tag, char *out, size_t max);

/* For an attribute in apostrophes. */
const char *xmpp_escape(const char *text, char *out, size_t max);

#endif
