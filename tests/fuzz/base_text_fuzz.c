/* What passes the gate is XML text; what is cleaned or decoded fits and ends. The first byte sets the room. */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1;
    struct error err;
    size_t max;
    char *copy, *out;

    if (size < 2)
        return 0;
    max = data[0];
    size--;
    copy = strndup(text, size);
    out = malloc(max + 1);
    assert(copy && out);
    text_clean(copy, out, max + 1);
    assert(strlen(out) <= max && text_is_xml(out, strlen(out)));
    if (text_name_check(text, size, &err))
        assert(size <= 255 && text_is_xml(text, size));
    if (text_percent_decode(text, size, false, out, max + 1, &err))
        assert(strlen(out) <= max);
    assert(text_whole(text, size) <= size);
    assert(text_glob("*", copy) && text_glob(copy, copy));
    free(copy);
    free(out);
    return 0;
}
