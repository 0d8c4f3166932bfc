#include "gateway/keys.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "base/clock.h"
#include "gateway/core.h"

enum { NAME = KEY_CALLER + KEY_TEXT };

/* A request that wants a key. */
struct claim {
    struct message message;
    uv_work_t work;
    struct claim *next;
    struct gateway *gw;
    struct record_key key, found;
    gateway_reserve_fn *done;
    void *user;
    struct error error; /* of the look-up */
};

/* A key that is looked up, or reserved. */
struct reserved {
    UT_hash_handle hh;
    char name[NAME]; /* caller, and behind its NUL the text */
    struct record_key key;
    bool looking;
    struct claim *waiting; /* for the end of that */
};

struct keys {
    struct reserved *all;
};

struct reservation {
    struct message message;
    struct gateway *gw;
    struct record_key key;
};

struct keys *keys_create(void)
{
    return calloc(1, sizeof(struct keys));
}

void keys_destroy(struct keys **keys)
{
    struct reserved *e, *next;

    if (!*keys)
        return;
    e = (*keys)->all;
    HASH_CLEAR(hh, (*keys)->all); /* which leaves them linked to each other */
    for (; e; e = next) {
        next = e->hh.next;
        free(e);
    }
    free(*keys);
    *keys = NULL;
}

const struct record_key *reservation_key(const struct reservation *r)
{
    return r ? &r->key : NULL;
}

/* ---- the table */

static void name_of(const struct record_key *key, char name[static NAME])
{
    memset(name, 0, NAME);
    memcpy(name, key->caller, strlen(key->caller));
    memcpy(name + KEY_CALLER, key->text, strlen(key->text));
}

static struct reserved *find(struct keys *keys, const struct record_key *key)
{
    struct reserved *e = NULL;
    char name[NAME];

    name_of(key, name);
    HASH_FIND(hh, keys->all, name, NAME, e);
    return e;
}

static struct reserved *add(struct keys *keys, const struct record_key *key)
{
    struct reserved *e = calloc(1, sizeof *e);

    if (!e)
        return NULL;
    e->key = *key;
    e->looking = true;
    name_of(key, e->name);
    HASH_ADD(hh, keys->all, name, NAME, e);
    return e;
}

static void drop(struct keys *keys, struct reserved *e)
{
    HASH_DEL(keys->all, e);
    free(e);
}

/* ---- answers */

static void answer(struct claim *c, struct reservation *mine, struct record *made, const char *busy,
                   const struct error *err)
{
    c->done(c->user, mine, made, busy, err);
    free(c);
}

static void refuse(struct claim *c, const struct error *err)
{
    answer(c, NULL, NULL, NULL, err);
}

static bool is_other(const struct claim *c, const struct record_key *key, struct error *err)
{
    if (memcmp(c->key.print, key->print, KEY_PRINT) == 0)
        return false;
    error_set(err, ERR_IDEMPOTENCY_KEY_REUSE, "the key was used for %s, by a request that was another", key->id);
    return true;
}

static void answer_busy(struct claim *c, const struct reserved *e)
{
    struct error error;

    if (is_other(c, &e->key, &error)) {
        refuse(c, &error);
        return;
    }
    error_set(&error, ERR_IDEMPOTENCY_IN_PROGRESS, "the upload of %s, by the same key, is not over", e->key.id);
    answer(c, NULL, NULL, e->key.id, &error);
}

/* Perhaps another thread's. */
static void on_made(void *user, struct record *made, const struct error *err)
{
    answer(user, NULL, made, NULL, err);
}

static void answer_found(struct claim *c)
{
    struct error error;

    if (is_other(c, &c->found, &error))
        refuse(c, &error);
    else
        gateway_get(c->gw, c->found.id, on_made, c);
}

/* The first who asked gets it. */
static bool reserve(struct claim *c, struct reserved *e)
{
    struct reservation *mine = calloc(1, sizeof *mine);

    if (!mine)
        return false;
    e->looking = false;
    id_make(e->key.id, "tr", clock_wall_ms());
    e->key.used = clock_wall_ms();
    mine->gw = c->gw;
    mine->key = e->key;
    answer(c, mine, NULL, NULL, NULL);
    return true;
}

/* ---- looking */

static void handle_claim(void *owner, struct message *m);

/* In the pool. */
static void look_up(uv_work_t *work)
{
    struct claim *c = work->data;

    c->found = c->key;
    store_key(c->gw->store, &c->found, clock_wall_ms() - KEY_KEPT_MS, &c->error);
}

static void looked_up(uv_work_t *work, int status)
{
    struct claim *c = work->data, *waiting;
    struct gateway *gw = c->gw;
    struct reserved *e = find(gw->keys, &c->key);
    struct error error = c->error;

    (void)status;
    gw->pending--;
    waiting = e->waiting;
    e->waiting = NULL;
    if (error.code == ERR_NOT_FOUND && reserve(c, e)) {
        c = NULL;
    } else {
        drop(gw->keys, e);
        if (error.code == ERR_NOT_FOUND)
            error_set(&error, ERR_INTERNAL, "out of memory");
    }
    if (c && error.code != ERR_NONE)
        refuse(c, &error);
    else if (c)
        answer_found(c);
    while (waiting) { /* as if they came now */
        struct claim *next = waiting;

        LL_DELETE(waiting, next);
        handle_claim(gw, &next->message);
    }
}

static void handle_claim(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct claim *c = (struct claim *)m;
    struct reserved *e = find(gw->keys, &c->key);

    if (e && e->looking) {
        LL_APPEND(e->waiting, c);
        return;
    }
    if (e) {
        answer_busy(c, e);
        return;
    }
    if (!add(gw->keys, &c->key)) {
        error_set(&c->error, ERR_INTERNAL, "out of memory");
        refuse(c, &c->error);
        return;
    }
    c->work.data = c;
    gw->pending++;
    uv_queue_work(&gw->loop, &c->work, look_up, looked_up);
}

static void discard_claim(struct message *m)
{
    struct claim *c = (struct claim *)m;

    error_set(&c->error, ERR_DRAINING, "the gateway is stopping");
    refuse(c, &c->error);
}

/* ---- gateway.h */

void gateway_reserve(struct gateway *gw, const struct record_key *key, gateway_reserve_fn *done, void *user)
{
    struct claim *c = calloc(1, sizeof *c);
    struct error error;

    if (!c) {
        error_set(&error, ERR_INTERNAL, "out of memory");
        done(user, NULL, NULL, NULL, &error);
        return;
    }
    *c = (struct claim){.message = {.handle = handle_claim, .discard = discard_claim},
                        .gw = gw,
                        .key = *key,
                        .done = done,
                        .user = user};
    if (!mailbox_post(gw->mailbox, &c->message))
        discard_claim(&c->message);
}

static void handle_release(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct reservation *r = (struct reservation *)m;
    struct reserved *e = find(gw->keys, &r->key);

    if (e)
        drop(gw->keys, e);
    free(r);
}

void gateway_release(struct reservation **reservation)
{
    struct reservation *r = *reservation;

    *reservation = NULL;
    if (!r)
        return;
    r->message.handle = handle_release;
    if (!mailbox_post(r->gw->mailbox, &r->message))
        free(r);
}
