#include "api/head.h"

#include <string.h>

#include "api/header.h"

struct walk {
    const char *at; /* where the next line has to begin */
    bool bad;
    struct error *err;
};

static bool strange(struct error *err, const char *what)
{
    return error_set(err, ERR_REQUEST_MALFORMED, "the request's head has %s", what);
}

/* The library puts a NUL over each byte of a line's end. */
static const char *line_end(const char *end)
{
    return end[0] == '\0' && end[1] == '\0' ? end + 2 : NULL;
}

static bool has_control(const char *value)
{
    for (const unsigned char *p = (const unsigned char *)value; *p; p++)
        if ((*p < ' ' && *p != '\t') || *p == 0x7f)
            return true;
    return false;
}

static bool check_line(struct walk *w, const char *name, const char *value)
{
    const char *gap = name + strlen(name) + 1; /* behind the colon */

    if (name != w->at)
        return strange(w->err, "a folded line, a NUL or a line that is no header");
    if (!header_is_token(name))
        return strange(w->err, "a header's name with characters that no name has");
    while (*gap == ' ' || *gap == '\t')
        gap++;
    if (gap != value)
        return strange(w->err, "a folded line");
    if (has_control(value))
        return strange(w->err, "a control character in a header");
    w->at = line_end(value + strlen(value));
    return w->at || strange(w->err, "a NUL in a header, or a line that ends without CR LF");
}

static enum MHD_Result next_line(void *user, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct walk *w = user;

    (void)kind;
    w->bad = !check_line(w, name, value);
    return w->bad ? MHD_NO : MHD_YES;
}

/* One space before the target and one behind it. */
static const char *check_first_line(const char *method, const char *target, size_t target_len, const char *version)
{
    if (!header_is_token(method) || target != method + strlen(method) + 1 || version != target + target_len + 1)
        return NULL;
    return line_end(version + strlen(version));
}

bool head_check(struct MHD_Connection *connection, const char *method, const char *target, size_t target_len,
                const char *version, struct error *err)
{
    const union MHD_ConnectionInfo *size;
    struct walk w = {.err = err};

    if (strncmp(MHD_get_version(), "0.9.75", strlen("0.9.75")) != 0)
        return true;
    size = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    w.at = check_first_line(method, target, target_len, version);
    if (!w.at)
        return strange(err, "a first line that is not like 'GET /v1 HTTP/1.1'");
    MHD_get_connection_values(connection, MHD_HEADER_KIND, next_line, &w);
    if (w.bad)
        return false;
    if (size && (!line_end(w.at) || w.at + 2 != method + size->header_size))
        return strange(err, "a line that is no header");
    return true;
}
