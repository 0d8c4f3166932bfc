#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "api/tus_fields.h"

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

/* "key=value;" for each pair. */
static bool note_pair(void *user, const char *key, const char *value, size_t len, struct error *err)
{
    char *all = user;
    size_t end = strlen(all);

    assert_int_equal(value[len], '\0');
    if (strcmp(key, "bad") == 0)
        return error_set(err, ERR_NAME_INVALID, "as it was told to");
    snprintf(all + end, 200 - end, "%s=%.*s;", key, (int)len, value);
    return true;
}

static void metadata_is_pairs_of_a_key_and_base64(void **state)
{
    static const struct {
        const char *says, *line, *want;
        enum error_code code; /* of what is none */
    } rows[] = {
        {"one", "filename d29ybGQ=", "filename=world;", 0},
        {"as the protocol's own example", "filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential",
         "filename=world_domination_plan.pdf;is_confidential=;", 0},
        {"nothing", "", "", 0},
        {"only spaces", "  ", "", 0},
        {"an empty value with its space", "a ,b ", "a=;b=;", 0},
        {"spaces behind the comma", "a eA==, b eQ==", "a=x;b=y;", 0},
        {"spaces around a value", "a  eA== ,b eQ== ", "a=x;b=y;", 0},
        {"keys that begin alike", "a eA==,aa eQ==,b eA==", "a=x;aa=y;b=x;", 0},
        {"a key that is in another's value", "eQ eA==,x eQ==", "eQ=x;x=y;", 0},
        {"what the receiver refuses", "a eA==,bad eA==,b eA==", "a=x;", ERR_NAME_INVALID},
        {"twice", "a eA==,b eA==,a eQ==", "a=x;b=x;", ERR_PARAMETER_INVALID},
        {"twice without values", "a,a", "a=;", ERR_PARAMETER_INVALID},
        {"no key", " ,a eA==", "", ERR_PARAMETER_INVALID},
        {"a comma at the end", "a eA==,", "a=x;", ERR_PARAMETER_INVALID},
        {"a key beyond ASCII", "\xc3\xa4 eA==", "", ERR_PARAMETER_INVALID},
        {"no padding", "a eA", "", ERR_PARAMETER_INVALID},
        {"too much padding", "a e===", "", ERR_PARAMETER_INVALID},
        {"only padding", "a ====", "", ERR_PARAMETER_INVALID},
        {"padding in the middle", "a eA==eA==", "", ERR_PARAMETER_INVALID},
        {"another alphabet", "a _-_-", "", ERR_PARAMETER_INVALID},
        {"two values", "a eA== eA==", "a=x;", ERR_PARAMETER_INVALID},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *line = strdup(rows[i].line); /* exact size, so that one byte too many is seen */
        struct error error = {0};
        char all[200] = "";
        bool ok = tus_metadata_read(line, note_pair, all, &error);

        if (ok != (rows[i].code == ERR_NONE) || error.code != rows[i].code || strcmp(all, rows[i].want) != 0)
            fail_msg("%s: %s %s '%s'", rows[i].says, error_name(error.code), error.text, all);
        free(line);
    }
}

static void metadata_has_its_limits(void **state)
{
    static const struct {
        size_t key, value;
        bool fits;
    } rows[] = {{TUS_KEY, 4, true}, {TUS_KEY + 1, 4, false}, {7, TUS_METADATA - 8, true}, {8, TUS_METADATA - 8, false}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *line = malloc(rows[i].key + rows[i].value + 2), all[200] = "";
        struct error error = {0};

        memset(line, 'A', rows[i].key + rows[i].value + 1);
        line[rows[i].key] = ' ';
        line[rows[i].key + 1 + rows[i].value] = '\0';
        assert_int_equal(tus_metadata_read(line, note_pair, all, &error), rows[i].fits);
        assert_int_equal(error.code, rows[i].fits ? ERR_NONE : ERR_PARAMETER_INVALID);
        free(line);
    }
}

static void a_checksum_is_an_algorithm_and_its_bytes(void **state)
{
    static const struct {
        const char *says, *value;
        enum error_code code;
        const char *algorithm;
        size_t size;
        int first;
    } rows[] = {
        {"SHA-1", "sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", 0, "SHA1", 20, 0xa9},
        {"SHA-256", "sha256 ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", 0, "SHA256", 32, 0xba},
        {"SHA-512", "sha512 3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==",
         0, "SHA512", 64, 0xdd},
        {"another", "md5 kAFQmDzST7DWlj99KOF/cg==", ERR_DIGEST_UNSUPPORTED, NULL, 0, 0},
        {"capitals", "SHA1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", ERR_DIGEST_UNSUPPORTED, NULL, 0, 0},
        {"nothing", "", ERR_DIGEST_UNSUPPORTED, NULL, 0, 0},
        {"no bytes", "sha1", ERR_REQUEST_MALFORMED, NULL, 0, 0},
        {"bytes of another", "sha256 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", ERR_REQUEST_MALFORMED, NULL, 0, 0},
        {"no padding", "sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0", ERR_REQUEST_MALFORMED, NULL, 0, 0},
        {"hexadecimal", "sha1 a9993e364706816aba3e25717850", ERR_REQUEST_MALFORMED, NULL, 0, 0},
        {"more behind", "sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0= x", ERR_REQUEST_MALFORMED, NULL, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *value = strdup(rows[i].value);
        struct tus_checksum sum = {0};
        struct error error = {0};

        tus_checksum_read(value, &sum, &error);
        if (error.code != rows[i].code || sum.size != rows[i].size || sum.value[0] != rows[i].first)
            fail_msg("%s: %s", rows[i].says, error.text);
        if (rows[i].algorithm)
            assert_string_equal(sum.algorithm, rows[i].algorithm);
        free(value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_is_pairs_of_a_key_and_base64),
        cmocka_unit_test(metadata_has_its_limits),
        cmocka_unit_test(a_checksum_is_an_algorithm_and_its_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
