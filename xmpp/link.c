/* xmpp/link.c - the last rung: the file goes to our server's upload service (XEP-0363), and the recipient's bare JID
 * gets a message that says where it is. The server keeps that for who is offline, so nobody need be there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "gateway/http_put.h"
#include "xmpp/messages.h"
#include "xmpp/methods.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"
#include "xmpp/upload_service.h"

enum { STALL_MS = 60 * 1000, SHA256_BYTES = 32, SHA256_BASE64 = 45 };

struct method {
    struct method_host *host;
    struct client *client;
    struct jid to;
    char *name, *type, *caption;
    char sha256[SHA256_BASE64]; /* empty: not computed */
    uint64_t size;
    uint64_t asking, putting, announcing; /* tickets; at most one is not 0 */
    struct upload_slot *slot;
};

static void report(struct method *m, enum method_event event, uint64_t moved)
{
    const struct method_report r = {.event = event, .moved = moved};

    m->host->ops->report(m->host, &r);
}

static void fail(struct method *m, const char *step, const struct error *err, int64_t retry_at)
{
    const struct method_report r = {.event = METHOD_FAILED, .error = *err, .retry_at = retry_at};

    m->host->ops->step(m->host, STEP_RECEIVED, step, error_name(err->code), err->text);
    m->host->ops->report(m->host, &r);
}

/* ---- the message */

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
static xmpp_stanza_t *file_element(const struct method *m, xmpp_ctx_t *ctx)
{
    xmpp_stanza_t *file = stanza_new(ctx, "file", NS_FILE);
    char size[24];

    snprintf(size, sizeof size, "%llu", (unsigned long long)m->size);
    if (m->type)
        file = stanza_add(file, text_element(ctx, "media-type", NULL, m->type));
    file = stanza_add(file, text_element(ctx, "name", NULL, m->name));
    file = stanza_add(file, text_element(ctx, "size", NULL, size));
    if (m->sha256[0])
        file = stanza_add(file, stanza_set(text_element(ctx, "hash", NS_HASHES, m->sha256), "algo", "sha-256"));
    return file;
}

/* XEP-0447; the body and XEP-0066 say the same to clients that do not know it, which want the two to be equal. */
static xmpp_stanza_t *link_message(const struct method *m, xmpp_ctx_t *ctx)
{
    const char *url = m->slot->get;
    xmpp_stanza_t *s = message(ctx, url);
    xmpp_stanza_t *sharing = stanza_set(stanza_new(ctx, "file-sharing", NS_SFS), "disposition", "attachment");
    xmpp_stanza_t *target = stanza_set(stanza_new(ctx, "url-data", NS_URL_DATA), "target", url);

    s = stanza_add(s, stanza_add(stanza_new(ctx, "x", NS_OOB), text_element(ctx, "url", NULL, url)));
    sharing = stanza_add(sharing, file_element(m, ctx));
    sharing = stanza_add(sharing, stanza_add(stanza_new(ctx, "sources", NULL), target));
    s = stanza_add(s, sharing);
    return stanza_add(s, stanza_add(stanza_set(stanza_new(ctx, "fallback", NS_FALLBACK), "for", NS_SFS),
                                    stanza_new(ctx, "body", NULL)));
}

static void on_announced(void *user, const struct error *err)
{
    struct method *m = user;

    m->announcing = 0;
    if (err)
        fail(m, "link", err, 0);
    else
        report(m, METHOD_LINK_SENT, m->size);
}

static bool send_text(struct method *m, xmpp_stanza_t *s, message_done_fn *done, struct error *err)
{
    m->announcing = message_send(m->client->messages, s, &m->to, done, m, err);
    if (s)
        xmpp_stanza_release(s);
    return m->announcing != 0;
}

static void announce_link(struct method *m)
{
    struct error err;

    m->host->ops->step(m->host, STEP_SENT, "link", "", m->slot->get);
    if (!send_text(m, link_message(m, m->client->ctx), on_announced, &err))
        fail(m, "link", &err, 0);
}

/* Whoever does not get the caption does not get the link. */
static void on_captioned(void *user, const struct error *err)
{
    struct method *m = user;

    m->announcing = 0;
    if (err)
        fail(m, "caption", err, 0);
    else
        announce_link(m);
}

/* The caption has a message of its own: the body of the link's has to be the link. */
static void announce(struct method *m)
{
    struct error err;

    if (!m->caption)
        announce_link(m);
    else if (!send_text(m, message(m->client->ctx, m->caption), on_captioned, &err))
        fail(m, "caption", &err, 0);
}

/* ---- the upload */

static void on_progress(void *user, uint64_t sent)
{
    report(user, METHOD_PROGRESS, sent);
}

static void on_put(void *user, const struct error *err)
{
    struct method *m = user;

    m->putting = 0;
    if (err) {
        fail(m, "upload", err, 0);
        return;
    }
    m->host->ops->step(m->host, STEP_RECEIVED, "upload", "ok", "");
    announce(m);
}

static void link_stream(struct method *m, int fd)
{
    struct http *http = m->client->http;
    const struct http_put put = {
        .url = m->slot->put,
        .type = m->type,
        .headers = m->slot->headers,
        .header_count = m->slot->header_count,
        .fd = fd,
        .length = m->size,
        .stall_ms = STALL_MS,
        .progress = on_progress,
        .done = on_put,
        .user = m,
    };
    struct error err;

    m->host->ops->step(m->host, STEP_SENT, "upload", "", "");
    m->putting = http->ops->put(http, &put, &err);
    if (m->putting == 0)
        fail(m, "upload", &err, 0);
}

/* ---- the slot */

static void on_slot(void *user, struct upload_slot *slot, const struct error *err, int64_t retry_at)
{
    struct method *m = user;

    m->asking = 0;
    m->slot = slot;
    if (!slot) {
        fail(m, "upload slot", err, retry_at);
        return;
    }
    m->host->ops->step(m->host, STEP_RECEIVED, "upload slot", "ok", "");
    report(m, METHOD_ACCEPTED, 0);
    report(m, METHOD_STREAM_OPEN, 0);
}

static void link_end(struct method **m, const struct error *why)
{
    struct method *x = *m;

    (void)why; /* an unfinished upload is dropped by the service, and nobody was told of it */
    if (x->asking)
        upload_slot_forget(x->client->uploads, x->asking);
    if (x->putting)
        x->client->http->ops->forget(x->client->http, x->putting);
    if (x->announcing)
        message_forget(x->client->messages, x->announcing);
    free(x->slot);
    free(x->name);
    free(x->type);
    free(x->caption);
    free(x);
    *m = NULL;
}

static unsigned char nibble(char digit)
{
    return (unsigned char)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

/* XEP-0300 wants base64 where the record has hex. */
static void hash_text(const char *hex, char out[static SHA256_BASE64])
{
    unsigned char digest[SHA256_BYTES];

    for (size_t i = 0; i < SHA256_BYTES; i++)
        digest[i] = (unsigned char)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
    EVP_EncodeBlock((unsigned char *)out, digest, SHA256_BYTES);
}

static bool copy_offer(struct method *m, const struct offer *o)
{
    m->to = *o->to;
    m->size = o->size;
    m->name = strdup(o->name);
    m->type = o->type && *o->type ? strdup(o->type) : NULL;
    m->caption = o->caption && *o->caption ? strdup(o->caption) : NULL;
    if (o->sha256 && strlen(o->sha256) == 2 * SHA256_BYTES)
        hash_text(o->sha256, m->sha256);
    return m->name && (m->type || !o->type || !*o->type) && (m->caption || !o->caption || !*o->caption);
}

static struct method *link_offer(struct method_host *host, void *network, const struct offer *o, struct error *err)
{
    struct methods_network *net = network;
    struct method *m = calloc(1, sizeof *m);
    struct upload_file file;

    if (!m || !copy_offer(m, o)) {
        if (m)
            link_end(&m, NULL);
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    m->host = host;
    m->client = &net->client;
    file = (struct upload_file){.name = m->name, .type = m->type, .size = m->size};
    m->asking = upload_slot_ask(m->client->uploads, &file, on_slot, m, err);
    if (m->asking == 0) {
        link_end(&m, NULL);
        return NULL;
    }
    host->ops->step(host, STEP_SENT, "upload slot", "", "");
    return m;
}

static enum method_can link_can(void *network, uint64_t size, struct error *why)
{
    return upload_service_takes(((struct methods_network *)network)->client.uploads, size, why);
}

static const char *const needs[] = {NULL};
const struct method_ops method_link = {.name = "link",
                                       .needs = needs,
                                       .offer = link_offer,
                                       .stream = link_stream,
                                       .end = link_end,
                                       .can = link_can,
                                       .offline = true};
