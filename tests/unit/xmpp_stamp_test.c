/* xmpp/stamp.c: XEP-0082 as people write it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "xmpp/stamp.h"

static void time_is_read_as_people_write_it(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"2009-02-13T23:31:30Z", 1234567890000},
        {"2009-02-13T23:31:30.5Z", 1234567890000},
        {"2009-02-13T23:31:30", 1234567890000},
        {"2009-02-14T00:31:30+01:00", 1234567890000},
        {"2009-02-13T20:01:30.123456-03:30", 1234567890000},
        {"2009-02-13T23:31Z", 1234567860000},
        {"2009-02-13T23:31", 1234567860000},
        {"2009-02-13", 0},
        {"2009-02-13T23:31:30 Z", 0},
        {"2009-02-13T23:31:30+0100", 0},
        {"2009-02-13T23:31:30+1:000", 0},
        {"2009-02-13T23:31:30+01:00Z", 0},
        {"2009-02-13T23:31:", 0},
        {"1900-01-01T00:00:00Z", 0},
        {"yesterday", 0},
        {"", 0},
        {NULL, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        print_message("%s\n", rows[i].text ? rows[i].text : "none");
        assert_int_equal(stamp_read(rows[i].text), rows[i].ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(time_is_read_as_people_write_it)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
