/* gateway/inbox_hash: every algorithm that senders are told we know (xmpp/responder.c), by vectors of FIPS 180-4,
 * FIPS 202, RFC 7693 and RFC 1321; in one piece and in many. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "gateway/inbox_hash.h"

static const struct {
    const char *algo, *abc;
} known[] = {
    {"md5", "900150983cd24fb0d6963f7d28e17f72"},
    {"sha-1", "a9993e364706816aba3e25717850c26c9cd0d89d"},
    {"sha-256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"sha-512", "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
    {"sha3-256", "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"},
    {"sha3-512", "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e"
                 "10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0"},
    {"blake2b-512", "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                    "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"},
};

enum { KNOWN = sizeof known / sizeof *known };

static void hash(const char *algo, const char *bytes, uint64_t piece, char ours[static INBOX_DIGEST],
                 char promised[static INBOX_DIGEST])
{
    FILE *file = tmpfile();
    struct inbox_hash h;

    assert_non_null(file);
    assert_true(fputs(bytes, file) >= 0 && fflush(file) == 0);
    assert_true(inbox_hash_open(&h, algo));
    do
        assert_true(inbox_hash_read(&h, fileno(file), strlen(bytes), piece));
    while (h.at < strlen(bytes));
    assert_true(inbox_hash_finish(&h, ours, promised));
    inbox_hash_close(&h);
    fclose(file);
}

static void every_algorithm_that_is_announced_is_computed(void **state)
{
    char ours[INBOX_DIGEST], promised[INBOX_DIGEST];

    (void)state;
    for (size_t i = 0; i < KNOWN; i++) {
        assert_true(inbox_hash_known(known[i].algo));
        for (uint64_t piece = 1; piece <= 3; piece++) {
            hash(known[i].algo, "abc", piece, ours, promised);
            assert_string_equal(promised, known[i].abc);
            assert_string_equal(ours, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        }
    }
}

static void of_another_algorithm_only_our_own_digest_is_made(void **state)
{
    static const char *const others[] = {NULL, "", "tiger", "sha-2", "blake2b-256"};
    char ours[INBOX_DIGEST], promised[INBOX_DIGEST];

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_false(inbox_hash_known(others[i]));
        hash(others[i], "", 1, ours, promised);
        assert_string_equal(promised, "");
        assert_string_equal(ours, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}

static void what_is_shorter_than_it_was_cannot_be_read(void **state)
{
    FILE *file = tmpfile();
    struct inbox_hash h;

    (void)state;
    assert_non_null(file);
    assert_true(inbox_hash_open(&h, "sha-1"));
    assert_false(inbox_hash_read(&h, fileno(file), 3, 3));
    inbox_hash_close(&h);
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_algorithm_that_is_announced_is_computed),
        cmocka_unit_test(of_another_algorithm_only_our_own_digest_is_made),
        cmocka_unit_test(what_is_shorter_than_it_was_cannot_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
