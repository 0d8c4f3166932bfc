#include "gateway/partial_note.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "jidpost-upload 1\n"

char *note_text(const struct note *n, const char *token, const char *meta)
{
    char *text;

    if (asprintf(&text,
                 HEAD "limit=%020" PRId64 "\nsynced=%020" PRIu64 "\nlength=%020" PRId64 "\nexpires=%020" PRId64
                      "\nboot=%-*s\ntoken=%s\nmeta=%s\n",
                 n->limit, n->synced, n->length, n->expires, NOTE_BOOT - 1, n->boot, token, meta) < 0)
        return NULL;
    return text;
}

/* The value of a line "key=value". */
static bool take(const char **at, const char *key, char *out, size_t max)
{
    size_t key_len = strlen(key), len;

    if (strncmp(*at, key, key_len) != 0 || (*at)[key_len] != '=')
        return false;
    *at += key_len + 1;
    len = strcspn(*at, "\n");
    if (!(*at)[len] || len >= max)
        return false;
    memcpy(out, *at, len);
    out[len] = '\0';
    *at += len + 1;
    return true;
}

static bool take_number(const char **at, const char *key, int64_t least, int64_t *out)
{
    char digits[24], *end;

    if (!take(at, key, digits, sizeof digits))
        return false;
    *out = strtoll(digits, &end, 10);
    return end != digits && !*end && *out >= least;
}

bool note_read(const char *text, struct note *n, char token[static TOKEN_ID], char meta[static NOTE_META + 1])
{
    const char *at = text;
    int64_t synced;

    if (strncmp(at, HEAD, strlen(HEAD)) != 0)
        return false;
    at += strlen(HEAD);
    if (!take_number(&at, "limit", -1, &n->limit) || !take_number(&at, "synced", 0, &synced) ||
        !take_number(&at, "length", -1, &n->length) || !take_number(&at, "expires", 0, &n->expires) ||
        !take(&at, "boot", n->boot, sizeof n->boot) || !take(&at, "token", token, TOKEN_ID) ||
        !take(&at, "meta", meta, NOTE_META + 1))
        return false;
    n->synced = (uint64_t)synced;
    n->boot[strcspn(n->boot, " ")] = '\0';
    return *at == '\0';
}
