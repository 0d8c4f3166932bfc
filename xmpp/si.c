/* xmpp/si.c - stream initiation: the file is described first (XEP-0095 with the profile XEP-0096), a person or a client
 * says yes, and the bytestream follows under the SI's id.
 *
 * Bytestreams are offered alone, not beside in-band ones as the XEP's example does: slixmpp takes in-band bytes
 * whenever they are on the list, a hundred times slower, and one offer with one way in it has one way to go wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "xmpp/methods.h"
#include "xmpp/ns.h"
#include "xmpp/s5b.h"
#include "xmpp/stanza.h"

struct method {
    struct method_host *host;
    struct client *client;
    struct s5b *s5b;
    uint64_t question;

    struct jid to;
    char *name;
    char *type;    /* NULL: none */
    char *caption; /* NULL: none */
    uint64_t size;
    int64_t modified;
    unsigned answer_ms;
    bool plain; /* the offer without its optional parts: the second and last */
};

static void fail(struct method *m, const struct error *why)
{
    m->host->ops->report(m->host, &(struct method_report){.event = METHOD_FAILED, .error = *why});
}

/* ---- the offer */

/* XEP-0082 with whole seconds, which every parser takes. */
static const char *file_date(int64_t wall_ms, char out[static CLOCK_TEXT])
{
    char precise[CLOCK_TEXT];

    snprintf(out, CLOCK_TEXT, "%.19sZ", clock_text(wall_ms, precise));
    return out;
}

/* No <range/>: it would promise that we can start in the middle. */
static xmpp_stanza_t *build_file(const struct method *m)
{
    xmpp_ctx_t *ctx = m->client->ctx;
    xmpp_stanza_t *file = stanza_set(stanza_new(ctx, "file", NS_SI_FILE), "name", m->name);
    char size[24], date[CLOCK_TEXT];

    snprintf(size, sizeof size, "%llu", (unsigned long long)m->size);
    file = stanza_set(file, "size", size);
    if (m->plain)
        return file;
    if (m->modified > 0)
        file = stanza_set(file, "date", file_date(m->modified, date));
    if (m->caption)
        file = stanza_add(file, stanza_add_text(ctx, stanza_new(ctx, "desc", NULL), m->caption));
    return file;
}

/* XEP-0020: the choice of stream methods, as a form with one list. */
static xmpp_stanza_t *build_choice(xmpp_ctx_t *ctx)
{
    xmpp_stanza_t *value = stanza_add_text(ctx, stanza_new(ctx, "value", NULL), NS_BYTESTREAMS);
    xmpp_stanza_t *field = stanza_new(ctx, "field", NULL), *form = stanza_new(ctx, "x", NS_DATA_FORM);

    field = stanza_set(stanza_set(field, "var", "stream-method"), "type", "list-single");
    field = stanza_add(field, stanza_add(stanza_new(ctx, "option", NULL), value));
    form = stanza_add(stanza_set(form, "type", "form"), field);
    return stanza_add(stanza_new(ctx, "feature", NS_FEATURE_NEG), form);
}

static xmpp_stanza_t *build_offer(const struct method *m)
{
    xmpp_ctx_t *ctx = m->client->ctx;
    xmpp_stanza_t *si = stanza_set(stanza_new(ctx, "si", NS_SI), "id", s5b_sid(m->s5b));

    si = stanza_set(stanza_set(si, "profile", NS_SI_FILE), "mime-type", m->plain ? NULL : m->type);
    return stanza_iq(ctx, "set", stanza_add(stanza_add(si, build_file(m)), build_choice(ctx)));
}

static void on_answer(void *user, const struct iq_reply *reply);

static void ask(struct method *m)
{
    xmpp_stanza_t *iq = build_offer(m);
    struct error err;
    char detail[256];

    m->question = iq_ask(m->client->iq, iq, &m->to, m->answer_ms, on_answer, m, &err);
    if (iq)
        xmpp_stanza_release(iq);
    if (!m->question) {
        fail(m, &err);
        return;
    }
    snprintf(detail, sizeof detail, "%llu bytes to %.200s", (unsigned long long)m->size, m->to.text);
    m->host->ops->step(m->host, STEP_SENT, "offer si-s5b", "", detail);
}

static void on_ready(void *user)
{
    ask(user);
}

/* ---- a no */

/* What a refusal means. XEP-0095 section 3.2 puts its own elements beside the stanza error's condition, where QXmpp
 * and old clients leave them out. */
static void read_refusal(const struct method *m, const struct iq_reply *reply, struct error *err)
{
    static const struct {
        const char *condition;
        const char *detail; /* element of NS_SI; NULL: whatever else there is */
        enum error_code code;
        const char *says;
    } meanings[] = {
        {"forbidden", NULL, ERR_RECIPIENT_DECLINED, "declined the file"},
        {"bad-request", "no-valid-streams", ERR_NO_COMMON_METHOD, "takes no bytestreams for files"},
        {"bad-request", "bad-profile", ERR_PROFILE_UNSUPPORTED, "takes no files by stream initiation"},
        {"bad-request", NULL, ERR_OFFER_REJECTED, "did not understand the offer"},
        {"not-acceptable", NULL, ERR_NO_COMMON_METHOD, "takes no bytestreams for files"},
        {"service-unavailable", NULL, ERR_METHOD_UNSUPPORTED, "takes no stream initiation"},
        {"feature-not-implemented", NULL, ERR_METHOD_UNSUPPORTED, "takes no stream initiation"},
    };
    xmpp_stanza_t *error = stanza_child(reply->stanza, "error", NULL);

    for (size_t i = 0; reply->outcome == IQ_ERROR && i < sizeof meanings / sizeof *meanings; i++) {
        if (strcmp(reply->condition, meanings[i].condition) != 0)
            continue;
        if (meanings[i].detail && !stanza_child(error, meanings[i].detail, NS_SI))
            continue;
        error_set(err, meanings[i].code, "%s %s (%s%s%s)", m->to.text, meanings[i].says,
                  meanings[i].detail ? meanings[i].detail : reply->condition, reply->text[0] ? ": " : "", reply->text);
        return;
    }
    iq_error(reply, m->to.text, err);
}

static void refused(struct method *m, const struct iq_reply *reply)
{
    struct error err;

    read_refusal(m, reply, &err);
    m->host->ops->step(m->host, STEP_RECEIVED, "si refused", reply->outcome == IQ_TIMEOUT ? "timeout" : "error",
                       err.text);
    if (err.code == ERR_OFFER_REJECTED && !m->plain) {
        m->plain = true;
        s5b_renew(m->s5b); /* Pidgin never answers an id it has seen */
        ask(m);
        return;
    }
    fail(m, &err);
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

/* Whether the peer asks for a part of the file, which was not offered: it would put the whole behind what it has. */
static bool wants_part(const struct method *m, xmpp_stanza_t *si)
{
    xmpp_stanza_t *range = stanza_child(stanza_child(si, "file", NS_SI_FILE), "range", NULL);
    const char *offset = stanza_attr(range, "offset"), *length = stanza_attr(range, "length");

    return (offset && strtoull(offset, NULL, 10) != 0) || (length && strtoull(length, NULL, 10) != m->size);
}

static void on_answer(void *user, const struct iq_reply *reply)
{
    struct method *m = user;
    xmpp_stanza_t *si = stanza_child(reply->stanza, "si", NS_SI);
    char value[128];
    const char *chosen;
    struct error err;

    m->question = 0;
    if (reply->outcome != IQ_RESULT) {
        refused(m, reply);
        return;
    }
    chosen = chosen_method(si, value, sizeof value);
    if (strcmp(chosen, NS_BYTESTREAMS) != 0)
        error_set(&err, ERR_PEER_PROTOCOL_ERROR, "%s chose the stream method '%s', which was not offered", m->to.text,
                  chosen);
    else if (wants_part(m, si))
        error_set(&err, ERR_PEER_PROTOCOL_ERROR, "%s asked for a part of the file, which was not offered", m->to.text);
    else
        err.code = ERR_NONE;
    if (err.code != ERR_NONE) {
        m->host->ops->step(m->host, STEP_RECEIVED, "si accepted", "error", err.text);
        fail(m, &err);
        return;
    }
    m->host->ops->step(m->host, STEP_RECEIVED, "si accepted", "ok", m->to.text);
    m->host->ops->report(m->host, &(struct method_report){.event = METHOD_ACCEPTED});
    s5b_offer(m->s5b);
}

/* ---- the method */

static void si_end(struct method **m, const struct error *why)
{
    (void)why; /* XEP-0095 has no way to take an offer back */
    iq_forget((*m)->client->iq, (*m)->question);
    s5b_destroy(&(*m)->s5b);
    free((*m)->name);
    free((*m)->type);
    free((*m)->caption);
    free(*m);
    *m = NULL;
}

static bool copy_text(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return !from || *to;
}

static bool copy_offer(struct method *m, const struct offer *o)
{
    m->to = *o->to;
    m->size = o->size;
    m->modified = o->modified;
    m->answer_ms = o->answer_ms;
    return copy_text(&m->name, o->name) && copy_text(&m->type, o->type) && copy_text(&m->caption, o->caption);
}

static struct method *si_offer(struct method_host *host, void *network, const struct offer *o, struct error *err)
{
    struct methods_network *net = network;
    struct s5b_terms terms = {
        .to = o->to, .size = o->size, .connect_ms = o->connect_ms, .not_acceptable = ERR_STREAMHOSTS_REFUSED};
    struct method *m;

    if (!text_name_check(o->name, strlen(o->name), err))
        return NULL;
    m = calloc(1, sizeof *m);
    if (!m) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    m->host = host;
    m->client = &net->client;
    if (!copy_offer(m, o))
        error_set(err, ERR_INTERNAL, "out of memory");
    else
        m->s5b = s5b_create(host, m->client, &terms, on_ready, m, err);
    if (!m->s5b)
        si_end(&m, NULL);
    return m;
}

static void si_stream(struct method *m, int fd, uint64_t offset, uint64_t length)
{
    s5b_stream(m->s5b, fd, offset, length);
}

static const char *const needs[] = {NS_SI, NS_SI_FILE, NS_BYTESTREAMS, NULL};
const struct method_ops method_si_s5b = {"si-s5b", needs, si_offer, si_stream, si_end};
