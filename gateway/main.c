/* gateway/main.c - the composition root of the gateway (jidpost serve): the one file that sees every folder.
 *
 * Starts the parts in order, waits for a signal (SIGHUP: reads the configuration anew), lets what flows go on for a
 * while and stops the parts in reverse; and while it waits it is the watchdog over core's heartbeat, and speaks with
 * the service manager. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/header.h"
#include "api/server.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/process.h"
#include "cli/cli.h"
#include "cli/compose.h"
#include "cli/exit_code.h"
#include "gateway/config.h"
#include "gateway/confine.h"
#include "gateway/core.h"
#include "gateway/demo.h"
#include "gateway/lock.h"
#include "gateway/socks5_carrier.h"
#include "xmpp/xmpp.h"

enum { MAPPED_FROM = 128 * 1024 }; /* glibc's own first value */
enum { LOW_DESCRIPTORS = 16 };

/* A core that stands still is shaken first, and only then left to the service manager's watchdog. */
enum { WATCH_MS = 1000, STUCK_MS = 10 * 1000, DEAD_MS = 30 * 1000 };

/* STOP_MS: what stopping takes at most, once nothing flows any more. */
enum { DRAIN_TURN_MS = 50, STOP_MS = 20 * 1000 };

extern char **environ;

struct parts {
    const struct cli_line *line;
    struct config config;      /* as it was at the start: what all the others see */
    struct settings *settings; /* in force, of those that may change */
    int64_t drain_ms;
    struct sandbox sandbox; /* what is in force */
    struct lock *lock;
    struct spool *spool;
    struct store *store;
    struct gateway *gateway;
    struct carrier *carrier;
    struct relay *relay; /* NULL: nothing is relayed for others */
    struct network *network;
    struct network *demo; /* the second session of an account that has --demo; NULL: none */
    struct api *api;

    sigset_t signals; /* those that are waited for; blocked everywhere */
    bool hurry;       /* the time to drain is up, or somebody asked twice */
    struct notify notify;
    int64_t feed_ms; /* how often the manager's watchdog is fed; 0: there is none */
    int64_t fed_at, warned_at;
    bool refused;     /* the last reload */
    char status[128]; /* as told last */
};

static bool make_folder(const char *path, struct error *err)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return error_set(err, ERR_CONFIG, "[server] state_dir %s: %s", path, strerror(errno));
    return true;
}

static struct spool_limits limits_of(const struct config *c)
{
    return (struct spool_limits){
        .max_bytes = c->spool.max_bytes, .max_file = c->spool.max_file, .max_files = c->spool.max_files};
}

static bool start_relaying(struct parts *p, struct error *err)
{
    if (!compose_relays(&p->config))
        return true;
    p->relay = compose_relay(&p->config, p->carrier, err);
    gateway_relay_by(p->gateway, p->relay);
    return p->relay != NULL;
}

/* For who tries it at a terminal; the log has the address as well. */
static void tell_how_to_try(const struct config *c, const struct jid *to)
{
    char bare[JID_MAX + 1];

    if (!isatty(STDOUT_FILENO))
        return;
    jid_bare(to, bare);
    printf("\nA recipient to try it with, as soon as demo.ready is in the log:\n  jidpost send --wait=30s FILE %s\n",
           to->text);
    if (strcmp(c->http.listen, LISTEN_OFF) != 0)
        printf("  curl%s -T FILE '%s://%s/v1/to/%s%s%s/?wait=30'\n", c->http.token ? " -u :$TOKEN" : "",
               c->http.tls_cert ? "https" : "http", c->http.listen, bare, to->full ? "%2F" : "",
               to->full ? jid_resource(to) : "");
    puts("What it has received:\n  jidpost inbox ls\n");
    fflush(stdout);
}

static bool arrange_demo(struct parts *p, struct error *err)
{
    const struct config *c = &p->config;
    bool component = c->xmpp.component_secret != NULL;
    struct jid address;

    if (!cli_value(p->line, OPT_DEMO))
        return true;
    if (!demo_address(&c->xmpp.jid, component, &address, err))
        return false;
    if (!component && !(p->demo = compose_hidden(c, &address, err)))
        return false;
    demo_arrange(p->gateway, &address, p->demo);
    tell_how_to_try(c, &address);
    return true;
}

static bool start(struct parts *p, struct error *err)
{
    const struct config *c = &p->config;
    const struct spool_limits limits = limits_of(c);

    fd_raise_limit();
    process_open();
    if (!fd_reserve_low(LOW_DESCRIPTORS))
        return error_set(err, ERR_SYSTEM, "too many descriptors are open already");
    if (!make_folder(c->server.state_dir, err))
        return false;
    p->lock = lock_take(c->server.state_dir, err);
    if (!p->lock)
        return false;
    p->spool = spool_open(c->spool.dir, &limits, err);
    if (!p->spool)
        return false;
    /* Here every folder exists, and there is no second thread. */
    if (!confine(c, cli_value(p->line, OPT_CONFIG), environ, &p->sandbox, err))
        return false;
    p->store = store_open(c->store.url, err);
    if (!p->store)
        return false;
    p->gateway = gateway_create(c, p->store, p->spool, err);
    if (!p->gateway)
        return false;
    gateway_render_events(p->gateway, api_render_event);
    p->carrier = compose_carrier(c, gateway_loop(p->gateway), err);
    if (!p->carrier || !start_relaying(p, err))
        return false;
    p->network = compose_network(c, &c->xmpp.jid, err);
    gateway_name_by(p->gateway, disposition_filename);
    if (!p->network || !arrange_demo(p, err) ||
        !gateway_start(p->gateway, p->network, p->carrier, socks5_carrier_streams, err))
        return false;
    p->api = api_start(p->gateway, err);
    return p->api && confine_listeners(c, &p->sandbox, err);
}

static void shake(void *user)
{
    struct parts *p = user;

    xmpp_shake(p->network);
    if (p->demo)
        xmpp_shake(p->demo);
}

/* SIGTERM, SIGINT, SIGHUP, or 0: none within so many milliseconds. */
static int next_signal(const struct parts *p, int64_t ms)
{
    const struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    int sig = sigtimedwait(&p->signals, NULL, &wait);

    return sig > 0 ? sig : 0;
}

/* Whoever asks twice has no time. */
static bool asked_twice(struct parts *p, int64_t wait_ms)
{
    int sig = p->hurry ? 0 : next_signal(p, wait_ms);

    if (sig && sig != SIGHUP) {
        log_info("stopping.at_once", log_str("signal", strsignal(sig)));
        p->hurry = true;
    }
    return p->hurry;
}

static bool hurry(void *user)
{
    return asked_twice(user, 0);
}

static void stop(struct parts *p)
{
    if (p->gateway)
        gateway_drain(p->gateway);
    api_stop(&p->api, hurry, p);
    if (p->gateway)
        gateway_stop(p->gateway, shake, p);
    xmpp_destroy(&p->demo); /* before the one that was made first */
    xmpp_destroy(&p->network);
    relaying_destroy(&p->relay);
    socks5_carrier_destroy(&p->carrier);
    gateway_destroy(&p->gateway);
    store_close(&p->store);
    spool_close(&p->spool);
    lock_release(&p->lock);
    fd_release_reserve();
    process_close();
}

/* libstrophe's TLS handshake blocks core and has no deadline of its own: a core that stands still in it is freed. */
static void shake_stuck(struct parts *p, int64_t age)
{
    bool handshaking;

    if (age < STUCK_MS || clock_ms() - p->warned_at < WATCH_MS)
        return;
    p->warned_at = clock_ms();
    handshaking = xmpp_handshaking(p->network) || (p->demo && xmpp_handshaking(p->demo));
    log_warn("core.stuck", log_int("ms", age), log_str("handshaking", handshaking ? "yes" : "no"));
    if (handshaking)
        shake(p);
}

static void feed_watchdog(struct parts *p, int64_t age)
{
    int64_t now = clock_ms();

    if (p->feed_ms == 0 || age >= DEAD_MS || now - p->fed_at < p->feed_ms)
        return;
    p->fed_at = now;
    notify_send(&p->notify, "WATCHDOG=1");
}

static void tell_status(struct parts *p)
{
    struct gateway_view view;
    char status[sizeof p->status];

    gateway_view(p->gateway, &view);
    snprintf(status, sizeof status, "%s%s; transfers: %zu under way, %zu waiting%s", view.draining ? "stopping, " : "",
             network_state_name(view.network.state), view.active, view.queued,
             p->refused ? "; the last reload was refused, see the log" : "");
    if (strcmp(status, p->status) == 0)
        return;
    memcpy(p->status, status, sizeof status);
    notify_send(&p->notify, "STATUS=%s", status);
}

static void watch(struct parts *p)
{
    int64_t age = gateway_heartbeat_age(p->gateway);

    shake_stuck(p, age);
    feed_watchdog(p, age);
    tell_status(p);
}

/* With what api_reload() takes, exactly the keys that config_keys.c calls live. */
static void apply(struct parts *p, const struct config *c)
{
    const struct spool_limits limits = limits_of(c);
    const struct relaying_limits relayed = compose_relay_limits(c);

    log_setup(c->log.level, c->log.format);
    p->drain_ms = c->server.drain_timeout;
    spool_limit(p->spool, &limits);
    gateway_limit(p->gateway, c->delivery.parallel, c->delivery.per_recipient_parallel);
    gateway_limit_relay(p->gateway, &relayed);
    gateway_take_webhooks(p->gateway, &c->webhooks);
    gateway_take_inbox(p->gateway, &c->inbox.rules, c->inbox.retention);
}

struct tally {
    int64_t applied, restart;
};

static void tell_change(void *user, const struct config_change *change)
{
    struct tally *tally = user;

    if (change->live) {
        tally->applied++;
        log_info("config.changed", log_str("key", change->key), log_str("from", change->from),
                 log_str("to", change->to));
    } else {
        tally->restart++;
        log_warn("config.needs_restart", log_str("key", change->key), log_str("from", change->from),
                 log_str("to", change->to));
    }
}

/* All or nothing: a configuration that does not hold changes nothing. */
static void reload(struct parts *p)
{
    struct tally tally = {0};
    struct config config;
    struct error error;
    struct settings *found;

    notify_reloading(&p->notify);
    found = config_read(&config, cli_value(p->line, OPT_CONFIG), environ, p->line->overrides, &error);
    p->refused = !found || !api_reload(p->api, &config, &error);
    if (!p->refused) {
        apply(p, &config);
        config_compare(p->settings, found, tell_change, &tally);
        log_info("config.reloaded", log_int("changed", tally.applied), log_int("needs_restart", tally.restart));
    } else {
        log_error("config.refused", log_str("error", error.text), log_str("advice", "everything stays as it was"));
    }
    if (found)
        config_free(&config);
    settings_free(&found);
    notify_send(&p->notify, "READY=1");
}

static void wait_for_signal(struct parts *p)
{
    int64_t tick = p->feed_ms > 0 && p->feed_ms / 2 < WATCH_MS ? p->feed_ms / 2 : WATCH_MS;
    int sig;

    while ((sig = next_signal(p, tick > 0 ? tick : 1)) == 0 || sig == SIGHUP) {
        if (sig == SIGHUP)
            reload(p);
        watch(p);
    }
    log_info("stopping", log_str("signal", strsignal(sig)));
}

/* What flows may go on for a while; the rest is parked at once, and goes on after the next start. */
static void drain(struct parts *p)
{
    int64_t began = clock_ms(), until = began + p->drain_ms;
    struct gateway_left left;
    bool told = false;

    notify_send(&p->notify, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%lld", (long long)(p->drain_ms + STOP_MS) * 1000);
    gateway_drain(p->gateway);
    p->hurry = p->drain_ms == 0;
    while (!p->hurry && gateway_draining(p->gateway, &left)) {
        if (left.counted && !told) {
            told = true;
            log_info("draining", log_int("streams", (int64_t)left.streams), log_int("uploads", (int64_t)left.uploads),
                     log_int("timeout_ms", p->drain_ms));
        }
        if (clock_ms() >= until) {
            log_warn("drain.timeout", log_int("streams", (int64_t)left.streams),
                     log_int("uploads", (int64_t)left.uploads));
            p->hurry = true;
            return;
        }
        watch(p);
        asked_twice(p, DRAIN_TURN_MS);
    }
    if (told && !p->hurry)
        log_info("drained", log_int("ms", clock_ms() - began));
}

static void run(struct parts *p)
{
    p->feed_ms = notify_watchdog_ms(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
    notify_send(&p->notify, "READY=1");
    watch(p);
    wait_for_signal(p);
    drain(p);
}

static int serve(const struct cli_line *line)
{
    struct parts p = {.line = line};
    struct error error = {0};
    int status = EXIT_OK;

    p.settings = config_read(&p.config, cli_value(line, OPT_CONFIG), environ, line->overrides, &error);
    if (!p.settings) {
        cli_fail(&error);
        return EXIT_USAGE;
    }
    p.drain_ms = p.config.server.drain_timeout;
    log_setup(p.config.log.level, p.config.log.format);
    /* Else it rises to the largest block freed, and buffers of uploads leave large holes between what lives longer. */
    mallopt(M_MMAP_THRESHOLD, MAPPED_FROM);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&p.signals);
    sigaddset(&p.signals, SIGINT);
    sigaddset(&p.signals, SIGTERM);
    sigaddset(&p.signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &p.signals, NULL); /* inherited by every thread: signals come here alone */
    log_info("starting", log_str("version", JIDPOST_VERSION), log_str("state_dir", p.config.server.state_dir));
    if (!notify_open(&p.notify, getenv("NOTIFY_SOCKET")))
        log_warn("notify.unusable", log_str("NOTIFY_SOCKET", getenv("NOTIFY_SOCKET")));
    if (start(&p, &error)) {
        run(&p);
    } else {
        log_error("start.failed", log_str("code", error_name(error.code)), log_str("error", error.text));
        status = EXIT_UNAVAILABLE;
    }
    stop(&p);
    config_free(&p.config);
    settings_free(&p.settings);
    log_info("stopped", log_int("status", status));
    notify_close(&p.notify);
    return status;
}

int main(int argc, char **argv)
{
    return cli_main(argc, argv, environ, serve);
}
