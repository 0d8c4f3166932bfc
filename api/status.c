/* api/status.c - what the gateway says about itself: GET /v1, /v1/xmpp, /v1/openapi.yaml, and the two
 * questions of a supervisor: /livez (restart me?) and /readyz (send me work?). */
#include <string.h>

#include "api/handlers.h"
#include "api/json.h"
#include "api/reply.h"
#include "base/buf.h"

extern const char embedded_openapi[];

/* Core turns at least every quarter of a second; a TLS handshake may hold it for longer, and is shaken before this. */
enum { HEARTBEAT_MS = 30 * 1000 };

static json_t *method_names(struct gateway *gw)
{
    const char *const *names = gateway_method_names(gw);
    json_t *out = json_array();

    for (; out && *names; names++)
        json_array_append_new(out, json_string(*names));
    return out;
}

enum MHD_Result api_root_get(struct request *rq)
{
    const struct config *c = gateway_config(rq->gw);
    struct gateway_view view;
    json_t *body;

    gateway_view(rq->gw, &view); /* the spool's limits may have changed since the start */
    body = json_pack("{s:s, s:s*, s:s, s:o, s:{s:I, s:I, s:I}, s:{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}}",
                     "name", "jidpost", "demo", *view.demo ? view.demo : NULL, "version", JIDPOST_VERSION, "methods",
                     method_names(rq->gw), "limits", "max_file", (json_int_t)view.spool.max_file, "max_spool",
                     (json_int_t)view.spool.max_bytes, "max_wait_s", (json_int_t)(c->http.max_wait / 1000), "links",
                     "send", "/v1/to/{jid}/{name}", "transfers", "/v1/transfers", "uploads", "/v1/uploads", "inbox",
                     "/v1/inbox", "events", "/v1/events", "recipient", "/v1/recipients/{jid}", "xmpp", "/v1/xmpp",
                     "description", "/v1/openapi.yaml", "live", "/livez", "ready", "/readyz");
    return reply_json(rq, 200, body);
}

static json_t *of_relay(const struct gateway_view *view)
{
    if (!view->relays)
        return json_null();
    return json_pack("{s:I, s:I}", "streams", (json_int_t)view->relayed.streams, "waiting",
                     (json_int_t)view->relayed.parked);
}

enum MHD_Result api_network_get(struct request *rq)
{
    struct gateway_view view;
    json_t *body;

    gateway_view(rq->gw, &view);
    body = json_of_network(&view.network);
    if (json_object_set_new(body, "relay", of_relay(&view)) != 0) {
        json_decref(body);
        body = NULL;
    }
    return reply_json(rq, 200, body);
}

enum MHD_Result api_description_get(struct request *rq)
{
    char *text = strdup(embedded_openapi);

    return text ? reply_text(rq, 200, "application/yaml", text) : reply_no_memory(rq);
}

static enum MHD_Result reply_health(struct request *rq, bool well, json_t *body)
{
    char *line = json_line(body);

    return reply_text(rq, well && line ? 200 : 503, "application/json", line);
}

enum MHD_Result api_live_get(struct request *rq)
{
    bool turns = gateway_heartbeat_age(rq->gw) < HEARTBEAT_MS;

    return reply_health(rq, turns, json_pack("{s:s}", "status", turns ? "ok" : "stuck"));
}

enum MHD_Result api_ready_get(struct request *rq)
{
    struct gateway_view view;
    bool ready;
    json_t *body;

    gateway_view(rq->gw, &view);
    if (atomic_load(&rq->gate->closing))
        view.draining = true;
    ready = view.ready && !view.draining;
    body = json_pack("{s:s}", "status", ready ? "ready" : view.draining ? "draining" : "not ready");
    if (rq->params.value[PARAM_VERBOSE])
        json_object_set_new(
            body, "checks",
            json_pack("{s:s, s:b, s:b, s:{s:I, s:I, s:I}, s:{s:I, s:I}, s:I}", "xmpp",
                      network_state_name(view.network.state), "store_writable", (int)view.store_writable, "draining",
                      (int)view.draining, "spool", "bytes", (json_int_t)view.spool.bytes, "max_bytes",
                      (json_int_t)view.spool.max_bytes, "files", (json_int_t)view.spool.files, "transfers", "active",
                      (json_int_t)view.active, "queued", (json_int_t)view.queued, "streams", (json_int_t)view.streams));
    return reply_health(rq, ready, body);
}
