/* socks5/poller.c - an epoll set inside a uv loop, see poller.h. */
#include "socks5/poller.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

enum { SLOTS_AT_FIRST = 64 };
static const uint32_t no_slot = UINT32_MAX;

static struct watch *watch_of(const struct poller *p, uint64_t tag)
{
    const struct poller_slot *slot = &p->slots[(uint32_t)tag];

    return slot->generation == (uint32_t)(tag >> 32) ? slot->watch : NULL;
}

static void on_ready(uv_poll_t *handle, int status, int events)
{
    struct poller *p = handle->data;
    uint64_t end = uv_hrtime() + POLLER_TURN_MS * (uint64_t)1000000;

    (void)status;
    (void)events;
    if (p->batch_at == p->batch_end) {
        p->batch_at = 0;
        p->batch_end = epoll_wait(p->epoll, p->batch, POLLER_BATCH, 0);
        if (p->batch_end < 0)
            p->batch_end = 0; /* EINTR: the loop comes back */
    }
    while (p->batch_at < p->batch_end) {
        const struct epoll_event *event = &p->batch[p->batch_at++];
        struct watch *w = watch_of(p, event->data.u64);

        if (w)
            w->ready(w, event->events);
        if (uv_hrtime() > end)
            break;
    }
}

bool poller_open(struct poller *p, uv_loop_t *loop, struct error *err)
{
    int failed;

    memset(p, 0, sizeof(*p));
    p->free_slot = no_slot;
    p->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (p->epoll < 0)
        return error_set(err, ERR_SYSTEM, "epoll: %s", strerror(errno));
    failed = uv_poll_init(loop, &p->handle, p->epoll);
    if (failed) {
        fd_close(&p->epoll);
        return error_set(err, ERR_SYSTEM, "epoll: %s", uv_strerror(failed));
    }
    p->handle.data = p;
    uv_poll_start(&p->handle, UV_READABLE, on_ready); /* fails for a closing handle only */
    return true;
}

void poller_close(struct poller *p)
{
    for (uint32_t i = 0; i < p->slot_count; i++)
        assert(!p->slots[i].watch);
    uv_close((uv_handle_t *)&p->handle, NULL);
    fd_close(&p->epoll);
    free(p->slots);
    p->slots = NULL;
    p->slot_count = 0;
    p->batch_at = p->batch_end = 0;
}

static bool more_slots(struct poller *p)
{
    uint32_t count = p->slot_count ? 2 * p->slot_count : SLOTS_AT_FIRST;
    struct poller_slot *slots = realloc(p->slots, count * sizeof(*slots));

    if (!slots)
        return false;
    for (uint32_t i = p->slot_count; i < count; i++)
        slots[i] = (struct poller_slot){.next_free = i + 1 < count ? i + 1 : no_slot};
    p->free_slot = p->slot_count;
    p->slots = slots;
    p->slot_count = count;
    return true;
}

bool poller_add(struct poller *p, struct watch *w, uint32_t events, struct error *err)
{
    struct poller_slot *slot;
    struct epoll_event event = {.events = events};

    assert(!w->poller);
    if (p->free_slot == no_slot && !more_slots(p))
        return error_set(err, ERR_SYSTEM, "out of memory");
    slot = &p->slots[p->free_slot];
    event.data.u64 = (uint64_t)slot->generation << 32 | p->free_slot;
    if (epoll_ctl(p->epoll, EPOLL_CTL_ADD, w->fd, &event) != 0)
        return error_set(err, ERR_SYSTEM, "epoll: %s", strerror(errno));
    w->poller = p;
    w->slot = p->free_slot;
    w->events = events;
    p->free_slot = slot->next_free;
    slot->watch = w;
    return true;
}

void poller_change(struct watch *w, uint32_t events)
{
    struct poller *p = w->poller;
    struct epoll_event event = {.events = events};
    int failed;

    if (events == w->events)
        return;
    event.data.u64 = (uint64_t)p->slots[w->slot].generation << 32 | w->slot;
    failed = epoll_ctl(p->epoll, EPOLL_CTL_MOD, w->fd, &event);
    assert(!failed); /* the descriptor is in the set */
    (void)failed;
    w->events = events;
}

bool poller_crowded(const struct watch *w)
{
    return w->poller && w->poller->batch_end > 1;
}

void poller_remove(struct watch *w)
{
    struct poller *p = w->poller;
    struct poller_slot *slot;

    if (!p)
        return;
    slot = &p->slots[w->slot];
    epoll_ctl(p->epoll, EPOLL_CTL_DEL, w->fd, NULL);
    slot->watch = NULL;
    slot->generation++;
    slot->next_free = p->free_slot;
    p->free_slot = w->slot;
    w->poller = NULL;
}
