#include "xmpp/session.h"

#include <assert.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "xmpp/dns.h"
#include "xmpp/reserve.h"
#include "xmpp/stanza_limit.h"
#include "xmpp/tcp_written.h"

enum {
    TICK_MS = 250,        /* libstrophe's own timers fire inside its turn: those of logging in and of hanging up */
    CALM_TICK_MS = 1000,  /* between the two it has none */
    LOGIN_MS = 30 * 1000, /* TCP to bound; the library bounds some steps of it, not all */
    STOP_MS = 2 * 1000,
    STEADY_MS = 60 * 1000,       /* a session that lasted this long starts the pauses anew */
    USER_TIMEOUT_MS = 20 * 1000, /* bytes unacknowledged for this long: the connection is dead (RFC 5482) */
    TURNS = 64,                  /* of libstrophe in one of ours: each reads 4 KiB at most */
    PUMP_MS = 20,                /* and for so long, since everything else on the loop waits meanwhile */
    TLS_TURNS = 4,               /* a TLS record of 16 KiB is four reads */
    SEND_STANZAS = 2000,
    SEND_BYTES = 8 << 20
};

enum phase {
    PHASE_WAITING, /* for the next try, or for nothing when stopped */
    PHASE_RESOLVING,
    PHASE_CONNECTING, /* TCP, TLS, login, bind */
    PHASE_ONLINE,
    PHASE_DOWN, /* the library said so from inside its turn; ours goes on from the loop */
    PHASE_CLOSED
};

/* Why a connection did not come about, where the library says it: most important last. */
enum failure {
    FAILURE_NONE,
    FAILURE_CONFLICT,
    FAILURE_NO_TLS,
    FAILURE_CERTIFICATE,
    FAILURE_HOST, /* the server knows no component of that name */
    FAILURE_LOGIN
};

struct session {
    const struct xmpp_settings *settings;
    struct session_events events;
    struct jid jid;
    xmpp_log_t log;
    xmpp_ctx_t *ctx;
    xmpp_conn_t *conn;

    uv_loop_t *loop;
    uv_prepare_t prepare; /* a turn of the library before every wait, so that nothing sent is forgotten */
    uv_idle_t more;       /* runs while the library is not done: the loop does not wait then */
    uv_poll_t wake;       /* over the inner epoll set, which alone knows the socket */
    uv_timer_t tick;
    uv_timer_t again;
    unsigned open_handles;

    enum phase phase;
    int inner;            /* epoll: the socket edge-triggered, so a reconnect touches no handle of uv */
    int fd;               /* the library's socket, -1: none */
    _Atomic int shake_fd; /* a second descriptor of it while connecting; whoever takes it out closes it */
    struct stanza_limit limit;
    uint64_t written;
    size_t unsent; /* bytes given to the library since its queue was last seen empty */

    struct dns_lookup *lookup;
    struct dns_answer addresses;
    size_t next_address;
    int64_t attempt_started;
    enum failure failure;
    bool was_online;
    char lost[160]; /* why the connection went, in words */

    enum network_state state;
    int64_t since, online_since, next_connect;
    char advice[256];
    uint64_t reconnects;
    unsigned tries; /* without lasting success */

    void (*stopped)(void *user);
    void *stopped_user;
    bool stopping;
    int64_t stop_by;
    LIST_ENTRY(session) next;
};

/* The library's socket callback comes without a user pointer, but with its connection; that for certificates without
 * either (0.12 leaves the connection of a certificate empty), but from inside a turn. */
static struct session *at_work;
static LIST_HEAD(, session) sessions = LIST_HEAD_INITIALIZER(sessions);

static struct session *session_of(const xmpp_conn_t *conn)
{
    struct session *s = LIST_FIRST(&sessions);

    while (s->conn != conn)
        s = LIST_NEXT(s, next);
    return s;
}

static void set_state(struct session *s, enum network_state state)
{
    s->state = state;
    s->since = clock_wall_ms();
    s->events.changed(s->events.user);
}

static void on_tick(uv_timer_t *timer)
{
    struct session *s = timer->data;

    if (s->phase == PHASE_CONNECTING && clock_ms() - s->attempt_started > LOGIN_MS)
        session_cut(s, "the server did not complete the login in time");
}

static void tick_every(struct session *s, unsigned ms)
{
    uv_timer_start(&s->tick, on_tick, ms, ms);
}

/* ---- what the library tells us */

/* Its debug texts are the only place where it says why a login failed. Nothing of them is kept or shown: they hold
 * stanzas and passwords. */
static void on_log(void *user, xmpp_log_level_t level, const char *area, const char *text)
{
    static const struct {
        const char *starts, *ends;
        enum failure means;
    } texts[] = {
        {"SASL ", "auth failed", FAILURE_LOGIN},
        {"Cannot authenticate", "", FAILURE_LOGIN},
        {"TLS is not supported, but set as mandatory", "", FAILURE_NO_TLS},
    };
    struct session *s = user;

    (void)level;
    (void)area;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        size_t len = strnlen(text, 200), ends = strlen(texts[i].ends);

        if (strncmp(text, texts[i].starts, strlen(texts[i].starts)) == 0 && len >= ends &&
            strncmp(text + len - ends, texts[i].ends, ends) == 0 && s->failure < texts[i].means)
            s->failure = texts[i].means;
    }
}

static int on_bad_certificate(const xmpp_tlscert_t *certificate, const char *text)
{
    struct session *s = at_work;

    (void)certificate;
    s->failure = FAILURE_CERTIFICATE;
    text_clean(text, s->lost, sizeof(s->lost));
    return 0; /* refused; [xmpp] ca is how one is trusted */
}

/* A new socket, not yet connecting. */
static int on_socket(xmpp_conn_t *conn, void *socket)
{
    struct session *s = session_of(conn);
    int *fd = socket;
    struct epoll_event wanted = {.events = EPOLLIN | EPOLLOUT | EPOLLET};

    if (!fd_move_low(fd)) {
        snprintf(s->lost, sizeof(s->lost), "no descriptor below 1024 is left for the XMPP connection");
        return -1;
    }
    setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    setsockopt(*fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &(int){USER_TIMEOUT_MS}, sizeof(int));
    if (epoll_ctl(s->inner, EPOLL_CTL_ADD, *fd, &wanted) != 0)
        return -1;
    s->fd = *fd;
    s->written = 0;
    atomic_store(&s->shake_fd, fcntl(*fd, F_DUPFD_CLOEXEC, 0));
    return 0;
}

static void end_handshake(struct session *s)
{
    int fd = atomic_exchange(&s->shake_fd, -1);

    fd_close(&fd);
}

bool session_handshaking(struct session *s)
{
    return atomic_load(&s->shake_fd) >= 0;
}

/* On a descriptor of our own, so that it cannot hit a stranger's socket that has got the library's number by now. */
void session_shake(struct session *s)
{
    int fd = atomic_exchange(&s->shake_fd, -1);

    if (fd >= 0)
        shutdown(fd, SHUT_RDWR);
    fd_close(&fd);
}

static int on_stanza(xmpp_conn_t *conn, xmpp_stanza_t *stanza, void *user)
{
    struct session *s = user;

    (void)conn;
    metric_add(METRIC_XMPP_STANZAS, 1, "in", xmpp_stanza_get_name(stanza));
    if (s->phase == PHASE_ONLINE && !stanza_limit_cut())
        s->events.stanza(s->events.user, stanza);
    return 1;
}

/* The library keys its handlers by function and user pointer: another name needs another function. */
static int on_presence(xmpp_conn_t *conn, xmpp_stanza_t *stanza, void *user)
{
    return on_stanza(conn, stanza, user);
}

static int on_message(xmpp_conn_t *conn, xmpp_stanza_t *stanza, void *user)
{
    return on_stanza(conn, stanza, user);
}

static void went_online(struct session *s)
{
    const char *text = xmpp_conn_get_bound_jid(s->conn);
    struct jid bound;

    end_handshake(s);
    if (s->settings->secret)
        text = s->jid.text; /* a component binds nothing */
    if (!text || !jid_parse(&bound, text, strlen(text), NULL)) {
        session_cut(s, "the server bound no usable address");
        return;
    }
    stanza_limit_own(&bound);
    s->phase = PHASE_ONLINE;
    tick_every(s, CALM_TICK_MS);
    s->failure = FAILURE_NONE; /* of a mechanism that a later one made good for */
    s->was_online = true;
    s->unsent = 0;
    s->online_since = clock_ms();
    s->advice[0] = s->lost[0] = '\0';
    log_info("xmpp.online", log_str("jid", bound.text), log_int("tls", xmpp_conn_is_secured(s->conn)));
    s->events.online(s->events.user, &bound);
    set_state(s, NETWORK_ONLINE);
}

static void note_stream_error(struct session *s, const xmpp_stream_error_t *error)
{
    if (error->type == XMPP_SE_NOT_AUTHORIZED)
        s->failure = FAILURE_LOGIN;
    if (error->type == XMPP_SE_HOST_UNKNOWN && s->settings->secret)
        s->failure = FAILURE_HOST;
    if (error->type == XMPP_SE_CONFLICT)
        s->failure = FAILURE_CONFLICT;
    if (error->text)
        text_clean(error->text, s->lost, sizeof(s->lost));
    else if (!s->lost[0])
        snprintf(s->lost, sizeof(s->lost), "stream error %d", (int)error->type);
}

static void went_down(struct session *s, int error, const xmpp_stream_error_t *stream_error)
{
    end_handshake(s);
    s->fd = -1;
    fd_refill_low(); /* the library has closed the low descriptor */
    if (stream_error)
        note_stream_error(s, stream_error);
    else if (error != 0 && s->failure == FAILURE_NONE && !s->lost[0])
        snprintf(s->lost, sizeof(s->lost), "connection error %d", error);
    s->phase = PHASE_DOWN;
    if (s->was_online)
        s->events.offline(s->events.user);
}

static void on_connection(xmpp_conn_t *conn, xmpp_conn_event_t event, int error, xmpp_stream_error_t *stream_error,
                          void *user)
{
    (void)conn;
    if (event == XMPP_CONN_CONNECT)
        went_online(user);
    else if (event == XMPP_CONN_DISCONNECT || event == XMPP_CONN_FAIL)
        went_down(user, error, stream_error);
}

/* ---- connecting */

static const char *name_domain(const struct session *s, char out[static DNS_HOST])
{
    size_t len;
    const char *domain = jid_domain(&s->jid, &len);

    snprintf(out, DNS_HOST, "%.*s", (int)len, domain);
    return out;
}

static void add_handlers(struct session *s)
{
    xmpp_handler_add(s->conn, on_stanza, NULL, "iq", NULL, s);
    xmpp_handler_add(s->conn, on_presence, NULL, "presence", NULL, s);
    xmpp_handler_add(s->conn, on_message, NULL, "message", NULL, s);
}

static void on_primed(xmpp_conn_t *conn, xmpp_conn_event_t event, int error, xmpp_stream_error_t *stream_error,
                      void *user)
{
    (void)conn, (void)event, (void)error, (void)stream_error, (void)user;
}

static int no_socket(xmpp_conn_t *conn, void *socket)
{
    (void)conn;
    (void)socket;
    return -1;
}

/* libstrophe 0.12 makes the state of stream management, which every stanza and every end of a connection looks into,
 * only when a client connects. So one does, which is refused its socket before anything leaves. */
static bool make_component(struct session *s)
{
    char domain[DNS_HOST];

    xmpp_conn_set_jid(s->conn, name_domain(s, domain));
    xmpp_conn_set_pass(s->conn, s->settings->secret);
    xmpp_conn_set_sockopt_callback(s->conn, no_socket);
    (void)xmpp_connect_client(s->conn, "127.0.0.1", 1, on_primed, s);
    xmpp_conn_set_sockopt_callback(s->conn, on_socket);
    add_handlers(s);
    return xmpp_conn_set_flags(s->conn, XMPP_CONN_FLAG_DISABLE_SM) == XMPP_EOK;
}

static int connect_to(struct session *s, const struct dns_address *to)
{
    return s->settings->secret ? xmpp_connect_component(s->conn, to->host, to->port, on_connection, s)
                               : xmpp_connect_client(s->conn, to->host, to->port, on_connection, s);
}

/* A new one for each try: libstrophe 0.12.2 carries the length of a text that the last stream left unfinished into the
 * next stream, where it spoils the first name of a login mechanism. */
static bool make_connection(struct session *s)
{
    static const unsigned long flags[] = {
        [XMPP_TLS_REQUIRED] = XMPP_CONN_FLAG_MANDATORY_TLS,
        [XMPP_TLS_DIRECT] = XMPP_CONN_FLAG_MANDATORY_TLS | XMPP_CONN_FLAG_LEGACY_SSL,
        [XMPP_TLS_OFF] = XMPP_CONN_FLAG_DISABLE_TLS,
    };

    if (s->conn)
        xmpp_conn_release(s->conn);
    s->conn = xmpp_conn_new(s->ctx);
    if (!s->conn)
        return false;
    if (s->settings->secret)
        return make_component(s);
    xmpp_conn_set_jid(s->conn, s->jid.text);
    xmpp_conn_set_pass(s->conn, s->settings->password);
    if (s->settings->ca)
        xmpp_conn_set_cafile(s->conn, s->settings->ca);
    xmpp_conn_set_certfail_handler(s->conn, on_bad_certificate);
    xmpp_conn_set_sockopt_callback(s->conn, on_socket);
    add_handlers(s);
    return xmpp_conn_set_flags(s->conn, (long)(flags[s->settings->tls] | XMPP_CONN_FLAG_DISABLE_SM)) == XMPP_EOK;
}

static void connect_next(struct session *s);
static void resolved(void *user, const struct dns_answer *answer);
static void on_again(uv_timer_t *timer);

static void try_again_after(struct session *s, int64_t pause)
{
    s->phase = PHASE_WAITING;
    s->next_connect = clock_wall_ms() + pause;
    uv_timer_start(&s->again, on_again, (uint64_t)pause, 0);
    log_warn("xmpp.offline", log_str("why", s->advice), log_int("retry_ms", pause));
    set_state(s, NETWORK_OFFLINE);
}

/* Half of the pause is certain and half is chance, so that a restarted server is not met by everybody at once. */
static int64_t backoff(struct session *s)
{
    unsigned doublings = s->tries < 20 ? s->tries : 20;
    int64_t pause = s->settings->reconnect_min_ms << doublings;
    uint64_t r = 0;

    s->tries++;
    if (pause > s->settings->reconnect_max_ms)
        pause = s->settings->reconnect_max_ms;
    if (getrandom(&r, sizeof(r), 0) != (ssize_t)sizeof(r))
        r = 0;
    return pause / 2 + (int64_t)(r % (uint64_t)(pause / 2 + 1));
}

static void stop_for_good(struct session *s)
{
    snprintf(s->advice, sizeof(s->advice),
             "another client logged in as %.120s and took our place: stop it, or give [xmpp] jid another resource, "
             "and restart",
             s->jid.text);
    s->phase = PHASE_WAITING;
    s->next_connect = 0;
    log_error("xmpp.stopped", log_str("why", s->advice));
    set_state(s, NETWORK_STOPPED);
}

/* The sentence a person needs, and how long to wait: what only a person can mend is tried seldom. */
static int64_t judge(struct session *s)
{
    const struct dns_address *at = &s->addresses.addresses[s->next_address > 0 ? s->next_address - 1 : 0];
    char domain[DNS_HOST];

    switch (s->failure) {
    case FAILURE_LOGIN:
        snprintf(s->advice, sizeof(s->advice), "the server refused the login: check [xmpp] jid and %s",
                 s->settings->secret ? "component_secret, which the server's configuration has as well" : "password");
        return s->settings->reconnect_max_ms;
    case FAILURE_NO_TLS:
        snprintf(s->advice, sizeof(s->advice),
                 "the server offers no TLS on this port: set [xmpp] tls = direct and its port, or mend the server");
        return s->settings->reconnect_max_ms;
    case FAILURE_CERTIFICATE:
        snprintf(s->advice, sizeof(s->advice),
                 "the server's certificate is not trusted (%.100s): mend it, or set [xmpp] ca to the file of its CA",
                 s->lost);
        return s->settings->reconnect_max_ms;
    case FAILURE_HOST:
        snprintf(s->advice, sizeof(s->advice),
                 "the server knows no component %.120s: add it to the server's configuration, or correct [xmpp] jid",
                 name_domain(s, domain));
        return s->settings->reconnect_max_ms;
    case FAILURE_CONFLICT: /* of a component; an account's: stop_for_good() */
        snprintf(s->advice, sizeof(s->advice),
                 "another connection is the component %.120s already: stop that one, or give [xmpp] jid another domain",
                 name_domain(s, domain));
        return s->settings->reconnect_max_ms;
    case FAILURE_NONE:
        break;
    }
    if (s->was_online)
        snprintf(s->advice, sizeof(s->advice), "the connection to the XMPP server ended%s%s", s->lost[0] ? ": " : "",
                 s->lost);
    else
        snprintf(s->advice, sizeof(s->advice),
                 "no XMPP session with %s port %u%s%.80s: is the server running, and are [xmpp] server and port right?",
                 at->host, at->port, s->lost[0] ? ": " : "", s->lost);
    return backoff(s);
}

/* Goes on after a connection that failed or ended. From the loop, never from inside the library's turn. */
static void after_down(struct session *s)
{
    bool steady = s->was_online && clock_ms() - s->online_since >= STEADY_MS;
    int64_t pause;

    /* A component's rival may be our own connection from before the network was cut, which the server keeps for a
     * while. */
    if (s->failure == FAILURE_CONFLICT && !s->settings->secret) {
        stop_for_good(s);
        return;
    }
    if (!s->was_online && s->failure == FAILURE_NONE && s->next_address < s->addresses.count) {
        connect_next(s);
        return;
    }
    if (steady)
        s->tries = 0;
    s->reconnects += s->was_online;
    pause = judge(s);
    s->was_online = false;
    try_again_after(s, pause);
}

static void connect_next(struct session *s)
{
    tick_every(s, TICK_MS);
    stanza_limit_use(&s->limit);
    while (s->next_address < s->addresses.count) {
        const struct dns_address *to = &s->addresses.addresses[s->next_address++];

        s->phase = PHASE_CONNECTING;
        s->attempt_started = clock_ms();
        s->failure = FAILURE_NONE;
        s->lost[0] = '\0';
        log_info("xmpp.connecting", log_str("host", to->host), log_int("port", to->port));
        if (make_connection(s) && connect_to(s, to) == XMPP_EOK)
            return;
        end_handshake(s);
        s->fd = -1;
        fd_refill_low();
    }
    after_down(s);
}

/* Without TLS the password would travel in clear, so that only this machine's own server will do. */
static void keep_loopback(struct dns_answer *a)
{
    size_t kept = 0;

    for (size_t i = 0; i < a->count; i++)
        if (a->addresses[i].loopback)
            a->addresses[kept++] = a->addresses[i];
    if (a->count > 0 && kept == 0)
        error_set(&a->error, ERR_CONFIG,
                  "[xmpp] tls = off is only for a server on this machine, and %s is not: set tls = required",
                  a->addresses[0].host);
    a->count = kept;
}

static void ask_dns(struct session *s)
{
    const struct xmpp_settings *set = s->settings;
    bool direct = set->tls == XMPP_TLS_DIRECT;
    char domain[DNS_HOST];
    struct dns_question question = {.host = set->server   ? set->server
                                            : set->secret ? "127.0.0.1"
                                                          : name_domain(s, domain),
                                    .port = set->port     ? set->port
                                            : set->secret ? 5347
                                            : direct      ? 5223
                                                          : 5222};

    if (!set->server && !set->port && !set->secret)
        question.service = direct ? "_xmpps-client._tcp" : "_xmpp-client._tcp";
    s->phase = PHASE_RESOLVING;
    s->next_connect = 0;
    set_state(s, NETWORK_CONNECTING);
    s->lookup = dns_ask(s->loop, &question, resolved, s);
    if (!s->lookup) {
        snprintf(s->advice, sizeof(s->advice), "out of memory");
        try_again_after(s, backoff(s));
    }
}

static void on_again(uv_timer_t *timer)
{
    ask_dns(timer->data);
}

static void resolved(void *user, const struct dns_answer *answer)
{
    struct session *s = user;

    s->lookup = NULL;
    if (s->stopping)
        return; /* the turn sees that nothing is under way any more */
    s->addresses = *answer;
    s->next_address = 0;
    if (s->settings->tls == XMPP_TLS_OFF && !s->settings->secret)
        keep_loopback(&s->addresses);
    if (s->addresses.count == 0) {
        snprintf(s->advice, sizeof(s->advice), "%s", s->addresses.error.text);
        try_again_after(s, s->addresses.error.code == ERR_CONFIG ? s->settings->reconnect_max_ms : backoff(s));
        return;
    }
    connect_next(s);
}

/* ---- the turn */

static bool bytes_to_read(int fd)
{
    int waiting = 0;

    return fd >= 0 && ioctl(fd, FIONREAD, &waiting) == 0 && waiting > 0;
}

static bool writable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    return fd >= 0 && poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
}

/* Whether bytes left since last time and the socket takes more. One turn of the library sends one TLS record and then
 * returns without EAGAIN, so that no edge would ever follow; a poll() that says no arms the edge. */
static bool still_sending(struct session *s)
{
    uint64_t written = s->fd >= 0 ? tcp_written(s->fd) : s->written;

    if (written == s->written)
        return false;
    s->written = written;
    return writable(s->fd);
}

/* One turn of the library; true: the next has something to do. What handlers of this one queued counts: it is the
 * head of a turn that sends. */
static bool turn(struct session *s)
{
    bool input = bytes_to_read(s->fd);
    bool sending;

    xmpp_run_once(s->ctx, 0);
    sending = still_sending(s);
    return input || sending || bytes_to_read(s->fd);
}

/* Lets the library work; true: it has more to do, and nothing would wake us for it. */
static bool pump(struct session *s)
{
    int64_t until = clock_ms() + PUMP_MS;
    int turns = TURNS;
    bool more;

    stanza_limit_use(&s->limit);
    at_work = s;
    do
        more = turn(s);
    while (more && --turns > 0 && clock_ms() < until);
    if (s->fd >= 0 && xmpp_conn_is_secured(s->conn))
        for (int i = 0; i < TLS_TURNS; i++)
            xmpp_run_once(s->ctx, 0); /* decrypted bytes it holds are known to nobody else */
    xmpp_run_once(s->ctx, 0);         /* sends what came of the last one */
    if (s->fd < 0)
        return false;
    if (xmpp_conn_send_queue_len(s->conn) == 0)
        s->unsent = 0;
    else if (writable(s->fd))
        return true;
    return more || bytes_to_read(s->fd) || tcp_written(s->fd) != s->written;
}

static void nothing(uv_idle_t *idle)
{
    (void)idle;
}

static void proceed_to_stop(struct session *s);

static void on_prepare(uv_prepare_t *prepare)
{
    struct session *s = prepare->data;
    bool live = s->phase == PHASE_CONNECTING || s->phase == PHASE_ONLINE;
    bool more = live && pump(s);

    if (s->phase == PHASE_DOWN && !s->stopping)
        after_down(s);
    if (s->stopping)
        proceed_to_stop(s);
    if (s->phase == PHASE_CLOSED)
        return;
    if (more || (s->phase == PHASE_CONNECTING && !live))
        uv_idle_start(&s->more, nothing);
    else
        uv_idle_stop(&s->more);
}

static void on_wake(uv_poll_t *poll_handle, int status, int events)
{
    struct session *s = poll_handle->data;
    struct epoll_event taken[4];

    (void)status;
    (void)events;
    while (epoll_wait(s->inner, taken, 4, 0) == 4) {
    }
}

/* ---- for the others */

bool session_send(void *session, xmpp_stanza_t *stanza)
{
    struct session *s = session;
    char *text = NULL;
    size_t len;
    bool ok;

    if (s->settings->secret && !xmpp_stanza_get_from(stanza))
        xmpp_stanza_set_from(stanza, s->jid.text);
    if (s->phase != PHASE_ONLINE || s->stopping || xmpp_conn_send_queue_len(s->conn) >= SEND_STANZAS)
        return false;
    if (xmpp_stanza_to_text(stanza, &text, &len) != XMPP_EOK)
        return false;
    ok = s->unsent + len <= SEND_BYTES || s->unsent == 0;
    if (ok) {
        xmpp_send_raw(s->conn, text, len);
        s->unsent += len;
        metric_add(METRIC_XMPP_STANZAS, 1, "out", xmpp_stanza_get_name(stanza));
    }
    xmpp_free(s->ctx, text);
    return ok;
}

void session_cut(struct session *s, const char *why)
{
    if (s->fd < 0)
        return;
    snprintf(s->lost, sizeof(s->lost), "%s", why);
    shutdown(s->fd, SHUT_RDWR);
}

void session_view(const struct session *s, struct network_view *out)
{
    out->state = s->state;
    out->since = s->since;
    snprintf(out->advice, sizeof(out->advice), "%s", s->advice);
    out->next_connect = s->next_connect;
    out->reconnects = s->reconnects;
}

xmpp_ctx_t *session_ctx(struct session *s)
{
    return s->ctx;
}

/* ---- start and end */

/* libstrophe 0.12 gives every XML parser the memory of the context that made the first one: whose that is shall not be
 * left to who connects first. */
static bool make_first_parser(struct session *s)
{
    xmpp_conn_t *conn;

    stanza_limit_use(&s->limit);
    conn = xmpp_conn_new(s->ctx);
    return conn && xmpp_conn_release(conn);
}

struct session *session_create(const struct xmpp_settings *settings, const struct jid *jid,
                               const struct session_events *events, struct error *err)
{
    struct session *s = calloc(1, sizeof(*s));

    if (!s)
        goto out;
    LIST_INSERT_HEAD(&sessions, s, next);
    s->settings = settings;
    jid_copy(&s->jid, jid);
    s->events = *events;
    s->fd = s->inner = -1;
    atomic_init(&s->shake_fd, -1);
    s->since = clock_wall_ms();
    s->phase = PHASE_CLOSED;
    s->log = (xmpp_log_t){on_log, s};
    s->inner = epoll_create1(EPOLL_CLOEXEC);
    s->ctx = xmpp_ctx_new(reserve_memory(), &s->log);
    if (s->inner >= 0 && s->ctx && make_first_parser(s))
        return s;
out:
    error_set(err, ERR_SYSTEM, "the XMPP session: out of memory or descriptors");
    session_destroy(&s);
    return NULL;
}

void session_destroy(struct session **session)
{
    struct session *s = *session;

    if (!s)
        return;
    assert(s->phase == PHASE_CLOSED);
    if (s->conn)
        xmpp_conn_release(s->conn);
    if (s->ctx)
        xmpp_ctx_free(s->ctx);
    fd_close(&s->inner);
    LIST_REMOVE(s, next);
    free(s);
    *session = NULL;
}

bool session_start(struct session *s, uv_loop_t *loop, struct error *err)
{
    s->loop = loop;
    if (uv_poll_init(loop, &s->wake, s->inner) != 0)
        return error_set(err, ERR_SYSTEM, "the XMPP session: the loop takes no more descriptors");
    uv_prepare_init(loop, &s->prepare);
    uv_idle_init(loop, &s->more);
    uv_timer_init(loop, &s->tick);
    uv_timer_init(loop, &s->again);
    s->wake.data = s->prepare.data = s->more.data = s->tick.data = s->again.data = s;
    s->open_handles = 5;
    uv_poll_start(&s->wake, UV_READABLE, on_wake);
    uv_prepare_start(&s->prepare, on_prepare);
    s->phase = PHASE_WAITING;
    uv_timer_start(&s->again, on_again, 0, 0);
    return true;
}

static void on_closed(uv_handle_t *handle)
{
    struct session *s = handle->data;

    if (--s->open_handles == 0)
        s->stopped(s->stopped_user);
}

static void close_handles(struct session *s)
{
    s->phase = PHASE_CLOSED;
    uv_close((uv_handle_t *)&s->wake, on_closed);
    uv_close((uv_handle_t *)&s->prepare, on_closed);
    uv_close((uv_handle_t *)&s->more, on_closed);
    uv_close((uv_handle_t *)&s->tick, on_closed);
    uv_close((uv_handle_t *)&s->again, on_closed);
}

/* One step of the end each turn: hang up once, then wait for the library, for the resolver, for nothing more. */
static void proceed_to_stop(struct session *s)
{
    bool live = s->phase == PHASE_CONNECTING || s->phase == PHASE_ONLINE;

    if (s->phase == PHASE_CLOSED)
        return;
    if (live && clock_ms() >= s->stop_by)
        session_cut(s, "stopping");
    if (!live && !s->lookup)
        close_handles(s);
}

void session_stop(struct session *s, void (*stopped)(void *user), void *user)
{
    assert(s->phase != PHASE_CLOSED && !s->stopping);
    s->stopping = true;
    s->stopped = stopped;
    s->stopped_user = user;
    s->stop_by = clock_ms() + (s->phase == PHASE_ONLINE ? STOP_MS : 0);
    uv_timer_stop(&s->again);
    tick_every(s, TICK_MS);
    if (s->lookup)
        dns_hurry(s->lookup);
    if (s->phase == PHASE_ONLINE)
        xmpp_disconnect(s->conn);
}
