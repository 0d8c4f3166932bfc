/* Who has the token gets in, by either scheme; who has not does not learn how close he was. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/auth.h"

static void the_token_opens_by_either_scheme(void **state)
{
    static const struct {
        const char *value;
        enum error_code want;
    } rows[] = {
        {NULL, ERR_AUTH_MISSING},
        {"Bearer s3cret-token", ERR_NONE},
        {"bearer   s3cret-token", ERR_NONE},
        {"Basic OnMzY3JldC10b2tlbg==", ERR_NONE},         /* :s3cret-token */
        {"Basic Y3VybDpzM2NyZXQtdG9rZW4=", ERR_NONE},     /* curl:s3cret-token */
        {"Basic czNjcmV0LXRva2Vu", ERR_AUTH_INVALID},     /* no colon */
        {"Basic OnMzY3JldC10b2tlbQ==", ERR_AUTH_INVALID}, /* :s3cret-tokem */
        {"Basic OnMzY3JldC10b2tlbg", ERR_AUTH_INVALID},   /* no padding */
        {"Basic !!!!", ERR_AUTH_INVALID},
        {"Basic ", ERR_AUTH_INVALID},
        {"Bearer s3cret-toke", ERR_AUTH_INVALID},
        {"Bearer s3cret-token2", ERR_AUTH_INVALID},
        {"Bearer ", ERR_AUTH_INVALID},
        {"Bearer", ERR_AUTH_INVALID},
        {"Digest s3cret-token", ERR_AUTH_INVALID},
        {"s3cret-token", ERR_AUTH_INVALID},
        {"", ERR_AUTH_INVALID},
    };
    static char text[] = "s3cret-token";
    const struct config config = {.http.token = text};
    struct tokens *tokens = tokens_load(&config, NULL);

    (void)state;
    assert_non_null(tokens);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct token *who;
        struct error err = {0};

        if (auth_check(tokens, rows[i].value, &who, &err) != (rows[i].want == ERR_NONE) || err.code != rows[i].want)
            fail_msg("'%s': %s", rows[i].value ? rows[i].value : "-", error_name(err.code));
        assert_true(!who == (rows[i].want != ERR_NONE));
    }
    tokens_release(&tokens);
}

static void without_a_token_nothing_is_asked(void **state)
{
    const struct config config = {0};
    struct tokens *tokens = tokens_load(&config, NULL);
    const struct token *who;

    (void)state;
    assert_true(auth_check(tokens, NULL, &who, NULL));
    assert_null(who);
    assert_true(auth_check(tokens, "Bearer whatever", &who, NULL));
    assert_null(who);
    tokens_release(&tokens);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_token_opens_by_either_scheme),
        cmocka_unit_test(without_a_token_nothing_is_asked),
    };

    return cmocka_run_group_tests_name("api/auth", tests, NULL, NULL);
}
