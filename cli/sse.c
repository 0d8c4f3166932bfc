#include "cli/sse.h"

#include <stdio.h>
#include <string.h>

enum { EVENT_MAX = 4 * 1024 * 1024 };

/* "data: x" and "data:x" alike. */
static const char *field(const char *line, const char *name)
{
    size_t len = strlen(name);

    if (strncmp(line, name, len) != 0 || (line[len] != ':' && line[len] != '\0'))
        return NULL;
    line += len + (line[len] == ':');
    return line + (*line == ' ');
}

static void begin(struct sse *s)
{
    buf_free(&s->data);
    s->data.ceiling = EVENT_MAX;
    s->event[0] = '\0';
}

bool sse_line(struct sse *s, const char *line)
{
    const char *value;

    if (s->data.len > 0 && s->data.data[s->data.len - 1] == '\0') /* it was told */
        begin(s);
    if (*line == '\0') {
        if (s->data.len == 0 || s->data.failed) {
            begin(s);
            return false;
        }
        buf_add(&s->data, "", 1);
        return !s->data.failed;
    }
    if ((value = field(line, "data"))) {
        if (s->data.len > 0)
            buf_puts(&s->data, "\n");
        buf_puts(&s->data, value);
    } else if ((value = field(line, "event"))) {
        snprintf(s->event, sizeof s->event, "%s", value);
    } else if ((value = field(line, "id"))) {
        snprintf(s->id, sizeof s->id, "%s", value);
    }
    return false;
}

void sse_free(struct sse *s)
{
    buf_free(&s->data);
}
