/* gateway/receiving_life.c - what an earlier run left, and what is over. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/receiving_parts.h"

enum { EXPIRE_EVERY_MS = 60 * 1000, EXPIRE_MOST = 500 };

/* Of what broke off nothing is kept over a restart: the spool is swept of it. */
bool receiving_recover(struct receiving *r, struct error *err)
{
    const struct inbox_filter filter = {.states = 1u << INBOX_RECEIVING | 1u << INBOX_FAILED};
    struct inbox_list list = {0};
    int64_t now = clock_wall_ms();

    if (!store_items(r->gw->store, &filter, &list, err))
        return false;
    for (size_t i = 0; i < list.count; i++) {
        struct inbox_item *item = list.items[i];

        if (item->state == INBOX_FAILED && !item->kept)
            continue;
        if (item->state == INBOX_RECEIVING) {
            item->state = INBOX_FAILED;
            item->finished = now;
            item->expires = now + r->gw->config->inbox.retention;
            item->error_code = ERR_STREAM_BROKEN;
            record_text(&item->error_text, "the gateway stopped in the middle");
        }
        item->kept = false;
        item->updated = now;
        store_put_item(r->gw->store, item, NULL, NULL, NULL);
        list.items[i] = NULL;
    }
    inbox_list_free(&list);
    return true;
}

bool receiving_claims(struct receiving *r, const char *id)
{
    struct inbox_item *item;
    struct error err = {0};
    bool claimed;

    if (!id_valid(id, "in"))
        return false;
    item = store_item(r->gw->store, id, &err);
    /* While the store cannot be read nothing is thrown away. */
    claimed = item ? item->state == INBOX_RECEIVED : err.code != ERR_NOT_FOUND;
    inbox_item_free(&item);
    return claimed;
}

struct expiry {
    uv_work_t work;
    struct receiving *home;
    struct inbox_list list;
};

static void find_expired(uv_work_t *work)
{
    struct expiry *x = work->data;
    const struct inbox_filter filter = {.over = clock_wall_ms(), .limit = EXPIRE_MOST};
    struct error err;

    if (!store_items(x->home->gw->store, &filter, &x->list, &err))
        log_warn("inbox.expire", log_str("error", err.text));
    for (size_t i = 0; i < x->list.count; i++)
        spool_remove(x->home->gw->spool, x->list.items[i]->id);
}

static void expired(uv_work_t *work, int status)
{
    struct expiry *x = work->data;
    struct receiving *r = x->home;

    (void)status;
    r->gw->pending--;
    r->expiring = false;
    for (size_t i = 0; i < x->list.count; i++) {
        receiving_drop_kept(r, x->list.items[i]->id);
        store_drop_item(r->gw->store, x->list.items[i]->id, NULL, NULL);
    }
    if (x->list.more)
        r->expired_at = 0;
    inbox_list_free(&x->list);
    free(x);
}

void receiving_expire(struct receiving *r)
{
    int64_t now = clock_ms();
    struct expiry *x;

    if (r->expiring || (r->expired_at && now - r->expired_at < EXPIRE_EVERY_MS))
        return;
    x = calloc(1, sizeof *x);
    if (!x)
        return;
    r->expired_at = now;
    r->expiring = true;
    x->home = r;
    x->work.data = x;
    r->gw->pending++;
    uv_queue_work(&r->gw->loop, &x->work, find_expired, expired);
}
