/* api/metrics.c - GET /metrics: what was counted, and what is looked at when somebody asks. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "api/handlers.h"
#include "api/reply.h"
#include "api/routes.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/process.h"

#ifndef JIDPOST_REVISION
#define JIDPOST_REVISION "unknown"
#endif

/* The path is the template's, and the method the route's: nothing of what the caller wrote. */
void metrics_of_request(const struct request *rq)
{
    const char *route = rq->route ? rq->route->path : NULL;
    const char *method = rq->head ? "HEAD" : rq->route ? rq->route->method : NULL;
    char status[12];

    snprintf(status, sizeof status, "%u", rq->status ? rq->status : 499);
    metric_add(METRIC_HTTP_REQUESTS, 1, route, method, status);
    if (!rq->stream) /* which lasts as long as its reader likes */
        metric_observe(METRIC_HTTP_DURATION, clock_ms() - rq->started, route);
}

struct look {
    const struct request *rq;
    struct gateway_view view;
    struct gateway_census census;
    struct process_usage process;
};

static void tell_states(struct metrics_page *page, const struct gateway_census *census)
{
    for (enum transfer_state s = 0; s < TRANSFER_STATE_COUNT; s++)
        if (!transfer_state_final(s))
            metrics_say(page, (int64_t)census->transfers[s], transfer_state_name(s));
}

/* Those that were asked. */
static void tell_proxies(struct metrics_page *page, const struct network_view *network)
{
    for (size_t i = 0; i < network->proxy_count; i++)
        if (*network->proxies[i].result)
            metrics_say(page, strcmp(network->proxies[i].result, "ok") == 0, network->proxies[i].jid);
}

static void tell_relay(struct metrics_page *page, const struct gateway_view *view, enum metric m)
{
    if (view->relays)
        metrics_say(page, (int64_t)(m == METRIC_PROXY_STREAMS ? view->relayed.streams : view->relayed.parked));
}

static void tell_known(struct metrics_page *page, int64_t value)
{
    if (value >= 0)
        metrics_say(page, value);
}

static void look_at_process(const struct process_usage *p, struct metrics_page *page, enum metric m)
{
    if (m == METRIC_CPU)
        metrics_say(page, p->cpu_us);
    else if (m == METRIC_RESIDENT)
        tell_known(page, p->resident);
    else if (m == METRIC_VIRTUAL)
        tell_known(page, p->virtual);
    else if (m == METRIC_OPEN_FDS)
        tell_known(page, p->open_fds);
    else if (m == METRIC_MAX_FDS)
        tell_known(page, p->max_fds);
    else if (m == METRIC_START_TIME && p->started_ms > 0)
        metrics_say(page, p->started_ms);
}

static void look_at(void *user, struct metrics_page *page, enum metric m)
{
    const struct look *l = user;

    if (m == METRIC_TRANSFERS_NOW)
        tell_states(page, &l->census);
    else if (m == METRIC_QUEUE_OLDEST)
        metrics_say(page, l->census.oldest_ms);
    else if (m == METRIC_SPOOL_BYTES)
        metrics_say(page, (int64_t)l->view.spool.bytes);
    else if (m == METRIC_SPOOL_LIMIT)
        metrics_say(page, (int64_t)l->view.spool.max_bytes);
    else if (m == METRIC_XMPP_UP)
        metrics_say(page, l->view.network.state == NETWORK_ONLINE);
    else if (m == METRIC_XMPP_RECONNECTS)
        metrics_say(page, (int64_t)l->view.network.reconnects);
    else if (m == METRIC_PROXY_UP)
        tell_proxies(page, &l->view.network);
    else if (m == METRIC_STREAMS)
        metrics_say(page, (int64_t)l->view.streams);
    else if (m == METRIC_PROXY_STREAMS || m == METRIC_PROXY_PENDING)
        tell_relay(page, &l->view, m);
    else if (m == METRIC_HTTP_CONNECTIONS)
        metrics_say(page, (int64_t)connections_count(l->rq->gate->connections));
    else if (m == METRIC_SSE_CLIENTS)
        metrics_say(page, (int64_t)atomic_load(&l->rq->gate->streams));
    else if (m == METRIC_STORE_WRITABLE)
        metrics_say(page, l->view.store_writable);
    else if (m == METRIC_DRAINING)
        metrics_say(page, l->view.draining);
    else if (m == METRIC_BUILD_INFO)
        metrics_say(page, 1, JIDPOST_VERSION, JIDPOST_REVISION);
    else
        look_at_process(&l->process, page, m);
}

enum MHD_Result api_metrics_get(struct request *rq)
{
    enum metrics_format format = metrics_format_of(request_header(rq, "Accept"));
    struct look look = {.rq = rq};
    struct buf page = {0};
    char *text;

    gateway_view(rq->gw, &look.view);
    gateway_census(rq->gw, &look.census);
    process_usage(&look.process);
    metrics_render(&page, format, look_at, &look);
    text = buf_steal(&page);
    return text ? reply_text(rq, 200, metrics_content_type(format), text) : reply_no_memory(rq);
}
