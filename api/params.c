#include "api/params.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/labels.h"
#include "base/text.h"

static const struct {
    const char *name;
    bool text;
} known[PARAM_COUNT] = {
#define X(param, name, text) [param] = {name, text},
    PARAMS(X)
#undef X
};

const char *param_name(enum param which)
{
    assert(which < PARAM_COUNT);
    return known[which].name;
}

static bool refuse_name(const char *name, const char *const *words, size_t n, struct error *err)
{
    const char *nearest;
    char shown[48], list[120] = "";
    size_t len = 0;

    text_clean(name, shown, sizeof shown);
    nearest = text_nearest(shown, words, n);
    if (nearest)
        return error_set(err, ERR_PARAMETER_INVALID, "'%s' is not a parameter here; did you mean '%s'?", shown,
                         nearest);
    for (size_t i = 0; i < n && len < sizeof list; i++)
        len += (size_t)snprintf(list + len, sizeof list - len, " %s", words[i]);
    return error_set(err, ERR_PARAMETER_INVALID, "'%s' is not a parameter here; there are:%s", shown,
                     n ? list : " none");
}

bool param_find(const char *name, unsigned allowed, enum param *which, struct error *err)
{
    const char *words[PARAM_COUNT];
    size_t n = 0;

    for (size_t i = 0; i < PARAM_COUNT; i++) {
        if (!(allowed & PARAM_BIT(i)))
            continue;
        if (strcmp(name, known[i].name) == 0) {
            *which = (enum param)i;
            return true;
        }
        words[n++] = known[i].name;
    }
    return refuse_name(name, words, n, err);
}

/* One more line. */
static bool add_line(char **lines, const char *value, struct error *err)
{
    size_t had = *lines ? strlen(*lines) + 1 : 0, len = strlen(value);
    char *all;

    if (strchr(value, '\n') || had + len > PARAM_LINES_MAX)
        return error_set(err, ERR_PARAMETER_INVALID, strchr(value, '\n') ? "'to' has a line break" : "too many 'to'");
    all = realloc(*lines, had + len + 1);
    if (!all)
        return error_set(err, ERR_INTERNAL, "out of memory");
    if (had > 0)
        all[had - 1] = '\n';
    memcpy(all + had, value, len + 1);
    *lines = all;
    return true;
}

bool params_set(struct params *p, enum param which, const char *value, struct error *err)
{
    size_t len = strlen(value);

    if (p->value[which] && which != PARAM_TO && which != PARAM_LABEL)
        return error_set(err, ERR_PARAMETER_INVALID, "'%s' is given twice", known[which].name);
    if (len > PARAM_MAX)
        return error_set(err, ERR_PARAMETER_INVALID, "'%s' is longer than %d bytes", known[which].name, PARAM_MAX);
    if (!text_is_xml(value, len))
        return error_set(err, which == PARAM_NAME ? ERR_NAME_INVALID : ERR_PARAMETER_INVALID,
                         "'%s' is not UTF-8 text without control characters", known[which].name);
    if (which == PARAM_TO)
        return add_line(&p->value[which], value, err);
    if (which == PARAM_LABEL)
        return labels_read(&p->value[which], value, err);
    p->value[which] = strdup(value);
    if (!p->value[which])
        return error_set(err, ERR_INTERNAL, "out of memory");
    return true;
}

bool params_read(struct params *p, const struct target *t, unsigned allowed, struct error *err)
{
    char name[64], value[PARAM_MAX + 1];

    for (size_t i = 0; i < t->params; i++) {
        const struct slice *n = &t->param[i].name, *v = &t->param[i].value;
        enum param which;

        if (!text_percent_decode(n->at, n->len, false, name, sizeof name, err))
            return error_set(err, ERR_PARAMETER_INVALID, "query parameter %zu has no readable name", i + 1);
        if (!param_find(name, allowed, &which, err))
            return false;
        if (!text_percent_decode(v->at, v->len, known[which].text, value, sizeof value, err))
            return error_set(err, ERR_PARAMETER_INVALID, "'%s' is longer than %d bytes", name, PARAM_MAX);
        if (!params_set(p, which, value, err))
            return false;
    }
    return true;
}

void params_free(struct params *p)
{
    for (size_t i = 0; i < PARAM_COUNT; i++)
        free(p->value[i]);
    memset(p, 0, sizeof *p);
}

/* At most 12 digits: with any unit that fits an int64_t of milliseconds. */
static bool take_digits(const char **text, size_t most, int64_t *out)
{
    const char *p = *text;

    *out = 0;
    while (isdigit((unsigned char)*p) && (size_t)(p - *text) < most)
        *out = *out * 10 + (*p++ - '0');
    if (p == *text)
        return false;
    *text = p;
    return true;
}

bool duration_parse(const char *text, int64_t *ms)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    int64_t n;

    if (!take_digits(&text, 10, &n))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(text, units[i].name) == 0) {
            *ms = n * units[i].ms;
            return true;
        }
    }
    return false;
}

static bool take_fixed(const char **text, size_t digits, char after, int *out)
{
    const char *start = *text;
    int64_t n;

    if (!take_digits(text, digits, &n) || (size_t)(*text - start) != digits)
        return false;
    if (after && *(*text)++ != after)
        return false;
    *out = (int)n;
    return true;
}

/* "Z" or "+01:00", as minutes east; nothing may follow. */
static bool take_zone(const char *text, int *minutes)
{
    int hours, rest, sign = *text == '-' ? -1 : 1;

    *minutes = 0;
    if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0)
        return true;
    if (*text != '+' && *text != '-')
        return false;
    text++;
    if (!take_fixed(&text, 2, ':', &hours) || !take_fixed(&text, 2, 0, &rest) || *text || hours > 23 || rest > 59)
        return false;
    *minutes = sign * (hours * 60 + rest);
    return true;
}

bool time_parse(const char *text, int64_t *wall_ms)
{
    struct tm tm = {0}, check;
    int64_t fraction = 0;
    int zone;
    time_t at;

    if (!take_fixed(&text, 4, '-', &tm.tm_year) || !take_fixed(&text, 2, '-', &tm.tm_mon) ||
        !take_fixed(&text, 2, 0, &tm.tm_mday) || !strchr("Tt ", *text) || !*text)
        return false;
    text++;
    if (!take_fixed(&text, 2, ':', &tm.tm_hour) || !take_fixed(&text, 2, ':', &tm.tm_min) ||
        !take_fixed(&text, 2, 0, &tm.tm_sec))
        return false;
    if (*text == '.') {
        int64_t scale = 100;

        if (!isdigit((unsigned char)*++text))
            return false;
        for (; isdigit((unsigned char)*text); text++, scale /= 10)
            fraction += (*text - '0') * scale;
    }
    if (tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60 || !take_zone(text, &zone))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    check = tm;
    at = timegm(&check);
    /* A day that does not exist comes back as another one. */
    if (tm.tm_sec < 60 && (check.tm_mday != tm.tm_mday || check.tm_mon != tm.tm_mon))
        return false;
    *wall_ms = ((int64_t)at - (int64_t)zone * 60) * 1000 + fraction;
    return true;
}

bool number_parse(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t n;

    if (digits == 0 || digits > 19 || text[digits]) /* 19 digits always fit */
        return false;
    n = strtoull(text, NULL, 10);
    if (n < least || n > most)
        return false;
    *out = n;
    return true;
}
