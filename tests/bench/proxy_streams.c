/* tests/bench/proxy_streams.c - many streams open through a SOCKS5 proxy of a server's (XEP-0065 section 6), to see
 * what each costs that server's memory.
 *
 *   proxy_streams HOST PORT PASSWORD FROM PROXY_JID PROXY_PORT COUNT
 *
 * Both ends of each are here. Prints {"open": COUNT} when all are activated, holds them until standard input ends. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "tests/bench/net.h"
#include "tests/bench/xmpp.h"

enum { NAME_LEN = 40, WINDOW = 32 };

static void read_exactly(int fd, unsigned char *out, size_t len)
{
    while (len > 0) {
        ssize_t n = read(fd, out, len);

        if (n <= 0)
            quit("the proxy hung up in the handshake");
        out += n;
        len -= (size_t)n;
    }
}

/* RFC 1928, as XEP-0065 uses it. The descriptor is kept until the program ends. */
static void join(const char *host, uint16_t port, const char *hash)
{
    unsigned char text[5 + NAME_LEN + 2] = {5, 1, 0, 3, NAME_LEN}, reply[5 + 255 + 2];
    int fd = tcp_connect(host, port);

    write_all(fd, (const unsigned char[]){5, 1, 0}, 3);
    read_exactly(fd, reply, 2);
    memcpy(text + 5, hash, NAME_LEN);
    write_all(fd, text, sizeof text);
    read_exactly(fd, reply, 5);
    if (reply[1] != 0 || reply[3] != 3)
        quit("the proxy refused");
    read_exactly(fd, reply + 5, (size_t)reply[4] + 2);
}

static void name(const char *sid, const char *from, const char *to, char out[static NAME_LEN + 1])
{
    char text[3 * JID_SIZE];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int n = snprintf(text, sizeof text, "%s%s%s", sid, from, to);

    EVP_Digest(text, (size_t)n, digest, &len, EVP_sha1(), NULL);
    for (unsigned i = 0; i < len; i++)
        snprintf(out + (size_t)2 * i, 3, "%02x", digest[i]);
}

static long take_answers(struct xmpp *x)
{
    char type[ATTRIBUTE_SIZE], id[ATTRIBUTE_SIZE];
    struct pollfd p = {.fd = x->fd, .events = POLLIN};
    const char *stanza;
    long n = 0;

    if (poll(&p, 1, 10000) == 0)
        quit("the proxy does not activate");
    xmpp_receive(x);
    while ((stanza = xmpp_next(x))) {
        if (strncmp(stanza, "<iq", 3) != 0 || !xmpp_attribute(stanza, "id", id) || id[0] != 'a')
            continue;
        if (!xmpp_attribute(stanza, "type", type) || strcmp(type, "result") != 0)
            quit("not activated: %s", stanza);
        n++;
    }
    return n;
}

int main(int argc, char **argv)
{
    static const char target[] = "bob@localhost/elsewhere";
    char sid[64], hash[NAME_LEN + 1], c;
    uint16_t proxy_port;
    long count, waiting = 0;
    struct xmpp x;

    if (argc != 8)
        quit("usage: proxy_streams HOST PORT PASSWORD FROM PROXY_JID PROXY_PORT COUNT");
    proxy_port = (uint16_t)number(argv[6], 1, UINT16_MAX);
    count = number(argv[7], 1, 9000);
    prepare_for_many();
    xmpp_login(&x, argv[1], (uint16_t)number(argv[2], 1, UINT16_MAX), argv[4], argv[3], false);
    for (long i = 0; i < count; i++) {
        snprintf(sid, sizeof sid, "hold%ld-%ld", (long)getpid(), i);
        name(sid, x.jid, target, hash);
        join(argv[1], proxy_port, hash); /* the target, and then the requester */
        join(argv[1], proxy_port, hash);
        xmpp_say(&x,
                 "<iq type='set' id='a%ld' to='%s'><query xmlns='http://jabber.org/protocol/bytestreams' sid='%s'>"
                 "<activate>%s</activate></query></iq>",
                 i, argv[5], sid, target);
        waiting++;
        while (!xmpp_flush(&x) || waiting == WINDOW || (i + 1 == count && waiting > 0))
            waiting -= take_answers(&x);
    }
    printf("{\"event\":\"ready\",\"open\":%ld}\n", count);
    fflush(stdout);
    while (read(STDIN_FILENO, &c, 1) > 0)
        ;
    return 0;
}
