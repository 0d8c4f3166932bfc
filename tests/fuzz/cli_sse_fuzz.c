/* Any bytes as a stream of events, cut into lines as the client cuts them. */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sse sse = {0};

    while (size > 0) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t len = end ? (size_t)(end - data) : size;
        char *line = strndup((const char *)data, len); /* exact size, so that one byte too many is seen */

        if (sse_line(&sse, line))
            assert(strlen(sse.data.data) <= size + sse.data.len);
        assert(strlen(sse.event) < sizeof sse.event && strlen(sse.id) < sizeof sse.id);
        free(line);
        data += len + (end != NULL);
        size -= len + (end != NULL);
    }
    sse_free(&sse);
    return 0;
}
