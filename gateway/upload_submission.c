/* gateway/upload_submission.c - what an upload is for: whether it can be done, and the record that is made of it. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "gateway/upload_parts.h"

static bool method_known(struct gateway *gw, const char *name, size_t len)
{
    for (const char *const *m = gw->method_names; *m; m++)
        if (strlen(*m) == len && memcmp(*m, name, len) == 0)
            return true;
    return false;
}

bool gateway_methods_check(struct gateway *gw, const char *list, struct error *err)
{
    const char *at = list;

    do {
        size_t len = strcspn(at, ",");

        if (!method_known(gw, at, len))
            return error_set(err, ERR_PARAMETER_INVALID, "methods: '%.*s' is none of this gateway's methods",
                             (int)(len < 40 ? len : 40), at);
        at += len;
    } while (*at++ == ',');
    return true;
}

bool gateway_sender(const struct gateway *gw, const char *asked, struct jid *out, bool *usual, struct error *err)
{
    const struct config *config = gw->config;
    char own[JID_MAX + 1], text[JID_MAX + 1];
    size_t len, own_len;
    const char *own_domain = jid_domain(&config->xmpp.jid, &own_len);
    struct error why;

    jid_bare(&config->xmpp.jid, own);
    if (asked && snprintf(text, sizeof text, strchr(asked, '@') ? "%s" : "%s@%.*s", asked, (int)own_len, own_domain) >=
                     (int)sizeof text)
        return error_set(err, ERR_PARAMETER_INVALID, "from: longer than an address may be");
    if (!jid_parse(out, asked ? text : own, strlen(asked ? text : own), &why))
        return error_set(err, ERR_PARAMETER_INVALID, "from: %.150s", why.text);
    *usual = jid_same_bare(out, &config->xmpp.jid) && !out->full;
    if (*usual)
        return true;
    if (!config->xmpp.component_secret)
        return error_set(err, ERR_PARAMETER_INVALID,
                         "from: this gateway has one address, %.60s; leave from out, or make it a component", own);
    if (out->full || out->local == 0 || jid_domain(out, &len) == NULL || len != own_len ||
        memcmp(jid_domain(out, &len), own_domain, own_len) != 0)
        return error_set(err, ERR_PARAMETER_INVALID, "from: a name before the '@', or an address somebody@%.80s",
                         own + config->xmpp.jid.local + 1);
    return true;
}

bool gateway_submission_check(struct gateway *gw, const struct submission *s, struct error *err)
{
    struct jid from;
    bool usual;

    if (s->from && !gateway_sender(gw, s->from, &from, &usual, err))
        return false;
    if (s->to->text[0] && s->to->local == 0)
        return error_set(err, ERR_JID_INVALID, "'%s' is a server, not a person: write somebody@%s", s->to->text,
                         s->to->text);
    if (s->name && !text_name_check(s->name, strlen(s->name), err))
        return false;
    if (s->caption && !text_is_xml(s->caption, strlen(s->caption)))
        return error_set(err, ERR_PARAMETER_INVALID, "caption: not plain UTF-8 text");
    if (s->caption && strlen(s->caption) > 4096)
        return error_set(err, ERR_PARAMETER_INVALID, "caption: longer than 4096 bytes");
    if (s->type && (strlen(s->type) > 200 || !text_is_xml(s->type, strlen(s->type))))
        return error_set(err, ERR_PARAMETER_INVALID, "the media type is no media type");
    if (s->mode == MODE_STREAM && s->digest)
        return error_set(err, ERR_PARAMETER_INVALID, "digest: nothing is kept to compute it from; use mode=auto");
    if (s->mode == MODE_STREAM && s->promised)
        return error_set(err, ERR_DIGEST_UNSUPPORTED,
                         "mode=stream keeps nothing that a promised digest could be checked on; use mode=auto");
    if (s->mode == MODE_STREAM && (s->hold_ms > 0 || s->subscribe))
        return error_set(err, ERR_PARAMETER_INVALID,
                         "mode=stream waits for nobody who is offline: use mode=auto, or leave hold and subscribe out");
    if (s->subscribe && s->hold_ms == 0)
        return error_set(err, ERR_PARAMETER_INVALID, "subscribe=ask without waiting for the answer: leave hold=0 out");
    return !s->methods || gateway_methods_check(gw, s->methods, err);
}

/* Who is asked for a subscription is waited for, if nobody says how long, as long as the transfer lives. */
static int64_t hold_until(const struct record *r, const struct submission *s, const struct config *config)
{
    int64_t hold = s->hold_ms < 0 ? config->delivery.hold : s->hold_ms;

    if (r->mode == MODE_STREAM)
        return 0;
    if (hold == 0)
        return s->subscribe ? r->expires : 0;
    return r->created + hold;
}

struct record *upload_record(const struct upload *u, const struct submission *s)
{
    struct record *r = record_new();
    const struct config *config = u->gw->config;
    struct jid from;
    bool usual;

    if (!r)
        return NULL;
    if (s->from && !(gateway_sender(u->gw, s->from, &from, &usual, NULL) && record_text(&r->from, from.text))) {
        record_free(&r);
        return NULL;
    }
    memcpy(r->id, u->id, ID_SIZE);
    r->state = TRANSFER_QUEUED;
    r->mode = u->mode;
    r->max_rounds = u->mode == MODE_STREAM ? 1 : (unsigned)config->delivery.max_attempts;
    r->created = r->updated = clock_wall_ms();
    r->expires = r->created + (s->ttl_ms > 0 ? s->ttl_ms : config->delivery.ttl);
    r->hold_until = hold_until(r, s, config);
    r->subscribe = s->subscribe;
    if (!record_text(&r->to, s->to->text) || !record_text(&r->name, s->name) || !record_text(&r->type, s->type) ||
        !record_text(&r->caption, s->caption) || !record_text(&r->labels, s->labels) ||
        !record_text(&r->methods, s->methods) || !record_text(&r->request_id, s->request_id) ||
        !record_text(&r->traceparent, s->traceparent) || !record_text(&r->token, s->token))
        record_free(&r);
    return r;
}
