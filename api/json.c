#include "api/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/problem.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/labels.h"
#include "base/text.h"
#include "base/trace.h"

json_t *json_of_text(const char *text)
{
    size_t max;
    char *clean;
    json_t *out;

    if (!text || !*text)
        return json_null();
    if (text_is_xml(text, strlen(text))) /* which it was when it was taken in, so nearly always */
        return json_stringn_nocheck(text, strlen(text));
    max = strlen(text) * 3 + 1; /* each bad byte becomes the three of U+FFFD */
    clean = malloc(max);
    if (!clean)
        return NULL;
    text_clean(text, clean, max);
    out = json_string(clean);
    free(clean);
    return out;
}

json_t *json_of_time(int64_t wall_ms)
{
    char text[CLOCK_TEXT];

    return wall_ms ? json_string(clock_text(wall_ms, text)) : json_null();
}

static json_t *of_count(uint64_t n)
{
    return json_integer((json_int_t)n);
}

/* json_pack() checks each value it is given with 'o' for NULL, frees the others and returns NULL: one check a call. */

static json_t *of_file(const struct record *r)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "name", json_of_text(r->name), "size", of_count(r->size), "type",
                     json_of_text(r->type), "sha256", json_of_text(r->sha256));
}

static json_t *of_upload(const struct record *r)
{
    return json_pack("{s:s, s:o}", "state", upload_state_name(r->upload), "received", of_count(r->received));
}

/* Where a link leads, without what would make it one: its URL is for the recipient. */
static json_t *of_link(const struct record *r)
{
    if (r->state != TRANSFER_LINK_SENT && r->state != TRANSFER_LINK_FETCHED)
        return json_null();
    return json_pack("{s:o, s:b, s:o, s:o}", "at", json_of_text(r->link_at), "own", r->link_digest != NULL, "expires",
                     json_of_time(r->link_expires), "fetched", json_of_time(r->link_fetched));
}

static bool tried_before(const struct record *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(r->attempts[i].method, r->attempts[n].method) == 0)
            return true;
    return false;
}

/* The methods that failed, each once, in the order they were tried. */
static json_t *of_tried(const struct record *r)
{
    json_t *out = json_array();

    for (size_t i = 0; out && i < r->attempt_count; i++) {
        const struct attempt *a = &r->attempts[i];

        if (!*a->method || a->error.code == ERR_NONE || tried_before(r, i))
            continue;
        if (json_array_append_new(out, json_of_text(a->method)) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static json_t *of_method(const struct record *r)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "name", json_of_text(r->method), "path", json_of_text(r->path),
                     "streamhost", json_of_text(r->streamhost), "tried", of_tried(r));
}

static json_t *of_step(const struct step *s)
{
    return json_pack("{s:o, s:s, s:o, s:o, s:o}", "at", json_of_time(s->at), "direction",
                     step_direction_name(s->direction), "step", json_of_text(s->name), "outcome",
                     json_of_text(s->outcome), "detail", json_of_text(s->detail));
}

static json_t *of_timeline(const struct record *r)
{
    json_t *out = json_array();

    for (size_t i = 0; out && i < r->step_count; i++) {
        if (json_array_append_new(out, of_step(&r->steps[i])) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static json_t *of_attempt(const struct attempt *a, size_t n)
{
    bool failed = a->error.code != ERR_NONE;

    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "n", of_count(n), "round", of_count(a->round),
                     "method", json_of_text(a->method), "to", json_of_text(a->to), "started", json_of_time(a->started),
                     "ended", json_of_time(a->ended), "stage", json_of_text(a->ended ? stage_name(a->stage) : NULL),
                     "code", json_of_text(failed ? error_name(a->error.code) : NULL), "detail",
                     json_of_text(failed ? a->error.text : NULL));
}

static json_t *of_attempts(const struct record *r)
{
    json_t *out = json_array();

    for (size_t i = 0; out && i < r->attempt_count; i++) {
        if (json_array_append_new(out, of_attempt(&r->attempts[i], i + 1)) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static json_t *of_error(const struct record *r)
{
    struct problem p = problem_of(r->error_code);

    if (r->error_code == ERR_NONE)
        return json_null();
    return json_pack("{s:s, s:s, s:s, s:o, s:b, s:s}", "code", error_name(r->error_code), "stage",
                     stage_name(r->error_stage), "title", p.title, "detail", json_of_text(r->error_text), "retryable",
                     (int)p.retryable, "hint", p.hint);
}

static json_t *of_links(const struct record *r)
{
    char self[64], events[80];

    snprintf(self, sizeof self, "/v1/transfers/%s", r->id);
    snprintf(events, sizeof events, "%s/events", self);
    return json_pack("{s:s, s:s, s:s}", "self", self, "events", events, "cancel", self);
}

static json_t *of_labels(const struct record *r)
{
    json_t *out = json_object();
    const char *at = r->labels;
    struct label l;

    while (out && labels_next(&at, &l)) {
        char name[LABEL_NAME_MOST + 1];

        snprintf(name, sizeof name, "%.*s", (int)l.name_len, l.name);
        if (json_object_set_new(out, name, json_stringn(l.value, l.value_len)) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static bool add_parts(json_t *out, const struct record *r)
{
    char trace[TRACE_ID];

    return json_object_set_new(out, "file", of_file(r)) == 0 && json_object_set_new(out, "upload", of_upload(r)) == 0 &&
           json_object_set_new(out, "caption", json_of_text(r->caption)) == 0 &&
           json_object_set_new(out, "labels", of_labels(r)) == 0 &&
           json_object_set_new(out, "batch", json_of_text(r->batch)) == 0 &&
           json_object_set_new(out, "mode", json_string(mode_name(r->mode))) == 0 &&
           json_object_set_new(out, "progress", json_pack("{s:o}", "sent", of_count(r->sent))) == 0 &&
           json_object_set_new(out, "method", of_method(r)) == 0 && json_object_set_new(out, "link", of_link(r)) == 0 &&
           json_object_set_new(out, "delivery_proof", json_of_text(proof_name(r->proof))) == 0 &&
           json_object_set_new(out, "attempts", of_attempts(r)) == 0 &&
           json_object_set_new(out, "attempt", of_count(r->round)) == 0 &&
           json_object_set_new(out, "max_attempts", of_count(r->max_rounds)) == 0 &&
           json_object_set_new(out, "next_attempt_at", json_of_time(r->next_attempt_at)) == 0 &&
           json_object_set_new(out, "hold_until", json_of_time(r->hold_until)) == 0 &&
           json_object_set_new(out, "error", of_error(r)) == 0 &&
           json_object_set_new(out, "timeline", of_timeline(r)) == 0 &&
           json_object_set_new(out, "created", json_of_time(r->created)) == 0 &&
           json_object_set_new(out, "updated", json_of_time(r->updated)) == 0 &&
           json_object_set_new(out, "finished", json_of_time(r->finished)) == 0 &&
           json_object_set_new(out, "expires", json_of_time(r->expires)) == 0 &&
           json_object_set_new(out, "token", json_of_text(r->token)) == 0 &&
           json_object_set_new(out, "request_id", json_of_text(r->request_id)) == 0 &&
           json_object_set_new(out, "traceparent", json_of_text(r->traceparent)) == 0 &&
           json_object_set_new(out, "trace_id", json_of_text(trace_id(r->traceparent, trace))) == 0 &&
           json_object_set_new(out, "links", of_links(r)) == 0;
}

json_t *json_of_transfer(const struct record *r)
{
    json_t *out = json_pack("{s:s, s:s, s:s, s:b, s:o, s:o, s:o}", "id", r->id, "object", "transfer", "state",
                            transfer_state_name(r->state), "final", (int)transfer_state_final(r->state), "to",
                            json_of_text(r->to), "resource", json_of_text(r->resource), "from", json_of_text(r->from));

    if (out && !add_parts(out, r)) {
        json_decref(out);
        return NULL;
    }
    return out;
}

/* ---- a file that was sent to us, in the words that transfers have */

/* What the problem itself says is for whoever sent the file: he does not read this. */
static const char *item_hint(enum error_code code)
{
    bool ours = code == ERR_SPOOL_FULL || code == ERR_STORE_UNAVAILABLE || code == ERR_INTERNAL;

    return ours ? problem_of(code).hint : "Ask the sender to send it again.";
}

static json_t *of_item_error(const struct inbox_item *item)
{
    struct problem p = problem_of(item->error_code);

    if (item->error_code == ERR_NONE)
        return json_null();
    return json_pack("{s:s, s:s, s:o, s:b, s:s}", "code", error_name(item->error_code), "title", p.title, "detail",
                     json_of_text(item->error_text), "retryable", (int)p.retryable, "hint",
                     item_hint(item->error_code));
}

static json_t *of_item_file(const struct inbox_item *item)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "name", json_of_text(item->name), "size",
                     item->size < 0 ? json_null() : json_integer(item->size), "type", json_of_text(item->type),
                     "sha256", json_of_text(item->sha256));
}

static json_t *of_item_links(const struct inbox_item *item)
{
    char self[64], content[80];

    snprintf(self, sizeof self, "/v1/inbox/%s", item->id);
    snprintf(content, sizeof content, "%s/content", self);
    return json_pack("{s:s, s:o}", "self", self, "content",
                     item->state == INBOX_RECEIVED ? json_string(content) : json_null());
}

json_t *json_of_inbox_item(const struct inbox_item *item)
{
    bool received = item->state == INBOX_RECEIVED;

    return json_pack(
        "{s:s, s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:{s:o, s:o, s:o}, s:b, s:{s:o}, s:o, s:o, s:o, s:o, s:o,"
        " s:o}",
        "id", item->id, "object", "inbox_item", "state", inbox_state_name(item->state), "final",
        (int)(item->state != INBOX_RECEIVING), "from", json_of_text(item->from), "to", json_of_text(item->to), "file",
        of_item_file(item), "caption", json_of_text(item->caption), "method", "name", json_of_text(item->method),
        "path", json_of_text(item->path), "streamhost", json_of_text(item->streamhost), "hash_confirmed",
        (int)item->hash_confirmed, "progress", "received", of_count(item->received), "created",
        json_of_time(item->created), "updated", json_of_time(item->updated), "received",
        json_of_time(received ? item->finished : 0), "expires", json_of_time(item->expires), "error",
        of_item_error(item), "links", of_item_links(item));
}

/* What it is about, when that is no transfer. */
static json_t *of_subject(const struct event *e)
{
    if (e->item)
        return json_pack("{s:o}", "item", json_of_inbox_item(e->item));
    if (e->type == EVENT_XMPP_CONNECTED || e->type == EVENT_XMPP_DISCONNECTED)
        return json_pack("{s:{s:o, s:b, s:o}}", "xmpp", "jid", json_of_text(e->subject), "online",
                         (int)(e->type == EVENT_XMPP_CONNECTED), "advice", json_of_text(e->detail));
    if (e->type == EVENT_BATCH_COMPLETED)
        return json_pack("{s:{s:o}}", "batch", "id", json_of_text(e->subject));
    if (e->type == EVENT_WEBHOOK_DISABLED)
        return json_pack("{s:{s:o, s:o}}", "webhook", "name", json_of_text(e->subject), "detail",
                         json_of_text(e->detail));
    return json_object();
}

json_t *json_of_event(const char *type, int64_t wall_ms, const struct record *transfer, const struct event *e)
{
    json_t *data = transfer ? json_pack("{s:o}", "transfer", json_of_transfer(transfer))
                   : e      ? of_subject(e)
                            : json_object();

    return json_pack("{s:s, s:o, s:o}", "type", type, "timestamp", json_of_time(wall_ms), "data", data);
}

static json_t *of_names(const char *const *names, size_t max)
{
    json_t *out = json_array();

    for (size_t i = 0; out && i < max && names && names[i]; i++) {
        if (json_array_append_new(out, json_of_text(names[i])) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static json_t *of_resource(const struct candidate_resource *c)
{
    size_t most = sizeof c->methods / sizeof *c->methods;

    return json_pack("{s:o, s:i, s:o, s:b, s:o, s:o}", "jid", json_of_text(c->jid.text), "priority", c->priority,
                     "show", json_of_text(c->show), "answered", (int)c->answered, "methods", of_names(c->methods, most),
                     "features", of_names((const char *const *)c->features, SIZE_MAX));
}

/* Best first, so the first resource's methods are those a transfer would try. */
static json_t *of_best_methods(const struct recipient *r)
{
    if (r->count == 0)
        return json_array();
    return of_names(r->resources[0].methods, sizeof r->resources[0].methods / sizeof *r->resources[0].methods);
}

static json_t *of_reason(enum error_code code, const char *text)
{
    return json_pack("{s:s, s:o, s:s}", "code", error_name(code), "detail", json_of_text(text), "hint",
                     problem_of(code).hint);
}

static json_t *of_rung(const struct gateway_rung *rung)
{
    json_t *possible = rung->possible == METHOD_MAYBE ? json_null() : json_boolean(rung->possible == METHOD_CAN);

    return json_pack("{s:s, s:o, s:o, s:o}", "method", rung->method, "to", json_of_text(rung->to.text), "possible",
                     possible, "why", json_of_text(rung->why));
}

static json_t *of_ladder(const struct gateway_ladder *ladder)
{
    json_t *out = json_array();

    for (size_t i = 0; out && ladder && i < ladder->count; i++) {
        if (json_array_append_new(out, of_rung(&ladder->rungs[i])) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

/* The proxies that may help: those that failed last are asked again, but promise nothing. */
static json_t *of_paths(bool direct, const struct network_view *network)
{
    json_t *proxies = json_array();

    for (size_t i = 0; proxies && i < network->proxy_count; i++) {
        const struct proxy_view *p = &network->proxies[i];

        if (*p->result && strcmp(p->result, "ok") != 0)
            continue;
        if (json_array_append_new(proxies, json_of_text(p->jid)) != 0) {
            json_decref(proxies);
            return NULL;
        }
    }
    return json_pack("{s:b, s:o}", "direct", (int)direct, "proxies", proxies);
}

json_t *json_of_recipient(const struct recipient *r, const struct gateway_ladder *ladder,
                          const struct gateway_view *view)
{
    bool reachable = r->count > 0 && r->resources[0].methods[0];
    json_t *resources = json_array();

    for (size_t i = 0; resources && i < r->count; i++) {
        if (json_array_append_new(resources, of_resource(&r->resources[i])) != 0) {
            json_decref(resources);
            return NULL;
        }
    }
    return json_pack(
        "{s:o, s:b, s:b, s:o, s:o, s:o, s:o, s:o}", "jid", json_of_text(r->asked.text), "subscribed",
        (int)r->subscribed, "reachable", (int)reachable, "resources", resources, "methods", of_best_methods(r),
        "ladder", of_ladder(ladder), "paths", of_paths(r->direct && view->direct.host[0], &view->network), "error",
        reachable ? json_null() : of_reason(ERR_NO_COMMON_METHOD, "online, but announces no way of receiving files"));
}

json_t *json_of_unreachable(const struct jid *asked, const struct gateway_ladder *ladder, const struct error *why)
{
    return json_pack("{s:o, s:n, s:b, s:[], s:[], s:o, s:n, s:o}", "jid", json_of_text(asked->text), "subscribed",
                     "reachable", 0, "resources", "methods", "ladder", of_ladder(ladder), "paths", "error",
                     of_reason(why->code, why->text));
}

static json_t *of_proxy(const struct proxy_view *p)
{
    return json_pack("{s:o, s:o, s:o, s:b, s:o, s:o}", "jid", json_of_text(p->jid), "host", json_of_text(p->host),
                     "port", p->port ? json_integer(p->port) : json_null(), "configured", (int)p->configured, "result",
                     json_of_text(p->result), "asked", json_of_time(p->asked));
}

json_t *json_of_network(const struct network_view *view)
{
    json_t *proxies = json_array();

    for (size_t i = 0; proxies && i < view->proxy_count; i++) {
        if (json_array_append_new(proxies, of_proxy(&view->proxies[i])) != 0) {
            json_decref(proxies);
            return NULL;
        }
    }
    return json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o}", "jid", json_of_text(view->jid), "state",
                     network_state_name(view->state), "since", json_of_time(view->since), "advice",
                     json_of_text(view->advice), "next_connect", json_of_time(view->next_connect), "reconnects",
                     of_count(view->reconnects), "proxies", proxies);
}

static int add_text(const char *text, size_t len, void *user)
{
    return buf_add(user, text, len) ? 0 : -1;
}

/* The library itself does not look whether a key could be written; the buffer remembers. */
char *json_line(json_t *value)
{
    struct buf line = {0};

    if (!value || json_dump_callback(value, add_text, &line, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
        line.failed = true;
    json_decref(value);
    buf_puts(&line, "\n");
    return buf_steal(&line);
}

/* ---- a batch, one record after the other, as a list is */

static json_t *of_totals(const struct record_list *list)
{
    json_int_t totals[TRANSFER_STATE_COUNT] = {0};
    json_t *out = json_pack("{s:o}", "all", of_count(list->count));

    for (size_t i = 0; i < list->count; i++)
        totals[list->items[i]->state]++;
    for (size_t i = 0; out && i < TRANSFER_STATE_COUNT; i++) {
        if (json_object_set_new(out, transfer_state_name((enum transfer_state)i), json_integer(totals[i])) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static json_t *of_batch_head(const char *id, const struct record_list *list)
{
    int64_t updated = 0, finished = 0;
    bool final = true;
    char self[64];

    for (size_t i = 0; i < list->count; i++) {
        const struct record *r = list->items[i];

        final &= transfer_state_final(r->state);
        updated = r->updated > updated ? r->updated : updated;
        finished = r->finished > finished ? r->finished : finished;
    }
    snprintf(self, sizeof self, "/v1/batches/%s", id);
    return json_pack("{s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:{s:s}}", "id", id, "object", "batch", "final", (int) final,
                     "totals", of_totals(list), "created", json_of_time(list->items[0]->created), "updated",
                     json_of_time(updated), "finished", json_of_time(final ? finished : 0), "links", "self", self);
}

/* Without its line feed, and so much of its end. */
static void add_json(struct buf *out, json_t *value, size_t less)
{
    char *line = json_line(value);

    if (line)
        buf_add(out, line, strlen(line) - 1 - less);
    else
        out->failed = true;
    free(line);
}

char *json_line_of_batch(const char *id, const struct record_list *list)
{
    struct buf line = {0};

    add_json(&line, of_batch_head(id, list), 1); /* its '}' */
    buf_puts(&line, ",\"transfers\":[");
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0)
            buf_puts(&line, ",");
        add_json(&line, json_of_transfer(list->items[i]), 0);
    }
    buf_puts(&line, "]}\n");
    return buf_steal(&line);
}
