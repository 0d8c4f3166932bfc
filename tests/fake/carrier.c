#include "tests/fake/carrier.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static struct fake_carrier *fake(struct carrier *c)
{
    return (struct fake_carrier *)c;
}

static bool advertised(struct carrier *c, struct carrier_address *out)
{
    *out = fake(c)->address;
    return fake(c)->advertises;
}

static bool ready_for_command(struct carrier_stream *s, struct error *err)
{
    assert(s->open);
    return !s->owner->refuses || error_set(err, ERR_SYSTEM, "out of descriptors");
}

static struct carrier_stream *open_stream(struct carrier *c, carrier_event_fn *on_event, void *user, struct error *err)
{
    struct fake_carrier *f = fake(c);
    struct carrier_stream *s = &f->streams[f->opened];

    assert(f->opened < sizeof f->streams / sizeof *f->streams);
    *s = (struct carrier_stream){.owner = f, .on_event = on_event, .user = user, .open = true, .fd = -1};
    if (!ready_for_command(s, err))
        return NULL;
    f->opened++;
    return s;
}

static bool expect(struct carrier_stream *s, const char *const *names, size_t count, unsigned wait_ms,
                   struct error *err)
{
    assert(s->job == FAKE_IDLE && count > 0 && count <= CARRIER_NAMES);
    if (!ready_for_command(s, err))
        return false;
    for (size_t i = 0; i < count; i++)
        snprintf(s->names[i], sizeof s->names[i], "%s", names[i]);
    s->name_count = count;
    s->wait_ms = wait_ms;
    s->job = FAKE_EXPECTING;
    return true;
}

static bool dial(struct carrier_stream *s, const struct carrier_address *to, bool trusted, const char *name,
                 struct error *err)
{
    assert(s->job == FAKE_IDLE || s->job == FAKE_EXPECTING);
    if (!ready_for_command(s, err))
        return false;
    snprintf(s->names[0], sizeof s->names[0], "%s", name);
    s->name_count = 1;
    s->to = *to;
    s->trusted = trusted;
    s->job = FAKE_DIALING;
    return true;
}

static bool send_file(struct carrier_stream *s, struct shared_fd *file, struct feed *feed, uint64_t offset,
                      uint64_t length, struct error *err)
{
    assert(s->job == FAKE_EXPECTING || s->job == FAKE_DIALING);
    if (!ready_for_command(s, err))
        return false;
    s->fd = file->fd;
    s->feed = feed;
    s->offset = offset;
    s->length = length;
    s->job = FAKE_SENDING;
    return true;
}

static bool receive(struct carrier_stream *s, struct shared_fd *file, uint64_t offset, uint64_t length,
                    struct error *err)
{
    assert(s->job == FAKE_EXPECTING || s->job == FAKE_DIALING);
    if (!ready_for_command(s, err))
        return false;
    s->fd = file->fd;
    s->offset = offset;
    s->length = length;
    s->job = FAKE_RECEIVING;
    return true;
}

static void close_stream(struct carrier_stream **s)
{
    if (*s) {
        assert((*s)->open);
        (*s)->open = false;
    }
    *s = NULL;
}

void fake_carrier_init(struct fake_carrier *c)
{
    static const struct carrier_ops ops = {advertised, open_stream, expect, dial, send_file, receive, close_stream};

    *c =
        (struct fake_carrier){.carrier = {&ops}, .advertises = true, .address = {.host = "198.51.100.7", .port = 5086}};
}

struct carrier_stream *fake_carrier_stream(struct fake_carrier *c)
{
    struct carrier_stream *found = NULL;

    for (size_t i = 0; i < c->opened; i++) {
        assert(!found || !c->streams[i].open);
        if (c->streams[i].open)
            found = &c->streams[i];
    }
    return found;
}

struct carrier_stream *fake_carrier_find(struct fake_carrier *c, const char *host)
{
    for (size_t i = 0; i < c->opened; i++) {
        struct carrier_stream *s = &c->streams[i];

        if (s->open && (host ? strcmp(s->to.host, host) == 0 : s->to.host[0] == '\0'))
            return s;
    }
    return NULL;
}

size_t fake_carrier_count(const struct fake_carrier *c)
{
    size_t count = 0;

    for (size_t i = 0; i < c->opened; i++)
        count += c->streams[i].open;
    return count;
}

void fake_stream_says(struct carrier_stream *s, enum carrier_event_kind kind, uint64_t moved)
{
    assert(s && s->open);
    s->on_event(s->user, &(struct carrier_event){.kind = kind, .moved = moved});
}

void fake_stream_fails(struct carrier_stream *s, enum error_code code, const char *text, uint64_t moved)
{
    struct carrier_event event = {.kind = CARRIER_FAILED, .moved = moved};

    assert(s && s->open);
    error_set(&event.error, code, "%s", text);
    s->on_event(s->user, &event);
}

void fake_carrier_says(struct fake_carrier *c, enum carrier_event_kind kind, uint64_t moved)
{
    fake_stream_says(fake_carrier_stream(c), kind, moved);
}

void fake_carrier_fails(struct fake_carrier *c, enum error_code code, const char *text, uint64_t moved)
{
    fake_stream_fails(fake_carrier_stream(c), code, text, moved);
}
