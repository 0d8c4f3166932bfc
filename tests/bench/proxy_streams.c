/* tests/bench/proxy_streams.c - many streams open through a SOCKS5 proxy (XEP-0065 section 6), to see what each costs
 * its memory, and how fast it is.
 *
 *   proxy_streams HOST PORT PASSWORD FROM PROXY_JID PROXY_PORT COUNT [PID]
 *
 * Both ends of each are here. Prints {"open": COUNT} when all are activated, and holds them until standard input ends.
 * For each line "BYTES" of it, so many go through each at once: prints {"bytes", "lost", "wall_ns", "cpu_ns"}, the last
 * of the process PID. A star in FROM stands for the numbers of 40 users, of whom each has 25 streams at most: a proxy
 * may limit what one asks. With PORT 0 the proxy is one that joins every two connections, without a word on either. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "tests/bench/flood.h"
#include "tests/bench/net.h"
#include "tests/bench/xmpp.h"

enum { NAME_LEN = 40, WINDOW = 32, OF_ONE = 25, USERS = 40 };

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

/* RFC 1928, as XEP-0065 uses it. */
static int join(const char *host, uint16_t port, const char *hash)
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
    return fd;
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

/* The streams from first to last of one requester. */
static void open_of_one(struct way *ways, long first, long last, const char *from, char **argv)
{
    static const char target[] = "bob@localhost/elsewhere";
    uint16_t proxy_port = (uint16_t)number(argv[6], 1, UINT16_MAX);
    char sid[64], hash[NAME_LEN + 1];
    long waiting = 0;
    struct xmpp x;

    xmpp_login(&x, argv[1], (uint16_t)number(argv[2], 1, UINT16_MAX), from, argv[3], false);
    for (long i = first; i < last; i++) {
        snprintf(sid, sizeof sid, "hold%ld-%ld", (long)getpid(), i);
        name(sid, x.jid, target, hash);
        ways[i].out = join(argv[1], proxy_port, hash); /* the target, and then the requester */
        ways[i].in = join(argv[1], proxy_port, hash);
        xmpp_say(&x,
                 "<iq type='set' id='a%ld' to='%s'><query xmlns='http://jabber.org/protocol/bytestreams' sid='%s'>"
                 "<activate>%s</activate></query></iq>",
                 i, argv[5], sid, target);
        waiting++;
        while (!xmpp_flush(&x) || waiting == WINDOW || (i + 1 == last && waiting > 0))
            waiting -= take_answers(&x);
    }
}

static void open_by_word(struct way *ways, long count, char **argv)
{
    char *star = strchr(argv[4], '*'), from[JID_SIZE];
    long at_once = star ? OF_ONE : count;

    for (long i = 0; i < count; i += at_once) {
        long last = i + at_once < count ? i + at_once : count;

        if (star)
            snprintf(from, sizeof from, "%.*s%ld%s", (int)(star - argv[4]), argv[4], (getpid() + i / OF_ONE) % USERS,
                     star + 1);
        else
            snprintf(from, sizeof from, "%s", argv[4]);
        open_of_one(ways, i, last, from, argv);
    }
}

static void open_bare(struct way *ways, long count, const char *host, uint16_t port)
{
    for (long i = 0; i < count; i++) {
        ways[i].out = tcp_connect(host, port);
        ways[i].in = tcp_connect(host, port);
    }
}

static void measure(const struct way *ways, long count, long bytes, long pid)
{
    uint64_t lost;
    int64_t cpu = cpu_ns_of(pid), wall = flood(ways, (size_t)count, (uint64_t)bytes, &lost);

    printf("{\"bytes\":%ld,\"lost\":%llu,\"wall_ns\":%lld,\"cpu_ns\":%lld}\n", bytes * count, (unsigned long long)lost,
           (long long)wall, (long long)(cpu_ns_of(pid) - cpu));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct way *ways;
    char line[64];
    long count, pid;

    if (argc != 8 && argc != 9)
        quit("usage: proxy_streams HOST PORT PASSWORD FROM PROXY_JID PROXY_PORT COUNT [PID]");
    count = number(argv[7], 1, 9000);
    pid = argc == 9 ? number(argv[8], 1, INT32_MAX) : getpid();
    ways = calloc((size_t)count, sizeof *ways);
    if (!ways)
        die("calloc");
    prepare_for_many();
    if (number(argv[2], 0, UINT16_MAX) == 0)
        open_bare(ways, count, argv[1], (uint16_t)number(argv[6], 1, UINT16_MAX));
    else
        open_by_word(ways, count, argv);
    printf("{\"event\":\"ready\",\"open\":%ld}\n", count);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        measure(ways, count, number(line, 1, INT64_MAX), pid);
    }
    free(ways);
    return 0;
}
