/* gateway/inbox_none.c - the inbox as long as nothing is received: there is nothing in it. */
#include "gateway/gateway.h"

static const struct error nothing = {.code = ERR_NOT_FOUND, .text = "there is no such file in the inbox"};

void gateway_inbox_list(struct gateway *gw, const struct inbox_filter *filter, gateway_inbox_list_fn *done, void *user)
{
    struct inbox_list none = {0};

    (void)gw;
    (void)filter;
    done(user, &none, NULL);
}

void gateway_inbox_get(struct gateway *gw, const char *id, gateway_inbox_fn *done, void *user)
{
    (void)gw;
    (void)id;
    done(user, NULL, &nothing);
}

void gateway_inbox_open(struct gateway *gw, const char *id, gateway_inbox_open_fn *done, void *user)
{
    (void)gw;
    (void)id;
    done(user, NULL, NULL, &nothing);
}

void gateway_inbox_delete(struct gateway *gw, const char *id, gateway_inbox_fn *done, void *user)
{
    (void)gw;
    (void)id;
    done(user, NULL, &nothing);
}
