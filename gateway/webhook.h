/* gateway/webhook.h - who is told of events, and of which: one endpoint as its section of jidpost.ini says it.
 *
 *     [webhook ci]
 *     url = https://ci.example.org/hooks/jidpost
 *     secret_file = /etc/jidpost/ci.secret      or secret = whsec_…, or the credential webhook.ci.secret
 *     events = transfer.delivered,transfer.failed
 *
 * Plain values; any thread. */
#ifndef GATEWAY_WEBHOOK_H
#define GATEWAY_WEBHOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "gateway/config_section.h"
#include "gateway/webhook_sign.h"

enum { WEBHOOK_NAME = 33 };

struct webhook {
    char name[WEBHOOK_NAME];
    char *url;                           /* http or https */
    struct webhook_secret secret, old;   /* both sign while old has a length */
    char *secret_file, *secret_old_file; /* where they are read from; NULL: from nowhere */
    uint32_t types;                      /* EVENT_BIT() of those it wants */
    char *events_text;
    char **to; /* globs on the bare recipient; empty: every one, and events of no file */
    char *to_text;
    char *labels; /* as base/labels.h has them; NULL: all transfers, and events of none */
    char *labels_text;
    char **allow_nets; /* CIDR, beside the public networks; http:// goes there alone */
    char *nets_text;
    char *ca;       /* PEM file beside the system's; NULL: none */
    unsigned given; /* keys so far, a bit each */
};

struct webhook_list {
    struct webhook *items;
    size_t count;
};
void webhook_list_free(struct webhook_list *list); /* its parts, and leaves it empty */

/* false: out of memory, *to is empty. */
bool webhook_list_copy(struct webhook_list *to, const struct webhook_list *from);

/* The one of that name, which is new in the list if need be. NULL: the name is none (as a token's id) or memory is
 * short. Pointers into the list are good until the next call. */
struct webhook *webhook_list_at(struct webhook_list *list, const char *name, struct error *err);

/* Reads one key of the section. ERR_CONFIG: an unknown key (the sentence names the nearest), one given twice, or a
 * value that is none; a secret's value is not repeated. */
bool webhook_set(struct webhook *w, const char *key, const char *value, struct error *err);

/* The secret from a file or a credential, by the same rules. */
bool webhook_set_secret(struct webhook *w, bool old, const char *value, struct error *err);

/* What was left out gets its default; url and secret have none. */
bool webhook_complete(struct webhook *w, struct error *err);

bool webhook_equal(const struct webhook *a, const struct webhook *b);

/* Whether it wants events of that type (EVENT_BIT()), about a file for that address (a transfer's recipient, or the one
 * of ours it was sent to; NULL: about none), with those labels (NULL: none). */
bool webhook_wants(const struct webhook *w, uint32_t type, const char *to, const char *labels);

/* Its URL as people may see it: without user, password, query and fragment. Yours to free(); NULL: out of memory. */
char *webhook_shown_url(const struct webhook *w);

/* The keys of a section with a line of help each; NULL at the end. */
const struct section_key *webhook_keys(void);

#endif
