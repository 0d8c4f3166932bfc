/* api/docs.c - what explains the API to people: GET /docs, the reference page made of openapi.yaml, and GET /problems,
 * a page for each error code. All of it is the same for everybody and holds no secret: no token is asked for. */
#include <string.h>

#include "api/assets.h"
#include "api/handlers.h"
#include "api/header.h"
#include "api/problem.h"
#include "api/reply.h"
#include "base/buf.h"

/* Swagger UI writes styles into its elements and draws its icons from data: addresses. */
static const struct site site = {
    .folder = "docs",
    .policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
              "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
};

enum MHD_Result api_docs_get(struct request *rq)
{
    return reply_asset(rq, &site, NULL, rq->target.segments > 1 ? rq->target.segment[1] : "index.html");
}

/* ---- problems */

static const char top[] = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
                          "<meta name=\"color-scheme\" content=\"light dark\"><link rel=\"icon\" href=\"data:,\">"
                          "<link rel=\"stylesheet\" href=\"/docs/docs.css\">\n<title>";
static const char nav[] = " - jidpost</title></head>\n<body><nav aria-label=\"Pages of this gateway\">"
                          "<a href=\"/\">Send files</a> <a href=\"/docs\">API</a> <a href=\"/problems\">Problems</a>"
                          "</nav>\n<main class=\"problem\">\n";
static const char end[] = "</main></body></html>\n";

/* Our own words, which have < and & in them all the same. */
static void add_text(struct buf *page, const char *text)
{
    for (; *text; text++)
        if (*text == '<')
            buf_puts(page, "&lt;");
        else if (*text == '&')
            buf_puts(page, "&amp;");
        else
            buf_add(page, text, 1);
}

static void add_row(struct buf *page, const char *what, const char *text)
{
    buf_printf(page, "<dt>%s</dt><dd>", what);
    add_text(page, text);
    buf_puts(page, "</dd>\n");
}

static char *problem_page(enum error_code code)
{
    struct problem p = problem_of(code);
    struct buf page = {0};

    buf_puts(&page, top);
    add_text(&page, p.title);
    buf_puts(&page, nav);
    buf_puts(&page, "<h1>");
    add_text(&page, p.title);
    buf_printf(&page, "</h1>\n<p><code>%s</code></p>\n<dl>\n", error_name(code));
    add_row(&page, "What to do", p.hint);
    add_row(&page, "Will it pass by itself?",
            p.retryable ? "It may: send the same again later, after retry_after seconds if the problem says so."
                        : "No: the same request would get the same answer.");
    buf_printf(&page, "<dt>HTTP status</dt><dd>%u</dd>\n</dl>\n", p.status);
    buf_puts(&page, "<p>The problem in the answer says more: <code>detail</code> names what it was about, "
                    "<code>stage</code> how far it had come.</p>\n");
    buf_puts(&page, end);
    return buf_steal(&page);
}

static char *problem_words(enum error_code code)
{
    struct problem p = problem_of(code);
    struct buf text = {0};

    buf_printf(&text, "%s: %s (HTTP status %u)\n\n%s\n", error_name(code), p.title, p.status, p.hint);
    return buf_steal(&text);
}

/* What a caller can meet: the others end the program at its start. */
static bool is_told(enum error_code code)
{
    return code != ERR_NONE && code != ERR_CONFIG && code != ERR_SYSTEM;
}

static char *list_page(void)
{
    struct buf page = {0};

    buf_puts(&page, top);
    buf_puts(&page, "Problems");
    buf_puts(&page, nav);
    buf_puts(&page,
             "<h1>Problems</h1>\n<p>Whatever goes wrong has one of these codes, in the answer and in the JSON of "
             "the transfer.</p>\n<table><thead><tr><th>Code</th><th>HTTP</th><th>What it says</th></tr></thead>"
             "<tbody>\n");
    for (int i = 0; i < ERROR_CODE_COUNT; i++) {
        enum error_code code = (enum error_code)i;
        struct problem p = problem_of(code);

        if (!is_told(code))
            continue;
        buf_printf(&page, "<tr><td><a href=\"/problems/%s\">%s</a></td><td>%u</td><td>", error_name(code),
                   error_name(code), p.status);
        add_text(&page, p.title);
        buf_puts(&page, "</td></tr>\n");
    }
    buf_puts(&page, "</tbody></table>\n");
    buf_puts(&page, end);
    return buf_steal(&page);
}

static char *list_words(void)
{
    struct buf text = {0};

    for (int i = 0; i < ERROR_CODE_COUNT; i++)
        if (is_told((enum error_code)i))
            buf_printf(&text, "%s: %s\n", error_name((enum error_code)i), problem_of((enum error_code)i).title);
    return buf_steal(&text);
}

static bool wants_page(struct request *rq)
{
    const char *accept = request_header(rq, "Accept");

    return accept && accept_wants_page(accept);
}

static enum MHD_Result reply_page(struct request *rq, bool html, char *text)
{
    reply_header(rq, "Vary", "Accept");
    if (!text)
        return reply_no_memory(rq);
    if (!html)
        return reply_text(rq, 200, "text/plain; charset=utf-8", text);
    reply_header(rq, "Content-Security-Policy", "%s", site.policy);
    return reply_text(rq, 200, "text/html; charset=utf-8", text);
}

enum MHD_Result api_problem_get(struct request *rq)
{
    bool html = wants_page(rq);
    enum error_code code;
    struct error err;

    if (!error_code_parse(rq->target.segment[1], &code) || !is_told(code)) {
        error_set(&err, ERR_NOT_FOUND, "there is no problem of that name; GET /problems lists them");
        return reply_problem(rq, &err, STAGE_REQUEST, NULL);
    }
    return reply_page(rq, html, html ? problem_page(code) : problem_words(code));
}

enum MHD_Result api_problems_get(struct request *rq)
{
    bool html = wants_page(rq);

    return reply_page(rq, html, html ? list_page() : list_words());
}
