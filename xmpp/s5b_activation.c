#include "xmpp/s5b_activation.h"

#include <stdlib.h>
#include <string.h>

#include "xmpp/ns.h"
#include "xmpp/s5b_name.h"
#include "xmpp/stanza.h"

enum { AGAIN_MS = 1000 }; /* the recipient's socket may reach the proxy a moment later */

struct s5b_activation {
    struct method_host *host;
    struct client *client;
    struct jid proxy;
    struct jid local, target;
    char *sid;
    s5b_activated_fn *done;
    void *user;
    uint64_t question;
    uv_timer_t timer;
    bool not_allowed; /* the proxy said so once */
    bool unanswered;  /* it left one question without an answer */
};

static void step(struct s5b_activation *a, enum step_direction direction, const char *name, const char *outcome,
                 const char *detail)
{
    a->host->ops->step(a->host, direction, name, outcome, detail);
}

static void on_answer(void *user, const struct iq_reply *reply);

static bool ask(struct s5b_activation *a, struct error *err)
{
    xmpp_ctx_t *ctx = a->client->ctx;
    xmpp_stanza_t *query = stanza_set(stanza_new(ctx, "query", NS_BYTESTREAMS), "sid", a->sid);
    xmpp_stanza_t *target = stanza_add_text(ctx, stanza_new(ctx, "activate", NULL), a->target.text);
    xmpp_stanza_t *iq = stanza_set(stanza_iq(ctx, "set", stanza_add(query, target)), "from", a->local.text);

    /* The time is spent in two halves: see refused() about the second. */
    a->question = iq_ask(a->client->iq, iq, &a->proxy, a->client->settings->activate_timeout_ms / 2, on_answer, a, err);
    if (iq)
        xmpp_stanza_release(iq);
    if (a->question)
        step(a, STEP_SENT, "activate", "", a->proxy.text);
    return a->question != 0;
}

static void ask_again(struct s5b_activation *a)
{
    struct error err;

    if (!ask(a, &err))
        a->done(a->user, &err, false);
}

static void on_again(uv_timer_t *timer)
{
    ask_again(timer->data);
}

/* Whether the proxy itself is to blame. */
static bool read_refusal(const struct s5b_activation *a, const struct iq_reply *reply, struct error *err)
{
    static const struct {
        const char *condition;
        enum error_code code;
        bool faulty;
        const char *says;
    } meanings[] = {
        {"item-not-found", ERR_PROXY_HASH_MISMATCH, false, "does not know the bytestream"},
        {"not-authorized", ERR_PROXY_HASH_MISMATCH, false, "does not know the bytestream"},
        {"not-allowed", ERR_PROXY_PAIR_INCOMPLETE, false, "has only one of the two sides"},
        {"conflict", ERR_PROXY_ALREADY_ACTIVE, false, "holds the bytestream for active already"},
        {"resource-constraint", ERR_PROXY_BUSY, false, "is at its limit"},
        {"forbidden", ERR_PROXY_REFUSED, true, "is not for us"},
        {"service-unavailable", ERR_PROXY_UNAVAILABLE, true, "is gone"},
        {"remote-server-not-found", ERR_PROXY_UNAVAILABLE, true, "is gone"},
        {"recipient-unavailable", ERR_PROXY_UNAVAILABLE, true, "is gone"},
        {"", ERR_PROXY_FAILED, true, "could not activate the bytestream"}, /* internal-server-error and the rest */
    };
    const char *proxy = a->proxy.text;
    size_t i = 0;

    if (reply->outcome == IQ_TIMEOUT) {
        error_set(err, ERR_ACTIVATION_TIMEOUT, "the proxy %s did not answer the activation", proxy);
        return true;
    }
    while (meanings[i].condition[0] && strcmp(meanings[i].condition, reply->condition) != 0)
        i++;
    error_set(err, meanings[i].code, "the proxy %s %s (%s%s%s)", proxy, meanings[i].says,
              reply->condition[0] ? reply->condition : "no reason given", reply->text[0] ? ": " : "", reply->text);
    return meanings[i].faulty;
}

static void refused(struct s5b_activation *a, const struct iq_reply *reply)
{
    struct error err;
    bool faulty = read_refusal(a, reply, &err);

    step(a, STEP_RECEIVED, "activated", reply->outcome == IQ_TIMEOUT ? "timeout" : "error", err.text);
    if (reply->outcome == IQ_TIMEOUT && !a->unanswered) {
        a->unanswered = true; /* asking twice does no harm; it tells a lost answer from a dead proxy */
        ask_again(a);
    } else if (err.code == ERR_PROXY_ALREADY_ACTIVE && a->unanswered) {
        a->done(a->user, NULL, false); /* it was the answer that got lost */
    } else if (err.code == ERR_PROXY_PAIR_INCOMPLETE && !a->not_allowed) {
        a->not_allowed = true;
        uv_timer_start(&a->timer, on_again, AGAIN_MS, 0);
    } else {
        a->done(a->user, &err, faulty);
    }
}

static void on_answer(void *user, const struct iq_reply *reply)
{
    struct s5b_activation *a = user;
    struct error err;

    a->question = 0;
    if (reply->outcome == IQ_RESULT) {
        step(a, STEP_RECEIVED, "activated", "ok", a->proxy.text);
        a->done(a->user, NULL, false);
    } else if (reply->outcome == IQ_DISCONNECTED) {
        iq_error(reply, a->proxy.text, &err);
        a->done(a->user, &err, false);
    } else {
        refused(a, reply);
    }
}

static void free_activation(uv_handle_t *timer)
{
    struct s5b_activation *a = timer->data;

    free(a->sid);
    free(a);
}

void s5b_activation_end(struct s5b_activation **a)
{
    if (!*a)
        return;
    iq_forget((*a)->client->iq, (*a)->question);
    uv_close((uv_handle_t *)&(*a)->timer, free_activation);
    *a = NULL;
}

struct s5b_activation *s5b_activate(struct method_host *host, struct client *client, const char *proxy, const char *sid,
                                    const struct jid *local, const struct jid *target, s5b_activated_fn *done,
                                    void *user, struct error *err)
{
    struct s5b_activation *a = calloc(1, sizeof *a);

    if (!a) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    a->host = host;
    a->client = client;
    jid_copy(&a->local, local);
    jid_copy(&a->target, target);
    a->sid = strdup(sid);
    a->done = done;
    a->user = user;
    uv_timer_init(host->loop, &a->timer);
    a->timer.data = a;
    if (!a->sid)
        error_set(err, ERR_INTERNAL, "out of memory");
    if (!a->sid || !jid_parse(&a->proxy, proxy, strlen(proxy), err) || !ask(a, err))
        s5b_activation_end(&a);
    return a;
}
