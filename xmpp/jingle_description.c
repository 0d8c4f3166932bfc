#include "xmpp/jingle_description.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "xmpp/file_hash.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

static bool copy_text(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return !from || *to;
}

static bool has(char *const *features, const char *wanted)
{
    for (; features && *features; features++)
        if (strcmp(*features, wanted) == 0)
            return true;
    return false;
}

bool jingle_file_copy(struct jingle_file *f, const struct offer *o, struct error *err)
{
    bool old = has(o->features, NS_JINGLE_FILE_4) && !has(o->features, NS_JINGLE_FILE);

    if (!text_name_check(o->name, strlen(o->name), err))
        return false;
    f->size = o->size;
    f->no_digest = o->no_digest;
    f->modified = o->modified;
    f->ns = old ? NS_JINGLE_FILE_4 : NS_JINGLE_FILE;
    f->hashes_ns = old ? NS_HASHES_1 : NS_HASHES;
    if (copy_text(&f->name, o->name) && copy_text(&f->type, o->type) && copy_text(&f->caption, o->caption) &&
        (!o->sha256 || jingle_file_set_digest(f, o->sha256)))
        return true;
    return error_set(err, ERR_INTERNAL, "out of memory");
}

bool jingle_file_set_digest(struct jingle_file *f, const char *sha256)
{
    free(f->sha256);
    return copy_text(&f->sha256, sha256);
}

void jingle_file_clear(struct jingle_file *f)
{
    free(f->name);
    free(f->type);
    free(f->caption);
    free(f->sha256);
    *f = (struct jingle_file){0};
}

static xmpp_stanza_t *add_element(xmpp_ctx_t *ctx, xmpp_stanza_t *parent, const char *name, const char *text)
{
    return text ? stanza_add(parent, stanza_add_text(ctx, stanza_new(ctx, name, NULL), text)) : parent;
}

static xmpp_stanza_t *add_hash(xmpp_ctx_t *ctx, xmpp_stanza_t *file, const struct jingle_file *f)
{
    const char *to_come = strcmp(f->ns, NS_JINGLE_FILE) == 0 ? "hash-used" : "hash";

    return stanza_add(file, f->sha256 ? file_hash(ctx, f->hashes_ns, f->sha256)
                                      : file_hash_to_come(ctx, to_come, f->hashes_ns));
}

xmpp_stanza_t *jingle_file_description(xmpp_ctx_t *ctx, const struct jingle_file *f)
{
    xmpp_stanza_t *file = stanza_new(ctx, "file", NULL);
    char size[24], precise[CLOCK_TEXT], date[CLOCK_TEXT];

    snprintf(size, sizeof size, "%llu", (unsigned long long)f->size);
    file = add_element(ctx, add_element(ctx, file, "name", f->name), "size", size);
    file = add_element(ctx, file, "media-type", f->type);
    if (f->modified > 0) { /* XEP-0082 with whole seconds, which every parser takes */
        snprintf(date, sizeof date, "%.19sZ", clock_text(f->modified, precise));
        file = add_element(ctx, file, "date", date);
    }
    file = add_element(ctx, file, "desc", f->caption);
    file = stanza_add(file, stanza_new(ctx, "range", NULL)); /* we can begin in the middle */
    if (f->sha256 || !f->no_digest)
        file = add_hash(ctx, file, f);
    return stanza_add(stanza_new(ctx, "description", f->ns), file);
}

xmpp_stanza_t *jingle_file_checksum(xmpp_ctx_t *ctx, const struct jingle_file *f, const char *content)
{
    xmpp_stanza_t *checksum = stanza_set(stanza_new(ctx, "checksum", f->ns), "creator", "initiator");

    checksum = stanza_set(checksum, "name", content);
    return stanza_add(checksum, add_hash(ctx, stanza_new(ctx, "file", NULL), f));
}

xmpp_stanza_t *jingle_file_range(xmpp_stanza_t *content)
{
    return stanza_child(stanza_child(stanza_child(content, "description", NULL), "file", NULL), "range", NULL);
}

bool jingle_file_says(xmpp_stanza_t *jingle, const char *what)
{
    return stanza_child(jingle, what, NS_JINGLE_FILE) || stanza_child(jingle, what, NS_JINGLE_FILE_4);
}
