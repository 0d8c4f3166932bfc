/* gateway/token.h - who may call the gateway, and for what: one token as its section of an ini file says it.
 *
 *     [token ci-1]
 *     hash = sha256:9f86d0…            of the whole token, so that whoever reads the file has none
 *     scopes = send,read
 *     allow_to = *@example.org,!boss@example.org
 *
 * A token looks like jp_<id>_<secret>; the secret is 256 random bits, so that one plain SHA-256 is as good as any slow
 * hash. The id in it is for people alone. Plain values; any thread. */
#ifndef GATEWAY_TOKEN_H
#define GATEWAY_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "gateway/config_section.h"

enum { TOKEN_ID = 33, TOKEN_DIGEST = 32, TOKEN_SECRET = 43, TOKEN_TEXT = 3 + TOKEN_ID + TOKEN_SECRET + 1 };

/* read: of the transfers it made itself; so is cancel without read:all. */
enum token_scope {
    SCOPE_SEND = 1,
    SCOPE_READ = 2,
    SCOPE_READ_ALL = 4,
    SCOPE_CANCEL = 8,
    SCOPE_RECIPIENTS = 16,
    SCOPE_EVENTS = 32,
    SCOPE_WEBHOOKS = 64,
    SCOPE_METRICS = 128,
    SCOPE_UPLOAD = 256, /* send has it in it */
    SCOPE_INBOX = 512,  /* files that were sent to us: to see, fetch and delete them */
    SCOPE_ALL = 1023
};

/* 0 is "no limit" for all numbers. */
struct token {
    char id[TOKEN_ID];
    unsigned char digest[TOKEN_DIGEST]; /* SHA-256 of the token */
    unsigned scopes;                    /* token_scopes; read:all has read in it, admin has all */
    char *scopes_text;
    char **allow_to; /* globs on bare addresses, in small letters; "!glob" denies; NULL at the end; never NULL */
    char *allow_text;
    char **inbox_of; /* globs likewise, on our own bare addresses: whose inbox it sees; empty: everyone's */
    char *inbox_text;
    char **from; /* globs likewise, on local parts: whom it may send as; empty: the default sender alone */
    char *from_text;
    uint64_t max_size;
    uint64_t rate, burst; /* requests a minute; at once */
    uint64_t active;      /* transfers under way at once */
    uint64_t daily_bytes; /* of uploads, a day of UTC */
    int64_t expires;      /* wall clock; from then on it is worth nothing */
    char *note;
    unsigned given; /* keys so far, a bit each */
};

struct token_list {
    struct token *items;
    size_t count;
};
void token_list_free(struct token_list *list); /* its parts, and leaves it empty */

/* The token of that id, which is new in the list if need be. NULL: the id is none (letters, digits and '-', at most 32)
 * or memory is short. Pointers into the list are good until the next call. */
struct token *token_list_at(struct token_list *list, const char *id, struct error *err);

/* Reads one key of the section. ERR_CONFIG: an unknown key (the sentence names the nearest), one given twice, or a
 * value that is none. */
bool token_set(struct token *t, const char *key, const char *value, struct error *err);

/* What was left out gets its default; the hash has none. */
bool token_complete(struct token *t, struct error *err);

/* All but the id. false: out of memory. */
bool token_copy(struct token *to, const struct token *from);

/* The same secret under the same rules; whatever their notes say. */
bool token_equal(const struct token *a, const struct token *b);

/* Whether globs allow text: the first that denies ("!glob") decides; else one has to fit, if any allows. NULL or empty:
 * everything. */
bool token_globs_allow(char *const *globs, const char *text);

bool token_id_valid(const char *id);
const char *token_scope_name(unsigned scope);

/* The keys of a section with a line of help each; NULL at the end. */
const struct section_key *token_keys(void);

/* The digest that a token is known by. false: the library has no SHA-256. */
bool token_digest(const char *text, unsigned char out[static TOKEN_DIGEST]);

/* A new token for that id. false: no randomness. */
bool token_make(const char *id, char out[static TOKEN_TEXT]);

#endif
