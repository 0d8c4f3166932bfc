#include "api/tus_meta.h"

#include <stdio.h>
#include <string.h>

#include "api/digests.h"
#include "api/handlers.h"
#include "api/tus_fields.h"
#include "base/text.h"

/* The parameters that a form has, under the same names but for the file's. */
enum {
#define B(param) PARAM_BIT(PARAM_##param)
    META = B(TO) | B(FROM) | B(RESOURCE) | B(CAPTION) | B(METHODS) | B(MODE) | B(TTL) | B(HOLD) | B(SUBSCRIBE) |
           B(DIGEST) | B(LABEL)
#undef B
};

static bool take_filename(struct request *rq, const char *name, size_t len, struct error *err)
{
    if (!text_name_check(name, len, err))
        return false;
    snprintf(rq->name, sizeof rq->name, "%s", name);
    return true;
}

static bool take_filetype(struct request *rq, const char *type, struct error *err)
{
    if (!media_type_valid(type))
        return error_set(err, ERR_MEDIA_REFUSED, "Upload-Metadata: the filetype is no media type");
    snprintf(rq->type, sizeof rq->type, "%s", type);
    return true;
}

/* An algorithm is to be computed; or with its value, as in Content-Digest, it is promised. */
static bool take_digest(struct request *rq, const char *value, struct error *err)
{
    if (!strchr(value, '='))
        return params_set(&rq->params, PARAM_DIGEST, value, err);
    return digests_read(&rq->promised, value, err);
}

/* Keys that we do not know are their client's own. */
static bool take_pair(void *user, const char *key, const char *value, size_t len, struct error *err)
{
    struct request *rq = user;
    enum param which = 0;

    if (len == 0)
        return true;
    while (which < PARAM_COUNT && !(META & PARAM_BIT(which) && strcmp(param_name(which), key) == 0))
        which++;
    if (which == PARAM_COUNT && strcmp(key, "filename") != 0 && strcmp(key, "filetype") != 0)
        return true;
    if (strlen(value) != len || !text_is_xml(value, len) || len > PARAM_MAX)
        return error_set(err, ERR_PARAMETER_INVALID, "Upload-Metadata: the %s is not plain UTF-8 text", key);
    if (strcmp(key, "filename") == 0)
        return take_filename(rq, value, len, err);
    if (strcmp(key, "filetype") == 0)
        return take_filetype(rq, value, err);
    if (which == PARAM_TO && strchr(value, '\n'))
        return error_set(err, ERR_PARAMETER_INVALID, "Upload-Metadata: 'to' is one address");
    if (which == PARAM_DIGEST)
        return take_digest(rq, value, err);
    if (which == PARAM_MODE && strcmp(value, "stream") == 0)
        return error_set(err, ERR_PARAMETER_INVALID, "mode: an upload that can be resumed is kept; leave it out");
    return params_set(&rq->params, which, value, err);
}

bool tus_meta_addressed(const struct request *rq)
{
    return rq->params.value[PARAM_TO] != NULL;
}

bool tus_meta_take(struct request *rq, const char *line, struct error *err)
{
    struct submission s;

    if (!tus_metadata_read(line, take_pair, rq, err))
        return false;
    if (tus_meta_addressed(rq))
        return token_may(rq->token, SCOPE_SEND, rq->refusal.rule, err) && api_upload_to(rq, err);
    return api_submission_of(rq, &s, err) && gateway_submission_check(rq->gw, &s, err);
}

/* The request's own words go before. */
static bool take_description(void *user, const char *key, const char *value, size_t len, struct error *err)
{
    struct request *rq = user;

    if (strcmp(key, "filename") == 0 && !*rq->name)
        return take_filename(rq, value, len, err);
    if (strcmp(key, "filetype") == 0 && !*rq->type && len > 0)
        return take_filetype(rq, value, err);
    return true;
}

bool tus_meta_describe(struct request *rq, const char *line, struct error *err)
{
    return tus_metadata_read(line, take_description, rq, err);
}
