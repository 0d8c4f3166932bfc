#include "xmpp/caps.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

enum { PARTS_MAX = 512, STRING_MAX = 256 * 1024 };

/* While sorting, parts of one item are joined by a character that sorts before all others and is none of XML's. So
 * plain strcmp() sorts by the first part, then by the second (section 5.1). */
#define JOINT '\1'

/* A growing set of owned strings; failed is sticky. */
struct parts {
    char *items[PARTS_MAX];
    size_t count;
    bool failed;
};

static void parts_free(struct parts *p)
{
    for (size_t i = 0; i < p->count; i++)
        free(p->items[i]);
}

static void take(struct parts *p, struct buf *text)
{
    char *item = buf_steal(text);

    if (!item || p->count == PARTS_MAX || strchr(item, '<')) {
        p->failed = true;
        free(item);
        return;
    }
    p->items[p->count++] = item;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts; duplicates fail when they are not allowed. */
static void sort(struct parts *p, bool distinct)
{
    qsort(p->items, p->count, sizeof(*p->items), compare);
    for (size_t i = 1; distinct && i < p->count; i++)
        if (strcmp(p->items[i - 1], p->items[i]) == 0)
            p->failed = true;
}

/* Adds every item, each ended by '<', with its joints as the given character. */
static void add_all(struct buf *out, const struct parts *p, char joint)
{
    for (size_t i = 0; i < p->count; i++) {
        for (char *c = p->items[i]; *c; c++)
            if (*c == JOINT)
                *c = joint;
        buf_puts(out, p->items[i]);
        buf_puts(out, "<");
    }
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static void add_identities(struct buf *out, xmpp_stanza_t *query, bool *failed)
{
    struct parts p = {0};

    for (xmpp_stanza_t *i = stanza_child(query, "identity", NULL); i; i = stanza_next(i, "identity", NULL)) {
        struct buf text = {.ceiling = STRING_MAX};

        /* libstrophe's parser drops prefixes: xml:lang arrives as lang */
        buf_printf(&text, "%s%c%s%c%s%c%s", or_empty(stanza_attr(i, "category")), JOINT,
                   or_empty(stanza_attr(i, "type")), JOINT, or_empty(stanza_attr(i, "lang")), JOINT,
                   or_empty(stanza_attr(i, "name")));
        take(&p, &text);
    }
    sort(&p, true);
    add_all(out, &p, '/');
    *failed |= p.failed;
    parts_free(&p);
}

static void add_features(struct buf *out, xmpp_stanza_t *query, bool *failed)
{
    struct parts p = {0};

    for (xmpp_stanza_t *f = stanza_child(query, "feature", NULL); f; f = stanza_next(f, "feature", NULL)) {
        struct buf text = {.ceiling = STRING_MAX};

        buf_puts(&text, or_empty(stanza_attr(f, "var")));
        take(&p, &text);
    }
    sort(&p, true);
    add_all(out, &p, '<');
    *failed |= p.failed;
    parts_free(&p);
}

/* A field's values, sorted, into one item: "var JOINT value JOINT value". */
static void add_field(struct parts *fields, xmpp_stanza_t *field)
{
    struct parts values = {0};
    struct buf text = {.ceiling = STRING_MAX};

    for (xmpp_stanza_t *v = stanza_child(field, "value", NULL); v; v = stanza_next(v, "value", NULL)) {
        struct buf value = {.ceiling = STRING_MAX};
        char content[4096];

        buf_puts(&value, stanza_text(v, content, sizeof(content)));
        take(&values, &value);
    }
    sort(&values, false);
    buf_puts(&text, or_empty(stanza_attr(field, "var")));
    for (size_t i = 0; i < values.count; i++)
        buf_printf(&text, "%c%s", JOINT, values.items[i]);
    fields->failed |= values.failed;
    parts_free(&values);
    take(fields, &text);
}

/* The form's type; NULL: none that is hidden, and the form does not count. *ambiguous: two different ones. */
static const char *form_type(xmpp_stanza_t *form, char *out, size_t max, bool *ambiguous)
{
    xmpp_stanza_t *field = stanza_child(form, "field", NULL), *value, *other;
    const char *var, *type;

    while (field && (!(var = stanza_attr(field, "var")) || strcmp(var, "FORM_TYPE") != 0))
        field = stanza_next(field, "field", NULL);
    type = stanza_attr(field, "type");
    if (!type || strcmp(type, "hidden") != 0)
        return NULL;
    value = stanza_child(field, "value", NULL);
    stanza_text(value, out, max);
    for (other = value; other; other = stanza_next(other, "value", NULL)) {
        char second[1024];

        if (strcmp(stanza_text(other, second, sizeof(second)), out) != 0)
            *ambiguous = true;
    }
    return out;
}

/* One form into one item: "type JOINT field JOINT field", its fields sorted. */
static void add_form(struct parts *forms, xmpp_stanza_t *form)
{
    struct parts fields = {0};
    struct buf text = {.ceiling = STRING_MAX};
    char type[1024];

    if (!form_type(form, type, sizeof(type), &forms->failed))
        return;
    buf_puts(&text, type);
    for (xmpp_stanza_t *f = stanza_child(form, "field", NULL); f; f = stanza_next(f, "field", NULL))
        if (strcmp(or_empty(stanza_attr(f, "var")), "FORM_TYPE") != 0)
            add_field(&fields, f);
    sort(&fields, false);
    for (size_t i = 0; i < fields.count; i++)
        buf_printf(&text, "%c%s", JOINT, fields.items[i]);
    forms->failed |= fields.failed;
    parts_free(&fields);
    take(forms, &text);
}

/* Whether two sorted items begin with the same form type. */
static bool same_form_type(const char *a, const char *b)
{
    const char joint[] = {JOINT, '\0'};
    size_t len = strcspn(a, joint);

    return len == strcspn(b, joint) && strncmp(a, b, len) == 0;
}

static void add_forms(struct buf *out, xmpp_stanza_t *query, bool *failed)
{
    struct parts p = {0};

    for (xmpp_stanza_t *x = stanza_child(query, "x", NS_DATA_FORM); x; x = stanza_next(x, "x", NS_DATA_FORM))
        add_form(&p, x);
    sort(&p, false);
    for (size_t i = 1; i < p.count; i++)
        p.failed |= same_form_type(p.items[i - 1], p.items[i]);
    add_all(out, &p, '<');
    *failed |= p.failed;
    parts_free(&p);
}

bool caps_hash(xmpp_stanza_t *query, const char *function, char ver[static CAPS_VER])
{
    static const struct {
        const char *name, *digest;
    } functions[] = {{"sha-1", "SHA1"}, {"sha-256", "SHA256"}, {"sha-512", "SHA512"}};
    struct buf text = {.ceiling = STRING_MAX};
    unsigned char digest[EVP_MAX_MD_SIZE];
    const EVP_MD *md = NULL;
    unsigned len = 0;
    bool failed = false;

    for (size_t i = 0; function && i < sizeof(functions) / sizeof(*functions); i++)
        if (strcmp(function, functions[i].name) == 0)
            md = EVP_get_digestbyname(functions[i].digest);
    if (!md)
        return false;
    add_identities(&text, query, &failed);
    add_features(&text, query, &failed);
    add_forms(&text, query, &failed);
    failed |= text.failed || EVP_Digest(text.data ? text.data : "", text.len, digest, &len, md, NULL) != 1;
    buf_free(&text);
    if (!failed)
        EVP_EncodeBlock((unsigned char *)ver, digest, (int)len);
    return !failed;
}
