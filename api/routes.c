#include "api/routes.h"

#include <stdio.h>
#include <string.h>

#include "api/handlers.h"

#define B(param) PARAM_BIT(PARAM_##param)

/* Which parameters a route knows. */
enum {
    NONE = 0,
    SEND = B(FROM) | B(RESOURCE) | B(CAPTION) | B(METHODS) | B(MODE) | B(TTL) | B(HOLD) | B(SUBSCRIBE) | B(DIGEST) |
           B(WAIT) | B(LABEL),
    SEND_NAMED = SEND | B(NAME),
    FORM = SEND_NAMED | B(TO),
    LOOK = B(RESOURCE) | B(METHODS) | B(SIZE),
    FOLLOW = B(LAST_EVENT_ID),
    FOLLOW_ALL = FOLLOW | B(TYPE) | B(TO) | B(LABEL),
    TOLD = B(STATE) | B(LIMIT) | B(CURSOR),
    RECEIVED = B(FROM) | B(TO) | B(STATE) | B(SINCE) | B(LIMIT) | B(CURSOR) | B(AFTER) | B(WAIT),
    LIST = B(TO) | B(STATE) | B(SINCE) | B(LIMIT) | B(CURSOR) | B(LABEL),
};

enum {
    PLAIN = 0,
    SLASH = ROUTE_SLASH,
    OPEN = ROUTE_OPEN,
    WORLD = ROUTE_OPEN | ROUTE_PUBLIC,
    PAGE = ROUTE_OPEN | ROUTE_PAGE | ROUTE_SLASH,
    OPS = ROUTE_OPS,
    BOTH = OPEN | OPS,
    TUS = ROUTE_TUS
};

/* What for. */
enum {
    ANY = 0,
    SENDS = SCOPE_SEND,
    PUTS = SCOPE_UPLOAD,
    READS = SCOPE_READ,
    READS_ALL = SCOPE_READ_ALL,
    DROPS = SCOPE_CANCEL,
    LOOKS = SCOPE_RECIPIENTS,
    HEARS = SCOPE_EVENTS,
    METERS = SCOPE_METRICS,
    HOOKS = SCOPE_WEBHOOKS,
    INBOX = SCOPE_INBOX
};

/* clang-format off */
static const struct route routes[] = {
    /* method  path                 flags  scope  params      begin               body             end */
    {"PUT",    "/v1/to/{}/{}",      PLAIN, SENDS, SEND,       api_upload_begin,   api_upload_body, api_upload_end},
    {"POST",   "/v1/to/{}/{}",      PLAIN, SENDS, SEND,       api_upload_begin,   api_upload_body, api_upload_end},
    {"PUT",    "/v1/to/{}",         SLASH, SENDS, SEND_NAMED, api_upload_begin,   api_upload_body, api_upload_end},
    {"POST",   "/v1/to/{}",         SLASH, SENDS, SEND_NAMED, api_upload_begin,   api_upload_body, api_upload_end},
    {"POST",   "/v1/transfers",     PLAIN, SENDS, FORM,       api_form_begin,     api_upload_body, api_upload_end},
    {"GET",    "/v1/transfers",     PLAIN, READS, LIST,       NULL,               NULL,            api_transfers_list},
    {"GET",    "/v1/transfers/{}",  PLAIN, READS, B(WAIT),    api_transfer_begin, NULL,            api_transfer_get},
    {"DELETE", "/v1/transfers/{}",  PLAIN, DROPS, NONE,       api_transfer_begin, NULL,            api_transfer_cancel},
    {"POST",   "/v1/transfers/{}/retry", PLAIN, SENDS, NONE,  api_transfer_begin, NULL,            api_transfer_retry},
    {"OPTIONS", "/v1/uploads",      TUS,   PUTS,  NONE,       NULL,               NULL,            api_tus_options},
    {"POST",   "/v1/uploads",       TUS,   PUTS,  NONE,       api_tus_create_begin, api_tus_body,  api_tus_end},
    {"HEAD",   "/v1/uploads/{}",    TUS,   PUTS,  NONE,       NULL,               NULL,            api_tus_head},
    {"PATCH",  "/v1/uploads/{}",    TUS,   PUTS,  NONE,       api_tus_patch_begin, api_tus_body,   api_tus_end},
    {"DELETE", "/v1/uploads/{}",    TUS,   PUTS,  NONE,       NULL,               NULL,            api_tus_delete},
    {"GET",    "/v1/batches/{}",    PLAIN, READS, B(WAIT),    api_batch_begin,    NULL,            api_batch_get},
    {"GET",    "/v1/transfers/{}/events", PLAIN, HEARS, FOLLOW, api_transfer_events_begin, NULL, api_transfer_events_get},
    {"GET",    "/v1/events",        PLAIN, HEARS, FOLLOW_ALL, api_events_begin,   NULL,            api_events_get},
    {"GET",    "/v1/webhooks",      PLAIN, HOOKS, NONE,       NULL,               NULL,            api_webhooks_list},
    {"POST",   "/v1/webhooks/{}/test", PLAIN, HOOKS, NONE,    NULL,               NULL,            api_webhook_test},
    {"GET",    "/v1/webhooks/{}/deliveries", PLAIN, HOOKS, TOLD, NULL,            NULL,            api_deliveries_list},
    {"POST",   "/v1/webhooks/{}/deliveries/{}/redeliver", PLAIN, HOOKS, NONE, api_redeliver_begin, NULL, api_redeliver},
    {"GET",    "/v1/inbox",         PLAIN, INBOX, RECEIVED,   api_inbox_list_begin, NULL,          api_inbox_list},
    {"GET",    "/v1/inbox/{}",      PLAIN, INBOX, NONE,       api_inbox_begin,    NULL,            api_inbox_get},
    {"DELETE", "/v1/inbox/{}",      PLAIN, INBOX, NONE,       api_inbox_begin,    NULL,            api_inbox_delete},
    {"GET",    "/v1/inbox/{}/content", PLAIN, INBOX, NONE,    api_inbox_begin,    NULL,            api_inbox_content},
    {"GET",    "/v1/recipients/{}", PLAIN, LOOKS, LOOK,       api_recipient_look, NULL,            api_recipient_get},
    {"GET",    "/v1/xmpp",          PLAIN, ANY,   NONE,       NULL,               NULL,            api_network_get},
    {"GET",    "/v1/proxy/sessions", PLAIN, READS_ALL, NONE,  NULL,               NULL,            api_proxy_sessions},
    {"GET",    "/v1",               SLASH, ANY,   NONE,       NULL,               NULL,            api_root_get},
    {"GET",    "/v1/openapi.yaml",  OPEN,  ANY,   NONE,       NULL,               NULL,            api_description_get},
    {"GET",    "/docs",             PAGE,  ANY,   NONE,       NULL,               NULL,            api_docs_get},
    {"GET",    "/docs/{}",          OPEN,  ANY,   NONE,       NULL,               NULL,            api_docs_get},
    {"GET",    "/problems",         PAGE,  ANY,   NONE,       NULL,               NULL,            api_problems_get},
    {"GET",    "/problems/{}",      PAGE,  ANY,   NONE,       NULL,               NULL,            api_problem_get},
    {"GET",    "/d/{}/{}",          WORLD, ANY,   NONE,       NULL,               NULL,            api_download_get},
    {"GET",    "/",                 PAGE,  ANY,   NONE,       NULL,               NULL,            api_page_get},
    {"GET",    "/page/{}",          OPEN,  ANY,   NONE,       NULL,               NULL,            api_page_get},
    {"GET",    "/metrics",          OPS,   METERS, NONE,      NULL,               NULL,            api_metrics_get},
    {"GET",    "/livez",            BOTH,  ANY,   NONE,       NULL,               NULL,            api_live_get},
    {"GET",    "/readyz",           BOTH,  ANY,   B(VERBOSE), NULL,               NULL,            api_ready_get},
};
/* clang-format on */

void routes_name(void (*each)(const char *path))
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        each(routes[i].path);
}

static bool path_fits(const char *path, const struct target *t)
{
    size_t i = 0;

    if (!path[1])
        return t->segments == 0;
    while (*path == '/') {
        size_t len = strcspn(++path, "/");
        const char *segment = i < t->segments && i < TARGET_SEGMENTS ? t->segment[i] : NULL;

        i++;
        if (!segment)
            return false;
        if (strncmp(path, "{}", len) == 0 && len == 2) {
            if (!*segment)
                return false;
        } else if (strlen(segment) != len || memcmp(path, segment, len) != 0) {
            return false;
        }
        path += len;
    }
    return i == t->segments;
}

bool route_has(const struct target *t, unsigned flag)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (routes[i].flags & flag && path_fits(routes[i].path, t))
            return true;
    return false;
}

static void allow_method(char allow[static ROUTE_ALLOW], const char *method)
{
    size_t len = strlen(allow);

    snprintf(allow + len, ROUTE_ALLOW - len, "%s%s%s", len ? ", " : "", method,
             strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

const struct route *route_find(const struct target *t, const char *method, char allow[static ROUTE_ALLOW])
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;

    allow[0] = '\0';
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        const struct route *r = &routes[i];

        if (!path_fits(r->path, t) || (t->slash && !(r->flags & ROUTE_SLASH)))
            continue;
        if (strcmp(r->method, wanted) == 0 || strcmp(r->method, method) == 0)
            return r;
        allow_method(allow, r->method);
    }
    if (*allow && !strstr(allow, "OPTIONS"))
        snprintf(allow + strlen(allow), ROUTE_ALLOW - strlen(allow), ", OPTIONS");
    return NULL;
}
