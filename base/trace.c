#include "base/trace.h"

#include <string.h>

enum { VERSION = 0, TRACE = 3, PARENT = 36, FLAGS = 53, WHOLE = 55 };

/* So many digits, and at least one of them not '0'. */
static bool is_id(const char *text, size_t len)
{
    return strspn(text, "0123456789abcdef") >= len && strspn(text, "0") < len;
}

static bool is_byte(const char *text)
{
    return strspn(text, "0123456789abcdef") >= 2;
}

bool trace_parse(const char *header, size_t len, char out[static TRACE_PARENT])
{
    bool first = len >= WHOLE && memcmp(header, "00", 2) == 0;

    out[0] = '\0';
    if (len < WHOLE || (first && len > WHOLE) || (len > WHOLE && header[WHOLE] != '-'))
        return false;
    if (!is_byte(header + VERSION) || memcmp(header, "ff", 2) == 0 || header[TRACE - 1] != '-' ||
        !is_id(header + TRACE, TRACE_ID - 1) || header[PARENT - 1] != '-' || !is_id(header + PARENT, 16) ||
        header[FLAGS - 1] != '-' || !is_byte(header + FLAGS))
        return false;
    memcpy(out, header, WHOLE);
    memcpy(out, "00", 2);
    out[WHOLE] = '\0';
    return true;
}

const char *trace_id(const char *traceparent, char out[static TRACE_ID])
{
    if (!traceparent || strlen(traceparent) < WHOLE)
        return NULL;
    memcpy(out, traceparent + TRACE, TRACE_ID - 1);
    out[TRACE_ID - 1] = '\0';
    return out;
}
