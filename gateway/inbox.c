/* gateway/inbox.c - the front door of the inbox: asked on any thread; the pool reads the store, and core says what it
 * knows better. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/config_values.h"
#include "gateway/core.h"
#include "gateway/receiving.h"

enum what { INBOX_LIST, INBOX_GET, INBOX_OPEN, INBOX_DELETE };

struct question {
    struct message message; /* first */
    uv_work_t work;
    struct gateway *gw;
    enum what what;
    char id[ID_SIZE], before[ID_SIZE], after[ID_SIZE];
    struct inbox_filter filter; /* its strings are ours */
    char *from, *to;
    char **globs;
    struct inbox_list list;
    struct inbox_item *item;
    struct download download;
    struct error error;
    union {
        gateway_inbox_list_fn *list;
        gateway_inbox_fn *item;
        gateway_inbox_open_fn *open;
    } done;
    void *user;
};

static void answer(struct question *q)
{
    bool ok = q->error.code == ERR_NONE;
    const struct error *err = ok ? NULL : &q->error;
    struct inbox_item *item = ok ? q->item : NULL;

    if (ok)
        q->item = NULL;
    if (q->what == INBOX_LIST)
        q->done.list(q->user, ok ? &q->list : NULL, err);
    else if (q->what == INBOX_OPEN)
        q->done.open(q->user, item, ok ? &q->download : NULL, err);
    else
        q->done.item(q->user, item, err);
    inbox_list_free(&q->list);
    inbox_item_free(&q->item);
    download_free(&q->download);
    value_list_free(q->globs);
    free(q->from);
    free(q->to);
    free(q);
}

/* ---- pool */

static bool open_content(struct question *q)
{
    struct download *d = &q->download;
    struct spool_file *file;

    if (q->item->state != INBOX_RECEIVED)
        return error_set(&q->error, ERR_STATE_CONFLICT, "the file is not all here: it is %s",
                         inbox_state_name(q->item->state));
    file = spool_reopen(q->gw->spool, q->id, &q->error);
    if (!file)
        return false;
    d->fd = dup(spool_fd(file));
    d->size = spool_size(file);
    spool_release(&file);
    d->type = strdup(q->item->type);
    if (d->fd < 0 || !d->type)
        return error_set(&q->error, ERR_INTERNAL, "out of descriptors or memory");
    memcpy(d->id, q->id, ID_SIZE);
    d->modified = q->item->finished;
    snprintf(d->tag, sizeof d->tag, "%.32s", q->item->sha256 ? q->item->sha256 : "");
    return true;
}

static void look(uv_work_t *work)
{
    struct question *q = work->data;

    if (q->what == INBOX_LIST) {
        store_items(q->gw->store, &q->filter, &q->list, &q->error);
        return;
    }
    q->item = store_item(q->gw->store, q->id, &q->error);
    if (q->item && q->what == INBOX_OPEN)
        open_content(q);
}

/* ---- core */

static void handle_dropped(void *owner, struct message *m)
{
    ((struct gateway *)owner)->pending--;
    answer((struct question *)m);
}

/* Writer's thread. */
static void on_dropped(void *user, const struct error *err)
{
    struct question *q = user;

    if (err)
        q->error = *err;
    q->message.handle = handle_dropped;
    mailbox_post(q->gw->mailbox, &q->message); /* open: gateway_stop() waits for all that is pending */
}

static void forget(struct question *q)
{
    struct gateway *gw = q->gw;

    gw->pending++;
    if (!receiving_revoke(gw->receiving, q->id)) {
        receiving_drop_kept(gw->receiving, q->id);
        core_remove_payload(gw, q->id);
    }
    store_drop_item(gw->store, q->id, on_dropped, q); /* behind what the revoked one still writes */
}

static void looked(uv_work_t *work, int status)
{
    struct question *q = work->data;

    (void)status;
    q->gw->pending--;
    for (size_t i = 0; i < q->list.count; i++)
        receiving_overlay(q->gw->receiving, q->list.items[i]);
    if (q->item)
        receiving_overlay(q->gw->receiving, q->item);
    if (q->what == INBOX_DELETE && q->error.code == ERR_NONE)
        forget(q);
    else
        answer(q);
}

static void handle(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct question *q = (struct question *)m;

    q->work.data = q;
    gw->pending++;
    uv_queue_work(&gw->loop, &q->work, look, looked);
}

static void refuse(struct message *m)
{
    struct question *q = (struct question *)m;

    error_set(&q->error, ERR_DRAINING, "the gateway is stopping");
    answer(q);
}

/* ---- any thread */

static struct question *question(struct gateway *gw, enum what what, const char *id, void *user)
{
    struct question *q = calloc(1, sizeof *q);

    if (!q)
        return NULL;
    q->gw = gw;
    q->what = what;
    q->user = user;
    q->download.fd = -1;
    q->message.handle = handle;
    q->message.discard = refuse;
    if (id)
        snprintf(q->id, sizeof q->id, "%s", id);
    return q;
}

static void ask(struct question *q)
{
    if (q->what != INBOX_LIST && !id_valid(q->id, "in")) {
        error_set(&q->error, ERR_NOT_FOUND, "there is no such file in the inbox");
        answer(q);
    } else if (!mailbox_post(q->gw->mailbox, &q->message)) {
        refuse(&q->message);
    }
}

static const struct error no_memory = {.code = ERR_INTERNAL, .text = "out of memory"};

static bool copy_id(const char **at, char out[static ID_SIZE], const char *id)
{
    if (!id)
        return true;
    *at = out;
    return (size_t)snprintf(out, ID_SIZE, "%s", id) < ID_SIZE;
}

static bool copy_globs(struct question *q, char *const *globs)
{
    size_t count = 0;

    while (globs && globs[count])
        count++;
    if (!globs)
        return true;
    q->globs = calloc(count + 1, sizeof *q->globs);
    for (size_t i = 0; q->globs && i < count; i++) {
        q->globs[i] = strdup(globs[i]);
        if (!q->globs[i])
            return false;
    }
    q->filter.allow_to = q->globs;
    return q->globs != NULL;
}

static bool copy_filter(struct question *q, const struct inbox_filter *f)
{
    q->filter = *f;
    q->filter.id = NULL;
    q->filter.allow_to = NULL;
    q->from = f->from ? strdup(f->from) : NULL;
    q->to = f->to ? strdup(f->to) : NULL;
    q->filter.from = q->from;
    q->filter.to = q->to;
    return (q->from || !f->from) && (q->to || !f->to) && copy_globs(q, f->allow_to) &&
           copy_id(&q->filter.before, q->before, f->before) && copy_id(&q->filter.after, q->after, f->after);
}

void gateway_inbox_list(struct gateway *gw, const struct inbox_filter *filter, gateway_inbox_list_fn *done, void *user)
{
    struct question *q = question(gw, INBOX_LIST, NULL, user);

    if (!q) {
        done(user, NULL, &no_memory);
        return;
    }
    q->done.list = done;
    if (copy_filter(q, filter)) {
        ask(q);
    } else {
        q->error = no_memory;
        answer(q);
    }
}

static void ask_item(struct gateway *gw, enum what what, const char *id, gateway_inbox_fn *done, void *user)
{
    struct question *q = question(gw, what, id, user);

    if (!q) {
        done(user, NULL, &no_memory);
        return;
    }
    q->done.item = done;
    ask(q);
}

void gateway_inbox_get(struct gateway *gw, const char *id, gateway_inbox_fn *done, void *user)
{
    ask_item(gw, INBOX_GET, id, done, user);
}

void gateway_inbox_open(struct gateway *gw, const char *id, gateway_inbox_open_fn *done, void *user)
{
    struct question *q = question(gw, INBOX_OPEN, id, user);

    if (!q) {
        done(user, NULL, NULL, &no_memory);
        return;
    }
    q->done.open = done;
    ask(q);
}

void gateway_inbox_delete(struct gateway *gw, const char *id, gateway_inbox_fn *done, void *user)
{
    ask_item(gw, INBOX_DELETE, id, done, user);
}
