#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "api/digests.h"

#define ABC    "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
#define ABC512 "3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw=="
#define NUL43  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

/* RFC 9530 section 2 and RFC 8941: a dictionary of byte sequences. The numbers are the first
 * bytes. */
static void a_line_is_read_as_the_rfc_writes_it(void **state)
{
    static const struct {
        const char *says, *line;
        bool fits;
        int sha256, sha512; /* -1: not told */
    } rows[] = {
        {"one", "sha-256=:" ABC ":", true, 0xba, -1},
        {"the other", "sha-512=:" ABC512 ":", true, -1, 0xdd},
        {"both", "sha-256=:" ABC ":, sha-512=:" ABC512 ":", true, 0xba, 0xdd},
        {"without spaces", "sha-512=:" ABC512 ":,sha-256=:" ABC ":", true, 0xba, 0xdd},
        {"spaces and tabs", " sha-256=:" ABC ": \t,\t sha-512=:" ABC512 ":\t", true, 0xba, 0xdd},
        {"the last of two", "sha-256=:" NUL43 "=:, sha-256=:" ABC ":", true, 0xba, -1},
        {"without padding", "sha-256=:" NUL43 ":", true, 0, -1},
        {"parameters mean nothing", "sha-256=:" ABC ":;q=1;r, sha-512=:" ABC512 ":", true, 0xba, 0xdd},
        {"unknown ones are ignored", "md5=:Sd/dVLAcvNLSq16eXua5uQ==:, sha-256=:" ABC ":", true, 0xba, -1},
        {"all unknown", "unixsum=::, *x-y_z.9=:AAA=:", true, -1, -1},
        {"nothing", "", true, -1, -1},
        {"only spaces", " \t", true, -1, -1},
        {"no byte sequence", "sha-256=" ABC, false, 0, 0},
        {"a string", "sha-256=\"" ABC "\"", false, 0, 0},
        {"hexadecimal", "sha-256=:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad:", false, 0, 0},
        {"too short", "sha-256=:ungWv48Bz+pB:", false, 0, 0},
        {"too long", "sha-256=:" ABC512 ":", false, 0, 0},
        {"of no bytes", "sha-256=::", false, 0, 0},
        {"not closed", "sha-256=:" ABC, false, 0, 0},
        {"not base64", "sha-256=:-ngWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:", false, 0, 0},
        {"padding in the middle", "sha-256=:ungWv48Bz+pBQUDeXa4iI7=DYaOWF3qctBD/YfIAFa0=:", false, 0, 0},
        {"capitals in the key", "SHA-256=:" ABC ":", false, 0, 0},
        {"no key", "=:" ABC ":", false, 0, 0},
        {"no value", "sha-256", false, 0, 0},
        {"a comma at the end", "sha-256=:" ABC ":,", false, 0, 0},
        {"a comma at the beginning", ", sha-256=:" ABC ":", false, 0, 0},
        {"something behind", "sha-256=:" ABC ": x", false, 0, 0},
        {"the old way (RFC 3230)", "SHA-256=" ABC, false, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct digests d = {0};
        struct error error = {0};
        char *line = strdup(rows[i].line); /* exact size, so that one byte too many is seen */
        bool fits = digests_read(&d, line, &error);

        if (fits != rows[i].fits)
            fail_msg("%s", rows[i].says);
        if (!fits)
            assert_int_equal(error.code, ERR_REQUEST_MALFORMED);
        if (fits && (d.has_sha256 ? d.sha256[0] : -1) != rows[i].sha256)
            fail_msg("%s: sha-256", rows[i].says);
        if (fits && (d.has_sha512 ? d.sha512[0] : -1) != rows[i].sha512)
            fail_msg("%s: sha-512", rows[i].says);
        free(line);
    }
}

static void two_lines_add_up(void **state)
{
    struct digests d = {0};

    (void)state;
    assert_true(digests_read(&d, "sha-256=:" ABC ":", NULL));
    assert_true(digests_read(&d, "sha-512=:" ABC512 ":", NULL));
    assert_true(d.has_sha256 && d.has_sha512);
}

static void two_fields_must_not_contradict_each_other(void **state)
{
    struct digests content = {0}, repr = {0}, other = {0};
    struct error error = {0};

    (void)state;
    assert_true(digests_read(&content, "sha-256=:" ABC ":", NULL));
    assert_true(digests_read(&repr, "sha-256=:" ABC ":, sha-512=:" ABC512 ":", NULL));
    assert_true(digests_read(&other, "sha-256=:" NUL43 "=:", NULL));
    assert_true(digests_merge(&content, &repr, &error));
    assert_true(content.has_sha512);
    assert_int_equal(content.sha512[0], 0xdd);
    assert_false(digests_merge(&content, &other, &error));
    assert_int_equal(error.code, ERR_DIGEST_MISMATCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_read_as_the_rfc_writes_it),
        cmocka_unit_test(two_lines_add_up),
        cmocka_unit_test(two_fields_must_not_contradict_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
