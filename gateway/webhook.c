#include "gateway/webhook.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>

#include "base/jid.h"
#include "base/labels.h"
#include "base/text.h"
#include "gateway/config_values.h"
#include "gateway/egress.h"
#include "gateway/events.h"
#include "gateway/record.h"
#include "gateway/token.h"

#define USUAL_EVENTS                                                                                                   \
    "transfer.delivered,transfer.link_sent,transfer.link_fetched,transfer.failed,transfer.cancelled,transfer.expired"

/* How far a transfer is, several times a second, is for whoever watches it at /v1/events. */
#define OFFERED (~EVENT_BIT(EVENT_PROGRESS))

static bool out_of_memory(struct error *err)
{
    return error_set(err, ERR_SYSTEM, "out of memory");
}

static bool keep(char **field, const char *value, struct error *err)
{
    *field = strdup(value);
    return *field || out_of_memory(err);
}

/* ---- single values */

/* The host of a URL: behind the scheme and user, up to its port, path or end. */
static const char *host_of(const char *url, size_t *len)
{
    const char *host = strstr(url, "://") + 3;
    const char *end = host + strcspn(host, "/?#");

    for (const char *at = host; at < end; at++)
        if (*at == '@')
            host = at + 1;
    *len = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");
    return host;
}

static bool read_url(struct webhook *w, const char *value, struct error *err)
{
    bool web = strncasecmp(value, "https://", 8) == 0 || strncasecmp(value, "http://", 7) == 0;
    char name[256];
    const char *host;
    size_t len;

    if (!web || strpbrk(value, " \\\"<>^`{|}"))
        return error_set(err, ERR_CONFIG, "expected a URL, as https://ci.example.org/hooks/jidpost");
    host = host_of(value, &len);
    snprintf(name, sizeof name, "%.*s", (int)(len < sizeof name ? len : 0), *host == '[' ? host + 1 : host);
    if (*host == '[' && *name)
        name[strcspn(name, "]")] = '\0';
    if (!egress_host_valid(name))
        return error_set(err, ERR_CONFIG, "its host is no name, and no address in its usual spelling");
    return keep(&w->url, value, err);
}

bool webhook_set_secret(struct webhook *w, bool old, const char *value, struct error *err)
{
    struct webhook_secret *secret = old ? &w->old : &w->secret;

    if (secret->length > 0)
        return error_set(err, ERR_CONFIG, "[webhook %s] its %ssecret is given twice; keep one", w->name,
                         old ? "old " : "");
    return webhook_secret_parse(value, secret) ||
           error_set(err, ERR_CONFIG,
                     "[webhook %s] its %ssecret is none: whsec_ and base64 of 24 to 64 bytes; make one: echo "
                     "whsec_$(openssl rand -base64 32)",
                     w->name, old ? "old " : "");
}

static bool read_secret(struct webhook *w, const char *value, struct error *err)
{
    return webhook_set_secret(w, false, value, err);
}

static bool read_old_secret(struct webhook *w, const char *value, struct error *err)
{
    return webhook_set_secret(w, true, value, err);
}

static bool read_path(char **field, const char *value, struct error *err)
{
    return *value == '/' ? keep(field, value, err) : error_set(err, ERR_CONFIG, "expected an absolute path");
}

static bool read_secret_file(struct webhook *w, const char *value, struct error *err)
{
    return read_path(&w->secret_file, value, err);
}

static bool read_old_secret_file(struct webhook *w, const char *value, struct error *err)
{
    return read_path(&w->secret_old_file, value, err);
}

static bool read_ca(struct webhook *w, const char *value, struct error *err)
{
    return read_path(&w->ca, value, err);
}

static bool unknown_event(const char *glob, struct error *err)
{
    const char *names[EVENT_TYPE_COUNT], *nearest;

    for (int i = 0; i < EVENT_TYPE_COUNT; i++)
        names[i] = event_name((enum event_type)i);
    if (strcmp(glob, event_name(EVENT_PROGRESS)) == 0)
        return error_set(err, ERR_CONFIG, "transfer.progress goes to no webhook; follow it at /v1/events");
    nearest = text_nearest(glob, names, EVENT_TYPE_COUNT);
    return error_set(err, ERR_CONFIG, "there is no event '%.40s'; %s%s", glob, nearest ? "did you mean " : "try ",
                     nearest ? nearest : "transfer.*");
}

static uint32_t types_of(const char *glob)
{
    uint32_t types = 0;

    for (int i = 0; i < EVENT_TYPE_COUNT; i++)
        if (text_glob(glob, event_name((enum event_type)i)))
            types |= EVENT_BIT(i);
    return types & OFFERED;
}

static bool read_events(struct webhook *w, const char *value, struct error *err)
{
    char **globs = value_list(value);
    bool ok = globs != NULL;

    if (!ok)
        return out_of_memory(err);
    for (char **glob = globs; ok && *glob; glob++) {
        uint32_t types = types_of(*glob);

        ok = types != 0 || unknown_event(*glob, err);
        w->types |= types;
    }
    if (!globs[0])
        ok = error_set(err, ERR_CONFIG, "at least one, as transfer.delivered, or transfer.*");
    value_list_free(globs);
    return ok && keep(&w->events_text, value, err);
}

static bool read_to(struct webhook *w, const char *value, struct error *err)
{
    w->to = value_list(value);
    if (!w->to)
        return out_of_memory(err);
    for (char **glob = w->to; *glob; glob++)
        for (char *at = *glob; *at; at++)
            *at = (char)tolower((unsigned char)*at);
    return keep(&w->to_text, value, err);
}

static bool read_labels(struct webhook *w, const char *value, struct error *err)
{
    char **labels = value_list(value);
    bool ok = true;

    if (!labels)
        return out_of_memory(err);
    for (char **label = labels; ok && *label; label++)
        ok = labels_read(&w->labels, *label, err);
    value_list_free(labels);
    return ok && keep(&w->labels_text, value, err);
}

static bool read_nets(struct webhook *w, const char *value, struct error *err)
{
    w->allow_nets = value_list(value);
    if (!w->allow_nets)
        return out_of_memory(err);
    for (char **net = w->allow_nets; *net; net++)
        if (!value_is_net(*net))
            return error_set(err, ERR_CONFIG, "'%.60s' is no network; write 10.0.0.0/8 or fd00::/8", *net);
    return keep(&w->nets_text, value, err);
}

/* ---- the section */

static const struct section_key helps[] = {
    {"url", "https://host/path; http:// only to networks of its allow_nets"},
    {"secret", "whsec_<base64>; or secret_file, or the credential webhook.NAME.secret"},
    {"secret_file", "the path of a file with it"},
    {"secret_old", "one that signs as well, while receivers change to the new one"},
    {"secret_old_file", "the path of a file with that"},
    {"events", "globs on types; usual: the final ones of every transfer"},
    {"to", "globs on bare addresses, if only transfers to those are told of"},
    {"labels", "name:value, if only transfers with all of these are told of"},
    {"allow_nets", "networks (CIDR) it may lie in beside the public ones"},
    {"ca", "PEM file of authorities trusted beside the system's"},
    {NULL, NULL},
};

enum { KEYS = sizeof helps / sizeof *helps - 1 };

/* In the order of the helps. */
static bool (*const readers[KEYS])(struct webhook *w, const char *value, struct error *err) = {
    read_url,    read_secret, read_secret_file, read_old_secret, read_old_secret_file,
    read_events, read_to,     read_labels,      read_nets,       read_ca,
};

const struct section_key *webhook_keys(void)
{
    return helps;
}

bool webhook_set(struct webhook *w, const char *key, const char *value, struct error *err)
{
    char title[sizeof w->name + sizeof "webhook "];
    struct error why = {0};
    int i;

    snprintf(title, sizeof title, "webhook %s", w->name);
    i = section_take(title, helps, key, value, &w->given, err);
    if (i < 0)
        return false;
    if (readers[i](w, value, &why))
        return true;
    if (strncmp(key, "secret", 6) == 0 && !strstr(key, "file"))
        return error_set(err, why.code, "%s", why.text);
    return error_set(err, why.code, "[%s] %s: %s", title, key, why.text);
}

bool webhook_complete(struct webhook *w, struct error *err)
{
    if (!w->url)
        return error_set(err, ERR_CONFIG, "[webhook %s] has no url", w->name);
    if (w->secret.length == 0)
        return error_set(err, ERR_CONFIG,
                         "[webhook %s] has no secret; make one: echo whsec_$(openssl rand -base64 32), and set secret, "
                         "secret_file, or the credential webhook.%s.secret",
                         w->name, w->name);
    if ((!w->events_text && !read_events(w, USUAL_EVENTS, err)) || (!w->to && !read_to(w, "", err)) ||
        (!w->labels_text && !read_labels(w, "", err)) || (!w->allow_nets && !read_nets(w, "", err)))
        return false;
    return strncasecmp(w->url, "https:", 6) == 0 || w->allow_nets[0] ||
           error_set(err, ERR_CONFIG,
                     "[webhook %s] http:// would tell everything in the clear; use https, or list the receiver's own "
                     "network in its allow_nets",
                     w->name);
}

bool webhook_wants(const struct webhook *w, uint32_t type, const char *to, const char *labels)
{
    size_t len = to ? strcspn(to, "/") : 0;
    char bare[JID_MAX + 1];

    if (!(w->types & type) || (w->labels && !labels_have(labels, w->labels)))
        return false;
    if (!w->to[0])
        return true;
    snprintf(bare, sizeof bare, "%.*s", (int)len, to ? to : "");
    for (char *const *glob = w->to; to && *glob; glob++)
        if (text_glob(*glob, bare))
            return true;
    return false;
}

char *webhook_shown_url(const struct webhook *w)
{
    size_t scheme = (size_t)(strstr(w->url, "://") + 3 - w->url), len;
    const char *host = host_of(w->url, &len);
    char *out;

    return asprintf(&out, "%.*s%.*s", (int)scheme, w->url, (int)strcspn(host, "?#"), host) < 0 ? NULL : out;
}

/* ---- several */

static void webhook_free(struct webhook *w)
{
    free(w->url);
    OPENSSL_cleanse(&w->secret, sizeof w->secret);
    OPENSSL_cleanse(&w->old, sizeof w->old);
    free(w->secret_file);
    free(w->secret_old_file);
    free(w->events_text);
    value_list_free(w->to);
    free(w->to_text);
    free(w->labels);
    free(w->labels_text);
    value_list_free(w->allow_nets);
    free(w->nets_text);
    free(w->ca);
}

void webhook_list_free(struct webhook_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        webhook_free(&list->items[i]);
    free(list->items);
    *list = (struct webhook_list){0};
}

struct webhook *webhook_list_at(struct webhook_list *list, const char *name, struct error *err)
{
    struct webhook *grown;

    if (!token_id_valid(name)) {
        error_set(err, ERR_CONFIG, "a webhook's name has letters, digits and '-', at most %d: [webhook ci]",
                  WEBHOOK_NAME - 1);
        return NULL;
    }
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].name, name) == 0)
            return &list->items[i];
    grown = realloc(list->items, (list->count + 1) * sizeof *grown);
    if (!grown) {
        out_of_memory(err);
        return NULL;
    }
    list->items = grown;
    grown += list->count++;
    *grown = (struct webhook){0};
    snprintf(grown->name, sizeof grown->name, "%s", name);
    return grown;
}

static bool copy_text(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return *to || !from;
}

static bool copy_one(struct webhook *to, const struct webhook *from)
{
    to->secret = from->secret;
    to->old = from->old;
    return copy_text(&to->url, from->url) && copy_text(&to->secret_file, from->secret_file) &&
           copy_text(&to->secret_old_file, from->secret_old_file) && copy_text(&to->ca, from->ca) &&
           read_events(to, from->events_text, NULL) && read_to(to, from->to_text, NULL) &&
           read_labels(to, from->labels_text, NULL) && read_nets(to, from->nets_text, NULL);
}

bool webhook_list_copy(struct webhook_list *to, const struct webhook_list *from)
{
    *to = (struct webhook_list){0};
    for (size_t i = 0; i < from->count; i++) {
        struct webhook *w = webhook_list_at(to, from->items[i].name, NULL);

        if (!w || !copy_one(w, &from->items[i])) {
            webhook_list_free(to);
            return false;
        }
    }
    return true;
}

static bool same_secret(const struct webhook_secret *a, const struct webhook_secret *b)
{
    return a->length == b->length && CRYPTO_memcmp(a->bytes, b->bytes, a->length) == 0;
}

bool webhook_equal(const struct webhook *a, const struct webhook *b)
{
    return strcmp(a->url, b->url) == 0 && same_secret(&a->secret, &b->secret) && same_secret(&a->old, &b->old) &&
           strcmp(a->events_text, b->events_text) == 0 && strcmp(a->to_text, b->to_text) == 0 &&
           strcmp(a->labels_text, b->labels_text) == 0 && strcmp(a->nets_text, b->nets_text) == 0 &&
           strcmp(a->ca ? a->ca : "", b->ca ? b->ca : "") == 0;
}
