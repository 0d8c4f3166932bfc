#include "xmpp/jingle_offered.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xmpp/ns.h"
#include "xmpp/stamp.h"
#include "xmpp/stanza.h"

enum { DIGITS = 18 }; /* so many always fit */

static bool refuse(struct jingle_reason *why, const char *name, const char *special)
{
    *why = (struct jingle_reason){.name = name, .special = special};
    return false;
}

static bool read_number(const char *text, uint64_t *out)
{
    if (!*text || strspn(text, "0123456789") != strlen(text) || strlen(text) > DIGITS)
        return false;
    *out = strtoull(text, NULL, 10);
    return true;
}

/* Who sends the file is said by senders; without it, who added the content. */
static bool is_offer(xmpp_stanza_t *content, struct jingle_reason *why)
{
    const char *senders = stanza_attr(content, "senders");

    if (!senders)
        senders = stanza_attr(content, "creator");
    if (senders && strcmp(senders, "responder") == 0) /* it asks for a file of ours */
        return refuse(why, "failed-application", "file-not-available");
    if (senders && strcmp(senders, "initiator") != 0)
        return refuse(why, "incompatible-parameters", NULL);
    return true;
}

static xmpp_stanza_t *find_file(xmpp_stanza_t *content, struct jingle_offered *out)
{
    static const char *const versions[] = {NS_JINGLE_FILE, NS_JINGLE_FILE_4};

    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        xmpp_stanza_t *description = stanza_child(content, "description", versions[i]);

        out->ns = versions[i];
        if (description)
            return stanza_child(description, "file", NULL);
    }
    return NULL;
}

/* A part that begins somewhere has to go on to the end, or nothing is ever whole. */
static bool read_range(xmpp_stanza_t *range, struct jingle_offered *out)
{
    const char *offset = stanza_attr(range, "offset"), *length = stanza_attr(range, "length");
    uint64_t bytes;

    out->ranges = range != NULL;
    if (offset && !read_number(offset, &out->offset))
        return false;
    if (out->size >= 0 && out->offset > (uint64_t)out->size)
        return false;
    if (!length)
        return true;
    return read_number(length, &bytes) && out->size >= 0 && bytes == (uint64_t)out->size - out->offset;
}

static bool read_file(xmpp_stanza_t *file, struct jingle_offered *out)
{
    xmpp_stanza_t *size = stanza_child(file, "size", NULL);
    char number[32], date[64];
    uint64_t bytes = 0;

    stanza_text(stanza_child(file, "name", NULL), out->name, sizeof out->name);
    stanza_text(stanza_child(file, "media-type", NULL), out->type, sizeof out->type);
    stanza_text(stanza_child(file, "desc", NULL), out->caption, sizeof out->caption);
    out->modified = stamp_read(stanza_text(stanza_child(file, "date", NULL), date, sizeof date));
    if (size && !read_number(stanza_text(size, number, sizeof number), &bytes))
        return false;
    out->size = size ? (int64_t)bytes : -1;
    file_hash_read(file, &out->digest);
    return read_range(stanza_child(file, "range", NULL), out);
}

bool jingle_offered_read(xmpp_stanza_t *jingle, struct jingle_offered *out, struct jingle_reason *why)
{
    xmpp_stanza_t *content = stanza_child(jingle, "content", NULL), *file;

    *out = (struct jingle_offered){.size = -1};
    if (stanza_next(content, "content", NULL))
        return refuse(why, "incompatible-parameters", NULL); /* one file is all that anybody sends in a session */
    if (stanza_child(content, "security", NULL))
        return refuse(why, "security-error", NULL); /* what came would not be the file (XEP-0391) */
    file = find_file(content, out);
    if (!file)
        return refuse(why, "unsupported-applications", NULL);
    if (!is_offer(content, why))
        return false;
    return read_file(file, out) || refuse(why, "incompatible-parameters", NULL);
}

static xmpp_stanza_t *add_text(xmpp_ctx_t *ctx, xmpp_stanza_t *file, const char *name, const char *text)
{
    return *text ? stanza_add(file, stanza_add_text(ctx, stanza_new(ctx, name, NULL), text)) : file;
}

xmpp_stanza_t *jingle_offered_answer(xmpp_ctx_t *ctx, const struct jingle_offered *o, uint64_t offset)
{
    xmpp_stanza_t *file = add_text(ctx, stanza_new(ctx, "file", NULL), "name", o->name);
    char number[24] = "";

    if (o->size >= 0)
        snprintf(number, sizeof number, "%" PRId64, o->size);
    file = add_text(ctx, file, "size", number);
    snprintf(number, sizeof number, "%" PRIu64, offset);
    if (offset > 0)
        file = stanza_add(file, stanza_set(stanza_new(ctx, "range", NULL), "offset", number));
    return stanza_add(stanza_new(ctx, "description", o->ns), file);
}

bool jingle_offered_checksum(xmpp_stanza_t *jingle, struct file_digest *out)
{
    return file_hash_read(stanza_child(stanza_child(jingle, "checksum", NULL), "file", NULL), out);
}
