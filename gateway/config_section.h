/* gateway/config_section.h - sections that have a name of their own, "[token ID]", "[webhook NAME]", "[inbox NAME]":
 * which keys one has, and what is wrong with a line of it whatever the key. Plain values; any thread. */
#ifndef GATEWAY_CONFIG_SECTION_H
#define GATEWAY_CONFIG_SECTION_H

#include "base/error.h"

/* NULL as name ends a table of them; 32 at the most. */
struct section_key {
    const char *name, *help;
};

/* The place of that key in the table, and its bit in *given, which has the keys so far. -1, ERR_CONFIG: there is no
 * such key (the sentence names the nearest), it is given twice, or the value is no line of text. title: "token ci-1".
 */
int section_take(const char *title, const struct section_key *keys, const char *key, const char *value, unsigned *given,
                 struct error *err);

#endif
