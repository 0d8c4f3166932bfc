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

static bool is_there(const struct ladder *l, const struct method_ops *ops)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->rungs[i] == ops)
            return true;
    return false;
}

static void add(struct ladder *l, const char *name, size_t len, const char *const *usable,
                const struct method_ops *const *all)
{
    for (; *all; all++)
        if (same((*all)->name, name, len) && ((*all)->offline || is_usable(usable, name, len)) && !is_there(l, *all) &&
            l->count < LADDER_RUNGS)
            l->rungs[l->count++] = *all;
}

static bool is_bare(const struct method_ops *ops)
{
    return strcmp(ops->name, "s5b") == 0 || strcmp(ops->name, "ibb") == 0;
}

static void leave_out_bare(struct ladder *l)
{
    struct ladder kept = {0};

    for (size_t i = 0; i < l->count; i++)
        if (!is_bare(l->rungs[i]))
            kept.rungs[kept.count++] = l->rungs[i];
    if (ladder_streams(&kept))
        *l = kept;
}

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
    *out = (struct ladder){0};
    if (!asked) {
        for (; *configured; configured++)
            add(out, *configured, strlen(*configured), usable, all);
        leave_out_bare(out);
        return;
    }
    while (*asked) {
        size_t len = strcspn(asked, ",");

        add(out, asked, len, usable, all);
        asked += len + (asked[len] == ',');
    }
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
