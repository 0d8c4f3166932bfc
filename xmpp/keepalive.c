#include "xmpp/keepalive.h"

#include <stdlib.h>
#include <string.h>

#include "xmpp/ns.h"
#include "xmpp/stanza.h"

struct keepalive {
    struct client *client;
    void (*silent)(void *user);
    void *user;
    uv_timer_t timer;
    uint64_t ping; /* ticket; 0: none on its way */
};

static void on_interval(uv_timer_t *timer);

static void wait_again(struct keepalive *k)
{
    uv_timer_start(&k->timer, on_interval, (uint64_t)k->client->settings->ping_interval_ms, 0);
}

static void replied(void *user, const struct iq_reply *reply)
{
    struct keepalive *k = user;

    k->ping = 0;
    if (reply->outcome == IQ_TIMEOUT)
        k->silent(k->user);
    else if (reply->outcome != IQ_DISCONNECTED)
        wait_again(k);
}

static void on_interval(uv_timer_t *timer)
{
    struct keepalive *k = timer->data;
    struct client *c = k->client;
    xmpp_stanza_t *iq = stanza_iq(c->ctx, "get", stanza_new(c->ctx, "ping", NS_PING));
    struct jid server;
    size_t len;
    const char *domain = jid_domain(&c->self, &len);

    if (jid_parse(&server, domain, len, NULL))
        k->ping = iq_ask(c->iq, iq, &server, c->settings->ping_timeout_ms, replied, k, NULL);
    if (iq)
        xmpp_stanza_release(iq);
    if (k->ping == 0)
        wait_again(k); /* the send queue is full: much is under way, or the next ping finds out */
}

struct keepalive *keepalive_create(struct client *c, void (*silent)(void *user), void *user)
{
    struct keepalive *k = calloc(1, sizeof(*k));

    if (!k)
        return NULL;
    k->client = c;
    k->silent = silent;
    k->user = user;
    uv_timer_init(c->loop, &k->timer);
    k->timer.data = k;
    return k;
}

static void free_keepalive(uv_handle_t *timer)
{
    free(timer->data);
}

void keepalive_destroy(struct keepalive **k)
{
    if (!*k)
        return;
    keepalive_offline(*k);
    uv_close((uv_handle_t *)&(*k)->timer, free_keepalive);
    *k = NULL;
}

void keepalive_online(struct keepalive *k)
{
    wait_again(k);
}

void keepalive_offline(struct keepalive *k)
{
    uv_timer_stop(&k->timer);
    iq_forget(k->client->iq, k->ping);
    k->ping = 0;
}
