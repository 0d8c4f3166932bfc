/* gateway/inbox_rule.h - who may send which files to which address of ours: a section of jidpost.ini.
 *
 *     [inbox reports]
 *     from = *@example.net, !old@example.net
 *     to = reports                                    or reports@files.example.org; left out: every address
 *     max_file = 50M
 *
 * The first of the file that fits sender and address decides; behind them all stands the one of the keys of [inbox].
 * Plain values; any thread. */
#ifndef GATEWAY_INBOX_RULE_H
#define GATEWAY_INBOX_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/jid.h"
#include "gateway/config_section.h"

enum { INBOX_RULE_NAME = 33 };

struct inbox_rule {
    char name[INBOX_RULE_NAME]; /* "": of the keys of [inbox] */
    char **from;                /* globs on the bare address of the sender; empty: nobody */
    char **to;                  /* globs on our bare address, or on its local part if they have no '@'; empty: each */
    char *from_text, *to_text;
    uint64_t max_file, max_files, daily_bytes; /* one file; one sender in a day */
    bool raw;                                  /* bytestreams without an offer, too */
    unsigned given;                            /* keys so far, a bit each */
};

struct inbox_rule_list {
    struct inbox_rule *items;
    size_t count;
};
void inbox_rules_free(struct inbox_rule_list *list); /* its parts, and leaves it empty */

/* false: out of memory, *to is empty. */
bool inbox_rules_copy(struct inbox_rule_list *to, const struct inbox_rule_list *from);
bool inbox_rules_equal(const struct inbox_rule_list *a, const struct inbox_rule_list *b);

/* The one of that name, which is new in the list if need be. NULL: the name is none (as a token's id) or memory is
 * short. Pointers into the list are good until the next call. */
struct inbox_rule *inbox_rules_at(struct inbox_rule_list *list, const char *name, struct error *err);

/* Reads one key of the section. ERR_CONFIG: an unknown key (the sentence names the nearest), one given twice, or a
 * value that is none. */
bool inbox_rule_set(struct inbox_rule *rule, const char *key, const char *value, struct error *err);

/* What the sections left out is as in the keys of [inbox], which become the last rule: accept, and the numbers of
 * `general`, whose other fields are not looked at. ERR_CONFIG: a section without from. */
bool inbox_rules_complete(struct inbox_rule_list *list, const struct inbox_rule *general, const char *accept,
                          struct error *err);

/* from: bare. NULL: he may send nothing there. */
const struct inbox_rule *inbox_rules_find(const struct inbox_rule_list *list, const char *from, const struct jid *to);

/* Whether anybody may send anything to that address; to NULL: to any. */
bool inbox_rules_receive(const struct inbox_rule_list *list, const struct jid *to);

/* The keys of a section with a line of help each; NULL at the end. */
const struct section_key *inbox_rule_keys(void);

#endif
