/* cli/signature: Standard Webhooks, with the example of its own libraries. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "cli/signature.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#define SECRET "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define RIGHT  "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
#define BODY   "{\"test\": 2432232314}"

static void a_signature_is_right_or_wrong(void **state)
{
    static const struct {
        const char *says, *secret, *timestamp, *signatures, *body;
        int64_t now;
        enum error_code want;
    } rows[] = {
        {"right", "whsec_" SECRET, "1614265330", RIGHT, BODY, 1614265330, ERR_NONE},
        {"the secret without its prefix", SECRET, "1614265330", RIGHT, BODY, 1614265330, ERR_NONE},
        {"one of several", SECRET, "1614265330", "v1a,x v1,AAAA " RIGHT, BODY, 1614265330, ERR_NONE},
        {"five minutes old", SECRET, "1614265330", RIGHT, BODY, 1614265630, ERR_NONE},
        {"older", SECRET, "1614265330", RIGHT, BODY, 1614265631, ERR_AUTH_EXPIRED},
        {"of the future", SECRET, "1614265330", RIGHT, BODY, 1614265029, ERR_AUTH_EXPIRED},
        {"another body", SECRET, "1614265330", RIGHT, BODY " ", 1614265330, ERR_AUTH_INVALID},
        {"another time", SECRET, "1614265331", RIGHT, BODY, 1614265331, ERR_AUTH_INVALID},
        {"another version", SECRET, "1614265330", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", BODY, 1614265330,
         ERR_AUTH_INVALID},
        {"cut", SECRET, "1614265330", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE", BODY, 1614265330,
         ERR_AUTH_INVALID},
        {"none", SECRET, "1614265330", "", BODY, 1614265330, ERR_AUTH_INVALID},
        {"no number", SECRET, "now", RIGHT, BODY, 1614265330, ERR_CONFIG},
        {"no secret", "", "1614265330", RIGHT, BODY, 1614265330, ERR_CONFIG},
        {"no base64", "whsec_hello", "1614265330", RIGHT, BODY, 1614265330, ERR_CONFIG},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct signed_message m = {"msg_p5jXN8AQM9LWM0D4loKWxJek", rows[i].timestamp, rows[i].signatures};
        struct error err = {0};

        signature_check(&m, rows[i].secret, rows[i].body, strlen(rows[i].body), rows[i].now, &err);
        if (err.code != rows[i].want)
            fail_msg("%s: %s %s", rows[i].says, error_name(err.code), err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_signature_is_right_or_wrong)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
