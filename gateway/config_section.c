#include "gateway/config_section.h"

#include <string.h>

#include "base/text.h"

enum { KEYS_MOST = 32 };

static int place_of(const struct section_key *keys, const char *key)
{
    for (int i = 0; keys[i].name; i++)
        if (strcmp(keys[i].name, key) == 0)
            return i;
    return -1;
}

static void unknown_key(const char *title, const struct section_key *keys, const char *key, struct error *err)
{
    const char *names[KEYS_MOST], *nearest;
    size_t count = 0;
    char shown[60];

    for (; keys[count].name && count < KEYS_MOST; count++)
        names[count] = keys[count].name;
    nearest = text_nearest(key, names, count);
    text_clean(key, shown, sizeof shown);
    if (nearest)
        error_set(err, ERR_CONFIG, "[%s] has no key '%s'; did you mean '%s'?", title, shown, nearest);
    else
        error_set(err, ERR_CONFIG, "[%s] has no key '%s'; 'jidpost config keys' lists them all", title, shown);
}

int section_take(const char *title, const struct section_key *keys, const char *key, const char *value, unsigned *given,
                 struct error *err)
{
    int i = place_of(keys, key);

    if (i < 0) {
        unknown_key(title, keys, key, err);
        return -1;
    }
    if (*given & 1u << i) {
        error_set(err, ERR_CONFIG, "[%s] %s is given twice", title, key);
        return -1;
    }
    *given |= 1u << i;
    if (!text_is_xml(value, strlen(value)) || strpbrk(value, "\t\r\n")) {
        error_set(err, ERR_CONFIG, "[%s] %s has control characters or is not valid UTF-8", title, key);
        return -1;
    }
    return i;
}
