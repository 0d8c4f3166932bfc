#include "xmpp/stanza.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum { ATTRIBUTE_MAX = 4096 };

static bool matches(xmpp_stanza_t *s, const char *name, const char *ns)
{
    const char *own_name = xmpp_stanza_get_name(s); /* NULL for text between elements */
    const char *own_ns = xmpp_stanza_get_ns(s);

    if (!own_name || (name && strcmp(own_name, name) != 0))
        return false;
    return !ns || (own_ns && strcmp(own_ns, ns) == 0);
}

xmpp_stanza_t *stanza_child(xmpp_stanza_t *parent, const char *name, const char *ns)
{
    xmpp_stanza_t *child = parent ? xmpp_stanza_get_children(parent) : NULL;

    return !child || matches(child, name, ns) ? child : stanza_next(child, name, ns);
}

xmpp_stanza_t *stanza_next(xmpp_stanza_t *sibling, const char *name, const char *ns)
{
    do
        sibling = sibling ? xmpp_stanza_get_next(sibling) : NULL;
    while (sibling && !matches(sibling, name, ns));
    return sibling;
}

const char *stanza_attr(xmpp_stanza_t *s, const char *name)
{
    const char *value = s ? xmpp_stanza_get_attribute(s, name) : NULL;

    return value && strnlen(value, ATTRIBUTE_MAX + 1) <= ATTRIBUTE_MAX ? value : NULL;
}

xmpp_stanza_t *stanza_with(xmpp_stanza_t *parent, const char *name, const char *attr, const char *value)
{
    xmpp_stanza_t *s = stanza_child(parent, name, NULL);

    for (; s; s = stanza_next(s, name, NULL)) {
        const char *has = stanza_attr(s, attr);

        if (has && strcmp(has, value) == 0)
            break;
    }
    return s;
}

const char *stanza_text(xmpp_stanza_t *s, char *out, size_t max)
{
    /* A few bytes more than fit, so that text_clean() cuts between characters and not inside one. */
    size_t room = max + 4, len = 0;
    char *raw = malloc(room + 1);

    assert(max > 0);
    out[0] = '\0';
    if (!raw)
        return out;
    for (xmpp_stanza_t *child = s ? xmpp_stanza_get_children(s) : NULL; child; child = xmpp_stanza_get_next(child)) {
        const char *piece = xmpp_stanza_is_text(child) ? xmpp_stanza_get_text_ptr(child) : NULL;
        size_t more = piece ? strnlen(piece, room - len) : 0;

        if (more > 0)
            memcpy(raw + len, piece, more);
        len += more;
    }
    raw[len] = '\0';
    text_clean(raw, out, max);
    free(raw);
    return out;
}

bool stanza_from(xmpp_stanza_t *s, struct jid *out)
{
    const char *from = stanza_attr(s, "from");

    return from && jid_parse(out, from, strlen(from), NULL);
}

bool stanza_to(xmpp_stanza_t *s, const struct jid *self, struct jid *out)
{
    const char *to = stanza_attr(s, "to");

    if (to)
        return jid_parse(out, to, strlen(to), NULL);
    jid_copy(out, self);
    return true;
}

/* The end of a chain that failed: nothing of it is left. */
static xmpp_stanza_t *spoilt(xmpp_stanza_t *s)
{
    if (s)
        xmpp_stanza_release(s);
    return NULL;
}

xmpp_stanza_t *stanza_new(xmpp_ctx_t *ctx, const char *name, const char *ns)
{
    xmpp_stanza_t *s = xmpp_stanza_new(ctx);

    if (!s || xmpp_stanza_set_name(s, name) != XMPP_EOK)
        return spoilt(s);
    return ns ? stanza_set(s, "xmlns", ns) : s;
}

xmpp_stanza_t *stanza_set(xmpp_stanza_t *s, const char *attr, const char *value)
{
    if (!s || !value)
        return s;
    if (!text_is_xml(value, strlen(value)) || xmpp_stanza_set_attribute(s, attr, value) != XMPP_EOK)
        return spoilt(s);
    return s;
}

xmpp_stanza_t *stanza_add(xmpp_stanza_t *parent, xmpp_stanza_t *child)
{
    bool ok = parent && child && xmpp_stanza_add_child(parent, child) == XMPP_EOK;

    if (child)
        xmpp_stanza_release(child); /* the parent holds its own reference */
    return ok ? parent : spoilt(parent);
}

xmpp_stanza_t *stanza_add_text(xmpp_ctx_t *ctx, xmpp_stanza_t *parent, const char *text)
{
    xmpp_stanza_t *node;

    if (!parent || !text || !text_is_xml(text, strlen(text)))
        return spoilt(parent);
    node = xmpp_stanza_new(ctx);
    if (!node || xmpp_stanza_set_text(node, text) != XMPP_EOK) {
        spoilt(node);
        return spoilt(parent);
    }
    return stanza_add(parent, node);
}

xmpp_stanza_t *stanza_iq(xmpp_ctx_t *ctx, const char *type, xmpp_stanza_t *payload)
{
    return stanza_add(stanza_set(stanza_new(ctx, "iq", NULL), "type", type), payload);
}
