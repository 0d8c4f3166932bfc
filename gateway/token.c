/* gateway/token.c - who may call the gateway, and for what, see token.h. */
#include "gateway/token.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/text.h"
#include "gateway/config_values.h"

#define SCOPE_WORDS  "send, upload, read, read:all, cancel, recipients, events, webhooks, inbox, metrics, admin"
#define USUAL_SCOPES "send,read,cancel,recipients,events"

static bool out_of_memory(struct error *err)
{
    return error_set(err, ERR_SYSTEM, "out of memory");
}

static bool keep(char **field, const char *value, struct error *err)
{
    *field = strdup(value);
    return *field || out_of_memory(err);
}

/* ---- single values */

static bool read_hash(struct token *t, const char *value, struct error *err)
{
    static const char scheme[] = "sha256:";
    const char *hex = value + strlen(scheme);
    size_t len;

    if (strncmp(value, scheme, strlen(scheme)) != 0 || strlen(hex) != 2 * TOKEN_DIGEST ||
        strspn(hex, "0123456789abcdefABCDEF") != 2 * TOKEN_DIGEST ||
        OPENSSL_hexstr2buf_ex(t->digest, sizeof t->digest, &len, hex, '\0') != 1)
        return error_set(err, ERR_CONFIG, "expected sha256: and 64 hex digits, as 'jidpost token create' prints them");
    return true;
}

/* clang-format off */
static const struct {
    const char *name;
    unsigned scopes; /* which it has in it */
} scope_names[] = {
    {"upload", SCOPE_UPLOAD}, /* before those that have it in them: token_scope_name() */
    {"send", SCOPE_SEND | SCOPE_UPLOAD},
    {"read", SCOPE_READ},
    {"cancel", SCOPE_CANCEL},
    {"recipients", SCOPE_RECIPIENTS},
    {"events", SCOPE_EVENTS},
    {"webhooks", SCOPE_WEBHOOKS},
    {"read:all", SCOPE_READ_ALL | SCOPE_READ},
    {"metrics", SCOPE_METRICS},
    {"inbox", SCOPE_INBOX},
    {"admin", SCOPE_ALL},
};
/* clang-format on */

enum { SCOPES = sizeof scope_names / sizeof *scope_names };

const char *token_scope_name(unsigned scope)
{
    size_t i = 0;

    while (i < SCOPES - 1 && !(scope_names[i].scopes & scope))
        i++;
    return scope_names[i].name;
}

static bool read_scopes(struct token *t, const char *value, struct error *err)
{
    char **words = value_list(value);
    bool ok = words && words[0];

    if (!words)
        return out_of_memory(err);
    if (!ok)
        error_set(err, ERR_CONFIG, "at least one of " SCOPE_WORDS);
    for (char **word = words; ok && *word; word++) {
        size_t i = 0;

        while (i < SCOPES && strcmp(scope_names[i].name, *word) != 0)
            i++;
        if (i < SCOPES)
            t->scopes |= scope_names[i].scopes;
        else
            ok = error_set(err, ERR_CONFIG, "'%.40s' is no scope; there are " SCOPE_WORDS, *word);
    }
    value_list_free(words);
    return ok && keep(&t->scopes_text, value, err);
}

/* Addresses are compared in their prepared form, whose ASCII letters are small. */
static bool read_globs(char ***globs, char **text, const char *value, struct error *err)
{
    *globs = value_list(value);
    if (!*globs)
        return out_of_memory(err);
    for (char **glob = *globs; *glob; glob++) {
        if (strchr(*glob, '/') || strcmp(*glob, "!") == 0)
            return error_set(err, ERR_CONFIG,
                             "'%.60s' fits no bare address; write *@example.org, or !ana@example.org to deny", *glob);
        for (char *at = *glob; *at; at++)
            *at = (char)tolower((unsigned char)*at);
    }
    return keep(text, value, err);
}

static bool read_allow_to(struct token *t, const char *value, struct error *err)
{
    return read_globs(&t->allow_to, &t->allow_text, value, err);
}

static bool read_inbox_of(struct token *t, const char *value, struct error *err)
{
    return read_globs(&t->inbox_of, &t->inbox_text, value, err);
}

static bool read_from(struct token *t, const char *value, struct error *err)
{
    if (strchr(value, '@'))
        return error_set(err, ERR_CONFIG, "expected names before the '@', as reports, alerts-*");
    return read_globs(&t->from, &t->from_text, value, err);
}

static bool read_size(uint64_t *out, const char *value, struct error *err)
{
    return (value_size(value, out) && *out > 0 && *out <= INT64_MAX) ||
           error_set(err, ERR_CONFIG, "expected a size, as 512K, 64M or 10G");
}

static bool read_max_size(struct token *t, const char *value, struct error *err)
{
    return read_size(&t->max_size, value, err);
}

static bool read_daily_bytes(struct token *t, const char *value, struct error *err)
{
    return read_size(&t->daily_bytes, value, err);
}

/* "60" or "60/10": a minute, and of these at once. */
static bool read_rate(struct token *t, const char *value, struct error *err)
{
    enum { MOST = 1000000 };
    const char *slash = strchrnul(value, '/');
    char number[16];
    bool ok;

    snprintf(number, sizeof number, "%.*s", (int)(slash - value < 15 ? slash - value : 15), value);
    ok = value_count(number, &t->rate) && t->rate > 0 && t->rate <= MOST;
    t->burst = t->rate;
    if (ok && *slash)
        ok = value_count(slash + 1, &t->burst) && t->burst > 0 && t->burst <= MOST;
    return ok || error_set(err, ERR_CONFIG, "expected requests a minute, as 60, or with how many at once, as 60/10");
}

static bool read_active(struct token *t, const char *value, struct error *err)
{
    enum { MOST = 65536 };

    return (value_count(value, &t->active) && t->active > 0 && t->active <= MOST) ||
           error_set(err, ERR_CONFIG, "expected a number from 1 to %d", MOST);
}

/* A day of UTC, or a moment of it. */
static bool read_expires(struct token *t, const char *value, struct error *err)
{
    struct tm tm = {0};
    const char *end = strptime(value, "%Y-%m-%d", &tm);

    if (end && *end)
        end = strptime(end, "T%H:%M:%SZ", &tm);
    if (!end || *end || tm.tm_year < 70)
        return error_set(err, ERR_CONFIG, "expected a time like 2027-01-31 or 2027-01-31T12:00:00Z");
    t->expires = (int64_t)timegm(&tm) * 1000;
    return true;
}

static bool read_note(struct token *t, const char *value, struct error *err)
{
    return keep(&t->note, value, err);
}

/* ---- the section */

static const struct section_key helps[] = {
    {"hash", "sha256:<hex digits>, of the whole token; 'jidpost token create' makes both"},
    {"scopes", "send, upload (by tus, and no more), read (its own transfers), read:all, cancel, recipients, events, "
               "webhooks, inbox, metrics, admin (all); "
               "usual: " USUAL_SCOPES},
    {"allow_to", "globs on bare addresses; !glob denies, and goes before; left out: everybody"},
    {"max_size", "of one file"},
    {"rate", "requests a minute, and how many of them at once: 60/10"},
    {"active", "transfers under way at once"},
    {"daily_bytes", "of uploads, a day of UTC"},
    {"inbox_of",
     "with the scope inbox: globs on our own bare addresses whose files it sees; !glob denies; left out: all"},
    {"from",
     "globs on the names before the '@' that it may send as, of a component; left out: the default sender alone"},
    {"expires", "2027-01-31, or 2027-01-31T12:00:00Z"},
    {"note", "for people"},
    {NULL, NULL},
};

enum { KEYS = sizeof helps / sizeof *helps - 1 };

/* In the order of the helps. */
static bool (*const readers[KEYS])(struct token *t, const char *value, struct error *err) = {
    read_hash,        read_scopes,   read_allow_to, read_max_size, read_rate, read_active,
    read_daily_bytes, read_inbox_of, read_from,     read_expires,  read_note,
};

const struct section_key *token_keys(void)
{
    return helps;
}

bool token_set(struct token *t, const char *key, const char *value, struct error *err)
{
    char title[TOKEN_ID + sizeof "token "];
    struct error why = {0};
    int i;

    snprintf(title, sizeof title, "token %s", t->id);
    i = section_take(title, helps, key, value, &t->given, err);
    if (i < 0)
        return false;
    return readers[i](t, value, &why) || error_set(err, why.code, "[%s] %s: %s", title, key, why.text);
}

bool token_complete(struct token *t, struct error *err)
{
    if (!(t->given & 1))
        return error_set(err, ERR_CONFIG, "[token %s] has no hash; make both: jidpost token create --id %s", t->id,
                         t->id);
    return (t->scopes_text || read_scopes(t, USUAL_SCOPES, err)) && (t->allow_to || read_allow_to(t, "", err)) &&
           (t->inbox_of || read_inbox_of(t, "", err)) && (t->from || read_from(t, "", err));
}

/* ---- several */

static void token_free(struct token *t)
{
    free(t->scopes_text);
    value_list_free(t->allow_to);
    free(t->allow_text);
    value_list_free(t->inbox_of);
    free(t->inbox_text);
    value_list_free(t->from);
    free(t->from_text);
    free(t->note);
}

void token_list_free(struct token_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        token_free(&list->items[i]);
    free(list->items);
    *list = (struct token_list){0};
}

bool token_globs_allow(char *const *globs, const char *text)
{
    bool listed = false, allowed = false;

    for (; globs && *globs; globs++) {
        if (**globs == '!' && text_glob(*globs + 1, text))
            return false;
        if (**globs != '!') {
            listed = true;
            allowed |= text_glob(*globs, text);
        }
    }
    return allowed || !listed;
}

bool token_id_valid(const char *id)
{
    size_t len = strlen(id);

    return len > 0 && len < TOKEN_ID &&
           strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

static char **copy_list(char *const *from)
{
    size_t n = 0;
    char **to;

    while (from[n])
        n++;
    to = calloc(n + 1, sizeof *to);
    for (size_t i = 0; to && i < n; i++) {
        to[i] = strdup(from[i]);
        if (!to[i]) {
            value_list_free(to);
            return NULL;
        }
    }
    return to;
}

bool token_copy(struct token *to, const struct token *from)
{
    struct token t = *from;

    t.scopes_text = from->scopes_text ? strdup(from->scopes_text) : NULL;
    t.allow_to = from->allow_to ? copy_list(from->allow_to) : NULL;
    t.allow_text = from->allow_text ? strdup(from->allow_text) : NULL;
    t.inbox_of = from->inbox_of ? copy_list(from->inbox_of) : NULL;
    t.inbox_text = from->inbox_text ? strdup(from->inbox_text) : NULL;
    t.from = from->from ? copy_list(from->from) : NULL;
    t.from_text = from->from_text ? strdup(from->from_text) : NULL;
    t.note = from->note ? strdup(from->note) : NULL;
    memcpy(t.id, to->id, sizeof t.id);
    *to = t;
    return !from->scopes_text == !t.scopes_text && !from->allow_to == !t.allow_to &&
           !from->allow_text == !t.allow_text && !from->inbox_of == !t.inbox_of && !from->inbox_text == !t.inbox_text &&
           !from->from == !t.from && !from->from_text == !t.from_text && !from->note == !t.note;
}

bool token_equal(const struct token *a, const struct token *b)
{
    return memcmp(a->digest, b->digest, sizeof a->digest) == 0 && a->scopes == b->scopes &&
           strcmp(a->allow_text ? a->allow_text : "", b->allow_text ? b->allow_text : "") == 0 &&
           strcmp(a->from_text ? a->from_text : "", b->from_text ? b->from_text : "") == 0 &&
           strcmp(a->inbox_text ? a->inbox_text : "", b->inbox_text ? b->inbox_text : "") == 0 &&
           a->max_size == b->max_size && a->rate == b->rate && a->burst == b->burst && a->active == b->active &&
           a->daily_bytes == b->daily_bytes && a->expires == b->expires;
}

struct token *token_list_at(struct token_list *list, const char *id, struct error *err)
{
    struct token *grown;

    if (!token_id_valid(id)) {
        error_set(err, ERR_CONFIG, "a token's id has letters, digits and '-', at most %d: [token ci-1]", TOKEN_ID - 1);
        return NULL;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].id, id) == 0)
            return &list->items[i];
    }
    grown = realloc(list->items, (list->count + 1) * sizeof *grown);
    if (!grown) {
        out_of_memory(err);
        return NULL;
    }
    list->items = grown;
    grown += list->count++;
    *grown = (struct token){0};
    snprintf(grown->id, sizeof grown->id, "%s", id);
    return grown;
}

/* ---- the token itself */

bool token_digest(const char *text, unsigned char out[static TOKEN_DIGEST])
{
    return EVP_Digest(text, strlen(text), out, NULL, EVP_sha256(), NULL) == 1;
}

/* base64url (RFC 4648 section 5) without its padding: nothing in it needs quoting anywhere. */
bool token_make(const char *id, char out[static TOKEN_TEXT])
{
    unsigned char bits[32], text[4 * ((sizeof bits + 2) / 3) + 1];

    if (RAND_bytes(bits, sizeof bits) != 1)
        return false;
    EVP_EncodeBlock(text, bits, sizeof bits);
    for (unsigned char *at = text; *at; at++)
        *at = *at == '+' ? '-' : *at == '/' ? '_' : *at;
    snprintf(out, TOKEN_TEXT, "jp_%s_%.*s", id, TOKEN_SECRET, (const char *)text);
    OPENSSL_cleanse(bits, sizeof bits);
    OPENSSL_cleanse(text, sizeof text);
    return true;
}
