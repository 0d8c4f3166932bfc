#include "api/problem.h"

#include <stdio.h>

#include "api/json.h"

enum again { FINAL, AGAIN };

static const char see_proxies[] =
    "GET /v1/xmpp shows each proxy and its last answer; others are configured in [xmpp] proxies.";

static struct problem problem(unsigned status, enum again again, const char *title, const char *hint)
{
    return (struct problem){.status = status, .retryable = again == AGAIN, .title = title, .hint = hint};
}

/* Every code by name and no default: the compiler asks for a new one. */
struct problem problem_of(enum error_code code)
{
    switch (code) {
    case ERR_REQUEST_MALFORMED:
        return problem(400, FINAL, "The request is malformed", "Correct what the detail names and send it again.");
    case ERR_JID_INVALID:
        return problem(400, FINAL, "Not an XMPP address",
                       "Write user@domain; a resource goes behind %2F or into ?resource=.");
    case ERR_LENGTH_CONFLICT:
        return problem(400, FINAL, "The body's length is not the announced one",
                       "Send exactly one of Content-Length and Transfer-Encoding: chunked, and all of the body.");
    case ERR_DIGEST_MISMATCH:
        return problem(
            400, FINAL, "What came is not what was promised",
            "Nothing was kept; compute the digest anew, or send the file again if it was damaged on its way.");
    case ERR_DIGEST_UNSUPPORTED:
        return problem(400, FINAL, "This digest cannot be checked here",
                       "Send the raw file to PUT /v1/to/{jid}/{name} in mode auto or spool, or leave the digest out.");
    case ERR_AUTH_MISSING:
        return problem(401, FINAL, "A token is needed",
                       "Send 'Authorization: Bearer TOKEN', or the token as Basic password: curl -u :TOKEN.");
    case ERR_AUTH_INVALID:
        return problem(401, FINAL, "The token is not accepted",
                       "Compare it with JIDPOST_HTTP_TOKEN of the gateway, or what 'jidpost token create' printed; a "
                       "trailing line feed counts.");
    case ERR_AUTH_EXPIRED:
        return problem(401, FINAL, "The token has expired",
                       "Ask whoever runs the gateway for a new one: jidpost token create.");
    case ERR_SCOPE_MISSING:
        return problem(403, FINAL, "The token is not for this", "Use a token with the scope that the detail names.");
    case ERR_RECIPIENT_NOT_ALLOWED:
        return problem(403, FINAL, "The token is not for that recipient",
                       "Use another token; the rule is in the gateway's configuration.");
    case ERR_FROM_NOT_ALLOWED:
        return problem(403, FINAL, "The token does not send from that address",
                       "Leave from out, or let the token's key from have that name.");
    case ERR_HOST_NOT_ALLOWED:
        return problem(403, FINAL, "Refused to a web page",
                       "Call the gateway by its loopback address or a name listed in [http] hosts, not from a page.");
    case ERR_NOT_FOUND:
        return problem(404, FINAL, "Not found", "GET /v1 lists what there is; records of transfers are kept for days.");
    case ERR_GONE:
        return problem(410, FINAL, "The link is over", "Ask whoever sent the file to send it again.");
    case ERR_METHOD_NOT_ALLOWED:
        return problem(405, FINAL, "That method is not for this path", "Use one of those in the Allow header.");
    case ERR_STATE_CONFLICT:
        return problem(409, FINAL, "Not in this state",
                       "Look at its state; a failed transfer can be retried for as long as its file is kept, and a "
                       "file in the inbox "
                       "fetched once it is received.");
    case ERR_UPLOAD_OFFSET_CONFLICT:
        return problem(409, AGAIN, "The upload goes on somewhere else",
                       "HEAD tells its Upload-Offset; send what comes behind that.");
    case ERR_UPLOAD_LOCKED:
        return problem(423, AGAIN, "Another request is at this upload",
                       "Wait for the end of that request, or a few seconds if its connection is lost; then ask again.");
    case ERR_UPLOAD_EXPIRED:
        return problem(410, FINAL, "The upload is over", "Begin a new one with POST /v1/uploads.");
    case ERR_CHECKSUM_MISMATCH:
        return problem(460, AGAIN, "What came does not have its checksum",
                       "Nothing of this request was kept: send the same bytes again, from the same Upload-Offset.");
    case ERR_TUS_VERSION:
        return problem(412, FINAL, "This version of tus is not spoken here",
                       "Send 'Tus-Resumable: 1.0.0'; OPTIONS /v1/uploads tells what there is.");
    case ERR_IDEMPOTENCY_IN_PROGRESS:
        return problem(409, AGAIN, "A request with this Idempotency-Key is still being uploaded",
                       "Wait for its answer, or look at Location; if it breaks off, the key is free again.");
    case ERR_IDEMPOTENCY_KEY_REUSE:
        return problem(422, FINAL, "This Idempotency-Key was used for another request",
                       "Take a new key for each file; a repeated request has the same method, path and length.");
    case ERR_BODY_TOO_LARGE:
        return problem(413, FINAL, "The file is too large", "Send a smaller file, or raise [spool] max_file.");
    case ERR_REQUEST_TIMEOUT:
        return problem(408, AGAIN, "The request came too slowly",
                       "Send it again, faster; or raise [http] header_timeout, or lower min_rate.");
    case ERR_MEDIA_REFUSED:
        return problem(415, FINAL, "That media type is not taken here",
                       "Send multipart/form-data, or the raw file to PUT /v1/to/{jid}/{name}.");
    case ERR_RANGE_UNSATISFIABLE:
        return problem(416, FINAL, "The range lies behind the end of the file",
                       "Content-Range says how long the file is; begin within it.");
    case ERR_NAME_INVALID:
        return problem(422, FINAL, "The file name cannot be offered",
                       "Use valid UTF-8 without slashes and control characters, at most 255 bytes.");
    case ERR_PARAMETER_INVALID:
        return problem(422, FINAL, "A parameter is not understood", "Correct the parameter that the detail names.");
    case ERR_SOURCE_REFUSED:
        return problem(403, FINAL, "Files are not taken from there",
                       "Upload the file itself; or see [source] in the gateway's configuration.");
    case ERR_SOURCE_FAILED:
        return problem(502, AGAIN, "The source did not give the file",
                       "Look at what the detail names, then send the request again.");
    case ERR_RATE_LIMITED:
        return problem(429, AGAIN, "Too many requests", "Wait as long as Retry-After says, then try again.");
    case ERR_QUOTA_EXCEEDED:
        return problem(429, AGAIN, "The quota is used up",
                       "Wait as long as Retry-After says, then try again; the rule is in the problem.");
    case ERR_DRAINING:
        return problem(503, AGAIN, "The gateway is shutting down", "Try again in a moment, when it is back.");
    case ERR_STORE_UNAVAILABLE:
        return problem(503, AGAIN, "The store is unavailable",
                       "Nothing was accepted; look at the gateway's log, then send it again.");
    case ERR_SPOOL_FULL:
        return problem(507, AGAIN, "The spool is full",
                       "Wait for transfers to end, or raise [spool] max_bytes or free space on its disk.");
    case ERR_RECIPIENT_OFFLINE:
        return problem(409, AGAIN, "The recipient is offline",
                       "Add ?hold=1h to wait for it: the recipient has to be a contact of the gateway (its address: "
                       "GET /v1/xmpp), and ?subscribe=ask asks who is none. Or send again later.");
    case ERR_RECIPIENT_DECLINED:
        return problem(409, FINAL, "The recipient declined", "Ask the recipient; it is not offered again.");
    case ERR_RECIPIENT_CANCELLED:
        return problem(409, FINAL, "The recipient cancelled", "Ask the recipient why the transfer was stopped.");
    case ERR_RECIPIENT_BUSY:
        return problem(409, AGAIN, "The recipient is busy", "Try again later.");
    case ERR_RECIPIENT_FORBIDS:
        return problem(409, FINAL, "The recipient does not accept files from the gateway",
                       "Ask the recipient to add the gateway's address (GET /v1/xmpp) as a contact.");
    case ERR_RECIPIENT_REDIRECTS:
        return problem(409, FINAL, "The recipient wants the file sent elsewhere",
                       "The timeline shows the address it named; send the file there if you trust it.");
    case ERR_RECIPIENT_TOO_SMALL:
        return problem(409, FINAL, "The file is larger than the recipient's client takes",
                       "Send a smaller one, or ask the recipient to raise the limit.");
    case ERR_RECIPIENT_TIMEOUT:
        return problem(504, AGAIN, "The recipient did not answer",
                       "Offers wait for a person: ask the recipient to accept, then send again.");
    case ERR_NO_COMMON_METHOD:
        return problem(422, FINAL, "The recipient's client takes no files in a way the gateway can send them",
                       "GET /v1/recipients/{jid} shows what each client of the recipient can do; use another one.");
    case ERR_METHOD_UNSUPPORTED:
        return problem(502, FINAL, "This method cannot be used here",
                       "The detail says why; leave ?methods= out, so that all methods are tried.");
    case ERR_PROFILE_UNSUPPORTED:
        return problem(502, FINAL, "The recipient's client takes streams, but no files",
                       "Use another client at the recipient's side.");
    case ERR_OFFER_REJECTED:
        return problem(502, FINAL, "The recipient's client rejected the offer",
                       "The timeline shows its answer; try another file name or method.");
    case ERR_IBB_REFUSED:
        return problem(502, FINAL, "The recipient's client refused the in-band stream",
                       "Its user may have to allow it; else use another method.");
    case ERR_STREAMHOSTS_REFUSED:
        return problem(502, FINAL, "The recipient's client wants none of the offered streamhosts",
                       "Configure a proxy in [xmpp] proxies that the recipient accepts.");
    case ERR_STREAMHOSTS_UNREACHABLE:
        return problem(502, AGAIN, "The recipient reached none of our streamhosts",
                       "Advertise an address the recipient can reach ([socks5] advertise), or configure a proxy.");
    case ERR_TRANSPORT_FAILED:
        return problem(502, AGAIN, "The gateway and the recipient's client could not connect to each other",
                       "Advertise an address the recipient can reach ([socks5] advertise), or configure a proxy.");
    case ERR_PEER_ERROR:
        return problem(502, AGAIN, "The recipient's client answered with an error", "The timeline shows its answer.");
    case ERR_PEER_PROTOCOL_ERROR:
        return problem(502, FINAL, "The recipient's client broke the protocol",
                       "The timeline shows where; update that client or use another one.");
    case ERR_IBB_SEQUENCE_ERROR:
        return problem(502, AGAIN, "The recipient's client lost count of the in-band blocks",
                       "Send again; with [delivery] ibb_window = 1 if it is larger now.");
    case ERR_EGRESS_BLOCKED:
        return problem(502, FINAL, "The peer named an address that the gateway must not connect to",
                       "If that network is yours, list it in [egress] allow_nets.");
    case ERR_PROXY_REFUSED:
        return problem(502, AGAIN, "The proxy refused the gateway", see_proxies);
    case ERR_PROXY_UNAVAILABLE:
        return problem(502, AGAIN, "The proxy cannot be reached", see_proxies);
    case ERR_PROXY_BUSY:
        return problem(502, AGAIN, "The proxy is busy", "Try again later.");
    case ERR_PROXY_FAILED:
        return problem(502, AGAIN, "The proxy failed", see_proxies);
    case ERR_NOT_A_PROXY:
        return problem(502, FINAL, "The configured proxy is none", see_proxies);
    case ERR_PROXY_HASH_MISMATCH:
        return problem(502, AGAIN, "The proxy computes another name for the stream", see_proxies);
    case ERR_PROXY_PAIR_INCOMPLETE:
        return problem(502, AGAIN, "The proxy misses one side of the stream",
                       "Try again; the timeline shows the order.");
    case ERR_PROXY_ALREADY_ACTIVE:
        return problem(502, AGAIN, "The proxy says the stream is already active", "Try again.");
    case ERR_ACTIVATION_TIMEOUT:
        return problem(504, AGAIN, "The proxy did not activate the stream", see_proxies);
    case ERR_UPLOAD_SERVICE_REFUSED:
        return problem(502, FINAL, "The server's upload service does not take the file",
                       "The detail says why: most often the file is larger than the service allows.");
    case ERR_UPLOAD_SERVICE_QUOTA:
        return problem(503, AGAIN, "The server's upload service has no room for now",
                       "Try again later, or raise the quota of the upload service.");
    case ERR_UPLOAD_SERVICE_FAILED:
        return problem(502, AGAIN, "The upload to the server's service failed",
                       "The timeline shows where; the service must be reachable from the gateway, with a certificate "
                       "that it trusts.");
    case ERR_LINK_FAILED:
        return problem(502, FINAL, "The link did not reach the recipient", "Check the address; the detail says why.");
    case ERR_STREAM_BROKEN:
        return problem(502, AGAIN, "The stream broke", "Send again; progress says how far it came.");
    case ERR_TRUNCATED:
        return problem(502, AGAIN, "The stream ended before the file did",
                       "Send again; progress says how far it came.");
    case ERR_SIZE_EXCEEDED:
        return problem(502, AGAIN, "More was sent than was announced", "The sender's client is at fault: send again.");
    case ERR_SENDER_NOT_ALLOWED:
        return problem(403, FINAL, "No rule takes files from that sender", "Add the sender to [inbox] accept.");
    case ERR_HASH_MISMATCH:
        return problem(502, AGAIN, "The file that arrived is not the one that was sent",
                       "Send again; if it happens again, ask for its SHA-256 (?digest=sha-256) and compare.");
    case ERR_STALLED:
        return problem(504, AGAIN, "The stream stood still for too long", "Send again when the network is better.");
    case ERR_SECURITY_REFUSED:
        return problem(409, FINAL, "The recipient refused for security reasons", "Ask the recipient's administrator.");
    case ERR_REMOTE_SERVER_UNREACHABLE:
        return problem(502, AGAIN, "The recipient's server cannot be reached",
                       "Check the domain of the address; else try again later.");
    case ERR_REMOTE_SERVER_TIMEOUT:
        return problem(504, AGAIN, "The recipient's server did not answer", "Try again later.");
    case ERR_PEER_RATE_LIMITED:
        return problem(503, AGAIN, "The server limits how often we may ask", "Try again later.");
    case ERR_XMPP_DISCONNECTED:
        return problem(503, AGAIN, "The gateway has no XMPP session",
                       "GET /v1/xmpp says why; accepted transfers go on once it is back.");
    case ERR_XMPP_AUTH_FAILED:
        return problem(503, FINAL, "The XMPP server does not accept the gateway's login",
                       "Correct [xmpp] jid and password, then restart the gateway.");
    case ERR_TTL_EXPIRED:
        return problem(410, FINAL, "Time was up before the file could be delivered",
                       "Send again, with a longer ?ttl= if the recipient is seldom online.");
    case ERR_CANCELLED:
        return problem(409, FINAL, "The transfer was cancelled", "Send again if that was a mistake.");
    case ERR_NONE:
    case ERR_INTERNAL:
    case ERR_CONFIG:
    case ERR_SYSTEM:
    case ERROR_CODE_COUNT:
        break;
    }
    return problem(500, AGAIN, "The gateway failed", "Look into its log for the request id.");
}

static bool add(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

json_t *problem_json(const struct error *err, enum stage stage, const char *request_id, const struct record *transfer)
{
    struct problem p = problem_of(err->code);
    json_t *out = json_object();
    char type[80], instance[80];
    bool ok;

    snprintf(type, sizeof type, "/problems/%s", error_name(err->code));
    ok = out && add(out, "type", json_string(type)) && add(out, "title", json_string(p.title)) &&
         add(out, "status", json_integer(p.status)) && add(out, "code", json_string(error_name(err->code))) &&
         add(out, "detail", json_of_text(err->text)) && add(out, "stage", json_string(stage_name(stage))) &&
         add(out, "retryable", json_boolean(p.retryable)) && add(out, "hint", json_string(p.hint)) &&
         add(out, "request_id", json_string(request_id));
    if (ok && transfer) {
        snprintf(instance, sizeof instance, "/v1/transfers/%s", transfer->id);
        ok = add(out, "instance", json_string(instance)) && add(out, "transfer", json_of_transfer(transfer));
    }
    if (!ok) {
        json_decref(out);
        return NULL;
    }
    return out;
}
