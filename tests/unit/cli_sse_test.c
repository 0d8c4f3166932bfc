/* cli/sse: server-sent events, line by line (WHATWG HTML section 9.2.6). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "cli/sse.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static void lines_make_events(void **state)
{
    static const struct {
        const char *says, *lines[8];
        const char *want; /* "event|data|id" of each, a semicolon behind */
    } rows[] = {
        {"one", {"id: 1", "event: a", "data: {}", ""}, "a|{}|1;"},
        {"without blanks", {"id:1", "event:a", "data:{}", ""}, "a|{}|1;"},
        {"two lines of data", {"data: a", "data: b", ""}, "|a\nb|;"},
        {"a comment is nothing", {": ping", "", "data: x", ""}, "|x|;"},
        {"no data, no event", {"id: 4", "event: a", "", "data: x", ""}, "|x|4;"},
        {"the id stays", {"id: 4", "data: x", "", "data: y", ""}, "|x|4;|y|4;"},
        {"unknown fields", {"retry: 3000", "dat: x", "database: y", "data: z", ""}, "|z|;"},
        {"not ended", {"data: x"}, ""},
        {"an empty line more", {"data: x", "", "", "data: y", ""}, "|x|;|y|;"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sse s = {0};
        char got[200] = "";

        for (size_t l = 0; l < COUNT(rows[i].lines) && rows[i].lines[l]; l++) {
            if (sse_line(&s, rows[i].lines[l]))
                snprintf(got + strlen(got), sizeof got - strlen(got), "%s|%s|%s;", s.event, s.data.data, s.id);
        }
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: '%s', not '%s'", rows[i].says, got, rows[i].want);
        sse_free(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines_make_events)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
