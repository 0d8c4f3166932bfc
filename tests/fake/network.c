#include "tests/fake/network.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct fake_network *the_network; /* methods get it by offer(); end() needs it after the method is gone */

__attribute__((format(printf, 2, 3))) static void note(struct fake_network *f, const char *fmt, ...)
{
    va_list args;

    assert(f->call_count < FAKE_CALLS);
    va_start(args, fmt);
    vsnprintf(f->calls[f->call_count++], sizeof f->calls[0], fmt, args);
    va_end(args);
}

static struct method *offer(struct method_host *host, void *network, const struct offer *o, struct error *err,
                            const char *name)
{
    struct fake_network *f = network;
    struct method *m;

    note(f, "offer %s %s", name, o->to->text);
    if (f->refuse_offers) {
        error_set(err, ERR_METHOD_UNSUPPORTED, "%s: refused to begin", name);
        return NULL;
    }
    m = calloc(1, sizeof *m);
    assert(m && !f->method);
    *m = (struct method){.network = f, .host = host, .name = name};
    f->method = m;
    f->offered = *o;
    return m;
}

static struct method *offer_one(struct method_host *host, void *network, const struct offer *o, struct error *err)
{
    return offer(host, network, o, err, "one");
}

static struct method *offer_two(struct method_host *host, void *network, const struct offer *o, struct error *err)
{
    return offer(host, network, o, err, "two");
}

static struct method *offer_kin(struct method_host *host, void *network, const struct offer *o, struct error *err)
{
    return offer(host, network, o, err, "kin");
}

static struct method *offer_post(struct method_host *host, void *network, const struct offer *o, struct error *err)
{
    return offer(host, network, o, err, "post");
}

static void stream(struct method *m, struct shared_fd *file)
{
    (void)file; /* only the assertion looks at it */
    assert(file->fd >= 0);
    note(m->network, "%s %s", m->host->feed ? "follow" : "stream", m->name);
}

static void end(struct method **m, const struct error *why)
{
    note(the_network, "end %s %s", (*m)->name, why ? error_name(why->code) : "ok");
    the_network->method = NULL;
    free(*m);
    *m = NULL;
}

static void digest(struct method *m, const char *sha256)
{
    note(m->network, "digest %.8s", sha256 ? sha256 : "none");
}

static const struct method_ops two = {
    .name = "two", .asks = "that", .offer = offer_two, .stream = stream, .digest = digest, .end = end, .follows = true};
static const struct method_ops one = {.name = "one",
                                      .asks = "this",
                                      .offer = offer_one,
                                      .stream = stream,
                                      .end = end,
                                      .follows = true,
                                      .successor = &two};
static const struct method_ops kin = {.name = "kin", .asks = "this", .offer = offer_kin, .stream = stream, .end = end};
static const struct method_ops post = {
    .name = "post", .offer = offer_post, .stream = stream, .end = end, .offline = true};

static bool start(struct network *n, uv_loop_t *loop, const struct network_events *events, struct error *err)
{
    (void)loop;
    (void)err;
    ((struct fake_network *)n)->events = *events;
    return true;
}

static uint64_t find(struct network *n, const struct jid *from, const struct jid *to, network_recipient_fn *done,
                     void *user)
{
    struct fake_network *f = (struct fake_network *)n;

    (void)from;
    note(f, "find %s", to->text);
    assert(!f->finding);
    f->finding = done;
    f->finding_user = user;
    return 1;
}

static void forget(struct network *n, uint64_t ticket)
{
    struct fake_network *f = (struct fake_network *)n;

    (void)ticket;
    assert(ticket == 1);
    note(f, "forget");
    f->finding = NULL;
}

static enum sight sight(struct network *n, const struct jid *to)
{
    (void)to;
    return ((struct fake_network *)n)->sight;
}

static bool subscribe(struct network *n, const struct jid *who, bool *sent, struct error *err)
{
    struct fake_network *f = (struct fake_network *)n;

    note(f, "subscribe %s", who->text);
    *sent = !f->asked_before;
    return f->subscribe_fails == ERR_NONE || error_set(err, f->subscribe_fails, "as the test wants it");
}

static const struct method_ops *const *methods(struct network *n)
{
    static const struct method_ops *const list[] = {&one, &two, &kin, &post, NULL};

    (void)n;
    return list;
}

static void stop(struct network *n, void (*stopped)(void *user), void *user)
{
    note((struct fake_network *)n, "stop");
    stopped(user);
}

static void succeeded(struct network *n, const struct jid *who)
{
    struct fake_network *f = (struct fake_network *)n;

    snprintf(f->succeeded, sizeof f->succeeded, "%s", who->text);
}

static bool say(struct network *n, const struct jid *from, const struct jid *to, const char *text, struct error *err)
{
    struct fake_network *f = (struct fake_network *)n;

    (void)from;
    note(f, "say %s %s", to->text, text);
    return !f->mute || error_set(err, ERR_XMPP_DISCONNECTED, "as the test wants it");
}

static const struct network_ops ops = {.start = start,
                                       .find = find,
                                       .forget = forget,
                                       .succeeded = succeeded,
                                       .say = say,
                                       .sight = sight,
                                       .subscribe = subscribe,
                                       .methods = methods,
                                       .stop = stop};

void fake_network_init(struct fake_network *f)
{
    *f = (struct fake_network){.network = {.ops = &ops}, .sight = SIGHT_AWAY};
    the_network = f;
}

static void answer(struct fake_network *f, struct recipient *r, const struct error *err)
{
    network_recipient_fn *done = f->finding;

    assert(done);
    f->finding = NULL;
    done(f->finding_user, r, err);
    if (r)
        recipient_free(r);
}

static void resource(struct candidate_resource *out, const char *full_jid, const char *first, const char *second)
{
    struct error error;
    bool ok = jid_parse(&out->jid, full_jid, strlen(full_jid), &error);

    assert(ok);
    (void)ok;
    out->answered = true;
    out->methods[0] = first;
    out->methods[1] = first ? second : NULL;
}

void fake_network_found(struct fake_network *f, const char *full_jid, const char *first, const char *second)
{
    struct recipient r = {.subscribed = true, .count = 1, .resources = calloc(1, sizeof *r.resources)};

    resource(&r.resources[0], full_jid, first, second);
    answer(f, &r, NULL);
}

void fake_network_found_two(struct fake_network *f, const char *best, const char *next)
{
    struct recipient r = {.subscribed = true, .count = 2, .resources = calloc(2, sizeof *r.resources)};

    resource(&r.resources[0], best, "one", NULL);
    resource(&r.resources[1], next, "one", NULL);
    answer(f, &r, NULL);
}

void fake_network_not_found(struct fake_network *f, enum error_code code)
{
    struct error error;

    error_set(&error, code, "as the test wants it");
    answer(f, NULL, &error);
}

void fake_method_report(struct fake_network *f, enum method_event event, enum error_code code)
{
    struct method_report report = {.event = event,
                                   .moved = 5,
                                   .proof = PROOF_PEER_CLOSED,
                                   .link_at = f->link_at,
                                   .own_link = f->own_link,
                                   .retry_at = f->retry_at};

    assert(f->method);
    if (code != ERR_NONE)
        error_set(&report.error, code, "as the test wants it");
    f->method->host->ops->report(f->method->host, &report);
}

const char *fake_last_call(const struct fake_network *f)
{
    return f->call_count ? f->calls[f->call_count - 1] : "";
}
