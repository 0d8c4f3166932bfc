/* base/error.c - the vocabulary of failures, see error.h. */
#include "base/error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static const struct {
    const char *name;
    enum error_retry retry;
} codes[] = {
#define X(code, name, retry) [code] = {name, RETRY_##retry},
    ERROR_CODES(X)
#undef X
};

bool error_set(struct error *err, enum error_code code, const char *fmt, ...)
{
    va_list args;
    int len;

    assert(code > ERR_NONE && code < ERROR_CODE_COUNT);
    if (!err)
        return false;
    /* An argument may be the old text ("store: %s"), so the new one is made beside it. */
    struct error made = {.code = code};
    va_start(args, fmt);
    len = vsnprintf(made.text, sizeof(made.text), fmt, args);
    va_end(args);
    if (len < 0)
        made.text[0] = '\0';
    else if ((size_t)len >= sizeof(made.text))
        made.text[text_whole(made.text, sizeof(made.text) - 1)] = '\0';
    *err = made;
    return false;
}

const char *error_name(enum error_code code)
{
    assert(code < ERROR_CODE_COUNT);
    return codes[code].name;
}

enum error_retry error_retry(enum error_code code)
{
    assert(code < ERROR_CODE_COUNT);
    return codes[code].retry;
}

bool error_code_parse(const char *name, enum error_code *code)
{
    for (size_t i = 0; i < ERROR_CODE_COUNT; i++) {
        if (strcmp(codes[i].name, name) == 0) {
            *code = (enum error_code)i;
            return true;
        }
    }
    return false;
}
