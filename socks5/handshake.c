/* socks5/handshake.c - the two sides of a SOCKS 5 handshake, see handshake.h. */
#include "socks5/handshake.h"

#include <assert.h>
#include <string.h>

void handshake_server(struct handshake *h)
{
    memset(h, 0, sizeof(*h));
    h->state = SERVER_GREETING;
}

void handshake_client(struct handshake *h, const char *name)
{
    size_t len = strlen(name);

    assert(len > 0 && len <= SOCKS5_HOST);
    memset(h, 0, sizeof(*h));
    h->state = CLIENT_CHOICE;
    h->request.code = SOCKS5_CONNECT;
    h->request.atyp = SOCKS5_DOMAIN;
    h->request.host_len = (uint8_t)len;
    memcpy(h->request.host, name, len);
    h->out_len = socks5_write_greeting(h->out);
}

size_t handshake_wants(const struct handshake *h)
{
    switch (h->state) {
    case SERVER_GREETING:
        return socks5_greeting_length(h->in, h->have) - h->have;
    case CLIENT_CHOICE:
        return SOCKS5_CHOICE_LENGTH - h->have;
    case SERVER_REQUEST:
    case CLIENT_REPLY:
        return socks5_request_length(h->in, h->have) - h->have;
    case SERVER_DECIDES:
    case HANDSHAKE_OVER:
        break;
    }
    return 0;
}

static enum handshake_verdict failed(struct handshake *h, const char *why)
{
    h->state = HANDSHAKE_OVER;
    error_set(&h->error, ERR_PEER_PROTOCOL_ERROR, "%s", why);
    return HANDSHAKE_FAILED;
}

static enum handshake_verdict next_message(struct handshake *h, enum handshake_state state)
{
    h->state = state;
    h->have = 0;
    return HANDSHAKE_MORE;
}

static enum handshake_verdict server_read_greeting(struct handshake *h, struct bytes message)
{
    struct socks5_greeting greeting;

    switch (socks5_read_greeting(&message, &greeting)) {
    case WIRE_MORE:
        return HANDSHAKE_MORE;
    case WIRE_BAD:
        return failed(h, "not a SOCKS 5 greeting");
    case WIRE_OK:
        break;
    }
    if (!memchr(greeting.methods, SOCKS5_NO_AUTH, greeting.count)) {
        h->out_len = socks5_write_choice(h->out, SOCKS5_NO_METHOD);
        h->state = HANDSHAKE_OVER;
        error_set(&h->error, ERR_PEER_PROTOCOL_ERROR, "the client does not offer to go without a password");
        return HANDSHAKE_REFUSED;
    }
    h->out_len = socks5_write_choice(h->out, SOCKS5_NO_AUTH);
    return next_message(h, SERVER_REQUEST);
}

static enum handshake_verdict server_read_request(struct handshake *h, struct bytes message)
{
    switch (socks5_read_request(&message, &h->request)) {
    case WIRE_MORE:
        return HANDSHAKE_MORE;
    case WIRE_BAD:
        return failed(h, "not a SOCKS 5 request");
    case WIRE_OK:
        break;
    }
    h->state = SERVER_DECIDES;
    if (h->request.code != SOCKS5_CONNECT)
        return handshake_answer(h, SOCKS5_REP_COMMAND);
    if (h->request.atyp != SOCKS5_DOMAIN)
        return handshake_answer(h, SOCKS5_REP_ADDRESS_TYPE);
    if (h->request.reserved != 0)
        return handshake_answer(h, SOCKS5_REP_FAILURE);
    return HANDSHAKE_ASKED;
}

enum handshake_verdict handshake_answer(struct handshake *h, enum socks5_rep rep)
{
    struct socks5_request reply = h->request;

    assert(h->state == SERVER_DECIDES);
    if (reply.atyp != SOCKS5_DOMAIN)
        reply = (struct socks5_request){.atyp = SOCKS5_IPV4, .host_len = 4};
    reply.code = (uint8_t)rep;
    h->out_len = socks5_write_request(h->out, &reply);
    h->state = HANDSHAKE_OVER;
    if (rep == SOCKS5_REP_OK)
        return HANDSHAKE_OPEN;
    error_set(&h->error, ERR_PEER_PROTOCOL_ERROR, "refused with REP %02x", (unsigned)rep);
    return HANDSHAKE_REFUSED;
}

static enum handshake_verdict client_read_choice(struct handshake *h, struct bytes message)
{
    uint8_t method;

    switch (socks5_read_choice(&message, &method)) {
    case WIRE_MORE:
        return HANDSHAKE_MORE;
    case WIRE_BAD:
        return failed(h, "the streamhost does not speak SOCKS 5");
    case WIRE_OK:
        break;
    }
    if (method != SOCKS5_NO_AUTH)
        return failed(h, "the streamhost wants a password");
    h->out_len = socks5_write_request(h->out, &h->request);
    return next_message(h, CLIENT_REPLY);
}

/* BND.ADDR says nothing here and is not compared: some answer with their own address. A refusal counts from its second
 * byte, because some send no more than that. */
static enum handshake_verdict client_read_reply(struct handshake *h, struct bytes message)
{
    struct socks5_request reply;
    enum wire wire = socks5_read_request(&message, &reply);

    if (wire == WIRE_BAD)
        return failed(h, "the streamhost does not speak SOCKS 5");
    if (h->have >= 2 && h->in[1] != SOCKS5_REP_OK) {
        h->state = HANDSHAKE_OVER;
        error_set(&h->error, ERR_PEER_PROTOCOL_ERROR, "the streamhost refused with REP %02x", (unsigned)h->in[1]);
        return HANDSHAKE_FAILED;
    }
    if (wire == WIRE_MORE)
        return HANDSHAKE_MORE;
    if (reply.atyp != SOCKS5_DOMAIN && reply.atyp != SOCKS5_IPV4 && reply.atyp != SOCKS5_IPV6)
        return failed(h, "the streamhost's reply has an unknown address type");
    h->state = HANDSHAKE_OVER;
    return HANDSHAKE_OPEN;
}

static enum handshake_verdict read_message(struct handshake *h)
{
    struct bytes message = {.at = h->in, .left = h->have};

    switch (h->state) {
    case SERVER_GREETING:
        return server_read_greeting(h, message);
    case SERVER_REQUEST:
        return server_read_request(h, message);
    case CLIENT_CHOICE:
        return client_read_choice(h, message);
    case CLIENT_REPLY:
        return client_read_reply(h, message);
    case SERVER_DECIDES:
    case HANDSHAKE_OVER:
        break;
    }
    return HANDSHAKE_FAILED; /* not reached: fed out of turn */
}

enum handshake_verdict handshake_feed(struct handshake *h, struct bytes *in)
{
    enum handshake_verdict verdict = HANDSHAKE_MORE;

    assert(h->out_len == 0);
    while (verdict == HANDSHAKE_MORE && h->out_len == 0 && in->left > 0) {
        size_t n = handshake_wants(h);
        const uint8_t *at;

        assert(n > 0); /* fed out of turn */
        if (n > in->left)
            n = in->left;
        bytes_take(in, n, &at);
        memcpy(h->in + h->have, at, n);
        h->have += n;
        verdict = read_message(h);
    }
    return verdict;
}
