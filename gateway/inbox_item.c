#include "gateway/inbox_item.h"

#include <stdlib.h>
#include <string.h>

static const char *const states[] = {
    [INBOX_RECEIVING] = "receiving", [INBOX_RECEIVED] = "received", [INBOX_FAILED] = "failed"};

enum { STATES = sizeof states / sizeof *states };

const char *inbox_state_name(enum inbox_state state)
{
    return states[state];
}

bool inbox_state_parse(const char *name, enum inbox_state *state)
{
    for (size_t i = 0; i < STATES; i++) {
        if (strcmp(states[i], name) != 0)
            continue;
        *state = (enum inbox_state)i;
        return true;
    }
    return false;
}

struct inbox_item *inbox_item_new(void)
{
    struct inbox_item *item = calloc(1, sizeof *item);

    if (item)
        item->size = -1;
    return item;
}

static bool copy_text(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return *to || !from;
}

struct inbox_item *inbox_item_copy(const struct inbox_item *item)
{
    struct inbox_item *out = inbox_item_new();
    bool ok = out != NULL;

    if (!ok)
        return NULL;
    *out = *item;
    /* Each of them, so that none is left shared with the original. */
    ok = copy_text(&out->from, item->from);
    ok = copy_text(&out->to, item->to) && ok;
    ok = copy_text(&out->name, item->name) && ok;
    ok = copy_text(&out->type, item->type) && ok;
    ok = copy_text(&out->caption, item->caption) && ok;
    ok = copy_text(&out->sha256, item->sha256) && ok;
    ok = copy_text(&out->streamhost, item->streamhost) && ok;
    ok = copy_text(&out->error_text, item->error_text) && ok;
    if (!ok)
        inbox_item_free(&out);
    return out;
}

void inbox_item_free(struct inbox_item **item)
{
    struct inbox_item *i = *item;

    *item = NULL;
    if (!i)
        return;
    free(i->from);
    free(i->to);
    free(i->name);
    free(i->type);
    free(i->caption);
    free(i->sha256);
    free(i->streamhost);
    free(i->error_text);
    free(i);
}

void inbox_list_free(struct inbox_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        inbox_item_free(&list->items[i]);
    free(list->items);
    *list = (struct inbox_list){0};
}
