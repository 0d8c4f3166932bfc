#include "tests/fake/inbox.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 1 << 20 };

struct reception {
    struct fake_inbox *owner;
    const struct reception_events *events;
    void *user;
    struct shared_fd *file;
    int64_t size;
    reception_done_fn *done;
    void *done_user;
};

static void keep(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text ? text : "");
}

static struct reception *offered(struct receiver *r, const struct incoming *offer,
                                 const struct reception_events *events, void *user, struct error *err)
{
    struct fake_inbox *f = (struct fake_inbox *)r;
    struct reception *re;

    f->offers++;
    keep(f->from, sizeof f->from, offer->from->text);
    keep(f->to, sizeof f->to, offer->to->text);
    keep(f->method, sizeof f->method, offer->method);
    keep(f->name, sizeof f->name, offer->name);
    keep(f->type, sizeof f->type, offer->type);
    keep(f->caption, sizeof f->caption, offer->caption);
    keep(f->hash_algo, sizeof f->hash_algo, offer->hash_algo);
    keep(f->hash, sizeof f->hash, offer->hash);
    f->size = offer->size;
    f->ranges = offer->ranges;
    if (f->refuses != ERR_NONE) {
        error_set(err, f->refuses, "refused by the test");
        return NULL;
    }
    assert(!f->now || f->crowd);
    re = calloc(1, sizeof *re);
    assert(re);
    *re = (struct reception){.owner = f, .events = events, .user = user, .size = offer->size};
    f->now = re;
    return re;
}

static bool receives(const struct receiver *r, const struct jid *to)
{
    (void)to;
    return !((const struct fake_inbox *)r)->closed;
}

static uint64_t offset(const struct reception *re)
{
    return re->owner->ranges ? re->owner->here : 0;
}

static void step(struct reception *re, enum step_direction direction, const char *name, const char *outcome,
                 const char *detail)
{
    (void)re, (void)direction, (void)name, (void)outcome, (void)detail;
}

static void chose(struct reception *re, const char *path, const char *streamhost)
{
    keep(re->owner->path, sizeof re->owner->path, path);
    keep(re->owner->streamhost, sizeof re->owner->streamhost, streamhost);
}

static struct shared_fd *begin(struct reception *re, uint64_t from, uint64_t *most, struct error *err)
{
    struct fake_inbox *f = re->owner;
    FILE *file;

    (void)err;
    assert(!re->file);
    file = tmpfile();
    assert(file);
    re->file = shared_fd_create(dup(fileno(file)));
    fclose(file);
    assert(re->file);
    f->begun++;
    f->offset = from;
    f->written = 0;
    *most = re->size >= 0 ? (uint64_t)re->size - from : f->most ? f->most : MOST;
    return re->file;
}

static void moved(struct reception *re, uint64_t bytes)
{
    re->owner->moved = bytes;
}

static bool write_bytes(struct reception *re, const void *data, size_t len, struct error *err)
{
    struct fake_inbox *f = re->owner;

    assert(re->file);
    if (re->size >= 0 && f->offset + f->written + len > (uint64_t)re->size)
        return error_set(err, ERR_SIZE_EXCEEDED, "more than was announced");
    if (pwrite(re->file->fd, data, len, (off_t)(f->offset + f->written)) != (ssize_t)len)
        abort();
    f->written += len;
    return true;
}

static void complete(struct reception *re, uint64_t bytes, const char *algo, const char *hash, bool extra,
                     reception_done_fn *done, void *user)
{
    struct fake_inbox *f = re->owner;

    assert(!re->done);
    f->completed++;
    f->moved = bytes;
    f->extra = extra;
    keep(f->late_algo, sizeof f->late_algo, algo);
    keep(f->late_hash, sizeof f->late_hash, hash);
    re->done = done;
    re->done_user = user;
}

static void end(struct reception **re, const struct error *why)
{
    struct fake_inbox *f;

    if (!*re)
        return;
    f = (*re)->owner;
    assert(f->now == *re || f->crowd);
    if (f->now == *re)
        f->now = NULL;
    f->ended++;
    f->why = why ? why->code : ERR_NONE;
    shared_fd_release(&(*re)->file);
    free(*re);
    *re = NULL;
}

void fake_inbox_init(struct fake_inbox *f, struct carrier *carrier)
{
    static const struct receiver_ops ops = {offered, receives, offset,      step,     chose,
                                            begin,   moved,    write_bytes, complete, end};

    *f = (struct fake_inbox){.receiver = {&ops, carrier}};
}

void fake_inbox_clear(struct fake_inbox *f)
{
    if (f->now || f->offers < f->ended)
        abort();
}

void fake_inbox_answer(struct fake_inbox *f)
{
    struct error err = {ERR_NONE, ""};
    reception_done_fn *done;

    assert(f->now && f->now->done);
    done = f->now->done;
    f->now->done = NULL;
    if (f->verdict != ERR_NONE)
        error_set(&err, f->verdict, "the test says so");
    done(f->now->done_user, f->verdict == ERR_NONE ? NULL : &err);
}

void fake_inbox_revoke(struct fake_inbox *f, enum error_code why)
{
    struct error err;

    error_set(&err, why, "taken away by the test");
    assert(f->now);
    f->now->events->revoked(f->now->user, &err);
}

int fake_inbox_fd(const struct fake_inbox *f)
{
    return f->now && f->now->file ? f->now->file->fd : -1;
}
