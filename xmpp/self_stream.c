/* xmpp/self_stream.c - a proxy tried by a bytestream to ourselves, see xmpp.h. */
#include <stdlib.h>
#include <string.h>

#include "xmpp/methods.h"
#include "xmpp/proxies.h"
#include "xmpp/s5b_activation.h"
#include "xmpp/xmpp.h"

struct self_activation {
    struct method_host host; /* has no timeline */
    struct s5b_activation *at_work;
    xmpp_activated_fn *done;
    void *user;
};

static struct client *client_of(struct network *n)
{
    return &((struct methods_network *)n)->client;
}

static void no_step(struct method_host *host, enum step_direction direction, const char *name, const char *outcome,
                    const char *detail)
{
    (void)host;
    (void)direction;
    (void)name;
    (void)outcome;
    (void)detail;
}

static const struct method_host_ops no_host = {.step = no_step};

bool xmpp_await_proxies(struct network *n, void (*ready)(void *user), void *user)
{
    return proxies_wait(client_of(n)->proxies, ready, user) != 0;
}

size_t xmpp_streamhosts(struct network *n, struct xmpp_streamhost *out, size_t max)
{
    struct streamhost hosts[16];
    size_t room = sizeof hosts / sizeof *hosts;
    size_t count = proxies_list(client_of(n)->proxies, hosts, max < room ? max : room);

    for (size_t i = 0; i < count; i++) {
        memcpy(out[i].jid, hosts[i].jid, sizeof out[i].jid);
        memcpy(out[i].address.host, hosts[i].host, sizeof out[i].address.host);
        out[i].address.port = hosts[i].port;
    }
    return count;
}

bool xmpp_name_self_stream(struct network *n, struct xmpp_self_stream *out)
{
    const struct client *c = client_of(n);

    s5b_make_sid(out->sid);
    return c->online && s5b_name(out->sid, c->self.text, c->self.text, out->name);
}

static void activated(void *user, const struct error *why, bool faulty)
{
    struct self_activation *a = user;

    (void)faulty;
    s5b_activation_end(&a->at_work);
    a->done(a->user, why);
    free(a);
}

bool xmpp_activate_self_stream(struct network *n, const struct xmpp_self_stream *stream, const char *proxy,
                               xmpp_activated_fn *done, void *user, struct error *err)
{
    struct client *c = client_of(n);
    struct self_activation *a = calloc(1, sizeof *a);

    if (!a)
        return error_set(err, ERR_SYSTEM, "out of memory");
    *a = (struct self_activation){.host = {.ops = &no_host, .loop = c->loop}, .done = done, .user = user};
    a->at_work = s5b_activate(&a->host, c, proxy, stream->sid, &c->self, &c->self, activated, a, err);
    if (a->at_work)
        return true;
    free(a);
    return false;
}
