/* tests/bench/recipient.c - a recipient for thousands of files at once: one XMPP session that accepts every stream
 * initiation (XEP-0095, XEP-0096) or bare bytestream (XEP-0065), and one thread that takes the bytes of all streams
 * and forgets them, so that what is measured is the sender.
 *
 *   recipient JID PASSWORD HOST PORT [--method si|s5b] [--proxy] [--check]
 *     --method  what is announced: stream initiation, or bytestreams alone
 *     --proxy   goes to a streamhost that is not the sender itself
 *     --check   reads the bytes and tells each stream's SHA-256, instead of dropping them in the kernel
 *
 * Lines on standard input; its end is ours:
 *   expect ROUND COUNT hold|flow [PID]   forgets what was; with hold nobody is read from until
 *   go
 * One JSON object a line on standard output: ready; open, when all of a round are held; done, with every stream's
 * size and its times in nanoseconds of CLOCK_MONOTONIC: offered, open, first byte, last byte; and the processor time
 * that PID used from go until the last stream ended, not a moment longer: what the sender tidies up then is not in. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <uthash.h>

#include "tests/bench/net.h"
#include "tests/bench/xmpp.h"

#define NS_BYTESTREAMS "http://jabber.org/protocol/bytestreams"
#define NS_SI          "http://jabber.org/protocol/si"

enum { BATCH = 256, TAKE = 1 << 20, NAME_LEN = 40 };

enum state { OFFERED, CONNECTING, GREETED, REQUESTED, HELD, FLOWING, FINISHED };

struct stream {
    UT_hash_handle hh; /* by sid */
    char sid[ATTRIBUTE_SIZE], name[ATTRIBUTE_SIZE], digest[2 * EVP_MAX_MD_SIZE + 1];
    char question[ATTRIBUTE_SIZE], from[ATTRIBUTE_SIZE],
        host_jid[ATTRIBUTE_SIZE]; /* to be answered once we are there */
    char hash[NAME_LEN + 1];      /* XEP-0065 section 5.3.2 */
    enum state state;
    int fd;
    int64_t size, got; /* size -1: nobody told */
    int64_t offered, open, first, last;
    unsigned char reply[262];
    size_t reply_len;
    EVP_MD_CTX *md;
    const char *failure;
};

static struct xmpp me;
static int epoll;
static bool only_si = true, by_proxy, check;
static struct stream *streams;
static struct {
    long number, count, opened, finished, failed, questions;
    long pid; /* 0: nobody's processor time is told */
    bool hold;
    int64_t go, cpu;
} turn;

/* ---- what is told */

static void tell_done(void)
{
    struct stream *s, *next;
    const char *comma = "";
    char name[2 * ATTRIBUTE_SIZE];

    printf("{\"event\":\"done\",\"round\":%ld,\"failed\":%ld,\"questions\":%ld,\"go\":%lld,\"cpu\":%lld,\"streams\":[",
           turn.number, turn.failed, turn.questions, (long long)turn.go, (long long)turn.cpu);
    HASH_ITER(hh, streams, s, next)
    {
        if (s->state != FINISHED)
            continue;
        printf("%s{\"name\":\"%s\",\"size\":%lld,\"offered\":%lld,\"open\":%lld,\"first\":%lld,\"last\":%lld", comma,
               xmpp_escape(s->name, name, sizeof name), (long long)s->got, (long long)s->offered, (long long)s->open,
               (long long)s->first, (long long)s->last);
        if (s->failure)
            printf(",\"failure\":\"%s\"", s->failure);
        if (check)
            printf(",\"sha256\":\"%s\"", s->digest);
        putchar('}');
        comma = ",";
    }
    puts("]}");
    fflush(stdout);
}

static void finish(struct stream *s, const char *failure)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    s->state = FINISHED;
    s->failure = failure;
    if (s->md) {
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned len = 0;

        EVP_DigestFinal_ex(s->md, digest, &len);
        EVP_MD_CTX_free(s->md);
        s->md = NULL;
        for (unsigned i = 0; i < len; i++)
            snprintf(s->digest + (size_t)2 * i, 3, "%02x", digest[i]);
    }
    turn.finished++;
    if (failure) {
        turn.failed++;
        fprintf(stderr, "%s (%s): %s\n", s->sid, s->name, failure);
    }
    if (turn.finished == turn.count) {
        turn.cpu = turn.pid ? cpu_ns_of(turn.pid) - turn.cpu : 0;
        tell_done();
    }
}

static void forget_all(void)
{
    struct stream *s, *next;

    HASH_ITER(hh, streams, s, next)
    {
        if (s->fd >= 0)
            close(s->fd);
        EVP_MD_CTX_free(s->md);
        HASH_DEL(streams, s);
        free(s);
    }
}

/* ---- the bytes */

static void watch(struct stream *s, int operation, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = s};

    if (epoll_ctl(epoll, operation, s->fd, &e) != 0)
        die("epoll");
}

static void flow(struct stream *s)
{
    s->state = FLOWING;
    watch(s, EPOLL_CTL_MOD, EPOLLIN);
}

static void take(struct stream *s)
{
    static unsigned char scratch[TAKE];
    ssize_t n = recv(s->fd, scratch, sizeof scratch, check ? 0 : MSG_TRUNC);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        s->last = now_ns();
        if (s->got == 0)
            s->first = s->last;
        s->got += n;
        if (s->md)
            EVP_DigestUpdate(s->md, scratch, (size_t)n);
        return;
    }
    finish(s, n < 0 ? strerror(errno) : s->size >= 0 && s->got != s->size ? "it ended early" : NULL);
}

/* ---- SOCKS5, our part (RFC 1928) */

static void send_bytes(struct stream *s, const void *data, size_t len)
{
    if (send(s->fd, data, len, MSG_NOSIGNAL) != (ssize_t)len)
        finish(s, "cannot write to a socket that has just opened");
}

static void request(struct stream *s)
{
    unsigned char text[5 + NAME_LEN + 2] = {5, 1, 0, 3, NAME_LEN};

    memcpy(text + 5, s->hash, NAME_LEN);
    s->reply_len = 0;
    s->state = REQUESTED;
    send_bytes(s, text, sizeof text);
}

static void opened(struct stream *s)
{
    s->open = now_ns();
    xmpp_say(&me,
             "<iq type='result' id='%s' to='%s'><query xmlns='" NS_BYTESTREAMS "' sid='%s'><streamhost-used jid='%s'/>"
             "</query></iq>",
             s->question, s->from, s->sid, s->host_jid);
    if (!turn.hold) {
        flow(s);
    } else {
        s->state = HELD;
        watch(s, EPOLL_CTL_MOD, 0);
    }
    if (++turn.opened == turn.count && turn.hold) {
        printf("{\"event\":\"open\",\"round\":%ld}\n", turn.number);
        fflush(stdout);
    }
}

/* As many bytes of the reply as are missing, not one more: behind them begins the file. */
static void read_reply(struct stream *s)
{
    size_t wanted = s->state == GREETED ? 2 : s->reply_len < 5 ? 5 : (size_t)5 + s->reply[4] + 2;
    ssize_t n = recv(s->fd, s->reply + s->reply_len, wanted - s->reply_len, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        finish(s, "closed in the handshake");
        return;
    }
    s->reply_len += (size_t)n;
    if (s->reply_len < wanted)
        return;
    if (s->reply[1] != 0)
        finish(s, "refused");
    else if (s->state == GREETED)
        request(s);
    else if (s->reply[3] != 3)
        finish(s, "a reply without the name");
    else if (s->reply_len == (size_t)5 + s->reply[4] + 2)
        opened(s);
}

static void connected(struct stream *s)
{
    int failed = 0;
    socklen_t len = sizeof failed;

    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &failed, &len);
    if (failed) {
        finish(s, strerror(failed));
        return;
    }
    s->state = GREETED;
    watch(s, EPOLL_CTL_MOD, EPOLLIN);
    send_bytes(s, (const unsigned char[]){5, 1, 0}, 3);
}

static void ready(struct stream *s)
{
    switch (s->state) {
    case CONNECTING:
        connected(s);
        break;
    case GREETED:
    case REQUESTED:
        read_reply(s);
        break;
    case HELD:
        finish(s, "broke while it was held");
        break;
    case FLOWING:
        take(s);
        break;
    case OFFERED:
    case FINISHED:
        break;
    }
}

/* ---- stanzas */

static struct stream *stream_of(const char *sid)
{
    struct stream *s = NULL;

    HASH_FIND_STR(streams, sid, s);
    if (s)
        return s;
    s = calloc(1, sizeof *s);
    if (!s)
        die("memory");
    snprintf(s->sid, sizeof s->sid, "%s", sid);
    s->fd = -1;
    s->size = -1;
    s->offered = now_ns();
    HASH_ADD_STR(streams, sid, s);
    return s;
}

static void accept_offer(const char *si, const char *id, const char *from)
{
    char sid[ATTRIBUTE_SIZE], size[ATTRIBUTE_SIZE];
    const char *file = strstr(si, "<file");
    struct stream *s;

    if (!file || !xmpp_attribute(si, "id", sid))
        quit("an offer without id or file: %s", si);
    s = stream_of(sid);
    xmpp_attribute(file, "name", s->name);
    if (xmpp_attribute(file, "size", size))
        s->size = strtoll(size, NULL, 10);
    xmpp_say(&me,
             "<iq type='result' id='%s' to='%s'><si xmlns='" NS_SI
             "'><feature xmlns='http://jabber.org/protocol/feature-neg'><x xmlns='jabber:x:data' type='submit'>"
             "<field var='stream-method'><value>" NS_BYTESTREAMS "</value></field></x></feature></si></iq>",
             id, from);
}

static void make_hash(struct stream *s, const char *from)
{
    char text[3 * ATTRIBUTE_SIZE];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int n = snprintf(text, sizeof text, "%s%s%s", s->sid, from, me.jid);

    EVP_Digest(text, (size_t)n, digest, &len, EVP_sha1(), NULL);
    for (unsigned i = 0; i < len; i++)
        snprintf(s->hash + (size_t)2 * i, 3, "%02x", digest[i]);
}

/* The sender itself is a streamhost with its own address as jid. */
static const char *choose_host(const char *query, const char *from, struct stream *s)
{
    for (const char *host = query; (host = strstr(host, "<streamhost ")); host++)
        if (xmpp_attribute(host, "jid", s->host_jid) && (strcmp(s->host_jid, from) != 0) == by_proxy)
            return host;
    return NULL;
}

static void go_to(const char *query, const char *id, const char *from)
{
    char sid[ATTRIBUTE_SIZE], host[ATTRIBUTE_SIZE], port[ATTRIBUTE_SIZE], escaped[ATTRIBUTE_SIZE];
    const char *chosen;
    struct stream *s;

    if (!xmpp_attribute(query, "sid", sid))
        quit("streamhosts without sid: %s", query);
    s = stream_of(sid);
    chosen = choose_host(query, from, s);
    if (!chosen || !xmpp_attribute(chosen, "host", host) || !xmpp_attribute(chosen, "port", port))
        quit("no streamhost that fits: %s", query);
    snprintf(s->question, sizeof s->question, "%s", id);
    snprintf(s->from, sizeof s->from, "%s", xmpp_escape(from, escaped, sizeof escaped));
    make_hash(s, from);
    if (check && (!(s->md = EVP_MD_CTX_new()) || EVP_DigestInit_ex(s->md, EVP_sha256(), NULL) != 1))
        die("digest");
    s->fd = tcp_begin(host, (uint16_t)number(port, 1, UINT16_MAX));
    if (s->fd < 0)
        die("socket");
    s->state = CONNECTING;
    watch(s, EPOLL_CTL_ADD, EPOLLOUT);
}

static void tell_features(const char *query, const char *id, const char *from)
{
    char node[ATTRIBUTE_SIZE] = "", part[ATTRIBUTE_SIZE + 16] = "";

    if (xmpp_attribute(query, "node", node))
        snprintf(part, sizeof part, " node='%s'", node);
    xmpp_say(&me,
             "<iq type='result' id='%s' to='%s'><query xmlns='http://jabber.org/protocol/disco#info'%s>"
             "<identity category='client' type='pc'/><feature var='http://jabber.org/protocol/disco#info'/>"
             "<feature var='" NS_BYTESTREAMS "'/>%s</query></iq>",
             id, from, part,
             only_si ? "<feature var='" NS_SI "'/><feature var='" NS_SI "/profile/file-transfer'/>" : "");
}

static void answer(const char *stanza)
{
    char type[ATTRIBUTE_SIZE], id[ATTRIBUTE_SIZE], from[ATTRIBUTE_SIZE] = "", to[ATTRIBUTE_SIZE];
    const char *at;

    if (strncmp(stanza, "<iq", 3) != 0 || !xmpp_attribute(stanza, "type", type) || !xmpp_attribute(stanza, "id", id))
        return;
    if (strcmp(type, "get") != 0 && strcmp(type, "set") != 0)
        return;
    xmpp_attribute(stanza, "from", from);
    xmpp_escape(from, to, sizeof to);
    if ((at = strstr(stanza, "<si "))) {
        turn.questions++;
        accept_offer(at, id, to);
    } else if ((at = strstr(stanza, "<query")) && strstr(at, NS_BYTESTREAMS)) {
        turn.questions++;
        go_to(at, id, from);
    } else if (at && strstr(at, "disco#info")) {
        tell_features(at, id, to);
    } else if (strstr(stanza, "urn:xmpp:ping")) {
        xmpp_say(&me, "<iq type='result' id='%s' to='%s'/>", id, to);
    } else {
        xmpp_say(&me,
                 "<iq type='error' id='%s' to='%s'><error type='cancel'><service-unavailable "
                 "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
                 id, to);
    }
}

/* ---- commands */

static void obey(char *line)
{
    char hold[8] = "";
    struct stream *s, *next;

    turn.pid = strncmp(line, "expect", 6) == 0 ? 0 : turn.pid;
    if (sscanf(line, "expect %ld %ld %7s %ld", &turn.number, &turn.count, hold, &turn.pid) >= 3) {
        forget_all();
        turn.opened = turn.finished = turn.failed = turn.questions = 0;
        turn.go = 0;
        turn.cpu = turn.pid ? cpu_ns_of(turn.pid) : 0;
        turn.hold = strcmp(hold, "hold") == 0;
    } else if (strcmp(line, "go") == 0) {
        turn.hold = false;
        turn.go = now_ns();
        turn.cpu = turn.pid ? cpu_ns_of(turn.pid) : 0;
        HASH_ITER(hh, streams, s, next)
        if (s->state == HELD)
            flow(s);
    } else {
        quit("no such command: %s", line);
    }
}

static bool read_commands(void)
{
    static char text[1024];
    static size_t len;
    ssize_t n = read(STDIN_FILENO, text + len, sizeof text - 1 - len);
    char *end;

    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    len += (size_t)n;
    text[len] = '\0';
    while ((end = strchr(text, '\n'))) {
        *end = '\0';
        obey(text);
        len -= (size_t)(end + 1 - text);
        memmove(text, end + 1, len + 1);
    }
    return true;
}

static void read_arguments(int argc, char **argv)
{
    for (int i = 5; i < argc; i++) {
        if (strcmp(argv[i], "--method") == 0 && i + 1 < argc)
            only_si = strcmp(argv[++i], "s5b") != 0;
        else if (strcmp(argv[i], "--proxy") == 0)
            by_proxy = true;
        else if (strcmp(argv[i], "--check") == 0)
            check = true;
        else
            quit("unknown: %s", argv[i]);
    }
}

int main(int argc, char **argv)
{
    struct stream commands = {.fd = STDIN_FILENO}, session;
    struct epoll_event events[BATCH];
    bool stuck = false; /* the server does not take what we say */

    if (argc < 5)
        quit("usage: recipient JID PASSWORD HOST PORT [--method si|s5b] [--proxy] [--check]");
    read_arguments(argc, argv);
    prepare_for_many();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    xmpp_login(&me, argv[3], (uint16_t)number(argv[4], 1, UINT16_MAX), argv[1], argv[2], true);
    session = (struct stream){.fd = me.fd};
    watch(&commands, EPOLL_CTL_ADD, EPOLLIN);
    watch(&session, EPOLL_CTL_ADD, EPOLLIN);
    printf("{\"event\":\"ready\",\"jid\":\"%s\"}\n", me.jid);
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(epoll, events, BATCH, -1);
        const char *stanza;

        for (int i = 0; i < n; i++) {
            struct stream *s = events[i].data.ptr;

            if (s == &commands) {
                if (!read_commands())
                    return 0;
                break; /* it may have freed the others; they come again */
            }
            if (s == &session) {
                xmpp_receive(&me);
                while ((stanza = xmpp_next(&me)))
                    answer(stanza);
            } else {
                ready(s);
            }
        }
        if (xmpp_flush(&me) == stuck) {
            stuck = !stuck;
            watch(&session, EPOLL_CTL_MOD, stuck ? EPOLLIN | EPOLLOUT : EPOLLIN);
        }
    }
}
