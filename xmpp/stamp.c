#include "xmpp/stamp.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

/* "Z", "+01:00", or nothing. */
static bool read_zone(const char *text, int64_t *seconds)
{
    static const char shape[] = "dd:dd";

    *seconds = 0;
    if (!*text || strcmp(text, "Z") == 0)
        return true;
    if ((*text != '+' && *text != '-') || strlen(text + 1) != strlen(shape))
        return false;
    for (size_t i = 0; shape[i]; i++)
        if (shape[i] == 'd' ? !isdigit((unsigned char)text[1 + i]) : text[1 + i] != shape[i])
            return false;
    *seconds = ((text[1] - '0') * 10 + text[2] - '0') * 3600 + ((text[4] - '0') * 10 + text[5] - '0') * 60;
    if (*text == '-')
        *seconds = -*seconds;
    return true;
}

int64_t stamp_read(const char *text)
{
    struct tm tm = {0};
    const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M", &tm) : NULL;
    const char *seconds = rest && *rest == ':' ? strptime(rest, ":%S", &tm) : rest;
    int64_t zone, at;

    if (!seconds)
        return 0;
    if (*seconds == '.')
        seconds += 1 + strspn(seconds + 1, "0123456789");
    if (!read_zone(seconds, &zone))
        return 0;
    at = timegm(&tm) - zone;
    return at > 0 ? at * 1000 : 0;
}
