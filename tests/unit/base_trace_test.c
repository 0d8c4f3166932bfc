/* base/trace: traceparent as W3C Trace Context has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/trace.h"

#define ID     "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"
#define GOOD   "00-" ID "-" PARENT "-01"

static void a_header_is_read_strictly(void **state)
{
    static const struct {
        const char *says, *header, *want; /* NULL: it is none */
    } rows[] = {
        {"the specification's example", GOOD, GOOD},
        {"not sampled", "00-" ID "-" PARENT "-00", "00-" ID "-" PARENT "-00"},
        {"flags that are not known are handed on", "00-" ID "-" PARENT "-ff", "00-" ID "-" PARENT "-ff"},
        {"a version to come", "cc-" ID "-" PARENT "-01", GOOD},
        {"and more behind it", "cc-" ID "-" PARENT "-01-what-the-future-will-be-like", GOOD},
        {"more, not set apart", "cc-" ID "-" PARENT "-01.what", NULL},
        {"version 00 has no more", GOOD "-extra", NULL},
        {"nor a dash", GOOD "-", NULL},
        {"version ff", "ff-" ID "-" PARENT "-01", NULL},
        {"capital letters", "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01", NULL},
        {"no version", ID "-" PARENT "-01", NULL},
        {"a version of one digit", "0-" ID "-" PARENT "-01-", NULL},
        {"a trace of zeros", "00-00000000000000000000000000000000-" PARENT "-01", NULL},
        {"a parent of zeros", "00-" ID "-0000000000000000-01", NULL},
        {"a trace too short", "00-4bf92f3577b34da6a3ce929d0e0e473-" PARENT "-001", NULL},
        {"no digit", "00-4bf92f3577b34da6a3ce929d0e0e473g-" PARENT "-01", NULL},
        {"other signs between", "00_" ID "_" PARENT "_01", NULL},
        {"flags of one digit", "00-" ID "-" PARENT "-1", NULL},
        {"flags that are no number", "00-" ID "-" PARENT "-0x", NULL},
        {"space", " " GOOD, NULL},
        {"empty", "", NULL},
        {"a line break", "00-" ID "-" PARENT "-0\n", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *exact = strdup(rows[i].header), out[TRACE_PARENT]; /* so that ASan sees a byte too many */
        bool read = trace_parse(exact, strlen(exact), out);

        if (read != (rows[i].want != NULL) || strcmp(out, rows[i].want ? rows[i].want : "") != 0)
            fail_msg("%s: '%s'", rows[i].says, out);
        free(exact);
    }
}

static void the_trace_is_the_second_part(void **state)
{
    char id[TRACE_ID];

    (void)state;
    assert_string_equal(trace_id(GOOD, id), ID);
    assert_null(trace_id("", id));
    assert_null(trace_id(NULL, id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_is_read_strictly),
        cmocka_unit_test(the_trace_is_the_second_part),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
