/* cli/doctor_session.c - a session of its own with the XMPP server, and who can be reached by it. */
#include <stdlib.h>
#include <string.h>

#include "api/problem.h"
#include "cli/compose.h"
#include "cli/doctor.h"
#include "gateway/ladder.h"
#include "xmpp/xmpp.h"

enum { LOGIN_MS = 12 * 1000, FIND_MS = 10 * 1000, SETTLE_MS = 1500, LEAVE_MS = 3000 };

/* What the network tells, while somebody waits for it. */
static struct {
    struct doctor *d;
    bool tried;  /* it is online, or says why it is not */
    bool roster; /* contacts are known */
    bool stopped;
    bool found;
    struct recipient recipient;
    struct error error;
} session;

static void on_changed(void *user, const struct network_view *view)
{
    struct doctor *d = user;

    d->view = *view;
    session.tried = view->state == NETWORK_ONLINE || view->state == NETWORK_STOPPED ||
                    (view->state == NETWORK_OFFLINE && *view->advice);
}

static void on_presence(void *user, const struct jid *who, bool available)
{
    (void)user;
    (void)who;
    (void)available;
}

static void on_roster(void *user)
{
    (void)user;
    session.roster = true;
}

static void on_stopped(void *user)
{
    (void)user;
    session.stopped = true;
}

/* ---- login */

/* Another resource than the gateway's, which would be thrown out else; and nobody's request is granted. */
static struct network *make(struct doctor *d, struct error *err)
{
    static char *nobody[] = {NULL};
    struct config as = d->config;
    char bare[JID_MAX + 1];
    struct jid jid;

    jid_bare(&as.xmpp.jid, bare);
    if (!jid_parse(&jid, bare, strlen(bare), err))
        return NULL;
    as.xmpp.accept_subscriptions = nobody;
    return compose_network(&as, &jid, err);
}

bool doctor_logs_in(struct doctor *d)
{
    const struct network_events events = {
        .changed = on_changed, .presence = on_presence, .roster = on_roster, .subscription = on_presence, .user = d};
    struct error error = {0};

    if (d->running && d->config.xmpp.component_secret) { /* which has no resources to choose from */
        doctor_say(d, DOCTOR_OK, "login", ERR_NONE, NULL,
                   "left to the gateway that runs, since a component is one connection: GET /v1/xmpp says how it is; "
                   "proxies and recipients are not looked at");
        return false;
    }
    session.d = d;
    d->network = make(d, &error);
    if (d->network && !d->network->ops->start(d->network, &d->loop, &events, &error))
        xmpp_destroy(&d->network);
    if (!d->network) {
        doctor_say(d, DOCTOR_FAIL, "login", ERR_CONFIG, "Correct what the sentence names.", "%s", error.text);
        return false;
    }
    if (doctor_await(d, &session.tried, LOGIN_MS) && d->view.state == NETWORK_ONLINE) {
        doctor_say(d, DOCTOR_OK, "login", ERR_NONE, NULL, "as %s", d->view.jid);
        doctor_await(d, &session.roster, SETTLE_MS);
        return true;
    }
    doctor_say(d, DOCTOR_FAIL, "login", ERR_XMPP_AUTH_FAILED,
               d->config.xmpp.component_secret
                   ? "Correct [xmpp] jid and component_secret (or its file); does the server's configuration have both?"
                   : "Correct [xmpp] jid and password (or its file); does the account exist?",
               "%s", *d->view.advice ? d->view.advice : "the server did not answer the login in time");
    return false;
}

void doctor_leaves(struct doctor *d)
{
    if (!d->network)
        return;
    d->network->ops->stop(d->network, on_stopped, NULL);
    doctor_await(d, &session.stopped, LEAVE_MS);
    if (session.stopped)
        xmpp_destroy(&d->network);
}

/* ---- a recipient */

static void on_found(void *user, struct recipient *r, const struct error *err)
{
    (void)user;
    session.found = true;
    if (err) {
        session.error = *err;
    } else {
        session.recipient = *r;
        *r = (struct recipient){0};
    }
}

static const char *why_not(enum ladder_verdict verdict)
{
    switch (verdict) {
    case LADDER_NOBODY:
        return "nobody is there";
    case LADDER_UNANNOUNCED:
        return "its client does not announce it";
    case LADDER_BARE:
        return "left out beside others";
    case LADDER_RUNG:
        break;
    }
    return "";
}

/* Which methods a transfer would walk, and why not the others. */
static void say_ladder(struct doctor *d, const struct candidate_resource *to)
{
    const struct method_ops *const *all = d->network->ops->methods(d->network);
    struct ladder_choice choices[LADDER_RUNGS];
    size_t count = ladder_explain(choices, NULL, d->config.delivery.methods, to ? to->methods : NULL, all);

    for (size_t i = 0; i < count; i++) {
        const struct method_ops *m = choices[i].method;
        struct error why = {0};
        enum method_can can = m->can ? m->can(d->network, 0, &why) : METHOD_CAN;

        if (choices[i].verdict != LADDER_RUNG)
            doctor_say(d, DOCTOR_OK, "ladder", ERR_NONE, NULL, "not %s: %s", m->name, why_not(choices[i].verdict));
        else if (can == METHOD_CANNOT)
            doctor_say(d, DOCTOR_OK, "ladder", ERR_NONE, NULL, "not %s: %s", m->name, why.text);
        else
            doctor_say(d, DOCTOR_OK, "ladder", ERR_NONE, NULL, "%s", m->name);
    }
}

static void say_recipient(struct doctor *d, const struct recipient *r)
{
    const struct candidate_resource *best = r->count > 0 ? &r->resources[0] : NULL;

    if (best && best->methods[0])
        doctor_say(d, DOCTOR_OK, "recipient", ERR_NONE, NULL, "%s is there%s", best->jid.text,
                   r->direct ? "" : "; our own address is not told to it ([socks5] direct)");
    else
        doctor_say(d, DOCTOR_FAIL, "recipient", ERR_NO_COMMON_METHOD, problem_of(ERR_NO_COMMON_METHOD).hint,
                   "%s is online, but announces no way of receiving files", r->asked.text);
    say_ladder(d, best);
}

void doctor_finds_recipient(struct doctor *d, const char *text)
{
    struct error error = {0};
    uint64_t ticket;
    struct jid jid;

    if (!jid_parse(&jid, text, strlen(text), &error)) {
        doctor_say(d, DOCTOR_FAIL, "recipient", ERR_JID_INVALID, problem_of(ERR_JID_INVALID).hint, "%s", error.text);
        return;
    }
    ticket = d->network->ops->find(d->network, NULL, &jid, on_found, d);
    if (!doctor_await(d, &session.found, FIND_MS)) {
        d->network->ops->forget(d->network, ticket);
        error_set(&session.error, ERR_RECIPIENT_TIMEOUT, "%.100s did not say in time what it can", jid.text);
    }
    if (session.error.code != ERR_NONE) {
        doctor_say(d, DOCTOR_FAIL, "recipient", session.error.code, problem_of(session.error.code).hint, "%s",
                   session.error.text);
        say_ladder(d, NULL);
    } else {
        say_recipient(d, &session.recipient);
    }
    recipient_free(&session.recipient);
}
