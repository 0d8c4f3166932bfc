/* socks5/pump: a range of a file reaches a socket, a share a turn, and each end's failure is told apart. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "socks5/pump.h"

enum { FILE_SIZE = 3 * PUMP_QUANTUM + 5 };

struct bench {
    int file, ours, theirs;
    uint8_t *bytes;
};

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    int pair[2];

    assert_non_null(b);
    b->bytes = malloc(FILE_SIZE);
    assert_non_null(b->bytes);
    for (size_t i = 0; i < FILE_SIZE; i++)
        b->bytes[i] = (uint8_t)(i * 31 + (i >> 8));
    b->file = memfd_create("file", MFD_CLOEXEC);
    assert_int_equal(write(b->file, b->bytes, FILE_SIZE), FILE_SIZE);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    b->ours = pair[0];
    b->theirs = pair[1];
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;

    fd_close(&b->file);
    fd_close(&b->ours);
    fd_close(&b->theirs);
    free(b->bytes);
    free(b);
    return 0;
}

/* Pumps and reads in turns until the outcome is not "wait for output"; returns the bytes that came. */
static size_t run(struct bench *b, struct pump *p, uint8_t *got, enum pump_outcome *last)
{
    struct error err = {0};
    size_t len = 0;
    ssize_t n;

    do {
        *last = pump_turn(p, b->ours, PUMP_QUANTUM, &err);
        while ((n = read(b->theirs, got + len, FILE_SIZE - len)) > 0)
            len += (size_t)n;
    } while (*last == PUMP_WAIT_OUTPUT);
    return len;
}

static void a_range_of_the_file_arrives(void **state)
{
    static const struct {
        uint64_t offset, length;
    } rows[] = {{0, FILE_SIZE}, {1, FILE_SIZE - 1}, {1000, 500}, {PUMP_QUANTUM, PUMP_QUANTUM}, {FILE_SIZE - 1, 1}};
    struct bench *b = *state;
    uint8_t *got = malloc(FILE_SIZE);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pump p = {.file = &(struct shared_fd){.fd = b->file}, .offset = rows[i].offset, .left = rows[i].length};
        enum pump_outcome last;

        assert_int_equal(run(b, &p, got, &last), rows[i].length);
        assert_int_equal(last, PUMP_FINISHED);
        assert_memory_equal(got, b->bytes + rows[i].offset, rows[i].length);
        assert_int_equal(p.moved, rows[i].length);
        assert_int_equal(p.left, 0);
    }
    free(got);
}

static void nothing_to_send_is_finished_at_once(void **state)
{
    struct bench *b = *state;
    struct pump p = {.file = &(struct shared_fd){.fd = b->file}, .offset = 17};
    struct error err = {0};

    assert_int_equal(pump_turn(&p, b->ours, PUMP_QUANTUM, &err), PUMP_FINISHED);
    assert_int_equal(p.moved, 0);
}

static void a_turn_moves_no_more_than_its_share(void **state)
{
    static const size_t shares[] = {1000, PUMP_QUANTUM, 2 * PUMP_QUANTUM};
    struct bench *b = *state;
    struct error err = {0};
    int room = 8 * 1024 * 1024;

    setsockopt(b->ours, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)); /* where allowed: room for more */
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        struct pump p = {.file = &(struct shared_fd){.fd = b->file}, .left = FILE_SIZE};

        assert_int_equal(pump_turn(&p, b->ours, shares[i], &err), PUMP_WAIT_OUTPUT);
        if (i == 0)
            assert_int_equal(p.moved, shares[i]);
        assert_in_range(p.moved, 0, shares[i]);
    }
}

static void a_full_socket_waits_for_output_and_loses_nothing(void **state)
{
    struct bench *b = *state;
    struct pump p = {.file = &(struct shared_fd){.fd = b->file}, .left = FILE_SIZE};
    struct error err = {0};
    uint64_t moved;
    uint8_t *got = malloc(FILE_SIZE);
    enum pump_outcome last;

    do {
        moved = p.moved;
        assert_int_equal(pump_turn(&p, b->ours, PUMP_QUANTUM, &err), PUMP_WAIT_OUTPUT);
    } while (p.moved > moved);
    assert_int_equal(run(b, &p, got, &last), FILE_SIZE);
    assert_memory_equal(got, b->bytes, FILE_SIZE);
    free(got);
}

static void a_file_shorter_than_promised_waits_for_input(void **state)
{
    struct bench *b = *state;
    struct pump p = {.file = &(struct shared_fd){.fd = b->file}, .left = FILE_SIZE + 10};
    uint8_t *got = malloc(FILE_SIZE + 10);
    enum pump_outcome last;

    assert_int_equal(run(b, &p, got, &last), FILE_SIZE);
    assert_int_equal(last, PUMP_WAIT_INPUT);
    assert_int_equal(p.left, 10);
    free(got);
}

static void a_peer_that_is_gone_fails_the_output(void **state)
{
    struct bench *b = *state;
    struct pump p = {.file = &(struct shared_fd){.fd = b->file}, .left = 10};
    struct error err = {0};

    fd_close(&b->theirs);
    assert_int_equal(pump_turn(&p, b->ours, PUMP_QUANTUM, &err), PUMP_OUTPUT_FAILED);
    assert_int_equal(err.code, ERR_STREAM_BROKEN);
}

static void a_file_that_cannot_be_read_fails_the_input(void **state)
{
    struct bench *b = *state;
    struct shared_fd file = {0};
    struct pump p = {.file = &file, .left = 10};
    struct error err = {0};

    file.fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_int_equal(pump_turn(&p, b->ours, PUMP_QUANTUM, &err), PUMP_INPUT_FAILED);
    assert_int_equal(err.code, ERR_SYSTEM);
    fd_close(&file.fd);
}

/* Takes until the outcome is another than "wait for input", or nothing more is there. */
static enum pump_outcome take(struct bench *b, struct pump *p, size_t quantum)
{
    struct error err = {0};
    enum pump_outcome last;
    uint64_t moved;

    do {
        moved = p->moved;
        last = pump_take(p, b->ours, quantum, &err);
    } while (last == PUMP_WAIT_INPUT && p->moved > moved);
    return last;
}

static void what_a_socket_brings_is_in_the_file_where_it_belongs(void **state)
{
    static const struct {
        const char *says;
        uint64_t offset, wanted, sent;
        bool ends;
        enum pump_outcome last;
    } rows[] = {
        {"all of it", 0, 5000, 5000, false, PUMP_FINISHED},
        {"behind what was there", 700, 5000, 5000, false, PUMP_FINISHED},
        {"nothing", 0, 0, 0, false, PUMP_FINISHED},
        {"less as yet", 0, 5000, 4999, false, PUMP_WAIT_INPUT},
        {"less, and an end", 0, 5000, 4999, true, PUMP_ENDED},
        {"all, and an end", 0, 5000, 5000, true, PUMP_FINISHED},
        {"more", 3, 5000, 5001, false, PUMP_FINISHED},
    };
    static const size_t quanta[] = {1, 1000, PUMP_QUANTUM_ALONE};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t q = 0; q < sizeof(quanta) / sizeof(quanta[0]); q++) {
            struct bench *b = *state;
            uint64_t moved = rows[i].sent < rows[i].wanted ? rows[i].sent : rows[i].wanted;
            int pair[2], into = memfd_create("into", MFD_CLOEXEC);
            struct shared_fd file = {.fd = into};
            struct pump p = {.file = &file, .offset = rows[i].offset, .left = rows[i].wanted, .takes = true};
            uint8_t got[6000];

            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
            fd_close(&b->ours);
            b->ours = pair[0];
            assert_int_equal(write(pair[1], b->bytes, rows[i].sent), rows[i].sent);
            if (rows[i].ends)
                shutdown(pair[1], SHUT_WR);
            if (take(b, &p, quanta[q]) != rows[i].last || p.moved != moved)
                fail_msg("%s, by %zu: %llu moved", rows[i].says, quanta[q], (unsigned long long)p.moved);
            assert_int_equal(pread(into, got, sizeof(got), (off_t)rows[i].offset), moved);
            assert_memory_equal(got, b->bytes, moved);
            fd_close(&pair[1]);
            fd_close(&into);
        }
    }
}

static void a_turn_takes_no_more_than_its_share(void **state)
{
    struct bench *b = *state;
    int into = memfd_create("into", MFD_CLOEXEC);
    struct pump p = {.file = &(struct shared_fd){.fd = into}, .left = FILE_SIZE, .takes = true};
    struct error err = {0};

    assert_int_equal(write(b->theirs, b->bytes, 3000), 3000);
    assert_int_equal(pump_take(&p, b->ours, 1000, &err), PUMP_WAIT_INPUT);
    assert_int_equal(p.moved, 1000);
    fd_close(&into);
}

static void a_full_disk_is_said(void **state)
{
    struct bench *b = *state;
    int full = open("/dev/full", O_RDWR | O_CLOEXEC);
    struct pump p = {.file = &(struct shared_fd){.fd = full}, .left = 10, .takes = true};
    struct error err = {0};

    assert_int_equal(write(b->theirs, "12345", 5), 5);
    assert_int_equal(pump_take(&p, b->ours, PUMP_QUANTUM, &err), PUMP_OUTPUT_FAILED);
    assert_int_equal(err.code, ERR_SPOOL_FULL);
    assert_int_equal(p.moved, 0);
    fd_close(&full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_range_of_the_file_arrives, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_to_send_is_finished_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_turn_moves_no_more_than_its_share, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_socket_waits_for_output_and_loses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_shorter_than_promised_waits_for_input, setup, teardown),
        cmocka_unit_test_setup_teardown(a_peer_that_is_gone_fails_the_output, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_cannot_be_read_fails_the_input, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_socket_brings_is_in_the_file_where_it_belongs, setup, teardown),
        cmocka_unit_test_setup_teardown(a_turn_takes_no_more_than_its_share, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_is_said, setup, teardown),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
