/* api/multipart.c - multipart/form-data (RFC 7578): the parts of POST /v1/transfers, and of a form sent to
 * /v1/to/{jid}.
 *
 * The parts may come in any order, so whom a file is for may be known only behind it: each is spooled as it arrives and
 * everything is put together at the end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "base/buf.h"
#include "base/text.h"

#define FORM_TYPE "multipart/form-data"

#define FIELDS                                                                                                         \
    (PARAM_BIT(PARAM_TO) | PARAM_BIT(PARAM_FROM) | PARAM_BIT(PARAM_RESOURCE) | PARAM_BIT(PARAM_NAME) |                 \
     PARAM_BIT(PARAM_CAPTION) | PARAM_BIT(PARAM_METHODS) | PARAM_BIT(PARAM_TTL) | PARAM_BIT(PARAM_HOLD) |              \
     PARAM_BIT(PARAM_SUBSCRIBE) | PARAM_BIT(PARAM_DIGEST) | PARAM_BIT(PARAM_MODE) | PARAM_BIT(PARAM_LABEL))

/* What the other parts and the boundaries of a form may add to a file of the greatest size. */
enum { FORM_EXTRA = 256 * 1024 };

enum { KEY_MAX = 64, FILENAME_MAX_BYTES = 1024, FORM_BUFFER = 64 * 1024 };

struct multipart {
    struct MHD_PostProcessor *parser;
    struct request *rq;
    struct error error; /* of the piece at work; ERR_NONE: none */
    char key[KEY_MAX];  /* of the part at work */
    char filename[FILENAME_MAX_BYTES];
    bool empty;    /* nothing of it has come yet */
    bool fresh;    /* it began in the piece of the body at work */
    bool has_part; /* a part was seen */
    bool has_file; /* a file part was seen */
    bool in_file;  /* the part at work is it */
    bool in_field; /* the part at work is `which` */
    enum param which;
    struct buf field;
};

bool multipart_wanted(struct request *rq)
{
    const char *type = request_header(rq, "Content-Type");

    return type && media_type_is(type, FORM_TYPE);
}

static bool start_file(struct multipart *m, const char *type, struct error *err)
{
    struct request *rq = m->rq;

    if (m->has_file && !several_next_file(rq, err))
        return false;
    m->has_file = m->in_file = true;
    if (*m->filename && !text_name_check(m->filename, strlen(m->filename), err))
        return false;
    if (!*rq->name)
        snprintf(rq->name, sizeof rq->name, "%s", m->filename);
    /* octet-stream is what clients write when they do not know. */
    if (!type || media_type_is(type, "application/octet-stream"))
        return true;
    if (!media_type_valid(type))
        return error_set(err, ERR_MEDIA_REFUSED, "the Content-Type of the part 'file' is no media type");
    snprintf(rq->type, sizeof rq->type, "%s", type);
    return true;
}

static bool end_field(struct multipart *m, struct error *err)
{
    bool ok = true;

    if (m->in_field && m->field.failed)
        ok = error_set(err, ERR_PARAMETER_INVALID, "'%s' is longer than %d bytes", param_name(m->which), PARAM_MAX);
    else if (m->in_field && m->field.data && memchr(m->field.data, '\0', m->field.len))
        ok = error_set(err, ERR_PARAMETER_INVALID, "'%s' has a NUL byte", param_name(m->which));
    else if (m->in_field)
        ok = params_set(&m->rq->params, m->which, m->field.data ? m->field.data : "", err);
    buf_free(&m->field);
    m->in_field = m->in_file = false;
    return ok;
}

static bool start_part(struct multipart *m, const char *key, const char *filename, const char *type, struct error *err)
{
    unsigned fields = m->rq->to.text[0] ? FIELDS & ~PARAM_BIT(PARAM_TO) : FIELDS;

    if (!end_field(m, err))
        return false;
    if (strlen(key) >= sizeof m->key || strlen(filename) >= sizeof m->filename)
        return error_set(err, ERR_REQUEST_MALFORMED, "the name of a part is too long");
    snprintf(m->key, sizeof m->key, "%s", key);
    snprintf(m->filename, sizeof m->filename, "%s", filename);
    m->empty = m->fresh = m->has_part = true;
    if (strcmp(key, "file") == 0)
        return start_file(m, type, err);
    if (!param_find(key, fields, &m->which, err))
        return false;
    m->in_field = true;
    m->field = (struct buf){.ceiling = PARAM_MAX};
    return true;
}

/* A part arrives in pieces with a rising offset; one at 0 starts a part, unless the piece before was an empty one of
 * the same, which the library sends ahead when it has nothing more to read. */
static bool take_piece(struct multipart *m, const char *key, const char *filename, const char *type, const char *data,
                       uint64_t offset, size_t len, struct error *err)
{
    bool same = m->empty && !m->fresh && strcmp(key, m->key) == 0 && strcmp(filename, m->filename) == 0;

    if (offset == 0 && !same && !start_part(m, key, filename, type, err))
        return false;
    m->empty = m->empty && len == 0;
    if (m->in_file)
        return len == 0 || api_upload_take(m->rq, data, len, err);
    buf_add(&m->field, data, len); /* a failure is sticky and told at the end of the field */
    return true;
}

static enum MHD_Result on_piece(void *user, enum MHD_ValueKind kind, const char *key, const char *filename,
                                const char *type, const char *encoding, const char *data, uint64_t offset, size_t len)
{
    struct multipart *m = user;

    (void)kind;
    (void)encoding;
    if (m->error.code != ERR_NONE)
        return MHD_NO;
    return take_piece(m, key ? key : "", filename ? filename : "", type, data, offset, len, &m->error) ? MHD_YES
                                                                                                       : MHD_NO;
}

/* A form's file has no announced length of its own; the form's is close enough to refuse what cannot fit. */
static bool check_room(struct request *rq, struct error *err)
{
    uint64_t most = gateway_config(rq->gw)->spool.max_file;
    struct gateway_view view;
    uint64_t announced;

    if (rq->announced <= FORM_EXTRA)
        return true;
    announced = (uint64_t)rq->announced - FORM_EXTRA;
    if (announced > most)
        return error_set(err, ERR_BODY_TOO_LARGE, "at most %llu bytes are taken", (unsigned long long)most);
    if (!token_may_send(rq->token, announced, rq->refusal.rule, err))
        return false;
    gateway_view(rq->gw, &view);
    if (view.spool.bytes - view.spool.spare + announced > view.spool.max_bytes)
        return error_set(err, ERR_SPOOL_FULL, "the spool has no room for it now");
    return true;
}

/* The library takes all that stands behind the first "boundary=" for the boundary, other parameters too, and looks for
 * the name in small letters only. It can be given no other text than the header it keeps, so that is written anew as it
 * would have it: never longer, and in memory of the connection that the library itself has written to. */
static bool settle_boundary(struct request *rq, struct error *err)
{
    const char *type = MHD_lookup_connection_value(rq->connection, MHD_HEADER_KIND, "Content-Type");
    char boundary[BOUNDARY_SIZE];

    if (!type || !media_type_boundary(type, boundary))
        return error_set(err, ERR_REQUEST_MALFORMED, "multipart/form-data without a boundary that can be read");
    snprintf((char *)type, strlen(type) + 1, FORM_TYPE ";boundary=%s", boundary);
    return true;
}

bool multipart_create(struct request *rq, struct error *err)
{
    const struct submission s = {.mode = MODE_SPOOL, .key = rq->key};
    struct multipart *m;

    if (!settle_boundary(rq, err) || !check_room(rq, err) || !api_upload_check(rq, err))
        return false;
    rq->upload = gateway_upload_begin(rq->gw, -1, &s, err);
    if (!rq->upload)
        return false;
    rq->key = NULL;
    if (!api_upload_count(rq, err))
        return false;
    m = rq->multipart = calloc(1, sizeof *m);
    if (!m)
        return error_set(err, ERR_INTERNAL, "out of memory");
    m->rq = rq;
    m->parser = MHD_create_post_processor(rq->connection, FORM_BUFFER, on_piece, m);
    if (!m->parser)
        return error_set(err, ERR_INTERNAL, "out of memory");
    return true;
}

bool multipart_feed(struct request *rq, const char *data, size_t len, struct error *err)
{
    struct multipart *m = rq->multipart;

    m->fresh = false;
    if (MHD_post_process(m->parser, data, len) == MHD_YES && m->error.code == ERR_NONE)
        return true;
    if (m->error.code == ERR_NONE)
        return error_set(err, ERR_REQUEST_MALFORMED, "the body is not multipart/form-data with its boundary");
    *err = m->error;
    return false;
}

bool multipart_finish(struct request *rq, struct error *err)
{
    struct multipart *m = rq->multipart;
    enum MHD_Result whole = MHD_destroy_post_processor(m->parser);

    m->parser = NULL;
    if (whole != MHD_YES)
        return error_set(err, ERR_REQUEST_MALFORMED, "the form ends before its last boundary");
    if (!m->has_part)
        return error_set(err, ERR_REQUEST_MALFORMED, "the body has no part behind the boundary that its type names");
    if (!end_field(m, err))
        return false;
    if (!m->has_file)
        return error_set(err, ERR_PARAMETER_INVALID, "the form has no part 'file'");
    return true;
}

void multipart_destroy(struct multipart **form)
{
    if (!*form)
        return;
    if ((*form)->parser)
        MHD_destroy_post_processor((*form)->parser);
    buf_free(&(*form)->field);
    free(*form);
    *form = NULL;
}
