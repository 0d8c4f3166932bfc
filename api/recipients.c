/* api/recipients.c - GET /v1/recipients/{jid}: who would get a file now, and how. */
#include <string.h>

#include "api/handlers.h"
#include "api/json.h"
#include "api/reply.h"

bool api_recipient_resource(struct request *rq, struct error *err)
{
    const char *resource = rq->params.value[PARAM_RESOURCE];
    struct jid bare = rq->to;

    if (!resource)
        return true;
    if (rq->to.full)
        return error_set(err, ERR_PARAMETER_INVALID, "'resource' beside an address that has one already");
    return jid_with_resource(&rq->to, &bare, resource, err);
}

bool api_recipient_begin(struct request *rq, struct error *err)
{
    const char *segment = rq->target.segment[2];

    return jid_parse(&rq->to, segment, strlen(segment), err) && api_recipient_resource(rq, err) &&
           token_may_reach(rq->token, &rq->to, rq->refusal.rule, err);
}

static bool read_size(const struct request *rq, uint64_t *size, struct error *err)
{
    const char *text = rq->params.value[PARAM_SIZE];

    *size = 0;
    return !text || number_parse(text, 0, INT64_MAX, size) ||
           error_set(err, ERR_PARAMETER_INVALID, "size: the file's, in bytes");
}

bool api_recipient_look(struct request *rq, struct error *err)
{
    const char *methods = rq->params.value[PARAM_METHODS];
    uint64_t size;

    return api_recipient_begin(rq, err) && read_size(rq, &size, err) &&
           (!methods || gateway_methods_check(rq->gw, methods, err));
}

/* That nobody is there, or a room is, is an answer to the question, not a failure of it. */
static enum MHD_Result found(struct request *rq)
{
    struct gateway_view view;

    if (rq->got.error.code == ERR_RECIPIENT_OFFLINE || rq->got.error.code == ERR_NO_COMMON_METHOD)
        return reply_json(rq, 200, json_of_unreachable(&rq->to, rq->got.ladder, &rq->got.error));
    if (rq->got.error.code != ERR_NONE)
        return reply_problem(rq, &rq->got.error, STAGE_RESOLVE, NULL);
    gateway_view(rq->gw, &view);
    return reply_json(rq, 200, json_of_recipient(&rq->got.recipient, rq->got.ladder, &view));
}

enum MHD_Result api_recipient_get(struct request *rq)
{
    uint64_t size;

    read_size(rq, &size, NULL); /* it was read before */
    request_wait(rq, WAIT_ANSWER, found);
    gateway_find(rq->gw, &rq->to, rq->params.value[PARAM_METHODS], size, request_got_recipient, rq);
    return MHD_YES;
}
