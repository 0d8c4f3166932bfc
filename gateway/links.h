/* gateway/links.h - links of our own, https://files.example.org/d/<secret>/<name>, and which of them can be fetched.
 *
 * The secret is 128 random bits and all that is needed to get the file. It goes into the message to the recipient and
 * nowhere else: kept and looked up is its SHA-256, so neither the database nor a log gives anybody a link.
 * Threads: link_make() and link_digest() any; a set of links is core's. */
#ifndef GATEWAY_LINKS_H
#define GATEWAY_LINKS_H

#include <uthash.h>

#include "gateway/record.h"

enum { LINK_DIGEST = 65 }; /* hex, with its end */

/* A new link to a file of that name, and the digest to keep of it. false: it does not fit, or SHA-256 is not there. */
bool link_make(const char *public_url, const char *name, char *url, size_t max, char digest[static LINK_DIGEST]);

/* The digest of what stands where a secret should; false: no secret looks like that. */
bool link_digest(const char *secret, char digest[static LINK_DIGEST]);

struct link {
    char id[ID_SIZE]; /* the transfer's */
    char digest[LINK_DIGEST];
    char *name, *type;
    uint64_t size;
    int64_t made, expires; /* wall clock */
    bool settled;          /* that it was sent is committed */
    bool revoked;          /* before it was settled */
    uint64_t covered;      /* so much of the file, from its beginning, was fetched */
    bool fetched;          /* all of it, and that is noted */
    UT_hash_handle by_id, by_digest;
};

struct links;

struct links *links_create(void); /* NULL: out of memory */
void links_destroy(struct links **links);

/* Takes up the record's link, in place of an older one of that transfer. NULL: out of memory. */
struct link *links_put(struct links *links, const struct record *r);
struct link *links_find(struct links *links, const char *digest); /* NULL: there is none */
struct link *links_of(struct links *links, const char *id);
void links_drop(struct links *links, struct link *link);

/* One that is settled and whose time is over; NULL: none is. */
struct link *links_expired(struct links *links, int64_t now);

/* The bytes from `from` up to `to` have left for whoever fetches. Counted are pieces that begin where what is covered
 * ends, or before. true: with that, for the first time, the whole file was fetched. */
bool link_covers(struct link *link, uint64_t from, uint64_t to);

#endif
