#include "gateway/network.h"

#include <stdlib.h>

const char *network_state_name(enum network_state state)
{
    static const char *const names[] = {"offline", "connecting", "online", "stopped"};

    return names[state];
}

void candidate_resources_free(struct candidate_resource **resources, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char **features = (*resources)[i].features;

        for (char **f = features; f && *f; f++)
            free(*f);
        free(features);
    }
    free(*resources);
    *resources = NULL;
}

void recipient_free(struct recipient *r)
{
    candidate_resources_free(&r->resources, r->count);
    *r = (struct recipient){0};
}
