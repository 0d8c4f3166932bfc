/* api/order.c - POST /v1/transfers with application/json: what to send and to whom, and where the file is to be had.
 *
 * The same fields as a form's, read strictly: what is not known is refused with the nearest name, since a typing error
 * must not change what happens to a file. The body is small and kept until its end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "api/handlers.h"
#include "api/reply.h"
#include "base/buf.h"
#include "base/labels.h"
#include "base/text.h"

enum { ORDER_MOST = 64 * 1024 };

struct order {
    struct buf body;
    char *path, *url, *upload; /* where the file is: one of them, once it was read */
};

bool order_wanted(struct request *rq)
{
    const char *type = request_header(rq, "Content-Type");

    return type && media_type_is(type, "application/json");
}

bool order_create(struct request *rq, struct error *err)
{
    if (rq->announced > ORDER_MOST)
        return error_set(err, ERR_BODY_TOO_LARGE, "at most %d bytes of JSON", ORDER_MOST);
    rq->order = calloc(1, sizeof *rq->order);
    if (!rq->order)
        return error_set(err, ERR_INTERNAL, "out of memory");
    rq->order->body.ceiling = ORDER_MOST;
    return true;
}

void order_free(struct order **order)
{
    if (!*order)
        return;
    buf_free(&(*order)->body);
    free((*order)->path);
    free((*order)->url);
    free((*order)->upload);
    free(*order);
    *order = NULL;
}

bool order_feed(struct request *rq, const char *data, size_t len, struct error *err)
{
    return buf_add(&rq->order->body, data, len) ||
           error_set(err, ERR_BODY_TOO_LARGE, "more than %d bytes of JSON, or no memory for it", ORDER_MOST);
}

const char *order_url(const struct request *rq)
{
    return rq->order ? rq->order->url : NULL;
}

const char *order_path(const struct request *rq)
{
    return rq->order ? rq->order->path : NULL;
}

/* ---- its fields */

static bool unknown_field(const char *name, const char *const *words, size_t n, const char *of, struct error *err)
{
    const char *nearest;
    char shown[48];

    text_clean(name, shown, sizeof shown);
    nearest = text_nearest(shown, words, n);
    if (nearest)
        return error_set(err, ERR_PARAMETER_INVALID, "'%s' is no field of %s; did you mean '%s'?", shown, of, nearest);
    return error_set(err, ERR_PARAMETER_INVALID, "'%s' is no field of %s", shown, of);
}

static bool wrong_kind(const char *name, const char *wanted, struct error *err)
{
    return error_set(err, ERR_PARAMETER_INVALID, "'%s' has to be %s", name, wanted);
}

typedef bool field_fn(struct request *rq, const char *name, const json_t *value, struct error *err);

static bool set(struct request *rq, const char *name, const char *text, struct error *err)
{
    enum param which;

    return param_find(name, ~0u, &which, err) && params_set(&rq->params, which, text, err);
}

static bool take_text(struct request *rq, const char *name, const json_t *value, struct error *err)
{
    return json_is_string(value) ? set(rq, name, json_string_value(value), err) : wrong_kind(name, "a text", err);
}

/* Of seconds a number will do. */
static bool take_duration(struct request *rq, const char *name, const json_t *value, struct error *err)
{
    char text[24];

    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return json_is_string(value) ? take_text(rq, name, value, err)
                                     : wrong_kind(name, "a time like \"1h\", or seconds", err);
    snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
    return set(rq, name, text, err);
}

static bool take_recipients(struct request *rq, const char *name, const json_t *value, struct error *err)
{
    size_t i;
    json_t *each;

    if (json_is_string(value))
        return take_text(rq, name, value, err);
    if (!json_is_array(value) || json_array_size(value) == 0)
        return wrong_kind(name, "an address, or a list of them", err);
    json_array_foreach((json_t *)value, i, each)
    {
        if (!json_is_string(each))
            return wrong_kind(name, "an address, or a list of them", err);
        if (!take_text(rq, name, each, err))
            return false;
    }
    return true;
}

static bool take_methods(struct request *rq, const char *name, const json_t *value, struct error *err)
{
    struct buf all = {0};
    char *text;
    size_t i;
    json_t *each;
    bool ok;

    if (json_is_string(value))
        return take_text(rq, name, value, err);
    json_array_foreach((json_t *)value, i, each)
    {
        if (!json_is_string(each))
            break;
        buf_printf(&all, "%s%s", i ? "," : "", json_string_value(each));
    }
    if (!json_is_array(value) || i < json_array_size(value)) {
        buf_free(&all);
        return wrong_kind(name, "a list of methods", err);
    }
    text = buf_steal(&all);
    ok = text ? set(rq, name, text, err) : error_set(err, ERR_INTERNAL, "out of memory");
    free(text);
    return ok;
}

static bool take_type(struct request *rq, const char *name, const json_t *value, struct error *err)
{
    const char *type = json_string_value(value);

    if (!type)
        return wrong_kind(name, "a text", err);
    if (!media_type_valid(type) || strlen(type) >= sizeof rq->type)
        return error_set(err, ERR_MEDIA_REFUSED, "'type' is no media type");
    snprintf(rq->type, sizeof rq->type, "%s", type);
    return true;
}

static bool take_labels(struct request *rq, const char *name, const json_t *value, struct error *err)
{
    const char *key;
    json_t *each;

    if (!json_is_object(value))
        return wrong_kind(name, "an object of texts", err);
    json_object_foreach((json_t *)value, key, each)
    {
        if (!json_is_string(each))
            return wrong_kind(name, "an object of texts", err);
        if (!labels_add(&rq->params.value[PARAM_LABEL], key, strlen(key), json_string_value(each), err))
            return false;
    }
    return true;
}

static bool keep(char **field, const json_t *value, const char *name, struct error *err)
{
    const char *text = json_string_value(value);

    if (!text || !*text)
        return wrong_kind(name, "a text", err);
    *field = strdup(text);
    return *field || error_set(err, ERR_INTERNAL, "out of memory");
}

static bool take_source(struct request *rq, const char *name, const json_t *value, struct error *err)
{
    static const char *const words[] = {"path", "url", "upload_id"};
    struct order *o = rq->order;
    const char *key;
    json_t *each;

    if (!json_is_object(value) || json_object_size(value) != 1)
        return wrong_kind(name, "an object with one of 'path', 'url' and 'upload_id'", err);
    json_object_foreach((json_t *)value, key, each)
    {
        if (strcmp(key, "path") == 0)
            return keep(&o->path, each, "source.path", err);
        if (strcmp(key, "url") == 0)
            return keep(&o->url, each, "source.url", err);
        if (strcmp(key, "upload_id") == 0)
            return keep(&o->upload, each, "source.upload_id", err);
        return unknown_field(key, words, 3, "'source'", err);
    }
    return false;
}

static const struct {
    const char *name;
    field_fn *take;
} fields[] = {
    {"to", take_recipients},   {"from", take_text},   {"resource", take_text}, {"source", take_source},
    {"name", take_text},       {"type", take_type},   {"caption", take_text},  {"labels", take_labels},
    {"methods", take_methods}, {"mode", take_text},   {"ttl", take_duration},  {"hold", take_duration},
    {"subscribe", take_text},  {"digest", take_text},
};
enum { FIELDS = sizeof fields / sizeof *fields };

static bool take_field(struct request *rq, const char *name, const json_t *value, struct error *err)
{
    const char *words[FIELDS];

    for (size_t i = 0; i < FIELDS; i++) {
        if (strcmp(name, fields[i].name) == 0)
            return json_is_null(value) || fields[i].take(rq, name, value, err);
        words[i] = fields[i].name;
    }
    return unknown_field(name, words, FIELDS, "this request", err);
}

/* Depth is bounded by the library, and the rest by the size. */
static bool read_body(struct request *rq, struct error *err)
{
    const struct buf *body = &rq->order->body;
    json_error_t why;
    json_t *all = json_loadb(body->data ? body->data : "", body->len, JSON_REJECT_DUPLICATES, &why);
    const char *name;
    json_t *value;
    char shown[80];
    bool ok = true;

    if (!all) {
        text_clean(why.text, shown, sizeof shown);
        return error_set(err, ERR_REQUEST_MALFORMED, "the body is no JSON: line %d: %s", why.line, shown);
    }
    if (!json_is_object(all))
        ok = error_set(err, ERR_REQUEST_MALFORMED, "the body is no JSON object");
    json_object_foreach(all, name, value)
    {
        ok = ok && take_field(rq, name, value, err);
    }
    json_decref(all);
    return ok;
}

/* ---- the end */

/* As curl would name it. */
static bool name_by_path(struct request *rq, struct error *err)
{
    const char *name = strrchr(rq->order->path, '/');

    name = name ? name + 1 : rq->order->path;
    if (*rq->name)
        return true;
    if (!text_name_check(name, strlen(name), err))
        return error_set(err, ERR_NAME_INVALID, "the file's own name cannot be offered: give it another, 'name'");
    snprintf(rq->name, sizeof rq->name, "%s", name);
    return true;
}

/* How much comes from a URL is known when nobody is there any more to be refused. */
static bool check_source(struct request *rq, struct error *err)
{
    const struct order *o = rq->order;

    if (o->path)
        return gateway_path_check(rq->gw, o->path, err) && name_by_path(rq, err);
    if (rq->token && rq->token->daily_bytes > 0)
        return error_set(err, ERR_SOURCE_REFUSED, "source.url: not with a token that has daily_bytes");
    return gateway_url_check(rq->gw, o->url, err);
}

/* It counts as one of its token's since it began, and its bytes were paid for as they came. */
static bool take_upload(struct request *rq, struct error *err)
{
    if (rq->key)
        return error_set(err, ERR_PARAMETER_INVALID,
                         "no Idempotency-Key beside source.upload_id: that is used only once");
    return api_tus_source(rq, rq->order->upload, err);
}

static bool take_up(struct request *rq, struct error *err)
{
    struct submission what = {.mode = MODE_SPOOL, .key = rq->key};
    const struct order *o = rq->order;

    if (!read_body(rq, err) || !api_upload_name(rq, err))
        return false;
    if (!rq->params.value[PARAM_TO])
        return error_set(err, ERR_PARAMETER_INVALID, "there is no 'to': whom the file is for");
    if (!o->path && !o->url && !o->upload)
        return error_set(err, ERR_PARAMETER_INVALID, "there is no 'source': where the file is");
    if (!several_recipients(rq, rq->params.value[PARAM_TO], err))
        return false;
    if (o->upload)
        return take_upload(rq, err);
    if (!check_source(rq, err) || !api_upload_check(rq, err))
        return false;
    rq->upload = gateway_upload_begin(rq->gw, -1, &what, err);
    if (!rq->upload)
        return false;
    rq->key = NULL;
    return api_upload_count(rq, err);
}

enum MHD_Result order_finish(struct request *rq)
{
    if (take_up(rq, &rq->error))
        return several_finish(rq);
    api_upload_drop(rq);
    gateway_release(&rq->key);
    return reply_problem(rq, &rq->error, STAGE_REQUEST, NULL);
}
