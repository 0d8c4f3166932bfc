/* socks5/wire: RFC 1928 messages mean the same wherever TCP cuts them, and come out byte for byte. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "socks5/wire.h"

/* The name of XEP-0065's walk-through: SHA-1 of "vxf9n471bn46" "initiator@example.com/foo" "target@example.org/bar". */
#define SEED_NAME "3457684be69fb9990232e6a8b1f55e80c3262c1b"
#define SEED_REQUEST                                                                                                   \
    "\x05\x01\x00\x03\x28"                                                                                             \
    "\x33\x34\x35\x37\x36\x38\x34\x62\x65\x36\x39\x66\x62\x39\x39\x39\x30\x32\x33\x32"                                 \
    "\x65\x36\x61\x38\x62\x31\x66\x35\x35\x65\x38\x30\x63\x33\x32\x36\x32\x63\x31\x62\x00\x00"
#define SEED_REPLY "\x05\x00\x00\x03\x28" SEED_NAME "\x00\x00"

enum { REQUEST = 47 };

struct row {
    const char *says;
    const char *in;
    size_t len;
    enum wire want;
    size_t takes; /* of WIRE_OK: bytes off the front */
};

typedef enum wire read_fn(struct bytes *in);

static enum wire read_greeting(struct bytes *in)
{
    struct socks5_greeting greeting;

    return socks5_read_greeting(in, &greeting);
}

static enum wire read_choice(struct bytes *in)
{
    uint8_t method;

    return socks5_read_choice(in, &method);
}

static enum wire read_request(struct bytes *in)
{
    struct socks5_request request;

    return socks5_read_request(in, &request);
}

/* Reads the first len bytes from memory of exactly that size, so that one byte too many is seen. */
static enum wire read_front(read_fn *reader, const char *in, size_t len, size_t *taken)
{
    uint8_t *exact = malloc(len ? len : 1);
    struct bytes window = {.at = exact, .left = len};
    enum wire got;

    assert_non_null(exact);
    memcpy(exact, in, len);
    got = reader(&window);
    *taken = len - window.left;
    assert_ptr_equal(window.at, exact + *taken);
    free(exact);
    return got;
}

/* The verdict at the end, and before it: nothing but "more", and never a byte taken. */
static void check_at_every_split(read_fn *reader, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct row *r = &rows[i];
        size_t taken;

        if (read_front(reader, r->in, r->len, &taken) != r->want)
            fail_msg("%s: another verdict", r->says);
        if (taken != (r->want == WIRE_OK ? r->takes : 0))
            fail_msg("%s: took %zu bytes", r->says, taken);
        for (size_t cut = 0; cut < (r->want == WIRE_OK ? r->takes : r->len); cut++) {
            enum wire got = read_front(reader, r->in, cut, &taken);

            if (taken != 0 || (got != WIRE_MORE && !(r->want == WIRE_BAD && got == WIRE_BAD)))
                fail_msg("%s: cut after %zu bytes", r->says, cut);
        }
    }
}

static void greeting_is_read_at_every_split(void **state)
{
    static const struct row rows[] = {
        {"no password", "\x05\x01\x00", 3, WIRE_OK, 3},
        {"two methods", "\x05\x02\x00\x02", 4, WIRE_OK, 4},
        {"three methods", "\x05\x03\x02\x01\x00", 5, WIRE_OK, 5},
        {"a request behind it", "\x05\x01\x00\x05\x01", 5, WIRE_OK, 3},
        {"a method missing", "\x05\x02\x00", 3, WIRE_MORE, 0},
        {"no methods at all", "\x05\x00", 2, WIRE_BAD, 0},
        {"SOCKS 4", "\x04\x01\x00\x50", 4, WIRE_BAD, 0},
        {"HTTP", "GET / HTTP/1.1", 14, WIRE_BAD, 0},
        {"TLS", "\x16\x03\x01\x02", 4, WIRE_BAD, 0},
    };

    (void)state;
    check_at_every_split(read_greeting, rows, sizeof(rows) / sizeof(rows[0]));
}

static void choice_is_read_at_every_split(void **state)
{
    static const struct row rows[] = {
        {"no password", "\x05\x00", 2, WIRE_OK, 2}, {"user and password", "\x05\x02", 2, WIRE_OK, 2},
        {"none", "\x05\xff", 2, WIRE_OK, 2},        {"a reply behind it", "\x05\x00\x05\x00", 4, WIRE_OK, 2},
        {"SOCKS 4", "\x00\x5a", 2, WIRE_BAD, 0},
    };

    (void)state;
    check_at_every_split(read_choice, rows, sizeof(rows) / sizeof(rows[0]));
}

static void request_is_read_at_every_split(void **state)
{
    static const struct row rows[] = {
        {"a name",
         "\x05\x01\x00\x03\x03"
         "abc\x00\x00",
         10, WIRE_OK, 10},
        {"the seed's name", SEED_REQUEST, REQUEST, WIRE_OK, REQUEST},
        {"bytes of the stream behind it", SEED_REQUEST "stream", REQUEST + 6, WIRE_OK, REQUEST},
        {"an empty name", "\x05\x01\x00\x03\x00\x00\x00", 7, WIRE_OK, 7},
        {"an IPv4 address", "\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50", 10, WIRE_OK, 10},
        {"an IPv6 address",
         "\x05\x01\x00\x04"
         "0123456789abcdef\x00\x50",
         22, WIRE_OK, 22},
        {"an address type of no known length", "\x05\x01\x00\x07\x01\x02", 6, WIRE_OK, 4},
        {"no port yet",
         "\x05\x01\x00\x03\x03"
         "abc\x00",
         9, WIRE_MORE, 0},
        {"SOCKS 4", "\x04\x01\x00\x03\x03", 5, WIRE_BAD, 0},
    };

    (void)state;
    check_at_every_split(read_request, rows, sizeof(rows) / sizeof(rows[0]));
}

static void longest_request_is_read_whole(void **state)
{
    uint8_t in[SOCKS5_MESSAGE + 1] = {5, 1, 0, 3, 255};
    struct bytes window = {.at = in, .left = sizeof(in)};
    struct socks5_request request;

    (void)state;
    memset(in + 5, 'x', 255);
    in[260] = 0x12;
    in[261] = 0x34;
    assert_int_equal(socks5_read_request(&window, &request), WIRE_OK);
    assert_int_equal(window.left, 1);
    assert_int_equal(request.host_len, 255);
    assert_int_equal(request.port, 0x1234);
}

/* Example 14: the target asks a streamhost for the name. */
static void seed_example_14_target_connects(void **state)
{
    struct bytes window = {.at = (const uint8_t *)SEED_REQUEST, .left = REQUEST};
    struct socks5_request request;

    (void)state;
    assert_int_equal(socks5_read_request(&window, &request), WIRE_OK);
    assert_int_equal(request.code, SOCKS5_CONNECT);
    assert_int_equal(request.atyp, SOCKS5_DOMAIN);
    assert_int_equal(request.host_len, 40);
    assert_memory_equal(request.host, SEED_NAME, 40);
    assert_int_equal(request.port, 0);
}

/* Example 15: the streamhost acknowledges with the same address and port. */
static void seed_example_15_streamhost_acknowledges_target(void **state)
{
    struct socks5_request reply = {.code = SOCKS5_REP_OK, .atyp = SOCKS5_DOMAIN, .host_len = 40};
    uint8_t out[SOCKS5_MESSAGE];

    (void)state;
    memcpy(reply.host, SEED_NAME, 40);
    assert_int_equal(socks5_write_request(out, &reply), REQUEST);
    assert_memory_equal(out, SEED_REPLY, REQUEST);
}

/* Example 17: the initiator asks the proxy for the very same name. */
static void seed_example_17_initiator_connects_to_proxy(void **state)
{
    struct socks5_request request = {.code = SOCKS5_CONNECT, .atyp = SOCKS5_DOMAIN, .host_len = 40};
    uint8_t out[SOCKS5_MESSAGE];

    (void)state;
    memcpy(request.host, SEED_NAME, 40);
    assert_int_equal(socks5_write_request(out, &request), REQUEST);
    assert_memory_equal(out, SEED_REQUEST, REQUEST);
}

/* Example 18: the proxy acknowledges. */
static void seed_example_18_proxy_acknowledges_initiator(void **state)
{
    struct bytes window = {.at = (const uint8_t *)SEED_REPLY, .left = REQUEST};
    struct socks5_request reply;

    (void)state;
    assert_int_equal(socks5_read_request(&window, &reply), WIRE_OK);
    assert_int_equal(reply.code, SOCKS5_REP_OK);
    assert_memory_equal(reply.host, SEED_NAME, 40);
    assert_int_equal(reply.port, 0);
}

static void greeting_and_choice_come_out_as_rfc_1928_has_them(void **state)
{
    uint8_t out[SOCKS5_MESSAGE];

    (void)state;
    assert_int_equal(socks5_write_greeting(out), 3);
    assert_memory_equal(out, "\x05\x01\x00", 3);
    assert_int_equal(socks5_write_choice(out, SOCKS5_NO_AUTH), 2);
    assert_memory_equal(out, "\x05\x00", 2);
    assert_int_equal(socks5_write_choice(out, SOCKS5_NO_METHOD), 2);
    assert_memory_equal(out, "\x05\xff", 2);
}

/* What makes it safe to read as many bytes as a length says, at any moment. */
static void length_never_exceeds_the_message_and_ends_exact(void **state)
{
    static const struct {
        const char *says;
        size_t (*length)(const uint8_t *at, size_t have);
        const char *message;
        size_t len;
    } rows[] = {
        {"greeting", socks5_greeting_length, "\x05\x03\x02\x01\x00", 5},
        {"name", socks5_request_length, SEED_REQUEST, REQUEST},
        {"empty name", socks5_request_length, "\x05\x01\x00\x03\x00\x00\x00", 7},
        {"IPv4", socks5_request_length, "\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50", 10},
        {"IPv6", socks5_request_length,
         "\x05\x00\x00\x04"
         "0123456789abcdef\x00\x50",
         22},
        {"unknown type", socks5_request_length, "\x05\x01\x00\x09", 4},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const uint8_t *at = (const uint8_t *)rows[i].message;

        for (size_t have = 0; have < rows[i].len; have++) {
            size_t length = rows[i].length(at, have);

            if (length <= have || length > rows[i].len)
                fail_msg("%s: %zu after %zu bytes", rows[i].says, length, have);
        }
        if (rows[i].length(at, rows[i].len) != rows[i].len)
            fail_msg("%s: not exact at its end", rows[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greeting_is_read_at_every_split),
        cmocka_unit_test(choice_is_read_at_every_split),
        cmocka_unit_test(request_is_read_at_every_split),
        cmocka_unit_test(longest_request_is_read_whole),
        cmocka_unit_test(seed_example_14_target_connects),
        cmocka_unit_test(seed_example_15_streamhost_acknowledges_target),
        cmocka_unit_test(seed_example_17_initiator_connects_to_proxy),
        cmocka_unit_test(seed_example_18_proxy_acknowledges_initiator),
        cmocka_unit_test(greeting_and_choice_come_out_as_rfc_1928_has_them),
        cmocka_unit_test(length_never_exceeds_the_message_and_ends_exact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
