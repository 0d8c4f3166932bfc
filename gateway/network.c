#include "gateway/network.h"

#include <stdlib.h>

const char *network_state_name(enum network_state state)
{
    static const char *const names[] = {"offline", "connecting", "online", "stopped"};

    return names[state];
}

void recipient_free(struct recipient *r)
{
    for (size_t i = 0; i < r->count; i++) {
        char **features = r->resources[i].features;

        for (char **f = features; f && *f; f++)
            free(*f);
        free(features);
    }
    free(r->resources);
    *r = (struct recipient){0};
}
