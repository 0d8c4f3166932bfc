/* gateway/config_keys.h - the one table of keys, and how each kind of value is read. Used by config.c alone. */
#ifndef GATEWAY_CONFIG_KEYS_H
#define GATEWAY_CONFIG_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/config.h"

struct key;

/* How values of one kind become a field, and how the field is given back. */
struct kind {
    bool (*read)(const struct key *key, struct config *c, const char *text, struct error *err);
    void (*drop)(const struct key *key, struct config *c); /* NULL: nothing to free */
};

struct key {
    const char *name; /* section.key */
    const struct kind *kind;
    size_t field;
    const char *fallback; /* NULL: must be given; "": none; <state_dir> and <domain> stand for what they say */
    const char *help;
    int64_t least, most;      /* numbers, sizes and times (ms); both 0: the kind's own bounds */
    const char *const *words; /* what a word may be, in the order of its enum; NULL at the end */
    bool secret;              /* also a file or a credential, and never shown */
    bool file;                /* the path of one, or a credential */
    bool live;                /* main.c applies a new value to a running gateway */
    bool switched;            /* but from or to none takes a restart */
    bool account;             /* of an account alone: in component mode it need not be given */
};

/* Ordered: the placeholders in a fallback stand for keys before it. */
enum { KEY_COUNT = 94 };
extern const struct key *const config_table;

/* "http.listen" as "JIDPOST_HTTP_LISTEN"; returns out. */
enum { KEY_NAME = 64 };
const char *key_variable(const struct key *key, char out[static KEY_NAME]);

/* Whose value is the path of a file that is read. */
extern const struct kind *const kind_of_files;

/* NULL: there is no such key. */
const struct key *key_find(const char *name);

#endif
