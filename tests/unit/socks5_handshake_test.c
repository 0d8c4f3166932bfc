/* socks5/handshake: what each side says to what it hears, wherever TCP cuts it, one message at a time. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "socks5/handshake.h"

#define NAME  "3457684be69fb9990232e6a8b1f55e80c3262c1b"
#define UPPER "3457684BE69FB9990232E6A8B1F55E80C3262C1B"
#define HELLO "\x05\x01\x00"
#define ASK   "\x05\x01\x00\x03\x28"
#define SAYS  "\x00\x03\x28" NAME

enum { HELLO_LEN = 3, ASK_LEN = 47 };

struct talk {
    struct handshake h;
    enum handshake_verdict verdict;
    uint8_t out[4 * SOCKS5_MESSAGE]; /* everything written */
    size_t out_len;
    size_t writes;
    size_t taken; /* bytes of the input that were read */
};

static void write_out(struct talk *t)
{
    if (t->h.out_len == 0)
        return;
    memcpy(t->out + t->out_len, t->h.out, t->h.out_len);
    t->out_len += t->h.out_len;
    t->h.out_len = 0;
    t->writes++;
}

/* Plays one segment; a request for NAME, in either case, is answered with OK and any other with NOT_ALLOWED. */
static void hear(struct talk *t, const char *segment, size_t len)
{
    struct bytes in = {.at = (const uint8_t *)segment, .left = len};

    while (in.left > 0 && t->verdict == HANDSHAKE_MORE) {
        size_t before = in.left;

        t->verdict = handshake_feed(&t->h, &in);
        t->taken += before - in.left;
        if (t->verdict == HANDSHAKE_ASKED) {
            bool known = t->h.request.host_len == 40 && strncasecmp((char *)t->h.request.host, NAME, 40) == 0;

            t->verdict = handshake_answer(&t->h, known ? SOCKS5_REP_OK : SOCKS5_REP_NOT_ALLOWED);
        }
        write_out(t);
    }
}

static struct talk server(void)
{
    struct talk t = {.verdict = HANDSHAKE_MORE};

    handshake_server(&t.h);
    return t;
}

static struct talk client(void)
{
    struct talk t = {.verdict = HANDSHAKE_MORE};

    handshake_client(&t.h, NAME);
    write_out(&t);
    return t;
}

struct row {
    const char *says;
    const char *in;
    size_t len;
    enum handshake_verdict verdict;
    const char *out;
    size_t out_len;
    size_t takes;
};

static void check(const struct row *r, const struct talk *t, const char *how, size_t cut)
{
    if (t->verdict != r->verdict)
        fail_msg("%s (%s %zu): verdict %d", r->says, how, cut, t->verdict);
    if (t->out_len != r->out_len || memcmp(t->out, r->out, r->out_len) != 0)
        fail_msg("%s (%s %zu): other bytes written, %zu of them", r->says, how, cut, t->out_len);
    if (t->taken != r->takes)
        fail_msg("%s (%s %zu): took %zu bytes", r->says, how, cut, t->taken);
    if ((r->verdict == HANDSHAKE_FAILED) != (t->h.error.code != ERR_NONE) && r->verdict != HANDSHAKE_REFUSED)
        fail_msg("%s: no reason given, or one too many", r->says);
}

/* In one segment, in two at every cut, and byte by byte: the same bytes out, the same bytes taken. */
static void check_rows(struct talk (*start)(void), const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct row *r = &rows[i];
        struct talk t;

        for (size_t cut = 0; cut <= r->len; cut++) {
            t = start();
            hear(&t, r->in, cut);
            hear(&t, r->in + cut, r->len - cut);
            check(r, &t, "cut after", cut);
        }
        t = start();
        for (size_t at = 0; at < r->len; at++)
            hear(&t, r->in + at, 1);
        check(r, &t, "bytes", 1);
    }
}

static void server_answers_as_it_must(void **state)
{
    static const struct row rows[] = {
        {"greeting and request", HELLO ASK NAME "\x00\x00", 50, HANDSHAKE_OPEN, "\x05\x00\x05\x00" SAYS "\x00\x00", 49,
         50},
        {"bytes of the stream right behind", HELLO ASK NAME "\x00\x00stream", 56, HANDSHAKE_OPEN,
         "\x05\x00\x05\x00" SAYS "\x00\x00", 49, 50},
        {"three methods", "\x05\x03\x02\x01\x00" ASK NAME "\x00\x00", 52, HANDSHAKE_OPEN,
         "\x05\x00\x05\x00" SAYS "\x00\x00", 49, 52},
        {"password only", "\x05\x01\x02", 3, HANDSHAKE_REFUSED, "\x05\xff", 2, 3},
        {"capitals are echoed", HELLO ASK UPPER "\x00\x00", 50, HANDSHAKE_OPEN,
         "\x05\x00\x05\x00\x00\x03\x28" UPPER "\x00\x00", 49, 50},
        {"a port is echoed", HELLO ASK NAME "\x12\x34", 50, HANDSHAKE_OPEN, "\x05\x00\x05\x00" SAYS "\x12\x34", 49, 50},
        {"an unknown name", HELLO ASK "ffffffffffffffffffffffffffffffffffffffff\x00\x00", 50, HANDSHAKE_REFUSED,
         "\x05\x00\x05\x02\x00\x03\x28"
         "ffffffffffffffffffffffffffffffffffffffff\x00\x00",
         49, 50},
        {"a short name",
         HELLO "\x05\x01\x00\x03\x03"
               "abc\x00\x00",
         13, HANDSHAKE_REFUSED,
         "\x05\x00\x05\x02\x00\x03\x03"
         "abc\x00\x00",
         12, 13},
        {"an empty name", HELLO "\x05\x01\x00\x03\x00\x00\x00", 10, HANDSHAKE_REFUSED,
         "\x05\x00\x05\x02\x00\x03\x00\x00\x00", 9, 10},
        {"an IPv4 address", HELLO "\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50", 13, HANDSHAKE_REFUSED,
         "\x05\x00\x05\x08\x00\x01\x00\x00\x00\x00\x00\x00", 12, 13},
        {"an IPv6 address",
         HELLO "\x05\x01\x00\x04"
               "0123456789abcdef"
               "\x00\x50",
         25, HANDSHAKE_REFUSED, "\x05\x00\x05\x08\x00\x01\x00\x00\x00\x00\x00\x00", 12, 25},
        {"an address type nobody knows", HELLO "\x05\x01\x00\x09", 7, HANDSHAKE_REFUSED,
         "\x05\x00\x05\x08\x00\x01\x00\x00\x00\x00\x00\x00", 12, 7},
        {"UDP ASSOCIATE", HELLO "\x05\x03\x00\x03\x28" NAME "\x00\x00", 50, HANDSHAKE_REFUSED,
         "\x05\x00\x05\x07" SAYS "\x00\x00", 49, 50},
        {"BIND to an address", HELLO "\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", 13, HANDSHAKE_REFUSED,
         "\x05\x00\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00", 12, 13},
        {"a reserved byte that is not 0", HELLO "\x05\x01\x01\x03\x28" NAME "\x00\x00", 50, HANDSHAKE_REFUSED,
         "\x05\x00\x05\x01" SAYS "\x00\x00", 49, 50},
        {"half a greeting", "\x05\x02\x00", 3, HANDSHAKE_MORE, "", 0, 3},
        {"half a request", HELLO ASK "3457", 12, HANDSHAKE_MORE, "\x05\x00", 2, 12},
    };

    (void)state;
    check_rows(server, rows, sizeof(rows) / sizeof(rows[0]));
}

static void server_says_nothing_to_other_protocols(void **state)
{
    static const struct {
        const char *says;
        const char *in;
        size_t len;
        size_t out_len;
    } rows[] = {
        {"SOCKS 4", "\x04\x01\x00\x50", 4, 0},
        {"HTTP", "GET / HTTP/1.0\r\n\r\n", 18, 0},
        {"POST", "POST", 4, 0},
        {"TLS", "\x16\x03\x01\x02\x00", 5, 0},
        {"no methods", "\x05\x00", 2, 0},
        {"a greeting, then something else", HELLO "\x04\x01\x00\x03", 7, 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct talk t = server();

        for (size_t at = 0; at < rows[i].len; at++)
            hear(&t, rows[i].in + at, 1);
        if (t.verdict != HANDSHAKE_FAILED || t.out_len != rows[i].out_len)
            fail_msg("%s: verdict %d, %zu bytes", rows[i].says, t.verdict, t.out_len);
    }
}

static void server_writes_one_message_at_a_time(void **state)
{
    struct talk t = server();

    (void)state;
    hear(&t, HELLO ASK NAME "\x00\x00", 50);
    assert_int_equal(t.writes, 2);
}

static void server_wants_no_byte_of_the_stream(void **state)
{
    static const char in[] = HELLO ASK NAME "\x00\x00";
    struct talk t = server();
    size_t at = 0;

    (void)state;
    while (t.verdict == HANDSHAKE_MORE) {
        size_t wants = handshake_wants(&t.h);

        assert_in_range(wants, 1, 50 - at);
        hear(&t, in + at, wants);
        at += wants;
    }
    assert_int_equal(at, 50);
    assert_int_equal(handshake_wants(&t.h), 0);
}

static void client_asks_with_port_0_one_message_a_write(void **state)
{
    struct talk t = client();

    (void)state;
    assert_int_equal(t.out_len, HELLO_LEN);
    assert_memory_equal(t.out, HELLO, HELLO_LEN);
    hear(&t, "\x05\x00", 2);
    assert_int_equal(t.writes, 2);
    assert_int_equal(t.out_len, HELLO_LEN + ASK_LEN);
    assert_memory_equal(t.out + HELLO_LEN, ASK NAME "\x00\x00", ASK_LEN);
    assert_int_equal(t.verdict, HANDSHAKE_MORE);
}

#define SENT HELLO ASK NAME "\x00\x00"
#define YES  "\x05\x00"

static void client_takes_any_yes_and_no_byte_behind_it(void **state)
{
    static const struct row rows[] = {
        {"an echo", YES "\x05\x00" SAYS "\x00\x00", 49, HANDSHAKE_OPEN, SENT, 50, 49},
        {"an echo, then the file",
         YES "\x05\x00" SAYS "\x00\x00"
             "file",
         53, HANDSHAKE_OPEN, SENT, 50, 49},
        {"its own address as text",
         YES "\x05\x00\x00\x03\x08"
             "10.0.0.5"
             "\x00\x00",
         17, HANDSHAKE_OPEN, SENT, 50, 17},
        {"an IPv4 address, then the file",
         YES "\x05\x00\x00\x01\x0a\x00\x00\x05\x1f\x90"
             "file",
         16, HANDSHAKE_OPEN, SENT, 50, 12},
        {"an IPv6 address, then the file",
         YES "\x05\x00\x00\x04"
             "0123456789abcdef"
             "\x1f\x90"
             "file",
         28, HANDSHAKE_OPEN, SENT, 50, 24},
        {"an empty name", YES "\x05\x00\x00\x03\x00\x00\x00", 9, HANDSHAKE_OPEN, SENT, 50, 9},
        {"another port", YES "\x05\x00" SAYS "\x1f\x90", 49, HANDSHAKE_OPEN, SENT, 50, 49},
        {"a reserved byte that is not 0", YES "\x05\x00\x01\x03\x00\x00\x00", 9, HANDSHAKE_OPEN, SENT, 50, 9},
    };

    (void)state;
    check_rows(client, rows, sizeof(rows) / sizeof(rows[0]));
}

static void client_gives_up_on_any_no(void **state)
{
    static const struct {
        const char *says;
        const char *in;
        size_t len;
    } rows[] = {
        {"a password is wanted", "\x05\x02", 2},
        {"no method will do", "\x05\xff", 2},
        {"SOCKS 4", "\x00\x5a", 2},
        {"two bytes of refusal", YES "\x05\x01", 4},
        {"a whole refusal", YES "\x05\x02" SAYS "\x00\x00", 49},
        {"a refusal without an address", YES "\x05\x01\x00\x03\x00\x00\x00", 9},
        {"the request sent back", YES ASK NAME "\x00\x00", 49},
        {"another version", YES "\x04\x00", 4},
        {"an address type nobody knows", YES "\x05\x00\x00\x05\x00", 7},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t cut = 0; cut <= rows[i].len; cut++) {
            struct talk t = client();

            hear(&t, rows[i].in, cut);
            hear(&t, rows[i].in + cut, rows[i].len - cut);
            if (t.verdict != HANDSHAKE_FAILED || t.h.error.code != ERR_PEER_PROTOCOL_ERROR)
                fail_msg("%s (cut after %zu): verdict %d", rows[i].says, cut, t.verdict);
        }
    }
}

static void client_waits_while_the_reply_is_short(void **state)
{
    static const char reply[] = YES "\x05\x00" SAYS "\x00\x00";

    (void)state;
    for (size_t len = 0; len < 49; len++) {
        struct talk t = client();

        hear(&t, reply, len);
        assert_int_equal(t.verdict, HANDSHAKE_MORE);
        assert_in_range(handshake_wants(&t.h), 1, 49 - len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(server_answers_as_it_must),
        cmocka_unit_test(server_says_nothing_to_other_protocols),
        cmocka_unit_test(server_writes_one_message_at_a_time),
        cmocka_unit_test(server_wants_no_byte_of_the_stream),
        cmocka_unit_test(client_asks_with_port_0_one_message_a_write),
        cmocka_unit_test(client_takes_any_yes_and_no_byte_behind_it),
        cmocka_unit_test(client_gives_up_on_any_no),
        cmocka_unit_test(client_waits_while_the_reply_is_short),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
