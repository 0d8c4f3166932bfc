/* Any bytes as X-Forwarded-For and Forwarded, split into lines at line feeds. Whoever is not trusted stays who he is;
 * and what a trusted proxy writes behind a caller's invention is what counts. */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/forwarded.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is(const struct caller *c, const char *address)
{
    char text[CALLER_TEXT];

    return strcmp(caller_text(c, text), address) == 0;
}

static size_t split(char *text, const char *lines[static FORWARDED_LINES])
{
    size_t n = 0;

    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        if (n++ < FORWARDED_LINES)
            lines[n - 1] = line;
    }
    return n;
}

/* The caller wrote that much, and our proxy this behind it. */
static void check_behind(const struct trust *trust, const char *invented, bool standard)
{
    struct caller c;
    struct forwarded said = {0};
    char *line = NULL;

    assert(caller_parse(&c, "10.0.0.1"));
    assert(asprintf(&line, standard ? "%s, for=203.0.113.5" : "%s, 203.0.113.5", invented) > 0);
    said.x_for[0] = said.standard[0] = line;
    said.x_fors = !standard;
    said.standards = standard;
    if (forwarded_caller(trust, &said, &c, NULL))
        assert(is(&c, "203.0.113.5"));
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char net[] = "10.0.0.0/8", local[] = "unix";
    static char *const words[] = {net, local, NULL};
    struct trust *trust = trust_create(words);
    char *text = strndup((const char *)data, size),
         *lines = strdup(text); /* exact size, so that one byte too many is seen */
    struct forwarded said = {0};
    struct caller c = caller_of(NULL), stranger;

    said.x_fors = split(lines, said.x_for);
    memcpy(said.standard, said.x_for, sizeof said.standard);
    said.standards = said.x_fors;
    assert(caller_parse(&stranger, "203.0.113.9"));
    assert(forwarded_caller(trust, &said, &stranger, NULL) && is(&stranger, "203.0.113.9"));
    forwarded_caller(trust, &said, &c, NULL);
    said.standards = 0;
    c = caller_of(NULL);
    forwarded_caller(trust, &said, &c, NULL);
    said.standards = said.x_fors;
    said.x_fors = 0;
    c = caller_of(NULL);
    forwarded_caller(trust, &said, &c, NULL);
    check_behind(trust, text, false);
    check_behind(trust, text, true);
    trust_destroy(&trust);
    free(lines);
    free(text);
    return 0;
}
