/* socks5/handshake.h - both sides of a SOCKS 5 handshake (RFC 1928, as XEP-0065 section 5.3.2 uses it) as bytes in,
 * bytes out and a verdict; no I/O.
 *
 * The driver reads at most handshake_wants() bytes, feeds them, and writes h->out, if there is any, in one write:
 * common peers take one TCP segment for one message. Because no byte beyond the current message is ever wanted, what
 * follows the handshake in the same segment stays in the socket and belongs to the stream.
 *
 *     server: feed … HANDSHAKE_ASKED, then the owner decides and calls handshake_answer()
 *     client: out holds the greeting from the start; feed … HANDSHAKE_OPEN
 *
 * A handshake is a plain value of one thread; nothing is allocated. */
#ifndef SOCKS5_HANDSHAKE_H
#define SOCKS5_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "socks5/wire.h"

enum handshake_verdict {
    HANDSHAKE_MORE,
    HANDSHAKE_ASKED,   /* server: request says what for; nothing was answered yet */
    HANDSHAKE_OPEN,    /* client: the other server said yes; server: h->out says yes */
    HANDSHAKE_REFUSED, /* server: h->out says no; write it, then close in good order */
    HANDSHAKE_FAILED   /* nothing to answer; h->error says why */
};

enum handshake_state { SERVER_GREETING, SERVER_REQUEST, SERVER_DECIDES, CLIENT_CHOICE, CLIENT_REPLY, HANDSHAKE_OVER };

struct handshake {
    enum handshake_state state;
    uint8_t in[SOCKS5_MESSAGE]; /* the message being read */
    size_t have;
    uint8_t out[SOCKS5_MESSAGE]; /* to be written; the driver sets out_len to 0 when it did */
    size_t out_len;
    struct socks5_request request; /* server: asked by the client; client: what we ask */
    struct error error;
};

void handshake_server(struct handshake *h);

/* name: 1 to SOCKS5_HOST bytes. Always asks with port 0, because strict peers refuse any other. */
void handshake_client(struct handshake *h, const char *name);

/* How many bytes may be read without touching what follows this message; 0 when it is not the other side's turn. */
size_t handshake_wants(const struct handshake *h);

/* Takes bytes off in until one message is complete or in is empty. HANDSHAKE_MORE with bytes left: feed again, after
 * writing h->out. */
enum handshake_verdict handshake_feed(struct handshake *h, struct bytes *in);

/* Server, after HANDSHAKE_ASKED: puts the reply into h->out, an echo of the request but for REP: common clients
 * compare it byte for byte, port and case included. HANDSHAKE_OPEN or HANDSHAKE_REFUSED. */
enum handshake_verdict handshake_answer(struct handshake *h, enum socks5_rep rep);

#endif
