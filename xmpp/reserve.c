/* xmpp/reserve.c - memory for the XMPP library when there is none, see reserve.h. */
#include "xmpp/reserve.h"

#include <malloc.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum { BLOCK = 512 * 1024, ALIGN = alignof(max_align_t) };

/* Taken from front to back, and anew once nothing of it is in use: what is borrowed here is soon given back. */
static alignas(max_align_t) char block[BLOCK]; /* costs nothing until it is written to */
static size_t taken, pieces;

struct piece {
    alignas(max_align_t) size_t size; /* its bytes follow */
};

static bool is_ours(const void *p)
{
    return (uintptr_t)p >= (uintptr_t)block && (uintptr_t)p < (uintptr_t)block + BLOCK;
}

static void *borrow(size_t size)
{
    struct piece *piece = (struct piece *)(void *)(block + taken);
    size_t whole;

    if (size > BLOCK || taken + (whole = sizeof *piece + (size + ALIGN - 1) / ALIGN * ALIGN) > BLOCK)
        return NULL;
    if (taken == 0)
        log_warn("xmpp.out_of_memory", log_int("bytes", (int64_t)size));
    taken += whole;
    pieces++;
    piece->size = size;
    return piece + 1;
}

static void *take(size_t size, void *user)
{
    void *p = malloc(size);

    (void)user;
    return p ? p : borrow(size);
}

static void give_back(void *p, void *user)
{
    (void)user;
    if (!is_ours(p))
        free(p);
    else if (--pieces == 0)
        taken = 0;
}

static void *resize(void *p, size_t size, void *user)
{
    void *larger;
    size_t was; /* or more: what may be read of it */

    size += size == 0; /* which would free it */
    larger = is_ours(p) ? NULL : realloc(p, size);
    if (larger)
        return larger;
    larger = take(size, user);
    if (!larger || !p)
        return larger;
    was = is_ours(p) ? ((const struct piece *)p)[-1].size : malloc_usable_size(p);
    memcpy(larger, p, was < size ? was : size);
    give_back(p, user);
    return larger;
}

const xmpp_mem_t *reserve_memory(void)
{
    static const xmpp_mem_t memory = {take, give_back, resize, NULL};

    return &memory;
}
