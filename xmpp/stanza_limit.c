#include "xmpp/stanza_limit.h"

#include <assert.h>
#include <dlfcn.h>
#include <expat.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

enum { STREAM = 1, STANZA = 2 }; /* the depth inside <stream:stream>, and inside a child of it */

static _Thread_local struct {
    XML_StartElementHandler start; /* the library's own three */
    XML_EndElementHandler end;
    XML_CharacterDataHandler text;
    unsigned depth;  /* elements that are open */
    unsigned passed; /* the outermost of them, which the library knows of */
    unsigned parts;
    bool own, cut;
    char from[JID_MAX + 1]; /* of the stanza, for the log */
} now;

static _Thread_local char own_bare[JID_MAX + 1];

static void begin_stanza(const XML_Char **attributes)
{
    const char *from = NULL;

    for (; attributes[0]; attributes += 2)
        if (strcmp(attributes[0], "from") == 0)
            from = attributes[1];
    now.parts = 0;
    now.cut = false;
    now.own = !from || strcmp(from, own_bare) == 0;
    snprintf(now.from, sizeof(now.from), "%s", from ? from : "");
}

/* Takes note of more parts of the stanza; false: they are not for the library, nor is anything after them. */
static bool admit(unsigned parts)
{
    if (now.cut)
        return false;
    now.parts += parts;
    if ((now.own || now.parts <= STANZA_PARTS) && now.depth - STREAM <= STANZA_DEPTH)
        return true;
    now.cut = true;
    log_warn("xmpp.stanza_cut", log_str("from", now.from), log_int("parts", now.parts),
             log_int("depth", now.depth - STREAM));
    return false;
}

static void on_start(void *user, const XML_Char *name, const XML_Char **attributes)
{
    unsigned parts = 1;

    for (const XML_Char **a = attributes; a[0]; a += 2)
        parts++;
    now.depth++;
    if (now.depth == STANZA)
        begin_stanza(attributes);
    if (now.depth >= STANZA && !admit(parts))
        return;
    now.passed++;
    now.start(user, name, attributes);
}

static void on_end(void *user, const XML_Char *name)
{
    assert(now.depth > 0);
    if (now.depth-- > now.passed)
        return;
    now.passed--;
    now.end(user, name);
}

static void on_text(void *user, const XML_Char *text, int len)
{
    if (now.depth < STANZA || admit(1))
        now.text(user, text, len);
}

/* For every new stream; the library sets both. */
void XML_SetElementHandler(XML_Parser parser, XML_StartElementHandler start, XML_EndElementHandler end)
{
    void (*real)(XML_Parser, XML_StartElementHandler, XML_EndElementHandler);

    *(void **)&real = dlsym(RTLD_NEXT, "XML_SetElementHandler");
    assert(real);
    now.start = start;
    now.end = end;
    now.depth = now.passed = 0;
    real(parser, on_start, on_end);
}

void XML_SetCharacterDataHandler(XML_Parser parser, XML_CharacterDataHandler text)
{
    void (*real)(XML_Parser, XML_CharacterDataHandler);

    *(void **)&real = dlsym(RTLD_NEXT, "XML_SetCharacterDataHandler");
    assert(real);
    now.text = text;
    real(parser, on_text);
}

/* ---- for the others */

void stanza_limit_own(const struct jid *self)
{
    jid_bare(self, own_bare);
}

bool stanza_limit_cut(void)
{
    return now.cut;
}
