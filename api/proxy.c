/* api/proxy.c - GET /v1/proxy/sessions: what is relayed for others now, and what was since the start. */
#include <stdio.h>

#include "api/handlers.h"
#include "api/json.h"
#include "api/reply.h"

static json_t *of_session(const struct relay_session *s)
{
    char id[24];

    snprintf(id, sizeof id, "%llu", (unsigned long long)s->id);
    return json_pack("{s:s, s:o, s:o, s:o, s:I, s:{s:I, s:I}}", "id", id, "requester", json_of_text(s->requester),
                     "target", json_of_text(s->target), "since", json_of_time(s->since), "bytes",
                     (json_int_t)s->forth + (json_int_t)s->back, "ways", "forth", (json_int_t)s->forth, "back",
                     (json_int_t)s->back);
}

static json_t *of_sessions(const struct relay_view *view)
{
    json_t *out = json_array();

    for (size_t i = 0; out && i < view->count; i++) {
        if (json_array_append_new(out, of_session(&view->sessions[i])) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

/* Those that there were. */
static json_t *of_refused(const struct relay_view *view)
{
    json_t *out = json_object();

    for (int code = ERR_NONE + 1; out && code < ERROR_CODE_COUNT; code++) {
        if (view->refused[code] > 0 && json_object_set_new(out, error_name((enum error_code)code),
                                                           json_integer((json_int_t)view->refused[code]))) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

enum MHD_Result api_proxy_sessions(struct request *rq)
{
    struct gateway_view gateway;
    struct relay_view view;
    json_t *body;

    gateway_view(rq->gw, &gateway);
    if (!gateway_relay_view(rq->gw, &view))
        return reply_no_memory(rq);
    body = json_pack("{s:b, s:o, s:I, s:{s:I, s:I, s:o}}", "relays", (int)(gateway.relays && !view.draining), "items",
                     of_sessions(&view), "waiting", (json_int_t)view.parked, "totals", "streams",
                     (json_int_t)view.streams, "bytes", (json_int_t)view.bytes, "refused", of_refused(&view));
    relay_view_free(&view);
    return reply_json(rq, 200, body);
}
