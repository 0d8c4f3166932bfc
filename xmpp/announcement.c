#include "xmpp/announcement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xmpp/file_hash.h"
#include "xmpp/messages.h"
#include "xmpp/ns.h"
#include "xmpp/rooms.h"
#include "xmpp/stanza.h"

struct announcing {
    struct client *client;
    struct method_host *host;
    const struct announcement *what;
    announced_fn *done;
    void *user;
    uint64_t asking; /* whether it is a room */
    bool in_room;
    uint64_t message; /* on its way */
};

/* ---- the messages */

static xmpp_stanza_t *text_element(xmpp_ctx_t *ctx, const char *name, const char *ns, const char *text)
{
    return stanza_add_text(ctx, stanza_new(ctx, name, ns), text);
}

static xmpp_stanza_t *message(xmpp_ctx_t *ctx, const char *body)
{
    xmpp_stanza_t *s = stanza_set(stanza_new(ctx, "message", NULL), "type", "chat");

    return stanza_add(s, text_element(ctx, "body", NULL, body));
}

/* XEP-0446: what the file is, before anybody fetches it. */
static xmpp_stanza_t *file_element(const struct announcement *a, xmpp_ctx_t *ctx)
{
    xmpp_stanza_t *file = stanza_new(ctx, "file", NS_FILE);
    char size[24];

    snprintf(size, sizeof size, "%llu", (unsigned long long)a->size);
    if (a->type)
        file = stanza_add(file, text_element(ctx, "media-type", NULL, a->type));
    file = stanza_add(file, text_element(ctx, "name", NULL, a->name));
    file = stanza_add(file, text_element(ctx, "size", NULL, size));
    if (a->sha256)
        file = stanza_add(file, file_hash(ctx, NS_HASHES, a->sha256));
    return file;
}

/* XEP-0447; the body and XEP-0066 say the same to clients that do not know it, which want the two to be equal. */
static xmpp_stanza_t *link_message(const struct announcement *a, xmpp_ctx_t *ctx)
{
    xmpp_stanza_t *s = message(ctx, a->url);
    xmpp_stanza_t *sharing = stanza_set(stanza_new(ctx, "file-sharing", NS_SFS), "disposition", "attachment");
    xmpp_stanza_t *target = stanza_set(stanza_new(ctx, "url-data", NS_URL_DATA), "target", a->url);

    s = stanza_add(s, stanza_add(stanza_new(ctx, "x", NS_OOB), text_element(ctx, "url", NULL, a->url)));
    sharing = stanza_add(sharing, file_element(a, ctx));
    sharing = stanza_add(sharing, stanza_add(stanza_new(ctx, "sources", NULL), target));
    s = stanza_add(s, sharing);
    return stanza_add(s, stanza_add(stanza_set(stanza_new(ctx, "fallback", NS_FALLBACK), "for", NS_SFS),
                                    stanza_new(ctx, "body", NULL)));
}

void link_origin(const char *url, char out[static LINK_ORIGIN])
{
    const char *host = strstr(url, "://");

    snprintf(out, LINK_ORIGIN, "%.*s", host ? (int)(host + 3 - url) + (int)strcspn(host + 3, "/?#") : 0, url);
}

/* ---- one after the other */

static void finish(struct announcing *a, const char *step, const struct error *err)
{
    announced_fn *done = a->done;
    void *user = a->user;

    if (err)
        a->host->ops->step(a->host, STEP_RECEIVED, step, error_name(err->code), err->text);
    announcing_forget(&a);
    done(user, err);
}

static bool send_message(struct announcing *a, xmpp_stanza_t *s, message_done_fn *done, struct error *err)
{
    a->message = a->in_room ? room_send(a->client->rooms, s, a->what->to, done, a, err)
                            : message_send(a->client->messages, s, a->what->from, a->what->to, done, a, err);
    if (s)
        xmpp_stanza_release(s);
    return a->message != 0;
}

static void on_linked(void *user, const struct error *err)
{
    struct announcing *a = user;

    a->message = 0;
    finish(a, "link", err);
}

/* The timeline tells where the link leads, and not what would make it one. */
static bool send_link(struct announcing *a, struct error *err)
{
    char at[LINK_ORIGIN];

    link_origin(a->what->url, at);
    a->host->ops->step(a->host, STEP_SENT, "link", "", at);
    return send_message(a, link_message(a->what, a->client->ctx), on_linked, err);
}

static void on_captioned(void *user, const struct error *err)
{
    struct announcing *a = user;
    struct error error;

    a->message = 0;
    if (err)
        finish(a, "caption", err);
    else if (!send_link(a, &error))
        finish(a, "link", &error);
}

/* A server that does not say may still take messages; one that cannot be reached takes none. */
static void on_asked(void *user, bool is_room, const struct error *err)
{
    struct announcing *a = user;
    struct error error;

    a->asking = 0;
    if (err && err->code != ERR_RECIPIENT_TIMEOUT) {
        finish(a, "disco", err);
        return;
    }
    if (is_room && a->what->to_one) {
        error_set(&error, ERR_LINK_FAILED, "%.100s is a room, and would tell all what is for one", a->what->to->text);
        finish(a, "disco", &error);
        return;
    }
    if (is_room && !jid_same_bare(client_sender(a->client, a->what->from), &a->client->self)) {
        error_set(&error, ERR_LINK_FAILED,
                  "%.100s is a room, and only the default sender goes into rooms: leave from out", a->what->to->text);
        finish(a, "disco", &error);
        return;
    }
    a->in_room = is_room;
    if (is_room)
        a->host->ops->step(a->host, STEP_RECEIVED, "disco", "ok", "a room");
    if (!a->what->caption) {
        if (!send_link(a, &error))
            finish(a, "link", &error);
    } else if (!send_message(a, message(a->client->ctx, a->what->caption), on_captioned, &error)) {
        finish(a, "caption", &error);
    }
}

struct announcing *announce(struct client *c, struct method_host *host, const struct announcement *what,
                            announced_fn *done, void *user, struct error *err)
{
    struct announcing *a = calloc(1, sizeof *a);

    if (!a) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    *a = (struct announcing){.client = c, .host = host, .what = what, .done = done, .user = user};
    a->asking = room_ask(c->rooms, what->to, on_asked, a, err);
    if (a->asking == 0)
        announcing_forget(&a);
    return a;
}

void announcing_forget(struct announcing **a)
{
    if (!*a)
        return;
    if ((*a)->asking)
        room_ask_forget((*a)->client->rooms, (*a)->asking);
    if ((*a)->message && (*a)->in_room)
        room_send_forget((*a)->client->rooms, (*a)->message);
    else if ((*a)->message)
        message_forget((*a)->client->messages, (*a)->message);
    free(*a);
    *a = NULL;
}
