/* xmpp/stanza.h - looking into stanzas and building them, so that no method walks libstrophe's tree by hand.
 *
 * Built stanzas are the caller's to xmpp_stanza_release(); a child added is released here. Building fails as a
 * whole: NULL when memory is out or a text does not pass text_is_xml(), and every function takes NULL and gives NULL,
 * so that a chain is checked once at its end. Thread: core's. */
#ifndef XMPP_STANZA_H
#define XMPP_STANZA_H

#include <stdbool.h>
#include <stddef.h>
#include <strophe.h>

#include "base/jid.h"

/* The first child with that name (NULL: any) and namespace (NULL: any); NULL when there is none or parent is NULL. */
xmpp_stanza_t *stanza_child(xmpp_stanza_t *parent, const char *name, const char *ns);
xmpp_stanza_t *stanza_next(xmpp_stanza_t *sibling, const char *name, const char *ns);
/* The first child with that name whose attribute has that value. */
xmpp_stanza_t *stanza_with(xmpp_stanza_t *parent, const char *name, const char *attr, const char *value);
const char *stanza_attr(xmpp_stanza_t *s, const char *name); /* NULL: absent, or longer than 4 KiB */
/* The text content, cut to max-1 bytes and cleaned; "" when there is none. */
const char *stanza_text(xmpp_stanza_t *s, char *out, size_t max);
/* The prepared 'from'; false when absent or not an address. */
bool stanza_from(xmpp_stanza_t *s, struct jid *out);
/* The prepared 'to', self where there is none (RFC 6120 section 8.1.1.1); false when it is not an address. */
bool stanza_to(xmpp_stanza_t *s, const struct jid *self, struct jid *out);

xmpp_stanza_t *stanza_new(xmpp_ctx_t *ctx, const char *name, const char *ns);     /* ns NULL: inherits */
xmpp_stanza_t *stanza_set(xmpp_stanza_t *s, const char *attr, const char *value); /* value NULL: left out */
xmpp_stanza_t *stanza_add(xmpp_stanza_t *parent,
                          xmpp_stanza_t *child); /* takes child, also on failure; returns parent */
xmpp_stanza_t *stanza_add_text(xmpp_ctx_t *ctx, xmpp_stanza_t *parent, const char *text);
xmpp_stanza_t *stanza_iq(xmpp_ctx_t *ctx, const char *type, xmpp_stanza_t *payload); /* takes payload */

#endif
