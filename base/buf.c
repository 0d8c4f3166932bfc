/* base/buf.c - a growable string of bytes, see buf.h. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool fail(struct buf *b)
{
    b->failed = true;
    return false;
}

/* Makes room for more bytes and the terminator behind them. */
static bool grow(struct buf *b, size_t more)
{
    size_t need, room;
    char *data;

    if (b->failed || more > SIZE_MAX / 2 - b->len)
        return fail(b);
    if (b->ceiling > 0 && b->len + more > b->ceiling)
        return fail(b);
    need = b->len + more + 1;
    if (need <= b->room)
        return true;
    room = b->room > 0 ? b->room : 64;
    while (room < need)
        room *= 2;
    data = realloc(b->data, room);
    if (!data)
        return fail(b);
    b->data = data;
    b->room = room;
    return true;
}

bool buf_add(struct buf *b, const void *data, size_t len)
{
    if (!grow(b, len))
        return false;
    if (len > 0)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
    return true;
}

bool buf_puts(struct buf *b, const char *text)
{
    return buf_add(b, text, strlen(text));
}

bool buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args;
    int len;

    va_start(args, fmt);
    len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0 || !grow(b, (size_t)len))
        return fail(b);
    va_start(args, fmt);
    vsnprintf(b->data + b->len, (size_t)len + 1, fmt, args);
    va_end(args);
    b->len += (size_t)len;
    return true;
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){.ceiling = b->ceiling};
}

char *buf_steal(struct buf *b)
{
    char *text;

    buf_add(b, "", 0); /* an empty buffer is an empty string */
    text = b->failed ? NULL : b->data;
    if (text)
        b->data = NULL;
    buf_free(b);
    return text;
}
