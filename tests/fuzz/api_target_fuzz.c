/* Any bytes as a request target: split, decoded, routed, its query read. */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/params.h"
#include "api/routes.h"
#include "api/target.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct target *t)
{
    struct params p = {0};
    char allow[ROUTE_ALLOW];
    struct error err;

    for (size_t i = 0; i < t->segments && i < TARGET_SEGMENTS; i++)
        assert(strlen(t->segment[i]) <= strlen(t->raw));
    route_find(t, "PUT", allow);
    assert(strlen(allow) < ROUTE_ALLOW);
    if (params_read(&p, t, ~0u, &err))
        for (size_t i = 0; i < PARAM_COUNT; i++)
            assert(!p.value[i] || text_is_xml(p.value[i], strlen(p.value[i])));
    else
        assert(text_is_xml(err.text, strlen(err.text)));
    params_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *raw = strndup((const char *)data, size); /* exact size, so that one byte too many is seen */
    struct error err = {0};
    struct target t;

    if (target_parse(&t, raw, &err)) {
        use(&t);
        target_free(&t);
    } else {
        assert(err.code == ERR_REQUEST_MALFORMED);
    }
    free(raw);
    return 0;
}
