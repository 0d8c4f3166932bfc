/* gateway/ladder.h - which methods to try with a resource, in which order. Pure functions. */
#ifndef GATEWAY_LADDER_H
#define GATEWAY_LADDER_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/method.h"

enum { LADDER_RUNGS = 8 };

struct ladder {
    const struct method_ops *rungs[LADDER_RUNGS];
    size_t count;
};

/* The methods that the caller asked for ("si-s5b,s5b"; NULL: those configured), in that order, as far as the resource
 * can do them (usable: names, NULL at the end) and we can (all: NULL at the end). An offline method asks nothing of a
 * resource and is always usable.
 *
 * "s5b" and "ibb", bare streams, are the last resort: clients announce the features for the sake of their
 * file-transfer offers and refuse a stream without one, so beside another method that streams they are left out unless
 * the caller asked for them. */
void ladder_build(struct ladder *out, const char *asked, char *const *configured, const char *const *usable,
                  const struct method_ops *const *all);

/* Whether a rung needs a resource. */
bool ladder_streams(const struct ladder *l);

/* Whether every method that may be used, whoever the recipient is, is an offline one: then nobody need be found. */
bool ladder_is_offline(const char *asked, char *const *configured, const struct method_ops *const *all);

#endif
