#include "xmpp/stanza_limit.h"

#include <assert.h>
#include <dlfcn.h>
#include <expat.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

enum { STREAM = 1, STANZA = 2 }; /* the depth inside <stream:stream>, and inside a child of it */

static _Thread_local struct stanza_limit first;
static _Thread_local struct stanza_limit *now; /* NULL: the first */

static struct stanza_limit *current(void)
{
    return now ? now : &first;
}

void stanza_limit_use(struct stanza_limit *limit)
{
    now = limit;
}

static void begin_stanza(const XML_Char **attributes)
{
    struct stanza_limit *l = current();
    const char *from = NULL;

    for (; attributes[0]; attributes += 2)
        if (strcmp(attributes[0], "from") == 0)
            from = attributes[1];
    l->parts = 0;
    l->cut = false;
    l->own = !from || strcmp(from, l->own_bare) == 0;
    snprintf(l->from, sizeof(l->from), "%s", from ? from : "");
}

/* Takes note of more parts of the stanza; false: they are not for the library, nor is anything after them. */
static bool admit(unsigned parts)
{
    struct stanza_limit *l = current();

    if (l->cut)
        return false;
    l->parts += parts;
    if ((l->own || l->parts <= STANZA_PARTS) && l->depth - STREAM <= STANZA_DEPTH)
        return true;
    l->cut = true;
    log_warn("xmpp.stanza_cut", log_str("from", l->from), log_int("parts", l->parts),
             log_int("depth", l->depth - STREAM));
    return false;
}

static void on_start(void *user, const XML_Char *name, const XML_Char **attributes)
{
    struct stanza_limit *l = current();
    unsigned parts = 1;

    for (const XML_Char **a = attributes; a[0]; a += 2)
        parts++;
    l->depth++;
    if (l->depth == STANZA)
        begin_stanza(attributes);
    if (l->depth >= STANZA && !admit(parts))
        return;
    l->passed++;
    l->start(user, name, attributes);
}

static void on_end(void *user, const XML_Char *name)
{
    struct stanza_limit *l = current();

    assert(l->depth > 0);
    if (l->depth-- > l->passed)
        return;
    l->passed--;
    l->end(user, name);
}

static void on_text(void *user, const XML_Char *text, int len)
{
    struct stanza_limit *l = current();

    if (l->depth < STANZA || admit(1))
        l->text(user, text, len);
}

/* For every new stream; the library sets both. */
void XML_SetElementHandler(XML_Parser parser, XML_StartElementHandler start, XML_EndElementHandler end)
{
    struct stanza_limit *l = current();
    void (*real)(XML_Parser, XML_StartElementHandler, XML_EndElementHandler);

    *(void **)&real = dlsym(RTLD_NEXT, "XML_SetElementHandler");
    assert(real);
    l->start = start;
    l->end = end;
    l->depth = l->passed = 0;
    real(parser, on_start, on_end);
}

void XML_SetCharacterDataHandler(XML_Parser parser, XML_CharacterDataHandler text)
{
    struct stanza_limit *l = current();
    void (*real)(XML_Parser, XML_CharacterDataHandler);

    *(void **)&real = dlsym(RTLD_NEXT, "XML_SetCharacterDataHandler");
    assert(real);
    l->text = text;
    real(parser, on_text);
}

/* ---- for the others */

void stanza_limit_own(const struct jid *self)
{
    struct stanza_limit *l = current();

    jid_bare(self, l->own_bare);
}

bool stanza_limit_cut(void)
{
    return current()->cut;
}
