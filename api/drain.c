#include "api/drain.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <uv.h>

#include "base/fd.h"
#include "base/mailbox.h"

enum {
    DRAIN_MS = 2000,
    SECOND_MS = 1000,
    DRAIN_BYTES = 4 * 1024 * 1024,
    SINK_BYTES = 64 * 1024,
    DRAIN_MOST = 64, /* beyond these a socket is closed at once: a flood gets no descriptors from us */
};

struct drain {
    uv_poll_t poll;
    uv_timer_t timer;
    struct drainer *drainer;
    struct drain *next, **link;
    int fd;
    unsigned handles; /* of uv, still open */
    bool closing;
    size_t left;
};

struct drainer {
    uv_loop_t loop;
    pthread_t thread;
    struct mailbox *mailbox;
    uv_timer_t second;
    void (*every_second)(void *user);
    void *user;
    struct message stop; /* made beforehand, so that stopping needs no memory */
    struct drain *drains;
    size_t count;
    char sink[SINK_BYTES]; /* never looked at */
};

struct arrival {
    struct message message;
    int fd;
};

static void on_closed(uv_handle_t *handle)
{
    struct drain *d = handle->data;

    if (--d->handles > 0)
        return;
    fd_close(&d->fd);
    free(d);
}

static void drain_end(struct drain *d)
{
    if (d->closing)
        return;
    d->closing = true;
    *d->link = d->next;
    if (d->next)
        d->next->link = d->link;
    d->drainer->count--;
    uv_close((uv_handle_t *)&d->poll, on_closed);
    uv_close((uv_handle_t *)&d->timer, on_closed);
}

static void on_late(uv_timer_t *timer)
{
    drain_end(timer->data);
}

/* MSG_TRUNC: of TCP the kernel drops the bytes without copying them (tcp(7)); of a unix socket they are copied. */
static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct drain *d = poll->data;
    size_t most = d->left < SINK_BYTES ? d->left : SINK_BYTES;
    ssize_t n = status < 0 ? 0 : recv(d->fd, d->drainer->sink, most, MSG_TRUNC | MSG_DONTWAIT);

    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || (size_t)n >= d->left)
        drain_end(d);
    else
        d->left -= (size_t)n;
}

static bool drain_start(struct drainer *drainer, int fd)
{
    struct drain *d = calloc(1, sizeof *d);

    if (!d)
        return false;
    if (uv_poll_init(&drainer->loop, &d->poll, fd) != 0) {
        free(d);
        return false;
    }
    uv_timer_init(&drainer->loop, &d->timer);
    d->poll.data = d->timer.data = d;
    d->handles = 2;
    d->drainer = drainer;
    d->fd = fd;
    d->left = DRAIN_BYTES;
    d->next = drainer->drains;
    d->link = &drainer->drains;
    if (d->next)
        d->next->link = &d->next;
    drainer->drains = d;
    drainer->count++;
    uv_poll_start(&d->poll, UV_READABLE, on_readable);
    uv_timer_start(&d->timer, on_late, DRAIN_MS, 0);
    return true;
}

static void on_arrival(void *owner, struct message *m)
{
    struct drainer *drainer = owner;
    int fd = ((struct arrival *)m)->fd;

    free(m);
    shutdown(fd, SHUT_WR);
    if (drainer->count >= DRAIN_MOST || !drain_start(drainer, fd))
        fd_close(&fd);
}

static void discard(struct message *m)
{
    fd_close(&((struct arrival *)m)->fd);
    free(m);
}

void drainer_take(struct drainer *drainer, int fd)
{
    struct arrival *a = calloc(1, sizeof *a);

    if (!a) {
        fd_close(&fd);
        return;
    }
    a->message = (struct message){.handle = on_arrival, .discard = discard};
    a->fd = fd;
    if (!mailbox_post(drainer->mailbox, &a->message))
        discard(&a->message);
}

static void on_stop(void *owner, struct message *m)
{
    struct drainer *drainer = owner;

    (void)m;
    while (drainer->drains)
        drain_end(drainer->drains);
    uv_close((uv_handle_t *)&drainer->second, NULL);
    mailbox_destroy(&drainer->mailbox); /* the loop's last handle: uv_run() returns */
}

static void on_second(uv_timer_t *timer)
{
    const struct drainer *drainer = timer->data;

    drainer->every_second(drainer->user);
}

static void *run(void *user)
{
    struct drainer *drainer = user;

    uv_run(&drainer->loop, UV_RUN_DEFAULT);
    return NULL;
}

struct drainer *drainer_start(void (*every_second)(void *user), void *user, struct error *err)
{
    struct drainer *drainer = calloc(1, sizeof *drainer);

    if (!drainer || uv_loop_init(&drainer->loop) != 0)
        goto no_loop;
    drainer->stop.handle = on_stop;
    drainer->every_second = every_second;
    drainer->user = user;
    uv_timer_init(&drainer->loop, &drainer->second);
    drainer->second.data = drainer;
    uv_timer_start(&drainer->second, on_second, SECOND_MS, SECOND_MS);
    drainer->mailbox = mailbox_create(&drainer->loop, drainer);
    if (!drainer->mailbox || pthread_create(&drainer->thread, NULL, run, drainer) != 0)
        goto no_thread;
    return drainer;
no_thread:
    uv_close((uv_handle_t *)&drainer->second, NULL);
    mailbox_destroy(&drainer->mailbox);
    uv_run(&drainer->loop, UV_RUN_DEFAULT);
    uv_loop_close(&drainer->loop);
no_loop:
    free(drainer);
    error_set(err, ERR_SYSTEM, "no thread to close connections with");
    return NULL;
}

void drainer_stop(struct drainer **drainer)
{
    struct drainer *l = *drainer;
    int rc;

    *drainer = NULL;
    if (!l)
        return;
    mailbox_post(l->mailbox, &l->stop);
    pthread_join(l->thread, NULL);
    rc = uv_loop_close(&l->loop);
    assert(rc == 0);
    (void)rc;
    free(l);
}
