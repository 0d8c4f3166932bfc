/* xmpp/stanza_limit.h - what one stanza may cost us while libstrophe 0.12 builds its tree.
 *
 * The library appends a child by walking all its siblings, a run of text by walking the text so far, and an attribute
 * by walking a chain: each is quadratic, and what a stranger may send through any server, 240 KB of <a/>, holds the
 * loop's thread for many seconds. It has no limit of its own and no hook before the tree is built. So this module
 * stands between it and the XML parser under it: it defines expat's XML_SetElementHandler() and
 * XML_SetCharacterDataHandler() itself, which the library then finds in the program before those of libexpat, and
 * puts counting handlers before the library's.
 *
 * The rule: a stanza may have STANZA_PARTS parts, where an element, an attribute and a run of text are one each (a
 * line is two runs, an entity is one), and STANZA_DEPTH levels. At the first part over a limit it is cut: what
 * follows in it never reaches the library, but the ends of what is open do; one line of the log tells. Whoever takes
 * stanzas asks stanza_limit_cut() and ignores a cut one as a whole, as if the server had not delivered it.
 * Stanzas from our own account, without 'from' or from its bare address (RFC 6120 section 8.1.2.1), have no limit of
 * parts: a roster is as big as it is, and a stranger cannot write one.
 *
 * For this the program must be linked dynamically with libstrophe and libexpat, and must export the two symbols (see
 * CMakeLists.txt); a libstrophe that was built with libxml2 goes without the limit.
 *
 * Thread: any; each counts for the parser of one stream at a time, and is told by stanza_limit_use() which. */
#ifndef XMPP_STANZA_LIMIT_H
#define XMPP_STANZA_LIMIT_H

#include <stdbool.h>

#include "base/jid.h"

/* Measured: the worst stanza of so many parts in 256 KB, what servers let through, takes 20 ms. Answers to disco#info,
 * the largest that strangers send us in earnest, have some hundred parts. */
enum { STANZA_PARTS = 4096, STANZA_DEPTH = 128 };

struct stanza_limit {
    void (*start)(void *user, const char *name, const char **attributes); /* the library's own three */
    void (*end)(void *user, const char *name);
    void (*text)(void *user, const char *text, int len);
    unsigned depth;  /* elements that are open */
    unsigned passed; /* the outermost of them, which the library knows of */
    unsigned parts;
    bool own, cut;
    char from[JID_MAX + 1]; /* of the stanza, for the log */
    char own_bare[JID_MAX + 1];
};

/* Before the library makes, resets or runs the parser of a stream: what is counted in it. All zero at first, and lives
 * as long as the parser. Who never calls this has one count. */
void stanza_limit_use(struct stanza_limit *limit);

/* Whose account this thread's stream is for, from binding on. */
void stanza_limit_own(const struct jid *self);

/* From inside a handler of the library: whether the stanza it was called with has been cut. */
bool stanza_limit_cut(void);

#endif
