/* Labels: what may be one, and that the same ones are the same text. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/labels.h"

static void a_label_is_a_short_name_with_a_value(void **state)
{
    static const struct {
        const char *text, *says; /* says NULL: taken */
    } rows[] = {
        {"job:backup-7", NULL},
        {"a.b_c/d-9:x", NULL},
        {"empty:", NULL},
        {"url:https://example.org/a:b", NULL}, /* the first ':' alone parts them */
        {"name:r\xc3\xa9sum\xc3\xa9 of it", NULL},
        {"job", "name:value"},
        {"", "name:value"},
        {":backup", "without a name"},
        {"a b:c", "letters"},
        {"r\xc3\xa9:c", "letters"},
        {"a:b\nc:d", "line break"},
        {"a:b\tc", "control"},
        {"a:\x7f", "control"},
        {"a:\xff", "UTF-8"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error err = {0};
        char *labels = NULL;
        bool ok = labels_read(&labels, rows[i].text, &err);

        if (ok != !rows[i].says || (!ok && (!strstr(err.text, rows[i].says) || err.code != ERR_PARAMETER_INVALID)))
            fail_msg("%s: %s: %s", rows[i].text, ok ? "taken" : error_name(err.code), err.text);
        free(labels);
    }
}

static void both_have_a_greatest_length(void **state)
{
    char name[LABEL_NAME_MOST + 1], value[LABEL_VALUE_MOST + 2];
    struct error err;
    char *labels = NULL;

    (void)state;
    memset(name, 'n', sizeof name);
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    assert_false(labels_add(&labels, name, LABEL_NAME_MOST, value, &err));
    assert_false(labels_add(&labels, name, LABEL_NAME_MOST + 1, "", &err));
    value[LABEL_VALUE_MOST] = '\0';
    assert_true(labels_add(&labels, name, LABEL_NAME_MOST, value, &err));
    free(labels);
}

static void the_same_labels_are_the_same_text(void **state)
{
    static const char *const orders[][3] = {{"b:2", "a:1", "ab:3"}, {"ab:3", "b:2", "a:1"}, {"a:1", "ab:3", "b:2"}};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char *labels = NULL;

        for (size_t k = 0; k < 3; k++)
            assert_true(labels_read(&labels, orders[i][k], NULL));
        assert_string_equal(labels, "\na:1\nab:3\nb:2\n");
        free(labels);
    }
}

static void a_name_is_there_once_and_sixteen_are_enough(void **state)
{
    struct error err;
    char *labels = NULL, text[16];

    (void)state;
    for (int i = 0; i < LABELS_MOST; i++) {
        snprintf(text, sizeof text, "n%d:v", i);
        assert_true(labels_read(&labels, text, &err));
    }
    assert_false(labels_read(&labels, "n3:other", &err));
    assert_non_null(strstr(err.text, "'n3' is given twice"));
    assert_false(labels_read(&labels, "more:v", &err));
    assert_non_null(strstr(err.text, "at most 16"));
    free(labels);
}

static void they_are_read_back_one_by_one(void **state)
{
    const char *at = "\na:1\nb:\n";
    struct label l;

    (void)state;
    assert_true(labels_next(&at, &l));
    assert_memory_equal(l.name, "a", l.name_len);
    assert_int_equal(l.value_len, 1);
    assert_true(labels_next(&at, &l));
    assert_memory_equal(l.name, "b", l.name_len);
    assert_int_equal(l.value_len, 0);
    assert_false(labels_next(&at, &l));
    at = NULL;
    assert_false(labels_next(&at, &l));
}

static void all_that_are_wanted_have_to_be_there(void **state)
{
    static const struct {
        const char *labels, *wanted;
        bool have;
    } rows[] = {
        {NULL, NULL, true},
        {"\na:1\n", NULL, true},
        {NULL, "\na:1\n", false},
        {"\na:1\nb:2\n", "\nb:2\n", true},
        {"\na:1\nb:2\n", "\na:1\nb:2\n", true},
        {"\na:1\nb:2\n", "\na:1\nc:2\n", false},
        {"\na:12\n", "\na:1\n", false},
        {"\na:1\n", "\na:12\n", false},
        {"\nxa:1\n", "\na:1\n", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(labels_have(rows[i].labels, rows[i].wanted), rows[i].have);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_label_is_a_short_name_with_a_value),
        cmocka_unit_test(both_have_a_greatest_length),
        cmocka_unit_test(the_same_labels_are_the_same_text),
        cmocka_unit_test(a_name_is_there_once_and_sixteen_are_enough),
        cmocka_unit_test(they_are_read_back_one_by_one),
        cmocka_unit_test(all_that_are_wanted_have_to_be_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
