/* base/error.c - the vocabulary of failures, see error.h. */
#include "base/error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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

void error_keep(struct error **kept, const struct error *err)
{
    static struct error no_memory = {ERR_INTERNAL, "out of memory"};
    struct error *copy = err ? malloc(sizeof *copy) : NULL;

    if (copy)
        *copy = *err;
    else if (err)
        copy = &no_memory;
    if (*kept != &no_memory)
        free(*kept);
    *kept = copy;
}

enum error_code error_kept(const struct error *kept)
{
    return kept ? kept->code : ERR_NONE;
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
