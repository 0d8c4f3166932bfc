/* gateway/config_secret.h - secrets that stand in files of their own. Used by config*.c alone. */
#ifndef GATEWAY_CONFIG_SECRET_H
#define GATEWAY_CONFIG_SECRET_H

#include <stdio.h>

#include "base/error.h"

/* The content of a secret's file without one line end behind it, yours to free(); NULL with *err set. where: what the
 * sentence begins with. */
char *config_secret(FILE *file, const char *where, struct error *err);

#endif
