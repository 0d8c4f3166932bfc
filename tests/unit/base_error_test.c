/* base/error: the vocabulary clients match on, and a value that always holds a whole sentence. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/error.h"
#include "base/text.h"

static void every_name_leads_back_to_its_code_alone(void **state)
{
    (void)state;
    for (int i = 0; i < ERROR_CODE_COUNT; i++) {
        enum error_code code = ERR_NONE;

        assert_true(error_code_parse(error_name((enum error_code)i), &code));
        assert_int_equal(code, i); /* a second code with the same name would be found first */
    }
}

static void names_are_lower_case_words_joined_by_underscores(void **state)
{
    (void)state;
    for (int i = 0; i < ERROR_CODE_COUNT; i++) {
        const char *name = error_name((enum error_code)i);

        assert_true(strlen(name) > 0);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
    }
}

static void a_name_of_another_version_is_not_guessed(void **state)
{
    enum error_code code = ERR_SPOOL_FULL;

    (void)state;
    assert_false(error_code_parse("recipient_on_holiday", &code));
    assert_false(error_code_parse("", &code));
    assert_false(error_code_parse("Internal", &code));
    assert_int_equal(code, ERR_SPOOL_FULL);
}

static void each_code_says_what_helps(void **state)
{
    (void)state;
    assert_int_equal(error_retry(ERR_RECIPIENT_DECLINED), RETRY_NEVER);
    assert_int_equal(error_retry(ERR_PROXY_REFUSED), RETRY_METHOD);
    assert_int_equal(error_retry(ERR_STREAM_BROKEN), RETRY_LATER);
}

static void setting_an_error_returns_false_and_formats(void **state)
{
    struct error err = {0};

    (void)state;
    assert_false(error_set(&err, ERR_JID_INVALID, "'%s' has no resource %d", "a@b", 7));
    assert_int_equal(err.code, ERR_JID_INVALID);
    assert_string_equal(err.text, "'a@b' has no resource 7");
}

static void nobody_has_to_want_the_error(void **state)
{
    (void)state;
    assert_false(error_set(NULL, ERR_INTERNAL, "%s", "unseen"));
}

static void the_old_text_may_be_part_of_the_new_one(void **state)
{
    struct error err = {0};

    (void)state;
    error_set(&err, ERR_SYSTEM, "disk full");
    error_set(&err, ERR_SPOOL_FULL, "spool: %s", err.text);
    assert_string_equal(err.text, "spool: disk full");
}

static void a_long_text_is_cut_between_characters(void **state)
{
    (void)state;
    for (size_t shift = 0; shift < 8; shift++) {
        char text[400] = "xxxxxxxx";
        struct error err;

        for (size_t at = shift; at + 4 < sizeof(text); at += 4)
            memcpy(text + at, "\xf0\x9f\x98\x80", 5); /* four bytes each: some cut falls within one */
        error_set(&err, ERR_PEER_ERROR, "%s", text);
        assert_true(text_is_xml(err.text, strlen(err.text)));
        assert_in_range(strlen(err.text), sizeof(err.text) - 4, sizeof(err.text) - 1);
        assert_memory_equal(err.text, text, strlen(err.text));
    }
}

static void a_text_that_just_fits_is_kept_whole(void **state)
{
    char text[sizeof(((struct error *)0)->text)];
    struct error err;

    (void)state;
    memset(text, 'x', sizeof(text) - 3);
    memcpy(text + sizeof(text) - 3, "\xc3\xa9", 3);
    error_set(&err, ERR_PEER_ERROR, "%s", text);
    assert_string_equal(err.text, text);
}

static void what_is_kept_is_a_copy_until_it_is_replaced_or_dropped(void **state)
{
    struct error err, *kept = NULL;

    (void)state;
    assert_int_equal(error_kept(kept), ERR_NONE);
    error_set(&err, ERR_PEER_ERROR, "one");
    error_keep(&kept, &err);
    error_set(&err, ERR_SYSTEM, "two");
    assert_int_equal(error_kept(kept), ERR_PEER_ERROR);
    assert_string_equal(kept->text, "one");
    error_keep(&kept, &err);
    error_keep(&kept, kept); /* itself: copied before the old one goes */
    assert_int_equal(error_kept(kept), ERR_SYSTEM);
    assert_string_equal(kept->text, "two");
    error_keep(&kept, NULL);
    assert_null(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_leads_back_to_its_code_alone),
        cmocka_unit_test(names_are_lower_case_words_joined_by_underscores),
        cmocka_unit_test(a_name_of_another_version_is_not_guessed),
        cmocka_unit_test(each_code_says_what_helps),
        cmocka_unit_test(setting_an_error_returns_false_and_formats),
        cmocka_unit_test(nobody_has_to_want_the_error),
        cmocka_unit_test(the_old_text_may_be_part_of_the_new_one),
        cmocka_unit_test(a_long_text_is_cut_between_characters),
        cmocka_unit_test(a_text_that_just_fits_is_kept_whole),
        cmocka_unit_test(what_is_kept_is_a_copy_until_it_is_replaced_or_dropped),
    };
    return cmocka_run_group_tests_name("base/error", tests, NULL, NULL);
}
