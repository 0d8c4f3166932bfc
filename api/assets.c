#include "api/assets.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/reply.h"
#include "base/fd.h"

const char *asset_type(const char *name)
{
    static const struct {
        const char *ending, *type;
    } rows[] = {
        {".html", "text/html; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".json", "application/json"},
        {".txt", "text/plain; charset=utf-8"},
    };
    const char *ending = strrchr(name, '.');

    for (size_t i = 0; ending && i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].ending, ending) == 0)
            return rows[i].type;
    return NULL;
}

const struct asset *asset_find(const char *folder, const char *name)
{
    size_t len = strlen(folder);

    for (const struct asset *a = embedded_assets; a->path; a++)
        if (strncmp(a->path, folder, len) == 0 && a->path[len] == '/' && strcmp(a->path + len + 1, name) == 0)
            return a;
    return NULL;
}

static bool is_name(const char *name)
{
    static const char fit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

    return *name && *name != '.' && name[strspn(name, fit)] == '\0';
}

/* Neither a link nor anything that opening or reading could wait for. */
int asset_open(const char *folder, const char *name)
{
    int at = is_name(name) ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1, fd = -1;
    struct stat st;

    if (at >= 0)
        fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    fd_close(&at);
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)))
        fd_close(&fd);
    return fd;
}

static enum MHD_Result not_there(struct request *rq)
{
    struct error err;

    error_set(&err, ERR_NOT_FOUND, "there is no such file of the page");
    return reply_problem(rq, &err, STAGE_REQUEST, NULL);
}

/* Nobody may frame it, and it tells nobody where a link on it was. */
static void add_headers(struct request *rq, const struct site *site)
{
    reply_header(rq, "Content-Security-Policy", "%s", site->policy);
    reply_header(rq, "Referrer-Policy", "no-referrer");
    reply_header(rq, "Cross-Origin-Opener-Policy", "same-origin");
    reply_header(rq, "Cross-Origin-Resource-Policy", "same-origin");
}

static enum MHD_Result reply_from_disk(struct request *rq, const struct site *site, const char *disk, const char *name,
                                       const char *type)
{
    int fd = asset_open(disk, name);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0) {
        fd_close(&fd);
        return not_there(rq);
    }
    add_headers(rq, site);
    if (st.st_size > 0)
        return reply_file(rq, 200, type, fd, 0, (uint64_t)st.st_size);
    fd_close(&fd);
    return reply_static(rq, 200, type, "", 0);
}

enum MHD_Result reply_asset(struct request *rq, const struct site *site, const char *disk, const char *name)
{
    bool packed = accept_encoding_has(request_header(rq, "Accept-Encoding"), "gzip");
    const char *known = request_header(rq, "If-None-Match"), *type = asset_type(name);
    const struct asset *a;
    char tag[64];

    if (disk && type)
        return reply_from_disk(rq, site, disk, name, type);
    a = type ? asset_find(site->folder, name) : NULL;
    if (!a)
        return not_there(rq);
    packed = packed && a->packed_end - a->packed < a->end - a->data;
    snprintf(tag, sizeof tag, "\"%s%s\"", a->tag, packed ? "-gz" : "");
    rq->cache = "no-cache"; /* to be asked for again, but kept */
    reply_header(rq, "ETag", "%s", tag);
    reply_header(rq, "Vary", "Accept-Encoding");
    if (known && etag_listed(known, tag))
        return reply_text(rq, 304, NULL, NULL);
    add_headers(rq, site);
    if (!packed)
        return reply_static(rq, 200, type, a->data, (size_t)(a->end - a->data));
    reply_header(rq, "Content-Encoding", "gzip");
    return reply_static(rq, 200, type, a->packed, (size_t)(a->packed_end - a->packed));
}
