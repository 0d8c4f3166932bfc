/* gateway/receiving_life.c - what an earlier run left, and what is over. */
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

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
            item->expires = now + r->retention;
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

/* ---- what hardly comes */

static bool is_stalled(struct reception *re, int64_t now, struct error *err)
{
    if (now - re->began >= RECEIVING_MOST_MS)
        return !error_set(err, ERR_STALLED, "it was not all here after %d hours", RECEIVING_MOST_MS / 3600000);
    if (now - re->paced_at < RECEIVING_PACE_MS)
        return false;
    if (re->moved < re->most && re->moved - re->paced < RECEIVING_PACE)
        return !error_set(err, ERR_STALLED, "less than %d bytes came in %d minutes", RECEIVING_PACE,
                          RECEIVING_PACE_MS / 60000);
    re->paced_at = now;
    re->paced = re->moved;
    return false;
}

void receiving_pace(struct receiving *r)
{
    struct reception *re, *next;
    int64_t now = clock_ms();
    struct error why;

    DL_FOREACH_SAFE(r->all, re, next)
    if (re->shared && !re->busy && !re->closed && is_stalled(re, now, &why))
        reception_take_away(re, &why);
}

void receiving_take(struct receiving *r, struct inbox_rule_list *rules, int64_t retention)
{
    r->retention = retention;
    if (r->closed && inbox_rules_receive(rules, NULL))
        log_warn("config.needs_restart", log_str("key", "inbox"),
                 log_str("why", "nobody might send us files at the start, so that nothing of it is announced"));
    else if (!inbox_rules_equal(&r->rules, rules))
        log_info("inbox.rules", log_int("sections", (int64_t)rules->count - 1));
    inbox_rules_free(&r->rules);
    r->rules = *rules;
    *rules = (struct inbox_rule_list){0};
}

size_t receiving_count(struct receiving *r)
{
    return atomic_load(&r->count);
}

struct new_rules {
    struct message message;
    struct inbox_rule_list rules;
    int64_t retention;
};

static void drop_rules(struct message *m)
{
    inbox_rules_free(&((struct new_rules *)m)->rules);
    free(m);
}

static void handle_rules(void *owner, struct message *m)
{
    struct gateway *gw = owner;
    struct new_rules *n = (struct new_rules *)m;

    receiving_take(gw->receiving, &n->rules, n->retention);
    drop_rules(m);
}

void gateway_take_inbox(struct gateway *gw, const struct inbox_rule_list *rules, int64_t retention)
{
    struct new_rules *n = calloc(1, sizeof *n);

    if (!n || !inbox_rules_copy(&n->rules, rules)) {
        log_error("config.not_applied", log_str("keys", "inbox"), log_str("why", "out of memory"));
        free(n);
        return;
    }
    n->retention = retention;
    n->message.handle = handle_rules;
    n->message.discard = drop_rules;
    if (!mailbox_post(gw->mailbox, &n->message))
        drop_rules(&n->message);
}
