/* Which token it is, and what it may: a refusal names the rule, and never the token. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/tokens.h"
#include "base/clock.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* "ci-1" whose token is `text`, and keys and values. */
static struct token *add(struct config *c, const char *id, const char *text, const char *const *keys)
{
    struct error err = {0};
    struct token *t = token_list_at(&c->tokens, id, &err);

    assert_non_null(t);
    assert_true(token_digest(text, t->digest));
    t->given |= 1; /* the hash */
    for (; *keys; keys += 2)
        if (!token_set(t, keys[0], keys[1], &err))
            fail_msg("%s", err.text);
    assert_true(token_complete(t, NULL));
    return t;
}

static struct token *one(struct config *c, const char *key, const char *value)
{
    return add(c, "ci-1", "jp_ci-1_secret", (const char *const[]){key, value, NULL});
}

static void each_is_found_by_its_own_text(void **state)
{
    static char plain[] = "an-older-plain-one";
    struct config c = {.http.token = plain};
    struct tokens *tokens;

    (void)state;
    add(&c, "a", "jp_a_1", (const char *const[]){"scopes", "send", NULL});
    add(&c, "b", "jp_b_2", (const char *const[]){"note", "x", NULL});
    tokens = tokens_load(&c, NULL);
    token_list_free(&c.tokens); /* they are copied */
    assert_string_equal(tokens_find(tokens, "jp_a_1", NULL)->id, "a");
    assert_string_equal(tokens_find(tokens, "jp_b_2", NULL)->id, "b");
    assert_string_equal(tokens_find(tokens, plain, NULL)->id, "http.token");
    assert_int_equal(tokens_find(tokens, plain, NULL)->scopes, SCOPE_ALL);
    tokens_release(&tokens);
}

static void an_unknown_id_and_a_wrong_secret_are_told_the_same(void **state)
{
    static const char *const rows[] = {"jp_ci-1_wrong", "jp_other_secret", "jp_ci-1_secre", "jp_ci-1_secret2", ""};
    struct config c = {0};
    struct tokens *tokens;
    struct error first = {0};

    (void)state;
    one(&c, "scopes", "send");
    tokens = tokens_load(&c, NULL);
    assert_null(tokens_find(tokens, "x", &first));
    assert_int_equal(first.code, ERR_AUTH_INVALID);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = {0};

        assert_null(tokens_find(tokens, rows[i], &err));
        assert_int_equal(err.code, first.code);
        assert_string_equal(err.text, first.text);
    }
    tokens_release(&tokens);
    token_list_free(&c.tokens);
}

static void a_token_expires(void **state)
{
    struct config c = {0};
    struct error err = {0};
    struct tokens *tokens;

    (void)state;
    one(&c, "expires", "1970-01-01T00:00:10Z");
    tokens = tokens_load(&c, NULL);
    clock_fake(0, 9999);
    assert_non_null(tokens_find(tokens, "jp_ci-1_secret", NULL));
    clock_advance(1);
    assert_null(tokens_find(tokens, "jp_ci-1_secret", &err));
    assert_int_equal(err.code, ERR_AUTH_EXPIRED);
    assert_null(tokens_find(tokens, "jp_ci-1_wrong", &err));
    assert_int_equal(err.code, ERR_AUTH_INVALID);
    clock_real();
    tokens_release(&tokens);
    token_list_free(&c.tokens);
}

static void a_table_lives_as_long_as_somebody_holds_it(void **state)
{
    struct config c = {0};
    struct tokens *old, *held;
    const struct token *t;

    (void)state;
    one(&c, "note", "x");
    old = tokens_load(&c, NULL);
    held = tokens_hold(old);
    t = tokens_find(held, "jp_ci-1_secret", NULL);
    tokens_release(&old);
    assert_null(old);
    assert_string_equal(t->note, "x");
    tokens_release(&held);
    tokens_release(&held); /* NULL is fine */
    token_list_free(&c.tokens);
}

static void scopes_are_what_a_token_is_for(void **state)
{
    char rule[RULE_TEXT] = "";
    struct error err = {0};
    struct config c = {0};
    struct token *t = one(&c, "scopes", "send, read");

    (void)state;
    assert_true(token_may(t, SCOPE_SEND, rule, NULL));
    assert_true(token_may(t, SCOPE_READ, rule, NULL));
    assert_true(token_may(t, 0, rule, NULL));
    assert_true(token_may(NULL, SCOPE_CANCEL, rule, NULL));
    assert_string_equal(rule, "");
    assert_false(token_may(t, SCOPE_CANCEL, rule, &err));
    assert_int_equal(err.code, ERR_SCOPE_MISSING);
    assert_string_equal(err.text, "the token ci-1 lacks the scope 'cancel'");
    assert_string_equal(rule, "token ci-1: scopes=send, read");
    token_list_free(&c.tokens);
}

static void from_names_whom_it_may_send_as(void **state)
{
    static const struct {
        const char *from, *as; /* from NULL: left out */
        bool usual;
        const char *rule; /* NULL: allowed */
    } rows[] = {
        {NULL, "jidpost", true, NULL},
        {NULL, "reports", false, "token ci-1: from="},
        {"reports alerts-*", "reports", false, NULL},
        {"reports alerts-*", "alerts-7", false, NULL},
        {"reports alerts-*", "billing", false, "token ci-1: from=reports alerts-*"},
        {"reports", "jidpost", true, "token ci-1: from=reports"},
        {"!billing", "reports", false, NULL},
        {"!billing", "billing", false, "token ci-1: from=!billing"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config c = {0};
        char rule[RULE_TEXT] = "", text[100];
        struct jid from;
        struct error err = {0};

        snprintf(text, sizeof text, "%s@files.example.org", rows[i].as);
        assert_true(jid_parse(&from, text, strlen(text), NULL));
        if (token_may_send_as(one(&c, rows[i].from ? "from" : "note", rows[i].from ? rows[i].from : "x"), &from,
                              rows[i].usual, rule, &err) != !rows[i].rule ||
            strcmp(rule, rows[i].rule ? rows[i].rule : "") != 0 ||
            err.code != (rows[i].rule ? ERR_FROM_NOT_ALLOWED : ERR_NONE))
            fail_msg("%s as %s: '%s' %s", rows[i].from, rows[i].as, rule, err.text);
        token_list_free(&c.tokens);
    }
}

static void allow_to_names_whom_it_may_reach_and_deny_wins(void **state)
{
    static const struct {
        const char *allow_to, *to, *rule; /* rule NULL: allowed */
    } rows[] = {
        {"", "ana@example.org", NULL},
        {"*@example.org", "ana@example.org", NULL},
        {"*@example.org", "ana@example.org/desk", NULL},
        {"*@Example.ORG", "Ana@EXAMPLE.org", NULL},
        {"ana@example.org", "ana@example.org", NULL},
        {"a@b ana@example.org", "ana@example.org", NULL},
        {"!boss@example.org", "ana@example.org", NULL},
        {"*@example.org", "ana@example.net", "token ci-1: allow_to=*@example.org"},
        {"*@example.org", "ana@sub.example.org", "token ci-1: allow_to=*@example.org"},
        {"*@example.org", "x@example.net/a@example.org", "token ci-1: allow_to=*@example.org"},
        {"!boss@example.org", "boss@example.org", "token ci-1: allow_to=!boss@example.org"},
        {"*@example.org,!boss@*", "boss@example.org/desk", "token ci-1: allow_to=!boss@*"},
        {"!boss@* *@example.org", "boss@example.org", "token ci-1: allow_to=!boss@*"},
        {"!*", "ana@example.org", "token ci-1: allow_to=!*"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char rule[RULE_TEXT] = "";
        struct error err = {0};
        struct config c = {0};
        struct jid to;

        assert_true(jid_parse(&to, rows[i].to, strlen(rows[i].to), NULL));
        if (token_may_reach(one(&c, "allow_to", rows[i].allow_to), &to, rule, &err) != !rows[i].rule ||
            strcmp(rule, rows[i].rule ? rows[i].rule : "") != 0 ||
            err.code != (rows[i].rule ? ERR_RECIPIENT_NOT_ALLOWED : ERR_NONE))
            fail_msg("%s to %s: '%s' %s", rows[i].allow_to, rows[i].to, rule, err.text);
        token_list_free(&c.tokens);
    }
}

static void a_file_is_at_most_as_large_as_it_says(void **state)
{
    char rule[RULE_TEXT] = "";
    struct error err = {0};
    struct config c = {0};
    struct token *t = one(&c, "max_size", "1K");

    (void)state;
    assert_true(token_may_send(t, 1024, rule, NULL));
    assert_true(token_may_send(NULL, UINT64_MAX, rule, NULL));
    assert_string_equal(rule, "");
    assert_false(token_may_send(t, 1025, rule, &err));
    assert_int_equal(err.code, ERR_BODY_TOO_LARGE);
    assert_string_equal(rule, "token ci-1: max_size=1024");
    token_list_free(&c.tokens);
}

static void inbox_of_names_whose_files_it_sees(void **state)
{
    static const struct {
        const char *scopes, *inbox_of, *to;
        bool want;
    } rows[] = {
        {"inbox", "", "gw@example.org", true},
        {"read:all", "", "gw@example.org", false},
        {"inbox", "gw@example.org", "gw@example.org", true},
        {"inbox", "gw@example.org", "reports@example.org", false},
        {"inbox", "!gw@example.org", "gw@example.org", false},
        {"inbox", "!gw@example.org", "reports@example.org", true},
        {"inbox", "*@example.org,!gw@*", "gw@example.org", false},
        {"admin", "", "gw@example.org", true},
        {"admin", "reports@example.org", "gw@example.org", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct config c = {0};
        const char *const keys[] = {"scopes", rows[i].scopes, "inbox_of", rows[i].inbox_of, NULL};
        struct token *t = add(&c, "ci-1", "jp_ci-1_secret", keys);

        if (token_sees_inbox(t, rows[i].to) != rows[i].want)
            fail_msg("%s of %s: %s", rows[i].scopes, rows[i].inbox_of, rows[i].to);
        token_list_free(&c.tokens);
    }
    assert_true(token_sees_inbox(NULL, "gw@example.org"));
}

static void a_transfer_is_there_for_who_made_it_and_who_may_see_all(void **state)
{
    static const struct {
        const char *scopes, *made_with;
        bool want;
    } rows[] = {
        {"read", "ci-1", true},     {"read", "ci-2", false},  {"read", NULL, false},   {"cancel", "ci-1", true},
        {"read:all", "ci-2", true}, {"read:all", NULL, true}, {"admin", "ci-2", true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct record *r = record_new();
        struct config c = {0};

        assert_true(record_text(&r->token, rows[i].made_with));
        if (token_sees(one(&c, "scopes", rows[i].scopes), r) != rows[i].want)
            fail_msg("%s, made with %s", rows[i].scopes, rows[i].made_with ? rows[i].made_with : "none");
        assert_true(token_sees(NULL, r));
        record_free(&r);
        token_list_free(&c.tokens);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_found_by_its_own_text),
        cmocka_unit_test(an_unknown_id_and_a_wrong_secret_are_told_the_same),
        cmocka_unit_test(a_token_expires),
        cmocka_unit_test(a_table_lives_as_long_as_somebody_holds_it),
        cmocka_unit_test(scopes_are_what_a_token_is_for),
        cmocka_unit_test(from_names_whom_it_may_send_as),
        cmocka_unit_test(allow_to_names_whom_it_may_reach_and_deny_wins),
        cmocka_unit_test(a_file_is_at_most_as_large_as_it_says),
        cmocka_unit_test(inbox_of_names_whose_files_it_sees),
        cmocka_unit_test(a_transfer_is_there_for_who_made_it_and_who_may_see_all),
    };

    return cmocka_run_group_tests_name("api/tokens", tests, NULL, NULL);
}
