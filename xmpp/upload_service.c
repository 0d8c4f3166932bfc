/* xmpp/upload_service.c - see upload_service.h. Whoever asks first has the service looked for, and all who ask
 * meanwhile wait for the same answer. */
#include "xmpp/upload_service.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "xmpp/ns.h"
#include "xmpp/services.h"
#include "xmpp/stamp.h"
#include "xmpp/stanza.h"

enum { FRESH_MS = 60 * 60 * 1000, ABSENT_MS = 10 * 60 * 1000 };

struct asking {
    struct asking *prev, *next;
    struct upload_service *owner;
    uint64_t ticket;
    uint64_t question; /* for the slot; 0: the service is still looked for */
    char *name, *type;
    uint64_t size;
    upload_slot_fn *done;
    void *user;
};

struct upload_service {
    struct client *client;
    struct services_watcher watcher;
    enum { UNKNOWN, LOOKING, FOUND, ABSENT } state;
    struct jid jid;
    uint64_t max_size; /* 0: not told */
    int64_t due;       /* monotonic: until then FOUND or ABSENT holds; 0: it is to be looked for */
    uint64_t last_ticket;
    struct asking *askings;
};

/* ---- life */

static void on_told(void *user, const struct jid *jid, xmpp_stanza_t *info);
static void on_settled(void *user);

struct upload_service *upload_service_create(struct client *c)
{
    struct upload_service *u = calloc(1, sizeof *u);

    if (!u)
        return NULL;
    u->client = c;
    u->watcher = (struct services_watcher){.server = true, .told = on_told, .settled = on_settled, .user = u};
    services_watch(c->services, &u->watcher);
    return u;
}

static void drop(struct upload_service *u, struct asking *a)
{
    iq_forget(u->client->iq, a->question);
    DL_DELETE(u->askings, a); /* NOLINT(clang-analyzer-core.NullDereference): it is in the list */
    free(a->name);
    free(a->type);
    free(a);
}

void upload_service_destroy(struct upload_service **u)
{
    struct upload_service *old = *u;

    if (!old)
        return;
    while (old->askings)
        drop(old, old->askings);
    free(old);
    *u = NULL;
}

static void finish(struct upload_service *u, struct asking *a, struct upload_slot *slot, const struct error *err,
                   int64_t retry_at)
{
    upload_slot_fn *done = a->done;
    void *user = a->user;

    drop(u, a);
    done(user, slot, err, retry_at);
}

/* One who waits for the service to be found. */
static struct asking *waiting(const struct upload_service *u)
{
    struct asking *a;

    DL_FOREACH(u->askings, a)
    if (a->question == 0)
        break;
    return a;
}

static void doubt(struct upload_service *u)
{
    u->due = 0;
    services_doubt(u->client->services, true);
}

/* Those whose question is on its way hear it from the IQ table. */
void upload_service_offline(struct upload_service *u)
{
    struct asking *a;
    struct error err;

    if (u->state == ABSENT)
        doubt(u); /* a server that is back may have got one */
    if (u->state != FOUND)
        u->state = UNKNOWN;
    error_set(&err, ERR_XMPP_DISCONNECTED, "not connected to the XMPP server");
    while ((a = waiting(u)))
        finish(u, a, NULL, &err, 0);
}

/* ---- the slot */

/* A host that only this machine reaches, where http is as good as https. */
static bool is_loopback(const char *host, size_t len)
{
    char text[INET6_ADDRSTRLEN + 2];
    struct in_addr v4;
    struct in6_addr v6;

    if (len >= sizeof text)
        return false;
    snprintf(text, sizeof text, "%.*s", (int)len, host);
    if (strcasecmp(text, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, text, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (text[0] != '[' || text[len - 1] != ']')
        return false;
    text[len - 1] = '\0';
    return inet_pton(AF_INET6, text + 1, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static size_t host_length(const char *authority)
{
    return authority[0] == '[' ? strcspn(authority, "]") + 1 : strcspn(authority, ":/?#");
}

/* RFC 3986 in visible ASCII, without a user before the host: nothing that a client could read in two ways. */
static bool is_good_url(const char *url)
{
    bool secure = strncasecmp(url, "https://", 8) == 0;
    const char *authority = url + (secure ? 8 : 7);

    if (!secure && strncasecmp(url, "http://", 7) != 0)
        return false;
    for (const char *p = url; *p; p++)
        if (*p <= ' ' || *p > '~' || strchr("\"<>\\^`{|}", *p))
            return false;
    if (strcspn(authority, "@") < strcspn(authority, "/?#") || host_length(authority) == 0 ||
        host_length(authority) > strlen(authority))
        return false;
    return secure || is_loopback(authority, host_length(authority));
}

static bool read_url(xmpp_stanza_t *element, char out[static UPLOAD_URL], const char *which, struct error *err)
{
    const char *url = stanza_attr(element, "url");

    if (!url || strlen(url) >= UPLOAD_URL)
        return error_set(err, ERR_UPLOAD_SERVICE_FAILED, "the upload slot has no %s URL that can be used", which);
    if (!is_good_url(url))
        return error_set(err, ERR_UPLOAD_SERVICE_FAILED, "the %s URL of the upload slot is not https", which);
    snprintf(out, UPLOAD_URL, "%s", url);
    return true;
}

static void strip_line_breaks(char *text)
{
    char *to = text;

    for (; *text; text++)
        if (*text != '\r' && *text != '\n')
            *to++ = *text;
    *to = '\0';
}

/* Section 5: only these, so that a service cannot make us say what we please not. */
static const char *allowed_header(const char *name)
{
    static const char *const allowed[] = {"Authorization", "Cookie", "Expires"};

    for (size_t i = 0; name && i < sizeof allowed / sizeof *allowed; i++)
        if (strcasecmp(name, allowed[i]) == 0)
            return allowed[i];
    return NULL;
}

static bool read_headers(xmpp_stanza_t *put, struct upload_slot *slot, struct error *err)
{
    for (xmpp_stanza_t *h = stanza_child(put, "header", NULL); h; h = stanza_next(h, "header", NULL)) {
        const char *name = allowed_header(stanza_attr(h, "name"));
        char *value = slot->values[slot->header_count];

        if (!name)
            continue;
        stanza_text(h, value, UPLOAD_VALUE);
        if (strlen(value) >= UPLOAD_VALUE - 4 || slot->header_count == UPLOAD_HEADERS - 1)
            return error_set(err, ERR_UPLOAD_SERVICE_FAILED, "the upload slot has more headers than can be sent");
        strip_line_breaks(value);
        slot->headers[slot->header_count++] = (struct http_header){name, value};
    }
    return true;
}

static struct upload_slot *read_slot(xmpp_stanza_t *answer, struct error *err)
{
    xmpp_stanza_t *element = stanza_child(answer, "slot", NS_HTTP_UPLOAD);
    xmpp_stanza_t *put = stanza_child(element, "put", NULL);
    struct upload_slot *slot = calloc(1, sizeof *slot);

    if (!slot)
        error_set(err, ERR_INTERNAL, "out of memory");
    else if (read_url(put, slot->put, "put", err) &&
             read_url(stanza_child(element, "get", NULL), slot->get, "get", err) && read_headers(put, slot, err))
        return slot;
    free(slot);
    return NULL;
}

/* ---- a refused one */

static uint64_t read_size(xmpp_stanza_t *element)
{
    char text[24];

    return strtoull(stanza_text(element, text, sizeof text), NULL, 10);
}

/* Section 5.1. */
static void read_refusal(struct upload_service *u, const struct iq_reply *reply, struct error *err, int64_t *retry_at)
{
    static const char *const refusals[] = {"not-acceptable", "not-allowed", "forbidden", "not-authorized"};
    xmpp_stanza_t *error = stanza_child(reply->stanza, "error", NULL);
    xmpp_stanza_t *too_large = stanza_child(error, "file-too-large", NS_HTTP_UPLOAD);
    xmpp_stanza_t *retry = stanza_child(error, "retry", NS_HTTP_UPLOAD);
    char when[CLOCK_TEXT];

    if (too_large) {
        u->max_size = read_size(stanza_child(too_large, "max-file-size", NULL));
        error_set(err, ERR_UPLOAD_SERVICE_REFUSED, "the upload service takes files of at most %" PRIu64 " bytes",
                  u->max_size);
        return;
    }
    *retry_at = stamp_read(stanza_attr(retry, "stamp"));
    if (retry || strcmp(reply->condition, "resource-constraint") == 0) {
        error_set(err, ERR_UPLOAD_SERVICE_QUOTA, "the upload service has no room for us %s%s",
                  *retry_at > 0 ? "before " : "for now", *retry_at > 0 ? clock_text(*retry_at, when) : "");
        return;
    }
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        if (strcmp(reply->condition, refusals[i]) == 0) {
            error_set(err, ERR_UPLOAD_SERVICE_REFUSED, "the upload service gives us no slot (%s%s%s)", reply->condition,
                      reply->text[0] ? ": " : "", reply->text);
            return;
        }
    }
    error_set(err, ERR_UPLOAD_SERVICE_FAILED, "the upload service gives no slot: %s",
              reply->condition[0] ? reply->condition : "an error without a reason");
}

static void on_slot(void *user, const struct iq_reply *reply)
{
    struct asking *a = user;
    struct upload_slot *slot = NULL;
    struct error err = {0};
    int64_t retry_at = 0;

    a->question = 0;
    if (reply->outcome == IQ_RESULT)
        slot = read_slot(reply->stanza, &err);
    else if (reply->outcome == IQ_ERROR)
        read_refusal(a->owner, reply, &err, &retry_at);
    else if (reply->outcome == IQ_TIMEOUT)
        error_set(&err, ERR_UPLOAD_SERVICE_FAILED, "the upload service did not answer");
    else
        error_set(&err, ERR_XMPP_DISCONNECTED, "not connected to the XMPP server");
    if (!slot && err.code == ERR_UPLOAD_SERVICE_FAILED)
        doubt(a->owner); /* it may have moved */
    finish(a->owner, a, slot, slot ? NULL : &err, retry_at);
}

/* Whether there is one, and the file not too large for it. */
static bool fits(const struct upload_service *u, uint64_t size, struct error *err)
{
    if (u->state != FOUND)
        return error_set(err, ERR_METHOD_UNSUPPORTED, "our XMPP server has no upload service (XEP-0363)");
    return u->max_size == 0 || size <= u->max_size ||
           error_set(err, ERR_UPLOAD_SERVICE_REFUSED, "the upload service takes files of at most %" PRIu64 " bytes",
                     u->max_size);
}

static bool request_slot(struct asking *a, struct error *err)
{
    struct upload_service *u = a->owner;
    struct client *c = u->client;
    xmpp_stanza_t *iq;
    char size[24];

    if (!fits(u, a->size, err))
        return false;
    snprintf(size, sizeof size, "%" PRIu64, a->size);
    iq = stanza_iq(c->ctx, "get",
                   stanza_set(stanza_set(stanza_set(stanza_new(c->ctx, "request", NS_HTTP_UPLOAD), "filename", a->name),
                                         "size", size),
                              "content-type", a->type));
    a->question = iq_ask(c->iq, iq, &u->jid, c->settings->iq_timeout_ms, on_slot, a, err);
    if (iq)
        xmpp_stanza_release(iq);
    return a->question != 0;
}

/* ---- looking for it */

static void conclude(struct upload_service *u, bool found)
{
    struct asking *a;
    struct error err;

    u->state = found ? FOUND : ABSENT;
    u->due = clock_ms() + (found ? FRESH_MS : ABSENT_MS);
    log_info("upload_service", log_str("jid", found ? u->jid.text : NULL), log_int("max_size", (int64_t)u->max_size));
    while ((a = waiting(u)))
        if (!request_slot(a, &err))
            finish(u, a, NULL, &err, 0);
}

static const char *read_field(xmpp_stanza_t *form, const char *var, char *out, size_t max)
{
    return stanza_text(stanza_child(stanza_with(form, "field", "var", var), "value", NULL), out, max);
}

/* The limit in a form of that type; 0: none. */
static uint64_t read_limit(xmpp_stanza_t *info)
{
    char text[64];

    for (xmpp_stanza_t *x = stanza_child(info, "x", NS_DATA_FORM); x; x = stanza_next(x, "x", NS_DATA_FORM))
        if (strcmp(read_field(x, "FORM_TYPE", text, sizeof text), NS_HTTP_UPLOAD) == 0)
            return strtoull(read_field(x, "max-file-size", text, sizeof text), NULL, 10);
    return 0;
}

/* Of several the first to answer is taken, and kept while it says the same. */
static void on_told(void *user, const struct jid *jid, xmpp_stanza_t *info)
{
    struct upload_service *u = user;
    bool is = stanza_with(info, "feature", "var", NS_HTTP_UPLOAD), ours = u->state == FOUND && jid_equal(jid, &u->jid);

    if (is && (ours || u->state != FOUND)) {
        jid_copy(&u->jid, jid);
        u->max_size = read_limit(info);
        conclude(u, true);
    } else if (!is && ours) {
        u->state = LOOKING; /* another may say so before all is settled */
        u->due = 0;
    }
}

static void on_settled(void *user)
{
    struct upload_service *u = user;

    if (u->state == LOOKING)
        conclude(u, false);
}

/* Sees to it that FOUND or ABSENT is true, or LOOKING; else it cannot be asked for. */
static bool look(struct upload_service *u, struct error *err)
{
    struct services *s = u->client->services;

    if (u->due > clock_ms())
        return true;
    if (u->due != 0 && !services_busy(s))
        services_doubt(s, true);
    u->due = 0;
    u->state = services_find(s, &u->watcher) ? LOOKING : UNKNOWN;
    return u->state == LOOKING || error_set(err, ERR_XMPP_DISCONNECTED, "not connected to the XMPP server");
}

void upload_service_online(struct upload_service *u)
{
    look(u, NULL);
}

enum method_can upload_service_takes(struct upload_service *u, uint64_t size, struct error *why)
{
    if (!look(u, why))
        return METHOD_CANNOT;
    if (u->state == LOOKING) {
        error_set(why, ERR_METHOD_UNSUPPORTED, "the upload service is being looked for; ask again in a moment");
        return METHOD_MAYBE;
    }
    return fits(u, size, why) ? METHOD_CAN : METHOD_CANNOT;
}

/* ---- for who has a file */

uint64_t upload_slot_ask(struct upload_service *u, const struct upload_file *file, upload_slot_fn *done, void *user,
                         struct error *err)
{
    struct asking *a = calloc(1, sizeof *a);

    if (!a) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return 0;
    }
    DL_APPEND(u->askings, a);
    a->owner = u;
    a->ticket = ++u->last_ticket;
    a->name = strdup(file->name);
    a->type = file->type ? strdup(file->type) : NULL;
    a->size = file->size;
    a->done = done;
    a->user = user;
    if (!a->name || (file->type && !a->type))
        error_set(err, ERR_INTERNAL, "out of memory");
    else if (look(u, err) && (u->state == LOOKING || request_slot(a, err)))
        return a->ticket;
    drop(u, a);
    return 0;
}

void upload_slot_forget(struct upload_service *u, uint64_t ticket)
{
    struct asking *a;

    DL_FOREACH(u->askings, a)
    if (a->ticket == ticket) {
        drop(u, a);
        return;
    }
}
