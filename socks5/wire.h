/* socks5/wire.h - the messages of SOCKS version 5 (RFC 1928 sections 3, 4 and 6) as bytes and as structs.
 *
 * A reader works on a window and moves it only when a whole message was there, so that it can be called again with
 * more bytes at any cut. What a message means, and whether it is allowed, is handshake.c's business.
 * Pure functions; any thread. Ports are in host byte order. */
#ifndef SOCKS5_WIRE_H
#define SOCKS5_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum { SOCKS5_VERSION = 5, SOCKS5_HOST = 255, SOCKS5_METHODS = 255 };

/* The longest message: VER CMD RSV ATYP LEN, 255 bytes of name, port. */
enum { SOCKS5_MESSAGE = 5 + SOCKS5_HOST + 2 };

enum socks5_method { SOCKS5_NO_AUTH = 0x00, SOCKS5_NO_METHOD = 0xff };
enum socks5_command { SOCKS5_CONNECT = 1 };
enum socks5_atyp { SOCKS5_IPV4 = 1, SOCKS5_DOMAIN = 3, SOCKS5_IPV6 = 4 };

/* The replies of RFC 1928 section 6 that this side gives. */
enum socks5_rep {
    SOCKS5_REP_OK = 0,
    SOCKS5_REP_FAILURE = 1,     /* malformed request */
    SOCKS5_REP_NOT_ALLOWED = 2, /* a name nobody waits for, or that enough others came for */
    SOCKS5_REP_COMMAND = 7,
    SOCKS5_REP_ADDRESS_TYPE = 8
};

enum wire {
    WIRE_OK,   /* read, window moved */
    WIRE_MORE, /* so far so good */
    WIRE_BAD   /* not SOCKS 5; the window has not moved */
};

struct socks5_greeting {
    size_t count;
    uint8_t methods[SOCKS5_METHODS];
};

/* Requests and replies have one shape; code is CMD or REP. */
struct socks5_request {
    uint8_t code;
    uint8_t reserved;
    uint8_t atyp;
    uint8_t host_len;
    uint8_t host[SOCKS5_HOST]; /* as received: 4 or 16 address bytes, or a name in its own case */
    uint16_t port;
};

/* The length a message has at least, as far as its first have bytes tell: never more than its true length, and equal
 * to it once the bytes that decide are there. Reading no more than this takes no byte of what follows. */
size_t socks5_greeting_length(const uint8_t *at, size_t have);
size_t socks5_request_length(const uint8_t *at, size_t have);
enum { SOCKS5_CHOICE_LENGTH = 2 };

/* Client's first message. NMETHODS 0 offers nothing that could be chosen: WIRE_BAD. */
enum wire socks5_read_greeting(struct bytes *in, struct socks5_greeting *out);

/* Server's answer to it: the method chosen. */
enum wire socks5_read_choice(struct bytes *in, uint8_t *method);

/* A request or a reply. An address type that RFC 1928 does not know ends the message after ATYP, because nothing says
 * how long it is: WIRE_OK with host_len 0. */
enum wire socks5_read_request(struct bytes *in, struct socks5_request *out);

/* Writers return the length written; out holds SOCKS5_MESSAGE bytes. */
size_t socks5_write_greeting(uint8_t *out);
size_t socks5_write_choice(uint8_t *out, enum socks5_method method);
size_t socks5_write_request(uint8_t *out, const struct socks5_request *message);

#endif
