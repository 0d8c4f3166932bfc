/* The hash over what a client announces: the order in which it does so makes no difference (XEP-0115 section 5.1). */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "xmpp/caps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHILDREN = 64 };

/* A copy whose children stand the other way round; NULL: too many. */
static xmpp_stanza_t *reversed(xmpp_ctx_t *ctx, xmpp_stanza_t *query)
{
    xmpp_stanza_t *children[CHILDREN], *turned = xmpp_stanza_new(ctx);
    size_t count = 0;

    xmpp_stanza_set_name(turned, "query");
    for (xmpp_stanza_t *c = xmpp_stanza_get_children(query); c; c = xmpp_stanza_get_next(c)) {
        if (count == CHILDREN) {
            xmpp_stanza_release(turned);
            return NULL;
        }
        children[count++] = c;
    }
    while (count > 0) {
        xmpp_stanza_t *copy = xmpp_stanza_copy(children[--count]);

        xmpp_stanza_add_child(turned, copy);
        xmpp_stanza_release(copy);
    }
    return turned;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const functions[] = {"sha-1", "sha-256", "sha-512"};
    static const size_t lengths[] = {28, 44, 88};
    static xmpp_ctx_t *ctx;
    char *xml = strndup((const char *)data, size), one[CAPS_VER], other[CAPS_VER];
    xmpp_stanza_t *query, *turned;

    if (!ctx)
        ctx = xmpp_ctx_new(NULL, NULL);
    query = xmpp_stanza_new_from_string(ctx, xml);
    turned = query ? reversed(ctx, query) : NULL;
    for (size_t i = 0; turned && i < 3; i++) {
        bool well = caps_hash(query, functions[i], one);

        assert(caps_hash(turned, functions[i], other) == well);
        if (well)
            assert(strlen(one) == lengths[i] && strcmp(one, other) == 0);
    }
    if (turned)
        xmpp_stanza_release(turned);
    if (query) {
        assert(!caps_hash(query, "md2", one));
        xmpp_stanza_release(query);
    }
    free(xml);
    return 0;
}
