/* socks5/conduit: bytes from socket to socket by a pipe, and by a buffer where there is none. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "socks5/conduit.h"

enum { KIB = 1024, NEAR = 0, FAR = 1 };

static struct ends {
    struct conduit conduit;
    int from[2], to[2]; /* [FAR] is the test's */
    struct rest *rest;
    int error;
    size_t moved;
} ends;

static int set_up(void **state)
{
    const int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, little = 16 * KIB;

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    ends = (struct ends){.error = 0};
    conduit_init(&ends.conduit);
    return socketpair(AF_UNIX, type, 0, ends.from) || socketpair(AF_UNIX, type, 0, ends.to) ||
           setsockopt(ends.to[NEAR], SOL_SOCKET, SO_SNDBUF, &little, sizeof(little));
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        fd_close(&ends.from[i]);
        fd_close(&ends.to[i]);
    }
    free(ends.rest);
    conduit_close(&ends.conduit);
    return 0;
}

static void without_pipe(void)
{
    ends.conduit.buffer = malloc(CONDUIT_BUFFER);
    assert_non_null(ends.conduit.buffer);
}

static enum conduit_outcome move(size_t most)
{
    return conduit_move(&ends.conduit, ends.from[NEAR], ends.to[NEAR], most, &ends.moved, &ends.rest, &ends.error);
}

static size_t fill(void)
{
    uint8_t piece[997];
    size_t sent = 0;

    for (;;) {
        ssize_t n;

        for (size_t i = 0; i < sizeof(piece); i++)
            piece[i] = (uint8_t)((sent + i) % 251);
        n = send(ends.from[FAR], piece, sizeof(piece), 0);
        if (n <= 0)
            return sent;
        sent += (size_t)n;
    }
}

static size_t take(size_t from, size_t most)
{
    uint8_t piece[2048];
    size_t got = 0;
    ssize_t n;

    while (got < most && (n = recv(ends.to[FAR], piece, sizeof(piece), 0)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(piece[i], (from + got + (size_t)i) % 251);
        got += (size_t)n;
    }
    return got;
}

static void it_tells_what_became_of_a_turn(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        if (i == 1) {
            tear_down(state);
            set_up(state);
            without_pipe();
        }
        assert_int_equal(move(KIB), CONDUIT_EMPTY);
        assert_int_equal(send(ends.from[FAR], "\0\1\2\3\4", 5, 0), 5);
        assert_int_equal(move(3), CONDUIT_MOVED);
        assert_int_equal(ends.moved, 3);
        assert_int_equal(move(KIB), CONDUIT_MOVED);
        assert_int_equal(ends.moved, 2);
        assert_int_equal(take(0, KIB), 5);
        shutdown(ends.from[FAR], SHUT_WR);
        assert_int_equal(move(KIB), CONDUIT_ENDED);
        assert_int_equal(ends.moved, 0);
    }
}

static void a_receiver_without_room_gets_the_rest_later(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        size_t sent = 0, got = 0;
        unsigned stuck = 0;

        if (i == 1) {
            tear_down(state);
            set_up(state);
            without_pipe();
        }
        sent = fill();
        while (got < sent) {
            enum conduit_outcome outcome = move(64 * KIB);

            assert_true(outcome == CONDUIT_MOVED || outcome == CONDUIT_STUCK || outcome == CONDUIT_EMPTY);
            stuck += ends.rest != NULL;
            while (ends.rest) {
                got += take(got, 2048);
                outcome = conduit_flush(&ends.rest, ends.to[NEAR], &ends.error);
                assert_int_equal(outcome, ends.rest ? CONDUIT_STUCK : CONDUIT_MOVED);
            }
            if (outcome == CONDUIT_EMPTY)
                got += take(got, SIZE_MAX);
        }
        assert_int_equal(got, sent);
        assert_int_not_equal(stuck, 0);
    }
}

static void a_receiver_that_is_gone_leaves_nothing_behind(void **state)
{
    int next[2];

    (void)state;
    assert_int_equal(send(ends.from[FAR], "\0\1\2\3\4", 5, 0), 5);
    fd_close(&ends.to[FAR]);
    assert_int_equal(move(KIB), CONDUIT_NO_OUTPUT);
    assert_int_equal(ends.moved, 5);
    assert_int_equal(ends.error, EPIPE);
    /* what it did not take is not the next one's */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, next), 0);
    fd_close(&ends.to[NEAR]);
    ends.to[NEAR] = next[0];
    ends.to[FAR] = next[1];
    assert_int_equal(send(ends.from[FAR], "\0\1", 2, 0), 2);
    assert_int_equal(move(KIB), CONDUIT_MOVED);
    assert_int_equal(take(0, KIB), 2);
}

static void its_pipe_is_opened_when_it_is_needed(void **state)
{
    (void)state;
    assert_int_equal(ends.conduit.size, 0);
    move(KIB);
    assert_in_range(ends.conduit.size, 4096, CONDUIT_PIPE);
    conduit_close(&ends.conduit);
    assert_int_equal(ends.conduit.size, 0);
    assert_int_equal(ends.conduit.in, -1);
}

#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(it_tells_what_became_of_a_turn),
        test(a_receiver_without_room_gets_the_rest_later),
        test(a_receiver_that_is_gone_leaves_nothing_behind),
        test(its_pipe_is_opened_when_it_is_needed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
