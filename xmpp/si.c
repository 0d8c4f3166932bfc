/* xmpp/si.c - see si.h. The order of this file is the order of events. */
#include "xmpp/si.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

struct si {
    struct method_host *host;
    struct client *client;
    const struct si_terms *terms;
    void *user;
    uint64_t question;

    struct jid *to, *from;
    char *name;
    char *type;    /* NULL: none */
    char *caption; /* NULL: none */
    uint64_t size;
    int64_t modified;
    unsigned answer_ms;
    bool plain; /* the offer without its optional parts: the second and last */
};

static void fail(struct si *s, const struct error *why)
{
    s->host->ops->report(s->host, &(struct method_report){.event = METHOD_FAILED, .error = *why});
}

/* ---- the offer */

/* XEP-0082 with whole seconds, which every parser takes. */
static const char *file_date(int64_t wall_ms, char out[static CLOCK_TEXT])
{
    char precise[CLOCK_TEXT];

    snprintf(out, CLOCK_TEXT, "%.19sZ", clock_text(wall_ms, precise));
    return out;
}

/* <range/>: we can begin in the middle. */
static xmpp_stanza_t *build_file(const struct si *s)
{
    xmpp_ctx_t *ctx = s->client->ctx;
    xmpp_stanza_t *file = stanza_set(stanza_new(ctx, "file", NS_SI_FILE), "name", s->name);
    char size[24], date[CLOCK_TEXT];

    snprintf(size, sizeof size, "%llu", (unsigned long long)s->size);
    file = stanza_set(file, "size", size);
    if (s->plain)
        return file;
    if (s->modified > 0)
        file = stanza_set(file, "date", file_date(s->modified, date));
    if (s->caption)
        file = stanza_add(file, stanza_add_text(ctx, stanza_new(ctx, "desc", NULL), s->caption));
    return stanza_add(file, stanza_new(ctx, "range", NULL));
}

/* XEP-0020: the choice of stream methods, as a form with one list. */
static xmpp_stanza_t *build_choice(xmpp_ctx_t *ctx, const char *stream)
{
    xmpp_stanza_t *value = stanza_add_text(ctx, stanza_new(ctx, "value", NULL), stream);
    xmpp_stanza_t *field = stanza_new(ctx, "field", NULL), *form = stanza_new(ctx, "x", NS_DATA_FORM);

    field = stanza_set(stanza_set(field, "var", "stream-method"), "type", "list-single");
    field = stanza_add(field, stanza_add(stanza_new(ctx, "option", NULL), value));
    form = stanza_add(stanza_set(form, "type", "form"), field);
    return stanza_add(stanza_new(ctx, "feature", NS_FEATURE_NEG), form);
}

static xmpp_stanza_t *build_offer(const struct si *s, const char *sid)
{
    xmpp_ctx_t *ctx = s->client->ctx;
    xmpp_stanza_t *si = stanza_set(stanza_new(ctx, "si", NS_SI), "id", sid);

    si = stanza_set(stanza_set(si, "profile", NS_SI_FILE), "mime-type", s->plain ? NULL : s->type);
    return stanza_iq(ctx, "set", stanza_add(stanza_add(si, build_file(s)), build_choice(ctx, s->terms->stream)));
}

static void on_answer(void *user, const struct iq_reply *reply);

void si_offer(struct si *s, const char *sid)
{
    xmpp_stanza_t *iq = build_offer(s, sid);
    struct error err;
    char detail[256];

    s->question = iq_ask_as(s->client->iq, iq, s->from, s->to, s->answer_ms, on_answer, s, &err);
    if (iq)
        xmpp_stanza_release(iq);
    if (!s->question) {
        fail(s, &err);
        return;
    }
    snprintf(detail, sizeof detail, "%llu bytes to %.200s", (unsigned long long)s->size, s->to->text);
    s->host->ops->step(s->host, STEP_SENT, s->terms->offer, "", detail);
}

/* ---- a no */

/* What a refusal means. XEP-0095 section 3.2 puts its own elements beside the stanza error's condition, where QXmpp
 * and old clients leave them out. */
static void read_refusal(const struct si *s, const struct iq_reply *reply, struct error *err)
{
    const struct {
        const char *condition;
        const char *detail; /* element of NS_SI; NULL: whatever else there is */
        enum error_code code;
        const char *says;
    } meanings[] = {
        {"forbidden", NULL, ERR_RECIPIENT_DECLINED, "declined the file"},
        {"bad-request", "no-valid-streams", ERR_NO_COMMON_METHOD, s->terms->lacks},
        {"bad-request", "bad-profile", ERR_PROFILE_UNSUPPORTED, "takes no files by stream initiation"},
        {"bad-request", NULL, ERR_OFFER_REJECTED, "did not understand the offer"},
        {"not-acceptable", NULL, ERR_NO_COMMON_METHOD, s->terms->lacks},
        {"service-unavailable", NULL, ERR_METHOD_UNSUPPORTED, "takes no stream initiation"},
        {"feature-not-implemented", NULL, ERR_METHOD_UNSUPPORTED, "takes no stream initiation"},
    };
    xmpp_stanza_t *error = stanza_child(reply->stanza, "error", NULL);

    for (size_t i = 0; reply->outcome == IQ_ERROR && i < sizeof meanings / sizeof *meanings; i++) {
        if (strcmp(reply->condition, meanings[i].condition) != 0)
            continue;
        if (meanings[i].detail && !stanza_child(error, meanings[i].detail, NS_SI))
            continue;
        error_set(err, meanings[i].code, "%s %s (%s%s%s)", s->to->text, meanings[i].says,
                  meanings[i].detail ? meanings[i].detail : reply->condition, reply->text[0] ? ": " : "", reply->text);
        return;
    }
    iq_error(reply, s->to->text, err);
}

static void refused(struct si *s, const struct iq_reply *reply)
{
    struct error err;

    read_refusal(s, reply, &err);
    s->host->ops->step(s->host, STEP_RECEIVED, "si refused", reply->outcome == IQ_TIMEOUT ? "timeout" : "error",
                       err.text);
    if (err.code == ERR_OFFER_REJECTED && !s->plain) {
        s->plain = true;
        si_offer(s, s->terms->renew(s->user));
        return;
    }
    fail(s, &err);
}

/* ---- a yes */

static const char *chosen_method(xmpp_stanza_t *si, char *out, size_t max)
{
    xmpp_stanza_t *form = stanza_child(stanza_child(si, "feature", NS_FEATURE_NEG), "x", NS_DATA_FORM);
    xmpp_stanza_t *field = stanza_child(form, "field", NULL);
    char *end;

    while (field && strcmp(stanza_attr(field, "var") ? stanza_attr(field, "var") : "", "stream-method") != 0)
        field = stanza_next(field, "field", NULL);
    stanza_text(stanza_child(field, "value", NULL), out, max);
    end = out + strlen(out);
    while (end > out && strchr(" \t\r\n", end[-1]))
        *--end = '\0';
    return out + strspn(out, " \t\r\n");
}

static void on_answer(void *user, const struct iq_reply *reply)
{
    struct si *s = user;
    xmpp_stanza_t *si = stanza_child(reply->stanza, "si", NS_SI);
    xmpp_stanza_t *part = stanza_child(stanza_child(si, "file", NS_SI_FILE), "range", NULL);
    struct file_range range;
    char value[128];
    const char *chosen;
    struct error err;
    bool fits;

    s->question = 0;
    if (reply->outcome != IQ_RESULT) {
        refused(s, reply);
        return;
    }
    chosen = chosen_method(si, value, sizeof value);
    if (strcmp(chosen, s->terms->stream) != 0)
        fits = error_set(&err, ERR_PEER_PROTOCOL_ERROR, "%s chose the stream method '%s', which was not offered",
                         s->to->text, chosen);
    else
        fits = file_range_read(part, s->size, s->to->text, &range, &err);
    if (!fits) {
        s->host->ops->step(s->host, STEP_RECEIVED, "si accepted", "error", err.text);
        fail(s, &err);
        return;
    }
    s->host->ops->step(s->host, STEP_RECEIVED, "si accepted", "ok", s->to->text);
    file_range_step(&range, s->size, s->host);
    s->host->ops->report(s->host, &(struct method_report){.event = METHOD_ACCEPTED});
    s->terms->accepted(s->user, &range);
}

/* ---- life */

void si_destroy(struct si **s)
{
    if (!*s)
        return;
    iq_forget((*s)->client->iq, (*s)->question);
    free((*s)->to);
    free((*s)->from);
    free((*s)->name);
    free((*s)->type);
    free((*s)->caption);
    free(*s);
    *s = NULL;
}

static bool copy_text(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return !from || *to;
}

static bool copy_offer(struct si *s, const struct offer *o)
{
    s->to = jid_dup(o->to);
    s->from = jid_dup(client_sender(s->client, o->from));
    s->size = o->size;
    s->modified = o->modified;
    s->answer_ms = o->answer_ms;
    return s->to && s->from && copy_text(&s->name, o->name) && copy_text(&s->type, o->type) &&
           copy_text(&s->caption, o->caption);
}

struct si *si_create(struct method_host *host, struct client *client, const struct offer *o,
                     const struct si_terms *terms, void *user, struct error *err)
{
    struct si *s;

    if (!text_name_check(o->name, strlen(o->name), err))
        return NULL;
    s = calloc(1, sizeof *s);
    if (s) {
        s->host = host;
        s->client = client;
        s->terms = terms;
        s->user = user;
    }
    if (!s || !copy_offer(s, o)) {
        si_destroy(&s);
        error_set(err, ERR_INTERNAL, "out of memory");
    }
    return s;
}
