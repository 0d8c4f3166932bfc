#include "gateway/inbox_rule.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "gateway/config_values.h"
#include "gateway/token.h"

static bool out_of_memory(struct error *err)
{
    return error_set(err, ERR_SYSTEM, "out of memory");
}

/* ---- keys */

static bool read_globs(char ***globs, char **text, const char *value, struct error *err)
{
    *text = strdup(value);
    *globs = value_list(value);
    if (!*text || !*globs)
        return out_of_memory(err);
    for (char **glob = *globs; *glob; glob++) {
        if (strchr(*glob, '/') || strcmp(*glob, "!") == 0)
            return error_set(err, ERR_CONFIG,
                             "'%.60s' fits no bare address; write *@example.org, or !ana@example.org to deny", *glob);
        for (char *at = *glob; *at; at++)
            *at = (char)tolower((unsigned char)*at);
    }
    return true;
}

static bool read_from(struct inbox_rule *rule, const char *value, struct error *err)
{
    return read_globs(&rule->from, &rule->from_text, value, err);
}

static bool read_to(struct inbox_rule *rule, const char *value, struct error *err)
{
    return read_globs(&rule->to, &rule->to_text, value, err);
}

static bool read_size(uint64_t *out, const char *value, struct error *err)
{
    return (value_size(value, out) && *out > 0 && *out <= INT64_MAX) ||
           error_set(err, ERR_CONFIG, "expected a size, as 512K, 64M or 10G");
}

static bool read_max_file(struct inbox_rule *rule, const char *value, struct error *err)
{
    return read_size(&rule->max_file, value, err);
}

static bool read_max_files(struct inbox_rule *rule, const char *value, struct error *err)
{
    return (value_count(value, &rule->max_files) && rule->max_files > 0 && rule->max_files <= 1000000) ||
           error_set(err, ERR_CONFIG, "expected a number from 1 to 1000000");
}

static bool read_daily_bytes(struct inbox_rule *rule, const char *value, struct error *err)
{
    return read_size(&rule->daily_bytes, value, err);
}

static bool read_raw(struct inbox_rule *rule, const char *value, struct error *err)
{
    rule->raw = strcmp(value, "on") == 0;
    return rule->raw || strcmp(value, "off") == 0 || error_set(err, ERR_CONFIG, "expected on or off");
}

enum { KEY_FROM, KEY_TO, KEY_MAX_FILE, KEY_MAX_FILES, KEY_DAILY_BYTES, KEY_RAW, KEYS };

static const struct section_key helps[KEYS + 1] = {
    {"from", "globs on the bare addresses of those who may send; !glob leaves somebody out; must be given"},
    {"to", "globs on our own bare addresses, or on their local parts; left out: each"},
    {"max_file", "the largest file that is taken; this and what follows left out: as in [inbox]"},
    {"max_files", "how many one sender may send in a day"},
    {"daily_bytes", "how much one sender may send in a day"},
    {"raw", "on: bytestreams without an offer before them are taken, too"},
    {NULL, NULL},
};

static bool (*const readers[KEYS])(struct inbox_rule *rule, const char *value, struct error *err) = {
    read_from, read_to, read_max_file, read_max_files, read_daily_bytes, read_raw};

const struct section_key *inbox_rule_keys(void)
{
    return helps;
}

bool inbox_rule_set(struct inbox_rule *rule, const char *key, const char *value, struct error *err)
{
    char title[sizeof rule->name + sizeof "inbox "];
    struct error why = {0};
    int i;

    snprintf(title, sizeof title, "inbox %s", rule->name);
    i = section_take(title, helps, key, value, &rule->given, err);
    if (i < 0)
        return false;
    return readers[i](rule, value, &why) || error_set(err, why.code, "[%s] %s: %s", title, key, why.text);
}

/* ---- lists */

void inbox_rules_free(struct inbox_rule_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        value_list_free(list->items[i].from);
        value_list_free(list->items[i].to);
        free(list->items[i].from_text);
        free(list->items[i].to_text);
    }
    free(list->items);
    *list = (struct inbox_rule_list){0};
}

static struct inbox_rule *append(struct inbox_rule_list *list, const char *name, struct error *err)
{
    struct inbox_rule *grown = realloc(list->items, (list->count + 1) * sizeof *grown);

    if (!grown) {
        out_of_memory(err);
        return NULL;
    }
    list->items = grown;
    grown += list->count++;
    *grown = (struct inbox_rule){0};
    snprintf(grown->name, sizeof grown->name, "%s", name);
    return grown;
}

struct inbox_rule *inbox_rules_at(struct inbox_rule_list *list, const char *name, struct error *err)
{
    if (!token_id_valid(name)) {
        error_set(err, ERR_CONFIG, "a rule's name has letters, digits and '-', at most %d: [inbox reports]",
                  INBOX_RULE_NAME - 1);
        return NULL;
    }
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].name, name) == 0)
            return &list->items[i];
    return append(list, name, err);
}

static void take_numbers(struct inbox_rule *rule, const struct inbox_rule *from)
{
    rule->max_file = from->max_file;
    rule->max_files = from->max_files;
    rule->daily_bytes = from->daily_bytes;
    rule->raw = from->raw;
}

bool inbox_rules_copy(struct inbox_rule_list *to, const struct inbox_rule_list *from)
{
    *to = (struct inbox_rule_list){0};
    for (size_t i = 0; i < from->count; i++) {
        const struct inbox_rule *one = &from->items[i];
        struct inbox_rule *rule = append(to, one->name, NULL);

        if (!rule || !read_from(rule, one->from_text, NULL) || !read_to(rule, one->to_text, NULL)) {
            inbox_rules_free(to);
            return false;
        }
        take_numbers(rule, one);
    }
    return true;
}

static bool same(const struct inbox_rule *a, const struct inbox_rule *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->from_text, b->from_text) == 0 &&
           strcmp(a->to_text, b->to_text) == 0 && a->max_file == b->max_file && a->max_files == b->max_files &&
           a->daily_bytes == b->daily_bytes && a->raw == b->raw;
}

bool inbox_rules_equal(const struct inbox_rule_list *a, const struct inbox_rule_list *b)
{
    for (size_t i = 0; i < a->count && i < b->count; i++)
        if (!same(&a->items[i], &b->items[i]))
            return false;
    return a->count == b->count;
}

static bool complete(struct inbox_rule *rule, const struct inbox_rule *general, struct error *err)
{
    const struct inbox_rule given = *rule;

    take_numbers(rule, general);
    if (given.given & 1u << KEY_MAX_FILE)
        rule->max_file = given.max_file;
    if (given.given & 1u << KEY_MAX_FILES)
        rule->max_files = given.max_files;
    if (given.given & 1u << KEY_DAILY_BYTES)
        rule->daily_bytes = given.daily_bytes;
    if (given.given & 1u << KEY_RAW)
        rule->raw = given.raw;
    if (!rule->from || !*rule->from)
        return error_set(err, ERR_CONFIG, "[inbox %s] has no from: say who may send, as from = *@example.org",
                         rule->name);
    return rule->to || read_to(rule, "", err);
}

bool inbox_rules_complete(struct inbox_rule_list *list, const struct inbox_rule *general, const char *accept,
                          struct error *err)
{
    struct inbox_rule *last;

    for (size_t i = 0; i < list->count; i++)
        if (!complete(&list->items[i], general, err))
            return false;
    last = append(list, "", err);
    if (!last || !read_from(last, accept, err) || !read_to(last, "", err))
        return false;
    take_numbers(last, general);
    return true;
}

/* ---- which one */

/* As token_globs_allow(), but what has no '@' is held against the local part (of a domain alone: against the domain).
 */
static bool is_for(const struct inbox_rule *rule, const struct jid *to)
{
    bool listed = false, fits = false;
    char bare[JID_MAX + 1], local[JID_MAX + 1];

    jid_bare(to, bare);
    snprintf(local, sizeof local, "%.*s", to->local > 0 ? (int)to->local : JID_MAX, bare);
    for (char *const *glob = rule->to; *glob; glob++) {
        bool denies = **glob == '!';
        bool hit = text_glob(*glob + denies, strchr(*glob, '@') ? bare : local);

        if (denies && hit)
            return false;
        listed |= !denies;
        fits |= !denies && hit;
    }
    return fits || !listed;
}

const struct inbox_rule *inbox_rules_find(const struct inbox_rule_list *list, const char *from, const struct jid *to)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct inbox_rule *rule = &list->items[i];

        if (*rule->from && token_globs_allow(rule->from, from) && is_for(rule, to))
            return rule;
    }
    return NULL;
}

bool inbox_rules_receive(const struct inbox_rule_list *list, const struct jid *to)
{
    for (size_t i = 0; i < list->count; i++)
        if (*list->items[i].from && (!to || is_for(&list->items[i], to)))
            return true;
    return false;
}
