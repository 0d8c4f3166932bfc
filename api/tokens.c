#include "api/tokens.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"

struct tokens {
    atomic_uint holders;
    struct token_list list;
};

/* ---- the table */

/* Its strings too: the configuration they come from may be replaced. */
static bool copy_token(struct token_list *list, const struct token *from, struct error *err)
{
    struct token *t = token_list_at(list, from->id, err);

    if (!t)
        return false;
    return token_copy(t, from) || error_set(err, ERR_SYSTEM, "out of memory");
}

static bool add_plain(struct token_list *list, const char *text, struct error *err)
{
    struct token *grown = realloc(list->items, (list->count + 1) * sizeof *grown);

    if (!grown)
        return error_set(err, ERR_SYSTEM, "out of memory");
    list->items = grown;
    grown += list->count++;
    *grown = (struct token){.id = "http.token", .scopes = SCOPE_ALL};
    return token_digest(text, grown->digest) || error_set(err, ERR_SYSTEM, "no SHA-256 to keep the token by");
}

struct tokens *tokens_load(const struct config *config, struct error *err)
{
    struct tokens *tokens = calloc(1, sizeof *tokens);
    bool ok = tokens != NULL;

    if (!ok) {
        error_set(err, ERR_SYSTEM, "out of memory");
        return NULL;
    }
    atomic_init(&tokens->holders, 1);
    for (size_t i = 0; ok && i < config->tokens.count; i++)
        ok = copy_token(&tokens->list, &config->tokens.items[i], err);
    if (ok && config->http.token)
        ok = add_plain(&tokens->list, config->http.token, err);
    if (!ok)
        tokens_release(&tokens);
    return tokens;
}

struct tokens *tokens_hold(struct tokens *tokens)
{
    atomic_fetch_add(&tokens->holders, 1);
    return tokens;
}

void tokens_release(struct tokens **tokens)
{
    struct tokens *t = *tokens;

    *tokens = NULL;
    if (!t || atomic_fetch_sub(&t->holders, 1) > 1)
        return;
    token_list_free(&t->list);
    free(t);
}

static const struct token *of_id(const struct token_list *list, const char *id)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].id, id) == 0)
            return &list->items[i];
    return NULL;
}

void tokens_compare(const struct tokens *before, const struct tokens *now)
{
    for (size_t i = 0; i < before->list.count; i++)
        if (!of_id(&now->list, before->list.items[i].id))
            log_info("token.removed", log_str("id", before->list.items[i].id));
    for (size_t i = 0; i < now->list.count; i++) {
        const struct token *t = &now->list.items[i], *old = of_id(&before->list, t->id);

        if (!old || !token_equal(old, t))
            log_info(old ? "token.changed" : "token.added", log_str("id", t->id));
    }
}

bool tokens_any(const struct tokens *tokens)
{
    return tokens->list.count > 0;
}

static const struct token *still_good(const struct token *found, struct error *err)
{
    if (!found) {
        error_set(err, ERR_AUTH_INVALID, "the token is none of this gateway's");
        return NULL;
    }
    if (found->expires && clock_wall_ms() >= found->expires) {
        error_set(err, ERR_AUTH_EXPIRED, "the token %s has expired", found->id);
        return NULL;
    }
    return found;
}

const struct token *tokens_find(const struct tokens *tokens, const char *text, struct error *err)
{
    unsigned char digest[TOKEN_DIGEST];
    const struct token *found = NULL;

    if (token_digest(text, digest)) {
        for (size_t i = 0; i < tokens->list.count; i++)
            if (CRYPTO_memcmp(digest, tokens->list.items[i].digest, sizeof digest) == 0)
                found = &tokens->list.items[i];
    }
    OPENSSL_cleanse(digest, sizeof digest);
    return still_good(found, err);
}

const struct token *tokens_named(const struct tokens *tokens, const char *id, struct error *err)
{
    return still_good(of_id(&tokens->list, id), err);
}

bool tokens_still_have(const struct tokens *now, const struct token *t)
{
    const struct token *found = t ? of_id(&now->list, t->id) : NULL;

    if (!t)
        return !tokens_any(now);
    return found && token_equal(found, t) && !(t->expires && clock_wall_ms() >= t->expires);
}

/* ---- what one may */

bool token_may(const struct token *t, unsigned scope, char rule[static RULE_TEXT], struct error *err)
{
    if (!t || (t->scopes & scope) == scope)
        return true;
    snprintf(rule, RULE_TEXT, "token %s: scopes=%s", t->id, t->scopes_text);
    return error_set(err, ERR_SCOPE_MISSING, "the token %s lacks the scope '%s'", t->id, token_scope_name(scope));
}

static bool not_allowed(struct error *err, const char *what, const struct token *t, const char *bare)
{
    metric_add(METRIC_AUTH_FAILURES, 1, error_name(ERR_RECIPIENT_NOT_ALLOWED));
    return error_set(err, ERR_RECIPIENT_NOT_ALLOWED, "the token %s %s '%.80s'", t->id, what, bare);
}

/* The first that denies; else one that allows, if any is there. */
bool token_may_reach(const struct token *t, const struct jid *to, char rule[static RULE_TEXT], struct error *err)
{
    char bare[JID_MAX + 1];
    bool listed = false, allowed = false;

    if (!t || !t->allow_to || !t->allow_to[0])
        return true;
    jid_bare(to, bare);
    snprintf(rule, RULE_TEXT, "token %s: allow_to=%s", t->id, t->allow_text);
    for (char *const *glob = t->allow_to; *glob; glob++) {
        if (**glob != '!') {
            listed = true;
            allowed |= text_glob(*glob, bare);
        } else if (text_glob(*glob + 1, bare)) {
            snprintf(rule, RULE_TEXT, "token %s: allow_to=%s", t->id, *glob);
            return not_allowed(err, "denies", t, bare);
        }
    }
    if (listed && !allowed)
        return not_allowed(err, "does not allow", t, bare);
    rule[0] = '\0';
    return true;
}

static bool not_as(const struct token *t, const char *name, struct error *err)
{
    metric_add(METRIC_AUTH_FAILURES, 1, error_name(ERR_FROM_NOT_ALLOWED));
    return error_set(err, ERR_FROM_NOT_ALLOWED, "the token %s does not send as '%.80s'", t->id, name);
}

/* Nobody gets another name by default; where names are listed, the default sender's is one like others. */
bool token_may_send_as(const struct token *t, const struct jid *from, bool usual, char rule[static RULE_TEXT],
                       struct error *err)
{
    char name[JID_PART + 1];

    if (!t || (usual && (!t->from || !t->from[0])))
        return true;
    snprintf(name, sizeof name, "%.*s", (int)from->local, from->text);
    if (t->from && t->from[0] && token_globs_allow(t->from, name))
        return true;
    snprintf(rule, RULE_TEXT, "token %s: from=%s", t->id, t->from_text ? t->from_text : "");
    return not_as(t, name, err);
}

bool token_may_send(const struct token *t, uint64_t size, char rule[static RULE_TEXT], struct error *err)
{
    if (!t || !t->max_size || size <= t->max_size)
        return true;
    snprintf(rule, RULE_TEXT, "token %s: max_size=%llu", t->id, (unsigned long long)t->max_size);
    return error_set(err, ERR_BODY_TOO_LARGE, "the token %s takes files of at most %llu bytes", t->id,
                     (unsigned long long)t->max_size);
}

bool token_sees_all(const struct token *t)
{
    return !t || t->scopes & SCOPE_READ_ALL;
}

bool token_sees_inbox(const struct token *t, const char *bare)
{
    return !t || (t->scopes & SCOPE_INBOX && token_globs_allow(t->inbox_of, bare));
}

bool token_sees(const struct token *t, const struct record *r)
{
    return token_sees_all(t) || (r->token && strcmp(r->token, t->id) == 0);
}
