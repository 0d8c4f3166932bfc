/* gateway/source_url.h - URLs that callers may have files fetched from, as text.
 *
 * Where the name leads is judged once it was looked up (egress.h); here it is what can be told before. Pure functions.
 */
#ifndef GATEWAY_SOURCE_URL_H
#define GATEWAY_SOURCE_URL_H

#include <stdbool.h>

#include "base/error.h"

enum { SOURCE_URL = 2048, SOURCE_NAME = 256 };

/* http or https, a host that fits one of the globs, no user and no password. ERR_SOURCE_REFUSED. */
bool source_url_check(char *const *allow_hosts, const char *url, struct error *err);

/* The last part of its path, decoded, if that is a file name. */
bool source_url_name(const char *url, char out[static SOURCE_NAME]);

#endif
