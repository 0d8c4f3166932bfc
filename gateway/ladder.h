/* gateway/ladder.h - which methods to try with a resource, in which order. Pure functions. */
#ifndef GATEWAY_LADDER_H
#define GATEWAY_LADDER_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/method.h"
#include "gateway/network.h"

enum { LADDER_RUNGS = 8 };

struct ladder {
    const struct method_ops *rungs[LADDER_RUNGS];
    size_t count;
};

/* Why a method is a rung, or none. */
enum ladder_verdict {
    LADDER_RUNG,
    LADDER_NOBODY,      /* it needs a resource, and there is none */
    LADDER_UNANNOUNCED, /* the resource does not say that it can */
    LADDER_BARE         /* a bare stream beside others */
};
struct ladder_choice {
    const struct method_ops *method;
    enum ladder_verdict verdict;
};

/* Every method that was asked for, each once and in that order, with the reason; returns how many. usable NULL: there
 * is no resource. ladder_build() below says the rest, and takes those that are rungs. */
size_t ladder_explain(struct ladder_choice out[static LADDER_RUNGS], const char *asked, char *const *configured,
                      const char *const *usable, const struct method_ops *const *all);

/* The methods that the caller asked for ("si-s5b,s5b"; NULL: those configured), in that order, as far as the resource
 * can do them (usable: names, NULL at the end) and we can (all: NULL at the end). An offline method asks nothing of a
 * resource and is always usable.
 *
 * "s5b" and "ibb", bare streams, are the last resort: clients announce the features for the sake of their
 * file-transfer offers and refuse a stream without one, so beside another method that streams they are left out unless
 * the caller asked for them. */
void ladder_build(struct ladder *out, const char *asked, char *const *configured, const char *const *usable,
                  const struct method_ops *const *all);

/* Builds the ladder of the first resource from that one on that can be offered to by a method of its own, and returns
 * its place; count: none. */
size_t ladder_choose(struct ladder *out, const struct candidate_resource *resources, size_t count, size_t from,
                     const char *asked, char *const *configured, const struct method_ops *const *all);

/* Whether a rung needs a resource. */
bool ladder_streams(const struct ladder *l);

/* Whether every method that may be used, whoever the recipient is, is an offline one: then nobody need be found. */
bool ladder_is_offline(const char *asked, char *const *configured, const struct method_ops *const *all);

#endif
