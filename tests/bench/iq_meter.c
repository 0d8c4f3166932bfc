/* tests/bench/iq_meter.c - what a server can do at best: round trips of the smallest question (XEP-0199) from one of
 * its clients to another and back, and how long it takes to let a client in.
 *
 *   iq_meter HOST PORT PASSWORD FROM TO WINDOW SECONDS   WINDOW questions on their way all the time
 *   iq_meter HOST PORT PASSWORD FROM --logins COUNT      one after the other, each until its presence came back
 *
 * Prints one JSON object; times in microseconds. */
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/net.h"
#include "tests/bench/xmpp.h"

enum { TIMES = 1 << 20 };

static int64_t times[TIMES];
static size_t measured;

static void keep(int64_t ns)
{
    if (measured < TIMES)
        times[measured++] = ns;
}

static void tell(double per_second)
{
    sort_times(times, measured);
    printf("{\"count\":%zu,\"per_s\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n", measured, per_second,
           (double)percentile(times, measured, 0.5) / 1e3, (double)percentile(times, measured, 0.99) / 1e3);
}

/* ---- logins */

static void measure_logins(const char *host, uint16_t port, const char *password, const char *jid, long count)
{
    while (count-- > 0) {
        struct xmpp x;
        int64_t began = now_ns();

        xmpp_login(&x, host, port, jid, password, true);
        keep(now_ns() - began);
        write_all(x.fd, "</stream:stream>", 16);
        close(x.fd);
        free(x.in.data);
        free(x.in.stanza);
        free(x.out.data);
    }
    tell(0);
}

/* ---- questions */

static void answer_all(struct xmpp *x)
{
    char type[ATTRIBUTE_SIZE], id[ATTRIBUTE_SIZE], from[ATTRIBUTE_SIZE];
    const char *stanza;

    while ((stanza = xmpp_next(x)))
        if (strncmp(stanza, "<iq", 3) == 0 && xmpp_attribute(stanza, "type", type) && strcmp(type, "get") == 0 &&
            xmpp_attribute(stanza, "id", id) && xmpp_attribute(stanza, "from", from))
            xmpp_say(x, "<iq type='result' id='%s' to='%s'/>", id, from);
}

/* The id of a question is when it was asked. */
static void ask(struct xmpp *x, const char *to)
{
    xmpp_say(x, "<iq type='get' id='p%lld' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>", (long long)now_ns(), to);
}

static long take_answers(struct xmpp *x)
{
    char type[ATTRIBUTE_SIZE], id[ATTRIBUTE_SIZE];
    const char *stanza;
    long n = 0;

    while ((stanza = xmpp_next(x))) {
        if (strncmp(stanza, "<iq", 3) != 0 || !xmpp_attribute(stanza, "id", id) || id[0] != 'p')
            continue;
        if (!xmpp_attribute(stanza, "type", type) || strcmp(type, "result") != 0)
            quit("a ping was refused: %s", stanza);
        keep(now_ns() - strtoll(id + 1, NULL, 10));
        n++;
    }
    return n;
}

static void measure_questions(struct xmpp *asks, struct xmpp *answers, long window, int64_t until)
{
    long waiting = 0;
    int64_t now;

    while ((now = now_ns()) < until || waiting > 0) {
        struct pollfd p[2] = {{.fd = asks->fd, .events = POLLIN}, {.fd = answers->fd, .events = POLLIN}};

        for (; now < until && waiting < window; waiting++)
            ask(asks, answers->jid);
        if (!xmpp_flush(asks))
            p[0].events |= POLLOUT;
        if (!xmpp_flush(answers))
            p[1].events |= POLLOUT;
        if (poll(p, 2, 10000) == 0)
            quit("the server does not answer: %ld questions wait", waiting);
        if (p[1].revents & POLLIN) {
            xmpp_receive(answers);
            answer_all(answers);
        }
        if (p[0].revents & POLLIN) {
            xmpp_receive(asks);
            waiting -= take_answers(asks);
        }
    }
}

int main(int argc, char **argv)
{
    struct xmpp asks, answers;
    uint16_t port;
    int64_t began;
    long window, seconds;

    if (argc < 7)
        quit("usage: iq_meter HOST PORT PASSWORD FROM TO WINDOW SECONDS | ... FROM --logins COUNT");
    port = (uint16_t)number(argv[2], 1, UINT16_MAX);
    if (strcmp(argv[5], "--logins") == 0) {
        measure_logins(argv[1], port, argv[3], argv[4], number(argv[6], 1, 10000));
        return 0;
    }
    if (argc != 8)
        quit("WINDOW and SECONDS");
    window = number(argv[6], 1, 100000);
    seconds = number(argv[7], 1, 3600);
    xmpp_login(&answers, argv[1], port, argv[5], argv[3], true);
    xmpp_login(&asks, argv[1], port, argv[4], argv[3], true);
    began = now_ns();
    measure_questions(&asks, &answers, window, began + seconds * 1000000000);
    tell((double)measured * 1e9 / (double)(now_ns() - began));
    return 0;
}
