/* base/bytes.h - a borrowed window over input that only ever shrinks from the front.
 *
 * Parsers work on a copy and assign it back when a whole message was there, so that "need more" costs nothing. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
    const uint8_t *at;
    size_t left;
};

/* Takes n bytes off the front into *out; false, and nothing taken, when fewer are there. */
static inline bool bytes_take(struct bytes *in, size_t n, const uint8_t **out)
{
    if (in->left < n)
        return false;
    *out = in->at;
    in->at += n;
    in->left -= n;
    return true;
}

#endif
