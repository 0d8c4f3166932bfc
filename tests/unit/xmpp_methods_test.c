/* The methods by their names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "xmpp/methods.h"

static void every_method_can_be_counted(void **state)
{
    (void)state;
    for (const struct method_ops *const *m = methods; *m; m++)
        if (!metric_knows(METRIC_ATTEMPTS, 0, (*m)->name))
            fail_msg("%s", (*m)->name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_method_can_be_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
