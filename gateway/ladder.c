#include "gateway/ladder.h"

#include <stdbool.h>
#include <string.h>

static bool same(const char *name, const char *text, size_t len)
{
    return strlen(name) == len && memcmp(name, text, len) == 0;
}

static bool is_usable(const char *const *usable, const char *name, size_t len)
{
    for (; *usable; usable++)
        if (same(*usable, name, len))
            return true;
    return false;
}

static bool is_bare(const struct method_ops *ops)
{
    return strcmp(ops->name, "s5b") == 0 || strcmp(ops->name, "ibb") == 0;
}

/* ---- one choice after the other */

struct choices {
    struct ladder_choice *at;
    size_t count;
    const char *const *usable;
    const struct method_ops *const *all;
};

static enum ladder_verdict judge(const struct choices *c, const struct method_ops *ops)
{
    if (ops->offline)
        return LADDER_RUNG;
    if (!c->usable)
        return LADDER_NOBODY;
    return is_usable(c->usable, ops->name, strlen(ops->name)) ? LADDER_RUNG : LADDER_UNANNOUNCED;
}

static bool is_there(const struct choices *c, const struct method_ops *ops)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->at[i].method == ops)
            return true;
    return false;
}

static void add(struct choices *c, const char *name, size_t len)
{
    for (const struct method_ops *const *m = c->all; *m; m++)
        if (same((*m)->name, name, len) && !is_there(c, *m) && c->count < LADDER_RUNGS)
            c->at[c->count++] = (struct ladder_choice){*m, judge(c, *m)};
}

static void leave_out_bare(struct choices *c)
{
    bool others = false;

    for (size_t i = 0; i < c->count; i++)
        others = others || (c->at[i].verdict == LADDER_RUNG && !c->at[i].method->offline && !is_bare(c->at[i].method));
    for (size_t i = 0; others && i < c->count; i++)
        if (c->at[i].verdict == LADDER_RUNG && is_bare(c->at[i].method))
            c->at[i].verdict = LADDER_BARE;
}

size_t ladder_explain(struct ladder_choice out[static LADDER_RUNGS], const char *asked, char *const *configured,
                      const char *const *usable, const struct method_ops *const *all)
{
    struct choices c = {.at = out, .usable = usable, .all = all};

    if (!asked) {
        for (; *configured; configured++)
            add(&c, *configured, strlen(*configured));
        leave_out_bare(&c);
        return c.count;
    }
    while (*asked) {
        size_t len = strcspn(asked, ",");

        add(&c, asked, len);
        asked += len + (asked[len] == ',');
    }
    return c.count;
}

/* ---- those that are rungs */

bool ladder_streams(const struct ladder *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (!l->rungs[i]->offline)
            return true;
    return false;
}

void ladder_build(struct ladder *out, const char *asked, char *const *configured, const char *const *usable,
                  const struct method_ops *const *all)
{
    struct ladder_choice choices[LADDER_RUNGS];
    size_t count = ladder_explain(choices, asked, configured, usable, all);

    *out = (struct ladder){0};
    for (size_t i = 0; i < count; i++)
        if (choices[i].verdict == LADDER_RUNG)
            out->rungs[out->count++] = choices[i].method;
}

size_t ladder_choose(struct ladder *out, const struct candidate_resource *resources, size_t count, size_t from,
                     const char *asked, char *const *configured, const struct method_ops *const *all)
{
    for (size_t i = from; i < count; i++) {
        ladder_build(out, asked, configured, resources[i].methods, all);
        if (ladder_streams(out))
            return i;
    }
    return count;
}

static bool is_offline(const char *name, size_t len, const struct method_ops *const *all)
{
    for (; *all; all++)
        if (same((*all)->name, name, len))
            return (*all)->offline;
    return false;
}

bool ladder_is_offline(const char *asked, char *const *configured, const struct method_ops *const *all)
{
    bool offline = true;

    for (; !asked && *configured; configured++)
        offline = offline && is_offline(*configured, strlen(*configured), all);
    while (asked && *asked) {
        size_t len = strcspn(asked, ",");

        offline = offline && is_offline(asked, len, all);
        asked += len + (asked[len] == ',');
    }
    return offline;
}
