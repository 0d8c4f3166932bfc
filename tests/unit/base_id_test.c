/* base/id: ULIDs with a prefix (github.com/ulid/spec), and what may pass for one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"

static void the_time_stands_in_front(void **state)
{
    static const struct {
        long long ms;
        const char *digits;
    } rows[] = {
        {1469918176385LL, "01ARYZ6S41"}, /* the specification's own example */
        {0, "0000000000"},
        {31, "000000000Z"},
        {32, "0000000010"},
        {(1LL << 48) - 1, "7ZZZZZZZZZ"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char id[ID_SIZE];

        id_make(id, "tr", rows[i].ms);
        assert_memory_equal(id, "tr_", 3);
        assert_memory_equal(id + 3, rows[i].digits, 10);
        assert_int_equal(strlen(id), ID_LEN);
        assert_true(id_valid(id, "tr"));
        assert_int_equal(id_time(id), rows[i].ms);
    }
}

static void later_ones_sort_behind_earlier_ones(void **state)
{
    char before[ID_SIZE], after[ID_SIZE];

    (void)state;
    for (long long ms = 1700000000000LL; ms < 1700000000100LL; ms++) {
        id_make(before, "tr", ms);
        id_make(after, "tr", ms + 1);
        assert_true(strcmp(before, after) < 0);
    }
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, ID_SIZE);
}

static void no_two_of_one_millisecond_are_the_same(void **state)
{
    enum { COUNT = 5000 };
    static char ids[COUNT][ID_SIZE];

    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        id_make(ids[i], "tr", 1700000000000LL);
    qsort(ids, COUNT, ID_SIZE, compare);
    for (size_t i = 1; i < COUNT; i++)
        assert_string_not_equal(ids[i - 1], ids[i]);
}

static void every_random_digit_takes_every_value(void **state)
{
    bool seen[16][128] = {{false}};

    (void)state;
    for (int i = 0; i < 2000; i++) { /* 32 values: one staying away that long has odds below 1e-24 */
        char id[ID_SIZE];

        id_make(id, "tr", 0);
        for (size_t k = 0; k < 16; k++)
            seen[k][(unsigned char)id[13 + k]] = true;
    }
    for (size_t k = 0; k < 16; k++) {
        for (const char *digit = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; *digit; digit++)
            assert_true(seen[k][(unsigned char)*digit]);
    }
}

static void only_the_exact_shape_passes_for_an_id(void **state)
{
    static const struct {
        const char *says, *text;
        bool want;
    } rows[] = {
        {"an id", "tr_01ARYZ6S41TSV4RRFFQ69G5FAV", true},
        {"empty", "", false},
        {"the prefix alone", "tr_", false},
        {"another prefix", "up_01ARYZ6S41TSV4RRFFQ69G5FAV", false},
        {"no underscore", "tr-01ARYZ6S41TSV4RRFFQ69G5FAV", false},
        {"lower case", "tr_01aryz6s41tsv4rrffq69g5fav", false},
        {"a letter that is no digit", "tr_01ARYZ6S41TSV4RRFFQ69G5FAU", false},
        {"one digit short", "tr_01ARYZ6S41TSV4RRFFQ69G5FA", false},
        {"one digit long", "tr_01ARYZ6S41TSV4RRFFQ69G5FAVV", false},
        {"more than 128 bits", "tr_81ARYZ6S41TSV4RRFFQ69G5FAV", false},
        {"a way out of the folder", "tr_../../../../../etc/passwd0", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (id_valid(rows[i].text, "tr") != rows[i].want)
            fail_msg("%s: '%s'", rows[i].says, rows[i].text);
    }
}

static void random_hex_has_two_digits_a_byte_and_differs(void **state)
{
    char a[33], b[33];

    (void)state;
    id_random_hex(a, 16);
    id_random_hex(b, 16);
    assert_int_equal(strlen(a), 32);
    assert_int_equal(strspn(a, "0123456789abcdef"), 32);
    assert_string_not_equal(a, b);
    id_random_hex(a, 0);
    assert_string_equal(a, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_time_stands_in_front),
        cmocka_unit_test(later_ones_sort_behind_earlier_ones),
        cmocka_unit_test(no_two_of_one_millisecond_are_the_same),
        cmocka_unit_test(every_random_digit_takes_every_value),
        cmocka_unit_test(only_the_exact_shape_passes_for_an_id),
        cmocka_unit_test(random_hex_has_two_digits_a_byte_and_differs),
    };
    return cmocka_run_group_tests_name("base/id", tests, NULL, NULL);
}
