/* cli/sse.h - server-sent events (WHATWG HTML section 9.2), line by line. Pure, but for the memory of one event. */
#ifndef CLI_SSE_H
#define CLI_SSE_H

#include <stdbool.h>

#include "base/buf.h"

struct sse {
    struct buf data;
    char event[40];
    char id[80]; /* of the last event that had one; empty: none had */
};

/* One line without its end. true: an event is whole; its data is s->data.data, good until the next call. */
bool sse_line(struct sse *s, const char *line);
void sse_free(struct sse *s);

#endif
