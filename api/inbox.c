/* api/inbox.c - GET /v1/inbox, GET and DELETE /v1/inbox/{id}, GET /v1/inbox/{id}/content: files that were sent to us.
 *
 * Who waits for the next file has a place in the journal of events, and asks for the list again whenever that calls:
 * so nothing is missed between the two. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "api/handlers.h"
#include "api/inbox_wait.h"
#include "api/json.h"
#include "api/list.h"
#include "api/reply.h"
#include "api/routes.h"
#include "base/clock.h"
#include "base/id.h"

enum { SHA256 = 32, ETAG = 80 };

struct inbox_wait {
    struct inbox_filter filter; /* of the list; its strings are these, or the request's */
    char from[JID_MAX + 1], to[JID_MAX + 1];

    struct event_filter news; /* what may change the list */
    struct event_waiter waiter;
    uint64_t after;      /* the list was asked for behind that event */
    int64_t until;       /* monotonic; when to answer that there is nothing */
    atomic_bool armed;   /* the journal has the waiter, or is about to wake it */
    atomic_bool waiting; /* for news, and for nothing else */
};

void inbox_wait_free(struct inbox_wait **wait)
{
    free(*wait);
    *wait = NULL;
}

/* ---- what is asked for */

static bool read_address(const char *name, const char *value, char bare[static JID_MAX + 1], struct error *err)
{
    struct jid jid;

    if (strchr(value, '\n'))
        return error_set(err, ERR_PARAMETER_INVALID, "'%s' is given twice", name);
    if (!jid_parse(&jid, value, strlen(value), err))
        return false;
    jid_bare(&jid, bare);
    return true;
}

static bool read_state(const struct request *rq, struct inbox_filter *f, struct error *err)
{
    const char *name = rq->params.value[PARAM_STATE];
    enum inbox_state state = INBOX_RECEIVED;

    if (name && !inbox_state_parse(name, &state))
        return error_set(err, ERR_PARAMETER_INVALID, "state: there is no '%s'; receiving, received or failed", name);
    if (state != INBOX_RECEIVED && rq->wait_ms > 0)
        return error_set(err, ERR_PARAMETER_INVALID, "wait: for files that are there alone; leave 'state' out");
    f->states = 1u << state;
    return true;
}

static bool read_filter(const struct request *rq, struct inbox_wait *w, struct error *err)
{
    char *const *value = rq->params.value;
    struct inbox_filter *f = &w->filter;
    struct list_window window;

    if (!list_window_read(rq, "in", &window, err) || !read_state(rq, f, err))
        return false;
    f->before = window.before;
    f->since = window.since;
    f->limit = window.limit;
    f->after = value[PARAM_AFTER];
    if (f->after && !id_valid(f->after, "in"))
        return error_set(err, ERR_PARAMETER_INVALID, "after: the id of a file in the inbox");
    if ((value[PARAM_FROM] && !read_address("from", value[PARAM_FROM], w->from, err)) ||
        (value[PARAM_TO] && !read_address("to", value[PARAM_TO], w->to, err)))
        return false;
    f->from = value[PARAM_FROM] ? w->from : NULL;
    f->to = value[PARAM_TO] ? w->to : NULL;
    f->allow_to = rq->token && rq->token->inbox_of && rq->token->inbox_of[0] ? rq->token->inbox_of : NULL;
    w->news = (struct event_filter){.types = EVENT_BIT(EVENT_INBOX_RECEIVED), .to = f->to, .inbox_of = f->allow_to};
    return true;
}

bool api_inbox_list_begin(struct request *rq, struct error *err)
{
    struct inbox_wait *w = calloc(1, sizeof *w);

    rq->inbox = w;
    if (!w)
        return error_set(err, ERR_INTERNAL, "out of memory");
    w->waiter.filter = &w->news;
    if (!api_wait_begin(rq, err) || !read_filter(rq, w, err))
        return false;
    w->until = clock_ms() + rq->wait_ms;
    return true;
}

/* ---- the list, and waiting for it to have something in it */

/* Core's thread. */
static void on_news(void *user)
{
    struct request *rq = user;

    atomic_store(&rq->inbox->armed, false);
    if (request_claim(rq, true))
        request_resume(rq);
    request_release(rq);
}

void api_inbox_drop(struct request *rq)
{
    struct inbox_wait *w = rq->inbox;

    if (!w || !atomic_load(&w->armed) || !events_withdraw(gateway_events(rq->gw), &w->waiter))
        return; /* else it is about to be woken, and lets go itself */
    atomic_store(&w->armed, false);
    request_release(rq);
}

static enum MHD_Result news_came(struct request *rq)
{
    atomic_store(&rq->inbox->waiting, false);
    api_inbox_drop(rq);
    if (rq->got.error.code != ERR_NONE)
        return reply_problem(rq, &rq->got.error, STAGE_REQUEST, NULL);
    return api_inbox_list(rq);
}

/* What woke it last may still be on its way: then that comes, and brings its own reference. */
static enum MHD_Result await_news(struct request *rq)
{
    struct inbox_wait *w = rq->inbox;

    atomic_store(&w->waiting, true);
    request_wait(rq, WAIT_ANSWER, news_came);
    if (atomic_exchange(&w->armed, true)) {
        request_release(rq);
        return MHD_YES;
    }
    w->waiter.wake = on_news;
    w->waiter.user = rq;
    if (!events_wait(gateway_events(rq->gw), &w->waiter, w->after))
        on_news(rq);
    return MHD_YES;
}

bool inbox_wait_is_over(const struct request *rq, int64_t now)
{
    return rq->inbox && atomic_load(&rq->inbox->waiting) && now >= rq->inbox->until;
}

static enum MHD_Result listed(struct request *rq)
{
    struct inbox_list *list = &rq->got.items;
    struct list_page page = {0};
    char last[ID_SIZE] = "";

    if (rq->got.error.code != ERR_NONE)
        return reply_problem(rq, &rq->got.error, STAGE_REQUEST, NULL);
    if (list->count == 0 && !rq->hung_up && clock_ms() < rq->inbox->until)
        return await_news(rq);
    for (size_t i = 0; i < list->count; i++) {
        list_add(&page, json_of_inbox_item(list->items[i]));
        memcpy(last, list->items[i]->id, sizeof last);
        inbox_item_free(&list->items[i]);
    }
    if (rq->prefer.wait)
        reply_header(rq, "Preference-Applied", "wait=%" PRId64, rq->wait_ms / 1000);
    return list_reply(rq, &page, "/v1/inbox", list->more && *last ? last : NULL);
}

enum MHD_Result api_inbox_list(struct request *rq)
{
    struct inbox_wait *w = rq->inbox;

    w->after = events_newest(gateway_events(rq->gw));
    inbox_list_free(&rq->got.items);
    request_wait(rq, WAIT_ANSWER, listed);
    gateway_inbox_list(rq->gw, &w->filter, request_got_items, rq);
    return MHD_YES;
}

/* ---- one of them */

bool api_inbox_begin(struct request *rq, struct error *err)
{
    return id_valid(rq->target.segment[2], "in") ||
           error_set(err, ERR_NOT_FOUND, "no file in the inbox has such an id");
}

/* One that was sent to an address whose files the caller does not see is not there. */
static enum MHD_Result reply_unseen(struct request *rq)
{
    struct error err;

    error_set(&err, ERR_NOT_FOUND, "there is no file %s in the inbox", rq->target.segment[2]);
    return reply_problem(rq, &err, STAGE_REQUEST, NULL);
}

/* Whether the answer is there, and for the caller; else *out is what to say instead. */
static bool is_seen(struct request *rq, enum MHD_Result *out)
{
    const struct inbox_item *item = rq->got.item;

    if (item && token_sees_inbox(rq->token, item->to))
        return true;
    *out = !item && rq->got.error.code != ERR_NOT_FOUND ? reply_problem(rq, &rq->got.error, STAGE_REQUEST, NULL)
                                                        : reply_unseen(rq);
    return false;
}

static enum MHD_Result got_item(struct request *rq)
{
    const struct inbox_item *item = rq->got.item;
    const char *known = request_header(rq, "If-None-Match");
    enum MHD_Result instead;
    char etag[ETAG];

    if (!is_seen(rq, &instead))
        return instead;
    snprintf(etag, sizeof etag, "\"%" PRIx64 "-%s-%" PRIx64 "\"", (uint64_t)item->updated,
             inbox_state_name(item->state), item->received);
    reply_header(rq, "ETag", "%s", etag);
    if (known && etag_listed(known, etag))
        return reply_text(rq, 304, NULL, NULL);
    return reply_json(rq, 200, json_of_inbox_item(item));
}

enum MHD_Result api_inbox_get(struct request *rq)
{
    request_wait(rq, WAIT_ANSWER, got_item);
    gateway_inbox_get(rq->gw, rq->target.segment[2], request_got_item, rq);
    return MHD_YES;
}

/* Of the whole file, also beside a part of it (RFC 9530 section 3). */
static void add_digest(struct request *rq, const char *hex)
{
    unsigned char digest[SHA256], text[4 * ((SHA256 + 2) / 3) + 1];
    size_t len;

    if (OPENSSL_hexstr2buf_ex(digest, sizeof digest, &len, hex, '\0') != 1 || len != sizeof digest)
        return;
    EVP_EncodeBlock(text, digest, sizeof digest);
    reply_header(rq, "Repr-Digest", "sha-256=:%s:", (const char *)text);
}

static enum MHD_Result got_content(struct request *rq)
{
    const struct inbox_item *item = rq->got.item;
    enum MHD_Result instead;

    if (!is_seen(rq, &instead))
        return instead;
    if (item->sha256)
        add_digest(rq, item->sha256);
    return reply_download(rq, item->name, item->sha256 ? item->sha256 : rq->got.download.tag);
}

/* Whose file is not all there says so to those alone who may see it. */
static enum MHD_Result content_looked(struct request *rq)
{
    enum MHD_Result instead;

    if (!is_seen(rq, &instead))
        return instead;
    inbox_item_free(&rq->got.item);
    request_wait(rq, WAIT_ANSWER, got_content);
    gateway_inbox_open(rq->gw, rq->target.segment[2], request_got_content, rq);
    return MHD_YES;
}

enum MHD_Result api_inbox_content(struct request *rq)
{
    request_wait(rq, WAIT_ANSWER, content_looked);
    gateway_inbox_get(rq->gw, rq->target.segment[2], request_got_item, rq);
    return MHD_YES;
}

static enum MHD_Result deleted(struct request *rq)
{
    enum MHD_Result instead;

    return is_seen(rq, &instead) ? reply_json(rq, 200, json_of_inbox_item(rq->got.item)) : instead;
}

static enum MHD_Result delete_looked(struct request *rq)
{
    enum MHD_Result instead;

    if (!is_seen(rq, &instead))
        return instead;
    inbox_item_free(&rq->got.item);
    request_wait(rq, WAIT_COMMIT, deleted);
    gateway_inbox_delete(rq->gw, rq->target.segment[2], request_got_item, rq);
    return MHD_YES;
}

enum MHD_Result api_inbox_delete(struct request *rq)
{
    request_wait(rq, WAIT_ANSWER, delete_looked);
    gateway_inbox_get(rq->gw, rq->target.segment[2], request_got_item, rq);
    return MHD_YES;
}
