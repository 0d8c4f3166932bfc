/* gateway/ladder.h - which methods to try with a resource, in which order. Pure functions. */
#ifndef GATEWAY_LADDER_H
#define GATEWAY_LADDER_H

#include <stddef.h>

#include "gateway/method.h"

enum { LADDER_RUNGS = 8 };

struct ladder {
    const struct method_ops *rungs[LADDER_RUNGS];
    size_t count;
};

/* The methods that the caller asked for ("si-s5b,s5b"; NULL: those configured), in that order, as far as the resource
 * can do them (usable: names, NULL at the end) and we can (all: NULL at the end).
 *
 * "s5b" and "ibb", bare streams, are the last resort: clients announce the features for the sake of their
 * file-transfer offers and refuse a stream without one, so beside another method they are left out unless the caller
 * asked for them. */
void ladder_build(struct ladder *out, const char *asked, char *const *configured, const char *const *usable,
                  const struct method_ops *const *all);

#endif
