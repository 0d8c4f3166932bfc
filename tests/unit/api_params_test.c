/* Parameters: known ones only, once each, and what their values mean. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/params.h"

static bool read_query(struct params *p, const char *query, unsigned allowed, struct error *err)
{
    struct target t;
    char raw[256];
    bool ok;

    memset(p, 0, sizeof *p);
    snprintf(raw, sizeof raw, "/v1?%s", query);
    assert_true(target_parse(&t, raw, NULL));
    ok = params_read(p, &t, allowed, err);
    target_free(&t);
    return ok;
}

static void a_plus_is_a_space_in_text_alone(void **state)
{
    struct params p;

    (void)state;
    assert_true(read_query(&p, "caption=Q3+report&to=ana+x@example.org&name=a%2Bb", ~0u, NULL));
    assert_string_equal(p.value[PARAM_CAPTION], "Q3 report");
    assert_string_equal(p.value[PARAM_TO], "ana+x@example.org");
    assert_string_equal(p.value[PARAM_NAME], "a+b");
    assert_null(p.value[PARAM_WAIT]);
    params_free(&p);
}

static void what_is_not_understood_is_named(void **state)
{
    static const struct {
        const char *query, *says;
        enum error_code code;
    } rows[] = {
        {"capton=x", "did you mean 'caption'", ERR_PARAMETER_INVALID},
        {"wiat=3", "there are: to resource name caption", ERR_PARAMETER_INVALID},
        {"xyzzy", "'xyzzy'", ERR_PARAMETER_INVALID},
        {"=1", "''", ERR_PARAMETER_INVALID},
        {"wait=1&wait=1", "twice", ERR_PARAMETER_INVALID},
        {"caption=%07", "caption", ERR_PARAMETER_INVALID},
        {"caption=%ff", "caption", ERR_PARAMETER_INVALID},
        {"name=%ff", "name", ERR_NAME_INVALID},
        {"limit=3", "limit", ERR_PARAMETER_INVALID}, /* known, but not here */
    };
    const unsigned allowed = ~PARAM_BIT(PARAM_LIMIT);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error err = {0};
        struct params p;

        if (read_query(&p, rows[i].query, allowed, &err))
            fail_msg("%s was taken", rows[i].query);
        if (err.code != rows[i].code || !strstr(err.text, rows[i].says))
            fail_msg("%s: %s: %s", rows[i].query, error_name(err.code), err.text);
        params_free(&p);
    }
}

static void recipients_and_labels_may_be_several(void **state)
{
    struct params p;
    struct error err;

    (void)state;
    assert_true(read_query(&p, "to=a@x&label=b:2+3&to=b@x&label=a:1", ~0u, NULL));
    assert_string_equal(p.value[PARAM_TO], "a@x\nb@x");
    assert_string_equal(p.value[PARAM_LABEL], "\na:1\nb:2 3\n");
    params_free(&p);
    assert_false(read_query(&p, "to=a@x%0Ab@x", ~0u, &err)); /* not two in one */
    params_free(&p);
    assert_false(read_query(&p, "label=a:1&label=a:2", ~0u, &err));
    assert_non_null(strstr(err.text, "twice"));
    params_free(&p);
}

static void a_value_has_a_greatest_length(void **state)
{
    char value[PARAM_MAX + 2];
    struct error err = {0};
    struct params p = {0};

    (void)state;
    memset(value, 'a', sizeof value - 1);
    value[PARAM_MAX + 1] = '\0';
    assert_false(params_set(&p, PARAM_CAPTION, value, &err));
    assert_int_equal(err.code, ERR_PARAMETER_INVALID);
    value[PARAM_MAX] = '\0';
    assert_true(params_set(&p, PARAM_CAPTION, value, &err));
    params_free(&p);
}

static void durations_have_units(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
    } rows[] = {
        {"0", 0},
        {"30", 30000},
        {"30s", 30000},
        {"500ms", 500},
        {"5m", 300000},
        {"1h", 3600000},
        {"7d", 604800000},
        {"", -1},
        {"soon", -1},
        {"-1", -1},
        {"1.5s", -1},
        {"5 m", -1},
        {"5x", -1},
        {"12345678901", -1},
        {"9999999999d", INT64_C(863999999913600000)},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t ms = -1;
        bool ok = duration_parse(rows[i].text, &ms);

        if (ok != (rows[i].ms >= 0) || ms != rows[i].ms)
            fail_msg("'%s': %lld", rows[i].text, (long long)ms);
    }
}

static void times_are_of_rfc_3339(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
    } rows[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-22T19:00:00Z", INT64_C(1795374000000)},
        {"2026-11-22t19:00:00.5z", INT64_C(1795374000500)},
        {"2026-11-22 19:00:00.1239Z", INT64_C(1795374000123)},
        {"2026-11-22T20:00:00+01:00", INT64_C(1795374000000)},
        {"2026-11-22T13:30:00-05:30", INT64_C(1795374000000)},
        {"2028-02-29T00:00:00Z", INT64_C(1835395200000)},
        {"2026-02-29T00:00:00Z", -1},
        {"2026-13-01T00:00:00Z", -1},
        {"2026-11-22T24:00:00Z", -1},
        {"2026-11-22T19:00:00", -1},
        {"2026-11-22T19:00:00.Z", -1},
        {"2026-11-22T19:00:00+1:00", -1},
        {"2026-11-22T19:00:00Zx", -1},
        {"2026-11-22", -1},
        {"yesterday", -1},
        {"", -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t ms = -1;
        bool ok = time_parse(rows[i].text, &ms);

        if (ok != (rows[i].ms >= 0) || ms != rows[i].ms)
            fail_msg("'%s': %lld", rows[i].text, (long long)ms);
    }
}

static void numbers_are_digits_within_bounds(void **state)
{
    uint64_t n = 0;

    (void)state;
    assert_true(number_parse("1000", 1, 1000, &n));
    assert_int_equal(n, 1000);
    assert_false(number_parse("1001", 1, 1000, &n));
    assert_false(number_parse("0", 1, 1000, &n));
    assert_false(number_parse("+1", 1, 1000, &n));
    assert_false(number_parse("1 ", 1, 1000, &n));
    assert_false(number_parse("", 0, 1000, &n));
    assert_true(number_parse("9223372036854775807", 0, INT64_MAX, &n));
    assert_false(number_parse("9223372036854775808", 0, INT64_MAX, &n));
    assert_false(number_parse("99999999999999999999", 0, INT64_MAX, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plus_is_a_space_in_text_alone),
        cmocka_unit_test(what_is_not_understood_is_named),
        cmocka_unit_test(recipients_and_labels_may_be_several),
        cmocka_unit_test(a_value_has_a_greatest_length),
        cmocka_unit_test(durations_have_units),
        cmocka_unit_test(times_are_of_rfc_3339),
        cmocka_unit_test(numbers_are_digits_within_bounds),
    };

    return cmocka_run_group_tests_name("api/params", tests, NULL, NULL);
}
