#include "gateway/config_secret.h"

#include <errno.h>
#include <string.h>

char *config_secret(FILE *file, const char *where, struct error *err)
{
    char text[4096];
    size_t len = fread(text, 1, sizeof(text), file);

    if (ferror(file)) {
        error_set(err, ERR_CONFIG, "%s: cannot be read: %s", where, strerror(errno));
        return NULL;
    }
    if (len == sizeof(text) || memchr(text, '\0', len)) {
        error_set(err, ERR_CONFIG, "%s: not a text, or longer than any secret", where);
        return NULL;
    }
    len -= len > 0 && text[len - 1] == '\n';
    len -= len > 0 && text[len - 1] == '\r';
    if (len == 0) {
        error_set(err, ERR_CONFIG, "%s: the file is empty", where);
        return NULL;
    }
    return strndup(text, len);
}
