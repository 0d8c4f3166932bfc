#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "api/idempotency.h"

/* A string of RFC 8941, as the draft has it, or the bare word that callers write. */
static void a_key_is_read_in_quotes_and_without(void **state)
{
    static const struct {
        const char *says, *value, *key; /* NULL: none that can be read */
    } rows[] = {
        {"a string", "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", "8e03978e-40d5-43dd-bc93-6894a57f9324"},
        {"a bare word", "8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"},
        {"spaces around", " \tjob-7 ", "job-7"},
        {"spaces around a string", " \"job 7\" ", "job 7"},
        {"escapes", "\"a\\\"b\\\\c\"", "a\"b\\c"},
        {"punctuation", "ci/1:2+3=4", "ci/1:2+3=4"},
        {"nothing", "", NULL},
        {"only spaces", "  ", NULL},
        {"an empty string", "\"\"", NULL},
        {"not closed", "\"job", NULL},
        {"closed early", "\"job\"7", NULL},
        {"a strange escape", "\"a\\n\"", NULL},
        {"an escape at the end", "\"a\\", NULL},
        {"two words", "job 7", NULL},
        {"two keys", "a, b", NULL},
        {"a quote inside", "a\"b", NULL},
        {"parameters", "\"job\";a=1", NULL},
        {"bytes that are no ASCII",
         "j\xc3\xb6"
         "b",
         NULL},
        {"the same in quotes",
         "\"j\xc3\xb6"
         "b\"",
         NULL},
        {"a control character", "\"a\x7f\"", NULL},
    };
    char key[KEY_TEXT];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *value = strdup(rows[i].value); /* exact size, so that one byte too many is seen */

        if (idempotency_key_read(key, value) != (rows[i].key != NULL))
            fail_msg("%s", rows[i].says);
        if (rows[i].key)
            assert_string_equal(key, rows[i].key);
        free(value);
    }
}

static void a_key_has_at_most_255_bytes(void **state)
{
    char value[300], key[KEY_TEXT];

    (void)state;
    for (size_t len = 254; len < 258; len++) {
        memset(value, 'k', len);
        value[len] = '\0';
        assert_int_equal(idempotency_key_read(key, value), len <= 255);
        value[0] = '"';
        value[len + 1] = '"';
        memset(value + 1, 'k', len);
        value[len + 2] = '\0';
        assert_int_equal(idempotency_key_read(key, value), len <= 255);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_read_in_quotes_and_without),
        cmocka_unit_test(a_key_has_at_most_255_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
