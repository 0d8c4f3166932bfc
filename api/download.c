/* api/download.c - GET and HEAD /d/{secret}/{name}: what the recipient of a link fetches (RFC 9110 section 14: ranges).
 *
 * The one path that the whole world may call. Whoever has the URL may have the file; a browser saves it and does not
 * show it, so that nobody's page is ever run as one of ours. The secret is in the target alone, which no log shows. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/handlers.h"
#include "api/reply.h"

/* The type as told, but none that a browser might run if it overlooked all else that we say. */
static const char *safe_type(const char *type)
{
    static const char *const active[] = {"html", "xml", "svg", "javascript", "ecmascript", "multipart"};

    if (!media_type_valid(type))
        return "application/octet-stream";
    for (size_t i = 0; i < sizeof active / sizeof *active; i++)
        if (strcasestr(type, active[i]))
            return "application/octet-stream";
    return type;
}

/* What does not depend on the range. The last one keeps links out of search engines that were shown one. */
static void add_headers(struct request *rq, const char *name, const char *tag, const char *date)
{
    char *disposition = disposition_attachment(name);

    if (disposition)
        reply_header(rq, "Content-Disposition", "%s", disposition);
    free(disposition);
    reply_header(rq, "Content-Security-Policy", "sandbox; default-src 'none'");
    reply_header(rq, "Referrer-Policy", "no-referrer");
    reply_header(rq, "Accept-Ranges", "bytes");
    reply_header(rq, "ETag", "%s", tag);
    reply_header(rq, "Last-Modified", "%s", date);
    reply_header(rq, "X-Robots-Tag", "noindex");
}

/* The caller has it already (RFC 9110 section 13.1.2, 13.1.3). Dates are compared as text: a file never changes, so one
 * that is not ours is not about it. */
static bool is_known(struct request *rq, const char *tag, const char *date)
{
    const char *tags = request_header(rq, "If-None-Match"), *since = request_header(rq, "If-Modified-Since");

    return tags ? etag_listed(tags, tag) : since && strcmp(since, date) == 0;
}

/* A range of what the caller began to fetch (RFC 9110 section 13.1.5), or all of what there is now. */
static enum range range_wanted(struct request *rq, const char *tag, const char *date)
{
    const char *range = request_header(rq, "Range"), *of = request_header(rq, "If-Range");

    if (!range || rq->head || (of && strcmp(of, tag) != 0 && strcmp(of, date) != 0))
        return RANGE_WHOLE;
    return range_read(range, rq->got.download.size, &rq->sending.from, &rq->sending.to);
}

static enum MHD_Result send_file(struct request *rq, unsigned status)
{
    struct download *d = &rq->got.download;
    int fd = d->fd;

    if (d->size == 0) /* the library takes no file of none */
        return reply_text(rq, status, safe_type(d->type), NULL);
    d->fd = -1;
    return reply_file(rq, status, safe_type(d->type), fd, rq->sending.from, rq->sending.to);
}

static enum MHD_Result send_range(struct request *rq, const char *name, const char *tag, const char *date)
{
    uint64_t size = rq->got.download.size;
    struct error err;

    switch (range_wanted(rq, tag, date)) {
    case RANGE_UNSATISFIABLE:
        reply_header(rq, "Content-Range", "bytes */%" PRIu64, size);
        error_set(&err, ERR_RANGE_UNSATISFIABLE, "the file has %" PRIu64 " bytes", size);
        return reply_problem(rq, &err, STAGE_REQUEST, NULL);
    case RANGE_PART:
        add_headers(rq, name, tag, date);
        reply_header(rq, "Content-Range", "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, rq->sending.from,
                     rq->sending.to - 1, size);
        return send_file(rq, 206);
    case RANGE_WHOLE:
        break;
    }
    rq->sending.from = 0;
    rq->sending.to = size;
    add_headers(rq, name, tag, date);
    return send_file(rq, 200);
}

enum MHD_Result reply_download(struct request *rq, const char *name, const char *tag)
{
    char quoted[80], date[HTTP_DATE];

    snprintf(quoted, sizeof quoted, "\"%s\"", tag);
    http_date(rq->got.download.modified, date);
    if (!is_known(rq, quoted, date))
        return send_range(rq, name, quoted, date);
    reply_header(rq, "ETag", "%s", quoted);
    return reply_text(rq, 304, NULL, NULL);
}

static enum MHD_Result got_download(struct request *rq)
{
    enum MHD_Result result;

    if (rq->got.error.code != ERR_NONE)
        return reply_problem(rq, &rq->got.error, STAGE_REQUEST, NULL);
    result = reply_download(rq, rq->target.segment[2], rq->got.download.tag);
    rq->sending.counts = !rq->head && (rq->status == 200 || rq->status == 206);
    return result;
}

enum MHD_Result api_download_get(struct request *rq)
{
    request_wait(rq, WAIT_ANSWER, got_download);
    gateway_download(rq->gw, rq->target.segment[1], rq->target.segment[2], request_got_download, rq);
    return MHD_YES;
}
