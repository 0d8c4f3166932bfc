/* base/buf.h - a growable string of bytes with a ceiling; always NUL-terminated behind its end.
 *
 * Memory: buf_free() on every path; a zeroed struct is an empty buffer without a ceiling. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; /* NULL while empty */
    size_t len;
    size_t room;
    size_t ceiling; /* 0: none */
    bool failed;    /* out of memory or over the ceiling; sticky, so callers check once at the end */
};

bool buf_add(struct buf *b, const void *data, size_t len);
bool buf_puts(struct buf *b, const char *text);
bool buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_free(struct buf *b);

/* The string, now the caller's to free(); NULL if the buffer failed. Leaves *b empty. */
char *buf_steal(struct buf *b);

#endif
