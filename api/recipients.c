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

    return jid_parse(&rq->to, segment, strlen(segment), err) && api_recipient_resource(rq, err);
}

/* That nobody is there, or a room is, is an answer to the question, not a failure of it. */
static enum MHD_Result found(struct request *rq)
{
    if (rq->got.error.code == ERR_RECIPIENT_OFFLINE || rq->got.error.code == ERR_NO_COMMON_METHOD)
        return reply_json(rq, 200, json_of_unreachable(&rq->to, &rq->got.error));
    if (rq->got.error.code != ERR_NONE)
        return reply_problem(rq, &rq->got.error, STAGE_RESOLVE, NULL);
    return reply_json(rq, 200, json_of_recipient(&rq->got.recipient));
}

enum MHD_Result api_recipient_get(struct request *rq)
{
    request_wait(rq, WAIT_ANSWER, found);
    gateway_find(rq->gw, &rq->to, request_got_recipient, rq);
    return MHD_YES;
}
