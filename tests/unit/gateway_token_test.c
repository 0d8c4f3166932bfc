/* A token's section says what it may; what is wrong in it is named with what to write instead. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/token.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define ABC_SHA256  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define HASH        "sha256:" ABC_SHA256

static struct token *token_of(struct token_list *list)
{
    struct error err = {0};
    struct token *t = token_list_at(list, "ci-1", &err);

    if (!t)
        fail_msg("%s", err.text);
    return t;
}

static void must_set(struct token *t, const char *key, const char *value)
{
    struct error err = {0};

    if (!token_set(t, key, value, &err))
        fail_msg("%s", err.text);
}

static void every_key_arrives(void **state)
{
    struct token_list list = {0};
    struct token *t = token_of(&list);
    unsigned char digest[TOKEN_DIGEST];

    (void)state;
    must_set(t, "hash", HASH);
    must_set(t, "scopes", "send, read:all");
    must_set(t, "allow_to", "*@Example.ORG !boss@example.org");
    must_set(t, "max_size", "10M");
    must_set(t, "rate", "60/10");
    must_set(t, "active", "3");
    must_set(t, "daily_bytes", "1G");
    must_set(t, "inbox_of", "*@Example.ORG !boss@example.org");
    must_set(t, "from", "Reports,alerts-*");
    must_set(t, "expires", "2027-01-31T12:00:00Z");
    must_set(t, "note", "the build");
    assert_true(token_complete(t, NULL));
    assert_true(token_digest("abc", digest));
    assert_memory_equal(t->digest, digest, sizeof digest);
    assert_int_equal(t->scopes, SCOPE_SEND | SCOPE_UPLOAD | SCOPE_READ | SCOPE_READ_ALL);
    assert_string_equal(t->allow_to[0], "*@example.org");
    assert_string_equal(t->allow_to[1], "!boss@example.org");
    assert_null(t->allow_to[2]);
    assert_string_equal(t->allow_text, "*@Example.ORG !boss@example.org");
    assert_int_equal(t->max_size, 10 << 20);
    assert_int_equal(t->rate, 60);
    assert_int_equal(t->burst, 10);
    assert_int_equal(t->active, 3);
    assert_int_equal(t->daily_bytes, 1 << 30);
    assert_string_equal(t->inbox_of[0], "*@example.org");
    assert_string_equal(t->inbox_of[1], "!boss@example.org");
    assert_null(t->inbox_of[2]);
    assert_string_equal(t->from[0], "reports");
    assert_string_equal(t->from[1], "alerts-*");
    assert_null(t->from[2]);
    assert_int_equal(t->expires, 1801396800000);
    assert_string_equal(t->note, "the build");
    token_list_free(&list);
}

static void a_hash_is_enough(void **state)
{
    struct token_list list = {0};
    struct token *t = token_of(&list);
    struct error err = {0};

    (void)state;
    assert_false(token_complete(t, &err));
    assert_non_null(strstr(err.text, "[token ci-1] has no hash; make both: jidpost token create --id ci-1"));
    must_set(t, "hash", HASH);
    assert_true(token_complete(t, NULL));
    assert_int_equal(t->scopes,
                     SCOPE_SEND | SCOPE_UPLOAD | SCOPE_READ | SCOPE_CANCEL | SCOPE_RECIPIENTS | SCOPE_EVENTS);
    assert_null(t->allow_to[0]);
    assert_null(t->inbox_of[0]);
    assert_int_equal(t->max_size + t->rate + t->active + t->daily_bytes, 0);
    assert_int_equal(t->expires, 0);
    token_list_free(&list);
}

static void scopes_have_others_in_them(void **state)
{
    static const struct {
        const char *text;
        unsigned want;
    } rows[] = {
        {"send", SCOPE_SEND | SCOPE_UPLOAD},
        {"upload", SCOPE_UPLOAD},
        {"read", SCOPE_READ},
        {"read:all", SCOPE_READ | SCOPE_READ_ALL},
        {"cancel,recipients", SCOPE_CANCEL | SCOPE_RECIPIENTS},
        {"inbox", SCOPE_INBOX},
        {"admin", SCOPE_ALL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct token_list list = {0};
        struct token *t = token_of(&list);

        must_set(t, "scopes", rows[i].text);
        assert_int_equal(t->scopes, rows[i].want);
        token_list_free(&list);
    }
    assert_string_equal(token_scope_name(SCOPE_SEND), "send");
    assert_string_equal(token_scope_name(SCOPE_UPLOAD), "upload");
    assert_string_equal(token_scope_name(SCOPE_READ), "read");
    assert_string_equal(token_scope_name(SCOPE_READ_ALL), "read:all");
    assert_string_equal(token_scope_name(SCOPE_CANCEL), "cancel");
    assert_string_equal(token_scope_name(SCOPE_RECIPIENTS), "recipients");
    assert_string_equal(token_scope_name(SCOPE_INBOX), "inbox");
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        const char *key, *value, *why;
    } rows[] = {
        {"scope", "send", "[token ci-1] has no key 'scope'; did you mean 'scopes'?"},
        {"allowto", "*", "did you mean 'allow_to'?"},
        {"colour", "blue", "'jidpost config keys' lists them all"},
        {"hash", ABC_SHA256, "[token ci-1] hash: expected sha256:"},
        {"hash", HASH "0", "expected sha256:"},
        {"hash", "sha256:x" ABC_SHA256, "expected sha256:"},
        {"hash", "sha256:", "expected sha256:"},
        {"scopes", "send,reed", "'reed' is no scope; there are send, upload, read"},
        {"scopes", "", "at least one of send"},
        {"allow_to", "ana@example.org/desk", "fits no bare address"},
        {"allow_to", "!", "fits no bare address"},
        {"from", "reports@files.example.org", "[token ci-1] from: expected names before the '@'"},
        {"inbox_of", "gw@example.org/desk", "[token ci-1] inbox_of: 'gw@example.org/desk' fits no bare address"},
        {"max_size", "much", "expected a size"},
        {"max_size", "0", "expected a size"},
        {"rate", "0", "expected requests a minute"},
        {"rate", "60/", "expected requests a minute"},
        {"rate", "60/0", "expected requests a minute"},
        {"rate", "1000000000000000000060", "expected requests a minute"},
        {"active", "0", "expected a number from 1"},
        {"daily_bytes", "-1", "expected a size"},
        {"expires", "soon", "expected a time like 2027-01-31"},
        {"expires", "2027-01-31T12:00", "expected a time like"},
        {"expires", "2027-13-01", "expected a time like"},
        {"note", "a\x01", "control characters"},
        {"note", "\xff", "UTF-8"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct token_list list = {0};
        struct error err = {0};

        if (token_set(token_of(&list), rows[i].key, rows[i].value, &err))
            fail_msg("%s = %s was taken", rows[i].key, rows[i].value);
        if (err.code != ERR_CONFIG || !strstr(err.text, rows[i].why))
            fail_msg("%s = %s: %s", rows[i].key, rows[i].value, err.text);
        token_list_free(&list);
    }
}

static void a_key_stands_there_once(void **state)
{
    struct token_list list = {0};
    struct token *t = token_of(&list);
    struct error err = {0};

    (void)state;
    must_set(t, "note", "one");
    assert_false(token_set(t, "note", "two", &err));
    assert_string_equal(err.text, "[token ci-1] note is given twice");
    token_list_free(&list);
}

static void an_id_is_fit_for_a_file_name(void **state)
{
    static const struct {
        const char *id;
        bool want;
    } rows[] = {
        {"a", true},
        {"ci-1", true},
        {"0123456789abcdef0123456789abcdef", true},
        {"0123456789abcdef0123456789abcdefg", false},
        {"", false},
        {"..", false},
        {"a/b", false},
        {"a_b", false},
        {"a b", false},
        {"\xc3\xa4", false},
    };
    struct token_list list = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (token_id_valid(rows[i].id) != rows[i].want || !!token_list_at(&list, rows[i].id, NULL) != rows[i].want)
            fail_msg("'%s'", rows[i].id);
    assert_int_equal(list.count, 3);
    token_list_free(&list);
}

static void a_new_token_is_like_no_other(void **state)
{
    char one[TOKEN_TEXT], two[TOKEN_TEXT];

    (void)state;
    assert_true(token_make("ci-1", one) && token_make("ci-1", two));
    assert_memory_equal(one, "jp_ci-1_", 8);
    assert_int_equal(strlen(one), 8 + TOKEN_SECRET);
    assert_int_equal(strspn(one + 8, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), TOKEN_SECRET);
    assert_string_not_equal(one, two);
    assert_true(token_make("0123456789abcdef0123456789abcdef", one));
    assert_int_equal(strlen(one), TOKEN_TEXT - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_arrives),
        cmocka_unit_test(a_hash_is_enough),
        cmocka_unit_test(scopes_have_others_in_them),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(a_key_stands_there_once),
        cmocka_unit_test(an_id_is_fit_for_a_file_name),
        cmocka_unit_test(a_new_token_is_like_no_other),
    };

    return cmocka_run_group_tests_name("gateway/token", tests, NULL, NULL);
}
