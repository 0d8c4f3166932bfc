#include "gateway/inbox_name.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "gateway/media.h"

static bool is_device(const char *name)
{
    static const char *const devices[] = {"con", "prn", "aux", "nul"};
    size_t len = strcspn(name, ".");

    while (len > 0 && name[len - 1] == ' ')
        len--;
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        if (len == 3 && strncasecmp(name, devices[i], 3) == 0)
            return true;
    return len == 4 && (strncasecmp(name, "com", 3) == 0 || strncasecmp(name, "lpt", 3) == 0) && name[3] >= '0' &&
           name[3] <= '9';
}

/* What changes how the rest is read, or ends a line: C0, C1, bidi marks, overrides and isolates, separators. */
static bool is_hidden(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff || c == 0xfffe || c == 0xffff;
}

static const char *behind_folders(const char *said)
{
    const char *slash = strrchr(said, '/'), *other = strrchr(said, '\\');
    const char *last = !slash || (other && other > slash) ? other : slash;

    return last ? last + 1 : said;
}

void inbox_name(const char *said, const char *id, const char *type, char out[static INBOX_NAME])
{
    const char *at = said ? behind_folders(said) : "";
    size_t left = strlen(at), len = 0, n;
    uint32_t c;

    for (; left > 0; at += n, left -= n) {
        n = text_char(at, left, &c);
        if (n == 0) { /* not UTF-8 */
            n = 1;
            continue;
        }
        if (is_hidden(c) || (len == 0 && (c == '.' || c == ' ')))
            continue;
        if (len == 0 && is_device(at))
            out[len++] = '_';
        if (len + n >= INBOX_NAME)
            break;
        memcpy(out + len, at, n);
        len += n;
    }
    while (len > 0 && (out[len - 1] == '.' || out[len - 1] == ' '))
        len--;
    out[len] = '\0';
    if (len == 0)
        snprintf(out, INBOX_NAME, "file-%s%s", id, type ? media_ending(type) : "");
}
