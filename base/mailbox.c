/* base/mailbox.c - messages from many posters to one loop, see mailbox.h. */
#include "base/mailbox.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/meter.h"

struct mailbox {
    uv_async_t wake;
    void *owner;
    pthread_mutex_t lock; /* guards the rest; the loop's thread alone writes closed */
    struct message *first;
    struct message **last;
    bool closed;
};

static struct message *take_all(struct mailbox *box)
{
    struct message *list;

    pthread_mutex_lock(&box->lock);
    list = box->first;
    box->first = NULL;
    box->last = &box->first;
    pthread_mutex_unlock(&box->lock);
    return list;
}

static void discard(struct message *m)
{
    if (m->discard)
        m->discard(m);
    else
        free(m);
}

/* What its turn was too short for: before everything posted meanwhile. */
static void put_back(struct mailbox *box, struct message *rest)
{
    struct message *last = rest;

    while (last->next)
        last = last->next;
    pthread_mutex_lock(&box->lock);
    last->next = box->first;
    if (!box->first)
        box->last = &last->next;
    box->first = rest;
    uv_async_send(&box->wake);
    pthread_mutex_unlock(&box->lock);
}

/* A handler may destroy the box: its memory stays until the loop turns, but the owner is no longer to be called. */
static void on_wake(uv_async_t *wake)
{
    struct mailbox *box = wake->data;
    struct message *m = take_all(box);
    struct share share = share_begin();

    while (m) {
        struct message *next = m->next;

        m->next = NULL;
        if (box->closed)
            discard(m);
        else
            m->handle(box->owner, m);
        m = next;
        if (m && !box->closed && !share_left(&share)) {
            put_back(box, m);
            return;
        }
    }
}

struct mailbox *mailbox_create(uv_loop_t *loop, void *owner)
{
    struct mailbox *box = calloc(1, sizeof(*box));

    if (!box)
        return NULL;
    if (pthread_mutex_init(&box->lock, NULL) != 0)
        goto no_lock;
    if (uv_async_init(loop, &box->wake, on_wake) != 0)
        goto no_wake;
    box->wake.data = box;
    box->owner = owner;
    box->last = &box->first;
    return box;
no_wake:
    pthread_mutex_destroy(&box->lock);
no_lock:
    free(box);
    return NULL;
}

static void on_closed(uv_handle_t *wake)
{
    struct mailbox *box = wake->data;

    pthread_mutex_destroy(&box->lock);
    free(box);
}

void mailbox_destroy(struct mailbox **box)
{
    struct mailbox *b = *box;
    struct message *m;

    *box = NULL;
    if (!b)
        return;
    pthread_mutex_lock(&b->lock);
    b->closed = true;
    pthread_mutex_unlock(&b->lock);
    m = take_all(b);
    while (m) {
        struct message *next = m->next;

        m->next = NULL;
        discard(m);
        m = next;
    }
    uv_close((uv_handle_t *)&b->wake, on_closed);
}

bool mailbox_post(struct mailbox *box, struct message *m)
{
    bool open;

    pthread_mutex_lock(&box->lock);
    open = !box->closed;
    if (open) {
        bool was_empty = !box->first;

        m->next = NULL;
        *box->last = m;
        box->last = &m->next;
        if (was_empty) /* else a wake-up is on its way already; under the lock, so that the handle is still open */
            uv_async_send(&box->wake);
    }
    pthread_mutex_unlock(&box->lock);
    return open;
}
