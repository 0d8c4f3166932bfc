/* socks5/wire.c - RFC 1928 messages, see wire.h. */
#include "socks5/wire.h"

#include <string.h>

enum { GREETING_HEAD = 2, REQUEST_HEAD = 4, PORT = 2 };

size_t socks5_greeting_length(const uint8_t *at, size_t have)
{
    return have < GREETING_HEAD ? GREETING_HEAD : (size_t)GREETING_HEAD + at[1];
}

size_t socks5_request_length(const uint8_t *at, size_t have)
{
    if (have < REQUEST_HEAD)
        return REQUEST_HEAD;
    switch (at[3]) {
    case SOCKS5_IPV4:
        return REQUEST_HEAD + 4 + PORT;
    case SOCKS5_IPV6:
        return REQUEST_HEAD + 16 + PORT;
    case SOCKS5_DOMAIN:
        return (size_t)REQUEST_HEAD + 1 + (have > REQUEST_HEAD ? at[REQUEST_HEAD] : 0u) + PORT;
    default:
        return REQUEST_HEAD;
    }
}

enum wire socks5_read_greeting(struct bytes *in, struct socks5_greeting *out)
{
    struct bytes b = *in;
    const uint8_t *head, *methods;

    if (b.left > 0 && b.at[0] != SOCKS5_VERSION)
        return WIRE_BAD;
    if (!bytes_take(&b, GREETING_HEAD, &head))
        return WIRE_MORE;
    if (head[1] == 0)
        return WIRE_BAD;
    if (!bytes_take(&b, head[1], &methods))
        return WIRE_MORE;
    out->count = head[1];
    memcpy(out->methods, methods, out->count);
    *in = b;
    return WIRE_OK;
}

enum wire socks5_read_choice(struct bytes *in, uint8_t *method)
{
    struct bytes b = *in;
    const uint8_t *choice;

    if (b.left > 0 && b.at[0] != SOCKS5_VERSION)
        return WIRE_BAD;
    if (!bytes_take(&b, SOCKS5_CHOICE_LENGTH, &choice))
        return WIRE_MORE;
    *method = choice[1];
    *in = b;
    return WIRE_OK;
}

enum wire socks5_read_request(struct bytes *in, struct socks5_request *out)
{
    struct bytes b = *in;
    const uint8_t *message;
    size_t length = socks5_request_length(b.at, b.left);
    size_t front; /* bytes before the address */

    if (b.left > 0 && b.at[0] != SOCKS5_VERSION)
        return WIRE_BAD;
    if (!bytes_take(&b, length, &message))
        return WIRE_MORE;
    memset(out, 0, sizeof(*out));
    out->code = message[1];
    out->reserved = message[2];
    out->atyp = message[3];
    if (length > REQUEST_HEAD) {
        front = out->atyp == SOCKS5_DOMAIN ? REQUEST_HEAD + 1 : REQUEST_HEAD;
        out->host_len = (uint8_t)(length - front - PORT);
        memcpy(out->host, message + front, out->host_len);
        out->port = (uint16_t)(message[length - 2] << 8 | message[length - 1]);
    }
    *in = b;
    return WIRE_OK;
}

size_t socks5_write_greeting(uint8_t *out)
{
    out[0] = SOCKS5_VERSION;
    out[1] = 1;
    out[2] = SOCKS5_NO_AUTH;
    return 3;
}

size_t socks5_write_choice(uint8_t *out, enum socks5_method method)
{
    out[0] = SOCKS5_VERSION;
    out[1] = (uint8_t)method;
    return SOCKS5_CHOICE_LENGTH;
}

size_t socks5_write_request(uint8_t *out, const struct socks5_request *message)
{
    size_t len = 0;

    out[len++] = SOCKS5_VERSION;
    out[len++] = message->code;
    out[len++] = 0;
    out[len++] = message->atyp;
    if (message->atyp == SOCKS5_DOMAIN)
        out[len++] = message->host_len;
    memcpy(out + len, message->host, message->host_len);
    len += message->host_len;
    out[len++] = (uint8_t)(message->port >> 8);
    out[len++] = (uint8_t)(message->port & 0xff);
    return len;
}
