#include "tests/fake/relay.h"

#include <stdio.h>

static void keep(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text);
}

static const struct carrier_address here = {.host = "relay.example.com", .port = 7777};

static bool where(struct relay *r, struct carrier_address *out)
{
    (void)r;
    *out = here;
    return true;
}

static bool address(struct relay *r, const struct jid *from, struct carrier_address *out, struct error *err)
{
    struct fake_relay *f = (struct fake_relay *)r;

    f->queries++;
    keep(f->from, sizeof f->from, from->text);
    if (f->refuses != ERR_NONE)
        return error_set(err, f->refuses, "refused by the test");
    return where(r, out);
}

static void activate(struct relay *r, const struct jid *requester, const struct jid *target, const char *const *names,
                     size_t count, relay_activated_fn *done, void *user)
{
    struct fake_relay *f = (struct fake_relay *)r;

    f->activations++;
    keep(f->from, sizeof f->from, requester->text);
    keep(f->target, sizeof f->target, target->text);
    f->count = count;
    for (size_t i = 0; i < count && i < 4; i++)
        keep(f->names[i], sizeof f->names[i], names[i]);
    f->done = done;
    f->user = user;
    if (!f->later)
        fake_relay_answer(f);
}

void fake_relay_answer(struct fake_relay *f)
{
    relay_activated_fn *done = f->done;
    struct error err;

    f->done = NULL;
    if (f->refuses != ERR_NONE)
        error_set(&err, f->refuses, "refused by the test");
    done(f->user, f->refuses == ERR_NONE ? NULL : &err);
}

void fake_relay_init(struct fake_relay *f)
{
    static const struct relay_ops ops = {.where = where, .address = address, .activate = activate};

    *f = (struct fake_relay){.relay.ops = &ops};
}
