#include "gateway/links.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/id.h"

enum { SECRET_BYTES = 16, SECRET = 2 * SECRET_BYTES };

struct links {
    struct link *ids, *digests; /* the same ones, by either */
    int64_t soonest;            /* none is over before */
};

static bool digest_of(const char *secret, char digest[static LINK_DIGEST])
{
    unsigned char raw[32];

    if (EVP_Digest(secret, SECRET, raw, NULL, EVP_sha256(), NULL) != 1)
        return false;
    id_hex(raw, sizeof raw, digest);
    return true;
}

bool link_digest(const char *secret, char digest[static LINK_DIGEST])
{
    return strlen(secret) == SECRET && strspn(secret, "0123456789abcdef") == SECRET && digest_of(secret, digest);
}

bool link_make(const char *public_url, const char *name, char *url, size_t max, char digest[static LINK_DIGEST])
{
    struct buf out = {.ceiling = max - 1};
    char secret[SECRET + 1];
    bool ok;

    id_random_hex(secret, SECRET_BYTES);
    buf_printf(&out, "%s/d/%s/", public_url, secret);
    for (const unsigned char *p = (const unsigned char *)name; *p; p++)
        buf_printf(&out, (*p < 0x80 && isalnum(*p)) || strchr("-._~", *p) ? "%c" : "%%%02X", *p);
    ok = !out.failed && digest_of(secret, digest);
    if (ok)
        memcpy(url, out.data, out.len + 1);
    buf_free(&out);
    return ok;
}

/* ---- the set */

struct links *links_create(void)
{
    return calloc(1, sizeof(struct links));
}

static void free_link(struct link *link)
{
    free(link->name);
    free(link->type);
    free(link);
}

void links_drop(struct links *links, struct link *link)
{
    assert(links->ids && links->digests);
    HASH_DELETE(by_id, links->ids, link);
    HASH_DELETE(by_digest, links->digests, link);
    free_link(link);
}

void links_destroy(struct links **links)
{
    struct link *link, *next;

    if (!*links)
        return;
    link = (*links)->ids;
    HASH_CLEAR(by_digest, (*links)->digests);
    HASH_CLEAR(by_id, (*links)->ids); /* the links themselves stay chained */
    for (; link; link = next) {
        next = link->by_id.next;
        free_link(link);
    }
    free(*links);
    *links = NULL;
}

struct link *links_of(struct links *links, const char *id)
{
    struct link *link = NULL;

    HASH_FIND(by_id, links->ids, id, strlen(id), link);
    return link;
}

struct link *links_find(struct links *links, const char *digest)
{
    struct link *link = NULL;

    HASH_FIND(by_digest, links->digests, digest, strlen(digest), link);
    return link;
}

struct link *links_put(struct links *links, const struct record *r)
{
    struct link *old = links_of(links, r->id), *link = calloc(1, sizeof *link);

    if (old)
        links_drop(links, old);
    if (!link || !record_text(&link->name, r->name) || !record_text(&link->type, r->type)) {
        if (link)
            free(link->name);
        free(link);
        return NULL;
    }
    snprintf(link->id, sizeof link->id, "%s", r->id);
    snprintf(link->digest, sizeof link->digest, "%s", r->link_digest);
    link->size = r->size;
    link->made = r->created;
    link->expires = r->link_expires;
    link->fetched = r->link_fetched > 0;
    if (!links->ids || link->expires < links->soonest)
        links->soonest = link->expires;
    HASH_ADD(by_id, links->ids, id, strlen(link->id), link);
    if (link->by_id.tbl)
        HASH_ADD(by_digest, links->digests, digest, strlen(link->digest), link);
    if (link->by_digest.tbl)
        return link;
    if (link->by_id.tbl)
        HASH_DELETE(by_id, links->ids, link);
    free_link(link);
    return NULL;
}

struct link *links_expired(struct links *links, int64_t now)
{
    int64_t soonest = INT64_MAX;

    if (now < links->soonest)
        return NULL;
    for (struct link *l = links->ids; l; l = l->by_id.next) {
        if (l->settled && l->expires <= now)
            return l;
        if (l->expires < soonest)
            soonest = l->expires;
    }
    links->soonest = soonest;
    return NULL;
}

bool link_covers(struct link *link, uint64_t from, uint64_t to)
{
    if (from <= link->covered && to > link->covered)
        link->covered = to;
    if (link->fetched || link->covered < link->size)
        return false;
    link->fetched = true;
    return true;
}
