#include "gateway/delivery.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"pending", "delivered", "dead"};

const char *delivery_state_name(enum delivery_state state)
{
    return names[state];
}

bool delivery_state_parse(const char *name, enum delivery_state *state)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) != 0)
            continue;
        *state = (enum delivery_state)i;
        return true;
    }
    return false;
}

void delivery_free(struct delivery **d)
{
    if (*d) {
        free((*d)->body);
        free((*d)->request_id);
        free((*d)->traceparent);
    }
    free(*d);
    *d = NULL;
}

void delivery_free_all(struct delivery **list)
{
    while (*list) {
        struct delivery *next = (*list)->next;

        delivery_free(list);
        *list = next;
    }
}
