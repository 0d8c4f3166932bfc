/* api/tokens.h - all tokens that open the gateway, and what each of them may.
 *
 * One table, made whole from the configuration and never changed: another one may take its place while requests that
 * began under the old one still hold that. Only SHA-256 digests are kept; a token is compared with all of them, each in
 * constant time, so that an unknown one and one that is nearly right take the same path. Any thread. */
#ifndef API_TOKENS_H
#define API_TOKENS_H

#include "gateway/gateway.h"

struct tokens;

/* http.token, which may do everything and is called "http.token", and those of the sections, which are copied.
 * NULL: ERR_SYSTEM. */
struct tokens *tokens_load(const struct config *config, struct error *err);
struct tokens *tokens_hold(struct tokens *tokens); /* for one more holder; returns it */
void tokens_release(struct tokens **tokens);       /* NULL is fine; leaves *tokens NULL */

/* Logs which ones came, went, or have other rules: token.added, token.removed, token.changed. */
void tokens_compare(const struct tokens *before, const struct tokens *now);

/* Without one nobody is asked for any, and everybody may do everything. */
bool tokens_any(const struct tokens *tokens);

/* Whose it is, good as long as the table is held. ERR_AUTH_INVALID, ERR_AUTH_EXPIRED. */
const struct token *tokens_find(const struct tokens *tokens, const char *text, struct error *err);

/* Of that id, likewise. */
const struct token *tokens_named(const struct tokens *tokens, const char *id, struct error *err);

/* Whether what began with t (NULL: none was asked for) could begin now under the same rules. */
bool tokens_still_have(const struct tokens *now, const struct token *t);

/* ---- what one may. t NULL: everything. A refusal leaves the rule in `rule`, as a person would look for it in the
 * configuration: "token ci-1: allow_to=*@example.org". */
enum { RULE_TEXT = 400 };

bool token_may(const struct token *t, unsigned scope, char rule[static RULE_TEXT], struct error *err);
bool token_may_reach(const struct token *t, const struct jid *to, char rule[static RULE_TEXT], struct error *err);
/* from: bare; usual: the default sender's. */
bool token_may_send_as(const struct token *t, const struct jid *from, bool usual, char rule[static RULE_TEXT],
                       struct error *err);
bool token_may_send(const struct token *t, uint64_t size, char rule[static RULE_TEXT], struct error *err);

/* Whether a transfer is there for it: it made it, or may see all. */
bool token_sees(const struct token *t, const struct record *r);
bool token_sees_all(const struct token *t);

/* Whether it sees what was sent to that bare address of ours, if anything that was sent to us. */
bool token_sees_inbox(const struct token *t, const char *bare);

#endif
