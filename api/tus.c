/* api/tus.c - /v1/uploads: the resumable upload protocol tus 1.0, with its extensions creation, creation-with-upload,
 * creation-defer-length, checksum, expiration and termination.
 *
 * An upload with `to` in its metadata becomes a transfer with its last byte; until it has, whoever asks for it whole
 * (HEAD, or an empty PATCH at its end) tries again, and so does the next start (tus_start.c). Without `to` it waits for
 * a request that names it. Afterwards its transfer answers for it: both have the same digits. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>

#include "api/handlers.h"
#include "api/reply.h"
#include "api/tus_fields.h"
#include "api/tus_meta.h"
#include "base/log.h"

#define VERSION "1.0.0"
#define TYPE    "application/offset+octet-stream"

/* What a request has to do with an upload. */
struct tus {
    struct partial *partial; /* held; NULL: not, or no more */
    char id[ID_SIZE];
    uint64_t offset; /* before this request */
    int64_t length;  /* -1: not known */
    unsigned status; /* of the answer when all goes well */
    struct tus_checksum promised;
    EVP_MD_CTX *md; /* of the body; NULL: nothing is promised */
};

static struct tus *tus_of(struct request *rq, struct error *err)
{
    if (!rq->tus)
        rq->tus = calloc(1, sizeof *rq->tus);
    if (!rq->tus)
        error_set(err, ERR_INTERNAL, "out of memory");
    return rq->tus;
}

void api_tus_drop(struct request *rq)
{
    if (!rq->tus || !rq->tus->partial)
        return;
    log_info("http.upload_broken", log_str("upload", rq->tus->id), log_str("request_id", rq->id),
             log_str("code", error_name(rq->error.code)));
    gateway_partial_release(&rq->tus->partial);
}

void api_tus_free(struct request *rq)
{
    if (!rq->tus)
        return;
    EVP_MD_CTX_free(rq->tus->md);
    free(rq->tus);
    rq->tus = NULL;
}

/* ---- OPTIONS */

enum MHD_Result api_tus_options(struct request *rq)
{
    struct gateway_view view;
    uint64_t most;

    gateway_view(rq->gw, &view);
    most = view.spool.max_file;
    if (rq->token && rq->token->max_size > 0 && rq->token->max_size < most)
        most = rq->token->max_size;
    reply_header(rq, "Tus-Version", VERSION);
    reply_header(rq, "Tus-Extension",
                 "creation,creation-with-upload,creation-defer-length,checksum,expiration,termination");
    reply_header(rq, "Tus-Max-Size", "%" PRIu64, most);
    reply_header(rq, "Tus-Checksum-Algorithm", TUS_CHECKSUMS);
    reply_header(rq, "Allow", "POST, OPTIONS");
    return reply_text(rq, 204, NULL, NULL);
}

/* ---- what every request has */

static bool take_version(struct request *rq, struct error *err)
{
    const char *version = request_header(rq, "Tus-Resumable");

    if (version && strcmp(version, VERSION) == 0)
        return true;
    reply_header(rq, "Tus-Version", VERSION);
    return error_set(err, ERR_TUS_VERSION, version ? "Tus-Resumable is not " VERSION : "Tus-Resumable is missing");
}

static bool take_number(struct request *rq, const char *name, uint64_t *out, struct error *err)
{
    const char *text = request_header(rq, name);

    return (text && number_parse(text, 0, INT64_MAX, out)) ||
           error_set(err, ERR_REQUEST_MALFORMED, text ? "%s is no number of bytes" : "%s is missing", name);
}

static bool take_type(struct request *rq, struct error *err)
{
    const char *type = request_header(rq, "Content-Type");

    return (type && media_type_is(type, TYPE)) ||
           error_set(err, ERR_MEDIA_REFUSED, "the Content-Type of an upload's bytes is " TYPE);
}

static bool take_checksum(struct request *rq, struct error *err)
{
    const char *value = request_header(rq, "Upload-Checksum");
    struct tus *t = rq->tus;
    EVP_MD *kind;
    bool ok;

    if (!value)
        return true;
    if (!tus_checksum_read(value, &t->promised, err))
        return false;
    kind = EVP_MD_fetch(NULL, t->promised.algorithm, NULL);
    t->md = EVP_MD_CTX_new();
    ok = kind && t->md && EVP_DigestInit_ex(t->md, kind, NULL) == 1;
    EVP_MD_free(kind);
    return ok ||
           error_set(err, ERR_DIGEST_UNSUPPORTED, "Upload-Checksum: %s cannot be computed here", t->promised.algorithm);
}

/* ---- the body of POST and PATCH */

static bool check_announced(struct request *rq, struct error *err)
{
    struct tus *t = rq->tus;
    uint64_t most = t->length >= 0 ? (uint64_t)t->length - t->offset : INT64_MAX - t->offset;

    if (rq->announced > 0 && (uint64_t)rq->announced > most)
        return error_set(err, ERR_LENGTH_CONFLICT, "the body goes beyond the Upload-Length");
    return rq->announced <= 0 || token_may_send(rq->token, t->offset + (uint64_t)rq->announced, rq->refusal.rule, err);
}

/* Paid for now as far as it is announced, then as it comes. */
static bool open_body(struct request *rq, struct error *err)
{
    struct tus *t = rq->tus;

    return api_upload_spend(rq, t->id, err) && gateway_partial_open(t->partial, t->md != NULL, err);
}

bool api_tus_body(struct request *rq, const char *data, size_t len, struct error *err)
{
    struct tus *t = rq->tus;

    rq->taken += len;
    if (!token_may_send(rq->token, t->offset + rq->taken, rq->refusal.rule, err) || !api_upload_pay(rq, err))
        return false;
    if (t->md)
        EVP_DigestUpdate(t->md, data, len);
    return gateway_partial_append(t->partial, data, len, rq->more, err);
}

static bool is_as_promised(struct tus *t)
{
    unsigned char found[EVP_MAX_MD_SIZE];
    unsigned size = 0;

    return !t->md || (EVP_DigestFinal_ex(t->md, found, &size) == 1 && size == t->promised.size &&
                      memcmp(found, t->promised.value, size) == 0);
}

/* ---- answers */

static void tell_length(struct request *rq, int64_t length)
{
    if (length >= 0)
        reply_header(rq, "Upload-Length", "%" PRId64, length);
    else
        reply_header(rq, "Upload-Defer-Length", "1");
}

static enum MHD_Result reply_offset(struct request *rq, uint64_t offset)
{
    reply_header(rq, "Upload-Offset", "%" PRIu64, offset);
    return reply_text(rq, rq->tus->status, NULL, NULL);
}

/* An upload that could not be begun is refused otherwise. */
static enum MHD_Result refuse(struct request *rq, const struct error *err)
{
    if (err->code == ERR_UPLOAD_LOCKED)
        reply_header(rq, "Retry-After", "5");
    return reply_problem(rq, err, STAGE_UPLOAD, NULL);
}

static enum MHD_Result settled(struct request *rq)
{
    char date[HTTP_DATE];

    if (rq->got.error.code != ERR_NONE)
        return refuse(rq, &rq->got.error);
    http_date(rq->got.expires, date);
    reply_header(rq, "Upload-Expires", "%s", date);
    return reply_offset(rq, rq->got.offset);
}

static enum MHD_Result finished(struct request *rq)
{
    if (!rq->got.record)
        return refuse(rq, &rq->got.error);
    reply_header(rq, "Transfer-Location", "/v1/transfers/%s", rq->got.record->id);
    return reply_offset(rq, rq->got.record->size);
}

static enum MHD_Result finish(struct request *rq)
{
    struct submission s;

    if (!api_submission_of(rq, &s, &rq->error)) {
        api_tus_drop(rq);
        return refuse(rq, &rq->error);
    }
    rq->upload = gateway_partial_upload(&rq->tus->partial, &rq->error);
    if (!rq->upload)
        return refuse(rq, &rq->error);
    request_wait(rq, WAIT_COMMIT, finished);
    gateway_upload_finish(&rq->upload, &s, request_got_record, rq);
    return MHD_YES;
}

static enum MHD_Result let_go(struct request *rq)
{
    struct tus *t = rq->tus;

    if (t->length >= 0 && t->offset + rq->taken == (uint64_t)t->length && tus_meta_addressed(rq))
        return finish(rq);
    request_wait(rq, WAIT_COMMIT, settled);
    gateway_partial_settle(&t->partial, request_got_offset, rq);
    return MHD_YES;
}

enum MHD_Result api_tus_end(struct request *rq)
{
    if (is_as_promised(rq->tus))
        return let_go(rq);
    error_set(&rq->error, ERR_CHECKSUM_MISMATCH, "the body does not have the Upload-Checksum");
    api_tus_drop(rq); /* and what came with it */
    return refuse(rq, &rq->error);
}

/* ---- creation */

static bool take_length(struct request *rq, struct error *err)
{
    const char *length = request_header(rq, "Upload-Length"), *deferred = request_header(rq, "Upload-Defer-Length");
    uint64_t bytes = 0;

    rq->tus->length = -1;
    if (!length == !deferred)
        return error_set(err, ERR_REQUEST_MALFORMED, "exactly one of Upload-Length and 'Upload-Defer-Length: 1'");
    if (deferred)
        return strcmp(deferred, "1") == 0 ||
               error_set(err, ERR_REQUEST_MALFORMED, "Upload-Defer-Length has no other value than 1");
    if (!take_number(rq, "Upload-Length", &bytes, err))
        return false;
    rq->tus->length = (int64_t)bytes;
    return token_may_send(rq->token, bytes, rq->refusal.rule, err);
}

/* Absolute for callers who came by that name, which may lead through a path of its own; else relative, since another
 * name may lead elsewhere for them. */
static void tell_location(struct request *rq)
{
    const char *url = gateway_config(rq->gw)->server.public_url, *host = request_header(rq, "Host");
    const char *at = url ? strstr(url, "://") : NULL;
    size_t len = at ? strcspn(at + 3, "/") : 0;
    bool same = at && host && strlen(host) == len && strncasecmp(at + 3, host, len) == 0;

    reply_header(rq, "Location", "%s/v1/uploads/%s", same ? url : "", rq->tus->id);
}

static bool begin(struct request *rq, const char *meta, struct error *err)
{
    struct partial_info what = {.meta = meta, .length = rq->tus->length};
    struct tus *t = rq->tus;

    if (rq->token)
        snprintf(what.token, sizeof what.token, "%s", rq->token->id);
    t->partial = gateway_partial_begin(rq->gw, &what, err);
    if (!t->partial)
        return false;
    memcpy(t->id, gateway_partial_info(t->partial)->id, ID_SIZE);
    if (open_body(rq, err))
        return true;
    gateway_partial_end(&t->partial);
    return false;
}

bool api_tus_create_begin(struct request *rq, struct error *err)
{
    const char *meta = request_header(rq, "Upload-Metadata");

    if (!tus_of(rq, err) || !take_version(rq, err))
        return false;
    rq->tus->status = 201;
    if (request_header(rq, "Upload-Concat"))
        return error_set(err, ERR_REQUEST_MALFORMED, "the extension concatenation is not offered");
    meta = meta ? meta : "";
    if (!take_length(rq, err) || (rq->announced != 0 && !take_type(rq, err)) || !tus_meta_take(rq, meta, err) ||
        !take_checksum(rq, err) || !check_announced(rq, err))
        return false;
    if (!limits_check(rq->gate->limits, rq->token, rq->tus->length > 0 ? (uint64_t)rq->tus->length : 0, &rq->refusal,
                      err))
        return false;
    if (!begin(rq, meta, err))
        return false;
    limits_begin(rq->gate->limits, rq->token, rq->tus->id);
    tell_location(rq);
    return true;
}

/* ---- one that is there */

/* true: there is none, and one may have become a transfer. */
static bool is_missing(const struct error *err)
{
    return err->code == ERR_NOT_FOUND;
}

static bool hold_it(struct request *rq, const char *id, struct error *err)
{
    const struct partial_info *info;
    struct tus *t = rq->tus;

    t->partial = gateway_partial_hold(rq->gw, id, rq->token ? rq->token->id : NULL, err);
    if (!t->partial)
        return false;
    info = gateway_partial_info(t->partial);
    memcpy(t->id, info->id, ID_SIZE);
    t->offset = info->offset;
    t->length = info->length;
    return true;
}

static bool hold(struct request *rq, struct error *err)
{
    struct tus *t = tus_of(rq, err);

    if (!t || !take_version(rq, err))
        return false;
    return hold_it(rq, rq->target.segment[2], err) && tus_meta_take(rq, gateway_partial_info(t->partial)->meta, err);
}

/* The transfer that it has become, if there is one for this caller. */
static enum MHD_Result look_for_transfer(struct request *rq, step_fn *then)
{
    char transfer[ID_SIZE];

    if (!gateway_partial_transfer(rq->target.segment[2], transfer)) {
        error_set(&rq->error, ERR_NOT_FOUND, "there is no upload of that id");
        rq->unread = rq->announced != 0;
        return refuse(rq, &rq->error);
    }
    request_wait(rq, WAIT_ANSWER, then);
    gateway_get(rq->gw, transfer, request_got_record, rq);
    return MHD_YES;
}

static const struct record *found(struct request *rq, struct error *err)
{
    const struct record *r = rq->got.record;

    if (r && token_sees(rq->token, r)) {
        reply_header(rq, "Transfer-Location", "/v1/transfers/%s", r->id);
        return r;
    }
    if (!r && rq->got.error.code != ERR_NOT_FOUND)
        *err = rq->got.error;
    else
        error_set(err, ERR_NOT_FOUND, "there is no upload of that id");
    return NULL;
}

static enum MHD_Result head_found(struct request *rq)
{
    const struct record *r = found(rq, &rq->error);

    if (!r)
        return refuse(rq, &rq->error);
    tell_length(rq, (int64_t)r->size);
    return reply_offset(rq, r->size);
}

enum MHD_Result api_tus_head(struct request *rq)
{
    const struct partial_info *info;
    bool held = hold(rq, &rq->error);

    if (!held && is_missing(&rq->error)) {
        rq->error.code = ERR_NONE;
        rq->tus->status = 200;
        return look_for_transfer(rq, head_found);
    }
    if (!held) {
        api_tus_drop(rq);
        return refuse(rq, &rq->error);
    }
    info = gateway_partial_info(rq->tus->partial);
    rq->tus->status = 200;
    tell_length(rq, info->length);
    if (*info->meta)
        reply_header(rq, "Upload-Metadata", "%s", info->meta);
    return let_go(rq);
}

/* ---- PATCH */

static bool check_offset(uint64_t offset, uint64_t is, struct error *err)
{
    return offset == is ||
           error_set(err, ERR_UPLOAD_OFFSET_CONFLICT, "the Upload-Offset is %" PRIu64 ", not %" PRIu64, is, offset);
}

/* Its last request was answered, but not heard. */
static enum MHD_Result patch_found(struct request *rq)
{
    const struct record *r = found(rq, &rq->error);
    uint64_t offset = 0;

    rq->unread = rq->announced != 0;
    if (!r || !take_number(rq, "Upload-Offset", &offset, &rq->error) || !check_offset(offset, r->size, &rq->error))
        return refuse(rq, &rq->error);
    if (rq->announced != 0) {
        error_set(&rq->error, ERR_LENGTH_CONFLICT, "the upload is whole, and a transfer");
        return refuse(rq, &rq->error);
    }
    rq->unread = false;
    return reply_offset(rq, r->size);
}

static enum MHD_Result patch_missing(struct request *rq)
{
    return look_for_transfer(rq, patch_found);
}

/* The length that was deferred, or the same once more. */
static bool take_late_length(struct request *rq, struct error *err)
{
    struct tus *t = rq->tus;
    uint64_t length = 0;

    if (!request_header(rq, "Upload-Length"))
        return true;
    if (!take_number(rq, "Upload-Length", &length, err))
        return false;
    if (t->length >= 0)
        return length == (uint64_t)t->length ||
               error_set(err, ERR_LENGTH_CONFLICT, "the Upload-Length is %" PRId64 " already", t->length);
    if (!token_may_send(rq->token, length, rq->refusal.rule, err) || !gateway_partial_declare(t->partial, length, err))
        return false;
    t->length = (int64_t)length;
    return true;
}

static bool patch(struct request *rq, struct error *err)
{
    uint64_t offset = 0;

    if (!take_type(rq, err) || !take_number(rq, "Upload-Offset", &offset, err) ||
        !check_offset(offset, rq->tus->offset, err))
        return false;
    return take_late_length(rq, err) && take_checksum(rq, err) && check_announced(rq, err) && open_body(rq, err);
}

bool api_tus_patch_begin(struct request *rq, struct error *err)
{
    bool held = hold(rq, err);

    if (rq->tus)
        rq->tus->status = 204;
    if (!held && is_missing(err)) {
        *err = (struct error){0};
        rq->before = patch_missing;
        return true;
    }
    if (held && patch(rq, err))
        return true;
    if (err->code == ERR_UPLOAD_LOCKED)
        reply_header(rq, "Retry-After", "5");
    if (rq->tus)
        gateway_partial_release(&rq->tus->partial); /* before its caller hears of it, who may come again at once */
    return false;
}

/* ---- DELETE */

static enum MHD_Result delete_found(struct request *rq)
{
    if (found(rq, &rq->error))
        error_set(&rq->error, ERR_STATE_CONFLICT, "the upload has become a transfer: cancel that");
    return refuse(rq, &rq->error);
}

enum MHD_Result api_tus_delete(struct request *rq)
{
    bool held = hold(rq, &rq->error);

    if (rq->tus && rq->tus->partial) { /* whatever its metadata may be worth by now */
        rq->error.code = ERR_NONE;
        gateway_partial_end(&rq->tus->partial);
        return reply_text(rq, 204, NULL, NULL);
    }
    if (held || !is_missing(&rq->error))
        return refuse(rq, &rq->error);
    rq->error.code = ERR_NONE;
    return look_for_transfer(rq, delete_found);
}

/* ---- for a request whose file is an upload */

bool api_tus_source(struct request *rq, const char *id, struct error *err)
{
    struct tus *t = tus_of(rq, err);

    if (!t || !hold_it(rq, id, err))
        return false;
    if (tus_meta_describe(rq, gateway_partial_info(t->partial)->meta, err))
        rq->upload = gateway_partial_upload(&t->partial, err);
    gateway_partial_release(&t->partial);
    return rq->upload != NULL;
}
