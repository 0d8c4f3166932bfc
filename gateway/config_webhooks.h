/* gateway/config_webhooks.h - the sections [webhook NAME], once all of the file is read. Used by config.c alone. */
#ifndef GATEWAY_CONFIG_WEBHOOKS_H
#define GATEWAY_CONFIG_WEBHOOKS_H

#include <stdbool.h>
#include <stdio.h>

#include "gateway/webhook.h"

/* Each gets its secrets, from its files or from systemd's credentials ($CREDENTIALS_DIRECTORY of the environment;
 * webhook.NAME.secret and .secret_old), and what it left out. */
bool config_webhooks_complete(struct webhook_list *list, char *const *environment, struct error *err);

void config_webhooks_each_file(const struct webhook_list *list, void (*each)(void *user, const char *path), void *user);

/* For 'config show' and 'config keys'. */
void config_webhooks_show(const struct webhook_list *list, FILE *out);
void config_webhooks_keys(FILE *out);

#endif
