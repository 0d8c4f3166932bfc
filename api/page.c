/* api/page.c - GET / and /page/{name}: the page for people. It is the same for everybody and holds no secret; what it
 * shows it asks the API for, with the token its reader has given it. */
#include "api/assets.h"
#include "api/handlers.h"

/* Nothing but its own files and the API: no script in the text, no other site, no form that leaves by itself. */
static const struct site site = {
    .folder = "page",
    .policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
              "form-action 'none'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; "
              "trusted-types 'none'",
};

enum MHD_Result api_page_get(struct request *rq)
{
    const char *name = rq->target.segments > 1 ? rq->target.segment[1] : "index.html";

    return reply_asset(rq, &site, gateway_config(rq->gw)->http.page, name);
}
