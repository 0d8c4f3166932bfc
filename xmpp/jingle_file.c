#include "xmpp/jingle_file.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

enum { SHA256 = 32 };

/* XEP-0300 has digests in base64. */
static char *base64_of(const char *hex)
{
    unsigned char digest[SHA256];
    char *out = malloc(4 * ((SHA256 + 2) / 3) + 1);

    for (size_t i = 0; i < SHA256; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

        digest[i] = (unsigned char)strtoul(pair, NULL, 16);
    }
    if (out)
        EVP_EncodeBlock((unsigned char *)out, digest, SHA256);
    return out;
}

static bool copy_text(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return !from || *to;
}

bool jingle_file_copy(struct jingle_file *f, const struct offer *o, struct error *err)
{
    if (!text_name_check(o->name, strlen(o->name), err))
        return false;
    f->size = o->size;
    f->modified = o->modified;
    if (o->sha256)
        f->sha256 = base64_of(o->sha256);
    if (copy_text(&f->name, o->name) && copy_text(&f->type, o->type) && copy_text(&f->caption, o->caption) &&
        (!o->sha256 || f->sha256))
        return true;
    return error_set(err, ERR_INTERNAL, "out of memory");
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

static xmpp_stanza_t *build_hash(xmpp_ctx_t *ctx, const struct jingle_file *f)
{
    return stanza_add_text(ctx, stanza_set(stanza_new(ctx, "hash", NS_HASHES), "algo", "sha-256"), f->sha256);
}

/* No <range/>: it would promise that we can start in the middle. A <hash-used/> would make the recipient wait for a
 * checksum, so there is none: the digest is known now or never. */
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
    if (f->sha256)
        file = stanza_add(file, build_hash(ctx, f));
    return stanza_add(stanza_new(ctx, "description", NS_JINGLE_FILE), file);
}

xmpp_stanza_t *jingle_file_checksum(xmpp_ctx_t *ctx, const struct jingle_file *f, const char *content)
{
    xmpp_stanza_t *checksum;

    if (!f->sha256)
        return NULL;
    checksum = stanza_set(stanza_new(ctx, "checksum", NS_JINGLE_FILE), "creator", "initiator");
    checksum = stanza_set(checksum, "name", content);
    return stanza_add(checksum, stanza_add(stanza_new(ctx, "file", NULL), build_hash(ctx, f)));
}

bool jingle_file_wants_part(const struct jingle_file *f, xmpp_stanza_t *content)
{
    xmpp_stanza_t *file = stanza_child(stanza_child(content, "description", NULL), "file", NULL);
    xmpp_stanza_t *range = stanza_child(file, "range", NULL);
    const char *offset = stanza_attr(range, "offset"), *length = stanza_attr(range, "length");

    return (offset && strtoull(offset, NULL, 10) != 0) || (length && strtoull(length, NULL, 10) != f->size);
}
