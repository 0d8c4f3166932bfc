/* xmpp/target_si.c - an SI offer heard (XEP-0095 with the profile XEP-0096), and our answer. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "xmpp/ns.h"
#include "xmpp/stamp.h"
#include "xmpp/stanza.h"
#include "xmpp/target_parts.h"

enum { TEXT = 1024, MD5_DIGITS = 32 };

/* What an offer says, in room of its own. */
struct si_offer {
    const char *id;
    bool s5b, ibb; /* the stream methods that are ours too */
    int64_t size;
    char name[TEXT], type[TEXT], caption[TEXT], md5[MD5_DIGITS + 1];
};

static const struct iq_refusal bad_request = {.type = "cancel", .condition = "bad-request", .code = 400};
static const struct iq_refusal bad_profile = {
    .type = "cancel", .condition = "bad-request", .code = 400, .special = "bad-profile", .ns = NS_SI};
static const struct iq_refusal no_streams = {
    .type = "cancel", .condition = "bad-request", .code = 400, .special = "no-valid-streams", .ns = NS_SI};
static const struct iq_refusal in_use = {
    .type = "cancel", .condition = "not-acceptable", .code = 406, .text = "This stream id is in use"};

/* ---- reading */

/* Digits and nothing else. */
static bool read_size(const char *text, int64_t *size)
{
    size_t len = strlen(text);
    unsigned long long n =
        len > 0 && len <= 19 && strspn(text, "0123456789") == len ? strtoull(text, NULL, 10) : UINT64_MAX;

    *size = (int64_t)n;
    return n <= INT64_MAX;
}

/* XEP-0096 has an MD5 of the whole file there; what is none is as good as nothing. */
static void read_md5(const char *text, char out[static MD5_DIGITS + 1])
{
    out[0] = '\0';
    if (!text || strlen(text) != MD5_DIGITS || strspn(text, "0123456789abcdefABCDEF") != MD5_DIGITS)
        return;
    for (size_t i = 0; i <= MD5_DIGITS; i++)
        out[i] = (char)tolower((unsigned char)text[i]);
}

static void read_method(struct si_offer *o, xmpp_stanza_t *option)
{
    char value[128], *end;
    const char *method;

    stanza_text(stanza_child(option, "value", NULL), value, sizeof value);
    end = value + strlen(value);
    while (end > value && isspace((unsigned char)end[-1]))
        *--end = '\0';
    method = value + strspn(value, " \t\r\n");
    o->s5b = o->s5b || strcmp(method, NS_BYTESTREAMS) == 0;
    o->ibb = o->ibb || strcmp(method, NS_IBB) == 0;
}

static void read_methods(struct si_offer *o, xmpp_stanza_t *si)
{
    xmpp_stanza_t *form = stanza_child(stanza_child(si, "feature", NS_FEATURE_NEG), "x", NS_DATA_FORM);
    xmpp_stanza_t *field = stanza_with(form, "field", "var", "stream-method");

    for (xmpp_stanza_t *k = stanza_child(field, "option", NULL); k; k = stanza_next(k, "option", NULL))
        read_method(o, k);
}

static void clean(const char *text, char out[static TEXT])
{
    text_clean(text ? text : "", out, TEXT);
}

/* NULL: it is one that we can say yes to. */
static const struct iq_refusal *read_offer(struct si_offer *o, xmpp_stanza_t *si)
{
    const char *profile = stanza_attr(si, "profile"), *size;
    xmpp_stanza_t *file = stanza_child(si, "file", NS_SI_FILE);

    o->id = stanza_attr(si, "id");
    if (strcmp(xmpp_stanza_get_name(si), "si") != 0 || !o->id || !*o->id || strlen(o->id) > TARGET_SID)
        return &bad_request;
    if (!profile || strcmp(profile, NS_SI_FILE) != 0)
        return &bad_profile;
    size = stanza_attr(file, "size");
    if (!file || !read_size(size ? size : "", &o->size))
        return &bad_request;
    read_methods(o, si);
    if (!o->s5b && !o->ibb)
        return &no_streams;
    clean(stanza_attr(file, "name"), o->name);
    clean(stanza_attr(si, "mime-type"), o->type);
    stanza_text(stanza_child(file, "desc", NULL), o->caption, sizeof o->caption);
    read_md5(stanza_attr(file, "hash"), o->md5);
    return o->name[0] ? NULL : &bad_request;
}

/* ---- answering */

/* XEP-0095 section 3.2. To a stranger every no is the same as that of a person who does not want the file. */
static struct iq_refusal refusal_of(const struct error *err)
{
    static const struct {
        enum error_code code;
        struct iq_refusal refusal;
    } meanings[] = {
        {ERR_BODY_TOO_LARGE,
         {.type = "modify", .condition = "not-acceptable", .code = 406, .text = "The file is too large"}},
        {ERR_METHOD_UNSUPPORTED, {.type = "cancel", .condition = "not-acceptable", .code = 406}},
        {ERR_QUOTA_EXCEEDED,
         {.type = "wait", .condition = "resource-constraint", .code = 500, .text = "Too much was sent; try later"}},
        {ERR_RATE_LIMITED,
         {.type = "wait", .condition = "resource-constraint", .code = 500, .text = "Too many offers; try later"}},
        {ERR_SPOOL_FULL, {.type = "wait", .condition = "resource-constraint", .code = 500}},
        {ERR_STORE_UNAVAILABLE, {.type = "wait", .condition = "resource-constraint", .code = 500}},
        {ERR_DRAINING, {.type = "wait", .condition = "resource-constraint", .code = 500}},
        {ERR_INTERNAL, {.type = "wait", .condition = "resource-constraint", .code = 500}},
    };

    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
        if (meanings[i].code == err->code)
            return meanings[i].refusal;
    return (struct iq_refusal){.type = "cancel", .condition = "forbidden", .code = 403, .text = "Offer Declined"};
}

static xmpp_stanza_t *build_choice(xmpp_ctx_t *ctx, const char *method)
{
    xmpp_stanza_t *value = stanza_add_text(ctx, stanza_new(ctx, "value", NULL), method);
    xmpp_stanza_t *field = stanza_set(stanza_new(ctx, "field", NULL), "var", "stream-method");
    xmpp_stanza_t *form = stanza_set(stanza_new(ctx, "x", NS_DATA_FORM), "type", "submit");

    return stanza_add(stanza_new(ctx, "feature", NS_FEATURE_NEG), stanza_add(form, stanza_add(field, value)));
}

/* The rest of a file that is here in part already. */
static xmpp_stanza_t *build_range(xmpp_ctx_t *ctx, uint64_t offset)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, offset);
    return stanza_add(stanza_new(ctx, "file", NS_SI_FILE), stanza_set(stanza_new(ctx, "range", NULL), "offset", text));
}

static void say_yes(struct target_file *f, xmpp_stanza_t *iq, const char *method)
{
    struct client *c = f->home->client;
    xmpp_stanza_t *si = stanza_new(c->ctx, "si", NS_SI);

    if (f->offset > 0)
        si = stanza_add(si, build_range(c->ctx, f->offset));
    si = stanza_add(si, build_choice(c->ctx, method));
    if (!si)
        return; /* out of memory: the sender's patience ends, and our deadline */
    iq_reply_result(c->iq, iq, si);
    xmpp_stanza_release(si);
}

static void take_offer(struct target *t, xmpp_stanza_t *iq, const struct jid *from, const struct jid *local,
                       xmpp_stanza_t *si, const struct si_offer *o)
{
    xmpp_stanza_t *file = stanza_child(si, "file", NS_SI_FILE);
    struct incoming offer = {
        .from = from,
        .to = local,
        .method = o->s5b ? "si-s5b" : "si-ibb",
        .name = o->name,
        .type = o->type[0] ? o->type : NULL,
        .caption = o->caption[0] ? o->caption : NULL,
        .size = o->size,
        .modified = stamp_read(stanza_attr(file, "date")),
        .hash_algo = o->md5[0] ? "md5" : NULL,
        .hash = o->md5[0] ? o->md5 : NULL,
        .ranges = stanza_child(file, "range", NULL) != NULL,
    };
    struct error err;
    struct target_file *f = target_take(t, &offer, o->id, &err);
    struct iq_refusal refusal;

    if (!f) {
        refusal = refusal_of(&err);
        iq_refuse(t->client->iq, iq, &refusal);
        return;
    }
    f->takes_s5b = o->s5b;
    if (o->ibb && !target_expect_inband(f) && !o->s5b) {
        iq_refuse(t->client->iq, iq, &in_use);
        error_set(&err, ERR_PEER_PROTOCOL_ERROR, "%s chose a stream id that is in use", from->text);
        target_end(f, &err);
        return;
    }
    target_step(f, STEP_RECEIVED, "offer", "ok", from->text);
    say_yes(f, iq, o->s5b ? NS_BYTESTREAMS : NS_IBB);
    target_step(f, STEP_SENT, "accept", "ok", o->s5b ? "bytestreams" : "ibb");
}

bool target_serve_si(void *target, xmpp_stanza_t *iq, const struct jid *from, xmpp_stanza_t *payload)
{
    struct target *t = target;
    const struct iq_refusal *refusal;
    struct si_offer *o;
    struct jid local;

    if (!stanza_to(iq, &t->client->self, &local) || !target_receives(t, &local))
        return false;
    o = calloc(1, sizeof *o);
    if (!o)
        return false;
    refusal = read_offer(o, payload);
    if (!refusal && target_find(t, &local, from, o->id))
        refusal = &in_use;
    if (refusal)
        iq_refuse(t->client->iq, iq, refusal);
    else
        take_offer(t, iq, from, &local, payload, o);
    free(o);
    return true;
}
