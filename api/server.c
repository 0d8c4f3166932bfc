#include "api/server.h"

#include <assert.h>
#include <fcntl.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <microhttpd.h>

#include "api/handlers.h"
#include "api/connections.h"
#include "api/drain.h"
#include "api/inbox_wait.h"
#include "api/listener.h"
#include "api/local.h"
#include "api/request.h"
#include "api/routes.h"
#include "api/streams.h"
#include "api/tls.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/metrics.h"

/* Half of it is what is read of a body at once: with 64 KiB an upload takes a quarter more processor time, and twice as
 * much is no quicker. The library sets all of it to zero after each request, so a kept connection holds as much. */
enum { CONNECTION_MEMORY = 128 * 1024 };
enum { DRAIN_MS = 5000, MOMENT_MS = 200, FORCE_MS = 1000, DRAIN_TURN_MS = 50 };

struct api {
    struct gateway *gw;
    struct gate gate;
    struct tokens *tokens;                    /* those of the gate, or on their way there; main's, changed under lock */
    struct tls *tls;                          /* of the address; NULL: plain HTTP */
    struct MHD_Daemon *daemon, *local_daemon; /* of the address and of the unix socket; NULL: not listened on */
    struct MHD_Daemon *ops_daemon;            /* likewise, of [ops] listen */
    struct drainer *drainer;
    int listener, local_listener, ops_listener;
    struct local local;
    bool beyond_loopback;
    uint16_t port, ops_port;
    pthread_mutex_t turn; /* held in every call of the library: its threads are the HTTP thread by turns */
    pthread_mutex_t lock;
    pthread_cond_t fewer;     /* a request has ended */
    struct request *requests; /* in progress; under lock */
};

/* ---- the library's calls, on the HTTP thread; with the turn but for the log */

static void __attribute__((format(printf, 2, 0))) on_log(void *user, const char *fmt, va_list args)
{
    char text[256];

    (void)user;
    vsnprintf(text, sizeof text, fmt, args);
    text[strcspn(text, "\r\n")] = '\0';
    log_debug("http.library", log_str("text", text));
}

static int socket_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    return info ? info->connect_fd : -1;
}

static enum MHD_Result on_arrival(void *user, const struct sockaddr *from, socklen_t len)
{
    struct api *api = user;
    bool welcome;

    (void)len;
    pthread_mutex_lock(&api->turn);
    welcome = connections_admit(api->gate.connections, from);
    pthread_mutex_unlock(&api->turn);
    return welcome ? MHD_YES : MHD_NO;
}

static struct connection *open_connection(struct api *api, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *from = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    bool tls = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);

    return connection_open(api->gate.connections, socket_of(connection), from ? from->client_addr : NULL, tls);
}

/* NULL: memory was short when the connection came. */
static struct connection *slot_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

/* The first that is heard of a request: its target, before the library decodes it in place. */
static void *on_target(void *user, const char *raw, struct MHD_Connection *connection)
{
    struct connection *conn = slot_of(connection);
    struct request *rq = NULL;
    struct api *api = user;

    pthread_mutex_lock(&api->turn);
    if (conn) {
        if (connection_request(conn))
            request_release(connection_request(conn));
        rq = request_create(api->gw, &api->gate, raw, connection, conn);
        connection_hold(conn, rq);
        connection_begin(conn);
    }
    pthread_mutex_unlock(&api->turn);
    return rq;
}

/* From its headers on a request is in progress, and stopping waits for it. */
static void enlist(struct api *api, struct request *rq)
{
    rq->fd = socket_of(rq->connection);
    pthread_mutex_lock(&api->lock);
    rq->next = api->requests;
    rq->link = &api->requests;
    if (rq->next)
        rq->next->link = &rq->next;
    api->requests = rq;
    pthread_mutex_unlock(&api->lock);
}

static void delist(struct api *api, struct request *rq)
{
    pthread_mutex_lock(&api->lock);
    *rq->link = rq->next;
    if (rq->next)
        rq->next->link = rq->link;
    pthread_cond_signal(&api->fewer);
    pthread_mutex_unlock(&api->lock);
}

/* A body of which nothing is left over is awaited; what was not taken waits for us. */
static enum MHD_Result handle(struct api *api, struct request *rq, const char *method, const char *version,
                              const char *data, size_t *len)
{
    enum MHD_Result result;

    if (!rq->link)
        enlist(api, rq);
    result = request_handle(rq, method, version, data, len);
    if (result == MHD_YES && rq->phase == PHASE_BODY && *len == 0 && rq->announced != 0)
        connection_await_body(rq->conn, rq->received, rq->id);
    return result;
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *len, void **state)
{
    enum MHD_Result result;
    struct api *api = user;
    struct request *rq = *state; /* NULL: memory was short when its target came */

    (void)connection;
    (void)url;
    if (!rq || !connection_take(rq->conn)) /* before the turn: waiting for that is not the caller's time */
        return MHD_NO;
    pthread_mutex_lock(&api->turn);
    result = handle(api, rq, method, version, data, len);
    pthread_mutex_unlock(&api->turn);
    return result;
}

static void log_request(const struct request *rq)
{
    const char *method = rq->route ? rq->route->method : NULL;
    bool quiet = rq->status < 400 && method && strcmp(method, "GET") == 0;
    char addr[CALLER_TEXT], trace[TRACE_ID];

    log_write(quiet ? LOG_DEBUG : LOG_INFO, "http.request",
              (const struct log_field[]){log_str("request_id", rq->id),
                                         log_str("addr", caller_text(&rq->caller, addr)),
                                         log_str("method", method),
                                         log_str("route", rq->route ? rq->route->path : NULL),
                                         log_int("status", rq->status),
                                         log_str("code", error_name(rq->error.code)),
                                         log_int("ms", clock_ms() - rq->started),
                                         log_opt("trace_id", trace_id(rq->traceparent, trace)),
                                         {0}});
}

/* Its answer is out, but more of the request is to come; see drain.h. */
static void linger_on(struct api *api, const struct request *rq)
{
    int fd = fcntl(rq->fd, F_DUPFD_CLOEXEC, 0);

    if (fd >= 0)
        drainer_take(api->drainer, fd);
}

/* rq is heard of no more. */
static void end_request(struct api *api, struct request *rq, enum MHD_RequestTerminationCode why)
{
    bool late = connection_end(rq->conn);

    connection_hold(rq->conn, NULL);
    if (rq->link) {
        if (late && rq->status == 0) {
            rq->status = 408;
            error_set(&rq->error, ERR_REQUEST_TIMEOUT, "the body came too slowly");
        }
        api_upload_drop(rq);
        api_upload_settle(rq);
        api_inbox_drop(rq);
        if (rq->sending.counts && why == MHD_REQUEST_TERMINATED_COMPLETED_OK)
            gateway_downloaded(rq->gw, rq->got.download.id, rq->sending.from, rq->sending.to);
        log_request(rq);
        metrics_of_request(rq);
        if (rq->unread)
            linger_on(api, rq);
        delist(api, rq);
    }
    request_release(rq);
}

/* Comes for nearly every request that on_request() was called for, also when its caller went away in the middle. */
static void on_completed(void *user, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode why)
{
    struct api *api = user;

    (void)connection;
    pthread_mutex_lock(&api->turn);
    if (*state)
        end_request(api, *state, why);
    *state = NULL;
    pthread_mutex_unlock(&api->turn);
}

/* Every connection has a slot for the request it is at. The library does not tell the end of each: some fail between
 * their target and on_request(), say for want of memory for their headers, and some as the epoll set does not take
 * their socket back after a wait. */
static void on_connection(void *user, struct MHD_Connection *connection, void **slot,
                          enum MHD_ConnectionNotificationCode code)
{
    struct connection *conn = *slot;
    struct api *api = user;

    pthread_mutex_lock(&api->turn);
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        if (api->tls)
            tls_attach(api->tls, connection);
        *slot = open_connection(api, connection);
    } else {
        struct request *rq = conn ? connection_request(conn) : NULL;

        if (rq) {
            request_claim(rq, true); /* nobody may wake what is gone */
            end_request(api, rq, MHD_REQUEST_TERMINATED_WITH_ERROR);
        }
        connection_close(conn);
        *slot = NULL;
    }
    pthread_mutex_unlock(&api->turn);
}

/* The ops listener's; what is asked on it is told from the rest by its connection. */
static void on_ops_connection(void *user, struct MHD_Connection *connection, void **slot,
                              enum MHD_ConnectionNotificationCode code)
{
    on_connection(user, connection, slot, code);
    if (code == MHD_CONNECTION_NOTIFY_STARTED && *slot)
        connection_for_ops(*slot);
}

/* ---- waking those who wait */

/* Without the lock: waking takes the library's. */
static void resume_all(struct request *claimed)
{
    while (claimed) {
        struct request *rq = claimed;

        claimed = rq->claimed; /* read before waking: it may be gone after */
        request_resume(rq);
    }
}

/* In a long wait, and its caller will send nothing more. One who only half-closed can still read an answer; TCP does
 * not tell the two apart. */
static bool has_hung_up(const struct request *rq)
{
    struct pollfd p = {.fd = rq->fd, .events = POLLRDHUP};

    return atomic_load(&rq->waiting) == WAIT_ANSWER && (rq->wait_ms > 0 || rq->before || stream_waits(rq)) &&
           !rq->hung_up && poll(&p, 1, 0) > 0;
}

/* The library does not look at a suspended connection, so one that is closed would keep its slot until the wait ends.
 * On the drainer's thread. While a request is in the list its socket is open: its end is told under the same lock. */
static void wake_hung_up(void *user)
{
    struct request *claimed = NULL;
    struct api *api = user;

    pthread_mutex_lock(&api->lock);
    for (struct request *rq = api->requests; rq; rq = rq->next) {
        if (!has_hung_up(rq) || !request_claim(rq, false))
            continue;
        rq->hung_up = rq->close = true;
        rq->claimed = claimed;
        claimed = rq;
    }
    pthread_mutex_unlock(&api->lock);
    resume_all(claimed);
}

/* As soon as one waits for news it is somebody's who claims it, so the rest of it is read behind `waiting`. */
static void look_after_streams(struct api *api)
{
    struct request *claimed = NULL;
    int64_t now = clock_ms();

    pthread_mutex_lock(&api->lock);
    for (struct request *rq = api->requests; rq; rq = rq->next) {
        bool good;

        if (atomic_load(&rq->waiting) != WAIT_ANSWER || !stream_waits(rq))
            continue;
        good = tokens_still_have(api->tokens, rq->token);
        if ((good && !stream_is_due(rq, now)) || !request_claim(rq, false))
            continue;
        if (good)
            stream_beat(rq);
        else
            stream_end(rq);
        rq->claimed = claimed;
        claimed = rq;
    }
    pthread_mutex_unlock(&api->lock);
    resume_all(claimed);
}

/* Likewise of those who wait for a file. */
static void end_waits(struct api *api)
{
    struct request *claimed = NULL;
    int64_t now = clock_ms();

    pthread_mutex_lock(&api->lock);
    for (struct request *rq = api->requests; rq; rq = rq->next) {
        if (atomic_load(&rq->waiting) != WAIT_ANSWER || !inbox_wait_is_over(rq, now) || !request_claim(rq, false))
            continue;
        rq->claimed = claimed;
        claimed = rq;
    }
    pthread_mutex_unlock(&api->lock);
    resume_all(claimed);
}

static void on_second(void *user)
{
    struct api *api = user;

    wake_hung_up(api);
    look_after_streams(api);
    end_waits(api);
    connections_sweep(api->gate.connections);
}

/* ---- the listening sockets */

static bool listen_at_address(struct api *api, const struct config *config, struct error *err)
{
    api->listener =
        listener_open("[http] listen", config->http.listen, !tokens_any(api->gate.tokens), &api->beyond_loopback, err);
    return api->listener >= 0;
}

static bool has_ops(const struct config *config)
{
    return config->ops.listen && strcmp(config->ops.listen, LISTEN_OFF) != 0;
}

/* Its callers show no token: who may reach it is the network's business. */
static bool listen_for_ops(struct api *api, const struct config *config, struct error *err)
{
    bool beyond;

    api->ops_listener = listener_open("[ops] listen", config->ops.listen, false, &beyond, err);
    api->gate.ops = true;
    api->gate.ops_guard = (struct guard){.hosts = config->http.hosts, .any_host = beyond};
    return api->ops_listener >= 0;
}

static bool listen_on(struct api *api, const struct config *config, struct error *err)
{
    if (strcmp(config->http.listen, LISTEN_OFF) != 0 && !listen_at_address(api, config, err))
        return false;
    if (has_ops(config) && !listen_for_ops(api, config, err))
        return false;
    if (!config->http.unix_path)
        return true;
    api->local_listener = local_listen(&api->local, config->http.unix_path, (mode_t)config->http.unix_mode, err);
    return api->local_listener >= 0;
}

static void log_listening(struct api *api)
{
    char host[NI_MAXHOST];

    if (api->listener >= 0 && listener_where(api->listener, host, &api->port))
        log_info("http.listening", log_str("addr", host), log_int("port", api->port),
                 log_str("tls", api->tls ? "yes" : "no"));
    if (api->ops_listener >= 0 && listener_where(api->ops_listener, host, &api->ops_port))
        log_info("ops.listening", log_str("addr", host), log_int("port", api->ops_port));
}

/* ---- start */

/* The types of these options are what the library reads with va_arg: a wrong width shifts all that follow. */
static struct MHD_Daemon *start_daemon(struct api *api, const struct config *config, int listener)
{
    static struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    unsigned connections = (unsigned)config->http.max_connections;
    bool secure = api->tls && listener == api->listener, ops = listener == api->ops_listener;
    unsigned loop = secure ? (unsigned)TLS_DAEMON : (unsigned)MHD_USE_EPOLL_INTERNAL_THREAD;
    unsigned flags = loop | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;

    return MHD_start_daemon(
        flags, 0, on_arrival, api, on_request, api, MHD_OPTION_EXTERNAL_LOGGER, on_log, api, /* must come first */
        MHD_OPTION_ARRAY, secure ? tls_options() : none,                                     /* */
        MHD_OPTION_LISTEN_SOCKET, listener,                                                  /* */
        MHD_OPTION_URI_LOG_CALLBACK, on_target, api,                                         /* */
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, api,                                      /* */
        MHD_OPTION_NOTIFY_CONNECTION, ops ? on_ops_connection : on_connection, api,          /* */
        MHD_OPTION_CONNECTION_LIMIT, connections,                                            /* */
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,                       /* */
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(config->http.idle_timeout / 1000),         /* of silence */
        MHD_OPTION_STRICT_FOR_CLIENT, 0, /* it says twice what it finds; head.h finds more */
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
}

static void quiesce(struct api *api)
{
    if (api->daemon)
        MHD_quiesce_daemon(api->daemon);
    if (api->local_daemon)
        MHD_quiesce_daemon(api->local_daemon);
    if (api->ops_daemon)
        MHD_quiesce_daemon(api->ops_daemon);
    local_remove(&api->local);
}

static void stop_daemons(struct api *api)
{
    if (api->daemon)
        MHD_stop_daemon(api->daemon);
    if (api->local_daemon)
        MHD_stop_daemon(api->local_daemon);
    if (api->ops_daemon)
        MHD_stop_daemon(api->ops_daemon);
    api->daemon = api->local_daemon = api->ops_daemon = NULL;
}

static bool start_daemons(struct api *api, const struct config *config, struct error *err)
{
    if (api->listener >= 0)
        api->daemon = start_daemon(api, config, api->listener);
    if (api->local_listener >= 0)
        api->local_daemon = start_daemon(api, config, api->local_listener);
    if (api->ops_listener >= 0)
        api->ops_daemon = start_daemon(api, config, api->ops_listener);
    if ((api->listener < 0 || api->daemon) && (api->local_listener < 0 || api->local_daemon) &&
        (api->ops_listener < 0 || api->ops_daemon))
        return true;
    error_set(err, ERR_SYSTEM, "the HTTP server does not start: %s", strerror(errno));
    quiesce(api);
    stop_daemons(api);
    return false;
}

static void destroy(struct api *api)
{
    struct tokens *fresh = atomic_load(&api->gate.fresh);

    drainer_stop(&api->drainer);
    connections_destroy(&api->gate.connections);
    trust_destroy(&api->gate.trust);
    tls_destroy(&api->tls);
    tokens_release(&fresh);
    tokens_release(&api->tokens);
    tokens_release(&api->gate.tokens);
    limits_destroy(&api->gate.limits);
    lockout_destroy(&api->gate.lockout);
    fd_close(&api->listener);
    fd_close(&api->local_listener);
    fd_close(&api->ops_listener);
    local_remove(&api->local);
    pthread_mutex_destroy(&api->turn);
    pthread_cond_destroy(&api->fewer);
    pthread_mutex_destroy(&api->lock);
    free(api);
}

static struct api *create(struct gateway *gw, struct error *err)
{
    struct api *api = calloc(1, sizeof *api);
    pthread_condattr_t attr;

    if (!api) {
        error_set(err, ERR_SYSTEM, "out of memory");
        return NULL;
    }
    api->gw = gw;
    api->listener = api->local_listener = api->ops_listener = -1;
    pthread_mutex_init(&api->turn, NULL);
    pthread_mutex_init(&api->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&api->fewer, &attr);
    pthread_condattr_destroy(&attr);
    return api;
}

static bool load_tls(struct api *api, const struct config *config, struct error *err)
{
    struct tls_pair *pair = tls_pair_load(config->http.tls_cert, config->http.tls_key, err);

    if (!pair)
        return false;
    api->tls = tls_create(&pair);
    return api->tls || error_set(err, ERR_SYSTEM, "out of memory");
}

static bool is_under_way(void *user, const char *id)
{
    return gateway_under_way(user, id);
}

struct api *api_start(struct gateway *gw, struct error *err)
{
    const struct config *config = gateway_config(gw);
    struct api *api = create(gw, err);

    if (!api)
        return NULL;
    api->gate.tokens = tokens_load(config, err);
    if (!api->gate.tokens)
        goto fail;
    api->tokens = tokens_hold(api->gate.tokens);
    if (config->http.tls_cert && !load_tls(api, config, err))
        goto fail;
    routes_name(metrics_route);
    api->gate.limits = limits_create(is_under_way, gw);
    api->gate.lockout = lockout_create();
    api->gate.trust = trust_create(config->http.trusted_proxies);
    api->gate.connections = api->gate.trust ? connections_create(config, api->gate.trust) : NULL;
    if (!api->gate.limits || !api->gate.lockout || !api->gate.connections) {
        error_set(err, ERR_SYSTEM, "out of memory");
        goto fail;
    }
    api->gate.guard = (struct guard){.hosts = config->http.hosts, .any_host = tokens_any(api->gate.tokens)};
    if (config->server.public_url)
        guard_public_host(&api->gate.guard, config->server.public_url);
    if (!listen_on(api, config, err))
        goto fail;
    api->drainer = drainer_start(on_second, api, err);
    if (!api->drainer)
        goto fail;
    api_tus_start(gw, api->tokens);
    if (!start_daemons(api, config, err))
        goto fail;
    log_listening(api);
    if (config->http.unix_path)
        log_info("http.listening", log_str("unix", config->http.unix_path));
    return api;
fail:
    destroy(api);
    return NULL;
}

size_t api_streams(const struct api *api)
{
    return atomic_load(&api->gate.streams);
}

uint16_t api_port(const struct api *api)
{
    return api->port;
}

uint16_t api_ops_port(const struct api *api)
{
    return api->ops_port;
}

/* ---- while it runs */

/* The pair is read last, so that all is sure when the first thing changes. */
bool api_reload(struct api *api, const struct config *config, struct error *err)
{
    struct tokens *tokens = tokens_load(config, err), *was;
    struct tls_pair *pair = NULL;
    bool ok = false;

    if (!tokens)
        return false;
    if (!tokens_any(tokens) && api->beyond_loopback) {
        error_set(err, ERR_CONFIG,
                  "no token is left, and the gateway listens beyond loopback: those it has stay good; "
                  "make another first: jidpost token create --write");
        goto out;
    }
    if (api->tls && config->http.tls_cert) {
        pair = tls_pair_load(config->http.tls_cert, config->http.tls_key, err);
        if (!pair)
            goto out;
        tls_replace(api->tls, &pair);
    }
    tokens_compare(api->tokens, tokens);
    pthread_mutex_lock(&api->lock);
    was = api->tokens;
    api->tokens = tokens_hold(tokens);
    pthread_mutex_unlock(&api->lock);
    tokens_release(&was);
    tokens = atomic_exchange(&api->gate.fresh, tokens);
    ok = true;
out:
    tokens_release(&tokens);
    return ok;
}

/* ---- stop */

/* Wakes those who wait, because the server stops. */
static void wake_waiting(struct api *api, bool force)
{
    struct request *claimed = NULL;

    pthread_mutex_lock(&api->lock);
    for (struct request *rq = api->requests; rq; rq = rq->next) {
        if (!request_claim(rq, force))
            continue;
        error_set(&rq->got.error, ERR_DRAINING, "the gateway is shutting down");
        rq->claimed = claimed;
        claimed = rq;
    }
    pthread_mutex_unlock(&api->lock);
    resume_all(claimed);
}

struct patience {
    int64_t least, most; /* deadlines */
    bool (*hurry)(void *user);
    void *user;
};

static bool runs_out(const struct patience *p)
{
    int64_t now = clock_ms();

    return now >= p->most || (now >= p->least && p->hurry && p->hurry(p->user));
}

/* Until all requests have ended or the time is up, waking again and again: one may begin to wait meanwhile. */
static void finish_requests(struct api *api, bool force, const struct patience *patience)
{
    pthread_mutex_lock(&api->lock);
    while (api->requests && !runs_out(patience)) {
        struct timespec until;

        pthread_mutex_unlock(&api->lock);
        wake_waiting(api, force);
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += DRAIN_TURN_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_mutex_lock(&api->lock);
        if (api->requests)
            pthread_cond_timedwait(&api->fewer, &api->lock, &until);
    }
    pthread_mutex_unlock(&api->lock);
}

/* A suspended connection must not be there when the library stops, so each is woken: first kindly, in the end by force,
 * once no step is running that could suspend another. */
void api_stop(struct api **api, bool (*hurry)(void *user), void *user)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    struct patience patience = {.hurry = hurry, .user = user};
    struct api *a = *api;

    *api = NULL;
    if (!a)
        return;
    atomic_store(&a->gate.closing, true);
    quiesce(a);
    patience.least = clock_ms() + MOMENT_MS;
    patience.most = clock_ms() + DRAIN_MS;
    finish_requests(a, false, &patience);
    atomic_store(&a->gate.closed, true);
    while (atomic_load(&a->gate.stepping))
        nanosleep(&moment, NULL);
    patience.least = patience.most = clock_ms() + FORCE_MS;
    finish_requests(a, true, &patience);
    stop_daemons(a);
    assert(!a->requests);
    destroy(a);
}
