#include "api/target.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

/* One rule for the whole target, so that no later step meets a byte it did not expect. Bytes above ASCII pass: people
 * type them, and every value is checked as UTF-8 where it is used. */
static bool check_bytes(const char *raw, struct error *err)
{
    for (const unsigned char *p = (const unsigned char *)raw; *p; p++) {
        if (*p <= ' ' || *p == 0x7f || *p == '#')
            return error_set(err, ERR_REQUEST_MALFORMED, "byte 0x%02x does not belong in a request target", *p);
        if (*p != '%')
            continue;
        if (!isxdigit(p[1]) || !isxdigit(p[2]))
            return error_set(err, ERR_REQUEST_MALFORMED, "'%%' without two hexadecimal digits in the request target");
        if (p[1] == '0' && p[2] == '0')
            return error_set(err, ERR_REQUEST_MALFORMED, "%%00 in the request target");
    }
    return true;
}

/* Returns where the path starts, NULL when there is none, or no host before it. */
static const char *take_authority(struct target *t, const char *raw)
{
    if (strncasecmp(raw, "http://", 7) == 0) {
        t->authority.at = raw + 7;
        t->authority.len = strcspn(raw + 7, "/?");
        if (t->authority.len == 0)
            return NULL;
        raw += 7 + t->authority.len;
    }
    return *raw == '/' ? raw : NULL;
}

static bool take_segments(struct target *t, const char *path, size_t len, struct error *err)
{
    const char *end = path + len;
    size_t room = len + 1;
    char *out = t->decoded = malloc(room);

    if (!out)
        return error_set(err, ERR_INTERNAL, "out of memory");
    while (path < end) {
        const char *start = ++path;

        path = memchr(start, '/', (size_t)(end - start));
        if (!path)
            path = end;
        if (start == end) {
            t->slash = true;
            break;
        }
        if (t->segments++ >= TARGET_SEGMENTS)
            continue;
        if (!text_percent_decode(start, (size_t)(path - start), false, out, room, err))
            return false;
        t->segment[t->segments - 1] = out;
        room -= strlen(out) + 1;
        out += strlen(out) + 1;
    }
    return true;
}

static bool take_params(struct target *t, const char *query, struct error *err)
{
    while (*query) {
        size_t len = strcspn(query, "&");
        const char *equals = memchr(query, '=', len);
        size_t name = equals ? (size_t)(equals - query) : len;

        if (len > 0) {
            if (t->params == TARGET_PARAMS)
                return error_set(err, ERR_REQUEST_MALFORMED, "more than %d query parameters", TARGET_PARAMS);
            t->param[t->params].name = (struct slice){query, name};
            t->param[t->params].value = equals ? (struct slice){equals + 1, len - name - 1} : (struct slice){"", 0};
            t->params++;
        }
        query += len;
        query += *query == '&';
    }
    return true;
}

bool target_parse(struct target *t, const char *raw, struct error *err)
{
    const char *path;
    size_t len;

    memset(t, 0, sizeof *t);
    if (!check_bytes(raw, err))
        return false;
    t->raw = strdup(raw);
    if (!t->raw)
        return error_set(err, ERR_INTERNAL, "out of memory");
    path = take_authority(t, t->raw);
    if (!path) {
        error_set(err, ERR_REQUEST_MALFORMED, "the request target has no path or no host");
        goto fail;
    }
    len = strcspn(path, "?");
    if (!take_segments(t, path, len, err) || (path[len] && !take_params(t, path + len + 1, err)))
        goto fail;
    return true;
fail:
    target_free(t);
    return false;
}

void target_free(struct target *t)
{
    free(t->raw);
    free(t->decoded);
    memset(t, 0, sizeof *t);
}
