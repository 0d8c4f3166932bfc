/* api/limits.h - what each token has used of its limits: requests a minute, transfers under way, bytes a day.
 *
 * Counted in memory: a restart forgets, and a table of tokens that takes another's place does not. A token without such
 * limits costs nothing here. The HTTP thread's alone.
 *
 * A refusal leaves the rule ("token ci-1: rate=60") and after how many seconds to try again. */
#ifndef API_LIMITS_H
#define API_LIMITS_H

#include "api/tokens.h"

struct limits;

/* What is asked about a transfer whose upload is over. */
typedef bool limits_under_way_fn(void *user, const char *id);

struct limits *limits_create(limits_under_way_fn *under_way, void *user); /* NULL: out of memory */
void limits_destroy(struct limits **limits);                              /* NULL is fine; leaves *limits NULL */

struct refusal {
    char rule[RULE_TEXT]; /* empty: it is no rule of a token's */
    unsigned again_s;     /* 0: nobody knows */
};

/* One request: a bucket of `burst`, filled by `rate` a minute. ERR_RATE_LIMITED. */
bool limits_request(struct limits *limits, const struct token *t, struct refusal *why, struct error *err);

/* Whether one more may come, of so many bytes; size 0: not known. ERR_QUOTA_EXCEEDED. */
bool limits_check(struct limits *limits, const struct token *t, uint64_t size, struct refusal *why, struct error *err);

/* It comes, and counts as under way until limits_end() at least; then, as long as the question says so. Without memory
 * it is not counted. */
void limits_begin(struct limits *limits, const struct token *t, const char *id);
void limits_end(struct limits *limits, const struct token *t, const char *id);

/* Bytes that come, or that are announced and so as good as there; and those of them that did not come. */
bool limits_spend(struct limits *limits, const struct token *t, uint64_t bytes, struct refusal *why, struct error *err);
/* Those that came before anybody could ask whether they may. */
void limits_charge(struct limits *limits, const struct token *t, uint64_t bytes);
void limits_refund(struct limits *limits, const struct token *t, uint64_t bytes);

#endif
